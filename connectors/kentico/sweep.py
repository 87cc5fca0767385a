"""Compares the orders that Kentico has with those that polling brought: two requests where nothing is amiss.

A deleted row has no modification time any more, so only its absence shows. Counts are compared, and where they differ
the range is halved until it fits a page. One page is compared by its identities each time, in turn: a deleted order and
a missed one leave the count as it is. Too many absent orders at once are not believed: a database restored from a
copy, or a REST user who lost a permission, would look the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.kentico.errors import RestUnreadable, SweepImplausible
from connectors.kentico.known import KnownOrders
from connectors.kentico.rest import TableRest
from connectors.kentico.watched import Watched

# Missed orders are rare; many mean that our own record of them is behind, and they are read again a part at a time.
_MOST_MISSED = 1_000


@dataclass
class Swept:
    """`gone`: known and no longer there. `missed`: there and not known. `more`: it was not gone through to the end."""

    gone: set[int] = field(default_factory=set)
    missed: set[int] = field(default_factory=set)
    more: bool = False


async def sweep(rest: TableRest, orders: Watched, known: KnownOrders, most_deletions: int, turn: int) -> Swept:
    """What differs up to the last known order; `turn` counts the sweeps. RestError where the service failed,
    SweepImplausible for too much."""
    swept = Swept()
    if known.last == known.floor:
        return swept
    back = turn % ((known.last - known.floor - 1) // rest.page + 1) * rest.page  # the newest page first
    first, last = max(known.last - back - rest.page, known.floor) + 1, known.last - back
    await _compare(rest, orders, known, first, last, swept, most_deletions)
    ranges = [(known.floor + 1, known.last)]
    while ranges:
        first, last = ranges.pop()
        if await rest.count(orders.object_type, _where(orders, first, last)) == known.count(first, last):
            continue
        if last - first >= rest.page:
            middle = (first + last) // 2
            ranges += [(middle + 1, last), (first, middle)]
            continue
        await _compare(rest, orders, known, first, last, swept, most_deletions)
        if len(swept.missed) >= _MOST_MISSED:
            swept.more = True
            break
    return swept


async def _compare(
    rest: TableRest, orders: Watched, known: KnownOrders, first: int, last: int, swept: Swept, most_deletions: int
) -> None:
    """By identities, from `first` to `last`: a page at most."""
    rows = await rest.top(
        orders.object_type, rest.page, where=_where(orders, first, last), columns=[orders.key], orderby=orders.key
    )
    there = {order_id for row in rows if isinstance(order_id := row.get(orders.key), int)}
    if len(there) < len(rows) or any(not first <= order_id <= last for order_id in there):
        raise RestUnreadable(f"{rest.instance}: {orders.object_type}: rows without {orders.key}, or not asked for")
    expected = set(known.ids(first, last))
    swept.gone |= expected - there
    swept.missed |= there - expected
    if len(swept.gone) > most_deletions:
        raise SweepImplausible(
            f"{rest.instance}: at least {len(swept.gone)} orders that were read before are no longer there (OrderID "
            f"{min(swept.gone)} to {max(swept.gone)}); more than {most_deletions} at once are not believed. Was the "
            "database restored, or did the REST user lose a permission? If they were deleted, raise "
            "instances.<name>.poll.most_deletions"
        )


def _where(orders: Watched, first: int, last: int) -> str:
    return f"{orders.key} >= {first} AND {orders.key} <= {last}"
