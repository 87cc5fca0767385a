"""Where everybody stood before the topics were read, and so what may still be on its way. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from k2x.audit.facts import CommandSeen

LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Standpoint:
    """Offsets are the next to be handled; a missing one is 0.

    `grace`: what came since then may be on its way. `lapse`: when a call of an open intention has surely ended.
    `silence`: how long a lane with work may say nothing. `margin`: how long after its close a summary may take.
    `lanes`, `workers_at`, `reader_at`: their last words.
    """

    now: datetime
    grace: timedelta
    lapse: timedelta
    silence: timedelta
    read: Mapping[int, int] = field(default_factory=dict)
    hinted: Mapping[int, int] = field(default_factory=dict)
    taken: Mapping[str, int] = field(default_factory=dict)
    lanes: Mapping[str, datetime] = field(default_factory=dict)
    workers_at: datetime = LONG_AGO
    reader_at: datetime = LONG_AGO
    margin: timedelta = timedelta(hours=6)

    def silent(self, org: str, since: datetime) -> bool:
        """Whether an organisation's sink, with work since then, has said nothing for too long."""
        return self.now - max(self.lanes.get(org, since), since) > self.silence

    def before(self, command: CommandSeen) -> bool:
        """Whether the sink is still to handle it."""
        return command.offset >= self.taken.get(command.org, 0)

    def recent(self, at: datetime) -> bool:
        return self.now - at <= self.grace
