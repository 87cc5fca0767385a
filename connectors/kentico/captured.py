"""What a changed row of a captured table says: which objects are to be read again, or why nothing is. Pure.

A change event is never taken for an order: `c` on COM_Order comes before items and number, and an edit deletes and
inserts every item. It is a hint, and the reader reads the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from connectors.kentico.columns import SKU_APART
from connectors.kentico.debezium import Row, RowChange, day_of
from connectors.kentico.errors import EnvelopeUnreadable
from connectors.kentico.events import CUSTOMER, ORDER, SKU
from connectors.kentico.settings import Dialect


class Noise(StrEnum):
    """Why a row change asks for nothing."""

    SNAPSHOT = "snapshot"  # what was there before capturing began is a backfill's, or before `snapshot_since`
    STOCK = "stock_only"  # a sale moves a SKU's stock and its stamp
    WRITTEN_BACK = "written_back"  # our own columns and the stamp
    NEW_CUSTOMER = "new_customer"  # comes with the first order
    DELETED = "deleted"  # a customer or SKU: contact and item stay in Xero, invoices name them


@dataclass(frozen=True)
class Captured:
    """`owner`: the column with the id of the object that is to be read again, which is of type `of`."""

    owner: str
    of: str
    stamp: str | None = None


_K13: Mapping[str, Captured] = {
    "COM_Order": Captured("OrderID", ORDER, "OrderLastModified"),
    "COM_OrderItem": Captured("OrderItemOrderID", ORDER),
    "COM_OrderAddress": Captured("AddressOrderID", ORDER),
    "COM_OrderStatusUser": Captured("OrderID", ORDER),
    "COM_Customer": Captured("CustomerID", CUSTOMER),
    "COM_SKU": Captured("SKUID", SKU, "SKULastModified"),
}
_XBYK: Mapping[str, Captured] = {
    "Commerce_Order": Captured("OrderID", ORDER, "OrderModifiedWhen"),
    "Commerce_OrderItem": Captured("OrderItemOrderID", ORDER),
    "Commerce_OrderAddress": Captured("OrderAddressOrderID", ORDER),
    "Commerce_Customer": Captured("CustomerID", CUSTOMER),
}
TABLES: Mapping[Dialect, Mapping[str, Captured]] = {"K13": _K13, "XBYK": _XBYK}
_DATES = {"COM_Order": "OrderDate", "Commerce_Order": "OrderCreatedWhen"}


@dataclass(frozen=True)
class Wanted:
    """An object to be read again. `deleted`: its own row is gone; then `site_id` is what it said last."""

    object_type: str
    object_id: int
    deleted: bool = False
    site_id: int | None = None


def wanted(
    change: RowChange, dialect: Dialect, written_back: frozenset[str], snapshot_since: date | None
) -> list[Wanted] | Noise:
    """The objects, an item that moved to another order speaks of both; or why there is none.

    EnvelopeUnreadable for a table that is not captured here, or a row without its id.
    """
    captured = TABLES[dialect].get(change.table)
    if captured is None:
        raise EnvelopeUnreadable(f"source.table {change.table!r} is none of {', '.join(TABLES[dialect])}")
    noise = _noise(change, captured, written_back, snapshot_since)
    if noise is not None:
        return noise
    own_row = change.op == "d" and change.table in _DATES
    ids = dict.fromkeys(_id(row, captured.owner, change.table) for row in change.rows)
    site = (change.before or {}).get("OrderSiteID") if own_row else None
    return [Wanted(captured.of, object_id, own_row, site if type(site) is int else None) for object_id in ids]


def _noise(
    change: RowChange, captured: Captured, written_back: frozenset[str], snapshot_since: date | None
) -> Noise | None:
    if change.op == "r":
        day = day_of((change.after or {}).get(_DATES.get(change.table, "")))
        # An order that is read brings its items and addresses, so their rows of a snapshot are nobody's.
        begins = snapshot_since is not None and day is not None and day >= snapshot_since
        return None if begins else Noise.SNAPSHOT
    if captured.of != ORDER and change.op == "d":
        return Noise.DELETED
    if captured.of == CUSTOMER and change.op == "c":
        return Noise.NEW_CUSTOMER
    if change.op != "u" or change.before is None or change.after is None or captured.stamp is None:
        return None
    if captured.of == SKU and _same(change.before, change.after, SKU_APART | {captured.stamp}):
        return Noise.STOCK
    ours = written_back | {captured.stamp}
    touched = any(change.before.get(name) != change.after.get(name) for name in written_back)
    return Noise.WRITTEN_BACK if touched and _same(change.before, change.after, ours) else None


def _same(before: Row, after: Row, apart: Iterable[str]) -> bool:
    """Whether two states of a row differ in nothing but these columns."""
    ignored = frozenset(apart)
    return all(before.get(name) == after.get(name) for name in before.keys() | after.keys() if name not in ignored)


def _id(row: Row, column: str, table: str) -> int:
    value = row.get(column)
    if type(value) is int and value > 0:
        return value
    raise EnvelopeUnreadable(f"{table}.{column} is {str(value)[:40]!r}, not an identity")
