"""The rules of payments and allocations: what they may settle, from which account, and how they are undone."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from connectors.xero.sandbox import errors
from connectors.xero.sandbox.arithmetic import money
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.chart import Account
from connectors.xero.sandbox.documents import Allocation, Document, Payment
from connectors.xero.sandbox.errors import ElementRefused, NotFound, PostDataInvalid
from connectors.xero.sandbox.invoices import settle
from connectors.xero.sandbox.reading import Element, day, flag, nested, number, text

TYPES = {
    "ACCREC": "ACCRECPAYMENT",
    "ACCPAY": "ACCPAYPAYMENT",
    "ACCRECCREDIT": "ARCREDITPAYMENT",
    "ACCPAYCREDIT": "APCREDITPAYMENT",
}
TARGETS = ("Invoice", "CreditNote", "Prepayment", "Overpayment")


def check_ids(books: Books, given: list[Element]) -> None:
    """A POST that names an unknown PaymentID, or deletes without naming one, ends with a 404 before anything is
    written.
    """
    for element in given:
        id_ = (text(element, "PaymentID") or "").lower()
        if (id_ or element.get("Status") == "DELETED") and id_ not in books.payments:
            raise NotFound


def named(books: Books, element: Element) -> Payment:
    """The payment of the element's PaymentID, which `check_ids` has found."""
    return books.payments[(text(element, "PaymentID") or "").lower()]


def create(books: Books, element: Element, app: str) -> Payment:
    """One payment against one authorised document, never above what is outstanding.

    Part payments may repeat, as at Xero.
    """
    document = _document(books, element)
    account = _account(books, element)
    amount = number(element, "Amount")
    if amount is None or amount <= 0:
        raise ElementRefused(errors.PAYMENT_AMOUNT)
    amount = money(amount)
    on = day(element, "Date") or books.clock.today(books.org.zone)
    problems: list[str] = []
    if document.status not in {"AUTHORISED", "PAID"}:
        problems.append(errors.PAYMENT_NOT_AUTHORISED)
    elif amount > document.outstanding:
        problems.append(errors.PAYMENT_TOO_LARGE)
    if not account.takes_payments:
        problems.append(errors.PAYMENT_ACCOUNT_TYPE)
    elif account.status != "ACTIVE":
        problems.append(errors.account_archived(account.code))
    lock = books.org.lock()
    if lock and on <= lock[1]:
        problems.append(errors.locked(*lock))
    bank_amount, rate = _exchange(books, element, document, account, amount, problems)
    reference = text(element, "Reference") or ""
    if len(reference) > 255:
        problems.append(errors.too_long("Reference", 255))
    if problems:
        raise ElementRefused(*problems)
    payment = Payment(
        id=books.new_id(),
        type=TYPES[document.type],
        document_id=document.id,
        account_id=account.id,
        date=on,
        amount=amount,
        bank_amount=bank_amount,
        currency_rate=rate,
        reference=reference,
        is_reconciled=bool(flag(element, "IsReconciled")),
        app=app,
    )
    books.save_payment(payment)
    document.paid += amount
    document.payments.append(payment.id)
    settle(document, max(one.date for one in books.payments_of(document)))
    books.save_document(document)
    return payment


def _document(books: Books, element: Element) -> Document:
    given = [key for key in TARGETS if nested(element, key)]
    # the flat number keys are documented as an alternative to the nested object
    flat = {"Invoice": text(element, "InvoiceNumber"), "CreditNote": text(element, "CreditNoteNumber")}
    if not given:
        given = [key for key, value in flat.items() if value]
    if len(given) != 1:
        raise ElementRefused(errors.PAYMENT_TARGET)
    target = given[0]
    if target in {"Prepayment", "Overpayment"}:
        raise ElementRefused(errors.DOCUMENT_NOT_FOUND)
    one = nested(element, target) or {}
    key = text(one, f"{target}ID") or text(one, f"{target}Number") or flat[target]
    document = books.find_document(key, credit=target == "CreditNote") if key else None
    if document is None:
        raise ElementRefused(errors.CREDIT_NOTE_NOT_FOUND if target == "CreditNote" else errors.DOCUMENT_NOT_FOUND)
    return document


def _account(books: Books, element: Element) -> Account:
    given = nested(element, "Account") or {}
    id_, code = text(given, "AccountID"), text(given, "Code")
    account = books.org.accounts_by_id.get(id_.lower()) if id_ else books.org.accounts.get(code or "")
    if account is None:
        raise ElementRefused(errors.ACCOUNT_NOT_FOUND)
    return account


def _exchange(
    books: Books, element: Element, document: Document, account: Account, amount: Decimal, problems: list[str]
) -> tuple[Decimal, Decimal]:
    """(amount in the account's currency, rate in document units per unit of base)."""
    base = books.org.base_currency
    account_currency = account.currency or base
    bank, rate = number(element, "BankAmount"), number(element, "CurrencyRate")
    if (bank is not None and bank <= 0) or (rate is not None and rate <= 0):
        problems.append("The bank amount and the currency rate must be greater than zero")
        return amount, document.currency_rate
    if account_currency == document.currency:
        return amount, Decimal(1) if document.currency == base else (rate or document.currency_rate)
    if account_currency == base:
        if bank is not None:
            return money(bank), (amount / bank).quantize(Decimal("0.000001"))
        rate = rate or document.currency_rate
        return money(amount / rate), rate
    if bank is not None:
        return money(bank), rate or document.currency_rate
    problems.append(errors.PAYMENT_CURRENCY)
    return amount, document.currency_rate


def delete(books: Books, payment: Payment) -> Payment:
    """Undo a payment: it stays as DELETED, its document opens again."""
    if payment.status == "DELETED":
        raise ElementRefused(errors.PAYMENT_DELETED)
    lock = books.org.lock()
    if lock and payment.date <= lock[1]:
        raise ElementRefused(errors.locked(*lock))
    document = books.document(payment.document_id)
    if document is None:
        raise ElementRefused(errors.DOCUMENT_NOT_FOUND)
    payment.status = "DELETED"
    document.payments.remove(payment.id)
    document.paid -= payment.amount
    settle(document, payment.date)
    books.save_payment(payment)
    books.save_document(document)
    return payment


def allocate(books: Books, credit: Document, element: Element) -> Allocation:
    """Apply credit to an invoice of the same contact; the credit note must be authorised."""
    target = nested(element, "Invoice") or {}
    key = text(target, "InvoiceID") or text(target, "InvoiceNumber")
    invoice = books.find_document(key, credit=False) if key else None
    amount = number(element, "Amount")
    if invoice is None or amount is None or amount <= 0:
        raise ElementRefused(errors.DOCUMENT_NOT_FOUND if invoice is None else errors.PAYMENT_AMOUNT)
    amount = money(amount)
    on: date = day(element, "Date") or books.clock.today(books.org.zone)
    problems: list[str] = []
    if credit.status not in {"AUTHORISED", "PAID"} or invoice.status not in {"AUTHORISED", "PAID"}:
        problems.append(errors.NOT_MODIFIABLE)
    elif amount > credit.outstanding or amount > invoice.outstanding:
        problems.append(errors.ALLOCATION_TOO_LARGE)
    if credit.contact_id != invoice.contact_id or credit.is_sales != invoice.is_sales:
        problems.append(errors.ALLOCATION_CONTACT)
    if credit.currency != invoice.currency:
        problems.append(errors.PAYMENT_CURRENCY)
    if problems:
        raise ElementRefused(*problems)
    made = Allocation(books.new_id(), invoice.id, amount, on)
    credit.allocations.append(made)
    invoice.allocations.append(Allocation(made.id, credit.id, amount, on))
    for document in (credit, invoice):
        document.credited += amount
        settle(document, on)
        books.save_document(document)
    return made


def unallocate(books: Books, credit: Document, allocation_id: str) -> None:
    """Take an allocation back."""
    made = next((one for one in credit.allocations if one.id == allocation_id.lower()), None)
    invoice = books.invoices.get(made.other_id) if made else None
    if made is None or invoice is None:
        raise PostDataInvalid(f"No allocation {allocation_id} on this credit note")
    for document in (credit, invoice):
        document.allocations = [one for one in document.allocations if one.id != made.id]
        document.credited -= made.amount
        settle(document, made.date)
        books.save_document(document)
