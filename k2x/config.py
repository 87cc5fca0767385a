"""Reads k2x.yaml into Settings; an error names the file, the line, the key and the remedy."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from k2x.errors import ConfigError
from k2x.settings import Settings
from streams.rules.errors import RulesInvalid
from streams.rules.marks import Marked, parse


def load(path: Path) -> Settings:
    """The settings of a file. Relative rules paths are relative to the file. ConfigError lists every fault."""
    marked = read_yaml(path)
    for organisation in (marked.data.get("organisations") or {}).values():
        if isinstance(organisation, dict) and isinstance(organisation.get("rules"), str):
            organisation["rules"] = str(path.parent / organisation["rules"])
    try:
        return Settings(**marked.data)
    except ValidationError as error:
        raise ConfigError("\n".join(explain(path, marked, error))) from error
    except TypeError as error:
        raise ConfigError(f"{path}: {error}") from error


def read_yaml(path: Path) -> Marked:
    """The mapping in a YAML file, and the line of each key path."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist. `k2x init` writes one.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not text.strip():
        raise ConfigError(f"{path} is empty. `k2x init` writes one that passes `k2x check`.")
    try:
        return parse(text, str(path))
    except RulesInvalid as error:
        raise ConfigError(str(error)) from error


def explain(path: Path, marked: Marked, error: ValidationError) -> list[str]:
    """One sentence a fault: file:line, key, what is wrong."""
    sentences = []
    for fault in error.errors():
        keys = tuple(str(part) for part in fault["loc"])
        text = str(fault["msg"]).removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            text = "this key is not known; check its spelling against `k2x init`"
        elif fault["type"] == "missing":
            text = "this key is required"
        if not keys:  # a rule about several keys begins its sentence with the one at fault
            file, line = marked.place(_store_named(marked, text))
            sentences.append(f"{file}:{line}: {text}")
            continue
        file, line = marked.place(keys)
        sentences.append(f"{file}:{line}: {'.'.join(keys) or 'file'}: {text}")
    return sentences


def _store_named(marked: Marked, text: str) -> tuple[str, ...]:
    """The store whose key a sentence begins with; () for a sentence about the whole file."""
    stores = marked.data.get("stores")
    names = stores if isinstance(stores, dict) else {}
    return next((("stores", name) for name in names if text.startswith((f"stores.{name}:", f"stores.{name}."))), ())
