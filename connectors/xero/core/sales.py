"""A sale's way: contact, invoice, payments, PAID. One document of an order at a time, each with its outcome on the log.

Guarantees: an invoice number is chosen once; what the ledger says is posted is never sent again; what is found in Xero
under our number is ours only if it is equal; an order is POSTED only when Xero says that nothing is due.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, cast

from connectors.xero import batch, compare, outcomes
from connectors.xero.core import records
from connectors.xero.core.contacts import Contacts
from connectors.xero.core.desk import Desk
from connectors.xero.core.payments import DECIDE, Payments, decimal
from connectors.xero.core.records import Outcome
from connectors.xero.core.state import Document, Job, Refusal, Step
from connectors.xero.outcomes import Element, Remedy
from schemas.letters import ErrorClass
from schemas.types import LedgerEntry, Sale

HELD = (
    "Correct Xero by hand and `k2x dlt redrive --decision post`; or have it credited and issued anew: `--decision "
    "reissue`; or leave it as it is: `--decision skip`."
)
CREDITED = "Enter in Xero what was paid of the rest, then `k2x dlt redrive --decision skip`."
_PATIENCE = 4  # times that Xero may not find a contact that is there before a person looks


class Sales:
    """The flow of SALE commands."""

    def __init__(self, desk: Desk, contacts: Contacts) -> None:
        self.desk = desk
        self.contacts = contacts
        contacts.sale_ready = self.contact_ready
        self.reissue: Callable[[Job], None] = self.hold  # until the lane says who does it
        self.corrected: Callable[[Job], None] = self.hold
        self.deleted_unpaid: Callable[[Job], None] = self.hold_deleted
        self.payments = Payments(desk, Step.PAYMENT, self._payment_key, self._settle, _sale)
        self.summary_paid: Callable[[Job, LedgerEntry], None] = lambda job, entry: None

    def start(self, job: Job) -> None:
        """By the ledger: left alone, held, gone on with, or begun."""
        sale = _sale(job)
        entry = self.desk.entry(job.home)
        if entry is not None and self._settled_by_version(job, sale, entry):
            return
        if entry is not None and records.allocated(entry):
            why = f"{records.allocated(entry)} of it are settled by a refund's credit note: it is not paid as a whole."
            self.hold(job, why, "partly_credited", CREDITED)
            return
        self.go_on(job)

    def go_on(self, job: Job) -> None:
        """From where the ledger says that the order is, with this version."""
        sale, entry = _sale(job), self.desk.entry(job.home)
        number = (entry["number"] if entry else None) or sale["number"]
        other = self.desk.claim(job, number)
        if other is not None:
            self._conflict(job, "number_of_other_order", f"Invoice number {number} belongs to {other} in the ledger.")
            return
        if entry is None:
            self.contacts.ensure(job)
            return
        job.contact_id = entry["contact_id"]
        if entry["xero_id"] is not None and records.standing(entry) != "HELD":
            job.target_id = entry["xero_id"]
            self.payments.pay(job, None)
        elif entry["contact_id"] and (entry["intention"] is not None or entry["xero_id"] is not None):
            document = self._document(job, entry["contact_id"])
            document.not_before = self.desk.inherited(entry)
            if entry["intention"] is not None:
                document.attempt = entry["intention"]["attempt"] + 1
            self.desk.lookups[Step.INVOICE].append(document)
        else:
            self.contacts.ensure(job)

    def _settled_by_version(self, job: Job, sale: Sale, entry: LedgerEntry) -> bool:
        posted, version = entry["version"], job.command["version"]
        finished = records.standing(entry) == "POSTED" and entry["status"] == "PAID"
        if posted is None:
            if records.outdated(entry, version):
                self._leave(job, entry, f"{entry['number']} is being issued for a later version")
                return True
            return False
        if records.undone(entry) and entry["hash"] == sale["money_hash"]:
            self._leave(job, entry, f"{entry['number']} is voided in Xero: {entry['reason']}")
            return True
        if entry["hash"] is None:  # nothing was posted: the version is that of a deletion in Kentico
            if version <= posted:
                self._leave(job, entry, f"the order was deleted in Kentico: version {posted.isoformat()}")
            return version <= posted
        if version < posted or (version == posted and (finished or records.crediting(entry))):
            self._leave(job, entry, f"version {posted.isoformat()} is already posted")
        elif records.crediting(entry) and records.decision(job) != "post":
            self.reissue(job)
        elif records.crediting(entry):
            self.hold(job, f"{entry['number']} is being credited: `--decision reissue` goes on with that.")
        elif entry["hash"] != sale["money_hash"]:
            self._other_money(job, sale, finished)
        elif finished:
            bumped = entry.copy()
            bumped["version"], bumped["observed_at"] = version, job.command["observed_at"]
            self._leave(job, entry, "same money as the version posted", bumped)
        else:
            return False
        return True

    def cancel(self, job: Job) -> None:
        """An order deleted in Kentico. If never begun it ends here, and an older version sent again is not posted."""
        entry = self.desk.entry(job.home)
        if entry is not None and records.cancelled(entry):
            if job.command["version"] <= (entry["version"] or job.command["version"]):
                self._leave(job, entry, "deleted in Kentico before it was posted: known already")
                return
        elif entry is not None and (entry["xero_id"] or entry["intention"] or entry["hash"]):
            if records.undone(entry):
                self._leave(job, entry, f"deleted in Kentico, and {entry['number']} is voided in Xero already")
            elif records.decision(job) == "post" and (
                records.standing(entry) == "POSTED" or records.ended_unpaid(entry)
            ):
                self.corrected(job)
            elif records.ended_unpaid(entry):
                self.deleted_unpaid(job)
            else:
                self.hold_deleted(job)
            return
        entry = self.desk.fresh(job.home, "invoice")
        records.deleted(entry, job.command)
        self.desk.result(job.command, "order", "CANCELLED", message="deleted in Kentico before it was posted")
        self.desk.end(job, entry)

    def hold_deleted(self, job: Job, why: str = "") -> None:
        """A deletion of what is in Xero: a person has to say what it means."""
        number = self.desk.fresh(job.home, "invoice")["number"]
        hint = (
            f"If the order is not owed, void {number} in Xero, then `k2x dlt redrive --decision post`; or, where it is "
            "unpaid, have it voided: `--decision void`; else, or if it was credited there, `--decision skip`."
        )
        text = f"Deleted in Kentico, and in Xero as {number}. {why}".strip()
        self.desk.refuse(job, Refusal(ErrorClass.HELD, "deleted_after_posting", text, hint))
        self.desk.end(job)

    def _leave(self, job: Job, entry: LedgerEntry, why: str, write: LedgerEntry | None = None) -> None:
        self.desk.result(
            job.command, "order", "UNCHANGED", xero_id=entry["xero_id"], number=entry["number"],
            status=entry["status"], message=why,
        )  # fmt: skip
        self.desk.end(job, write)

    def _other_money(self, job: Job, sale: Sale, finished: bool) -> None:
        """A person's decision comes before the rule; only what is PAID is credited and issued anew."""
        decision = records.decision(job)
        if decision == "post":
            self.corrected(job)
        elif decision == "reissue" or sale["on_other_money"] == "REISSUE":
            if sale["summary"] is not None:
                self.hold(job, "It is not credited and issued anew, because its store posts daily summaries.")
            elif finished:
                self.reissue(job)
            else:
                self.hold(job, "It is not credited and issued anew, because it is not PAID.")
        else:
            self.hold(job)

    def hold(self, job: Job, why: str = "", code: str = "other_money", hint: str = HELD) -> None:
        """Both sides, and why nothing is done by itself."""
        sale, entry = _sale(job), self.desk.fresh(job.home, "invoice")
        job.number = ""  # the number stays with the version posted
        text = (
            f"Posted as {entry['number']}: {entry['total']} {entry['currency']}, tax {entry['total_tax']}. "
            f"This version: {sale['total']} {sale['currency']}, tax {sale['total_tax']}. {why}"
        )
        self.desk.refuse(job, Refusal(ErrorClass.HELD, code, text.strip(), hint))
        self.desk.end(job)

    def _payment_key(self, job: Job, ordinal: int) -> str:
        return records.payment_key(job.command["key"], ordinal, records.generation(self.desk.entry(job.home)))

    # -- contact ------------------------------------------------------------------------------------------------

    def contact_ready(self, job: Job, contact_id: str, chained: bool) -> None:
        """The order's contact is known; `chained` if that has cost a call."""
        job.contact_id = contact_id
        document = self._document(job, contact_id)
        document.chained = chained
        self.desk.ready[Step.INVOICE].append(document)

    # -- invoice ------------------------------------------------------------------------------------------------

    def _document(self, job: Job, contact_id: str) -> Document:
        sale = _sale(job)
        element = batch.invoice_element(sale, job.number, contact_id)
        entry = self.desk.entry(job.home)
        version = job.command["version"]
        return Document(Step.INVOICE, job.home, job.number, element, sale["money_hash"], version, [job], entry)

    def invoice_answered(self, document: Document, element: Element) -> None:
        """One element of PUT Invoices."""
        if element.good:
            self._invoice_posted(document, element.body, "POSTED", element.lost_account)
            return
        remedy, refusal = outcomes.judge(element.errors)
        if remedy is Remedy.LOOK_UP or element.id is not None:
            document.suspect = refusal
            self.desk.lookups[Step.INVOICE].append(document)
        elif remedy is Remedy.CONTACT and not document.jobs[0].new_contact:
            self._check_contact(document.jobs[0])
        else:
            self.refused(document, refusal)

    def invoice_found(self, document: Document, body: Mapping[str, Any]) -> None:
        """The number is in Xero: ours if equal, else a conflict."""
        job = document.jobs[0]
        differences = compare.invoice(_sale(job), job.contact_id, body)
        self.desk.note([job], f"read-back: {job.number} is in Xero, {'otherwise' if differences else 'and equal'}")
        if not differences:
            self._invoice_posted(document, body, "ADOPTED", None)
            return
        if compare.gone(body):
            self._number_gone(job, body)
            return
        text = f"Invoice {job.number} is in Xero, but not as this order: {compare.shown(differences)}."
        self._conflict(job, "invoice_differs", text, str(body.get("InvoiceID") or "") or None)

    def _number_gone(self, job: Job, body: Mapping[str, Any]) -> None:
        text = f"Invoice {job.number} is {body.get('Status')} in Xero, and its number stays taken there."
        hint = (
            "If the order is owed, enter it in Xero by hand under another number; then, or if it was voided on "
            "purpose, `k2x dlt redrive --decision skip`."
        )
        self._conflict(job, "number_gone", text, str(body.get("InvoiceID") or "") or None, hint)

    def invoice_absent(self, document: Document) -> None:
        """The number is not in Xero: send it, unless Xero had said that it is there."""
        self.desk.note(document.jobs, f"read-back: {document.natural} is not in Xero")
        if document.suspect is not None:
            self.refused(document, document.suspect)
        else:
            self.desk.ready[Step.INVOICE].append(document)

    def _invoice_posted(self, document: Document, body: Mapping[str, Any], outcome: Outcome, lost: str | None) -> None:
        job = document.jobs[0]
        sale = _sale(job)
        entry = self._invoice_entry(job, body)
        differences = compare.totals(sale, body)
        if lost or differences:
            entry["state"] = "HELD"
            text = lost or f"Xero computed other sums: {compare.shown(differences)}."
            code, error_class = ("account_removed", ErrorClass.MAPPING) if lost else ("totals_differ", ErrorClass.BUG)
            hint = f"Void invoice {job.number} in Xero after correcting the rules, or correct it there; then redrive."
            self.desk.refuse(job, Refusal(error_class, code, f"Invoice {job.number} is in Xero unpaid. {text}", hint))
            self.desk.end(job, entry)
            return
        self.desk.write(entry)
        job.target_id, job.due = entry["xero_id"], decimal(body.get("AmountDue"))
        self.desk.result(
            job.command, "invoice", outcome, xero_id=job.target_id, number=job.number, status=entry["status"],
            total=entry["total"], total_tax=entry["total_tax"], currency=entry["currency"],
            findings=list(job.command["findings"]),
        )  # fmt: skip
        payments = body.get("Payments")
        self.payments.pay(job, payments if isinstance(payments, list) else None)

    def _invoice_entry(self, job: Job, body: Mapping[str, Any]) -> LedgerEntry:
        sale = _sale(job)
        entry = self.desk.fresh(job.home, "invoice")
        entry["state"], entry["intention"] = "POSTED", None
        entry["xero_id"], entry["number"] = str(body["InvoiceID"]), job.number
        entry["status"] = str(body.get("Status") or "AUTHORISED")
        if entry["status"] == "PAID":
            entry["status"] = "AUTHORISED"  # PAID here means: all of the order is done; _settle says so
        entry["hash"], entry["version"] = sale["money_hash"], job.command["version"]
        entry["observed_at"], entry["contact_id"] = job.command["observed_at"], job.contact_id
        entry["total"], entry["total_tax"], entry["currency"] = sale["total"], sale["total_tax"], sale["currency"]
        entry["reason"] = None
        return entry

    # -- the end of all payments --------------------------------------------------------------------------------

    def _settle(self, job: Job) -> None:
        """All tenders have ended: PAID, or a letter."""
        sale = _sale(job)
        entry = self.desk.fresh(job.home, "invoice")
        due = job.due if job.due is not None else Decimal(sale["total"]) - self.payments.paid_by_ledger(job)
        if job.refused:
            refusal = job.refused[0]
            entry["state"], entry["reason"] = "REFUSED", refusal.message
            text = f"Invoice {job.number} is in Xero, due {due}. {refusal.message}"
            self.desk.refuse(job, Refusal(refusal.error_class, refusal.code, text, refusal.hint))
        elif due != 0:
            entry["state"], entry["reason"] = "HELD", f"due {due}"
            text = f"Invoice {job.number} still has {due} {sale['currency']} due after all payments of the order."
            self.desk.refuse(job, Refusal(ErrorClass.CONFLICT, "not_fully_paid", text, DECIDE))
        else:
            entry["state"], entry["status"], entry["reason"] = "POSTED", "PAID", None
            entry["version"], entry["observed_at"] = job.command["version"], job.command["observed_at"]
            if records.of_summary(job.command):
                self.summary_paid(job, entry)
                return
            self.desk.result(
                job.command, "order", "POSTED", xero_id=job.target_id, number=job.number, status="PAID",
                total=sale["total"], total_tax=sale["total_tax"], amount_due="0", currency=sale["currency"],
                findings=[*job.command["findings"], *self.desk.told(job)],
            )  # fmt: skip
        self.desk.end(job, entry)

    # -- ends ---------------------------------------------------------------------------------------------------

    def refused(self, document: Document, refusal: Refusal) -> None:
        """Xero refuses the invoice: dead letter; its number stays with the order."""
        job = document.jobs[0]
        entry = self.desk.fresh(job.home, "invoice")
        entry["state"], entry["intention"], entry["reason"] = "REFUSED", None, refusal.message
        entry["number"], entry["contact_id"] = job.number, job.contact_id
        self.desk.refuse(job, refusal)
        self.desk.end(job, entry)

    def refused_before(self, job: Job, refusal: Refusal) -> None:
        """Refused before its invoice was intended, by its contact."""
        self.desk.refuse(job, refusal)
        entry = self.desk.fresh(job.home, "invoice")
        entry["state"], entry["reason"] = "REFUSED", refusal.message
        self.desk.end(job, entry)

    def _conflict(self, job: Job, code: str, text: str, xero_id: str | None = None, hint: str = DECIDE) -> None:
        self.desk.refuse(job, Refusal(ErrorClass.CONFLICT, code, text, hint))
        entry = self.desk.entry(job.home)
        if code == "number_of_other_order":
            self.desk.end(job)
            return
        entry = self.desk.fresh(job.home, "invoice")
        entry["state"], entry["intention"], entry["reason"] = "HELD", None, text
        entry["number"], entry["contact_id"] = job.number, job.contact_id
        if xero_id:
            entry["extra"] = {**entry["extra"], "found": xero_id}
        self.desk.end(job, entry)

    def invoice_unknown_contact(self, document: Document, refusal: Refusal) -> None:
        """Xero answers 404 to this invoice alone, as it does where it does not know the contact's id."""
        job = document.jobs[0]
        if not job.new_contact:
            self._check_contact(job)
        elif job.new_contact > _PATIENCE and self.desk.others_pass(document):
            self.refused(document, refusal)
        else:  # the contact is there for certain: the answer is not to be trusted at once
            self.desk.later(document, self.desk.after_404(job.new_contact))
            job.new_contact += 1

    def _check_contact(self, job: Job) -> None:
        """Nothing of the invoice was written. Is the contact archived, merged into another, or gone?"""
        job.new_contact += 1
        entry = self.desk.fresh(job.home, "invoice")
        entry["state"], entry["intention"], entry["contact_id"] = "INTENDED", None, None
        entry["number"] = job.number
        self.desk.write(entry)
        self.contacts.check(job)


def _sale(job: Job) -> Sale:
    return cast(Sale, job.command["body"])
