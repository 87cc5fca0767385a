"""What the embedded Kafka is configured with: a table, with the reason beside each choice that is not obvious."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

HOST = "127.0.0.1"

_MIB = 1024 * 1024
_YEARS_10_IN_MINUTES = 10 * 365 * 24 * 60
_MAX_INT = 2**31 - 1

SERVER: dict[str, str | int] = {
    # One node that is broker and controller at once.
    "process.roles": "broker,controller",
    "node.id": 1,
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "default.replication.factor": 1,
    "min.insync.replicas": 1,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # 50 partitions each by default: most of the start-up time and open files of a single node.
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "num.partitions": 1,
    # A misspelt topic is an error, not a new topic.
    "auto.create.topics.enable": "false",
    # Nothing unfinished may expire: a shop that pauses for months finds its positions again.
    "offsets.retention.minutes": _YEARS_10_IN_MINUTES,
    "transactional.id.expiration.ms": _MAX_INT,  # 24.8 days, the most Kafka can hold
    "log.retention.ms": -1,
    "log.retention.bytes": -1,
    # Small files for a small machine; Kafka maps the index files whole.
    "log.segment.bytes": 64 * _MIB,
    "log.index.size.max.bytes": 2 * _MIB,
    "metadata.log.segment.bytes": 16 * _MIB,
    "metadata.max.retention.bytes": 64 * _MIB,
    # Compaction soon after it is due (default 15 s between looks), within a small heap (default 128 MiB).
    "log.cleaner.backoff.ms": 2000,
    "log.cleaner.dedupe.buffer.size": 32 * _MIB,
    "log.cleaner.io.buffer.size": _MIB,
    # A group of one does not wait 3 s for others, and a dead member is gone as soon as its client asks for.
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "num.recovery.threads.per.data.dir": 2,
    "auto.leader.rebalance.enable": "false",
}


def server_properties(
    data: Path, port: int, controller_port: int, settings: Mapping[str, str | int] = MappingProxyType({})
) -> str:
    """The text of server.properties; both ports are on the loopback interface. `settings` win over SERVER's."""
    places: dict[str, str | int] = {
        "log.dirs": str(data),
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
    }
    return "".join(f"{key}={_escaped(str(value))}\n" for key, value in {**SERVER, **settings, **places}.items())


def java_options(heap: str) -> list[str]:
    """JVM options; `heap` as Java writes it, like 512m."""
    return [
        f"-Xmx{heap}",
        "-Xms64m",
        "-XX:+UseSerialGC",  # the least memory and threads; a dev box's broker is never busy enough to notice
        # The quick compiler alone: ready in 2.0 s for 2.6 s of CPU instead of 2.8 s for 4.5 s, and over the first
        # 240,000 records (all a dev box sees in a day) half the CPU a record; measured on 2 cores, Java 25.
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
        # These write several lines for every topic, rebalance or connection.
        "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.storage=warn",
        "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.coordinator=warn",
        "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.utils.AppInfoParser=warn",
        "-Dorg.slf4j.simpleLogger.log.kafka.log=warn",
        "-Dorg.slf4j.simpleLogger.log.state.change.logger=warn",
    ]


def _escaped(value: str) -> str:
    """A value of a .properties file, in which a backslash escapes and which is read as Latin-1."""
    return "".join(c if c != "\\" and ord(c) < 128 else "\\\\" if c == "\\" else _unicode(c) for c in value)


def _unicode(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
