"""What to do with a call that was not simply answered: wait, repeat its bytes, read back, split, or pause the lane.

Guarantees: bytes that Xero may have seen are sent again only under their own key, with the token they went with, and
only while Xero surely remembers the key; after that only a read-back decides; a 429 is nobody's failure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from connectors.xero.calls import Answer, Doubt
from connectors.xero.core.desk import Desk
from connectors.xero.core.planner import Planner
from connectors.xero.core.state import MONEY, UNNUMBERED, Batch, Document, Job, Refusal, Step
from connectors.xero.outcomes import Course, whole_refusal
from schemas.letters import ErrorClass

_LONGEST = 30.0  # seconds between repeats: eight of them fit into the key's window
_LONGEST_OUTAGE = 60.0
_BELIEVED = 4  # times that a 404 to a document alone is asked again, where it names nothing that could be missing
_AFTER_500 = 2.0  # seconds after an answered 500 until its commit, if there was one, can be read
_PACE = 120.0  # seconds: longer than the minute's window can make a call wait, or the spreading of a poor day
SPREAD = "the few calls that are left are spread over the day"
_USED_UP = "the calls of the day are used up"
_WAITS = {"day": _USED_UP, "blocked:day": _USED_UP, "spread": SPREAD}  # by the budget's reason
DAY = frozenset(_WAITS)
_NO_SCOPE = "insufficient_scope"
_MAY_NOT = Refusal(
    ErrorClass.AUTH,
    "scope_missing",
    "Xero does not let us read or write bank transactions: the scope accounting.banktransactions is missing.",
    "Allow the scope for the app; with connection: app run `k2x xero connect` again (docs/settlements.md); restart, "
    "then `k2x dlt redrive`.",
)
_RARE = (Step.CREDIT_NOTE, Step.VOID, Step.ALLOCATION)
_UPSERTS = (Step.CONTACT, Step.ITEM)
_NO_ANSWER = "Xero does not answer what has become of it"
_LOST_READS = 3  # times that a read's answer may be lost before its documents are read in halves
# What waits longer leaves memory. Longer than any quarantine of our own calls (the deadline), so only what has failed
# again and again leaves, and after a restart what the former owner had under way.
_ASIDE = 60.0


class Flows(Protocol):
    """What a refused document is handed to."""

    def refused_alone(self, document: Document, refusal: Refusal, *, not_found: bool) -> None: ...


class Troubles:
    """The courses that are not READ."""

    def __init__(
        self, desk: Desk, planner: Planner, flows: Flows, contact_aside: Callable[[Document], list[Job]]
    ) -> None:
        self.desk = desk
        self.planner = planner
        planner.over = self.over
        self.flows = flows
        self.contact_aside = contact_aside
        self.unread = 0  # reads in a row that were answered 404

    def answered(self, batch: Batch, answer: Answer, course: Course) -> None:
        """One call that has ended so."""
        now, settings = self.desk.now.mono, self.desk.settings
        self.desk.note((job for document in batch.documents for job in document.jobs), _words(batch, answer, course))
        match course:
            case Course.KEPT_OUT if batch.dirty and batch.kind == "write":
                # Its own token has ended, and another one may not repeat it: read back.
                self._dissolve(batch, (batch.last_sent or now) + settings.deadline)
            case Course.KEPT_OUT if batch.step in UNNUMBERED and _NO_SCOPE in answer.detail.casefold():
                self._forget(batch)  # it is about settlements alone: orders go on
                for document in batch.documents:
                    self.flows.refused_alone(document, _MAY_NOT, not_found=False)
            case Course.LIMITED:
                _unsent(batch)
                wait = max(self.planner.budget.may_send(now, batch.kind), 0.05)
                self._rest(batch, now + wait, "Xero's call limit")
            case Course.KEPT_OUT:
                _unsent(batch)
                detail = answer.detail or f"HTTP {answer.status}"
                self._hold(settings.auth_retry, f"Xero does not let us in: {detail}")
                self._rest(batch, self.planner.hold_until, self.planner.hold_reason)
            case Course.NOT_SENT | Course.OFFLINE:
                batch.dirty = batch.dirty or course is Course.OFFLINE
                _unsent(batch)
                self._offline(batch, answer)
            case Course.UNCLEAR:
                self._unclear(batch, answer)
            case Course.LOOK:
                self._dissolve(batch, self._after_500(batch))
            case _:
                self._split(batch, answer)

    # -- courses ------------------------------------------------------------------------------------------------

    def _after_500(self, batch: Batch) -> float:
        """When its commit, if there was one, can be read. Nothing but time guards a part payment, or a document without
        a number, against a late one."""
        now, settings = self.desk.now.mono, self.desk.settings
        several = batch.step in MONEY and any(len(d.jobs[0].tenders) > 1 for d in batch.documents)
        part_paid = several or batch.step is Step.ALLOCATION
        if part_paid or batch.step in UNNUMBERED:
            return (batch.last_sent or now) + settings.deadline
        return now + _AFTER_500 / settings.speed

    def _offline(self, batch: Batch, answer: Answer) -> None:
        """Nobody answers: one call knocks, the others wait."""
        now, settings = self.desk.now.mono, self.desk.settings
        if answer.status == 0 and batch.dirty:
            batch.tries += 1
            if "read back" in answer.detail:  # its token is gone, so its key may be: look
                self._dissolve(batch, (batch.last_sent or now) + settings.deadline)
                return
        self.planner.troubles += 1
        wait = min(settings.outage_backoff * 2 ** min(self.planner.troubles - 1, 10), _LONGEST_OUTAGE)
        self._hold(wait, f"Xero cannot be reached: {answer.detail or answer.status}", shorten=True)
        if not self.over(batch, now + wait):
            self._rest(batch, now + wait, self.planner.hold_reason)

    def _unclear(self, batch: Batch, answer: Answer) -> None:
        """Committed or not, nobody knows."""
        now, settings = self.desk.now.mono, self.desk.settings
        batch.dirty = True
        batch.tries += 1
        if answer.doubt is Doubt.TIMEOUT:
            self.planner.shrunk(batch.step)
        if batch.lookup and batch.tries >= _LOST_READS:
            self._look_in_halves(batch)
            return
        wait = min(settings.repeat_backoff * 2 ** min(batch.tries - 1, 10), _LONGEST)
        if not self.over(batch, now + wait):
            self._rest(batch, now + wait, "Xero's answer was lost; the call is repeated under its key")

    def over(self, batch: Batch, next_try: float) -> bool:
        """Past the key's window nothing is repeated: the documents are read back. Reads may be repeated for ever.
        Asked when a repeat is planned, and again when it goes."""
        if batch.kind != "write" or not batch.dirty or batch.first_sent is None:
            return False
        if next_try <= batch.first_sent + self.desk.settings.key_window:
            return False
        self._dissolve(batch, (batch.last_sent or next_try) + self.desk.settings.deadline)
        return True

    def _split(self, batch: Batch, answer: Answer) -> None:
        """One document spoils the request, which wrote nothing: halves under keys of their own, until it is alone."""
        now = self.desk.now.mono
        self._forget(batch)
        # A list that is asked for what is missing is empty: to a read a 404 is a gateway's, whatever it asks for.
        self.unread += answer.status == 404 and not batch.call.writes
        if batch.kind == "reference":
            self.planner.refresh.failed(max(_LONGEST_OUTAGE, self._gateway()))
        elif batch.lookup and answer.status == 404:
            self._look_later(batch.step, batch.documents, now + self._gateway())
        elif batch.lookup:
            self._look_in_halves(batch)
        elif batch.dirty:
            self._dissolve(batch, (batch.last_sent or now) + self.desk.settings.deadline)
        elif answer.status == 404 and all(self._refused_like_all(d) for d in batch.documents):
            for document in batch.documents:
                self._alone(document, answer)
        elif len(batch.documents) > 1:
            middle = len(batch.documents) // 2
            for half in (batch.documents[:middle], batch.documents[middle:]):
                self.planner.form(batch.step, half)
        else:
            self._alone(batch.documents[0], answer)

    def _look_in_halves(self, batch: Batch) -> None:
        """A read that Xero does not answer, once whole again, then in halves: one document may spoil it for the rest.
        The one that does is asked for ever less often; it blocks its own order only."""
        now, documents = self.desk.now.mono, batch.documents
        self._forget(batch)
        if len(documents) == 1:
            self._look_later(batch.step, documents, self.patience(documents[0]))
            return
        tries = batch.tries + (0 if batch.tries >= _LOST_READS else 1)
        middle = len(documents) if tries == 1 else len(documents) // 2
        again = now + min(2.0**tries, _LONGEST)
        for part in (documents[:middle], documents[middle:]):
            if part:
                self.planner.look_again(batch.step, part, tries, again)
        for document in documents:
            self._park(document.jobs, _NO_ANSWER, again - now)

    def _gateway(self) -> float:
        return min(2.0 ** min(self.unread, 30), self.desk.settings.retry)

    def _look_later(self, step: Step, documents: list[Document], at: float) -> None:
        for document in documents:
            document.not_before = at
            document.attempt += 1
            self.desk.lookups[step].append(document)
            self._park(document.jobs, _NO_ANSWER, document.not_before - self.desk.now.mono)

    def _refused_like_all(self, document: Document) -> bool:
        """It has been alone, and nobody else's has passed since: halves would be refused as well."""
        return document.jobs[0].unfound_at is not None and not self.desk.others_pass(document)

    def _alone(self, document: Document, answer: Answer) -> None:
        """A gateway's 404 passes, so it is asked again at once; then one that may be about a contact's id is looked
        into. Where nothing can be missing it is believed in the end, but only if others' documents pass meanwhile."""
        job, now = document.jobs[0], self.desk.now.mono
        first, job.unfound_at = job.unfound_at is None, job.unfound_at or now
        names_contact = document.step is Step.INVOICE or "ContactID" in document.parts
        if answer.status != 404:
            self.flows.refused_alone(document, whole_refusal(answer), not_found=False)
        elif first:
            self._again(document, 0.0)
        elif names_contact or (document.attempt > _BELIEVED and self.desk.others_pass(document)):
            self.flows.refused_alone(document, whole_refusal(answer), not_found=True)
        elif document.attempt > _BELIEVED and document.step in _RARE:
            # No waiting for another one to pass: if Xero answers the read of it, the 404 is believed.
            document.suspect = whole_refusal(answer)
            self.desk.lookups[document.step].append(document)
        else:
            self._again(document, self.desk.after_404(document.attempt - 1))

    def _again(self, document: Document, wait: float) -> None:
        document.attempt += 1
        document.chained = True
        self.desk.later(document, wait)

    # -- ways out -----------------------------------------------------------------------------------------------

    def _dissolve(self, batch: Batch, not_before: float) -> None:
        """The key is over: what became of each document is read back; upserts simply send the newest again."""
        self._forget(batch)
        if batch.kind == "reference":
            self.planner.refresh.failed(_AFTER_500)
            return
        for document in batch.documents:
            self.unknown(document, not_before)

    def unknown(self, document: Document, not_before: float) -> None:
        """Nobody knows what became of this document."""
        document.attempt += 1
        document.suspect = None
        document.not_before = max(document.not_before, not_before)
        document.chained = True
        queue = self.desk.ready if document.step in _UPSERTS else self.desk.lookups
        queue[document.step].append(document)
        self._park(document.jobs, "whether Xero has it is read back", not_before - self.desk.now.mono)

    def patience(self, document: Document) -> float:
        """When to try again what has come to nothing: 2 s, doubling, as often as a waiting order is tried at last."""
        return self.desk.now.mono + min(2.0 ** min(document.attempt, 30), self.desk.settings.retry)

    def _rest(self, batch: Batch, again_at: float, reason: str) -> None:
        self.planner.rest(batch, again_at)
        wait = max(again_at - self.desk.now.mono, again_at - batch.started)
        for document in batch.documents:
            document.chained = True
            if wait > self.desk.settings.moment:
                self._park_with_lane(document.jobs, reason, wait)

    def _park(self, jobs: list[Job], reason: str, wait: float) -> None:
        if wait > self.desk.settings.moment:
            for job in jobs:
                self.desk.park(job, reason, wait)

    def _park_with_lane(self, jobs: list[Job], reason: str, wait: float) -> None:
        """Due long before the lane's pause is over: a new owner finds out with one call whether it still holds."""
        for job in jobs:
            self.desk.park(job, reason, min(wait, self.desk.settings.auth_retry))

    def _hold(self, wait: float, reason: str, *, shorten: bool = False) -> None:
        until = self.desk.now.mono + wait
        planner = self.planner
        planner.hold_until = until if shorten else max(planner.hold_until, until)
        planner.hold_reason = reason

    def _forget(self, batch: Batch) -> None:
        self.planner.batches.pop(batch.id, None)

    def pause(self) -> tuple[float, str]:
        """How long the whole lane waits from now, and why; 0 for what is only the pace of the minute."""
        now = self.desk.now.mono
        wait = self.planner.budget.may_send(now, "write")
        if wait > _PACE:
            return wait, _WAITS.get(self.planner.budget.snapshot(now).reason, "Xero's call limit")
        return max(0.0, self.planner.hold_until - now), self.planner.hold_reason

    @property
    def shut(self) -> bool:
        """The backlog stays in Kafka. Not while the day's few calls are spread: whoever is in memory gets the next."""
        wait, reason = self.pause()
        return wait > self.desk.settings.moment and reason != SPREAD

    def pause_is_long(self) -> None:
        """The whole lane waits for more than a moment: everything in memory goes into the ledger as WAITING, and
        reappears there for people to see; orders whose read-back is far off too."""
        now, moment = self.desk.now.mono, self.desk.settings.moment
        wait, reason = self.pause()
        if wait > moment:
            self._park_with_lane(list(self.desk.jobs.values()), reason, wait)
        for queue in (*self.desk.lookups.values(), *self.desk.ready.values()):
            for document in queue:
                if document.not_before - now > moment:
                    self._park(
                        document.jobs, "an earlier call for it may still be under way", document.not_before - now
                    )

    def set_aside(self) -> None:
        """What waits for long leaves memory, which stays flat however many orders wait and however long."""
        now, desk = self.desk.now.mono, self.desk
        for key in [key for key, until in desk.quiet.items() if until <= now]:
            del desk.quiet[key]
        for queues in (desk.lookups, desk.ready):
            for queue in queues.values():
                for document in [d for d in queue if d.not_before - now > _ASIDE]:
                    if document in queue:  # not taken along with another tender of its order
                        self._set_aside(document)

    def _set_aside(self, document: Document) -> None:
        desk, now = self.desk, self.desk.now.mono
        together = [document]
        if document.step in MONEY:  # an order's tenders leave together, or a call under way would find no order
            queued = (*desk.lookups[document.step], *desk.ready[document.step])
            together = [d for d in queued if d.jobs[0] is document.jobs[0]]
            if len(together) < len(document.jobs[0].tenders):
                return
        for one in together:
            for queue in (desk.lookups[one.step], desk.ready[one.step]):
                if one in queue:
                    queue.remove(one)
            desk.quiet[one.key] = one.not_before
            entry = desk.entry(one.key)
            if entry is not None and entry["intention"] is not None:
                kept = entry.copy()
                kept["intention"] = {**entry["intention"], "attempt": one.attempt}
                desk.write(kept)
        jobs = self.contact_aside(document) if document.step is Step.CONTACT else document.jobs
        wait = max(one.not_before for one in together) - now
        for job in jobs:
            desk.park(job, "whether Xero has it is read back", wait)
            desk.tried_again_at(job, wait)
            desk.evict(job)


# What follows an answer, for whoever reads the order's story.
_NEXT = {
    Course.LIMITED: "it goes again when Xero takes calls",
    Course.KEPT_OUT: "it goes again when Xero lets us in",
    Course.NOT_SENT: "it goes again",
    Course.OFFLINE: "it goes again",
    Course.UNCLEAR: "the same bytes go again under their key",
    Course.LOOK: "what became of it is read back",
    Course.SPLIT: "it goes again in halves, or alone",
}


def _words(batch: Batch, answer: Answer, course: Course) -> str:
    what = f"{batch.step.value} {'read-back' if batch.lookup else 'call'} of {len(batch.documents)}"
    told = f"Xero answered {answer.status}" if answer.status else "no answer"
    detail = f" ({answer.detail})" if answer.detail else ""
    return f"{what}: {told}{detail}; {_NEXT.get(course, 'it goes again')}"


def _unsent(batch: Batch) -> None:
    """Nothing of it has reached Xero yet: the key's window has not begun."""
    if not batch.dirty:
        batch.first_sent = None
