"""The example order of reference/kentico-data.md (order 28: 94.44 USD, 20 % on top), as plain records to vary.

`build(**changes)` and the helpers below give an Order as fastavro reads it; `store(**rules)` a compiled store whose
organisation is small: five currencies, a few accounts, VAT of 20, 10, 5, 7, 8 and 0 %.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import orjson

from schemas.letters import Reason
from schemas.types import Order, Sale
from streams.flow import Refused, Suppressed
from streams.rules.document import RulesDocument, load
from streams.rules.marks import merged
from streams.rules.reference import OrgReference, build
from streams.transform.context import Store
from streams.workflow import Outcome, compile_store, run

D = Decimal
AT = datetime(2026, 11, 2, 10, 15, 30, 123456, tzinfo=UTC)
NOW = datetime(2026, 11, 2, 10, 16, tzinfo=UTC)
DEFAULT = load(Path(__file__).parents[3] / "rules" / "uk.yaml")

_ALL = ("Assets", "Equity", "Expenses", "Liabilities", "Revenue")
ACCOUNTS = (
    # code, name, type, class, tax type, system, payments, currency, status
    ("090", "Bank", "BANK", "ASSET", "NONE", "", False, "GBP", "ACTIVE"),
    ("091", "Bank USD", "BANK", "ASSET", "NONE", "", False, "USD", "ACTIVE"),
    ("092", "Bank EUR", "BANK", "ASSET", "NONE", "", False, "EUR", "ACTIVE"),
    ("200", "Sales", "REVENUE", "REVENUE", "OUTPUT2", "", False, None, "ACTIVE"),
    ("201", "Books", "SALES", "REVENUE", "ZERORATEDOUTPUT", "", False, None, "ACTIVE"),
    ("210", "Shipping", "OTHERINCOME", "REVENUE", "OUTPUT2", "", False, None, "ACTIVE"),
    ("290", "Old sales", "REVENUE", "REVENUE", "OUTPUT2", "", False, None, "ARCHIVED"),
    ("400", "Advertising", "EXPENSE", "EXPENSE", "NONE", "", False, None, "ACTIVE"),
    ("610", "Receivable", "CURRENT", "ASSET", "NONE", "DEBTORS", False, None, "ACTIVE"),
    ("822", "Gift cards", "CURRLIAB", "LIABILITY", "NONE", "", True, None, "ACTIVE"),
    ("260", "Rounding", "CURRLIAB", "LIABILITY", "NONE", "ROUNDING", False, None, "ACTIVE"),
)
TAX_RATES = (
    ("OUTPUT2", "20", _ALL, "ACTIVE"),
    ("TEN", "10", _ALL, "ACTIVE"),
    ("RROUTPUT", "5", _ALL, "ACTIVE"),
    ("TAX007", "7", _ALL, "ACTIVE"),
    ("TAX008", "8", _ALL, "ACTIVE"),
    ("ZERORATEDOUTPUT", "0", _ALL, "ACTIVE"),
    ("EXEMPTOUTPUT", "0", _ALL, "ACTIVE"),
    ("EXPORT", "0", _ALL, "ACTIVE"),
    ("NONE", "0", _ALL, "ACTIVE"),
    ("INPUT2", "20", ("Assets", "Equity", "Expenses", "Liabilities"), "ACTIVE"),
    ("OLD20", "20", _ALL, "ARCHIVED"),
)


def reference(
    items: dict[str, dict[str, Any]] | None = None, *, lock: str | None = None, base: str = "GBP", **organisation: Any
) -> OrgReference:
    """The small organisation."""
    names = (
        "Code",
        "Name",
        "Type",
        "Class",
        "TaxType",
        "SystemAccount",
        "EnablePaymentsToAccount",
        "CurrencyCode",
        "Status",
    )
    rows: list[tuple[str, str, dict[str, Any]]] = [
        ("ACCOUNT", row[0], {"AccountID": f"id-{row[0]}", **dict(zip(names, row, strict=True))}) for row in ACCOUNTS
    ]
    rows += [
        (
            "TAX_RATE",
            type_,
            {
                "TaxType": type_,
                "EffectiveRate": rate,
                "Status": status,
                **{f"CanApplyTo{what}": True for what in what_},
            },
        )
        for type_, rate, what_, status in TAX_RATES
    ]
    rows += [("CURRENCY", code, {"Code": code}) for code in ("GBP", "USD", "EUR", "JPY")]
    channel = [{"Name": "Web", "Status": "ACTIVE"}, {"Name": "Old", "Status": "ARCHIVED"}]
    rows.append(("TRACKING", "Channel", {"Name": "Channel", "Status": "ACTIVE", "Options": channel}))
    rows += [("ITEM", code, {"Code": code, "IsSold": True, **item}) for code, item in (items or {}).items()]
    given = {"Name": "Test Ltd", "BaseCurrency": base, "Timezone": "GMTSTANDARDTIME", "PeriodLockDate": lock}
    rows.append(("ORGANISATION", "o", {**given, **organisation}))
    found = build(rows)
    assert found is not None
    return found


RULES: dict[str, Any] = {
    "prefix": "S-",
    "accounts": {"default": "200"},
    "shipping_account": "210",
    "gift_card_accounts": {"*": "822"},
    "payments": {"Card:GBP": "090", "Card:USD": "091", "Card:EUR": "092", "Card:JPY": "090"},
    "tax": [
        {"rate": 0, "not_country": "GB", "tax_type": "EXPORT"},
        {"class": "VAT 20%", "rate": 20, "tax_type": "OUTPUT2"},
        {"class": "VAT 5%", "rate": 5, "tax_type": "RROUTPUT"},
    ],
    "zero_tax": "ZERORATEDOUTPUT",
}


def rules(changes: dict[str, Any] | None = None, workflow: list[dict[str, Any]] | None = None) -> RulesDocument:
    """A document of one store, emea/Goat; `changes` are merged into its rules."""
    steps = workflow if workflow is not None else [one.model_dump(by_alias=True) for one in DEFAULT.workflow]
    stores = {"emea/Goat": merged(RULES, changes or {})}
    return RulesDocument.model_validate({"organisation": "uk", "stores": stores, "workflow": steps})


def store(
    changes: dict[str, Any] | None = None,
    workflow: list[dict[str, Any]] | None = None,
    *,
    of: OrgReference | None = None,
) -> Store:
    return compile_store(rules(changes, workflow), of or reference(), store="emea/Goat", rules_version=3)


def item(
    name: str = "Coffee Plunger",
    price: str = "29.90",
    count: int | str = 1,
    *,
    sku: str | None = "COF-PLNG",
    tax_class: str | None = "VAT 20%",
    rate: str | None = "20",
    total: str | None = None,
    off: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """An item; `off`: discount on the line, `total`: OrderItemTotalPrice where it is not price × count − off."""
    made = D(price) * D(count) - D(off or 0)
    return {
        "OrderItemID": 61,
        "OrderItemGuid": None,
        "OrderItemParentGuid": None,
        "OrderItemBundleGUID": None,
        "OrderItemSKUID": 94,
        "OrderItemSKUName": name,
        "OrderItemUnitPrice": D(price).quantize(D("1e-9")),
        "OrderItemUnitCount": D(count).quantize(D("1e-4")),
        "OrderItemTotalPrice": (D(total) if total else made).quantize(D("1e-9")),
        "OrderItemTotalPriceInMainCurrency": None,
        "OrderItemProductDiscounts": [],
        "OrderItemDiscountSummary": [{"name": "Buy 2 get 1", "value": D(off)}] if off else [],
        "OrderItemText": None,
        "OrderItemLastModified": AT,
        "OrderItemTotalTax": None,
        "SKUNumber": sku,
        "sku_number_shared": False,
        "SKUDepartmentName": None,
        "SKUTaxClassID": None,
        "TaxClassName": None,
        "TaxClassDisplayName": tax_class,
        "TaxRate": None if rate is None else D(rate).quantize(D("1e-9")),
        "custom": {},
        **more,
    }


PLUNGER = item("Coffee Plunger", "29.90", 2)
FILTERS = item("AeroPress Filters", "8.90", sku="AER-AP-F")


def named(**amounts: str) -> list[dict[str, Any]]:
    """NamedAmount rows; underscores in names are spaces."""
    return [{"name": name.replace("_", " "), "value": D(value)} for name, value in amounts.items()]


def address(kind: int = 1, country: str | None = "GB", **more: Any) -> dict[str, Any]:
    return {
        "AddressType": kind,
        "AddressPersonalName": "Testfirstname Testlastname",
        "AddressLine1": "Botanická 42/99",
        "AddressLine2": "apartment",
        "AddressCity": "Brno",
        "AddressZip": "60200",
        "AddressPhone": "777777777",
        "AddressCountryID": 326,
        "AddressStateID": None,
        "CountryName": "Czech Republic",
        "CountryTwoLetterCode": country,
        "StateName": None,
        "StateCode": None,
        "AddressLastModified": AT,
        **more,
    }


CUSTOMER: dict[str, Any] = {
    "CustomerID": 31,
    "CustomerGUID": None,
    "CustomerFirstName": "Testfirstname",
    "CustomerLastName": "Testlastname",
    "CustomerEmail": "test@test.cz",
    "CustomerPhone": "777777777",
    "CustomerFax": None,
    "CustomerCompany": None,
    "CustomerTaxRegistrationID": None,
    "CustomerOrganizationID": None,
    "CustomerUserID": 7,
    "CustomerSiteID": 1,
    "CustomerLastModified": AT,
    "custom": {},
}
SHIPPING: dict[str, Any] = {
    "ShippingOptionID": 2,
    "ShippingOptionName": "StandardDelivery",
    "ShippingOptionDisplayName": "Standard Delivery",
    "ShippingOptionTaxClassID": 1,
    "TaxClassName": None,
    "TaxClassDisplayName": "VAT 20%",
    "TaxRate": D(20),
}
RESULT: dict[str, Any] = {
    "date": datetime(2026, 11, 3, 0, 30, tzinfo=UTC),
    "method": "Card",
    "transaction_id": "PAY-1",
    "authorization_id": None,
    "completed": True,
    "failed": False,
    "authorized": False,
    "status": None,
    "description": None,
}
_ORDER: dict[str, Any] = {
    "instance": "emea",
    "site_name": "Goat",
    "dialect": "K13",
    "source": "WEBHOOK",
    "event_type": "order.paid",
    "event_id": None,
    "sequence": None,
    "version": AT,
    "observed_at": AT,
    "received_at": AT,
    "traceparent": None,
    "deleted": False,
    "order": {
        "OrderID": 28,
        "OrderGUID": "0f6f1f4e-6c0b-4f63-9d3c-6a1f2b7c9d10",
        "OrderInvoiceNumber": "28",
        "OrderDate": AT,
        "OrderLastModified": AT,
        "OrderSiteID": 1,
        "OrderStatusID": 2,
        "OrderCurrencyID": 1,
        "OrderCustomerID": 31,
        "OrderPaymentOptionID": 2,
        "OrderShippingOptionID": 2,
        "OrderTotalPrice": D("94.44"),
        "OrderTotalShipping": D("10.000000000"),
        "OrderTotalTax": D("15.74"),
        "OrderGrandTotal": D("94.44"),
        "OrderTotalPriceInMainCurrency": D("94.44"),
        "OrderGrandTotalInMainCurrency": None,
        "OrderIsPaid": True,
        "OrderCulture": "en-GB",
        "OrderNote": None,
        "OrderTrackingNumber": None,
        "OrderDiscounts": [],
        "OrderOtherPayments": [],
        "OrderTaxSummary": [{"name": "VAT 20%", "value": D("15.74")}],
        "OrderCouponCodes": [],
        "custom": {},
    },
    "items": [PLUNGER, FILTERS],
    "addresses": [address()],
    "customer": CUSTOMER,
    "status": {
        "StatusID": 2,
        "StatusName": "PaymentReceived",
        "StatusDisplayName": "Payment received",
        "StatusOrderIsPaid": True,
    },
    "currency": {"CurrencyCode": "GBP", "CurrencyRoundTo": 2, "CurrencyIsMain": True, "main_currency_code": "GBP"},
    "payment_option": {"PaymentOptionID": 2, "PaymentOptionName": "Card", "PaymentOptionDisplayName": "Credit card"},
    "shipping": SHIPPING,
    "payment_result": RESULT,
    "status_history": [],
    "prices_include_tax": None,
    "refund": None,
}


def order(row: dict[str, Any] | None = None, **parts: Any) -> Order:
    """The example with other columns (`row`) and other parts."""
    made = deepcopy(_ORDER)
    made["order"] |= row or {}
    return cast(Order, made | deepcopy(parts))


def money(
    total: str,
    tax: str = "0",
    shipping: str = "0",
    *,
    gifts: str = "0",
    summary: dict[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Columns of an order's sums. Without `summary` the tax is all of class VAT 20%."""
    classes = {"VAT 20%": tax} if summary is None else summary
    return {
        "OrderTotalPrice": D(total),
        "OrderTotalTax": D(tax),
        "OrderTotalShipping": D(shipping),
        "OrderGrandTotal": D(total) - D(gifts),
        "OrderTotalPriceInMainCurrency": D(total),
        "OrderTaxSummary": [{"name": name, "value": D(value)} for name, value in classes.items() if D(value)],
        **more,
    }


INCLUSIVE = money("78.70", "13.12", "10")
"""The same shop with prices that contain the tax: 68.70 + 10.00."""


def sale(made: Order, by: Store | None = None) -> Sale:
    """The sale, or an assertion that says why there is none."""
    outcome = run(made, by or store(), NOW)
    assert isinstance(outcome.made, dict), outcome.made
    assert outcome.made["kind"] == "SALE"
    return cast(Sale, outcome.made["body"])


def invoice(made: Order, by: Store | None = None) -> dict[str, Any]:
    """The invoice's document."""
    found: dict[str, Any] = orjson.loads(sale(made, by)["invoice"])
    return found


def lines(made: Order, by: Store | None = None, *keys: str) -> list[tuple[Any, ...]]:
    """Of each line these fields; None where one is not sent."""
    chosen = keys or ("Quantity", "UnitAmount", "TaxType")
    return [tuple(line.get(key) for key in chosen) for line in invoice(made, by)["LineItems"]]


def refusal(made: Order, by: Store | None = None) -> Reason:
    """Why it was refused."""
    outcome: Outcome = run(made, by or store(), NOW)
    assert isinstance(outcome.made, Refused), outcome.made
    return outcome.made.reason


def suppression(made: Order, by: Store | None = None) -> Suppressed:
    outcome = run(made, by or store(), NOW)
    assert isinstance(outcome.made, Suppressed), outcome.made
    return outcome.made
