"""`k2x xero connect|status`."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from connectors.xero.connect import Connected, ConnectSettings, app_status, connect, organisation_status
from connectors.xero.errors import XeroError
from k2x.clients import codec, librdkafka
from k2x.commands.options import config_option, settings_of
from k2x.errors import ConfigError, K2xError
from k2x.settings import Settings
from k2x.xero_access import XeroAccess, scopes
from schemas.delivery import Deliverer, Record
from schemas.topics import TOKENS
from schemas.types import Token


@click.group()
def xero() -> None:
    """Connect to Xero; show the state of the connection.

    Example:  k2x xero status
    """


@xero.command("connect")
@config_option
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening it.")
def connect_app(config: Path, no_browser: bool) -> None:
    """Allow the app of xero.app in the browser, once; the tokens are kept encrypted on k2x.tokens.v1.

    Example:  k2x xero connect
    """
    settings = settings_of(config)
    access = _access(settings)
    if settings.xero.app is None:
        raise ConfigError(f"{config}: xero.app is missing; a custom connection needs no `xero connect`")
    deliverer = Deliverer(librdkafka(settings, str(settings.kafka.bootstrap)))
    serialise = codec(settings)

    def store(record: Token) -> None:
        deliverer.deliver_now([Record(TOKENS, record["app"].encode(), serialise.encode("token", record))])

    def show(url: str) -> None:
        click.echo(f"Allow k2x at:\n  {url}")
        if not no_browser:
            webbrowser.open(url)

    try:
        wanted = (*scopes(settings, *settings.organisations), "offline_access")
        port = ConnectSettings(port=settings.xero.app.redirect_port, scopes=wanted)
        connected = connect(access.app_identity(), access.vault(), access.token_log, store, show, port)
    except XeroError as error:
        raise K2xError(str(error)) from error
    _print_app(connected)


@xero.command()
@config_option
def status(config: Path) -> None:
    """Show what each organisation's connection reaches: one call each.

    Example:  k2x xero status
    """
    settings = settings_of(config)
    access = _access(settings)
    failed = False
    if settings.xero.app is not None:
        try:
            wanted = scopes(settings, *settings.organisations)
            _print_app(app_status(access.app_identity(), access.vault(), access.token_log, wanted))
        except XeroError as error:
            click.echo(f"app: {error}")
            failed = True
    for org in settings.organisations:
        found = organisation_status(access.client(org))
        failed = failed or bool(found.problem)
        what = found.problem or f"{found.name} ({found.country}, {found.currency})"
        left = f"calls left: minute {found.minute_remaining}, day {found.day_remaining}"
        click.echo(f"{org:20} {what}" + ("" if found.problem else f"  {left}"))
    raise SystemExit(1 if failed else 0)


def _access(settings: Settings) -> XeroAccess:
    kafka = librdkafka(settings, settings.kafka.bootstrap or "127.0.0.1:9092")
    if settings.xero.app is not None and not settings.kafka.bootstrap:
        raise ConfigError("kafka.bootstrap is empty: tokens are kept on Kafka. Run `k2x up` first and name its broker")
    return XeroAccess(settings, kafka, codec(settings))


def _print_app(connected: Connected) -> None:
    click.echo(f"app {connected.app}: connected until {connected.refresh_expires_at:%Y-%m-%d} if never used again")
    for tenant in connected.tenants:
        click.echo(f"  {tenant.tenant_id}  {tenant.tenant_name}")
    if connected.missing:
        click.echo(f"  scopes missing: {', '.join(connected.missing)}; the sink would stop. Connect again.")
