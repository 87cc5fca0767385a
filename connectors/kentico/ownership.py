"""Which process polls: the owner of the only partition of k2x.cursors.v1, and what the topic holds when it takes over.

Guarantee: whoever takes over has read the topic to its end. The partition goes on to another process only when this one
has finished what was under way, so nothing is done twice. Only a process that was frozen beyond its session may still
deliver after that: it repeats what it read, with the same versions, and leaves no gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from schemas import topics

log = structlog.get_logger()

# Nothing is ever committed, so each taking over reads the compacted topic from its beginning.
_CONSUMER: Mapping[str, Any] = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "fetch.wait.max.ms": 50,
}
_POLL_S = 0.2
_POLL_RECORDS = 1_000
_TIMEOUT_S = 20.0


class Ownership:
    """Stands for election in the group while it is open. `wanted` picks the keys whose records are given out."""

    def __init__(
        self, kafka: Mapping[str, Any], group_id: str, session_timeout_s: float, wanted: Callable[[bytes], bool]
    ) -> None:
        session = {
            "session.timeout.ms": int(session_timeout_s * 1000),
            "heartbeat.interval.ms": int(session_timeout_s * 1000 / 5),
        }
        self._consumer = Consumer({**_CONSUMER, **session, "group.id": group_id, **kafka})
        # The broker waits no longer for a member than its session.
        self._finish_s = session_timeout_s * 0.8
        self._wanted = wanted
        self._records: dict[bytes, bytes] = {}
        self._assigned = False
        self._loop = asyncio.get_running_loop()
        self._pump: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()
        self._idle = threading.Event()
        self._idle.set()
        # librdkafka's callbacks come from the thread that polls, so there is one.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ownership")
        self._consumer.subscribe([topics.CURSORS], self._gained, self._revoked, self._gone)

    async def take(self, stop: asyncio.Event, within_s: float | None = None) -> dict[bytes, bytes] | None:
        """Wait to be the owner, and return the topic's newest records; None where `stop` or the time came first.

        When `lost` is set another process is to take over: finish what is under way, then call `release`.
        """
        await self._halt()
        # In the thread that polls: a poll that the pump left under way may be given the partition, and read records
        # that nobody takes, until it ends.
        await self._blocking(self._anew)
        ends = None if within_s is None else self._loop.time() + within_s
        while not stop.is_set() and (ends is None or self._loop.time() < ends):
            await self._consume(self._note)
            if self._assigned and await self._at_end():
                self.lost.clear()
                self._idle.clear()
                found, self._records = self._records, {}
                self._pump = asyncio.create_task(self._keep(), name="ownership")
                self._pump.add_done_callback(lambda _: self.lost.set())
                return found
        return None

    def release(self) -> None:
        """Nothing is under way any more: another may begin with what the topic holds now."""
        self._idle.set()

    async def close(self) -> None:
        """Leave the group."""
        self.release()
        try:
            await self._halt()
            await self._blocking(self._consumer.close)
        finally:
            self._thread.shutdown(wait=False)

    async def _keep(self) -> None:
        """Go on polling, so that the broker knows we are there and the callbacks come."""
        while self._assigned:
            await self._consume(lambda _: None)

    async def _halt(self) -> None:
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump

    async def _consume(self, take: Callable[[Message], None]) -> None:
        for message in await self._blocking(self._consumer.consume, _POLL_RECORDS, _POLL_S):
            error = message.error()
            if error is None:
                take(message)
            elif error.fatal():
                raise KafkaException(error)
            else:
                log.warning("ownership.kafka_error", topic=topics.CURSORS, problem=str(error))

    def _note(self, message: Message) -> None:
        key, value = message.key() or b"", message.value()
        if value is None:
            self._records.pop(key, None)
        elif self._wanted(key):
            self._records[key] = value

    async def _at_end(self) -> bool:
        where = TopicPartition(topics.CURSORS, 0)
        try:
            low, high = await self._blocking(self._consumer.get_watermark_offsets, where, _TIMEOUT_S)
            position = (await self._blocking(self._consumer.position, [where]))[0].offset
        except KafkaException as error:  # a topic that was created just now, a leader that moves: looked at again
            log.warning("ownership.end_unknown", topic=topics.CURSORS, problem=str(error))
            return False
        return bool(low == high or position >= high)

    async def _blocking(self, call: Callable[..., Any], *args: Any) -> Any:
        return await self._loop.run_in_executor(self._thread, call, *args)

    def _gained(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self._assigned = True
            self._rewind(consumer)

    def _anew(self) -> None:
        """Records that were given out before, or to nobody, are read again."""
        if self._assigned:
            self._rewind(self._consumer)

    def _rewind(self, consumer: Consumer) -> None:
        self._records.clear()
        consumer.assign([TopicPartition(topics.CURSORS, 0, OFFSET_BEGINNING)])

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The broker gives the partition on when this returns."""
        self._gone(consumer, partitions)
        self._idle.wait(self._finish_s)

    def _gone(self, _: Consumer, __: list[TopicPartition]) -> None:
        self._assigned = False
        self._loop.call_soon_threadsafe(self.lost.set)
