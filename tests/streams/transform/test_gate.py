"""BOOKKEEPING §1: when an order is posted."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from schemas.letters import ErrorClass
from streams.flow import Suppressed
from streams.workflow import run
from tests.streams.transform.example import AT, NOW, RESULT, order, refusal, sale, store, suppression

PAID = {"StatusID": 2, "StatusName": "PaymentReceived", "StatusDisplayName": None, "StatusOrderIsPaid": True}
NEW = PAID | {"StatusName": "New", "StatusOrderIsPaid": False}
FAILED = RESULT | {"completed": False, "failed": True}
AUTHORISED = RESULT | {"completed": False, "authorized": True}


@pytest.mark.parametrize(
    ("flag", "status", "result", "paid"),
    [
        (True, NEW, None, True),
        (True, PAID, FAILED, True),
        (None, PAID, None, True),
        (None, PAID, RESULT, True),
        (None, PAID, FAILED, False),
        (None, PAID, AUTHORISED, False),
        (None, PAID, RESULT | {"authorized": True}, True),
        (None, NEW, RESULT, False),
        (None, None, None, False),
        (False, PAID, RESULT, False),
    ],
)
def test_paid_by_flag_status_and_result(flag: Any, status: Any, result: Any, paid: bool) -> None:
    made = order({"OrderIsPaid": flag}, status=status, payment_result=result)
    if paid:
        assert sale(made)["number"] == "S-28"
    else:
        assert suppression(made).code == "not_paid"


def test_a_failed_result_beside_the_flag_is_a_finding() -> None:
    findings = run(order(payment_result=FAILED), store(), NOW).findings
    assert findings == ("the payment result says failed, the order says paid: it was paid by hand later",)


def test_xperience_is_paid_by_the_names_of_the_rule() -> None:
    made = order({"OrderIsPaid": None}, dialect="XBYK", status=NEW | {"StatusName": "Completed"})
    assert "'Completed' is not among the paid ones" in suppression(made).message
    assert sale(made, store({"paid": {"statuses": ["Completed"]}}))["total"] == "94.44"


def test_cut_over_is_a_day_of_the_stores_zone() -> None:
    late = order({"OrderDate": datetime(2026, 10, 31, 23, 30, tzinfo=UTC)})
    assert suppression(late, store({"cutover": date(2026, 11, 1)})).code == "before_cutover"
    berlin = store({"cutover": date(2026, 11, 1), "time_zone": "Europe/Berlin"})
    assert sale(late, berlin)["date"] == "2026-11-01"


def test_a_deletion_goes_to_the_sink_or_is_ignored() -> None:
    gone = order(event_type="order.deleted", deleted=True, items=[], customer=None, site_name=None)
    made = run(gone, store(), NOW).made
    assert isinstance(made, dict)
    assert (made["kind"], made["key"], made["body"], made["order_id"]) == ("CANCEL", "emea|28", None, "28")
    assert made["on_unpaid"] == "HOLD"
    voids = run(gone, store({"refunds": {"unpaid": "void"}}), NOW).made
    assert isinstance(voids, dict)
    assert voids["on_unpaid"] == "VOID"
    steps: list[dict[str, Any]] = [
        {"name": "t", "use": "trigger.order"},
        {"name": "d", "use": "gate.deleted", "with": {"then": "ignore"}},
    ]
    assert suppression(gone, store(workflow=steps)).code == "deleted"


@pytest.mark.parametrize(("then", "word"), [("hold", "refund_by_hand"), ("ignore", "refund_ignored")])
def test_by_rule_a_refund_waits_for_a_person_or_is_ignored(then: str, word: str) -> None:
    refund = {"refund_id": "r1", "refunded_at": AT, "currency": "GBP", "amount": Decimal("5.00"), "reason": None}
    made = order(event_type="order.refunded", refund=refund | {"lines": []})
    steps: list[dict[str, Any]] = [
        {"name": "t", "use": "trigger.order"},
        {"name": "r", "use": "gate.refund", "with": {"then": then}},
    ]
    found = run(made, store(workflow=steps), NOW).made
    assert not isinstance(found, dict)
    assert (found.code if isinstance(found, Suppressed) else found.reason.code) == word


@pytest.mark.parametrize(
    ("row", "parts", "code"),
    [
        ({}, {"items": []}, "no_lines"),
        ({"OrderTotalPrice": Decimal(-1)}, {}, "negative_total"),
        ({"OrderDate": datetime(1999, 12, 31, tzinfo=UTC)}, {}, "date_too_early"),
        ({"OrderDate": NOW + timedelta(days=1, seconds=1)}, {}, "date_in_future"),
        ({}, {"customer": None}, "customer_missing"),
    ],
)
def test_what_no_invoice_can_be_made_of(row: dict[str, Any], parts: dict[str, Any], code: str) -> None:
    reason = refusal(order(row, **parts))
    assert (reason.error_class, reason.code, reason.natural_key) == (ErrorClass.VALIDATION, code, "emea|28")
    assert reason.store == "emea/Goat"
    assert reason.org == "uk"
    assert reason.hint


def test_a_day_ahead_is_a_clock_not_a_mistake() -> None:
    assert sale(order({"OrderDate": NOW + timedelta(hours=23)}))["date"] == "2026-11-03"


def test_only_listed_events_start_the_flow() -> None:
    steps: list[dict[str, Any]] = [{"name": "t", "use": "trigger.order", "with": {"events": ["order.paid"]}}]
    assert suppression(order(event_type="order.updated"), store(workflow=steps)).code == "event_not_listed"
    outcome = run(order(), store(workflow=steps), NOW).made
    assert isinstance(outcome, Suppressed)
    assert outcome.code == "workflow_without_post"
