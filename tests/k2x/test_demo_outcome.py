"""The demo's account: every order once, its refunds beside it, and whatever is off with either."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from k2x.audit.finding import Finding
from k2x.audit.judge import Verdict
from k2x.audit.refunds import RefundVerdict
from k2x.audit.settlements import Verdict as Settled
from k2x.demo.outcome import account
from k2x.demo.report import faults
from k2x.demo.run import Look
from tests.k2x.audit.files import invoice


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


def test_what_is_off_with_a_daily_summary_counts_by_its_kind() -> None:
    off = {"summary_unknown": "lost", "duplicate_summary": "doubled", "summary_amount": "drift"}
    off |= {"summary_missing": "unmatched", "foreign_invoice": "unmatched"}
    for code, where in off.items():
        stray = Finding(code, "uk", "emea/GoatUK", "", "UK-S20261124-GBP", f"what is {code}")
        found = account([order(1), order(2)], calls=0, strays=[stray])
        assert getattr(found, where) == 1, code
        assert not found.clean
        assert f"what is {code}" in faults([], [stray])


def test_settlements_are_counted_with_their_end_and_what_is_off_with_one_is_off() -> None:
    doubled = Finding("settlement_doubled", "uk", "", "emea|settlement/stripe/po_1", "", "the fees are there 2 times")
    unknown = Finding("settlement_foreign", "uk", "", "", "emea/stripe/po_9", "a settlement that nobody knows")
    settled = [
        Settled("uk", "", "posted", None, [doubled]), Settled("uk", "", "waiting", None, []),
        Settled("uk", "", "", None, [unknown]),
    ]  # fmt: skip
    found = account([order(1)], calls=0, strays=[doubled, unknown], settlements=settled)
    assert (found.settlements, found.settled, found.doubled, found.unmatched) == (2, 1, 1, 1)


def test_an_edited_order_is_open_until_its_letter_or_its_new_invoice_is_there() -> None:
    posted = replace(order(1), invoice=invoice(total=Decimal("120.00")))
    anew = replace(posted, invoice=invoice(total=Decimal("150.00")))
    for verdict, open_ in ((posted, {"emea|1"}), (anew, set()), (replace(posted, held=True), set())):
        look = Look(0, [verdict], [], {}, {"emea|1": "held_later"}, {"emea|1": Decimal("150.00")})
        assert look.open_keys() == open_
        assert look.open_keys(held=False) == set(), "it is posted, before the edit or after it"


def test_a_settlement_that_the_shop_has_told_of_is_open_until_it_has_an_end() -> None:
    states = {"posted": 0, "held": 0, "refused": 0, "waiting": 1, "in_flight": 1, "": 1}
    for state, open_ in states.items():
        look = Look(0, [], [], {}, settlements=[Settled("uk", "", state, None, [])], paid_out=1)
        assert look.unsettled == open_, state


def test_every_order_of_a_summary_is_counted_once_while_it_waits_and_when_it_is_posted() -> None:
    found = account([order(1, "waiting"), order(2, "waiting"), order(3), order(4, "suppressed")], calls=3)
    ended = found.posted + found.suppressed + found.dead_lettered + found.waiting + found.parked
    assert (ended, found.waiting, found.posted) == (found.orders_in, 2, 1)
