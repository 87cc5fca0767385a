"""What people are told directly: at most one message a minute for each organisation and class, however much happens.

Pure: time is passed in. The first of its kind goes at once; what follows is gathered until the minute is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

_SHOWN = 5  # of each message; the others are a number
_LONG = 300  # characters of one line


@dataclass(frozen=True)
class Notice:
    """One thing that happened. `kind`: the letter's class, `waiting:<why>`, `lane:<state>`, `stalled`; `then`: what
    to do."""

    org: str
    kind: str
    text: str
    then: str = ""


@dataclass(frozen=True)
class Message:
    """What is sent: so many notices of one organisation and class."""

    org: str
    kind: str
    count: int
    shown: tuple[Notice, ...]

    @property
    def subject(self) -> str:
        where = self.org or "k2x"
        if self.kind.startswith("waiting:"):
            return f"{where} waits ({self.kind.partition(':')[2]})"
        if self.kind.startswith("lane:"):
            return f"{where}: nothing is posted ({self.kind.partition(':')[2]})"
        if self.kind == "stalled":
            return f"{where}: nothing moves"
        return f"{where}: {self.count} dead letter{'s' if self.count != 1 else ''} ({self.kind})"

    @property
    def text(self) -> str:
        lines = [self.subject]
        for notice in self.shown:
            lines.append(f"- {notice.text[:_LONG]}")
        if self.count > len(self.shown):
            lines.append(f"- and {self.count - len(self.shown)} more")
        for then in dict.fromkeys(notice.then for notice in self.shown if notice.then):
            lines.append(f"What to do: {then[:_LONG]}")
        if self.kind != "stalled" and ":" not in self.kind:
            which = f" --org {self.org}" if self.org else ""
            lines.append(f"All of them: k2x dlt ls{which} --class {self.kind}")
        return "\n".join(lines)


@dataclass
class _Pile:
    count: int = 0
    shown: list[Notice] = field(default_factory=list)


class Digest:
    """Gathers notices. `every_s`: between two messages of one organisation and class."""

    def __init__(self, every_s: float = 60.0) -> None:
        self._every_s = every_s
        self._piles: dict[tuple[str, str], _Pile] = {}
        self._last: dict[tuple[str, str], float] = {}

    def add(self, notices: Iterable[Notice]) -> None:
        for notice in notices:
            pile = self._piles.setdefault((notice.org, notice.kind), _Pile())
            pile.count += 1
            if len(pile.shown) < _SHOWN:
                pile.shown.append(notice)

    def due(self, now: float) -> list[Message]:
        """What may go now. It stays until `sent` says that it went."""
        return [
            Message(org, kind, pile.count, tuple(pile.shown))
            for (org, kind), pile in sorted(self._piles.items())
            if now - self._last.get((org, kind), float("-inf")) >= self._every_s
        ]

    def sent(self, message: Message, now: float) -> None:
        """It went; what has come meanwhile stays."""
        key = (message.org, message.kind)
        self._last[key] = now
        pile = self._piles[key]
        pile.count -= message.count
        pile.shown = pile.shown[len(message.shown) :]
        if pile.count <= 0:
            del self._piles[key]

    def failed(self, message: Message, now: float) -> None:
        """It did not go: it is tried again when the next may go."""
        self._last[message.org, message.kind] = now

    @property
    def empty(self) -> bool:
        return not self._piles
