"""What the reader has to read: hints gathered per object until they are due, and the offsets they hold back. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schemas.types import Change

# However often an object is hinted at, it is read at the latest after this many debounce times.
_LONGEST_WAIT = 5


class Tracker:
    """The offsets of one assignment of a partition: which may be committed, so that no unfinished one is passed."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.closed = False
        self._open: deque[int] = deque()
        self._done: set[int] = set()
        self._next: int | None = None

    def add(self, offset: int) -> None:
        """A record was taken; offsets come in rising order."""
        self._open.append(offset)
        self._next = offset + 1

    def done(self, offset: int) -> None:
        self._done.add(offset)

    def committable(self) -> int | None:
        """The offset to commit: below it all is done. None where nothing was taken."""
        while self._open and self._open[0] in self._done:
            self._done.discard(self._open.popleft())
        return self._open[0] if self._open else self._next


@dataclass(frozen=True)
class Hint:
    """A record of the changes topic, as it came and decoded."""

    tracker: Tracker
    offset: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes | None]]
    change: Change


@dataclass
class Pending:
    """One object to read: its newest hint speaks for all, the first one's acceptance counts for the latency."""

    hint: Hint
    first_received_at: datetime
    since: float
    due: float
    offsets: list[tuple[Tracker, int]] = field(default_factory=list)
    deleted: bool = False
    site_id: int | None = None
    replay: bool = False
    retries: int = 0
    retry_since: float | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.hint.change["object_type"], self.hint.change["object_id"]

    def wanted(self) -> bool:
        """Whether any of its hints is still ours to answer."""
        return any(not tracker.closed for tracker, _ in self.offsets)


class Debounce:
    """Objects waiting, by (object type, id). `now` is monotonic seconds."""

    def __init__(self, debounce_s: float) -> None:
        self._debounce_s = debounce_s
        self._waiting: dict[tuple[str, int], Pending] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, hint: Hint, now: float) -> None:
        """One more hint; it moves the object's due time, up to a limit."""
        change = hint.change
        key = (change["object_type"], change["object_id"])
        pending = self._waiting.get(key)
        if pending is None:
            pending = self._waiting[key] = Pending(hint, change["received_at"], now, now)
        pending.hint = hint
        pending.offsets.append((hint.tracker, hint.offset))
        pending.deleted = pending.deleted or change["event_type"] == "order.deleted"
        pending.site_id = change["site_id"] or pending.site_id
        pending.replay = pending.replay or change["source"] == "REPLAY"
        pending.due = max(pending.due, min(now + self._debounce_s, pending.since + _LONGEST_WAIT * self._debounce_s))

    def put_back(self, pending: Pending, due: float) -> None:
        """An object that has to be read again later; hints that came meanwhile join it."""
        newer = self._waiting.get(pending.key)
        pending.due = due
        if newer is not None:
            pending.hint = newer.hint
            pending.offsets += newer.offsets
            pending.deleted = pending.deleted or newer.deleted
            pending.site_id = newer.site_id or pending.site_id
            pending.replay = pending.replay or newer.replay
        self._waiting[pending.key] = pending

    def take(self, now: float, most: int) -> list[Pending]:
        """What is due, the oldest first, all of one object type and at most `most`; it no longer waits here."""
        due = sorted((p for p in self._waiting.values() if p.due <= now), key=lambda p: p.since)
        taken = [p for p in due if p.key[0] == due[0].key[0]][:most] if due else []
        for pending in taken:
            del self._waiting[pending.key]
        return taken

    def next_due(self) -> float | None:
        return min((p.due for p in self._waiting.values()), default=None)

    def drop_closed(self) -> None:
        """Forget objects whose every hint now belongs to another reader."""
        self._waiting = {key: pending for key, pending in self._waiting.items() if pending.wanted()}
