"""The local copy of one organisation's ledger and reference data, in SQLite: fast look-ups, flat memory.

Guarantees: it changes only with committed transactions and with what is read from the ledger topic; it carries the
topic's identity and offset, so a copy of another topic is thrown away and a good one needs only the tail. It may be
lost at any time: the topic is the truth.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from connectors.xero.core.events import IndexedContact, ReferenceRow, Transact
from schemas.codec import Codec
from schemas.types import LedgerEntry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION = 2  # of these tables: a copy with others is thrown away and read anew
_SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger(
  key TEXT PRIMARY KEY, kind TEXT, number TEXT COLLATE NOCASE, retry_at INTEGER, value BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ledger_number ON ledger(number, kind) WHERE kind = 'invoice' AND number IS NOT NULL;
CREATE INDEX IF NOT EXISTS ledger_retry ON ledger(retry_at, key) WHERE retry_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS reference(
  kind TEXT, code TEXT, document TEXT NOT NULL, number TEXT COLLATE NOCASE, email TEXT COLLATE NOCASE,
  name TEXT COLLATE NOCASE, active INTEGER, PRIMARY KEY(kind, code)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS contact_number ON reference(number) WHERE number IS NOT NULL;
CREATE INDEX IF NOT EXISTS contact_email ON reference(email) WHERE email IS NOT NULL;
CREATE INDEX IF NOT EXISTS contact_name ON reference(name) WHERE name IS NOT NULL;
CREATE TABLE IF NOT EXISTS learned(
  id TEXT PRIMARY KEY, number TEXT COLLATE NOCASE, name TEXT COLLATE NOCASE, email TEXT COLLATE NOCASE) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS learned_number ON learned(number);
CREATE INDEX IF NOT EXISTS learned_email ON learned(email);
CREATE INDEX IF NOT EXISTS learned_name ON learned(name);
CREATE TABLE IF NOT EXISTS marks(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class LedgerStore:
    """Used by one thread at a time. `path` None keeps everything in memory (tests, simulation)."""

    def __init__(self, path: Path | None, codec: Codec) -> None:
        self._codec = codec
        self._path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError:  # cut short by a power failure, or no database at all: the topic is the truth
            if self._path is None:
                raise
            self._delete_files()
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        target = ":memory:" if self._path is None else str(self._path)
        db = sqlite3.connect(target, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA cache_size=-16000")  # 16 MB: a lane's memory stays flat whatever the ledger's size
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            if db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                db.close()
                raise sqlite3.DatabaseError("the copy is of another version")
        else:
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.executescript(_SCHEMA)
        return db

    def _delete_files(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def close(self) -> None:
        self._db.close()

    # -- the topic ----------------------------------------------------------------------------------------------

    def resume_from(self, identity: str, low: int, high: int) -> int:
        """The ledger offset to read on from. Another topic, or one shorter than the copy: everything is read anew."""
        same = self.mark("identity") == f"{_VERSION} {identity}"
        offset = int(self.mark("offset") or 0)
        if same and low <= offset <= high:
            return offset
        with _Transaction(self._db) as db:
            # Compaction may have taken records below `low`; a copy older than that has to begin again.
            for table in ("ledger", "reference", "learned", "marks"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the line above
            self._set(db, {"identity": f"{_VERSION} {identity}", "offset": str(low)})
        return low

    def load(self, records: Iterable[tuple[str, bytes | None]], offset: int) -> None:
        """Records of the topic, in order, and the offset after them."""
        with _Transaction(self._db) as db:
            for key, value in records:
                if value is None:
                    db.execute("DELETE FROM ledger WHERE key = ?", (key,))
                else:
                    self._put(db, key, cast(LedgerEntry, self._codec.decode(value)), value)
            self._set(db, {"offset": str(offset)})

    def apply(
        self, done: Transact, values: Mapping[str, bytes | None] | None = None, offset: int | None = None
    ) -> None:
        """A committed transaction of ours. `values`: the entries' bytes on the topic; `offset`: after them."""
        with _Transaction(self._db) as db:
            for key, entry in done.entries.items():
                if entry is None:
                    db.execute("DELETE FROM ledger WHERE key = ?", (key,))
                    continue
                value = (values or {}).get(key) or self._codec.encode("ledger", entry)
                self._put(db, key, entry, value)
            for row in done.reference:
                _put_reference(db, row)
            marks = dict(done.marks)
            if offset is not None:
                marks["offset"] = str(offset)
            self._set(db, marks)

    def _put(self, db: sqlite3.Connection, key: str, entry: LedgerEntry, value: bytes) -> None:
        waits = entry["state"] == "WAITING" and entry["command"] is not None
        retry = _micros(entry["retry_at"] or entry["updated_at"]) if waits else None
        db.execute(
            "INSERT INTO ledger(key, kind, number, retry_at, value) VALUES(?, ?, ?, ?, ?) ON CONFLICT(key) DO UPDATE "
            "SET kind = excluded.kind, number = excluded.number, retry_at = excluded.retry_at, value = excluded.value",
            (key, entry["kind"], entry["number"], retry, value),
        )

    def _set(self, db: sqlite3.Connection, marks: Mapping[str, str]) -> None:
        db.executemany("INSERT OR REPLACE INTO marks(name, value) VALUES(?, ?)", marks.items())

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

    def waiting(self, before: datetime, after: tuple[datetime, str] | None, limit: int) -> list[LedgerEntry]:
        """Waiting entries that are due, by (retry_at, key)."""
        since, key = (_micros(after[0]), after[1]) if after else (-1, "")
        rows = self._db.execute(
            "SELECT value FROM ledger WHERE retry_at IS NOT NULL AND retry_at <= ? AND (retry_at, key) > (?, ?) "
            "ORDER BY retry_at, key LIMIT ?",
            (_micros(before), since, key, limit),
        )
        return [cast(LedgerEntry, self._codec.decode(row[0])) for row in rows]

    def next_waiting(self) -> datetime | None:
        """When the next waiting entry is due."""
        row = self._db.execute("SELECT min(retry_at) FROM ledger WHERE retry_at IS NOT NULL").fetchone()
        return _EPOCH + timedelta(microseconds=row[0]) if row and row[0] is not None else None

    def counts(self) -> dict[str, int]:
        """How many documents wait, and how many there are, for metrics."""
        waiting = self._db.execute("SELECT count(*) FROM ledger WHERE retry_at IS NOT NULL").fetchone()[0]
        return {"waiting": int(waiting)}

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


def _contact(document: str) -> IndexedContact:
    row = json.loads(document)
    active = row.get("ContactStatus") in (None, "ACTIVE")
    return IndexedContact(row["ContactID"], row.get("ContactNumber"), row["Name"], row.get("EmailAddress"), active)


def _learned(row: tuple[str, str, str, str | None]) -> IndexedContact:
    return IndexedContact(row[0], row[1], row[2], row[3], True)


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
