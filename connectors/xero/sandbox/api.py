"""The Accounting API without HTTP: routes, batches, lists.

One call in, one answer out; it never gives up the event loop.

Guarantee: PUT creates only, POST upserts; each element is written whole or refused with its reasons; an error of
the whole request (unreadable body, unknown ContactID) is found before anything is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from connectors.xero.sandbox import lists, writes
from connectors.xero.sandbox.calls import Call, Handler
from connectors.xero.sandbox.errors import MethodMissing, NotFound
from connectors.xero.sandbox.idempotency import Answer
from connectors.xero.sandbox.invoices import CREDIT_NOTE, INVOICE

# (method, resource, whether the path names one element) → handler
ROUTES: dict[tuple[str, str, bool], Handler] = {
    ("GET", "Organisation", False): lists.organisation,
    ("GET", "Organisation", True): lists.organisation,
    ("GET", "Accounts", False): lists.accounts,
    ("GET", "Accounts", True): lists.accounts,
    ("GET", "TaxRates", False): lists.tax_rates,
    ("GET", "TaxRates", True): lists.tax_rates,
    ("GET", "Currencies", False): lists.currencies,
    ("GET", "TrackingCategories", False): lists.tracking,
    ("GET", "Items", False): lists.list_items,
    ("GET", "Items", True): lists.one_item,
    ("PUT", "Items", False): writes.write_items,
    ("POST", "Items", False): writes.write_items,
    ("POST", "Items", True): writes.write_items,
    ("GET", "Contacts", False): lists.list_contacts,
    ("GET", "Contacts", True): lists.one_contact,
    ("PUT", "Contacts", False): writes.write_contacts,
    ("POST", "Contacts", False): writes.write_contacts,
    ("POST", "Contacts", True): writes.write_contacts,
    ("GET", "Invoices", False): lists.document_list(INVOICE),
    ("GET", "Invoices", True): lists.document_one(INVOICE),
    ("PUT", "Invoices", False): writes.document_writer(INVOICE),
    ("POST", "Invoices", False): writes.document_writer(INVOICE),
    ("POST", "Invoices", True): writes.document_writer(INVOICE),
    ("GET", "Payments", False): lists.list_payments,
    ("GET", "Payments", True): lists.one_payment,
    ("PUT", "Payments", False): writes.write_payments,
    ("POST", "Payments", False): writes.write_payments,
    ("POST", "Payments", True): writes.write_payments,
    ("GET", "BankTransactions", False): lists.list_bank_transactions,
    ("GET", "BankTransactions", True): lists.one_bank_transaction,
    ("PUT", "BankTransactions", False): writes.write_bank_transactions,
    ("POST", "BankTransactions", False): writes.write_bank_transactions,
    ("POST", "BankTransactions", True): writes.write_bank_transactions,
    ("GET", "BankTransfers", False): lists.list_bank_transfers,
    ("GET", "BankTransfers", True): lists.one_bank_transfer,
    ("PUT", "BankTransfers", False): writes.write_bank_transfers,
    ("GET", "CreditNotes", False): lists.document_list(CREDIT_NOTE),
    ("GET", "CreditNotes", True): lists.document_one(CREDIT_NOTE),
    ("PUT", "CreditNotes", False): writes.document_writer(CREDIT_NOTE),
    ("POST", "CreditNotes", False): writes.document_writer(CREDIT_NOTE),
    ("POST", "CreditNotes", True): writes.document_writer(CREDIT_NOTE),
    ("PUT", "CreditNotes/Allocations", True): writes.write_allocations,
    ("DELETE", "CreditNotes/Allocations", True): writes.delete_allocation,
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
