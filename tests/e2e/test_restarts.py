"""Every process, Xero and the broker are killed by -9 in mid-flow: every order still has its one right end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from k2x.demo.run import settle
from k2x.demo.world import PROCESSES, World

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(300)]

_ORDERS, _RATE = 120, 8.0  # fifteen seconds of flow
# Whom, in the order of the flow, then Xero itself. A kill comes after each further share of the orders is placed.
_VICTIMS = (*PROCESSES, "xero")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "data")
    try:
        await world.start(lambda step: None)
        yield world
    finally:
        await world.stop()


async def trade(world: World, orders: int, rate: float) -> None:
    await world.post("kentico", "/_sandbox/target", {"url": world.url("receiver")})
    wanted = {"orders": orders, "rate": rate, "seed": "restarts", "must_fail": True, "hold_edits": True}
    await world.post("kentico", "/_sandbox/trade", wanted)


async def placed(world: World, count: int) -> None:
    """Wait until the shops have placed `count` orders, and see that more are to come."""
    progress = await world.get("kentico", "/_sandbox/trade")
    while progress["placed"] < count and progress["running"]:
        await asyncio.sleep(0.05)
        progress = await world.get("kentico", "/_sandbox/trade")
    assert progress["running"], "the kill must come in mid-flow"


async def kill(world: World, name: str) -> int:
    """kill -9; the pid of the dead."""
    process = world.supervisor.children[name].process
    assert process is not None
    assert process.returncode is None, f"{name} is down before it was killed"
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    return process.pid


async def kill_kafka(world: World) -> None:
    """kill -9 of the Java process; then the same broker again, on the same port and data."""
    broker = world.broker
    assert broker is not None
    assert broker.pid is not None
    before = broker.bootstrap
    (java,) = Path(f"/proc/{broker.pid}/task/{broker.pid}/children").read_text("utf-8").split()
    os.kill(int(java), signal.SIGKILL)
    await asyncio.to_thread(broker.stop)
    assert await asyncio.to_thread(broker.start) == before


async def ended_well(world: World, orders: int) -> None:
    """Every order has its one end, whatever was killed meanwhile."""
    seen = await settle(world, lambda line: None)
    total = seen.total
    faults = [(v.key, v.state, v.doubled, v.drift) for v in seen.verdicts if v.state == "lost" or v.doubled or v.drift]
    assert (total.lost, total.doubled, total.drift) == (0, 0, 0), faults
    assert (total.waiting, total.parked) == (0, 0)
    assert total.orders_in == orders == len(seen.expected)
    assert total.paid == total.posted
    wrong = {v.key: v.state for v in seen.verdicts if v.state != end_of(seen.expected[v.key])}
    assert wrong == {}, "an order ended otherwise than the shop meant it to"


def end_of(expected: str) -> str:
    """What the shop says of an order when it places it → how k2x must end with it."""
    if expected.startswith("refused:"):
        return "dead_lettered"
    return {"payable": "posted", "held_later": "posted", "suppressed": "suppressed"}[expected]


async def test_every_process_is_killed_in_mid_flow_and_every_order_ends_as_it_must(world: World) -> None:
    await trade(world, _ORDERS, _RATE)
    killed = {}
    for number, name in enumerate(_VICTIMS, 1):
        await placed(world, number * _ORDERS // (len(_VICTIMS) + 2))
        killed[name] = await kill(world, name)
    await placed(world, (len(_VICTIMS) + 1) * _ORDERS // (len(_VICTIMS) + 2))
    await kill_kafka(world)
    await ended_well(world, _ORDERS)
    for name, pid in killed.items():
        child = world.supervisor.children[name]
        assert child.restarts == 1, f"{name} was killed once and must have started once more"
        assert child.process is not None
        assert child.process.pid != pid
        assert child.process.returncode is None
