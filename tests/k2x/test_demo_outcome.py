"""The demo's account: every order once, its refunds beside it, and whatever is off with either."""

from __future__ import annotations

from k2x.audit.finding import Finding
from k2x.audit.judge import Verdict
from k2x.audit.refunds import RefundVerdict
from k2x.demo.outcome import account
from k2x.demo.report import faults


def order(number: int, state: str = "posted", *refunds: RefundVerdict) -> Verdict:
    return Verdict(f"emea|{number}", "uk", "emea/GoatUK", state, refunds=refunds)


def refund(state: str, *codes: str) -> RefundVerdict:
    found = tuple(Finding(code, "uk", "emea/GoatUK", "emea|1", "CN-1", f"what is {code}") for code in codes)
    return RefundVerdict("r1", state, "CN-1", None, found)


def test_refunds_are_counted_beside_their_orders_which_are_counted_once() -> None:
    found = account([order(1, "posted", refund("refunded"), refund("held")), order(2, "suppressed")], calls=3)
    assert (found.orders_in, found.posted, found.suppressed, found.held) == (2, 1, 1, 0)
    assert (found.refunds, found.refunded) == (2, 1)
    assert found.clean
    assert found.calls_per_order == 3.0


def test_what_is_off_with_a_refund_is_off() -> None:
    for code, where in (("refund_lost", "lost"), ("duplicate_credit_note", "doubled"), ("credit_note_voided", "drift")):
        verdicts = [order(1, "posted", refund("refunded", code)), order(2)]
        found = account(verdicts, calls=0)
        assert getattr(found, where) == 1, code
        assert not found.clean
        assert f"what is {code}" in faults(verdicts)
