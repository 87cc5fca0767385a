"""What lies between a replay and Xero, counted on a real broker: never too little."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from k2x import kafka_topics
from k2x.errors import K2xError
from k2x.replay.backlog import Backlog, Standing, lane_of
from k2x.replay.broker import asked
from schemas import topics

pytestmark = pytest.mark.kafka
COPIES = topics.REPLAY_OF[topics.ORDERS]


class Groups:
    """Streams and sink as groups of this test's own, whose places the test moves."""

    def __init__(self, kafka: str, name: str) -> None:
        self.kafka: dict[str, Any] = {"bootstrap.servers": kafka}
        self.name, self.orgs = name, [f"{name}-{n}" for n in range(2)]
        kafka_topics.apply(self.kafka, self.orgs, 3, 1)
        self._producer = Producer({**self.kafka, "enable.idempotence": True})

    def backlog(self) -> Backlog:
        return Backlog(self.kafka, self.orgs, [topics.ORDERS], f"{self.name}-streams", f"{self.name}-sink")

    def put(self, topic: str, partition: int, count: int) -> None:
        for _ in range(count):
            self._producer.produce(topic, b"x", partition=partition)
        assert self._producer.flush(20) == 0

    def confirm(self, group: str, topic: str, partition: int, behind: int = 0) -> None:
        """The group has confirmed all but the last `behind` records."""
        consumer = Consumer({**self.kafka, "group.id": f"{self.name}-{group}", "enable.auto.commit": False})
        place = TopicPartition(topic, partition)
        end = asked(lambda: consumer.get_watermark_offsets(place, timeout=20))[1]  # a new topic's leader takes a while
        consumer.commit(offsets=[TopicPartition(topic, partition, end - behind)], asynchronous=False)
        consumer.close()


@pytest.fixture
def groups(kafka: str, topic_prefix: str) -> Groups:
    return Groups(kafka, topic_prefix)


def test_copies_and_commands_are_counted_together(groups: Groups) -> None:
    one, other = groups.orgs
    commands, lane = topics.commands(one), lane_of(one, 3)
    backlog = groups.backlog()
    assert backlog.lanes[one] == {COPIES: lane}
    groups.confirm("streams", COPIES, lane)
    groups.put(commands, 0, 5)
    assert backlog.look()[one] == Standing(copies=0, commands=5, command_end=5, command_done=0)
    groups.put(COPIES, lane, 4)
    groups.confirm("sink", commands, 0, behind=2)
    found = backlog.look()[one]
    assert found == Standing(copies=4, commands=2, command_end=5, command_done=3)
    assert found.outstanding == 6
    groups.confirm("streams", COPIES, lane, behind=1)
    groups.confirm("sink", commands, 0)
    assert backlog.look()[one].outstanding == 1
    assert backlog.look()[other].commands == 0


def test_a_group_that_has_confirmed_nothing_yet_has_everything_before_it(groups: Groups) -> None:
    one = groups.orgs[0]
    groups.put(COPIES, lane_of(one, 3), 3)
    assert groups.backlog().look()[one].copies >= 3


def test_only_confirmed_copies_are_deleted(groups: Groups) -> None:
    one = groups.orgs[0]
    lane = TopicPartition(COPIES, lane_of(one, 3))
    groups.put(COPIES, lane.partition, 6)
    groups.confirm("streams", COPIES, lane.partition, behind=2)
    groups.backlog().forget_confirmed()
    consumer = Consumer({**groups.kafka, "group.id": "look"})
    low, high = consumer.get_watermark_offsets(lane, timeout=20)
    consumer.close()
    assert high - low == 2


def test_groups_are_forgotten_whether_they_ever_were_or_not(groups: Groups) -> None:
    groups.confirm("places", COPIES, 0)
    backlog = groups.backlog()
    for _ in range(2):
        backlog.forget_groups([f"{groups.name}-places", f"{groups.name}-never"])


def test_topics_that_are_missing_are_named_with_the_remedy(groups: Groups) -> None:
    with pytest.raises(K2xError, match=r"xero.commands.nowhere.v1 does not exist. `k2x topics apply` creates it"):
        Backlog(groups.kafka, ["nowhere"], [topics.ORDERS], "s", "k")
