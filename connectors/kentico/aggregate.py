"""Kentico's rows, joined under the webhook's names, to the records of the topics. Pure: a FieldError names the field.

`data` has the shape of DESIGN §6: `order`, `items`, `addresses`, `customer`, `status`, `currency`, `paymentOption`,
`shippingOption`, `site`, `statusHistory`, `refund`. The receiver has it from the sender, the reader from REST.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Literal, TypeVar, cast
from zoneinfo import ZoneInfo

from connectors.kentico import coherent, columns, times, xml
from connectors.kentico.errors import BadValue, FieldError
from connectors.kentico.fields import Columns, Moment, custom, read
from connectors.kentico.settings import InstanceSettings
from schemas.types import (
    Address,
    Change,
    Currency,
    Customer,
    CustomerChanged,
    Order,
    OrderItem,
    OrderRow,
    OrderStatus,
    PaymentOption,
    PaymentResult,
    ProductChanged,
    Refund,
    RefundLine,
    Shipping,
    StatusChange,
)

Source = Literal["WEBHOOK", "REST", "STOREAPI", "CDC", "HINT", "REPLAY"]
Data = Mapping[str, Any]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Facts:
    """What is known of an aggregate besides its rows. `path` begins every error's path, like `[3].data.`."""

    instance: InstanceSettings
    event_type: str
    source: Source
    observed_at: datetime
    received_at: datetime
    site_name: str | None = None
    event_id: str | None = None
    sequence: int | None = None
    traceparent: str | None = None
    deleted: bool = False
    path: str = ""

    @property
    def zone(self) -> ZoneInfo:
        return self.instance.zone

    def moment(self) -> Moment:
        """Reads this aggregate's times."""
        return partial(times.moment, zone=self.instance.zone, observed=self.observed_at)


def build_order(data: Data, facts: Facts) -> Order:
    """The whole order. The customer may be absent: who posts orders decides what that means."""
    moment = facts.moment()
    row = _member(data, "order", facts)
    order = _order_row(row, facts, moment)
    items = [_item(item, f"{facts.path}items[{i}]", moment) for i, item in enumerate(_rows(data, "items", facts))]
    addresses = [
        _address(address, f"{facts.path}addresses[{i}]", moment)
        for i, address in enumerate(_rows(data, "addresses", facts))
    ]
    result, unread_date = _payment_result(row, facts)
    if unread_date is not None:
        order["custom"]["OrderPaymentResult.date"] = unread_date
    status = cast(OrderStatus | None, _optional(data, "status", columns.STATUS, facts, moment))
    history = _history(data, status, facts, moment)
    coherent.one_order(data, order["OrderID"], facts.path)
    site_name = _site_name(data, facts)
    include = None if site_name is None else facts.instance.prices_include_tax.get(site_name)
    made: Order = {
        "instance": facts.instance.name,
        "site_name": site_name,
        "dialect": facts.instance.dialect,
        "source": facts.source,
        "event_type": facts.event_type,
        "event_id": facts.event_id,
        "sequence": facts.sequence,
        "version": newest(order, items, addresses, history),
        "observed_at": facts.observed_at,
        "received_at": facts.received_at,
        "traceparent": facts.traceparent,
        "deleted": facts.deleted,
        "order": order,
        "items": items,
        "addresses": addresses,
        "customer": _buyer(data, facts, moment),
        "status": status,
        "currency": _currency(data, facts, moment),
        "payment_option": cast(
            PaymentOption | None, _optional(data, "paymentOption", columns.PAYMENT_OPTION, facts, moment)
        ),
        "shipping": _shipping(data, order, facts, moment),
        "payment_result": result,
        "status_history": history,
        "prices_include_tax": include,
        "refund": _refund(data, facts, moment),
    }
    coherent.stamps_not_ahead(made, facts.received_at, facts.path)
    return made


def newest(
    order: OrderRow, items: Sequence[OrderItem], addresses: Sequence[Address], history: Sequence[StatusChange]
) -> datetime:
    """An order's version: editing an item or an address does not touch the order's own stamp."""
    stamps = [order["OrderLastModified"], *(change["date"] for change in history)]
    stamps += [item["OrderItemLastModified"] for item in items if item["OrderItemLastModified"] is not None]
    stamps += [address["AddressLastModified"] for address in addresses if address["AddressLastModified"] is not None]
    return max(stamps)


def build_customer(data: Data, facts: Facts) -> CustomerChanged:
    """A customer as it is now; its version is its modification time, else the observation."""
    moment = facts.moment()
    row = _customer(data, facts, moment)
    if row is None:
        raise FieldError(f"{facts.path}customer", "is missing")
    coherent.stamp_not_ahead(
        row["CustomerLastModified"], facts.received_at, f"{facts.path}customer.CustomerLastModified"
    )
    addresses = _rows(data, "addresses", facts)
    return {
        **_envelope(facts, _site_name(data, facts)),  # type: ignore[typeddict-item]
        "version": row["CustomerLastModified"] or facts.observed_at,
        "customer": row,
        "addresses": [_address(a, f"{facts.path}addresses[{i}]", moment) for i, a in enumerate(addresses)],
    }


def build_product(data: Data, facts: Facts) -> ProductChanged:
    """A product as it is now, from `sku`."""
    moment = facts.moment()
    row = _member(data, "sku", facts)
    sku = read(row, columns.SKU, f"{facts.path}sku", moment)
    sku["SKUEnabled"] = sku["SKUEnabled"] is not False
    coherent.stamp_not_ahead(sku["SKULastModified"], facts.received_at, f"{facts.path}sku.SKULastModified")
    return {
        **_envelope(facts, _site_name(data, facts)),  # type: ignore[typeddict-item]
        "version": sku["SKULastModified"] or facts.observed_at,
        **sku,
        "custom": custom(row, columns.SKU, columns.SKU_APART),
    }


def deleted_order(change: Change, instance: InstanceSettings, now: datetime) -> Order:
    """An order of which only the deletion is known: `deleted` is true, the row holds its id and zeros.

    Its version is the deletion's time, which is after every version of the order.
    """
    at = change["occurred_at"] or change["received_at"]
    facts = Facts(
        instance, "order.deleted", "REST", now, change["received_at"], change["site_name"], change["event_id"],
        change["sequence"], change["traceparent"], deleted=True,
    )  # fmt: skip
    zero = Decimal(0)
    stamp = at.astimezone(instance.zone).replace(tzinfo=None).isoformat()
    row: dict[str, Any] = {"OrderID": change["object_id"], "OrderGUID": change["object_guid"], "OrderDate": stamp}
    row |= {"OrderLastModified": stamp, "OrderTotalPrice": zero, "OrderTotalTax": zero, "OrderGrandTotal": zero}
    return {**build_order({"order": row}, replace(facts, observed_at=max(now, at))), "version": at}


def _envelope(facts: Facts, site_name: str | None) -> dict[str, Any]:
    return {
        "instance": facts.instance.name,
        "site_name": site_name,
        "dialect": facts.instance.dialect,
        "source": facts.source,
        "event_type": facts.event_type,
        "event_id": facts.event_id,
        "sequence": facts.sequence,
        "observed_at": facts.observed_at,
        "received_at": facts.received_at,
        "traceparent": facts.traceparent,
        "deleted": facts.deleted,
    }


def _order_row(row: dict[str, Any], facts: Facts, moment: Moment) -> OrderRow:
    order = read(row, columns.ORDER, f"{facts.path}order", moment)
    extra = custom(row, columns.ORDER, columns.ORDER_APART)
    none: list[str] = []
    order["OrderCouponCodes"] = _lenient(row, "OrderCouponCodes", xml.coupon_codes, none, extra)
    extra |= _prefixed("OrderCustomData", _lenient(row, "OrderCustomData", xml.custom_data, {}, extra))
    order["custom"] = extra
    return cast(OrderRow, order)


def _item(row: Any, path: str, moment: Moment) -> OrderItem:
    item = read(row, columns.ITEM, path, moment)
    extra = custom(row, columns.ITEM, columns.ITEM_APART)
    item["custom"] = extra
    if row.get("OrderItemCustomData"):
        extra |= _prefixed("OrderItemCustomData", _lenient(row, "OrderItemCustomData", xml.custom_data, {}, extra))
    return cast(OrderItem, item)


def _address(row: Any, path: str, moment: Moment) -> Address:
    address = read(row, columns.ADDRESS, path, moment)
    # The display name is what goes on a document; senders may only have Kentico's column for it.
    address["CountryName"] = row.get("CountryDisplayName") or address["CountryName"]
    address["StateName"] = row.get("StateDisplayName") or address["StateName"]
    return cast(Address, address)


def _customer(data: Data, facts: Facts, moment: Moment) -> Customer | None:
    customer = _optional(data, "customer", columns.CUSTOMER, facts, moment)
    if customer is not None:
        customer["custom"] = custom(data["customer"], columns.CUSTOMER, columns.CUSTOMER_APART)
    return cast(Customer | None, customer)


def _buyer(data: Data, facts: Facts, moment: Moment) -> Customer | None:
    """An order's customer. A stamp that lies ahead is no reason to refuse what he has paid: it is kept as text only."""
    customer = _customer(data, facts, moment)
    if customer is None:
        return None
    try:
        coherent.stamp_not_ahead(customer["CustomerLastModified"], facts.received_at, "")
    except FieldError:
        customer["CustomerLastModified"] = None
        customer["custom"]["CustomerLastModified"] = str(data["customer"]["CustomerLastModified"])
    return customer


def _currency(data: Data, facts: Facts, moment: Moment) -> Currency | None:
    currency = _optional(data, "currency", columns.CURRENCY, facts, moment)
    if currency is None:
        return None
    main = currency.pop("MainCurrencyCode")
    currency["main_currency_code"] = main or (currency["CurrencyCode"] if currency["CurrencyIsMain"] else None)
    return cast(Currency, currency)


def _shipping(data: Data, order: OrderRow, facts: Facts, moment: Moment) -> Shipping | None:
    shipping = _optional(data, "shippingOption", columns.SHIPPING_OPTION, facts, moment)
    if shipping is None and order["OrderShippingOptionID"] is not None:
        shipping = dict.fromkeys(columns.SHIPPING_OPTION)
        shipping["ShippingOptionID"] = order["OrderShippingOptionID"]
    return cast(Shipping | None, shipping)


def _payment_result(row: dict[str, Any], facts: Facts) -> tuple[PaymentResult | None, str | None]:
    def read_date(value: str) -> datetime:
        try:
            found = times.american(value, facts.zone, facts.observed_at)
        except BadValue:
            found = times.moment(value, facts.zone, facts.observed_at)
        return times.plausible(found, facts.received_at)

    try:
        return xml.payment_result(row.get("OrderPaymentResult"), read_date)
    except BadValue as error:
        # It says whether the payment failed, so an order without it could be posted as paid.
        raise FieldError(f"{facts.path}order.OrderPaymentResult", str(error)) from None


def _history(data: Data, status: OrderStatus | None, facts: Facts, moment: Moment) -> list[StatusChange]:
    """The changes of status, oldest first. Names come with the rows, or from the order's own status."""
    found: list[StatusChange] = []
    for i, row in enumerate(_rows(data, "statusHistory", facts)):
        change = read(row, columns.HISTORY, f"{facts.path}statusHistory[{i}]", moment)
        to_status, to_is_paid = change["ToStatusName"], change["ToStatusOrderIsPaid"]
        if status is not None and change["ToStatusID"] == status["StatusID"]:
            to_status = to_status or status["StatusName"]
            to_is_paid = status["StatusOrderIsPaid"] if to_is_paid is None else to_is_paid
        found.append(
            {
                "date": change["Date"],
                "from_status": change["FromStatusName"],
                "to_status": to_status,
                "to_is_paid": to_is_paid,
            }
        )
    return sorted(found, key=lambda change: change["date"])


def _refund(data: Data, facts: Facts, moment: Moment) -> Refund | None:
    row = _optional(data, "refund", columns.REFUND, facts, moment)
    if row is None:
        return None
    lines: list[RefundLine] = []
    for i, line in enumerate(_rows(data["refund"], "lines", facts, "refund.")):
        found = read(line, columns.REFUND_LINE, f"{facts.path}refund.lines[{i}]", moment)
        lines.append(cast(RefundLine, {**found, "OrderItemGUID": found["OrderItemGUID"].lower()}))
    return {
        "refund_id": row["refundId"],
        "refunded_at": row["refundedAt"],
        "currency": row["currency"],
        "amount": row["amount"],
        "reason": row["reason"],
        "lines": lines,
        "shipping": row["shipping"],
        "tender": row["tender"],
        "transaction_id": row["transactionId"],
    }


def _site_name(data: Data, facts: Facts) -> str | None:
    site = data.get("site")
    if site is None:
        return facts.site_name
    if not isinstance(site, dict):
        raise FieldError(f"{facts.path}site", f"needs an object, not {type(site).__name__}")
    name = site.get("SiteName")
    if name is None:
        return facts.site_name
    if not isinstance(name, str) or (facts.site_name is not None and name != facts.site_name):
        raise FieldError(f"{facts.path}site.SiteName", f"is {name!r}, but the event's siteName is {facts.site_name!r}")
    return name


def _member(data: Data, name: str, facts: Facts) -> dict[str, Any]:
    row = data.get(name)
    if not isinstance(row, dict):
        problem = "is missing" if row is None else f"needs an object, not {type(row).__name__}"
        raise FieldError(f"{facts.path}{name}", problem)
    return row


def _optional(data: Data, name: str, of: Columns, facts: Facts, moment: Moment) -> dict[str, Any] | None:
    row = data.get(name)
    return None if row is None else read(row, of, f"{facts.path}{name}", moment)


def _rows(data: Data, name: str, facts: Facts, inside: str = "") -> list[Any]:
    rows = data.get(name)
    if rows is None:
        return []
    if not isinstance(rows, list):
        raise FieldError(f"{facts.path}{inside}{name}", f"needs an array, not {type(rows).__name__}")
    return rows


def _lenient(row: Data, column: str, parse: Callable[[Any], _T], empty: _T, extra: dict[str, str]) -> _T:
    """XML that carries no money: where it cannot be read, its text is kept in `custom` and the order goes on."""
    try:
        return parse(row.get(column))
    except BadValue:
        extra[column] = str(row[column])
        return empty


def _prefixed(column: str, values: dict[str, str]) -> dict[str, str]:
    return {f"{column}.{key}": value for key, value in values.items()}
