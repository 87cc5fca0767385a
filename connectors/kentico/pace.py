"""Spaces requests evenly, so that a shop's server is never asked more often than its owner allows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class Pace:
    """`await turn()` returns when the next request may go. None: at once, always."""

    def __init__(
        self, per_second: float | None, monotonic: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._gap = 0.0 if per_second is None else 1.0 / per_second
        self._monotonic = monotonic
        self._sleep = sleep
        self._next = 0.0

    async def turn(self) -> None:
        if not self._gap:
            return
        now = self._monotonic()
        mine = max(now, self._next)
        self._next = mine + self._gap
        if mine > now:
            await self._sleep(mine - now)
