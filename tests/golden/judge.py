"""Whether documents are the expected ones: the command's field by field, and Xero's sums of them to the cent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import orjson

from schemas.types import Decision, RefundNote, Sale, Summary, Tender
from tests.golden.xero import Books, amount

Expected = Mapping[str, Any]
Body = dict[str, Any]


class Judge:
    """Of one case: what it has posted so far is what a refund refers to."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._first: Sale | None = None
        self._contacts: dict[str, str] = {}  # ContactID by OrderID

    def sale(self, order: str, sale: Sale, expect: Expected) -> None:
        """An invoice and its payments. Of a later version only whether its money is the first one's."""
        if "same_money" in expect:
            assert self._first is not None
            assert (sale["money_hash"] == self._first["money_hash"]) is expect["same_money"]
            return
        self._first = self._first or sale
        invoice = orjson.loads(sale["invoice"])
        document("ACCREC", {"InvoiceNumber": sale["number"], **invoice}, expect["invoice"], expect)
        same(orjson.loads(sale["contact"]["document"]), row(expect["contact"]), "contact")
        decided(sale["decisions"], expect)
        summarised(sale["summary"], expect)
        tenders(sale["payments"], expect)
        contact = self._books.contact(sale)
        if "ContactName" in expect["xero"]:
            assert contact["Name"] == expect["xero"]["ContactName"]
        self._contacts[order] = contact["ContactID"]
        made = self._books.invoice(sale, contact["ContactID"])
        sums(made, expect)
        assert amount(made["AmountDue"]) == Decimal(expect["xero"]["Total"])
        paid(self._books.pay(sale, made["InvoiceID"]), expect)
        after = self._books.read("Invoices", made["InvoiceID"])
        assert (after["Status"], amount(after["AmountDue"])) == ("PAID", 0)
        assert amount(after["AmountPaid"]) == Decimal(expect["xero"]["Total"])

    def refund(self, order: str, note: RefundNote, expect: Expected) -> None:
        """A credit note of a sale posted before, and the money back, after which nothing of it is left."""
        credit = orjson.loads(note["credit_note"])
        document("ACCRECCREDIT", {"CreditNoteNumber": note["number"], **credit}, expect["credit_note"], expect)
        tenders(note["payments"], expect)
        summarised(note["summary"], expect)
        made = self._books.credit_note(note, self._contacts[order])
        sums(made, expect)
        paid(self._books.give_back(note, made["CreditNoteID"]), expect)
        after = self._books.read("CreditNotes", made["CreditNoteID"])
        assert (after["Status"], amount(after["RemainingCredit"])) == ("PAID", 0)


def says(text: str, code: str, expected: Expected) -> None:
    """The code, and every text that a person must read: sums, names, the rule to change."""
    assert code == expected["code"], text
    for part in expected.get("says", []):
        assert str(part) in text


def document(type_: str, given: Body, expected: Expected, expect: Expected) -> None:
    """Field by field: what is not expected must not be there."""
    lines = given.pop("LineItems")
    same(given, {"Type": type_, "Status": "AUTHORISED", **row(expected)}, "document")
    wanted = expected_lines(expect)
    assert len(lines) == len(wanted), [line["Description"] for line in lines]
    for number, (line, one) in enumerate(zip(lines, wanted, strict=True), 1):
        if "Tracking" in line:
            line["Tracking"] = {track["Name"]: track["Option"] for track in line["Tracking"]}
        same(line, {key: value for key, value in one.items() if key not in ("net", "tax")}, f"line {number}")


def decided(given: Sequence[Decision], expect: Expected) -> None:
    """The rules that chose TaxTypes and accounts, where the case says them."""
    for one, wanted in zip(given, expect.get("decisions", given), strict=True):
        same(cast(Body, one), wanted, "decision")


def summarised(given: Summary | None, expect: Expected) -> None:
    """The order's part of its day's summary; where the case says none, it has none."""
    if given is None or "summary" not in expect:
        assert given is None, given
        assert "summary" not in expect
        return
    shown = {key: value for key, value in cast(Body, given).items() if value not in (None, False) and key != "orders"}
    lines = [{key: value for key, value in line.items() if value != ""} for line in shown.pop("lines")]
    wanted = dict(expect["summary"])
    for one, other in zip(lines, wanted.pop("lines"), strict=True):
        same(one, other, "summary's line")
    same({**shown, "closes_at": given["closes_at"].isoformat()}, wanted, "summary")
    assert given["orders"] == 0


def tenders(given: Sequence[Tender], expect: Expected) -> None:
    wanted = expect.get("payments", [])
    assert len(given) == len(wanted), given
    for one, other in zip(given, wanted, strict=True):
        same(tender(one), row(other), "payment")


def sums(made: Body, expect: Expected) -> None:
    """Xero's own arithmetic."""
    wanted = expect["xero"]
    for key in ("Total", "TotalTax"):
        assert amount(made[key]) == Decimal(wanted[key]), f"Xero's {key}"
    if "CurrencyRate" in wanted:
        assert amount(made["CurrencyRate"]) == Decimal(wanted["CurrencyRate"])
    for number, (line, one) in enumerate(zip(made["LineItems"], expected_lines(expect), strict=True), 1):
        assert amount(line["LineAmount"]) == Decimal(one["net"]), f"LineAmount {number}"
        assert amount(line["TaxAmount"]) == Decimal(one["tax"]), f"TaxAmount {number}"


def paid(made: Sequence[Body], expect: Expected) -> None:
    """What arrived on accounts of another currency."""
    for payment, one in zip(made, expect.get("payments", []), strict=True):
        if "BankAmount" in one:
            assert amount(payment["BankAmount"]) == Decimal(one["BankAmount"])


def row(*parts: Expected) -> Body:
    """An expected document, later parts over earlier ones; `null` takes away what an earlier one has."""
    whole = {key: value for part in parts for key, value in part.items()}
    return {key: value for key, value in whole.items() if value is not None}


def expected_lines(expect: Expected) -> list[Body]:
    return [row({"Quantity": 1}, expect.get("each_line", {}), line) for line in expect["lines"]]


def tender(one: Tender) -> Body:
    """A tender as a case writes it."""
    made = {
        "account": one["account_code"], "Amount": one["amount"], "Date": one["date"], "Reference": one["reference"],
        "CurrencyRate": one["currency_rate"], "BankAmount": one["bank_amount"],
    }  # fmt: skip
    return {key: value for key, value in made.items() if value not in (None, "")}


def same(given: Expected, expected: Expected, where: str) -> None:
    """Equal keys and values; numbers by value, the rest as text."""
    assert sorted(given) == sorted(expected), where
    for key, value in expected.items():
        assert plain(given[key], value) == plain(value, value), f"{where}: {key}"


def plain(value: Any, like: Any) -> Any:
    if isinstance(like, dict):
        assert isinstance(value, dict), value
        return {key: plain(one, like.get(key)) for key, one in value.items()}
    if isinstance(like, list):
        assert isinstance(value, list), value
        assert len(value) == len(like), value
        return [plain(one, other) for one, other in zip(value, like, strict=True)]
    if isinstance(like, int | Decimal) and not isinstance(like, bool):
        return Decimal(str(value))
    return str(value)
