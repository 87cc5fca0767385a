"""Every kind of order adds up as Kentico's does, checked by arithmetic of the test's own from the rows alone."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import defusedxml.ElementTree as ElementTree
import pytest

from connectors.kentico.sandbox.catalogue import Catalogue, Site, catalogue
from connectors.kentico.sandbox.checkout import generate, new_buyer, place
from connectors.kentico.sandbox.places import person
from connectors.kentico.sandbox.pricing import total_up
from connectors.kentico.sandbox.rows import Counter, OrderRows, seeded, stamp
from connectors.kentico.sandbox.scenarios import DEFAULT_MIX, HELD, MUST_FAIL, SCENARIOS, SITE_SHARES, schedule

MOMENT = datetime(2026, 11, 2, 10, 15, 30, 123456, tzinfo=UTC)
PLACES = [
    (kind, *place) for kind in SCENARIOS for place in SITE_SHARES if place[1] in (SCENARIOS[kind].sites or {place[1]})
]


def pairs(xml: str) -> list[tuple[str, Decimal]]:
    root = ElementTree.fromstring(xml)
    assert root.tag == "Summary"
    return [(item.findtext("Name") or "", Decimal(item.findtext("Value") or "x")) for item in root]


def cents(amount: Fraction) -> Decimal:
    exact = Decimal(amount.numerator) / Decimal(amount.denominator)
    return exact.quantize(Decimal("0.01"), ROUND_HALF_UP)


def expected_tax(rows: OrderRows, site: Site, shop: Catalogue) -> dict[str, Decimal]:
    """Tax per class from the table rows: items of a class together, shipping by itself, merged by display name."""
    billing = next(row for row in rows.addresses if row["AddressType"] == 1)
    skus = {row["SKUID"]: row for row in shop.rows["ecommerce.sku"]}
    departments = {row["DepartmentID"]: row["DepartmentDefaultTaxClassID"] for row in shop.rows["ecommerce.department"]}
    classes = {row["TaxClassID"]: row for row in shop.rows["ecommerce.taxclass"]}
    by_class: dict[int, Fraction] = {}
    for item in rows.items:
        sku = skus[item["OrderItemSKUID"]]
        tax_class = sku["SKUTaxClassID"] or departments[sku["SKUDepartmentID"]]
        by_class[tax_class] = by_class.get(tax_class, Fraction(0)) + Fraction(item["OrderItemTotalPrice"])
    subtotal = sum(by_class.values(), Fraction(0))
    discount = Fraction(sum((value for _, value in pairs(rows.order["OrderDiscounts"])), Decimal(0)))
    parts = [(cls, base - (base * discount / subtotal if subtotal else 0)) for cls, base in by_class.items()]
    if rows.order["OrderShippingOptionID"] is not None:
        option = shop.find("ecommerce.shippingoption", rows.order["OrderShippingOptionID"])
        parts.append((option["ShippingOptionTaxClassID"], Fraction(rows.order["OrderTotalShipping"])))
    tax: dict[str, Decimal] = {}
    for cls, base in parts:
        rate = Fraction(0)
        for row in shop.rows["ecommerce.taxclasscountry"]:
            if (row["TaxClassID"], row["CountryID"]) == (cls, billing["AddressCountryID"]):
                rate = Fraction(row["TaxValue"])
        for row in shop.rows["ecommerce.taxclassstate"]:
            if (row["TaxClassID"], row["StateID"]) == (cls, billing["AddressStateID"]):
                rate = Fraction(row["TaxValue"])
        if classes[cls]["TaxClassZeroIfIDSupplied"] and rows.customer["CustomerTaxRegistrationID"]:
            rate = Fraction(0)
        amount = cents(base * rate / (100 + rate) if site.inclusive else base * rate / 100)
        name = classes[cls]["TaxClassDisplayName"]
        tax[name] = tax.get(name, Decimal(0)) + amount
    return {name: value for name, value in tax.items() if value}


@pytest.mark.parametrize(("kind", "instance", "site_name"), PLACES)
def test_every_scenario_adds_up(kind: str, instance: str, site_name: str) -> None:
    shop = catalogue(instance)
    site = shop.sites[site_name]
    for number in range(6):
        rng = seeded("money", kind, site_name, number)
        basket = SCENARIOS[kind].build(site, rng)
        ids = Counter()
        who = person(rng, basket.wish, basket.country or site.country)
        buyer = new_buyer(basket, site, who, ids, stamp(MOMENT, shop.zone), rng)
        rows, _ = place(basket, site, shop, buyer, ids, MOMENT, rng)
        order = rows.order
        wrong_by = Decimal("3.00") if kind == "unbalanced" else Decimal(0)
        for item in rows.items:
            discount = sum((value for _, value in pairs(item["OrderItemDiscountSummary"])), Decimal(0))
            assert item["OrderItemUnitPrice"] * item["OrderItemUnitCount"] - discount == item["OrderItemTotalPrice"]
        tax = pairs(order["OrderTaxSummary"])
        assert dict(tax) == expected_tax(rows, site, shop)
        assert sum((value for _, value in tax), Decimal(0)) == order["OrderTotalTax"]
        goods = sum((item["OrderItemTotalPrice"] for item in rows.items), Decimal(0))
        goods -= sum((value for _, value in pairs(order["OrderDiscounts"])), Decimal(0))
        added = Decimal(0) if site.inclusive else order["OrderTotalTax"]
        assert goods + order["OrderTotalShipping"] + added + wrong_by == order["OrderTotalPrice"]
        tenders = sum((value for _, value in pairs(order["OrderOtherPayments"])), Decimal(0))
        assert order["OrderTotalPrice"] - tenders == order["OrderGrandTotal"] >= 0
        assert order["OrderTotalPrice"] == order["OrderTotalPrice"].quantize(Decimal("0.01"))
        if order["OrderCurrencyID"] == site.main.id:
            assert order["OrderTotalPriceInMainCurrency"] == order["OrderTotalPrice"]


LINES = [(1, Decimal("59.80")), (1, Decimal("8.90"))]


@pytest.mark.parametrize(("inclusive", "total", "tax"), [(False, "94.44", "15.74"), (True, "78.70", "13.12")])
def test_documented_example_order(inclusive: bool, total: str, tax: str) -> None:
    currency = catalogue("emea").sites["GoatUK"].main
    totals = total_up(
        LINES, Decimal(0), (1, Decimal("10.00")), [("Gift card 50", Decimal(50))], inclusive=inclusive,
        currency=currency,
        rate=lambda _: Decimal(20), class_name=lambda _: "VAT 20%",
    )  # fmt: skip
    assert (totals.total_price, totals.tax) == (Decimal(total), Decimal(tax))
    assert totals.tax_summary == (("VAT 20%", Decimal(tax)),)
    assert totals.grand_total == Decimal(total) - 50


def test_unit_discount_rounds_half_away_as_the_public_order_of_2021() -> None:
    currency = catalogue("emea").sites["GoatUK"].main
    assert currency.round(Decimal("1.65") * 50 / 100) == Decimal("0.83")


def test_bundle_members_cost_nothing_and_point_to_their_bundle() -> None:
    shop = catalogue("emea")
    site, rng = shop.sites["GoatUK"], seeded("bundle")
    basket, ids = SCENARIOS["bundle"].build(site, rng), Counter()
    buyer = new_buyer(basket, site, person(rng, "any", site.country), ids, stamp(MOMENT, shop.zone), rng)
    items = place(basket, site, shop, buyer, ids, MOMENT, rng)[0].items
    members = [item for item in items if item["OrderItemBundleGUID"]]
    assert len(members) == 3
    assert {item["OrderItemBundleGUID"] for item in members} == {items[0]["OrderItemGuid"]}
    assert all(item["OrderItemTotalPrice"] == 0 for item in members)


def test_rounding_orders_differ_between_line_and_class() -> None:
    differing = 0
    for number in range(20):
        shop = catalogue("apac")
        site, rng = shop.sites["GoatAU"], seeded("rounding", number)
        lines = SCENARIOS["rounding"].build(site, rng).lines
        totals = [line.sku.price * line.quantity for line in lines]
        per_line = sum((site.main.round(total / 10) for total in totals), Decimal(0))
        differing += per_line != site.main.round(sum(totals, Decimal(0)) / 10)
    assert differing >= 18


def test_schedule_of_300_holds_a_handful_that_must_fail() -> None:
    kinds = schedule(300, seeded(1))
    assert len(kinds) == 300
    assert all(kinds.count(kind) == 2 for kind in (*MUST_FAIL, HELD))
    assert set(DEFAULT_MIX) <= set(kinds)
    assert not set(schedule(300, seeded(1), must_fail=False)) & {*MUST_FAIL, HELD}
    assert kinds == schedule(300, seeded(1))


def test_bulk_orders_are_whole_repeatable_and_from_as_many_customers_as_asked() -> None:
    events = list(generate(7, 60, new_customers=20))
    assert events == list(generate(7, 60, new_customers=20))
    assert len({event["data"]["customer"]["CustomerID"] for event in events}) == 20
    assert len({event["objectId"] for event in events}) == 60
    data = events[0]["data"]
    assert len(data["items"]) == 3
    assert data["order"]["OrderIsPaid"] is True
    assert isinstance(data["order"]["OrderTotalPrice"], str)
    assert "OrderInvoice" not in data["order"]
    assert {"SKUNumber", "SKUTaxClassID", "TaxClassDisplayName", "TaxRate"} <= set(data["items"][0])
    assert data["addresses"][0]["CountryTwoLetterCode"] == "GB"
    assert len(data["statusHistory"]) == 2


def test_full_joins_add_the_shipping_rate_and_the_main_currency() -> None:
    (plain,), (full,) = generate(1, 1), generate(1, 1, full_joins=True)
    assert full["data"]["currency"]["MainCurrencyCode"] == "GBP"
    assert full["data"]["shippingOption"]["TaxRate"] == "20"
    assert "TaxRate" not in plain["data"]["shippingOption"]
