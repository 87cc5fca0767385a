"""What `k2x replay` tells a person: the way there, and what came of it or would."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

from k2x.replay.forecast import Forecast
from k2x.replay.run import Seen
from k2x.replay.tally import COLLECTED, Tally

_LIVE_S, _LINE_S = 0.2, 5.0  # between lines on a terminal, and elsewhere
_WIDTH = 180  # characters: a live line that wraps cannot be wiped
_STILL_S = 60.0  # a lane that works finishes something within a minute
_WORDS = {
    "posted": "posted",  # in a plan: to be posted
    "left_alone": "left alone",
    "cancelled": "cancelled",
    "suppressed": "suppressed",
    "refused": "refused",
    "held": "held",
}


class Line:
    """One live line on a terminal, else a line now and then; on stderr, so that what is printed stays clean."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._said = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for another one."""
        return time.monotonic() - self._said >= (_LIVE_S if self._live else _LINE_S)

    def say(self, line: str) -> None:
        if self.due():
            self._said = time.monotonic()
            sys.stderr.write(f"\r\x1b[2K{line[:_WIDTH]}" if self._live else line + "\n")
            sys.stderr.flush()

    def end(self) -> None:
        """Leave the live line."""
        if self._live:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


class Progress(Line):
    """How a replay goes: what is sent, outstanding and left of each organisation, and how long it will take."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = time.monotonic()
        self._first: dict[str, int] = {}

    def __call__(self, seen: Sequence[Seen]) -> None:
        for one in seen:
            self._first.setdefault(one.org, one.left)
        if self.due():
            seconds = time.monotonic() - self._begun
            self.say(" | ".join(self.line(one, seconds) for one in seen))

    def line(self, one: Seen, seconds: float) -> str:
        """One organisation, `seconds` after the begin."""
        text = f"{one.org}: {one.sent:,} sent, {one.standing.outstanding:,} outstanding, {one.left:,} left"
        looked = self._first.get(one.org, one.left) - one.left
        if one.left and looked > 0 and seconds > _LINE_S:
            text += f", about {minutes(one.left * seconds / looked)}"
        elif not one.left:
            text += f", {one.stage}"
        if one.waits_for:
            return f"{text} ({one.waits_for})"
        if one.still_s > _STILL_S:
            text += (
                f" (nothing has moved for {minutes(one.still_s)}: is its lane paused or refused? See the sink's log)"
            )
        return text


def outcome(org: str, tally: Tally, *, tense: str = "") -> list[str]:
    """Lines on one organisation. `tense`: "to " before what a plan has not done yet."""
    total = tally.orders.total()
    lines = [f"{org}: {_of(total, 'order version')}"]
    for key, word in _WORDS.items():
        number = tally.orders[key]
        if number:
            lines.append(f"  {word:12} {number:>9,}{_codes(tally.reasons.get(key, {}))}")
    documents = [f"{number:,} {name if number != 1 else name[:-1]}" for name, number in tally.written.items() if number]
    lines.append(f"  {tense + 'write':12} {', '.join(documents) or 'nothing'}")
    found = [f"{number:,} {name if number != 1 else name[:-1]}" for name, number in tally.adopted.items() if number]
    if found:
        lines.append(f"  {tense + 'adopt':12} {', '.join(found)}, which Xero has already")
    if tally.refunds:
        said = ", ".join(f"{number:,} {_WORDS.get(word, word)}" for word, number in sorted(tally.refunds.items()))
        lines.append(f"  {'refunds':12} {said}")
    if tally.settlements:
        said = ", ".join(f"{number:,} {_WORDS.get(word, word)}" for word, number in sorted(tally.settlements.items()))
        lines.append(f"  {'settlements':12} {said}")
    if tally.updates:
        said = ", ".join(f"{number:,} {_WORDS[word]}" for word, number in sorted(tally.updates.items()))
        lines.append(f"  {'updates':12} {said} (customers and products)")
    for why, number in tally.going_on.most_common():
        if why == COLLECTED:
            count = len(tally.summaries)
            why = f"collected into {count:,} daily {'summary' if count == 1 else 'summaries'}, posted at the close"
        lines.append(f"  {'goes on':12} {number:>9,}  {why}")
    if tally.unreadable:
        lines.append(f"  {'unreadable':12} {tally.unreadable:>9,}  not sent: a dead letter says so already")
    return lines


def forecast(found: Forecast) -> list[str]:
    """Lines on what a replay would do to one organisation."""
    lines = outcome(found.org, found.tally, tense="to ")
    if found.looked is not None:
        credits = f" and {found.looked_credits:,} credit notes" if found.looked_credits else ""
        lines.append(f"  {'looked at':12} {found.looked:>9,}  sales invoices{credits} of Xero's")
    if found.unsure:
        lines.append(f"  {'':12} {found.unsure:,} of the contacts only if Xero shows them otherwise")
    if found.calls_at_close:
        lines.append(f"  {'calls':12} about {found.calls_at_close:,} more when the daily summaries close")
    if not found.calls:
        return [*lines, f"  {'calls':12} none{' now' if found.calls_at_close else ''}"]
    text = f"about {found.calls:,}, in {minutes(found.seconds)} at the pace of Xero's minute"
    if found.days > 1:
        text += f"; the calls of a day do not suffice: {found.days} days"
    if found.day_left is not None:
        text += f"; {found.day_left:,} left today"
    return [*lines, f"  {'calls':12} {text}"]


def minutes(seconds: float) -> str:
    """A duration as one says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _of(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _codes(codes: Mapping[str, int]) -> str:
    if not codes:
        return ""
    return "  " + ", ".join(f"{number:,} {code}" for code, number in sorted(codes.items(), key=lambda p: -p[1]))
