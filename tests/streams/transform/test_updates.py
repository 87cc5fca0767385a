"""Customers, products and write-backs."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import orjson
import pytest

from schemas.types import CustomerChanged, ProductChanged, Result
from streams.flow import Suppressed
from streams.workflow import Workflow
from tests.streams.transform.example import AT, CUSTOMER, DEFAULT, NOW, order, reference, sale, store

_ENVELOPE = {
    "instance": "emea",
    "site_name": "Goat",
    "dialect": "K13",
    "source": "WEBHOOK",
    "event_type": "x.updated",
    "event_id": None,
    "sequence": None,
    "version": AT,
    "observed_at": AT,
    "received_at": AT,
    "traceparent": "00-1",
    "deleted": False,
}


def customer(**changes: Any) -> CustomerChanged:
    return cast(CustomerChanged, {**_ENVELOPE, "customer": CUSTOMER, "addresses": [], **changes})


def product(**changes: Any) -> ProductChanged:
    sku = {
        "SKUID": 94,
        "SKUNumber": "COF-PLNG",
        "sku_number_shared": False,
        "SKUName": "Coffee Plunger " + "x" * 60,
        "SKUShortDescription": None,
        "SKUPrice": Decimal("29.900000000"),
        "SKUEnabled": True,
        "SKUProductType": "PRODUCT",
        "SKUParentSKUID": None,
        "SKUSiteID": 1,
        "SKUDepartmentName": None,
        "SKUTaxClassID": 1,
        "TaxClassName": None,
        "TaxClassDisplayName": "VAT 20%",
        "SKULastModified": AT,
        "custom": {},
    }
    return cast(ProductChanged, {**_ENVELOPE, **sku, **changes})


def test_a_customers_change_is_for_known_contacts_only() -> None:
    made: Any = Workflow(store()).contact(customer(), NOW)
    assert (made["kind"], made["key"], made["store"], made["order_id"]) == ("CONTACT", "emea|C31", None, None)
    assert (made["traceparent"], made["rules_version"], made["org"]) == ("00-1", 3, "uk")
    body = made["body"]
    assert (body["only_if_known"], body["version"]) == (True, AT)
    assert body["key"] == sale(order())["contact"]["key"]


@pytest.mark.parametrize(
    ("change", "rules", "code"),
    [
        ({"deleted": True}, {}, "deleted"),
        ({}, {"contacts": {"mode": "one_per_store"}}, "one_contact_per_store"),
        ({}, {"contacts": {"updates": False}}, "updates_off"),
    ],
)
def test_customers_that_change_nothing(change: dict[str, Any], rules: dict[str, Any], code: str) -> None:
    made = Workflow(store(rules)).contact(customer(**change), NOW)
    assert isinstance(made, Suppressed)
    assert made.code == code


def test_a_product_is_an_untracked_item() -> None:
    made: Any = Workflow(store({"products": {"mode": "all"}})).item(product(), NOW)
    assert (made["kind"], made["key"]) == ("ITEM", "COF-PLNG")
    document = orjson.loads(made["body"]["document"])
    assert (document["Code"], len(document["Name"]), document["IsSold"]) == ("COF-PLNG", 50, True)
    assert document["SalesDetails"] == {"UnitPrice": 29.9, "AccountCode": "200"}
    assert not any("Inventory" in key or "Quantity" in key for key in document)
    assert not made["body"]["only_if_known"]
    known: Any = Workflow(store({"products": {"mode": "known"}}, of=reference({"COF-PLNG": {}}))).item(product(), NOW)
    assert known["body"]["only_if_known"]


def test_an_item_keeps_the_account_and_tax_type_that_people_gave_it_unless_a_rule_names_another() -> None:
    theirs = reference({"COF-PLNG": {"SalesAccountCode": "260", "SalesTaxType": "RROUTPUT"}})

    def sales(accounts: dict[str, Any]) -> Any:
        rules = {"products": {"mode": "known"}, "accounts": accounts}
        made: Any = Workflow(store(rules, of=theirs)).item(product(), NOW)
        return orjson.loads(made["body"]["document"])["SalesDetails"]

    assert sales({"default": "200"}) == {"UnitPrice": 29.9, "AccountCode": "260", "TaxType": "RROUTPUT"}
    assert sales({"default": "200", "sku": {"COF-*": "210"}}) == {"UnitPrice": 29.9, "AccountCode": "210"}
    assert sales({"default": "200", "tax_class": {"VAT 20%": "210"}}) == {"UnitPrice": 29.9, "AccountCode": "210"}


def test_long_numbers_with_the_same_beginning_are_different_items_the_same_each_time() -> None:
    numbers = [f"HAR-V60-Ceramic-Brown-2-cups-{end}" for end in ("left", "right")]
    flow = Workflow(store({"products": {"mode": "all"}}))
    made: list[Any] = [flow.item(product(SKUNumber=number), NOW) for number in (*numbers, numbers[0])]
    codes = [one["body"]["code"] for one in made]
    assert codes[0] == codes[2] != codes[1]
    assert all(len(code) == 30 and code.startswith("HAR-V60-Ceramic-Brown") for code in codes)
    assert {orjson.loads(one["body"]["document"])["Code"] for one in made} == set(codes)
    same_name = {orjson.loads(one["body"]["document"])["Name"] for one in made}
    assert len(same_name) == 1, "an item's name need not be its own: Xero knows it by its code"


@pytest.mark.parametrize(
    ("change", "mode", "code"),
    [
        ({}, "off", "products_off"),
        ({"SKUNumber": None}, "all", "no_number"),
        ({"sku_number_shared": True}, "all", "number_shared"),
        ({"SKUEnabled": False}, "all", "not_sold"),
        ({"deleted": True}, "all", "not_sold"),
        ({}, "known", "not_an_item"),
    ],
)
def test_products_that_are_no_items(change: dict[str, Any], mode: str, code: str) -> None:
    made = Workflow(store({"products": {"mode": mode}})).item(product(**change), NOW)
    assert isinstance(made, Suppressed)
    assert made.code == code


def result(**changes: Any) -> Result:
    made = {
        **dict.fromkeys(Result.__annotations__),
        "org": "uk",
        "instance": "emea",
        "store": "emea/Goat",
        "order_id": "28",
        "kind": "invoice",
        "key": "k",
        "outcome": "POSTED",
        "xero_id": "X1",
        "number": "S-28",
        "status": "PAID",
        "version": AT,
        "at": datetime(2026, 11, 2, tzinfo=UTC),
    }
    return cast(Result, made | changes)


COLUMNS = {"write_back": {"number": "OrderXeroNumber", "status": "OrderXeroStatus", "error": "OrderXeroError"}}


def test_write_back_is_off_until_columns_are_named() -> None:
    assert Workflow(store()).writeback(result(), NOW) is None
    made = Workflow(store(COLUMNS)).writeback(result(), NOW)
    assert made is not None
    assert made["fields"] == {"OrderXeroNumber": "S-28", "OrderXeroStatus": "PAID", "OrderXeroError": ""}
    assert (made["order_id"], made["at"]) == ("28", NOW)


def test_an_order_in_a_daily_summary_is_told_of_its_invoice_and_the_summary_is_no_order() -> None:
    columns = {"write_back": {"number": "OrderXeroNumber", "invoice_id": "OrderXeroID"}}
    member = result(kind="order", number="UK-S20261124-GBP", xero_id="X-S")
    made = Workflow(store(columns)).writeback(member, NOW)
    assert made is not None
    assert made["fields"] == {"OrderXeroNumber": "UK-S20261124-GBP", "OrderXeroID": "X-S"}
    own = result(kind="invoice", order_id="Goat/S20261124-GBP", number="UK-S20261124-GBP", xero_id="X-S")
    assert Workflow(store(columns)).writeback(own, NOW) is None


def test_write_back_tells_of_refusals_and_follows_its_step() -> None:
    refused = result(outcome="REFUSED", kind="order", status=None, number=None, error_code="unbalanced", message="m")
    made = Workflow(store(COLUMNS)).writeback(refused, NOW)
    assert made is not None
    assert made["fields"] == {"OrderXeroStatus": "REFUSED", "OrderXeroError": "unbalanced: m"}
    for quiet in (result(outcome="WAITING"), result(kind="payment"), result(kind="contact", order_id=None)):
        assert Workflow(store(COLUMNS)).writeback(quiet, NOW) is None
    steps = [one.model_dump(by_alias=True) for one in DEFAULT.workflow if one.use != "write_back.columns"]
    assert Workflow(store(COLUMNS, steps)).writeback(result(), NOW) is None


def test_write_back_tells_where_an_order_of_a_daily_summary_stands() -> None:
    within = {"kind": "order", "number": "UK-S20261124-GBP", "xero_id": None, "status": "COLLECTED"}
    why = {"error_code": "account_archived", "message": "Its summary UK-S20261124-GBP was refused: Xero: archived."}
    refused = "account_archived: Its summary UK-S20261124-GBP was refused: Xero: archived."
    posted = {**within, "xero_id": "X-S", "status": "PAID"}
    told: list[tuple[dict[str, Any], dict[str, str]]] = [
        # Collected: an earlier refusal of it is over, and no invoice has its summary's number yet.
        ({**within, "outcome": "WAITING"}, {"OrderXeroStatus": "COLLECTED", "OrderXeroError": ""}),
        ({**within, "outcome": "REFUSED", **why}, {"OrderXeroStatus": "REFUSED", "OrderXeroError": refused}),
        (posted, {"OrderXeroNumber": "UK-S20261124-GBP", "OrderXeroStatus": "PAID", "OrderXeroError": ""}),
        # A newer version has a letter: what its summary posted must not hide that.
        (
            {**posted, "error_code": "other_money", "message": "held"},
            {"OrderXeroNumber": "UK-S20261124-GBP", "OrderXeroStatus": "PAID", "OrderXeroError": "other_money: held"},
        ),
        # The day comes to nothing: no document has its number.
        ({**posted, "xero_id": None}, {"OrderXeroStatus": "PAID", "OrderXeroError": ""}),
    ]
    for given, fields in told:
        made = Workflow(store(COLUMNS)).writeback(result(**given), NOW)
        assert made is not None
        assert made["fields"] == fields, given
    assert Workflow(store(COLUMNS)).writeback(result(kind="order", outcome="WAITING", status=None), NOW) is None
