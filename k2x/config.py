"""Reads k2x.yaml into Settings; an error names the file, the line, the key and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from k2x.errors import ConfigError
from k2x.settings import Settings

Lines = dict[tuple[str, ...], int]


def load(path: Path) -> Settings:
    """The settings of a file. Relative rules paths are relative to the file. ConfigError lists every fault."""
    raw, lines = read_yaml(path)
    for organisation in (raw.get("organisations") or {}).values():
        if isinstance(organisation, dict) and isinstance(organisation.get("rules"), str):
            organisation["rules"] = str(path.parent / organisation["rules"])
    try:
        return Settings(**raw)
    except ValidationError as error:
        raise ConfigError("\n".join(explain(path, lines, error))) from error
    except TypeError as error:
        raise ConfigError(f"{path}: {error}") from error


def read_yaml(path: Path) -> tuple[dict[str, Any], Lines]:
    """The mapping in a YAML file, and the line of each key path."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist. `k2x init` writes one.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    try:
        node = yaml.compose(text)
        raw = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{where}: bad YAML: {error.problem}. Check indentation and quotes there.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: bad YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}:1: expected a mapping of keys; `k2x init` writes an example")
    lines: Lines = {}
    _walk(node, (), lines)
    return raw, lines


def explain(path: Path, lines: Lines, error: ValidationError) -> list[str]:
    """One sentence a fault: file:line, key, what is wrong."""
    sentences = []
    for fault in error.errors():
        keys = tuple(str(part) for part in fault["loc"])
        line = next((lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in lines), 1)
        text = str(fault["msg"]).removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            text = "this key is not known; check its spelling against `k2x init`"
        elif fault["type"] == "missing":
            text = "this key is required"
        sentences.append(f"{path}:{line}: {'.'.join(keys) or 'file'}: {text}")
    return sentences


def _walk(node: Any, prefix: tuple[str, ...], lines: Lines) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = (*prefix, str(key.value))
            lines[path] = key.start_mark.line + 1
            _walk(value, path, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            path = (*prefix, str(index))
            lines[path] = value.start_mark.line + 1
            _walk(value, path, lines)
