"""Instance `seed2021`: the real public K13 order of June 2021, completed with the lookup rows it points to.

Ids, totals, dates, XML columns and the item's money are the public order's; names, address,
SKU number and lookup rows are ours.
"""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo

from connectors.kentico.sandbox.catalogue import Catalogue, Currency, Shipping, Site, Sku
from connectors.kentico.sandbox.database import Database
from connectors.kentico.sandbox.places import UNITED_KINGDOM, country_rows, state_rows
from connectors.kentico.sandbox.rows import scaled
from connectors.kentico.sandbox.schema import (
    CUSTOMER,
    HISTORY,
    ITEM,
    ORDER,
    ORDER_ADDRESS,
    SKU,
    TABLES,
    Row,
    Table,
    fixed_guid,
    full_row,
)

NAME = "seed2021"
ORDER_ID = 156889
_PLACED = "2021-06-09T13:59:03.9512858"
# A job rewrote the order a week later: LastModified is not the time of a business change.
_REWRITTEN = "2021-06-16T08:00:10.2468386"
_EARLIER = "2020-01-06T09:00:00.0000000"


def _lookup(type_name: str, **values: object) -> Row:
    table = TABLES[type_name]
    row = full_row(table, **values)
    if table.guid:
        row[table.guid] = fixed_guid(NAME, type_name, row[table.id])
    if table.modified:
        row[table.modified] = _EARLIER
    return row


def build() -> Catalogue:
    """The catalogue of the seed shop: one site, pounds, seeds without tax."""
    rows: dict[str, list[Row]] = {name: [] for name in TABLES}
    rows["cms.country"], rows["cms.state"] = country_rows(), state_rows()
    rows["cms.site"] = [
        _lookup(
            "cms.site", SiteID=1, SiteName="SeedUK", SiteDisplayName="Seeds and Sundries", SiteStatus="RUNNING",
            SiteDomainName="seeds.example.com", SiteDefaultVisitorCulture="en-GB", SitePresentationURL="https://seeds.example.com",
        )
    ]  # fmt: skip
    rows["ecommerce.orderstatus"] = [
        _lookup(
            "ecommerce.orderstatus", StatusID=number, StatusName=name, StatusDisplayName=name, StatusOrder=order,
            StatusEnabled=True,
            StatusSendNotification=False, StatusOrderIsPaid=paid,
        )
        for order, (number, name, paid) in enumerate(((3, "New", False), (13, "Dispatched", True)), 1)
    ]  # fmt: skip
    rows["ecommerce.currency"] = [
        _lookup(
            "ecommerce.currency", CurrencyID=1, CurrencyName="GBP", CurrencyDisplayName="Pound sterling",
            CurrencyCode="GBP",
            CurrencyRoundTo=2, CurrencyEnabled=True, CurrencyFormatString="£{0:F2}", CurrencyIsMain=True,
        )
    ]  # fmt: skip
    rows["ecommerce.paymentoption"] = [
        _lookup(
            "ecommerce.paymentoption", PaymentOptionID=3, PaymentOptionName="PayPal", PaymentOptionDisplayName="PayPal",
            PaymentOptionEnabled=True, PaymentOptionSucceededOrderStatusID=13,
        )
    ]  # fmt: skip
    rows["ecommerce.taxclass"] = [
        _lookup(
            "ecommerce.taxclass",
            TaxClassID=1,
            TaxClassName="ZeroVAT",
            TaxClassDisplayName="Zero rated",
            TaxClassZeroIfIDSupplied=False,
        )
    ]
    rows["ecommerce.taxclasscountry"] = [
        full_row(
            TABLES["ecommerce.taxclasscountry"],
            TaxClassCountryID=1,
            TaxClassID=1,
            CountryID=UNITED_KINGDOM,
            TaxValue=Decimal(0),
        )
    ]
    rows["ecommerce.shippingoption"] = [
        _lookup(
            "ecommerce.shippingoption", ShippingOptionID=1, ShippingOptionName="SecondClass",
            ShippingOptionDisplayName="Second class",
            ShippingOptionEnabled=True, ShippingOptionSiteID=1, ShippingOptionTaxClassID=1,
        )
    ]  # fmt: skip
    rows["ecommerce.department"] = [
        _lookup(
            "ecommerce.department",
            DepartmentID=1,
            DepartmentName="Seeds",
            DepartmentDisplayName="Seeds",
            DepartmentDefaultTaxClassID=1,
        )
    ]
    rows[SKU.name] = [
        full_row(
            SKU, SKUID=11025, SKUNumber="SEED-11025", SKUName="Packet of seeds", SKUPrice=scaled(Decimal("1.65")),
            SKUEnabled=True,
            SKUDepartmentID=1, SKUGUID=fixed_guid(NAME, "sku"), SKUAvailableItems=100, SKULastModified=_EARLIER,
            SKUCreated=_EARLIER,
            SKUSiteID=1, SKUNeedsShipping=True, SKUProductType="PRODUCT", SKUTrackInventory="Disabled", SKUTaxClassID=1,
        )
    ]  # fmt: skip
    sku = Sku(11025, "SEED-11025", "SEED-11025", "Packet of seeds", Decimal("1.65"), 1, "equipment", "PRODUCT")
    site = Site(
        1, "SeedUK", True, UNITED_KINGDOM, "en-GB", (Currency(1, "GBP", True, Decimal(1)),), {sku.key: sku},
        (Shipping(1, "SecondClass", Decimal("1.60"), 1),), {"PayPal": 3}, {"New": 3, "PaymentReceived": 13},
    )  # fmt: skip
    first_ids = dict.fromkeys(TABLES, 1) | {ORDER.name: ORDER_ID + 1, ITEM.name: 1102484, CUSTOMER.name: 104905}
    return Catalogue(
        NAME,
        ZoneInfo("Europe/London"),
        {site.name: site},
        rows,
        first_ids,
        {(1, "country", UNITED_KINGDOM): Decimal(0)},
        frozenset(),
    )


def load(database: Database) -> None:
    """Put the order into an empty database; a second call changes nothing. No event tells of it."""
    if database.count(ORDER):
        return
    with database.transaction():
        for table, row in _order_rows():
            database.insert(table, row)
        database.write_truth(ORDER_ID, _TRUTH)


_GUID = "42bfa1c9-0609-4021-8135-903951285800"
"""The public order shows the first group only; the rest is ours."""

_TRUTH = {
    "instance": NAME, "site": "SeedUK", "store": f"{NAME}/SeedUK", "order_id": ORDER_ID, "order_guid": _GUID,
    "invoice_number": str(ORDER_ID), "kind": "seed2021", "expected": "payable", "channel": "hint", "currency": "GBP",
    "main_currency": "GBP", "tax_mode": "inclusive", "paid": True, "payment_option": "PayPal", "customer_id": 104904,
    "guest": True, "order_date": _PLACED, "lines": 1, "edited": [], "first": None, "total_price": "2.42",
    "total_tax": "0.00",
    "grand_total": "2.42", "shipping": "1.60", "order_discount": "0.00", "tax_by_class": {}, "gift_cards": [],
    "total_in_main_currency": "2.42",
}  # fmt: skip


def _order_rows() -> list[tuple[Table, Row]]:
    total = scaled(Decimal("2.42"))
    price = scaled(Decimal("0.82"))
    discount = "<Summary><Item><Name>KA017 - User discount</Name><Value>0.83</Value></Item></Summary>"
    customer = full_row(
        CUSTOMER, CustomerID=104904, CustomerFirstName="Jane", CustomerLastName="Gardener",
        CustomerEmail="jane.gardener@example.com",
        CustomerPhone="+44 20 7946 0123", CustomerGUID=fixed_guid(NAME, "customer"), CustomerLastModified=_PLACED,
        CustomerSiteID=1,
        CustomerCreated=_PLACED,
    )  # fmt: skip
    order = full_row(
        ORDER, OrderID=ORDER_ID, OrderShippingOptionID=1, OrderTotalShipping=scaled(Decimal("1.6")),
        OrderTotalPrice=total,
        OrderTotalTax=scaled(Decimal(0)), OrderDate=_PLACED, OrderStatusID=13, OrderCurrencyID=1,
        OrderCustomerID=104904,
        OrderSiteID=1, OrderPaymentOptionID=3, OrderInvoice="<table border=\"1\"></table>",
        OrderInvoiceNumber=str(ORDER_ID),
        OrderGUID=_GUID, OrderLastModified=_REWRITTEN, OrderTotalPriceInMainCurrency=total, OrderIsPaid=None,
        OrderCulture="en-GB",
        OrderDiscounts="<Summary />", OrderGrandTotal=total, OrderGrandTotalInMainCurrency=total,
        OrderOtherPayments="<Summary />",
        OrderTaxSummary="<Summary />", OrderCouponCodes="<CouponCodes />",
    )  # fmt: skip
    item = full_row(
        ITEM, OrderItemID=1102483, OrderItemOrderID=ORDER_ID, OrderItemSKUID=11025, OrderItemSKUName="Packet of seeds",
        OrderItemUnitPrice=price, OrderItemUnitCount=1, OrderItemTotalPrice=price,
        OrderItemTotalPriceInMainCurrency=price,
        OrderItemGuid=fixed_guid(NAME, "item"), OrderItemLastModified=_PLACED, OrderItemDiscountSummary="<Summary />",
        OrderItemProductDiscounts=discount,
    )  # fmt: skip
    addresses = [
        full_row(
            ORDER_ADDRESS, AddressID=kind, AddressLine1="1 Garden Row", AddressCity="Kings Lynn", AddressZip="PE30 1AA",
            AddressCountryID=UNITED_KINGDOM, AddressPersonalName="Jane Gardener", AddressGUID=fixed_guid(NAME,
            "address", kind),
            AddressLastModified=_PLACED, AddressOrderID=ORDER_ID, AddressType=kind,
        )
        for kind in (1, 2)
    ]  # fmt: skip
    steps = ((None, 3, _PLACED), (3, 13, "2021-06-10T09:12:44.1234567"))
    history = [
        full_row(HISTORY, OrderStatusUserID=number, OrderID=ORDER_ID, FromStatusID=before, ToStatusID=after, Date=at)
        for number, (before, after, at) in enumerate(steps, 1)
    ]
    return [
        (CUSTOMER, customer), (ORDER, order), (ITEM, item), *((ORDER_ADDRESS, row) for row in addresses),
        *((HISTORY, row) for row in history),
    ]  # fmt: skip
