"""Every record that streams writes, built in one place: commands, results, dead letters, parked records. Pure.

A record that a replay copied speaks of the source record: its topic, partition and offset, not the copy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, cast

from schemas import topics, traces
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.letters import Headers, Origin, Reason, letter_headers
from schemas.types import Command, Result
from streams.settings import StreamsSettings

COMPONENT = "streams"
Outcome = Literal["SUPPRESSED", "REFUSED", "PARKED"]

# Headers of a parked record; the dead letters' x-org and x-store mean the same here.
PARKED_ORG = "x-org"
PARKED_STORE = "x-store"
PARKED_REASON = "x-parked-reason"
PARKED_AT = "x-parked-at"
SOURCE_TOPIC = "x-source-topic"
SOURCE_PARTITION = "x-source-partition"
SOURCE_OFFSET = "x-source-offset"
REPLAY_ID = "x-replay-id"  # set by a replay on the records it sends again, with SOURCE_* as above
REPLAY_ORG = "x-replay-org"  # the only organisation that a copied customer or product is for
# Of a record that was redriven: its command counts on, and if the sink refuses that, so does the letter.
_COUNTED = ("x-replay-count", "x-first-failed-at")
_BODIES = {
    "SALE": "k2x.xero.Sale",
    "CONTACT": "k2x.xero.Contact",
    "ITEM": "k2x.xero.Item",
    "REFUND": "k2x.xero.RefundNote",
    "SETTLEMENT": "k2x.xero.Payout",
}
_PARKED_HEADERS = {PARKED_ORG, PARKED_STORE, PARKED_REASON, PARKED_AT, SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET}


class Source(Protocol):
    """A record as it came: Faust's Message and `Incoming` both fit."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Incoming:
    """A record as it came, or came first, where it was parked between."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def header_list(headers: Any) -> Headers:
    """Headers as a list, whichever client read them; ones without a value are left out."""
    pairs: Iterable[tuple[str, Any]] = headers.items() if isinstance(headers, Mapping) else headers or ()
    return [
        (name, value if isinstance(value, bytes) else str(value).encode()) for name, value in pairs if value is not None
    ]


def header(source: Source, name: str) -> str | None:
    """A header's text, None where there is none."""
    return next(
        (value.decode("utf-8", "replace") for found, value in header_list(source.headers) if found == name), None
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a result speaks of. `version` is the aggregate's, or where it could not be read, the time of refusal."""

    instance: str
    kind: str  # order, contact, item
    key: str
    version: datetime
    org: str | None = None
    store: str | None = None
    order_id: str | None = None
    currency: str | None = None
    received_at: datetime | None = None
    traceparent: str | None = None


class Outputs:
    """Builds records under the names and schemas of this deployment."""

    def __init__(self, settings: StreamsSettings, codec: Codec) -> None:
        self._settings = settings
        self._codec = codec
        self._results = settings.topic(topics.RESULTS)
        self._replays = settings.replay_topics

    def command(self, command: Command, source: Source) -> Record:
        """A command for its organisation's topic, with where it came from filled in."""
        origin = self.origin(source)
        complete: dict[str, Any] = {
            **command,
            # Naming the branch spares fastavro trying the body against each record of the union: a third of the cost.
            "body": command["body"] and (_BODIES[command["kind"]], command["body"]),
            "source_topic": origin.topic,
            "source_partition": origin.partition,
            "source_offset": origin.offset,
        }
        trace = command["traceparent"]
        headers = [("traceparent", trace.encode())] if trace else []
        if source.headers:
            complete["replay_id"] = header(source, REPLAY_ID) or command["replay_id"]
            headers += [pair for pair in header_list(source.headers) if pair[0] in _COUNTED]
        topic = self._settings.commands(command["org"])
        return Record(topic, command["key"].encode(), self._codec.encode("command", complete), headers)

    def origin(self, source: Source) -> Source:
        """The record itself, or the one of the source topic that a replay has copied."""
        live = self._replays.get(source.topic)
        if live is None:
            return source
        said = {name: value.decode("utf-8", "replace") for name, value in header_list(source.headers)}
        partition, offset = said.get(SOURCE_PARTITION, ""), said.get(SOURCE_OFFSET, "")
        return Incoming(
            topic=said.get(SOURCE_TOPIC) or live,
            partition=int(partition) if partition.isdigit() else source.partition,
            offset=int(offset) if offset.isdigit() else source.offset,
            key=source.key,
            value=source.value,
            headers=[pair for pair in header_list(source.headers) if pair[0] not in _PARKED_HEADERS],
        )

    def result(
        self,
        source: Source,
        subject: Subject,
        outcome: Outcome,
        now: datetime,
        *,
        message: str,
        error_class: str | None = None,
        error_code: str | None = None,
        hint: str | None = None,
        findings: Iterable[str] = (),
    ) -> Record:
        """What became of an aggregate that made no command."""
        result: Result = {
            "org": subject.org,
            "instance": subject.instance,
            "store": subject.store,
            "order_id": subject.order_id,
            "kind": subject.kind,
            "ordinal": 0,
            "key": subject.key,
            "outcome": outcome,
            "xero_id": None,
            "number": None,
            "status": None,
            "total": None,
            "total_tax": None,
            "amount_due": None,
            "currency": subject.currency,
            "version": subject.version,
            "error_class": error_class,
            "error_code": error_code,
            "message": message,
            "hint": hint,
            "findings": list(findings),
            "received_at": subject.received_at,
            "at": now,
            "command_id": None,
            "traceparent": subject.traceparent,
            "replay_id": header(source, REPLAY_ID),
        }
        value = self._codec.encode("result", cast(Mapping[str, Any], result))
        trace = subject.traceparent
        headers = [(traces.HEADER, trace.encode())] if trace else []
        return Record(self._results, subject.key.encode(), value, headers)

    def refusal(self, source: Source, subject: Subject, reason: Reason, stage: str, now: datetime) -> list[Record]:
        """A dead letter with the record's own bytes, and the REFUSED result that tells of it.

        A result that cannot be handled makes no result of its own: it would come back to the agent that failed on it.
        """
        origin = self.origin(source)
        headers = letter_headers(
            Origin(origin.topic, origin.partition, origin.offset, COMPONENT, stage),
            reason,
            now,
            previous=header_list(origin.headers),
            traceparent=subject.traceparent,
        )
        letter = Record(topics.dead_letter(origin.topic), source.key, source.value, headers)
        if source.topic == self._results:
            return [letter]
        result = self.result(
            source,
            subject,
            "REFUSED",
            now,
            message=reason.message,
            error_class=str(reason.error_class),
            error_code=reason.code,
            hint=reason.hint,
        )
        return [letter, result]

    def parked(
        self, source: Source, subject: Subject, org: str, reason: str, topic: str, now: datetime
    ) -> list[Record]:
        """The record unchanged on a parked topic, its headers saying why, and the PARKED result."""
        origin = self.origin(source)
        where = {
            PARKED_ORG: org,
            PARKED_STORE: subject.store or "",
            PARKED_REASON: reason,
            PARKED_AT: now.isoformat(),
            SOURCE_TOPIC: origin.topic,
            SOURCE_PARTITION: str(origin.partition),
            SOURCE_OFFSET: str(origin.offset),
        }
        headers = [pair for pair in header_list(source.headers) if pair[0] not in _PARKED_HEADERS]
        headers += [(name, value.encode()) for name, value in where.items()]
        result = self.result(
            source, subject, "PARKED", now, message=reason, hint="Nothing to do: it goes on by itself."
        )
        return [Record(topic, source.key, source.value, headers), result]


def unpark(parked: Source) -> tuple[Incoming, str]:
    """A parked record as it came first, and the organisation it waits for."""
    headers = header_list(parked.headers)
    ours = {name: value.decode("utf-8", "replace") for name, value in headers if name in _PARKED_HEADERS}
    partition, offset = ours.get(SOURCE_PARTITION, ""), ours.get(SOURCE_OFFSET, "")
    original = Incoming(
        topic=ours.get(SOURCE_TOPIC) or parked.topic,
        partition=int(partition) if partition.isdigit() else parked.partition,
        offset=int(offset) if offset.isdigit() else parked.offset,
        key=parked.key,
        value=parked.value,
        headers=[pair for pair in headers if pair[0] not in _PARKED_HEADERS],
    )
    return original, ours.get(PARKED_ORG, "")
