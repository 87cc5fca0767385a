"""A day of three stores in summary mode: real transforms, Kafka, sink and Xero sandbox, for the bench and its test.

Orders are the shop generator's signed events, made into aggregates and commands by the receiver's and the workers' own
functions. The day lies before yesterday, so its summaries close as soon as no order has come for a moment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import yaml
from click.testing import CliRunner, Result
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from connectors.kentico.events import route
from connectors.kentico.sandbox.checkout import generate
from connectors.xero.settings import CoreSettings
from k2x import wiring
from k2x.audit.log import Places, read_to_end
from k2x.cli import main
from k2x.config import load
from k2x.publish import publish_rules, rules_of
from k2x.settings import Settings
from k2x.shipped import rules_dir
from schemas import topics
from schemas.types import Command, Order
from streams.flow import Refused, Suppressed
from streams.metrics import Metrics
from streams.reference_copy import ReferenceCopy
from streams.rules_copy import RulesCopy
from streams.stores import Stores
from streams.workflow import WorkflowCompiler
from tests.connectors.xero.office import CODEC, Office, until
from tests.connectors.xero.servers import SandboxProcess

SITES = {"GoatUK": "UK-", "GoatOutlet": "OUT-", "GoatTrade": "TRADE-"}
_SECRET = "SUMMARY_DAY_SECRET"
DAY = (datetime.now(UTC) - timedelta(days=2)).date()
_OPENS = time(8, 0)
_TRADES_S = 12 * 3600
_CENT = Decimal("0.01")
QUIET_S = 1.0  # after the last order: longer than any pause between two of them
CORE = CoreSettings(intention_lapse=1.0, deadline=10.0, outage_backoff=0.1, repeat_backoff=0.1, summary_quiet=QUIET_S)


@dataclass
class SummaryDay:
    """`slug` is the organisation and the instance, so that nobody else's orders are among these."""

    office: Office
    settings: Settings
    config: Path
    stores: Stores
    sold: dict[str, list[Decimal]] = field(default_factory=dict)  # totals by store
    tax: dict[str, Decimal] = field(default_factory=dict)
    wanted: int = 0
    _places: Places = field(default_factory=dict)
    _posted: dict[bytes, bool] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        return self.office.slug

    # -- the shop -----------------------------------------------------------------------------------------------

    def orders(
        self,
        count: int,
        *,
        first: int = 1001,
        start: datetime | None = None,
        every: timedelta | None = None,
        sites: Sequence[str] = tuple(SITES),
    ) -> Iterator[Order]:
        """Paid orders, spread over the day and the stores; `every` apart where that is said."""
        (instance,) = wiring.instances(self.settings, {}, rest=False, webhooks=False)
        events = generate(
            f"day {self.slug} {first}", count, new_customers=max(1, count // 2), first_order_id=first, full_joins=True,
            start=start or datetime.combine(DAY, _OPENS, UTC), every=every or timedelta(seconds=_TRADES_S / count),
        )  # fmt: skip
        for number, event in enumerate(events):
            event |= {"instance": instance.name, "siteName": sites[number % len(sites)]}
            event["data"].pop("site", None)
            routed = route(event, "", instance, datetime.now(UTC), None)
            yield cast(Order, routed.value)

    def send(self, orders: Iterable[Order], *, again: bool = False) -> int:
        """Onto the source topic, and the commands that the workers make of them onto the organisation's. `again`: other
        versions of orders that were sent before."""
        source = Producer({**self.office.kafka, "enable.idempotence": True, "linger.ms": 20})
        sent = 0
        for order in orders:
            key, store = f"{order['instance']}|{order['order']['OrderID']}", f"{order['instance']}/{order['site_name']}"
            source.produce(topics.ORDERS, key=key.encode(), value=CODEC.encode("order", order))
            source.poll(0)
            if not again:
                self.sold.setdefault(store, []).append(order["order"]["OrderTotalPrice"])
                self.tax[store] = self.tax.get(store, Decimal(0)) + order["order"]["OrderTotalTax"]
            self._command(store, order, source)
            sent += 1
        if source.flush(60):
            raise RuntimeError("Kafka has not taken all orders")
        self.wanted += 0 if again else sent
        return sent

    def _command(self, store: str, order: Order, source: Producer) -> None:
        found = self.stores.named(store)
        if found is None or found.flow is None:
            raise RuntimeError(f"{store} has no flow: {found.waits if found is not None else 'no such store'}")
        made = found.flow.order(order, datetime.now(UTC))
        if isinstance(made, Suppressed | Refused):
            raise RuntimeError(f"{store} {order['order']['OrderID']}: {made}")
        for command in cast(tuple[Command, ...], made if isinstance(made, tuple) else (made,)):
            value = CODEC.encode("command", command)
            source.produce(topics.commands(self.slug), key=command["key"].encode(), value=value)

    # -- what came of it ----------------------------------------------------------------------------------------

    def posted(self) -> int:
        """Orders of which the ledger says that they are posted, by themselves or with their summary. Reads on from
        where it was."""
        for message in read_to_end(self.office.kafka, [topics.ledger(self.slug)], places=self._places):
            key = message.key() or b""
            if key.endswith(b"|invoice|0") and b"/" not in key and message.value() is not None:
                entry = CODEC.decode(message.value() or b"")
                self._posted[key] = (entry["state"], entry["status"]) == ("POSTED", "PAID")
        return sum(self._posted.values())

    def await_posted(self, seconds: float = 300.0) -> None:
        until(lambda: self.posted() == self.wanted, seconds)

    def books(self) -> dict[str, Any]:
        return cast(dict[str, Any], self.office.side_door("books/uk"))

    def calls(self) -> int:
        """Every call that Xero has had for the organisation."""
        counts = self.office.side_door("requests?org=uk")["counts"]
        return sum(row["calls"] for row in counts)

    def k2x(self, *arguments: str) -> Result:
        """The command line of a person at this deployment."""
        return CliRunner().invoke(
            main, [*arguments, "--config", str(self.config)], env={_SECRET: self._app["client_secret"]}
        )

    @property
    def _app(self) -> dict[str, str]:
        return self.office.sandbox.organisations["uk"]

    def report(self, *arguments: str) -> dict[str, Any]:
        """`k2x reconcile --json`; whatever its exit code says is in it."""
        done = self.k2x("reconcile", "--json", "--grace", "0", "--org", self.slug, *arguments)
        if done.exit_code not in (0, 1):
            raise RuntimeError(done.output[-2000:])
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def to_the_cent(self) -> None:
        """Xero's own export beside the orders' own columns, by store: neither k2x's ledger nor its audit is asked."""
        prefixes = {f"{self.slug}/{site}": prefix for site, prefix in SITES.items()}
        invoices = [i for i in self.books()["invoices"] if i["Status"] == "PAID"]
        for store, totals in self.sold.items():
            own = [i for i in invoices if str(i["InvoiceNumber"]).startswith(prefixes[store])]
            there = tuple(sum((Decimal(str(i[name])) for i in own), Decimal(0)) for name in ("Total", "TotalTax"))
            here = tuple(amount.quantize(_CENT) for amount in (sum(totals, Decimal(0)), self.tax[store]))
            if there != here:
                raise RuntimeError(f"{store}: Xero has {there}, the orders come to {here}")


def _configured(office: Office, home: Path, posting: Mapping[str, Any]) -> Path:
    """A k2x.yaml of one organisation and three stores of one instance, with the demo's British rules. The third store
    counts its days in New York."""
    rules = yaml.safe_load((rules_dir() / "uk.yaml").read_text("utf-8"))
    shop = rules["stores"]["emea/GoatUK"]
    shop.pop("write_back")
    rules["organisation"] = office.slug
    rules["stores"] = {
        f"{office.slug}/{site}": {**shop, "prefix": prefix, "posting": dict(posting)} for site, prefix in SITES.items()
    }
    rules["stores"][f"{office.slug}/GoatTrade"]["time_zone"] = "America/New_York"
    (home / "default.yaml").write_text((rules_dir() / "default.yaml").read_text("utf-8"), "utf-8")
    (home / "rules.yaml").write_text(yaml.safe_dump(rules), "utf-8")
    given = {
        "data_dir": str(home / "data"),
        "kafka": {"bootstrap": office.kafka["bootstrap.servers"]},
        "xero": {
            "api_url": office.sandbox.api_url,
            "token_url": f"{office.sandbox.url}/connect/token",
            "budget": {"minute": 3000},
            "tools": {"minute": 60, "minute_reserve": 0},
        },
        "organisations": {
            office.slug: {
                "client_id": office.sandbox.organisations["uk"]["client_id"],
                "client_secret_env": _SECRET,
                "rules": str(home / "rules.yaml"),
            }
        },
        "instances": {office.slug: {"time_zone": "Europe/London"}},
        "stores": {f"{office.slug}/{site}": {"organisation": office.slug} for site in SITES},
    }
    (home / "k2x.yaml").write_text(yaml.safe_dump(given), "utf-8")
    return home / "k2x.yaml"


def _compiled(settings: Settings, kafka: dict[str, Any]) -> Stores:
    """The stores' flows as a worker has them, once the sink has published the organisation's reference data."""
    told = wiring.streams(settings, kafka, "day")
    stores = Stores(told, WorkflowCompiler(), Metrics(CollectorRegistry()))

    def ready() -> bool:
        rules = RulesCopy(CODEC, told.orgs, stores.set_rules)
        reference = ReferenceCopy(CODEC, told.orgs, stores.set_reference)
        for topic, copy in ((topics.RULES, rules), (topics.REFERENCE, reference)):
            for message in read_to_end(kafka, [topic]):
                if message.key() is not None:
                    copy.apply(message.key() or b"", message.value())
            copy.publish()
        return all(stores.ready(org) for org in told.orgs)

    until(ready, 120)
    return stores


@contextmanager
def summary_day(
    kafka: str, xero: SandboxProcess, slug: str, home: Path, posting: Mapping[str, Any] | None = None
) -> Iterator[SummaryDay]:
    """Everything but the sink, which the block starts by `day.office.sink(core=CORE)`; reference data is read."""
    home.mkdir(exist_ok=True)
    office = Office(kafka, xero, slug, home)
    config = _configured(office, home, posting or {"mode": "summary", "from": str(DAY), "grace_minutes": 0})
    os.environ.setdefault(_SECRET, xero.organisations["uk"]["client_secret"])
    settings = load(config)
    rules_of(settings, slug)
    publish_rules(settings, office.kafka, CODEC, by="summary day")
    with office.sink("first", core=CORE):
        stores = _compiled(settings, office.kafka)
    yield SummaryDay(office, settings, config, stores)


def rules_from(day: SummaryDay, posting: Mapping[str, Any]) -> None:
    """Other rules of posting from now on, as `k2x rules apply` would publish them."""
    _configured(day.office, day.config.parent, posting)
    publish_rules(day.settings, day.office.kafka, CODEC, by="summary day")
    day.stores = _compiled(day.settings, day.office.kafka)
