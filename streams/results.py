"""Results → write-back: what the Kentico order shall show, where its store's rules enable it.

Guarantee: at least once; the write-back's own echo from Kentico is an order version with the same money, left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from schemas import topics, traces
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.types import Result
from streams.metrics import Metrics
from streams.outputs import Source
from streams.settings import StreamsSettings
from streams.stores import Stores


class Results:
    """A `streams.guard.Handler`."""

    agent = "results"
    kind = "result"

    def __init__(self, settings: StreamsSettings, codec: Codec, stores: Stores, metrics: Metrics) -> None:
        self._topic = settings.topic(topics.WRITEBACK)
        self._codec = codec
        self._stores = stores
        self._metrics = metrics

    def handle(self, source: Source, now: datetime) -> list[Record]:
        result = cast(Result, self._codec.decode(source.value or b""))
        self._metrics.result(result)
        route = self._stores.named(result["store"])
        writeback = route.flow.writeback(result, now) if route is not None and route.flow is not None else None
        if writeback is None:
            self._metrics.event(self.agent, "ignored", result["org"])
            return []
        self._metrics.event(self.agent, "writeback", result["org"])
        key = topics.order_key(writeback["instance"], writeback["order_id"])
        trace = result["traceparent"]
        headers = [(traces.HEADER, trace.encode())] if trace else []
        return [Record(self._topic, key, self._codec.encode("writeback", cast(Mapping[str, Any], writeback)), headers)]
