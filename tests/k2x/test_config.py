"""k2x.yaml: what is wrong is named by file, line and key, with the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from k2x import wiring
from k2x.config import load
from k2x.envfile import load_env_file
from k2x.errors import ConfigError, SecretMissing
from k2x.secrets import secret
from k2x.settings import Settings

GOOD = """\
organisations:
  uk: {client_id: abc, client_secret_env: UK_SECRET, rules: rules/uk.yaml}
instances:
  emea: {time_zone: Europe/London}
stores:
  emea/GoatUK: {organisation: uk}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "k2x.yaml"
    path.write_text(text, "utf-8")
    return path


def test_rules_are_found_beside_the_file(tmp_path: Path) -> None:
    settings = load(write(tmp_path, GOOD))
    assert settings.organisations["uk"].rules == tmp_path / "rules" / "uk.yaml"
    assert settings.orgs_of("emea") == ["uk"]


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K2X_KAFKA__BOOTSTRAP", "broker:9092")
    assert load(write(tmp_path, GOOD + "kafka: {bootstrap: other:1, partitions: 8}\n")).kafka.bootstrap == "broker:9092"


_WAITS = {
    "kafka": {"session_timeout_s": 4.0},
    "xero": {
        "budget": {"jitter_s": 8.0},
        "sink": {
            "session_timeout_s": 5.0,
            "intention_lapse_s": 2.0,
            "deadline_s": 3.0,
            "transaction_timeout_s": 7.0,
        },
    },
}


@pytest.mark.parametrize("way", ["file", "environment"])
def test_every_wait_that_a_takeover_depends_on_can_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "environment":
        for part, value in (("KAFKA", _WAITS["kafka"]), ("XERO", _WAITS["xero"])):
            monkeypatch.setenv(f"K2X_{part}", json.dumps(value))
    settings = load(write(tmp_path, GOOD + (yaml.safe_dump(_WAITS) if way == "file" else "")))
    sink, limits = wiring.sink(settings, "w"), wiring.limits(settings, "uk")
    assert (sink.session_timeout, sink.transaction_timeout, limits.jitter) == (5.0, 7.0, 8.0)
    assert (sink.core.intention_lapse, sink.core.deadline) == (2.0, 3.0)
    streams = wiring.streams(settings, {}, "w")
    assert (streams.session_timeout_s, streams.heartbeat_s) == (4.0, 0.8)
    assert wiring.reader(settings).session_timeout_s == wiring.writeback(settings, True).session_timeout_s == 4.0


def test_one_of_several_processes_gets_its_metrics_port_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K2X_PORTS__METRICS", '{"sink": 7}')
    ports = load(write(tmp_path, GOOD + "ports: {receiver: 1, metrics: {sink: 5, reader: 6}}\n")).ports
    assert (ports.receiver, ports.metrics["sink"], ports.metrics["reader"]) == (1, 7, 6)


@pytest.mark.parametrize(
    ("change", "line", "key", "says"),
    [
        (("{time_zone: Europe/London}", "{time_zone: Mars/Base}"), 4, "instances.emea.time_zone", "Europe/London"),
        (("organisation: uk", "organisation: us"), 6, "stores.emea/GoatUK.organisation", "known: uk"),
        (("emea/GoatUK", "emea"), 6, "stores.emea", "instance/siteName"),
        (("client_id: abc, ", ""), 2, "organisations.uk", "client_id"),
        (("rules: rules/uk.yaml", "rulez: x"), 2, "organisations.uk.rulez", "not known"),
        (("emea: {", "EMEA: {"), 4, "instances.EMEA", "lower-case"),
    ],
)
def test_a_fault_names_line_key_and_remedy(
    tmp_path: Path, change: tuple[str, str], line: int, key: str, says: str
) -> None:
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(ConfigError) as caught:
        load(path)
    sentence = next(s for s in str(caught.value).splitlines() if says in s)
    assert sentence.startswith(f"{path}:{line}: {key}")


def test_bad_yaml_names_the_place(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "kafka: [unclosed\n")
    with pytest.raises(ConfigError, match=rf"{path}:[78]: bad YAML"):
        load(path)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="k2x init"):
        load(tmp_path / "none.yaml")


def test_sasl_needs_all_its_parts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="password_env"):
        load(write(tmp_path, GOOD + "kafka:\n  security: {protocol: SASL_SSL, username: me}\n"))


def test_secrets_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from-file\n", "utf-8")
    assert secret("A", {"A": "x"}, "t").get_secret_value() == "x"
    assert secret("A", {"A_FILE": str(file)}, "t").get_secret_value() == "from-file"
    assert "from-file" not in repr(secret("A", {"A_FILE": str(file)}, "t"))
    with pytest.raises(SecretMissing, match=r"organisations\.uk: set the environment variable A"):
        secret("A", {}, "organisations.uk")
    with pytest.raises(SecretMissing, match="cannot be read"):
        secret("A", {"A_FILE": str(tmp_path / "nowhere")}, "t")


def test_an_env_file_fills_gaps_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K2X_T_ONE", "already")
    monkeypatch.delenv("K2X_T_TWO", raising=False)
    (tmp_path / "k2x.env").write_text("# note\nK2X_T_ONE=file\nK2X_T_TWO=file=2\n", "utf-8")
    assert load_env_file(tmp_path / "k2x.yaml") == ["K2X_T_ONE", "K2X_T_TWO"]
    import os

    assert (os.environ["K2X_T_ONE"], os.environ["K2X_T_TWO"]) == ("already", "file=2")
    monkeypatch.delenv("K2X_T_TWO")
    (tmp_path / "k2x.env").write_text("nonsense\n", "utf-8")
    with pytest.raises(ConfigError, match=r"k2x\.env:1"):
        load_env_file(tmp_path / "k2x.yaml")


def test_settings_never_show_a_secret() -> None:
    assert not [name for name in Settings.model_fields if "secret" in name or "password" in name]
