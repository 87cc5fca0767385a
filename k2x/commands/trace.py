"""`k2x trace ORDER`: the whole story of one order."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from k2x.clients import codec
from k2x.commands.options import config_option, running_kafka, settings_of
from k2x.errors import K2xError
from k2x.in_words import span
from k2x.settings import Settings
from k2x.trace import Reader, Story


@click.command()
@config_option
@click.argument("order")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def trace(config: Path, order: str, as_json: bool) -> None:
    """Everything k2x knows of one order, in the order it happened: events, commands, results, ledger, dead letters.

    ORDER is instance|OrderID, store/OrderID, OrderID, an invoice number, the number of a daily summary, or a
    settlement's id. Times are UTC, as Kafka took the records; beside each stands how long after the one before it came.

    Example:  k2x trace emea/GoatUK/1042
    """
    settings = settings_of(config)
    reader = Reader(running_kafka(settings), codec(settings), settings.organisations)
    story = reader.story(_key(order, settings, reader))
    if not story.happenings:
        raise K2xError(f"nothing is known of {order}: no topic has a record of {story.key}. Did Kentico send it?")
    click.echo(json.dumps(_as_json(story), default=_plain, ensure_ascii=False) if as_json else _page(story))


def _key(asked: str, settings: Settings, reader: Reader) -> str:
    """instance|OrderID of what was asked for. K2xError where nothing or more than one order fits."""
    if "|" in asked:
        return asked
    if "/settlement/" in asked:
        return asked.replace("/settlement/", "|settlement/", 1)
    place, _, number = asked.rpartition("/")
    if place and place.partition("/")[0] in settings.instances:
        return f"{place.partition('/')[0]}|{number}"
    if place:
        raise K2xError(f"{asked}: no instance {place!r}; there are {', '.join(settings.instances)}")
    found: set[str] = set()
    if asked.isdigit():
        found = reader.seen(f"{instance}|{asked}" for instance in settings.instances)
    found = found or reader.by_number(asked) or reader.settlements(asked)
    if len(found) > 1:
        raise K2xError(f"{asked} is more than one order: {', '.join(sorted(found))}. Ask for one of them.")
    if not found:
        raise K2xError(f"nothing is known of {asked!r}: neither an OrderID nor an invoice number that k2x has seen")
    return found.pop()


def _page(story: Story) -> str:
    first = story.happenings[0].at
    what = "Settlement" if story.is_settlement else "Summary" if story.is_summary else "Order"
    lines = [f"{what} {story.key}, first heard of {first.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC", ""]
    width = max(len(h.what) for h in story.happenings)
    day, before = first.date(), first
    for h in story.happenings:
        if h.at.date() != day:
            day = h.at.date()
            lines.append(f"{day}")
        time = f"{h.at.astimezone(UTC):%H:%M:%S}.{h.at.microsecond // 1000:03}"
        lines.append(f"{time}  +{span(h.at - before):>7}  {h.what:{width}}  {' '.join(h.text.split())}")
        lines.append(f"{'':26}{'':{width}}{h.where}")
        before = h.at
    return "\n".join([*lines, "", story.ending])


def _as_json(story: Story) -> dict[str, object]:
    first = story.happenings[0].at
    return {
        "order": story.key,
        "ending": story.ending,
        "story": [
            {
                "at": h.at,
                "after_s": round((h.at - first).total_seconds(), 3),
                "what": h.what,
                "where": h.where,
                "text": h.text,
                **({"facts": h.facts} if h.facts else {}),
            }
            for h in story.happenings
        ],
    }


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
