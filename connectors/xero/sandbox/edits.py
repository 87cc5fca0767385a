"""What an accountant does by hand in Xero's own screens, so that reconciliation and drift can be tested.

The screens allow more than the API (an amount of a paid invoice can be changed after removing and redoing its
payment), so these edits go past the API's rules; sums stay consistent, except where `edit_amount` is told to leave
a payment standing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from connectors.xero.sandbox import bank, payments
from connectors.xero.sandbox.arithmetic import line_amount, line_tax, totals, unit
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.documents import BankTransaction, BankTransfer, Contact, Document, Payment
from connectors.xero.sandbox.errors import SettingRefused
from connectors.xero.sandbox.invoices import settle

Order = Mapping[str, Any]


def _document(books: Books, order: Order) -> Document:
    key = str(order.get("id") or order.get("number") or "")
    found = books.find_document(key, credit=bool(order.get("credit")))
    if found is None:
        raise SettingRefused(f"no {'credit note' if order.get('credit') else 'invoice'} {key!r} in {books.org.slug}")
    return found


def _contact(books: Books, order: Order) -> Contact:
    key = str(order.get("id") or order.get("number") or "")
    found = books.find_contact(key) or books.named(str(order.get("name", "")))
    if found is None:
        raise SettingRefused(f"no contact {key or order.get('name')!r} in {books.org.slug}")
    return found


def _payment(books: Books, order: Order) -> Payment:
    """By payment id, by reference, or the last standing one of an invoice."""
    found = books.payments.get(str(order.get("id", "")).lower())
    if found is None and order.get("reference"):
        found = next((one for one in books.payments.values() if one.reference == order["reference"]), None)
    if found is None and order.get("number"):
        standing = list(books.payments_of(_document(books, order)))
        found = standing[-1] if standing else None
    if found is None:
        raise SettingRefused(f"no payment for {dict(order)!r} in {books.org.slug}")
    return found


def delete_payment(books: Books, order: Order) -> str:
    """Remove a payment: {id} or {reference} or {number of the invoice}."""
    return payments.delete(books, _payment(books, order)).id


def edit_amount(books: Books, order: Order) -> str:
    """Change the unit amount of a line: {number, unit_amount, line (0)}."""
    document = _document(books, order)
    index = int(order.get("line", 0))
    if not 0 <= index < len(document.lines):
        raise SettingRefused(f"{document.number} has {len(document.lines)} lines, line {index} is not one of them")
    old = document.lines[index]
    price = unit(Decimal(str(order["unit_amount"])), 4)
    amount = line_amount(old.quantity, price, old.discount_rate, old.discount_amount)
    tax = line_tax(amount, books.org.tax_rates[old.tax_type].percent, document.line_amount_types)
    document.lines[index] = replace(old, unit_amount=price, line_amount=amount, tax_amount=tax, tax_sent=False)
    sums = totals(((line.line_amount, line.tax_amount) for line in document.lines), document.line_amount_types)
    document.sub_total, document.total_tax, document.total = sums.sub_total, sums.tax, sums.total
    settle(document, document.date)
    books.save_document(document)
    return document.id


def edit_text(books: Books, order: Order) -> str:
    """Change the reference, or a line's description or account: {number, reference} or {number, line, description,
    account}.
    """
    document = _document(books, order)
    if "reference" in order:
        document.reference = str(order["reference"])
    index = int(order.get("line", 0))
    if "description" in order:
        document.lines[index] = replace(document.lines[index], description=str(order["description"]))
    if "account" in order:
        account = books.org.accounts.get(str(order["account"]))
        if account is None:
            raise SettingRefused(f"no account {order['account']!r} in {books.org.slug}")
        document.lines[index] = replace(document.lines[index], account_code=account.code, account_id=account.id)
    books.save_document(document)
    return document.id


def void(books: Books, order: Order) -> str:
    """Void a document, removing its payments first, as the screen makes one do: {number}."""
    document = _document(books, order)
    for payment in list(books.payments_of(document)):
        payments.delete(books, payment)
    if document.allocations:
        raise SettingRefused(f"{document.number} has credit allocated; remove the allocation first")
    document.status = "VOIDED"
    books.save_document(document)
    return document.id


def archive_contact(books: Books, order: Order) -> str:
    """Archive: {id} or {number} or {name}."""
    contact = _contact(books, order)
    contact.status = "ARCHIVED"
    books.save_contact(contact)
    return contact.id


def merge_contact(books: Books, order: Order) -> str:
    """Merge into another: {id} or {number}, {into: id or number}. The documents go over; what is left is archived."""
    gone, into = _contact(books, order), _contact(books, {"id": order["into"], "number": order["into"]})
    if gone.id == into.id:
        raise SettingRefused(f"{gone.name!r} cannot be merged into itself")
    gone.status, gone.merged_to = "ARCHIVED", into.id
    books.save_contact(gone)
    for id_ in list(books.documents_by_contact.get(gone.id, ())):
        document = books.document(id_)
        if document is not None:
            document.contact_id = into.id
            books.save_document(document)
    return gone.id


def restore_contact(books: Books, order: Order) -> str:
    """Un-archive, which the API cannot: {id} or {number}."""
    contact = _contact(books, order)
    if (holder := books.named(contact.name)) is not None and holder.id != contact.id:
        raise SettingRefused(f"the name {contact.name!r} is taken by another active contact")
    contact.status = "ACTIVE"
    books.save_contact(contact)
    return contact.id


def rename_contact(books: Books, order: Order) -> str:
    """Rename: {id or number, to}."""
    contact = _contact(books, order)
    if (holder := books.named(str(order["to"]))) is not None and holder.id != contact.id:
        raise SettingRefused(f"the name {order['to']!r} is taken by another active contact")
    contact.name = str(order["to"])
    books.save_contact(contact)
    return contact.id


def duplicate_invoice(books: Books, order: Order) -> str:
    """Copy an invoice under a new number: {number, to (<number>-COPY)}; the copy is authorised and unpaid."""
    source = _document(books, order)
    number = str(order.get("to") or f"{source.number}-COPY")
    if books.by_number(number, credit=source.is_credit) is not None:
        raise SettingRefused(f"the number {number!r} is taken")
    copy = replace(
        source,
        id=books.new_id(),
        number=number,
        seq=0,
        status="AUTHORISED",
        paid=Decimal("0.00"),
        credited=Decimal("0.00"),
        payments=[],
        allocations=[],
        fully_paid_on=None,
        lines=[replace(line, id=books.new_id()) for line in source.lines],
        app="",
    )
    books.save_document(copy)
    return copy.id


def renumber(books: Books, order: Order) -> str:
    """Give a document another number: {number, to}."""
    document = _document(books, order)
    if books.by_number(str(order["to"]), credit=document.is_credit) is not None:
        raise SettingRefused(f"the number {order['to']!r} is taken")
    document.number = str(order["to"])
    books.save_document(document)
    return document.id


def _bank_row(books: Books, order: Order) -> BankTransaction | BankTransfer:
    """By id, or the living one whose Reference begins with `reference`: {transfer: true} for a transfer."""
    held: Mapping[str, BankTransaction | BankTransfer] = (
        books.bank_transfers if order.get("transfer") else books.bank_transactions
    )
    start = str(order.get("reference", ""))
    rows = (one for one in held.values() if one.status != "DELETED" and "-TRANSFER" not in getattr(one, "type", ""))
    found = held.get(str(order.get("id", "")).lower()) or next(
        (one for one in rows if start and one.reference.startswith(start)), None
    )
    if found is None:
        raise SettingRefused(f"no bank transaction or transfer for {dict(order)!r} in {books.org.slug}")
    return found


def delete_bank(books: Books, order: Order) -> str:
    """Remove money spent or received, or a transfer: {id or reference, transfer}."""
    row = _bank_row(books, order)
    if isinstance(row, BankTransfer):
        return bank.delete_transfer(books, row).id
    row.status = "DELETED"
    books.save_bank_transaction(row)
    return row.id


def duplicate_bank(books: Books, order: Order) -> str:
    """Enter it once more by hand: {id or reference, transfer}."""
    row = _bank_row(books, order)
    if isinstance(row, BankTransfer):
        accounts = {"FromBankAccount": {"AccountID": row.from_account}, "ToBankAccount": {"AccountID": row.to_account}}
        more = {"Amount": row.amount, "Date": row.date.isoformat(), "Reference": row.reference}
        return bank.create_transfer(books, {**accounts, **more}, "").id
    copy = replace(row, id=books.new_id(), seq=0, app="", lines=[replace(one, id=books.new_id()) for one in row.lines])
    books.save_bank_transaction(copy)
    return copy.id


def edit_bank(books: Books, order: Order) -> str:
    """Change the amount of a transfer, or of the first line: {id or reference, transfer, amount}."""
    row, amount = _bank_row(books, order), Decimal(str(order["amount"]))
    if isinstance(row, BankTransfer):
        row.amount = amount
        for id_ in (row.from_transaction, row.to_transaction):
            side = books.bank_transactions[id_]
            side.sub_total = side.total = amount
            books.save_bank_transaction(side)
        books.save_bank_transfer(row)
        return row.id
    old = row.lines[0]
    tax = line_tax(amount, books.org.tax_rates[old.tax_type].percent, row.line_amount_types)
    row.lines[0] = replace(old, quantity=Decimal(1), unit_amount=amount, line_amount=amount, tax_amount=tax)
    sums = totals(((line.line_amount, line.tax_amount) for line in row.lines), row.line_amount_types)
    row.sub_total, row.total_tax, row.total = sums.sub_total, sums.tax, sums.total
    books.save_bank_transaction(row)
    return row.id


ACTIONS: dict[str, Callable[[Books, Order], str]] = {
    "delete_payment": delete_payment,
    "edit_amount": edit_amount,
    "edit_text": edit_text,
    "void": void,
    "archive_contact": archive_contact,
    "restore_contact": restore_contact,
    "merge_contact": merge_contact,
    "rename_contact": rename_contact,
    "duplicate_invoice": duplicate_invoice,
    "renumber": renumber,
    "delete_bank": delete_bank,
    "duplicate_bank": duplicate_bank,
    "edit_bank": edit_bank,
}


def edit(books: Books, order: Order) -> str:
    """Run one edit; the id of what was touched. Raises SettingRefused."""
    action = ACTIONS.get(str(order.get("action")))
    if action is None:
        raise SettingRefused(f"unknown action {order.get('action')!r}; known: {sorted(ACTIONS)}")
    try:
        return action(books, order)
    except KeyError as problem:
        raise SettingRefused(f"{order['action']} needs the key {problem}") from problem
