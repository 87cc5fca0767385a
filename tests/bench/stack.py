"""The processes that one organisation needs, for benches: broker, Xero sandbox, receiver, streams, sink."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import orjson
import yaml

from connectors.kentico.sandbox.server import default_credentials
from k2x import kafka_topics
from k2x.audit.facts import ResultSeen
from k2x.audit.log import read_to_end
from k2x.audit.records import FactReader
from k2x.clients import codec
from k2x.config import load
from k2x.demo.deployment import ORGANISATIONS, deployment, secrets
from k2x.publish import publish_rules
from schemas.topics import RESULTS
from tests.bench.rig import Process, await_http, broker, free_port, python

PROCESSES = ("receiver", "streams", "sink")


@dataclass
class Stack:
    """What is running, and its addresses."""

    kafka: dict[str, Any]
    config: Path
    ports: dict[str, int]
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def xero(self) -> str:
        return f"http://127.0.0.1:{self.ports['xero']}"

    def requests(self, org: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = httpx.get(f"{self.xero}/_sandbox/requests?org={org}", timeout=60).json()["counts"]
        return rows

    def calls(self, org: str) -> int:
        return sum(row["calls"] for row in self.requests(org))

    def refused(self, org: str) -> int:
        return sum(row["calls"] for row in self.requests(org) if row["status"] == 429)

    def paid(self, org: str) -> int:
        """Payments that Xero has taken: cheap to ask, as an export of all books would not be."""
        return sum(
            row["elements"] - row["failed"]
            for row in self.requests(org)
            if row["route"] == "Payments" and row["method"] == "PUT" and row["status"] == 200
        )

    def latencies(self, after: float) -> list[float]:
        """Seconds from accepted to PAID of orders accepted after `after` (Unix time), sorted."""
        settings = load(self.config)
        reader = FactReader(codec(settings), ORGANISATIONS)
        facts = (reader.fact(message) for message in read_to_end(self.kafka, [RESULTS]))
        done = [fact for fact in facts if isinstance(fact, ResultSeen) and fact.outcome == "POSTED"]
        return sorted(
            (r.at - r.received_at).total_seconds()
            for r in done
            if r.received_at is not None and r.received_at.timestamp() >= after
        )

    def peak_mb(self) -> dict[str, float]:
        return {name: process.peak_mb for name, process in self.processes.items()}


@contextmanager
def stack(speed: float = 1.0, latency_ms: float = 300.0) -> Iterator[Stack]:
    """Everything up and its reference data read; stopped at the end."""
    names = ["xero", "kentico", "receiver", *(f"{name}-metrics" for name in PROCESSES)]
    with broker() as bootstrap, tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        running = Stack({"bootstrap.servers": bootstrap}, here / "k2x.yaml", {name: free_port() for name in names})
        running.config.write_text(yaml.safe_dump(deployment(bootstrap, running.ports, here, speed)), "utf-8")
        settings = load(running.config)
        kafka_topics.apply(running.kafka, settings.organisations, 4, 1)
        publish_rules(settings, running.kafka, codec(settings), by="bench")
        sandbox = python(
            "-m", "connectors.xero.sandbox", "--port", str(running.ports["xero"]), "--state", str(here / "x")
        )
        sandbox += ["--speed", str(speed), "--latency-ms", str(latency_ms)]
        running.processes["xero sandbox"] = Process(sandbox, {}, here / "xero.log")
        try:
            await_http(f"{running.xero}/books")
            for name in PROCESSES:
                command = python("-m", "k2x", "run", name, "--config", str(running.config), "--log-level", "warning")
                running.processes[name] = Process(command, secrets(), here / f"{name}.log")
            await_http(f"http://127.0.0.1:{running.ports['receiver']}/healthz")
            for name in PROCESSES:
                await_http(f"http://127.0.0.1:{running.ports[f'{name}-metrics']}/metrics")
            yield running
        finally:
            for process in reversed(running.processes.values()):
                process.stop()


async def send(stack_: Stack, envelopes: Iterable[dict[str, Any]], *, batch: int, per_second: float = 0.0) -> None:
    """Post signed events to the receiver in batches; with `per_second`, paced by the clock."""
    url = f"http://127.0.0.1:{stack_.ports['receiver']}/kentico/emea/events"
    secret = default_credentials("emea").webhook_secret.encode()
    source = iter(envelopes)
    begun, sent = time.monotonic(), 0
    async with aiohttp.ClientSession() as session:
        while chunk := list(islice(source, batch)):
            if per_second:
                await asyncio.sleep(max(0.0, begun + sent / per_second - time.monotonic()))
            body, now = orjson.dumps(chunk), str(int(time.time()))
            mac = hmac.new(secret, now.encode() + b"." + body, hashlib.sha256).hexdigest()
            headers = {"X-Kentico-Signature": f"t={now},v1={mac}", "Content-Type": "application/json"}
            async with session.post(url, data=body, headers=headers) as answer:
                if answer.status != 202:
                    raise RuntimeError(f"{answer.status}: {(await answer.text())[:300]}")
            sent += len(chunk)


def await_paid(stack_: Stack, org: str, wanted: int, patience_s: float) -> float:
    """Wait until so many payments are in the books; the moment (monotonic) it was seen. TimeoutError with the count."""
    ends = time.monotonic() + patience_s
    while True:
        found = stack_.paid(org)
        if found >= wanted:
            return time.monotonic()
        if time.monotonic() > ends:
            raise TimeoutError(f"{found} of {wanted} payments after {patience_s:.0f} s")
        time.sleep(0.25)
