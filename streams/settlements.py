"""Gateways' settlements → commands: `gateway.settlements.v1` to `xero.commands.<org>.v1`.

Guarantee: each settlement ends as a command, a SUPPRESSED result, a REFUSED one with its dead letter, or parked.
"""

from __future__ import annotations

from datetime import datetime
from typing import cast

from schemas.delivery import Record
from schemas.letters import ErrorClass, Reason
from schemas.topics import settlement_key
from schemas.types import Settlement
from streams.aggregates import Aggregates
from streams.outputs import Source, Subject
from streams.stores import Route


class Settlements(Aggregates):
    """A settlement is an organisation's: the one of the store that it names, else the only one of its instance."""

    agent = "settlements"
    kind = "settlement"

    def handle(self, source: Source, now: datetime) -> list[Record]:
        given = cast(Settlement, self._decode(source))
        route = self._stores.settling(given["instance"], given["site_name"])
        if route is None:
            return self._refuse(source, _subject(given, None), self._no_org(given), "route", now)
        return self._for(source, given, route, self._waits(source, route), now)

    def again(self, source: Source, org: str, now: datetime) -> list[Record]:
        given = cast(Settlement, self._decode(source))
        route = self._stores.settling(given["instance"], given["site_name"])
        if route is None:
            return self._refuse(source, _subject(given, None), self._no_org(given), "route", now)
        return self._for(source, given, route, route.waits_for, now)

    def _for(self, source: Source, given: Settlement, route: Route, why: str, now: datetime) -> list[Record]:
        subject = _subject(given, route)
        if why or route.flow is None:
            return self._park(source, subject, route.org, why or route.waits_for, now)
        return self._records(source, subject, route.flow.settlement(given, now), now)

    def _no_org(self, given: Settlement) -> Reason:
        key = _key(given)
        if given["site_name"]:
            return self._stores.unknown(given["instance"], given["site_name"], key)
        orgs = ", ".join(self._settings.orgs_of(given["instance"])) or "none"
        return Reason(
            ErrorClass.MAPPING,
            "settlement_without_org",
            f"{key} names no site, and the stores of {given['instance']} feed not exactly one organisation ({orgs})",
            "Send siteName with it: one of the stores whose payments it settles.",
            natural_key=key,
        )


def _key(given: Settlement) -> str:
    return settlement_key(given["instance"], given["gateway"], given["settlement_id"]).decode()


def _subject(given: Settlement, route: Route | None) -> Subject:
    return Subject(
        instance=given["instance"],
        kind="settlement",
        key=_key(given),
        version=given["version"],
        org=route.org if route else None,
        store=route.store if route and given["site_name"] else None,
        currency=given["currency"],
        received_at=given["received_at"],
        traceparent=given["traceparent"],
    )
