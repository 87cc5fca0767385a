"""What the sink would do, on paper: its own decisions and budget against a copy of the ledger and a Xero that agrees.

Nothing leaves this process. The clock jumps from event to event, so an hour of Xero's limits takes a second.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Protocol, cast

from connectors.xero.budget import Budget, Limits
from connectors.xero.calls import Answer
from connectors.xero.core import answers, records
from connectors.xero.core.events import (
    Action,
    Answered,
    Committed,
    Event,
    Moment,
    Pause,
    Record,
    Restored,
    Resume,
    Send,
    Tick,
    Transact,
    Wake,
)
from connectors.xero.core.lane import Lane
from connectors.xero.core.state import Batch, Document, Step
from connectors.xero.ledger import LedgerStore
from connectors.xero.outcomes import ZERO_ID
from connectors.xero.reference import due
from connectors.xero.settings import CoreSettings
from k2x.errors import K2xError
from k2x.replay.tally import Tally, is_collected
from schemas.codec import Codec
from schemas.types import Command, Payout, RefundNote, Sale

_CALL_S = 0.3  # of a call to Xero, as the benches take it (docs/benchmarks.md)
_COMMIT_S = 0.02
_KNOWN_S = 3600.0  # that the lane has been running: its budget knows the minute
_WAKE_S = 1.0  # a lane looks around at least so often
_NO_DAY = 10**9  # calls: the day's limit is arithmetic (forecast.days), not hours on paper
_LEAST_S = 0.001  # by which the clock moves on, where a lane asks to be woken at once
_STUCK = 200_000  # looks without any news: two days on paper


_WRITTEN = {
    Step.CONTACT: "Contacts",
    Step.ITEM: "Items",
    Step.INVOICE: "Invoices",
    Step.PAYMENT: "Payments",
    Step.CREDIT_NOTE: "CreditNotes",
    Step.REFUND: "Payments",
    Step.BANK_TRANSACTION: "BankTransactions",
    Step.BANK_TRANSFER: "BankTransfers",
    Step.VOID: "Invoices",
    Step.ALLOCATION: "Allocations",
}
_LOOKED_UP = {**_WRITTEN, Step.PAYMENT: "Invoices", Step.REFUND: "CreditNotes", Step.CHECK: "Invoices"}
_LOOKED_UP |= {Step.ALLOCATION: "CreditNotes"}
# What the books say of a posted invoice, where somebody has looked; of an unpaid one too what stands on it.
_SEEN = ("Status", "Total", "TotalTax")
_SEEN_OF_UNPAID = (*_SEEN, "Payments", "AmountPaid", "AmountCredited", "AmountDue")


class Books(Protocol):
    """What Xero holds, where somebody has looked."""

    def invoice(self, number: str) -> Mapping[str, Any] | None:
        """The sales invoice with this number, as a paged GET shows it, payments included."""

    def credit_note(self, number: str) -> Mapping[str, Any] | None:
        """The sales credit note with this number, likewise."""


class PaperLedger(LedgerStore):
    """A copy of the ledger whose waiting orders go on waiting: they are none of the replay's."""

    def waiting(self, before: datetime, after: tuple[datetime, str] | None, limit: int) -> list[tuple[datetime, str]]:
        return []

    def next_waiting(self, after: datetime | None = None) -> datetime | None:
        return None


class PaperLane:
    """One organisation's lane. `put` commands in their order, then `finish`. `tally`, `calls` and `seconds` grow."""

    def __init__(
        self,
        org: str,
        ledger: PaperLedger,
        limits: Limits,
        core: CoreSettings,
        codec: Codec,
        tally: Tally,
        window: int,
        now: datetime,
        books: Books | None = None,
    ) -> None:
        self.tally, self.calls = tally, 0
        self.unsure = 0  # contacts that are written only if Xero shows them otherwise, which nobody has looked at
        self._ledger, self._codec, self._window, self._books = ledger, codec, window, books
        self._speed, self._minute = limits.speed, limits.minute
        self._begun = self._mono = 1000.0
        self._epoch = now - timedelta(seconds=self._begun)
        self._commands: dict[int, Command] = {}
        self._contacts: dict[str, dict[str, Any]] = {}  # those written on paper
        self._ids = itertools.count(1)
        self._order = itertools.count()
        self._events: list[tuple[float, int, Event]] = []
        self._fed = self._offset = 0
        self._paused = False
        self._wake = self._mono
        budget = Budget(replace(limits, day=_NO_DAY, day_reserve=0), self._mono - _KNOWN_S)
        # What was under way when the lane took over has long come to its end.
        encode = partial(codec.encode, "command")
        self._lane = Lane(org, core, ledger, budget, "paper", self._decode, encode, self._mono - _KNOWN_S)
        self._lane.refresh.read_at.update(dict.fromkeys(due({}, 0.0), float("inf")))  # reference data is not read here
        self._tell(Restored(0))

    @property
    def seconds(self) -> float:
        """How long it has taken, on Xero's clock."""
        return self._mono - self._begun

    def put(self, command: Command) -> None:
        """One command, as soon as there is room for it."""
        self._until(lambda: not self._paused and self._fed - self._offset < self._window)
        number, self._fed = self._fed, self._fed + 1
        own = cast(Command, {**command, "command_id": str(number)})
        self._commands[number] = own
        self._tell(Record(number, command["key"].encode(), str(number).encode(), (), own))

    def finish(self) -> None:
        """Until everything put so far has come to its end."""
        self._until(self._quiet)

    # -- time ---------------------------------------------------------------------------------------------------

    def _until(self, holds: Any) -> None:
        for _ in range(_STUCK):
            if holds():
                return
            if self._events and self._events[0][0] <= self._wake:
                when, _order, event = heapq.heappop(self._events)
            else:
                when, event = self._wake, Tick()
            self._mono = max(self._mono, when)
            self._tell(event)
        raise K2xError(f"the plan of {self._lane.desk.org} does not come to an end: report this, with k2x replay plan")

    def _quiet(self) -> bool:
        desk = self._lane.desk
        writing = [batch for batch in self._lane.planner.batches.values() if batch.kind != "reference"]
        return not (desk.jobs or desk.flying or writing) and self._offset == self._fed

    def _tell(self, event: Event) -> None:
        if isinstance(event, Committed):
            self._commit(event)
        self._wake = self._mono + _WAKE_S
        for action in self._lane.handle(event, Moment(self._mono, self._epoch + timedelta(seconds=self._mono))):
            self._do(action)

    def _at(self, delay: float, event: Event) -> None:
        heapq.heappush(self._events, (self._mono + delay, next(self._order), event))

    def _do(self, action: Action) -> None:
        match action:
            case Transact():
                self._work = action
                self._at(_COMMIT_S, Committed(action.tx))
            case Send():
                self.calls += 1
                self._at(_CALL_S / self._speed, Answered(action.call_id, self._answer(action)))
            case Wake(at):
                self._wake = min(self._wake, max(at, self._mono + _LEAST_S))
            case Pause():
                self._paused = True
            case Resume():
                self._paused = False

    def _commit(self, done: Committed) -> None:
        work = self._work
        if work.tx != done.tx:
            raise K2xError("a transaction on paper was overtaken by another one: report this")
        self._ledger.apply(work)
        self._offset = work.offset if work.offset is not None else self._offset
        for result in work.results:
            self.tally.take(result)
            number = result["command_id"] or ""
            alone = result["kind"] in ("contact", "item") and result["order_id"] is None
            of_itself = result["kind"] in ("order", "order_refund", "settlement") or alone
            # What is collected into a summary waits for its close, which is not on paper, and is not read again.
            over = result["outcome"] != "WAITING" or is_collected(result)
            if of_itself and over and number.isdigit():
                self._commands.pop(int(number), None)

    def _decode(self, value: bytes) -> Command:
        """A command put here is named by its number; one from the real ledger is Avro, which begins with a zero."""
        found = self._commands[int(value)] if value[:1].isdigit() else self._codec.decode(value)
        return cast(Command, found)

    # -- answers ------------------------------------------------------------------------------------------------

    def _answer(self, send: Send) -> Answer:
        batch = self._lane.planner.batches[send.call_id]
        collection = (_LOOKED_UP if batch.lookup else _WRITTEN)[batch.step]
        rows = [row for row in self._rows(batch) if row is not None]
        headers = {"x-minlimit-remaining": str(self._minute)}
        return Answer(200, headers, {"Status": "OK", collection: rows}, elapsed=_CALL_S)

    def _rows(self, batch: Batch) -> list[Mapping[str, Any] | None]:
        if batch.lookup and batch.step is Step.PAYMENT:
            return list(self._paid(batch.documents))
        if batch.lookup and batch.step is Step.REFUND:
            return list(self._refunded(batch.documents))
        made = {
            (Step.CONTACT, False): self._contact_written,
            (Step.CONTACT, True): self._contact_found,
            (Step.ITEM, False): lambda d: {"ItemID": self._id(), "Code": d.natural},
            (Step.INVOICE, False): self._invoice_written,
            (Step.INVOICE, True): self._invoice_found,
            (Step.PAYMENT, False): self._payment,
            (Step.CREDIT_NOTE, False): self._credit_written,
            (Step.CREDIT_NOTE, True): self._credit_found,
            (Step.REFUND, False): self._payment,
            (Step.CHECK, True): self._posted,
            (Step.VOID, False): self._voided,
            (Step.VOID, True): self._looked_at,
            (Step.ALLOCATION, False): self._allocated,
            (Step.ALLOCATION, True): self._allocations,
            (Step.BANK_TRANSACTION, False): self._banked,
            (Step.BANK_TRANSACTION, True): self._banked,
            (Step.BANK_TRANSFER, False): self._banked,
            (Step.BANK_TRANSFER, True): self._banked,
        }[batch.step, batch.lookup]
        return [made(document) for document in batch.documents]

    def _contact_written(self, document: Document) -> Mapping[str, Any]:
        row = {"ContactID": self._id(), "ContactNumber": document.natural, **document.parts}
        self._contacts[row["ContactID"]] = {**self._contacts.get(row["ContactID"], {}), **row}
        return row

    def _contact_found(self, document: Document) -> Mapping[str, Any]:
        """As it was written here, else what the contact index shows: addresses and telephone numbers of those may
        differ, so they are written."""
        own = str(document.parts["ContactID"])
        self.unsure += own not in self._contacts
        row = self._ledger.reference_row("CONTACT", own)
        known = json.loads(row) if row else {"ContactNumber": document.natural}
        return {**known, "ContactID": own, **self._contacts.get(own, {})}

    def _invoice_written(self, document: Document) -> Mapping[str, Any]:
        sale = _sale(document)
        if self._books is not None and self._books.invoice(document.natural) is not None:
            taken = {"InvoiceNumber": document.natural, "InvoiceID": ZERO_ID, "HasErrors": True}
            return {**taken, "ValidationErrors": [{"Message": "Invoice # must be unique."}]}
        return self._invoice(document, sale)

    def _invoice_found(self, document: Document) -> Mapping[str, Any] | None:
        """By the books where somebody has looked. Else an invoice that was intended is taken to be there."""
        return self._books.invoice(document.natural) if self._books else self._invoice(document, _sale(document))

    def _posted(self, document: Document) -> Mapping[str, Any] | None:
        """An invoice that is looked at before it is credited or voided: as the ledger has it, but for what the books
        show."""
        entry = self._lane.desk.entry(document.key)
        if entry is None:
            return None
        paid = records.payments(self._lane.desk.entry, document.jobs[0].command["key"], entry)
        payments = [{"PaymentID": one["xero_id"], "Reference": one["number"], "Amount": one["total"]} for one in paid]
        credited, total = records.allocated(entry), Decimal(entry["total"] or "0")
        came = sum((Decimal(str(one["Amount"])) for one in payments), Decimal(0))
        line = {"Description": "", "LineAmount": entry["total"], "TaxAmount": entry["total_tax"], "AccountCode": "?"}
        made: dict[str, Any] = {
            "InvoiceID": entry["xero_id"],
            "InvoiceNumber": document.natural,
            "Contact": {"ContactID": entry["contact_id"]},
            "Status": "AUTHORISED" if records.ended_unpaid(entry) else "PAID",
            "LineAmountTypes": "Inclusive",
            "LineItems": [line],
            "Total": entry["total"],
            "TotalTax": entry["total_tax"],
            "Payments": payments,
            "AmountPaid": came,
            "AmountCredited": credited,
            "AmountDue": total - came - credited,
        }
        known = (self._books.invoice(document.natural) if self._books else None) or {}
        names = _SEEN_OF_UNPAID if records.ended_unpaid(entry) else _SEEN
        return made | {name: known[name] for name in names if known.get(name) is not None}

    def _voided(self, document: Document) -> Mapping[str, Any]:
        """It was looked at a moment ago, and nothing stood on it."""
        return {"InvoiceID": document.jobs[0].target_id, "InvoiceNumber": document.natural, "Status": "VOIDED"}

    def _looked_at(self, document: Document) -> Mapping[str, Any] | None:
        """What became of a void: by the books, or as it was intended."""
        return self._posted(document) if self._books is not None else self._voided(document)

    def _allocated(self, document: Document) -> Mapping[str, Any]:
        return {
            "AllocationID": self._id(),
            "Amount": document.amount,
            "Invoice": {"InvoiceID": document.parts["invoice"]},
        }

    def _allocations(self, document: Document) -> Mapping[str, Any]:
        """A credit note with what is allocated of it: by the books, or all that was intended."""
        target = {"CreditNoteID": document.jobs[0].target_id}
        if self._books is None:
            return {"Allocations": [self._allocated(document)], **target}
        found = self._books.credit_note(document.natural) or {}
        own = {"Amount": found.get("AmountCredited"), "Invoice": {"InvoiceID": document.parts["invoice"]}}
        return {**found, **target, "Allocations": [own] if Decimal(str(own["Amount"] or 0)) else []}

    def _invoice(self, document: Document, sale: Sale) -> Mapping[str, Any]:
        return {
            "Type": "ACCREC",
            "InvoiceID": self._id(),
            "InvoiceNumber": document.natural,
            "Reference": json.loads(sale["invoice"]).get("Reference") or "",
            "Contact": {"ContactID": document.jobs[0].contact_id},
            "Status": "AUTHORISED",
            "CurrencyCode": sale["currency"],
            "Total": sale["total"],
            "TotalTax": sale["total_tax"],
            "AmountDue": sale["total"],
        }

    def _payment(self, document: Document) -> Mapping[str, Any]:
        return {
            "PaymentID": self._id(),
            "Reference": document.natural,
            "Amount": document.amount,
            "Status": "AUTHORISED",
        }

    def _banked(self, document: Document) -> Mapping[str, Any]:
        """A settlement's document as it is written. One that was intended is taken to be there: it has no number by
        which the books could be asked."""
        payout, row = cast(Payout, document.jobs[0].command["body"]), json.loads(document.element, parse_float=Decimal)
        made = {answers.ID[document.step]: self._id(), "Status": "AUTHORISED"}
        if document.step is Step.BANK_TRANSACTION:
            made |= {"Total": payout["transaction_total"], "TotalTax": payout["transaction_tax"]}
        return {**row, **made}

    def _paid(self, documents: list[Document]) -> list[Mapping[str, Any]]:
        """Invoices with their payments: by the books, or with every payment that was intended."""
        rows: dict[str, dict[str, Any]] = {}
        for document in documents:
            invoice_id = document.jobs[0].target_id or ""
            found = self._books.invoice(document.jobs[0].number) if self._books else None
            row = rows.setdefault(invoice_id, {**(found or {}), "InvoiceID": invoice_id})
            if found is None and self._books is None:
                row.setdefault("Payments", []).append(self._payment(document))
        return list(rows.values())

    def _credit_written(self, document: Document) -> Mapping[str, Any]:
        if self._books is not None and self._books.credit_note(document.natural) is not None:
            taken = {"CreditNoteNumber": document.natural, "CreditNoteID": ZERO_ID, "HasErrors": True}
            return {**taken, "ValidationErrors": [{"Message": "Credit Note # must be unique."}]}
        return self._credit(document)

    def _credit_found(self, document: Document) -> Mapping[str, Any] | None:
        return self._books.credit_note(document.natural) if self._books else self._credit(document)

    def _credit(self, document: Document) -> Mapping[str, Any]:
        job = document.jobs[0]
        note = job.note or cast(RefundNote, job.command["body"])
        return {
            "Type": "ACCRECCREDIT",
            "CreditNoteID": self._id(),
            "CreditNoteNumber": document.natural,
            "Reference": document.natural,
            "Contact": {"ContactID": document.jobs[0].contact_id},
            "Status": "AUTHORISED",
            "CurrencyCode": note["currency"],
            "Total": note["total"],
            "TotalTax": note["total_tax"],
            "RemainingCredit": note["total"],
        }

    def _refunded(self, documents: list[Document]) -> Iterator[Mapping[str, Any]]:
        """Credit notes with the money given back: by the books, or all that was intended."""
        for document in documents:
            target = {"CreditNoteID": document.jobs[0].target_id}
            if self._books:
                yield {**(self._books.credit_note(document.jobs[0].number) or {}), **target}
            else:
                yield {**target, "Payments": [self._payment(document)]}

    def _id(self) -> str:
        return f"paper-{next(self._ids)}"


def _sale(document: Document) -> Sale:
    return cast(Sale, document.jobs[0].command["body"])
