"""The sandbox's own time: it can run faster than the world, be moved forward, and survives a restart without going
back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from connectors.xero.sandbox.errors import SettingRefused


@dataclass
class Clock:
    """Sandbox seconds since the epoch = `anchor` + (real − `real_anchor`) × `speed`.

    `speed` 0 freezes it. `real` gives real seconds and is a parameter so that tests need not wait.
    """

    speed: float = 1.0
    real: Callable[[], float] = time.time
    anchor: float = field(default=-1.0)
    real_anchor: float = field(default=-1.0)

    def __post_init__(self) -> None:
        if self.real_anchor < 0:
            self.real_anchor = self.real()
        if self.anchor < 0:
            self.anchor = self.real_anchor

    def time(self) -> float:
        """Seconds since the epoch, sandbox time."""
        return self.anchor + (self.real() - self.real_anchor) * self.speed

    def ms(self) -> int:
        """Milliseconds since the epoch, sandbox time."""
        return int(self.time() * 1000)

    def now(self) -> datetime:
        """Aware UTC time."""
        return datetime.fromtimestamp(self.time(), UTC)

    def today(self, zone: ZoneInfo) -> date:
        """The organisation's calendar day."""
        return self.now().astimezone(zone).date()

    def change(self, *, advance: float = 0.0, speed: float | None = None, to: datetime | None = None) -> None:
        """Move forward by `advance` seconds or to `to`, and set the speed.

        Going back would break every window: refused.
        """
        current = self.time()
        target = to.timestamp() if to is not None else current + advance
        if target < current:
            raise SettingRefused(f"the clock cannot go back from {self.now().isoformat()}; advance it instead")
        if speed is not None and not 0 <= speed <= 10_000:
            raise SettingRefused(f"clock speed {speed} is outside 0 to 10000")
        self.anchor, self.real_anchor = target, self.real()
        self.speed = self.speed if speed is None else speed

    async def sleep(self, sandbox_seconds: float) -> None:
        """Wait that long by this clock; a frozen clock does not wait."""
        if sandbox_seconds > 0 and self.speed > 0:
            await asyncio.sleep(sandbox_seconds / self.speed)

    def record(self) -> dict[str, float]:
        """What the store keeps."""
        return {"anchor": self.anchor, "real_anchor": self.real_anchor, "speed": self.speed}

    def restore(self, record: dict[str, float]) -> None:
        """Continue a stored clock; the time the sandbox was down passes at the stored speed, and never backwards."""
        self.anchor, self.real_anchor = record["anchor"], min(record["real_anchor"], self.real())
        self.speed = record["speed"]


def midnight_ms(day: date) -> int:
    """Midnight UTC of the day in milliseconds: how Xero writes days."""
    return (day - date(1970, 1, 1)) // timedelta(days=1) * 86_400_000
