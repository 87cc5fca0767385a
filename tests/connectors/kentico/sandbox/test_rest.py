"""The REST frames, scopes, conditions, paging, writes and faults of the K13 service."""

from __future__ import annotations

import json

import aiohttp
import pytest

from connectors.kentico.sandbox.errors import BadQuery
from connectors.kentico.sandbox.rest import Fault
from connectors.kentico.sandbox.schema import ORDER
from connectors.kentico.sandbox.server import Sandbox
from connectors.kentico.sandbox.where import condition, order
from tests.connectors.kentico.sandbox.conftest import Rest


def shop_orders(sandbox: Sandbox, n: int, kind: str = "plain", site: str = "GoatUK") -> list[int]:
    return [sandbox.shops["emea"].place(kind, site, number, "webhook") for number in range(n)]


async def test_list_frame(sandbox: Sandbox, rest: Rest) -> None:
    first = shop_orders(sandbox, 2)[0]
    _, text = await rest.get("ecommerce.order/all", format="json")
    body = json.loads(text)
    assert list(body) == ["ecommerce_orders"]
    assert list(body["ecommerce_orders"][0]) == ["COM_Order"]
    assert body["ecommerce_orders"][1] == {"TotalRecords": [{"TotalRecords": "2"}]}
    row = body["ecommerce_orders"][0]["COM_Order"][0]
    assert set(row) == set(ORDER.columns)
    assert list(row) != list(ORDER.columns)
    assert list(row) != sorted(row)
    assert row["OrderTrackingNumber"] is None
    assert row["OrderID"] == first
    total = sandbox.shops["emea"].load(first).order["OrderTotalPrice"]
    assert f'"OrderTotalPrice":{total:f}' in text
    assert str(total).split(".")[1].endswith("0000000")
    assert len(row["OrderLastModified"]) == 27


async def test_nothing_found_has_no_rows_element(rest: Rest) -> None:
    _, text = await rest.get("ecommerce.order/all", format="json", where="OrderID=77")
    assert text == '{"ecommerce_orders":[{"TotalRecords":[{"TotalRecords":"0"}]}]}'


async def test_table_names_are_kept_letter_for_letter(rest: Rest) -> None:
    for path, outer, inner in (
        ("cms.country", "cms_countries", "cms_country"),
        ("cms.site", "cms_sites", "CMS_Site"),
        ("ecommerce.orderstatus/all", "ecommerce_orderstatuses", "COM_OrderStatus"),
        ("ecommerce.exchangerate", "ecommerce_exchangerates", "COM_CurrencyExchangeRate"),
        ("ECOMMERCE.TaxClassCountry", "ecommerce_taxclasscountries", "COM_TaxClassCountry"),
    ):
        _, text = await rest.get(path, format="json")
        assert text.startswith(f'{{"{outer}":[{{"{inner}":[{{')


async def test_condition_columns_order_and_paging(sandbox: Sandbox, rest: Rest) -> None:
    ids = shop_orders(sandbox, 7)
    wanted = f"OrderID IN ({ids[1]}, {ids[2]}) OR orderid>={ids[5]} AND OrderCulture='EN-gb'"
    rows = await rest.rows(
        "ecommerce.order/all", where=wanted, columns="orderid,OrderTotalPrice", orderby="OrderID desc"
    )
    assert [row["OrderID"] for row in rows] == [ids[6], ids[5], ids[2], ids[1]]
    assert set(rows[0]) == {"OrderID", "OrderTotalPrice"}
    status, text = await rest.get("ecommerce.order/all", format="json", offset="3", maxrecords="3", columns="OrderID")
    body = json.loads(text)["ecommerce_orders"]
    assert status == 200
    assert [row["OrderID"] for row in body[0]["COM_Order"]] == ids[3:6]
    assert body[1]["TotalRecords"][0]["TotalRecords"] == "7"
    assert len(await rest.rows("ecommerce.order/all", topn="2")) == 2


async def test_changes_since_a_moment(sandbox: Sandbox, rest: Rest) -> None:
    ids = shop_orders(sandbox, 3)
    mark = sandbox.shops["emea"].load(ids[1]).order["OrderLastModified"]
    newer = await rest.rows("ecommerce.order/all", where=f"OrderLastModified>'{mark}'", columns="OrderID")
    since = await rest.rows("ecommerce.order/all", where=f"OrderLastModified >= '{mark.replace('T', ' ')}'")
    assert [row["OrderID"] for row in newer] == ids[2:]
    assert [row["OrderID"] for row in since] == ids[1:]


async def test_scopes(sandbox: Sandbox, rest: Rest) -> None:
    uk = shop_orders(sandbox, 2)
    de = shop_orders(sandbox, 1, site="GoatDE")
    assert [row["OrderID"] for row in await rest.rows("ecommerce.order")] == uk
    assert [row["OrderID"] for row in await rest.rows("ecommerce.order/site/goatde")] == de
    assert len(await rest.rows("ecommerce.order/all")) == 3
    assert await rest.rows("ecommerce.order/global") == []
    assert all(row["StatusSiteID"] is None for row in await rest.rows("ecommerce.orderstatus/global"))
    assert (await rest.get("ecommerce.order/site/nowhere", format="json"))[0] == 404


async def test_date_modes(sandbox: Sandbox, rest: Rest) -> None:
    (order_id,) = shop_orders(sandbox, 1)
    shop = sandbox.shops["emea"]
    stored = shop.load(order_id).order["OrderDate"]
    seen = []
    for mode in type(shop.date_mode):
        shop.date_mode = mode
        seen.append((await rest.rows("ecommerce.order/all", columns="OrderDate"))[0]["OrderDate"])
        raw = (await rest.get("ecommerce.order/all", format="json", columns="OrderDate"))[1]
        assert ('"\\/Date(' in raw) == (mode.value == "msdate")
    assert seen[0] == stored
    assert seen[1][:27] == stored
    assert seen[1][27:] in ("+00:00", "+01:00")
    assert seen[2].startswith("/Date(")


async def test_xml_leaves_nulls_out(sandbox: Sandbox, rest: Rest) -> None:
    shop_orders(sandbox, 1)
    status, text = await rest.get("ecommerce.order/all")
    assert status == 200
    assert text.startswith("<ecommerce_orders><COM_Order><OrderID>1001</OrderID>")
    assert "OrderTrackingNumber" not in text
    assert text.endswith("<TotalRecords><TotalRecords>1</TotalRecords></TotalRecords></ecommerce_orders>")


async def test_refusals_have_no_body(sandbox: Sandbox, rest: Rest) -> None:
    for headers, path, status in (
        ({}, "ecommerce.order", 403),
        ({"Authorization": aiohttp.encode_basic_auth("k2x-emea", "wrong")}, "ecommerce.order", 401),
        ({"Authorization": aiohttp.encode_basic_auth("k2x-apac", "goat-apac-password")}, "ecommerce.order", 401),
        (rest.headers, "cms.user", 403),
        (rest.headers, "ecommerce.order/4711", 404),
        (rest.headers, "ecommerce.nothing", 404),
    ):
        async with rest.session.get(f"{rest.base}/{path}?format=json", headers=headers) as reply:
            assert (reply.status, await reply.read()) == (status, b""), path


async def test_put_changes_only_what_it_names_and_echoes(sandbox: Sandbox, rest: Rest) -> None:
    (order_id,) = shop_orders(sandbox, 1)
    shop = sandbox.shops["emea"]
    before, sent = shop.load(order_id).order, shop.database.outbox_counts()["pending"]
    status, text = await rest.put(f"ecommerce.order/{order_id}", {"OrderXeroInvoiceNumber": "UK-1001", "Unknown": 1})
    after = shop.load(order_id).order
    assert status == 200
    assert json.loads(text)["COM_Order"]["OrderXeroInvoiceNumber"] == "UK-1001"
    assert {name for name in after if after[name] != before[name]} == {"OrderXeroInvoiceNumber", "OrderLastModified"}
    echo = shop.database.outgoing(100)[sent]
    assert (echo.event_type, echo.object_id) == ("order.updated", order_id)
    by_guid = (await rest.get(f"ecommerce.order/{before['OrderGUID'].upper()}", format="json"))[1]
    assert json.loads(by_guid)["COM_Order"]["OrderID"] == order_id


async def test_put_of_a_paid_status_pays_and_leaves_history(sandbox: Sandbox, rest: Rest) -> None:
    (order_id,) = shop_orders(sandbox, 1, "never_paid")
    shop = sandbox.shops["emea"]
    paid = shop.catalogue.sites["GoatUK"].statuses["Completed"]
    await rest.put(f"ecommerce.order/{order_id}", {"OrderStatusID": paid})
    rows = shop.load(order_id)
    assert rows.order["OrderIsPaid"] is True
    assert [row["ToStatusID"] for row in rows.history][-1] == paid
    assert shop.database.outgoing(100)[-1].event_type == "order.paid"


async def test_faults_strike_as_often_as_asked(sandbox: Sandbox, rest: Rest) -> None:
    sandbox.rest.faults += [Fault("error500", count=1), Fault("broken_json", match="cms.site", count=1)]
    assert (await rest.get("cms.site", format="json"))[0] == 500
    text = (await rest.get("cms.site", format="json"))[1]
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    for kind in ("cut", "cut_body"):
        sandbox.rest.faults.append(Fault(kind))  # until cleared: aiohttp itself repeats a cut GET once
        with pytest.raises(aiohttp.ClientError):
            await rest.get("cms.site", format="json")
        sandbox.rest.faults.clear()
    assert len(await rest.rows("cms.site")) == 2


async def test_public_order_of_2021(sandbox: Sandbox) -> None:
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": aiohttp.encode_basic_auth("k2x-seed2021", "goat-seed2021-password")}
        rest = Rest(session, f"{sandbox.base_url}/seed2021/rest", headers)
        (row,) = await rest.rows("ecommerce.order/all", where="OrderID=156889")
        (item,) = await rest.rows("ecommerce.orderitem", where="OrderItemOrderID IN (156889)")
        (status,) = await rest.rows("ecommerce.orderstatus/all", where=f"StatusID={row['OrderStatusID']}")
    assert (row["OrderTotalPrice"], row["OrderTotalShipping"], item["OrderItemUnitPrice"]) == (2.42, 1.6, 0.82)
    assert row["OrderIsPaid"] is None
    assert status["StatusOrderIsPaid"] is True


@pytest.mark.parametrize(
    "text",
    [
        "OrderID=1; DROP TABLE COM_Order",
        "Nothing=1",
        "OrderID=",
        "(OrderID=1",
        "OrderDate>'soon'",
        "1",
        "OrderID IN ()",
    ],
)
def test_conditions_outside_the_subset_are_refused(text: str) -> None:
    with pytest.raises(BadQuery):
        condition(ORDER, text)


def test_conditions_become_parameters() -> None:
    sql, params = condition(
        ORDER, "OrderNote = N'it''s; --' AND NOT OrderIsPaid = 1 OR OrderTotalPrice BETWEEN 1 AND 2.5"
    )
    assert params == ["it's; --", 1, 1.0, 2.5]
    assert "it's" not in sql
    with pytest.raises(BadQuery):
        order(ORDER, "OrderID desc; select")
