"""Feeds parked records again, each organisation by itself, as soon as it has reference data and rules.

Guarantees: a parked record's place is committed only after its outputs are acknowledged; records of an order keep their
order, because a newer one is parked behind as long as an older one lies here; an organisation that waits delays nobody.
The worker that holds partition p of a source holds p of its parked topic, so both sides agree within one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import structlog
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from streams.errors import CopyLate, MissingTopic, StreamsError, UnequalTopics
from streams.metrics import Metrics
from streams.outputs import Incoming, header_list, unpark
from streams.shelf import Shelf, Waiting, restored

log = structlog.get_logger("k2x.streams")
T = TypeVar("T")

_CHUNK = 500
_SILENCE_S = 20.0  # a broker that restarts answers again within it; the pass begins anew otherwise

# Handles records of one source topic and returns when their outputs are acknowledged.
Feed = Callable[[Sequence[tuple[Incoming, str]]], Awaitable[None]]


class Parking:
    """`sources` maps each source topic to its parked topic; `feeds` each parked topic to what handles its records.

    `ready(org)` says whether an organisation can be fed. Belongs to one event loop; Kafka is asked in a thread.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        group_id: str,
        sources: Mapping[str, str],
        ready: Callable[[str], bool],
        metrics: Metrics,
        check_every: float = 30.0,
    ) -> None:
        self._sources = dict(sources)
        self._ready = ready
        self._metrics = metrics
        self._check_every = check_every
        self._feeds: dict[str, Feed] = {}
        self._shelves: dict[tuple[str, int], Shelf] = {}
        self._locks = {parked: asyncio.Lock() for parked in set(sources.values())}
        self._wake = asyncio.Event()
        self._visiting = asyncio.Lock()
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parked")
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": f"{group_id}-parked",  # holds our places; partitions follow the source's, by assignment
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )

    # What the agents use

    def on_feed(self, parked: str, feed: Feed) -> None:
        self._feeds[parked] = feed

    def parked_topic(self, source: str) -> str:
        return self._sources[source]

    def lock(self, source: str) -> asyncio.Lock:
        """Held by an agent from its decision to park until the broker has the record, and by the feeder for a chunk."""
        return self._locks[self._sources[source]]

    async def prepare(self, source: str, partitions: Iterable[int]) -> None:
        """Know the shelves of these partitions before their records are handled."""
        parked = self._sources.get(source)
        if parked is None or not _is_live(source, parked) or self._closed:
            return
        for partition in partitions:
            if (parked, partition) not in self._shelves:
                shelf = await self._in_thread(partial(self._restore, parked, partition))
                self._shelves.setdefault((parked, partition), shelf)
                for org in shelf.waiting:
                    self._gauge(parked, org)
                self._wake.set()

    def must_park(self, source: str, partition: int, org: str) -> bool:
        """Whether older records of `org` may still be parked where this one belongs."""
        return any(shelf.holds(org) for shelf in self._shelves_of(source, partition))

    def expect(self, source: str, partition: int, org: str) -> None:
        """A record of `org` from this partition is parked with the batch under way."""
        for shelf in self._shelves_of(source, partition):
            shelf.expect(org)
        self._gauge(self._sources[source], org)

    def release(self, source: str, partitions: Iterable[int]) -> None:
        """These partitions are another worker's now."""
        parked = self._sources.get(source, "")
        for partition in partitions:
            shelf = self._shelves.pop((parked, partition), None)
            for org in shelf.waiting if shelf else ():
                self._gauge(parked, org)

    def organisations_changed(self) -> None:
        """Look again at who can be fed."""
        self._wake.set()

    def waiting(self, org: str) -> int:
        """How many parked records of `org` are known here."""
        return sum(shelf.unfed(org) for shelf in self._shelves.values())

    # The feeder

    async def run(self) -> None:
        """Feed for ever. It sleeps until something changes, and looks every `check_every` seconds for records that a
        worker parked while it lost the partition."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._check_every)
            self._wake.clear()
            for key in list(self._shelves):
                async with self._visiting:
                    await self._visit(key)

    async def close(self) -> None:
        """Let the chunk under way be confirmed, then feed no more."""
        self._closed = True
        async with self._visiting:
            await self._in_thread(self._consumer.close)
        self._thread.shutdown(wait=False)

    async def check_topics(self) -> None:
        """UnequalTopics where a source and its parked topic differ in partitions: a key would change its partition."""
        found = await self._in_thread(lambda: self._consumer.list_topics(timeout=30).topics)
        for source, parked in self._sources.items():
            for name in (source, parked):
                if name not in found or found[name].error is not None:
                    raise MissingTopic(f"{name} does not exist. `k2x topics apply` creates it.")
            if not _is_live(source, parked):
                continue
            here, there = len(found[source].partitions), len(found[parked].partitions)
            if here != there:
                raise UnequalTopics(
                    f"{source} has {here} partitions and {parked} has {there}: give both the larger number, so that an "
                    "order keeps its partition when it is parked."
                )

    async def _visit(self, key: tuple[str, int]) -> None:
        shelf = self._shelves.get(key)
        if shelf is None or key[0] not in self._feeds or self._closed:
            return
        ready = {org for org in shelf.waiting if self._ready(org)}
        try:
            if ready or not shelf.scanned or await self._in_thread(lambda: self._end(shelf)) > shelf.frontier:
                await self._pass(shelf, ready)
        except (KafkaException, CopyLate) as error:  # nothing was committed: the next visit begins where this one did
            log.warning("parked_interrupted", topic=shelf.topic, partition=shelf.partition, error=str(error))
            asyncio.get_running_loop().call_later(5.0, self._wake.set)

    async def _pass(self, shelf: Shelf, ready: set[str]) -> None:
        """Read from the first record that may be unfed to the end; feed the ready organisations', count the others'."""
        start = shelf.start_for(ready)
        await self._in_thread(lambda: self._consumer.assign([TopicPartition(shelf.topic, shelf.partition, start)]))
        for waiting in shelf.waiting.values():
            if waiting.first >= start:
                waiting.seen = 0  # they are counted again on the way
        position, fed, at_end = start, 0, False
        try:
            while not at_end and self._is_ours(shelf):
                async with self._locks[shelf.topic]:
                    messages, position, at_end = await self._in_thread(partial(self._chunk, shelf, position))
                    fed += await self._take(shelf, messages, ready, start)
                    self._advance(shelf, position, ready, at_end)
                    await self._in_thread(lambda: self._commit(shelf))
        finally:
            await self._in_thread(self._consumer.unassign)
        for org in {*ready, *shelf.waiting}:
            self._gauge(shelf.topic, org)
        log.info("parked_pass", topic=shelf.topic, partition=shelf.partition, fed=fed, waiting=sorted(shelf.waiting))

    async def _take(self, shelf: Shelf, messages: list[Incoming], ready: set[str], start: int) -> int:
        to_feed: list[tuple[Incoming, str]] = []
        for message in messages:
            original, org = unpark(message)
            if shelf.is_fed(org, message.offset):
                continue
            if org and not self._ready(org):
                ready.discard(org)
            if org in ready or not org or (org not in shelf.waiting and self._ready(org)):
                ready.add(org)
                shelf.waiting.setdefault(org, Waiting(message.offset))
                to_feed.append((original, org))
            else:
                waiting = shelf.waiting.setdefault(org, Waiting(message.offset))
                if waiting.first >= start or message.offset >= shelf.frontier:
                    waiting.seen += 1
        if to_feed:
            await self._feeds[shelf.topic](to_feed)
        return len(to_feed)

    def _advance(self, shelf: Shelf, position: int, ready: set[str], at_end: bool) -> None:
        shelf.frontier = max(shelf.frontier, position)
        for org in ready & set(shelf.waiting):
            shelf.waiting[org].first = max(shelf.waiting[org].first, position)
            if at_end:
                del shelf.waiting[org]
        if at_end:
            shelf.scanned = True
            for waiting in shelf.waiting.values():
                waiting.expected = 0

    def _is_ours(self, shelf: Shelf) -> bool:
        return self._shelves.get((shelf.topic, shelf.partition)) is shelf and not self._closed

    def _shelves_of(self, source: str, partition: int) -> list[Shelf]:
        """The shelf of a live partition; for a replay topic, whose partitions need not agree, all that we hold."""
        parked = self._sources.get(source, "")
        if _is_live(source, parked):
            shelf = self._shelves.get((parked, partition))
            return [] if shelf is None else [shelf]
        return [shelf for key, shelf in self._shelves.items() if key[0] == parked]

    def _gauge(self, parked: str, org: str) -> None:
        unfed = sum(shelf.unfed(org) for key, shelf in self._shelves.items() if key[0] == parked)
        self._metrics.parked(parked, org, unfed)

    # In the thread

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _end(self, shelf: Shelf) -> int:
        where = TopicPartition(shelf.topic, shelf.partition)
        return int(self._consumer.get_watermark_offsets(where, timeout=20, cached=False)[1])

    def _restore(self, topic: str, partition: int) -> Shelf:
        where = TopicPartition(topic, partition)
        low, high = self._consumer.get_watermark_offsets(where, timeout=20, cached=False)
        committed = self._consumer.committed([where], timeout=20)[0]
        if committed.error is not None:
            raise KafkaException(committed.error)
        if committed.offset == OFFSET_INVALID or committed.offset < low:
            return restored(topic, partition, low, None, high)
        return restored(topic, partition, committed.offset, committed.metadata, high)

    def _commit(self, shelf: Shelf) -> None:
        place = TopicPartition(shelf.topic, shelf.partition, shelf.committed, shelf.metadata())
        try:
            self._consumer.commit(offsets=[place], asynchronous=False)
        except KafkaException as error:  # the next commit covers it; a restart before that feeds some records twice
            log.warning("parked_commit_failed", topic=shelf.topic, partition=shelf.partition, error=str(error))

    def _chunk(self, shelf: Shelf, position: int) -> tuple[list[Incoming], int, bool]:
        """Up to 500 records, the position behind them, and whether that is the partition's end."""
        records: list[Incoming] = []
        silent = 0.0
        while silent < _SILENCE_S:
            # consume() waits for all 500 or the time: live orders wait for the lock meanwhile, so it is short
            messages = self._consumer.consume(_CHUNK, timeout=0.1)
            silent = 0.0 if messages else silent + 0.1
            for message in messages:
                error = message.error()
                if error is None:
                    records.append(_incoming(message))
                    position = message.offset() + 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    position = max(position, message.offset())
                    # It may be older than what an agent parked since, so ask; we hold the lock, nobody parks now.
                    if position >= self._end(shelf):
                        return records, position, True
                elif not error.retriable():
                    raise StreamsError(f"{shelf.topic} [{shelf.partition}]: {error}")
            if records:
                return records, position, False
        raise CopyLate(
            f"{shelf.topic} [{shelf.partition}]: nothing came for {_SILENCE_S:.0f} s before the end was reached"
        )


def _is_live(source: str, parked: str) -> bool:
    """A replay topic parks where the live one does, but its partitions need not agree with it."""
    return f"{source}-parked" == parked


def _incoming(message: Any) -> Incoming:
    return Incoming(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        key=message.key(),
        value=message.value(),
        headers=header_list(message.headers()),
    )
