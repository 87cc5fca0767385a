"""BOOKKEEPING §5: contacts."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest

from streams.workflow import run
from tests.streams.transform.example import CUSTOMER, NOW, address, order, sale, store


def contact(changes: dict[str, Any] | None = None, rules: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    made = order(customer=CUSTOMER | (changes or {}), **parts)
    found: dict[str, Any] = dict(sale(made, store(rules))["contact"])
    found["document"] = orjson.loads(found["document"])
    return found


def test_a_registered_customer() -> None:
    found = contact(
        addresses=[address(1), address(2, AddressPersonalName="Gift", CountryName="Germany 2", StateName="Hesse")]
    )
    assert (found["key"], found["number"], found["name"]) == ("emea|C31", "emea-C31", "Testfirstname Testlastname")
    assert (found["match_email"], found["only_if_known"]) == (True, False)
    document = found["document"]
    assert {key: document[key] for key in ("FirstName", "LastName", "EmailAddress", "Phones")} == {
        "FirstName": "Testfirstname",
        "LastName": "Testlastname",
        "EmailAddress": "test@test.cz",
        "Phones": [{"PhoneType": "DEFAULT", "PhoneNumber": "777777777"}],
    }
    billing, shipping = document["Addresses"]
    assert (billing["AddressType"], billing["AttentionTo"], billing["Country"]) == (
        "POBOX",
        "Testfirstname Testlastname",
        "Czech Republic",
    )
    assert (shipping["AddressType"], shipping["AttentionTo"], shipping["Region"], shipping["Country"]) == (
        "STREET",
        "Gift",
        "Hesse",
        "Germany",
    )
    assert "ContactID" not in document


def test_a_guest_is_the_same_person_under_every_id() -> None:
    digest = hashlib.sha256(b"robin@example.com").hexdigest()[:12]
    for number, email in ((31, "Robin@Example.com "), (99, "robin@example.com")):
        found = contact({"CustomerID": number, "CustomerUserID": None, "CustomerEmail": email})
        assert (found["key"], found["number"]) == (f"emea|G{digest}", f"emea-G{digest}")
    for none in (None, "", "not an e-mail address"):
        assert contact({"CustomerUserID": None, "CustomerEmail": none})["number"] == "emea-C31"


@pytest.mark.parametrize(
    ("changes", "rule", "name"),
    [
        ({"CustomerCompany": "Bean & Gone Ltd", "CustomerTaxRegistrationID": "GB1"}, "with_tax_id", "Bean & Gone Ltd"),
        ({"CustomerCompany": "Bean & Gone Ltd"}, "with_tax_id", "Testfirstname Testlastname"),
        ({"CustomerCompany": "Bean & Gone Ltd"}, "always", "Bean & Gone Ltd"),
        ({"CustomerCompany": "B", "CustomerTaxRegistrationID": "GB1"}, "never", "Testfirstname Testlastname"),
        ({"CustomerCompany": "The <Daily>  Grind", "CustomerTaxRegistrationID": "1"}, "with_tax_id", "The Daily Grind"),
        ({"CustomerFirstName": " ", "CustomerLastName": "", "CustomerCompany": "Only"}, "never", "Only"),
        ({"CustomerFirstName": "", "CustomerLastName": ""}, "with_tax_id", "test@test.cz"),
        ({"CustomerFirstName": "", "CustomerLastName": "", "CustomerEmail": None}, "with_tax_id", "Customer 31"),
        ({"CustomerFirstName": "x" * 300, "CustomerLastName": "y"}, "with_tax_id", "x" * 255),
        ({"CustomerFirstName": "José 🐐", "CustomerLastName": "Peña"}, "with_tax_id", "José 🐐 Peña"),
    ],
)
def test_names(changes: dict[str, Any], rule: str, name: str) -> None:
    found = contact(changes, {"contacts": {"company_name": rule}})
    assert found["name"] == found["document"]["Name"] == name


def test_a_companys_person_and_tax_number_are_kept() -> None:
    document = contact({"CustomerCompany": "Bean Ltd", "CustomerTaxRegistrationID": " GB 123 "})["document"]
    assert (document["Name"], document["FirstName"], document["TaxNumber"]) == ("Bean Ltd", "Testfirstname", "GB 123")


def test_what_is_not_valid_is_left_out_without_stopping_the_order() -> None:
    bad = {"CustomerEmail": "not an e-mail address", "CustomerPhone": "call the shop, ask for Jo"}
    made = order(customer=CUSTOMER | bad, addresses=[address(AddressPhone=None, AddressLine1="x" * 600)])
    outcome = run(made, store(), NOW)
    assert outcome.findings == (
        "CustomerEmail is no valid address: left out",
        "AddressLine1 was cut to 500 characters",
        "CustomerPhone is no valid phone number: left out",
    )
    document = contact(bad, addresses=[])["document"]
    assert not {"EmailAddress", "Phones", "Addresses"} & document.keys()


def test_one_contact_per_store() -> None:
    found = contact(rules={"contacts": {"mode": "one_per_store"}})
    assert (found["name"], found["number"], found["key"]) == ("Web sales Goat", "emea-S-Goat", "emea|S-Goat")
    assert found["document"] == {"ContactNumber": "emea-S-Goat", "Name": "Web sales Goat"}
    assert not found["match_email"]
    assert contact(rules={"contacts": {"mode": "one_per_store", "name": "Web UK"}})["name"] == "Web UK"


def test_the_hash_changes_with_the_document_only() -> None:
    assert contact()["hash"] == contact({"CustomerFax": "1"})["hash"]
    assert contact()["hash"] != contact({"CustomerLastName": "Other"})["hash"]
