"""Reads a record's first fields, where they are simple ones, a third as long as fastavro does: for topics of millions.

An Avro record is its fields one after another, so its beginning can be read without the rest. Simple is: string, int,
long, enum, and null-or-string. The whole format of these is a zigzag varint, and for a string its UTF-8 bytes after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_TEXT, _NUMBER, _CHOICE = range(3)
_Step = tuple[str, int, bool, Sequence[str]]  # name, what it is, whether null may be there, an enum's symbols


def reader(written: Mapping[str, Any], last: str) -> Callable[[bytes, int], dict[str, Any]] | None:
    """Reads the fields up to `last` of records with this schema, from an offset in the bytes; None where one of them is
    not simple. Broken bytes raise IndexError or ValueError."""
    steps: list[_Step] = []
    for field in written["fields"]:
        step = _step(field["name"], field["type"])
        if step is None:
            return None
        steps.append(step)
        if field["name"] == last:
            return _compiled(steps)
    return None


def _step(name: str, kind: Any) -> _Step | None:
    if kind == "string" or kind == ["null", "string"]:
        return name, _TEXT, kind != "string", ()
    if kind in ("int", "long"):
        return name, _NUMBER, False, ()
    if isinstance(kind, dict) and kind.get("type") == "enum":
        return name, _CHOICE, False, kind["symbols"]
    return None


def _compiled(steps: list[_Step]) -> Callable[[bytes, int], dict[str, Any]]:
    def read(data: bytes, at: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, kind, nullable, symbols in steps:
            if nullable:
                at += 1
                if data[at - 1] == 0:  # the union's first branch
                    found[name] = None
                    continue
            number, at = data[at], at + 1
            if number & 0x80:
                number, at = _long(data, at - 1)
            if kind == _TEXT:
                end = at + (number >> 1)
                if not at <= end <= len(data):
                    raise ValueError(f"{name} would end beyond the record")
                found[name], at = data[at:end].decode(), end
            elif kind == _CHOICE:
                found[name] = symbols[number >> 1]
            else:
                found[name] = (number >> 1) ^ -(number & 1)
        return found

    return read


def _long(data: bytes, at: int) -> tuple[int, int]:
    """A varint of several bytes, and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return number, at
