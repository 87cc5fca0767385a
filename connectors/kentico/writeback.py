"""Writes results into custom columns of Kentico's orders, by partial PUT, or PATCH to Xperience. Off by default.

Guarantee: an offset of the write-back topic is committed only after the columns hold the value, or the record is on the
dead letters. An outage is waited out; an order that alone makes Kentico fail is tried for its grace, then is a dead
letter, and holds up no other. Many orders are read in one request before they are written: equal values are not, so a
write-back, its echo and the echo's result end there. A write is a request an order, as Kentico has no other. After it a
mark goes to the changes topic, by which the reader knows the echo (see echo).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

import structlog

from connectors.kentico.intake import Intake, Taken
from connectors.kentico.receiver import Delivers
from connectors.kentico.settings import WritebackSettings
from connectors.kentico.sources import tables_of
from connectors.kentico.writeback_lane import WriteLane
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import NotDelivered, RegistryUnavailable, SchemaError
from schemas.letters import ErrorClass, Origin, Reason, letter_headers
from schemas.types import WriteBack

log = structlog.get_logger()

_DRAIN_S = 5.0
_REPEAT_S = 1.0
_MOST_WAITING = 20_000


class WriteBacks:
    """One process's lanes, one for each instance with REST."""

    def __init__(
        self,
        settings: WritebackSettings,
        kafka: Mapping[str, Any],
        codec: Codec,
        deliver: Delivers,
        clock: Callable[[], datetime],
    ) -> None:
        self.settings = settings
        self.codec = codec
        self.deliver = deliver
        self.clock = clock
        self._stop = asyncio.Event()
        self.lanes = {
            instance.name: WriteLane(self, instance, tables_of(instance, instance.rest))
            for instance in settings.instances
            if instance.rest is not None
        }
        self._intake = Intake(
            kafka,
            settings.group_id,
            topics.WRITEBACK,
            self._take,
            waiting=lambda: sum(len(lane) for lane in self.lanes.values()),
            most=_MOST_WAITING,
            session_timeout_s=settings.session_timeout_s,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Write until `stop` is set, finish what is under way, commit, and return."""
        self._stop = stop
        log.info("writeback.started", instances=sorted(self.lanes), group=self.settings.group_id)
        tasks = [asyncio.create_task(lane.run(stop), name=f"writeback-{name}") for name, lane in self.lanes.items()]
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
            for lane in self.lanes.values():
                await lane.rest.close()
            log.info("writeback.stopped", unfinished=len(late))

    async def refuse(self, taken: Taken, reason: Reason) -> str | None:
        """Send a record to the dead letters; the problem where Kafka does not acknowledge."""
        origin = Origin(taken.tracker.topic, taken.tracker.partition, taken.offset, "writeback", "write")
        headers = letter_headers(origin, reason, self.clock(), previous=taken.headers)
        try:
            await self.deliver.deliver([Record(topics.dead_letter(topics.WRITEBACK), taken.key, taken.value, headers)])
        except NotDelivered as error:
            return str(error)
        log.warning("writeback.dead_letter", code=reason.code, key=reason.natural_key, problem=reason.message)
        return None

    async def _take(self, taken: Taken) -> None:
        reason: Reason | None = None
        lane: WriteLane | None = None
        value: WriteBack | None = None
        try:
            value = await self._decoded(taken)
        except SchemaError as error:
            hint = "upgrade k2x if a newer one wrote it, then `k2x dlt redrive`"
            reason = Reason(ErrorClass.VALIDATION, "not_decodable", str(error), hint, exception=error)
        if value is not None:
            lane = self.lanes.get(value["instance"])
            key = f"{value['instance']}|{value['order_id']}"
            if lane is None:
                message = f"instance {value['instance']!r} has no REST service configured"
                hint = "add instances.<name>.rest to k2x.yaml, then redrive"
                reason = Reason(ErrorClass.MAPPING, "no_rest", message, hint, natural_key=key)
            elif not value["order_id"].isdigit():
                message = f"order id {value['order_id'][:40]!r} is no number"
                reason = Reason(ErrorClass.VALIDATION, "order_id", message, "report it", natural_key=key)
        if reason is not None:
            await self._refuse_now(taken, reason)
        elif lane is not None and value is not None:
            lane.offer(taken, value)

    async def _refuse_now(self, taken: Taken, reason: Reason) -> None:
        while not self._stop.is_set():
            if await self.refuse(taken, reason) is None:
                taken.tracker.done(taken.offset)
                return
            await self._pause()

    async def _decoded(self, taken: Taken) -> WriteBack | None:
        while not self._stop.is_set():
            try:
                return cast(WriteBack, self.codec.decode(taken.value))
            except RegistryUnavailable as error:
                log.warning("writeback.registry_unavailable", problem=str(error))
                await self._pause()
        return None

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), _REPEAT_S)


async def run_writeback(
    settings: WritebackSettings,
    kafka: Mapping[str, Any],
    codec: Codec,
    deliver: Delivers,
    stop: asyncio.Event,
    clock: Callable[[], datetime],
) -> None:
    """Write back until `stop` is set; where write-back is off, take nothing and only wait."""
    if not settings.enabled:
        log.info("writeback.off", remedy="set writeback.enabled and the instances' write-back columns to use it")
        await stop.wait()
        return
    await WriteBacks(settings, kafka, codec, deliver, clock).run(stop)
