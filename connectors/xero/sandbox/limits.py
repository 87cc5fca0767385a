"""Xero's call limits per app and organisation: 60 a minute, a day's count, 5 at once; and 10,000 a minute per app.

Windows are fixed and start at an offset of each tenant's own, so a client cannot guess the reset; `rolling` makes
them rolling. A refused call is not counted. The check stands before idempotency: a replay costs quota, a 429 writes
nothing and uses no key.
"""

from __future__ import annotations

import math
import zlib
from collections import deque
from dataclasses import dataclass, field

MINUTE, DAY = 60.0, 86_400.0


@dataclass
class Limits:
    """The numbers of one organisation. Day: 5,000 (Core and up) or 1,000 (Starter)."""

    minute: int = 60
    day: int = 5_000
    concurrent: int = 5


@dataclass
class Window:
    """Calls counted in a window of `length` seconds, fixed at `offset` or rolling."""

    length: float
    offset: float
    rolling: bool = False
    index: int = -1
    count: int = 0
    times: deque[float] = field(default_factory=deque)

    def used(self, now: float) -> int:
        """Calls in the window that `now` falls into."""
        if self.rolling:
            while self.times and self.times[0] <= now - self.length:
                self.times.popleft()
            return len(self.times)
        index = int((now - self.offset) // self.length)
        if index != self.index:
            self.index, self.count = index, 0
        return self.count

    def take(self, now: float) -> None:
        """Count one call."""
        self.used(now)
        if self.rolling:
            self.times.append(now)
        else:
            self.count += 1

    def reset_in(self, now: float) -> int:
        """Whole seconds until a call is possible again, at least 1."""
        if self.rolling:
            left = self.times[0] + self.length - now if self.times else 0.0
        else:
            left = (self.index + 1) * self.length + self.offset - now
        return max(1, math.ceil(left))


@dataclass(frozen=True)
class Refusal:
    """A 429: which limit, and the seconds to wait where Xero tells them (minute and day only)."""

    problem: str
    retry_after: int | None


class Meter:
    """Counts for every (app, organisation) pair."""

    def __init__(self, limits: dict[str, Limits], app_minute: int = 10_000, *, rolling: bool = False):
        self.limits = limits
        self.app_minute = app_minute
        self.rolling = rolling
        self._windows: dict[tuple[str, str, float], Window] = {}
        self._running: dict[tuple[str, str], int] = {}

    def window(self, app: str, org: str, length: float) -> Window:
        """The window of that pair; `org` is empty for the app's own."""
        key = (app, org, length)
        if key not in self._windows:
            offset = zlib.crc32(f"{app}/{org}/{length}".encode()) % int(length) if org else 0
            self._windows[key] = Window(length, float(offset), self.rolling)
        return self._windows[key]

    def enter(self, app: str, org: str, now: float) -> Refusal | None:
        """Take a call in, or say which limit refuses it. Every accepted call must `leave`."""
        limit = self.limits[org]
        minute, day, whole = self.window(app, org, MINUTE), self.window(app, org, DAY), self.window(app, "", MINUTE)
        if day.used(now) >= limit.day:
            return Refusal("day", day.reset_in(now))
        if minute.used(now) >= limit.minute:
            return Refusal("minute", minute.reset_in(now))
        if whole.used(now) >= self.app_minute:
            return Refusal("app-minute", None)
        if self._running.get((app, org), 0) >= limit.concurrent:
            return Refusal("concurrent", None)
        for one in (minute, day, whole):
            one.take(now)
        self._running[app, org] = self._running.get((app, org), 0) + 1
        return None

    def leave(self, app: str, org: str) -> None:
        """The call has been answered."""
        self._running[app, org] -= 1

    def headers(self, app: str, org: str, now: float) -> dict[str, str]:
        """The remaining-calls headers of every tenant reply."""
        limit = self.limits[org]
        left = {
            "X-DayLimit-Remaining": limit.day - self.window(app, org, DAY).used(now),
            "X-MinLimit-Remaining": limit.minute - self.window(app, org, MINUTE).used(now),
            "X-AppMinLimit-Remaining": self.app_minute - self.window(app, "", MINUTE).used(now),
        }
        return {name: str(max(0, value)) for name, value in left.items()}

    def set_rolling(self, rolling: bool) -> None:
        """Change the kind of window; counts start anew."""
        self.rolling = rolling
        self._windows.clear()

    def recall(self, app: str, org: str, at: float) -> None:
        """A call of before a restart, oldest first: Xero does not forget a minute because this process ended."""
        for length, name in ((MINUTE, org), (MINUTE, ""), *(((DAY, org),) if self.rolling else ())):
            self.window(app, name, length).take(at)

    def record(self, app: str, org: str) -> tuple[str, str, int, int]:
        """The day's count, which must survive a restart."""
        day = self.window(app, org, DAY)
        return app, org, day.index, day.count

    def restore(self, app: str, org: str, index: int, count: int) -> None:
        """Continue a stored day."""
        day = self.window(app, org, DAY)
        day.index, day.count = index, count
