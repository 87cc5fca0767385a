"""The sales invoices that Xero holds, by number, as `plan --look` has read them: on disk, so that memory is flat."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from k2x.audit.documents import Invoice

_TABLE = "CREATE TABLE invoice(number TEXT COLLATE NOCASE PRIMARY KEY, row TEXT NOT NULL) WITHOUT ROWID"


class Looked:
    """A `k2x.replay.paper.Books`. A living invoice comes before one that is voided or deleted."""

    def __init__(self, path: Path, pages: Iterable[list[Invoice]], say: Callable[[int], None]) -> None:
        self._db = sqlite3.connect(path)
        self._db.execute(_TABLE)
        self.count = 0
        for page in pages:
            self.count += len(page)
            for found in sorted(page, key=lambda invoice: invoice.living):
                kept = "REPLACE" if found.living else "IGNORE"
                row = json.dumps(_shown(found), default=str)
                self._db.execute(f"INSERT OR {kept} INTO invoice VALUES(?, ?)", (found.number, row))
            say(self.count)
        self._db.commit()

    def invoice(self, number: str) -> Mapping[str, Any] | None:
        """As Xero shows it, less its lines."""
        found = self._db.execute("SELECT row FROM invoice WHERE number = ?", (number,)).fetchone()
        shown: dict[str, Any] | None = json.loads(found[0], parse_float=Decimal) if found else None
        return shown

    def credit_note(self, number: str) -> Mapping[str, Any] | None:
        """None: `--look` reads sales invoices; of a refund only the ledger is asked."""
        return None

    def close(self) -> None:
        self._db.close()


def _shown(found: Invoice) -> dict[str, Any]:
    return {
        "Type": "ACCREC",
        "InvoiceID": found.id,
        "InvoiceNumber": found.number,
        "Reference": found.reference,
        "Contact": {"ContactID": found.contact_id},
        "Status": found.status,
        "CurrencyCode": found.currency,
        "Total": found.total,
        "TotalTax": found.total_tax,
        "AmountDue": found.amount_due,
        "Payments": [
            {"PaymentID": paid.id, "Reference": paid.reference, "Amount": paid.amount, "Status": paid.status}
            for paid in found.payments
        ],
    }
