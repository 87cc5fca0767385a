"""The web process against a deliverer that a test controls; test_flow has the real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from connectors.kentico.receiver import Receiver, run_receiver
from connectors.kentico.settings import InstanceSettings, ReceiverSettings, RestSettings
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import NotDelivered
from tests.connectors.kentico.samples import NOW, OLD_SECRET, SHOP, TOKEN, body, data, event, signed

REST = RestSettings(url="http://127.0.0.1:1/rest", user="k2x", password=SecretStr("x"))
WITH_REST = SHOP.model_copy(update={"rest": REST})


class Deliveries:
    """Keeps what is delivered; fails, or waits, when told to."""

    def __init__(self) -> None:
        self.batches: list[list[Record]] = []
        self.failing = False
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def records(self) -> list[Record]:
        return [record for batch in self.batches for record in batch]

    async def deliver(self, records: Sequence[Record]) -> None:
        await self.gate.wait()
        if self.failing:
            raise NotDelivered("no acknowledgement in time")
        self.batches.append(list(records))


class Shop:
    """A receiver served in this process, and what came out of it."""

    def __init__(self, client: TestClient[Any, Any], out: Deliveries, codec: Codec) -> None:
        self.client, self.out, self.codec = client, out, codec

    async def post(
        self, raw: bytes, headers: dict[str, str] | None = None, at: datetime = NOW
    ) -> tuple[int, dict[str, Any]]:
        async with self.client.post("/kentico/emea/events", data=raw, headers=headers or signed(raw, at)) as reply:
            return reply.status, await reply.json()

    def values(self, topic: str) -> list[dict[str, Any]]:
        return [self.codec.decode(r.value or b"") for r in self.out.records if r.topic == topic]


async def under_way(client: Any, enough: Callable[[int], bool]) -> None:
    """Wait until the bodies under way are as many bytes as wanted."""
    async with asyncio.timeout(5):
        while not enough(json.loads(await (await client.get("/healthz")).text())["in_flight_bytes"]):
            pass


async def serve(codec: Codec, instance: InstanceSettings, **settings: Any) -> Shop:
    out = Deliveries()
    receiver = Receiver(ReceiverSettings(instances=(instance,), **settings), codec, out, lambda: NOW)
    client = TestClient(TestServer(receiver.app()))
    await client.start_server()
    return Shop(client, out, codec)


@pytest.fixture
async def shop(codec: Codec) -> Any:
    served = await serve(codec, SHOP)
    yield served
    await served.client.close()


@pytest.fixture
async def with_rest(codec: Codec) -> Any:
    served = await serve(codec, WITH_REST)
    yield served
    await served.client.close()


async def test_whole_orders_are_accepted_with_counts(shop: Shop) -> None:
    status, answer = await shop.post(body(event(), event(objectId=29, data=data(29))))
    assert (status, answer) == (
        202,
        {"accepted": 2, "orders": 2, "customers": 0, "products": 0, "changes": 0, "settlements": 0, "downgraded": 0},
    )
    assert [record.key for record in shop.out.records] == [b"emea|28", b"emea|29"]
    order = shop.values(topics.ORDERS)[0]
    assert (order["event_id"], order["sequence"], order["source"], order["site_name"]) == (
        "6e3c1c0a",
        7,
        "WEBHOOK",
        "DancingGoatCore",
    )
    assert order["received_at"] == NOW


async def test_each_kind_goes_to_its_topic(shop: Shop) -> None:
    customer = event(
        "customer.updated", objectType="ecommerce.customer", objectId=31, data={"customer": data()["customer"]}
    )
    sku = {"SKUID": 94, "SKUNumber": "COF", "SKUName": "Plunger", "SKUPrice": "29.90"}
    product = event("product.updated", objectType="ecommerce.sku", objectId=94, data={"sku": sku})
    hint = event("order.updated", data=None) | {"siteName": None}
    deleted = event("order.deleted")
    gone = event("order.deleted", data={})
    status, answer = await shop.post(body(customer, product, hint, deleted, gone))
    assert status == 202
    assert {k: answer[k] for k in ("orders", "customers", "products", "changes")} == {
        "orders": 1,
        "customers": 1,
        "products": 1,
        "changes": 2,
    }
    assert shop.values(topics.ORDERS)[0]["deleted"] is True
    change = shop.values(topics.CHANGES)[0]
    assert (change["object_type"], change["object_id"], change["event_type"]) == (
        "ecommerce.order",
        28,
        "order.updated",
    )
    assert [r.key for r in shop.out.records] == [
        b"emea|31",
        b"emea|94",
        b"emea|ecommerce.order|28",
        b"emea|28",
        b"emea|ecommerce.order|28",
    ]


async def test_one_wrong_field_refuses_the_whole_array(shop: Shop) -> None:
    wrong = event()
    wrong["data"]["items"][0]["OrderItemUnitPrice"] = 29.9
    status, answer = await shop.post(body(event(), event(), event(), wrong))
    assert (status, answer["path"]) == (400, "[3].data.items[0].OrderItemUnitPrice")
    assert shop.out.records == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"specVersion": 2}, "specVersion"),
        ({"specVersion": True}, "specVersion"),
        ({"eventType": "order.exploded"}, "eventType"),
        ({"eventId": ""}, "eventId"),
        ({"instance": "apac"}, "instance"),
        ({"schema": "xbyk"}, "schema"),
        ({"objectType": "ecommerce.customer"}, "objectType"),
        ({"objectId": "x"}, "objectId"),
        ({"objectId": 29}, "data.order.OrderID"),
        ({"objectGuid": "x"}, "objectGuid"),
        ({"occurredAt": "yesterday"}, "occurredAt"),
        ({"sequence": -1.5}, "sequence"),
        ({"data": []}, "data"),
        ({"siteName": 5.5}, "siteName"),
        ({"eventType": "order.refunded"}, "data.refund"),
        ({"data": data() | {"site": {"SiteName": "Other"}}}, "data.site.SiteName"),
    ],
)
async def test_bad_envelopes_name_the_path(shop: Shop, change: dict[str, Any], path: str) -> None:
    status, answer = await shop.post(body(event() | change))
    assert (status, answer["path"]) == (400, path)
    assert shop.out.records == []


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"7", b'["x"]', b'{"a":NaN}', b"\xff\xfe", b"[" * 100_000])
async def test_what_is_no_event_is_refused(shop: Shop, raw: bytes) -> None:
    status, answer = await shop.post(raw)
    assert (status, answer["error"]) == (400, "invalid")


async def test_too_many_events(shop: Shop) -> None:
    status, answer = await shop.post(body(*[event(data=None)] * 501))
    assert (status, answer["path"]) == (400, "body")


async def test_signature_is_needed_and_has_a_window(shop: Shop) -> None:
    raw = body(event())
    assert (await shop.post(raw, {"X-Kentico-Signature": ""}))[0] == 401
    assert (await shop.post(raw, signed(raw, secret="not-the-secret-at-all")))[1]["error"] == "signature_mismatch"
    assert (await shop.post(raw, at=NOW - timedelta(minutes=6)))[1]["error"] == "signature_expired"
    assert (await shop.post(raw, signed(raw, secret=OLD_SECRET)))[0] == 202
    assert len(shop.out.records) == 1


async def test_unknown_instance_and_instance_without_secret(codec: Codec) -> None:
    shop = await serve(codec, SHOP.model_copy(update={"secrets": ()}))
    assert (await shop.post(body(event())))[1]["error"] == "no_secret"
    async with shop.client.post("/kentico/nowhere/events", data=b"{}") as reply:
        assert reply.status == 404
    await shop.client.close()


async def test_body_over_the_limit_is_413_with_or_without_its_length(codec: Codec) -> None:
    shop = await serve(codec, SHOP, max_body_bytes=2_000)
    raw = b"x" * 2_001
    assert (await shop.post(raw))[0] == 413

    async def chunks() -> Any:
        for _ in range(30):
            yield b"x" * 100

    async with shop.client.post("/kentico/emea/events", data=chunks(), headers=signed(raw)) as reply:
        assert reply.status == 413
    assert shop.out.records == []
    await shop.client.close()


async def test_compressed_bodies_are_not_taken(shop: Shop) -> None:
    raw = body(event())
    assert (await shop.post(raw, signed(raw) | {"Content-Encoding": "gzip"}))[0] in (400, 415)


async def test_order_too_large_for_kafka_is_refused_by_path(codec: Codec) -> None:
    shop = await serve(codec, SHOP, max_record_bytes=10_000)
    large = event()
    large["data"]["order"]["OrderNote"] = "x" * 10_000
    status, answer = await shop.post(body(event(), large))
    assert (status, answer["path"]) == (400, "[1]")
    assert shop.out.records == []
    await shop.client.close()


async def test_broker_down_is_503_and_what_was_202_was_delivered(shop: Shop) -> None:
    raw = body(event())
    accepted = 0
    for failing in (False, True, True, False):
        shop.out.failing = failing
        async with shop.client.post("/kentico/emea/events", data=raw, headers=signed(raw)) as reply:
            assert reply.status == (503 if failing else 202)
            assert ("Retry-After" in reply.headers) is failing
            accepted += reply.status == 202
    assert len(shop.out.records) == accepted == 2


async def test_requests_under_way_share_a_delivery(shop: Shop) -> None:
    shop.out.gate.clear()
    raw = body(event())
    posts = [asyncio.create_task(shop.post(raw)) for _ in range(8)]
    await under_way(shop.client, lambda held: held >= 8 * len(raw))
    shop.out.gate.set()
    assert [status for status, _ in await asyncio.gather(*posts)] == [202] * 8
    assert len(shop.out.records) == 8
    assert len(shop.out.batches) <= 3


async def test_too_much_under_way_is_429(codec: Codec) -> None:
    raw = body(event())
    shop = await serve(codec, SHOP, max_in_flight_bytes=len(raw) + 10)
    shop.out.gate.clear()
    first = asyncio.create_task(shop.post(raw))
    await under_way(shop.client, lambda held: held > 0)
    status, _ = await shop.post(raw)
    shop.out.gate.set()
    assert status == 429
    assert (await first)[0] == 202
    assert (await shop.post(raw))[0] == 202
    await shop.client.close()


@pytest.mark.parametrize(
    ("row", "object_type", "object_id"),
    [
        ({"OrderID": "28", "OrderTotalPrice": "1e99", "OrderGUID": "junk"}, "ecommerce.order", 28),
        ({"OrderItemID": "61", "OrderItemOrderID": "28"}, "ecommerce.order", 28),
        ({"AddressID": "55", "AddressOrderID": 28}, "ecommerce.order", 28),
        ({"orderid": 28, "ToStatusID": "2"}, "ecommerce.order", 28),
        ({"CustomerID": "31", "CustomerEmail": "jo@example.com"}, "ecommerce.customer", 31),
        ({"SKUID": "94", "SKUPrice": "29,90"}, "ecommerce.sku", 94),
    ],
)
async def test_flat_row_is_only_a_hint(shop: Shop, row: dict[str, Any], object_type: str, object_id: int) -> None:
    async with shop.client.post(f"/kentico/emea/hints/{TOKEN}", json=row) as reply:
        assert reply.status == 202
    change = shop.values(topics.CHANGES)[0]
    assert (change["object_type"], change["object_id"], change["source"]) == (object_type, object_id, "HINT")
    assert "CustomerEmail" not in str(change)


@pytest.mark.parametrize("row", [{}, {"OrderNote": "x"}, {"OrderID": ""}, {"OrderID": "-1"}, [], ["x"]])
async def test_row_that_says_nothing_is_refused(shop: Shop, row: Any) -> None:
    async with shop.client.post(f"/kentico/emea/hints/{TOKEN}", json=row) as reply:
        assert reply.status == 400


async def test_hint_needs_its_token(shop: Shop) -> None:
    async with shop.client.post("/kentico/emea/hints/guessed", json={"OrderID": 1}) as reply:
        assert reply.status == 401
    assert shop.out.records == []


def _without(*path: Any) -> dict[str, Any]:
    changed = event()
    target: Any = changed["data"]
    for step in path[:-1]:
        target = target[step]
    del target[path[-1]]
    return changed


@pytest.mark.parametrize(
    "lacking",
    [
        _without("currency"),
        _without("currency", "CurrencyCode"),
        _without("currency", "CurrencyIsMain"),
        _without("customer"),
        _without("items"),
        _without("items", 0, "SKUNumber"),
        _without("addresses", 0, "CountryTwoLetterCode"),
        _without("paymentOption"),
        _without("shippingOption"),
        _without("order", "OrderTaxSummary"),
        _without("order"),
    ],
)
async def test_event_that_lacks_essentials_becomes_a_hint_where_rest_can_tell(
    with_rest: Shop, lacking: dict[str, Any]
) -> None:
    status, answer = await with_rest.post(body(lacking))
    assert (status, answer["changes"], answer["downgraded"], answer["orders"]) == (202, 1, 1, 0)


async def test_whole_event_stays_whole_where_rest_is_there(with_rest: Shop) -> None:
    assert (await with_rest.post(body(event())))[1]["orders"] == 1
    without_joins = event()
    for item in without_joins["data"]["items"]:
        del item["TaxRate"], item["TaxClassDisplayName"], item["SKUTaxClassID"]
    assert (await with_rest.post(body(without_joins)))[1]["downgraded"] == 1


async def test_lacking_event_goes_on_as_it_is_without_rest(shop: Shop) -> None:
    status, answer = await shop.post(body(_without("items", 0, "SKUNumber")))
    assert (status, answer["orders"]) == (202, 1)


async def test_refund_is_never_downgraded(with_rest: Shop) -> None:
    refunded = event("order.refunded")
    del refunded["data"]["currency"]
    refunded["data"]["refund"] = {"refundId": "R1", "refundedAt": "2026-11-03T00:00:00Z", "amount": "5.00"}
    assert (await with_rest.post(body(refunded)))[1]["orders"] == 1
    assert with_rest.values(topics.ORDERS)[0]["refund"]["refund_id"] == "R1"


async def test_trace_context_is_passed_on(shop: Shop) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    raw = body(event())
    await shop.post(raw, signed(raw) | {"traceparent": trace})
    await shop.post(raw, signed(raw) | {"traceparent": "rubbish"})
    first, second = shop.out.records
    assert first.headers == [("traceparent", trace.encode())]
    assert second.headers == []
    assert [v["traceparent"] for v in shop.values(topics.ORDERS)] == [trace, None]


async def test_stop_answers_what_is_under_way(codec: Codec) -> None:
    out = Deliveries()
    settings = ReceiverSettings(instances=(SHOP,), port=0)
    receiver = Receiver(settings, codec, out, lambda: NOW)
    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(run_receiver(receiver, settings, stop, port.set_result))
    raw = body(event())
    out.gate.clear()
    import aiohttp

    async with aiohttp.ClientSession(f"http://127.0.0.1:{await port}") as session:
        post = asyncio.create_task(session.post("/kentico/emea/events", data=raw, headers=signed(raw)))
        await under_way(session, lambda held: held > 0)
        stop.set()
        out.gate.set()
        assert (await post).status == 202
    await asyncio.wait_for(serving, 10)
    assert len(out.records) == 1
