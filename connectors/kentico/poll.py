"""One instance polled: what changed in its tables since the last look, to Kafka. Guarantee: no gap. A table's mark
moves only after everything before it is acknowledged by Kafka, as a record or a dead letter, and is then written to
k2x.cursors.v1. A process killed between the two repeats at most a page of rows, with the same versions, which the sink
leaves alone; one that is stopped repeats nothing.

Why no transaction: the streams read uncommitted records, so an aborted one would be a repeat all the same, and a
transaction that a killed process left open would hold up the tools that read committed ones.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from connectors.kentico import metrics
from connectors.kentico.bringing import Bringer
from connectors.kentico.cursors import Cursors, State
from connectors.kentico.errors import RestDenied, RestError, RestNotFound, RestRefused, RestUnreadable, SweepImplausible
from connectors.kentico.events import ORDER
from connectors.kentico.gathering import Gatherer
from connectors.kentico.known import KnownOrders
from connectors.kentico.receiver import Delivers
from connectors.kentico.rest import TableRest
from connectors.kentico.scan import Scanner
from connectors.kentico.settings import InstanceSettings, PollerSettings, PollSettings
from connectors.kentico.sweep import sweep
from connectors.kentico.watched import Watched, orders_of, watched
from schemas.errors import NotDelivered, RegistryUnavailable

log = structlog.get_logger()

_LONGEST_PAUSE_S = 60.0
_AGAIN_S = 2.0  # a half written order is whole as soon as Kentico's transaction ends
# Orders that the marks carry before the record of all known orders, 50 kB or more, is written anew.
_MOST_FRESH = 1_000


class Poll:
    """`run` works until its stop is set. `state` is what earlier runs left."""

    def __init__(
        self,
        instance: InstanceSettings,
        polling: PollSettings,
        settings: PollerSettings,
        rest: TableRest,
        bringer: Bringer,
        cursors: Cursors,
        deliver: Delivers,
        clock: Callable[[], datetime],
        state: State,
    ) -> None:
        self._name = instance.name
        self._polling = polling
        self._settings = settings
        self._rest = rest
        self._cursors = cursors
        self._deliver = deliver
        self._clock = clock
        self._state = state
        self._watched, self._orders = watched(instance.dialect), orders_of(instance.dialect)
        self._gatherer = Gatherer(instance, settings, bringer, state, clock, self._orders)
        overlap = timedelta(seconds=polling.overlap_s)
        self._scanner = Scanner(
            instance, overlap, rest, bringer, self._gatherer, cursors, deliver, clock, state, self._save
        )
        self._sweep_due = 0.0
        self._sweeps = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Look through all tables, wait, and again. What is under way at a stop is finished, and its mark written."""
        pause = self._settings.outage_pause_s
        while not stop.is_set():
            problem = await self._attempt(stop)
            metrics.POLLER_CYCLES.labels(self._name, "failed" if problem else "done").inc()
            metrics.POLLER_OUTAGE.labels(self._name).set(problem is not None)
            if problem is None:
                metrics.POLLER_CURRENT.labels(self._name).set(self._clock().timestamp())
                pause = self._settings.outage_pause_s
                wait = self._polling.every_s if not self._state.unfinished else min(_AGAIN_S, self._polling.every_s)
            else:
                log.warning("poller.waiting", instance=self._name, pause_s=pause, problem=problem)
                wait, pause = pause, min(pause * 2, _LONGEST_PAUSE_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait)

    async def _attempt(self, stop: asyncio.Event) -> str | None:
        try:
            await self.cycle(stop)
        except (RestError, NotDelivered, RegistryUnavailable) as error:
            return str(error)
        except Exception as error:
            log.exception("poller.bug", instance=self._name)
            return f"a fault of k2x: {type(error).__name__}: {error}"
        return None

    async def cycle(self, stop: asyncio.Event) -> None:
        """One look at everything. RestError or NotDelivered where it could not be completed."""
        # All tables begin before the first object is brought, so that its rows are noted in each.
        if any([await self._with(table, self._begin(table, stop)) for table in self._watched if self._is_new(table)]):
            await self._save()
        for table in self._watched:
            if not self._is_new(table):
                await self._with(table, self._scanner.scan(table, stop))
        # Last, so that an order is given up only while everything else can be read.
        if self._state.unfinished and not stop.is_set():
            await self._gatherer.bring(ORDER, {order_id: [] for order_id in self._state.unfinished})
            await self._save()
        now = asyncio.get_running_loop().time()
        if now >= self._sweep_due and not stop.is_set():
            self._sweep_due = now + self._polling.sweep_s
            await self._sweep()

    async def _with(self, table: Watched, work: Awaitable[None]) -> bool:
        """Do it; a table that orders do not need may fail, and is left out until the next look."""
        try:
            await work
        except (RestDenied, RestNotFound, RestRefused) as error:
            if table.essential:
                raise
            self._left_out(table.object_type, error)
            return False
        metrics.POLLER_LEFT_OUT.labels(self._name, table.object_type).set(0)
        return True

    def _is_new(self, table: Watched) -> bool:
        return table.object_type not in self._state.tables

    async def _begin(self, table: Watched, stop: asyncio.Event) -> None:
        await self._scanner.begin(table, await self._floor(), stop)

    async def _floor(self) -> int:
        """The last order that was there when polling began: those up to it are a backfill's."""
        if self._state.known is None:
            newest = await self._rest.top(
                self._orders.object_type, 1, columns=[self._orders.key], orderby=f"{self._orders.key} DESC"
            )
            last = newest[0].get(self._orders.key) if newest else 0
            if not isinstance(last, int):
                raise RestUnreadable(f"{self._name}: {self._orders.object_type}: a row without {self._orders.key}")
            self._state.known = KnownOrders(last)
            self._gatherer.forgotten = True
            log.info("poller.begins", instance=self._name, after_order=last)
        return self._state.known.floor

    async def _sweep(self) -> None:
        """What is deleted, and what was missed."""
        known = self._state.known
        if known is None:
            return
        try:
            swept = await sweep(self._rest, self._orders, known, self._polling.most_deletions, self._sweeps)
        except SweepImplausible as error:
            self._left_out("sweep", error)
            return
        self._sweeps += 1
        metrics.POLLER_LEFT_OUT.labels(self._name, "sweep").set(0)
        if swept.gone or swept.missed:
            log.info("poller.swept", instance=self._name, gone=len(swept.gone), missed=len(swept.missed))
            await self._gatherer.bring(ORDER, {order_id: [] for order_id in sorted(swept.gone | swept.missed)})
            await self._save()
        if swept.more:
            self._sweep_due = 0.0

    def _left_out(self, what: str, error: Exception) -> None:
        metrics.POLLER_LEFT_OUT.labels(self._name, what).set(1)
        log.error("poller.left_out", instance=self._name, what=what, problem=str(error))

    async def _save(self) -> None:
        """The record of the known orders before the one that no longer carries what is new in it."""
        now, state = self._clock(), self._state
        if state.known is not None and (self._gatherer.forgotten or sum(map(len, state.fresh.values())) > _MOST_FRESH):
            await self._deliver.deliver([self._cursors.known_record(state.known, now)])
            self._gatherer.forgotten = False
            state.fresh.clear()
        await self._deliver.deliver([self._cursors.poll_record(state, now)])
