"""How k2x.yaml says by which ways orders come in and go out, and what each process is told of it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from k2x import processes, wiring
from k2x.config import load
from k2x.errors import ConfigError, SecretMissing
from k2x.settings import Settings

HEAD = """\
organisations:
  uk: {client_id: abc, client_secret_env: UK_SECRET, rules: rules/uk.yaml}
stores:
  main/Shop: {organisation: uk}
"""
ENV = {"PASSWORD": "p" * 16, "GATEWAY": "g" * 16, "API": "a" * 16, "HOOK": "h" * 16}


def settings(tmp_path: Path, instance: str, more: str = "") -> Settings:
    path = tmp_path / "k2x.yaml"
    path.write_text(f"{HEAD}instances:\n  main: {{time_zone: Europe/London, {instance}}}\n{more}", "utf-8")
    return load(path)


REST = "rest: {url: https://shop.example/rest, user: k2x, password_env: PASSWORD}"


@pytest.mark.parametrize(
    ("instance", "said"),
    [
        ("rest: {url: https://shop.example/rest}", "give it user and password_env, or oauth2, or header_envs"),
        ("rest: {url: https://shop.example/rest, user: k2x}", "user and password_env go together"),
        (f"dialect: xbyk, {REST}", "Xperience by Kentico has no sites"),
        ("store_api: {url: https://shop.example, client_id: c, client_secret_env: API}", "does not name the site"),
        ("poll: {every_s: 5}", "poll needs rest"),
        ("cdc: {topic_prefix: shop, database: K13}", "cdc needs rest or store_api"),
        (f"{REST}, cdc: {{topic_prefix: shop}}", "topic_prefix and database go together"),
        (f"{REST}, cdc: {{}}", "give it topic_prefix and database, or outbox_topics"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(tmp_path: Path, instance: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        settings(tmp_path, instance)
    assert ":6: instances.main" in str(caught.value)


def test_a_gateways_key_and_login_come_from_the_environment(tmp_path: Path) -> None:
    rest = "url: https://gateway.example/rest, header_envs: {X-Key: GATEWAY}"
    (found,) = wiring.instances(settings(tmp_path, f"rest: {{{rest}}}"), ENV)
    assert found.rest is not None
    assert (found.rest.user, found.rest.headers["X-Key"].get_secret_value()) == (None, "g" * 16)
    oauth2 = "token_url: https://login.example, client_id: k2x, client_secret_env: GATEWAY, scope: orders"
    (found,) = wiring.instances(settings(tmp_path, f"rest: {{url: https://x/rest, oauth2: {{{oauth2}}}}}"), ENV)
    assert found.rest is not None
    assert found.rest.oauth2 is not None
    assert (found.rest.oauth2.client_secret.get_secret_value(), found.rest.oauth2.scope) == ("g" * 16, "orders")
    assert "g" * 16 not in repr(found)


def test_store_api_logs_in_at_its_own_address(tmp_path: Path) -> None:
    api = "store_api: {url: https://shop.example/, client_id: c, client_secret_env: API, main_currency: GBP}"
    (found,) = wiring.instances(settings(tmp_path, f"{api}, site: Shop"), ENV)
    assert found.store_api is not None
    assert found.store_api.oauth2 is not None
    assert found.store_api.oauth2.token_url == "https://shop.example/api/store/auth/token"
    assert (found.site, found.main_currency, found.followed) == ("Shop", "GBP", True)
    told = wiring.receiver(settings(tmp_path, f"{api}, site: Shop"), {}).instances[0]
    assert told.followed, "the receiver knows that hints can be followed, without the secret"


def test_cdc_is_told_its_topics_and_no_secret(tmp_path: Path) -> None:
    cdc = "cdc: {topic_prefix: shop, database: K13, outbox_topics: [outbox.event.order], snapshot_since: 2026-11-01}"
    found = settings(tmp_path, f"{REST}, {cdc}")
    (told,) = wiring.cdc(found, {}).instances
    assert told.cdc is not None
    assert told.cdc.snapshot_since == date(2026, 11, 1)
    assert {"shop.K13.dbo.COM_Order", "outbox.event.order"} <= wiring.cdc_topics(found)


def test_confirmations_are_signed_with_a_secret_of_the_environment(tmp_path: Path) -> None:
    more = "confirmations:\n  erp: {url: https://erp.example, secret_env: HOOK, events: [held], stores: [main/Shop]}\n"
    found = settings(tmp_path, REST, more)
    (target,) = wiring.confirm(found, ENV).targets
    assert (target.name, target.secret.get_secret_value(), target.events) == ("erp", "h" * 16, {"held"})
    with pytest.raises(SecretMissing, match=r"confirmations\.erp\.secret_env"):
        wiring.confirm(found, {})
    with pytest.raises(ConfigError, match=r"confirmations\.erp\.stores: 'main/Other' is not under stores"):
        settings(tmp_path, REST, more.replace("main/Shop", "main/Other"))


def test_only_what_has_work_is_started(tmp_path: Path) -> None:
    idle = {"poller", "cdc", "writeback", "confirm"}
    assert set(processes.NAMES) - set(processes.wanted(settings(tmp_path, REST))) == idle
    busy = f"{REST}, poll: {{every_s: 5}}, cdc: {{topic_prefix: a, database: b}}, write_back_columns: [OrderX]"
    more = "confirmations:\n  erp: {url: https://erp.example, secret_env: HOOK}\n"
    assert processes.wanted(settings(tmp_path, busy, more)) == list(processes.NAMES)
