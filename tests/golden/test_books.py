"""Every case of books/: versions, deletions and days go through the sink, and Xero's books are these, to the cent.

A case goes the way an order goes: webhook event → connectors.kentico → Avro → streams.workflow → Avro → the sink's own
lane → the rules of Xero's sandbox. `books` is all that Xero has then, by number; amounts are Xero's own. After each
event everything comes to rest, but for one that `stays`, as its last result says: the next comes before the day closes.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from connectors.xero import reference
from connectors.xero.calls import Answer, Call
from connectors.xero.sandbox import api
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.calls import Call as Asked
from connectors.xero.sandbox.chart import organisation_from
from connectors.xero.sandbox.clock import Clock
from connectors.xero.sandbox.documents import Document
from schemas.types import Command
from streams.rules.marks import merged
from streams.rules.model import RulesDocument
from streams.rules.reference import build
from streams.transform.context import Store
from streams.workflow import compile_store
from tests.connectors.xero.core.world import World
from tests.golden.case import Case, read
from tests.golden.test_golden import DEFAULT, became
from tests.golden.xero import START

CASES = [read(path) for path in sorted((Path(__file__).parent / "books").glob("*.yaml"))]
_HEADERS = {"x-minlimit-remaining": "59", "x-daylimit-remaining": "4000"}
_APP = "k2x"


class SandboxXero:
    """The sandbox's rules of documents for the core's world, without HTTP."""

    def __init__(self, case: Case) -> None:
        self._ids = 0
        clock = Clock(speed=0, anchor=START)
        self.books = Books(organisation_from(case.org), clock, self._id)
        self.calls: list[Call] = []

    def do(self, call: Call, now: float) -> Answer:
        """One request."""
        self.calls.append(call)
        asked = Asked(self.books, call.method, dict(call.query), call.body or b"", _APP, _APP, call.if_modified_since)
        answer = api.run(api.resolve(call.method, call.path), asked)
        return Answer(answer.status, _HEADERS, orjson.loads(answer.body), token_id="t")

    def _id(self) -> str:
        self._ids += 1
        return f"00000000-0000-4000-8000-{self._ids:012d}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    assert shown(after(case)) == wanted(case)


def test_a_case_that_expects_anything_else_fails() -> None:
    case = next(one for one in CASES if one.name == "edited-and-issued-anew")
    document = {**case.books["UK-28-R2"], "Total": Decimal("59.81")}
    assert shown(after(case)) != wanted(replace(case, books={**case.books, "UK-28-R2": document}))
    credited = next(one for one in CASES if one.name == "unpaid-and-refunded-is-credited")
    note = {**credited.books["CN-UK-28-r1"], "allocations": ["UK-28 54.89 2026-11-05"]}
    assert shown(after(credited)) != wanted(replace(credited, books={**credited.books, "CN-UK-28-r1": note}))


def after(case: Case) -> Books:
    """Xero's books when all of the case's events have come to rest."""
    world, xero = World(), SandboxXero(case)
    world.xero = cast(Any, xero)
    world.start().run(60, until=lambda: False)
    store = compiled(case, xero)
    for event in case.events:
        for code, status in event.accounts.items():
            xero.books.org.accounts[code].status = status
        made, refund, _, findings = became(case, event, store)
        assert isinstance(made, dict), made
        sent = [cast(Command, made)] if refund is None else [cast(Command, made), cast(Command, refund)]
        assert list(findings) == event.expect.get("findings", [])
        world.put(*sent)
        if "stays" in event.expect:
            world.run(10, until=lambda: False)
            last = world.results[-1]
            assert f"{last['kind']} {last['outcome']} {last['status'] or ''}".strip() == event.expect["stays"]
        else:
            world.run(100_000)
        for code in event.expect.get("letters", []):
            assert world.letter(len(world.letters) - 1)["x-error-code"] == code
    letters = [code for event in case.events for code in event.expect.get("letters", [])]
    assert len(world.letters) == len(letters), [world.letter(n)["x-error-hint"] for n in range(len(world.letters))]
    return xero.books


def compiled(case: Case, xero: SandboxXero) -> Store:
    stores = {case.store: merged(DEFAULT["defaults"], case.rules)}
    document = RulesDocument.model_validate({**DEFAULT, "organisation": case.name, "stores": stores})
    assert document.faults() == []
    rows = []
    for call in reference.calls(None):
        if "Contacts" not in call.path:
            rows += reference.digest(call, xero.do(call, 0.0))
    found = build((row.kind, row.code, row.document) for row in rows)
    assert found is not None
    return compile_store(document, found, store=case.store, rules_version=1)


def wanted(case: Case) -> dict[str, dict[str, Any]]:
    """As `shown`: amounts as text with two decimals, dates ISO."""
    return {number: cast(dict[str, Any], _plain(document)) for number, document in case.books.items()}


def shown(books: Books) -> dict[str, dict[str, Any]]:
    """All invoices and credit notes by number, with lines, payments and what is allocated from one to the other."""
    documents = [*books.invoices.values(), *books.credit_notes.values()]
    return {document.number: _document(document, books) for document in documents}


def _document(document: Document, books: Books) -> dict[str, Any]:
    payments = sorted(books.payments_of(document), key=lambda one: one.reference)
    return {
        "Status": document.status,
        "Date": document.date.isoformat(),
        "Currency": document.currency + (f" at {document.currency_rate:f}" if document.currency_rate != 1 else ""),
        "Reference": document.reference,
        "Contact": books.contacts[document.contact_id].name,
        "Total": f"{document.total:.2f}",
        "TotalTax": f"{document.total_tax:.2f}",
        "lines": [
            f"{line.account_code} {line.tax_type} {line.line_amount:.2f} tax {line.tax_amount:.2f}"
            for line in document.lines
        ],
        "payments": [
            f"{books.org.accounts_by_id[one.account_id].code} {one.amount:.2f} {one.date.isoformat()}"
            for one in payments
        ],
        "allocations": [
            f"{other.number} {one.amount:.2f} {one.date.isoformat()}"
            for one in document.allocations
            if (other := books.document(one.other_id)) is not None
        ],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return f"{value:.2f}" if isinstance(value, Decimal) else str(value)
