"""Polling on a real broker and the sandbox shop: every change comes once, whatever is edited, killed or broken."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from connectors.kentico.bringing import Bringer
from connectors.kentico.cursors import Cursors
from connectors.kentico.errors import RestDenied, RestError, RestUnavailable, RestUnreadable
from connectors.kentico.lookups import Lookups
from connectors.kentico.poll import Poll
from connectors.kentico.poller import run_poller
from connectors.kentico.reading import Reading
from connectors.kentico.rest import KenticoRest
from connectors.kentico.sandbox.render import DateMode
from connectors.kentico.sandbox.rest import Fault
from connectors.kentico.sandbox.rows import stamp
from connectors.kentico.sandbox.schema import CUSTOMER, ITEM, ORDER, ORDER_ADDRESS, SKU
from connectors.kentico.sandbox.server import Sandbox
from connectors.kentico.sandbox.shop import Shop
from connectors.kentico.settings import InstanceSettings, PollerSettings, PollSettings
from k2x.audit.log import read_to_end
from schemas import topics
from tests.connectors.kentico.conftest import Broker, utc_now
from tests.connectors.kentico.rig import COLUMNS, counted, instance, running, until

pytestmark = pytest.mark.kafka


@dataclass
class Clock:
    """Kentico's and ours; it goes on by itself a little, so that no two changes share a moment."""

    at: datetime

    def __call__(self) -> datetime:
        self.at += timedelta(milliseconds=2)
        return self.at


class Look:
    """One instance's polling, a look at a time; `fresh` is the same after a restart."""

    def __init__(self, broker: Broker, sandbox: Sandbox, clock: Clock, page: int = 1000, **polling: Any) -> None:
        self.broker = broker
        self.sandbox = sandbox
        self.clock = clock
        self.settings = PollSettings(**polling)
        self.known = instance(sandbox, "emea", page=page, poll=self.settings)
        self.stop = asyncio.Event()
        self.rest: KenticoRest
        self.poll: Poll

    async def fresh(self, grace_s: float = 30.0) -> Look:
        """What was remembered is only what is on Kafka."""
        records = {m.key() or b"": m.value() or b"" for m in read_to_end(self.broker.conf, [topics.CURSORS])}
        assert self.known.rest is not None
        self.rest = KenticoRest("emea", self.known.rest)
        cursors = Cursors("emea", self.known.zone, self.broker.codec)
        settings = PollerSettings(instances=(self.known,), grace_s=grace_s)
        deliver = self.broker.deliverer()
        reading = Reading(self.rest, Lookups(self.rest, 300), self.known)
        bringer = Bringer(
            self.known, self.broker.codec, deliver, self.clock, reading, 950_000, component="poller", remembers=True
        )
        self.poll = Poll(
            self.known,
            self.settings,
            settings,
            self.rest,
            bringer,
            cursors,
            deliver,
            self.clock,
            cursors.state(records),
        )
        return self

    async def __call__(self) -> int:
        """One look; how many requests it took."""
        before = self.rest.calls
        await self.poll.cycle(self.stop)
        return self.rest.calls - before

    @property
    def orders(self) -> list[dict[str, Any]]:
        return self.broker.everything(topics.ORDERS)

    @property
    def ids(self) -> list[int]:
        return sorted(order["order"]["OrderID"] for order in self.orders)


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> Clock:
    """At noon, or where the test's parameter puts it."""
    return Clock(datetime.fromisoformat(getattr(request, "param", "2026-11-02T12:00:00+00:00")))


@pytest.fixture
async def shop_server(tmp_path: Path, clock: Clock) -> AsyncIterator[Sandbox]:
    server = Sandbox(tmp_path / "shop", clock=clock)
    await server.start()
    await server.trade.stop()  # nothing happens to orders but what a test does
    yield server
    await server.stop()


@pytest.fixture
async def look(broker: Broker, shop_server: Sandbox, clock: Clock) -> AsyncIterator[Look]:
    made = await Look(broker, shop_server, clock).fresh()
    yield made
    await made.rest.close()


@pytest.fixture
def shop(shop_server: Sandbox) -> Shop:
    return shop_server.shops["emea"]


def place(shop: Shop, count: int, kind: str = "plain") -> list[int]:
    site = next(iter(shop.catalogue.sites))
    return [shop.place(kind, site, f"{kind}{n}", None) for n in range(count)]


async def test_polling_begins_now_and_brings_each_change_once(look: Look, shop: Shop) -> None:
    place(shop, 3)
    await look()
    assert look.orders == [], "what was there before is a backfill's"
    first, second, third = place(shop, 3)
    await look()
    assert look.ids == [first, second, third]
    # Kentico deletes and inserts the items; the order's own row and stamp stay as they were.
    before_edit = shop.database.get(ORDER, first)["OrderLastModified"]
    shop.follow_up(first, "edit_item_text", "hint")
    assert shop.database.get(ORDER, first)["OrderLastModified"] == before_edit
    shop.follow_up(second, "edit_address", "hint")
    await look()
    shop.follow_up(third, "edit_note", "hint")
    await look()
    assert look.ids == sorted([first, second, third] * 2)
    for order_id in (first, second, third):
        before, after = (o for o in look.orders if o["order"]["OrderID"] == order_id)
        assert after["version"] > before["version"]
    texts = {o["items"][0]["OrderItemText"] for o in look.orders if o["order"]["OrderID"] == first}
    assert len(texts) == 2
    order = look.orders[0]
    assert (order["source"], order["event_type"], order["site_name"]) == ("REST", "order.updated", "GoatUK")
    assert order["order"]["OrderTotalPrice"] == Decimal(shop.database.truth(order["order"]["OrderID"])["total_price"])


async def test_a_look_at_a_quiet_shop_is_five_requests_and_writes_nothing(look: Look, shop: Shop) -> None:
    await look()
    place(shop, 4)
    look.clock.at += timedelta(minutes=1)
    await look()
    cursors = len(look.broker.everything(topics.CURSORS))
    requests = []
    for _ in range(3):
        look.clock.at += timedelta(minutes=1)
        requests.append(await look())
    assert requests == [5, 5, 5]
    assert len(look.broker.everything(topics.CURSORS)) == cursors
    assert len(look.orders) == 4


async def test_a_hundred_new_orders_cost_eleven_requests(look: Look, shop: Shop) -> None:
    await look()
    place(shop, 1)
    await look()
    place(shop, 99)
    assert await look() <= 12
    assert len(look.orders) == 100


async def test_customers_come_with_their_orders_or_alone_and_stock_is_no_change(look: Look, shop: Shop) -> None:
    await look()
    customers, products = topics.CUSTOMERS, topics.PRODUCTS
    (order_id,) = place(shop, 1, "guest")
    await look()
    assert look.broker.everything(customers) == [], "the order brought its customer"
    who = shop.database.get(ORDER, order_id)["OrderCustomerID"]
    shop.put(CUSTOMER, who, {"CustomerPhone": "+44 20 7946 0123"})
    sold = shop.database.select(ITEM, "OrderItemOrderID = ?", [order_id])[0]["OrderItemSKUID"]
    shop.put(SKU, sold, {"SKUAvailableItems": 3})
    await look()
    (changed,) = look.broker.everything(customers)
    assert changed["customer"]["CustomerPhone"] == "+44 20 7946 0123"
    assert look.broker.everything(products) == [], "a stock movement is no news"
    shop.put(SKU, sold, {"SKUName": "Another name", "SKUAvailableItems": 2})
    await look()
    (product,) = look.broker.everything(products)
    assert (product["SKUID"], product["SKUName"]) == (sold, "Another name")
    again = await Look(look.broker, look.sandbox, look.clock).fresh()
    shop.put(SKU, sold, {"SKUAvailableItems": 1})
    await again()
    await again.rest.close()
    assert len(look.broker.everything(products)) == 1, "that is remembered over a restart"


async def test_a_customers_change_is_told_though_an_order_of_his_is_read_again_then(look: Look, shop: Shop) -> None:
    """The order has the same money, so the sink leaves it alone: his own record changes the contact."""
    await look()
    (order_id,) = place(shop, 1, "guest")
    await look()
    who = shop.database.get(ORDER, order_id)["OrderCustomerID"]
    look.clock.at += timedelta(minutes=1)
    shop.put(CUSTOMER, who, {"CustomerPhone": "+44 20 7946 0123"})
    shop.put(ORDER, order_id, {"OrderXeroStatus": "PAID"})
    await look()
    (changed,) = look.broker.everything(topics.CUSTOMERS)
    assert changed["customer"]["CustomerPhone"] == "+44 20 7946 0123"
    await look()
    assert len(look.broker.everything(topics.CUSTOMERS)) == 1


async def test_a_restart_goes_on_where_it_stopped_and_repeats_nothing(look: Look, shop: Shop) -> None:
    await look()
    before = place(shop, 5)
    await look()
    meanwhile = place(shop, 5)
    shop.follow_up(before[0], "edit_item_text", "hint")
    look.clock.at += timedelta(hours=30)
    again = await Look(look.broker, look.sandbox, look.clock).fresh()
    await again()
    await again()
    await again.rest.close()
    assert look.ids == sorted([*before, before[0], *meanwhile])


async def test_many_rows_of_one_moment_are_paged_through(broker: Broker, shop_server: Sandbox, clock: Clock) -> None:
    """A job that updates every order in one statement gives all of them the same stamp."""
    shop = shop_server.shops["emea"]
    look = await Look(broker, shop_server, clock, page=10).fresh()
    await look()
    ids = place(shop, 35)
    await look()
    day = shop.database.get(ORDER, ids[-1])["OrderLastModified"][:11]
    clock.at += timedelta(hours=1)
    for order_id in ids:
        shop.database.update(ORDER, order_id, {"OrderNote": "rewritten", "OrderLastModified": f"{day}23:59:00.0000000"})
    clock.at += timedelta(days=1)
    await look()
    await look.rest.close()
    assert look.ids == sorted(ids * 2)


@pytest.mark.parametrize("mode", ["iso", "iso-offset", "msdate"])
@pytest.mark.parametrize("clock", ["2026-10-25T00:10:00+00:00"], indirect=True)  # 01:10 British Summer Time
async def test_the_night_the_clocks_go_back_loses_nothing(look: Look, shop: Shop, clock: Clock, mode: str) -> None:
    shop.date_mode = DateMode(mode)
    await look()
    written: dict[int, datetime] = {}
    for minutes in (20, 48, 25, 30, 20, 60):  # 01:30, 02:18 → 01:18, 01:43, 02:13, 02:33, 03:33
        clock.at += timedelta(minutes=minutes)
        (order_id,) = place(shop, 1)
        written[order_id] = clock.at
        clock.at += timedelta(seconds=20)
        await look()
    assert look.ids == sorted(written)
    for order in look.orders:
        assert abs(order["version"] - written[order["order"]["OrderID"]]) < timedelta(seconds=5)


@pytest.mark.parametrize("clock", ["2026-03-29T00:50:00+00:00"], indirect=True)
async def test_the_night_the_clocks_go_forward_and_a_stamp_that_no_clock_showed(
    look: Look, shop: Shop, clock: Clock
) -> None:
    await look()
    ids = []
    for minutes in (5, 8, 30):
        clock.at += timedelta(minutes=minutes)
        ids += place(shop, 1)
        await look()
    (odd,) = place(shop, 1)
    shop.database.update(ORDER, odd, {"OrderLastModified": "2026-03-29T01:30:00.0000000"})
    await look()
    assert look.ids == sorted([*ids, odd])


async def test_what_was_stamped_before_and_committed_after_a_look_is_found(look: Look, shop: Shop) -> None:
    await look()
    early = look.clock()
    place(shop, 1)
    await look()
    look.clock.at += timedelta(minutes=1)
    (late,) = place(shop, 1)
    written = stamp(early, shop.catalogue.zone)
    shop.database.update(ORDER, late, {"OrderLastModified": written})
    await look()
    assert late in look.ids


async def test_a_stamp_of_the_far_future_stops_nothing(look: Look, shop: Shop) -> None:
    await look()
    (odd,) = place(shop, 1)
    shop.database.update(ORDER, odd, {"OrderLastModified": "2099-01-01T00:00:00.0000000"})
    await look()
    later = place(shop, 2)
    await look()
    await look()
    assert look.ids == later
    (letter,) = look.broker.letters(topics.CHANGES)
    assert "2099-01-01 00:00 UTC, more than 1 day(s) ahead" in letter["__connect.errors.exception.message"]
    shop.put(ORDER, odd, {"OrderNote": "saved again, so stamped anew"})
    await look()
    assert look.ids == sorted([odd, *later])


async def test_deleted_orders_are_told_of_and_so_is_one_that_was_missed(
    broker: Broker, shop_server: Sandbox, clock: Clock, shop: Shop
) -> None:
    look = await Look(broker, shop_server, clock, page=10, sweep_s=1e-6).fresh()
    await look()
    ids = place(shop, 40)
    await look()
    shop.database.delete(ORDER, ids[3])
    # Its stamp says last year: no look at modification times could have met it.
    (missed,) = place(shop, 1)
    shop.database.update(ORDER, missed, {"OrderLastModified": "2025-01-01T00:00:00.0000000"})
    (newest,) = place(shop, 1)
    with shop.database.transaction():
        for item in shop.database.select(ITEM, "OrderItemOrderID = ?", [missed]):
            shop.database.update(ITEM, item["OrderItemID"], {"OrderItemLastModified": "2025-01-01T00:00:00.0000000"})
        for address in shop.database.select(ORDER_ADDRESS, "AddressOrderID = ?", [missed]):
            shop.database.update(
                ORDER_ADDRESS, address["AddressID"], {"AddressLastModified": "2025-01-01T00:00:00.0000000"}
            )
    for _ in range(6):  # one deleted and one missed: the count is right, so it is their page's turn that shows them
        await look()
    (gone,) = [order for order in look.orders if order["deleted"]]
    assert (gone["order"]["OrderID"], gone["site_name"], gone["event_type"]) == (ids[3], "GoatUK", "order.deleted")
    assert sorted(look.ids) == sorted([*ids, ids[3], missed, newest])
    await look.rest.close()


async def test_a_database_that_lost_many_orders_is_not_believed(
    broker: Broker, shop_server: Sandbox, clock: Clock, shop: Shop
) -> None:
    look = await Look(broker, shop_server, clock, sweep_s=1e-6, most_deletions=2).fresh()
    await look()
    ids = place(shop, 6)
    await look()
    for order_id in ids[:3]:
        shop.database.delete(ORDER, order_id)
    await look()
    assert not [order for order in look.orders if order["deleted"]]
    more = await Look(broker, shop_server, clock, sweep_s=1e-6, most_deletions=3).fresh()
    await more()
    assert sorted(o["order"]["OrderID"] for o in look.orders if o["deleted"]) == ids[:3]
    await look.rest.close()
    assert await more() == 7, "a sweep that finds nothing is two requests"
    await more.rest.close()


async def test_a_half_written_order_is_awaited_and_then_told_as_it_is(look: Look, shop: Shop) -> None:
    await look()
    whole, broken = place(shop, 2)
    held = {}
    for order_id in (whole, broken):
        held[order_id] = shop.database.select(ITEM, "OrderItemOrderID = ?", [order_id])
        for item in held[order_id]:
            shop.database.delete(ITEM, item["OrderItemID"])
    await look()
    assert look.orders == []
    for item in held[whole]:
        shop.database.insert(ITEM, item)
    again = await Look(look.broker, look.sandbox, look.clock).fresh()
    await again()
    assert look.ids == [whole]
    look.clock.at += timedelta(seconds=31)
    await again()
    assert look.ids == [whole, broken]
    await again.rest.close()


async def test_bad_values_are_dead_letters_that_a_redrive_can_read_and_the_rest_flows(look: Look, shop: Shop) -> None:
    await look()
    good, xml, date, orphan = place(shop, 4)
    shop.database.update(ORDER, xml, {"OrderTaxSummary": "<Summary><Item>"})
    shop.database.update(ORDER, date, {"OrderDate": "not a date"})
    item = shop.database.select(ITEM, "OrderItemOrderID = ?", [orphan])[0]
    fresh = {"OrderItemID": shop.database.take(ITEM.name), "OrderItemOrderID": None}
    shop.database.insert(ITEM, item | fresh)
    await look()
    await look()
    assert look.ids == sorted([good, orphan])
    letters = {letter["key"]: letter for letter in look.broker.letters(topics.CHANGES)}
    assert {key: letter["x-error-code"] for key, letter in letters.items()} == {
        f"emea|ecommerce.order|{xml}": "unreadable_field",
        f"emea|ecommerce.order|{date}": "unreadable_field",
        "emea|ecommerce.order|0": "unreadable_row",
    }
    assert "order.OrderDate" in letters[f"emea|ecommerce.order|{date}"]["__connect.errors.exception.message"]
    assert str(fresh["OrderItemID"]) in letters["emea|ecommerce.order|0"]["__connect.errors.exception.message"]
    assert letters[f"emea|ecommerce.order|{xml}"]["__connect.errors.topic"] == topics.CHANGES
    hints = look.broker.everything(topics.dead_letter(topics.CHANGES))
    assert {(h["object_type"], h["event_type"]) for h in hints} == {("ecommerce.order", "order.updated")}
    shop.put(ORDER, xml, {"OrderTaxSummary": "<Summary />"})
    await look()
    assert xml in look.ids, "mended in Kentico, it comes by itself"


FAULTS: dict[str, type[RestError]] = {
    "error503": RestUnavailable,
    "error500": RestUnavailable,
    "cut": RestUnavailable,
    "cut_body": RestUnavailable,
    "unauthorized": RestDenied,
    "broken_json": RestUnreadable,
}


@pytest.mark.parametrize(
    ("kind", "where"),
    [(kind, "ecommerce.orderitem") for kind in FAULTS]
    + [("error503", "ecommerce.order/"), ("broken_json", "cms.site")],
)
async def test_the_mark_never_passes_what_could_not_be_read(look: Look, shop: Shop, kind: str, where: str) -> None:
    await look()
    before = look.broker.everything(topics.CURSORS)
    ids = place(shop, 3)
    fault = Fault(kind, match=where)
    look.sandbox.rest.faults.append(fault)
    with pytest.raises(FAULTS[kind]):
        await look()
    assert look.orders == []
    assert look.broker.everything(topics.CURSORS) == before
    look.sandbox.rest.faults.remove(fault)
    again = await Look(look.broker, look.sandbox, look.clock).fresh()
    await again()
    await again.rest.close()
    assert look.ids == ids


async def test_products_that_cannot_be_scanned_are_left_out_and_orders_come(look: Look, shop: Shop) -> None:
    await look()
    genuine = look.sandbox.rest._list

    def refuses(of: Any, table: Any, scope: Any, site_id: Any, query: dict[str, str]) -> Any:
        if "SKULastModified" in query.get("where", ""):
            return web.Response(status=400)
        return genuine(of, table, scope, site_id, query)

    look.sandbox.rest._list = refuses  # type: ignore[assignment,method-assign]
    ids = place(shop, 1)
    shop.change_product(Random(1))
    await look()
    assert look.ids == ids
    assert look.broker.everything(topics.PRODUCTS) == []
    left_out = {"instance": "emea", "what": "ecommerce.sku"}
    assert counted("k2x_poller_left_out", **left_out) == 1
    look.sandbox.rest._list = genuine  # type: ignore[method-assign]
    await look()
    assert len(look.broker.everything(topics.PRODUCTS)) == 1
    assert counted("k2x_poller_left_out", **left_out) == 0


async def test_a_service_that_ignores_the_condition_is_refused_not_followed(
    broker: Broker, shop_server: Sandbox, clock: Clock, shop: Shop
) -> None:
    look = await Look(broker, shop_server, clock, page=10).fresh()
    await look()
    place(shop, 15)
    genuine = shop_server.rest._list

    def deaf(of: Any, table: Any, scope: Any, site_id: Any, query: dict[str, str]) -> Any:
        heard = {k: v for k, v in query.items() if k != "where" or "LastModified" not in v}
        return genuine(of, table, scope, site_id, heard)

    shop_server.rest._list = deaf  # type: ignore[assignment,method-assign]
    with pytest.raises(RestUnreadable, match="not asked for"):
        await look()
    await look.rest.close()


async def test_our_own_write_back_is_no_change(look: Look, shop: Shop) -> None:
    await look()
    (order_id,) = place(shop, 1)
    await look()
    shop.put(ORDER, order_id, {"OrderXeroStatus": "PAID", "OrderXeroInvoiceID": "1"})
    await look()
    assert len(look.orders) == 1
    assert {"OrderXeroStatus"} <= COLUMNS
    shop.put(ORDER, order_id, {"OrderNote": "ring twice"})
    await look()
    assert len(look.orders) == 2
    # Touched and otherwise as it was: it is told, since somebody else may have told of what was in between.
    shop.put(ORDER, order_id, {"OrderNote": "ring twice"})
    await look()
    assert len(look.orders) == 3


@pytest.mark.parametrize(
    "zones",
    [
        ("Europe/London", "America/Los_Angeles", "Europe/London"),
        ("Pacific/Auckland", "America/Los_Angeles", "Pacific/Auckland"),
    ],
)
async def test_a_time_zone_that_is_configured_wrongly_and_then_corrected_loses_nothing(
    broker: Broker, shop_server: Sandbox, clock: Clock, shop: Shop, zones: tuple[str, ...]
) -> None:
    ids = []
    for zone in zones:
        look = Look(broker, shop_server, clock)
        look.known = InstanceSettings(**{**look.known.model_dump(), "name": "emea", "time_zone": zone})
        await look.fresh()
        await look()
        for minutes in (1, 30, 300):
            clock.at += timedelta(minutes=minutes)
            ids += place(shop, 1)
            await look()
        await look.rest.close()
    assert set(look.ids) == set(ids), "rows may be met again, none may be missed"


# The process


def poller(broker: Broker, *instances: InstanceSettings) -> Callable[[asyncio.Event], Any]:
    chosen = PollerSettings(instances=instances, group_id=broker.group("poller"), outage_pause_s=0.05)
    return lambda stop: run_poller(chosen, broker.conf, broker.codec, broker.deliverer(), stop, utc_now)


def begun(broker: Broker, names: set[str]) -> bool:
    return {c["instance"] for c in broker.everything(topics.CURSORS) if c["marks"]} >= names


async def test_the_process_polls_every_instance_and_a_second_one_takes_over(broker: Broker, sandbox: Sandbox) -> None:
    polling = PollSettings(every_s=0.1)
    both = [instance(sandbox, name, poll=polling) for name in ("emea", "apac")]
    async with running(poller(broker, *both)):
        await until(lambda: begun(broker, {"emea", "apac"}), 60, every=0.3)
        async with running(poller(broker, *both)):
            shop = sandbox.shops["apac"]
            ids = [shop.place("plain", next(iter(shop.catalogue.sites)), n, None) for n in range(3)]
            await until(lambda: len(broker.everything(topics.ORDERS)) >= 3, 60, every=0.3)
    async with running(poller(broker, *both)):
        ids += place(sandbox.shops["emea"], 3)
        await until(lambda: len(broker.everything(topics.ORDERS)) >= 6, 60, every=0.3)
    found = [order["order"]["OrderID"] for order in broker.everything(topics.ORDERS)]
    assert sorted(found) == sorted(ids)


async def test_killed_in_mid_flow_it_leaves_no_gap_and_repeats_only_versions(broker: Broker, sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    known = instance(sandbox, "emea", page=20, poll=PollSettings(every_s=0.05))
    async with running(poller(broker, known)):
        await until(lambda: begun(broker, {"emea"}), 60, every=0.3)
    ids = place(shop, 120)
    sandbox.rest.faults.append(Fault("slow", seconds=0.03))
    for seen in (1, 40):
        task = asyncio.create_task(poller(broker, known)(asyncio.Event()))
        await until(lambda seen=seen: len(broker.everything(topics.ORDERS)) >= seen, 60, every=0.3)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    async with running(poller(broker, known)):
        await until(
            lambda: {o["order"]["OrderID"] for o in broker.everything(topics.ORDERS)} == set(ids), 60, every=0.3
        )
    versions = {(o["order"]["OrderID"], o["version"]) for o in broker.everything(topics.ORDERS)}
    assert len(versions) == len(ids)
