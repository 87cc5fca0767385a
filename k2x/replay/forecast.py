"""`k2x replay plan`: what a replay would do, by the workers' rules and reference data and the sink's own decisions.

Reads source, ledger, rules and reference topics; writes nothing, moves no offset, and calls Xero only with `--look`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import httpx
from confluent_kafka import Message
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from connectors.xero.core.events import ReferenceRow, Transact
from connectors.xero.core.refresh import CONTACTS
from k2x import wiring
from k2x.audit.documents import Invoice
from k2x.audit.log import read_to_end
from k2x.replay import ready
from k2x.replay.chosen import Chosen, Sieve
from k2x.replay.looked import Looked
from k2x.replay.paper import PaperLane, PaperLedger
from k2x.replay.source import Source, ranges_of
from k2x.replay.tally import Tally
from k2x.settings import Settings
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.letters import ErrorClass, Reason
from schemas.topics import ORDERS, PRODUCTS, REFERENCE, RULES, SETTLEMENTS, ledger, settlement_key
from schemas.types import CustomerChanged, Order, ProductChanged, Settlement
from streams.aggregates import first_made
from streams.flow import Made, Refused, Suppressed
from streams.metrics import Metrics
from streams.reference_copy import ReferenceCopy
from streams.rules_copy import RulesCopy
from streams.stores import Stores
from streams.workflow import WorkflowCompiler

_DAY_GAUGE = "k2x_xero_day_calls_remaining"
_STEPS, _A_CALL = 3, 50
_PATIENCE_S = 10.0  # with a sink that is there and busy; one that is not refuses at once
_LOAD = 2000  # ledger records and reference rows a transaction


@dataclass(frozen=True)
class Forecast:
    """One organisation. `seconds` at the budget's pace; `day_left` None: not known, the plan's `day` is taken;
    `unsure`: contacts among the written ones that Xero may show to be as they should be."""

    org: str
    records: int
    tally: Tally
    calls: int
    seconds: float
    unsure: int
    day: int
    day_left: int | None
    looked: int | None = None  # invoices of Xero's that were looked at; None: nobody has looked
    looked_credits: int = 0  # and credit notes

    @property
    def calls_at_close(self) -> int:
        """When the summaries that orders were collected into close: fifty a call, contacts, invoices and payments."""
        return _STEPS * math.ceil(len(self.tally.summaries) / _A_CALL) if self.tally.collected else 0

    @property
    def days(self) -> int:
        """Days that the calls are spread over by Xero's limit of the day."""
        left = self.day if self.day_left is None else self.day_left
        return 1 if self.calls <= left else 1 + math.ceil((self.calls - left) / max(1, self.day))

    def as_json(self) -> dict[str, Any]:
        """For scripts; the counts have the keys that `run --json` has."""
        times = {
            "contacts_if_they_differ": self.unsure,
            "calls": self.calls,
            "calls_at_close": self.calls_at_close,
            "minutes": round(self.seconds / 60, 1),
            "days": self.days,
        }
        known = {"day_calls_left": self.day_left, "invoices_looked_at": self.looked}
        known["credit_notes_looked_at"] = None if self.looked is None else self.looked_credits
        return {"sent": self.records, **self.tally.as_json(), **times, **known}


class Planner:
    """Plans one organisation after another. `look(org)` pages through Xero's invoices and credit notes, where that is
    asked for."""

    def __init__(
        self,
        settings: Settings,
        kafka: Mapping[str, Any],
        codec: Codec,
        look: Callable[[str], Iterable[Sequence[Invoice]]] | None = None,
        say: Callable[[str], None] = lambda line: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._kafka, self._codec = settings, kafka, codec
        self._look, self._say, self._now = look, say, now

    def plan(self, chosen: Chosen, day_left: Callable[[str], int | None]) -> list[Forecast]:
        """What replaying `chosen` would do now. NotReady as `run` would say it."""
        ready.check(self._kafka, self._codec, self._settings, chosen.orgs)
        self._stores = self._compiled()
        return [self._of(org, chosen, day_left(org)) for org in chosen.orgs]

    def _of(self, org: str, chosen: Chosen, day_left: int | None) -> Forecast:
        tally, limits = Tally(), wiring.limits(self._settings, org)
        records = 0
        with TemporaryDirectory(prefix="k2x-plan-") as scratch:
            copy = PaperLedger(Path(scratch) / "ledger.sqlite3", self._codec)
            self._fill(org, copy)
            books = self._books(org, Path(scratch) / "xero.sqlite3")
            lane = PaperLane(
                org,
                copy,
                limits,
                wiring.sink(self._settings, "plan").core,
                self._codec,
                tally,
                self._settings.replay.outstanding,
                self._now(),
                books,
            )
            for topic in chosen.topics:
                for made, told in self._through(org, topic, chosen, tally):
                    records += 1
                    self._take(made, told, lane)
                lane.finish()
            copy.close()
            if books is not None:
                books.close()
        day = max(1, limits.day - limits.day_reserve)
        left = None if day_left is None else max(0, day_left - limits.day_reserve)
        seconds = lane.seconds if lane.calls else 0.0
        looked, credits = (None, 0) if books is None else (books.invoices, books.credit_notes)
        return Forecast(org, records, tally, lane.calls, seconds, lane.unsure, day, left, looked, credits)

    def _books(self, org: str, path: Path) -> Looked | None:
        if self._look is None:
            return None
        return Looked(path, self._look(org), lambda count: self._say(f"{org}: {count:,} of Xero's documents read"))

    def _take(self, made: Made, told: Mapping[str, Any], lane: PaperLane) -> None:
        """A command goes to the lane on paper; what makes none has its result at once, as streams would write it."""
        if isinstance(made, Suppressed):
            lane.tally.take({**told, "outcome": "SUPPRESSED", "error_class": None, "error_code": made.code})
        elif isinstance(made, Refused):
            reason = {"error_class": str(made.reason.error_class), "error_code": made.reason.code}
            lane.tally.take({**told, **reason, "outcome": "REFUSED"})
        else:
            for command in made if isinstance(made, tuple) else (made,):
                lane.put(command)

    # -- records ------------------------------------------------------------------------------------------------

    def _through(self, org: str, topic: str, chosen: Chosen, tally: Tally) -> Iterator[tuple[Made, Mapping[str, Any]]]:
        """What the flow makes of each record that is meant, and what its result would begin with."""
        sieve = Sieve.of(org, chosen, self._settings)
        source = Source(self._kafka, ranges_of(self._kafka, [topic], chosen.since))
        total = source.left
        try:
            for message in source.rest():
                self._say(f"{org}: {total - source.left:,} of {total:,} records looked at")
                value = self._meant(message, sieve, tally)
                if value is not None:
                    yield self._guarded(topic, org, value), _told(topic, value)
        finally:
            source.close()

    def _meant(self, message: Message, sieve: Sieve, tally: Tally) -> dict[str, Any] | None:
        try:
            return self._codec.decode(message.value() or b"") if sieve.takes(message, self._codec) else None
        except SchemaError:
            tally.unreadable += 1
            return None

    def _guarded(self, topic: str, org: str, value: dict[str, Any]) -> Made:
        """A bug of a transform costs the one record, as in a worker."""
        try:
            return self._made(topic, org, value)
        except Exception as error:  # noqa: BLE001 - whatever it is, streams would write a dead letter of it
            said = f"{type(error).__name__}: {error}"
            return Refused(Reason(ErrorClass.BUG, "unexpected", said, "Report this.", exception=error), topic)

    def _made(self, topic: str, org: str, value: dict[str, Any]) -> Made:
        now = self._now()
        if topic == ORDERS:
            route = self._stores.route(value["instance"], value["site_name"])
            if route is None or route.flow is None:
                raise RuntimeError(f"{value['instance']}/{value['site_name']} was sieved, and has no flow")
            return route.flow.order(cast(Order, value), now)
        if topic == SETTLEMENTS:
            route = self._stores.settling(value["instance"], value["site_name"])
            if route is None or route.flow is None:
                raise RuntimeError(f"a settlement of {value['instance']} was sieved, and has no flow")
            return route.flow.settlement(cast(Settlement, value), now)
        flows = [route.flow for route in self._stores.of_org(value["instance"], org) if route.flow is not None]
        if topic == PRODUCTS:
            return first_made(flow.item(cast(ProductChanged, value), now) for flow in flows)
        return first_made(flow.contact(cast(CustomerChanged, value), now) for flow in flows)

    # -- copies -------------------------------------------------------------------------------------------------

    def _compiled(self) -> Stores:
        """The stores' flows by what is in force now, as a worker has them."""
        settings = wiring.streams(self._settings, self._kafka, "plan")
        stores = Stores(settings, WorkflowCompiler(), Metrics(CollectorRegistry()))
        rules = RulesCopy(self._codec, settings.orgs, stores.set_rules)
        reference = ReferenceCopy(self._codec, settings.orgs, stores.set_reference)
        for topic, copy in ((RULES, rules), (REFERENCE, reference)):
            for message in read_to_end(self._kafka, [topic]):
                if message.key() is not None:
                    copy.apply(message.key() or b"", message.value())
            copy.publish()
        return stores

    def _fill(self, org: str, copy: PaperLedger) -> None:
        """The ledger, and the contact index: what a sink would have."""
        copy.resume_from("plan", 0, 0)
        some: list[tuple[str, bytes | None]] = []
        for message in read_to_end(self._kafka, [ledger(org)]):
            some.append(((message.key() or b"").decode(), message.value()))
            if len(some) == _LOAD:
                copy.load(some, 0)
                some = []
        copy.load(some, 0)
        copy.loaded()
        beginning = f"{org}|".encode()
        rows: list[ReferenceRow] = []
        for message in read_to_end(self._kafka, [REFERENCE]):
            key = message.key() or b""
            if key.startswith(beginning):
                _, kind, code = key.decode().split("|", 2)
                document = self._codec.decode(message.value() or b"")["document"] if message.value() else None
                rows.append(ReferenceRow(kind, code, document, "", self._now()))
            if len(rows) == _LOAD:
                copy.apply(Transact(0, {}, reference=tuple(rows)))
                rows = []
        copy.apply(Transact(0, {}, reference=tuple(rows), marks={CONTACTS: self._now().isoformat()}))


def day_calls_left(settings: Settings, org: str) -> int | None:
    """What the sink of this machine last heard of the day's calls; None where there is none to ask."""
    port = settings.ports.metrics.get("sink", 0)
    if not port:
        return None
    try:
        text = httpx.get(f"http://{settings.ports.host}:{port}/metrics", timeout=_PATIENCE_S).text
    except httpx.HTTPError:
        return None
    for family in text_string_to_metric_families(text):
        if family.name == _DAY_GAUGE:
            return next((int(sample.value) for sample in family.samples if sample.labels.get("org") == org), None)
    return None


def _told(topic: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """The head of a result of streams' own about this record."""
    if topic == ORDERS:
        number = str(value["order"]["OrderID"])
        key = f"{value['instance']}|{number}"
        return {"kind": "order", "key": key, "order_id": number, "version": value["version"]}
    if topic == SETTLEMENTS:
        key = settlement_key(value["instance"], value["gateway"], value["settlement_id"]).decode()
        return {"kind": "settlement", "key": key, "order_id": None, "version": value["version"]}
    kind = "item" if topic == PRODUCTS else "contact"
    number = value["SKUID"] if topic == PRODUCTS else value["customer"]["CustomerID"]
    return {"kind": kind, "key": f"{value['instance']}|{number}", "order_id": None, "version": value["version"]}
