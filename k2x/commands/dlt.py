"""`k2x dlt ls|show|redrive`: the dead letters."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

import click

from k2x.clients import codec
from k2x.commands.options import Progress, When, config_option, running_kafka, settings_of
from k2x.dead_letters import Letter, Selection, State, carry_out, gather, one, pick, plan
from k2x.dead_letters.redrive import DECISIONS, MOST_REPLAYS, Step
from k2x.dead_letters.selection import is_order
from k2x.in_words import Description, describe, moment, span
from k2x.settings import Settings
from k2x.wiring import cdc_topics
from schemas.delivery import Deliverer
from schemas.letters import ErrorClass

_STACK = "__connect.errors.exception.stacktrace"
_FILTERS = (
    click.option("--org", help="Slug of the Xero organisation."),
    click.option("--store", help="instance/siteName."),
    click.option("--class", "error_class", type=click.Choice([str(c) for c in ErrorClass]), help="Who has to act."),
    click.option("--code", help="What happened, as `ls` prints it behind the class."),
    click.option("--since", type=When(), help="Letters from then on: 2026-11-24T18:00, or an age: 30min, 2h, 3d."),
    click.option("--until", type=When(), help="Letters before then."),
    click.option("--order", help="instance|OrderID, store/OrderID or OrderID."),
)


def _filters(function: Callable[..., Any]) -> Callable[..., Any]:
    return reduce(lambda decorated, option: option(decorated), reversed(_FILTERS), function)


@click.group()
def dlt() -> None:
    """The dead letters: what could not go on, why, and what to do about it.

    Example:  k2x dlt ls --class mapping
    """


@dlt.command()
@config_option
@_filters
@click.option("--all", "every", is_flag=True, help="Also those that need nobody any more: resolved, sent again, …")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a letter.")
def ls(config: Path, every: bool, as_json: bool, **filters: Any) -> None:
    """One line a letter, oldest first.

    A letter is resolved, and hidden, once its order has come to an end at the letter's version or a newer one.

    Example:  k2x dlt ls --store emea/GoatUK --since 2d
    """
    letters = _letters(settings_of(config))
    selection = Selection(**filters)
    shown = pick(letters, selection, every=every)
    now = datetime.now(UTC)
    if as_json:
        for letter in shown:
            click.echo(json.dumps(_as_json(letter), ensure_ascii=False))
        return
    _table([_row(letter, now, every) for letter in shown])
    click.echo(_summary(pick(letters, selection, every=True), every))


@dlt.command()
@config_option
@click.argument("which")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a letter.")
def show(config: Path, which: str, as_json: bool) -> None:
    """All about one letter: the order in words, the reason, the remedy, every header.

    WHICH is TOPIC:PARTITION:OFFSET as `ls` prints it, or an order: instance|OrderID, store/OrderID. Customers are
    masked.

    Example:  k2x dlt show kentico.orders.v1-dlt:2:17
    """
    found = one(_letters(settings_of(config)), which)
    now = datetime.now(UTC)
    for number, letter in enumerate(found):
        if as_json:
            click.echo(json.dumps(_as_json(letter, whole=True), ensure_ascii=False))
        else:
            click.echo(("\n" if number else "") + "\n".join(_page(letter, now)))


@dlt.command()
@config_option
@click.argument("which", nargs=-1)
@_filters
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--max", "most", type=click.IntRange(1), help="At most so many letters, the oldest first.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many letters a second.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--decision",
    type=click.Choice(DECISIONS),
    help="For held letters. skip: dealt with. post: Xero was corrected by hand. reissue: credit and post anew.",
)
@click.option("--by", default="k2x dlt redrive", show_default=True, help="Who decides: kept on record.")
def redrive(
    config: Path,
    which: tuple[str, ...],
    dry_run: bool,
    most: int | None,
    rate: float | None,
    yes: bool,
    decision: str | None,
    by: str,
    **filters: Any,
) -> None:
    """Send letters again to the topic they came from, unchanged: mend the cause first.

    Takes the open letters that the filters choose, or exactly the letters or orders WHICH. Versions stay as they are:
    a letter older than what is posted changes nothing, and nothing is ever posted twice. After five times a letter
    stays where it is.

    Example:  k2x dlt redrive --class mapping --store emea/GoatUK --dry-run
    """
    settings = settings_of(config)
    letters = _letters(settings)
    chosen = _chosen(letters, which, Selection(**filters))
    steps = plan(chosen, decision, settings.organisations, most, foreign=cdc_topics(settings))
    acting = [step for step in steps if not step.left]
    _say(steps, dry_run)
    if acting and not dry_run:
        if not yes:
            click.confirm(f"{_verb(acting)} {_letters_of(len(acting))}?", abort=True, err=True)
        delivery = Deliverer(running_kafka(settings))
        done = carry_out(
            steps,
            delivery,
            codec(settings),
            by=by,
            clock=lambda: datetime.now(UTC),
            rate=rate,
            progress=Progress("letters done:"),
        )
        delivery.close()
        click.echo(f"{_letters_of(done)} {'marked as dealt with' if decision == 'skip' else 'sent again'}.")
    left = [step for step in steps if step.left and not step.left.startswith("--max")]
    raise SystemExit(1 if left and not dry_run else 0)


def _letters(settings: Settings) -> list[Letter]:
    return gather(running_kafka(settings), codec(settings), settings.organisations)


def _chosen(letters: list[Letter], which: tuple[str, ...], selection: Selection) -> list[Letter]:
    """By name whatever its state; of an order named, its open letters."""
    if not which:
        return pick(letters, selection)
    named: dict[str, Letter] = {}
    for asked in which:
        found = one(letters, asked)
        by_order = [letter for letter in found if letter.id != asked and is_order(letter, asked)]
        for letter in pick(by_order, selection) if by_order else found:
            named[letter.id] = letter
    return [letter for letter in named.values() if selection.takes(letter)]


# -- words --------------------------------------------------------------------------------------------------------


def _row(letter: Letter, now: datetime, every: bool) -> tuple[str, ...]:
    again = f" (sent again {letter.replays}×)" if letter.replays and letter.state is State.OPEN else ""
    state = (str(letter.state),) if every else ()
    return (
        letter.id,
        span(now - letter.at),
        *state,
        f"{letter.error_class}/{letter.code}",
        letter.org or "-",
        letter.store or "-",
        letter.order_key or letter.key_text or "-",
        (letter.message if letter.state is State.OPEN else letter.why or letter.message) + again,
    )


def _table(rows: list[tuple[str, ...]]) -> None:
    """Columns of one width; on a terminal the last one, the message, is cut at its edge."""
    if not rows:
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    edge = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        line = "  ".join(
            [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), " ".join(row[-1].split())]
        )
        click.echo(line if edge is None or len(line) <= edge else line[: edge - 1] + "…")


def _summary(letters: list[Letter], every: bool) -> str:
    states = Counter(letter.state for letter in letters)
    classes = Counter(letter.error_class for letter in letters if letter.state is State.OPEN)
    of_class = ", ".join(f"{number} {name}" for name, number in classes.most_common())
    text = f"{states[State.OPEN]} open" + (f" ({of_class})" if of_class else "")
    others = ", ".join(f"{states[state]} {state}" for state in State if state is not State.OPEN and states[state])
    if others:
        text += f"; {others}" + ("" if every else " (hidden: --all shows them)")
    return text + ("." if not classes else ". `k2x dlt show WHICH` says why and what to do.")


def _page(letter: Letter, now: datetime) -> list[str]:
    state = "quarantined" if letter.state is State.OPEN and letter.replays >= MOST_REPLAYS else str(letter.state)
    lines = [f"{letter.id}  {state}, {span(now - letter.at)} old ({moment(letter.at)})"]
    if letter.why:
        lines.append(f"  {letter.why}")
    what = _description(letter)
    rows = dict(what.parts)
    rows["reason"] = [f"{letter.error_class}/{letter.code}", *letter.message.splitlines()]
    rows["remedy"] = letter.hint.splitlines()
    rows["came from"] = [
        f"{letter.header('__connect.errors.topic')}:{letter.header('__connect.errors.partition')}:"
        f"{letter.header('__connect.errors.offset')}, given up by {letter.header('__connect.errors.connector.name')} "
        f"at {letter.header('__connect.errors.stage')}",
        f"first failed {letter.header('x-first-failed-at')}, attempt {letter.header('x-attempt') or '?'}, "
        f"sent again {letter.replays} of at most {MOST_REPLAYS} times",
    ]
    lines += ["", what.title]
    for name, found in rows.items():
        lines += [f"  {name if not i else '':12}{line}" for i, line in enumerate(found)]
    lines += ["", "Headers"]
    width = max((len(name) for name, _ in letter.headers), default=0)
    for name, value in letter.headers:
        if name != _STACK:
            lines.append(f"  {name:{width}}  {value.decode('utf-8', 'replace')}".rstrip())
    stack = letter.header(_STACK)
    return lines + (["", "Stack trace", *(f"  {line}" for line in stack.rstrip().splitlines())] if stack else [])


def _description(letter: Letter) -> Description:
    if letter.value is not None:
        return describe(letter.schema, letter.value)
    made = Description(f"A record that cannot be read, key {letter.key_text!r}")
    raw = letter.raw or b""
    made.add("bytes", f"{len(raw)}, beginning {raw[:24].hex(' ')}", letter.problem)
    return made


def _as_json(letter: Letter, *, whole: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {
        "letter": letter.id,
        "state": str(letter.state),
        "state_reason": letter.why or None,
        "at": letter.at.isoformat(),
        "class": letter.error_class,
        "code": letter.code,
        "org": letter.org or None,
        "store": letter.store or None,
        "order": letter.order_key or None,
        "key": letter.key_text,
        "version": letter.version.isoformat() if letter.version else None,
        "message": letter.message,
        "hint": letter.hint,
        "origin": letter.header("__connect.errors.topic"),
        "sent_again": letter.replays,
        "quarantined": letter.replays >= MOST_REPLAYS,
    }
    if whole:
        what = _description(letter)
        found["record"] = {"title": what.title, **what.parts}
        found["headers"] = {name: value.decode("utf-8", "replace") for name, value in letter.headers}
    return found


def _say(steps: list[Step], dry_run: bool) -> None:
    for step in steps:
        letter = step.letter
        what = f"{letter.id}  {letter.order_key or letter.key_text}  {letter.error_class}/{letter.code}"
        if step.left:
            click.echo(f"left   {what}: {step.left}")
        elif dry_run or len(steps) <= 20:
            will = (
                "mark as dealt with"
                if step.skip
                else f"→ {step.to}, sent again for the {_nth(letter.replays + 1)} time"
            )
            click.echo(f"{'skip ' if step.skip else 'send '}  {what}  {will}")
    acting = sum(not step.left for step in steps)
    if not steps:
        click.echo("No open letter is chosen.")
    elif dry_run:
        click.echo(f"Dry run: {_letters_of(acting)} of {len(steps)} would go, {len(steps) - acting} would be left.")


def _verb(acting: list[Step]) -> str:
    return "Mark as dealt with" if acting[0].skip else "Send again"


def _letters_of(number: int) -> str:
    return f"{number} letter" + ("" if number == 1 else "s")


def _nth(number: int) -> str:
    return f"{number}" + {1: "st", 2: "nd", 3: "rd"}.get(number, "th")
