"""Reads the Xero sandbox's books and request log through its export, as the audit's plain data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import httpx

from k2x.audit.judge import Invoice
from k2x.errors import SandboxFailed


class Books:
    """The sandbox at `url`. Every figure comes from its export, none from k2x."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def export(self, org: str) -> dict[str, Any]:
        """All documents of an organisation, numbers as Decimal."""
        exported: dict[str, Any] = self._get(f"/_sandbox/books/{org}")
        return exported

    def invoices(self, orgs: Iterable[str]) -> Iterator[Invoice]:
        for org in orgs:
            books = self.export(org)
            paid: dict[str, list[Decimal]] = {}
            for payment in books["payments"]:
                if payment["Status"] == "AUTHORISED" and "Invoice" in payment:
                    paid.setdefault(payment["Invoice"]["InvoiceID"], []).append(Decimal(payment["Amount"]))
            for invoice in books["invoices"]:
                if invoice["Type"] == "ACCREC":
                    yield _invoice(org, invoice, tuple(paid.get(invoice["InvoiceID"], ())))

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


def _invoice(org: str, document: dict[str, Any], payments: tuple[Decimal, ...]) -> Invoice:
    return Invoice(
        org=org,
        number=document["InvoiceNumber"],
        reference=document.get("Reference", ""),
        status=document["Status"],
        currency=document["CurrencyCode"],
        total=Decimal(document["Total"]),
        total_tax=Decimal(document["TotalTax"]),
        amount_due=Decimal(document["AmountDue"]),
        payments=payments,
    )
