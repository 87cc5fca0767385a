"""Follows a compacted topic: read to its end before the worker starts, then kept up with. Reads only; confirms nothing.

Every worker holds a whole copy, so all partitions are assigned and no consumer group is joined (DESIGN §2).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams.errors import CopyLate, MissingTopic, StreamsError

log = structlog.get_logger("k2x.streams")

_POLL = 2000  # records a poll: the copy of 10,000 rows is read in five
_TRANSIENT = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
}


class Copy(Protocol):
    """What is kept of a topic. Called by the follower's thread only."""

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Take one record; a value of None is a tombstone."""

    def publish(self) -> None:
        """Hand over what changed: called at the topic's end, and after each poll from then on."""


class Follower:
    """A thread that feeds `copy` from `topic`. `on_failure` is called once, from that thread, if it has to give up."""

    def __init__(
        self, kafka: Mapping[str, Any], topic: str, copy: Copy, on_failure: Callable[[BaseException], None]
    ) -> None:
        self._topic = topic
        self._copy = copy
        self._on_failure = on_failure
        self._stop = threading.Event()
        self._caught_up = threading.Event()
        self._failure: BaseException | None = None
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": "k2x-follower",  # required by the client, never joined: partitions are assigned
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )
        self._thread = threading.Thread(target=self._run, name=f"follow-{topic}", daemon=True)

    def start(self) -> None:
        """Begin to read. MissingTopic if there is nothing to read."""
        try:
            found = self._consumer.list_topics(self._topic, timeout=30).topics[self._topic]
        except KafkaException as error:
            raise CopyLate(f"{self._topic}: Kafka does not answer: {error}. Check kafka.bootstrap.") from error
        if found.error is not None or not found.partitions:
            raise MissingTopic(f"{self._topic} does not exist. `k2x topics apply` creates it.")
        self._unread = set(found.partitions)
        self._consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in found.partitions])
        self._thread.start()

    def wait(self, timeout: float) -> None:
        """Return when the end that the topic had at the start is passed; CopyLate after `timeout` seconds."""
        done = self._caught_up.wait(timeout)
        if self._failure is not None:
            raise self._failure
        if not done:
            raise CopyLate(
                f"{self._topic} was not read to its end within {timeout:.0f} s. "
                "Is Kafka slow or unreachable? Start again."
            )

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._poll()
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker must hear of it: a dead copy grows stale
            self._failure = error
            self._caught_up.set()
            log.error("copy_failed", topic=self._topic, error=repr(error))
            self._on_failure(error)
        finally:
            self._consumer.close()

    def _poll(self) -> None:
        messages = self._consumer.consume(_POLL, timeout=0.2)
        for message in messages:
            error = message.error()
            if error is None:
                if message.key() is not None:
                    self._copy.apply(message.key(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                self._unread.discard(message.partition())
            elif error.retriable() or error.code() in _TRANSIENT:
                log.warning("copy_interrupted", topic=self._topic, error=str(error))
            else:
                raise StreamsError(f"{self._topic}: {error}")
        if not self._unread:
            if messages or not self._caught_up.is_set():
                self._copy.publish()
            self._caught_up.set()
