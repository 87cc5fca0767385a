"""Whether an order can be true, though each of its columns can be read: its rows are of one order, and no time of them
lies ahead. Pure: a FieldError names the field.

A stamp ahead of now would be the order's version for years, and every later change, its deletion too, would count as
old. Rows of another order would be sold to this one's customer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from connectors.kentico import times
from connectors.kentico.errors import BadValue, FieldError
from schemas.types import Order

_OF_ORDER = (
    ("items", "OrderItemOrderID"),
    ("addresses", "AddressOrderID"),
    ("addresses", "OrderAddressOrderID"),  # Xperience's
    ("statusHistory", "OrderID"),
)
# A row that is joined, its identity, and the order's column that names it.
_NAMED = (
    ("customer", "CustomerID", "OrderCustomerID"),
    ("status", "StatusID", "OrderStatusID"),
    ("currency", "CurrencyID", "OrderCurrencyID"),
    ("paymentOption", "PaymentOptionID", "OrderPaymentOptionID"),
    ("shippingOption", "ShippingOptionID", "OrderShippingOptionID"),
    ("site", "SiteID", "OrderSiteID"),
)
_NONE = (None, "", 0, "0")  # .NET senders write 0 for null


def one_order(data: Mapping[str, Any], order_id: int, path: str) -> None:
    """Every row says the order that it is in, and is the one that the order names, where it says anything."""
    for member, column in _OF_ORDER:
        rows = data.get(member)
        for i, row in enumerate(rows if isinstance(rows, list) else ()):
            if row.get(column) not in _NONE and str(row[column]) != str(order_id):
                raise FieldError(f"{path}{member}[{i}].{column}", f"is {str(row[column])[:40]}, of another order")
    order = data["order"]
    for member, identity, foreign_key in _NAMED:
        row, wanted = data.get(member), order.get(foreign_key)
        if not isinstance(row, dict) or row.get(identity) in _NONE or wanted in _NONE:
            continue
        if str(row[identity]) != str(wanted):
            problem = f"is {str(row[identity])[:40]}, but the order's {foreign_key} is {str(wanted)[:40]}"
            raise FieldError(f"{path}{member}.{identity}", problem)


def stamps_not_ahead(order: Order, now: datetime, path: str) -> None:
    """No stamp of the order lies ahead of our clock by more than a wrong time zone makes; a refund is of our days."""
    stamp_not_ahead(order["order"]["OrderLastModified"], now, f"{path}order.OrderLastModified")
    for i, item in enumerate(order["items"]):
        stamp_not_ahead(item["OrderItemLastModified"], now, f"{path}items[{i}].OrderItemLastModified")
    for i, address in enumerate(order["addresses"]):
        stamp_not_ahead(address["AddressLastModified"], now, f"{path}addresses[{i}].AddressLastModified")
    for change in order["status_history"]:
        stamp_not_ahead(change["date"], now, f"{path}statusHistory.Date")
    if order["refund"] is not None:
        try:
            times.plausible(order["refund"]["refunded_at"], now)
        except BadValue as error:
            raise FieldError(f"{path}refund.refundedAt", str(error)) from None


def stamp_not_ahead(stamp: datetime | None, now: datetime, name: str) -> None:
    """The same of one stamp, which may be absent."""
    try:
        if stamp is not None:
            times.not_ahead(stamp, now)
    except BadValue as error:
        raise FieldError(name, str(error)) from None
