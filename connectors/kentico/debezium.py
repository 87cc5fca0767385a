"""Debezium's change events of SQL Server rows, as they lie on its topics, to Python values. Pure but for the registry.

JSON (with or without schemas) and Avro in Confluent's wire format. Of a row only what a hint needs is used: what its
decimals and times look like does not matter here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any, Literal, Protocol, cast

import fastavro
import orjson
from fastavro.schema import SchemaParseException

from connectors.kentico.errors import EnvelopeUnreadable
from schemas.errors import UnknownSchema

Row = Mapping[str, Any]
Op = Literal["c", "u", "d", "r"]

_OPS = frozenset({"c", "u", "d", "r"})
_WIRE = struct.Struct(">bI")
# SQL Server's and our clock may differ; a change that claims to be further ahead says nothing of time.
_SKEW = timedelta(minutes=5)
_YEAR_10000_MS = 253_402_300_800_000


class Schemas(Protocol):
    """Where the schemas of another producer are: a registry with Confluent's API."""

    def foreign(self, schema_id: int) -> Any:
        """The schema of an id, as JSON values. SchemaError where there is none."""


@dataclass(frozen=True)
class RowChange:
    """One row's. `at`: when SQL Server committed it; None where the connector's clock cannot be believed."""

    table: str
    op: Op
    before: Row | None
    after: Row | None
    at: datetime | None

    @property
    def rows(self) -> tuple[Row, ...]:
        """The row as it was and as it is, where it was and is there."""
        return tuple(row for row in (self.before, self.after) if row is not None)


class Values:
    """Decodes what lies on Debezium's topics. `schemas` None: Avro cannot be read."""

    def __init__(self, schemas: Schemas | None) -> None:
        self._schemas = schemas
        self._parsed: dict[int, Any] = {}

    def decode(self, data: bytes) -> Any:
        """The value. EnvelopeUnreadable for what is neither; RegistryUnavailable while the registry is away."""
        if data[:1] != b"\0":
            return _json(data)
        if len(data) < _WIRE.size:
            raise EnvelopeUnreadable("is neither JSON nor Avro in Confluent's wire format: too short")
        if self._schemas is None:
            raise EnvelopeUnreadable("is Avro, and no schema_registry.url says where its schema is")
        schema_id = int(_WIRE.unpack_from(data)[1])
        try:
            if schema_id not in self._parsed:
                self._parsed[schema_id] = fastavro.parse_schema(self._schemas.foreign(schema_id))
            buffer = BytesIO(data)
            buffer.seek(_WIRE.size)
            return fastavro.schemaless_reader(buffer, self._parsed[schema_id], None)
        except UnknownSchema as error:
            raise EnvelopeUnreadable(f"is Avro: {error}") from None
        except (ValueError, TypeError, LookupError, EOFError, ArithmeticError, SchemaParseException) as error:
            raise EnvelopeUnreadable(f"does not fit Avro schema {schema_id}: {error!r}"[:300]) from None


def _json(data: bytes) -> Any:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise EnvelopeUnreadable(f"is neither JSON nor Avro in Confluent's wire format: {error}") from None
    if isinstance(value, dict) and value.keys() == {"schema", "payload"}:  # schemas.enable, Connect's default
        return value["payload"]
    return value


def row_change(value: Any, now: datetime) -> RowChange:
    """The change that an envelope tells. EnvelopeUnreadable names what is missing or odd."""
    if not isinstance(value, dict):
        raise EnvelopeUnreadable(f"needs an envelope, an object with op and source, not {type(value).__name__}")
    op, source = value.get("op"), value.get("source")
    if op is None and source is None:
        raise EnvelopeUnreadable(
            "is no envelope: it has neither op nor source. k2x needs them, so leave out the SMT ExtractNewRecordState"
        )
    if not isinstance(op, str) or op not in _OPS:
        raise EnvelopeUnreadable(f"op {str(op)[:20]!r} is none of c, u, d, r")
    if not isinstance(source, dict) or not isinstance(source.get("table"), str):
        raise EnvelopeUnreadable("source.table is missing")
    before, after = (_row(value.get(name), name) for name in ("before", "after"))
    if (after if op != "d" else before) is None:
        raise EnvelopeUnreadable(f"op {op} without {'after' if op != 'd' else 'before'}")
    return RowChange(source["table"], cast(Op, op), before, after, _committed(source.get("ts_ms"), now))


def _row(value: Any, name: str) -> Row | None:
    if value is None or isinstance(value, dict):
        return value
    raise EnvelopeUnreadable(f"{name} needs an object, not {type(value).__name__}")


def _committed(milliseconds: Any, now: datetime) -> datetime | None:
    if isinstance(milliseconds, datetime):  # Avro with a logical type
        at = milliseconds if milliseconds.tzinfo else milliseconds.replace(tzinfo=UTC)
    elif type(milliseconds) is int and 0 < milliseconds < _YEAR_10000_MS:
        at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
    else:
        return None
    return at if at <= now + _SKEW else None


def day_of(value: Any) -> date | None:
    """The day of a datetime2 column on SQL Server's own wall, whatever `time.precision.mode` made of it: text, or a
    number since 1970 whose size tells milli-, micro- and nanoseconds apart. None where it is no time."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, str):
        try:
            return date.fromisoformat(value[:10])
        except ValueError:
            return None
    if type(value) is not int:
        return None
    size = abs(value)
    seconds = value // (10**9 if size >= 10**17 else 10**6 if size >= 10**14 else 10**3)
    try:
        return (datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)).date()
    except OverflowError:
        return None


def event_of(value: Any) -> Any:
    """The event that an outbox row held, whatever converter it came through: an object, or its JSON as text."""
    unwrapped = value
    for _ in range(2):  # a JSON converter makes a string of what is JSON text already
        if isinstance(unwrapped, str):
            try:
                unwrapped = orjson.loads(unwrapped)
            except orjson.JSONDecodeError as error:
                raise EnvelopeUnreadable(f"the outbox's payload is no JSON: {error}") from None
    if not isinstance(unwrapped, dict):
        raise EnvelopeUnreadable(f"the outbox's payload needs one event, an object, not {type(unwrapped).__name__}")
    return unwrapped
