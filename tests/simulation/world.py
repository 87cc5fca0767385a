"""One seed's world: hosts, group, Kafka, Xero, people, and the storm that goes over them. It draws what goes wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from connectors.xero.calls import Call
from connectors.xero.core.events import Send
from tests.simulation.broker import Broker
from tests.simulation.ends import Ends
from tests.simulation.group import Group
from tests.simulation.hands import Hands
from tests.simulation.judge import Judge
from tests.simulation.loop import Loop
from tests.simulation.office import Office
from tests.simulation.process import Host, Process
from tests.simulation.summaries import Summaries
from tests.simulation.undone import Undone
from tests.simulation.weather import CALL_FAULTS, Weather
from tests.simulation.workload import Workload
from tests.simulation.xero import Judge as XeroJudge
from tests.simulation.xero import Request, Xero

_RESTART = (0.5, 30.0)  # seconds until a dead process is started again
_FREEZE = (0.5, 5.0, 20.0, 60.0, 100.0, 200.0)  # seconds, about: below and above session, lapse and deadline
_HOW_OFTEN = {"record": 0.1, "tick": 0.1, "fence": 8.0, "restore": 8.0, "offset": 8.0}  # points passed often, or seldom
_FOREIGN = (1, 60)  # calls in a burst of another tool


class World:
    """`story` takes (time, who, text) of what happens; None tells nothing and costs nothing."""

    def __init__(self, weather: Weather, story: Callable[[float, str, str], None] | None = None) -> None:
        self.weather, self.story = weather, story
        self.random = Random(f"world {weather.seed}")
        self.calm = False
        self.counts: Counter[str] = Counter()
        self.loop = Loop()
        self.judge = Judge(self)
        self.summaries = Summaries(self)
        self.office = Office(self)
        self.undone = Undone(self)
        self.broker = Broker(self.loop, weather.orgs, Random(f"broker {weather.seed}"))
        self.xero = Xero(self.loop, weather, XeroJudge(self.judge.arrived, self.judge.changed))
        self.hosts = [Host(self, f"host{number}") for number in range(weather.hosts)]
        self.group = Group(self)
        self.workload = Workload(self)
        self.hands = Hands(self)
        self.ends = Ends(self)
        self._lives = 0
        self._kinds, self._weights = list(CALL_FAULTS), list(CALL_FAULTS.values())

    # -- telling ------------------------------------------------------------------------------------------------

    def say(self, who: str, text: str, *parts: Any) -> None:
        if self.story is not None:
            self.story(self.loop.now, who, text.format(*parts))

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def next_life(self) -> int:
        self._lives += 1
        return self._lives

    # -- fate ---------------------------------------------------------------------------------------------------

    def chance(self, what: str, rate: float) -> bool:
        """Whether something goes wrong now."""
        if rate <= 0 or self.calm or self.random.random() >= rate:
            return False
        self.count(f"fault {what}")
        return True

    def fate(self, point: str) -> str:
        """Whether the process that passes this point ends or freezes here."""
        rate = self.weather.point * _HOW_OFTEN.get(point, 1.0)
        if rate <= 0 or self.calm or self.random.random() >= rate:
            return ""
        fate = "crash" if self.random.random() < 0.6 else "freeze"
        self.count(f"fault {fate} {point}")
        return fate

    def call_fault(self, org: str, call: Call) -> str:
        """What happens to the call that leaves now."""
        if self.calm:
            return ""
        now, weather = self.loop.now, self.weather
        fault = next((o.kind for o in weather.outages if o.org == org and o.start <= now < o.end), "")
        if not fault and weather.too_late and call.writes and self.random.random() < weather.too_late:
            fault = "too_late"
        if not fault and weather.call_faults and self.random.random() < weather.call_faults:
            fault = self.random.choices(self._kinds, self._weights)[0]
        if fault:
            self.count(f"fault {fault}")
        return fault

    def call_delay(self, way: float) -> float:
        """How long a request is on its way."""
        return way

    def departed(self, request: Request, send: Send, after_limit: bool) -> None:
        """A request's bytes go out."""
        self.count("calls")
        if self.story is not None:
            text = "{} {} {} ({} documents){}"
            call, fault = send.call, f" -> {request.fault}" if request.fault else ""
            key = (call.idempotency_key or "")[-60:-44]
            self.say(
                str(getattr(request.owner, "name", "")),
                text,
                call.method,
                call.path,
                call.purpose + " " + key,
                send.documents,
                fault,
            )
        self.judge.departed(request, send, after_limit)

    # -- what happens to processes ------------------------------------------------------------------------------

    def crash(self, process: Process, point: str) -> None:
        """kill -9; the host starts a new one."""
        self.count("crashes")
        self.say(process.name, "is killed at {}", point)
        process.end()
        for owner in process.owners.values():
            owner.end()
        self.group.left(process)
        self.loop.after(self.random.uniform(*_RESTART), process.host.restart)

    def freeze(self, process: Process, point: str) -> None:
        """SIGSTOP, and SIGCONT after a while: by then others may own its lanes."""
        if process.frozen or not process.alive:
            return
        self.count("zombies")
        lasts = self.random.choice(_FREEZE) * self.random.uniform(0.5, 1.5)
        self.say(process.name, "freezes at {} for {:.1f} s", point, lasts)
        process.freeze()
        if self.random.random() < 0.8:
            self.group.left(process)
        self.loop.after(lasts, partial(self._wake, process))

    def _wake(self, process: Process) -> None:
        if process.alive and process.frozen:
            self.say(process.name, "wakes")
            process.wake()
            self.group.woken(process)

    # -- the storm ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Everything that the weather has in store gets its time."""
        weather, random, loop = self.weather, self.random, self.loop
        for org in weather.orgs:
            self.group.give(org, random.uniform(0.0, 1.0))
        self.workload.begin()
        self.office.begin()
        whole = min(weather.storm, max(weather.spread * 1.5, 300.0))
        plans: list[tuple[int, Callable[[], object]]] = [
            (weather.crashes, self._any(lambda process: self.crash(process, "any time"))),
            (weather.zombies, self._any(lambda process: self.freeze(process, "any time"))),
            (weather.rebalances, lambda: self.group.rebalance(random.choice(weather.orgs))),
            (weather.clock_jumps, self._jump),
            (weather.foreign, self._foreign),
            (weather.tokens_killed, self._kill_tokens),
            (weather.compactions, lambda: self.broker.compact(random.choice(weather.orgs))),
            (weather.hands, self.hands.work),
        ]
        for times, todo in plans:
            for _ in range(times):
                loop.at(random.uniform(0.0, whole), todo)
        loop.at(weather.storm, self.end_storm)

    def end_storm(self) -> None:
        """From here on nothing goes wrong any more, and everything must come to its end."""
        self.calm = True
        self.say("world", "the storm is over")

    def _any(self, what: Callable[[Process], None]) -> Callable[[], None]:
        def todo() -> None:
            owned = [o.process for o in self.group.owners.values() if o.process.alive and not o.process.frozen]
            if owned:
                what(self.random.choice(owned))

        return todo

    def _jump(self) -> None:
        """A wall clock is set, forwards or back; no monotonic one is."""
        host = self.random.choice(self.hosts)
        by = self.random.choice((-1, 1)) * self.random.choice((1.0, 30.0, 300.0, 3600.0, 3600.0, 86_400.0))
        host.shift += by
        self.count("fault clock jump")
        self.say(host.name, "has its wall clock set by {} s", by)

    def _foreign(self) -> None:
        """Another tool of the same app calls for the same organisation, or for others."""
        org, calls = self.random.choice(self.weather.orgs), self.random.randint(*_FOREIGN)
        if self.random.random() < 0.3:
            self.count("fault app-minute shared")
            self.xero.other_organisations(calls)
            return
        self.count("fault foreign calls")
        self.say("another tool", "makes {} calls to {}", calls, org)
        self.judge.foreign(
            org, self.xero.foreign(org, calls, self.random.choice((0, 2, 5)), self.random.uniform(1, 30))
        )

    def _kill_tokens(self) -> None:
        self.count("fault token killed")
        self.say("xero", "ends all tokens")
        self.xero.kill_tokens()
