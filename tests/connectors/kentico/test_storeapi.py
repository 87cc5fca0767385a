"""Orders read by StoreApi: as documented, alone and with REST beside it, and when it fails."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from connectors.kentico.aggregate import Facts, build_order
from connectors.kentico.batch import Found, Missing, Torn
from connectors.kentico.errors import RestDenied, RestUnavailable, RestUnreadable
from connectors.kentico.events import CUSTOMER, ORDER, SKU
from connectors.kentico.sandbox.rest import Fault
from connectors.kentico.sandbox.schema import ITEM
from connectors.kentico.sandbox.schema import ORDER as ORDERS
from connectors.kentico.sandbox.server import Sandbox
from connectors.kentico.sandbox.storeapi import CLIENT_ID, CLIENT_SECRET
from connectors.kentico.settings import InstanceSettings, OAuth2Settings, RestSettings
from connectors.kentico.sources import Source, source_of
from connectors.kentico.storeapi import StoreApi, StoreApiReading, k13_data
from schemas.codec import Codec
from tests.connectors.kentico.rig import instance

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
# The package's own names and types (reference, §6), with a gateway's result beside them.
KORDER = json.loads((Path(__file__).parent / "korder.json").read_text("utf-8"), parse_float=Decimal)


def told(sandbox: Sandbox, **more: Any) -> InstanceSettings:
    """emea, read by StoreApi; `rest` beside it unless None is given."""
    api = RestSettings(
        url=f"{sandbox.base_url}/emea",
        oauth2=OAuth2Settings(
            token_url=f"{sandbox.base_url}/emea/api/store/auth/token",
            client_id=CLIENT_ID,
            client_secret=SecretStr(CLIENT_SECRET),
        ),
        attempts=2,
        backoff_s=0.01,
    )
    return instance(sandbox, "emea", store_api=api, **more)


def source(known: InstanceSettings) -> Source:
    made = source_of(known, 300)
    assert made is not None
    return made


def test_the_documented_order_becomes_a_whole_aggregate(codec: Codec) -> None:
    shop = InstanceSettings(name="emea", time_zone="UTC")
    order = codec.decode(
        codec.encode("order", build_order(k13_data(KORDER), Facts(shop, "order.updated", "STOREAPI", NOW, NOW)))
    )
    row, (item,), (address,) = order["order"], order["items"], order["addresses"]
    assert (row["OrderID"], row["OrderTotalPrice"], row["OrderIsPaid"]) == (28, Decimal("94.44"), True)
    assert (row["OrderStatusID"], row["OrderCustomerID"], row["OrderPaymentOptionID"]) == (2, 31, 2)
    assert row["custom"] == {"OrderPONumber": "PO-7", "OrderCustomData.gift": "yes"}
    assert (item["OrderItemSKUName"], item["OrderItemSKUID"], item["OrderItemParentGuid"]) == (
        'Coffee "Plunger"',
        94,
        None,
    )
    assert (address["AddressType"], address["AddressCountryID"], address["AddressStateID"]) == (1, 326, None)
    assert (order["customer"]["CustomerUserID"], order["status"]["StatusName"]) == (None, "PaymentReceived")
    assert (order["currency"]["CurrencyCode"], order["currency"]["CurrencyRoundTo"]) == ("JPY", 0)
    result = order["payment_result"]
    assert (result["completed"], result["transaction_id"], result["method"]) == (True, 'PAY-"1"&2', "PayPal")
    assert result["date"] == datetime(2021, 6, 9, 13, 59, 3, tzinfo=UTC)


async def test_alone_it_gives_what_it_has_and_the_site_that_was_configured(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    paid = shop.place("plain", "GoatUK", 1, None)
    known = told(sandbox, site="GoatUK", main_currency="GBP").model_copy(update={"rest": None})
    by = source(known)
    assert by.readable == {ORDER}
    reads = await by.reading.read(ORDER, [paid, 999_999])
    await by.close()
    assert isinstance(reads[999_999], Missing)
    found = reads[paid]
    assert isinstance(found, Found)
    seen = datetime.now(UTC)
    order = build_order(found.data, Facts(known, "order.updated", "STOREAPI", seen, seen))
    assert order["site_name"] == "GoatUK"
    assert order["order"]["OrderTotalPrice"] == Decimal(shop.database.truth(paid)["total_price"])
    assert order["currency"] is not None
    assert order["currency"]["main_currency_code"] == "GBP"


async def test_with_rest_beside_it_the_order_is_as_complete_as_by_rest(sandbox: Sandbox) -> None:
    """A status that is paid, with OrderIsPaid null: StoreApi alone could not tell it from false."""
    shop = sandbox.shops["emea"]
    ids = [shop.place(kind, "GoatUK", 1, None) for kind in ("plain", "paid_by_status")]
    known = told(sandbox)
    by, rest = source(known), source(known.model_copy(update={"store_api": None}))
    assert by.readable == {ORDER, CUSTOMER, SKU}
    theirs, ours = await by.reading.read(ORDER, ids), await rest.reading.read(ORDER, ids)
    await by.close()
    await rest.close()
    seen = datetime.now(UTC)
    facts = Facts(known, "order.updated", "REST", seen, seen)
    for order_id in ids:
        one, other = theirs[order_id], ours[order_id]
        assert isinstance(one, Found)
        assert isinstance(other, Found)
        by_api, by_rest = build_order(one.data, facts), build_order(other.data, facts)
        assert by_api["order"]["OrderIsPaid"] == by_rest["order"]["OrderIsPaid"]
        assert by_api["order"]["OrderGUID"] == by_rest["order"]["OrderGUID"] is not None
        assert by_api["status"] == by_rest["status"]
        assert by_api["shipping"] == by_rest["shipping"]
        assert by_api["currency"] == by_rest["currency"]
        for item, same in zip(by_api["items"], by_rest["items"], strict=True):
            assert (item["SKUNumber"], item["TaxRate"]) == (same["SKUNumber"], same["TaxRate"])
        assert [a["CountryTwoLetterCode"] for a in by_api["addresses"]] == [
            a["CountryTwoLetterCode"] for a in by_rest["addresses"]
        ]


async def test_one_order_that_makes_it_fail_does_not_stop_the_others(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    good, bad, torn = (shop.place("plain", "GoatUK", n, None) for n in range(3))
    sandbox.store_api.broken.add(bad)
    for item in shop.database.select(ITEM, "OrderItemOrderID = ?", [torn]):
        shop.database.delete(ITEM, item["OrderItemID"])
    by = source(told(sandbox))
    reads = await by.reading.read(ORDER, [good, bad, torn])
    alone = await by.reading.read(ORDER, [bad])
    await by.close()
    assert isinstance(reads[good], Found)
    assert isinstance(reads[torn], Torn)
    assert isinstance(reads[bad], RestUnavailable)
    assert isinstance(alone[bad], RestUnavailable)


async def test_a_service_that_is_down_or_refuses_is_no_orders_fault(sandbox: Sandbox) -> None:
    order_id = sandbox.shops["emea"].place("plain", "GoatUK", 1, None)
    known = told(sandbox)
    assert known.store_api is not None
    gone = known.store_api.model_copy(update={"url": "http://127.0.0.1:9"})
    wrong = known.store_api.oauth2
    assert wrong is not None
    denied = known.store_api.model_copy(
        update={"oauth2": wrong.model_copy(update={"client_secret": SecretStr("x" * 16)})}
    )
    for api, error in ((gone, RestUnavailable), (denied, RestDenied)):
        by = source(known.model_copy(update={"store_api": api}))
        with pytest.raises(error):
            await by.reading.read(ORDER, [order_id])
        await by.close()


async def test_an_expired_token_is_renewed(sandbox: Sandbox) -> None:
    order_id = sandbox.shops["emea"].place("plain", "GoatUK", 1, None)
    sandbox.store_api.expires_in = -1
    by = source(told(sandbox))
    with pytest.raises(RestDenied):
        await by.reading.read(ORDER, [order_id])
    sandbox.store_api.expires_in = 3600
    assert isinstance((await by.reading.read(ORDER, [order_id]))[order_id], Found)
    await by.close()


@pytest.mark.parametrize(
    "answer",
    [
        "[]",
        '{"orderId": 7}',
        '{"orderId": 28, "orderItems": 5}',
        '{"orderId": 28, "orderItems": [], "orderStatus": "x"}',
    ],
)
async def test_another_shape_is_unreadable_not_a_crash(answer: str) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=answer)

    known = InstanceSettings(name="emea", time_zone="UTC", store_api=RestSettings(url="http://shop"), site="S")
    settings = RestSettings(url="http://shop", attempts=1)
    api = StoreApi("emea", settings, transport=httpx.MockTransport(handle))
    reads = await StoreApiReading(api, known).read(ORDER, [28])
    await api.close()
    assert isinstance(reads[28], RestUnreadable)


def test_what_cannot_be_said_must_be_configured() -> None:
    api = RestSettings(url="http://shop")
    with pytest.raises(ValidationError, match="`site` says which store"):
        InstanceSettings(name="a", time_zone="UTC", store_api=api)
    with pytest.raises(ValidationError, match="package for Kentico 13"):
        InstanceSettings(name="a", time_zone="UTC", dialect="XBYK", store_api=api)


async def test_the_list_has_one_empty_last_page_when_pages_divide_evenly(sandbox: Sandbox) -> None:
    """As the package has it, so that nobody who pages through it takes the last page for an error."""
    for number in range(4):
        sandbox.shops["emea"].place("plain", "GoatUK", number, None)
    assert sandbox.shops["emea"].database.count(ORDERS) == 4
    known = told(sandbox).store_api
    assert known is not None
    api = StoreApi("emea", known)
    answer = await api._call("GET", "list", "api/store/order/admin/list", {"page": "3", "pageSize": "2"})
    assert (answer["orders"], answer["maxPage"]) == ([], 3)
    sandbox.rest.faults.append(Fault("error500"))
    assert await api.answers()
    await api.close()
