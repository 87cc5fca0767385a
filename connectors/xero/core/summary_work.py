"""How a daily summary is closed into one document, and its orders are told once that is PAID or refused. Page by page.

Guarantees: what a summary holds is fixed no later than in the transaction of its document's first intention; an order
that comes, goes or changes while it is added up begins that anew; closing, settling and telling stand in the summary's
entry alone, so a restart at any point goes on where it was, and nobody is told the same twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from connectors.xero.core import records
from connectors.xero.core.desk import Desk
from connectors.xero.core.state import Job
from connectors.xero.core.summary_date import settle_date
from connectors.xero.core.summary_document import Sums, how_many
from schemas.letters import ErrorClass
from schemas.types import Command, LedgerEntry

_PAGE = 200  # members read, or told, at one event: the lane is never busy with them for long
OPEN, CLOSED, POSTED, EMPTY = "open", "closed", "posted", "empty"
"""Phases, in a summary's extra."""
WHY = "why"
"""In a closed summary's extra while its orders are told that it has a letter, as JSON; in a member's, what it was told
last."""


@dataclass(eq=False, slots=True)
class _Work:
    """A summary whose members are gone through: added up, or told that they are posted, or why they are not."""

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
        self.books_closed: Callable[[], None] = lambda: None  # Xero says so: its lock dates are read anew
        self.explaining: dict[str, _Work] = {}

    def close(self, job: Job) -> None:
        """Its time has come: it is added up."""
        self.closing[job.home] = _Work(job)

    def settle(self, job: Job) -> None:
        """Its document is PAID: its orders are told."""
        self.settling[job.home] = _Work(job)

    def explain(self, job: Job) -> None:
        """It has a letter: its orders are told why."""
        self.explaining[job.home] = _Work(job)

    def interrupt(self, home: str) -> None:
        """A member has come, gone or changed: what was added up is no longer so."""
        if self.closing.pop(home, None) is not None:
            self.desk.evict(self.desk.jobs[home])

    # -- closing -------------------------------------------------------------------------------------------------

    def go(self) -> None:
        """A page of what is to be closed or told."""
        for work in list(self.closing.values()):
            self._close(work)
        if self.desk.flying is None:
            for work in list(self.settling.values())[:1]:
                self._settle(work)
            for work in list(self.explaining.values())[:1]:
                self._explain(work)

    @property
    def more(self) -> bool:
        """There is more to go through, though nothing else may happen."""
        telling = bool(self.settling) or bool(self.explaining)
        return bool(self.closing) or (telling and self.desk.flying is None)

    def _close(self, work: _Work) -> None:
        """Add a page up; after the last, what the summary holds is fixed."""
        for member, held in self._page(work):
            work.sums.add(member["key"], self.desk.decode(held["command"] or b""))
        if not work.after:
            del self.closing[work.job.home]
            self._closed(work.job, work.sums)

    def _page(self, work: _Work) -> list[tuple[LedgerEntry, LedgerEntry]]:
        """The next members that it holds, with their own entries; `after` is empty behind the last page."""
        key = work.job.command["key"]
        members = self.desk.scan(records.member_key(key, ""), work.after, _PAGE)
        found = []
        for member in members:
            held = self._of_member(key, member)
            if held is not None and held["command"] is not None:
                found.append((member, held))
        work.after = members[-1]["key"] if len(members) == _PAGE else ""
        return found

    def _of_member(self, key: str, member: LedgerEntry) -> LedgerEntry | None:
        """The collected order or refund, whose own entry has the last word about which summary holds it."""
        if not records.collected(member):
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
        entry["reason"] = f"closed with {how_many(sums.count)}"
        entry["total"], entry["total_tax"] = f"{sums.total:.2f}", f"{sums.total_tax:.2f}"
        job.command = sums.sale(job.command) if job.command["kind"] == "SALE" else sums.refund(job.command)
        job.value = self.encode(job.command)
        entry["command"] = job.value
        self.desk.write(entry)
        if not sums.total:
            self.posted(job, None)
            return
        self.send(job)

    def send(self, job: Job) -> None:
        """A closed summary on its way, unless its day is closed in Xero."""
        refusal = settle_date(self.desk, job)
        if refusal is None:
            self.go_on(job)
            return
        job.number = self.desk.fresh(job.home, "invoice")["extra"]["number"]
        self.desk.refuse(job, refusal)
        self.desk.end(job)

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
        findings = [f"{entry['extra']['members']} orders", *job.command["findings"], *self.desk.told(job)]
        self.desk.result(
            job.command, records.SUMMARY, "POSTED", number=entry["number"], currency=entry["currency"],
            message=why or None, findings=findings, **shown,
        )  # fmt: skip
        self.desk.write(entry)
        self.settle(job)

    def _settle(self, work: _Work) -> None:
        """A page of members, in one transaction; after the last the summary is done."""
        job = work.job
        summary = self.desk.fresh(job.home, "invoice")
        for member, held in self._page(work):
            self._member_posted(held, member, summary)
        if not work.after:
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
        code, said = records.newer_held(held)
        # Not measured by when it came: that it waits for its day's end is by rule.
        self.desk.result(
            command, records.told_as(command), "POSTED", xero_id=done["xero_id"], number=done["number"], status="PAID",
            total=done["total"], total_tax=done["total_tax"], amount_due="0", currency=done["currency"],
            received_at=None, error_code=code, message=said or nothing,
        )  # fmt: skip
        home = records.home(command)
        if command["kind"] == "SALE" and records.refunds_wait(done):
            self.desk.ended.append(Job(command, None, value, (), None, 0, home, done=True))

    # -- refused -------------------------------------------------------------------------------------------------

    def refused(self, job: Job, entry: LedgerEntry | None) -> bool:
        """A job that ends has a letter, `entry` its last word. True: it is a closed summary's, and its orders are told
        first; whoever was told the same before is not told again."""
        refusal, job.letter = job.letter, None
        summary = entry or self.desk.fresh(job.home, "invoice")
        if refusal is None or not records.of_summary(job.command) or summary["extra"].get("phase") != CLOSED:
            return False
        if refusal.error_class is ErrorClass.LOCKED_PERIOD:
            self.books_closed()
        held = refusal.error_class is ErrorClass.HELD
        if entry is None:
            summary["state"], summary["reason"] = "HELD" if held else "REFUSED", refusal.message
        why = {
            "class": str(refusal.error_class), "code": refusal.code, "message": refusal.message, "hint": refusal.hint,
            "outcome": "HELD" if held else "REFUSED",
        }  # fmt: skip
        summary["extra"] = {**summary["extra"], WHY: orjson.dumps(why).decode()}
        self.desk.keep(job, "its orders are told why", self.desk.settings.moment)
        self.desk.write(summary)
        self.explain(job)
        return True

    def _explain(self, work: _Work) -> None:
        """A page of members, in one transaction; after the last the summary rests until somebody redrives it."""
        job = work.job
        summary = self.desk.fresh(job.home, "invoice")
        text = summary["extra"][WHY]
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        for member, held in self._page(work):
            if member["extra"].get(WHY) != digest:
                self._member_refused(held, {**member, "extra": {**member["extra"], WHY: digest}}, text)
        if not work.after:
            del self.explaining[job.home]
            summary["extra"] = records.without(summary, WHY)
            self.desk.end(job, summary)

    def _member_refused(self, held: LedgerEntry, member: LedgerEntry, text: str) -> None:
        """It stays collected: the letter is the whole summary's, and so is the redrive."""
        why, command = orjson.loads(text), self.desk.decode(held["command"] or b"")
        self.desk.write(member)
        end = "is held" if why["outcome"] == "HELD" else "was refused"
        self.desk.result(
            command, records.told_as(command), why["outcome"], number=held["number"], status=records.COLLECTED,
            total=held["total"], total_tax=held["total_tax"], currency=held["currency"], received_at=None,
            error_class=why["class"], error_code=why["code"],
            message=f"Its summary {held['number']} {end}: {why['message']}",
            hint=f"One letter stands for the whole summary. {why['hint']}",
        )  # fmt: skip
