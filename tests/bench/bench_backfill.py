"""Bench (c): a backfill into one organisation, the sandbox's clock and the sink's budget on the same fast clock."""

from __future__ import annotations

import asyncio
import time

from connectors.kentico.sandbox.checkout import generate
from tests.bench.stack import await_paid, send, stack

SPEED = 5.0


def run(short: bool) -> list[tuple[str, float, str, str]]:
    orders, customers = (500, 300) if short else (5_000, 3_000)
    envelopes = generate(
        "backfill", orders, new_customers=customers, instance="emea", site_name="GoatUK", full_joins=True
    )
    with stack(speed=SPEED, latency_ms=300) as running:
        begun = time.monotonic()
        asyncio.run(send(running, envelopes, batch=100))
        ended = await_paid(running, "uk", orders, patience_s=600)
        calls, refused, memory = running.calls("uk"), running.refused("uk"), running.peak_mb()
    minutes = (ended - begun) * SPEED / 60
    conditions = f"{orders} orders, {customers} new customers, clock x{SPEED:.0f}, 300 ms a call, 60 calls a minute"
    rows = [
        ("orders per sandbox minute", orders / minutes, "orders/min", conditions),
        ("calls per order", calls / orders, "calls/order", conditions),
        ("429 answers", float(refused), "answers", conditions),
    ]
    return rows + [(f"peak memory {name}", mb, "MB", conditions) for name, mb in memory.items()]
