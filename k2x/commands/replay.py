"""`k2x replay plan|run|ls`: send what came in once more, or say what that would do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

import click

from k2x import wiring
from k2x.audit.documents import Invoice
from k2x.clients import codec
from k2x.commands.options import When, config_option, running_kafka, settings_of
from k2x.in_words import moment
from k2x.logs import configure
from k2x.replay.chosen import Chosen
from k2x.replay.forecast import Planner, day_calls_left
from k2x.replay.journal import Journal, Replay
from k2x.replay.run import Report, Runner
from k2x.replay.source import ranges_of
from k2x.replay.words import Line, Progress, forecast, minutes, outcome
from k2x.settings import Settings

_FILTERS = (
    click.option("--org", "orgs", multiple=True, help="Slug of a Xero organisation; again for more."),
    click.option("--store", "stores", multiple=True, help="instance/siteName; again for more."),
    click.option("--since", type=When(), help="What came in from then on: 2026-11-24T18:00, or an age: 30min, 2h, 3d."),
    click.option("--until", type=When(), help="What came in before then."),
    click.option(
        "--order", "orders", multiple=True, help="instance|OrderID, store/OrderID or OrderID; again for more."
    ),
    click.option(
        "--all",
        "everything",
        is_flag=True,
        help="Everything: every order, what customers and products became, and settlements.",
    ),
)


def _filters(function: Callable[..., Any]) -> Callable[..., Any]:
    return reduce(lambda decorated, option: option(decorated), reversed(_FILTERS), function)


@click.group()
def replay() -> None:
    """Send orders through k2x once more, from the source topics. What is posted already stays as it is.

    Example:  k2x replay plan --store emea/GoatUK --since 7d
    """


@replay.command()
@config_option
@_filters
@click.option("--resume", metavar="ID", help="Go on with a replay that was interrupted; it knows its own filters.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many records a second.")
@click.option("--no-wait", is_flag=True, help="Leave once everything is sent, without waiting until it is finished.")
@click.option("--by", default="k2x replay run", show_default=True, help="Who does it: kept on record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
def run(
    config: Path,
    resume: str | None,
    rate: float | None,
    no_wait: bool,
    by: str,
    yes: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """Replay what the filters choose, every version in the order in which it came in.

    At most 200 commands are outstanding per organisation (replay.outstanding in k2x.yaml), so that live orders never
    wait behind them. Exit code 0 once all of it is finished. Interrupted, it goes on with --resume.

    Example:  k2x replay run --org uk --since 2026-11-01 --until 2026-11-08
    """
    configure(sys.stderr, level="warning")
    settings = settings_of(config)
    kafka, values = running_kafka(settings), codec(settings)
    if resume and any(filters.values()):
        raise click.UsageError("--resume knows what was chosen: leave the filters out")
    if resume:
        found = Journal(kafka, values).unfinished(resume)
    else:
        chosen = chosen_by(settings, **filters)
        found = _begun(chosen, kafka, by)
    click.echo(f"Replay {found.id}: {found.chosen.said()}; {found.records:,} records to look at.", err=True)
    if not yes:
        click.confirm("Send them?", abort=True, err=True)
    progress = Progress()
    runner = Runner(found, settings, kafka, values, wiring.consumer_groups(), progress)
    try:
        report = runner.run(resumed=resume is not None, wait=not no_wait, rate=rate)
    except (KeyboardInterrupt, Exception):
        progress.end()
        if runner.begun:
            click.echo(f"Not finished: `k2x replay run --resume {found.id}` goes on with it.", err=True)
        raise
    progress.end()
    _tell(report, no_wait, as_json)


@replay.command()
@config_option
@_filters
@click.option(
    "--look",
    is_flag=True,
    help="Read Xero's invoices and credit notes too (a call reads 1,000): numbers that are taken are found.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def plan(config: Path, look: bool, as_json: bool, **filters: Any) -> None:
    """What `run` with the same filters would do: orders by what becomes of them, documents, calls and minutes.

    Nothing is written. Rules and reference data are the workers', the decisions the sink's own, carried out on paper.

    Example:  k2x replay plan --org uk --since 7d
    """
    configure(sys.stderr, level="warning")
    settings = settings_of(config)
    kafka, values = running_kafka(settings), codec(settings)
    progress = Line()
    pages = _pages(settings, kafka, progress) if look else None
    found = Planner(settings, kafka, values, pages, progress.say).plan(
        chosen_by(settings, **filters), lambda org: day_calls_left(settings, org)
    )
    progress.end()
    if as_json:
        click.echo(json.dumps({"organisations": {one.org: one.as_json() for one in found}}))
        return
    for one in found:
        click.echo("\n".join(forecast(one)))


@replay.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a replay.")
def ls(config: Path, as_json: bool) -> None:
    """Every replay on record, oldest first, and whether it is over.

    Example:  k2x replay ls
    """
    settings = settings_of(config)
    for found in Journal(running_kafka(settings), codec(settings)).all():
        if as_json:
            fields = {"replay": found.id, "chosen": found.chosen.said(), "records": found.records}
            fields |= {"started_at": found.started_at.isoformat(), "started_by": found.started_by}
            over = found.finished_at.isoformat() if found.finished_at else None
            click.echo(json.dumps({**fields, "finished_at": over}, ensure_ascii=False))
            continue
        over = f"over {moment(found.finished_at)}" if found.finished_at else "unfinished"
        click.echo(f"{found.id}  {over}  by {found.started_by}  {found.records:,} records  {found.chosen.said()}")


def chosen_by(
    settings: Settings,
    orgs: tuple[str, ...],
    stores: tuple[str, ...],
    orders: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    everything: bool,
) -> Chosen:
    """The filters as given. UsageError says what does not fit."""
    if not (orgs or stores or orders or since or until or everything):
        raise click.UsageError("say what: --org, --store, --order, --since, --until, or --all for everything")
    if everything and (stores or orders):
        raise click.UsageError(
            "--all takes customers, products and settlements too, which belong to an organisation and not to a store "
            "or an order: use --all with --org, or leave --all out"
        )
    for name in orgs:
        if name not in settings.organisations:
            raise click.UsageError(f"no organisation {name!r}; there are {', '.join(sorted(settings.organisations))}")
    for name in stores:
        if name not in settings.stores:
            raise click.UsageError(f"no store {name!r}; there are {', '.join(sorted(settings.stores))}")
        if orgs and settings.stores[name].organisation not in orgs:
            raise click.UsageError(f"{name} feeds {settings.stores[name].organisation}, which --org leaves out")
    if since and until and since >= until:
        raise click.UsageError("--since must be before --until")
    feeding = {store.organisation for name, store in settings.stores.items() if not stores or name in stores}
    meant = feeding & set(orgs) if orgs else feeding
    if not meant:
        raise click.UsageError(f"no store feeds {', '.join(orgs) or 'any organisation'}: see stores in k2x.yaml")
    return Chosen(
        orgs=tuple(sorted(meant)),
        stores=frozenset(stores),
        orders=orders,
        since=since,
        until=until,
        everything=everything,
    )


def _pages(settings: Settings, kafka: dict[str, Any], line: Line) -> Callable[[str], Iterator[Sequence[Invoice]]]:
    """Xero's invoices and credit notes, an organisation at a time, within the share of its calls that tools may use."""
    books = wiring.xero_books(settings, kafka, say=line.say)

    def pages(org: str) -> Iterator[Sequence[Invoice]]:
        own = books(org)
        yield from own.invoices()
        yield from own.credit_notes()

    return pages


def _begun(chosen: Chosen, kafka: dict[str, Any], by: str) -> Replay:
    now = datetime.now(UTC)
    ranges = tuple(ranges_of(kafka, chosen.topics, chosen.since))
    return Replay(f"{now:%Y%m%d-%H%M%S}-{os.urandom(2).hex()}", chosen, ranges, now, by)


def _tell(report: Report, no_wait: bool, as_json: bool) -> None:
    if as_json:
        orgs = {org: {"sent": report.sent[org], **tally.as_json()} for org, tally in report.tallies.items()}
        whole = {"replay": report.replay.id, "finished": not no_wait, "complete": report.complete}
        click.echo(json.dumps({**whole, "seconds": round(report.seconds, 1), "organisations": orgs}))
        return
    sent = sum(report.sent.values())
    click.echo(f"Replay {report.replay.id}: {sent:,} records sent in {minutes(report.seconds)}.")
    if no_wait:
        click.echo(
            "Whether they are finished was not waited for: `k2x trace` and `k2x dlt ls` tell what became of them."
        )
        return
    for org, tally in report.tallies.items():
        click.echo("\n".join(outcome(org, tally)))
    if not report.complete:
        click.echo("Everything is finished, but some results could not be read yet: the counts above may lack some.")
