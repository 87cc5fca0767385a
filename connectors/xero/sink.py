"""The sink: one consumer for all organisations, one lane for each. From xero.commands.<org>.v1 into Xero, each once.

Guarantees: an organisation has one lane, in one process; on revocation its lane is closed before the callback returns;
the consumer's thread never waits for Xero, so a slow organisation delays nobody and no rebalance; memory is bounded,
because a partition whose lane is full is paused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.xero.budget import Limits
from connectors.xero.errors import LaneRefused, XeroError
from connectors.xero.lane import Client, Clock, Incoming, LaneRunner
from connectors.xero.log import LaneLog
from connectors.xero.metrics import SinkMetrics
from connectors.xero.settings import SinkSettings
from schemas import topics
from schemas.codec import Codec

logger = structlog.get_logger()
_MAX_REOPEN = 60.0  # seconds between attempts to take over again
_TOGETHER = 200  # records a poll


@dataclass(eq=False)
class _Seat:
    """An assigned organisation: its lane of the moment, and when to try again after a failure."""

    topic: str
    lane: LaneRunner | None = None
    reopen_at: float = 0.0
    failures: int = 0
    sought: bool = False  # the consumer stands where the lane wants it
    flowing: bool = False
    refused: bool = False


class Sink:
    """`run` until the event is set. `client_factory(org)` gives the organisation's client or raises XeroError or
    KeyError for one that is not configured; `limits(org)` its call limits."""

    def __init__(
        self,
        settings: SinkSettings,
        kafka_conf: Mapping[str, Any],
        codec: Codec,
        client_factory: Callable[[str], Client],
        limits: Callable[[str], Limits] = lambda org: Limits(),
        clock: Clock | None = None,
        metrics: SinkMetrics | None = None,
        pattern: str = topics.COMMANDS_PATTERN,
    ) -> None:
        self._settings, self._kafka, self._codec = settings, dict(kafka_conf), codec
        self._client_factory, self._limits = client_factory, limits
        self._clock = clock or Clock()
        self._metrics = metrics or SinkMetrics()
        self._pattern = pattern
        self._seats: dict[str, _Seat] = {}
        self._metadata: Any = None
        self.ready = threading.Event()  # the consumer has subscribed

    def run(self, stop: threading.Event) -> None:
        """Until `stop`; then every lane is closed and the group is left."""
        consumer = Consumer(self._conf())
        consumer.subscribe([self._pattern], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
        self.ready.set()
        try:
            while not stop.is_set():
                self._tend(consumer)
                for message in consumer.consume(_TOGETHER, self._settings.poll):
                    self._receive(message)
        finally:
            for org in list(self._seats):
                self._close(org)
            self._metadata = None
            consumer.close()

    def lanes(self) -> dict[str, str]:
        """Every assigned organisation and what its lane does, for a status page."""
        return {org: _describe(seat) for org, seat in self._seats.items()}

    def _conf(self) -> dict[str, Any]:
        settings = self._settings
        own: dict[str, Any] = {
            "group.id": settings.group_id,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            # Range assignment would give partition 0 of every organisation to one member.
            "partition.assignment.strategy": "cooperative-sticky",
            "topic.metadata.refresh.interval.ms": int(settings.metadata_refresh * 1000),
            "session.timeout.ms": int(settings.session_timeout * 1000),
            "heartbeat.interval.ms": int(settings.session_timeout * 1000 / 10),
            "max.poll.interval.ms": int(max(settings.max_poll_interval, settings.session_timeout) * 1000),
            "queued.max.messages.kbytes": 8192,
            "queued.min.messages": 1000,
            "fetch.wait.max.ms": 50,
        }
        if settings.instance_id:
            own["group.instance.id"] = settings.instance_id
        return {**own, **self._kafka}

    # -- rebalance ----------------------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)  # until the lane has taken over and says from where
        for partition in partitions:
            org = topics.org_of(partition.topic)
            if partition.partition != 0:
                logger.error("topic_with_partitions", topic=partition.topic, partition=partition.partition)
                seat = self._seats.setdefault(org, _Seat(partition.topic))
                seat.refused = True
                self._metrics.state(org, "refused")
                continue
            self._seats.setdefault(org, _Seat(partition.topic))
            self._metrics.rebalances.labels("assigned").inc()
            logger.info("organisation_assigned", org=org)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            if partition.partition == 0:
                self._metrics.rebalances.labels("revoked").inc()
                self._close(topics.org_of(partition.topic))
        consumer.incremental_unassign(partitions)

    def _close(self, org: str) -> None:
        seat = self._seats.pop(org, None)
        if seat is not None and seat.lane is not None:
            ended = seat.lane.close()
            logger.info("lane_closed", org=org, in_time=ended)

    # -- lanes --------------------------------------------------------------------------------------------------

    def _tend(self, consumer: Consumer) -> None:
        """Open what should run, reopen what failed, and let records flow only where they are wanted."""
        if self._seats:
            self._metadata = consumer.consumer_group_metadata()
        for org, seat in list(self._seats.items()):
            if seat.refused:
                continue
            if seat.lane is not None and seat.lane.failure is not None and not seat.lane.alive:
                self._failed(consumer, org, seat)
            if seat.lane is None and not seat.refused and self._clock.mono() >= seat.reopen_at:
                self._open(org, seat)
            if seat.lane is not None:
                self._flow(consumer, seat, seat.lane)

    def _open(self, org: str, seat: _Seat) -> None:
        try:
            client = self._client_factory(org)
        except (XeroError, KeyError) as error:
            seat.refused = True
            self._metrics.state(org, "refused")
            logger.error("organisation_not_configured", org=org, error=str(error), next="add it to k2x.yaml")
            return
        log = LaneLog(org, self._kafka, self._settings, self._codec)
        seat.lane = LaneRunner(
            org, self._settings, log, self._codec, client, self._limits(org), self._clock, self._metrics, self._group
        )
        seat.sought = seat.flowing = False
        seat.lane.start()

    def _failed(self, consumer: Consumer, org: str, seat: _Seat) -> None:
        if seat.lane is not None and isinstance(seat.lane.failure, LaneRefused):
            seat.refused = True
        seat.lane = None
        consumer.pause([TopicPartition(seat.topic, 0)])
        seat.failures += 1
        wait = min(self._settings.reopen * 2 ** (seat.failures - 1), _MAX_REOPEN)
        seat.reopen_at = self._clock.mono() + wait
        logger.warning("lane_reopens", org=org, seconds=wait, failures=seat.failures)

    def _flow(self, consumer: Consumer, seat: _Seat, lane: LaneRunner) -> None:
        partition = TopicPartition(seat.topic, 0)
        if not seat.sought and lane.start_offset is not None:
            try:
                consumer.seek(TopicPartition(seat.topic, 0, lane.start_offset))
            except KafkaException as error:
                if error.args[0].code() != KafkaError._STATE:  # not fetching yet: the next look will do
                    raise
                return
            seat.sought = True
        wanted = seat.sought and lane.hungry and lane.alive
        if wanted != seat.flowing:
            (consumer.resume if wanted else consumer.pause)([partition])
            seat.flowing = wanted
            if wanted:
                seat.failures = 0

    def _receive(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.fatal():
                raise KafkaException(error)
            logger.warning("consumer_error", error=error.str())
            return
        seat = self._seats.get(topics.org_of(message.topic() or ""))
        offset = message.offset() or 0
        if seat is None or seat.lane is None or not seat.sought or message.partition() != 0:
            return  # of a lane that is gone: it is read again from the committed offset
        headers = tuple((name, value or b"") for name, value in message.headers() or [])
        seat.lane.feed(Incoming(offset, message.key(), message.value(), headers))

    def _group(self) -> Any:
        """Read by the lanes' threads; asked of the consumer in its own thread only, where no poll can hold it up."""
        metadata = self._metadata
        if metadata is None:
            raise LaneRefused("the sink is stopping")
        return metadata


def _describe(seat: _Seat) -> str:
    if seat.refused:
        return "refused"
    if seat.lane is None:
        return "waits to be taken over again"
    if seat.lane.start_offset is None:
        return seat.lane.waits_for or "taking over"
    return "full" if seat.lane.full else "running"
