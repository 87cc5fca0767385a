"""How far each consumer group has come: its committed offsets, read without joining it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient

from k2x.errors import K2xError
from schemas.topics import CHANGES, ORDERS, commands

_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Groups:
    """The consumer groups of the three readers that an order passes."""

    reader: str = "k2x-reader"
    streams: str = "k2x-streams"
    sink: str = "k2x-sink"


@dataclass(frozen=True)
class Progress:
    """Next offsets to be handled: of the changes and the orders topic by partition, of the commands by organisation."""

    hinted: Mapping[int, int] = field(default_factory=dict)
    read: Mapping[int, int] = field(default_factory=dict)
    taken: Mapping[str, int] = field(default_factory=dict)


def progress(kafka: Mapping[str, Any], groups: Groups, orgs: Iterable[str]) -> Progress:
    """Where they stand now; a group that has never been is at the beginning. K2xError when the broker is away."""
    admin = AdminClient(dict(kafka))
    # A broker without any group has nobody to ask for offsets, and the question is not answered at all (measured).
    listed = _answer(admin.list_consumer_groups(request_timeout=_TIMEOUT_S))
    if listed.errors:  # a group that is not listed would seem to be at the beginning
        raise K2xError(f"Kafka does not tell how far the processes are: {listed.errors[0]}. Is it up?")
    known = {group.group_id for group in listed.valid}
    of = {commands(org): org for org in orgs}
    hinted, read, taken = (
        _committed(admin, group) if group in known else {} for group in (groups.reader, groups.streams, groups.sink)
    )
    return Progress(
        hinted={partition: at for (topic, partition), at in hinted.items() if topic == CHANGES},
        read={partition: at for (topic, partition), at in read.items() if topic == ORDERS},
        taken={of[topic]: at for (topic, _), at in taken.items() if topic in of},
    )


def _committed(admin: AdminClient, group: str) -> dict[tuple[str, int], int]:
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=_TIMEOUT_S)
    found = _answer(asked[group])
    return {(p.topic, p.partition): p.offset for p in found.topic_partitions if p.error is None and p.offset >= 0}


def _answer(asked: Future[Any]) -> Any:
    try:
        return asked.result(_TIMEOUT_S * 2)  # the client gives up by itself before
    except KafkaException as error:
        raise K2xError(f"Kafka does not tell how far the processes are: {error.args[0].str()}. Is it up?") from error
    except TimeoutError as error:
        raise K2xError(
            f"Kafka did not tell within {_TIMEOUT_S * 2:.0f} s how far the processes are. Is it up?"
        ) from error
