"""A world for one lane: a command log, a ledger, a paper Xero and a clock that jumps from event to event.

Deterministic: one seed, one run. `crash` kills the lane where it stands; what is on its way to Xero still arrives.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any, cast

from connectors.xero.budget import Budget, Limits
from connectors.xero.calls import Answer, Call, Doubt
from connectors.xero.core.events import (
    Aborted,
    Action,
    Answered,
    Committed,
    Event,
    Letter,
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
from connectors.xero.ledger import LedgerStore
from connectors.xero.settings import CoreSettings
from schemas.codec import Codec
from schemas.ids import CommittedIds
from schemas.types import Command, LedgerEntry, Result
from tests.connectors.xero.commands import T0
from tests.connectors.xero.core.paper_xero import HEADERS, PaperXero

CODEC = Codec(CommittedIds())
# What may happen to a call, besides being answered. "Before" and "after" mean Xero's commit.
FAULTS = ("timeout_before", "timeout_after", "drop_before", "drop_after", "500_before", "500_after", "html_after",
          "503", "429", "404", "not_sent")  # fmt: skip


@dataclass
class World:
    """`faults[n]` is what happens to the n-th write (from 1); `latency` and `commit` in seconds."""

    settings: CoreSettings = field(default_factory=CoreSettings)
    seed: int = 0
    faults: dict[int, str] = field(default_factory=dict)
    fault_rate: float = 0.0
    crash_rate: float = 0.0
    abort_rate: float = 0.0
    latency: float = 0.3
    commit: float = 0.05
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.xero = PaperXero()
        self.store = LedgerStore(None, CODEC)
        self.mono = 1000.0
        self.log: list[tuple[Command, bytes]] = []
        self.headers: dict[int, tuple[tuple[str, bytes], ...]] = {}  # by offset
        self.offset = 0  # committed
        self.results: list[Result] = []
        self.letters: list[Letter] = []
        self.sends: list[Send] = []
        self.transactions: list[Transact] = []
        self.sent_at: list[float] = []
        self.intended: set[str] = set()  # idempotency keys of committed intentions
        self.took_over = 0.0
        self.crashes = 0
        self.flight = 0  # calls of this life that it still waits for
        self.writes = 0
        self.life = 0
        self.lane: Lane | None = None
        self._heap: list[tuple[float, int, int | None, Callable[[], object]]] = []
        self._order = itertools.count()
        self._fed = 0
        self._paused = False
        self._calm = False
        self._wake = 0
        self.on_send: Callable[[Send], None] = lambda send: None

    # -- driving ------------------------------------------------------------------------------------------------

    def put(self, *commands: Command) -> World:
        """Onto the command topic."""
        return self.put_with({}, *commands)

    def put_with(self, headers: dict[str, str], *commands: Command) -> World:
        """As records with these headers."""
        for command in commands:
            self.headers[len(self.log)] = tuple((name, text.encode()) for name, text in headers.items())
            self.log.append((command, CODEC.encode("command", command)))
        self._feed()
        return self

    def start(self) -> World:
        """A new owner takes over."""
        self.life += 1
        self.took_over = self.mono
        budget = Budget(self.limits, self.mono)
        decode = cast(Callable[[bytes], Command], CODEC.decode)
        encode = partial(CODEC.encode, "command")
        self.lane = Lane("uk", self.settings, self.store, budget, f"life{self.life}", decode, encode, self.mono)
        self._paused, self._fed, self.flight = False, self.offset, 0
        self.tell(Restored(self.offset))
        self._feed()
        return self

    def crash(self) -> None:
        """The process is gone; its calls still reach Xero, its uncommitted transaction never happened."""
        self.crashes += 1
        self.lane = None
        self.life += 1
        self.at(0.5 + self.random.random() * 5, self.start, None)

    def crash_at(self, path: str, *, done: bool, nth: int = 1) -> list[float]:
        """The n-th write to what `path` ends with kills the lane, once; `done`: Xero has acted by then. When it did."""
        original, crashed, seen = self.xero.do, list[float](), itertools.count(1)

        def do(call: Call, now: float) -> Answer:
            if call.writes and call.path.endswith(path) and not crashed and next(seen) == nth:
                crashed.append(now)
                if done:
                    original(call, now)
                self.crash()
                return Answer(0, token_id="t")
            return original(call, now)

        self.xero.do = do  # type: ignore[method-assign]
        return crashed

    def tell(self, event: Event) -> None:
        """One event, and its actions."""
        if self.lane is None:
            return
        moment = Moment(self.mono, T0 + timedelta(seconds=self.mono))
        for action in self.lane.handle(event, moment):
            self._do(action)
            if self.lane is None:
                return

    def at(self, delay: float, what: Callable[[], object], life: int | None) -> None:
        """Later, if the life `life` still goes on then (None: in any case)."""
        heapq.heappush(self._heap, (self.mono + delay, next(self._order), life, what))

    def run(self, seconds: float = 3600.0, until: Callable[[], bool] | None = None) -> World:
        """Let time pass, until everything is finished, `until` holds, or `seconds` are over."""
        end = self.mono + seconds
        while self._heap and self._heap[0][0] <= end:
            when, _, life, what = heapq.heappop(self._heap)
            self.mono = max(self.mono, when)
            if life is None or life == self.life:
                what()
            if until is not None and until():
                return self
            if until is None and self.quiet():
                return self
        if until is not None:
            self.mono = end  # nothing more happens before it
        if until is None and not self.quiet():
            raise AssertionError(f"seed {self.seed}: not finished after {seconds} s: {self.describe()}")
        return self

    def quiet(self) -> bool:
        """Every command has its outcome, nothing waits, nothing is on its way."""
        lane = self.lane
        return (
            lane is not None
            and self.offset == len(self.log)
            and not lane.desk.jobs
            and lane.desk.flying is None
            and not [b for b in lane.planner.batches.values() if b.kind == "write"]
            and self.store.next_waiting() is None
        )

    def calm(self) -> None:
        """No more faults from here."""
        self._calm = True

    def describe(self) -> str:
        lane = self.lane
        if lane is None:
            return "no lane"
        jobs = [(home, job.parked, job.offset) for home, job in lane.desk.jobs.items()]
        batches = [(b.step, b.state, b.lookup, b.again_at) for b in lane.planner.batches.values()]
        waiting = self.store.next_waiting()
        where = f"offset {self.offset}/{len(self.log)} at {self.mono}"
        return f"{where} jobs {jobs[:5]} batches {batches[:5]} waiting {waiting}"

    # -- actions ------------------------------------------------------------------------------------------------

    def _do(self, action: Action) -> None:
        match action:
            case Transact():
                self._transact(action)
            case Send():
                self._send(action)
            case Wake(at):
                self._wake += 1  # the newest wake counts, as in production: ticks of old ones would multiply
                wake = self._wake
                self.at(max(0.0, at - self.mono), lambda: self.tell(Tick()) if wake == self._wake else None, self.life)
            case Pause():
                self._paused = True
            case Resume():
                self._paused = False
                self._feed()

    def _feed(self) -> None:
        if self.lane is None or self._paused or self._fed >= len(self.log):
            return
        offset, life = self._fed, self.life
        command, value = self.log[offset]
        self._fed += 1
        # A record is what is on the topic: decoded anew, so that nobody changes the log.
        record = Record(
            offset, command["key"].encode(), value, self.headers[offset], cast(Command, CODEC.decode(value))
        )

        def deliver() -> None:
            self.tell(record)
            self._feed()

        self.at(0.0005, deliver, life)

    def _transact(self, work: Transact) -> None:
        self.transactions.append(work)
        if self._fate(self.crash_rate):
            self.crash()  # before the commit
            return
        if self._fate(self.abort_rate):
            self.at(self.commit, lambda: self.tell(Aborted(work.tx)), self.life)
            return

        def committed() -> None:
            values = {k: None if e is None else CODEC.encode("ledger", e) for k, e in work.entries.items()}
            self.store.apply(work, values)
            held = [e["intention"] for e in work.entries.values() if e is not None and e["intention"] is not None]
            self.intended.update(intention["idempotency_key"] for intention in held)
            self.results += work.results
            self.letters += work.letters
            assert work.offset is not None
            assert work.offset >= self.offset
            self.offset = work.offset
            if self._fate(self.crash_rate):
                self.crash()  # after the ledger
            else:
                self.tell(Committed(work.tx))

        self.at(self.commit, committed, self.life)

    def _send(self, send: Send) -> None:
        assert send.send_by is None or self.mono <= send.send_by
        self.sends.append(send)
        self.flight += 1
        assert self.flight <= self.limits.concurrent
        self.sent_at.append(self.mono)
        self.on_send(send)
        fault = self._fault(send.call)
        life = self.life

        def arrive() -> None:
            answer, wait = self._answer(send.call, fault)
            self.at(wait, lambda: self._answered(send.call_id, answer, life), life)

        if fault == "not_sent":
            self.at(0.01, lambda: self._answered(send.call_id, Answer(0, detail="refused"), life), life)
        else:
            # On its way whatever becomes of the lane; a call whose client gave up may arrive late.
            late = self.settings.deadline * self.random.random() if fault == "timeout_after" else self.latency / 2
            if fault == "timeout_after":
                self.at(self.settings.deadline, lambda: self._answered(send.call_id, TIMED_OUT, life), life)
                self.at(late, lambda: self._arrived(send.call), None)
            else:
                self.at(self.latency / 2, arrive, None)
        if send.call.writes and self._fate(self.crash_rate):
            self.crash()  # after send

    def _arrived(self, call: Call) -> None:
        self.xero.do(call, self.mono)

    def _answer(self, call: Call, fault: str) -> tuple[Answer, float]:
        wait = self.latency / 2
        match fault:
            case "timeout_before":
                return TIMED_OUT, self.settings.deadline
            case "drop_before":
                return DROPPED, wait
            case "drop_after":
                self.xero.do(call, self.mono)
                return DROPPED, wait
            case "500_before" | "500_after":
                return self.xero.keep_500(call, self.mono, fault == "500_after"), wait
            case "html_after":
                self.xero.do(call, self.mono)
                return Answer(200, HEADERS, None, Doubt.UNREADABLE, token_id="t"), wait
            case "503":
                return Answer(503, {}, None, token_id="t"), wait
            case "404":
                return Answer(404, HEADERS, None, token_id="t"), wait
            case "429":
                headers = {"x-rate-limit-problem": "minute", "retry-after": "20", "x-minlimit-remaining": "0"}
                return Answer(429, headers, None, token_id="t"), wait
        return self.xero.do(call, self.mono), wait

    def _answered(self, call_id: int, answer: Answer, life: int) -> None:
        if life != self.life:
            return
        self.flight -= 1
        if self._fate(self.crash_rate):
            self.crash()  # after answer
        else:
            self.tell(Answered(call_id, answer))

    def _fault(self, call: Call) -> str:
        if call.writes:
            self.writes += 1
            planned = self.faults.get(self.writes)
            if planned:
                return planned
        if self._fate(self.fault_rate):
            return self.random.choice(FAULTS)
        return ""

    def _fate(self, rate: float) -> bool:
        return rate > 0 and not self._calm and self.random.random() < rate

    # -- looking ------------------------------------------------------------------------------------------------

    def entry(self, key: str) -> LedgerEntry:
        found = self.store.get(key)
        assert found is not None, key
        return found

    def change(self, entry: LedgerEntry) -> None:
        """Into the ledger, by nobody's hand: as a former release left it."""
        self.store.apply(Transact(0, {entry["key"]: entry}), {entry["key"]: CODEC.encode("ledger", entry)})

    def outcomes(self, kind: str = "order") -> list[str]:
        return [r["outcome"] for r in self.results if r["kind"] == kind]

    def letter(self, index: int = 0) -> dict[str, str]:
        return {name: value.decode() for name, value in self.letters[index].headers}

    def calls(self, path: str) -> list[Call]:
        """Requests that reached Xero, reference data apart."""
        return [c for c in self.xero.calls if c.path == path and c.purpose != "reference"]


TIMED_OUT = Answer(0, doubt=Doubt.TIMEOUT, token_id="t", elapsed=60.0)
DROPPED = Answer(0, doubt=Doubt.DROPPED, token_id="t")


def books(world: World) -> dict[str, Any]:
    """What a judge looks at: documents and sums."""
    return {
        i["InvoiceNumber"]: (str(i["Total"]), [str(p["Amount"]) for p in world.xero.show(i)["Payments"]])
        for i in world.xero.invoices.values()
    }
