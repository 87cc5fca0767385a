"""Brings changed objects and keeps what polling remembers true to it: rows done, orders known, orders unfinished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

import structlog

from connectors.kentico import metrics
from connectors.kentico.bringing import Bringer, Outcome, What
from connectors.kentico.cursors import State
from connectors.kentico.errors import BadValue
from connectors.kentico.events import ORDER
from connectors.kentico.rest import Row
from connectors.kentico.settings import InstanceSettings, PollerSettings
from connectors.kentico.times import moment
from connectors.kentico.watched import ADDRESSES, CUSTOMERS, ITEMS, Watched

log = structlog.get_logger()

Wanted = dict[int, list[tuple[Watched, int, object]]]
"""Objects by id, each with the rows that showed its change: table, identity, stamp."""

# Kentico makes a row and stamps it in one save.
_AT_ONCE = timedelta(seconds=2)
_DONE = frozenset({What.DELIVERED, What.UNCHANGED})
_PARTS = (("items", ITEMS), ("addresses", ADDRESSES))


class Gatherer:
    """`forgotten` says that an order left `state.known`, which only its own record can tell."""

    def __init__(
        self,
        instance: InstanceSettings,
        settings: PollerSettings,
        bringer: Bringer,
        state: State,
        clock: Callable[[], datetime],
        orders: Watched,
    ) -> None:
        self.forgotten = False
        self._instance, self._zone = instance.name, instance.zone
        self._settings = settings
        self._bringer = bringer
        self._state = state
        self._clock = clock
        self._orders = orders

    async def bring(self, object_type: str, wanted: Wanted) -> None:
        """Bring the objects, a batch at a time, and note every row that is thereby done."""
        ids = iter(wanted)
        while part := list(islice(ids, self._settings.batch)):
            now = self._clock()
            for outcome in await self._bringer.bring(object_type, part, partial(self._patient, now)):
                for table, key, stamp in wanted[outcome.object_id]:
                    self._state.tables[table.object_type].done(key, stamp)
                what = str(outcome.what)
                if object_type == ORDER:
                    what = await self._order(outcome, now)
                metrics.POLLER_OBJECTS.labels(self._instance, object_type, what).inc()

    def _patient(self, now: datetime, order_id: int) -> bool:
        since = self._state.unfinished.get(order_id, now)
        return (now - since).total_seconds() < self._settings.grace_s

    async def _order(self, outcome: Outcome, now: datetime) -> str:
        """Keep the books of an order: is it to be looked at again, is it known, is it gone?"""
        order_id = outcome.object_id
        if outcome.what is What.AGAIN:
            self._state.unfinished.setdefault(order_id, now)
            return str(outcome.what)
        what = str(outcome.what)
        if outcome.what is What.ABSENT and await self._deleted(order_id):
            what = "deleted"
        if outcome.data is not None:
            self._note(outcome.data, whole=outcome.what in _DONE)
            self._know(order_id, (outcome.data.get("site") or {}).get("SiteName"))
        self._state.unfinished.pop(order_id, None)
        return what

    async def _deleted(self, order_id: int) -> bool:
        """Tell that an order which was brought is gone. Of others nobody was told that they were there."""
        known = self._state.known
        if known is None or order_id not in known:
            return False
        await self._bringer.deleted(order_id, known.site_of(order_id))
        known.discard(order_id)
        self.forgotten = True
        log.info("poller.deleted", instance=self._instance, order=order_id)
        return True

    def _know(self, order_id: int, site: str | None) -> None:
        known = self._state.known
        if known is not None and order_id not in known:
            known.add(order_id, site)
            if order_id in known:
                self._state.fresh.setdefault(site or "", []).append(order_id)

    def _note(self, data: Mapping[str, Any], *, whole: bool) -> None:
        """Every row of an aggregate is done as it was read; its customer only where the order itself went out and he is
        as he was made: of a later change the sink is to hear, which leaves an order with the same money alone."""
        self._done(self._orders, [data["order"]])
        for member, table in _PARTS:
            self._done(table, data.get(member) or ())
        if whole and data.get("customer") and self._is_new(data["customer"]):
            self._done(CUSTOMERS, [data["customer"]])

    def _is_new(self, customer: Row) -> bool:
        now = self._clock()
        try:
            made, changed = (moment(customer.get(c), self._zone, now) for c in ("CustomerCreated", CUSTOMERS.stamp))
        except BadValue:
            return False
        return abs(changed - made) < _AT_ONCE

    def _done(self, table: Watched, rows: Iterable[Row]) -> None:
        mark = self._state.tables.get(table.object_type)
        for row in rows:
            if mark is not None and is_id(row.get(table.key)):
                mark.done(row[table.key], row.get(table.read_as or table.stamp))


def is_id(value: object) -> bool:
    """Whether it is a database identity."""
    return type(value) is int and value > 0
