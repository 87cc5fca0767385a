"""Years of trade made at once: orders of the past, straight into the tables, for backfills. They announce nothing.

Seeded: the same seed on a fresh shop makes the same orders. A hundred thousand take about a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from connectors.kentico.sandbox.catalogue import Site
from connectors.kentico.sandbox.checkout import new_buyer, place
from connectors.kentico.sandbox.errors import BadControl
from connectors.kentico.sandbox.payment import settle
from connectors.kentico.sandbox.places import person
from connectors.kentico.sandbox.pricing import Basket, Line
from connectors.kentico.sandbox.rows import Buyer, Counter, OrderRows, seeded, stamp
from connectors.kentico.sandbox.schema import ADDRESS, CUSTOMER, HISTORY, ITEM, ORDER, ORDER_ADDRESS, Row, Table
from connectors.kentico.sandbox.shop import Shop

_CHUNK = 1_000
_CUSTOMERS_KNOWN = 2_000  # of whom one may buy again: memory stays flat
_GOODS = ("equipment", "coffee", "filters", "grinders")
_TABLES = (CUSTOMER, ADDRESS, ORDER, ITEM, ORDER_ADDRESS, HISTORY)


@dataclass(frozen=True)
class Past:
    """What `POST /_sandbox/history` asks for: `orders` of an instance, spread evenly from `since` to `until`."""

    instance: str
    orders: int
    since: datetime
    until: datetime
    seed: str = "1"

    @classmethod
    def read(cls, body: Mapping[str, Any], shops: Mapping[str, Shop]) -> Past:
        """From a control request. Raises BadControl."""
        if body.get("instance") not in shops:
            raise BadControl(f"instance must be one of {', '.join(shops)}")
        try:
            orders = int(body.get("orders", 1000))
            days = [datetime.fromisoformat(str(body[name])).replace(tzinfo=UTC) for name in ("since", "until")]
        except (KeyError, ValueError) as error:
            raise BadControl(f"orders, since and until (days such as 2021-01-01) are wanted: {error}") from error
        if orders < 1 or days[0] >= days[1]:
            raise BadControl("orders is at least 1, and since before until")
        return cls(body["instance"], orders, days[0], days[1], str(body.get("seed", "1")))


async def make(past: Past, shop: Shop) -> tuple[int, int]:
    """Put the orders in, a thousand a transaction, and let others in between; the first and the last OrderID."""
    first = shop.database.peek(ORDER.name)
    # Identities are given out here and written at each chunk's end: one transaction, not ten an order.
    ids = Counter({table.name: shop.database.peek(table.name) for table in _TABLES})
    source = _orders(past, shop, ids)
    left = past.orders
    while left > 0:
        chunk: dict[str, list[Row]] = {table.name: [] for table in _TABLES}
        for _ in range(min(_CHUNK, left)):
            buyer, rows = next(source)
            _collect(chunk, buyer, rows)
        left -= _CHUNK
        with shop.database.transaction():
            for table in _TABLES:
                shop.database.insert_many(table, chunk[table.name])
                shop.database.reserve(table.name, ids.next_ids[table.name])
        await asyncio.sleep(0)
    return first, shop.database.peek(ORDER.name) - 1


def _collect(chunk: dict[str, list[Row]], buyer: Buyer, rows: OrderRows) -> None:
    parts: tuple[tuple[Table, list[Row]], ...] = (
        (ORDER, [rows.order]),
        (ITEM, rows.items),
        (ORDER_ADDRESS, rows.addresses),
        (HISTORY, rows.history),
    )
    for table, found in parts:
        chunk[table.name] += found
    if buyer.new:
        chunk[CUSTOMER.name].append(buyer.row)
        if buyer.row["CustomerUserID"] is not None:
            chunk[ADDRESS.name].append(buyer.address)


def _orders(past: Past, shop: Shop, ids: Counter) -> Iterator[tuple[Buyer, OrderRows]]:
    sites = list(shop.catalogue.sites.values())
    known: dict[str, list[Buyer]] = {site.name: [] for site in sites}
    step = (past.until - past.since) / past.orders
    for number in range(past.orders):
        rng = seeded("history", past.seed, shop.name, number)
        site = rng.choice(sites)
        moment = past.since + step * number + timedelta(seconds=rng.random())
        basket = _basket(site, rng)
        buyer = _buyer(known[site.name], basket, site, ids, stamp(moment, shop.catalogue.zone), rng)
        rows, _ = place(basket, site, shop.catalogue, buyer, ids, moment, rng)
        if basket.settlement == "now":
            rows = settle(rows, "paid", site, shop.catalogue.zone, ids, moment + timedelta(seconds=2), rng)
        yield buyer, rows


def _basket(site: Site, rng: Random) -> Basket:
    lines = tuple(Line(sku, rng.choice([1, 1, 2])) for sku in rng.sample(site.group(*_GOODS), rng.choice([1, 2, 3, 4])))
    return Basket(
        "history",
        lines,
        site.main.code,
        rng.choice(["CreditCard", "PayPal", "MoneyTransfer"]),
        shipping=rng.choice([0, 0, 1]),
        settlement=rng.choices(["now", "never"], [95, 5])[0],
        order_discount=rng.choices([None, ("5% newsletter", Decimal(5))], [9, 1])[0],
    )


def _buyer(known: list[Buyer], basket: Basket, site: Site, ids: Counter, at: str, rng: Random) -> Buyer:
    """Two of three have bought before."""
    if known and rng.random() < 0.66:
        return rng.choice(known)
    wish = rng.choices(["any", "guest"], [3, 1])[0]
    buyer = new_buyer(basket, site, person(rng, wish, site.country), ids, at, rng)
    again = Buyer(buyer.row, buyer.address, new=False)
    if len(known) < _CUSTOMERS_KNOWN:
        known.append(again)
    else:
        known[rng.randrange(_CUSTOMERS_KNOWN)] = again
    return buyer
