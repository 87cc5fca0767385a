"""Kentico.Xperience.StoreApi beside the shop: a JWT for client credentials, then whole orders in the package's names.

As the package does it: only the current site, no filter by date, one empty last page when pages divide evenly, and what
cannot be null in .NET (numbers, GUIDs, booleans) is 0, zero and false.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from xml.etree.ElementTree import fromstring

from aiohttp import web

from connectors.kentico.sandbox.errors import UnknownObject
from connectors.kentico.sandbox.schema import ORDER, Row
from connectors.kentico.sandbox.shop import Shop

CLIENT_ID = "k2x-store-api-client"
CLIENT_SECRET = "goat-store-api-secret"  # noqa: S105 - guards nothing
_KEY = b"a signing key of at least sixty-four bytes, as HS512 wants it: goat goat goat"
_NO_GUID = "00000000-0000-0000-0000-000000000000"
_RESULT = {
    "date": "paymentDate",
    "transactionid": "paymentTransactionId",
    "authorizationid": "paymentAuthorizationID",
    "description": "paymentDescription",
}


class StoreApiService:
    """Serves `/{instance}/api/store`. `expires_in` is what tokens live, in seconds; `requests` counts orders read."""

    def __init__(self, shops: Mapping[str, Shop]) -> None:
        self.shops = shops
        self.expires_in = 3600
        self.requests = 0
        self.broken: set[int] = set()  # orders at which the package throws

    def routes(self) -> list[web.RouteDef]:
        base = "/{instance}/api/store"
        return [
            web.post(f"{base}/auth/token", self._token),
            web.get(f"{base}/order/admin/list", self._list),
            web.get(f"{base}/order/admin/detail/{{order_id}}", self._detail),
            web.get(f"{base}/order/statuses/list", self._statuses),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        form, shop = await request.post(), self._shop(request)
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return web.Response(status=401)
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        ends = shop.clock() + timedelta(seconds=self.expires_in)
        token = _jwt({"sub": CLIENT_ID, "iss": shop.name, "aud": shop.name, "exp": int(ends.timestamp())})
        return web.json_response({"token_type": "Bearer", "access_token": token, "expires_in": self.expires_in})

    async def _list(self, request: web.Request) -> web.Response:
        shop = self._shop(request)
        if not self._allowed(request, shop):
            return web.Response(status=401)
        page, size = int(request.query.get("page", "1")), int(request.query.get("pageSize", "50"))
        if not (page >= 1 and 1 <= size <= 100):
            return web.Response(status=400)
        where, site = "OrderSiteID = ?", [next(iter(shop.catalogue.sites.values())).id]
        total = shop.database.count(ORDER, where, site)
        rows = shop.database.select(ORDER, where, site, "OrderDate DESC", size, (page - 1) * size)
        orders = [korder(shop, row["OrderID"]) for row in rows]
        return _json({"orders": orders, "page": page, "maxPage": total // size + 1})

    async def _detail(self, request: web.Request) -> web.Response:
        shop = self._shop(request)
        if not self._allowed(request, shop):
            return web.Response(status=401)
        self.requests += 1
        order_id = int(request.match_info["order_id"])
        if order_id in self.broken:
            return web.Response(status=500)
        try:
            return _json(korder(shop, order_id))
        except UnknownObject:
            return web.Response(status=404)

    async def _statuses(self, request: web.Request) -> web.Response:
        shop = self._shop(request)
        if not self._allowed(request, shop):
            return web.Response(status=401)
        return _json([_status(row) for row in shop.catalogue.rows["ecommerce.orderstatus"]])

    def _shop(self, request: web.Request) -> Shop:
        shop = self.shops.get(request.match_info["instance"])
        if shop is None:
            raise web.HTTPNotFound
        return shop

    def _allowed(self, request: web.Request, shop: Shop) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        head, _, signature = token.rpartition(".")
        if scheme != "Bearer" or not hmac.compare_digest(_signed(head), signature):
            return False
        claims = json.loads(base64.urlsafe_b64decode(head.partition(".")[2] + "=="))
        return bool(claims["iss"] == shop.name and claims["exp"] > shop.clock().timestamp())


def _jwt(claims: Mapping[str, Any]) -> str:
    head = ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "HS512", "typ": "JWT"}, claims))
    return f"{head}.{_signed(head)}"


def _signed(head: str) -> str:
    return _encoded(hmac.new(_KEY, head.encode(), hashlib.sha512).digest())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _json(value: Any) -> web.Response:
    # A number with at most fifteen digits is printed as it was: no money of a shop is longer.
    return web.Response(text=json.dumps(value, default=float), content_type="application/json")


def korder(shop: Shop, order_id: int) -> dict[str, Any]:
    """The order as the package names it. Raises UnknownObject."""
    rows, catalogue = shop.load(order_id), shop.catalogue
    order = rows.order
    by_type = {row["AddressType"]: _address(row) for row in rows.addresses}
    currency = catalogue.find("ecommerce.currency", order["OrderCurrencyID"])
    plain = (
        "OrderTotalTax", "OrderTaxSummary", "OrderInvoiceNumber", "OrderNote", "OrderGrandTotal",
        "OrderGrandTotalInMainCurrency", "OrderTotalPrice", "OrderTotalPriceInMainCurrency", "OrderTotalShipping",
        "OrderDate", "OrderCulture", "OrderDiscounts", "OrderOtherPayments", "OrderCouponCodes", "OrderTrackingNumber",
        "OrderLastModified", "OrderPONumber",
    )  # fmt: skip
    return {
        "orderId": order_id,
        **{_camel(name): order[name] for name in plain},
        "orderSiteId": order["OrderSiteID"],
        "orderIsPaid": bool(order["OrderIsPaid"]),
        "orderCurrency": {
            "currencyId": currency["CurrencyID"],
            "currencyCode": currency["CurrencyCode"],
            "currencyFormatString": currency["CurrencyFormatString"],
        },
        "orderShippingOption": _option(shop, "shipping", order["OrderShippingOptionID"], {"Price": 0}),
        "orderPaymentOption": _option(shop, "payment", order["OrderPaymentOptionID"], {}),
        "orderCustomer": _customer(rows.customer),
        "orderStatus": _status(catalogue.find("ecommerce.orderstatus", order["OrderStatusID"])),
        "orderPaymentFormattedResult": "",
        "orderCustomData": {},
        "orderBillingAddress": by_type.get(1),
        "orderShippingAddress": by_type.get(2),
        "orderCompanyAddress": by_type.get(3),
        "orderItems": [_item(row) for row in rows.items],
        "orderPaymentResult": _result(order["OrderPaymentResult"]),
    }


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


def _status(row: Row) -> dict[str, Any]:
    return {
        "statusId": row["StatusID"],
        "statusName": row["StatusName"],
        "statusDisplayName": row["StatusDisplayName"],
    }


def _option(shop: Shop, kind: str, option_id: int | None, more: Mapping[str, Any]) -> dict[str, Any] | None:
    if option_id is None:
        return None
    row, prefix = shop.catalogue.find(f"ecommerce.{kind}option", option_id), f"{kind}Option"
    named = f"{kind.capitalize()}Option"
    return {
        f"{prefix}Id": option_id,
        f"{prefix}Name": row[f"{named}Name"],
        f"{prefix}DisplayName": row[f"{named}DisplayName"],
        f"{prefix}Description": None,
        **{f"{prefix}{name}": value for name, value in more.items()},
    }


def _customer(row: Row) -> dict[str, Any]:
    plain = ("FirstName", "LastName", "Company", "Email", "Phone", "Fax")
    return {
        "customerId": row["CustomerID"],
        **{f"customer{name}": row[f"Customer{name}"] for name in plain},
        "customerUserId": row["CustomerUserID"] or 0,
        "customerOrganizationId": row["CustomerOrganizationID"],
        "customerTaxRegistrationId": row["CustomerTaxRegistrationID"],
        "customerIsRegistered": row["CustomerUserID"] is not None,
    }


def _address(row: Row) -> dict[str, Any]:
    plain = ("Line1", "Line2", "City", "Zip", "Phone", "PersonalName")
    return {
        "addressId": row["AddressID"],
        "addressCustomerId": 0,
        "addressName": None,
        **{f"address{name}": row[f"Address{name}"] for name in plain},
        "addressCountryId": row["AddressCountryID"],
        "addressStateId": row["AddressStateID"] or 0,
    }


def _item(row: Row) -> dict[str, Any]:
    plain = ("UnitPrice", "TotalPrice", "TotalPriceInMainCurrency", "UnitCount", "ProductDiscounts", "DiscountSummary")
    return {
        "orderItemId": row["OrderItemID"],
        "orderItemOrderId": row["OrderItemOrderID"],
        "orderItemSkuName": row["OrderItemSKUName"],
        "orderItemSkuId": row["OrderItemSKUID"],
        **{f"orderItem{name}": row[f"OrderItem{name}"] for name in plain},
        "orderItemGuid": row["OrderItemGuid"],
        "orderItemParentGuid": row["OrderItemParentGuid"] or _NO_GUID,
        "orderItemBundleGuid": row["OrderItemBundleGUID"] or _NO_GUID,
        "orderItemSendNotification": False,
        "orderItemText": row["OrderItemText"] or "",
    }


def _result(xml: str | None) -> dict[str, Any] | None:
    if xml is None:
        return None
    items = {item.get("name"): item for item in fromstring(xml)}  # noqa: S314 - our own text
    flags = {
        f"paymentIs{name.capitalize()}": items[name].get("value") == "1"
        for name in ("completed", "failed", "authorized")
    }
    method = items["method"]
    return {
        **{theirs: items[ours].get("value") for ours, theirs in _RESULT.items()},
        **flags,
        "paymentMethodName": method.get("text"),
        "paymentMethodID": int(method.get("value") or 0),
        "paymentStatusValue": None,
        "paymentStatusName": None,
        "paymentApprovalUrl": None,
    }
