"""One organisation's lane: events in, actions out. The heart of the sink, the same in production and simulation.

Guarantees (DESIGN §3): a record's offset moves only in or after the transaction that holds its outcome; a write leaves
only after its intention is on the log and before that lapses; an unclear answer is repeated with the same bytes, key
and token, or read back, never guessed; orders go each in its own order; a lane that is revoked sends nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.xero.batch import ONE_A_CALL
from connectors.xero.calls import Answer
from connectors.xero.core import answers, control, records
from connectors.xero.core.contacts import Contacts
from connectors.xero.core.corrections import Corrections
from connectors.xero.core.credits import Credits
from connectors.xero.core.desk import Desk
from connectors.xero.core.events import (
    Aborted,
    Action,
    Answered,
    BudgetPort,
    Close,
    Committed,
    Event,
    LedgerView,
    Moment,
    Pause,
    Record,
    Restored,
    Resume,
    Revoked,
    Send,
    Tick,
    Wake,
)
from connectors.xero.core.items import Items
from connectors.xero.core.payments import Payments
from connectors.xero.core.planner import Planner
from connectors.xero.core.refresh import CONTACTS, Refresh
from connectors.xero.core.refunds import Refunds
from connectors.xero.core.reissue import Reissues
from connectors.xero.core.sales import Sales
from connectors.xero.core.settlements import Settlements
from connectors.xero.core.state import MONEY, UNNUMBERED, Batch, Document, Job, Refusal, Rest, Step
from connectors.xero.core.summaries import Summaries
from connectors.xero.core.summary_work import SummaryWork
from connectors.xero.core.troubles import Troubles
from connectors.xero.core.unpaid import Unpaid
from connectors.xero.core.watermark import Watermark
from connectors.xero.outcomes import Course, course
from connectors.xero.settings import CoreSettings
from schemas.types import Command, LedgerEntry

_Readers = tuple[Callable[[Document, Mapping[str, Any]], None], Callable[[Document], None]]
_DUE_AT_ONCE = 200  # waiting orders taken from the ledger in one look
_LOOK_AGAIN = 1.0  # seconds between looks for waiting orders that are due


class Lane:
    """`handle` one event at a time. `takeover`: when init_transactions had fenced the former owner."""

    def __init__(
        self,
        org: str,
        settings: CoreSettings,
        ledger: LedgerView,
        budget: BudgetPort,
        nonce: str,
        decode: Callable[[bytes], Command],
        encode: Callable[[Command], bytes],
        takeover: float,
    ) -> None:
        self.desk = Desk(org, settings, ledger, nonce, decode)
        self.desk.takeover = takeover
        self.contacts = Contacts(self.desk)
        self.sales = Sales(self.desk, self.contacts)
        self.contacts.sale_refused = self.sales.refused_before
        self.items = Items(self.desk)
        self.refunds = Refunds(self.desk, self.sales)
        self.settlements = Settlements(self.desk)
        self.reissues = Reissues(self.desk, self.sales)
        self.corrections = Corrections(self.desk, self.sales)
        self.summary_work = SummaryWork(self.desk, encode, self._post)
        self.summaries = Summaries(self.desk, self.summary_work)
        self.sales.summary_paid = self.refunds.summary_paid = self.summary_work.posted
        self.seen: dict[Step, _Readers] = {
            Step.CONTACT: (self.contacts.found, self.contacts.absent),
            Step.INVOICE: (self.sales.invoice_found, self.sales.invoice_absent),
        }
        self.desk.tell_why = self.summary_work.refused
        self.refresh = Refresh(self.desk)
        self.summary_work.books_closed = lambda: self.refresh.stale("ORGANISATION")
        self._actions: list[Action] = []
        self.planner = Planner(self.desk, budget, self.refresh, self._actions.append)
        self.troubles = Troubles(self.desk, self.planner, self, self.contacts.set_aside)
        self.closed = False
        self._restored = False
        self._paused = False
        self._look_at, self._looked = float("-inf"), datetime.min.replace(tzinfo=UTC)

    # -- events -------------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: Moment) -> list[Action]:
        """What to do now. After Close, nothing ever."""
        self._actions.clear()
        if self.closed:
            return []
        self.desk.now = now
        match event:
            case Restored(offset):
                self.desk.mark, self._restored = Watermark(offset), True
            case Record():
                self._record(event)
            case Answered(call_id, answer):
                self._answered(call_id, answer)
            case Committed(tx):
                self._due_meanwhile()
                batches = self.desk.committed(tx)
                if control.rebuild_wanted(self.desk.ledger.get(control.REBUILD)):
                    self.closed = True  # what these batches intended, the next life reads back
                    return [Close("a rebuild of the ledger was asked for")]
                self.planner.intended(batches)
            case Aborted(tx):
                self.desk.aborted(tx)
            case Tick():
                pass
            case Revoked():
                self.closed = True
                return [Close("revoked")]
        if self._restored:
            self._drive()
        return list(self._actions)

    def _drive(self) -> None:
        if not self.contacts.indexed and self.desk.ledger.mark(CONTACTS) is not None:
            self.contacts.index_ready()
        self._waiting()
        self.summary_work.go()  # before what follows: a refund's turn comes in the transaction that ends its sale
        self._follow()
        self.troubles.pause_is_long()
        self.troubles.set_aside()
        self.planner.plan()
        transaction = self.desk.transact()
        if transaction is not None:
            self._actions.append(transaction)
        self._intake()
        self.planner.wakes += self._next_look()
        if self.summary_work.more:
            self.planner.wakes.append(self.desk.now.mono)
        if self.planner.wakes:
            self._actions.append(Wake(max(min(self.planner.wakes), self.desk.now.mono)))

    # -- records ------------------------------------------------------------------------------------------------

    def _record(self, record: Record) -> None:
        if not self.desk.mark.opened(record.offset):
            return
        command = record.command
        if command is None or records.incomplete(command):
            if command is not None:
                self._tell_incomplete(command)
            self.desk.writing.letters.append(records.unreadable(self.desk.org, record, self.desk.now.at))
            self.desk.mark.finished(record.offset)
            self.desk.writing.finished = True
            return
        if command["kind"] == "REBUILD":
            self._rebuild_asked(record)
            return
        job = Job(
            command, record.key, record.value, record.headers, record.offset, record.offset, records.home(command)
        )
        head = self.desk.jobs.get(job.home)
        entry = self.desk.entry(job.home)
        if entry is not None and records.collected(entry):
            entry = None  # its command lies in a summary: nothing of it is under way
        if head is not None and not head.parked:
            head.followers.append(job)
        elif head is not None or (entry is not None and entry["command"] is not None):
            self.desk.hold_next(job)
        else:
            self._begin(job)

    def _tell_incomplete(self, command: Command) -> None:
        text, kind = f"A {command['kind']} command without its body.", records.told_as(command)
        self.desk.result(command, kind, "REFUSED", error_class="bug", error_code="not_readable", message=text)

    def _rebuild_asked(self, record: Record) -> None:
        """Noted in the ledger; then this life ends, for a rebuild begins where nothing is under way: at a take-over."""
        known = self.desk.entry(control.REBUILD)
        self.desk.mark.finished(record.offset)
        self.desk.writing.finished = True
        if known is None or (known["command_offset"] or 0) < record.offset:
            self.desk.writing.entries[control.REBUILD] = control.rebuild_asked(self.desk.org, record, self.desk.now.at)

    def _begin(self, job: Job) -> None:
        self.desk.jobs[job.home] = job
        if not self.summaries.takes(job):
            self._post(job)

    def _post(self, job: Job) -> None:
        match job.command["kind"]:
            case "SALE":
                self.sales.start(job)
            case "CANCEL":
                self.sales.cancel(job)
            case "CONTACT":
                self.contacts.update(job)
            case "ITEM":
                self.items.start(job)
            case "REFUND":
                self.refunds.start(job)
            case "SETTLEMENT":
                self.settlements.start(job)

    def _follow(self) -> None:
        """What waited behind the jobs that have ended."""
        while self.desk.ended:
            done = self.desk.ended.popleft()
            if self.desk.jobs.get(done.home) is done:
                del self.desk.jobs[done.home]
            if done.followers:
                following = done.followers.popleft()
                following.followers = done.followers
                self._begin(following)
                continue
            key = self._next_in_ledger(done.home)
            if key is not None and (entry := self.desk.entry(key)) is not None:
                following = self._from_ledger(entry, done.home)
                self.desk.clear(key)
                self._begin(following)
                if not following.done:
                    self.desk.park(following, "its turn has come", self.desk.settings.moment)

    def _next_in_ledger(self, home: str) -> str | None:
        """What waits behind an order: a later version, then the refunds, some of them for a posted sale only."""
        key = records.next_key(home)
        entry = self.desk.entry(key)
        if entry is not None and entry["command"] is not None:
            return key
        sale = self.desk.entry(home)
        if sale is None:
            return None
        decided = records.paid(sale) or records.cancelled(sale) or records.undone(sale)
        for when in (records.BEHIND, records.ONCE_SOLD) if decided or records.ended_unpaid(sale) else (records.BEHIND,):
            for refund_id in records.next_refunds(sale, when):
                key = records.next_key(home, refund_id)
                entry = self.desk.entry(key)
                if when == records.ONCE_SOLD and not decided and not self._acts_on_unpaid(entry):
                    continue
                sale = records.without_next_refund(sale, when, refund_id)
                if entry is not None and entry["command"] is not None:  # else it came twice, and had its turn
                    self.desk.write(sale)
                    return key
        return None

    def _acts_on_unpaid(self, entry: LedgerEntry | None) -> bool:
        """A refund whose store has it undo a sale that is in Xero unpaid; others wait until that is paid."""
        return entry is None or entry["command"] is None or self.desk.decode(entry["command"])["on_unpaid"] != "HOLD"

    def _from_ledger(self, entry: LedgerEntry, home: str) -> Job:
        value = entry["command"] or b""
        command = self.desk.decode(value)
        key = command["key"].encode()
        job = Job(command, key, value, records.headers_of(entry), None, entry["command_offset"] or 0, home)
        job.unfound_at = self.desk.now.mono if records.was_alone(entry) else None
        return job

    def _waiting(self) -> None:
        """Orders that wait in the ledger and are due."""
        now = self.desk.now
        if now.mono < self._look_at or len(self.desk.jobs) >= self.desk.settings.held_in_memory:
            return
        self._look_at = now.mono + _LOOK_AGAIN
        after: tuple[datetime, str] | None = None
        while True:
            due = self.desk.ledger.waiting(now.at, after, _DUE_AT_ONCE)
            for _, key in due:
                current = self.desk.entry(key) if key not in self.desk.jobs else None
                if current is None or current["state"] != "WAITING":
                    continue
                job = self._from_ledger(current, key)
                job.parked = True
                self.desk.parked[job.home] = job
                self._begin(job)
                if len(self.desk.jobs) >= self.desk.settings.held_in_memory:
                    return
            if len(due) < _DUE_AT_ONCE:
                break
            after = due[-1]
        self._looked = now.at

    def _due_meanwhile(self) -> None:
        """What is being committed may have become due before it can be seen in the ledger: the next look is for it."""
        for entry in self.desk.flying.entries.values() if self.desk.flying else ():
            if entry is not None and entry["state"] == "WAITING" and entry["retry_at"] is not None:
                self._looked = min(self._looked, entry["retry_at"] - timedelta(microseconds=1))

    def _next_look(self) -> list[float]:
        """When an order that waits in the ledger is due. With memory full, one that ends makes room and is an event."""
        if len(self.desk.jobs) >= self.desk.settings.held_in_memory:
            return []
        due = self.desk.ledger.next_waiting(self._looked)  # what was due at the last whole look is in memory
        if due is None:
            return []
        return [max(self.desk.now.mono + (due - self.desk.now.at).total_seconds(), self._look_at)]

    def _intake(self) -> None:
        settings, desk = self.desk.settings, self.desk
        # A long pause keeps the backlog in Kafka; so do enough unfinished records.
        full = (
            desk.mark.unfinished >= settings.intake or len(desk.jobs) >= settings.held_in_memory or self.troubles.shut
        )
        if full != self._paused:
            self._paused = full
            self._actions.append(Pause() if full else Resume())

    # -- answers ------------------------------------------------------------------------------------------------

    def _answered(self, call_id: int, answer: Answer) -> None:
        planner = self.planner
        batch = planner.batches.get(call_id)
        if batch is None or batch.state is not Rest.SENDING:
            return
        planner.budget.answered(self.desk.now.mono, answer)
        if answer.token_id:
            batch.token_id = answer.token_id
        found = course(answer, one=batch.step in ONE_A_CALL and not batch.lookup)
        if found is Course.READ:
            planner.troubles = 0
            self.troubles.unread = self.troubles.unread if batch.call.writes else 0
            del planner.batches[batch.id]
            self._read(batch, answer)
        else:
            self.troubles.answered(batch, answer, found)

    def _read(self, batch: Batch, answer: Answer) -> None:
        if batch.kind == "reference":
            self.refresh.answered(batch.call, answer)
        elif batch.lookup:
            self._looked_up(batch, answer)
        else:
            self.planner.grown(batch.step)
            for document, element in answers.written(batch.step, batch.documents, answer.body):
                if element is None:  # nothing about this one: nobody knows
                    self.troubles.unknown(document, self.troubles.patience(document))
                elif batch.step is Step.CONTACT:
                    self.contacts.answered(document, element)
                elif batch.step is Step.ITEM:
                    self.items.answered(document, element)
                elif batch.step is Step.INVOICE:
                    self.sales.invoice_answered(document, element)
                elif batch.step is Step.CREDIT_NOTE:
                    self._credits(document).answered(document, element)
                elif batch.step is Step.VOID:
                    self.refunds.unpaid.answered(document, element)
                elif batch.step is Step.ALLOCATION:
                    self.refunds.credits.allocations.answered(document, element)
                elif batch.step in UNNUMBERED:
                    self.settlements.answered(document, element)
                else:
                    self._payments(document).answered(document, element)

    def _looked_up(self, batch: Batch, answer: Answer) -> None:
        if batch.step in MONEY:
            for document, paid, due in answers.payments(batch.documents, answer.body):
                flow = self._payments(document)
                flow.found(document, paid, due) if paid is not None else flow.absent(document)
            return
        if batch.step in UNNUMBERED:
            for document in batch.documents:
                self.settlements.looked(document, answer.body)
            return
        if batch.step is Step.ALLOCATION:
            for document in batch.documents:
                if not self.refunds.credits.allocations.looked(document, answer.body):
                    self.troubles.unknown(document, self.troubles.patience(document))
            return
        pairs = {Step.CONTACT: answers.contacts, Step.VOID: answers.by_id}.get(batch.step, answers.numbered)
        for document, row in pairs(batch.documents, answer.body):
            found, absent = self._readers(document)
            found(document, row) if row is not None else absent(document)

    def refused_alone(self, document: Document, refusal: Refusal, *, not_found: bool) -> None:
        """A request of this one document was refused as a whole."""
        if document.step is Step.CONTACT:
            self.contacts.unknown_id(document, refusal) if not_found else self.contacts.refused(document, refusal)
        elif document.step is Step.ITEM:
            self.items.refused(document, refusal)
        elif document.step is Step.INVOICE:
            if not_found:
                self.sales.invoice_unknown_contact(document, refusal)
            else:
                self.sales.refused(document, refusal)
        elif document.step is Step.CREDIT_NOTE:
            self._credits(document).refused(document, refusal)
        elif document.step is Step.VOID:
            self.refunds.unpaid.refused(document, refusal)
        elif document.step is Step.ALLOCATION:
            self.refunds.credits.allocations.refused(document, refusal)
        elif document.step in UNNUMBERED:
            self.settlements.refused(document, refusal)
        else:
            self._payments(document).refused(document.jobs[0], document, refusal)

    def _readers(self, document: Document) -> _Readers:
        """Who is told whether Xero has the document."""
        if document.step is Step.CREDIT_NOTE:
            credits = self._credits(document)
            return credits.found, credits.absent
        if document.step in (Step.CHECK, Step.VOID):
            checks = self._checks(document.jobs[0])
            return checks.seen, checks.unseen
        return self.seen[document.step]

    def _checks(self, job: Job) -> Corrections | Reissues | Unpaid:
        """Who looks at an invoice that is posted."""
        if job.command["kind"] == "REFUND":
            return self.refunds.unpaid
        if records.decision(job) == "post":
            return self.corrections
        return self.refunds.unpaid if job.command["kind"] == "CANCEL" else self.reissues

    def _credits(self, document: Document) -> Credits:
        """Whose credit note it is: a refund's, or that of an invoice which is issued anew."""
        refund = document.jobs[0].command["kind"] == "REFUND"
        return self.refunds.credits if refund else self.reissues.credits

    def _payments(self, document: Document) -> Payments:
        return self.sales.payments if document.step is Step.PAYMENT else self._credits(document).payments


__all__ = ["Lane", "Moment", "Send"]
