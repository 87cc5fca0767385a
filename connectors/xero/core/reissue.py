"""A paid order whose money changed: its invoice is credited as Xero holds it, the money given back, then issued anew.

Guarantees: nothing is written before Xero was seen to hold what the ledger says; never a second credit note or invoice;
the new invoice comes only after all of the former one's money is back; each phase stands in the ledger, so a new owner
goes on where the last one was. Until the new invoice is in Xero, the former version is the posted one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from connectors.xero import reversal
from connectors.xero.core import records
from connectors.xero.core.credits import Credits
from connectors.xero.core.desk import Desk
from connectors.xero.core.sales import HELD, Sales
from connectors.xero.core.state import Document, Job, Refusal, Step
from connectors.xero.errors import CannotBeTakenBack
from schemas.types import LedgerEntry, RefundNote, Sale

_BLOCKED = "not_reissued"


class Reissues:
    """The flow of SALE commands of a later version with other money, by the store's rule or a person's decision."""

    def __init__(self, desk: Desk, sales: Sales) -> None:
        self.desk = desk
        self.sales = sales
        sales.reissue = self.start
        self.credits = Credits(desk, self)

    def start(self, job: Job) -> None:
        """By the ledger: the credit note is begun, and goes on; or the invoice has to be looked at first."""
        entry = self.desk.fresh(job.home, "invoice")
        own = self.desk.entry(records.credit_key(job.command["key"], records.reissued(records.generation(entry))))
        if own is not None and (own["intention"] is not None or own["xero_id"] is not None):
            job.note, job.number = _kept(own), own["number"] or ""
            job.contact_id = own["contact_id"]
            self.credits.go_on(job, own)
        elif any(name.startswith(records.share("")) for name in entry["extra"]):
            self._blocked(job, f"a refund has been taken of {entry['number']}")
        elif (other := self.desk.taken(records.next_number(entry), job.home)) is not None:
            self._blocked(job, f"its next number {records.next_number(entry)} belongs to {other} in the ledger")
        else:
            self._look(job, entry)

    def _look(self, job: Job, entry: LedgerEntry) -> None:
        number, version = str(entry["number"]), job.command["version"]
        self.desk.lookups[Step.CHECK].append(Document(Step.CHECK, job.home, number, "", "", version, [job], entry))

    # -- the posted invoice, as Xero has it -----------------------------------------------------------------------

    def seen(self, document: Document, body: Mapping[str, Any]) -> None:
        """It is there: credit it, if it is what the ledger says."""
        job, entry = document.jobs[0], self.desk.fresh(document.jobs[0].home, "invoice")
        generation = records.generation(entry)

        def payment(ordinal: int) -> LedgerEntry | None:
            return self.desk.entry(records.payment_key(job.command["key"], ordinal, generation))

        number, day = records.reissue_number(entry), _sale(job)["date"]
        try:
            note = reversal.note(reversal.Former(entry, payment), body, records.reissued(generation), number, day)
        except CannotBeTakenBack as error:
            self._blocked(job, f"{entry['number']} in Xero: {error}")
            return
        job.note, job.number = note, number
        job.contact_id = str((body.get("Contact") or {}).get("ContactID") or entry["contact_id"])
        if entry["status"] != records.CREDITING:  # else as it was, before a call that came to nothing
            entry["status"] = records.CREDITING
            self.desk.write(entry)
        own = self.credits.entry(job)
        own["extra"] = {**own["extra"], records.NOTE: json.dumps(note, ensure_ascii=False)}
        self.desk.write(own)
        self.credits.send(job, own)

    def unseen(self, document: Document) -> None:
        """Nothing in Xero has its number."""
        self._blocked(document.jobs[0], f"{document.natural} is not in Xero")

    def _blocked(self, job: Job, why: str) -> None:
        self._no_longer(job)
        self.sales.hold(job, f"It is not credited and issued anew: {why}.", _BLOCKED, HELD)

    def _no_longer(self, job: Job) -> None:
        """Nothing of the credit note is in Xero: the invoice stands as it was posted."""
        entry = self.desk.fresh(job.home, "invoice")
        if entry["status"] != records.CREDITING:
            return
        entry["status"] = "PAID"
        self.desk.write(entry)
        own = self.desk.entry(records.credit_key(job.command["key"], records.reissued(records.generation(entry))))
        if own is not None and own["state"] == "INTENDED":
            self.desk.write({**own, "state": "REFUSED", "intention": None, "reason": "not sent after all"})

    # -- what its credit note is (credits.Purpose) ------------------------------------------------------------------

    def note(self, job: Job) -> RefundNote:
        return cast(RefundNote, job.note)

    def key(self, job: Job) -> str:
        return records.credit_key(job.command["key"], self.note(job)["refund_id"])

    def money_key(self, job: Job, ordinal: int) -> str:
        return records.refund_key(job.command["key"], self.note(job)["refund_id"], ordinal)

    def absent(self, document: Document) -> None:
        """The invoice may have changed since it was looked at."""
        job = document.jobs[0]
        self._look(job, self.desk.fresh(job.home, "invoice"))

    def given_back(self, job: Job, entry: LedgerEntry) -> None:
        """The former invoice is done with. In one transaction it makes room for the new one, whose number is fixed."""
        former, anew = records.renewed(self.desk.fresh(job.home, "invoice"), job.command, entry)
        credited = entry.copy()
        credited["extra"] = records.without(entry, records.NOTE)
        for changed in (former, credited, anew):
            self.desk.write(changed)
        job.troubles.append(f"{former['number']} was credited by {credited['number']}: now {anew['number']}")
        job.note, job.number, job.contact_id, job.target_id, job.due = None, "", None, None, None
        self.sales.go_on(job)

    def failed(self, job: Job, refusal: Refusal) -> None:
        """The credit note goes no further. The invoice is as it was only where nothing of it is in Xero."""
        own = self.credits.entry(job)
        if own["state"] == "REFUSED" and own["xero_id"] is None:
            self._no_longer(job)
        self.desk.refuse(job, refusal)
        self.desk.end(job)


def _kept(own: LedgerEntry) -> RefundNote:
    return cast(RefundNote, json.loads(own["extra"][records.NOTE]))


def _sale(job: Job) -> Sale:
    return cast(Sale, job.command["body"])
