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
from confluent_kafka import OFFSET_INVALID, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from k2x.errors import K2xError
from k2x.replay.broker import PASSING, TIMEOUT_S, asked
from k2x.replay.errors import NobodyConsumes
from schemas.topics import REPLAY_OF, commands

log = structlog.get_logger()
Place = tuple[str, int]

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
        self._streams, self._sink = streams_group, sink_group
        self._replays = [REPLAY_OF[topic] for topic in topics]
        found = asked(lambda: self._admin.list_topics(timeout=TIMEOUT_S)).topics
        for topic in [*self._replays, *(commands(org) for org in orgs)]:
            if topic not in found or found[topic].error is not None:
                raise K2xError(f"{topic} does not exist. `k2x topics apply` creates it; then restart streams.")
        self.lanes = {
            org: {replay: lane_of(org, len(found[replay].partitions)) for replay in self._replays} for org in orgs
        }

    def look(self) -> dict[str, Standing]:
        """Every organisation now. The copies are looked at first: what becomes a command meanwhile is counted twice."""
        lanes = {(replay, partition) for own in self.lanes.values() for replay, partition in own.items()}
        confirmed = self._committed(self._streams, lanes)
        ends = self._ends(lanes)
        finished = self._committed(self._sink, {(commands(org), 0) for org in self.lanes})
        command_ends = self._ends({(commands(org), 0) for org in self.lanes})
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
        confirmed = self._committed(self._streams, lanes)
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
        partitions = asked(lambda: self._admin.list_topics(topic, timeout=TIMEOUT_S)).topics[topic].partitions
        return {partition: end for (_, partition), end in self._ends({(topic, p) for p in partitions}).items()}

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

    def _committed(self, group: str, places: set[Place]) -> dict[Place, int]:
        wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(*place) for place in sorted(places)])

        def ask() -> Any:
            return self._admin.list_consumer_group_offsets([wanted])[group].result(TIMEOUT_S)

        found = {(p.topic, p.partition): p.offset for p in asked(ask).topic_partitions}
        unread = {place for place in places if found.get(place, OFFSET_INVALID) < 0}
        begins = self._offsets(unread, OffsetSpec.earliest()) if unread else {}
        return {place: begins[place] if place in unread else found[place] for place in places}

    def _ends(self, places: set[Place]) -> dict[Place, int]:
        return self._offsets(places, OffsetSpec.latest())

    def _offsets(self, places: set[Place], spec: OffsetSpec) -> dict[Place, int]:
        def ask() -> dict[Place, int]:
            futures = self._admin.list_offsets({TopicPartition(*place): spec for place in places})
            return {(p.topic, p.partition): int(future.result(TIMEOUT_S).offset) for p, future in futures.items()}

        return asked(ask)
