"""Reading lists: Xero's `where` (the optimised subset only), id lists, statuses, changed-since, search, order and
pages.

Anything outside the subset is a loud 400 QueryParseException, so that a filter that Xero would run slowly, or
refuse on a large organisation, cannot slip into the sink unseen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

from connectors.xero.sandbox.books import fold
from connectors.xero.sandbox.errors import QueryInvalid

TOKEN = re.compile(
    r"""\s*(?:(?P<paren>[()])|(?P<op>==|!=|>=|<=|>|<|=)|(?P<and>AND\b|&&)|(?P<or>OR\b|\|\|)
    |(?P<guid>guid\(\s*"(?P<guid_value>[^"]*)"\s*\))|(?P<date>DateTime\(\s*(?P<date_value>[\d,\s]+)\))
    |(?P<text>"(?P<text_value>(?:[^"\\]|\\.)*)")|(?P<bool>true\b|false\b)|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w.]*))""",
    re.IGNORECASE | re.VERBOSE,
)
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}
PAGE_DEFAULT, PAGE_MAX = 100, 1000


@dataclass(frozen=True)
class Field:
    """A filterable field: how to read it, its type, and whether OR may join it."""

    get: Callable[[Any], Any]
    kind: type
    either: bool = False


Fields = Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class Test:
    """field operator value."""

    name: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Group:
    """Tests joined by `and` or `or`."""

    join: str
    parts: tuple[Any, ...]


class Filter:
    """A parsed `where`."""

    def __init__(self, source: str, fields: Fields):
        self.source = source
        self.fields = {name.lower(): field for name, field in fields.items()}
        self._tokens = self._split(source)
        self._at = 0
        self.root = self._either()
        if self._at != len(self._tokens):
            raise QueryInvalid(f"Unexpected {self._tokens[self._at][1]!r} in filter: {source}")

    def _split(self, source: str) -> list[tuple[str, Any]]:
        tokens: list[tuple[str, Any]] = []
        at = 0
        while source[at:].strip():
            found = TOKEN.match(source, at)
            if found is None:
                raise QueryInvalid(f"Filter cannot be parsed at {source[at : at + 30]!r}: {source}")
            kind = next(name for name, value in found.groupdict().items() if value is not None and "_value" not in name)
            tokens.append((kind, found.groupdict().get(f"{kind}_value", found[kind])))
            at = found.end()
        return tokens

    def _peek(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else "end"

    def _next(self, *kinds: str) -> tuple[str, Any]:
        if self._peek() not in kinds:
            raise QueryInvalid(
                f"Filter cannot be parsed, expected {' or '.join(kinds)} at part {self._at + 1}: {self.source}"
            )
        self._at += 1
        return self._tokens[self._at - 1]

    def _either(self) -> Any:
        parts = [self._both()]
        while self._peek() == "or":
            self._next("or")
            parts.append(self._both())
        if len(parts) == 1:
            return parts[0]
        for part in parts:
            for name in _names(part):
                if not self.fields[name.lower()].either:
                    raise QueryInvalid(f"OR is not an optimised filter on {name}: {self.source}")
        return Group("or", tuple(parts))

    def _both(self) -> Any:
        parts = [self._one()]
        while self._peek() == "and":
            self._next("and")
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Group("and", tuple(parts))

    def _one(self) -> Any:
        kind, value = self._next("paren", "name")
        if kind == "paren":
            if value != "(":
                raise QueryInvalid(f"Unexpected ')' in filter: {self.source}")
            inner = self._either()
            if self._next("paren")[1] != ")":
                raise QueryInvalid(f"Missing ')' in filter: {self.source}")
            return inner
        field = self.fields.get(value.lower())
        if field is None:
            raise QueryInvalid(
                f"No optimised filter on {value!r}; the sandbox takes {sorted(self.fields)}: {self.source}"
            )
        operator = self._next("op")[1]
        return Test(value, "==" if operator == "=" else operator, self._value(value, field))

    def _value(self, name: str, field: Field) -> Any:
        kind, value = self._next("guid", "date", "text", "bool", "number")
        if field.kind is date and kind == "date":
            parts = [int(part) for part in value.split(",")]
            try:
                return date(*parts[:3])
            except (TypeError, ValueError) as problem:
                raise QueryInvalid(f"DateTime({value}) is not a date: {self.source}") from problem
        if field.kind is Decimal and kind == "number":
            return Decimal(value)
        if field.kind is bool and kind == "bool":
            return value.lower() == "true"
        if field.kind is str and kind in {"guid", "text"}:
            return fold(re.sub(r"\\(.)", r"\1", value))
        raise QueryInvalid(f"The value of {name} has the wrong type: {self.source}")

    def equals(self, name: str) -> set[str] | None:
        """The values `name` must have one of, when the filter says so at its top; None when it does not."""
        root = self.root
        parts = root.parts if isinstance(root, Group) and root.join == "and" else (root,)
        for part in parts:
            tests = part.parts if isinstance(part, Group) and part.join == "or" else (part,)
            if all(isinstance(t, Test) and t.name.lower() == name.lower() and t.operator == "==" for t in tests):
                return {t.value for t in tests}
        return None

    def matches(self, row: Any) -> bool:
        """Whether the row passes."""
        return self._matches(self.root, row)

    def _matches(self, node: Any, row: Any) -> bool:
        if isinstance(node, Group):
            check = any if node.join == "or" else all
            return check(self._matches(part, row) for part in node.parts)
        value = self.fields[node.name.lower()].get(row)
        if value is None:
            return bool(node.operator == "!=")
        if isinstance(value, str):
            value = fold(value)
        return OPERATORS[node.operator](value, node.value)


def _names(node: Any) -> Iterable[str]:
    if isinstance(node, Test):
        yield node.name
    else:
        for part in node.parts:
            yield from _names(part)


def listed(query: Mapping[str, str], key: str) -> list[str] | None:
    """A comma-separated parameter; None when absent."""
    value = query.get(key)
    if value is None or not value.strip():
        return None
    return [one.strip() for one in value.split(",") if one.strip()]


def changed_since(header: str | None) -> int | None:
    """If-Modified-Since in milliseconds, to the second: ISO without offset is UTC; the HTTP form is read too."""
    if not header:
        return None
    try:
        at = datetime.fromisoformat(header.strip().replace("Z", "+00:00"))
    except ValueError:
        try:
            at = parsedate_to_datetime(header)
        except ValueError as problem:
            raise QueryInvalid(f"If-Modified-Since {header!r} is not a date") from problem
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return int(at.timestamp()) * 1000


def whole(query: Mapping[str, str], key: str, default: int, low: int, high: int) -> int:
    """An integer parameter within bounds."""
    value = query.get(key)
    if value is None or value == "":
        return default
    if not value.isdigit() or not low <= int(value) <= high:
        raise QueryInvalid(f"{key} must be a whole number from {low} to {high}, not {value!r}")
    return int(value)


def truth(query: Mapping[str, str], key: str, default: bool) -> bool:
    """A boolean parameter, in any case: the client sends `False`."""
    value = query.get(key)
    if value is None or value == "":
        return default
    if value.lower() not in {"true", "false"}:
        raise QueryInvalid(f"{key} must be true or false, not {value!r}")
    return value.lower() == "true"


def ordered(rows: Iterable[Any], order: str | None, fields: Fields) -> list[Any]:
    """Sorted by `order` (`Field ASC|DESC`), or by UpdatedDateUTC and id as Xero does by default."""
    if not order:
        return sorted(rows, key=lambda row: (row.updated, row.id))
    words = order.split()
    known = {name.lower(): field for name, field in fields.items()}
    known["updateddateutc"] = Field(lambda row: row.updated, int)
    direction = words[1].upper() if len(words) == 2 else "ASC"
    if len(words) > 2 or words[0].lower() not in known or direction not in {"ASC", "DESC"}:
        raise QueryInvalid(f"Cannot order by {order!r}")
    get = known[words[0].lower()].get
    return sorted(rows, key=lambda row: ((value := get(row)) is not None, value, row.id), reverse=direction == "DESC")


@dataclass(frozen=True)
class Page:
    """One page and its pagination object; without `page` in the query everything is one page without the object."""

    rows: Sequence[Any]
    pagination: dict[str, int] | None


def paged(rows: Sequence[Any], query: Mapping[str, str]) -> Page:
    """Cut the page the query asks for."""
    if "page" not in query and "pageSize" not in query:
        return Page(rows, None)
    page = whole(query, "page", 1, 1, 1_000_000)
    size = whole(query, "pageSize", PAGE_DEFAULT, 1, PAGE_MAX)
    count = -(-len(rows) // size)
    pagination = {"page": page, "pageSize": size, "pageCount": count, "itemCount": len(rows)}
    return Page(rows[(page - 1) * size : page * size], pagination)
