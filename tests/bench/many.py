"""Very many ledger entries and commands on real topics: one is encoded, then its digits are replaced in the bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Producer

from connectors.xero.core.records import entry, invoice_key, payment_key
from schemas.codec import Codec
from schemas.types import LedgerEntry
from tests.connectors.xero.commands import T0, contact, sale

NUMBER = "8888888"  # stands for the order's number, in every place where it counts
_GUID = f"2c6c3a44-9c1d-4b7e-8f10-00000{NUMBER}"


def ledger(codec: Codec, entries: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values: an invoice, its payment and its contact for each order."""
    made = [(e["key"].encode(), codec.encode("ledger", e)) for e in (_invoice(), _payment(), _contact())]
    for n in range(entries):
        key, value = made[n % len(made)]
        yield _of(key, n // len(made)), _of(value, n // len(made))


def commands(codec: Codec, count: int, first: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of sales, one an order, each of a new customer."""
    who = contact(1, key=f"shop|C{NUMBER}", number=f"WC{NUMBER}", name=f"Customer {NUMBER}")
    command = sale(int(NUMBER), org="uk", who=who)
    key, value = command["key"].encode(), codec.encode("command", command)
    for n in range(first, first + count):
        yield _of(key, n), _of(value, n)


def fill(kafka: Mapping[str, Any], topic: str, records: Iterator[tuple[bytes, bytes]]) -> None:
    """Onto the only partition of a topic, as fast as the broker takes them."""
    conf = {"linger.ms": 50, "batch.size": 1_000_000, "compression.type": "lz4", "acks": "all"}
    producer = Producer({**conf, "queue.buffering.max.messages": 1_000_000, **kafka})
    for n, (key, value) in enumerate(records):
        while True:
            try:
                producer.produce(topic, value, key, partition=0)
                break
            except BufferError:
                producer.poll(0.5)
        if n % 10_000 == 0:
            producer.poll(0)
    left = producer.flush(120)
    if left:
        raise RuntimeError(f"{left} records for {topic} were not taken")


def _of(data: bytes, number: int) -> bytes:
    return data.replace(NUMBER.encode(), b"%07d" % number)


def _posted(key: str, kind: str, **fields: Any) -> LedgerEntry:
    made: Any = {**entry("uk", key, kind, T0), "state": "POSTED", "xero_id": _GUID, "version": T0, "attempt": 1}
    return {**made, **fields}


def _invoice() -> LedgerEntry:
    money = {"total": "120.00", "total_tax": "20.00", "currency": "GBP", "hash": "m" * 32, "observed_at": T0}
    number = {"number": f"W-{NUMBER}", "status": "PAID", "contact_id": _GUID}
    return _posted(invoice_key(f"shop|{NUMBER}"), "invoice", **number, **money)


def _payment() -> LedgerEntry:
    money = {"total": "120.00", "currency": "GBP", "hash": "p" * 32, "observed_at": T0, "status": "AUTHORISED"}
    return _posted(payment_key(f"shop|{NUMBER}", 1), "payment", ordinal=1, number=f"W-{NUMBER}/1", **money)


def _contact() -> LedgerEntry:
    return _posted(f"shop|C{NUMBER}", "contact", number=f"WC{NUMBER}", hash="c" * 32)
