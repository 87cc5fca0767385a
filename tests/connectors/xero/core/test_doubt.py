"""Unclear answers, lapses and take-overs: what is repeated, what is read back, when, and that nothing doubles."""

from __future__ import annotations

import pytest

from connectors.xero.calls import Answer, Call
from connectors.xero.core.events import Send
from connectors.xero.core.records import invoice_key
from connectors.xero.settings import CoreSettings
from tests.connectors.xero.commands import sale, tender
from tests.connectors.xero.core.world import FAULTS, World, books

SETTLED = {"W-1": ("120.00", ["20.00", "100.00"])}
PARTS = [tender("20.00", 1, "855"), tender("100.00", 2)]  # a part payment may double where a whole one cannot


def _world(**faults: object) -> World:
    world = World(**faults)  # type: ignore[arg-type]
    return world.start().run(60, until=lambda: False)


def _writes(world: World, path: str) -> list[Send]:
    return [s for s in world.sends if s.call.path == path and s.call.writes]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("write", [1, 2, 3])
def test_any_fault_at_any_step_makes_one_document_each(fault: str, write: int) -> None:
    world = _world(faults={write: fault}).put(sale(1, payments=PARTS)).run()
    assert books(world) == SETTLED
    assert "POSTED" in world.outcomes()
    assert not world.letters


@pytest.mark.parametrize("fault", ["timeout_after", "drop_after", "html_after", "drop_before"])
def test_an_unclear_call_is_repeated_with_its_bytes_key_and_token(fault: str) -> None:
    world = _world(faults={3: fault}).put(sale(1, payments=PARTS)).run()
    first, second = _writes(world, "Payments")
    assert first.call == second.call
    assert (first.same_token, second.same_token) == (None, "t")
    assert not [s for s in world.sends if s.call.purpose == "read_back"]


def test_a_500_is_read_back_because_xero_keeps_it_under_the_key() -> None:
    world = _world(faults={3: "500_after"}).put(sale(1, payments=PARTS)).run()
    assert len(_writes(world, "Payments")) == 1
    assert world.outcomes("payment") == ["ADOPTED", "ADOPTED"]


def test_a_500_before_the_commit_is_sent_again_under_a_new_key() -> None:
    world = _world(faults={3: "500_before"}).put(sale(1, payments=PARTS)).run()
    first, second = _writes(world, "Payments")
    assert first.call.idempotency_key != second.call.idempotency_key
    assert books(world) == SETTLED


# DESIGN §3.2: 3:59 is repeated under the key, 4:01 and later is read back; Xero forgets the key at 6:00.
@pytest.mark.parametrize("lost_for", [10, 239, 241, 359, 360, 361, 600, 86_400])
@pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
def test_however_long_the_answer_is_lost_there_is_one_payment(lost_for: float, fault: str) -> None:
    world = _world()
    lost: list[float] = []
    original = world._fault

    def losing(call: Call) -> str:
        if call.path == "Payments" and call.writes:
            lost.append(world.mono)
            if world.mono < lost[0] + lost_for:
                return fault
        return "drop_before" if call.purpose == "read_back" and world.mono < lost[0] + lost_for else original(call)

    world._fault = losing  # type: ignore[method-assign]
    world.put(sale(1, payments=PARTS)).run(200_000)
    assert books(world) == SETTLED
    first = _writes(world, "Payments")[0].call.idempotency_key
    same = [at for at, s in zip(world.sent_at, world.sends, strict=True) if s.call.idempotency_key == first]
    assert same[-1] - same[0] <= CoreSettings().same_key_window


def test_a_repeat_that_an_outage_delays_past_the_keys_window_is_read_back_instead() -> None:
    """Two payments whose answers a gateway loses; then one call at a time knocks, and the other's rest becomes long."""
    world = World(settings=CoreSettings(batch=1)).start().run(60, until=lambda: False)
    original, lost, until = world.xero.do, set[bytes](), world.mono + 1_000

    def away(call: Call, now: float) -> Answer:
        if call.path == "Payments" and call.writes and len(lost) < 2 and call.body not in lost:
            lost.add(call.body or b"")
            original(call, now)  # it is done, and nobody says so
        elif not lost or now > until:
            return original(call, now)
        return Answer(504, detail="Gateway time-out", token_id="t")

    world.xero.do = away  # type: ignore[method-assign]
    world.put(sale(1, payments=PARTS[:1]), sale(2, payments=PARTS[:1])).run(200_000)
    sent = [(s.call.idempotency_key, at) for s, at in zip(world.sends, world.sent_at, strict=True) if s.call.writes]
    first = dict(reversed(sent))
    assert len(lost) == 2
    assert max(at - first[key] for key, at in sent) <= CoreSettings().same_key_window
    assert [len(paid) for _, paid in books(world).values()] == [1, 1]


def test_a_limit_is_not_an_attempt_and_uses_no_key() -> None:
    world = _world(faults={2: "429"}).put(sale(1)).run()
    first, second = _writes(world, "Invoices")
    assert first.call == second.call
    assert second.same_token is None  # nothing was seen, any token may carry it
    assert world.sent_at[world.sends.index(second)] - world.sent_at[world.sends.index(first)] >= 20


def test_kept_out_pauses_the_lane_and_goes_on_by_itself() -> None:
    world = _world()
    original, until = world.xero.do, world.mono + 200
    world.xero.do = lambda call, now: (  # type: ignore[method-assign]
        Answer(403, detail="AuthenticationUnsuccessful", token_id="t") if now < until else original(call, now)
    )
    world.put(*(sale(n) for n in range(5))).run()
    assert world.outcomes().count("POSTED") == 5
    assert world.outcomes().count("WAITING") == 5  # people see why it waits
    assert len([at for at in world.sent_at if at > until - 200]) < 20
    assert not world.letters


def test_a_read_is_repeated_with_any_token() -> None:
    """Its first token may have been ended: to insist on that one would keep the whole lane out until it expires."""
    world = _world(faults={2: "500_after"})
    original, reads = world.xero.do, 0

    def down(call: Call, now: float) -> Answer:
        nonlocal reads
        if call.purpose == "read_back":
            reads += 1
            if reads < 3:
                return Answer(503, {}, None, token_id="t")
        return original(call, now)

    world.xero.do = down  # type: ignore[method-assign]
    world.put(sale(1)).run()
    assert reads == 3
    assert {s.same_token for s in world.sends if s.call.purpose == "read_back"} == {None}
    assert world.outcomes()[-1] == "POSTED"


def test_no_byte_leaves_after_the_lapse_of_its_intention() -> None:
    world = _world(faults={3: "timeout_before"})
    world.put(sale(1, payments=PARTS)).run()
    first, second = _writes(world, "Payments")
    at = [world.sent_at[world.sends.index(s)] for s in (first, second)]
    assert first.send_by is not None
    assert second.send_by is not None
    assert at[1] > first.send_by  # the time-out outlasted the intention,
    assert at[1] < second.send_by  # so it was renewed before the repeat


def test_trouble_longer_than_a_moment_waits_in_the_ledger_and_the_offset_goes_on() -> None:
    world = _world(faults={2: "timeout_before"})
    world.put(sale(1))
    world.run(62, until=lambda: world.offset == 1)
    assert world.offset == 1
    entry = world.entry(invoice_key("shop|1"))
    assert (entry["state"], entry["command"]) == ("WAITING", world.log[0][1])
    world.run()
    assert world.outcomes() == ["WAITING", "POSTED"]
    assert world.entry(invoice_key("shop|1"))["command"] is None


def test_later_versions_wait_behind_a_waiting_order_in_the_ledger() -> None:
    world = _world(faults={2: "timeout_before"})
    world.put(sale(1))
    world.run(62, until=lambda: world.offset == 1)
    world.put(sale(1, version=1), sale(1, version=3, total="60.00", tax="10.00"), sale(1, version=2))
    world.run(5, until=lambda: world.offset == 4)
    assert world.offset == 4  # all of them are finished records
    world.run()
    assert world.letter()["x-error-class"] == "held"  # the newest, against what was posted
    assert books(world) == {"W-1": ("120.00", ["120.00"])}
    assert world.outcomes().count("UNCHANGED") == 2


def test_a_new_owner_waits_for_open_intentions_only() -> None:
    world = _world()
    world.on_send = lambda send: world.crash() if send.call.path == "Invoices" and world.life == 1 else None
    world.put(sale(1))
    world.run(30, until=lambda: world.crashes == 1)
    world.put(sale(2))
    world.run(30, until=lambda: "POSTED" in world.outcomes())
    assert [r["order_id"] for r in world.results if r["kind"] == "order" and r["outcome"] == "POSTED"] == ["2"]
    world.run()
    read_back = next(at for at, s in zip(world.sent_at, world.sends, strict=True) if s.call.purpose == "read_back")
    assert read_back >= world.took_over + 90
    assert world.outcomes("invoice") == ["POSTED", "ADOPTED"]
    assert list(books(world)) == ["W-1", "W-2"]


def test_what_left_late_from_a_dead_owner_is_still_found() -> None:
    """The request is on the wire when its owner dies, and reaches Xero just before its deadline."""
    world = _world()

    def die(send: Send) -> None:
        if send.call.path == "Payments" and world.life == 1:
            world.at(59.0, lambda: world._arrived(send.call), None)
            world.crash()

    world.on_send = die
    original = world._fault
    world._fault = lambda call: "not_sent" if call.path == "Payments" and world.life == 1 else original(call)  # type: ignore[method-assign]
    world.put(sale(1, payments=PARTS)).run()
    assert books(world) == SETTLED
    assert world.outcomes("payment") == ["ADOPTED", "ADOPTED"]


def test_the_offset_never_passes_an_unfinished_record() -> None:
    world = _world(faults={4: "timeout_before"})
    world.put(*(sale(n) for n in range(3)))
    looked = 0

    def look(send: Send) -> None:
        nonlocal looked
        looked += 1
        finished = {str(r["order_id"]) for r in world.results if r["kind"] == "order"}
        assert {str(n) for n in range(world.offset)} <= finished

    world.on_send = look
    world.run()
    assert looked > 3
    assert world.offset == 3


def test_an_aborted_transaction_is_written_again_whole() -> None:
    again = 0
    for seed in range(5):
        world = World(abort_rate=0.5, seed=seed).start()
        world.put(*(sale(n) for n in range(10))).run()
        assert [len(world.outcomes(kind)) for kind in ("contact", "invoice", "payment", "order")] == [10] * 4
        again += sum(len(work.results) for work in world.transactions) - len(world.results)
    assert again, "no transaction with results was aborted: the test shows nothing"
