"""Reading request bodies: exact numbers, Xero's date forms, and a 400 PostDataInvalidException for what cannot be
read. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.xero.sandbox.errors import PostDataInvalid

ISO_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}(?:$|[T ])")
Element = dict[str, Any]
MS_DATE = re.compile(r"^/Date\((-?\d+)(?:[+-]\d{4})?\)/$")


def elements(body: bytes, plural: str) -> list[Element]:
    """The elements of `{"Invoices":[...]}`, or the one of a bare object. Numbers become Decimal, never float."""
    try:
        read = json.loads(body, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        raise PostDataInvalid(f"JSON for post data was invalid,{problem}") from problem
    if not isinstance(read, dict):
        raise PostDataInvalid("JSON for post data was invalid,an object was expected")
    found = read.get(plural, [read])
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise PostDataInvalid(f"JSON for post data was invalid,{plural} must be a non-empty array of objects")
    check(found, plural)
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def text(element: Element, key: str) -> str | None:
    """A text field; None when absent or null. Numbers are taken as their text, as Xero does."""
    value = element.get(key)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | dict | list):
        raise PostDataInvalid(f"JSON for post data was invalid,{key} must be a string")
    return str(value)


def number(element: Element, key: str) -> Decimal | None:
    """A number, or its text."""
    value = element.get(key)
    if value is None:
        return None
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    try:
        read = Decimal(value) if isinstance(value, str) else Decimal("NaN")
    except InvalidOperation:
        read = Decimal("NaN")
    if not read.is_finite():
        raise PostDataInvalid(f"JSON for post data was invalid,Could not convert {value!r} of {key} to a decimal")
    return read


def flag(element: Element, key: str) -> bool | None:
    """A boolean, or "true"/"false"."""
    value = element.get(key)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise PostDataInvalid(f"JSON for post data was invalid,Could not convert {value!r} of {key} to a boolean")


def day(element: Element, key: str) -> date | None:
    """2026-09-14, 2026-09-14T00:00:00 or /Date(1789344000000+0000)/; the empty string counts as absent."""
    value = element.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, str):
        if found := MS_DATE.match(value):
            return datetime.fromtimestamp(int(found[1]) / 1000, UTC).date()
        if ISO_DAY.match(value):
            try:
                return date.fromisoformat(value[:10])
            except ValueError:
                pass  # 2026-02-30 has the form of a day and is none: refused below
    raise PostDataInvalid(f"JSON for post data was invalid,The date {value!r} of {key} is not a valid date")


def choice(element: Element, key: str, allowed: Collection[str]) -> str | None:
    """A value of an enumeration; case matters at Xero."""
    value = text(element, key)
    if value is None or value == "":
        return None
    if value not in allowed:
        raise PostDataInvalid(f"JSON for post data was invalid,Could not convert {value!r} of {key} to its type")
    return value


def nested(element: Element, key: str) -> Element | None:
    """An object."""
    value = element.get(key)
    if value is None or isinstance(value, dict):
        return value
    raise PostDataInvalid(f"JSON for post data was invalid,{key} must be an object")


def many(element: Element, key: str) -> list[Element] | None:
    """An array of objects."""
    value = element.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise PostDataInvalid(f"JSON for post data was invalid,{key} must be an array of objects")
    return value


_DAYS = frozenset({"Date", "DueDate", "PlannedPaymentDate", "ExpectedPaymentDate"})
_NUMBERS = frozenset(
    [
        "Quantity",
        "UnitAmount",
        "LineAmount",
        "TaxAmount",
        "DiscountRate",
        "DiscountAmount",
        "Amount",
        "BankAmount",
        "CurrencyRate",
        "UnitPrice",
    ]
)
_FLAGS = frozenset(["SentToContact", "IsReconciled", "FromIsReconciled", "ToIsReconciled", "IsSold", "IsPurchased"])
_OBJECTS = frozenset(
    [
        "Contact",
        "Invoice",
        "CreditNote",
        "Prepayment",
        "Overpayment",
        "Account",
        "BankAccount",
        "FromBankAccount",
        "ToBankAccount",
        "SalesDetails",
        "PurchaseDetails",
    ]
)
_ARRAYS = frozenset(["LineItems", "Tracking", "Addresses", "Phones", "ContactPersons"])
_TEXTS = frozenset(
    [
        "InvoiceID",
        "InvoiceNumber",
        "CreditNoteID",
        "CreditNoteNumber",
        "PaymentID",
        "BankTransactionID",
        "BankTransferID",
        "ContactID",
        "ContactNumber",
        "ItemID",
        "Code",
        "Name",
        "Reference",
        "Url",
        "Description",
        "ItemCode",
        "AccountCode",
        "TaxType",
        "LineItemID",
        "CurrencyCode",
        "FirstName",
        "LastName",
        "EmailAddress",
        "CompanyNumber",
        "AccountNumber",
        "TaxNumber",
        "BankAccountDetails",
        "SkypeUserName",
        "DefaultCurrency",
        "AddressLine1",
        "AddressLine2",
        "AddressLine3",
        "AddressLine4",
        "City",
        "Region",
        "PostalCode",
        "Country",
        "AttentionTo",
        "PhoneNumber",
        "PhoneAreaCode",
        "PhoneCountryCode",
        "PurchaseDescription",
        "InventoryAssetAccountCode",
        "COGSAccountCode",
        "AccountID",
        "Option",
        "TrackingCategoryID",
        "AccountsReceivableTaxType",
        "AccountsPayableTaxType",
        "SalesDefaultAccountCode",
        "PurchasesDefaultAccountCode",
    ]
)
STATUSES = ("DRAFT", "SUBMITTED", "AUTHORISED", "PAID", "VOIDED", "DELETED")
_CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("Invoices", "Type"): ("ACCREC", "ACCPAY"),
    ("Invoices", "Status"): STATUSES,
    ("Invoices", "LineAmountTypes"): ("Exclusive", "Inclusive", "NoTax"),
    ("CreditNotes", "Type"): ("ACCRECCREDIT", "ACCPAYCREDIT"),
    ("CreditNotes", "Status"): STATUSES,
    ("CreditNotes", "LineAmountTypes"): ("Exclusive", "Inclusive", "NoTax"),
    ("BankTransactions", "Type"): ("SPEND", "RECEIVE", "SPEND-TRANSFER", "RECEIVE-TRANSFER"),
    ("BankTransactions", "Status"): ("AUTHORISED", "DELETED"),
    ("BankTransactions", "LineAmountTypes"): ("Exclusive", "Inclusive", "NoTax"),
    ("BankTransfers", "Status"): ("AUTHORISED", "DELETED"),
    ("Payments", "Status"): ("AUTHORISED", "DELETED"),
    ("Contacts", "ContactStatus"): ("ACTIVE", "ARCHIVED", "GDPRREQUEST"),
    ("Addresses", "AddressType"): ("STREET", "POBOX", "DELIVERY"),
    ("Phones", "PhoneType"): ("DEFAULT", "DDI", "FAX", "MOBILE", "OFFICE"),
}


def check(given: list[Element], where: str) -> None:
    """Read every known field once, so that a value of the wrong type ends the request before any element is written."""
    for element in given:
        for key, value in element.items():
            if value is None:
                continue
            if key in _TEXTS:
                text(element, key)
            elif key in _NUMBERS:
                number(element, key)
            elif key in _DAYS:
                day(element, key)
            elif key in _FLAGS:
                flag(element, key)
            elif key in _OBJECTS:
                nested(element, key)
                check([value], f"{key}s")
            elif key in _ARRAYS:
                many(element, key)
                check(value, key)
            elif (allowed := _CHOICES.get((where, key))) is not None:
                choice(element, key, allowed)
