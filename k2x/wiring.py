"""From k2x.yaml to what each process is told: the one place that knows both sides; secrets are read here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from connectors.kentico.settings import (
    InstanceSettings,
    ReaderSettings,
    ReceiverSettings,
    RestSettings,
    WritebackSettings,
)
from connectors.xero.budget import Limits
from connectors.xero.settings import CoreSettings, SinkSettings
from k2x.audit.case import Store
from k2x.audit.pace import Pace, Share, Spent
from k2x.audit.progress import Groups
from k2x.audit.xero import Address, XeroBooks
from k2x.clients import codec
from k2x.publish import rules_of
from k2x.secrets import secret
from k2x.settings import Instance, Settings
from k2x.xero_access import XeroAccess
from streams.settings import StreamsSettings


def receiver(settings: Settings, env: Mapping[str, str] = os.environ) -> ReceiverSettings:
    return ReceiverSettings(instances=instances(settings, env), host=settings.ports.host, port=settings.ports.receiver)


def reader(settings: Settings, env: Mapping[str, str] = os.environ) -> ReaderSettings:
    return ReaderSettings(
        instances=instances(settings, env),
        debounce_s=settings.debounce_s,
        session_timeout_s=settings.kafka.session_timeout_s,
    )


def writeback(settings: Settings, enabled: bool, env: Mapping[str, str] = os.environ) -> WritebackSettings:
    return WritebackSettings(
        instances=instances(settings, env), enabled=enabled, session_timeout_s=settings.kafka.session_timeout_s
    )


def streams(settings: Settings, kafka: Mapping[str, Any], worker: str) -> StreamsSettings:
    """`worker` must be the same over restarts of this process, and differ between processes."""
    return StreamsSettings(
        kafka=kafka,
        stores={name: store.organisation for name, store in settings.stores.items()},
        data_dir=settings.data_dir / "streams" / worker,
        worker=worker,
        replays=True,
        session_timeout_s=settings.kafka.session_timeout_s,
        heartbeat_s=settings.kafka.session_timeout_s / 5,
        metrics_host=settings.ports.host,
        metrics_port=settings.ports.metrics.get("streams", 0),
    )


def sink(settings: Settings, worker: str) -> SinkSettings:
    """`worker` names the directory of local ledger copies, which may be lost at any time."""
    given, budget = settings.xero.sink, settings.xero.budget
    return SinkSettings(
        state_dir=settings.data_dir / "sink" / worker,
        session_timeout=given.session_timeout_s,
        transaction_timeout=given.transaction_timeout_s,
        core=CoreSettings(
            batch=given.batch, intention_lapse=given.intention_lapse_s, deadline=given.deadline_s, speed=budget.speed
        ),
    )


def limits(settings: Settings, org: str) -> Limits:
    """Xero's limits for an organisation: its own, else everybody's. KeyError for one that is not configured."""
    budget = settings.organisations[org].budget or settings.xero.budget
    return Limits(
        minute=budget.minute,
        day=budget.day,
        concurrent=budget.concurrent,
        day_reserve=budget.day_reserve,
        jitter=budget.jitter_s,
        speed=budget.speed,
    )


def audited_stores(settings: Settings) -> dict[str, Store]:
    """What the audit must know of each store. ConfigError where its rules cannot be read."""
    made = {}
    for name, store in settings.stores.items():
        rules = rules_of(settings, store.organisation).store(name)
        zone = ZoneInfo(rules.time_zone or settings.instances[name.partition("/")[0]].time_zone)
        made[name] = Store(store.organisation, rules.prefix, zone)
    return made


def consumer_groups() -> Groups:
    """The groups that the processes join."""
    return Groups(
        reader=ReaderSettings.model_fields["group_id"].default,
        streams=StreamsSettings.group,
        sink=SinkSettings.model_fields["group_id"].default,
    )


def xero_books(
    settings: Settings, kafka: Mapping[str, Any], *, wait: bool = False, say: Callable[[str], None] = lambda _: None
) -> Callable[[str], XeroBooks]:
    """Opens an organisation's documents for the audit: the sink's authorisation, and a share of its calls."""
    access = XeroAccess(settings, kafka, codec(settings))
    budgets, tools = settings.organisations, settings.xero.tools
    paces: dict[str, Pace] = {}

    def open_books(org: str) -> XeroBooks:
        budget = budgets[org].budget or settings.xero.budget
        share = Share(tools.minute, tools.day, tools.minute_reserve, budget.day_reserve, budget.speed)
        if org not in paces:
            paces[org] = Pace(share, Spent(settings.data_dir / "tools" / f"{org}.json"))
        address = Address(org, settings.xero.api_url, budgets[org].tenant_id)
        return XeroBooks(address, access.tokens(org), paces[org], wait=wait, say=say)

    return open_books


def instances(settings: Settings, env: Mapping[str, str] = os.environ) -> tuple[InstanceSettings, ...]:
    """Every Kentico installation with its secrets. SecretMissing names the variable and the key that asks for it."""
    return tuple(_instance(settings, name, instance, env) for name, instance in settings.instances.items())


def _instance(settings: Settings, name: str, instance: Instance, env: Mapping[str, str]) -> InstanceSettings:
    where = f"instances.{name}"
    rest = None
    if instance.rest is not None:
        password = secret(instance.rest.password_env, env, f"{where}.rest.password_env")
        rest = RestSettings(url=instance.rest.url, user=instance.rest.user, password=password)
    token = secret(instance.hint_token_env, env, f"{where}.hint_token_env") if instance.hint_token_env else None
    return InstanceSettings(
        name=name,
        time_zone=instance.time_zone,
        dialect="XBYK" if instance.dialect == "xbyk" else "K13",
        secrets=tuple(secret(v, env, f"{where}.webhook_secret_envs") for v in instance.webhook_secret_envs),
        hint_token=token,
        rest=rest,
        prices_include_tax={
            store.partition("/")[2]: found.prices_include_tax
            for store, found in settings.stores.items()
            if store.startswith(f"{name}/") and found.prices_include_tax is not None
        },
        tax_address=instance.tax_address,
        writeback_columns=frozenset(instance.write_back_columns),
    )
