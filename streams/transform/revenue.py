"""The revenue account of a SKU: by rule, by its Xero item, by the store's default (BOOKKEEPING §3). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from streams.transform.context import Store
from streams.transform.texts import printable

CODE_LIMIT = 30  # Item.Code
_KEPT, _HASHED = 21, 8  # 21 + "-" + 8 = 30


def item_code(sku: str) -> str:
    """The item's code: the SKU's number without control characters; if that is too long, its beginning and a hash of
    the whole."""
    if not sku.isprintable():
        sku = printable(sku).replace("\n", " ").strip()
    if len(sku) <= CODE_LIMIT:
        return sku
    return f"{sku[:_KEPT]}-{hashlib.sha256(sku.encode()).hexdigest()[:_HASHED]}"


def account_of(
    store: Store, sku: str, department: str | None, classes: Iterable[str], shown: str | None
) -> tuple[str, str]:
    """(account, what says so); empty where nothing does. `classes`: folded names, `shown`: for people."""
    rules = store.rules.accounts
    if sku:
        if sku in rules.sku:
            return rules.sku[sku], f'accounts.sku."{sku}"'
        for prefix, code in store.sku_prefixes:
            if sku.startswith(prefix):
                return code, f'accounts.sku."{prefix}*"'
    if department and department in rules.department:
        return rules.department[department], f'accounts.department."{department}"'
    for name in classes:
        if name in store.class_accounts:
            return store.class_accounts[name], f'accounts.tax_class."{shown}"'
    item = store.reference.items.get(item_code(sku)) if sku else None
    if item is not None and item.sales_account:
        return item.sales_account, f"the sales account of item {item.code}"
    return rules.default or "", "accounts.default"
