"""Bench (a): orders through Faust workers on real Kafka, three lines and every money column, real rules and tax.

One worker on a core of its own (the broker has the other), then two workers on both cores.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from schemas import topics
from schemas.delivery import Record
from tests.bench import books
from tests.bench.rig import CORES, Process, broker, python
from tests.streams import samples
from tests.streams.desk import Desk

UK = topics.commands("uk")
DISTINCT = 2000  # aggregates encoded beforehand; each is sent several times under keys of its own
ITEMS = 5000  # in Xero, so that memory is a real shop's
NOTED = os.environ.get("K2X_BENCH_NOTED") == "1"  # the fake flow instead of the real one: what Kafka's side costs


def run(short: bool) -> list[tuple[str, float, str, str]]:
    orders = 6_000 if short else 40_000
    rows = []
    with broker() as bootstrap, tempfile.TemporaryDirectory() as scratch:
        for workers in (1, 2):
            desk = Desk(bootstrap, f"bench-{uuid4().hex[:6]}", Path(scratch), partitions=4)
            desk.create_topics()
            ready(desk)
            rate, memory = _measure(desk, workers, orders, Path(scratch))
            conditions = (
                f"{orders} orders of 3 lines, {workers} worker(s), 4 partitions, embedded Kafka, {len(CORES)} cores"
            )
            rows += [
                (f"orders through {workers} worker(s)", rate, "orders/s", conditions),
                (f"peak memory of a worker, {workers} worker(s)", memory, "MB", conditions),
            ]
    return rows


def ready(desk: Desk) -> None:
    """Publish the organisation's rules and reference data."""
    rows = books.reference(ITEMS)
    desk.send(topics.RULES, "rules", [("uk|latest", samples.rules("uk", 1, books.rules()))])
    desk.send(
        topics.REFERENCE,
        "reference",
        [(f"uk|{kind}|{code}", samples.reference("uk", kind, code, document)) for kind, code, document in rows],
    )


def _measure(desk: Desk, workers: int, orders: int, scratch: Path) -> tuple[float, float]:
    """Orders a second between the first and the last tenth, and the largest memory of a worker in MB."""
    processes = []
    try:
        for number in range(workers):
            given = json.dumps(desk.settings(worker=f"bench-{number}", noted=NOTED))
            command = python("-m", "tests.streams.worker_process", given)
            cores = CORES[number : number + 1] if workers > 1 else CORES[:1]
            processes.append(Process(command, {}, scratch / f"{desk.prefix}{number}.log", cores=cores))
        await_members(desk, workers)
        _send(desk, orders)
        rate = _rate(desk, orders)
    finally:
        for process in processes:
            process.stop()
    return rate, max(process.peak_mb for process in processes)


def await_members(desk: Desk, workers: int) -> None:
    ends = time.monotonic() + 60
    while len(desk.members_at_work()) < workers:
        if time.monotonic() > ends:
            raise TimeoutError("the workers did not share the partitions within 60 s")
        time.sleep(0.2)
    time.sleep(2)  # partitions are assigned before they are fetched


def _send(desk: Desk, orders: int) -> None:
    values = [desk.codec.encode("order", samples.order(n)) for n in range(DISTINCT)]
    topic = desk.prefix + topics.ORDERS
    for first in range(0, orders, 10_000):
        numbers = range(first, min(first + 10_000, orders))
        desk.deliver([Record(topic, f"emea|{n}".encode(), values[n % DISTINCT]) for n in numbers])


def _rate(desk: Desk, orders: int) -> float:
    marks: list[tuple[float, int]] = []
    ends = time.monotonic() + 300
    while not marks or marks[-1][1] < orders:
        if time.monotonic() > ends:
            raise TimeoutError(f"{marks[-1][1]} of {orders} orders became commands within 300 s")
        marks.append((time.monotonic(), desk.end(UK)))
        time.sleep(0.05)
    begin = next(mark for mark in marks if mark[1] >= orders * 0.1)
    end = next(mark for mark in marks if mark[1] >= orders * 0.9)
    return (end[1] - begin[1]) / (end[0] - begin[0])
