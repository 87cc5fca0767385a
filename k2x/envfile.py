"""Reads k2x.env, a file of NAME=value lines beside k2x.yaml; what the environment already has wins."""

from __future__ import annotations

import os
from pathlib import Path

from k2x.errors import ConfigError

DEFAULT_NAME = "k2x.env"


def load_env_file(config: Path) -> list[str]:
    """Put the file's variables into the environment and return their names. K2X_ENV_FILE names another file."""
    named = os.environ.get("K2X_ENV_FILE")
    path = Path(named) if named else config.parent / DEFAULT_NAME
    if not path.exists():
        if named:
            raise ConfigError(f"K2X_ENV_FILE names {path}, which does not exist")
        return []
    names = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, separator, value = text.partition("=")
        if not separator or not name.strip().isidentifier():
            raise ConfigError(f"{path}:{number}: expected NAME=value")
        names.append(name.strip())
        os.environ.setdefault(name.strip(), value.strip())
    return names
