"""Consumer lag as the broker has it: partitions without a commit, groups without members, markers of transactions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from k2x.errors import K2xError
from k2x.watch.lag import Behind, Lag, Sample, Watched, behind
from k2x.watch.process import Stalls
from schemas import topics

pytestmark = pytest.mark.kafka
OLD_S = 3600.0


@dataclass
class Ground:
    """A topic of two partitions, one organisation's commands, and what groups have done with them."""

    kafka: dict[str, Any]
    prefix: str

    @property
    def topic(self) -> str:
        return f"{self.prefix}-orders"

    @property
    def org(self) -> str:
        return self.prefix

    @property
    def group(self) -> str:
        return f"{self.prefix}-group"

    def create(self) -> None:
        forever = {"retention.ms": "-1"}  # the records are written with old times
        new = [NewTopic(self.topic, 2, 1, config=forever), NewTopic(topics.commands(self.org), 1, 1, config=forever)]
        admin = AdminClient(self.kafka)  # kept: one that is let go never answers
        for future in admin.create_topics(new).values():
            future.result(timeout=30)

    def write(self, topic: str, partition: int, count: int, age_s: float = OLD_S) -> None:
        producer = Producer({**self.kafka, "enable.idempotence": True})
        at = int((time.time() - age_s) * 1000)
        for number in range(count):
            producer.produce(topic, value=str(number), partition=partition, timestamp=at + number)
        assert producer.flush(20) == 0

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        consumer = Consumer({**self.kafka, "group.id": group})
        consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
        consumer.close()

    def sample(self, *watched: Watched) -> dict[tuple[str, str, int], Behind]:
        found = Lag(self.kafka, watched).sample()
        return {(one.group, one.topic, one.partition): one for one in found.behind}


@pytest.fixture
def ground(kafka: str, topic_prefix: str) -> Ground:
    made = Ground({"bootstrap.servers": kafka, "log_level": 0}, topic_prefix)
    made.create()
    return made


def test_a_partition_without_a_commit_counts_from_its_oldest_record_and_a_group_without_members_is_seen(
    ground: Ground,
) -> None:
    ground.write(ground.topic, 0, 10)
    ground.write(ground.topic, 1, 7)
    ground.commit(ground.group, ground.topic, 0, 4)  # the group is empty: nobody ever joined it
    found = ground.sample(Watched(ground.group, (ground.topic,)))

    first, second = (found[ground.group, ground.topic, n] for n in (0, 1))
    assert (first.committed, first.records) == (4, 6)
    assert (second.committed, second.records) == (None, 7)
    assert OLD_S - 60 < first.seconds < OLD_S + 600


def test_a_group_that_the_broker_does_not_know_is_behind_by_everything(ground: Ground) -> None:
    ground.write(ground.topic, 1, 3)
    found = ground.sample(Watched(f"{ground.prefix}-never", (ground.topic,)))
    assert [found[f"{ground.prefix}-never", ground.topic, n].records for n in (0, 1)] == [0, 3]


def test_members_are_counted_while_they_are_there(ground: Ground) -> None:
    consumer = Consumer({**ground.kafka, "group.id": ground.group, "auto.offset.reset": "earliest"})
    consumer.subscribe([ground.topic])
    ends = time.monotonic() + 60
    while not consumer.assignment() and time.monotonic() < ends:
        consumer.poll(0.1)
    assert Lag(ground.kafka, [Watched(ground.group, (ground.topic,))]).sample().members == {ground.group: 1}
    consumer.close()
    assert Lag(ground.kafka, [Watched(ground.group, (ground.topic,))]).sample().members == {ground.group: 0}


def test_an_organisation_s_lag_is_that_of_its_command_topic_by_the_pattern(ground: Ground) -> None:
    ground.write(topics.commands(ground.org), 0, 5, age_s=30)
    ground.commit(ground.group, topics.commands(ground.org), 0, 2)
    found = ground.sample(Watched(ground.group, pattern=topics.COMMANDS_PATTERN))
    mine = found[ground.group, topics.commands(ground.org), 0]
    assert mine.records == 3
    assert 25 < mine.seconds < 600


def test_the_marker_that_a_transaction_leaves_behind_is_no_lag(ground: Ground) -> None:
    producer = Producer({**ground.kafka, "transactional.id": f"{ground.prefix}-tx"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(ground.topic, value="1", partition=0)
    producer.commit_transaction(30)
    ground.commit(ground.group, ground.topic, 0, 1)  # the record is read; offset 1 is the marker

    sample = Lag(ground.kafka, [Watched(ground.group, (ground.topic,))]).sample()
    assert sample.ends[ground.topic, 0] == (0, 2)
    assert [(one.records, one.seconds) for one in sample.behind if one.partition == 0] == [(0, 0.0)]


def test_a_broker_that_is_away_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k2x.watch.lag._TIMEOUT_S", 1.0)
    lag = Lag({"bootstrap.servers": "127.0.0.1:9", "log_level": 0, "socket.connection.setup.timeout.ms": "1000"}, [])
    with pytest.raises(K2xError, match="Is it up"):
        lag.sample()


def test_two_groups_on_one_topic_are_each_asked_from_their_own_place() -> None:
    asked: list[dict[tuple[str, int], int]] = []

    def first_unread(positions: dict[tuple[str, int], int]) -> dict[tuple[str, int], float]:
        asked.append(dict(positions))
        return {place: 100.0 + offset for place, offset in positions.items()}

    found = behind(
        [Watched("a", ("t",)), Watched("b", ("t",))],
        {("t", 0): (0, 10)},
        {"a": {("t", 0): 2}, "b": {("t", 0): 7}},
        first_unread,  # type: ignore[arg-type]
        now=200.0,
    )
    assert sorted(next(iter(one.values())) for one in asked) == [2, 7]
    assert {one.group: (one.records, one.seconds) for one in found} == {"a": (8, 98.0), "b": (3, 93.0)}


def test_work_that_does_not_move_is_told_once_until_it_moves() -> None:
    stalls = Stalls(300)

    def at(seconds: float, committed: int | None, records: int = 5) -> list[str]:
        one = Behind("k2x-sink", "xero.commands.uk.v1", 0, committed, records, 10.0)
        return [notice.org for notice in stalls.new(Sample(at=seconds, behind=(one,), members={"k2x-sink": 0}))]

    assert at(0, 3) == []
    assert at(299, 3) == []
    assert at(300, 3) == ["uk"]
    assert at(900, 3) == []
    assert at(901, 4) == []  # it moved
    assert at(1201, 4) == ["uk"]
    assert at(1300, 9, records=0) == []
    assert at(1700, 9) == []  # new work, which has waited for nothing yet
