"""Bench: what metrics and tracing cost streams, in CPU time, with an order alone and with an order and its results.

Twice: by the work alone, in one process, many small rounds in each of which all ways take turns; and by whole workers
on a real Kafka, whose core they would fill. CPU time, so that other programs on the machine stretch little; medians of
ratios, for caches and clock speed are shared with whatever else runs.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import httpx
from prometheus_client import CollectorRegistry

from connectors.xero.core import records
from k2x.tracing import OtlpRecorder
from schemas import spans, topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.ids import CommittedIds
from streams.metrics import Metrics
from streams.orders import Orders
from streams.outputs import Incoming, Outputs
from streams.results import Results
from streams.settings import StreamsSettings
from streams.stores import Stores
from streams.workflow import WorkflowCompiler
from tests.bench import books
from tests.bench.bench_streams import await_members, ready
from tests.bench.observed_worker import WAYS, watched
from tests.bench.rig import CORES, Process, broker, python
from tests.connectors.xero import commands
from tests.streams import samples
from tests.streams.desk import Desk

_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_KINDS = ("contact", "invoice", "payment", "order")
_ITEMS = 500
_WARM = 500  # orders before a worker's time is taken


def run(short: bool) -> list[tuple[str, float, str, str]]:
    orders, times = (150, 11) if short else (200, 121)
    rows: list[tuple[str, float, str, str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for kinds in ((), _KINDS):
            work = _work(Path(scratch), Metrics(CollectorRegistry()), orders, kinds)
            took = _turns(work, times)
            what = f"an order and its {len(kinds)} results" if kinds else "an order"
            conditions = f"{orders} orders of 3 lines, Kafka left out, median of {times} rounds"
            rows += [(f"CPU time of {what}, {way}", 1e6 * median(took[way]) / orders, "µs", conditions) for way in WAYS]
            rows += [(f"{what}: cost of {way}", 100 * (_ratio(took, way) - 1), "%", conditions) for way in WAYS[1:]]
    return rows + _whole_workers(short)


def _whole_workers(short: bool) -> list[tuple[str, float, str, str]]:
    """Workers on Kafka, one after the other, each way in turn."""
    orders, times = (2_000, 1) if short else (10_000, 7)
    took: dict[str, list[float]] = {way: [] for way in WAYS}
    with broker() as bootstrap, tempfile.TemporaryDirectory() as scratch, _collector() as collector:
        for number in range(times):
            for way in WAYS if number % 2 else tuple(reversed(WAYS)):
                took[way].append(_whole_worker(bootstrap, Path(scratch), collector, way, orders))
    conditions = f"{orders} orders of 3 lines and {len(_KINDS)} results each, real Kafka, median of {times} workers"
    rows = [(f"whole worker, CPU time of an order, {way}", 1e6 * median(took[way]), "µs", conditions) for way in WAYS]
    off = median(took["off"])  # workers share no round's cache or clock, as the work alone does: so no pairs
    rows += [(f"whole worker: cost of {way}", 100 * (median(took[way]) / off - 1), "%", conditions) for way in WAYS[1:]]
    return rows


def _whole_worker(bootstrap: str, scratch: Path, collector: str, way: str, orders: int) -> float:
    """CPU seconds that a worker's process takes for an order and its results, start and warming up left out."""
    desk = Desk(bootstrap, f"observe-{uuid4().hex[:6]}", scratch, partitions=4)
    desk.create_topics()
    ready(desk)
    given = json.dumps(desk.settings(data_dir=str(scratch / desk.prefix)))
    command = python("-m", "tests.bench.observed_worker", way, given, collector)
    worker = Process(command, {}, scratch / f"{desk.prefix}log", cores=CORES[:1])
    try:
        await_members(desk, 1)
        _trade(desk, 0, _WARM)
        before = worker.cpu_seconds()
        _trade(desk, _WARM, _WARM + orders)
        return (worker.cpu_seconds() - before) / orders
    finally:
        worker.stop()


def _trade(desk: Desk, first: int, last: int) -> None:
    """These orders and their results; back once the worker has committed all of them."""
    codec, prefix = desk.codec, desk.prefix
    records: list[Record] = []
    for n in range(first, last):
        key = f"emea|{n}".encode()
        sale = codec.encode("order", samples.order(n) | {"traceparent": _TRACE})
        records.append(Record(prefix + topics.ORDERS, key, sale))
        records += [Record(prefix + topics.RESULTS, key, _result(codec, n, kind).value or b"") for kind in _KINDS]
    desk.deliver(records)
    ends_at = time.monotonic() + 300
    while desk.committed(topics.ORDERS) < last or desk.committed(topics.RESULTS) < last * len(_KINDS):
        if time.monotonic() > ends_at:
            raise TimeoutError(f"the worker has not worked off {last} orders within 300 s")
        time.sleep(0.2)


class _Collector(BaseHTTPRequestHandler):
    """Takes whatever spans come."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextlib.contextmanager
def _collector() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _turns(work: Callable[[], None], times: int) -> dict[str, list[float]]:
    """CPU seconds of each round, by way."""
    took: dict[str, list[float]] = {way: [] for way in WAYS}
    work()
    for number in range(times):
        for way in WAYS if number % 2 else reversed(WAYS):
            took[way].append(_once(work, way))
    return took


def _ratio(took: dict[str, list[float]], way: str) -> float:
    return median(on / off for on, off in zip(took[way], took["off"], strict=True))


def _once(work: Callable[[], None], way: str) -> float:
    recorder = None
    if "tracing" in way:
        transport = httpx.MockTransport(lambda _: httpx.Response(200))
        recorder = OtlpRecorder("http://collector", "k2x-streams", registry=CollectorRegistry(), transport=transport)
        spans.use(recorder)
    began = time.process_time()
    with watched(way):
        work()
    if recorder is not None:
        recorder.send()  # in this thread, so that its CPU time is counted whole
    took = time.process_time() - began
    if recorder is not None:
        spans.use(None)
        recorder.stop()
    return took


class _NoParking:
    def must_park(self, *_: Any) -> bool:
        return False


def _work(scratch: Path, metrics: Metrics, orders: int, kinds: Sequence[str]) -> Callable[[], None]:
    """Every order through its agent, and its results of these kinds through theirs."""
    settings = StreamsSettings(kafka={}, stores={"emea/GoatUK": "uk"}, data_dir=scratch)
    codec, stores = Codec(CommittedIds()), Stores(settings, WorkflowCompiler(), metrics)
    rows = {(kind, code): samples.reference("uk", kind, code, text) for kind, code, text in books.reference(_ITEMS)}
    stores.set_rules("uk", samples.rules("uk", 1, books.rules()))  # type: ignore[arg-type]
    stores.set_reference("uk", rows)  # type: ignore[arg-type]
    parking: Any = _NoParking()
    agent = Orders(settings, codec, stores, Outputs(settings, codec), parking, metrics)
    results = Results(settings, codec, stores, metrics)
    sources = [
        Incoming(topics.ORDERS, 0, n, b"k", codec.encode("order", samples.order(n) | {"traceparent": _TRACE}), [])
        for n in range(orders)
    ]
    ends = [_result(codec, n, kind) for n in range(orders) for kind in kinds]
    now = samples.START

    def work() -> None:
        made = 0
        for source in sources:
            made += len(agent.handle(source, now))
        for end in ends:
            results.handle(end, now)
        if made != orders:
            raise RuntimeError(f"{made} commands of {orders} orders: the bench measures something else")

    return work


def _result(codec: Codec, number: int, kind: str) -> Incoming:
    value = records.result(
        commands.sale(number), kind, "POSTED", samples.START, store="emea/GoatUK", total="58.70", total_tax="9.78",
        currency="GBP", traceparent=_TRACE,
    )  # fmt: skip
    return Incoming(topics.RESULTS, 0, number, b"k", codec.encode("result", dict(value)), [])
