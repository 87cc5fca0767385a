"""A receiver that answers what a test tells it to, and a running sandbox that posts to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from connectors.kentico.sandbox.server import Sandbox


@dataclass
class Receiver:
    """Keeps every request; `answers` are given first, then always 202."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((request.path, dict(request.headers), await request.read()))
        status = self.answers.pop(0) if self.answers else 202
        return web.Response(status=status, headers={"Retry-After": "0"} if status == 503 else {})

    @property
    def events(self) -> list[dict[str, Any]]:
        """All signed events that were posted, refused ones included."""
        found = []
        for path, _, body in self.requests:
            if path.endswith("/events"):
                parsed = json.loads(body)
                found += parsed if isinstance(parsed, list) else [parsed]
        return found


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    keeper = Receiver()
    app = web.Application(client_max_size=6 * 1024**2)
    app.router.add_post("/kentico/{instance}/events", keeper.handle)
    app.router.add_post("/kentico/{instance}/hints/{token}", keeper.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    keeper.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield keeper
    await runner.cleanup()


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    shop = Sandbox(tmp_path, extra_instances=["seed2021"])
    await shop.start()
    yield shop
    await shop.stop()


@dataclass
class Rest:
    """A bare HTTP client of one instance's REST service."""

    session: aiohttp.ClientSession
    base: str
    headers: dict[str, str]

    async def get(self, path: str, **query: str) -> tuple[int, str]:
        async with self.session.get(f"{self.base}/{path}", params=query, headers=self.headers) as reply:
            return reply.status, await reply.text()

    async def rows(self, path: str, **query: str) -> list[dict[str, Any]]:
        status, text = await self.get(path, format="json", **query)
        assert status == 200, text
        outer = next(iter(json.loads(text).values()))
        return next(iter(outer[0].values())) if len(outer) > 1 else []

    async def put(self, path: str, body: dict[str, Any]) -> tuple[int, str]:
        async with self.session.put(f"{self.base}/{path}?format=json", json=body, headers=self.headers) as reply:
            return reply.status, await reply.text()


@pytest.fixture
async def rest(sandbox: Sandbox) -> AsyncIterator[Rest]:
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": aiohttp.encode_basic_auth("k2x-emea", "goat-emea-password")}
        yield Rest(session, f"{sandbox.base_url}/emea/rest", headers)
