"""The summaries of a lost ledger, decided anew from what was told of their orders and what Xero holds.

Guarantees: a summary that Xero holds is never built from other orders than those that were told its number, and never
posted again; an order that was collected is collected again, and no order is in two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, cast

from connectors.xero import compare, reference
from connectors.xero.core import records
from connectors.xero.core.events import Record
from connectors.xero.core.said import Said
from connectors.xero.core.state import Job
from connectors.xero.core.summaries import Summaries
from connectors.xero.core.summary_date import DATED
from connectors.xero.core.summary_document import opened
from connectors.xero.core.summary_work import CLOSED, OPEN, POSTED
from schemas.types import Command, LedgerEntry, RefundNote, Sale, Summary

_AGAIN = "was collected when the ledger was lost"
_ID = {"SALE": "InvoiceID", "REFUND": "CreditNoteID"}


class Documents(Protocol):
    """What Xero holds under a number."""

    def by_number(self, number: str) -> Mapping[str, Any] | None: ...

    def credit_by_number(self, number: str) -> Mapping[str, Any] | None: ...


class SummaryRestoration:
    """`entry` reads the ledger as it will be, `write` changes it."""

    def __init__(
        self,
        org: str,
        books: Documents,
        now: Callable[[], datetime],
        entry: Callable[[str], LedgerEntry | None],
        write: Callable[[LedgerEntry], None],
        encode: Callable[[Command], bytes],
    ) -> None:
        self.org, self.books, self._now, self._entry, self._write, self._encode = org, books, now, entry, write, encode

    def decide(self, record: Record, command: Command, said: Said) -> bool:
        """A finished sale or refund of a store with summaries. False: it was, or is to be, posted by itself."""
        body = cast(Sale | RefundNote, command["body"])
        part, told = body.get("summary"), said.numbers.get(command["command_id"], "")
        outcome = said.of(command["command_id"])[0]
        if part is None:
            return False
        key = self._key(command)
        known = self._entry(key)
        if known is not None and known["kind"] in (records.ORDER, records.PART) and known["state"] == "POSTED":
            self._same_money(command, known)
            return True
        if outcome not in ("WAITING", "POSTED") or not _within(told, part):
            return False
        if outcome == "WAITING" and said.posted not in (None, command["command_id"]) and command["kind"] == "SALE":
            return True  # another version of it is the one that was posted
        if known is not None and records.collected(known) and not records.newer(command, known):
            return True
        id_ = said.id if command["kind"] == "SALE" else None
        self._member(record, command, part, told, id_, posted=outcome == "POSTED")
        return True

    def cancelled(self, command: Command, said: Said) -> bool:
        """A deletion of an order that is collected. True: seen to."""
        entry = self._entry(records.home(command))
        if entry is None or not records.collected(entry):
            return False
        if said.of(command["command_id"])[0] != "CANCELLED":
            return True  # held, for its summary was closed
        member = self._entry(records.member_key(entry["extra"]["summary"], command["key"]))
        if member is not None:
            self._write({**member, "state": "VOIDED", "reason": "deleted in Kentico"})
            self._count(entry["extra"]["summary"], -1)
        return False

    def _key(self, command: Command) -> str:
        """Of the entry that says where the order, or the refund, is."""
        if command["kind"] == "SALE":
            return records.home(command)
        return records.credit_key(command["key"], cast(RefundNote, command["body"])["refund_id"])

    def _same_money(self, command: Command, known: LedgerEntry) -> None:
        body = cast(Mapping[str, Any], command["body"])
        if command["kind"] == "SALE" and records.newer(command, known) and body["money_hash"] == known["hash"]:
            self._write({**known, "version": command["version"], "observed_at": command["observed_at"]})

    # -- the entries --------------------------------------------------------------------------------------------

    def _member(
        self, record: Record, command: Command, part: Summary, number: str, id_: str | None, *, posted: bool
    ) -> None:
        """`id_`: the document's, where the results say it."""
        key = records.summary_key(command, part) + number.removeprefix(part["number"])
        summary = self._summary(command, part, key, number, posted=posted)
        job = Job(command, record.key, record.value, record.headers, None, record.offset, self._key(command))
        own = self._entry(job.home)
        kind = records.ORDER if command["kind"] == "SALE" else records.PART
        entry = Summaries.kept(job, own or records.entry(self.org, job.home, kind, self._now()), key, number)
        if posted:
            entry = records.settled(entry)
            entry["state"], entry["status"], entry["reason"] = "POSTED", "PAID", None
            entry["xero_id"], entry["contact_id"] = summary["xero_id"] or id_, summary["contact_id"]
        self._write(entry)
        name = command["key"]
        if command["kind"] == "REFUND":
            refund_id = cast(RefundNote, command["body"])["refund_id"]
            name = f"{name}|{refund_id}"
            sale = self._entry(records.home(command))
            if sale is not None:
                share = {records.share(refund_id): cast(RefundNote, command["body"])["total"]}
                self._write({**sale, "extra": {**sale["extra"], **share}})
        before = self._entry(records.member_key(key, name))
        member = before or records.entry(self.org, records.member_key(key, name), records.MEMBER, self._now())
        member = {
            **member, "state": "POSTED" if posted else "COLLECTED", "number": number, "version": entry["version"],
            "total": entry["total"], "total_tax": entry["total_tax"], "currency": entry["currency"],
            "xero_id": entry["xero_id"],
        }  # fmt: skip
        self._write(member)
        self._count(key, int(before is None))

    def _summary(self, command: Command, part: Summary, key: str, number: str, *, posted: bool) -> LedgerEntry:
        """The summary's own entry: posted, where Xero has it paid or an order was told so; closed, where Xero has it;
        else it takes orders again. The lane goes on with it in each case."""
        home = records.invoice_key(key)
        entry = self._entry(home)
        if entry is None:
            sale = self._entry(records.home(command)) if command["kind"] == "REFUND" else None
            entry = Summaries.begun(self.org, command, part, key, number, sale, self._now())
            entry["command"], entry["command_offset"] = self._encode(opened(command, key, number)), -1
            entry["reason"], entry["attempt"] = _AGAIN, 1
            entry["retry_at"] = max(part["closes_at"], self._now())
        found = self._in_xero(command, number)
        paid = found is not None and _left(found) == 0 and not compare.gone(found)
        if (posted or paid) and entry["extra"]["phase"] != POSTED:
            entry = {**entry, "extra": {**entry["extra"], "phase": POSTED, "was": "POSTED"}, "status": "PAID"}
            if found is not None:
                entry["xero_id"] = str(found[_ID[command["kind"]]])
                entry["contact_id"] = str((found.get("Contact") or {}).get("ContactID") or "") or None
                entry["total"], entry["total_tax"] = str(found.get("Total")), str(found.get("TotalTax"))
            day = _moved(found, part)
            if day:
                entry["extra"][DATED] = day
        elif found is not None and entry["extra"]["phase"] == OPEN:
            entry = {**entry, "extra": {**entry["extra"], "phase": CLOSED}}
        if entry["extra"]["phase"] != OPEN:
            entry = {**entry, "retry_at": self._now()}
        self._write(entry)
        return entry

    def _in_xero(self, command: Command, number: str) -> Mapping[str, Any] | None:
        return self.books.by_number(number) if command["kind"] == "SALE" else self.books.credit_by_number(number)

    def _count(self, key: str, more: int) -> None:
        entry = self._entry(records.invoice_key(key))
        if entry is not None and more:
            members = str(int(entry["extra"]["members"]) + more)
            self._write({**entry, "extra": {**entry["extra"], "members": members}})


def _moved(found: Mapping[str, Any] | None, part: Summary) -> str:
    """The date of a document whose day was closed when it was sent; empty: it has its day's."""
    day = reference.day((found or {}).get("DateString") or (found or {}).get("Date")) or ""
    return day if part["first_open_day"] and day > part["day"] else ""


def _within(number: str, part: Summary) -> bool:
    """Whether this is the number of the day's summary, or of a supplement."""
    return number == part["number"] or number.startswith(f"{part['number']}-")


def _left(found: Mapping[str, Any]) -> Decimal | None:
    left = found.get("AmountDue", found.get("RemainingCredit"))
    left = found.get("RemainingCredit") if left is None else left
    return None if left is None else Decimal(str(left))
