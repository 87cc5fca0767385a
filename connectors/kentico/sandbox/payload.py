"""What the shop's sender module puts on the wire: whole aggregates, hints, Zapier-type flat rows, and signatures."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from connectors.kentico.sandbox.catalogue import Catalogue
from connectors.kentico.sandbox.rows import OrderRows
from connectors.kentico.sandbox.schema import Kind, Row, Table


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """The value of X-Kentico-Signature: `t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t + "." + raw body)>`."""
    mac = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256)
    return f"t={timestamp},v1={mac.hexdigest()}"


def event(
    shop: Catalogue,
    site_name: str | None,
    event_type: str,
    object_type: str,
    object_id: int,
    object_guid: str | None,
    at: datetime,
    *,
    sequence: int,
    event_id: str,
    data: dict[str, Any] | None,
) -> dict[str, Any]:
    """The envelope of DESIGN §6; without `data` it is a hint. `occurredAt` is UTC with Z."""
    envelope: dict[str, Any] = {
        "specVersion": 1,
        "eventId": event_id,
        "eventType": event_type,
        "occurredAt": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "instance": shop.instance,
        "siteName": site_name,
        "objectType": object_type,
        "objectGuid": object_guid,
        "objectId": object_id,
        "sequence": sequence,
        "schema": "k13",
    }
    if data is not None:
        envelope["data"] = data
    return envelope


def plain(row: Mapping[str, Any], *, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A row as JSON: decimals become strings, times already are text."""
    return {
        name: f"{value:f}" if isinstance(value, Decimal) else value
        for name, value in row.items()
        if name not in without
    }


_HEAVY = frozenset({"OrderInvoice"})


def order_data(
    rows: OrderRows, shop: Catalogue, skus: Mapping[int, Row] | None = None, *, full_joins: bool = False
) -> dict[str, Any]:
    """The whole order with the joins of DESIGN §6; `skus` overrides the catalogue's SKU rows.

    `full_joins` is a more helpful sender: the shipping's tax class and rate, and the site's main currency, beside them.
    """
    order = rows.order
    billing = next(row for row in rows.addresses if row["AddressType"] == 1)
    has_tax_id = bool(rows.customer["CustomerTaxRegistrationID"])
    known = _sku_index(shop) if skus is None else skus
    items = []
    for row in rows.items:
        sku = known[row["OrderItemSKUID"]]
        tax_class = shop.tax_class_of(sku)
        joined: dict[str, Any] = {"SKUNumber": sku["SKUNumber"], "SKUTaxClassID": sku["SKUTaxClassID"]}
        if tax_class is not None:
            rate = shop.rate(tax_class, billing["AddressCountryID"], billing["AddressStateID"], has_tax_id)
            joined |= {"TaxClassDisplayName": shop.class_name(tax_class), "TaxRate": f"{rate:f}"}
        items.append(plain(row) | joined)
    data: dict[str, Any] = {
        "order": plain(order, without=_HEAVY),
        "items": items,
        "addresses": [plain(row) | _place(row, shop) for row in rows.addresses],
        "customer": plain(rows.customer),
        "status": plain(shop.find("ecommerce.orderstatus", order["OrderStatusID"])),
        "currency": plain(shop.find("ecommerce.currency", order["OrderCurrencyID"])),
        "site": plain(shop.find("cms.site", order["OrderSiteID"])),
        "statusHistory": [plain(row) for row in rows.history],
    }
    for key, type_name, column in (
        ("paymentOption", "ecommerce.paymentoption", "OrderPaymentOptionID"),
        ("shippingOption", "ecommerce.shippingoption", "OrderShippingOptionID"),
    ):
        if order[column] is not None:
            data[key] = plain(shop.find(type_name, order[column]))
    if full_joins:
        data["currency"]["MainCurrencyCode"] = shop.site_by_id(order["OrderSiteID"]).main.code
        if "shippingOption" in data:
            tax_class = data["shippingOption"]["ShippingOptionTaxClassID"]
            rate = shop.rate(tax_class, billing["AddressCountryID"], billing["AddressStateID"], has_tax_id)
            data["shippingOption"] |= {"TaxClassDisplayName": shop.class_name(tax_class), "TaxRate": f"{rate:f}"}
    return data


_SKU_INDEX: dict[str, dict[int, Row]] = {}


def _sku_index(shop: Catalogue) -> dict[int, Row]:
    if shop.instance not in _SKU_INDEX:
        _SKU_INDEX[shop.instance] = {row["SKUID"]: row for row in shop.rows["ecommerce.sku"]}
    return _SKU_INDEX[shop.instance]


def _place(address: Row, shop: Catalogue) -> dict[str, Any]:
    country = shop.find("cms.country", address["AddressCountryID"])
    state = None if address["AddressStateID"] is None else shop.find("cms.state", address["AddressStateID"])
    return {"CountryTwoLetterCode": country["CountryTwoLetterCode"], "StateCode": state and state["StateCode"]}


def flat_row(table: Table, row: Row) -> dict[str, str]:
    """A row as the K13 Zapier module posts it: every column a string, dates in en-US without fractions, null empty."""
    return {name: _culture(kind, row[name]) for name, kind in table.columns.items()}


def _culture(kind: Kind, value: Any) -> str:
    if value is None:
        return ""
    if kind is Kind.TIME:
        at = datetime.fromisoformat(value[:19])
        half = "AM" if at.hour < 12 else "PM"
        return f"{at.month}/{at.day}/{at.year} {at.hour % 12 or 12}:{at:%M:%S} {half}"
    return f"{value:f}" if kind is Kind.MONEY else str(value)
