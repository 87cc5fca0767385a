"""The web process that accepts Kentico's events. Guarantee: 202 only after every record of the request is on Kafka.

A request is accepted whole or not at all. Requests under way share deliveries; a delivery that fails answers 503 to
each of its requests, and the sender repeats them (records that did arrive are repeated with them: versions settle it).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import structlog
from aiohttp import web

from connectors.kentico import events, metrics, signature
from connectors.kentico.errors import FieldError, Unsigned
from connectors.kentico.settings import InstanceSettings, ReceiverSettings
from schemas import spans, topics, traces
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import NotDelivered, NotEncodable

log = structlog.get_logger()

Clock = Callable[[], datetime]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_COUNTED = {
    "order": "orders",
    "customer": "customers",
    "product": "products",
    "change": "changes",
    "settlement": "settlements",
}
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
# Building 50 orders takes about 20 ms: other requests must get their turn.
_YIELD_EVERY = 25
# Of one delivery; about 10 MB of whole orders.
_DELIVERY_RECORDS = 5_000


class Delivers(Protocol):
    """What the receiver needs of schemas.delivery.Deliverer."""

    async def deliver(self, records: Sequence[Record]) -> None:
        """Return once all are acknowledged; NotDelivered otherwise."""


class _Refused(Exception):
    """An answer other than 202. `code` is for people who grep, `message` says what to do."""

    def __init__(
        self, status: int, code: str, message: str, *, path: str | None = None, retry_after: int | None = None
    ):
        super().__init__(message)
        self.status, self.code, self.message, self.path, self.retry_after = status, code, message, path, retry_after


@dataclass(frozen=True)
class _Waiting:
    records: list[Record]
    done: asyncio.Future[None]


class _Batcher:
    """Joins the records of requests under way into deliveries, one delivery at a time."""

    def __init__(self, deliver: Delivers) -> None:
        self._deliver = deliver
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None
        self.failing_since: float | None = None

    async def deliver(self, records: list[Record]) -> None:
        """Return once these records are acknowledged; NotDelivered otherwise."""
        waiting = _Waiting(records, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="receiver-delivery")
        await waiting.done

    async def _run(self) -> None:
        while self._waiting:
            batch: list[_Waiting] = []
            count = 0
            while self._waiting and (not batch or count + len(self._waiting[0].records) <= _DELIVERY_RECORDS):
                batch.append(self._waiting.pop(0))
                count += len(batch[-1].records)
            error = await self._one(batch)
            for waiting in batch:
                if waiting.done.done():  # the sender hung up
                    continue
                if error is None:
                    waiting.done.set_result(None)
                else:
                    waiting.done.set_exception(NotDelivered(str(error)))

    async def _one(self, batch: list[_Waiting]) -> BaseException | None:
        records = [record for waiting in batch for record in waiting.records]
        metrics.RECEIVER_DELIVERY.observe(len(records))
        try:
            await self._deliver.deliver(records)
        except NotDelivered as error:
            if self.failing_since is None:
                self.failing_since = time.monotonic()
            log.warning("receiver.not_delivered", records=len(records), requests=len(batch), problem=str(error))
            return error
        except Exception as error:  # a bug of ours must answer the waiting requests, not hang them
            log.exception("receiver.delivery_failed", records=len(records))
            return error
        self.failing_since = None
        return None


class Receiver:
    """`app()` is the web application; `deliver` is usually a schemas.delivery.Deliverer; `clock` gives aware UTC."""

    def __init__(self, settings: ReceiverSettings, codec: Codec, deliver: Delivers, clock: Clock) -> None:
        self._settings = settings
        self._codec = codec
        self._clock = clock
        self._batcher = _Batcher(deliver)
        self._in_flight = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=self._settings.max_body_bytes)
        app.router.add_post("/kentico/{instance}/events", self._guarded("events", self._events))
        app.router.add_post("/kentico/{instance}/hints/{token}", self._guarded("hints", self._hints))
        app.router.add_get("/healthz", self._health)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        since = self._batcher.failing_since
        broker = "ok" if since is None else f"not acknowledging for {time.monotonic() - since:.0f} s"
        return web.json_response({"status": "ok", "broker": broker, "in_flight_bytes": self._in_flight})

    def _guarded(
        self, route: str, handler: Callable[[web.Request, InstanceSettings], Awaitable[dict[str, int]]]
    ) -> Handler:
        """The handler with its answers, counts and duration; every refusal is one log line."""

        async def handle(request: web.Request) -> web.Response:
            started = time.perf_counter()
            instance = self._settings.by_name.get(request.match_info["instance"])
            label = "unknown" if instance is None else instance.name
            try:
                if instance is None:
                    raise _Refused(404, "unknown_instance", "there is no such instance; see `instances` in k2x.yaml")
                response = web.json_response(await handler(request, instance), status=202)
            except _Refused as refused:
                log.info(
                    "receiver.refused",
                    instance=label,
                    route=route,
                    status=refused.status,
                    code=refused.code,
                    path=refused.path,
                )
                response = _answer(refused)
            if spans.on():
                _leave_span(request, label, route, response.status, time.perf_counter() - started)
            metrics.RECEIVER_REQUESTS.labels(label, route, response.status).inc()
            metrics.RECEIVER_SECONDS.labels(route).observe(time.perf_counter() - started)
            return response

        return handle

    async def _events(self, request: web.Request, instance: InstanceSettings) -> dict[str, int]:
        if not instance.secrets:
            raise _Refused(401, "no_secret", f"instance {instance.name} has no webhook secret configured")
        async with self._body(request) as body:
            now = self._clock()
            try:
                signature.verify(
                    request.headers.get(signature.HEADER),
                    body,
                    [secret.get_secret_value() for secret in instance.secrets],
                    now,
                    self._settings.tolerance_s,
                )
            except Unsigned as error:
                raise _Refused(401, f"signature_{error.code}", str(error)) from None
            return await self._accept(body, instance, now, _traceparent(request), signed=True)

    async def _hints(self, request: web.Request, instance: InstanceSettings) -> dict[str, int]:
        token = instance.hint_token
        given = request.match_info["token"].encode()
        if token is None or not hmac.compare_digest(given, token.get_secret_value().encode()):
            raise _Refused(401, "hint_token", "the address's token is not the instance's hint token")
        async with self._body(request) as body:
            return await self._accept(body, instance, self._clock(), _traceparent(request), signed=False)

    @contextlib.asynccontextmanager
    async def _body(self, request: web.Request) -> Any:
        """The raw body, counted against the memory that requests under way may hold."""
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise _Refused(415, "content_encoding", "send the body uncompressed: the signature is over its bytes")
        limit = self._settings.max_body_bytes
        too_large = _Refused(413, "too_large", f"the body is larger than {limit} bytes: send fewer events at once")
        if (request.content_length or 0) > limit:
            raise too_large
        reserved = request.content_length or limit
        if self._in_flight + reserved > self._settings.max_in_flight_bytes:
            raise _Refused(429, "busy", "too much is under way: repeat later", retry_after=1)
        self._in_flight += reserved
        metrics.RECEIVER_IN_FLIGHT.set(self._in_flight)
        try:
            try:
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                raise too_large from None
            yield body
        finally:
            self._in_flight -= reserved
            metrics.RECEIVER_IN_FLIGHT.set(self._in_flight)

    async def _accept(
        self, body: bytes, instance: InstanceSettings, now: datetime, traceparent: str | None, *, signed: bool
    ) -> dict[str, int]:
        counts = dict.fromkeys(("accepted", *_COUNTED.values(), "downgraded"), 0)
        outcomes: list[tuple[str, str]] = []
        records: list[Record] = []
        try:
            for path, event in events.as_list(events.parse_json(body), self._settings.max_events):
                if signed:
                    routed = events.route(event, path, instance, now, traceparent)
                else:
                    change = events.hint(event, path, instance, now)
                    change["traceparent"] = traceparent
                    routed = events.Routed("change", change, change["object_type"], change["object_id"])
                records.append(self._record(routed, instance, path, traceparent))
                outcomes.append((routed.schema, "downgraded" if routed.downgraded else "accepted"))
                counts[_COUNTED[routed.schema]] += 1
                if routed.downgraded:
                    counts["downgraded"] += 1
                    log.info(
                        "receiver.downgraded", instance=instance.name, order=routed.object_id, lacks=routed.downgraded
                    )
                if len(records) % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)
        except FieldError as error:
            metrics.RECEIVER_EVENTS.labels(instance.name, "request", "refused").inc()
            raise _Refused(400, "invalid", error.problem, path=error.path) from None
        await self._deliver(records, outcomes, instance)
        return counts | {"accepted": len(records)}

    async def _deliver(
        self, records: list[Record], outcomes: list[tuple[str, str]], instance: InstanceSettings
    ) -> None:
        try:
            await self._batcher.deliver(records)
        except NotDelivered:
            metrics.RECEIVER_EVENTS.labels(instance.name, "request", "not_delivered").inc()
            message = "Kafka did not acknowledge: nothing of this request counts as accepted, repeat it"
            raise _Refused(503, "not_delivered", message, retry_after=self._settings.retry_after_s) from None
        for kind, outcome in outcomes:
            metrics.RECEIVER_EVENTS.labels(instance.name, kind, outcome).inc()

    def _record(self, routed: events.Routed, instance: InstanceSettings, path: str, traceparent: str | None) -> Record:
        try:
            value = self._codec.encode(routed.schema, routed.value)
        except NotEncodable as error:
            raise FieldError(path.rstrip(".") or "event", str(error)) from None
        if len(value) > self._settings.max_record_bytes:
            raise FieldError(
                path.rstrip(".") or "event",
                f"is {len(value)} bytes as a record; Kafka takes {self._settings.max_record_bytes}",
            )
        headers = [("traceparent", traceparent.encode())] if traceparent else []
        return Record(
            topic_of(routed.schema),
            record_key(routed.schema, instance.name, routed.object_type, routed.object_id),
            value,
            headers,
        )


def topic_of(schema: str) -> str:
    """Where records of a schema go."""
    return {
        "order": topics.ORDERS,
        "customer": topics.CUSTOMERS,
        "product": topics.PRODUCTS,
        "change": topics.CHANGES,
        "settlement": topics.SETTLEMENTS,
    }[schema]


def record_key(schema: str, instance: str, object_type: str, object_id: int | str) -> bytes:
    """`instance|id`; of a change `instance|object_type|id`, of a settlement `instance|settlement/gateway/id`."""
    if schema == "settlement":
        return topics.settlement_key(instance, *str(object_id).split("/", 1))
    return (
        f"{instance}|{object_type}|{object_id}".encode()
        if schema == "change"
        else topics.order_key(instance, object_id)
    )


async def run_receiver(
    receiver: Receiver, settings: ReceiverSettings, stop: asyncio.Event, ready: Callable[[int], None] | None = None
) -> None:
    """Serve until `stop` is set, then answer what is under way and return. `ready` is told the port."""
    # No access log: a hint's token is part of its address.
    runner = web.AppRunner(receiver.app(), access_log=None, shutdown_timeout=settings.drain_s)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        await site.start()
        port = int(runner.addresses[0][1])
        log.info("receiver.started", host=settings.host, port=port, instances=sorted(settings.by_name))
        if ready is not None:
            ready(port)
        await stop.wait()
    finally:
        await runner.cleanup()
        log.info("receiver.stopped")


def _traceparent(request: web.Request) -> str | None:
    """The sender's, or where traces are taken, one of the request's own."""
    value = request.headers.get("traceparent", "")
    if _TRACEPARENT.fullmatch(value):
        return value
    if not spans.on():
        return None
    own: str = request.setdefault("traceparent", traces.make(secrets.token_hex(16), secrets.token_hex(8)))
    return own


def _leave_span(request: web.Request, instance: str, route: str, status: int, seconds: float) -> None:
    now = time.time()
    attributes: dict[str, str | int] = {"k2x.instance": instance, "k2x.route": route, "http.status_code": status}
    parent = _traceparent(request)
    spans.record(spans.Span("receive", now - seconds, now, parent, attributes=attributes, failed=status >= 500))


def _answer(refused: _Refused) -> web.Response:
    body: dict[str, Any] = {"error": refused.code, "message": refused.message}
    if refused.path is not None:
        body["path"] = refused.path
    headers = {"Retry-After": str(refused.retry_after)} if refused.retry_after is not None else {}
    return web.json_response(body, status=refused.status, headers=headers)
