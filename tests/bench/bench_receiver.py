"""Bench (b): the receiver on one core, signed whole orders of 3 lines, 50 a request; acked means on Kafka."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import tempfile
import time
from itertools import islice
from pathlib import Path

import aiohttp
import orjson
import yaml

from connectors.kentico.sandbox.checkout import generate
from connectors.kentico.sandbox.server import default_credentials
from k2x import kafka_topics
from k2x.demo.deployment import deployment, secrets
from tests.bench.rig import CORES, Process, await_http, broker, free_port, python

PER_REQUEST = 50
IN_FLIGHT = 6


def run(short: bool) -> list[tuple[str, float, str, str]]:
    orders = 2_000 if short else 20_000
    bodies = _bodies(orders)
    names = ["xero", "kentico", "receiver", "receiver-metrics"]
    with broker() as bootstrap, tempfile.TemporaryDirectory() as scratch:
        ports = {name: free_port() for name in names}
        config = Path(scratch) / "k2x.yaml"
        config.write_text(yaml.safe_dump(deployment(bootstrap, ports, Path(scratch), 1.0)), "utf-8")
        kafka_topics.apply({"bootstrap.servers": bootstrap}, ["uk", "au", "de"], 4, 1)
        command = python("-m", "k2x", "run", "receiver", "--config", str(config), "--log-level", "warning")
        process = Process(command, secrets(), Path(scratch) / "log", cores=CORES[:1])
        os.sched_setaffinity(0, CORES[-1:])
        try:
            url = f"http://127.0.0.1:{ports['receiver']}"
            await_http(url + "/healthz")
            asyncio.run(_send(url, bodies[: len(bodies) // 10]))  # warm-up
            seconds = asyncio.run(_send(url, bodies))
        finally:
            os.sched_setaffinity(0, CORES)
            process.stop()
    conditions = f"{orders} orders of 3 lines, {PER_REQUEST} a request, one core, {IN_FLIGHT} requests in flight"
    return [
        ("orders acked", orders / seconds, "orders/s", conditions),
        ("peak memory", process.peak_mb, "MB", conditions),
    ]


def _bodies(orders: int) -> list[bytes]:
    envelopes = generate("bench", orders, instance="emea", site_name="GoatUK", lines=3, full_joins=True)
    found = []
    while batch := list(islice(envelopes, PER_REQUEST)):
        found.append(orjson.dumps(batch))
    return found


async def _send(url: str, bodies: list[bytes]) -> float:
    secret = default_credentials("emea").webhook_secret.encode()
    queue = list(reversed(bodies))
    begun = time.perf_counter()
    async with aiohttp.ClientSession() as session:

        async def lane() -> None:
            while queue:
                body = queue.pop()
                now = str(int(time.time()))
                mac = hmac.new(secret, now.encode() + b"." + body, hashlib.sha256).hexdigest()
                headers = {"X-Kentico-Signature": f"t={now},v1={mac}", "Content-Type": "application/json"}
                async with session.post(f"{url}/kentico/emea/events", data=body, headers=headers) as answer:
                    if answer.status != 202:
                        raise RuntimeError(f"{answer.status}: {(await answer.text())[:300]}")

        await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
    return time.perf_counter() - begun
