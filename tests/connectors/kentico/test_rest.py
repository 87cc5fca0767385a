"""The REST client and the joins, against answers of a transport that a test controls."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from pydantic import SecretStr

from connectors.kentico.backfill import Span, plan
from connectors.kentico.errors import RestDenied, RestNotFound, RestRefused, RestUnavailable, RestUnreadable
from connectors.kentico.join import Tables, order_data, rates
from connectors.kentico.lookups import Lookups
from connectors.kentico.reading import Reading, TableSource
from connectors.kentico.rest import KenticoRest, in_conditions, list_frame, object_frame
from connectors.kentico.settings import InstanceSettings, RestSettings

Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler, pauses: list[float] | None = None, **settings: Any) -> KenticoRest:
    async def sleep(seconds: float) -> None:
        if pauses is not None:
            pauses.append(seconds)

    known = RestSettings(url="http://shop.test/rest/", user="reader", password=SecretStr("secret"), **settings)
    return KenticoRest("emea", known, transport=httpx.MockTransport(handler), sleep=sleep, dice=random.Random(1))


def answers(*replies: httpx.Response | Exception) -> Handler:
    left = list(replies)

    def handle(_: httpx.Request) -> httpx.Response:
        reply = left.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    return handle


def rows(*found: str, total: str | None = None) -> httpx.Response:
    count = f'{{"TotalRecords":[{{"TotalRecords":"{len(found) if total is None else total}"}}]}}'
    inner = f'{{"COM_Order":[{",".join(found)}]}},' if found else ""
    return httpx.Response(200, text=f'{{"ecommerce_orders":[{inner}{count}]}}')


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (
            {"ecommerce_orders": [{"COM_Order": [{"OrderID": 8}]}, {"TotalRecords": [{"TotalRecords": "1"}]}]},
            ([{"OrderID": 8}], 1),
        ),
        ({"ecommerce_orders": [{"TotalRecords": [{"TotalRecords": "0"}]}]}, ([], 0)),
        (
            {"cms_countries": [{"cms_country": [{"CountryID": 1}, {"CountryID": 2}]}]},
            ([{"CountryID": 1}, {"CountryID": 2}], None),
        ),
        ({"cms_sites": [{"CMS_Site": {"SiteID": 1}}, {"TotalRecords": [{}]}]}, ([{"SiteID": 1}], None)),
        ({"cms_sites": []}, ([], None)),
    ],
)
def test_list_frames(frame: Any, expected: Any) -> None:
    assert list_frame(frame) == expected


@pytest.mark.parametrize("bad", [None, [], {}, {"a": [], "b": []}, {"a": {}}, {"a": ["x"]}, {"a": [{"T": ["x"]}]}])
def test_what_is_no_list_is_unreadable(bad: Any) -> None:
    with pytest.raises(RestUnreadable):
        list_frame(bad)


@pytest.mark.parametrize("bad", [None, {}, {"COM_Order": "x"}, {"a": {}, "b": {}}, {"COM_Order": [{}, {}]}])
def test_what_is_no_object_is_unreadable(bad: Any) -> None:
    with pytest.raises(RestUnreadable):
        object_frame(bad)


async def test_money_never_passes_through_a_float() -> None:
    rest = client(answers(rows('{"OrderTotalPrice":94.440000000000001,"OrderID":28,"OrderNote":null}')))
    (row,) = await rest.rows("ecommerce.order")
    assert row == {"OrderTotalPrice": Decimal("94.440000000000001"), "OrderID": 28, "OrderNote": None}


async def test_request_is_basic_auth_over_all_sites_with_a_short_query() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return rows()

    ids = range(1_000_000, 1_000_100)
    await client(handle).rows_in("ecommerce.order", "OrderID", ids, orderby="OrderID")
    assert seen[0].headers["Authorization"] == "Basic cmVhZGVyOnNlY3JldA=="
    assert seen[0].url.path == "/rest/ecommerce.order/all"
    assert len(seen) == 1
    assert len(seen[0].url.query) < 2_048
    assert "where=OrderID IN (1000000,1000001," in unquote(seen[0].url.query.decode())


def test_long_conditions_are_parted_and_text_is_quoted() -> None:
    parts = in_conditions("OrderID", range(10**9, 10**9 + 300))
    assert len(parts) == 3
    assert all(len(part) < 1_600 for part in parts)
    assert in_conditions("SKUNumber", ["O'Neil", "ž"]) == ["SKUNumber IN (N'O''Neil',N'ž')"]
    assert in_conditions("OrderID", []) == []


@pytest.mark.parametrize("odd", [None, 1.5, [1]])
def test_an_id_that_is_none_is_no_condition(odd: Any) -> None:
    """The reader then halves the batch until the row that has it stands alone; the others go on."""
    with pytest.raises(TypeError, match="OrderID"):
        in_conditions("OrderID", [1, odd])


async def test_pages_are_read_to_the_end() -> None:
    page = [f'{{"OrderID":{i}}}' for i in range(10)]
    rest = client(answers(rows(*page, total="25"), rows(*page, total="25"), rows(*page[:5], total="25")), page=10)
    assert len(await rest.rows("ecommerce.order", orderby="OrderID")) == 25
    assert rest.calls == 3


async def test_transient_trouble_is_repeated_with_growing_pauses() -> None:
    pauses: list[float] = []
    rest = client(
        answers(
            httpx.Response(503, headers={"Retry-After": "7"}),
            httpx.ConnectError("refused"),
            httpx.Response(200, text='{"ecommerce_orders":[{"COM'),
            rows('{"OrderID":1}'),
        ),
        pauses,
    )
    assert await rest.rows("ecommerce.order") == [{"OrderID": 1}]
    assert pauses[0] == 7
    assert 0.5 <= pauses[1] <= 1.0 <= pauses[2] <= 2.0


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (httpx.Response(500), RestUnavailable),
        (httpx.Response(429), RestUnavailable),
        (httpx.ReadTimeout("slow"), RestUnavailable),
        (httpx.Response(401), RestDenied),
        (httpx.Response(403), RestDenied),
        (httpx.Response(404), RestNotFound),
        (httpx.Response(400), RestRefused),
        (httpx.Response(302, headers={"Location": "/logon"}), RestUnreadable),
        (httpx.Response(200, text="<html>Sign in</html>"), RestUnreadable),
        (httpx.Response(200, text='{"a":[{"T":[{"Price":NaN}]}]}'), RestUnreadable),
    ],
)
async def test_errors_are_typed_and_name_instance_and_type(reply: Any, error: type[Exception]) -> None:
    rest = client(answers(*[reply] * 2), attempts=2)
    with pytest.raises(error, match=r"emea: GET ecommerce\.order"):
        await rest.rows("ecommerce.order")


async def test_one_object_and_partial_write() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.path.endswith("/9"):
            return httpx.Response(404)
        return httpx.Response(200, text='{"COM_Order":{"OrderID":8,"OrderXero":"INV-8"}}')

    rest = client(handle)
    assert await rest.row("ecommerce.order", 9) is None
    assert (await rest.update("ecommerce.order", 8, {"OrderXero": "INV-8"}))["OrderXero"] == "INV-8"
    assert (seen[1].method, seen[1].content) == ("PUT", b'{"OrderXero": "INV-8"}')


# Joins

TABLES = Tables(
    sites={1: {"SiteID": 1, "SiteName": "GoatUK"}},
    statuses={
        2: {"StatusID": 2, "StatusName": "Paid", "StatusOrderIsPaid": True},
        3: {"StatusID": 3, "StatusName": "New"},
    },
    currencies={
        1: {"CurrencyID": 1, "CurrencyCode": "GBP", "CurrencyIsMain": True, "CurrencySiteID": None},
        2: {"CurrencyID": 2, "CurrencyCode": "EUR", "CurrencyIsMain": False, "CurrencySiteID": None},
        3: {"CurrencyID": 3, "CurrencyCode": "AUD", "CurrencyIsMain": True, "CurrencySiteID": 5},
    },
    shipping_options={1: {"ShippingOptionID": 1, "ShippingOptionName": "Post", "ShippingOptionTaxClassID": 1}},
    countries={492: {"CountryID": 492, "CountryDisplayName": "United Kingdom", "CountryTwoLetterCode": "GB"}},
    states={7: {"StateID": 7, "StateDisplayName": "Texas", "StateCode": "TX"}},
    departments={4: {"DepartmentID": 4, "DepartmentName": "Seeds", "DepartmentDefaultTaxClassID": 2}},
    tax_classes={
        1: {"TaxClassID": 1, "TaxClassName": "Std", "TaxClassDisplayName": "VAT 20%", "TaxClassZeroIfIDSupplied": True},
        2: {"TaxClassID": 2, "TaxClassName": "Red", "TaxClassDisplayName": "VAT 5%", "TaxClassZeroIfIDSupplied": False},
    },
    country_rates=rates(
        [
            {"TaxClassID": 1, "CountryID": 492, "TaxValue": Decimal("20.0")},
            {"TaxClassID": 2, "CountryID": 492, "TaxValue": 5},
        ],
        "CountryID",
    ),
    state_rates={(1, 7): Decimal("6.25")},
    skus={
        10: {"SKUID": 10, "SKUNumber": "A", "SKUTaxClassID": 1, "SKUDepartmentID": None},
        11: {"SKUID": 11, "SKUNumber": "B", "SKUTaxClassID": None, "SKUDepartmentID": 4},
        12: {"SKUID": 12, "SKUNumber": None, "SKUTaxClassID": None, "SKUDepartmentID": None},
    },
    shared_numbers={"B"},
)
ORDER = {"OrderID": 1, "OrderSiteID": 1, "OrderStatusID": 2, "OrderCurrencyID": 2, "OrderShippingOptionID": 1}
UK = {"AddressType": 1, "AddressCountryID": 492, "AddressStateID": None}
TEXAS = {"AddressType": 2, "AddressCountryID": 492, "AddressStateID": 7}


def joined(addresses: list[dict[str, Any]], tax_id: str | None = None, by: Any = "billing") -> list[Any]:
    items = [{"OrderItemSKUID": sku} for sku in (10, 11, 12, 99)]
    data = order_data(ORDER, items, addresses, [], {"CustomerTaxRegistrationID": tax_id}, TABLES, by)
    return [item.get("TaxRate") for item in data["items"]] + [data["shippingOption"].get("TaxRate")]


def test_rate_is_of_the_class_or_the_departments_and_of_the_country() -> None:
    assert joined([UK]) == [Decimal(20), 5, None, None, Decimal(20)]


def test_rate_of_the_state_wins_and_shipping_address_by_setting() -> None:
    assert joined([UK, TEXAS], by="shipping")[0] == Decimal("6.25")
    assert joined([UK, TEXAS], by="billing")[0] == Decimal(20)
    assert joined([UK], by="shipping")[0] == Decimal(20)


def test_rate_is_zero_with_a_tax_id_only_where_the_class_says_so() -> None:
    assert joined([UK], tax_id="GB123") == [0, 5, None, None, 0]
    assert joined([UK], tax_id="  ")[0] == Decimal(20)


def test_country_without_a_row_pays_nothing_and_no_country_is_not_known() -> None:
    assert joined([UK | {"AddressCountryID": 271}])[:2] == [0, 0]
    assert joined([]) == [None, None, None, None, None]


def test_joined_columns() -> None:
    history = [{"OrderID": 1, "FromStatusID": 3, "ToStatusID": 2, "Date": "2026-11-02T10:00:00"}]
    data = order_data(ORDER, [{"OrderItemSKUID": 11}], [UK], history, None, TABLES, "billing")
    assert data["items"][0] == {
        "OrderItemSKUID": 11,
        "SKUNumber": "B",
        "sku_number_shared": True,
        "SKUDepartmentName": "Seeds",
        "SKUTaxClassID": 2,
        "TaxClassName": "Red",
        "TaxClassDisplayName": "VAT 5%",
        "TaxRate": Decimal(5),
    }
    assert data["currency"]["MainCurrencyCode"] == "GBP"
    assert (data["addresses"][0]["CountryName"], data["addresses"][0]["CountryTwoLetterCode"]) == (
        "United Kingdom",
        "GB",
    )
    assert (data["statusHistory"][0]["FromStatusName"], data["statusHistory"][0]["ToStatusOrderIsPaid"]) == (
        "New",
        True,
    )
    assert data["site"]["SiteName"] == "GoatUK"
    assert "customer" not in data
    assert "paymentOption" not in data


async def test_lookups_are_kept_refreshed_and_read_again_for_what_they_lack() -> None:
    now = 0.0
    reads: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        name = request.url.path.split("/")[2]
        reads.append(name)
        if name == "cms.state":
            return httpx.Response(403)
        if name == "ecommerce.orderstatus":
            return httpx.Response(
                200, text='{"x":[{"COM_OrderStatus":[{"StatusID":2}]},{"TotalRecords":[{"TotalRecords":"1"}]}]}'
            )
        return rows()

    lookups = Lookups(client(handle), 300, lambda: now)
    tables = await lookups.tables((), ())
    assert (tables.states, list(tables.statuses)) == ({}, [2])
    first = len(reads)
    await lookups.tables([{"OrderStatusID": 2}], ())
    await lookups.tables([{"OrderStatusID": 9}], ())
    assert len(reads) == first  # the tables were read a moment ago
    now = 31.0
    await lookups.tables([{"OrderStatusID": 9}], ())
    assert len(reads) > first
    second = len(reads)
    now = 340.0
    await lookups.tables((), ())
    assert len(reads) > second
    assert lookups.calls == len(reads)


async def test_skus_are_read_once_and_shared_numbers_seen() -> None:
    reads: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        query = unquote(request.url.query.decode())
        if "ecommerce.sku/" not in request.url.path:
            return rows()
        if "where=" not in query:
            return rows(total="60000")  # too many to be read at the start
        reads.append(query)
        if "SKUNumber IN" in query:
            return rows('{"SKUID":1,"SKUNumber":"A"}', '{"SKUID":2,"SKUNumber":"A"}', '{"SKUID":3,"SKUNumber":"B"}')
        return rows('{"SKUID":1,"SKUNumber":"A"}', '{"SKUID":3,"SKUNumber":"B"}')

    lookups = Lookups(client(handle), 300, lambda: 5.0)
    tables = await lookups.tables((), [1, 3, 99])
    assert (sorted(tables.skus), tables.shared_numbers) == ([1, 3], {"A"})
    await lookups.tables((), [1, 3, 99])
    assert len(reads) == 2
    lookups.forget_sku(1)
    await lookups.tables((), [1])
    assert len(reads) == 4


@pytest.mark.parametrize(
    "row", ['{"x":1}', '{"OrderID":"x","SiteID":1}', '{"OrderID":0,"SKUID":1,"SiteID":1,"SiteName":null}']
)
async def test_a_service_of_another_shape_is_said_and_no_crash(row: str) -> None:
    answer = f'{{"a":[{{"rows":[{row}]}},{{"TotalRecords":[{{"TotalRecords":"1"}}]}}]}}'
    rest = client(lambda _: httpx.Response(200, text=answer), attempts=1)
    known = InstanceSettings(name="emea", time_zone="Europe/London")
    lookups = Lookups(rest, 300)
    source = TableSource(rest, lookups, Reading(rest, lookups, known))
    with pytest.raises(RestUnreadable):
        await plan(known, source, Span(date(2026, 1, 1)), {}, measured=True)
    await rest.close()
