"""Bench (d): live trade, 300 ms a call, 60 calls a minute: lone orders, then five a second for three minutes."""

from __future__ import annotations

import asyncio
import time
from itertools import islice

from connectors.kentico.sandbox.checkout import generate
from k2x.demo.outcome import percentile
from tests.bench.stack import await_paid, send, stack


def run(short: bool) -> list[tuple[str, float, str, str]]:
    seconds, rate, lone = (20, 5, 3) if short else (180, 5, 5)
    total = lone + seconds * rate
    envelopes = generate("live", total, new_customers=total // 2, instance="emea", site_name="GoatUK", full_joins=True)
    with stack(latency_ms=300) as running:
        warm = 0.0
        for number in range(1, lone + 1):  # each alone, the books at rest before it; the first meets cold processes
            asyncio.run(send(running, islice(envelopes, 1), batch=1))
            await_paid(running, "uk", number, patience_s=120)
            time.sleep(8)
            warm = warm or time.time()
        alone = running.latencies(warm)
        started = time.time()
        asyncio.run(send(running, envelopes, batch=1, per_second=rate))
        await_paid(running, "uk", total, patience_s=300)
        time.sleep(1)  # the last transaction
        under_load = running.latencies(started)
        refused, memory = running.refused("uk"), running.peak_mb()
    steady = f"{rate} orders/s for {seconds} s, 300 ms a call, 60 calls a minute, half new customers"
    rows = [
        ("lone order to PAID, slowest", max(alone), "s", f"{len(alone)} orders, each alone, 300 ms a call"),
        ("to PAID, median", percentile(under_load, 0.5), "s", steady),
        ("to PAID, 95 %", percentile(under_load, 0.95), "s", steady),
        ("429 answers", float(refused), "answers", steady),
    ]
    return rows + [(f"peak memory {name}", mb, "MB", steady) for name, mb in memory.items()]
