"""K13's REST frames: JSON (string TotalRecords, missing array when empty, shuffled properties) and XML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from random import Random
from typing import Any
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from connectors.kentico.sandbox.schema import Kind, Row, Table


class DateMode(Enum):
    """How dates look in JSON: which of these K13 uses is not settled, so the shop can speak all three."""

    ISO = "iso"
    ISO_OFFSET = "iso-offset"
    MS_DATE = "msdate"


def list_json(
    table: Table, rows: Sequence[Row], names: Sequence[str], total: int, zone: ZoneInfo, mode: DateMode, dice: Random
) -> bytes:
    """The list frame. Properties are in neither the columns' nor the alphabet's order; one reply keeps to one."""
    shuffled = list(names)
    dice.shuffle(shuffled)
    count = f'{{"TotalRecords":[{{"TotalRecords":"{total}"}}]}}'
    if not rows:
        return f'{{"{table.plural}":[{count}]}}'.encode()
    body = ",".join(row_json(table, row, shuffled, zone, mode) for row in rows)
    return f'{{"{table.plural}":[{{"{table.table}":[{body}]}},{count}]}}'.encode()


def one_json(table: Table, row: Row, names: Sequence[str], zone: ZoneInfo, mode: DateMode, dice: Random) -> bytes:
    """One object under its table's name."""
    shuffled = list(names)
    dice.shuffle(shuffled)
    return f'{{"{table.table}":{row_json(table, row, shuffled, zone, mode)}}}'.encode()


def row_json(table: Table, row: Row, names: Sequence[str], zone: ZoneInfo, mode: DateMode) -> str:
    """One row as an object."""
    return "{" + ",".join(f'"{name}":{_json(table.columns[name], row[name], zone, mode)}' for name in names) + "}"


def _json(kind: Kind, value: Any, zone: ZoneInfo, mode: DateMode) -> str:
    if value is None:
        return "null"
    if kind is Kind.MONEY:
        return f"{Decimal(value):f}"  # a number that keeps its scale: 94.440000000
    if kind is Kind.TIME:
        return _date(str(value), zone, mode)
    return json.dumps(value, ensure_ascii=False)


def _date(text: str, zone: ZoneInfo, mode: DateMode) -> str:
    if mode is DateMode.ISO:
        return f'"{text}"'
    # The column does not say which of two equal hours it was; .NET takes the second (standard time).
    local = datetime.fromisoformat(text[:26]).replace(tzinfo=zone, fold=1)
    if mode is DateMode.ISO_OFFSET:
        return f'"{text}{local.isoformat()[-6:]}"'
    moment = local.astimezone(UTC)
    return f'"\\/Date({int(moment.timestamp()) * 1000 + moment.microsecond // 1000})\\/"'


def list_xml(table: Table, rows: Sequence[Row], names: Sequence[str], total: int, zone: ZoneInfo) -> bytes:
    """The list as XML: column order, nulls left out, dates with the server's offset, TotalRecords inside itself."""
    body = "".join(_row_xml(table, row, names, zone) for row in rows)
    count = f"<TotalRecords><TotalRecords>{total}</TotalRecords></TotalRecords>"
    return f"<{table.plural}>{body}{count}</{table.plural}>".encode()


def one_xml(table: Table, row: Row, names: Sequence[str], zone: ZoneInfo) -> bytes:
    """One object as XML."""
    return _row_xml(table, row, names, zone).encode()


def _row_xml(table: Table, row: Row, names: Sequence[str], zone: ZoneInfo) -> str:
    cells = []
    for name, kind in table.columns.items():
        value = row.get(name)
        if name not in names or value is None:
            continue
        if kind is Kind.TIME:
            value = _date(value, zone, DateMode.ISO_OFFSET).strip('"')
        elif kind is Kind.BOOL:
            value = str(value).lower()
        elif kind is Kind.MONEY:
            value = f"{value:f}"
        cells.append(f"<{name}>{escape(str(value))}</{name}>")
    return f"<{table.table}>{''.join(cells)}</{table.table}>"
