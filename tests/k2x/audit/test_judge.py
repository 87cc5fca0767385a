"""The independent reader's judgement, fault by fault."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from k2x.audit.facts import Facts, LetterSeen, OrderSeen, ResultSeen
from k2x.audit.judge import Invoice, Store, Verdict, judge

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STORES = {"emea/GoatUK": Store("uk", "UK-")}
KEY = "emea|7"


def seen(version: int = 0, total: str = "24.00", tax: str = "4.00") -> OrderSeen:
    at = T0 + timedelta(minutes=version)
    return OrderSeen(KEY, "emea/GoatUK", "7", at, at, at, "GBP", Decimal(total), Decimal(tax), Decimal(0))


def result(outcome: str, version: int = 0, kind: str = "order") -> ResultSeen:
    at = T0 + timedelta(minutes=version)
    return ResultSeen(KEY, kind, outcome, "uk", at, at + timedelta(seconds=2), at, "")


def letter(version: int = 0, error_class: str = "mapping") -> LetterSeen:
    at = T0 + timedelta(minutes=version)
    return LetterSeen(KEY, at, "uk", "emea/GoatUK", error_class, "c", "m", "h", "t-dlt", 0, 1)


PAID = Invoice("uk", "UK-7", "7", "PAID", "GBP", Decimal("24.00"), Decimal("4.00"), Decimal(0), (Decimal("24.00"),))


def verdict(
    orders: list[OrderSeen],
    invoices: list[Invoice],
    letters: list[LetterSeen] | None = None,
    results: list[ResultSeen] | None = None,
) -> Verdict:
    facts = Facts({KEY: orders}, {KEY: letters or []}, {KEY: results or []})
    (only,) = judge(facts, invoices, STORES)
    return only


def test_a_paid_invoice_that_agrees_is_posted_and_clean() -> None:
    found = verdict([seen()], [PAID], results=[result("POSTED")])
    assert (found.state, found.doubled, found.drift, found.latency_s) == ("posted", "", "", 2.0)


def test_silence_is_lost() -> None:
    assert verdict([seen()], []).state == "lost"


@pytest.mark.parametrize("outcome", ["SUPPRESSED", "WAITING", "PARKED"])
def test_a_word_about_the_newest_version_counts(outcome: str) -> None:
    assert verdict([seen()], [], results=[result(outcome)]).state == outcome.lower()


def test_a_word_about_an_older_version_does_not() -> None:
    assert verdict([seen(0), seen(1)], [], results=[result("SUPPRESSED", 0)]).state == "lost"
    assert verdict([seen(0), seen(1)], [], letters=[letter(0)]).state == "lost"


def test_a_letter_about_the_newest_version_is_dead_lettered() -> None:
    assert verdict([seen(0), seen(1)], [], letters=[letter(1)]).state == "dead_lettered"


def test_a_later_version_that_waits_for_a_decision_is_held_beside_the_posted_one() -> None:
    found = verdict([seen(0), seen(1, "30.00", "5.00")], [PAID], [letter(1, "held")], [result("POSTED", 0)])
    assert (found.state, found.held, found.drift) == ("posted", True, "")


@pytest.mark.parametrize(
    "fault",
    [
        replace(PAID, total=Decimal("24.01"), payments=(Decimal("24.01"),)),
        replace(PAID, total_tax=Decimal("4.01")),
        replace(PAID, currency="EUR"),
        replace(PAID, status="AUTHORISED", amount_due=Decimal("24.00"), payments=()),
    ],
)
def test_an_invoice_that_differs_is_drift(fault: Invoice) -> None:
    assert verdict([seen()], [fault], results=[result("POSTED")]).drift != ""


def test_the_version_that_was_posted_is_what_counts() -> None:
    """An edit that Xero took over silently is drift, even though some version agrees with it."""
    edited = replace(PAID, total=Decimal("30.00"), total_tax=Decimal("5.00"), payments=(Decimal("30.00"),))
    assert verdict([seen(0), seen(1, "30.00", "5.00")], [edited], results=[result("POSTED", 0)]).drift != ""


def test_a_second_living_invoice_is_doubled_and_a_voided_one_is_not() -> None:
    assert verdict([seen()], [PAID, replace(PAID, number="UK-7-2")]).doubled != ""
    assert verdict([seen()], [PAID, replace(PAID, number="UK-7-2", status="VOIDED")]).doubled == ""
    assert verdict([seen()], [PAID, replace(PAID, number="AU-7")]).doubled == ""


def test_money_paid_twice_is_doubled() -> None:
    assert verdict([seen()], [replace(PAID, payments=(Decimal("24.00"), Decimal("24.00")))]).doubled != ""


def test_an_order_of_a_store_nobody_knows_is_lost_unless_a_letter_says_so() -> None:
    stranger = replace(seen(), store="emea/Nowhere")
    assert verdict([stranger], [PAID]).state == "lost"
    assert verdict([stranger], [], letters=[letter()]).state == "dead_lettered"
