"""Bench (e): a lane with a ledger of a million entries takes over, cold and with its local copy, and its memory.

The command topic holds a million finished records (which must not be read) and, for the last figure, as many unread.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from connectors.xero.settings import SinkSettings
from k2x import kafka_topics
from schemas import topics
from schemas.codec import Codec
from schemas.ids import CommittedIds
from tests.bench import many
from tests.bench.rig import CORES, broker, python
from tests.connectors.xero.servers import sandbox

Said = dict[str, Any]
_UNREAD = 5_000_000  # the first OrderID of the backlog: orders that the ledger does not have
_BACKLOG_S = 60.0  # a minute of Xero's calls


def run(short: bool) -> list[tuple[str, float, str, str]]:
    entries = 50_000 if short else 1_000_000
    codec = Codec(CommittedIds())
    with broker() as bootstrap, tempfile.TemporaryDirectory() as scratch:
        kafka = {"bootstrap.servers": bootstrap}
        kafka_topics.apply(kafka, ["uk"], 1, 1)
        begun = time.monotonic()
        many.fill(kafka, topics.ledger("uk"), many.ledger(codec, entries))
        many.fill(kafka, topics.commands("uk"), many.commands(codec, entries))
        filled = time.monotonic() - begun
        _commit(kafka, entries)
        given = {"kafka": bootstrap, "state": f"{scratch}/cold"}
        cold = _watch(given, lambda said: said["taken_over"])
        warm = _watch(given, lambda said: said["taken_over"])
        many.fill(kafka, topics.commands("uk"), many.commands(codec, entries, _UNREAD))
        with sandbox() as xero:
            found = {key: xero.organisations["uk"][key] for key in ("client_id", "client_secret")}
            urls = {"token_url": f"{xero.url}/connect/token", "api_url": xero.api_url}
            ends = 10.0 if short else _BACKLOG_S
            backlog = _watch({**given, "xero": {**found, **urls}}, lambda said: said["seconds"] > ends)
    busy = f"load average {os.getloadavg()[0]:.0f} on {len(CORES)} cores"
    conditions = f"{entries} ledger entries, {entries} finished commands before the committed offset, {busy}"
    unread = f"the same, {entries} unread commands, {backlog['fed']} of them read after {ends:.0f} s"
    return [
        ("records written", 2 * entries / filled, "records/s", conditions),
        ("take-over, cold", cold["seconds"], "s", conditions),
        ("take-over, cold, of that CPU", cold["cpu_seconds"], "s", conditions),
        ("take-over, with local copy", warm["seconds"], "s", conditions),
        ("peak memory, cold", cold["peak_mb"], "MB", conditions),
        ("peak memory, with local copy", warm["peak_mb"], "MB", conditions),
        ("finished commands read at a take-over", cold["read_mb"].get(topics.commands("uk"), 0.0), "MB", conditions),
        ("peak memory, backlog", backlog["peak_mb"], "MB", unread),
        ("backlog read ahead", backlog["read_mb"][topics.commands("uk")], "MB", unread),
    ]


def _commit(kafka: dict[str, str], offset: int) -> None:
    """What the sink has finished."""
    group = SinkSettings(state_dir=Path()).group_id
    consumer = Consumer({**kafka, "group.id": group, "enable.auto.commit": False})
    try:
        consumer.commit(offsets=[TopicPartition(topics.commands("uk"), 0, offset)], asynchronous=False)
    finally:
        consumer.close()


def _watch(given: dict[str, Any], enough: Callable[[Said], bool]) -> Said:
    """A sink process of its own until what it says is enough; its last word."""
    process = subprocess.Popen(
        python("-m", "tests.bench.sink_process", json.dumps(given)), stdout=subprocess.PIPE, text=True
    )
    ends = time.monotonic() + 300
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said: Said = json.loads(line) if line.startswith("{") else {}
            if said and enough(said):
                return said
            if time.monotonic() > ends:
                break
        raise TimeoutError("the sink did not take over within 300 s")
    finally:
        process.terminate()
        process.wait(30)
