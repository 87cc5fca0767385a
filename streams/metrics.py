"""The streams worker's metrics: rates by outcome, batches, dead letters, parked orders. No personal data in labels."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from schemas.traces import exemplar
from schemas.types import Result
from schemas.waits import wait_word
from streams.tallies import Tally

# By objective: a batch of 500 takes 0.2 s at 2,500 orders a second, one transform 0.2 ms.
_STAGE = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_TRANSFORM = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)
_SIZE = (1, 2, 5, 10, 25, 50, 100, 250, 500)
_END_TO_END = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
_CODES = 200  # different codes at most: they are words of our source, but a label must be bounded by itself
_SUMS = ("order", "invoice", "payment", "credit_note", "refund")
_EXEMPLARS = timedelta(milliseconds=200)  # five traces a second lead on; one an order would cost more than the counting
_MONEY = frozenset({"POSTED", "ADOPTED"})


def process_registry() -> CollectorRegistry:
    """A registry with the process's own figures: CPU, memory, open files, start time."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class Metrics:
    """One per process (or per test, with a registry of its own)."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or process_registry()
        self._events = Tally(
            "k2x_streams_events_total",
            "Events handled, by what became of them",
            ["agent", "outcome", "org"],
            self.registry,
        )
        self._letters = Tally(
            "k2x_streams_dead_letters_total",
            "Dead letters written, by who has to act",
            ["agent", "error_class"],
            self.registry,
        )
        self.batch_seconds = Histogram(
            "k2x_streams_batch_seconds",
            "Time from a batch's first event to the broker's acknowledgement of all its outputs",
            ["agent"],
            buckets=_STAGE,
            registry=self.registry,
        )
        self.delivery_seconds = Histogram(
            "k2x_streams_delivery_seconds",
            "Time until the broker acknowledged a batch's outputs",
            ["agent"],
            buckets=_STAGE,
            registry=self.registry,
        )
        self.batch_events = Histogram(
            "k2x_streams_batch_events", "Events in a batch", ["agent"], buckets=_SIZE, registry=self.registry
        )
        self._transform_seconds = Histogram(
            "k2x_streams_transform_seconds",
            "Time of the order flow's pure functions for one order",
            buckets=_TRANSFORM,
            registry=self.registry,
        )
        self._parked = Gauge(
            "k2x_streams_parked_records",
            "Parked records of an organisation that this worker will feed again",
            ["topic", "org"],
            registry=self.registry,
        )
        self._ready = Gauge(
            "k2x_streams_organisation_ready",
            "1 where an organisation has a complete reference snapshot and rules",
            ["org"],
            registry=self.registry,
        )
        self.assigned = Gauge(
            "k2x_streams_assigned_partitions", "Source partitions held by this worker", registry=self.registry
        )
        self.rebalances = Counter(
            "k2x_streams_rebalances", "Times that this worker was given partitions anew", registry=self.registry
        )
        self._results = Tally(
            "k2x_results",
            "What became of documents, by kind, outcome and the code or the reason to wait",
            ["org", "kind", "outcome", "code"],
            self.registry,
        )
        self._end_to_end = Histogram(
            "k2x_end_to_end_seconds",
            "From the order's last change in Kentico, which made it a paid one, to PAID in Xero; replays left out",
            ["org", "store"],
            buckets=_END_TO_END,
            registry=self.registry,
        )
        self._documents = Tally(
            "k2x_business_documents",
            "Documents in Xero: order (its invoice, wholly paid), invoice, payment, credit_note, refund (money back), "
            "bank_transaction (a settlement's fees), bank_transfer (its payout)",
            ["org", "store", "kind", "currency"],
            self.registry,
        )
        self._value = Tally(
            "k2x_business_value",
            "Their totals, in units of the currency",
            ["org", "store", "kind", "currency"],
            self.registry,
        )
        self._tax = Tally(
            "k2x_business_tax",
            "The tax in their totals, in units of the currency",
            ["org", "store", "kind", "currency"],
            self.registry,
        )
        self._codes: set[str] = set()
        self._exemplar_at = datetime.min.replace(tzinfo=UTC)
        self._way_children: dict[tuple[str, str], Histogram] = {}

    def event(self, agent: str, outcome: str, org: str | None) -> None:
        """Count one event. `org` None: it could not be told."""
        self._events.add((agent, outcome, org or ""))

    def letter(self, agent: str, error_class: str) -> None:
        self._letters.add((agent, error_class))

    def transformed(self, seconds: float) -> None:
        """One order went through the pure functions."""
        self._transform_seconds.observe(seconds)

    def selling(self, org: str, stores: Iterable[str], currencies: Iterable[str]) -> None:
        """These stores may sell in these currencies: their sums begin at 0, so that the first order counts too."""
        for store in stores:
            for currency in currencies:
                for kind in _SUMS:
                    for tally in (self._documents, self._value, self._tax):
                        tally.begin((org, store, kind, currency))

    def result(self, result: Result) -> None:
        """Count one record of xero.results.v1. At least once, as everything here: a worker that is killed counts the
        records it had not confirmed again. To the cent speaks `k2x reconcile`."""
        org, kind, outcome = result["org"] or "", result["kind"], result["outcome"]
        code = wait_word(result["message"]) if outcome == "WAITING" else result["error_code"] or ""
        self._results.add((org, kind, outcome, self._bounded(code)))
        if outcome not in _MONEY:
            return
        store, currency = result["store"] or "", result["currency"]
        if currency is not None:
            labels = (org, store, kind, currency)
            self._documents.add(labels)
            self._value.add(labels, _amount(result["total"]))
            self._tax.add(labels, _amount(result["total_tax"]))
        if kind == "order" and result["replay_id"] is None:
            way = self._way_children.get((org, store))
            if way is None:
                way = self._way_children[org, store] = self._end_to_end.labels(org, store)
            seconds = max(0.0, (result["at"] - result["version"]).total_seconds())
            fresh = result["at"] - self._exemplar_at >= _EXEMPLARS
            if fresh:
                self._exemplar_at = result["at"]
            way.observe(seconds, exemplar(result["traceparent"]) if fresh else None)

    def _bounded(self, code: str) -> str:
        if code in self._codes or len(self._codes) < _CODES:
            self._codes.add(code)
            return code
        return "other"

    def parked(self, topic: str, org: str, records: int) -> None:
        self._parked.labels(topic, org).set(records)

    def ready(self, org: str, ready: bool) -> None:
        self._ready.labels(org).set(1 if ready else 0)


def _amount(text: str | None) -> float:
    """A total as a counter takes it: never negative, and a float, which is why no money is reckoned with it."""
    try:
        return max(0.0, float(text)) if text else 0.0
    except ValueError:
        return 0.0
