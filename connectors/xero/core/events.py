"""What the lane is told and what it wants done: the only words between the pure core and the world.

Every event comes with the Moment it is handled at; the core reads no clock of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from connectors.xero.calls import Answer, Call
from schemas.letters import Headers
from schemas.types import Command, LedgerEntry, Result


@dataclass(frozen=True, slots=True)
class Moment:
    """`mono`: seconds on this machine's monotonic clock, for waits; `at`: aware UTC time, for what is written down."""

    mono: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Restored:
    """The ledger has been read to its end, after the fence. `offset`: the next command to come."""

    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the command topic. `command` None: it cannot be read, and `problem` says why."""

    offset: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    command: Command | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """A Send has ended."""

    call_id: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class Committed:
    """A Transact is on the log, and in the local copy."""

    tx: int


@dataclass(frozen=True, slots=True)
class Aborted:
    """A Transact certainly did not happen and may be tried again."""

    tx: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """The organisation now belongs to somebody else: nothing more may leave."""


Event = Restored | Record | Answered | Committed | Aborted | Tick | Revoked


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: key and value bytes as they came."""

    key: bytes | None
    value: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """A row of xero.reference.v1: `value` None takes it away. `document` is its canonical JSON."""

    kind: str
    code: str
    document: str | None
    snapshot: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Transact:
    """One transaction: all of it or nothing. An entry of None takes the key out of the ledger."""

    tx: int
    entries: Mapping[str, LedgerEntry | None]
    results: tuple[Result, ...] = ()
    letters: tuple[Letter, ...] = ()
    reference: tuple[ReferenceRow, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)  # local only: how far reference data has been read
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """One call. No byte may leave after `send_by` (monotonic); `same_token`: with this token or not at all."""

    call_id: int
    call: Call
    send_by: float | None = None
    same_token: str | None = None
    documents: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """No more records, please."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Records are welcome again."""


@dataclass(frozen=True, slots=True)
class Wake:
    """Send a Tick at this monotonic time, if nothing happens before."""

    at: float


@dataclass(frozen=True, slots=True)
class Close:
    """The lane is over."""

    reason: str


Action = Transact | Send | Pause | Resume | Wake | Close


@dataclass(frozen=True, slots=True)
class IndexedContact:
    """A contact as Xero's list shows it."""

    id: str
    number: str | None
    name: str
    email: str | None
    active: bool


class LedgerView(Protocol):
    """The local copy of the ledger and of the reference data: synchronous look-ups, changed only by transactions."""

    def get(self, key: str) -> LedgerEntry | None:
        """A document's state."""

    def holder(self, kind: str, number: str) -> str | None:
        """The key of the document that has this number."""

    def scan(self, prefix: str, after: str, limit: int) -> list[LedgerEntry]:
        """Entries whose keys begin so and come after `after`, in the order of their keys."""

    def waiting(self, before: datetime, after: tuple[datetime, str] | None, limit: int) -> list[tuple[datetime, str]]:
        """(retry_at, key) of WAITING entries with a command that are due at `before`, in this order."""

    def next_waiting(self, after: datetime = ...) -> datetime | None:
        """The earliest retry_at of a WAITING entry that is later than `after`."""

    def contact_by_number(self, number: str) -> IndexedContact | None:
        """An active contact of the index."""

    def contacts_by_email(self, email: str) -> list[IndexedContact]:
        """All active contacts with this e-mail (any case)."""

    def name_taken(self, name: str, number: str) -> bool:
        """An active contact of another number has this name (any case): Xero would refuse it."""

    def learn(self, contact: IndexedContact) -> None:
        """A contact that we have just written, before the index is read again."""

    def reference(self, kind: str) -> Mapping[str, str]:
        """Published rows of a kind: canonical JSON by code."""

    def reference_row(self, kind: str, code: str) -> str | None:
        """One published row's canonical JSON."""

    def mark(self, name: str) -> str | None:
        """A mark of a former transaction."""


class BudgetPort(Protocol):
    """connectors.xero.budget.Budget, as the core uses it."""

    limits: Any

    def may_send(self, now: float, kind: Any) -> float: ...

    def sent(self, now: float, kind: Any) -> None: ...

    def answered(self, now: float, answer: Answer) -> None: ...

    def probed(self, now: float) -> bool: ...

    def available(self, now: float) -> int: ...

    def next_call(self, now: float) -> float: ...

    def snapshot(self, now: float) -> Any: ...
