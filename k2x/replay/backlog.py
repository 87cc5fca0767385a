"""How much lies between a replay and Xero, by organisation: copies that streams has not transformed, and commands
that the sink has not finished. Moves no offset; deletes copies that streams has confirmed.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from k2x.errors import K2xError
from k2x.group_offsets import GroupOffsets, Place
from k2x.replay.broker import PASSING, TIMEOUT_S
from k2x.replay.errors import NobodyConsumes
from schemas.topics import REPLAY_OF, commands

log = structlog.get_logger()

_JOINS_S = 0.5  # between looks at a group that is being formed


@dataclass(frozen=True, slots=True)
class Standing:
    """One organisation at one moment. A record counted twice was transformed between two looks: never too few."""

    copies: int  # on the replay topics, and not confirmed by streams
    commands: int  # on the command topic, and not finished by the sink
    command_end: int
    command_done: int

    @property
    def outstanding(self) -> int:
        return self.copies + self.commands


def lane_of(org: str, partitions: int) -> int:
    """The partition of the replay topics that carries an organisation's copies: one, so that its orders keep the order
    of time, by which contacts are found again."""
    return zlib.crc32(org.encode()) % partitions


class Backlog:
    """Asks the broker. `streams_group` and `sink_group` as the processes use them; `topics`: the sources replayed."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        orgs: Iterable[str],
        topics: Iterable[str],
        streams_group: str,
        sink_group: str,
    ) -> None:
        self._admin = AdminClient(dict(kafka))
        self._offsets = GroupOffsets(kafka)
        self._streams, self._sink = streams_group, sink_group
        self._replays = [REPLAY_OF[topic] for topic in topics]
        found = self._offsets.partitions()
        for topic in [*self._replays, *(commands(org) for org in orgs)]:
            if topic not in found:
                raise K2xError(f"{topic} does not exist. `k2x topics apply` creates it; then restart streams.")
        self.lanes = {org: {replay: lane_of(org, found[replay]) for replay in self._replays} for org in orgs}

    def look(self) -> dict[str, Standing]:
        """Every organisation now. The copies are looked at first: what becomes a command meanwhile is counted twice."""
        lanes = {(replay, partition) for own in self.lanes.values() for replay, partition in own.items()}
        confirmed = self._offsets.committed(self._streams, lanes)
        ends = self._offsets.ends(lanes)
        finished = self._offsets.committed(self._sink, {(commands(org), 0) for org in self.lanes})
        command_ends = self._offsets.ends({(commands(org), 0) for org in self.lanes})
        made = {}
        for org, own in self.lanes.items():
            place = (commands(org), 0)
            copies = sum(max(0, ends[lane] - confirmed[lane]) for lane in own.items())
            done, end = finished[place], command_ends[place]
            made[org] = Standing(copies, max(0, end - done), end, done)
        return made

    def await_consumers(self, patience_s: float, orgs: Iterable[str] | None = None) -> None:
        """Return once streams and sink hold what these organisations need; NobodyConsumes names what nobody holds."""
        ends = time.monotonic() + patience_s
        while missing := self._missing(self.lanes if orgs is None else orgs):
            if time.monotonic() > ends:
                raise NobodyConsumes(missing)
            time.sleep(min(_JOINS_S, patience_s))

    def forget_confirmed(self) -> None:
        """Delete copies that streams has confirmed: the sources still hold the records."""
        lanes = {(replay, partition) for own in self.lanes.values() for replay, partition in own.items()}
        confirmed = self._offsets.committed(self._streams, lanes)
        before = [TopicPartition(topic, partition, confirmed[topic, partition]) for topic, partition in lanes]
        for future in self._admin.delete_records(before).values():
            try:
                future.result(TIMEOUT_S)
            except KafkaException as error:  # not allowed to, say: they take up room, and do no harm
                log.warning("copies_not_deleted", error=error.args[0].str())

    def forget_groups(self, groups: Iterable[str]) -> None:
        """Delete consumer groups that are no longer needed; ones that never were are no fault."""
        for future in self._admin.delete_consumer_groups(list(groups)).values():
            try:
                future.result(TIMEOUT_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                    raise

    def ends(self, topic: str) -> dict[int, int]:
        """Where the partitions of a topic end, open transactions included."""
        places = {(topic, partition) for partition in range(self._offsets.partitions()[topic])}
        return {partition: end for (_, partition), end in self._offsets.ends(places).items()}

    # -- questions ----------------------------------------------------------------------------------------------

    def _missing(self, orgs: Iterable[str]) -> str:
        streams, sink = self._held(self._streams), self._held(self._sink)
        for org in orgs:
            for lane in self.lanes[org].items():
                if lane not in streams:
                    return (
                        f"no streams worker reads {lane[0]} [{lane[1]}]: start `k2x run streams` (or `k2x up`). "
                        "A worker of an older k2x does not know this topic: restart it"
                    )
            if (commands(org), 0) not in sink:
                return f"no sink reads {commands(org)}: start `k2x run sink` (or `k2x up`)"
        return ""

    def _held(self, group: str) -> set[Place]:
        """What the members of a group hold."""
        try:
            found = self._admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() in PASSING | {KafkaError.GROUP_ID_NOT_FOUND}:
                return set()
            raise
        return {(p.topic, p.partition) for m in found.members for p in m.assignment.topic_partitions}
