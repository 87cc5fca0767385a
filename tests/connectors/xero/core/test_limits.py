"""Xero's limits and a backlog: the lane waits as long as it must, keeps the reserve, fails nobody, and goes on."""

from __future__ import annotations

import math

import pytest

from connectors.xero.budget import Limits
from connectors.xero.calls import Answer, Call
from tests.connectors.xero.commands import sale
from tests.connectors.xero.core.world import World

HOUR, DAY = 3600.0, 86_400.0
RESET = 1000.0 + 5 * HOUR  # of Xero's day, on the world's clock


class CountedDay:
    """Xero's day in front of the books: a fixed window, its headers, and a 429 when it is used up."""

    def __init__(self, world: World, calls: int, retry_after: bool = True) -> None:
        self.world, self.calls, self.retry_after = world, calls, retry_after
        self.days: dict[int, list[Call]] = {}
        self.refused: list[float] = []
        self._do = world.xero.do
        world.xero.do = self.do  # type: ignore[method-assign]

    def do(self, call: Call, now: float) -> Answer:
        day = math.floor((now - RESET) / DAY)
        taken = self.days.setdefault(day, [])
        if len(taken) >= self.calls:
            self.refused.append(now)
            headers = {"x-rate-limit-problem": "day", "x-daylimit-remaining": "0", "x-minlimit-remaining": "60"}
            left = RESET + (day + 1) * DAY - now
            return Answer(429, headers | ({"retry-after": str(int(left) + 1)} if self.retry_after else {}), token_id="t")
        taken.append(call)
        answer = self._do(call, now)
        headers = {**answer.headers, "x-daylimit-remaining": str(self.calls - len(taken))}
        return Answer(answer.status, headers, answer.body, answer.doubt, token_id="t", elapsed=0.2)


def _backlog(calls: int, reserve: int, **fields: object) -> tuple[World, CountedDay]:
    """Five hours before the day begins anew; 8 calls go to reference data."""
    world = World(limits=Limits(day=calls, day_reserve=reserve), **fields)  # type: ignore[arg-type]
    day = CountedDay(world, calls)
    world.start().run(60, until=lambda: False)
    return world, day


def test_a_backlog_at_the_end_of_the_day_waits_for_the_reset_and_keeps_the_reserve() -> None:
    world, day = _backlog(calls=40, reserve=15)
    for hour in range(4):
        world.at(hour * HOUR, lambda hour=hour: world.put(*(sale(100 * hour + n) for n in range(100))), None)  # type: ignore[misc]
    world.run(RESET - 1 - world.mono, until=lambda: False)
    posted = world.outcomes().count("POSTED")
    assert 0 < posted < 400
    used = day.days[-1]
    looks = 5  # one an hour into the reserve, to see whether the day has begun anew
    assert len(used) <= 40 - 15 + looks
    assert not world.letters
    assert {r["message"] for r in world.results if r["outcome"] == "WAITING"} == {"the calls of the day are used up"}
    assert world.lane is not None
    assert world.lane.troubles.pause()[0] > 0
    world.run(DAY)
    assert world.outcomes().count("POSTED") == 400
    assert not world.letters
    assert not day.refused


def test_a_read_back_may_use_the_reserve() -> None:
    """The last write's answer is lost: what became of it is not left open until tomorrow."""
    world, day = _backlog(calls=22, reserve=10)
    original = world._fault

    def losing(call: Call) -> str:
        last = call.writes and len(day.days[-1]) == 22 - 10 - 1
        return "500_after" if last else original(call)

    world._fault = losing  # type: ignore[method-assign]
    world.put(*(sale(n) for n in range(10)))
    world.run(2 * HOUR, until=lambda: "ADOPTED" in world.outcomes("invoice") + world.outcomes("payment"))
    assert world.mono < RESET - HOUR
    assert [c.purpose for c in day.days[-1]][-1] == "read_back"
    world.run(DAY)
    assert world.outcomes().count("POSTED") == 10


@pytest.mark.parametrize("problem", ["day", "minute"])
def test_hours_of_retry_after_are_obeyed_without_a_call_and_the_backlog_stays_in_kafka(problem: str) -> None:
    world = World()
    world.start().run(60, until=lambda: False)
    original, until = world.xero.do, world.mono + 66_975
    world.xero.do = lambda call, now: (  # type: ignore[method-assign]
        Answer(429, {"x-rate-limit-problem": problem, "retry-after": str(int(until - now) + 1)}, token_id="t")
        if now < until
        else original(call, now)
    )
    world.put(*(sale(n) for n in range(2000)))
    world.run(60, until=lambda: False)
    sends = len(world.sends)
    assert sends - 8 <= 5, "what was in flight when Xero said it"
    world.run(until - world.mono, until=lambda: False)
    assert len(world.sends) == sends
    assert world.lane is not None
    assert len(world.lane.desk.jobs) <= world.settings.held_in_memory
    assert world.offset < 2000, "the rest waits where it is safe"
    assert not world.letters
    world.run(6 * HOUR)
    assert world.outcomes().count("POSTED") == 2000


@pytest.mark.parametrize("problem", ["concurrent", "app-minute", "minute", ""])
def test_any_limit_for_ten_minutes_fails_nobody_and_is_nobodys_attempt(problem: str) -> None:
    world = World()
    world.start().run(60, until=lambda: False)
    original, until = world.xero.do, world.mono + 600
    headers = {"x-rate-limit-problem": problem} if problem else {}
    world.xero.do = lambda call, now: (  # type: ignore[method-assign]
        Answer(429, headers, token_id="t") if now < until else original(call, now)
    )
    world.put(*(sale(n) for n in range(60)))
    world.run(3600)
    assert world.outcomes().count("POSTED") == 60
    assert not world.letters
    assert len([at for at in world.sent_at if at < until]) < 150
    writes = [s for s in world.sends if s.call.writes]
    assert len({s.call.body for s in writes}) == len({s.call.idempotency_key for s in writes}), "no key was used up"
