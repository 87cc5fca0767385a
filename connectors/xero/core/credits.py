"""A credit note's way: the note, then the money back, payment by payment. What it is for, its purpose knows.

Guarantees: a credit note is written once, under a number chosen once; one that Xero holds under our number is ours only
if it is equal; it is done only when nothing of it is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Protocol

from connectors.xero import batch, compare, outcomes
from connectors.xero.core import records
from connectors.xero.core.allocations import Allocations
from connectors.xero.core.desk import Desk
from connectors.xero.core.payments import DECIDE, Payments, decimal
from connectors.xero.core.records import Outcome
from connectors.xero.core.state import Document, Job, Refusal, Step
from connectors.xero.outcomes import Element, Remedy
from schemas.letters import ErrorClass
from schemas.types import LedgerEntry, RefundNote

KIND = "credit_note"
SHOWN = ("xero_id", "number", "status", "total", "total_tax", "currency")


class Purpose(Protocol):
    """A refund, or the credit of an invoice that is issued anew. A job's `number` is the credit note's meanwhile."""

    def note(self, job: Job) -> RefundNote:
        """What Xero is to hold."""

    def key(self, job: Job) -> str:
        """The credit note's in the ledger."""

    def money_key(self, job: Job, ordinal: int) -> str:
        """A payment's."""

    def absent(self, document: Document) -> None:
        """The credit note is certainly not in Xero, though it was to be sent: again."""

    def given_back(self, job: Job, entry: LedgerEntry) -> None:
        """All of it is allocated, or the money is back; the entry, PAID, is written."""

    def failed(self, job: Job, refusal: Refusal) -> None:
        """It goes no further; the credit note's entry is written. The purpose tells it and ends the job."""


class Credits:
    """The flow of one purpose's credit notes."""

    def __init__(self, desk: Desk, purpose: Purpose) -> None:
        self.desk = desk
        self.purpose = purpose
        self.payments = Payments(desk, Step.REFUND, purpose.money_key, self._settle, purpose.note)
        self.allocations = Allocations(desk, self.entry, self._settle)

    def go_on(self, job: Job, own: LedgerEntry | None) -> None:
        """From where the ledger says that it is."""
        if own is not None and own["xero_id"] is not None and own["state"] != "HELD":
            job.target_id = own["xero_id"]
            self._spend(job, None)
        elif own is not None and (own["intention"] is not None or own["xero_id"] is not None):
            document = self._document(job, own)
            document.not_before = self.desk.inherited(own)
            document.attempt = own["intention"]["attempt"] + 1 if own["intention"] is not None else 1
            self.desk.lookups[Step.CREDIT_NOTE].append(document)
        else:
            self.send(job, own)

    def send(self, job: Job, own: LedgerEntry | None) -> None:
        """It is not in Xero, and nothing that would bring it there is under way."""
        document = self._document(job, own)
        document.attempt = own["intention"]["attempt"] + 1 if own is not None and own["intention"] is not None else 1
        self.desk.ready[Step.CREDIT_NOTE].append(document)

    def _document(self, job: Job, own: LedgerEntry | None) -> Document:
        element = batch.credit_element(self.purpose.note(job), job.number, job.contact_id or "")
        digest, version = batch.digest(element), job.command["version"]
        return Document(Step.CREDIT_NOTE, self.purpose.key(job), job.number, element, digest, version, [job], own)

    # -- answers ------------------------------------------------------------------------------------------------

    def answered(self, document: Document, element: Element) -> None:
        """One element of PUT CreditNotes."""
        if element.good:
            self._posted(document, element.body, "POSTED", element.lost_account)
            return
        remedy, refusal = outcomes.judge(element.errors)
        if remedy is Remedy.LOOK_UP or element.id is not None:
            document.suspect = refusal
            self.desk.lookups[Step.CREDIT_NOTE].append(document)
        else:
            self.refused(document, refusal)

    def found(self, document: Document, body: Mapping[str, Any]) -> None:
        """The number is in Xero: ours if equal, else a conflict."""
        job = document.jobs[0]
        differences = compare.credit_note(self.purpose.note(job), job.number, job.contact_id, body)
        self.desk.note([job], f"read-back: {job.number} is in Xero, {'otherwise' if differences else 'and equal'}")
        if not differences:
            self._posted(document, body, "ADOPTED", None)
            return
        text = f"Credit note {job.number} is in Xero, but not as it was to be: {compare.shown(differences)}."
        self._hold(job, Refusal(ErrorClass.CONFLICT, "credit_note_differs", text, DECIDE))

    def absent(self, document: Document) -> None:
        """The number is not in Xero: send it, unless Xero had said that it is there."""
        self.desk.note(document.jobs, f"read-back: {document.natural} is not in Xero")
        if document.suspect is not None:
            self.refused(document, document.suspect)
        else:
            self.purpose.absent(document)

    def refused(self, document: Document, refusal: Refusal) -> None:
        """Xero refuses the credit note: nothing is given back; its number stays with what it was for."""
        job = document.jobs[0]
        entry = self.entry(job)
        entry["state"], entry["intention"], entry["reason"] = "REFUSED", None, refusal.message
        self.desk.write(entry)
        self.purpose.failed(job, refusal)

    def _posted(self, document: Document, body: Mapping[str, Any], outcome: Outcome, lost: str | None) -> None:
        job, note = document.jobs[0], self.purpose.note(document.jobs[0])
        entry = self.entry(job)
        records.credited(entry, job.command, note, body)
        entry["hash"], entry["intention"], entry["reason"] = document.hash, None, None
        self.desk.write(entry)
        differences = compare.totals(note, body)
        if lost or differences:
            text = lost or f"Xero computed other sums: {compare.shown(differences)}."
            code, error_class = ("account_removed", ErrorClass.MAPPING) if lost else ("totals_differ", ErrorClass.BUG)
            hint = f"Void {job.number} in Xero after correcting the rules, or correct it there; then redrive."
            text = f"Credit note {job.number} is in Xero, no money given back. {text}"
            self._hold(job, Refusal(error_class, code, text, hint))
            return
        job.target_id, job.due = entry["xero_id"], decimal(body.get("RemainingCredit"))
        shown = {name: entry[name] for name in SHOWN}  # type: ignore[literal-required]
        self.desk.result(job.command, KIND, outcome, **shown)
        payments = body.get("Payments")
        self._spend(job, payments if isinstance(payments, list) else None)

    def _spend(self, job: Job, shown: list[Mapping[str, Any]] | None) -> None:
        """Onto its invoice first, as far as that is unpaid; the rest back."""
        if not self.allocations.start(job, lambda: self.payments.pay(job, shown)):
            self.payments.pay(job, shown)

    def _settle(self, job: Job) -> None:
        """All the money is back, or a letter."""
        note, entry = self.purpose.note(job), self.entry(job)
        spent = self.payments.paid_by_ledger(job) + self.allocations.made(job)
        left = job.due if job.due is not None else Decimal(note["total"]) - spent
        if not job.refused and left == 0:
            entry["state"], entry["status"], entry["reason"] = "POSTED", "PAID", None
            self.desk.write(entry)
            self.purpose.given_back(job, entry)
            return
        if job.refused:
            refusal = job.refused[0]
            reason = refusal.message
            text = f"Credit note {job.number} is in Xero, {left} of it not given back. {refusal.message}"
            refusal = Refusal(refusal.error_class, refusal.code, text, refusal.hint)
        else:
            reason = f"{left} left"
            text = f"Credit note {job.number} still has {left} {note['currency']} left after all its payments."
            refusal = Refusal(ErrorClass.CONFLICT, "not_fully_refunded", text, DECIDE)
        entry["state"], entry["reason"] = "REFUSED", reason
        self.desk.write(entry)
        self.purpose.failed(job, refusal)

    def _hold(self, job: Job, refusal: Refusal) -> None:
        """Something is in Xero under our number: a person looks."""
        entry = self.entry(job)
        entry["state"], entry["intention"], entry["reason"] = "HELD", None, refusal.message
        self.desk.write(entry)
        self.purpose.failed(job, refusal)

    def entry(self, job: Job) -> LedgerEntry:
        """A copy to change, or a new one."""
        entry = self.desk.fresh(self.purpose.key(job), KIND)
        entry["number"], entry["contact_id"] = job.number, job.contact_id
        return entry
