"""`k2x.tokens.v1` on Kafka: the election of the one process that renews tokens, and what it stores.

The owner is the consumer-group owner of the topic's only partition. Taking over, it fences its predecessor by
init_transactions: from then on nothing of the old owner's can be stored. Readers see committed records only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from connectors.xero.errors import TokenNotReady
from schemas import topics
from schemas.codec import Codec
from schemas.types import Token

log = structlog.get_logger("k2x.xero.tokens")

_GROUP = "k2x-tokens"
_SESSION = {"session.timeout.ms": 10_000, "heartbeat.interval.ms": 2_000}  # an election takes about ten seconds
_TIMEOUT = 30.0  # seconds for the broker to answer any of this


class KafkaTokenLog:
    """A connectors.xero.tokens.TokenLog. `kafka`: librdkafka configuration. `run` must go on in a thread."""

    def __init__(self, kafka: Mapping[str, Any], codec: Codec, topic: str = topics.TOKENS, group: str = _GROUP) -> None:
        self._kafka = dict(kafka)
        self._codec = codec
        self._topic = topic
        self._group = group
        self._producer: Producer | None = None
        self._lock = threading.Lock()

    def owns(self) -> bool:
        with self._lock:
            return self._producer is not None

    def latest(self, app: str) -> Token | None:
        """Reads the whole topic, a handful of records as it is compacted, and only when a token is due."""
        reader = Consumer(
            {
                **self._kafka,
                "group.id": f"{self._group}-reader",  # librdkafka wants one; assigned, never subscribed or committed
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        found: bytes | None = None
        ends = time.monotonic() + _TIMEOUT
        try:
            reader.assign([TopicPartition(self._topic, 0, 0)])
            while time.monotonic() < ends:
                message = reader.poll(1.0)
                if message is None:
                    continue
                error = message.error()
                if error is None:
                    found = message.value() if message.key() == app.encode() else found
                elif error.code() == KafkaError._PARTITION_EOF:
                    return cast(Token, self._codec.decode(found)) if found else None
                elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise TokenNotReady(f"the topic {self._topic} does not exist. Run `k2x topics apply`.")
        finally:
            reader.close()
        raise TokenNotReady(f"{self._topic} could not be read within {_TIMEOUT:.0f} s. Is Kafka up? It is tried again.")

    def append(self, record: Token) -> None:
        with self._lock:
            producer = self._producer
            if producer is None:
                raise TokenNotReady(f"app {record['app']}: another process renews its token now.")
            try:
                producer.begin_transaction()
                producer.produce(self._topic, key=record["app"].encode(), value=self._codec.encode("token", record))
                producer.commit_transaction(_TIMEOUT)
            except KafkaException as error:
                # Fatal (fenced) or not: start over with a new producer, which only the elected one gets.
                self._producer = None
                raise TokenNotReady(f"app {record['app']}: its new token could not be stored ({error}).") from error

    def run(self, stopped: threading.Event, each: Callable[[], None]) -> None:
        """Stand for election until `stopped`; call `each` every second as the owner (it renews when due)."""
        consumer = Consumer(
            {
                **self._kafka,
                **_SESSION,
                "group.id": self._group,
                "enable.auto.commit": False,
                "auto.offset.reset": "latest",
            }
        )
        try:
            consumer.subscribe([self._topic], on_assign=self._won, on_revoke=self._lost, on_lost=self._lost)
            while not stopped.is_set():
                consumer.poll(1.0)  # its messages are not ours to read here: `latest` reads committed ones
                if not self.owns() and consumer.assignment():
                    self._elect()
                if self.owns():
                    each()
        finally:
            self._lost(consumer, [])
            consumer.close()

    def _won(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self._elect()

    def _elect(self) -> None:
        producer = Producer({**self._kafka, "transactional.id": f"{self._group}-{self._topic}", "acks": "all"})
        try:
            producer.init_transactions(_TIMEOUT)
        except KafkaException as error:
            log.warning("token_owner_not_fenced", error=str(error))  # tried again after the next poll
            return
        with self._lock:
            self._producer = producer
        log.info("token_owner", topic=self._topic)

    def _lost(self, _: Consumer, __: list[TopicPartition]) -> None:
        with self._lock:
            self._producer = None
