"""One guard round every agent: a fault of record N puts N on the dead letters, and N+1 goes on.

Guarantee: a batch is confirmed only after the broker acknowledged every output of every record in it. A delivery that
fails is not swallowed: NotDelivered leaves the guard, nothing is confirmed, the worker stops and the batch comes again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from schemas.delivery import Record
from schemas.errors import NotDecodable, UnknownSchema
from schemas.letters import ErrorClass, Reason
from streams.metrics import Metrics
from streams.outputs import Outputs, Source, Subject

log = structlog.get_logger("k2x.streams")

Clock = Callable[[], datetime]


class Delivery(Protocol):
    """What the guard needs of schemas.delivery.Deliverer."""

    async def deliver(self, records: Sequence[Record]) -> None: ...


class Handler(Protocol):
    """An agent's own part: one record in, its outputs out. Anything it raises is a bug that costs this record only."""

    @property
    def agent(self) -> str: ...

    @property
    def kind(self) -> str:
        """Of its results: order, contact, item, document."""

    def handle(self, source: Source, now: datetime) -> list[Record]: ...


class Guard:
    """Runs batches of one agent."""

    def __init__(self, handler: Handler, outputs: Outputs, delivery: Delivery, metrics: Metrics, clock: Clock) -> None:
        self._handler = handler
        self._outputs = outputs
        self._delivery = delivery
        self._metrics = metrics
        self._clock = clock
        self._batch_seconds = metrics.batch_seconds.labels(handler.agent)
        self._delivery_seconds = metrics.delivery_seconds.labels(handler.agent)
        self._batch_events = metrics.batch_events.labels(handler.agent)

    async def batch(self, sources: Sequence[Source]) -> None:
        """Handle a batch and return once all its outputs are acknowledged. NotDelivered otherwise."""
        started = time.perf_counter()
        records: list[Record] = []
        for source in sources:
            records.extend(self.one(source, self._handler.handle))
        handled = time.perf_counter()
        await self._delivery.deliver(records)
        finished = time.perf_counter()
        self._batch_seconds.observe(finished - started)
        self._delivery_seconds.observe(finished - handled)
        self._batch_events.observe(len(sources))

    def one(self, source: Source, handle: Callable[[Source, datetime], list[Record]]) -> list[Record]:
        """The outputs of one record, whatever is in it."""
        now = self._clock()
        try:
            return handle(source, now)
        except (NotDecodable, UnknownSchema) as error:
            reason = Reason(
                ErrorClass.BUG,
                "undecodable",
                f"{source.topic} [{source.partition}] offset {source.offset} cannot be read: {error}",
                "Find who wrote it: only k2x writes here. If a newer k2x did, upgrade this worker; then redrive.",
                natural_key=_text(source.key),
                exception=error,
            )
            return self._letter(source, reason, "decode", now)
        except Exception as error:  # noqa: BLE001 - the guard itself: no order may stop the ones behind it
            reason = Reason(
                ErrorClass.BUG,
                "unexpected",
                f"{source.topic} [{source.partition}] offset {source.offset}: {type(error).__name__}: {error}",
                "A fault of k2x: report the stack trace in the headers. The order can be sent again after an upgrade.",
                natural_key=_text(source.key),
                exception=error,
            )
            return self._letter(source, reason, self._handler.agent, now)

    def _letter(self, source: Source, reason: Reason, stage: str, now: datetime) -> list[Record]:
        agent = self._handler.agent
        log.error(
            "event_failed",
            agent=agent,
            code=reason.code,
            topic=source.topic,
            partition=source.partition,
            offset=source.offset,
            error=type(reason.exception).__name__,
        )
        self._metrics.letter(agent, str(reason.error_class))
        self._metrics.event(agent, "refused", None)
        key = _text(source.key)
        instance, _, number = key.partition("|")
        order_id = number or None if self._handler.kind == "order" else None
        subject = Subject(instance=instance, kind=self._handler.kind, key=key, version=now, order_id=order_id)
        return self._outputs.refusal(source, subject, reason, stage, now)


def _text(key: bytes | None) -> str:
    return (key or b"").decode("utf-8", "replace")
