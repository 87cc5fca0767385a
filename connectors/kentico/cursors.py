"""What polling remembers of one instance, as records of k2x.cursors.v1. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from connectors.kentico.errors import CursorUnreadable
from connectors.kentico.known import KnownOrders
from connectors.kentico.marks import Table
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import SchemaError
from schemas.types import Backfill, Cursor

POLL, KNOWN, SKU, BACKFILL = "poll", "known", "sku", "backfill"


@dataclass
class State:
    """One instance's. `tables` is empty before the first poll. `unfinished`: orders to look at again, since when."""

    tables: dict[str, Table] = field(default_factory=dict)
    unfinished: dict[int, datetime] = field(default_factory=dict)
    known: KnownOrders | None = None
    fresh: dict[str, list[int]] = field(default_factory=dict)  # in `known`, and not yet in its record
    digests: dict[int, bytes] = field(default_factory=dict)


class Cursors:
    """Reads and makes one instance's records."""

    def __init__(self, instance: str, zone: ZoneInfo, codec: Codec) -> None:
        self.instance = instance
        self._zone = zone
        self._codec = codec

    def state(self, records: Mapping[bytes, bytes]) -> State:
        """From the topic's newest records. CursorUnreadable where one is not ours: to begin anew would leave a gap."""
        state = State()
        for key, value in records.items():
            instance, _, name = key.decode("utf-8", "replace").partition("|")
            if instance != self.instance:
                continue
            kind, _, number = name.partition("|")
            if kind == SKU:
                state.digests[int(number)] = self._decoded(key, value)["digest"] or b""
            elif kind == POLL:
                cursor = self._decoded(key, value)
                then = ZoneInfo(cursor["time_zone"] or self._zone.key)
                state.tables = {name: Table.read(mark) for name, mark in cursor["marks"].items()}
                for table in state.tables.values():
                    table.through = _again(table.through, then, self._zone)
                state.unfinished = {int(order_id): since for order_id, since in cursor["unfinished"].items()}
                state.fresh = cursor["fresh"]
            elif kind == KNOWN:
                known = self._decoded(key, value)["known"]
                state.known = None if known is None else KnownOrders(known["floor"], known["sites"])
        if state.known is not None:
            for site, ids in state.fresh.items():
                for order_id in ids:
                    state.known.add(order_id, site)
        return state

    def backfill(self, records: Mapping[bytes, bytes]) -> Backfill | None:
        """The instance's history as far as it was brought in."""
        key = self._key(BACKFILL)
        return self._decoded(key, records[key])["backfill"] if key in records else None

    def poll_record(self, state: State, at: datetime) -> Record:
        """How far each table has been read."""
        unfinished = {str(order_id): since for order_id, since in state.unfinished.items()}
        marks = {name: table.written() for name, table in state.tables.items()}
        zone = self._zone.key
        return self._record(POLL, at, time_zone=zone, marks=marks, unfinished=unfinished, fresh=state.fresh)

    def known_record(self, known: KnownOrders, at: datetime) -> Record:
        """Which orders were brought."""
        return self._record(KNOWN, at, known={"floor": known.floor, "sites": known.packed()})

    def sku_record(self, sku_id: int, digest: bytes, at: datetime) -> Record:
        """What was last brought of a SKU, or left alone at the beginning."""
        return self._record(f"{SKU}|{sku_id}", at, digest=digest)

    def backfill_record(self, backfill: Backfill, at: datetime) -> Record:
        """How far the history has come."""
        return self._record(BACKFILL, at, backfill=backfill)

    def _key(self, name: str) -> bytes:
        return f"{self.instance}|{name}".encode()

    def _record(self, name: str, at: datetime, **parts: Any) -> Record:
        value = {"instance": self.instance, "at": at, **parts}
        return Record(topics.CURSORS, self._key(name), self._codec.encode("cursor", value))

    def _decoded(self, key: bytes, value: bytes) -> Cursor:
        try:
            return cast(Cursor, self._codec.decode(value))
        except SchemaError as error:
            raise CursorUnreadable(
                f"{topics.CURSORS}: {key.decode('utf-8', 'replace')} cannot be read ({error}). If a newer k2x wrote "
                "it, run that one; polling does not begin anew by itself, as that could leave a gap"
            ) from error


def _again(through: datetime, then: ZoneInfo, now: ZoneInfo) -> datetime:
    """A mark stands for a time on Kentico's wall: in another zone, after a correction, it is that wall time still."""
    return through if then.key == now.key else through.astimezone(then).replace(tzinfo=now).astimezone(UTC)
