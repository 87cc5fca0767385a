"""The rules of invoices and credit notes: numbers, status machine, lock dates, what a paid document still allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, cast

from connectors.xero.sandbox import errors
from connectors.xero.sandbox.arithmetic import LineAmountTypes, totals
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.contacts import check_ids, for_document
from connectors.xero.sandbox.documents import Contact, Document, Line
from connectors.xero.sandbox.errors import ElementRefused
from connectors.xero.sandbox.lines import Findings, LineRules, as_element, build
from connectors.xero.sandbox.reading import STATUSES, Element, choice, day, flag, many, nested, number, text

AMOUNTS = ("Exclusive", "Inclusive", "NoTax")
TRANSITIONS = {
    "DRAFT": {"DRAFT", "SUBMITTED", "AUTHORISED", "DELETED"},
    "SUBMITTED": {"SUBMITTED", "AUTHORISED", "DRAFT", "DELETED"},
    "AUTHORISED": {"AUTHORISED", "VOIDED"},
    "PAID": {"PAID", "AUTHORISED"},  # a paid document may be sent back with its own status
    "VOIDED": set[str](),
    "DELETED": set[str](),
}
POSTED = {"AUTHORISED", "PAID", "VOIDED"}


@dataclass(frozen=True)
class Kind:
    """How the two document resources differ."""

    plural: str
    id_key: str
    number_key: str
    credit: bool
    types: tuple[str, ...]
    prefix: str
    taken: str


INVOICE = Kind(
    "Invoices", "InvoiceID", "InvoiceNumber", False, ("ACCREC", "ACCPAY"), "INV-", errors.INVOICE_NUMBER_TAKEN
)
CREDIT_NOTE = Kind(
    "CreditNotes",
    "CreditNoteID",
    "CreditNoteNumber",
    True,
    ("ACCRECCREDIT", "ACCPAYCREDIT"),
    "CN-",
    errors.CREDIT_NOTE_NUMBER_TAKEN,
)


@dataclass(frozen=True, slots=True)
class Written:
    """A document that was saved, with the warnings it got."""

    document: Document
    warnings: tuple[str, ...] = ()


def check_whole(books: Books, given: list[Element]) -> None:
    """What ends the request before any element is written: an unknown ContactID."""
    check_ids(books, [contact for element in given if (contact := nested(element, "Contact"))])


def write(books: Books, kind: Kind, element: Element, *, create_only: bool, unitdp: int, app: str) -> Written:
    """PUT (`create_only`) or POST (create, or update what the id or the number names) of one element."""
    found = None if create_only else _target(books, kind, element)
    given_type = choice(element, "Type", kind.types)
    findings = Findings()
    if found is None and given_type is None:
        findings.errors.append("Type must be specified")
    if found is not None:
        _check_modifiable(books, found)
    plan = _plan(books, kind, element, found, given_type or (found.type if found else kind.types[0]), unitdp, findings)
    contact, save_contact = _contact(books, element, found, app, findings)
    if findings.errors:
        raise ElementRefused(*findings.errors)
    if contact is None:
        raise ElementRefused(errors.CONTACT_MISSING)
    document = replace(plan, contact_id=contact.id, app=plan.app or app)
    if found is not None:
        _check_settled(found, document)
    _finish(books, kind, document, found, contact, save_contact=save_contact)
    return Written(document, tuple(findings.warnings))


def _target(books: Books, kind: Kind, element: Element) -> Document | None:
    id_ = text(element, kind.id_key)
    if id_ and id_ != errors.ZERO_ID:
        found = books.find_document(id_, credit=kind.credit)
        if found is None:
            raise ElementRefused(errors.CREDIT_NOTE_NOT_FOUND if kind.credit else errors.DOCUMENT_NOT_FOUND)
        return found
    number_ = text(element, kind.number_key)
    if number_ and text(element, "Type") in (None, kind.types[0]):
        return books.by_number(number_, credit=kind.credit)
    return None


def _contact(
    books: Books, element: Element, found: Document | None, app: str, findings: Findings
) -> tuple[Contact | None, bool]:
    given = nested(element, "Contact")
    if not given:
        if found is None:
            findings.errors.append(errors.CONTACT_MISSING)
            return None, False
        return books.contacts[found.contact_id], False
    try:
        return for_document(books, given, app)
    except ElementRefused as problem:
        if findings.errors or problem.messages:
            raise ElementRefused(*findings.errors, *problem.messages, nested=problem.nested) from problem
        raise


def _check_modifiable(books: Books, found: Document) -> None:
    if found.status in {"VOIDED", "DELETED"}:
        raise ElementRefused(errors.NOT_MODIFIABLE)
    lock = books.org.lock()
    if lock and found.status in POSTED and found.date <= lock[1]:
        raise ElementRefused(errors.locked(*lock))


def _plan(
    books: Books, kind: Kind, element: Element, found: Document | None, type_: str, unitdp: int, findings: Findings
) -> Document:
    """The document as it would be, its contact apart."""
    status = _status(element, found, findings)
    amounts = cast(
        LineAmountTypes,
        choice(element, "LineAmountTypes", AMOUNTS) or (found.line_amount_types if found else "Exclusive"),
    )
    number_ = _number(books, kind, element, found, type_, findings)
    on = day(element, "Date") or (found.date if found else books.clock.today(books.org.zone))
    due = day(element, "DueDate") or (found.due_date if found else None)
    if not kind.credit and due is None and status == "AUTHORISED":
        findings.errors.append(errors.DUE_DATE_MISSING)
    lock = books.org.lock()
    if lock and status in POSTED and on <= lock[1]:
        findings.errors.append(errors.locked(*lock))
    currency, rate = _currency(books, element, found, findings)
    rules = LineRules(amounts, unitdp, status in POSTED, type_.startswith("ACCREC"), type_ == "ACCREC")
    lines = _lines(books, element, found, rules, findings)
    sums = totals(((line.line_amount, line.tax_amount) for line in lines), amounts)
    if sums.total < 0:
        findings.errors.append(errors.TOTAL_NEGATIVE)
    values: dict[str, Any] = {
        "type": type_,
        "number": number_,
        "date": on,
        "due_date": due,
        "status": status,
        "line_amount_types": amounts,
        "currency": currency,
        "currency_rate": rate,
        "lines": lines,
        "sub_total": sums.sub_total,
        "total_tax": sums.tax,
        "total": sums.total,
        "reference": _kept(element, "Reference", found.reference if found else "", findings),
        "url": _kept(element, "Url", found.url if found else "", findings, 2000),
        "sent_to_contact": bool(flag(element, "SentToContact") or (found and found.sent_to_contact)),
    }
    return replace(found, **values) if found else Document(id=books.new_id(), contact_id="", **values)


def _status(element: Element, found: Document | None, findings: Findings) -> str:
    given = choice(element, "Status", STATUSES)
    if found is None:
        if given not in (None, "DRAFT", "SUBMITTED", "AUTHORISED"):
            findings.errors.append(errors.NOT_MODIFIABLE)
        return given or "DRAFT"
    if given is None:
        return found.status
    if given not in TRANSITIONS[found.status]:
        raise ElementRefused(errors.NOT_MODIFIABLE)
    if given == "VOIDED" and (found.payments or found.allocations):
        raise ElementRefused(errors.HAS_PAYMENTS)
    return found.status if found.status == "PAID" else given


def _number(books: Books, kind: Kind, element: Element, found: Document | None, type_: str, findings: Findings) -> str:
    given = text(element, kind.number_key) or (found.number if found else "")
    if len(given) > 255:
        findings.errors.append(errors.too_long(kind.number_key, 255))
    if not type_.startswith("ACCREC"):
        return given
    if given:
        holder = books.by_number(given, credit=kind.credit)
        if holder is not None and (found is None or holder.id != found.id):
            findings.errors.append(kind.taken)
    return given


def _currency(books: Books, element: Element, found: Document | None, findings: Findings) -> tuple[str, Decimal]:
    org = books.org
    code = text(element, "CurrencyCode") or (found.currency if found else org.base_currency)
    if code not in org.currencies:
        findings.errors.append(errors.currency_missing(code))
    rate = number(element, "CurrencyRate")
    if code == org.base_currency:
        return code, Decimal(1)
    if rate is not None and rate <= 0:
        findings.errors.append("The currency rate must be greater than zero")
        rate = None
    if rate is not None:
        return code, rate.quantize(Decimal("0.000001"))
    return code, found.currency_rate if found and found.currency == code else org.day_rate(code)


def _lines(books: Books, element: Element, found: Document | None, rules: LineRules, findings: Findings) -> list[Line]:
    given = many(element, "LineItems")
    old = {line.id: line for line in found.lines} if found else {}
    if given is None and found is not None:
        given = [as_element(line) for line in found.lines]
        # amounts that are already in the books keep the decimals they have
        rules = replace(rules, unitdp=4)
    if not given:
        findings.errors.append(errors.LINES_MISSING)
        return []
    return build(books, given, old, rules, findings)


def _kept(element: Element, key: str, old: str, findings: Findings, limit: int = 255) -> str:
    value = text(element, key)
    if value is None:
        return old
    if len(value) > limit:
        findings.errors.append(errors.too_long(key, limit))
    return value


def _money_view(document: Document) -> tuple[Any, ...]:
    lines = [(line.line_amount, line.tax_amount, line.tax_type, line.quantity) for line in document.lines]
    return document.date, document.currency, document.line_amount_types, document.total, document.total_tax, lines


def _check_settled(found: Document, planned: Document) -> None:
    """A paid or part-paid document keeps its money, date and currency; texts, accounts and due date may change."""
    if (found.payments or found.allocations) and _money_view(found) != _money_view(planned):
        raise ElementRefused(errors.HAS_PAYMENTS)


def _finish(
    books: Books, kind: Kind, document: Document, found: Document | None, contact: Contact, *, save_contact: bool
) -> None:
    newly_posted = document.status == "AUTHORISED" and (found is None or found.status in {"DRAFT", "SUBMITTED"})
    month = (document.date.year, document.date.month)
    limit = books.org.approve_limit
    if newly_posted and document.type == "ACCREC":
        if limit is not None and books.approved_in_month[month] >= limit:
            raise ElementRefused(errors.PLAN_LIMIT)
        books.approved_in_month[month] += 1
    if not document.number and document.is_sales:
        document.number = books.next_number(kind.prefix, credit=kind.credit)
    first_sale = document.is_sales and not contact.is_customer
    first_purchase = not document.is_sales and not contact.is_supplier
    if save_contact or first_sale or first_purchase:
        contact.is_customer = contact.is_customer or first_sale
        contact.is_supplier = contact.is_supplier or first_purchase
        books.save_contact(contact)
    settle(document, document.date)
    books.save_document(document)


def settle(document: Document, on: date) -> None:
    """PAID is Xero's own doing: set when nothing is outstanding any more, and undone when something is again."""
    if document.status == "AUTHORISED" and document.outstanding == 0:
        document.status = "PAID"
        document.fully_paid_on = on
    elif document.status == "PAID" and document.outstanding != 0:
        document.status = "AUTHORISED"
        document.fully_paid_on = None
