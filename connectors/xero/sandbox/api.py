"""The Accounting API without HTTP: routes, batches, lists. One call in, one answer out; it never gives up the event loop.

Guarantee: PUT creates only, POST upserts; each element is written whole or refused with its reasons; an error of the whole request
(unreadable body, unknown ContactID) is found before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from connectors.xero.sandbox import contacts, invoices, items, payments, query, replies
from connectors.xero.sandbox.books import Books, fold
from connectors.xero.sandbox.documents import Document, Payment
from connectors.xero.sandbox.errors import (
    JSON_TYPE,
    ElementRefused,
    HighVolume,
    MethodMissing,
    NotFound,
    PostDataInvalid,
)
from connectors.xero.sandbox.idempotency import Answer
from connectors.xero.sandbox.invoices import CREDIT_NOTE, INVOICE, Kind
from connectors.xero.sandbox.query import Field, Filter
from connectors.xero.sandbox.reading import Element, choice, elements

HIGH_VOLUME = 100_000


@dataclass
class Call:
    """One request to an organisation."""

    books: Books
    method: str
    query: Mapping[str, str]
    body: bytes
    app: str
    app_name: str
    changed_since: str | None = None
    created_ms: int = 0
    failed: int = 0
    elements: int = 0
    unitdp: int = field(init=False, default=2)

    def __post_init__(self) -> None:
        self.unitdp = 4 if self.query.get("unitdp") == "4" else 2

    def reply(
        self, plural: str, rows: list[Any], pagination: dict[str, int] | None = None, status: int = 200
    ) -> Answer:
        """The envelope round `rows`."""
        self.elements = self.elements or len(rows)
        frame = replies.envelope(self.app_name, self.books.clock.ms(), plural, rows, pagination)
        return Answer(status, orjson.dumps(frame), JSON_TYPE, self.elements)


Handler = Callable[[Call, str], Answer]


# -- writing


@dataclass(frozen=True)
class Good:
    """A written element: its reply and its warnings."""

    reply: dict[str, Any]
    warnings: tuple[str, ...] = ()


def batch(
    call: Call, plural: str, given: list[Element], write: Callable[[Element], Good], *, always_summarise: bool = False
) -> Answer:
    """Run every element; answer 200 with all of them, or, when errors are summarised, 400 with only the refused ones."""
    summarise = always_summarise or query.truth(call.query, "summarizeErrors", True)
    call.elements = len(given)
    good: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for element in given:
        try:
            done = write(element)
        except ElementRefused as problem:
            row = replies.refused(plural, element, problem.messages, problem.nested, marked=not summarise)
            refused.append(row)
        else:
            row = done.reply
            if not summarise:
                row["StatusAttributeString"] = "WARNING" if done.warnings else "OK"
            if done.warnings:
                row["Warnings"] = replies.messages(done.warnings)
            good.append(row)
        rows.append(row)
    call.failed = len(refused)
    if refused and summarise:
        body = {
            "ErrorNumber": 10,
            "Type": "ValidationException",
            "Message": "A validation exception occurred",
            "Elements": refused,
        }
        return Answer(400, orjson.dumps(body), JSON_TYPE, call.elements)
    return call.reply(plural, rows)


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
    show = replies.credit_note if kind.credit else replies.invoice

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
            return Good(replies.payment(payments.delete(books, payments.named(books, element)), books, "write"))
        if id_:
            raise ElementRefused("Payments cannot be modified, only created and deleted")
        return Good(replies.payment(payments.create(books, element, call.app), books, "write"))

    # summarizeErrors is not a parameter of POST /Payments
    return batch(call, "Payments", given, one, always_summarise=call.method == "POST")


def write_allocations(call: Call, id_: str) -> Answer:
    """PUT /CreditNotes/{id}/Allocations."""
    books = call.books
    credit = books.find_document(id_, credit=True)
    if credit is None:
        raise NotFound

    def one(element: Element) -> Good:
        return Good(replies.allocation_written(payments.allocate(books, credit, element), credit, books))

    return batch(call, "Allocations", elements(call.body, "Allocations"), one)


def delete_allocation(call: Call, ids: str) -> Answer:
    """DELETE /CreditNotes/{id}/Allocations/{AllocationID}."""
    id_, _, allocation_id = ids.partition("/Allocations/")
    credit = call.books.find_document(id_, credit=True)
    if credit is None:
        raise NotFound
    payments.unallocate(call.books, credit, allocation_id)
    return call.reply("Allocations", [{"AllocationID": allocation_id, "IsDeleted": True}])


# -- lists


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
    show = replies.credit_note if kind.credit else replies.invoice

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
            rows = _numbered(books, held, numbers, kind)
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


def _numbered(books: Books, held: Mapping[str, Document], numbers: list[str], kind: Kind) -> list[Document]:
    """By number: the sales index, and for suppliers' documents (whose numbers may repeat) a scan."""
    found = {row.id: row for one in numbers if (row := books.by_number(one, credit=kind.credit)) is not None}
    wanted = {fold(one) for one in numbers}
    found |= {row.id: row for row in held.values() if not row.is_sales and fold(row.number) in wanted}
    return list(found.values())


def _document_candidates(books: Books, where: Filter) -> Iterable[str] | None:
    if (ids := where.equals("InvoiceID")) is not None:
        return ids
    if (numbers := where.equals("InvoiceNumber")) is not None:
        # ACCPAY numbers are not in the index: only a filter that also asks for ACCREC may use it
        return (
            [books.sales_number.get((False, one), "") for one in numbers]
            if where.equals("Type") == {"accrec"}
            else None
        )
    if (references := where.equals("Reference")) is not None:
        return [id_ for one in references for id_ in books.documents_by_reference.get(one, ())]
    if (who := where.equals("Contact.ContactID")) is not None:
        return [id_ for one in who for id_ in books.documents_by_contact.get(one, ())]
    return None


def document_one(kind: Kind) -> Handler:
    """GET by id or number."""
    show = replies.credit_note if kind.credit else replies.invoice

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
    return call.reply("Payments", [replies.payment(row, books, "list") for row in page.rows], page.pagination)


def one_payment(call: Call, id_: str) -> Answer:
    """GET /Payments/{PaymentID}."""
    found = call.books.payments.get(id_.lower())
    if found is None:
        raise NotFound
    return call.reply("Payments", [replies.payment(found, call.books, "one")])


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


# -- reference data


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

# (method, resource, whether the path names one element) → handler
ROUTES: dict[tuple[str, str, bool], Handler] = {
    ("GET", "Organisation", False): organisation,
    ("GET", "Organisation", True): organisation,
    ("GET", "Accounts", False): accounts,
    ("GET", "Accounts", True): accounts,
    ("GET", "TaxRates", False): tax_rates,
    ("GET", "TaxRates", True): tax_rates,
    ("GET", "Currencies", False): currencies,
    ("GET", "TrackingCategories", False): tracking,
    ("GET", "Items", False): list_items,
    ("GET", "Items", True): one_item,
    ("PUT", "Items", False): write_items,
    ("POST", "Items", False): write_items,
    ("POST", "Items", True): write_items,
    ("GET", "Contacts", False): list_contacts,
    ("GET", "Contacts", True): one_contact,
    ("PUT", "Contacts", False): write_contacts,
    ("POST", "Contacts", False): write_contacts,
    ("POST", "Contacts", True): write_contacts,
    ("GET", "Invoices", False): document_list(INVOICE),
    ("GET", "Invoices", True): document_one(INVOICE),
    ("PUT", "Invoices", False): document_writer(INVOICE),
    ("POST", "Invoices", False): document_writer(INVOICE),
    ("POST", "Invoices", True): document_writer(INVOICE),
    ("GET", "Payments", False): list_payments,
    ("GET", "Payments", True): one_payment,
    ("PUT", "Payments", False): write_payments,
    ("POST", "Payments", False): write_payments,
    ("POST", "Payments", True): write_payments,
    ("GET", "CreditNotes", False): document_list(CREDIT_NOTE),
    ("GET", "CreditNotes", True): document_one(CREDIT_NOTE),
    ("PUT", "CreditNotes", False): document_writer(CREDIT_NOTE),
    ("POST", "CreditNotes", False): document_writer(CREDIT_NOTE),
    ("POST", "CreditNotes", True): document_writer(CREDIT_NOTE),
    ("PUT", "CreditNotes/Allocations", True): write_allocations,
    ("DELETE", "CreditNotes/Allocations", True): delete_allocation,
}
RESOURCES = {resource for _, resource, _ in ROUTES}
ALLOCATIONS = re.compile(r"^(?P<id>.+?)/Allocations(?:/(?P<allocation>[^/]+))?$")


@dataclass(frozen=True)
class Route:
    """Where a path leads. `label` is the path with its ids left out, for the request log."""

    resource: str
    label: str
    id: str
    handler: Handler | None


def resolve(method: str, tail: str) -> Route:
    """`tail` is what follows /api.xro/2.0/, decoded. Raises NotFound for a resource that does not exist."""
    resource, _, id_ = tail.strip("/").partition("/")
    if resource not in RESOURCES:
        raise NotFound
    key = resource
    if resource == "CreditNotes" and (found := ALLOCATIONS.match(id_)):
        key = "CreditNotes/Allocations"
        id_ = f"{found['id']}/Allocations/{found['allocation']}" if found["allocation"] else found["id"]
    label = key.replace("/", "/{id}/") if "/" in key else f"{resource}/{{id}}" if id_ else resource
    if resource == "Organisation" and id_:
        label = f"Organisation/{id_}"
    return Route(resource, label, id_, ROUTES.get((method, key, bool(id_))))


def run(route: Route, call: Call) -> Answer:
    """Answer the call, or raise an HttpError."""
    if route.handler is None:
        raise MethodMissing(call.method, route.label)
    return route.handler(call, route.id)
