"""The refunds of a lost ledger, decided anew, as `rebuild` does it for the orders that they belong to.

Guarantees: a refund is taken for made only if Xero holds its credit note, equal and used up by our own payments, or if
its part that is there is restored with it; it is taken for refused or held only if a result says so; every other one
waits in the ledger, so that none is lost, and none is paid out a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, cast

from connectors.xero import batch, compare
from connectors.xero.core import answers, records
from connectors.xero.core.events import Record
from connectors.xero.core.said import Said
from connectors.xero.core.state import Job, Step
from connectors.xero.core.unpaid import fixed_plan, nothing_due, paid_by_account, planned, shared_out
from schemas.types import Command, LedgerEntry, RefundNote, Tender

CreditNote = Mapping[str, Any]
_WAITED = "waited when the ledger was lost"


class Credits(Protocol):
    """The sales invoices and credit notes of Xero, payments and lines included."""

    def by_number(self, number: str) -> Mapping[str, Any] | None: ...

    def credit_by_number(self, number: str) -> CreditNote | None: ...


class RefundRestoration:
    """`entry` reads the ledger as it will be, `write` changes it."""

    def __init__(
        self,
        org: str,
        books: Credits,
        now: Callable[[], datetime],
        entry: Callable[[str], LedgerEntry | None],
        write: Callable[[LedgerEntry], None],
    ) -> None:
        self.org, self.books, self._now, self._entry, self._write = org, books, now, entry, write

    def adopt(self, command: Command) -> bool:
        """Restore what is in Xero as the command wants it. True: that does not say all."""
        note, sale = cast(RefundNote, command["body"]), self._entry(records.home(command))
        key = records.credit_key(command["key"], note["refund_id"])
        known = self._entry(key)
        if known is not None:
            return known["status"] != "PAID"
        if sale is None or not sale["xero_id"]:
            return True
        number = f"CN-{sale['number']}-{note['refund_id']}" if sale["kind"] != records.ORDER else note["number"]
        found = self.books.credit_by_number(number)
        if found is None or compare.credit_note(note, number, None, found):
            return True
        entry = self._posted(command, note, key, number, found)
        put = self._allocated(command, note, entry, found)
        note = planned(note, entry)
        there = [
            self.paid(command, {**note, "number": number}, tender, found, self._money_key(command, note, tender))
            for tender in note["payments"]
        ]
        left = found.get("RemainingCredit")
        if all(there) and left is not None and Decimal(str(left)) == 0:
            entry["status"] = "PAID"
            if put is not None and nothing_due(put, paid_by_account(self._entry, command["key"], put), entry):
                self._write(put)
        self._write(entry)
        return entry["status"] != "PAID"

    def _allocated(
        self, command: Command, note: RefundNote, entry: LedgerEntry, found: CreditNote
    ) -> LedgerEntry | None:
        """What of it was put to the invoice, which was unpaid, and by which means the rest goes back; the sale's entry.
        None: nothing was."""
        sale = self._entry(records.home(command))
        if sale is None:
            return None
        own = str(sale["xero_id"])
        put = sum((Decimal(str(row["Amount"])) for row in answers.allocations(found, own)), Decimal(0))
        if not put:
            return None
        paid = paid_by_account(self._entry, command["key"], sale)
        parts = shared_out(note["payments"], Decimal(note["total"]) - put, paid)
        entry["extra"] = {**entry["extra"], **fixed_plan(put, parts)}
        key = records.allocation_key(command["key"], note["refund_id"])
        made = records.entry(self.org, key, "allocation", self._now())
        records.put_to_invoice(made, command, entry, put, own)
        made["attempt"] = 1
        self._write(made)
        sale = records.with_allocated(sale, put)
        self._write(sale)
        return sale

    def decide(self, record: Record, command: Command, said: Said) -> None:
        """A refund that `adopt` left open, with the results about its order's refunds."""
        if not self.adopt(command):
            return
        note, home = cast(RefundNote, command["body"]), records.home(command)
        key = records.credit_key(command["key"], note["refund_id"])
        outcome, message = said.of(command["command_id"])
        known, sale = self._entry(key), self._entry(home)
        if known is None and outcome in ("REFUSED", "HELD"):
            entry = records.entry(self.org, key, "credit_note", self._now())
            state: Any = "REFUSED"
            entry["state"], entry["reason"], entry["attempt"] = state, message, 1
            self._write(entry)
        elif known is None and outcome == "POSTED" and sale is not None and self._voided(command, said, sale):
            return
        elif known is None and outcome == "POSTED":
            return  # made, and gone from Xero since: a person did that
        else:
            self._waits(record, command, home, sale)

    def _voided(self, command: Command, said: Said, sale: LedgerEntry) -> bool:
        """The sale was unpaid, and its invoice was voided for this refund: its result has the invoice's number."""
        number = said.numbers.get(command["command_id"])
        found = self.books.by_number(number) if number else None
        if number != sale["number"] or found is None or not compare.gone(found):
            return False
        gone = records.voided_for(sale, cast(RefundNote, command["body"]))
        gone["xero_id"] = str(found["InvoiceID"])
        self._write(gone)
        return True

    def _posted(self, command: Command, note: RefundNote, key: str, number: str, found: CreditNote) -> LedgerEntry:
        entry = records.entry(self.org, key, "credit_note", self._now())
        records.credited(entry, command, note, found)
        entry["number"], entry["attempt"] = number, 1
        entry["contact_id"] = str((found.get("Contact") or {}).get("ContactID") or "") or None
        sale = self._entry(records.home(command))
        if sale is not None:
            self._write({**sale, "extra": {**sale["extra"], records.share(note["refund_id"]): note["total"]}})
        return entry

    def _money_key(self, command: Command, note: RefundNote, tender: Tender) -> str:
        return records.refund_key(command["key"], note["refund_id"], tender["ordinal"])

    def paid(self, command: Command, note: RefundNote, tender: Tender, found: CreditNote, key: str) -> bool:
        """The entry of a payment of a credit note, if Xero has it."""
        number = note["number"]
        marker = batch.marker(number, tender["ordinal"])
        paid = answers.paid(found, marker)
        if paid is None or compare.payment(Decimal(tender["amount"]), paid):
            return False
        entry = records.entry(self.org, key, "refund", self._now(), tender["ordinal"])
        element = batch.payment_element(
            Step.REFUND, tender, str(found["CreditNoteID"]), batch.reference(number, tender)
        )
        records.moved(entry, command, note["currency"], tender, marker, paid)
        entry["hash"], entry["attempt"] = batch.digest(element), 1
        self._write(entry)
        return True

    def _waits(self, record: Record, command: Command, home: str, sale: LedgerEntry | None) -> None:
        """Behind whatever of its order waits; by itself where the sale is done; else until the sale comes."""
        job = Job(command, record.key, record.value, record.headers, None, record.offset, home)
        if sale is not None and sale["xero_id"] and sale["state"] != "WAITING":
            self._write(records.waiting(sale, job, _WAITED, self._now(), 0.0))
            return
        if sale is None:
            sale = records.entry(self.org, home, "invoice", self._now())
            sale["state"], sale["reason"] = "VOIDED", "a refund came before the sale"
        refund_id = cast(RefundNote, command["body"])["refund_id"]
        when = records.BEHIND if sale["state"] == "WAITING" else records.ONCE_SOLD
        self._write(records.with_next_refund(sale, when, refund_id))
        behind = records.entry(self.org, records.next_key(home, refund_id), "next", self._now())
        self._write(records.behind(behind, job, _WAITED, self._now()))
