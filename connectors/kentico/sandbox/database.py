"""One instance's database on disk. Guarantees: a committed checkout, its events and their delivery survive kill -9."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from connectors.kentico.sandbox.catalogue import Catalogue
from connectors.kentico.sandbox.errors import StateMismatch, UnknownObject
from connectors.kentico.sandbox.schema import TABLES, Kind, Row, Table

LAYOUT = 1
"""Raised when tables change; an older folder is refused rather than misread."""

_TYPES = {Kind.INT: "INTEGER", Kind.BOOL: "INTEGER", Kind.FLOAT: "REAL"}
_OWN = """
CREATE TABLE IF NOT EXISTS shop_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS shop_ids (class TEXT PRIMARY KEY, next INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS shop_truth (order_id INTEGER PRIMARY KEY, truth TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS shop_outbox (
    sequence INTEGER PRIMARY KEY, route TEXT NOT NULL, event_id TEXT NOT NULL, event_type TEXT NOT NULL,
    object_id INTEGER NOT NULL,
    body TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'pending', attempts INTEGER NOT NULL DEFAULT 0, answer TEXT);
CREATE INDEX IF NOT EXISTS shop_outbox_pending ON shop_outbox (state, sequence);
CREATE TABLE IF NOT EXISTS shop_follow_up (
    id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL, action TEXT NOT NULL, due REAL NOT NULL,
    held INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS shop_payout (id INTEGER PRIMARY KEY, payout TEXT NOT NULL);
"""
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS item_order ON COM_OrderItem (OrderItemOrderID)",
    "CREATE INDEX IF NOT EXISTS address_order ON COM_OrderAddress (AddressOrderID)",
    "CREATE INDEX IF NOT EXISTS history_order ON COM_OrderStatusUser (OrderID)",
    "CREATE INDEX IF NOT EXISTS order_modified ON COM_Order (OrderLastModified)",
    "CREATE INDEX IF NOT EXISTS address_customer ON COM_Address (AddressCustomerID)",
    # The shop's own index; there is no such constraint on customers, only on order addresses.
    "CREATE UNIQUE INDEX IF NOT EXISTS address_kind ON COM_OrderAddress (AddressOrderID, AddressType)",
)


@dataclass(frozen=True)
class Outgoing:
    """An event that waits for its 202. `route` is `events` or `hints`; `body` is the JSON of one event or flat row."""

    sequence: int
    route: str
    event_id: str
    event_type: str
    object_id: int
    body: str
    attempts: int


@dataclass(frozen=True)
class Changed:
    """One row as SQL Server's log has it: `op` c, u or d."""

    table: Table
    op: str
    before: Row | None
    after: Row | None


class Database:
    """Rows of all tables of one instance, in one SQLite file; not shared between threads."""

    def __init__(self, path: Path, shop: Catalogue) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        # WAL with NORMAL loses nothing on kill -9; only a power cut could take the last commits.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._depth = 0
        # Who reads the log: told of each transaction once it is committed.
        self.watch: Callable[[list[Changed | Outgoing]], None] | None = None
        self._log: list[Changed | Outgoing] = []
        self._create(shop)

    def _create(self, shop: Catalogue) -> None:
        with self.transaction():
            for statement in filter(str.strip, _OWN.split(";")):
                self._db.execute(statement)
            written = self._meta("layout")
            if written is not None and written != f"{LAYOUT}:{shop.instance}":
                raise StateMismatch(
                    f"{self.path} holds layout {written}, not {LAYOUT}:{shop.instance}; move the folder away"
                )
            for table in TABLES.values():
                spec = ", ".join(
                    f"{name} {_TYPES.get(kind, 'TEXT COLLATE NOCASE')}{' PRIMARY KEY' if name == table.id else ''}"
                    for name, kind in table.columns.items()
                )
                self._db.execute(f"CREATE TABLE IF NOT EXISTS {table.table} ({spec})")
            for statement in _INDEXES:
                self._db.execute(statement)
            if written is None:
                for name, rows in shop.rows.items():
                    for row in rows:
                        self.insert(TABLES[name], row)
                for name, first in shop.first_ids.items():
                    self._db.execute("INSERT INTO shop_ids VALUES (?, ?)", (name, first))
                self._db.execute("INSERT INTO shop_meta VALUES ('layout', ?)", (f"{LAYOUT}:{shop.instance}",))

    def _meta(self, name: str) -> str | None:
        found = self._db.execute("SELECT value FROM shop_meta WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def view(self, name: str, select: str) -> None:
        """Other names for the same rows; a `Table` of that name can be selected from and counted."""
        self._db.execute(f"CREATE TEMP VIEW IF NOT EXISTS {name} AS {select}")

    def close(self) -> None:
        """Close the file; everything committed is on disk already."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One database transaction; an inner one joins the outer."""
        if self._depth:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            self._log.clear()
            raise
        else:
            self._db.execute("COMMIT")
        finally:
            self._depth = 0
        self._tell()

    def _note(self, table: Table, op: str, before: Row | None, after: Row | None) -> None:
        if self.watch is not None:
            self._log.append(Changed(table, op, before, after))
            self._tell()

    def _tell(self) -> None:
        """Outside a transaction each statement is one of its own."""
        if self._log and not self._depth and self.watch is not None:
            log, self._log = self._log, []
            self.watch(log)

    def take(self, type_name: str) -> int:
        """The next identity value of a class; never used twice, even after deletes and restarts."""
        with self.transaction():
            found = self._db.execute("SELECT next FROM shop_ids WHERE class = ?", (type_name,)).fetchone()
            number = int(found[0]) if found else 1
            self._db.execute("INSERT OR REPLACE INTO shop_ids VALUES (?, ?)", (type_name, number + 1))
        return number

    def peek(self, type_name: str) -> int:
        """The id that `take` would give next."""
        found = self._db.execute("SELECT next FROM shop_ids WHERE class = ?", (type_name,)).fetchone()
        return int(found[0]) if found else 1

    def insert(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert a full or partial row under the id it carries."""
        marks = ", ".join("?" * len(row))
        values = [_store(value) for value in row.values()]
        self._db.execute(f"INSERT INTO {table.table} ({', '.join(row)}) VALUES ({marks})", values)  # noqa: S608 - own names
        if self.watch is not None:
            self._note(table, "c", None, self.get(table, row[table.id]))

    def insert_many(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert full rows, which have all columns of the table."""
        marks = ", ".join("?" * len(table.columns))
        values = [[_store(row[name]) for name in table.columns] for row in rows]
        self._db.executemany(f"INSERT INTO {table.table} ({', '.join(table.columns)}) VALUES ({marks})", values)  # noqa: S608
        for row in rows:
            self._note(table, "c", None, dict(row))

    def reserve(self, type_name: str, following: int) -> None:
        """Identity values below `following` are used."""
        self._db.execute("INSERT OR REPLACE INTO shop_ids VALUES (?, ?)", (type_name, following))

    def update(self, table: Table, row_id: int, changes: Mapping[str, Any]) -> None:
        """Change some columns of one row."""
        sets = ", ".join(f"{name} = ?" for name in changes)
        values = [*(_store(value) for value in changes.values()), row_id]
        before = self.get(table, row_id) if self.watch is not None else None
        self._db.execute(f"UPDATE {table.table} SET {sets} WHERE {table.id} = ?", values)  # noqa: S608 - own names
        if before is not None:
            self._note(table, "u", before, self.get(table, row_id))

    def delete(self, table: Table, row_id: int) -> None:
        """Delete one row."""
        before = self.get(table, row_id) if self.watch is not None else None
        self._db.execute(f"DELETE FROM {table.table} WHERE {table.id} = ?", (row_id,))  # noqa: S608 - own names
        if before is not None:
            self._note(table, "d", before, None)

    def get(self, table: Table, row_id: int) -> Row:
        """One row by id. Raises UnknownObject."""
        rows = self.select(table, f"{table.id} = ?", [row_id])
        if not rows:
            raise UnknownObject(f"no {table.name} {row_id}")
        return rows[0]

    def select(
        self,
        table: Table,
        where: str = "1",
        params: list[Any] | None = None,
        order: str = "",
        limit: int = -1,
        offset: int = 0,
    ) -> list[Row]:
        """Rows by a condition made by `where.condition` or written in this package; never text from outside."""
        sql = f"SELECT * FROM {table.table} WHERE {where} ORDER BY {order or table.id} LIMIT ? OFFSET ?"  # noqa: S608
        found = self._db.execute(sql, [*(params or []), limit, offset])
        return [_load(table, row) for row in found]

    def count(self, table: Table, where: str = "1", params: list[Any] | None = None) -> int:
        """How many rows a condition finds."""
        sql = f"SELECT COUNT(*) FROM {table.table} WHERE {where}"  # noqa: S608 - as select
        return int(self._db.execute(sql, params or []).fetchone()[0])

    # The shop's own books: what is expected of each order, what is still to be sent, what is still to happen.

    def write_truth(self, order_id: int, truth: Mapping[str, Any]) -> None:
        """Replace what the shop knows about an order."""
        self._db.execute("INSERT OR REPLACE INTO shop_truth VALUES (?, ?)", (order_id, json.dumps(truth)))

    def truth(self, order_id: int) -> dict[str, Any]:
        """What the shop knows about an order. Raises UnknownObject."""
        found = self._db.execute("SELECT truth FROM shop_truth WHERE order_id = ?", (order_id,)).fetchone()
        if found is None:
            raise UnknownObject(f"no order {order_id}")
        known: dict[str, Any] = json.loads(found[0])
        return known

    def truths(self) -> list[dict[str, Any]]:
        """Every order's truth, by id."""
        return [json.loads(row[0]) for row in self._db.execute("SELECT truth FROM shop_truth ORDER BY order_id")]

    def write_payout(self, payout: Mapping[str, Any]) -> None:
        """Remember what a gateway has paid out."""
        self._db.execute("INSERT INTO shop_payout (payout) VALUES (?)", (json.dumps(payout),))

    def payouts(self) -> list[dict[str, Any]]:
        """What gateways have paid out, oldest first."""
        return [json.loads(row[0]) for row in self._db.execute("SELECT payout FROM shop_payout ORDER BY id")]

    def post(self, sequence: int, route: str, event_id: str, event_type: str, object_id: int, body: str) -> None:
        """Queue an event in the transaction of what it tells of."""
        sql = (
            "INSERT INTO shop_outbox (sequence, route, event_id, event_type, object_id, body) VALUES (?, ?, ?, ?, ?, ?)"
        )
        self._db.execute(sql, (sequence, route, event_id, event_type, object_id, body))
        if self.watch is not None:
            self._log.append(Outgoing(sequence, route, event_id, event_type, object_id, body, 0))
            self._tell()

    def outgoing(self, limit: int) -> list[Outgoing]:
        """The oldest pending events."""
        sql = (
            "SELECT sequence, route, event_id, event_type, object_id, body, attempts FROM shop_outbox"
            " WHERE state = 'pending' ORDER BY sequence LIMIT ?"
        )
        return [Outgoing(*row) for row in self._db.execute(sql, (limit,))]

    def mark(self, sequences: list[int], state: str, answer: str) -> None:
        """Note the outcome of an attempt for these events: state `pending`, `sent` or `rejected`."""
        rows = [(state, answer, sequence) for sequence in sequences]
        with self.transaction():
            self._db.executemany(
                "UPDATE shop_outbox SET state = ?, answer = ?, attempts = attempts + 1 WHERE sequence = ?", rows
            )

    def outbox_counts(self) -> dict[str, int]:
        """Events by state, and the attempts made in all."""
        counts = dict.fromkeys(("pending", "sent", "rejected"), 0)
        counts |= {
            str(state): int(n)
            for state, n in self._db.execute("SELECT state, COUNT(*) FROM shop_outbox GROUP BY state")
        }
        counts["attempts"] = int(self._db.execute("SELECT COALESCE(SUM(attempts), 0) FROM shop_outbox").fetchone()[0])
        return counts

    def plan(self, order_id: int, action: str, due: float, held: bool) -> None:
        """Remember that something is to happen to an order at `due` (unix seconds), or, if held, once released."""
        self._db.execute(
            "INSERT INTO shop_follow_up (order_id, action, due, held) VALUES (?, ?, ?, ?)",
            (order_id, action, due, held),
        )

    def due(self, now: float) -> list[tuple[int, int, str]]:
        """(id, order, action) of everything that is due."""
        sql = "SELECT id, order_id, action FROM shop_follow_up WHERE held = 0 AND due <= ? ORDER BY id"
        return [(int(a), int(b), str(c)) for a, b, c in self._db.execute(sql, (now,))]

    def done(self, follow_up_id: int) -> None:
        """Forget a follow-up that has happened."""
        self._db.execute("DELETE FROM shop_follow_up WHERE id = ?", (follow_up_id,))

    def release(self) -> int:
        """Let held follow-ups happen now; returns how many."""
        return self._db.execute("UPDATE shop_follow_up SET held = 0, due = 0 WHERE held = 1").rowcount

    def follow_ups(self) -> tuple[int, int]:
        """(waiting for their time, held)."""
        row = self._db.execute(
            "SELECT COALESCE(SUM(held = 0), 0), COALESCE(SUM(held), 0) FROM shop_follow_up"
        ).fetchone()
        return int(row[0]), int(row[1])


def _store(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return int(value) if isinstance(value, bool) else value


def _load(table: Table, values: tuple[Any, ...]) -> Row:
    row: Row = {}
    for (name, kind), value in zip(table.columns.items(), values, strict=True):
        if value is not None and kind is Kind.MONEY:
            value = Decimal(value)
        elif value is not None and kind is Kind.BOOL:
            value = bool(value)
        row[name] = value
    return row
