"""The same shop as Xperience by Kentico would have it: Commerce_* columns by the community's REST package.

One store, no currency, no paid flag; the tax of each line as a fraction and an amount, or zero as a migration from
Kentico 13 leaves it. Writing is by PATCH to the service's root.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from xml.etree.ElementTree import fromstring

from aiohttp import web

from connectors.kentico.sandbox import render
from connectors.kentico.sandbox.errors import BadQuery, UnknownObject
from connectors.kentico.sandbox.render import DateMode
from connectors.kentico.sandbox.schema import ITEM, ORDER, TABLES, Row, Table, made
from connectors.kentico.sandbox.shop import Shop
from connectors.kentico.sandbox.where import column, columns, condition, order

_CUSTOM = "OrderXeroInvoiceNumber OrderXeroInvoiceID OrderXeroStatus OrderPONumber"
_ORDER = made(
    "commerce.order",
    "Commerce_Order",
    "",
    "OrderID:i OrderGUID:g OrderNumber OrderCreatedWhen:d OrderModifiedWhen:d OrderOrderStatusID:i OrderTotalPrice:m"
    " OrderTotalShipping:m OrderTotalTax:m OrderGrandTotal:m OrderCustomerID:i OrderPaymentMethodID:i"
    f" OrderPaymentMethodDisplayName OrderShippingMethodID:i OrderShippingMethodPrice:m {_CUSTOM}",
)
_ITEM = made(
    "commerce.orderitem",
    "Commerce_OrderItem",
    "",
    "OrderItemID:i OrderItemGUID:g OrderItemOrderID:i OrderItemSKU OrderItemName OrderItemQuantity:m"
    " OrderItemUnitPrice:m OrderItemTotalPrice:m OrderItemTotalTax:m OrderItemTaxRate:m",
)
_PROMOTION = made(
    "commerce.orderpromotion",
    "Commerce_OrderPromotion",
    "",
    "OrderPromotionID:i OrderPromotionPromotionID:i OrderPromotionOrderID:i OrderPromotionOrderItemID:i"
    " OrderPromotionPromotionDisplayName OrderPromotionDiscountAmount:m OrderPromotionPromotionType",
)
_TABLES = {
    table.name: table
    for table in (
        _ORDER,
        _ITEM,
        made(
            "commerce.orderaddress",
            "Commerce_OrderAddress",
            "",
            "OrderAddressID:i OrderAddressGUID:g OrderAddressOrderID:i OrderAddressType OrderAddressFirstName"
            " OrderAddressLastName OrderAddressPhone OrderAddressLine1 OrderAddressLine2 OrderAddressCity"
            " OrderAddressZip OrderAddressCountryID:i OrderAddressStateID:i",
        ),
        made(
            "commerce.customer",
            "Commerce_Customer",
            "",
            "CustomerID:i CustomerGUID:g CustomerMemberID:i CustomerCreatedWhen:d CustomerFirstName CustomerLastName"
            " CustomerEmail CustomerPhone",
        ),
        _PROMOTION,
        made(
            "commerce.orderstatus",
            "Commerce_OrderStatus",
            "",
            "OrderStatusID:i OrderStatusName OrderStatusGUID:g OrderStatusDisplayName OrderStatusOrder:i",
        ),
        made(
            "commerce.paymentmethod",
            "Commerce_PaymentMethod",
            "",
            "PaymentMethodID:i PaymentMethodGUID:g PaymentMethodName PaymentMethodDisplayName",
        ),
        made(
            "commerce.shippingmethod",
            "Commerce_ShippingMethod",
            "",
            "ShippingMethodID:i ShippingMethodGUID:g ShippingMethodName ShippingMethodDisplayName",
        ),
        TABLES["cms.country"],
        TABLES["cms.state"],
    )
}
_VIEWS = {
    "Commerce_Order": "SELECT OrderID, OrderGUID, OrderInvoiceNumber AS OrderNumber, OrderDate AS OrderCreatedWhen,"
    " OrderLastModified AS OrderModifiedWhen, OrderStatusID AS OrderOrderStatusID, '0' AS OrderTotalPrice,"
    " OrderTotalShipping, OrderTotalTax, OrderTotalPrice AS OrderGrandTotal, OrderCustomerID,"
    " OrderPaymentOptionID AS OrderPaymentMethodID, NULL AS OrderPaymentMethodDisplayName,"
    " OrderShippingOptionID AS OrderShippingMethodID, OrderTotalShipping AS OrderShippingMethodPrice,"
    " OrderXeroInvoiceNumber, OrderXeroInvoiceID, OrderXeroStatus, OrderPONumber FROM COM_Order"
    " WHERE OrderSiteID = {site}",
    "Commerce_OrderItem": "SELECT OrderItemID, OrderItemGuid AS OrderItemGUID, OrderItemOrderID,"
    " SKUNumber AS OrderItemSKU, OrderItemSKUName AS OrderItemName, OrderItemUnitCount AS OrderItemQuantity,"
    " OrderItemUnitPrice, OrderItemTotalPrice, '0' AS OrderItemTotalTax, '0' AS OrderItemTaxRate"
    " FROM COM_OrderItem LEFT JOIN COM_SKU ON SKUID = OrderItemSKUID",
    "Commerce_OrderAddress": "SELECT AddressID AS OrderAddressID, AddressGUID AS OrderAddressGUID,"
    " AddressOrderID AS OrderAddressOrderID, CASE AddressType WHEN 1 THEN 'Billing' ELSE 'Shipping' END"
    " AS OrderAddressType, NULL AS OrderAddressFirstName, AddressPersonalName AS OrderAddressLastName,"
    " AddressPhone AS OrderAddressPhone, AddressLine1 AS OrderAddressLine1, AddressLine2 AS OrderAddressLine2,"
    " AddressCity AS OrderAddressCity, AddressZip AS OrderAddressZip, AddressCountryID AS OrderAddressCountryID,"
    " AddressStateID AS OrderAddressStateID FROM COM_OrderAddress WHERE AddressType IN (1, 2)",
    "Commerce_Customer": "SELECT CustomerID, CustomerGUID, CustomerUserID AS CustomerMemberID,"
    " CustomerCreated AS CustomerCreatedWhen, CustomerFirstName, CustomerLastName, CustomerEmail, CustomerPhone"
    " FROM COM_Customer",
    # All promotions of an order are one here; its amount is filled in when it is read.
    "Commerce_OrderPromotion": "SELECT OrderID AS OrderPromotionID, 1 AS OrderPromotionPromotionID,"
    " OrderID AS OrderPromotionOrderID, NULL AS OrderPromotionOrderItemID, 'Newsletter & friends' AS"
    " OrderPromotionPromotionDisplayName, '0' AS OrderPromotionDiscountAmount, 'Order' AS OrderPromotionPromotionType"
    " FROM COM_Order WHERE OrderDiscounts LIKE '%<Item>%'",
    "Commerce_OrderStatus": "SELECT StatusID AS OrderStatusID, StatusName AS OrderStatusName,"
    " StatusGUID AS OrderStatusGUID, StatusDisplayName AS OrderStatusDisplayName, StatusOrder AS OrderStatusOrder"
    " FROM COM_OrderStatus",
    "Commerce_PaymentMethod": "SELECT PaymentOptionID AS PaymentMethodID, PaymentOptionGUID AS PaymentMethodGUID,"
    " PaymentOptionName AS PaymentMethodName, PaymentOptionDisplayName AS PaymentMethodDisplayName"
    " FROM COM_PaymentOption",
    "Commerce_ShippingMethod": "SELECT ShippingOptionID AS ShippingMethodID, ShippingOptionGUID AS ShippingMethodGUID,"
    " ShippingOptionName AS ShippingMethodName, ShippingOptionDisplayName AS ShippingMethodDisplayName"
    " FROM COM_ShippingOption",
}
_CENT = Decimal("0.01")


class XperienceService:
    """Serves `/{instance}/xperience/rest`. `migrated`: line taxes are zero; `patched` counts writes."""

    def __init__(self, shops: Mapping[str, Shop]) -> None:
        self.shops = shops
        self.migrated = False
        self.patched = 0
        self._known: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        base = "/{instance}/xperience/rest"
        return [
            web.get(f"{base}/{{type}}/all", self._all),
            web.get(f"{base}/{{type}}/{{id}}", self._one),
            web.patch(base, self._patch),
            web.patch(f"{base}/", self._patch),
        ]

    async def _all(self, request: web.Request) -> web.Response:
        shop = self._shop(request)
        if not _allowed(request, shop):
            return web.Response(status=401)
        table = _TABLES.get(request.match_info["type"].lower())
        if table is None:
            return web.Response(status=500)  # InvalidOperationException: the type is not registered
        query = {name.lower(): value for name, value in request.query.items()}
        try:
            sql, params = condition(table, query.get("where"))
            wanted, sorting = columns(table, query.get("columns")), order(table, query.get("orderby"))
        except BadQuery:
            return web.Response(status=500)
        paged = "pagesize" in query and "page" in query
        limit = int(query["pagesize"]) if paged else int(query.get("topn", "0")) or -1
        offset = int(query["page"]) * limit if paged else 0
        rows = shop.database.select(table, sql, params, sorting, limit, offset)
        total = shop.database.count(table, sql, params) if paged else len(rows)
        body = ",".join(self._rendered(shop, table, row, wanted) for row in rows)
        return _json(f'{{"totalRecords":{total},"nextUrl":null,"objects":[{body}]}}')

    async def _one(self, request: web.Request) -> web.Response:
        shop = self._shop(request)
        if not _allowed(request, shop):
            return web.Response(status=401)
        table = _TABLES.get(request.match_info["type"].lower())
        if table is None:
            return web.Response(status=500)
        try:
            row = shop.database.get(table, int(request.match_info["id"]))
        except UnknownObject:
            return web.Response(status=404)
        return _json(self._rendered(shop, table, row, list(table.columns)))

    async def _patch(self, request: web.Request) -> web.Response:
        shop = self._shop(request)
        if not _allowed(request, shop):
            return web.Response(status=401)
        body = json.loads(await request.read())
        if body.get("ObjectType") != _ORDER.name:
            return web.Response(status=500)
        try:
            shop.database.get(_ORDER, int(body["Id"]))
        except UnknownObject:
            return web.Response(status=404)
        changes = {}
        for name, value in body["Fields"].items():
            try:
                changes[column(ORDER, name)[0]] = value
            except BadQuery:  # a column that the class does not have is passed over
                continue
        self.patched += 1
        shop.put(ORDER, int(body["Id"]), changes)
        row = shop.database.get(_ORDER, int(body["Id"]))
        return _json(self._rendered(shop, _ORDER, row, list(_ORDER.columns)))

    def _shop(self, request: web.Request) -> Shop:
        shop = self.shops.get(request.match_info["instance"])
        if shop is None:
            raise web.HTTPNotFound
        if shop.name not in self._known:
            site = next(iter(shop.catalogue.sites.values())).id
            for name, select in _VIEWS.items():
                shop.database.view(name, select.format(site=site))
            self._known.add(shop.name)
        return shop

    def _rendered(self, shop: Shop, table: Table, row: Row, names: list[str]) -> str:
        if table is _ORDER:
            items = shop.database.select(ITEM, "OrderItemOrderID = ?", [row["OrderID"]])
            row["OrderTotalPrice"] = sum((item["OrderItemTotalPrice"] for item in items), Decimal(0))
        elif table is _PROMOTION:
            summary = shop.database.get(ORDER, row["OrderPromotionOrderID"])["OrderDiscounts"]
            values = (Decimal(one.text or "0") for one in fromstring(summary).iter("Value"))  # noqa: S314 - our own
            row["OrderPromotionDiscountAmount"] = sum(values, Decimal(0))
        elif table is _ITEM and not self.migrated:
            self._tax(shop, row)
        return render.row_json(table, row, names, shop.catalogue.zone, DateMode.ISO)

    def _tax(self, shop: Shop, row: Row) -> None:
        """Rate as a fraction, amount rounded for the line."""
        rows, item = shop.load(row["OrderItemOrderID"]), shop.database.get(ITEM, row["OrderItemID"])
        catalogue, site = shop.catalogue, shop.catalogue.site_by_id(rows.order["OrderSiteID"])
        tax_class = catalogue.tax_class_of(catalogue.find("ecommerce.sku", item["OrderItemSKUID"]))
        billing = rows.addresses[0]
        if tax_class is None:
            return
        rate = catalogue.rate(tax_class, billing["AddressCountryID"], billing["AddressStateID"], False) / 100
        base = row["OrderItemTotalPrice"]
        tax = base * rate / (1 + rate) if site.inclusive else base * rate
        row["OrderItemTaxRate"], row["OrderItemTotalTax"] = rate, tax.quantize(_CENT, ROUND_HALF_UP)


def _allowed(request: web.Request, shop: Shop) -> bool:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    wanted = base64.b64encode(f"{shop.credentials.user}:{shop.credentials.password}".encode()).decode()
    return kind == "Basic" and hmac.compare_digest(given, wanted)


def _json(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")
