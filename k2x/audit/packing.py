"""A frozen dataclass as JSON bytes and back, by its annotations: exact decimals, aware times to the microsecond.

orjson writes dataclasses, times and days by itself; only reading back needs to know what a text was.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson

T = TypeVar("T")
_Back = Callable[[Any], Any]
_BACK: dict[Any, _Back] = {Decimal: Decimal, datetime: datetime.fromisoformat, date: date.fromisoformat}


class Packing(Generic[T]):
    """Packs one class. Fields may be texts, numbers, Decimal, datetime, date, None, dataclasses and tuples of them."""

    def __init__(self, cls: type[T]) -> None:
        self._back = _record(cls)

    def pack(self, value: T) -> bytes:
        return orjson.dumps(list(vars(value).values()), default=str)

    def unpack(self, data: bytes) -> T:
        made: T = self._back(orjson.loads(data))
        return made


def _record(cls: type[Any]) -> _Back:
    hints = get_type_hints(cls)
    backs = [(place, _of(hints[field.name])) for place, field in enumerate(fields(cls))]
    needed = [(place, back) for place, back in backs if back is not None]

    def back(values: Any) -> Any:
        row = values if isinstance(values, list) else list(values.values())  # a record within a record is a mapping
        for place, convert in needed:
            if row[place] is not None:
                row[place] = convert(row[place])
        return cls(*row)

    return back


def _of(kind: Any) -> _Back | None:
    """How a value of this type is read back; None: as it is."""
    if is_dataclass(kind) and isinstance(kind, type):
        return _record(kind)
    if get_origin(kind) in (Union, types.UnionType):
        (inner,) = (one for one in get_args(kind) if one is not type(None))
        return _of(inner)
    if get_origin(kind) is tuple:
        inner = _of(get_args(kind)[0])
        return tuple if inner is None else lambda many: tuple(map(inner, many))
    return _BACK.get(kind)
