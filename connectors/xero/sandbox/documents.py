"""What the books hold: contacts, items, invoices and credit notes, payments, bank transactions and transfers.

Money is Decimal, times are UTC milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import date as Day
from decimal import Decimal
from typing import Any, Literal, TypeVar

from connectors.xero.sandbox.arithmetic import ZERO, LineAmountTypes

Row = TypeVar("Row", "Contact", "Item", "Line", "Allocation", "Document", "Payment", "BankTransaction", "BankTransfer")


@dataclass(slots=True)
class Contact:
    """`fields` holds the plain text fields under Xero's own names; addresses and phones are keyed by their type."""

    id: str
    name: str
    number: str | None = None
    status: str = "ACTIVE"
    fields: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, dict[str, str]] = field(default_factory=dict)
    phones: dict[str, dict[str, str]] = field(default_factory=dict)
    persons: list[dict[str, Any]] = field(default_factory=list)
    is_customer: bool = False
    is_supplier: bool = False
    app: str = ""
    updated: int = 0
    seq: int = 0
    merged_to: str = ""


@dataclass(slots=True)
class Item:
    """Sales and purchase details hold UnitPrice, AccountCode and TaxType where given."""

    id: str
    code: str
    name: str = ""
    description: str = ""
    purchase_description: str = ""
    sales: dict[str, Any] = field(default_factory=dict)
    purchase: dict[str, Any] = field(default_factory=dict)
    is_sold: bool = True
    is_purchased: bool = True
    inventory_account: str = ""
    updated: int = 0
    seq: int = 0


@dataclass(slots=True)
class Line:
    """A document line. `tax_sent` says that the tax amount was given by the caller and is not Xero's own sum."""

    id: str
    description: str
    quantity: Decimal
    unit_amount: Decimal
    line_amount: Decimal
    tax_amount: Decimal
    tax_type: str
    account_code: str
    account_id: str
    item_code: str = ""
    discount_rate: Decimal | None = None
    discount_amount: Decimal | None = None
    tax_sent: bool = False
    tracking: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Allocation:
    """Credit applied to an invoice: kept on both documents, `other_id` is the one on the far side."""

    id: str
    other_id: str
    amount: Decimal
    date: Day


@dataclass(slots=True)
class Document:
    """An invoice (ACCREC, ACCPAY) or a credit note (ACCRECCREDIT, ACCPAYCREDIT)."""

    id: str
    type: str
    number: str
    contact_id: str
    date: Day
    due_date: Day | None
    status: str
    line_amount_types: LineAmountTypes
    currency: str
    currency_rate: Decimal
    lines: list[Line]
    sub_total: Decimal
    total_tax: Decimal
    total: Decimal
    reference: str = ""
    url: str = ""
    paid: Decimal = ZERO
    credited: Decimal = ZERO
    payments: list[str] = field(default_factory=list)
    allocations: list[Allocation] = field(default_factory=list)
    fully_paid_on: Day | None = None
    sent_to_contact: bool = False
    app: str = ""
    updated: int = 0
    seq: int = 0

    @property
    def outstanding(self) -> Decimal:
        """AmountDue of an invoice, RemainingCredit of a credit note."""
        return self.total - self.paid - self.credited

    @property
    def is_credit(self) -> bool:
        """A credit note of either side."""
        return self.type.endswith("CREDIT")

    @property
    def is_sales(self) -> bool:
        """Of the receivable side."""
        return self.type.startswith("ACCREC")

    @property
    def discount(self) -> Decimal:
        """The discounts of all lines, in money."""
        given = (line for line in self.lines if line.discount_rate is not None or line.discount_amount is not None)
        return sum((line.quantity * line.unit_amount - line.line_amount for line in given), ZERO)


@dataclass(slots=True)
class Payment:
    """Money against one document, in the document's currency; `bank_amount` in the account's."""

    id: str
    type: str
    document_id: str
    account_id: str
    date: Day
    amount: Decimal
    bank_amount: Decimal
    currency_rate: Decimal
    reference: str = ""
    status: Literal["AUTHORISED", "DELETED"] = "AUTHORISED"
    is_reconciled: bool = False
    app: str = ""
    updated: int = 0
    seq: int = 0


@dataclass(slots=True)
class BankTransaction:
    """Money spent from or received on a bank account, in its currency; or a side of a transfer, without lines."""

    id: str
    type: str
    account_id: str
    contact_id: str
    date: Day
    currency: str
    currency_rate: Decimal
    line_amount_types: LineAmountTypes
    lines: list[Line]
    sub_total: Decimal
    total_tax: Decimal
    total: Decimal
    reference: str = ""
    status: Literal["AUTHORISED", "DELETED"] = "AUTHORISED"
    is_reconciled: bool = False
    app: str = ""
    updated: int = 0
    seq: int = 0


@dataclass(slots=True)
class BankTransfer:
    """Between two bank accounts of one currency."""

    id: str
    from_account: str
    to_account: str
    amount: Decimal
    date: Day
    currency_rate: Decimal
    from_transaction: str
    to_transaction: str
    reference: str = ""
    status: Literal["AUTHORISED", "DELETED"] = "AUTHORISED"
    app: str = ""
    updated: int = 0
    seq: int = 0


DECIMALS = {
    "quantity",
    "unit_amount",
    "line_amount",
    "tax_amount",
    "discount_rate",
    "discount_amount",
    "amount",
    "currency_rate",
    "sub_total",
    "total_tax",
    "total",
    "paid",
    "credited",
    "bank_amount",
}
DATES = {"date", "due_date", "fully_paid_on"}


def restore(kind: type[Row], record: dict[str, Any]) -> Row:
    """Build a row from what the store kept: money as text, days as ISO text."""
    values: dict[str, Any] = {}
    for one in fields(kind):
        value = record[one.name]
        if value is not None:
            if one.name in DECIMALS:
                value = Decimal(value)
            elif one.name in DATES:
                value = Day.fromisoformat(value)
            elif one.name == "lines":
                value = [restore(Line, line) for line in value]
            elif one.name == "allocations":
                value = [restore(Allocation, allocation) for allocation in value]
            elif one.name == "tracking":
                value = [(name, option) for name, option in value]
            elif one.name in {"sales", "purchase"} and "UnitPrice" in value:
                value = {**value, "UnitPrice": Decimal(value["UnitPrice"])}
        values[one.name] = value
    return kind(**values)
