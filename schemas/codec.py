"""Values to bytes and back, in the Confluent wire format: a zero byte, the schema id (big-endian int32), Avro.

Parsed schemas are cached per id, so a record costs one dictionary look-up and fastavro's compiled path.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Protocol

import fastavro
from fastavro.schema import SchemaParseException

from schemas import head
from schemas.errors import NotDecodable, NotEncodable, UnknownSchema

_HEADER = struct.Struct(">bI")
_MAGIC = 0


class Registry(Protocol):
    """Where ids come from: ids.json (schemas.ids) or a schema registry (schemas.registry)."""

    def id_of(self, name: str) -> int:
        """The id that the newest schema `name` (stem of its .avsc) is written with."""

    def schema(self, schema_id: int) -> tuple[str, dict[str, Any]]:
        """The (name, schema) of an id; UnknownSchema if there is none."""

    def newest(self, name: str) -> dict[str, Any]:
        """The newest schema of a name, which records are read into."""


class Codec:
    """Encodes and decodes every topic's values. Safe to share between threads after first use of a name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._writers: dict[str, tuple[bytes, Any]] = {}
        self._readers: dict[int, tuple[Any, Any]] = {}
        self._heads: dict[tuple[int, str], Callable[[bytes, int], dict[str, Any]] | None] = {}

    def encode(self, name: str, value: Mapping[str, Any]) -> bytes:
        """Bytes of `value` under the newest schema `name`. NotEncodable names what does not fit."""
        writer = self._writers.get(name)
        if writer is None:
            header = _HEADER.pack(_MAGIC, self._registry.id_of(name))
            writer = self._writers[name] = (header, fastavro.parse_schema(self._registry.newest(name)))
        buffer = BytesIO()
        buffer.write(writer[0])
        try:
            fastavro.schemaless_writer(buffer, writer[1], value)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise NotEncodable(f"{name}: the value does not fit its schema: {error}") from error
        return buffer.getvalue()

    def decode(self, data: bytes) -> dict[str, Any]:
        """The value, resolved to the newest schema of its name. NotDecodable or UnknownSchema otherwise."""
        schema_id = _schema_id(data)
        reader = self._readers.get(schema_id)
        if reader is None:
            reader = self._readers[schema_id] = self._reader(schema_id)
        return _read(data, schema_id, *reader)

    def head(self, data: bytes, last: str) -> dict[str, Any]:
        """The fields up to `last`, as the record was written: a long record's first fields at a tenth of the price.

        A record whose schema has no such field, or whose first fields are not simple ones (schemas.head), is read
        whole.
        """
        schema_id = _schema_id(data)
        if (schema_id, last) not in self._heads:
            self._heads[schema_id, last] = head.reader(self._registry.schema(schema_id)[1], last)
        read = self._heads[schema_id, last]
        if read is None:
            return self.decode(data)
        try:
            return read(data, _HEADER.size)
        except (ValueError, IndexError) as error:
            raise NotDecodable(f"schema id {schema_id}: {type(error).__name__}: {error}") from error

    def _reader(self, schema_id: int) -> tuple[Any, Any]:
        name, written = self._registry.schema(schema_id)
        if not name:
            raise UnknownSchema(f"schema id {schema_id} is not known here")
        newest = self._registry.newest(name)
        # With equal schemas fastavro's fast path needs no reader schema; resolution costs about a third more.
        return fastavro.parse_schema(written), None if written == newest else fastavro.parse_schema(newest)


def _schema_id(data: bytes) -> int:
    if len(data) < _HEADER.size or data[0] != _MAGIC:
        raise NotDecodable("not Confluent wire format: the first byte is not zero or the record is too short")
    return int(_HEADER.unpack_from(data)[1])


def _read(data: bytes, schema_id: int, written: Any, newest: Any) -> dict[str, Any]:
    buffer = BytesIO(data)
    buffer.seek(_HEADER.size)
    try:
        value = fastavro.schemaless_reader(buffer, written, newest)
    except (ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, SchemaParseException) as error:
        raise NotDecodable(f"schema id {schema_id}: {type(error).__name__}: {error}") from error
    if not isinstance(value, dict):
        raise NotDecodable(f"schema id {schema_id} is not a record")
    return value
