"""A history brought in from the sandbox shop to a real broker: every order once, whatever stops it, live ones first."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kentico.backfill import SitePlan, Span
from connectors.kentico.sandbox.history import Past, make
from connectors.kentico.sandbox.rest import Fault
from connectors.kentico.sandbox.schema import ORDER
from connectors.kentico.sandbox.server import Sandbox
from connectors.kentico.sandbox.shop import Shop
from k2x.backfill.run import Backfilling, standing
from k2x.errors import K2xError
from k2x.wiring import consumer_groups
from schemas import topics
from schemas.types import Backfill
from tests.connectors.kentico.conftest import Broker
from tests.connectors.kentico.rig import instance, until

pytestmark = pytest.mark.kafka

ALL = Span(date(2024, 1, 1))


@pytest.fixture
async def shop_server(tmp_path: Path) -> AsyncIterator[Sandbox]:
    server = Sandbox(tmp_path / "shop")
    await server.start()
    await make(
        Past("emea", 450, datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)), server.shops["emea"]
    )
    yield server
    await server.stop()


@pytest.fixture
def shop(shop_server: Sandbox) -> Shop:
    return shop_server.shops["emea"]


class Run:
    """A run of the backfill, and what it said."""

    def __init__(self, broker: Broker, server: Sandbox, span: Span = ALL, **more: Any) -> None:
        self.broker = broker
        self.history = Backfilling(instance(server, "emea", page=200), broker.codec)
        self.span = span
        self.stop = asyncio.Event()
        self.said: list[tuple[int, str | None]] = []
        self.more = {"outstanding": 0, "restart": False, "orgs": []} | more

    def _say(self, state: Backfill, problem: str | None) -> None:
        self.said.append((state["after"], problem))

    async def __call__(self) -> Backfill | None:
        orgs = self.more.pop("orgs")
        try:
            return await self.history.run(self.broker.conf, self.span, orgs, self.stop, say=self._say, **self.more)
        finally:
            await self.history.close()


def brought(broker: Broker) -> Counter[int]:
    return Counter(order["order"]["OrderID"] for order in broker.everything(topics.ORDERS))


def ids(shop: Shop, where: str = "1") -> set[int]:
    return {row["OrderID"] for row in shop.database.select(ORDER, where)}


async def test_stopped_and_resumed_twice_it_brings_every_order_once(
    broker: Broker, shop_server: Sandbox, shop: Shop
) -> None:
    shop_server.rest.faults.append(Fault("slow", match="orderitem", seconds=0.05))
    for wanted in (100, 200):
        run = Run(broker, shop_server)
        task = asyncio.create_task(run())
        await until(lambda run=run, wanted=wanted: any(a >= 1000 + wanted for a, _ in run.said), 40)
        run.stop.set()
        stopped = await task
        assert stopped is not None
        assert stopped["finished_at"] is None
    done = await Run(broker, shop_server)()
    assert done is not None
    assert done["finished_at"] is not None
    assert (done["total"], done["delivered"], done["refused"], done["gone"]) == (450, 450, 0, 0)
    assert brought(broker) == Counter(ids(shop))
    assert standing(broker.conf, broker.codec) == [("emea", done)]
    with pytest.raises(K2xError, match=r"was finished on .* --restart"):
        await Run(broker, shop_server)()


async def test_killed_it_leaves_no_gap_and_repeats_no_more_than_two_batches(
    broker: Broker, shop_server: Sandbox, shop: Shop
) -> None:
    run = Run(broker, shop_server)
    task = asyncio.create_task(run())
    await until(lambda: bool(run.said), 40)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await Run(broker, shop_server)()
    found = brought(broker)
    assert set(found) == ids(shop)
    assert sum(found.values()) <= len(found) + 200
    versions = {(o["order"]["OrderID"], o["version"]) for o in broker.everything(topics.ORDERS)}
    assert len(versions) == 450


async def test_only_the_days_that_were_asked_for(broker: Broker, shop_server: Sandbox, shop: Shop) -> None:
    span = Span(date(2024, 6, 1), date(2025, 1, 1))
    done = await Run(broker, shop_server, span)()
    wanted = ids(shop, "OrderDate >= '2024-06-01' AND OrderDate < '2025-01-01'")
    assert done is not None
    assert (set(brought(broker)), done["total"]) == (wanted, len(wanted))
    assert 0 < len(wanted) < 450


async def test_what_is_bad_is_a_dead_letter_and_what_is_deleted_is_no_fault(
    broker: Broker, shop_server: Sandbox, shop: Shop
) -> None:
    shop.database.update(ORDER, 1010, {"OrderTaxSummary": "<Summary><Item>"})
    genuine = shop_server.rest._list

    def deletes(of: Any, table: Any, scope: Any, site_id: Any, query: dict[str, str]) -> Any:
        answer = genuine(of, table, scope, site_id, query)
        if table is ORDER and "OrderID > " in query.get("where", ""):
            shop.database.delete(ORDER, 1020)
        return answer

    shop_server.rest._list = deletes  # type: ignore[assignment,method-assign]
    done = await Run(broker, shop_server)()
    assert done is not None
    assert (done["delivered"], done["refused"], done["gone"]) == (448, 1, 1)
    (letter,) = broker.letters(topics.CHANGES)
    assert (letter["key"], letter["x-error-code"]) == ("emea|ecommerce.order|1010", "unreadable_field")
    assert letter["__connect.errors.connector.name"] == "backfill"


async def test_an_outage_is_waited_out_and_said(broker: Broker, shop_server: Sandbox, shop: Shop) -> None:
    run = Run(broker, shop_server)
    task = asyncio.create_task(run())
    await until(lambda: bool(run.said), 40)
    fault = Fault("error503")
    shop_server.rest.faults.append(fault)
    await until(lambda: any(problem and "503" in problem for _, problem in run.said), 40)
    shop_server.rest.faults.remove(fault)
    assert await asyncio.wait_for(task, 60) is not None
    assert set(brought(broker)) == ids(shop)


async def test_other_days_do_not_take_over_an_unfinished_run(broker: Broker, shop_server: Sandbox) -> None:
    run = Run(broker, shop_server)
    task = asyncio.create_task(run())
    await until(lambda: bool(run.said), 40)
    run.stop.set()
    await task
    other = Span(date(2025, 1, 1))
    with pytest.raises(K2xError, match=r"since 2024-01-01 is unfinished .* --restart"):
        await Run(broker, shop_server, other)()
    done = await Run(broker, shop_server, other, restart=True)()
    assert done is not None
    assert done["since"] == "2025-01-01"


async def test_live_orders_go_first(broker: Broker, shop_server: Sandbox) -> None:
    """Streams has taken nothing yet: two batches go, and no more until it moves."""
    org = broker.prefix[:40]
    admin = AdminClient(broker.conf)
    for future in admin.create_topics([NewTopic(topics.commands(org), 1, 1)]).values():
        future.result(20)
    run = Run(broker, shop_server, outstanding=200, orgs=[org])
    task = asyncio.create_task(run())
    await until(lambda: sum(brought(broker).values()) == 200, 60, every=0.3)
    await until(lambda: any(problem and "200 orders and commands are unfinished" in problem for _, problem in run.said))
    assert sum(brought(broker).values()) == 200
    streams = Consumer({**broker.conf, "group.id": consumer_groups().streams, "enable.auto.commit": False})
    places = [TopicPartition(topics.ORDERS, partition) for partition in range(2)]
    while not task.done():
        for place in places:
            place.offset = streams.get_watermark_offsets(place, 10)[1]
        streams.commit(offsets=places, asynchronous=False)
        await asyncio.sleep(0.1)
    streams.close()
    assert sum(brought(broker).values()) == 450


async def test_a_plan_counts_by_site_and_cut_over_and_measures(shop_server: Sandbox, shop: Shop, codec: Any) -> None:
    history = Backfilling(instance(shop_server, "emea"), codec)
    plan = await history.plan(ALL, {"GoatUK": date(2025, 1, 1)}, measured=True)
    await history.close()
    uk, de = ids(shop, "OrderSiteID = 1"), ids(shop, "OrderSiteID = 2")
    early = ids(shop, "OrderSiteID = 1 AND OrderDate < '2025-01-01'")
    assert plan.sites == (SitePlan("GoatUK", len(uk), len(early)), SitePlan("GoatDE", len(de), 0))
    assert (plan.orders, len(uk) + len(de)) == (450, 450)
    assert 25 <= plan.requests <= 35
    assert plan.seconds > 0
