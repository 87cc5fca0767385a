"""What customers and products share: one event is for every organisation that its instance feeds; a replay's copy is
for one of them.

Guarantee: for each organisation the event ends as a command, a SUPPRESSED or REFUSED result, or parked.
"""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar, cast

from schemas.delivery import Record
from schemas.types import CustomerChanged, ProductChanged
from streams.aggregates import Aggregates, first_made
from streams.flow import Made, StoreFlow
from streams.outputs import REPLAY_ORG, Source, Subject, header
from streams.stores import Route

Change = TypeVar("Change", CustomerChanged, ProductChanged)


class MasterData(Aggregates, Generic[Change]):
    """Base of Contacts and Items, which say what is made of a change and what its id is."""

    def make(self, flow: StoreFlow, change: Change, now: datetime) -> Made:
        """What one store's flow makes of it."""
        raise NotImplementedError

    def id_of(self, change: Change) -> int:
        """Kentico's id of the object."""
        raise NotImplementedError

    def handle(self, source: Source, now: datetime) -> list[Record]:
        change = cast(Change, self._decode(source))
        only = header(source, REPLAY_ORG) if source.headers else None
        orgs = [org for org in self._settings.orgs_of(change["instance"]) if only in (None, org)]
        if not orgs:
            return self._unknown(source, self._subject(change, None), change["site_name"], now)
        records: list[Record] = []
        for org in orgs:
            routes = self._stores.of_org(change["instance"], org)
            records += self._for(source, change, routes, self._waits(source, routes[0]), now)
        return records

    def again(self, source: Source, org: str, now: datetime) -> list[Record]:
        change = cast(Change, self._decode(source))
        routes = self._stores.of_org(change["instance"], org)
        if not routes:
            return self._unknown(source, self._subject(change, None), change["site_name"], now)
        return self._for(source, change, routes, routes[0].waits_for, now)

    def _for(self, source: Source, change: Change, routes: list[Route], why: str, now: datetime) -> list[Record]:
        subject = self._subject(change, routes[0])
        if why:
            return self._park(source, subject, routes[0].org, why, now)
        made = first_made(self.make(route.flow, change, now) for route in routes if route.flow is not None)
        return self._records(source, subject, made, now)

    def _subject(self, change: Change, route: Route | None) -> Subject:
        return Subject(
            instance=change["instance"],
            kind=self.kind,
            key=f"{change['instance']}|{self.id_of(change)}",
            version=change["version"],
            org=route.org if route else None,
            received_at=change["received_at"],
            traceparent=change["traceparent"],
        )
