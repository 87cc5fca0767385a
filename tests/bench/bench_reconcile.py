"""Bench (e): `k2x reconcile` over a shop of many posted orders: its speed, and memory that must not grow with it.

Everything a posted order leaves on the topics: the order, its command, four results, the ledger entries of contact,
invoice and payment in each of their states. Xero's side is paged from a stand-in: the reader is what is measured.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from k2x import kafka_topics
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer, Record
from schemas.ids import CommittedIds
from tests.bench.rig import broker, python
from tests.connectors.xero import commands
from tests.streams import samples

_TOGETHER = 5_000


def run(short: bool) -> list[tuple[str, float, str, str]]:
    orders = 3_000 if short else 200_000
    with broker() as bootstrap, tempfile.TemporaryDirectory() as scratch:
        records = fill(bootstrap, orders)
        child = python("-m", "tests.bench.reconcile_child", bootstrap, str(orders), scratch)
        done = subprocess.run(child, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"code {done.returncode}: {done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if found["posted"] != orders or found["off"]:
        raise RuntimeError(f"the books of the bench must agree: {found}")
    conditions = f"{orders} posted orders, {records} records"
    return [
        ("orders reconciled", orders / found["seconds"], "orders/s", conditions),
        ("topics read", records / found["gather_s"], "records/s", conditions),
        ("peak memory", found["peak_mb"], "MB", conditions),
        ("scratch on disk", found["disk_mb"], "MB", conditions),
    ]


def fill(bootstrap: str, orders: int) -> int:
    """Produce; how many records."""
    kafka = {"bootstrap.servers": bootstrap}
    kafka_topics.apply(kafka, ["uk"], 4, 1)
    deliverer, codec = Deliverer(kafka, timeout=120.0), Codec(CommittedIds())
    count, batch = 0, list[Record]()
    for number in range(orders):
        batch += _records(codec, number)
        if len(batch) >= _TOGETHER:
            deliverer.deliver_now(batch)
            count += len(batch)
            batch = []
    deliverer.deliver_now(batch)
    deliverer.close()
    return count + len(batch)


def _records(codec: Codec, number: int) -> Iterator[Record]:
    key = f"emea|{number}"
    order = samples.order(number)
    yield Record(topics.ORDERS, key.encode(), codec.encode("order", order))
    command = command_of(number)
    yield Record(
        topics.commands("uk"),
        key.encode(),
        codec.encode("command", {**command, "body": ("k2x.xero.Sale", command["body"])}),
    )
    for kind, outcome in (("contact", "POSTED"), ("invoice", "POSTED"), ("payment", "POSTED"), ("order", "POSTED")):
        value = _result(command, kind, outcome)
        yield Record(topics.RESULTS, key.encode(), codec.encode("result", value))
    for entry in _entries(command, number):
        yield Record(topics.ledger("uk"), entry["key"].encode(), codec.encode("ledger", entry))


def command_of(number: int) -> Any:
    """The sale of samples.order(number): one line, one payment."""
    made: Any = commands.sale(number, total="58.70", tax="9.78")
    body = {**made["body"], "number": f"UK-{number}"}
    at = samples.START + timedelta(seconds=number)
    where = {"key": f"emea|{number}", "instance": "emea", "store": "emea/GoatUK"}
    return {**made, **where, "body": body, "version": at, "observed_at": at, "received_at": at}


def _result(command: Any, kind: str, outcome: str) -> dict[str, Any]:
    empty = ("xero_id", "status", "amount_due", "error_class", "error_code", "message", "hint", "traceparent")
    return {
        **dict.fromkeys(empty),
        **{name: command[name] for name in ("org", "instance", "store", "order_id", "key", "version", "received_at")},
        "kind": kind,
        "ordinal": 0,
        "outcome": outcome,
        "number": command["body"]["number"],
        "total": "58.70",
        "total_tax": "9.78",
        "currency": "GBP",
        "findings": [],
        "at": command["received_at"] + timedelta(seconds=2),
        "command_id": command["command_id"],
    }


def _entries(command: Any, number: int) -> Iterator[dict[str, Any]]:
    """Each document intended, then posted; the invoice once more when it is PAID."""
    at, body = command["version"], command["body"]
    empty = ("command", "command_offset", "reason", "retry_at")
    documents = (
        (f"emea|C{number}", "contact", f"c-{number}", None, "POSTED", ("",)),
        (f"emea|{number}|invoice|0", "invoice", f"i-{number}", body["number"], "POSTED", ("AUTHORISED", "PAID")),
        (f"emea|{number}|payment|1", "payment", f"p-{number}", f"{body['number']}/1", "POSTED", ("AUTHORISED",)),
    )
    intention = {
        "step": "invoice", "idempotency_key": f"k2x-{number}", "body_sha256": "0" * 64, "intended_at": at,
        "token_id": "t", "attempt": 1, "hash": body["money_hash"], "version": at,
    }  # fmt: skip
    for key, kind, own, called, state, statuses in documents:
        entry: dict[str, Any] = {
            **dict.fromkeys(empty), "org": "uk", "key": key, "kind": kind, "ordinal": 1 if kind == "payment" else 0,
            "number": called, "hash": body["money_hash"], "version": at, "observed_at": at, "total": "58.70",
            "total_tax": "9.78", "currency": "GBP", "contact_id": f"c-{number}", "attempt": 1, "updated_at": at,
            "extra": {},
        }  # fmt: skip
        yield {**entry, "state": "INTENDED", "xero_id": None, "status": None, "intention": intention}
        for status in statuses:
            yield {**entry, "state": state, "xero_id": own, "status": status or None, "intention": None}
