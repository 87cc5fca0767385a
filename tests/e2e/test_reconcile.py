"""`k2x reconcile` on a shop at work: it agrees while orders flow, and finds each fault that a hand plants in the books.

One small shop for all of it: real Kafka, real processes, both sandboxes; the faults are made by Xero's own means or by
its side door, as a bookkeeper's hand would make them.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from confluent_kafka import Producer

from connectors.xero.sandbox.chart import demo_client_id, demo_client_secret
from k2x.audit.log import read_to_end
from k2x.clients import codec
from k2x.demo.run import settle
from k2x.demo.world import World
from schemas import topics

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.kafka,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]
ORDERS, POSTED = 48, 25  # in twelve seconds; at least so many are payable
ENDS = ("posted", "suppressed", "dead_lettered", "waiting", "parked")
SITES = {"emea/GoatUK": 5, "emea/GoatDE": 1}
STRANGER = 900_001
REFUNDS, REFUND = 4, "re-1"


@dataclass
class Found:
    """What the command said."""

    code: int
    report: dict[str, Any]
    words: str


@dataclass
class Shop:
    """The demo's world, with a bookkeeper in it."""

    world: World
    paid: list[dict[str, Any]] = field(default_factory=list)
    refunded: list[str] = field(default_factory=list)

    async def reconcile(self, *options: str) -> Found:
        command = [sys.executable, "-m", "k2x", "reconcile", "--json", *options]
        command += ["--config", str(self.world.directory / "k2x.yaml")]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode in (0, 1), done.stderr
        return Found(done.returncode, json.loads(done.stdout), done.stderr)

    async def edit(self, **order: Any) -> None:
        await self.world.post("xero", "/_sandbox/edit", {"org": "uk", **order})

    async def books(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.world.get("xero", "/_sandbox/books/uk")
        return found

    async def take(self) -> dict[str, Any]:
        """An invoice of one payment, PAID, that no other fault has touched."""
        if not self.paid:
            found = (await self.books())["invoices"]
            pounds = [i for i in found if i["Status"] == "PAID" and i["CurrencyCode"] == "GBP"]
            self.paid = [i for i in pounds if len(i["Payments"]) == 1]
            assert len(self.paid) >= 11 + REFUNDS, "the shop is too small for all the faults"
        return self.paid.pop()

    async def pay(self, invoice: dict[str, Any], amount: float, *, elsewhere: bool = False) -> None:
        """Through Xero's own API, under the reference it had: on the account that it was on, or on another."""
        before = invoice["Payments"][0]
        listed = (await self.books())["payments"]
        code = next(p["Account"]["Code"] for p in listed if p["PaymentID"] == before["PaymentID"])
        if elsewhere:
            code = "090" if code != "090" else "092"
        url, app = self.world.url("xero"), (demo_client_id("uk"), demo_client_secret("uk"))
        grant = {"grant_type": "client_credentials", "scope": "accounting.payments"}
        payment = {
            "Invoice": {"InvoiceID": invoice["InvoiceID"]}, "Account": {"Code": code}, "Amount": amount,
            "Date": invoice["DateString"][:10], "Reference": before["Reference"],
        }  # fmt: skip
        async with httpx.AsyncClient() as http:
            token = (await http.post(f"{url}/connect/token", data=grant, auth=app)).raise_for_status().json()
            headers = {"Authorization": f"Bearer {token['access_token']}", "Accept": "application/json"}
            answer = await http.put(f"{url}/api.xro/2.0/Payments", json={"Payments": [payment]}, headers=headers)
        assert answer.status_code == 200, answer.text


def key(number: str) -> str:
    return f"emea|{number.removeprefix('UK-')}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    world = World(tmp_path_factory.mktemp("reconcile") / "data")
    try:
        await world.start(lambda step: None)
        yield Shop(world)
    finally:
        await world.stop()


async def test_a_shop_that_trades_is_reconciled_without_a_finding(shop: Shop) -> None:
    world = shop.world
    await world.post("kentico", "/_sandbox/target", {"url": world.url("receiver")})
    wanted = {"orders": ORDERS, "rate": 4.0, "seed": "reconcile", "sites": SITES, "must_fail": True, "hold_edits": True}
    await world.post("kentico", "/_sandbox/trade", {**wanted, "pay_after": 1.0, "edit_after": 2.0})
    trade = await world.get("kentico", "/_sandbox/trade")
    while trade["placed"] < ORDERS // 8:
        await asyncio.sleep(0.1)
        trade = await world.get("kentico", "/_sandbox/trade")
    meanwhile, posted, runs = 0, 0, 0
    while trade["running"] or runs < 2 or posted < POSTED:
        found = await shop.reconcile()
        assert found.code == 0, found.report["findings"]
        before, trade = trade, await world.get("kentico", "/_sandbox/trade")
        meanwhile += trade["placed"] > before["placed"]
        runs, posted = runs + 1, found.report["posted"]
    assert meanwhile > 0, "orders must have come while it looked"


async def test_the_settled_shop_agrees_in_every_number(shop: Shop, tmp_path: Path) -> None:
    account = (await settle(shop.world, lambda line: None)).total
    found = await shop.reconcile("--grace", "0", "--csv", str(tmp_path / "f.csv"), "--days", str(tmp_path / "d.csv"))
    report = found.report
    assert (found.code, report["clean"], report["findings"], report["in_flight"]) == (0, True, [], 0)
    assert report["orders"] == account.orders_in
    for name in (*ENDS, "held"):
        assert report[name] == getattr(account, name), name
    for money in report["money"].values():
        assert money["kentico"] == money["xero"]
    assert sum(day["orders"] for day in report["days"]) == account.orders_in
    assert report["xero_calls"] == {"au": 3, "de": 3, "uk": 3}, "invoices, payments, credit notes"
    assert (tmp_path / "f.csv").read_text("utf-8").splitlines() == ["kind,code,org,store,order,invoice,day,text,next"]
    rows = list(csv.DictReader((tmp_path / "d.csv").open(encoding="utf-8")))
    assert sum(int(row["orders"] or 0) for row in rows) == account.orders_in
    one = await shop.reconcile("--order", key((await shop.take())["InvoiceNumber"]))
    assert (one.code, one.report["orders"], one.report["posted"]) == (0, 1, 1)


async def test_refunds_are_made_beside_their_sales_and_agree(shop: Shop) -> None:
    """A part of four posted orders is given back; the sales stay what they are."""
    before = (await shop.reconcile()).report
    chosen = [await shop.take() for _ in range(REFUNDS)]
    shop.refunded = [invoice["InvoiceNumber"] for invoice in chosen]
    values = await asyncio.to_thread(_refunds, shop.world, {key(number) for number in shop.refunded})
    shop_topics = Producer({**shop.world.kafka_conf, "enable.idempotence": True})
    for order, value in values.items():
        shop_topics.produce(topics.ORDERS, key=order.encode(), value=value)
    assert shop_topics.flush(10) == 0
    for _ in range(60):
        found = await shop.reconcile()
        assert (found.code, found.report["findings"]) == (0, []), "what is on its way is no finding"
        if found.report["refunded"] == REFUNDS and not found.report["in_flight"]:
            break
        await asyncio.sleep(0.5)
    report = found.report
    assert (report["refunds"], report["refunded"], report["refunds_refused"]) == (REFUNDS, REFUNDS, 0)
    assert {name: report[name] for name in ("orders", *ENDS, "held", "money")} == {
        name: before[name] for name in ("orders", *ENDS, "held", "money")
    }
    assert report["money_back"] == {"GBP": {"kentico": "6.00", "xero": "6.00"}}
    assert report["xero_calls"]["uk"] == 4, "the money back is a list of its own"
    one = await shop.reconcile("--order", key(shop.refunded[0]))
    assert (one.code, one.report["orders"], one.report["refunded"]) == (0, 1, 1)


async def test_every_fault_planted_by_hand_is_found_named_and_ends_with_code_1(shop: Shop) -> None:
    expected: dict[tuple[str, str, str], str] = {}

    def planted(kind: str, code: str, order: str, number: str) -> None:
        expected[code, order, number] = kind

    number = (await shop.take())["InvoiceNumber"]
    await shop.edit(action="delete_payment", number=number)
    planted("drifted", "payment_deleted", key(number), number)

    number = (await shop.take())["InvoiceNumber"]
    await shop.edit(action="duplicate_invoice", number=number)
    planted("doubled", "duplicate_invoice", key(number), f"{number}-COPY")

    number = (await shop.take())["InvoiceNumber"]
    await shop.edit(action="duplicate_invoice", number=number, to="INV-77")
    await shop.edit(action="edit_text", number="INV-77", reference="")
    planted("unmatched", "possible_double", key(number), "INV-77")

    invoice = await shop.take()  # an amount edited as Xero allows it: unpaid, changed, paid again
    number = invoice["InvoiceNumber"]
    await shop.edit(action="delete_payment", number=number)
    await shop.edit(action="edit_amount", number=number, unit_amount="3.21")
    (after,) = [i for i in (await shop.books())["invoices"] if i["InvoiceNumber"] == number]
    assert after["Total"] != invoice["Total"]
    await shop.pay(invoice, after["Total"])
    planted("drifted", "amount", key(number), number)
    planted("drifted", "payment_amount", key(number), number)

    invoice = await shop.take()
    await shop.edit(action="delete_payment", number=invoice["InvoiceNumber"])
    await shop.pay(invoice, invoice["Total"], elsewhere=True)
    planted("drifted", "payment_account", key(invoice["InvoiceNumber"]), invoice["InvoiceNumber"])

    number = (await shop.take())["InvoiceNumber"]
    await shop.edit(action="void", number=number)
    planted("drifted", "voided", key(number), number)

    number = (await shop.take())["InvoiceNumber"]
    await shop.edit(action="edit_text", number=number, account="260")
    planted("drifted", "accounts", key(number), number)

    number = (await shop.take())["InvoiceNumber"]
    await shop.edit(action="duplicate_invoice", number=number, to="UK-777777")
    await shop.edit(action="edit_text", number="UK-777777", reference="entered by hand")
    planted("unmatched", "foreign_invoice", "", "UK-777777")

    number = (await shop.take())["InvoiceNumber"]
    shop_topics = Producer({**shop.world.kafka_conf, "enable.idempotence": True})
    shop_topics.produce(topics.ledger("uk"), key=f"{key(number)}|invoice|0".encode(), value=None)
    planted("unmatched", "ledger_missing", key(number), number)

    note = f"CN-{shop.refunded[0]}-{REFUND}"
    await shop.edit(action="delete_payment", number=note, credit=True)
    planted("drifted", "refund_payment_deleted", key(shop.refunded[0]), note)

    note = f"CN-{shop.refunded[1]}-{REFUND}"
    await shop.edit(action="duplicate_invoice", number=note, credit=True)
    planted("doubled", "duplicate_credit_note", key(shop.refunded[1]), f"{note}-COPY")

    note = f"CN-{shop.refunded[2]}-{REFUND}"
    await shop.edit(action="edit_amount", number=note, unit_amount="2.00", credit=True)
    planted("drifted", "credit_note_amount", key(shop.refunded[2]), note)
    planted("drifted", "refund_unpaid", key(shop.refunded[2]), note)

    note = f"CN-{shop.refunded[3]}-{REFUND}"
    await shop.edit(action="duplicate_invoice", number=note, to="CN-UK-777777-1", credit=True)
    await shop.edit(action="edit_text", number="CN-UK-777777-1", reference="entered by hand", credit=True)
    planted("unmatched", "foreign_credit_note", "", "CN-UK-777777-1")

    await _stop_streams(shop.world)
    value = await asyncio.to_thread(_another_order, shop.world)
    shop_topics.produce(topics.ORDERS, key=f"emea|{STRANGER}".encode(), value=value)
    assert shop_topics.flush(10) == 0
    planted("lost", "not_read", f"emea|{STRANGER}", "")

    found = await shop.reconcile("--grace", "0")
    seen = {(f["code"], f["order"] or "", f["invoice"] or ""): f["kind"] for f in found.report["findings"]}
    assert seen == expected
    assert found.code == 1
    for kind in ("lost", "doubled", "drifted", "unmatched"):
        assert found.report[kind] > 0, kind
    assert found.report["stuck"] == 0
    for finding in found.report["findings"]:
        assert finding["org"] == "uk"
        assert finding["store"] == "emea/GoatUK"
        assert finding["text"]
        assert finding["next"]

    only = await shop.reconcile("--grace", "0", "--org", "de")
    assert (only.code, only.report["findings"]) == (0, [])


async def test_a_used_up_day_is_told_and_is_not_taken_for_findings(shop: Shop) -> None:
    world = shop.world
    await world.post("xero", "/_sandbox/settings", {"org": "de", "limits": {"day": 1}})
    command = [sys.executable, "-m", "k2x", "reconcile", "--org", "de", "--config", str(world.directory / "k2x.yaml")]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "de: Xero's day limit is reached. Go on in " in done.stderr
    assert "Not all could be reconciled: de." in done.stdout


async def _stop_streams(world: World) -> None:
    child = world.supervisor.children["streams"]
    assert child.watcher is not None
    assert child.process is not None
    child.watcher.cancel()
    os.kill(child.process.pid, signal.SIGTERM)
    await child.process.wait()


def _refunds(world: World, keys: set[str]) -> dict[str, bytes]:
    """The events of these orders' refunds: their newest versions, a part of each given back."""
    own, newest = codec(world.settings), dict[str, dict[str, Any]]()
    for message in read_to_end(world.kafka_conf, [topics.ORDERS]):
        if (order := (message.key() or b"").decode()) in keys:
            newest[order] = own.decode(message.value() or b"")
    now = datetime.now(UTC)
    for value in newest.values():
        value["refund"] = {
            "refund_id": REFUND, "refunded_at": now, "currency": "GBP", "amount": Decimal("1.50"), "reason": None,
            "lines": [], "shipping": None, "tender": None, "transaction_id": "re_1",
        }  # fmt: skip
        value |= {"event_type": "order.refunded", "version": now, "observed_at": now, "received_at": now}
    return {order: own.encode("order", value) for order, value in newest.items()}


def _another_order(world: World) -> bytes:
    """The bytes of an order that nobody has seen: an existing one under another OrderID."""
    own = codec(world.settings)
    messages = read_to_end(world.kafka_conf, [topics.ORDERS])
    order = next(v for m in messages if (v := own.decode(m.value() or b""))["site_name"] == "GoatUK")
    order["order"]["OrderID"] = STRANGER
    return own.encode("order", order)
