"""The lane's desk: what the flows share. Ledger as it will be, the transaction being written, queues, parked orders.

Guarantees: what a flow reads is what the last transaction, committed or not, says; at most one transaction is under
way and what comes meanwhile goes into the next; nothing leaves the desk for Xero before its intention is on the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.xero.core import records
from connectors.xero.core.events import LedgerView, Letter, Moment, ReferenceRow, Transact
from connectors.xero.core.records import Outcome
from connectors.xero.core.state import Batch, Document, Job, Refusal, Step
from connectors.xero.core.watermark import Watermark
from connectors.xero.settings import CoreSettings
from schemas.letters import ErrorClass
from schemas.types import Command, LedgerEntry, Result

_AFTER_404, _OFTEN = 5.0, 4  # seconds, doubling so many times
_BEHIND = "waits behind an earlier version of its order"
_TROUBLES = 20  # notes of an order between two results: an outage of hours says the same again and again


@dataclass(eq=False)
class Writing:
    """A transaction in the making."""

    entries: dict[str, LedgerEntry | None] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    reference: list[ReferenceRow] = field(default_factory=list)
    marks: dict[str, str] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    finished: bool = False
    submitted: float = 0.0
    tx: int = 0

    @property
    def empty(self) -> bool:
        things = (self.entries, self.results, self.letters, self.reference, self.marks, self.batches)
        return not self.finished and not any(things)


class Desk:
    """One lane's. `decode` reads a waiting command's bytes; `nonce` is unlike any other lane's life."""

    def __init__(
        self, org: str, settings: CoreSettings, ledger: LedgerView, nonce: str, decode: Callable[[bytes], Command]
    ) -> None:
        self.org = org
        self.settings = settings
        self.ledger = ledger
        self.nonce = nonce
        self.decode = decode
        self.now = Moment(0.0, datetime.min.replace(tzinfo=UTC))
        self.takeover = 0.0
        self.jobs: dict[str, Job] = {}
        self.parked: dict[str, Job] = {}  # by home
        self.numbers: dict[str, str] = {}  # invoice numbers of orders under way, and their ledger keys
        self.ended: deque[Job] = deque()  # whatever waits behind them may begin
        self.tell_why: Callable[[Job, LedgerEntry | None], bool] = lambda job, entry: False  # of one with a letter
        self.passed: dict[Step, float] = {}  # when Xero last took a write of this step
        self.quiet: dict[str, float] = {}  # documents set aside: until when a call of ours may be under way
        self.ready: dict[Step, deque[Document]] = {step: deque() for step in Step}
        self.lookups: dict[Step, deque[Document]] = {step: deque() for step in Step}
        self.mark = Watermark(0)
        self.writing = Writing()
        self.flying: Writing | None = None
        self._serial = 0

    # -- the ledger ---------------------------------------------------------------------------------------------

    def entry(self, key: str) -> LedgerEntry | None:
        """The document's state, uncommitted changes included."""
        for layer in (self.writing, self.flying):
            if layer is not None and key in layer.entries:
                return layer.entries[key]
        return self.ledger.get(key)

    def fresh(self, key: str, kind: str, ordinal: int = 0) -> LedgerEntry:
        """A copy of the entry to change, or a new one."""
        old = self.entry(key)
        if old is None:
            return records.entry(self.org, key, kind, self.now.at, ordinal)
        return old.copy()

    def scan(self, prefix: str, after: str, limit: int) -> list[LedgerEntry]:
        """The entries of keys that begin so and come after `after`, in their order, uncommitted changes included."""
        page = self.ledger.scan(prefix, after, limit)
        end = page[-1]["key"] if len(page) == limit else None
        found = {entry["key"] for entry in page}
        for layer in (self.flying, self.writing):
            found |= {k for k in (layer.entries if layer else ()) if k.startswith(prefix) and k > after}
        keys = sorted(key for key in found if end is None or key <= end)
        return [entry for key in keys[:limit] if (entry := self.entry(key)) is not None]

    def write(self, entry: LedgerEntry) -> None:
        """Into the next transaction. While its order waits, an entry keeps the waiting command."""
        entry["updated_at"] = self.now.at
        job = self.parked.get(entry["key"])
        if entry["state"] == "WAITING" or records.collected(entry):
            pass
        elif job is not None and not job.done:
            old = self.entry(entry["key"])
            reason = (old["reason"] if old else None) or "on its way"
            entry = records.waiting(entry, job, reason, self.now.at, self.settings.auth_retry)
        elif entry["command"] is not None:
            entry = records.still_waiting(entry)
        self.writing.entries[entry["key"]] = entry

    def clear(self, key: str) -> None:
        """Nothing waits there any more. Never a tombstone: compaction would drop it in the end, and a local copy from
        before it would keep what was cleared."""
        entry = self.fresh(key, "next")
        entry["state"], entry["reason"], entry["updated_at"] = "VOIDED", "its turn has come", self.now.at
        self.writing.entries[key] = records.settled(entry)

    # -- outcomes -----------------------------------------------------------------------------------------------

    def result(self, command: Command, kind: str, outcome: Outcome, **fields: Any) -> None:
        self.writing.results.append(records.result(command, kind, outcome, self.now.at, **fields))

    def note(self, jobs: Iterable[Job], text: str) -> None:
        """A call for these orders was not simply answered: it is told with their next result, at no record more."""
        said = f"{self.now.at.isoformat(timespec='milliseconds')} {text}"
        for job in jobs:
            if len(job.troubles) < _TROUBLES and said not in job.troubles:
                job.troubles.append(said)

    def told(self, job: Job) -> list[str]:
        """What was noted of an order since its last result, for the findings of this one."""
        said, job.troubles = job.troubles, []
        return said

    def refuse(self, job: Job, refusal: Refusal, kind: str = "") -> None:
        """Dead letter and result; the job still has to be finished."""
        held = refusal.error_class is ErrorClass.HELD
        job.letter = refusal
        self.writing.letters.append(records.letter(self.org, job, refusal, self.now.at))
        self.result(
            job.command,
            kind or records.told_as(job.command),
            "HELD" if held else "REFUSED",
            error_class=str(refusal.error_class),
            error_code=refusal.code,
            message=refusal.message,
            hint=refusal.hint,
            number=job.number or None,
            findings=self.told(job),
        )

    def finish_record(self, job: Job) -> None:
        """Its record needs no more: the offset may move past it with the next transaction."""
        if job.offset is not None:
            self.mark.finished(job.offset)
            job.offset = None
            self.writing.finished = True

    def end(self, job: Job, entry: LedgerEntry | None = None) -> None:
        """The job is over, `entry` its last word: its record is finished and whatever waits behind it comes. A summary
        with a letter ends once its orders have been told why."""
        if job.letter is not None and self.tell_why(job, entry):
            return
        job.done = True
        was_parked = self.parked.pop(job.home, None) is job
        if entry is None and was_parked:
            entry = self.fresh(job.home, job.command["kind"].lower())
        if entry is not None:
            if entry["state"] == "WAITING":
                was = records.standing(entry)
                entry["state"] = was if was != "INTENDED" else "POSTED" if entry["xero_id"] else "REFUSED"  # type: ignore[typeddict-item]
            self.write(records.settled(entry))
        if self.numbers.get(job.number.casefold()) == job.home:
            del self.numbers[job.number.casefold()]
        self.finish_record(job)
        self.ended.append(job)

    def claim(self, job: Job, number: str) -> str | None:
        """Take the invoice number for this order; the ledger key of another order that has it, if one does."""
        other = self.taken(number, job.home)
        if other is None:
            job.number = number
            self.numbers[number.casefold()] = job.home
        return other

    def taken(self, number: str, home: str) -> str | None:
        """The ledger key of another order that has this invoice number."""
        other = self.numbers.get(number.casefold()) or self.ledger_holder(number)
        return other if other != home else None

    def ledger_holder(self, number: str) -> str | None:
        """Which order has this invoice number; orders under way are in `numbers`."""
        for layer in (self.writing, self.flying):
            for key, value in (layer.entries if layer else {}).items():
                if value and value["kind"] == "invoice" and (value["number"] or "").casefold() == number.casefold():
                    return key
        return self.ledger.holder("invoice", number)

    def park(self, job: Job, reason: str, wait: float) -> None:
        """Into the ledger as WAITING with its command; its record is finished, the order goes on from there."""
        if self.keep(job, reason, wait):
            self.waits(job, reason)

    def keep(self, job: Job, reason: str, wait: float) -> bool:
        """The same without a word. False: it is there, or over."""
        if job.parked or job.done:
            return False
        job.parked = True
        self.parked[job.home] = job
        kind = {"SALE": "invoice", "REFUND": "invoice"}.get(job.command["kind"], job.command["kind"].lower())
        entry = self.fresh(job.home, kind)
        entry["updated_at"] = self.now.at
        self.writing.entries[job.home] = records.waiting(entry, job, reason, self.now.at, wait)
        self.finish_record(job)
        while job.followers:
            self.hold_next(job.followers.popleft())
        return True

    def tried_again_at(self, job: Job, wait: float) -> None:
        """A parked order's entry says when the ledger drives it."""
        entry = self.fresh(job.home, "invoice")
        entry["retry_at"] = self.now.at + timedelta(seconds=wait)
        self.writing.entries[job.home] = entry if job.unfound_at is None else records.alone(entry)

    def evict(self, job: Job) -> None:
        """A parked order leaves memory: from its retry_at on the ledger drives it, as after a restart. For an order
        none of whose documents is in a queue or a batch any more."""
        del self.jobs[job.home]
        del self.parked[job.home]
        if self.numbers.get(job.number.casefold()) == job.home:
            del self.numbers[job.number.casefold()]

    def hold_next(self, job: Job) -> None:
        """A later version of a waiting order: the newest is kept in the ledger, older ones are superseded. Refunds all
        wait."""
        if job.command["kind"] == "REFUND":
            self.hold_refund(job, records.BEHIND, _BEHIND)
            self.waits(job, _BEHIND)
            self.finish_record(job)
            return
        key = records.next_key(job.home)
        old = self.entry(key)
        if old is not None and old["command"] is not None:
            if records.age(job.command) <= records.age(self.decode(old["command"])):
                self.superseded(job.command)
                self.finish_record(job)
                return
            self.superseded(self.decode(old["command"]))
        entry = records.entry(self.org, key, "next", self.now.at)
        entry["version"], entry["observed_at"] = job.command["version"], job.command["observed_at"]
        self._keep(entry, job, _BEHIND)
        self.waits(job, _BEHIND)
        self.finish_record(job)

    def hold_refund(self, job: Job, when: records.When, reason: str) -> None:
        """It begins when nothing of its order is under way, or when besides the order is posted (`Lane._follow`)."""
        refund_id = str(job.command["body"]["refund_id"])  # type: ignore[index,typeddict-item]
        sale = self.entry(job.home)
        if sale is None:
            sale = records.entry(self.org, job.home, "invoice", self.now.at)
            sale["state"], sale["reason"] = "VOIDED", "a refund came before the sale"
        changed = records.with_next_refund(sale, when, refund_id)
        changed["updated_at"] = self.now.at
        self.writing.entries[job.home] = changed
        self._keep(records.entry(self.org, records.next_key(job.home, refund_id), "next", self.now.at), job, reason)

    def _keep(self, entry: LedgerEntry, job: Job, reason: str) -> None:
        """A command in the ledger that is not driven by itself."""
        self.writing.entries[entry["key"]] = records.behind(entry, job, reason, self.now.at)

    def waits(self, job: Job, reason: str) -> None:
        """The word of a command that is in the ledger."""
        number, kind = job.number or None, records.told_as(job.command)
        self.result(job.command, kind, "WAITING", message=reason, number=number, findings=self.told(job))

    def superseded(self, command: Command) -> None:
        """The end of a command that waited, or was collected, until a newer version came."""
        kind = records.told_as(command)
        self.result(command, kind, "UNCHANGED", message=f"a newer version of the {kind} came before it was its turn")

    def serial(self) -> int:
        self._serial += 1
        return self._serial

    # -- transactions -------------------------------------------------------------------------------------------

    def transact(self) -> Transact | None:
        """The next transaction, if none is under way and there is something to write."""
        if self.flying is not None or self.writing.empty:
            return None
        room = self.settings.transaction
        whole, self.writing = self.writing, Writing()
        if len(whole.reference) > room:  # reference rows come in thousands: the rest goes with the next
            self.writing.reference = whole.reference[room:]
            self.writing.marks, whole.marks = whole.marks, {}
            whole.reference = whole.reference[:room]
        whole.tx = self.serial()
        whole.submitted = self.now.mono
        self.flying = whole
        return Transact(
            whole.tx,
            dict(whole.entries),
            tuple(whole.results),
            tuple(whole.letters),
            tuple(whole.reference),
            dict(whole.marks),
            self.mark.offset,
        )

    def committed(self, tx: int) -> list[Batch]:
        """The batches whose intentions are now on the log."""
        done = self.flying
        if done is None or done.tx != tx:
            return []
        self.flying = None
        for batch in done.batches:
            # From before the commit began: a successor's takeover, which fences us, cannot lie before this.
            batch.intended_at = done.submitted
        return done.batches

    def aborted(self, tx: int) -> None:
        """Everything of it goes into the next one, under what has been written since."""
        lost, newer = self.flying, self.writing
        if lost is None or lost.tx != tx:
            return
        self.flying = None
        self.writing = Writing(
            entries={**lost.entries, **newer.entries},
            results=lost.results + newer.results,
            letters=lost.letters + newer.letters,
            reference=lost.reference + newer.reference,
            marks={**lost.marks, **newer.marks},
            batches=lost.batches + newer.batches,
            finished=lost.finished or newer.finished,
        )

    def others_pass(self, document: Document) -> bool:
        """Since this document alone is answered 404, Xero has taken another of its kind: so it is about this one."""
        since = document.jobs[0].unfound_at
        return since is not None and self.passed.get(document.step, float("-inf")) > since

    def after_404(self, times: int) -> float:
        """Seconds until a document that alone is answered 404 is sent again. Four times, then as any waiting order."""
        return _AFTER_404 * 2.0 ** (times - 1) if times <= _OFTEN else self.settings.retry

    def later(self, document: Document, wait: float) -> None:
        """Sent again, then."""
        document.not_before = self.now.mono + wait
        self.ready[document.step].append(document)
        if wait > self.settings.moment:
            for job in document.jobs:
                self.park(job, "Xero answers 404, as if something that it names were not there", wait)

    def known_contact(self, key: str) -> str | None:
        """The ContactID of a customer that the ledger knows."""
        entry = self.entry(key)
        return entry["xero_id"] if entry is not None and records.standing(entry) != "VOIDED" else None

    def inherited(self, entry: LedgerEntry | None) -> float:
        """0, or when an open intention may be read back: its call may be under way until lapse and deadline are over,
        counted from our takeover, for whoever intended it was fenced by then. One of our own is quiet when we said."""
        if entry is None or entry["intention"] is None:
            return 0.0
        former = self.takeover + self.settings.intention_lapse + self.settings.deadline
        return max(former, self.quiet.get(entry["key"], 0.0))
