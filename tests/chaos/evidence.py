"""Gathers what the judge needs, at the end of a run: from the shop's database, Kafka and Xero's side door."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from k2x.audit.log import read_to_end
from k2x.demo.books import Books
from k2x.demo.deployment import ORGANISATIONS, TRADING
from schemas.codec import Codec
from schemas.ids import CommittedIds
from schemas.topics import CHANGES, CUSTOMERS, ORDERS, PRODUCTS, SETTLEMENTS
from tests.chaos.judge import Accepted

_MADE = (
    ("Payments", "PaymentID"), ("Invoices", "InvoiceID"), ("Contacts", "ContactID"), ("CreditNotes", "CreditNoteID"),
    ("BankTransactions", "BankTransactionID"), ("BankTransfers", "BankTransferID"),
)  # fmt: skip
_AT_ONCE_S = 0.5  # between the freeze and the moment we saw it


@dataclass(frozen=True)
class OnKafka:
    """What arrived: (instance, event id), and unsigned hints by (instance, object id)."""

    ids: set[tuple[str, str]]
    hints: Mapping[tuple[str, int], int]


def on_kafka(kafka: Mapping[str, Any]) -> OnKafka:
    """Every event id on the topics that the receiver writes."""
    codec, ids, hints = Codec(CommittedIds()), set[tuple[str, str]](), Counter[tuple[str, int]]()
    for message in read_to_end(kafka, [ORDERS, CUSTOMERS, PRODUCTS, CHANGES, SETTLEMENTS]):
        value = codec.decode(message.value() or b"")
        if value["event_id"]:
            ids.add((value["instance"], value["event_id"]))
        elif message.topic() == CHANGES and value["source"] == "HINT":
            hints[value["instance"], value["object_id"]] += 1
    return OnKafka(ids, hints)


def accepted(directory: Path) -> list[Accepted]:
    """Every event of the shops that was answered 202."""
    sql = "SELECT route, event_id, object_id FROM shop_outbox WHERE state = 'sent'"
    return [
        Accepted(instance, "" if route == "hints" else event_id, object_id)
        for instance in TRADING
        for route, event_id, object_id in _rows(directory, instance, sql)
    ]


def refused(directory: Path) -> list[tuple[str, str]]:
    """(instance|object, answer) of events that the receiver refused for good."""
    sql = "SELECT object_id, answer FROM shop_outbox WHERE state = 'rejected'"
    return [
        (f"{instance}|{object_id}", answer)
        for instance in TRADING
        for object_id, answer in _rows(directory, instance, sql)
    ]


def shown_numbers(directory: Path) -> dict[str, str | None]:
    """Order → the invoice number that Kentico shows."""
    sql = "SELECT OrderID, OrderXeroInvoiceNumber FROM COM_Order"
    return {f"emea|{order_id}": number for order_id, number in _rows(directory, "emea", sql)}


def _rows(directory: Path, instance: str, sql: str) -> Iterator[Sequence[Any]]:
    path = directory / "kentico-sandbox" / f"{instance}.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        yield from database.execute(sql)


@dataclass(frozen=True)
class LateCall:
    """A call that a frozen sink had ready, as Xero took it when the sink was woken."""

    resource: str
    status: int
    elements: int
    taken: frozenset[str]  # ids of what it made

    def __str__(self) -> str:
        return f"late {self.resource}: status {self.status}, {len(self.taken)} of {self.elements} elements taken"


def late_calls(directory: Path, stopped: float, woken: float) -> list[LateCall]:
    """Read from Xero's own store of idempotency keys. A key names the lane's life (`k2x-<life>-…`): late are the keys
    first used after the thaw, of lives that had used keys before the freeze and none during it."""
    path = directory / "xero-sandbox" / "xero-sandbox.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        rows = list(database.execute("SELECT key, first, status, elements, body FROM keys ORDER BY first"))
    life = {key: key.split("-")[1] for key, *_ in rows if key.startswith("k2x-")}
    before = {life[key] for key, first, *_ in rows if key in life and first < stopped}
    during = {life[key] for key, first, *_ in rows if key in life and stopped + _AT_ONCE_S < first < woken}
    return [
        _late(status, elements, body)
        for key, first, status, elements, body in rows
        if first >= woken and life.get(key) in before - during
    ]


def _late(status: int, elements: int, body: bytes) -> LateCall:
    answer = orjson.loads(body) if status == 200 else {}
    for resource, singular in _MADE:
        if resource in answer:
            good = [row for row in answer[resource] if not row.get("HasErrors") and not row.get("ValidationErrors")]
            return LateCall(resource, status, elements, frozenset(row[singular] for row in good))
    return LateCall("call", status, elements, frozenset())


def exports(xero: str) -> dict[str, Mapping[str, Any]]:
    """Every organisation's books, money as Decimal."""
    return {org: Books(xero).export(org) for org in ORGANISATIONS}


def request_log(xero: str) -> list[dict[str, Any]]:
    """Every call that Xero has answered, oldest first."""
    answer = httpx.get(f"{xero}/_sandbox/requests?limit=1000000", timeout=60.0)
    answer.raise_for_status()
    return sorted(answer.json()["recent"], key=lambda row: row["seq"])
