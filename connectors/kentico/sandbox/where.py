"""The safe subset of SQL that `where=`, `orderby=` and `columns=` may hold, turned into parameterised SQLite."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.kentico.sandbox.errors import BadQuery
from connectors.kentico.sandbox.schema import Kind, Table

_TOKEN = re.compile(
    r"\s*(?:(?P<string>N?'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<op><=|>=|<>|!=|=|<|>)|(?P<mark>[(),])"
    r"|(?P<name>\[?[A-Za-z_]\w*\]?))",
)
_TIME = re.compile(r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,7}))?)?$")
_KEYWORDS = {"AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "BETWEEN"}


class _Parser:
    """Recursive descent over one condition; collects the parameters in order."""

    def __init__(self, table: Table, text: str) -> None:
        self.table = table
        self.names = {name.lower(): name for name in table.columns}
        self.params: list[Any] = []
        self.tokens = self._split(text)
        self.at = 0

    def _split(self, text: str) -> list[tuple[str, str]]:
        tokens, position = [], 0
        while position < len(text.rstrip()):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise BadQuery(f"cannot read where at character {position}: {text[position : position + 20]!r}")
            value = match[match.lastgroup]
            keyword = match.lastgroup == "name" and value.upper() in _KEYWORDS
            tokens.append(("keyword", value.upper()) if keyword else (match.lastgroup, value))
            position = match.end()
        return tokens

    def parse(self) -> str:
        sql = self._either()
        if self.at != len(self.tokens):
            raise BadQuery(f"unexpected {self.tokens[self.at][1]!r} in where")
        return sql

    def _next(self, *wanted: str) -> str | None:
        if self.at < len(self.tokens) and self.tokens[self.at][1] in wanted and self.tokens[self.at][0] != "string":
            self.at += 1
            return self.tokens[self.at - 1][1]
        return None

    def _take(self, kind: str) -> str:
        if self.at >= len(self.tokens) or self.tokens[self.at][0] != kind:
            raise BadQuery(f"expected a {kind} in where")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def _either(self) -> str:
        parts = [self._both()]
        while self._next("OR"):
            parts.append(self._both())
        return "(" + " OR ".join(parts) + ")"

    def _both(self) -> str:
        parts = [self._one()]
        while self._next("AND"):
            parts.append(self._one())
        return "(" + " AND ".join(parts) + ")"

    def _one(self) -> str:
        if self._next("NOT"):
            return f"NOT {self._one()}"
        if self._next("("):
            inner = self._either()
            if not self._next(")"):
                raise BadQuery("missing ) in where")
            return inner
        if self.at + 2 < len(self.tokens) and self.tokens[self.at][0] == "number":
            return self._constant()
        column = self._column()
        if self._next("IS"):
            return f"{column[0]} IS {'NOT ' if self._next('NOT') else ''}{self._null()}"
        negated = "NOT " if self._next("NOT") else ""
        if self._next("IN"):
            return f"{self._cast(column)} {negated}IN ({self._values(column[1])})"
        if self._next("LIKE"):
            self.params.append(_text(self._take("string")))
            return f"{column[0]} {negated}LIKE ?"
        if self._next("BETWEEN"):
            low = self._value(column[1])
            if not self._next("AND"):
                raise BadQuery("BETWEEN needs AND")
            return f"{self._cast(column)} {negated}BETWEEN {low} AND {self._value(column[1])}"
        return f"{self._cast(column)} {self._take('op')} {self._value(column[1])}"

    def _constant(self) -> str:
        """`1=1` and `0=1`, which client libraries like to start from."""
        left, op, right = self._take("number"), self._take("op"), self._take("number")
        self.params += [float(left), float(right)]
        return f"? {op} ?"

    def _null(self) -> str:
        if not self._next("NULL"):
            raise BadQuery("IS needs NULL")
        return "NULL"

    def _column(self) -> tuple[str, Kind]:
        return column(self.table, self._take("name"))

    def _cast(self, of: tuple[str, Kind]) -> str:
        return f"CAST({of[0]} AS REAL)" if of[1] is Kind.MONEY else of[0]

    def _values(self, kind: Kind) -> str:
        if not self._next("("):
            raise BadQuery("IN needs a list in brackets")
        marks = [self._value(kind)]
        while self._next(","):
            marks.append(self._value(kind))
        if not self._next(")"):
            raise BadQuery("missing ) after IN")
        return ", ".join(marks)

    def _value(self, kind: Kind) -> str:
        if self.at >= len(self.tokens) or self.tokens[self.at][0] not in ("string", "number"):
            raise BadQuery("expected a value in where")
        lexeme, raw = self.tokens[self.at]
        self.at += 1
        self.params.append(_literal(kind, _text(raw) if lexeme == "string" else raw))
        return "?"


def column(table: Table, name: str) -> tuple[str, Kind]:
    """The real name and kind of a column, whatever its case (SQL Server does not care). Raises BadQuery."""
    wanted = name.strip("[] ").lower()
    for real, kind in table.columns.items():
        if real.lower() == wanted:
            return real, kind
    raise BadQuery(f"invalid column name {name!r} of {table.table}")


def _text(token: str) -> str:
    return token.removeprefix("N")[1:-1].replace("''", "'")


def _literal(kind: Kind, text: str) -> Any:
    try:
        if kind is Kind.INT:
            return int(text)
        if kind is Kind.BOOL:
            return {"true": 1, "false": 0}[text.lower()] if text.isalpha() else int(text)
        if kind in (Kind.MONEY, Kind.FLOAT):
            return float(Decimal(text))
    except (ValueError, KeyError, InvalidOperation) as error:
        raise BadQuery(f"{text!r} is no {kind.name.lower()}") from error
    if kind is Kind.GUID:
        return text.lower().strip("{}")
    return time_literal(text) if kind is Kind.TIME else text


def time_literal(text: str) -> str:
    """A datetime2 literal without offset, padded to the stored form so that text compares as time does."""
    match = _TIME.match(text)
    if match is None:
        raise BadQuery(f"{text!r} is no date of the form 2026-11-02T10:15:30.1234567 in the server's local time")
    clock = match[2] or "00:00:00"
    return f"{match[1]}T{clock if len(clock) == 8 else clock + ':00'}.{(match[3] or '').ljust(7, '0')}"


def condition(table: Table, text: str | None) -> tuple[str, list[Any]]:
    """A where parameter as SQL and its parameters; empty means everything. Raises BadQuery."""
    if text is None or not text.strip():
        return "1", []
    parser = _Parser(table, text)
    return parser.parse(), parser.params


def order(table: Table, text: str | None) -> str:
    """An orderby parameter as SQL; by identity where none is given. Raises BadQuery."""
    if text is None or not text.strip():
        return table.id
    parts = []
    for item in text.split(","):
        words = item.split()
        direction = words[1].upper() if len(words) == 2 else "ASC"
        if not words or len(words) > 2 or direction not in ("ASC", "DESC"):
            raise BadQuery(f"cannot read orderby {item!r}")
        name, kind = column(table, words[0])
        parts.append(f"{f'CAST({name} AS REAL)' if kind is Kind.MONEY else name} {direction}")
    return ", ".join(parts)


def columns(table: Table, text: str | None) -> list[str]:
    """A columns parameter as real names; all where none is given. Raises BadQuery."""
    if text is None or not text.strip():
        return list(table.columns)
    return list(dict.fromkeys(column(table, item)[0] for item in text.split(",")))
