"""Calls to one of a shop's JSON services: paced, repeated with growing pauses while trouble is transient, counted.

Guarantee: a call returns the whole JSON of a 2xx answer, with decimals exact, or raises.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx
import structlog

from connectors.kentico import metrics
from connectors.kentico.access import ClientCredentials
from connectors.kentico.errors import RestDenied, RestError, RestNotFound, RestRefused, RestUnavailable, RestUnreadable
from connectors.kentico.pace import Pace
from connectors.kentico.settings import RestSettings

log = structlog.get_logger()

_LONGEST_PAUSE_S = 30.0
# Left readable, because each one escaped costs three characters of the 2,048 that a query string may have.
SAFE = "(),='*"
# Status → what it is, beside 5xx and 429, which are transient, and any other 4xx, which is refused.
_TERMINAL: Mapping[int, type[RestError]] = {401: RestDenied, 403: RestDenied, 404: RestNotFound}


class JsonService:
    """One address. `calls` counts the requests that a caller asked for (repeats apart). `sleep` and `dice` are there
    for tests. `denied`: what to check when it lets nobody in."""

    denied = "Check the REST user's password, its permission for the type, and Kentico's setting 'Allowed object types'"

    def __init__(
        self,
        instance: str,
        settings: RestSettings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        dice: random.Random | None = None,
    ) -> None:
        self.instance = instance
        self.calls = 0
        self._server_ahead: float | None = None
        self._settings = settings
        self._pace = Pace(settings.requests_per_second, time.monotonic, sleep)
        self._sleep = sleep
        self._dice = dice or random.Random()  # noqa: S311 - spreads repeats, no secret
        self._client = httpx.AsyncClient(
            auth=_authorization(settings),
            timeout=settings.timeout_s,
            limits=httpx.Limits(max_connections=settings.connections),
            headers={"Accept": "application/json"}
            | {name: value.get_secret_value() for name, value in settings.headers.items()},
            transport=transport,
        )

    async def close(self) -> None:
        await self._client.aclose()

    def server_time(self) -> datetime | None:
        """What Kentico's clock shows, to the second, by its last answer; None before one, or without a Date header."""
        ahead = self._server_ahead
        return None if ahead is None else datetime.fromtimestamp(time.monotonic() + ahead, UTC)

    def _url(self, path: str, query: Mapping[str, str]) -> str:
        joined = "&".join(f"{name}={quote(value, safe=SAFE)}" for name, value in query.items())
        return f"{self._settings.url.rstrip('/')}/{path}{'?' if joined else ''}{joined}"

    async def _call(
        self, method: str, object_type: str, path: str, query: Mapping[str, str], content: bytes | None = None
    ) -> Any:
        """The JSON of an answer, repeating what is transient. Writing columns twice does no harm."""
        self.calls += 1
        url = self._url(path, query)
        for attempt in range(1, self._settings.attempts + 1):
            await self._pace.turn()
            try:
                return await self._attempt(method, object_type, url, content)
            except (RestUnavailable, RestUnreadable) as error:
                if attempt == self._settings.attempts:
                    raise
                pause = self._pause(attempt, error.retry_after if isinstance(error, RestUnavailable) else None)
                log.info(
                    "rest.repeat", instance=self.instance, object_type=object_type, attempt=attempt, problem=str(error)
                )
                await self._sleep(pause)
        raise AssertionError("attempts is at least 1")

    def _pause(self, attempt: int, retry_after: float | None) -> float:
        grown: float = min(self._settings.backoff_s * 2 ** (attempt - 1), _LONGEST_PAUSE_S)
        spread = grown * (0.5 + self._dice.random() / 2)
        return spread if retry_after is None else max(spread, min(retry_after, _LONGEST_PAUSE_S))

    async def _attempt(self, method: str, object_type: str, url: str, content: bytes | None) -> Any:
        started = time.perf_counter()
        outcome = "unavailable"
        where = f"{self.instance}: {method} {object_type}"
        try:
            headers = {"Content-Type": "application/json"} if content is not None else {}
            async with asyncio.timeout(self._settings.timeout_s):  # in all; httpx's own is per socket operation
                response = await self._client.request(method, url, content=content, headers=headers)
            date = _date(response)
            self._server_ahead = self._server_ahead if date is None else date.timestamp() - time.monotonic()
            body = _checked(response, where, self.denied)
            outcome = "ok"
            return body
        except (httpx.TransportError, TimeoutError) as error:
            problem = str(error) or type(error).__name__
            raise RestUnavailable(f"{where}: no answer ({problem}). Is {self._settings.url} up?") from error
        except RestError as error:
            outcome = type(error).__name__.removeprefix("Rest").lower()
            raise
        finally:
            metrics.REST_REQUESTS.labels(self.instance, method, object_type, outcome).inc()
            metrics.REST_SECONDS.labels(self.instance, method).observe(time.perf_counter() - started)


def _authorization(settings: RestSettings) -> httpx.Auth | None:
    if settings.oauth2 is not None:
        return ClientCredentials(settings.oauth2)
    if settings.user is None or settings.password is None:
        return None
    return httpx.BasicAuth(settings.user, settings.password.get_secret_value())


def _checked(response: httpx.Response, where: str, denied: str) -> Any:
    status = response.status_code
    if status in (200, 201):
        try:
            return json.loads(response.content, parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise RestUnreadable(f"{where}: {status}, but no readable JSON ({error})", status) from None
    if status in (401, 403):
        raise RestDenied(f"{where}: {status}. {denied}", status)
    if status >= 500 or status == 429:
        unavailable = RestUnavailable(f"{where}: {status}. Kentico's event log says why", status)
        after = response.headers.get("Retry-After", "")
        unavailable.retry_after = float(after) if after.isdigit() else None
        raise unavailable
    if 300 <= status < 400:
        said = "`rest.url` must be the administration's /rest address, `store_api.url` the live site's"
        raise RestUnreadable(f"{where}: {status}, a redirection: {said}", status)
    raise _TERMINAL.get(status, RestRefused)(f"{where}: {status}", status)


def _date(response: httpx.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")
