"""The sales documents that Xero holds, by number, as `plan --look` has read them: on disk, so that memory is flat."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from k2x.audit.documents import CreditNote, Invoice

_TABLE = """
CREATE TABLE document(what TEXT, number TEXT COLLATE NOCASE, row TEXT NOT NULL, PRIMARY KEY(what, number)) WITHOUT ROWID
"""


class Looked:
    """A `k2x.replay.paper.Books`. A living document comes before one that is voided or deleted.

    `invoices`, `credit_notes`: how many were read.
    """

    def __init__(self, path: Path, pages: Iterable[Sequence[Invoice]], say: Callable[[int], None]) -> None:
        self._db = sqlite3.connect(path)
        self._db.execute(_TABLE)
        self.invoices = self.credit_notes = 0
        for page in pages:
            for found in sorted(page, key=lambda invoice: invoice.living):
                credit = isinstance(found, CreditNote)
                self.credit_notes += credit
                self.invoices += not credit
                kept = "REPLACE" if found.living else "IGNORE"
                row = json.dumps(_shown(found), default=str)
                values = (found.what, found.number, row)
                self._db.execute(f"INSERT OR {kept} INTO document VALUES(?, ?, ?)", values)
            say(self.invoices + self.credit_notes)
        self._db.commit()

    def invoice(self, number: str) -> Mapping[str, Any] | None:
        """As Xero shows it, less its lines."""
        return self._found(Invoice.what, number)

    def credit_note(self, number: str) -> Mapping[str, Any] | None:
        """Likewise."""
        return self._found(CreditNote.what, number)

    def _found(self, what: str, number: str) -> Mapping[str, Any] | None:
        query = "SELECT row FROM document WHERE what = ? AND number = ?"
        found = self._db.execute(query, (what, number)).fetchone()
        shown: dict[str, Any] | None = json.loads(found[0], parse_float=Decimal) if found else None
        return shown

    def close(self) -> None:
        self._db.close()


def _shown(found: Invoice) -> dict[str, Any]:
    credit = isinstance(found, CreditNote)
    name = "CreditNote" if credit else "Invoice"
    return {
        "Type": "ACCRECCREDIT" if credit else "ACCREC",
        f"{name}ID": found.id,
        f"{name}Number": found.number,
        "Reference": found.reference,
        "Contact": {"ContactID": found.contact_id},
        "Status": found.status,
        "CurrencyCode": found.currency,
        "Total": found.total,
        "TotalTax": found.total_tax,
        "RemainingCredit" if credit else "AmountDue": found.amount_due,
        "AmountPaid": found.paid,
        "AmountCredited": found.credited,  # of a credit note: allocated
        "Payments": [
            {"PaymentID": paid.id, "Reference": paid.reference, "Amount": paid.amount, "Status": paid.status}
            for paid in found.payments
        ],
    }
