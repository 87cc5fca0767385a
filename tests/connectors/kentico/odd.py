"""Good values made odd in the way of their own kind, so that most of what is made is read and not refused at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T.*")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_TIMES = (
    "0001-01-01T00:00:00", "1753-01-01T00:00:00", "1999-12-31T23:59:59", "2099-01-01T00:00:00", "2026-02-30T00:00:00",
    "9999-12-31T23:59:59.9999999", "9999-12-31T23:59:59Z", "2026-03-29T01:30:00", "2026-10-25T01:30:00", "2026-11-02",
    "/Date(1793614530000)/", "/Date(99999999999999)/", "6/9/2021 1:59:03 PM", "",
)  # fmt: skip
_NUMBERS = (
    "NaN", "Infinity", "-0", "0", "-1", "-5", "0.001", "0.5", "1e3", "1,5", "٣", "99999999.99", "999999999.999999999",
    "9" * 40, "0x10", " 1", "",
)  # fmt: skip
_TEXTS = ("", " ", "\x00", "a\x00b", "<b>", "x" * 5000, "Ω≈ç√", "\u202ereversed", "ЖЖЖ", "28 OR 1=1", "null")
_XML = (
    "<Summary />", "<Summary><Item>", "<Summary><Item><Name>a</Name><Value>-5</Value></Item></Summary>",
    "<Summary><Item><Name>a</Name><Value>5</Value></Item></Summary>", "<!DOCTYPE x [<!ENTITY a 'b'>]><Summary />",
    "<Summary><Item><Name>a</Name><Value>NaN</Value></Item></Summary>", "<result />", "<Summary><Item /></Summary>", "",
    '<result><item name="date" value="12/31/9999 11:59:59 PM"/><item name="completed" value="1"/></result>',
    '<result><item name="date" value="1/1/0001 12:00:00 AM"/><item name="completed" value="1"/></result>',
    '<result><item name="failed" value="1"/></result>',
)  # fmt: skip
_INTEGERS = (0, -1, 1, 2**31, 2**62, 2**70, "28", 28.0, True)
_FLOATS = (0.0, -0.0, -1.0, 0.001, 1e300, float("nan"), float("inf"), 94.44000000000001, "94.44", 28)
_ABSENT = object()
_SHAPES = (None, [], {}, [None], [{}], {"a": 1})


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path into a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


def _kind(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool) or value is None:
        return (True, False, None, "true", 1, 0, -1)
    if isinstance(value, int):
        return _INTEGERS
    if isinstance(value, float | Decimal):
        return _FLOATS
    if isinstance(value, str) and value.startswith("<"):
        return _XML
    if isinstance(value, str) and _TIME.fullmatch(value):
        return _TIMES
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return _NUMBERS
    if isinstance(value, dict | list):
        return _SHAPES
    return _TEXTS


def like(value: Any) -> st.SearchStrategy[Any]:
    """Odd values of the same kind, and now and then of another."""
    return st.sampled_from(_SHAPES if isinstance(value, dict | list) else (*_kind(value), *_SHAPES))


def each(good: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """(path, a copy in which what stands there is odd, or absent), for every value and every odd one of its kind."""
    for path in places(good):
        if not path:
            continue
        at = good
        for key in path:
            at = at[key]
        for odd in (_ABSENT, *_kind(at)):
            changed = deepcopy(good)
            holder = changed
            for key in path[:-1]:
                holder = holder[key]
            if odd is not _ABSENT:
                holder[path[-1]] = deepcopy(odd)
            elif isinstance(holder, dict):
                del holder[path[-1]]
            yield path, changed


@st.composite
def oddly(draw: st.DrawFn, good: Any, most: int = 2) -> Any:
    """A copy in which up to `most` values are odd, or absent."""
    changed = deepcopy(good)
    for _ in range(draw(st.integers(1, most))):
        path = draw(st.sampled_from([one for one in places(changed) if one]))
        at = changed
        for key in path[:-1]:
            at = at[key]
        if isinstance(at, dict) and draw(st.integers(0, 9)) == 0:
            del at[path[-1]]
        else:
            at[path[-1]] = deepcopy(draw(like(at[path[-1]])))
    return changed
