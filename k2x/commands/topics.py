"""`k2x topics apply|describe`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from k2x import kafka_topics
from k2x.clients import QUIET, librdkafka
from k2x.commands.options import config_option, settings_of
from k2x.errors import ConfigError
from k2x.settings import Settings


@click.group()
def topics() -> None:
    """Create or describe the Kafka topics (schemas/topics.py says what they must be).

    Example:  k2x topics apply --config k2x.yaml
    """


@topics.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a topic.")
def apply(config: Path, as_json: bool) -> None:
    """Create what is missing. Nothing is deleted or shrunk. Example:  k2x topics apply"""
    settings = settings_of(config)
    states = kafka_topics.apply(
        _kafka(settings), settings.organisations, settings.kafka.partitions, settings.kafka.replication
    )
    _print(states, as_json)


@topics.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a topic.")
def describe(config: Path, as_json: bool) -> None:
    """Say how each topic stands. Example:  k2x topics describe --json"""
    settings = settings_of(config)
    kafka = _kafka(settings)
    for warning in kafka_topics.cluster_warnings(kafka):
        click.echo(f"warning: {warning}", err=True)
    _print(kafka_topics.describe(kafka, settings.organisations), as_json)


def _kafka(settings: Settings) -> dict[str, object]:
    if not settings.kafka.bootstrap:
        raise ConfigError("kafka.bootstrap is empty: the embedded Kafka of `k2x up` creates its topics itself")
    return librdkafka(settings, settings.kafka.bootstrap) | QUIET


def _print(states: list[kafka_topics.TopicState], as_json: bool) -> None:
    for state in states:
        if as_json:
            fields = {"topic": state.name, "partitions": state.partitions, "created": state.created}
            click.echo(json.dumps({**fields, "faults": list(state.faults), "warnings": list(state.warnings)}))
            continue
        word = "created" if state.created else "FAULT" if state.faults else "warning" if state.warnings else "ok"
        said = "; ".join(state.faults + state.warnings)
        click.echo(f"{word:8} {state.name:42} {state.partitions:3} partition(s)  {said}")
    if any(state.faults for state in states):
        raise SystemExit(1)
