"""Writes results into custom columns of Kentico's orders, by partial PUT, or PATCH to Xperience. Off by default.

Guarantee: an offset of the write-back topic is committed only after the columns hold the value, or the record is on the
dead letters. An outage is waited out; an order that alone makes Kentico fail is tried for its grace, then is a dead
letter, and holds up no other. Many orders are read in one request before they are written: equal values are not, so a
write-back, its echo and the echo's result end there. A write is a request an order, as Kentico has no other. After it a
mark goes to the changes topic, by which the reader knows the echo (see echo).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, cast

import structlog

from connectors.kentico import metrics, times
from connectors.kentico.echo import BEFORE_HEADER, WRITTEN_BACK
from connectors.kentico.errors import (
    BadValue,
    RestError,
    RestNotFound,
    RestRefused,
    RestUnavailable,
    RestUnreadable,
    WriteBackRefused,
)
from connectors.kentico.events import ORDER
from connectors.kentico.intake import Intake, Taken
from connectors.kentico.receiver import Delivers
from connectors.kentico.rest import Row, TableRest
from connectors.kentico.settings import InstanceSettings, WritebackSettings
from connectors.kentico.sources import tables_of
from connectors.kentico.watched import orders_of
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import NotDelivered, RegistryUnavailable, SchemaError
from schemas.letters import ErrorClass, Origin, Reason, letter_headers
from schemas.types import Change, WriteBack

log = structlog.get_logger()

_LONGEST_PAUSE_S = 60.0
_DRAIN_S = 5.0
_REPEAT_S = 1.0
_MOST_WAITING = 20_000


@dataclass(frozen=True)
class _Write:
    """What one order's columns shall hold."""

    taken: Taken
    value: WriteBack


class _Lane:
    """One instance's writes, a few at a time; never two of one order."""

    def __init__(self, owner: WriteBacks, instance: InstanceSettings, rest: TableRest) -> None:
        self.orders: dict[str, deque[_Write]] = {}
        self.rest = rest
        self._owner = owner
        self._instance = instance
        self._orders = orders_of(instance.dialect)
        self._woken = asyncio.Event()
        self._failing: dict[str, float] = {}  # orders that alone make Kentico fail: since when

    def __len__(self) -> int:
        return sum(len(writes) for writes in self.orders.values())

    def offer(self, taken: Taken, value: WriteBack) -> None:
        self.orders.setdefault(value["order_id"], deque()).append(_Write(taken, value))
        self.wake()

    def wake(self) -> None:
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        pause = self._owner.settings.outage_pause_s
        while not stop.is_set():
            batch = [writes[0] for writes in islice(self.orders.values(), self._owner.settings.batch)]
            if not batch:
                self._woken.clear()
                await self._woken.wait()
                continue
            problem, outage = await self._all(batch, stop)
            if not outage:
                pause = self._owner.settings.outage_pause_s
            if problem is None:
                continue
            log.warning("writeback.waiting", instance=self._instance.name, pause_s=pause, problem=problem)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
            if outage:
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _all(self, batch: Sequence[_Write], stop: asyncio.Event) -> tuple[str | None, bool]:
        """Read all at once, then write some at a time; the problem, and whether it is an outage."""
        known = await self._known(batch)
        size = self._owner.settings.concurrent
        own: str | None = None
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            problems = await asyncio.gather(*(self._one(write, known) for write in part))
            for write, problem in zip(part, problems, strict=True):
                if problem is not None and write.value["order_id"] not in self._failing:
                    return problem, True
                own = own or problem
            if stop.is_set():
                break
        return own, False

    async def _known(self, batch: Sequence[_Write]) -> dict[int, Row]:
        """The orders as they are, by id: those of a batch that are there. Empty where the list fails, as it may for a
        column that Kentico lacks: then each is read by itself, and the trouble is that of its own record."""
        allowed = self._instance.writeback_columns
        wanted = [write.value for write in batch if set(write.value["fields"]) <= allowed]
        if len(wanted) < 2:  # a list of one is no saving
            return {}
        orders = self._orders
        names = sorted({name for value in wanted for name in value["fields"]})
        columns = (orders.key, orders.stamp, *names)
        ids = [int(value["order_id"]) for value in wanted]
        try:
            rows = await self.rest.rows_in(orders.object_type, orders.key, ids, columns=columns, orderby=orders.key)
        except RestError as error:
            log.info("writeback.read_one_by_one", instance=self._instance.name, problem=str(error))
            return {}
        return {row[orders.key]: row for row in rows if type(row.get(orders.key)) is int}

    async def _one(self, write: _Write, known: Mapping[int, Row]) -> str | None:
        """Write the first that waits of an order and report it done; a transient problem leaves it there."""
        problem = None if write.taken.tracker.closed else await self._attempt(write, known)
        if problem is not None:
            metrics.WRITEBACK_OUTCOMES.labels(self._instance.name, "retried").inc()
            return problem
        write.taken.tracker.done(write.taken.offset)
        self._failing.pop(write.value["order_id"], None)
        writes = self.orders[write.value["order_id"]]
        writes.popleft()
        if not writes:
            del self.orders[write.value["order_id"]]
        return None

    async def _attempt(self, write: _Write, known: Mapping[int, Row]) -> str | None:
        try:
            outcome = await self._written(write, known)
        except (RestRefused, RestNotFound, WriteBackRefused) as error:
            problem = await self._owner.refuse(write.taken, self._reason(write, error))
            if problem is not None:
                return problem
            outcome = "dead_letter"
        except (RestUnavailable, RestUnreadable) as error:
            problem = str(error)
            if await self._given_up(write, error):
                problem = await self._owner.refuse(write.taken, self._reason(write, error))
            if problem is not None:
                return problem
            outcome = "dead_letter"
        except (RestError, NotDelivered) as error:
            return str(error)
        except Exception as error:
            log.exception("writeback.bug", instance=self._instance.name, order=write.value["order_id"])
            return f"a fault of k2x: {type(error).__name__}: {error}"
        metrics.WRITEBACK_OUTCOMES.labels(self._instance.name, outcome).inc()
        return None

    async def _given_up(self, write: _Write, error: RestUnavailable | RestUnreadable) -> bool:
        """Whether this order alone makes Kentico fail, which answers otherwise, and has done so for its grace."""
        order_id, now = write.value["order_id"], asyncio.get_running_loop().time()
        alone = error.status in (200, 201, 500) and await self.rest.probe([self._orders.object_type])
        if not alone:
            self._failing.pop(order_id, None)
            return False
        return now - self._failing.setdefault(order_id, now) >= self._owner.settings.grace_s

    async def _written(self, write: _Write, known: Mapping[int, Row]) -> str:
        if not self._instance.writeback_columns:
            return "off"
        fields = write.value["fields"]
        unknown = sorted(set(fields) - self._instance.writeback_columns)
        if unknown:
            allowed = ", ".join(sorted(self._instance.writeback_columns))
            raise WriteBackRefused(f"{', '.join(unknown)}: not among the instance's write-back columns ({allowed})")
        order_id = int(write.value["order_id"])
        orders = self._orders
        columns = (orders.key, orders.stamp, *sorted(fields))
        before = known.get(order_id) or await self.rest.row(orders.object_type, order_id, columns=columns)
        if before is None:
            raise RestNotFound(f"order {order_id} of instance {self._instance.name} does not exist", 404)
        absent = [name for name in fields if name not in before]
        if absent:
            raise WriteBackRefused(f"{', '.join(absent)}: Kentico's order has no such column")
        if all(before[name] == value for name, value in fields.items()):
            return "equal"
        after = await self.rest.update(orders.object_type, order_id, fields)
        if orders.stamp not in after:
            after = await self.rest.row(orders.object_type, order_id, columns=columns) or before
        await self._mark(write, order_id, before, after)
        return "written"

    async def _mark(self, write: _Write, order_id: int, before: Row, after: Row) -> None:
        """Tell the reader which stamp is ours. A stamp that cannot be read leaves no mark: the sink then compares."""
        now = self._owner.clock()
        try:
            old = times.moment(before.get(self._orders.stamp), self._instance.zone, now)
            new = times.moment(after.get(self._orders.stamp), self._instance.zone, now)
        except BadValue as error:
            log.warning("writeback.no_mark", instance=self._instance.name, order=order_id, problem=str(error))
            return
        if old == new:
            return
        change: Change = {
            "instance": self._instance.name,
            "site_name": None,
            "object_type": ORDER,
            "object_id": order_id,
            "object_guid": None,
            "event_type": WRITTEN_BACK,
            "source": "REST",
            "event_id": None,
            "sequence": None,
            "occurred_at": new,
            "received_at": now,
            "traceparent": write.value["traceparent"],
            "site_id": None,
        }
        key = f"{self._instance.name}|{ORDER}|{order_id}".encode()
        value = self._owner.codec.encode("change", change)
        await self._owner.deliver.deliver(
            [Record(topics.CHANGES, key, value, [(BEFORE_HEADER, old.isoformat().encode())])]
        )

    def _reason(self, write: _Write, error: Exception) -> Reason:
        if isinstance(error, WriteBackRefused):
            of, code = ErrorClass.MAPPING, "writeback_column"
            hint = (
                "add the custom column to Kentico's order class and to the instance's write-back columns, then redrive"
            )
        elif isinstance(error, RestUnavailable | RestUnreadable):
            of, code = ErrorClass.VALIDATION, "unwritable"
            hint = (
                "Kentico answers for other orders: its event log says what fails when this one is saved; mend it, then "
                "redrive"
            )
        elif isinstance(error, RestNotFound):
            of, code = ErrorClass.VALIDATION, "not_found"
            hint = "the order was deleted in Kentico; its invoice stays as it is"
        else:
            of, code = ErrorClass.VALIDATION, "refused"
            hint = "Kentico's event log says why; mend it, then redrive this letter"
        key = f"{self._instance.name}|{write.value['order_id']}"
        return Reason(of, code, str(error), hint, store=write.value["store"], natural_key=key, exception=error)


class WriteBacks:
    """One process's lanes, one for each instance with REST."""

    def __init__(
        self,
        settings: WritebackSettings,
        kafka: Mapping[str, Any],
        codec: Codec,
        deliver: Delivers,
        clock: Callable[[], datetime],
    ) -> None:
        self.settings = settings
        self.codec = codec
        self.deliver = deliver
        self.clock = clock
        self._stop = asyncio.Event()
        self.lanes = {
            instance.name: _Lane(self, instance, tables_of(instance, instance.rest))
            for instance in settings.instances
            if instance.rest is not None
        }
        self._intake = Intake(
            kafka,
            settings.group_id,
            topics.WRITEBACK,
            self._take,
            waiting=lambda: sum(len(lane) for lane in self.lanes.values()),
            most=_MOST_WAITING,
            session_timeout_s=settings.session_timeout_s,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Write until `stop` is set, finish what is under way, commit, and return."""
        self._stop = stop
        log.info("writeback.started", instances=sorted(self.lanes), group=self.settings.group_id)
        tasks = [asyncio.create_task(lane.run(stop), name=f"writeback-{name}") for name, lane in self.lanes.items()]
        try:
            await self._intake.run(stop)
        finally:
            stop.set()
            for lane in self.lanes.values():
                lane.wake()
            _, late = await asyncio.wait(tasks, timeout=_DRAIN_S) if tasks else (set(), set())
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._intake.close()
            for lane in self.lanes.values():
                await lane.rest.close()
            log.info("writeback.stopped", unfinished=len(late))

    async def refuse(self, taken: Taken, reason: Reason) -> str | None:
        """Send a record to the dead letters; the problem where Kafka does not acknowledge."""
        origin = Origin(taken.tracker.topic, taken.tracker.partition, taken.offset, "writeback", "write")
        headers = letter_headers(origin, reason, self.clock(), previous=taken.headers)
        try:
            await self.deliver.deliver([Record(topics.dead_letter(topics.WRITEBACK), taken.key, taken.value, headers)])
        except NotDelivered as error:
            return str(error)
        log.warning("writeback.dead_letter", code=reason.code, key=reason.natural_key, problem=reason.message)
        return None

    async def _take(self, taken: Taken) -> None:
        reason: Reason | None = None
        lane: _Lane | None = None
        value: WriteBack | None = None
        try:
            value = await self._decoded(taken)
        except SchemaError as error:
            hint = "upgrade k2x if a newer one wrote it, then `k2x dlt redrive`"
            reason = Reason(ErrorClass.VALIDATION, "not_decodable", str(error), hint, exception=error)
        if value is not None:
            lane = self.lanes.get(value["instance"])
            key = f"{value['instance']}|{value['order_id']}"
            if lane is None:
                message = f"instance {value['instance']!r} has no REST service configured"
                hint = "add instances.<name>.rest to k2x.yaml, then redrive"
                reason = Reason(ErrorClass.MAPPING, "no_rest", message, hint, natural_key=key)
            elif not value["order_id"].isdigit():
                message = f"order id {value['order_id'][:40]!r} is no number"
                reason = Reason(ErrorClass.VALIDATION, "order_id", message, "report it", natural_key=key)
        if reason is not None:
            await self._refuse_now(taken, reason)
        elif lane is not None and value is not None:
            lane.offer(taken, value)

    async def _refuse_now(self, taken: Taken, reason: Reason) -> None:
        while not self._stop.is_set():
            if await self.refuse(taken, reason) is None:
                taken.tracker.done(taken.offset)
                return
            await self._pause()

    async def _decoded(self, taken: Taken) -> WriteBack | None:
        while not self._stop.is_set():
            try:
                return cast(WriteBack, self.codec.decode(taken.value))
            except RegistryUnavailable as error:
                log.warning("writeback.registry_unavailable", problem=str(error))
                await self._pause()
        return None

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), _REPEAT_S)


async def run_writeback(
    settings: WritebackSettings,
    kafka: Mapping[str, Any],
    codec: Codec,
    deliver: Delivers,
    stop: asyncio.Event,
    clock: Callable[[], datetime],
) -> None:
    """Write back until `stop` is set; where write-back is off, take nothing and only wait."""
    if not settings.enabled:
        log.info("writeback.off", remedy="set writeback.enabled and the instances' write-back columns to use it")
        await stop.wait()
        return
    await WriteBacks(settings, kafka, codec, deliver, clock).run(stop)
