"""Reads source topics as they happened: the records of all partitions merged by their time. Writes nothing to them.

Guarantees: within a partition, and so within an order, the topic's own order; between orders the order of time, by
which contacts are found again; nothing after the range's end; a place is committed only when asked to.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from k2x.errors import K2xError
from k2x.replay.broker import TIMEOUT_S, asked

_BUFFER = 1000  # records of a partition held while another one's older records are waited for
_POLL_S = 0.05
_SILENCE_S = 20.0  # a broker that restarts answers again within it


@dataclass(frozen=True, slots=True)
class Range:
    """Records `first` up to but without `end` of one partition."""

    topic: str
    partition: int
    first: int
    end: int


def ranges_of(kafka: Mapping[str, Any], topics: Iterable[str], since: datetime | None) -> list[Range]:
    """What each partition of `topics` holds now, from `since` on. K2xError where a topic is missing."""
    consumer = Consumer({**kafka, "group.id": "k2x-replay-look", "enable.auto.commit": False})  # never joined
    try:
        return [found for topic in topics for found in asked(lambda topic=topic: _ranges(consumer, topic, since))]  # type: ignore[misc]
    finally:
        consumer.close()


def _ranges(consumer: Consumer, topic: str, since: datetime | None) -> list[Range]:
    found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if found.error is not None or not found.partitions:
        raise K2xError(f"{topic} does not exist. `k2x topics apply` creates it.")
    made = []
    for number in sorted(found.partitions):
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=TIMEOUT_S)
        made.append(Range(topic, number, low, high))
    if since is None:
        return made
    moment = int(since.timestamp() * 1000)
    moments = [TopicPartition(topic, r.partition, moment) for r in made]
    # The first record at or after the moment; everything before it is older, whatever clock wrote what follows.
    starts = {p.partition: p.offset for p in consumer.offsets_for_times(moments, timeout=TIMEOUT_S)}
    return [Range(topic, r.partition, _start(starts[r.partition], r), r.end) for r in made]


def _start(found: int, of: Range) -> int:
    return of.end if found < 0 else max(of.first, min(found, of.end))


class Source:
    """One topic's ranges, merged. With `group` it goes on from that group's places, and can commit its own."""

    def __init__(self, kafka: Mapping[str, Any], ranges: Sequence[Range], group: str | None = None) -> None:
        self._topic = ranges[0].topic
        conf = {
            "group.id": group or "k2x-replay-look",  # partitions are assigned by hand: it holds places only
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "queued.max.messages.kbytes": 16384,
        }
        self._consumer = Consumer({**conf, **kafka})
        self._ends = {r.partition: r.end for r in ranges}
        self._places = self._started(ranges, group is not None)
        self._committed = dict(self._places)
        self._open = {p for p, place in self._places.items() if place < self._ends[p]}
        self._heads: dict[int, deque[Message]] = {p: deque() for p in self._open}
        self._at_end: set[int] = set()
        self._paused: set[int] = set()
        self._silent = 0.0
        if self._open:
            self._consumer.assign([TopicPartition(self._topic, p, self._places[p]) for p in sorted(self._open)])

    @property
    def over(self) -> bool:
        """Everything has been taken."""
        return not self._open

    @property
    def left(self) -> int:
        """Records still to look at."""
        return sum(self._ends[p] - self._places[p] for p in self._open)

    def peek(self, wait_s: float) -> Message | None:
        """The oldest record left, or None: it is over, or nothing came within `wait_s`. K2xError when that goes on."""
        begun = time.monotonic()
        while self._open:
            if all(self._heads[p] for p in self._open):
                return self._heads[self._oldest()][0]
            if self._fill():
                self._silent, begun = 0.0, time.monotonic()
            elif time.monotonic() - begun >= wait_s:
                self._silent += time.monotonic() - begun
                if self._silent > _SILENCE_S:
                    raise K2xError(f"{self._topic}: no record within {_SILENCE_S:.0f} s. Is the broker up?")
                return None
        return None

    def take(self) -> None:
        """The record that `peek` shows is done with."""
        partition = self._oldest()
        self._places[partition] = (self._heads[partition].popleft().offset() or 0) + 1
        if partition in self._paused and len(self._heads[partition]) < _BUFFER // 4:
            self._paused.discard(partition)
            self._consumer.resume([TopicPartition(self._topic, partition)])
        self._close_if_over(partition)

    def rest(self) -> Iterator[Message]:
        """Everything left, in one go."""
        while not self.over:
            message = self.peek(_SILENCE_S / 2)
            if message is not None:
                self.take()
                yield message

    def commit(self) -> None:
        """The group's place is behind everything taken so far."""
        moved = [
            TopicPartition(self._topic, p, place) for p, place in self._places.items() if place != self._committed[p]
        ]
        if moved:
            self._consumer.commit(offsets=moved, asynchronous=False)
            self._committed.update({p.partition: p.offset for p in moved})

    def close(self) -> None:
        self._consumer.close()

    def _started(self, ranges: Sequence[Range], resumed: bool) -> dict[int, int]:
        places = {r.partition: r.first for r in ranges}
        if resumed:
            known = [TopicPartition(self._topic, p) for p in places]
            for found in asked(lambda: self._consumer.committed(known, timeout=TIMEOUT_S)):
                if found.error is not None:
                    raise KafkaException(found.error)
                if found.offset != OFFSET_INVALID:
                    places[found.partition] = max(places[found.partition], found.offset)
        return places

    def _oldest(self) -> int:
        return min(self._open, key=lambda p: (self._heads[p][0].timestamp()[1], p))

    def _fill(self) -> bool:
        messages = self._consumer.consume(500, _POLL_S)
        for message in messages:
            partition, error = message.partition() or 0, message.error()
            if partition not in self._open:
                continue
            if error is None:
                if (message.offset() or 0) < self._ends[partition]:
                    self._heads[partition].append(message)
                if (message.offset() or 0) + 1 >= self._ends[partition]:
                    self._at_end.add(partition)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._at_end.add(partition)  # the last offsets of the range hold no records
            elif not error.retriable():
                raise K2xError(f"{self._topic} [{partition}] cannot be read: {error.str()}")
        for partition in list(self._open):
            self._close_if_over(partition)
            if len(self._heads[partition]) >= _BUFFER and partition not in self._paused:
                self._paused.add(partition)
                self._consumer.pause([TopicPartition(self._topic, partition)])
        return bool(messages)

    def _close_if_over(self, partition: int) -> None:
        if partition in self._at_end and not self._heads[partition]:
            self._places[partition] = self._ends[partition]
            self._open.discard(partition)
            self._consumer.pause([TopicPartition(self._topic, partition)])
