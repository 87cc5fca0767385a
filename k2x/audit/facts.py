"""What the topics say happened: every order seen, every letter, every result. Plain data for k2x.audit.judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from confluent_kafka import Message

from k2x.audit.log import read_to_end
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.topics import ORDERS, RESULTS, commands, dead_letter


@dataclass(frozen=True)
class OrderSeen:
    """One version of an order as it came in."""

    key: str
    store: str
    order_id: str
    version: datetime
    observed_at: datetime
    received_at: datetime
    currency: str | None
    total: Decimal
    tax: Decimal
    gift_cards: Decimal


@dataclass(frozen=True)
class LetterSeen:
    """One dead letter about an order. `version` None: the value cannot be read."""

    key: str
    version: datetime | None
    org: str
    store: str
    error_class: str
    code: str
    message: str
    hint: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class ResultSeen:
    """One result about an order or one of its documents."""

    key: str
    kind: str
    outcome: str
    org: str
    version: datetime
    at: datetime
    received_at: datetime | None
    message: str


@dataclass
class Facts:
    """Everything the topics hold about orders, by `instance|OrderID`."""

    orders: dict[str, list[OrderSeen]] = field(default_factory=dict)
    letters: dict[str, list[LetterSeen]] = field(default_factory=dict)
    results: dict[str, list[ResultSeen]] = field(default_factory=dict)


def gather(kafka: Mapping[str, Any], codec: Codec, orgs: Iterable[str]) -> Facts:
    """Read source, dead-letter and result topics to their end."""
    facts = Facts()
    dead = [dead_letter(ORDERS), *(dead_letter(commands(org)) for org in orgs)]
    for message in read_to_end(kafka, [ORDERS, RESULTS, *dead]):
        topic = message.topic()
        if topic == ORDERS:
            _order(facts, message, codec)
        elif topic == RESULTS:
            _result(facts, message, codec)
        else:
            _letter(facts, message, codec)
    return facts


def _order(facts: Facts, message: Message, codec: Codec) -> None:
    key = _key(message)
    try:
        value = codec.decode(message.value() or b"")
    except SchemaError:
        return  # it must be among the letters; judge() counts it lost otherwise
    row, currency = value["order"], value["currency"]
    seen = OrderSeen(
        key=key,
        store=f"{value['instance']}/{value['site_name']}",
        order_id=str(row["OrderID"]),
        version=value["version"],
        observed_at=value["observed_at"],
        received_at=value["received_at"],
        currency=currency["CurrencyCode"] if currency else None,
        total=row["OrderTotalPrice"],
        tax=row["OrderTotalTax"],
        gift_cards=sum((other["value"] for other in row["OrderOtherPayments"]), Decimal(0)),
    )
    facts.orders.setdefault(key, []).append(seen)


def _result(facts: Facts, message: Message, codec: Codec) -> None:
    value = codec.decode(message.value() or b"")
    if not value["order_id"]:
        return
    key = f"{value['instance']}|{value['order_id']}"
    seen = ResultSeen(
        key=key,
        kind=value["kind"],
        outcome=value["outcome"],
        org=value["org"] or "",
        version=value["version"],
        at=value["at"],
        received_at=value["received_at"],
        message=value["message"] or "",
    )
    facts.results.setdefault(key, []).append(seen)


def _letter(facts: Facts, message: Message, codec: Codec) -> None:
    headers = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or []}
    key = _key(message)
    version: datetime | None = None
    try:
        version = codec.decode(message.value() or b"")["version"]
    except SchemaError:
        version = None
    seen = LetterSeen(
        key=key,
        version=version,
        org=headers.get("x-org", ""),
        store=headers.get("x-store", ""),
        error_class=headers.get("x-error-class", ""),
        code=headers.get("x-error-code", ""),
        message=headers.get("__connect.errors.exception.message", ""),
        hint=headers.get("x-error-hint", ""),
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
    )
    facts.letters.setdefault(key, []).append(seen)


def _key(message: Message) -> str:
    return (message.key() or b"").decode("utf-8", "replace")
