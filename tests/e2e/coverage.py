"""A shop for each way in, all feeding one Xero organisation: what is done in the shop, and how it ends in Xero.
A second store of each feeds another organisation, with one invoice a day.

The shops, receiver, reader, poller, CDC and write-back run in the test's own loop; streams, the sink and Xero's sandbox
are processes. Each shop is a Kentico installation of its own, read and told of in one way only.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml

from connectors.kentico.cdc import run_cdc
from connectors.kentico.poller import run_poller
from connectors.kentico.reader import run_reader
from connectors.kentico.receiver import Receiver, run_receiver
from connectors.kentico.sandbox import payload
from connectors.kentico.sandbox.cdc import Capture
from connectors.kentico.sandbox.places import UNITED_KINGDOM
from connectors.kentico.sandbox.schema import CUSTOMER, ITEM, ORDER, SKU, Row, Table
from connectors.kentico.sandbox.server import Sandbox
from connectors.kentico.sandbox.shop import Shop
from connectors.kentico.sandbox.storeapi import CLIENT_ID, CLIENT_SECRET
from connectors.kentico.writeback import run_writeback
from connectors.xero.sandbox.chart import demo_client_id, demo_client_secret
from k2x import kafka_topics, wiring
from k2x.audit.log import read_to_end
from k2x.config import load
from k2x.publish import publish_rules
from k2x.settings import Settings
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer
from schemas.ids import CommittedIds
from tests.bench.rig import free_port

SITE, DAILY_SITE = "GoatUK", "GoatDE"
ORGS = {SITE: "uk", DAILY_SITE: "de"}
CODEC = Codec(CommittedIds())
SOURCES = ("webhook", "hint", "poll", "cdc", "outbox", "storeapi", "xwebhook", "xpoll")
XPERIENCE = frozenset({"xwebhook", "xpoll"})
TELLING = frozenset({"webhook", "outbox", "xwebhook"})
"""They carry whole events, so they can say what Kentico keeps nowhere."""
REFUNDED = "5.00"
_WRITE_BACK = {"number": "OrderXeroInvoiceNumber", "status": "OrderXeroStatus"}
_SECRET = "the secret of every shop here"
_PATIENCE_S = float(os.environ.get("COVERAGE_PATIENCE_S", "180"))  # the machine may be busy


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Source:
    """One way in: its shop, and how that shop tells of changes."""

    name: str
    number: int
    server: Sandbox
    tell: Callable[[str, Table, Row, dict[str, Any] | None], Awaitable[None]]
    orders: dict[str, int] = field(default_factory=dict)
    renamed: int = 0

    @property
    def shop(self) -> Shop:
        return self.server.shops["emea"]

    async def changed(self, event_type: str, order_id: int) -> None:
        """The sender's word on an order; the sources that look by themselves need none."""
        rows = self.shop.load(order_id)
        await self.tell(event_type, ORDER, rows.order, self.shop.order_data(rows))


def _secret(org: str) -> str:
    return f"COVERAGE_XERO_{org.upper()}"


def _taxed(shop: Shop, order_id: int) -> bool:
    """Whether some of its goods are taxed. In Xperience an order of zero-rated goods alone, with taxed shipping, looks
    like one that a migration left without rates, and is refused."""
    skus = [item["OrderItemSKUID"] for item in shop.load(order_id).items]
    classes = [shop.catalogue.tax_class_of(shop.catalogue.find("ecommerce.sku", sku)) for sku in skus]
    return any(c is not None and shop.catalogue.rate(c, UNITED_KINGDOM, None, False) for c in classes)


class Coverage:
    """Everything up, in `open`; `close` ends it."""

    def __init__(self, bootstrap: str, home: Path) -> None:
        self.kafka = {"bootstrap.servers": bootstrap}
        self.home = home
        self.sources: dict[str, Source] = {}
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._captures: list[Capture] = []
        self._deliverer = Deliverer({**self.kafka, "log_level": 0})
        self._xero_port, self._receiver_port = free_port(), free_port()
        self._xero = f"http://127.0.0.1:{self._xero_port}"
        self._client = httpx.AsyncClient(timeout=30)

    # -- up and down --------------------------------------------------------------------------------------------

    async def open(self) -> None:
        os.environ.update(
            {"COVERAGE_SECRET": _SECRET} | {_secret(org): demo_client_secret(org) for org in ORGS.values()}
        )
        self._start("xero", "-m", "connectors.xero.sandbox", "--port", str(self._xero_port), "--minute-limit", "3000")
        for number, name in enumerate(SOURCES):
            server = Sandbox(self.home / name)
            await server.start()
            await server.trade.stop()  # nothing happens but what the test does
            shop = server.shops["emea"]
            shop.catalogue = dataclasses.replace(shop.catalogue, instance=name)
            shop.credentials = dataclasses.replace(shop.credentials, webhook_secret=_SECRET, password=_SECRET)
            self.sources[name] = Source(name, number, server, self._teller(name, shop, server))
        for name, outbox in (("cdc", None), ("outbox", "outbox.event.order")):
            shop = self.sources[name].shop
            capture = Capture(shop.database, shop.clock, self.kafka["bootstrap.servers"], prefix=name, outbox=outbox)
            await asyncio.to_thread(capture.start)
            self._captures.append(capture)
        settings = self._configured()
        kafka_topics.apply(self.kafka, settings.organisations, 2, 1)
        publish_rules(settings, self.kafka, CODEC, by="test")
        for name in ("streams", "sink"):
            config = str(self.home / "k2x.yaml")
            self._start(name, "-m", "k2x", "run", name, "--config", config, "--log-level", "warning")
        await self._until("Xero's sandbox answers", self._answers)
        self._run(settings)
        # What a shop sold before polling began is a backfill's, not the poller's.
        await self._until("polling has begun", self._polling)

    async def close(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for capture in self._captures:
            await asyncio.to_thread(capture.stop)
        for source in self.sources.values():
            await source.server.stop()
        await self._client.aclose()
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._deliverer.close()

    def _run(self, settings: Settings) -> None:
        serving = wiring.receiver(settings).model_copy(update={"port": self._receiver_port})
        receiver = Receiver(serving, CODEC, self._deliverer, utc_now)
        reader = wiring.reader(settings).model_copy(update={"grace_s": 1.0})
        common = (self.kafka, CODEC, self._deliverer, self._stop, utc_now)
        self._tasks = [
            asyncio.create_task(run)
            for run in (
                run_receiver(receiver, serving, self._stop),
                run_reader(reader, *common),
                run_poller(wiring.poller(settings), *common),
                run_cdc(wiring.cdc(settings), *common, None),
                run_writeback(wiring.writeback(settings, True), *common),
            )
        ]

    def _start(self, name: str, *arguments: str) -> None:
        with (self.home / f"{name}.log").open("ab") as out:
            self._processes[name] = subprocess.Popen([sys.executable, *arguments], stdout=out, stderr=out)

    async def _polling(self) -> bool:
        known = [CODEC.decode(message.value() or b"") for message in read_to_end(self.kafka, [topics.CURSORS])]
        return {cursor["instance"] for cursor in known if cursor["marks"]} >= {"poll", "xpoll"}

    async def _answers(self) -> bool:
        try:
            return (await self._client.get(f"{self._xero}/books")).status_code < 500
        except httpx.HTTPError:
            return False

    # -- what k2x is told ---------------------------------------------------------------------------------------

    def _configured(self) -> Settings:
        given = {
            "data_dir": str(self.home / "data"),
            "kafka": {"bootstrap": self.kafka["bootstrap.servers"], "session_timeout_s": 6.0},
            "xero": {
                "api_url": f"{self._xero}/api.xro/2.0",
                "token_url": f"{self._xero}/connect/token",
                "budget": {"minute": 3000},
                "sink": {
                    "session_timeout_s": 10.0,
                    "intention_lapse_s": 5.0,
                    "deadline_s": 15.0,
                    "summary_quiet_s": 1.0,
                },
            },
            "organisations": {
                org: {
                    "client_id": demo_client_id(org),
                    "client_secret_env": _secret(org),
                    "rules": str(self.home / f"{org}.yaml"),
                }
                for org in ORGS.values()
            },
            "instances": {name: self._instance(name) for name in SOURCES},
            "stores": {
                f"{name}/{site}": {"organisation": org}
                for site, org in ORGS.items()
                for name in SOURCES
                if site == SITE or name not in XPERIENCE
            },
            "debounce_s": 0.3,
            "ports": {"metrics": {}},
        }
        (self.home / "k2x.yaml").write_text(yaml.safe_dump(given), "utf-8")
        shipped = Path(__file__).parents[2] / "rules"
        (self.home / "default.yaml").write_text((shipped / "default.yaml").read_text("utf-8"), "utf-8")
        rules = yaml.safe_load((shipped / "uk.yaml").read_text("utf-8"))
        defaults = rules["defaults"] | {
            "payments": {k: v for k, v in rules["stores"]["emea/GoatUK"]["payments"].items() if k.endswith("GBP")},
            "contacts": {"match_email": False},  # the shops have the same people
            "products": {"mode": "all"},
            "write_back": _WRITE_BACK,
            "refunds": {"statuses": ["Refunded"]},
            "on_other_money": "reissue",
        }
        rates = {"20": "OUTPUT2", "5": "RROUTPUT", "0": "ZERORATEDOUTPUT"}
        xperience = {
            "currency": "GBP",
            "paid": {"statuses": ["PaymentReceived", "Completed"]},
            "tax": [{"rate": int(rate), "tax_type": name} for rate, name in rates.items()],  # it has no tax classes
        }
        stores = {
            f"{name}/{SITE}": {"prefix": f"{name}-"} | (xperience if name in XPERIENCE else {}) for name in SOURCES
        }
        rules |= {"defaults": defaults, "stores": stores}
        (self.home / "uk.yaml").write_text(yaml.safe_dump(rules), "utf-8")
        daily = yaml.safe_load((shipped / "de.yaml").read_text("utf-8"))
        posting = {"mode": "summary", "from": date(2015, 1, 1), "grace_minutes": 0}
        payments = daily["stores"]["emea/GoatDE"]["payments"]
        daily["stores"] = {
            f"{name}/{DAILY_SITE}": {
                "prefix": f"{name}-de-", "posting": posting, "payments": payments,
                "contacts": {"name": f"Sales of {name}"},
            }
            for name in SOURCES
            if name not in XPERIENCE
        }  # fmt: skip
        (self.home / "de.yaml").write_text(yaml.safe_dump(daily), "utf-8")
        return load(self.home / "k2x.yaml")

    def _instance(self, name: str) -> dict[str, Any]:
        server = self.sources[name].server
        path = "emea/xperience/rest" if name in XPERIENCE else "emea/rest"
        found: dict[str, Any] = {
            "time_zone": "Europe/London",
            "rest": {"url": f"{server.base_url}/{path}", "user": "k2x-emea", "password_env": "COVERAGE_SECRET"},
            "write_back_columns": list(_WRITE_BACK.values()),
        }
        if name in XPERIENCE:
            found |= {"dialect": "xbyk", "site": SITE}
        if name in ("webhook", "hint", "storeapi", "xwebhook"):
            found["webhook_secret_envs"] = ["COVERAGE_SECRET"]
        if name in ("poll", "xpoll"):
            found["poll"] = {"every_s": 0.3, "sweep_s": 1}
        if name == "cdc":
            found["cdc"] = {"topic_prefix": "cdc", "database": "Kentico13_DancingGoat"}
        if name == "outbox":
            found["cdc"] = {"outbox_topics": ["outbox.event.order"]}
        if name == "storeapi":
            os.environ["COVERAGE_STORE_API"] = CLIENT_SECRET
            api = {"url": f"{server.base_url}/emea", "client_id": CLIENT_ID, "client_secret_env": "COVERAGE_STORE_API"}
            found["store_api"] = api
        return found

    # -- how a shop tells of its changes ------------------------------------------------------------------------

    def _teller(
        self, name: str, shop: Shop, server: Sandbox
    ) -> Callable[[str, Table, Row, dict[str, Any] | None], Awaitable[None]]:
        async def nothing(*_: Any) -> None:
            """It is looked at, or its rows are captured."""

        async def outbox(event_type: str, table: Table, row: Row, data: dict[str, Any] | None) -> None:
            with shop.database.transaction():
                shop._post(event_type, table, row, row.get("OrderSiteID") or shop.catalogue.sites[SITE].id, data)

        async def whole(event_type: str, table: Table, row: Row, data: dict[str, Any] | None) -> None:
            site = row.get("OrderSiteID") or shop.catalogue.sites[SITE].id
            await self.post(name, shop.envelope(event_type, table, row, site, data))

        async def hint(event_type: str, table: Table, row: Row, data: dict[str, Any] | None) -> None:
            await whole(event_type, table, row, None)

        async def xperience(event_type: str, table: Table, row: Row, data: dict[str, Any] | None) -> None:
            event = shop.envelope(event_type, table, row, shop.catalogue.sites[SITE].id, None)
            event |= {"schema": "xbyk", "objectType": table.name.replace("ecommerce", "commerce")}
            found = None if data is None else await self._xperience(server, table, row)
            if found is not None and data is not None and "refund" in data:
                found["refund"] = data["refund"]
            await self.post(name, event if found is None else event | {"data": found})

        ways = {"webhook": whole, "hint": hint, "storeapi": hint, "outbox": outbox, "xwebhook": xperience}
        return ways.get(name, nothing)

    async def post(self, instance: str, event: dict[str, Any]) -> None:
        """A signed event to the receiver."""
        body = json.dumps(event).encode()
        stamp = str(int(time.time()))
        mac = hmac.new(_SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        url = f"http://127.0.0.1:{self._receiver_port}/kentico/{instance}/events"
        headers = {"X-Kentico-Signature": f"t={stamp},v1={mac}", "X-Kentico-Event-Id": event["eventId"]}
        answer = await self._client.post(url, content=body, headers=headers)
        assert answer.status_code == 202, answer.text

    async def _xperience(self, server: Sandbox, table: Table, row: Row) -> dict[str, Any]:
        """What a module in Xperience would send of it: its own tables' rows."""
        base, auth = f"{server.base_url}/emea/xperience/rest", ("k2x-emea", _SECRET)

        async def rows(kind: str, where: str) -> list[Any]:
            answer = await self._client.get(f"{base}/commerce.{kind}/all", params={"where": where}, auth=auth)
            return [
                {name: str(value) if isinstance(value, float) else value for name, value in one.items()}
                for one in answer.raise_for_status().json()["objects"]
            ]

        if table is CUSTOMER:
            return {"customer": (await rows("customer", f"CustomerID = {row['CustomerID']}"))[0]}
        order_id = row["OrderID"]
        order = (await rows("order", f"OrderID = {order_id}"))[0]
        status = await rows("orderstatus", f"OrderStatusID = {order['OrderOrderStatusID']}")
        payment = await rows("paymentmethod", f"PaymentMethodID = {order['OrderPaymentMethodID']}")
        shipping = await rows("shippingmethod", f"ShippingMethodID = {order['OrderShippingMethodID'] or 0}")
        addresses = await rows("orderaddress", f"OrderAddressOrderID = {order_id}")
        return {
            "order": order,
            "items": await rows("orderitem", f"OrderItemOrderID = {order_id}"),
            "addresses": [address | {"CountryTwoLetterCode": "GB"} for address in addresses],
            "customer": (await rows("customer", f"CustomerID = {order['OrderCustomerID']}"))[0],
            "promotions": await rows("orderpromotion", f"OrderPromotionOrderID = {order_id}"),
            "status": status[0],
            "paymentMethod": payment[0],
            **({"shippingMethod": shipping[0]} if shipping else {}),
        }

    # -- what happens in the shops ------------------------------------------------------------------------------

    async def trade(self) -> None:
        """Every source's orders: never paid, paid, and those that something happens to later."""
        for source in self.sources.values():
            paid = "mixed_rates"
            kinds = {"created": "never_paid", "status": "never_paid"}
            kinds |= dict.fromkeys(("paid", "edited", "deleted", "given_back", "refunded"), paid)
            for what, kind in kinds.items():
                order_id = source.shop.place(kind, SITE, f"{source.name}-{what}", None)
                while not _taxed(source.shop, order_id):
                    order_id = source.shop.place(kind, SITE, f"{source.name}-{what}", None)
                source.orders[what] = order_id
                await source.changed("order.created", order_id)
            if source.name not in XPERIENCE:
                order_id = source.shop.place("locked_period", DAILY_SITE, source.name, None)  # of a day long past
                source.orders["daily"] = order_id
                await source.changed("order.created", order_id)

    async def change(self) -> None:
        """What may happen to an order, its customer and its products afterwards."""
        for source in self.sources.values():
            shop, orders = source.shop, source.orders
            shop.follow_up(orders["edited"], "edit_items", "nobody")
            await source.changed("order.updated", orders["edited"])
            paid = shop.catalogue.sites[SITE].statuses["PaymentReceived"]
            shop.put(ORDER, orders["status"], {"OrderStatusID": paid})
            await source.changed("order.status_changed", orders["status"])
            refunded = shop.catalogue.sites[SITE].statuses["Refunded"]
            shop.put(ORDER, orders["given_back"], {"OrderStatusID": refunded})
            await source.changed("order.status_changed", orders["given_back"])
            if source.name in TELLING:
                rows = shop.load(orders["refunded"])
                refund = {"refundId": "r1", "refundedAt": payload.plain(rows.order)["OrderDate"], "amount": REFUNDED}
                await source.tell("order.refunded", ORDER, rows.order, shop.order_data(rows) | {"refund": refund})
            row = shop.database.get(ORDER, orders["deleted"])
            with shop.database.transaction():
                for item in shop.database.select(ITEM, "OrderItemOrderID = ?", [orders["deleted"]]):
                    shop.database.delete(ITEM, item["OrderItemID"])
                shop.database.delete(ORDER, orders["deleted"])
            await source.tell("order.deleted", ORDER, row, None)
            customer = shop.database.get(ORDER, orders["paid"])["OrderCustomerID"]
            shop.put(CUSTOMER, customer, {"CustomerPhone": self.phone(source)})
            row = shop.database.get(CUSTOMER, customer)
            await source.tell("customer.updated", CUSTOMER, row, {"customer": payload.plain(row)})
            sku = shop.catalogue.sites[SITE].group("equipment", "coffee", "grinders")[source.number]
            source.renamed = sku.id
            shop.put(SKU, sku.id, {"SKUName": f"New of {source.name}"})
            row = shop.database.get(SKU, sku.id)
            if source.name not in XPERIENCE:  # it has no products of this kind
                await source.tell("product.updated", SKU, row, {"sku": payload.plain(row)})

    @staticmethod
    def phone(source: Source) -> str:
        return f"+44 20 7946 01{source.number:02d}"

    # -- how it ended -------------------------------------------------------------------------------------------

    async def books(self, org: str = "uk") -> dict[str, Any]:
        found: dict[str, Any] = (await self._client.get(f"{self._xero}/_sandbox/books/{org}")).json()
        return found

    def outcomes(self) -> dict[tuple[str, str], set[str]]:
        """(instance, OrderID) → what was said of it."""
        found: dict[tuple[str, str], set[str]] = {}
        for message in read_to_end(self.kafka, [topics.RESULTS]):
            result = CODEC.decode(message.value() or b"")
            if result["order_id"] is not None:
                key = result["instance"], result["order_id"]
                found.setdefault(key, set()).add(
                    f"{result['kind']} {result['outcome']} {result['error_code'] or ''}".strip()
                )
        return found

    async def _until(self, what: str, holds: Callable[[], Awaitable[Any]]) -> Any:
        ends = time.monotonic() + _PATIENCE_S
        while not (found := await holds()):
            for name, process in self._processes.items():
                assert process.poll() is None, f"{name} ended: {self.log(name)}"
            for task in self._tasks:
                assert not task.done(), repr(task)
            if time.monotonic() > ends:
                raise AssertionError(f"not in time: {what}")
            await asyncio.sleep(0.5)
        return found

    async def until(self, what: str, holds: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for it, as long as every process lives."""
        return await self._until(what, holds)

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text("utf-8", "replace")[-3000:]
