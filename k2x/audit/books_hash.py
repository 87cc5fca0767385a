"""One number for an organisation's sales books: equal where two hold the same documents, sums and payments. Pure.

Documents are invoices and credit notes; books without any credit note have the number they would have without these.
`sums_hash` is a second number, which takes a day's summary and its supplements for one: how many of them a day has
depends on when its orders came, and a rebuilt organisation has one.

Xero's own ids and times are left out, and so is what is voided or deleted: it counts in no report. So a rebuilt
organisation can be compared with the first one, whatever day it was rebuilt on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

Document = Mapping[str, Any]

_GONE = frozenset({"VOIDED", "DELETED"})
_SUMMARY = re.compile(r"^(?P<day>.*S\d{8}-[A-Z]{3})(-\d+)?$")
_DATE = re.compile(r"^/Date\((-?\d+)([+-]\d{4})?\)/$")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def books_hash(
    invoices: Iterable[Document], payments: Iterable[Document], credit_notes: Iterable[Document] = ()
) -> str:
    """sha256 over `entries`. Documents as `GET Invoices` and `GET CreditNotes` (paged, so with lines) and
    `GET Payments` show them."""
    return _hash(entries(invoices, payments, credit_notes))


def entries(
    invoices: Iterable[Document], payments: Iterable[Document], credit_notes: Iterable[Document] = ()
) -> list[str]:
    """The books as sorted lines of text, one a document or a payment: two that differ can be compared by eye."""
    sales = [row for row in invoices if row.get("Type") == "ACCREC" and row.get("Status") not in _GONE]
    notes = [row for row in credit_notes if row.get("Type") == "ACCRECCREDIT" and row.get("Status") not in _GONE]
    numbers = {str(row["InvoiceID"]): str(row.get("InvoiceNumber") or "") for row in sales}
    numbers |= {str(row["CreditNoteID"]): str(row.get("CreditNoteNumber") or "") for row in notes}
    paid = (row for row in payments if row.get("Status") not in _GONE)
    return sorted([*map(_invoice, sales), *map(_credit_note, notes), *_payments(paid, numbers)])


def sums_hash(invoices: Iterable[Document], payments: Iterable[Document], credit_notes: Iterable[Document] = ()) -> str:
    """sha256 over `summed_entries`. Documents as for `books_hash`."""
    return _hash(summed_entries(invoices, payments, credit_notes))


def summed_entries(
    invoices: Iterable[Document], payments: Iterable[Document], credit_notes: Iterable[Document] = ()
) -> list[str]:
    """`entries`, but a day's summaries of a store as sums: net and tax by account, tax type and tracking, and money by
    account and day."""
    sales, notes, money = list(invoices), list(credit_notes), list(payments)
    daily = [row for row in (*sales, *notes) if _day_of(row) and row.get("Status") not in _GONE]
    names = {_id(row): _day_of(row) for row in daily}
    others = [row for row in sales if _id(row) not in names], [row for row in notes if _id(row) not in names]
    alone = entries(others[0], money, others[1])
    sums: dict[tuple[str, str], list[Decimal]] = {}
    for row in daily:
        contact = (row.get("Contact") or {}).get("ContactNumber") or "-"
        head = f"{_texts(row, 'Status', 'CurrencyCode')} contact {contact} {_day(row, 'Date')}"
        _add(sums, (names[_id(row)], head), row, "Total", "TotalTax")
        for line in row.get("LineItems") or ():
            tracking = sorted(f"{one.get('Name')}={one.get('Option')}" for one in line.get("Tracking") or ())
            what = f"{_texts(line, 'AccountCode', 'TaxType')} {tracking}"
            _add(sums, (names[_id(row)], what), line, "LineAmount", "TaxAmount")
    for row in money:
        name = names.get(str((row.get("Invoice") or {}).get("InvoiceID")))
        if name is not None and row.get("Status") not in _GONE:
            code = (row.get("Account") or {}).get("Code") or "-"
            _add(sums, (name, f"payment account {code} {_day(row, 'Date')}"), row, "Amount", "BankAmount")
    summed = (f"summary {name} | {what} | {_sums(amounts)}" for (name, what), amounts in sums.items() if any(amounts))
    return sorted([*alone, *summed])


def _hash(texts: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for entry in texts:
        whole.update(entry.encode())
        whole.update(b"\n")
    return whole.hexdigest()


def _day_of(row: Document) -> str:
    """A summary's number without its supplement's; empty for any other document."""
    match = _SUMMARY.match(str(row.get("InvoiceNumber") or row.get("CreditNoteNumber") or ""))
    return match["day"] if match is not None else ""


def _id(row: Document) -> str:
    return str(row.get("InvoiceID") or row.get("CreditNoteID") or "")


def _add(sums: dict[tuple[str, str], list[Decimal]], name: tuple[str, str], row: Document, *amounts: str) -> None:
    before = sums.setdefault(name, [Decimal(0)] * len(amounts))
    sums[name] = [one + Decimal(str(row.get(key) or 0)) for one, key in zip(before, amounts, strict=True)]


def _sums(amounts: Iterable[Decimal]) -> str:
    return " ".join(f"{amount.normalize():f}" for amount in amounts)


def _invoice(row: Document) -> str:
    lines = "; ".join(_line(line) for line in row.get("LineItems") or ())
    return " | ".join(
        [
            f"invoice {row.get('InvoiceNumber')}",
            _texts(row, "Reference", "Status", "LineAmountTypes", "CurrencyCode"),
            f"contact {(row.get('Contact') or {}).get('ContactNumber') or '-'}",
            f"{_day(row, 'Date')} due {_day(row, 'DueDate')}",
            _numbers(row, "CurrencyRate", "SubTotal", "TotalTax", "Total", "AmountDue", "AmountPaid"),
            lines,
        ]
    )


def _credit_note(row: Document) -> str:
    lines = "; ".join(_line(line) for line in row.get("LineItems") or ())
    used = ((one.get("Invoice") or {}, one) for one in row.get("Allocations") or ())
    allocated = sorted(f"{invoice.get('InvoiceNumber')} {_numbers(one, 'Amount')}" for invoice, one in used)
    return " | ".join(
        [
            f"credit note {row.get('CreditNoteNumber')}",
            _texts(row, "Reference", "Status", "LineAmountTypes", "CurrencyCode"),
            f"contact {(row.get('Contact') or {}).get('ContactNumber') or '-'}",
            _day(row, "Date"),
            _numbers(row, "CurrencyRate", "SubTotal", "TotalTax", "Total", "RemainingCredit"),
            *([f"allocated {', '.join(allocated)}"] if allocated else []),
            lines,
        ]
    )


def _line(line: Document) -> str:
    tracking = sorted(f"{one.get('Name')}={one.get('Option')}" for one in line.get("Tracking") or ())
    texts = _texts(line, "Description", "ItemCode", "AccountCode", "TaxType")
    return f"{texts} {_numbers(line, 'Quantity', 'UnitAmount', 'DiscountAmount', 'TaxAmount', 'LineAmount')} {tracking}"


def _payments(rows: Iterable[Document], numbers: Mapping[str, str]) -> Iterator[str]:
    for row in rows:
        number = numbers.get(str((row.get("Invoice") or {}).get("InvoiceID")))
        if number is not None:
            account = (row.get("Account") or {}).get("Code") or "-"
            amounts = _numbers(row, "Amount", "BankAmount", "CurrencyRate")
            yield f"payment {number} | account {account} {_day(row, 'Date')} | {amounts} | {row.get('Reference') or ''}"


def _texts(row: Document, *names: str) -> str:
    return " ".join(f"{name}={' '.join(str(row.get(name) or '').split())}" for name in names)


def _numbers(row: Document, *names: str) -> str:
    """Plain decimals without the zeros at their end: 12.50, 12.5 and 12.5000 are one amount."""
    shown = ((name, Decimal(str(row[name]))) for name in names if row.get(name) is not None)
    return " ".join(f"{name}={value.normalize():f}" for name, value in shown)


def _day(row: Document, name: str) -> str:
    text = str(row.get(f"{name}String") or row.get(name) or "")
    match = _DATE.match(text)
    if match is None:
        return text[:10]
    return (_EPOCH + timedelta(milliseconds=int(match[1]))).date().isoformat()
