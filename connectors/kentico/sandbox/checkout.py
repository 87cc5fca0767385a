"""From a priced basket to an order's Kentico rows, pure: randomness, ids and the moment are passed in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import escape
from random import Random
from typing import Any

from connectors.kentico.sandbox import payload
from connectors.kentico.sandbox.catalogue import Catalogue, Site, catalogue
from connectors.kentico.sandbox.payment import settle
from connectors.kentico.sandbox.places import Person, person
from connectors.kentico.sandbox.pricing import Basket, Line, Priced, PricedLine, price
from connectors.kentico.sandbox.rows import (
    BILLING,
    COMPANY,
    SHIPPING,
    Buyer,
    Counter,
    Ids,
    OrderRows,
    guid,
    scaled,
    seeded,
    stamp,
    summary,
)
from connectors.kentico.sandbox.schema import ADDRESS, CUSTOMER, HISTORY, ITEM, ORDER, ORDER_ADDRESS, Row, full_row


def new_buyer(basket: Basket, site: Site, who: Person, ids: Ids, at: str, rng: Random) -> Buyer:
    """A new customer row, and the address-book row that registered customers have."""
    customer_id = ids.take(CUSTOMER.name)
    row = full_row(
        CUSTOMER, CustomerID=customer_id, CustomerFirstName=who.first, CustomerLastName=who.last,
        CustomerEmail=who.email,
        CustomerPhone=who.phone and who.phone[:26], CustomerCompany=who.company, CustomerTaxRegistrationID=who.tax_id,
        CustomerUserID=None if who.guest else 50_000 + customer_id, CustomerGUID=guid(rng), CustomerLastModified=at,
        # Registered customers belong to no site and may buy at all of them.
        CustomerSiteID=site.id if who.guest else None, CustomerCreated=at,
    )  # fmt: skip
    address = full_row(
        ADDRESS, AddressID=ids.take(ADDRESS.name), AddressName=f"{who.first} {who.last}, {who.line1}",
        AddressLine1=who.line1,
        AddressLine2=who.line2, AddressCity=who.city, AddressZip=who.zip, AddressPhone=who.phone and who.phone[:26],
        AddressCustomerID=customer_id, AddressCountryID=who.country, AddressStateID=who.state,
        AddressPersonalName=f"{who.first} {who.last}", AddressGUID=guid(rng), AddressLastModified=at,
    )  # fmt: skip
    return Buyer(row, address, True)


def place(
    basket: Basket,
    site: Site,
    shop: Catalogue,
    buyer: Buyer,
    ids: Ids,
    moment: datetime,
    rng: Random,
    *,
    html: bool = True,
) -> tuple[OrderRows, Priced]:
    """The rows of a new order, unpaid, status New, at `moment` (aware). `html` False leaves OrderInvoice null."""
    has_tax_id = bool(buyer.row["CustomerTaxRegistrationID"])
    priced = price(basket, site, shop, state=buyer.address["AddressStateID"], has_tax_id=has_tax_id)
    order_id = ids.take(ORDER.name)
    at = stamp(moment, shop.zone)
    saved = stamp(moment + timedelta(microseconds=400), shop.zone)
    order = _order_row(priced, site, buyer, order_id, at, saved, rng)
    if html:
        order["OrderInvoice"] = invoice_html(order, priced)
    status = site.statuses["New"]
    order["OrderStatusID"] = status
    history = [
        full_row(HISTORY, OrderStatusUserID=ids.take(HISTORY.name), OrderID=order_id, ToStatusID=status, Date=saved),
    ]
    items = _item_rows(priced, order_id, ids, stamp(moment + timedelta(microseconds=100), shop.zone), rng)
    addresses = _address_rows(priced, buyer, order_id, ids, stamp(moment + timedelta(microseconds=200), shop.zone), rng)
    return OrderRows(order, items, addresses, buyer.row, history), priced


def _order_row(priced: Priced, site: Site, buyer: Buyer, order_id: int, at: str, saved: str, rng: Random) -> Row:
    basket, totals, currency = priced.basket, priced.totals, priced.currency
    total, grand = totals.total_price + basket.off_by, totals.grand_total + basket.off_by
    discount_name = basket.order_discount[0] if basket.order_discount else ""
    coupon = "<CouponCodes />"
    if basket.coupon:
        coupon = (
            f"<CouponCodes><CouponCode><Code>{basket.coupon}</Code><ValueInMainCurrency>{totals.order_discount:f}"
            "</ValueInMainCurrency><ApplicationStatus>AppliedInOrder</ApplicationStatus></CouponCode></CouponCodes>"
        )
    return full_row(
        ORDER, OrderID=order_id, OrderShippingOptionID=priced.shipping.id if priced.shipping else None,
        OrderTotalShipping=scaled(totals.shipping), OrderTotalPrice=scaled(total), OrderTotalTax=scaled(totals.tax),
        OrderDate=at if basket.year is None else f"{basket.year}{at[4:8]}15{at[10:]}", OrderCurrencyID=currency.id,
        OrderCustomerID=buyer.row["CustomerID"], OrderNote=basket.note, OrderSiteID=site.id,
        OrderPaymentOptionID=None if basket.payment is None else site.payments[basket.payment],
        # Kentico's default pattern is {%Order.OrderID%}; it arrives with the second UPDATE.
        OrderInvoiceNumber=str(order_id), OrderGUID=guid(rng), OrderLastModified=saved,
        OrderTotalPriceInMainCurrency=scaled(site.main.round(total * currency.value)),
        OrderIsPaid=rng.choice([None, None, False]), OrderCulture=site.culture,
        OrderDiscounts=summary([(discount_name, totals.order_discount)]), OrderGrandTotal=scaled(grand),
        OrderGrandTotalInMainCurrency=scaled(site.main.round(grand * currency.value)),
        OrderOtherPayments=summary((name, value.normalize()) for name, value in totals.other_payments),
        OrderTaxSummary=summary(totals.tax_summary), OrderCouponCodes=coupon, OrderPONumber=basket.po_number,
    )  # fmt: skip


def _item_rows(priced: Priced, order_id: int, ids: Ids, at: str, rng: Random) -> list[Row]:
    guids = [guid(rng) for _ in priced.lines]
    rows = []
    for own, line in zip(guids, priced.lines, strict=True):
        wanted = line.line
        rows.append(
            full_row(
                ITEM, OrderItemID=ids.take(ITEM.name), OrderItemOrderID=order_id, OrderItemSKUID=wanted.sku.id,
                OrderItemSKUName=wanted.sku.name, OrderItemUnitPrice=scaled(line.unit_price),
                OrderItemUnitCount=wanted.quantity, OrderItemGuid=own, OrderItemLastModified=at,
                OrderItemParentGuid=None if wanted.option_of is None else guids[wanted.option_of],
                OrderItemBundleGUID=None if wanted.bundle_of is None else guids[wanted.bundle_of],
                # Converted but not rounded, as Kentico does.
                OrderItemTotalPriceInMainCurrency=scaled(line.total * priced.currency.value), OrderItemText=wanted.text,
                OrderItemProductDiscounts=summary([(_named(wanted.unit_discount), line.unit_discount)]),
                OrderItemDiscountSummary=summary([(_named(wanted.free_units), line.line_discount)]),
                OrderItemTotalPrice=scaled(line.total),
            )
        )  # fmt: skip
    return rows


def _named(discount: tuple[str, Any] | None) -> str:
    return discount[0] if discount else ""


def _address_rows(priced: Priced, buyer: Buyer, order_id: int, ids: Ids, at: str, rng: Random) -> list[Row]:
    kinds = [BILLING]
    if priced.shipping is not None:
        kinds.append(SHIPPING)
    if buyer.row["CustomerCompany"]:
        kinds.append(COMPANY)
    rows = []
    for kind in kinds:
        shared = {name: buyer.address[name] for name in ORDER_ADDRESS.columns if name in buyer.address}
        own = {"AddressID": ids.take(ORDER_ADDRESS.name), "AddressGUID": guid(rng), "AddressLastModified": at}
        rows.append(full_row(ORDER_ADDRESS, **{**shared, **own, "AddressOrderID": order_id, "AddressType": kind}))
    if SHIPPING in kinds and rng.random() < 0.2:
        rows[1]["AddressLine1"], rows[1]["AddressPersonalName"] = "Parcel shop 7", "Gift for a friend"
    return rows


def invoice_html(order: Row, priced: Priced) -> str:
    """The rendered invoice that Kentico keeps in the order: heavy, and never worth shipping."""
    cell = '<td style="padding: 4px 8px 4px 8px; border-bottom: 1px solid #cccccc; font-family: Arial, sans-serif">'
    return (
        f'<table border="1" width="100%" cellpadding="0" cellspacing="0"><tr>{cell}Invoice {order["OrderID"]}</td></tr>'
        + "".join(_html_line(cell, line) for line in priced.lines)
        + f"<tr>{cell}Total {priced.totals.total_price} {priced.currency.code}</td></tr></table>"
    )


def _html_line(cell: str, line: PricedLine) -> str:
    return f"<tr>{cell}{escape(line.line.sku.name)}</td>{cell}{line.line.quantity}</td>{cell}{line.total}</td></tr>"


def generate(
    seed: int | str,
    n: int,
    *,
    new_customers: int | None = None,
    instance: str = "emea",
    site_name: str = "GoatUK",
    lines: int = 3,
    start: datetime = datetime(2026, 11, 2, 9, 0, tzinfo=UTC),
    every: timedelta = timedelta(seconds=1),
    first_order_id: int = 1001,
    full_joins: bool = False,
) -> Iterator[dict[str, Any]]:
    """n paid orders of `lines` lines as webhook events with `data`, from `new_customers` customers (default: n).

    No server and no database: for benchmarks and backfills. Events are plain JSON-ready dicts (decimals are strings).
    """
    shop = catalogue(instance)
    site = shop.sites[site_name]
    ids = Counter(start=first_order_id)
    goods = site.group("equipment", "coffee", "filters", "grinders")
    customers = max(1, min(n, n if new_customers is None else new_customers))
    buyers: list[Buyer] = []
    for number in range(n):
        rng = seeded("bulk", seed, instance, site_name, number)
        moment = start + every * number
        chosen = rng.sample(goods, lines)
        basket = Basket(
            "bulk", tuple(Line(sku, rng.choice([1, 1, 2, 3])) for sku in chosen), site.main.code,
            rng.choice(["CreditCard", "PayPal"]),
        )  # fmt: skip
        # New customers are spread over the whole run, as in a real shop's history.
        if len(buyers) * n <= number * customers and len(buyers) < customers:
            buyers.append(new_buyer(basket, site, person(rng, "any", site.country), ids, stamp(moment, shop.zone), rng))
            buyer = buyers[-1]
        else:
            buyer = rng.choice(buyers)
        rows, _ = place(basket, site, shop, buyer, ids, moment, rng, html=False)
        rows = settle(rows, "paid", site, shop.zone, ids, moment + timedelta(milliseconds=20), rng)
        yield payload.event(
            shop, site.name, "order.paid", "ecommerce.order", rows.order["OrderID"], rows.order["OrderGUID"],
            moment + timedelta(milliseconds=30), sequence=number + 1, event_id=guid(rng),
            data=payload.order_data(rows, shop, full_joins=full_joins),
        )  # fmt: skip
