"""`k2x reconcile`: do the books agree?"""

from __future__ import annotations

import sys
import time
import traceback
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from connectors.xero.errors import XeroError
from k2x import wiring
from k2x.audit import page
from k2x.audit.court import Scope
from k2x.audit.last import remember
from k2x.audit.reconcile import Outcome, Patience, Reconciliation
from k2x.clients import codec
from k2x.commands.options import config_option, running_kafka, settings_of
from k2x.errors import K2xError
from k2x.settings import Settings

CLEAN, OFF, NOT_DONE, BROKEN = 0, 1, 3, 4


class Day(click.ParamType):
    """A day of the orders: 2026-11-24."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no day: write it like 2026-11-24")


@click.command()
@config_option
@click.option("--org", "orgs", multiple=True, help="Slug of a Xero organisation; may be given several times.")
@click.option("--store", help="instance/siteName.")
@click.option("--order", help="One order: instance|OrderID or store/OrderID.")
@click.option("--since", type=Day(), help="Orders of this day and later ones.")
@click.option("--until", type=Day(), help="Orders up to and with this day.")
@click.option(
    "--grace", type=click.FloatRange(min=0), help="Seconds that an order may be on its way (reconcile.grace_s)."
)
@click.option("--wait", is_flag=True, help="Sleep until Xero takes calls again, instead of ending with code 3.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the findings there.")
@click.option("--days", "days_file", type=click.Path(path_type=Path, dir_okay=False), help="Write counts by day there.")
def reconcile(
    config: Path,
    orgs: tuple[str, ...],
    store: str | None,
    order: str | None,
    since: date | None,
    until: date | None,
    grace: float | None,
    wait: bool,
    as_json: bool,
    csv_file: Path | None,
    days_file: Path | None,
) -> None:
    """Compare source topics, dead letters, ledger and Xero's own documents: lost, doubled, drifted, unmatched, stuck.

    Writes nothing to Kafka or Xero and may run while the shop trades. Exit code 0: the books agree; 1: something is
    off, and each finding says what to do; 2: wrong use; 3: it could not be done, and why; 4: a fault of k2x.

    Example:  k2x reconcile --since 2026-11-01 --until 2026-11-30 --csv findings.csv
    """
    try:
        settings = settings_of(config)
        scope = _scope(settings, orgs, store, order, since, until)
        outcome = _reconciliation(settings, grace, wait).run(scope)
        try:
            remember(outcome, scope, settings.data_dir)
            raise SystemExit(_told(outcome, as_json, csv_file, days_file))
        finally:
            outcome.close()
    except Exception as error:  # noqa: BLE001 - whatever it is, code 1 would say that the books are off
        raise SystemExit(_failed(error)) from None


def _scope(
    settings: Settings,
    orgs: tuple[str, ...],
    store: str | None,
    order: str | None,
    since: date | None,
    until: date | None,
) -> Scope:
    known = sorted({found.organisation for found in settings.stores.values()})
    for org in orgs:
        if org not in known:
            raise click.UsageError(f"--org {org}: no store feeds it; there are {', '.join(known)}")
    if store is not None and store not in settings.stores:
        raise click.UsageError(f"--store {store}: not in k2x.yaml; there are {', '.join(sorted(settings.stores))}")
    chosen = list(orgs) or ([settings.stores[store].organisation] if store else known)
    key = order
    if order is not None and "|" not in order:
        place, _, number = order.rpartition("/")
        instance = place.partition("/")[0] or (next(iter(settings.instances)) if len(settings.instances) == 1 else "")
        if instance not in settings.instances:
            raise click.UsageError(
                f"--order {order}: write store/OrderID; instances are {', '.join(settings.instances)}"
            )
        key = f"{instance}|{number}"
    return Scope(tuple(chosen), store, key, since, until)


def _reconciliation(settings: Settings, grace: float | None, wait: bool) -> Reconciliation:
    kafka, sink = running_kafka(settings), settings.xero.sink
    say = _Saying()
    return Reconciliation(
        kafka,
        codec(settings),
        wiring.audited_stores(settings),
        wiring.xero_books(settings, kafka, wait=wait, say=say),
        Patience(
            grace=timedelta(seconds=settings.reconcile.grace_s if grace is None else grace),
            lapse=timedelta(seconds=sink.intention_lapse_s + sink.deadline_s),
            silence=timedelta(hours=settings.reconcile.silence_h),
            margin=timedelta(hours=settings.reconcile.summary_h),
        ),
        lambda: datetime.now(UTC),
        groups=wiring.consumer_groups(),
        directory=settings.data_dir if settings.data_dir.is_dir() else None,
        say=say,
        unreadable=(K2xError, XeroError),
    )


def _told(outcome: Outcome, as_json: bool, csv_file: Path | None, days_file: Path | None) -> int:
    for path, write in ((csv_file, page.write_findings), (days_file, page.write_days)):
        if path is not None:
            with path.open("w", encoding="utf-8", newline="") as file:
                write(outcome, file)
    if as_json:
        page.write_json(outcome, sys.stdout)
    else:
        click.echo(page.page(outcome))
    if outcome.not_done:
        for text in outcome.not_done.values():
            click.echo(f"k2x: {text}", err=True)
        return NOT_DONE
    return CLEAN if outcome.clean else OFF


def _failed(error: Exception) -> int:
    """Not 1: a script must not take a failure for a finding."""
    from k2x.cli import said

    if isinstance(error, click.ClickException | click.exceptions.Exit | click.Abort):
        raise error
    text = str(error) if isinstance(error, K2xError) else said(error)
    if text is None:
        traceback.print_exception(error)
        return BROKEN
    click.echo(f"k2x: {text}", err=True)
    return NOT_DONE


class _Saying:
    """Progress on stderr: one live line on a terminal, else a line every few seconds."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._at = time.monotonic()

    def __call__(self, text: str) -> None:
        if self._live:
            sys.stderr.write(f"\r\x1b[2K{text}")
        elif time.monotonic() - self._at > 5:
            self._at = time.monotonic()
            sys.stderr.write(text + "\n")
        sys.stderr.flush()
