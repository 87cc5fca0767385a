"""What no sender should send, at random: parsers refuse it by path, and nothing that is accepted is other than sent.

The mutated order, row or envelope differs from a good one at one to three places, so most of it is met and not refused
at the first brace. HYPOTHESIS_PROFILE=deep goes fifty times as far.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kentico import events, xml
from connectors.kentico.captured import TABLES, Noise, wanted
from connectors.kentico.debezium import Values, event_of, row_change
from connectors.kentico.errors import BadValue, EnvelopeUnreadable, FieldError, RestError, RestUnreadable
from connectors.kentico.events import ORDER
from connectors.kentico.lookups import Lookups
from connectors.kentico.reading import Reading
from connectors.kentico.rest import KenticoRest, list_frame, object_frame
from connectors.kentico.settings import InstanceSettings, RestSettings
from connectors.kentico.storeapi import k13_data
from connectors.kentico.times import american, moment
from connectors.kentico.xbyk import k13_names
from connectors.kentico.xbyk_rest import objects
from schemas.codec import Codec
from schemas.errors import NotEncodable
from schemas.ids import CommittedIds
from tests.connectors.kentico.samples import SHOP, event
from tests.connectors.kentico.test_debezium import DOCUMENTED
from tests.connectors.kentico.test_xbyk import SHOP as XBYK
from tests.connectors.kentico.test_xbyk import event as xbyk_event
from tests.depth import examples

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
ZONE = ZoneInfo("Europe/London")
CODEC = Codec(CommittedIds())

_odd_text = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "", "NaN", "Infinity", "1e400", "-0", "٣", "0x10", "1,5", "9" * 40, "0001-01-01T00:00:00", "2026-13-01",
            "9999-12-31T23:59:59", "2026-02-30T00:00:00", "/Date(99999999999999)/", "<Summary><Item>", "28 OR 1=1",
            "<!DOCTYPE x [<!ENTITY a 'b'>]>", "\\ud800", "\x00", "true", "null", "{",
            "<Summary><Item><Value>NaN</Value></Item></Summary>",
        ]
    ),
)  # fmt: skip
_scalar = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.decimals(allow_nan=False, allow_infinity=False),
    _odd_text,
)
_json = st.recursive(
    _scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_odd_text, inner, max_size=3), max_leaves=6
)
_bytes = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=40).map(lambda tail: b"\x00" + tail),
    _json.map(lambda value: json.dumps(value, default=str).encode("utf-8", "surrogatepass")),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path into a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


@st.composite
def mutated(draw: st.DrawFn, good: Any) -> Any:
    """A copy with one to three places replaced by, or without, something."""
    changed = deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([p for p in places(changed) if p]))
        at = changed
        for key in path[:-1]:
            at = at[key]
        if draw(st.booleans()) and isinstance(at, dict):
            del at[path[-1]]
        else:
            at[path[-1]] = draw(_json)
    return changed


_T = TypeVar("_T")


def attempt(call: Callable[[], _T], *refusals: type[Exception]) -> _T | Exception:
    """What came of it: a value, or one of these refusals, which says what is wrong."""
    try:
        return call()
    except refusals as error:
        told = error.path if isinstance(error, FieldError) else str(error)
        if not told:
            raise AssertionError("a refusal that says nothing") from error
        return error


def encoded(routed: events.Routed) -> dict[str, Any] | None:
    """As it would lie on the topic; None where Avro says no."""
    try:
        return CODEC.decode(CODEC.encode(routed.schema, routed.value))
    except NotEncodable:
        return None


# The receiver


@settings(max_examples=examples(100))
@given(_bytes)
def test_a_body_of_any_bytes_is_refused_by_path_or_no_event(body: bytes) -> None:
    def accept() -> None:
        for path, one in events.as_list(events.parse_json(body), 500):
            events.route(one, path, SHOP, NOW, None)

    assert isinstance(attempt(accept, FieldError), FieldError)


@settings(max_examples=examples(150))
@given(mutated(event()))
def test_an_order_with_odd_values_is_refused_by_path_or_means_what_was_sent(sent: Any) -> None:
    routed = attempt(lambda: events.route(sent, "", SHOP, NOW, None), FieldError)
    order = None if isinstance(routed, Exception) else encoded(routed)
    if isinstance(routed, Exception) or order is None:
        return
    assert order["instance"] == "emea"
    if routed.schema == "order":
        _same_money(sent["data"], order)


def _same_money(data: Any, order: dict[str, Any]) -> None:
    row = data["order"]
    for column in ("OrderTotalPrice", "OrderTotalTax", "OrderGrandTotal", "OrderTotalShipping"):
        given_ = row.get(column)
        if given_ not in (None, ""):
            assert type(given_) in (str, int), "a float that was accepted would have lost cents"
            assert order["order"][column] == Decimal(given_)
    assert str(row["OrderID"]) == str(order["order"]["OrderID"])
    sent_items = data.get("items") or ()
    for item, given_item in zip(order["items"], sent_items, strict=True):
        assert item["OrderItemTotalPrice"] == Decimal(given_item["OrderItemTotalPrice"])
        assert item["OrderItemUnitCount"] == Decimal(given_item["OrderItemUnitCount"])
    assert datetime(1, 1, 1, tzinfo=UTC) < order["order"]["OrderDate"] < datetime(9999, 12, 31, tzinfo=UTC)


@settings(max_examples=examples(100))
@given(mutated(xbyk_event()))
def test_an_order_of_xperience_with_odd_values_is_refused_by_path(sent: Any) -> None:
    attempt(lambda: encoded(events.route(sent, "", XBYK, NOW, None)), FieldError)


@settings(max_examples=examples(60))
@given(_json)
def test_xperiences_names_are_changed_whatever_they_name(data: Any) -> None:
    assert isinstance(k13_names({"order": data, "items": data, "addresses": [data], "customer": data}), dict)


@settings(max_examples=examples(100))
@given(st.dictionaries(st.sampled_from(["OrderID", "orderitemorderid", "CustomerID", "SKUID", "OrderGUID"]), _json))
def test_a_flat_row_is_a_hint_of_a_positive_id_or_refused(row: Any) -> None:
    change = attempt(lambda: events.hint(row, "", SHOP, NOW), FieldError)
    if isinstance(change, Exception):
        return
    assert change["object_id"] > 0
    assert change["source"] == "HINT"
    CODEC.encode("change", change)


@settings(max_examples=examples(100))
@given(_odd_text)
def test_columns_texts_are_read_or_bad_values(text: str) -> None:
    for parse in (
        lambda: moment(text, ZONE, NOW),
        lambda: american(text, ZONE, NOW),
        lambda: xml.summary(text),
        lambda: xml.coupon_codes(text),
        lambda: xml.custom_data(text),
        lambda: xml.payment_result(text, lambda value: american(value, ZONE, NOW)),
    ):
        attempt(cast(Any, parse), BadValue)


# REST


@settings(max_examples=examples(100))
@given(_json)
def test_frames_are_rows_or_unreadable(parsed: Any) -> None:
    for frame in (lambda: list_frame(parsed)[0], lambda: [object_frame(parsed)], lambda: objects(parsed)[0]):
        rows = attempt(cast(Any, frame), RestUnreadable)
        assert isinstance(rows, Exception) or all(isinstance(row, dict) for row in rows)


ROWS: dict[str, list[dict[str, Any]]] = {
    "ecommerce.order": [event()["data"]["order"]],
    "ecommerce.orderitem": [{**event()["data"]["items"][0], "OrderItemOrderID": 28}],
    "ecommerce.orderaddress": [{**event()["data"]["addresses"][0], "AddressOrderID": 28, "AddressID": 1}],
    "ecommerce.orderstatususer": [{"OrderStatusUserID": 1, "OrderID": 28, "ToStatusID": 2, "Date": "2026-11-02T10:15"}],
    "ecommerce.customer": [event()["data"]["customer"]],
    "ecommerce.sku": [{"SKUID": 94, "SKUNumber": "COF-PLNG", "SKUDepartmentID": 1, "SKUTaxClassID": 1}],
    "ecommerce.orderstatus": [event()["data"]["status"]],
    "ecommerce.currency": [{"CurrencyID": 1, "CurrencySiteID": None, **event()["data"]["currency"]}],
    "ecommerce.paymentoption": [event()["data"]["paymentOption"]],
    "cms.site": [{"SiteID": 1, "SiteName": "DancingGoatCore"}],
}  # fmt: skip


class Answers:
    """Kentico's REST service with these rows, whatever is asked for."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.split("/")[2]
        rows = self.rows.get(name, []) if isinstance(self.rows, dict) else self.rows
        frame = {"frame": [{"rows": rows}, {"TotalRecords": [{"TotalRecords": "1"}]}]}
        return httpx.Response(200, content=json.dumps(frame, default=str).encode("utf-8", "surrogatepass"))


@settings(max_examples=examples(60))
@given(mutated(ROWS))
async def test_rows_with_odd_values_are_an_order_a_letter_or_an_outage_never_a_crash(rows: Any) -> None:
    told = RestSettings(url="http://shop.test/rest", attempts=1)
    rest = KenticoRest("emea", told, transport=httpx.MockTransport(Answers(rows)))
    known = InstanceSettings(name="emea", time_zone="Europe/London", rest=told)
    try:
        found = (await Reading(rest, Lookups(rest, 300), known).read(ORDER, [28]))[28]
    except (RestError, KeyError, TypeError, ValueError):  # the lane says it, waits, and asks again
        return
    finally:
        await rest.close()
    data = getattr(found, "data", None)
    if data is None:
        return
    attempt(lambda: encoded(events.Routed("order", events.build(ORDER, data, _facts(known)), ORDER, 28)), FieldError)


def _facts(known: InstanceSettings) -> Any:
    from connectors.kentico.aggregate import Facts

    return Facts(known, "order.updated", "REST", NOW, NOW)


KORDER = json.loads((Path(__file__).parent / "korder.json").read_text("utf-8"), parse_float=Decimal)


@settings(max_examples=examples(100))
@given(mutated(KORDER))
def test_an_order_of_storeapi_with_odd_parts_is_an_aggregate_or_unreadable(row: Any) -> None:
    try:
        data = k13_data(row)
    except (KeyError, TypeError, AttributeError):  # StoreApiReading makes RestUnreadable of it
        return
    attempt(lambda: encoded(events.Routed("order", events.build(ORDER, data, _facts(SHOP)), ORDER, 28)), FieldError)


# CDC


@settings(max_examples=examples(100))
@given(_bytes)
def test_any_bytes_on_a_cdc_topic_are_unreadable_or_a_row(data: bytes) -> None:
    for parse in (lambda: row_change(Values(None).decode(data), NOW), lambda: event_of(Values(None).decode(data))):
        attempt(cast(Any, parse), EnvelopeUnreadable)


class _Schemas:
    """A registry that gives any schema for any id."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema

    def foreign(self, schema_id: int) -> Any:
        return self.schema


_RECORD = {
    "type": "record",
    "name": "E",
    "fields": [{"name": "op", "type": "string"}, {"name": "n", "type": ["null", "long"]}],
}


@settings(max_examples=examples(100))
@given(st.binary(max_size=60), st.one_of(st.just(_RECORD), _json))
def test_avro_that_does_not_fit_its_schema_is_unreadable(tail: bytes, schema: Any) -> None:
    values = Values(_Schemas(schema))
    attempt(lambda: values.decode(b"\x00\x00\x00\x00\x01" + tail), EnvelopeUnreadable)


def _envelope(table: str) -> dict[str, Any]:
    row = {TABLES["K13"][table].owner: 28, "OrderID": 28}
    source = {**cast(Any, DOCUMENTED["source"]), "table": table}
    return {**DOCUMENTED, "source": source, "before": row, "after": {**row, "OrderXeroStatus": "x"}}


@settings(max_examples=examples(60))
@given(st.sampled_from([_envelope(table) for table in TABLES["K13"]]).flatmap(mutated))
def test_an_envelope_with_odd_values_asks_for_its_own_object_or_is_unreadable(envelope: Any) -> None:
    found = attempt(
        lambda: wanted(row_change(envelope, NOW), "K13", frozenset({"OrderXeroStatus"}), NOW.date()), EnvelopeUnreadable
    )
    if isinstance(found, Exception | Noise):
        return
    owner = TABLES["K13"][envelope["source"]["table"]].owner
    ids = {row[owner] for name in ("before", "after") if (row := envelope.get(name)) is not None}
    assert {one.object_id for one in found} == ids
    assert all(one.object_id > 0 for one in found)
