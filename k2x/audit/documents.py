"""Xero's own documents as plain data, read from its JSON. Pure; shares nothing with the sink's way of reading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from k2x.audit.facts import AccountSum, account_sums

GONE = frozenset({"VOIDED", "DELETED"})
_MOMENT = re.compile(r"^/Date\((-?\d+)(?:[+-]\d{4})?\)/$")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Payment:
    """A payment on an invoice, or the money back of a credit note, whose id is then `invoice_id`. `account` and
    `account_id` are empty where only the document has shown it."""

    org: str
    id: str
    invoice_id: str
    reference: str
    amount: Decimal
    status: str = "AUTHORISED"
    account: str = ""
    account_id: str = ""
    updated_at: datetime | None = None
    bank_amount: Decimal | None = None  # in the account's currency

    @property
    def living(self) -> bool:
        return self.status not in GONE

    @property
    def marker(self) -> str:
        """What k2x finds its payments by: the first token of the reference (BOOKKEEPING §6)."""
        return self.reference.split(" ", 1)[0]


@dataclass(frozen=True)
class Invoice:
    """A sales invoice as Xero holds it. `payments`: the living ones; `sums` are empty where no lines were shown."""

    what: ClassVar[str] = "invoice"

    org: str
    id: str
    number: str
    reference: str
    status: str
    currency: str
    total: Decimal
    total_tax: Decimal
    amount_due: Decimal
    contact_id: str
    date: date | None
    payments: tuple[Payment, ...] = ()
    credited: Decimal = Decimal(0)
    sums: tuple[AccountSum, ...] = ()
    updated_at: datetime | None = None

    @property
    def living(self) -> bool:
        return self.status not in GONE

    @property
    def paid(self) -> Decimal:
        return sum((payment.amount for payment in self.payments), Decimal(0))


@dataclass(frozen=True)
class CreditNote(Invoice):
    """A sales credit note: `amount_due` is what is left of it to give back, `credited` what is allocated."""

    what: ClassVar[str] = "credit note"


def invoice(org: str, row: Mapping[str, Any]) -> Invoice:
    """An element of GET Invoices, or of the sandbox's export. Numbers must be Decimal or int."""
    due, credited = _amount(row.get("AmountDue")), _amount(row.get("AmountCredited"))
    return Invoice(**_document(org, row, "Invoice"), amount_due=due, credited=credited)


def credit_note(org: str, row: Mapping[str, Any]) -> CreditNote:
    """An element of GET CreditNotes, or of the sandbox's export."""
    allocated = sum((_amount(one.get("Amount")) for one in row.get("Allocations") or ()), Decimal(0))
    left = _amount(row.get("RemainingCredit"))
    return CreditNote(**_document(org, row, "CreditNote"), amount_due=left, credited=allocated)


def _document(org: str, row: Mapping[str, Any], name: str) -> dict[str, Any]:
    own = str(row[f"{name}ID"])
    paid = (payment(org, {**p, "Invoice": {"InvoiceID": own}}) for p in row.get("Payments") or ())
    return {
        "org": org,
        "id": own,
        "number": str(row.get(f"{name}Number") or ""),
        "reference": str(row.get("Reference") or ""),
        "status": str(row["Status"]),
        "currency": str(row.get("CurrencyCode") or ""),
        "total": _amount(row.get("Total")),
        "total_tax": _amount(row.get("TotalTax")),
        "contact_id": str((row.get("Contact") or {}).get("ContactID") or ""),
        "date": day(row),
        "payments": tuple(one for one in paid if one.living),
        "sums": account_sums(
            (
                str(x.get("AccountCode") or ""),
                str(x.get("TaxType") or ""),
                _amount(x.get("LineAmount")),
                _amount(x.get("TaxAmount")),
            )
            for x in row.get("LineItems") or ()
        ),
        "updated_at": moment(row.get("UpdatedDateUTC")),
    }


def payment(org: str, row: Mapping[str, Any]) -> Payment:
    """An element of GET Payments, or of a document's Payments."""
    account = row.get("Account") or {}
    return Payment(
        org=org,
        id=str(row["PaymentID"]),
        invoice_id=str((row.get("Invoice") or {}).get("InvoiceID") or ""),
        reference=str(row.get("Reference") or ""),
        amount=_amount(row.get("Amount")),
        status=str(row.get("Status") or "AUTHORISED"),
        account=str(account.get("Code") or ""),
        account_id=str(account.get("AccountID") or ""),
        updated_at=moment(row.get("UpdatedDateUTC")),
        bank_amount=None if row.get("BankAmount") is None else _amount(row["BankAmount"]),
    )


@dataclass(frozen=True)
class BankDocument:
    """Money spent or received (`bank_transaction`), or moved between bank accounts (`bank_transfer`): from `account_id`
    to `to_id`."""

    org: str
    id: str
    kind: str
    type: str
    reference: str
    status: str
    total: Decimal
    tax: Decimal
    date: date | None
    account_id: str
    to_id: str = ""
    updated_at: datetime | None = None

    @property
    def living(self) -> bool:
        return self.status not in GONE

    @property
    def marker(self) -> str:
        """What k2x finds its settlements by: the first token of the reference."""
        return self.reference.split(" ", 1)[0]


def bank_transaction(org: str, row: Mapping[str, Any]) -> BankDocument:
    """An element of GET BankTransactions, or of the sandbox's export. The sides of transfers are among them."""
    return BankDocument(
        org=org,
        id=str(row["BankTransactionID"]),
        kind="bank_transaction",
        type=str(row.get("Type") or ""),
        reference=str(row.get("Reference") or ""),
        status=str(row.get("Status") or "AUTHORISED"),
        total=_amount(row.get("Total")),
        tax=_amount(row.get("TotalTax")),
        date=day(row),
        account_id=str((row.get("BankAccount") or {}).get("AccountID") or ""),
        updated_at=moment(row.get("UpdatedDateUTC")),
    )


def bank_transfer(org: str, row: Mapping[str, Any]) -> BankDocument:
    """An element of GET BankTransfers, or of the sandbox's export."""
    return BankDocument(
        org=org,
        id=str(row["BankTransferID"]),
        kind="bank_transfer",
        type="transfer",
        reference=str(row.get("Reference") or ""),
        status=str(row.get("Status") or "AUTHORISED"),
        total=_amount(row.get("Amount")),
        tax=Decimal(0),
        date=day(row),
        account_id=str((row.get("FromBankAccount") or {}).get("AccountID") or ""),
        to_id=str((row.get("ToBankAccount") or {}).get("AccountID") or ""),
    )


def moment(text: Any) -> datetime | None:
    """/Date(1789344000000+0000)/: the offset only says how it was shown, the number is UTC."""
    match = _MOMENT.match(str(text or ""))
    return _EPOCH + timedelta(milliseconds=int(match[1])) if match else None


def day(row: Mapping[str, Any]) -> date | None:
    """A document's date: DateString, else Date."""
    shown = str(row.get("DateString") or "")[:10]
    if shown:
        return date.fromisoformat(shown)
    at = moment(row.get("Date"))
    return at.date() if at is not None else None


def _amount(value: Any) -> Decimal:
    return Decimal(str(value)) if value is not None else Decimal(0)
