"""The whole story of one order, from every topic that speaks of it, in the order it was written. Moves no offset.

Only records under the order's own keys are decoded, so a trace reads fast past everybody else's orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from confluent_kafka import Message

from k2x.audit.log import read_to_end
from k2x.dead_letters.archive import MARK
from k2x.dead_letters.letter import letter_of, schemas_of, written_at
from k2x.in_words import moment, plain, span
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.topics import CHANGES, ORDERS, PARKED, RESULTS, WRITEBACK, commands, dead_letter, ledger

_ORDER_OBJECT = "ecommerce.order"
# Records of one moment in the order they follow from each other.
_RANK = {"hint": 0, "event": 1, "parked": 2, "command": 3, "ledger": 4, "result": 5, "letter": 6, "write-back": 7}


@dataclass(frozen=True)
class Happening:
    """One record about the order. `what`: a key of _RANK, or `operator`. `facts` are for scripts."""

    at: datetime
    what: str
    where: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Story:
    """All of an order. `key`: instance|OrderID."""

    key: str
    happenings: tuple[Happening, ...]

    @property
    def ending(self) -> str:
        """How the order stands, in one sentence."""
        first = next((h.at for h in self.happenings if h.what in ("event", "hint")), None)
        ends = [h for h in self.happenings if h.what == "result" and h.facts["kind"] == "order"]
        if not ends:
            return "No result yet: it is on its way, or its process is not running."
        last = max(ends, key=lambda h: (h.facts["version"], h.at))
        took = f", {span(last.at - first)} after it was first heard of" if first else ""
        letters = sum(h.what == "letter" for h in self.happenings)
        tries = max((h.facts.get("attempt", 0) for h in self.happenings if h.what == "ledger"), default=0)
        notes = [f"{letters} dead letter" + ("s" if letters > 1 else "")] if letters else []
        if tries > 1:
            notes.append(f"a document took {tries} attempts")
        done = next((h for h in reversed(ends) if h.facts["outcome"] in ("POSTED", "ADOPTED")), None)
        if done is not None and done is not last:
            notes.append(f"posted before as {done.facts['number']}")
        return f"{last.text.rstrip('.')}{took}" + (f" ({'; '.join(notes)})" if notes else "")


class Reader:
    """Reads a deployment's topics. `kafka`: librdkafka's bootstrap and security."""

    def __init__(self, kafka: Mapping[str, Any], codec: Codec, orgs: Iterable[str]) -> None:
        self._kafka = kafka
        self._codec = codec
        self._orgs = list(orgs)
        self._letters = schemas_of(self._orgs)
        self._commands = {commands(org) for org in self._orgs}

    def story(self, key: str) -> Story:
        """Everything on the topics about `instance|OrderID`; empty where nothing is."""
        found: list[Happening] = []
        contacts: set[bytes] = set()
        topics = [CHANGES, ORDERS, PARKED, *self._commands, RESULTS, WRITEBACK, *self._letters]
        for message in self._about(key, topics):
            topic = message.topic()
            if topic in self._letters:
                found.append(self._letter(message))
                continue
            value = self._decoded(message)
            if value is None:
                found.append(_unreadable(message))
                continue
            if topic in self._commands and value["kind"] == "SALE":
                contacts.add(value["body"]["contact"]["key"].encode())
            found.append(_happening(message, value))
        found += self._ledger(key, contacts, min((h.at for h in found), default=None))
        return Story(key, tuple(sorted(found, key=lambda h: (h.at, _RANK.get(h.what, 9)))))

    def by_number(self, number: str) -> set[str]:
        """The orders that have, or were to have, this invoice number, whatever its case."""
        wanted, keys = number.casefold(), set()
        for message in read_to_end(self._kafka, [*self._commands, *(ledger(org) for org in self._orgs)]):
            if number.encode().lower() not in (message.value() or b"").lower():
                continue  # Avro keeps text as it is, so most records need no decoding
            value = self._decoded(message)
            if value is None:
                continue
            found = value.get("number") or (value.get("body") or {}).get("number") or ""
            if found.casefold() == wanted and value["kind"] in ("SALE", "invoice"):
                keys.add("|".join(value["key"].split("|")[:2]))
        return keys

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
        before: dict[bytes, Message] = {}
        for message in read_to_end(self._kafka, [ledger(org) for org in self._orgs]):
            record = message.key() or b""
            if record.startswith(prefix):
                found.append(message)
            elif record in contacts:
                if since is not None and written_at(message) < since:
                    before[record] = message
                else:
                    before.pop(record, None)
                    found.append(message)
        made = [self._entry(message) for message in [*before.values(), *found]]
        return self._with_batches(made)

    def _entry(self, message: Message) -> Happening:
        value = self._decoded(message) if message.value() is not None else None
        if value is None:
            name = (message.key() or b"").decode("utf-8", "replace").split("|", 2)[-1]
            return Happening(written_at(message), "ledger", _where(message), f"{name}: entry taken out")
        return Happening(written_at(message), "ledger", _where(message), _entry_text(value), _entry_facts(value))

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
        return [_in_batch(h, sizes) for h in entries]

    def _letter(self, message: Message) -> Happening:
        letter = letter_of(message, self._letters[message.topic() or ""], self._codec)
        again = f" (sent again {letter.replays}×)" if letter.replays else ""
        told = letter.schema in ("order", "command")  # the result beside it says the same
        said = "" if told else f"{letter.message} "
        text = f"{letter.error_class}/{letter.code}{again}: {said}Remedy: {letter.hint}"
        facts: dict[str, Any] = {"class": letter.error_class, "code": letter.code, "hint": letter.hint}
        facts |= {"message": letter.message, "version": letter.version}
        return Happening(letter.at, "letter", letter.id, text, facts)

    def _decoded(self, message: Message) -> dict[str, Any] | None:
        try:
            return self._codec.decode(message.value() or b"")
        except SchemaError:
            return None


def _hint_key(key: str) -> bytes:
    instance, _, order_id = key.partition("|")
    return f"{instance}|{_ORDER_OBJECT}|{order_id}".encode()


def _where(message: Message) -> str:
    return f"{message.topic()}:{message.partition()}:{message.offset()}"


def _unreadable(message: Message) -> Happening:
    return Happening(written_at(message), "event", _where(message), "a record that cannot be read")


def _happening(message: Message, value: Mapping[str, Any]) -> Happening:
    topic = message.topic()
    makers: dict[str, Callable[[Message, Mapping[str, Any]], tuple[str, str, dict[str, Any]]]] = {
        CHANGES: _hint,
        ORDERS: _event,
        PARKED: _parked,
        RESULTS: _result,
        WRITEBACK: _write_back,
    }
    what, text, facts = makers.get(topic or "", _command)(message, value)
    return Happening(written_at(message), what, _where(message), text, facts)


def _hint(message: Message, value: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    name = f", event {value['event_id']}" if value["event_id"] else ""
    return "hint", f"{value['event_type']} by {value['source']}{name}: to be read", {"source": value["source"]}


def _event(message: Message, value: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    row, status = value["order"], value["status"]
    currency = (value["currency"] or {}).get("CurrencyCode", "")
    count = _header(message, "x-replay-count")
    again = f", sent again for the {count}. time" if count not in ("", "0") else ""
    text = (
        f"{value['event_type']} by {value['source']}, version {_short(value['version'])}, "
        f"{plain(row['OrderTotalPrice'])} {currency}, tax {plain(row['OrderTotalTax'])}, "
        f"{status['StatusName'] if status else 'no status'}, {'paid' if row['OrderIsPaid'] else 'not marked as paid'}"
        f"{', deleted' if value['deleted'] else ''}{again}"
    )
    facts = {"version": value["version"], "source": value["source"], "event_type": value["event_type"]}
    return "event", text, {**facts, "observed_at": value["observed_at"], "received_at": value["received_at"]}


def _parked(message: Message, value: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    reason = _header(message, "x-parked-reason")
    return "parked", f"version {_short(value['version'])}: {reason}", {"version": value["version"], "reason": reason}


def _command(message: Message, value: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    body = value["body"] or {}
    text = f"{value['kind']} for {value['org']}, version {_short(value['version'])}"
    if value["kind"] == "SALE":
        tenders = ", ".join(f"{plain(t['amount'])} to {t['account_code']}" for t in body["payments"])
        text += f": {body['number']}, {plain(body['total'])} {body['currency']}, tax {plain(body['total_tax'])}"
        text += f", paid {tenders}" if tenders else ""
    count = _header(message, "x-replay-count")
    if count not in ("", "0"):
        text += f", sent again for the {count}. time"
    if value["replay_id"]:
        text += f", by replay {value['replay_id']}"
    facts = {"kind": value["kind"], "version": value["version"], "rules_version": value["rules_version"]}
    return "command", text, {**facts, "number": body.get("number"), "findings": list(value["findings"])}


def _result(message: Message, value: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    names = ("kind", "ordinal", "outcome", "number", "xero_id", "status", "total", "currency", "version")
    facts = {name: value[name] for name in (*names, "error_class", "error_code", "message")}
    if value["kind"] == MARK:
        return "operator", f"{', '.join(value['findings'])} {value['message']}", facts
    money = f", {plain(value['total'])} {value['currency'] or ''}".rstrip() if value["total"] else ""
    code = f"{value['error_class']}/{value['error_code']}" if value["error_code"] else ""
    said = ": ".join(part for part in (code, value["message"]) if part)
    ordinal = f" {value['ordinal']}" if value["ordinal"] else ""
    text = f"{value['kind']}{ordinal} {value['outcome']}"
    text += f" as {value['number']}" if value["number"] else ""
    text += f" {value['status']}" if value["status"] else ""
    return "result", text + money + (f": {said}" if said else ""), facts


def _write_back(message: Message, value: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    fields = ", ".join(f"{column}={text!r}" for column, text in sorted(value["fields"].items()))
    return "write-back", fields, {"fields": dict(value["fields"])}


def _entry_text(value: Mapping[str, Any]) -> str:
    ordinal = f" {value['ordinal']}" if value["ordinal"] else ""
    intention = value["intention"]
    text = f"{value['kind']}{ordinal} {value['state']}"
    text += f" {value['number']}" if value["number"] else ""
    text += f" {value['status']}" if value["status"] else ""
    text += f", id {value['xero_id']}" if value["xero_id"] else ""
    if intention is not None:
        text += f", intention to write it ({intention['step']}, attempt {intention['attempt']})"
    if value["state"] == "WAITING":
        text += f", until {moment(value['retry_at'])}, attempt {value['attempt']}"
    return text + (f": {value['reason']}" if value["reason"] else "")


def _entry_facts(value: Mapping[str, Any]) -> dict[str, Any]:
    intention = value["intention"] or {}
    names = ("key", "kind", "state", "number", "xero_id", "status", "version", "retry_at", "reason")
    attempt = max(value["attempt"], intention.get("attempt", 0))
    key = intention.get("idempotency_key") or None
    return {**{name: value[name] for name in names}, "attempt": attempt, "idempotency_key": key}


def _in_batch(happening: Happening, sizes: Mapping[str, set[bytes]]) -> Happening:
    size = len(sizes.get(happening.facts.get("idempotency_key") or "", ()))
    if not size:
        return happening
    others = "alone in its call" if size == 1 else f"one of {size} in its call"
    facts = {**happening.facts, "batch": size}
    return Happening(happening.at, happening.what, happening.where, f"{happening.text}, {others}", facts)


def _short(version: datetime) -> str:
    return version.isoformat().removesuffix("+00:00") + "Z"


def _header(message: Message, name: str) -> str:
    for found, value in message.headers() or []:
        if found == name and value is not None:
            return str(value.decode("utf-8", "replace"))
    return ""
