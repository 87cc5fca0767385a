"""Webhook envelopes and flat hint rows, checked and routed to topics. Pure; a FieldError names the offending path.

An event whose data lacks what bookkeeping needs becomes a hint where the instance can be read by REST: a hint costs one
more read, a guess costs a wrong invoice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from connectors.kentico import columns, settlements
from connectors.kentico.aggregate import Facts, Source, build_customer, build_order, build_product
from connectors.kentico.errors import BadValue, FieldError
from connectors.kentico.fields import guid, identity, integer, read, text
from connectors.kentico.settings import Dialect, InstanceSettings
from connectors.kentico.times import moment, plausible
from connectors.kentico.xbyk import k13_names
from schemas.types import Change, CustomerChanged, Order, ProductChanged

ORDER, CUSTOMER, SKU = "ecommerce.order", "ecommerce.customer", "ecommerce.sku"
SCHEMAS: Mapping[str, str] = {ORDER: "order", CUSTOMER: "customer", SKU: "product"}

# eventType → (objectType, the member of `data` that must be there for the event to be whole).
EVENT_TYPES: Mapping[str, tuple[str, str]] = {
    "order.created": (ORDER, "order"),
    "order.updated": (ORDER, "order"),
    "order.paid": (ORDER, "order"),
    "order.status_changed": (ORDER, "order"),
    "order.refunded": (ORDER, "order"),
    "order.deleted": (ORDER, "order"),
    "customer.updated": (CUSTOMER, "customer"),
    "product.updated": (SKU, "sku"),
}
# XbyK's class names for the same things.
_ALSO_KNOWN_AS = {"commerce.order": ORDER, "commerce.customer": CUSTOMER}
_IDENTITY = {ORDER: "OrderID", CUSTOMER: "CustomerID", SKU: "SKUID"}
# A flat row names its table only by its columns; the first that is there says what to read again. Lower case.
_FLAT = (
    ("orderitemorderid", ORDER),
    ("addressorderid", ORDER),
    ("orderid", ORDER),
    ("addresscustomerid", CUSTOMER),
    ("customerid", CUSTOMER),
    ("skuid", SKU),
)
_FLAT_GUID = {ORDER: "orderguid", CUSTOMER: "customerguid", SKU: "skuguid"}
_HINT_EVENT = {ORDER: "order.updated", CUSTOMER: "customer.updated", SKU: "product.updated"}
_ENVELOPE = {"objectId": identity, "objectGuid": guid, "siteName": text}


@dataclass(frozen=True)
class Routed:
    """One event on its way: the schema's name, its record, the key's last part, and what was missing for a whole."""

    schema: str
    value: Mapping[str, Any]
    object_type: str
    object_id: int | str
    downgraded: str | None = None


def build(object_type: str, data: Mapping[str, Any], facts: Facts) -> Order | CustomerChanged | ProductChanged:
    """The whole record of an object; FieldError where a value does not fit."""
    if object_type == ORDER:
        return build_order(data, facts)
    return build_customer(data, facts) if object_type == CUSTOMER else build_product(data, facts)


def parse_json(body: bytes) -> Any:
    """The body's JSON. FieldError with the path `body` otherwise."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise FieldError("body", f"is no JSON: {error}") from None


def as_list(parsed: Any, most: int) -> list[tuple[str, Any]]:
    """(path prefix, element) of one event or an array of them."""
    if not isinstance(parsed, list):
        return [("", parsed)]
    if not parsed:
        raise FieldError("body", "is an empty array")
    if len(parsed) > most:
        raise FieldError("body", f"holds {len(parsed)} events; at most {most} are taken at once")
    return [(f"[{i}].", element) for i, element in enumerate(parsed)]


def route(
    event: Any,
    path: str,
    instance: InstanceSettings,
    received_at: datetime,
    traceparent: str | None,
    source: Source = "WEBHOOK",
) -> Routed:
    """A checked event as the record it becomes. `path` is the prefix of every error's path."""
    if isinstance(event, dict) and event.get("eventType") == settlements.EVENT:
        return _settlement(event, path, instance, received_at, traceparent)
    facts, object_type, object_id, object_guid = _envelope(event, path, instance, received_at, traceparent, source)
    data = event.get("data")
    whole = EVENT_TYPES[facts.event_type][1]
    if data is not None and not isinstance(data, dict):
        raise FieldError(f"{path}data", f"needs an object, not {type(data).__name__}")
    if not data:
        return _change(facts, object_type, object_id, object_guid, None)
    if facts.event_type == "order.refunded" and data.get("refund") is None:
        raise FieldError(f"{path}data.refund", "is missing: order.refunded needs it")
    if instance.dialect == "XBYK":
        data = k13_names(data)
    lacking = _lacks(data, instance.dialect) if object_type == ORDER else (None if whole in data else whole)
    # A refund is nowhere in Kentico's tables, so reading the order again would lose it.
    if lacking and instance.followed and data.get("refund") is None:
        return _change(facts, object_type, object_id, object_guid, lacking)
    _same_object(data, whole, object_type, object_id, path)
    return Routed(SCHEMAS[object_type], build(object_type, data, facts), object_type, object_id)


def _settlement(
    event: dict[str, Any], path: str, instance: InstanceSettings, received_at: datetime, traceparent: str | None
) -> Routed:
    """A gateway's payout: no row of Kentico's, so whole or refused."""
    _equal(event, "specVersion", 1, path)
    _equal(event, "instance", instance.name, path)
    if event.get("objectType") is not None:
        _equal(event, "objectType", settlements.OBJECT, path)
    event_id = _event_id(event, path)
    site_name = read(event, {"siteName": text}, path.rstrip("."), _no_time)["siteName"]
    data = event.get("data")
    given = data.get("settlement") if isinstance(data, dict) else None
    if not isinstance(given, dict):
        raise FieldError(f"{path}data.settlement", f"needs an object: {settlements.EVENT} is nothing without it")
    observed_at = _occurred_at(event, path, instance, received_at)
    value = settlements.build(
        given, instance, f"{path}data.settlement", observed_at, received_at,
        site_name=site_name, event_id=event_id, traceparent=traceparent,
    )  # fmt: skip
    return Routed("settlement", value, settlements.OBJECT, settlements.key_part(value))


def hint(row: Any, path: str, instance: InstanceSettings, received_at: datetime) -> Change:
    """A flat row of unknown truth as a hint: only what was changed is taken from it, never a value."""
    if not isinstance(row, dict):
        raise FieldError(path.rstrip(".") or "body", f"needs an object, not {type(row).__name__}")
    lowered = {str(key).lower(): value for key, value in row.items()}
    column, object_type = next((pair for pair in _FLAT if lowered.get(pair[0]) not in (None, "")), ("", ""))
    if not column:
        wanted = "OrderID, OrderItemOrderID, AddressOrderID, CustomerID or SKUID"
        raise FieldError(path.rstrip(".") or "body", f"is no row that says what changed: it has none of {wanted}")
    try:
        object_id = identity(lowered[column], _no_time)
    except BadValue as error:
        raise FieldError(f"{path}{column}", str(error)) from None
    try:
        object_guid = guid(lowered.get(_FLAT_GUID[object_type]), _no_time)
    except BadValue:
        object_guid = None  # the id is enough, and the row proves nothing anyway
    return {
        "instance": instance.name,
        "site_name": None,
        "object_type": object_type,
        "object_id": object_id,
        "object_guid": object_guid,
        "event_type": _HINT_EVENT[object_type],
        "source": "HINT",
        "event_id": None,
        "sequence": None,
        "occurred_at": None,
        "received_at": received_at,
        "traceparent": None,
        "site_id": None,
    }


def _envelope(
    event: Any, path: str, instance: InstanceSettings, received_at: datetime, traceparent: str | None, source: Source
) -> tuple[Facts, str, int, str | None]:
    if not isinstance(event, dict):
        raise FieldError(path.rstrip(".") or "body", f"needs an object, not {type(event).__name__}")
    event_type = event.get("eventType")
    if not isinstance(event_type, str) or event_type not in EVENT_TYPES:
        known = ", ".join((*EVENT_TYPES, settlements.EVENT))
        raise FieldError(f"{path}eventType", f"{str(event_type)[:60]!r} is none of {known}")
    _equal(event, "specVersion", 1, path)
    _equal(event, "instance", instance.name, path)
    _equal(event, "schema", instance.dialect.lower(), path)
    object_type = EVENT_TYPES[event_type][0]
    named = event.get("objectType")
    if not isinstance(named, str) or _ALSO_KNOWN_AS.get(named, named) != object_type:
        raise FieldError(f"{path}objectType", f"{str(named)[:60]!r} does not go with {event_type}: {object_type}")
    event_id = _event_id(event, path)
    found = read(event, _ENVELOPE, path.rstrip("."), _no_time)
    facts = Facts(
        instance=instance,
        event_type=event_type,
        source=source,
        observed_at=_occurred_at(event, path, instance, received_at),
        received_at=received_at,
        site_name=found["siteName"],
        event_id=event_id,
        sequence=_sequence(event, path),
        traceparent=traceparent,
        deleted=event_type == "order.deleted",
        path=f"{path}data.",
    )
    return facts, object_type, found["objectId"], found["objectGuid"]


def _event_id(event: Mapping[str, Any], path: str) -> str:
    found = event.get("eventId")
    if not isinstance(found, str) or not 0 < len(found) <= 200:
        raise FieldError(f"{path}eventId", "needs a text of 1 to 200 characters")
    return found


def _equal(event: Mapping[str, Any], name: str, wanted: Any, path: str) -> None:
    value = event.get(name)
    if value != wanted or isinstance(value, bool):
        problem = "is missing" if value is None else f"is {str(value)[:60]!r}"
        raise FieldError(f"{path}{name}", f"{problem}; this address takes {wanted!r}")


def _occurred_at(event: Mapping[str, Any], path: str, instance: InstanceSettings, received_at: datetime) -> datetime:
    try:
        return plausible(moment(event.get("occurredAt"), instance.zone, received_at), received_at)
    except BadValue as error:
        raise FieldError(f"{path}occurredAt", str(error)) from None


def _sequence(event: Mapping[str, Any], path: str) -> int | None:
    value = event.get("sequence")
    if value is None:
        return None
    try:
        return integer(value, _no_time)
    except BadValue as error:
        raise FieldError(f"{path}sequence", str(error)) from None


def _change(facts: Facts, object_type: str, object_id: int, object_guid: str | None, lacking: str | None) -> Routed:
    value: Change = {
        "instance": facts.instance.name,
        "site_name": facts.site_name,
        "object_type": object_type,
        "object_id": object_id,
        "object_guid": object_guid,
        "event_type": facts.event_type,
        "source": facts.source,
        "event_id": facts.event_id,
        "sequence": facts.sequence,
        "occurred_at": facts.observed_at,
        "received_at": facts.received_at,
        "traceparent": facts.traceparent,
        "site_id": None,
    }
    return Routed("change", value, object_type, object_id, lacking)


def _same_object(data: Mapping[str, Any], member: str, object_type: str, object_id: int, path: str) -> None:
    """The record's key is the envelope's id, so the row inside must be the same object's."""
    row = data.get(member)
    column = _IDENTITY[object_type]
    if isinstance(row, dict) and row.get(column) is not None and str(row[column]) != str(object_id):
        raise FieldError(f"{path}data.{member}.{column}", f"is {str(row[column])[:40]}, but objectId is {object_id}")


def _lacks(data: Mapping[str, Any], dialect: Dialect) -> str | None:
    """The first thing that a whole order needs and the sender left out; None for a whole one.

    An absent name is a lack; a null is the sender's statement that there is none.
    """
    order = data.get("order")
    if not isinstance(order, dict):
        return "order"
    if dialect == "XBYK":
        return _lacks_of_xperience(data, order)
    for column in columns.ORDER_ESSENTIAL:
        if column not in order:
            return f"order.{column}"
    for member, foreign_key in _JOINED.items():
        if data.get(member) is None and (foreign_key is None or order.get(foreign_key)):
            return member
    currency = data["currency"]
    if isinstance(currency, dict):
        if not currency.get("CurrencyCode"):
            return "currency.CurrencyCode"
        # A foreign order without the main currency's code could not be posted at the shop's own rate.
        if not (currency.get("CurrencyIsMain") or currency.get("MainCurrencyCode")):
            return "currency.MainCurrencyCode"
    return _lacks_in_rows(data)


def _lacks_of_xperience(data: Mapping[str, Any], order: Mapping[str, Any]) -> str | None:
    """Currency, payment flag, tax summary and SKU table are not Xperience's: rules stand for them."""
    lacking = next((f"order.{column}" for column in columns.XBYK_ESSENTIAL if column not in order), None)
    return lacking or next((m for m in ("items", "addresses", "customer", "status") if data.get(m) is None), None)


# Members a whole order has, and the order's column that says whether there is one (None: always).
_JOINED: Mapping[str, str | None] = {
    "items": None,
    "addresses": None,
    "customer": None,
    "status": "OrderStatusID",
    "currency": None,
    "paymentOption": "OrderPaymentOptionID",
    "shippingOption": "OrderShippingOptionID",
}
_TAX_KNOWN_BY = ("TaxRate", "TaxClassDisplayName", "SKUTaxClassID")


def _lacks_in_rows(data: Mapping[str, Any]) -> str | None:
    items, addresses = data["items"], data["addresses"]
    for i, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            if "SKUNumber" not in item:
                return f"items[{i}].SKUNumber"
            if not any(name in item for name in _TAX_KNOWN_BY):
                return f"items[{i}].TaxRate"
    for i, address in enumerate(addresses if isinstance(addresses, list) else ()):
        if isinstance(address, dict) and "CountryTwoLetterCode" not in address:
            return f"addresses[{i}].CountryTwoLetterCode"
    return None


def _no_time(value: object) -> datetime:
    raise BadValue(f"{value!r} is no time")
