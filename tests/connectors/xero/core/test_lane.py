"""The lane by events: one order's way, versions, numbers, batches, order of writing. No threads, no sleeping."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from connectors.xero.core.events import Record, Revoked
from connectors.xero.core.records import invoice_key, payment_key
from tests.connectors.xero.commands import contact, contact_command, envelope, item_command, sale, tender
from tests.connectors.xero.core.world import CODEC, World, books


def _world() -> World:
    return World().start().run(60, until=lambda: False)  # reference data is read


def test_a_sale_is_contact_invoice_payment_and_paid() -> None:
    world = _world().put(sale(1)).run()
    assert [s.call.path for s in world.sends if s.call.writes] == ["Contacts", "Invoices", "Payments"]
    assert books(world) == {"W-1": ("120.00", ["120.00"])}
    assert [(r["kind"], r["outcome"]) for r in world.results] == [
        ("contact", "POSTED"), ("invoice", "POSTED"), ("payment", "POSTED"), ("order", "POSTED"),
    ]  # fmt: skip
    entry = world.entry(invoice_key("shop|1"))
    assert (entry["state"], entry["status"], entry["number"]) == ("POSTED", "PAID", "W-1")
    assert entry["intention"] is None
    assert world.entry(payment_key("shop|1", 1))["number"] == "W-1/1"
    assert world.xero.payments[0]["Reference"] == "W-1/1 ch_1"


def test_the_outcome_of_a_step_and_the_intention_of_the_next_share_a_transaction() -> None:
    world = _world()
    before = len(world.transactions)
    world.put(sale(1)).run()
    assert len(world.transactions) - before == 4


def test_a_known_customer_saves_the_contact_call() -> None:
    world = _world().put(sale(1, customer=7)).run().put(sale(2, customer=7)).run()
    assert len(world.calls("Contacts")) == 1
    assert len(world.calls("Invoices")) == 2


def test_two_orders_of_a_new_customer_make_one_contact() -> None:
    world = _world().put(sale(1, customer=7), sale(2, customer=7)).run()
    assert len(world.xero.contacts) == 1
    assert world.outcomes() == ["POSTED", "POSTED"]


@pytest.mark.parametrize("at_once", [True, False], ids=["in a burst", "one after the other"])
def test_two_customers_of_one_email_share_a_contact_however_quickly_they_come(at_once: bool) -> None:
    """A guest who registers: whoever is first makes the contact, the other one takes it over by its e-mail."""
    orders = [
        sale(n, who=contact(n, f"Buyer {n}", "Ada@example.com" if n % 2 else "ada@example.com")) for n in (1, 2, 3)
    ]
    world = _world()
    for some in [orders] if at_once else [[order] for order in orders]:
        world.put(*some).run()
    assert [c["ContactNumber"] for c in world.xero.contacts.values()] == ["WC1"]
    assert world.outcomes("contact") == ["POSTED", "ADOPTED", "ADOPTED"]
    assert world.outcomes() == ["POSTED"] * 3
    assert len({i["Contact"]["ContactID"] for i in world.xero.invoices.values()}) == 1


def test_an_email_whose_contact_is_refused_is_tried_by_the_next_customer() -> None:
    first = contact(1, "Buyer 1", "ada@example.com")
    world = _world()
    refuse = world.xero._contact
    text = "Another contact has this contact number"
    world.xero._contact = lambda row: (  # type: ignore[method-assign]
        {**row, "ContactID": "00000000-0000-0000-0000-000000000000", "HasValidationErrors": True,
         "StatusAttributeString": "ERROR", "ValidationErrors": [{"Message": text}]}
        if row["ContactNumber"] == "WC1" else refuse(row)
    )  # fmt: skip
    world.put(sale(1, who=first), sale(2, who=contact(2, "Buyer 2", "ada@example.com"))).run()
    assert world.outcomes() == ["REFUSED", "POSTED"]


def test_fifty_orders_cost_three_calls() -> None:
    world = World()
    world.put(*(sale(n) for n in range(50))).start().run()
    assert [len(world.calls(path)) for path in ("Contacts", "Invoices", "Payments")] == [1, 1, 1]


def test_every_tender_is_a_payment_of_its_own() -> None:
    parts = [tender("20.00", 1, "855", "Card 7"), tender("100.00", 2)]
    world = _world().put(sale(1, payments=parts)).run()
    assert [str(p["Reference"]) for p in world.xero.payments] == ["W-1/1 Card 7", "W-1/2 ch_1"]
    assert world.outcomes() == ["POSTED"]


def test_an_order_of_zero_is_paid_without_a_payment() -> None:
    world = _world().put(sale(1, total="0.00", tax="0.00", payments=[])).run()
    assert world.outcomes() == ["POSTED"]
    assert not world.calls("Payments")


def test_an_invoice_with_something_due_is_not_called_paid() -> None:
    world = _world().put(sale(1, payments=[tender("100.00")])).run()
    assert world.outcomes() == ["REFUSED"]
    assert (world.letter()["x-error-class"], world.letter()["x-error-code"]) == ("conflict", "not_fully_paid")
    assert world.entry(invoice_key("shop|1"))["state"] == "HELD"


# -- versions -------------------------------------------------------------------------------------------------------


def test_a_version_at_or_below_the_posted_one_is_left_alone() -> None:
    world = _world().put(sale(1, version=5)).run()
    calls = len(world.sends)
    world.put(sale(1, version=5), sale(1, version=4, total="60.00", tax="10.00")).run()
    assert world.outcomes() == ["POSTED", "UNCHANGED", "UNCHANGED"]
    assert len(world.sends) == calls


def test_a_newer_version_with_the_same_money_moves_the_ledger_only() -> None:
    newer = sale(1, version=9)
    world = _world().put(sale(1)).run().put(newer).run()
    assert world.outcomes() == ["POSTED", "UNCHANGED"]
    assert world.entry(invoice_key("shop|1"))["version"] == newer["version"]
    assert len(world.calls("Invoices")) == 1


def test_other_money_is_held_with_both_sides_shown() -> None:
    changed = sale(1, version=9, total="60.00", tax="10.00")
    world = _world().put(sale(1)).run().put(changed).run()
    headers = world.letter()
    assert headers["x-error-class"] == "held"
    assert "120.00" in headers["__connect.errors.exception.message"]
    assert "60.00" in headers["__connect.errors.exception.message"]
    assert world.letters[0].value == CODEC.encode("command", changed)
    assert world.entry(invoice_key("shop|1"))["total"] == "120.00"
    assert books(world) == {"W-1": ("120.00", ["120.00"])}


def test_a_redriven_order_goes_on_where_it_was_refused() -> None:
    world = _world()
    world.xero.bad_accounts.add("999")
    world.put(sale(1, account="999")).run()
    assert world.letter()["x-error-class"] == "mapping"
    world.put(sale(1)).run()
    assert world.outcomes() == ["REFUSED", "POSTED"]
    assert world.entry(invoice_key("shop|1"))["number"] == "W-1"


# -- numbers --------------------------------------------------------------------------------------------------------


def test_two_orders_with_one_number_conflict() -> None:
    world = _world().put(sale(1)).run().put(sale(2, number="w-1")).run()
    assert world.outcomes() == ["POSTED", "REFUSED"]
    assert world.letter()["x-error-code"] == "number_of_other_order"


def test_two_orders_with_one_number_at_once_conflict() -> None:
    world = _world().put(sale(1), sale(2, number="W-1")).run()
    assert sorted(world.outcomes()) == ["POSTED", "REFUSED"]
    assert list(books(world)) == ["W-1"]


def test_the_number_is_chosen_once() -> None:
    world = _world()
    world.xero.bad_accounts.add("999")
    world.put(sale(1, account="999")).run().put(sale(1, number="OTHER-1")).run()
    assert list(books(world)) == ["W-1"]


def _foreign(world: World, **changes: object) -> None:
    document = json.loads(str(sale(1)["body"]["invoice"]), parse_float=Decimal)  # type: ignore[index,typeddict-item]
    made = {**document, "InvoiceID": "foreign", "InvoiceNumber": "W-1", "Contact": {"ContactID": "c-1"}}
    world.xero.invoices["foreign"] = {**made, "Total": Decimal("120.00"), "TotalTax": Decimal("20.00"), **changes}


def test_an_equal_invoice_under_our_number_is_adopted() -> None:
    world = _world()
    _foreign(world)
    world.put(sale(1)).run()
    assert world.outcomes("invoice") == ["ADOPTED"]
    assert world.outcomes() == ["POSTED"]
    assert books(world) == {"W-1": ("120.00", ["120.00"])}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"Total": Decimal("99.00")}, "total"),
        ({"TotalTax": Decimal("0.00")}, "tax"),
        ({"Contact": {"ContactID": "other"}}, "contact"),
        ({"CurrencyCode": "EUR"}, "currency"),
        ({"Reference": "77"}, "reference"),
        ({"Status": "VOIDED"}, "VOIDED"),
        (
            {"LineItems": [{"Description": "Boots", "AccountCode": "260", "Quantity": 1, "UnitAmount": 120}]},
            "AccountCode",
        ),
    ],
)
def test_another_invoice_under_our_number_is_a_conflict(change: dict[str, object], word: str) -> None:
    world = _world()
    _foreign(world, **change)
    world.put(sale(1)).run()
    assert world.outcomes() == ["REFUSED"]
    assert world.letter()["x-error-class"] == "conflict"
    assert word in world.letter()["__connect.errors.exception.message"]
    assert not world.xero.payments


# -- batches --------------------------------------------------------------------------------------------------------


def test_one_bad_element_does_not_touch_the_others() -> None:
    world = World()
    world.xero.bad_accounts.add("999")
    bad = sale(13, account="999")
    world.put(*(bad if n == 13 else sale(n) for n in range(30))).start().run()
    assert len(books(world)) == 29
    assert [letter.value for letter in world.letters] == [CODEC.encode("command", bad)]
    assert world.letter()["x-error-code"] == "account_invalid"
    assert len(world.calls("Invoices")) == 1


def test_an_unknown_contact_is_isolated_by_halving_and_upserted_again() -> None:
    world = _world().put(*(sale(n, customer=n) for n in range(8))).run()
    gone = world.entry("shop|C3")["xero_id"]
    del world.xero.contacts[str(gone)]
    world.put(*(sale(100 + n, customer=n) for n in range(8))).run()
    assert world.outcomes() == ["POSTED"] * 16
    assert world.entry("shop|C3")["xero_id"] != gone
    later = [i for i in world.xero.invoices.values() if i["InvoiceNumber"].startswith("W-10")]
    assert len(later) == 8
    assert all(invoice["Contact"]["ContactID"] in world.xero.contacts for invoice in later)


def test_a_taken_name_is_repeated_with_the_number() -> None:
    world = _world().put(sale(1, who=contact(1, "John Smith")), sale(2, who=contact(2, "John Smith"))).run()
    assert sorted(c["Name"] for c in world.xero.contacts.values()) == ["John Smith", "John Smith (WC2)"]
    assert world.outcomes() == ["POSTED", "POSTED"]


# -- contacts -------------------------------------------------------------------------------------------------------


def _held(world: World, **fields: object) -> None:
    world.xero.contacts["c-old"] = {"ContactID": "c-old", "ContactStatus": "ACTIVE", "Name": "Ann", **fields}


def test_the_only_owner_of_the_email_is_adopted_and_numbered_keeping_its_persons() -> None:
    world = World()
    _held(world, EmailAddress="Ann@x.uk", ContactPersons=[{"FirstName": "Bob"}])
    world.start().run(60, until=lambda: False)
    world.put(sale(1, who=contact(1, "Ann B", "ann@x.uk"))).run()
    assert list(world.xero.contacts) == ["c-old"]
    held = world.xero.contacts["c-old"]
    assert (held["ContactNumber"], held["Name"], held["ContactPersons"]) == ("WC1", "Ann", [{"FirstName": "Bob"}])


def test_an_email_of_two_contacts_adopts_neither() -> None:
    world = World()
    _held(world, EmailAddress="a@x.uk")
    world.xero.contacts["c-2"] = {**world.xero.contacts["c-old"], "ContactID": "c-2", "Name": "Ann 2"}
    world.start().run(60, until=lambda: False)
    world.put(sale(1, who=contact(1, "Ann B", "a@x.uk"))).run()
    assert len(world.xero.contacts) == 3


def test_an_equal_name_alone_adopts_nobody() -> None:
    world = World()
    _held(world)
    world.start().run(60, until=lambda: False)
    world.put(sale(1, who=contact(1, "Ann"))).run()
    assert {c["Name"] for c in world.xero.contacts.values()} == {"Ann", "Ann (WC1)"}


def test_no_contact_is_made_before_the_index_is_complete() -> None:
    world = World()
    _held(world, ContactNumber="WC1")
    world.put(sale(1)).start().run()
    assert list(world.xero.contacts) == ["c-old"]
    assert world.outcomes("contact") == ["ADOPTED"]


def test_a_customers_change_writes_only_what_differs() -> None:
    world = _world().put(sale(1)).run()
    ours = next(iter(world.xero.contacts.values()))
    ours["ContactPersons"] = [{"FirstName": "Eve"}]
    changed = contact(1, "Customer 1", "new@x.uk", only_if_known=True)
    world.put(contact_command(changed, version=1)).run()
    body = json.loads(world.calls("Contacts")[-1].body or b"")["Contacts"][0]
    assert body == {
        "ContactID": ours["ContactID"], "EmailAddress": "new@x.uk", "ContactPersons": [{"FirstName": "Eve"}],
    }  # fmt: skip


def test_a_change_of_somebody_who_never_bought_costs_nothing() -> None:
    world = _world()
    calls = len(world.sends)
    world.put(contact_command(contact(1, only_if_known=True))).run()
    assert world.outcomes("contact") == ["UNCHANGED"]
    assert len(world.sends) == calls


def test_items_are_upserted_once_and_only_where_known() -> None:
    world = _world().put(item_command("A"), item_command("A"), item_command("B", known=True)).run()
    assert sorted(world.outcomes("item")) == ["POSTED", "UNCHANGED", "UNCHANGED"]
    assert len(world.calls("Items")) == 1
    assert world.xero.items["A"]["SalesDetails"] == {"UnitPrice": Decimal("9.99")}


# -- the rest -------------------------------------------------------------------------------------------------------


def test_what_is_no_command_goes_to_the_dead_letters_with_its_bytes() -> None:
    world = _world()
    world.log.append((sale(1), b"junk"))
    world.tell(Record(0, b"k", b"junk", (("h", b"v"),), None, "not Avro"))
    world.run(10)
    assert (world.letters[0].key, world.letters[0].value) == (b"k", b"junk")
    assert world.letter()["h"] == "v"
    assert world.offset == 1


@pytest.mark.parametrize("kind", ["SALE", "CONTACT", "ITEM", "REFUND"])
def test_a_command_without_its_body_is_a_letter_and_the_lane_goes_on(kind: str) -> None:
    world = _world().put(envelope(kind, "shop|1", None, org="uk", order="1"), sale(2)).run()
    assert (world.letter()["x-error-class"], world.letter()["x-error-code"]) == ("bug", "not_readable")
    assert world.outcomes()[-1] == "POSTED"


def test_an_order_deleted_before_it_was_posted_is_cancelled_and_stays_so() -> None:
    world = _world().put(envelope("CANCEL", "shop|1", None, org="uk", order="1")).run()
    assert [result["outcome"] for result in world.results] == ["CANCELLED"]
    calls = len(world.sends)
    world.put(sale(1)).run()
    assert world.results[-1]["outcome"] == "UNCHANGED"
    assert len(world.sends) == calls, "an older version sent again is not posted"
    assert world.letters == []


def test_a_deletion_sent_again_changes_nothing_and_is_no_dead_letter() -> None:
    deleted = envelope("CANCEL", "shop|1", None, org="uk", order="1", version=5)
    world = _world().put(deleted).run().put(deleted).run()
    assert [result["outcome"] for result in world.results] == ["CANCELLED", "UNCHANGED"]
    assert world.letters == []
    world.put(envelope("CANCEL", "shop|1", None, org="uk", order="1", version=9)).run()
    assert world.results[-1]["outcome"] == "CANCELLED"
    world.put(sale(1, version=8)).run()
    assert world.results[-1]["outcome"] == "UNCHANGED", "the newer deletion stands"


def test_an_order_deleted_after_posting_is_held() -> None:
    world = _world().put(sale(1)).run()
    world.put(envelope("CANCEL", "shop|1", None, org="uk", order="1")).run()
    assert (world.letter()["x-error-class"], world.letter()["x-error-code"]) == ("held", "deleted_after_posting")


def test_a_revoked_lane_does_nothing_more() -> None:
    world = _world()
    assert world.lane is not None
    world.tell(Revoked())
    calls = len(world.sends)
    world.put(sale(1))
    world.run(100, until=lambda: False)
    assert len(world.sends) == calls
    assert world.offset == 0


def test_other_sums_in_xero_are_never_paid() -> None:
    world = _world().put(sale(1, tax="19.00")).run()
    assert world.outcomes() == ["REFUSED"]
    assert world.letter()["x-error-code"] == "totals_differ"
    assert not world.xero.payments
    assert world.entry(invoice_key("shop|1"))["state"] == "HELD"


def test_reference_data_ends_with_its_marker() -> None:
    world = _world()
    rows = [row for work in world.transactions for row in work.reference]
    assert rows[-1].kind == "COMPLETE"
    assert {row.kind for row in rows} == {"ORGANISATION", "COMPLETE"}
