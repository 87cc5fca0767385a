"""What `k2x backfill` does: an instance's history by REST to Kafka, behind live orders, under one owner at a time.

Live orders go first: a batch is sent only while fewer orders and commands are unfinished than `outstanding`, counted as
what streams has not taken of the orders topic and what the sink has not finished of each organisation's commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from connectors.kentico.backfill import History, Plan, Span, plan
from connectors.kentico.bringing import Bringer
from connectors.kentico.cursors import BACKFILL, Cursors
from connectors.kentico.ownership import Ownership
from connectors.kentico.settings import InstanceSettings, PollerSettings
from connectors.kentico.sources import table_source
from k2x.audit.log import read_to_end
from k2x.backfill.words import said
from k2x.errors import ConfigError, K2xError
from k2x.group_offsets import GroupOffsets, Place
from k2x.wiring import consumer_groups
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer
from schemas.types import Backfill

Say = Callable[[Backfill, str | None], None]

_LOOK_S = 0.25
_SAY_S = 5.0
_LOOKUPS_S = 3600.0  # a history's lookups need not be fresher
_TAKE_S = 30.0


class Unfinished:
    """Orders and commands that are on Kafka and not at their end yet."""

    def __init__(self, kafka: Mapping[str, Any], orgs: Iterable[str]) -> None:
        self._groups = GroupOffsets(kafka)
        names = consumer_groups()
        self._streams, self._sink = names.streams, names.sink
        found = self._groups.partitions()
        missing = [t for t in (topics.ORDERS, *map(topics.commands, orgs)) if t not in found]
        if missing:
            raise K2xError(f"{missing[0]} does not exist: `k2x topics apply` creates it")
        self._orders = {(topics.ORDERS, partition) for partition in range(found[topics.ORDERS])}
        self._commands: set[Place] = {(topics.commands(org), 0) for org in orgs}

    def count(self) -> int:
        """Of the organisation with the most. Orders are looked at first: what moves on meanwhile counts twice."""
        orders = sum(self._groups.lag(self._streams, self._orders).values())
        return orders + max(self._groups.lag(self._sink, self._commands).values(), default=0)


class Room:
    """Lets a batch go when there is room behind live orders; `most` 0: always. `stop` ends the waiting."""

    def __init__(self, unfinished: Unfinished | None, most: int, stop: asyncio.Event) -> None:
        self._unfinished = unfinished
        self._most = most
        self._stop = stop
        self.waiting: str | None = None

    async def __call__(self, under_way: int) -> None:
        """`under_way`: orders of the batches that are being read, with the one that asks."""
        while self._unfinished is not None and not self._stop.is_set():
            found = await asyncio.to_thread(self._unfinished.count)
            if found + under_way <= self._most:
                break
            self.waiting = f"{found:,} orders and commands are unfinished (do streams and the sink run?)"
            await asyncio.sleep(_LOOK_S)
        self.waiting = None


class Backfilling:
    """One instance's history. Use `plan` and `run` inside one event loop, then `close`."""

    def __init__(self, instance: InstanceSettings, codec: Codec) -> None:
        if instance.rest is None:
            raise ConfigError(f"instances.{instance.name} has no rest: its history cannot be read")
        self._instance = instance
        self._codec = codec
        self._source = table_source(instance, instance.rest, _LOOKUPS_S)
        self._cursors = Cursors(instance.name, instance.zone, codec)

    async def close(self) -> None:
        await self._source.rest.close()

    async def plan(self, span: Span, cutovers: Mapping[str, date | None], *, measured: bool) -> Plan:
        """What `run` would do; `measured`: and how long it takes."""
        return await plan(self._instance, self._source, span, cutovers, measured=measured)

    async def run(
        self,
        kafka: Mapping[str, Any],
        span: Span,
        orgs: Iterable[str],
        stop: asyncio.Event,
        *,
        outstanding: int,
        restart: bool,
        say: Say,
    ) -> Backfill | None:
        """Bring what an earlier run of the same span left, or all of it. K2xError where another is at it."""
        group = f"k2x-backfill-{self._instance.name}"
        session = PollerSettings.model_fields["session_timeout_s"].default
        ownership = Ownership(kafka, group, session, lambda key: key == self._key)
        deliverer = Deliverer(kafka)
        try:
            records = await ownership.take(stop, _TAKE_S)
            if records is None:
                if stop.is_set():
                    return None
                raise K2xError(f"another backfill of {self._instance.name} is running: let it end, or stop it")
            state = resumed(self._cursors.backfill(records), span, restart, self._instance.name)
            room = Room(Unfinished(kafka, orgs) if outstanding else None, outstanding, stop)
            bringer = Bringer(
                self._instance,
                self._codec,
                deliverer,
                _utc_now,
                self._source.reading,
                PollerSettings.model_fields["max_record_bytes"].default,
                component="backfill",
                remembers=False,
            )
            history = History(
                self._instance,
                self._source.rest,
                bringer,
                self._cursors,
                deliverer,
                _utc_now,
                span,
                state,
                room=room,
                progress=say,
            )
            telling = asyncio.create_task(_tell(history, room, say))
            ending = asyncio.create_task(_end_when_lost(ownership.lost, stop))
            try:
                return await history.run(stop)
            finally:
                telling.cancel()
                ending.cancel()
        finally:
            await ownership.close()
            deliverer.close()

    @property
    def _key(self) -> bytes:
        return f"{self._instance.name}|{BACKFILL}".encode()


async def _tell(history: History, room: Room, say: Say) -> None:
    """Say why it waits, while it does."""
    while True:
        await asyncio.sleep(_SAY_S)
        if room.waiting is not None and history.state is not None:
            say(history.state, room.waiting)


async def _end_when_lost(lost: asyncio.Event, stop: asyncio.Event) -> None:
    await lost.wait()
    stop.set()


def resumed(found: Backfill | None, span: Span, restart: bool, instance: str) -> Backfill | None:
    """What to go on from; None: from the beginning. K2xError where something else is unfinished, or it is done."""
    if found is None or restart:
        return None
    wanted = (span.since.isoformat(), span.until.isoformat() if span.until else None)
    same = wanted == (found["since"], found["until"])
    if found["finished_at"] is None:
        if same:
            return found
        raise K2xError(
            f"a backfill of {instance} {said(found)} is unfinished ({found['delivered']:,} of {found['total']:,} "
            "orders): go on with the same days, or give --restart to begin these instead"
        )
    if same:
        raise K2xError(
            f"the backfill of {instance} {said(found)} was finished on {found['finished_at']:%Y-%m-%d %H:%M} UTC "
            f"({found['delivered']:,} orders). Give --restart to read it once more; nothing is posted twice by it"
        )
    return None


def standing(kafka: Mapping[str, Any], codec: Codec) -> list[tuple[str, Backfill]]:
    """Every instance's backfill as it stands on Kafka."""
    found: dict[str, Backfill] = {}
    for message in read_to_end(kafka, [topics.CURSORS]):
        instance, _, kind = (message.key() or b"").decode("utf-8", "replace").partition("|")
        if kind == BACKFILL and message.value():
            found[instance] = codec.decode(message.value() or b"")["backfill"]
    return sorted(found.items())


def _utc_now() -> datetime:
    return datetime.now(UTC)
