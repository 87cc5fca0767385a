"""BOOKKEEPING §7: refunds as credit notes, lines and tax at what was charged, the money back where it came from."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.letters import ErrorClass
from schemas.types import Command, Order, RefundNote
from streams.flow import Suppressed
from streams.transform.context import Store
from streams.workflow import run
from tests.streams.transform.example import INCLUSIVE, NOW, RESULT, money, named, order, reference, store

D = Decimal
AT = datetime(2026, 11, 10, 23, 30, tzinfo=UTC)
GIFTS = money("94.44", "15.74", "10", gifts="32.50", OrderOtherPayments=named(Gift_card_20="20", Gift_card_12="12.50"))
NEW = {"StatusID": 1, "StatusName": "New", "StatusDisplayName": None, "StatusOrderIsPaid": False}
REFUNDED = {"StatusID": 9, "StatusName": "Refunded", "StatusDisplayName": None, "StatusOrderIsPaid": False}
GUIDS = ("aaaaaaaa-0000-0000-0000-000000000001", "aaaaaaaa-0000-0000-0000-000000000002")


def refunded(amount: str, row: dict[str, Any] | None = None, **more: Any) -> Order:
    """The example order, 59.80 + 8.90 + 10.00 shipping and 20 % on top, and a refund of it."""
    refund = {
        "refund_id": "r1", "refunded_at": AT, "currency": "GBP", "amount": D(amount), "reason": None, "lines": [],
        "shipping": None, "tender": None, "transaction_id": "re_9",
    }  # fmt: skip
    parts = {name: more.pop(name) for name in ("status", "payment_result", "status_history") if name in more}
    made = order(row, event_type="order.refunded", refund=refund | more, **parts)
    for item, guid in zip(made["items"], GUIDS, strict=True):
        item["OrderItemGuid"] = guid
    return made


def line(guid: str, amount: str, tax: str, quantity: str = "1") -> dict[str, Any]:
    return {"OrderItemGUID": guid, "quantity": D(quantity), "amount": D(amount), "tax": D(tax)}


def commands(made: Order, by: Store | None = None) -> list[Command]:
    outcome = run(made, by or store(), NOW)
    assert isinstance(outcome.made, dict), outcome.made
    return [outcome.made, *([outcome.refund] if outcome.refund is not None else [])]


def note(made: Order, by: Store | None = None) -> RefundNote:
    command = commands(made, by)[-1]
    assert command["kind"] == "REFUND"
    return cast(RefundNote, command["body"])


def document(body: RefundNote) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(body["credit_note"])
    return found


def sums(body: RefundNote) -> tuple[Decimal, Decimal]:
    """(Total, TotalTax) as Xero makes them at 20 %: per line, half up, a TaxAmount as it was sent (xero.md §4.3)."""
    shown = document(body)
    net = tax = D(0)
    for one in shown["LineItems"]:
        amount = (D(str(one["Quantity"])) * D(str(one["UnitAmount"]))).quantize(D("0.01"))
        rate = D(0) if one["TaxType"] in ("NONE", "ZERORATEDOUTPUT") else D(20)
        if shown["LineAmountTypes"] == "Inclusive":
            own = amount - (amount / (1 + rate / 100)).quantize(D("0.01"), "ROUND_HALF_UP")
        else:
            own = (amount * rate / 100).quantize(D("0.01"), "ROUND_HALF_UP")
        net += amount
        tax += D(str(one["TaxAmount"])) if "TaxAmount" in one else own
    return (net if shown["LineAmountTypes"] == "Inclusive" else net + tax), tax


def tenders(body: RefundNote) -> list[tuple[int, str, str, str]]:
    return [(t["ordinal"], t["account_code"], t["amount"], t["reference"]) for t in body["payments"]]


def refusal(made: Order, by: Store | None = None) -> Any:
    outcome = run(made, by or store(), NOW)
    assert not isinstance(outcome.made, dict | Suppressed), outcome.made
    return outcome.made.reason


def test_a_full_refund_is_the_sale_again_and_comes_behind_it() -> None:
    sale, refund = commands(refunded("94.44"))
    assert (sale["kind"], refund["kind"], refund["key"]) == ("SALE", "REFUND", "emea|28")
    assert refund["command_id"] == f"{sale['command_id']}/r1"
    body = cast(RefundNote, refund["body"])
    assert (body["number"], body["date"], body["total"], body["total_tax"]) == (
        "CN-S-28-r1", "2026-11-10", "94.44", "15.74",
    )  # fmt: skip
    shown = document(body)
    assert {key: shown[key] for key in shown if key != "LineItems"} == {
        "Type": "ACCRECCREDIT", "Status": "AUTHORISED", "Date": "2026-11-10", "CurrencyCode": "GBP",
        "LineAmountTypes": "Exclusive",
    }  # fmt: skip
    assert [(one["Quantity"], one["UnitAmount"]) for one in shown["LineItems"]] == [(2, 29.9), (1, 8.9), (1, 10)]
    assert sums(body) == (D("94.44"), D("15.74"))
    assert tenders(body) == [(1, "090", "94.44", "re_9")]


def test_a_full_refund_goes_back_to_the_gift_cards_too_each_its_part() -> None:
    assert tenders(note(refunded("94.44", GIFTS, transaction_id=None))) == [
        (1, "822", "20.00", "Gift card 20"),
        (2, "822", "12.50", "Gift card 12"),
        (3, "090", "61.94", "PAY-1"),
    ]


def test_a_part_goes_back_to_the_gateway_before_the_gift_cards() -> None:
    assert tenders(note(refunded("70.00", GIFTS))) == [(1, "090", "61.94", "re_9"), (2, "822", "8.06", "Gift card 12")]


@pytest.mark.parametrize(("tender", "account"), [("Card", "090"), ("gift card 20", "822"), ("giftcard", "822")])
def test_the_refund_may_say_where_the_money_goes(tender: str, account: str) -> None:
    assert tenders(note(refunded("5.00", GIFTS, tender=tender))) == [(1, account, "5.00", "re_9")]


def test_an_unknown_means_is_refused_with_those_there_are() -> None:
    reason = refusal(refunded("5.00", tender="Cheque"))
    assert (reason.error_class, reason.code) == (ErrorClass.MAPPING, "refund_tender_unknown")
    assert "Card:GBP" in reason.message


@pytest.mark.parametrize("amount", ["35.88", "29.90"], ids=["tax contained", "tax on top"])
def test_lines_come_back_at_what_was_charged_whether_or_not_their_amounts_contain_the_tax(amount: str) -> None:
    """One of the two plungers: 29.90 and 20 % are 35.88."""
    body = note(refunded("35.88", lines=[line(GUIDS[0], amount, "5.98")]))
    (one,) = document(body)["LineItems"]
    assert (one["Quantity"], one["UnitAmount"], one["AccountCode"]) == (1, 29.9, "200")
    assert sums(body) == (D("35.88"), D("5.98"))


def test_lines_of_prices_that_contain_the_tax() -> None:
    """29.90 contains 4.98 of 20 %; shipping of 10.00 contains 1.67."""
    body = note(refunded("39.90", INCLUSIVE, lines=[line(GUIDS[0], "29.90", "4.98")], shipping=D("10.00")))
    assert document(body)["LineAmountTypes"] == "Inclusive"
    assert sums(body) == (D("39.90"), D("6.65"))
    assert body["total_tax"] == "6.65"


def test_a_discounted_line_comes_back_net() -> None:
    """Credit notes know no discounts (xero.md §4.3). 59.80 less 5.00: 54.80, 27.40 each."""
    row = money("88.44", "14.74", "10", OrderDiscounts=[])
    made = refunded("88.44", row)
    made["items"][0]["OrderItemDiscountSummary"] = named(Five="5")  # type: ignore[typeddict-item]
    made["items"][0]["OrderItemTotalPrice"] = D("54.80")
    body = note(made)
    assert "DiscountAmount" not in body["credit_note"]
    assert document(body)["LineItems"][0]["UnitAmount"] == 27.4
    assert sums(body) == (D("88.44"), D("14.74"))


def test_an_amount_alone_is_spread_over_what_was_charged() -> None:
    body = note(refunded("10.00", reason="Late"))
    lines = document(body)["LineItems"]
    assert {one["Description"] for one in lines} == {"Late (part of order 28)"}
    assert sums(body)[0] == D("10.00")
    assert body["total_tax"] == "1.67"


@pytest.mark.parametrize(
    ("made", "code", "says"),
    [
        (refunded("94.45"), "refund_exceeds_order", ["94.45 GBP", "94.44 GBP"]),
        (refunded("0"), "refund_amount", ["0 GBP"]),
        (refunded("5.005"), "refund_amount", ["5.005"]),
        (refunded("5.00", currency="EUR"), "refund_currency", ["EUR", "GBP"]),
        (refunded("30.00", lines=[line(GUIDS[0], "29.90", "5.98")]), "refund_unbalanced", ["29.90 GBP", "35.88 GBP"]),
        (refunded("35.88", lines=[line("f" * 36, "35.88", "5.98")]), "refund_line_unknown", ["COF-PLNG"]),
        (refunded("90.00", lines=[line(GUIDS[0], "90.00", "15.00", "3")]), "refund_line_too_large", ["71.76 GBP"]),
        (refunded("35.88", lines=[line(GUIDS[0], "35.88", "1.00")]), "refund_tax_disagrees", ["20 %", "1.00 GBP"]),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_cannot_be_right_is_refused_with_both_sides(made: Order, code: str, says: list[str]) -> None:
    reason = refusal(made)
    assert (reason.error_class, reason.code) == (ErrorClass.VALIDATION, code)
    assert all(text in reason.message for text in says), reason.message


def test_a_refund_in_a_closed_period_is_refused_or_moved() -> None:
    closed = reference(lock="2026-11-20")
    assert refusal(refunded("5.00"), store(of=closed)).code == "locked_period"
    moved = note(refunded("5.00"), store({"locked_period": "first_open_day"}, of=closed))
    assert moved["date"] == moved["payments"][0]["date"] == "2026-11-21"


def test_an_id_that_fits_no_number_is_shortened_and_told_apart() -> None:
    one, other = (note(refunded("5.00", refund_id=f"re/1 {name}"))["refund_id"] for name in "ab")
    assert one != other
    assert one.startswith("re1a-")


def test_a_status_that_means_refunded_gives_all_of_a_paid_order_back() -> None:
    by = store({"refunds": {"statuses": ["Refunded"]}})
    made = order(status=REFUNDED)
    (sale, refund) = commands(made, by)
    assert (sale["kind"], cast(RefundNote, refund["body"])["refund_id"]) == ("SALE", "status")
    assert cast(RefundNote, refund["body"])["total"] == "94.44"
    assert len(commands(made)) == 1, "without the rule the status says nothing"


def test_a_cancelled_order_that_was_never_paid_is_nothing() -> None:
    by = store({"refunds": {"statuses": ["Refunded"]}})
    outcome = run(order({"OrderIsPaid": False}, status=REFUNDED, payment_result=None), by, NOW)
    assert isinstance(outcome.made, Suppressed)
    assert outcome.made.code == "not_paid"


def test_a_refund_of_an_order_that_was_paid_and_is_not_marked_so_any_more_brings_its_sale_along() -> None:
    made = refunded("94.44", {"OrderIsPaid": False}, payment_result=RESULT)
    assert [command["kind"] for command in commands(made)] == ["SALE", "REFUND"]


def test_a_refund_sent_for_an_order_that_nothing_calls_paid_goes_to_the_sink_alone() -> None:
    """It knows whether the order was posted."""
    made = refunded("94.44", {"OrderIsPaid": False}, payment_result=None)
    assert [command["kind"] for command in commands(made)] == ["REFUND"]


@given(st.integers(1, 9444), st.booleans())
def test_any_part_of_an_order_is_a_credit_note_of_that_amount(cents: int, inclusive: bool) -> None:
    row = INCLUSIVE if inclusive else None
    amount = min(D(cents) / 100, D("78.70") if inclusive else D("94.44"))
    body = note(refunded(str(amount), row))
    assert sums(body) == (amount, D(body["total_tax"]))
    assert sum(D(one["amount"]) for one in body["payments"]) == amount


@pytest.mark.parametrize(("rule", "said"), [("hold", "HOLD"), ("void", "VOID"), ("credit", "CREDIT")])
def test_the_rule_for_unpaid_invoices_goes_with_the_refund_and_not_with_the_sale(rule: str, said: str) -> None:
    sale, back = commands(refunded("5.00"), store({"refunds": {"unpaid": rule}}))
    assert (sale["on_unpaid"], back["on_unpaid"]) == ("HOLD", said)
