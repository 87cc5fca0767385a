"""What people do in Xero by hand while orders are on their way. Whom they touched is marked for the judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from connectors.xero.sandbox import edits, invoices, payments
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.documents import Contact, Document
from tests.simulation.summaries import STORE_CONTACT
from tests.simulation.xero import APP

if TYPE_CHECKING:
    from tests.simulation.workload import Order
    from tests.simulation.world import World

Edit = Callable[[str, Books], bool]


class Hands:
    """`work` makes one edit of a kind that is possible now, or lies in wait for the next invoice."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = Random(f"hands {world.weather.seed}")
        self._ambush: dict[str, list[Callable[[str, Document], bool]]] = {}
        self._edits: dict[str, Edit] = {
            "void": self._void,
            "delete payment": self._delete_payment,
            "archive contact": self._archive,
            "restore contact": self._restore,
            "merge contact": self._merge,
            "take a name": self._take_name,
            "take a number": self._take_number,
            "lie in wait": self._lie_in_wait,
        }

    def work(self) -> None:
        """One edit."""
        if self.world.calm:
            return
        org = self.random.choice(self.world.weather.orgs)
        books = self.world.xero.books[org]
        if self.world.office.busy(org):
            return
        kinds = list(self._edits)
        self.random.shuffle(kinds)
        for kind in kinds:
            if self._edits[kind](org, books):
                self.world.count(f"fault by hand: {kind}")
                books.changed.clear()
                return

    def contact(self, org: str, name: str, number: str | None = None, email: str | None = None) -> None:
        """A contact that somebody made."""
        books = self.world.xero.books[org]
        if books.named(name) is None:
            fields = {"EmailAddress": email} if email else {}
            persons = [{"FirstName": "Eve", "EmailAddress": "eve@x.uk", "IncludeInEmails": False}]
            books.save_contact(Contact(books.new_id(), name, number, fields=fields, persons=persons))
            books.changed.clear()

    def invoice_made(self, org: str, document: Document) -> None:
        """One of ours is new: whoever lay in wait acts, a moment later."""
        waiting = self._ambush.get(org)
        if waiting:
            act = waiting.pop()
            self.world.loop.after(self.random.uniform(0.0, 2.0), partial(self._act, act, org, document))

    def _act(self, act: Callable[[str, Document], bool], org: str, document: Document) -> None:
        if not self.world.office.busy(org) and act(org, document):
            self.world.xero.books[org].changed.clear()

    def _touch(self, order: Order | None, what: str) -> None:
        if order is not None:
            order.touched = order.touched or what
            self.world.say("somebody", "{}: {}", what, order.key)

    def _touch_document(self, org: str, document: Document, what: str) -> None:
        self.world.summaries.touch(org, document.number)
        self._touch(self.world.workload.order_of(org, document.number), what)

    def _touch_customer(self, org: str, contact: Contact, what: str) -> None:
        """All orders of whom this contact is, or may become: by number, by the e-mail that it has or had before its
        customer's update, or by a document that it has."""
        workload, books = self.world.workload, self.world.xero.books[org]
        if contact.number == STORE_CONTACT:
            self.world.summaries.all_touched.add(org)
        people = [who[0] for who in workload.customers[org].values()]
        mails = {who["email"] for who in people if who["number"] == contact.number and who["email"]}
        mails.add(contact.fields.get("EmailAddress", "-"))
        whose = {who["key"] for who in people if who["number"] == contact.number or who["email"] in mails}
        for id_ in books.documents_by_contact.get(contact.id, ()):
            invoice = books.invoices.get(id_)  # else a credit note, whose order's invoice is among them
            order = workload.order_of(org, invoice.number) if invoice is not None else None
            if order is not None:
                whose.add(order.customer)
        for order in workload.orders.values():
            if order.org == org and order.customer in whose:
                self._touch(order, what)

    # -- invoices -----------------------------------------------------------------------------------------------

    def _ours(self, books: Books, *status: str) -> list[Document]:
        return [d for d in books.invoices.values() if d.app == APP and d.status in status]

    def _void(self, org: str, books: Books) -> bool:
        found = self._ours(books, "AUTHORISED", "PAID")
        return bool(found) and self._void_one(org, self.random.choice(found))

    def _void_one(self, org: str, document: Document) -> bool:
        if document.status not in {"AUTHORISED", "PAID"} or document.allocations:
            return False  # Xero voids none that a credit note stands on
        self._touch_document(org, document, "invoice voided")
        edits.void(self.world.xero.books[org], {"id": document.id})
        return True

    def _delete_payment(self, org: str, books: Books) -> bool:
        found = [d for d in self._ours(books, "AUTHORISED", "PAID") if d.payments]
        return bool(found) and self._delete_one(org, self.random.choice(found))

    def _delete_one(self, org: str, document: Document) -> bool:
        books = self.world.xero.books[org]
        if not document.payments:
            return False
        self._touch_document(org, document, "payment deleted")
        payments.delete(books, books.payments[self.random.choice(document.payments)])
        return True

    def _pay_one(self, org: str, document: Document) -> bool:
        if document.status != "AUTHORISED" or not document.outstanding:
            return False
        self._touch_document(org, document, "invoice paid by hand")
        amount = document.outstanding if self.random.random() < 0.7 else Decimal("0.01")
        element: dict[str, Any] = {"Invoice": {"InvoiceID": document.id}, "Account": {"Code": "092"}, "Amount": amount}
        payments.create(self.world.xero.books[org], {**element, "Date": "2026-11-20", "Reference": "cash"}, "")
        return True

    def _lie_in_wait(self, org: str, books: Books) -> bool:
        acts = (self._void_one, self._pay_one, self._pay_one, self._delete_one)
        self._ambush.setdefault(org, []).append(self.random.choice(acts))
        return True

    def _take_number(self, org: str, books: Books) -> bool:
        free = [
            o
            for o in self.world.workload.orders.values()
            if o.org == org and not books.by_number(o.number, credit=False)
        ]
        if not free:
            return False
        order = self.random.choice(free)
        self._touch(order, "number taken")
        self.contact(org, "Somebody")
        line = {"Description": "By hand", "Quantity": 1, "UnitAmount": "7.00", "AccountCode": "200", "TaxType": "NONE"}
        element = {
            "Type": "ACCREC", "Status": "AUTHORISED", "InvoiceNumber": order.number, "Contact": {"Name": "Somebody"},
            "Date": "2026-11-20", "DueDate": "2026-11-20", "LineItems": [line],
        }  # fmt: skip
        invoices.write(books, invoices.INVOICE, element, create_only=True, unitdp=4, app="")
        return True

    # -- contacts -----------------------------------------------------------------------------------------------

    def _customers(self, books: Books, status: str) -> list[Contact]:
        return [c for c in books.contacts.values() if c.number and c.status == status]

    def _archive(self, org: str, books: Books) -> bool:
        found = self._customers(books, "ACTIVE")
        if not found:
            return False
        contact = self.random.choice(found)
        self._touch_customer(org, contact, "contact archived")
        edits.archive_contact(books, {"id": contact.id})
        return True

    def _restore(self, org: str, books: Books) -> bool:
        found = [c for c in self._customers(books, "ARCHIVED") if books.named(c.name) is None]
        if not found:
            return False
        edits.restore_contact(books, {"id": self.random.choice(found).id})
        return True

    def _merge(self, org: str, books: Books) -> bool:
        """A contact is merged into another. It stays, archived, and says into whom; or its id is unknown from then on,
        and its number is free or gone for ever: what Xero does is not known (xero.md §4.1)."""
        found = self._customers(books, "ACTIVE")
        if len(found) < 2:
            return False
        loser, winner = self.random.sample(found, 2)
        self._touch_customer(org, loser, "contact merged")
        edits.archive_contact(books, {"id": loser.id})  # its name is free
        kind = self.random.choice(("stays", "number free", "number gone"))
        if kind == "stays":
            loser.fields["MergedToContactID"] = winner.id
        else:
            if kind == "number free":
                books.index_contact(replace(loser, number=None, status="ARCHIVED"))
            del books.contacts[loser.id]
        documents = (*books.invoices.values(), *books.credit_notes.values())
        for document in [d for d in documents if d.contact_id == loser.id]:
            document.contact_id = winner.id
            books.save_document(document)
        return True

    def _take_name(self, org: str, books: Books) -> bool:
        names = [who[0]["name"] for who in self.world.workload.customers[org].values()]
        free = [name for name in names if books.named(name) is None]
        if not free:
            return False
        self.contact(org, self.random.choice(free))
        return True
