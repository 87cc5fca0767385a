"""Bench: 10,000 orders of one day in three stores, one summary each: calls to Xero, and every cent reconciled."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.bench.rig import broker, peak_mb
from tests.bench.summary_day import CORE, QUIET_S, SITES, summary_day
from tests.connectors.xero.servers import sandbox

MOST_CALLS = 20


def run(short: bool) -> list[tuple[str, float, str, str]]:
    orders = 300 if short else 10_000
    with (
        broker() as kafka,
        tempfile.TemporaryDirectory() as scratch,
        sandbox("--latency-ms", "300") as xero,
        summary_day(kafka, xero, "summary-day", Path(scratch)) as day,
    ):
        before = day.calls()
        began = time.monotonic()
        with day.office.sink("sink", core=CORE):
            day.send(day.orders(orders))
            sent = time.monotonic() - began
            day.await_posted(seconds=1800)
            whole = time.monotonic() - began
        calls = day.calls() - before
        day.to_the_cent()
        begun = time.monotonic()
        report = day.report()
        reconciled = time.monotonic() - begun
    numbers = [one["number"] for one in report["summaries"]]
    if not report["clean"] or report["posted"] != orders or len(numbers) < len(SITES):
        raise RuntimeError(f"{report['posted']} of {orders} posted in {numbers}: {report['findings'][:5]}")
    if calls >= MOST_CALLS:
        raise RuntimeError(f"{calls} calls for one day of {len(SITES)} stores; {MOST_CALLS} are too many")
    conditions = (
        f"{orders} orders of 3 lines, one day, 3 stores, one summary each, 300 ms a call, quiet time {QUIET_S:.0f} s"
    )
    return [
        ("Xero calls for the day", float(calls), "calls", conditions),
        ("summaries", float(len(numbers)), "documents", conditions),
        ("calls an order", calls / orders, "calls", conditions),
        ("orders to commands on Kafka", orders / sent, "orders/s", conditions + ", generator included"),
        ("orders collected, closed, posted, settled", orders / whole, "orders/s", conditions),
        ("orders reconciled with Xero to the cent", orders / reconciled, "orders/s", conditions),
        ("peak memory generator, transforms, sink and audit", peak_mb(), "MB", conditions),
    ]
