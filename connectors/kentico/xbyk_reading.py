"""Reads orders and customers of Xperience by Kentico, many at once, under Kentico 13's names (xbyk)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectors.kentico.batch import Found, Missing, Read, Torn, grouped, lines_missing, together
from connectors.kentico.events import CUSTOMER, ORDER
from connectors.kentico.join import Row, Tables, by_identity
from connectors.kentico.lookups import Lookups
from connectors.kentico.reading import Reading
from connectors.kentico.xbyk import k13_names, k13_order

_NEEDED = {
    "statuses": ("commerce.orderstatus", "OrderStatusID"),
    "payment_options": ("commerce.paymentmethod", "PaymentMethodID"),
    "shipping_options": ("commerce.shippingmethod", "ShippingMethodID"),
}
_OPTIONAL = {"countries": ("cms.country", "CountryID"), "states": ("cms.state", "StateID")}


class XbykLookups(Lookups):
    """Xperience has no table of SKUs, taxes, currencies or sites that an order points to."""

    promotions = False  # whether this version of Xperience has them

    async def _load(self) -> None:
        before = self._rest.calls
        try:
            found: dict[str, Any] = {}
            for name, (object_type, column) in _NEEDED.items():
                found[name] = by_identity(await self._rest.rows(object_type, orderby=column), column)
            for name, (object_type, column) in _OPTIONAL.items():
                rows = await self._optional(object_type, column)
                found[name] = {} if rows is None else by_identity(rows, column)
            self._tables = Tables(**found)
            # A type that is not registered is answered 500. Should it be another trouble, orders with promotions do
            # not add up, and are refused until the tables are read again.
            self.promotions = await self._rest.probe(["commerce.orderpromotion"])
            self._loaded_at = self._monotonic()
        finally:
            self.calls += self._rest.calls - before


class XbykReading(Reading):
    """`await read(ORDER, ids)` for orders or customers of one instance."""

    types: Mapping[str, tuple[str, ...]] = {
        ORDER: ("commerce.order", "commerce.orderitem", "commerce.orderaddress", "commerce.customer"),
        CUSTOMER: ("commerce.customer",),
    }

    async def _read_once(self, object_type: str, ids: Sequence[int]) -> dict[int, Read]:
        return await (self._orders(ids) if object_type == ORDER else self._customers(ids))

    async def _orders(self, ids: Sequence[int]) -> dict[int, Read]:
        rest = self._rest
        orders = {
            row["OrderID"]: row for row in await rest.rows_in("commerce.order", "OrderID", ids, orderby="OrderID")
        }
        results: dict[int, Read] = {order_id: Missing() for order_id in ids if order_id not in orders}
        if not orders:
            return results
        buyers = sorted({row["OrderCustomerID"] for row in orders.values() if row.get("OrderCustomerID")})
        tables = await self._lookups.tables(map(k13_order, orders.values()), ())
        items, addresses, customers, promotions = await together(
            rest.rows_in("commerce.orderitem", "OrderItemOrderID", orders, orderby="OrderItemID"),
            rest.rows_in("commerce.orderaddress", "OrderAddressOrderID", orders, orderby="OrderAddressID"),
            rest.rows_in("commerce.customer", "CustomerID", buyers, orderby="CustomerID"),
            self._promotions(orders),
        )
        columns = ("OrderID", "OrderModifiedWhen")
        again = await rest.rows_in("commerce.order", "OrderID", orders, columns=columns, orderby="OrderID")
        modified = {row["OrderID"]: row.get("OrderModifiedWhen") for row in again}
        by_id = {row["CustomerID"]: row for row in customers}
        of_items, of_addresses = grouped(items, "OrderItemOrderID"), grouped(addresses, "OrderAddressOrderID")
        of_promotions = grouped(promotions, "OrderPromotionOrderID")
        for order_id, order in orders.items():
            own = of_items.get(order_id, [])
            customer = by_id.get(order.get("OrderCustomerID"))
            parts = (own, of_addresses.get(order_id, []), of_promotions.get(order_id, []))
            data = self._joined(order, *parts, customer, tables)
            whole = modified.get(order_id) == order.get("OrderModifiedWhen") and not lines_missing(
                order, own, "OrderGrandTotal"
            )
            results[order_id] = Found(data) if whole else Torn(data)
        return results

    async def _promotions(self, orders: Iterable[int]) -> list[Row]:
        if not (isinstance(self._lookups, XbykLookups) and self._lookups.promotions):
            return []
        return await self._rest.rows_in(
            "commerce.orderpromotion", "OrderPromotionOrderID", orders, orderby="OrderPromotionID"
        )

    def _joined(
        self,
        order: Row,
        items: list[Row],
        addresses: list[Row],
        promotions: list[Row],
        customer: Row | None,
        tables: Tables,
    ) -> Row:
        data: Row = {
            "order": order,
            "items": items,
            "addresses": [address | _place(address, tables) for address in addresses],
            "promotions": promotions,
            "customer": customer,
            "status": tables.statuses.get(order.get("OrderOrderStatusID") or 0),
            "paymentMethod": tables.payment_options.get(order.get("OrderPaymentMethodID") or 0),
            "shippingMethod": tables.shipping_options.get(order.get("OrderShippingMethodID") or 0),
            "site": self._site(),
        }
        return k13_names({name: value for name, value in data.items() if value is not None})

    async def _customers(self, ids: Sequence[int]) -> dict[int, Read]:
        rows = await self._rest.rows_in("commerce.customer", "CustomerID", ids, orderby="CustomerID")
        site = {"site": found} if (found := self._site()) else {}
        found_rows: dict[int, Read] = {row["CustomerID"]: Found(k13_names({"customer": row} | site)) for row in rows}
        return {i: found_rows.get(i, Missing()) for i in ids}

    def _site(self) -> Row | None:
        return None if self._instance.site is None else {"SiteName": self._instance.site}


def _place(address: Row, tables: Tables) -> Row:
    country = tables.countries.get(address.get("OrderAddressCountryID") or 0, {})
    state = tables.states.get(address.get("OrderAddressStateID") or 0, {})
    return {
        "CountryName": country.get("CountryDisplayName") or country.get("CountryName"),
        "CountryTwoLetterCode": country.get("CountryTwoLetterCode"),
        "StateName": state.get("StateDisplayName") or state.get("StateName"),
        "StateCode": state.get("StateCode"),
    }
