"""`k2x rules apply|show`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from k2x.clients import QUIET, codec, librdkafka
from k2x.commands.options import config_option, settings_of
from k2x.errors import ConfigError
from k2x.publish import publish_rules, published
from k2x.settings import Settings


@click.group()
def rules() -> None:
    """Publish or show the business rules.

    Example:  k2x rules apply --config k2x.yaml
    """


@rules.command()
@config_option
@click.option("--by", default="k2x rules apply", show_default=True, help="Who publishes: kept with the version.")
def apply(config: Path, by: str) -> None:
    """Publish each organisation's rules as a new immutable version, where they have changed.

    Example:  k2x rules apply --by "Ann"
    """
    settings = settings_of(config)
    for one in publish_rules(settings, _kafka(settings), codec(settings), by):
        word = "published" if one.new else "unchanged"
        click.echo(f"{one.org:20} version {one.version:4}  {word}  {one.sha256[:12]}")


@rules.command()
@config_option
@click.argument("org", required=False)
def show(config: Path, org: str | None) -> None:
    """Show which versions are in force, or the whole document of ORG as JSON.

    Example:  k2x rules show uk
    """
    settings = settings_of(config)
    found = published(_kafka(settings), codec(settings))
    if org is not None:
        if org not in found:
            raise ConfigError(f"no rules are published for {org!r}; published: {', '.join(sorted(found)) or 'none'}")
        click.echo(json.dumps(json.loads(found[org]["document"]), indent=2, ensure_ascii=False))
        return
    for name, value in sorted(found.items()):
        when = f"{value['published_at']:%Y-%m-%d %H:%M} UTC"
        click.echo(f"{name:20} version {value['version']:4}  {when}  {value['published_by']}")


def _kafka(settings: Settings) -> dict[str, object]:
    if not settings.kafka.bootstrap:
        raise ConfigError("kafka.bootstrap is empty: `k2x up` starts its own Kafka and publishes the rules itself")
    return librdkafka(settings, settings.kafka.bootstrap) | QUIET
