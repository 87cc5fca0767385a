"""The guard without a broker: one record's fault is one letter; a failed delivery is nobody's to swallow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import NotDelivered, UnknownSchema
from schemas.ids import CommittedIds
from streams.guard import Guard
from streams.metrics import Metrics
from streams.outputs import Incoming, Outputs, Source, Subject, unpark
from streams.settings import StreamsSettings
from tests.streams import samples

CODEC = Codec(CommittedIds())


class Echo:
    """A handler that fails where the value says so."""

    agent = "orders"
    kind = "order"

    def handle(self, source: Source, now: datetime) -> list[Record]:
        if source.value == b"boom":
            raise KeyError("x")
        if source.value == b"new":
            raise UnknownSchema("schema id 99")
        return [Record("out", source.key, source.value)]


class Broker:
    """A delivery that keeps or refuses."""

    def __init__(self, up: bool = True) -> None:
        self.up = up
        self.records: list[Record] = []

    async def deliver(self, records: Sequence[Record]) -> None:
        if not self.up:
            raise NotDelivered("down")
        self.records += records


def _guard(tmp_path: Path, broker: Broker) -> tuple[Guard, Outputs, Metrics]:
    settings = StreamsSettings(kafka={}, stores={}, data_dir=tmp_path)
    outputs, metrics = Outputs(settings, CODEC), Metrics()
    return Guard(Echo(), outputs, broker, metrics, lambda: samples.START), outputs, metrics


def _incoming(value: bytes, offset: int = 0, topic: str = topics.ORDERS) -> Incoming:
    return Incoming(topic, 1, offset, b"emea|1", value, [("x-replay-count", b"2")])


async def test_a_fault_becomes_a_letter_and_the_rest_goes_on(tmp_path: Path) -> None:
    broker = Broker()
    guard, _, metrics = _guard(tmp_path, broker)
    await guard.batch([_incoming(b"a", 7), _incoming(b"boom", 8), _incoming(b"new", 9), _incoming(b"b", 10)])
    assert [r.value for r in broker.records if r.topic == "out"] == [b"a", b"b"]
    letters = [r for r in broker.records if r.topic == topics.dead_letter(topics.ORDERS)]
    assert [r.value for r in letters] == [b"boom", b"new"]
    said = dict(letters[0].headers)
    assert (said["__connect.errors.offset"], said["x-error-code"], said["x-replay-count"]) == (
        b"8",
        b"unexpected",
        b"2",
    )
    assert dict(letters[1].headers)["x-error-code"] == b"undecodable"
    refused = [CODEC.decode(r.value or b"") for r in broker.records if r.topic == topics.RESULTS]
    assert {(r["outcome"], r["order_id"], r["instance"]) for r in refused} == {("REFUSED", "1", "emea")}
    value = metrics.registry.get_sample_value
    assert value("k2x_streams_dead_letters_total", {"agent": "orders", "error_class": "bug"}) == 2
    assert value("k2x_streams_batch_events_sum", {"agent": "orders"}) == 4


async def test_a_failed_delivery_leaves_the_guard(tmp_path: Path) -> None:
    guard, _, _ = _guard(tmp_path, Broker(up=False))
    with pytest.raises(NotDelivered):
        await guard.batch([_incoming(b"a")])


async def test_a_result_that_fails_makes_no_result(tmp_path: Path) -> None:
    broker = Broker()
    guard, _, _ = _guard(tmp_path, broker)
    await guard.batch([_incoming(b"boom", topic=topics.RESULTS)])
    assert [r.topic for r in broker.records] == [topics.dead_letter(topics.RESULTS)]


def test_a_parked_record_comes_back_as_it_was(tmp_path: Path) -> None:
    _, outputs, _ = _guard(tmp_path, Broker())
    original = _incoming(b"value", 42)
    now = samples.START
    subject = Subject("emea", "order", "emea|1", now, org="uk", store="emea/GoatUK", order_id="1")
    record, result = outputs.parked(original, subject, "uk", "uk has no rules yet", topics.PARKED, now)
    assert (record.key, record.value) == (original.key, original.value)
    back, org = unpark(Incoming(topics.PARKED, 0, 3, record.key, record.value, record.headers))
    assert (back, org) == (original, "uk")
    assert CODEC.decode(result.value or b"")["outcome"] == "PARKED"
