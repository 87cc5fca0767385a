"""docs/coverage.md, made from a real run: every way in, with every kind of change, ends in the right state of Xero.

K2X_WRITE_DOCS=1 writes the page; else it must be what the run shows.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connectors.kentico.sandbox.schema import ORDER
from k2x.embedded import EmbeddedKafka
from tests.e2e.coverage import DAILY_SITE, REFUNDED, SITE, SOURCES, TELLING, XPERIENCE, Coverage, Source
from tests.e2e.payouts import booked, listed, pay_out

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(600)]

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"
TITLES = {
    "webhook": "signed webhook", "hint": "hint, read by REST", "poll": "polling", "cdc": "Debezium CDC",
    "outbox": "Debezium outbox", "storeapi": "hint, read by StoreApi", "xwebhook": "Xperience webhook",
    "xpoll": "Xperience polling",
}  # fmt: skip
KINDS = {
    "created": "order created, not paid", "paid": "order paid", "status": "status set to a paid one",
    "edited": "items edited after posting", "deleted": "order deleted after posting", "customer": "customer changed",
    "given_back": "status set to a refunded one", "refunded": "part refunded, by an event",
    "product": "product changed", "written": "written back", "daily": "order of a store with one invoice a day",
    "event": "gateway paid out, by an event", "file": "gateway paid out, by a CSV file",
}  # fmt: skip
_UNTOLD = {"refunded": "– ³", "event": "– ⁴"}
NOT_THERE = {
    ("xpoll", "customer"): "– ¹", ("xwebhook", "product"): "– ²", ("xpoll", "product"): "– ²",
    **{(name, kind): mark for name in SOURCES if name not in TELLING for kind, mark in _UNTOLD.items()},
    **{(name, "daily"): "– ⁵" for name in XPERIENCE},
}  # fmt: skip


@pytest.fixture
async def coverage(tmp_path: Path) -> AsyncIterator[Coverage]:
    with EmbeddedKafka(tmp_path / "kafka") as broker:
        made = Coverage(broker.bootstrap, tmp_path)
        try:
            await made.open()
            yield made
        finally:
            await made.close()


async def test_every_way_in_with_every_kind_of_change_ends_in_the_right_state(coverage: Coverage) -> None:
    await coverage.trade()
    posted = ("paid", "edited", "deleted", "given_back", "refunded")

    async def all_posted() -> bool:
        invoices = _invoices(await coverage.books())
        wanted = [_number(source, what) for source in coverage.sources.values() for what in posted]
        return all(invoices.get(number, {}).get("Status") == "PAID" for number in wanted)

    try:
        await coverage.until("every paid order is a PAID invoice", all_posted)
    except AssertionError as error:
        raise AssertionError(f"{error}: {await _missing(coverage, posted)}") from None
    before = _invoices(await coverage.books())
    await coverage.change()
    await pay_out(coverage)
    found: dict[tuple[str, str], str] = {}

    async def all_settled() -> bool:
        books, outcomes = await coverage.books(), coverage.outcomes()
        books["daily"] = _invoices(await coverage.books("de"))
        for source in coverage.sources.values():
            for kind in KINDS:
                found[source.name, kind] = _end(coverage, source, kind, books, outcomes, before)
        return all(found.values())

    try:
        await coverage.until("everything has come to its end", all_settled)
    except AssertionError as error:
        missing = [place for place, end in found.items() if not end]
        raise AssertionError(f"{error}: {missing}; {coverage.outcomes()}") from None
    wanted = {f"{name}/stripe/po-file" for name in SOURCES} | {f"{name}/stripe/po-event" for name in TELLING}
    assert await listed(coverage) == dict.fromkeys(wanted, "posted")
    page = _page(found)
    if os.environ.get("K2X_WRITE_DOCS"):
        PAGE.write_text(page, "utf-8")
    assert PAGE.read_text("utf-8") == page


def _end(
    coverage: Coverage,
    source: Source,
    kind: str,
    books: dict[str, Any],
    outcomes: dict[tuple[str, str], set[str]],
    before: dict[str, Any],
) -> str:
    """How this kind of change ended by this way in; empty while it has not."""
    if (source.name, kind) in NOT_THERE:
        return NOT_THERE[source.name, kind]
    invoices = _invoices(books)

    def said(what: str) -> set[str]:
        return outcomes.get((source.name, str(source.orders[what])), set())

    def as_it_was(what: str) -> bool:
        number = _number(source, what)
        return bool(invoices[number]["Total"] == before[number]["Total"] and invoices[number]["Status"] == "PAID")

    if kind == "created":
        quiet = _number(source, "created") not in invoices
        return "no invoice" if quiet and "order SUPPRESSED not_paid" in said("created") else ""
    if kind in ("paid", "status"):
        invoice = invoices.get(_number(source, kind), {})
        truth = source.shop.database.truth(source.orders[kind])
        good = invoice.get("Status") == "PAID" and f"{float(invoice['Total']):.2f}" == truth["total_price"]
        return "invoice PAID" if good else ""
    if kind == "edited":
        return _issued_anew(source, books)
    if kind == "deleted":
        held = any("HELD" in one for one in said(kind))
        return "held, invoice as it was" if held and as_it_was(kind) else ""
    if kind in ("given_back", "refunded"):
        number, total = _number(source, kind), REFUNDED
        if kind == "given_back":
            total = f"{float(invoices[number]['Total']):.2f}"
        notes = {note["CreditNoteNumber"]: note for note in books["credit_notes"]}
        note = notes.get(f"CN-{number}-{'status' if kind == 'given_back' else 'r1'}", {})
        good = note.get("Status") == "PAID" and f"{float(note['Total']):.2f}" == total
        return "credit note PAID" if good else ""
    if kind == "customer":
        contact_id = invoices[_number(source, "paid")]["Contact"]["ContactID"]
        contact = next(one for one in books["contacts"] if one["ContactID"] == contact_id)
        phones = [phone.get("PhoneNumber") for phone in contact.get("Phones", ())]
        return "contact updated" if Coverage.phone(source) in phones else ""
    if kind in ("event", "file"):
        return "fees and payout booked" if booked(source, kind, books) else ""
    if kind == "daily":
        truth = source.shop.database.truth(source.orders["daily"])
        day = truth["order_date"][:10].replace("-", "")
        invoice = books["daily"].get(f"{source.name}-de-S{day}-EUR", {})
        good = invoice.get("Status") == "PAID" and f"{float(invoice['Total']):.2f}" == truth["total_price"]
        return "in the day's invoice, PAID" if good and "order POSTED" in said("daily") else ""
    if kind == "product":
        return "item updated" if f"New of {source.name}" in {item["Name"] for item in books["items"]} else ""
    row = source.shop.database.get(ORDER, source.orders["paid"])
    written = (row["OrderXeroInvoiceNumber"], row["OrderXeroStatus"]) == (_number(source, "paid"), "PAID")
    way = "PATCH" if source.name in XPERIENCE else "PUT"
    return f"number, status by {way}" if written else ""


def _issued_anew(source: Source, books: dict[str, Any]) -> str:
    """The newest invoice has the edited order's money and number in the shop; each former one is credited. (A shop may
    show an edit half done, which is then an edit of its own.)"""
    first, invoices = _number(source, "edited"), _invoices(books)
    numbers = [first, *sorted(number for number in invoices if number.startswith(f"{first}-R"))]
    credited = {n["CreditNoteNumber"]: n["Total"] for n in books["credit_notes"] if n["Status"] == "PAID"}
    for generation, number in enumerate(numbers[:-1], 1):
        if credited.get(f"CN-{number}-reissue{generation}") != invoices[number]["Total"]:
            return ""
    truth, newest = source.shop.database.truth(source.orders["edited"]), invoices[numbers[-1]]
    row = source.shop.database.get(ORDER, source.orders["edited"])
    same = f"{float(newest['Total']):.2f}" == truth["total_price"] and newest["Status"] == "PAID"
    good = len(numbers) > 1 and same and row["OrderXeroInvoiceNumber"] == numbers[-1]
    return "credited, issued anew" if good else ""


def _number(source: Source, what: str) -> str:
    return f"{source.name}-{source.orders[what]}"


def _invoices(books: dict[str, Any]) -> dict[str, Any]:
    return {invoice["InvoiceNumber"]: invoice for invoice in books["invoices"]}


async def _missing(coverage: Coverage, posted: tuple[str, ...]) -> list[tuple[str, str, set[str]]]:
    invoices, outcomes = _invoices(await coverage.books()), coverage.outcomes()
    return [
        (source.name, what, outcomes.get((source.name, str(source.orders[what])), set()))
        for source in coverage.sources.values()
        for what in posted
        if invoices.get(_number(source, what), {}).get("Status") != "PAID"
    ]


_HEAD = (
    "Made by `tests/e2e/test_coverage.py` from a run on a real Kafka and both sandboxes: a shop for each way in,",
    f"all feeding one Xero organisation (store `{SITE}`, the demo's British rules); with one invoice a day, another",
    f"(store `{DAILY_SITE}`). `K2X_WRITE_DOCS=1` writes this page; the test fails while it is not what the run shows.",
)


def _page(found: dict[tuple[str, str], str]) -> str:
    head = "| what happens in the shop | " + " | ".join(TITLES[name] for name in SOURCES) + " |"
    lines = [
        "| " + " | ".join([title, *(found[name, kind] for name in SOURCES)]) + " |" for kind, title in KINDS.items()
    ]
    return "\n".join(
        [
            "# What ends how, by which way in?",
            "",
            *_HEAD,
            "",
            head,
            "|---" * (len(SOURCES) + 1) + "|",
            *lines,
            "",
            "¹ Xperience keeps no time of a customer's change: an event or CDC tells it "
            "([kentico.md](kentico.md#xperience-by-kentico)).",
            "",
            "² Xperience has no table of SKUs.",
            "",
            "³ Kentico keeps no refunds: a whole event tells of a part, a status of all ([refunds.md](refunds.md)).",
            "",
            "⁴ Kentico keeps no payouts: a whole event tells of one, or a file ([settlements.md](settlements.md)).",
            "",
            "⁵ Xperience has one site here, which posts order by order. A summary is made of commands, whatever "
            "way their orders came ([summaries.md](summaries.md)).",
            "",
        ]
    )
