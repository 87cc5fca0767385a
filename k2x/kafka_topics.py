"""Creates every topic as schemas/topics.py says, and says where a cluster differs. Never deletes or shrinks one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from k2x.errors import K2xError
from schemas.topics import Topic, all_topics

_KNOWN_S = 20.0  # seconds for what the controller has created to reach the broker's own metadata


_RESTS = timedelta(days=30)  # how long a process may rest without anybody having to think of it


@dataclass(frozen=True)
class TopicState:
    """One topic as found: `faults` is empty where it is as it must be; `warnings` are settings that may lose what was
    acknowledged when brokers fail."""

    name: str
    partitions: int
    created: bool
    faults: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def apply(kafka: Mapping[str, Any], orgs: Iterable[str], partitions: int, replication: int) -> list[TopicState]:
    """Create what is missing, report every topic. A wrong setting of an existing one is a fault, not changed here."""
    admin = AdminClient(dict(kafka))
    wanted = all_topics(orgs)
    existing = _existing(admin)
    missing = [t for t in wanted if t.name not in existing]
    _create(admin, missing, partitions, replication)
    names = [t.name for t in wanted]
    if missing:
        existing = _awaited(admin, names)
    configs = _configs(admin, names)
    created = {t.name for t in missing}
    return [_state(t, existing[t.name], t.name in created, configs[t.name]) for t in wanted]


def describe(kafka: Mapping[str, Any], orgs: Iterable[str]) -> list[TopicState]:
    """The same report without creating anything."""
    admin = AdminClient(dict(kafka))
    wanted = all_topics(orgs)
    existing = _existing(admin)
    configs = _configs(admin, [t.name for t in wanted if t.name in existing])
    return [
        _state(t, existing[t.name], False, configs[t.name])
        if t.name in existing
        else TopicState(t.name, 0, False, ("does not exist: k2x topics apply",))
        for t in wanted
    ]


def cluster_warnings(kafka: Mapping[str, Any]) -> list[str]:
    """What a cluster forgets too soon. Nothing is lost by it; a sink knows its offset from the ledger besides."""
    admin = AdminClient(dict(kafka))
    try:
        broker = str(next(iter(admin.list_topics(timeout=20).brokers)))
        resource = ConfigResource(ResourceType.BROKER, broker)
        minutes = admin.describe_configs([resource])[resource].result(timeout=30)["offsets.retention.minutes"].value
    except (KafkaException, KeyError, StopIteration):
        return []  # a managed cluster may keep its brokers' settings to itself
    rests = timedelta(minutes=int(minutes))
    if rests >= _RESTS:
        return []
    return [
        f"offsets.retention.minutes is {minutes} ({rests.days} days): a process that rests longer reads its topics "
        "from their beginning. Nothing is lost or posted twice by that, but it takes long: set "
        f"{_minutes(_RESTS)} or more"
    ]


def _minutes(span: timedelta) -> int:
    return int(span.total_seconds() // 60)


def _existing(admin: AdminClient) -> dict[str, int]:
    try:
        metadata = admin.list_topics(timeout=20)
    except KafkaException as error:
        raise K2xError(
            f"Kafka does not answer: {error.args[0].str()}. Check kafka.bootstrap and that the broker is up."
        ) from error
    return {name: len(topic.partitions) for name, topic in metadata.topics.items() if topic.error is None}


def _awaited(admin: AdminClient, names: list[str]) -> dict[str, int]:
    """The topics once the broker knows all of them: the controller says "created" a moment before (seen under load)."""
    ends = time.monotonic() + _KNOWN_S
    while missing := set(names) - set(existing := _existing(admin)):
        if time.monotonic() > ends:
            raise K2xError(f"created, but not known to the broker after {_KNOWN_S:.0f} s: {', '.join(sorted(missing))}")
        time.sleep(0.1)
    return existing


def _create(admin: AdminClient, topics: list[Topic], partitions: int, replication: int) -> None:
    if not topics:
        return
    new = [NewTopic(t.name, 1 if t.one_partition else partitions, replication, config=t.config) for t in topics]
    for name, future in admin.create_topics(new, operation_timeout=30).items():
        try:
            future.result(timeout=40)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise K2xError(f"topic {name} cannot be created: {error.args[0].str()}") from error


def _configs(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    ends = time.monotonic() + _KNOWN_S
    while True:
        answers = admin.describe_configs(resources) if resources else {}
        try:
            return {
                resource.name: {key: entry.value for key, entry in future.result(timeout=30).items()}
                for resource, future in answers.items()
            }
        except KafkaException as error:  # another broker than the one that listed them may be a moment behind
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART or time.monotonic() > ends:
                raise K2xError(f"the topics' settings cannot be read: {error.args[0].str()}") from error
            time.sleep(0.1)


def _state(topic: Topic, partitions: int, created: bool, config: Mapping[str, str]) -> TopicState:
    warnings = []
    if config.get("unclean.leader.election.enable") == "true":
        warnings.append("unclean.leader.election.enable is true: acknowledged records may be lost when brokers fail")
    return TopicState(topic.name, partitions, created, _faults(topic, partitions, config), tuple(warnings))


def _faults(topic: Topic, partitions: int, config: Mapping[str, str]) -> tuple[str, ...]:
    faults = []
    if topic.one_partition and partitions != 1:
        faults.append(f"has {partitions} partitions and must have 1: one owner holds it (DESIGN §2)")
    for key, wanted in topic.config.items():
        if key in {"cleanup.policy", "retention.ms", "retention.bytes"} and config.get(key) != wanted:
            faults.append(f"{key} is {config.get(key)}, must be {wanted}: unfinished work would expire")
    return tuple(faults)
