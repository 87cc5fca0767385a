"""The shop against the books finds each planted fault, and nothing in good books."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.chaos import books
from tests.chaos.world import closing

Export = dict[str, Any]
PO = "emea/stripe/po_1"


def truth(order_id: int, expected: str = "payable", total: str = "120.00", **more: Any) -> dict[str, Any]:
    sums: dict[str, Any] = {"total_price": total, "total_tax": "20.00", "currency": "GBP", "first": None}
    sums |= {"gift_cards": [], "payment_option": "CreditCard", "refunds": []}
    where = {"instance": "emea", "store": "emea/GoatUK", "order_id": order_id, "expected": expected}
    return where | sums | more


def invoice(number: str, total: float = 120.0, parts: Sequence[float] = (), **more: Any) -> dict[str, Any]:
    money = {"Total": total, "TotalTax": 20.0, "AmountDue": 0.0, "CurrencyCode": "GBP", "Reference": "7"}
    row = {"Type": "ACCREC", "InvoiceID": f"id {number}", "InvoiceNumber": number, "Status": "PAID"} | money | more
    return row | {"Payments": _payments(number, parts or (total,))}


def note(number: str, total: float, parts: Sequence[float] = (), **more: Any) -> dict[str, Any]:
    money = {"Total": total, "RemainingCredit": 0.0, "CurrencyCode": "GBP", "Reference": number}
    row = {"Type": "ACCRECCREDIT", "CreditNoteID": f"id {number}", "CreditNoteNumber": number, "Status": "PAID"}
    return row | money | more | {"Payments": _payments(number, parts or (total,))}


def _payments(number: str, parts: Sequence[float]) -> list[dict[str, Any]]:
    return [
        {
            "PaymentID": f"payment {number}/{n}",
            "Reference": f"{number}/{n} card",
            "Amount": amount,
            "Status": "AUTHORISED",
        }
        for n, amount in enumerate(parts, 1)
    ]


def spent(marker: str, total: float, **more: Any) -> dict[str, Any]:
    row = {"BankTransactionID": f"spent {marker}", "Type": "SPEND", "Total": total, "Status": "AUTHORISED"}
    return row | {"Reference": f"{marker} stripe"} | more


def moved(marker: str, amount: float, **more: Any) -> dict[str, Any]:
    row = {"BankTransferID": f"moved {marker}", "Amount": amount, "Status": "AUTHORISED"}
    return row | {"Reference": f"{marker} stripe"} | more


def books_of(
    invoices: Sequence[Any] = (), notes: Sequence[Any] = (), bank: Sequence[Any] = (), held: float = 0.0
) -> Export:
    """As Xero's export has them: payments by themselves too, and a transfer's sides among the bank transactions."""
    payments = [p | {"Invoice": {"InvoiceID": row["InvoiceID"]}} for row in invoices for p in row["Payments"]]
    payments += [p | {"CreditNote": {"CreditNoteID": row["CreditNoteID"]}} for row in notes for p in row["Payments"]]
    transfers = [row for row in bank if "BankTransferID" in row]
    sides = [
        spent(row["Reference"].split(" ")[0], row["Amount"], Type=kind, BankTransactionID=f"{kind} {row['Reference']}")
        for row in transfers
        for kind in ("SPEND-TRANSFER", "RECEIVE-TRANSFER")
    ]
    return {
        "organisation": {"currency": "GBP"},
        "contacts": [{"ContactNumber": "emea-C1", "ContactStatus": "ACTIVE"}],
        "invoices": list(invoices),
        "credit_notes": list(notes),
        "payments": payments,
        "bank_transactions": [row for row in bank if "BankTransactionID" in row] + sides,
        "bank_transfers": transfers,
        "balances": {"092": held},
    }


FIRST = {"total_price": "120.00", "total_tax": "20.00", "gift_cards": []}
TRUTHS = [
    truth(1), truth(2, "suppressed"), truth(3, "refused:unbalanced"),
    truth(4, refunds=[{"refundId": "r1", "amount": "30.00"}, {"refundId": "r2", "amount": "90.00"}]),
    truth(5, "held_later", "150.00", first=FIRST),
    truth(6, "held_later", "150.00", first=FIRST),  # edited before it was posted
]  # fmt: skip
LINES = [{"type": "charge", "amount": "120.00", "fee": "3.00"}, {"type": "fee", "amount": "-0.10"}]
TOLD = {"gateway": "stripe", "settlementId": "po_1", "payout": "116.90", "lines": LINES}
PAYOUTS = [{"instance": "emea", "site": "GoatUK", "settlement": TOLD}]


@pytest.fixture
def good() -> Export:
    return books_of(
        [
            invoice("UK-1", parts=(20.0, 100.0)), invoice("UK-4"), invoice("UK-5"), invoice("UK-5-R2", 150.0),
            invoice("UK-6", 150.0),
        ],
        [note("CN-UK-4-r1", 30.0), note("CN-UK-4-r2", 90.0), note("CN-UK-5-reissue1", 120.0)],
        [spent(PO, 3.1), moved(PO, 116.9)],
        held=120 + 150 + 150 - 120.0,
    )  # fmt: skip


def found(export: Export, truths: Sequence[Any] = TRUTHS, payouts: Sequence[Any] = PAYOUTS) -> list[str]:
    return [wrong.text for wrong in books.judge(truths, payouts, {"uk": export} | _EMPTY)]


_EMPTY = {org: books_of() for org in ("de", "au")}


def test_good_books_are_good(good: Export) -> None:
    assert found(good) == []


def _row(e: Export, number: str) -> Any:
    rows = [*e["invoices"], *e["credit_notes"]]
    return next(row for row in rows if number in (row.get("InvoiceNumber"), row.get("CreditNoteNumber")))


def _without(kind: str, number: str) -> Callable[[Export], None]:
    def plant(e: Export) -> None:
        e[kind].remove(_row(e, number))

    return plant


def _with(number: str, **values: Any) -> Callable[[Export], None]:
    def plant(e: Export) -> None:
        _row(e, number).update(values)

    return plant


def _more(kind: str, row: dict[str, Any]) -> Callable[[Export], None]:
    return lambda e: e[kind].append(row)


def _payment_gone(number: str) -> Callable[[Export], None]:
    def plant(e: Export) -> None:
        e["payments"] = [p for p in e["payments"] if not p["Reference"].startswith(f"{number}/")]

    return plant


def _payment_twice(number: str) -> Callable[[Export], None]:
    def plant(e: Export) -> None:
        e["payments"].append(next(p for p in e["payments"] if p["Reference"].startswith(f"{number}/")))

    return plant


def _contact_twice(e: Export) -> None:
    e["contacts"].append(dict(e["contacts"][0]))


def _balance(e: Export) -> None:
    e["balances"]["092"] += 0.01


@pytest.mark.parametrize(
    ("plant", "word"),
    [
        (_without("invoices", "UK-1"), "0 living invoices, must be 1"),
        (_with("UK-1", Status="VOIDED"), "0 living invoices, must be 1"),
        (_more("invoices", invoice("UK-1", InvoiceID="other")), "2 living invoices, must be 1"),
        (_more("invoices", invoice("UK-2")), "1 living invoices, must be 0"),
        (_more("invoices", invoice("UK-1-COPY")), "of no order of the shop"),
        (_more("invoices", invoice("UK-1-R2")), "2 living invoices, must be 1"),
        (_payment_gone("UK-1"), "paid is 0, must be 120.00"),
        (_payment_twice("UK-1"), "payments twice is ['UK-1/1']"),
        (_with("UK-1", Total=121.0), "total is 121.0, must be 120.00"),
        (_with("UK-1", TotalTax=19.99), "tax is 19.99, must be 20.00"),
        (_contact_twice, "2 active contacts emea-C1"),
        (_without("credit_notes", "CN-UK-4-r1"), "0 living credit notes CN-UK-4-r1"),
        (_more("credit_notes", note("CN-UK-4-r1", 30.0)), "2 living credit notes CN-UK-4-r1"),
        (_more("credit_notes", note("CN-UK-4-r9", 30.0)), "credit notes CN-UK-4-r9 in uk of no order"),
        (_with("CN-UK-4-r2", Total=91.0), "CN-UK-4-r2: total is 91.0, must be 90.00"),
        (_payment_gone("CN-UK-4-r2"), "CN-UK-4-r2: back is 0, must be 90.00"),
        (_payment_twice("CN-UK-4-r2"), "payments twice is ['CN-UK-4-r2/1']"),
        (_without("credit_notes", "CN-UK-5-reissue1"), "0 living credit notes CN-UK-5-reissue1"),
        (_with("CN-UK-5-reissue1", RemainingCredit=20.0), "left is 20.0"),
        (_without("invoices", "UK-5-R2"), "UK-5: total is 120.0, must be 150.00"),
        (_with("UK-5-R2", Total=120.0), "UK-5-R2: total is 120.0, must be 150.00"),
        (_with("UK-5", Status="AUTHORISED"), "UK-5: status is AUTHORISED"),
        (_more("bank_transactions", spent(PO, 3.1)), f"{PO}: fees is [('SPEND'"),
        (_more("bank_transfers", moved(PO, 116.9)), f"{PO}: payout is ["),
        (lambda e: e["bank_transfers"].clear(), f"{PO}: payout is [], must be [Decimal('116.90')]"),
        (_more("bank_transfers", moved("emea/stripe/po_9", 1.0)), "a bank document of no settlement"),
        (_balance, "clearing account 092: balance is 300.01, must be 300.00"),
    ],
)
def test_a_planted_fault_in_the_books_is_found(good: Export, plant: Callable[[Export], None], word: str) -> None:
    plant(good)
    assert [text for text in found(good) if word in text], found(good)


DAY = "AU-S20261125-AUD"
DAILY = [
    truth(7, store="apac/GoatAU", instance="apac", currency="AUD"),
    truth(8, "held_later", "150.00", first=FIRST, store="apac/GoatAU", instance="apac", currency="AUD"),
    truth(9, "suppressed", store="apac/GoatAU", instance="apac", currency="AUD"),
    truth(10, store="apac/GoatAU", instance="apac", currency="AUD", refunds=[{"refundId": "r1", "amount": "30.00"}]),
]


@pytest.fixture
def day() -> Export:
    two = invoice(DAY, 240.0, CurrencyCode="AUD", TotalTax=40.0, Reference="2 orders")
    late = invoice(f"{DAY}-2", 120.0, CurrencyCode="AUD", Reference="1 order")
    back = note(f"CN-{DAY}", 30.0, CurrencyCode="AUD")
    return books_of([two, late], [back], held=330.0) | {"organisation": {"currency": "AUD"}}


def daily(export: Export) -> list[str]:
    return [wrong.text for wrong in books.judge(DAILY, [], {"uk": books_of(), "de": books_of(), "au": export})]


def test_the_summaries_of_a_store_are_good_when_together_they_are_its_orders(day: Export) -> None:
    assert daily(day) == []


@pytest.mark.parametrize(
    ("plant", "word"),
    [
        (_without("invoices", f"{DAY}-2"), "sold is {'AUD': Decimal('240.0')}, must be {'AUD': Decimal('360.00')}"),
        (_with(DAY, TotalTax=40.01), "tax is {'AUD': Decimal('60.01')}"),
        (_with(DAY, CurrencyCode="NZD"), "sold is {'NZD'"),
        (_with(DAY, Reference="1 order"), "orders is 2, must be 3"),
        (_payment_gone(DAY), f"{DAY}: paid is 0, must be 240.0"),
        (_payment_twice(DAY), f"payments twice is ['{DAY}/1']"),
        (_more("invoices", invoice("AU-7", CurrencyCode="AUD")), "1 living invoices of its own"),
        (_more("invoices", invoice(f"{DAY}-COPY")), "of no order of the shop"),
        (_without("credit_notes", f"CN-{DAY}"), "given back is {}, must be {'AUD': Decimal('30.00')}"),
        (_payment_gone(f"CN-{DAY}"), f"CN-{DAY}: back is 0"),
        (_balance, "clearing account 092: balance is 330.01"),
    ],
)
def test_a_planted_fault_in_a_days_summary_is_found(day: Export, plant: Callable[[Export], None], word: str) -> None:
    plant(day)
    assert [text for text in daily(day) if word in text], daily(day)


def test_the_newest_invoice_of_an_order_is_known(good: Export) -> None:
    numbers = books.newest(TRUTHS, {"uk": good} | _EMPTY)
    assert numbers == {"emea|1": "UK-1", "emea|4": "UK-4", "emea|5": "UK-5-R2", "emea|6": "UK-6"}


@pytest.mark.parametrize("hour", range(24))
def test_the_days_of_the_run_s_store_end_soon_and_its_shop_sells_before_midnight(hour: int) -> None:
    """Whatever the hour: midnight in its zone has just been, and the day closes 45 to 105 seconds from now."""
    from datetime import timedelta
    from zoneinfo import ZoneInfo

    from streams.rules.model import Posting

    now = datetime(2026, 11, 26, hour, 37, 12, tzinfo=UTC)
    rules = closing(now)
    zone, posting = ZoneInfo(rules["time_zone"]), Posting(**rules["posting"])
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0)
    assert midnight.astimezone(UTC) == now.replace(minute=0, second=0)
    assert (now - timedelta(hours=12)).astimezone(zone).date() == midnight.date() - timedelta(days=1)
    closes = midnight + timedelta(minutes=posting.grace_minutes)
    assert 45 <= (closes - now).total_seconds() <= 105
    assert Decimal(posting.grace_minutes) <= 1440
