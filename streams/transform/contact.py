"""Customers as Xero contacts (BOOKKEEPING §5): number, name, addresses; the invalid is left out. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import orjson

from schemas.types import Address, Contact, Customer
from streams.transform.context import Draft, Store
from streams.transform.errors import invalid
from streams.transform.texts import clean, line

NAME_LIMIT = 255
NUMBER_LIMIT = 50
_GUEST_HEX = 12
_EMAIL = re.compile(r"[^@\s<>,;:\"()\[\]\\]+@[^@\s<>,;:\"()\[\]\\]+\.[^@\s<>,;:\"()\[\]\\.]+")
_EMAIL_LIMIT = 255
_PHONE = re.compile(r"[0-9+()./ *#x-]{3,50}")
_BILLING, _SHIPPING = 1, 2  # AddressType
_KINDS = ((_BILLING, "POBOX"), (_SHIPPING, "STREET"))
# (Xero's field, Kentico's column, limit): xero.md §4.1
_ADDRESS_FIELDS = (
    ("AddressLine1", "AddressLine1", 500),
    ("AddressLine2", "AddressLine2", 500),
    ("City", "AddressCity", 255),
    ("Region", "StateName", 255),
    ("PostalCode", "AddressZip", 50),
    ("AttentionTo", "AddressPersonalName", 255),
)


def contact(draft: Draft) -> None:
    """The order's contact."""
    store, order = draft.store, draft.order
    if store.rules.contacts.mode == "one_per_store":
        draft.contact = of_store(store)
        return
    customer = order["customer"]
    if customer is None:
        raise invalid(
            "customer_missing", f"{draft.who} has no customer", "Restore the customer in Kentico, then redrive."
        )
    draft.contact = of_customer(store, customer, order["addresses"], draft.findings)


def of_customer(
    store: Store, customer: Customer, addresses: Sequence[Address], findings: list[str], *, only_if_known: bool = False
) -> Contact:
    """The contact of a customer; what was left out is added to `findings`, without personal data."""
    email = _email(customer, findings)
    tail = number_tail(customer, email)
    number = f"{store.contact_prefix}{tail}"
    first, last = clean(customer["CustomerFirstName"]), clean(customer["CustomerLastName"])
    name = _name(store, customer, first, last, email)
    document: dict[str, Any] = {"ContactNumber": number, "Name": name}
    for field, value in (("FirstName", first), ("LastName", last), ("EmailAddress", email)):
        if value:
            document[field] = value[:NAME_LIMIT]
    written = [made for type_, kind in _KINDS if (made := _address(addresses, type_, kind, findings))]
    if written:
        document["Addresses"] = written
    phone = _phone(customer, addresses, findings)
    if phone:
        document["Phones"] = [{"PhoneType": "DEFAULT", "PhoneNumber": phone}]
    if tax_id := tax_number(customer):
        document["TaxNumber"] = tax_id[:50]
    return _contact(
        f"{store.instance}|{tail}", number, name, email, document, store.rules.contacts.match_email, only_if_known,
        customer["CustomerLastModified"],
    )  # fmt: skip


def number_tail(customer: Customer, email: str | None) -> str:
    """C<CustomerID>; a guest with an e-mail is the same person under every CustomerID: G and a hash of the e-mail."""
    if customer["CustomerUserID"] is None and email:
        return f"G{hashlib.sha256(email.lower().encode()).hexdigest()[:_GUEST_HEX]}"
    return f"C{customer['CustomerID']}"


def tax_number(customer: Customer) -> str:
    """His tax registration id; empty: he has none."""
    return clean(customer["CustomerTaxRegistrationID"])


def of_store(store: Store) -> Contact:
    """The one contact of a store that does not tell its customers apart."""
    found = store.memo.get("contact")
    if found is None:
        name = clean(store.rules.contacts.name) or f"Web sales {store.site}"
        number = f"{store.contact_prefix}S-{store.site}"
        if len(number) > NUMBER_LIMIT:
            digest = hashlib.sha256(store.site.encode()).hexdigest()[:8]
            number = f"{number[: NUMBER_LIMIT - 9]}-{digest}"
        document = {"ContactNumber": number, "Name": name}
        key = f"{store.instance}|S-{store.site}"
        found = store.remember("contact", _contact(key, number, name, None, document, False, False, None))
    return cast(Contact, found)


def _contact(
    key: str,
    number: str,
    name: str,
    email: str | None,
    document: dict[str, Any],
    match_email: bool,
    only_if_known: bool,
    version: datetime | None,
) -> Contact:
    encoded = orjson.dumps(document)
    return {
        "key": key,
        "number": number,
        "name": name,
        "email": email,
        "document": encoded.decode(),
        "match_email": match_email,
        "hash": hashlib.sha256(encoded).hexdigest(),
        "only_if_known": only_if_known,
        "version": version,
    }


def _name(store: Store, customer: Customer, first: str, last: str, email: str | None) -> str:
    """The person's; by rule the company's, for a VAT invoice needs the buyer's legal name."""
    rule = store.rules.contacts.company_name
    company = clean(customer["CustomerCompany"])
    if company and (rule == "always" or (rule == "with_tax_id" and tax_number(customer))):
        return company[:NAME_LIMIT].rstrip()
    name = f"{first} {last}".strip() or company or email or f"Customer {customer['CustomerID']}"
    return name[:NAME_LIMIT].rstrip()


def _email(customer: Customer, findings: list[str]) -> str | None:
    given = (customer["CustomerEmail"] or "").strip()
    if not given:
        return None
    if len(given) <= _EMAIL_LIMIT and _EMAIL.fullmatch(given):
        return given
    findings.append("CustomerEmail is no valid address: left out")
    return None


def _phone(customer: Customer, addresses: Sequence[Address], findings: list[str]) -> str | None:
    billing = next((a["AddressPhone"] for a in addresses if a["AddressType"] == _BILLING), None)
    refused = ""
    for column, value in (("CustomerPhone", customer["CustomerPhone"]), ("AddressPhone", billing)):
        given = (value or "").strip()
        if not given:
            continue
        if _PHONE.fullmatch(given) and sum(one.isdigit() for one in given) > 2:
            return given
        refused = refused or column
    if refused:
        findings.append(f"{refused} is no valid phone number: left out")
    return None


def _address(addresses: Sequence[Address], type_: int, kind: str, findings: list[str]) -> dict[str, str] | None:
    row: Any = next((address for address in addresses if address["AddressType"] == type_), None)
    if row is None:
        return None
    found = {"AddressType": kind}
    for field, column, limit in _ADDRESS_FIELDS:
        value = line(row[column])
        if len(value) > limit:
            findings.append(f"{column} was cut to {limit} characters")
        if value:
            found[field] = value[:limit]
    country = line(row["CountryName"] or row["CountryTwoLetterCode"])
    if country:
        # Xero takes letters only, at most 50.
        letters = "".join(one for one in country if not one.isdigit()).strip()[:50]
        if letters:
            found["Country"] = letters
    return found if len(found) > 1 else None
