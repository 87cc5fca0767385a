"""One instance's write-backs on their way into Kentico's columns, a few orders at a time; never two of one order.

An outage is waited out. An order that alone makes Kentico fail is tried for its grace, then goes to the dead letters,
and holds up no other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Protocol

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
from connectors.kentico.intake import Taken
from connectors.kentico.receiver import Delivers
from connectors.kentico.rest import Row, TableRest
from connectors.kentico.settings import InstanceSettings, WritebackSettings
from connectors.kentico.watched import orders_of
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import NotDelivered
from schemas.letters import ErrorClass, Reason
from schemas.types import Change, WriteBack

log = structlog.get_logger()

_LONGEST_PAUSE_S = 60.0


class Owner(Protocol):
    """The process, as its lanes know it."""

    settings: WritebackSettings
    codec: Codec
    deliver: Delivers
    clock: Callable[[], datetime]

    async def refuse(self, taken: Taken, reason: Reason) -> str | None:
        """Send a record to the dead letters; the problem where Kafka does not acknowledge."""


@dataclass(frozen=True)
class Write:
    """What one order's columns shall hold."""

    taken: Taken
    value: WriteBack


class WriteLane:
    """One instance's writes, a few at a time; never two of one order."""

    def __init__(self, owner: Owner, instance: InstanceSettings, rest: TableRest) -> None:
        self.orders: dict[str, deque[Write]] = {}
        self.rest = rest
        self._owner = owner
        self._instance = instance
        self._orders = orders_of(instance.dialect)
        self._woken = asyncio.Event()
        self._failing: dict[str, float] = {}  # orders that alone make Kentico fail: since when

    def __len__(self) -> int:
        return sum(len(writes) for writes in self.orders.values())

    def offer(self, taken: Taken, value: WriteBack) -> None:
        self.orders.setdefault(value["order_id"], deque()).append(Write(taken, value))
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

    async def _all(self, batch: Sequence[Write], stop: asyncio.Event) -> tuple[str | None, bool]:
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

    async def _known(self, batch: Sequence[Write]) -> dict[int, Row]:
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

    async def _one(self, write: Write, known: Mapping[int, Row]) -> str | None:
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

    async def _attempt(self, write: Write, known: Mapping[int, Row]) -> str | None:
        try:
            outcome = await self._written(write, known)
        except (RestRefused, RestNotFound, WriteBackRefused, RestUnavailable, RestUnreadable) as error:
            if isinstance(error, RestUnavailable | RestUnreadable) and not await self._given_up(write, error):
                return str(error)
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

    async def _given_up(self, write: Write, error: RestUnavailable | RestUnreadable) -> bool:
        """Whether this order alone makes Kentico fail, which answers otherwise, and has done so for its grace."""
        order_id, now = write.value["order_id"], asyncio.get_running_loop().time()
        alone = error.status in (200, 201, 500) and await self.rest.probe([self._orders.object_type])
        if not alone:
            self._failing.pop(order_id, None)
            return False
        return now - self._failing.setdefault(order_id, now) >= self._owner.settings.grace_s

    async def _written(self, write: Write, known: Mapping[int, Row]) -> str:
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

    async def _mark(self, write: Write, order_id: int, before: Row, after: Row) -> None:
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

    def _reason(self, write: Write, error: Exception) -> Reason:
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
