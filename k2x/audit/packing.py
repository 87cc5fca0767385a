"""A frozen dataclass as JSON bytes and back, by its annotations: exact decimals, aware times to the microsecond."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson

T = TypeVar("T")
_Convert = Callable[[Any], Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Packing(Generic[T]):
    """Packs one class. Fields may be texts, numbers, Decimal, datetime, date, None, dataclasses and tuples of them."""

    def __init__(self, cls: type[T]) -> None:
        self._out, self._back = _of(cls)

    def pack(self, value: T) -> bytes:
        return orjson.dumps(self._out(value))

    def unpack(self, data: bytes) -> T:
        made: T = self._back(orjson.loads(data))
        return made


def _of(kind: Any) -> tuple[_Convert, _Convert]:
    if is_dataclass(kind) and isinstance(kind, type):
        return _record(kind)
    if kind is Decimal:
        return str, Decimal
    if kind is datetime:
        return lambda at: (at - _EPOCH) // _MICROSECOND, lambda number: _EPOCH + timedelta(microseconds=number)
    if kind is date:
        return date.toordinal, date.fromordinal
    if get_origin(kind) in (Union, types.UnionType):
        (inner,) = (one for one in get_args(kind) if one is not type(None))
        out, back = _of(inner)
        return lambda v: None if v is None else out(v), lambda v: None if v is None else back(v)
    if get_origin(kind) is tuple:
        out, back = _of(get_args(kind)[0])
        return lambda many: [out(one) for one in many], lambda many: tuple(back(one) for one in many)
    return lambda value: value, lambda value: value


def _record(cls: type[Any]) -> tuple[_Convert, _Convert]:
    hints = get_type_hints(cls)
    parts = [(field.name, *_of(hints[field.name])) for field in fields(cls)]
    backs = [back for _, _, back in parts]

    def out(value: Any) -> list[Any]:
        return [convert(getattr(value, name)) for name, convert, _ in parts]

    def back(values: list[Any]) -> Any:
        return cls(*(convert(value) for convert, value in zip(backs, values, strict=True)))

    return out, back
