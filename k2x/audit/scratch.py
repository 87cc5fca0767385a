"""The audit's scratch: facts and Xero's documents in SQLite, one order at a time out of it, so that memory stays flat.

Whatever the shop's size, only one order's file is in memory; what does not fit the cache is on disk, in a temporary
file that ends with the store.
"""

from __future__ import annotations

import heapq
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from k2x.audit.documents import CreditNote, Invoice, Payment
from k2x.audit.facts import (
    CommandSeen,
    EntryGone,
    EntrySeen,
    Fact,
    HintSeen,
    LetterSeen,
    OrderSeen,
    ResultSeen,
)
from k2x.audit.finding import Finding
from k2x.audit.packing import Packing

_SCHEMA = """
CREATE TABLE facts(key TEXT, kind INTEGER, late INTEGER, body BLOB);
CREATE TABLE ledger(org TEXT, ledger_key TEXT, key TEXT, late INTEGER, number TEXT COLLATE NOCASE, body BLOB,
  PRIMARY KEY(org, ledger_key)) WITHOUT ROWID;
CREATE INDEX ledger_number ON ledger(org, number);
CREATE TABLE invoices(org TEXT, id TEXT COLLATE NOCASE, number TEXT COLLATE NOCASE, reference TEXT, twin TEXT,
  living INTEGER, claimed INTEGER DEFAULT 0, body BLOB, PRIMARY KEY(org, id)) WITHOUT ROWID;
CREATE INDEX invoice_number ON invoices(org, number);
CREATE INDEX invoice_reference ON invoices(org, reference);
CREATE TABLE credits(org TEXT, id TEXT COLLATE NOCASE, number TEXT COLLATE NOCASE, reference TEXT COLLATE NOCASE,
  twin TEXT, living INTEGER, claimed INTEGER DEFAULT 0, body BLOB, PRIMARY KEY(org, id)) WITHOUT ROWID;
CREATE INDEX credit_number ON credits(org, number);
CREATE INDEX credit_reference ON credits(org, reference);
CREATE TABLE payments(org TEXT, id TEXT COLLATE NOCASE, invoice TEXT COLLATE NOCASE, marker TEXT COLLATE NOCASE,
  body BLOB, PRIMARY KEY(org, id)) WITHOUT ROWID;
CREATE INDEX payment_invoice ON payments(org, invoice);
CREATE INDEX payment_marker ON payments(org, marker);
CREATE TABLE findings(kind TEXT, body BLOB);
"""
_TOGETHER = 2000
_CACHE_KB = 48_000
_KINDS: tuple[type[Any], ...] = (OrderSeen, HintSeen, CommandSeen, LetterSeen, ResultSeen)
_GONE, _OF_LEDGER = -1, len(_KINDS)  # rows without a fact of their own: an entry taken out, an entry
_NUMBER = {kind: number for number, kind in enumerate(_KINDS)}
_PACKINGS = [Packing(kind) for kind in _KINDS]
_ENTRY, _INVOICE, _PAYMENT, _FINDING = Packing(EntrySeen), Packing(Invoice), Packing(Payment), Packing(Finding)
_CREDIT = Packing(CreditNote)


@dataclass(frozen=True)
class Dossier:
    """One order: all facts under its key, in the order they were read, and what Xero has that may belong to it.

    `late`: something about it came while Xero was being read, so the two sides are of different moments.
    """

    key: str
    orders: tuple[OrderSeen, ...] = ()
    hints: tuple[HintSeen, ...] = ()
    commands: tuple[CommandSeen, ...] = ()
    letters: tuple[LetterSeen, ...] = ()
    results: tuple[ResultSeen, ...] = ()
    entries: tuple[EntrySeen, ...] = ()
    late: bool = False
    invoices: tuple[Invoice, ...] = ()
    payments: tuple[Payment, ...] = ()
    credits: tuple[CreditNote, ...] = ()


@dataclass
class Scratch:
    """`path` None: in memory, for small shops and tests. Used by one thread at a time."""

    path: Path | None = None
    _facts: list[tuple[Any, ...]] = field(default_factory=list)
    _any_credits: bool = False

    def __post_init__(self) -> None:
        self._db = sqlite3.connect(str(self.path or ":memory:"), isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE", f"cache_size=-{_CACHE_KB}"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")

    def close(self) -> None:
        self._db.close()

    @property
    def bytes_on_disk(self) -> int:
        """Of the database itself; sorting takes as much again, for a while."""
        (pages,), (size,) = (self._db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
        return int(pages * size)

    # -- facts --------------------------------------------------------------------------------------------------

    def add(self, fact: Fact, *, late: bool = False) -> None:
        if isinstance(fact, EntrySeen):
            # What is in a summary has the summary's number, and its own only by its commands.
            number = "" if fact.summary else fact.number
            row = (fact.org, fact.ledger_key, fact.key, late, number, _ENTRY.pack(fact))
            self._db.execute("INSERT OR REPLACE INTO ledger VALUES(?, ?, ?, ?, ?, ?)", row)
        elif isinstance(fact, EntryGone):
            self._db.execute("DELETE FROM ledger WHERE org = ? AND ledger_key = ?", (fact.org, fact.ledger_key))
            if late:
                self._facts.append((fact.key, _GONE, True, b""))
        else:
            kind = _NUMBER[type(fact)]
            self._facts.append((fact.key, kind, late, _PACKINGS[kind].pack(fact)))
        if len(self._facts) >= _TOGETHER:
            self._flush()

    def _flush(self) -> None:
        self._db.executemany("INSERT INTO facts VALUES(?, ?, ?, ?)", self._facts)
        self._facts.clear()

    def dossiers(self, only: str | None = None) -> Iterator[Dossier]:
        """Every order that any topic or ledger speaks of, by key, without Xero's side."""
        self._flush()
        where, bound = ("WHERE key = ?", (only,)) if only is not None else ("", ())
        facts = self._db.cursor().execute(
            f"SELECT key, kind, late, body FROM facts {where} ORDER BY key, rowid",  # noqa: S608 - a constant
            bound,
        )
        ledger = self._db.cursor().execute(
            f"SELECT key, {_OF_LEDGER}, late, body FROM ledger {where} ORDER BY key, org, ledger_key",  # noqa: S608 - a constant
            bound,
        )
        for key, rows in groupby(heapq.merge(facts, ledger, key=lambda row: row[0]), key=lambda row: row[0]):
            yield _dossier(key, rows)

    # -- Xero's side --------------------------------------------------------------------------------------------

    def add_invoices(self, invoices: Iterable[Invoice]) -> None:
        """Newer readings replace older ones."""
        rows = [(i.org, i.id, i.number, i.reference, twin(i), i.living, _INVOICE.pack(i)) for i in invoices]
        self._db.executemany(
            "INSERT OR REPLACE INTO invoices(org, id, number, reference, twin, living, body)"
            " VALUES(?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def add_credits(self, credits: Iterable[CreditNote]) -> None:
        """Likewise. Nothing is looked for in a shop without any."""
        rows = [(c.org, c.id, c.number, c.reference, twin(c), c.living, _CREDIT.pack(c)) for c in credits]
        self._any_credits = self._any_credits or bool(rows)
        self._db.executemany(
            "INSERT OR REPLACE INTO credits(org, id, number, reference, twin, living, body)"
            " VALUES(?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def add_payments(self, payments: Iterable[Payment]) -> None:
        rows = [(p.org, p.id, p.invoice_id, p.marker, _PAYMENT.pack(p)) for p in payments]
        self._db.executemany("INSERT OR REPLACE INTO payments VALUES(?, ?, ?, ?, ?)", rows)

    def beside(
        self, dossier: Dossier, org: str, ids: Iterable[str], numbers: Iterable[str], references: Iterable[str]
    ) -> Dossier:
        """The order with what Xero has under its ids, numbers or references, and the payments on these or under its
        markers. The payments' list knows accounts and deletions, which an invoice does not show."""
        found: dict[str, Invoice] = {}
        for column, values in (("id", ids), ("number", numbers), ("reference", references)):
            table = "invoices" + ("" if column == "id" else f" INDEXED BY invoice_{column}")
            query = f"SELECT id, number, body FROM {table} WHERE org = ? AND {column} = ?"  # noqa: S608 - constants
            for value in {one for one in values if one}:
                for own, number, body in self._db.execute(query, (org, value)):
                    if own not in found and (
                        column != "reference" or not self._is_of_another(org, number, dossier.key)
                    ):
                        found[own] = _INVOICE.unpack(body)
        payments: dict[str, Payment] = {}
        for own in found:
            payments |= self._payments(org, "invoice", own)
        for entry in dossier.entries:
            if entry.kind == "payment" and entry.org == org and entry.number:
                payments |= self._payments(org, "marker", entry.number)
        return replace(dossier, invoices=tuple(found.values()), payments=tuple(payments.values()))

    def credits_beside(
        self, dossier: Dossier, org: str, ids: Iterable[str], numbers: Iterable[str], references: Iterable[str]
    ) -> Dossier:
        """The order with the credit notes under its refunds' ids, numbers or references, and the money back."""
        if not self._any_credits:
            return dossier
        found: dict[str, CreditNote] = {}
        for column, values in (("id", ids), ("number", numbers), ("reference", references)):
            table = "credits" + ("" if column == "id" else f" INDEXED BY credit_{column}")
            query = f"SELECT id, body FROM {table} WHERE org = ? AND {column} = ?"  # noqa: S608 - constants
            for value in {one for one in values if one}:
                found |= {own: _CREDIT.unpack(body) for own, body in self._db.execute(query, (org, value))}
        payments: dict[str, Payment] = {}
        for own in found:
            payments |= self._payments(org, "invoice", own)
        for entry in dossier.entries:
            if entry.kind == "refund" and entry.org == org and entry.number:
                payments |= self._payments(org, "marker", entry.number)
        return replace(dossier, credits=tuple(found.values()), payments=(*dossier.payments, *payments.values()))

    def _is_of_another(self, org: str, number: str, key: str) -> bool:
        """Two orders may share a reference, or want one number, if a rule takes these from a column of the order."""
        query = "SELECT key FROM ledger INDEXED BY ledger_number WHERE org = ? AND number = ?"
        return any(other != key for (other,) in self._db.execute(query, (org, number)))

    def _payments(self, org: str, column: str, value: str) -> dict[str, Payment]:
        # Left to itself, SQLite takes the primary key for its first column, and reads every payment.
        table = f"payments INDEXED BY payment_{column}"
        query = f"SELECT id, body FROM {table} WHERE org = ? AND {column} = ?"  # noqa: S608 - constants
        return {own: _PAYMENT.unpack(body) for own, body in self._db.execute(query, (org, value))}

    def claim(self, org: str, ids: Iterable[str]) -> None:
        """These invoices are explained by an order."""
        self._db.executemany("UPDATE invoices SET claimed = 1 WHERE org = ? AND id = ?", [(org, own) for own in ids])

    def unclaimed(self, org: str) -> Iterator[Invoice]:
        """Living invoices that no order explains."""
        query = "SELECT body FROM invoices WHERE org = ? AND living AND NOT claimed ORDER BY number, id"
        for (body,) in self._db.cursor().execute(query, (org,)):
            yield _INVOICE.unpack(body)

    def twins(self, invoice: Invoice) -> list[Invoice]:
        """Claimed living invoices of the same contact, day, currency and total."""
        query = "SELECT body FROM invoices INDEXED BY invoice_twin WHERE org = ? AND twin = ? AND living AND claimed"
        return [_INVOICE.unpack(body) for (body,) in self._db.execute(query, (invoice.org, twin(invoice)))]

    def claim_credits(self, org: str, ids: Iterable[str]) -> None:
        """These credit notes are explained by a refund."""
        self._db.executemany("UPDATE credits SET claimed = 1 WHERE org = ? AND id = ?", [(org, own) for own in ids])

    def unclaimed_credits(self, org: str) -> Iterator[CreditNote]:
        """Living credit notes that no order explains."""
        query = "SELECT body FROM credits WHERE org = ? AND living AND NOT claimed ORDER BY number, id"
        for (body,) in self._db.cursor().execute(query, (org,)):
            yield _CREDIT.unpack(body)

    def credit_twins(self, note: CreditNote) -> list[CreditNote]:
        """Claimed living credit notes of the same contact, day, currency and total."""
        query = "SELECT body FROM credits INDEXED BY credit_twin WHERE org = ? AND twin = ? AND living AND claimed"
        return [_CREDIT.unpack(body) for (body,) in self._db.execute(query, (note.org, twin(note)))]

    def order_of(self, invoice: Invoice) -> str:
        """instance|OrderID by the ledger; empty where it does not know the number."""
        query = "SELECT key FROM ledger INDEXED BY ledger_number WHERE org = ? AND number = ?"
        row = self._db.execute(query, (invoice.org, invoice.number)).fetchone()
        return str(row[0]) if row else ""

    def index_twins(self) -> None:
        """Once, after reading: most audits look for no twin at all."""
        self._db.execute("CREATE INDEX IF NOT EXISTS invoice_twin ON invoices(org, twin) WHERE claimed")
        self._db.execute("CREATE INDEX IF NOT EXISTS credit_twin ON credits(org, twin) WHERE claimed")

    # -- findings -----------------------------------------------------------------------------------------------

    def add_findings(self, findings: Sequence[Finding]) -> None:
        self._db.executemany("INSERT INTO findings VALUES(?, ?)", [(f.kind, _FINDING.pack(f)) for f in findings])

    def findings(self, kind: str | None = None) -> Iterator[Finding]:
        where, bound = ("WHERE kind = ?", (kind,)) if kind is not None else ("", ())
        query = f"SELECT body FROM findings {where} ORDER BY rowid"  # noqa: S608 - a constant
        for (body,) in self._db.cursor().execute(query, bound):
            yield _FINDING.unpack(body)


def scratch(directory: Path | None = None) -> Scratch:
    """A store on disk whose file nobody else sees and that is gone with the process, however it ends."""
    with tempfile.NamedTemporaryFile(prefix="k2x-audit-", suffix=".sqlite3", dir=directory) as file:
        return Scratch(Path(file.name))


def twin(invoice: Invoice) -> str:
    """What two copies of one invoice share, whatever their numbers."""
    return f"{invoice.contact_id.lower()}|{invoice.date}|{invoice.currency}|{invoice.total.normalize():f}"


def _dossier(key: str, rows: Iterable[tuple[str, int, int, bytes]]) -> Dossier:
    parts: list[list[Any]] = [[] for _ in _KINDS]
    entries, late = [], False
    for _, number, is_late, body in rows:
        late = late or bool(is_late)
        if number == _OF_LEDGER:
            entries.append(_ENTRY.unpack(body))
        elif number != _GONE:
            parts[number].append(_PACKINGS[number].unpack(body))
    orders, hints, commands, letters, results = map(tuple, parts)
    return Dossier(key, orders, hints, commands, letters, results, tuple(entries), late)
