"""The ledgers from outside: have a lane owner rebuild one and follow it; look entries up. Writes one command only."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.xero.core import control
from k2x.audit.log import read_to_end
from k2x.errors import K2xError
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer, Record
from schemas.types import Command, LedgerEntry

_TIMEOUT = 20.0  # seconds for a broker's answer
_PROGRESS = ("id", "phase", "done", "of")  # of an entry's extra; the rest are counts


@dataclass(frozen=True)
class Progress:
    """How far a rebuild is; `phase` is empty when it is done. `of` 0: nobody knows how many there will be."""

    phase: str
    done: int
    of: int
    counts: Mapping[str, int]


class Rebuild:
    """One rebuild, seen by whoever asked for it."""

    def __init__(self, kafka: Mapping[str, Any], codec: Codec, org: str, consumer: Consumer) -> None:
        self._kafka, self._codec, self._org, self._consumer = kafka, codec, org, consumer
        self._id = uuid.uuid4().hex

    def ask(self, now: datetime) -> None:
        """Onto the organisation's command topic: the lane owner comes to it in its turn, or waits for just that."""
        key = control.REBUILD
        command: Command = {
            "command_id": self._id, "org": self._org, "instance": "", "store": None, "order_id": None,
            "kind": "REBUILD", "key": key, "version": now, "observed_at": now, "received_at": now,
            "rules_version": 0, "body": None, "findings": [], "source_topic": "", "source_partition": -1,
            "source_offset": -1, "replay_id": None, "traceparent": None, "on_unpaid": "HOLD",
        }  # fmt: skip
        delivery = Deliverer(self._kafka)
        value = self._codec.encode("command", command)
        delivery.deliver_now([Record(topics.commands(self._org), key.encode(), value)])
        delivery.close()

    def follow(self, wait: float = 1.0) -> Iterator[Progress | None]:
        """Each word of the lane owner's; None when there was none for `wait` seconds. Ends when it is done."""
        while True:
            message = self._consumer.poll(wait)
            if message is None:
                yield None
                continue
            if message.error() is not None:
                raise K2xError(f"Kafka does not answer: {message.error().str()}. The rebuild goes on without you.")
            value = message.value()
            if message.key() != control.REBUILD.encode() or value is None:
                continue
            entry = cast(LedgerEntry, self._codec.decode(value))
            if entry["extra"].get("id") == self._id and "phase" in entry["extra"]:
                yield (progress := _progress(entry["extra"]))
                if not progress.phase:
                    return


@contextmanager
def rebuild(kafka: Mapping[str, Any], codec: Codec, org: str) -> Iterator[Rebuild]:
    """To ask for a rebuild and follow it: the ledger is read from where it ends now."""
    topic = topics.ledger(org)
    conf = {"group.id": f"k2x-ledger-watch-{uuid.uuid4().hex[:8]}", "enable.auto.commit": False}
    consumer = Consumer({**conf, "isolation.level": "read_committed", **kafka})
    try:
        known = consumer.list_topics(topic, timeout=_TIMEOUT).topics[topic]
        if known.error is not None:
            raise K2xError(f"{topic} does not exist: `k2x topics apply` creates it, then ask again.")
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=_TIMEOUT)
        consumer.assign([TopicPartition(topic, 0, end)])
        yield Rebuild(kafka, codec, org, consumer)
    except KafkaException as error:
        raise K2xError(f"Kafka does not answer: {error.args[0].str()}. Is the broker up?") from error
    finally:
        consumer.close()


def entries(kafka: Mapping[str, Any], codec: Codec, org: str, which: str) -> list[LedgerEntry]:
    """The entries of a key, of an order (`instance|OrderID`), or with an invoice number, by key."""
    found: dict[str, LedgerEntry | None] = {}
    for message in read_to_end(kafka, [topics.ledger(org)]):
        key, value = (message.key() or b"").decode(), message.value()
        named = key == which or key.startswith(f"{which}|")
        if named or (value is not None and codec.head(value, "number").get("number") == which):
            found[key] = None if value is None else cast(LedgerEntry, codec.decode(value))
    return [entry for _, entry in sorted(found.items()) if entry is not None]


def _progress(extra: Mapping[str, str]) -> Progress:
    counts = {name: int(text) for name, text in extra.items() if name not in _PROGRESS}
    return Progress(extra["phase"], int(extra.get("done", "0")), int(extra.get("of", "0")), counts)
