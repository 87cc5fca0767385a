"""The account of a demo: counts from verdicts, latency, calls. Pure; `--json` prints exactly this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from k2x.audit.finding import Finding
from k2x.audit.judge import Verdict
from k2x.audit.settlements import Verdict as Settled


@dataclass(frozen=True)
class Account:
    """Totals of all organisations, or of one. Orders are counted once each; their refunds and gateways' settlements
    beside them."""

    orders_in: int
    suppressed: int
    posted: int
    paid: int
    dead_lettered: int
    waiting: int
    parked: int
    held: int
    lost: int
    doubled: int
    drift: int
    unmatched: int
    xero_calls: int
    calls_per_order: float
    p50_latency_s: float
    p95_latency_s: float
    refunds: int = 0
    refunded: int = 0
    settlements: int = 0
    settled: int = 0

    def as_json(self) -> dict[str, Any]:
        """The one object of `k2x demo --once --json` (DESIGN §6)."""
        return dict(self.__dict__)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.drift or self.unmatched)


def account(
    verdicts: Sequence[Verdict], calls: int, strays: Sequence[Finding] = (), settlements: Sequence[Settled] = ()
) -> Account:
    """Count verdicts, and what is off with documents that are no order's own (`strays`, settlements' too). Calls are
    divided by the orders that reached Xero; one in a daily summary has reached it when its summary has."""
    beside = Counter(finding.kind for finding in strays)
    states = Counter(v.state for v in verdicts)
    latencies = sorted(v.latency_s for v in verdicts if v.latency_s is not None)
    return Account(
        orders_in=len(verdicts),
        suppressed=states["suppressed"],
        posted=states["posted"],
        paid=sum(1 for v in verdicts if v.invoice is not None and v.invoice.status == "PAID"),
        dead_lettered=states["dead_lettered"],
        waiting=states["waiting"],
        parked=states["parked"],
        held=sum(v.held for v in verdicts),
        lost=beside["lost"] + sum(v.state == "lost" or bool(v.found("lost")) for v in verdicts),
        doubled=beside["doubled"] + sum(bool(v.doubled) for v in verdicts),
        drift=beside["drifted"] + sum(bool(v.drift) for v in verdicts),
        unmatched=beside["unmatched"] + sum(bool(v.found("unmatched")) for v in verdicts),
        xero_calls=calls,
        calls_per_order=round(calls / states["posted"], 3) if states["posted"] else 0.0,
        p50_latency_s=round(percentile(latencies, 0.50), 2),
        p95_latency_s=round(percentile(latencies, 0.95), 2),
        refunds=sum(bool(refund.id) for v in verdicts for refund in v.refunds),
        refunded=sum(refund.state == "refunded" for v in verdicts for refund in v.refunds),
        settlements=sum(bool(one.state) for one in settlements),
        settled=sum(one.state == "posted" for one in settlements),
    )


def by_org(verdicts: Sequence[Verdict], calls: Mapping[str, int]) -> dict[str, Account]:
    """One account an organisation, in the order of `calls`."""
    return {org: account([v for v in verdicts if v.org == org], count) for org, count in calls.items()}


def reasons(verdicts: Sequence[Verdict]) -> list[tuple[str, int]]:
    """Dead letters by class and code, most first."""
    counted = Counter(f"{v.letter.error_class}/{v.letter.code}" for v in verdicts if v.letter is not None)
    return counted.most_common()


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank; 0 where there is nothing."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
