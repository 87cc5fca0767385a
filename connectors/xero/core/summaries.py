"""Daily summaries: a store's orders of a day are collected into one. How it is closed and settled: `summary_work`.

Guarantees: an order is in exactly one summary or posted by itself, and its own entry says in which; a summary that is
closed takes no more, a late order goes into the next one; what is collected is on the log with its command.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from connectors.xero.core import records
from connectors.xero.core.desk import Desk
from connectors.xero.core.payments import DECIDE
from connectors.xero.core.state import Job, Refusal
from connectors.xero.core.summary_document import opened
from connectors.xero.core.summary_work import OPEN, WHY, SummaryWork
from schemas.letters import ErrorClass
from schemas.types import Command, LedgerEntry, RefundNote, Sale, Summary

_LEFT = "left"  # in an order's extra: the version that was collected before it was posted by itself


class Summaries:
    """Of one lane: what goes into a summary and out of it. `work` closes and settles."""

    def __init__(self, desk: Desk, work: SummaryWork) -> None:
        self.desk = desk
        self.work = work

    # -- whose matter is it? ------------------------------------------------------------------------------------

    def takes(self, job: Job) -> bool:
        """Whether the command is a summary's matter; then it has been seen to."""
        if records.of_summary(job.command):
            return self._own(job)
        entry = self.desk.entry(job.home)
        match job.command["kind"]:
            case "SALE":
                return self._sale(job, entry)
            case "CANCEL" if entry is not None and records.collected(entry):
                self._cancel(job, entry)
                return True
            case "REFUND":
                return self._refund(job, entry)
        return False

    def _own(self, job: Job) -> bool:
        """A summary's own command: due, redriven, or gone on with by a new owner."""
        entry = self.desk.entry(job.home)
        match entry["extra"].get("phase") if entry is not None else None:
            case "open" if entry is not None and entry["retry_at"] is not None and entry["retry_at"] > self.desk.now.at:
                self.desk.evict(job)  # an order came just now
            case "open" if job.parked and self._sales_under_way(job):
                self.desk.tried_again_at(job, max(self.desk.settings.summary_quiet, self.desk.settings.auth_retry))
                self.desk.evict(job)
            case "open" if job.parked:
                self.work.close(job)
            case "closed" if job.parked and entry is not None and WHY in entry["extra"]:
                self.work.explain(job)
            case "closed" if cast(Any, job.command["body"])["summary"]["orders"] or not job.parked:
                self.work.send(job)
            case "closed":  # a rebuilt ledger knows that it is closed, and by its orders with what
                self.work.close(job)
            case "posted" if job.parked:
                self.work.settle(job)
            case "posted":
                self.desk.result(job.command, records.SUMMARY, "UNCHANGED", message="this summary is posted already")
                self.desk.end(job)
            case _:
                text = f"The ledger knows no closed summary {job.command['order_id']}: its orders are collected anew."
                self.desk.refuse(job, Refusal(ErrorClass.HELD, "summary_unknown", text, DECIDE))
                self.desk.end(job)
        return True

    def _sales_under_way(self, job: Job) -> bool:
        """Refunds of a day close behind its sales: those of orders of the same day come once these are posted, and go
        into the same credit note. Not behind a summary that has a letter, which may be long."""
        if job.command["kind"] != "REFUND":
            return False
        sales, supplement = records.sales_of_day(job.command["key"]), 1
        while True:
            home = records.invoice_key(sales if supplement == 1 else f"{sales}-{supplement}")
            entry = self.desk.entry(home)
            if entry is None:
                return False
            if entry["state"] == "WAITING" or home in self.desk.jobs:
                return True
            supplement += 1

    def _sale(self, job: Job, entry: LedgerEntry | None) -> bool:
        sale = cast(Sale, job.command["body"])
        part = sale.get("summary")
        if entry is not None and records.collected(entry):
            return self._again(job, entry, part)
        if entry is not None and entry["kind"] == records.ORDER and records.paid(entry):
            if records.newer(job.command, entry) and sale["money_hash"] != entry["hash"]:
                self._held(job, entry)
                return True
            return False
        if entry is not None and _stamp(job.command) <= entry["extra"].get(_LEFT, ""):
            self._left(job, entry, "a newer version of the order left its summary, and is posted by itself")
            return True
        if part is None or (entry is not None and _begun(entry, job.command)):
            return False
        self._collect(job, part)
        return True

    # -- in ------------------------------------------------------------------------------------------------------

    def _collect(self, job: Job, part: Summary) -> None:
        """The order into its day's open summary, in one transaction: its own entry, the member's, the summary's."""
        key, number = self._open(job, part)
        self.desk.write(self._kept(job, self.desk.fresh(job.home, records.ORDER), key, number))
        self._member(job, key, number, job.command["key"])
        self._said(job, key, number, "order")

    def _kept(self, job: Job, entry: LedgerEntry, key: str, number: str) -> LedgerEntry:
        self.desk.parked.pop(job.home, None)  # if it waited: it is no longer driven by itself
        return self.kept(job, entry, key, number)

    @staticmethod
    def kept(job: Job, entry: LedgerEntry, key: str, number: str) -> LedgerEntry:
        """The entry of what is collected, with its command."""
        body = cast(Sale | RefundNote, job.command["body"])
        entry = records.settled(entry)
        entry["kind"] = records.ORDER if job.command["kind"] == "SALE" else records.PART
        entry["state"], entry["xero_id"], entry["status"], entry["intention"] = records.COLLECTED, None, None, None
        entry["command"], entry["command_offset"], entry["retry_at"] = job.value, job.origin, None
        entry["number"], entry["contact_id"], entry["reason"] = number, None, f"in summary {number}"
        entry["version"], entry["observed_at"] = job.command["version"], job.command["observed_at"]
        entry["total"], entry["total_tax"], entry["currency"] = body["total"], body["total_tax"], body["currency"]
        entry["hash"] = cast(Any, body).get("money_hash")
        entry["extra"] = {**entry["extra"], **records.kept_headers(job), "summary": key}
        return entry

    def _member(self, job: Job, key: str, number: str, name: str) -> None:
        body = cast(Sale | RefundNote, job.command["body"])
        member = self.desk.fresh(records.member_key(key, name), records.MEMBER)
        new = not records.collected(member)
        member["state"], member["number"], member["version"] = records.COLLECTED, number, job.command["version"]
        member["total"], member["total_tax"], member["currency"] = body["total"], body["total_tax"], body["currency"]
        member["reason"] = None
        self.desk.write(member)
        self._counted(key, int(new))

    def _said(self, job: Job, key: str, number: str, kind: str) -> None:
        closes = self.desk.entry(records.invoice_key(key))
        when = closes["extra"]["closes_at"] if closes is not None else ""
        text = f"collected into summary {number}, which closes at {when}"
        body = cast(Sale | RefundNote, job.command["body"])
        self.desk.result(
            job.command, kind, "WAITING", status=records.COLLECTED, message=text, number=number, total=body["total"],
            total_tax=body["total_tax"], currency=body["currency"],
            findings=[*job.command["findings"], *self.desk.told(job)],
        )  # fmt: skip
        self.desk.end(job)

    def _open(self, job: Job, part: Summary) -> tuple[str, str]:
        """The day's summary that takes orders: its key and number. A closed one stays as it is: the next is opened."""
        base, supplement = records.summary_key(job.command, part), 1
        while True:
            end = "" if supplement == 1 else f"-{supplement}"
            key = base + end
            entry = self.desk.entry(records.invoice_key(key))
            if entry is None:
                self._opened(job, part, key, f"{part['number']}{end}")
            elif entry["extra"].get("phase") != OPEN:
                supplement += 1
                continue
            return key, f"{part['number']}{end}" if entry is None else entry["extra"]["number"]

    def _opened(self, job: Job, part: Summary, key: str, number: str) -> None:
        sale = self.desk.entry(job.home) if job.command["kind"] == "REFUND" else None
        entry = self.begun(self.desk.org, job.command, part, key, number, sale, self.desk.now.at)
        entry["command"], entry["command_offset"] = self.work.encode(opened(job.command, key, number)), -1
        entry["reason"], entry["retry_at"] = "takes orders", part["closes_at"]
        self.desk.write(entry)

    @staticmethod
    def begun(
        org: str, command: Command, part: Summary, key: str, number: str, sale: LedgerEntry | None, at: datetime
    ) -> LedgerEntry:
        """The entry of a summary that takes orders, without its command. `sale`: the entry of the order that the first
        refund gives back of, whose contact is the credit note's."""
        kind = "invoice" if command["kind"] == "SALE" else records.SUMMARY
        entry = records.entry(org, records.invoice_key(key), kind, at)
        entry["state"], entry["number"] = "WAITING", number
        entry["currency"] = cast(Sale | RefundNote, command["body"])["currency"]
        entry["contact_id"] = sale["contact_id"] if sale is not None else None
        entry["extra"] = {
            "phase": OPEN, "number": number, "day": part["day"], "closes_at": part["closes_at"].isoformat(),
            "members": "0",
        }  # fmt: skip
        return entry

    def _counted(self, key: str, more: int) -> None:
        """A member has come, gone or changed: the summary closes when no other does so for a while."""
        home = records.invoice_key(key)
        self.work.interrupt(home)
        entry = self.desk.fresh(home, "invoice")
        entry["extra"] = {**entry["extra"], "members": str(int(entry["extra"]["members"]) + more)}
        quiet = self.desk.now.at + timedelta(seconds=self.desk.settings.summary_quiet)
        entry["retry_at"] = max(datetime.fromisoformat(entry["extra"]["closes_at"]), quiet)
        self.desk.write(entry)

    # -- again, and out ------------------------------------------------------------------------------------------

    def _again(self, job: Job, entry: LedgerEntry, part: Summary | None) -> bool:
        """Another version of a collected order. True: seen to."""
        key, number = entry["extra"]["summary"], entry["number"]
        sale = cast(Sale, job.command["body"])
        if not records.newer(job.command, entry):
            self._left(job, entry, f"version {_shown(entry)} is in summary {number} already")
        elif not self._is_open(key):
            if sale["money_hash"] == entry["hash"]:
                self.desk.write(records.with_newer_held(entry, None))
                self._left(job, entry, f"same money as the version in summary {number}, which is closed")
            else:
                self._held(job, entry)
        elif part is not None and _same_day(key, records.summary_key(job.command, part)):
            self._replace(job, entry, key)
        else:  # another day or currency, or by itself from now on
            self._superseded(entry)
            self._take_out(job, key, job.command["key"], f"version {job.command['version'].isoformat()} is not of it")
            if part is None:
                self._by_itself(entry)
                return False
            self._collect(job, part)
        return True

    def _superseded(self, entry: LedgerEntry) -> None:
        self.desk.superseded(self.desk.decode(entry["command"] or b""))

    def _replace(self, job: Job, entry: LedgerEntry, key: str) -> None:
        self._superseded(entry)
        number = str(entry["number"])
        self.desk.write(self._kept(job, entry.copy(), key, number))
        self._member(job, key, number, job.command["key"])
        self._said(job, key, number, "order")

    def _by_itself(self, entry: LedgerEntry) -> None:
        freed = records.settled(entry.copy())
        freed["kind"], freed["state"], freed["number"], freed["reason"] = "invoice", "INTENDED", None, None
        freed["hash"], freed["version"], freed["observed_at"] = None, None, None
        freed["total"], freed["total_tax"] = None, None
        # A record that was read before an earlier one had ended is read again after a restart: it stays left.
        stamp = _stamp(self.desk.decode(entry["command"] or b""))
        freed["extra"] = records.without(freed, "summary") | {_LEFT: stamp}
        self.desk.write(freed)

    def _cancel(self, job: Job, entry: LedgerEntry) -> None:
        key = entry["extra"]["summary"]
        if records.age(job.command) < (entry["version"], entry["observed_at"]):
            self._left(job, entry, f"a newer version is in summary {entry['number']}")
        elif not self._is_open(key):
            text = f"Deleted in Kentico, and in the closed summary {entry['number']}."
            hint = "If the money was returned, give it back in Xero by hand, then `k2x dlt redrive --decision skip`."
            self.desk.write(records.with_newer_held(entry, "deleted_after_posting"))
            self.desk.refuse(job, Refusal(ErrorClass.HELD, "deleted_after_posting", text, hint))
            self.desk.end(job)
        else:
            self._superseded(entry)
            self._take_out(job, key, job.command["key"], "deleted in Kentico")
            self._by_itself(entry)
            gone = self.desk.fresh(job.home, "invoice")
            records.deleted(gone, job.command)
            self.desk.result(job.command, "order", "CANCELLED", message="deleted in Kentico before its summary closed")
            self.desk.end(job, gone)

    def _take_out(self, job: Job, key: str, name: str, why: str) -> None:
        member = self.desk.fresh(records.member_key(key, name), records.MEMBER)
        member["state"], member["reason"] = "VOIDED", why
        self.desk.write(member)
        self._counted(key, -1)

    def _is_open(self, key: str) -> bool:
        entry = self.desk.entry(records.invoice_key(key))
        return entry is not None and entry["extra"].get("phase") == OPEN

    def _left(self, job: Job, entry: LedgerEntry, why: str) -> None:
        self.desk.result(job.command, records.told_as(job.command), "UNCHANGED", number=entry["number"], message=why)
        self.desk.end(job)

    def _held(self, job: Job, entry: LedgerEntry) -> None:
        """Other money than what a closed summary holds. A reissue would credit a whole day: a person decides."""
        body = cast(Sale | RefundNote, job.command["body"])
        text = (
            f"In summary {entry['number']} as {entry['total']} {entry['currency']}, tax {entry['total_tax']}. "
            f"This version: {body['total']} {body['currency']}, tax {body['total_tax']}. An order in a summary is "
            "not reissued."
        )
        code = "other_money" if job.command["kind"] == "SALE" else "refund_differs"
        if records.collected(entry):
            self.desk.write(records.with_newer_held(entry, code))
        self.desk.refuse(job, Refusal(ErrorClass.HELD, code, text, DECIDE), records.told_as(job.command))
        self.desk.end(job)

    # -- refunds -------------------------------------------------------------------------------------------------

    def _refund(self, job: Job, sale: LedgerEntry | None) -> bool:
        """A refund of an order that a posted summary holds goes into its own day's credit note."""
        note = cast(RefundNote, job.command["body"])
        own_key = records.credit_key(job.command["key"], note["refund_id"])
        own, part = self.desk.entry(own_key), note.get("summary")
        if own is not None and records.collected(own):
            same = own["currency"] == note["currency"] and Decimal(own["total"] or "0") == Decimal(note["total"])
            if same:
                self._left(job, own, f"this refund is in summary {own['number']} already")
            else:
                self._held(job, own)
            return True
        if part is None or sale is None or sale["kind"] != records.ORDER or not records.paid(sale):
            return False
        if own is not None and (own["xero_id"] or own["intention"] is not None or own["state"] == "POSTED"):
            return False
        if records.left(sale, note) < Decimal(note["total"]):
            return False  # too much: said where every refund is
        key, number = self._open(job, part)
        taken = records.settled(sale.copy()) if job.parked else sale.copy()
        taken["state"] = cast(Any, records.standing(sale))
        taken["extra"] = {**taken["extra"], records.share(note["refund_id"]): note["total"]}
        self.desk.write(taken)
        self.desk.write(self._kept(job, self.desk.fresh(own_key, records.PART), key, number))
        self._member(job, key, number, f"{job.command['key']}|{note['refund_id']}")
        self._said(job, key, number, "order_refund")
        return True


def _begun(entry: LedgerEntry, command: Command) -> bool:
    """Posted by itself, on its way to that, or deleted since: what the ledger says of it goes before the rule."""
    if records.cancelled(entry):
        return command["version"] <= (entry["version"] or command["version"])
    under_way = entry["xero_id"] is not None or entry["intention"] is not None or records.generation(entry) > 1
    return under_way or records.standing(entry) in ("HELD", "POSTED")


def _stamp(command: Command) -> str:
    """Its age as text that sorts as it does."""
    return " ".join(at.isoformat(timespec="microseconds") for at in records.age(command))


def _shown(entry: LedgerEntry) -> str:
    return entry["version"].isoformat() if entry["version"] is not None else ""


def _same_day(key: str, base: str) -> bool:
    """Whether a summary is the day's first one or a supplement of it."""
    return key == base or key.startswith(f"{base}-")
