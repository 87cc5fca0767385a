"""BOOKKEEPING §4: the rate charged, the sums per class, the TaxType, TaxAmount."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from streams.transform.tax import tolerance
from tests.streams.transform.example import (
    CUSTOMER,
    INCLUSIVE,
    SHIPPING,
    address,
    item,
    lines,
    money,
    order,
    reference,
    refusal,
    sale,
    store,
)

TAXED = ("TaxType", "TaxAmount")


def test_nothing_more_is_sent_where_xeros_own_sum_is_right() -> None:
    assert lines(order(), None, *TAXED) == [("OUTPUT2", None)] * 3
    assert lines(order(INCLUSIVE), None, *TAXED) == [("OUTPUT2", None)] * 3


def test_cents_between_class_and_lines_are_sent_as_tax_amount() -> None:
    # Per line 0.14 + 0.19 + 0.41 = 0.74 contained; per class 4.45 × 20/120 = 0.7417 → 0.74; the shop charged 0.75.
    items = [item("A", "0.83"), item("B", "1.15"), item("C", "2.47")]
    made = order(money("4.45", "0.75"), items=items, shipping=None, prices_include_tax=True)
    found = lines(made, None, *TAXED)
    assert sum(1 for one in found if one[1] is not None) == 1
    assert sale(made)["total_tax"] == "0.75"


@pytest.mark.parametrize(
    ("charged", "posted"), [("11.45", True), ("11.47", True), ("11.43", True), ("11.49", False), ("11.40", False)]
)
def test_a_wrong_rate_is_never_called_rounding(charged: str, posted: bool) -> None:
    items = [item("Plunger", "29.90", 2), item("Filters", "8.90")]
    made = order(money("68.70", charged), items=items, shipping=None, prices_include_tax=True)
    if posted:
        assert sale(made)["total_tax"] == charged
        return
    reason = refusal(made)
    assert reason.code == "tax_disagrees"
    assert f"{charged} GBP" in reason.message
    assert "11.45 GBP" in reason.message


def test_an_inclusive_order_without_tax_never_gets_a_rate() -> None:
    zero = [item("Plunger", "29.90", 2, rate="0"), item("Filters", "8.90", rate=None)]
    made = order(money("78.70", "0", "10"), items=zero, shipping=SHIPPING | {"TaxRate": None}, prices_include_tax=True)
    assert lines(made, None, *TAXED) == [("ZERORATEDOUTPUT", None)] * 3
    # The sender says 20 % was charged, the order says nothing was: that is no rounding.
    assert refusal(order(money("78.70", "0", "10"), prices_include_tax=True)).code == "tax_disagrees"


def test_two_cents_at_twenty_percent_are_no_tax() -> None:
    made = order(money("0.02"), items=[item("Bean", "0.02")], shipping=None, prices_include_tax=True)
    assert lines(made, None, *TAXED) == [("ZERORATEDOUTPUT", None)]


def test_classes_are_agreed_one_by_one() -> None:
    items = [item("A", "10.00"), item("B", "10.00", tax_class="VAT 5%", rate="5")]
    summary = {"VAT 20%": "2.00", "VAT 5%": "0.50"}
    made = order(money("22.50", "2.50", summary=summary), items=items, shipping=None)
    assert lines(made, None, *TAXED) == [("OUTPUT2", None), ("RROUTPUT", None)]
    swapped = {"VAT 20%": "0.50", "VAT 5%": "2.00"}
    assert refusal(order(money("22.50", "2.50", summary=swapped), items=items, shipping=None)).code == "tax_disagrees"


def test_the_summary_and_the_total_must_agree() -> None:
    made = order(money("24.00", "4.00", summary={"VAT 20%": "2.00"}), items=[item("A", "20.00")], shipping=None)
    reason = refusal(made)
    assert reason.code == "tax_summary_disagrees"
    assert "VAT 20% 2.00" in reason.message
    assert "4.00 GBP" in reason.message


def test_a_class_that_no_line_has() -> None:
    items = [item("A", "10.00", tax_class="VAT 5%", rate="5")]
    both = {"VAT 5%": "0.50", "Gone": "2.00"}
    reason = refusal(order(money("12.50", "2.50", summary=both), items=items, shipping=None))
    assert reason.code == "tax_class_without_lines"
    assert "'Gone'" in reason.message
    renamed = order(money("12.00", "2.00", summary={"Old name": "2.00"}), items=[item("A", "10.00")], shipping=None)
    assert lines(renamed, None, *TAXED) == [("OUTPUT2", None)]


@pytest.mark.parametrize("by_code", [True, False])
def test_the_summary_names_a_class_by_either_name(by_code: bool) -> None:
    one = item("A", "10.00", tax_class="Standard rate", TaxClassName="StandardVAT")
    name = "StandardVAT" if by_code else " standard RATE "
    by = store({"tax": [{"class": name.strip(), "rate": 20, "tax_type": "OUTPUT2"}]})
    assert lines(order(money("12.00", "2.00", summary={name: "2.00"}), items=[one], shipping=None), by, *TAXED) == [
        ("OUTPUT2", None)
    ]


def test_shippings_class_is_found_by_id_rule_or_what_is_left() -> None:
    bare = SHIPPING | {"TaxClassDisplayName": None, "TaxRate": None}
    items = [item("A", "10.00", SKUTaxClassID=1), item("B", "10.00", tax_class="VAT 5%", rate="5", SKUTaxClassID=2)]
    summary = {"VAT 20%": "3.00", "VAT 5%": "0.50"}
    row = money("28.50", "3.50", "5.00", summary=summary)
    assert lines(order(row, items=items, shipping=bare), None, *TAXED)[2] == ("OUTPUT2", None)
    ruled = store({"shipping_tax_class": "VAT 20%"})
    assert lines(order(row, items=items, shipping=bare | {"ShippingOptionTaxClassID": None}), ruled, *TAXED)[2] == (
        "OUTPUT2",
        None,
    )
    assert lines(order(row, items=items, shipping=bare | {"ShippingOptionTaxClassID": 9}), None, *TAXED)[2] == (
        "OUTPUT2",
        None,
    )
    untaxed = money("27.50", "2.50", "5.00", summary={"VAT 20%": "2.00", "VAT 5%": "0.50"})
    free = order(untaxed, items=items, shipping=bare | {"ShippingOptionTaxClassID": 9})
    assert lines(free, None, *TAXED)[2] == ("ZERORATEDOUTPUT", None)


def test_rates_that_nobody_sent_are_the_ones_by_which_the_tax_comes_out() -> None:
    unsent = [item("A", "10.00", rate=None), item("B", "30.00", rate=None)]
    assert lines(order(money("48.00", "8.00"), items=unsent, shipping=None), None, *TAXED) == [("OUTPUT2", None)] * 2
    no_class = [item("A", "10.00", tax_class=None, rate=None), item("B", "30.00", tax_class=None, rate=None)]
    plain = order(money("48.00", "8.00"), items=no_class, shipping=None)
    assert lines(plain, None, *TAXED) == [("OUTPUT2", None)] * 2
    odd = refusal(order(money("45.00", "5.00"), items=unsent, shipping=None))
    assert odd.code == "tax_rate_unknown"
    assert "12.50 %" in odd.message


def test_xperience_has_no_summary_and_migrations_no_rates() -> None:
    unsent = [item("A", "10.00", rate="0"), item("B", "30.00", rate="0")]
    row = money("48.00", "8.00", summary={})
    made = order(row, items=unsent, shipping=None, dialect="XBYK", currency=None)
    by = store({"paid": {"statuses": ["PaymentReceived"]}, "currency": "GBP"})
    assert lines(made, by, *TAXED) == [("OUTPUT2", None)] * 2


RULES = [
    {"rate": 0, "country": ["DE", "FR"], "with_tax_id": True, "tax_type": "EXEMPTOUTPUT"},
    {"rate": 0, "not_country": "GB", "tax_type": "EXPORT"},
    {"class": "VAT 20%", "rate": 20, "to": "2026-10-31", "tax_type": "OLD20"},
    {"class": "VAT 20%", "rate": 20, "from": "2026-11-01", "tax_type": "OUTPUT2"},
]


@pytest.mark.parametrize(
    ("rate", "country", "tax_id", "tax_type"),
    [
        ("20", "GB", None, "OUTPUT2"),
        ("0", "DE", "DE1", "EXEMPTOUTPUT"),
        ("0", "DE", None, "EXPORT"),
        ("0", "US", "1", "EXPORT"),
        ("0", "GB", None, "ZERORATEDOUTPUT"),
        ("0", None, None, "ZERORATEDOUTPUT"),
    ],
)
def test_rules_by_class_rate_country_tax_id_and_date(
    rate: str, country: str | None, tax_id: str | None, tax_type: str
) -> None:
    tax = "2.00" if rate == "20" else "0"
    made = order(
        money(str(10 + Decimal(tax)), tax),
        items=[item("A", "10.00", rate=rate)],
        shipping=None,
        addresses=[address(2, "NZ"), address(1, country)],
        customer=CUSTOMER | {"CustomerTaxRegistrationID": tax_id},
    )
    assert lines(made, store({"tax": RULES}), *TAXED) == [(tax_type, None)]
    if country == "DE":
        by_shipping = store({"tax": RULES, "tax_address": "shipping"})
        assert lines(made, by_shipping, *TAXED) == [("EXPORT", None)]


def test_without_a_rule_the_items_then_the_accounts_type_of_that_rate() -> None:
    made = order(money("12.00", "2.00"), items=[item("A", "10.00", sku="A")], shipping=None)
    assert lines(made, store({"tax": []}), *TAXED) == [("OUTPUT2", None)]
    five = order(
        money("10.50", "0.50", summary={"VAT 5%": "0.50"}),
        items=[item("A", "10.00", sku="A", tax_class="VAT 5%", rate="5")],
        shipping=None,
    )
    with_item = store({"tax": []}, of=reference({"A": {"SalesTaxType": "RROUTPUT"}}))
    assert lines(five, with_item, *TAXED) == [("RROUTPUT", None)]
    reason = refusal(five, store({"tax": []}, of=reference({"A": {"SalesTaxType": "TAX007"}})))
    assert reason.code == "tax_type_missing"
    assert all(word in reason.message for word in ("'VAT 5%'", "5 %", "TAX007 has 7 %", "OUTPUT2 has 20 %"))
    assert "RROUTPUT" in reason.hint


def test_an_odd_rate_fits_no_type() -> None:
    odd = item("Machine", "80.00", tax_class="Special 12.5%", rate="12.5")
    reason = refusal(order(money("90.00", "10.00", summary={"Special 12.5%": "10.00"}), items=[odd], shipping=None))
    assert reason.code == "tax_type_missing"
    assert "12.5 %" in reason.message
    assert "create one in Xero" in reason.hint


def test_zero_tax_is_a_persons_choice() -> None:
    made = order(money("10.00"), items=[item("A", "10.00", sku="A", rate="0")], shipping=None)
    reason = refusal(made, store({"zero_tax": None}, of=reference({"A": {"SalesTaxType": "EXEMPTOUTPUT"}})))
    assert reason.code == "zero_tax_missing"
    assert "EXEMPTOUTPUT" in reason.hint
    assert refusal(made, store({"zero_tax": "OUTPUT2"})).code == "zero_tax_missing"


def test_a_rule_whose_type_has_another_rate_in_xero_is_refused() -> None:
    rule: list[dict[str, Any]] = [{"class": "VAT 20%", "rate": 20, "tax_type": "RROUTPUT"}]
    reason = refusal(order(), store({"tax": rule}))
    assert reason.code == "tax_rule_wrong_rate"
    assert "stores.emea/Goat.tax[0]" in reason.message
    openly = store({"tax": [{"class": "VAT 20%", "tax_type": "RROUTPUT"}, {"class": "VAT 20%", "tax_type": "OUTPUT2"}]})
    assert lines(order(), openly, *TAXED) == [("OUTPUT2", None)] * 3


def test_tax_on_nothing_cannot_be_placed() -> None:
    made = order(money("0.01", "0.01"), items=[item("Free", "0.00")], shipping=None, prices_include_tax=False)
    assert refusal(made).code == "tax_disagrees"


def test_tolerance_is_half_a_unit_a_line_plus_one() -> None:
    class Cents:
        unit = Decimal("0.01")

    assert tolerance(Cents(), 3) == Decimal("0.025")  # type: ignore[arg-type]
