"""A refund's way: a credit note and its money back. It comes behind its order's sale and never exceeds it.

Guarantees: a refund of an id is written once, under a number chosen once; all refunds of an order together never give
back more than was posted; one that comes before its sale waits in the ledger for it.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import cast

from connectors.xero.core import records
from connectors.xero.core.credits import SHOWN, Credits
from connectors.xero.core.desk import Desk
from connectors.xero.core.payments import DECIDE
from connectors.xero.core.records import Outcome
from connectors.xero.core.sales import Sales
from connectors.xero.core.state import Document, Job, Refusal, Step
from connectors.xero.core.unpaid import Unpaid
from schemas.letters import ErrorClass
from schemas.types import LedgerEntry, RefundNote


class Refunds:
    """The flow of REFUND commands. A job's home is its order's invoice, so that both go in their order."""

    def __init__(self, desk: Desk, sales: Sales) -> None:
        self.desk = desk
        self.credits = Credits(desk, self)
        self.unpaid = Unpaid(desk, self, sales)
        sales.deleted_unpaid = self.unpaid.start
        self.summary_paid: Callable[[Job, LedgerEntry], None] = lambda job, entry: None

    def start(self, job: Job) -> None:
        """By the ledger: done already, too much, too early, gone on with, or begun."""
        sale, own, note = self.desk.entry(job.home), self.desk.entry(self.key(job)), _note(job)
        if own is not None and own["state"] == "POSTED" and own["status"] == "PAID":
            self._again(job, own)
        elif sale is not None and records.of_summary(job.command):
            self.go_on(job, sale, own)
        elif sale is not None and records.undone(sale) and self.unpaid.again(job, sale):
            pass
        elif (
            sale is None
            or not (sale["xero_id"] or records.paid(sale))
            or (records.standing(sale) == "POSTED" and not records.paid(sale))
        ):
            self._too_early(job, sale)
        elif own is not None and self.unpaid.fixed(job, own):
            self.unpaid.go_on(job, sale, own)
        elif not records.paid(sale) or (own is not None and records.ALLOCATE in own["extra"]):
            self.unpaid.start(job)
        elif (left := records.left(sale, note)) < Decimal(note["total"]):
            self.too_much(job, sale, left)
        else:
            self.go_on(job, sale, own)

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

    def too_much(self, job: Job, sale: LedgerEntry, left: Decimal) -> None:
        """More than was posted."""
        note = _note(job)
        text = (
            f"Refund {note['refund_id']} of order {job.command['order_id']} is {note['total']} {note['currency']}, but "
            f"of {sale['number']} ({sale['total']} {sale['currency']}) only {left} is left to give back."
        )
        self._refuse(job, Refusal(ErrorClass.VALIDATION, "refund_too_large", text, "Correct the refund at its sender."))

    def go_on(self, job: Job, sale: LedgerEntry, own: LedgerEntry | None) -> None:
        """With its credit note, from where the ledger says that it is."""
        note = _note(job)
        job.contact_id = job.contact_id or sale["contact_id"]
        job.number = (own["number"] if own else None) or self.number(job, sale)
        self._reserve(job, note["total"])
        self.credits.go_on(job, own)

    def number(self, job: Job, sale: LedgerEntry) -> str:
        """By the invoice's number; in a summary, whose number many orders share, as the command has it."""
        note = _note(job)
        if records.of_summary(job.command) or sale["kind"] == records.ORDER:
            return note["number"]
        return f"CN-{sale['number']}-{note['refund_id']}"

    def _reserve(self, job: Job, total: str | None) -> None:
        """What this refund takes of its invoice; None: nothing after all. In the transaction of its intention."""
        if records.of_summary(job.command):
            return  # each of its refunds has taken its own, of its own order
        entry = self.desk.fresh(job.home, "invoice")
        name = records.share(_note(job)["refund_id"])
        if entry["extra"].get(name) != total:
            extra = records.without(entry, name)
            entry["extra"] = extra if total is None else {**extra, name: total}
            self.desk.write(entry)

    # -- what its credit note is (credits.Purpose) -----------------------------------------------------------------

    def note(self, job: Job) -> RefundNote:
        return job.note or _note(job)

    def key(self, job: Job) -> str:
        return records.credit_key(job.command["key"], _note(job)["refund_id"])

    def money_key(self, job: Job, ordinal: int) -> str:
        return records.refund_key(job.command["key"], _note(job)["refund_id"], ordinal)

    def absent(self, document: Document) -> None:
        self.desk.ready[Step.CREDIT_NOTE].append(document)

    def given_back(self, job: Job, entry: LedgerEntry) -> None:
        if records.of_summary(job.command):
            self.summary_paid(job, entry)
            return
        self._say(job, "POSTED", None, entry)
        self.desk.end(job, self.unpaid.settled(job, entry))

    def failed(self, job: Job, refusal: Refusal) -> None:
        """Where nothing is in Xero, nothing is taken of the invoice."""
        own = self.credits.entry(job)
        if own["state"] == "REFUSED" and own["xero_id"] is None:
            self._reserve(job, None)
        self._refuse(job, refusal)

    # -- ends ---------------------------------------------------------------------------------------------------

    def _refuse(self, job: Job, refusal: Refusal) -> None:
        self.desk.refuse(job, refusal)
        self.desk.end(job)

    def _say(self, job: Job, outcome: Outcome, why: str | None, entry: LedgerEntry | None) -> None:
        findings = [*job.command["findings"], *self.desk.told(job)]
        shown = {name: entry[name] for name in SHOWN} if entry is not None else {}  # type: ignore[literal-required]
        self.desk.result(job.command, records.told_as(job.command), outcome, **shown, message=why, findings=findings)


def _note(job: Job) -> RefundNote:
    return cast(RefundNote, job.command["body"])
