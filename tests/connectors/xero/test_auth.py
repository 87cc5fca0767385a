"""Custom connections, the identity service's answers, and the rotation of refresh tokens with its lost answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography.fernet import Fernet

from connectors.xero.auth import SCOPES, CustomConnection, Identity, IdentitySettings
from connectors.xero.calls import Call
from connectors.xero.client import ClientSettings, XeroClient
from connectors.xero.errors import (
    AuthRevoked,
    ClientRefused,
    IdentityUnreachable,
    NotConnected,
    TokenKeyWrong,
    TokenNotReady,
)
from connectors.xero.sandbox.identity import web_app
from connectors.xero.tokens import Pair, RefreshTokenConnection, Vault
from schemas.types import Token
from tests.connectors.xero.servers import SandboxProcess


class FakeIdentity:
    """Xero's token endpoint: refresh tokens rotate, the one before stays good. Set `fault` to break it."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []
        self.refresh = "r1"
        self.previous = ""
        self.lasts = 1800
        self.fault: Callable[[], httpx.Response] | None = None
        self.lose_answer = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        form["basic"] = request.headers.get("authorization", "")
        self.calls.append(form)
        if self.fault is not None:
            return self.fault()
        n = len(self.calls)
        body: dict[str, object] = {"access_token": f"a{n}", "expires_in": self.lasts, "token_type": "Bearer"}
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] not in (self.refresh, self.previous):
                return httpx.Response(400, json={"error": "invalid_grant"})
            self.previous, self.refresh = form["refresh_token"], f"r{n + 1}"
            body |= {"refresh_token": self.refresh, "scope": "accounting.invoices offline_access"}
            if self.lose_answer:
                self.lose_answer = False
                raise httpx.ReadError("lost")
        return httpx.Response(200, json=body)

    def identity(self, secret: str | None = None) -> Identity:
        return Identity(IdentitySettings("http://id/token"), "app", secret, httpx.MockTransport(self))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


# --- custom connections


def test_a_token_is_kept_until_five_minutes_before_its_end_and_the_old_one_stays_held() -> None:
    xero, clock = FakeIdentity(), Clock()
    tokens = CustomConnection(xero.identity("hush"), clock=clock)
    first = tokens.token()
    clock.now += 1499
    assert tokens.token() == first
    clock.now += 2
    second = tokens.token()
    assert (first.value, second.value, len(xero.calls)) == ("a1", "a2", 2)
    assert tokens.held(first.id) == first  # for a repeat under the same token
    clock.now += 300
    assert tokens.held(first.id) is None
    assert xero.calls[0]["scope"] == " ".join(SCOPES)
    assert xero.calls[0]["basic"].startswith("Basic ")


def test_many_threads_ask_xero_once() -> None:
    xero = FakeIdentity()
    tokens = CustomConnection(xero.identity())
    with ThreadPoolExecutor(8) as pool:
        values = {token.value for token in pool.map(lambda _: tokens.token(), range(40))}
        refused = tokens.token().id
        renewed = {token.value for token in pool.map(lambda _: tokens.renew(refused), range(40))}
    assert (values, renewed, len(xero.calls)) == ({"a1"}, {"a2"}, 2)


def test_an_outage_is_survived_while_the_token_lives_and_told_afterwards() -> None:
    xero, clock = FakeIdentity(), Clock()
    tokens = CustomConnection(xero.identity(), clock=clock)
    first = tokens.token()
    xero.fault = lambda: httpx.Response(503, text="Not available")
    clock.now += 1600
    assert tokens.token() == first
    clock.now += 300
    with pytest.raises(IdentityUnreachable, match="503"):
        tokens.token()


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (httpx.Response(400, json={"error": "invalid_client"}), ClientRefused, "developer.xero.com"),
        (httpx.Response(400, json={"error": "invalid_scope"}), ClientRefused, "accounting.settings.read"),
        (httpx.Response(400, json={"error": "invalid_grant"}), AuthRevoked, "k2x xero connect"),
        (httpx.Response(429, text="slow down"), IdentityUnreachable, "429"),
        (httpx.Response(200, text="<html>"), IdentityUnreachable, "without a token"),
        (httpx.Response(200, json={"access_token": "x"}), IdentityUnreachable, "without a token"),
    ],
)
def test_each_refusal_says_what_to_do(reply: httpx.Response, error: type[Exception], says: str) -> None:
    xero = FakeIdentity()
    xero.fault = lambda: reply
    with pytest.raises(error, match=says):
        CustomConnection(xero.identity()).token()


def test_secrets_are_in_no_repr() -> None:
    tokens = CustomConnection(FakeIdentity().identity("hush"))
    assert "a1" not in repr(tokens.token())
    pair = Pair("app", "access", "refresh", 0, 1, "", 1)
    assert "access" not in repr(pair)
    assert "refresh" not in repr(pair)


def test_a_short_lived_token_is_renewed_at_half_time() -> None:
    xero, clock = FakeIdentity(), Clock()
    xero.lasts = 60
    tokens = CustomConnection(xero.identity(), clock=clock)
    tokens.token()
    clock.now += 29
    assert tokens.token().value == "a1"
    clock.now += 2
    assert tokens.token().value == "a2"


# --- rotating refresh tokens


class MemoryLog:
    """The topic, shared by processes; `owner` is the elected one's log."""

    def __init__(self, records: list[Token], owner: bool = True) -> None:
        self.records = records
        self.owner = owner
        self.broken = False

    def latest(self, app: str) -> Token | None:
        return next((r for r in reversed(self.records) if r["app"] == app), None)

    def owns(self) -> bool:
        return self.owner

    def append(self, record: Token) -> None:
        if self.broken:
            raise TokenNotReady("not acknowledged")
        self.records.append(record)


class Party:
    """An owner and a reader of one app's tokens, connected at the start with r1."""

    def __init__(self) -> None:
        self.xero, self.clock, self.records = FakeIdentity(), Clock(), list[Token]()
        self.vault = Vault(Fernet.generate_key().decode())
        first = Pair("app", "a0", "r1", self.clock.now, self.clock.now + 1800, "s", 1)
        self.records.append(self.vault.seal(first))
        self.owner_log, self.reader_log = MemoryLog(self.records), MemoryLog(self.records, owner=False)
        self.owner, self.reader = self.provider(self.owner_log), self.provider(self.reader_log)

    def provider(self, topic: MemoryLog) -> RefreshTokenConnection:
        return RefreshTokenConnection(self.xero.identity(), topic, self.vault, self.clock)


def test_only_the_owner_refreshes_and_the_others_read_what_it_stored() -> None:
    party = Party()
    assert {party.owner.token().value, party.reader.token().value} == {"a0"}
    party.clock.now += 1600
    assert party.reader.token().value == "a0"  # due, still good, and not its to renew
    assert party.owner.token().value == "a1"
    party.clock.now += 6
    assert party.reader.token().value == "a1"
    assert party.reader.held(party.vault.open(party.records[0]).access.id) is not None
    assert len(party.xero.calls) == 1
    assert party.records[-1]["generation"] == 2
    # Not b"r2" alone: base64 holds two given characters in a row by chance once in fifteen runs (it did).
    for plain in (b'"r2"', b"refresh_token", b"access_token"):
        assert plain not in party.records[-1]["ciphertext"]


def test_a_pair_is_stored_before_it_is_used_and_not_asked_for_twice() -> None:
    party = Party()
    party.clock.now += 1600
    party.owner_log.broken = True
    assert party.owner.token().value == "a0"  # the new one is not acknowledged: the old one serves on
    party.clock.now += 300
    with pytest.raises(TokenNotReady):
        party.owner.token()
    party.owner_log.broken = False
    assert party.owner.token().value == "a1"
    assert len(party.xero.calls) == 1


def test_a_lost_answer_is_asked_for_again_with_the_old_token() -> None:
    party = Party()
    party.clock.now += 1600
    party.xero.lose_answer = True
    assert party.owner.token().value == "a0"
    party.clock.now += 10
    assert party.owner.token().value == "a2"
    assert [call["refresh_token"] for call in party.xero.calls] == ["r1", "r1"]


def test_a_successor_goes_on_where_a_dead_owner_had_received_but_not_stored() -> None:
    party = Party()
    party.clock.now += 1600
    party.owner_log.broken = True
    party.owner.token()
    successor = party.provider(MemoryLog(party.records))
    assert successor.token().value == "a2"
    assert party.records[-1]["generation"] == 2


def test_invalid_grant_is_told_once_and_mended_by_connecting_again() -> None:
    party = Party()
    party.xero.refresh = party.xero.previous = "revoked"
    party.clock.now += 1900
    for _ in range(3):
        party.clock.now += 6
        with pytest.raises(AuthRevoked, match="k2x xero connect"):
            party.owner.token()
    assert len(party.xero.calls) == 1  # not asked every second
    party.owner.keep()  # the keeper's loop survives it
    again = Pair("app", "b1", "rb", party.clock.now, party.clock.now + 1800, "s", 3)
    party.records.append(party.vault.seal(again))
    party.clock.now += 6
    assert party.owner.token().value == "b1"


def test_a_401_makes_the_owner_renew_and_the_reader_look_again() -> None:
    party = Party()
    old = party.owner.token()
    with pytest.raises(TokenNotReady):
        party.reader.renew(old.id)
    assert party.owner.renew(old.id).value == "a1"
    assert party.reader.renew(old.id).value == "a1"
    assert len(party.xero.calls) == 1


def test_nothing_stored_or_another_key_says_what_to_do() -> None:
    party = Party()
    with pytest.raises(NotConnected, match="k2x xero connect"):
        RefreshTokenConnection(party.xero.identity(), MemoryLog([]), party.vault).token()
    other = Vault(Fernet.generate_key().decode())
    with pytest.raises(TokenKeyWrong, match="another key"):
        RefreshTokenConnection(party.xero.identity(), party.owner_log, other).token()
    with pytest.raises(TokenKeyWrong, match="no Fernet key"):
        Vault("hello")


def test_a_key_can_be_changed() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    pair = Pair("app", "a", "r", 1.0, 2.0, "s", 1)
    record = Vault(old).seal(pair)
    assert Vault(f"{new},{old}").open(record) == pair
    with pytest.raises(TokenKeyWrong):
        Vault(old).open(Vault(f"{new},{old}").seal(pair))


# --- against the sandbox


def test_a_custom_connection_reads_the_sandbox_without_a_tenant(xero_sandbox: SandboxProcess) -> None:
    org = xero_sandbox.organisations["uk"]
    settings = IdentitySettings(f"{xero_sandbox.url}/connect/token")
    tokens = CustomConnection(Identity(settings, org["client_id"], org["client_secret"]))
    answer = XeroClient(ClientSettings(xero_sandbox.api_url), tokens).call(Call("GET", "Organisation"))
    assert answer.body["Organisations"][0]["OrganisationID"] == org["tenant_id"]
    wrong = CustomConnection(Identity(settings, org["client_id"], "wrong"))
    with pytest.raises(ClientRefused, match="invalid_client"):
        wrong.token()
    answer = XeroClient(ClientSettings(xero_sandbox.api_url), wrong).call(Call("GET", "Organisation"))
    assert answer.status == 401
    web = web_app()
    with pytest.raises(ClientRefused, match="unauthorized_client"):
        CustomConnection(Identity(settings, web.client_id, web.client_secret)).token()


def test_threads_of_readers_and_the_owner_agree_under_renewal() -> None:
    party = Party()
    party.clock.now += 1600
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.append(party.owner.token().value)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["a1"] * 8
    assert len(party.xero.calls) == 1
