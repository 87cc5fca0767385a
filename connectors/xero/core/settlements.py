"""A gateway's settlement: the fees out of the clearing account, then the payout to the bank. Neither has a number.

Guarantees: a document that was intended once is never sent again before a read-back by its date, whole, has not shown
it; what is found is ours only under our marker and with our money; the same settlement is posted once, another one
under its id is held with both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from connectors.xero import batch, compare, outcomes
from connectors.xero.core import answers, records
from connectors.xero.core.desk import Desk
from connectors.xero.core.payments import DECIDE
from connectors.xero.core.records import Outcome
from connectors.xero.core.state import Document, Job, Refusal, Step
from connectors.xero.outcomes import Element
from schemas.letters import ErrorClass
from schemas.types import LedgerEntry, Payout

KIND = "settlement"
_WORDS = {Step.BANK_TRANSACTION: "the fees", Step.BANK_TRANSFER: "the payout"}
_AGAIN = 2.0  # seconds until a list that changed while it was paged is read anew


class Settlements:
    """The flow of SETTLEMENT commands: one document after the other, each with its outcome on the log."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def start(self, job: Job) -> None:
        """By the ledger: done already, another one under this id, gone on with, or begun."""
        body, own = _body(job), self.desk.entry(job.home)
        job.number = body["marker"]
        known = own["hash"] if own is not None else None
        if own is not None and known not in (None, body["money_hash"]) and self._begun(job):
            self._differs(job, own)
        elif own is not None and known == body["money_hash"] and records.paid(own):
            self._say(job, "UNCHANGED", own, "this settlement has been posted already")
            self.desk.end(job)
        else:
            self.desk.write(self._entry(job, "INTENDED"))
            self._go_on(job)

    def _begun(self, job: Job) -> bool:
        """Something of a settlement of this id is in Xero, or may be; not what Xero has refused."""
        entries = (self.desk.entry(records.bank_key(job.command["key"], step)) for step in _WORDS)
        return any(e is not None and (e["state"] != "REFUSED" or e["intention"] or e["xero_id"]) for e in entries)

    def _differs(self, job: Job, own: LedgerEntry) -> None:
        body = _body(job)
        text = (
            f"Settlement {body['settlement_id']} of {body['gateway']} is known as a payout of {own['total']} "
            f"{own['currency']}, fees {own['extra'].get('fees', '?')}; now it is {body['payout']} {body['currency']}, "
            f"fees {body['fees']}."
        )
        self._refuse(job, Refusal(ErrorClass.HELD, "settlement_differs", text, DECIDE))
        self.desk.end(job)

    def _go_on(self, job: Job) -> None:
        """The next document that is not in Xero; after the last, the end."""
        for step, element in _parts(_body(job)):
            entry = self.desk.entry(records.bank_key(job.command["key"], step))
            if entry is None or entry["state"] != "POSTED":
                self._queue(job, step, element, entry)
                return
        entry = self._entry(job, "POSTED")
        entry["status"], entry["reason"] = "PAID", None
        self._say(job, "POSTED", entry, None)
        self.desk.end(job, entry)

    def _queue(self, job: Job, step: Step, element: str, entry: LedgerEntry | None) -> None:
        body = _body(job)
        document = Document(
            step, records.bank_key(job.command["key"], step), body["marker"], element, batch.digest(element),
            job.command["version"], [job], entry, parts={"date": body["date"]},
        )  # fmt: skip
        document.chained = step is Step.BANK_TRANSFER
        if entry is None:
            self.desk.ready[step].append(document)
            return
        # It was intended before: Xero would not refuse a second one, so only a look says whether there is a first.
        document.not_before = self.desk.inherited(entry)
        if entry["intention"] is not None:
            document.attempt = entry["intention"]["attempt"] + 1
        self.desk.lookups[step].append(document)

    # -- answers ------------------------------------------------------------------------------------------------

    def answered(self, document: Document, element: Element) -> None:
        """One element of PUT BankTransactions or BankTransfers."""
        if element.good:
            self._posted(document, element.body, "POSTED", element.lost_account)
            return
        refusal = outcomes.judge(element.errors)[1]
        if element.id is not None:  # an error beside an id: is it there?
            document.suspect = refusal
            self.desk.lookups[document.step].append(document)
        else:
            self.refused(document, refusal)

    def looked(self, document: Document, body: Any) -> None:
        """One page of what Xero has on the document's day. It is absent only if all of them were read, and whole."""
        look = answers.DayLook(document, body)
        job = document.jobs[0]
        if look.found:
            equal = [row for row in look.found if not self._differences(document, row)]
            self.desk.note([job], f"read-back: {len(look.found)} of {document.natural} in Xero, {len(equal)} equal")
            if equal:
                self._posted(document, equal[0], "ADOPTED", None)
            else:
                self._otherwise(document, look.found[0])
        elif look.more:
            self.desk.lookups[document.step].append(document)
        elif not look.whole:
            document.not_before = self.desk.now.mono + _AGAIN
            self.desk.lookups[document.step].append(document)
        elif document.suspect is not None:
            self.refused(document, document.suspect)
        else:
            self.desk.note([job], f"read-back: {document.step.value} {document.natural} is not in Xero")
            document.chained, document.not_before = True, 0.0
            self.desk.ready[document.step].append(document)

    def _differences(self, document: Document, row: Mapping[str, Any]) -> list[compare.Difference]:
        of = compare.bank_transaction if document.step is Step.BANK_TRANSACTION else compare.bank_transfer
        return of(_body(document.jobs[0]), row)

    def _otherwise(self, document: Document, row: Mapping[str, Any]) -> None:
        shown = compare.shown(self._differences(document, row))
        text = f"{document.natural}: {_WORDS[document.step]} are in Xero, but not as this settlement has them: {shown}."
        self._hold(document, Refusal(ErrorClass.CONFLICT, f"{document.step.value}_differs", text, DECIDE))

    def _posted(self, document: Document, row: Mapping[str, Any], outcome: Outcome, lost: str | None) -> None:
        job, body = document.jobs[0], _body(document.jobs[0])
        entry = self.desk.fresh(document.key, document.step.value)
        entry["state"], entry["intention"], entry["reason"] = "POSTED", None, None
        entry["xero_id"], entry["number"] = str(row[answers.ID[document.step]]), document.natural
        entry["status"], entry["hash"] = str(row.get("Status") or "AUTHORISED"), document.hash
        entry["version"], entry["observed_at"] = job.command["version"], job.command["observed_at"]
        fees = document.step is Step.BANK_TRANSACTION
        entry["total"] = body["transaction_total"] if fees else body["payout"]
        entry["total_tax"] = body["transaction_tax"] if fees else None
        entry["currency"] = body["currency"]
        differences = self._differences(document, row)
        if lost or differences:
            text = lost or f"Xero made something else of it: {compare.shown(differences)}."
            code, of = ("account_removed", ErrorClass.MAPPING) if lost else ("totals_differ", ErrorClass.BUG)
            hint = "Delete it in Xero after correcting the rules, or correct it there; then redrive."
            self.desk.write(entry)
            self._hold(
                document, Refusal(of, code, f"{document.natural}: {_WORDS[document.step]} are in Xero. {text}", hint)
            )
            return
        self.desk.write(entry)
        self.desk.result(
            job.command, document.step.value, outcome, xero_id=entry["xero_id"], number=document.natural,
            status=entry["status"], total=entry["total"], total_tax=entry["total_tax"], currency=entry["currency"],
        )  # fmt: skip
        self._go_on(job)

    # -- ends ---------------------------------------------------------------------------------------------------

    def refused(self, document: Document, refusal: Refusal) -> None:
        """Xero refuses it: what comes behind it waits for a person as well."""
        self._stop(document, refusal, "REFUSED")

    def _hold(self, document: Document, refusal: Refusal) -> None:
        """Something is in Xero under our marker: a person looks."""
        self._stop(document, refusal, "HELD")

    def _stop(self, document: Document, refusal: Refusal, state: Any) -> None:
        job, body = document.jobs[0], _body(document.jobs[0])
        entry = self.desk.fresh(document.key, document.step.value)
        entry["state"], entry["intention"], entry["reason"] = state, None, refusal.message
        entry["number"] = document.natural
        self.desk.write(entry)
        whole = self._entry(job, state)
        whole["reason"] = refusal.message
        left = f"Settlement {body['settlement_id']} of {body['gateway']}: "
        if document.step is Step.BANK_TRANSFER and body["bank_transaction"]:
            left += f"the fees are in Xero, the payout of {body['payout']} {body['currency']} is not. "
        elif state == "REFUSED":
            left += "nothing of it is in Xero. "
        refusal = Refusal(refusal.error_class, refusal.code, left + refusal.message, refusal.hint)
        self._refuse(job, refusal)
        self.desk.end(job, whole)

    def _refuse(self, job: Job, refusal: Refusal) -> None:
        self.desk.refuse(job, refusal, KIND)

    def _entry(self, job: Job, state: Any) -> LedgerEntry:
        """The settlement as a whole: what was wanted, and PAID once all of it is in Xero."""
        body, entry = _body(job), self.desk.fresh(job.home, KIND)
        entry["state"], entry["number"], entry["hash"] = state, body["marker"], body["money_hash"]
        entry["version"], entry["observed_at"] = job.command["version"], job.command["observed_at"]
        entry["total"], entry["currency"] = body["payout"], body["currency"]
        entry["extra"] = {**entry["extra"], "fees": body["fees"]}
        return entry

    def _say(self, job: Job, outcome: Outcome, entry: LedgerEntry, why: str | None) -> None:
        self.desk.result(
            job.command, KIND, outcome, number=entry["number"], status=entry["status"], total=entry["total"],
            currency=entry["currency"], message=why, findings=[*job.command["findings"], *self.desk.told(job)],
        )  # fmt: skip


def _body(job: Job) -> Payout:
    return cast(Payout, job.command["body"])


def _parts(body: Payout) -> list[tuple[Step, str]]:
    """Its documents in their order; the fees first, so that the payout finds the clearing account as it must be."""
    parts = ((Step.BANK_TRANSACTION, body["bank_transaction"]), (Step.BANK_TRANSFER, body["transfer"]))
    return [(step, element) for step, element in parts if element]
