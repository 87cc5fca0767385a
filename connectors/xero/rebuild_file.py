"""The file of a rebuild, beside the local copy: what Xero holds, which records are open, what the results say of them.

It makes a rebuild resumable and keeps it out of memory. Every page goes in with its cursor. It may be lost at any time:
the rebuild then begins anew.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from connectors.xero.calls import Call
from connectors.xero.core.said import Said

_SCHEMA = """
CREATE TABLE IF NOT EXISTS invoices(
  id TEXT PRIMARY KEY COLLATE NOCASE, number TEXT COLLATE NOCASE, gone INTEGER, document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS invoices_number ON invoices(number, gone);
CREATE TABLE IF NOT EXISTS credits(number TEXT PRIMARY KEY COLLATE NOCASE, document TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS open(offset INTEGER PRIMARY KEY, thing TEXT, key TEXT, contact TEXT);
CREATE INDEX IF NOT EXISTS open_key ON open(key, thing);
CREATE INDEX IF NOT EXISTS open_contact ON open(contact) WHERE contact IS NOT NULL;
CREATE TABLE IF NOT EXISTS said(thing TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY(thing, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_INVOICE = (
    "InvoiceID",
    "InvoiceNumber",
    "CreditNoteID",
    "CreditNoteNumber",
    "RemainingCredit",
    "Type",
    "Status",
    "CurrencyCode",
    "Total",
    "TotalTax",
    "AmountDue",
    "AmountCredited",
    "LineAmountTypes",
    "CurrencyRate",
    "Reference",
)
_LINE = (
    "Description",
    "Quantity",
    "UnitAmount",
    "LineAmount",
    "TaxAmount",
    "AccountCode",
    "TaxType",
    "ItemCode",
    "Tracking",
)
_PAYMENT = ("PaymentID", "Reference", "Amount", "Status")
_GONE = frozenset({"VOIDED", "DELETED"})
Open = tuple[int, str, str, str | None]  # offset, thing, key, contact


class RebuildFile:
    """Used by one thread. `asked` names the rebuild: what is left of another one is thrown away."""

    def __init__(self, path: Path, asked: str) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = self._open()
        if self.mark("asked") != asked:
            self.delete()
            self._db = self._open()
            self._set("asked", asked)

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError:  # cut short by a power failure: what was read is read again
            self._unlink()
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(str(self._path), isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA cache_size=-16000")
        db.executescript(_SCHEMA)
        return db

    def close(self) -> None:
        self._db.close()

    def delete(self) -> None:
        """The rebuild is over."""
        self._db.close()
        self._unlink()

    def _unlink(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    # -- marks --------------------------------------------------------------------------------------------------

    def mark(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def _set(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO marks(name, value) VALUES(?, ?)", (name, value))

    def phase_done(self, phase: str) -> None:
        self._set(f"done:{phase}", "1")

    def is_done(self, phase: str) -> bool:
        return self.mark(f"done:{phase}") is not None

    # -- Xero's invoices ----------------------------------------------------------------------------------------

    def cursor(self) -> Call | None:
        """The next page to read; None at the very beginning."""
        text = self.mark("cursor")
        if text is None:
            return None
        found = json.loads(text)
        query = tuple((name, value) for name, value in found["query"])
        return Call("GET", found["path"], query, if_modified_since=found["since"], purpose="rebuild")

    def page_read(self, rows: Sequence[Mapping[str, Any]], following: Call | None) -> None:
        """One page and the cursor after it."""
        kept = [_trimmed(row) for row in rows]
        values = [
            (row["InvoiceID"], row["InvoiceNumber"], int(row["Status"] in _GONE), _json(row))
            for row in kept
            if row["InvoiceID"] and row["Type"] in (None, "ACCREC")
        ]
        credits = [
            (row["CreditNoteNumber"], _json(row))
            for row in kept
            if row["CreditNoteID"] and row["Type"] in (None, "ACCRECCREDIT") and row["Status"] not in _GONE
        ]
        with self._db:
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT OR REPLACE INTO invoices(id, number, gone, document) VALUES(?, ?, ?, ?)", values
            )
            self._db.executemany("INSERT OR REPLACE INTO credits(number, document) VALUES(?, ?)", credits)
            if following is not None:
                since, path = following.if_modified_since, following.path
                self._set("cursor", json.dumps({"path": path, "query": following.query, "since": since}))

    def invoices(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM invoices").fetchone()[0])

    def by_number(self, number: str) -> Mapping[str, Any] | None:
        """A living one before one that is voided or deleted."""
        query = "SELECT document FROM invoices WHERE number = ? ORDER BY gone LIMIT 1"
        return _read(self._db.execute(query, (number,)).fetchone())

    def by_id(self, id: str) -> Mapping[str, Any] | None:
        return _read(self._db.execute("SELECT document FROM invoices WHERE id = ?", (id,)).fetchone())

    def credit_by_number(self, number: str) -> Mapping[str, Any] | None:
        """A living one."""
        return _read(self._db.execute("SELECT document FROM credits WHERE number = ?", (number,)).fetchone())

    # -- open records, and what was said ------------------------------------------------------------------------

    def compared(
        self, opened: Iterable[tuple[int, str, str, str | None]], offset: int, counts: Mapping[str, int]
    ) -> None:
        """Records that are left open, and how far the command topic has been compared."""
        with self._db:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR REPLACE INTO open(offset, thing, key, contact) VALUES(?, ?, ?, ?)", opened)
            self.progressed("compare", offset, counts)

    def progressed(self, phase: str, offset: int, counts: Mapping[str, int]) -> None:
        self._set(phase, str(offset))
        self._set("counts", json.dumps(counts))

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self.mark("counts") or "{}")
        return found

    def open_between(self, first: int, last: int) -> dict[int, tuple[str, str, str | None]]:
        rows = self._db.execute("SELECT * FROM open WHERE offset BETWEEN ? AND ?", (first, last))
        return {offset: (thing, key, contact) for offset, thing, key, contact in rows}

    def open_ends(self) -> tuple[int, int] | None:
        """The first and the last open record."""
        first, last = self._db.execute("SELECT min(offset), max(offset) FROM open").fetchone()
        return None if first is None else (first, last)

    def wanted(self, thing: str, key: str) -> bool:
        """Whether an open record needs what is said about this."""
        query = "SELECT 1 FROM open WHERE key = ? AND thing = ? LIMIT 1"
        if self._db.execute(query, (key, thing)).fetchone():
            return True
        return thing == "contact" and bool(
            self._db.execute("SELECT 1 FROM open WHERE contact = ? LIMIT 1", (key,)).fetchone()
        )

    def said(self, thing: str, key: str) -> Said:
        row = self._db.execute("SELECT value FROM said WHERE thing = ? AND key = ?", (thing, key)).fetchone()
        if row is None:
            return Said()
        found = json.loads(row[0])
        outcomes = {command: (outcome, message) for command, (outcome, message) in found["outcomes"].items()}
        return Said(**{**found, "outcomes": outcomes})

    def say(self, thing: str, key: str, said: Said) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO said(thing, key, value) VALUES(?, ?, ?)", (thing, key, json.dumps(asdict(said)))
        )

    def forget_said(self) -> None:
        """The results are read again from their beginning."""
        self._db.execute("DELETE FROM said")

    def begin(self) -> None:
        self._db.execute("BEGIN")

    def commit(self) -> None:
        self._db.execute("COMMIT")


def _trimmed(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the comparison looks at, and what an invoice is credited by."""
    kept: dict[str, Any] = {name: row.get(name) for name in _INVOICE}
    kept["Contact"] = {"ContactID": (row.get("Contact") or {}).get("ContactID")}
    kept["LineItems"] = [{name: line.get(name) for name in _LINE} for line in row.get("LineItems") or []]
    if row.get("Allocations"):
        kept["Allocations"] = [
            {"Amount": one.get("Amount"), "Invoice": {"InvoiceID": (one.get("Invoice") or {}).get("InvoiceID")}}
            for one in row["Allocations"]
        ]
    kept["Payments"] = [{name: paid.get(name) for name in _PAYMENT} for paid in row.get("Payments") or []]
    return kept


def _json(row: Mapping[str, Any]) -> str:
    return orjson.dumps(row, default=str).decode()  # decimals as their text, which compare reads as well


def _read(row: Any) -> Mapping[str, Any] | None:
    if row is None:
        return None
    found: dict[str, Any] = orjson.loads(row[0])
    return found
