"""Turns hints into whole records. Guarantee: an offset of the changes topic is committed only after the order, or its
dead letter, is acknowledged by Kafka; an instance that cannot be read waits and loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import structlog

from connectors.kentico.echo import BEFORE_HEADER, WRITTEN_BACK
from connectors.kentico.events import CUSTOMER, ORDER, SKU
from connectors.kentico.intake import Intake, Taken
from connectors.kentico.lane import Lane
from connectors.kentico.pending import Hint
from connectors.kentico.receiver import Delivers
from connectors.kentico.settings import ReaderSettings
from connectors.kentico.sources import Source, source_of
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import NotDelivered, RegistryUnavailable, SchemaError
from schemas.letters import ErrorClass, Origin, Reason, letter_headers

log = structlog.get_logger()

_READABLE = frozenset({ORDER, CUSTOMER, SKU})
_DRAIN_S = 5.0
_REPEAT_S = 1.0


class Reader:
    """One process's lanes, one for each instance with REST. `run` ends when `stop` is set."""

    def __init__(
        self,
        settings: ReaderSettings,
        kafka: Mapping[str, Any],
        codec: Codec,
        deliver: Delivers,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._deliver = deliver
        self._clock = clock
        self._stop = asyncio.Event()
        self._sources: dict[str, Source] = {}
        self.lanes: dict[str, Lane] = {}
        for instance in settings.instances:
            source = source_of(instance, settings.lookups_refresh_s)
            if source is not None:
                self._sources[instance.name] = source
                self.lanes[instance.name] = Lane(instance, settings, codec, deliver, clock, source.reading, source.name)
        self._intake = Intake(
            kafka,
            settings.group_id,
            topics.CHANGES,
            self._take,
            waiting=lambda: sum(len(lane.waiting) for lane in self.lanes.values()),
            most=settings.pending_max,
            session_timeout_s=settings.session_timeout_s,
            on_revoked=self._drop_revoked,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop` is set, finish the batches under way, commit, and return."""
        self._stop = stop
        log.info("reader.started", instances=sorted(self.lanes), group=self._settings.group_id)
        tasks = [asyncio.create_task(lane.run(stop), name=f"lane-{name}") for name, lane in self.lanes.items()]
        try:
            await self._intake.run(stop)
        finally:
            stop.set()
            for lane in self.lanes.values():
                lane.wake()
            _, late = await asyncio.wait(tasks, timeout=_DRAIN_S) if tasks else (set(), set())
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._intake.close()
            for source in self._sources.values():
                await source.close()
            log.info("reader.stopped", unfinished=len(late))

    def _drop_revoked(self) -> None:
        for lane in self.lanes.values():
            lane.waiting.drop_closed()

    async def _take(self, taken: Taken) -> None:
        try:
            change: Any = await self._decoded(taken)
        except SchemaError as error:
            hint = "upgrade k2x if a newer one wrote it, then `k2x dlt redrive`; else it is no record of ours"
            await self._refuse(taken, Reason(ErrorClass.VALIDATION, "not_decodable", str(error), hint, exception=error))
            return
        if change is None:
            return
        lane = self.lanes.get(change["instance"])
        natural_key = f"{change['instance']}|{change['object_id']}"
        if lane is None:
            message = f"instance {change['instance']!r} has neither rest nor store_api, so its hints cannot be read"
            hint = "add instances.<name>.rest to k2x.yaml and redrive, or send whole orders"
            await self._refuse(taken, Reason(ErrorClass.MAPPING, "no_rest", message, hint, natural_key=natural_key))
        elif change["event_type"] == WRITTEN_BACK:
            lane.mark(change, dict(taken.headers).get(BEFORE_HEADER))
            taken.tracker.done(taken.offset)
        elif change["object_type"] not in _READABLE:
            message = f"objectType {change['object_type']!r} is none of {', '.join(sorted(_READABLE))}"
            reason = Reason(
                ErrorClass.VALIDATION, "object_type", message, "correct the sender", natural_key=natural_key
            )
            await self._refuse(taken, reason)
        elif change["object_type"] not in self._sources[change["instance"]].readable:
            message = f"instance {change['instance']!r} is read by a service that has no {change['object_type']}"
            hint = "nothing is lost for orders; for customers and products add instances.<name>.rest, then redrive"
            await self._refuse(
                taken, Reason(ErrorClass.MAPPING, "not_readable", message, hint, natural_key=natural_key)
            )
        else:
            lane.offer(Hint(taken.tracker, taken.offset, taken.key, taken.value, taken.headers, change))

    async def _decoded(self, taken: Taken) -> Mapping[str, Any] | None:
        """The change; None where the process is stopping before the registry answered."""
        while not self._stop.is_set():
            try:
                return self._codec.decode(taken.value)
            except RegistryUnavailable as error:
                log.warning("reader.registry_unavailable", problem=str(error))
                await self._pause()
        return None

    async def _refuse(self, taken: Taken, reason: Reason) -> None:
        """A record that no lane can take goes to the dead letters, then counts as done."""
        origin = Origin(taken.tracker.topic, taken.tracker.partition, taken.offset, "reader", "take")
        headers = letter_headers(origin, reason, self._clock(), previous=taken.headers)
        letter = Record(topics.dead_letter(topics.CHANGES), taken.key, taken.value, headers)
        while not self._stop.is_set():
            try:
                await self._deliver.deliver([letter])
            except NotDelivered as error:
                log.warning("reader.not_delivered", problem=str(error))
                await self._pause()
                continue
            log.warning("reader.dead_letter", code=reason.code, key=reason.natural_key, problem=reason.message)
            taken.tracker.done(taken.offset)
            return

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), _REPEAT_S)


async def run_reader(
    settings: ReaderSettings,
    kafka: Mapping[str, Any],
    codec: Codec,
    deliver: Delivers,
    stop: asyncio.Event,
    clock: Callable[[], datetime],
) -> None:
    """Read until `stop` is set. `kafka` is librdkafka's configuration (bootstrap, security)."""
    await Reader(settings, kafka, codec, deliver, clock).run(stop)
