"""The audit's own way to Xero: against the sandbox, and against a server that misbehaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest

from connectors.xero.auth import CustomConnection, Identity, IdentitySettings
from k2x.audit.documents import Invoice
from k2x.audit.errors import XeroNotNow, XeroUnreadable
from k2x.audit.pace import Pace, Share, Spent
from k2x.audit.xero import Address, XeroBooks
from tests.connectors.xero.servers import SandboxProcess, sandbox

DAYS = ("2026-10-30", "2026-11-20")
MANY = 120


class Clock:
    """Time that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Desk:
    """The sandbox's British organisation."""

    def __init__(self, running: SandboxProcess) -> None:
        self.url, self.api = running.url, running.api_url
        own = running.organisations["uk"]
        settings = IdentitySettings(token_url=f"{running.url}/connect/token")
        self.http = httpx.Client(timeout=60)
        self.tokens = CustomConnection(Identity(settings, own["client_id"], own["client_secret"]))

    def put(self, resource: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.tokens.token().value}", "Accept": "application/json"}
        answer = self.http.put(f"{self.api}/{resource}", json={resource: rows}, headers=headers)
        answer.raise_for_status()
        made: list[dict[str, Any]] = answer.json()[resource]
        return made

    def edit(self, **order: Any) -> None:
        self.http.post(f"{self.url}/_sandbox/edit", json={"org": "uk", **order}).raise_for_status()

    def settings(self, **changes: Any) -> None:
        self.http.post(f"{self.url}/_sandbox/settings", json={"org": "uk", **changes}).raise_for_status()

    def move(self, seconds: float) -> None:
        """The sandbox's clock."""
        self.http.post(f"{self.url}/_sandbox/clock", json={"advance": seconds}).raise_for_status()

    def refused(self) -> int:
        rows = self.http.get(f"{self.url}/_sandbox/requests?org=uk").json()["counts"]
        return sum(row["calls"] for row in rows if row["status"] == 429)

    def books(self, page: int = 1000, share: Share | None = None, **more: Any) -> XeroBooks:
        pace = Pace(share or Share(minute=10_000, day=10_000, minute_reserve=0, day_reserve=0), Spent(None))
        return XeroBooks(Address("uk", self.api), self.tokens, pace, page=page, **more)


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with sandbox("--minute-limit", "10000", "--day-limit", "100000") as running:
        made = Desk(running)
        made.put("Contacts", [{"Name": "Web", "ContactNumber": "W1"}])
        for start in range(0, MANY, 40):
            made.put("Invoices", [_document(number) for number in range(start, start + 40)])
        made.put("Payments", [_payment(number) for number in range(30)])
        yield made


def _document(number: int) -> dict[str, Any]:
    line = {"Description": "Boots", "Quantity": 2, "UnitAmount": 30, "AccountCode": "200", "TaxType": "OUTPUT2"}
    return {
        "Type": "ACCREC", "Status": "AUTHORISED", "InvoiceNumber": f"T-{number}", "Reference": str(number),
        "Contact": {"ContactNumber": "W1"}, "Date": DAYS[number % 2], "DueDate": DAYS[1],
        "LineAmountTypes": "Inclusive",
        "LineItems": [line, {**line, "Quantity": 1, "AccountCode": "260"}],
    }  # fmt: skip


def _payment(number: int) -> dict[str, Any]:
    return {
        "Invoice": {"InvoiceNumber": f"T-{number}"}, "Account": {"Code": "092"}, "Date": DAYS[1],
        "Amount": 90, "Reference": f"T-{number}/1 ch_{number}",
    }  # fmt: skip


def _credit_note(number: int) -> dict[str, Any]:
    line = {"Description": "Boots", "Quantity": 1, "UnitAmount": 30, "AccountCode": "200", "TaxType": "OUTPUT2"}
    name = f"CN-T-{number}-r1"
    return {
        "Type": "ACCRECCREDIT", "Status": "AUTHORISED", "CreditNoteNumber": name, "Reference": name,
        "Contact": {"ContactNumber": "W1"}, "Date": DAYS[1], "LineAmountTypes": "Inclusive", "LineItems": [line],
    }  # fmt: skip


def _back(note: dict[str, Any]) -> dict[str, Any]:
    return {
        "CreditNote": {"CreditNoteID": note["CreditNoteID"]}, "Account": {"Code": "092"}, "Date": DAYS[1],
        "Amount": 30, "Reference": f"{note['CreditNoteNumber']}/1 re_1",
    }  # fmt: skip


def test_credit_notes_with_lines_and_the_money_back_beside_it_and_none_among_the_invoices(desk: Desk) -> None:
    made = desk.put("CreditNotes", [_credit_note(number) for number in range(12)])
    desk.put("Payments", [_back(note) for note in made[:10]])
    books = desk.books(page=5)
    found = {note.number: note for note in _all(books.credit_notes(since=date(2026, 11, 1))).values()}
    assert sorted(found) == sorted(f"CN-T-{number}-r1" for number in range(12))
    note, open_ = found["CN-T-0-r1"], found["CN-T-11-r1"]
    assert (note.status, note.total, note.total_tax, note.amount_due) == ("PAID", Decimal(30), Decimal(5), Decimal(0))
    assert [(s.account, s.amount) for s in note.sums] == [("200", Decimal(30))]
    assert [(p.marker, p.amount) for p in note.payments] == [("CN-T-0-r1/1", Decimal(30))]
    assert (open_.status, open_.amount_due, open_.credited) == ("AUTHORISED", Decimal(30), Decimal(0))
    assert not _all(books.credit_notes(until=date(2026, 10, 31)))
    back = _all(books.refund_payments())
    assert {(p.invoice_id, p.account) for p in back.values()} == {(n["CreditNoteID"], "092") for n in made[:10]}
    books = desk.books()
    assert not back.keys() & _all(books.payments()).keys()
    assert [one.id for one in books.credit_notes_by_reference("CN-T-3-r1")] == [found["CN-T-3-r1"].id]
    assert books.credit_note(note.id) == books.credit_note("cn-t-0-r1")
    assert books.credit_note("CN-T-0-nobody's") is None
    desk.edit(action="delete_payment", number="CN-T-1-r1", credit=True)
    (gone,) = [row for page in books.payments_of([found["CN-T-1-r1"].id]) for row in page]
    assert (gone.living, gone.marker) == (False, "CN-T-1-r1/1")


def _all(pages: Iterator[list[Any]]) -> dict[str, Any]:
    return {row.id: row for page in pages for row in page}


def test_every_invoice_comes_with_lines_payments_and_exact_money(desk: Desk) -> None:
    found = {invoice.number: invoice for invoice in _all(desk.books().invoices()).values()}
    assert sorted(found) == sorted(f"T-{number}" for number in range(MANY))
    paid, open_ = found["T-0"], found["T-99"]
    assert (paid.status, paid.total, paid.total_tax, paid.amount_due, paid.currency) == (
        "PAID", Decimal("90.00"), Decimal("15.00"), Decimal(0), "GBP",
    )  # fmt: skip
    assert [(s.account, s.tax_type, s.amount, s.lines) for s in paid.sums] == [
        ("200", "OUTPUT2", Decimal(60), 1), ("260", "OUTPUT2", Decimal(30), 1),
    ]  # fmt: skip
    assert [(p.marker, p.amount) for p in paid.payments] == [("T-0/1", Decimal(90))]
    assert (paid.date, open_.date) == (date(2026, 10, 30), date(2026, 11, 20))
    assert (open_.status, open_.payments, open_.amount_due) == ("AUTHORISED", (), Decimal(90))


def test_a_range_of_days_and_the_payments_accounts(desk: Desk) -> None:
    books = desk.books()
    october = _all(books.invoices(until=date(2026, 10, 31)))
    november = _all(books.invoices(since=date(2026, 11, 1), until=date(2026, 11, 30)))
    assert (len(october), len(november), october.keys() & november.keys()) == (MANY // 2, MANY // 2, set())
    payments = _all(books.payments())
    assert {(p.account, bool(p.account_id), p.status) for p in payments.values()} == {("092", True, "AUTHORISED")}
    assert books.calls == 3


@pytest.mark.parametrize("size", [9, 50])
def test_a_list_that_moves_while_it_is_read_is_read_whole(desk: Desk, size: int) -> None:
    """Rows that have been read change and go to the end: by page numbers, as many would be skipped. Forty rows were
    written in one call, so that their moment fills more than a page of 9."""
    books, seen = desk.books(page=size), {}
    moves = iter(range(40, 60))
    for page in books.invoices():
        seen |= {invoice.number: invoice for invoice in page}
        for number in [next(moves, None), next(moves, None)]:
            if number is not None:
                desk.edit(action="edit_text", number=f"T-{number}", reference=f"moved for {size}")
    assert set(seen) == {f"T-{number}" for number in range(MANY)}
    assert {seen[f"T-{number}"].reference for number in range(40, 44)} == {f"moved for {size}"}


def test_by_number_id_and_reference_with_deleted_payments(desk: Desk) -> None:
    books = desk.books()
    by_number = [row for page in books.invoices_by_number(f"T-{n}" for n in range(50)) for row in page]
    assert (len(by_number), books.calls) == (50, 2)
    by_id = [row for page in books.invoices_by_id(row.id for row in by_number[:3]) for row in page]
    assert {row.id for row in by_id} == {row.id for row in by_number[:3]}
    assert [row.number for row in books.invoices_by_reference("95")] == ["T-95"]
    desk.edit(action="delete_payment", number="T-29")
    (own,) = [row for row in by_number if row.number == "T-29"]
    (gone,) = [row for page in books.payments_of([own.id]) for row in page]
    assert (gone.living, gone.marker, gone.updated_at is not None) == (False, "T-29/1", True)


def test_the_sink_s_reserve_of_the_minute_is_left_alone_and_no_call_is_refused(desk: Desk) -> None:
    clock = Clock()
    desk.settings(limits={"minute": 15})
    desk.move(60)
    before = desk.refused()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        desk.move(seconds)

    try:
        share = Share(minute=10_000, day=10_000, minute_reserve=10, day_reserve=0)
        books = desk.books(share=share, clock=lambda: clock.now, sleep=sleep)
        for _ in range(12):
            list(books.invoices_by_id(["00000000-0000-0000-0000-000000000001"]))
    finally:
        desk.settings(limits={"minute": 10_000})
    assert books.calls == 12
    assert sum(clock.slept) >= 120, "five calls a minute are what the reserve leaves"
    assert desk.refused() == before


# -- a server that misbehaves ---------------------------------------------------------------------------------------


class Token:
    value, id = "t", "t"


class Tokens:
    renewed = 0

    def token(self) -> Token:
        return Token()

    def renew(self, refused: str) -> Token:
        self.renewed += 1
        return Token()


def scripted(*answers: Any, **more: Any) -> tuple[XeroBooks, Clock, Tokens]:
    """Answers one after another, the last one again and again; an Exception is raised."""
    left, clock, tokens = list(answers), Clock(), Tokens()

    def answer(_: httpx.Request) -> httpx.Response:
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, Exception):
            raise one
        status, body, headers = one
        return httpx.Response(status, content=body if isinstance(body, bytes) else json.dumps(body), headers=headers)

    pace = Pace(Share(), Spent(None))
    books = XeroBooks(
        Address("uk", "http://xero", "tenant"), tokens, pace,
        clock=lambda: clock.now, sleep=clock.sleep, transport=httpx.MockTransport(answer), **more,
    )  # fmt: skip
    return books, clock, tokens


EMPTY = (200, {"Invoices": []}, {})


def read(books: XeroBooks) -> list[Invoice]:
    return [row for page in books.invoices() for row in page]


@pytest.mark.parametrize(
    "trouble",
    [
        (500, b"", {}),
        (503, b"The service is unavailable", {"content-type": "text/plain"}),
        (200, b"<html>busy</html>", {}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        (429, b"", {"x-rate-limit-problem": "concurrent"}),
        (429, b"", {"retry-after": "26", "x-rate-limit-problem": "minute"}),
    ],
)
def test_passing_troubles_are_ridden_out(trouble: Any) -> None:
    books, clock, _ = scripted(trouble, EMPTY)
    assert read(books) == []
    assert books.calls == 2
    assert clock.slept


def test_a_token_that_has_ended_is_renewed_once() -> None:
    books, _, tokens = scripted((401, {"Title": "Unauthorized"}, {}), EMPTY)
    assert (read(books), tokens.renewed) == ([], 1)
    books, _, tokens = scripted((401, {"Title": "Unauthorized", "Detail": "TokenExpired"}, {}))
    with pytest.raises(XeroUnreadable, match=r"uk: Xero refuses GET Invoices: status 401; Unauthorized; TokenExpired"):
        read(books)
    assert tokens.renewed == 1


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([(500, b"", {})], "failed 4 times: status 500"),
        ([(403, {"Title": "Forbidden"}, {})], "refuses GET Invoices: status 403; Forbidden"),
        ([(200, {"Contacts": []}, {})], "holds no Invoices"),
    ],
)
def test_lasting_troubles_end_the_reading_with_a_reason(answers: list[Any], words: str) -> None:
    books, _, _ = scripted(*answers)
    with pytest.raises(XeroUnreadable, match=words):
        read(books)


DAY_OVER = (429, b"", {"retry-after": "66975", "x-rate-limit-problem": "day"})


def test_a_used_up_day_says_when_to_come_again_and_holds_no_thread() -> None:
    books, clock, _ = scripted(DAY_OVER)
    with pytest.raises(XeroNotNow, match=r"uk: Xero's day limit is reached. Go on in 19 h, at 2027-01-1\d .* --wait"):
        read(books)
    assert clock.slept == []


def test_wait_sleeps_it_out_in_slices() -> None:
    said: list[str] = []
    books, clock, _ = scripted(DAY_OVER, EMPTY, wait=True, say=said.append)
    assert read(books) == []
    assert max(clock.slept) <= 31
    assert sum(clock.slept) >= 66975
    assert "going on at" in said[0]


def test_a_list_that_is_not_in_the_order_of_changes_is_not_trusted() -> None:
    def row(number: int, at: int) -> dict[str, Any]:
        return {"InvoiceID": f"i-{number}", "Status": "PAID", "UpdatedDateUTC": f"/Date({at}+0000)/"}

    rows = [row(n, 1_790_000_000_000 - n * 1000) for n in range(3)]
    books, _, _ = scripted((200, {"Invoices": rows}, {}), page=3)
    with pytest.raises(XeroUnreadable, match="order of its changes"):
        read(books)


def test_what_is_sent_names_the_organisation_and_asks_for_whole_seconds() -> None:
    sent: list[httpx.Request] = []
    rows = [
        {"InvoiceID": f"i-{n}", "Status": "PAID", "UpdatedDateUTC": f"/Date({1_790_000_000_000 + n * 1500}+0000)/"}
        for n in range(2)
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"Invoices": rows if len(sent) == 1 else []})

    transport = httpx.MockTransport(answer)
    books = XeroBooks(
        Address("uk", "http://xero/", "tenant"), Tokens(), Pace(Share(), Spent(None)), page=2, transport=transport
    )
    read(books)
    first, second = sent
    assert first.headers["xero-tenant-id"] == "tenant"
    assert first.headers["Authorization"] == "Bearer t"
    assert first.url.params["order"] == "UpdatedDateUTC ASC"
    assert "If-Modified-Since" not in first.headers
    assert second.headers["If-Modified-Since"] == "2026-09-21T14:13:20"
    assert second.url.params["page"] == "1"
