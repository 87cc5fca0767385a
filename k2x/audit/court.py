"""Goes through all orders and what is left of Xero's documents: each order with its own documents beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

from k2x.audit.case import Case, Store
from k2x.audit.daily import DailyVerdict, judge_daily
from k2x.audit.daily_case import DailyCase, is_summary
from k2x.audit.documents import CreditNote, Invoice
from k2x.audit.finding import Finding
from k2x.audit.judge import Verdict, judge
from k2x.audit.refund_case import refunds_of
from k2x.audit.reissues import note_number
from k2x.audit.scratch import Dossier, Scratch
from k2x.audit.shares import Sums
from k2x.audit.standpoint import Standpoint
from k2x.in_words import plain

_CREDIT = "cn-"  # before the number of what a credit note is for


@dataclass(frozen=True)
class Scope:
    """What is judged. Days are the orders' own, and the refunds' own; `order` is instance|OrderID."""

    orgs: tuple[str, ...]
    store: str | None = None
    order: str | None = None
    since: date | None = None
    until: date | None = None

    def takes(self, org: str, store: str, day: date | None) -> bool:
        if org not in self.orgs or (self.store is not None and store != self.store):
            return False
        if day is None:
            return True
        return (self.since is None or day >= self.since) and (self.until is None or day <= self.until)


class Court:
    """`at` None: the shop is at rest, and whatever has no end is lost."""

    def __init__(self, scratch: Scratch, stores: Mapping[str, Store], at: Standpoint | None, scope: Scope) -> None:
        self._scratch, self._stores, self.at, self.scope = scratch, stores, at, scope
        self._sums: dict[tuple[str, str], Sums] = {}
        self._daily: set[str] = set()  # Xero's ids of summaries

    def dossiers(self) -> Iterator[Dossier]:
        """Of the orders."""
        for dossier in self._scratch.dossiers(self.scope.order):
            if not is_summary(dossier.key):
                yield dossier
            elif self.scope.order is None:
                for org in {entry.org for entry in dossier.entries}:
                    self._sums.setdefault((org, dossier.key), Sums())

    def judge(self, dossier: Dossier) -> Verdict | None:
        """None: no order of its own, or one of an organisation that is not judged."""
        case = Case(dossier, self._stores)
        if case.org in self.scope.orgs:
            dossier = self._scratch.beside(dossier, case.org, case.ids, case.numbers, case.references)
            dossier = self._scratch.credits_beside(dossier, case.org, *credit_names(Case(dossier, self._stores)))
            case = Case(dossier, self._stores)
        return judge(case, self.at)

    def takes(self, verdict: Verdict) -> bool:
        return self.scope.takes(verdict.org, verdict.store, verdict.day)

    def taken(self, verdict: Verdict) -> Verdict:
        """Only with the refunds of days that are judged."""
        inside = [one for one in verdict.refunds if self.scope.takes(verdict.org, verdict.store, one.day)]
        return replace(verdict, refunds=tuple(inside))

    def claim(self, verdict: Verdict) -> None:
        """Its documents are explained, whether the order is in the scope or not."""
        self._scratch.claim(verdict.org, verdict.claims)
        self._scratch.claim_credits(verdict.org, verdict.credit_claims)
        for refund in verdict.refunds:
            self._scratch.claim_credits(verdict.org, refund.claims)
        for share in (verdict.share, *(refund.share for refund in verdict.refunds)):
            if (
                share is not None and self.scope.order is not None
            ):  # its summary is not judged: it explains the document
                self._scratch.claim(share.org, [share.entry.xero_id])
                self._scratch.claim_credits(share.org, [share.entry.xero_id])
            elif share is not None:
                self._sums.setdefault((share.org, share.summary), Sums()).add(share)

    # -- daily summaries, when all orders are judged and claimed --------------------------------------------------

    def summaries(self) -> Iterator[DailyCase]:
        """Every summary that is judged, with Xero's document beside it. None for a single order: a summary's sums are
        those of all its orders."""
        if self.scope.order is not None:
            return
        for org, key in sorted(self._sums):
            case = self.summary(org, key)
            if self.scope.takes(org, case.store, case.day):
                yield case

    def summary(self, org: str, key: str) -> DailyCase:
        dossier = next(self._scratch.dossiers(key), Dossier(key))
        sums = self._sums[org, key]
        case = DailyCase(org, dossier, sums)
        beside = self._scratch.credits_beside if case.refunds else self._scratch.beside
        dossier = beside(dossier, org, [case.id], [case.number], [])
        return DailyCase(org, dossier, sums)

    def judge_summary(self, case: DailyCase) -> DailyVerdict:
        """Its verdict; its document is explained."""
        verdict = judge_daily(case, self.at)
        claim = self._scratch.claim_credits if case.refunds else self._scratch.claim
        claim(verdict.org, verdict.claims)
        self._daily |= verdict.claims
        return verdict

    def strays(self) -> Iterator[tuple[Finding, Invoice]]:
        """When all orders are judged: living documents that none explains, under a store's prefix, or like one of
        ours."""
        self._scratch.index_twins()
        for org in self.scope.orgs:
            prefixes = {s.prefix.casefold(): name for name, s in self._stores.items() if s.org == org and s.prefix}
            for invoice in self._scratch.unclaimed(org):
                finding = self._stray(invoice, prefixes)
                if finding is not None and self.scope.takes(org, finding.store, invoice.date):
                    yield finding, invoice
            for note in self._scratch.unclaimed_credits(org):
                finding = self._stray_credit(note, prefixes)
                if finding is not None and self.scope.takes(org, finding.store, note.date):
                    yield finding, note

    def _stray(self, invoice: Invoice, prefixes: Mapping[str, str]) -> Finding | None:
        name = invoice.number or "an invoice without a number"
        shown = f"{name} ({invoice.status}, {plain(invoice.total)} {invoice.currency})"
        store = _store(invoice, prefixes)
        twin = next(iter(self._scratch.twins(invoice)), None)
        like = f" contact, date and total of {twin.number}" if twin is not None else ""
        if twin is not None and twin.id in self._daily:
            text = f"{shown} has{like}, a day's summary, and k2x has not posted it"
            place = (invoice.org, _store(twin, prefixes), self._scratch.order_of(twin))
            return Finding("duplicate_summary", *place, invoice.number, text, invoice.date)
        if store:
            text = f"{shown} bears the prefix of {store}{' and has' + like if like else ''}; k2x has not posted it"
            return Finding("foreign_invoice", invoice.org, store, "", invoice.number, text, invoice.date)
        if twin is None:
            return None
        place = (invoice.org, _store(twin, prefixes), self._scratch.order_of(twin))
        text = f"{shown} has{like}, and k2x has not posted it"
        return Finding("possible_double", *place, invoice.number, text, invoice.date)

    def _stray_credit(self, note: CreditNote, prefixes: Mapping[str, str]) -> Finding | None:
        name = note.number or "a credit note without a number"
        shown = f"{name} ({note.status}, {plain(note.total)} {note.currency})"
        store = _store(note, {_CREDIT + prefix: of for prefix, of in prefixes.items()})
        twin = next(iter(self._scratch.credit_twins(note)), None)
        like = f" contact, date and total of {twin.number}" if twin is not None else ""
        if twin is not None and twin.id in self._daily:
            text = f"{shown} has{like}, a day's summary of refunds, and k2x has not posted it"
            of = _store(twin, {_CREDIT + prefix: of for prefix, of in prefixes.items()})
            place = (note.org, of, self._scratch.order_of(twin))
            return Finding("duplicate_summary", *place, note.number, text, note.date)
        if store:
            text = f"{shown} bears the name of {store}'s refunds{' and has' + like if like else ''}; "
            text += "no refund explains it"
            return Finding("foreign_credit_note", note.org, store, "", note.number, text, note.date)
        if twin is None:
            return None
        store = _store(twin, {_CREDIT + prefix: of for prefix, of in prefixes.items()})
        text = f"{shown} has{like}, and k2x has not posted it"
        order = self._scratch.order_of(twin)
        return Finding("possible_double_refund", note.org, store, order, note.number, text, note.date)


def credit_names(case: Case) -> tuple[set[str], set[str], set[str]]:
    """Ids, numbers and references under which Xero may have credit notes of an order: a refund's Reference is its
    number, and a person refers to the invoice."""
    refunds = refunds_of(case)
    numbers = {one.number for one in refunds if one.number and not one.in_summary}
    numbers |= {note_number(one) for one in (*case.numbers, *(i.number for i in case.dossier.invoices)) if one}
    ids = {one.entry.xero_id for one in refunds if one.entry is not None and one.entry.xero_id}
    return ids, numbers, numbers | case.numbers


def _store(invoice: Invoice, prefixes: Mapping[str, str]) -> str:
    fitting = [prefix for prefix in prefixes if invoice.number.casefold().startswith(prefix)]
    return prefixes[max(fitting, key=len)] if fitting else ""
