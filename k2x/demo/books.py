"""Reads the Xero sandbox's books and request log through its export, as the audit's plain data."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx

from k2x.audit import documents
from k2x.audit.documents import BankDocument, CreditNote, Invoice, Payment
from k2x.errors import SandboxFailed


class Books:
    """The sandbox at `url`. Every figure comes from its export, none from k2x."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def export(self, org: str) -> dict[str, Any]:
        """All documents of an organisation, numbers as Decimal."""
        exported: dict[str, Any] = self._get(f"/_sandbox/books/{org}")
        return exported

    def documents(self, org: str) -> tuple[list[Invoice], list[CreditNote], list[Payment]]:
        """Sales invoices, sales credit notes and payments, as the audit reads them from Xero itself."""
        books = self.export(org)
        invoices = [documents.invoice(org, row) for row in books["invoices"] if row["Type"] == "ACCREC"]
        notes = [documents.credit_note(org, row) for row in books["credit_notes"] if row["Type"] == "ACCRECCREDIT"]
        return invoices, notes, [documents.payment(org, row) for row in books["payments"] if "Invoice" in row]

    def bank(self, org: str) -> list[BankDocument]:
        """Money spent, received and moved between bank accounts; the sides of transfers are left out."""
        books = self.export(org)
        spent = (documents.bank_transaction(org, row) for row in books["bank_transactions"])
        own = [one for one in spent if not one.type.endswith("-TRANSFER")]
        return own + [documents.bank_transfer(org, row) for row in books["bank_transfers"]]

    def calls(self, org: str) -> int:
        """Requests to the accounting API so far, refused ones included."""
        return sum(int(row["calls"]) for row in self.request_rows(org))

    def refused(self, org: str) -> int:
        """429 answers so far."""
        return sum(int(row["calls"]) for row in self.request_rows(org) if int(row["status"]) == 429)

    def request_rows(self, org: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._get(f"/_sandbox/requests?org={org}")["counts"]
        return rows

    def _get(self, path: str) -> Any:
        try:
            answer = httpx.get(self._url + path, timeout=60.0)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise SandboxFailed(f"the Xero sandbox at {self._url} does not answer {path}: {error}") from error
        return json.loads(answer.content, parse_float=Decimal)
