"""BOOKKEEPING §6: payments."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from schemas.letters import ErrorClass
from tests.streams.transform.example import RESULT, money, named, order, reference, refusal, sale, store

USD = {"CurrencyCode": "USD", "CurrencyRoundTo": 2, "CurrencyIsMain": False, "main_currency_code": "GBP"}
GIFTS = money("94.44", "15.74", "10", gifts="32.50", OrderOtherPayments=named(Gift_card_20="20", Gift_card_12="12.50"))


def tenders(made: Any, by: Any = None, *keys: str) -> list[tuple[Any, ...]]:
    found: Any = sale(made, by)["payments"]
    return [tuple(one[key] for key in keys or ("ordinal", "account_code", "amount", "reference")) for one in found]


def test_the_gateways_payment() -> None:
    assert sale(order())["payments"] == [
        {
            "ordinal": 1,
            "account_code": "090",
            "account_id": "id-090",
            "amount": "94.44",
            "date": "2026-11-03",
            "currency_rate": None,
            "bank_amount": None,
            "reference": "PAY-1",
        }
    ]


def test_gift_cards_come_first_and_in_their_order() -> None:
    assert tenders(order(GIFTS)) == [
        (1, "822", "20.00", "Gift card 20"),
        (2, "822", "12.50", "Gift card 12"),
        (3, "090", "61.94", "PAY-1"),
    ]


def test_a_gift_card_that_covers_all_needs_no_payment_option() -> None:
    row = money("94.44", "15.74", "10", gifts="94.44", OrderOtherPayments=named(Nothing="0", Gift="94.44"))
    assert tenders(order(row, payment_option=None)) == [(1, "822", "94.44", "Gift")]


def test_the_grand_total_must_be_what_is_left() -> None:
    wrong = {"OrderGrandTotal": Decimal("94.44")}
    reason = refusal(order(GIFTS | wrong))
    assert reason.code == "grand_total_differs"
    assert "61.94 GBP" in reason.message
    assert tenders(order(GIFTS | {"OrderGrandTotal": Decimal("61.95")}))[2][2] == "61.94"
    more = money("94.44", "15.74", "10", gifts="95.44", OrderOtherPayments=named(Gift="95.44"))
    assert refusal(order(more)).code == "grand_total_differs"


def test_a_stores_own_account_comes_before_the_general_one() -> None:
    by = store({"payments": {"emea/Goat:Card:GBP": "855", "Card:GBP": "090"}})
    assert refusal(order(), by).code == "payment_account_unusable"
    by = store({"payments": {"emea/Goat:Card:GBP": "822", "Card:GBP": "090"}})
    assert tenders(order(), by)[0][1] == "822"
    assert tenders(order(), store({"payments": {"Card:GBP": "id-090"}}))[0][1] == "090"


def test_an_unmapped_option_names_both_keys_and_the_candidates() -> None:
    option = {"PaymentOptionID": 9, "PaymentOptionName": "CashOnDelivery", "PaymentOptionDisplayName": "Cash"}
    reason = refusal(order(payment_option=option))
    assert (reason.error_class, reason.code) == (ErrorClass.MAPPING, "payment_unmapped")
    assert "emea/Goat:CashOnDelivery:GBP and CashOnDelivery:GBP" in reason.message
    assert 'Add "CashOnDelivery:GBP" to stores.emea/Goat.payments' in reason.hint
    assert "090 Bank" in reason.hint
    assert "091" not in reason.hint  # a dollar account cannot take pounds
    assert refusal(order(payment_option=None)).code == "payment_option_missing"


@pytest.mark.parametrize(
    ("code", "problem"), [("999", "does not exist"), ("290", "archived"), ("200", "takes no payments")]
)
def test_an_account_that_cannot_take_payments(code: str, problem: str) -> None:
    reason = refusal(order(), store({"payments": {"Card:GBP": code}}))
    assert reason.code == "payment_account_unusable"
    assert problem in reason.message


def test_gift_cards_need_an_account() -> None:
    by = store()
    assert tenders(order(GIFTS), by)[0][1] == "822"
    bare = store(workflow=None)
    object.__setattr__(bare.rules, "gift_card_accounts", {})
    assert refusal(order(GIFTS), bare).code == "gift_card_unmapped"


def test_dates_result_then_history_then_observation_never_before_the_invoice() -> None:
    paid = [
        {"date": datetime(2026, 11, 4, tzinfo=UTC), "from_status": None, "to_status": "New", "to_is_paid": False},
        {"date": datetime(2026, 11, 5, tzinfo=UTC), "from_status": None, "to_status": "Paid", "to_is_paid": True},
        {"date": datetime(2026, 11, 6, tzinfo=UTC), "from_status": None, "to_status": "Sent", "to_is_paid": True},
    ]
    seen = datetime(2026, 11, 9, tzinfo=UTC)
    assert tenders(order(status_history=paid), None, "date") == [("2026-11-03",)]
    assert tenders(order(status_history=paid, payment_result=None), None, "date") == [("2026-11-05",)]
    failed = RESULT | {"failed": True}
    assert tenders(order(status_history=paid, payment_result=failed), None, "date") == [("2026-11-05",)]
    assert tenders(order(payment_result=None, observed_at=seen), None, "date") == [("2026-11-09",)]
    early = RESULT | {"date": datetime(2026, 10, 1, tzinfo=UTC)}
    assert tenders(order(payment_result=early), None, "date") == [("2026-11-02",)]
    late_evening = RESULT | {"date": datetime(2026, 11, 2, 23, 30, tzinfo=UTC)}
    assert tenders(order(payment_result=late_evening), store({"time_zone": "Europe/Berlin"}), "date") == [
        ("2026-11-03",)
    ]


def test_a_foreign_payment_has_the_invoices_rate_or_the_banks_amount() -> None:
    foreign = order(GIFTS | {"OrderTotalPriceInMainCurrency": Decimal("74.36")}, currency=USD)
    assert tenders(foreign, None, "account_code", "amount", "currency_rate", "bank_amount") == [
        ("822", "20.00", None, "15.75"),
        ("822", "12.50", None, "9.84"),
        ("091", "61.94", "1.270038", None),
    ]
    no_rate = store({"currency_rate": {"source": "xero"}})
    assert {one[2:] for one in tenders(foreign, no_rate, "ordinal", "amount", "currency_rate", "bank_amount")} == {
        (None, None)
    }


def test_an_account_in_a_third_currency_is_refused() -> None:
    reason = refusal(order(currency=USD), store({"payments": {"Card:USD": "092"}}))
    assert reason.code == "payment_account_currency"
    assert "USD" in reason.message
    assert "EUR" in reason.message


def test_long_references_are_cut_and_an_authorisation_stands_in() -> None:
    assert len(tenders(order(payment_result=RESULT | {"transaction_id": "x" * 300}))[0][3]) == 100
    assert tenders(order(payment_result=RESULT | {"transaction_id": None, "authorization_id": "A1"}))[0][3] == "A1"


def test_accounts_without_a_code_are_named_by_id() -> None:
    assert reference().account("id-090") is reference().account("id-090") or reference().account(
        "id-090"
    ) == reference().account("090")
