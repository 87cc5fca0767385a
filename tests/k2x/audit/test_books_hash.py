"""The books' hash: blind to Xero's ids, times and order; changed by every cent, day, account, number and line."""

from __future__ import annotations

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from k2x.audit.books_hash import books_hash, entries, summed_entries, sums_hash

Row = dict[str, Any]


def invoice(number: str = "UK-1", **changes: Any) -> Row:
    line = {
        "Description": "Boots", "Quantity": 2.0, "UnitAmount": 60.0, "TaxType": "OUTPUT2", "TaxAmount": 20.0,
        "LineAmount": 120.0, "AccountCode": "200", "LineItemID": f"line-{number}", "Tracking": [],
    }  # fmt: skip
    return {
        "Type": "ACCREC", "InvoiceID": f"id-{number}", "InvoiceNumber": number, "Reference": "1", "Status": "PAID",
        "Contact": {"ContactID": "c", "ContactNumber": "emea-C7", "Name": "Ada"}, "DateString": "2026-11-20T00:00:00",
        "DueDate": "/Date(1795132800000+0000)/", "CurrencyCode": "GBP", "CurrencyRate": 1.0, "SubTotal": 100.0,
        "TotalTax": 20.0, "Total": 120.0, "AmountDue": 0.0, "AmountPaid": 120.0, "LineAmountTypes": "Inclusive",
        "LineItems": [line], "UpdatedDateUTC": "/Date(1)/", **changes,
    }  # fmt: skip


def payment(number: str = "UK-1", **changes: Any) -> Row:
    return {
        "PaymentID": f"p-{number}", "Invoice": {"InvoiceID": f"id-{number}"}, "Account": {"Code": "90"},
        "Date": "/Date(1795132800000+0000)/", "Amount": 120.0, "BankAmount": 120.0, "CurrencyRate": 1.0,
        "Reference": f"{number}/1 ch_1", "Status": "AUTHORISED", "UpdatedDateUTC": "/Date(2)/", **changes,
    }  # fmt: skip


HASH = books_hash([invoice(), invoice("UK-2")], [payment(), payment("UK-2")])


def test_ids_times_names_and_the_order_of_documents_mean_nothing() -> None:
    other = [invoice("UK-2", InvoiceID="x2", UpdatedDateUTC="/Date(9)/"), invoice(InvoiceID="x1")]
    other[1]["Contact"] = {"ContactID": "other", "ContactNumber": "emea-C7", "Name": "Ada Buyer"}
    other[1]["LineItems"][0] |= {"LineItemID": "z", "Quantity": Decimal("2.0000")}
    paid = [payment("UK-2", Invoice={"InvoiceID": "x2"}), payment(Invoice={"InvoiceID": "x1"}, PaymentID="q")]
    assert books_hash(other, paid) == HASH


def test_what_is_voided_or_bought_is_no_part_of_the_sales_books() -> None:
    more = [invoice(), invoice("UK-2"), invoice("UK-3", Status="VOIDED"), invoice("B-1", Type="ACCPAY")]
    paid = [payment(), payment("UK-2"), payment(Status="DELETED"), payment("B-1")]
    assert books_hash(more, paid) == HASH


def _line(name: str, value: Any) -> Callable[[Row, Row], None]:
    return lambda row, _: row["LineItems"][0].update({name: value})


@pytest.mark.parametrize(
    "change",
    [
        *(
            lambda row, _, name=name, value=value: row.update({name: value})
            for name, value in {
                "Total": 120.01, "TotalTax": 19.99, "AmountDue": 0.01, "InvoiceNumber": "UK-9", "Reference": "2",
                "CurrencyCode": "USD", "CurrencyRate": 1.1, "DateString": "2026-11-21T00:00:00", "Status": "AUTHORISED",
                "Contact": {"ContactNumber": "emea-C8"}, "DueDate": "/Date(1795219200000+0000)/",
            }.items()
        ),
        *(_line(name, value) for name, value in {
            "AccountCode": "201", "TaxType": "NONE", "UnitAmount": 60.01, "Description": "Shoes",
            "Tracking": [{"Name": "Channel", "Option": "Web"}],
        }.items()),
        lambda row, _: row["LineItems"].append(row["LineItems"][0]),
        lambda _, paid: paid.update(Amount=119.0),
        lambda _, paid: paid.update(Account={"Code": "91"}),
        lambda _, paid: paid.update(Date="/Date(1795219200000+0000)/"),
        lambda _, paid: paid.update(Reference="UK-1/2 ch_1"),
        lambda _, paid: paid.update(Status="DELETED"),
    ],
)  # fmt: skip
def test_every_cent_day_account_and_number_changes_it(change: Callable[[Row, Row], None]) -> None:
    row, paid = copy.deepcopy(invoice()), copy.deepcopy(payment())
    change(row, paid)
    assert books_hash([row, invoice("UK-2")], [paid, payment("UK-2")]) != HASH


def note(**changes: Any) -> Row:
    """A part of UK-1, given back."""
    row = invoice()
    kept = ("Contact", "Date", "DateString", "CurrencyCode", "CurrencyRate", "LineAmountTypes", "LineItems")
    return {
        **{name: row[name] for name in kept if name in row}, "Type": "ACCRECCREDIT", "CreditNoteID": "id-CN-UK-1-r1",
        "CreditNoteNumber": "CN-UK-1-r1", "Reference": "CN-UK-1-r1", "Status": "PAID", "SubTotal": 100.0,
        "TotalTax": 20.0, "Total": 120.0, "RemainingCredit": 0.0, "Allocations": [], **changes,
    }  # fmt: skip


BOOKS = ([invoice()], [payment(), payment("CN-UK-1-r1")])


def test_credit_notes_and_the_money_back_are_part_of_the_books() -> None:
    ours = books_hash(*BOOKS, [note()])
    assert ours != books_hash(*BOOKS)
    assert ours != books_hash([invoice()], [payment()], [note()]), "the money back"
    others = (note(Status="VOIDED"), note(Total=119.0), note(RemainingCredit=1.0), note(DateString="2026-11-21"))
    assert ours not in {books_hash(*BOOKS, [other]) for other in others}
    allocated = note(Allocations=[{"Amount": 5.0, "Invoice": {"InvoiceNumber": "UK-1"}}])
    assert ours != books_hash(*BOOKS, [allocated])
    moved = payment("CN-UK-1-r1", Invoice={"InvoiceID": "x"}, PaymentID="y")
    assert ours == books_hash([invoice()], [moved, payment()], [note(CreditNoteID="x", UpdatedDateUTC="/Date(7)/")])


def test_books_without_credit_notes_have_the_hash_that_they_always_had() -> None:
    assert books_hash([invoice(), invoice("UK-2")], [payment(), payment("UK-2")], []) == HASH
    bought = [note(Type="ACCPAYCREDIT"), note(Status="VOIDED")]
    assert books_hash([invoice(), invoice("UK-2")], [payment(), payment("UK-2")], bought) == HASH


def test_books_that_differ_can_be_compared_by_eye() -> None:
    (ours, paid) = entries([invoice()], [payment()])
    assert ours.startswith("invoice UK-1 | Reference=1 Status=PAID LineAmountTypes=Inclusive CurrencyCode=GBP")
    assert "contact emea-C7 | 2026-11-20 due 2026-11-20" in ours
    assert paid == "payment UK-1 | account 90 2026-11-20 | Amount=120 BankAmount=120 CurrencyRate=1 | UK-1/1 ch_1"


def summary(number: str, *lines: tuple[str, str, str], id_: str = "s-1") -> dict[str, Any]:
    """Lines: account, net, tax."""
    shown = [
        {
            "AccountCode": account,
            "TaxType": "OUTPUT2",
            "Quantity": 1,
            "UnitAmount": net,
            "LineAmount": net,
            "TaxAmount": tax,
        }
        for account, net, tax in lines
    ]
    total = sum((Decimal(net) + Decimal(tax) for _, net, tax in lines), Decimal(0))
    taxes = sum((Decimal(tax) for *_, tax in lines), Decimal(0))
    return {
        "Type": "ACCREC", "InvoiceID": id_, "InvoiceNumber": number, "Reference": f"{len(lines)} orders",
        "Status": "PAID", "LineAmountTypes": "Exclusive", "CurrencyCode": "GBP", "DateString": "2026-11-24T00:00:00",
        "DueDateString": "2026-11-24T00:00:00", "Contact": {"ContactNumber": "W"}, "Total": str(total),
        "TotalTax": str(taxes), "SubTotal": str(total - taxes), "LineItems": shown,
    }  # fmt: skip


def paid_in(id_: str, amount: str, account: str = "092", day: str = "2026-11-24") -> dict[str, Any]:
    return {
        "PaymentID": f"p-{id_}-{account}", "Invoice": {"InvoiceID": id_}, "Account": {"Code": account},
        "Amount": amount, "Status": "AUTHORISED", "DateString": f"{day}T00:00:00", "Reference": f"{id_}/1",
    }  # fmt: skip


NAME = "UK-S20261124-GBP"
TWO = [summary(NAME, ("200", "10", "2"), ("210", "5", "1")), summary(f"{NAME}-2", ("200", "20", "4"), id_="s-2")]
PAID = [paid_in("s-1", "18"), paid_in("s-2", "24")]
ONE = [summary(NAME, ("200", "30.00", "6.00"), ("210", "5.00", "1.00"), id_="s-9")]


def test_a_days_summary_and_its_supplements_have_the_sums_of_one_that_holds_all_of_it() -> None:
    beside, own = [invoice()], [payment()]
    assert sums_hash([*TWO, *beside], [*PAID, *own]) == sums_hash([*ONE, *beside], [paid_in("s-9", "42.0"), *own])
    assert books_hash(TWO, PAID) != books_hash(ONE, [paid_in("s-9", "42")])
    assert sums_hash(beside, own) == books_hash(beside, own), "a shop without summaries has one number"


def test_any_other_sum_of_a_day_is_another_number() -> None:
    ours = sums_hash(TWO, PAID)
    for other in (
        [summary(NAME, ("200", "29.99", "6"), ("210", "5.01", "1"), id_="s-9")],
        [summary(NAME, ("200", "30", "5.99"), ("210", "5", "1.01"), id_="s-9")],
        [summary(NAME.replace("24", "25"), ("200", "30", "6"), ("210", "5", "1"), id_="s-9")],
        [summary(f"DE{NAME}", ("200", "30", "6"), ("210", "5", "1"), id_="s-9")],
    ):
        assert sums_hash(other, [paid_in("s-9", "42")]) != ours, summed_entries(other, [])
    for money in (
        [paid_in("s-9", "41")],
        [paid_in("s-9", "42", "090")],
        [paid_in("s-9", "42", day="2026-11-25")],
        [paid_in("s-9", "18"), paid_in("s-9", "24", "855")],
    ):
        assert sums_hash(ONE, money) != ours
    assert sums_hash([{**ONE[0], "Status": "VOIDED"}], []) == sums_hash([], [])
