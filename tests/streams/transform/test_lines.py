"""BOOKKEEPING §2: items, options, bundles, discounts, shipping, rounding; §3: items and accounts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from streams.transform.revenue import item_code
from streams.workflow import run
from tests.streams.transform.example import (
    FILTERS,
    NOW,
    PLUNGER,
    SHIPPING,
    invoice,
    item,
    lines,
    money,
    named,
    order,
    reference,
    refusal,
    sale,
    store,
)

PARENT, CHILD, OTHER = (f"{n}0000000-0000-4000-8000-000000000000" for n in "123")
AMOUNTS = ("Description", "Quantity", "UnitAmount", "DiscountAmount")


def flat(total: str, items: list[dict[str, Any]], **row: Any) -> Any:
    """An order without tax and shipping."""
    return order(money(total, "0", **row), items=[one | {"TaxRate": Decimal(0)} for one in items], shipping=None)


def test_discounts_of_line_and_order_are_one_amount_a_line() -> None:
    items = [item("A", "10.00", 3, off="10.00"), item("B", "33.33"), item("C", "0.01")]
    made = flat("48.01", items, OrderDiscounts=named(Ten_percent="5.33"))
    assert lines(made, None, *AMOUNTS) == [("A", 3, 10, 12), ("B", 1, 33.33, 3.33), ("C", 1, 0.01, None)]
    assert sale(made)["total"] == "48.01"


def test_a_free_order_is_posted_at_nothing_and_needs_no_payment() -> None:
    made = flat("0", [item("Prize", "5.00")], OrderDiscounts=named(Prize_draw="5.00"))
    assert lines(made, None, *AMOUNTS) == [("Prize", 1, 5, 5)]
    assert sale(made)["payments"] == []


def test_discounts_above_the_items_are_refused() -> None:
    assert refusal(flat("0", [item("A", "5.00")], OrderDiscounts=named(Odd="6.00"))).code == "discounts_exceed_items"


def test_unit_discounts_are_in_the_price_already() -> None:
    seed = item("Seed", "0.82", OrderItemProductDiscounts=named(User_discount="0.83"))
    made = order(
        money("2.42", "0", "1.60"), items=[seed | {"TaxRate": Decimal(0)}], shipping=SHIPPING | {"TaxRate": None}
    )
    assert lines(made, None, "UnitAmount", "DiscountAmount", "TaxType") == [
        (0.82, None, "ZERORATEDOUTPUT"),
        (1.6, None, "ZERORATEDOUTPUT"),
    ]


def test_options_are_named_or_lines_by_their_price() -> None:
    items = [
        item("Grinder", "50.00", 2, OrderItemGuid=PARENT),
        item("Gift wrap", "2.50", 2, OrderItemParentGuid=PARENT, OrderItemGuid=CHILD),
        item("Engraving", "0.00", 2, OrderItemParentGuid=PARENT, OrderItemText="For Jo"),
    ]
    assert lines(flat("105.00", items), None, *AMOUNTS) == [
        ("Grinder\n+ 2 × Engraving: For Jo", 2, 50, None),
        ("Gift wrap", 2, 2.5, None),
    ]


def test_bundle_members_are_lines_only_if_their_price_is_in_the_sum() -> None:
    def bundle(price: str, member: str) -> list[dict[str, Any]]:
        return [
            item("Starter", price, OrderItemGuid=PARENT),
            item("Cup", member, 2, OrderItemBundleGUID=PARENT, OrderItemGuid=OTHER),
            item("Blue", "0", 2, OrderItemParentGuid=OTHER),
        ]

    free = ("Starter\n+ 2 × Cup\n+ 2 × Blue", 1, 64.9, None)
    assert lines(flat("64.90", bundle("64.90", "0")), None, *AMOUNTS) == [free]
    assert lines(flat("64.90", bundle("64.90", "13.35")), None, *AMOUNTS) == [free]
    assert lines(flat("91.60", bundle("64.90", "13.35")), None, *AMOUNTS) == [
        ("Starter", 1, 64.9, None),
        ("Cup\n+ 2 × Blue", 2, 13.35, None),
    ]


def test_a_child_without_its_parent_and_a_circle_stand_for_themselves() -> None:
    lost = [item("A", "5.00"), item("Lost", "0", OrderItemParentGuid=CHILD)]
    assert [one[0] for one in lines(flat("5.00", lost), None, "Description")] == ["A", "Lost"]
    circle = [
        item("X", "0", OrderItemGuid=PARENT, OrderItemParentGuid=CHILD),
        item("Y", "0", OrderItemGuid=CHILD, OrderItemParentGuid=PARENT),
        item("A", "5.00"),
    ]
    assert sorted(one[0] for one in lines(flat("5.00", circle), None, "Description")) == ["A", "X", "Y"]


def test_more_than_four_decimals_keep_the_lines_total() -> None:
    made = flat("1.00", [item("Bean", "0.333333333", 3, total="1.00")])
    assert lines(made, None, *AMOUNTS) == [("3 × Bean", 1, 1, None)]
    four = flat("1.00", [item("Bean", "0.3333", 3, total="1.00")])
    assert lines(four, None, *AMOUNTS) == [("Bean", 3, 0.3333, None)]


def test_the_lines_total_wins_over_price_and_discounts() -> None:
    made = flat("25.00", [item("Odd", "10.00", 3, total="25.00")])
    assert lines(made, None, *AMOUNTS) == [("Odd", 3, 10, 5)]
    assert any("OrderItemTotalPrice 25" in finding for finding in run(made, store(), NOW).findings)
    dearer = flat("35.00", [item("Odd", "10.00", 3, total="35.00")])
    assert lines(dearer, None, *AMOUNTS) == [("3 × Odd", 1, 35, None)]


def test_descriptions_are_cut_and_cleaned_with_a_finding() -> None:
    made = flat("5.00", [item("x" * 5000, "5.00")])
    assert len(invoice(made)["LineItems"][0]["Description"]) == 4000
    assert any("cut to 4000" in finding for finding in run(made, store(), NOW).findings)
    dirty = flat("5.00", [item("a\x00b\tc", "5.00")])
    assert invoice(dirty)["LineItems"][0]["Description"] == "a b c"
    assert invoice(flat("5.00", [item("", "5.00", sku=None)]))["LineItems"][0]["Description"] == "SKU 94"


@pytest.mark.parametrize(
    ("off", "count", "limit", "decimals", "posted"),
    [
        ("0.05", 2, 50, 2, True),
        ("-0.05", 2, 50, 2, True),
        ("0.06", 2, 50, 2, False),
        ("0.06", 6, 50, 2, True),
        ("0.06", 6, 5, 2, False),
        ("0.50", 60, 50, 2, True),
        ("0.51", 60, 50, 2, False),
        ("5", 9, 50, 0, True),
        ("6", 9, 50, 0, False),
    ],
)
def test_rounding_line_and_its_limits(off: str, count: int, limit: int, decimals: int, posted: bool) -> None:
    currency = {"CurrencyCode": "GBP", "CurrencyRoundTo": decimals, "CurrencyIsMain": True, "main_currency_code": "GBP"}
    items = [item(f"I{n}", "100") | {"TaxRate": Decimal(0)} for n in range(count)]
    made = order(money(str(100 * count + Decimal(off))), items=items, shipping=None, currency=currency)
    by = store({"rounding_limit": limit})
    if posted:
        last = lines(made, by, "Description", "UnitAmount", "AccountCode", "TaxType")[-1]
        assert last == ("Rounding", float(off), "260", "NONE")
    else:
        reason = refusal(made, by)
        assert reason.code == "unbalanced"
        assert f"{100 * count:.2f} GBP" in reason.message


def test_unbalanced_says_when_the_other_tax_mode_would_fit() -> None:
    wrong = order(prices_include_tax=True, row=None)
    reason = refusal(wrong)
    assert reason.code in ("unbalanced", "tax_disagrees")
    assert "prices_include_tax" in reason.hint


def test_item_code_is_the_sku_or_its_beginning_and_a_hash() -> None:
    long = "CO-KEN-GAKUYUNI-AA-SINGLE-ESTATE-16-oz"
    code = item_code(long)
    assert item_code("HAR-V60-Ceramic-Brown-2-cups-x") == "HAR-V60-Ceramic-Brown-2-cups-x"
    assert (len(code), code[:22]) == (30, "CO-KEN-GAKUYUNI-AA-SI-")
    assert item_code(long + "x") != code


def test_items_that_xero_has_are_named() -> None:
    code = item_code("CO-KEN-GAKUYUNI-AA-SINGLE-ESTATE-16-oz")
    by = store(of=reference({"COF-PLNG": {}, code: {}}))
    items = [
        PLUNGER,
        FILTERS,
        item("Long", "1.00", sku="CO-KEN-GAKUYUNI-AA-SINGLE-ESTATE-16-oz"),
        item("None", "1.00", sku=None),
    ]
    made = flat("70.70", [one | {"SKUDepartmentName": None} for one in items])
    assert [one[0] for one in lines(made, by, "ItemCode")] == ["COF-PLNG", None, code, None]
    assert sale(made, by)["items"] == ["COF-PLNG", code]


def test_a_shared_number_names_no_item_but_keeps_its_account() -> None:
    by = store(of=reference({"CUP": {"SalesAccountCode": "201"}}))
    made = flat("5.00", [item("Cup", "5.00", sku="CUP", sku_number_shared=True)])
    assert lines(made, by, "ItemCode", "AccountCode") == [(None, "201")]
    assert any("several SKUs" in finding for finding in run(made, by, NOW).findings)


def test_unknown_items_by_rule() -> None:
    made = flat("5.00", [item("Cup", "5.00", sku="CUP"), item("Cup", "0.00", sku="CUP")])
    assert lines(made, None, "ItemCode") == [(None,), (None,)]
    assert refusal(made, store({"unknown_item": "refuse"})).code == "item_unknown"
    outcome = run(made, store({"unknown_item": "create_untracked"}), NOW)
    assert [(one["kind"], one["key"]) for one in outcome.items] == [("ITEM", "CUP")]
    body: Any = outcome.items[0]["body"]
    assert body["document"] == '{"Code":"CUP","Name":"Cup","Description":"Cup","IsSold":true}'
    assert not body["only_if_known"]


def test_account_by_sku_department_class_item_default() -> None:
    accounts = {
        "sku": {"GIFT": "201", "GIFT-*": "210"},
        "department": {"Books": "201"},
        "tax_class": {"vat 20%": "210"},
    }
    by = store({"accounts": accounts}, of=reference({"X": {"SalesAccountCode": "201"}}))

    def account(sku: str | None, department: str | None, tax_class: str | None) -> str:
        one = item("A", "5.00", sku=sku, tax_class=tax_class, SKUDepartmentName=department)
        return str(lines(flat("5.00", [one]), by, "AccountCode")[0][0])

    assert account("GIFT", "Books", "VAT 20%") == "201"
    assert account("GIFT-9", "Books", "VAT 20%") == "210"
    assert account("A", "Books", "VAT 20%") == "201"
    assert account("X", None, "VAT 20%") == "210"
    assert account("X", None, None) == "201"
    assert account("A", "Toys", None) == "200"


def test_without_any_account_all_three_places_are_named() -> None:
    reason = refusal(
        flat("5.00", [item("A", "5.00", sku="AB", SKUDepartmentName="Toys")]), store({"accounts": {"default": None}})
    )
    assert reason.code == "account_missing"
    assert all(word in reason.message for word in ("'AB'", "'Toys'", "'VAT 20%'", "default"))
    assert 'stores.emea/Goat.accounts.default (or .sku."AB")' in reason.hint
    assert refusal(order(), store({"shipping_account": None})).code == "shipping_account_missing"
