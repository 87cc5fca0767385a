"""The order's currency, its totals in it, and the rate to the organisation's base currency (BOOKKEEPING §2). Pure."""

from __future__ import annotations

from decimal import Decimal

from streams.transform.context import Draft
from streams.transform.errors import invalid, unmapped
from streams.transform.money import HUNDRED, ONE, SIX, UNITS, XERO_DECIMALS, ZERO, rounded, text

# CurrencyRoundTo of currencies that an aggregate without the column may have (Xperience by Kentico); ISO 4217.
_DECIMALS = {"JPY": 0, "KRW": 0, "CLP": 0, "ISK": 0, "VND": 0, "HUF": 2}
_RATE_MAX = Decimal(10) ** 12  # CurrencyRate is [18].[6] at Xero


def unit_of(currency: str) -> Decimal:
    """The minor unit of a currency of which no row says it."""
    return UNITS[_DECIMALS.get(currency, XERO_DECIMALS)]


def currency(draft: Draft) -> None:
    """Currency, its decimals, totals in it, and the rate to the organisation's base currency."""
    order, store = draft.order, draft.store
    row = order["currency"]
    if row is None and order["dialect"] == "K13" and order["order"]["OrderCurrencyID"] is not None:
        raise invalid(
            "currency_unknown",
            f"{draft.who}: OrderCurrencyID is {order['order']['OrderCurrencyID']}, and no such currency came with it",
            "Restore the currency in Kentico, or send `currency` with the order; then redrive.",
        )
    if row is None and store.rules.currency is None:
        raise unmapped(
            "currency_missing",
            f"{draft.who} has no currency",
            f"Set {store.key}.currency in the rules (Xperience by Kentico keeps none), or send `currency`.",
        )
    draft.currency = row["CurrencyCode"] if row is not None else store.rules.currency or ""
    total = order["order"]["OrderTotalPrice"]
    if order["dialect"] == "XBYK":
        # There TotalPrice is the items' only, GrandTotal adds shipping and tax, and there are no gift cards.
        total = order["order"]["OrderGrandTotal"] or total
    draft.decimals = _decimals(draft, total)
    draft.unit = UNITS[draft.decimals]
    draft.total = rounded(total, draft.unit)
    if draft.total != total:
        draft.findings.append(
            f"the order's total {text(total)} is not in whole {draft.unit} {draft.currency}: {draft.total} is posted"
        )
    draft.total_tax = rounded(order["order"]["OrderTotalTax"], draft.unit)
    if draft.total_tax < 0:
        text_ = f"{draft.who}: OrderTotalTax is {draft.amount(draft.total_tax)}"
        raise invalid("negative_tax", text_, "Correct the order in Kentico.")
    _compare_totals(draft)
    if draft.currency != store.reference.base_currency:
        draft.rate = _rate(draft)


def _decimals(draft: Draft, total: Decimal) -> int:
    """As Kentico rounds the currency, at most Xero's two. Where that was changed to fewer than the order still has, the
    currency's own: a total of 94.44 USD is never posted as 94."""
    row, usual = draft.order["currency"], _DECIMALS.get(draft.currency, XERO_DECIMALS)
    told = usual if row is None else max(0, min(row["CurrencyRoundTo"], XERO_DECIMALS))
    sums = (total, draft.order["order"]["OrderTotalTax"], draft.order["order"]["OrderGrandTotal"])
    if told < usual and any(one != rounded(one, UNITS[told]) for one in sums):
        draft.findings.append(
            f"CurrencyRoundTo of {draft.currency} is {told}, but the order's sums have more decimals: {usual} are kept"
        )
        return usual
    return told


def _compare_totals(draft: Draft) -> None:
    """An order in the main currency has one total, twice."""
    order, row = draft.order["order"], draft.order["currency"]
    main = order["OrderTotalPriceInMainCurrency"]
    if main is None or row is None or row["main_currency_code"] != draft.currency:
        return
    if abs(main - order["OrderTotalPrice"]) > draft.unit:
        draft.findings.append(
            f"OrderTotalPriceInMainCurrency is {text(main)}, though {draft.currency} is the main currency and "
            f"OrderTotalPrice is {text(order['OrderTotalPrice'])}, which is taken"
        )


def _rate(draft: Draft) -> Decimal | None:
    """Foreign units per unit of base, six decimals; None leaves it to Xero."""
    rule = draft.store.rules.currency_rate
    if rule.source == "xero":
        return None
    table = rule.table.get(draft.currency)
    own = _own_rate(draft) if rule.source == "order" else None
    if own is not None:
        if table is not None and rule.within is not None:
            _check_plausible(draft, own, table, rule.within)
        return own
    if table is not None:
        return rounded(table, SIX)
    draft.findings.append(f"no rate of {draft.currency} in the order or the rules: Xero's rate of the day is taken")
    return None


def _own_rate(draft: Draft) -> Decimal | None:
    """The rate that the order's totals make, where they are in the base currency and do not contradict each other."""
    order, row = draft.order["order"], draft.order["currency"]
    total, main = order["OrderTotalPrice"], order["OrderTotalPriceInMainCurrency"]
    base = draft.store.reference.base_currency
    if row is None or row["main_currency_code"] != base or main is None or main <= 0 or total <= 0:
        return None
    grand, grand_main = order["OrderGrandTotal"], order["OrderGrandTotalInMainCurrency"]
    if grand_main is not None and grand > 0:
        made = grand * main / total
        # Both amounts in the base currency were rounded once.
        if abs(grand_main - made) > unit_of(base) * (ONE + grand / total):
            draft.findings.append(
                f"OrderGrandTotalInMainCurrency is {text(grand_main)}, but by the rate of OrderTotalPrice it is "
                f"{rounded(made, unit_of(base))} {base}: the order's rate is not taken"
            )
            return None
    odd = _item_apart(draft, main / total, unit_of(base))
    if odd is not None:
        draft.findings.append(f"{odd}: the order's rate is not taken")
        return None
    rate = rounded(total / main, SIX)
    return rate if ZERO < rate < _RATE_MAX else None


def _item_apart(draft: Draft, factor: Decimal, unit: Decimal) -> str | None:
    """An item whose own amount in the base currency is not what the order's totals make of it; None: they agree. Both
    amounts were rounded once."""
    total = draft.order["order"]["OrderTotalPrice"]
    for item in draft.order["items"]:
        price, main = item["OrderItemTotalPrice"], item["OrderItemTotalPriceInMainCurrency"]
        if main and price > 0 and abs(main - price * factor) > unit * (ONE + price / total):
            name, made = item["OrderItemSKUName"], rounded(price * factor, unit)
            return (
                f"OrderItemTotalPriceInMainCurrency of {name} is {text(main)}, but by the order's totals it is {made}"
            )
    return None


def _check_plausible(draft: Draft, rate: Decimal, table: Decimal, within: Decimal) -> None:
    """The order's own rate lies near the table's. The total in the base currency was rounded, which in an order of a
    few pence moves the rate by much: every rate that it may stand for is allowed."""
    base, order = draft.store.reference.base_currency, draft.order["order"]
    total, main, half = order["OrderTotalPrice"], order["OrderTotalPriceInMainCurrency"] or ZERO, unit_of(base) / 2
    below, above = table * (HUNDRED - within) / HUNDRED, table * (HUNDRED + within) / HUNDRED
    if total / (main + half) <= above and (main <= half or total / (main - half) >= below):
        return
    key = f"{draft.store.key}.currency_rate"
    raise invalid(
        "currency_rate_implausible",
        f"{draft.who}: its totals make {text(rate)} {draft.currency} a {base}, the rules' table has {text(table)}: "
        f"more than {text(within)} % apart",
        f"Correct the exchange rate in Kentico, or {key}.table.{draft.currency}; {key}.within says how far is too far.",
    )
