"""Which call goes next: big batches when calls are scarce, at once when they are plenty.

An order costs up to three calls (contact, invoice, payment). Started one by one they would cost three calls each;
started only when the bucket holds the calls of a whole chain, everything that came meanwhile shares them: at 54 calls
a minute a chain starts every 3.3 s, and an order is PAID after at most that and its three answers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from connectors.xero import batch as bodies
from connectors.xero.core import records
from connectors.xero.core.desk import Desk
from connectors.xero.core.events import BudgetPort, Send
from connectors.xero.core.refresh import Refresh
from connectors.xero.core.state import MONEY, UNNUMBERED, Batch, Document, Rest, Step
from schemas.types import Intention

_GROW = 5  # documents a batch grows by after a good answer, until the setting
_LEAST = 5  # documents a batch shrinks to after time-outs
_ASK_AGAIN = 1.0  # seconds between looks while orders gather and nothing else says when: an answer comes before
# Calls a chain still needs, from this step on.
_CHAIN = {
    Step.CONTACT: 3,
    Step.INVOICE: 2,
    Step.PAYMENT: 1,
    Step.ITEM: 1,
    Step.CREDIT_NOTE: 2,
    Step.REFUND: 1,
    Step.BANK_TRANSACTION: 2,
    Step.BANK_TRANSFER: 1,
    Step.CHECK: 5,
    Step.VOID: 1,
    Step.ALLOCATION: 2,
}
_BEFORE: Mapping[Step, tuple[Step, ...]] = {
    Step.INVOICE: (Step.CONTACT,),
    Step.PAYMENT: (Step.CONTACT, Step.INVOICE),
    Step.ALLOCATION: (Step.CREDIT_NOTE,),
    Step.REFUND: (Step.ALLOCATION, Step.CREDIT_NOTE),
    Step.BANK_TRANSFER: (Step.BANK_TRANSACTION,),
}
"""The steps that a document of this one may still be on its way through, the nearest last."""
# With so many batches' worth of orders in memory nobody's order waits for a call to fill: there is a queue anyway.
_PILE = 3
_LOOKUPS = (
    Step.PAYMENT, Step.REFUND, Step.ALLOCATION, Step.VOID, Step.INVOICE, Step.CREDIT_NOTE, Step.CONTACT,
    *reversed(UNNUMBERED), Step.CHECK,
)  # fmt: skip
_WRITES = (*_LOOKUPS[:-1], Step.ITEM)
_NUMBERED = (Step.INVOICE, Step.PAYMENT, Step.CREDIT_NOTE, Step.REFUND, Step.ALLOCATION, *UNNUMBERED)
# Reads for documents that Xero has refused to show before take a tenth of the minute's calls: however many there are,
# the orders behind them go on.
_STUBBORN = 10.0  # seconds between two of them
_KNOWN_STUBBORN = 6  # a document's attempts, after which its reads are of that kind: a minute has been waited by then


class Planner:
    """Forms batches, writes their intentions, sends them. `send` takes the actions."""

    def __init__(self, desk: Desk, budget: BudgetPort, refresh: Refresh, send: Callable[[Send], None]) -> None:
        self.desk = desk
        self.budget = budget
        self.refresh = refresh
        self.send = send
        self.batches: dict[int, Batch] = {}
        self.sizes = dict.fromkeys(Step, desk.settings.batch)
        self.hold_until = -math.inf
        self.hold_reason = ""
        self.troubles = 0  # answers in a row that say Xero is away: then only one call knocks
        self.wakes: list[float] = []
        self.over: Callable[[Batch, float], bool] = lambda batch, at: False  # Troubles': past the key's window
        self._stubborn_at = -math.inf
        self._orders_since = 0  # writes since reference data was last asked for

    # -- forming ------------------------------------------------------------------------------------------------

    def plan(self) -> None:
        """Send and form whatever may go now."""
        self.wakes.clear()
        now = self.desk.now.mono
        if now < self.hold_until:
            self.wakes.append(self.hold_until)
            return
        self._resume(now)
        for step in _LOOKUPS:
            self._lookups(step, now)
        self._writes(now)
        self._reference(now)

    def _resume(self, now: float) -> None:
        resting = [b for b in self.batches.values() if b.state is Rest.RESTING]
        if later := [b.again_at for b in resting if b.again_at > now]:
            self.wakes.append(min(later))
        # Where calls are few, what has begun is brought to its end first.
        for batch in sorted((b for b in resting if b.again_at <= now), key=lambda b: _CHAIN[b.step]):
            if self._slots() <= 0:
                self.wakes.append(now + _ASK_AGAIN)  # an answer comes before
                break
            if self._patient(batch.lookup and batch.tries > 1, now):
                self.again(batch)

    def _slots(self) -> int:
        busy = sum(1 for b in self.batches.values() if b.state is not Rest.RESTING)
        alone = self.troubles or not self.budget.probed(self.desk.now.mono)
        limit: int = 1 if alone else self.budget.limits.concurrent
        return limit - busy

    def _tokens(self, now: float) -> int:
        """Calls that the bucket holds beyond those already formed."""
        formed = sum(1 for b in self.batches.values() if b.state is Rest.INTENDING)
        return (self.budget.available(now) if self.budget.probed(now) else 1) - formed

    def _may(self, now: float, kind: str) -> bool:
        """Whether a call may go now. If not, something in flight will end, or a wake says when."""
        if self._slots() <= 0:
            return False
        wait = self.budget.may_send(now, kind)
        if wait > 0:
            self.wakes.append(now + wait)
            return False
        return self._tokens(now) > 0

    def _lookups(self, step: Step, now: float) -> None:
        queue = self.desk.lookups[step]
        if step is Step.CHECK and any(b.step is step and b.state is Rest.SENDING for b in self.batches.values()):
            return  # nobody waits for what these read but their own orders: those that come meanwhile share the next
        while queue and self._due(queue, now) and self._may(now, "read_back"):
            stubborn = all(d.attempt > _KNOWN_STUBBORN for d in queue if d.not_before <= now)
            if not self._patient(stubborn, now):
                break
            documents = _take(
                queue, self.desk.settings.lookup, now, alone=lambda d: d.step in bodies.ALONE or "," in d.natural
            )
            self._go(self._lookup(step, documents))

    def _patient(self, stubborn: bool, now: float) -> bool:
        """Whether such a read may go now; if so, the next of its kind comes later."""
        if stubborn and now < self._stubborn_at:
            self.wakes.append(self._stubborn_at)
            return False
        if stubborn:
            self._stubborn_at = now + _STUBBORN / self.desk.settings.speed
        return True

    def _lookup(self, step: Step, documents: list[Document]) -> Batch:
        call = bodies.lookup_call(step, documents, self.desk.settings.deadline)
        batch = self._batch(step, documents, call, "read_back")
        batch.lookup = True
        return batch

    def look_again(self, step: Step, documents: list[Document], tries: int, at: float) -> None:
        """The same read for these documents, later."""
        batch = self._lookup(step, documents)
        batch.tries = tries
        self.rest(batch, at)

    def _writes(self, now: float) -> None:
        for step in _WRITES:
            queue = self.desk.ready[step]
            while queue and self._due(queue, now):
                if not self._may(now, "write"):
                    break
                if not self._worth(step, queue, now):
                    self.wakes.append(now + min(self.budget.next_call(now), _ASK_AGAIN))
                    break
                # One that spoils requests goes alone; where all are refused they go together, for one call.
                self.form(step, _take(queue, self.sizes[step], now, alone=self._alone))

    def _alone(self, document: Document) -> bool:
        return document.step in bodies.ONE_A_CALL or self.desk.others_pass(document)

    def _worth(self, step: Step, queue: deque[Document], now: float) -> bool:
        """Whether a batch of this step should go now, or gather more."""
        due = [d for d in queue if d.not_before <= now]
        if len(due) >= self.sizes[step] or step is Step.ITEM:
            return True
        if len(self.desk.jobs) >= _PILE * self.desk.settings.batch and self._fills(step, now):
            return False
        free = self._tokens(now)
        if any(d.chained for d in due):
            # Its order has begun: its call is kept for it. Another batch on the step before joins it if calls are few.
            feeding = any(_feeds(b, step) for b in self.batches.values())
            return not feeding or free > _CHAIN[step]
        if step is Step.INVOICE and any(d.not_before <= now for d in self.desk.ready[Step.CONTACT]):
            return False  # one chain for both: the contacts go first
        return free - self._owed() >= self._need(step)

    def _fills(self, step: Step, now: float) -> bool:
        """Whether more documents of this step will come without it. In a backlog a call is sent full or not at all.

        A contact waits only while something is in flight, and the steps behind it wait for contacts: so one of them
        always goes.
        """
        if step is Step.CONTACT:
            return any(b.kind == "write" and b.state is not Rest.RESTING for b in self.batches.values())
        before = _BEFORE.get(step, ())
        coming = any(
            b.kind == "write" and b.step in before and b.state is not Rest.RESTING for b in self.batches.values()
        )
        return coming or any(d.not_before <= now for earlier in before for d in self.desk.ready[earlier])

    def _need(self, step: Step) -> int:
        limits = self.budget.limits
        burst = max(1, int(min(limits.burst, max(1.0, limits.minute / 2))))
        return min(_CHAIN[step], burst)

    def _owed(self) -> int:
        """Calls that chains under way will still need."""
        return sum(
            _CHAIN[b.step] - 1 for b in self.batches.values() if b.kind == "write" and b.state is not Rest.RESTING
        )

    def _due(self, queue: deque[Document], now: float) -> bool:
        first = min(d.not_before for d in queue)
        if first > now:
            self.wakes.append(first)
        return first <= now

    def _reference(self, now: float) -> None:
        if any(b.kind == "reference" for b in self.batches.values()):
            return
        call = self.refresh.call()
        if call is None:
            self.wakes.append(self.refresh.wake())
        elif self._orders_first(now):
            return
        elif self._may(now, "reference"):
            self._go(self._batch(Step.CONTACT, [], call, "reference"))

    def _orders_first(self, now: float) -> bool:
        """While the day's few calls are spread, orders that wait have three of them for each of the reference data's:
        the hourly look would take them all."""
        if self._orders_since >= _CHAIN[Step.CONTACT] or self.budget.snapshot(now).spacing == 0:
            return False
        waiting = any(b.kind == "write" and b.state is not Rest.SENDING for b in self.batches.values())
        return waiting or any(self.desk.ready.values())

    # -- batches ------------------------------------------------------------------------------------------------

    def _batch(self, step: Step, documents: list[Document], call: object, kind: str) -> Batch:
        batch = Batch(self.desk.serial(), step, documents, call, kind, started=self.desk.now.mono)  # type: ignore[arg-type]
        self.batches[batch.id] = batch
        return batch

    def form(self, step: Step, documents: list[Document]) -> None:
        """A write: its bytes are frozen, its intention goes into the next transaction."""
        settings = self.desk.settings
        serial = self.desk.serial()
        call = bodies.write_call(step, documents, settings.deadline, self.desk.org, self.desk.nonce, serial)
        self._intend(self._batch(step, documents, call, "write"))

    def _intend(self, batch: Batch) -> None:
        batch.state = Rest.INTENDING
        sha = bodies.digest((batch.call.body or b"").decode())
        for document in batch.documents:
            self._intention(batch, document, sha)
        self.desk.writing.batches.append(batch)

    def _intention(self, batch: Batch, document: Document, sha: str) -> None:
        desk = self.desk
        ordinal = int(document.natural.rsplit("/", 1)[1]) if batch.step in MONEY else 0
        entry = desk.fresh(document.key, batch.step.value, ordinal)
        intention: Intention = {
            "step": batch.step.value,
            "idempotency_key": batch.call.idempotency_key or "",
            "body_sha256": sha,
            "intended_at": desk.now.at,
            "token_id": batch.token_id or "",
            "attempt": document.attempt,
            "hash": document.hash,
            "version": document.version,
        }
        entry["intention"], entry["attempt"] = intention, document.attempt
        if entry["xero_id"] is None or records.standing(entry) == "VOIDED":
            entry["state"] = "INTENDED"
        if batch.step in _NUMBERED:
            entry["number"] = document.natural
        if batch.step in (Step.INVOICE, Step.CREDIT_NOTE):
            entry["contact_id"] = document.jobs[0].contact_id
        desk.write(entry)

    def again(self, batch: Batch) -> None:
        """The same bytes once more, under a fresh intention where the last one may lapse."""
        fresh = (
            batch.intended_at is not None
            and self.desk.now.mono < batch.intended_at + self.desk.settings.intention_lapse / 2
        )
        if batch.kind != "write" or fresh:
            self._go(batch)
        else:
            self._intend(batch)

    def intended(self, batches: Sequence[Batch]) -> None:
        """Their intentions are on the log."""
        for batch in sorted(batches, key=lambda b: _CHAIN[b.step]):
            if self.desk.now.mono < self.hold_until:
                self.rest(batch, self.hold_until)
            else:
                self._go(batch)

    def _go(self, batch: Batch) -> None:
        now, settings = self.desk.now.mono, self.desk.settings
        if self.over(batch, now):  # it has rested longer than it was meant to, behind an outage or a limit
            return
        wait = self.budget.may_send(now, batch.kind)
        if wait > 0:
            self.rest(batch, now + wait)
            return
        send_by = None
        if batch.kind == "write":
            send_by = (batch.intended_at or now) + settings.intention_lapse
            if now >= send_by:
                self._intend(batch)
                return
        self.budget.sent(now, batch.kind)
        batch.state, batch.last_sent = Rest.SENDING, now
        self._orders_since = 0 if batch.kind == "reference" else self._orders_since + (batch.kind == "write")
        if batch.first_sent is None:
            batch.first_sent = now
        token = batch.token_id if batch.dirty and batch.kind == "write" else None  # a read has no key to keep
        self.send(Send(batch.id, batch.call, send_by, token, len(batch.documents)))

    def rest(self, batch: Batch, again_at: float) -> None:
        """Wait; what takes longer than a moment waits in the ledger."""
        batch.state, batch.again_at = Rest.RESTING, again_at
        self.wakes.append(again_at)

    def grown(self, step: Step) -> None:
        self.desk.passed[step] = self.desk.now.mono
        self.sizes[step] = min(self.desk.settings.batch, self.sizes[step] + _GROW)

    def shrunk(self, step: Step) -> None:
        self.sizes[step] = max(min(_LEAST, self.desk.settings.batch), self.sizes[step] // 2)


def _feeds(batch: Batch, step: Step) -> bool:
    """A healthy write whose orders come to `step` next."""
    before = _BEFORE.get(step, ())[-1:]
    return batch.kind == "write" and batch.step in before and batch.state is not Rest.RESTING and batch.tries == 0


def _take(
    queue: deque[Document], size: int, now: float, alone: Callable[[Document], bool] = lambda d: False
) -> list[Document]:
    taken: list[Document] = []
    kept: deque[Document] = deque()
    while queue:
        document = queue.popleft()
        if len(taken) >= size or document.not_before > now or (alone(document) and taken):
            kept.append(document)
        else:
            taken.append(document)
            if alone(document):
                size = 1
    queue.extend(kept)
    return taken
