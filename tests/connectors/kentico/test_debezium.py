"""Debezium's envelopes read, and what a changed row asks for, without a broker."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from connectors.kentico import cdc
from connectors.kentico.captured import Noise, Wanted, wanted
from connectors.kentico.cdc import Cdc, tables_of
from connectors.kentico.debezium import RowChange, Values, day_of, event_of, row_change
from connectors.kentico.errors import EnvelopeUnreadable
from connectors.kentico.events import CUSTOMER, ORDER, SKU
from connectors.kentico.settings import CdcProcessSettings, CdcSettings, InstanceSettings
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import UnknownSchema
from schemas.ids import CommittedIds

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
# The documented envelope of an update, as the reference has it: strings for decimals, a driver's capitals in GUIDs.
DOCUMENTED = {
    "before": {"OrderID": 28, "OrderStatusID": None, "OrderInvoiceNumber": None},
    "after": {
        "OrderID": 28,
        "OrderTotalPrice": "94.440000000",
        "OrderDate": "2026-11-02T10:15:30.1234567Z",
        "OrderStatusID": 3,
        "OrderGUID": "0F6F1F4E-6C0B-4F63-9D3C-6A1F2B7C9D10",
    },
    "source": {
        "version": "3.x",
        "connector": "sqlserver",
        "name": "server1",
        "ts_ms": 1793614531456,
        "snapshot": "false",
        "db": "Kentico13_DancingGoat",
        "schema": "dbo",
        "table": "COM_Order",
        "change_lsn": "00000027:00000ac0:0002",
        "commit_lsn": "00000027:00000ac0:0007",
        "event_serial_no": 2,
    },
    "transaction": None,
    "op": "u",
    "ts_ms": 1793614534000,
}


def change(table: str, op: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> RowChange:
    return row_change({"op": op, "source": {"table": table}, "before": before, "after": after}, NOW)


def asked(found: RowChange, **more: Any) -> list[Wanted] | Noise:
    given = {"dialect": "K13", "written_back": frozenset({"OrderXeroStatus"}), "snapshot_since": None} | more
    return wanted(found, **given)


class Strangers:
    """A registry that knows none of the ids."""

    def foreign(self, schema_id: int) -> Any:
        raise UnknownSchema(f"the registry has no schema {schema_id}")


def test_a_schema_that_the_registry_lacks_is_the_records_fault_and_stops_nobody() -> None:
    with pytest.raises(EnvelopeUnreadable, match="is Avro: the registry has no schema 7"):
        Values(Strangers()).decode(b"\0\0\0\0\x07\0\0")


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_documented_envelope_is_read_with_and_without_schemas(wrapped: bool) -> None:
    value = {"schema": {"type": "struct", "fields": []}, "payload": DOCUMENTED} if wrapped else DOCUMENTED
    found = row_change(Values(None).decode(json.dumps(value).encode()), NOW)
    assert (found.table, found.op, found.at) == ("COM_Order", "u", datetime(2026, 11, 2, 10, 15, 31, 456000, UTC))
    assert asked(found) == [Wanted(ORDER, 28)]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "neither JSON nor Avro"),
        (b"{", "neither JSON nor Avro"),
        (b"\x00\x01", "too short"),
        (b"\x00\x00\x00\x00\x07abc", "schema_registry.url"),
    ],
)
def test_what_is_no_value_says_so(data: bytes, said: str) -> None:
    with pytest.raises(EnvelopeUnreadable, match=said):
        Values(None).decode(data)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (7, "needs an envelope"),
        ({"OrderID": 28, "__deleted": "false"}, "ExtractNewRecordState"),
        (DOCUMENTED | {"op": "t"}, "none of c, u, d, r"),
        (DOCUMENTED | {"source": {}}, "source.table is missing"),
        (DOCUMENTED | {"after": None}, "op u without after"),
        (DOCUMENTED | {"op": "d", "before": None}, "op d without before"),
        (DOCUMENTED | {"after": [1]}, "after needs an object"),
    ],
)
def test_what_is_no_envelope_says_what_is_wrong(broken: Any, said: str) -> None:
    with pytest.raises(EnvelopeUnreadable, match=said):
        row_change(broken, NOW)


@pytest.mark.parametrize("ts", [None, "x", -1, 1 << 62, 1793614531456 + 86_400_000, 1.5])
def test_a_connectors_clock_that_cannot_be_right_says_nothing(ts: Any) -> None:
    assert row_change(DOCUMENTED | {"source": {"table": "COM_Order", "ts_ms": ts}}, NOW).at is None


@pytest.mark.parametrize(
    ("value", "day"),
    [
        (1793614530123456700, date(2026, 11, 2)),  # nano
        (1793614530123456, date(2026, 11, 2)),  # micro
        (1793614530123, date(2026, 11, 2)),  # milli
        ("2026-11-02T10:15:30.1234567Z", date(2026, 11, 2)),  # isostring
        (datetime(2026, 11, 2, tzinfo=UTC), date(2026, 11, 2)),
        ("soon", None),
        (None, None),
        (10**30, None),
    ],
)
def test_a_day_is_read_in_every_precision_mode(value: Any, day: date | None) -> None:
    assert day_of(value) == day


ROW = {"SKUID": 94, "SKUName": "Plunger", "SKUAvailableItems": 3, "SKULastModified": 1}


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (change("COM_Order", "c", None, {"OrderID": 28}), [Wanted(ORDER, 28)]),
        (change("COM_Order", "d", {"OrderID": 28}, None), [Wanted(ORDER, 28, deleted=True)]),
        (change("COM_OrderItem", "d", {"OrderItemID": 1, "OrderItemOrderID": 28}, None), [Wanted(ORDER, 28)]),
        (
            change("COM_OrderItem", "u", {"OrderItemOrderID": 28}, {"OrderItemOrderID": 29}),
            [Wanted(ORDER, 28), Wanted(ORDER, 29)],
        ),
        (change("COM_OrderAddress", "u", {"AddressOrderID": 28}, {"AddressOrderID": 28}), [Wanted(ORDER, 28)]),
        (change("COM_OrderStatusUser", "c", None, {"OrderStatusUserID": 5, "OrderID": 28}), [Wanted(ORDER, 28)]),
        (change("COM_Order", "r", None, {"OrderID": 28, "OrderDate": 1793614530123456700}), Noise.SNAPSHOT),
        (change("COM_SKU", "u", ROW, ROW | {"SKUAvailableItems": 2, "SKULastModified": 2}), Noise.STOCK),
        (change("COM_SKU", "u", ROW, ROW | {"SKUName": "Press", "SKULastModified": 2}), [Wanted(SKU, 94)]),
        (change("COM_SKU", "c", None, ROW), [Wanted(SKU, 94)]),
        (change("COM_SKU", "d", ROW, None), Noise.DELETED),
        (change("COM_Customer", "c", None, {"CustomerID": 3}), Noise.NEW_CUSTOMER),
        (change("COM_Customer", "u", {"CustomerID": 3}, {"CustomerID": 3}), [Wanted(CUSTOMER, 3)]),
        (
            change(
                "COM_Order",
                "u",
                {"OrderID": 28, "OrderXeroStatus": None, "OrderLastModified": 1},
                {"OrderID": 28, "OrderXeroStatus": "PAID", "OrderLastModified": 2},
            ),
            Noise.WRITTEN_BACK,
        ),
        (
            change(
                "COM_Order",
                "u",
                {"OrderID": 28, "OrderXeroStatus": None, "OrderNote": None},
                {"OrderID": 28, "OrderXeroStatus": "PAID", "OrderNote": "ring"},
            ),
            [Wanted(ORDER, 28)],
        ),
        # Touched and otherwise as it was: somebody may have told of what was in between.
        (
            change("COM_Order", "u", {"OrderID": 28, "OrderLastModified": 1}, {"OrderID": 28, "OrderLastModified": 2}),
            [Wanted(ORDER, 28)],
        ),
    ],
)
def test_what_a_changed_row_asks_for(found: RowChange, what: Any) -> None:
    assert asked(found) == what


def test_a_snapshot_is_read_from_the_day_that_was_asked_for() -> None:
    row = {"OrderID": 28, "OrderDate": "2026-11-02T00:00:00Z"}
    since = {"snapshot_since": date(2026, 11, 2)}
    assert asked(change("COM_Order", "r", None, row), **since) == [Wanted(ORDER, 28)]
    assert asked(change("COM_Order", "r", None, row | {"OrderDate": "2026-11-01T23:59:59Z"}), **since) == Noise.SNAPSHOT
    assert asked(change("COM_OrderItem", "r", None, {"OrderItemOrderID": 28}), **since) == Noise.SNAPSHOT
    assert asked(change("COM_SKU", "r", None, ROW), **since) == Noise.SNAPSHOT


@pytest.mark.parametrize("bad", [None, 0, -5, "28", 28.0, True])
def test_a_row_without_its_id_is_unreadable(bad: Any) -> None:
    with pytest.raises(EnvelopeUnreadable, match=r"COM_OrderItem\.OrderItemOrderID"):
        asked(change("COM_OrderItem", "c", None, {"OrderItemOrderID": bad}))
    with pytest.raises(EnvelopeUnreadable, match="COM_Address"):
        asked(change("COM_Address", "c", None, {"AddressID": 1}))


def test_an_xbyk_row_has_its_own_tables() -> None:
    found = change("Commerce_OrderAddress", "u", {"OrderAddressOrderID": 5}, {"OrderAddressOrderID": 5})
    assert asked(found, dialect="XBYK") == [Wanted(ORDER, 5)]


@pytest.mark.parametrize(
    "value", [{"eventId": "e"}, '{"eventId": "e"}', json.dumps('{"eventId": "e"}')], ids=["object", "text", "twice"]
)
def test_an_outbox_event_is_unwrapped_whatever_converter_wrote_it(value: Any) -> None:
    assert event_of(value) == {"eventId": "e"}


@pytest.mark.parametrize("value", [None, 5, [], "no json", '"text"'])
def test_an_outbox_payload_that_is_no_event_is_unreadable(value: Any) -> None:
    with pytest.raises(EnvelopeUnreadable, match="payload"):
        event_of(value)


def test_topics_are_named_as_debezium_names_them() -> None:
    cdc = CdcSettings(topic_prefix="shop one", database="Kentico 13", outbox_topics=("outbox.event.order",))
    found = tables_of(cdc, "K13")
    assert found["shop_one.Kentico_13.dbo.COM_Order"] == "COM_Order"
    assert found["outbox.event.order"] is None
    assert len(found) == 7


class Taken:
    """A record as the consumer gives it."""

    def __init__(self, topic: str, offset: int, value: Any) -> None:
        self.topic, self.offset, self.key = (lambda: topic), (lambda: offset), (lambda: b"k")
        self.value, self.partition = (lambda: json.dumps(value).encode()), (lambda: 0)
        self.error, self.headers = (lambda: None), (lambda: None)


class Delivered:
    def __init__(self) -> None:
        self.records: list[Record] = []

    async def deliver(self, records: Any) -> None:
        self.records += records


async def test_a_fault_of_ours_costs_its_record_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(found: RowChange, *rest: Any) -> Any:
        return wanted(found, *rest) if found.rows[-1]["OrderID"] != 13 else 1 / 0

    monkeypatch.setattr(cdc, "wanted", faulty)
    known = InstanceSettings(
        name="emea", time_zone="UTC", cdc=CdcSettings(topic_prefix="shop", database="K"), rest=None
    )
    out = Delivered()
    settings = CdcProcessSettings(instances=(known,))
    process = Cdc(settings, {}, Codec(CommittedIds()), out, lambda: NOW, None)
    rows = [{"op": "c", "source": {"table": "COM_Order"}, "after": {"OrderID": n}} for n in (12, 13, 14)]
    taken = [Taken("shop.K.dbo.COM_Order", offset, row) for offset, row in enumerate(rows)]
    assert await process._handled(taken, asyncio.Event())  # type: ignore[arg-type]
    letters = [record for record in out.records if record.topic.endswith("-dlt")]
    assert sorted(record.key for record in out.records if record not in letters) == [
        b"emea|ecommerce.order|12", b"emea|ecommerce.order|14",
    ]  # fmt: skip
    (letter,) = letters
    headers = {name: value.decode() for name, value in letter.headers if value}
    assert (headers["x-error-class"], headers["__connect.errors.offset"]) == ("bug", "1")
    assert "division by zero" in headers["__connect.errors.exception.message"]
