"""Daily summaries: each order in exactly one document, to the cent, whatever comes late, goes wrong or crashes."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from connectors.xero.core.events import Record
from connectors.xero.core.records import credit_key, invoice_key
from connectors.xero.settings import CoreSettings
from schemas.types import Command, LedgerEntry
from tests.connectors.xero.commands import GIFT, T0, envelope, in_summary, refund, sale, tender
from tests.connectors.xero.core.world import CODEC, World

_CLOSES = T0 + timedelta(seconds=5000)
_KEY = "shop|web/S20261120-GBP"
_NUMBER = "W-S20261120-GBP"


def _world(**fields: Any) -> World:
    return World(settings=CoreSettings(summary_quiet=30.0), **fields).start().run(60, until=lambda: False)


def _sale(order: int, closes_at: datetime = _CLOSES, **fields: Any) -> Command:
    return in_summary(sale(order, **fields), closes_at)


def _refund(order: int, closes_at: datetime = _CLOSES + timedelta(days=1), **fields: Any) -> Command:
    return in_summary(refund(order, **fields), closes_at, "2026-11-21")


def _closed(world: World) -> World:
    """Past every close, and all done."""
    return world.run(200_000)


def _until_close(world: World) -> World:
    """Shortly before the first close."""
    return world.run(5000 - world.mono - 1, until=lambda: False)


def _invoices(world: World) -> dict[str, tuple[str, str, str, list[str]]]:
    """Number → status, total, tax, payments."""
    shown = map(world.xero.show, world.xero.invoices.values())
    return {
        i["InvoiceNumber"]: (
            i["Status"],
            str(i["Total"]),
            f"{i['TotalTax']:.2f}",
            sorted(f"{p['Account']['Code']} {p['Amount']}" for p in i["Payments"]),
        )
        for i in shown
    }


def _order(world: World, order: int) -> LedgerEntry:
    return world.entry(invoice_key(f"shop|{order}"))


def _words(world: World, order: int) -> list[str]:
    return [r["outcome"] for r in world.results if r["kind"] == "order" and r["key"] == f"shop|{order}"]


def test_a_days_orders_are_one_invoice_and_each_is_told() -> None:
    card = [tender("20.00", 1, GIFT, "Card"), tender("40.00", 2)]
    world = _world().put(
        _sale(1), _sale(2, total="60.00", tax="10.00", payments=card), _sale(3, total="0.01", tax="0.00")
    )
    _until_close(world)
    assert not [call for call in world.sends if call.call.writes], "nothing is written before the day closes"
    assert world.offset == 3, "the records are finished: the ledger has the orders"
    assert {_order(world, n)["state"] for n in (1, 2, 3)} == {"COLLECTED"}
    _closed(world)
    assert _invoices(world) == {_NUMBER: ("PAID", "180.01", "30.00", ["092 160.01", "855 20.00"])}
    assert [_words(world, n) for n in (1, 2, 3)] == [["WAITING", "POSTED"]] * 3
    (invoice,) = world.xero.invoices.values()
    for order, total in ((1, "120.00"), (2, "60.00"), (3, "0.01")):
        entry = _order(world, order)
        assert (entry["kind"], entry["state"], entry["status"], entry["number"]) == ("order", "POSTED", "PAID", _NUMBER)
        assert (entry["xero_id"], entry["total"], entry["command"]) == (invoice["InvoiceID"], total, None)
        assert world.entry(f"{_KEY}|member|shop|{order}")["state"] == "POSTED"
    summary = world.entry(invoice_key(_KEY))
    assert (summary["state"], summary["status"], summary["extra"]["phase"]) == ("POSTED", "PAID", "posted")
    assert summary["extra"]["members"] == "3"
    assert world.outcomes("summary") == ["POSTED"]
    assert len([send for send in world.sends if send.call.writes]) == 3, "contact, invoice, payments"
    assert not world.letters


def test_the_invoice_has_a_line_for_each_account_and_tax_type_with_the_tax_that_was_charged() -> None:
    lines = [
        {"account": "200", "tax_type": "OUTPUT2", "tracking": "", "net": "10.00", "tax": "2.00"},
        {
            "account": "210",
            "tax_type": "ZERORATEDOUTPUT",
            "tracking": '[{"Name":"C","Option":"W"}]',
            "net": "5.00",
            "tax": "0.00",
        },
    ]
    first = in_summary(sale(1, total="17.00", tax="2.00"), _CLOSES, lines=lines)
    other = [{**lines[0], "net": "8.33", "tax": "1.66"}]
    second = in_summary(sale(2, total="9.99", tax="1.66"), _CLOSES, lines=other)
    world = _closed(_world().put(first, second))
    (invoice,) = world.xero.invoices.values()
    assert (invoice["LineAmountTypes"], invoice["Date"], invoice["Reference"]) == (
        "Exclusive",
        "2026-11-20",
        "2 orders",
    )
    shown = [
        (i["AccountCode"], i["TaxType"], i["UnitAmount"], i["TaxAmount"], i.get("Tracking"))
        for i in invoice["LineItems"]
    ]
    assert shown == [
        ("200", "OUTPUT2", Decimal("18.33"), Decimal("3.66"), None),
        ("210", "ZERORATEDOUTPUT", 5, 0, [{"Name": "C", "Option": "W"}]),
    ]


def test_money_of_another_day_is_a_payment_of_its_own() -> None:
    late = {**tender("60.00"), "date": "2026-11-23"}
    world = _closed(_world().put(_sale(1), _sale(2, total="60.00", tax="10.00", payments=[late])))  # type: ignore[list-item]
    assert sorted((p["Date"], str(p["Amount"])) for p in world.xero.payments) == [
        ("2026-11-20", "120.00"), ("2026-11-23", "60.00"),
    ]  # fmt: skip


def test_a_late_order_goes_into_a_supplement_and_never_into_a_closed_summary() -> None:
    world = _closed(_world().put(_sale(1)))
    _closed(world.put(_sale(2)))
    _closed(world.put(_sale(3, total="60.00", tax="10.00"), _sale(4, total="60.00", tax="10.00")))
    assert {n: i[1] for n, i in _invoices(world).items()} == {
        _NUMBER: "120.00", f"{_NUMBER}-2": "120.00", f"{_NUMBER}-3": "120.00",
    }  # fmt: skip
    assert [_order(world, n)["number"] for n in (1, 2, 3, 4)] == [_NUMBER, f"{_NUMBER}-2", *[f"{_NUMBER}-3"] * 2]


def test_what_a_summary_holds_is_on_the_log_before_its_document_leaves() -> None:
    world = _world().put(_sale(1), _sale(2))
    seen: list[str] = []

    def sent(send: Any) -> None:
        if send.call.writes and send.call.path == "Invoices":
            command: Any = CODEC.decode(world.entry(invoice_key(_KEY))["command"] or b"")
            seen.append(f"{command['body']['total']} of {command['body']['summary']['orders']}")

    world.on_send = sent
    _closed(world)
    assert seen == ["240.00 of 2"]


def test_an_order_that_comes_while_its_summary_is_added_up_is_in_the_document() -> None:
    world = _world().put(*(_sale(n, total="1.20", tax="0.20") for n in range(1, 451)))

    def closing() -> bool:
        return world.lane is not None and bool(world.lane.summary_work.closing)

    world.run(20_000, until=closing)
    assert closing()
    for command in (_sale(451, total="1.20", tax="0.20"), _sale(1, version=1, total="2.40", tax="0.40")):
        value = CODEC.encode("command", command)
        world.log.append((command, value))
        world._fed += 1
        world.tell(Record(world._fed - 1, command["key"].encode(), value, (), cast(Command, CODEC.decode(value))))
    _closed(world)
    assert {n: i[:2] for n, i in _invoices(world).items()} == {_NUMBER: ("PAID", "542.40")}


def test_refunds_of_a_day_never_exceed_their_order() -> None:
    world = _closed(_world().put(_sale(1)))
    world.put(_refund(1, total="90.00", tax="15.00"), _refund(1, refund_id="r2", total="31.00", tax="5.17"))
    _closed(world)
    assert [c["Total"] for c in map(world.xero.show, world.xero.credit_notes.values())] == [90]
    assert world.letter()["x-error-code"] == "refund_too_large"


def test_an_old_day_that_is_brought_in_makes_one_summary() -> None:
    world = _world()
    for order in range(20):
        world.put(_sale(order, T0)).run(10, until=lambda: False)  # each well within the quiet time of the one before
    _closed(world)
    assert {n: i[1] for n, i in _invoices(world).items()} == {_NUMBER: "2400.00"}


def test_a_newer_version_before_the_close_takes_the_place_of_the_older() -> None:
    newer = _sale(1, version=2, total="60.00", tax="10.00")
    world = _closed(_world().put(_sale(1, version=1), newer, _sale(1, version=1), _sale(2)))
    assert _invoices(world)[_NUMBER][1] == "180.00"
    assert _words(world, 1) == ["WAITING", "UNCHANGED", "WAITING", "UNCHANGED", "POSTED"], "each command has its end"
    assert world.entry(invoice_key(_KEY))["extra"]["members"] == "2"


def test_after_the_close_the_same_money_is_left_alone_and_other_money_is_held() -> None:
    world = _closed(_world().put(_sale(1)))
    world.put(_sale(1, version=1), _sale(1, version=2, total="60.00", tax="10.00", on_other_money="REISSUE")).run()
    assert _words(world, 1) == ["WAITING", "POSTED", "UNCHANGED", "HELD"]
    assert world.letter()["x-error-code"] == "other_money"
    assert "not reissued" in world.letter()["__connect.errors.exception.message"]
    assert list(_invoices(world)) == [_NUMBER]


def test_a_deleted_order_leaves_an_open_summary_and_is_held_once_that_is_closed() -> None:
    world = _world().put(
        _sale(1), _sale(2), _sale(3), envelope("CANCEL", "shop|2", None, org="uk", order="2", version=5)
    )
    _closed(world)
    assert _invoices(world)[_NUMBER][1] == "240.00"
    assert (_words(world, 2), _order(world, 2)["state"]) == (["WAITING", "UNCHANGED", "CANCELLED"], "VOIDED")
    assert world.entry(f"{_KEY}|member|shop|2")["state"] == "VOIDED"
    world.put(_sale(2), envelope("CANCEL", "shop|3", None, org="uk", order="3", version=5)).run()
    assert _words(world, 2)[-1] == "UNCHANGED", "an older version of what was deleted is not posted"
    assert _words(world, 3)[-1] == "HELD"


def test_a_summary_that_all_orders_have_left_makes_no_document_and_its_number_is_not_used_again() -> None:
    world = _closed(_world().put(_sale(1), envelope("CANCEL", "shop|1", None, org="uk", order="1", version=5)))
    assert (world.xero.invoices, world.outcomes("summary")) == ({}, ["CANCELLED"])
    _closed(world.put(_sale(2)))
    assert list(_invoices(world)) == [f"{_NUMBER}-2"]


def test_orders_that_come_to_nothing_make_no_document_and_are_done() -> None:
    world = _closed(_world().put(_sale(1, total="0.00", tax="0.00", payments=[])))
    assert (world.xero.invoices, _words(world, 1)) == ({}, ["WAITING", "POSTED"])
    assert (_order(world, 1)["status"], _order(world, 1)["xero_id"]) == ("PAID", None)


def test_what_was_posted_by_itself_stays_so_when_the_rule_changes_and_an_open_order_leaves_when_it_changes_back() -> (
    None
):
    world = _closed(_world().put(sale(1)))
    world.put(_sale(1, version=1), _sale(2)).run(5, until=lambda: False)
    assert (_order(world, 1)["kind"], _words(world, 1)[-1]) == ("invoice", "UNCHANGED")
    _closed(world.put(sale(2, version=1)))
    assert {n: i[1] for n, i in _invoices(world).items()} == {"W-1": "120.00", "W-2": "120.00"}
    assert (_order(world, 2)["kind"], _order(world, 2)["number"]) == ("invoice", "W-2")
    assert world.entry(f"{_KEY}|member|shop|2")["state"] == "VOIDED"


def test_a_version_that_was_collected_before_the_rule_changed_back_stays_left_when_it_is_read_again() -> None:
    world = _world().put(sale(9), _sale(1, total="60.00", tax="10.00"), sale(1, version=1))
    world.run(600, until=lambda: any(b'"W-1"' in (send.call.body or b"") for send in world.sends))
    assert world.offset == 0, "all three are read again"
    world.crash()
    _closed(world)
    assert {n: i[:2] for n, i in _invoices(world).items()} == {"W-9": ("PAID", "120.00"), "W-1": ("PAID", "120.00")}
    assert not world.letters


def test_another_currency_and_day_are_summaries_of_their_own() -> None:
    euros = in_summary(sale(2, currency="EUR"), _CLOSES)
    world = _closed(_world().put(_sale(1), euros, in_summary(sale(3), _CLOSES, "2026-11-21")))
    assert set(_invoices(world)) == {_NUMBER, "W-S20261120-EUR", "W-S20261121-GBP"}


def test_a_foreign_summary_carries_the_rate_that_its_orders_make_and_the_bank_their_sums() -> None:
    def foreign(order: int, rate: str, base: str, bank: str | None) -> Command:
        one = {**tender("120.00"), "bank_amount": bank, "currency_rate": None if bank else rate}
        return in_summary(sale(order, currency="USD", payments=[one]), _CLOSES, rate=rate, base_total=base)  # type: ignore[list-item]

    world = _closed(_world().put(foreign(1, "1.25", "96.00", "96.00"), foreign(2, "1.2", "100.00", "100.00")))
    (invoice,), (paid,) = world.xero.invoices.values(), world.xero.payments
    assert invoice["CurrencyRate"] == Decimal("1.22449"), "240 / 196 = 1.2244898"
    assert (paid["Amount"], paid["BankAmount"]) == (240, 196)
    same = _closed(_world().put(foreign(1, "1.25", "96.00", None), foreign(2, "1.25", "96.00", None)))
    assert next(iter(same.xero.invoices.values()))["CurrencyRate"] == Decimal("1.25")
    assert same.xero.payments[0]["CurrencyRate"] == Decimal("1.25")


def test_a_refused_summary_is_one_letter_and_its_orders_go_on_once_it_is_redriven() -> None:
    world = _world()
    world.xero.bad_accounts.add("200")
    _closed(world.put(_sale(1), _sale(2)))
    assert len(world.letters) == 1
    assert world.letter()["x-natural-key"] == invoice_key(_KEY)
    assert (world.outcomes("summary"), _order(world, 1)["state"]) == (["REFUSED"], "COLLECTED")
    world.put(_sale(3))  # the day's summary is closed, however it ended
    world.xero.bad_accounts.clear()
    command: Any = CODEC.decode(world.letters[0].value)
    _closed(world.put(command))
    assert {n: (i[0], i[1]) for n, i in _invoices(world).items()} == {
        _NUMBER: ("PAID", "240.00"), f"{_NUMBER}-2": ("PAID", "120.00"),
    }  # fmt: skip
    assert [_order(world, n)["status"] for n in (1, 2, 3)] == ["PAID"] * 3
    _closed(world.put(command))
    assert world.outcomes("summary")[-1] == "UNCHANGED", "redriven once more it changes nothing"
    assert len(world.xero.invoices) == 2


def test_a_days_refunds_are_one_credit_note_with_the_money_back_by_account() -> None:
    world = _closed(_world().put(_sale(1), _sale(2)))
    back = [tender("5.00", 1, GIFT, "Card"), tender("25.00", 2)]
    world.put(_refund(1), _refund(2, payments=back), _refund(1))
    _closed(world)
    (note,) = map(world.xero.show, world.xero.credit_notes.values())
    assert (note["CreditNoteNumber"], note["Status"], note["Total"]) == ("CN-W-S20261121-GBP", "PAID", 60)
    assert sorted((p["Account"]["Code"], str(p["Amount"])) for p in note["Payments"]) == [
        ("092", "55.00"),
        ("855", "5.00"),
    ]
    assert next(iter(world.xero.invoices.values()))["Contact"] == note["Contact"]
    own = world.entry(credit_key("shop|1", "r1"))
    assert (own["kind"], own["state"], own["status"], own["total"]) == ("order_refund", "POSTED", "PAID", "30.00")
    assert _order(world, 1)["extra"]["refund:r1"] == "30.00"
    assert world.outcomes("order_refund") == ["WAITING", "WAITING", "UNCHANGED", "POSTED", "POSTED"]
    assert world.outcomes("summary") == ["POSTED", "POSTED"]


def test_a_refund_before_its_summary_is_posted_waits_for_it_and_too_much_is_refused() -> None:
    world = _world().put(_sale(1), _refund(1), _sale(2), _refund(2, total="130.00", tax="21.67"))
    _closed(world)
    assert [c["CreditNoteNumber"] for c in world.xero.credit_notes.values()] == ["CN-W-S20261121-GBP"]
    assert world.letter()["x-error-code"] == "refund_too_large"
    assert not world.outcomes("order_refund").count("HELD")


def test_a_refund_of_an_order_that_was_posted_by_itself_stays_its_own() -> None:
    world = _closed(_world().put(sale(1)))
    _closed(world.put(_refund(1)))
    assert [c["CreditNoteNumber"] for c in world.xero.credit_notes.values()] == ["CN-W-1-r1"]


def test_a_refund_by_itself_of_an_order_in_a_summary_has_the_orders_number() -> None:
    world = _closed(_world().put(_sale(1), _sale(2)))
    _closed(world.put(refund(1), refund(2)))
    assert {c["CreditNoteNumber"] for c in world.xero.credit_notes.values()} == {"CN-W-1-r1", "CN-W-2-r1"}


def test_many_orders_are_gone_through_in_pages() -> None:
    world = _world().put(*(_sale(n, total="1.20", tax="0.20") for n in range(1, 651)))
    _closed(world)
    assert _invoices(world)[_NUMBER][:3] == ("PAID", "780.00", "130.00")
    assert world.outcomes().count("POSTED") == 650
    assert max(len(work.entries) for work in world.transactions) < 1500
    assert len([send for send in world.sends if send.call.writes]) == 3


@pytest.mark.parametrize("seed", range(25))
def test_crashes_faults_and_aborts_change_nothing_about_the_sums(seed: int) -> None:
    world = _world(seed=seed, crash_rate=0.03, fault_rate=0.15, abort_rate=0.05)
    totals = ["120.00", "60.00", "12.00", "36.00"]
    orders = range(1, 13)
    world.put(*(_sale(n, total=totals[n % 4], tax=f"{Decimal(totals[n % 4]) / 6:.2f}") for n in orders))
    world.put(
        envelope("CANCEL", "shop|3", None, org="uk", order="3", version=5),
        _sale(4, version=2, total="60.00", tax="10.00"),
    )
    world.put(*(_refund(n, total="6.00", tax="1.00") for n in (1, 2)))
    world.run(4000 + seed * 97, until=lambda: False)
    world.put(*(_sale(n) for n in (13, 14)))
    world.run(3000, until=lambda: False)
    world.calm()
    _closed(world)
    held = {n: _order(world, n) for n in (*orders, 13, 14) if n != 3}
    assert {e["status"] for e in held.values()} == {"PAID"}
    found = _invoices(world)
    sums = {number: sum(Decimal(e["total"] or 0) for e in held.values() if e["number"] == number) for number in found}
    assert {n: (i[0], Decimal(i[1])) for n, i in found.items()} == {n: ("PAID", total) for n, total in sums.items()}
    assert sum(sums.values()) == sum(Decimal(e["total"] or 0) for e in held.values())
    notes = [world.xero.show(c) for c in world.xero.credit_notes.values()]
    assert sum(c["Total"] for c in notes) == 12
    assert {c["Status"] for c in notes} == {"PAID"}
    assert len(world.xero.payments) == len({p["Reference"] for p in world.xero.payments})
    assert all(_words(world, n).count("POSTED") == 1 for n in held)
