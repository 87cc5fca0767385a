"""A store's day as one invoice on real Kafka and the sandbox: closed by the clock, over a restart, with a late one."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from connectors.xero.core.records import invoice_key
from schemas.types import Command
from tests.connectors.xero.commands import in_summary, refund, tender
from tests.connectors.xero.office import SHORT, Office, office_sale, until

pytestmark = pytest.mark.kafka
_ORDERS = 30
_CORE = SHORT.model_copy(update={"summary_quiet": 1.0})
_DAY = "2026-11-20"


def _collected(office: Office, command: Command, closes_at: datetime, day: str = _DAY) -> Command:
    """In this office's own summary: the sandbox is shared."""
    made = in_summary(command, closes_at, day)
    body = cast(dict[str, Any], made["body"])
    start = "CN-" if command["kind"] == "REFUND" else ""
    body["summary"]["number"] = f"{start}{office.slug}-S{day.replace('-', '')}-GBP"
    if command["kind"] == "SALE":
        number, name = f"{office.slug[-8:]}-S-web", f"{office.slug} Web sales"
        document = json.dumps({"ContactNumber": number, "Name": name})
        body["contact"] = {**body["contact"], "number": number, "name": name, "document": document}
    return made


def _orders(office: Office, closes_at: datetime) -> list[Command]:
    cards = [tender("10.00", 1, "855", "Card"), tender("50.00", 2)]
    first = [_collected(office, office_sale(office, n), closes_at) for n in range(_ORDERS)]
    newer = office_sale(office, 3, version=2, total="60.00", tax="10.00", payments=cards)
    return [*first, _collected(office, newer, closes_at)]


def _told(office: Office) -> dict[str, dict[str, Any]]:
    """What was told last of each order that is POSTED; a second POSTED of one is a fault."""
    posted = [row for row in office.results() if row["kind"] == "order" and row["outcome"] == "POSTED"]
    assert len({row["key"] for row in posted}) == len(posted)
    return {row["key"]: row for row in posted}


def test_a_day_is_one_invoice_over_a_restart_and_a_late_order_and_refunds_have_their_own(office: Office) -> None:
    closes = datetime.now(UTC) + timedelta(seconds=4)
    office.put(*_orders(office, closes))
    with office.sink(core=_CORE):
        until(lambda: office.committed() == _ORDERS + 1)
    with office.sink("another-machine", core=_CORE):  # open or closed by now: it goes on where the other was stopped
        until(lambda: len(_told(office)) == _ORDERS)
        office.put(_collected(office, office_sale(office, _ORDERS), closes))
        until(lambda: len(_told(office)) == _ORDERS + 1)
        back = datetime.now(UTC)
        office.put(*(_collected(office, refund(n), back, "2026-11-21") for n in (1, 2)))
        until(lambda: [r["outcome"] for r in office.results() if r["kind"] == "order_refund"].count("POSTED") == 2)
        office.put(*_orders(office, closes))
        until(lambda: office.committed() == 2 * _ORDERS + 5)

    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in _told(office).values():
        sums[row["number"]] += Decimal(row["total"])
    invoices = {i["InvoiceNumber"]: i for i in office.invoices(office.slug)}
    assert {number: Decimal(str(i["Total"])) for number, i in invoices.items()} == dict(sums)
    assert {i["Status"] for i in invoices.values()} == {"PAID"}
    assert sum(sums.values()) == 120 * _ORDERS + 60
    assert len(invoices) >= 2, "the late order is in a supplement"
    assert _told(office)["shop|3"]["total"] == "60.00"
    paid: dict[str, Decimal] = defaultdict(Decimal)
    for payment in office.payments(office.slug):
        paid[payment["Account"]["Code"]] += Decimal(str(payment["Amount"]))
    assert dict(paid) == {"855": Decimal(10), "092": Decimal(120 * _ORDERS + 50)}
    notes = [
        n for n in office.side_door("books/uk")["credit_notes"] if n["CreditNoteNumber"].startswith(f"CN-{office.slug}")
    ]
    assert sum(Decimal(str(n["Total"])) for n in notes) == 60
    assert {n["Status"] for n in notes} == {"PAID"}
    assert {invoices[row["number"]]["InvoiceID"] for row in _told(office).values()} == {
        row["xero_id"] for row in _told(office).values()
    }
    assert office.ledger()[invoice_key("shop|1")]["kind"] == "order"
    assert office.letters() == 0
