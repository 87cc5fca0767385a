"""Where topics end and where consumer groups stand, by the broker's word. Moves no offset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from k2x.replay.broker import TIMEOUT_S, asked

# An offset that is being committed in a transaction is not waited for.
_AS_IT_IS = {"isolation.level": "read_uncommitted"}

Place = tuple[str, int]
"""A topic and a partition."""


@dataclass(frozen=True)
class Span:
    """A partition's first and next offset, and a group's; `committed` None: it never began."""

    begin: int
    committed: int | None
    end: int


class GroupOffsets:
    """Asks the broker; what only passes, like a broker that is starting, is asked again."""

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        self._kafka = dict(kafka)
        self._admin = AdminClient(self._kafka)
        self._asking: dict[str, Consumer] = {}  # by group; connecting anew for each look would cost more than the look

    def partitions(self) -> dict[str, int]:
        """How many each topic has."""
        found = asked(lambda: self._admin.list_topics(timeout=TIMEOUT_S)).topics
        return {name: len(topic.partitions) for name, topic in found.items() if topic.error is None}

    def lag(self, group: str, places: set[Place]) -> dict[Place, int]:
        """Records of each place that the group has not finished; all of them where it never began."""
        done, ends = self.committed(group, places), self.ends(places)
        return {place: max(0, ends[place] - done[place]) for place in places}

    def spans(self, group: str, places: set[Place]) -> dict[Place, Span]:
        """What each place holds, and where the group stands in it."""
        begins, ends = self._offsets(places, OffsetSpec.earliest()), self.ends(places)
        stored = self._stored(group, places)
        return {place: Span(begins[place], stored.get(place), ends[place]) for place in places}

    def committed(self, group: str, places: set[Place]) -> dict[Place, int]:
        """The group's next offset in each place; the first one where it never began."""
        stored = self._stored(group, places)
        unread = places - stored.keys()
        begins = self._offsets(unread, OffsetSpec.earliest()) if unread else {}
        return stored | begins

    def ends(self, places: set[Place]) -> dict[Place, int]:
        """The next offset of each place, open transactions included."""
        return self._offsets(places, OffsetSpec.latest())

    def _stored(self, group: str, places: set[Place]) -> dict[Place, int]:
        """Where the group stands; nothing of a place that it never began.

        By a consumer that joins nothing: on a cluster where no group has ever committed, AdminClient is not answered,
        and giving the question up ended the process with a segmentation fault (confluent-kafka 2.16.1).
        """
        if not places:
            return {}
        if group not in self._asking:
            conf = {"group.id": group, "enable.auto.commit": False, **_AS_IT_IS}
            self._asking[group] = Consumer({**self._kafka, **conf})
        asking = self._asking[group]
        wanted = [TopicPartition(*place) for place in sorted(places)]
        found = asked(lambda: asking.committed(wanted, timeout=TIMEOUT_S))
        return {(p.topic, p.partition): p.offset for p in found if p.offset >= 0}

    def _offsets(self, places: set[Place], spec: OffsetSpec) -> dict[Place, int]:
        def ask() -> dict[Place, int]:
            futures = self._admin.list_offsets({TopicPartition(*place): spec for place in places})
            return {(p.topic, p.partition): int(future.result(TIMEOUT_S).offset) for p, future in futures.items()}

        return asked(ask)
