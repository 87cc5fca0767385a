"""SKU → Xero item → account (BOOKKEEPING §3). Pure."""

from __future__ import annotations

from typing import cast

from schemas.types import OrderItem
from streams.rules.reference import Account
from streams.transform import product
from streams.transform.classes import names_of
from streams.transform.context import Draft, Line
from streams.transform.errors import unmapped
from streams.transform.revenue import account_of, item_code


def items(draft: Draft) -> None:
    """Each line's item code, where there is an item to name."""
    rule = draft.store.rules.unknown_item
    known = draft.store.reference.items
    for line in draft.lines:
        item = line.item
        code = item_code((item["SKUNumber"] or "").strip()) if item is not None else ""
        if item is None or not code:
            if item is not None and rule == "refuse":
                raise _no_item(draft, line, "has no SKUNumber")
            continue
        found = known.get(code)
        if item["sku_number_shared"]:
            draft.findings.append(f"several SKUs have the number {item['SKUNumber']}: its line names no item")
        elif found is not None:
            line.item_code = code
        elif rule == "create_untracked":
            _create(draft, code, item)
        elif rule == "refuse":
            raise _no_item(draft, line, f"is no item of {draft.store.reference.name}")
        if found is not None:
            line.item_tax_type = found.sales_tax_type
    draft.items = list(dict.fromkeys(line.item_code for line in draft.lines if line.item_code))


def _create(draft: Draft, code: str, item: OrderItem) -> None:
    """The item is made beside this sale. Its line does not name it yet: Xero refuses a whole invoice for an item that
    is not there, and the two documents go out in calls of their own."""
    if all(new["code"] != code for new in draft.new_items):
        name = item["OrderItemSKUName"] or code
        more = {"Description": product.description(name, code), "IsSold": True}
        draft.new_items.append(product.item(draft.store, code, name, more))
        draft.findings.append(f"item {code} is created; lines name it once Xero has it")


def _no_item(draft: Draft, line: Line, what: str) -> Exception:
    return unmapped(
        "item_unknown",
        f"{draft.who}: SKU {line.name!r} {what}, and the rule unknown_item says refuse",
        f"Create the item in Xero, or set {draft.store.key}.unknown_item to line_without_item or create_untracked.",
    )


def accounts(draft: Draft) -> None:
    """Each line's account and where it comes from."""
    store = draft.store
    for line in draft.lines:
        if line.kind == "item":
            found = _item_account(draft, line)
        elif line.kind == "shipping":
            found = _shipping_account(draft)
        else:
            found = _rounding_account(draft)
        line.account_code, line.account_rule = found
        line.account = store.reference.account(line.account_code)


def _item_account(draft: Draft, line: Line) -> tuple[str, str]:
    store = draft.store
    item = line.item
    sku = (item["SKUNumber"] or "").strip() if item else ""
    department = item["SKUDepartmentName"] if item else None
    key = ("account", sku, department, line.class_name, line.class_code)
    found = store.memo.get(key)
    if found is None:
        found = store.remember(key, account_of(store, sku, department, names_of(line), line.class_name))
    if not found[0]:
        raise unmapped(
            "account_missing",
            f"{draft.who}: SKU {sku or line.name!r} has no account: no rule for SKU {sku!r}, department {department!r} "
            f"or tax class {line.class_name!r}, no sales account on a Xero item, no default of the store",
            f'Set {store.key}.accounts.default (or .sku."{sku}") in the rules.',
        )
    return cast(tuple[str, str], found)


def _shipping_account(draft: Draft) -> tuple[str, str]:
    rules = draft.store.rules
    if rules.shipping_account:
        return rules.shipping_account, "shipping_account"
    raise unmapped(
        "shipping_account_missing",
        f"{draft.who} has shipping of {draft.amount(draft.order['order']['OrderTotalShipping'] or draft.total)}, "
        "and the store no account for it",
        f"Set {draft.store.key}.shipping_account in the rules.",
    )


def _rounding_account(draft: Draft) -> tuple[str, str]:
    found: Account | None = draft.store.reference.rounding
    if found is None:
        raise unmapped(
            "rounding_account_missing",
            f"{draft.who} needs a rounding line, and {draft.store.reference.name} has no active ROUNDING account",
            "Restore Xero's rounding account (SystemAccount ROUNDING), or correct the order's sums in Kentico.",
        )
    return found.code, "the organisation's ROUNDING account"
