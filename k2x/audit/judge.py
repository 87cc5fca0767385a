"""Decides what became of every order: pure, from the topics' facts and Xero's own documents.

Lost: came in, and is neither in the books, nor dead-lettered, suppressed, waiting or parked. Doubled: more than one
living invoice, or more money, for one order. Drift: the invoice differs from the version that was posted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from k2x.audit.facts import Facts, LetterSeen, OrderSeen, ResultSeen

_ZERO = Decimal(0)
_DEAD_STATUSES = frozenset({"VOIDED", "DELETED"})


@dataclass(frozen=True)
class Invoice:
    """An ACCREC invoice as Xero holds it. `payments` are the living ones' amounts, in the invoice's currency."""

    org: str
    number: str
    reference: str
    status: str
    currency: str
    total: Decimal
    total_tax: Decimal
    amount_due: Decimal
    payments: tuple[Decimal, ...]


@dataclass(frozen=True)
class Verdict:
    """One order: `state` is posted, dead_lettered, suppressed, waiting, parked or lost; `faults` may add to posted."""

    key: str
    org: str
    store: str
    state: str
    invoice: Invoice | None = None
    letter: LetterSeen | None = None
    held: bool = False
    doubled: str = ""
    drift: str = ""
    latency_s: float | None = None


@dataclass(frozen=True)
class Store:
    """Where a store's orders go: the organisation's slug and the store's invoice prefix."""

    org: str
    prefix: str


@dataclass
class Books:
    """All sales invoices, by organisation and number, and by organisation and reference."""

    by_number: dict[tuple[str, str], list[Invoice]] = field(default_factory=dict)
    by_reference: dict[tuple[str, str], list[Invoice]] = field(default_factory=dict)

    @classmethod
    def of(cls, invoices: Iterable[Invoice]) -> Books:
        books = cls()
        for invoice in invoices:
            if invoice.status not in _DEAD_STATUSES:
                books.by_number.setdefault((invoice.org, invoice.number), []).append(invoice)
                books.by_reference.setdefault((invoice.org, invoice.reference), []).append(invoice)
        return books


def judge(facts: Facts, invoices: Iterable[Invoice], stores: Mapping[str, Store]) -> list[Verdict]:
    """A verdict for every order that ever came in."""
    books = Books.of(invoices)
    return [_verdict(key, versions, facts, books, stores) for key, versions in sorted(facts.orders.items())]


def _verdict(key: str, versions: list[OrderSeen], facts: Facts, books: Books, stores: Mapping[str, Store]) -> Verdict:
    latest = max(versions, key=lambda v: (v.version, v.observed_at))
    store = stores.get(latest.store)
    letters, results = facts.letters.get(key, []), facts.results.get(key, [])
    org = store.org if store else ""
    if store is not None:
        number = store.prefix + latest.order_id
        found = books.by_number.get((org, number), [])
        if found:
            return _posted(
                key, versions, found, _cousins(books, org, store.prefix, latest.order_id, found), letters, results
            )
    letter = _last_letter(letters, latest)
    if letter is not None:
        return Verdict(key, org, latest.store, "dead_lettered", letter=letter)
    return Verdict(key, org, latest.store, _unposted_state(results, latest))


def _cousins(books: Books, org: str, prefix: str, order_id: str, found: list[Invoice]) -> list[Invoice]:
    """Living invoices of the same order under another number: same reference, our prefix."""
    same = {id(invoice) for invoice in found}
    return [
        other
        for other in books.by_reference.get((org, order_id), [])
        if id(other) not in same and other.number.startswith(prefix)
    ]


def _posted(
    key: str,
    versions: list[OrderSeen],
    found: list[Invoice],
    cousins: list[Invoice],
    letters: list[LetterSeen],
    results: list[ResultSeen],
) -> Verdict:
    invoice = found[0]
    done = [r for r in results if r.kind == "order" and r.outcome in {"POSTED", "ADOPTED"}]
    posted_versions = {r.version for r in done}
    compared = [v for v in versions if v.version in posted_versions] or versions
    latencies = [(r.at - r.received_at).total_seconds() for r in done if r.received_at is not None]
    return Verdict(
        key,
        invoice.org,
        versions[-1].store,
        "posted",
        invoice=invoice,
        letter=next((letter for letter in reversed(letters) if letter.error_class == "held"), None),
        held=any(letter.error_class == "held" for letter in letters),
        doubled=_doubled(invoice, [*found[1:], *cousins]),
        drift=_drift(invoice, compared),
        latency_s=min(latencies) if latencies else None,
    )


def _doubled(invoice: Invoice, others: list[Invoice]) -> str:
    if others:
        return f"{1 + len(others)} living invoices: {invoice.number}, " + ", ".join(o.number for o in others)
    paid = sum(invoice.payments, _ZERO)
    if paid > invoice.total:
        return f"{invoice.number}: {len(invoice.payments)} payments of {paid} for a total of {invoice.total}"
    return ""


def _drift(invoice: Invoice, versions: list[OrderSeen]) -> str:
    """Empty when the invoice is what one of `versions` asks for, to the cent; else both sides."""
    for seen in versions:
        if (invoice.total, invoice.total_tax) == (seen.total, seen.tax) and invoice.currency == (seen.currency or ""):
            paid = sum(invoice.payments, _ZERO)
            if invoice.amount_due == _ZERO and invoice.status == "PAID" and paid == invoice.total:
                return ""
            return f"{invoice.number} is {invoice.status}, due {invoice.amount_due}, paid {paid} of {invoice.total}"
    seen = versions[-1]
    return (
        f"{invoice.number}: Xero has {invoice.total} {invoice.currency}, tax {invoice.total_tax}; "
        f"the order has {seen.total} {seen.currency}, tax {seen.tax}"
    )


def _last_letter(letters: list[LetterSeen], latest: OrderSeen) -> LetterSeen | None:
    fitting = [letter for letter in letters if letter.version is None or letter.version >= latest.version]
    return fitting[-1] if fitting else None


def _unposted_state(results: list[ResultSeen], latest: OrderSeen) -> str:
    """The newest word about the newest version; lost where there is none."""
    words = {"SUPPRESSED": "suppressed", "CANCELLED": "suppressed", "WAITING": "waiting", "PARKED": "parked"}
    about = [r for r in results if r.version >= latest.version and r.outcome in words]
    return words[max(about, key=lambda r: r.at).outcome] if about else "lost"
