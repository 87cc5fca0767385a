"""The sandbox's state on disk: one SQLite file, one transaction per request.

Guarantee: what was answered is on disk (books, idempotency answers, tokens, the day's count); a killed
process comes back with exactly the requests that had committed, each whole. WAL with synchronous=NORMAL: proof
against kill -9, not against power loss.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from connectors.xero.sandbox.errors import StateUnreadable
from connectors.xero.sandbox.idempotency import Answer

VERSION = 1
TABLES = """
CREATE TABLE IF NOT EXISTS rows (org TEXT, kind TEXT, id TEXT, body BLOB, PRIMARY KEY (org, kind, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (scope TEXT, key TEXT, print TEXT, first REAL, status INT, type TEXT, elements INT,
                                 headers BLOB, body BLOB, PRIMARY KEY (scope, key));
CREATE TABLE IF NOT EXISTS requests (seq INTEGER PRIMARY KEY, at REAL, org TEXT, app TEXT, method TEXT, route TEXT,
                                     url TEXT, status INT, elements INT, failed INT, fault TEXT, replay INT, ms REAL);
CREATE TABLE IF NOT EXISTS days (app TEXT, org TEXT, day INT, count INT, PRIMARY KEY (app, org));
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB);
"""
Request = tuple[float, str, str, str, str, str, int, int, int, str, int, float]


@dataclass
class Batch:
    """What one request leaves behind."""

    rows: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    keys: list[tuple[str, str, str, float, Answer]] = field(default_factory=list)
    expired: list[tuple[str, str]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    days: list[tuple[str, str, int, int]] = field(default_factory=list)
    state: list[tuple[str, bytes]] = field(default_factory=list)


def body(row: Any) -> bytes:
    """A row of documents.py as JSON; Decimal as text so that nothing is lost."""
    return orjson.dumps(row, default=str)


class Store:
    """`path` None keeps everything in memory (for short tests)."""

    def __init__(self, path: Path | None):
        if path is not None:
            path.mkdir(parents=True, exist_ok=True)
        where = str(path / "xero-sandbox.sqlite") if path is not None else ":memory:"
        self.db = sqlite3.connect(where, isolation_level=None)
        try:
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            version = self.db.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.DatabaseError as problem:
            raise StateUnreadable(
                f"{where} is not a sandbox state ({problem}); remove it or choose another --state"
            ) from problem
        if version not in (0, VERSION):
            raise StateUnreadable(
                f"{where} is of version {version}, this sandbox reads {VERSION}; remove it or use another --state"
            )
        self.db.executescript(TABLES)
        self.db.execute(f"PRAGMA user_version={VERSION}")

    def commit(self, batch: Batch) -> None:
        """Write a request's whole trace, or nothing of it."""
        db = self.db
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany("INSERT OR REPLACE INTO rows VALUES (?,?,?,?)", batch.rows)
            db.executemany("DELETE FROM keys WHERE scope=? AND key=?", batch.expired)
            db.executemany(
                "INSERT OR REPLACE INTO keys VALUES (?,?,?,?,?,?,?,?,?)",
                [
                    (s, k, p, f, a.status, a.content_type, a.elements, orjson.dumps(a.headers), a.body)
                    for s, k, p, f, a in batch.keys
                ],
            )
            db.executemany(
                "INSERT INTO requests (at,org,app,method,route,url,status,elements,failed,fault,replay,ms)"
                " VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                batch.requests,
            )
            db.executemany("INSERT OR REPLACE INTO days VALUES (?,?,?,?)", batch.days)
            db.executemany("INSERT OR REPLACE INTO state VALUES (?,?)", batch.state)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise

    def rows(self, org: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every stored row of an organisation: (kind, record)."""
        for kind, blob in self.db.execute("SELECT kind, body FROM rows WHERE org=?", (org,)):
            yield kind, orjson.loads(blob)

    def keys_held(self) -> Iterator[tuple[str, str, str, float]]:
        """Stored idempotency keys: (scope, key, fingerprint, first)."""
        yield from self.db.execute("SELECT scope, key, print, first FROM keys")

    def answer(self, scope: str, key: str) -> Answer | None:
        """The stored answer of a key."""
        sql = "SELECT status, body, type, elements, headers FROM keys WHERE scope=? AND key=?"
        row = self.db.execute(sql, (scope, key)).fetchone()
        if row is None:
            return None
        status, blob, kind, elements, headers = row
        return Answer(status, blob, kind, elements, tuple((name, value) for name, value in orjson.loads(headers)))

    def days(self) -> Iterator[tuple[str, str, int, int]]:
        """(app, org, day index, count)."""
        yield from self.db.execute("SELECT * FROM days")

    def state(self, name: str) -> Any:
        """A named JSON value, None when absent."""
        row = self.db.execute("SELECT value FROM state WHERE name=?", (name,)).fetchone()
        return orjson.loads(row[0]) if row else None

    def requests(self, org: str | None, after: int, limit: int) -> list[dict[str, Any]]:
        """The request log, newest first."""
        names = [
            "seq",
            "at",
            "org",
            "app",
            "method",
            "route",
            "url",
            "status",
            "elements",
            "failed",
            "fault",
            "replay",
            "ms",
        ]
        sql = f"SELECT {','.join(names)} FROM requests WHERE seq>? AND (? IS NULL OR org=?) ORDER BY seq DESC LIMIT ?"  # noqa: S608
        return [dict(zip(names, row, strict=True)) for row in self.db.execute(sql, (after, org, org, limit))]

    def calls_since(self, at: float) -> Iterator[tuple[str, str, float]]:
        """(app, organisation, time) of the calls that limits have counted, oldest first."""
        sql = "SELECT app, org, at FROM requests WHERE at > ? AND org <> '' AND status <> 429 ORDER BY at"
        yield from self.db.execute(sql, (at,))

    def counts(self, org: str | None, after: int) -> list[dict[str, Any]]:
        """Calls by organisation, method, route, status and fault."""
        sql = (
            "SELECT org, method, route, status, fault, COUNT(*), SUM(elements), SUM(failed), SUM(replay) FROM requests"
            " WHERE seq>? AND (? IS NULL OR org=?)"
            " GROUP BY org, method, route, status, fault ORDER BY org, route, method"
        )
        names = ["org", "method", "route", "status", "fault", "calls", "elements", "failed", "replays"]
        return [dict(zip(names, row, strict=True)) for row in self.db.execute(sql, (after, org, org))]

    def last_request(self) -> int:
        """The newest sequence number of the log."""
        return int(self.db.execute("SELECT COALESCE(MAX(seq), 0) FROM requests").fetchone()[0])

    def forget_requests(self) -> None:
        """Empty the request log."""
        self.db.execute("DELETE FROM requests")

    def remove(self, org: str, gone: Iterable[tuple[str, str]]) -> None:
        """Drop rows (kind, id)."""
        self.db.executemany(
            "DELETE FROM rows WHERE org=? AND kind=? AND id=?", [(org, kind, id_) for kind, id_ in gone]
        )

    def close(self) -> None:
        """Close the file."""
        self.db.close()
