"""The course of a reconciliation: topics, Xero, topics again, judgement. Moves no offset and writes nothing anywhere.

Guarantee: a shop that trades meanwhile causes no finding. What everybody had committed is read before the topics, the
ledger before Xero, and the topics once more after it: an order that was written about in between is on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from k2x.audit.case import Case, Store
from k2x.audit.court import Court, Scope, credit_names
from k2x.audit.documents import BankDocument, CreditNote, Invoice
from k2x.audit.finding import Finding
from k2x.audit.judge import Verdict
from k2x.audit.log import Places, read_to_end
from k2x.audit.progress import Groups, Progress, progress
from k2x.audit.records import FactReader, topics_of
from k2x.audit.scratch import Dossier, Scratch, scratch
from k2x.audit.settlements import Clearing, Settlements
from k2x.audit.standpoint import LONG_AGO, Standpoint
from k2x.audit.summary import Summary
from k2x.audit.xero import XeroBooks
from k2x.errors import K2xError
from schemas.codec import Codec

_SAY_EVERY = 20_000  # records
_LOOK_UP = 2000  # orders whose documents a list does not show: invoices are asked for by id, 50 calls at most
_NOTES = 50  # and credit notes, each by a call of its own
_GROUPS = Groups()
_MISSING = frozenset({"document_missing", "credit_note_missing", "summary_missing"})


@dataclass(frozen=True)
class Patience:
    """See Standpoint."""

    grace: timedelta
    lapse: timedelta
    silence: timedelta
    margin: timedelta = timedelta(hours=6)


@dataclass(frozen=True)
class Names:
    """Under which Xero may have the documents of an order, or of a summary."""

    ids: frozenset[str]
    numbers: frozenset[str]
    credit_ids: frozenset[str]
    credit_numbers: frozenset[str]


def _names(case: Case) -> Names:
    ids, numbers, _ = credit_names(case)
    return Names(frozenset(case.ids), frozenset(case.numbers), frozenset(ids), frozenset(numbers))


@dataclass
class Outcome:
    """What was found. `findings` are in the scratch; `close` lets it go."""

    summary: Summary
    scratch: Scratch
    at: datetime
    calls: dict[str, int] = field(default_factory=dict)
    not_done: dict[str, str] = field(default_factory=dict)
    records: int = 0
    clearing: Clearing = field(default_factory=Clearing)

    @property
    def clean(self) -> bool:
        return not self.summary.total.off

    def findings(self, kind: str | None = None) -> Iterator[Finding]:
        yield from self.scratch.findings(kind)

    def close(self) -> None:
        self.scratch.close()


class Reconciliation:
    """One run. `books(org)` opens an organisation's documents; what it raises is that organisation's `not_done`."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        codec: Codec,
        stores: Mapping[str, Store],
        books: Callable[[str], XeroBooks],
        patience: Patience,
        clock: Callable[[], datetime],
        *,
        groups: Groups = _GROUPS,
        directory: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
        unreadable: tuple[type[Exception], ...] = (K2xError,),
    ) -> None:
        self._kafka, self._stores, self._books = kafka, stores, books
        self._codec, self._patience, self._clock, self._groups = codec, patience, clock, groups
        self._directory, self._say, self._unreadable = directory, say, unreadable

    def run(self, scope: Scope) -> Outcome:
        """The whole of it. K2xError when Kafka cannot be read; Xero's troubles are in `not_done`, by organisation."""
        orgs = sorted({store.org for store in self._stores.values()})
        outcome = Outcome(Summary(), scratch(self._directory), self._clock())
        try:
            stood = progress(self._kafka, self._groups, orgs)
            reader, places = FactReader(self._codec, orgs), Places()
            self._gather(reader, places, orgs, outcome, late=False)
            now = self._clock()
            for org in scope.orgs:
                self._read_xero(org, scope, outcome)
            self._gather(reader, places, orgs, outcome, late=True)
            done = replace(scope, orgs=tuple(org for org in scope.orgs if org not in outcome.not_done))
            court = Court(outcome.scratch, self._stores, self._standpoint(now, stood, reader), done)
            self._judge(court, outcome)
            for org in scope.orgs if scope.order is None else ():
                self._judge_settlements(org, scope, reader.settlements, court.at, outcome)
        except BaseException:
            outcome.close()
            raise
        return outcome

    def _standpoint(self, now: datetime, stood: Progress, reader: FactReader) -> Standpoint:
        return Standpoint(
            now,
            self._patience.grace,
            self._patience.lapse,
            self._patience.silence,
            read=stood.read,
            hinted=stood.hinted,
            taken=stood.taken,
            lanes=reader.lanes,
            workers_at=reader.workers_at or LONG_AGO,
            reader_at=reader.reader_at or LONG_AGO,
            margin=self._patience.margin,
        )

    def _gather(self, reader: FactReader, places: Places, orgs: Sequence[str], outcome: Outcome, *, late: bool) -> None:
        for message in read_to_end(self._kafka, topics_of(orgs), places=places):
            outcome.records += 1
            if outcome.records % _SAY_EVERY == 0:
                self._say(f"topics: {outcome.records:,} records")
            fact = reader.fact(message, late=late)
            if fact is not None:
                outcome.scratch.add(fact, late=late)

    # -- judgement ----------------------------------------------------------------------------------------------

    def _judge(self, court: Court, outcome: Outcome) -> None:
        missing: dict[str, list[Dossier]] = {}
        for count, dossier in enumerate(court.dossiers(), 1):
            if count % _SAY_EVERY == 0:
                self._say(f"judged {count:,} orders")
            outcome.clearing.order(dossier)
            verdict = court.judge(dossier)
            if verdict is None:
                continue
            again = missing.setdefault(verdict.org, [])
            if len(again) < _LOOK_UP and self._misses(court, verdict):
                again.append(dossier)
            else:
                self._keep(court, verdict, outcome)
        for org, dossiers in missing.items():
            if dossiers:
                self._ask_again(org, [_names(Case(dossier, self._stores)) for dossier in dossiers], outcome)
            for dossier in dossiers:
                verdict = court.judge(dossier)
                if verdict is not None:
                    self._keep(court, verdict, outcome)
        self._judge_summaries(court, outcome)
        for finding, document in court.strays():
            outcome.summary.stray(finding, document)
            outcome.scratch.add_findings([finding])

    def _judge_summaries(self, court: Court, outcome: Outcome) -> None:
        """After their orders. A document that no list showed is asked for by its id, as an order's is."""
        for case in court.summaries():
            verdict = court.judge_summary(case)
            if any(finding.code in _MISSING for finding in verdict.findings):
                ids, numbers = frozenset(filter(None, [case.id])), frozenset([case.number])
                nothing = frozenset[str]()
                sides = (nothing, nothing, ids, numbers) if case.refunds else (ids, numbers, nothing, nothing)
                self._ask_again(verdict.org, [Names(*sides)], outcome)
                verdict = court.judge_summary(court.summary(verdict.org, verdict.key))
            outcome.summary.daily(verdict)
            outcome.scratch.add_findings(verdict.findings)

    @staticmethod
    def _keep(court: Court, verdict: Verdict, outcome: Outcome) -> None:
        court.claim(verdict)
        if court.takes(verdict):
            outcome.summary.order(verdict)
            outcome.scratch.add_findings(verdict.findings)
        for refund in court.taken(verdict).refunds:
            outcome.summary.refund(verdict, refund)
            outcome.scratch.add_findings(refund.findings)

    @staticmethod
    def _misses(court: Court, verdict: Verdict) -> bool:
        """Whether a document of its own, of days that are judged, was not in Xero's lists."""
        taken = court.taken(verdict)
        found = [*(verdict.findings if court.takes(verdict) else ()), *(f for r in taken.refunds for f in r.findings)]
        return any(finding.code in _MISSING for finding in found)

    def _judge_settlements(
        self, org: str, scope: Scope, settlements: Settlements, at: Standpoint | None, outcome: Outcome
    ) -> None:
        """Only where there are any: without its scope Xero shows no bank transactions."""
        files = [file for file in settlements.files.values() if file.org == org]
        if not files or org in outcome.not_done:
            return
        found: list[BankDocument] = []
        books: XeroBooks | None = None
        try:
            books = self._books(org)
            for some in books.bank_transactions(scope.since, scope.until):
                found += some
            found += books.bank_transfers(scope.since, scope.until)
        except self._unreadable as error:
            outcome.not_done[f"{org}: settlements"] = str(error)
            return
        finally:
            if books is not None:
                outcome.calls[org] = outcome.calls.get(org, 0) + books.calls
                books.close()
        for verdict in settlements.judge(org, found, at):
            if scope.takes(org, verdict.store or scope.store or "", verdict.day):
                outcome.summary.settlement(verdict)
                outcome.scratch.add_findings(verdict.findings)
        if scope.since is None and scope.until is None and scope.store is None:
            outcome.clearing.bank(found)
            for file in files:
                outcome.clearing.settlement(file)

    # -- Xero ---------------------------------------------------------------------------------------------------

    def _read_xero(self, org: str, scope: Scope, outcome: Outcome) -> None:
        books: XeroBooks | None = None
        try:
            books = self._books(org)
            if scope.order is not None:
                self._read_one(books, scope.order, outcome.scratch)
            else:
                self._read_all(books, scope, outcome.scratch, outcome.clearing)
        except self._unreadable as error:
            outcome.not_done[org] = str(error)
        finally:
            if books is not None:
                outcome.calls[org] = outcome.calls.get(org, 0) + books.calls
                books.close()

    def _read_all(self, books: XeroBooks, scope: Scope, into: Scratch, clearing: Clearing) -> None:
        count = 0
        for invoices in books.invoices(scope.since, scope.until):
            into.add_invoices(invoices)
            count += len(invoices)
            self._say(f"Xero {books.address.org}: {count:,} invoices")
        count = 0
        for payments in books.payments(scope.since):
            into.add_payments(payments)
            clearing.payments(payments, 1)
            count += len(payments)
            self._say(f"Xero {books.address.org}: {count:,} payments")
        count = 0
        for credits in books.credit_notes(scope.since, scope.until):
            into.add_credits(credits)
            count += len(credits)
            self._say(f"Xero {books.address.org}: {count:,} credit notes")
        for payments in books.refund_payments(scope.since) if count else ():
            into.add_payments(payments)
            clearing.payments(payments, -1)

    def _read_one(self, books: XeroBooks, order: str, into: Scratch) -> None:
        for dossier in into.dossiers(order):
            case, org = Case(dossier, self._stores), books.address.org
            if case.org != org:
                continue
            found: list[Invoice] = []
            for some in (*books.invoices_by_id(case.ids), *books.invoices_by_number(case.numbers)):
                found += some
            for reference in case.references:
                found += books.invoices_by_reference(reference)
            into.add_invoices(found)
            credits = self._credits(books, case)
            into.add_credits(credits)
            for payments in books.payments_of(one.id for one in (*found, *credits)):
                into.add_payments(payments)

    @staticmethod
    def _credits(books: XeroBooks, case: Case) -> list[CreditNote]:
        """What Xero has under the names of an order's refunds."""
        ids, numbers, references = credit_names(case)
        found: list[CreditNote] = []
        for reference in sorted(references):
            found += books.credit_notes_by_reference(reference)
        known = {name.casefold() for note in found for name in (note.id, note.number)}
        for key in sorted(ids) or sorted(numbers):
            if key.casefold() not in known and (note := books.credit_note(key)) is not None:
                found.append(note)
        return found

    def _ask_again(self, org: str, names: Sequence[Names], outcome: Outcome) -> None:
        """Invoices that the list did not show: dated out of the range by hand, or really gone."""
        books: XeroBooks | None = None
        try:
            books = self._books(org)
            found: list[Invoice] = []
            for some in books.invoices_by_id(own for one in names for own in sorted(one.ids)):
                found += some
            known = {invoice.id.casefold() for invoice in found}
            gone = [one for one in names if not {own.casefold() for own in one.ids} & known]
            for some in books.invoices_by_number(number for one in gone for number in sorted(one.numbers)):
                found += some
            outcome.scratch.add_invoices(found)
            keys = [key for one in names for key in sorted(one.credit_ids) or sorted(one.credit_numbers)]
            credits = [note for key in keys[:_NOTES] if (note := books.credit_note(key)) is not None]
            outcome.scratch.add_credits(credits)
            for payments in books.payments_of(one.id for one in (*found, *credits)):
                outcome.scratch.add_payments(payments)
        except self._unreadable as error:
            outcome.not_done[org] = str(error)
        finally:
            if books is not None:
                outcome.calls[org] = outcome.calls.get(org, 0) + books.calls
                books.close()
