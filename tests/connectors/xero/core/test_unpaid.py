"""Refunds and deletions of orders that are in Xero unpaid: voided or credited by rule, once, to the cent, else held."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import pytest

from connectors.xero.core.records import allocation_key, credit_key, invoice_key
from schemas.types import Command, Tender
from tests.connectors.xero.commands import GIFT, STRIPE, envelope, refund, sale, tender
from tests.connectors.xero.core.world import World

_NO_ACCOUNT = "777"  # payments to it are refused


def _world(**fields: object) -> World:
    """One whose Xero does not know the account of some payments."""
    world = World(**fields)  # type: ignore[arg-type]
    original = world.xero._payment

    def refusing(row: dict[str, Any]) -> dict[str, Any]:
        if row["Account"].get("Code") == _NO_ACCOUNT and "Invoice" in row:
            flags = {"HasValidationErrors": True, "ValidationErrors": [{"Message": "Account could not be found"}]}
            return {**row, **flags}
        return original(row)

    world.xero._payment = refusing  # type: ignore[method-assign]
    return world.start().run(60, until=lambda: False)


def _unpaid(paid: str = "0.00", **fields: object) -> World:
    """Order 1 of 120.00 is in Xero; a gift card has paid so much of it."""
    due = Decimal("120.00") - Decimal(paid)
    tenders = [tender(paid, 1, GIFT, "Card"), tender(str(due), 2, _NO_ACCOUNT)]
    world = _world(**fields).put(sale(1, payments=tenders if Decimal(paid) else [tender("120.00", 1, _NO_ACCOUNT)]))
    return world.run()


def _refund(rule: str, refund_id: str = "r1", total: str = "120.00", tax: str = "20.00", **changes: Any) -> Command:
    return cast(Command, {**refund(1, refund_id, total=total, tax=tax, **changes), "on_unpaid": rule})


def _cancel(rule: str, version: int = 10) -> Command:
    return cast(
        Command, {**envelope("CANCEL", "shop|1", None, org="uk", order="1", version=version), "on_unpaid": rule}
    )


def _invoice(world: World) -> tuple[str, str, str]:
    (one,) = map(world.xero.show, world.xero.invoices.values())
    return one["Status"], str(one["AmountPaid"]), str(one["AmountCredited"])


def _notes(world: World) -> dict[str, tuple[str, list[str], list[str]]]:
    """Number → status, allocations, payments."""
    return {
        c["CreditNoteNumber"]: (
            c["Status"],
            [str(a["Amount"]) for a in c["Allocations"]],
            [f"{p['Amount']} {p['Account'].get('Code')}" for p in c["Payments"]],
        )
        for c in map(world.xero.show, world.xero.credit_notes.values())
    }


def _ends(world: World) -> list[str]:
    return world.outcomes("order_refund")


def test_a_full_refund_of_an_unpaid_sale_voids_its_invoice_and_makes_no_credit_note() -> None:
    world = _unpaid().put(_refund("VOID")).run()
    assert _invoice(world) == ("VOIDED", "0", "0")
    assert not world.xero.credit_notes
    assert _ends(world) == ["POSTED"]
    entry = world.entry(invoice_key("shop|1"))
    assert (entry["state"], entry["status"], entry["intention"]) == ("VOIDED", "VOIDED", None)
    (result,) = [r for r in world.results if r["kind"] == "order_refund"]
    assert (result["number"], result["status"], result["total"]) == ("W-1", "VOIDED", "120.00")


def test_what_comes_after_a_void_changes_nothing_and_costs_no_call() -> None:
    world = _unpaid().put(_refund("VOID")).run()
    sends, letters = len(world.sends), len(world.letters)
    tenders = [tender("120.00", 1, _NO_ACCOUNT)]
    world.put(_refund("VOID"), _refund("CREDIT"), sale(1, version=20, payments=tenders), _cancel("VOID", 30)).run()
    assert _ends(world) == ["POSTED", "UNCHANGED", "UNCHANGED"]
    assert world.outcomes() == ["REFUSED", "UNCHANGED", "UNCHANGED"]
    assert len(world.sends) == sends
    assert len(world.letters) == letters
    world.put(_refund("VOID", "r2", "1.20", "0.20"), _refund("VOID", total="60.00", tax="10.00")).run()
    assert [world.letter(n)["x-error-code"] for n in (1, 2)] == ["refund_too_large", "refund_differs"]


def test_a_version_with_other_money_of_a_voided_order_is_held() -> None:
    world = _unpaid().put(_refund("VOID")).run()
    world.put(sale(1, version=20, total="60.00", tax="10.00", on_other_money="REISSUE")).run()
    assert world.letter(1)["x-error-code"] == "other_money"
    assert len(world.xero.invoices) == 1


def test_a_part_of_an_unpaid_sale_is_credited_under_either_rule_and_the_rest_stays_due() -> None:
    for rule in ("VOID", "CREDIT"):
        world = _unpaid().put(_refund(rule, total="30.00", tax="5.00")).run()
        assert _notes(world) == {"CN-W-1-r1": ("PAID", ["30.00"], [])}
        assert _invoice(world) == ("AUTHORISED", "0", "30.00")
        assert (_ends(world), world.outcomes("allocation")) == (["POSTED"], ["POSTED"])
        assert world.entry(allocation_key("shop|1", "r1"))["total"] == "30.00"
        assert world.entry(credit_key("shop|1", "r1"))["status"] == "PAID"
        assert world.entry(invoice_key("shop|1"))["state"] == "REFUSED", "90.00 are still a person's"


def test_several_parts_that_come_to_all_of_it_settle_the_invoice_and_never_exceed_it() -> None:
    parts = [("a", "30.00", "5.00"), ("b", "90.00", "15.00"), ("c", "0.06", "0.01")]
    world = _unpaid().put(*(_refund("VOID", *part) for part in parts)).run()
    assert _invoice(world) == ("PAID", "0", "120.00")
    assert _ends(world) == ["POSTED", "POSTED", "REFUSED"]
    assert world.letter(1)["x-error-code"] == "refund_too_large"
    assert world.entry(invoice_key("shop|1"))["status"] == "PAID"
    world.put(sale(1, version=30, payments=[tender("120.00", 1, _NO_ACCOUNT)])).run()
    assert world.outcomes() == ["REFUSED", "UNCHANGED"]


def test_of_a_partly_paid_sale_what_is_due_is_credited_and_what_was_paid_goes_back_where_it_came_from() -> None:
    back = [tender("30.00", 1, GIFT, "Card"), tender("90.00", 2, STRIPE)]
    for rule in ("VOID", "CREDIT"):
        world = _unpaid("30.00").put(_refund(rule, payments=back[::-1])).run()
        assert _notes(world) == {"CN-W-1-r1": ("PAID", ["90.00"], [f"30.00 {GIFT}"])}
        assert _invoice(world) == ("PAID", "30.00", "90.00")
        assert _ends(world) == ["POSTED"]
        assert world.entry(invoice_key("shop|1"))["status"] == "PAID"


def test_money_back_by_another_means_than_it_came_is_as_the_refund_says() -> None:
    world = _unpaid("30.00").put(_refund("CREDIT", total="100.00", tax="16.67")).run()
    assert _notes(world)["CN-W-1-r1"] == ("PAID", ["90.00"], [f"10.00 {STRIPE}"])
    world.put(_refund("CREDIT", "r2", "20.00", "3.33")).run()
    assert _notes(world)["CN-W-1-r2"] == ("PAID", [], [f"20.00 {STRIPE}"]), "nothing is due any more: all of it back"


def test_a_share_in_another_currency_than_the_accounts_is_left_to_a_person() -> None:
    foreign = cast(Tender, {**tender("120.00"), "bank_amount": "140.00"})
    world = _unpaid("30.00").put(_refund("CREDIT", payments=[foreign])).run()
    assert world.letter(1)["x-error-code"] == "refund_of_unpaid"
    assert not world.xero.credit_notes


def test_by_default_a_person_decides_and_the_decision_is_carried_out() -> None:
    for decision, status, notes in (
        ("void", "VOIDED", {}),
        ("credit", "PAID", {"CN-W-1-r1": ("PAID", ["120.00"], [])}),
    ):
        world = _unpaid().put(_refund("HOLD")).run()
        assert world.letter(1)["x-error-code"] == "refund_of_unpaid"
        world.put_with({"x-decision": decision}, _refund("HOLD")).run()
        assert _ends(world) == ["HELD", "POSTED"]
        assert _invoice(world)[0] == status
        assert _notes(world) == notes


def test_a_deleted_order_that_is_unpaid_is_voided_by_rule_or_decision_and_is_over() -> None:
    for rule, headers in (("VOID", {}), ("HOLD", {"x-decision": "void"})):
        world = _unpaid().put_with(headers, _cancel(rule)).run()
        assert _invoice(world)[0] == "VOIDED"
        assert world.outcomes() == ["REFUSED", "CANCELLED"]
        world.put(sale(1, version=5), refund(1)).run()
        assert (world.outcomes()[-1], _ends(world)) == ("UNCHANGED", ["UNCHANGED"])


@pytest.mark.parametrize(("rule", "paid"), [("HOLD", "0.00"), ("CREDIT", "0.00"), ("VOID", "30.00")])
def test_a_deleted_order_that_is_not_to_be_voided_or_has_been_paid_in_part_is_held(rule: str, paid: str) -> None:
    world = _unpaid(paid).put(_cancel(rule)).run()
    assert world.letter(1)["x-error-code"] == "deleted_after_posting"
    assert _invoice(world)[0] == "AUTHORISED"


def test_a_paid_sale_is_refunded_and_a_deletion_of_it_is_held_whatever_the_rule() -> None:
    world = _world().put(sale(1), _refund("VOID"), _cancel("VOID", 20)).run()
    assert _notes(world) == {"CN-W-1-r1": ("PAID", [], [f"120.00 {STRIPE}"])}
    assert world.letter()["x-error-code"] == "deleted_after_posting"
    assert _invoice(world)[0] == "PAID"


def _paid_by_hand(world: World) -> None:
    (id_,) = world.xero.invoices
    row = {"Invoice": {"InvoiceID": id_}, "Account": {"Code": "092"}, "Amount": Decimal("1.00"), "Reference": "cash"}
    world.xero.payments.append({**row, "PaymentID": "by hand", "Status": "AUTHORISED"})


def _credited_by_hand(world: World) -> None:
    (id_,) = world.xero.invoices
    own = {"CreditNote": {"CreditNoteID": "other"}, "Invoice": {"InvoiceID": id_}}
    world.xero.allocations.append({**own, "Amount": Decimal("1.00"), "AllocationID": "by hand"})


def _renumbered(world: World) -> None:
    next(iter(world.xero.invoices.values()))["InvoiceNumber"] = "OTHER"


@pytest.mark.parametrize("by_hand", [_paid_by_hand, _credited_by_hand, _renumbered])
@pytest.mark.parametrize("command", [_refund("VOID"), _refund("CREDIT"), _cancel("VOID")])
def test_an_invoice_that_xero_holds_otherwise_than_the_ledger_is_left_alone(by_hand: Any, command: Command) -> None:
    world = _unpaid()
    by_hand(world)
    world.put(command).run()
    assert world.letter(1)["x-error-class"] == "held"
    assert not world.xero.credit_notes
    assert _invoice(world)[0] == "AUTHORISED"


def test_an_invoice_that_a_person_has_voided_is_taken_for_that_and_a_part_of_it_is_held() -> None:
    for command, ends in ((_refund("VOID"), ["POSTED"]), (_refund("CREDIT", total="30.00", tax="5.00"), ["HELD"])):
        world = _unpaid()
        next(iter(world.xero.invoices.values()))["Status"] = "VOIDED"
        world.put(command).run()
        assert _ends(world) == ends
        assert not world.xero.credit_notes


def test_a_void_that_xero_refuses_is_held_with_its_words_and_leaves_the_sale_as_it_was() -> None:
    world = _unpaid()
    text = "The document date cannot be before the period lock date, currently set at 30 November 2026"
    world.xero._void = lambda row: {**row, "HasErrors": True, "ValidationErrors": [{"Message": text}]}  # type: ignore[method-assign]
    world.put(_refund("VOID")).run()
    assert (world.letter(1)["x-error-class"], world.letter(1)["x-error-code"]) == ("held", "refund_of_unpaid")
    assert f"could not be voided. Xero: {text}" in world.letter(1)["__connect.errors.exception.message"]
    entry = world.entry(invoice_key("shop|1"))
    assert (entry["state"], entry["intention"]) == ("REFUSED", None)


def test_an_allocation_that_xero_refuses_is_told_nothing_goes_back_and_the_next_try_goes_on() -> None:
    world = _unpaid("30.00")
    original = world.xero._allocate
    words = {"HasErrors": True, "ValidationErrors": [{"Message": "No."}]}
    world.xero._allocate = lambda note, row: {**row, **words}  # type: ignore[method-assign]
    world.put(_refund("CREDIT")).run()
    assert "120.00 of it not given back" in world.letter(1)["__connect.errors.exception.message"]
    assert _notes(world) == {"CN-W-1-r1": ("AUTHORISED", [], [])}
    world.xero._allocate = original  # type: ignore[method-assign]
    world.put(_refund("CREDIT")).run()
    assert _notes(world) == {"CN-W-1-r1": ("PAID", ["90.00"], [f"30.00 {STRIPE}"])}
    assert _ends(world) == ["REFUSED", "POSTED"]


def test_a_sale_that_was_paid_after_its_credit_note_was_refused_has_it_given_back_as_money() -> None:
    world = _unpaid()
    world.xero.bad_accounts.add("299")
    world.put(_refund("CREDIT", account="299")).run()
    assert world.letter(1)["x-error-code"] == "account_invalid"
    world.xero.bad_accounts.clear()
    world.put(sale(1), _refund("CREDIT", account="299")).run()
    assert _notes(world) == {"CN-W-1-r1": ("PAID", [], [f"120.00 {STRIPE}"])}
    assert _invoice(world) == ("PAID", "120.00", "0")


def test_a_partly_credited_sale_that_comes_again_is_not_paid_as_a_whole() -> None:
    world = _unpaid().put(_refund("CREDIT", total="30.00", tax="5.00"), sale(1, version=20)).run()
    assert world.letter(1)["x-error-code"] == "partly_credited"
    assert _invoice(world) == ("AUTHORISED", "0", "30.00")


def test_a_refund_before_its_sale_has_its_turn_when_that_ends_unpaid_if_the_rule_has_something_to_do() -> None:
    for rule, ends, status in (
        ("VOID", ("WAITING", "POSTED"), "VOIDED"),
        ("HOLD", ("WAITING", "WAITING"), "AUTHORISED"),
    ):
        world = _world().put(_refund(rule)).run()
        world.put(sale(1, payments=[tender("120.00", 1, _NO_ACCOUNT)])).run()
        assert (_ends(world)[0], _ends(world)[-1], _invoice(world)[0]) == (*ends, status)


def test_of_two_refunds_before_their_sale_the_whole_voids_it_and_the_part_is_too_much() -> None:
    world = _world().put(_refund("VOID", "whole"), _refund("VOID", "part", "30.00", "5.00")).run()
    world.put(sale(1, payments=[tender("120.00", 1, _NO_ACCOUNT)])).run()
    assert _invoice(world)[0] == "VOIDED"
    assert ("POSTED" in _ends(world), _ends(world)[-1]) == (True, "REFUSED")
    assert world.letter(1)["x-error-code"] == "refund_too_large"


FAULTS = ["drop_before", "drop_after", "timeout_after", "500_before", "500_after", "html_after", "503", "404", "429"]


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_happens_to_the_void_the_invoice_is_voided_once(fault: str) -> None:
    world = _unpaid(faults={4: fault}).put(_refund("VOID")).run()
    assert _invoice(world) == ("VOIDED", "0", "0")
    assert (_ends(world)[-1], len(world.letters)) == ("POSTED", 1)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("write", [4, 5, 6], ids=["credit note", "allocation", "money back"])
def test_whatever_happens_to_a_call_the_credit_is_made_once(write: int, fault: str) -> None:
    world = _unpaid("30.00", faults={write: fault}).put(_refund("CREDIT")).run()
    assert _notes(world) == {"CN-W-1-r1": ("PAID", ["90.00"], [f"30.00 {STRIPE}"])}
    assert (_ends(world)[-1], len(world.letters)) == ("POSTED", 1)


@pytest.mark.parametrize("path", ["Invoices", "CreditNotes", "Allocations", "Payments"])
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
def test_a_crash_while_it_is_sent_leaves_one(path: str, done: bool) -> None:
    world = _unpaid("0.00" if path == "Invoices" else "30.00")
    crashed = world.crash_at(path, done=done)
    world.put(_refund("VOID")).run()
    assert crashed
    if path == "Invoices":
        assert (_invoice(world), _notes(world)) == (("VOIDED", "0", "0"), {})
    else:
        assert _notes(world) == {"CN-W-1-r1": ("PAID", ["90.00"], [f"30.00 {STRIPE}"])}
    assert (_ends(world)[-1], len(world.letters)) == ("POSTED", 1)
    kinds = {"CreditNotes": "credit_note", "Allocations": "allocation", "Payments": "refund"}
    if path in kinds:
        assert world.outcomes(kinds[path])[-1] == ("ADOPTED" if done else "POSTED")


def test_an_allocation_that_xero_calls_good_and_does_not_make_is_made_before_money_goes_back() -> None:
    world = _unpaid("30.00")
    original, answered = world.xero._allocate, list[int]()

    def liar(note: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        answered.append(1)
        return {**row, "StatusAttributeString": "OK"} if len(answered) == 1 else original(note, row)

    world.xero._allocate = liar  # type: ignore[method-assign]
    world.put(_refund("CREDIT")).run()
    assert _notes(world) == {"CN-W-1-r1": ("PAID", ["90.00"], [f"30.00 {STRIPE}"])}
    assert (len(answered), _ends(world)) == (2, ["POSTED"])


def test_a_void_and_an_allocation_leave_only_after_their_intention_is_on_the_log() -> None:
    for rule in ("VOID", "CREDIT"):
        world, keys = _unpaid(), dict[str, bool]()

        def note(send: Any, world: World = world, keys: dict[str, bool] = keys) -> None:
            if send.call.writes:
                keys[send.call.purpose] = send.call.idempotency_key in world.intended

        world.on_send = note
        world.put(_refund(rule)).run()
        assert keys == ({"voids": True} if rule == "VOID" else {"credit_notes": True, "allocations": True})


def test_a_credit_note_that_a_person_has_put_to_the_invoice_otherwise_is_a_conflict() -> None:
    world = _unpaid()
    original = world.xero._allocate

    def another_first(note: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        original(note, {**row, "Amount": Decimal("10.00")})
        return original(note, row)

    world.xero._allocate = another_first  # type: ignore[method-assign]
    world.put(_refund("CREDIT")).run()
    assert (world.letter(1)["x-error-class"], world.letter(1)["x-error-code"]) == ("conflict", "allocation_differs")
    assert _notes(world) == {"CN-W-1-r1": ("AUTHORISED", ["10.00"], [])}
