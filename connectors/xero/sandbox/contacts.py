"""The rules of contacts: who matches, what must be unique, what may be written."""

from __future__ import annotations

import re

from connectors.xero.sandbox import errors
from connectors.xero.sandbox.books import Books, fold
from connectors.xero.sandbox.documents import Contact
from connectors.xero.sandbox.errors import ElementRefused, NotFound
from connectors.xero.sandbox.reading import Element, choice, many, text

LIMITS = {
    "FirstName": 255,
    "LastName": 255,
    "EmailAddress": 255,
    "CompanyNumber": 50,
    "AccountNumber": 50,
    "TaxNumber": 50,
    "BankAccountDetails": 255,
    "SkypeUserName": 255,
    "AccountsReceivableTaxType": 50,
    "AccountsPayableTaxType": 50,
    "DefaultCurrency": 3,
    "SalesDefaultAccountCode": 10,
    "PurchasesDefaultAccountCode": 10,
}
ADDRESS_LIMITS = {
    "AddressLine1": 500,
    "AddressLine2": 500,
    "AddressLine3": 500,
    "AddressLine4": 500,
    "City": 255,
    "Region": 255,
    "PostalCode": 50,
    "Country": 50,
    "AttentionTo": 255,
}
PHONE_LIMITS = {"PhoneNumber": 50, "PhoneAreaCode": 10, "PhoneCountryCode": 20}
ADDRESS_TYPES = ("STREET", "POBOX")
PHONE_TYPES = ("DEFAULT", "DDI", "FAX", "MOBILE")
EMAIL = re.compile(r"^[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s<>,;.]+$")


def check_ids(books: Books, given: list[Element]) -> None:
    """An unknown ContactID ends the whole request with a 404, as measured on a POST; nothing of it is written."""
    for element in given:
        id_ = text(element, "ContactID")
        if id_ and id_ != errors.ZERO_ID and id_.lower() not in books.contacts:
            raise NotFound


def tidy_name(element: Element) -> str | None:
    """Name without spaces at the ends or doubled ones."""
    name = text(element, "Name")
    return " ".join(name.split()) if name is not None else None


def match(books: Books, element: Element) -> Contact | None:
    """The contact the element means: by ContactID, else ContactNumber, else (only when neither is given) the name."""
    id_ = text(element, "ContactID")
    if id_ and id_ != errors.ZERO_ID:
        return books.contacts.get(id_.lower())
    number = text(element, "ContactNumber")
    if number:
        return books.contacts.get(books.contact_by_number.get(fold(number), ""))
    name = tidy_name(element)
    return books.named(name) if name else None


def write(books: Books, element: Element, app: str, *, create_only: bool) -> Contact:
    """PUT (`create_only`) or POST of one element. Raises ElementRefused with every reason found."""
    found = None if create_only else match(books, element)
    if found is not None and found.status == "ARCHIVED":
        raise ElementRefused(errors.CONTACT_ARCHIVED)
    planned = plan(books, element, found)
    planned.app = planned.app or app
    books.save_contact(planned)
    return planned


def plan(books: Books, element: Element, found: Contact | None) -> Contact:
    """The contact as it would be after the write, checked but not saved."""
    problems: list[str] = []
    name = tidy_name(element)
    number = text(element, "ContactNumber")
    if found is None and not name:
        problems.append(errors.CONTACT_UNIDENTIFIED)
    if name:
        holder = books.named(name)
        if holder is not None and (found is None or holder.id != found.id):
            problems.append(errors.contact_name_taken(name))
        if len(name) > 255:
            problems.append(errors.too_long("Name", 255))
        if "<" in name or ">" in name:
            problems.append("The contact name cannot contain < or >")
    if number:
        holder_id = books.contact_by_number.get(fold(number))
        if holder_id and (found is None or holder_id != found.id):
            problems.append(errors.CONTACT_NUMBER_TAKEN)
        if len(number) > 50:
            problems.append(errors.too_long("ContactNumber", 50))
    values = _fields(element, problems)
    addresses = _parts(element, "Addresses", "AddressType", ADDRESS_TYPES, ADDRESS_LIMITS, problems)
    phones = _parts(element, "Phones", "PhoneType", PHONE_TYPES, PHONE_LIMITS, problems)
    status = choice(element, "ContactStatus", ("ACTIVE", "ARCHIVED", "GDPRREQUEST"))
    persons = many(element, "ContactPersons")
    if problems:
        raise ElementRefused(*problems)
    base = found or Contact(id=books.new_id(), name="")
    return Contact(
        id=base.id,
        name=name or base.name,
        number=number or base.number,
        status=status or base.status,
        fields={**base.fields, **values},
        addresses={**base.addresses, **addresses},
        phones={**base.phones, **phones},
        persons=[dict(person) for person in persons or ()],  # persons not sent are deleted, documented
        is_customer=base.is_customer,
        is_supplier=base.is_supplier,
        app=base.app,
        seq=base.seq,
    )


def _fields(element: Element, problems: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, limit in LIMITS.items():
        value = text(element, key)
        if value is None:
            continue
        if len(value) > limit:
            problems.append(errors.too_long(key, limit))
        if key == "EmailAddress" and value and not EMAIL.match(value):
            problems.append(errors.EMAIL_INVALID)
        values[key] = value
    return values


def _parts(
    element: Element, key: str, type_key: str, types: tuple[str, ...], limits: dict[str, int], problems: list[str]
) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for part in many(element, key) or ():
        kind = choice(part, type_key, (*types, "DELIVERY", "OFFICE")) or types[0]
        values: dict[str, str] = {}
        for name, limit in limits.items():
            value = text(part, name)
            if value is None:
                continue
            if len(value) > limit:
                problems.append(errors.too_long(name, limit))
            if name == "Country" and any(one.isdigit() for one in value):
                problems.append("Country must contain only letters")
            values[name] = value
        found[kind] = values
    return found


def for_document(books: Books, element: Element, app: str) -> tuple[Contact, bool]:
    """The contact of an invoice or credit note, and whether it must be saved with it.

    More than a ContactID rewrites the contact, as Xero does; an unknown name or number makes a new one.
    """
    found = match(books, element)
    if found is not None and found.status == "ARCHIVED":
        raise ElementRefused(errors.CONTACT_ARCHIVED_FOR_DOCUMENT)
    meaningful = {key for key, value in element.items() if value not in (None, "", [], {})}
    if found is not None and meaningful <= {"ContactID", "ContactNumber", "HasValidationErrors", "HasAttachments"}:
        return found, False
    try:
        planned = plan(books, element, found)
    except ElementRefused as problem:
        raise ElementRefused(nested=problem.messages) from problem
    planned.app = planned.app or app
    return planned, True
