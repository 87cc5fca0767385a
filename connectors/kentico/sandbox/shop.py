"""One Kentico instance at work: orders placed, paid and PUT as Kentico does it, each with its event in one commit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from connectors.kentico.sandbox import checkout, edits, payload, payouts
from connectors.kentico.sandbox.catalogue import Catalogue, Site
from connectors.kentico.sandbox.database import Database
from connectors.kentico.sandbox.errors import BadControl
from connectors.kentico.sandbox.payment import settle
from connectors.kentico.sandbox.places import NORFOLK_ISLAND, person
from connectors.kentico.sandbox.pricing import Basket, Priced
from connectors.kentico.sandbox.render import DateMode
from connectors.kentico.sandbox.rows import Buyer, OrderRows, guid, seeded, stamp
from connectors.kentico.sandbox.scenarios import BY_HAND, PAYABLE, SCENARIOS
from connectors.kentico.sandbox.schema import (
    ADDRESS,
    CUSTOMER,
    HISTORY,
    ITEM,
    ORDER,
    ORDER_ADDRESS,
    SKU,
    Row,
    Table,
)

CHANNELS = ("webhook", "hint", "zapier")
"""Whole signed aggregate; signed hint without data; unsigned flat row."""

_SETTLED = {"now": "paid", "split": "paid", "failed": "failed", "authorized": "authorized", "by_status": "by_status"}
_OUTBOX = "shop.outbox"
_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Credentials:
    """What a person configures on both sides; the defaults are for a shop on 127.0.0.1 only."""

    user: str
    password: str
    webhook_secret: str
    hint_token: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


@dataclass(frozen=True)
class Timing:
    """Seconds from an order to its payment or edit; held edits wait for `/_sandbox/release` instead."""

    pay_after: float = 5.0
    edit_after: float = 8.0
    hold_edits: bool = False


class Shop:
    """The public operations are synchronous and each is one database transaction."""

    def __init__(
        self,
        catalogue: Catalogue,
        database: Database,
        credentials: Credentials,
        clock: Callable[[], datetime],
        date_mode: DateMode = DateMode.ISO,
        full_joins: bool = False,
    ) -> None:
        self.catalogue = catalogue
        self.database = database
        self.credentials = credentials
        self.date_mode = date_mode
        self.full_joins = full_joins
        self.on_event: Callable[[], None] = lambda: None
        self.clock = clock
        self._last = datetime.min.replace(tzinfo=UTC)

    @property
    def name(self) -> str:
        """The instance's name."""
        return self.catalogue.instance

    def now(self) -> datetime:
        """The clock, but never the same moment twice: a later change must have a later LastModified."""
        self._last = max(self.clock(), self._last + timedelta(milliseconds=1))
        return self._last

    def load(self, order_id: int) -> OrderRows:
        """An order with its rows as they are now. Raises UnknownObject."""
        order = self.database.get(ORDER, order_id)
        return OrderRows(
            order,
            self.database.select(ITEM, "OrderItemOrderID = ?", [order_id]),
            self.database.select(ORDER_ADDRESS, "AddressOrderID = ?", [order_id], "AddressType"),
            self.database.get(CUSTOMER, order["OrderCustomerID"]),
            self.database.select(HISTORY, "OrderID = ?", [order_id]),
        )

    # Placing orders

    def place(self, kind: str, site_name: str, seed: object, channel: str | None, timing: Timing | None = None) -> int:
        """Place one order of a kind and queue its events (none for channel None); returns the OrderID."""
        if kind not in SCENARIOS or site_name not in self.catalogue.sites:
            raise BadControl(f"no kind {kind!r} or no site {site_name!r} in instance {self.name}")
        scenario, site = SCENARIOS[kind], self.catalogue.sites[site_name]
        # The next id is part of the seed: the same seed on a continued shop must not repeat GUIDs.
        rng = seeded(seed, self.name, site_name, self.database.peek(ORDER.name))
        basket = scenario.build(site, rng)
        with self.database.transaction():
            moment = self.now()
            buyer = self._buyer(basket, site, moment, rng)
            rows, priced = checkout.place(basket, site, self.catalogue, buyer, self.database, moment, rng)
            self._commit_checkout(rows, buyer)
            expected = scenario.expected if channel else BY_HAND
            self.database.write_truth(rows.order["OrderID"], self._truth(rows, priced, site, kind, expected, channel))
            order_id = int(rows.order["OrderID"])
            if basket.settlement in ("split", "never"):
                self._announce("order.created", order_id, channel, rng)
            if basket.settlement in _SETTLED:
                self.settle(order_id, _SETTLED[basket.settlement], rng)
                event_type = "order.paid" if basket.settlement == "split" else "order.created"
                self._announce(event_type, order_id, channel, rng)
            if scenario.follow_up is not None and channel is not None:
                self._plan(order_id, scenario.follow_up, timing or Timing())
        self.on_event()
        return order_id

    def _plan(self, order_id: int, action: str, timing: Timing) -> None:
        delay = timing.pay_after if action == "pay" else timing.edit_after
        held = timing.hold_edits and action not in edits.MONEY
        self.database.plan(order_id, action, self._last.timestamp() + delay, held)

    def plan_refund(self, order_id: int, timing: Timing, *, twice: bool = False) -> bool:
        """A part of the order, or all of it, is given back later; `twice`: a part, then the rest or another part. False
        for one of which something else is to come, and for one that has nothing to give back."""
        truth = self.database.truth(order_id)
        plain = truth["expected"] == PAYABLE and truth["paid"] and SCENARIOS[truth["kind"]].follow_up is None
        if not plain or Decimal(truth["total_price"]) < (1 if twice else _CENT):
            return False
        with self.database.transaction():
            if twice and not truth["gift_cards"]:  # which tender a second refund is of, only its sender could say
                self._plan(order_id, "refund_part", timing)
                timing = replace(timing, edit_after=1.5 * timing.edit_after)
            self._plan(order_id, "refund", timing)
        return True

    def _buyer(self, basket: Basket, site: Site, moment: datetime, rng: Random) -> Buyer:
        country = basket.country or site.country
        if basket.wish == "any" and rng.random() < 0.4:
            where = (
                "AddressCountryID = ? AND (AddressStateID IS NULL OR AddressStateID <> ?) AND AddressCustomerID IN"
                " (SELECT CustomerID FROM COM_Customer"
                " WHERE CustomerUserID IS NOT NULL AND CustomerTaxRegistrationID IS NULL)"
            )
            wanted = [country, NORFOLK_ISLAND]
            known = self.database.count(ADDRESS, where, wanted)
            if known:
                address = self.database.select(ADDRESS, where, wanted, limit=1, offset=rng.randrange(known))[0]
                return Buyer(self.database.get(CUSTOMER, address["AddressCustomerID"]), address, False)
        who = person(rng, basket.wish, country)
        return checkout.new_buyer(basket, site, who, self.database, stamp(moment, self.catalogue.zone), rng)

    def _commit_checkout(self, rows: OrderRows, buyer: Buyer) -> None:
        """Kentico's steps: the bare order, items, addresses, history, then number and status, then stock."""
        if buyer.new:
            self.database.insert(CUSTOMER, buyer.row)
            if buyer.row["CustomerUserID"] is not None:
                self.database.insert(ADDRESS, buyer.address)
        late = ("OrderInvoiceNumber", "OrderStatusID", "OrderInvoice")
        self.database.insert(ORDER, rows.order | dict.fromkeys(late))
        for item in rows.items:
            self.database.insert(ITEM, item)
        for address in rows.addresses:
            self.database.insert(ORDER_ADDRESS, address)
        for row in rows.history:
            self.database.insert(HISTORY, row)
        self.database.update(ORDER, rows.order["OrderID"], {name: rows.order[name] for name in late})
        for item in rows.items:
            sku = self.database.get(SKU, item["OrderItemSKUID"])
            if sku["SKUTrackInventory"] != "Disabled":
                stock = {"SKUAvailableItems": sku["SKUAvailableItems"] - item["OrderItemUnitCount"]}
                self.database.update(SKU, sku["SKUID"], stock | {"SKULastModified": rows.order["OrderLastModified"]})

    def _truth(
        self, rows: OrderRows, priced: Priced, site: Site, kind: str, expected: str, channel: str | None
    ) -> dict[str, Any]:
        order = rows.order
        option = next((name for name, number in site.payments.items() if number == order["OrderPaymentOptionID"]), None)
        truth = {
            "instance": self.name, "site": site.name, "store": f"{self.name}/{site.name}", "order_id": order["OrderID"],
            "order_guid": order["OrderGUID"], "invoice_number": order["OrderInvoiceNumber"], "kind": kind,
            "expected": expected,
            "channel": channel, "currency": priced.currency.code, "main_currency": site.main.code,
            "tax_mode": "inclusive" if site.inclusive else "exclusive", "paid": False, "payment_option": option,
            "customer_id": order["OrderCustomerID"], "guest": rows.customer["CustomerUserID"] is None,
            "order_date": order["OrderDate"], "lines": len(rows.items), "edited": [], "first": None,
        }  # fmt: skip
        return truth | edits.sums(priced.totals, order)

    def settle(self, order_id: int, outcome: str, rng: Random) -> None:
        """Let a payment succeed, fail or be authorized; joins the caller's transaction and tells nobody."""
        rows = self.load(order_id)
        site = self.catalogue.site_by_id(rows.order["OrderSiteID"])
        after = settle(rows, outcome, site, self.catalogue.zone, self.database, self.now(), rng)
        changes = {name: value for name, value in after.order.items() if value != rows.order[name]}
        self.database.update(ORDER, order_id, changes)
        self.database.insert(HISTORY, after.history[-1])
        truth = self.database.truth(order_id)
        truth["paid"] = outcome in ("paid", "by_status")
        self.database.write_truth(order_id, truth)

    # What happens to orders later

    def follow_up(self, order_id: int, action: str, channel: str | None = None) -> None:
        """Do one of `edits.ACTIONS` to an order and tell of it."""
        if action not in edits.ACTIONS:
            raise BadControl(f"action {action!r} is none of {', '.join(edits.ACTIONS)}")
        rng = seeded("follow up", self.name, order_id, action, self.database.peek(_OUTBOX))
        with self.database.transaction():
            event_type = edits.ACTIONS[action](self, order_id, rng)
            truth = self.database.truth(order_id)
            if action not in edits.MONEY:
                truth["edited"].append(action)
                self.database.write_truth(order_id, truth)
            self._announce(event_type, order_id, channel or truth["channel"] or "webhook", rng)
        self.on_event()

    def pay_out(self, site_name: str, option: str, currency: str) -> dict[str, Any] | None:
        """The gateway behind a payment option pays out what it has taken of the orders that were told of, and tells of
        it; None where there is nothing new."""
        if site_name not in self.catalogue.sites or option not in payouts.GATEWAYS:
            known = f"{', '.join(self.catalogue.sites)}; {', '.join(payouts.GATEWAYS)}"
            raise BadControl(f"no site {site_name!r} or no gateway behind {option!r} in instance {self.name}: {known}")
        mine = {"site": site_name, "payment_option": option, "currency": currency, "paid": True}
        with self.database.transaction():
            before = self.database.payouts()
            rng = seeded("payout", self.name, site_name, option, currency, len(before))
            told = payouts.payout(
                (t for t in self.database.truths() if t["channel"] and all(t[name] == mine[name] for name in mine)),
                (one["settlement"] for one in before if (one["site"], one["option"]) == (site_name, option)),
                len(before) + 1, stamp(self.now(), self.catalogue.zone), rng,
            )  # fmt: skip
            if told is None:
                return None
            told = {"gateway": payouts.GATEWAYS[option], **told}
            paid = {"instance": self.name, "site": site_name, "option": option, "settlement": told}
            self.database.write_payout(paid)
            sequence = self.database.take(_OUTBOX)
            event_id = str(UUID(int=seeded("event", self.name, sequence, None).getrandbits(128), version=4))
            event = payload.event(
                self.catalogue, site_name, payouts.EVENT, payouts.OBJECT, len(before) + 1, None, self.now(),
                sequence=sequence, event_id=event_id, data={"settlement": told},
            )  # fmt: skip
            body = json.dumps(event, ensure_ascii=False)
            self.database.post(sequence, "events", event_id, payouts.EVENT, len(before) + 1, body)
        self.on_event()
        return paid

    # Changes from outside, and of master data

    def put(self, table: Table, row_id: int, changes: Mapping[str, Any]) -> Row:
        """A partial update through REST: LastModified moves, a new status leaves history, an order's save tells."""
        rng = seeded("put", self.name, table.name, row_id, self.database.peek(_OUTBOX))
        with self.database.transaction():
            before = self.database.get(table, row_id)
            at = stamp(self.now(), self.catalogue.zone)
            written = dict(changes) | ({table.modified: at} if table.modified else {})
            event_type = "order.updated"
            status = changes.get("OrderStatusID", before.get("OrderStatusID"))
            if table is ORDER and status != before["OrderStatusID"]:
                event_type = "order.status_changed"
                if status is not None and self.catalogue.find("ecommerce.orderstatus", status)["StatusOrderIsPaid"]:
                    event_type = event_type if before["OrderIsPaid"] else "order.paid"
                    written["OrderIsPaid"] = True
                history_id = self.database.take(HISTORY.name)
                row = {"OrderStatusUserID": history_id, "OrderID": row_id, "FromStatusID": before["OrderStatusID"]}
                self.database.insert(HISTORY, row | {"ToStatusID": status, "Date": at})
            self.database.update(table, row_id, written)
            if table is ORDER:
                truth = self.database.truth(row_id)
                self._announce(event_type, row_id, truth["channel"] or "webhook", rng)
        self.on_event()
        return self.database.get(table, row_id)

    def change_customer(self, rng: Random) -> int | None:
        """Some registered customer moves house; None while there is none. Queues customer.updated."""
        known = self.database.count(ADDRESS)
        if not known:
            return None
        with self.database.transaction():
            address = self.database.select(ADDRESS, limit=1, offset=rng.randrange(known))[0]
            at = stamp(self.now(), self.catalogue.zone)
            line = f"{rng.randrange(1, 300)} Harbour View"
            self.database.update(ADDRESS, address["AddressID"], {"AddressLine1": line, "AddressLastModified": at})
            customer_id = int(address["AddressCustomerID"])
            self.database.update(
                CUSTOMER, customer_id, {"CustomerPhone": "+44 20 7946 0999", "CustomerLastModified": at}
            )
            customer = self.database.get(CUSTOMER, customer_id)
            # Address-book rows are no order addresses (they have no AddressType), so they stay at home.
            self._post("customer.updated", CUSTOMER, customer, None, {"customer": payload.plain(customer)})
        self.on_event()
        return customer_id

    def change_product(self, rng: Random) -> int:
        """A product gets a new description; queues product.updated. Mere stock changes are never sent."""
        with self.database.transaction():
            sites = list(self.catalogue.sites.values())
            sku = rng.choice(rng.choice(sites).group("equipment", "coffee"))
            at = stamp(self.now(), self.catalogue.zone)
            text = f"{sku.name}, new season"
            self.database.update(SKU, sku.id, {"SKUShortDescription": text, "SKULastModified": at})
            row = self.database.get(SKU, sku.id)
            self._post("product.updated", SKU, row, row["SKUSiteID"], {"sku": payload.plain(row)})
        self.on_event()
        return sku.id

    # Events

    def _announce(self, event_type: str, order_id: int, channel: str | None, rng: Random) -> None:
        """Queue what the shop tells of an order: the aggregate as it is at this moment, or only that it changed."""
        if channel is None:
            return
        rows = self.load(order_id)
        if event_type == edits.REFUNDED:  # a hint could not tell of it: whoever reads the order would not find it
            refund = self.database.truth(order_id)["refunds"][-1]
            data = self.order_data(rows) | {"refund": refund}
            self._post(event_type, ORDER, rows.order, rows.order["OrderSiteID"], data)
            return
        if channel == "zapier":
            # The Zapier module knows rows, not orders: sometimes it is an item that tells of the change.
            table, row = (ITEM, rows.items[0]) if rng.random() < 0.3 else (ORDER, rows.order)
            sequence = self.database.take(_OUTBOX)
            body = json.dumps(payload.flat_row(table, row), ensure_ascii=False)
            self.database.post(sequence, "hints", guid(rng), event_type, order_id, body)
            return
        whole = self.order_data(rows) if channel == "webhook" else None
        self._post(event_type, ORDER, rows.order, rows.order["OrderSiteID"], whole)

    def order_data(self, rows: OrderRows) -> dict[str, Any]:
        """The whole order as the sender joins it, with the SKU rows of this moment."""
        ids = sorted({int(item["OrderItemSKUID"]) for item in rows.items})
        marks = ", ".join("?" * len(ids))
        skus = {row["SKUID"]: row for row in self.database.select(SKU, f"SKUID IN ({marks})", list(ids))}
        return payload.order_data(rows, self.catalogue, skus, full_joins=self.full_joins)

    def envelope(
        self, event_type: str, table: Table, row: Row, site_id: int | None, data: dict[str, Any] | None
    ) -> dict[str, Any]:
        """A numbered event about a row, not queued."""
        sequence = self.database.take(_OUTBOX)
        site_name = None if site_id is None else self.catalogue.site_by_id(site_id).name
        object_guid = row[table.guid] if table.guid else None
        event_id = str(UUID(int=seeded("event", self.name, sequence, object_guid).getrandbits(128), version=4))
        return payload.event(
            self.catalogue, site_name, event_type, table.name, row[table.id], object_guid, self.now(),
            sequence=sequence,
            event_id=event_id, data=data,
        )  # fmt: skip

    def _post(self, event_type: str, table: Table, row: Row, site_id: int | None, data: dict[str, Any] | None) -> None:
        event = self.envelope(event_type, table, row, site_id, data)
        body = json.dumps(event, ensure_ascii=False)
        self.database.post(event["sequence"], "events", event["eventId"], event_type, row[table.id], body)
