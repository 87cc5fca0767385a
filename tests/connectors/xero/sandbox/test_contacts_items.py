"""Who matches whom, what is unique, what an archived contact refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.connectors.xero.sandbox.conftest import Caller, invoice, texts


async def write(xero: Caller, method: str, *given: dict[str, Any]) -> list[Any]:
    got = await xero.api(method, "Contacts?summarizeErrors=false", {"Contacts": list(given)})
    assert got.status == 200, got.raw
    return list(got.json["Contacts"])


def taken(name: str) -> str:
    return (
        f"The contact name {name} is already assigned to another contact. "
        "The contact name must be unique across all active contacts."
    )


async def test_names_are_unique_without_case_or_accents_and_within_a_batch(xero: Caller) -> None:
    got = await write(
        xero, "PUT", {"Name": "Zoë Smith"}, {"Name": "ZOE  smith "}, {"Name": "Other", "ContactNumber": "C1"}
    )
    assert texts(got[1]) == [taken("ZOE smith")]
    assert got[1]["ContactID"] == "00000000-0000-0000-0000-000000000000"
    assert got[1]["HasValidationErrors"] is True
    number = await write(xero, "PUT", {"Name": "New", "ContactNumber": "c1"})
    assert texts(number[0]) == ["Another contact has this contact number. Please enter a different contact number."]


async def test_post_upserts_by_number_and_a_taken_name_is_refused(xero: Caller) -> None:
    first = await write(xero, "POST", {"Name": "Ada", "ContactNumber": "C1", "EmailAddress": "a@example.com"})
    second = await write(xero, "POST", {"ContactNumber": "C1", "FirstName": "Augusta"})
    assert second[0]["ContactID"] == first[0]["ContactID"]
    assert (second[0]["EmailAddress"], second[0]["FirstName"]) == ("a@example.com", "Augusta")
    other = await write(xero, "POST", {"Name": "Ada", "ContactNumber": "C2"})
    assert texts(other[0]) == [taken("Ada")]
    renamed = await write(xero, "POST", {"Name": "Ada (C2)", "ContactNumber": "C2"})
    assert renamed[0]["StatusAttributeString"] == "OK"
    found = await xero.api("GET", "Contacts/C2")
    assert found.json["Contacts"][0]["ContactID"] == renamed[0]["ContactID"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"EmailAddress": "nobody"}, "Email address must be valid."),
        ({"AccountNumber": "x" * 51}, "The field AccountNumber must be a string with a maximum length of 50."),
        (
            {"Name": None},
            "The Contact must contain at least 1 of the following elements to identify the contact: "
            "Name, ContactID, ContactNumber",
        ),
    ],
)
async def test_bad_fields(xero: Caller, bad: dict[str, Any], message: str) -> None:
    assert texts((await write(xero, "PUT", {"Name": "Ada"} | bad))[0]) == [message]


async def test_archived_contacts(xero: Caller) -> None:
    contact_id = await xero.contact("Ada", ContactNumber="C1")
    archived = await write(xero, "POST", {"ContactID": contact_id, "ContactStatus": "ARCHIVED"})
    assert archived[0]["ContactStatus"] == "ARCHIVED"
    edit = await write(xero, "POST", {"ContactNumber": "C1", "FirstName": "A"})
    assert texts(edit[0])[0].startswith("The specified contact details matched an archived contact.")
    bill = (await xero.invoices(invoice("W-1", contact_id)))[0]
    assert texts(bill)[0].startswith("The contact with the specified contact details has been archived.")
    assert (await write(xero, "PUT", {"Name": "Ada"}))[0]["StatusAttributeString"] == "OK"
    listed = await xero.api("GET", "Contacts?page=1")
    assert [one["ContactStatus"] for one in listed.json["Contacts"]] == ["ACTIVE"]
    both = await xero.api("GET", "Contacts?page=1&includeArchived=true")
    assert both.json["pagination"]["itemCount"] == 2


async def test_a_document_that_sends_more_than_the_id_rewrites_the_contact(xero: Caller) -> None:
    contact_id = await xero.contact("Ada", FirstName="Ada")
    rich = invoice("W-1", contact_id) | {"Contact": {"ContactID": contact_id, "FirstName": "Augusta"}}
    bad = invoice("W-2", contact_id) | {"Contact": {"ContactID": contact_id, "EmailAddress": "nobody"}}
    got = await xero.invoices(rich, bad)
    assert (got[0]["Contact"]["FirstName"], got[0]["Contact"]["IsCustomer"]) == ("Augusta", True)
    assert texts(got[1]) == []
    assert texts(got[1]["Contact"]) == ["Email address must be valid."]


async def test_items(xero: Caller) -> None:
    sale = {"UnitPrice": 9.5, "AccountCode": "205", "TaxType": "ZERORATEDOUTPUT"}
    made = await xero.api("PUT", "Items", {"Items": [{"Code": "BOOK", "Name": "Book", "SalesDetails": sale}]})
    assert made.json["Items"][0]["PurchaseDetails"] == {}
    again = await xero.api("PUT", "Items?summarizeErrors=false", {"Items": [{"Code": "book"}]})
    assert texts(again.json["Items"][0]) == ["Price List Item with Code 'book' already exists"]
    price = {"Items": [{"Code": "BOOK", "SalesDetails": {"UnitPrice": 10}}]}
    upserted = await xero.api("POST", "Items", price)
    assert upserted.json["Items"][0]["ItemID"] == made.json["Items"][0]["ItemID"]
    assert upserted.json["Items"][0]["SalesDetails"] == sale | {"UnitPrice": 10.0}
    bill = (await xero.invoices(invoice("W-1", await xero.contact(), {"ItemCode": "BOOK", "Quantity": 3})))[0]
    assert (bill["Total"], bill["LineItems"][0]["Description"], bill["LineItems"][0]["AccountCode"]) == (
        30.0,
        "Book",
        "205",
    )
    assert bill["LineItems"][0]["Item"]["Code"] == "BOOK"
