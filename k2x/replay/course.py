"""One organisation's way through a replay: send what there is room for, wait until it is finished, next topic.

Guarantees: no copy is sent that would make more commands outstanding than allowed; a place on the source is committed
after the copies before it are acknowledged, so an interruption repeats at most one delivery, and skips nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from confluent_kafka import Message

from k2x.replay.backlog import Standing
from k2x.replay.chosen import Sieve
from k2x.replay.copies import copy_of
from k2x.replay.journal import Replay
from k2x.replay.source import Source
from k2x.replay.tally import Tally
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import SchemaError
from schemas.topics import ORDERS, PRODUCTS, REPLAY_OF

_LOOKED = 2000  # records looked at in one step: the other organisations want their turn
_WAIT_S = 0.1


class Stage(StrEnum):
    """Where it stands with the topic of the moment."""

    SENDING = "sending"
    TRANSFORMING = "until streams has transformed the last"
    FINISHING = "until the sink has finished the last"
    ITEMS = "until the new items are read back from Xero, which is within the hour"
    OVER = "over"


class Delivery(Protocol):
    """What is needed of schemas.delivery.Deliverer."""

    def deliver_now(self, records: list[Record]) -> None: ...


@dataclass(frozen=True)
class Surroundings:
    """What every course needs. `items_known(org)`: streams knows every item that this replay has made."""

    kafka: Mapping[str, Any]
    codec: Codec
    delivery: Delivery
    lanes: Mapping[str, Mapping[str, int]]
    limit: int
    several: frozenset[str]  # organisations whose orders may make items: several commands an order
    items_known: Callable[[str], bool]


class Course:
    """`step` again and again until `over`."""

    def __init__(self, org: str, replay: Replay, sieve: Sieve, tally: Tally, around: Surroundings, wait: bool) -> None:
        self.org = org
        self.sent = 0
        self.stage = Stage.SENDING
        self._replay, self._sieve, self._tally, self._around, self._wait = replay, sieve, tally, around, wait
        self._topic, *self._topics = replay.chosen.topics
        self._source = self._open()
        self._target = 0

    @property
    def over(self) -> bool:
        return self.stage is Stage.OVER

    @property
    def left(self) -> int:
        """Records still to look at; not all of them are this organisation's."""
        return self._source.left + sum(r.end - r.first for topic in self._topics for r in self._replay.of(topic))

    def step(self, standing: Standing, allowed: int) -> bool:
        """Do what can be done now, sending at most `allowed`; whether anything was done."""
        match self.stage:
            case Stage.SENDING if self._source.over:
                last = not self._topics and not self._wait
                self.stage = Stage.OVER if last else Stage.TRANSFORMING
                return True
            case Stage.SENDING:
                room = min(self._around.limit - standing.outstanding, allowed)
                # An order that makes several commands counts as one until it has made them: see them all first.
                hidden = self.org in self._around.several and standing.copies > 0
                return self._send(room) if room > 0 and not hidden else False
            case Stage.TRANSFORMING if standing.copies == 0 and not self._tally.parked:
                self._target, self.stage = standing.command_end, Stage.FINISHING
                return True
            case Stage.FINISHING if standing.command_done >= self._target:
                self.stage = Stage.ITEMS
                return True
            case Stage.ITEMS if self._topic != PRODUCTS or self._around.items_known(self.org):
                self._next()
                return True
        return False

    def parked(self) -> bool:
        """Whether what was sent last is parked after all: then it is not over until that has been fed and finished."""
        if self._tally.parked:
            self.stage = Stage.TRANSFORMING
        return bool(self._tally.parked)

    def close(self) -> None:
        self._source.close()

    # -- sending ------------------------------------------------------------------------------------------------

    def _send(self, room: int) -> bool:
        copies: list[Record] = []
        before = self._source.left
        for _ in range(_LOOKED):
            message = self._source.peek(_WAIT_S)
            if message is None:
                break
            weight = self._weight(message)
            if weight > room and copies:
                break
            self._source.take()
            if weight:
                partition = self._around.lanes[self.org][REPLAY_OF[self._topic]]
                copies.append(copy_of(message, self._replay.id, self.org, partition))
                room -= weight
            if room <= 0:
                break
        self._around.delivery.deliver_now(copies)
        self._source.commit()
        self.sent += len(copies)
        return self._source.left < before

    def _weight(self, message: Message) -> int:
        """How many commands its copy may make; 0: it is not meant."""
        codec, several = self._around.codec, self._topic == ORDERS and self.org in self._around.several
        try:
            if not self._sieve.takes(message, codec):
                return 0
            return 1 + len(codec.decode(message.value() or b"")["items"]) if several else 1
        except SchemaError:  # whose it is cannot be known; a dead letter says so already
            self._tally.unreadable += 1
            return 0

    # -- stages -------------------------------------------------------------------------------------------------

    def _open(self) -> Source:
        return Source(self._around.kafka, self._replay.of(self._topic), self._replay.group(self.org))

    def _next(self) -> None:
        if not self._topics:
            self.stage = Stage.OVER
            return
        self._source.close()
        self._topic, *self._topics = self._topics
        self._source = self._open()
        self.stage = Stage.SENDING
