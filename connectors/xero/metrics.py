"""What a sink shows to Prometheus: calls, budget, batches, latency, documents, letters, lanes. No personal data.

Counted at the lane's edge from what the core wants done and from what came of it; the core knows no metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from connectors.xero.budget import Limits, Snapshot
from connectors.xero.calls import Answer, Call
from connectors.xero.core.events import Send, Transact
from connectors.xero.volume import Volume
from schemas import spans
from schemas.traces import exemplar
from schemas.types import LedgerEntry, Result

# ledger_lost: it waits for `k2x ledger rebuild`; orders wait in their topic, nothing is posted.
LANE_STATES = ("taking_over", "ledger_lost", "rebuilding", "running", "paused", "failed", "refused", "closed")
# Why a lane waits: the day's calls are used up, another of Xero's limits, or Xero is away or does not let us in.
PAUSES = ("day", "limit", "xero")
# Why a write may not go this moment (budget.Snapshot.reason).
BUDGET_WAITS = (
    "unprobed", "concurrent", "minute", "pace", "day", "spread",
    "blocked:minute", "blocked:day", "blocked:concurrent", "blocked:app",
)  # fmt: skip
_LATENCY = (0.5, 1, 1.5, 2, 3, 4, 6, 10, 20, 60, 300, 1800, 7200, 86400)
_CALL = (0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30, 60)
_BATCH = (1, 2, 5, 10, 20, 30, 40, 50, 75, 100)


class SinkMetrics:
    """One per process; `registry` of its own in tests."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.calls = Counter(
            "k2x_xero_calls", "Calls to Xero by purpose and status", ["org", "purpose", "status"], registry=registry
        )
        self.call_seconds = Histogram(
            "k2x_xero_call_seconds", "Duration of a call", ["org", "purpose"], buckets=_CALL, registry=registry
        )
        self.repeats = Counter(
            "k2x_xero_repeated_calls", "Calls sent again under their own key, because nobody knows what Xero did",
            ["org", "purpose"], registry=registry,
        )  # fmt: skip
        self.limited = Counter("k2x_xero_limited", "Answers 429", ["org"], registry=registry)
        self.kept_out = Counter(
            "k2x_xero_kept_out", "Calls that Xero or its identity service answered with 401", ["org"], registry=registry
        )
        self.batch = Histogram(
            "k2x_sink_batch_documents", "Documents in a write", ["org", "purpose"], buckets=_BATCH, registry=registry
        )
        self.minute = Gauge("k2x_xero_minute_calls_remaining", "Calls that may go now", ["org"], registry=registry)
        self.day = Gauge("k2x_xero_day_calls_remaining", "Calls left of the day", ["org"], registry=registry)
        self.in_flight = Gauge("k2x_xero_calls_in_flight", "Calls under way", ["org"], registry=registry)
        self.limits = Gauge(
            "k2x_xero_calls_limit", "Calls that the configuration allows in a window: minute, day, concurrent",
            ["org", "window"], registry=registry,
        )  # fmt: skip
        self.wait = Gauge(
            "k2x_xero_wait_seconds",
            "How long a write would have to wait for the budget now",
            ["org"],
            registry=registry,
        )
        self.wait_reason = Gauge(
            "k2x_xero_wait_reason", "1 for what a write waits for now", ["org", "reason"], registry=registry
        )
        self.latency = Histogram(
            "k2x_order_latency_seconds",
            "From the order's arrival to PAID in Xero",
            ["org"],
            buckets=_LATENCY,
            registry=registry,
        )
        self.documents = Counter(
            "k2x_sink_documents", "Results by kind and outcome", ["org", "kind", "outcome"], registry=registry
        )
        self.letters = Counter(
            "k2x_sink_dead_letters", "Dead letters by class", ["org", "error_class"], registry=registry
        )
        self.intentions = Gauge("k2x_sink_open_calls", "Batches intended or in flight", ["org"], registry=registry)
        self.intended = Gauge(
            "k2x_sink_intended_entries", "Documents with an open intention in the ledger", ["org"], registry=registry
        )
        self.oldest_intention = Gauge(
            "k2x_sink_oldest_intention_age_seconds", "Age of the oldest open intention, 0 without one", ["org"],
            registry=registry,
        )  # fmt: skip
        self.read_backs = Gauge(
            "k2x_sink_read_backs_waiting", "Documents to be looked up in Xero before they go on", ["org"],
            registry=registry,
        )  # fmt: skip
        self.orders = Gauge("k2x_sink_orders_in_memory", "Orders under way", ["org"], registry=registry)
        self.waiting = Gauge(
            "k2x_sink_waiting_documents", "Documents WAITING in the ledger", ["org"], registry=registry
        )
        self.transactions = Histogram(
            "k2x_sink_transaction_seconds", "Duration of a transaction", ["org"], buckets=_CALL, registry=registry
        )
        self.aborted = Counter(
            "k2x_sink_aborted_transactions", "Transactions that were aborted and written again", ["org"],
            registry=registry,
        )  # fmt: skip
        self.rebuild = Gauge(
            "k2x_ledger_rebuild_done", "How far a rebuild of the ledger is", ["org", "phase"], registry=registry
        )
        self.pause = Gauge(
            "k2x_sink_pause_seconds", "How long the lane still waits, by reason", ["org", "reason"], registry=registry
        )
        self.invoices = Gauge(
            "k2x_xero_sales_invoices_30d", "Sales invoices posted in the last 30 days; Xero is made for about 1,000",
            ["org"], registry=registry,
        )  # fmt: skip
        self.over_volume = Gauge(
            "k2x_xero_volume_exceeded",
            "1 where there are over 1,000 sales invoices a month (month), or too few calls for the day (day): consider "
            "summary mode, one invoice a store and day",
            ["org", "reason"],
            registry=registry,
        )
        self.lane = Gauge("k2x_sink_lane_state", "1 for the state a lane is in", ["org", "state"], registry=registry)
        self.rebalances = Counter(
            "k2x_sink_rebalances", "Organisations that came to this sink or left it", ["event"], registry=registry
        )
        for event in ("assigned", "revoked"):
            self.rebalances.labels(event)
        self._intended: dict[str, dict[str, datetime]] = {}  # by organisation and ledger key

    def state(self, org: str, state: str) -> None:
        """The lane's state, exactly one of LANE_STATES."""
        for name in LANE_STATES:
            self.lane.labels(org, name).set(1 if name == state else 0)

    def paused(self, org: str, reason: str, seconds: float) -> None:
        """For how long the lane waits yet; `reason` is one of PAUSES, or "" for none."""
        for name in PAUSES:
            self.pause.labels(org, name).set(seconds if name == reason else 0)

    def opened(self, org: str, limits: Limits) -> None:
        """A lane begins: counters that must be seen at 0 before they first count, and the limits."""
        self._intended[org] = {}
        for counter in (self.limited, self.kept_out, self.aborted):
            counter.labels(org)
        for window, allowed in (("minute", limits.minute), ("day", limits.day), ("concurrent", limits.concurrent)):
            self.limits.labels(org, window).set(allowed)

    def sent(self, org: str, send: Send) -> None:
        """A call leaves."""
        if send.call.writes:
            self.batch.labels(org, send.call.purpose).observe(send.documents)
        if send.same_token is not None:
            self.repeats.labels(org, send.call.purpose).inc()

    def answered(self, org: str, call: Call, answer: Answer) -> None:
        """A call has ended."""
        status = str(answer.doubt) if answer.doubt is not None else str(answer.status)
        self.calls.labels(org, call.purpose, status).inc()
        self.call_seconds.labels(org, call.purpose).observe(answer.elapsed)
        if answer.status == 429:
            self.limited.labels(org).inc()
        if answer.status == 401:
            self.kept_out.labels(org).inc()

    def committed(self, org: str, work: Transact, seconds: float) -> None:
        """A transaction is on the log."""
        self.transactions.labels(org).observe(seconds)
        self._intend(org, work.entries)
        for result in work.results:
            self.documents.labels(org, result["kind"], result["outcome"]).inc()
            if spans.on() and result["kind"] == "order":
                _leave_span(result)
            if result["kind"] == "order" and result["outcome"] == "POSTED" and result["received_at"] is not None:
                latency = max(0.0, (result["at"] - result["received_at"]).total_seconds())
                self.latency.labels(org).observe(latency, exemplar(result["traceparent"]))
        for letter in work.letters:
            found = next((v.decode() for k, v in letter.headers if k == "x-error-class"), "")
            self.letters.labels(org, found).inc()

    def budget(self, org: str, now: Snapshot) -> None:
        """What may be called now, and what a write waits for."""
        self.minute.labels(org).set(now.minute_available)
        if now.day_remaining is not None:
            self.day.labels(org).set(now.day_remaining)
        self.in_flight.labels(org).set(now.in_flight)
        self.wait.labels(org).set(now.wait)
        for reason in BUDGET_WAITS:
            self.wait_reason.labels(org, reason).set(1 if reason == now.reason else 0)

    def volume(self, org: str, volume: Volume) -> None:
        """Whether the organisation has more than one invoice an order can bear."""
        self.invoices.labels(org).set(volume.invoices)
        for reason, passed in volume.reasons.items():
            self.over_volume.labels(org, reason).set(1 if passed else 0)

    def work(self, org: str, *, batches: int, orders: int, read_backs: int, waiting: int, now: datetime) -> None:
        """What the lane has in hand."""
        self.intentions.labels(org).set(batches)
        self.orders.labels(org).set(orders)
        self.read_backs.labels(org).set(read_backs)
        self.waiting.labels(org).set(waiting)
        ages = [(now - at).total_seconds() for at in list(self._intended.get(org, {}).values())]
        self.intended.labels(org).set(len(ages))
        self.oldest_intention.labels(org).set(max(ages, default=0.0))

    def _intend(self, org: str, entries: Mapping[str, LedgerEntry | None]) -> None:
        """Entries of a former owner are not known here until they are written: `read_backs` shows those."""
        known = self._intended.setdefault(org, {})
        for key, entry in entries.items():
            if entry is not None and entry["intention"] is not None:
                known[key] = entry["intention"]["intended_at"]
            else:
                known.pop(key, None)


def _leave_span(result: Result) -> None:
    """An order's whole time with k2x, until this outcome."""
    begun = result["received_at"] or result["at"]
    of = {
        "k2x.org": result["org"] or "", "k2x.store": result["store"] or "", "k2x.order_id": result["order_id"] or "",
        "k2x.outcome": result["outcome"], "k2x.code": result["error_code"] or "",
    }  # fmt: skip
    failed = result["outcome"] in ("REFUSED", "HELD")
    ends = (begun.timestamp(), result["at"].timestamp())
    spans.record(spans.Span("order", *ends, result["traceparent"], (), of, failed))
