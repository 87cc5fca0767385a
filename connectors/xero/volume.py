"""When an organisation has more sales invoices, or calls, than one invoice an order can bear; and what to do. Pure.

Xero's own pages speak of up to 1,000 sales invoices a month (xero.md §4.7). It does not refuse more; it gets slow, and
one summary invoice a store and day is what bookkeepers then do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from connectors.xero.calls import Answer, Call

ADVISED = 1000  # sales invoices in 30 days
WINDOW = timedelta(days=30)
REMEDY = (
    "Consider summary mode for its busiest stores, one invoice a store and day: "
    "`posting: {mode: summary, from: <first day>}` in the rules (docs/summaries.md)."
)


@dataclass(frozen=True)
class Volume:
    """An organisation's last 30 days, and whether the calls of the day do not suffice: writes are spread, or wait."""

    invoices: int
    day_used_up: bool

    @property
    def reasons(self) -> dict[str, bool]:
        """Each limit, and whether it is passed: the labels of the metric."""
        return {"month": self.invoices > ADVISED, "day": self.day_used_up}


def advice(volume: Volume) -> dict[str, str]:
    """For each limit that is passed a sentence with the remedy."""
    said = {
        "month": f"{volume.invoices:,} sales invoices in the last 30 days; Xero is made for about {ADVISED:,} a month.",
        "day": "The calls to Xero that are left today do not suffice: orders wait.",
    }
    return {reason: f"{said[reason]} {REMEDY}" for reason, passed in volume.reasons.items() if passed}


def count_call(today: date) -> Call:
    """Asks how many sales invoices the last 30 days have, however they were made; one call, no documents."""
    since = today - WINDOW
    where = f'Type=="ACCREC" AND Date>=DateTime({since.year}, {since.month:02}, {since.day:02})'
    query = (
        ("where", where), ("Statuses", "AUTHORISED,PAID"), ("page", "1"), ("pageSize", "1"), ("summaryOnly", "true"),
    )  # fmt: skip
    return Call("GET", "Invoices", query, deadline=20.0, purpose="status")


def counted(answer: Answer) -> int | None:
    """The count; None where the answer does not tell."""
    page = answer.body.get("pagination") if answer.ok and isinstance(answer.body, dict) else None
    count = page.get("itemCount") if isinstance(page, dict) else None
    return int(count) if isinstance(count, int) else None
