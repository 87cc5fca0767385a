"""Starts what the demo needs, and stops it: Kafka, both sandboxes, topics, rules, and every process of k2x.

Kafka's data and the sandboxes' state live in one directory and are dropped together, so a second run continues the
same shop and the same books.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import structlog
import yaml

from k2x import kafka_topics
from k2x.clients import QUIET, codec, librdkafka
from k2x.config import load
from k2x.demo.deployment import deployment, secrets
from k2x.demo.observe import PROGRAMS, Observatory
from k2x.embedded import EmbeddedKafka
from k2x.embedded.datadir import DataDir
from k2x.errors import ConfigError, K2xError, ProcessFailed, SandboxFailed
from k2x.publish import publish_rules
from k2x.replay.ready import complete_organisations
from k2x.settings import Settings
from k2x.supervisor import Supervisor

log = structlog.get_logger()

PROCESSES = ("receiver", "reader", "streams", "sink", "writeback")
_READY_S = 60.0
STATE_FLAG = {"xero": "--state", "kentico": "--data"}
EXTRA = {"xero": [], "kentico": ["--with", "seed2021"]}


class World:
    """Everything the demo runs. Use `start`, then `stop`; the addresses are attributes in between."""

    def __init__(self, directory: Path, processes: Sequence[str] = PROCESSES, *, observe: bool = False) -> None:
        """`processes`: each a kind of k2x.processes, or `kind-2` for another of the same kind. `observe`: with the
        watcher, and with Prometheus and Alertmanager (k2x.demo.observe)."""
        self.directory = directory
        self.ready_s = _READY_S
        self.processes = (*processes, "watch") if observe else tuple(processes)
        self.observatory = Observatory(directory / "observe") if observe else None
        self.supervisor = Supervisor()
        self.kafka_conf: dict[str, Any] = {}
        self.ports: dict[str, int] = {}
        self.broker: EmbeddedKafka | None = None
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            raise K2xError("the demo has not started")
        return self._settings

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    async def start(self, say: Any) -> None:
        """Bring everything up, in the order of who needs whom; `say` is told each step."""
        _ours(self.directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        os.environ.update(secrets())
        say("Kafka (a cold start downloads about 50 MB once)")
        self.broker = EmbeddedKafka(self.directory / "kafka", log=say, ready_timeout=self.ready_s)
        bootstrap = await asyncio.get_running_loop().run_in_executor(None, self.broker.start)
        # Only now: Kafka's lock keeps a second demo off this directory, and off the first one's addresses.
        names = ["xero", "kentico", "receiver", *(f"{name}-metrics" for name in self.processes)]
        names += PROGRAMS if self.observatory else ()
        self.ports = _ports(self.directory / "ports.json", names)
        say("the Xero sandbox and the Kentico shop")
        await self._start_sandboxes()
        path = self.directory / "k2x.yaml"
        written = yaml.safe_dump(self.configuration(bootstrap), sort_keys=False, allow_unicode=True)
        path.write_text(written, "utf-8")
        self._settings = load(path)
        self.kafka_conf = librdkafka(self._settings, bootstrap) | QUIET
        say("topics and rules")
        settings = self._settings
        kafka_topics.apply(
            self.kafka_conf, settings.organisations, settings.kafka.partitions, settings.kafka.replication
        )
        publish_rules(settings, self.kafka_conf, codec(settings), by="k2x demo")
        say("receiver, reader, streams, sink, write-back")
        for name in self.processes:
            await self.start_process(name)
        if self.observatory is not None:
            say("Prometheus and Alertmanager")
            for name, command in self.observatory.commands(self.ports, self.processes).items():
                await self.supervisor.start(name, command, {}, self._log(name))
        await self._ready()

    def configuration(self, bootstrap: str) -> dict[str, Any]:
        """What goes into k2x.yaml."""
        written = deployment(bootstrap, self.ports, self.directory, speed=1.0)
        return written | {"watch": {"every_s": 2.0}} if self.observatory else written

    def environment(self, name: str) -> dict[str, str]:
        """What a process is told besides: where several of a kind run, each has a metrics port of its own."""
        kind, _, number = name.partition("-")
        if not number:
            return {}
        return {"K2X_PORTS__METRICS": json.dumps({kind: self.ports.get(f"{name}-metrics", 0)})}

    def options(self, name: str) -> list[str]:
        """More of a sandbox's command line."""
        return EXTRA[name]

    async def start_process(self, name: str) -> None:
        """Run one process of k2x, and keep it running."""
        config = str(self.directory / "k2x.yaml")
        kind, _, number = name.partition("-")
        command = [sys.executable, "-m", "k2x", "run", kind, "--config", config]
        command += ["--worker", name] if number else []
        await self.supervisor.start(name, command, self.environment(name), self._log(name))

    async def stop(self) -> None:
        """Stop children first, the broker last, so that each can commit what it has."""
        await self.supervisor.stop()
        if self.broker is not None:
            await asyncio.get_running_loop().run_in_executor(None, self.broker.stop)

    def check(self) -> None:
        """Raise what has failed for good: a process given up, or the broker."""
        if self.broker is not None:
            self.broker.check()
        if self.supervisor.failures():
            raise ProcessFailed("; ".join(self.supervisor.failures()))

    async def post(self, name: str, path: str, body: Mapping[str, Any]) -> Any:
        """Ask a sandbox's control page for something."""
        return await self._ask("POST", name, path, dict(body))

    async def get(self, name: str, path: str) -> Any:
        return await self._ask("GET", name, path, None)

    async def _ask(self, method: str, name: str, path: str, body: dict[str, Any] | None) -> Any:
        async with httpx.AsyncClient(timeout=60.0) as client:
            try:
                answer = await client.request(method, self.url(name) + path, json=body)
                answer.raise_for_status()
            except httpx.HTTPError as error:
                raise SandboxFailed(f"{name} at {self.url(name)}{path}: {error}; see {self._log(name)}") from error
        if "json" not in answer.headers.get("content-type", ""):
            return answer.text
        return answer.json()

    async def _start_sandboxes(self) -> None:
        for name, module in (("xero", "connectors.xero.sandbox"), ("kentico", "connectors.kentico.sandbox")):
            state = self.directory / f"{name}-sandbox"
            command = [
                sys.executable,
                "-m",
                module,
                *self.options(name),
                "--port",
                str(self.ports[name]),
                STATE_FLAG[name],
                str(state),
            ]
            await self.supervisor.start(name, command, {}, self._log(name))
        await self._answers(self.url("xero") + "/books", "xero")
        await self._answers(self.url("kentico") + "/_sandbox/info", "kentico")

    async def _ready(self) -> None:
        waits = [self._answers(f"http://127.0.0.1:{self.ports[f'{n}-metrics']}/metrics", n) for n in self.processes]
        waits += [self._answers(self.url(name) + "/-/ready", name) for name in PROGRAMS if self.observatory]
        await asyncio.gather(self._answers(self.url("receiver") + "/healthz", "receiver"), *waits)
        await self._organisations_read()

    async def _organisations_read(self) -> None:
        """Until Xero's accounts, tax rates and contacts are on Kafka: orders before that are parked, and would wait."""
        ends = time.monotonic() + self.ready_s
        missing = set(self.settings.organisations)
        while missing and time.monotonic() < ends:
            await asyncio.sleep(0.3)
            loop = asyncio.get_running_loop()
            missing -= await loop.run_in_executor(None, complete_organisations, self.kafka_conf)
            self.check()
        if missing:
            log.warning("not_read_yet", organisations=sorted(missing), see=str(self._log("sink")))

    async def _answers(self, url: str, name: str) -> None:
        deadline = time.monotonic() + self.ready_s
        async with httpx.AsyncClient(timeout=2.0) as client:
            while time.monotonic() < deadline:
                try:
                    if (await client.get(url)).status_code < 500:
                        return
                except httpx.HTTPError as error:
                    log.debug("not_ready", process=name, error=type(error).__name__)
                if self.supervisor.failures():
                    break
                await asyncio.sleep(0.1)
        failures = "; ".join(self.supervisor.failures()) or f"no answer from {url} within {self.ready_s:.0f} s"
        raise SandboxFailed(f"{name} did not start: {failures}. Its log is {self._log(name)}")

    def _log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"


def drop(directory: Path) -> None:
    """Forget Kafka's data and both sandboxes' state together. Raises AlreadyRunning, or ConfigError for what is not
    a demo's directory: nothing is deleted then."""
    _ours(directory)
    if not directory.exists():
        return
    lock = DataDir(directory / "kafka").acquire()
    try:
        shutil.rmtree(directory)
    finally:
        os.close(lock)


def _ours(directory: Path) -> None:
    """A directory of something else is neither written into nor deleted: it may hold a shop's own k2x.yaml."""
    if directory.exists() and any(directory.iterdir()) and not (directory / "kafka").is_dir():
        raise ConfigError(
            f"{directory} holds files that no demo has written. Choose another --data-dir, or an empty one"
        )


def _ports(path: Path, names: Sequence[str]) -> dict[str, int]:
    """Free ports, kept between runs so that addresses a person has noted stay true while they are free."""
    try:
        kept: dict[str, int] = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):  # a run that was killed while writing: new ports serve as well
        kept = {}
    ports = {name: kept[name] if name in kept and _free(kept[name]) else _free_port() for name in names}
    path.write_text(json.dumps(ports), "utf-8")
    return ports


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
