"""The rules of items: a unique code, accounts and tax types that exist."""

from __future__ import annotations

from typing import Any

from connectors.xero.sandbox import errors
from connectors.xero.sandbox.arithmetic import unit
from connectors.xero.sandbox.books import Books, fold
from connectors.xero.sandbox.documents import Item
from connectors.xero.sandbox.errors import ElementRefused, NotFound
from connectors.xero.sandbox.reading import Element, flag, nested, number, text

LIMITS = {"Code": 30, "Name": 50, "Description": 4000, "PurchaseDescription": 4000}


def check_ids(books: Books, given: list[Element]) -> None:
    """An unknown ItemID ends the whole request with a 404 before anything is written."""
    for element in given:
        id_ = text(element, "ItemID")
        if id_ and id_ != errors.ZERO_ID and id_.lower() not in books.items:
            raise NotFound


def write(books: Books, element: Element, *, create_only: bool, unitdp: int) -> Item:
    """PUT refuses a code that is there; POST finds the item by ItemID or Code and writes over it."""
    code, id_ = text(element, "Code"), text(element, "ItemID")
    found = None
    if not create_only and id_ and id_ != errors.ZERO_ID:
        found = books.items.get(id_.lower())
    holder = books.items.get(books.item_by_code.get(fold(code), "")) if code else None
    problems: list[str] = []
    if create_only and holder is not None and code:
        problems.append(errors.item_exists(code))
    found = found or (None if create_only else holder)
    if found is not None and holder is not None and holder.id != found.id and code:
        problems.append(errors.item_exists(code))
    if found is None and not code:
        problems.append("Price List Item Code must be supplied")
    for key, limit in LIMITS.items():
        if len(text(element, key) or "") > limit:
            problems.append(errors.too_long(key, limit))
    base = found or Item(id=books.new_id(), code="")
    sold, bought = flag(element, "IsSold"), flag(element, "IsPurchased")
    is_sold = base.is_sold if sold is None else sold
    is_purchased = base.is_purchased if bought is None else bought
    sales = _details(books, nested(element, "SalesDetails"), base.sales, unitdp, problems)
    purchase = _details(books, nested(element, "PurchaseDetails"), base.purchase, unitdp, problems)
    if problems:
        raise ElementRefused(*problems)
    if found is not None and code and fold(code) != fold(found.code):
        del books.item_by_code[fold(found.code)]

    def kept(key: str, old: str) -> str:
        value = text(element, key)
        return old if value is None else value

    item = Item(
        id=base.id,
        code=code or base.code,
        name=kept("Name", base.name) or code or base.code,
        description=kept("Description", base.description),
        purchase_description=kept("PurchaseDescription", base.purchase_description),
        sales=sales if is_sold else {},
        purchase=purchase if is_purchased else {},
        is_sold=is_sold,
        is_purchased=is_purchased,
        inventory_account=kept("InventoryAssetAccountCode", base.inventory_account),
        seq=base.seq,
    )
    books.save_item(item)
    return item


def _details(
    books: Books, given: Element | None, old: dict[str, Any], unitdp: int, problems: list[str]
) -> dict[str, Any]:
    if given is None:
        return old
    details = dict(old)
    price = number(given, "UnitPrice")
    if price is not None:
        details["UnitPrice"] = unit(price, unitdp)
    for key in ("AccountCode", "COGSAccountCode"):
        code = text(given, key)
        if code:
            account = books.org.accounts.get(code)
            if account is None or not account.takes_lines:
                problems.append(errors.account_invalid(code))
            elif account.status != "ACTIVE":
                problems.append(errors.account_archived(code))
            details[key] = code
    tax_type = text(given, "TaxType")
    if tax_type:
        rate = books.org.tax_rates.get(tax_type)
        if rate is None or rate.status != "ACTIVE":
            problems.append(errors.tax_type_unknown(tax_type))
        details["TaxType"] = tax_type
    return details
