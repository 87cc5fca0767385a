"""Bench (e): 20,000 posted orders planned and replayed through real processes: what it costs, and that nothing is
written. The sandbox's clock runs fast only to get the orders posted; a replay of them makes no call."""

from __future__ import annotations

import asyncio
import json
import time

from connectors.kentico.sandbox.checkout import generate
from tests.bench.rig import Process, python
from tests.bench.stack import Stack, await_paid, send, stack

SPEED = 20.0


def run(short: bool) -> list[tuple[str, float, str, str]]:
    orders, customers = (500, 300) if short else (20_000, 10_000)
    envelopes = generate("replay", orders, new_customers=customers, instance="emea", site_name="GoatUK")
    with stack(speed=SPEED, latency_ms=300) as running:
        asyncio.run(send(running, envelopes, batch=100))
        await_paid(running, "uk", orders, patience_s=1800)
        time.sleep(2)  # the last transaction
        before = writes(running)
        plan, planned, plan_mb = command(running, "plan", "--org", "uk", "--json")
        done, _, run_mb = command(running, "run", "--org", "uk", "--yes", "--json")
        after, memory = writes(running), running.peak_mb()
    found, foreseen = done["organisations"]["uk"], plan["organisations"]["uk"]
    if found["left_alone"] != orders or foreseen["left_alone"] != orders:
        raise RuntimeError(f"of {orders} posted orders {found['left_alone']} were left alone; planned {foreseen}")
    conditions = f"{orders} posted orders of 3 lines, 200 outstanding, embedded Kafka, one streams worker, one sink"
    rows = [
        ("posted orders replayed", orders / done["seconds"], "orders/s", conditions),
        ("writes to Xero", float(after - before), "calls", conditions),
        ("posted orders planned", orders / planned, "orders/s", conditions),
        ("peak memory k2x replay run", run_mb, "MB", conditions),
        ("peak memory k2x replay plan", plan_mb, "MB", conditions),
    ]
    return rows + [(f"peak memory {name}", mb, "MB", conditions) for name, mb in memory.items()]


def writes(running: Stack) -> int:
    """Calls that would change something in Xero."""
    return sum(row["calls"] for row in running.requests("uk") if row["method"] != "GET")


def command(running: Stack, *arguments: str) -> tuple[dict[str, dict[str, dict[str, int]]], float, float]:
    """`k2x replay …`: its JSON, its seconds, and its largest memory in MB."""
    begun, log = time.monotonic(), running.config.with_name(f"{arguments[0]}.log")
    process = Process(python("-m", "k2x", "replay", *arguments, "--config", str(running.config)), {}, log)
    code = process.wait()
    seconds = time.monotonic() - begun
    text = log.read_text("utf-8")
    if code:
        raise RuntimeError(f"k2x replay {arguments[0]} ended with {code}: {text[-2000:]}")
    found: dict[str, dict[str, dict[str, int]]] = json.loads(text.strip().splitlines()[-1])
    return found, seconds, process.peak_mb
