"""What is in Xero already, and what people have done there: equal is ours, different is shown, nothing else is failed.

Numbers that are taken, voided or deleted; payments and contacts found; contacts archived, merged or gone; one bad
contact in a batch of fifty; warnings; errors beside an id.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest

from connectors.xero.calls import Answer, Call
from connectors.xero.core.records import invoice_key, payment_key
from tests.connectors.xero.commands import contact, contact_command, sale, tender
from tests.connectors.xero.core.paper_xero import HEADERS
from tests.connectors.xero.core.world import World, books

PAID = {"W-1": ("120.00", ["120.00"])}


def _world(**fields: object) -> World:
    return World(**fields).start().run(60, until=lambda: False)  # type: ignore[arg-type]


def _known(customer: int = 1) -> World:
    """A world in which the customer has bought once (order 1); his contact's id is `_id`."""
    return _world().put(sale(1, customer=customer)).run()


def _id(world: World, customer: int = 1) -> str:
    return str(world.entry(f"shop|C{customer}")["xero_id"])


def _foreign(world: World, **changes: object) -> None:
    """An invoice under order 1's number that is in Xero and not in the ledger, equal but for the changes."""
    document = json.loads(str(sale(1)["body"]["invoice"]), parse_float=Decimal)  # type: ignore[index,typeddict-item]
    made = {**document, "InvoiceID": "foreign", "InvoiceNumber": "W-1", "Contact": {"ContactID": "c-1"}}
    world.xero.invoices["foreign"] = {**made, "Total": Decimal("120.00"), "TotalTax": Decimal("20.00"), **changes}


def _message(world: World) -> str:
    return world.letter()["__connect.errors.exception.message"]


def _writes(world: World, path: str) -> list[Call]:
    return [call for call in world.calls(path) if call.writes]


# -- invoices -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["VOIDED", "DELETED"])
def test_a_number_that_is_voided_or_deleted_in_xero_is_a_conflict_that_says_what_to_do(status: str) -> None:
    world = _world()
    _foreign(world, Status=status)
    world.put(sale(1)).run()
    assert world.outcomes() == ["REFUSED"]
    assert (world.letter()["x-error-class"], world.letter()["x-error-code"]) == ("conflict", "number_gone")
    assert f"W-1 is {status} in Xero" in _message(world)
    assert "under another number" in world.letter()["x-error-hint"]
    assert world.entry(invoice_key("shop|1"))["extra"]["found"] == "foreign"
    assert len(_writes(world, "Invoices")) == 1, "nothing is sent again under this number"


def test_a_living_invoice_goes_before_a_voided_one_of_its_number() -> None:
    world = _world()
    _foreign(world)
    world.xero.invoices["old"] = {**world.xero.invoices["foreign"], "InvoiceID": "old", "Status": "VOIDED"}
    world.put(sale(1)).run()
    assert world.outcomes("invoice") == ["ADOPTED"]
    assert world.entry(invoice_key("shop|1"))["xero_id"] == "foreign"


def test_a_bill_under_our_number_is_nothing_to_us() -> None:
    """Suppliers number their bills as they like; only sales numbers are unique."""
    world = _world(faults={2: "500_before"})  # the number is read back: the bill is seen
    _foreign(world, Type="ACCPAY")
    world.put(sale(1)).run()
    assert world.outcomes("invoice") == ["POSTED"]
    assert world.outcomes() == ["POSTED"]


def test_an_equal_invoice_with_its_lines_in_another_order_is_ours() -> None:
    world = _world()
    lines = [
        {"Description": d, "Quantity": 1, "UnitAmount": float(p), "AccountCode": "200", "TaxType": "OUTPUT2"}
        for d, p in (("Boots", "100.00"), ("Socks", "20.00"))
    ]
    command = sale(1)
    body = command["body"]
    body["invoice"] = json.dumps({**json.loads(body["invoice"]), "LineItems": lines})  # type: ignore[index,typeddict-item,typeddict-unknown-key]
    _foreign(world, LineItems=[{**line, "UnitAmount": Decimal(str(line["UnitAmount"]))} for line in reversed(lines)])
    world.put(command).run()
    assert world.outcomes("invoice") == ["ADOPTED"]


def test_a_number_that_xero_calls_taken_and_does_not_show_is_refused_not_sent_again() -> None:
    world = _world()
    original = world.xero.do
    taken = {"InvoiceNumber": "W-1", "HasErrors": True, "ValidationErrors": [{"Message": "Invoice # must be unique."}]}
    world.xero.do = lambda call, now: (  # type: ignore[method-assign]
        Answer(200, HEADERS, {"Invoices": [taken]}, token_id="t")
        if call.path == "Invoices" and call.writes
        else original(call, now)
    )
    world.put(sale(1)).run()
    assert (world.letter()["x-error-class"], world.letter()["x-error-code"]) == ("conflict", "number_taken")


def test_an_account_that_xero_drops_holds_the_order_unpaid() -> None:
    world = _world()
    world.xero.dropped_accounts.add("476")
    world.put(sale(1, account="476"), sale(2)).run()
    assert sorted(world.outcomes()) == ["POSTED", "REFUSED"]
    assert (world.letter()["x-error-class"], world.letter()["x-error-code"]) == ("mapping", "account_removed")
    assert "476" in _message(world)
    assert [p["Reference"] for p in world.xero.payments] == ["W-2/1 ch_1"]
    entry = world.entry(invoice_key("shop|1"))
    assert (entry["state"], entry["number"]) == ("HELD", "W-1")
    assert entry["xero_id"] in world.xero.invoices


def test_a_dropped_account_whose_answer_was_lost_is_seen_at_the_read_back() -> None:
    world = _world(faults={2: "500_after"})
    world.xero.dropped_accounts.add("476")
    world.put(sale(1, account="476")).run()
    assert world.letter()["x-error-class"] == "conflict"
    assert "AccountCode" in _message(world)
    assert not world.xero.payments


def test_a_held_invoice_that_was_mended_in_xero_is_adopted_and_paid() -> None:
    world = _world()
    world.xero.dropped_accounts.add("476")
    world.put(sale(1, account="476")).run()
    made = next(iter(world.xero.invoices.values()))
    made["LineItems"] = [{**line, "AccountCode": "476"} for line in made["LineItems"]]
    world.put(sale(1, account="476")).run()
    assert world.outcomes() == ["REFUSED", "POSTED"]
    assert world.outcomes("invoice") == ["ADOPTED"]
    assert books(world) == PAID


@pytest.mark.parametrize("named", ["W-1", "W-1/1 ch_1"])
def test_an_error_beside_an_id_is_looked_up_before_it_is_believed(named: str) -> None:
    """Xero has done it and says so with an error: no letter, and nothing twice."""
    world = _world()
    world.xero.mumbled[named] = "Something went wrong"
    world.put(sale(1)).run()
    assert world.outcomes() == ["POSTED"]
    assert world.outcomes("payment" if "/" in named else "invoice") == ["ADOPTED"]
    assert books(world) == PAID
    assert not world.letters


@pytest.mark.parametrize(("path", "flag"), [("Invoices", "HasErrors"), ("Payments", "HasValidationErrors")])
def test_an_error_beside_an_id_that_is_not_there_is_believed(path: str, flag: str) -> None:
    world = _world()
    original, name = world.xero.do, {"Invoices": "InvoiceID", "Payments": "PaymentID"}[path]

    def lying(call: Call, now: float) -> Answer:
        if call.path != path or not call.writes:
            return original(call, now)
        world.xero.calls.append(call)
        rows = [
            {**row, name: "7", flag: True, "ValidationErrors": [{"Message": "Account could not be found."}]}
            for row in json.loads(call.body or b"")[path]
        ]
        return Answer(200, HEADERS, {path: rows}, token_id="t")

    world.xero.do = lying  # type: ignore[method-assign]
    world.put(sale(1)).run()
    assert world.outcomes() == ["REFUSED"]
    assert (world.letter()["x-error-class"], world.letter()["x-error-code"]) == ("mapping", "account_unknown")
    assert len(_writes(world, path)) == 1


# -- payments -------------------------------------------------------------------------------------------------------


def test_a_payment_that_is_there_already_is_adopted_and_the_other_tender_sent() -> None:
    world = _world()
    _foreign(world)
    made = {"PaymentID": "p-old", "Invoice": {"InvoiceID": "foreign"}, "Status": "AUTHORISED"}
    world.xero.payments.append({**made, "Amount": Decimal("20.00"), "Reference": "W-1/1 by hand"})
    world.put(sale(1, payments=[tender("20.00", 1, "855"), tender("100.00", 2)])).run()
    assert world.outcomes() == ["POSTED"]
    assert sorted(world.outcomes("payment")) == ["ADOPTED", "POSTED"]
    assert books(world) == {"W-1": ("120.00", ["20.00", "100.00"])}
    assert world.entry(payment_key("shop|1", 1))["xero_id"] == "p-old"


def test_a_payment_with_our_marker_and_another_amount_is_a_conflict_that_shows_both() -> None:
    world = _world()
    _foreign(world)
    made = {"PaymentID": "p-old", "Invoice": {"InvoiceID": "foreign"}, "Status": "AUTHORISED"}
    world.xero.payments.append({**made, "Amount": Decimal("21.00"), "Reference": "W-1/1"})
    world.put(sale(1)).run()
    assert (world.letter()["x-error-class"], world.letter()["x-error-code"]) == ("conflict", "payment_differs")
    assert "120.00" in _message(world)
    assert "21.00" in _message(world)
    assert len(world.xero.payments) == 1


def test_somebody_elses_payment_is_not_taken_for_ours() -> None:
    world = _world()
    _foreign(world)
    made = {"PaymentID": "p-hand", "Invoice": {"InvoiceID": "foreign"}, "Status": "AUTHORISED"}
    world.xero.payments.append({**made, "Amount": Decimal("120.00"), "Reference": "paid by cheque"})
    world.put(sale(1)).run()
    assert (world.letter()["x-error-class"], world.letter()["x-error-code"]) == ("conflict", "payment_exceeds_due")
    assert len(world.xero.payments) == 1


def test_an_invoice_voided_before_its_payment_is_a_conflict_and_nothing_is_sent_again() -> None:
    world = _world()

    def void(send: object) -> None:
        if any(c.path == "Payments" for c in [send.call]):  # type: ignore[attr-defined]
            next(iter(world.xero.invoices.values()))["Status"] = "VOIDED"

    world.on_send = void
    world.put(sale(1)).run()
    assert (world.letter()["x-error-class"], world.letter()["x-error-code"]) == ("conflict", "invoice_not_open")
    assert len(_writes(world, "Payments")) == 1
    assert len(world.xero.invoices) == 1


# -- contacts -------------------------------------------------------------------------------------------------------


def test_a_contact_found_archived_by_its_number_is_refused_until_he_is_restored() -> None:
    world = World()
    archived = {"ContactID": "c-old", "ContactNumber": "WC1", "Name": "Ann", "ContactStatus": "ARCHIVED"}
    world.xero.contacts["c-old"] = archived
    world.start().run(60, until=lambda: False)
    world.put(sale(1), sale(2)).run()
    assert sorted(world.outcomes()) == ["POSTED", "REFUSED"]
    assert (world.letter()["x-error-class"], world.letter()["x-error-code"]) == ("validation", "contact_archived")
    archived["ContactStatus"] = "ACTIVE"
    world.put(sale(1)).run()
    assert world.outcomes().count("POSTED") == 2
    assert len(world.xero.contacts) == 2


def test_a_known_contact_that_was_archived_is_refused_until_he_is_restored() -> None:
    world = _known()
    held = world.xero.contacts[_id(world)]
    held["ContactStatus"] = "ARCHIVED"
    world.put(sale(2, customer=1), sale(3)).run()
    assert world.outcomes() == ["POSTED", "POSTED", "REFUSED"] or world.outcomes() == ["POSTED", "REFUSED", "POSTED"]
    assert world.letter()["x-error-code"] == "contact_archived"
    assert "WC1" in _message(world)
    held["ContactStatus"] = "ACTIVE"
    world.put(sale(2, customer=1)).run()
    assert world.outcomes()[-1] == "POSTED"
    assert len(world.xero.contacts) == 2


def _merge(world: World, gone: str, into: str) -> None:
    world.xero.contacts[gone].update(ContactStatus="ARCHIVED", MergedToContactID=into)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_merged_contact_is_followed_to_the_one_he_was_merged_into(hidden: bool) -> None:
    """`hidden`: a write to his id is a 404 for the whole request (xero.md §4.1 leaves open which it is)."""
    world = _known()
    gone, old = _id(world), world.xero.do
    world.xero.contacts["c-new"] = {
        "ContactID": "c-new", "ContactNumber": "OTHER-9", "Name": "Ann of Accounts", "ContactStatus": "ACTIVE",
        "EmailAddress": "ann@other.uk",
    }  # fmt: skip
    before = dict(world.xero.contacts["c-new"])
    _merge(world, gone, "c-new")
    if hidden:
        world.xero.do = lambda call, now: (  # type: ignore[method-assign]
            Answer(404, HEADERS, None, token_id="t") if call.writes and gone in str(call.body) else old(call, now)
        )
    world.put(sale(2, customer=1), sale(3)).run()
    assert world.outcomes() == ["POSTED"] * 3
    assert (
        next(i for i in world.xero.invoices.values() if i["InvoiceNumber"] == "W-2")["Contact"]["ContactID"] == "c-new"
    )
    assert world.xero.contacts["c-new"] == before, "his new self is left as people made it"
    assert _id(world) == "c-new"
    calls = len(world.sends)
    world.put(sale(4, customer=1)).run()
    assert world.outcomes() == ["POSTED"] * 4
    assert len(world.sends) - calls == 2, "from then on he is known"


def test_a_merged_customers_changes_do_not_rewrite_the_contact_he_was_merged_into() -> None:
    world = _world().put(sale(1, customer=1), sale(2, customer=2)).run()
    _merge(world, _id(world, 1), _id(world, 2))
    world.put(sale(3, customer=1)).run()
    assert _id(world, 1) == _id(world, 2)
    world.put(contact_command(contact(1, "Customer 1", "one@x.uk", only_if_known=True), version=1)).run()
    assert world.xero.contacts[_id(world, 2)].get("EmailAddress") is None
    assert world.outcomes("contact")[-1] == "UNCHANGED"
    world.put(contact_command(contact(2, "Customer 2", "two@x.uk", only_if_known=True), version=1)).run()
    assert world.xero.contacts[_id(world, 2)]["EmailAddress"] == "two@x.uk"


def test_a_contact_merged_in_a_circle_ends_with_a_person() -> None:
    world = _known()
    world.xero.contacts["c-2"] = {**world.xero.contacts[_id(world)], "ContactID": "c-2", "ContactNumber": "X"}
    _merge(world, "c-2", _id(world))
    _merge(world, _id(world), "c-2")
    world.put(sale(2, customer=1)).run()
    assert world.outcomes() == ["POSTED", "REFUSED"]
    assert world.letter()["x-error-code"] == "contact_archived"


# -- a 404 for a whole request --------------------------------------------------------------------------------------


def _fifty(bad: int) -> World:
    """Fifty known customers, of whom `bad` are deleted in Xero; then each orders once more."""
    world = World()
    world.put(*(sale(n) for n in range(1, 51))).start().run()
    for n in range(bad):
        del world.xero.contacts[_id(world, 1 + 7 * n)]
    world.sends.clear()
    world.sent_at.clear()
    world.put(*(sale(100 + n, customer=n) for n in range(1, 51))).run()
    return world


@pytest.mark.parametrize("bad", [1, 2, 3])
def test_one_unknown_contact_never_fails_the_other_forty_nine(bad: int) -> None:
    world = _fifty(bad)
    assert world.outcomes() == ["POSTED"] * 100
    assert not world.letters
    assert len(world.xero.invoices) == 100
    invoices = [s for s in world.sends if s.call.path == "Invoices" and s.call.writes]
    halving = 2 * math.ceil(math.log2(50))
    assert len(invoices) <= bad * (halving + 2) + 1, "halving, the one alone once more, and his invoice at last"


def test_a_gateway_that_answers_404_to_everything_fails_nobody() -> None:
    world = World()
    world.put(*(sale(n) for n in range(1, 51))).start().run()
    original, until = world.xero.do, world.mono + 7200
    world.sends.clear()
    world.xero.do = lambda call, now: (  # type: ignore[method-assign]
        Answer(404, {}, None, token_id="t") if now < until else original(call, now)
    )
    world.put(*(sale(100 + n, customer=n) for n in range(1, 51)), *(sale(200 + n) for n in range(10)))
    world.run(7200, until=lambda: False)
    assert len(world.sends) < 500, "the day's calls are not spent on it"
    world.run(7200)
    assert world.outcomes().count("POSTED") == 110
    assert not world.letters
    assert len(world.xero.contacts) == 60


def test_a_404_to_writes_alone_fails_nobody_and_costs_few_calls() -> None:
    world = World()
    world.put(*(sale(n) for n in range(1, 51))).start().run()
    original, until = world.xero.do, world.mono + 7200
    world.sends.clear()
    world.xero.do = lambda call, now: (  # type: ignore[method-assign]
        Answer(404, {}, None, token_id="t") if now < until and call.writes else original(call, now)
    )
    world.put(*(sale(100 + n, customer=n) for n in range(1, 51)), *(sale(200 + n) for n in range(10)))
    world.run(7200, until=lambda: False)
    assert len(world.sends) < 500
    world.run(7200)
    assert world.outcomes().count("POSTED") == 110
    assert not world.letters


def test_an_invoice_that_alone_is_answered_404_goes_to_a_person_while_others_pass() -> None:
    world = _known()
    original = world.xero.do
    world.xero.do = lambda call, now: (  # type: ignore[method-assign]
        Answer(404, HEADERS, None, token_id="t")
        if call.path == "Invoices" and call.writes and b'"W-2"' in (call.body or b"")
        else original(call, now)
    )
    world.put(sale(2, customer=1))
    for n in range(20):
        world.at(20.0 * n, lambda n=n: world.put(sale(10 + n)), None)  # type: ignore[misc]
    world.run(500, until=lambda: False)
    world.run(3600)
    assert world.outcomes().count("POSTED") == 21
    assert (world.letter()["x-error-class"], world.letter()["x-error-code"]) == ("conflict", "not_found")
