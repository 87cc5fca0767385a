"""Results to other systems, by signed webhooks. Guarantee: at least once, in the order of each order's results; an
offset is committed only after the target answered 2xx, or the dead letter is acknowledged. A repeat has the same id.

An event at which alone a target fails (500, while it takes others) holds up no other, and counts as refused. What a
target refuses goes to the dead letters of k2x.confirmations.v1, and `k2x dlt redrive` brings it to that topic,
which is read beside the results: a result that is told again is then no new result for anybody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import httpx
import orjson
import structlog
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.confirm import metrics
from connectors.confirm.errors import TargetRefused, TargetUnavailable
from connectors.confirm.events import event, event_id, what_of
from connectors.confirm.settings import ConfirmSettings, Target
from connectors.kentico.receiver import Delivers
from connectors.kentico.signature import sign
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import NotDelivered, RegistryUnavailable, SchemaError
from schemas.letters import ErrorClass, Origin, Reason, letter_headers
from schemas.types import Result

log = structlog.get_logger()

SIGNATURE_HEADER = "X-K2X-Signature"
TARGET_HEADER = "x-confirm-target"
EVENT_HEADER = "x-confirm-event"

_CONSUMER: Mapping[str, Any] = {
    "auto.offset.reset": "earliest",
    "enable.auto.offset.store": False,
    "enable.auto.commit": True,
    "auto.commit.interval.ms": 1000,
    "partition.assignment.strategy": "cooperative-sticky",
}
_POLL_S = 0.2
_TIMEOUT_S = 20.0
_LONGEST_PAUSE_S = 60.0
# Statuses that a person or time mends; any other 4xx is the confirmation's own.
_FAILED = 500
_SIFT_AFTER = 5  # answers of 500 in a row, before it is found out whether one event of the batch is their cause
_TRANSIENT = frozenset({401, 403, 408, 425, 429})


@dataclass(frozen=True)
class _Told:
    """One result, and the event that it becomes."""

    message: Message
    result: Result
    event: dict[str, Any]


class Confirmations:
    """One target's. `run` ends when `stop` is set."""

    def __init__(
        self,
        target: Target,
        settings: ConfirmSettings,
        kafka: Mapping[str, Any],
        codec: Codec,
        deliver: Delivers,
        clock: Callable[[], datetime],
    ) -> None:
        self._target = target
        self._codec = codec
        self._deliver = deliver
        self._clock = clock
        session = {
            "session.timeout.ms": int(settings.session_timeout_s * 1000),
            "heartbeat.interval.ms": int(settings.session_timeout_s * 1000 / 5),
        }
        self._conf = {**_CONSUMER, **session, "group.id": f"{settings.group_id}-{target.name}", **kafka}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"confirm-{target.name}")
        self._dice = random.Random()  # noqa: S311 - spreads repeats, no secret

    async def run(self, stop: asyncio.Event) -> None:
        """Tell the target of each result until `stop`."""
        consumer = Consumer(self._conf)
        async with httpx.AsyncClient(timeout=self._target.timeout_s, follow_redirects=False) as client:
            try:
                if not self._target.history:
                    await self._blocking(self._begin_now, consumer)
                consumer.subscribe([topics.RESULTS, topics.CONFIRMATIONS])
                log.info("confirm.started", target=self._target.name)
                while not stop.is_set():
                    messages = await self._blocking(consumer.consume, self._target.batch, _POLL_S)
                    taken = [message for message in messages if self._usable(message)]
                    if taken and await self._handled(client, consumer, taken, stop):
                        self._store(consumer, taken)
            finally:
                await self._blocking(consumer.close)
                self._thread.shutdown(wait=False)
                log.info("confirm.stopped", target=self._target.name)

    async def _blocking(self, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def _begin_now(self, consumer: Consumer) -> None:
        """A target that is new begins with the next result: it is committed where that is, before anything is read."""
        known = consumer.list_topics(topics.RESULTS, timeout=_TIMEOUT_S).topics[topics.RESULTS].partitions
        places = consumer.committed([TopicPartition(topics.RESULTS, number) for number in known], timeout=_TIMEOUT_S)
        new = [place for place in places if place.offset == OFFSET_INVALID]
        for place in new:
            place.offset = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)[1]
        if new:
            consumer.commit(offsets=new, asynchronous=False)

    def _usable(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.fatal():
            raise KafkaException(error)
        if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            log.warning("confirm.kafka_error", target=self._target.name, problem=str(error))
        return False

    async def _handled(
        self, client: httpx.AsyncClient, consumer: Consumer, taken: list[Message], stop: asyncio.Event
    ) -> bool:
        """Whether all of it is told, or a dead letter; only a stop leaves it undone. `taken` grows by what is needed to
        tell an event that fails alone from an outage."""
        pause = self._target.backoff_s
        unread, fatal = list(taken), 0
        told: list[_Told] = []
        while True:
            try:
                if fatal >= _SIFT_AFTER and len(told) < self._target.batch:
                    more = await self._blocking(consumer.consume, self._target.batch, _POLL_S)
                    unread += (usable := [message for message in more if self._usable(message)])
                    taken += usable
                told += await self._read(unread)
                unread = []
                while told:
                    await (self._sift(client, told) if fatal >= _SIFT_AFTER else self._tell(client, told))
                    fatal = 0
                return True
            except (TargetUnavailable, NotDelivered, RegistryUnavailable) as error:
                fatal = fatal + 1 if isinstance(error, TargetUnavailable) and error.status == _FAILED else 0
                metrics.CONFIRM_OUTAGE.labels(self._target.name).set(1)
                log.warning("confirm.waiting", target=self._target.name, pause_s=pause, problem=str(error))
                wait = pause * (0.5 + self._dice.random() / 2)
                if isinstance(error, TargetUnavailable) and error.retry_after is not None:
                    wait = max(wait, min(error.retry_after, _LONGEST_PAUSE_S))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), wait)
                if stop.is_set():
                    return False
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _read(self, taken: Sequence[Message]) -> list[_Told]:
        """The events; what is none of the target's is passed over, what cannot be read is a dead letter."""
        told: list[_Told] = []
        for message in taken:
            headers = dict(message.headers() or [])
            if headers.get(TARGET_HEADER, self._target.name.encode()) != self._target.name.encode():
                continue
            try:
                result = cast(Result, self._codec.decode(message.value() or b""))
            except SchemaError as error:
                hint = "upgrade k2x if a newer one wrote it, then `k2x dlt redrive`"
                reason = Reason(ErrorClass.VALIDATION, "not_decodable", str(error), hint, exception=error)
                await self._deliver.deliver([self._letter(message, None, reason)])
                metrics.CONFIRMATIONS.labels(self._target.name, "dead_letter").inc()
                continue
            what = what_of(result, self._target)
            if what is None:
                metrics.CONFIRMATIONS.labels(self._target.name, "not_wanted").inc()
                continue
            told.append(_Told(message, result, event(result, what, _identity(message))))
        return told

    async def _tell(self, client: httpx.AsyncClient, told: list[_Told]) -> None:
        """Send what is left; what is dealt with leaves the list. A batch that is refused is told one by one."""
        part = list(told)
        try:
            await self._post(client, part)
        except TargetRefused as error:
            if len(part) > 1:
                part = part[:1]
                await self._alone(client, part[0])
            else:
                await self._refused(part[0], error)
        else:
            metrics.CONFIRMATIONS.labels(self._target.name, "sent").inc(len(part))
        metrics.CONFIRM_OUTAGE.labels(self._target.name).set(0)
        del told[: len(part)]

    async def _sift(self, client: httpx.AsyncClient, told: list[_Told]) -> None:
        """Tell each alone; later ones of an order whose event fails are kept for afterwards. Where some are taken
        those that fail are themselves the cause; where none is, it is an outage all the same: TargetUnavailable."""
        failed: dict[str | None, tuple[_Told, TargetUnavailable]] = {}
        taken = 0
        for one in list(told):
            if one.result["order_id"] in failed:
                continue
            try:
                await self._alone(client, one)
            except TargetUnavailable as error:
                if error.status != _FAILED:
                    raise
                failed[one.result["order_id"]] = one, error
                continue
            taken += 1
            told.remove(one)
        for one, problem in failed.values():
            if not taken:
                raise problem
            try:  # once more: the outage may have ended between this one and those that were taken
                await self._alone(client, one)
            except TargetUnavailable as error:
                if error.status != _FAILED:
                    raise
                await self._refused(one, TargetRefused(f"it takes others, and fails at this one each time: {error}"))
            told.remove(one)
        metrics.CONFIRM_OUTAGE.labels(self._target.name).set(0)

    async def _alone(self, client: httpx.AsyncClient, one: _Told) -> None:
        try:
            await self._post(client, [one])
        except TargetRefused as error:
            await self._refused(one, error)
        else:
            metrics.CONFIRMATIONS.labels(self._target.name, "sent").inc()

    async def _refused(self, one: _Told, error: TargetRefused) -> None:
        key = f"{one.result['instance']}|{one.result['order_id']}"
        hint = f"mend what {self._target.name} says, then `k2x dlt redrive`: only it is told again"
        reason = Reason(
            ErrorClass.VALIDATION, "confirmation_refused", str(error), hint, store=one.result["store"],
            natural_key=key, exception=error,
        )  # fmt: skip
        await self._deliver.deliver([self._letter(one.message, one.result, reason)])
        metrics.CONFIRMATIONS.labels(self._target.name, "dead_letter").inc()

    async def _post(self, client: httpx.AsyncClient, told: Sequence[_Told]) -> None:
        body = orjson.dumps([one.event for one in told])
        stamp = str(int(self._clock().timestamp()))
        signature = sign(self._target.secret.get_secret_value(), stamp, body)
        headers = {
            "Content-Type": "application/json",
            SIGNATURE_HEADER: f"t={stamp},v1={signature}",
            "X-K2X-Event-Id": str(told[0].event["eventId"]),
        }
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._target.timeout_s):
                response = await client.post(self._target.url, content=body, headers=headers)
        except (httpx.TransportError, TimeoutError) as error:
            problem = str(error) or type(error).__name__
            raise TargetUnavailable(f"{self._target.name}: no answer ({problem})") from error
        finally:
            metrics.CONFIRM_SECONDS.labels(self._target.name).observe(time.perf_counter() - began)
        status = response.status_code
        if 200 <= status < 300:
            return
        said = f"{self._target.name} ({self._target.url}) answered {status}: {response.text[:200]}"
        if status in _TRANSIENT or status >= 500:
            after = response.headers.get("Retry-After", "")
            raise TargetUnavailable(said, float(after) if after.isdigit() else None, status)
        raise TargetRefused(said)

    def _letter(self, message: Message, result: Result | None, reason: Reason) -> Record:
        identity = _identity(message)
        log.warning("confirm.dead_letter", target=self._target.name, told=identity, problem=reason.message)
        # Its origin is the topic that a redrive shall bring it to; where the result itself lies is in the event's id.
        origin = Origin(topics.CONFIRMATIONS, -1, -1, f"confirm-{self._target.name}", "send")
        headers = letter_headers(origin, reason, self._clock(), previous=message.headers() or [])
        ours = {TARGET_HEADER, EVENT_HEADER}
        headers = [(name, value) for name, value in headers if name not in ours]
        headers += [(TARGET_HEADER, self._target.name.encode()), (EVENT_HEADER, identity.encode())]
        about = identity if result is None else f"{result['key']}|{result['kind']}|{result['ordinal']}|{identity}"
        key = f"{self._target.name}|{about}".encode()
        return Record(topics.dead_letter(topics.CONFIRMATIONS), key, message.value(), headers)

    def _store(self, consumer: Consumer, taken: Sequence[Message]) -> None:
        ends = {(str(message.topic()), message.partition() or 0): (message.offset() or 0) + 1 for message in taken}
        for (topic, partition), offset in ends.items():
            try:
                consumer.store_offsets(offsets=[TopicPartition(topic, partition, offset)])
            except KafkaException as error:  # the partition has just gone: its next owner tells these again
                log.info("confirm.offset_not_stored", topic=topic, partition=partition, problem=str(error))


def _identity(message: Message) -> str:
    """Of the result; one that is told again keeps its own."""
    known = dict(message.headers() or []).get(EVENT_HEADER)
    if known is not None:
        return str(known, "utf-8", "replace")
    return event_id(str(message.topic()), message.partition() or 0, message.offset() or 0)


async def run_confirm(
    settings: ConfirmSettings,
    kafka: Mapping[str, Any],
    codec: Codec,
    deliver: Delivers,
    stop: asyncio.Event,
    clock: Callable[[], datetime],
) -> None:
    """Tell every target until `stop` is set; one that fails for good ends the process."""
    if not settings.targets:
        log.info("confirm.off", remedy="add confirmations.<name> to k2x.yaml to have a system told")
        await stop.wait()
        return
    running = [Confirmations(target, settings, kafka, codec, deliver, clock) for target in settings.targets]
    tasks = [asyncio.create_task(one.run(stop)) for one in running]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        stop.set()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        task.result()
