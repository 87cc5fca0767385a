"""Follows the dead letters and the results: how each letter stands, and what people have not been told yet.

How far people have been told is committed under the group `k2x-watch`, which nobody joins; so a restart tells nothing
twice that was told, and nothing is left out: at least once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from k2x.audit.log import Places, read_to_end
from k2x.dead_letters.archive import Told, mark_key, standings
from k2x.dead_letters.letter import ORDER, Letter, letter_of, schemas_of
from k2x.errors import K2xError
from k2x.watch.digest import Notice
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.topics import RESULTS
from schemas.waits import wait_word

GROUP = "k2x-watch"
_ANEW_S = 3600.0  # a letter about an order whose end was read before the letter came is put right by then
_TIMEOUT_S = 20.0
# Waits that are not a pause of the organisation: they concern one order, and end by themselves.
_OWN_WAITS = frozenset({"earlier_version", "read_back", "repeat", "not_found", "collected"})


@dataclass
class Look:
    """What one look has found: all letters as they stand, what is new for people, and how far that goes."""

    letters: tuple[Letter, ...] = ()
    notices: list[Notice] = field(default_factory=list)
    places: Places = field(default_factory=dict)


class Letters:
    """`look` reads what has come since the last look. `notify`: whether anybody is to be told."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        codec: Codec,
        orgs: Iterable[str],
        *,
        notify: bool,
        group: str = GROUP,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kafka, self._codec, self._clock = dict(kafka), codec, clock
        self._schemas = schemas_of(orgs)
        self._notify, self._group = notify, group
        self._noticed: Places | None = None  # notices were made of everything before
        self._anew()

    def _anew(self) -> None:
        self._began = self._clock()
        self._places: Places = {}
        self._told = Told()
        self._letters: list[Letter] = []
        self._wanted: set[bytes] = set()

    def look(self) -> Look:
        """K2xError when the broker does not answer; the next look then begins anew, and leaves out nothing."""
        if self._clock() - self._began > _ANEW_S:
            self._anew()
        try:
            if self._notify and self._noticed is None:
                self._noticed = self._told_to()
            notices = [*self._read_letters(), *self._read_results()]
        except Exception:
            self._anew()
            raise
        self._noticed = dict(self._places)
        self._letters.sort(key=lambda letter: (letter.at, letter.topic, letter.partition, letter.offset))
        return Look(tuple(standings(self._letters, self._told)), notices, dict(self._places))

    def _read_letters(self) -> Iterator[Notice]:
        for message in read_to_end(self._kafka, self._schemas, places=self._places):
            letter = letter_of(message, self._schemas[message.topic() or ""], self._codec)
            # Its bytes are in its topic; here only those matter that nobody can read.
            self._letters.append(letter if letter.value is None else replace(letter, raw=None))
            self._wanted |= {mark_key(letter), letter.order_key.encode()}
            if self._unheard(message, 0):
                yield _of_letter(letter)

    def _read_results(self) -> Iterator[Notice]:
        for message in read_to_end(self._kafka, [RESULTS], places=self._places):
            if message.key() in self._wanted:
                self._take(message)
            # Waits of long ago are nobody's news: where nothing was ever told, only those from now on are.
            if self._unheard(message, None):
                yield from self._of_result(message)

    def _unheard(self, message: Message, default: int | None) -> bool:
        """`default`: where hearing begins if nothing is remembered; None: at what comes after the first look."""
        if not self._notify or self._noticed is None:
            return False
        told = self._noticed.get((message.topic() or "", message.partition() or 0), default)
        return told is not None and (message.offset() or 0) >= told

    def heard(self, places: Places) -> None:
        """People have been told of everything before these places."""
        consumer = self._consumer()
        try:
            offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in places.items()]
            if offsets:
                consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise K2xError(f"what was told could not be remembered: {error.args[0].str()}. It is told again") from error
        finally:
            consumer.close()

    def _told_to(self) -> Places:
        consumer = self._consumer()
        try:
            known = consumer.list_topics(timeout=_TIMEOUT_S).topics
            wanted = [
                TopicPartition(name, number)
                for name in (*self._schemas, RESULTS)
                if name in known
                for number in known[name].partitions
            ]
            found = consumer.committed(wanted, timeout=_TIMEOUT_S) if wanted else []
        except KafkaException as error:
            raise K2xError(f"Kafka does not answer: {error.args[0].str()}. Is the broker up?") from error
        finally:
            consumer.close()
        return {(p.topic, p.partition): p.offset for p in found if p.offset >= 0}

    def _consumer(self) -> Consumer:
        return Consumer({"group.id": self._group, "enable.auto.commit": False, **self._kafka})

    def _take(self, message: Message) -> None:
        try:
            result = self._codec.decode(message.value() or b"")
        except SchemaError:  # the results agent has made it a letter of its own
            return
        self._told.take((message.key() or b"").decode("utf-8", "replace"), result)

    def _of_result(self, message: Message) -> list[Notice]:
        try:
            head = self._codec.head(message.value() or b"", "outcome")
            if head["outcome"] != "WAITING" or head["kind"] != ORDER:
                return []
            result = self._codec.decode(message.value() or b"")
        except SchemaError:
            return []
        word = wait_word(result["message"])
        if word in _OWN_WAITS:
            return []
        text = f"order {result['order_id']} of {result['store'] or result['instance']} waits: {result['message']}"
        return [Notice(result["org"] or "", f"waiting:{word}", text, "Nothing is lost: it goes on by itself.")]


def _of_letter(letter: Letter) -> Notice:
    where = letter.store or letter.org or letter.home
    text = f"{where} {letter.order_key or letter.key_text} {letter.code}: {letter.message}"
    return Notice(letter.org, letter.error_class or "bug", text, letter.hint)
