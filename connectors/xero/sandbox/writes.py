"""PUT, POST and DELETE: each element is written whole or refused; errors of the whole request come before any write."""

from __future__ import annotations

from connectors.xero.sandbox import bank, bank_replies, contacts, document_replies, invoices, items, payments, replies
from connectors.xero.sandbox.calls import Call, Good, Handler, batch
from connectors.xero.sandbox.errors import ElementRefused, NotFound, PostDataInvalid
from connectors.xero.sandbox.idempotency import Answer
from connectors.xero.sandbox.invoices import Kind
from connectors.xero.sandbox.reading import Element, choice, elements


def _with_id(given: list[Element], key: str, id_: str) -> list[Element]:
    if len(given) != 1:
        raise PostDataInvalid("JSON for post data was invalid,exactly one element is expected when the URL names one")
    return [given[0] | {key: id_}]


def write_contacts(call: Call, id_: str) -> Answer:
    """PUT or POST /Contacts, POST /Contacts/{ContactID}."""
    given = elements(call.body, "Contacts")
    if id_:
        found = call.books.find_contact(id_)
        if found is None:
            raise NotFound
        given = _with_id(given, "ContactID", found.id)
    create_only = call.method == "PUT"
    if not create_only:
        contacts.check_ids(call.books, given)

    def one(element: Element) -> Good:
        return Good(replies.contact(contacts.write(call.books, element, call.app, create_only=create_only), "write"))

    return batch(call, "Contacts", given, one)


def write_items(call: Call, id_: str) -> Answer:
    """PUT or POST /Items, POST /Items/{ItemID}."""
    given = elements(call.body, "Items")
    if id_:
        found = call.books.find_item(id_)
        if found is None:
            raise NotFound
        given = _with_id(given, "ItemID", found.id)
    elif call.method == "POST":
        items.check_ids(call.books, given)

    def one(element: Element) -> Good:
        create_only = call.method == "PUT"
        return Good(
            replies.item(items.write(call.books, element, create_only=create_only, unitdp=call.unitdp), "write")
        )

    return batch(call, "Items", given, one)


def document_writer(kind: Kind) -> Handler:
    """PUT or POST of invoices or credit notes, and POST of one by id or number."""
    show = document_replies.credit_note if kind.credit else document_replies.invoice

    def handler(call: Call, id_: str) -> Answer:
        given = elements(call.body, kind.plural)
        if id_:
            found = call.books.find_document(id_, credit=kind.credit)
            if found is None:
                raise NotFound
            given = _with_id(given, kind.id_key, found.id)
        invoices.check_whole(call.books, given)

        def one(element: Element) -> Good:
            create_only = call.method == "PUT"
            done = invoices.write(call.books, kind, element, create_only=create_only, unitdp=call.unitdp, app=call.app)
            return Good(show(done.document, call.books, "write", call.unitdp), done.warnings)

        return batch(call, kind.plural, given, one)

    return handler


def write_payments(call: Call, id_: str) -> Answer:
    """PUT /Payments (batch), POST /Payments (create), POST /Payments/{PaymentID} with Status DELETED."""
    given = elements(call.body, "Payments")
    books = call.books
    if id_:
        given = _with_id(given, "PaymentID", id_.lower())
    if call.method == "POST":
        payments.check_ids(books, given)

    def one(element: Element) -> Good:
        status = choice(element, "Status", ("AUTHORISED", "DELETED"))
        if call.method == "POST" and status == "DELETED":
            return Good(
                document_replies.payment(payments.delete(books, payments.named(books, element)), books, "write")
            )
        if id_:
            raise ElementRefused("Payments cannot be modified, only created and deleted")
        return Good(document_replies.payment(payments.create(books, element, call.app), books, "write"))

    # summarizeErrors is not a parameter of POST /Payments
    return batch(call, "Payments", given, one, always_summarise=call.method == "POST")


def write_bank_transactions(call: Call, id_: str) -> Answer:
    """PUT or POST /BankTransactions (create), POST /BankTransactions/{id} with Status DELETED."""
    given = elements(call.body, "BankTransactions")
    books = call.books
    if id_:
        if id_.lower() not in books.bank_transactions:
            raise NotFound
        given = _with_id(given, "BankTransactionID", id_.lower())
    bank.check_whole(books, given)

    def one(element: Element) -> Good:
        if call.method == "POST" and choice(element, "Status", ("AUTHORISED", "DELETED")) == "DELETED":
            return Good(bank_replies.transaction(bank.delete_transaction(books, element), books, "write", call.unitdp))
        if id_:
            raise ElementRefused("The sandbox deletes bank transactions and does not change them")
        made, warnings = bank.create_transaction(books, element, call.unitdp, call.app)
        return Good(bank_replies.transaction(made, books, "write", call.unitdp), tuple(warnings))

    return batch(call, "BankTransactions", given, one)


def write_bank_transfers(call: Call, id_: str) -> Answer:
    """PUT /BankTransfers."""
    books = call.books

    def one(element: Element) -> Good:
        return Good(bank_replies.transfer(bank.create_transfer(books, element, call.app), books, "write"))

    # summarizeErrors is not a parameter of PUT /BankTransfers
    return batch(call, "BankTransfers", elements(call.body, "BankTransfers"), one, always_summarise=True)


def write_allocations(call: Call, id_: str) -> Answer:
    """PUT /CreditNotes/{id}/Allocations."""
    books = call.books
    credit = books.find_document(id_, credit=True)
    if credit is None:
        raise NotFound

    def one(element: Element) -> Good:
        return Good(document_replies.allocation_written(payments.allocate(books, credit, element), credit, books))

    return batch(call, "Allocations", elements(call.body, "Allocations"), one)


def delete_allocation(call: Call, ids: str) -> Answer:
    """DELETE /CreditNotes/{id}/Allocations/{AllocationID}."""
    id_, _, allocation_id = ids.partition("/Allocations/")
    credit = call.books.find_document(id_, credit=True)
    if credit is None:
        raise NotFound
    payments.unallocate(call.books, credit, allocation_id)
    return call.reply("Allocations", [{"AllocationID": allocation_id, "IsDeleted": True}])
