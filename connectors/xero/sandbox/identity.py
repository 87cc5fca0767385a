"""Xero's identity service: apps, tokens, refresh rotation with its grace, connections and scopes.

Access tokens are signed JWTs (HS256 with the sandbox's own key; Xero signs with RS256, clients do not look) of 30
minutes. Refresh tokens rotate: the old one may be used again for 30 minutes while its successor has not been used
(a lost answer), and ends 60 days after its last use. Two holders of one refresh token therefore kill each other, as
at Xero.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from connectors.xero.sandbox.books import new_uuid
from connectors.xero.sandbox.chart import Organisation, demo_client_id, demo_client_secret, stable_id
from connectors.xero.sandbox.clock import Clock
from connectors.xero.sandbox.errors import Forbidden, IdentityRefused, Unauthorised, token_expired

ACCESS_SECONDS = 1800
GRACE_SECONDS = 1800
UNUSED_SECONDS = 60 * 86_400
CODE_SECONDS = 300
GRANULAR = [
    "accounting.invoices",
    "accounting.payments",
    "accounting.contacts",
    "accounting.settings",
    "accounting.banktransactions",
    "accounting.manualjournals",
    "accounting.attachments",
]
SIGN_IN = frozenset(["openid", "profile", "email", "offline_access"])
KNOWN_SCOPES = frozenset([*GRANULAR, *(f"{one}.read" for one in GRANULAR), "accounting.transactions"]) | SIGN_IN
KNOWN_SCOPES |= {"accounting.transactions.read"}
# Resource → the scopes that open it; a GET is also opened by their .read forms. The broad scope ends in September 2027.
RESOURCE_SCOPES = {
    "Invoices": ("accounting.invoices", "accounting.transactions"),
    "CreditNotes": ("accounting.invoices", "accounting.transactions"),
    "Items": ("accounting.invoices", "accounting.settings", "accounting.transactions"),
    "Payments": ("accounting.payments", "accounting.transactions"),
    "BankTransactions": ("accounting.banktransactions", "accounting.transactions"),
    "BankTransfers": ("accounting.banktransactions", "accounting.transactions"),
    "Contacts": ("accounting.contacts",),
    "Organisation": ("accounting.settings",),
    "Accounts": ("accounting.settings",),
    "TaxRates": ("accounting.settings",),
    "Currencies": ("accounting.settings",),
    "TrackingCategories": ("accounting.settings",),
}


@dataclass(frozen=True)
class App:
    """A registered app: a custom connection belongs to one organisation, a web app asks the user."""

    client_id: str
    client_secret: str
    name: str
    org: str | None = None
    redirect_uris: tuple[str, ...] = ()
    scopes: frozenset[str] = KNOWN_SCOPES


@dataclass
class Grant:
    """One consent: which organisations (slugs) and scopes an app may use."""

    id: str
    client_id: str
    orgs: list[str]
    scopes: list[str]
    at: float
    revoked: bool = False


@dataclass
class Refresh:
    """A refresh token. `rotated` is when it was replaced, `successor` by what, `used` when it last worked."""

    token: str
    grant: str
    issued: float
    used: float = 0.0
    rotated: float = 0.0
    successor: str = ""
    dead: bool = False


@dataclass
class Code:
    """An authorization code: once, for five minutes."""

    grant: str
    redirect_uri: str
    challenge: str
    at: float


@dataclass(frozen=True)
class Bearer:
    """What a valid access token says."""

    client_id: str
    token_id: str
    grant: str
    scopes: frozenset[str]
    orgs: tuple[str, ...]
    custom: bool


@dataclass
class IdentityState:
    """Everything that must survive a restart."""

    key: str = field(default_factory=lambda: secrets.token_hex(32))
    grants: dict[str, Grant] = field(default_factory=dict)
    refresh: dict[str, Refresh] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)  # connection ids that were deleted


def web_app() -> App:
    """The one app with the authorization-code flow, for all organisations; any loopback redirect is accepted."""
    return App(demo_client_id("web-app"), demo_client_secret("web-app"), "k2x web app")


class Identity:
    """The identity endpoints, without HTTP."""

    def __init__(self, organisations: Sequence[Organisation], clock: Clock, apps: Sequence[App] = ()):
        self.clock = clock
        self.orgs = {org.slug: org for org in organisations}
        custom = [App(org.client_id, org.client_secret, f"k2x {org.slug}", org.slug) for org in organisations]
        self.apps = {app.client_id: app for app in (*custom, *(apps or (web_app(),)))}
        self.state = IdentityState()
        self.codes: dict[str, Code] = {}
        self.changed = False

    # -- tokens

    def authenticate(self, client_id: str, client_secret: str) -> App:
        """The app, or invalid_client."""
        app = self.apps.get(client_id)
        if app is None or not hmac.compare_digest(app.client_secret.encode(), client_secret.encode()):
            raise IdentityRefused("invalid_client")
        return app

    def client_credentials(self, app: App, scope: str) -> dict[str, Any]:
        """A custom connection's token: no refresh token, one organisation."""
        if app.org is None:
            raise IdentityRefused("unauthorized_client")
        scopes = self._scopes(app, scope) or sorted(one for one in app.scopes if one not in SIGN_IN)
        id_ = stable_id(app.client_id, "grant")
        grant = self.state.grants.get(id_)
        if grant is None:
            grant = self.state.grants[id_] = Grant(id_, app.client_id, [app.org], [], self.clock.time())
            self.changed = True
        if grant.revoked:
            raise IdentityRefused("unauthorized_client")
        return self._token(app, grant, scopes)

    def _scopes(self, app: App, scope: str) -> list[str]:
        wanted = scope.split()
        if not set(wanted) <= app.scopes & KNOWN_SCOPES:
            raise IdentityRefused("invalid_scope")
        return wanted

    def _token(self, app: App, grant: Grant, scopes: list[str]) -> dict[str, Any]:
        now = int(self.clock.time())
        claims = {
            "nbf": now,
            "exp": now + ACCESS_SECONDS,
            "iss": "https://identity.xero.com",
            "aud": "https://identity.xero.com/resources",
            "client_id": app.client_id,
            "jti": secrets.token_hex(16).upper(),
            "scope": scopes,
            "authentication_event_id": grant.id,
        }
        if app.org is None:
            claims |= {"sub": stable_id("user"), "xero_userid": stable_id("user"), "auth_time": int(grant.at)}
        return {
            "access_token": self._sign(claims),
            "expires_in": ACCESS_SECONDS,
            "token_type": "Bearer",
            "scope": " ".join(scopes),
        }

    def _sign(self, claims: dict[str, Any]) -> str:
        head = _b64(orjson.dumps({"alg": "HS256", "kid": "sandbox", "typ": "JWT"}))
        text = f"{head}.{_b64(orjson.dumps(claims))}"
        return f"{text}.{self._signature(text)}"

    def _signature(self, text: str) -> str:
        return _b64(hmac.new(bytes.fromhex(self.state.key), text.encode(), hashlib.sha256).digest())

    def bearer(self, header: str) -> Bearer:
        """Read an Authorization header. Raises Unauthorised."""
        kind, _, token = header.partition(" ")
        text, _, signature = token.strip().rpartition(".")
        if kind.lower() != "bearer" or not text or not hmac.compare_digest(signature, self._signature(text)):
            raise Unauthorised("AuthenticationUnsuccessful")
        claims = orjson.loads(_unb64(text.partition(".")[2]))
        if self.clock.time() >= claims["exp"]:
            raise Unauthorised(token_expired(datetime.fromtimestamp(claims["exp"], UTC)))
        grant = self.state.grants.get(claims["authentication_event_id"])
        app = self.apps.get(claims["client_id"])
        if grant is None or app is None or grant.revoked:
            raise Unauthorised("AuthenticationUnsuccessful")
        orgs = tuple(slug for slug in grant.orgs if self.connection_id(grant, slug) not in self.state.dropped)
        return Bearer(app.client_id, claims["jti"], grant.id, frozenset(claims["scope"]), orgs, app.org is not None)

    def tenant(self, bearer: Bearer, tenant_id: str | None) -> Organisation:
        """The organisation of the call. A custom connection needs no tenant header; a wrong one is a 403."""
        reachable = {self.orgs[slug].id: self.orgs[slug] for slug in bearer.orgs if slug in self.orgs}
        if not tenant_id and bearer.custom and reachable:
            return next(iter(reachable.values()))
        if not tenant_id or tenant_id.lower() not in reachable:
            raise Forbidden
        return reachable[tenant_id.lower()]

    @staticmethod
    def check_scope(bearer: Bearer, resource: str, *, read: bool) -> None:
        """401 insufficient_scope when no scope opens the resource."""
        opens = set(RESOURCE_SCOPES.get(resource, ()))
        if read:
            opens |= {f"{one}.read" for one in opens}
        if opens and not opens & bearer.scopes:
            raise Unauthorised("AuthorizationUnsuccessful", scope=True)

    # -- authorization code and refresh

    def authorize(self, client_id: str, redirect_uri: str, scope: str, orgs: Iterable[str], challenge: str) -> str:
        """The user agreed: a code for the redirect."""
        app = self.check_authorize(client_id, redirect_uri, scope)
        grant = Grant(
            new_uuid(), app.client_id, [one for one in orgs if one in self.orgs], scope.split(), self.clock.time()
        )
        self.state.grants[grant.id] = grant
        code = secrets.token_urlsafe(32)
        self.codes[code] = Code(grant.id, redirect_uri, challenge, self.clock.time())
        self.changed = True
        return code

    def check_authorize(self, client_id: str, redirect_uri: str, scope: str) -> App:
        """Whether the authorize page may be shown at all."""
        app = self.apps.get(client_id)
        if app is None or app.org is not None:
            raise IdentityRefused("unauthorized_client")
        if app.redirect_uris and redirect_uri not in app.redirect_uris:
            raise IdentityRefused("invalid_request: redirect_uri")
        if not app.redirect_uris and not redirect_uri.startswith(
            ("http://127.0.0.1", "http://localhost", "http://[::1]")
        ):
            raise IdentityRefused("invalid_request: the sandbox redirects to the loopback address only")
        self._scopes(app, scope)
        return app

    def exchange(self, app: App, code: str, redirect_uri: str, verifier: str) -> dict[str, Any]:
        """A code for tokens, once."""
        held = self.codes.pop(code, None)
        grant = self.state.grants.get(held.grant) if held else None
        if held is None or grant is None or grant.client_id != app.client_id:
            raise IdentityRefused("invalid_grant")
        if held.redirect_uri != redirect_uri or self.clock.time() - held.at > CODE_SECONDS:
            raise IdentityRefused("invalid_grant")
        if held.challenge and _b64(hashlib.sha256(verifier.encode()).digest()) != held.challenge:
            raise IdentityRefused("invalid_grant")
        return self._with_refresh(app, grant)

    def _with_refresh(self, app: App, grant: Grant) -> dict[str, Any]:
        answer = self._token(app, grant, grant.scopes)
        if "openid" in grant.scopes:
            now = int(self.clock.time())
            claims = {"iss": "https://identity.xero.com", "aud": app.client_id, "sub": stable_id("user"), "nbf": now}
            answer["id_token"] = self._sign(claims | {"exp": now + 300})
        if "offline_access" in grant.scopes:
            token = secrets.token_urlsafe(32)
            self.state.refresh[token] = Refresh(token, grant.id, self.clock.time())
            answer["refresh_token"] = token
        self.changed = True
        return answer

    def refresh(self, app: App, token: str) -> dict[str, Any]:
        """Rotate. The grace lets the old token work again while nobody has used its successor."""
        now = self.clock.time()
        held = self.state.refresh.get(token)
        grant = self.state.grants.get(held.grant) if held else None
        if held is None or grant is None or grant.client_id != app.client_id or grant.revoked or held.dead:
            raise IdentityRefused("invalid_grant")
        if now - max(held.issued, held.used) > UNUSED_SECONDS:
            raise IdentityRefused("invalid_grant")
        if held.rotated:
            successor = self.state.refresh.get(held.successor)
            if now - held.rotated > GRACE_SECONDS or (successor is not None and successor.used):
                raise IdentityRefused("invalid_grant")
            if successor is not None:
                successor.dead = True
        answer = self._with_refresh(app, grant)
        held.used = now
        held.rotated = held.rotated or now
        held.successor = answer.get("refresh_token", "")
        return answer

    def revoke(self, app: App, token: str) -> None:
        """Revoke a refresh token: its whole consent ends, connections too.

        Unknown tokens are answered like known ones.
        """
        held = self.state.refresh.get(token)
        grant = self.state.grants.get(held.grant) if held else None
        if grant is not None and grant.client_id == app.client_id:
            grant.revoked = True
            self.changed = True

    # -- connections

    @staticmethod
    def connection_id(grant: Grant, slug: str) -> str:
        """The id of a connection is not the tenant's."""
        return stable_id("connection", grant.id, slug)

    def connections(self, bearer: Bearer, event: str | None) -> list[dict[str, Any]]:
        """GET /connections: those of every consent of the app, or of one authentication event."""
        rows: list[dict[str, Any]] = []
        for grant in self.state.grants.values():
            if grant.client_id != bearer.client_id or grant.revoked or (event and grant.id != event):
                continue
            at = datetime.fromtimestamp(grant.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0"
            for slug in grant.orgs:
                id_ = self.connection_id(grant, slug)
                if slug not in self.orgs or id_ in self.state.dropped:
                    continue
                org = self.orgs[slug]
                rows.append(
                    {
                        "id": id_,
                        "authEventId": grant.id,
                        "tenantId": org.id,
                        "tenantType": "ORGANISATION",
                        "tenantName": org.name,
                        "createdDateUtc": at,
                        "updatedDateUtc": at,
                    }
                )
        return rows

    def disconnect(self, bearer: Bearer, connection: str) -> bool:
        """DELETE /connections/{id}."""
        if connection not in {row["id"] for row in self.connections(bearer, None)}:
            return False
        self.state.dropped.append(connection)
        self.changed = True
        return True

    # -- storing

    def record(self) -> bytes:
        """What the store keeps."""
        return orjson.dumps(asdict(self.state))

    def restore(self, record: dict[str, Any]) -> None:
        """From the store."""
        self.state = IdentityState(
            key=record["key"],
            grants={id_: Grant(**one) for id_, one in record["grants"].items()},
            refresh={id_: Refresh(**one) for id_, one in record["refresh"].items()},
            dropped=record["dropped"],
        )


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
