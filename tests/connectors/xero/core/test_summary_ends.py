"""How a daily summary ends otherwise: refused, in a closed period, and what its orders hear of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connectors.xero.core.records import invoice_key
from schemas.types import Command
from tests.connectors.xero.commands import envelope, in_summary, refund, sale
from tests.connectors.xero.core.test_summaries import (
    _CLOSES,
    _KEY,
    _NUMBER,
    _closed,
    _invoices,
    _order,
    _refund,
    _sale,
    _world,
)
from tests.connectors.xero.core.world import CODEC, World


def _told(world: World, order: int) -> list[tuple[str, str | None, str | None]]:
    """Of an order: outcome, status and code of each result."""
    found = [r for r in world.results if r["kind"] == "order" and r["key"] == f"shop|{order}"]
    return [(r["outcome"], r["status"], r["error_code"]) for r in found]


def test_a_refused_summary_tells_each_of_its_orders_once_for_each_refusal_and_then_that_it_is_posted() -> None:
    world = _world()
    world.xero.bad_accounts.add("200")
    _closed(world.put(_sale(1), _sale(2)))
    refused = ("REFUSED", "COLLECTED", "account_invalid")
    assert [_told(world, n) for n in (1, 2)] == [[("WAITING", "COLLECTED", None), refused]] * 2
    why = next(r for r in world.results if r["key"] == "shop|1" and r["outcome"] == "REFUSED")
    assert (why["number"], why["total"], why["error_class"]) == (_NUMBER, "120.00", "mapping")
    said = "Xero: Account code '200' is not a valid code for this document."
    assert why["message"] == f"Its summary {_NUMBER} was refused: {said}"
    assert "One letter stands for the whole summary" in (why["hint"] or "")
    command: Any = CODEC.decode(world.letters[0].value)
    _closed(world.put(command))
    assert world.outcomes("summary") == ["REFUSED", "REFUSED"]
    assert _told(world, 1)[-1] == refused
    assert len(_told(world, 1)) == 2, "the same once more is nothing new to an order"
    world.xero.bad_accounts.clear()
    world.xero.lock = "2026-11-20"
    _closed(world.put(command))
    assert _told(world, 1)[2:] == [("REFUSED", "COLLECTED", "locked_period")], "another reason is"
    world.xero.lock = ""
    _closed(world.put(command))
    assert [_told(world, n)[3:] for n in (1, 2)] == [[("POSTED", "PAID", None)]] * 2
    assert [one for one in world.outcomes("summary") if one != "WAITING"] == ["REFUSED"] * 3 + ["POSTED"]
    assert (world.entry(invoice_key(_KEY))["state"], len(world.letters)) == ("POSTED", 3)


def test_a_summary_whose_payment_is_refused_or_whose_number_is_taken_tells_its_orders_too() -> None:
    world = _world()
    world.on_send = lambda send: setattr(world.xero, "lock", "2026-11-20" if send.call.path == "Payments" else "")
    _closed(world.put(_sale(1)))
    assert _told(world, 1)[-1] == ("REFUSED", "COLLECTED", "locked_period")
    assert world.entry(invoice_key(_KEY))["xero_id"] is not None
    world.on_send, world.xero.lock = lambda send: None, ""
    command: Any = CODEC.decode(world.letters[0].value)
    _closed(world.put(command))
    assert _told(world, 1)[-1] == ("POSTED", "PAID", None)
    assert _invoices(world)[_NUMBER][0] == "PAID"


def test_many_orders_of_a_refused_summary_are_told_in_pages_whatever_crashes() -> None:
    world = _world(seed=5, crash_rate=0.02, abort_rate=0.1)
    world.xero.bad_accounts.add("200")
    world.put(*(_sale(n, total="1.20", tax="0.20") for n in range(1, 451)))
    world.run(6000, until=lambda: "REFUSED" in world.outcomes("summary"))
    _closed(world)
    assert world.crashes > 0
    told = [r["key"] for r in world.results if r["kind"] == "order" and r["outcome"] == "REFUSED"]
    assert (len(told), len(set(told))) == (450, 450)
    assert len(world.letters) == world.outcomes("summary").count("REFUSED") == 1
    assert max(len(work.results) for work in world.transactions) < 500


def test_the_refunds_of_a_refused_credit_note_are_told_why() -> None:
    world = _closed(_world().put(_sale(1), _sale(2)))
    world.xero.bad_accounts.add("200")
    _closed(world.put(_refund(1), _refund(2)))
    told = [(r["key"], r["outcome"], r["number"]) for r in world.results if r["kind"] == "order_refund"]
    assert told[2:] == [(f"shop|{n}", "REFUSED", "CN-W-S20261121-GBP") for n in (1, 2)]
    world.xero.bad_accounts.clear()
    command: Any = CODEC.decode(world.letters[0].value)
    _closed(world.put(command))
    assert world.outcomes("order_refund")[4:] == ["POSTED", "POSTED"]
    assert world.outcomes("order") == ["WAITING", "WAITING", "POSTED", "POSTED"], "the orders themselves are not told"


def test_an_order_whose_newer_version_is_held_says_so_when_its_summary_is_posted() -> None:
    world = _world()
    world.xero.bad_accounts.add("200")
    _closed(world.put(_sale(1), _sale(2)))
    world.put(_sale(1, version=2, total="60.00", tax="10.00")).run()
    world.put(envelope("CANCEL", "shop|2", None, org="uk", order="2", version=5)).run()
    world.xero.bad_accounts.clear()
    command: Any = CODEC.decode(world.letters[0].value)
    _closed(world.put(command))
    assert _told(world, 1)[-1] == ("POSTED", "PAID", "other_money")
    assert _told(world, 2)[-1] == ("POSTED", "PAID", "deleted_after_posting")


def test_refunds_of_a_days_own_orders_are_in_the_same_credit_note_as_all_others_of_that_day() -> None:
    monday, tuesday = "2026-11-20", "2026-11-21"
    late = _CLOSES + timedelta(days=1)
    world = _closed(_world().put(_sale(1)))
    world.put(in_summary(sale(2), late, tuesday), in_summary(sale(3, currency="EUR"), late, tuesday))
    world.put(in_summary(refund(1), late, tuesday), in_summary(refund(2), late, tuesday))
    _closed(world)
    assert monday < tuesday
    notes = [(c["CreditNoteNumber"], str(c["Total"])) for c in map(world.xero.show, world.xero.credit_notes.values())]
    assert notes == [("CN-W-S20261121-GBP", "60.00")]
    assert world.outcomes("order_refund").count("POSTED") == 2


def test_refunds_do_not_wait_for_a_summary_of_sales_that_has_a_letter() -> None:
    late = _CLOSES + timedelta(days=1)
    world = _closed(_world().put(_sale(1)))
    world.put(in_summary(refund(1), late, "2026-11-21"), in_summary(refund(2), late, "2026-11-21"))
    world.on_send = lambda send: world.xero.bad_accounts.update({"200"} if send.call.path == "Invoices" else set())
    world.put(in_summary(sale(2), late, "2026-11-21"))
    world.run(200_000, until=lambda: "REFUSED" in world.outcomes("summary"))
    world.on_send = lambda send: None
    world.xero.bad_accounts.clear()
    _closed(world)
    assert [c["CreditNoteNumber"] for c in world.xero.credit_notes.values()] == ["CN-W-S20261121-GBP"]
    command: Any = CODEC.decode(world.letters[0].value)
    _closed(world.put(command))
    assert [c["CreditNoteNumber"] for c in world.xero.credit_notes.values()] == [
        "CN-W-S20261121-GBP", "CN-W-S20261121-GBP-2",
    ]  # fmt: skip


def _locked(world: World, until: str) -> World:
    """Closed in Xero, and seen to be: reference data is read hourly."""
    world.xero.lock = until
    return world.run(3700, until=lambda: False)


def test_a_summary_that_closes_after_its_day_was_locked_is_dated_to_the_first_open_day_by_rule() -> None:
    def moved(command: Command, day: str) -> Command:
        return in_summary(command, _CLOSES + timedelta(days=2), day, first_open_day=True)

    world = _world().put(moved(sale(1), "2026-11-20"), moved(sale(2), "2026-11-20"))
    _closed(_locked(world, "2026-11-24"))
    (invoice,) = world.xero.invoices.values()
    assert (invoice["InvoiceNumber"], invoice["Date"], invoice["DueDate"]) == (_NUMBER, "2026-11-25", "2026-11-25")
    assert {p["Date"] for p in world.xero.payments} == {"2026-11-25"}
    assert world.entry(invoice_key(_KEY))["extra"]["dated"] == "2026-11-25"
    done = next(r for r in world.results if r["kind"] == "summary")
    assert "dated 2026-11-25 instead of 2026-11-20: the books were closed when it was to be sent" in done["findings"]
    world.put(moved(sale(3), "2026-11-20"), moved(refund(1), "2026-11-21"))  # a supplement, and the day's credit note
    _closed(world)
    (note,) = world.xero.credit_notes.values()
    late = [i for i in world.xero.invoices.values() if i["InvoiceNumber"] == f"{_NUMBER}-2"]
    assert (note["Date"], [i["Date"] for i in late]) == ("2026-11-25", ["2026-11-25"])
    assert {p["Date"] for p in world.xero.payments} == {"2026-11-25"}
    assert not world.letters


def test_a_summary_of_a_locked_day_is_one_letter_without_a_call_until_a_person_opens_the_period() -> None:
    world = _world().put(_sale(1, _CLOSES + timedelta(days=2)))
    _closed(_locked(world, "2026-11-24"))
    assert not [send for send in world.sends if send.call.writes]
    letter = world.letter()
    assert (letter["x-error-class"], letter["x-error-code"]) == ("locked_period", "locked_period")
    assert "(1 order) closed after its day was locked" in letter["__connect.errors.exception.message"]
    assert "books are closed until 2026-11-24" in letter["__connect.errors.exception.message"]
    assert "Open the period in Xero, then `k2x dlt redrive`" in letter["x-error-hint"]
    assert _told(world, 1)[-1] == ("REFUSED", "COLLECTED", "locked_period")
    world.xero.lock = ""  # not yet read by us: the redrive asks Xero
    command: Any = CODEC.decode(world.letters[0].value)
    _closed(world.put(command))
    assert [i["Date"] for i in world.xero.invoices.values()] == ["2026-11-20"]
    assert _told(world, 1)[-1] == ("POSTED", "PAID", None)


def test_a_lock_that_comes_between_invoice_and_payments_moves_the_payments_only() -> None:
    world = _world()
    command = in_summary(sale(1), _CLOSES, first_open_day=True)
    world.on_send = lambda send: setattr(world.xero, "lock", "2026-11-20" if send.call.path == "Payments" else "")
    _closed(world.put(command))
    world.on_send = lambda send: None
    assert world.letter()["x-error-code"] == "locked_period"
    _locked(world, "2026-11-20")
    again: Any = CODEC.decode(world.letters[0].value)
    _closed(world.put(again))
    assert [i["Date"] for i in world.xero.invoices.values()] == ["2026-11-20"]
    assert [p["Date"] for p in world.xero.payments] == ["2026-11-21"]
    assert "dated" not in world.entry(invoice_key(_KEY))["extra"], "the invoice is of its day"
    assert _invoices(world)[_NUMBER][0] == "PAID"


@pytest.mark.parametrize("seed", range(8))
def test_a_dated_summary_is_there_once_whatever_crashes(seed: int) -> None:
    world = _world(seed=seed, crash_rate=0.05, fault_rate=0.2, abort_rate=0.05)
    close = _CLOSES + timedelta(days=2)
    world.put(*(in_summary(sale(n), close, first_open_day=True) for n in (1, 2, 3)))
    _locked(world, "2026-11-24")
    world.run(180_000, until=lambda: bool(world.xero.invoices))
    world.xero.lock = "2026-11-25"  # once more, while it is under way
    world.calm()
    _closed(world)
    for letter in world.letters:
        again: Any = CODEC.decode(letter.value)
        _closed(_locked(world, "2026-11-25").put(again))
    assert {n: i[:2] for n, i in _invoices(world).items()} == {_NUMBER: ("PAID", "360.00")}
    assert [i["Date"] for i in world.xero.invoices.values()] == ["2026-11-25"]
    assert {_order(world, n)["status"] for n in (1, 2, 3)} == {"PAID"}
