"""What Debezium's SQL Server connector writes of this shop: envelopes of changed rows, tombstones, and outbox events.

Row by row in the order of the log, all rows of a transaction under one commit_lsn. Fields and their order are those of
its documentation; the converters (JSON with and without schemas, Avro) and the modes of times are a person's choice.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import fastavro
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kentico.sandbox.database import Changed, Database, Outgoing
from connectors.kentico.sandbox.schema import (
    CUSTOMER,
    HISTORY,
    ITEM,
    ORDER,
    ORDER_ADDRESS,
    SKU,
    Kind,
    Row,
    Table,
)

FORMS = ("json", "json_schema", "avro")
TIMES = ("nano", "iso")
CAPTURED = (ORDER, ITEM, ORDER_ADDRESS, HISTORY, CUSTOMER, SKU)
# Large objects stay out of the capture instance: see the LOB trap.
_LEFT_OUT = frozenset({"OrderInvoice", "OrderCustomData", "OrderItemCustomData", "SKUDescription", "SKUCustomData"})
_TYPES = {Kind.INT: "int", Kind.BOOL: "boolean", Kind.FLOAT: "double"}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - datetime2 has no zone, and Debezium reads it as if it were UTC
_SOURCE = {"version": "3.3.0.Final", "connector": "sqlserver", "schema": "dbo"}


@dataclass
class Capture:
    """Debezium's part. `register` gives an Avro schema its id in a registry."""

    database: Database
    clock: Callable[[], datetime]
    bootstrap: str
    prefix: str = "goat"
    name: str = "Kentico13_DancingGoat"
    form: str = "json"
    times: str = "nano"
    outbox: str | None = None
    register: Callable[[str, dict[str, Any]], int] | None = None
    _commits: int = 0
    _rows: int = 0
    _ids: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def start(self) -> None:
        """Make the topics, as the connector does, and write from now on what is committed."""
        names = [self.topic(table) for table in CAPTURED] + ([self.outbox] if self.outbox else [])
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        known = admin.list_topics(timeout=10).topics
        new = [NewTopic(name, 1, 1, config={"retention.ms": "-1"}) for name in names if name not in known]
        for future in admin.create_topics(new).values() if new else ():
            future.result(20)
        self._producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5, "enable.idempotence": True})
        self.database.watch = self._committed

    def stop(self) -> None:
        """Write no more."""
        self.database.watch = None
        self._producer.flush(10)

    def topic(self, table: Table) -> str:
        """Where a table's rows go."""
        return f"{self.prefix}.{self.name}.dbo.{table.table}"

    def snapshot(self) -> int:
        """Every row there is, as `op` r; how many."""
        rows = [(table, row) for table in CAPTURED for row in self.database.select(table)]
        for number, (table, row) in enumerate(rows):
            mark = "first" if number == 0 else "last" if number == len(rows) - 1 else "true"
            self._write(table, "r", None, row, mark, 1)
        self._producer.flush(10)
        return len(rows)

    def _committed(self, log: list[Changed | Outgoing]) -> None:
        self._commits, self._rows = self._commits + 1, 0
        for change in log:
            if isinstance(change, Outgoing):
                self._event(change)
            elif change.table in CAPTURED:
                serial = 2 if change.op == "u" else 1
                self._write(change.table, change.op, change.before, change.after, "false", serial)
        self._producer.flush(10)

    def _event(self, event: Outgoing) -> None:
        """The outbox SMT's: the payload alone, the row's id as a header, the aggregate's as the key."""
        if self.outbox is None or event.route != "events":
            return
        text = event.body if self.form == "json" else json.dumps({"schema": {"type": "string"}, "payload": event.body})
        self._producer.produce(
            self.outbox, key=str(event.object_id), value=text, headers=[("id", event.event_id.encode())]
        )

    def _write(self, table: Table, op: str, before: Row | None, after: Row | None, snapshot: str, serial: int) -> None:
        now = self.clock()
        row = after or before or {}
        key = {table.id: row[table.id]}
        value = {
            "before": self._row(table, before),
            "after": self._row(table, after),
            "source": self._source(table, now, snapshot, serial),
            "transaction": None,
            "op": op,
            **_stamps(now),
        }
        topic = self.topic(table)
        encoded = self._encode(table, key, value)
        self._producer.produce(topic, key=encoded[0], value=encoded[1])
        if op == "d":
            self._producer.produce(topic, key=encoded[0], value=None)

    def _source(self, table: Table, now: datetime, snapshot: str, serial: int) -> dict[str, Any]:
        self._rows += 1
        commit = f"00000027:{0xAC0 + self._commits:08x}:{0xFFFF:04x}"
        return {
            **_SOURCE,
            "name": self.prefix,
            **_stamps(now),
            "snapshot": snapshot,
            "db": self.name,
            "table": table.table,
            "change_lsn": None if snapshot != "false" else f"00000027:{0xAC0 + self._commits:08x}:{self._rows:04x}",
            "commit_lsn": commit,
            "event_serial_no": None if snapshot != "false" else serial,
        }

    def _row(self, table: Table, row: Row | None) -> dict[str, Any] | None:
        if row is None:
            return None
        return {n: self._value(kind, row[n]) for n, kind in table.columns.items() if n not in _LEFT_OUT}

    def _value(self, kind: Kind, value: Any) -> Any:
        if value is None:
            return None
        if kind is Kind.MONEY:
            return f"{Decimal(value):.9f}"  # decimal.handling.mode=string
        if kind is Kind.GUID:
            return str(value).upper()  # as SQL Server's driver prints it
        if kind is Kind.TIME:
            return f"{value}Z" if self.times == "iso" else _nanoseconds(value)
        return value

    def _encode(self, table: Table, key: dict[str, Any], value: dict[str, Any]) -> tuple[bytes, bytes]:
        if self.form == "json":
            return json.dumps(key).encode(), json.dumps(value).encode()
        if self.form == "json_schema":
            fields = [{"type": "int32", "optional": False, "field": table.id}]
            schema = {"type": "struct", "fields": fields, "optional": False, "name": f"{self.topic(table)}.Key"}
            envelope = {"type": "struct", "fields": [], "optional": False, "name": f"{self.topic(table)}.Envelope"}
            return (
                json.dumps({"schema": schema, "payload": key}).encode(),
                json.dumps({"schema": envelope, "payload": value}).encode(),
            )
        return self._avro(table, "key", key), self._avro(table, "value", value)

    def _avro(self, table: Table, part: str, value: dict[str, Any]) -> bytes:
        subject = f"{self.topic(table)}-{part}"
        if subject not in self._ids:
            schema = self._key_schema(table) if part == "key" else self._value_schema(table)
            if self.register is None:
                raise ValueError("Avro needs a registry")
            self._ids[subject] = self.register(subject, schema), fastavro.parse_schema(schema)
        number, parsed = self._ids[subject]
        buffer = BytesIO(struct.pack(">bI", 0, number))
        buffer.seek(5)
        fastavro.schemaless_writer(buffer, parsed, value)
        return buffer.getvalue()

    def _key_schema(self, table: Table) -> dict[str, Any]:
        fields = [{"name": table.id, "type": "int"}]
        return {"type": "record", "name": "Key", "namespace": _avro_name(self.topic(table)), "fields": fields}

    def _value_schema(self, table: Table) -> dict[str, Any]:
        columns = [
            {"name": name, "type": ["null", self._type(kind)], "default": None}
            for name, kind in table.columns.items()
            if name not in _LEFT_OUT
        ]
        row = {"type": "record", "name": "Value", "fields": columns}
        text, number = ["null", "string"], ["null", "long"]
        source: list[dict[str, Any]] = [
            {"name": n, "type": "string"} for n in ("version", "connector", "schema", "name")
        ]
        source += [{"name": n, "type": "long"} for n in ("ts_ms", "ts_us", "ts_ns")]
        source += [{"name": n, "type": "string"} for n in ("snapshot", "db", "table")]
        source += [{"name": n, "type": text} for n in ("change_lsn", "commit_lsn")]
        source += [{"name": "event_serial_no", "type": number}]
        block = [{"name": "id", "type": "string"}] + [
            {"name": n, "type": "long"} for n in ("total_order", "data_collection_order")
        ]
        fields: list[dict[str, Any]] = [
            {"name": "before", "type": ["null", row]},
            {"name": "after", "type": ["null", "Value"]},
            {
                "name": "source",
                "type": {
                    "type": "record",
                    "name": "Source",
                    "namespace": "io.debezium.connector.sqlserver",
                    "fields": source,
                },
            },
            {
                "name": "transaction",
                "type": ["null", {"type": "record", "name": "block", "namespace": "event", "fields": block}],
            },
            {"name": "op", "type": "string"},
        ]
        fields += [{"name": n, "type": number} for n in ("ts_ms", "ts_us", "ts_ns")]
        return {"type": "record", "name": "Envelope", "namespace": _avro_name(self.topic(table)), "fields": fields}

    def _type(self, kind: Kind) -> Any:
        if kind is Kind.TIME:
            if self.times == "iso":
                return {"type": "string", "connect.name": "io.debezium.time.IsoTimestamp"}
            return {"type": "long", "connect.name": "io.debezium.time.NanoTimestamp"}
        return _TYPES.get(kind, "string")


def _avro_name(topic: str) -> str:
    """A topic's name as a namespace, as schema.name.adjustment.mode=avro makes it: Avro's names have no hyphens."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", topic)


def _stamps(now: datetime) -> Mapping[str, int]:
    microseconds = int((now.astimezone(UTC).replace(tzinfo=None) - _EPOCH).total_seconds() * 1_000_000)
    return {"ts_ms": microseconds // 1000, "ts_us": microseconds, "ts_ns": microseconds * 1000}


def _nanoseconds(text: str) -> int:
    """datetime2(7), seven digits of a second, as nanoseconds since 1970."""
    whole, _, fraction = text.partition(".")
    seconds = int((datetime.fromisoformat(whole) - _EPOCH).total_seconds())
    return seconds * 10**9 + int((fraction or "0").ljust(9, "0")[:9])
