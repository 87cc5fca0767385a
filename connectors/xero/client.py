"""One organisation's way to Xero: a Call goes out as the bytes it holds, exactly once, and comes back as an Answer.

Guarantees: at most one request per send (no hidden retries, no redirects; a first send that Xero answers with 401,
having done nothing, is sent once more under a new token); no byte leaves after `send_by` or the call's deadline;
`call` returns by the deadline; whatever may have been committed comes back with a Doubt, never as a failure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import urllib3
from xero_python.accounting import AccountingApi
from xero_python.api_client import ApiClient
from xero_python.api_client.configuration import Configuration

from connectors.xero.auth import AccessToken, Tokens
from connectors.xero.calls import Answer, Call, Doubt
from connectors.xero.clock import elapsed
from connectors.xero.errors import Terminal, XeroError
from connectors.xero.wire import Bearer, Exchange, Expired, Late, Rest, exchange

_DETAIL = 200  # characters: enough for any of Xero's own top-level messages
_CHUNK = 64 * 1024
# 500 is cached under the key, so repeating it tells nothing; a gateway's 502 and 504 have lost Xero's own answer.
_DOUBTFUL = {500: Doubt.SERVER_ERROR, 502: Doubt.DROPPED, 504: Doubt.DROPPED}


@dataclass(frozen=True)
class ClientSettings:
    """Where the API is and how long a connection may take. `tenant_id` None: a custom connection, which has one."""

    api_url: str = "https://api.xero.com/api.xro/2.0"
    tenant_id: str | None = None
    connect_timeout: float = 5.0
    connections: int = 5  # Xero's own limit on calls in flight


class XeroClient:
    """Blocking and thread-safe. `clock` never goes back, in seconds; `send_by` is on the same clock."""

    def __init__(self, settings: ClientSettings, tokens: Tokens, clock: Callable[[], float] = elapsed) -> None:
        self.settings = settings
        self.tokens = tokens
        self._clock = clock
        # Configuration() hands out copies of one hidden original (xero.md §7.5): never share what is set on it.
        configuration = Configuration()
        configuration.oauth2_token = Bearer()
        configuration.connection_pool_maxsize = settings.connections
        self._sdk = ApiClient(configuration)
        self._sdk.rest_client = self._rest = Rest(configuration)
        self._sdk.set_default_header("Accept-Encoding", "gzip")
        self._api = AccountingApi(self._sdk, base_url=settings.api_url.rstrip("/"))

    def call(self, call: Call, *, send_by: float | None = None, same_token: str | None = None) -> Answer:
        """Carry out one call. Never raises for what Xero, the network or the identity service do.

        `send_by`: no byte leaves later (the intention's lapse). `same_token`: the token_id of an earlier answer; a
        repeat of an unclear call uses that token or is not sent.
        Status 0 without a doubt: nothing was sent, the detail says why (transient). Status 401: the token was renewed
        and refused again, or the identity service refuses us; the detail says what to do.
        """
        started = self._clock()
        ends = started + call.deadline
        token = self._token(same_token)
        if isinstance(token, Answer):
            return token
        answer = self._send(call, token, started, ends, send_by)
        if answer.status != 401 or same_token is not None:
            return answer
        fresh = self._renewed(token, answer)
        return fresh if isinstance(fresh, Answer) else self._send(call, fresh, started, ends, send_by)

    def token_id(self) -> str:
        """The id of the token that the next first send would use; "" while there is none."""
        token = self._token(None)
        return "" if isinstance(token, Answer) else token.id

    def close(self) -> None:
        """Close idle connections; calls in flight end by themselves."""
        self._rest.close()

    def _token(self, same_token: str | None) -> AccessToken | Answer:
        if same_token is not None:
            held = self.tokens.held(same_token)
            return held or Answer(0, detail=f"token {same_token} is no longer held: read back instead of repeating")
        try:
            return self.tokens.token()
        except XeroError as error:
            return _no_token(error)

    def _renewed(self, refused: AccessToken, answer: Answer) -> AccessToken | Answer:
        try:
            fresh = self.tokens.renew(refused.id)
        except XeroError as error:
            return _no_token(error)
        return fresh if fresh.id != refused.id else answer

    def _send(self, call: Call, token: AccessToken, started: float, ends: float, send_by: float | None) -> Answer:
        limit = ends if send_by is None else min(ends, send_by)
        writes = call.purpose if call.writes else ""
        with exchange(token.value, ends, limit, self.settings.connect_timeout, self._clock, writes) as ex:
            try:
                response = self._request(call)
                headers = {name.lower(): value for name, value in response.headers.items()}
                answer = read_answer(call, response.status, headers, _whole(response), cut=ex.expired)
            except (Expired, Late) as error:
                answer = Answer(0, detail=str(error)) if not ex.sent else Answer(0, doubt=Doubt.TIMEOUT)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                answer = _broken(ex, error)
        return Answer(
            answer.status,
            answer.headers,
            answer.body,
            answer.doubt,
            answer.detail,
            token_id=token.id,
            elapsed=self._clock() - started,
        )

    def _request(self, call: Call) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json"}
        if self.settings.tenant_id:
            headers["xero-tenant-id"] = self.settings.tenant_id
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        if call.idempotency_key:
            headers["Idempotency-Key"] = call.idempotency_key
        if call.if_modified_since:
            headers["If-Modified-Since"] = call.if_modified_since
        response: urllib3.BaseHTTPResponse = self._sdk.call_api(
            # "%" stays: a caller quotes a value that may itself hold "/" or "%" (see `segment`).
            self._api.get_resource_url("/" + quote(call.path, safe="/%")),
            call.method,
            None,
            list(call.query),
            headers,
            body=call.body,
            auth_settings=["OAuth2"],
            _return_http_data_only=True,
            _preload_content=False,
        )
        return response


def segment(value: str) -> str:
    """One value as one segment of a Call's path: Call("GET", f"CreditNotes/{segment(number)}")."""
    return quote(value, safe="")


def _whole(response: urllib3.BaseHTTPResponse) -> bytes:
    try:
        return b"".join(response.stream(_CHUNK, decode_content=True))
    except urllib3.exceptions.DecodeError:
        response.close()
        return b""  # an encoding that is not what it says: no better than no body


def _no_token(error: XeroError) -> Answer:
    return Answer(401 if isinstance(error, Terminal) else 0, detail=str(error))


def _broken(ex: Exchange, error: Exception) -> Answer:
    what = type(error).__name__
    if not ex.sent:
        return Answer(0, detail=f"not connected: {what}: {error}"[:_DETAIL])
    # A socket may break by itself in the moment before the watchdog bites: by then it is too late all the same.
    if ex.expired or ex.clock() >= ex.ends or isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError):
        return Answer(0, doubt=Doubt.TIMEOUT, detail="no whole answer within the deadline")
    return Answer(0, doubt=Doubt.DROPPED, detail=f"the connection broke: {what}")


def read_answer(call: Call, status: int, headers: Mapping[str, str], data: bytes, *, cut: bool) -> Answer:
    """What a response says; `cut`: its end may be our own doing."""
    if cut:  # the watchdog closed the socket while we read: the end we saw may be our own doing
        return Answer(0, headers, doubt=Doubt.TIMEOUT, detail="no whole answer within the deadline")
    body = _json(data)
    if 200 <= status < 300:
        if isinstance(body, dict) or (status == 204 and not data):
            return Answer(status, headers, body)
        kind = headers.get("content-type", "no content type")
        return Answer(status, headers, None, Doubt.UNREADABLE, f"{len(data)} bytes of {kind} instead of JSON"[:_DETAIL])
    doubt = _DOUBTFUL.get(status) if call.writes else None
    return Answer(status, headers, body, doubt, _detail(headers, body))


def _json(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"), parse_float=Decimal, parse_constant=_not_json)
    except ValueError:
        return None


def _not_json(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _detail(headers: Mapping[str, str], body: Any) -> str:
    """Xero's own words at the top of an error; those inside elements may name people, and are the lane's to read."""
    parts = [headers.get("x-rate-limit-problem", ""), headers.get("www-authenticate", "")]
    if isinstance(body, dict):
        found = {key.lower(): value for key, value in body.items()}
        parts += [str(found[key]) for key in ("type", "title", "message", "detail", "error") if found.get(key)]
    return "; ".join(part for part in parts if part)[:_DETAIL]
