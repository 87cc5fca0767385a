"""What the Kentico processes are told: frozen settings, made by k2x from k2x.yaml and the environment."""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.kentico.columns import KENTICO_ORDER

Dialect = Literal["K13", "XBYK"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OAuth2Settings(_Part):
    """Client credentials at a gateway, or at StoreApi."""

    token_url: str
    client_id: str
    client_secret: SecretStr
    scope: str | None = None


class RestSettings(_Part):
    """The REST service: `url` ends in /rest. Without `user` nobody logs in by Basic; a gateway may do that for us."""

    url: str
    user: str | None = None
    password: SecretStr | None = None
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="of every request, as a gateway wants them")
    oauth2: OAuth2Settings | None = None
    timeout_s: float = Field(30.0, gt=0, description="of one attempt, in all")
    attempts: int = Field(4, ge=1, le=20, description="of one request, before it counts as unavailable")
    backoff_s: float = Field(0.5, ge=0, description="before the second attempt; doubles, at most 30 s")
    page: int = Field(1000, ge=10, description="rows of one answer")
    connections: int = Field(4, ge=1, description="at the same time, to one instance")
    requests_per_second: float | None = Field(None, gt=0, description="of one process; none: no limit")

    @model_validator(mode="after")
    def _one_authorization(self) -> RestSettings:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        if self.user is not None and self.oauth2 is not None:
            raise ValueError("user and oauth2 both want the Authorization header: leave one out")
        if any(name.lower() == "authorization" for name in self.headers) and (self.user or self.oauth2):
            raise ValueError("headers has Authorization beside user or oauth2: leave one out")
        return self


class PollSettings(_Part):
    """How an instance is polled; without these it is not."""

    every_s: float = Field(30.0, gt=0)
    # Covers what is stamped first and committed later, and clocks of several web servers that differ.
    overlap_s: float = Field(300.0, ge=0, description="rows that are looked at again, by their modification time")
    sweep_s: float = Field(3600.0, gt=0, description="how often deleted and missed orders are looked for")
    most_deletions: int = Field(20, ge=0, description="of one sweep; more are not believed")


class CdcSettings(_Part):
    """Debezium's topics of an instance's database, `<topic_prefix>.<database>.<schema_name>.<table>`, and its outbox's.

    What a snapshot reads (op r) is left out, but for orders from `snapshot_since` on.
    """

    topic_prefix: str | None = None
    database: str = ""
    schema_name: str = "dbo"
    outbox_topics: tuple[str, ...] = ()
    snapshot_since: date | None = None


class InstanceSettings(_Part):
    """A Kentico installation. `prices_include_tax` is by site name; a site that is not listed is inferred per order."""

    name: str
    time_zone: str
    dialect: Dialect = "K13"
    secrets: tuple[SecretStr, ...] = Field((), max_length=2)
    hint_token: SecretStr | None = None
    rest: RestSettings | None = None
    store_api: RestSettings | None = Field(None, description="`url` is the live site's; orders are read there")
    site: str | None = Field(None, description="SiteName of every order, where Kentico does not say it")
    main_currency: str | None = Field(None, description="of the site, where StoreApi alone is read")
    poll: PollSettings | None = None
    cdc: CdcSettings | None = None
    prices_include_tax: dict[str, bool] = Field(default_factory=dict)
    tax_address: Literal["billing", "shipping"] = "billing"
    writeback_columns: frozenset[str] = Field(frozenset(), description="custom order columns k2x may write; none: off")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        ZoneInfo(value)
        return value

    @field_validator("secrets")
    @classmethod
    def _no_weak_secret(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value()) < 16 for secret in value):
            raise ValueError("a webhook secret has at least 16 characters")
        return value

    @field_validator("writeback_columns")
    @classmethod
    def _custom_columns_only(cls, value: frozenset[str]) -> frozenset[str]:
        own = sorted(value & KENTICO_ORDER)
        if own:
            # A status written by REST writes history, sends e-mails and may mark the order paid.
            raise ValueError(f"{', '.join(own)}: these are Kentico's own columns; write back to custom columns only")
        return value

    @model_validator(mode="after")
    def _readable(self) -> InstanceSettings:
        if self.dialect == "XBYK" and self.rest is not None and self.site is None:
            raise ValueError("Xperience by Kentico has no sites: `site` says which store its orders are of")
        if self.dialect == "XBYK" and self.store_api is not None:
            raise ValueError("StoreApi is a package for Kentico 13: leave store_api out")
        if self.store_api is not None and self.rest is None and self.site is None:
            raise ValueError("StoreApi does not name the site: `site` says which store its orders are of")
        return self

    @property
    def followed(self) -> bool:
        """Whether a hint can be followed up: events that lack something become one."""
        return self.rest is not None or self.store_api is not None

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


class _Process(_Part):
    instances: tuple[InstanceSettings, ...]

    @model_validator(mode="after")
    def _distinct(self) -> _Process:
        names = [instance.name for instance in self.instances]
        if len(names) != len(set(names)):
            raise ValueError(f"an instance is named twice: {', '.join(sorted(names))}")
        return self

    @cached_property
    def by_name(self) -> dict[str, InstanceSettings]:
        return {instance.name: instance for instance in self.instances}


class ReceiverSettings(_Process):
    """The web process that accepts events."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    max_body_bytes: int = Field(5_000_000, ge=1024)
    max_events: int = Field(500, ge=1)
    tolerance_s: int = Field(300, ge=1, description="age of a signature")
    max_in_flight_bytes: int = Field(
        64_000_000, description="bodies not yet acknowledged by Kafka; more is answered 429"
    )
    # Kafka's default message.max.bytes is 1,048,588 and counts key, headers and batch overhead.
    max_record_bytes: int = Field(950_000, ge=1024)
    retry_after_s: int = Field(5, ge=1)
    drain_s: float = Field(5.0, gt=0, description="how long a stop waits for requests under way")


class ReaderSettings(_Process):
    """The process that turns hints into whole orders."""

    group_id: str = "k2x-reader"
    session_timeout_s: float = Field(10.0, gt=1, description="a dead process keeps its partitions so long")
    debounce_s: float = Field(2.0, ge=0)
    batch: int = Field(100, ge=1, le=100)
    pending_max: int = Field(50_000, ge=100, description="orders waiting; above it the partitions are paused")
    # A hint can come from inside the checkout's transaction, before its commit, or just before a delete.
    grace_s: float = Field(
        30.0, ge=0, description="how long an order that is absent or half written is looked for again"
    )
    outage_pause_s: float = Field(
        1.0, gt=0, description="first pause of an instance that does not answer; doubles to 60 s"
    )
    lookups_refresh_s: float = Field(300.0, gt=0)
    max_record_bytes: int = Field(950_000, ge=1024)


class PollerSettings(_Process):
    """The process that looks for changes by itself."""

    group_id: str = "k2x-poller"
    session_timeout_s: float = Field(10.0, gt=1, description="a dead process is followed by another after so long")
    batch: int = Field(100, ge=1, le=100)
    grace_s: float = Field(30.0, ge=0, description="how long a half written order is looked at again")
    outage_pause_s: float = Field(1.0, gt=0, description="as the reader's")
    lookups_refresh_s: float = Field(300.0, gt=0)
    max_record_bytes: int = Field(950_000, ge=1024)


class CdcProcessSettings(_Process):
    """The process that reads Debezium's topics."""

    group_id: str = "k2x-cdc"
    session_timeout_s: float = Field(10.0, gt=1, description="a dead process keeps its partitions so long")
    batch: int = Field(500, ge=1, le=5000, description="records taken at once; hints of one object in it are one")
    max_record_bytes: int = Field(950_000, ge=1024)


class WritebackSettings(_Process):
    """The process that writes results into Kentico's order columns. Off unless `enabled`."""

    group_id: str = "k2x-writeback"
    enabled: bool = False
    session_timeout_s: float = Field(10.0, gt=1, description="a dead process keeps its partitions so long")
    # Kentico's save of an order is heavy (history, e-mails, search index): a few at a time are polite.
    concurrent: int = Field(4, ge=1, le=32)
    batch: int = Field(100, ge=1, le=1000)
    outage_pause_s: float = Field(1.0, gt=0)
    grace_s: float = Field(30.0, ge=0, description="how long an order whose write fails alone is tried again")
