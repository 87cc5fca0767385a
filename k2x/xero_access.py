"""Access to each Xero organisation as the settings say: a custom connection of its own, or the shared app's tokens."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from connectors.xero.auth import SCOPES, SETTLEMENT_SCOPES, CustomConnection, Identity, IdentitySettings, Tokens
from connectors.xero.client import ClientSettings, XeroClient
from connectors.xero.token_log import KafkaTokenLog
from connectors.xero.tokens import REFRESH_LIFE, RefreshTokenConnection, Vault
from k2x.errors import ConfigError
from k2x.publish import rules_of
from k2x.secrets import secret
from k2x.settings import Organisation, Settings, XeroApp
from schemas.codec import Codec


class XeroAccess:
    """Makes clients. Where an organisation has `connection: app`, `start` stands for election as the tokens' owner."""

    def __init__(
        self, settings: Settings, kafka: Mapping[str, Any], codec: Codec, env: Mapping[str, str] = os.environ
    ) -> None:
        self._settings = settings
        self._env = env
        self._log = KafkaTokenLog(kafka, codec)
        self._app: RefreshTokenConnection | None = None
        self._custom: dict[str, CustomConnection] = {}  # the last of each organisation
        self._stopped = threading.Event()
        self._election: threading.Thread | None = None

    def client(self, org: str) -> XeroClient:
        """A client of an organisation. ConfigError or SecretMissing says what to set."""
        organisation = self._organisation(org)
        api = ClientSettings(api_url=self._settings.xero.api_url, tenant_id=organisation.tenant_id)
        return XeroClient(api, self._tokens(org, organisation))

    def tokens(self, org: str) -> Tokens:
        """The organisation's access tokens alone, for readers that bring their own way to Xero."""
        return self._tokens(org, self._organisation(org))

    def check(self, org: str) -> None:
        """Raise what `client` would raise, without making one."""
        self._tokens(org, self._organisation(org))

    def start(self) -> None:
        """Keep the app's token fresh in the background, if any organisation needs it."""
        if any(o.connection == "app" for o in self._settings.organisations.values()):
            keep = self.app_tokens().keep
            self._election = threading.Thread(target=self._log.run, args=(self._stopped, keep), name="xero-tokens")
            self._election.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._election is not None:
            self._election.join()

    def app_tokens(self) -> RefreshTokenConnection:
        if self._app is None:
            self._app = RefreshTokenConnection(self.app_identity(), self._log, self.vault())
        return self._app

    def app_identity(self) -> Identity:
        """The identity service as the app of xero.app."""
        app = self._settings.xero.app
        if app is None:
            raise ConfigError("xero.app is missing: only an app with authorization code is connected by a person")
        return self._identity(app.client_id, self._app_secret(app))

    def vault(self) -> Vault:
        name = self._settings.xero.token_key_env
        return Vault(secret(name, self._env, "xero.token_key_env (encrypts stored tokens)").get_secret_value())

    @property
    def token_log(self) -> KafkaTokenLog:
        return self._log

    def access_ends(self) -> dict[str, float]:
        """Seconds until the access token in use of each custom connection ends."""
        found = {org: tokens.ends_in() for org, tokens in list(self._custom.items())}
        return {org: seconds for org, seconds in found.items() if seconds is not None}

    def refresh_ends(self) -> dict[str, float]:
        """Unix time when the app's refresh token, if there is one, ends unless it is used before."""
        pair = None if self._app is None else self._app.known()
        return {} if pair is None else {pair.app: pair.received_at + REFRESH_LIFE.total_seconds()}

    def _tokens(self, org: str, organisation: Organisation) -> Tokens:
        if organisation.connection == "app":
            return self.app_tokens()
        name = organisation.client_secret_env or ""
        value = secret(name, self._env, f"organisations.{org}.client_secret_env").get_secret_value()
        identity = self._identity(organisation.client_id or "", value)
        made = CustomConnection(identity, scopes(self._settings, org), clock=self._clock())
        self._custom[org] = made
        return made

    def _clock(self) -> Callable[[], float]:
        """Seconds, as fast as the sandbox's clock runs: its tokens end by it."""
        speed, begun = self._settings.xero.budget.speed, time.monotonic()
        return time.monotonic if speed == 1.0 else lambda: begun + (time.monotonic() - begun) * speed

    def _app_secret(self, app: XeroApp) -> str | None:
        if app.client_secret_env is None:
            return None
        return secret(app.client_secret_env, self._env, "xero.app.client_secret_env").get_secret_value()

    def _identity(self, client_id: str, client_secret: str | None) -> Identity:
        xero = self._settings.xero
        addresses = IdentitySettings(xero.token_url, xero.authorize_url, xero.connections_url)
        return Identity(addresses, client_id, client_secret)

    def _organisation(self, org: str) -> Organisation:
        known = self._settings.organisations
        if org not in known:
            raise ConfigError(f"organisation {org!r} is not under organisations (known: {', '.join(sorted(known))})")
        return known[org]


def scopes(settings: Settings, *orgs: str) -> tuple[str, ...]:
    """What is asked for at these organisations: bank transactions only where a rule books settlements."""
    return SETTLEMENT_SCOPES if any(settles(settings, org) for org in orgs) else SCOPES


def settles(settings: Settings, org: str) -> bool:
    """Whether a rule books settlements. Rules that cannot be read are somebody else's to tell of: `k2x check`."""
    try:
        return bool(rules_of(settings, org).settlements)
    except ConfigError:
        return False


class AccessCollector(Collector):
    """When our ways into Xero end, for Prometheus."""

    def __init__(self, access: XeroAccess) -> None:
        self._access = access

    def collect(self) -> Iterable[Metric]:
        token = GaugeMetricFamily(
            "k2x_xero_access_token_expires_seconds", "Seconds until the access token in use ends (renewed on use)",
            labels=["org"],
        )  # fmt: skip
        for org, seconds in self._access.access_ends().items():
            token.add_metric([org], seconds)
        refresh = GaugeMetricFamily(
            "k2x_xero_refresh_token_expires_timestamp_seconds",
            "When the refresh token ends unless it is used before; only for connection: app",
            labels=["app"],
        )
        for app, at in self._access.refresh_ends().items():
            refresh.add_metric([app], at)
        yield from (token, refresh)
