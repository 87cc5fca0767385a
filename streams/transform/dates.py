"""The order's business day, its due date, the currency and its rate (BOOKKEEPING §2). Pure."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from streams.transform.context import Draft, Store
from streams.transform.errors import invalid, unmapped
from streams.transform.money import SIX, UNITS, XERO_DECIMALS, rounded

# CurrencyRoundTo of currencies that an aggregate without the column may have (Xperience by Kentico); ISO 4217.
_DECIMALS = {"JPY": 0, "KRW": 0, "CLP": 0, "ISK": 0, "VND": 0, "HUF": 2}
_RATE_MAX = Decimal(10) ** 12  # CurrencyRate is [18].[6] at Xero


def dates(draft: Draft) -> None:
    """Date and DueDate; by rule moved out of a closed period."""
    day = draft.order["order"]["OrderDate"].astimezone(draft.store.zone).date()
    moved = open_day(draft.store, day)
    if moved != day:
        draft.findings.append(f"dated {moved} instead of {day}: the books are closed until {draft.store.lock}")
    draft.day, draft.date = day, moved
    draft.due_date = moved + timedelta(days=draft.store.rules.due_days)


def open_day(store: Store, day: date) -> date:
    """The day, or the first open one where it is closed and the rule moves dates."""
    if store.lock is not None and day <= store.lock and store.rules.locked_period == "first_open_day":
        return store.lock + timedelta(days=1)
    return day


def currency(draft: Draft) -> None:
    """Currency, its decimals, totals in it, and the rate to the organisation's base currency."""
    order, store = draft.order, draft.store
    row = order["currency"]
    if row is None and store.rules.currency is None:
        raise unmapped(
            "currency_missing",
            f"{draft.who} has no currency",
            f"Set {store.key}.currency in the rules (Xperience by Kentico keeps none), or send `currency`.",
        )
    draft.currency = row["CurrencyCode"] if row is not None else store.rules.currency or ""
    decimals = row["CurrencyRoundTo"] if row is not None else _DECIMALS.get(draft.currency, XERO_DECIMALS)
    draft.decimals = max(0, min(decimals, XERO_DECIMALS))
    draft.unit = UNITS[draft.decimals]
    total = order["order"]["OrderTotalPrice"]
    if order["dialect"] == "XBYK":
        # There TotalPrice is the items' only, GrandTotal adds shipping and tax, and there are no gift cards.
        total = order["order"]["OrderGrandTotal"] or total
    draft.total = rounded(total, draft.unit)
    draft.total_tax = rounded(order["order"]["OrderTotalTax"], draft.unit)
    if draft.total_tax < 0:
        text = f"{draft.who}: OrderTotalTax is {draft.amount(draft.total_tax)}"
        raise invalid("negative_tax", text, "Correct the order in Kentico.")
    if draft.currency != store.reference.base_currency:
        draft.rate = _rate(draft)


def _rate(draft: Draft) -> Decimal | None:
    """Foreign units per unit of base, six decimals; None leaves it to Xero."""
    order, rule = draft.order["order"], draft.store.rules.currency_rate
    row = draft.order["currency"]
    if rule.source == "order":
        main = order["OrderTotalPriceInMainCurrency"]
        same_base = row is not None and row["main_currency_code"] == draft.store.reference.base_currency
        if same_base and main is not None and main > 0 and order["OrderTotalPrice"] > 0:
            rate = rounded(order["OrderTotalPrice"] / main, SIX)
            if 0 < rate < _RATE_MAX:
                return rate
    if rule.source != "xero" and draft.currency in rule.table:
        return rounded(rule.table[draft.currency], SIX)
    if rule.source != "xero":
        draft.findings.append(f"no rate of {draft.currency} in the order or the rules: Xero's rate of the day is taken")
    return None
