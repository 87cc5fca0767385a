"""Every way the sandbox says no, with Xero's texts word for word where a text is known.

SandboxError
├── HttpError                     answered as a whole reply; nothing of the request was written
│   ├── PostDataInvalid           400, ErrorNumber 17: the body cannot be read
│   ├── QueryInvalid              400, ErrorNumber 16: a filter, order or page Xero would not take
│   ├── HighVolume                400: an unoptimised read of a large organisation
│   ├── IdempotencyMisuse         400: a key too long, or used with a different request
│   ├── NotFound                  404: text/html with an empty body, as recorded
│   ├── MethodMissing             501
│   ├── Unauthorised              401: token missing, expired, revoked, or without the scope
│   └── Forbidden                 403: a tenant the token does not reach
├── ElementRefused                one element of a batch; the others go on
├── IdentityRefused               400 of the token endpoint: {"error": ...}
├── SettingRefused                the admin API or a settings object was given something it cannot use
└── StateUnreadable               the state directory holds something this version cannot read
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import orjson

ZERO_ID = "00000000-0000-0000-0000-000000000000"
JSON_TYPE = "application/json; charset=utf-8"


class SandboxError(Exception):
    """Root of the tree above."""


class HttpError(SandboxError):
    """A reply that ends the request. `body` is JSON-ready, text, or None for an empty body."""

    status = 400

    def __init__(self, body: Any = None, *, content_type: str = JSON_TYPE, headers: Mapping[str, str] | None = None):
        super().__init__(f"HTTP {self.status}: {body}")
        self.body = body
        self.content_type = content_type
        self.headers = dict(headers or {})

    def payload(self) -> bytes:
        """The bytes of the body."""
        if self.body is None:
            return b""
        return self.body.encode() if isinstance(self.body, str) else orjson.dumps(self.body)


class PostDataInvalid(HttpError):
    """The body is not JSON, not the expected shape, or holds a value of the wrong type."""

    def __init__(self, detail: str):
        super().__init__({"ErrorNumber": 17, "Type": "PostDataInvalidException", "Message": detail})


class QueryInvalid(HttpError):
    """A filter that Xero would not parse, or one outside the optimised subset: refused loudly on purpose."""

    def __init__(self, detail: str):
        super().__init__({"ErrorNumber": 16, "Type": "QueryParseException", "Message": detail})


class HighVolume(HttpError):
    """More than 100,000 rows without an optimised filter."""

    def __init__(self, detail: str):
        super().__init__({"ErrorNumber": 10, "Type": "HighVolumeException", "Message": detail})


class IdempotencyMisuse(HttpError):
    """The key is too long or belongs to another request."""

    def __init__(self, detail: str):
        super().__init__({"Message": detail})


class NotFound(HttpError):
    """Recorded: a 404 is text/html with nothing in it."""

    status = 404

    def __init__(self) -> None:
        super().__init__(None, content_type="text/html; charset=utf-8")


class MethodMissing(HttpError):
    """The resource exists, the method does not."""

    status = 501

    def __init__(self, method: str, path: str):
        super().__init__(f"{method} is not implemented for {path}", content_type="text/plain; charset=utf-8")


class Unauthorised(HttpError):
    """401 with Xero's capitalised problem body."""

    status = 401

    def __init__(self, detail: str, *, scope: bool = False):
        body = {"Type": None, "Title": "Unauthorized", "Status": 401, "Detail": detail, "Instance": str(uuid.uuid4())}
        super().__init__(body, headers={"WWW-Authenticate": "insufficient_scope"} if scope else {})


class Forbidden(HttpError):
    """403: this one is lower case at Xero."""

    status = 403

    def __init__(self, detail: str = "AuthenticationUnsuccessful"):
        body = {"title": "Forbidden", "status": 403, "detail": detail, "instance": str(uuid.uuid4())}
        super().__init__(body)


class ElementRefused(SandboxError):
    """One element is refused. `nested` are messages that belong to the element's Contact."""

    def __init__(self, *messages: str, nested: Sequence[str] = ()):
        super().__init__("; ".join([*messages, *nested]))
        self.messages = list(messages)
        self.nested = list(nested)


class IdentityRefused(SandboxError):
    """The token endpoint's 400."""

    def __init__(self, error: str):
        super().__init__(error)
        self.error = error


class SettingRefused(SandboxError):
    """What was asked of the admin API or the settings cannot be done; the message says why and what would do."""


class StateUnreadable(SandboxError):
    """The state on disk is of another version or of other organisations; the message says what to do."""


# Verbatim texts, in the order of reference/xero.md §5. Those marked (ours) have no public source.
INVOICE_NUMBER_TAKEN = "Invoice # must be unique."
CREDIT_NOTE_NUMBER_TAKEN = "Credit Note # must be unique."
CONTACT_NUMBER_TAKEN = "Another contact has this contact number. Please enter a different contact number."
PAYMENT_TOO_LARGE = "Payment amount exceeds the amount outstanding on this document"
PAYMENT_NOT_AUTHORISED = "Payments can only be made against Authorised documents"
CONTACT_UNIDENTIFIED = (
    "The Contact must contain at least 1 of the following elements to identify the contact: "
    "Name, ContactID, ContactNumber"
)
CONTACT_ARCHIVED_FOR_DOCUMENT = (
    "The contact with the specified contact details has been archived. "
    "The contact must be un-archived before creating new invoices or credit notes"
)
CONTACT_ARCHIVED = (
    "The specified contact details matched an archived contact. "
    "Archived contacts cannot currently be edited via the API."
)
PLAN_LIMIT = "You have reached the limit of invoices you can approve"
NOT_MODIFIABLE = "Invoice not of valid status for modification"
HAS_PAYMENTS = "This document cannot be edited as it has a payment or credit note allocated to it."
EMAIL_INVALID = "Email address must be valid."
CREDIT_NOTE_NOT_FOUND = "An existing Credit Note with the specified CreditNoteID could not be found"
DOCUMENT_NOT_FOUND = "The document with the supplied id was not found for this endpoint."
ACCOUNT_NOT_FOUND = "Account could not be found."
CONTACT_MISSING = "A Contact must be specified"  # (ours)
LINES_MISSING = "One or more line items must be specified"  # (ours)
DUE_DATE_MISSING = "Due Date cannot be empty"  # (ours)
ACCOUNT_CODE_MISSING = "Account code must be specified"  # (ours)
DESCRIPTION_MISSING = "Description is required for each line item"  # (ours)
PAYMENT_ACCOUNT_TYPE = (  # (ours)
    "The account cannot be used for payments: it must be of type BANK or have EnablePaymentsToAccount set to true"
)
PAYMENT_CURRENCY = (  # (ours)
    "The currency of the account does not match the currency of the document; specify a BankAmount or CurrencyRate"
)
PAYMENT_TARGET = (  # (ours)
    "A payment must contain exactly one of the following elements: Invoice, CreditNote, Prepayment, Overpayment"
)
PAYMENT_AMOUNT = "The payment amount must be greater than zero"  # (ours)
PAYMENT_DELETED = "Payment has already been deleted"  # (ours)
CREDIT_DISCOUNT = "Discounts cannot be applied to credit notes"  # (ours)
DISCOUNT_TWICE = "Only one of DiscountRate and DiscountAmount can be specified"  # (ours)
BANK_ACCOUNT_TYPE = "The bank account must be of type BANK"  # (ours)
BANK_CURRENCY = "The currency of a bank transaction must be that of its bank account"  # (ours)
TRANSFER_AMOUNT = "The amount transferred must be greater than zero"  # (ours)
TRANSFER_SAME_ACCOUNT = "A transfer must be between two different bank accounts"  # (ours)
TRANSFER_CURRENCY = "You cannot transfer between accounts in different currencies"  # (ours; Xero's page says so)
TOTAL_NEGATIVE = "The document total cannot be negative"  # (ours)
TAX_TOO_LARGE = "The tax amount cannot exceed the line amount"  # (ours)
TAX_ON_ZERO_RATE = "A tax amount cannot be entered for a tax type without tax"  # (ours)
ALLOCATION_TOO_LARGE = "The amount to allocate exceeds the credit remaining or the amount outstanding"  # (ours)
ALLOCATION_CONTACT = "Credit can only be allocated to a document of the same contact"  # (ours)


def bank_account_missing(key: str) -> str:
    """(ours) No account is named."""
    return f"{key} must be specified by its AccountID or its Code"


def contact_name_taken(name: str) -> str:
    """Recorded text for a name that an active contact has."""
    return (
        f"The contact name {name} is already assigned to another contact. "
        "The contact name must be unique across all active contacts."
    )


def item_exists(code: str) -> str:
    """PUT of an item whose code is there."""
    return f"Price List Item with Code '{code}' already exists"


def account_invalid(code: str) -> str:
    """Account unknown, or of a kind that a document line cannot use."""
    return f"Account code '{code}' is not a valid code for this document."


def account_removed(code: str) -> str:
    """A warning, not an error: the draft is saved without the account."""
    return f"Account code '{code}' has been removed as it does not match a recognised account."


def account_archived(code: str) -> str:
    """Archived account on a line."""
    return (
        f"Account code '{code}' has been archived, or has been deleted. Each line item must reference a valid account."
    )


def tax_type_mismatch(tax_type: str, code: str) -> str:
    """The tax type exists but may not be used on this account's class."""
    return f"The TaxType code '{tax_type}' cannot be used with account code '{code}'."


def tax_type_unknown(tax_type: str) -> str:
    """The organisation has no such active tax type."""
    return f"The TaxType code '{tax_type}' does not exist or cannot be used for this type of transaction."


def item_invalid(code: str) -> str:
    """Unknown ItemCode on a line."""
    return f"Item code '{code}' is not valid"


def line_total_mismatch(sent: str, expected: str) -> str:
    """LineAmount does not follow from quantity, unit amount and discount."""
    return f"The line total {sent} does not match the expected line total {expected}"


def locked(which: str, lock_date: date) -> str:
    """`which` is 'period' or 'end of year'."""
    shown = f"{lock_date.day} {lock_date:%B %Y}"
    return f"The document date cannot be before the {which} lock date, currently set at {shown}"


def currency_missing(code: str) -> str:
    """The currency is not enabled."""
    return f"Organisation is not subscribed to currency {code}"


def too_long(field: str, limit: int) -> str:
    """(ours) A text field over its limit."""
    return f"The field {field} must be a string with a maximum length of {limit}."


def tracking_unknown(name: str, option: str) -> str:
    """(ours) A tracking category or option that is not there."""
    return f"The tracking category '{name}' with option '{option}' could not be found"


def token_expired(at: datetime) -> str:
    """Recorded form: US date, UTC."""
    return f"TokenExpired: token expired at {at:%m/%d/%Y %H:%M:%S}"


def key_reused(key: str) -> str:
    """Idempotency key with a different request."""
    return f"Idempotency Key: {key} is used with a different request."


def key_too_long(key: str) -> str:
    """Keys end at 128 characters."""
    return f"Idempotency Key: {key} exceeds the maximum length of 128 characters."
