"""What Xero would refuse is found before it is sent; and every gate and check does what its step says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.letters import ErrorClass
from streams.rules.operators import OPERATORS
from streams.workflow import run
from tests.streams.transform.example import (
    DEFAULT,
    NOW,
    RESULT,
    invoice,
    item,
    money,
    order,
    reference,
    refusal,
    sale,
    store,
)


@pytest.mark.parametrize(
    ("account", "code"),
    [("999", "account_unknown"), ("290", "account_archived"), ("400", "account_class"), ("822", "account_class")],
)
def test_accounts(account: str, code: str) -> None:
    reason = refusal(order(), store({"accounts": {"default": account}}))
    assert (reason.error_class, reason.code) == (ErrorClass.MAPPING, code)
    assert account in reason.message
    assert "accounts.default" in reason.hint
    assert "200 Sales, 201 Books, 210 Shipping" in reason.hint


def test_a_liability_named_for_the_very_sku_is_a_voucher_sold() -> None:
    made = order(money("25.00"), items=[item("Voucher", "25.00", sku="VOUCHER", rate="0")], shipping=None)
    assert sale(made, store({"accounts": {"sku": {"VOUCHER": "822"}}}))["total"] == "25.00"
    debtors = store({"accounts": {"sku": {"VOUCHER": "610"}}})
    assert refusal(made, debtors).code == "account_class"


@pytest.mark.parametrize(
    ("tax_type", "code"),
    [("NEVER", "tax_type_unknown"), ("OLD20", "tax_type_unknown"), ("INPUT2", "tax_type_not_usable")],
)
def test_tax_types(tax_type: str, code: str) -> None:
    reason = refusal(order(), store({"tax": [{"class": "VAT 20%", "rate": 20, "tax_type": tax_type}]}))
    assert reason.code == code
    assert tax_type in reason.message
    assert "OUTPUT2 20 %" in reason.hint


@pytest.mark.parametrize("tracking", [{"Channel": "Old"}, {"Channel": "Shop"}, {"Region": "North"}])
def test_tracking(tracking: dict[str, str]) -> None:
    reason = refusal(order(), store({"tracking": tracking}))
    assert reason.code == "tracking_unknown"
    assert "Web" in reason.message or "Region" in reason.message


@pytest.mark.parametrize("which", ["PeriodLockDate", "EndOfYearLockDate"])
def test_a_closed_period_is_refused_or_left_behind(which: str) -> None:
    closed = reference(None, **{which: "2026-11-02"})
    reason = refusal(order(), store(of=closed))
    assert (reason.error_class, reason.code) == (ErrorClass.LOCKED_PERIOD, "locked_period")
    assert which in reason.message
    early = RESULT | {"date": datetime(2026, 11, 2, 12, tzinfo=UTC)}
    moved = store({"locked_period": "first_open_day", "due_days": 7}, of=closed)
    made = sale(order(payment_result=early), moved)
    assert (made["date"], made["payments"][0]["date"]) == ("2026-11-03", "2026-11-03")
    assert invoice(order(), moved)["DueDate"] == "2026-11-10"
    assert any("dated 2026-11-03 instead of 2026-11-02" in finding for finding in run(order(), moved, NOW).findings)
    assert sale(order(), store(of=reference(lock="2026-11-01")))["date"] == "2026-11-02"


def test_amounts_beyond_xeros_limit() -> None:
    huge = "99999999999"
    made = order(money(huge), items=[item("Island", huge, rate="0")], shipping=None)
    assert refusal(made).code == "amount_too_large"


def steps(*without: str, **changed: Any) -> list[dict[str, Any]]:
    """The default workflow without some operators."""
    return [
        one.model_dump(by_alias=True) | {"enabled": one.use not in without, **changed.get(one.use, {})}
        for one in DEFAULT.workflow
    ]


@pytest.mark.parametrize(
    ("use", "made", "rules", "of"),
    [
        ("gate.paid", order({"OrderIsPaid": False}), {}, {}),
        ("gate.cutover", order(), {"cutover": "2027-01-01"}, {}),
        ("gate.complete", order({"OrderDate": datetime(1999, 6, 1, tzinfo=UTC)}), {}, {}),
        ("gate.deleted", order(event_type="order.deleted"), {}, {}),
        ("gate.refund", order(event_type="order.refunded"), {}, {}),
        ("validate.accounts", order(), {"accounts": {"default": "290"}}, {}),
        ("validate.tax_types", order(), {"tax": [{"class": "VAT 20%", "tax_type": "OLD20"}]}, {}),
        ("validate.tracking", order(), {"tracking": {"Region": "North"}}, {}),
        ("validate.lock_dates", order(), {}, {"lock": "2026-11-30"}),
        ("validate.totals", order(money("99.00", "15.74", "10"), prices_include_tax=False), {}, {}),
        (
            "validate.currency",
            order(
                currency={
                    "CurrencyCode": "CHF",
                    "CurrencyRoundTo": 2,
                    "CurrencyIsMain": True,
                    "main_currency_code": "CHF",
                }
            ),
            {"payments": {"Card:CHF": "090"}, "currency_rate": {"table": {"CHF": "1.1"}}},
            {},
        ),
        (
            "validate.lengths",
            order(money("99999999999"), items=[item("Island", "99999999999", rate="0")], shipping=None),
            {},
            {},
        ),
    ],
)
def test_a_step_taken_out_of_the_document_does_not_run(
    use: str, made: Any, rules: dict[str, Any], of: dict[str, Any]
) -> None:
    by = reference(**of)
    stopped = run(made, store(rules, of=by), NOW).made
    assert not (isinstance(stopped, dict) and stopped["kind"] == "SALE")
    without = run(made, store(rules, steps(use), of=by), NOW).made
    assert isinstance(without, dict), without
    assert without["kind"] == "SALE"


def test_every_gate_and_check_of_the_default_is_proved_above() -> None:
    (cases,) = [mark.args[1] for mark in test_a_step_taken_out_of_the_document_does_not_run.pytestmark]
    kinds = {one.name for one in OPERATORS.values() if one.kind in ("gate", "validate")}
    # Items are looked up before they are named, so their check guards only against another look-up.
    assert kinds - {case[0] for case in cases} == {"validate.items"}
