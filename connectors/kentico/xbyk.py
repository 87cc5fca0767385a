"""Xperience by Kentico's columns under Kentico 13's names, pure, so that one aggregate serves both dialects.

What XbyK does not have (currency, site, paid flag, SKU table, tax class) is given by the sender or by rules. Columns
without a counterpart keep their name and end in `custom`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from xml.sax.saxutils import escape

Data = Mapping[str, Any]

_ORDER = {
    "OrderNumber": "OrderInvoiceNumber",
    "OrderCreatedWhen": "OrderDate",
    "OrderModifiedWhen": "OrderLastModified",
    "OrderOrderStatusID": "OrderStatusID",
    "OrderPaymentMethodID": "OrderPaymentOptionID",
    "OrderShippingMethodID": "OrderShippingOptionID",
}
_ITEM = {
    "OrderItemGUID": "OrderItemGuid",
    "OrderItemName": "OrderItemSKUName",
    "OrderItemSKU": "SKUNumber",
    "OrderItemQuantity": "OrderItemUnitCount",
}
_ADDRESS = {
    "OrderAddressLine1": "AddressLine1",
    "OrderAddressLine2": "AddressLine2",
    "OrderAddressCity": "AddressCity",
    "OrderAddressZip": "AddressZip",
    "OrderAddressPhone": "AddressPhone",
    "OrderAddressCountryID": "AddressCountryID",
    "OrderAddressStateID": "AddressStateID",
}
_CUSTOMER = {"CustomerMemberID": "CustomerUserID", "CustomerCreatedWhen": "CustomerCreated"}
_STATUS = {
    "OrderStatusID": "StatusID",
    "OrderStatusName": "StatusName",
    "OrderStatusDisplayName": "StatusDisplayName",
}
_PAYMENT = {
    "PaymentMethodID": "PaymentOptionID",
    "PaymentMethodName": "PaymentOptionName",
    "PaymentMethodDisplayName": "PaymentOptionDisplayName",
}
_SHIPPING = {
    "ShippingMethodID": "ShippingOptionID",
    "ShippingMethodName": "ShippingOptionName",
    "ShippingMethodDisplayName": "ShippingOptionDisplayName",
}
# "billing" in Kentico's own samples, "Billing" elsewhere: compared without case.
_ADDRESS_TYPES = {"billing": 1, "shipping": 2}


def k13_names(data: Data) -> dict[str, Any]:
    """`data` of an XbyK event as a K13 sender would have named it. Values are left for the aggregate to judge."""
    renamed = dict(data)
    renamed |= _one(data, "order", "order", _ORDER) | _one(data, "customer", "customer", _CUSTOMER)
    renamed |= _one(data, "status", "status", _STATUS)
    renamed |= _one(data, "paymentMethod", "paymentOption", _PAYMENT)
    renamed |= _one(data, "shippingMethod", "shippingOption", _SHIPPING)
    if isinstance(renamed.get("order"), dict) and data.get("promotions"):
        renamed["order"].setdefault("OrderDiscounts", _discounts(data["promotions"]))
    if isinstance(data.get("items"), list):
        renamed["items"] = _items(data["items"])
    if isinstance(data.get("addresses"), list):
        renamed["addresses"] = [_address(row) for row in data["addresses"]]
    return renamed


def k13_order(row: Data) -> dict[str, Any]:
    """The order's own row."""
    return _renamed(row, _ORDER)


def _one(data: Data, member: str, called: str, names: Mapping[str, str]) -> dict[str, Any]:
    return {called: _renamed(data[member], names)} if isinstance(data.get(member), dict) else {}


def _renamed(row: Data, names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in row.items()}


def _discounts(promotions: Any) -> Any:
    """Promotions of the order as the column that Kentico 13 has for them; an item's are in its TotalPrice already. What
    is no list of rows is left for the aggregate to refuse."""
    if not isinstance(promotions, list) or not all(isinstance(row, dict) for row in promotions):
        return promotions
    items = [
        f"<Item><Name>{escape(str(row.get('OrderPromotionPromotionDisplayName') or ''))}</Name>"
        f"<Value>{_plain(row.get('OrderPromotionDiscountAmount'))}</Value></Item>"
        for row in promotions
        if row.get("OrderPromotionOrderItemID") is None
    ]
    return f"<Summary>{''.join(items)}</Summary>"


def _plain(amount: Any) -> str:
    if isinstance(amount, Decimal) and amount.is_finite() and abs(amount.adjusted()) < 40:
        return f"{amount:f}"
    return escape(str(amount)) if isinstance(amount, str | int) and not isinstance(amount, bool) else "no amount"


def _items(rows: list[Any]) -> list[Any]:
    """Rates are fractions here (0.08), percent in K13. A migration writes zero for "not known", into every item: where
    another item of the order has a rate, zero means zero."""
    items = [_renamed(row, _ITEM) if isinstance(row, dict) else row for row in rows]
    rated = [item for item in items if isinstance(item, dict) and "TaxRate" not in item]
    percents = [_percent(item.pop("OrderItemTaxRate", None)) for item in rated]
    known = any(percents)
    for item, percent in zip(rated, percents, strict=True):
        if percent is not None:
            item["TaxRate"] = percent if known or percent != 0 else None
    return items


def _percent(fraction: Any) -> Any:
    if not isinstance(fraction, str | int | Decimal) or isinstance(fraction, bool):
        return fraction
    try:
        return Decimal(fraction) * 100
    except InvalidOperation:
        return fraction


def _address(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    address = _renamed(row, _ADDRESS)
    kind = row.get("OrderAddressType")
    if "AddressType" not in address:
        address["AddressType"] = _ADDRESS_TYPES.get(kind.lower()) if isinstance(kind, str) else kind
    names = [row.get("OrderAddressFirstName"), row.get("OrderAddressLastName")]
    address.setdefault("AddressPersonalName", " ".join(str(name) for name in names if name) or None)
    return address
