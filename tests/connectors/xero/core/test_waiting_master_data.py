"""Ledger entries that are both a document's state and the place where a command waits: neither wipes the other."""

from __future__ import annotations

from datetime import timedelta

from connectors.xero.calls import Answer, Call
from connectors.xero.core.records import invoice_key
from tests.connectors.xero.commands import T0, contact, contact_command, envelope, sale
from tests.connectors.xero.core.paper_xero import HEADERS
from tests.connectors.xero.core.test_waiting import _asks_for, _unreadable
from tests.connectors.xero.core.world import World, books


def _world(**fields: object) -> World:
    return World(**fields).start().run(60, until=lambda: False)  # type: ignore[arg-type]


def _changed(customer: int, seconds: int, email: str = "new@x.uk") -> dict[str, object]:
    return {"who": contact(customer, f"Customer {customer}", email, version=T0 + timedelta(seconds=seconds))}


def test_a_customers_change_that_waited_leaves_him_posted() -> None:
    world = _world(faults={4: "timeout_before"}).put(sale(1)).run()
    world.put(contact_command(**_changed(1, 1), version=1)).run()  # type: ignore[arg-type]
    assert world.outcomes("contact")[-1] == "POSTED"
    assert "WAITING" in world.outcomes()
    assert world.entry("shop|C1")["state"] == "POSTED"


def test_a_customers_change_that_waits_outside_of_memory_outlives_an_orders_write_of_the_same_contact() -> None:
    """The contact's id is gone in Xero while its change waits in the ledger: an order upserts it again."""
    world = _world().put(sale(1)).run()
    lane, gone = world.lane, str(world.entry("shop|C1")["xero_id"])
    assert lane is not None
    _unreadable(world, lambda call: gone in dict(call.query).get("IDs", ""), world.mono + 3600)
    world.put(contact_command(**_changed(1, 1), version=1))  # type: ignore[arg-type]
    world.run(1800, until=lambda: world.offset == 2 and not lane.desk.jobs)
    assert (world.offset, len(lane.desk.jobs)) == (2, 0)
    del world.xero.contacts[gone]
    world.put(sale(2, customer=1))
    world.run(600, until=lambda: world.outcomes().count("POSTED") == 2)
    entry = world.entry("shop|C1")
    assert (entry["state"], entry["command"]) == ("WAITING", world.log[1][1])
    world.run(7200)
    assert world.entry("shop|C1")["state"] == "POSTED"
    assert [c.get("EmailAddress") for c in world.xero.contacts.values()] == ["new@x.uk"]


def test_a_held_invoice_is_not_paid_by_a_later_version_that_waited() -> None:
    world = _world().put(sale(1, tax="19.00")).run()  # Xero computes other sums: it is there, unpaid, and held
    assert world.entry(invoice_key("shop|1"))["state"] == "HELD"
    _unreadable(world, _asks_for("W-1"), world.mono + 3600)
    world.put(sale(1, tax="19.00", version=1))
    world.run(600, until=lambda: world.offset == 2)
    assert world.entry(invoice_key("shop|1"))["state"] == "WAITING"
    world.crash()
    world.run(2 * 3600)
    assert not world.xero.payments
    assert "POSTED" not in world.outcomes()


def test_an_order_that_comes_back_after_its_deletion_is_posted_even_if_it_has_to_wait() -> None:
    world = _world(faults={1: "timeout_before"})
    world.put(envelope("CANCEL", "shop|1", None, org="uk", order="1")).run()
    world.put(sale(1, version=5)).run(600, until=lambda: world.offset == 2)
    world.crash()
    world.run()
    assert world.outcomes() == ["CANCELLED", "WAITING", "POSTED"]
    assert books(world) == {"W-1": ("120.00", ["120.00"])}


def test_changes_behind_a_customers_refused_write_have_their_turn() -> None:
    world = _world()
    original = world.xero.do

    def refused(call: Call, now: float) -> Answer:
        if world.writes == 1:
            row = {"ContactNumber": "WC1", "ValidationErrors": [{"Message": "No."}], "HasValidationErrors": True}
            return Answer(200, HEADERS, {"Contacts": [row]}, token_id="t")
        return original(call, now)

    world.xero.do = refused  # type: ignore[method-assign]
    world.put(sale(1), contact_command(**_changed(1, 1), version=1)).run()  # type: ignore[arg-type]
    assert world.offset == 2
    assert world.outcomes("contact") == ["POSTED"]


def test_an_element_with_neither_id_nor_error_is_looked_up() -> None:
    world = _world()
    original = world.xero.do

    def mute(call: Call, now: float) -> Answer:
        answer = original(call, now)
        if world.writes == 2 and "Invoices" in answer.body and answer.body["Invoices"][0].get("HasErrors") is False:
            return Answer(200, HEADERS, {"Invoices": [{"InvoiceNumber": "W-1", "HasErrors": False}]}, token_id="t")
        return answer

    world.xero.do = mute  # type: ignore[method-assign]
    world.put(sale(1)).run()
    assert world.outcomes("invoice") == ["ADOPTED"]
    assert world.outcomes()[-1] == "POSTED"


def test_a_contact_with_an_id_and_an_error_is_upserted_once_more() -> None:
    world = _world()
    original = world.xero.do

    def unsure(call: Call, now: float) -> Answer:
        answer = original(call, now)
        if call.writes and world.writes == 1:
            row = {**answer.body["Contacts"][0], "ValidationErrors": [{"Message": "An error occurred."}]}
            return Answer(200, HEADERS, {"Contacts": [row]}, token_id="t")
        return answer

    world.xero.do = unsure  # type: ignore[method-assign]
    world.put(sale(1)).run()
    assert world.outcomes() == ["POSTED"]
    assert len(world.xero.contacts) == 1


def test_a_contact_that_a_former_owner_may_still_be_writing_is_not_adopted_and_changed_before_that() -> None:
    """The former owner's upsert arrives late and would overwrite a newer change of the same customer."""
    world = _world()
    world.latency = 80.0  # the write of life 1 arrives 40 s after it left
    world.on_send = lambda send: world.crash() if send.call.path == "Contacts" and world.life == 1 else None
    world.put(sale(1, who=contact(1, email="old@x.uk")))
    world.run(60, until=lambda: world.crashes == 1)
    world.on_send = lambda send: None
    world.xero.contacts["c-old"] = {"ContactID": "c-old", "ContactStatus": "ACTIVE", "Name": "Customer 1"}
    world.xero.contacts["c-old"]["ContactNumber"] = "WC1"
    world.latency = 0.3
    world.put(contact_command(**_changed(1, 1), version=1))  # type: ignore[arg-type]
    world.run(600, until=lambda: False)
    assert world.outcomes()[-1] == "POSTED"
    assert world.xero.contacts["c-old"]["EmailAddress"] == "new@x.uk"
