"""What `k2x check` looks at. Each finding says where (file, line or key), what, and the remedy."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.kentico.look import Sight, look
from connectors.kentico.settings import InstanceSettings
from connectors.kentico.sources import tables_of
from connectors.kentico.storeapi import StoreApi
from connectors.xero import volume
from connectors.xero.calls import Call
from connectors.xero.client import XeroClient
from connectors.xero.connect import organisation_status
from connectors.xero.errors import XeroError
from connectors.xero.reference import calls as reference_calls
from connectors.xero.reference import digest
from k2x import kafka_topics, wiring
from k2x.captured_topics import captured
from k2x.clients import QUIET, codec, librdkafka
from k2x.errors import ConfigError, K2xError
from k2x.findings import Finding
from k2x.publish import rules_of
from k2x.secrets import secret
from k2x.settings import Settings
from k2x.xero_access import XeroAccess, scopes, settles
from streams.rules.document import RulesDocument
from streams.rules.reference import OrgReference, build

PLACEHOLDER = "CHANGE-ME"
# A person waits: one attempt, and not the half minute that a process has.
_ONCE = {"attempts": 1, "timeout_s": 20.0}


def offline(path: Path, settings: Settings, env: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Configuration, secrets and rules, without touching the network."""
    yield Finding("ok", str(path), f"{len(settings.organisations)} organisation(s), {len(settings.stores)} store(s)")
    yield from _secrets(settings, env)
    yield from _ways_in(settings)
    for org in settings.organisations:
        yield from _rules(settings, org)
    without = [i for i in settings.instances if not any(s.startswith(f"{i}/") for s in settings.stores)]
    for instance in without:
        yield Finding("warning", f"instances.{instance}", "no store uses it: its orders would be dead-lettered")


def _ways_in(settings: Settings) -> Iterator[Finding]:
    """How each instance's changes reach k2x."""
    for name, instance in settings.instances.items():
        ways = (instance.poll, instance.cdc, instance.webhook_secret_envs, instance.hint_token_env)
        if not any(ways):
            yield Finding(
                "warning",
                f"instances.{name}",
                "nothing brings its orders: give it `poll` or `cdc` (with rest), webhook_secret_envs or hint_token_env",
            )


def live(settings: Settings, bootstrap: str | None) -> Iterator[Finding]:
    """The connections: Kafka and its topics, each Kentico's REST, each Xero organisation and its accounts."""
    kafka = librdkafka(settings, bootstrap) | QUIET if bootstrap else None
    if kafka is None:
        yield Finding("ok", "kafka.bootstrap", "empty: `k2x up` starts an embedded Kafka")
    else:
        yield from _guard("kafka", lambda: _kafka(settings, kafka))
        yield from _guard("kafka", lambda: captured(kafka, wiring.cdc(settings).instances))
    for name in settings.instances:
        yield from _guard(f"instances.{name}", lambda name=name: _kentico(settings, name))  # type: ignore[misc]
    access = XeroAccess(settings, kafka or {"bootstrap.servers": "127.0.0.1:9"}, codec(settings))
    for org in settings.organisations:
        yield from _guard(f"organisations.{org}", lambda org=org: _xero(settings, access, org))  # type: ignore[misc]


def _secrets(settings: Settings, env: Mapping[str, str]) -> Iterator[Finding]:
    for where, name in secret_names(settings):
        try:
            value = secret(name, env, where).get_secret_value()
        except ConfigError as error:
            yield Finding("error", where, str(error).partition(": ")[2] or str(error))
            continue
        if value == PLACEHOLDER:
            yield Finding("warning", where, f"{name} still is {PLACEHOLDER}: put the real secret there")
    try:
        wiring.instances(settings, {**env, **{n: "x" * 32 for _, n in secret_names(settings) if n not in env}})
    except ValueError as error:
        yield Finding("error", "instances", str(error))


def secret_names(settings: Settings) -> list[tuple[str, str]]:
    """(key of k2x.yaml, variable) of every secret that this configuration uses."""
    found: list[tuple[str, str | None]] = [
        ("kafka.security.password_env", settings.kafka.security.password_env),
        ("schema_registry.password_env", settings.schema_registry.password_env),
    ]
    if settings.xero.app is not None:
        found += [("xero.app.client_secret_env", settings.xero.app.client_secret_env)]
        found += [("xero.token_key_env", settings.xero.token_key_env)]
    for org, organisation in settings.organisations.items():
        found.append((f"organisations.{org}.client_secret_env", organisation.client_secret_env))
    for name, confirmation in settings.confirmations.items():
        found.append((f"confirmations.{name}.secret_env", confirmation.secret_env))
    for name, instance in settings.instances.items():
        where = f"instances.{name}"
        found += [(f"{where}.webhook_secret_envs", variable) for variable in instance.webhook_secret_envs]
        found.append((f"{where}.hint_token_env", instance.hint_token_env))
        if instance.rest is not None:
            found.append((f"{where}.rest.password_env", instance.rest.password_env))
            found += [(f"{where}.rest.header_envs.{n}", v) for n, v in instance.rest.header_envs.items()]
            if instance.rest.oauth2 is not None:
                found.append((f"{where}.rest.oauth2.client_secret_env", instance.rest.oauth2.client_secret_env))
        if instance.store_api is not None:
            found.append((f"{where}.store_api.client_secret_env", instance.store_api.client_secret_env))
    return [(where, name) for where, name in found if name]


def _rules(settings: Settings, org: str) -> Iterator[Finding]:
    path = settings.organisations[org].rules
    try:
        document = rules_of(settings, org)
    except ConfigError as error:
        for line in str(error).splitlines():
            yield Finding("error", str(path), line.removeprefix(f"{path}:"))
        return
    yield Finding("ok", str(path), f"rules of {org}: {len(document.stores)} store(s)")
    yield from (Finding("warning", str(path), doubt) for doubt in document.doubts())


def _guard(where: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except (K2xError, XeroError) as error:
        yield Finding("error", where, str(error))


def _kafka(settings: Settings, kafka: Mapping[str, Any]) -> Iterator[Finding]:
    states = kafka_topics.describe(kafka, settings.organisations)
    for state in states:
        yield from (Finding("error", f"topic {state.name}", fault) for fault in state.faults)
        yield from (Finding("warning", f"topic {state.name}", warning) for warning in state.warnings)
    yield from (Finding("warning", "kafka", warning) for warning in kafka_topics.cluster_warnings(kafka))
    if not any(state.faults for state in states):
        yield Finding("ok", "kafka", f"{len(states)} topics as they must be")


def _kentico(settings: Settings, name: str) -> Iterator[Finding]:
    instance = settings.instances[name]
    yield from _store_api(settings, name)
    if instance.rest is None:
        if instance.store_api is None:
            text = "no REST: hints cannot be followed, only whole orders come in"
            yield Finding("warning", f"instances.{name}.rest", text)
        return
    told = next(one for one in wiring.instances(settings) if one.name == name)
    for sight in asyncio.run(_looked(told)):
        yield Finding(sight.level, f"instances.{name}.rest", sight.text)


def _store_api(settings: Settings, name: str) -> Iterator[Finding]:
    told = next(one for one in wiring.instances(settings) if one.name == name)
    where = f"instances.{name}.store_api"
    if told.store_api is not None and asyncio.run(_answers(StoreApi(name, told.store_api.model_copy(update=_ONCE)))):
        yield Finding("ok", where, "orders can be read")
    elif told.store_api is not None:
        yield Finding("error", where, "it does not answer: check its url, client_id, and the client's secret")


async def _answers(api: StoreApi) -> bool:
    try:
        return await api.answers()
    finally:
        await api.close()


async def _looked(instance: InstanceSettings) -> list[Sight]:
    if instance.rest is None:
        return []
    rest = tables_of(instance, instance.rest.model_copy(update=_ONCE))
    try:
        return await look(rest, instance, lambda: datetime.now(UTC))
    finally:
        await rest.close()


def _xero(settings: Settings, access: XeroAccess, org: str) -> Iterator[Finding]:
    client = access.client(org)
    status = organisation_status(client)
    where = f"organisations.{org}"
    if status.problem:
        yield Finding(
            "error",
            where,
            f"Xero answered {status.problem}; check client_id, {org}'s secret, and the scopes "
            f"({' '.join(scopes(settings, org))})",
        )
        return
    yield Finding("ok", where, f"{status.name}, {status.currency}; calls left today: {status.day_remaining}")
    if settles(settings, org):
        yield _may_settle(client, where)
    invoices = volume.counted(client.call(volume.count_call(datetime.now(UTC).date())))
    if invoices is not None:
        yield Finding("ok", where, f"{invoices} sales invoices in the last 30 days")
    used_up = status.day_remaining is not None and status.day_remaining <= settings.xero.budget.day_reserve
    for text in volume.advice(volume.Volume(invoices or 0, used_up)).values():
        yield Finding("warning", where, text)
    rows = []
    for call in reference_calls(None):
        if "Contacts" not in call.path:
            rows += list(digest(call, client.call(call)))
    reference = build([(row.kind, row.code, row.document) for row in rows])
    if reference is not None:
        path = settings.organisations[org].rules
        yield from (Finding("error", str(path), text) for text in accounts_missing(rules_of(settings, org), reference))


def _may_settle(client: XeroClient, where: str) -> Finding:
    """The scope that only settlements need."""
    call = Call("GET", "BankTransactions", (("page", "1"), ("pageSize", "1")), deadline=20.0, purpose="status")
    answer = client.call(call)
    if answer.ok:
        return Finding("ok", where, "bank transactions can be read: settlements can be posted")
    text = f"the rules book settlements, and Xero answered {answer.status} to BankTransactions ({answer.detail})"
    return Finding("error", where, f"{text}: allow the scope accounting.banktransactions; for an app, connect again")


def accounts_missing(rules: RulesDocument, reference: OrgReference) -> list[str]:
    """One sentence for each account or tax type that a rule names and Xero lacks."""
    return [*rules.unknown_in(reference)]
