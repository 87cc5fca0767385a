"""Tells our own write-backs from changes of an order. Pure.

Writing a column makes Kentico stamp the order anew and tell us that it changed. The write-back therefore leaves a mark
on the changes topic, under the order's own key: the stamp before and after. A reader that meets the `after` stamp puts
the `before` one back, so the order has the version it would have without us, and an equal version with equal content
is not sent on. Nothing can be lost by this: a change between the two stamps keeps its content, and equal version with
other content is sent on and wins by its later observation. A mark that is missed costs one comparison in the sink.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import orjson

from connectors.kentico.aggregate import newest
from connectors.kentico.fields import plain
from schemas.types import Order

WRITTEN_BACK = "order.written_back"
BEFORE_HEADER = "x-k2x-modified-before"

# About 200 bytes each; an order that falls out is only compared downstream once more.
_REMEMBERED = 50_000
_Value = TypeVar("_Value")


def digest(data: Mapping[str, Any], member: str, ignored: frozenset[str]) -> bytes:
    """Of joined rows, less some columns of one of them."""
    row = {name: value for name, value in data[member].items() if name not in ignored}
    whole = {**data, member: row}
    try:
        return hashlib.sha256(orjson.dumps(whole, default=plain, option=orjson.OPT_SORT_KEYS)).digest()
    except TypeError:  # half of a surrogate pair, as a column that cuts an emoji has it: no UTF-8, but no crash either
        text = json.dumps(whole, default=plain, sort_keys=True)
        return hashlib.sha256(text.encode()).digest()


class Recent(Generic[_Value]):
    """The last values by key, bounded."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._most = most
        self._values: OrderedDict[int, _Value] = OrderedDict()

    def get(self, key: int) -> _Value | None:
        return self._values.get(key)

    def put(self, key: int, value: _Value) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)


class Echoes:
    """One instance's marks, and what was last sent of each order."""

    def __init__(self, writeback_columns: frozenset[str]) -> None:
        self._columns = writeback_columns | {"OrderLastModified"}
        self._marks: Recent[tuple[datetime, datetime]] = Recent()
        self._sent: Recent[tuple[datetime, bytes]] = Recent()

    def mark(self, order_id: int, before: datetime, after: datetime) -> None:
        """k2x wrote this order: its stamp was `before` and is `after`. Marks of one order chain."""
        known = self._marks.get(order_id)
        start = known[0] if known is not None and known[1] == before else before
        self._marks.put(order_id, (start, after))

    def restamped(self, order: Order) -> Order:
        """The order with the stamp it had before our own write, where the stamp is ours."""
        mark = self._marks.get(order["order"]["OrderID"])
        if mark is None or order["order"]["OrderLastModified"] != mark[1]:
            return order
        row = order["order"].copy()
        row["OrderLastModified"] = mark[0]
        restamped = order.copy()
        restamped["order"] = row
        restamped["version"] = newest(row, order["items"], order["addresses"], order["status_history"])
        return restamped

    def digest(self, data: Mapping[str, Any]) -> bytes:
        """Of an order's joined rows, less the stamp and the columns we write."""
        return digest(data, "order", self._columns)

    def is_known(self, order: Order, digest: bytes) -> bool:
        """Whether the very same version and content was the last one sent on."""
        return self._sent.get(order["order"]["OrderID"]) == (order["version"], digest)

    def sent(self, order: Order, digest: bytes) -> None:
        self._sent.put(order["order"]["OrderID"], (order["version"], digest))
