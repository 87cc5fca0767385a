"""The consumer group: which process owns which organisation, and how that changes when one dies, freezes or joins."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.owner import Owner
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

_REOPEN = 5.0  # seconds before a lane that failed is taken over again
_CLOSE = 10.0  # seconds that a revoked lane may take to stop


class Group:
    """`owners`: whom the group thinks to be the owner; a zombie thinks so too."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.owners: dict[str, Owner] = {}
        self._turn: dict[str, int] = {}  # of an organisation: an older plan to open it is void

    def open(self, org: str, process: Process | None = None) -> None:
        """Somebody takes over: `process`, or whoever is fit."""
        world = self.world
        fit = [host.process for host in world.hosts if host.process.alive and not host.process.frozen]
        if process is None or process not in fit:
            process = world.random.choice(fit) if fit else None
        if process is None:
            self.give(org, 1.0)
            return
        if world.chance("offset_lost", world.weather.offset_lost):
            world.broker.of[org].committed = None
        former = process.owners.get(org)
        if former is not None and not former.closed:
            former.revoke()  # a consumer hears of what it has lost before it hears of what it is given
        owner = Owner(world, process, org)
        world.count("take-overs")
        self.owners[org] = process.owners[org] = owner
        owner.start()

    def give(self, org: str, delay: float, process: Process | None = None) -> None:
        """Open it later, unless somebody else is told to before."""
        turn = self._turn[org] = self._turn.get(org, 0) + 1
        self.world.loop.after(delay, lambda: self.open(org, process) if self._turn[org] == turn else None)

    def reopen(self, owner: Owner) -> None:
        """After a LaneLost: the same process, if it still is the owner for the group."""
        if self.owners.get(owner.org) is owner:
            self.give(owner.org, _REOPEN, owner.process)

    def left(self, process: Process) -> None:
        """The process is gone or silent: in time the group gives its organisations to others."""
        for org, owner in self.owners.items():
            if owner.process is process:
                self.give(org, self.world.random.choice((0.5, 3.0, 10.0, 45.0)) * self.world.random.uniform(0.8, 1.2))

    def woken(self, process: Process) -> None:
        """It finds out soon which lanes it has lost; until then it believes in them."""
        for org, owner in list(process.owners.items()):
            process.later(self.world.random.uniform(0.0, 3.0), partial(self._found_out, org, owner))

    def _found_out(self, org: str, owner: Owner) -> None:
        if self.owners.get(org) is not owner:
            owner.revoke()
        elif owner.closed:
            self.reopen(owner)

    def rebalance(self, org: str) -> None:
        """A member joins or leaves: the owner closes its lane first, then the next one opens it."""
        owner = self.owners.get(org)
        if owner is None or owner.process.frozen or not owner.process.alive:
            return
        self.world.count("rebalances")
        owner.process.later(self.world.random.uniform(0.0, _CLOSE), owner.revoke)
        others = [host.process for host in self.world.hosts if host.process is not owner.process]
        target = self.world.random.choice(others) if others else owner.process
        self.give(org, _CLOSE + self.world.random.uniform(0.0, 2.0), target)
