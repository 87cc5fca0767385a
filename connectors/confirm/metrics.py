"""What confirmations count. Labels are targets and outcomes, never an order."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

CONFIRMATIONS = Counter("k2x_confirmations", "Confirmations by what became of them", ["target", "outcome"])
# outcome: sent, not_wanted, dead_letter
CONFIRM_SECONDS = Histogram(
    "k2x_confirm_request_duration_seconds",
    "Of one request",
    ["target"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)
CONFIRM_OUTAGE = Gauge("k2x_confirm_outage", "1 while a target does not take what it is told", ["target"])
