"""Ownership against a scripted client, for the moments that a real broker gives only by chance (test_poller)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from connectors.kentico import ownership
from connectors.kentico.ownership import Ownership
from schemas import topics

_HELD = {b"emea|poll": b"so far"}


class Record:
    def __init__(self, key: bytes, value: bytes) -> None:
        self._key, self._value = key, value

    def error(self) -> None:
        return None

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value


class Client:
    """confluent_kafka.Consumer, as far as Ownership uses it. `steps`: what happens inside of the next polls."""

    def __init__(self, _: dict[str, Any]) -> None:
        self.log = [Record(key, value) for key, value in _HELD.items()]
        self.at: int | None = None  # position; None: not assigned
        self.steps: list[Callable[[Client], None]] = [Client.gain]

    def subscribe(self, _: list[str], gained: Any, revoked: Any, gone: Any) -> None:
        self._gained, self._revoked, self._gone = gained, revoked, gone

    def gain(self) -> None:
        self._gained(self, [TopicPartition(topics.CURSORS, 0)])

    def revoke(self) -> None:
        self._revoked(self, [TopicPartition(topics.CURSORS, 0)])
        self.at = None

    def assign(self, _: list[TopicPartition]) -> None:
        self.at = 0

    def consume(self, _: int, timeout: float) -> list[Record]:
        if self.steps:
            self.steps.pop(0)(self)
        else:
            time.sleep(timeout / 10)
        found = [] if self.at is None else self.log[self.at :]
        self.at = None if self.at is None else len(self.log)
        return found

    def get_watermark_offsets(self, *_: Any) -> tuple[int, int]:
        return 0, len(self.log)

    def position(self, _: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(topics.CURSORS, 0, -1001 if self.at is None else self.at)]

    def close(self) -> None:
        self.at = None


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> list[Client]:
    made: list[Client] = []

    def make(conf: dict[str, Any]) -> Client:
        made.append(Client(conf))
        return made[-1]

    monkeypatch.setattr(ownership, "Consumer", make)
    return made


async def test_what_a_poll_reads_for_nobody_is_read_again(client: list[Client]) -> None:
    """The partition goes and comes back within one poll, whose records went nowhere: beginning anew leaves a gap."""
    stop, asked = asyncio.Event(), threading.Event()
    office = Ownership({}, "group", 5.0, lambda _: True)

    def goes_and_comes(one: Client) -> None:
        one.revoke()  # returns once the owner has released it
        assert asked.wait(10)
        one.gain()

    try:
        assert await office.take(stop) == _HELD
        client[0].steps.append(goes_and_comes)
        await asyncio.wait_for(office.lost.wait(), 10)
        office.release()
        again = asyncio.create_task(office.take(stop))
        await asyncio.sleep(0.05)  # it has looked, as far as it does without waiting for the poll
        asked.set()
        assert await asyncio.wait_for(again, 10) == _HELD
    finally:
        asked.set()
        await office.close()
