"""The SQLite file behind a LedgerStore: its tables, and how a cold start fills them with a million entries.

Guarantees: a file is whole or is thrown away. A cold start appends to a second file, without journal and indexes, keeps
the last record of each key at the end, and only then puts it, synced to disk, in the place of the first.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

VERSION = 3  # of these tables: a copy with others is thrown away and read anew
_TABLES = """
CREATE TABLE IF NOT EXISTS ledger(
  key TEXT NOT NULL, kind TEXT, number TEXT COLLATE NOCASE, retry_at INTEGER, value BLOB);
CREATE TABLE IF NOT EXISTS reference(
  kind TEXT, code TEXT, document TEXT NOT NULL, number TEXT COLLATE NOCASE, email TEXT COLLATE NOCASE,
  name TEXT COLLATE NOCASE, active INTEGER, PRIMARY KEY(kind, code)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS learned(
  id TEXT PRIMARY KEY, number TEXT COLLATE NOCASE, name TEXT COLLATE NOCASE, email TEXT COLLATE NOCASE) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_INDEXES = """
CREATE UNIQUE INDEX IF NOT EXISTS ledger_key ON ledger(key);
CREATE INDEX IF NOT EXISTS ledger_number ON ledger(number, kind) WHERE kind = 'invoice' AND number IS NOT NULL;
CREATE INDEX IF NOT EXISTS ledger_retry ON ledger(retry_at, key) WHERE retry_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS contact_number ON reference(number) WHERE number IS NOT NULL;
CREATE INDEX IF NOT EXISTS contact_email ON reference(email) WHERE email IS NOT NULL;
CREATE INDEX IF NOT EXISTS contact_name ON reference(name) WHERE name IS NOT NULL;
CREATE INDEX IF NOT EXISTS learned_number ON learned(number);
CREATE INDEX IF NOT EXISTS learned_email ON learned(email);
CREATE INDEX IF NOT EXISTS learned_name ON learned(name);
"""
# Of a key's records the last one counts; where that takes the key away, none.
_LAST_ONLY = """
DELETE FROM ledger WHERE rowid NOT IN (SELECT max(rowid) FROM ledger GROUP BY key);
DELETE FROM ledger WHERE value IS NULL;
"""
_CACHE = "PRAGMA cache_size=-16000"  # 16 MB: a lane's memory stays flat whatever the ledger's size


def open_file(path: Path | None) -> sqlite3.Connection:
    """The copy, ready to use; None: in memory. A file that is damaged, or of another version, is begun anew."""
    if path is None:
        return _whole(None)
    path.parent.mkdir(parents=True, exist_ok=True)
    _delete(_second(path))  # of a cold start that was cut short
    try:
        return _whole(path)
    except sqlite3.DatabaseError:  # cut short by a power failure, or no database at all: the topic is the truth
        _delete(path)
        return _whole(path)


def begin(path: Path | None) -> sqlite3.Connection:
    """An empty second file to append to, in no particular hurry to be on disk: `finish` makes it the copy."""
    second = None if path is None else _second(path)
    if second is not None:
        _delete(second)
    db = _connect(second)
    db.execute("PRAGMA journal_mode=OFF")
    db.execute("PRAGMA synchronous=OFF")
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.executescript(_TABLES)
    return db


def finish(db: sqlite3.Connection, path: Path | None) -> sqlite3.Connection:
    """The second file, filled: the last record of each key, indexes, synced, in the first one's place."""
    db.executescript(_LAST_ONLY)
    db.executescript(_INDEXES)
    if path is None:
        return db
    db.close()
    _sync(_second(path))
    _delete(path)  # with its journals, which must not be taken for the new file's
    _second(path).replace(path)
    _sync(path.parent)
    return _whole(path)


def discard(db: sqlite3.Connection, path: Path | None) -> None:
    """A second file that will not be finished."""
    db.close()
    if path is not None:
        _delete(_second(path))


def _whole(path: Path | None) -> sqlite3.Connection:
    db = _connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            db.close()
            raise sqlite3.DatabaseError("the copy is of another version")
    else:
        db.execute(f"PRAGMA user_version = {VERSION}")
    db.executescript(_TABLES + _INDEXES)
    return db


def _connect(path: Path | None) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:" if path is None else str(path), isolation_level=None, check_same_thread=False)
    db.execute(_CACHE)
    return db


def _second(path: Path) -> Path:
    return path.with_name(f"{path.name}.loading")


def _delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
