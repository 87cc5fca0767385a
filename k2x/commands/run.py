"""`k2x run NAME`: one process."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from k2x import processes
from k2x.commands.options import config_option, settings_of
from k2x.errors import ConfigError
from k2x.logs import configure


@click.command()
@click.argument("name", type=click.Choice(processes.NAMES))
@config_option
@click.option(
    "--worker",
    default=None,
    help="This process's name among several of its kind; keep it over restarts. Default: the host's name.",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def run(name: str, config: Path, worker: str | None, log_level: str) -> None:
    """Run one process of k2x until Ctrl-C or SIGTERM.

    Example:  k2x run sink --config k2x.yaml
    """
    configure(sys.stdout, level=log_level, process=name)
    settings = settings_of(config)
    if not settings.kafka.bootstrap:
        raise ConfigError(
            f"{config}: kafka.bootstrap is empty. One process alone needs a broker: set it, or use `k2x up`, "
            "which starts an embedded Kafka and every process"
        )
    processes.run(name, settings, settings.kafka.bootstrap, worker or processes.host_name())
