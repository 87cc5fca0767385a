"""The shapes and small forms that every order is made of: ids, GUIDs, times, amounts and `<Summary>` columns. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from html import escape
from random import Random
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from connectors.kentico.sandbox.schema import Row

BILLING, SHIPPING, COMPANY = 1, 2, 3
"""COM_OrderAddress.AddressType."""

_SCALE = Decimal("1e-9")


class Ids(Protocol):
    """Gives out identity values; each is used once."""

    def take(self, type_name: str) -> int:
        """The next id of a class."""


@dataclass
class Counter:
    """Ids for orders that never see a database."""

    next_ids: dict[str, int] = field(default_factory=dict)
    start: int = 1001

    def take(self, type_name: str) -> int:
        """The next id of a class."""
        number = self.next_ids.get(type_name, self.start)
        self.next_ids[type_name] = number + 1
        return number


@dataclass(frozen=True)
class Buyer:
    """A customer's row with the address the bill goes to; `new` rows are not in the database yet."""

    row: Row
    address: Row
    new: bool


@dataclass(frozen=True)
class OrderRows:
    """An order as it stands after commit."""

    order: Row
    items: list[Row]
    addresses: list[Row]
    customer: Row
    history: list[Row]


def seeded(*parts: object) -> Random:
    """A random stream for these parts, the same on every machine."""
    return Random("|".join(str(part) for part in parts))  # noqa: S311 - a shop's dice, no secret


def stamp(moment: datetime, zone: ZoneInfo) -> str:
    """datetime2(7) in server-local time without offset, which is what Kentico's DateTime.Now leaves in the database."""
    local = moment.astimezone(zone)
    # Python stops at microseconds; the seventh digit is derived so that readers meet all seven.
    return f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond:06d}{local.microsecond % 10}"


def guid(rng: Random) -> str:
    """A version 4 GUID from the stream."""
    return str(UUID(int=rng.getrandbits(128), version=4))


def scaled(amount: Decimal) -> Decimal:
    """decimal(18,9), as the column keeps it."""
    return amount.quantize(_SCALE)


def summary(entries: Any) -> str:
    """A `<Summary>` column from (name, amount) pairs; empties are `<Summary />`."""
    pairs = [(name, value) for name, value in entries if value]
    if not pairs:
        return "<Summary />"
    inner = "".join(
        f"<Item><Name>{escape(name, quote=False)}</Name><Value>{value:f}</Value></Item>" for name, value in pairs
    )
    return f"<Summary>{inner}</Summary>"
