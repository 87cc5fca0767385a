"""Xero's limits and a backlog: the lane waits as long as it must, keeps the reserve, fails nobody, and goes on."""

from __future__ import annotations

import math
from collections import Counter

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
            return Answer(
                429, headers | ({"retry-after": str(int(left) + 1)} if self.retry_after else {}), token_id="t"
            )
        taken.append(call)
        answer = self._do(call, now)
        headers = {**answer.headers, "x-daylimit-remaining": str(self.calls - len(taken))}
        return Answer(answer.status, headers, answer.body, answer.doubt, token_id="t", elapsed=0.2)


def _backlog(calls: int, reserve: int, **fields: object) -> tuple[World, CountedDay]:
    """Five hours before the day begins anew; 7 calls go to reference data."""
    world = World(limits=Limits(day=calls, day_reserve=reserve), **fields)  # type: ignore[arg-type]
    day = CountedDay(world, calls)
    world.start().run(60, until=lambda: False)
    return world, day


def test_a_backlog_at_the_end_of_the_day_waits_for_the_reset_and_keeps_the_reserve() -> None:
    """Somebody else has used up the day but for the reserve and a few calls."""
    world, day = _backlog(calls=400, reserve=100)
    day.days[-1] += [day.days[-1][0]] * (400 - 100 - len(day.days[-1]) - 4)
    for hour in range(4):
        world.at(hour * HOUR, lambda hour=hour: world.put(*(sale(100 * hour + n) for n in range(50))), None)  # type: ignore[misc]
    world.run(RESET - 1 - world.mono, until=lambda: False)
    assert len(day.days[-1]) <= 400 - 100 + 5, "one look an hour into the reserve: has the day begun anew?"
    assert not world.letters
    assert "the calls of the day are used up" in {r["message"] for r in world.results if r["outcome"] == "WAITING"}
    assert world.outcomes().count("POSTED") < 100
    world.run(DAY)
    assert world.outcomes().count("POSTED") == 200
    assert not world.letters
    assert not day.refused


def test_while_the_day_is_spread_orders_are_brought_to_their_end_one_batch_after_another() -> None:
    """17 calls for a day with 200 orders: three calls for 50 of them, and the reference data has to wait."""
    world, day = _backlog(calls=32, reserve=8)
    world.put(*(sale(n) for n in range(200)))
    world.run(RESET - 1 - world.mono, until=lambda: False)
    spent = Counter(call.purpose for call in day.days[-1][7:])
    assert spent == Counter(contacts=1, invoices=1, payments=1), "no second chain is begun before the first has ended"
    assert world.outcomes().count("POSTED") == 50
    world.run(2 * DAY)
    assert world.outcomes().count("POSTED") == 200


def test_a_read_back_may_use_the_reserve() -> None:
    """The last write's answer is lost: what became of it is not left open until tomorrow."""
    world, day = _backlog(calls=100, reserve=50)
    day.days[-1] += [day.days[-1][0]] * (100 - 50 - len(day.days[-1]) - 3)
    original = world._fault

    world._fault = lambda call: "500_after" if call.path == "Invoices" and call.writes else original(call)  # type: ignore[method-assign]
    world.put(*(sale(n) for n in range(10)))
    world.run(RESET - 1 - world.mono, until=lambda: "ADOPTED" in world.outcomes("invoice"))
    assert "ADOPTED" in world.outcomes("invoice")
    assert world.mono < RESET - HOUR
    assert day.days[-1][-1].purpose == "read_back"
    assert len(day.days[-1]) > 100 - 50
    world._fault = original  # type: ignore[method-assign]
    world.run(DAY)
    assert world.outcomes().count("POSTED") == 10


@pytest.mark.parametrize("problem", ["day", "minute"])
def test_hours_of_retry_after_are_obeyed_without_a_call_and_the_backlog_stays_in_kafka(problem: str) -> None:
    world = World()
    world.start().run(60, until=lambda: False)
    original, until = world.xero.do, world.mono + 3 * HOUR
    world.xero.do = lambda call, now: (  # type: ignore[method-assign]
        Answer(429, {"x-rate-limit-problem": problem, "retry-after": str(int(until - now) + 1)}, token_id="t")
        if now < until
        else original(call, now)
    )
    world.put(*(sale(n) for n in range(800)))
    world.run(60, until=lambda: False)
    sends = len(world.sends)
    assert sends - 8 <= 5, "what was in flight when Xero said it"
    world.run(until - world.mono, until=lambda: False)
    assert len(world.sends) == sends
    assert world.lane is not None
    assert len(world.lane.desk.jobs) <= world.settings.held_in_memory
    assert world.offset < 800, "the rest waits where it is safe"
    assert not world.letters
    world.run(6 * HOUR)
    assert world.outcomes().count("POSTED") == 800


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
