"""What one partition of a parked topic still holds, as offsets: bounded whatever waits. Pure.

Records of many organisations lie mixed on it. An organisation's records are unfed from its own offset on; those of an
organisation that is not listed, from `frontier` on. So one that waits for a week holds up nobody else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

# Brokers refuse more than offset.metadata.max.bytes = 4,096; without the metadata a restart feeds some records twice.
_METADATA_LIMIT = 4000


@dataclass(slots=True)
class Waiting:
    """`first`: no unfed record of the organisation lies before it. For the gauge: `seen` records before the frontier,
    and those `expected` behind it."""

    first: int
    seen: int = 0
    expected: int = 0


@dataclass(slots=True)
class Shelf:
    """One partition. `frontier`: every record before it has been seen; `scanned`: it reached the end once."""

    topic: str
    partition: int
    frontier: int
    scanned: bool = False
    waiting: dict[str, Waiting] = field(default_factory=dict)

    def holds(self, org: str) -> bool:
        """Whether an unfed record of `org` may lie here, so that a newer one must go behind it."""
        return not self.scanned or org in self.waiting

    def expect(self, org: str) -> None:
        """A record of `org` is about to be parked at the end."""
        self.waiting.setdefault(org, Waiting(self.frontier)).expected += 1

    def unfed(self, org: str) -> int:
        """How many records of `org` wait here, as far as is known."""
        waiting = self.waiting.get(org)
        return waiting.seen + waiting.expected if waiting else 0

    def is_fed(self, org: str, offset: int) -> bool:
        """Whether the record of `org` at `offset` was given back already."""
        waiting = self.waiting.get(org)
        return offset < (self.frontier if waiting is None else waiting.first)

    def start_for(self, orgs: set[str]) -> int:
        """Where to begin reading so that no unfed record of `orgs`, nor an unseen one, is missed."""
        return min([self.frontier, *(self.waiting[org].first for org in orgs if org in self.waiting)])

    @property
    def committed(self) -> int:
        """The offset that may be committed: everything before it is fed."""
        return min([self.frontier, *(waiting.first for waiting in self.waiting.values())])

    def metadata(self) -> str:
        """The state as commit metadata, so that a restart feeds nothing twice; empty where it would be too long."""
        state = {"frontier": self.frontier, "waiting": {org: [w.first, w.seen] for org, w in self.waiting.items()}}
        text = json.dumps(state, separators=(",", ":"))
        return text if len(text.encode()) <= _METADATA_LIMIT else ""


def restored(topic: str, partition: int, committed: int, metadata: str | None, end: int) -> Shelf:
    """The shelf as it was committed; `end` is the partition's end now. Metadata that does not read is done without."""
    frontier, waiting = committed, {}
    try:
        state = json.loads(metadata or "{}")
        if state:
            frontier = int(state["frontier"])
            waiting = {str(org): Waiting(int(first), int(seen)) for org, (first, seen) in state["waiting"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        frontier, waiting = committed, {}
    return Shelf(topic, partition, frontier, scanned=frontier >= end, waiting=waiting)
