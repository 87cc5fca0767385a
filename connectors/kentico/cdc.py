"""Debezium's topics of Kentico's tables, and of an outbox, to k2x's own. Guarantee: an offset of theirs is committed
only after what came of the record, or its dead letter, is acknowledged by Kafka; a killed process repeats a batch.

A row change becomes a hint that its object is to be read again (captured), one for all rows of an object in a batch:
the reader then waits for more of them and reads the whole. An outbox event is a whole event, as a webhook would be.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.kentico import events, metrics
from connectors.kentico.captured import TABLES, Noise, Wanted, wanted
from connectors.kentico.debezium import Schemas, Values, event_of, row_change
from connectors.kentico.errors import EnvelopeUnreadable, FieldError
from connectors.kentico.events import CUSTOMER, ORDER, SKU
from connectors.kentico.receiver import Delivers, record_key, topic_of
from connectors.kentico.settings import CdcProcessSettings, CdcSettings, Dialect, InstanceSettings
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import NotDelivered, NotEncodable, RegistryUnavailable
from schemas.letters import ErrorClass, Origin, Reason, letter_headers
from schemas.types import Change

log = structlog.get_logger()

_CONSUMER: Mapping[str, Any] = {
    "auto.offset.reset": "earliest",
    "enable.auto.offset.store": False,
    "enable.auto.commit": True,
    "auto.commit.interval.ms": 1000,
    "partition.assignment.strategy": "cooperative-sticky",
    # The connector makes a table's topic with its first row, which may be after we have begun.
    "topic.metadata.refresh.interval.ms": 10_000,
    "allow.auto.create.topics": False,
}
_POLL_S = 0.1
_REPEAT_S = 1.0
_EVENT_TYPES = {ORDER: "order.updated", CUSTOMER: "customer.updated", SKU: "product.updated"}
_UNUSABLE = re.compile(r"[^A-Za-z0-9._-]")  # Debezium writes _ for what no topic's name may have


@dataclass(frozen=True)
class Feed:
    """What a topic carries: `table` None is an outbox's."""

    instance: InstanceSettings
    cdc: CdcSettings
    table: str | None


def tables_of(cdc: CdcSettings, dialect: Dialect) -> dict[str, str | None]:
    """The topics to read, each with its table; None for an outbox's."""
    found: dict[str, str | None] = dict.fromkeys(cdc.outbox_topics)
    if cdc.topic_prefix is not None:
        for table in TABLES[dialect]:
            found[_UNUSABLE.sub("_", f"{cdc.topic_prefix}.{cdc.database}.{cdc.schema_name}.{table}")] = table
    return found


def feeds(instances: Sequence[InstanceSettings]) -> dict[str, Feed]:
    """Every instance's topics, by name."""
    return {
        topic: Feed(instance, instance.cdc, table)
        for instance in instances
        if instance.cdc is not None
        for topic, table in tables_of(instance.cdc, instance.dialect).items()
    }


@dataclass
class _Batch:
    """What a batch of records comes to. Hints of one object are one."""

    hints: dict[tuple[str, str, int], Change] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    counts: list[tuple[str, str, str]] = field(default_factory=list)  # instance, table, outcome


class Cdc:
    """One process. `run` ends when `stop` is set."""

    def __init__(
        self,
        settings: CdcProcessSettings,
        kafka: Mapping[str, Any],
        codec: Codec,
        deliver: Delivers,
        clock: Callable[[], datetime],
        schemas: Schemas | None,
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._deliver = deliver
        self._clock = clock
        self._values = Values(schemas)
        self.feeds = feeds(settings.instances)
        session = {
            "session.timeout.ms": int(settings.session_timeout_s * 1000),
            "heartbeat.interval.ms": int(settings.session_timeout_s * 1000 / 5),
        }
        self._consumer_of = partial(Consumer, {**_CONSUMER, **session, "group.id": settings.group_id, **kafka})
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cdc")

    async def run(self, stop: asyncio.Event) -> None:
        """Take batches until `stop`; one under way is finished and committed."""
        if not self.feeds:
            log.info("cdc.off", remedy="add instances.<name>.cdc to k2x.yaml to read Debezium's topics")
            await stop.wait()
            return
        consumer = self._consumer_of()
        consumer.subscribe(sorted(self.feeds))
        log.info("cdc.started", topics=len(self.feeds), group=self._settings.group_id)
        try:
            while not stop.is_set():
                messages = await self._blocking(consumer.consume, self._settings.batch, _POLL_S)
                taken = [message for message in messages if self._usable(message)]
                if taken and await self._handled(taken, stop):
                    self._store(consumer, taken)
        finally:
            await self._blocking(consumer.close)
            self._thread.shutdown(wait=False)
            log.info("cdc.stopped")

    async def _blocking(self, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def _usable(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.fatal():
            raise KafkaException(error)
        if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:  # no row of that table has changed yet
            log.warning("cdc.kafka_error", problem=str(error))
        return False

    async def _handled(self, taken: Sequence[Message], stop: asyncio.Event) -> bool:
        """Whether everything of the batch is acknowledged; only a stop leaves it undone."""
        while True:
            try:
                batch = await asyncio.to_thread(self._read, taken)
                records = batch.records + [self._hint_record(change) for change in batch.hints.values()]
                await self._deliver.deliver(records)
            except (NotDelivered, RegistryUnavailable) as error:
                log.warning("cdc.waiting", records=len(taken), problem=str(error))
                metrics.CDC_OUTAGE.set(1)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _REPEAT_S)
                if stop.is_set():
                    return False
                continue
            metrics.CDC_OUTAGE.set(0)
            for labels in batch.counts:
                metrics.CDC_RECORDS.labels(*labels).inc()
            return True

    def _store(self, consumer: Consumer, taken: Sequence[Message]) -> None:
        ends: dict[tuple[str, int], int] = {}
        for message in taken:
            ends[str(message.topic()), message.partition() or 0] = (message.offset() or 0) + 1
        for (topic, partition), offset in ends.items():
            try:
                consumer.store_offsets(offsets=[TopicPartition(topic, partition, offset)])
            except KafkaException as error:  # the partition has just gone: its next owner takes these again
                log.info("cdc.offset_not_stored", topic=topic, partition=partition, problem=str(error))

    def _read(self, taken: Sequence[Message]) -> _Batch:
        batch, now = _Batch(), self._clock()
        for message in taken:
            feed = self.feeds[str(message.topic())]
            name = feed.table or "outbox"
            try:
                outcome = self._take(message, feed, batch, now)
            except (EnvelopeUnreadable, FieldError, NotEncodable) as error:
                batch.records.append(self._letter(message, self._reason(message, feed, error), now))
                outcome = "dead_letter"
            except RegistryUnavailable:
                raise
            except Exception as error:  # of ours: it costs this record, and not all that come behind it
                log.exception("cdc.bug", topic=message.topic(), offset=message.offset())
                batch.records.append(self._letter(message, _bug(message, error), now))
                outcome = "dead_letter"
            batch.counts.append((feed.instance.name, name, outcome))
        return batch

    def _take(self, message: Message, feed: Feed, batch: _Batch, now: datetime) -> str:
        data = message.value()
        if data is None:  # the tombstone after a deletion
            return "tombstone"
        value = self._values.decode(data)
        if feed.table is None:
            routed = events.route(event_of(value), "", feed.instance, now, None, source="CDC")
            batch.records.append(self._event_record(routed, feed.instance.name))
            return "event"
        change = row_change(value, now)
        if change.table != feed.table:
            raise EnvelopeUnreadable(f"source.table is {change.table!r} on a topic of {feed.table}")
        found = wanted(change, feed.instance.dialect, feed.instance.writeback_columns, feed.cdc.snapshot_since)
        if isinstance(found, Noise):
            return str(found)
        for one in found:
            self._hint(one, feed.instance.name, change.at, now, batch)
        return "hint"

    def _hint(self, one: Wanted, instance: str, at: datetime | None, now: datetime, batch: _Batch) -> None:
        key = (instance, one.object_type, one.object_id)
        change: Change = {
            "instance": instance,
            "site_name": None,
            "object_type": one.object_type,
            "object_id": one.object_id,
            "object_guid": None,
            "event_type": "order.deleted" if one.deleted else _EVENT_TYPES[one.object_type],
            "source": "CDC",
            "event_id": None,
            "sequence": None,
            "occurred_at": at,
            "received_at": now,
            "traceparent": None,
            "site_id": one.site_id,
        }
        known = batch.hints.get(key)
        # Topics are no sequence: an item's deletion may be met after its order's.
        if known is None or known["event_type"] != "order.deleted":
            batch.hints[key] = change

    def _hint_record(self, change: Change) -> Record:
        key = f"{change['instance']}|{change['object_type']}|{change['object_id']}".encode()
        return Record(topics.CHANGES, key, self._codec.encode("change", change))

    def _event_record(self, routed: events.Routed, instance: str) -> Record:
        value = self._codec.encode(routed.schema, routed.value)
        if len(value) > self._settings.max_record_bytes:
            raise FieldError(
                "data", f"is {len(value)} bytes as a record; Kafka takes {self._settings.max_record_bytes}"
            )
        key = record_key(routed.schema, instance, routed.object_type, routed.object_id)
        return Record(topic_of(routed.schema), key, value)

    def _reason(self, message: Message, feed: Feed, error: Exception) -> Reason:
        return Reason(
            ErrorClass.VALIDATION,
            "unreadable_field" if isinstance(error, FieldError | NotEncodable) else "unreadable_envelope",
            f"{message.topic()}: {error}",
            "mend the sender of the outbox's row, which then is written anew"
            if feed.table is None
            else "compare the connector's configuration with docs/cdc.md; the order comes with its next change, or by "
            "`k2x backfill`",
            exception=error,
        )

    def _letter(self, message: Message, reason: Reason, now: datetime) -> Record:
        """The record as it came, among the dead letters of hints: `k2x dlt redrive` brings it back to its topic."""
        topic = str(message.topic())
        origin = Origin(topic, message.partition() or 0, message.offset() or 0, "cdc", "take")
        headers: list[tuple[str, bytes | None]] = list(message.headers() or [])
        log.warning("cdc.dead_letter", code=reason.code, topic=topic, offset=message.offset(), problem=reason.message)
        return Record(
            topics.dead_letter(topics.CHANGES),
            message.key(),
            message.value(),
            letter_headers(origin, reason, now, previous=headers),
        )


def _bug(message: Message, error: Exception) -> Reason:
    text = f"{message.topic()}: a fault of k2x: {type(error).__name__}: {error}"
    hint = "report it with this letter's stack trace; redrive it after an upgrade"
    return Reason(ErrorClass.BUG, "cdc_bug", text, hint, exception=error)


async def run_cdc(
    settings: CdcProcessSettings,
    kafka: Mapping[str, Any],
    codec: Codec,
    deliver: Delivers,
    stop: asyncio.Event,
    clock: Callable[[], datetime],
    schemas: Schemas | None,
) -> None:
    """Read Debezium's topics until `stop` is set. `kafka` is librdkafka's configuration (bootstrap, security)."""
    await Cdc(settings, kafka, codec, deliver, clock, schemas).run(stop)
