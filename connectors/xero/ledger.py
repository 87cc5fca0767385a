"""The local copy of one organisation's ledger and reference data, in SQLite: fast look-ups, flat memory.

Guarantees: it changes only with committed transactions and with what is read from the ledger topic; it carries the
topic's identity and offset, so a copy of another topic is thrown away and a good one needs only the tail. It may be
lost at any time: the topic is the truth.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import cast

from connectors.xero import ledger_file
from connectors.xero.core.events import IndexedContact, ReferenceRow, Transact
from schemas.codec import Codec
from schemas.types import LedgerEntry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTED = timedelta(days=40)  # posted invoices are counted by day so long: a month, and some to spare
_ROW = "INSERT INTO ledger(key, kind, number, retry_at, value) VALUES(?, ?, ?, ?, ?)"
_UPSERT = _ROW + (
    " ON CONFLICT(key) DO UPDATE SET kind = excluded.kind, number = excluded.number, retry_at = excluded.retry_at,"
    " value = excluded.value"
)
_Row = tuple[str, str | None, str | None, int | None, bytes | None]


class LedgerStore:
    """Used by one thread at a time. `path` None keeps everything in memory (tests, simulation)."""

    def __init__(self, path: Path | None, codec: Codec) -> None:
        self._codec = codec
        self._path = path
        self._db = ledger_file.open_file(path)
        self._cold = False

    def close(self) -> None:
        if self._cold:
            ledger_file.discard(self._db, self._path)
        else:
            self._db.close()

    # -- the topic ----------------------------------------------------------------------------------------------

    def resume_from(self, identity: str, low: int, high: int) -> int:
        """The ledger offset to `load` from. Another topic, or one shorter than the copy: everything is read anew.

        A copy of any age is as good: nothing is ever taken out of the ledger (Desk.clear), so compaction leaves the
        last word about every document behind the copy's offset, however long ago that was.
        """
        same = self.mark("identity") == f"{ledger_file.VERSION} {identity}"
        offset = int(self.mark("offset") or 0)
        if same and low <= offset <= high:
            return offset
        posted = dict(self._db.execute("SELECT name, value FROM marks WHERE name LIKE 'posted:%'").fetchall())
        self._db.close()
        self._db, self._cold = ledger_file.begin(self._path), True
        self._set(self._db, posted)
        self._set(self._db, {"identity": f"{ledger_file.VERSION} {identity}", "offset": str(low)})
        return low

    def load(self, records: Iterable[tuple[str, bytes | None]], offset: int) -> None:
        """Records of the topic, in order, and the offset after them."""
        rows = [self._row(key, value) for key, value in records]
        with _Transaction(self._db) as db:
            if self._cold:
                db.executemany(_ROW, rows)
            else:
                last = {row[0]: row for row in rows}
                db.executemany(_UPSERT, [row for row in last.values() if row[4] is not None])
                db.executemany("DELETE FROM ledger WHERE key = ?", [(k,) for k, row in last.items() if row[4] is None])
            self._set(db, {"offset": str(offset)})

    def loaded(self) -> None:
        """The topic has been read to its end: from now on the copy may be asked."""
        if self._cold:
            self._db, self._cold = ledger_file.finish(self._db, self._path), False

    def _row(self, key: str, value: bytes | None) -> _Row:
        """Only what the columns need is decoded: a million entries must be read within a minute."""
        if value is None:
            return key, None, None, None, None
        head = self._codec.head(value, "number")
        retry = None
        if head["state"] == "WAITING":
            retry = _retry(cast(LedgerEntry, self._codec.decode(value)))
        return key, head["kind"], head["number"], retry, value

    def apply(
        self, done: Transact, values: Mapping[str, bytes | None] | None = None, offset: int | None = None
    ) -> None:
        """A committed transaction of ours. `values`: the entries' bytes on the topic, and what the log has added of its
        own; `offset`: after them."""
        own = [self._row(key, value) for key, value in (values or {}).items() if key not in done.entries]
        with _Transaction(self._db) as db:
            db.executemany(_UPSERT, own)
            for key, entry in done.entries.items():
                if entry is None:
                    db.execute("DELETE FROM ledger WHERE key = ?", (key,))
                    continue
                value = (values or {}).get(key) or self._codec.encode("ledger", entry)
                db.execute(_UPSERT, (key, entry["kind"], entry["number"], _retry(entry), value))
            for row in done.reference:
                _put_reference(db, row)
            _count_posted(db, done)
            marks = dict(done.marks)
            if offset is not None:
                marks["offset"] = str(offset)
            self._set(db, marks)

    def _set(self, db: sqlite3.Connection, marks: Mapping[str, str]) -> None:
        db.executemany("INSERT OR REPLACE INTO marks(name, value) VALUES(?, ?)", marks.items())

    @property
    def empty(self) -> bool:
        """Nothing was ever written into this ledger."""
        return self._db.execute("SELECT 1 FROM ledger LIMIT 1").fetchone() is None

    # -- LedgerView ---------------------------------------------------------------------------------------------

    def get(self, key: str) -> LedgerEntry | None:
        """A document's state."""
        row = self._db.execute("SELECT value FROM ledger WHERE key = ?", (key,)).fetchone()
        return cast(LedgerEntry, self._codec.decode(row[0])) if row else None

    def holder(self, kind: str, number: str) -> str | None:
        """The key of the invoice that has this number (any case: Xero's own uniqueness ignores it)."""
        query = "SELECT key FROM ledger WHERE kind = 'invoice' AND number = ? AND kind = ? LIMIT 1"
        row = self._db.execute(query, (number, kind)).fetchone()
        return str(row[0]) if row else None

    def scan(self, prefix: str, after: str, limit: int) -> list[LedgerEntry]:
        """Entries whose keys begin so and come after `after`, in the order of their keys."""
        query = "SELECT value FROM ledger WHERE key > ? AND key < ? ORDER BY key LIMIT ?"
        rows = self._db.execute(query, (max(prefix, after), f"{prefix}\U0010ffff", limit)).fetchall()
        return [cast(LedgerEntry, self._codec.decode(row[0])) for row in rows]

    def waiting(self, before: datetime, after: tuple[datetime, str] | None, limit: int) -> list[tuple[datetime, str]]:
        """(retry_at, key) of waiting entries that are due, in this order."""
        since, key = (_micros(after[0]), after[1]) if after else (-1, "")
        rows = self._db.execute(
            "SELECT retry_at, key FROM ledger WHERE retry_at IS NOT NULL AND retry_at <= ? "
            "AND (retry_at, key) > (?, ?) ORDER BY retry_at, key LIMIT ?",
            (_micros(before), since, key, limit),
        )
        return [(_EPOCH + timedelta(microseconds=at), found) for at, found in rows]

    def next_waiting(self, after: datetime = _EPOCH) -> datetime | None:
        """When the first waiting entry is due, of those that are due later than `after`."""
        query = "SELECT min(retry_at) FROM ledger WHERE retry_at IS NOT NULL AND retry_at > ?"
        row = self._db.execute(query, (_micros(after),)).fetchone()
        return _EPOCH + timedelta(microseconds=row[0]) if row and row[0] is not None else None

    def entries(self) -> Iterator[LedgerEntry]:
        """All of them, by key."""
        for row in self._db.execute("SELECT value FROM ledger ORDER BY key"):
            yield cast(LedgerEntry, self._codec.decode(row[0]))

    def counts(self) -> dict[str, int]:
        """How many documents wait, and how many there are, for metrics."""
        waiting = self._db.execute("SELECT count(*) FROM ledger WHERE retry_at IS NOT NULL").fetchone()[0]
        return {"waiting": int(waiting)}

    def posted_since(self, day: date) -> int:
        """Invoices posted from that day on (UTC), as far as this copy was there; of the last 40 days."""
        query = "SELECT sum(CAST(value AS INTEGER)) FROM marks WHERE name >= ? AND name < 'posted;'"
        return int(self._db.execute(query, (f"posted:{day.isoformat()}",)).fetchone()[0] or 0)

    def contact_by_number(self, number: str) -> IndexedContact | None:
        """An active contact."""
        row = self._db.execute("SELECT document FROM reference WHERE number = ? AND active", (number,)).fetchone()
        if row is not None:
            return _contact(row[0])
        found = self._db.execute("SELECT id, number, name, email FROM learned WHERE number = ?", (number,)).fetchone()
        return _learned(found) if found else None

    def contacts_by_email(self, email: str) -> list[IndexedContact]:
        """All active ones."""
        rows = self._db.execute("SELECT document FROM reference WHERE email = ? AND active", (email.strip(),))
        found = {contact.id: contact for contact in (_contact(row[0]) for row in rows)}
        for row in self._db.execute("SELECT id, number, name, email FROM learned WHERE email = ?", (email.strip(),)):
            found.setdefault(row[0], _learned(row))
        return list(found.values())

    def name_taken(self, name: str, number: str) -> bool:
        """An active contact of another number has this name."""
        taken = "SELECT 1 FROM {} WHERE name = ? AND coalesce(number, '') <> ?{} LIMIT 1"
        return any(
            self._db.execute(taken.format(table, active), (name, number)).fetchone()
            for table, active in (("reference", " AND active"), ("learned", ""))
        )

    def learn(self, contact: IndexedContact) -> None:
        """Written just now: the index shows it from its next reading."""
        self._db.execute(
            "INSERT OR REPLACE INTO learned(id, number, name, email) VALUES(?, ?, ?, ?)",
            (contact.id, contact.number, contact.name, contact.email),
        )

    def reference(self, kind: str) -> Mapping[str, str]:
        """Published rows of a kind."""
        return dict(self._db.execute("SELECT code, document FROM reference WHERE kind = ?", (kind,)).fetchall())

    def reference_row(self, kind: str, code: str) -> str | None:
        """One published row."""
        query = "SELECT document FROM reference WHERE kind = ? AND code = ?"
        row = self._db.execute(query, (kind, code)).fetchone()
        return str(row[0]) if row else None

    def mark(self, name: str) -> str | None:
        """A mark of a former transaction."""
        row = self._db.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> sqlite3.Connection:
        self._db.execute("BEGIN")
        return self._db

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


def _put_reference(db: sqlite3.Connection, row: ReferenceRow) -> None:
    if row.document is None:
        db.execute("DELETE FROM reference WHERE kind = ? AND code = ?", (row.kind, row.code))
        return
    number = email = name = active = None
    if row.kind == "CONTACT":
        contact = _contact(row.document)
        number, email, name, active = contact.number, contact.email, contact.name, int(contact.active)
        db.execute("DELETE FROM learned WHERE id = ?", (contact.id,))
    db.execute(
        "INSERT OR REPLACE INTO reference(kind, code, document, number, email, name, active)"
        " VALUES(?, ?, ?, ?, ?, ?, ?)",
        (row.kind, row.code, row.document, number, email, name, active),
    )


def _count_posted(db: sqlite3.Connection, done: Transact) -> None:
    """The invoices of this transaction, under their day; days of which nobody asks any more are dropped."""
    for result in done.results:
        if result["kind"] != "invoice" or result["outcome"] != "POSTED":
            continue
        day = result["at"].date()
        counted = "INSERT INTO marks(name, value) VALUES(?, '1') ON CONFLICT(name) DO UPDATE SET value = value + 1"
        db.execute(counted, (f"posted:{day.isoformat()}",))
        db.execute(
            "DELETE FROM marks WHERE name >= 'posted:' AND name < ?", (f"posted:{(day - _COUNTED).isoformat()}",)
        )


def _contact(document: str) -> IndexedContact:
    row = json.loads(document)
    active = row.get("ContactStatus") in (None, "ACTIVE")
    return IndexedContact(row["ContactID"], row.get("ContactNumber"), row["Name"], row.get("EmailAddress"), active)


def _learned(row: tuple[str, str, str, str | None]) -> IndexedContact:
    return IndexedContact(row[0], row[1], row[2], row[3], True)


def _retry(entry: LedgerEntry) -> int | None:
    waits = entry["state"] == "WAITING" and entry["command"] is not None
    return _micros(entry["retry_at"] or entry["updated_at"]) if waits else None


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
