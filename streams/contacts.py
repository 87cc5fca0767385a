"""Customers → contact commands, one for each organisation that the customer's instance feeds.

Guarantee: for each organisation the event ends as a command, a SUPPRESSED or REFUSED result, or parked. The commands
say "only if known": a customer who never bought is no contact.
"""

from __future__ import annotations

from datetime import datetime
from typing import cast

from schemas.delivery import Record
from schemas.types import CustomerChanged
from streams.aggregates import Aggregates
from streams.outputs import Source, Subject
from streams.stores import Route


class Contacts(Aggregates):
    agent = "contacts"
    kind = "contact"

    def handle(self, source: Source, now: datetime) -> list[Record]:
        change = cast(CustomerChanged, self._decode(source))
        orgs = self._settings.orgs_of(change["instance"])
        if not orgs:
            return self._unknown(source, _subject(change, None), change["site_name"], now)
        records: list[Record] = []
        for org in orgs:
            route = self._stores.of_org(change["instance"], org)
            if route is not None:
                records += self._for(source, change, route, self._waits(source, route), now)
        return records

    def again(self, source: Source, org: str, now: datetime) -> list[Record]:
        change = cast(CustomerChanged, self._decode(source))
        route = self._stores.of_org(change["instance"], org)
        if route is None:
            return self._unknown(source, _subject(change, None), change["site_name"], now)
        return self._for(source, change, route, "" if route.flow else route.waits_for, now)

    def _for(self, source: Source, change: CustomerChanged, route: Route, why: str, now: datetime) -> list[Record]:
        subject = _subject(change, route)
        if why or route.flow is None:
            return self._park(source, subject, route.org, why, now)
        return self._records(source, subject, route.flow.contact(change, now), now)


def _subject(change: CustomerChanged, route: Route | None) -> Subject:
    return Subject(
        instance=change["instance"],
        kind="contact",
        key=f"{change['instance']}|{change['customer']['CustomerID']}",
        version=change["version"],
        org=route.org if route else None,
        received_at=change["received_at"],
        traceparent=change["traceparent"],
    )
