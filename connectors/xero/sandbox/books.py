"""The books of one organisation, with the indexes that make numbers, names and codes unique without scanning.

Guarantee: every rule runs to its end before the books change, and the server runs one request's rules without
giving up the event loop, so an element is written whole or not at all and two concurrent calls can never both take
a number. `changed` collects what a request wrote; the store commits it in one transaction before the answer leaves.
"""

from __future__ import annotations

import unicodedata
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from connectors.xero.sandbox.chart import Organisation
from connectors.xero.sandbox.clock import Clock
from connectors.xero.sandbox.documents import BankTransaction, BankTransfer, Contact, Document, Item, Payment, restore

KINDS: dict[str, Any] = {
    "contact": Contact,
    "item": Item,
    "document": Document,
    "payment": Payment,
    "bank_transaction": BankTransaction,
    "bank_transfer": BankTransfer,
}
Row = Contact | Item | Document | Payment | BankTransaction | BankTransfer


def fold(value: str) -> str:
    """Case- and accent-insensitive form, which is how Xero compares names."""
    if value.isascii():
        return value.casefold()
    plain = unicodedata.normalize("NFKD", value.casefold())
    return "".join(one for one in plain if not unicodedata.combining(one))


def new_uuid() -> str:
    """A fresh document id."""
    return str(uuid.uuid4())


class Books:
    """All documents of an organisation. Rules live in contacts.py, items.py, invoices.py, payments.py and bank.py."""

    def __init__(self, org: Organisation, clock: Clock, new_id: Callable[[], str] = new_uuid):
        self.org = org
        self.clock = clock
        self.new_id = new_id
        self.contacts: dict[str, Contact] = {}
        self.contact_by_number: dict[str, str] = {}
        self.contact_by_name: dict[str, str] = {}
        self.contacts_by_email: dict[str, set[str]] = {}
        self.items: dict[str, Item] = {}
        self.item_by_code: dict[str, str] = {}
        self.invoices: dict[str, Document] = {}
        self.credit_notes: dict[str, Document] = {}
        self.sales_number: dict[tuple[bool, str], str] = {}
        self.documents_by_number: dict[str, set[str]] = {}
        self.documents_by_reference: dict[str, set[str]] = {}
        self.documents_by_contact: dict[str, set[str]] = {}
        self.payments: dict[str, Payment] = {}
        self.payments_by_document: dict[str, list[str]] = {}
        self.payments_by_reference: dict[str, set[str]] = {}
        self.bank_transactions: dict[str, BankTransaction] = {}
        self.bank_transfers: dict[str, BankTransfer] = {}
        self.approved_in_month: Counter[tuple[int, int]] = Counter()
        self.changed: dict[tuple[str, str], Row] = {}
        self._keys: dict[str, tuple[str, ...]] = {}
        self._seq = 0

    # -- reading

    def document(self, id_: str) -> Document | None:
        """An invoice or credit note by id."""
        return self.invoices.get(id_) or self.credit_notes.get(id_)

    def by_number(self, number: str, *, credit: bool) -> Document | None:
        """The ACCREC invoice or ACCRECCREDIT note of that number, voided ones included: their numbers stay taken."""
        id_ = self.sales_number.get((credit, fold(number)))
        return self.document(id_) if id_ else None

    def find_document(self, key: str, *, credit: bool) -> Document | None:
        """By id, else by number."""
        held = self.credit_notes if credit else self.invoices
        return held.get(key.lower()) or self.by_number(key, credit=credit)

    def find_contact(self, key: str) -> Contact | None:
        """By id, else by ContactNumber."""
        return self.contacts.get(key.lower()) or self.contacts.get(self.contact_by_number.get(fold(key), ""))

    def named(self, name: str) -> Contact | None:
        """The active contact of that name."""
        return self.contacts.get(self.contact_by_name.get(fold(name), ""))

    def find_item(self, key: str) -> Item | None:
        """By id, else by code."""
        return self.items.get(key.lower()) or self.items.get(self.item_by_code.get(fold(key), ""))

    def payments_of(self, document: Document) -> Iterator[Payment]:
        """The payments that stand (not the deleted ones)."""
        return (self.payments[id_] for id_ in document.payments)

    def next_number(self, prefix: str, *, credit: bool) -> str:
        """Xero numbers what comes without a number."""
        count = len(self.credit_notes if credit else self.invoices) + 1
        while (credit, fold(f"{prefix}{count:04d}")) in self.sales_number:
            count += 1
        return f"{prefix}{count:04d}"

    # -- writing

    def save_contact(self, contact: Contact) -> None:
        """Insert or refresh, with its indexes."""
        self._stamp("contact", contact)
        self.index_contact(contact)

    def save_item(self, item: Item) -> None:
        """Insert or refresh."""
        self._stamp("item", item)
        self.index_item(item)

    def save_document(self, document: Document) -> None:
        """Insert or refresh."""
        self._stamp("document", document)
        self.index_document(document)

    def save_payment(self, payment: Payment) -> None:
        """Insert or refresh."""
        self._stamp("payment", payment)
        self.index_payment(payment)

    def save_bank_transaction(self, transaction: BankTransaction) -> None:
        """Insert or refresh."""
        self._stamp("bank_transaction", transaction)
        self.bank_transactions[transaction.id] = transaction

    def save_bank_transfer(self, transfer: BankTransfer) -> None:
        """Insert or refresh."""
        self._stamp("bank_transfer", transfer)
        self.bank_transfers[transfer.id] = transfer

    def _stamp(self, kind: str, row: Row) -> None:
        if not row.seq:
            self._seq += 1
            row.seq = self._seq
        row.updated = self.clock.ms()
        self.changed[kind, row.id] = row

    def index_contact(self, contact: Contact) -> None:
        """An archived contact keeps its number and gives up its name."""
        number = fold(contact.number) if contact.number else ""
        name = fold(contact.name) if contact.status == "ACTIVE" else ""
        email = contact.fields.get("EmailAddress", "").casefold()
        old = self._keys.get(contact.id)
        if old:
            _drop(self.contact_by_number, old[0], contact.id)
            _drop(self.contact_by_name, old[1], contact.id)
            self.contacts_by_email.get(old[2], set()).discard(contact.id)
        if number:
            self.contact_by_number[number] = contact.id
        if name:
            self.contact_by_name[name] = contact.id
        if email:
            self.contacts_by_email.setdefault(email, set()).add(contact.id)
        self._keys[contact.id] = (number, name, email)
        self.contacts[contact.id] = contact

    def index_item(self, item: Item) -> None:
        """By code."""
        self.items[item.id] = item
        self.item_by_code[fold(item.code)] = item.id

    def index_document(self, document: Document) -> None:
        """By number (sales side only: suppliers' numbers may repeat), reference and contact."""
        any_number = fold(document.number)
        number = any_number if document.is_sales else ""
        new = (number, fold(document.reference), document.contact_id, any_number)
        old = self._keys.get(document.id)
        if old != new:
            if old:
                if self.sales_number.get((document.is_credit, old[0])) == document.id:
                    del self.sales_number[document.is_credit, old[0]]
                self.documents_by_reference.get(old[1], set()).discard(document.id)
                self.documents_by_contact.get(old[2], set()).discard(document.id)
                self.documents_by_number.get(old[3], set()).discard(document.id)
            if number:
                self.sales_number[document.is_credit, number] = document.id
            if new[1]:
                self.documents_by_reference.setdefault(new[1], set()).add(document.id)
            self.documents_by_contact.setdefault(new[2], set()).add(document.id)
            self.documents_by_number.setdefault(any_number, set()).add(document.id)
            self._keys[document.id] = new
        (self.credit_notes if document.is_credit else self.invoices)[document.id] = document

    def index_payment(self, payment: Payment) -> None:
        """By document and by reference; deleted payments stay findable."""
        if payment.id not in self.payments:
            self.payments_by_document.setdefault(payment.document_id, []).append(payment.id)
            if payment.reference:
                self.payments_by_reference.setdefault(fold(payment.reference), set()).add(payment.id)
        self.payments[payment.id] = payment

    def load(self, rows: Iterator[tuple[str, dict[str, Any]]]) -> None:
        """Fill empty books from the store: (kind, record)."""
        index: dict[str, Callable[[Any], None]] = {
            "contact": self.index_contact,
            "item": self.index_item,
            "document": self.index_document,
            "payment": self.index_payment,
            "bank_transaction": lambda row: self.bank_transactions.update({row.id: row}),
            "bank_transfer": lambda row: self.bank_transfers.update({row.id: row}),
        }
        for kind, record in rows:
            row = restore(KINDS[kind], record)
            index[kind](row)
            self._seq = max(self._seq, row.seq)
            if kind == "document" and row.type == "ACCREC" and row.status in {"AUTHORISED", "PAID", "VOIDED"}:
                self.approved_in_month[row.date.year, row.date.month] += 1


def _drop(index: dict[str, str], key: str, id_: str) -> None:
    if key and index.get(key) == id_:
        del index[key]
