"""The Kentico side on a real broker and the sandbox shop: what is accepted arrives whole, whatever is restarted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from connectors.kentico.reader import run_reader
from connectors.kentico.receiver import Receiver, run_receiver
from connectors.kentico.sandbox.rest import Fault
from connectors.kentico.sandbox.schema import HISTORY, ITEM, ORDER
from connectors.kentico.sandbox.server import Sandbox
from connectors.kentico.settings import (
    InstanceSettings,
    ReaderSettings,
    ReceiverSettings,
    WritebackSettings,
)
from connectors.kentico.writeback import run_writeback
from schemas import topics
from tests.connectors.kentico.conftest import Broker, utc_now
from tests.connectors.kentico.rig import counted, instance, running, until, values
from tests.connectors.kentico.samples import SHOP, body, event, signed

pytestmark = pytest.mark.kafka


def settings(broker: Broker, *instances: InstanceSettings, **changes: Any) -> ReaderSettings:
    known: dict[str, Any] = {
        "debounce_s": 0.2,
        "grace_s": 0.4,
        "outage_pause_s": 0.05,
        "group_id": broker.group("reader"),
    }
    return ReaderSettings(instances=instances, **(known | changes))


def change(name: str, object_id: int, **more: Any) -> tuple[str, dict[str, Any]]:
    value = {
        "instance": name,
        "object_type": "ecommerce.order",
        "object_id": object_id,
        "event_type": "order.updated",
        "source": "HINT",
        "received_at": utc_now(),
    } | more
    return f"{name}|{value['object_type']}|{object_id}", value


def reader(broker: Broker, chosen: ReaderSettings) -> Callable[[asyncio.Event], Any]:
    return lambda stop: run_reader(chosen, broker.conf, broker.codec, broker.deliverer(), stop, utc_now)


def outcomes(outcome: str) -> float:
    return counted("k2x_reader_objects_total", instance="emea", object_type="ecommerce.order", outcome=outcome)


async def test_signed_order_is_on_kafka_when_it_is_answered(broker: Broker) -> None:
    serving = ReceiverSettings(instances=(SHOP,), port=0)
    receiver = Receiver(serving, broker.codec, broker.deliverer(), utc_now)
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with (
        running(lambda stop: run_receiver(receiver, serving, stop, port.set_result)),
        aiohttp.ClientSession(f"http://127.0.0.1:{await port}") as session,
    ):
        raw = body(event(), event())
        async with session.post("/kentico/emea/events", data=raw, headers=signed(raw, utc_now())) as reply:
            assert reply.status == 202
    found = await asyncio.to_thread(broker.messages, topics.ORDERS, 2)
    assert [message.key() for message in found] == [b"emea|28"] * 2
    assert broker.codec.decode(found[0].value() or b"")["order"]["OrderTotalPrice"] == Decimal("94.44")


async def test_broker_down_is_503_in_time(broker: Broker) -> None:
    from schemas.delivery import Deliverer

    away = Deliverer({"bootstrap.servers": "127.0.0.1:1"}, timeout=1.0)
    serving = ReceiverSettings(instances=(SHOP,), port=0)
    receiver = Receiver(serving, broker.codec, away, utc_now)
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with (
        running(lambda stop: run_receiver(receiver, serving, stop, port.set_result)),
        aiohttp.ClientSession(f"http://127.0.0.1:{await port}") as session,
    ):
        raw = body(event())
        async with session.post("/kentico/emea/events", data=raw, headers=signed(raw, utc_now())) as reply:
            assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
        async with session.get("/healthz") as health:
            assert "not acknowledging" in (await health.json())["broker"]


async def test_the_public_order_of_2021_comes_out_to_the_cent(broker: Broker, sandbox: Sandbox) -> None:
    broker.send("change", topics.CHANGES, [change("seed2021", 156889)])
    async with running(reader(broker, settings(broker, instance(sandbox, "seed2021")))):
        (order,) = await values(broker, topics.ORDERS, 1)
    row, (item,) = order["order"], order["items"]
    assert item["OrderItemTotalPrice"] + row["OrderTotalShipping"] == row["OrderTotalPrice"]
    assert (item["OrderItemTotalPrice"], row["OrderTotalShipping"]) == (Decimal("0.82"), Decimal("1.60"))
    assert row["OrderTotalPrice"] == Decimal("2.42")
    assert item["OrderItemProductDiscounts"] == [{"name": "KA017 - User discount", "value": Decimal("0.83")}]
    assert (row["OrderIsPaid"], order["status"]["StatusOrderIsPaid"]) == (None, True)
    # British Summer Time, and the job that rewrote the order a week later is its version.
    assert row["OrderDate"] == datetime(2021, 6, 9, 12, 59, 3, 951285, tzinfo=UTC)
    assert order["version"] == datetime(2021, 6, 16, 7, 0, 10, 246838, tzinfo=UTC)
    assert (order["site_name"], order["currency"]["CurrencyCode"]) == ("SeedUK", "GBP")
    assert (item["SKUNumber"], item["TaxClassName"], item["TaxRate"]) == ("SEED-11025", "ZeroVAT", Decimal(0))
    assert {address["CountryTwoLetterCode"] for address in order["addresses"]} == {"GB"}
    assert (order["source"], order["customer"]["CustomerID"]) == ("REST", 104904)


@pytest.mark.parametrize("mode", ["iso", "iso-offset", "msdate"])
async def test_a_batch_of_orders_takes_six_requests_in_every_date_mode(
    broker: Broker, sandbox: Sandbox, mode: str
) -> None:
    from connectors.kentico.sandbox.render import DateMode

    shop = sandbox.shops["emea"]
    shop.date_mode = DateMode(mode)
    site = next(iter(shop.catalogue.sites))
    ids = [shop.place("plain", site, f"s{i}", None) for i in range(100)]
    labels = {"instance": "emea"}
    batches = counted("k2x_reader_batch_requests_count", **labels)
    requests = counted("k2x_reader_batch_requests_sum", **labels)
    # Several hints of one order are one reading.
    broker.send("change", topics.CHANGES, [change("emea", i) for i in ids] + [change("emea", ids[0])] * 3)
    async with running(reader(broker, settings(broker, instance(sandbox, "emea"), debounce_s=1.0))):
        await values(broker, topics.ORDERS, 100)
    found = await values(broker, topics.ORDERS, 101, within=1.5)
    assert sorted(order["order"]["OrderID"] for order in found) == sorted(ids)
    for order in found:
        truth = shop.database.truth(order["order"]["OrderID"])
        assert order["order"]["OrderTotalPrice"] == Decimal(truth["total_price"])
        assert abs(order["version"] - utc_now()) < timedelta(minutes=2)
    batches = counted("k2x_reader_batch_requests_count", **labels) - batches
    requests = counted("k2x_reader_batch_requests_sum", **labels) - requests
    assert batches >= 1  # how many depends on when the hints came
    assert 5 <= requests / batches <= 7


async def test_poison_is_a_dead_letter_and_the_others_go_on(broker: Broker, sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    site = next(iter(shop.catalogue.sites))
    good, bad, empty = (shop.place("plain", site, i, None) for i in range(3))
    shop.database.update(ORDER, bad, {"OrderTaxSummary": "<Summary><Item>"})
    for item in shop.database.select(ITEM, "OrderItemOrderID = ?", [empty]):
        shop.database.delete(ITEM, item["OrderItemID"])
    hints = [change("emea", bad), change("emea", 999_999), change("emea", empty), change("emea", good)]
    hints += [change("nowhere", 1), change("emea", 5, object_type="ecommerce.giftcard")]
    broker.send("change", topics.CHANGES, hints)
    from confluent_kafka import Producer

    producer = Producer({**broker.conf, "enable.idempotence": True})
    producer.produce(topics.CHANGES, key=b"junk", value=b"no record of ours")
    producer.flush(10)
    async with running(reader(broker, settings(broker, instance(sandbox, "emea")))):
        found = await values(broker, topics.ORDERS, 2)
        letters = await asyncio.to_thread(broker.messages, topics.dead_letter(topics.CHANGES), 5)
    # An order without lines is looked at again, then handed on: refusing it is the streams' business.
    assert sorted(order["order"]["OrderID"] for order in found) == sorted([good, empty])
    by_key = {letter.key(): {name: value.decode() for name, value in letter.headers() or []} for letter in letters}
    codes = {key: headers["x-error-code"] for key, headers in by_key.items()}
    assert codes == {
        f"emea|ecommerce.order|{bad}".encode(): "unreadable_field",
        b"emea|ecommerce.order|999999": "not_found",
        b"nowhere|ecommerce.order|1": "no_rest",
        b"emea|ecommerce.giftcard|5": "object_type",
        b"junk": "not_decodable",
    }
    headers = by_key[f"emea|ecommerce.order|{bad}".encode()]
    assert "order.OrderTaxSummary" in headers["__connect.errors.exception.message"]
    assert headers["x-natural-key"] == f"emea|{bad}"
    assert headers["x-error-hint"]
    original = next(letter for letter in letters if letter.key() == b"junk")
    assert original.value() == b"no record of ours"
    assert broker.committed(broker.group("reader"), topics.CHANGES) == 7


async def test_outage_is_waited_out_and_hints_come_from_inside_a_transaction(broker: Broker, sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    site = next(iter(shop.catalogue.sites))
    fault = Fault("error503", instance="emea")
    sandbox.rest.faults.append(fault)
    early = shop.database.peek(ORDER.name)
    broker.send("change", topics.CHANGES, [change("emea", early)])
    chosen = settings(broker, instance(sandbox, "emea"), grace_s=20.0)
    async with running(reader(broker, chosen)):
        await until(lambda: counted("k2x_reader_outage", instance="emea") == 1)
        assert broker.committed(chosen.group_id, topics.CHANGES) == 0
        sandbox.rest.faults.remove(fault)
        await until(lambda: counted("k2x_reader_outage", instance="emea") == 0)
        assert shop.place("plain", site, "later", None) == early  # now it is committed in Kentico
        (order,) = await values(broker, topics.ORDERS, 1)
    assert order["order"]["OrderID"] == early


async def test_one_order_that_breaks_the_service_does_not_stop_the_batch(broker: Broker, sandbox: Sandbox) -> None:
    """The service answers 500 whenever one certain order is asked for."""
    shop = sandbox.shops["emea"]
    site = next(iter(shop.catalogue.sites))
    ids = [shop.place("plain", site, i, None) for i in range(5)]
    genuine = sandbox.rest._list

    def poisoned(of: Any, table: Any, scope: Any, site_id: Any, query: Any) -> Any:
        if table is ORDER and str(ids[2]) in query.get("where", ""):
            return aiohttp.web.Response(status=500)
        return genuine(of, table, scope, site_id, query)

    sandbox.rest._list = poisoned  # type: ignore[assignment]
    broker.send("change", topics.CHANGES, [change("emea", i) for i in ids])
    async with running(reader(broker, settings(broker, instance(sandbox, "emea")))):
        found = await values(broker, topics.ORDERS, 4)
        (letter,) = await asyncio.to_thread(broker.messages, topics.dead_letter(topics.CHANGES), 1)
    assert sorted(order["order"]["OrderID"] for order in found) == ids[:2] + ids[3:]
    assert dict(letter.headers() or [])["x-error-code"] == b"unreadable_object"


async def test_restart_in_mid_flow_loses_nothing(broker: Broker, sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    site = next(iter(shop.catalogue.sites))
    ids = [shop.place("plain", site, i, None) for i in range(60)]
    broker.send("change", topics.CHANGES, [change("emea", i) for i in ids])
    chosen = settings(broker, instance(sandbox, "emea"), batch=10, debounce_s=0.05)
    sandbox.rest.faults.append(Fault("slow", seconds=0.05))
    for seen in (1, 20):
        task = asyncio.create_task(reader(broker, chosen)(asyncio.Event()))
        await values(broker, topics.ORDERS, seen)
        task.cancel()  # in the middle of a batch
        with contextlib.suppress(asyncio.CancelledError):
            await task
    async with running(reader(broker, chosen)):
        found = await values(broker, topics.ORDERS, 60)
        while {order["order"]["OrderID"] for order in found} != set(ids):
            more = await values(broker, topics.ORDERS, len(found) + 1, within=10)
            assert len(more) > len(found), "some order never came"
            found = more
    assert await asyncio.to_thread(broker.committed, chosen.group_id, topics.CHANGES) == 60


async def test_deleted_order_customer_and_product(broker: Broker, sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    site = next(iter(shop.catalogue.sites))
    gone = shop.place("plain", site, 1, None)
    kept = shop.place("plain", site, 2, None)
    customer = shop.database.get(ORDER, kept)["OrderCustomerID"]
    sku = shop.database.select(ITEM, "OrderItemOrderID = ?", [kept])[0]["OrderItemSKUID"]
    shop.database.delete(ORDER, gone)
    at = utc_now()
    broker.send(
        "change",
        topics.CHANGES,
        [
            change("emea", gone, event_type="order.deleted", occurred_at=at, site_name=site),
            change("emea", customer, object_type="ecommerce.customer", event_type="customer.updated"),
            change("emea", sku, object_type="ecommerce.sku", event_type="product.updated"),
        ],
    )
    async with running(reader(broker, settings(broker, instance(sandbox, "emea")))):
        (order,) = await values(broker, topics.ORDERS, 1)
        (person,) = await values(broker, topics.CUSTOMERS, 1)
        (product,) = await values(broker, topics.PRODUCTS, 1)
    assert (order["deleted"], order["order"]["OrderID"], order["site_name"]) == (True, gone, site)
    assert person["customer"]["CustomerID"] == customer
    assert product["SKUID"] == sku
    assert product["TaxClassDisplayName"]


async def test_write_back_is_written_once_and_its_echo_is_no_change(broker: Broker, sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    site = next(iter(shop.catalogue.sites))
    order_id = shop.place("plain", site, 1, None)
    labels = {"instance": "emea"}
    before = {
        o: counted("k2x_writeback_orders_total", outcome=o, **labels) for o in ("written", "equal", "dead_letter")
    }
    unchanged = outcomes("unchanged")

    def wish(**fields: str) -> tuple[str, dict[str, Any]]:
        now = utc_now()
        value = {"instance": "emea", "order_id": str(order_id), "fields": fields, "version": now, "at": now}
        return f"emea|{order_id}", value

    known = instance(sandbox, "emea")
    chosen = WritebackSettings(
        instances=(known,), enabled=True, outage_pause_s=0.05, group_id=broker.group("writeback")
    )
    writing = running(lambda stop: run_writeback(chosen, broker.conf, broker.codec, broker.deliverer(), stop, utc_now))
    broker.send("change", topics.CHANGES, [change("emea", order_id)])
    async with running(reader(broker, settings(broker, known))), writing:
        (first,) = await values(broker, topics.ORDERS, 1)
        broker.send("writeback", topics.WRITEBACK, [wish(OrderXeroInvoiceID="INV-1", OrderXeroStatus="PAID")])
        marked = await values(broker, topics.CHANGES, 2)
        # The shop tells of our own write; the order is read again, and is what it was.
        broker.send("change", topics.CHANGES, [change("emea", order_id)])
        await until(lambda: outcomes("unchanged") > unchanged)
        broker.send("writeback", topics.WRITEBACK, [wish(OrderXeroStatus="PAID")])
        broker.send("writeback", topics.WRITEBACK, [wish(OrderStatusID="7")])
        (letter,) = await asyncio.to_thread(broker.messages, topics.dead_letter(topics.WRITEBACK), 1)
        # A person's edit after it is a change, with its own later version.
        shop.put(ORDER, order_id, {"OrderNote": "ring twice"})
        broker.send("change", topics.CHANGES, [change("emea", order_id)])
        both = await values(broker, topics.ORDERS, 2)
    row = shop.database.get(ORDER, order_id)
    assert (row["OrderXeroInvoiceID"], row["OrderXeroStatus"]) == ("INV-1", "PAID")
    assert marked[1]["event_type"] == "order.written_back"
    assert dict(letter.headers() or [])["x-error-code"] == b"writeback_column"
    assert both[1]["version"] > first["version"]
    assert (both[1]["order"]["OrderNote"], both[1]["order"]["custom"]["OrderXeroStatus"]) == ("ring twice", "PAID")
    after = {o: counted("k2x_writeback_orders_total", outcome=o, **labels) for o in before}
    assert {o: after[o] - before[o] for o in before} == {"written": 1, "equal": 1, "dead_letter": 1}
    assert shop.database.count(HISTORY, "OrderID = ?", [order_id]) >= 1
