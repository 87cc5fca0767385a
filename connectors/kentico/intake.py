"""Takes records from a topic for work that finishes out of order. Guarantee: an offset is committed only when every
record below it was reported done, so whatever was under way at a crash is taken again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kentico import metrics
from connectors.kentico.pending import Tracker

log = structlog.get_logger()

_DEFAULTS: Mapping[str, Any] = {
    "auto.offset.reset": "earliest",
    # Only offsets that were stored by hand are committed: each second, and when partitions go.
    "enable.auto.offset.store": False,
    "enable.auto.commit": True,
    "auto.commit.interval.ms": 1000,
    "partition.assignment.strategy": "cooperative-sticky",
}
_POLL_S = 0.1
_POLL_RECORDS = 500


@dataclass(frozen=True)
class Taken:
    """A record as it came. Report `tracker.done(offset)` when its work is on Kafka, or given up for good."""

    tracker: Tracker
    offset: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes | None]]


class Intake:
    """`take` gets each record; `waiting` says how many wait, and above `most` no more are taken."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        group_id: str,
        topic: str,
        take: Callable[[Taken], Awaitable[None]],
        *,
        waiting: Callable[[], int],
        most: int,
        session_timeout_s: float,
        on_revoked: Callable[[], None] = lambda: None,
    ) -> None:
        session = {
            "session.timeout.ms": int(session_timeout_s * 1000),
            "heartbeat.interval.ms": int(session_timeout_s * 1000 / 5),
        }
        self._consumer = Consumer({**_DEFAULTS, **session, "group.id": group_id, **kafka})
        self._topic = topic
        self._take = take
        self._waiting = waiting
        self._most = most
        self._on_revoked = on_revoked
        self._trackers: dict[int, Tracker] = {}
        self._stored: dict[int, int] = {}
        self._revoked: list[int] = []
        self._paused: list[TopicPartition] = []
        # All calls that may block, in one thread: librdkafka's callbacks then come from one thread too.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"intake-{topic}")

    async def run(self, stop: asyncio.Event) -> None:
        """Take records until `stop` is set; then `close` is still to be called."""
        self._consumer.subscribe(
            [self._topic], on_assign=self._note_assigned, on_revoke=self._note_revoked, on_lost=self._note_revoked
        )
        while not stop.is_set():
            messages = await self._blocking(self._consumer.consume, _POLL_RECORDS, _POLL_S)
            self._give_up_revoked()
            for message in messages:
                if message.error() is not None:
                    self._report(message.error())
                    continue
                partition, offset = message.partition(), message.offset()
                tracker = self._trackers.setdefault(partition, Tracker(self._topic, partition))
                tracker.add(offset)
                headers = list(message.headers() or [])
                await self._take(Taken(tracker, offset, message.key(), message.value() or b"", headers))
            self._store()
            self._balance()

    async def close(self) -> None:
        """Commit what is done and leave the group."""
        try:
            self._give_up_revoked()
            self._store()
            await self._blocking(self._consumer.close)
        finally:
            self._thread.shutdown(wait=False)

    async def _blocking(self, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def _note_assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            metrics.REBALANCES.labels(self._topic).inc()

    def _note_revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._revoked += [partition.partition for partition in partitions]

    def _give_up_revoked(self) -> None:
        """What was taken from partitions that now are another's is left to that other."""
        revoked, self._revoked = self._revoked, []
        for partition in revoked:
            tracker = self._trackers.pop(partition, None)
            self._stored.pop(partition, None)
            if tracker is not None:
                tracker.closed = True
        if revoked:
            self._on_revoked()

    def _store(self) -> None:
        for partition, tracker in self._trackers.items():
            offset = tracker.committable()
            if offset is None or self._stored.get(partition) == offset:
                continue
            try:
                self._consumer.store_offsets(offsets=[TopicPartition(self._topic, partition, offset)])
            except KafkaException as error:
                # The partition has just gone: its next owner takes these records again.
                log.info("intake.offset_not_stored", topic=self._topic, partition=partition, problem=str(error))
                continue
            self._stored[partition] = offset

    def _balance(self) -> None:
        waiting = self._waiting()
        if not self._paused and waiting > self._most:
            self._paused = self._consumer.assignment()
            self._consumer.pause(self._paused)
            log.warning("intake.paused", topic=self._topic, waiting=waiting)
        elif self._paused and waiting < self._most // 2:
            mine = {partition.partition for partition in self._consumer.assignment()}
            self._consumer.resume([partition for partition in self._paused if partition.partition in mine])
            self._paused = []
            log.info("intake.resumed", topic=self._topic, waiting=waiting)

    def _report(self, error: KafkaError) -> None:
        if error.fatal():
            raise KafkaException(error)
        log.warning("intake.kafka_error", topic=self._topic, problem=str(error))
