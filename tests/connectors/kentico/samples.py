"""The example order of the reference (order 28: 94.44 USD, 20 % on top), as a sender joins it. Fictitious people."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from connectors.kentico.settings import InstanceSettings
from connectors.kentico.signature import HEADER, sign

SECRET = "goat-webhook-secret-1"
OLD_SECRET = "goat-webhook-secret-0"
TOKEN = "hint-token-of-the-goat"
NOW = datetime(2026, 11, 2, 10, 16, tzinfo=UTC)

SHOP = InstanceSettings(
    name="emea",
    time_zone="Europe/London",
    secrets=(SecretStr(SECRET), SecretStr(OLD_SECRET)),
    hint_token=SecretStr(TOKEN),
    prices_include_tax={"DancingGoatCore": False},
)

_ITEM = {
    "OrderItemID": 61,
    "OrderItemOrderID": 28,
    "OrderItemSKUID": 94,
    "OrderItemSKUName": "Coffee Plunger",
    "OrderItemUnitPrice": "29.900000000",
    "OrderItemUnitCount": 2,
    "OrderItemCustomData": "<CustomData><Engraving>For Jo</Engraving></CustomData>",
    "OrderItemGuid": "6E3C1C0A-1F0D-4B0E-8A55-0C5F9B1C2A11",
    "OrderItemParentGuid": None,
    "OrderItemLastModified": "2026-11-02T10:15:30.2000000",
    "OrderItemBundleGUID": "00000000-0000-0000-0000-000000000000",
    "OrderItemTotalPriceInMainCurrency": "59.800000000",
    "OrderItemProductDiscounts": "<Summary />",
    "OrderItemDiscountSummary": "<Summary />",
    "OrderItemTotalPrice": "59.800000000",
    "SKUNumber": "COF-PLNG",
    "SKUTaxClassID": 1,
    "TaxClassDisplayName": "VAT 20%",
    "TaxRate": "20",
}
_FILTERS = _ITEM | {
    "OrderItemID": 62,
    "OrderItemSKUID": 125,
    "OrderItemSKUName": "AeroPress Filters",
    "OrderItemUnitPrice": "8.9",
    "OrderItemUnitCount": 1,
    "OrderItemGuid": "0c5f9b1c-1f0d-4b0e-8a55-6e3c1c0a2a11",
    "OrderItemTotalPrice": "8.9",
    "OrderItemTotalPriceInMainCurrency": "8.9",
    "SKUNumber": "AER-AP-F",
    "OrderItemCustomData": None,
}
_DATA: dict[str, Any] = {
    "order": {
        "OrderID": 28,
        "OrderShippingOptionID": 2,
        "OrderTotalShipping": "10.000000000",
        "OrderTotalPrice": "94.440000000",
        "OrderTotalTax": "15.740000000",
        "OrderDate": "2026-11-02T10:15:30.1234567",
        "OrderStatusID": 2,
        "OrderCurrencyID": 1,
        "OrderCustomerID": 31,
        "OrderNote": None,
        "OrderSiteID": 1,
        "OrderPaymentOptionID": 2,
        "OrderInvoice": '<table border="1"></table>',
        "OrderInvoiceNumber": "28",
        "OrderCustomData": "<CustomData><Gift>yes</Gift></CustomData>",
        "OrderPaymentResult": '<result><item name="date" value="11/2/2026 10:15:31 AM" text="" />'
        '<item name="completed" value="1" text="" /><item name="transactionid" value="PAY-1" text="" /></result>',
        "OrderGUID": "0f6f1f4e-6c0b-4f63-9d3c-6a1f2b7c9d10",
        "OrderLastModified": "2026-11-02T10:15:31.4567890",
        "OrderTotalPriceInMainCurrency": "94.440000000",
        "OrderIsPaid": True,
        "OrderCulture": "en-US",
        "OrderDiscounts": "<Summary />",
        "OrderGrandTotal": "94.440000000",
        "OrderGrandTotalInMainCurrency": "94.440000000",
        "OrderOtherPayments": "<Summary />",
        "OrderTaxSummary": "<Summary><Item><Name>VAT 20%</Name><Value>15.74</Value></Item></Summary>",
        "OrderCouponCodes": "<CouponCodes><CouponCode><Code>BDAY</Code></CouponCode></CouponCodes>",
        "OrderPONumber": "PO-77",
        "OrderPartShipment": False,
    },
    "items": [_ITEM, _FILTERS],
    "addresses": [
        {
            "AddressID": 55,
            "AddressType": 1,
            "AddressPersonalName": "Jo Doe",
            "AddressLine1": "Botanická 42/99",
            "AddressLine2": "apartment",
            "AddressCity": "Brno",
            "AddressZip": "60200",
            "AddressCountryID": 326,
            "AddressStateID": None,
            "AddressLastModified": "2026-11-02T10:15:30.2500000",
            "CountryTwoLetterCode": "cz",
            "StateCode": None,
        }
    ],
    "customer": {
        "CustomerID": 31,
        "CustomerFirstName": "Jo",
        "CustomerLastName": "Doe",
        "CustomerEmail": "jo@example.com",
        "CustomerUserID": None,
        "CustomerLastModified": "2026-11-02T10:15:29.0000000",
        "CustomerCreated": "2026-11-02T10:15:29.0000000",
        "CustomerVip": 1,
    },
    "status": {"StatusID": 2, "StatusName": "PaymentReceived", "StatusOrderIsPaid": True},
    "currency": {"CurrencyCode": "USD", "CurrencyRoundTo": None, "CurrencyIsMain": True},
    "paymentOption": {"PaymentOptionID": 2, "PaymentOptionName": "DancingGoatCore.MoneyTransfer"},
    "shippingOption": {"ShippingOptionID": 2, "ShippingOptionName": "StandardDelivery", "ShippingOptionTaxClassID": 1},
    "statusHistory": [
        {"OrderStatusUserID": 41, "OrderID": 28, "FromStatusID": 3, "ToStatusID": 2, "Date": "2026-11-02T10:15:32"},
        {"OrderStatusUserID": 40, "OrderID": 28, "FromStatusID": None, "ToStatusID": 3, "Date": "2026-11-02T10:15:30"},
    ],
}


def data(order_id: int = 28) -> dict[str, Any]:
    """The order's rows, under another id where one is given."""
    found = deepcopy(_DATA)
    found["order"]["OrderID"] = order_id
    for row in found["items"]:
        row["OrderItemOrderID"] = order_id
    for row in found["statusHistory"]:
        row["OrderID"] = order_id
    return found


def event(event_type: str = "order.paid", **changes: Any) -> dict[str, Any]:
    """A signed sender's event about order 28; a change of None leaves that name out."""
    envelope: dict[str, Any] = {
        "specVersion": 1,
        "eventId": "6e3c1c0a",
        "eventType": event_type,
        "occurredAt": "2026-11-02T10:15:33Z",
        "instance": "emea",
        "siteName": "DancingGoatCore",
        "objectType": "ecommerce.order",
        "objectGuid": "0f6f1f4e-6c0b-4f63-9d3c-6a1f2b7c9d10",
        "objectId": 28,
        "sequence": 7,
        "schema": "k13",
        "data": data(),
    }
    return {name: value for name, value in (envelope | changes).items() if value is not None}


def signed(body: bytes, at: datetime = NOW, secret: str = SECRET) -> dict[str, str]:
    stamp = str(int(at.timestamp()))
    return {HEADER: f"t={stamp},v1={sign(secret, stamp, body)}", "Content-Type": "application/json"}


def body(*events: Any) -> bytes:
    return json.dumps(events[0] if len(events) == 1 else list(events)).encode()
