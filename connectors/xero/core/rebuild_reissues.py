"""The reissues of a lost ledger, restored from what Xero shows: an invoice credited as a whole, and its successor.

Guarantees: an invoice is taken for credited only if Xero holds the credit note, equal to it, and for done with only if
all the money is back; one that is half done stays so, and its command goes on with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, cast

from connectors.xero import batch, compare, reversal
from connectors.xero.core import records
from connectors.xero.core.rebuild_refunds import Credits, RefundRestoration
from connectors.xero.errors import CannotBeTakenBack
from schemas.types import Command, LedgerEntry, RefundNote, Sale


class Books(Credits, Protocol):
    """Xero's sales invoices besides."""

    def by_number(self, number: str) -> Mapping[str, Any] | None: ...


class ReissueRestoration:
    """`entry` reads the ledger as it will be, `write` changes it."""

    def __init__(
        self,
        org: str,
        books: Books,
        now: Callable[[], datetime],
        entry: Callable[[str], LedgerEntry | None],
        write: Callable[[LedgerEntry], None],
        refunds: RefundRestoration,
    ) -> None:
        self.org, self.books, self._now, self._entry, self._write = org, books, now, entry, write
        self._refunds = refunds

    def credited(self, command: Command, entry: LedgerEntry) -> LedgerEntry:
        """The posted order's entry as a later version of it finds it: untouched, CREDITING, or with nothing in Xero
        under its next number yet."""
        found, note = self._credit(command, entry)
        if found is None or note is None:
            return entry
        own = self._own(command, note, found)
        there = [
            self._refunds.paid(command, note, tender, found, self._money_key(command, note, tender["ordinal"]))
            for tender in note["payments"]
        ]
        left = found.get("RemainingCredit")
        if not all(there) or left is None or Decimal(str(left)) != 0:
            self._write(own)
            crediting: LedgerEntry = {**entry, "status": records.CREDITING}
            self._write(crediting)
            return crediting
        own["status"], own["extra"] = "PAID", {}
        former, anew = records.renewed(entry, command, own)
        for changed in (own, former, anew):
            self._write(changed)
        return anew

    def _credit(self, command: Command, entry: LedgerEntry) -> tuple[Mapping[str, Any] | None, RefundNote | None]:
        """The credit note that Xero has of this invoice, and what it must be."""
        generation, sale = records.generation(entry), cast(Sale, command["body"])
        number = records.reissue_number(entry)
        found, invoice = self.books.credit_by_number(number), self.books.by_number(str(entry["number"]))
        if found is None or invoice is None:
            return None, None

        def payment(ordinal: int) -> LedgerEntry | None:
            return self._entry(records.payment_key(command["key"], ordinal, generation))

        former = reversal.Former(entry, payment)
        try:
            note = reversal.note(former, invoice, records.reissued(generation), number, sale["date"])
        except CannotBeTakenBack:
            return None, None
        return (None, None) if compare.credit_note(note, number, None, found) else (found, note)

    def _own(self, command: Command, note: RefundNote, found: Mapping[str, Any]) -> LedgerEntry:
        key = records.credit_key(command["key"], note["refund_id"])
        own = records.entry(self.org, key, "credit_note", self._now())
        records.credited(own, command, note, found)
        own["number"], own["attempt"] = note["number"], 1
        own["contact_id"] = str((found.get("Contact") or {}).get("ContactID") or "") or None
        element = batch.credit_element(note, note["number"], own["contact_id"] or "")
        own["hash"], own["extra"] = batch.digest(element), {records.NOTE: json.dumps(note, ensure_ascii=False)}
        return own

    def _money_key(self, command: Command, note: RefundNote, ordinal: int) -> str:
        return records.refund_key(command["key"], note["refund_id"], ordinal)
