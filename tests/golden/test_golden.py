"""Every case of cases/: Kentico's columns in, the exact Xero documents out, and Xero's own sums to the cent.

A case goes the way an order goes: webhook event → connectors.kentico → Avro → streams.workflow → Avro → the sink's
bytes → Xero's sandbox. What it must come to was worked out by hand from BOOKKEEPING; the arithmetic stands in its file.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from connectors.kentico import events
from connectors.kentico.settings import InstanceSettings
from connectors.xero.sandbox import Sandbox
from connectors.xero.sandbox.chart import organisation_from
from schemas.codec import Codec
from schemas.ids import CommittedIds
from schemas.types import Command, Item, Order, RefundNote, Sale
from streams.flow import Made, Refused, Suppressed
from streams.rules.marks import merged, parse
from streams.rules.model import RulesDocument
from streams.transform.context import Store
from streams.workflow import compile_store, run
from tests.golden.case import Case, Event, laid, paths, read
from tests.golden.judge import Judge, says
from tests.golden.xero import Books, running

CASES = [read(path) for path in paths()]
DEFAULT = parse((Path(__file__).parents[2] / "rules" / "default.yaml").read_text("utf-8"), "default.yaml").data
CODEC = Codec(CommittedIds())
_EXPECTED = frozenset(
    {
        "invoice", "refund", "lines", "each_line", "xero", "payments", "contact", "findings", "items",
        "decisions", "refused", "suppressed", "cancelled", "same_money", "summary",
    }
)  # fmt: skip


# What the checks must notice: (path in `expect`, a value that is not what comes).
SABOTAGES: dict[str, tuple[tuple[Any, ...], Any]] = {
    "date": (("invoice", "Date"), "2026-11-03"),
    "field-too-many": (("invoice", "CurrencyRate"), 1),
    "line-text": (("lines", 0, "Description"), "Coffee"),
    "line-net": (("lines", 0, "net"), Decimal("59.81")),
    "line-tax": (("lines", 1, "tax"), Decimal("1.47")),
    "tax-type": (("lines", 2, "TaxType"), "RROUTPUT"),
    "total": (("xero", "Total"), Decimal("78.71")),
    "total-tax": (("xero", "TotalTax"), Decimal("13.11")),
    "payment": (("payments", 0, "Amount"), Decimal("78.69")),
    "contact": (("contact", "Name"), "Ada Lovelace"),
    "finding": (("findings",), ["something"]),
    "refused": (("refused",), {"class": "validation", "code": "unbalanced"}),
}


def sabotaged(name: str) -> Case:
    """The first case, expecting what does not come, in books of its own."""
    honest = next(case for case in CASES if case.name == "tax-inclusive")
    expect = deepcopy(dict(honest.events[0].expect))
    path, value = SABOTAGES[name]
    at: Any = expect
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    slug = f"sabotage-{name}"
    return replace(
        honest, name=slug, org={**honest.org, "slug": slug}, events=[replace(honest.events[0], expect=expect)]
    )


def returned() -> Case:
    """The first case in books of its own, for a refund of it."""
    honest = next(case for case in CASES if case.name == "tax-inclusive")
    return replace(honest, name="judge-of-refunds", org={**honest.org, "slug": "judge-of-refunds"})


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    cases = [*CASES, *map(sabotaged, SABOTAGES), returned()]
    with running([organisation_from(case.org) for case in cases]) as started:
        yield started


def test_there_are_at_least_eighty_cases_and_each_says_what_it_shows() -> None:
    assert len(CASES) >= 80
    assert len({case.shows for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, sandbox: Sandbox) -> None:
    run_case(case, sandbox)


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_case_that_expects_anything_else_fails(name: str, sandbox: Sandbox) -> None:
    with pytest.raises(AssertionError):
        run_case(sabotaged(name), sandbox)


def run_case(case: Case, sandbox: Sandbox) -> None:
    """Every event of the case, one after the other."""
    books = Books(sandbox, case.name)
    try:
        books.add_items(cast(list[dict[str, Any]], case.items_in_xero))
        store = compiled(case, books)
        judge = Judge(books)
        for event in case.events:
            assert set(event.expect) <= _EXPECTED, f"unknown expectations {sorted(set(event.expect) - _EXPECTED)}"
            assert not event.accounts, "accounts are for books/"
            judged(case, event, store, judge)
    finally:
        books.close()


@pytest.mark.parametrize("amount", ["29.90", "29.89"])
def test_a_refund_is_a_credit_note_of_which_nothing_is_left(amount: str, sandbox: Sandbox) -> None:
    """One plunger of the first case comes back: 29.90, of it 29.90 − 24.92 = 4.98 tax. A penny less paid back fails."""
    case, order_id = returned(), amount[-2:]
    books = Books(sandbox, case.name)
    judge, event = Judge(books), case.events[0]
    order = replace(event, data=laid(event.data, {"order": {"OrderID": int(order_id)}}))
    sale = cast(Sale, became(case, order, compiled(case, books))[0]["body"])
    judge.sale("28", sale, laid(event.expect, {"invoice": {"InvoiceNumber": f"UK-{order_id}", "Reference": order_id}}))
    head = {"Date": "2026-11-03", "CurrencyCode": "GBP", "LineAmountTypes": "Inclusive"}
    line = {"Description": "Coffee Plunger", "Quantity": 1, "AccountCode": "200", "TaxType": "OUTPUT2"}
    written = {"Type": "ACCRECCREDIT", "Status": "AUTHORISED", **head, "LineItems": [{**line, "UnitAmount": 29.9}]}
    note: RefundNote = {
        "refund_id": "r1", "number": f"CN-UK-{order_id}-r1", "currency": "GBP", "date": "2026-11-03", "total": "29.90",
        "total_tax": "4.98", "payments": [{**sale["payments"][0], "amount": amount}],
        "credit_note": orjson.dumps(written).decode(), "summary": None,
    }  # fmt: skip
    expect = {
        "credit_note": {"CreditNoteNumber": note["number"], **head},
        "lines": [{**line, "UnitAmount": Decimal("29.90"), "net": Decimal("29.90"), "tax": Decimal("4.98")}],
        "xero": {"Total": Decimal("29.90"), "TotalTax": Decimal("4.98")},
        "payments": [{"account": "092", "Amount": Decimal(amount), "Date": "2026-11-02"}],
    }
    if amount == "29.90":
        judge.refund("28", note, expect)
    else:
        with pytest.raises(AssertionError):
            judge.refund("28", note, expect)
    books.close()


def compiled(case: Case, books: Books) -> Store:
    """The case's rules over default.yaml's, met with the organisation as it is read from Xero."""
    stores = {case.store: merged(DEFAULT["defaults"], case.rules)}
    document = RulesDocument.model_validate({**DEFAULT, "organisation": case.name, "stores": stores})
    assert document.faults() == []
    return compile_store(document, books.reference(), store=case.store, rules_version=1)


def judged(case: Case, event: Event, store: Store, judge: Judge) -> None:
    """What became of one event is what was expected."""
    made, refund, items, findings = became(case, event, store)
    expect = event.expect
    wanted = [str(one) for one in expect.get("findings", [])]
    assert len(findings) == len(wanted), findings
    assert all(any(text in one for one in findings) for text in wanted), findings
    assert items == expect.get("items", [])
    if "suppressed" in expect:
        assert isinstance(made, Suppressed), made
        says(made.message, made.code, expect["suppressed"])
    elif "refused" in expect:
        assert isinstance(made, Refused), made
        assert str(made.reason.error_class) == expect["refused"]["class"]
        says(f"{made.reason.message}\n{made.reason.hint}", made.reason.code, expect["refused"])
    else:
        assert isinstance(made, dict), made
        assert made["kind"] == ("CANCEL" if "cancelled" in expect else "SALE")
        assert (refund is not None) is ("refund" in expect)
        if made["kind"] == "SALE":
            judge.sale(made["order_id"], cast(Sale, made["body"]), expect)
        else:
            assert made["body"] is None
        if refund is not None:
            back = laid({"each_line": expect["each_line"]}, expect["refund"])
            judge.refund(refund["order_id"], cast(RefundNote, refund["body"]), back)


def became(case: Case, event: Event, store: Store) -> tuple[Any, Any, list[dict[str, Any]], tuple[str, ...]]:
    """The command, refusal or suppression, by way of the topics' own encoding; the refund's command; items to create;
    findings."""
    instance, _, site = case.store.partition("/")
    settings = InstanceSettings(name=instance, **case.instance)
    envelope = {
        "specVersion": 1, "instance": instance, "siteName": site, "objectType": "ecommerce.order",
        "objectId": event.data["order"]["OrderID"], "eventId": case.name, "schema": settings.dialect.lower(),
        "data": event.data, **event.envelope,
    }  # fmt: skip
    routed = events.route(orjson.loads(orjson.dumps(envelope)), "", settings, case.now, None)
    assert routed.schema == "order"
    order = cast(Order, CODEC.decode(CODEC.encode("order", routed.value)))
    outcome = run(order, store, case.now)
    made: Made = outcome.made
    if isinstance(made, dict):
        made = cast(Command, CODEC.decode(CODEC.encode("command", made)))
    refund = CODEC.decode(CODEC.encode("command", outcome.refund)) if outcome.refund is not None else None
    items = [orjson.loads(cast(Item, command["body"])["document"]) for command in outcome.items]
    return made, refund, items, outcome.findings
