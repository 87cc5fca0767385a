"""Brings the orders of a whole history to Kafka, by rising OrderID. Guarantee: no gap; a run that is stopped and
started again repeats nothing, one that is killed at most two batches, with the same versions. How far it came stands
on k2x.cursors.v1, written after the acknowledgement of what it speaks of.

What must not be posted is fenced by the rule `cutover`, not here. Live orders go first: `room` is asked before a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

import structlog

from connectors.kentico.bringing import Bringer, What
from connectors.kentico.cursors import Cursors
from connectors.kentico.errors import RestError, RestUnreadable
from connectors.kentico.events import ORDER
from connectors.kentico.gathering import is_id
from connectors.kentico.reading import TableSource
from connectors.kentico.receiver import Delivers
from connectors.kentico.rest import Row, TableRest
from connectors.kentico.settings import Dialect, InstanceSettings
from connectors.kentico.watched import Watched, orders_of
from schemas.errors import NotDelivered, RegistryUnavailable
from schemas.types import Backfill

log = structlog.get_logger()

_DATES: Mapping[Dialect, str] = {"K13": "OrderDate", "XBYK": "OrderCreatedWhen"}
_SITE = "OrderSiteID"
_LONGEST_PAUSE_S = 60.0
_AGAIN_S = 2.0
_DEPTH = 2  # batches under way: while one waits for Kentico, the other is made into records
BATCH = 100


@dataclass(frozen=True)
class Span:
    """Days of OrderDate, as Kentico's own clock has them: `since` is the first, `until` the first that is left out."""

    since: date
    until: date | None = None

    def where(self, dialect: Dialect, more: str = "") -> str:
        """As SQL."""
        parts = [f"{_DATES[dialect]} >= '{self.since}T00:00:00'"]
        parts += [f"{_DATES[dialect]} < '{self.until}T00:00:00'"] if self.until else []
        return " AND ".join(parts + ([more] if more else []))


@dataclass(frozen=True)
class SitePlan:
    """A site's part. `before_cutover` will be suppressed."""

    site: str
    orders: int
    before_cutover: int


@dataclass(frozen=True)
class Plan:
    """What a backfill would do. Seconds are of reading; from a batch that was read for it."""

    orders: int
    sites: tuple[SitePlan, ...]
    requests: int
    seconds: float


async def plan(
    instance: InstanceSettings,
    source: TableSource,
    span: Span,
    cutovers: Mapping[str, date | None],
    *,
    measured: bool,
) -> Plan:
    """Counts by site; `measured`: and an estimate, from a batch that is read for it. `cutovers`: by site name.

    RestError where Kentico fails.
    """
    rest, orders, dialect = source.rest, orders_of(instance.dialect), instance.dialect
    total = await rest.count(orders.object_type, span.where(dialect))
    tables = await source.lookups.tables((), ())
    named = {site_id: str(row.get("SiteName")) for site_id, row in sorted(tables.sites.items())}
    sites = []
    for site_id, name in named.items() if named else [(0, instance.site or "")]:
        own = f"{_SITE} = {site_id}" if named else ""
        found = await rest.count(orders.object_type, span.where(dialect, own)) if named else total
        cutover = cutovers.get(name)
        before = 0
        if found and cutover is not None:
            earlier = f"{_DATES[dialect]} < '{cutover}T00:00:00'" + (f" AND {own}" if own else "")
            before = await rest.count(orders.object_type, span.where(dialect, earlier))
        if found:
            sites.append(SitePlan(name, found, before))
    requests, seconds = await _sample(instance, source, span) if measured else (0.0, 0.0)
    batches = -(-total // BATCH)
    pages = -(-total // rest.page)
    return Plan(total, tuple(sites), pages + round(batches * requests), batches * seconds)


async def _sample(instance: InstanceSettings, source: TableSource, span: Span) -> tuple[float, float]:
    """(requests, seconds) of a batch, from the first of the span; it is read twice, as the first meets new SKUs."""
    rest, orders = source.rest, orders_of(instance.dialect)
    where = span.where(instance.dialect)
    rows = await rest.top(orders.object_type, BATCH, where=where, columns=[orders.key], orderby=orders.key)
    ids = [_identity(rest, orders, row) for row in rows]
    if not ids:
        return 0.0, 0.0
    await source.reading.read(ORDER, ids)
    calls, began = rest.calls, time.perf_counter()
    await source.reading.read(ORDER, ids)
    share = BATCH / len(ids)
    return float(rest.calls - calls), (time.perf_counter() - began) * share


def _identity(rest: TableRest, orders: Watched, row: Row) -> int:
    if not is_id(found := row.get(orders.key)):
        raise RestUnreadable(f"{rest.instance}: {orders.object_type}: a row whose {orders.key} is {str(found)[:40]!r}")
    return int(row[orders.key])


class History:
    """One run. `state` is what an earlier one left unfinished, or None. `room` returns when a batch may go; it is told
    how many orders are under way with it."""

    def __init__(
        self,
        instance: InstanceSettings,
        rest: TableRest,
        bringer: Bringer,
        cursors: Cursors,
        deliver: Delivers,
        clock: Callable[[], datetime],
        span: Span,
        state: Backfill | None,
        *,
        grace_s: float = 10.0,
        outage_pause_s: float = 1.0,
        room: Callable[[int], Awaitable[None]],
        progress: Callable[[Backfill, str | None], None] = lambda state, problem: None,
    ) -> None:
        self._dialect, self._orders = instance.dialect, orders_of(instance.dialect)
        self._rest = rest
        self._bringer = bringer
        self._cursors = cursors
        self._deliver = deliver
        self._clock = clock
        self._span = span
        self.state = state
        self._grace_s = grace_s
        self._outage_pause_s = outage_pause_s
        self._room = room
        self._progress = progress
        self._counted = 0
        self._worked_since = 0.0

    async def run(self, stop: asyncio.Event) -> Backfill | None:
        """Bring what is left, until the end or `stop`; how far it came, None if it never began."""
        pause = self._outage_pause_s
        while True:
            try:
                return await self._until_the_end(stop)
            except (RestError, NotDelivered, RegistryUnavailable) as error:
                if self.state is not None:
                    self._progress(self.state, str(error))
                log.warning("backfill.waiting", instance=self._rest.instance, pause_s=pause, problem=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
            if stop.is_set():
                return self.state
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _until_the_end(self, stop: asyncio.Event) -> Backfill:
        state = self.state = self.state or await self._begin()
        self._counted, self._worked_since = self._rest.calls, time.monotonic()
        under_way: deque[tuple[int, int, asyncio.Task[Counter[What]]]] = deque()
        try:
            async for ids in self._batches(state["after"], state["last"]):
                await self._room(sum(count for _, count, _ in under_way) + len(ids))
                if stop.is_set():
                    break
                under_way.append((ids[-1], len(ids), asyncio.create_task(self._batch(ids))))
                if len(under_way) >= _DEPTH:
                    await self._settle(state, under_way)
            while under_way:
                await self._settle(state, under_way)
        finally:
            for *_, task in under_way:
                task.cancel()
            await asyncio.gather(*(task for *_, task in under_way), return_exceptions=True)
        if not stop.is_set():
            state["after"], state["finished_at"] = state["last"], self._clock()
            await self._save(state)
        return state

    async def _begin(self) -> Backfill:
        newest = await self._rest.top(
            self._orders.object_type, 1, columns=[self._orders.key], orderby=f"{self._orders.key} DESC"
        )
        state: Backfill = {
            "since": self._span.since.isoformat(),
            "until": self._span.until.isoformat() if self._span.until else None,
            "after": 0,
            "last": _identity(self._rest, self._orders, newest[0]) if newest else 0,
            "total": await self._rest.count(self._orders.object_type, self._span.where(self._dialect)),
            "delivered": 0,
            "refused": 0,
            "gone": 0,
            "requests": self._rest.calls,
            "seconds": 0.0,
            "began_at": self._clock(),
            "finished_at": None,
        }
        await self._deliver.deliver([self._cursors.backfill_record(state, self._clock())])
        return state

    async def _batches(self, after: int, last: int) -> AsyncIterator[list[int]]:
        """OrderIDs in batches, read a page at a time."""
        while after < last:
            where = self._span.where(self._dialect, f"{self._orders.key} > {after} AND {self._orders.key} <= {last}")
            rows = await self._rest.top(
                self._orders.object_type,
                self._rest.page,
                where=where,
                columns=[self._orders.key],
                orderby=self._orders.key,
            )
            ids = [i for row in rows if isinstance(i := row.get(self._orders.key), int) and after < i <= last]
            if len(ids) < len(rows) or ids != sorted(set(ids)):
                raise RestUnreadable(f"{self._rest.instance}: {self._orders.object_type}: rows that were not asked for")
            for first in range(0, len(ids), BATCH):
                yield ids[first : first + BATCH]
            if len(ids) < self._rest.page:
                return
            after = ids[-1]

    async def _batch(self, ids: list[int]) -> Counter[What]:
        """Bring a batch; orders that are just being written are looked at again, then taken as they are."""
        gives_up = time.monotonic() + self._grace_s
        tally: Counter[What] = Counter()
        while ids:
            outcomes = await self._bringer.bring(ORDER, ids, lambda _: time.monotonic() < gives_up)
            tally.update(outcome.what for outcome in outcomes)
            ids = [outcome.object_id for outcome in outcomes if outcome.what is What.AGAIN]
            if ids:
                await asyncio.sleep(min(_AGAIN_S, self._grace_s))
        return tally

    async def _settle(self, state: Backfill, under_way: deque[tuple[int, int, asyncio.Task[Counter[What]]]]) -> None:
        """Wait for the oldest batch; only then may the mark pass it."""
        last, _, task = under_way[0]
        tally = await task
        under_way.popleft()
        state["after"] = last
        state["delivered"] += tally[What.DELIVERED]
        state["refused"] += tally[What.REFUSED]
        state["gone"] += tally[What.ABSENT]
        await self._save(state)

    async def _save(self, state: Backfill) -> None:
        now, calls = time.monotonic(), self._rest.calls
        state["seconds"] += now - self._worked_since
        state["requests"] += calls - self._counted
        self._worked_since, self._counted = now, calls
        await self._deliver.deliver([self._cursors.backfill_record(state, self._clock())])
        self._progress(state, None)
