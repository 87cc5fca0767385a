"""`k2x xero connect` and `k2x xero status`: a person allows the app in the browser; what the tokens then reach.

The redirect is taken on the loopback address only, once, with our state and PKCE verifier; the tokens are stored
encrypted before anything is said to have worked.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from connectors.xero.auth import SCOPES, Connection, Identity
from connectors.xero.calls import Call
from connectors.xero.client import XeroClient
from connectors.xero.errors import ConnectFailed, NotConnected
from connectors.xero.tokens import REFRESH_LIFE, Pair, TokenLog, Vault
from schemas.types import Token

_PATH = "/callback"
_OFFLINE = "offline_access"  # no resource's: it asks for a refresh token
_PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>k2x</title>"
    "<body style='font:16px system-ui;margin:4rem'><p>{}</p></body></html>"
)


@dataclass(frozen=True)
class ConnectSettings:
    """`port`: of the redirect address registered with the app, http://localhost:<port>/callback; `wait` in seconds."""

    port: int = 8765
    scopes: tuple[str, ...] = (*SCOPES, _OFFLINE)
    wait: float = 300.0


@dataclass(frozen=True)
class Connected:
    """What the person has allowed. `missing` scopes would stop the sink."""

    app: str
    tenants: tuple[Connection, ...]
    access_expires_at: datetime
    refresh_expires_at: datetime
    scopes: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class OrganisationStatus:
    """One organisation, as one call shows it. Remaining calls are None where Xero did not say."""

    name: str
    organisation_id: str
    country: str
    currency: str
    minute_remaining: int | None
    day_remaining: int | None
    app_minute_remaining: int | None
    problem: str  # "" when the call succeeded


def connect(
    identity: Identity,
    vault: Vault,
    topic: TokenLog,
    store: Callable[[Token], None],
    open_url: Callable[[str], object],
    settings: ConnectSettings | None = None,
    clock: Callable[[], float] = time.time,
) -> Connected:
    """Blocks until the person has answered. `open_url` shows the address (browser or terminal); `store` writes the
    record and returns once it is acknowledged. Raises ConnectFailed, AuthError, IdentityUnreachable, TokenNotReady.
    """
    settings = settings or ConnectSettings()
    verifier, state = secrets.token_urlsafe(64), secrets.token_urlsafe(32)
    record = topic.latest(identity.client_id)  # before the person is troubled: Kafka must be there to store it
    with _listen(settings.port) as server:
        server.state = state
        redirect = f"http://localhost:{server.server_port}{_PATH}"
        open_url(_authorize_url(identity, redirect, state, verifier, settings.scopes))
        code = _await_code(server, settings.wait)
    asked = clock()
    grant = identity.exchange(code, redirect, verifier)
    pair = Pair.of(identity.client_id, grant, asked, record["generation"] + 1 if record else 1)
    store(vault.seal(pair))
    return _connected(identity, pair, settings.scopes)


def app_status(
    identity: Identity, vault: Vault, topic: TokenLog, scopes: tuple[str, ...] = ConnectSettings.scopes
) -> Connected:
    """What is stored for the app and what it reaches now, of the scopes that it needs. NotConnected, TokenKeyWrong,
    IdentityUnreachable, …"""
    record = topic.latest(identity.client_id)
    if record is None:
        raise NotConnected(f"app {identity.client_id} is not connected to Xero yet. Run `k2x xero connect`.")
    return _connected(identity, vault.open(record), scopes)


def organisation_status(client: XeroClient) -> OrganisationStatus:
    """One GET /Organisation: the name behind the tokens, and the calls that remain. It costs one call."""
    answer = client.call(Call("GET", "Organisation", deadline=20.0, purpose="status"))
    rows: Any = answer.body.get("Organisations") if answer.ok else None
    row = rows[0] if isinstance(rows, list) and rows else {}
    problem = "" if row else f"{answer.status}: {answer.detail or answer.doubt or 'no organisation in the answer'}"

    def left(header: str) -> int | None:
        text = answer.headers.get(header, "")
        return int(text) if text.isdigit() else None

    return OrganisationStatus(
        name=str(row.get("Name", "")),
        organisation_id=str(row.get("OrganisationID", "")),
        country=str(row.get("CountryCode", "")),
        currency=str(row.get("BaseCurrency", "")),
        minute_remaining=left("x-minlimit-remaining"),
        day_remaining=left("x-daylimit-remaining"),
        app_minute_remaining=left("x-appminlimit-remaining"),
        problem=problem,
    )


def _connected(identity: Identity, pair: Pair, wanted: tuple[str, ...]) -> Connected:
    scopes = tuple(pair.scope.split())
    return Connected(
        app=pair.app,
        tenants=tuple(identity.connections(pair.access_token)),
        access_expires_at=datetime.fromtimestamp(pair.expires_at, UTC),
        refresh_expires_at=datetime.fromtimestamp(pair.received_at, UTC) + REFRESH_LIFE,
        scopes=scopes,
        missing=tuple(
            scope for scope in wanted if scope != _OFFLINE and not {scope, scope.removesuffix(".read")} & set(scopes)
        ),
    )


def _authorize_url(identity: Identity, redirect: str, state: str, verifier: str, scopes: tuple[str, ...]) -> str:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": identity.client_id,
        "redirect_uri": redirect,
        "scope": " ".join(scopes),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{identity.settings.authorize_url}?{urlencode(query)}"


class _Redirect(HTTPServer):
    """Holds what the one redirect has brought."""

    state = ""
    code = ""
    refusal = ""


class _Handler(BaseHTTPRequestHandler):
    server: _Redirect
    timeout = 5  # a browser that opens a connection and says nothing must not hold up the redirect

    def do_GET(self) -> None:
        """The redirect; anything else, or another's state, is answered and does not end our waiting."""
        address = urlsplit(self.path)
        given = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path != _PATH:
            self._say(404, "This is not the page you are looking for.")
        elif not hmac.compare_digest(given.get("state", "").encode(), self.server.state.encode()):
            self._say(400, "This answer does not belong to the question k2x asked. Start again with: k2x xero connect")
        elif given.get("code"):
            self.server.code = given["code"]
            self._say(200, "Xero has answered. Go back to the terminal: k2x says there whether it is connected.")
        else:
            self.server.refusal = given.get("error", "no code")[:100]
            self._say(200, "Xero was not allowed to connect. Nothing has changed; you can close this window.")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the line would hold the code."""

    def _say(self, status: int, text: str) -> None:
        body = _PAGE.format(text).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _listen(port: int) -> _Redirect:
    try:
        return _Redirect(("127.0.0.1", port), _Handler)
    except OSError as error:
        raise ConnectFailed(
            f"port {port} on 127.0.0.1 cannot be used for Xero's answer ({error.strerror}). Stop what uses it, or set "
            "xero.app.redirect_port and register http://localhost:<port>/callback with the app."
        ) from error


def _await_code(server: _Redirect, wait: float) -> str:
    ends = time.monotonic() + wait
    while not server.code and not server.refusal:
        server.timeout = ends - time.monotonic()
        if server.timeout <= 0:
            raise ConnectFailed(f"nobody answered within {wait:.0f} s. Run `k2x xero connect` again.")
        server.handle_request()
    if server.refusal:
        raise ConnectFailed(f"Xero refused: {server.refusal}. Run `k2x xero connect` again and allow the access.")
    return server.code
