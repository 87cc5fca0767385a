"""Time: a heap of what happens next. Nothing reads a clock: a run is as fast as the machine and repeats exactly."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Todo = Callable[[], object]
EPOCH = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)  # when `now` was 0
EPOCH_SECONDS = EPOCH.timestamp()


class Loop:
    """`now` in seconds. Of two things at the same time, the one that was asked for first comes first."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self._heap: list[tuple[float, int, Todo]] = []
        self._asked = 0

    def after(self, delay: float, todo: Todo) -> None:
        self._asked += 1
        heapq.heappush(self._heap, (self.now + delay, self._asked, todo))

    def at(self, when: float, todo: Todo) -> None:
        self.after(max(0.0, when - self.now), todo)

    def run(self, over: Callable[[], bool], limit: float) -> bool:
        """Until `over`, asked after each step, or until the time `limit`; False if that came first."""
        heap, pop = self._heap, heapq.heappop
        while heap:
            if heap[0][0] > limit:
                break
            self.now, _, todo = pop(heap)
            self.events += 1
            todo()
            if over():
                return True
        self.now = max(self.now, limit)
        return False

    def utc(self, shift: float = 0.0) -> datetime:
        """The wall clock of somebody whose clock is `shift` seconds ahead."""
        return EPOCH + timedelta(seconds=self.now + shift)
