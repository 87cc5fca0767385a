"""Reads topics from their beginning to the end they have now: without a group, so nothing is moved or committed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from k2x.errors import K2xError

Places = dict[tuple[str, int], int]
"""(topic, partition) → the offset to read on from."""

_WAIT_S = 0.1  # consume() waits this out unless it gets all it asked for, so it is also the price of reading nothing
_TOGETHER = 2000
# librdkafka reads ahead 64 MB for each partition by default: twenty partitions would be more than the work itself.
_AHEAD_KB = 2048


def read_to_end(
    kafka: Mapping[str, Any], topics: Iterable[str], quiet_s: float = 10.0, places: Places | None = None
) -> Iterator[Message]:
    """Every committed record of `topics` up to now, oldest first within a partition. A missing topic is empty.

    `places`: where to begin, else at the beginning; at the end it says where a later reading would go on.
    K2xError when the broker stops answering for `quiet_s` seconds before the end is reached.
    """
    conf = {
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 10,  # the broker holds a fetch at the end that long: 0.5 s of waiting by default
        "queued.max.messages.kbytes": _AHEAD_KB,
        "group.id": f"k2x-reader-{uuid.uuid4().hex[:8]}",  # required by the client, never joined
    }
    consumer = Consumer({**conf, **kafka})
    try:
        yield from _drain(consumer, set(topics), quiet_s, {} if places is None else places)
    except KafkaException as error:
        raise K2xError(f"Kafka does not answer: {error.args[0].str()}. Is the broker up?") from error
    finally:
        consumer.close()


def _drain(consumer: Consumer, topics: set[str], quiet_s: float, places: Places) -> Iterator[Message]:
    known = consumer.list_topics(timeout=quiet_s).topics
    partitions = [
        TopicPartition(name, number, places.get((name, number), OFFSET_BEGINNING))
        for name in topics
        if name in known and known[name].error is None
        for number in known[name].partitions
    ]
    if not partitions:
        return
    consumer.assign(partitions)
    open_partitions = {(p.topic, p.partition) for p in partitions}
    heard = time.monotonic()
    while open_partitions:
        batch = consumer.consume(_TOGETHER, _WAIT_S)
        if batch:
            heard = time.monotonic()
        elif time.monotonic() - heard > quiet_s:
            raise K2xError(f"no end of {sorted(open_partitions)[0]} within {quiet_s:.0f} s. Is the broker up?")
        for message in batch:
            where = (message.topic() or "", message.partition() or 0)
            if message.error() is None:
                places[where] = (message.offset() or 0) + 1
                yield message
                heard = time.monotonic()  # what the reader does with a record is no silence of the broker's
            elif message.error().name() == "_PARTITION_EOF":
                places[where] = max(places.get(where, 0), message.offset() or 0)
                open_partitions.discard(where)
            else:
                raise KafkaException(message.error())
