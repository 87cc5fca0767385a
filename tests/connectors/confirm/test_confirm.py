"""Results told to a target on a real broker: signed, in order, once unless killed, and what is refused apart."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from connectors.confirm.confirm import SIGNATURE_HEADER, run_confirm
from connectors.confirm.settings import ConfirmSettings, Target
from connectors.kentico.signature import verify
from k2x.audit.log import read_to_end
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer
from schemas.ids import CommittedIds

pytestmark = pytest.mark.kafka

SECRET = "a secret of the target"
AT = datetime(2026, 11, 2, 10, 15, tzinfo=UTC)
CODEC = Codec(CommittedIds())


def utc_now() -> datetime:
    return datetime.now(UTC)


def result(order_id: int, outcome: str = "POSTED", kind: str = "invoice", **more: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(
        (
            "xero_id", "number", "status", "total", "total_tax", "amount_due", "currency", "error_class", "error_code",
            "message", "hint", "received_at", "command_id", "traceparent", "replay_id",
        )
    )  # fmt: skip
    known = {"org": "uk", "instance": "main", "store": "main/Shop", "order_id": str(order_id), "kind": kind}
    key = {"ordinal": 0, "key": f"main|{order_id}", "outcome": outcome, "version": AT, "at": AT, "findings": []}
    return nothing | known | key | more


@dataclass
class Site:
    """The target: keeps every event, and answers what `answer` says of a batch."""

    answer: Callable[[list[dict[str, Any]]], int] = lambda events: 204
    heard: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        verify(request.headers[SIGNATURE_HEADER], body, [SECRET], utc_now())
        events = json.loads(body)
        assert request.headers["X-K2X-Event-Id"] == events[0]["eventId"]
        self.requests += 1
        status = self.answer(events)
        if status < 300:
            self.heard += events
        return web.Response(status=status, text="no such order" if status >= 400 else "")

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(event["eventType"], event["orderId"]) for event in self.heard]


@dataclass
class Rig:
    bootstrap: str
    prefix: str
    site: Site

    def send(self, *results: dict[str, Any], topic: str | None = None, **headers: bytes) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True})
        for value in results:
            name = topic or topics.RESULTS
            key = value["key"].encode()
            producer.produce(name, key=key, value=CODEC.encode("result", value), headers=list(headers.items()))
        assert producer.flush(10) == 0

    def letters(self) -> list[Any]:
        return list(read_to_end({"bootstrap.servers": self.bootstrap}, [topics.dead_letter(topics.CONFIRMATIONS)]))

    def process(self, **target: Any) -> Callable[[asyncio.Event], Any]:
        given = {"name": "erp", "url": self.site.url, "secret": SecretStr(SECRET), "backoff_s": 0.02, "history": True}
        told = ConfirmSettings(targets=(Target(**{**given, **target}),), group_id=f"{self.prefix}-confirm")
        kafka = {"bootstrap.servers": self.bootstrap}
        deliverer = Deliverer(kafka, 10.0)
        return lambda stop: run_confirm(told, kafka, CODEC, deliverer, stop, utc_now)

    @contextlib.asynccontextmanager
    async def running(self, **target: Any) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.process(**target)(stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, 20)


async def until(reached: Callable[[], bool], within: float = 40.0) -> None:
    deadline = asyncio.get_running_loop().time() + within
    while not reached():
        assert asyncio.get_running_loop().time() < deadline, "not reached in time"
        await asyncio.sleep(0.1)


@pytest.fixture
def names(kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> str:
    wanted = []
    for name in ("RESULTS", "CONFIRMATIONS"):
        topic = f"{topic_prefix}-{getattr(topics, name)}"
        monkeypatch.setattr(topics, name, topic)
        forever = {"retention.ms": "-1"}
        wanted += [NewTopic(topic, 2, 1, config=forever), NewTopic(topics.dead_letter(topic), 1, 1, config=forever)]
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.create_topics(wanted).values():
        future.result(20)
    return topic_prefix


@pytest.fixture
async def rig(kafka: str, names: str) -> AsyncIterator[Rig]:
    site = Site()
    app = web.Application()
    app.router.add_post("/hook", site.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0)
    await listening.start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield Rig(kafka, names, site)
    await runner.cleanup()


async def test_what_was_posted_refused_or_held_is_told_once_in_order_and_nothing_else(rig: Rig) -> None:
    rig.send(
        result(1, number="UK-1", total="94.44", total_tax="15.74", currency="GBP", xero_id="x"),
        result(1, kind="payment"),
        result(1, "UNCHANGED"),
        result(1, "WAITING"),
        result(1, kind="contact"),
        result(1, "HELD", error_class="held", error_code="other_money", message="changed", hint="decide"),
        result(2, "REFUSED", "order", error_class="mapping", error_code="no_account"),
        result(3, "SUPPRESSED", "order"),
        result(4, store="main/Other"),
        result(5),
    )
    async with rig.running(stores=frozenset({"main/Shop"})):
        await until(lambda: len(rig.site.heard) >= 5)
    async with rig.running(stores=frozenset({"main/Shop"})):  # a restart repeats nothing
        rig.send(result(6))
        await until(lambda: ("invoice.posted", "6") in rig.site.told)
    of_one = [kind for kind, order_id in rig.site.told if order_id == "1"]
    assert of_one == ["invoice.posted", "payment.posted", "invoice.held"]
    assert sorted(rig.site.told) == sorted(
        [
            ("invoice.posted", "1"),
            ("payment.posted", "1"),
            ("invoice.held", "1"),
            ("order.refused", "2"),
            ("invoice.posted", "5"),
            ("invoice.posted", "6"),
        ]
    )
    first = next(event for event in rig.site.heard if (event["eventType"], event["orderId"]) == ("invoice.posted", "1"))
    assert (first["document"]["number"], first["document"]["total"], first["occurredAt"]) == (
        "UK-1",
        "94.44",
        AT.isoformat(),
    )
    held = next(event for event in rig.site.heard if event["eventType"] == "invoice.held")
    assert held["error"] == {"class": "held", "code": "other_money", "message": "changed", "hint": "decide"}
    assert len({event["eventId"] for event in rig.site.heard}) == 6


async def test_a_new_target_begins_with_the_next_result(rig: Rig) -> None:
    rig.send(result(1), result(2))
    async with rig.running(history=False, name="crm"):
        await until(lambda: _began(rig, "crm"))
        rig.send(result(3))
        await until(lambda: len(rig.site.heard) >= 1)
    assert rig.site.told == [("invoice.posted", "3")]


def _began(rig: Rig, target: str) -> bool:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": rig.bootstrap, "group.id": f"{rig.prefix}-confirm-{target}"})
    try:
        places = consumer.committed([TopicPartition(topics.RESULTS, number) for number in range(2)], timeout=10)
        return all(place.offset >= 0 for place in places)
    finally:
        consumer.close()


@pytest.mark.parametrize("status", [503, 401, 429])
async def test_a_target_that_is_away_is_waited_for_and_nothing_is_lost(rig: Rig, status: int) -> None:
    failing = [status] * 3
    rig.site.answer = lambda events: failing.pop() if failing else 200
    rig.send(*(result(number) for number in range(1, 6)))
    async with rig.running(batch=2):
        await until(lambda: len(rig.site.heard) >= 5)
    assert sorted(order_id for _, order_id in rig.site.told) == ["1", "2", "3", "4", "5"]
    assert rig.letters() == []


async def test_an_event_at_which_alone_a_target_fails_holds_up_no_other(rig: Rig) -> None:
    rig.site.answer = lambda events: 500 if "3" in {event["orderId"] for event in events} else 200
    rig.send(*(result(number) for number in range(1, 6)))
    async with rig.running():
        await until(lambda: len(rig.site.heard) >= 4 and len(rig.letters()) >= 1)
    assert sorted({order_id for _, order_id in rig.site.told}) == ["1", "2", "4", "5"]
    (letter,) = rig.letters()
    headers = {name: (value or b"").decode() for name, value in letter.headers() or []}
    assert (headers["x-error-code"], headers["x-natural-key"]) == ("confirmation_refused", "main|3")
    assert "fails at this one each time" in headers["__connect.errors.exception.message"]


async def test_a_target_that_fails_at_everything_is_waited_for(rig: Rig) -> None:
    failing = [500] * 9  # five of the batch, three of the events one by one, and one more before it is mended
    rig.site.answer = lambda events: failing.pop() if failing else 200
    rig.send(*(result(number) for number in range(1, 4)))
    async with rig.running():
        await until(lambda: len(rig.site.heard) >= 3)
    assert rig.letters() == []


async def test_what_is_refused_is_a_dead_letter_that_goes_back_to_its_target_alone(rig: Rig) -> None:
    odd = {"3"}
    rig.site.answer = lambda events: 422 if odd & {event["orderId"] for event in events} else 200
    rig.send(*(result(number) for number in range(1, 6)))
    async with rig.running():
        await until(lambda: len(rig.site.heard) >= 4 and len(rig.letters()) >= 1)
    (letter,) = rig.letters()
    headers = {name: (value or b"").decode() for name, value in letter.headers() or []}
    assert headers["x-error-code"] == "confirmation_refused"
    assert headers["__connect.errors.topic"] == topics.CONFIRMATIONS
    assert headers["x-natural-key"] == "main|3"
    assert "422: no such order" in headers["__connect.errors.exception.message"]
    assert "3" not in {order_id for _, order_id in rig.site.told}
    odd.clear()
    # What a redrive does: the letter's own bytes and headers, to its origin.
    producer = Producer({"bootstrap.servers": rig.bootstrap, "enable.idempotence": True})
    producer.produce(topics.CONFIRMATIONS, key=letter.key(), value=letter.value(), headers=letter.headers())
    assert producer.flush(10) == 0
    before = rig.site.requests
    async with rig.running(name="crm", stores=frozenset({"nobody/Here"})):
        await until(lambda: _began(rig, "crm"))
    assert rig.site.requests == before, "another target is not told of it"
    async with rig.running():
        await until(lambda: ("invoice.posted", "3") in rig.site.told)
    again = rig.site.heard[-1]
    assert again["eventId"] == headers["x-confirm-event"]


async def test_killed_it_repeats_events_with_the_same_ids_and_misses_none(rig: Rig) -> None:
    rig.send(*(result(number) for number in range(1, 31)))
    for seen in (1, 15):
        task = asyncio.create_task(rig.process(batch=3)(asyncio.Event()))
        await until(lambda seen=seen: len(rig.site.heard) >= seen)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    async with rig.running(batch=3):
        await until(lambda: {order_id for _, order_id in rig.site.told} == {str(number) for number in range(1, 31)})
    ids = {event["orderId"]: event["eventId"] for event in rig.site.heard}
    assert all(ids[event["orderId"]] == event["eventId"] for event in rig.site.heard)
    assert utc_now() - AT > timedelta(0)
