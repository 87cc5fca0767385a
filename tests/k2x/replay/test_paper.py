"""The sink on paper: what it counts is what the sink's own core decides. No Kafka, no Xero, no waiting."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connectors.xero.budget import Limits
from connectors.xero.core import records
from connectors.xero.core.events import ReferenceRow, Transact
from connectors.xero.core.refresh import CONTACTS
from connectors.xero.core.state import Job
from connectors.xero.settings import CoreSettings
from k2x.audit.documents import CreditNote, Invoice, Payment
from k2x.replay.forecast import Forecast
from k2x.replay.looked import Looked
from k2x.replay.paper import Books, PaperLane, PaperLedger
from k2x.replay.tally import Tally
from schemas.codec import Codec
from schemas.ids import CommittedIds
from schemas.types import LedgerEntry
from tests.connectors.xero.commands import (
    contact,
    contact_command,
    envelope,
    in_summary,
    item_command,
    refund,
    sale,
    settlement,
    tender,
)

CODEC = Codec(CommittedIds())
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def ledger() -> Iterator[PaperLedger]:
    """Empty, with a contact index that has been read."""
    made = PaperLedger(None, CODEC)
    made.apply(Transact(0, {}, marks={CONTACTS: NOW.isoformat()}))
    yield made
    made.close()


def lane(ledger: PaperLedger, *, minute: int = 60, books: Books | None = None, window: int = 200) -> PaperLane:
    limits, core = Limits(minute=minute), CoreSettings()
    return PaperLane("uk", ledger, limits, core, CODEC, Tally(), window, NOW, books)


def through(paper: PaperLane, *commands: Any) -> PaperLane:
    for command in commands:
        paper.put(command)
    paper.finish()
    return paper


def put(ledger: PaperLedger, *entries: LedgerEntry) -> None:
    ledger.apply(Transact(0, {entry["key"]: entry for entry in entries}))


def intended(order: int, contact_id: str = "c-1") -> LedgerEntry:
    """The invoice of an order whose call was lost."""
    entry = records.entry("uk", records.invoice_key(f"shop|{order}"), "invoice", NOW)
    entry["number"], entry["contact_id"] = f"W-{order}", contact_id
    entry["intention"] = {
        "step": "invoice", "idempotency_key": "k", "body_sha256": "", "intended_at": NOW, "token_id": "t",
        "attempt": 1, "hash": "m-120.00-20.00", "version": NOW,
    }  # fmt: skip
    return entry


def in_xero(order: int, **changes: Any) -> Invoice:
    fields: dict[str, Any] = {
        "org": "uk", "id": f"i-{order}", "number": f"W-{order}", "reference": str(order), "status": "AUTHORISED",
        "currency": "GBP", "total": Decimal(120), "total_tax": Decimal(20), "amount_due": Decimal(120),
        "contact_id": "c-1", "date": NOW.date(), **changes,
    }  # fmt: skip
    return Invoice(**fields)


def note_in_xero(order: int, **changes: Any) -> CreditNote:
    name = f"CN-W-{order}-r1"
    fields: dict[str, Any] = {
        "org": "uk", "id": f"n-{order}", "number": name, "reference": name, "status": "AUTHORISED",
        "currency": "GBP", "total": Decimal(30), "total_tax": Decimal(5), "amount_due": Decimal(30),
        "contact_id": "c-1", "date": NOW.date(), **changes,
    }  # fmt: skip
    return CreditNote(**fields)


def test_having_looked_refunds_are_adopted_written_or_a_conflict(ledger: PaperLedger, tmp_path: Path) -> None:
    """As after a lost ledger: number and Reference tell a refund's credit note, its markers the money back."""
    row = '{"ContactID":"c-1","ContactNumber":"WC1","Name":"Customer 1","EmailAddress":null,"ContactStatus":"ACTIVE"}'
    ledger.apply(Transact(0, {}, reference=(ReferenceRow("CONTACT", "c-1", row, "", NOW),)))
    back = Payment("uk", "p-1", "n-1", "CN-W-1-r1/1 re_1", Decimal(30))
    whole = note_in_xero(1, status="PAID", amount_due=Decimal(0), payments=(back,))
    books = looked(tmp_path, whole, note_in_xero(2), note_in_xero(3, total=Decimal(31)))
    orders = [sale(n, who=contact(1)) for n in (1, 2, 3, 4)]
    paper = through(lane(ledger, books=books), *orders, *(refund(n) for n in (1, 2, 3, 4)))
    assert (books.invoices, books.credit_notes) == (0, 3)
    assert paper.tally.refunds == {"posted": 3, "refused": 1}
    assert {name: paper.tally.adopted[name] for name in ("credit_notes", "refunds")} == {
        "credit_notes": 2,
        "refunds": 1,
    }
    assert {name: paper.tally.written[name] for name in ("credit_notes", "refunds")} == {
        "credit_notes": 1,
        "refunds": 2,
    }


def unpaid(order: int) -> LedgerEntry:
    """An order whose payment Xero refused."""
    entry = records.entry("uk", records.invoice_key(f"shop|{order}"), "invoice", NOW)
    entry["state"], entry["status"], entry["number"], entry["xero_id"] = "REFUSED", "AUTHORISED", f"W-{order}", "i-1"
    entry["total"], entry["total_tax"], entry["currency"], entry["contact_id"] = "120.00", "20.00", "GBP", "c-1"
    entry["hash"], entry["version"], entry["observed_at"] = "m-120.00-20.00", NOW, NOW
    return entry


@pytest.mark.parametrize("read", [False, True], ids=["ledger alone", "with a look"])
def test_refunds_of_unpaid_sales_are_voided_or_allocated_on_paper(
    ledger: PaperLedger, tmp_path: Path, read: bool
) -> None:
    put(ledger, *(unpaid(order) | {"xero_id": f"i-{order}"} for order in (1, 2, 3)))
    changes: list[Any] = [{**refund(1, total="120.00", tax="20.00"), "on_unpaid": "VOID"}]
    changes += [{**refund(2), "on_unpaid": "CREDIT"}, {**refund(3), "on_unpaid": "HOLD"}]
    books = looked(tmp_path, in_xero(1), in_xero(2), in_xero(3)) if read else None
    paper = through(lane(ledger, books=books), *changes)
    assert paper.tally.refunds == {"posted": 2, "held": 1}
    assert paper.tally.written == {"credit_notes": 1, "allocations": 1}
    assert paper.calls <= 5, "a look or two, one void, one credit note, one allocation"


def test_having_looked_an_invoice_that_was_paid_by_hand_is_held_on_paper(ledger: PaperLedger, tmp_path: Path) -> None:
    put(ledger, unpaid(1))
    cash = Payment("uk", "p-1", "i-1", "cash", Decimal(120))
    books = looked(tmp_path, in_xero(1, status="PAID", amount_due=Decimal(0), payments=(cash,)))
    command: Any = {**refund(1, total="120.00", tax="20.00"), "on_unpaid": "VOID"}
    assert through(lane(ledger, books=books), command).tally.refunds == {"held": 1}


def looked(tmp_path: Path, *invoices: Invoice) -> Looked:
    return Looked(tmp_path / "xero.sqlite3", [list(invoices)], lambda count: None)


def test_new_orders_are_written_fifty_a_call_at_the_pace_of_the_minute(ledger: PaperLedger) -> None:
    paper = through(lane(ledger), *(sale(n) for n in range(500)))
    assert paper.tally.written == {"contacts": 500, "invoices": 500, "payments": 500}
    assert paper.tally.orders == {"posted": 500}
    assert 30 <= paper.calls <= 36, "the first calls go at once, with what is there"
    assert 25 < paper.seconds < 45, "at 54 calls a minute, six of them at once"


def test_what_is_posted_costs_no_call(ledger: PaperLedger) -> None:
    orders = [sale(n) for n in range(50)]
    through(lane(ledger), *orders)
    again = through(lane(ledger), *orders, sale(3, version=60), sale(4, version=60, total="60.00", tax="10.00"))
    assert (again.calls, again.seconds < 1) == (0, True)
    assert again.tally.orders == {"left_alone": 51, "held": 1}
    assert again.tally.reasons == {"held": {"held/other_money": 1}}
    assert not again.tally.written


def test_cancellations_contacts_and_items_are_counted_too(ledger: PaperLedger) -> None:
    deleted = envelope("CANCEL", "shop|9", None, org="uk", order="9")
    stranger, buyer = contact(77, only_if_known=True), contact(1, "New name", only_if_known=True)
    changes = (contact_command(stranger), contact_command(buyer, version=60))
    paper = through(lane(ledger), sale(1), deleted, *changes, item_command("BOOTS"))
    assert paper.tally.orders == {"posted": 1, "cancelled": 1}
    assert paper.tally.updates == {"left_alone": 1, "posted": 2}
    assert paper.tally.written == {"contacts": 2, "invoices": 1, "payments": 1, "items": 1}
    assert paper.unsure == 0, "as it was written here, the contact is known"


def test_a_contact_that_nobody_has_looked_at_is_said_to_be_unsure(ledger: PaperLedger) -> None:
    known = records.entry("uk", "shop|C1", "contact", NOW)
    known["state"], known["xero_id"], known["hash"] = "POSTED", "c-1", "before"
    put(ledger, known)
    paper = through(lane(ledger), contact_command(contact(1), version=60))
    assert (paper.unsure, paper.tally.written["contacts"]) == (1, 1)


def test_known_contacts_of_the_index_are_adopted(ledger: PaperLedger) -> None:
    row = '{"ContactID":"c-9","ContactNumber":"WC1","Name":"Customer 1","EmailAddress":null,"ContactStatus":"ACTIVE"}'
    ledger.apply(Transact(0, {}, reference=(ReferenceRow("CONTACT", "c-9", row, "", NOW),)))
    paper = through(lane(ledger), sale(1))
    assert (paper.tally.adopted, paper.tally.written) == ({"contacts": 1}, {"invoices": 1, "payments": 1})


def test_an_invoice_that_was_intended_is_taken_to_be_there(ledger: PaperLedger) -> None:
    put(ledger, intended(1))
    paper = through(lane(ledger), sale(1))
    assert (paper.tally.adopted, paper.tally.written) == ({"invoices": 1}, {"payments": 1})


def test_having_looked_it_is_adopted_written_or_a_conflict(ledger: PaperLedger, tmp_path: Path) -> None:
    put(ledger, intended(1), intended(2), intended(3))
    paid = Payment("uk", "p-1", "i-1", "W-1/1 ch_1", Decimal(120))
    whole = in_xero(1, payments=(paid,), amount_due=Decimal(0), status="PAID")
    books = looked(tmp_path, whole, in_xero(3, total=Decimal(99)))
    paper = through(lane(ledger, books=books), sale(1), sale(2), sale(3))
    assert paper.tally.adopted == {"invoices": 1, "payments": 1}
    assert paper.tally.written == {"invoices": 1, "payments": 1}
    assert paper.tally.reasons == {"refused": {"conflict/invoice_differs": 1}}


def test_having_looked_a_number_that_xero_has_is_not_taken_for_free(ledger: PaperLedger, tmp_path: Path) -> None:
    """As after a lost ledger: the same document is adopted, another one's is a conflict, a voided one keeps its
    number. Contacts come first: the one that is there is in the index."""
    row = '{"ContactID":"c-1","ContactNumber":"WC1","Name":"Customer 1","EmailAddress":null,"ContactStatus":"ACTIVE"}'
    ledger.apply(Transact(0, {}, reference=(ReferenceRow("CONTACT", "c-1", row, "", NOW),)))
    books = looked(tmp_path, in_xero(1), in_xero(2, reference="other"), in_xero(3, status="VOIDED"))
    orders = [sale(n, who=contact(1)) for n in (1, 2, 3, 4)]
    paper = through(lane(ledger, books=books), *orders)
    assert paper.tally.adopted == {"contacts": 1, "invoices": 1}
    assert paper.tally.written == {"invoices": 1, "payments": 2}
    assert paper.tally.reasons["refused"] == {"conflict/invoice_differs": 1, "conflict/number_gone": 1}


def test_payments_that_were_intended_are_adopted_one_by_one(ledger: PaperLedger, tmp_path: Path) -> None:
    parts = [tender("20.00", 1), tender("100.00", 2)]
    invoice = intended(1)
    invoice["state"], invoice["xero_id"], invoice["status"] = "POSTED", "i-1", "AUTHORISED"
    invoice["version"], invoice["hash"], invoice["intention"] = sale(1)["version"], "m-120.00-20.00", None
    payment = records.entry("uk", records.payment_key("shop|1", 1), "payment", NOW, 1)
    payment["number"], payment["intention"] = "W-1/1", {**(intended(1)["intention"] or {}), "step": "payment"}  # type: ignore[typeddict-item]
    put(ledger, invoice, payment)
    paper = through(lane(ledger), sale(1, payments=parts))
    assert (paper.tally.adopted, paper.tally.written) == ({"payments": 1}, {"payments": 1})
    assert paper.tally.orders == {"posted": 1}


def test_an_order_that_waits_already_goes_on_waiting(ledger: PaperLedger) -> None:
    """Its own command is driven by the sink, not by the replay."""
    command = sale(1)
    value = CODEC.encode("command", {**command, "body": ("k2x.xero.Sale", command["body"])})
    job = Job(command, b"shop|1", value, (), None, 5, records.home(command))
    entry = records.entry("uk", records.home(command), "invoice", NOW)
    put(ledger, records.waiting(entry, job, "Xero's call limit", NOW - timedelta(hours=1), 0.0))
    paper = through(lane(ledger), sale(1, version=60), sale(2))
    assert paper.tally.orders == {"posted": 1}
    assert list(paper.tally.going_on) == ["waiting: waits behind an earlier version of its order"]


def test_no_more_than_the_window_is_outstanding(ledger: PaperLedger) -> None:
    """Calls go out with what is there: a window of ten makes calls of at most ten."""
    paper = through(lane(ledger, window=10), *(sale(n) for n in range(50)))
    assert paper.calls >= 15


def test_days_are_counted_by_the_calls_that_a_day_has_left() -> None:
    def days(calls: int, left: int | None) -> int:
        return Forecast("uk", 0, Tally(), calls, 60.0, 0, 900, left).days

    assert [days(0, 0), days(900, None), days(901, None), days(100, 50), days(951, 50)] == [1, 1, 2, 2, 3]


def test_orders_of_a_day_are_collected_on_paper_and_their_close_is_counted(ledger: PaperLedger) -> None:
    """A plan ends when everything is collected, as a run does; an earlier version of the same batch is left alone."""
    orders = [in_summary(sale(n), NOW + timedelta(hours=3)) for n in range(120)]
    again = in_summary(sale(1, version=60, total="60.00", tax="10.00"), NOW + timedelta(hours=3))
    paper = through(lane(ledger), *orders, again)
    assert (paper.calls, dict(paper.tally.written), dict(paper.tally.orders)) == (0, {}, {"left_alone": 1})
    assert (paper.tally.collected, len(paper.tally.summaries)) == (120, 1)
    assert len(paper._commands) == 0, "what is collected is not kept in memory"
    found = Forecast("uk", 121, paper.tally, paper.calls, 0.0, 0, 900, None)
    assert (found.calls, found.calls_at_close) == (0, 3)


def test_an_edited_order_is_credited_and_issued_anew_on_paper_too(ledger: PaperLedger) -> None:
    edit = sale(1, version=9, total="60.00", tax="10.00", on_other_money="REISSUE")
    paper = through(lane(ledger), sale(1), edit, sale(1, version=5, total="30.00", tax="5.00"))
    entry = ledger.get(records.invoice_key("shop|1"))
    assert entry is not None
    assert (entry["number"], entry["status"], entry["total"]) == ("W-1-R2", "PAID", "60.00")
    assert paper.tally.orders == {"posted": 2, "left_alone": 1}


def test_a_settlement_is_its_fees_and_its_payout_and_left_alone_once_posted(ledger: PaperLedger) -> None:
    first = through(lane(ledger), settlement("po_1"))
    assert dict(first.tally.written) == {"bank_transactions": 1, "bank_transfers": 1}
    assert dict(first.tally.settlements) == {"posted": 1}
    again = through(lane(ledger), settlement("po_1"))
    assert (dict(again.tally.settlements), again.calls) == ({"left_alone": 1}, 0)
