"""YAML with each key's place kept, decimals exact and nothing guessed: `NO` stays text, a key twice is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from streams.rules.errors import Fault, RulesInvalid

Path_ = tuple[str, ...]
_INT = re.compile(r"^-?(0|[1-9][0-9]*)$")
_DECIMAL = re.compile(r"^-?(0|[1-9][0-9]*)\.[0-9]+$")
_DATE = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_MAX_BYTES = 2_000_000  # a file of rules is a few kB; more is another file given by mistake


@dataclass
class Marked:
    """Plain data, and where each of its keys stands: path → (file, line)."""

    data: dict[str, Any]
    marks: dict[Path_, tuple[str, int]] = field(default_factory=dict)

    def place(self, path: Path_) -> tuple[str, int]:
        """File and line of a path, or of the nearest one above it that is written down."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.marks:
                return self.marks[path[:length]]
        return "rules", 0


def read(path: Path, shown: str | None = None) -> Marked:
    """A file's data. `shown`: how the file is called in faults. RulesInvalid names line and remedy."""
    name = shown or str(path)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise RulesInvalid([Fault(name, 0, "", "there is no such file: check `rules:` in k2x.yaml")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RulesInvalid([Fault(name, 0, "", f"cannot be read: {error}")]) from error
    if len(text) > _MAX_BYTES:
        raise RulesInvalid([Fault(name, 0, "", f"has {len(text)} characters: that is no file of rules")])
    return parse(text, name)


def parse(text: str, name: str) -> Marked:
    """The same, of a text."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "is no YAML"
        raise RulesInvalid(
            [Fault(name, mark.line + 1 if mark else 0, "", f"bad YAML: {what}: check indentation and quotes")]
        ) from error
    except yaml.YAMLError as error:
        raise RulesInvalid([Fault(name, 0, "", f"bad YAML: {error}")]) from error
    if not isinstance(node, MappingNode):
        raise RulesInvalid([Fault(name, 1, "", "must be a mapping of keys to values")])
    reader = _Reader(name)
    data = reader.mapping(node, ())
    if reader.faults:
        raise RulesInvalid(reader.faults)
    return Marked(data, {(): (name, 1), **reader.marks})


class _Reader:
    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: dict[Path_, tuple[str, int]] = {}
        self.faults: list[Fault] = []

    def mapping(self, node: MappingNode, path: Path_) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                self.faults.append(Fault(self.name, line, ".".join(path), "a key must be plain text"))
                continue
            key = str(key_node.value)
            if key in found:
                self.faults.append(Fault(self.name, line, ".".join((*path, key)), "stands here twice: keep one"))
                continue
            self.marks[(*path, key)] = (self.name, line)
            found[key] = self.value(value_node, (*path, key))
        return found

    def value(self, node: Node, path: Path_) -> Any:
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            found = []
            for position, one in enumerate(node.value):
                self.marks[(*path, str(position))] = (self.name, one.start_mark.line + 1)
                found.append(self.value(one, (*path, str(position))))
            return found
        return self._scalar(node, path)

    def _scalar(self, node: Node, path: Path_) -> Any:
        text = str(node.value)
        if getattr(node, "style", None) in ("'", '"', "|", ">"):
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.match(text):
            return int(text)
        if _DECIMAL.match(text):
            return Decimal(text)
        if _DATE.match(text):
            try:
                return date.fromisoformat(text)
            except ValueError:
                fault = Fault(self.name, node.start_mark.line + 1, ".".join(path), f"{text} is no day of the calendar")
                self.faults.append(fault)
        return text


def merge(base: Marked, over: Marked) -> Marked:
    """`over` on `base`: mappings key by key, anything else as a whole."""
    marks = dict(base.marks)
    data = _merge(base.data, over.data, (), marks, over.marks)
    return Marked(data, marks)


def merged(base: Any, over: Any) -> Any:
    """Plain data, merged the same way."""
    if isinstance(base, dict) and over is None:
        return base
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: merged(base[key], value) if key in base else value for key, value in over.items()}}
    return over


def _merge(
    base: dict[str, Any],
    over: dict[str, Any],
    path: Path_,
    marks: dict[Path_, tuple[str, int]],
    new: dict[Path_, tuple[str, int]],
) -> dict[str, Any]:
    found = dict(base)
    marks[path] = new.get(path, marks.get(path, ("rules", 0)))
    for key, value in over.items():
        here = (*path, key)
        old = base.get(key)
        if value is None and isinstance(old, dict):  # `accounts:` with nothing under it says nothing
            continue
        if isinstance(value, dict) and isinstance(old, dict):
            found[key] = _merge(old, value, here, marks, new)
            continue
        for gone in [one for one in marks if one[: len(here)] == here]:
            del marks[gone]
        marks.update({one: mark for one, mark in new.items() if one[: len(here)] == here})
        found[key] = value
    return found
