"""Invoices, credit notes and payments as Xero shows them. Sources: reference/xero-data.md §3.0, §3.5 to §3.7."""

from __future__ import annotations

from connectors.xero.sandbox.arithmetic import unit
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.chart import Organisation, stable_id
from connectors.xero.sandbox.clock import midnight_ms
from connectors.xero.sandbox.documents import Allocation, Document, Line, Payment
from connectors.xero.sandbox.replies import Form, Json, contact, contact_brief, days, stamp, stamp_text


def line(row: Line, books: Books, form: Form, unitdp: int) -> Json:
    """A line. UnitAmount is shown at the request's unitdp whatever is stored."""
    body: Json = {"Description": row.description, "UnitAmount": float(unit(row.unit_amount, unitdp))}
    if row.item_code:
        body["ItemCode"] = row.item_code
    body |= {
        "TaxType": row.tax_type,
        "TaxAmount": float(row.tax_amount),
        "LineAmount": float(row.line_amount),
        "AccountCode": row.account_code,
    }
    if row.item_code and (item_ := books.find_item(row.item_code)):
        body["Item"] = {"ItemID": item_.id, "Name": item_.name, "Code": item_.code}
    body["Tracking"] = [_line_tracking(books.org, name, option, form) for name, option in row.tracking]
    body["Quantity"] = float(row.quantity)
    if row.discount_rate is not None:
        body["DiscountRate"] = float(row.discount_rate)
    if row.discount_amount is not None:
        body["DiscountAmount"] = float(row.discount_amount)
    body["LineItemID"] = row.id
    if row.account_id:
        body["AccountID"] = row.account_id
    else:
        del body["AccountCode"]
    if form != "list":
        body["ValidationErrors"] = []
    return body


def _line_tracking(org: Organisation, name: str, option: str, form: Form) -> Json:
    category = org.tracking[name]
    body: Json = {"Name": name, "Option": option, "TrackingCategoryID": category.id}
    extra: Json = {"Options": []} if form == "list" else {"TrackingOptionID": category.options[option]}
    return body | extra


def invoice(row: Document, books: Books, form: Form, unitdp: int, *, summary: bool = False) -> Json:
    """An invoice in one of the three forms of xero-data.md §3.0; `summary` drops lines and payments."""
    who = books.contacts[row.contact_id]
    body: Json = {"Type": row.type, "InvoiceID": row.id, "InvoiceNumber": row.number}
    if row.is_sales:
        body["Reference"] = row.reference
    if row.url:
        body["Url"] = row.url
    if not summary and (form == "list" or (form == "one" and row.payments)):
        body["Payments"] = [payment_brief(one) for one in books.payments_of(row)]
    if not summary and (form == "list" or (form == "one" and row.allocations)):
        body["CreditNotes"] = [_applied_credit(one, books) for one in row.allocations]
    body |= {
        "Prepayments": [],
        "Overpayments": [],
        "AmountDue": float(row.outstanding),
        "AmountPaid": float(row.paid),
    }
    if form != "write":
        body["AmountCredited"] = float(row.credited)
    body["SentToContact"] = row.sent_to_contact
    body["CurrencyRate"] = float(row.currency_rate)
    discount = row.discount
    body["IsDiscounted"] = any(one.discount_rate is not None or one.discount_amount is not None for one in row.lines)
    if discount:
        body["TotalDiscount"] = float(discount)
    if form != "write" and not summary:
        body["HasAttachments"] = False
        if form == "one":
            body["Attachments"] = []
    if form == "list":
        body["InvoiceAddresses"] = []
    body |= {"HasErrors": False, "InvoicePaymentServices": [], "UpdatedDateUTCString": stamp_text(row.updated)}
    body["Contact"] = contact_brief(who) if form == "list" else contact(who, "write")
    body |= days("Date", row.date)
    body |= days("DueDate", row.due_date)
    body |= {
        "BrandingThemeID": stable_id(books.org.slug, "branding"),
        "Status": row.status,
        "LineAmountTypes": row.line_amount_types,
        "LineItems": [] if summary else [line(one, books, form, unitdp) for one in row.lines],
        "SubTotal": float(row.sub_total),
        "TotalTax": float(row.total_tax),
        "Total": float(row.total),
        "UpdatedDateUTC": stamp(row.updated),
        "CurrencyCode": row.currency,
    }
    if row.fully_paid_on is not None:
        body["FullyPaidOnDate"] = stamp(midnight_ms(row.fully_paid_on))
    return body


def _applied_credit(one: Allocation, books: Books) -> Json:
    credit = books.credit_notes[one.other_id]
    return {
        "CreditNoteID": credit.id,
        "CreditNoteNumber": credit.number,
        "ID": credit.id,
        "HasErrors": False,
        "InvoiceAddresses": [],
        "AppliedAmount": float(one.amount),
        **days("Date", one.date),
        "LineItems": [],
        "Total": float(credit.total),
    }


def credit_note(row: Document, books: Books, form: Form, unitdp: int, *, summary: bool = False) -> Json:
    """A credit note, keys in the recorded order."""
    who = books.contacts[row.contact_id]
    body: Json = {
        "CreditNoteID": row.id,
        "CreditNoteNumber": row.number,
        "SentToContact": row.sent_to_contact,
        "Payments": [] if summary else [payment_brief(one) for one in books.payments_of(row)],
        "ID": row.id,
        "HasErrors": False,
        "InvoiceAddresses": [],
        "CurrencyRate": float(row.currency_rate),
        "Type": row.type,
        "Reference": row.reference,
        "RemainingCredit": float(row.outstanding),
        "Allocations": [allocation(one, books) for one in row.allocations],
    }
    if form != "write":
        body["HasAttachments"] = False
    body["UpdatedDateUTCString"] = stamp_text(row.updated)
    body["Contact"] = contact_brief(who) if form == "list" else contact(who, "write")
    body |= days("Date", row.date)
    body |= {
        "BrandingThemeID": stable_id(books.org.slug, "branding"),
        "Status": row.status,
        "LineAmountTypes": row.line_amount_types,
        "LineItems": [] if summary else [line(one, books, form, unitdp) for one in row.lines],
        "SubTotal": float(row.sub_total),
        "TotalTax": float(row.total_tax),
        "Total": float(row.total),
        "UpdatedDateUTC": stamp(row.updated),
        "CurrencyCode": row.currency,
    }
    if row.fully_paid_on is not None:
        body["FullyPaidOnDate"] = stamp(midnight_ms(row.fully_paid_on))
    return body


def allocation(row: Allocation, books: Books) -> Json:
    """An allocation as a credit note lists it."""
    target = books.invoices[row.other_id]
    return {
        "AllocationID": row.id,
        "Amount": float(row.amount),
        "Date": stamp(midnight_ms(row.date)),
        "Invoice": {
            "InvoiceID": target.id,
            "InvoiceNumber": target.number,
            "Payments": [],
            "CreditNotes": [],
            "Prepayments": [],
            "Overpayments": [],
            "HasErrors": False,
            "IsDiscounted": False,
            "LineItems": [],
        },
    }


def allocation_written(row: Allocation, credit: Document, books: Books) -> Json:
    """The answer to PUT …/Allocations."""
    body = allocation(row, books)
    del body["AllocationID"]
    return body | {
        "CreditNote": {"CreditNoteID": credit.id, "ID": credit.id, "LineItems": []},
        "ValidationErrors": [],
    }


def payment_brief(row: Payment) -> Json:
    """A payment inside its document."""
    body: Json = {"PaymentID": row.id, "Date": stamp(midnight_ms(row.date)), "Amount": float(row.amount)}
    if row.reference:
        body["Reference"] = row.reference
    return body | {"CurrencyRate": float(row.currency_rate), "HasAccount": False, "HasValidationErrors": False}


def payment(row: Payment, books: Books, form: Form) -> Json:
    """A payment. Alone and after a write its invoice is whole and shows the state after the payment."""
    document = books.document(row.document_id)
    account_ = books.org.accounts_by_id[row.account_id]
    assert document is not None  # noqa: S101 - a payment is only ever saved with its document
    where: Json = {"AccountID": account_.id, "Code": account_.code}
    if form != "list":
        where["Name"] = account_.name
    body: Json = {
        "PaymentID": row.id,
        "Date": stamp(midnight_ms(row.date)),
        "BankAmount": float(row.bank_amount),
        "Amount": float(row.amount),
        "Reference": row.reference,
        "CurrencyRate": float(row.currency_rate),
        "PaymentType": row.type,
        "Status": row.status,
        "UpdatedDateUTC": stamp(row.updated),
        "UpdatedDateUTCString": stamp_text(row.updated),
        "HasAccount": True,
        "IsReconciled": row.is_reconciled,
        "Account": where,
        "Invoice": _paid_invoice(document, books, form),
    }
    if document.is_credit and form != "list":
        body["CreditNote"] = credit_note(document, books, "write", 2)
    body["HasValidationErrors"] = False
    return body


def _paid_invoice(document: Document, books: Books, form: Form) -> Json:
    if form != "list" and not document.is_credit:
        return invoice(document, books, "write", 2)
    return {
        "Type": document.type,
        "InvoiceID": document.id,
        "InvoiceNumber": document.number,
        "Payments": [],
        "CreditNotes": [],
        "Prepayments": [],
        "Overpayments": [],
        "HasErrors": False,
        "IsDiscounted": False,
        "Contact": contact_brief(books.contacts[document.contact_id]),
        "LineItems": [],
        "CurrencyCode": document.currency,
    }
