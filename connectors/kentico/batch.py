"""Reads many orders at once by REST: six requests for up to a hundred, two more when SKUs are met for the first time.

REST cannot read an order with its items in one consistent step, so the orders are looked at again at the end: one that
was written meanwhile is Torn, and read again later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connectors.kentico.join import Row, customer_data, order_data, sku_data
from connectors.kentico.lookups import Lookups
from connectors.kentico.rest import TableRest
from connectors.kentico.settings import InstanceSettings


@dataclass(frozen=True)
class Found:
    """An object's rows, joined to the `data` of an event."""

    data: dict[str, Any]


@dataclass(frozen=True)
class Missing:
    """There is no such object: deleted, or not yet committed."""


@dataclass(frozen=True)
class Torn:
    """The order was being written while it was read. `data` is what was seen."""

    data: dict[str, Any]


Read = Found | Missing | Torn


async def read_orders(
    rest: TableRest, lookups: Lookups, instance: InstanceSettings, ids: Sequence[int]
) -> dict[int, Read]:
    """Each order id with what was found. RestError where the service failed; nothing is half answered."""
    orders = {row["OrderID"]: row for row in await rest.rows_in("ecommerce.order", "OrderID", ids, orderby="OrderID")}
    results: dict[int, Read] = {order_id: Missing() for order_id in ids if order_id not in orders}
    if not orders:
        return results
    customers_wanted = sorted({row["OrderCustomerID"] for row in orders.values() if row.get("OrderCustomerID")})
    items, addresses, history, customers = await together(
        rest.rows_in("ecommerce.orderitem", "OrderItemOrderID", orders, orderby="OrderItemID"),
        rest.rows_in("ecommerce.orderaddress", "AddressOrderID", orders, orderby="AddressID"),
        rest.rows_in("ecommerce.orderstatususer", "OrderID", orders, orderby="OrderStatusUserID"),
        rest.rows_in("ecommerce.customer", "CustomerID", customers_wanted, orderby="CustomerID"),
    )
    again = await rest.rows_in(
        "ecommerce.order", "OrderID", orders, columns=("OrderID", "OrderLastModified"), orderby="OrderID"
    )
    modified = {row["OrderID"]: row.get("OrderLastModified") for row in again}
    sku_ids = {row["OrderItemSKUID"] for row in items if row.get("OrderItemSKUID")}
    tables = await lookups.tables(orders.values(), sku_ids)
    of_customer = {row["CustomerID"]: row for row in customers}
    parts = [grouped(items, "OrderItemOrderID"), grouped(addresses, "AddressOrderID"), grouped(history, "OrderID")]
    for order_id, order in orders.items():
        own_items, own_addresses, own_history = (part.get(order_id, []) for part in parts)
        customer = of_customer.get(order.get("OrderCustomerID"))
        data = order_data(order, own_items, own_addresses, own_history, customer, tables, instance.tax_address)
        whole = modified.get(order_id) == order.get("OrderLastModified") and not lines_missing(order, own_items)
        results[order_id] = Found(data) if whole else Torn(data)
    return results


async def read_customers(rest: TableRest, lookups: Lookups, ids: Sequence[int]) -> dict[int, Read]:
    """Each customer id with what was found."""
    rows = await rest.rows_in("ecommerce.customer", "CustomerID", ids, orderby="CustomerID")
    tables = await lookups.tables((), ())
    found: dict[int, Read] = {row["CustomerID"]: Found(customer_data(row, tables)) for row in rows}
    return {i: found.get(i, Missing()) for i in ids}


async def read_skus(rest: TableRest, lookups: Lookups, ids: Sequence[int]) -> dict[int, Read]:
    """Each SKU id with what was found."""
    for sku_id in ids:
        lookups.forget_sku(sku_id)
    rows = await rest.rows_in("ecommerce.sku", "SKUID", ids, orderby="SKUID")
    tables = await lookups.tables((), [row["SKUID"] for row in rows])
    found: dict[int, Read] = {row["SKUID"]: Found(sku_data(row, tables)) for row in rows}
    return {i: found.get(i, Missing()) for i in ids}


async def together(*reads: Any) -> list[list[Row]]:
    """All results; the first failure cancels the others and is raised as itself."""
    tasks = [asyncio.ensure_future(read) for read in reads]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def lines_missing(order: Row, items: Sequence[Row], total: str = "OrderTotalPrice") -> bool:
    """An order that costs something but has no line is being edited: Kentico deletes its items and inserts new."""
    price = order.get(total)
    return not items and isinstance(price, int | Decimal) and price > 0


def grouped(rows: Sequence[Row], column: str) -> dict[int, list[Row]]:
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return groups
