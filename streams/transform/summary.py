"""An order's, or a refund's, part of its day's summary (BOOKKEEPING §8): sums by account, tax type, tracking. Pure.

Guarantee: the parts come to the order's total and tax, to the cent. Which orders share a document the sink decides.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal

import orjson

from schemas.types import Summary
from streams.transform import exchange
from streams.transform.context import Draft, Line
from streams.transform.errors import invalid
from streams.transform.money import ZERO, rounded, text


def wanted(draft: Draft) -> bool:
    """Whether the order goes into its day's summary. By its own day, which never changes: so that a store that moves
    to summaries has each order in exactly one document."""
    posting = draft.store.rules.posting
    return posting.mode == "summary" and posting.from_ is not None and draft.day >= posting.from_


def of_sale(draft: Draft) -> Summary | None:
    """The order's part; None: it is posted by itself."""
    if not wanted(draft):
        return None
    parts = ((line, line.net - line.tax if draft.inclusive else line.net, line.tax) for line in draft.lines)
    return _summary(draft, "", draft.date, parts, draft.total, draft.total_tax)


def of_refund(
    draft: Draft, day: dt.date, parts: Iterable[tuple[Line, Decimal, Decimal]], total: Decimal, tax: Decimal
) -> Summary | None:
    """A refund's part of its own day's credit note. `parts`: line, net without tax, tax."""
    return _summary(draft, "CN-", day, parts, total, tax) if wanted(draft) else None


def number(prefix: str, day: dt.date, currency: str) -> str:
    """The number of a day's first summary."""
    return f"{prefix}S{day:%Y%m%d}-{currency}"


def closes_at(draft: Draft, day: dt.date) -> dt.datetime:
    """The store's midnight after the day, and the grace, as UTC."""
    midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), draft.store.zone)
    return midnight.astimezone(dt.UTC) + dt.timedelta(minutes=draft.store.rules.posting.grace_minutes)


def _summary(
    draft: Draft,
    kind: str,
    day: dt.date,
    parts: Iterable[tuple[Line, Decimal, Decimal]],
    total: Decimal,
    total_tax: Decimal,
) -> Summary:
    sums: dict[tuple[str, str, str], tuple[Decimal, Decimal]] = {}
    for line, net, tax in parts:
        tracking = orjson.dumps(list(line.tracking)).decode() if line.tracking else ""
        key = (line.account_code, line.tax_type, tracking)
        before = sums.get(key, (ZERO, ZERO))
        sums[key] = (before[0] + net, before[1] + tax)
    nets, taxes = sum((net for net, _ in sums.values()), ZERO), sum((tax for _, tax in sums.values()), ZERO)
    if (nets + taxes, taxes) != (total, total_tax):
        raise invalid(
            "summary_unbalanced",
            f"{draft.who}: its lines come to {draft.amount(nets + taxes)} with {draft.amount(taxes)} of tax, the total "
            f"is {draft.amount(total)} with {draft.amount(total_tax)}",
            "Leave validate.totals in the workflow: it says which sum is wrong.",
        )
    foreign = draft.rate is not None and draft.rate > 0
    base_unit = exchange.unit_of(draft.store.reference.base_currency)
    return {
        "number": kind + number(draft.store.rules.prefix, day, draft.currency),
        "day": day.isoformat(),
        "closes_at": closes_at(draft, day),
        "rate": text(draft.rate) if foreign and draft.rate else None,
        "base_total": f"{rounded(total / draft.rate, base_unit):.2f}" if foreign and draft.rate else None,
        "lines": [
            {"account": account, "tax_type": tax_type, "tracking": tracking, "net": f"{net:.2f}", "tax": f"{tax:.2f}"}
            for (account, tax_type, tracking), (net, tax) in sorted(sums.items())
        ],
        "orders": 0,
        "first_open_day": draft.store.rules.locked_period == "first_open_day",
    }
