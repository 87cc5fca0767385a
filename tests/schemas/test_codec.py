"""Bytes on the topics: Confluent wire format, exact decimals, errors that name the trouble."""

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest
from fastavro.utils import generate_many

from schemas import head
from schemas.codec import Codec
from schemas.errors import Incompatible, NotDecodable, NotEncodable, RegistryUnavailable, UnknownSchema
from schemas.ids import CommittedIds, current
from schemas.letters import ErrorClass, Origin, Reason, letter_headers
from schemas.registry import SchemaRegistry
from schemas.topics import COMMANDS_PATTERN, all_topics, commands, dead_letter, ledger, org_of

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


def writeback() -> dict[str, object]:
    fields = {"OrderXeroInvoiceNumber": "UK-1"}
    return {
        "instance": "emea",
        "store": "emea/GoatUK",
        "order_id": "1",
        "fields": fields,
        "version": NOW,
        "at": NOW,
        "traceparent": None,
    }


def test_round_trip_in_wire_format() -> None:
    ids = CommittedIds()
    codec = Codec(ids)
    data = codec.encode("writeback", writeback())
    assert data[0] == 0
    assert struct.unpack(">I", data[1:5])[0] == ids.id_of("writeback")
    assert codec.decode(data) == writeback()


def test_product_price_keeps_nine_places() -> None:
    codec = Codec(CommittedIds())
    product = {
        "instance": "emea",
        "event_type": "product.updated",
        "version": NOW,
        "observed_at": NOW,
        "received_at": NOW,
        "SKUID": 94,
        "SKUName": "Coffee Plunger",
        "SKUPrice": Decimal("29.900000001"),
    }
    assert codec.decode(codec.encode("product", product))["SKUPrice"] == Decimal("29.900000001")


@pytest.mark.parametrize("data", [b"", b"\x01\x00\x00\x00\x01", b"\x00\x00\x00\x00\x01\xff\xff", b"{}"])
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises((NotDecodable, UnknownSchema)):
        Codec(CommittedIds()).decode(data)


def test_the_head_of_a_record_is_its_first_fields() -> None:
    codec = Codec(CommittedIds())
    data = codec.encode("writeback", writeback())
    assert codec.head(data, "order_id") == {"instance": "emea", "store": "emea/GoatUK", "order_id": "1"}
    assert codec.head(data, "no_such_field") == writeback()
    with pytest.raises(NotDecodable):
        codec.head(data[:8], "order_id")


def test_an_id_of_a_newer_k2x_is_named() -> None:
    with pytest.raises(UnknownSchema, match="999"):
        Codec(CommittedIds()).decode(struct.pack(">bI", 0, 999) + b"x")


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(NotEncodable, match="writeback"):
        Codec(CommittedIds()).encode("writeback", {**writeback(), "order_id": 17})


def registry(status: int, answer: dict[str, object], calls: list[httpx.Request]) -> SchemaRegistry:
    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(200 if request.method == "PUT" else status, json=answer)

    return SchemaRegistry("http://registry", client=httpx.Client(transport=httpx.MockTransport(handle)))


def test_the_registry_gives_ids_once() -> None:
    calls: list[httpx.Request] = []
    codec = Codec(registry(200, {"id": 41}, calls))
    assert codec.encode("writeback", writeback())[1:5] == struct.pack(">I", 41)
    codec.encode("writeback", writeback())
    assert [(c.method, c.url.path) for c in calls] == [
        ("PUT", "/config/k2x.writeback-value"),
        ("POST", "/subjects/k2x.writeback-value/versions"),
    ]


def test_an_incompatible_schema_stops_the_start() -> None:
    with pytest.raises(Incompatible, match="BACKWARD"):
        registry(409, {"message": "incompatible"}, []).id_of("order")


def test_a_registry_that_is_down_says_what_to_check() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    broken = SchemaRegistry("http://registry", client=httpx.Client(transport=httpx.MockTransport(refuse)))
    with pytest.raises(RegistryUnavailable, match=r"schema_registry\.url"):
        broken.id_of("order")


def test_a_registry_schema_is_recognised_by_its_record_name() -> None:
    import json

    found = registry(200, {"schema": json.dumps(current("ledger"))}, [])
    assert found.schema(7) == ("ledger", current("ledger"))


def test_the_command_pattern_matches_no_dead_letter() -> None:
    import re

    pattern = re.compile(COMMANDS_PATTERN)
    assert pattern.match(commands("uk-2"))
    assert not pattern.match(dead_letter(commands("uk-2")))
    assert org_of(commands("uk-2")) == org_of(ledger("uk-2")) == "uk-2"


def test_what_is_unfinished_never_expires() -> None:
    for topic in all_topics(["uk"]):
        assert topic.config.get("retention.ms") == "-1" or topic.config["cleanup.policy"] == "compact"
    assert {t.name for t in all_topics(["uk"]) if t.one_partition} >= {commands("uk"), ledger("uk"), "k2x.tokens.v1"}


def test_a_letter_carries_all_headers_and_keeps_the_first_failure() -> None:
    origin = Origin("kentico.orders.v1", 2, 41, "streams", "validate")
    reason = Reason(
        ErrorClass.MAPPING, "unknown_account", "no account 999", "add it in Xero", "uk", "emea/GoatUK", "emea|1"
    )
    first = letter_headers(origin, reason, NOW)
    again = dict(letter_headers(origin, reason, NOW.replace(hour=13), previous=[*first, ("mine", b"kept")], attempt=2))
    connect = [name for name in again if name.startswith("__connect.errors.")]
    assert len(connect) == 10
    assert again["x-first-failed-at"] == NOW.isoformat().encode()
    assert (again["x-attempt"], again["mine"]) == (b"2", b"kept")
    assert (again["x-error-class"], again["x-natural-key"]) == (b"mapping", b"emea|1")


# Every use of Codec.head in k2x: the schema and the last field that it reads.
HEADS = (("ledger", "number"), ("result", "key"), ("order", "site_name"))


@pytest.mark.parametrize(("name", "last"), HEADS)
def test_a_head_is_read_as_the_whole_record_is(name: str, last: str) -> None:
    """Also long texts, whose length takes several bytes, and negative numbers."""
    codec, schema = Codec(CommittedIds()), current(name)
    names = [field["name"] for field in schema["fields"]]
    assert head.reader(schema, last) is not None, "its first fields are simple: it is quick"
    random.seed(7)
    for value in generate_many(schema, 40):
        for field in schema["fields"]:
            if field["type"] == "string":
                value[field["name"]] = "é" * random.choice([0, 1, 40, 9000])
        data = codec.encode(name, value)
        whole = codec.decode(data)
        assert codec.head(data, last) == {known: whole[known] for known in names[: names.index(last) + 1]}
        with pytest.raises(NotDecodable):
            codec.head(data[:6], last)
