"""How far one table has been read, pure: the window of the next reading, and the rows of the overlap that are done.

A reading (scan) goes by rising identity over all rows modified since `through` less the overlap. Identities do not
change, so a row that is modified meanwhile is not passed over: it is in the rest of this scan or in the next one, which
begins at this one's start or earlier. `through` never passes Kentico's own clock at the start of the scan.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from connectors.kentico.errors import BadValue
from connectors.kentico.rest import Row
from connectors.kentico.times import moment, wall_from
from connectors.kentico.watched import Watched
from schemas.types import Mark

_PAIR = struct.Struct(">q8s")
# What is kept for a restart: 32 kB a table. Rows beyond are read once more, and nothing comes of it.
_KEPT = 2_000
# In memory; a job that rewrites more rows within the overlap has the oldest read again.
_MOST_SEEN = 100_000


@dataclass
class Scan:
    """A reading under way: `after` is the last identity that is done, `newest` the newest stamp met."""

    started: datetime
    after: int = 0
    newest: datetime | None = None


@dataclass
class Table:
    """One table's state. `seen`: identity → hash of the stamp it was produced with, and the scan that last met it."""

    through: datetime
    scan: Scan | None = None
    seen: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    scans: int = 0
    last_started: datetime | None = None  # of this process's last scan

    @classmethod
    def read(cls, mark: Mark) -> Table:
        """As it was written."""
        scan = mark["scan"]
        seen = {key: (stamp, 0) for key, stamp in _PAIR.iter_unpack(mark["seen"])}
        under_way = None if scan is None else Scan(scan["started"], scan["after"], scan["newest"])
        return cls(mark["through"], under_way, seen)

    def written(self) -> Mark:
        """As a record holds it."""
        kept = list(self.seen.items())[-_KEPT:]
        packed = b"".join(_PAIR.pack(key, stamp) for key, (stamp, _) in kept)
        scan = self.scan and {"started": self.scan.started, "after": self.scan.after, "newest": self.scan.newest}
        return {"through": self.through, "scan": scan, "seen": packed}  # type: ignore[typeddict-item]

    def condition(self, table: Watched, overlap: timedelta, zone: ZoneInfo) -> str:
        """The rows that are still to be read in this scan, as SQL."""
        after = self.scan.after if self.scan else 0
        return f"{table.stamp} >= '{wall_from(self.through - overlap, zone)}' AND {table.key} > {after}"

    def is_new(self, key: int, stamp: object) -> bool:
        """Whether this row was not produced as it is now; one that was counts as met."""
        known = self.seen.get(key)
        if known is None or known[0] != hashed(stamp):
            return True
        self.seen[key] = (known[0], self.scans)
        return False

    def done(self, key: int, stamp: object) -> None:
        """The row with this stamp is on Kafka, or its dead letter is."""
        self.seen.pop(key, None)
        self.seen[key] = (hashed(stamp), self.scans)
        if len(self.seen) > _MOST_SEEN:
            del self.seen[next(iter(self.seen))]

    def met(self, rows: list[tuple[int, datetime | None]]) -> None:
        """A page of the scan is done: identities and stamps. Stamps ahead of Kentico's clock say nothing of time."""
        scan = self.scan
        if scan is None:
            raise ValueError("no scan is under way")
        for key, at in rows:
            scan.after = max(scan.after, key)
            if at is not None and at <= scan.started + _AHEAD and (scan.newest is None or at > scan.newest):
                scan.newest = at

    def finish(self) -> None:
        """The scan has met every row of its window. The mark moves to the newest, or with time where nothing is newer:
        a clock that showed `through` at the last scan shows that much more at this one."""
        scan = self.scan
        if scan is None:
            raise ValueError("no scan is under way")
        passed = scan.started - self.last_started if self.last_started else timedelta(0)
        self.through = min(max(self.through + passed, scan.newest or self.through), scan.started)
        self.last_started = scan.started
        self.scan = None
        self.seen = {key: found for key, found in self.seen.items() if found[1] == self.scans}
        self.scans += 1


# Kentico's web servers may differ by some seconds from the one that answers us.
_AHEAD = timedelta(minutes=1)


def hashed(stamp: object) -> bytes:
    """Eight bytes that stand for a stamp as it was printed, whatever it is."""
    return hashlib.blake2b(repr(stamp).encode(), digest_size=8).digest()


def stamped_at(row: Row, table: Watched, zone: ZoneInfo, observed: datetime) -> datetime | None:
    """A row's modification time; None where it is no time."""
    try:
        return moment(row.get(table.stamp), zone, observed)
    except BadValue:
        return None
