from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.kentico import events
from connectors.kentico.errors import FieldError
from connectors.kentico.settings import InstanceSettings
from schemas.codec import Codec

SHOP = InstanceSettings(name="x", time_zone="UTC", dialect="XBYK")
NOW = datetime(2026, 11, 2, tzinfo=UTC)


def event() -> dict[str, Any]:
    """Kentico's own sample order (universal migration tool), with a currency from the sender."""
    return {
        "specVersion": 1,
        "eventId": "e",
        "eventType": "order.created",
        "occurredAt": "2024-03-16T09:30:05Z",
        "instance": "x",
        "siteName": "main",
        "objectType": "commerce.order",
        "objectId": 1,
        "schema": "xbyk",
        "data": {
            "order": {
                "OrderID": 1,
                "OrderGUID": "e1f2a3b4-c5d6-4789-e012-3456789abcde",
                "OrderNumber": "ORD-2024-001",
                "OrderCreatedWhen": "2024-03-15T09:30:00",
                "OrderModifiedWhen": "2024-03-16T09:30:00",
                "OrderOrderStatusID": 3,
                "OrderTotalPrice": "129.97",
                "OrderTotalShipping": "5.99",
                "OrderTotalTax": "8.00",
                "OrderGrandTotal": "149.95",
                "OrderCustomerID": 1,
                "OrderPaymentMethodID": 2,
                "OrderPaymentMethodDisplayName": "Credit Card",
            },
            "items": [
                {
                    "OrderItemID": 1,
                    "OrderItemGUID": "b4c5d6e7-f8a9-4012-b345-6789abcdef01",
                    "OrderItemSKU": "PROD-001",
                    "OrderItemName": "Sample Product",
                    "OrderItemQuantity": "2",
                    "OrderItemUnitPrice": "49.99",
                    "OrderItemTotalPrice": "99.98",
                    "OrderItemTotalTax": "7.99",
                    "OrderItemTaxRate": "0.08",
                }
            ],
            "addresses": [
                {
                    "OrderAddressType": "billing",
                    "OrderAddressFirstName": "John",
                    "OrderAddressLastName": "Doe",
                    "OrderAddressZip": "10001",
                }
            ],
            "customer": {"CustomerID": 1, "CustomerFirstName": "John", "CustomerMemberID": None},
            "status": {"OrderStatusID": 3, "OrderStatusName": "Completed"},
            "paymentMethod": {"PaymentMethodID": 2, "PaymentMethodName": "CreditCard"},
            "currency": {"CurrencyCode": "USD"},
        },
    }


def test_order_of_xbyk_becomes_the_same_aggregate(codec: Codec) -> None:
    routed = events.route(event(), "", SHOP, NOW, None)
    order = codec.decode(codec.encode(routed.schema, routed.value))
    assert (order["dialect"], order["order"]["OrderInvoiceNumber"]) == ("XBYK", "ORD-2024-001")
    assert order["version"] == datetime(2024, 3, 16, 9, 30, tzinfo=UTC)
    (item,) = order["items"]
    assert (item["SKUNumber"], item["OrderItemUnitCount"], item["TaxRate"]) == ("PROD-001", 2, Decimal(8))
    assert item["OrderItemTotalTax"] == Decimal("7.99")
    (address,) = order["addresses"]
    assert (address["AddressType"], address["AddressPersonalName"], address["AddressZip"]) == (1, "John Doe", "10001")
    assert (order["status"]["StatusName"], order["payment_option"]["PaymentOptionName"]) == ("Completed", "CreditCard")
    assert order["order"]["custom"]["OrderPaymentMethodDisplayName"] == "Credit Card"


def test_rate_of_a_migrated_order_says_nothing() -> None:
    migrated = event()
    migrated["data"]["items"][0]["OrderItemTaxRate"] = "0.0000"
    assert events.route(migrated, "", SHOP, NOW, None).value["items"][0]["TaxRate"] is None


def test_zero_is_a_rate_beside_another_one() -> None:
    mixed = event()
    mixed["data"]["items"].append(mixed["data"]["items"][0] | {"OrderItemID": 2, "OrderItemTaxRate": "0"})
    rates = [item["TaxRate"] for item in events.route(mixed, "", SHOP, NOW, None).value["items"]]
    assert rates == [Decimal(8), Decimal(0)]


@pytest.mark.parametrize(
    ("member", "value", "path"),
    [
        ("OrderItemTaxRate", "some", "[2].data.items[0].TaxRate"),
        ("OrderItemTaxRate", 0.08, "[2].data.items[0].TaxRate"),
        ("OrderItemQuantity", "two", "[2].data.items[0].OrderItemUnitCount"),
    ],
)
def test_bad_values_are_refused(member: str, value: Any, path: str) -> None:
    bad = event()
    bad["data"]["items"][0][member] = value
    with pytest.raises(FieldError) as caught:
        events.route(bad, "[2].", SHOP, NOW, None)
    assert caught.value.path == path
