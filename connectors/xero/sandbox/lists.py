"""GET: filters, pages and single elements, by index wherever a filter names what an index knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from connectors.xero.sandbox import bank_replies, document_replies, query, replies
from connectors.xero.sandbox.books import Books, fold
from connectors.xero.sandbox.calls import Call, Handler
from connectors.xero.sandbox.documents import Document, Payment
from connectors.xero.sandbox.errors import HighVolume, NotFound
from connectors.xero.sandbox.idempotency import Answer
from connectors.xero.sandbox.invoices import Kind
from connectors.xero.sandbox.query import Field, Filter

HIGH_VOLUME = 100_000


def _contact_of(books: Books, row: Document) -> Any:
    return books.contacts[row.contact_id]


def document_fields(books: Books, kind: Kind) -> dict[str, Field]:
    """The optimised filters of invoices and of credit notes (CreditNoteNumber is not one of them)."""
    common = {
        "Status": Field(lambda row: row.status, str),
        "Type": Field(lambda row: row.type, str),
        "Reference": Field(lambda row: row.reference, str),
        "Date": Field(lambda row: row.date, date),
        "Contact.ContactID": Field(lambda row: row.contact_id, str),
        "Contact.Name": Field(lambda row: _contact_of(books, row).name, str),
        "Contact.ContactNumber": Field(lambda row: _contact_of(books, row).number, str),
    }
    if kind.credit:
        return common
    return common | {
        "InvoiceNumber": Field(lambda row: row.number, str),
        "InvoiceID": Field(lambda row: row.id, str, either=True),
        "DueDate": Field(lambda row: row.due_date, date),
        "AmountDue": Field(lambda row: row.outstanding, Decimal),
        "AmountPaid": Field(lambda row: row.paid, Decimal),
    }


def payment_fields(books: Books) -> dict[str, Field]:
    """The optimised filters of payments."""
    return {
        "PaymentType": Field(lambda row: row.type, str),
        "Status": Field(lambda row: row.status, str),
        "Date": Field(lambda row: row.date, date),
        "Reference": Field(lambda row: row.reference, str),
        "PaymentID": Field(lambda row: row.id, str, either=True),
        "Invoice.InvoiceID": Field(lambda row: row.document_id, str, either=True),
    }


def _nothing(_: Any) -> None:
    """A filter on BankTransactions' Reference has been seen to match nothing, without a word (xero.md §1.7)."""
    return


BANK_TRANSACTION_FIELDS = {
    "Type": Field(lambda row: row.type, str),
    "Status": Field(lambda row: row.status, str),
    "Date": Field(lambda row: row.date, date),
    "BankAccount.AccountID": Field(lambda row: row.account_id, str),
    "Contact.ContactID": Field(lambda row: row.contact_id or None, str),
    "BankTransactionID": Field(lambda row: row.id, str),
    "Reference": Field(_nothing, str),
}
BANK_TRANSFER_FIELDS = {
    "Date": Field(lambda row: row.date, date),
    "Amount": Field(lambda row: row.amount, Decimal),
    "BankTransferID": Field(lambda row: row.id, str),
    "FromBankAccount.AccountID": Field(lambda row: row.from_account, str),
    "ToBankAccount.AccountID": Field(lambda row: row.to_account, str),
    "Reference": Field(_nothing, str),
}
CONTACT_FIELDS = {
    "Name": Field(lambda row: row.name, str),
    "EmailAddress": Field(lambda row: row.fields.get("EmailAddress"), str),
    "AccountNumber": Field(lambda row: row.fields.get("AccountNumber"), str),
    "ContactStatus": Field(lambda row: row.status, str),
}
ITEM_FIELDS = {"Code": Field(lambda row: row.code, str), "Name": Field(lambda row: row.name, str)}
ACCOUNT_FIELDS = {
    "Code": Field(lambda row: row.code, str),
    "Name": Field(lambda row: row.name, str),
    "Type": Field(lambda row: row.type, str),
    "Class": Field(lambda row: row.class_, str),
    "Status": Field(lambda row: row.status, str),
    "SystemAccount": Field(lambda row: row.system, str),
    "TaxType": Field(lambda row: row.tax_type, str),
}
TAX_FIELDS = {
    "TaxType": Field(lambda row: row.type, str),
    "Name": Field(lambda row: row.name, str),
    "Status": Field(lambda row: row.status, str),
}


def _since(call: Call, rows: Iterable[Any]) -> Iterable[Any]:
    since = query.changed_since(call.changed_since)
    return rows if since is None else [row for row in rows if row.updated >= since]


def _select(call: Call, rows: Iterable[Any], total: int, where: Filter | None, narrowed: bool) -> list[Any]:
    if total > HIGH_VOLUME and where is None and not narrowed and "page" not in call.query:
        raise HighVolume("The request would return more than 100000 rows; use paging or an optimised filter")
    chosen = _since(call, rows)
    return [row for row in chosen if where.matches(row)] if where else list(chosen)


def _picked(held: Mapping[str, Any], ids: Iterable[str]) -> list[Any]:
    return list({id_: held[id_] for id_ in ids if id_ in held}.values())


def document_list(kind: Kind) -> Handler:
    """GET /Invoices or /CreditNotes. Without `page` or `IDs` the rows come without lines, as documented."""
    show = document_replies.credit_note if kind.credit else document_replies.invoice

    def handler(call: Call, id_: str) -> Answer:
        books, asked = call.books, call.query
        held = books.credit_notes if kind.credit else books.invoices
        where = Filter(asked["where"], document_fields(books, kind)) if asked.get("where") else None
        ids, numbers = query.listed(asked, "IDs"), query.listed(asked, f"{kind.plural[:-1]}Numbers")
        contact_ids, statuses = query.listed(asked, "ContactIDs"), query.listed(asked, "Statuses")
        rows: Iterable[Any] = held.values()
        narrowed = True
        if ids is not None:
            rows = _picked(held, (one.lower() for one in ids))
        elif numbers is not None:
            rows = _picked(held, (i for one in numbers for i in books.documents_by_number.get(fold(one), ())))
        elif contact_ids is not None:
            rows = _picked(held, (i for one in contact_ids for i in books.documents_by_contact.get(one.lower(), ())))
        elif where is not None and (candidates := _document_candidates(books, where)) is not None:
            rows = _picked(held, candidates)
        else:
            narrowed = False
        if statuses is not None:
            rows = [row for row in rows if row.status in statuses]
        if contact_ids is not None:
            wanted = {one.lower() for one in contact_ids}
            rows = [row for row in rows if row.contact_id in wanted]
        if query.truth(asked, "createdByMyApp", False):
            rows = [row for row in rows if row.app == call.app]
        if term := asked.get("searchTerm") or asked.get("SearchTerm"):
            rows = [row for row in rows if fold(term) in fold(row.number) or fold(term) in fold(row.reference)]
        chosen = _select(call, rows, len(held), where, narrowed)
        chosen = query.ordered(chosen, asked.get("order"), document_fields(books, kind))
        page = query.paged(chosen, asked)
        summary = query.truth(asked, "summaryOnly", False) or (page.pagination is None and ids is None)
        shown = [show(row, books, "list", call.unitdp, summary=summary) for row in page.rows]
        return call.reply(kind.plural, shown, page.pagination)

    return handler


def _document_candidates(books: Books, where: Filter) -> Iterable[str] | None:
    if (ids := where.equals("InvoiceID")) is not None:
        return ids
    if (numbers := where.equals("InvoiceNumber")) is not None:
        return [id_ for one in numbers for id_ in books.documents_by_number.get(one, ())]
    if (references := where.equals("Reference")) is not None:
        return [id_ for one in references for id_ in books.documents_by_reference.get(one, ())]
    if (who := where.equals("Contact.ContactID")) is not None:
        return [id_ for one in who for id_ in books.documents_by_contact.get(one, ())]
    return None


def document_one(kind: Kind) -> Handler:
    """GET by id or number."""
    show = document_replies.credit_note if kind.credit else document_replies.invoice

    def handler(call: Call, id_: str) -> Answer:
        found = call.books.find_document(id_, credit=kind.credit)
        if found is None:
            raise NotFound
        return call.reply(kind.plural, [show(found, call.books, "one", call.unitdp)])

    return handler


def list_payments(call: Call, _: str) -> Answer:
    """GET /Payments, by index where the filter names documents or references."""
    books = call.books
    where = Filter(call.query["where"], payment_fields(books)) if call.query.get("where") else None
    rows: Iterable[Payment] = books.payments.values()
    narrowed = True
    if where and (documents := where.equals("Invoice.InvoiceID")) is not None:
        rows = _picked(books.payments, (i for one in documents for i in books.payments_by_document.get(one, ())))
    elif where and (references := where.equals("Reference")) is not None:
        rows = _picked(books.payments, (i for one in references for i in books.payments_by_reference.get(one, ())))
    else:
        narrowed = False
    chosen = _select(call, rows, len(books.payments), where, narrowed)
    page = query.paged(query.ordered(chosen, call.query.get("order"), payment_fields(books)), call.query)
    return call.reply("Payments", [document_replies.payment(row, books, "list") for row in page.rows], page.pagination)


def one_payment(call: Call, id_: str) -> Answer:
    """GET /Payments/{PaymentID}."""
    found = call.books.payments.get(id_.lower())
    if found is None:
        raise NotFound
    return call.reply("Payments", [document_replies.payment(found, call.books, "one")])


def list_bank_transactions(call: Call, _: str) -> Answer:
    """GET /BankTransactions: the sides of transfers among them; lines only on pages."""
    books, asked = call.books, call.query
    where = Filter(asked["where"], BANK_TRANSACTION_FIELDS) if asked.get("where") else None
    chosen = _select(call, books.bank_transactions.values(), len(books.bank_transactions), where, False)
    page = query.paged(query.ordered(chosen, asked.get("order"), BANK_TRANSACTION_FIELDS), asked)
    lines = page.pagination is not None
    shown = [bank_replies.transaction(row, books, "list", call.unitdp, lines=lines) for row in page.rows]
    return call.reply("BankTransactions", shown, page.pagination)


def one_bank_transaction(call: Call, id_: str) -> Answer:
    """GET /BankTransactions/{id}."""
    found = call.books.bank_transactions.get(id_.lower())
    if found is None:
        raise NotFound
    return call.reply("BankTransactions", [bank_replies.transaction(found, call.books, "one", call.unitdp)])


def list_bank_transfers(call: Call, _: str) -> Answer:
    """GET /BankTransfers: not paged; deleted ones only with includeDeleted=true."""
    books, asked = call.books, call.query
    where = Filter(asked["where"], BANK_TRANSFER_FIELDS) if asked.get("where") else None
    rows: Iterable[Any] = books.bank_transfers.values()
    if not query.truth(asked, "includeDeleted", False):
        rows = [row for row in rows if row.status != "DELETED"]
    chosen = query.ordered(_select(call, rows, 0, where, True), asked.get("order"), BANK_TRANSFER_FIELDS)
    return call.reply("BankTransfers", [bank_replies.transfer(row, books, "list") for row in chosen])


def one_bank_transfer(call: Call, id_: str) -> Answer:
    """GET /BankTransfers/{id}."""
    found = call.books.bank_transfers.get(id_.lower())
    if found is None:
        raise NotFound
    return call.reply("BankTransfers", [bank_replies.transfer(found, call.books, "one")])


def list_contacts(call: Call, _: str) -> Answer:
    """GET /Contacts; archived ones only with includeArchived=true or when asked for by id."""
    books, asked = call.books, call.query
    where = Filter(asked["where"], CONTACT_FIELDS) if asked.get("where") else None
    ids = query.listed(asked, "IDs")
    rows: Iterable[Any] = books.contacts.values()
    if ids is not None:
        rows = _picked(books.contacts, (one.lower() for one in ids))
    elif where and (emails := where.equals("EmailAddress")) is not None:
        rows = _picked(books.contacts, (i for one in emails for i in books.contacts_by_email.get(one, ())))
    if not query.truth(asked, "includeArchived", False) and ids is None:
        rows = [row for row in rows if row.status == "ACTIVE"]
    if term := asked.get("searchTerm") or asked.get("SearchTerm"):
        rows = [row for row in rows if fold(term) in fold(f"{row.name} {row.number} {' '.join(row.fields.values())}")]
    chosen = _select(call, rows, len(books.contacts), where, ids is not None)
    page = query.paged(query.ordered(chosen, asked.get("order"), CONTACT_FIELDS), asked)
    summary = query.truth(asked, "summaryOnly", False)
    show = replies.contact_brief if summary else (lambda row: replies.contact(row, "list"))
    return call.reply("Contacts", [show(row) for row in page.rows], page.pagination)


def one_contact(call: Call, id_: str) -> Answer:
    """GET /Contacts/{ContactID or ContactNumber}."""
    found = call.books.find_contact(id_)
    if found is None:
        raise NotFound
    return call.reply("Contacts", [replies.contact(found, "one", call.books)])


def list_items(call: Call, _: str) -> Answer:
    """GET /Items: not paged."""
    where = Filter(call.query["where"], ITEM_FIELDS) if call.query.get("where") else None
    chosen = _select(call, call.books.items.values(), 0, where, True)
    rows = query.ordered(chosen, call.query.get("order"), ITEM_FIELDS)
    return call.reply("Items", [replies.item(row, "list") for row in rows])


def one_item(call: Call, id_: str) -> Answer:
    """GET /Items/{ItemID or Code}."""
    found = call.books.find_item(id_)
    if found is None:
        raise NotFound
    return call.reply("Items", [replies.item(found, "one")])


def _reference(plural: str, held: Callable[[Call], Mapping[str, Any]], fields: dict[str, Field], show: Any) -> Handler:
    def handler(call: Call, id_: str) -> Answer:
        rows = held(call)
        if id_:
            found = rows.get(id_) or next(
                (row for row in rows.values() if getattr(row, "id", None) == id_.lower()), None
            )
            if found is None:
                raise NotFound
            return call.reply(plural, [show(call, found)])
        where = Filter(call.query["where"], fields) if call.query.get("where") else None
        since = query.changed_since(call.changed_since)
        fresh = [] if since is not None and since > call.created_ms else rows.values()
        return call.reply(plural, [show(call, row) for row in fresh if where is None or where.matches(row)])

    return handler


def organisation(call: Call, id_: str) -> Answer:
    """GET /Organisation and /Organisation/Actions."""
    if id_ == "Actions":
        return call.reply("Actions", replies.actions(call.books.org))
    if id_:
        raise NotFound
    return call.reply("Organisations", [replies.organisation(call.books.org, call.created_ms)])


def currencies(call: Call, _: str) -> Answer:
    """GET /Currencies."""
    return call.reply("Currencies", [replies.currency(code) for code in call.books.org.currencies])


def tracking(call: Call, _: str) -> Answer:
    """GET /TrackingCategories."""
    return call.reply("TrackingCategories", [replies.tracking(one) for one in call.books.org.tracking.values()])


accounts = _reference(
    "Accounts",
    lambda call: call.books.org.accounts,
    ACCOUNT_FIELDS,
    lambda call, row: replies.account(row, call.created_ms),
)
tax_rates = _reference(
    "TaxRates",
    lambda call: call.books.org.tax_rates,
    TAX_FIELDS,
    lambda call, row: replies.tax_rate(row, call.books.org.tax_name),
)
