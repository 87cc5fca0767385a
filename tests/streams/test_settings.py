"""One Kafka configuration reaches both clients."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from streams.app import build_app
from streams.errors import BadSecurity
from streams.settings import StreamsSettings, faust_broker, faust_credentials

SASL: dict[str, Any] = {
    "bootstrap.servers": "a:9093, b:9093",
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "SCRAM-SHA-512",
    "sasl.username": "k2x",
    "sasl.password": "secret",
}


def _settings(tmp_path: Path, **kafka: Any) -> StreamsSettings:
    return StreamsSettings(
        kafka=kafka, stores={"emea/GoatUK": "uk", "emea/B2B": "uk", "apac/Au": "au"}, data_dir=tmp_path
    )


def test_sasl_over_tls_reaches_fausts_client(tmp_path: Path) -> None:
    conf = build_app(_settings(tmp_path, **SASL)).conf
    auth = credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context)
    assert auth["security_protocol"] == "SASL_SSL"
    assert (auth["sasl_mechanism"], auth["sasl_plain_username"]) == ("SCRAM-SHA-512", "k2x")
    assert auth["sasl_plain_password"] == "secret"
    assert isinstance(auth["ssl_context"], ssl.SSLContext)
    assert auth["ssl_context"].verify_mode == ssl.CERT_REQUIRED
    assert [str(url) for url in conf.broker] == ["kafka://a:9093", "kafka://b:9093"]


def test_sasl_without_tls_and_tls_without_sasl() -> None:
    plain = credentials_to_aiokafka_auth(
        faust_credentials({**SASL, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}), None
    )
    assert (plain["security_protocol"], plain["ssl_context"]) == ("SASL_PLAINTEXT", None)
    tls = credentials_to_aiokafka_auth(faust_credentials({"security.protocol": "SSL"}), None)
    assert tls["security_protocol"] == "SSL"
    assert faust_credentials({"bootstrap.servers": "a:1"}) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"security.protocol": "TLS"}, "TLS"),
        ({"sasl.mechanism": "GSSAPI"}, "SCRAM-SHA-256"),
        ({"sasl.password": None}, "sasl.password"),
        ({"ssl.ca.location": "/nowhere/ca.pem"}, "kafka.security"),
    ],
)
def test_security_that_cannot_be_used_is_told(change: dict[str, Any], told: str) -> None:
    with pytest.raises(BadSecurity, match=told):
        faust_credentials({**SASL, **change})


def test_measured_choices_reach_faust(tmp_path: Path) -> None:
    conf = build_app(_settings(tmp_path, **{"bootstrap.servers": "a:1"})).conf
    assert (conf.broker_rebalance_timeout, conf.broker_session_timeout, conf.broker_heartbeat_interval) == (10, 10, 2)
    assert conf.consumer_group_instance_id == "streams-1"
    assert conf.consumer_auto_offset_reset == "earliest"
    assert conf.processing_guarantee.value == "at_least_once"
    assert not conf.topic_allow_declare


def test_settings_route_and_hide_secrets(tmp_path: Path) -> None:
    settings = _settings(tmp_path, **SASL)
    assert settings.orgs == ("au", "uk")
    assert settings.orgs_of("emea") == ("uk",)
    assert settings.commands("uk") == "xero.commands.uk.v1"
    assert "secret" not in repr(settings)
    assert faust_broker({"bootstrap.servers": "h:1"}) == ["kafka://h:1"]
