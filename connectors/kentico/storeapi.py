"""Kentico.Xperience.StoreApi of a Kentico 13 live site: whole orders, a call each, behind a JWT of client credentials.

Guarantee: as of tables read by REST. The package leaves out what bookkeeping wants to know (OrderGUID, SKU numbers, tax
classes, whether OrderIsPaid is null); where the instance has REST too, that is joined from there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import quoteattr

from connectors.kentico.batch import Found, Missing, Read, Torn, lines_missing
from connectors.kentico.errors import RestError, RestNotFound, RestUnavailable, RestUnreadable
from connectors.kentico.events import ORDER
from connectors.kentico.http import JsonService
from connectors.kentico.join import Row, order_data
from connectors.kentico.reading import TableSource
from connectors.kentico.settings import InstanceSettings

_LABEL = "storeapi.order"
_ADDRESSES = (("orderBillingAddress", 1), ("orderShippingAddress", 2), ("orderCompanyAddress", 3))
_NESTED = frozenset(
    {
        "orderCurrency",
        "orderShippingOption",
        "orderPaymentOption",
        "orderCustomer",
        "orderStatus",
        "orderItems",
        "orderPaymentResult",
        "orderPaymentFormattedResult",
        "orderCustomData",
        *(name for name, _ in _ADDRESSES),
    }
)
# Names whose letters differ otherwise than in the first one; everything else is Kentico's own name in camel case.
_NAMES = {
    "orderId": "OrderID",
    "orderSiteId": "OrderSiteID",
    "orderItemId": "OrderItemID",
    "orderItemOrderId": "OrderItemOrderID",
    "orderItemSkuId": "OrderItemSKUID",
    "orderItemSkuName": "OrderItemSKUName",
    "orderItemBundleGuid": "OrderItemBundleGUID",
    "addressId": "AddressID",
    "addressCountryId": "AddressCountryID",
    "addressStateId": "AddressStateID",
    "customerId": "CustomerID",
    "customerUserId": "CustomerUserID",
    "customerOrganizationId": "CustomerOrganizationID",
    "customerTaxRegistrationId": "CustomerTaxRegistrationID",
    "statusId": "StatusID",
    "currencyId": "CurrencyID",
    "paymentOptionId": "PaymentOptionID",
    "shippingOptionId": "ShippingOptionID",
}
_RESULT = {
    "paymentDate": "date",
    "paymentIsCompleted": "completed",
    "paymentIsFailed": "failed",
    "paymentIsAuthorized": "authorized",
    "paymentDescription": "description",
    "paymentTransactionId": "transactionid",
    "paymentAuthorizationID": "authorizationid",
    "paymentMethodName": "method",
    "paymentStatusName": "status",
}
_DECIMALS = re.compile(r"\{0:[A-Za-z]([0-9])\}")  # "${0:F2}"
_SAID_BY_REST = ("OrderID", "OrderGUID", "OrderIsPaid")


class StoreApi(JsonService):
    """One site's service."""

    denied = "Check store_api.client_id, the client's secret, and that the site's StoreApi knows this client"

    async def order(self, order_id: int) -> Row | None:
        """The whole order, as the package names its parts; None where there is none."""
        try:
            found = await self._call("GET", _LABEL, f"api/store/order/admin/detail/{order_id}", {})
        except RestNotFound:
            return None
        if not isinstance(found, dict) or found.get("orderId") != order_id:
            raise RestUnreadable(f"{self.instance}: {_LABEL} {order_id}: the answer is no such order")
        return found

    async def answers(self) -> bool:
        """Whether it works at all, asked once."""
        url = self._url("api/store/order/admin/list", {"page": "1", "pageSize": "1"})
        try:
            await self._attempt("GET", _LABEL, url, None)
        except RestError:
            return False
        return True


class StoreApiReading:
    """Orders by StoreApi. `tables`: the instance's REST service, for other objects and what StoreApi leaves out."""

    def __init__(
        self,
        api: StoreApi,
        instance: InstanceSettings,
        tables: TableSource | None = None,
    ) -> None:
        self._api = api
        self._instance = instance
        self._tables = tables

    async def read(self, object_type: str, ids: Sequence[int]) -> dict[int, Read | Exception]:
        if object_type != ORDER:
            if self._tables is None:
                raise ValueError(f"StoreApi has no {object_type}")
            return await self._tables.reading.read(object_type, ids)
        answers = await asyncio.gather(*(self._api.order(i) for i in ids), return_exceptions=True)
        found = {i: row for i, row in zip(ids, answers, strict=True) if isinstance(row, dict)}
        failed: dict[int, Exception] = {}
        for order_id, answer in zip(ids, answers, strict=True):
            if isinstance(answer, RestUnreadable) or (isinstance(answer, RestUnavailable) and answer.status == 500):
                failed[order_id] = answer  # perhaps this order alone
            elif isinstance(answer, BaseException):
                raise answer
        if failed and not found and not await self._api.answers():
            raise next(iter(failed.values()))
        reads: dict[int, Read | Exception] = {i: Missing() for i in ids if i not in found and i not in failed}
        return reads | failed | await self._joined(found)

    async def site(self, site_id: int) -> str | None:
        """Its own, where it is told; else as the REST service has it."""
        if self._instance.site is not None or self._tables is None:
            return self._instance.site
        return await self._tables.reading.site(site_id)

    async def _joined(self, found: Mapping[int, Row]) -> dict[int, Read | Exception]:
        reads: dict[int, Read | Exception] = {}
        datas: dict[int, Row] = {}
        for order_id, row in found.items():
            try:
                datas[order_id] = k13_data(row)
            except (KeyError, TypeError, AttributeError) as error:
                reads[order_id] = RestUnreadable(f"{_LABEL} {order_id}: a part has another shape ({error!r})")
        if self._tables is not None and datas:
            await self._complete(datas, self._tables)
        for order_id, whole in datas.items():
            if self._instance.site is not None:
                whole.setdefault("site", {"SiteName": self._instance.site})
            if self._instance.main_currency is not None and whole.get("currency"):
                whole["currency"].setdefault("MainCurrencyCode", self._instance.main_currency)
            reads[order_id] = Torn(whole) if lines_missing(whole["order"], whole["items"]) else Found(whole)
        return reads

    async def _complete(self, datas: Mapping[int, Row], tables: TableSource) -> None:
        """OrderGUID, and OrderIsPaid with its null, by one request; names, classes and rates from the lookups."""
        rows = await tables.rest.rows_in(ORDER, "OrderID", datas, columns=_SAID_BY_REST, orderby="OrderID")
        for row in rows:
            datas[row["OrderID"]]["order"] |= row
        orders = [data["order"] for data in datas.values()]
        skus = {item["OrderItemSKUID"] for data in datas.values() for item in data["items"] if item["OrderItemSKUID"]}
        found = await tables.lookups.tables(orders, skus)
        for data in datas.values():
            parts = (data["order"], data["items"], data["addresses"], (), data.get("customer"))
            data.update(order_data(*parts, found, self._instance.tax_address))


def k13_data(row: Row) -> Row:
    """`data` of a webhook, from an order as StoreApi has it. Its 0, false and zero GUID stand for null too, except
    that false is what it says: such an order is not paid."""
    order = {_name(n): value for n, value in row.items() if n not in _NESTED}
    order |= {f"OrderCustomData.{key}": value for key, value in (row.get("orderCustomData") or {}).items()}
    order["OrderPaymentResult"] = _result(row.get("orderPaymentResult"))
    status, currency = _part(row, "orderStatus"), _part(row, "orderCurrency")
    payment, shipping = _part(row, "orderPaymentOption"), _part(row, "orderShippingOption")
    customer = _part(row, "orderCustomer")
    for column, part, key in (
        ("OrderStatusID", status, "StatusID"),
        ("OrderCurrencyID", currency, "CurrencyID"),
        ("OrderPaymentOptionID", payment, "PaymentOptionID"),
        ("OrderShippingOptionID", shipping, "ShippingOptionID"),
        ("OrderCustomerID", customer, "CustomerID"),
    ):
        order[column] = (part or {}).get(key) or None
    if currency is not None:
        decimals = _DECIMALS.search(str(currency.get("CurrencyFormatString")))
        currency["CurrencyRoundTo"] = int(decimals[1]) if decimals else None
    if customer is not None:
        customer.pop("CustomerIsRegistered", None)
    data = {
        "order": order,
        "items": [{_name(n): value for n, value in item.items()} for item in row["orderItems"] or ()],
        "addresses": [
            {_name(n): value for n, value in address.items()} | {"AddressType": kind}
            for name, kind in _ADDRESSES
            if (address := row.get(name)) is not None
        ],
        "customer": customer,
        "status": status,
        "currency": currency,
        "paymentOption": payment,
        "shippingOption": shipping,
    }
    return {name: value for name, value in data.items() if value is not None}


def _part(row: Row, name: str) -> Row | None:
    part = row.get(name)
    return None if part is None else {_name(n): value for n, value in part.items()}


def _name(name: str) -> str:
    return _NAMES.get(name) or name[:1].upper() + name[1:]


def _result(found: Row | None) -> str | None:
    """The gateway's result in the form of Kentico's column, which is what aggregates are made of."""
    if found is None:
        return None
    items = []
    for given, name in _RESULT.items():
        value = found.get(given)
        text = str(int(value)) if isinstance(value, bool) else "" if value is None else str(value)
        items.append(f"<item name={quoteattr(name)} value={quoteattr(text)} />")
    return f"<result>{''.join(items)}</result>"
