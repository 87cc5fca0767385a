"""The tools' share of Xero's calls, per organisation: may a call go now, and if not, when? Pure: time is passed in.

Guarantees: at most `minute` calls in any minute and `day` in any day are the tools', whatever Xero still has; none once
Xero says that no more than the sink's reserve is left. The day's calls are remembered between runs.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
# Without Retry-After (concurrent, app-minute) Xero leaves the wait to the caller (xero.md §1.2).
_BACKOFF = {"concurrent": 1.0, "app-minute": 20.0}


@dataclass(frozen=True)
class Share:
    """What tools may use of an organisation's calls. `speed`: the sandbox's clock runs this much faster than ours."""

    minute: int = 20
    day: int = 500
    minute_reserve: int = 10
    day_reserve: int = 100
    speed: float = 1.0


@dataclass(frozen=True)
class Wait:
    """Not yet: how many seconds, and why. `long`: more than a moment's pacing, so a person should know."""

    seconds: float
    why: str

    @property
    def long(self) -> bool:
        return self.seconds > 2 * _MINUTE


class Spent:
    """How many calls the tools have made in each hour of the last day; `path` None: not kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._hours: dict[int, int] = {}
        if path is not None and path.exists():
            try:
                self._hours = {int(hour): int(calls) for hour, calls in json.loads(path.read_text("utf-8")).items()}
            except (ValueError, AttributeError):
                self._hours = {}  # cut off by a crash: Xero's own headers still keep the reserve

    def add(self, now: float) -> None:
        """One call at this Unix time."""
        hour = int(now // _HOUR)
        self._hours[hour] = self._hours.get(hour, 0) + 1
        self._hours = {h: calls for h, calls in self._hours.items() if h > hour - 24}
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(self._hours), "utf-8")
            new.replace(self._path)

    def today(self, now: float) -> int:
        """Calls of the 24 hours before."""
        return sum(calls for hour, calls in self._hours.items() if hour > now // _HOUR - 24)

    def frees_at(self, now: float, limit: int) -> float:
        """When fewer than `limit` calls will lie within a day."""
        left = self.today(now)
        for hour in sorted(h for h in self._hours if h > now // _HOUR - 24):
            left -= self._hours[hour]
            if left < limit:
                return (hour + 24) * _HOUR
        return now + _DAY


class Pace:
    """One organisation's. `now` is Unix seconds of this machine; Xero's seconds are shorter by `speed`."""

    def __init__(self, share: Share, spent: Spent) -> None:
        self._share = share
        self._spent = spent
        self._recent: deque[float] = deque()
        self._until, self._why = 0.0, ""

    def wait(self, now: float) -> Wait | None:
        """None: go."""
        minute = _MINUTE / self._share.speed
        while self._recent and self._recent[0] <= now - minute:
            self._recent.popleft()
        if self._until > now:
            return Wait(self._until - now, self._why)
        if self._spent.today(now) >= self._share.day:
            why = f"the tools' {self._share.day} calls of the day are used (xero.tools.day)"
            return Wait(self._spent.frees_at(now, self._share.day) - now, why)
        if len(self._recent) >= self._share.minute:
            return Wait(self._recent[0] + minute - now, "the tools' calls of the minute are used")
        return None

    def sent(self, now: float) -> None:
        self._recent.append(now)
        self._spent.add(now)

    def answered(self, now: float, status: int, headers: Mapping[str, str]) -> None:
        """Headers in lower case."""
        left_minute = _whole(headers.get("x-minlimit-remaining"))
        left_day = _whole(headers.get("x-daylimit-remaining"))
        if status == 429:
            problem = headers.get("x-rate-limit-problem", "").lower() or "minute"
            told = _whole(headers.get("retry-after"))
            wait = float(told) if told is not None else _BACKOFF.get(problem, _MINUTE if problem != "day" else _HOUR)
            self._hold(now, wait, f"Xero's {problem} limit is reached")
        elif left_day is not None and left_day <= self._share.day_reserve:
            # When the day begins anew is not told; an hour later is worth another look.
            self._hold(now, _HOUR, f"{left_day} of Xero's calls of the day are left, and the sink keeps them")
        elif left_minute is not None and left_minute <= self._share.minute_reserve:
            self._hold(now, _MINUTE, f"{left_minute} of Xero's calls of the minute are left, and the sink keeps them")

    def _hold(self, now: float, seconds: float, why: str) -> None:
        self._until, self._why = now + seconds / self._share.speed, why


def _whole(text: str | None) -> int | None:
    try:
        return max(0, int(float(text))) if text else None
    except ValueError:
        return None
