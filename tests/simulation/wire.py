"""From the sink to Xero and back: what connectors.xero.client does with a call, by events, and what the network does.

Tokens and the reading of an answer are the real code. A call's bytes leave once; what the network breaks, loses or
delays is drawn at that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from connectors.xero.auth import AccessToken, CustomConnection, Grant
from connectors.xero.calls import Answer, Doubt
from connectors.xero.client import read_answer
from connectors.xero.core.events import Send
from connectors.xero.errors import IdentityUnreachable
from tests.simulation.xero import TOKEN_LIFE, Reply, Request

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

_NEAR, _FAR = 0.01, 0.08  # seconds on the way, one direction
_BREAKS = 5.0  # seconds after which a broken connection is noticed at the latest
Done = Callable[[Answer], None]


class Identity:
    """The token endpoint."""

    def __init__(self, world: World) -> None:
        self.world = world

    def client_credentials(self, scopes: tuple[str, ...]) -> Grant:
        if self.world.chance("identity", self.world.weather.call_faults / 4):
            raise IdentityUnreachable("the identity service does not answer")
        return Grant(self.world.xero.grant(), TOKEN_LIFE)


class Wire:
    """One process's connections. `tokens` is that of production."""

    def __init__(self, world: World, process: Process) -> None:
        self.world, self.process = world, process
        self.random = Random(f"wire {world.weather.seed} {process.name}")
        self.tokens = CustomConnection(Identity(world), clock=process.mono)  # type: ignore[arg-type]

    def call(self, owner: object, org: str, send: Send, done: Done) -> None:
        """As XeroClient.call: one answer, by the deadline."""
        _Exchange(self, owner, org, send, done).begin()


class _Exchange:
    """One call: at most one request, or two after a 401 that did nothing."""

    def __init__(self, wire: Wire, owner: object, org: str, send: Send, done: Done) -> None:
        self.wire, self.owner, self.org, self.send = wire, owner, org, send
        self.world, self.process, self.loop = wire.world, wire.process, wire.world.loop
        self._done = done
        self.started = self.process.mono()
        self.ends = self.started + send.call.deadline
        self.limit = self.ends if send.send_by is None else min(self.ends, send.send_by)
        self.renewed = send.same_token is not None
        self.trip = 0  # of the request that is heard
        self.over = False

    def begin(self) -> None:
        same = self.send.same_token
        if same is not None:
            held = self.wire.tokens.held(same)
            if held is None:
                self._end(Answer(0, detail=f"token {same} is no longer held: read back instead of repeating"))
                return
            self._connect(held)
            return
        self._with_token(self.wire.tokens.token)

    def _with_token(self, get: Callable[[], AccessToken]) -> None:
        try:
            self._connect(get())
        except IdentityUnreachable as error:
            self._end(Answer(0, detail=str(error)))

    def _connect(self, token: AccessToken) -> None:
        self.process.later(self.wire.random.uniform(0.0005, 0.02), partial(self._check, token))

    def _check(self, token: AccessToken) -> None:
        if self.process.mono() > self.limit:
            self._end(Answer(0, detail="too late to send: the intention lapses"), token)
            return
        # Between this look at the clock and the socket write a process may freeze: DESIGN §3.2.
        self.process.later(0.0001, partial(self._write, token), "at_socket")

    def _write(self, token: AccessToken) -> None:
        now, call, random = self.loop.now, self.send.call, self.wire.random
        fault = self.world.call_fault(self.org, call)
        started = now - (self.process.mono() - self.started)
        request = Request(self.org, token.value, token.id, call, fault, self.owner, self.send.call_id, started, now)
        request.latest = started + call.deadline
        self.trip += 1
        heard = partial(self._heard, self.trip, token)
        self.world.departed(request, self.send, self.process.mono() > self.limit)
        self.process.later(max(0.0, self.ends - self.process.mono()), partial(heard, Doubt.TIMEOUT))
        way = self.world.call_delay(random.uniform(_NEAR, _FAR))
        breaks = random.uniform(0.05, _BREAKS) if random.random() < 0.7 else None  # else nothing is ever heard
        arrives: float | None = way
        match fault:
            case "refused":
                self.loop.after(way, partial(self.process.later, 0.0, partial(heard, None)))
                return
            case "request_lost":
                arrives = None
            case "late":
                arrives = random.uniform(1.0, call.deadline - 2.0)
            case "too_late":
                arrives = call.deadline + random.uniform(1.0, 120.0)
            case "slow":
                request.slow = random.uniform(2.0, call.deadline * 0.98 - self.world.weather.latency)
        if arrives is not None:
            silent = fault in {"answer_lost", "late", "too_late"}
            answered = (lambda reply: None) if silent else partial(self._back, heard)
            self.loop.after(arrives, partial(self.world.xero.arrive, request, answered))
        if fault in {"request_lost", "answer_lost", "late", "too_late"} and breaks is not None:
            self.process.later(breaks, partial(heard, Doubt.DROPPED))

    def _back(self, heard: Callable[[Reply], None], reply: Reply) -> None:
        way = self.wire.random.uniform(_NEAR, _FAR)
        self.loop.after(way, partial(self.process.later, 0.0, partial(heard, reply)))

    def _heard(self, trip: int, token: AccessToken, what: Reply | Doubt | None) -> None:
        """The first word about the request that is under way; later ones are of no interest."""
        if self.over or trip != self.trip:
            return
        if what is None:
            self._end(Answer(0, detail="not connected: refused"), token)
        elif isinstance(what, Doubt):
            self._end(Answer(0, doubt=what, detail="the connection broke" if what is Doubt.DROPPED else ""), token)
        else:
            answer = read_answer(self.send.call, what.status, what.headers, what.body, cut=False)
            if answer.status == 401 and not self.renewed:
                self.renewed, self.trip = True, self.trip + 1
                self._with_token(partial(self._fresh, token.id))
            else:
                self._end(answer, token)

    def _fresh(self, refused: str) -> AccessToken:
        return self.wire.tokens.renew(refused)

    def _end(self, answer: Answer, token: AccessToken | None = None) -> None:
        if self.over:
            return
        self.over = True
        elapsed = self.process.mono() - self.started
        self._done(
            Answer(
                answer.status,
                answer.headers,
                answer.body,
                answer.doubt,
                answer.detail,
                token_id=token.id if token is not None else "",
                elapsed=elapsed,
            )
        )
