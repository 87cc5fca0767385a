"""Decides what became of each daily summary: its document in Xero beside the sum of its own orders. Pure.

The sums are those of the orders' own commands, so a summary that was added up wrongly is found, as one that a hand has
changed is. Orders and refunds are judged by themselves; a summary is counted beside them, never as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from k2x.audit import differences
from k2x.audit.daily_case import DailyCase
from k2x.audit.differences import NOTE_CODES, Difference
from k2x.audit.documents import Invoice, Payment
from k2x.audit.facts import AccountSum, TenderSeen
from k2x.audit.finding import Finding
from k2x.audit.shares import ZERO
from k2x.audit.standpoint import Standpoint
from k2x.in_words import moment, plain, span

_OPEN, _CLOSED, _POSTED, _EMPTY = "open", "closed", "posted", "empty"
# What the sums of the orders say better.
_BY_THE_ORDERS = frozenset({"amount", "accounts"})


@dataclass(frozen=True)
class DailyVerdict:
    """One summary. `state`: open, closed (not yet in Xero), refused, posted, empty (no document), or unknown to the
    ledger. `total`: of its orders, or refunds; `xero`: its document's. `beyond`: what Xero has more than its orders."""

    key: str
    org: str
    store: str
    day: date | None
    number: str
    state: str
    refunds: bool
    orders: int
    total: Decimal
    xero: Decimal
    beyond: Decimal
    currency: str
    closes_at: datetime | None = None
    reason: str = ""
    findings: tuple[Finding, ...] = ()
    claims: frozenset[str] = frozenset()

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "org": self.org,
            "store": self.store,
            "day": self.day.isoformat() if self.day else None,
            "of": "refunds" if self.refunds else "orders",
            "state": self.state,
            "count": self.orders,
            "closes_at": self.closes_at.isoformat() if self.closes_at else None,
            "currency": self.currency,
            "total": f"{self.total:.2f}",
            "xero": f"{self.xero:.2f}",
            "reason": self.reason or None,
        }


def judge_daily(case: DailyCase, at: Standpoint | None) -> DailyVerdict:
    """Its end, and what is wrong with it; `at` as k2x.audit.judge has it."""
    state = _state(case)
    found = [] if case.late else list(_off(case, state, at))
    entry, theirs, sums = case.entry, case.theirs, case.sums
    there = theirs.total if theirs is not None and theirs.living else ZERO
    closes = entry.closes_at if entry is not None and entry.closes_at is not None else sums.closes_at
    place = (case.org, case.store, case.key, case.number)
    return DailyVerdict(
        case.key, case.org, case.store, case.day, case.number, state, case.refunds, sums.count, sums.total, there,
        beyond=there - sums.posted if there else ZERO,
        currency=(theirs.currency if theirs is not None else "") or sums.currency or (entry.currency if entry else ""),
        closes_at=closes,
        reason=case.letter.message if state == "refused" and case.letter else entry.reason if entry else "",
        findings=tuple(Finding(code, *place, text, case.day) for code, text in found),
        claims=frozenset({theirs.id} if theirs is not None else ()),
    )  # fmt: skip


def _state(case: DailyCase) -> str:
    entry = case.entry
    if entry is None:
        return "unknown"
    if entry.phase == _CLOSED and case.letter is not None and entry.state in ("REFUSED", "HELD"):
        return "refused"
    return entry.phase or entry.state.lower()


def _off(case: DailyCase, state: str, at: Standpoint | None) -> Iterator[Difference]:
    entry, sums = case.entry, case.sums
    what = "refunds" if case.refunds else "orders"
    if entry is None:
        if case.dossier.entries or sums.count:
            text = f"{sums.count} {what} are in summary {case.number or case.key}, of which the ledger knows nothing"
            yield ("summary_unknown" if sums.open else "ledger_missing"), text
        return
    if state in (_OPEN, _CLOSED):
        yield from _overdue(case, state, at)
    if state in (_CLOSED, _POSTED, "refused") and entry.members != sums.count:
        text = f"{case.number} was closed with {entry.members} {what}, and {sums.count} say that they are in it"
        yield "summary_members", text
    if state == _POSTED:
        yield from _document(case)


def _overdue(case: DailyCase, state: str, at: Standpoint | None) -> Iterator[Difference]:
    closes = case.entry.closes_at if case.entry is not None else None
    if at is None or closes is None or at.now - closes <= at.margin:
        return
    still = "is still open" if state == _OPEN else "is closed and not yet in Xero"
    reason = f": {case.entry.reason}" if case.entry is not None and case.entry.reason else ""
    when = f"was to close {moment(closes)}, {span(at.now - closes)} ago, and {still}"
    yield "summary_overdue", f"{case.number} of {case.sums.count} {when}{reason}"


def _document(case: DailyCase) -> Iterator[Difference]:
    """Xero's beside the ledger's, and beside the orders'."""
    theirs, sums = case.theirs, case.sums
    if theirs is None:
        if not case.id and not sums.total:
            return  # its orders come to nothing, so that there is no document
        yield "summary_missing", f"{case.number} was posted (id {case.id}) for {sums.count} and is not in Xero"
        return
    if not theirs.living:
        yield "summary_voided", f"{case.number} was posted for {sums.count} and is {theirs.status} in Xero"
        return
    if not sums.count:
        shown = f"{theirs.number} ({theirs.status}, {plain(theirs.total)} {theirs.currency})"
        yield "summary_without_orders", f"{shown} is in Xero as a summary, and no order says that it is in it"
        return
    paid = list(differences.payments(case.posted, theirs, case.dossier.payments))
    own = [one for one in differences.invoice(case.posted, theirs) if one[0] not in _BY_THE_ORDERS]
    day = (case.entry.dated if case.entry is not None else None) or case.day
    if day is not None and theirs.date not in (None, day):
        own.append(("date", f"{theirs.number} is the summary of {day} and has the date {theirs.date} now"))
    own += [*paid, *differences.unledgered(case.posted, theirs)]
    yield from ((NOTE_CODES.get(code, code) if case.refunds else code, text) for code, text in own)
    amounts = list(_amounts(case, theirs))
    yield from amounts
    if sums.complete and not amounts:
        yield from _lines(case, theirs)
        yield from () if paid else _tenders(case, theirs)


def _amounts(case: DailyCase, theirs: Invoice) -> Iterator[Difference]:
    sums, name, currency = case.sums, theirs.number, theirs.currency
    what = "refunds" if case.refunds else "orders"
    if (sums.total, sums.tax, sums.currency) != (theirs.total, theirs.total_tax, currency):
        yield (
            "summary_amount",
            f"{name} has {plain(theirs.total)} {currency}, tax {plain(theirs.total_tax)}; its {sums.count} {what} come "
            f"to {plain(sums.total)} {sums.currency}, tax {plain(sums.tax)}",
        )


def _lines(case: DailyCase, theirs: Invoice) -> Iterator[Difference]:
    moved = ", ".join(_moved(case.sums.lines, theirs.sums)) if theirs.sums else ""
    if moved:
        what = "refunds" if case.refunds else "orders"
        yield "summary_accounts", f"{theirs.number}'s lines are not the sums of its {what}: {moved}"


def _moved(ours: Iterable[AccountSum], theirs: Iterable[AccountSum]) -> Iterator[str]:
    """Accounts and tax types whose net or tax differ, to the cent, both sides."""
    mine = {(x.account, x.tax_type): (x.amount, x.tax) for x in ours}
    other = {(x.account, x.tax_type): (x.amount, x.tax) for x in theirs if x.amount or x.tax}
    for names in sorted(mine.keys() | other.keys()):
        (net, tax), (there, taxed) = mine.get(names, (ZERO, ZERO)), other.get(names, (ZERO, ZERO))
        if (net, tax) != (there, taxed):
            where = " ".join(filter(None, names)) or "no account"
            yield f"{where} comes to {plain(net)} and tax {plain(tax)}, and has {plain(there)} and {plain(taxed)}"


def _tenders(case: DailyCase, theirs: Invoice) -> Iterator[Difference]:
    """Money by account: what its orders were paid with, and what stands on the document."""
    details = {payment.id.casefold(): payment for payment in case.dossier.payments}
    left = [details.get(payment.id.casefold(), payment) for payment in theirs.payments]
    off = []
    for tender in case.sums.tenders:
        mine = [payment for payment in left if _same(tender, payment)]
        left = [payment for payment in left if payment not in mine]
        there = sum((payment.amount for payment in mine), ZERO)
        if there != tender.amount:
            off.append(f"{tender.account or tender.account_id} took {plain(tender.amount)} and has {plain(there)}")
    off += [f"{one.account or one.account_id} took nothing and has {plain(one.amount)}" for one in left]
    if off:
        yield "summary_tenders", f"{theirs.number}'s payments are not those of its orders: {', '.join(off)}"


def _same(tender: TenderSeen, payment: Payment) -> bool:
    if tender.account_id and payment.account_id:
        return tender.account_id.casefold() == payment.account_id.casefold()
    return bool(tender.account) and tender.account == payment.account
