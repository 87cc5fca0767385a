"""Follows xero.results.v1 from where it stood when a replay began, and counts the replay's own results."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from k2x.replay.source import Range
from k2x.replay.tally import Tally
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.topics import RESULTS

_POLL = 500
_PATIENCE_S = 20.0  # a lane's open transaction hides what is behind it; it lasts a moment


class Results:
    """`starts`: where to begin. `tallies` grow with `read`."""

    def __init__(
        self, kafka: Mapping[str, Any], codec: Codec, replay_id: str, orgs: Iterable[str], starts: Mapping[int, int]
    ) -> None:
        self.tallies = {org: Tally() for org in orgs}
        self._codec = codec
        self._id = replay_id
        self._token = replay_id.encode()
        self._places = dict(starts)
        conf = {
            "group.id": "k2x-replay-look",  # never joined
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
        }
        self._consumer = Consumer({**conf, **kafka})
        self._consumer.assign([TopicPartition(RESULTS, p, offset) for p, offset in starts.items()])

    def read(self, wait_s: float = 0.0) -> int:
        """Count what is there; how many records were looked at."""
        messages = self._consumer.consume(_POLL, wait_s)
        for message in messages:
            error, partition = message.error(), message.partition() or 0
            if error is None:
                self._places[partition] = (message.offset() or 0) + 1
                self._take(message.value() or b"")
            elif error.code() == KafkaError._PARTITION_EOF:
                self._places[partition] = max(self._places[partition], message.offset() or 0)
            elif not error.retriable():
                raise KafkaException(error)
        return len(messages)

    def read_to(self, ends: Mapping[int, int]) -> bool:
        """Count everything up to `ends`; False where that did not come in time."""
        begun = time.monotonic()
        while any(self._places.get(p, 0) < end for p, end in ends.items()):
            self.read(0.1)
            if time.monotonic() - begun > _PATIENCE_S:
                return False
        return True

    def close(self) -> None:
        self._consumer.close()

    def _take(self, value: bytes) -> None:
        if self._token not in value:  # Avro keeps text as it is: most records need no decoding
            return
        try:
            result = self._codec.decode(value)
        except SchemaError:  # the results agent has made it a letter of its own
            return
        if result["replay_id"] == self._id and result["org"] in self.tallies:
            self.tallies[result["org"]].take(result)


def starts_of(ranges: Iterable[Range], *, at_end: bool) -> dict[int, int]:
    """Where to begin, from the topic's ranges."""
    return {found.partition: found.end if at_end else found.first for found in ranges}
