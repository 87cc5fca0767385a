"""Secrets come only from the environment, or from files that the environment names: NAME, else NAME_FILE."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from k2x.errors import SecretMissing


def secret(name: str, env: Mapping[str, str], used_for: str) -> SecretStr:
    """The secret called `name`. SecretMissing says which variable to set, and for what it is used."""
    value = env.get(name, "")
    file = env.get(f"{name}_FILE", "")
    if not value and file:
        try:
            value = Path(file).read_text("utf-8").strip()
        except OSError as error:
            raise SecretMissing(
                f"{used_for}: {name}_FILE names {file}, which cannot be read: {error.strerror}"
            ) from error
    if not value:
        raise SecretMissing(f"{used_for}: set the environment variable {name}, or {name}_FILE to a file that holds it")
    return SecretStr(value)
