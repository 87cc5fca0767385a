"""Debezium's topics read from a real broker: the sandbox shop's rows become whole orders, once, whatever is broken."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from connectors.kentico.cdc import run_cdc
from connectors.kentico.reader import run_reader
from connectors.kentico.sandbox.cdc import Capture
from connectors.kentico.sandbox.schema import ITEM, ORDER, SKU
from connectors.kentico.sandbox.server import Sandbox
from connectors.kentico.sandbox.shop import Shop
from connectors.kentico.settings import CdcProcessSettings, CdcSettings, InstanceSettings, ReaderSettings
from schemas import topics
from tests.connectors.kentico.conftest import Broker, utc_now
from tests.connectors.kentico.rig import counted, instance, running, until

pytestmark = pytest.mark.kafka


@dataclass
class Registry:
    """What a registry does for somebody else's schemas."""

    schemas: list[Any] = field(default_factory=list)

    def register(self, _: str, schema: dict[str, Any]) -> int:
        self.schemas.append(schema)
        return len(self.schemas)

    def foreign(self, schema_id: int) -> Any:
        return self.schemas[schema_id - 1]


@dataclass
class Rig:
    """The shop captured, and the processes over it."""

    broker: Broker
    sandbox: Sandbox
    capture: Capture
    registry: Registry
    cdc: CdcSettings

    @property
    def shop(self) -> Shop:
        return self.sandbox.shops["emea"]

    @property
    def known(self) -> InstanceSettings:
        return instance(self.sandbox, "emea", cdc=self.cdc, secrets=())

    def taking(self, batch: int = 500) -> Callable[[asyncio.Event], Any]:
        told = CdcProcessSettings(instances=(self.known,), group_id=self.broker.group("cdc"), batch=batch)
        broker = self.broker
        deliver = broker.deliverer()
        return lambda stop: run_cdc(told, broker.conf, broker.codec, deliver, stop, utc_now, self.registry)

    def reading(self) -> Callable[[asyncio.Event], Any]:
        told = ReaderSettings(instances=(self.known,), group_id=self.broker.group("reader"), debounce_s=0.3, grace_s=2)
        broker = self.broker
        deliver = broker.deliverer()
        return lambda stop: run_reader(told, broker.conf, broker.codec, deliver, stop, utc_now)

    @property
    def hints(self) -> list[tuple[str, int, str]]:
        found = self.broker.everything(topics.CHANGES)
        assert {hint["source"] for hint in found} <= {"CDC"}
        return [(hint["object_type"], hint["object_id"], hint["event_type"]) for hint in found]

    def place(self, count: int) -> list[int]:
        site = next(iter(self.shop.catalogue.sites))
        return [self.shop.place("plain", site, n, "webhook") for n in range(count)]


@pytest.fixture
async def rig(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    form, times = getattr(request, "param", ("json", "nano"))
    server = Sandbox(tmp_path / "shop")
    await server.start()
    await server.trade.stop()
    registry = Registry()
    capture = Capture(
        server.shops["emea"].database,
        server.clock,
        broker.bootstrap,
        prefix=broker.prefix,
        form=form,
        times=times,
        outbox=f"{broker.prefix}.outbox.event.order",
        register=registry.register,
    )
    await asyncio.to_thread(capture.start)
    yield Rig(broker, server, capture, registry, CdcSettings(topic_prefix=broker.prefix, database=capture.name))
    await asyncio.to_thread(capture.stop)
    await server.stop()


@pytest.mark.parametrize("rig", [("json", "nano"), ("json_schema", "iso"), ("avro", "nano")], indirect=True)
async def test_checkouts_edits_and_deletions_come_out_whole_and_stock_is_no_news(rig: Rig) -> None:
    stock = {"instance": "emea", "table": "COM_SKU", "outcome": "stock_only"}
    before = counted("k2x_cdc_records_total", **stock)
    first, second, gone = rig.place(3)
    rig.shop.follow_up(second, "edit_item_text")
    rig.shop.database.update(SKU, 94, {"SKUName": "Plunger, large", "SKULastModified": "2026-11-02T10:00:00.0000000"})
    with rig.shop.database.transaction():
        for item in rig.shop.database.select(ITEM, "OrderItemOrderID = ?", [gone]):
            rig.shop.database.delete(ITEM, item["OrderItemID"])
        rig.shop.database.delete(ORDER, gone)
    async with running(rig.taking()), running(rig.reading()):
        await until(lambda: len({o["order"]["OrderID"] for o in rig.broker.everything(topics.ORDERS)}) == 3, 60, 0.3)
        await until(lambda: len(rig.broker.everything(topics.PRODUCTS)) == 1, 30, 0.3)
    newest = {order["order"]["OrderID"]: order for order in rig.broker.everything(topics.ORDERS)}
    for order_id in (first, second):
        truth = rig.shop.database.truth(order_id)
        assert newest[order_id]["order"]["OrderTotalPrice"] == Decimal(truth["total_price"])
        assert len(newest[order_id]["items"]) == truth["lines"]
    assert newest[second]["items"][0]["OrderItemText"] == rig.shop.load(second).items[0]["OrderItemText"]
    assert (newest[gone]["deleted"], newest[gone]["event_type"]) == (True, "order.deleted")
    assert newest[gone]["site_name"] == rig.shop.database.truth(gone)["site"], "the instance has several stores"
    assert rig.broker.everything(topics.PRODUCTS)[0]["SKUName"] == "Plunger, large"
    assert {kind for kind, *_ in rig.hints} == {"ecommerce.order", "ecommerce.sku"}
    assert counted("k2x_cdc_records_total", **stock) > before
    assert rig.broker.letters(topics.CHANGES) == []
    # About ten rows a checkout, and one hint of an order in each batch.
    assert len(rig.hints) < 12


async def test_a_snapshot_asks_for_nothing_but_the_days_that_were_named(rig: Rig) -> None:
    rig.shop.database.watch = None  # these were there before capturing began
    old, new = rig.place(2)
    rig.shop.database.update(ORDER, old, {"OrderDate": "2020-01-01T00:00:00.0000000"})
    rows = rig.capture.snapshot()
    assert rows > 50
    snapshot = {"instance": "emea", "outcome": "snapshot"}

    def seen() -> float:
        tables = ("COM_Order", "COM_OrderItem", "COM_OrderAddress", "COM_OrderStatusUser", "COM_Customer", "COM_SKU")
        return sum(counted("k2x_cdc_records_total", table=table, **snapshot) for table in tables)

    before = seen()
    rig.cdc = rig.cdc.model_copy(update={"snapshot_since": date(2026, 1, 1)})
    async with running(rig.taking()):
        await until(lambda: seen() - before == rows - 1, 60, 0.2)
    assert rig.hints == [("ecommerce.order", new, "order.updated")]


async def test_bad_records_are_dead_letters_that_go_back_to_their_topic_and_the_rest_flows(rig: Rig) -> None:
    orders = rig.capture.topic(ORDER)
    producer = Producer({**rig.broker.conf, "enable.idempotence": True})
    bad = [b"<xml>", b'{"OrderID": 5}', json.dumps({"op": "c", "source": {"table": "COM_Order"}, "after": {}}).encode()]
    for number, value in enumerate(bad):
        producer.produce(orders, key=f"k{number}", value=value)
    producer.produce(orders, key=b"tombstone", value=None)
    assert producer.flush(10) == 0
    (good,) = rig.place(1)
    async with running(rig.taking()):
        await until(lambda: ("ecommerce.order", good, "order.updated") in rig.hints, 60, 0.3)
        await until(lambda: len(rig.broker.letters(topics.CHANGES)) == 3, 30, 0.3)
    letters = rig.broker.letters(topics.CHANGES)
    assert sorted(letter["key"] for letter in letters) == ["k0", "k1", "k2"]
    assert {letter["x-error-code"] for letter in letters} == {"unreadable_envelope"}
    assert {letter["__connect.errors.topic"] for letter in letters} == {orders}
    assert {hint[1] for hint in rig.hints} == {good}


async def test_killed_in_mid_flow_no_order_is_missed(rig: Rig) -> None:
    ids = rig.place(30)
    for seen in (1, 10):
        task = asyncio.create_task(rig.taking(batch=20)(asyncio.Event()))
        await until(lambda seen=seen: len({hint[1] for hint in rig.hints}) >= seen, 60, 0.2)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    async with running(rig.taking(batch=20)):
        await until(lambda: {hint[1] for hint in rig.hints} == set(ids), 60, 0.3)


@pytest.mark.parametrize("rig", [("json", "nano"), ("json_schema", "nano")], indirect=True)
async def test_an_outbox_brings_whole_events_and_refuses_odd_ones(rig: Rig) -> None:
    outbox = str(rig.capture.outbox)
    rig.cdc = CdcSettings(outbox_topics=(outbox,))
    rig.shop.full_joins = True
    ids = rig.place(2)
    producer = Producer({**rig.broker.conf, "enable.idempotence": True})
    producer.produce(outbox, key=b"9", value=json.dumps({"specVersion": 1, "eventType": "order.paid"}).encode())
    assert producer.flush(10) == 0
    async with running(rig.taking()):
        await until(lambda: len(rig.broker.everything(topics.ORDERS)) >= 2, 60, 0.3)
        await until(lambda: len(rig.broker.letters(topics.CHANGES)) == 1, 30, 0.3)
    found = rig.broker.everything(topics.ORDERS)
    assert {order["order"]["OrderID"] for order in found} == set(ids)
    assert {order["source"] for order in found} == {"CDC"}
    (letter,) = rig.broker.letters(topics.CHANGES)
    assert (letter["x-error-code"], letter["__connect.errors.topic"]) == ("unreadable_field", outbox)
    assert "instance" in letter["__connect.errors.exception.message"]
