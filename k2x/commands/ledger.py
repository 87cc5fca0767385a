"""`k2x ledger rebuild|show`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from k2x import ledger as ledgers
from k2x.clients import codec
from k2x.commands.options import Progress, config_option, running_kafka, settings_of
from k2x.errors import ConfigError, K2xError
from k2x.in_words import moment
from k2x.settings import Settings
from schemas.types import LedgerEntry

_PHASES = {
    "quiet": "seconds until a former owner's last call has surely ended:",
    "xero": "sales invoices read from Xero:",
    "compare": "commands compared with Xero:",
    "results": "results read for the orders that Xero does not show:",
    "decide": "commands decided by what was said of them:",
}
_PATIENCE = 20  # seconds without a word, after which a person is told where to look


@click.group()
def ledger() -> None:
    """The ledger: what k2x knows to be in Xero. Rebuild a lost one, or show entries.

    Example:  k2x ledger show emea|1042
    """


@ledger.command()
@config_option
@click.option("--org", required=True, help="Slug of the Xero organisation.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-wait", is_flag=True, help="Ask for it and leave; the sink's log and metrics tell of it.")
@click.option("--json", "as_json", is_flag=True, help="The counts as one JSON object.")
def rebuild(config: Path, org: str, yes: bool, no_wait: bool, as_json: bool) -> None:
    """Have the lane owner restore a lost ledger from Xero, the commands and the results.

    It reads every sales invoice, 1,000 a call, within its budget; nothing is written into Xero. Orders wait in Kafka
    meanwhile. On a ledger that is whole it changes nothing. A sink must be running.

    Example:  k2x ledger rebuild --org uk
    """
    settings = settings_of(config)
    _known(settings, org)
    if not yes:
        click.confirm(f"Read every sales invoice of {org} from Xero, while its orders wait?", abort=True, err=True)
    with ledgers.rebuild(running_kafka(settings), codec(settings), org) as asked:
        asked.ask(datetime.now(UTC))
        if no_wait:
            click.echo(f"Asked. The sink that has {org} does it in its turn.")
            return
        counts = _followed(asked, org)
    if as_json:
        click.echo(json.dumps(counts))
        return
    click.echo(f"The ledger of {org} is whole: " + ", ".join(f"{n:,} {name}" for name, n in counts.items()) + ".")
    if counts.get("conflicts"):
        click.echo(f"Look at the conflicts: k2x dlt ls --org {org} --class conflict")


@ledger.command()
@config_option
@click.argument("which")
@click.option("--org", help="Only in the ledger of this organisation.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an entry.")
def show(config: Path, which: str, org: str | None, as_json: bool) -> None:
    """What the ledger has: of an order (instance|OrderID), under a key, or with an invoice number.

    Example:  k2x ledger show UK-1042
    """
    settings = settings_of(config)
    if org is not None:
        _known(settings, org)
    kafka, values = running_kafka(settings), codec(settings)
    orgs = [org] if org is not None else list(settings.organisations)
    found = [entry for name in orgs for entry in ledgers.entries(kafka, values, name, which)]
    if not found:
        raise K2xError(f"no ledger has an entry of {which!r}: ask by instance|OrderID, a key, or an invoice number")
    for entry in found:
        click.echo(json.dumps(_plain(entry), default=str) if as_json else _line(entry))


def _followed(asked: ledgers.Rebuild, org: str) -> dict[str, int]:
    """Tell the progress until it is done; the counts."""
    phase, said, silent = "", Progress(""), 0
    for progress in asked.follow():
        if progress is None:
            silent += 1
            if silent == _PATIENCE:
                click.echo(f"Nothing yet. Does a sink run that has {org}? Its log says what it waits for.", err=True)
            continue
        silent = 0
        if not progress.phase:
            return dict(progress.counts)
        if progress.phase != phase:
            phase, said = progress.phase, Progress(_PHASES.get(progress.phase, progress.phase))
        said(progress.done, progress.of or progress.done)
    raise K2xError("the ledger topic ended before the rebuild was done: the sink goes on without you")


def _known(settings: Settings, org: str) -> None:
    if org not in settings.organisations:
        known = ", ".join(settings.organisations)
        raise ConfigError(f"--org {org}: no such organisation in the configuration; there are {known}")


def _line(entry: LedgerEntry) -> str:
    money = f"{entry['total']} {entry['currency']}" if entry["total"] else ""
    parts = [
        entry["number"],
        money,
        entry["xero_id"],
        f"version {moment(entry['version'])}" if entry["version"] else "",
    ]
    if entry["retry_at"]:
        parts.append(f"tried again {moment(entry['retry_at'])}")
    parts += ["a call is intended" if entry["intention"] else "", entry["reason"]]
    said = "  ".join(part for part in parts if part)
    state = f"{entry['state']} {entry['status'] or ''}".strip()
    return f"{entry['org']}  {entry['key']:40}  {state:18}  {said}"


def _plain(entry: LedgerEntry) -> dict[str, object]:
    """Without the bytes of a waiting command."""
    command = entry["command"]
    return {**entry, "command": None if command is None else f"{len(command)} bytes"}
