"""Bench: a shop's whole history by REST into Kafka, stopped and resumed twice; each order once, by comparing ids."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import yaml

from k2x import kafka_topics
from k2x.audit.log import read_to_end
from k2x.config import load
from k2x.demo.deployment import deployment, secrets
from k2x.replay.broker import asked
from schemas.topics import ORDERS
from tests.bench.rig import Process, await_http, broker, free_port, python

ORDERS_WANTED = int(os.environ.get("K2X_BENCH_ORDERS", "100000"))


def run(short: bool) -> list[tuple[str, float, str, str]]:
    orders = 2_000 if short else ORDERS_WANTED
    with broker() as bootstrap, tempfile.TemporaryDirectory(prefix="k2x-bench-") as scratch:
        here, port = Path(scratch), free_port()
        shop = Process(
            python("-m", "connectors.kentico.sandbox", "--port", str(port), "--data", str(here / "shop")),
            {},
            here / "shop.log",
        )
        try:
            url = f"http://127.0.0.1:{port}"
            await_http(f"{url}/_sandbox/info")
            made, first, last = _history(url, orders)
            config = _config(here, bootstrap, port)
            runs = [_run(here, config, bootstrap, wanted) for wanted in (orders // 3, 2 * orders // 3, None)]
        finally:
            shop.stop()
        _each_once(bootstrap, first, last)
    states = [state for state, _ in runs]
    done = states[-1]
    if done["delivered"] != orders or done["finished_at"] is None:
        raise RuntimeError(f"{done}")
    conditions = f"{orders} orders of 1 to 4 lines, stopped and resumed twice, sandbox and backfill on 2 cores"
    return [
        ("orders from Kentico into Kafka", orders / done["seconds"], "orders/s", conditions),
        ("REST requests", done["requests"] / orders, "requests/order", conditions),
        ("peak memory k2x backfill run", max(mb for _, mb in runs), "MB", conditions),
        # Flat: the last third holds no more than the first did.
        ("peak memory, last third over first", runs[-1][1] / runs[0][1], "times", conditions),
        ("history made by the sandbox", orders / made, "orders/s", conditions),
    ]


def _history(url: str, orders: int) -> tuple[float, int, int]:
    body = {"instance": "emea", "orders": orders, "since": "2021-01-01", "until": "2026-01-01"}
    begun = time.monotonic()
    answer = httpx.post(f"{url}/_sandbox/history", json=body, timeout=1800).raise_for_status().json()
    return time.monotonic() - begun, answer["first_order"], answer["last_order"]


def _config(here: Path, bootstrap: str, port: int) -> Path:
    names = ("receiver", "reader", "poller", "streams", "sink", "writeback")
    ports = {"kentico": port, "xero": 9, "receiver": 0} | {f"{name}-metrics": 0 for name in names}
    path = here / "k2x.yaml"
    path.write_text(yaml.safe_dump(deployment(bootstrap, ports, here, 1.0)), "utf-8")
    settings = load(path)
    kafka_topics.apply({"bootstrap.servers": bootstrap}, settings.organisations, 4, 1)
    return path


def _run(here: Path, config: Path, bootstrap: str, stop_at: int | None) -> tuple[dict[str, Any], float]:
    """One run, stopped once so many orders are on Kafka: its last word and its largest memory in MB."""
    log = here / f"backfill-{stop_at}.log"
    arguments = ["--instance", "emea", "--since", "2021-01-01", "--rate", "0", "--outstanding", "0", "--yes", "--json"]
    process = Process(python("-m", "k2x", "backfill", "run", *arguments, "--config", str(config)), secrets(), log)
    if stop_at is None:
        process.wait()
    else:
        while _end(bootstrap) < stop_at:
            time.sleep(0.2)
        process.stop()
    lines = [line for line in log.read_text("utf-8").splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(log.read_text("utf-8")[-2000:])
    state: dict[str, Any] = json.loads(lines[-1])
    return state, process.peak_mb


def _end(bootstrap: str) -> int:
    """Records on the orders topic."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-end"})
    try:
        places = [TopicPartition(ORDERS, number) for number in range(4)]
        return sum(asked(lambda at=at: consumer.get_watermark_offsets(at, 10))[1] for at in places)
    finally:
        consumer.close()


def _each_once(bootstrap: str, first: int, last: int) -> None:
    """By the record keys: no gap, no repeat."""
    found = Counter(
        int((message.key() or b"").decode().rpartition("|")[2])
        for message in read_to_end({"bootstrap.servers": bootstrap}, [ORDERS])
    )
    missing = [order_id for order_id in range(first, last + 1) if order_id not in found]
    repeated = [order_id for order_id, times in found.items() if times > 1]
    if missing or repeated:
        raise RuntimeError(f"{len(missing)} orders are missing, {len(repeated)} came more than once")
