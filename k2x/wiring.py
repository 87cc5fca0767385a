"""From k2x.yaml to what each process is told: the one place that knows both sides; secrets are read here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from connectors.confirm.settings import ConfirmSettings, Target
from connectors.kentico.cdc import tables_of
from connectors.kentico.settings import (
    CdcProcessSettings,
    CdcSettings,
    InstanceSettings,
    OAuth2Settings,
    PollerSettings,
    PollSettings,
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
from k2x.settings import Instance, Notify, Settings, StoreApi
from k2x.watch.channels import Channel, Mail, Webhook
from k2x.watch.lag import Watched
from k2x.watch.settings import WatchSettings
from k2x.xero_access import XeroAccess
from schemas import topics
from streams.settings import StreamsSettings


def receiver(settings: Settings, env: Mapping[str, str] = os.environ) -> ReceiverSettings:
    found = instances(settings, env, rest=False)
    return ReceiverSettings(instances=found, host=settings.ports.host, port=settings.ports.receiver)


def reader(settings: Settings, env: Mapping[str, str] = os.environ) -> ReaderSettings:
    return ReaderSettings(
        instances=instances(settings, env, webhooks=False),
        debounce_s=settings.debounce_s,
        session_timeout_s=settings.kafka.session_timeout_s,
    )


def poller(settings: Settings, env: Mapping[str, str] = os.environ) -> PollerSettings:
    return PollerSettings(
        instances=instances(settings, env, _POLITE, webhooks=False), session_timeout_s=settings.kafka.session_timeout_s
    )


def cdc(settings: Settings, env: Mapping[str, str] = os.environ) -> CdcProcessSettings:
    return CdcProcessSettings(
        instances=instances(settings, env, rest=False, webhooks=False),
        session_timeout_s=settings.kafka.session_timeout_s,
    )


def cdc_topics(settings: Settings) -> set[str]:
    """Debezium's topics that k2x reads: a dead letter may go back to one."""
    return {
        topic
        for instance in settings.instances.values()
        if (cdc := _cdc(instance)) is not None
        for topic in tables_of(cdc, "XBYK" if instance.dialect == "xbyk" else "K13")
    }


def backfill(
    settings: Settings, instance: str, rate: float | None, env: Mapping[str, str] = os.environ
) -> InstanceSettings:
    """The instance as a backfill reads it, at `rate` requests a second: None as configured, 0 without limit."""
    found = next(one for one in instances(settings, env, _POLITE, webhooks=False) if one.name == instance)
    if rate is None or found.rest is None:
        return found
    rest = found.rest.model_copy(update={"requests_per_second": rate or None})
    return found.model_copy(update={"rest": rest})


def writeback(settings: Settings, enabled: bool, env: Mapping[str, str] = os.environ) -> WritebackSettings:
    return WritebackSettings(
        instances=instances(settings, env, webhooks=False),
        enabled=enabled,
        session_timeout_s=settings.kafka.session_timeout_s,
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
            batch=given.batch,
            intention_lapse=given.intention_lapse_s,
            deadline=given.deadline_s,
            speed=budget.speed,
            summary_quiet=given.summary_quiet_s,
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


def watch(settings: Settings, env: Mapping[str, str] = os.environ) -> WatchSettings:
    """Which groups read what, and who is told. SecretMissing names the variable of a webhook or a mailbox."""
    given = settings.watch
    return WatchSettings(
        orgs=tuple(sorted(settings.organisations)),
        groups=tuple(_watched(settings)),
        every_s=given.every_s,
        stalled_s=given.stalled_s,
        notify_every_s=given.notify.every_s,
        channels=channels(settings, env),
    )


def _watched(settings: Settings) -> Iterator[Watched]:
    """The groups of the processes that have work to do here: of another, an unread topic is no fault."""
    yield Watched(ReaderSettings.model_fields["group_id"].default, (topics.CHANGES,))
    yield Watched(StreamsSettings.group, (*topics.REPLAY_OF, *topics.REPLAY_OF.values(), topics.RESULTS))
    yield Watched(SinkSettings.model_fields["group_id"].default, pattern=topics.COMMANDS_PATTERN)
    if any(instance.write_back_columns for instance in settings.instances.values()):
        yield Watched(WritebackSettings.model_fields["group_id"].default, (topics.WRITEBACK,))
    if changed := cdc_topics(settings):
        yield Watched(CdcProcessSettings.model_fields["group_id"].default, tuple(sorted(changed)))
    for name in settings.confirmations:
        yield Watched(f"{ConfirmSettings.model_fields['group_id'].default}-{name}", (topics.RESULTS,))


def channels(settings: Settings, env: Mapping[str, str] = os.environ) -> tuple[Channel, ...]:
    """Where people are told directly. SecretMissing names the variable of a webhook or a mailbox."""
    return tuple(_channels(settings.watch.notify, env))


def _channels(notify: Notify, env: Mapping[str, str]) -> Iterator[Channel]:
    if notify.webhook_url_env is not None:
        yield Webhook(secret(notify.webhook_url_env, env, "watch.notify.webhook_url_env"))
    if notify.email is not None:
        mail, password = notify.email, None
        if mail.password_env is not None:
            password = secret(mail.password_env, env, "watch.notify.email.password_env")
        yield Mail(mail.host, mail.port, mail.tls, mail.username, password, mail.sender, tuple(mail.to))


def confirm(settings: Settings, env: Mapping[str, str] = os.environ) -> ConfirmSettings:
    targets = tuple(
        Target(
            name=name,
            url=given.url,
            secret=secret(given.secret_env, env, f"confirmations.{name}.secret_env"),
            events=frozenset(given.events),
            stores=frozenset(given.stores),
            batch=given.batch,
            timeout_s=given.timeout_s,
            history=given.history,
        )
        for name, given in settings.confirmations.items()
    )
    return ConfirmSettings(targets=targets, session_timeout_s=settings.kafka.session_timeout_s)


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


def instances(
    settings: Settings,
    env: Mapping[str, str] = os.environ,
    requests_per_second: float | None = None,
    *,
    rest: bool = True,
    webhooks: bool = True,
) -> tuple[InstanceSettings, ...]:
    """Every Kentico installation with its secrets. SecretMissing names the variable and the key that asks for it.

    `requests_per_second` holds where the configuration says nothing. `rest`, `webhooks`: whose secrets the process
    uses; it is given no others, and does not ask for them.
    """
    return tuple(
        _instance(settings, name, instance, env, requests_per_second if rest else None, rest, webhooks)
        for name, instance in settings.instances.items()
    )


def _store_api(given: StoreApi, env: Mapping[str, str] | None, where: str) -> RestSettings:
    """`env` None: only that there is one."""
    if env is None:
        return RestSettings(url=given.url)
    return RestSettings(
        url=given.url,
        oauth2=OAuth2Settings(
            token_url=f"{given.url.rstrip('/')}/api/store/auth/token",
            client_id=given.client_id,
            client_secret=secret(given.client_secret_env, env, f"{where}.store_api.client_secret_env"),
        ),
        timeout_s=given.timeout_s,
        connections=given.connections,
        requests_per_second=given.requests_per_second,
    )


def _cdc(instance: Instance) -> CdcSettings | None:
    given = instance.cdc
    if given is None:
        return None
    return CdcSettings(
        topic_prefix=given.topic_prefix,
        database=given.database or "",
        schema_name=given.schema_name,
        outbox_topics=tuple(given.outbox_topics),
        snapshot_since=given.snapshot_since,
    )


# A person who clicks through the administration asks for about as much.
_POLITE = 10.0


def _instance(
    settings: Settings,
    name: str,
    instance: Instance,
    env: Mapping[str, str],
    requests_per_second: float | None,
    rest_secrets: bool,
    webhooks: bool,
) -> InstanceSettings:
    where = f"instances.{name}"
    rest = None
    if instance.rest is not None and not rest_secrets:
        rest = RestSettings(url=instance.rest.url)  # only to know that there is one
    elif instance.rest is not None:
        given, oauth2 = instance.rest, instance.rest.oauth2
        rest = RestSettings(
            url=given.url,
            user=given.user,
            password=secret(given.password_env, env, f"{where}.rest.password_env") if given.password_env else None,
            headers={name: secret(v, env, f"{where}.rest.header_envs.{name}") for name, v in given.header_envs.items()},
            oauth2=OAuth2Settings(
                token_url=oauth2.token_url,
                client_id=oauth2.client_id,
                client_secret=secret(oauth2.client_secret_env, env, f"{where}.rest.oauth2.client_secret_env"),
                scope=oauth2.scope,
            )
            if oauth2
            else None,
            timeout_s=instance.rest.timeout_s,
            connections=instance.rest.connections,
            requests_per_second=instance.rest.requests_per_second or requests_per_second,
        )
    api = None
    if instance.store_api is not None:
        api = _store_api(instance.store_api, env if rest_secrets else None, where)
    token = None
    if webhooks and instance.hint_token_env:
        token = secret(instance.hint_token_env, env, f"{where}.hint_token_env")
    return InstanceSettings(
        name=name,
        time_zone=instance.time_zone,
        dialect="XBYK" if instance.dialect == "xbyk" else "K13",
        secrets=tuple(secret(v, env, f"{where}.webhook_secret_envs") for v in instance.webhook_secret_envs if webhooks),
        hint_token=token,
        rest=rest,
        store_api=api,
        site=instance.site,
        main_currency=instance.store_api.main_currency if instance.store_api else None,
        poll=PollSettings(**instance.poll.model_dump()) if instance.poll else None,
        cdc=_cdc(instance),
        prices_include_tax={
            store.partition("/")[2]: found.prices_include_tax
            for store, found in settings.stores.items()
            if store.startswith(f"{name}/") and found.prices_include_tax is not None
        },
        tax_address=instance.tax_address,
        writeback_columns=frozenset(instance.write_back_columns),
    )
