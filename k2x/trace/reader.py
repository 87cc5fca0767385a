"""Reads every topic that speaks of one order, in the order it was written. Moves no offset.

Only records under the order's own keys are decoded, so a trace reads fast past everybody else's orders.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from confluent_kafka import Message

from k2x.audit.log import read_to_end
from k2x.dead_letters.letter import schemas_of, written_at
from k2x.trace.happenings import in_batch, of_entry, of_letter, of_members, of_record, paid_out
from k2x.trace.story import Happening, Story, told
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.topics import (
    CHANGES,
    ORDERS,
    PARKED,
    REPLAY_OF,
    RESULTS,
    SETTLEMENTS,
    SETTLEMENTS_PARKED,
    WRITEBACK,
    commands,
    dead_letter,
    ledger,
)

_ORDER_OBJECT = "ecommerce.order"
_NUMBERED = ("SALE", "invoice", "REFUND", "credit_note", "summary")
_MEMBER = "|member|"  # <summary>|member|<instance>|<OrderID>[|<refund>]: an order's, or a refund's, in the ledger


class Reader:
    """Reads a deployment's topics. `kafka`: librdkafka's bootstrap and security."""

    def __init__(self, kafka: Mapping[str, Any], codec: Codec, orgs: Iterable[str]) -> None:
        self._kafka = kafka
        self._codec = codec
        self._orgs = list(orgs)
        self._letters = schemas_of(self._orgs)
        self._commands = {commands(org) for org in self._orgs}

    def story(self, key: str) -> Story:
        """Everything on the topics about `instance|OrderID`, and what became of the summaries that hold it; or about a
        summary. Empty where nothing is."""
        found, contacts = self._records(key)
        found += self._ledger(key, contacts, min((h.at for h in found), default=None))
        for summary in summaries_of(found):
            of = [*self._records(summary)[0], *self._ledger(summary, set(), None)]
            found += [replace(h, text=f"its summary: {h.text}") for h in of if h.facts.get("members") is None]
        if found and not is_settlement(key):
            found += self._paid_out(key)
        return Story(key, told(found))

    def _paid_out(self, key: str) -> Iterator[Happening]:
        """The settlements whose lines name the order."""
        instance, _, order_id = key.partition("|")
        beginning = f"{instance}|".encode()
        for message in read_to_end(self._kafka, [SETTLEMENTS]):
            if (message.key() or b"").startswith(beginning) and order_id.encode() in (message.value() or b""):
                value = self._decoded(message)
                if value is not None and any(line["order_id"] == order_id for line in value["lines"]):
                    yield paid_out(message, value, order_id)

    def _records(self, key: str) -> tuple[list[Happening], set[bytes]]:
        """What all topics but the ledgers say; and the keys of the sales' contacts."""
        found: list[Happening] = []
        contacts: set[bytes] = set()
        topics = [CHANGES, ORDERS, REPLAY_OF[ORDERS], PARKED, *self._commands, RESULTS, WRITEBACK, *self._letters]
        if is_settlement(key):
            topics += [SETTLEMENTS, REPLAY_OF[SETTLEMENTS], SETTLEMENTS_PARKED]
        for message in self._about(key, topics):
            topic = message.topic() or ""
            if topic in self._letters:
                found.append(of_letter(message, self._letters[topic], self._codec))
                continue
            value = self._decoded(message)
            if value is not None and topic in self._commands and value["kind"] == "SALE":
                contacts.add(value["body"]["contact"]["key"].encode())
            found += of_record(message, value)
        return found, contacts

    def by_number(self, number: str) -> set[str]:
        """The orders that have, or were to have, this number of an invoice or credit note, whatever its case."""
        wanted, keys = number.casefold(), set()
        for message in read_to_end(self._kafka, [*self._commands, *(ledger(org) for org in self._orgs)]):
            if number.encode().lower() not in (message.value() or b"").lower():
                continue  # Avro keeps text as it is, so most records need no decoding
            value = self._decoded(message)
            if value is None:
                continue
            found = value.get("number") or (value.get("body") or {}).get("number") or ""
            if found.casefold() == wanted and value["kind"] in _NUMBERED:
                keys.add("|".join(value["key"].split("|")[:2]))
        return keys

    def settlements(self, id_: str) -> set[str]:
        """The settlements of this id, whatever their gateway."""
        end = f"/{id_}".encode()
        keys = {message.key() or b"" for message in read_to_end(self._kafka, [SETTLEMENTS])}
        return {key.decode() for key in keys if key.endswith(end) and is_settlement(key.decode())}

    def seen(self, keys: Iterable[str]) -> set[str]:
        """Which of these orders any source topic or dead letter has heard of."""
        wanted = {key.encode(): key for key in keys} | {_hint_key(key): key for key in keys}
        messages = read_to_end(self._kafka, [CHANGES, ORDERS, RESULTS, dead_letter(ORDERS), dead_letter(CHANGES)])
        return {wanted[message.key()] for message in messages if message.key() in wanted}

    def _about(self, key: str, topics: Iterable[str]) -> Iterator[Message]:
        wanted = {key.encode(), _hint_key(key)}
        instance, _, order_id = key.partition("|")
        written = bytes([2 * len(order_id.encode())]) + order_id.encode()  # Avro's text: its length, zigzag, its bytes
        for message in read_to_end(self._kafka, topics):
            if message.key() in wanted:
                yield message
            elif message.topic() == RESULTS and written in (message.value() or b""):
                # The contact of a sale has its own key; its result names the order.
                value = self._decoded(message)
                if value is not None and (value["instance"], value["order_id"]) == (instance, order_id):
                    yield message

    def _ledger(self, key: str, contacts: set[bytes], since: datetime | None) -> list[Happening]:
        """The ledger's records of the order, and of its contact what was written since the order came; the latest
        before that where there is none."""
        prefix, found = f"{key}|".encode(), []
        members, own = f"{key}{_MEMBER}".encode(), f"{_MEMBER}{key}".encode()
        before: dict[bytes, Message] = {}
        inside: dict[bytes, Message] = {}
        for message in read_to_end(self._kafka, [ledger(org) for org in self._orgs]):
            record = message.key() or b""
            if record.startswith(members):
                inside[record] = message
            elif record.startswith(prefix) or record.endswith(own) or own + b"|" in record:
                found.append(message)
            elif record in contacts:
                if since is not None and written_at(message) < since:
                    before[record] = message
                else:
                    before.pop(record, None)
                    found.append(message)
        made = [of_entry(m, self._decoded(m) if m.value() is not None else None) for m in [*before.values(), *found]]
        if inside:
            last = max(inside.values(), key=written_at)
            made.append(of_members(last, [self._decoded(m) for m in inside.values() if m.value() is not None]))
        return self._with_batches(made)

    def _with_batches(self, entries: list[Happening]) -> list[Happening]:
        """How many documents each call carried: those that share its idempotency key."""
        calls = {h.facts["idempotency_key"] for h in entries if h.facts.get("idempotency_key")}
        if not calls:
            return entries
        wanted = {call: call.encode() for call in calls}
        sizes: dict[str, set[bytes]] = {call: set() for call in calls}
        for message in read_to_end(self._kafka, [ledger(org) for org in self._orgs]):
            raw = message.value() or b""
            for call, token in wanted.items():
                if token in raw:
                    sizes[call].add(message.key() or b"")
        return [in_batch(h, sizes) for h in entries]

    def _decoded(self, message: Message) -> dict[str, Any] | None:
        try:
            return self._codec.decode(message.value() or b"")
        except SchemaError:
            return None


def summaries_of(happenings: Iterable[Happening]) -> list[str]:
    """Keys of the summaries whose members' entries are among an order's."""
    keys = [str(h.facts.get("key", "")) for h in happenings if h.what == "ledger"]
    return list(dict.fromkeys(key.partition(_MEMBER)[0] for key in keys if _MEMBER in key))


def is_settlement(key: str) -> bool:
    return "|settlement/" in key


def _hint_key(key: str) -> bytes:
    instance, _, order_id = key.partition("|")
    return f"{instance}|{_ORDER_OBJECT}|{order_id}".encode()
