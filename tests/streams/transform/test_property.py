"""For any order: what Xero computes is what Kentico charged, or the order is refused with a reason."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.flow import Refused
from streams.workflow import run
from tests.streams.transform.example import NOW, RULES, SHIPPING, item, named, order, store

D = Decimal
CLASSES = {"VAT 20%": D(20), "VAT 10%": D(10), "VAT 8%": D(8), "VAT 5%": D(5), "Zero rated": D(0)}
TYPES = {20: "OUTPUT2", 10: "TEN", 8: "TAX008", 5: "RROUTPUT", 0: "ZERORATEDOUTPUT"}
STORE = store(
    {"tax": [{"class": name, "rate": rate, "tax_type": TYPES[int(rate)]} for name, rate in CLASSES.items()]}
    | {"payments": RULES["payments"]}
)
RATES = {"OUTPUT2": D(20), "TEN": D(10), "TAX008": D(8), "RROUTPUT": D(5)}

LINE = st.tuples(
    st.integers(0, 300_00), st.integers(1, 12), st.sampled_from(list(CLASSES)), st.integers(0, 50), st.booleans()
)
SHOP = st.fixed_dictionaries(
    {
        "lines": st.lists(LINE, min_size=1, max_size=8),
        "discount": st.integers(0, 100),
        "shipping": st.integers(0, 20_00),
        "inclusive": st.booleans(),
        "told": st.booleans(),
        "yen": st.booleans(),
        "gift": st.integers(0, 100),
        "rates_sent": st.booleans(),
        "off": st.sampled_from([0, 0, 0, 0, 1, -1, 3, 40, 300]),
        "tax_off": st.sampled_from([0, 0, 0, 0, 1, -1, 5, 90]),
    }
)


def kentico(shop: dict[str, Any]) -> Any:
    """An order as Kentico's own arithmetic makes it: tax per class, items and shipping rounded apart."""
    unit = D(1) if shop["yen"] else D("0.01")

    def rounded(value: Decimal) -> Decimal:
        return value.quantize(unit, ROUND_HALF_UP)

    def tax_on(base: Decimal, rate: Decimal) -> Decimal:
        return rounded(base * rate / (100 + rate if shop["inclusive"] else 100))

    items: list[dict[str, Any]] = []
    by_class: dict[str, Decimal] = {}
    for cents, count, name, off, sent in shop["lines"]:
        price = cents * unit
        discount = rounded(price * count * off / 100)
        rate = str(CLASSES[name]) if sent or shop["rates_sent"] else None
        items.append(item(name, str(price), count, tax_class=name, rate=rate, off=str(discount) if discount else None))
        by_class[name] = by_class.get(name, D(0)) + price * count - discount
    goods = sum(by_class.values(), D(0))
    discount = rounded(goods * shop["discount"] / 100)
    summary: dict[str, Decimal] = {}
    for name, base in by_class.items():
        net = base - (base * discount / goods if goods else D(0))
        summary[name] = tax_on(net, CLASSES[name])
    shipping = shop["shipping"] * unit
    summary["VAT 20%"] = summary.get("VAT 20%", D(0)) + tax_on(shipping, D(20))
    first = next(iter(summary))
    summary[first] = max(summary[first] + shop["tax_off"] * unit, D(0))
    tax = sum(summary.values(), D(0))
    total = goods - discount + shipping + (D(0) if shop["inclusive"] else tax) + shop["off"] * unit
    total = max(total, D(0))
    gift = rounded(total * shop["gift"] / 100)
    row = {
        "OrderTotalPrice": total,
        "OrderTotalTax": tax,
        "OrderTotalShipping": shipping,
        "OrderGrandTotal": total - gift,
        "OrderTotalPriceInMainCurrency": rounded(total / 190) if shop["yen"] else total,
        "OrderDiscounts": named(Offer=str(discount)) if discount else [],
        "OrderOtherPayments": named(Gift=str(gift)) if gift else [],
        "OrderTaxSummary": [{"name": name, "value": value} for name, value in summary.items() if value],
    }
    currency = {
        "CurrencyCode": "JPY" if shop["yen"] else "GBP",
        "CurrencyRoundTo": 0 if shop["yen"] else 2,
        "CurrencyIsMain": not shop["yen"],
        "main_currency_code": "GBP",
    }
    option = SHIPPING if shop["rates_sent"] else SHIPPING | {"TaxRate": None}
    return order(
        row,
        items=items,
        currency=currency,
        shipping=option if shipping else None,
        prices_include_tax=shop["inclusive"] if shop["told"] else None,
    )


def xero(document: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """(Total, TotalTax), computed anew and independently: cents as whole numbers."""

    def cents(value: Decimal) -> int:
        return int((value * 100).quantize(D(1), ROUND_HALF_UP))

    amount = tax = 0
    inclusive = document["LineAmountTypes"] == "Inclusive"
    for line in document["LineItems"]:
        one = cents(D(str(line["Quantity"])) * D(str(line["UnitAmount"])) - D(str(line.get("DiscountAmount", 0))))
        rate = RATES.get(line["TaxType"], D(0))
        if "TaxAmount" in line:
            its = cents(D(str(line["TaxAmount"])))
            assert rate or not its, "Xero takes no tax on a rate of 0 %"
            assert abs(its) <= abs(one), "nor more tax than the line"
        elif inclusive:
            its = one - int((one * 100 / (100 + rate)).quantize(D(1), ROUND_HALF_UP))
        else:
            its = int((one * rate / 100).quantize(D(1), ROUND_HALF_UP))
        amount, tax = amount + one, tax + its
    return D(amount if inclusive else amount + tax) / 100, D(tax) / 100


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SHOP)
def test_to_the_cent_or_refused(shop: dict[str, Any]) -> None:
    made = kentico(shop)
    outcome = run(made, STORE, NOW).made
    if isinstance(outcome, Refused):
        assert outcome.reason.message
        assert outcome.reason.hint
        assert shop["off"] or shop["tax_off"] or not shop["told"], outcome.reason.message
        return
    assert isinstance(outcome, dict), outcome
    sale: Any = outcome["body"]
    document = orjson.loads(sale["invoice"])
    total, tax = made["order"]["OrderTotalPrice"], made["order"]["OrderTotalTax"]
    assert xero(document) == (total, tax)
    assert (D(sale["total"]), D(sale["total_tax"])) == (total, tax)
    assert sum(D(tender["amount"]) for tender in sale["payments"]) == total
    if not tax:
        assert not {line["TaxType"] for line in document["LineItems"]} & RATES.keys()


@settings(max_examples=150, deadline=None)
@given(SHOP)
def test_equal_orders_make_equal_commands(shop: dict[str, Any]) -> None:
    assert run(kentico(shop), STORE, NOW) == run(kentico(shop), STORE, NOW)
