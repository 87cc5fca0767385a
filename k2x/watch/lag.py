"""How far behind each consumer group is, asked of the broker: right for partitions without a commit and dead groups.

Under kafka_exporter's names, so that public dashboards and alerts fit, and the real kafka_exporter can take its place.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from k2x.errors import K2xError

_TIMEOUT_S = 10.0
_PEEK_S = 5.0  # for the first unread record of every partition that has one

Place = tuple[str, int]
"""Topic, partition."""


@dataclass(frozen=True)
class Watched:
    """A consumer group and what it reads: these topics, and those that match `pattern`, whether or not it ever came."""

    group: str
    topics: tuple[str, ...] = ()
    pattern: str = ""

    def reads(self, topic: str) -> bool:
        return topic in self.topics or bool(self.pattern and re.match(self.pattern, topic))


@dataclass(frozen=True)
class Behind:
    """One partition of a group. `committed` None: it never committed there, and would begin at the oldest record."""

    group: str
    topic: str
    partition: int
    committed: int | None
    records: int
    seconds: float


@dataclass(frozen=True)
class Sample:
    """One look. `at`: Unix time; `ends`: oldest and next offset of each partition; `members`: by group."""

    at: float
    behind: tuple[Behind, ...] = ()
    ends: Mapping[Place, tuple[int, int]] = field(default_factory=dict)
    members: Mapping[str, int] = field(default_factory=dict)
    brokers: int = 0


def behind(
    watched: Iterable[Watched],
    ends: Mapping[Place, tuple[int, int]],
    committed: Mapping[str, Mapping[Place, int]],
    first_unread: Callable[[Mapping[Place, int]], Mapping[Place, float | None]],
    now: float,
) -> tuple[Behind, ...]:
    """Every partition of every watched group. `first_unread` gives, for positions, the Unix time of the first record at
    or after each, None where there is none: transactions leave markers behind, which are offsets but no records."""
    found: list[tuple[str, Place, int | None, int]] = []
    for one in watched:
        of_group = committed.get(one.group, {})
        for place, (low, _) in ends.items():
            if one.reads(place[0]):
                at = of_group.get(place)
                found.append((one.group, place, at, low if at is None else max(at, low)))
    wanted: dict[Place, set[int]] = {}
    for _, place, _, start in found:
        if start < ends[place][1]:
            wanted.setdefault(place, set()).add(start)
    times: dict[tuple[Place, int], float | None] = {}
    while wanted:  # once, unless two groups read one topic
        asked = {place: starts.pop() for place, starts in wanted.items()}
        times |= {(place, asked[place]): at for place, at in first_unread(asked).items()}
        wanted = {place: starts for place, starts in wanted.items() if starts}
    made = []
    for group, place, at, start in found:
        written = times.get((place, start))
        records = 0 if written is None else ends[place][1] - start
        seconds = 0.0 if written is None else max(0.0, now - written)
        made.append(Behind(group, place[0], place[1], at, records, seconds))
    return tuple(made)


class Lag:
    """Takes samples. `kafka` is librdkafka's configuration; nothing is joined, committed or written."""

    def __init__(
        self, kafka: Mapping[str, Any], watched: Iterable[Watched], clock: Callable[[], float] = time.time
    ) -> None:
        self._kafka = dict(kafka)
        self._admin = AdminClient(self._kafka)
        self._watched = tuple(watched)
        self._clock = clock

    def sample(self) -> Sample:
        """Where everybody stands now. K2xError when the broker does not say."""
        try:
            metadata = self._admin.list_topics(timeout=_TIMEOUT_S)
            places = [
                (name, number)
                for name, topic in metadata.topics.items()
                if topic.error is None and any(one.reads(name) for one in self._watched)
                for number in topic.partitions
            ]
            groups = self._groups()
            # Offsets first, ends afterwards: the other way round a group could be ahead of the end.
            committed = {group: self._committed(group) for group in groups}
            ends = self._ends(places)
            now = self._clock()
            return Sample(
                at=now,
                behind=behind(self._watched, ends, committed, self._first_unread, now),
                ends=ends,
                members={one.group: groups.get(one.group, 0) for one in self._watched},
                brokers=len(metadata.brokers),
            )
        except KafkaException as error:
            raise K2xError(
                f"Kafka does not tell how far the processes are: {error.args[0].str()}. Is it up?"
            ) from error

    def _groups(self) -> dict[str, int]:
        """Members of each watched group that the broker knows. One it does not know cannot be asked for offsets."""
        listed = _answer(self._admin.list_consumer_groups(request_timeout=_TIMEOUT_S))
        if listed.errors:
            raise K2xError(f"Kafka does not list its consumer groups: {listed.errors[0]}. Is it up?")
        wanted = {one.group for one in self._watched}
        known = [group.group_id for group in listed.valid if group.group_id in wanted]
        if not known:
            return {}
        described = self._admin.describe_consumer_groups(known, request_timeout=_TIMEOUT_S)
        return {group: len(_answer(asked).members) for group, asked in described.items()}

    def _committed(self, group: str) -> dict[Place, int]:
        asked = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=_TIMEOUT_S
        )
        found = _answer(asked[group]).topic_partitions
        # -1001: known to the group, never committed.
        return {(p.topic, p.partition): p.offset for p in found if p.error is None and p.offset >= 0}

    def _ends(self, places: list[Place]) -> dict[Place, tuple[int, int]]:
        if not places:
            return {}
        low, high = (self._offsets(places, spec) for spec in (OffsetSpec.earliest(), OffsetSpec.latest()))
        return {place: (low[place], high[place]) for place in places if place in low and place in high}

    def _offsets(self, places: list[Place], spec: OffsetSpec) -> dict[Place, int]:
        asked = self._admin.list_offsets(
            {TopicPartition(*place): spec for place in places},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_TIMEOUT_S,
        )
        return {(p.topic, p.partition): int(_answer(future).offset) for p, future in asked.items()}

    def _first_unread(self, positions: Mapping[Place, int]) -> dict[Place, float | None]:
        """A partition that does not answer in time counts as behind since now."""
        found: dict[Place, float | None] = {}
        conf = {
            "group.id": "k2x-watch-peek",  # required by the client, never joined
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": 1024,
            "fetch.message.max.bytes": 65_536,
            "fetch.wait.max.ms": 10,
        }
        consumer = Consumer({**conf, **self._kafka})
        try:
            consumer.assign([TopicPartition(*place, offset) for place, offset in positions.items()])
            ends = time.monotonic() + _PEEK_S
            while len(found) < len(positions) and time.monotonic() < ends:
                for message in consumer.consume(100, 0.1):
                    place, at = _peeked(message)
                    if place not in found:
                        found[place] = at
                        consumer.pause([TopicPartition(*place)])
        finally:
            consumer.close()
        return {place: found.get(place, self._clock()) for place in positions}


def _peeked(message: Message) -> tuple[Place, float | None]:
    place = (message.topic() or "", message.partition() or 0)
    error = message.error()
    if error is None:
        return place, message.timestamp()[1] / 1000
    if error.name() == "_PARTITION_EOF":
        return place, None
    raise KafkaException(error)


def _answer(asked: Future[Any]) -> Any:
    try:
        return asked.result(_TIMEOUT_S * 2)  # the client gives up by itself before
    except TimeoutError as error:
        raise K2xError(f"Kafka did not answer within {_TIMEOUT_S * 2:.0f} s. Is it up?") from error
