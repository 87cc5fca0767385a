"""Where topics end and where consumer groups stand, by the broker's word. Moves no offset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import OFFSET_INVALID, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from k2x.replay.broker import TIMEOUT_S, asked

Place = tuple[str, int]
"""A topic and a partition."""


class GroupOffsets:
    """Asks the broker; what only passes, like a broker that is starting, is asked again."""

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        self._admin = AdminClient(dict(kafka))

    def partitions(self) -> dict[str, int]:
        """How many each topic has."""
        found = asked(lambda: self._admin.list_topics(timeout=TIMEOUT_S)).topics
        return {name: len(topic.partitions) for name, topic in found.items() if topic.error is None}

    def lag(self, group: str, places: set[Place]) -> dict[Place, int]:
        """Records of each place that the group has not finished; all of them where it never began."""
        done = self._committed(group, places)
        ends = self._offsets(places, OffsetSpec.latest())
        return {place: max(0, ends[place] - done[place]) for place in places}

    def _committed(self, group: str, places: set[Place]) -> dict[Place, int]:
        wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(*place) for place in sorted(places)])

        def ask() -> Any:
            return self._admin.list_consumer_group_offsets([wanted])[group].result(TIMEOUT_S)

        found = {(p.topic, p.partition): p.offset for p in asked(ask).topic_partitions}
        unread = {place for place in places if found.get(place, OFFSET_INVALID) < 0}
        begins = self._offsets(unread, OffsetSpec.earliest()) if unread else {}
        return {place: begins[place] if place in unread else found[place] for place in places}

    def _offsets(self, places: set[Place], spec: OffsetSpec) -> dict[Place, int]:
        def ask() -> dict[Place, int]:
            futures = self._admin.list_offsets({TopicPartition(*place): spec for place in places})
            return {(p.topic, p.partition): int(future.result(TIMEOUT_S).offset) for p, future in futures.items()}

        return asked(ask)
