"""The budget against a model of Xero that counts for itself: any mixture of calls, answers, limits, owners and clocks.

The judge keeps its own log of arrivals and knows nothing of how the budget counts. Guarantees that are looked at: never
more than 60 calls of ours in any minute (a new owner's lone probe excepted), never more than 5 in flight, writes and
reference reads leave the day's reserve alone (one look an hour excepted), Retry-After is obeyed, and it always goes on.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from connectors.xero.budget import Budget, Kind, Limits
from connectors.xero.calls import Answer, Doubt
from tests.depth import examples

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
CONCURRENT = 5
KINDS: list[Kind] = ["write", "read_back", "reference", "tool"]
LOST = Answer(0, doubt=Doubt.TIMEOUT)
_EDGE = 1e-6  # seconds: floats at a window's edge


@dataclass
class Judge:
    """Xero's side of one organisation, in real seconds; its clock runs `speed` times as fast."""

    minute: int
    day: int
    speed: float
    rolling: bool
    offset: float
    tells: bool  # 429s carry Retry-After, as minute and day do
    arrivals: list[float] = field(default_factory=list)  # counted ones, ours and others'

    def used(self, at: float, length: float) -> int:
        length /= self.speed
        begin = at - length if self.rolling else self._begin(at, length)
        early = (bisect_right if self.rolling else bisect_left)(self.arrivals, begin)
        return bisect_right(self.arrivals, at) - early

    def _begin(self, at: float, length: float) -> float:
        return self.offset + math.floor((at - self.offset) / length) * length

    def resets_in(self, at: float, length: float) -> float:
        """Real seconds until one more call is possible."""
        length /= self.speed
        if not self.rolling:
            return self._begin(at, length) + length - at
        inside = self.arrivals[bisect_right(self.arrivals, at - length) :]
        return inside[0] + length - at if inside else 0.0

    def arrive(self, at: float) -> Answer:
        for problem, length, limit in (("day", DAY, self.day), ("minute", MINUTE, self.minute)):
            if self.used(at, length) >= limit:
                told = {"Retry-After": str(int(self.resets_in(at, length) * self.speed) + 1)}
                return Answer(429, {"X-Rate-Limit-Problem": problem, **(told if self.tells else {}), **self.left(at)})
        self.count(at)
        return Answer(200, self.left(at), {})

    def count(self, at: float) -> None:
        self.arrivals.insert(bisect_right(self.arrivals, at), at)

    def left(self, at: float) -> dict[str, str]:
        return {
            "X-MinLimit-Remaining": str(max(0, self.minute - self.used(at, MINUTE))),
            "X-DayLimit-Remaining": str(max(0, self.day - self.used(at, DAY))),
        }


class BudgetMachine(RuleBasedStateMachine):
    """Time is real seconds from 0; everything on its way stands in one heap."""

    @initialize(
        speed=st.sampled_from([1.0, 1.0, 10.0]),
        rolling=st.booleans(),
        offset=st.floats(-DAY, 0),
        minute=st.sampled_from([None, None, 12]),
        day=st.sampled_from([60, 150, 5000]),
        tells=st.booleans(),
        jitter=st.sampled_from([0.0, 0.3, 0.99]),
        latency=st.sampled_from([0.05, 0.3, 3.0, 8.0]),
    )
    def begins(
        self,
        speed: float,
        rolling: bool,
        offset: float,
        minute: int | None,
        day: int,
        tells: bool,
        jitter: float,
        latency: float,
    ) -> None:
        plan: dict[str, Any] = {} if minute is None else {"minute": minute}  # None: as the budget has it by itself
        self.limits = Limits(day=day, day_reserve=min(100, day // 4), speed=speed, **plan)
        self.judge = Judge(minute or 60, day, speed, rolling, offset / speed, tells)
        self.jitter, self.latency = jitter, latency
        self.now = 0.0
        self.ways = itertools.cycle([0.0, 1.0, 0.2, 0.7])  # shares of the jitter
        self.order = itertools.count()
        self.heap: list[tuple[float, int, int, Any]] = []  # at, order, owner, what: a kind that arrives or an Answer
        self.lose = 0  # answers that will be lost on their way back
        self.refuse: list[Answer] = []  # what the next calls get instead
        self.owner = 0
        self.takes_over_now()
        self.others = -math.inf  # when somebody else last called, a former owner too

    # -- what happens -------------------------------------------------------------------------------------------

    def takes_over_now(self) -> None:
        self.took_over = self.others = self.now
        self.owner += 1
        self.budget = Budget(self.limits, self.now)
        self.flying = 0
        self.not_before = -math.inf  # what Retry-After asked of this owner
        self.probed = -math.inf
        self.heard_of = self.heard_at = -math.inf  # since when it knows of all the others' calls
        self.ours: list[float] = []  # its arrivals that were counted
        self.blind: list[float] = []  # of them, those sent before the minute was known
        self.heard = False  # it knows what is left of the day
        self.short, self.new_day = False, math.inf  # only the reserve is left, by what it has heard, and until when
        self.told = False
        self.looks: list[float] = []  # writes and reference reads that it sends all the same

    def _send(self, kind: Kind) -> None:
        assert self.now >= self.not_before - _EDGE, "Retry-After was not obeyed"
        blind = not self.budget.snapshot(self.now).probed
        if blind:
            assert not self.flying, "a probe goes alone"
            assert self.now - self.probed >= MINUTE / 12 / self.limits.speed - _EDGE, "and not one after another"
            self.probed = self.now
        elif not self.heard:
            assert self.now - self.took_over >= MINUTE / self.limits.speed, "nobody has told it the minute's count"
        self.budget.sent(self.now, kind)
        self.flying += 1
        assert self.flying <= CONCURRENT
        takes_reserve = kind not in ("write", "reference") or not self.heard or blind
        if self.now >= self.new_day:
            self.short, self.told, self.new_day = False, False, math.inf
        if self.short and not takes_reserve:
            self.looks.append(self.now)
            # One an hour to see whether the day has begun anew, and one where a fixed window is thought to begin.
            assert len(self.looks) < 3 or self.looks[-1] - self.looks[-3] >= HOUR / self.limits.speed - _EDGE
            takes_reserve = True
        way = self.jitter * next(self.ways)
        heapq.heappush(self.heap, (self.now + way, next(self.order), self.owner, (takes_reserve, blind, self.now)))

    def _pass(self, until: float) -> None:
        """Time passes, and what is on its way arrives."""
        while self.heap and self.heap[0][0] <= until:
            at, _, owner, what = heapq.heappop(self.heap)
            self.now = max(self.now, at)
            if isinstance(what, Answer):
                self._hear(owner, what)
            else:
                self._arrive(at, owner, *what)
        self.now = max(self.now, until)

    def _arrive(self, at: float, owner: int, takes_reserve: bool, blind: bool, sent: float) -> None:
        used, before = self.judge.used(at, DAY), len(self.judge.arrivals)
        if self.refuse:
            answer = self.refuse.pop()
            if answer.ok:
                self.judge.count(at)
        else:
            answer = self.judge.arrive(at)
            # Refused for the minute only if others have called since it last heard, or while it did not know yet. In a
            # fixed window whose beginning nobody tells, others' calls cannot be told from ours of the window before:
            # there only a former owner's are known for certain.
            told = owner == self.owner and self.heard_of > self.others and sent >= self.heard_at
            told = told and (self.judge.rolling or self.others <= self.took_over)
            assert answer.headers.get("X-Rate-Limit-Problem") != "minute" or blind or not told
        if len(self.judge.arrivals) > before:
            if owner == self.owner:
                self.ours.append(at)
                self.blind += [at] if blind else []
            # Nobody else has called for a day, so this owner could know. Calls in flight may have overtaken this one.
            alone = owner == self.owner and self.others < at - DAY / self.limits.speed
            most = self.limits.day - self.limits.day_reserve + (CONCURRENT if self.jitter else 0)
            assert takes_reserve or not alone or used < most, "the reserve was used"
        if self.lose:
            self.lose -= 1
            answer = LOST
        answer = replace(answer, elapsed=at + self.latency - sent)
        heapq.heappush(self.heap, (at + self.latency, next(self.order), owner, answer))

    def _hear(self, owner: int, answer: Answer) -> None:
        if owner != self.owner:
            return  # nobody listens any more
        self.flying -= 1
        if "X-MinLimit-Remaining" in answer.headers and self.now - self.latency > self.others >= self.heard_of:
            self.heard_of = self.heard_at = self.now  # the first header from after the others' calls
        self.budget.answered(self.now, answer)
        told, left = answer.headers.get("Retry-After"), answer.headers.get("X-DayLimit-Remaining")
        if left is not None:
            self.heard, self.short = True, int(left) <= self.limits.day_reserve
            self.looks = self.looks if self.short else []
            # What was called has left every window a day later, if Xero has not named an earlier time.
            self.new_day = self.new_day if self.told else self.now + DAY / self.limits.speed
        if answer.status == 429 and told is not None:
            until = self.now + float(told) / self.limits.speed
            self.not_before = max(self.not_before, until)
            if answer.headers.get("X-Rate-Limit-Problem") in ("day", "Daily"):
                self.new_day, self.told = until, True

    # -- rules --------------------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(KINDS), seconds=st.sampled_from([5.0, 70.0, 200.0]))
    def has_a_backlog(self, kind: Kind, seconds: float) -> None:
        """A call whenever the budget lets one go."""
        self._drive([kind], self.now + seconds / self.limits.speed)

    @rule(kinds=st.lists(st.sampled_from(KINDS), min_size=2, max_size=6))
    def has_a_mixture(self, kinds: list[Kind]) -> None:
        self._drive(kinds, self.now + 30.0 / self.limits.speed)

    def _drive(self, kinds: list[Kind], end: float) -> None:
        turns = itertools.cycle(kinds)
        while self.now < end:
            kind = next(turns)
            if self._may(kind, end):
                self._send(kind)

    def _may(self, kind: Kind, end: float) -> bool:
        """Now, or not yet: then the time has passed after which to ask again."""
        wait, reason = self.budget.why(self.now, kind)
        assert 0 <= wait < math.inf
        if wait > 0:
            full = reason in ("concurrent", "unprobed") and self.flying > 0
            again = self.heap[0][0] if full else self.now + wait  # full: until an answer, whatever it says
            assert again > self.now or full
            self._pass(min(again, end))
        return wait == 0

    @rule(seconds=st.sampled_from([0.5, 10.0, 59.0, 7 * HOUR, 26 * HOUR]))
    def is_quiet(self, seconds: float) -> None:
        self._pass(self.now + seconds / self.limits.speed)

    @rule(calls=st.sampled_from([5, 30, 50, 58, 80]), kind=st.sampled_from(KINDS))
    def others_call_and_we_hear_of_it(self, calls: int, kind: Kind) -> None:
        """Another program of the same app and organisation."""
        self.others = self.now
        for _ in range(calls):
            self.judge.arrive(self.now)
        self._drive([kind], self.now + 75.0 / self.limits.speed)

    @rule(left=st.sampled_from([-1, 0, 1, 3]), reserve=st.booleans(), kind=st.sampled_from(KINDS))
    def others_leave_little_of_the_day(self, left: int, reserve: bool, kind: Kind) -> None:
        """Nothing, or hardly more or less than the reserve."""
        left += self.limits.day_reserve if reserve else 0
        self.others = self.now
        at = self.now - 3 * MINUTE / self.limits.speed  # not in this minute
        for _ in range(self.judge.used(self.now, DAY), self.limits.day - left):
            self.judge.count(at)
        self._drive([kind, "write"], self.now + 100.0 / self.limits.speed)

    @rule(count=st.integers(1, 3))
    def answers_are_lost(self, count: int) -> None:
        self.lose = count
        self._drive(["write"], self.now + 10.0 / self.limits.speed)

    @rule(
        problem=st.sampled_from(["concurrent", "app-minute", "minute", "Daily", ""]),
        told=st.sampled_from([None, "1", "30", "4000"]),
        count=st.integers(1, 3),
    )
    def is_refused(self, problem: str, told: str | None, count: int) -> None:
        """429s that have nothing to do with what we sent."""
        headers = {"X-Rate-Limit-Problem": problem} if problem else {}
        self.refuse = [Answer(429, headers | ({"Retry-After": told} if told else {}))] * count
        self._drive(["read_back"], self.now + 100.0 / self.limits.speed)

    @rule()
    def an_app_is_nearly_used_up(self) -> None:
        self.refuse = [Answer(200, {"X-AppMinLimit-Remaining": "3"}, {})]
        self._drive(["read_back"], self.now + 10.0 / self.limits.speed)

    @rule(seconds=st.sampled_from([1.0, 20.0]), kind=st.sampled_from(KINDS), lost=st.sampled_from([0, 0, 0, 2]))
    def has_a_new_owner(self, seconds: float, kind: Kind, lost: int) -> None:
        """The former one's calls arrive unheard. A take-over takes a second at least: what had left has arrived."""
        self._pass(self.now + max(seconds / self.limits.speed, self.jitter))
        self.takes_over_now()
        self.lose = lost
        self._drive([kind], self.now + 75.0 / self.limits.speed)

    @rule(kind=st.sampled_from(KINDS))
    def is_patient(self, kind: Kind) -> None:
        """Progress: whatever has happened, such a call becomes possible."""
        assert self._waits_for(kind) <= (DAY + HOUR) / self.limits.speed

    @rule()
    def a_new_day_begins(self) -> None:
        """After the reset it goes on: within a look's hour."""
        self._pass(self.now + DAY / self.limits.speed)
        assert self._waits_for("write") <= HOUR / self.limits.speed

    def _waits_for(self, kind: Kind) -> float:
        self.refuse, self.lose, began = [], 0, self.now
        for _ in range(10_000):
            if self._may(kind, math.inf):
                self._send(kind)
                return self.now - began
        raise AssertionError(self.budget.why(self.now, kind))

    # -- what must be true --------------------------------------------------------------------------------------

    @invariant()
    def no_minute_is_overrun(self) -> None:
        length = MINUTE / self.limits.speed
        ours = sorted(self.ours)
        for i, first in enumerate(ours):
            inside = bisect_left(ours, first + length) - i
            if inside > self.judge.minute:
                probes = sum(1 for at in self.blind if first <= at < first + length)
                assert inside <= self.judge.minute + probes, (first, inside, probes)
        self.ours = [at for at in self.ours if at > self.now - 2 * MINUTE]


BudgetMachine.TestCase.settings = settings(max_examples=examples(100), stateful_step_count=12)
TestBudgetMachine = BudgetMachine.TestCase
