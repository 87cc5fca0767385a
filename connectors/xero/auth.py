"""Access tokens of custom connections, and the calls to Xero's identity service.

A token is fetched by one thread at a time and renewed five minutes before it ends; the one before it stays usable
until it expires, so that a repeat may use the same token (Xero may scope an Idempotency-Key by token, xero.md §2).
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import httpx

from connectors.xero.errors import AuthRevoked, ClientRefused, IdentityUnreachable

# What k2x needs and no more (granular scopes, xero.md §3); offline_access only for refresh tokens.
SCOPES = ("accounting.invoices", "accounting.payments", "accounting.contacts", "accounting.settings.read")
# Besides, where rules book gateways' settlements, and only there: an app that was not given it is refused as a whole.
SETTLEMENT_SCOPES = (*SCOPES, "accounting.banktransactions")
RENEW_BEFORE = 300.0  # seconds: longer than a repeat may take (4 minutes), so a repeat's token never ends under it


@dataclass(frozen=True)
class AccessToken:
    """A bearer token. `id` names it in logs without telling it; `expires_at` is on the provider's clock, in seconds."""

    value: str = field(repr=False)
    id: str
    expires_at: float

    @classmethod
    def of(cls, value: str, expires_at: float) -> AccessToken:
        return cls(value, hashlib.sha256(value.encode()).hexdigest()[:12], expires_at)


class Tokens(Protocol):
    """Where the client gets its tokens. Every method is thread-safe and may block for one identity call."""

    def token(self) -> AccessToken:
        """A token that is good for five minutes more at least. Raises IdentityUnreachable, TokenNotReady, AuthError."""

    def held(self, token_id: str) -> AccessToken | None:
        """The token of this id, if it is still good: for a repeat that must use the same one."""

    def renew(self, refused: str) -> AccessToken:
        """After a 401: another token than `refused` (an id), fetched once however many threads ask."""


@dataclass(frozen=True)
class Grant:
    """An answer of the token endpoint. `expires_in` in seconds."""

    access_token: str = field(repr=False)
    expires_in: float
    refresh_token: str | None = field(default=None, repr=False)
    scope: str = ""


@dataclass(frozen=True)
class Connection:
    """A tenant that an access token reaches, from GET /connections."""

    id: str
    tenant_id: str
    tenant_name: str
    tenant_type: str


@dataclass(frozen=True)
class IdentitySettings:
    """Xero's identity service; the sandbox stands in by other addresses."""

    token_url: str = "https://identity.xero.com/connect/token"  # noqa: S105 - an address
    authorize_url: str = "https://login.xero.com/identity/connect/authorize"
    connections_url: str = "https://api.xero.com/connections"
    revoke_url: str = "https://identity.xero.com/connect/revocation"
    timeout: float = 20.0


class Identity:
    """The identity service, blocking. `client_secret` None: a public PKCE app, which names itself in the form."""

    def __init__(
        self,
        settings: IdentitySettings,
        client_id: str,
        client_secret: str | None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.settings = settings
        self.client_id = client_id
        self._secret = client_secret
        self._http = httpx.Client(timeout=settings.timeout, transport=transport)

    def client_credentials(self, scopes: tuple[str, ...]) -> Grant:
        """A custom connection's token."""
        return self._grant({"grant_type": "client_credentials", "scope": " ".join(scopes)})

    def refresh(self, refresh_token: str) -> Grant:
        """The next pair. The old refresh token can be used again for 30 minutes if this answer is lost."""
        return self._grant({"grant_type": "refresh_token", "refresh_token": refresh_token})

    def exchange(self, code: str, redirect_uri: str, verifier: str) -> Grant:
        """The first pair, for an authorization code and its PKCE verifier."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        return self._grant(form)

    def connections(self, access_token: str) -> list[Connection]:
        """The tenants that the token reaches."""
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        try:
            reply = self._http.get(self.settings.connections_url, headers=headers)
            rows = reply.json() if reply.status_code == httpx.codes.OK else None
        except (httpx.HTTPError, ValueError) as error:
            raise IdentityUnreachable(f"{self.settings.connections_url}: {_name(error)}. Try again.") from error
        if not isinstance(rows, list):
            raise IdentityUnreachable(f"{self.settings.connections_url} answered {reply.status_code}. Try again.")
        return [
            Connection(str(r.get("id", "")), str(r["tenantId"]), str(r.get("tenantName") or ""), str(r["tenantType"]))
            for r in rows
        ]

    def close(self) -> None:
        self._http.close()

    def _grant(self, form: dict[str, str]) -> Grant:
        url = self.settings.token_url
        auth: httpx.Auth = httpx.Auth() if self._secret is None else httpx.BasicAuth(self.client_id, self._secret)
        if self._secret is None:
            form = {**form, "client_id": self.client_id}
        try:
            reply = self._http.post(url, data=form, auth=auth, headers={"Accept": "application/json"})
            body = _object(reply)
        except httpx.HTTPError as error:
            raise IdentityUnreachable(f"{url}: {_name(error)}. It is tried again.") from error
        if reply.status_code != httpx.codes.OK:
            self._refused(reply.status_code, str(body.get("error") or ""), form["grant_type"])
        value, lasts = body.get("access_token"), body.get("expires_in")
        if not isinstance(value, str) or not value or not isinstance(lasts, int | float):
            raise IdentityUnreachable(f"{url} answered 200 without a token. It is tried again.")
        refresh = body.get("refresh_token")
        return Grant(value, float(lasts), str(refresh) if refresh else None, str(body.get("scope") or ""))

    def _refused(self, status: int, error: str, grant_type: str) -> NoReturn:
        app = f"app {self.client_id}"
        if error == "invalid_grant":
            raise AuthRevoked(
                f"Xero refused the {grant_type} of {app}: invalid_grant. It was used up, is older than 60 days, or "
                "someone disconnected the app. Run `k2x xero connect` and have the organisation's owner allow it again."
            )
        if status in {400, 401, 403} and error:
            raise ClientRefused(
                f"Xero refused {app}: {error}. Check client_id, its secret and its scopes at "
                f"developer.xero.com/app/manage (needed: {' '.join(SCOPES)})."
            )
        raise IdentityUnreachable(f"{self.settings.token_url} answered {status}. It is tried again.")


class CustomConnection:
    """Tokens by client credentials: each process fetches its own, nothing rotates, nothing is stored."""

    def __init__(
        self,
        identity: Identity,
        scopes: tuple[str, ...] = SCOPES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._identity = identity
        self._scopes = scopes
        self._clock = clock
        self._lock = threading.Lock()
        self._now: AccessToken | None = None
        self._before: AccessToken | None = None
        self._renew_at = 0.0

    def token(self) -> AccessToken:
        with self._lock:
            if self._now is None or self._clock() >= self._renew_at:
                return self._fetch()
            return self._now

    def held(self, token_id: str) -> AccessToken | None:
        with self._lock:
            for token in (self._now, self._before):
                if token is not None and token.id == token_id and token.expires_at > self._clock():
                    return token
            return None

    def renew(self, refused: str) -> AccessToken:
        with self._lock:
            if self._now is not None and self._now.id != refused:
                return self._now  # another thread has been here for the same 401
            self._now = None
            return self._fetch()

    def ends_in(self) -> float | None:
        """Seconds until the token in use ends; None before the first."""
        with self._lock:
            return None if self._now is None else self._now.expires_at - self._clock()

    def _fetch(self) -> AccessToken:
        asked = self._clock()  # counted from before the request: never later than Xero's own end
        try:
            grant = self._identity.client_credentials(self._scopes)
        except IdentityUnreachable:
            if self._now is not None and self._now.expires_at > asked:
                return self._now  # five minutes' grace: an outage of the identity service need not be ours
            raise
        self._before, self._now = self._now, AccessToken.of(grant.access_token, asked + grant.expires_in)
        self._renew_at = asked + renewal_delay(grant.expires_in)
        return self._now


def renewal_delay(expires_in: float) -> float:
    """Seconds after which a token is renewed: five minutes before its end, or at half-time if it lives for less."""
    return max(expires_in - RENEW_BEFORE, expires_in / 2)


def _object(reply: httpx.Response) -> Mapping[str, Any]:
    try:
        body = reply.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _name(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
