"""A sink process: its clocks, its threads' doings, and how it ends, freezes and wakes with everything still in hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from connectors.xero.ledger import LedgerStore
from tests.connectors.xero.core.world import CODEC
from tests.simulation.wire import Wire

if TYPE_CHECKING:
    from tests.simulation.owner import Owner
    from tests.simulation.world import World

Todo = Callable[[], object]


class Host:
    """A machine: it keeps its clocks and the local copies while processes come and go."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        random = Random(f"host {world.weather.seed} {name}")
        self.booted = -random.uniform(1e3, 1e6)
        self.shift = random.uniform(-2.0, 2.0)  # of the wall clock
        self.process = Process(world, self, 1)
        self._stores: dict[str, LedgerStore] = {}

    def store(self, org: str) -> LedgerStore:
        """The local copy, as it was left."""
        if org not in self._stores:
            self._stores[org] = LedgerStore(None, CODEC)
        return self._stores[org]

    def half_read(self, org: str) -> None:
        """An owner ended while it read the ledger for the first time: what it had read is thrown away."""
        if self._stores[org]._cold:
            self._stores.pop(org).close()

    def restart(self) -> None:
        """A new process; now and then on an empty disk."""
        if self.world.chance("copy lost", self.world.weather.copy_lost):
            for store in self._stores.values():
                store.close()
            self._stores.clear()
        self.process = Process(self.world, self, self.process.life + 1)


class Process:
    """`later` is how everything in it happens: a dead process does nothing more, a frozen one does it when it wakes."""

    def __init__(self, world: World, host: Host, life: int) -> None:
        self.world, self.host, self.life = world, host, life
        self.name = f"{host.name}.{life}"
        self.random = Random(f"process {world.weather.seed} {self.name}")
        self.alive, self.frozen = True, False
        self.owners: dict[str, Owner] = {}
        self.wire = Wire(world, self)
        self._held: list[tuple[Todo, str]] = []

    def mono(self) -> float:
        return self.world.loop.now - self.host.booted

    def utc(self) -> datetime:
        return self.world.loop.utc(self.host.shift)

    def later(self, delay: float, todo: Todo, point: str = "") -> None:
        """In `delay` seconds. `point` names a place at which the process may end or freeze instead."""
        self.world.loop.after(delay, partial(self._now, todo, point))

    def _now(self, todo: Todo, point: str) -> None:
        if not self.alive:
            return
        if self.frozen:
            self._held.append((todo, ""))
            return
        if point:
            fate = self.world.fate(point)
            if fate == "crash":
                self.world.crash(self, point)
                return
            if fate == "freeze":
                self._held.append((todo, ""))
                self.world.freeze(self, point)
                return
        todo()

    def end(self) -> None:
        """kill -9."""
        self.alive = False
        self._held.clear()

    def freeze(self) -> None:
        self.frozen = True

    def wake(self) -> None:
        """SIGCONT: every thread goes on where it stood, in any order."""
        self.frozen = False
        held, self._held = self._held, []
        if self.random.random() < 0.5:
            self.random.shuffle(held)
        for index, (todo, point) in enumerate(held):
            self.later(0.0001 * index, todo, point)
