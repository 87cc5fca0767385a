"""Reads the organisation's reference data through the lane's own budget and publishes what changed, COMPLETE last.

Guarantees: a mark moves only in the transaction that publishes the last row of its read, so a crash reads again and
skips nothing; until the contacts have been read once, no contact is created.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime

from connectors.xero import reference
from connectors.xero.calls import Answer, Call
from connectors.xero.core.desk import Desk
from connectors.xero.core.events import ReferenceRow
from connectors.xero.errors import ReferenceUnreadable

CONTACTS = "since:CONTACT"
_ALL = tuple(reference.kind_of(call) for call in reference.calls(None))
_RETRY = 5.0  # seconds after an answer that could not be used


class Refresh:
    """One kind at a time, one call at a time."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.read_at: dict[reference.Kind, float] = {}
        self._kinds: deque[reference.Kind] = deque()
        self._first: Call | None = None
        self._next: Call | None = None
        self._since: datetime | None = None
        self._rows: list[reference.Row] = []
        self._changed = False
        self._again = 0.0
        self._snapshot = ""

    def call(self) -> Call | None:
        """The next call to make, None when nothing is due."""
        now = self.desk.now
        if now.mono < self._again:
            return None
        if self._next is None and not self._kinds:
            self._kinds.extend(reference.due(self.read_at, now.mono, self.desk.settings.speed))
            self._snapshot = now.at.isoformat(timespec="seconds")
        if self._next is None and self._kinds:
            kind = self._kinds[0]
            mark = self.desk.ledger.mark(f"since:{kind}")
            since = datetime.fromisoformat(mark) if mark else None
            self._first = self._next = reference.calls(since, [kind])[0]
            self._rows, self._since = [], None
        return self._next

    def stale(self, kind: reference.Kind) -> None:
        """Xero has shown that what was read of it is out of date: it is read again now."""
        if kind in self.read_at:
            self.read_at[kind] = float("-inf")

    def wake(self) -> float:
        """When to ask again."""
        return max(self._again, reference.next_due(self.read_at, self.desk.settings.speed))

    def answered(self, call: Call, answer: Answer) -> None:
        """One page."""
        try:
            rows = reference.digest(call, answer)
            following = reference.follow(call, answer)
        except ReferenceUnreadable:
            self._next, self._again = None, self.desk.now.mono + _RETRY  # the kind is read again from its start
            return
        self._rows += rows
        self._since = self._since or reference.server_time(answer)
        self._next = following
        if following is None:
            self._kind_read()

    def failed(self, wait: float) -> None:
        """The call came to nothing."""
        self._again = self.desk.now.mono + wait

    def _kind_read(self) -> None:
        kind = self._kinds.popleft()
        whole = self._first is not None and reference.whole(self._first)
        if whole:
            known = {(kind, code): text for code, text in self.desk.ledger.reference(kind).items()}
        else:
            codes = {row.code for row in self._rows}
            rows = ((code, self.desk.ledger.reference_row(kind, code)) for code in codes)
            known = {(kind, code): text for code, text in rows if text is not None}
        changes = reference.changes(known, self._rows, [kind] if whole else [])
        for row in changes.rows:
            self._publish(row.kind, row.code, row.json)
        for gone_kind, code in changes.gone:
            self._publish(gone_kind, code, None)
        self._changed = self._changed or bool(changes.rows or changes.gone)
        self.desk.writing.marks[f"since:{kind}"] = (self._since or self.desk.now.at).isoformat()
        self._rows = []
        first_time = len(self.read_at) < len(_ALL)
        self.read_at[kind] = self.desk.now.mono
        if not self._kinds and len(self.read_at) == len(_ALL) and (self._changed or first_time):
            self._complete()

    def _complete(self) -> None:
        pending: dict[str, int] = {}
        for row in self.desk.writing.reference:
            pending[row.kind] = pending.get(row.kind, 0) + 1
        counts = {kind: max(pending.get(kind, 0), len(self.desk.ledger.reference(kind))) for kind in _ALL}
        self._publish("COMPLETE", "", reference.complete(counts).json)
        self._changed = False

    def _publish(self, kind: str, code: str, text: str | None) -> None:
        self.desk.writing.reference.append(ReferenceRow(kind, code, text, self._snapshot, self.desk.now.at))
