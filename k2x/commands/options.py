"""Options that several commands share."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from k2x.clients import librdkafka
from k2x.config import load
from k2x.embedded.config import HOST
from k2x.embedded.datadir import DataDir
from k2x.envfile import load_env_file
from k2x.errors import ConfigError
from k2x.settings import Settings

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--config FILE`, passed on as `config: Path`."""
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("k2x.yaml"),
        show_default=True,
        envvar="K2X_CONFIG",
        help="The deployment's configuration.",
    )(function)


def settings_of(config: Path) -> Settings:
    """The settings, with the variables of k2x.env beside the file in the environment."""
    load_env_file(config)
    return load(config)


def running_kafka(settings: Settings) -> dict[str, Any]:
    """librdkafka's configuration of the broker that is running: the one configured, or the one `k2x up` has started."""
    bootstrap = settings.kafka.bootstrap
    if not bootstrap:
        stamp = DataDir(settings.data_dir / "kafka").read_stamp()
        if stamp is None or not stamp.port:
            raise ConfigError("kafka.bootstrap is empty, and no `k2x up` has started a Kafka here yet")
        bootstrap = f"{HOST}:{stamp.port}"
    # log_level 2: a broker that is down is said once, by our own error, and not by the client's every second.
    return {**librdkafka(settings, bootstrap), "log_level": 2}


class When(click.ParamType):
    """A point in time: ISO 8601 (UTC where it says nothing else), or how long ago: 30min, 2h, 3d."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        ago = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", value.strip())
        if ago and ago[2] in _UNITS:
            return datetime.now(UTC) - timedelta(seconds=float(ago[1]) * _UNITS[ago[2]])
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a time (2026-11-24, 2026-11-24T18:00+01:00) nor an age (30min, 2h, 3d)")
        return at if at.tzinfo else at.replace(tzinfo=UTC)


class Progress:
    """One live line on a terminal, else a line every few seconds; on stderr, so that what is printed stays clean."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._live = sys.stderr.isatty()
        self._said_at = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        line = f"{self._what} {done:,} of {total:,}"
        if self._live:
            sys.stderr.write(f"\r\x1b[2K{line}" + ("\n" if done == total else ""))
        elif done == total or time.monotonic() - self._said_at > 5:
            self._said_at = time.monotonic()
            sys.stderr.write(line + "\n")
        sys.stderr.flush()
