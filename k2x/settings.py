"""k2x.yaml as types: where Kafka, Xero's organisations, Kentico's instances and their stores are.

Any key can be set from the environment too: K2X_KAFKA__BOOTSTRAP=… wins over `kafka.bootstrap`. Secrets are never in
the file: `*_env` keys name the variable that holds one (k2x.secrets).
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

_SLUG = re.compile(r"^[a-z0-9-]+$")


def _slug(value: str) -> str:
    if not _SLUG.match(value):
        raise ValueError(f"{value!r}: use lower-case letters, digits and -")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is no IANA time zone; use one like Europe/London") from error
    return value


Slug = Annotated[str, AfterValidator(_slug)]
Zone = Annotated[str, AfterValidator(_zone)]
Port = Annotated[int, Field(ge=0, le=65535)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSecurity(_Part):
    """Passed through to both clients (confluent-kafka, and Faust's aiokafka)."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password_env: str | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _complete(self) -> KafkaSecurity:
        if self.protocol.startswith("SASL") and not (self.mechanism and self.username and self.password_env):
            raise ValueError(f"{self.protocol} needs mechanism, username and password_env")
        return self


class Kafka(_Part):
    bootstrap: str | None = Field(None, description="host:port,…; empty: k2x starts its own Kafka under data_dir")
    partitions: int = Field(4, ge=1, le=1000, description="of the source topics")
    replication: int = Field(1, ge=1, le=9)
    port: int | None = Field(
        None, ge=1024, le=65535, description="of the embedded Kafka; empty: a free one, remembered"
    )
    heap_mb: int = Field(512, ge=256, description="of the embedded Kafka")
    session_timeout_s: float = Field(
        10.0, gt=1, description="a dead reader, streams or write-back process keeps its partitions so long"
    )
    security: KafkaSecurity = KafkaSecurity()


class Registry(_Part):
    url: str | None = None
    username: str | None = None
    password_env: str | None = None


class XeroApp(_Part):
    """A web app with authorization code and refresh rotation; custom connections need none."""

    client_id: str
    client_secret_env: str | None = None
    redirect_port: int = Field(8765, ge=1024, le=65535)


class Budget(_Part):
    """Xero's limits as this deployment may use them (reference: developer.xero.com limits)."""

    minute: int = Field(60, ge=1)
    day: int = Field(5000, ge=1, description="1,000 on Starter; the header corrects it")
    concurrent: int = Field(5, ge=1, le=5)
    day_reserve: int = Field(100, ge=0, description="kept for read-backs and tools")
    jitter_s: float = Field(1.0, ge=0, description="by which the way to Xero may differ between two calls")
    speed: float = Field(1.0, gt=0, description="sandbox only: its clock and ours run this much faster")


class Tools(_Part):
    """What tools that read Xero beside the sink (`k2x reconcile`) may use of each organisation's calls."""

    minute: int = Field(20, ge=1, le=60)
    day: int = Field(500, ge=1, description="a call reads 1,000 invoices or 1,000 payments")
    minute_reserve: int = Field(10, ge=0, description="with no more left of Xero's minute, tools wait for the next")


class Reconcile(_Part):
    """When `k2x reconcile` calls something off that may only be on its way."""

    grace_s: float = Field(300.0, ge=0, description="an order this young may be on its way")
    silence_h: float = Field(26.0, gt=0, description="a lane with work and no word for so long is stuck: over a day, "
                             "because a day's calls may be used up")  # fmt: skip
    summary_h: float = Field(
        6.0, gt=0, description="a daily summary that is not in Xero so long after its close is stuck"
    )


class Sink(_Part):
    batch: int = Field(50, ge=1, le=100)
    intention_lapse_s: float = Field(30.0, gt=0)
    deadline_s: float = Field(60.0, gt=0)
    session_timeout_s: float = Field(45.0, gt=1)
    transaction_timeout_s: float = Field(60.0, gt=1, description="after which the broker aborts a transaction")
    summary_quiet_s: float = Field(300.0, gt=0, description="a day's summary closes when no order came for so long")


class Xero(_Part):
    api_url: str = "https://api.xero.com/api.xro/2.0"
    token_url: str = "https://identity.xero.com/connect/token"  # noqa: S105 - an address
    authorize_url: str = "https://login.xero.com/identity/connect/authorize"
    connections_url: str = "https://api.xero.com/connections"
    app: XeroApp | None = None
    token_key_env: str = "K2X_TOKEN_KEY"  # noqa: S105 - the name of a variable
    budget: Budget = Budget()
    sink: Sink = Sink()
    tools: Tools = Tools()


class Organisation(_Part):
    """A Xero organisation. `custom`: its own client id and secret; `app`: through xero.app, by tenant_id."""

    connection: Literal["custom", "app"] = "custom"
    client_id: str | None = None
    client_secret_env: str | None = None
    tenant_id: str | None = None
    rules: Path
    budget: Budget | None = None

    @model_validator(mode="after")
    def _complete(self) -> Organisation:
        if self.connection == "custom" and not (self.client_id and self.client_secret_env):
            raise ValueError("connection: custom needs client_id and client_secret_env")
        if self.connection == "app" and not self.tenant_id:
            raise ValueError("connection: app needs tenant_id; `k2x xero status` lists them")
        return self


class OAuth2(_Part):
    """Client credentials."""

    token_url: str
    client_id: str
    client_secret_env: str
    scope: str | None = None


class Rest(_Part):
    """Kentico 13's REST service; the last three keep k2x polite, for each process by itself."""

    url: str
    user: str | None = None
    password_env: str | None = None
    header_envs: dict[str, str] = Field(
        default_factory=dict, description="header: variable with its value, as an API gateway before Kentico wants it"
    )
    oauth2: OAuth2 | None = Field(None, description="instead of user: a gateway that takes bearer tokens")
    timeout_s: float = Field(30.0, gt=0, description="of one request")
    connections: int = Field(4, ge=1, le=32, description="requests at the same time")
    requests_per_second: float | None = Field(
        None, gt=0, description="empty: 10 for polling and backfill, no limit for following hints"
    )

    @model_validator(mode="after")
    def _complete(self) -> Rest:
        if (self.user is None) != (self.password_env is None):
            raise ValueError("user and password_env go together")
        if self.user is not None and self.oauth2 is not None:
            raise ValueError("user and oauth2 both want the Authorization header: leave one out")
        if self.user is None and self.oauth2 is None and not self.header_envs:
            raise ValueError("give it user and password_env, or oauth2, or header_envs")
        return self


class StoreApi(_Part):
    """Kentico.Xperience.StoreApi of a Kentico 13 live site: orders are read there, whole."""

    url: str = Field(description="of the live site")
    client_id: str
    client_secret_env: str
    main_currency: str | None = Field(None, description="of the site; StoreApi does not say it")
    timeout_s: float = Field(30.0, gt=0, description="of one request")
    connections: int = Field(4, ge=1, le=32, description="requests at the same time")
    requests_per_second: float | None = Field(None, gt=0, description="one order is one request")


class Poll(_Part):
    """How an instance is looked through by `k2x run poller`; without this part it is not."""

    every_s: float = Field(30.0, ge=0.05)
    overlap_s: float = Field(
        300.0, ge=0, description="rows met again: more than a checkout takes, or web servers' clocks differ"
    )
    sweep_s: float = Field(3600.0, ge=1, description="how often deleted and missed orders are looked for")
    most_deletions: int = Field(20, ge=0, description="of one sweep; more are not believed")


class Cdc(_Part):
    """Debezium's topics of an instance's database, read by `k2x run cdc` (docs/cdc.md)."""

    topic_prefix: str | None = Field(None, description="the connector's topic.prefix; empty: only the outbox is read")
    database: str | None = None
    schema_name: str = "dbo"
    outbox_topics: list[str] = Field(default_factory=list, description="where the outbox SMT routes events to")
    snapshot_since: date | None = Field(
        None, description="orders of a snapshot from this OrderDate on are read; empty: none, a backfill brings them"
    )

    @model_validator(mode="after")
    def _complete(self) -> Cdc:
        if (self.topic_prefix is None) != (self.database is None):
            raise ValueError(
                "topic_prefix and database go together: topics are <topic_prefix>.<database>.dbo.COM_Order"
            )
        if self.topic_prefix is None and not self.outbox_topics:
            raise ValueError("give it topic_prefix and database, or outbox_topics")
        return self


class Instance(_Part):
    """A Kentico installation."""

    dialect: Literal["k13", "xbyk"] = "k13"
    time_zone: Zone
    rest: Rest | None = None
    store_api: StoreApi | None = None
    site: str | None = Field(
        None, description="SiteName of every order where Kentico does not say it: Xperience, or StoreApi without rest"
    )
    poll: Poll | None = None
    cdc: Cdc | None = None
    webhook_secret_envs: list[str] = Field(default_factory=list, max_length=2)
    hint_token_env: str | None = None
    tax_address: Literal["billing", "shipping"] = "billing"
    write_back_columns: list[str] = Field(default_factory=list, description="custom COM_Order columns k2x may write")

    @model_validator(mode="after")
    def _pollable(self) -> Instance:
        if self.dialect == "xbyk" and self.store_api is not None:
            raise ValueError("store_api is a package for Kentico 13: leave it out with dialect xbyk")
        if self.dialect == "xbyk" and self.rest is not None and self.site is None:
            raise ValueError("Xperience by Kentico has no sites: say with `site` which store its orders are of")
        if self.store_api is not None and self.rest is None and self.site is None:
            raise ValueError("StoreApi does not name the site: say with `site` which store its orders are of")
        if self.poll is not None and self.rest is None:
            raise ValueError("poll needs rest: polling reads Kentico's REST service")
        if self.cdc is not None and self.cdc.topic_prefix is not None and not (self.rest or self.store_api):
            raise ValueError("cdc needs rest or store_api: a changed row only says which order is to be read again")
        return self


class Store(_Part):
    organisation: Slug
    prices_include_tax: bool | None = Field(None, description="CMSIncludeTaxInPrices; empty: inferred per order")


class Confirmation(_Part):
    """A system that is told what became of orders, by signed webhooks (docs/confirmations.md)."""

    url: str
    secret_env: str
    events: set[Literal["posted", "refused", "held"]] = {"posted", "refused", "held"}
    stores: set[str] = Field(default_factory=set, description="instance/siteName; empty: all")
    batch: int = Field(50, ge=1, le=500, description="of one request")
    timeout_s: float = Field(20.0, gt=0, description="of one request")
    history: bool = Field(False, description="a new one begins with the first result there is, not with the next")


class Ports(_Part):
    """Where each process listens on `host`. 0: a free port, printed at the start."""

    host: str = "127.0.0.1"
    receiver: Port = 8080
    metrics: dict[str, Port] = Field(
        default_factory=lambda: {
            "receiver": 9401,
            "reader": 9402,
            "streams": 9403,
            "sink": 9404,
            "writeback": 9405,
            "poller": 9406,
            "watch": 9407,
            "cdc": 9408,
            "confirm": 9409,
        }
    )


class Replay(_Part):
    """How `k2x replay run` goes about it."""

    outstanding: int = Field(
        200,
        ge=1,
        description="commands a replay may have outstanding per organisation: four full calls of 50, so that a live "
        "order that comes behind them waits 14 s at Xero's 60 calls a minute; fewer would leave calls half empty",
    )
    patience_s: float = Field(
        30.0, gt=0, description="after so long without any movement it is asked whether streams and sink still run"
    )


class Email(_Part):
    """Where mail goes out, and to whom. `tls`: starttls (port 587), tls (465), none (a relay on this machine)."""

    host: str
    port: Port = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password_env: str | None = None
    sender: str
    to: list[str] = Field(min_length=1)


class Notify(_Part):
    """Who is told directly of dead letters and pauses, by the process `watch`, with or without Prometheus."""

    webhook_url_env: str | None = Field(
        None, description="the variable with the address: a chat's incoming webhook holds its secret in it"
    )
    email: Email | None = None
    every_s: float = Field(60.0, gt=0, description="at most one message in so long for each organisation and class")

    @property
    def anybody(self) -> bool:
        return self.webhook_url_env is not None or self.email is not None


class Watch(_Part):
    """The process that looks at k2x from outside: consumer lag, dead letters, direct messages."""

    every_s: float = Field(15.0, gt=0, description="between two looks")
    stalled_s: float = Field(300.0, gt=0, description="work that does not move for so long is told")
    notify: Notify = Notify()


class Tracing(_Part):
    """Spans of every order's way, to an OpenTelemetry collector (OTLP over HTTP)."""

    otlp_endpoint: str = Field(description="the collector's base address, such as http://localhost:4318")


class Settings(BaseSettings):
    """The whole deployment."""

    model_config = SettingsConfigDict(
        env_prefix="K2X_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Path(".k2x")
    kafka: Kafka = Kafka()
    schema_registry: Registry = Registry()
    xero: Xero = Xero()
    organisations: dict[Slug, Organisation]
    instances: dict[Slug, Instance]
    stores: dict[str, Store]
    confirmations: dict[Slug, Confirmation] = Field(default_factory=dict)
    ports: Ports = Ports()
    replay: Replay = Replay()
    reconcile: Reconcile = Reconcile()
    watch: Watch = Watch()
    tracing: Tracing | None = None
    debounce_s: float = Field(2.0, ge=0, description="how long the reader waits for more hints of an order")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which arrives as init arguments."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _agrees(self) -> Settings:
        for name, store in self.stores.items():
            instance, _, site = name.partition("/")
            if not site or instance not in self.instances:
                known = ", ".join(sorted(self.instances)) or "none"
                raise ValueError(f"stores.{name}: write instance/siteName; instances known: {known}")
            if store.organisation not in self.organisations:
                known = ", ".join(sorted(self.organisations)) or "none"
                raise ValueError(
                    f"stores.{name}.organisation: {store.organisation!r} is not under organisations (known: {known})"
                )
        for name, confirmation in self.confirmations.items():
            unknown = sorted(confirmation.stores - set(self.stores))
            if unknown:
                raise ValueError(f"confirmations.{name}.stores: {unknown[0]!r} is not under stores")
        if any(o.connection == "app" for o in self.organisations.values()) and self.xero.app is None:
            raise ValueError("an organisation has connection: app, but xero.app is missing")
        return self

    def orgs_of(self, instance: str) -> list[str]:
        """The organisations that an instance's stores feed."""
        return sorted({s.organisation for name, s in self.stores.items() if name.startswith(f"{instance}/")})
