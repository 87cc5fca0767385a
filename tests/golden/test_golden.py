"""Every case of cases/: Kentico's columns in, the exact Xero documents out, and Xero's own sums to the cent.

A case goes the way an order goes: webhook event → connectors.kentico → Avro → streams.workflow → Avro → the sink's
bytes → Xero's sandbox. What it must come to was worked out by hand from BOOKKEEPING; the arithmetic stands in its file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from schemas.types import Command, Item, Order, Sale
from streams.flow import Made, Refused, Suppressed
from streams.rules.marks import merged, parse
from streams.rules.model import RulesDocument
from streams.transform.context import Store
from streams.workflow import compile_store, run
from tests.golden.case import Case, Event, paths, read
from tests.golden.xero import Books, amount, running

CASES = [read(path) for path in paths()]
DEFAULT = parse((Path(__file__).parents[2] / "rules" / "default.yaml").read_text("utf-8"), "default.yaml").data
CODEC = Codec(CommittedIds())
_EXPECTED = frozenset(
    {
        "invoice", "lines", "each_line", "xero", "payments", "contact", "findings", "items", "decisions", "refused",
        "suppressed", "cancelled", "same_money",
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


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    cases = [*CASES, *map(sabotaged, SABOTAGES)]
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
        first: Sale | None = None
        for event in case.events:
            assert set(event.expect) <= _EXPECTED, f"unknown expectations {sorted(set(event.expect) - _EXPECTED)}"
            sale = judged(case, event, store, books, first)
            first = first or sale
    finally:
        books.close()


def compiled(case: Case, books: Books) -> Store:
    """The case's rules over default.yaml's, met with the organisation as it is read from Xero."""
    stores = {case.store: merged(DEFAULT["defaults"], case.rules)}
    document = RulesDocument.model_validate({**DEFAULT, "organisation": case.name, "stores": stores})
    assert document.faults() == []
    return compile_store(document, books.reference(), store=case.store, rules_version=1)


def judged(case: Case, event: Event, store: Store, books: Books, first: Sale | None) -> Sale | None:
    """What became of one event is what was expected; the sale, where there is one."""
    made, items, findings = became(case, event, store)
    expect = event.expect
    wanted = [str(one) for one in expect.get("findings", [])]
    assert len(findings) == len(wanted), findings
    assert all(any(text in one for one in findings) for text in wanted), findings
    assert items == expect.get("items", [])
    if "suppressed" in expect:
        assert isinstance(made, Suppressed), made
        says(made.message, made.code, expect["suppressed"])
        return None
    if "refused" in expect:
        assert isinstance(made, Refused), made
        reason = made.reason
        assert str(reason.error_class) == expect["refused"]["class"]
        says(f"{reason.message}\n{reason.hint}", reason.code, expect["refused"])
        return None
    assert isinstance(made, dict), made
    assert (made["kind"] == "CANCEL") is bool(expect.get("cancelled"))
    if made["kind"] == "CANCEL":
        assert made["body"] is None
        return None
    sale = cast(Sale, made["body"])
    if "same_money" in expect:
        assert first is not None
        assert (sale["money_hash"] == first["money_hash"]) is expect["same_money"]
        return sale
    documents(sale, expect)
    in_xero(sale, expect, books)
    return sale


def became(case: Case, event: Event, store: Store) -> tuple[Any, list[dict[str, Any]], tuple[str, ...]]:
    """The command, refusal or suppression, by way of the topics' own encoding; items to create; findings."""
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
    items = [orjson.loads(cast(Item, command["body"])["document"]) for command in outcome.items]
    return made, items, outcome.findings


def says(text: str, code: str, expected: Mapping[str, Any]) -> None:
    """The code, and every text that a person must read: sums, names, the rule to change."""
    assert code == expected["code"], text
    for part in expected.get("says", []):
        assert str(part) in text


def documents(sale: Sale, expect: Mapping[str, Any]) -> None:
    """The command's documents, field by field: what is not expected must not be there."""
    invoice = orjson.loads(sale["invoice"])
    lines = invoice.pop("LineItems")
    base = {"Type": "ACCREC", "Status": "AUTHORISED", **expect["invoice"]}
    same({"InvoiceNumber": sale["number"], **invoice}, base, "invoice")
    wanted = expected_lines(expect)
    assert len(lines) == len(wanted), [line["Description"] for line in lines]
    for number, (line, one) in enumerate(zip(lines, wanted, strict=True), 1):
        if "Tracking" in line:
            line["Tracking"] = {track["Name"]: track["Option"] for track in line["Tracking"]}
        same(line, {key: value for key, value in one.items() if key not in ("net", "tax")}, f"line {number}")
    tenders = [tender(one) for one in sale["payments"]]
    assert len(tenders) == len(expect.get("payments", [])), tenders
    for given, one in zip(tenders, expect.get("payments", []), strict=True):
        same(given, one, "payment")
    same(orjson.loads(sale["contact"]["document"]), row(expect["contact"]), "contact")
    for given, one in zip(sale["decisions"], expect.get("decisions", sale["decisions"]), strict=True):
        same(cast(dict[str, Any], given), one, "decision")


def row(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """An expected document, later parts over earlier ones; `null` takes away what an earlier one has."""
    whole = {key: value for part in parts for key, value in part.items()}
    return {key: value for key, value in whole.items() if value is not None}


def expected_lines(expect: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [row({"Quantity": 1}, expect.get("each_line", {}), line) for line in expect["lines"]]


def tender(one: Mapping[str, Any]) -> dict[str, Any]:
    """A tender as a case writes it."""
    made = {
        "account": one["account_code"], "Amount": one["amount"], "Date": one["date"], "Reference": one["reference"],
        "CurrencyRate": one["currency_rate"], "BankAmount": one["bank_amount"],
    }  # fmt: skip
    return {key: value for key, value in made.items() if value not in (None, "")}


def in_xero(sale: Sale, expect: Mapping[str, Any], books: Books) -> None:
    """Posted as the sink posts it: Xero's sums are the expected ones, and the payments leave nothing due."""
    contact = books.contact(sale)
    invoice = books.invoice(sale, contact["ContactID"])
    sums = expect["xero"]
    for key in ("Total", "TotalTax"):
        assert amount(invoice[key]) == Decimal(sums[key]), f"Xero's {key}"
    assert amount(invoice["AmountDue"]) == Decimal(sums["Total"])
    if "CurrencyRate" in sums:
        assert amount(invoice["CurrencyRate"]) == Decimal(sums["CurrencyRate"])
    if "ContactName" in sums:
        assert contact["Name"] == sums["ContactName"]
    wanted = expected_lines(expect)
    for number, (line, one) in enumerate(zip(invoice["LineItems"], wanted, strict=True), 1):
        assert amount(line["LineAmount"]) == Decimal(one["net"]), f"LineAmount {number}"
        assert amount(line["TaxAmount"]) == Decimal(one["tax"]), f"TaxAmount {number}"
    for payment, one in zip(books.pay(sale, invoice["InvoiceID"]), expect.get("payments", []), strict=True):
        if "BankAmount" in one:
            assert amount(payment["BankAmount"]) == Decimal(one["BankAmount"])
    after = books.read_invoice(invoice["InvoiceID"])
    assert (after["Status"], amount(after["AmountDue"])) == ("PAID", 0)
    assert amount(after["AmountPaid"]) == Decimal(sums["Total"])


def same(given: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
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
