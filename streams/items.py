"""Products → item commands, one for each organisation that the product's instance feeds.

Guarantee: for each organisation the event ends as a command, a SUPPRESSED or REFUSED result, or parked. The commands
say "only if known" unless the rules keep every product as an item.
"""

from __future__ import annotations

from datetime import datetime
from typing import cast

from schemas.delivery import Record
from schemas.types import ProductChanged
from streams.aggregates import Aggregates, first_made
from streams.outputs import Source, Subject
from streams.stores import Route


class Items(Aggregates):
    agent = "items"
    kind = "item"

    def handle(self, source: Source, now: datetime) -> list[Record]:
        change = cast(ProductChanged, self._decode(source))
        orgs = self._settings.orgs_of(change["instance"])
        if not orgs:
            return self._unknown(source, _subject(change, None), change["site_name"], now)
        records: list[Record] = []
        for org in orgs:
            routes = self._stores.of_org(change["instance"], org)
            records += self._for(source, change, routes, self._waits(source, routes[0]), now)
        return records

    def again(self, source: Source, org: str, now: datetime) -> list[Record]:
        change = cast(ProductChanged, self._decode(source))
        routes = self._stores.of_org(change["instance"], org)
        if not routes:
            return self._unknown(source, _subject(change, None), change["site_name"], now)
        return self._for(source, change, routes, routes[0].waits_for, now)

    def _for(
        self, source: Source, change: ProductChanged, routes: list[Route], why: str, now: datetime
    ) -> list[Record]:
        subject = _subject(change, routes[0])
        if why:
            return self._park(source, subject, routes[0].org, why, now)
        made = first_made(route.flow.item(change, now) for route in routes if route.flow is not None)
        return self._records(source, subject, made, now)


def _subject(change: ProductChanged, route: Route | None) -> Subject:
    return Subject(
        instance=change["instance"],
        kind="item",
        key=f"{change['instance']}|{change['SKUID']}",
        version=change["version"],
        org=route.org if route else None,
        received_at=change["received_at"],
        traceparent=change["traceparent"],
    )
