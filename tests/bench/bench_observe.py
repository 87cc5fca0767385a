"""Bench: what metrics and tracing cost the streams worker: the same orders with neither, with metrics, with both.

By the worker's own CPU seconds, which bound its orders per second on a core of its own and which other programs on the
machine cannot stretch; interleaved and repeated, the best of each is told.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

from tests.bench.bench_streams import UK, _await_members, _send, ready
from tests.bench.rig import CORES, Process, broker, python
from tests.streams.desk import Desk

_WAYS = ("off", "metrics", "metrics and tracing")


def run(short: bool) -> list[tuple[str, float, str, str]]:
    orders, times = (6_000, 1) if short else (30_000, 3)
    rates: dict[str, list[float]] = {way: [] for way in _WAYS}
    collector = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    with broker() as bootstrap, tempfile.TemporaryDirectory() as scratch:
        for _ in range(times):
            for way in _WAYS:
                endpoint = f"http://127.0.0.1:{collector.server_port}" if "tracing" in way else ""
                rates[way].append(_measure(bootstrap, Path(scratch), orders, way != "off", endpoint))
    collector.shutdown()
    conditions = f"{orders} orders of 3 lines, one worker, best of {times}"
    best = {way: max(found) for way, found in rates.items()}
    rows = [(f"orders a CPU second, {way}", rate, "orders", conditions) for way, rate in best.items()]
    for way in _WAYS[1:]:
        rows.append((f"cost of {way}", 100 * (1 - best[way] / best["off"]), "%", conditions))
    return rows


def _measure(bootstrap: str, scratch: Path, orders: int, metrics: bool, endpoint: str) -> float:
    desk = Desk(bootstrap, f"bench-{uuid4().hex[:6]}", scratch, partitions=4)
    desk.create_topics()
    ready(desk)
    given = desk.settings(worker="bench-0", noted=False, bare=not metrics, spans_to=endpoint)
    command = python("-m", "tests.streams.worker_process", json.dumps(given))
    process = Process(command, {}, scratch / f"{desk.prefix}log", cores=CORES[:1])
    try:
        _await_members(desk, 1)
        _send(desk, orders)
        return _per_cpu_second(desk, process, orders)
    finally:
        process.stop()


def _per_cpu_second(desk: Desk, process: Process, orders: int) -> float:
    """Between the first and the last tenth, while the worker has nothing else to do."""
    marks: list[tuple[float, int]] = []
    ends = time.monotonic() + 600
    while not marks or marks[-1][1] < orders:
        if time.monotonic() > ends:
            raise TimeoutError(f"{marks[-1][1]} of {orders} orders became commands within 600 s")
        marks.append((process.cpu_seconds, desk.end(UK)))
        time.sleep(0.05)
    begin = next(mark for mark in marks if mark[1] >= orders * 0.1)
    end = next(mark for mark in marks if mark[1] >= orders * 0.9)
    return (end[1] - begin[1]) / (end[0] - begin[0])


class _Collector(BaseHTTPRequestHandler):
    """Takes spans and forgets them."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""
