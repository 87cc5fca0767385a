"""What a chaos run prints: the table of rounds, the account, and each violation with the way to look at it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from k2x.demo.outcome import Account, percentile
from tests.chaos.judge import Load, Violation
from tests.chaos.rounds import Outcome

_HEAD = ("round", "what was done", "times", "orders", "back after s", "slowest order s")
_DAY = re.compile(r"-S\d{8}-[A-Z]{3}")
_SHOWN = 20  # violations; the rest is counted


def table(outcomes: Sequence[Outcome], slowest: Mapping[str, float]) -> str:
    """One row a round. Back after: median and longest time until an order accepted after the blow was paid."""
    rows = [_HEAD, *(_row(one, slowest.get(one.name)) for one in outcomes)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _row(one: Outcome, slowest: float | None) -> tuple[str, ...]:
    back = f"{median(one.recoveries):.0f} – {max(one.recoveries):.0f}" if one.recoveries else "never"
    return (
        one.name,
        one.what,
        str(one.times),
        str(one.orders),
        back,
        "" if slowest is None else f"{slowest:.0f}",
    )


def slowest_orders(outcomes: Iterable[Outcome], ways: Iterable[tuple[float, float]]) -> dict[str, float]:
    """Round → the longest way to PAID of an order accepted during it; `ways`: (accepted at, seconds)."""
    known = list(ways)
    return {
        one.name: max((seconds for at, seconds in known if one.begun <= at <= one.ended), default=0.0)
        for one in outcomes
    }


def account(
    total: Account,
    told: Mapping[str, Any],
    traded: str,
    ways: Iterable[tuple[float, float]],
    loads: Iterable[Load],
    faults: Mapping[str, int],
    restarts: Mapping[str, int],
    accepted: int,
) -> str:
    """The sums below the table."""
    waits = sorted(seconds for _, seconds in ways)
    lines = [
        f"orders {total.orders_in}: posted {total.posted}, paid {total.paid}, suppressed {total.suppressed}, "
        f"dead-lettered {total.dead_lettered}, waiting {total.waiting}, parked {total.parked}; held {total.held}",
        f"refunds {total.refunds}, given back {total.refunded}; settlements {total.settlements}, booked "
        f"{total.settled}; {traded}",
        f"lost {total.lost}   doubled {total.doubled}   drift {total.drift}   (the demo's reader, by Xero's books)",
        f"lost {told['lost']}   doubled {told['doubled']}   drift {told['drifted']}   (k2x reconcile, by Xero's API, "
        f"{sum(told['xero_calls'].values())} calls)",
        f"events answered 202: {accepted}, all of them looked for on Kafka",
        f"from accepted to paid: median {percentile(waits, 0.5):.1f} s, 95 % {percentile(waits, 0.95):.0f} s, "
        f"all {waits[-1] if waits else 0:.0f} s",
        *(
            f"Xero {one.org}: {one.calls} calls, at most {one.minute} in a minute and {one.in_flight} at once, "
            f"{one.refused} answered 429"
            for one in loads
        ),
        "Xero's faults: " + (", ".join(f"{name} {count}" for name, count in sorted(faults.items())) or "none"),
        "started again: " + ", ".join(f"{name} {count}" for name, count in restarts.items() if count),
    ]
    return "\n".join(lines)


def traded(exports: Mapping[str, Mapping[str, Any]]) -> str:
    """What Xero holds besides orders' own invoices."""
    notes = [row["CreditNoteNumber"] for export in exports.values() for row in export["credit_notes"]]
    invoices = [row["InvoiceNumber"] for export in exports.values() for row in export["invoices"]]
    days = [number for number in (*invoices, *notes) if _DAY.search(number)]
    anew = sum("-reissue" in number for number in notes)
    return f"orders credited and issued anew {anew}; summaries of a day's orders or refunds {len(days)}"


def faults_of(rows: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How often Xero misbehaved, by kind."""
    return Counter(row["fault"] for row in rows if row["fault"])


def violations(found: Sequence[Violation], directory: Path) -> str:
    """Each with its order, and how to look at what the run has left."""
    lines = [f"{len(found)} VIOLATIONS", *(f"  {v.check:10} {v.key:16} {v.text}" for v in found[:_SHOWN])]
    if len(found) > _SHOWN:
        lines.append(f"  … and {len(found) - _SHOWN} more")
    key = next((v.key for v in found if v.key), "emea|1")
    lines += [
        "To look at it:",
        f"  python -m k2x.embedded --data-dir {directory / 'kafka'} &",
        f"  python -m k2x xero-sandbox --state {directory / 'xero-sandbox'} &     # then its page /books",
        f"  python -m k2x trace '{key}' --config {directory / 'k2x.yaml'}",
        f"  the processes' logs are in {directory / 'logs'}",
    ]
    return "\n".join(lines)
