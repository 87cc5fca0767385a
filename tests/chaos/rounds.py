"""The rounds, as data: what is done to whom, how often. Each ends when trade has recovered in every organisation.

Recovered: an order that the receiver accepted after the blow is posted and paid in Xero, in each organisation.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from tests.chaos.evidence import LateCall, late_calls
from tests.chaos.pulse import Pulse
from tests.chaos.world import NAMES, SINKS, WORKERS, ChaosWorld, dice, until

# A bound, not a measure: a loaded machine may be slow, but trade that has not come back by then has not recovered.
_RECOVERY_S = 300.0
_DEAD_FIRST_S = 8.0  # killed sinks have to start anew before they can take over


@dataclass
class Arena:
    """What a blow may use. `notes` and `late` (calls of sinks that were woken) are for the report and the judge."""

    world: ChaosWorld
    pulse: Pulse
    orgs: Sequence[str]
    notes: list[str] = field(default_factory=list)
    late: list[LateCall] = field(default_factory=list)

    async def recovered(self, since: datetime) -> float:
        """Wait until trade has come back; seconds since the blow. TimeoutError names the silent organisations."""
        try:
            await until(lambda: self.pulse.posted_since(since, self.orgs), "trade recovers", _RECOVERY_S)
        except TimeoutError:
            silent = ", ".join(self.pulse.silent(since, self.orgs))
            raise TimeoutError(f"no order accepted after {since.isoformat()} was posted in {silent}") from None
        return (datetime.now(UTC) - since).total_seconds()


Blow = Callable[[Arena, Random, int], Awaitable[Sequence[float]]]
"""(arena, dice, which time) → seconds until each recovery."""


@dataclass(frozen=True)
class Round:
    """`times` in the full form; the short form does `short` of them (0: none)."""

    name: str
    what: str
    blow: Blow
    times: int
    short: int = 0


@dataclass
class Outcome:
    """What a round did. Times are Unix seconds."""

    name: str
    what: str
    times: int
    begun: float
    ended: float
    orders: int
    recoveries: list[float]
    notes: list[str]


async def carry_out(arena: Arena, one: Round, times: int, seed: int) -> Outcome:
    """One round, from the first blow to the last recovery."""
    random, begun, before = dice(seed, one.name), time.time(), await arena.world.placed()
    recoveries: list[float] = []
    arena.notes = []
    for nth in range(times):
        await asyncio.sleep(random.uniform(0.2, 1.5))
        recoveries += await one.blow(arena, random, nth)
        arena.world.check()
    orders = await arena.world.placed() - before
    return Outcome(one.name, one.what, times, begun, time.time(), orders, recoveries, arena.notes)


# -- blows --------------------------------------------------------------------------------------------------------


def at_point(point: str, purposes: Sequence[str] = ("",)) -> Blow:
    """kill -9 of whichever sink passes the point first, for each of the purposes in turn."""

    async def blow(arena: Arena, random: Random, nth: int) -> Sequence[float]:
        purpose = purposes[nth % len(purposes)]
        order = f"{point}@{purpose}:{random.randint(1, 3)}" if purpose else f"{point}:{random.randint(1, 6)}"
        await arena.world.crash(order)
        return [await arena.recovered(datetime.now(UTC))]

    return blow


async def other_money(arena: Arena, random: Random, nth: int) -> Sequence[float]:
    """kill -9 of a sink whose call has just left: money that goes back, what a gateway keeps, what it pays out. A
    gateway pays out only when it is told to."""
    purpose = _OTHER_MONEY[nth % len(_OTHER_MONEY)]
    falling = asyncio.create_task(arena.world.crash(f"after_send@{purpose}:1"))
    if purpose.startswith("bank"):
        await until(arena.world.order_file.exists, "the order to fall is given")
        await arena.world.pay_out()
    await falling
    return [await arena.recovered(datetime.now(UTC))]


def killed(*names: str) -> Blow:
    """kill -9 of one of them, at a random time."""

    async def blow(arena: Arena, random: Random, nth: int) -> Sequence[float]:
        await asyncio.sleep(random.uniform(0.0, 3.0))
        await arena.world.kill(random.choice(names))
        return [await arena.recovered(datetime.now(UTC))]

    return blow


async def broker(arena: Arena, random: Random, nth: int) -> Sequence[float]:
    """kill -9 of Kafka, and the same Kafka again."""
    await asyncio.sleep(random.uniform(0.0, 3.0))
    since = datetime.now(UTC)
    await arena.world.kill_broker()
    return [await arena.recovered(since)]


async def xero(arena: Arena, random: Random, nth: int) -> Sequence[float]:
    """kill -9 of Xero with calls under way."""
    await asyncio.sleep(random.uniform(0.0, 3.0))
    since = datetime.now(UTC)
    await arena.world.kill_xero()
    return [await arena.recovered(since)]


async def zombie(arena: Arena, random: Random, nth: int) -> Sequence[float]:
    """SIGSTOP of the sink with the most organisations, until others serve them; then SIGCONT."""
    await asyncio.sleep(random.uniform(0.0, 3.0))
    pid = await arena.world.alive(await arena.world.busiest_sink())
    os.kill(pid, signal.SIGSTOP)
    return await _outlived(arena, pid)


def frozen_at(*orders: str) -> Blow:
    """SIGSTOP at a point, until others serve its organisations; then SIGCONT."""

    async def blow(arena: Arena, random: Random, nth: int) -> Sequence[float]:
        name = await arena.world.crash(f"{orders[nth % len(orders)]}:{random.randint(1, 2)} STOP")
        return await _outlived(arena, arena.world.pid(name))

    return blow


async def _outlived(arena: Arena, pid: int) -> Sequence[float]:
    """A frozen sink's organisations are served by others; then it is woken and finds that they are not its own."""
    stopped = datetime.now(UTC)
    first = await arena.recovered(stopped)
    await asyncio.sleep(max(0.0, arena.world.tempo.freeze - (datetime.now(UTC) - stopped).total_seconds()))
    woken = datetime.now(UTC)
    os.kill(pid, signal.SIGCONT)
    second = await arena.recovered(woken)
    found = late_calls(arena.world.directory, stopped.timestamp(), woken.timestamp())
    arena.late += found
    arena.notes += [str(call) for call in found] or ["nothing left it after it was woken"]
    return [first, second]


async def late_commit(arena: Arena, random: Random, nth: int) -> Sequence[float]:
    """Xero carries a call out long after its deadline, when its sender is dead and others have posted its orders."""
    path = ("Payments", "Invoices")[nth % 2]
    late = arena.world.tempo.freeze + _DEAD_FIRST_S
    await arena.world.stall_next(path, late)
    since = datetime.now(UTC)
    await asyncio.gather(*(arena.world.kill(name) for name in SINKS))
    back = await arena.recovered(since)
    await asyncio.sleep(max(0.0, late + 2.0 - (datetime.now(UTC) - since).total_seconds()))
    found = late_calls(arena.world.directory, since.timestamp(), since.timestamp() + late - 1.0)
    arena.late += found
    arena.notes += [str(call) for call in found] or ["the stalled call came to nothing"]
    return [back]


async def storm(arena: Arena, random: Random, nth: int) -> Sequence[float]:
    """A third sink joins, takes an organisation over if it gets one, and leaves: asked to, or by kill -9."""
    world, log = arena.world, arena.world.directory / "logs" / "sink-3.log"
    known = log.stat().st_size if log.exists() else 0
    await world.start_process("sink-3")
    await until(lambda: log.stat().st_size > known, "the third sink speaks")
    await asyncio.sleep(random.uniform(2.0, 5.0))
    since = datetime.now(UTC)
    if nth % 2:
        os.kill(await world.alive("sink-3"), signal.SIGKILL)
    await world.supervisor.retire("sink-3")
    return [await arena.recovered(since)]


async def everybody(arena: Arena, random: Random, nth: int) -> Sequence[float]:
    """kill -9 of every process, Xero too, within a few seconds and in random order."""
    names = [*NAMES, "xero"]
    random.shuffle(names)
    since = datetime.now(UTC)
    for name in names:
        await (arena.world.kill_xero() if name == "xero" else arena.world.kill(name))
        await asyncio.sleep(random.uniform(0.0, 0.6))
    return [await arena.recovered(since)]


_WRITES = ("contacts", "invoices", "payments")
_OTHER_MONEY = ("refunds", "bank_transactions", "bank_transfers", "credit_notes")
_AT_SOCKET = ("at_socket@payments", "at_socket@invoices")
ROUNDS: tuple[Round, ...] = (
    Round("before_send", "a sink is killed before its call leaves", at_point("before_send", _WRITES), 3),
    Round("after_send", "… after it has left", at_point("after_send", _WRITES[::-1]), 3, 1),
    Round("after_answer", "… after Xero's answer", at_point("after_answer", _WRITES[1:] + _WRITES[:1]), 3),
    Round("after_ledger", "… after a transaction", at_point("after_ledger"), 3),
    Round("before_commit", "… with a transaction open", at_point("before_commit"), 3, 1),
    Round("other_money", "… with a refund, fee or payout under way", other_money, 4),
    Round("workers", "a streams worker is killed", killed(*WORKERS), 4),
    Round("receiver", "the receiver is killed", killed("receiver"), 3),
    Round("reader", "the reader of hints is killed", killed("reader"), 3),
    Round("writeback", "the write-back is killed", killed("writeback"), 3),
    Round("sinks", "a sink is killed at any moment", killed(*SINKS), 4),
    Round("broker", "Kafka is killed and started", broker, 2, 1),
    Round("xero", "Xero is killed and started", xero, 3),
    Round("zombie", "a sink is frozen past every wait, then woken", zombie, 2),
    Round("frozen", "… with an answer or a transaction in hand", frozen_at("after_answer", "before_commit"), 2),
    Round("at_socket", "… between the clock and the socket write", frozen_at(*_AT_SOCKET), 4, 1),
    Round("late_commit", "Xero acts after the deadline, the sinks dead", late_commit, 2),
    Round("storm", "a third sink joins and leaves", storm, 4),
    Round("everybody", "all are killed within seconds", everybody, 2, 1),
)
