"""One streams worker as a process: copies first, then agents; stops cleanly on SIGTERM and SIGINT.

Guarantee: what is confirmed is on the broker. A clean stop confirms the batch under way; any other end confirms
nothing more, and the next start takes up where the last confirmation stands.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import faust
import structlog
from prometheus_client import start_http_server

from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer
from schemas.ids import CommittedIds
from streams.app import Agent, Batches, add_agents, build_app
from streams.compacted import Follower
from streams.contacts import Contacts
from streams.errors import PortTaken
from streams.flow import Compiler
from streams.guard import Clock, Delivery, Guard
from streams.items import Items
from streams.metrics import Metrics
from streams.orders import Orders
from streams.outputs import Incoming, Outputs
from streams.parked import Feed, Parking
from streams.reference_copy import ReferenceCopy
from streams.results import Results
from streams.rules_copy import RulesCopy
from streams.settings import StreamsSettings
from streams.settlements import Settlements
from streams.stores import Stores
from streams.workflow import WorkflowCompiler

log = structlog.get_logger("k2x.streams")

_REST_S = 20.0  # a batch under way takes 0.3 s; more means the broker is away, and then it comes again anyway
_REPEAT_S = 30.0  # aiokafka writes a thousand equal lines while a broker restarts (measured): one in 30 s is enough


def utc_now() -> datetime:
    return datetime.now(UTC)


def run_worker(
    settings: StreamsSettings, codec: Codec | None = None, clock: Clock = utc_now, compiler: Compiler | None = None
) -> None:
    """Run until SIGTERM or SIGINT. Raises what made it stop otherwise: a StreamsError, NotDelivered, or a bug."""
    Worker(settings, compiler or WorkflowCompiler(), codec or Codec(CommittedIds()), clock).run()


class Worker:
    """Everything of one process. run() once, from the main thread: it installs the signal handlers."""

    def __init__(
        self,
        settings: StreamsSettings,
        compiler: Compiler,
        codec: Codec,
        clock: Clock,
        metrics: Metrics | None = None,
    ) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._metrics = metrics or Metrics()
        self._codec = codec
        self._clock = clock
        self._failure: BaseException | None = None
        self._stores = Stores(settings, compiler, self._metrics)
        self._delivery = Deliverer(settings.kafka, settings.delivery_timeout_s)
        self._app = build_app(settings)
        self._parking = Parking(
            settings.kafka, settings.group_id, parked_topics(settings), self._stores.ready, self._metrics,
            settings.backlog_check_s,
        )  # fmt: skip
        self._copies = self._followers()
        self._batches: list[Batches] = []

    def run(self) -> None:
        quiet_libraries()
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._serve_metrics()
        try:
            self._catch_up()
            self._loop.run_until_complete(self._parking.check_topics())
            self._batches = add_agents(self._app, self._settings, self._agents(), self._parking, self._metrics)
            self._stores.on_change(self._organisations_changed)
            self._run_faust()
        finally:
            for copy in self._copies:
                copy.stop()
        if self._failure is not None:
            raise self._failure

    def _run_faust(self) -> None:
        worker = _FaustWorker(self._app, self._at_rest, loop=self._loop)
        log.info("worker_starts", worker=self._settings.worker, stores=len(self._settings.stores))
        try:
            worker.execute_from_commandline()
        except SystemExit as end:
            if self._failure is None and (end.code or worker.crash_reason):
                self._failure = worker.crash_reason or RuntimeError(f"Faust ended with code {end.code}")
        log.info("worker_ended", worker=self._settings.worker, failed=self._failure is not None)

    async def _at_rest(self) -> None:
        """Let the batches under way finish and be confirmed; begin no others."""
        try:
            await asyncio.wait_for(asyncio.gather(*(batches.rest() for batches in self._batches)), _REST_S)
        except TimeoutError:
            log.warning(
                "batch_abandoned", hint="The broker does not answer. Nothing of it was confirmed; it comes again."
            )
        await self._parking.close()

    def _agents(self) -> list[Agent]:
        settings, outputs = self._settings, Outputs(self._settings, self._codec)
        orders = Orders(settings, self._codec, self._stores, outputs, self._parking, self._metrics)
        contacts = Contacts(settings, self._codec, self._stores, outputs, self._parking, self._metrics)
        items = Items(settings, self._codec, self._stores, outputs, self._parking, self._metrics)
        settlements = Settlements(settings, self._codec, self._stores, outputs, self._parking, self._metrics)
        results = Results(settings, self._codec, self._stores, self._metrics)

        def guard(handler: Any) -> Guard:
            return Guard(handler, outputs, self._delivery, self._metrics, self._clock)

        agents = []
        sources = (
            (orders, topics.ORDERS),
            (contacts, topics.CUSTOMERS),
            (items, topics.PRODUCTS),
            (settlements, topics.SETTLEMENTS),
        )
        for handler, source in sources:
            live = settings.topic(source)
            replays = [replay for replay, of in settings.replay_topics.items() if of == live]
            agents.append(Agent(handler.agent, (live, *replays), guard(handler)))
            self._parking.on_feed(
                self._parking.parked_topic(live), feed(guard(handler), handler, self._delivery, self._clock)
            )
        agents.append(Agent(results.agent, (settings.topic(topics.RESULTS),), guard(results), parks=False))
        return agents

    def _followers(self) -> list[Follower]:
        settings = self._settings
        reference = ReferenceCopy(self._codec, settings.orgs, self._stores.set_reference)
        rules = RulesCopy(self._codec, settings.orgs, self._stores.set_rules)
        return [
            Follower(settings.kafka, settings.topic(topics.RULES), rules, self._copy_failed),
            Follower(settings.kafka, settings.topic(topics.REFERENCE), reference, self._copy_failed),
        ]

    def _catch_up(self) -> None:
        started = time.monotonic()
        for copy in self._copies:
            copy.start()
        for copy in self._copies:
            copy.wait(self._settings.catch_up_timeout_s - (time.monotonic() - started))
        seconds = round(time.monotonic() - started, 2)
        ready = [org for org in self._settings.orgs if self._stores.ready(org)]
        log.info("copies_read", seconds=seconds, ready=ready, waiting=sorted(set(self._settings.orgs) - set(ready)))

    def _copy_failed(self, error: BaseException) -> None:
        """From a follower's thread: a worker with stale copies must not go on."""
        self._failure = error
        self._loop.call_soon_threadsafe(lambda: asyncio.ensure_future(self._app.crash(error)))

    def _organisations_changed(self) -> None:
        """From a follower's thread, which may outlive the loop by a moment."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._parking.organisations_changed)

    def _serve_metrics(self) -> None:
        settings = self._settings
        if settings.metrics_port is not None:
            try:
                server, _ = start_http_server(settings.metrics_port, settings.metrics_host, self._metrics.registry)
            except OSError as error:
                raise PortTaken(
                    f"metrics cannot be served at {settings.metrics_host}:{settings.metrics_port}: {error.strerror}. "
                    "Does another worker run here? Set ports.metrics.streams to another port, or to 0 for a free one."
                ) from error
            log.info("metrics_served", host=settings.metrics_host, port=server.server_port)


def feed(guard: Guard, handler: Any, delivery: Delivery, clock: Clock) -> Feed:
    """How parked records go through an agent's handler: past its gate, within its guard."""

    async def give_back(parked: Sequence[tuple[Incoming, str]]) -> None:
        records = []
        for source, org in parked:
            records += guard.one(source, lambda s, now, org=org: handler.again(s, org, now))  # type: ignore[misc]
        await delivery.deliver(records)

    return give_back


def parked_topics(settings: StreamsSettings) -> dict[str, str]:
    """Source topic → parked topic, by real names; replayed records park with the live ones."""
    name = settings.topic
    sources = {
        name(topics.ORDERS): name(topics.PARKED),
        name(topics.CUSTOMERS): name(topics.CUSTOMERS_PARKED),
        name(topics.PRODUCTS): name(topics.PRODUCTS_PARKED),
        name(topics.SETTLEMENTS): name(topics.SETTLEMENTS_PARKED),
    }
    return sources | {replay: sources[live] for replay, live in settings.replay_topics.items()}


class _FaustWorker(faust.Worker):  # type: ignore[misc]
    """Faust's own, but it comes to rest before it stops, and leaves logging and the terminal to us."""

    def __init__(self, app: Any, at_rest: Callable[[], Awaitable[None]], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False)
        self._at_rest = at_rest
        self.spinner = None

    async def _stop_on_signal(self, signal: Any) -> None:
        await self._at_rest()
        await super()._stop_on_signal(signal)

    def _setproctitle(self, info: str, *, ident: str = "") -> None:
        """The process keeps the name that the user started it by."""


class _OnceInAWhile(logging.Filter):
    """Lets a library's line through once in `_REPEAT_S` seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now, line = time.monotonic(), f"{record.name}:{record.lineno}"
        if now - self._last.get(line, -_REPEAT_S) < _REPEAT_S:
            return False
        self._last[line] = now
        return True


def quiet_libraries() -> None:
    """Warnings and errors of Faust's parts, each line once in a while; a filter works only on the logger that logs."""
    once = _OnceInAWhile()
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in list(logging.Logger.manager.loggerDict):
        if name.split(".")[0] in {"faust", "mode", "aiokafka"}:
            logging.getLogger(name).addFilter(once)
