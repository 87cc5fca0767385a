"""Bench: what metrics and tracing cost, in the CPU time of what streams does with an order; then its four results too.

An order alone is what a worker's orders per second are counted by. Kafka's part is left out, so the shares told are
more than what they lose. CPU time, so that other
programs on the machine stretch little; many small rounds, in each of which all ways take turns, and the median of
their ratios, for caches and clock speed are shared with whatever else runs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import httpx
from prometheus_client import CollectorRegistry

from connectors.xero.core import records
from k2x.tracing import OtlpRecorder
from schemas import spans, topics
from schemas.codec import Codec
from schemas.ids import CommittedIds
from streams.metrics import Metrics
from streams.orders import Orders
from streams.outputs import Incoming, Outputs
from streams.results import Results
from streams.settings import StreamsSettings
from streams.stores import Stores
from streams.workflow import WorkflowCompiler
from tests.bench import books
from tests.connectors.xero import commands
from tests.streams import samples

_WAYS = ("off", "metrics", "metrics and tracing")
_COUNTS = ("event", "letter", "result", "transformed", "parked", "ready", "selling")
_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_KINDS = ("contact", "invoice", "payment", "order")
_ITEMS = 500


def run(short: bool) -> list[tuple[str, float, str, str]]:
    orders, times = (150, 11) if short else (200, 121)
    rows: list[tuple[str, float, str, str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for kinds in ((), _KINDS):
            work = _work(Path(scratch), Metrics(CollectorRegistry()), orders, kinds)
            took = _turns(work, times)
            what = f"an order and its {len(kinds)} results" if kinds else "an order"
            conditions = f"{orders} orders of 3 lines, Kafka left out, median of {times} rounds"
            rows += [
                (f"CPU time of {what}, {way}", 1e6 * median(took[way]) / orders, "µs", conditions) for way in _WAYS
            ]
            rows += [(f"{what}: cost of {way}", 100 * (_ratio(took, way) - 1), "%", conditions) for way in _WAYS[1:]]
    return rows


def _turns(work: Callable[[], None], times: int) -> dict[str, list[float]]:
    """CPU seconds of each round, by way."""
    took: dict[str, list[float]] = {way: [] for way in _WAYS}
    work()
    for number in range(times):
        for way in _WAYS if number % 2 else reversed(_WAYS):
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
    if way == "off":
        with patch.multiple(Metrics, **{name: lambda *_, **__: None for name in _COUNTS}):
            work()
    else:
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
