"""`k2x summary ls|show`."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import click

from k2x import daily as dailies
from k2x.clients import codec
from k2x.commands.options import config_option, running_kafka, settings_of
from k2x.commands.reconcile import Day
from k2x.daily import Daily
from k2x.errors import ConfigError, K2xError
from k2x.in_words import moment

_SHOWN = timedelta(days=31)
_LIST = ("number", "org", "store", "day", "of", "state", "closes_at", "count", "currency", "total", "tax", "xero_id")
_ORDERS = ("summary", "order", "refund", "state", "currency", "total", "tax", "version")


@click.group()
def summary() -> None:
    """Daily summaries: which there are, and which orders each holds.

    Example:  k2x summary ls --store emea/GoatUK --since 2026-11-01
    """


@summary.command("ls")
@config_option
@click.option("--org", help="Slug of a Xero organisation.")
@click.option("--store", help="instance/siteName.")
@click.option("--since", type=Day(), help="Summaries of this day and later ones; by default those of the last month.")
@click.option("--until", type=Day(), help="Up to and with this day.")
@click.option("--state", "states", multiple=True, help="open, closed, posted, empty, refused, held; several times.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a summary.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), help="Write them there.")
def ls(
    config: Path,
    org: str | None,
    store: str | None,
    since: date | None,
    until: date | None,
    states: tuple[str, ...],
    as_json: bool,
    csv_file: Path | None,
) -> None:
    """List summaries by store and day: their state, when they close, how many orders, and what these come to.

    Example:  k2x summary ls --state open
    """
    settings = settings_of(config)
    _known("--org", org, settings.organisations)
    _known("--store", store, settings.stores)
    first = since or (datetime.now(UTC) - _SHOWN).date()

    def wanted(one: Daily) -> bool:
        inside = one.day is None or (first <= one.day and (until is None or one.day <= until))
        return inside and (store is None or one.store == store)

    orgs = [org] if org is not None else list(settings.organisations)
    found = dailies.dailies(running_kafka(settings), codec(settings), orgs, wanted)
    found = [one for one in found if not states or one.state in states]
    if csv_file is not None:
        with csv_file.open("w", encoding="utf-8", newline="") as file:
            _write(file, _LIST, [one.as_json() for one in found])
    if as_json:
        for one in found:
            click.echo(json.dumps(one.as_json(), ensure_ascii=False))
    else:
        click.echo(_table(found, first) if found else f"No summaries of {first} or later days.")


@summary.command()
@config_option
@click.argument("number")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), help="Write its orders there.")
def show(config: Path, number: str, as_json: bool, csv_file: Path | None) -> None:
    """List the orders of a summary with their totals, and prove that they add up to it; exit code 1 if they do not.

    This is the ledger's word. Whether Xero's document still is what was posted, `k2x reconcile` tells.

    Example:  k2x summary show UK-S20261124-GBP
    """
    settings = settings_of(config)
    one = dailies.numbered(running_kafka(settings), codec(settings), settings.organisations, number)
    if one is None:
        raise K2xError(f"no summary has the number {number!r}: `k2x summary ls` lists them")
    faults = list(dailies.faults(one))
    if csv_file is not None:
        with csv_file.open("w", encoding="utf-8", newline="") as file:
            _write(file, _ORDERS, _orders(one))
    if as_json:
        click.echo(json.dumps({**one.as_json(), "orders": _orders(one), "faults": faults}, ensure_ascii=False))
    else:
        click.echo(_page(one, faults))
    raise SystemExit(1 if faults else 0)


def _known(option: str, given: str | None, known: Any) -> None:
    if given is not None and given not in known:
        raise ConfigError(f"{option} {given}: not in the configuration; there are {', '.join(sorted(known))}")


def _table(found: list[Daily], first: date) -> str:
    rows = [("summary", "store", "day", "state", "closes", "of", "count", "total", "tax", "")]
    rows += [
        (
            one.number or one.key, one.store, str(one.day or "-"), one.state,
            moment(one.closes_at) if one.closes_at is not None and one.state == "open" else "",
            "refunds" if one.refunds else "orders",
            f"{len(one.members):,}", f"{one.total:,.2f}", f"{one.tax:,.2f}", one.currency,
        )
        for one in found
    ]  # fmt: skip
    return "\n".join([*_lines(rows), "", f"{len(found)} summaries of {first} or later days."])


def _page(one: Daily, faults: list[str]) -> str:
    what = "refunds" if one.refunds else "orders"
    entry = one.entry
    head = f"{one.number}, {what} of {one.store} on {one.day}, organisation {one.org}: {one.state}"
    if one.state == "open" and one.closes_at is not None:
        head += f", closes {moment(one.closes_at)}"
    if entry is not None and entry.xero_id:
        head += f", in Xero as {entry.xero_id}"
    if entry is not None and entry.reason and one.state not in ("open", "posted"):
        head += f" ({entry.reason})"
    rows = [("order", "state", "total", "tax", "")]
    members = sorted(one.members.values(), key=lambda member: member.named)
    rows += [(m.named, m.state.lower(), f"{m.total:,.2f}", f"{m.tax:,.2f}", one.currency) for m in members]
    rows.append((f"{len(members):,} {what}", "", f"{one.total:,.2f}", f"{one.tax:,.2f}", one.currency))
    if faults:
        end = [f"It does not add up: {len(faults)} faults.", *(f"  {fault}" for fault in faults)]
    else:
        end = ["It adds up: each order's own entry says that it is in this summary, with these amounts"]
        closed = entry is not None and entry.total is not None
        end[0] += ", and the summary has their number and sums." if closed else "; the summary is not closed yet."
    return "\n".join([head, "", *_lines(rows), "", *end])


def _lines(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Texts to the left, what is a number to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    numbers = {i for i, name in enumerate(rows[0]) if name in ("count", "total", "tax")}
    return [
        "  ".join(
            cell.rjust(width) if i in numbers else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _orders(one: Daily) -> list[dict[str, Any]]:
    return [
        {
            "summary": one.number,
            "order": member.order,
            "refund": member.refund or None,
            "state": member.state.lower(),
            "currency": one.currency,
            "total": f"{member.total:.2f}",
            "tax": f"{member.tax:.2f}",
            "version": member.own.version.isoformat() if member.own is not None and member.own.version else None,
        }
        for member in sorted(one.members.values(), key=lambda member: member.named)
    ]


def _write(file: IO[str], columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    writer = csv.DictWriter(file, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
