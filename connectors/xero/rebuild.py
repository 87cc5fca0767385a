"""`k2x ledger rebuild`, as the lane owner does it at a take-over: a lost ledger from Xero's pages and our own topics.

Guarantees: not one write to Xero; calls only within the budget, and live orders wait meanwhile in their topic. Nothing
is read before a former owner's last call has ended (lapse and deadline). A crash at any point goes on where it was, or
begins again: every step writes only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import structlog
from confluent_kafka import Message

from connectors.xero import reference
from connectors.xero.budget import Budget
from connectors.xero.calls import Answer, Call, Doubt
from connectors.xero.core import control
from connectors.xero.core.events import Moment, Record, Transact
from connectors.xero.core.rebuild import Restoration
from connectors.xero.core.said import heard
from connectors.xero.errors import LaneLost
from connectors.xero.ledger import LedgerStore
from connectors.xero.log import LaneLog
from connectors.xero.metrics import SinkMetrics
from connectors.xero.outcomes import Course, course
from connectors.xero.rebuild_file import RebuildFile
from connectors.xero.settings import CoreSettings
from schemas.codec import Codec
from schemas.types import Command, LedgerEntry, Result

logger = structlog.get_logger()
PHASES = ("quiet", "xero", "compare", "results", "decide")
_PAGE, _SMALLEST = 1000, 100  # invoices a call; after a time-out half as many
_THINGS = {
    "SALE": "order",
    "CANCEL": "order",
    "REFUND": "order_refund",
    "CONTACT": "contact",
    "ITEM": "item",
    "SETTLEMENT": "settlement",
}
_ABOUT = {"invoice": "order", "bank_transaction": "settlement", "bank_transfer": "settlement"}
_PAGES = {"Invoices": "ACCREC", "CreditNotes": "ACCRECCREDIT"}  # in this order
_LONGEST = 60.0  # seconds between tries of a page that Xero does not give
_TELL = 2.0  # seconds between words about the progress
_LOOK = 0.2  # seconds between looks whether the lane is over


@dataclass(frozen=True)
class Tools:
    """What a rebuild works with; all of it the lane's own."""

    org: str
    settings: CoreSettings
    log: LaneLog
    store: LedgerStore
    codec: Codec
    budget: Budget
    call: Callable[[Call], Answer]
    calls: ThreadPoolExecutor
    now: Callable[[], Moment]
    metrics: SinkMetrics
    stopped: Callable[[], bool]
    record: Callable[[Message], Record]


def await_asked(tools: Tools, offset: int) -> Record:
    """With the ledger lost, wait for a person's word in the command topic; everything else there is left unread."""
    key = control.REBUILD.encode()
    for messages in tools.log.commands(offset, tools.stopped, follow=True):
        for message in messages:
            if message.key() == key:
                record = tools.record(message)
                if record.command is not None and record.command["kind"] == "REBUILD":
                    return record
    raise LaneLost(f"{tools.org}: the command topic ended.")  # never: it is followed until the lane is over


class Rebuild:
    """One rebuild. `asked`: its entry in the ledger; `finished`: the offset up to which commands have their outcome."""

    def __init__(self, tools: Tools, path: Path, asked: LedgerEntry, finished: int, takeover: float) -> None:
        self.tools, self.asked, self.finished, self.takeover = tools, asked, finished, takeover
        # Of this ledger topic: what was committed into one that is gone has to be committed again.
        self.file = RebuildFile(path, f"{tools.store.mark('identity')} {asked['command_offset']}")
        self._restoration = Restoration(
            tools.org,
            tools.store,
            self.file,
            finished,
            cast(Callable[[bytes], Command], tools.codec.decode),
            lambda: tools.now().at,
            partial(tools.codec.encode, "command"),
        )
        self._restoration.counts.update(self.file.counts())  # of a former life
        self._told = float("-inf")

    def run(self) -> Mapping[str, int]:
        """To its end; the counts of what was restored. LaneLost when the lane is over before."""
        steps = (self._quiet, self._xero, self._compare, self._results, self._decide)
        try:
            for phase, step in zip(PHASES, steps, strict=True):
                if not self.file.is_done(phase):
                    logger.info("ledger_rebuild", org=self.tools.org, phase=phase)
                    step()
                    self.file.phase_done(phase)
            counts = dict(self._restoration.counts)
            tools, at = self.tools, self.tools.now().at
            done = control.rebuild_progress(self.asked, "", {**counts, "xero invoices": self.file.invoices()}, at)
            self._transact({control.REBUILD: done, control.CERTIFICATE: tools.log.certificate()})
        except BaseException:
            self.file.close()
            raise
        self.file.delete()
        logger.info("ledger_rebuilt", org=tools.org, **{name.replace(" ", "_"): n for name, n in counts.items()})
        return counts

    # -- the phases ---------------------------------------------------------------------------------------------

    def _quiet(self) -> None:
        """A former owner's call may be under way: what it writes must be there when we read."""
        ends = self.takeover + self.tools.settings.intention_lapse + self.tools.settings.deadline
        while (left := ends - self.tools.now().mono) > 0:
            self._tell("quiet", round(left), round(ends - self.takeover))
            self._sleep(min(left, 1.0))

    def _xero(self) -> None:
        call: Call | None = self.file.cursor() or _first("Invoices")
        pages = 0
        while call is not None:
            call = replace(call, deadline=self.tools.settings.deadline)
            answer = self._answer(call)
            if answer.doubt is Doubt.TIMEOUT:
                call = _smaller(call)
                continue
            rows = answer.body.get(call.path) if isinstance(answer.body, dict) else None
            call = self._page(call, rows if isinstance(rows, list) else [])
            pages += 1
            self._tell("xero", self.file.invoices(), 0)

    def _page(self, call: Call, rows: list[Mapping[str, Any]]) -> Call | None:
        following = reference.turn(call, rows)
        if following is None and call.path == "Invoices":
            following = _first("CreditNotes")
        self.file.page_read(rows, following)
        return following

    def _compare(self) -> None:
        tools, restoration = self.tools, self._restoration
        low, high = tools.log.ends()
        first = max(low, int(self.file.mark("compare") or low))
        for messages in tools.log.commands(first, tools.stopped):
            opened = []
            for record in map(tools.record, messages):
                if restoration.adopt(record) and record.command is not None:
                    opened.append((record.offset, *_subject(record.command)))
            after = (messages[-1].offset() or 0) + 1
            self._commit("compare", after, high)
            self.file.compared(opened, after, restoration.counts)

    def _results(self) -> None:
        if self.file.open_ends() is None:
            return
        tools, read = self.tools, 0
        self.file.forget_said()
        for messages in tools.log.results(tools.stopped):
            self.file.begin()
            for message in messages:
                self._hear(message.value() or b"")
            self.file.commit()
            read += len(messages)
            self._tell("results", read, 0)

    def _hear(self, value: bytes) -> None:
        head = self.tools.codec.head(value, "key")
        if head["org"] != self.tools.org:
            return
        thing = _ABOUT.get(head["kind"], head["kind"])
        if self.file.wanted(thing, head["key"]):
            result = cast(Result, self.tools.codec.decode(value))
            self.file.say(thing, head["key"], heard(self.file.said(thing, head["key"]), result))

    def _decide(self) -> None:
        tools, ends = self.tools, self.file.open_ends()
        first = max(ends[0], int(self.file.mark("decide") or 0)) if ends else 0
        if ends is None or first > ends[1]:
            return
        for messages in tools.log.commands(first, tools.stopped):
            last = messages[-1].offset() or 0
            open_ = self.file.open_between(messages[0].offset() or 0, last)
            for message in messages:
                subject = open_.get(message.offset() or 0)
                if subject is not None:
                    thing, key, contact = subject
                    about = self.file.said("contact", contact or "")
                    self._restoration.decide(tools.record(message), self.file.said(thing, key), about)
            self._commit("decide", last + 1, ends[1] + 1)
            self.file.progressed("decide", last + 1, self._restoration.counts)
            if last >= ends[1]:
                return

    # -- what they share ----------------------------------------------------------------------------------------

    def _commit(self, phase: str, done: int, of: int) -> None:
        """What was restored; before the mark in the file, so a crash between the two repeats what changes nothing."""
        entries, letters, results = self._restoration.take()
        if not entries and not letters:
            self._tell(phase, done, of)
            return
        self._transact({**entries, control.REBUILD: self._progress(phase, done, of)}, letters, results)
        self.tools.metrics.rebuild.labels(self.tools.org, phase).set(done)

    def _tell(self, phase: str, done: int, of: int) -> None:
        """Whoever asked reads it from the ledger."""
        self.tools.metrics.rebuild.labels(self.tools.org, phase).set(done)
        now = self.tools.now().mono
        if now - self._told >= _TELL:
            self._told = now
            self._transact({control.REBUILD: self._progress(phase, done, of)})
            logger.info("ledger_rebuild", org=self.tools.org, phase=phase, done=done, of=of)

    def _progress(self, phase: str, done: int, of: int) -> LedgerEntry:
        counts = {**self._restoration.counts, "done": done, "of": of}
        return control.rebuild_progress(self.asked, phase, counts, self.tools.now().at)

    def _transact(self, entries: Mapping[str, LedgerEntry], letters: Any = (), results: Any = ()) -> None:
        if self.tools.stopped():
            raise LaneLost(f"{self.tools.org}: stopped during a rebuild of the ledger.")
        work = Transact(0, dict(entries), tuple(results), tuple(letters))
        began = self.tools.now().mono
        values, offset = self.tools.log.transact(work, None)
        self.tools.store.apply(work, values, offset)
        self.tools.metrics.committed(self.tools.org, work, self.tools.now().mono - began)

    def _answer(self, call: Call) -> Answer:
        """A page's answer; asked for as often as it takes. A time-out comes back, to be asked for by half."""
        failures = 0
        while True:
            wait = self.tools.budget.may_send(self.tools.now().mono, "reference")
            if wait > 0:
                self._sleep(min(wait, 1.0))
                continue
            self.tools.budget.sent(self.tools.now().mono, "reference")
            answer = self._waited_for(self.tools.calls.submit(self.tools.call, call))
            self.tools.budget.answered(self.tools.now().mono, answer)
            self.tools.metrics.answered(self.tools.org, call, answer)
            if course(answer) is Course.READ or (answer.doubt is Doubt.TIMEOUT and _size(call) > _SMALLEST):
                return answer
            failures += 1
            pause = min(2.0**failures, _LONGEST) / self.tools.settings.speed
            why = answer.detail or answer.doubt or answer.status
            logger.warning("ledger_rebuild_waits", org=self.tools.org, answer=str(why), seconds=pause)
            self._sleep(pause)

    def _waited_for(self, future: Future[Answer]) -> Answer:
        while True:
            try:
                return future.result(_LOOK)
            except NotYet:
                self._sleep(0.0)

    def _sleep(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not self.tools.stopped():
            left = ends - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _LOOK))
        raise LaneLost(f"{self.tools.org}: stopped during a rebuild of the ledger.")


def _subject(command: Command) -> tuple[str, str, str | None]:
    """What has to be heard about an open record: of which thing, by which key, and of which contact besides."""
    body: Any = command["body"]
    thing = _THINGS[command["kind"]]
    contact = body["contact"]["key"] if command["kind"] == "SALE" else None
    return thing, command["key"], contact


def _first(path: str) -> Call:
    where = f'Type=="{_PAGES[path]}"'
    query = (("where", where), ("page", "1"), ("pageSize", str(_PAGE)), ("unitdp", "4"))
    return Call("GET", path, query, purpose="rebuild")


def _size(call: Call) -> int:
    return int(dict(call.query)["pageSize"])


def _smaller(call: Call) -> Call:
    """The same place in the list, by pages of half the size."""
    page, size = int(dict(call.query)["page"]), _size(call)
    halves = {"page": str((page - 1) * 2 + 1), "pageSize": str(size // 2)}
    return replace(call, query=tuple((name, halves.get(name, value)) for name, value in call.query))
