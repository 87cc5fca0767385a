"""What happens to an order after it was placed: paid, given back, edited as Kentico saves items (delete and insert)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

from connectors.kentico.sandbox.errors import BadControl
from connectors.kentico.sandbox.pricing import Totals, total_up
from connectors.kentico.sandbox.rows import BILLING, OrderRows, scaled, stamp, summary
from connectors.kentico.sandbox.scenarios import HELD_LATER, PAYABLE
from connectors.kentico.sandbox.schema import ITEM, ORDER, ORDER_ADDRESS, Row

if TYPE_CHECKING:
    from connectors.kentico.sandbox.shop import Shop

_SUM_NAMES = (
    "total_price", "total_tax", "grand_total", "shipping", "order_discount", "tax_by_class", "gift_cards",
    "total_in_main_currency",
)  # fmt: skip


def sums(totals: Totals, order: Row) -> dict[str, Any]:
    """The money of an order as text with plain decimals; total and grand total are the columns', wrong or not."""
    cents = Decimal("0.01")
    return {
        "total_price": str(Decimal(order["OrderTotalPrice"]).quantize(cents)),
        "total_tax": str(totals.tax.quantize(cents)),
        "grand_total": str(Decimal(order["OrderGrandTotal"]).quantize(cents)),
        "shipping": str(totals.shipping.quantize(cents)),
        "order_discount": str(totals.order_discount.quantize(cents)),
        "tax_by_class": {name: str(value.quantize(cents)) for name, value in totals.tax_summary},
        "gift_cards": [{"name": name, "amount": str(value.quantize(cents))} for name, value in totals.other_payments],
        "total_in_main_currency": str(Decimal(order["OrderTotalPriceInMainCurrency"]).quantize(cents)),
    }


def _pay(shop: Shop, order_id: int, rng: Random) -> str:
    shop.settle(order_id, "paid", rng)
    truth = shop.database.truth(order_id)
    shop.database.write_truth(order_id, truth | {"expected": PAYABLE})
    return "order.paid"


def _edit_note(shop: Shop, order_id: int, rng: Random) -> str:
    note = rng.choice(["Leave with the neighbour at no. 9", "Customer rang: call before delivery"])
    shop.database.update(
        ORDER, order_id, {"OrderNote": note, "OrderLastModified": stamp(shop.now(), shop.catalogue.zone)}
    )
    return "order.updated"


def _edit_address(shop: Shop, order_id: int, rng: Random) -> str:
    """Only the address row changes: the order's LastModified stays."""
    address = shop.load(order_id).addresses[0]
    line = f"{rng.randrange(1, 99)} New Street"
    changes = {"AddressLine1": line, "AddressLastModified": stamp(shop.now(), shop.catalogue.zone)}
    shop.database.update(ORDER_ADDRESS, address["AddressID"], changes)
    return "order.updated"


def _edit_item_text(shop: Shop, order_id: int, rng: Random) -> str:
    """A pure item edit: the rows are re-inserted, and the order is not touched (AllowTouchParent is false)."""
    items = shop.load(order_id).items
    items[0]["OrderItemText"] = rng.choice(["Happy birthday, Sam", "With thanks"])
    _replace_items(shop, items)
    return "order.updated"


def _edit_items(shop: Shop, order_id: int, rng: Random) -> str:
    """One unit more of the first line: other money, and a paid order that no longer fits its payment."""
    rows, truth = shop.load(order_id), shop.database.truth(order_id)
    first = rows.items[0]
    first["OrderItemTotalPrice"] += first["OrderItemUnitPrice"]
    first["OrderItemUnitCount"] += 1
    totals = _retotal(shop, rows, truth)
    value = shop.catalogue.site_by_id(rows.order["OrderSiteID"]).currency(truth["currency"]).value
    first["OrderItemTotalPriceInMainCurrency"] = scaled(first["OrderItemTotalPrice"] * value)
    _replace_items(shop, rows.items)
    main = shop.catalogue.site_by_id(rows.order["OrderSiteID"]).main
    changes = {
        "OrderTotalPrice": scaled(totals.total_price), "OrderTotalTax": scaled(totals.tax),
        "OrderGrandTotal": scaled(totals.grand_total), "OrderTaxSummary": summary(totals.tax_summary),
        "OrderTotalPriceInMainCurrency": scaled(main.round(totals.total_price * value)),
        "OrderGrandTotalInMainCurrency": scaled(main.round(totals.grand_total * value)),
        "OrderLastModified": stamp(shop.now(), shop.catalogue.zone),
    }  # fmt: skip
    shop.database.update(ORDER, order_id, changes)
    before = {name: truth[name] for name in _SUM_NAMES}
    expected = HELD_LATER if truth["expected"] == PAYABLE else truth["expected"]
    truth |= {"first": truth["first"] or before, "expected": expected} | sums(totals, rows.order | changes)
    shop.database.write_truth(order_id, truth)
    return "order.updated"


def _retotal(shop: Shop, rows: OrderRows, truth: Mapping[str, Any]) -> Totals:
    site = shop.catalogue.site_by_id(rows.order["OrderSiteID"])
    billing = next(row for row in rows.addresses if row["AddressType"] == BILLING)
    has_tax_id = bool(rows.customer["CustomerTaxRegistrationID"])
    shipping_id = rows.order["OrderShippingOptionID"]
    shipping = next((option for option in site.shipping if option.id == shipping_id), None)
    by_id = {sku.id: sku.tax_class for sku in site.skus.values()}
    return total_up(
        ((by_id[item["OrderItemSKUID"]], item["OrderItemTotalPrice"]) for item in rows.items),
        Decimal(truth["order_discount"]),
        None if shipping is None else (shipping.tax_class, Decimal(truth["shipping"])),
        [(card["name"], Decimal(card["amount"])) for card in truth["gift_cards"]],
        inclusive=site.inclusive,
        currency=site.currency(truth["currency"]),
        rate=lambda of: shop.catalogue.rate(of, billing["AddressCountryID"], billing["AddressStateID"], has_tax_id),
        class_name=shop.catalogue.class_name,
    )


def _replace_items(shop: Shop, items: list[Row]) -> None:
    """Delete and re-insert, as Kentico saves an order's items: new OrderItemID, same OrderItemGUID."""
    at = stamp(shop.now(), shop.catalogue.zone)
    for item in items:
        shop.database.delete(ITEM, item["OrderItemID"])
    for item in items:
        fresh = {"OrderItemID": shop.database.take(ITEM.name), "OrderItemLastModified": at}
        shop.database.insert(ITEM, item | fresh)


def _refund(shop: Shop, order_id: int, rng: Random, *, all_of_it: bool = True) -> str:
    """What is left of the order or a part of it is given back. No table of Kentico's knows: only the event tells."""
    truth = shop.database.truth(order_id)
    before = sum((Decimal(refund["amount"]) for refund in truth.get("refunds", ())), Decimal(0))
    total = Decimal(truth["total_price"]) - before
    if total <= 0 or not truth["paid"]:
        raise BadControl(f"order {order_id} has nothing to give back")
    part = max(Decimal("0.01"), (total * rng.choice([10, 25, 40]) / 100).quantize(Decimal("0.01")))
    refund = {
        "refundId": f"re_{rng.getrandbits(48):012x}", "refundedAt": stamp(shop.now(), shop.catalogue.zone),
        "currency": truth["currency"], "amount": str(rng.choice([total if all_of_it else part, part, part])),
        "reason": rng.choice([None, "Returned", "Arrived broken"]), "transactionId": f"rf_{rng.getrandbits(48):012x}",
    }  # fmt: skip
    shop.database.write_truth(order_id, truth | {"refunds": [*truth.get("refunds", []), refund]})
    return REFUNDED


def _refund_part(shop: Shop, order_id: int, rng: Random) -> str:
    return _refund(shop, order_id, rng, all_of_it=False)


REFUNDED = "order.refunded"
MONEY = frozenset({"pay", "refund", "refund_part"})
"""Actions that leave the order's rows as they were sold."""
ACTIONS: Mapping[str, Callable[[Shop, int, Random], str]] = {
    "pay": _pay,
    "edit_note": _edit_note,
    "edit_address": _edit_address,
    "edit_item_text": _edit_item_text,
    "edit_items": _edit_items,
    "refund": _refund,
    "refund_part": _refund_part,
}
"""By name; each changes rows and truth in the caller's transaction and returns the type of the event to tell."""
