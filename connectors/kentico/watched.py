"""The tables that polling watches, as data: what identifies a row, what shows that it changed, whose part it is."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.kentico.events import CUSTOMER, ORDER, SKU
from connectors.kentico.settings import Dialect


@dataclass(frozen=True)
class Watched:
    """`stamp`: the column of the modification time. `owner`: the column with the id of the object to read, which is of
    type `of`. `essential`: without it orders would be missed, so nothing goes on; else it is left out and said."""

    object_type: str
    key: str
    stamp: str
    owner: str
    of: str
    essential: bool = True
    read_as: str | None = None  # the stamp's name in the rows that are joined, where it is another

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.key, self.stamp, self.owner)))


ORDERS = Watched("ecommerce.order", "OrderID", "OrderLastModified", "OrderID", ORDER)
# Kentico saves an order's items by deleting and inserting them, and does not touch the order (AllowTouchParent false).
ITEMS = Watched("ecommerce.orderitem", "OrderItemID", "OrderItemLastModified", "OrderItemOrderID", ORDER)
ADDRESSES = Watched("ecommerce.orderaddress", "AddressID", "AddressLastModified", "AddressOrderID", ORDER)
CUSTOMERS = Watched("ecommerce.customer", "CustomerID", "CustomerLastModified", "CustomerID", CUSTOMER, False)
SKUS = Watched("ecommerce.sku", "SKUID", "SKULastModified", "SKUID", SKU, False)

# Orders first: reading one covers its items, addresses and customer, whose rows then need no second look. The status
# history is not among them: a change of status saves the order.
WATCHED = (ORDERS, ITEMS, ADDRESSES, CUSTOMERS, SKUS)

# Xperience by Kentico keeps the time of a modification of orders only.
XBYK_ORDERS = Watched("commerce.order", "OrderID", "OrderModifiedWhen", "OrderID", ORDER, read_as="OrderLastModified")


def watched(dialect: Dialect) -> tuple[Watched, ...]:
    """The tables to look through, orders first."""
    return (XBYK_ORDERS,) if dialect == "XBYK" else WATCHED


def orders_of(dialect: Dialect) -> Watched:
    """The table of orders."""
    return watched(dialect)[0]
