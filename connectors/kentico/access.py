"""How requests to Kentico prove who asks: Basic, extra headers of a gateway, OAuth 2 client credentials.

A token is fetched when it is first needed, renewed a minute before it ends, and once more when it is refused.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import httpx

from connectors.kentico.errors import RestDenied, RestUnavailable
from connectors.kentico.settings import OAuth2Settings

_EARLY_S = 60.0
_SHORTEST_S = 30.0  # a server that says less would have us ask for a token with every request


class ClientCredentials(httpx.Auth):
    """OAuth 2 client credentials: `Authorization: Bearer …`, the token shared by all requests of one client."""

    def __init__(self, settings: OAuth2Settings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._token = ""
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        async with self._lock:
            if self._monotonic() >= self._until:
                await self._keep((yield self._asking()))
            token = self._token
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code != 401:
            return
        async with self._lock:
            if token == self._token:  # nobody else has renewed it meanwhile
                await self._keep((yield self._asking()))
            token = self._token
        request.headers["Authorization"] = f"Bearer {token}"
        yield request

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        raise RuntimeError("only for asynchronous clients")

    def _asking(self) -> httpx.Request:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret.get_secret_value(),
        }
        form |= {"scope": self._settings.scope} if self._settings.scope else {}
        return httpx.Request("POST", self._settings.token_url, data=form, headers={"Accept": "application/json"})

    async def _keep(self, response: httpx.Response) -> None:
        status, where = response.status_code, self._settings.token_url
        if status >= 500 or status == 429:
            raise RestUnavailable(f"{where}: {status} for a token", status)
        if status != 200:
            raise RestDenied(f"{where}: {status} for a token. Check client_id, its secret, and scope", status)
        found = _object(await response.aread())
        token, seconds = found.get("access_token"), found.get("expires_in", 3600)
        if not isinstance(token, str) or not token or not isinstance(seconds, int | float):
            raise RestDenied(f"{where}: the answer holds no access_token with expires_in in seconds", status)
        self._token = token
        self._until = self._monotonic() + max(seconds - _EARLY_S, _SHORTEST_S)


def _object(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
