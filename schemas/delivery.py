"""The one way to the broker outside the sink's transactions: a batch is delivered whole, or NotDelivered is raised.

acks=all and idempotence: a record that was acknowledged is on the log once. flush() blocks, so it runs in an executor
(measured: on the event loop it starves Faust's heartbeats).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from confluent_kafka import KafkaException, Producer

from schemas.errors import NotDelivered

# A record is at most 1 MB on a default broker; this buffer holds several batches of 500 whole orders.
# log_level 3: a broker that is still loading its coordinators is no news, an error is.
_BY_KEY = -1  # librdkafka's own partitioner chooses
_BASE = {"acks": "all", "enable.idempotence": True, "linger.ms": 5, "compression.type": "lz4", "log_level": 3}


@dataclass(frozen=True)
class Record:
    """One record to deliver."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    partition: int | None = None  # None: by the key


class Deliverer:
    """Delivers batches. `kafka` is librdkafka configuration (bootstrap, security); `timeout` in seconds."""

    def __init__(self, kafka: Mapping[str, Any], timeout: float = 30.0) -> None:
        # delivery.timeout.ms below ours, so that every record has reported before we give up on the batch.
        deadline = {"delivery.timeout.ms": int(timeout * 1000 * 0.9)}
        self._producer = Producer({**_BASE, **deadline, **kafka})
        self._timeout = timeout
        self._lock = threading.Lock()

    async def deliver(self, records: Sequence[Record]) -> None:
        """Return once every record is acknowledged; NotDelivered otherwise, and then nothing may be confirmed."""
        if records:
            await asyncio.get_running_loop().run_in_executor(None, partial(self.deliver_now, records))

    def deliver_now(self, records: Sequence[Record]) -> None:
        """The same, blocking."""
        pending = len(records)
        failures: list[str] = []

        def report(error: Any, message: Any) -> None:
            nonlocal pending
            pending -= 1
            if error is not None:
                failures.append(f"{message.topic()}: {error}")

        with self._lock:
            for record in records:
                self._produce(record, report)
            self._producer.flush(self._timeout)
        if failures or pending:
            first = failures[0] if failures else "no acknowledgement in time"
            raise NotDelivered(
                f"{len(failures) or pending} of {len(records)} records were not acknowledged within "
                f"{self._timeout:.0f} s ({first}). Is Kafka up? They are sent again."
            )

    def close(self) -> None:
        """Wait for what is under way; afterwards the object is not used again."""
        self._producer.flush(self._timeout)

    def _produce(self, record: Record, report: Any) -> None:
        for _ in range(2):
            try:
                self._producer.produce(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    headers=record.headers,
                    partition=_BY_KEY if record.partition is None else record.partition,
                    on_delivery=report,
                )
                return
            except BufferError:  # the local queue is full: drain it, then try once more
                self._producer.flush(self._timeout)
            except KafkaException as error:
                raise NotDelivered(f"{record.topic}: {error}") from error
        raise NotDelivered(f"{record.topic}: the local queue stayed full for {self._timeout:.0f} s. Is Kafka up?")
