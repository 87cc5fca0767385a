"""Topics of one test on the shared broker, and helpers to fill and read them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kentico.sandbox.server import Sandbox
from k2x.audit.log import read_to_end
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer
from schemas.ids import CommittedIds

NAMES = ("ORDERS", "CUSTOMERS", "PRODUCTS", "CHANGES", "WRITEBACK", "CURSORS")


def utc_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec(CommittedIds())


@dataclass
class Broker:
    """One test's topics: the names in schemas.topics carry its prefix while it runs."""

    bootstrap: str
    prefix: str
    codec: Codec
    deliverers: list[Deliverer] = field(default_factory=list)

    @property
    def conf(self) -> dict[str, Any]:
        return {"bootstrap.servers": self.bootstrap}

    def group(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def deliverer(self) -> Deliverer:
        self.deliverers.append(Deliverer(self.conf, 10.0))
        return self.deliverers[-1]

    def send(self, schema: str, topic: str, records: list[tuple[str, dict[str, Any]]]) -> None:
        producer = Producer({**self.conf, "enable.idempotence": True})
        for key, value in records:
            producer.produce(topic, key=key.encode(), value=self.codec.encode(schema, value))
        assert producer.flush(10) == 0

    def messages(self, topic: str, count: int, timeout: float = 30.0) -> list[Message]:
        """The first `count` records, or what there is after the time-out."""
        consumer = Consumer(
            {**self.conf, "group.id": f"{self.prefix}-look-{time.monotonic_ns()}", "auto.offset.reset": "earliest"}
        )
        consumer.subscribe([topic])
        found: list[Message] = []
        deadline = time.monotonic() + timeout
        while len(found) < count and time.monotonic() < deadline:
            found += [m for m in consumer.consume(count - len(found), 0.1) if m.error() is None]
        consumer.close()
        return found

    def values(self, topic: str, count: int, timeout: float = 30.0) -> list[dict[str, Any]]:
        return [self.codec.decode(message.value() or b"") for message in self.messages(topic, count, timeout)]

    def everything(self, topic: str) -> list[dict[str, Any]]:
        """Every record there is now."""
        return [self.codec.decode(message.value() or b"") for message in read_to_end(self.conf, [topic])]

    def letters(self, topic: str) -> list[dict[str, str]]:
        """The headers of every dead letter there is now, with its key."""
        found = read_to_end(self.conf, [topics.dead_letter(topic)])
        return [
            {"key": (m.key() or b"").decode()} | {name: (value or b"").decode() for name, value in m.headers() or []}
            for m in found
        ]

    def committed(self, group: str, topic: str, partitions: int = 2) -> int:
        """Records the group has committed."""
        from confluent_kafka import TopicPartition

        consumer = Consumer({**self.conf, "group.id": group})
        try:
            found = consumer.committed([TopicPartition(topic, p) for p in range(partitions)], timeout=10)
            return sum(max(p.offset, 0) for p in found)
        finally:
            consumer.close()


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    shop = Sandbox(tmp_path / "shop", extra_instances=["seed2021"])
    await shop.start()
    yield shop
    await shop.stop()


@pytest.fixture
def broker(kafka: str, topic_prefix: str, codec: Codec, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    wanted = []
    for name in NAMES:
        topic = f"{topic_prefix}-{getattr(topics, name)}"
        monkeypatch.setattr(topics, name, topic)
        compacted = {"cleanup.policy": "compact"} if name == "CURSORS" else {}
        wanted += [NewTopic(topic, 1 if compacted else 2, 1, config=compacted)]
        wanted += [NewTopic(topics.dead_letter(topic), 1, 1)]
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.create_topics(wanted).values():
        future.result(20)
    made = Broker(kafka, topic_prefix, codec)
    yield made
    for deliverer in made.deliverers:
        deliverer.close()
    made.deliverers.clear()
