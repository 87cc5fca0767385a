"""One life of a lane, as connectors.xero.lane.LaneRunner leads it, by events: take-over, records, actions, close."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from connectors.xero.budget import Budget
from connectors.xero.calls import Answer
from connectors.xero.core import control
from connectors.xero.core.events import (
    Aborted,
    Action,
    Answered,
    Close,
    Committed,
    Event,
    Moment,
    Pause,
    Record,
    Restored,
    Resume,
    Revoked,
    Send,
    Tick,
    Transact,
    Wake,
)
from connectors.xero.core.lane import Lane
from schemas.errors import SchemaError
from schemas.types import Command
from tests.connectors.xero.core.world import CODEC
from tests.simulation.broker import Stored

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

_POLL = 20  # records that the consumer hands over at once
_SLEEP = 1.0  # seconds that a lane sleeps at most, while anything happens
_LONGEST_SLEEP = 3600.0  # where nothing has happened for long: what is due is known, so nothing comes late
_ABORTED_WAIT = 0.2
_IDENTITY = "simulated"  # of the topics
_REVOKED = "revoked"
_Values = dict[str, bytes | None]


class Owner:
    """`start`; then it runs until it is `closed`."""

    def __init__(self, world: World, process: Process, org: str) -> None:
        self.world, self.process, self.org = world, process, org
        self.name = f"{org}@{process.name}#{world.next_life()}"
        self.log = world.broker.of[org]
        self.core: Lane | None = None
        self.epoch = 0
        self.takeover = 0.0
        self.closed = False
        self.full = False
        self.position = 0  # of the consumer
        self.flight = 0  # calls that it waits for
        self.store = process.host.store(org)
        self._polling = False
        self._sleep = _SLEEP
        self._tick_at: float | None = None

    # -- take-over ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.process.later(self._way(), self._fence, "fence")

    def _fence(self) -> None:
        self.world.loop.after(self._way(), self._fenced)

    def _fenced(self) -> None:
        """At the broker: from here on no former owner commits."""
        self.epoch = self.world.broker.fence(self.org)
        self.process.later(self._way(), self._restore, "restore")

    def _restore(self) -> None:
        if self.closed:
            return
        self.takeover = self.process.mono()
        self.store = self.process.host.store(self.org)  # a former owner here may have thrown its half-read copy away
        start = self.store.resume_from(_IDENTITY, 0, self.log.ledger_end)
        records = self.world.broker.ledger_from(self.org, start)
        half = len(records) // 2
        self.store.load(records[:half], start)  # a reader may end here too, its place in the topic unmoved
        self.process.later(self._way(), partial(self._restored, records[half:], self.log.ledger_end), "offset")

    def _restored(self, records: list[tuple[str, bytes | None]], end: int) -> None:
        if self.closed:
            return
        self.store.load(records, end)
        self.store.loaded()
        certificate, kept = self.store.get(control.CERTIFICATE), self.store.get(control.OFFSET)
        standing = control.standing(
            control.Facts(
                empty=self.store.empty,
                certified=certificate["extra"]["commands"] if certificate else None,
                kept=kept["command_offset"] if kept else None,
                group=self.log.committed,
                commands=_IDENTITY,
                low=0,
                high=self.log.end,
            )
        )
        if standing.lost and self.epoch != self.log.epoch:
            self.lost("a newer owner has been at work since the ledger was read")
            return
        if standing.lost:
            self.world.judge.fail("the ledger is whole", f"{self.name}: {standing.lost}")
        if standing.certify:
            entry = control.certificate(self.org, _IDENTITY, self.process.utc())
            self._write(Transact(0, {control.CERTIFICATE: entry}), partial(self._begin, standing.offset))
        else:
            self._begin(standing.offset)

    def _begin(self, offset: int) -> None:
        self.position = offset
        decode = cast(Callable[[bytes], Command], CODEC.decode)
        budget = Budget(self.world.weather.limits, self.process.mono())
        encode = partial(CODEC.encode, "command")
        nonce = f"{self.world.weather.seed}-{self.name}"
        self.core = Lane(
            self.org, self.world.weather.settings, self.store, budget, nonce, decode, encode, self.takeover
        )
        self.world.say(self.name, "owns the lane from offset {}", offset)
        self.world.judge.taken_over(self.org, offset)
        self.handle(Restored(offset))

    # -- events -------------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """One event, and its actions one after another, each in its own thread's time."""
        core = self.core
        if self.closed or core is None:
            return
        process = self.process
        quiet = True
        wake = float("inf")
        for action in core.handle(event, Moment(process.mono(), process.utc())):
            if isinstance(action, Wake):
                wake = action.at
            else:
                quiet = False
                self._do(action)
        if quiet and isinstance(event, Tick):
            self._sleep = min(self._sleep * 4, _LONGEST_SLEEP)
        else:
            self._sleep = _SLEEP
        if not self.closed:
            self.world.judge.handled(self, core)
            self._sleep_until(wake)
            self.pump()

    def _do(self, action: Action) -> None:
        later = partial(self.process.later, self.process.random.uniform(0.0001, 0.002))
        match action:
            case Transact():
                self.world.judge.submitted(self, action)
                later(partial(self._transact, action), "before_commit")
            case Send():
                self.flight += 1
                self.world.judge.decided(self, action)
                later(partial(self._send, action), "before_send")
            case Pause():
                self.full = True
            case Resume():
                self.full = False
            case Close(reason):
                self.closed = True
                if reason != _REVOKED:
                    self.world.group.reopen(self)

    def _sleep_until(self, wake: float) -> None:
        now = self.process.mono()
        at = max(now, min(wake, now + self._sleep))
        if self._tick_at is None or at < self._tick_at:
            self._tick_at = at
            self.process.later(at - now, partial(self._tick, at), "tick")

    def _tick(self, at: float) -> None:
        if self._tick_at == at:
            self._tick_at = None
            self.handle(Tick())

    # -- records ------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """The consumer reads on while records are wanted."""
        if not self._polling and not self.full and not self.closed and self.core and self.position < self.log.end:
            self._polling = True
            self.process.later(self.process.random.uniform(0.0005, 0.01), self._poll, "record")

    def _poll(self) -> None:
        for stored in self.log.read(self.position, self.process.random.randint(1, _POLL)) if not self.full else ():
            self.position = stored.offset + 1
            self.handle(self._record(stored))
            if self.world.chance("again", 0.01):
                self.handle(self._record(stored))  # a consumer that was moved back reads a record twice
        self._polling = False
        self.pump()

    def _record(self, stored: Stored) -> Record:
        command, problem = None, ""
        try:
            command = cast(Command, CODEC.decode(stored.value))
        except SchemaError as error:
            problem = str(error)
        return Record(stored.offset, stored.key, stored.value, stored.headers, command, problem)

    # -- calls --------------------------------------------------------------------------------------------------

    def _send(self, send: Send) -> None:
        if self.closed:
            return
        self.process.wire.call(self, self.org, send, partial(self._answered, send))

    def _answered(self, send: Send, answer: Answer) -> None:
        self.process.later(0.0, partial(self._tell_answer, send, answer), "after_answer")

    def _tell_answer(self, send: Send, answer: Answer) -> None:
        self.flight -= 1
        self.world.judge.answered(self, send, answer)
        self.handle(Answered(send.call_id, answer))

    # -- transactions -------------------------------------------------------------------------------------------

    def _transact(self, work: Transact) -> None:
        for result in work.results:
            CODEC.encode("result", result)
        if self.world.chance("abort", self.world.weather.aborts):
            self.process.later(self._way() + _ABORTED_WAIT, partial(self.handle, Aborted(work.tx)))
            return
        self._write(work, lambda: self.handle(Committed(work.tx)))

    def _write(self, work: Transact, then: Callable[[], None]) -> None:
        """As LaneLog.transact: all of it, and the offset in the ledger too; `then` after the copy has it."""
        if self.closed:
            return
        entries = dict(work.entries)
        if work.offset is not None:
            entries[control.OFFSET] = control.offset(self.org, work.offset, self.process.utc())
        values: _Values = {k: None if e is None else CODEC.encode("ledger", e) for k, e in entries.items()}
        if self.world.chance("ack_lost", self.world.weather.acks_lost):
            if self.process.random.random() < 0.5:  # on the log or not, the owner cannot know
                self.world.loop.after(self._way(), partial(self._commit, work, values))
            self.process.later(self._way() * 2, partial(self.lost, "whether the transaction happened is unknown"))
        else:
            self.world.loop.after(self._way(), partial(self._at_broker, work, values, then))

    def _commit(self, work: Transact, values: _Values) -> int | None:
        end = self.world.broker.commit(self.org, self.epoch, work, values)
        if end is not None:
            self.world.judge.committed(self, work)
        return end

    def _at_broker(self, work: Transact, values: _Values, then: Callable[[], None]) -> None:
        end = self._commit(work, values)
        if end is None:
            self.process.later(self._way(), partial(self.lost, "fenced"))
        else:
            self.process.later(self._way(), partial(self._committed, work, values, end, then), "after_commit")

    def _committed(self, work: Transact, values: _Values, end: int, then: Callable[[], None]) -> None:
        if self.closed:
            return
        self.store.apply(work, values, end if values else None)
        then()

    # -- ends ---------------------------------------------------------------------------------------------------

    def revoke(self) -> None:
        """The group has given the organisation to somebody else."""
        self.world.say(self.name, "is revoked")
        if self.core is not None:
            self.handle(Revoked())
        self.end()

    def end(self) -> None:
        """It does nothing more."""
        if self.core is None and not self.closed:
            self.process.host.half_read(self.org)
        self.closed = True

    def lost(self, why: str) -> None:
        """LaneLost: the lane is taken over anew, by this process if the group still thinks so."""
        if self.closed:
            return
        self.world.say(self.name, "is lost: {}", why)
        self.end()
        self.world.group.reopen(self)

    def _way(self) -> float:
        return self.world.weather.kafka * self.process.random.uniform(0.5, 2.0)

    def describe(self) -> dict[str, Any]:
        core = self.core
        if core is None:
            return {"owner": self.name, "closed": self.closed}
        desk = core.desk
        return {
            "owner": self.name,
            "jobs": list(desk.jobs)[:5],
            "batches": [(b.step, b.state, b.lookup, b.again_at) for b in core.planner.batches.values()][:5],
            "position": (self.position, self.log.committed, self.log.end),
            "waiting": self.store.next_waiting(),
            "full": self.full,
        }
