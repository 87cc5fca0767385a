"""The budget against a model of Xero's limits: fixed or rolling windows at any offset, with a variable way to Xero."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.xero.budget import Budget, Kind, Limits
from connectors.xero.calls import Answer
from tests.depth import examples


@dataclass
class ModelServer:
    """Counts arrivals as Xero does; `rolling` or fixed windows that began at `offset`."""

    limits: Limits
    rolling: bool
    offset: float
    silent: bool = False  # its headers would warn the budget, and hide what its own arithmetic gets wrong
    arrivals: list[float] = field(default_factory=list)

    def used(self, at: float, length: float) -> int:
        length /= self.limits.speed
        begin = at - length if self.rolling else at - (at - self.offset) % length
        return sum(1 for t in self.arrivals if (t > begin if self.rolling else t >= begin) and t <= at)

    def arrive(self, at: float) -> Answer:
        for problem, length, limit in (("minute", 60.0, self.limits.minute), ("day", 86400.0, self.limits.day)):
            if self.used(at, length) >= limit:
                retry = str(int(length - (at * self.limits.speed - self.offset) % length) + 1)
                return Answer(429, {"x-rate-limit-problem": problem, "retry-after": retry, **self.headers(at)})
        self.arrivals.append(at)
        return Answer(200, self.headers(at), {})

    def headers(self, at: float) -> dict[str, str]:
        if self.silent:
            return {}
        return {
            "X-MinLimit-Remaining": str(max(0, self.limits.minute - self.used(at, 60.0))),
            "X-DayLimit-Remaining": str(max(0, self.limits.day - self.used(at, 86400.0))),
            "X-AppMinLimit-Remaining": "9990",
        }


@dataclass
class Run:
    sends: list[float] = field(default_factory=list)
    peak: int = 0
    refused: list[str] = field(default_factory=list)


def drive(budget: Budget, server: ModelServer, ways: list[float], latency: float, kind: Kind, until: float) -> Run:
    """An always full backlog from 0 to `until`: send whenever the budget lets us."""
    run, now, in_air = Run(), 0.0, list[tuple[float, int, Answer]]()
    for n in range(1_000_000):
        while in_air and in_air[0][0] <= now:
            at, _, answer = heapq.heappop(in_air)
            budget.answered(at, answer)
            if answer.status == 429:
                run.refused.append(answer.headers["x-rate-limit-problem"])
        wait = budget.may_send(now, kind)
        if wait == 0:
            budget.sent(now, kind)
            run.sends.append(now)
            arrives = now + ways[len(run.sends) % len(ways)]
            heapq.heappush(in_air, (arrives + latency, n, server.arrive(arrives)))
            run.peak = max(run.peak, len(in_air))
            continue
        now += wait
        if in_air and now > in_air[0][0]:
            now = in_air[0][0]
        if now > until:
            return run
    raise AssertionError("the budget neither waits nor ends")


@settings(max_examples=examples(60), deadline=None)
@given(
    rolling=st.booleans(),
    offset=st.floats(-60, 60),
    ways=st.lists(st.floats(0.0, 0.99), min_size=1, max_size=17),
    latency=st.floats(0.01, 20.0),
    speed=st.sampled_from([1.0, 5.0]),
    minute=st.sampled_from([60, 60, 10, 2]),
    kind=st.sampled_from(["write", "tool"]),
    silent=st.booleans(),
)
def test_no_window_is_ever_overrun(
    rolling: bool, offset: float, ways: list[float], latency: float, speed: float, minute: int, kind: Kind, silent: bool
) -> None:
    limits = Limits(minute=minute, speed=speed)
    server = ModelServer(limits, rolling, offset, silent)
    # Way and latency are real time, so a faster clock does not shrink them; arrivals stay in order enough to count.
    run = drive(Budget(limits, 0.0), server, ways, latency, kind, until=400.0 / speed)
    assert run.refused == []
    assert run.peak <= 5
    assert len(run.sends) >= min(minute, int(400.0 / speed / (latency + 1)))  # and it does send
    arrivals = sorted(server.arrivals)
    for i, first in enumerate(arrivals):
        inside = sum(1 for t in arrivals[i:] if t < first + 60.0 / speed)
        assert inside <= minute


@pytest.mark.parametrize("speed", [1.0, 5.0])
def test_a_burst_that_travels_slowly_before_others_that_do_not(speed: float) -> None:
    limits = Limits(speed=speed)
    server = ModelServer(limits, True, 0.0, silent=True)
    run = drive(known(limits, at=-200.0), server, [0.99] * 6 + [0.0] * 200, 0.01, "write", until=61.0 / speed + 1)
    assert run.refused == []


@settings(max_examples=examples(25), deadline=None)
@given(rolling=st.booleans(), day=st.integers(30, 400), reserve=st.integers(5, 25), offset=st.floats(-86400, 0))
def test_writes_leave_the_reserve_of_the_day(rolling: bool, day: int, reserve: int, offset: float) -> None:
    limits = Limits(day=day, day_reserve=reserve)
    server = ModelServer(limits, rolling, offset)
    hours = 20
    run = drive(Budget(limits, 0.0), server, [0.05], 0.3, "write", until=hours * 3600.0)
    assert "minute" not in run.refused
    for at in run.sends:
        # One look an hour may be taken from the reserve, to learn of a new day that nobody announces.
        looks = int(at / 3600) + 1
        assert server.used(at + 0.05, 86400.0) <= day - reserve + looks


def test_a_backlog_sustains_more_than_50_calls_a_minute() -> None:
    limits = Limits()
    run = drive(Budget(limits, 0.0), ModelServer(limits, True, 0.0), [0.05], 0.3, "write", until=600.0)
    assert len(run.sends) >= 10 * 52


def test_a_lone_order_has_its_three_calls_at_once_even_behind_reference_reads() -> None:
    budget = known(Limits())
    now = 100.0
    while budget.may_send(now, "reference") == 0:
        budget.sent(now, "reference")
        budget.answered(now, Answer(200))
    for _ in range(3):
        assert budget.may_send(now, "write") == 0
        budget.sent(now, "write")
        now += 0.3
        budget.answered(now, Answer(200))


def test_a_new_owner_probes_once_and_then_knows_what_its_predecessor_used() -> None:
    budget = Budget(Limits(), 0.0)
    assert budget.may_send(0.0, "write") == 0
    budget.sent(0.0, "write")
    assert budget.may_send(0.1, "write") > 0
    assert budget.why(0.1, "write")[1] == "unprobed"
    budget.answered(0.4, Answer(200, {"X-MinLimit-Remaining": "2"}))  # 57 were his
    for at in (0.4, 0.5):
        assert budget.may_send(at, "write") == 0
        budget.sent(at, "write")
    assert budget.may_send(0.5, "write") > 55


@pytest.mark.parametrize("rolling", [True, False])
def test_two_owners_one_after_another_never_spend_more_than_60_in_a_minute(rolling: bool) -> None:
    server = ModelServer(Limits(), rolling, 0.0)
    first = drive(Budget(Limits(), 0.0), server, [0.05], 0.3, "write", until=25.0)
    taken_over = Budget(Limits(), first.sends[-1] + 2.0)
    second = drive_on(taken_over, server, first.sends[-1] + 2.0, 90.0)
    assert [answer.status for answer in second if answer.status != 200] == []
    times = sorted(server.arrivals)
    if rolling:
        assert max(sum(1 for t in times[i:] if t < at + 60.0) for i, at in enumerate(times)) == 60


def test_what_left_after_a_call_is_not_in_its_number() -> None:
    """57 of a former owner's; five calls at once, and the first answer comes while the others are on their way."""
    budget = Budget(Limits(), 0.0)
    budget.sent(0.0, "write")
    budget.answered(0.4, Answer(200, {"X-MinLimit-Remaining": "6"}, elapsed=0.4))  # 53 are not ours
    for n in range(4):
        budget.sent(2.0 + n / 10, "write")
    budget.answered(2.5, Answer(200, {"X-MinLimit-Remaining": "5"}, elapsed=0.5))
    assert budget.snapshot(2.5).minute_available <= 2


def test_after_the_minutes_retry_after_one_call_asks_alone() -> None:
    """In a rolling window no more than one may be possible then."""
    budget = known(Limits())
    budget.sent(100.0, "write")
    budget.answered(100.0, Answer(429, {"X-Rate-Limit-Problem": "minute", "Retry-After": "7"}))
    assert budget.may_send(108.0, "write") == 0
    budget.sent(108.0, "write")
    assert budget.why(108.1, "read_back")[1] == "unprobed"
    budget.answered(108.3, Answer(200, {"X-MinLimit-Remaining": "59"}, elapsed=0.3))
    assert budget.may_send(108.3, "write") == 0
    assert budget.snapshot(108.3).minute_available > 1


def test_a_probe_without_headers_is_followed_by_another_not_by_a_burst() -> None:
    budget = Budget(Limits(), 0.0)
    budget.sent(0.0, "read_back")
    budget.answered(1.0, Answer(0, detail="not connected"))
    wait = budget.may_send(1.0, "write")
    assert 3 < wait < 6
    assert budget.may_send(61.5, "write") == 0
    assert budget.snapshot(61.5).probed


@pytest.mark.parametrize(
    ("headers", "least", "most", "reason"),
    [
        ({"X-Rate-Limit-Problem": "minute", "Retry-After": "26"}, 26, 28, "blocked:minute"),
        ({"x-rate-limit-problem": "Day", "retry-after": "66975"}, 66975, 66977, "blocked:day"),
        ({"X-Rate-Limit-Problem": "Daily", "Retry-After": "10"}, 10, 12, "blocked:day"),
        ({"X-Rate-Limit-Problem": "concurrent"}, 0.4, 1, "blocked:concurrent"),
        ({"X-Rate-Limit-Problem": "app-minute"}, 4, 6, "blocked:app"),
        ({}, 9, 11, "blocked:minute"),
    ],
)
def test_a_429_waits_as_its_problem_asks(headers: dict[str, str], least: float, most: float, reason: str) -> None:
    budget = known(Limits())
    budget.sent(100.0, "write")
    budget.answered(100.0, Answer(429, headers))
    wait, why = budget.why(100.0, "write")
    assert least <= wait <= most
    assert why == reason
    assert budget.snapshot(100.0).limited == 1
    assert budget.may_send(100.0 + wait, "write") == 0


def test_back_off_doubles_and_is_forgotten_after_a_success() -> None:
    budget = known(Limits())
    waits, now = [], 100.0
    for _ in range(3):
        budget.sent(now, "write")
        budget.answered(now, Answer(429, {"X-Rate-Limit-Problem": "concurrent"}))
        waits.append(budget.may_send(now, "write"))
        now += waits[-1]
    assert waits == pytest.approx([0.5, 1.0, 2.0])
    budget.sent(now, "write")
    budget.answered(now, Answer(200))
    budget.sent(now + 1, "write")
    budget.answered(now + 1, Answer(429, {"X-Rate-Limit-Problem": "concurrent"}))
    assert budget.may_send(now + 1, "write") == pytest.approx(0.5)


def test_other_programs_calls_are_seen_and_made_room_for() -> None:
    budget = known(Limits())
    budget.sent(100.0, "write")
    budget.answered(100.1, Answer(200, {"X-MinLimit-Remaining": "0"}))
    wait, reason = budget.why(100.1, "write")
    assert reason == "minute"
    assert 55 < wait <= 61.1


def test_read_backs_may_use_the_reserve_and_writes_may_not() -> None:
    budget = known(Limits(day_reserve=100))
    budget.sent(100.0, "write")
    budget.answered(100.1, Answer(200, {"X-DayLimit-Remaining": "80"}))
    assert budget.why(100.1, "write")[1] == "day"
    assert budget.may_send(100.1, "read_back") == 0
    assert budget.may_send(100.1, "tool") == 0
    budget.sent(101.0, "read_back")
    budget.answered(101.1, Answer(200, {"X-DayLimit-Remaining": "50"}))
    assert budget.why(101.1, "tool")[1] == "day"


def test_tools_keep_to_their_share_of_the_day() -> None:
    budget = known(Limits(tool_day=3))
    now = 100.0
    for _ in range(3):
        budget.sent(now, "tool")
        budget.answered(now, Answer(200))
        now += 10
    assert budget.why(now, "tool")[1] == "day"
    assert budget.may_send(now, "write") == 0


def test_spreading_begins_only_when_the_day_is_short() -> None:
    limits = Limits(day=1000)
    server = ModelServer(limits, True, 0.0)
    budget = Budget(limits, 0.0)
    run = drive(budget, server, [0.05], 0.3, "write", until=60.0)
    assert budget.snapshot(60.0).spacing == 0  # a minute of backfill is no reason to hold anybody back
    drive_on(budget, server, run.sends[-1] + 1, 3600.0)
    assert 20 < budget.snapshot(3600.0).spacing < 200
    assert len(server.arrivals) < 400
    chain = [budget.may_send(3600.0 + 400, "write")]
    assert chain == [0]  # still, an order after a pause goes at once


def drive_on(budget: Budget, server: ModelServer, now: float, until: float) -> list[Answer]:
    """One call at a time, whenever the budget lets it go; their answers."""
    answers = []
    while now < until:
        wait = budget.may_send(now, "write")
        if wait:
            now += wait
            continue
        budget.sent(now, "write")
        answers.append(replace(server.arrive(now), elapsed=0.1))
        budget.answered(now + 0.1, answers[-1])
        now += 0.1
    return answers


def test_a_day_told_by_retry_after_begins_anew() -> None:
    budget = known(Limits(day=1000))
    budget.sent(100.0, "write")
    budget.answered(
        100.1,
        Answer(429, {"X-Rate-Limit-Problem": "day", "Retry-After": "500", "X-DayLimit-Remaining": "0"}),
    )
    assert budget.may_send(100.1, "read_back") > 499
    assert budget.may_send(602.0, "write") == 0


def known(limits: Limits, at: float = 0.0) -> Budget:
    """A budget whose minute is known since `at`."""
    budget = Budget(limits, at)
    budget.sent(at, "read_back")
    budget.answered(
        at + 0.1, Answer(200, {"x-minlimit-remaining": str(limits.minute - 1), "x-daylimit-remaining": "4000"})
    )
    return budget
