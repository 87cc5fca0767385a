"""Settlements: fees and payout once, though nothing in Xero would refuse a second one, whatever gets lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.xero import batch
from connectors.xero.calls import Answer
from connectors.xero.core.records import bank_key
from connectors.xero.core.state import Step
from connectors.xero.settings import CoreSettings
from schemas.types import Command
from tests.connectors.xero.commands import sale, settlement
from tests.connectors.xero.core.world import World

KEY = "shop|settlement/stripe/po_1"


def _world(*commands: Command, **fields: object) -> World:
    world = World(**fields).start().run(60, until=lambda: False)  # type: ignore[arg-type]
    return world.put(*commands)


def _said(world: World) -> list[str]:
    return world.outcomes("settlement")


def _books(world: World) -> tuple[list[str], list[str]]:
    """What is in Xero, sides of transfers apart."""
    spent = [row for row in world.xero.bank_transactions if not row["Type"].endswith("TRANSFER")]
    return (
        [f"{row['Type']} {row['Total']} {row['Reference']}" for row in spent],
        [f"{row['FromBankAccount']['AccountID']} {row['Amount']}" for row in world.xero.bank_transfers],
    )


ONCE = (["SPEND 3.10 shop/stripe/po_1 stripe po_1"], ["acc-092 96.9"])


def _page(date: str, ids: range, reference: str = "somebody else's") -> list[dict[str, Any]]:
    return [
        {"BankTransactionID": f"a-{n:05}", "Type": "SPEND", "Total": 1, "Date": date, "Reference": reference}
        for n in ids
    ]


def test_fees_are_spent_and_the_rest_is_transferred() -> None:
    world = _world(settlement()).run()
    assert _books(world) == ONCE
    assert world.outcomes("bank_transaction") == world.outcomes("bank_transfer") == _said(world) == ["POSTED"]
    assert world.entry(f"{KEY}|settlement|0")["status"] == "PAID"
    assert world.entry(bank_key(KEY, Step.BANK_TRANSFER))["number"] == "shop/stripe/po_1"
    assert [call.path for call in world.calls("BankTransactions") + world.calls("BankTransfers")] == [
        "BankTransactions",
        "BankTransfers",
    ], "nothing is looked for that was never sent"


@pytest.mark.parametrize(
    ("payout", "fees", "expected"),
    [
        ("100.00", "0", ([], ["acc-092 100.0"])),
        ("-20.00", "120.00", (["SPEND 120.00 shop/stripe/po_1 stripe po_1"], ["acc-090 20.0"])),
        ("0", "3.10", (["SPEND 3.10 shop/stripe/po_1 stripe po_1"], [])),
        ("101.00", "-1.00", (["RECEIVE 1.00 shop/stripe/po_1 stripe po_1"], ["acc-092 101.0"])),
    ],
)
def test_a_document_of_nothing_is_left_out(payout: str, fees: str, expected: tuple[list[str], list[str]]) -> None:
    world = _world(settlement(payout=payout, fees=fees)).run()
    assert (_books(world), _said(world)) == (expected, ["POSTED"])


def test_twenty_settlements_share_a_call_for_their_fees_and_each_has_one_for_its_payout() -> None:
    world = _world(*(settlement(f"po_{n}") for n in range(20))).run()
    assert _said(world) == ["POSTED"] * 20
    assert len(world.calls("BankTransactions")) <= 5, "the first may go before the others have come"
    assert len(world.calls("BankTransfers")) == 20


def test_the_same_again_is_left_alone_without_a_call() -> None:
    world = _world(settlement()).run()
    sends = len(world.sends)
    world.put(settlement(), settlement(version=99, fee_account="405")).run()
    assert _said(world) == ["POSTED", "UNCHANGED", "UNCHANGED"], "other accounts are the same settlement"
    assert (len(world.sends), _books(world)) == (sends, ONCE)


def test_another_settlement_under_the_same_id_is_held_with_both_sides() -> None:
    world = _world(settlement(), settlement(payout="95.00", fees="5.00")).run()
    assert (_said(world), _books(world)) == (["POSTED", "HELD"], ONCE)
    letter = world.letter()
    assert letter["x-error-code"] == "settlement_differs"
    assert "96.90 GBP, fees 3.10" in letter["__connect.errors.exception.message"]
    assert "95.00 GBP, fees 5.00" in letter["__connect.errors.exception.message"]


@pytest.mark.parametrize(
    "fault", ["timeout_before", "timeout_after", "drop_after", "500_before", "500_after", "html_after", "404"]
)
@pytest.mark.parametrize("write", [1, 2])
def test_a_lost_answer_makes_no_second_one(fault: str, write: int) -> None:
    world = _world(settlement(), faults={write: fault}).run()
    assert (_books(world), _said(world)[-1]) == (ONCE, "POSTED")


def test_after_a_500_its_day_is_looked_at_only_when_the_call_must_be_over() -> None:
    world = _world(settlement(), faults={1: "500_after"}).run()
    sent = [send.call.method if send.call.path == "BankTransactions" else "" for send in world.sends]
    put, look = sent.index("PUT"), sent.index("GET")
    assert world.sent_at[look] >= world.sent_at[put] + world.settings.deadline
    assert "Reference" not in dict(world.sends[look].call.query)["where"]
    assert world.outcomes("bank_transaction") == ["ADOPTED"]


@pytest.mark.parametrize("write", [1, 2])
@pytest.mark.parametrize("arrives", [True, False])
def test_a_crash_after_the_intention_is_settled_by_a_look_at_the_day(write: int, arrives: bool) -> None:
    world = _world(settlement(), faults={} if arrives else {write: "drop_before"})
    sent = []

    def crash(send: Any) -> None:
        if send.call.writes and send.call.path.startswith("Bank"):
            sent.append(send)
            if len(sent) == write:
                world.at(0.01, world.crash, None)

    world.on_send = crash
    world.run()
    assert (_books(world), _said(world)[-1], world.crashes) == (ONCE, "POSTED", 1)
    outcome = world.outcomes("bank_transaction" if write == 1 else "bank_transfer")
    assert outcome == (["ADOPTED"] if arrives else ["POSTED"])


def test_absent_is_only_what_no_page_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours is on the second page, behind others' whose ids come first."""
    monkeypatch.setattr(batch, "DAY_PAGE", 10)
    world = _world(settlement(), faults={1: "500_after"})
    world.xero.bank_transactions += _page("2026-11-22", range(25))
    world.run()
    assert _books(world)[0][25:] == ONCE[0]
    looks = [dict(call.query)["page"] for call in world.calls("BankTransactions") if call.method == "GET"]
    assert looks == ["1", "2", "3"]


def test_a_list_that_moves_while_it_is_paged_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more comes before each of the first pages: what was pushed over an edge would be missed."""
    monkeypatch.setattr(batch, "DAY_PAGE", 10)
    world = _world(settlement(), faults={1: "500_before"})
    world.xero.bank_transactions += _page("2026-11-22", range(100, 115))
    world.xero.moving = _page("2026-11-22", range(3))
    world.run()
    looks = [dict(call.query)["page"] for call in world.calls("BankTransactions") if call.method == "GET"]
    assert looks.count("1") >= 2
    assert _books(world)[0][-1:] == ONCE[0]


def test_an_answer_without_the_list_is_no_proof_that_it_is_not_there() -> None:
    world = _world(settlement(), faults={1: "500_after"})
    honest, lies = world.xero.do, [2]

    def do(call: Any, now: float) -> Answer:
        answer = honest(call, now)
        if call.method == "GET" and call.path == "BankTransactions" and lies[0]:
            lies[0] -= 1
            return replace(answer, body={"Status": "OK"})
        return answer

    world.xero.do = do  # type: ignore[method-assign]
    world.run()
    assert _books(world) == ONCE


def test_what_is_there_under_our_marker_with_other_money_is_a_conflict() -> None:
    world = _world(settlement(), faults={1: "500_before"})
    other = {"BankTransactionID": "x", "Type": "SPEND", "Date": "2026-11-22", "Total": 9, "TotalTax": 0}
    account = {"BankAccount": {"AccountID": "ACC-092"}, "Reference": "shop/stripe/po_1 entered by hand"}
    world.xero.bank_transactions.append({**other, **account})
    world.run()
    assert _said(world) == ["WAITING", "REFUSED"]
    letter = world.letter()
    assert letter["x-error-code"] == "bank_transaction_differs"
    assert "total: the order has 3.10, Xero has 9" in letter["__connect.errors.exception.message"]
    assert not world.xero.bank_transfers
    world.xero.bank_transactions.clear()
    world.put(settlement(version=30)).run()
    assert (_books(world), _said(world)[-1]) == (ONCE, "POSTED"), "sent again, it looks before it writes"


def test_a_deleted_one_and_the_side_of_a_transfer_are_not_ours() -> None:
    world = _world(settlement(fees="0", payout="100.00"), settlement("po_2"), faults={1: "500_before"})
    gone = {"BankTransactionID": "x", "Status": "DELETED", "Type": "SPEND", "Date": "2026-11-22", "Total": 9}
    world.xero.bank_transactions.append({**gone, "Reference": "shop/stripe/po_2 x"})
    world.run()
    assert _said(world).count("POSTED") == 2


def test_refused_fees_leave_the_payout_for_a_person_and_a_redrive_goes_on() -> None:
    world = _world(settlement())
    world.xero.bad_accounts.add("404")
    world.run()
    assert (_said(world), _books(world)) == (["REFUSED"], ([], []))
    assert "nothing of it is in Xero" in world.letter()["__connect.errors.exception.message"]
    world.xero.bad_accounts.clear()
    world.put(settlement()).run()
    assert (_said(world)[-1], _books(world)) == ("POSTED", ONCE)


def test_a_refused_payout_is_no_reason_to_ask_for_ever_and_its_fees_stay() -> None:
    world = _world(settlement())
    world.xero.bad_accounts.add("acc-090")
    world.run()
    assert (_said(world), _books(world)) == (["REFUSED"], (ONCE[0], []))
    assert (
        "the fees are in Xero, the payout of 96.90 GBP is not" in world.letter()["__connect.errors.exception.message"]
    )
    assert len(world.calls("BankTransfers")) == 1
    world.xero.bad_accounts.clear()
    world.put(settlement()).run()
    assert (_said(world)[-1], _books(world)) == ("POSTED", ONCE)


def test_a_corrected_settlement_comes_in_after_xero_refused_the_first() -> None:
    world = _world(settlement())
    world.xero.bad_accounts.add("404")
    world.run()
    world.xero.bad_accounts.clear()
    world.put(settlement(payout="95.00", fees="5.00")).run()
    assert _said(world) == ["REFUSED", "POSTED"]


def test_an_error_beside_an_id_is_looked_into() -> None:
    world = _world(settlement())
    world.xero.mumbled["shop/stripe/po_1"] = "Something odd."
    world.run()
    assert (_books(world), world.outcomes("bank_transaction")) == (ONCE, ["ADOPTED"])


def test_without_its_scope_a_settlement_is_refused_and_orders_go_on() -> None:
    world = _world()
    honest = world.xero.do

    def do(call: Any, now: float) -> Answer:
        if call.path == "BankTransactions":
            return Answer(401, {}, None, detail="insufficient_scope; Unauthorized", token_id="t")
        return honest(call, now)

    world.xero.do = do  # type: ignore[method-assign]
    world.put(settlement(), sale(1)).run()
    assert (_said(world), world.outcomes()) == (["REFUSED"], ["POSTED"])
    assert (world.letter()["x-error-class"], world.letter()["x-error-code"]) == ("auth", "scope_missing")
    world.xero.do = honest  # type: ignore[method-assign]
    world.put(settlement()).run()
    assert (_books(world), _said(world)[-1]) == (ONCE, "POSTED")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_goes_wrong_each_settlement_is_there_once(seed: int) -> None:
    """Faults, aborts and crashes at every step."""
    settings = CoreSettings(held_in_memory=20)
    world = _world(*(settlement(f"po_{n}", payout=f"{90 + n}.00", fees=f"{1 + n}.00") for n in range(6)), seed=seed,
                   settings=settings, fault_rate=0.2, crash_rate=0.04, abort_rate=0.05)  # fmt: skip
    world.run(40_000, until=lambda: world.mono > 4000)
    world.calm()
    world.run(40_000)
    assert sorted(_books(world)[0]) == [f"SPEND {1 + n}.00 shop/stripe/po_{n} stripe po_{n}" for n in range(6)]
    assert sorted(_books(world)[1]) == [f"acc-092 {90 + n}.0" for n in range(6)]
    assert _said(world).count("POSTED") == 6
