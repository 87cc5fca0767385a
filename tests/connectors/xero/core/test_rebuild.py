"""A lost ledger, decided anew: what Xero shows, what was said, and what waits. Pure: no Kafka, no Xero."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, cast

import pytest

from connectors.xero.core import control
from connectors.xero.core.events import Record, Transact
from connectors.xero.core.rebuild import Restoration
from connectors.xero.core.records import invoice_key, next_key, payment_key
from connectors.xero.core.said import Said, heard
from schemas.types import Command, LedgerEntry, Result
from tests.connectors.xero.commands import (
    T0,
    contact,
    contact_command,
    envelope,
    item_command,
    sale,
    settlement,
    tender,
)
from tests.connectors.xero.core.world import CODEC, World

HOME = invoice_key("shop|1")


@dataclass
class Books:
    """Xero's invoices and credit notes, by number."""

    invoices: list[dict[str, Any]] = field(default_factory=list)
    credits: list[dict[str, Any]] = field(default_factory=list)

    def credit_by_number(self, number: str) -> dict[str, Any] | None:
        return next((c for c in self.credits if c["CreditNoteNumber"].casefold() == number.casefold()), None)

    def by_number(self, number: str) -> dict[str, Any] | None:
        return next((i for i in self.invoices if i["InvoiceNumber"].casefold() == number.casefold()), None)

    def by_id(self, id: str) -> dict[str, Any] | None:
        return next((i for i in self.invoices if i["InvoiceID"] == id), None)

    def has(self, command: Command, *, paid: bool = True, **changes: Any) -> Books:
        """The command's invoice, with all its payments."""
        body: Any = command["body"]
        payments = [
            {"PaymentID": f"p{t['ordinal']}", "Amount": Decimal(t["amount"]), "Status": "AUTHORISED",
             "Reference": f"{body['number']}/{t['ordinal']} {t['reference']}"}
            for t in (body["payments"] if paid else [])
        ]  # fmt: skip
        made = {
            **json.loads(body["invoice"], parse_float=Decimal),
            "InvoiceID": f"id-{body['number']}", "InvoiceNumber": body["number"], "Contact": {"ContactID": "c-1"},
            "Total": Decimal(body["total"]), "TotalTax": Decimal(body["total_tax"]), "Payments": payments,
            "AmountDue": Decimal(body["total"]) - sum((p["Amount"] for p in payments), Decimal(0)),
            "Status": "PAID" if paid else "AUTHORISED",
        }  # fmt: skip
        self.invoices.append({**made, **changes})
        return self


@dataclass
class Scene:
    """A command topic, what is left of the ledger, Xero's books, and what was said."""

    books: Books = field(default_factory=Books)
    ledger: dict[str, LedgerEntry] = field(default_factory=dict)
    orders: dict[str, Said] = field(default_factory=dict)
    contacts: dict[str, Said] = field(default_factory=dict)
    finished: int = 1000
    batch: int = 1  # records a transaction
    letters: list[Any] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    def get(self, key: str) -> LedgerEntry | None:
        return self.ledger.get(key)

    def holder(self, kind: str, number: str) -> str | None:
        held = (k for k, e in self.ledger.items() if e["kind"] == kind and e["number"] == number)
        return next(held, None)

    def say(self, *words: tuple[Command, str], message: str = "", **fields: Any) -> Scene:
        """Order results, one after another."""
        for command, outcome in words:
            said = self.orders.get(command["key"], Said())
            self.orders[command["key"]] = heard(said, _result(command, "order", outcome, message=message, **fields))
        return self

    def run(self, *commands: Command) -> Restoration:
        """All of it."""
        decode, encode = cast(Any, CODEC.decode), partial(CODEC.encode, "command")
        restoration = Restoration("uk", self, self.books, self.finished, decode, lambda: T0, encode)
        log = [_record(offset, command) for offset, command in enumerate(commands)]
        left = []
        for record in log:
            if restoration.adopt(record):
                left.append(record)
            self._commit(restoration, record)
        self._commit(restoration)
        for record in left:
            body: Any = record.command["body"] if record.command else None
            about = self.contacts.get(body["contact"]["key"]) if body and "contact" in body else None
            said = self.orders.get(record.command["key"] if record.command else "", Said())
            restoration.decide(record, said, about or Said())
            self._commit(restoration, record)
        self._commit(restoration)
        return restoration

    def _commit(self, restoration: Restoration, after: Record | None = None) -> None:
        if after is not None and (after.offset + 1) % self.batch:
            return
        entries, letters, results = restoration.take()
        self.ledger.update(entries)
        self.letters += letters
        self.results += results


def _record(offset: int, command: Command) -> Record:
    value = CODEC.encode("command", command)
    return Record(offset, command["key"].encode(), value, ((("h"), b"v"),), cast(Command, CODEC.decode(value)))


def _result(command: Command, kind: str, outcome: str, **fields: Any) -> Result:
    made: Any = {"kind": kind, "outcome": outcome, "command_id": command["command_id"], "xero_id": None, "number": None}
    return cast(Result, {**made, "status": None, "message": "", **fields})


# -- what Xero shows ------------------------------------------------------------------------------------------------


def test_what_is_in_xero_as_ordered_is_as_it_was() -> None:
    """The same entries as the lane writes: they are compared with those of a whole run."""
    parts = [tender("20.00", 1, "855", "Card 7"), tender("100.00", 2)]
    command = sale(1, payments=parts)
    world = World().start().run(60, until=lambda: False).put(command).run()
    books = Books([world.xero.show(invoice) for invoice in world.xero.invoices.values()])
    scene = Scene(books)
    counts = scene.run(command).counts
    keys = (HOME, payment_key("shop|1", 1), payment_key("shop|1", 2), "shop|C1")
    for key in keys:
        then = world.entry(key)
        assert {**scene.ledger[key], "updated_at": T0} == {**then, "updated_at": T0}, key
    assert set(scene.ledger) == set(keys)
    assert +counts == {"invoices": 1, "payments": 2, "contacts": 1}
    assert not scene.letters


def test_a_newer_version_with_the_same_money_is_the_posted_one() -> None:
    scene = Scene(Books().has(sale(1)))
    scene.run(sale(1), sale(1, version=9))
    assert scene.ledger[HOME]["version"] == sale(1, version=9)["version"]


def test_of_several_versions_the_one_that_xero_has_is_posted() -> None:
    old, new = sale(1), sale(1, version=9, total="60.00", tax="10.00")
    scene = Scene(Books().has(new)).say((old, "WAITING"), (old, "UNCHANGED"))
    scene.run(old, new)
    assert (scene.ledger[HOME]["total"], scene.ledger[HOME]["status"]) == ("60.00", "PAID")
    assert set(scene.ledger) == {HOME, payment_key("shop|1", 1), "shop|C1"}


def test_a_later_version_that_was_held_stays_a_letter_and_no_more() -> None:
    held = sale(1, version=9, total="60.00", tax="10.00")
    scene = Scene(Books().has(sale(1))).say((sale(1), "POSTED"), (held, "HELD"))
    scene.run(sale(1), held)
    assert (scene.ledger[HOME]["state"], scene.ledger[HOME]["total"]) == ("POSTED", "120.00")
    assert not scene.letters


def test_a_record_that_is_not_finished_keeps_its_turn_and_finds_its_documents_known() -> None:
    """So its results are the lane's, and it costs no call."""
    command = sale(1)
    scene = Scene(Books().has(command), finished=0)
    scene.run(command)
    assert (scene.ledger[HOME]["state"], scene.ledger[HOME]["status"]) == ("POSTED", "AUTHORISED")
    assert scene.ledger[payment_key("shop|1", 1)]["state"] == "POSTED"
    world = World()
    world.store.apply(_transact(scene.ledger))
    world.start().run(60, until=lambda: False)
    calls = len(world.sends)
    world.put(command).run()
    assert world.outcomes() == ["POSTED"]
    assert len(world.sends) == calls


def test_a_record_that_is_not_finished_and_not_in_xero_is_left_alone() -> None:
    scene = Scene(finished=0)
    assert not +scene.run(sale(1)).counts
    assert not scene.ledger


def test_what_the_ledger_still_has_is_not_touched() -> None:
    scene = Scene(Books().has(sale(1)))
    scene.run(sale(1))
    before = dict(scene.ledger)
    scene.books.invoices[0]["Total"] = Decimal(1)
    assert not +scene.run(sale(1)).counts
    assert scene.ledger == before


# -- what was said --------------------------------------------------------------------------------------------------


def test_a_waiting_order_waits_again_with_its_command() -> None:
    command = sale(1)
    scene = Scene().say((command, "WAITING"))
    counts = scene.run(command).counts
    entry = scene.ledger[HOME]
    assert (entry["state"], entry["command"]) == ("WAITING", CODEC.encode("command", command))
    assert (entry["command_offset"], entry["extra"]["h:h"], entry["retry_at"]) == (0, "v", T0)
    assert +counts == {"waiting": 1}


def test_an_order_of_which_nothing_is_known_waits_so_that_it_is_not_lost() -> None:
    scene = Scene()
    scene.run(sale(1))
    assert scene.ledger[HOME]["state"] == "WAITING"


def test_of_several_waiting_versions_the_newest_waits() -> None:
    scene = Scene()
    scene.run(sale(1, version=1), sale(1, version=9), sale(1, version=5))
    waits = CODEC.decode(scene.ledger[HOME]["command"] or b"")
    assert waits["version"] == sale(1, version=9)["version"]


def test_a_version_that_was_superseded_does_not_come_back() -> None:
    old, new = sale(1), sale(1, version=9)
    scene = Scene().say((old, "UNCHANGED"), (new, "REFUSED"))
    scene.run(old, new)
    assert (scene.ledger[HOME]["state"], scene.ledger[HOME]["command"]) == ("REFUSED", None)


@pytest.mark.parametrize("outcome", ["REFUSED", "HELD"])
def test_a_refused_order_is_not_tried_again(outcome: str) -> None:
    """A person may have dealt with its letter by hand; it can be sent again from there."""
    command = sale(1)
    scene = Scene().say((command, "WAITING")).say((command, outcome), message="Xero: no such account")
    scene.contacts["shop|C1"] = heard(Said(), _result(command, "contact", "POSTED", xero_id="c-1", number="WC1"))
    scene.run(command)
    entry = scene.ledger[HOME]
    assert (entry["state"], entry["number"], entry["reason"]) == (outcome, "W-1", "Xero: no such account")
    assert (entry["command"], entry["contact_id"]) == (None, "c-1")
    assert scene.ledger["shop|C1"]["xero_id"] == "c-1"
    assert not scene.letters


def test_a_cancelled_order_is_never_posted() -> None:
    command, cancel = sale(1), envelope("CANCEL", "shop|1", None, org="uk", order="1", version=5)
    scene = Scene().say((command, "WAITING"), (cancel, "CANCELLED"))
    scene.run(command, cancel)
    entry = scene.ledger[HOME]
    assert (entry["state"], entry["version"], entry["command"]) == ("VOIDED", cancel["version"], None)
    world = World()
    world.store.apply(_transact(scene.ledger))
    world.start().run(60, until=lambda: False).put(command).run()
    assert world.outcomes() == ["UNCHANGED"]


def test_a_deletion_after_posting_leaves_the_posted_order() -> None:
    cancel = envelope("CANCEL", "shop|1", None, org="uk", order="1", version=5)
    scene = Scene(Books().has(sale(1))).say((sale(1), "POSTED"), (cancel, "HELD"))
    scene.run(sale(1), cancel)
    assert (scene.ledger[HOME]["state"], scene.ledger[HOME]["status"]) == ("POSTED", "PAID")


def test_an_invoice_that_waits_for_its_payment_goes_on_from_there() -> None:
    command = sale(1)
    scene = Scene(Books().has(command, paid=False)).say((command, "WAITING"))
    scene.run(command)
    entry = scene.ledger[HOME]
    assert (entry["state"], entry["xero_id"], entry["status"]) == ("WAITING", "id-W-1", "AUTHORISED")
    world = World()
    world.xero.contacts["c-1"] = {"ContactID": "c-1", "Name": "A", "ContactStatus": "ACTIVE", "ContactNumber": "WC1"}
    world.xero.invoices["id-W-1"] = {k: v for k, v in scene.books.invoices[0].items() if k != "Payments"}
    world.store.apply(_transact(scene.ledger))
    world.start().run(60, until=lambda: False)
    assert world.outcomes() == ["POSTED"]
    assert [call.path for call in world.xero.calls if call.writes] == ["Payments"]


def test_a_newer_version_waits_behind_one_whose_invoice_is_in_xero() -> None:
    first, later = sale(1), sale(1, version=9, total="60.00", tax="10.00")
    scene = Scene(Books().has(first, paid=False)).say((first, "WAITING"), (later, "WAITING"))
    scene.run(first, later)
    assert scene.ledger[HOME]["command"] == CODEC.encode("command", first)
    behind = scene.ledger[next_key(HOME)]
    assert (behind["state"], behind["command"]) == ("HELD", CODEC.encode("command", later))


def test_a_payment_that_was_deleted_or_is_of_another_amount_is_not_ours() -> None:
    command = sale(1)
    for change in ({"Status": "DELETED"}, {"Amount": Decimal("1.00")}):
        scene = Scene(Books().has(command)).say((command, "WAITING"))
        scene.books.invoices[0]["Payments"][0].update(change)
        scene.run(command)
        assert payment_key("shop|1", 1) not in scene.ledger, change
        assert scene.ledger[HOME]["state"] == "WAITING"


def test_an_order_that_was_paid_at_a_later_version_is_paid() -> None:
    """Somebody has deleted its payment in Xero since: that is no reason to pay again."""
    first, later = sale(1), sale(1, version=9)
    scene = Scene(Books().has(first, paid=False)).say((first, "WAITING"), (later, "POSTED"), xero_id="id-W-1")
    scene.run(first, later)
    assert (scene.ledger[HOME]["state"], scene.ledger[HOME]["status"]) == ("POSTED", "PAID")


def test_a_payment_that_was_refused_stays_refused() -> None:
    command = sale(1)
    scene = Scene(Books().has(command, paid=False)).say((command, "REFUSED"), message="Xero: exceeds")
    scene.run(command)
    entry = scene.ledger[HOME]
    assert (entry["state"], entry["xero_id"], entry["reason"]) == ("REFUSED", "id-W-1", "Xero: exceeds")


# -- where Xero and our word differ ---------------------------------------------------------------------------------


def _posted(scene: Scene, command: Command) -> None:
    body: Any = command["body"]
    ids = {"xero_id": f"id-{body['number']}", "number": body["number"]}
    said = heard(Said(), _result(command, "invoice", "POSTED", **ids))
    scene.orders[command["key"]] = heard(said, _result(command, "order", "POSTED", **ids))


def test_an_invoice_edited_or_renamed_by_hand_is_still_ours_by_our_own_word() -> None:
    edited, renamed = sale(1), sale(2)
    scene = Scene(Books().has(edited, Reference="ask Ann").has(renamed, InvoiceNumber="OLD-2"))
    _posted(scene, edited)
    _posted(scene, renamed)
    counts = scene.run(edited, renamed).counts
    for order in (1, 2):
        entry = scene.ledger[invoice_key(f"shop|{order}")]
        assert (entry["state"], entry["status"], entry["number"]) == ("POSTED", "PAID", f"W-{order}")
    assert counts["changed in Xero"] == 2
    assert not scene.letters


def test_a_version_held_beside_the_posted_one_changes_nothing_whichever_comes_first() -> None:
    posted, held = sale(1), sale(1, version=9, total="60.00", tax="10.00")
    scene = Scene(Books().has(posted, Reference="ask Ann"))
    _posted(scene, posted)
    scene.say((held, "HELD"))
    scene.run(held, posted)
    assert (scene.ledger[HOME]["state"], scene.ledger[HOME]["version"]) == ("POSTED", posted["version"])


def test_a_posted_order_that_is_gone_from_xero_is_not_posted_again() -> None:
    """A person has taken it away; `k2x reconcile` tells of it."""
    command = sale(1)
    scene = Scene()
    _posted(scene, command)
    scene.contacts["shop|C1"] = heard(Said(), _result(command, "contact", "POSTED", xero_id="c-1", number="WC1"))
    counts = scene.run(command).counts
    assert scene.ledger["shop|C1"]["xero_id"] == "c-1"
    assert (scene.ledger[HOME]["state"], scene.ledger[HOME]["status"]) == ("POSTED", "PAID")
    assert counts["gone from Xero"] == 1


def test_another_invoice_under_our_number_is_a_conflict_with_both_sides() -> None:
    command = sale(1)
    scene = Scene(Books().has(command, Total=Decimal("99.00"))).say((command, "WAITING"))
    counts = scene.run(command).counts
    headers = {name: value.decode() for name, value in scene.letters[0].headers}
    assert (headers["x-error-class"], headers["x-error-code"]) == ("conflict", "invoice_differs")
    assert "the order has 120.00, Xero has 99.00" in headers["__connect.errors.exception.message"]
    assert scene.letters[0].value == CODEC.encode("command", command)
    assert (scene.ledger[HOME]["state"], scene.ledger[HOME]["extra"]) == ("HELD", {"found": "id-W-1"})
    assert [r["outcome"] for r in scene.results] == ["REFUSED"]
    assert counts["conflicts"] == 1


@pytest.mark.parametrize("batch", [1, 1000])
def test_an_order_does_not_conflict_with_itself(batch: int) -> None:
    """Its earlier version was refused and keeps the number."""
    refused, later = sale(1), sale(1, version=9)
    scene = Scene(Books().has(later, Total=Decimal("99.00")), batch=batch).say((refused, "REFUSED"))
    scene.run(refused, later)
    headers = {name: value.decode() for name, value in scene.letters[0].headers}
    assert headers["x-error-code"] == "invoice_differs"


@pytest.mark.parametrize("batch", [1, 1000])
def test_two_orders_with_one_number_stay_two(batch: int) -> None:
    """The second one was refused; where nobody said so, it is refused now, and the first one's entry is untouched."""
    second = sale(2, number="W-1")
    scene = Scene(Books().has(sale(1)), batch=batch)
    scene.run(sale(1), second)
    headers = {name: value.decode() for name, value in scene.letters[0].headers}
    assert headers["x-error-code"] == "number_of_other_order"
    assert scene.ledger[HOME]["status"] == "PAID"
    assert invoice_key("shop|2") not in scene.ledger


def test_a_rebuild_begun_again_changes_nothing() -> None:
    """After a crash between a commit and its mark the same records come once more."""
    posted, unpaid, waits, refused, held = (sale(n) for n in range(1, 6))
    cancel = envelope("CANCEL", "shop|6", None, org="uk", order="6")
    books = Books().has(posted).has(unpaid, paid=False).has(held, Total=Decimal("1.00"))
    scene = Scene(books).say((unpaid, "WAITING"), (waits, "WAITING"), (refused, "REFUSED"), (cancel, "CANCELLED"))
    log = (posted, unpaid, sale(1, version=7), waits, refused, held, cancel, sale(6))
    scene.run(*log)
    before, letters = dict(scene.ledger), list(scene.letters)
    states = {key.split("|")[1]: entry["state"] for key, entry in before.items() if key.endswith("|invoice|0")}
    assert states == {"1": "POSTED", "2": "WAITING", "3": "WAITING", "4": "REFUSED", "5": "HELD", "6": "VOIDED"}
    assert not +scene.run(*log).counts
    assert scene.ledger == before
    assert scene.letters == letters


# -- contacts and items ---------------------------------------------------------------------------------------------


def test_a_contacts_update_counts_as_written_only_if_it_was() -> None:
    first, later = contact(1, "Ann", version=T0), contact(1, "Ann", "a@x.uk", version=T0)
    update = contact_command(later, version=5)
    for outcome, hash_ in (("POSTED", later["hash"]), ("REFUSED", first["hash"]), ("", first["hash"])):
        scene = Scene(Books().has(sale(1, who=first)))
        scene.orders[later["key"]] = heard(Said(), _result(update, "contact", outcome or "WAITING", xero_id="c-1"))
        scene.run(sale(1, who=first), update)
        assert scene.ledger["shop|C1"]["hash"] == hash_, outcome


def test_an_item_that_was_written_is_not_written_again() -> None:
    written, unknown = item_command("A"), item_command("B")
    scene = Scene()
    scene.orders["A"] = heard(Said(), _result(written, "item", "POSTED", xero_id="item-1", number="A"))
    scene.run(written, unknown)
    assert set(scene.ledger) == {"A"}
    assert scene.ledger["A"]["hash"] == "i-9.99"


def test_results_of_the_streams_say_nothing_about_a_command() -> None:
    suppressed = cast(Result, {"kind": "order", "outcome": "SUPPRESSED", "command_id": None, "status": None})
    said = heard(heard(Said(), _result(sale(1), "order", "WAITING")), suppressed)
    assert said.of(sale(1)["command_id"]) == ("WAITING", "")


# -- how it begins --------------------------------------------------------------------------------------------------


def _transact(entries: dict[str, LedgerEntry]) -> Any:
    from connectors.xero.core.events import Transact

    return Transact(0, dict(entries))


def test_the_lane_notes_what_was_asked_ends_and_does_it_once() -> None:
    world = World().start().run(60, until=lambda: False).put(sale(1)).run()
    asked = {**envelope("REBUILD", control.REBUILD, None, org="uk"), "command_id": "me"}
    world.put(cast(Command, asked), sale(2))
    world.run(60, until=lambda: world.lane is not None and world.lane.closed)
    entry = world.entry(control.REBUILD)
    assert (entry["state"], entry["command_offset"], entry["extra"]["id"]) == ("INTENDED", 1, "me")
    assert control.rebuild_wanted(entry)
    done = control.rebuild_progress(entry, "", {"invoices": 1}, T0)
    world.store.apply(_transact({control.REBUILD: done}))
    world.offset = 1  # as if the group's offset had been lost: the record comes again
    world.start().run(3600)
    assert world.entry(control.REBUILD) == done
    assert world.outcomes() == ["POSTED", "POSTED"]


# -- settlements ----------------------------------------------------------------------------------------------------


def _settled(command: Command) -> tuple[Said, Result]:
    said = Said()
    for kind in ("bank_transaction", "bank_transfer"):
        said = heard(said, _result(command, kind, "POSTED", xero_id=f"id of {kind}"))
    last = _result(command, "settlement", "POSTED")
    return heard(said, last), last


def test_a_settlement_that_a_result_calls_posted_is_posted_with_its_documents_ids() -> None:
    command, scene = settlement(), Scene()
    scene.orders[command["key"]] = _settled(command)[0]
    restoration = scene.run(command)
    whole = scene.ledger[f"{command['key']}|settlement|0"]
    assert (whole["state"], whole["status"], whole["hash"]) == ("POSTED", "PAID", "s-96.90-3.10")
    assert scene.ledger[f"{command['key']}|bank_transfer|0"]["xero_id"] == "id of bank_transfer"
    assert restoration.counts["settlements"] == 1


def test_a_settlement_nobody_has_spoken_of_waits_and_is_looked_for_before_it_is_sent() -> None:
    """Xero holds its fees already: a second document would be a second cost."""
    command, world = settlement(), World()
    world.xero.bank_transactions.append(
        {"BankTransactionID": "b", "Type": "SPEND", "BankAccount": {"AccountID": "acc-092"}, "Date": "2026-11-22",
         "Total": Decimal("3.10"), "TotalTax": Decimal(0), "Reference": "shop/stripe/po_1 stripe po_1"}
    )  # fmt: skip
    scene = Scene()
    scene.run(command)
    assert scene.ledger[f"{command['key']}|settlement|0"]["state"] == "WAITING"
    for key, entry in scene.ledger.items():
        work = Transact(0, {key: entry})
        world.store.apply(work, {key: CODEC.encode("ledger", entry)})
    world.start().run()
    assert world.outcomes("bank_transaction") == ["ADOPTED"]
    assert (len(world.calls("BankTransfers")), world.outcomes("bank_transfer")) == (2, ["POSTED"]), "a look, then one"
    assert [row["Type"] for row in world.xero.bank_transactions].count("SPEND") == 1


def test_another_settlement_under_an_id_that_was_posted_stays_held() -> None:
    command, other, scene = settlement(), settlement(payout="95.00", fees="5.00", version=21), Scene()
    said = heard(_settled(command)[0], _result(other, "settlement", "HELD"))
    scene.orders[command["key"]] = said
    scene.run(command, other)
    assert scene.ledger[f"{command['key']}|settlement|0"]["total"] == "96.90"
