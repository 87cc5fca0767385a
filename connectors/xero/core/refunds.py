"""A refund's way: credit note, then the money back. It comes behind its order's sale and never exceeds it.

Guarantees: a refund of an id is written once, under a number chosen once; all refunds of an order together never give
back more than was posted; one that comes before its sale waits in the ledger for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from connectors.xero import batch, compare, outcomes
from connectors.xero.core import records
from connectors.xero.core.desk import Desk
from connectors.xero.core.payments import DECIDE, Payments, decimal
from connectors.xero.core.records import Outcome
from connectors.xero.core.state import Document, Job, Refusal, Step
from connectors.xero.outcomes import Element, Remedy
from schemas.letters import ErrorClass
from schemas.types import LedgerEntry, RefundNote

KIND = "credit_note"
_WHOLE = "order_refund"  # the result that says what became of all of it


class Refunds:
    """The flow of REFUND commands. A job's home is its order's invoice, so that both go in their order."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.payments = Payments(
            desk,
            Step.REFUND,
            lambda job, ordinal: records.refund_key(job.command["key"], _note(job)["refund_id"], ordinal),
            self._settle,
        )

    def start(self, job: Job) -> None:
        """By the ledger: done already, too much, too early, gone on with, or begun."""
        sale, own, note = self.desk.entry(job.home), self.desk.entry(_key(job)), _note(job)
        if own is not None and own["state"] == "POSTED" and own["status"] == "PAID":
            self._again(job, own)
        elif sale is None or not sale["xero_id"] or (records.standing(sale) == "POSTED" and not records.paid(sale)):
            self._too_early(job, sale)
        elif not records.paid(sale):
            self._unpaid(job, sale)
        elif (left := _left(sale, note)) < Decimal(note["total"]):
            self._too_much(job, sale, left)
        else:
            self._go_on(job, sale, own)

    def _again(self, job: Job, own: LedgerEntry) -> None:
        note = _note(job)
        job.number = own["number"] or ""
        if own["currency"] == note["currency"] and Decimal(own["total"] or "0") == Decimal(note["total"]):
            self._say(job, "UNCHANGED", "this refund has been made already", own)
            self.desk.end(job)
            return
        text = (
            f"Refund {note['refund_id']} of order {job.command['order_id']} was made as {own['number']} of "
            f"{own['total']} {own['currency']}; now it is {note['total']} {note['currency']}."
        )
        self._refuse(job, Refusal(ErrorClass.HELD, "refund_differs", text, DECIDE))

    def _too_early(self, job: Job, sale: LedgerEntry | None) -> None:
        """Nothing of the order is in Xero, or not all, and more is to come. When it is PAID, this comes next."""
        if sale is not None and records.cancelled(sale):
            self._say(
                job, "UNCHANGED", "the order was deleted before it was posted: there is nothing to give back", None
            )
        else:
            text = "the sale of this order is not in Xero yet: the refund waits for it"
            self.desk.hold_refund(job, records.ONCE_SOLD, text)
            self.desk.waits(job, text)
        self.desk.end(job)

    def _unpaid(self, job: Job, sale: LedgerEntry) -> None:
        text = (
            f"Order {job.command['order_id']} was refunded, but its invoice {sale['number']} is in Xero unpaid: "
            f"{sale['reason'] or sale['status']}."
        )
        hint = (
            f"If the money never came, void {sale['number']} in Xero, then `k2x dlt redrive --decision skip`. "
            "If it came, mend the sale first, then `k2x dlt redrive` both."
        )
        self._refuse(job, Refusal(ErrorClass.HELD, "refund_of_unpaid", text, hint))

    def _too_much(self, job: Job, sale: LedgerEntry, left: Decimal) -> None:
        note = _note(job)
        text = (
            f"Refund {note['refund_id']} of order {job.command['order_id']} is {note['total']} {note['currency']}, but "
            f"of {sale['number']} ({sale['total']} {sale['currency']}) only {left} is left to give back."
        )
        self._refuse(job, Refusal(ErrorClass.VALIDATION, "refund_too_large", text, "Correct the refund at its sender."))

    def _go_on(self, job: Job, sale: LedgerEntry, own: LedgerEntry | None) -> None:
        note = _note(job)
        job.contact_id = sale["contact_id"]
        job.number = (own["number"] if own else None) or f"CN-{sale['number']}-{note['refund_id']}"
        self._reserve(job, note["total"])
        if own is not None and own["xero_id"] is not None and own["state"] != "HELD":
            job.target_id = own["xero_id"]
            self.payments.pay(job, None)
            return
        document = self._document(job, own)
        if own is not None and (own["intention"] is not None or own["xero_id"] is not None):
            document.not_before = self.desk.inherited(own)
            document.attempt = own["intention"]["attempt"] + 1 if own["intention"] is not None else 1
            self.desk.lookups[Step.CREDIT_NOTE].append(document)
        else:
            self.desk.ready[Step.CREDIT_NOTE].append(document)

    def _reserve(self, job: Job, total: str | None) -> None:
        """What this refund takes of its invoice; None: nothing after all. In the transaction of its intention."""
        entry = self.desk.fresh(job.home, "invoice")
        name = records.share(_note(job)["refund_id"])
        if entry["extra"].get(name) != total:
            extra = {key: value for key, value in entry["extra"].items() if key != name}
            entry["extra"] = extra if total is None else {**extra, name: total}
            self.desk.write(entry)

    def _document(self, job: Job, own: LedgerEntry | None) -> Document:
        element = batch.credit_element(_note(job), job.number, job.contact_id or "")
        version = job.command["version"]
        return Document(Step.CREDIT_NOTE, _key(job), job.number, element, batch.digest(element), version, [job], own)

    # -- credit note --------------------------------------------------------------------------------------------

    def credit_answered(self, document: Document, element: Element) -> None:
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

    def credit_found(self, document: Document, body: Mapping[str, Any]) -> None:
        """The number is in Xero: ours if equal, else a conflict."""
        job = document.jobs[0]
        differences = compare.credit_note(_note(job), job.number, job.contact_id, body)
        self.desk.note([job], f"read-back: {job.number} is in Xero, {'otherwise' if differences else 'and equal'}")
        if not differences:
            self._posted(document, body, "ADOPTED", None)
            return
        text = f"Credit note {job.number} is in Xero, but not as this refund: {compare.shown(differences)}."
        self._hold(job, Refusal(ErrorClass.CONFLICT, "credit_note_differs", text, DECIDE))

    def credit_absent(self, document: Document) -> None:
        """The number is not in Xero: send it, unless Xero had said that it is there."""
        self.desk.note(document.jobs, f"read-back: {document.natural} is not in Xero")
        if document.suspect is not None:
            self.refused(document, document.suspect)
        else:
            self.desk.ready[Step.CREDIT_NOTE].append(document)

    def _posted(self, document: Document, body: Mapping[str, Any], outcome: Outcome, lost: str | None) -> None:
        job, note = document.jobs[0], _note(document.jobs[0])
        entry = self._entry(job)
        entry["state"], entry["intention"], entry["reason"] = "POSTED", None, None
        entry["xero_id"], entry["status"] = str(body["CreditNoteID"]), "AUTHORISED"  # PAID: the money is back as well
        entry["hash"], entry["version"] = document.hash, job.command["version"]
        entry["observed_at"] = job.command["observed_at"]
        entry["total"], entry["total_tax"], entry["currency"] = note["total"], note["total_tax"], note["currency"]
        differences = compare.totals(note, body)
        if lost or differences:
            text = lost or f"Xero computed other sums: {compare.shown(differences)}."
            code, error_class = ("account_removed", ErrorClass.MAPPING) if lost else ("totals_differ", ErrorClass.BUG)
            hint = f"Void {job.number} in Xero after correcting the rules, or correct it there; then redrive."
            text = f"Credit note {job.number} is in Xero, no money given back. {text}"
            self.desk.write(entry)
            self._hold(job, Refusal(error_class, code, text, hint))
            return
        self.desk.write(entry)
        job.target_id, job.due = entry["xero_id"], decimal(body.get("RemainingCredit"))
        self._result(job, KIND, outcome, entry)
        payments = body.get("Payments")
        self.payments.pay(job, payments if isinstance(payments, list) else None)

    def _settle(self, job: Job) -> None:
        """All the money is back, or a letter."""
        note, entry = _note(job), self._entry(job)
        left = job.due if job.due is not None else Decimal(note["total"]) - self.payments.paid_by_ledger(job)
        if job.refused:
            refusal = job.refused[0]
            entry["state"], entry["reason"] = "REFUSED", refusal.message
            text = f"Credit note {job.number} is in Xero, {left} of it not given back. {refusal.message}"
            refusal = Refusal(refusal.error_class, refusal.code, text, refusal.hint)
        elif left != 0:
            entry["state"], entry["reason"] = "REFUSED", f"{left} left"
            text = f"Credit note {job.number} still has {left} {note['currency']} left after all refunds of the order."
            refusal = Refusal(ErrorClass.CONFLICT, "not_fully_refunded", text, DECIDE)
        else:
            entry["state"], entry["status"], entry["reason"] = "POSTED", "PAID", None
            self.desk.write(entry)
            self._say(job, "POSTED", None, entry)
            self.desk.end(job)
            return
        self.desk.write(entry)
        self._refuse(job, refusal)

    # -- ends ---------------------------------------------------------------------------------------------------

    def refused(self, document: Document, refusal: Refusal) -> None:
        """Xero refuses the credit note: nothing is given back; its number stays with the refund."""
        job = document.jobs[0]
        entry = self._entry(job)
        entry["state"], entry["intention"], entry["reason"] = "REFUSED", None, refusal.message
        self.desk.write(entry)
        self._reserve(job, None)
        self._refuse(job, refusal)

    def _hold(self, job: Job, refusal: Refusal) -> None:
        """Something is in Xero under our number: a person looks, and the sum stays taken."""
        entry = self._entry(job)
        entry["state"], entry["intention"], entry["reason"] = "HELD", None, refusal.message
        self.desk.write(entry)
        self._refuse(job, refusal)

    def _refuse(self, job: Job, refusal: Refusal) -> None:
        self.desk.refuse(job, refusal, _WHOLE)
        self.desk.end(job)

    def _entry(self, job: Job) -> LedgerEntry:
        entry = self.desk.fresh(_key(job), KIND)
        entry["number"], entry["contact_id"] = job.number, job.contact_id
        return entry

    def _say(self, job: Job, outcome: Outcome, why: str | None, entry: LedgerEntry | None) -> None:
        findings = [*job.command["findings"], *self.desk.told(job)]
        self._result(job, _WHOLE, outcome, entry, message=why, findings=findings)

    def _result(self, job: Job, kind: str, outcome: Outcome, entry: LedgerEntry | None, **more: Any) -> None:
        shown = {name: entry[name] for name in _SHOWN} if entry is not None else {}  # type: ignore[literal-required]
        self.desk.result(job.command, kind, outcome, **shown, **more)


_SHOWN = ("xero_id", "number", "status", "total", "total_tax", "currency")


def _note(job: Job) -> RefundNote:
    return cast(RefundNote, job.command["body"])


def _key(job: Job) -> str:
    return records.credit_key(job.command["key"], _note(job)["refund_id"])


def _left(sale: LedgerEntry, note: RefundNote) -> Decimal:
    """What may be given back: the invoice less what other refunds have taken of it; nothing in another currency."""
    if sale["currency"] != note["currency"]:
        return Decimal(0)
    return Decimal(sale["total"] or "0") - records.taken_by_others(sale, note["refund_id"])
