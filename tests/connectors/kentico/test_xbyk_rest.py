"""Xperience by Kentico read, looked through and written to by the community's REST package."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from connectors.kentico import events
from connectors.kentico.aggregate import Facts, build_customer, build_order
from connectors.kentico.backfill import SitePlan, Span, plan
from connectors.kentico.batch import Found, Missing, Torn
from connectors.kentico.errors import RestDenied, RestUnavailable, RestUnreadable
from connectors.kentico.events import CUSTOMER, ORDER
from connectors.kentico.look import Sight, look
from connectors.kentico.reading import TableSource
from connectors.kentico.sandbox.schema import ITEM
from connectors.kentico.sandbox.schema import ORDER as ORDERS
from connectors.kentico.sandbox.server import Sandbox
from connectors.kentico.sandbox.xperience import _PROMOTION, _TABLES
from connectors.kentico.settings import InstanceSettings, PollSettings, RestSettings
from connectors.kentico.sources import table_source
from connectors.kentico.watched import watched
from connectors.kentico.xbyk_rest import XbykRest, objects
from tests.connectors.kentico.conftest import utc_now
from tests.connectors.kentico.test_xbyk import event

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


def told(sandbox: Sandbox, page: int = 1000, **more: Any) -> InstanceSettings:
    shop = sandbox.shops["emea"]
    rest = RestSettings(
        url=f"{sandbox.base_url}/emea/xperience/rest",
        user=shop.credentials.user,
        password=SecretStr(shop.credentials.password),
        attempts=2,
        backoff_s=0.01,
        page=page,
    )
    return InstanceSettings(
        name="emea", time_zone=shop.catalogue.zone.key, dialect="XBYK", rest=rest, site="Goat", **more
    )


def source(known: InstanceSettings) -> TableSource:
    assert known.rest is not None
    return table_source(known, known.rest, 300)


@pytest.mark.parametrize("migrated", [False, True])
async def test_orders_come_whole_with_line_tax_or_with_the_zeros_of_a_migration(
    sandbox: Sandbox, migrated: bool
) -> None:
    shop = sandbox.shops["emea"]
    sandbox.xperience.migrated = migrated
    order_id = shop.place("plain", "GoatUK", 1, None)
    by = source(told(sandbox))
    reads = await by.reading.read(ORDER, [order_id, 999_999])
    calls = by.rest.calls
    assert isinstance(reads[999_999], Missing)
    await by.reading.read(ORDER, [order_id] * 1)
    assert by.rest.calls - calls == 6, "orders, items, addresses, customers, promotions, the orders' stamps again"
    await by.rest.close()
    found = reads[order_id]
    assert isinstance(found, Found)
    seen = datetime.now(UTC)
    order = build_order(found.data, Facts(told(sandbox), "order.updated", "REST", seen, seen))
    truth = shop.database.truth(order_id)
    assert (order["dialect"], order["site_name"], order["currency"]) == ("XBYK", "Goat", None)
    assert order["order"]["OrderGrandTotal"] == Decimal(truth["total_price"])
    assert order["order"]["OrderTotalTax"] == Decimal(truth["total_tax"])
    assert order["order"]["OrderInvoiceNumber"] == truth["invoice_number"]
    assert order["status"] is not None
    assert order["status"]["StatusName"] == "PaymentReceived"
    assert order["payment_option"] is not None
    assert order["payment_option"]["PaymentOptionName"] == truth["payment_option"]
    assert {address["CountryTwoLetterCode"] for address in order["addresses"]} <= {"GB", "US", "DE", "AU", "NZ", "CZ"}
    for item in order["items"]:
        assert (item["TaxRate"] is None) is migrated
        assert (item["OrderItemTotalTax"] == 0) or not migrated
    if not migrated:
        assert any(item["TaxRate"] for item in order["items"])
        assert sum((i["OrderItemTotalTax"] or Decimal(0) for i in order["items"]), Decimal(0)) > 0


async def test_promotions_of_the_order_are_its_discounts_and_a_version_without_them_is_read_all_the_same(
    sandbox: Sandbox,
) -> None:
    shop = sandbox.shops["emea"]
    order_id = shop.place("order_discount", "GoatUK", 1, None)
    truth = shop.database.truth(order_id)
    by = source(told(sandbox))
    found = (await by.reading.read(ORDER, [order_id]))[order_id]
    await by.rest.close()
    assert isinstance(found, Found)
    seen = datetime.now(UTC)
    order = build_order(found.data, Facts(told(sandbox), "order.updated", "REST", seen, seen))
    (discount,) = order["order"]["OrderDiscounts"]
    assert (discount["name"], discount["value"]) == ("Newsletter & friends", Decimal(truth["order_discount"]))
    _TABLES.pop("commerce.orderpromotion")
    try:
        by = source(told(sandbox))
        assert isinstance((await by.reading.read(ORDER, [order_id]))[order_id], Found)
        await by.rest.close()
    finally:
        _TABLES["commerce.orderpromotion"] = _PROMOTION


async def test_customers_are_read_and_a_half_written_order_is_said_to_be(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    order_id = shop.place("plain", "GoatUK", 1, None)
    who = shop.database.get(ORDERS, order_id)["OrderCustomerID"]
    by = source(told(sandbox))
    found = (await by.reading.read(CUSTOMER, [who]))[who]
    assert isinstance(found, Found)
    customer = build_customer(found.data, Facts(told(sandbox), "customer.updated", "REST", NOW, NOW))
    assert (customer["customer"]["CustomerID"], customer["site_name"]) == (who, "Goat")
    assert customer["version"] == NOW, "Xperience keeps no time of a customer's change: the observation counts"
    for item in shop.database.select(ITEM, "OrderItemOrderID = ?", [order_id]):
        shop.database.delete(ITEM, item["OrderItemID"])
    assert isinstance((await by.reading.read(ORDER, [order_id]))[order_id], Torn)
    await by.rest.close()


async def test_pages_go_by_identity_and_counts_are_of_everything(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    ids = [shop.place("plain", "GoatUK", n, None) for n in range(12)]
    rest = source(told(sandbox, page=10)).rest
    assert [row["OrderID"] for row in await rest.rows("commerce.order", orderby="OrderID")] == ids
    assert await rest.count("commerce.order") == 12
    assert await rest.count("commerce.order", f"OrderID > {ids[3]}") == 8
    assert [row["OrderID"] for row in await rest.top("commerce.order", 2, orderby="OrderID DESC")] == ids[:-3:-1]
    assert await rest.row("commerce.order", 999_999) is None
    await rest.close()


async def test_columns_are_written_by_patch_and_nothing_else(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    order_id = shop.place("plain", "GoatUK", 1, None)
    before = shop.database.get(ORDERS, order_id)
    rest = source(told(sandbox)).rest
    after = await rest.update("commerce.order", order_id, {"OrderXeroStatus": "PAID", "NoSuchColumn": "x"})
    await rest.close()
    assert (after["OrderID"], after["OrderXeroStatus"]) == (order_id, "PAID")
    changed = {name for name, value in shop.database.get(ORDERS, order_id).items() if value != before[name]}
    assert changed == {"OrderXeroStatus", "OrderLastModified"}
    assert sandbox.xperience.patched == 1


async def test_check_looks_at_what_xperience_has(sandbox: Sandbox) -> None:
    sandbox.shops["emea"].place("plain", "GoatUK", 1, None)
    known = told(sandbox)
    rest = source(known).rest
    assert await look(rest, known, utc_now) == [Sight("ok", "all 8 types can be read")]
    await rest.close()
    assert [table.object_type for table in watched("XBYK")] == ["commerce.order"]


async def test_a_backfill_is_planned_for_the_one_store(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    for number in range(3):
        shop.place("plain", "GoatUK", number, None)
    shop.database.update(ORDERS, 1001, {"OrderDate": "2025-01-01T00:00:00.0000000"})
    known = told(sandbox)
    by = source(known)
    found = await plan(known, by, Span(date(2024, 1, 1)), {"Goat": date(2026, 1, 1)}, measured=True)
    await by.rest.close()
    assert (found.orders, found.sites) == (3, (SitePlan("Goat", 3, 1),))


async def test_wrong_credentials_are_said(sandbox: Sandbox) -> None:
    known = told(sandbox)
    assert known.rest is not None
    rest = XbykRest("emea", known.rest.model_copy(update={"password": SecretStr("wrong")}))
    with pytest.raises(RestDenied):
        await rest.count("commerce.order")
    assert not await rest.probe(["commerce.order"])
    await rest.close()


@pytest.mark.parametrize(
    "frame", [None, [], {}, {"objects": {}}, {"objects": [1], "totalRecords": 1}, {"objects": [], "totalRecords": "1"}]
)
def test_what_is_no_list_is_unreadable(frame: Any) -> None:
    with pytest.raises(RestUnreadable):
        objects(frame)


async def test_a_service_that_ignores_the_condition_is_refused_not_followed() -> None:
    body: dict[str, Any] = {"totalRecords": 10, "objects": [{"OrderID": 1}] * 10}
    handle: Callable[[httpx.Request], httpx.Response] = lambda request: httpx.Response(200, json=body)  # noqa: E731
    rest = XbykRest("x", RestSettings(url="http://shop/rest", page=10), transport=httpx.MockTransport(handle))
    with pytest.raises(RestUnreadable, match="not by OrderID"):
        await rest.rows("commerce.order", orderby="OrderID")
    await rest.close()


async def test_an_outage_is_raised() -> None:
    rest = XbykRest("x", RestSettings(url="http://127.0.0.1:9/rest", attempts=1))
    with pytest.raises(RestUnavailable):
        await rest.count("commerce.order")
    await rest.close()


def test_an_event_of_xperience_is_whole_without_what_xperience_does_not_have() -> None:
    """With REST beside it an event that lacked something would become a hint: none of these is a lack there."""
    shop = InstanceSettings(
        name="x", time_zone="UTC", dialect="XBYK", rest=RestSettings(url="http://shop/rest"), site="main"
    )
    whole = event()
    del whole["data"]["currency"]
    routed = events.route(whole, "", shop, NOW, None)
    assert (routed.schema, routed.downgraded) == ("order", None)
    for member, lacks in (("items", "items"), ("status", "status")):
        part = event()
        del part["data"][member]
        routed = events.route(part, "", shop, NOW, None)
        assert (routed.schema, routed.downgraded) == ("change", lacks)


def test_xperience_needs_to_be_told_its_store() -> None:
    with pytest.raises(ValidationError, match="has no sites"):
        InstanceSettings(name="x", time_zone="UTC", dialect="XBYK", rest=RestSettings(url="http://shop/rest"))
    assert PollSettings().every_s == 30
