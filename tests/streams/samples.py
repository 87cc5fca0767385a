"""Events as Kentico's receiver writes them, for the tests and the bench of streams."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

START = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)


def item(number: int, price: str = "29.90", count: str = "1", tax: str = "4.98") -> dict[str, Any]:
    total = Decimal(price) * Decimal(count)
    return {
        "OrderItemID": number,
        "OrderItemGuid": f"00000000-0000-4000-8000-{number:012d}",
        "OrderItemSKUID": 100 + number,
        "OrderItemSKUName": f"Coffee plunger {number}",
        "OrderItemUnitPrice": Decimal(price),
        "OrderItemUnitCount": Decimal(count),
        "OrderItemTotalPrice": total,
        "OrderItemTotalPriceInMainCurrency": total,
        "OrderItemTotalTax": Decimal(tax),
        "SKUNumber": f"SKU-{number}",
        "SKUDepartmentName": "Coffee",
        "SKUTaxClassID": 1,
        "TaxClassName": "Standard",
        "TaxClassDisplayName": "Standard",
        "TaxRate": Decimal(20),
    }


def order(number: int, *, instance: str = "emea", site: str | None = "GoatUK", paid: bool = True) -> dict[str, Any]:
    """A paid order of three lines with every money column: gross 29.90 + 2 × 8.90 + 5.00 + shipping 6.00 = 58.70."""
    at = START + timedelta(seconds=number)
    tax = Decimal("9.78")
    return {
        "instance": instance,
        "site_name": site,
        "event_type": "order.paid",
        "version": at,
        "observed_at": at,
        "received_at": at,
        "order": {
            "OrderID": number,
            "OrderGUID": f"10000000-0000-4000-8000-{number:012d}",
            "OrderDate": at,
            "OrderLastModified": at,
            "OrderStatusID": 2,
            "OrderCurrencyID": 1,
            "OrderCustomerID": 1000 + number % 500,
            "OrderPaymentOptionID": 1,
            "OrderTotalPrice": Decimal("58.70"),
            "OrderTotalShipping": Decimal("6.00"),
            "OrderTotalTax": tax,
            "OrderGrandTotal": Decimal("58.70"),
            "OrderTotalPriceInMainCurrency": Decimal("58.70"),
            "OrderGrandTotalInMainCurrency": Decimal("58.70"),
            "OrderIsPaid": paid,
            "OrderTaxSummary": [{"name": "Standard", "value": tax}],
        },
        "items": [item(1, "29.90", "1", "4.98"), item(2, "8.90", "2", "2.97"), item(3, "5.00", "1", "0.83")],
        "addresses": [
            {
                "AddressType": kind,
                "AddressLine1": "1 Long Lane",
                "AddressCity": "London",
                "AddressZip": "EC1A 9HF",
                "CountryName": "United Kingdom",
                "CountryTwoLetterCode": "GB",
            }
            for kind in (1, 2)
        ],
        "customer": customer(1000 + number % 500)["customer"],
        "status": {"StatusID": 2, "StatusName": "PaymentReceived", "StatusOrderIsPaid": True},
        "currency": {"CurrencyCode": "GBP", "CurrencyRoundTo": 2, "CurrencyIsMain": True, "main_currency_code": "GBP"},
        "payment_option": {"PaymentOptionID": 1, "PaymentOptionName": "Card"},
        "shipping": {
            "ShippingOptionID": 1,
            "ShippingOptionName": "Standard",
            "TaxClassName": "Standard",
            "TaxClassDisplayName": "Standard",
            "TaxRate": Decimal(20),
        },
        "payment_result": {"date": at, "transaction_id": f"tx-{number}", "completed": True},
        "prices_include_tax": True,
    }


def customer(number: int, *, instance: str = "emea") -> dict[str, Any]:
    return {
        "instance": instance,
        "event_type": "customer.updated",
        "version": START,
        "observed_at": START,
        "received_at": START,
        "customer": {
            "CustomerID": number,
            "CustomerFirstName": "Ada",
            "CustomerLastName": f"Buyer {number}",
            "CustomerEmail": f"ada{number}@example.com",
            "CustomerUserID": number,
            "CustomerLastModified": START,
        },
    }


def product(number: int, *, instance: str = "emea") -> dict[str, Any]:
    return {
        "instance": instance,
        "event_type": "product.updated",
        "version": START,
        "observed_at": START,
        "received_at": START,
        "SKUID": number,
        "SKUNumber": f"SKU-{number}",
        "SKUName": f"Coffee plunger {number}",
        "SKUPrice": Decimal("29.90"),
        "SKUEnabled": True,
    }


def result(number: int, outcome: str = "POSTED", store: str = "emea/GoatUK") -> dict[str, Any]:
    return {
        "org": "uk",
        "instance": store.partition("/")[0],
        "store": store,
        "order_id": str(number),
        "kind": "invoice",
        "key": f"{store.partition('/')[0]}|{number}|invoice|0",
        "outcome": outcome,
        "xero_id": f"30000000-0000-4000-8000-{number:012d}",
        "number": f"UK-{number}",
        "status": "PAID",
        "version": START,
        "at": START,
    }


def reference(org: str, kind: str, code: str, document: str = "{}", snapshot: str = "s1") -> dict[str, Any]:
    return {"org": org, "kind": kind, "code": code, "document": document, "snapshot": snapshot, "updated_at": START}


def rules(org: str, version: int = 1, document: str = "{}") -> dict[str, Any]:
    return {
        "org": org,
        "version": version,
        "document": document,
        "sha256": "0" * 64,
        "published_at": START,
        "published_by": "test",
    }
