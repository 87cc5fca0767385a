"""The rules of bank transactions (money spent and received) and of transfers between bank accounts.

Neither has a number: whoever sends one twice has two. Sources: developer.xero.com, BankTransactions and BankTransfers
(two sides of a transfer are listed as SPEND-TRANSFER and RECEIVE-TRANSFER; no transfer between currencies), xero.md §4.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import cast

from connectors.xero.sandbox import errors
from connectors.xero.sandbox.arithmetic import ZERO, LineAmountTypes, money, totals
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.chart import Account
from connectors.xero.sandbox.contacts import check_ids, for_document
from connectors.xero.sandbox.documents import BankTransaction, BankTransfer
from connectors.xero.sandbox.errors import ElementRefused, NotFound
from connectors.xero.sandbox.invoices import AMOUNTS
from connectors.xero.sandbox.lines import Findings, LineRules, build
from connectors.xero.sandbox.reading import Element, choice, day, flag, many, nested, number, text

TYPES = ("SPEND", "RECEIVE")
TRANSFERS = ("SPEND-TRANSFER", "RECEIVE-TRANSFER")


def check_whole(books: Books, given: list[Element]) -> None:
    """What ends the request before any element is written: an unknown ContactID."""
    check_ids(books, [contact for element in given if (contact := nested(element, "Contact"))])


def create_transaction(books: Books, element: Element, unitdp: int, app: str) -> tuple[BankTransaction, list[str]]:
    """One SPEND or RECEIVE on a bank account, in that account's currency."""
    found = Findings()
    type_ = choice(element, "Type", (*TYPES, *TRANSFERS)) or ""
    if type_ not in TYPES:
        raise ElementRefused("Type must be SPEND or RECEIVE")
    account = _bank(books, nested(element, "BankAccount"), "BankAccount", found)
    on = day(element, "Date") or books.clock.today(books.org.zone)
    _check_lock(books, on, found)
    amounts = cast(LineAmountTypes, choice(element, "LineAmountTypes", AMOUNTS) or "Exclusive")
    rules = LineRules(amounts, unitdp, final=True, sales=type_ == "RECEIVE", discounts=False)
    given = many(element, "LineItems")
    if not given:
        found.errors.append(errors.LINES_MISSING)
    lines = build(books, given or [], {}, rules, found)
    sums = totals(((line.line_amount, line.tax_amount) for line in lines), amounts)
    if given and sums.total <= 0:
        found.errors.append(errors.TOTAL_NEGATIVE)
    reference = _reference(element, found)
    currency, rate = _currency(books, element, account, found)
    contact, save_contact = None, False
    who = nested(element, "Contact")
    if not who:
        found.errors.append(errors.CONTACT_MISSING)
    else:
        contact, save_contact = for_document(books, who, app)
    if found.errors or account is None or contact is None:
        raise ElementRefused(*found.errors)
    if save_contact:
        books.save_contact(contact)
    made = BankTransaction(
        id=books.new_id(),
        type=type_,
        account_id=account.id,
        contact_id=contact.id,
        date=on,
        currency=currency,
        currency_rate=rate,
        line_amount_types=amounts,
        lines=lines,
        sub_total=sums.sub_total,
        total_tax=sums.tax,
        total=sums.total,
        reference=reference,
        is_reconciled=bool(flag(element, "IsReconciled")),
        app=app,
    )
    books.save_bank_transaction(made)
    return made, found.warnings


def delete_transaction(books: Books, element: Element) -> BankTransaction:
    """POST with Status DELETED; a transfer's sides go with the transfer only."""
    found = books.bank_transactions.get((text(element, "BankTransactionID") or "").lower())
    if found is None:
        raise NotFound
    if found.type not in TYPES or found.status == "DELETED" or found.is_reconciled:
        raise ElementRefused(errors.NOT_MODIFIABLE)
    locked = Findings()
    _check_lock(books, found.date, locked)
    if locked.errors:
        raise ElementRefused(*locked.errors)
    found.status = "DELETED"
    books.save_bank_transaction(found)
    return found


def create_transfer(books: Books, element: Element, app: str) -> BankTransfer:
    """From one bank account to another of the same currency; its two sides are bank transactions."""
    found = Findings()
    source = _bank(books, nested(element, "FromBankAccount"), "FromBankAccount", found)
    target = _bank(books, nested(element, "ToBankAccount"), "ToBankAccount", found)
    amount = number(element, "Amount")
    if amount is None or amount <= 0:
        found.errors.append(errors.TRANSFER_AMOUNT)
    on = day(element, "Date") or books.clock.today(books.org.zone)
    _check_lock(books, on, found)
    reference = _reference(element, found)
    base = books.org.base_currency
    if source is not None and target is not None:
        if source.id == target.id:
            found.errors.append(errors.TRANSFER_SAME_ACCOUNT)
        if (source.currency or base) != (target.currency or base):
            found.errors.append(errors.TRANSFER_CURRENCY)
    if found.errors or source is None or target is None or amount is None:
        raise ElementRefused(*found.errors)
    currency = source.currency or base
    made = BankTransfer(
        id=books.new_id(),
        from_account=source.id,
        to_account=target.id,
        amount=money(amount),
        date=on,
        currency_rate=books.org.day_rate(currency),
        reference=reference,
        app=app,
        from_transaction=books.new_id(),
        to_transaction=books.new_id(),
    )
    books.save_bank_transfer(made)
    sides = (("SPEND-TRANSFER", made.from_transaction, source), ("RECEIVE-TRANSFER", made.to_transaction, target))
    for type_, id_, account in sides:
        side = BankTransaction(
            id=id_,
            type=type_,
            account_id=account.id,
            contact_id="",
            date=on,
            currency=currency,
            currency_rate=made.currency_rate,
            line_amount_types="NoTax",
            lines=[],
            sub_total=made.amount,
            total_tax=ZERO,
            total=made.amount,
            reference=reference,
            app=app,
        )
        books.save_bank_transaction(side)
    return made


def delete_transfer(books: Books, transfer: BankTransfer) -> BankTransfer:
    """Both sides go with it."""
    if transfer.status == "DELETED":
        raise ElementRefused(errors.NOT_MODIFIABLE)
    transfer.status = "DELETED"
    books.save_bank_transfer(transfer)
    for id_ in (transfer.from_transaction, transfer.to_transaction):
        side = books.bank_transactions[id_]
        side.status = "DELETED"
        books.save_bank_transaction(side)
    return transfer


def balances(books: Books) -> dict[str, Decimal]:
    """What each bank account holds, in its own currency, by its AccountID: payments, money spent and received,
    transfers. Every account begins with nothing."""
    held: dict[str, Decimal] = {}
    for payment in books.payments.values():
        if payment.status == "AUTHORISED":
            sign = -1 if payment.type in {"ARCREDITPAYMENT", "ACCPAYPAYMENT"} else 1
            held[payment.account_id] = held.get(payment.account_id, ZERO) + sign * payment.bank_amount
    for one in books.bank_transactions.values():
        if one.status == "AUTHORISED":
            sign = -1 if one.type.startswith("SPEND") else 1
            held[one.account_id] = held.get(one.account_id, ZERO) + sign * one.total
    return held


def _bank(books: Books, given: Element | None, key: str, found: Findings) -> Account | None:
    id_, code = text(given or {}, "AccountID"), text(given or {}, "Code")
    if not id_ and not code:
        found.errors.append(errors.bank_account_missing(key))
        return None
    account = books.org.accounts_by_id.get(id_.lower()) if id_ else books.org.accounts.get(code or "")
    if account is None:
        found.errors.append(errors.ACCOUNT_NOT_FOUND)
    elif account.type != "BANK":
        found.errors.append(errors.BANK_ACCOUNT_TYPE)
    elif account.status != "ACTIVE":
        found.errors.append(errors.account_archived(account.code))
    else:
        return account
    return None


def _currency(books: Books, element: Element, account: Account | None, found: Findings) -> tuple[str, Decimal]:
    base = books.org.base_currency
    own = (account.currency if account else None) or base
    if text(element, "CurrencyCode") not in (None, "", own):
        found.errors.append(errors.BANK_CURRENCY)
    rate = number(element, "CurrencyRate")
    if own == base:
        return own, Decimal(1)
    if rate is not None and rate <= 0:
        found.errors.append("The currency rate must be greater than zero")
    return own, rate.quantize(Decimal("0.000001")) if rate is not None and rate > 0 else books.org.day_rate(own)


def _check_lock(books: Books, on: date, found: Findings) -> None:
    lock = books.org.lock()
    if lock and on <= lock[1]:
        found.errors.append(errors.locked(*lock))


def _reference(element: Element, found: Findings) -> str:
    reference = text(element, "Reference") or ""
    if len(reference) > 255:
        found.errors.append(errors.too_long("Reference", 255))
    return reference
