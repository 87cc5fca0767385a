"""Refunds: behind their sale, once, to the cent, and together never more than was posted, whatever gets lost."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connectors.xero.calls import Answer, Call
from connectors.xero.core.records import credit_key, invoice_key, refund_key
from tests.connectors.xero.commands import GIFT, STRIPE, envelope, refund, sale, tender
from tests.connectors.xero.core.paper_xero import HEADERS
from tests.connectors.xero.core.world import World


def _world(**fields: object) -> World:
    return World(**fields).start().run(60, until=lambda: False)  # type: ignore[arg-type]


def _sold(*orders: int, **fields: object) -> World:
    return _world(**fields).put(*(sale(order) for order in orders or (1,))).run()


def _refunds(world: World) -> list[str]:
    return world.outcomes("order_refund")


def _notes(world: World) -> dict[str, tuple[str, str, list[str]]]:
    """Number → status, total, payments."""
    shown = map(world.xero.show, world.xero.credit_notes.values())
    return {
        c["CreditNoteNumber"]: (
            c["Status"],
            str(c["Total"]),
            [f"{p['Amount']} {p['Reference']}" for p in c["Payments"]],
        )
        for c in shown
    }


def test_a_refund_is_a_credit_note_of_the_sales_contact_and_the_money_back() -> None:
    world = _sold().put(refund(1)).run()
    assert _notes(world) == {"CN-W-1-r1": ("PAID", "30.00", ["30.00 CN-W-1-r1/1 re_1"])}
    (note,) = world.xero.credit_notes.values()
    (invoice,) = world.xero.invoices.values()
    assert note["Contact"] == invoice["Contact"]
    assert world.outcomes("credit_note") == world.outcomes("refund") == _refunds(world) == ["POSTED"]
    assert world.entry(credit_key("shop|1", "r1"))["status"] == "PAID"
    assert world.entry(refund_key("shop|1", "r1", 1))["state"] == "POSTED"
    assert world.entry(invoice_key("shop|1"))["status"] == "PAID", "the sale stays what it was"
    assert not world.letters


def test_fifty_cash_refunds_cost_two_calls() -> None:
    world = _sold(*range(50))
    before = len(world.sends)
    world.put(*(refund(order) for order in range(50))).run()
    sent = [s.call.purpose for s in world.sends[before:] if s.call.writes]
    assert _refunds(world) == ["POSTED"] * 50
    assert sent.count("credit_notes") == sent.count("refunds") <= 2, "the first may go before the others have come"


def test_each_tender_gets_its_part_back() -> None:
    back = [tender("10.00", 1, GIFT, "Card"), tender("20.00", 2, STRIPE, "re_2")]
    world = _sold().put(refund(1, payments=back)).run()
    assert _notes(world)["CN-W-1-r1"] == ("PAID", "30.00", ["10.00 CN-W-1-r1/1 Card", "20.00 CN-W-1-r1/2 re_2"])


def test_a_refund_that_comes_again_is_left_alone_without_a_call() -> None:
    world = _sold().put(refund(1)).run()
    sends = len(world.sends)
    world.put(refund(1), refund(1, version=99)).run()
    assert _refunds(world) == ["POSTED", "UNCHANGED", "UNCHANGED"]
    assert len(world.sends) == sends


def test_the_same_refund_with_another_amount_is_held() -> None:
    world = _sold().put(refund(1), refund(1, total="60.00", tax="10.00")).run()
    assert _refunds(world) == ["POSTED", "HELD"]
    assert world.letter()["x-error-code"] == "refund_differs"
    assert len(world.xero.credit_notes) == 1


def test_several_refunds_of_an_order_never_exceed_it() -> None:
    parts = [("a", "60.00", "10.00"), ("b", "60.00", "10.00"), ("c", "0.06", "0.01")]
    world = _sold().put(*(refund(1, id_, total=total, tax=tax) for id_, total, tax in parts)).run()
    assert _refunds(world) == ["POSTED", "POSTED", "REFUSED"]
    letter = world.letter()
    assert (letter["x-error-class"], letter["x-error-code"]) == ("validation", "refund_too_large")
    assert "0.06 GBP" in letter["__connect.errors.exception.message"]
    assert "only 0.00 is left" in letter["__connect.errors.exception.message"]


def test_a_refund_that_xero_refused_takes_nothing_of_what_is_left() -> None:
    world = _sold()
    world.xero.bad_accounts.add("299")
    world.put(refund(1, "a", total="120.00", tax="20.00", account="299")).run()
    assert world.letter()["x-error-code"] == "account_invalid"
    world.put(refund(1, "b", total="120.00", tax="20.00")).run()
    assert _refunds(world) == ["REFUSED", "POSTED"]


def test_a_refund_before_its_sale_waits_for_it_and_a_restart_changes_nothing() -> None:
    world = _world().put(refund(1), refund(1, "r2")).run()
    assert _refunds(world) == ["WAITING", "WAITING"]
    assert world.offset == 2, "it waits in the ledger"
    world.start()
    world.put(sale(1)).run()
    assert _refunds(world).count("POSTED") == 2
    assert [total for _, total, _ in _notes(world).values()] == ["30.00", "30.00"]


def test_a_refund_of_an_order_deleted_before_it_was_posted_is_nothing() -> None:
    cancel = envelope("CANCEL", "shop|1", None, org="uk", order="1", version=5)
    world = _world().put(cancel, refund(1)).run()
    assert _refunds(world) == ["UNCHANGED"]
    assert not world.xero.credit_notes
    assert not world.letters


def test_a_refund_of_a_sale_that_is_posted_and_unpaid_is_held_for_a_person() -> None:
    world = _world()
    world.xero.dropped_accounts.add("476")
    world.put(sale(1, account="476"), refund(1)).run()
    assert world.letter(1)["x-error-code"] == "refund_of_unpaid"
    assert not world.xero.credit_notes


def test_refunds_behind_an_order_that_waits_are_all_kept_beside_its_newest_version() -> None:
    """Xero is away for an hour: the order's later versions supersede each other, its refunds do not."""
    world = _world()
    original, until = world.xero.do, world.mono + 3600
    world.xero.do = lambda call, now: (  # type: ignore[method-assign]
        Answer(503, {}, None, token_id="t") if now < until else original(call, now)
    )
    world.put(sale(1), refund(1, "a"), sale(1, version=3), refund(1, "b"), sale(1, version=4))
    world.run(1800, until=lambda: False)
    assert world.offset == 5, "all of it is in the ledger"
    world.start().run(7200)
    assert sorted(_notes(world)) == ["CN-W-1-a", "CN-W-1-b"]
    assert _refunds(world).count("POSTED") == 2
    assert len(world.xero.invoices) == 1


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "500_before", "500_after", "html_after", "503", "404"])
@pytest.mark.parametrize("write", [4, 5], ids=["credit note", "money back"])
def test_whatever_happens_to_a_call_the_refund_is_made_once(write: int, fault: str) -> None:
    world = _world(faults={write: fault}).put(sale(1)).run()
    world.put(refund(1)).run()
    assert _notes(world) == {"CN-W-1-r1": ("PAID", "30.00", ["30.00 CN-W-1-r1/1 re_1"])}
    assert _refunds(world)[-1] == "POSTED"
    assert not world.letters


@pytest.mark.parametrize("path", ["CreditNotes", "Payments"])
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
def test_a_crash_while_a_refund_is_sent_leaves_one(path: str, done: bool) -> None:
    world = _sold()
    crashed = world.crash_at(path, done=done)
    world.put(refund(1)).run()
    assert crashed
    assert _notes(world) == {"CN-W-1-r1": ("PAID", "30.00", ["30.00 CN-W-1-r1/1 re_1"])}
    assert ("ADOPTED" in world.outcomes("credit_note") + world.outcomes("refund")) == done


def test_a_credit_note_of_our_number_that_is_somebody_elses_is_a_conflict_and_nothing_is_given_back() -> None:
    world = _sold()
    (invoice,) = world.xero.invoices.values()
    world.xero.credit_notes["foreign"] = {
        "Type": "ACCRECCREDIT", "CreditNoteID": "foreign", "CreditNoteNumber": "CN-W-1-r1", "Reference": "CN-W-1-r1",
        "Status": "AUTHORISED", "Total": Decimal("31.00"), "TotalTax": Decimal("5.17"), "Contact": invoice["Contact"],
        "LineItems": [],
    }  # fmt: skip
    world.put(refund(1)).run()
    letter = world.letter()
    assert (letter["x-error-class"], letter["x-error-code"]) == ("conflict", "credit_note_differs")
    assert "31.00" in letter["__connect.errors.exception.message"]
    assert not _notes(world)["CN-W-1-r1"][2]


def test_a_part_that_cannot_be_given_back_is_told_and_the_rest_is() -> None:
    world = _sold()
    original = world.xero._refund

    def refusing(row, note):  # type: ignore[no-untyped-def]
        if row["Account"].get("Code") == GIFT:
            flags = {"HasValidationErrors": True, "ValidationErrors": [{"Message": "Account could not be found"}]}
            return {**row, **flags}
        return original(row, note)

    world.xero._refund = refusing  # type: ignore[method-assign]
    world.put(refund(1, payments=[tender("10.00", 1, GIFT, "Card"), tender("20.00", 2)])).run()
    assert _notes(world)["CN-W-1-r1"][2] == ["20.00 CN-W-1-r1/2 ch_1"]
    assert "10.00 of it not given back" in world.letter()["__connect.errors.exception.message"]
    world.xero._refund = original  # type: ignore[method-assign]
    world.put(refund(1, payments=[tender("10.00", 1, GIFT, "Card"), tender("20.00", 2)])).run()
    assert _notes(world)["CN-W-1-r1"][0] == "PAID"
    assert _refunds(world) == ["REFUSED", "POSTED"]


def test_a_refunds_unknown_contact_goes_to_a_person_and_no_other_refund() -> None:
    world = _sold(1, 2, 3)
    original = world.xero.do
    gone = str(world.entry(invoice_key("shop|2"))["contact_id"])
    world.xero.do = lambda call, now: (  # type: ignore[method-assign]
        Answer(404, HEADERS, None, token_id="t")
        if call.path == "CreditNotes" and call.writes and gone in str(call.body)
        else original(call, now)
    )
    world.put(*(refund(order) for order in (1, 2, 3))).run()
    assert sorted(_refunds(world)) == ["POSTED", "POSTED", "REFUSED", "WAITING"], (
        "it is asked again before it is believed"
    )
    assert sorted(_notes(world)) == ["CN-W-1-r1", "CN-W-3-r1"]


def test_a_gateways_404_to_a_lone_credit_note_refuses_no_refund() -> None:
    world = _sold(1)
    original, answered = world.xero.do, 0

    def gateway(call: Call, now: float) -> Answer:
        nonlocal answered
        if call.purpose != "credit_notes" or answered == 4:
            return original(call, now)
        answered += 1
        return Answer(404, {}, None, token_id="t")

    world.xero.do = gateway  # type: ignore[method-assign]
    world.put(refund(1)).run()
    assert answered == 4
    assert _refunds(world)[-1] == "POSTED"
    assert not world.letters


def test_after_a_lost_ledger_a_sale_and_a_refund_that_xero_holds_whole_are_adopted_and_paid() -> None:
    """Xero shows both with nothing left: what has been paid is not taken off once more."""
    before, world = _sold().put(refund(1)).run(), _world()
    for name in ("invoices", "payments", "credit_notes", "contacts"):
        setattr(world.xero, name, getattr(before.xero, name))
    world.put(sale(1), refund(1)).run()
    kinds = ("invoice", "payment", "order", "credit_note", "refund", "order_refund")
    assert [world.outcomes(kind) for kind in kinds] == [
        ["ADOPTED"], ["ADOPTED"], ["POSTED"], ["ADOPTED"], ["ADOPTED"], ["POSTED"],
    ]  # fmt: skip
    assert not world.letters
    assert len(world.xero.payments) == 2
