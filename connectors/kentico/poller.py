"""The process that looks for changes by itself, over REST, with nothing installed in Kentico. Guarantee: no gap and no
harmful repeat (poll says why); one process polls, others stand by and go on where it stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import structlog

from connectors.kentico.bringing import Bringer
from connectors.kentico.cursors import BACKFILL, Cursors
from connectors.kentico.ownership import Ownership
from connectors.kentico.poll import Poll
from connectors.kentico.reading import TableSource
from connectors.kentico.receiver import Delivers
from connectors.kentico.settings import InstanceSettings, PollerSettings, PollSettings
from connectors.kentico.sources import table_source
from schemas.codec import Codec

log = structlog.get_logger()

_DRAIN_S = 5.0


class Poller:
    """One process. `run` ends when `stop` is set, or with what makes going on impossible."""

    def __init__(
        self,
        settings: PollerSettings,
        kafka: Mapping[str, Any],
        codec: Codec,
        deliver: Delivers,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._kafka = kafka
        self._codec = codec
        self._deliver = deliver
        self._clock = clock
        self._polled = [(i, i.rest, i.poll) for i in settings.instances if i.rest is not None and i.poll is not None]

    async def run(self, stop: asyncio.Event) -> None:
        """Poll while this process is the owner, until `stop`."""
        names = [instance.name for instance, _, _ in self._polled]
        if not names:
            log.info("poller.off", remedy="add instances.<name>.poll to k2x.yaml to have an instance polled")
            await stop.wait()
            return
        ownership = Ownership(self._kafka, self._settings.group_id, self._settings.session_timeout_s, _is_ours)
        log.info("poller.started", instances=names, group=self._settings.group_id)
        try:
            while (records := await ownership.take(stop)) is not None:
                log.info("poller.owner", instances=names)
                await self._poll(records, stop, ownership.lost)
                ownership.release()
                log.info("poller.not_owner" if not stop.is_set() else "poller.stopping")
        finally:
            await ownership.close()
        log.info("poller.stopped")

    async def _poll(self, records: Mapping[bytes, bytes], stop: asyncio.Event, lost: asyncio.Event) -> None:
        """All instances side by side until either event; what is under way is finished, as far as there is time."""
        halt = asyncio.Event()
        sources = [table_source(instance, rest, self._settings.lookups_refresh_s) for instance, rest, _ in self._polled]
        polls = [
            self._of(instance, polling, source, records)
            for (instance, _, polling), source in zip(self._polled, sources, strict=True)
        ]
        tasks = [asyncio.create_task(poll.run(halt), name="poll") for poll in polls]
        ends = [asyncio.create_task(event.wait()) for event in (stop, lost)]
        try:
            await asyncio.wait([*ends, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            halt.set()
            for end in ends:
                end.cancel()
            _, late = await asyncio.wait(tasks, timeout=_DRAIN_S)
            for task in late:
                task.cancel()
            for source in sources:
                await source.rest.close()
        for task in tasks:  # the first that failed says why
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _of(
        self, instance: InstanceSettings, polling: PollSettings, source: TableSource, records: Mapping[bytes, bytes]
    ) -> Poll:
        cursors = Cursors(instance.name, instance.zone, self._codec)
        bringer = Bringer(
            instance,
            self._codec,
            self._deliver,
            self._clock,
            source.reading,
            self._settings.max_record_bytes,
            component="poller",
            remembers=True,
        )
        state = cursors.state(records)
        return Poll(instance, polling, self._settings, source.rest, bringer, cursors, self._deliver, self._clock, state)


def _is_ours(key: bytes) -> bool:
    return not key.endswith(f"|{BACKFILL}".encode())


async def run_poller(
    settings: PollerSettings,
    kafka: Mapping[str, Any],
    codec: Codec,
    deliver: Delivers,
    stop: asyncio.Event,
    clock: Callable[[], datetime],
) -> None:
    """Poll until `stop` is set. `kafka` is librdkafka's configuration (bootstrap, security)."""
    await Poller(settings, kafka, codec, deliver, clock).run(stop)
