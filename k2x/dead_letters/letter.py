"""A dead letter as it stands on its topic, and what it is about. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from confluent_kafka import Message

from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.letters import Headers, text
from schemas.topics import CHANGES, DEAD_LETTER_SUFFIX, RESULTS, WRITEBACK, all_topics, org_of

ORDER = "order"
_ADDRESS = re.compile(r"^(?P<topic>[\w.-]+):(?P<partition>\d+):(?P<offset>\d+)$")
_ORDER_OBJECT = "ecommerce.order"


class State(StrEnum):
    """How a letter stands now."""

    OPEN = "open"  # somebody has to act
    RESOLVED = "resolved"  # the same order, at this version or a newer one, has come to its end since
    SENT_AGAIN = "sent again"  # redriven, and no word of it yet
    SKIPPED = "skipped"  # a person decided to leave it
    SUPERSEDED = "superseded"  # a newer letter speaks of the same thing


@dataclass(frozen=True)
class Letter:
    """One dead letter. `value` None: its bytes cannot be read, and `problem` says why. `marks`: redrives on record."""

    topic: str
    partition: int
    offset: int
    at: datetime
    key: bytes | None
    raw: bytes | None
    headers: Headers
    schema: str
    value: Mapping[str, Any] | None
    problem: str = ""
    state: State = State.OPEN
    why: str = ""
    marks: int = 0

    @property
    def id(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"

    def header(self, name: str) -> str:
        return text(self._by_name, name)

    @property
    def error_class(self) -> str:
        return self.header("x-error-class")

    @property
    def code(self) -> str:
        return self.header("x-error-code")

    @property
    def message(self) -> str:
        return self.header("__connect.errors.exception.message")

    @property
    def hint(self) -> str:
        return self.header("x-error-hint")

    @cached_property
    def org(self) -> str:
        """By its header, else by the command topic it comes from."""
        if self.header("x-org"):
            return self.header("x-org")
        try:
            return org_of(self.home)
        except ValueError:
            return ""

    @cached_property
    def store(self) -> str:
        """instance/siteName, as far as the letter knows."""
        value = self.value or {}
        if self.header("x-store"):
            return self.header("x-store")
        if value.get("store"):
            return str(value["store"])
        return f"{value['instance']}/{value['site_name']}" if value.get("site_name") else ""

    @property
    def home(self) -> str:
        """The topic whose dead letters these are."""
        return self.topic.removesuffix(DEAD_LETTER_SUFFIX)

    @property
    def replays(self) -> int:
        """How often it has been sent again: what its header says, and the redrives since on record."""
        found = self.header("x-replay-count")
        return (int(found) if found.isdigit() else 0) + self.marks

    @cached_property
    def key_text(self) -> str:
        return (self.key or b"").decode("utf-8", "replace")

    @cached_property
    def order_key(self) -> str:
        """`instance|OrderID`, empty where it is not about an order."""
        value = self.value or {}
        if self.schema == ORDER:
            return self.key_text
        if self.schema == "change" and value:
            if value["object_type"] != _ORDER_OBJECT:
                return ""
            return f"{value['instance']}|{value['object_id']}"
        return f"{value['instance']}|{value['order_id']}" if value.get("order_id") else ""

    @property
    def version(self) -> datetime | None:
        """Of the aggregate; hints and unreadable letters have none."""
        found = (self.value or {}).get("version")
        return found if isinstance(found, datetime) else None

    @cached_property
    def subject(self) -> tuple[object, ...]:
        """Letters of one subject speak of the same thing: only the newest of them needs an answer."""
        value = self.value
        if value is None:
            return ("bytes", self.home, self.key, self.raw)
        if self.home in (WRITEBACK, RESULTS):
            return (self.home, self.key, value.get("kind"), value.get("ordinal"))
        if self.schema == ORDER:
            return (ORDER, self.order_key, (value["refund"] or {}).get("refund_id"))
        if self.schema == "command":
            if value["kind"] == "SALE":
                return (ORDER, self.order_key, None)
            return (value["org"], value["kind"], self.key, (value["body"] or {}).get("refund_id"))
        return (self.schema, self.key)

    def standing(self, state: State, why: str) -> Letter:
        return replace(self, state=state, why=why)

    @cached_property
    def _by_name(self) -> dict[str, bytes]:
        return dict(self.headers)


def schemas_of(orgs: Iterable[str]) -> dict[str, str]:
    """Every dead-letter topic and the schema of its values."""
    return {topic.name: topic.schema for topic in all_topics(orgs) if topic.name.endswith(DEAD_LETTER_SUFFIX)}


def letter_of(message: Message, schema: str, codec: Codec) -> Letter:
    """A record of a dead-letter topic."""
    value, problem = None, ""
    raw = message.value()
    try:
        value = codec.decode(raw or b"")
    except SchemaError as error:
        problem = str(error)
    headers = [(name, found) for name, found in message.headers() or [] if found is not None]
    return Letter(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        at=written_at(message),
        key=message.key(),
        raw=raw,
        headers=headers,
        schema=schema,
        value=value,
        problem=problem,
    )


def written_at(message: Message) -> datetime:
    """The record's time on the log."""
    return datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)


def address(asked: str) -> str | None:
    """`topic:partition:offset` in its plain form, None for anything else."""
    match = _ADDRESS.match(asked)
    if match is None:
        return None
    return f"{match['topic']}:{int(match['partition'])}:{int(match['offset'])}"


def is_hint(letter: Letter) -> bool:
    return letter.home == CHANGES
