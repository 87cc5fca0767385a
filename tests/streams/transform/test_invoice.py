"""BOOKKEEPING §2: the invoice's head."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from streams.workflow import run
from tests.streams.transform.example import (
    FILTERS,
    INCLUSIVE,
    NOW,
    invoice,
    item,
    lines,
    money,
    order,
    reference,
    refusal,
    sale,
    store,
)

USD = {"CurrencyCode": "USD", "CurrencyRoundTo": 2, "CurrencyIsMain": False, "main_currency_code": "GBP"}
JPY = USD | {"CurrencyCode": "JPY", "CurrencyRoundTo": 0}


def test_the_example_order_exclusive_and_inclusive() -> None:
    made = sale(order())
    assert (made["total"], made["total_tax"], made["currency"], made["date"]) == ("94.44", "15.74", "GBP", "2026-11-02")
    document = invoice(order())
    head = {key: document[key] for key in document if key != "LineItems"}
    assert head == {
        "Type": "ACCREC",
        "Status": "AUTHORISED",
        "Reference": "28",
        "Date": "2026-11-02",
        "DueDate": "2026-11-02",
        "CurrencyCode": "GBP",
        "LineAmountTypes": "Exclusive",
    }
    inclusive = sale(order(INCLUSIVE))
    assert (inclusive["total"], inclusive["total_tax"]) == ("78.70", "13.12")
    assert invoice(order(INCLUSIVE))["LineAmountTypes"] == "Inclusive"


def test_numbers_are_json_numbers_with_every_digit() -> None:
    text = sale(order(money("0.37", "0.06"), items=[item("Bean", "0.1037", 3)], prices_include_tax=False))["invoice"]
    assert '"UnitAmount":0.1037' in text
    assert '"Quantity":3,' in text


def test_the_date_is_the_stores_day() -> None:
    late = order({"OrderDate": datetime(2026, 11, 1, 23, 30, tzinfo=UTC)})
    assert sale(late)["date"] == "2026-11-01"
    assert sale(late, store({"time_zone": "Europe/Berlin"}))["date"] == "2026-11-02"
    assert sale(late, store(of=reference(Timezone="AUSEASTERNSTANDARDTIME")))["date"] == "2026-11-02"
    assert invoice(late, store({"due_days": 14}))["DueDate"] == "2026-11-15"


def test_number_and_reference_by_rule() -> None:
    assert sale(order({"OrderInvoiceNumber": "R-7"}), store({"number_from": "OrderInvoiceNumber"}))["number"] == "S-R-7"
    for number, code in (
        (None, "invoice_number_missing"),
        ("a b", "invoice_number_unusable"),
        ("1/2", "invoice_number_unusable"),
    ):
        reason = refusal(order({"OrderInvoiceNumber": number}), store({"number_from": "OrderInvoiceNumber"}))
        assert reason.code == code
    po = store({"reference_from": "OrderPONumber"})
    assert invoice(order({"custom": {"OrderPONumber": " PO  77 "}}), po)["Reference"] == "PO 77"
    assert invoice(order(), po)["Reference"] == "28"
    assert len(invoice(order({"custom": {"OrderPONumber": "x" * 300}}), po)["Reference"]) == 255


def test_currency_rate_is_foreign_per_base_from_the_orders_totals() -> None:
    foreign = order({"OrderTotalPriceInMainCurrency": Decimal("74.36")}, currency=USD)
    assert invoice(foreign)["CurrencyRate"] == pytest.approx(1.270038)
    assert '"CurrencyRate":1.270038,' in sale(foreign)["invoice"]
    assert "CurrencyRate" not in invoice(order())


@pytest.mark.parametrize(
    ("row", "currency", "rule", "rate"),
    [
        ({}, USD | {"main_currency_code": "EUR"}, {}, None),  # the site's main currency is not the books'
        ({"OrderTotalPriceInMainCurrency": None}, USD, {}, None),
        ({"OrderTotalPriceInMainCurrency": Decimal(0)}, USD, {"table": {"USD": "1.3"}}, 1.3),
        ({"OrderTotalPriceInMainCurrency": Decimal("74.36")}, USD, {"source": "table", "table": {"USD": "1.3"}}, 1.3),
        ({"OrderTotalPriceInMainCurrency": Decimal("74.36")}, USD, {"source": "xero"}, None),
    ],
)
def test_other_sources_of_the_rate(
    row: dict[str, Any], currency: Any, rule: dict[str, Any], rate: float | None
) -> None:
    made, by = order(row, currency=currency), store({"currency_rate": rule})
    assert invoice(made, by).get("CurrencyRate") == rate
    noticed = any("rate of USD" in finding for finding in run(made, by, NOW).findings)
    assert noticed == (rate is None and rule.get("source") != "xero")


def test_items_whose_amounts_in_the_main_currency_contradict_the_orders_rate() -> None:
    totals = {"OrderTotalPriceInMainCurrency": Decimal("74.36")}  # 94.44 / 1.27
    for main, taken in (("47.09", True), ("47.087", True), ("59.80", False), (None, True)):
        plunger = item("Coffee Plunger", "29.90", 2) | {"OrderItemTotalPriceInMainCurrency": main and Decimal(main)}
        made = order(totals, currency=USD, items=[plunger, FILTERS])
        assert ("CurrencyRate" in invoice(made)) is taken, main
        noticed = any("of Coffee Plunger is 59.8" in one for one in run(made, store(), NOW).findings)
        assert noticed is not taken


def test_yen_have_no_decimals_and_tax_is_sent_where_xero_would_find_fractions() -> None:
    coffee = item("Coffee", "1005", tax_class="JP10", rate="10")
    made = order(money("1005", "91", summary={"JP10": "91"}), items=[coffee], currency=JPY, shipping=None)
    by = store({"tax": [{"class": "JP10", "rate": 10, "tax_type": "TEN"}], "currency_rate": {"source": "xero"}})
    assert lines(made, by, "UnitAmount", "TaxType", "TaxAmount") == [(1005, "TEN", 91)]
    assert sale(made, by)["total"] == "1005.00"


def test_a_currency_must_be_known() -> None:
    assert refusal(order({"OrderCurrencyID": None}, currency=None)).code == "currency_missing"
    assert sale(order({"OrderCurrencyID": None}, currency=None), store({"currency": "GBP"}))["currency"] == "GBP"
    lost = refusal(order(currency=None), store({"currency": "GBP"}))
    assert lost.code == "currency_unknown", "a currency that Kentico has lost is not the store's"
    assert "OrderCurrencyID is 1" in lost.message
    other = refusal(order(currency=USD | {"CurrencyCode": "CHF"}), store({"payments": {"Card:CHF": "090"}}))
    assert other.code == "currency_not_enabled"
    assert "EUR, GBP, JPY, USD" in other.message


def test_tracking_is_on_every_line_but_the_rounding() -> None:
    by = store({"tracking": {"Channel": "Web"}})
    off = order(money("94.45", "15.74", "10"))
    found = lines(off, by, "Description", "Tracking")
    channel = [{"Name": "Channel", "Option": "Web"}]
    assert found == [
        ("Coffee Plunger", channel),
        ("AeroPress Filters", channel),
        ("Standard Delivery", channel),
        ("Rounding", None),
    ]
