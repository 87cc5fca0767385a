"""`k2x settlements import|ls|show`: what payment gateways have paid out."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from connectors.kentico.settlements import key_part
from k2x import wiring
from k2x.clients import codec
from k2x.commands.options import config_option, running_kafka, settings_of
from k2x.errors import ConfigError
from k2x.settlements.book import Known, known, offered
from k2x.settlements.formats import Read, read
from schemas.delivery import Deliverer
from schemas.types import Settlement

_SHOWN = 20  # bad rows


@click.group()
def settlements() -> None:
    """What payment gateways have paid out: bring files in, see what became of each settlement.

    Example:  k2x settlements import payouts.csv --instance main --gateway stripe --format stripe
    """


@settlements.command("import")
@config_option
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--instance", required=True, help="The Kentico installation whose shop was paid, as in k2x.yaml.")
@click.option("--gateway", required=True, help="The gateway as the rules call it: stripe.")
@click.option("--site", help="SiteName; needed where the instance feeds several organisations.")
@click.option("--format", "form", type=click.Choice(["generic", "stripe", "paypal"]), default="generic", show_default=True, help="Whose columns.")  # fmt: skip # noqa: E501
@click.option("--day-first", is_flag=True, help="PayPal: days are written 31/12/2026.")
@click.option("--dry-run", is_flag=True, help="Say what would come in; send nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def import_(
    config: Path, file: Path, instance: str, gateway: str, site: str | None, form: str, day_first: bool, dry_run: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Bring in the settlements of a CSV file. What is known already is left alone, so a file may come twice.

    A file with a bad row is refused as a whole, each bad row named by its line. Columns: docs/settlements.md.

    Example:  k2x settlements import payouts.csv --instance main --gateway stripe --format stripe --dry-run
    """
    settings = settings_of(config)
    told = next((one for one in wiring.instances(settings, rest=False, webhooks=False) if one.name == instance), None)
    if told is None:
        raise ConfigError(f"--instance {instance}: instances are {', '.join(settings.instances)}")
    if site is not None and f"{instance}/{site}" not in settings.stores:
        raise ConfigError(f"--site {site}: k2x.yaml has no store {instance}/{site}")
    found = _read(file, form, gateway, day_first=day_first)
    kafka, serialise = running_kafka(settings), codec(settings)
    made = offered(found.settlements, told, site, known(kafka, serialise), serialise, datetime.now(UTC))
    bad = sorted([*found.bad, *made.bad])
    if not bad and not dry_run and made.records:
        Deliverer(kafka).deliver_now(made.records)
    if as_json:
        rows = [_brief(value) for value in made.values]
        said = {"new": rows, "known": len(made.same), "bad": [{"line": n, "problem": text} for n, text in bad]}
        click.echo(json.dumps({**said, "sent": not bad and not dry_run}))
    else:
        _tell(made.values, len(made.same), bad, dry_run)
    raise SystemExit(1 if bad else 0)


def _read(file: Path, form: str, gateway: str, *, day_first: bool) -> Read:
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            return read(text, form, gateway, day_first=day_first)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 (byte {error.start}): save it anew as CSV in UTF-8") from error
    except csv.Error as error:
        raise ConfigError(f"{file} is no CSV file that can be read: {error}") from error


def _tell(new: list[Settlement], same: int, bad: list[tuple[int, str]], dry_run: bool) -> None:
    for line, text in bad[:_SHOWN]:
        click.echo(f"line {line}: {text}", err=True)
    if bad:
        more = f", {len(bad) - _SHOWN} more are not shown" if len(bad) > _SHOWN else ""
        click.echo(f"{len(bad)} bad row(s){more}: nothing was sent. Mend them and import the file again.", err=True)
        return
    for value in new:
        click.echo(
            f"{value['settlement_id']:32} {value['paid_at']:%Y-%m-%d} {value['payout']:>12.2f} {value['currency']}"
        )
    verb = "would come in" if dry_run else "came in"
    click.echo(f"{len(new)} settlement(s) {verb}, {same} known already and left alone.")


def _brief(value: Settlement) -> dict[str, Any]:
    return {
        "instance": value["instance"],
        "settlement": key_part(value),
        "paid_at": value["paid_at"].isoformat(),
        "payout": f"{value['payout']:.2f}",
        "currency": value["currency"],
        "lines": len(value["lines"]),
    }


@settlements.command("ls")
@config_option
@click.option("--json", "as_json", is_flag=True, help="A JSON array.")
def ls(config: Path, as_json: bool) -> None:
    """Every settlement with its payout, fees, and what became of it.

    Example:  k2x settlements ls
    """
    settings = settings_of(config)
    every = known(running_kafka(settings), codec(settings))
    if as_json:
        rows = [{**_brief(one.value), "fees": one.fees, "outcome": one.outcome} for one in every.values()]
        click.echo(json.dumps(rows))
        return
    for one in every.values():
        of = one.value
        name = f"{of['instance']}/{key_part(of)}"
        money = f"{of['payout']:>12.2f} {of['currency']}  fees {one.fees:>9}"
        click.echo(f"{name:40} {of['paid_at']:%Y-%m-%d} {money}  {one.outcome}")
    if not every:
        click.echo("No settlement has come in yet. See docs/settlements.md.")


@settlements.command("show")
@config_option
@click.argument("settlement")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(config: Path, settlement: str, as_json: bool) -> None:
    """One settlement: its lines, and every word about it. SETTLEMENT: its id, or gateway/id.

    Example:  k2x settlements show po_1NXW2a
    """
    settings = settings_of(config)
    every = known(running_kafka(settings), codec(settings))
    fitting = [one for one in every.values() if settlement in _names(one)]
    if len(fitting) > 1:
        raise ConfigError(f"{settlement}: several are called so: {', '.join(sorted(one.key for one in fitting))}")
    if not fitting:
        raise ConfigError(f"{settlement}: no such settlement; see `k2x settlements ls`")
    if as_json:
        click.echo(json.dumps(_whole(fitting[0]), default=str))
        return
    for line in _lines(fitting[0]):
        click.echo(line)


def _names(one: Known) -> tuple[str, ...]:
    return one.value["settlement_id"], key_part(one.value), one.key


def _whole(one: Known) -> dict[str, Any]:
    return {**one.value, "outcome": one.outcome, "message": one.message, "results": one.results}


def _lines(one: Known) -> list[str]:
    of = one.value
    shown = [f"settlement {key_part(of)} of {of['instance']}, paid {of['paid_at']:%Y-%m-%d %H:%M} UTC: {one.outcome}"]
    shown += [f"  {one.message}"] if one.message else []
    shown.append(f"  payout {of['payout']:.2f} {of['currency']}, fees and the like {one.fees}")
    for line in of["lines"]:
        names = (f"order {line['order_id']}" if line["order_id"] else "", line["transaction_id"] or "")
        about = " ".join(filter(None, names))
        shown.append(f"  {line['type'].lower():11} {line['amount']:>12.2f}  fee {line['fee']:>8.2f}  {about}".rstrip())
    for word in one.results:
        where = f" {word['xero_id']}" if word["xero_id"] else ""
        shown.append(f"  {word['at']:%Y-%m-%d %H:%M:%S} {word['kind']} {word['outcome'].lower()}{where}")
    return shown
