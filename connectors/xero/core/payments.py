"""The payments of a posted document: each tender sent, adopted or looked up; when all have ended, the flow settles.

Guarantees: what the ledger says is posted is not sent again; a payment in Xero is ours only under our marker and with
our amount; one tender's refusal does not stop the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from connectors.xero import batch, compare, outcomes
from connectors.xero.core import answers, records
from connectors.xero.core.desk import Desk
from connectors.xero.core.records import Outcome
from connectors.xero.core.state import Document, Job, Refusal, Step
from connectors.xero.outcomes import Element, Remedy
from schemas.letters import ErrorClass
from schemas.types import LedgerEntry, RefundNote, Sale, Tender

DECIDE = "Look at both; correct Xero by hand if it must change, then `k2x dlt redrive --decision skip`."


class Payments:
    """Of invoices (`Step.PAYMENT`) or, back to the customer, of credit notes (`Step.REFUND`). `body` says what has been
    paid, or is given back, and by which means."""

    def __init__(
        self,
        desk: Desk,
        step: Step,
        key: Callable[[Job, int], str],
        settle: Callable[[Job], None],
        body: Callable[[Job], Sale | RefundNote],
    ) -> None:
        self.desk = desk
        self.step = step
        self.key = key
        self.settle = settle
        self.body = body

    def pay(self, job: Job, found: list[Mapping[str, Any]] | None) -> None:
        """Send, adopt or look up each tender. `found`: the document's payments where Xero has just shown them."""
        shown = {answers.first_token(p): p for p in found or []}
        open_ones: list[tuple[Document, LedgerEntry | None]] = []
        for tender in self.body(job)["payments"]:
            key = self.key(job, tender["ordinal"])
            entry = self.desk.entry(key)
            if entry is not None and entry["state"] == "POSTED":
                continue
            document = self._document(job, tender, key, entry)
            job.tenders[document.natural] = tender  # all, before the first is done with: with the last one it settles
            open_ones.append((document, entry))
        for document, entry in open_ones:
            if document.natural in shown:
                self.found(document, shown[document.natural], job.due)  # which is less by it already
            elif entry is not None and entry["intention"] is not None:
                document.attempt = entry["intention"]["attempt"] + 1
                document.not_before = self.desk.inherited(entry)
                self.desk.lookups[self.step].append(document)
            else:
                document.chained = True
                self.desk.ready[self.step].append(document)
        if not open_ones and not job.done:  # else the last of them has settled, or will
            self.settle(job)

    def paid_by_ledger(self, job: Job) -> Decimal:
        """What the ledger says has been paid."""
        paid = Decimal(0)
        for tender in self.body(job)["payments"]:
            entry = self.desk.entry(self.key(job, tender["ordinal"]))
            if entry is not None and entry["state"] == "POSTED":
                paid += Decimal(entry["total"] or "0")
        return paid

    def _document(self, job: Job, tender: Tender, key: str, entry: LedgerEntry | None) -> Document:
        mark = batch.marker(job.number, tender["ordinal"])
        reference = batch.reference(job.number, tender)
        element = batch.payment_element(self.step, tender, job.target_id or "", reference)
        return Document(
            self.step, key, mark, element, batch.digest(element), job.command["version"], [job], entry,
            amount=Decimal(tender["amount"]),
        )  # fmt: skip

    def answered(self, document: Document, element: Element) -> None:
        """One element of PUT Payments."""
        job = document.jobs[0]
        if element.good:
            self._posted(document, element.body, "POSTED", _left(self.step, element.body))
            return
        remedy, refusal = outcomes.judge(element.errors)
        if (remedy is Remedy.LOOK_UP or element.id is not None) and document.suspect is None:
            document.suspect = refusal
            self.desk.lookups[self.step].append(document)
        else:
            self.refused(job, document, refusal)

    def found(self, document: Document, body: Mapping[str, Any], due: Decimal | None = None) -> None:
        """A payment with our marker: ours if the amount is."""
        job = document.jobs[0]
        differences = compare.payment(document.amount or Decimal(0), body)
        equal = "otherwise" if differences else "and equal"
        self.desk.note([job], f"read-back: {self.step.value} {document.natural} is in Xero, {equal}")
        if not differences:
            self._posted(document, body, "ADOPTED", due)
            return
        what = self.step.value.capitalize()
        text = f"{what} {document.natural} is in Xero, but not as this order: {compare.shown(differences)}."
        self.refused(job, document, Refusal(ErrorClass.CONFLICT, f"{self.step.value}_differs", text, DECIDE))

    def absent(self, document: Document) -> None:
        """No payment with our marker: send it, unless Xero had refused it."""
        self.desk.note(document.jobs, f"read-back: {self.step.value} {document.natural} is not in Xero")
        if document.suspect is not None:
            self.refused(document.jobs[0], document, document.suspect)
        else:
            document.chained = True
            self.desk.ready[self.step].append(document)

    def _posted(self, document: Document, body: Mapping[str, Any], outcome: Outcome, due: Decimal | None) -> None:
        job = document.jobs[0]
        tender = job.tenders.pop(document.natural)
        entry = self.desk.fresh(document.key, self.step.value, tender["ordinal"])
        records.moved(entry, job.command, self.body(job)["currency"], tender, document.natural, body)
        entry["hash"] = document.hash
        self.desk.write(entry)
        if due is not None:
            job.due = due if job.due is None else min(job.due, due)
        elif job.due is not None:
            job.due -= document.amount or Decimal(0)
        self.desk.result(
            job.command, self.step.value, outcome, ordinal=tender["ordinal"], xero_id=entry["xero_id"],
            number=document.natural, status=entry["status"], total=tender["amount"], currency=entry["currency"],
        )  # fmt: skip
        if not job.tenders:
            self.settle(job)

    def refused(self, job: Job, document: Document, refusal: Refusal) -> None:
        """The other tenders of the order go on; the letter is written when all have ended."""
        tender = job.tenders.pop(document.natural)
        entry = self.desk.fresh(document.key, self.step.value, tender["ordinal"])
        entry["state"], entry["intention"], entry["reason"] = "REFUSED", None, refusal.message
        entry["number"] = document.natural
        self.desk.write(entry)
        job.refused.append(refusal)
        if not job.tenders:
            self.settle(job)


def decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _left(step: Step, body: Mapping[str, Any]) -> Decimal | None:
    """What the document has left after the payment, where the answer shows it."""
    name, left = ("Invoice", "AmountDue") if step is Step.PAYMENT else ("CreditNote", "RemainingCredit")
    shown = body.get(name)
    return decimal(shown.get(left)) if isinstance(shown, Mapping) else None
