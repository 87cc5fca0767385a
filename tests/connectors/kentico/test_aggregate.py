from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.kentico.aggregate import Facts, build_customer, build_order, build_product, deleted_order
from connectors.kentico.errors import FieldError
from schemas.codec import Codec
from schemas.types import Change, Order
from tests.connectors.kentico.samples import NOW, SHOP, data

FACTS = Facts(SHOP, "order.paid", "WEBHOOK", NOW, NOW, "DancingGoatCore", path="[3].data.")


def build(changed: dict[str, Any] | None = None) -> Order:
    return build_order(data() if changed is None else changed, FACTS)


def test_whole_order_keeps_every_cent_and_encodes(codec: Codec) -> None:
    order = build()
    row = order["order"]
    assert row["OrderTotalPrice"] == Decimal("94.44")
    assert (
        sum(item["OrderItemTotalPrice"] for item in order["items"]) + Decimal("10") + row["OrderTotalTax"]
        == row["OrderTotalPrice"]
    )
    assert row["OrderTaxSummary"] == [{"name": "VAT 20%", "value": Decimal("15.74")}]
    assert order["currency"] == {
        "CurrencyCode": "USD",
        "CurrencyRoundTo": 2,
        "CurrencyIsMain": True,
        "main_currency_code": "USD",
    }
    assert order["prices_include_tax"] is False
    decoded = codec.decode(codec.encode("order", order))
    assert decoded["order"]["OrderTotalPrice"] == Decimal("94.44")
    assert decoded["items"][0]["OrderItemGuid"] == "6e3c1c0a-1f0d-4b0e-8a55-0c5f9b1c2a11"
    assert decoded["items"][0]["OrderItemBundleGUID"] is None


def test_version_is_the_newest_stamp_of_all_parts() -> None:
    assert build()["version"] == datetime(2026, 11, 2, 10, 15, 32, tzinfo=UTC)  # the status change
    edited = data()
    edited["items"][1]["OrderItemLastModified"] = "2026-11-02T10:15:50"
    assert build(edited)["version"] == datetime(2026, 11, 2, 10, 15, 50, tzinfo=UTC)
    edited["addresses"][0]["AddressLastModified"] = "2026-11-02T10:15:51"
    assert build(edited)["version"] == datetime(2026, 11, 2, 10, 15, 51, tzinfo=UTC)


def test_unknown_columns_are_kept_and_heavy_ones_left() -> None:
    order = build()
    assert order["order"]["custom"] == {
        "OrderPONumber": "PO-77",
        "OrderPartShipment": "false",
        "OrderCustomData.Gift": "yes",
    }
    assert order["items"][0]["custom"] == {"OrderItemCustomData.Engraving": "For Jo"}
    assert order["customer"] is not None
    assert order["customer"]["custom"] == {"CustomerVip": "1"}
    assert order["order"]["OrderCouponCodes"] == ["BDAY"]
    assert "<table" not in json.dumps(order, default=str)


def test_status_history_is_sorted_and_named_where_it_can_be() -> None:
    history = build()["status_history"]
    assert [change["to_status"] for change in history] == [None, "PaymentReceived"]
    assert [change["to_is_paid"] for change in history] == [None, True]


def test_payment_result_is_in_the_instances_zone() -> None:
    result = build()["payment_result"]
    assert result is not None
    assert result["date"] == datetime(2026, 11, 2, 10, 15, 31, tzinfo=UTC)
    assert result["transaction_id"] == "PAY-1"


@pytest.mark.parametrize(
    ("where", "value", "path", "said"),
    [
        (("order", "OrderTotalPrice"), 94.44, "order.OrderTotalPrice", "loses cents"),
        (("order", "OrderTotalPrice"), None, "order.OrderTotalPrice", "missing"),
        (("order", "OrderTotalPrice"), "", "order.OrderTotalPrice", "missing"),
        (("order", "OrderTotalPrice"), "NaN", "order.OrderTotalPrice", "decimal"),
        (("order", "OrderTotalPrice"), Decimal("NaN"), "order.OrderTotalPrice", "decimal"),
        (("order", "OrderTotalPrice"), Decimal("1E+999999"), "order.OrderTotalPrice", "decimal"),
        (("order", "OrderTotalPrice"), "1e3", "order.OrderTotalPrice", "decimal"),
        (("order", "OrderTotalPrice"), "1_000.00", "order.OrderTotalPrice", "decimal"),
        (("order", "OrderTotalPrice"), "١٢", "order.OrderTotalPrice", "decimal"),
        (("order", "OrderTotalPrice"), "1234567890.00", "order.OrderTotalPrice", "decimal"),
        (("order", "OrderTotalPrice"), 10**30, "order.OrderTotalPrice", "too large"),
        (("order", "OrderTotalPrice"), "0.1234567891", "order.OrderTotalPrice", "decimal"),
        (("order", "OrderTotalPrice"), True, "order.OrderTotalPrice", "not bool"),
        (("order", "OrderTotalPrice"), {}, "order.OrderTotalPrice", "not dict"),
        (("order", "OrderID"), 0, "order.OrderID", "no id"),
        (("order", "OrderID"), 2**70, "order.OrderID", "too large"),
        (("order", "OrderDate"), "soon", "order.OrderDate", "ISO 8601"),
        (("order", "OrderGUID"), "28", "order.OrderGUID", "GUID"),
        (("order", "OrderIsPaid"), "perhaps", "order.OrderIsPaid", "neither"),
        (("order", "OrderTaxSummary"), "<Summary", "order.OrderTaxSummary", "XML"),
        (("order", "OrderPaymentResult"), "<result", "order.OrderPaymentResult", "XML"),
        (("items", 1, "OrderItemUnitPrice"), "a lot", "items[1].OrderItemUnitPrice", "decimal"),
        (("items", 0, "OrderItemUnitCount"), "1.23456", "items[0].OrderItemUnitCount", "4 after"),
        (("items", 0), "x", "items[0]", "object"),
        (("items",), {}, "items", "array"),
        (("addresses", 0, "AddressType"), None, "addresses[0].AddressType", "missing"),
        (("customer", "CustomerID"), None, "customer.CustomerID", "missing"),
        (("currency", "CurrencyCode"), "Dollars", "currency.CurrencyCode", "three letters"),
        (("statusHistory", 0, "Date"), None, "statusHistory[0].Date", "missing"),
        (("order",), None, "order", "missing"),
    ],
)
def test_error_names_the_path(where: tuple[Any, ...], value: Any, path: str, said: str) -> None:
    changed = data()
    target: Any = changed
    for step in where[:-1]:
        target = target[step]
    target[where[-1]] = value
    with pytest.raises(FieldError, match=said) as caught:
        build(changed)
    assert caught.value.path == f"[3].data.{path}"


@pytest.mark.parametrize("value", ["94.440000000000000", Decimal("94.440000000"), "94.44", Decimal("94.4400000000000")])
def test_money_is_exact_in_any_scale(value: Any, codec: Codec) -> None:
    changed = data()
    changed["order"]["OrderTotalPrice"] = value
    decoded = codec.decode(codec.encode("order", build(changed)))
    assert decoded["order"]["OrderTotalPrice"] == Decimal("94.44")


def test_customer_may_be_absent_and_foreign_keys_zero() -> None:
    changed = data()
    del changed["customer"]
    changed["order"]["OrderPaymentOptionID"] = 0
    order = build(changed)
    assert order["customer"] is None
    assert order["order"]["OrderPaymentOptionID"] is None


def test_unreadable_xml_without_money_is_kept_as_text() -> None:
    changed = data()
    changed["order"]["OrderCouponCodes"] = "<CouponCodes"
    changed["order"]["OrderPaymentResult"] = '<result><item name="date" value="2.11.2026 10:15" text="" /></result>'
    custom = build(changed)["order"]["custom"]
    assert custom["OrderCouponCodes"] == "<CouponCodes"
    assert custom["OrderPaymentResult.date"] == "2.11.2026 10:15"


def test_refund(codec: Codec) -> None:
    changed = data()
    changed["refund"] = {
        "refundId": "R1",
        "refundedAt": "2026-11-02T09:00:00Z",
        "currency": "USD",
        "amount": "35.88",
        "reason": "broken",
        "lines": [
            {"OrderItemGUID": "6E3C1C0A-1F0D-4B0E-8A55-0C5F9B1C2A11", "quantity": 1, "amount": "29.90", "tax": "5.98"}
        ],
    }
    refund = build(changed)["refund"]
    assert refund is not None
    assert refund["amount"] == refund["lines"][0]["amount"] + refund["lines"][0]["tax"]
    assert refund["lines"][0]["OrderItemGUID"].islower()
    assert codec.decode(codec.encode("order", build(changed)))["refund"]["refund_id"] == "R1"
    changed["refund"]["lines"][0]["tax"] = 5.98
    with pytest.raises(FieldError) as caught:
        build(changed)
    assert caught.value.path == "[3].data.refund.lines[0].tax"


def test_customer_and_product(codec: Codec) -> None:
    customer = build_customer(data(), FACTS)
    assert customer["version"] == datetime(2026, 11, 2, 10, 15, 29, tzinfo=UTC)
    assert codec.decode(codec.encode("customer", customer))["customer"]["CustomerEmail"] == "jo@example.com"
    sku = {
        "SKUID": 94,
        "SKUNumber": None,
        "SKUName": "Plunger",
        "SKUPrice": "29.9",
        "SKUAvailableItems": 3,
        "SKUColour": "red",
    }
    product = build_product({"sku": sku}, FACTS)
    assert (product["SKUEnabled"], product["version"], product["custom"]) == (True, NOW, {"SKUColour": "red"})
    assert codec.decode(codec.encode("product", product))["SKUPrice"] == Decimal("29.9")


def test_deleted_order_of_which_only_the_id_is_known(codec: Codec) -> None:
    at = datetime(2026, 11, 3, tzinfo=UTC)
    change: Change = {
        "instance": "emea",
        "site_name": "DancingGoatCore",
        "object_type": "ecommerce.order",
        "object_id": 28,
        "object_guid": None,
        "event_type": "order.deleted",
        "source": "WEBHOOK",
        "event_id": "e",
        "sequence": 9,
        "occurred_at": at,
        "received_at": NOW,
        "traceparent": None,
    }
    order = codec.decode(codec.encode("order", deleted_order(change, SHOP, NOW)))
    assert (order["deleted"], order["version"], order["order"]["OrderID"], order["items"]) == (True, at, 28, [])
