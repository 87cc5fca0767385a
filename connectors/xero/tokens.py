"""Access tokens of an app with a rotating refresh token: one elected process refreshes it, all others read it.

Guarantees: a new pair is on `k2x.tokens.v1`, encrypted and acknowledged, before its access token is used; a pair that
was received but could not be stored is stored later or, if this process dies, asked for again with the old refresh
token, which Xero honours for 30 minutes; an owner that lost its election can store nothing (transactional fence).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import orjson
import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from connectors.xero.auth import AccessToken, Grant, Identity, renewal_delay
from connectors.xero.errors import AuthError, IdentityUnreachable, NotConnected, TokenKeyWrong, TokenNotReady, XeroError
from schemas.types import Token

log = structlog.get_logger("k2x.xero.tokens")

REFRESH_LIFE = timedelta(days=60)  # unused, a refresh token ends then (xero.md §3)
_READ_AGAIN = 5.0  # seconds between two looks at the topic while a renewal by the owner is awaited
_ASK_AGAIN = 5.0  # seconds between two attempts to renew while the identity service does not answer
_REFUSED_AGAIN = 600.0  # and after a refusal, which only a new connection mends: it is seen at the topic


@dataclass(frozen=True)
class Pair:
    """An access token and the refresh token it came with. Times in Unix seconds."""

    app: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    received_at: float
    expires_at: float
    scope: str
    generation: int

    @classmethod
    def of(cls, app: str, grant: Grant, asked_at: float, generation: int) -> Pair:
        """From an answer of the identity service to a question of `asked_at`."""
        if grant.refresh_token is None:
            raise NotConnected(
                f"Xero gave app {app} no refresh token: the scope offline_access is missing. Connect again."
            )
        ends = asked_at + grant.expires_in
        return cls(app, grant.access_token, grant.refresh_token, asked_at, ends, grant.scope, generation)

    @property
    def renew_at(self) -> float:
        return self.received_at + renewal_delay(self.expires_at - self.received_at)

    @property
    def access(self) -> AccessToken:
        return AccessToken.of(self.access_token, self.expires_at)


class Vault:
    """Seals pairs. `keys`: Fernet keys, comma-separated; the first seals, all open, so that a key can be changed."""

    def __init__(self, keys: str) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key.strip()) for key in keys.split(",")])
        except ValueError as error:
            raise TokenKeyWrong(
                "the key for stored tokens is no Fernet key (32 bytes, URL-safe base64). Make one with "
                '`python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"`'
            ) from error

    def seal(self, pair: Pair) -> Token:
        """The record for the topic."""
        secret = {
            "access_token": pair.access_token,
            "refresh_token": pair.refresh_token,
            "received_at": pair.received_at,
            "expires_at": pair.expires_at,
            "scope": pair.scope,
        }
        at = datetime.fromtimestamp(pair.received_at, UTC)
        return {
            "app": pair.app,
            "ciphertext": self._fernet.encrypt(orjson.dumps(secret)),
            "expires_at": at + REFRESH_LIFE,
            "rotated_at": at,
            "generation": pair.generation,
        }

    def open(self, record: Token) -> Pair:
        """The pair of a record; TokenKeyWrong if none of the keys opens it."""
        try:
            secret: Mapping[str, Any] = orjson.loads(self._fernet.decrypt(record["ciphertext"]))
        except InvalidToken as error:
            raise TokenKeyWrong(
                f"the stored token of app {record['app']} was encrypted with another key. Set the key it was stored "
                "with, or run `k2x xero connect` to store a new one."
            ) from error
        return Pair(app=record["app"], generation=record["generation"], **secret)


class TokenLog(Protocol):
    """`k2x.tokens.v1`: connectors.xero.token_log, or a test's."""

    def latest(self, app: str) -> Token | None:
        """The newest record of the app, read to the end of the topic now. TokenNotReady if Kafka cannot be read."""

    def owns(self) -> bool:
        """True while this process is the elected one, and fenced against the one before it."""

    def append(self, record: Token) -> None:
        """Store as the owner. TokenNotReady if it was not acknowledged or the election is lost."""


class RefreshTokenConnection:
    """The Tokens of an app with authorization code. Thread-safe. `clock`: Unix seconds, shared by all processes."""

    def __init__(
        self, identity: Identity, topic: TokenLog, vault: Vault, clock: Callable[[], float] = time.time
    ) -> None:
        self._identity = identity
        self._topic = topic
        self._vault = vault
        self._clock = clock
        self._app = identity.client_id
        self._lock = threading.Lock()
        self._pair: Pair | None = None
        self._before: AccessToken | None = None
        self._unstored: Pair | None = None  # received, not acknowledged by the topic: not to be used yet
        self._read_at = float("-inf")
        self._failure: tuple[str, float, XeroError] | None = None  # access token, not before, why

    def token(self) -> AccessToken:
        with self._lock:
            return self._current(refused=None).access

    def held(self, token_id: str) -> AccessToken | None:
        with self._lock:
            for token in (self._pair.access if self._pair else None, self._before):
                if token is not None and token.id == token_id and token.expires_at > self._clock():
                    return token
            return None

    def renew(self, refused: str) -> AccessToken:
        with self._lock:
            return self._current(refused).access

    def keep(self) -> None:
        """Renew if it is due. What goes wrong is logged; those who ask for a token see it too. For the owner's loop."""
        try:
            self.token()
        except XeroError as error:
            log.warning("no_token", app=self._app, error=str(error), kind=type(error).__name__)

    def pair(self) -> Pair:
        """What is stored now, for `k2x xero status`. NotConnected, TokenKeyWrong, TokenNotReady."""
        with self._lock:
            self._read()
            assert self._pair is not None  # noqa: S101 - _read raises otherwise
            return self._pair

    def known(self) -> Pair | None:
        """What this process holds, without asking anybody; for metrics."""
        return self._pair

    def _current(self, refused: str | None) -> Pair:
        now = self._clock()
        pair = self._pair
        if pair is not None and now < pair.renew_at and pair.access.id != refused:
            return pair
        if refused is not None or pair is None or now - self._read_at >= _READ_AGAIN:
            pair = self._read()
        if pair is not None and now < pair.renew_at and pair.access.id != refused:
            return pair
        if self._topic.owns():
            try:
                return self._rotate()
            except (IdentityUnreachable, TokenNotReady) as error:
                log.warning("token_not_renewed", app=self._app, error=str(error))
                if not self._usable(pair, refused):
                    raise
        if pair is not None and self._usable(pair, refused):
            return pair
        raise TokenNotReady(
            f"app {self._app}: its token has ended, and the process that renews it has not done so yet."
        )

    def _usable(self, pair: Pair | None, refused: str | None) -> bool:
        return pair is not None and pair.expires_at > self._clock() and pair.access.id != refused

    def _read(self) -> Pair:
        record = self._topic.latest(self._app)
        if record is None:
            raise NotConnected(f"app {self._app} is not connected to Xero yet. Run `k2x xero connect`.")
        self._read_at = self._clock()
        self._take(self._vault.open(record))
        assert self._pair is not None  # noqa: S101 - just taken
        return self._pair

    def _take(self, pair: Pair) -> None:
        if self._pair is None or pair.access_token != self._pair.access_token:
            self._before = self._pair.access if self._pair else None
            self._pair = pair

    def _rotate(self) -> Pair:
        """Only the owner comes here, after reading the topic to its end."""
        before = self._read()
        if self._unstored is None or self._unstored.generation != before.generation + 1:
            self._unstored = self._asked(before)
            if self._unstored is None:
                return self._read()
        self._topic.append(self._vault.seal(self._unstored))
        self._take(self._unstored)
        log.info("token_renewed", app=self._app, generation=self._unstored.generation)
        new, self._unstored = self._unstored, None
        return new

    def _asked(self, before: Pair) -> Pair | None:
        """The next pair from Xero; None if someone connected again meanwhile, and the topic has a newer one."""
        asked = self._clock()
        if self._failure is not None and self._failure[0] == before.access_token and asked < self._failure[1]:
            raise self._failure[2]
        try:
            grant = self._identity.refresh(before.refresh_token)
        except (AuthError, IdentityUnreachable) as error:
            if isinstance(error, AuthError) and self._read().access_token != before.access_token:
                return None
            pause = _REFUSED_AGAIN if isinstance(error, AuthError) else _ASK_AGAIN
            self._failure = (before.access_token, asked + pause, error)
            raise
        return Pair.of(self._app, grant, asked, before.generation + 1)
