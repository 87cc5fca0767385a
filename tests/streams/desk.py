"""What the tests of streams do with a real broker: topics of their own, events in, records out, worker processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer, Record
from schemas.ids import CommittedIds
from tests.streams import samples

_LOADING = {KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR}
ROOT = Path(__file__).parents[2]
STORES = {"emea/GoatUK": "uk", "emea/GoatDE": "de"}


class Desk:
    """One test's topics under `prefix`, and its workers."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, partitions: int = 3) -> None:
        self.kafka = {"bootstrap.servers": bootstrap}
        self.prefix = f"{prefix}."
        self.codec = Codec(CommittedIds())
        self._folder = folder
        self._admin = AdminClient(self.kafka)
        self._deliverer = Deliverer({**self.kafka, "log_level": 0})  # it outlives the broker by a moment
        self._partitions = partitions
        self._watcher = Consumer({**self.kafka, "group.id": "desk", "log_level": 0})

    def create_topics(self, orgs: tuple[str, ...] = ("uk", "de"), without: tuple[str, ...] = ()) -> None:
        wanted = [t for t in topics.all_topics(orgs) if t.name not in without]
        new = [NewTopic(self.prefix + t.name, 1 if t.one_partition else self._partitions, 1) for t in wanted]
        for future in self._admin.create_topics(new, operation_timeout=30).values():
            future.result(timeout=60)

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        for future in self._admin.create_topics([NewTopic(self.prefix + topic, partitions, 1)]).values():
            future.result(timeout=60)

    def members_at_work(self, group: str = "k2x-streams") -> set[str]:
        """Instance ids of the group's members that hold partitions of the orders."""
        asked = self._admin.describe_consumer_groups([self.prefix + group])
        try:
            members = asked[self.prefix + group].result(timeout=20).members
        except TimeoutError:  # a broker without any group yet has nobody to ask, and does not answer at all
            return set()
        except KafkaException as error:
            if error.args[0].code() in _LOADING:  # a broker that has just started loads its coordinators first
                return set()
            raise
        orders = self.prefix + topics.ORDERS
        return {m.group_instance_id for m in members if any(p.topic == orders for p in m.assignment.topic_partitions)}

    def settings(self, **changes: Any) -> dict[str, Any]:
        base = {
            "kafka": self.kafka,
            "stores": STORES,
            "data_dir": str(self._folder / "faust"),
            "topic_prefix": self.prefix,
            "backlog_check_s": 2.0,
            "replays": True,
        }
        return base | changes

    def send(self, topic: str, schema: str, values: list[tuple[str, Mapping[str, Any]]], **headers: str) -> None:
        """Keyed values, encoded and acknowledged."""
        pairs = [(name, value.encode()) for name, value in headers.items()]
        self._deliverer.deliver_now(
            [Record(self.prefix + topic, k.encode(), self.codec.encode(schema, v), pairs) for k, v in values]
        )

    def deliver(self, records: list[Record]) -> None:
        """Records as they are."""
        self._deliverer.deliver_now(records)

    def send_bytes(self, topic: str, key: bytes, value: bytes) -> None:
        self._deliverer.deliver_now([Record(self.prefix + topic, key, value)])

    def orders(self, orders: list[dict[str, Any]]) -> None:
        self.send(topics.ORDERS, "order", [(f"{o['instance']}|{o['order']['OrderID']}", o) for o in orders])

    def make_ready(self, org: str, *, rules: str = "{}", version: int = 1, complete: bool = True) -> None:
        self.send(topics.RULES, "rules", [(f"{org}|latest", samples.rules(org, version, rules))])
        rows = [("ACCOUNT", "200"), *([("COMPLETE", "")] if complete else [])]
        self.send(
            topics.REFERENCE,
            "reference",
            [(f"{org}|{kind}|{code}", samples.reference(org, kind, code)) for kind, code in rows],
        )

    def read(self, topic: str) -> list[Any]:
        """All messages of a topic up to its end."""
        conf = {**self.kafka, "group.id": "desk", "enable.partition.eof": True, "enable.auto.commit": False}
        consumer = Consumer(conf)
        name = self.prefix + topic
        partitions = consumer.list_topics(name, timeout=20).topics[name].partitions
        consumer.assign([TopicPartition(name, number, 0) for number in partitions])
        unread, messages = set(partitions), []
        while unread:
            for message in consumer.consume(5000, timeout=0.2):
                if message.error() is None:
                    messages.append(message)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())
        consumer.close()
        return messages

    def values(self, topic: str) -> list[dict[str, Any]]:
        return [self.codec.decode(message.value()) for message in self.read(topic)]

    def until(
        self, topic: str, enough: Callable[[list[dict[str, Any]]], bool], timeout: float = 60
    ) -> list[dict[str, Any]]:
        """The values of a topic once they are enough; AssertionError with what there is after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            values = self.values(topic)
            if enough(values):
                return values
            assert time.monotonic() < deadline, f"{topic}: not enough after {timeout} s: {values[-5:]}"
            time.sleep(0.2)

    def end(self, topic: str) -> int:
        """End offset of a topic of one partition."""
        return int(self._watcher.get_watermark_offsets(TopicPartition(self.prefix + topic, 0), timeout=20)[1])

    def committed(self, topic: str, group: str = "k2x-streams") -> int:
        """Sum of a group's committed offsets on a topic."""
        parts = [TopicPartition(self.prefix + topic, n) for n in range(self._partitions)]
        asked = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self.prefix + group, parts)])
        found = asked[self.prefix + group].result(timeout=20).topic_partitions
        return sum(max(part.offset, 0) for part in found)

    def start(self, **changes: Any) -> subprocess.Popen[bytes]:
        """A worker process; the caller stops it."""
        given = json.dumps(self.settings(**changes))
        out = (self._folder / f"{changes.get('worker', 'streams-1')}.log").open("ab")
        command = [sys.executable, "-m", "tests.streams.worker_process", given]
        return subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)

    def log(self, worker: str = "streams-1") -> str:
        return (self._folder / f"{worker}.log").read_text("utf-8", "replace")

    @contextmanager
    def worker(self, **changes: Any) -> Iterator[subprocess.Popen[bytes]]:
        """A worker process that is gone at the end."""
        process = self.start(**changes)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def headers(message: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in message.headers() or []}
