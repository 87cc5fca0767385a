"""When two versions of an order have the same money (BOOKKEEPING §9): equal hash. Pure."""

from __future__ import annotations

import hashlib

from streams.transform.context import Draft


def money_hash(draft: Draft) -> str:
    """SHA-256 of currency, totals, tax per class, tender amounts, and the multiset of (account, TaxType, net, tax)."""
    lines = sorted(
        f"{line.account_code}|{line.tax_type}|{line.net - line.tax if draft.inclusive else line.net:.2f}|{line.tax:.2f}"
        for line in draft.lines
    )
    parts = [
        draft.currency,
        f"{draft.total:.2f}",
        f"{draft.total_tax:.2f}",
        *(f"class {name}|{tax:.2f}" for name, tax in draft.class_taxes),
        *(f"tender {tender['amount']}" for tender in draft.payments),
        *lines,
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
