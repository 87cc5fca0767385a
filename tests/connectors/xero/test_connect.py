"""Connecting by browser against the sandbox's authorize page, the stored tokens on a real Kafka, and status."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from cryptography.fernet import Fernet

from connectors.xero.auth import SCOPES, CustomConnection, Identity, IdentitySettings
from connectors.xero.client import ClientSettings, XeroClient
from connectors.xero.connect import Connected, ConnectSettings, app_status, connect, organisation_status
from connectors.xero.errors import AuthRevoked, ConnectFailed, NotConnected, TokenNotReady
from connectors.xero.sandbox.identity import web_app
from connectors.xero.token_log import KafkaTokenLog
from connectors.xero.tokens import Pair, RefreshTokenConnection, Vault
from schemas.codec import Codec
from schemas.delivery import Deliverer, Record
from schemas.ids import CommittedIds
from tests.connectors.xero.servers import SandboxProcess
from tests.connectors.xero.test_auth import MemoryLog


class Person:
    """Opens the address as a browser would, in a thread of its own, and answers the consent page."""

    def __init__(self, decision: str = "allow", tamper: Callable[[str], str] = str) -> None:
        self.decision = decision
        self.tamper = tamper
        self.asked: dict[str, list[str]] = {}
        self.seen: list[httpx.Response] = []
        self._thread: threading.Thread | None = None

    def __call__(self, url: str) -> None:
        self.asked = parse_qs(urlsplit(url).query)
        self._thread = threading.Thread(target=self._browse, args=(url,), daemon=True)
        self._thread.start()

    def join(self) -> None:
        assert self._thread is not None
        self._thread.join(10)

    def _browse(self, url: str) -> None:
        with httpx.Client(timeout=10) as browser:
            page = browser.get(url).text
            fields = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page)
            form: dict[str, str | list[str]] = {name: unescape(value) for name, value in fields}
            form |= {"org": ["uk", "de"], "decision": self.decision}
            back = browser.post(url, data=form).headers["location"].replace("//localhost:", "//127.0.0.1:")
            for address in (self.tamper(back), back):
                self.seen.append(browser.get(address))
                if address == back:
                    return


@pytest.fixture
def identity(xero_sandbox: SandboxProcess) -> Identity:
    app, url = web_app(), xero_sandbox.url
    settings = IdentitySettings(
        f"{url}/connect/token", f"{url}/identity/connect/authorize", f"{url}/connections", f"{url}/connect/revocation"
    )
    return Identity(settings, app.client_id, app.client_secret)


def run(identity: Identity, person: Person, log: MemoryLog, vault: Vault, wait: float = 10) -> Connected:
    try:
        return connect(identity, vault, log, log.records.append, person, ConnectSettings(port=0, wait=wait))
    finally:
        person.join()


def test_a_person_allows_two_organisations_and_the_tokens_reach_them(
    identity: Identity, xero_sandbox: SandboxProcess
) -> None:
    log, vault, person = MemoryLog([]), Vault(Fernet.generate_key().decode()), Person()
    connected = run(identity, person, log, vault)
    ids = {xero_sandbox.organisations[slug]["tenant_id"] for slug in ("uk", "de")}
    assert ids <= {tenant.tenant_id for tenant in connected.tenants}
    assert connected.missing == ()
    assert (connected.refresh_expires_at - connected.access_expires_at).days == 59
    assert person.asked["code_challenge_method"] == ["S256"]
    assert set(person.asked["scope"][0].split()) == {*SCOPES, "offline_access"}

    tokens = RefreshTokenConnection(identity, log, vault)
    client = XeroClient(ClientSettings(xero_sandbox.api_url, xero_sandbox.organisations["de"]["tenant_id"]), tokens)
    status = organisation_status(client)
    assert (status.organisation_id, status.problem) == (xero_sandbox.organisations["de"]["tenant_id"], "")
    assert status.day_remaining is not None
    assert status.day_remaining < 5000
    first = tokens.token()
    second = tokens.renew(first.id)
    assert (first.id != second.id, log.records[-1]["generation"]) == (True, 2)
    assert app_status(identity, vault, log).scopes == connected.scopes
    elsewhere = XeroClient(ClientSettings(xero_sandbox.api_url, xero_sandbox.organisations["au"]["tenant_id"]), tokens)
    assert organisation_status(elsewhere).problem.startswith("403: ")


def test_a_refusal_and_a_silence_say_so(identity: Identity) -> None:
    vault = Vault(Fernet.generate_key().decode())
    with pytest.raises(ConnectFailed, match="access_denied"):
        run(identity, Person("deny"), MemoryLog([]), vault)
    with pytest.raises(ConnectFailed, match="nobody answered"):
        connect(identity, vault, MemoryLog([]), lambda _: None, lambda _: None, ConnectSettings(port=0, wait=0.2))


def test_another_state_is_turned_away_and_the_right_one_still_taken(identity: Identity) -> None:
    person = Person(tamper=lambda back: re.sub(r"state=[^&]+", "state=stolen", back))
    log = MemoryLog([])
    connected = run(identity, person, log, Vault(Fernet.generate_key().decode()))
    assert [page.status_code for page in person.seen] == [400, 200]
    assert connected.tenants
    assert len(log.records) == 1


def test_a_code_for_another_verifier_is_refused(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = identity.exchange
    monkeypatch.setattr(identity, "exchange", lambda code, uri, _: exchange(code, uri, "another-verifier"))
    with pytest.raises(AuthRevoked):
        run(identity, Person(), MemoryLog([]), Vault(Fernet.generate_key().decode()))


def test_a_port_in_use_says_what_to_set(identity: Identity) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ConnectSettings(port=taken.getsockname()[1])
        with pytest.raises(ConnectFailed, match="redirect_port"):
            connect(identity, Vault(Fernet.generate_key().decode()), MemoryLog([]), lambda _: None, print, settings)


def test_status_before_connecting_says_what_to_run(identity: Identity) -> None:
    with pytest.raises(NotConnected, match="k2x xero connect"):
        app_status(identity, Vault(Fernet.generate_key().decode()), MemoryLog([]))


def test_status_of_an_organisation_that_refuses_us(xero_sandbox: SandboxProcess) -> None:
    settings = IdentitySettings(f"{xero_sandbox.url}/connect/token")
    tokens = CustomConnection(Identity(settings, "nobody", "wrong"))
    status = organisation_status(XeroClient(ClientSettings(xero_sandbox.api_url), tokens))
    assert status.problem.startswith("401: Xero refused app nobody")


@pytest.mark.kafka
def test_one_process_is_elected_and_a_fenced_one_can_store_nothing(kafka: str, topic_prefix: str) -> None:
    topic, config = f"{topic_prefix}-tokens", {"bootstrap.servers": kafka}
    new = NewTopic(topic, 1, 1, config={"cleanup.policy": "compact"})
    admin = AdminClient(config)
    for future in admin.create_topics([new]).values():
        future.result(10)
    codec, vault = Codec(CommittedIds()), Vault(Fernet.generate_key().decode())
    logs = [KafkaTokenLog(config, codec, topic, topic_prefix) for _ in range(2)]
    assert logs[0].latest("app") is None
    first = vault.seal(Pair("app", "a1", "r1", 1e9, 1e9 + 1800, "s", 1))
    deliverer = Deliverer(config)
    deliverer.deliver_now([Record(topic, b"app", codec.encode("token", first))])
    deliverer.close()

    stops, turns = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]
    threads = [
        threading.Thread(target=log.run, args=(stop, turn.set), daemon=True)
        for log, stop, turn in zip(logs, stops, turns, strict=True)
    ]
    threads[0].start()
    assert turns[0].wait(30)
    with pytest.raises(TokenNotReady, match="another process"):
        logs[1].append(first)
    logs[0].append(vault.seal(Pair("app", "a2", "r2", 1e9, 1e9 + 1800, "s", 2)))
    read = logs[1].latest("app")
    assert read is not None
    assert vault.open(read).refresh_token == "r2"

    # Before the other one joins: from then on the topic may be given to either.
    zombie = logs[0]._producer  # it will think it still owns the topic
    threads[1].start()
    stops[0].set()
    assert turns[1].wait(40)
    _soon(lambda: logs[1].append(vault.seal(Pair("app", "a3", "r3", 1e9, 1e9 + 1800, "s", 3))))
    threads[0].join(20)  # on its way out it lays the producer down; only then is it made to forget that
    assert not threads[0].is_alive()
    logs[0]._producer = zombie
    with pytest.raises(TokenNotReady, match="could not be stored"):
        logs[0].append(vault.seal(Pair("app", "a0", "r0", 1e9, 1e9 + 1800, "s", 9)))
    assert not logs[0].owns()
    read = logs[0].latest("app")
    assert read is not None
    assert read["generation"] == 3
    stops[1].set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def _soon(act: Callable[[], Any]) -> Any:
    """What comes of it as soon as the topic has an owner."""
    for _ in range(300):
        try:
            return act()
        except TokenNotReady:
            time.sleep(0.1)
    return act()
