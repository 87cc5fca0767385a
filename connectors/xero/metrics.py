"""What a sink shows to Prometheus: calls, budget, batches, latency, documents, letters, lanes. No personal data."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from connectors.xero.calls import Answer, Call
from connectors.xero.core.events import Send, Transact

# ledger_lost: it waits for `k2x ledger rebuild`; orders wait in their topic, nothing is posted.
LANE_STATES = ("taking_over", "ledger_lost", "rebuilding", "running", "paused", "failed", "refused", "closed")
# Why a lane waits: the day's calls are used up, another of Xero's limits, or Xero is away or does not let us in.
PAUSES = ("day", "limit", "xero")
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
        self.limited = Counter("k2x_xero_limited", "Answers 429", ["org"], registry=registry)
        self.batch = Histogram(
            "k2x_sink_batch_documents", "Documents in a write", ["org", "purpose"], buckets=_BATCH, registry=registry
        )
        self.minute = Gauge("k2x_xero_minute_calls_remaining", "Calls that may go now", ["org"], registry=registry)
        self.day = Gauge("k2x_xero_day_calls_remaining", "Calls left of the day", ["org"], registry=registry)
        self.in_flight = Gauge("k2x_xero_calls_in_flight", "Calls under way", ["org"], registry=registry)
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
        self.letters = Counter("k2x_sink_dead_letters", "Dead letters by class", ["org", "class_"], registry=registry)
        self.intentions = Gauge("k2x_sink_open_calls", "Batches intended or in flight", ["org"], registry=registry)
        self.orders = Gauge("k2x_sink_orders_in_memory", "Orders under way", ["org"], registry=registry)
        self.waiting = Gauge(
            "k2x_sink_waiting_documents", "Documents WAITING in the ledger", ["org"], registry=registry
        )
        self.transactions = Histogram(
            "k2x_sink_transaction_seconds", "Duration of a transaction", ["org"], buckets=_CALL, registry=registry
        )
        self.rebuild = Gauge(
            "k2x_ledger_rebuild_done", "How far a rebuild of the ledger is", ["org", "phase"], registry=registry
        )
        self.pause = Gauge(
            "k2x_sink_pause_seconds", "How long the lane still waits, by reason", ["org", "reason"], registry=registry
        )
        self.lane = Gauge("k2x_sink_lane_state", "1 for the state a lane is in", ["org", "state"], registry=registry)

    def state(self, org: str, state: str) -> None:
        """The lane's state, exactly one of LANE_STATES."""
        for name in LANE_STATES:
            self.lane.labels(org, name).set(1 if name == state else 0)

    def paused(self, org: str, reason: str, seconds: float) -> None:
        """For how long the lane waits yet; `reason` is one of PAUSES, or "" for none."""
        for name in PAUSES:
            self.pause.labels(org, name).set(seconds if name == reason else 0)

    def sent(self, org: str, send: Send) -> None:
        """A call leaves."""
        if send.call.writes:
            self.batch.labels(org, send.call.purpose).observe(send.documents)

    def answered(self, org: str, call: Call, answer: Answer) -> None:
        """A call has ended."""
        status = str(answer.doubt) if answer.doubt is not None else str(answer.status)
        self.calls.labels(org, call.purpose, status).inc()
        self.call_seconds.labels(org, call.purpose).observe(answer.elapsed)
        if answer.status == 429:
            self.limited.labels(org).inc()

    def committed(self, org: str, work: Transact, seconds: float) -> None:
        """A transaction is on the log."""
        self.transactions.labels(org).observe(seconds)
        for result in work.results:
            self.documents.labels(org, result["kind"], result["outcome"]).inc()
            if result["kind"] == "order" and result["outcome"] == "POSTED" and result["received_at"] is not None:
                self.latency.labels(org).observe(max(0.0, (result["at"] - result["received_at"]).total_seconds()))
        for letter in work.letters:
            found = next((v.decode() for k, v in letter.headers if k == "x-error-class"), "")
            self.letters.labels(org, found).inc()
