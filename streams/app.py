"""The Faust app: batches of events through a guard, confirmed only when the broker has every output of the batch.

Guarantee: at least once. A batch whose outputs were not acknowledged is never confirmed; the worker stops instead, and
the batch comes again. (Faust itself confirms an event whose agent raised, so streams here confirm by hand.)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import faust
import structlog

from streams.metrics import Metrics
from streams.outputs import Source
from streams.parked import Parking
from streams.settings import StreamsSettings, faust_broker, faust_credentials

log = structlog.get_logger("k2x.streams")


class BatchGuard(Protocol):
    """What runs a batch: streams.guard.Guard."""

    async def batch(self, sources: Sequence[Source]) -> None: ...


@dataclass(frozen=True)
class Agent:
    """One agent: its name, the topics it reads (real names), and what handles a batch. `parks`: it may park records."""

    name: str
    topics: tuple[str, ...]
    guard: BatchGuard
    parks: bool = True


class Batches:
    """Runs one agent's batches, one at a time, and can be brought to rest between two of them."""

    def __init__(self, agent: Agent, parking: Parking, crash: Callable[[BaseException], Awaitable[None]]) -> None:
        self._agent = agent
        self._parking = parking
        self._crash = crash
        self._busy = asyncio.Lock()

    async def run(self, stream: Any, size: int, within: float) -> None:
        """Take batches from a Faust stream for ever."""
        batches: AsyncIterator[list[Any]] = stream.noack_take(size, within=within)
        async for events in batches:
            async with self._busy:
                try:
                    await self._handle([event.message for event in events])
                except Exception as error:  # noqa: BLE001 - whatever it is, nothing of this batch may be confirmed
                    log.critical("worker_stops", agent=self._agent.name, events=len(events), error=str(error))
                    await self._crash(error)
                    await asyncio.Event().wait()  # until the worker, which is stopping, cancels us
                for event in events:
                    await stream.ack(event)

    async def rest(self) -> None:
        """Return when the batch under way is confirmed; no other begins afterwards."""
        await self._busy.acquire()

    async def _handle(self, messages: list[Any]) -> None:
        if not self._agent.parks:
            await self._agent.guard.batch(messages)
            return
        async with self._parking.lock(self._agent.topics[0]):
            for topic, partition in {(message.topic, message.partition) for message in messages}:
                await self._parking.prepare(topic, [partition])
            await self._agent.guard.batch(messages)


def build_app(settings: StreamsSettings) -> Any:
    """The Faust app without agents. It creates no topics, keeps no tables and serves no pages."""
    app = faust.App(
        settings.group_id,
        broker=faust_broker(settings.kafka),
        broker_credentials=faust_credentials(settings.kafka),
        broker_client_id=f"{settings.group_id}-{settings.worker}",
        broker_commit_interval=settings.commit_interval_s,
        broker_rebalance_timeout=settings.rebalance_timeout_s,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.heartbeat_s,
        consumer_group_instance_id=settings.worker,
        consumer_auto_offset_reset="earliest",
        processing_guarantee="at_least_once",
        datadir=str(settings.data_dir),
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        stream_wait_empty=False,  # Batches.rest() does it, and only for the batch that has begun
        topic_allow_declare=False,
        topic_disable_leader=True,
        reply_create_topic=False,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    app.finalize()
    return app


def add_agents(
    app: Any, settings: StreamsSettings, agents: Sequence[Agent], parking: Parking, metrics: Metrics
) -> list[Batches]:
    """Subscribe each agent to its topics, and let the parking follow the source partitions that this worker holds."""
    runs = []
    for agent in agents:
        batches = Batches(agent, parking, app.crash)
        runs.append(batches)
        _subscribe(app, settings, agent, batches)
    sources = {topic for agent in agents if agent.parks for topic in agent.topics}

    @app.on_partitions_assigned.connect
    async def on_assigned(_app: Any, assigned: set[Any], **_: Any) -> None:
        metrics.assigned.set(len(assigned))
        metrics.rebalances.inc()
        for tp in assigned:
            if tp.topic in sources:
                await parking.prepare(tp.topic, [tp.partition])

    @app.on_partitions_revoked.connect
    async def on_revoked(_app: Any, revoked: set[Any], **_: Any) -> None:
        for tp in revoked:
            if tp.topic in sources:
                parking.release(tp.topic, [tp.partition])

    @app.task
    async def feed_parked() -> None:
        await parking.run()

    # Signals hold their receivers weakly; they live as long as the app does.
    app.k2x_receivers = (on_assigned, on_revoked, feed_parked)
    return runs


def _subscribe(app: Any, settings: StreamsSettings, agent: Agent, batches: Batches) -> None:
    topic = app.topic(
        *agent.topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", allow_empty=True
    )

    async def run(stream: Any) -> None:
        await batches.run(stream, settings.batch, settings.within_s)

    app.agent(topic, name=f"k2x.{agent.name}", concurrency=1)(run)
