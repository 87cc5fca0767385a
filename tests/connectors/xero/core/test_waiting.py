"""What waits for long: it blocks its own order only, leaves memory, and comes back from the ledger."""

from __future__ import annotations

from collections.abc import Callable

from connectors.xero.calls import Answer, Call
from connectors.xero.core.records import invoice_key, payment_key
from connectors.xero.settings import CoreSettings
from tests.connectors.xero.commands import sale, tender
from tests.connectors.xero.core.paper_xero import HEADERS
from tests.connectors.xero.core.world import World, books

WEEK = 7 * 86_400.0
PARTS = [tender("20.00", 1, "855"), tender("100.00", 2)]


def _world(**fields: object) -> World:
    return World(**fields).start().run(60, until=lambda: False)  # type: ignore[arg-type]


def _unreadable(world: World, spoils: Callable[[Call], bool], until: float) -> None:
    """Reads that `spoils` names are refused as a whole until then."""
    original = world.xero.do

    def do(call: Call, now: float) -> Answer:
        if call.purpose == "read_back" and now < until and spoils(call):
            world.xero.calls.append(call)
            return Answer(400, HEADERS, None, detail="no", token_id="t")
        return original(call, now)

    world.xero.do = do  # type: ignore[method-assign]


def _asks_for(number: str) -> Callable[[Call], bool]:
    return lambda call: number in dict(call.query).get("InvoiceNumbers", "").split(",")


def test_one_unreadable_document_does_not_keep_the_others_of_its_read() -> None:
    world = World(faults={2: "500_after"})
    _unreadable(world, _asks_for("W-3"), world.mono + WEEK)
    world.put(*(sale(n) for n in range(8))).start()
    world.run(600, until=lambda: world.outcomes().count("POSTED") == 7)
    assert world.outcomes().count("POSTED") == 7
    assert world.outcomes("invoice") == ["ADOPTED"] * 7
    assert len([c for c in world.calls("Invoices") if c.purpose == "read_back"]) < 16


def test_an_order_that_waits_a_week_is_in_the_ledger_and_not_in_memory() -> None:
    world = _world(faults={2: "500_after"})
    began = world.mono
    _unreadable(world, _asks_for("W-1"), began + WEEK)
    world.put(sale(1))
    world.run(3600, until=lambda: False)
    lane = world.lane
    assert lane is not None
    assert world.offset == 1
    entry = world.entry(invoice_key("shop|1"))
    assert (entry["state"], entry["command"]) == ("WAITING", world.log[0][1])
    seen: list[int] = []
    while world.mono < began + WEEK - 3600:
        world.run(900, until=lambda: False)
        seen.append(len(lane.desk.jobs) + len(lane.desk.parked) + len(lane.planner.batches) + len(lane.desk.numbers))
    assert min(seen) == 0
    reads = [c for c in world.calls("Invoices") if c.purpose == "read_back"]
    assert len(reads) < 6 * 24 * 7 * 1.2, "asked about once in ten minutes"
    world.put(sale(2)).run(60, until=lambda: "POSTED" in world.outcomes())
    world.run(2 * 3600)
    assert books(world) == {"W-1": ("120.00", ["120.00"]), "W-2": ("120.00", ["120.00"])}
    assert world.outcomes("invoice") == ["POSTED", "ADOPTED"]


def test_more_waiting_orders_than_memory_holds_stop_nobody() -> None:
    world = _world(settings=CoreSettings(held_in_memory=20, intake=10, batch=10), faults={})
    stuck = {f"W-{n}" for n in range(50)}
    until = world.mono + 3 * 3600
    _unreadable(world, lambda call: bool(stuck & set(dict(call.query).get("InvoiceNumbers", "").split(","))), until)
    original = world._fault

    def faults(call: Call) -> str:
        mine = call.writes and call.path == "Invoices" and any(f'"{n}"'.encode() in (call.body or b"") for n in stuck)
        return "500_after" if mine and world.mono < until else original(call)

    world._fault = faults  # type: ignore[method-assign]
    world.put(*(sale(n, customer=n % 7) for n in range(50)))
    world.run(7200, until=lambda: world.offset == 50)
    assert world.offset == 50
    assert world.lane is not None
    sends = len(world.sends)
    world.put(*(sale(n, customer=n % 7) for n in range(1000, 1030)))
    world.run(3600, until=lambda: world.outcomes().count("POSTED") == 30)
    assert world.outcomes().count("POSTED") == 30
    assert len(world.lane.desk.jobs) <= 20
    assert len([s for s in world.sends[sends:] if s.call.purpose == "read_back"]) < 60, "live orders go first"
    world.run(86_400)
    assert world.outcomes().count("POSTED") == 80
    assert len(books(world)) == 80


def test_the_tenders_of_an_order_leave_memory_together() -> None:
    world = _world(faults={3: "500_after"})
    until = world.mono + 3 * 3600
    _unreadable(world, lambda call: "IDs" in dict(call.query), until)
    world.put(sale(1, payments=PARTS))
    assert world.lane is not None
    empty: list[bool] = []
    while world.mono < until - 600:
        world.run(120, until=lambda: False)
        empty.append(not world.lane.desk.jobs)
    assert any(empty)
    assert world.entry(payment_key("shop|1", 1))["intention"] is not None
    world.run(2 * 3600)
    assert books(world) == {"W-1": ("120.00", ["20.00", "100.00"])}
    assert world.outcomes("payment") == ["ADOPTED", "ADOPTED"]


def test_a_later_version_of_an_order_that_left_memory_waits_behind_it() -> None:
    world = _world(faults={2: "500_after"})
    until = world.mono + 6 * 3600
    _unreadable(world, _asks_for("W-1"), until)
    world.put(sale(1))
    lane = world.lane
    assert lane is not None
    world.run(3 * 3600, until=lambda: bool(world.offset and not lane.desk.jobs))
    world.put(sale(1, version=5))
    world.run(5, until=lambda: world.offset == 2)
    assert world.offset == 2
    assert len(world.calls("Invoices")) == len({c.idempotency_key for c in world.calls("Invoices")} - {None}) + len(
        [c for c in world.calls("Invoices") if c.purpose == "read_back"]
    )
    world.run(8 * 3600)
    assert world.outcomes() == ["WAITING", "WAITING", "POSTED", "UNCHANGED"]


def test_a_new_owner_goes_on_with_what_had_left_memory() -> None:
    world = _world(faults={2: "500_after"})
    until = world.mono + 3 * 3600
    _unreadable(world, _asks_for("W-1"), until)
    world.put(sale(1))
    world.run(3600, until=lambda: False)
    world.crash()
    world.run(6 * 3600)
    assert books(world) == {"W-1": ("120.00", ["120.00"])}
    assert world.outcomes("invoice") == ["ADOPTED"]


def test_a_part_payment_is_read_back_only_when_a_late_commit_has_had_its_time() -> None:
    world = _world(faults={3: "500_before"}).put(sale(1, payments=PARTS)).run()
    sent = next(at for at, s in zip(world.sent_at, world.sends, strict=True) if s.call.path == "Payments")
    read = next(at for at, s in zip(world.sent_at, world.sends, strict=True) if s.call.purpose == "read_back")
    assert read - sent >= CoreSettings().deadline
    assert books(world) == {"W-1": ("120.00", ["20.00", "100.00"])}


def test_a_batch_that_is_never_told_of_one_document_does_not_call_for_it_without_end() -> None:
    world = _world()
    original, until = world.xero.do, world.mono + 86_400

    def silent(call: Call, now: float) -> Answer:
        answer = original(call, now)
        if now < until and call.path == "Contacts" and call.writes and isinstance(answer.body, dict):
            rows = [row for row in answer.body["Contacts"] if row.get("ContactNumber") != "WC1"]
            return Answer(200, answer.headers, {**answer.body, "Contacts": rows}, token_id="t")
        return answer

    world.xero.do = silent  # type: ignore[method-assign]
    world.put(sale(1), sale(2))
    world.run(3600, until=lambda: False)
    assert world.outcomes().count("POSTED") == 1
    assert len(world.calls("Contacts")) < 20
    world.run(2 * 86_400)
    assert sorted(books(world)) == ["W-1", "W-2"]


def test_a_taken_name_is_made_the_customers_own_however_often_his_write_was_unclear() -> None:
    world = _world()
    original, left = world.xero.do, [6]

    def unclear(call: Call, now: float) -> Answer:
        if call.path == "Contacts" and call.writes and left[0]:
            left[0] -= 1
            return Answer(200, HEADERS, {"Contacts": []}, token_id="t")
        return original(call, now)

    world.xero.do = unclear  # type: ignore[method-assign]
    world.xero.contacts["c-other"] = {"ContactID": "c-other", "ContactStatus": "ACTIVE", "Name": "Customer 1"}
    world.put(sale(1)).run(7200)
    assert world.outcomes()[-1] == "POSTED"
    assert sorted(c["Name"] for c in world.xero.contacts.values()) == ["Customer 1", "Customer 1 (WC1)"]
    assert not world.letters
