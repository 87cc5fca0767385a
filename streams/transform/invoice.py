"""The invoice's document: number, reference and Xero's own JSON with exact numbers (BOOKKEEPING §2). Pure."""

from __future__ import annotations

from typing import Any

import orjson

from streams.transform import fields
from streams.transform.context import Draft, Line
from streams.transform.errors import invalid
from streams.transform.money import number

TEXT_LIMIT = 255  # InvoiceNumber, Reference
_UNUSABLE = frozenset(" ,/\t\r\n")  # the payment marker is `<number>/<ordinal>`; read-backs list numbers with commas


def invoice(draft: Draft) -> None:
    """InvoiceNumber, Reference, and the invoice as JSON without Contact and InvoiceNumber."""
    fields.apply(draft)
    draft.number = _number(draft)
    draft.reference = _reference(draft)
    document: dict[str, Any] = {
        "Type": "ACCREC",
        "Status": "AUTHORISED",
        "Reference": draft.reference,
        "Date": draft.date.isoformat(),
        "DueDate": draft.due_date.isoformat(),
        "CurrencyCode": draft.currency,
    }
    if draft.rate is not None:
        document["CurrencyRate"] = number(draft.rate)
    document["LineAmountTypes"] = "Inclusive" if draft.inclusive else "Exclusive"
    document["LineItems"] = [_line(draft, line) for line in draft.lines]
    draft.invoice = orjson.dumps(document).decode()


def _line(draft: Draft, line: Line) -> dict[str, Any]:
    written: dict[str, Any] = {
        "Description": line.description,
        "Quantity": number(line.quantity),
        "UnitAmount": number(line.unit_amount),
    }
    if line.discount:
        written["DiscountAmount"] = number(line.discount)
    written["AccountCode"] = line.account_code
    written["TaxType"] = line.tax_type
    if line.tax_amount is not None:
        written["TaxAmount"] = number(line.tax_amount)
    if line.item_code:
        written["ItemCode"] = line.item_code
    if line.tracking:
        written["Tracking"] = line.tracking
    return written


def _number(draft: Draft) -> str:
    rules, order = draft.store.rules, draft.order["order"]
    if rules.number_from == "OrderID":
        return f"{rules.prefix}{order['OrderID']}"
    own = (order["OrderInvoiceNumber"] or "").strip()
    if not own:
        raise invalid(
            "invoice_number_missing",
            f"{draft.who} has no OrderInvoiceNumber, which the rule number_from asks for",
            "Kentico gives it late: the order's next version brings it. Else set number_from: OrderID.",
        )
    if _UNUSABLE & set(own) or not own.isprintable() or len(rules.prefix) + len(own) > TEXT_LIMIT:
        raise invalid(
            "invoice_number_unusable",
            f"{draft.who}: OrderInvoiceNumber {own[:60]!r} cannot be an InvoiceNumber: no spaces, commas and slashes, "
            f"at most {TEXT_LIMIT} characters",
            "Change CMSStoreInvoiceNumberPattern in Kentico, or set number_from: OrderID.",
        )
    return f"{rules.prefix}{own}"


def _reference(draft: Draft) -> str:
    column, value = fields.reference(draft)
    if not value:
        return str(draft.order["order"]["OrderID"])
    if len(value) > TEXT_LIMIT:
        draft.findings.append(f"{column} was cut to {TEXT_LIMIT} characters for the Reference")
    return value[:TEXT_LIMIT]
