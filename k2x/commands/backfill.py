"""`k2x backfill plan|run|ls`: bring in the orders that were there before k2x."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Any

import click

from connectors.kentico.backfill import Plan, Span
from k2x import wiring
from k2x.backfill.fences import cutovers_of, fences, unfenced
from k2x.backfill.run import Backfilling, standing
from k2x.backfill.words import Progress, plan_json, plan_lines, state_json, state_line
from k2x.clients import codec
from k2x.commands.options import config_option, running_kafka, settings_of
from k2x.errors import ConfigError, K2xError
from k2x.logs import configure
from k2x.settings import Settings
from schemas.types import Backfill

_SPAN = (
    click.option("--instance", required=True, help="The Kentico installation, as in k2x.yaml."),
    click.option(
        "--since", required=True, type=click.DateTime(["%Y-%m-%d"]), help="First day of OrderDate, by Kentico's clock."
    ),
    click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="First day that is left out. Default: none."),
    click.option(
        "--rate",
        type=click.FloatRange(min=0),
        help="Requests a second to Kentico; 0: no limit. Default: as in k2x.yaml, else 10.",
    ),
)


def _span(function: Callable[..., Any]) -> Callable[..., Any]:
    return reduce(lambda decorated, option: option(decorated), reversed(_SPAN), function)


@click.group()
def backfill() -> None:
    """Bring in the orders that were in Kentico before k2x, over its REST service.

    Orders before a store's `cutover` (rules) are brought in and not posted.

    Example:  k2x backfill plan --instance main --since 2024-04-06
    """


@backfill.command("plan")
@config_option
@_span
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def plan_(
    config: Path, instance: str, since: datetime, until: datetime | None, rate: float | None, as_json: bool
) -> None:
    """What `run` with the same days would do: orders by store and cut-over, requests, minutes, calls of Xero.

    Nothing is written. A batch of 100 orders is read from Kentico for the estimate.

    Example:  k2x backfill plan --instance main --since 2024-04-06
    """
    configure(sys.stderr, level="warning")
    settings = settings_of(config)
    span = _days(since, until)
    planned = asyncio.run(_planned(settings, instance, span, rate, measured=True))
    found = fences(settings, instance, planned)
    if as_json:
        click.echo(json.dumps(plan_json(instance, planned, found)))
        return
    rest = wiring.backfill(settings, instance, rate).rest
    for line in plan_lines(instance, span, rest.requests_per_second if rest else None, planned, found):
        click.echo(line)


@backfill.command()
@config_option
@_span
@click.option(
    "--outstanding",
    type=click.IntRange(min=0),
    default=None,
    help="So many orders and commands may be unfinished, so that live orders go first. Default: replay.outstanding of "
    "k2x.yaml (200); 0: no limit.",
)
@click.option("--restart", is_flag=True, help="From the beginning, whatever an earlier run has done.")
@click.option("--yes", is_flag=True, help="Also where a store has no cut-over, or an order no store; do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def run(
    config: Path,
    instance: str,
    since: datetime,
    until: datetime | None,
    rate: float | None,
    outstanding: int | None,
    restart: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Bring in the orders of these days, oldest OrderID first; each once, and live orders first.

    Ctrl-C stops it; the same command goes on where it stopped. Exit code 0 once all orders are on Kafka; those that
    could not be read are on the dead letters (`k2x dlt ls`).

    Example:  k2x backfill run --instance main --since 2024-04-06
    """
    configure(sys.stderr, level="error")
    settings = settings_of(config)
    kafka, values = running_kafka(settings), codec(settings)
    span = _days(since, until)
    planned = asyncio.run(_planned(settings, instance, span, rate, measured=False))
    open_ = unfenced(settings, instance, fences(settings, instance, planned))
    if open_ and not yes:
        raise ConfigError("; ".join(open_) + ". Give --yes if that is meant")
    progress = Progress(instance)
    most = settings.replay.outstanding if outstanding is None else outstanding

    async def work() -> Backfill | None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        history = Backfilling(wiring.backfill(settings, instance, rate), values)
        try:
            orgs = settings.orgs_of(instance)
            return await history.run(kafka, span, orgs, stop, outstanding=most, restart=restart, say=progress)
        finally:
            await history.close()

    done = asyncio.run(work())
    progress.end()
    if done is None:
        raise K2xError(f"{instance}: stopped before it began")
    click.echo(json.dumps(state_json(instance, done)) if as_json else state_line(instance, done))
    if done["finished_at"] is None:
        click.echo("Stopped: the same command goes on where it stopped.", err=True)
        raise SystemExit(1)


@backfill.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object an instance.")
def ls(config: Path, as_json: bool) -> None:
    """Every instance's backfill, and how far it came.

    Example:  k2x backfill ls
    """
    settings = settings_of(config)
    for instance, state in standing(running_kafka(settings), codec(settings)):
        click.echo(json.dumps(state_json(instance, state)) if as_json else state_line(instance, state))


def _days(since: datetime, until: datetime | None) -> Span:
    if until is not None and until <= since:
        raise click.UsageError("--until must be after --since")
    return Span(since.date(), until.date() if until else None)


async def _planned(settings: Settings, instance: str, span: Span, rate: float | None, *, measured: bool) -> Plan:
    if instance not in settings.instances:
        raise ConfigError(f"no instance {instance!r} in k2x.yaml; known: {', '.join(settings.instances) or 'none'}")
    history = Backfilling(wiring.backfill(settings, instance, rate), codec(settings))
    try:
        return await history.plan(span, cutovers_of(settings, instance), measured=measured)
    finally:
        await history.close()
