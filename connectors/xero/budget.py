"""Xero's limits on calls, per organisation: may a call go now, or in how many seconds? Pure: time is passed in.

Guarantees, for calls of ours whose way to Xero varies by less than `jitter`: never more than `minute` in any minute,
wherever Xero's window begins and whether it is fixed or rolling; never more than `concurrent` in flight; writes and
reference reads leave `day_reserve` calls of the day alone. What others spend is learnt from the headers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from connectors.xero.calls import Answer

Kind = Literal["write", "read_back", "reference", "tool"]

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_BUSY = 0.02  # seconds after which to ask again while all five calls are in flight: below any answer's latency
_RATE_WINDOW = 6 * _HOUR  # the present rate: long enough that a backfill of minutes is not taken for a day's trade
_CHAIN = 3.0  # calls of a lone order (contact, invoice, payment): others leave these in the bucket
_LOOK = _HOUR  # with the day used up, look once an hour whether it has begun anew: its reset is not announced
_FIRST_BACKOFF = {"minute": 10.0, "day": _HOUR, "concurrent": 0.5, "app": 5.0}  # seconds, first back-off
_MAX_BACKOFF = {"minute": 60.0, "day": _HOUR, "concurrent": 8.0, "app": 60.0}
# Older documents wrote Daily and Minute; app-minute holds "minute" too, so it is looked for first.
_PROBLEMS = (("app", "app"), ("concurrent", "concurrent"), ("day", "day"), ("dail", "day"), ("minute", "minute"))
_NOTHING = 1e-9  # floats: less than this is none
_APP_FLOOR = 20  # of 10,000: other organisations' lanes are reading the same header at the same time


@dataclass(frozen=True)
class Limits:
    """What may be used. Times in seconds as Xero counts them; `speed`: the sandbox's clock runs this much faster."""

    minute: int = 60
    day: int = 5000  # only until the first X-DayLimit-Remaining
    concurrent: int = 5
    day_reserve: int = 100  # for read-backs and tools
    tool_day: int = 500  # what tools such as the reconciler may use of a day
    burst: int = 6  # at once: two lone orders' chains
    jitter: float = 1.0  # real seconds by which the way to Xero may differ between two calls
    speed: float = 1.0

    def __post_init__(self) -> None:
        if self.minute < 1 or self.day < 1 or self.concurrent < 1 or self.speed <= 0:
            raise ValueError("minute, day, concurrent and speed must be positive")


@dataclass(frozen=True)
class Snapshot:
    """For metrics and the console. `day_remaining` None: not known yet."""

    minute_available: int
    day_remaining: int | None
    in_flight: int
    wait: float  # seconds until a write may go
    reason: str  # why: "", unprobed, concurrent, minute, pace, day, spread, blocked:<minute|day|concurrent|app>
    spacing: float  # seconds between writes while the day is being spread, else 0
    probed: bool
    limited: int  # answers 429 so far


class Budget:
    """One organisation's. Not thread-safe: its lane owns it. `now` is monotonic seconds throughout."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self._minute = _Minute(limits, now)
        self._day = _Day(limits, now)
        self._in_flight = 0
        self._cap, self._cap_until = limits.concurrent, -math.inf
        self._blocked: dict[str, float] = {}  # problem -> until
        self._backoff: dict[str, int] = {}  # problem -> times in a row
        self._limited = 0

    def may_send(self, now: float, kind: Kind) -> float:
        """0: now; else the seconds after which to ask again (an answer may shorten it, so ask after each)."""
        return self.why(now, kind)[0]

    def why(self, now: float, kind: Kind) -> tuple[float, str]:
        """The wait and its reason: of several that hold, the longest."""
        blocked = [(until - now, f"blocked:{problem}") for problem, until in self._blocked.items() if until > now]
        if blocked:
            return max(blocked)
        cap = self._cap if now < self._cap_until else self.limits.concurrent
        unprobed = self._minute.unprobed(now)
        if self._in_flight >= cap or (unprobed is not None and self._in_flight):
            return _BUSY / self.limits.speed, "concurrent" if unprobed is None else "unprobed"
        if unprobed:
            return unprobed, "unprobed"
        waits = [(self._minute.full(now), "minute"), (self._minute.pace(now, kind), "pace"), self._day.wait(now, kind)]
        wait, reason = max(waits)
        return (wait, reason) if wait > 0 else (0.0, "")

    def sent(self, now: float, kind: Kind) -> None:
        """A call begins: it counts for a minute, a day, and as in flight until its answer."""
        self._minute.sent(now)
        self._day.sent(now, kind)
        self._in_flight += 1

    def answered(self, now: float, answer: Answer) -> None:
        """Every call that was `sent` ends here once, whatever became of it."""
        self._in_flight = max(0, self._in_flight - 1)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        minute, day, app = (_number(headers.get(f"x-{name}limit-remaining")) for name in ("min", "day", "appmin"))
        if minute is not None:
            self._minute.seen(now, int(minute), now - answer.elapsed, int(answer.status != 429))
        if day is not None:
            self._day.seen(now, int(day), self._in_flight)
        if app is not None and app <= _APP_FLOOR:
            self._blocked["app"] = now + _FIRST_BACKOFF["app"] / self.limits.speed
        if answer.status == 429:
            self._refused(now, headers)
        elif answer.status:
            self._backoff.clear()

    def probed(self, now: float) -> bool:
        """Whether the minute is known."""
        return self._minute.unprobed(now) is None

    def available(self, now: float) -> int:
        """Calls that may go now one after another: the minute's, and the day's while that is spread."""
        return min(self._minute.available(now), self._day.available(now))

    def next_call(self, now: float) -> float:
        """Seconds until the bucket holds one call more; infinite when it is full."""
        return self._minute.next_call(now)

    def snapshot(self, now: float) -> Snapshot:
        """For metrics."""
        wait, reason = self.why(now, "write")
        return Snapshot(
            minute_available=self._minute.available(now),
            day_remaining=self._day.known(now),
            in_flight=self._in_flight,
            wait=wait,
            reason=reason,
            spacing=self._day.spacing(now),
            probed=self._minute.unprobed(now) is None,
            limited=self._limited,
        )

    def _refused(self, now: float, headers: Mapping[str, str]) -> None:
        """A 429: wrote nothing and is nobody's failure. Retry-After comes with minute and day only (xero.md §1.2)."""
        self._limited += 1
        said = headers.get("x-rate-limit-problem", "minute").lower()
        problem = next((name for part, name in _PROBLEMS if part in said), "minute")
        times = self._backoff[problem] = self._backoff.get(problem, 0) + 1
        told = _number(headers.get("retry-after"))
        wait = told if told is not None else min(_MAX_BACKOFF[problem], _FIRST_BACKOFF[problem] * 2 ** (times - 1))
        until = now + wait / self.limits.speed + (self.limits.jitter if told is not None else 0.0)
        self._blocked[problem] = max(until, self._blocked.get(problem, until))
        if problem == "concurrent":  # somebody else is calling for this organisation too
            self._cap, self._cap_until = max(1, self._in_flight), now + _MINUTE / self.limits.speed
        elif told is not None and problem in ("minute", "day"):
            self._minute.probe_from(until)
            if problem == "day":
                self._day.resets_at(until)


class _Minute:
    """The minute: a log of our sends is the guarantee, a token bucket the pace, foreign calls come from the header."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limit = limits.minute
        self._whole, self._jitter = _MINUTE / limits.speed, limits.jitter
        self._window = self._whole + self._jitter
        self._burst = min(float(limits.burst), max(1.0, limits.minute / 2))
        # burst + rate x window <= minute: no window, wherever it begins, can hold more.
        self._rate = max(limits.minute - self._burst, 0.5) / self._window
        self._tokens, self._filled = self._burst, now
        self._recent: deque[float] = deque()
        self._foreign, self._foreign_until = 0, -math.inf
        self._known_from = now + self._window  # by then whatever a former owner sent has left every window
        self._freed = self._probe_at = -math.inf

    def unprobed(self, now: float) -> float | None:
        """None once the minute is known; before, the seconds until the next probe: alone, and not one after another."""
        if now >= self._known_from:
            return None
        return max(0.0, min(self._probe_at + self._window / 12, self._known_from) - now)

    def full(self, now: float) -> float:
        """Seconds until one more call fits into every window."""
        self._roll(now)
        foreign = self._foreign if now < self._foreign_until else 0
        over = len(self._recent) + foreign - self._limit  # >= 0: no room
        if over < 0:
            return 0.0
        ours = self._recent[over] + self._window if over < len(self._recent) else math.inf
        return max(0.001, min(ours, self._foreign_until if foreign else math.inf) - now)

    def pace(self, now: float, kind: Kind) -> float:
        """Seconds until the bucket has a call for this kind."""
        self._roll(now)
        left_for_orders = min(_CHAIN, self._burst - 1.0) if kind in ("reference", "tool") else 0.0
        missing = 1.0 + left_for_orders - self._tokens
        return missing / self._rate if missing > _NOTHING else 0.0

    def sent(self, now: float) -> None:
        self._roll(now)
        self._tokens -= 1.0
        self._recent.append(now)
        self._probe_at = now

    def seen(self, now: float, remaining: int, sent: float, itself: int) -> None:
        self._roll(now)
        # Xero's number is of when the call `sent` then arrived, `itself` in it unless it was refused. Calls sent after
        # it are not in the number, and those for which the way decides are supposed not to be.
        begin, end = sent - self._whole + self._jitter, sent - self._jitter
        counted = min(len(self._recent), itself + sum(1 for at in self._recent if begin < at < end))
        # What our own sends do not explain is somebody else's, and out of every window a minute from now.
        self._foreign = max(0, self._limit - remaining - counted)
        self._foreign_until = now + self._window
        if sent >= self._freed:
            self._known_from = min(self._known_from, now)

    def probe_from(self, when: float) -> None:
        """Xero's word for when one more call is possible: all of a fixed window's then, of a rolling one's perhaps just
        that one. So it goes alone, and its header tells."""
        self._foreign_until = min(self._foreign_until, when)
        self._freed, self._known_from = when, when + self._window

    def available(self, now: float) -> int:
        self._roll(now)
        foreign = self._foreign if now < self._foreign_until else 0
        return max(0, min(self._limit - foreign - len(self._recent), math.floor(self._tokens + _NOTHING)))

    def next_call(self, now: float) -> float:
        self._roll(now)
        missing = math.floor(self._tokens + _NOTHING) + 1 - self._tokens
        return missing / self._rate if self._tokens + missing <= self._burst + _NOTHING else math.inf

    def _roll(self, now: float) -> None:
        while self._recent and self._recent[0] <= now - self._window:
            self._recent.popleft()
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled) * self._rate)
        self._filled = max(self._filled, now)


class _Day:
    """The day: trusts the last number seen less what was sent since, keeps the reserve, spreads when calls are few."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._length = _DAY / limits.speed
        self._ours: deque[float] = deque()  # sends of a day, for the time before a header
        self._trade: deque[float] = deque()  # writes and reference reads of the last six hours: the present rate
        self._tools: deque[float] = deque()
        self._seen: tuple[float, int] | None = None  # when, and how many remained
        self._since = 0  # sends that the number seen may not hold yet
        self._most = 0  # the most that ever remained: the plan's day, nearly
        self._begins: float | None = None  # when a fixed window is next thought to begin
        self._told: float | None = None  # when Xero said that calls are possible again
        self._looked = -math.inf
        self._bucket, self._filled = _CHAIN, now

    def wait(self, now: float, kind: Kind) -> tuple[float, str]:
        """Seconds until the day allows this kind, and why not yet."""
        self._roll(now)
        if kind == "tool" and len(self._tools) >= self._limits.tool_day:
            return self._tools[0] + self._length - now, "day"
        if self._usable(now, kind) <= 0:
            look = self._looked + _LOOK / self._limits.speed
            begins = self._begins if self._begins is not None and self._begins > self._looked else math.inf
            return max(0.0, min(look, begins) - now), "day"
        spacing = self.spacing(now) if kind in ("write", "reference") else 0.0
        missing = 1.0 - self._bucket
        return (missing * spacing, "spread") if spacing > 0 and missing > _NOTHING else (0.0, "")

    def sent(self, now: float, kind: Kind) -> None:
        self._roll(now)
        self._bucket = max(0.0, self._bucket - 1.0)
        self._ours.append(now)
        self._since += 1
        if kind in ("write", "reference"):
            self._trade.append(now)
        if kind == "tool":
            self._tools.append(now)
        if self._usable(now, "write") <= 0:
            self._looked = now

    def seen(self, now: float, remaining: int, in_flight: int) -> None:
        self._roll(now)
        rise = remaining - self._remaining(now)
        if self._seen is not None and rise > 0.1 * self._most and remaining > 0.95 * self._most:
            self._begins = now + self._length  # nearly full again at once: a fixed window has begun
        if self._seen is None:
            self._looked = now
        self._most = max(self._most, remaining)
        self._seen = (now, remaining)
        self._since = in_flight  # they may be in the number or not: suppose not

    def resets_at(self, when: float) -> None:
        self._begins = self._told = when

    def known(self, now: float) -> int | None:
        return self._remaining(now) if self._seen is not None else None

    def spacing(self, now: float) -> float:
        """Seconds between two calls while the day has to last; 0 while calls are plenty."""
        usable = self._usable(now, "write")
        if usable <= 0:
            return 0.0
        left = self._begins - now if self._begins is not None and self._begins > now else self._length
        need = len(self._trade) / (_RATE_WINDOW / self._limits.speed) * left
        return 0.0 if usable >= need else left / usable

    def available(self, now: float) -> int:
        self._roll(now)
        return int(self._bucket + _NOTHING) if self.spacing(now) > 0 else self._limits.minute

    def _usable(self, now: float, kind: Kind) -> int:
        reserve = self._limits.day_reserve
        kept = {"write": reserve, "reference": reserve, "tool": reserve // 2, "read_back": 0}[kind]
        return self._remaining(now) - kept

    def _remaining(self, now: float) -> int:
        if self._seen is None or now - self._seen[0] >= self._length:
            return self._limits.day - len(self._ours)
        return self._seen[1] - self._since

    def _roll(self, now: float) -> None:
        if self._told is not None and now >= self._told:
            self._told = self._seen = None  # a new day by Xero's word: the old number no longer counts
            self._ours.clear()
        for log, age in ((self._ours, self._length), (self._tools, self._length)):
            while log and log[0] <= now - age:
                log.popleft()
        while self._trade and self._trade[0] <= now - _RATE_WINDOW / self._limits.speed:
            self._trade.popleft()
        spacing = self.spacing(now)
        gained = max(0.0, now - self._filled) / spacing if spacing > 0 else _CHAIN
        self._bucket = min(_CHAIN, self._bucket + gained)
        self._filled = max(self._filled, now)


def _number(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
