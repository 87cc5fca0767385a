"""A lane's threads: one decides (the pure core), one commits, up to five call Xero. What the core says, no more.

Guarantees: the take-over goes init_transactions, ledger, committed offset; the local copy changes only after a commit;
after `close` returns, no call leaves and nothing is committed any more.
"""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, cast

import structlog
from confluent_kafka import Message

from connectors.xero import rebuild
from connectors.xero.budget import Budget, Limits, Snapshot
from connectors.xero.calls import Answer, Call
from connectors.xero.clock import elapsed
from connectors.xero.core import control
from connectors.xero.core.control import Standing
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
from connectors.xero.core.troubles import DAY
from connectors.xero.crash import crash_point
from connectors.xero.errors import LaneLost, LaneRefused, TransactionAborted, XeroError
from connectors.xero.ledger import LedgerStore
from connectors.xero.log import LaneLog
from connectors.xero.metrics import SinkMetrics
from connectors.xero.rebuild import Tools
from connectors.xero.settings import SinkSettings
from connectors.xero.volume import WINDOW, Volume, advice
from schemas import spans
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.types import Command, LedgerEntry

logger = structlog.get_logger()
_LONGEST_SLEEP = 1.0  # seconds a lane sleeps at most
_GAUGES = 1.0  # seconds between looks at the gauges
_HANGS_AFTER = 1.5  # times the transaction's own time-out
_COMMIT_JOIN = 0.2  # seconds between looks at a commit that is waited for
_ABORTED_WAIT = 0.2  # seconds before an aborted transaction is written again: a rebalance takes that long


class Client(Protocol):
    """connectors.xero.client.XeroClient, as the lane uses it."""

    def call(self, call: Call, *, send_by: float | None = None, same_token: str | None = None) -> Answer: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Clock:
    """`mono` must be the clock the client uses for its deadlines."""

    mono: Callable[[], float] = elapsed
    utc: Callable[[], datetime] = lambda: datetime.now(UTC)

    def now(self) -> Moment:
        return Moment(self.mono(), self.utc())


@dataclass(frozen=True, slots=True)
class Incoming:
    """A record as the consumer read it."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class _Done:
    """A transaction is on the log."""

    work: Transact
    values: dict[str, bytes | None]
    offset: int | None


@dataclass(frozen=True, slots=True)
class _Lost:
    error: Exception


class LaneRunner:
    """One life of a lane: `start`, feed `records`, `close`. `group` gives the consumer's metadata of the moment."""

    def __init__(
        self,
        org: str,
        settings: SinkSettings,
        log: LaneLog,
        codec: Codec,
        client: Client,
        limits: Limits,
        clock: Clock,
        metrics: SinkMetrics,
        group: Callable[[], Any],
    ) -> None:
        self.org = org
        self.failure: Exception | None = None
        self.start_offset: int | None = None  # set once taken over: the consumer must read from here
        self.full = False  # the core wants no more records
        self.waits_for = ""  # what a take-over waits for, for a status page
        self._ended = ""  # why the core ended by itself
        self._settings, self._log, self._codec, self._client = settings, log, codec, client
        self._limits, self._clock, self._metrics, self._group = limits, clock, metrics, group
        self._inbox: queue.SimpleQueue[Event | Incoming | _Done | _Lost] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._queued = 0
        self._lock = threading.Lock()
        self._calls = ThreadPoolExecutor(settings.workers, thread_name_prefix=f"xero-{org}")
        # Not a pool: those are waited for at the end of the process, and a commit may hang for ever (see _hangs).
        self._to_commit: queue.SimpleQueue[Transact | None] = queue.SimpleQueue()
        self._committer = threading.Thread(target=self._commit_all, name=f"commit-{org}", daemon=True)
        self._commit_since: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"lane-{org}", daemon=True)
        self._gauges_at = 0.0
        self._paused = ""  # why the lane waits, as its metrics show it
        self._advised: set[str] = set()  # which limits of volume have been said to be passed

    # -- for the consumer's thread ------------------------------------------------------------------------------

    def start(self) -> None:
        self._committer.start()
        self._thread.start()

    def feed(self, record: Incoming) -> None:
        """Never blocks: whoever feeds looks at `hungry` first."""
        with self._lock:
            self._queued += 1
        self._inbox.put(record)

    @property
    def hungry(self) -> bool:
        """Whether it takes more records now."""
        return self.start_offset is not None and not self.full and self._queued < self._settings.queue

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> bool:
        """The lane is over; True if its thread ended in time. Calls in flight end by their own deadline, unheard."""
        self._closing.set()
        self._inbox.put(Revoked())
        self._thread.join(self._settings.close_timeout)
        return not self._thread.is_alive()

    # -- the lane's own thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        store: LedgerStore | None = None
        try:
            self._metrics.opened(self.org, self._limits)
            self._metrics.state(self.org, "taking_over")
            store = LedgerStore(self._settings.state_dir / f"{self.org}.sqlite3", self._codec)
            core = self._take_over(store)
            self._loop(core, store)
            if not self._closing.is_set():
                raise LaneLost(f"{self.org}: {self._ended}. Take over anew.")
            self._metrics.state(self.org, "closed")
        except LaneLost as error:
            self.failure = error
            stopped = self._closing.is_set()  # in the middle of a take-over, which is no failure
            self._metrics.state(self.org, "closed" if stopped else "failed")
            if not stopped:
                logger.error("lane_failed", org=self.org, error=str(error))
        except LaneRefused as error:
            self.failure = error
            self._metrics.state(self.org, "refused")
            logger.error("lane_refused", org=self.org, error=str(error))
        except Exception as error:
            self.failure = error
            self._metrics.state(self.org, "failed")
            expected = isinstance(error, XeroError)
            logger.error("lane_failed", org=self.org, error=str(error), exc_info=None if expected else error)
        finally:
            self._closing.set()
            self._end(store)

    def _take_over(self, store: LedgerStore) -> Lane:
        began = self._clock.mono()
        self._log.fence()
        takeover = self._clock.mono()
        read = self._log.restore(store, self._closing.is_set)
        standing = self._log.standing(store)
        offset = standing.offset
        budget = Budget(self._limits, self._clock.mono())
        self._make_whole(store, standing, budget, takeover)
        decode = cast(Callable[[bytes], Command], self._codec.decode)
        encode = partial(self._codec.encode, "command")
        core = Lane(self.org, self._settings.core, store, budget, uuid.uuid4().hex, decode, encode, takeover)
        self._do(core.handle(Restored(offset), self._clock.now()), core)
        self.start_offset = offset
        self._metrics.state(self.org, "running")
        seconds = round(self._clock.mono() - began, 3)
        logger.info("lane_taken_over", org=self.org, ledger_records=read, offset=offset, seconds=seconds)
        return core

    def _make_whole(self, store: LedgerStore, standing: Standing, budget: Budget, takeover: float) -> None:
        """Rebuild the ledger where that was asked for; where it is lost, wait until somebody asks."""
        tools = Tools(
            self.org, self._settings.core, self._log, store, self._codec, budget, self._client.call, self._calls,
            self._clock.now, self._metrics, self._closing.is_set, self._as_record,
        )  # fmt: skip
        asked = store.get(control.REBUILD)
        if standing.lost and not control.rebuild_wanted(asked):
            self._metrics.state(self.org, "ledger_lost")
            self.waits_for = "ledger lost"
            then = f"`k2x ledger rebuild --org {self.org}` restores it from Xero; until then its orders wait in Kafka"
            logger.error("ledger_lost", org=self.org, why=standing.lost, next=then)
            found = rebuild.await_asked(tools, standing.offset)
            asked = control.rebuild_asked(self.org, found, self._clock.utc())
            self._write(store, {control.REBUILD: asked})
        if asked is not None and control.rebuild_wanted(asked):
            self._metrics.state(self.org, "rebuilding")
            self.waits_for = "rebuilding its ledger"
            path = self._settings.state_dir / f"{self.org}.rebuild.sqlite3"
            rebuild.Rebuild(tools, path, asked, standing.offset, takeover).run()
        elif standing.certify:
            self._write(store, {control.CERTIFICATE: self._log.certificate()})

    def _write(self, store: LedgerStore, entries: dict[str, LedgerEntry]) -> None:
        work = Transact(0, dict(entries))
        values, end = self._log.transact(work, None)
        store.apply(work, values, end)

    def _loop(self, core: Lane, store: LedgerStore) -> None:
        self._wake_at = self._clock.mono()
        while not core.closed:
            event = self._next()
            if self._hangs():
                raise LaneLost(f"{self.org}: a transaction does not end; Kafka's client hangs. Take over anew.")
            if isinstance(event, _Lost):
                raise event.error
            if isinstance(event, _Done):
                store.apply(event.work, event.values, event.offset)
                event = Committed(event.work.tx)
            elif isinstance(event, Incoming):
                with self._lock:
                    self._queued -= 1
                event = self._record(event)
            self._wake_at = self._clock.mono() + _LONGEST_SLEEP
            self._do(core.handle(event, self._clock.now()), core)
            self._gauges(core, store)

    def _next(self) -> Event | Incoming | _Done | _Lost:
        if self._closing.is_set():
            return Revoked()
        try:
            return self._inbox.get(timeout=max(0.0, self._wake_at - self._clock.mono()))
        except queue.Empty:
            return Tick()

    def _as_record(self, message: Message) -> Record:
        headers = tuple((name, value or b"") for name, value in message.headers() or [])
        return self._record(Incoming(message.offset() or 0, message.key(), message.value(), headers))

    def _record(self, record: Incoming) -> Record:
        value, command, problem = record.value or b"", None, ""
        try:
            decoded = self._codec.decode(value)
            if "command_id" in decoded and decoded["org"] == self.org:
                command = cast(Command, decoded)
            else:
                problem = f"it is not a command of {self.org}"
        except SchemaError as error:
            problem = str(error)
        return Record(record.offset, record.key, value, record.headers, command, problem)

    def _do(self, actions: list[Action], core: Lane) -> None:
        for action in actions:
            match action:
                case Transact():
                    self._to_commit.put(action)
                case Send():
                    self._metrics.sent(self.org, action)
                    links = _traces(core, action.call_id) if spans.on() else ()
                    self._calls.submit(self._call, action, links)
                case Wake(at):
                    self._wake_at = min(at, self._clock.mono() + _LONGEST_SLEEP)
                case Pause():
                    self.full = True
                case Resume():
                    self.full = False
                case Close(reason):
                    self._ended = reason
                    return

    def _gauges(self, core: Lane, store: LedgerStore) -> None:
        now = self._clock.mono()
        if now < self._gauges_at:
            return
        self._gauges_at = now + _GAUGES
        snapshot = core.planner.budget.snapshot(now)
        self._metrics.budget(self.org, snapshot)
        self._metrics.work(
            self.org,
            batches=len(core.planner.batches),
            orders=len(core.desk.jobs),
            read_backs=sum(len(queue) for queue in core.desk.lookups.values()),
            waiting=store.counts()["waiting"],
            now=self._clock.utc(),
        )
        self._show_pause(core, snapshot)
        short = snapshot.spacing > 0 or snapshot.reason in DAY
        self._show_volume(Volume(store.posted_since(self._clock.utc().date() - WINDOW), short))

    def _show_volume(self, volume: Volume) -> None:
        self._metrics.volume(self.org, volume)
        for reason, text in advice(volume).items():
            if reason not in self._advised:
                logger.warning("volume_exceeded", org=self.org, reason=reason, text=text)
                self._advised.add(reason)

    def _show_pause(self, core: Lane, budget: Snapshot) -> None:
        wait, why = core.troubles.pause()
        reason = ""
        if wait > self._settings.core.moment:
            reason = "xero" if budget.wait + 1.0 < wait else "day" if budget.reason in DAY else "limit"
        if bool(reason) != bool(self._paused):
            logger.warning("lane_paused" if reason else "lane_goes_on", org=self.org, why=why, seconds=round(wait))
        self._paused = reason
        self._metrics.paused(self.org, reason, wait)
        self._metrics.state(self.org, "paused" if reason else "running")

    def _end(self, store: LedgerStore | None) -> None:
        self._to_commit.put(None)
        while self._committer.is_alive() and not self._hangs():
            self._committer.join(_COMMIT_JOIN)
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._log.close()
        self._client.close()
        if store is not None:
            store.close()

    # -- other threads ------------------------------------------------------------------------------------------

    def _hangs(self) -> bool:
        """Whether a commit has outlived its transaction, which the broker has aborted by then.

        librdkafka's send_offsets_to_transaction knows no time-out while the group's coordinator is away, and may not
        notice that it is back (its issues 5456 and 5511, seen here after a kill of the broker): such a commit is left
        to itself. Whatever it still does is fenced by the next take-over.
        """
        since = self._commit_since
        return since is not None and self._clock.mono() - since > self._settings.transaction_timeout * _HANGS_AFTER

    def _commit_all(self) -> None:
        while (work := self._to_commit.get()) is not None:
            self._commit_since = self._clock.mono()
            self._commit(work)
            self._commit_since = None

    def _commit(self, work: Transact) -> None:
        if self._closing.is_set():
            return
        began = self._clock.mono()
        try:
            values, offset = self._log.transact(work, self._group())
        except TransactionAborted as error:
            logger.warning("transaction_aborted", org=self.org, error=str(error))
            self._metrics.aborted.labels(self.org).inc()
            self._closing.wait(_ABORTED_WAIT)
            self._inbox.put(Aborted(work.tx))
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, the lane cannot know what is on the log
            self._inbox.put(_Lost(error if isinstance(error, XeroError) else LaneLost(f"{self.org}: {error!r}")))
            return
        crash_point("after_ledger")
        self._metrics.committed(self.org, work, self._clock.mono() - began)
        self._inbox.put(_Done(work, values, offset))

    def _call(self, send: Send, links: tuple[str, ...] = ()) -> None:
        if self._closing.is_set():
            return
        if send.call.writes:
            crash_point("before_send", send.call.purpose)
            crash_point("after_send", send.call.purpose)
        try:
            answer = self._client.call(send.call, send_by=send.send_by, same_token=send.same_token)
        except Exception as error:  # noqa: BLE001 - the client promises not to raise; if it does, nobody knows what was sent
            self._inbox.put(_Lost(error))
            return
        if send.call.writes:
            crash_point("after_answer", send.call.purpose)
        self._metrics.answered(self.org, send.call, answer)
        if spans.on():
            self._leave_span(send, answer, links)
        self._inbox.put(Answered(send.call_id, answer))

    def _leave_span(self, send: Send, answer: Answer, links: tuple[str, ...]) -> None:
        """One call carries many orders: it begins a trace of its own, linked to each of theirs."""
        ended = self._clock.utc().timestamp()
        status = str(answer.doubt) if answer.doubt is not None else answer.status
        of: dict[str, str | int] = {
            "k2x.org": self.org, "k2x.documents": send.documents, "k2x.answer": str(status),
        }  # fmt: skip
        name = f"xero {send.call.purpose}"
        spans.record(spans.Span(name, ended - answer.elapsed, ended, None, links, of, failed=not answer.ok))


def _traces(core: Lane, call_id: int) -> tuple[str, ...]:
    """The traces of the orders whose documents a call carries."""
    batch = core.planner.batches.get(call_id)
    found = (job.command["traceparent"] for document in (batch.documents if batch else ()) for job in document.jobs)
    return tuple(dict.fromkeys(trace for trace in found if trace))
