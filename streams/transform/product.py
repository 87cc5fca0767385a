"""A product's change → the Xero item's. Untracked: Xero itself advises against its stock for shops. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from schemas.types import Command, Item, ProductChanged
from streams.transform import command
from streams.transform.classes import fold
from streams.transform.context import Store
from streams.transform.errors import Suppress
from streams.transform.money import FOUR, number, rounded
from streams.transform.revenue import account_of, item_code
from streams.transform.texts import clean, printable

_NAME_LIMIT, _DESCRIPTION_LIMIT = 50, 4000


def item_command(changed: ProductChanged, store: Store) -> Command:
    """The command; `only_if_known` unless every product is kept. Suppress says why there is none."""
    who = f"SKU {changed['SKUID']} of {changed['instance']}"
    mode = store.rules.products.mode
    sku = (changed["SKUNumber"] or "").strip()
    if mode == "off":
        raise Suppress("products_off", f"{who}: the rule products.mode is off")
    if changed["deleted"] or not changed["SKUEnabled"]:
        raise Suppress("not_sold", f"{who} is no longer sold; the item stays, invoices name it")
    if not item_code(sku):
        raise Suppress("no_number", f"{who} has no SKUNumber: it cannot be an item")
    if changed["sku_number_shared"]:
        raise Suppress("number_shared", f"{who}: several SKUs have the number {sku}")
    code = item_code(sku)
    if mode == "known" and code not in store.reference.items:
        raise Suppress("not_an_item", f"{who}: {code} is no item of {store.reference.name}")
    body = item(store, code, changed["SKUName"], _document(changed, store, sku), only_if_known=mode == "known")
    body["version"] = changed["version"]
    return command.envelope(changed, store, "ITEM", code, body)


def item(store: Store, code: str, name: str, more: dict[str, Any], *, only_if_known: bool = False) -> Item:
    """The item's body with its document and hash."""
    encoded = orjson.dumps({"Code": code, "Name": clean(name)[:_NAME_LIMIT].rstrip() or code, **more})
    return {
        "code": code,
        "document": encoded.decode(),
        "hash": hashlib.sha256(encoded).hexdigest(),
        "only_if_known": only_if_known,
        "version": None,
    }


def description(name: str, code: str) -> str:
    """The name as it is on invoices; an item without one is described by its code."""
    return printable(name).strip()[:_DESCRIPTION_LIMIT] or code


def _document(changed: ProductChanged, store: Store, sku: str) -> dict[str, Any]:
    """An item that people gave an account and a TaxType keeps them, unless a rule names another: lines go to the
    item's own before the store's default, so writing the default there would move the revenue."""
    names = [fold(name) for name in (changed["TaxClassDisplayName"], changed["TaxClassName"]) if name]
    account, _ = account_of(store, sku, changed["SKUDepartmentName"], names, None)
    known = store.reference.items.get(item_code(sku))
    sales: dict[str, Any] = {"UnitPrice": number(rounded(changed["SKUPrice"], FOUR))}
    if store.reference.account(account) is not None:
        sales["AccountCode"] = account
        if known is not None and known.sales_account == account and known.sales_tax_type:
            sales["TaxType"] = known.sales_tax_type
    return {
        "Description": description(changed["SKUName"], item_code(sku)),
        "IsSold": True,
        "SalesDetails": sales,
    }
