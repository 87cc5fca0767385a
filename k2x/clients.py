"""What the settings mean to the two Kafka clients and to the codec."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from k2x.secrets import secret
from k2x.settings import Settings
from schemas.codec import Codec
from schemas.ids import CommittedIds
from schemas.registry import SchemaRegistry

# For commands a person runs: they say in one sentence that Kafka is away; librdkafka says it 20 times a second.
QUIET = {"log_level": 0}


def librdkafka(settings: Settings, bootstrap: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """confluent-kafka's configuration: bootstrap and security, nothing else."""
    security = settings.kafka.security
    conf: dict[str, Any] = {"bootstrap.servers": bootstrap}
    if security.protocol == "PLAINTEXT":
        return conf
    conf["security.protocol"] = security.protocol
    if security.mechanism and security.username and security.password_env:
        password = secret(security.password_env, os.environ if env is None else env, "kafka.security")
        conf |= {
            "sasl.mechanism": security.mechanism,
            "sasl.username": security.username,
            "sasl.password": password.get_secret_value(),
        }
    files = {
        "ssl.ca.location": security.ca_file,
        "ssl.certificate.location": security.certificate_file,
        "ssl.key.location": security.key_file,
    }
    return conf | {name: str(path) for name, path in files.items() if path is not None}


def codec(settings: Settings, env: Mapping[str, str] | None = None) -> Codec:
    """The codec: ids by the registry where one is configured, else by the committed file."""
    return Codec(registry(settings, env) or CommittedIds())


def registry(settings: Settings, env: Mapping[str, str] | None = None) -> SchemaRegistry | None:
    """The schema registry, where one is configured."""
    given = settings.schema_registry
    if not given.url:
        return None
    auth = None
    if given.username and given.password_env:
        password = secret(given.password_env, os.environ if env is None else env, "schema_registry")
        auth = (given.username, password.get_secret_value())
    return SchemaRegistry(given.url, auth)
