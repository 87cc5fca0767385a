"""The pipeline of an Accounting API request: token, scope, tenant, limits, latency, idempotency, work, commit,
headers.

Guarantee: the answer leaves only after the request's trace is committed; a replayed key never runs twice; a 429 has
touched nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson
import structlog
from aiohttp import web

from connectors.xero.sandbox import api
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.calls import Call
from connectors.xero.sandbox.clock import Clock
from connectors.xero.sandbox.errors import JSON_TYPE, HttpError, IdempotencyMisuse, PostDataInvalid
from connectors.xero.sandbox.faults import Fault, Faults
from connectors.xero.sandbox.idempotency import METHODS, Answer, Entry, Keys, fingerprint
from connectors.xero.sandbox.identity import Bearer, Identity
from connectors.xero.sandbox.limits import Limits, Meter
from connectors.xero.sandbox.store import Batch, Store, body

log = structlog.get_logger()
PREFIX = "/api.xro/2.0/"
LARGEST_BODY = 10 * 1024 * 1024
ServerError: dict[str, Any] = {
    "Type": None,
    "Title": "An error occurred",
    "Status": 500,
    "Detail": "An error occurred in Xero.",
}


@dataclass
class Latency:
    """How long Xero takes, in sandbox time: half of the base before the books change, the rest after."""

    base_ms: float = 0.0
    per_element_ms: float = 0.0

    def seconds(self, elements: int) -> float:
        """The whole latency of a request."""
        return (self.base_ms + self.per_element_ms * elements) / 1000


@dataclass
class World:
    """Everything the handlers share."""

    clock: Clock
    books: dict[str, Books]
    identity: Identity
    meter: Meter
    keys: Keys
    faults: Faults
    store: Store
    latency: dict[str, Latency]
    key_scope: str = "app"
    limits: dict[str, Limits] = field(default_factory=dict)
    created_ms: int = 0
    crash: Exception | None = None


@dataclass
class Trace:
    """What the request log will say."""

    started: float
    org: str = ""
    app: str = ""
    route: str = ""
    elements: int = 0
    failed: int = 0
    replay: bool = False
    fault: Fault | None = None


def answer_of(problem: HttpError) -> Answer:
    """A raised reply as an answer."""
    return Answer(problem.status, problem.payload(), problem.content_type, 0, tuple(problem.headers.items()))


def respond(answer: Answer, headers: dict[str, str]) -> web.Response:
    """The HTTP response; an empty body carries no content type unless Xero's does."""
    made = web.Response(status=answer.status, body=answer.body, headers=headers | dict(answer.headers))
    if answer.content_type:
        made.headers["Content-Type"] = answer.content_type
    else:
        made.headers.popall("Content-Type", None)
    return made


async def handle(world: World, request: web.Request, trace: Trace) -> web.Response:
    """One request to /api.xro/2.0/…, from the token to the response."""
    tail = unquote(request.rel_url.raw_path.removeprefix(PREFIX))
    try:
        bearer = world.identity.bearer(request.headers.get("Authorization", ""))
        trace.app = bearer.client_id
        route = api.resolve(request.method, tail)
        trace.route = route.label
        world.identity.check_scope(bearer, route.resource, read=request.method == "GET")
        org = world.identity.tenant(bearer, request.headers.get("xero-tenant-id"))
        trace.org = org.slug
    except HttpError as problem:
        return respond(answer_of(problem), {})
    refusal = world.meter.enter(bearer.client_id, org.slug, world.clock.time())
    if refusal is not None:
        headers = world.meter.headers(bearer.client_id, org.slug, world.clock.time())
        headers["X-Rate-Limit-Problem"] = refusal.problem
        if refusal.retry_after is not None:
            headers["Retry-After"] = str(refusal.retry_after)
        return respond(Answer(429, b"", ""), headers)
    try:
        sent = await request.read()
        answer = await _once(world, request, sent, route, world.books[org.slug], bearer, trace)
        return respond(answer, world.meter.headers(bearer.client_id, org.slug, world.clock.time()))
    finally:
        world.meter.leave(bearer.client_id, org.slug)


async def _once(
    world: World, request: web.Request, sent: bytes, route: api.Route, books: Books, bearer: Bearer, trace: Trace
) -> Answer:
    """Run the request, or give the answer its idempotency key already has."""
    key = request.headers.get("Idempotency-Key", "")
    latency = world.latency[books.org.slug]
    if not key or request.method not in METHODS:
        return await _work(world, request, sent, route, books, bearer, trace, latency, None)
    scope = bearer.client_id if world.key_scope == "app" else bearer.token_id
    print_ = fingerprint(request.method, str(request.rel_url), sent)
    while True:
        try:
            entry, fresh = world.keys.begin(scope, key, print_, world.clock.time())
        except IdempotencyMisuse as problem:
            return answer_of(problem)
        if fresh:
            break
        trace.replay = True
        await entry.done.wait()
        if (kept := world.store.answer(scope, key) if entry.finished else None) is not None:
            trace.elements = kept.elements
            return kept
    trace.replay = False
    try:
        return await _work(world, request, sent, route, books, bearer, trace, latency, (scope, key, entry))
    finally:
        if not entry.finished:
            world.keys.forget(scope, key, entry)


async def _work(
    world: World,
    request: web.Request,
    sent: bytes,
    route: api.Route,
    books: Books,
    bearer: Bearer,
    trace: Trace,
    latency: Latency,
    held: tuple[str, str, Entry] | None,
) -> Answer:
    call = Call(
        books=books,
        method=request.method,
        query=request.query,
        body=sent,
        app=bearer.client_id,
        app_name=world.identity.apps[bearer.client_id].name,
        changed_since=request.headers.get("If-Modified-Since"),
        created_ms=world.created_ms,
    )
    await world.clock.sleep(latency.base_ms / 2000)
    kind = trace.fault.kind if trace.fault else ""
    answer = Answer(500, orjson.dumps(ServerError), JSON_TYPE)
    if kind != "500_before":
        done = _run(route, call, sent)
        trace.elements, trace.failed = call.elements, call.failed
        answer = answer if kind == "500_after" else done
    _commit(world, books, bearer, held, answer)
    await world.clock.sleep(latency.seconds(call.elements if request.method in METHODS else 0) - latency.base_ms / 2000)
    return answer


def _run(route: api.Route, call: Call, sent: bytes) -> Answer:
    """The work itself: no await between reading the books and having changed them."""
    try:
        if len(sent) > LARGEST_BODY:
            raise PostDataInvalid("The request is larger than the maximum of 10 MB")
        return api.run(route, call)
    except HttpError as problem:
        if call.books.changed:
            raise RuntimeError(f"{route.label} wrote rows and then ended with {problem}") from problem
        return answer_of(problem)


def _commit(world: World, books: Books, bearer: Bearer, held: tuple[str, str, Entry] | None, answer: Answer) -> None:
    """Books, key and day's count in one transaction; only then may anybody see the answer."""
    slug = books.org.slug
    batch = Batch(days=[world.meter.record(bearer.client_id, slug)])
    batch.rows = [(slug, kind, id_, body(row)) for (kind, id_), row in books.changed.items()]
    if held is not None:
        scope, key, entry = held
        batch.keys = [(scope, key, entry.fingerprint, entry.first, answer)]
        batch.expired = list(world.keys.expire(world.clock.time()))
    try:
        world.store.commit(batch)
    except Exception as problem:
        # the books in memory are now ahead of the disk: going on would answer from a state that a restart does not have
        world.crash = problem
        raise
    books.changed.clear()
    if held is not None:
        world.keys.finish(held[2])


def logged(world: World, request: web.Request, trace: Trace, status: int) -> None:
    """One row of the request log."""
    row = (
        world.clock.time(),
        trace.org,
        trace.app,
        request.method,
        trace.route or request.path,
        str(request.rel_url)[:500],
        status,
        trace.elements,
        trace.failed,
        trace.fault.kind if trace.fault else "",
        int(trace.replay),
        round((time.perf_counter() - trace.started) * 1000, 2),
    )
    batch = Batch(requests=[row])
    if world.identity.changed:
        batch.state = [("identity", world.identity.record())]
        world.identity.changed = False
    world.store.commit(batch)
