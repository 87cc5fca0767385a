"""BOOKKEEPING §9: the same money."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.streams.transform.example import (
    AT,
    CUSTOMER,
    FILTERS,
    INCLUSIVE,
    PLUNGER,
    RESULT,
    SHIPPING,
    address,
    item,
    money,
    named,
    order,
    sale,
    store,
)

FIRST = sale(order())["money_hash"]


@pytest.mark.parametrize(
    "same",
    [
        order({"OrderNote": "ring the bell", "OrderLastModified": AT + timedelta(days=7)}),
        order(items=[FILTERS, PLUNGER]),
        order(items=[PLUNGER | {"OrderItemID": 99, "OrderItemText": "For Jo"}, FILTERS]),
        order(customer=CUSTOMER | {"CustomerLastName": "Other"}, addresses=[address(2)]),
        order(payment_result=RESULT | {"transaction_id": "PAY-2", "date": AT + timedelta(days=3)}),
        order(shipping=SHIPPING | {"ShippingOptionDisplayName": "Express"}),
        order(items=[item("Coffee Plunger", "59.80"), FILTERS]),
    ],
)
def test_same_money(same: Any) -> None:
    assert sale(same)["money_hash"] == FIRST


@pytest.mark.parametrize(
    ("other", "rules"),
    [
        (order(items=[item("Coffee Plunger", "29.90", 2, sku="X"), FILTERS]), {"accounts": {"sku": {"X": "201"}}}),
        (order(INCLUSIVE), {}),
        (order(money("94.44", "15.74", "10", gifts="5", OrderOtherPayments=named(Gift="5"))), {}),
        (order(money("94.45", "15.74", "10")), {}),
        (order(money("94.43", "15.73", "10")), {}),
        (order({"OrderGrandTotal": Decimal("94.44")}, items=[item("A", "58.70"), item("B", "10.00")]), {}),
    ],
)
def test_other_money(other: Any, rules: dict[str, Any]) -> None:
    assert sale(other, store(rules))["money_hash"] != FIRST


def test_other_currency_is_other_money() -> None:
    usd = {"CurrencyCode": "USD", "CurrencyRoundTo": 2, "CurrencyIsMain": False, "main_currency_code": "GBP"}
    assert sale(order(currency=usd))["money_hash"] != FIRST
