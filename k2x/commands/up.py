"""`k2x up`: every process of a configuration on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import click

from k2x import kafka_topics, processes
from k2x.clients import QUIET, codec, librdkafka
from k2x.commands.options import config_option, settings_of
from k2x.embedded import EmbeddedKafka
from k2x.errors import ProcessFailed
from k2x.logs import configure
from k2x.publish import publish_rules
from k2x.settings import Settings
from k2x.supervisor import Supervisor

_LOOK_S = 1.0


@click.command()
@config_option
def up(config: Path) -> None:
    """Run every process that this configuration has work for until Ctrl-C, and an embedded Kafka if none is configured.

    Topics are created and rules published first, as `k2x topics apply` and `k2x rules apply` would.

    Example:  k2x up --config k2x.yaml
    """
    configure(sys.stderr, level="info")
    settings = settings_of(config)
    asyncio.run(_run(settings, config))


async def _run(settings: Settings, config: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    kafka = settings.kafka
    broker = None
    if kafka.bootstrap is None:
        directory = settings.data_dir / "kafka"
        broker = EmbeddedKafka(directory, kafka.port, log=click.echo, heap=f"{kafka.heap_mb}m")
    supervisor = Supervisor(on_failure=lambda name: stop.set())
    try:
        bootstrap = await loop.run_in_executor(None, broker.start) if broker else str(kafka.bootstrap)
        conf = librdkafka(settings, bootstrap) | QUIET
        kafka_topics.apply(conf, settings.organisations, kafka.partitions, kafka.replication)
        publish_rules(settings, conf, codec(settings), by="k2x up")
        logs = settings.data_dir / "logs"
        names = processes.wanted(settings)
        for name in names:
            command = [sys.executable, "-m", "k2x", "run", name, "--config", str(config)]
            await supervisor.start(name, command, {"K2X_KAFKA__BOOTSTRAP": bootstrap}, logs / f"{name}.log")
        click.echo(f"running: {', '.join(names)}; logs in {logs}; Ctrl-C ends it")
        await _watch(stop, broker)
        if supervisor.failures():
            raise ProcessFailed("; ".join(supervisor.failures()))
    finally:
        await supervisor.stop()
        if broker is not None:
            await loop.run_in_executor(None, broker.stop)


async def _watch(stop: asyncio.Event, broker: EmbeddedKafka | None) -> None:
    """Until somebody asks to stop, or a process is given up; raises BrokerDied when Kafka ends by itself."""
    while not stop.is_set():
        if broker is not None:
            broker.check()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LOOK_S)
