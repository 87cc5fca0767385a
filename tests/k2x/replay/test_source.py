"""Reading a source topic: by time across partitions, in its own order within one, from and to where it is said."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from k2x.replay.chosen import Chosen, Sieve
from k2x.replay.copies import copy_of
from k2x.replay.source import Range, Source, ranges_of
from schemas import topics
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.ids import CommittedIds
from tests.streams import samples

pytestmark = pytest.mark.kafka
T0 = datetime(2026, 11, 2, tzinfo=UTC)


class Topic:
    """Three partitions with records at given seconds."""

    def __init__(self, kafka: str, name: str) -> None:
        self.kafka, self.name = {"bootstrap.servers": kafka}, name
        admin = AdminClient(self.kafka)  # kept: one that is let go never answers
        (made,) = admin.create_topics([NewTopic(name, 3, 1)]).values()
        made.result(timeout=30)
        self._producer = Producer({**self.kafka, "enable.idempotence": True})

    def put(self, partition: int, seconds: Iterable[int]) -> None:
        for second in seconds:
            at = int((T0 + timedelta(seconds=second)).timestamp() * 1000)
            self._producer.produce(self.name, str(second).encode(), key=b"k", partition=partition, timestamp=at)
        assert self._producer.flush(20) == 0

    def read(self, ranges: list[Range], group: str | None = None) -> list[int]:
        source = Source(self.kafka, ranges, group)
        found = [int(m.value() or b"") for m in source.rest()]
        source.close()
        return found


@pytest.fixture
def topic(kafka: str, topic_prefix: str) -> Topic:
    made = Topic(kafka, topic_prefix)
    made.put(0, range(0, 3000, 2))
    made.put(1, range(1, 3000, 2))
    return made


def test_records_come_by_time_and_a_partition_that_lags_far_behind_does_no_harm(topic: Topic) -> None:
    topic.put(2, range(10_000, 10_010))  # all of it younger: the others are read to their end first
    assert topic.read(ranges_of(topic.kafka, [topic.name], None)) == [*range(3000), *range(10_000, 10_010)]


def test_what_comes_later_is_not_of_the_range_and_since_begins_there(topic: Topic) -> None:
    ranges = ranges_of(topic.kafka, [topic.name], T0 + timedelta(seconds=2990))
    topic.put(2, [1])
    topic.put(0, [4000])
    assert topic.read(ranges) == list(range(2990, 3000))
    assert topic.read(ranges_of(topic.kafka, [topic.name], T0 + timedelta(days=1))) == []


def test_within_a_partition_the_topics_own_order_holds_whatever_the_times_say(topic: Topic) -> None:
    """A sender's clock may go back: an order's versions still come as they came."""
    topic.put(2, [50, 20, 70])
    found = topic.read(ranges_of(topic.kafka, [topic.name], None))
    mine = [second for second in found if found.count(second) == 2]
    assert (
        mine.index(50) < max(i for i, s in enumerate(mine) if s == 20) < max(i for i, s in enumerate(mine) if s == 70)
    )


def test_a_group_goes_on_behind_what_it_has_committed(topic: Topic) -> None:
    ranges, group = ranges_of(topic.kafka, [topic.name], None), f"{topic.name}-group"
    first = Source(topic.kafka, ranges, group)
    for _ in range(100):
        assert first.peek(10.0) is not None
        first.take()
    first.commit()
    message = first.peek(10.0)  # looked at, not taken: it comes again
    first.close()
    assert message is not None
    assert topic.read(ranges, group) == list(range(100, 3000))


def order_message(topic: Topic, partition: int, key: bytes, value: bytes, headers: Any = None) -> Any:
    producer = Producer({**topic.kafka, "enable.idempotence": True})
    producer.produce(topic.name, value, key=key, partition=partition, headers=headers)
    assert producer.flush(20) == 0
    last = [r for r in ranges_of(topic.kafka, [topic.name], None) if r.partition == partition]
    source = Source(topic.kafka, [Range(topic.name, partition, last[0].end - 1, last[0].end)])
    message = source.peek(10.0)
    source.close()
    return message


CODEC = Codec(CommittedIds())
FED = {"emea": {"emea/GoatUK": "uk", "emea/GoatDE": "de"}, "solo": {"solo/Only": "uk"}}


class Named:
    """A message of the orders topic, whatever topic it was read from."""

    def __init__(self, message: Any, topic: str = topics.ORDERS) -> None:
        self._message, self._topic = message, topic

    def topic(self) -> str:
        return self._topic

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)


def test_a_sieve_takes_an_organisations_own(topic: Topic) -> None:
    def seen(number: int, instance: str = "emea", site: str | None = "GoatUK") -> Any:
        value = CODEC.encode("order", samples.order(number, instance=instance, site=site))
        return Named(order_message(topic, 2, f"{instance}|{number}".encode(), value))

    def takes(message: Any, org: str = "uk", **chosen: Any) -> bool:
        return Sieve(org, Chosen(("uk", "de"), **chosen), FED).takes(message, CODEC)

    order = seen(1042)
    assert takes(order)
    assert not takes(order, "de")
    assert not takes(seen(1, site="Nowhere"))
    assert takes(seen(1, "solo", None)), "an instance's only store needs no name"
    assert not takes(seen(1, "elsewhere"))
    assert not takes(order, stores=frozenset({"emea/GoatDE"}))
    for asked in ("emea|1042", "emea/1042", "emea/GoatUK/1042", "1042"):
        assert takes(order, orders=(asked,))
    for asked in ("emea|42", "solo/1042", "emea/GoatDE/1042", "11042"):
        assert not takes(order, orders=(asked,))
    now = datetime.now(UTC)
    assert takes(order, since=now - timedelta(hours=1), until=now + timedelta(hours=1))
    assert not takes(order, since=now + timedelta(hours=1))
    assert not takes(order, until=now - timedelta(hours=1))
    customer = Named(order_message(topic, 2, b"emea|7", b"whatever"), topics.CUSTOMERS)
    assert takes(customer, "uk")
    assert takes(customer, "de"), "a customer is for every organisation that the instance feeds"
    with pytest.raises(SchemaError):
        takes(Named(order_message(topic, 2, b"emea|7", b"no avro")))


def test_a_settlement_is_its_stores_organisations_or_the_instances_only_one() -> None:
    sieve = {org: Sieve(org, Chosen(("uk", "de"), everything=True), FED) for org in ("uk", "de")}
    assert sieve["uk"].settles("emea", "GoatUK")
    assert not sieve["de"].settles("emea", "GoatUK")
    assert not sieve["uk"].settles("emea", None), "it would be two organisations'"
    assert sieve["uk"].settles("solo", None)
    assert not sieve["de"].settles("elsewhere", "GoatDE")
    assert Chosen(("uk",), everything=True).topics[-1] == topics.SETTLEMENTS


def test_a_copy_has_the_same_bytes_and_says_whose_it_is_and_not_what_had_failed(topic: Topic) -> None:
    headers = [
        ("mine", b"\x00\xff"), ("traceparent", b"00-1"), ("x-replay-count", b"4"), ("x-error-class", b"mapping"),
        ("__connect.errors.topic", b"kentico.orders.v1"), ("x-first-failed-at", b"then"), ("x-replay-id", b"old"),
    ]  # fmt: skip
    message = order_message(topic, 1, b"emea|1", b"bytes", headers)
    copy = copy_of(Named(message), "r1", "uk", 2)  # type: ignore[arg-type]
    assert (copy.topic, copy.partition) == (topics.REPLAY_OF[topics.ORDERS], 2)
    assert (copy.key, copy.value) == (b"emea|1", b"bytes")
    assert dict(copy.headers) == {
        "mine": b"\x00\xff", "traceparent": b"00-1", "x-replay-id": b"r1", "x-replay-org": b"uk",
        "x-source-topic": topics.ORDERS.encode(), "x-source-partition": b"1",
        "x-source-offset": str(message.offset()).encode(),
    }  # fmt: skip
