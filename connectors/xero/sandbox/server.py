"""The Xero sandbox as a server: one aiohttp process with the API, the identity service, the admin API and the books'
pages.

Guarantee: what it has answered survives kill -9 when it has a state directory; it listens on the loopback address
only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import orjson
import structlog
from aiohttp import web

from connectors.xero.sandbox.accounting import PREFIX, Latency, ServerError, Trace, World, handle, logged, respond
from connectors.xero.sandbox.admin import Admin, refusal
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.chart import Organisation, default_organisations
from connectors.xero.sandbox.clock import Clock
from connectors.xero.sandbox.errors import SandboxError, SettingRefused
from connectors.xero.sandbox.faults import Fault, Faults
from connectors.xero.sandbox.idempotency import Answer, Keys
from connectors.xero.sandbox.identity import App, Identity
from connectors.xero.sandbox.limits import DAY, MINUTE, Limits, Meter
from connectors.xero.sandbox.pages import Pages
from connectors.xero.sandbox.signin import SignIn
from connectors.xero.sandbox.store import Batch, Store

log = structlog.get_logger()
TRACE: ContextVar[Trace] = ContextVar("trace")
OWN_PATHS = ("/_sandbox", "/books")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class SandboxSettings:
    """How to run it. `port` 0 takes a free one; without `state` everything is forgotten at the end."""

    host: str = "127.0.0.1"
    port: int = 0
    state: Path | None = None
    speed: float = 1.0
    latency: Latency = field(default_factory=Latency)
    limits: Limits = field(default_factory=Limits)
    app_minute: int = 10_000
    rolling: bool = False
    idempotency_scope: str = "app"
    seed: int = 0
    organisations: tuple[Organisation, ...] = ()
    apps: tuple[App, ...] = ()


class Sandbox:
    """The sandbox. `await start()` gives the base URL, `await stop()` ends it; also an async context manager."""

    def __init__(
        self,
        settings: SandboxSettings | None = None,
        *,
        organisations: Sequence[Organisation] | None = None,
        clock: Clock | None = None,
    ):
        self.settings = settings or SandboxSettings()
        self.organisations = list(organisations or self.settings.organisations or default_organisations())
        slugs = [org.slug for org in self.organisations]
        if len(set(slugs)) != len(slugs):
            raise SettingRefused(f"two organisations have the same slug: {slugs}")
        if self.settings.host not in {"127.0.0.1", "::1", "localhost"}:
            raise SettingRefused(f"the sandbox listens on the loopback address only, not {self.settings.host}")
        self.clock = clock or Clock(speed=self.settings.speed)
        self.world = self._world()
        self.admin = Admin(self.world)
        self._restore()
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    def _world(self) -> World:
        settings, slugs = self.settings, [org.slug for org in self.organisations]
        limits = {
            slug: Limits(settings.limits.minute, settings.limits.day, settings.limits.concurrent) for slug in slugs
        }
        return World(
            clock=self.clock,
            books={org.slug: Books(org, self.clock) for org in self.organisations},
            identity=Identity(self.organisations, self.clock, settings.apps),
            meter=Meter(limits, settings.app_minute, rolling=settings.rolling),
            keys=Keys(),
            faults=Faults(settings.seed),
            store=Store(settings.state),
            latency={slug: Latency(settings.latency.base_ms, settings.latency.per_element_ms) for slug in slugs},
            key_scope=settings.idempotency_scope,
        )

    def _restore(self) -> None:
        """Continue what the state directory holds; a new directory gets the clock and the identity's key."""
        world, store = self.world, self.world.store
        if (clock := store.state("clock")) is not None:
            world.clock.restore(clock)
        created = store.state("created")
        world.created_ms = world.clock.ms() if created is None else created
        if (identity := store.state("identity")) is not None:
            world.identity.restore(identity)
        store.commit(
            Batch(
                state=[
                    ("created", orjson.dumps(world.created_ms)),
                    ("clock", orjson.dumps(world.clock.record())),
                    ("identity", world.identity.record()),
                ]
            )
        )
        for slug, books in world.books.items():
            books.load(store.rows(slug))
        for scope, key, print_, first in store.keys_held():
            world.keys.restore(scope, key, print_, first)
        for app, org, index, count in store.days():
            world.meter.restore(app, org, index, count)
        for order in store.state("settings") or []:
            self.admin.apply(order)
        for app, org, at in store.calls_since(world.clock.time() - (DAY if world.meter.rolling else MINUTE)):
            world.meter.recall(app, org, at)

    async def start(self) -> str:
        """Listen; the base URL, as http://127.0.0.1:PORT."""
        app = web.Application(client_max_size=64 * 1024 * 1024, middlewares=[self._around])
        app.add_routes(self.admin.routes())
        app.add_routes(Pages(self.world).routes())
        app.add_routes(SignIn(self.world.identity).routes())
        app.router.add_route("*", PREFIX + "{tail:.*}", self._api)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self.settings.port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.base_url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        log.info("xero_sandbox_ready", url=self.base_url, organisations=[org.slug for org in self.organisations])
        return self.base_url

    async def stop(self) -> None:
        """Stop listening and close the state."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self.world.store.close()

    async def __aenter__(self) -> Sandbox:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def api_url(self) -> str:
        """What xero-python takes as `base_url` of its AccountingApi."""
        return self.base_url + PREFIX.rstrip("/")

    async def _api(self, request: web.Request) -> web.StreamResponse:
        return await handle(self.world, request, TRACE.get())

    @web.middleware
    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Faults round everything a client may call, and the request log; the side door and the pages stay outside."""
        if request.path == "/" or request.path.startswith(OWN_PATHS):
            try:
                return await handler(request)
            except SandboxError as problem:
                return refusal(problem)
        if self.world.crash is not None:
            return web.Response(status=503, text=f"sandbox state could not be written: {self.world.crash}")
        trace = Trace(time.perf_counter())
        TRACE.set(trace)
        trace.fault = self.world.faults.pick(request.method, str(request.rel_url), self._org_of(request))
        status = 500
        try:
            response = await self._faulty(request, handler, trace.fault, trace)
            status = response.status
        finally:
            logged(self.world, request, trace, status)
        return await self._deliver(request, response, trace.fault)

    def _org_of(self, request: web.Request) -> str:
        """The organisation a fault rule may name: by tenant header, else by the token's only one; "" when neither
        tells.
        """
        tenant = request.headers.get("xero-tenant-id", "")
        found = next((org.slug for org in self.organisations if org.id == tenant), "")
        if not found and any(rule.org for rule in self.world.faults.rules):
            try:
                orgs = self.world.identity.bearer(request.headers.get("Authorization", "")).orgs
            except SandboxError:
                return ""  # an unreadable token belongs to no organisation; the handler will say so to the client
            found = orgs[0] if len(orgs) == 1 else ""
        return found

    async def _faulty(
        self, request: web.Request, handler: Handler, fault: Fault | None, trace: Trace
    ) -> web.StreamResponse:
        kind = fault.kind if fault else ""
        if kind == "drop_before":
            return web.Response(status=499)
        if kind == "503":
            return web.Response(status=503, text="Not available")
        if kind == "404_html":
            return web.Response(status=404, body=b"", content_type="text/html")
        if kind == "401":
            body = {"Type": None, "Title": "Unauthorized", "Status": 401, "Detail": "TokenExpired", "Instance": ""}
            return web.Response(status=401, body=orjson.dumps(body), content_type="application/json")
        if fault and kind == "429":
            headers = {"X-Rate-Limit-Problem": fault.problem}
            if fault.problem in {"minute", "day"}:
                headers["Retry-After"] = str(fault.retry_after)
                headers["X-MinLimit-Remaining" if fault.problem == "minute" else "X-DayLimit-Remaining"] = "0"
            return respond(Answer(429, b"", ""), headers)
        if fault and kind == "stall_before":
            await request.read()  # Xero has it whole: it is carried out even if its sender is gone by then
            await asyncio.sleep(fault.seconds)
        if kind == "500_before" and not request.path.startswith(PREFIX):
            return web.Response(status=500, body=orjson.dumps(ServerError), content_type="application/json")
        response = await handler(request)
        if kind == "500_after" and not request.path.startswith(PREFIX):
            return web.Response(status=500, body=orjson.dumps(ServerError), content_type="application/json")
        if kind == "html_200_after":
            return web.Response(text="<html><body><h1>Xero</h1>Please wait</body></html>", content_type="text/html")
        return response

    async def _deliver(
        self, request: web.Request, response: web.StreamResponse, fault: Fault | None
    ) -> web.StreamResponse:
        """Lose or cut the answer on the way out."""
        kind = fault.kind if fault else ""
        if fault and kind == "stall_after":
            await asyncio.sleep(fault.seconds)
        if kind in {"drop_before", "drop_after"} and request.transport is not None:
            request.transport.abort()
        if kind == "truncate_after" and isinstance(response, web.Response) and isinstance(response.body, bytes):
            whole = response.body
            cut = web.StreamResponse(status=response.status, headers=response.headers)
            cut.content_length = len(whole)
            await cut.prepare(request)
            await cut.write(whole[: len(whole) // 2])
            if request.transport is not None:
                request.transport.close()
            return cut
        return response


async def serve(settings: SandboxSettings, *, ready: Callable[[Sandbox], None] | None = None) -> None:
    """Run until cancelled. `ready` is called once with the running sandbox."""
    sandbox = Sandbox(settings)
    await sandbox.start()
    try:
        if ready is not None:
            ready(sandbox)
        await asyncio.Event().wait()
    finally:
        await sandbox.stop()
