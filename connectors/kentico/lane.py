"""One instance's reading: due objects in batches, each to its topic or to the dead letters, then done.

A service that does not answer stops the lane, not the process. A batch that fails though the service answers is halved
until the object that spoils it stands alone; that one is given up after its grace, the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import structlog

from connectors.kentico import metrics
from connectors.kentico.aggregate import Facts, Source, deleted_order
from connectors.kentico.batch import Found, Missing, Read, Torn
from connectors.kentico.echo import Echoes
from connectors.kentico.errors import FieldError, RestError
from connectors.kentico.events import ORDER, build
from connectors.kentico.outbound import Outbound
from connectors.kentico.pending import Debounce, Hint, Pending
from connectors.kentico.reading import Reads
from connectors.kentico.receiver import Delivers
from connectors.kentico.settings import InstanceSettings, ReaderSettings
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import NotDelivered, NotEncodable
from schemas.letters import Origin, Reason, letter_headers
from schemas.types import Change, Order

log = structlog.get_logger()

_LONGEST_PAUSE_S = 60.0
# An order that was half written is whole again as soon as Kentico's transaction ends.
_RETRY_S = (1.0, 2.0, 4.0, 8.0)


@dataclass
class _Outcome:
    """What a batch comes to: records to deliver, then objects to report."""

    records: list[Record] = field(default_factory=list)
    finished: list[tuple[Pending, str]] = field(default_factory=list)
    sent: list[tuple[Order, bytes]] = field(default_factory=list)
    again: list[Pending] = field(default_factory=list)


class Lane:
    """Reads one instance. `offer` gives it hints; `run` works until its stop is set."""

    def __init__(
        self,
        instance: InstanceSettings,
        settings: ReaderSettings,
        codec: Codec,
        deliver: Delivers,
        clock: Callable[[], datetime],
        reading: Reads,
        read_by: Source = "REST",
    ) -> None:
        self.waiting = Debounce(settings.debounce_s)
        self._instance = instance
        self._settings = settings
        self._deliver = deliver
        self._clock = clock
        self._reading = reading
        self._read_by = read_by
        self._outbound = Outbound(instance.name, codec, settings.max_record_bytes)
        self._echoes = Echoes(instance.writeback_columns)
        self._woken = asyncio.Event()

    def offer(self, hint: Hint) -> None:
        """One more thing to read."""
        self.waiting.add(hint, _now())
        self.wake()

    def wake(self) -> None:
        self._woken.set()

    def mark(self, change: Change, before: bytes | None) -> None:
        """Our own write-back changed this order (see echo)."""
        if before is not None and change["occurred_at"] is not None:
            self._echoes.mark(change["object_id"], datetime.fromisoformat(before.decode()), change["occurred_at"])

    async def run(self, stop: asyncio.Event) -> None:
        """Read what is due until `stop` is set; a batch under way is finished."""
        pause = self._settings.outage_pause_s
        while not stop.is_set():
            metrics.READER_PENDING.labels(self._instance.name).set(len(self.waiting))
            batch = [pending for pending in self.waiting.take(_now(), self._settings.batch) if pending.wanted()]
            if not batch:
                await self._until_due()
                continue
            problem = await self._handle(batch)
            metrics.READER_OUTAGE.labels(self._instance.name).set(problem is not None)
            if problem is None:
                pause = self._settings.outage_pause_s
                continue
            log.warning(
                "reader.waiting", instance=self._instance.name, orders=len(batch), pause_s=pause, problem=problem
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _until_due(self) -> None:
        due = self.waiting.next_due()
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), None if due is None else max(due - _now(), 0.001))

    async def _handle(self, batch: list[Pending]) -> str | None:
        """Read and deliver a batch. Where that fails all of it waits on, and the problem is returned."""
        try:
            observed_at = self._clock()
            reads = await self._reading.read(batch[0].key[0], [pending.key[1] for pending in batch])
            outcome = _Outcome()
            for pending in batch:
                await self._name_site(pending, reads[pending.key[1]])
                self._decide(pending, reads[pending.key[1]], observed_at, outcome)
            await self._deliver.deliver(outcome.records)
        except (RestError, NotDelivered) as error:
            self._all_wait(batch)
            return str(error)
        except Exception as error:
            log.exception("reader.bug", instance=self._instance.name, orders=len(batch))
            self._all_wait(batch)
            return f"a fault of k2x: {type(error).__name__}: {error}"
        self._finish(outcome)
        return None

    async def _name_site(self, pending: Pending, read: Read | Exception) -> None:
        """Whose order it was: of a deleted row CDC knows the site's id, and no order is there that would tell more."""
        change = pending.hint.change
        if pending.deleted and isinstance(read, Missing) and pending.site_id and not change["site_name"]:
            change["site_name"] = await self._reading.site(pending.site_id)

    def _all_wait(self, batch: Sequence[Pending]) -> None:
        for pending in batch:
            self.waiting.put_back(pending, _now())

    def _finish(self, outcome: _Outcome) -> None:
        for order, digest in outcome.sent:
            self._echoes.sent(order, digest)
        for pending, what in outcome.finished:
            for tracker, offset in pending.offsets:
                tracker.done(offset)
            metrics.READER_OUTCOMES.labels(self._instance.name, pending.key[0], what).inc()
            age = (self._clock() - pending.first_received_at).total_seconds()
            metrics.READER_LATENCY.labels(self._instance.name).observe(max(age, 0.0))
        for pending in outcome.again:
            metrics.READER_OUTCOMES.labels(self._instance.name, pending.key[0], "retried").inc()
            delay = _RETRY_S[min(pending.retries, len(_RETRY_S) - 1)]
            pending.retries += 1
            self.waiting.put_back(pending, _now() + min(delay, max(self._settings.grace_s / 4, 0.01)))

    def _decide(self, pending: Pending, read: Read | Exception, observed_at: datetime, outcome: _Outcome) -> None:
        """What becomes of one object: sent, unchanged, given up, or looked for again."""
        gone = isinstance(read, Missing) and pending.deleted
        settled = isinstance(read, Found) and not pending.deleted
        if not (gone or settled) and self._in_grace(pending):
            outcome.again.append(pending)
            return
        object_type, object_id = pending.key
        site = pending.hint.change["site_name"]
        try:
            if gone:
                order = deleted_order(pending.hint.change, self._instance, observed_at)
                outcome.records.append(self._record(pending, order))
                outcome.finished.append((pending, "deleted"))
            elif isinstance(read, Found | Torn):
                self._send(pending, read.data, observed_at, outcome)
            elif isinstance(read, Missing):
                self._give_up(pending, self._outbound.absent(object_type, object_id, site), outcome)
            else:
                self._give_up(pending, self._outbound.spoiled(object_type, object_id, read, site), outcome)
        except (FieldError, NotEncodable) as error:
            self._give_up(pending, self._outbound.refused(object_id, error, site), outcome)
        except Exception as error:
            log.exception("reader.bug", instance=self._instance.name, object_type=object_type, object_id=object_id)
            self._give_up(pending, self._outbound.bug(object_id, error, site), outcome)

    def _in_grace(self, pending: Pending) -> bool:
        now = _now()
        if pending.retry_since is None:
            pending.retry_since = now
        return now - pending.retry_since < self._settings.grace_s

    def _send(self, pending: Pending, data: dict[str, Any], observed_at: datetime, outcome: _Outcome) -> None:
        change = pending.hint.change
        facts = Facts(
            instance=self._instance,
            event_type="order.updated" if pending.deleted else change["event_type"],
            source="REPLAY" if pending.replay else self._read_by,
            observed_at=observed_at,
            received_at=pending.first_received_at,
            event_id=change["event_id"],
            sequence=change["sequence"],
            traceparent=change["traceparent"],
        )
        value = build(pending.key[0], data, facts)
        if pending.key[0] == ORDER:
            value = self._echoes.restamped(cast(Order, value))
            digest = self._echoes.digest(data)
            if self._echoes.is_known(value, digest) and not pending.replay:
                outcome.finished.append((pending, "unchanged"))
                return
            outcome.records.append(self._record(pending, value))
            outcome.sent.append((value, digest))
        else:
            outcome.records.append(self._record(pending, value))
        outcome.finished.append((pending, "delivered"))

    def _record(self, pending: Pending, value: Mapping[str, Any]) -> Record:
        return self._outbound.record(*pending.key, value, pending.hint.change["traceparent"])

    def _give_up(self, pending: Pending, reason: Reason, outcome: _Outcome) -> None:
        """The newest hint becomes the dead letter; the older ones said nothing else."""
        hint = pending.hint
        origin = Origin(hint.tracker.topic, hint.tracker.partition, hint.offset, "reader", "read")
        trace = hint.change["traceparent"]
        headers = letter_headers(
            origin, reason, self._clock(), previous=hint.headers, attempt=pending.retries + 1, traceparent=trace
        )
        outcome.records.append(Record(topics.dead_letter(topics.CHANGES), hint.key, hint.value, headers))
        outcome.finished.append((pending, "dead_letter"))
        log.warning("reader.dead_letter", code=reason.code, key=reason.natural_key, problem=reason.message)


def _now() -> float:
    return asyncio.get_running_loop().time()
