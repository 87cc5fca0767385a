"""Kentico 13's REST service, read safely: money never passes through a float, frames are taken with all their traps.

Guarantee: a call returns complete rows or raises; transient trouble is repeated here, with growing pauses.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx
import structlog

from connectors.kentico import metrics
from connectors.kentico.errors import RestDenied, RestError, RestNotFound, RestRefused, RestUnavailable, RestUnreadable
from connectors.kentico.settings import RestSettings

log = structlog.get_logger()

Row = dict[str, Any]

# IIS refuses a query string over 2,048 characters by default; this leaves room for the other parameters.
_LONGEST_WHERE = 1_500
_LONGEST_PAUSE_S = 30.0
# Left readable, because each one escaped costs three characters of the 2,048.
_SAFE = "(),='*"
# Status → what it is, beside 5xx and 429, which are transient, and any other 4xx, which is refused.
_TERMINAL: Mapping[int, type[RestError]] = {401: RestDenied, 403: RestDenied, 404: RestNotFound}


class KenticoRest:
    """One instance's service. Rows are dicts with Kentico's column names; numbers are int or Decimal.

    `calls` counts the requests that a caller asked for (repeats apart). `sleep` and `dice` are there for tests.
    """

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
        self._settings = settings
        self._sleep = sleep
        self._dice = dice or random.Random()  # noqa: S311 - spreads repeats, no secret
        self._client = httpx.AsyncClient(
            auth=(settings.user, settings.password.get_secret_value()),
            timeout=settings.timeout_s,
            limits=httpx.Limits(max_connections=settings.connections),
            headers={"Accept": "application/json"},
            transport=transport,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def rows(
        self,
        object_type: str,
        *,
        where: str | None = None,
        columns: Iterable[str] | None = None,
        orderby: str | None = None,
    ) -> list[Row]:
        """Every row of a type over all sites, in as many pages as it takes; `where` is SQL, `orderby` parts pages."""
        found: list[Row] = []
        size = self._settings.page
        while True:
            query = {"format": "json", "maxrecords": str(size), "offset": str(len(found))}
            query |= {"where": where} if where else {}
            query |= {"columns": ",".join(columns)} if columns else {}
            query |= {"orderby": orderby} if orderby else {}
            page, total = list_frame(await self._call("GET", object_type, f"{object_type}/all", query))
            found += page
            if not page or len(page) < size or (total is not None and len(found) >= total):
                return found

    async def rows_in(
        self,
        object_type: str,
        column: str,
        values: Iterable[int | str],
        *,
        columns: Iterable[str] | None = None,
        orderby: str,
    ) -> list[Row]:
        """The rows whose column is one of the values: one request, or more where the condition would be too long."""
        found: list[Row] = []
        for condition in in_conditions(column, values):
            found += await self.rows(object_type, where=condition, columns=columns, orderby=orderby)
        return found

    async def count(self, object_type: str) -> int:
        """How many objects of a type there are."""
        query = {"format": "json", "maxrecords": "1", "offset": "0"}
        page, total = list_frame(await self._call("GET", object_type, f"{object_type}/all", query))
        return len(page) if total is None else total

    async def row(self, object_type: str, key: int | str, *, columns: Iterable[str] | None = None) -> Row | None:
        """One object by id or GUID; None where there is none."""
        query = {"format": "json"} | ({"columns": ",".join(columns)} if columns else {})
        try:
            return object_frame(
                await self._call("GET", object_type, f"{object_type}/{quote(str(key), safe='')}", query)
            )
        except RestNotFound:
            return None

    async def update(self, object_type: str, key: int, fields: Mapping[str, str]) -> Row:
        """Write some columns of one object and leave the others; its row as Kentico answers it."""
        content = json.dumps(dict(fields)).encode()
        return object_frame(await self._call("PUT", object_type, f"{object_type}/{key}", {"format": "json"}, content))

    async def probe(self) -> bool:
        """Whether the service answers at all, asked once."""
        try:
            list_frame(
                await self._attempt("GET", "cms.site", self._url("cms.site/all", {"format": "json", "topn": "1"}), None)
            )
        except RestError:
            return False
        return True

    def _url(self, path: str, query: Mapping[str, str]) -> str:
        joined = "&".join(f"{name}={quote(value, safe=_SAFE)}" for name, value in query.items())
        return f"{self._settings.url.rstrip('/')}/{path}?{joined}"

    async def _call(
        self, method: str, object_type: str, path: str, query: Mapping[str, str], content: bytes | None = None
    ) -> Any:
        """The JSON of an answer, repeating what is transient. Writing columns twice does no harm."""
        self.calls += 1
        url = self._url(path, query)
        for attempt in range(1, self._settings.attempts + 1):
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
            body = _checked(response, where)
            outcome = "ok"
            return body
        except (httpx.TransportError, TimeoutError) as error:
            problem = str(error) or type(error).__name__
            raise RestUnavailable(f"{where}: no answer ({problem}). Is the administration application up?") from error
        except RestError as error:
            outcome = type(error).__name__.removeprefix("Rest").lower()
            raise
        finally:
            metrics.REST_REQUESTS.labels(self.instance, method, object_type, outcome).inc()
            metrics.REST_SECONDS.labels(self.instance, method).observe(time.perf_counter() - started)


def _checked(response: httpx.Response, where: str) -> Any:
    status = response.status_code
    if status in (200, 201):
        try:
            return json.loads(response.content, parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise RestUnreadable(f"{where}: {status}, but no readable JSON ({error})", status) from None
    if status in (401, 403):
        raise RestDenied(
            f"{where}: {status}. Check the REST user's password, its permission for the type, and Kentico's "
            "setting 'Allowed object types'",
            status,
        )
    if status >= 500 or status == 429:
        unavailable = RestUnavailable(f"{where}: {status}. Kentico's event log says why", status)
        after = response.headers.get("Retry-After", "")
        unavailable.retry_after = float(after) if after.isdigit() else None
        raise unavailable
    if 300 <= status < 400:
        raise RestUnreadable(
            f"{where}: {status}, a redirection: `rest.url` must be the administration's /rest address", status
        )
    raise _TERMINAL.get(status, RestRefused)(f"{where}: {status}", status)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def list_frame(parsed: Any) -> tuple[list[Row], int | None]:
    """(rows, total) of `{"ecommerce_orders":[{"COM_Order":[…]},{"TotalRecords":[{"TotalRecords":"1"}]}]}`.

    Nothing found: the rows' element is missing. TotalRecords is text, and inside itself; where it is absent, None.
    """
    if not isinstance(parsed, dict) or len(parsed) != 1:
        raise RestUnreadable("the answer is no list of Kentico's: one outer name was expected")
    elements = next(iter(parsed.values()))
    if not isinstance(elements, list):
        raise RestUnreadable("the answer is no list of Kentico's: its outer name holds no array")
    rows: list[Row] = []
    total: int | None = None
    for element in elements:
        if not isinstance(element, dict):
            raise RestUnreadable("the answer is no list of Kentico's: an element is no object")
        for name, value in element.items():
            members = value if isinstance(value, list) else [value]
            if not all(isinstance(member, dict) for member in members):
                raise RestUnreadable(f"the answer is no list of Kentico's: {name} holds something else than rows")
            if name == "TotalRecords":
                total = _total(members)
            else:
                rows += members
    return rows, total


def _total(members: list[Row]) -> int | None:
    try:
        return int(members[0]["TotalRecords"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def object_frame(parsed: Any) -> Row:
    """The row of `{"COM_Order":{…}}`."""
    if isinstance(parsed, dict) and len(parsed) == 1:
        row = next(iter(parsed.values()))
        if isinstance(row, list) and len(row) == 1:
            row = row[0]
        if isinstance(row, dict):
            return row
    raise RestUnreadable("the answer is no object of Kentico's: one outer name with one row was expected")


def in_conditions(column: str, values: Iterable[int | str], longest: int = _LONGEST_WHERE) -> list[str]:
    """`column IN (…)` over all values, each condition short enough for a query string."""
    conditions: list[str] = []
    part: list[str] = []
    length = 0
    for value in values:
        literal = str(int(value)) if isinstance(value, int) else "N'" + value.replace("'", "''") + "'"
        encoded = len(quote(literal, safe=_SAFE)) + 1
        if part and length + encoded > longest:
            conditions.append(f"{column} IN ({','.join(part)})")
            part, length = [], 0
        part.append(literal)
        length += encoded
    if part:
        conditions.append(f"{column} IN ({','.join(part)})")
    return conditions
