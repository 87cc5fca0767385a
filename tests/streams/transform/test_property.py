"""For any order: what Xero computes is what Kentico charged, in total and by tax class, or it is refused with a reason.

Kentico's side is its own arithmetic (kentico.md §4), Xero's side is written here anew from xero.md §4.3, in whole
cents, and shares nothing with streams.transform.xero_math.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import orjson
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from streams.flow import Refused
from streams.workflow import run
from tests import depth
from tests.streams.transform.example import CUSTOMER, NOW, RULES, SHIPPING, address, item, named, order, store

D = Decimal
CLASSES = {"VAT 20%": D(20), "VAT 10%": D(10), "VAT 8%": D(8), "VAT 5%": D(5), "Zero rated": D(0)}
TYPES = {20: "OUTPUT2", 10: "TEN", 8: "TAX008", 5: "RROUTPUT", 0: "ZERORATEDOUTPUT"}
STORE = store(
    {
        "tax": [{"class": name, "rate": rate, "tax_type": TYPES[int(rate)]} for name, rate in CLASSES.items()],
        "payments": RULES["payments"],
    }
)
RATES = {"OUTPUT2": D(20), "TEN": D(10), "TAX008": D(8), "RROUTPUT": D(5)}
UNITS = {"GBP": D("0.01"), "USD": D("0.01"), "EUR": D("0.01"), "JPY": D(1)}
PER_POUND = {"GBP": D(1), "USD": D("1.27"), "EUR": D("1.17"), "JPY": D(190)}
GUIDS = [f"6e3c1c0a-1f0d-4b0e-8a55-0000000000{n:02}" for n in range(20)]

LINE = st.fixed_dictionaries(
    {
        "price": st.integers(0, 300_00),
        "finer": st.sampled_from([D(0), D(0), D(0), D("0.5"), D("0.25"), D("0.1234"), D("0.123456")]),  # of a unit
        "count": st.sampled_from([D(1), D(1), D(2), D(3), D(12), D("1.5"), D("0.25"), D(1000)]),
        "class": st.sampled_from(list(CLASSES)),
        "off": st.integers(0, 50),  # percent, on the line
        "sent": st.booleans(),  # whether the sender joins the rate
        "kind": st.sampled_from(["own", "own", "own", "free option", "option", "member"]),  # of the last own one
    }
)
SHOP = st.fixed_dictionaries(
    {
        "lines": st.lists(LINE, min_size=1, max_size=8),
        "members_count": st.booleans(),  # whether prices of bundle members are in the order's sum
        "discount": st.integers(0, 100),  # percent, on the order
        "shipping": st.integers(0, 20_00),
        "inclusive": st.booleans(),
        "told": st.booleans(),
        "currency": st.sampled_from(list(UNITS)),
        "gifts": st.lists(st.integers(0, 60), max_size=3),  # percent of the total
        "rates_sent": st.booleans(),
        "off": st.sampled_from([0, 0, 0, 0, 1, -1, 3, 40, 300]),
        "tax_off": st.sampled_from([0, 0, 0, 0, 1, -1, 5, 90]),
    }
)
Shop = dict[str, Any]


def rounded(value: Decimal, unit: Decimal) -> Decimal:
    return value.quantize(unit, ROUND_HALF_UP)


def kentico(shop: Shop) -> Any:
    """An order as Kentico's own arithmetic makes it: tax per class, items and shipping rounded apart."""
    unit = UNITS[shop["currency"]]
    items, by_class = _items(shop, unit)
    goods = sum(by_class.values(), D(0))
    discount = rounded(goods * shop["discount"] / 100, unit)
    summary: dict[str, Decimal] = {}
    for name, base in by_class.items():
        net = base - (base * discount / goods if goods else D(0))
        summary[name] = _tax(shop, net, CLASSES[name], unit)
    shipping = shop["shipping"] * unit
    summary["VAT 20%"] = summary.get("VAT 20%", D(0)) + _tax(shop, shipping, D(20), unit)
    first = next(iter(summary))
    summary[first] = max(summary[first] + shop["tax_off"] * unit, D(0))
    tax = sum(summary.values(), D(0))
    total = goods - discount + shipping + (D(0) if shop["inclusive"] else tax) + shop["off"] * unit
    total = max(total, D(0))
    gifts, left = [], total
    for percent in shop["gifts"]:
        gift = min(rounded(total * percent / 100, unit), left)
        gifts.append(gift)
        left -= gift
    rate = PER_POUND[shop["currency"]]
    row = {
        "OrderTotalPrice": total,
        "OrderTotalTax": tax,
        "OrderTotalShipping": shipping,
        "OrderGrandTotal": left,
        "OrderTotalPriceInMainCurrency": rounded(total / rate, D("0.01")),
        "OrderGrandTotalInMainCurrency": rounded(left / rate, D("0.01")),
        "OrderDiscounts": named(Offer=str(discount)) if discount else [],
        "OrderOtherPayments": [{"name": f"Gift {n}", "value": gift} for n, gift in enumerate(gifts)],
        "OrderTaxSummary": [{"name": name, "value": value} for name, value in summary.items() if value],
    }
    currency = {
        "CurrencyCode": shop["currency"],
        "CurrencyRoundTo": 0 if unit == 1 else 2,
        "CurrencyIsMain": shop["currency"] == "GBP",
        "main_currency_code": "GBP",
    }
    option = SHIPPING if shop["rates_sent"] else SHIPPING | {"TaxRate": None}
    return order(
        row,
        items=items,
        addresses=[address(1, "GB")],
        customer=CUSTOMER,
        currency=currency,
        shipping=option if shipping else None,
        prices_include_tax=shop["inclusive"] if shop["told"] else None,
    )


def _items(shop: Shop, unit: Decimal) -> tuple[list[dict[str, Any]], dict[str, Decimal]]:
    """The rows of COM_OrderItem, and what each class's goods come to before the order's discount."""
    items: list[dict[str, Any]] = []
    by_class: dict[str, Decimal] = {}
    parent = ""
    for n, line in enumerate(shop["lines"]):
        kind = line["kind"] if parent else "own"
        price = D(0) if kind == "free option" else (line["price"] + line["finer"]) * unit
        gross = rounded(price * line["count"], unit)
        discount = D(0) if kind == "member" else rounded(gross * line["off"] / 100, unit)
        rate = str(CLASSES[line["class"]]) if line["sent"] or shop["rates_sent"] else None
        own = {"OrderItemGuid": GUIDS[n]}
        if kind == "own":
            parent = GUIDS[n]
        elif kind == "member":
            own["OrderItemBundleGUID"] = parent
        else:
            own["OrderItemParentGuid"] = parent
        off = str(discount) if discount else None
        made = item(
            f"{kind} {n}", str(price), line["count"], tax_class=line["class"], rate=rate, off=off,
            total=str(gross - discount), **own,
        )  # fmt: skip
        items.append(made)
        if kind != "member" or shop["members_count"]:
            by_class[line["class"]] = by_class.get(line["class"], D(0)) + gross - discount
    return items, by_class


def _tax(shop: Shop, base: Decimal, rate: Decimal, unit: Decimal) -> Decimal:
    return rounded(base * rate / (100 + rate if shop["inclusive"] else 100), unit)


def cents(value: Any) -> int:
    return int((D(str(value)) * 100).quantize(D(1), ROUND_HALF_UP))


def xero(document: dict[str, Any]) -> tuple[Decimal, dict[str, Decimal]]:
    """(Total, tax by TaxType): each line rounded to cents, then its tax, then summed."""
    amount, taxes = 0, dict[str, int]()
    inclusive = document["LineAmountTypes"] == "Inclusive"
    for line in document["LineItems"]:
        gross = D(str(line["Quantity"])) * D(str(line["UnitAmount"]))
        one = cents(gross - D(str(line.get("DiscountAmount", 0))))
        rate = RATES.get(line["TaxType"], D(0))
        if "TaxAmount" in line:
            its = cents(line["TaxAmount"])
            assert rate or not its, "Xero takes no tax on a rate of 0 %"
            assert abs(its) <= abs(one), "nor more tax than the line"
        elif inclusive:
            its = one - int((one * 100 / (100 + rate)).quantize(D(1), ROUND_HALF_UP))
        else:
            its = int((one * rate / 100).quantize(D(1), ROUND_HALF_UP))
        amount += one
        taxes[line["TaxType"]] = taxes.get(line["TaxType"], 0) + its
    total = amount if inclusive else amount + sum(taxes.values())
    return D(total) / 100, {name: D(tax) / 100 for name, tax in taxes.items() if tax}


def sound(shop: Shop) -> bool:
    """Nothing was made wrong, and nothing was left for inference that sums of cents cannot decide."""
    return not shop["off"] and not shop["tax_off"] and shop["told"] and shop["rates_sent"]


@settings(max_examples=depth.examples(500), suppress_health_check=[HealthCheck.too_slow])
@given(SHOP)
def test_to_the_cent_or_refused(shop: Shop) -> None:
    made = kentico(shop)
    outcome = run(made, STORE, NOW).made
    if isinstance(outcome, Refused):
        event(f"refused: {outcome.reason.code}")
        assert outcome.reason.message
        assert outcome.reason.hint
        assert not sound(shop), outcome.reason.message
        return
    assert isinstance(outcome, dict), outcome
    event("posted")
    sale: Any = outcome["body"]
    document = orjson.loads(sale["invoice"])
    total, tax = made["order"]["OrderTotalPrice"], made["order"]["OrderTotalTax"]
    charged = {TYPES[int(CLASSES[one["name"]])]: one["value"] for one in made["order"]["OrderTaxSummary"]}
    its_total, its_taxes = xero(document)
    assert (its_total, sum(its_taxes.values())) == (total, tax)
    if not shop["tax_off"]:  # a class that was charged another rate than its own has that rate's TaxType
        assert its_taxes == charged
    assert (D(sale["total"]), D(sale["total_tax"])) == (total, tax)
    assert sum(D(tender["amount"]) for tender in sale["payments"]) == total
    if not tax:
        assert not {line["TaxType"] for line in document["LineItems"]} & RATES.keys()
    in_base(sale, document, total)


def in_base(sale: Any, document: dict[str, Any], total: Decimal) -> None:
    """What arrives on accounts in the base currency is the invoice in that currency: no cent is a currency gain."""
    banks = [D(tender["bank_amount"]) for tender in sale["payments"] if tender["bank_amount"]]
    if banks and len(banks) == len(sale["payments"]):
        rate = D(str(document["CurrencyRate"]))
        assert sum(banks) == rounded(total / rate, D("0.01"))


@settings(max_examples=depth.examples(100))
@given(SHOP)
def test_equal_orders_make_equal_commands(shop: Shop) -> None:
    assert run(kentico(shop), STORE, NOW) == run(kentico(shop), STORE, NOW)
