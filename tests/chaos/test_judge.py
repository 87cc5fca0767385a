"""The judge of a chaos run finds each planted fault, and nothing in good books."""

from __future__ import annotations

from typing import Any

import pytest

from k2x.audit.finding import Finding
from k2x.audit.judge import Verdict
from tests.chaos import judge
from tests.chaos.judge import Accepted, Load, Violation
from tests.chaos.test_books import books_of, invoice, note, spent, truth

TRUTHS = [truth(1), truth(2, "suppressed"), truth(3, "refused:unbalanced")]


def test_only_a_partial_payment_or_a_settlement_of_a_frozen_call_is_known_to_remain() -> None:
    good = books_of(
        invoices=[invoice("UK-1", parts=(20.0, 100.0))], notes=[note("CN-UK-1-r1", 30.0, parts=(10.0, 20.0))]
    )
    twice = {"PaymentID": "second", "Reference": "UK-1/1 card", "Amount": 20.0}
    good["invoices"][0]["Payments"].append(twice)
    assert list(judge.residual(TRUTHS, {"uk": good}, {"second"})) == ["emea|1"]
    assert judge.residual(TRUTHS, {"uk": good}, set()) == {}, "no frozen call made it: a fault"
    for row in good["invoices"][0]["Payments"]:
        row["Amount"] = 120.0
    assert judge.residual(TRUTHS, {"uk": good}, {"second"}) == {}, "not partial: AmountDue must have refused it"
    good["credit_notes"][0]["Payments"].append(twice | {"Reference": "CN-UK-1-r1/1 UK-1/1"})
    assert list(judge.residual(TRUTHS, {"uk": good}, {"second"})) == ["emea|1"]
    settled = books_of(bank=[spent("emea/stripe/po_1", 3.1), spent("emea/stripe/po_1", 3.1, BankTransactionID="late")])
    assert set(judge.residual(TRUTHS, {"uk": settled}, {"late"})) == {"emea/stripe/po_1", "emea|settlement/stripe/po_1"}
    assert judge.residual(TRUTHS, {"uk": settled}, {"another"}) == {}


def test_an_order_with_another_end_than_the_shop_meant_is_found() -> None:
    expected = {"emea|1": "payable", "emea|2": "suppressed", "emea|3": "refused:unbalanced", "emea|4": "payable"}
    ends = {"emea|1": "posted", "emea|2": "suppressed", "emea|3": "dead_lettered", "emea|4": "posted"}

    def seen(**changed: str) -> list[tuple[str, str]]:
        states = ends | {f"emea|{name[1:]}": state for name, state in changed.items()}
        verdicts = [Verdict(key, "uk", "emea/GoatUK", state) for key, state in states.items() if state]
        return [(v.check, v.key) for v in judge.verdicts(verdicts, expected)]

    assert seen() == []
    assert seen(_1="lost") == [("lost", "emea|1")]
    assert seen(_4="") == [("lost", "emea|4")]
    assert seen(_2="posted") == [("wrong end", "emea|2")]
    assert seen(_1="waiting") == [("wrong end", "emea|1")]
    codes = ("duplicate_invoice", "voided", "ledger_missing")
    off = tuple(Finding(code, "uk", "emea/GoatUK", "emea|1", "UK-1", code) for code in codes)
    twice = Verdict("emea|1", "uk", "emea/GoatUK", "posted", findings=off)
    assert [v.text for v in judge.verdicts([twice], {"emea|1": "payable"})] == list(codes)


def test_what_reconcile_says_is_a_violation_and_so_is_a_code_that_does_not_fit() -> None:
    row = {"kind": "lost", "order": "emea|1", "invoice": None, "text": "gone"}
    assert judge.reconciled(0, {"findings": []}) == []
    assert [v.key for v in judge.reconciled(1, {"findings": [row]})] == ["emea|1"]
    assert judge.reconciled(3, {"findings": []}) != []
    assert len(judge.reconciled(0, {"findings": [row]})) == 2


def test_an_accepted_event_that_is_not_on_kafka_is_found() -> None:
    events = [Accepted("emea", "a", 1), Accepted("emea", "", 7), Accepted("emea", "", 7), Accepted("apac", "b", 2)]
    ids, hints = {("emea", "a"), ("apac", "b")}, {("emea", 7): 2}
    assert judge.accepted(events, ids, hints) == []
    assert [v.key for v in judge.accepted(events, ids - {("apac", "b")}, hints)] == ["apac|2"]
    assert [v.key for v in judge.accepted(events, ids, {("emea", 7): 1})] == ["emea|7"]
    assert judge.accepted([Accepted("apac", "a", 1)], {("emea", "a")}, {}) != [], "an event of another instance"


def test_a_column_that_does_not_show_the_newest_invoice_is_found() -> None:
    assert judge.write_backs(TRUTHS, {"emea|1": "UK-1", "emea|2": None}, {}) == []
    assert [v.key for v in judge.write_backs(TRUTHS, {"emea|1": None}, {})] == ["emea|1"]
    assert [v.key for v in judge.write_backs(TRUTHS, {"emea|1": "UK-1"}, {"emea|1": "UK-1-R2"})] == ["emea|1"]
    assert judge.write_backs(TRUTHS, {"emea|1": "UK-1-R2"}, {"emea|1": "UK-1-R2"}) == []


def call(at: float, ms: float = 300.0, **more: Any) -> dict[str, Any]:
    return {"org": "uk", "at": at, "ms": ms, "status": 200, "fault": ""} | more


def test_the_heaviest_minute_and_moment_are_counted_from_the_log() -> None:
    slow = [call(10.0 + n / 10, ms=2000.0) for n in range(5)]
    one = judge.load("uk", [*(call(float(n)) for n in range(120)), *slow, call(5.0, org="au")])
    assert (one.calls, one.minute, one.in_flight, one.refused) == (125, 65, 6, 0)
    stalled = judge.load("uk", [call(1.0 + n / 100, ms=900.0, fault="stall_before") for n in range(6)])
    assert (stalled.minute, stalled.in_flight) == (6, 0)


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        (Load("uk", 900, 60, 5, 0), ""),
        (Load("uk", 900, 61, 5, 0), "61 calls within a minute"),
        (Load("uk", 900, 60, 6, 0), "6 calls at once"),
        (Load("uk", 900, 60, 5, 1), "429 1 times"),
    ],
)
def test_a_limit_that_was_passed_is_found(seen: Load, word: str) -> None:
    texts = [v.text for v in judge.limits([seen])]
    assert [word in text for text in texts] == ([True] if word else [])


def test_violations_are_told_with_their_order_and_the_way_to_look(tmp_path: Any) -> None:
    from tests.chaos.report import violations

    text = violations([Violation("lost", "emea|1042", "no end")], tmp_path)
    assert "k2x trace 'emea|1042'" in text
    assert str(tmp_path / "logs") in text
