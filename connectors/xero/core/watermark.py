"""The offset up to which everything is finished: what may be committed, and never more (DESIGN §3.1)."""

from __future__ import annotations

from collections import deque


class Watermark:
    """`offset` is the next unfinished record. Records come in ascending offsets, with gaps where the topic has them."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self._end = offset
        self._order: deque[int] = deque()
        self._open: set[int] = set()

    def opened(self, offset: int) -> bool:
        """A record has come. False if it came before."""
        if offset < self._end:
            return False
        self._order.append(offset)
        self._open.add(offset)
        self._end = offset + 1
        return True

    def finished(self, offset: int) -> None:
        """Its outcome stands in the transaction that is being written."""
        self._open.discard(offset)
        while self._order and self._order[0] not in self._open:
            self._order.popleft()
        self.offset = self._order[0] if self._order else self._end

    @property
    def unfinished(self) -> int:
        return len(self._open)
