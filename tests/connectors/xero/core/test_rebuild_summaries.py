"""A ledger with summaries is lost at any moment: what is rebuilt goes on, and each order is in one document, once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any, cast

import pytest

from connectors.xero.core.events import Record, Transact
from connectors.xero.core.rebuild import Restoration
from connectors.xero.core.records import credit_key, invoice_key
from connectors.xero.core.said import Said, heard
from connectors.xero.ledger import LedgerStore
from connectors.xero.settings import CoreSettings
from schemas.types import Command
from tests.connectors.xero.commands import T0, envelope, in_summary, refund, sale
from tests.connectors.xero.core.world import CODEC, World

_CLOSES = T0 + timedelta(seconds=5000)
_NUMBER = "W-S20261120-GBP"


class _Books:
    """Xero's pages, as the rebuild has read them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def by_number(self, number: str) -> Mapping[str, Any] | None:
        shown = map(self._world.xero.show, self._world.xero.invoices.values())
        return next((row for row in shown if row["InvoiceNumber"] == number), None)

    def by_id(self, id: str) -> Mapping[str, Any] | None:
        row = self._world.xero.invoices.get(id)
        return None if row is None else self._world.xero.show(row)

    def credit_by_number(self, number: str) -> Mapping[str, Any] | None:
        shown = map(self._world.xero.show, self._world.xero.credit_notes.values())
        return next((row for row in shown if row["CreditNoteNumber"] == number), None)


def rebuilt(world: World) -> World:
    """The lane is killed, its calls come to their end, its ledger is lost and made anew; a new owner takes over."""
    world.lane, world.life = None, world.life + 1
    world.run(100, until=lambda: False)
    store = LedgerStore(None, CODEC)
    said: dict[tuple[str, str], Said] = {}
    for result in world.results:
        thing = "order" if result["kind"] == "invoice" else result["kind"]
        said[thing, result["key"]] = heard(said.get((thing, result["key"]), Said()), result)
    decode, encode = cast(Any, CODEC.decode), partial(CODEC.encode, "command")
    at = T0 + timedelta(seconds=world.mono)
    restoration = Restoration("uk", store, _Books(world), world.offset, decode, lambda: at, encode)
    left = []
    for offset, (command, value) in enumerate(world.log):
        record = Record(offset, command["key"].encode(), value, (), cast(Command, CODEC.decode(value)))
        if restoration.adopt(record):
            left.append(record)
    for record in left:
        command = cast(Command, record.command)
        contact = cast(Any, command["body"])["contact"]["key"] if command["kind"] == "SALE" else ""
        thing = "order_refund" if command["kind"] == "REFUND" else "order"
        about = said.get(("contact", contact), Said())
        restoration.decide(record, said.get((thing, command["key"]), Said()), about)
    entries, letters, results = restoration.take()
    assert not letters, "nothing about these orders is a conflict"
    store.apply(Transact(0, dict(entries), tuple(results)))
    marks = {name: mark for name in ("contacts", "reference") if (mark := world.store.mark(name)) is not None}
    store.apply(Transact(0, {}, marks=marks))
    world.store = store
    return world.start()


def _world() -> World:
    return World(settings=CoreSettings(summary_quiet=30.0)).start().run(60, until=lambda: False)


def _orders() -> list[Command]:
    orders = [in_summary(sale(n), _CLOSES) for n in (1, 2, 3, 4)]
    newer = in_summary(sale(2, version=2, total="60.00", tax="10.00"), _CLOSES)
    return [*orders, newer, envelope("CANCEL", "shop|4", None, org="uk", order="4", version=9), sale(5)]


def _judge(world: World) -> None:
    held = {n: world.entry(invoice_key(f"shop|{n}")) for n in (1, 2, 3)}
    assert {e["status"] for e in held.values()} == {"PAID"}
    assert {n: e["total"] for n, e in held.items()} == {1: "120.00", 2: "60.00", 3: "120.00"}
    shown = [world.xero.show(i) for i in world.xero.invoices.values()]
    assert {i["InvoiceNumber"]: (i["Status"], i["Total"]) for i in shown} == {
        _NUMBER: ("PAID", Decimal("300.00")), "W-5": ("PAID", Decimal("120.00")),
    }  # fmt: skip
    assert world.entry(invoice_key("shop|4"))["state"] == "VOIDED"
    assert world.entry(invoice_key("shop|web/S20261120-GBP"))["extra"]["phase"] == "posted"
    assert sorted(p["Reference"].split(" ")[0] for p in world.xero.payments) == ["W-5/1", f"{_NUMBER}/1"]
    assert not world.letters


@pytest.mark.parametrize("lost_after", ["collected", "contact", "invoice sent", "paid", "posted"])
def test_a_summary_is_never_posted_again_and_none_of_its_orders_is_lost(lost_after: str) -> None:
    world = _world().put(*_orders())

    def reached() -> bool:
        writes = [s.call.path for s in world.sends if s.call.writes and b"S2026" in (s.call.body or b"")]
        contacts = any(b"W-S-web" in (s.call.body or b"") for s in world.sends if s.call.path == "Contacts")
        state = world.store.get(invoice_key("shop|1"))
        return {
            "collected": world.offset == len(world.log),
            "contact": contacts,
            "invoice sent": "Invoices" in writes,
            "paid": "Payments" in writes,
            "posted": state is not None and state["status"] == "PAID",
        }[lost_after]

    world.run(20_000, until=reached)
    assert reached()
    before = len(world.xero.calls)
    rebuilt(world).run(200_000)
    _judge(world)
    if lost_after == "posted":
        assert not [call for call in world.xero.calls[before:] if call.method != "GET"]


def test_late_orders_and_newer_versions_go_on_as_before() -> None:
    world = rebuilt(_world().put(*_orders()).run(200_000)).run(200_000)
    late = in_summary(sale(6), _CLOSES)
    again = in_summary(sale(1, version=1), _CLOSES)
    other = in_summary(sale(2, version=3, total="12.00", tax="2.00"), _CLOSES)
    world.put(late, again, other).run(200_000)
    numbers = [i["InvoiceNumber"] for i in world.xero.invoices.values()]
    assert sorted(numbers) == ["W-5", _NUMBER, f"{_NUMBER}-2"]
    assert [r["outcome"] for r in world.results[-6:] if r["key"] == "shop|1"] == ["UNCHANGED"]
    assert [r["outcome"] for r in world.results if r["key"] == "shop|2"][-1] == "HELD"


@pytest.mark.parametrize("closed", [False, True])
def test_refunds_in_a_days_credit_note_are_restored_and_not_paid_out_again(closed: bool) -> None:
    world = _world().put(*_orders()).run(200_000)
    back = _CLOSES + timedelta(days=1)
    world.put(*(in_summary(refund(n), back, "2026-11-21") for n in (1, 3)))
    world.run(200_000) if closed else world.run(60, until=lambda: False)
    rebuilt(world).run(300_000)
    notes = [world.xero.show(c) for c in world.xero.credit_notes.values()]
    assert [(c["CreditNoteNumber"], c["Status"], c["Total"]) for c in notes] == [
        ("CN-W-S20261121-GBP", "PAID", Decimal("60.00"))
    ]
    for order in (1, 3):
        assert world.entry(credit_key(f"shop|{order}", "r1"))["status"] == "PAID"
        assert world.entry(invoice_key(f"shop|{order}"))["extra"]["refund:r1"] == "30.00"
    world.put(in_summary(refund(1), back, "2026-11-21")).run()
    assert [r["outcome"] for r in world.results if r["kind"] == "order_refund"][-1] == "UNCHANGED"


def test_the_orders_of_a_refused_summary_are_collected_again_and_posted_when_its_cause_is_mended() -> None:
    world = _world().put(*(in_summary(sale(n), _CLOSES) for n in (1, 2)))
    world.xero.bad_accounts.add("200")
    world.run(20_000)
    assert world.outcomes().count("REFUSED") == 2
    world.xero.bad_accounts.clear()
    rebuilt(world).run(200_000)
    assert {world.entry(invoice_key(f"shop|{n}"))["number"] for n in (1, 2)} == {_NUMBER}
    assert [str(i["Total"]) for i in map(world.xero.show, world.xero.invoices.values())] == ["240.00"]
    assert world.outcomes().count("POSTED") == 2


def test_a_summary_that_was_redriven_and_dated_out_of_a_closed_period_is_not_posted_again() -> None:
    world = _world().put(in_summary(sale(1), _CLOSES, first_open_day=True))
    world.xero.lock = "2026-11-20"
    world.run(3000, until=lambda: False)
    world.xero.bad_accounts.add("200")
    world.run(20_000)
    world.xero.bad_accounts.clear()
    again: Any = CODEC.decode(world.letters[0].value)
    world.put(again).run(20_000)
    assert [i["Date"] for i in world.xero.invoices.values()] == ["2026-11-21"]
    before = len(world.xero.calls)
    rebuilt(world).run(200_000)
    assert not [call for call in world.xero.calls[before:] if call.method != "GET"]
    summary = world.entry(invoice_key("shop|web/S20261120-GBP"))
    assert (summary["extra"]["phase"], summary["extra"]["dated"]) == ("posted", "2026-11-21")
    assert world.entry(invoice_key("shop|1"))["status"] == "PAID"
