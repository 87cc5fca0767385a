"""What a streams worker must be told, and what that means to Faust: one Kafka configuration for both clients."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust
from faust.types.auth import CredentialsT

from schemas import topics
from streams.errors import BadSecurity

_ENCRYPTED = {"SSL", "SASL_SSL"}
_KNOWN = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}


@dataclass(frozen=True)
class StreamsSettings:
    """`kafka` is librdkafka configuration (bootstrap.servers and security); Faust's is derived from it.

    `stores` maps instance/siteName to the organisation's slug. `worker` names this process within the group and must
    stay the same over restarts (static membership: no rebalance when it comes back within `session_timeout_s`).
    Times in seconds. `topic_prefix` stands before every topic and group name, for clusters shared with others.
    """

    kafka: Mapping[str, Any] = field(repr=False)
    stores: Mapping[str, str]
    data_dir: Path
    worker: str = "streams-1"
    group: str = "k2x-streams"
    topic_prefix: str = ""
    replays: bool = False  # read the replay topics beside the live ones (schemas.topics.REPLAY_OF)
    batch: int = 500  # 7,300 events/s measured with it; 200 ms of work, far below every heartbeat
    within_s: float = 0.05
    delivery_timeout_s: float = 120.0  # rides out a broker's restart (40 s measured) before the worker gives up
    catch_up_timeout_s: float = 120.0
    commit_interval_s: float = 0.5  # a replay counts a record as outstanding until it is confirmed
    rebalance_timeout_s: float = 10.0
    session_timeout_s: float = 10.0
    heartbeat_s: float = 2.0
    backlog_check_s: float = 30.0  # how often a parked topic is looked at for records that nobody announced
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None  # None: no server; 0: a free port

    def topic(self, name: str) -> str:
        """The real name of a topic of schemas.topics."""
        return self.topic_prefix + name

    def commands(self, org: str) -> str:
        return self.topic_prefix + topics.commands(org)

    @property
    def replay_topics(self) -> dict[str, str]:
        """Replay topic → the source whose copies it carries, by real names."""
        known = topics.REPLAY_OF if self.replays else {}
        return {self.topic(replay): self.topic(source) for source, replay in known.items()}

    @property
    def group_id(self) -> str:
        return self.topic_prefix + self.group

    @property
    def orgs(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.stores.values())))

    def stores_of(self, instance: str) -> dict[str, str]:
        """The stores of an instance, each with its organisation."""
        return {name: org for name, org in self.stores.items() if name.partition("/")[0] == instance}

    def orgs_of(self, instance: str) -> tuple[str, ...]:
        """The organisations that an instance's stores feed."""
        return tuple(sorted(set(self.stores_of(instance).values())))


def faust_broker(kafka: Mapping[str, Any]) -> list[str]:
    """Faust's broker addresses."""
    hosts = str(kafka["bootstrap.servers"]).split(",")
    return [f"kafka://{host.strip()}" for host in hosts if host.strip()]


def faust_credentials(kafka: Mapping[str, Any]) -> CredentialsT | None:
    """Faust's credentials for the same security settings; None for PLAINTEXT. BadSecurity names what does not fit."""
    protocol = str(kafka.get("security.protocol", "PLAINTEXT")).upper()
    if protocol not in _KNOWN:
        raise BadSecurity(f"security.protocol {protocol!r} is unknown; use one of {', '.join(sorted(_KNOWN))}")
    context = _tls(kafka) if protocol in _ENCRYPTED else None
    if protocol == "PLAINTEXT":
        return None
    if protocol == "SSL":
        return faust.SSLCredentials(context)
    mechanism = str(kafka.get("sasl.mechanism") or kafka.get("sasl.mechanisms") or "")
    if mechanism not in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}:
        raise BadSecurity(f"sasl.mechanism {mechanism!r}: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    if not kafka.get("sasl.username") or kafka.get("sasl.password") is None:
        raise BadSecurity(f"{protocol} needs sasl.username and sasl.password (kafka.security in k2x.yaml)")
    return faust.SASLCredentials(
        username=kafka["sasl.username"], password=kafka["sasl.password"], mechanism=mechanism, ssl_context=context
    )


def _tls(kafka: Mapping[str, Any]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=kafka.get("ssl.ca.location"))
        if kafka.get("ssl.certificate.location"):
            context.load_cert_chain(
                kafka["ssl.certificate.location"], kafka.get("ssl.key.location"), kafka.get("ssl.key.password")
            )
    except OSError as error:
        raise BadSecurity(f"TLS files of the Kafka connection cannot be used: {error}; check kafka.security") from error
    return context
