"""Hears on xero.results.v1 how orders end, while everything else is being killed: when has trade recovered?

An order of a store in summary mode has come through once it is collected: its day is posted later, with all others.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from schemas.codec import Codec
from schemas.ids import CommittedIds
from schemas.topics import RESULTS

_GOOD = frozenset({"POSTED", "ADOPTED"})
_SUMMARY = re.compile(r"-S\d{8}-[A-Z]{3}")


class Pulse(threading.Thread):
    """Start it before the first blow; `stop` it at the end. It rides out the broker's death as any consumer does."""

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        super().__init__(name="pulse", daemon=True)
        conf = {"group.id": "chaos-pulse", "enable.auto.commit": False, "isolation.level": "read_committed"}
        self._consumer = Consumer({**conf, **kafka})
        self.heard = time.monotonic()  # the last result of any kind
        self.ways: list[
            tuple[float, float]
        ] = []  # an order of no summary was accepted (Unix time), seconds until it was paid
        self._newest: dict[str, datetime] = {}  # organisation: when the youngest order was accepted that is posted
        self._codec = Codec(CommittedIds())
        self._ended = threading.Event()
        partitions = self._consumer.list_topics(RESULTS, timeout=30).topics[RESULTS].partitions
        self._consumer.assign([TopicPartition(RESULTS, number, OFFSET_END) for number in partitions])

    def run(self) -> None:
        while not self._ended.is_set():
            for message in self._consumer.consume(500, 0.2):
                if message.error() is None:
                    self.heard = time.monotonic()
                    self._note(self._codec.decode(message.value() or b""))
        self._consumer.close()

    def stop(self) -> None:
        self._ended.set()
        self.join(10)

    def posted_since(self, moment: datetime, orgs: Collection[str]) -> bool:
        """Whether every organisation has an order posted that was accepted at or after `moment`."""
        newest = dict(self._newest)
        return all(org in newest and newest[org] >= moment for org in orgs)

    def silent(self, moment: datetime, orgs: Collection[str]) -> list[str]:
        """Organisations of which no such order was heard."""
        return [org for org in orgs if not self.posted_since(moment, [org])]

    def _note(self, result: Mapping[str, Any]) -> None:
        received = result["received_at"]
        if result["kind"] != "order" or received is None:
            return
        daily = _SUMMARY.search(result["number"] or "") is not None
        if result["outcome"] in _GOOD or (daily and result["outcome"] == "WAITING"):
            org = result["org"]
            if not daily:
                self.ways.append((received.timestamp(), (result["at"] - received).total_seconds()))
            self._newest[org] = max(received, self._newest.get(org, received))
