"""How a daily summary is closed into one document, and its orders are told once that is PAID. Page by page.

Guarantees: what a summary holds is fixed no later than in the transaction of its document's first intention; an order
that comes, goes or changes while it is added up begins that anew; closing and settling stand in the summary's entry
alone, so a restart at any point goes on where it was, and nobody is told twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from connectors.xero.core import records
from connectors.xero.core.desk import Desk
from connectors.xero.core.state import Job
from connectors.xero.core.summary_document import Sums
from schemas.types import Command, LedgerEntry

_PAGE = 200  # members read, or settled, at one event: the lane is never busy with them for long
OPEN, CLOSED, POSTED, EMPTY = "open", "closed", "posted", "empty"
"""Phases, in a summary's extra."""


@dataclass(eq=False, slots=True)
class _Work:
    """A summary whose members are gone through: added up, or told that they are posted."""

    job: Job
    after: str = ""
    sums: Sums = field(default_factory=Sums)


class SummaryWork:
    """Of one lane. `encode` makes the bytes of a closed summary's own command; `go_on` posts it."""

    def __init__(self, desk: Desk, encode: Callable[[Command], bytes], go_on: Callable[[Job], None]) -> None:
        self.desk = desk
        self.encode = encode
        self.go_on = go_on
        self.closing: dict[str, _Work] = {}  # by the summary's home
        self.settling: dict[str, _Work] = {}

    def close(self, job: Job) -> None:
        """Its time has come: it is added up."""
        self.closing[job.home] = _Work(job)

    def settle(self, job: Job) -> None:
        """Its document is PAID: its orders are told."""
        self.settling[job.home] = _Work(job)

    def interrupt(self, home: str) -> None:
        """A member has come, gone or changed: what was added up is no longer so."""
        if self.closing.pop(home, None) is not None:
            self.desk.evict(self.desk.jobs[home])

    # -- closing -------------------------------------------------------------------------------------------------

    def go(self) -> None:
        """A page of what is to be closed or settled."""
        for work in list(self.closing.values()):
            self._close(work)
        if self.desk.flying is None:
            for work in list(self.settling.values())[:1]:
                self._settle(work)

    @property
    def more(self) -> bool:
        """There is more to go through, though nothing else may happen."""
        return bool(self.closing) or (bool(self.settling) and self.desk.flying is None)

    def _close(self, work: _Work) -> None:
        """Add a page up; after the last, what the summary holds is fixed."""
        key = work.job.command["key"]
        members = self.desk.scan(records.member_key(key, ""), work.after, _PAGE)
        for member in members:
            work.after = member["key"]
            held = self._of_member(key, member)
            if held is not None and held["command"] is not None:
                work.sums.add(member["key"], self.desk.decode(held["command"]))
        if len(members) < _PAGE:
            del self.closing[work.job.home]
            self._closed(work.job, work.sums)

    def _of_member(self, key: str, member: LedgerEntry) -> LedgerEntry | None:
        """The collected order or refund, whose own entry has the last word about which summary holds it."""
        if member["state"] != "COLLECTED":
            return None
        name = member["key"].removeprefix(records.member_key(key, ""))
        instance, order, *refund = name.split("|", 2)
        order_key = f"{instance}|{order}"
        own = records.credit_key(order_key, refund[0]) if refund else records.invoice_key(order_key)
        entry = self.desk.entry(own)
        inside = entry is not None and records.collected(entry) and entry["extra"].get("summary") == key
        return entry if inside else None

    def _closed(self, job: Job, sums: Sums) -> None:
        entry = self.desk.fresh(job.home, "invoice")
        extra = {**entry["extra"], "members": str(sums.count), "members_hash": sums.members_hash}
        if not sums.count:
            entry["state"], entry["reason"] = "VOIDED", "no order was left in it"
            entry["extra"] = {**extra, "phase": EMPTY}
            self.desk.result(job.command, records.SUMMARY, "CANCELLED", message="no order was left in it")
            self.desk.end(job, entry)
            return
        entry["extra"] = {**extra, "phase": CLOSED}
        entry["reason"] = f"closed with {sums.count} orders"
        entry["total"], entry["total_tax"] = f"{sums.total:.2f}", f"{sums.total_tax:.2f}"
        job.command = sums.sale(job.command) if job.command["kind"] == "SALE" else sums.refund(job.command)
        job.value = self.encode(job.command)
        entry["command"] = job.value
        self.desk.write(entry)
        if not sums.total:
            self.posted(job, None)
            return
        self.go_on(job)

    # -- posted --------------------------------------------------------------------------------------------------

    def posted(self, job: Job, document: LedgerEntry | None) -> None:
        """The summary's document is PAID, or none is needed: each of its orders is told."""
        self.desk.park(job, "its orders are told", self.desk.settings.moment)  # a restart goes on by the ledger
        entry = self.desk.fresh(job.home, "invoice")
        entry["extra"] = {**entry["extra"], "phase": POSTED}
        shown: dict[str, Any] = {"total": entry["total"], "total_tax": entry["total_tax"], "status": "PAID"}
        why = "its orders come to nothing: there is no document"
        if document is not None:
            names = ("xero_id", "contact_id", "number", "version", "observed_at", "hash")
            shown |= {"xero_id": document["xero_id"], "amount_due": "0"}
            for name in names if document["key"] != entry["key"] else names[:2]:
                entry[name] = document[name]  # type: ignore[literal-required]
            why = ""
        entry["state"], entry["status"], entry["reason"] = "POSTED", "PAID", None
        entry["number"] = entry["number"] or job.number
        findings = [f"{entry['extra']['members']} orders", *self.desk.told(job)]
        self.desk.result(
            job.command, records.SUMMARY, "POSTED", number=entry["number"], currency=entry["currency"],
            message=why or None, findings=findings, **shown,
        )  # fmt: skip
        self.desk.write(entry)
        self.settle(job)

    def _settle(self, work: _Work) -> None:
        """A page of members, in one transaction; after the last the summary is done."""
        job = work.job
        key = job.command["key"]
        summary = self.desk.fresh(job.home, "invoice")
        members = self.desk.scan(records.member_key(key, ""), work.after, _PAGE)
        for member in members:
            work.after = member["key"]
            held = self._of_member(key, member)
            if held is not None and held["command"] is not None:
                self._member_posted(held, member, summary)
        if len(members) < _PAGE:
            del self.settling[job.home]
            summary["state"] = "POSTED"
            self.desk.end(job, summary)

    def _member_posted(self, held: LedgerEntry, member: LedgerEntry, summary: LedgerEntry) -> None:
        value = held["command"] or b""
        command = self.desk.decode(value)
        done = records.settled(held.copy())
        done["state"], done["status"], done["reason"] = "POSTED", "PAID", None
        done["xero_id"], done["contact_id"] = summary["xero_id"], summary["contact_id"]
        self.desk.write(done)
        told = member.copy()
        told["state"], told["xero_id"], told["reason"] = "POSTED", summary["xero_id"], None
        self.desk.write(told)
        nothing = None if summary["xero_id"] else "its summary comes to nothing: there is no document"
        # Not measured by when it came: that it waits for its day's end is by rule.
        self.desk.result(
            command, records.told_as(command), "POSTED", xero_id=done["xero_id"], number=done["number"], status="PAID",
            total=done["total"], total_tax=done["total_tax"], amount_due="0", currency=done["currency"],
            received_at=None, message=nothing,
        )  # fmt: skip
        home = records.home(command)
        if command["kind"] == "SALE" and records.refunds_wait(done):
            self.desk.ended.append(Job(command, None, value, (), None, 0, home, done=True))
