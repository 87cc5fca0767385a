"""Which flow an order takes: its store's, compiled whenever the organisation's reference data or rules change.

Written by the copies' threads, read by the agents: readers see one whole generation of an organisation or the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

import structlog

from schemas.letters import ErrorClass, Reason
from schemas.topics import settlement_key
from schemas.types import CustomerChanged, Order, ProductChanged, Result, RulesVersion, Settlement, WriteBack
from streams.errors import NotUsable
from streams.flow import Compiler, Made, Refused, StoreFlow, Suppressed
from streams.metrics import Metrics
from streams.reference_copy import Rows
from streams.settings import StreamsSettings

log = structlog.get_logger("k2x.streams")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Route:
    """A store that is configured. `flow` None: its organisation is not ready, for the reason given."""

    store: str
    org: str
    flow: StoreFlow | None
    waits_for: str = ""


class NoRules:
    """The flow of a store that its organisation's rules leave out: nothing waits for it, a person must add it."""

    def __init__(self, org: str, store: str, version: int, fault: str) -> None:
        self._reason = Reason(
            ErrorClass.MAPPING,
            "no_rules",
            f"{store}: rules version {version} of {org} cannot be used for it: {fault}",
            f"Mend stores.{store} in the rules of {org}, publish them with k2x rules apply, then redrive this letter.",
            org=org,
            store=store,
        )

    def order(self, order: Order, now: datetime) -> Made:
        key = f"{order['instance']}|{order['order']['OrderID']}"
        return Refused(replace(self._reason, natural_key=key), "route")

    def contact(self, change: CustomerChanged, now: datetime) -> Made:
        return Suppressed("no_rules", self._reason.message)

    def item(self, change: ProductChanged, now: datetime) -> Made:
        return Suppressed("no_rules", self._reason.message)

    def settlement(self, given: Settlement, now: datetime) -> Made:
        key = settlement_key(given["instance"], given["gateway"], given["settlement_id"]).decode()
        return Refused(replace(self._reason, natural_key=key), "route")

    def writeback(self, result: Result, now: datetime) -> WriteBack | None:
        return None


class Stores:
    """Routes by store and by organisation."""

    def __init__(self, settings: StreamsSettings, compiler: Compiler, metrics: Metrics) -> None:
        self._settings = settings
        self._compiler = compiler
        self._metrics = metrics
        self._lock = threading.Lock()
        self._rows: dict[str, Rows] = {}
        self._rules: dict[str, RulesVersion] = {}
        self._waits = {org: _missing(org, reference=True, rules=True) for org in settings.orgs}
        self._routes = {store: Route(store, org, None, self._waits[org]) for store, org in settings.stores.items()}
        self._changed: Callable[[], None] = lambda: None
        for org in settings.orgs:
            metrics.ready(org, ready=False)

    def on_change(self, call: Callable[[], None]) -> None:
        """`call` is called, from any thread, whenever an organisation became ready or stopped being so."""
        self._changed = call

    def route(self, instance: str, site: str | None) -> Route | None:
        """The store of an aggregate; without a site's name the instance's only store. None: not configured."""
        if site:
            return self._routes.get(f"{instance}/{site}")
        own = self._settings.stores_of(instance)
        return self._routes[next(iter(own))] if len(own) == 1 else None

    def named(self, store: str | None) -> Route | None:
        return self._routes.get(store) if store else None

    def of_org(self, instance: str, org: str) -> list[Route]:
        """The stores by which `instance` feeds `org`: customers and products are an organisation's, not a store's."""
        own = sorted(store for store, feeds in self._settings.stores_of(instance).items() if feeds == org)
        return [self._routes[store] for store in own]

    def settling(self, instance: str, site: str | None) -> Route | None:
        """Whose a settlement is: the store's that it names, else by any store of the instance's only organisation."""
        if site:
            return self.named(f"{instance}/{site}")
        orgs = self._settings.orgs_of(instance)
        routes = self.of_org(instance, orgs[0]) if len(orgs) == 1 else []
        return next((route for route in routes if route.flow is not None), routes[0] if routes else None)

    def ready(self, org: str) -> bool:
        """Whether parked records of `org` can go on. One that is no longer configured can: it will be refused."""
        return not self._waits.get(org)

    def unknown(self, instance: str, site: str | None, natural_key: str) -> Reason:
        """Why an aggregate of no known store is refused."""
        store = f"{instance}/{site}" if site else instance
        known = ", ".join(sorted(self._settings.stores)) or "none"
        what = (
            f"store {store!r} is not configured"
            if site
            else f"{instance!r} names no site, and has not exactly one store"
        )
        return Reason(
            ErrorClass.MAPPING,
            "unknown_store",
            f"{natural_key}: {what}. Stores known: {known}.",
            f"Add {store} under stores in k2x.yaml with its organisation, restart streams, then redrive this letter.",
            store=store,
            natural_key=natural_key,
        )

    def set_reference(self, org: str, rows: Rows | None) -> None:
        with self._lock:
            _put(self._rows, org, rows)
            self._compile(org)

    def set_rules(self, org: str, rules: RulesVersion | None) -> None:
        with self._lock:
            _put(self._rules, org, rules)
            self._compile(org)

    def _compile(self, org: str) -> None:
        own = [store for store, feeds in self._settings.stores.items() if feeds == org]
        rows, rules = self._rows.get(org), self._rules.get(org)
        if rows is None or rules is None:
            self._put_routes(org, {}, _missing(org, reference=rows is None, rules=rules is None))
            return
        flows, faults = self._flows(org, own, rows, rules)
        for store, fault in faults.items():
            log.error("rules_not_usable", org=org, store=store, version=rules["version"], error=fault)
        if len(faults) == len(own):
            if not self.ready(org):  # else the flows of the version before stay in use: orders go on by them
                first = next(iter(faults.values()))
                self._put_routes(org, {}, f"{org}: rules version {rules['version']} cannot be used: {first}")
            return
        self._metrics.selling(org, own, [code for kind, code in rows if kind == "CURRENCY"])
        log.info("organisation_ready", org=org, rules_version=rules["version"], rows=len(rows), stores=own)
        refusing = {store: NoRules(org, store, rules["version"], fault) for store, fault in faults.items()}
        self._put_routes(org, {**flows, **refusing}, "")

    def _flows(
        self, org: str, own: list[str], rows: Rows, rules: RulesVersion
    ) -> tuple[dict[str, StoreFlow], dict[str, str]]:
        """The flows of the stores that have usable rules, and what is wrong with the others'."""
        flows: dict[str, StoreFlow] = {}
        faults: dict[str, str] = {}
        for stores in ([own], [[store] for store in own]):  # all at once; one by one only if that fails
            flows, faults = {}, {}
            for some in stores:
                try:
                    flows.update(self._compiler.compile(org, some, rows, rules))
                except NotUsable as error:
                    faults |= dict.fromkeys(some, str(error))
                except Exception as error:  # one organisation's odd row must not stop the others
                    log.exception("compile_failed", org=org, stores=some)
                    faults |= dict.fromkeys(some, f"{type(error).__name__}: {error}")
            if not faults:
                break
        return flows, faults

    def _put_routes(self, org: str, flows: dict[str, StoreFlow], waits_for: str) -> None:
        routes = dict(self._routes)
        for store, route in self._routes.items():
            if route.org == org:
                routes[store] = Route(store, org, flows.get(store), waits_for)
        self._routes = routes
        self._waits[org] = waits_for
        self._metrics.ready(org, ready=not waits_for)
        self._changed()


def _put(target: dict[str, T], key: str, value: T | None) -> None:
    if value is None:
        target.pop(key, None)
    else:
        target[key] = value


def _missing(org: str, *, reference: bool, rules: bool) -> str:
    lacks = [
        text
        for missing, text in ((reference, "complete snapshot of Xero's reference data"), (rules, "rules"))
        if missing
    ]
    return f"{org} has no {' and no '.join(lacks)} yet"
