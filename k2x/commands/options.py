"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from k2x.config import load
from k2x.envfile import load_env_file
from k2x.settings import Settings


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
