"""Every replay on record on k2x.replays.v1, and the lock that lets one run at a time.

The lock is the ownership of that topic's only partition within a consumer group: the broker gives it to one process,
takes it from one that has died, and a second comer leaves it where it is (cooperative-sticky).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from k2x.audit.log import read_to_end
from k2x.replay.chosen import Chosen
from k2x.replay.errors import AlreadyRunning, NoSuchReplay, ReplayError
from k2x.replay.source import Range
from schemas.codec import Codec
from schemas.delivery import Deliverer, Record
from schemas.topics import REPLAYS

_GROUP = "k2x-replays"
_JOIN_S = 20.0  # a group is formed within three seconds; a dead owner is noticed after its session of ten
_SESSION_MS = 10_000


@dataclass(frozen=True)
class Replay:
    """One replay: what was chosen, and from where to where."""

    id: str
    chosen: Chosen
    ranges: tuple[Range, ...]
    started_at: datetime
    started_by: str
    finished_at: datetime | None = None

    def group(self, org: str) -> str:
        """The consumer group that holds an organisation's places on the sources."""
        return f"k2x-replay-{self.id}-{org}"

    def of(self, topic: str) -> list[Range]:
        return [found for found in self.ranges if found.topic == topic]

    @property
    def records(self) -> int:
        """How many the ranges hold, whoever's they are."""
        return sum(found.end - found.first for found in self.ranges)


class Journal:
    """Reads and writes the topic."""

    def __init__(self, kafka: Mapping[str, Any], codec: Codec) -> None:
        self._kafka = kafka
        self._codec = codec

    def write(self, replay: Replay) -> None:
        """The newest state of a replay."""
        chosen = replay.chosen
        value = {
            "id": replay.id,
            "orgs": list(chosen.orgs),
            "stores": sorted(chosen.stores),
            "orders": list(chosen.orders),
            "since": chosen.since,
            "until": chosen.until,
            "everything": chosen.everything,
            "ranges": [asdict(found) for found in replay.ranges],
            "started_at": replay.started_at,
            "started_by": replay.started_by,
            "finished_at": replay.finished_at,
        }
        deliverer = Deliverer(self._kafka)
        deliverer.deliver_now([Record(REPLAYS, replay.id.encode(), self._codec.encode("replay", value))])
        deliverer.close()

    def all(self) -> list[Replay]:
        """Oldest first."""
        found: dict[bytes, dict[str, Any]] = {}
        for message in read_to_end(self._kafka, [REPLAYS]):
            if message.key() is not None and message.value():
                found[message.key() or b""] = self._codec.decode(message.value() or b"")
        return sorted(map(_replay, found.values()), key=lambda replay: replay.started_at)

    def unfinished(self, replay_id: str) -> Replay:
        """The replay to go on with. NoSuchReplay where there is none, or it is over."""
        known = self.all()
        found = next((replay for replay in known if replay.id == replay_id), None)
        open_ = ", ".join(replay.id for replay in known if replay.finished_at is None) or "none"
        if found is None:
            raise NoSuchReplay(f"there is no replay {replay_id!r}; unfinished: {open_}. `k2x replay ls` shows all")
        if found.finished_at is not None:
            raise NoSuchReplay(f"replay {replay_id} is over since {found.finished_at.isoformat()}; unfinished: {open_}")
        return found


class Lock:
    """Held from `take` to `release`; call `keep` at least every few minutes."""

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        conf = {
            "group.id": _GROUP,
            "enable.auto.commit": False,
            "auto.offset.reset": "latest",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": _SESSION_MS,
            "heartbeat.interval.ms": _SESSION_MS // 5,
        }
        self._consumer = Consumer({**conf, **kafka})
        self._held = False

    def take(self, wait_s: float = _JOIN_S) -> None:
        """AlreadyRunning where another process has it."""
        self._consumer.subscribe([REPLAYS], on_assign=self._won, on_revoke=self._lost, on_lost=self._lost)
        ends = time.monotonic() + wait_s
        while not self._held:
            self._consumer.poll(0.1)
            if time.monotonic() > ends:
                self._consumer.close()
                raise AlreadyRunning(
                    "another replay is running: wait for its end (`k2x replay ls`). One at a time, so that the limit "
                    "of outstanding commands holds for all of them together"
                )

    def keep(self) -> None:
        """Stay a member. ReplayError if the lock went to somebody else meanwhile."""
        self._consumer.poll(0.0)
        if not self._held:
            raise ReplayError(
                "this process was away from Kafka for too long, and another replay may run by now. Go on with --resume"
            )

    def release(self) -> None:
        self._consumer.close()

    def _won(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        if partitions:
            consumer.pause(partitions)  # its records are not read here
            self._held = True

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self._held = False
        consumer.incremental_unassign(partitions)


def _replay(value: Mapping[str, Any]) -> Replay:
    chosen = Chosen(
        orgs=tuple(value["orgs"]),
        stores=frozenset(value["stores"]),
        orders=tuple(value["orders"]),
        since=value["since"],
        until=value["until"],
        everything=value["everything"],
    )
    ranges = tuple(Range(**found) for found in value["ranges"])
    return Replay(value["id"], chosen, ranges, value["started_at"], value["started_by"], value["finished_at"])
