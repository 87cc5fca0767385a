"""The part of a credit note that goes onto its invoice, which is unpaid, instead of back to the customer.

Guarantees: an allocation is intended before it is sent, and looked for before it is sent again: it has no key of its
own, but a credit note of ours has no other. It is as much as fits, so a second one would exceed what the invoice has
due or the credit note has left, and Xero refuses it.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from connectors.xero import batch, outcomes
from connectors.xero.core import answers, records
from connectors.xero.core.desk import Desk
from connectors.xero.core.payments import DECIDE
from connectors.xero.core.records import Outcome
from connectors.xero.core.state import Document, Job, Refusal, Step
from connectors.xero.outcomes import Element
from schemas.letters import ErrorClass
from schemas.types import LedgerEntry

KIND = "allocation"


class Allocations:
    """`note` gives a job's credit note entry, which says how much is allocated; `failed`: that cannot be."""

    def __init__(self, desk: Desk, note: Callable[[Job], LedgerEntry], failed: Callable[[Job], None]) -> None:
        self.desk = desk
        self.note = note
        self.failed = failed

    def start(self, job: Job, then: Callable[[], None]) -> bool:
        """Send or look up what is to be allocated; afterwards `then`. False: nothing is, or all is done."""
        amount = self.note(job)["extra"].get(records.ALLOCATE)
        if amount is None:
            return False
        key, sale = self._key(job), self.desk.fresh(job.home, "invoice")
        entry = self.desk.entry(key)
        if entry is not None and entry["state"] == "POSTED":
            return False
        date = str(job.command["body"]["date"])  # type: ignore[index,typeddict-item]  # of a refund
        element = batch.allocation_element(amount, str(sale["xero_id"]), date)
        document = Document(
            Step.ALLOCATION, key, job.number, element, batch.digest(element), job.command["version"], [job], entry,
            amount=Decimal(amount), chained=True, parts={"then": then, "invoice": str(sale["xero_id"])},
        )  # fmt: skip
        if entry is not None and entry["intention"] is not None:
            document.attempt = entry["intention"]["attempt"] + 1
            document.not_before = self.desk.inherited(entry)
            self.desk.lookups[Step.ALLOCATION].append(document)
        else:
            self.desk.ready[Step.ALLOCATION].append(document)
        return True

    def made(self, job: Job) -> Decimal:
        """What the ledger says is allocated."""
        amount = self.note(job)["extra"].get(records.ALLOCATE)
        entry = self.desk.entry(self._key(job)) if amount is not None else None
        return Decimal(entry["total"] or "0") if entry is not None and entry["state"] == "POSTED" else Decimal(0)

    def _key(self, job: Job) -> str:
        return records.allocation_key(job.command["key"], str(job.command["body"]["refund_id"]))  # type: ignore[index,typeddict-item]

    # -- answers ------------------------------------------------------------------------------------------------

    def answered(self, document: Document, element: Element) -> None:
        """The element of PUT Allocations. What Xero says of one that is there already is not known (xero.md §4.6), nor
        whether a good answer shows its id: so a refusal, or one without, is looked into before it is believed."""
        if element.good:
            self._posted(document, "POSTED")
            return
        document.suspect = outcomes.judge(element.errors)[1] if element.errors else None
        document.parts["told"] = not element.errors
        self.desk.lookups[Step.ALLOCATION].append(document)

    def looked(self, document: Document, body: Any) -> bool:
        """What its credit note shows. False: it is not shown, so nothing is known."""
        rows, amount = answers.allocated(document, body, document.parts["invoice"]), document.amount or Decimal(0)
        if rows is None:
            return False
        there = sum((Decimal(str(row.get("Amount") or 0)) for row in rows), Decimal(0))
        self.desk.note(document.jobs, f"read-back: {there} of {document.natural} is allocated in Xero")
        if rows and there == amount:
            self._posted(document, "POSTED" if document.parts.pop("told", False) else "ADOPTED")
        elif rows:
            text = f"{there} of it is allocated to the invoice, not {amount}."
            self.refused(document, Refusal(ErrorClass.CONFLICT, "allocation_differs", text, DECIDE))
        elif document.suspect is not None:
            self.refused(document, document.suspect)
        else:
            document.chained = True
            if document.parts.pop("told", False):  # and all the same it is not there
                document.attempt += 1
                document.not_before = self.desk.now.mono + min(2.0**document.attempt, self.desk.settings.retry)
            self.desk.ready[Step.ALLOCATION].append(document)
        return True

    def _posted(self, document: Document, outcome: Outcome) -> None:
        job, amount = document.jobs[0], document.amount or Decimal(0)
        entry, sale = self.desk.fresh(document.key, KIND), self.desk.fresh(job.home, "invoice")
        records.put_to_invoice(entry, job.command, self.note(job), amount, document.parts["invoice"])
        entry["hash"], entry["intention"], entry["reason"] = document.hash, None, None
        self.desk.write(entry)
        self.desk.write(records.with_allocated(sale, amount))
        if job.due is not None:
            job.due -= amount
        self.desk.result(
            job.command, KIND, outcome, xero_id=entry["xero_id"], number=job.number, status=entry["status"],
            total=entry["total"], currency=entry["currency"],
        )  # fmt: skip
        document.parts["then"]()

    def refused(self, document: Document, refusal: Refusal) -> None:
        """Nothing of the credit note is given back either."""
        job = document.jobs[0]
        entry = self.desk.fresh(document.key, KIND)
        entry["state"], entry["intention"], entry["reason"] = "REFUSED", None, refusal.message
        entry["number"] = job.number
        self.desk.write(entry)
        job.refused.append(refusal)
        self.failed(job)
