"""Edited orders: credited as Xero holds them and issued anew, once, in this order, whatever gets lost on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from connectors.xero.calls import Answer, Call
from connectors.xero.core.records import credit_key, former_key, invoice_key, payment_key, refund_key
from schemas.types import Command
from tests.connectors.xero.commands import GIFT, STRIPE, envelope, refund, sale, tender
from tests.connectors.xero.core.paper_xero import HEADERS
from tests.connectors.xero.core.world import World

HOME = invoice_key("shop|1")
WHOLE = {"W-1": "PAID 120.00", "CN-W-1-reissue1": "PAID 120.00", "W-1-R2": "PAID 60.00"}


def _world(**fields: object) -> World:
    return World(**fields).start().run(60, until=lambda: False)  # type: ignore[arg-type]


def _sold(*orders: int, **fields: object) -> World:
    return _world(**fields).put(*(sale(order) for order in orders or (1,))).run()


def _edit(order: int = 1, version: int = 9, total: str = "60.00", tax: str = "10.00", **more: Any) -> Command:
    return sale(order, version=version, total=total, tax=tax, **{"on_other_money": "REISSUE", **more})


def _books(world: World) -> dict[str, str]:
    """Number → status and total, of everything in Xero."""
    shown = [world.xero.show(one) for one in (*world.xero.invoices.values(), *world.xero.credit_notes.values())]
    return {one.get("InvoiceNumber") or one["CreditNoteNumber"]: f"{one['Status']} {one['Total']}" for one in shown}


def _payments(world: World) -> list[str]:
    return [f"{p['Amount']} {p['Reference']} {p['Account'].get('Code')}" for p in world.xero.payments]


def test_an_edited_order_is_credited_as_it_was_and_issued_anew() -> None:
    world = _sold().put(_edit()).run()
    assert _books(world) == WHOLE
    assert _payments(world) == [
        f"120.00 W-1/1 ch_1 {STRIPE}",
        f"120.00 CN-W-1-reissue1/1 W-1/1 back {STRIPE}",
        f"60.00 W-1-R2/1 ch_1 {STRIPE}",
    ]
    note, (old, new) = next(iter(world.xero.credit_notes.values())), world.xero.invoices.values()
    assert (note["Contact"], note["TotalTax"]) == (old["Contact"], old["TotalTax"])
    assert new["Reference"] == old["Reference"] == "1"
    assert world.outcomes() == ["POSTED", "POSTED"]
    assert [world.outcomes(kind) for kind in ("credit_note", "refund")] == [["POSTED"], ["POSTED"]]
    last = world.results[-1]
    assert (last["number"], last["total"]) == ("W-1-R2", "60.00")
    assert any("W-1 was credited by CN-W-1-reissue1" in finding for finding in last["findings"])
    assert not world.letters


def test_the_ledger_keeps_the_former_invoice_and_the_new_one_has_payment_keys_of_its_own() -> None:
    world = _sold()
    first = world.entry(HOME)
    world.put(edit := _edit()).run()
    former, entry = world.entry(former_key("shop|1", 1)), world.entry(HOME)
    kept = ("number", "xero_id", "hash", "version", "total")
    assert [former[name] for name in kept] == [first[name] for name in kept]  # type: ignore[literal-required]
    assert (former["status"], entry["status"]) == ("CREDITED", "PAID")
    assert (entry["number"], entry["version"], entry["total"]) == ("W-1-R2", edit["version"], "60.00")
    assert entry["xero_id"] != first["xero_id"]
    assert world.entry(payment_key("shop|1", 1))["total"] == "120.00"
    assert world.entry(payment_key("shop|1", 1, 2))["total"] == "60.00"
    assert world.entry(payment_key("shop|1", 1, 2))["extra"]["account"] == STRIPE
    assert world.entry(credit_key("shop|1", "@reissue1"))["status"] == "PAID"
    assert "note" not in world.entry(credit_key("shop|1", "@reissue1"))["extra"]
    assert world.entry(refund_key("shop|1", "@reissue1", 1))["state"] == "POSTED"


def test_fifty_reissues_cost_few_calls() -> None:
    world = _sold(*range(50))
    before = len(world.sends)
    world.put(*(_edit(order) for order in range(50))).run()
    assert world.outcomes().count("POSTED") == 100
    assert len(world.sends) - before <= 18


def test_each_payment_goes_back_to_its_own_account() -> None:
    world = _world().put(sale(1, payments=[tender("20.00", 1, GIFT, "Card"), tender("100.00", 2)])).run()
    world.put(_edit(payments=[tender("60.00", 1)])).run()
    assert [p for p in _payments(world) if p.split()[1].startswith("CN-")] == [
        f"20.00 CN-W-1-reissue1/1 W-1/1 back {GIFT}",
        f"100.00 CN-W-1-reissue1/2 W-1/2 back {STRIPE}",
    ]


def test_the_money_is_not_given_back_before_it_came() -> None:
    late = {**tender("120.00"), "date": "2026-11-23"}
    world = _world().put(sale(1, payments=[late])).run()  # type: ignore[list-item]
    world.put(_edit()).run()
    assert [p["Date"] for p in world.xero.payments] == ["2026-11-23", "2026-11-23", "2026-11-20"]
    assert next(iter(world.xero.credit_notes.values()))["Date"] == "2026-11-20"


def test_a_still_newer_version_goes_on_to_the_third_invoice() -> None:
    world = _sold().put(_edit()).run().put(_edit(version=12, total="30.00", tax="5.00")).run()
    assert _books(world) == {**WHOLE, "CN-W-1-R2-reissue2": "PAID 60.00", "W-1-R3": "PAID 30.00"}
    assert world.entry(HOME)["number"] == "W-1-R3"
    assert world.entry(former_key("shop|1", 2))["number"] == "W-1-R2"
    assert not world.letters


def test_older_versions_and_the_same_one_redriven_change_nothing() -> None:
    world = _sold().put(_edit()).run()
    calls = len(world.sends)
    world.put(sale(1), _edit(), _edit(version=5, total="1.20", tax="0.20")).run()
    assert world.outcomes()[2:] == ["UNCHANGED"] * 3
    assert len(world.sends) == calls


def test_a_later_refund_is_of_the_new_invoice() -> None:
    world = _sold().put(_edit(), refund(1)).run()
    assert _books(world) == {**WHOLE, "CN-W-1-R2-r1": "PAID 30.00"}
    world.put(refund(1, "r2", total="36.00", tax="6.00")).run()
    assert world.letter()["x-error-code"] == "refund_too_large"


def test_a_free_order_is_issued_anew_too() -> None:
    world = _world().put(sale(1, total="0.00", tax="0.00", payments=[])).run().put(_edit()).run()
    assert _books(world) == {"W-1": "PAID 0.00", "CN-W-1-reissue1": "PAID 0.00", "W-1-R2": "PAID 60.00"}


# -- what is not reissued -------------------------------------------------------------------------------------------


def _void(world: World) -> None:
    next(iter(world.xero.invoices.values()))["Status"] = "VOIDED"


def _other_total(world: World) -> None:
    next(iter(world.xero.invoices.values()))["Total"] = Decimal("121.00")


def _payment_gone(world: World) -> None:
    world.xero.payments.clear()


def _payment_of_a_stranger(world: World) -> None:
    world.xero.payments[0] = {**world.xero.payments[0], "PaymentID": "other", "Reference": "cash"}


def _renumbered(world: World) -> None:
    next(iter(world.xero.invoices.values()))["InvoiceNumber"] = "W-1-old"


def _forgotten_account(world: World) -> None:
    entry = world.entry(payment_key("shop|1", 1))
    world.change({**entry, "extra": {}})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_void, "status: the ledger has PAID, Xero has VOIDED"),
        (_other_total, "total: the ledger has 120.00, Xero has 121.00"),
        (_payment_gone, "status: the ledger has PAID, Xero has AUTHORISED"),
        (_payment_of_a_stranger, "'cash') is not one that k2x made"),
        (_renumbered, "W-1 is not in Xero"),
        (_forgotten_account, "the account of payment W-1/1 is not known"),
    ],
    ids=["voided", "other total", "payment deleted", "paid by hand", "renumbered", "account unknown"],
)
def test_an_invoice_that_is_not_what_the_ledger_says_is_held_with_the_reason(
    change: Callable[[World], None], why: str
) -> None:
    world = _sold()
    change(world)
    writes = sum(send.call.writes for send in world.sends)
    world.put(_edit()).run()
    letter = world.letter()
    assert (letter["x-error-class"], letter["x-error-code"]) == ("held", "not_reissued")
    assert why in letter["__connect.errors.exception.message"]
    assert sum(send.call.writes for send in world.sends) == writes
    assert world.entry(HOME)["status"] == "PAID", "the ledger's word about the first version stands"


def test_an_order_of_which_a_refund_was_taken_is_held() -> None:
    world = _sold().put(refund(1), _edit()).run()
    assert "a refund has been taken of W-1" in world.letter()["__connect.errors.exception.message"]
    assert "W-1-R2" not in _books(world)


def test_an_unpaid_invoice_is_not_issued_anew() -> None:
    world = _world().put(sale(1, payments=[tender("100.00")]), _edit()).run()
    assert "because it is not PAID" in world.letter(1)["__connect.errors.exception.message"]
    assert list(_books(world)) == ["W-1"]


def test_a_number_of_another_order_is_found_before_anything_is_credited() -> None:
    world = _world().put(sale(1), sale(2, number="W-1-R2")).run().put(_edit()).run()
    assert "its next number W-1-R2 belongs to shop|2" in world.letter()["__connect.errors.exception.message"]
    assert not world.xero.credit_notes


# -- trouble on the way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "500_before", "500_after", "html_after", "503", "404"])
@pytest.mark.parametrize("write", [4, 5, 6, 7], ids=["credit note", "money back", "invoice", "payment"])
def test_whatever_happens_to_a_call_each_document_is_there_once(write: int, fault: str) -> None:
    world = _world(faults={write: fault}).put(sale(1)).run()
    world.put(_edit()).run()
    assert _books(world) == WHOLE
    assert len(world.xero.payments) == 3
    assert not world.letters


@pytest.mark.parametrize(
    ("path", "nth"), [("CreditNotes", 1), ("Payments", 1), ("Invoices", 1), ("Payments", 2)],
    ids=["credit note", "money back", "invoice", "payment"],
)  # fmt: skip
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
def test_a_crash_at_any_phase_leaves_one_of_each(path: str, nth: int, done: bool) -> None:
    world = _sold()
    crashed = world.crash_at(path, done=done, nth=nth)
    world.put(_edit()).run()
    assert crashed
    assert _books(world) == WHOLE
    assert len(world.xero.payments) == 3
    assert world.outcomes()[-1] == "POSTED"
    assert not world.letters


def test_a_crash_at_every_transaction_leaves_one_of_each() -> None:
    for seed in range(6):
        world = World(seed=seed, crash_rate=0.08, abort_rate=0.05, fault_rate=0.08).start()
        world.put(*(sale(order) for order in (1, 2, 3))).put(*(_edit(order) for order in (1, 2, 3)))
        world.at(3600.0, world.calm, None)
        world.run(200_000)
        for order in (1, 2, 3):
            expected = {f"W-{order}": "PAID 120.00", f"CN-W-{order}-reissue1": "PAID 120.00"}
            found = {number: text for number, text in _books(world).items() if number in expected}
            assert found == expected, seed
            assert _books(world)[f"W-{order}-R2"] == "PAID 60.00", seed
        assert len(world.xero.payments) == 9, seed


def test_a_person_who_voids_the_invoice_while_the_credit_note_is_in_doubt_stops_it() -> None:
    world = _sold()
    original = world.xero.do

    def voiding(call: Call, now: float) -> Answer:
        if call.writes and call.path == "CreditNotes":
            _void(world)
            world.crash()
            return Answer(0, token_id="t")
        return original(call, now)

    world.xero.do = voiding  # type: ignore[method-assign]
    world.put(_edit()).run()
    assert world.letter()["x-error-code"] == "not_reissued"
    assert not world.xero.credit_notes
    assert world.entry(HOME)["status"] == "PAID"
    assert world.entry(credit_key("shop|1", "@reissue1"))["intention"] is None


def test_a_credit_note_that_xero_refuses_leaves_the_order_as_it_was_and_redriving_goes_on() -> None:
    world = _world()
    world.put(sale(1, account="299")).run()
    world.xero.bad_accounts.add("299")
    world.put(_edit()).run()
    assert world.letter()["x-error-code"] == "account_invalid"
    assert world.entry(HOME)["status"] == "PAID"
    world.xero.bad_accounts.clear()
    world.put(_edit()).run()
    assert _books(world) == WHOLE


def _no_gift_refunds(world: World) -> Callable[[], None]:
    original = world.xero._refund

    def refusing(row: dict[str, Any], note: dict[str, Any]) -> dict[str, Any]:
        if row["Account"].get("Code") == GIFT:
            flags = {"HasValidationErrors": True, "ValidationErrors": [{"Message": "Account could not be found"}]}
            return {**row, **flags}
        return original(row, note)

    world.xero._refund = refusing  # type: ignore[method-assign]
    return lambda: setattr(world.xero, "_refund", original)


def _half_credited() -> tuple[World, Callable[[], None]]:
    world = _world().put(sale(1, payments=[tender("20.00", 1, GIFT, "Card"), tender("100.00", 2)])).run()
    mend = _no_gift_refunds(world)
    return world.put(_edit()).run(), mend


def test_while_money_is_not_back_no_new_invoice_comes_and_refunds_wait() -> None:
    world, mend = _half_credited()
    assert "20.00 of it not given back" in world.letter()["__connect.errors.exception.message"]
    assert "W-1-R2" not in _books(world)
    world.put(refund(1)).run()
    assert world.outcomes("order_refund") == ["WAITING"]
    mend()
    world.put(_edit()).run()
    assert _books(world) == {**WHOLE, "CN-W-1-R2-r1": "PAID 30.00"}
    assert world.outcomes("order_refund")[-1] == "POSTED"


def test_a_newer_version_of_a_half_credited_order_goes_on_with_it_even_with_the_first_money() -> None:
    world, mend = _half_credited()
    mend()
    world.put(sale(1, version=12)).run()
    assert _books(world) == {**WHOLE, "W-1-R2": "PAID 120.00"}


def test_a_refused_new_invoice_is_not_taken_by_an_older_version() -> None:
    world = _sold()
    world.xero.bad_accounts.add("299")
    world.put(_edit(account="299")).run()
    assert world.letter()["x-error-code"] == "account_invalid"
    world.put(sale(1), _edit(version=5)).run()
    assert "W-1-R2" not in _books(world)
    assert world.outcomes()[-2:] == ["UNCHANGED", "UNCHANGED"]
    world.put(_edit()).run()
    assert _books(world) == WHOLE


def test_an_order_that_waits_half_done_goes_on_from_the_ledger() -> None:
    """Xero is away for an hour after the credit note."""
    world = _sold()
    original, until = world.xero.do, world.mono + 3600

    def away(call: Call, now: float) -> Answer:
        if world.xero.credit_notes and now < until:
            return Answer(503, {}, None, token_id="t")
        return original(call, now)

    world.xero.do = away  # type: ignore[method-assign]
    world.put(_edit(), sale(1, version=10, total="60.00", tax="10.00")).run(1800, until=lambda: False)
    assert world.offset == 3, "both are in the ledger"
    world.start().run(7200)
    assert _books(world) == WHOLE
    assert world.outcomes().count("POSTED") == 2


def test_a_contact_that_is_unknown_when_the_order_is_credited_goes_to_a_person() -> None:
    world = _sold(1, 2)
    original, gone = world.xero.do, str(world.entry(HOME)["contact_id"])
    world.xero.do = lambda call, now: (  # type: ignore[method-assign]
        Answer(404, HEADERS, None, token_id="t")
        if call.path == "CreditNotes" and call.writes and gone in str(call.body)
        else original(call, now)
    )
    world.put(_edit(1), _edit(2)).run()
    told = [outcome for outcome in world.outcomes() if outcome != "WAITING"]
    assert sorted(told[-2:]) == ["POSTED", "REFUSED"]
    assert "W-1-R2" not in _books(world)
    assert world.entry(HOME)["status"] == "PAID"


def test_an_order_deleted_between_credit_and_new_invoice_is_over() -> None:
    world = _sold()
    world.xero.bad_accounts.add("299")
    cancel = envelope("CANCEL", "shop|1", None, org="uk", order="1", version=20)
    world.put(_edit(account="299")).run().put(cancel).run()
    assert world.outcomes()[-1] == "CANCELLED"
    assert sorted(_books(world)) == ["CN-W-1-reissue1", "W-1"]


# -- a person's decision --------------------------------------------------------------------------------------------


def test_reissue_by_a_persons_decision_is_for_this_one_version() -> None:
    world = _sold()
    held = _edit(on_other_money="HOLD")
    world.put(held).run()
    assert world.letter()["x-error-code"] == "other_money"
    world.put_with({"x-decision": "reissue"}, held).run()
    assert _books(world) == WHOLE
    world.put(_edit(version=12, total="30.00", tax="5.00", on_other_money="HOLD")).run()
    assert world.outcomes()[-1] == "HELD"


def test_a_decision_waits_with_its_command() -> None:
    world = _sold()
    original, until = world.xero.do, world.mono + 600
    world.xero.do = lambda call, now: (  # type: ignore[method-assign]
        Answer(503, {}, None, token_id="t") if now < until else original(call, now)
    )
    world.put_with({"x-decision": "reissue"}, _edit(on_other_money="HOLD")).run(300, until=lambda: False)
    assert world.outcomes()[-1] == "WAITING"
    world.start().run(7200)
    assert _books(world) == WHOLE


def _corrected(world: World) -> None:
    """By hand: the payment is deleted, the line's price changed, and it is paid again."""
    (invoice,) = world.xero.invoices.values()
    line = {**invoice["LineItems"][0], "UnitAmount": Decimal("60.00")}
    invoice.update(LineItems=[line], Total=Decimal("60.00"), TotalTax=Decimal("10.00"))
    world.xero.payments[:] = [
        {**world.xero.payments[0], "PaymentID": "by hand", "Amount": Decimal("60.00"), "Reference": "W-1/1"}
    ]


def test_post_takes_a_version_to_which_xero_was_corrected_by_hand() -> None:
    world = _sold()
    world.put(held := _edit(on_other_money="HOLD")).run()
    _corrected(world)
    writes = sum(send.call.writes for send in world.sends)
    world.put_with({"x-decision": "post"}, held).run()
    assert world.outcomes() == ["POSTED", "HELD", "ADOPTED"]
    assert sum(send.call.writes for send in world.sends) == writes
    entry = world.entry(HOME)
    assert (entry["version"], entry["total"], entry["status"]) == (held["version"], "60.00", "PAID")
    assert world.entry(payment_key("shop|1", 1))["xero_id"] == "by hand"
    world.put(sale(1), held).run()
    assert world.outcomes()[3:] == ["UNCHANGED", "UNCHANGED"]


def test_post_of_what_xero_does_not_hold_is_held_again_with_the_differences() -> None:
    world = _sold()
    world.put_with({"x-decision": "post"}, _edit()).run()
    text = world.letter()["__connect.errors.exception.message"]
    assert world.letter()["x-error-code"] == "other_money"
    assert "total: the order has 60.00, Xero has 120.00" in text
    assert "payments: the order has 60.00, Xero has 120.00" in text
    assert world.entry(HOME)["total"] == "120.00"


def test_a_deletion_is_posted_only_once_the_invoice_is_voided() -> None:
    world = _sold()
    cancel = envelope("CANCEL", "shop|1", None, org="uk", order="1", version=5)
    world.put_with({"x-decision": "post"}, cancel).run()
    assert "it is PAID there" in world.letter()["__connect.errors.exception.message"]
    _void(world)
    world.put_with({"x-decision": "post"}, cancel).run()
    assert world.outcomes() == ["POSTED", "HELD", "CANCELLED"]
    assert world.entry(HOME)["state"] == "VOIDED"
    assert world.entry(former_key("shop|1", 1))["status"] == "VOIDED"
    world.put(sale(1)).run()
    assert world.outcomes()[-1] == "UNCHANGED", "the version before the deletion stays over"


def test_what_is_sent_for_the_credit_note_is_xeros_own_line_net_of_discounts() -> None:
    world = _sold()
    (invoice,) = world.xero.invoices.values()
    line = {**invoice["LineItems"][0], "Quantity": Decimal(3), "UnitAmount": Decimal("50.00"), "DiscountRate": 20}
    invoice["LineItems"] = [{**line, "LineAmount": Decimal("120.00"), "TaxAmount": Decimal("20.00")}]
    world.put(_edit()).run()
    call = next(c for c in world.calls("CreditNotes") if c.writes)
    (sent,) = json.loads(call.body or b"", parse_float=Decimal)["CreditNotes"][0]["LineItems"]
    assert (sent["Quantity"], sent["UnitAmount"], sent["TaxAmount"]) == (3, 40, 20)
    assert "DiscountRate" not in sent
