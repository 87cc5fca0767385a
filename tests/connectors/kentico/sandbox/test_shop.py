"""Orders through their life, the events that tell of them, delivery until 202, trading and restarts."""

from __future__ import annotations

import asyncio
import functools
import json
import shutil
import signal
import sys
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connectors.kentico.sandbox.control import curl
from connectors.kentico.sandbox.errors import BadControl, StateMismatch
from connectors.kentico.sandbox.payload import sign
from connectors.kentico.sandbox.rows import seeded
from connectors.kentico.sandbox.scenarios import SCENARIOS
from connectors.kentico.sandbox.server import Sandbox
from connectors.kentico.sandbox.shop import Shop, Timing
from connectors.kentico.sandbox.trade import Order
from tests.connectors.kentico.sandbox.conftest import Receiver


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the shop's state is in its database, not in an event
            await asyncio.sleep(0.01)


def told(shop: Shop) -> list[dict[str, Any]]:
    return [json.loads(item.body) for item in shop.database.outgoing(1000)]


def test_signature_vector() -> None:
    # Computed with: printf '%s' '1700000000.<body>' | openssl dgst -sha256 -hmac s3cret
    wanted = "t=1700000000,v1=e4bddd9250c0aa47b168422c6cbf1f0cdc5e53a4a289007cfaecc2332ae0559a"
    assert sign("s3cret", 1700000000, b'{"eventType":"order.paid"}') == wanted


def test_paid_later_is_told_unpaid_first(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    order_id = shop.place("paid_later", "GoatUK", 1, "webhook")
    assert shop.database.truth(order_id)["expected"] == "suppressed"
    shop.follow_up(order_id, "pay")
    created, paid = told(shop)
    assert (created["eventType"], paid["eventType"]) == ("order.created", "order.paid")
    assert created["data"]["order"]["OrderIsPaid"] in (None, False)
    assert paid["data"]["order"]["OrderIsPaid"] is True
    assert paid["data"]["status"]["StatusOrderIsPaid"] is True
    assert paid["data"]["order"]["OrderLastModified"] > created["data"]["order"]["OrderLastModified"]
    assert len(paid["data"]["statusHistory"]) == 2
    assert shop.database.truth(order_id)["expected"] == "payable"


def test_pure_item_edit_reinserts_and_leaves_the_order_alone(sandbox: Sandbox) -> None:
    shop = sandbox.shops["apac"]
    order_id = shop.place("multi_line", "GoatAU", 1, "webhook")
    before = shop.load(order_id)
    shop.follow_up(order_id, "edit_item_text")
    after = shop.load(order_id)
    assert after.order == before.order
    assert [row["OrderItemGuid"] for row in after.items] == [row["OrderItemGuid"] for row in before.items]
    assert not {row["OrderItemID"] for row in after.items} & {row["OrderItemID"] for row in before.items}
    assert min(row["OrderItemLastModified"] for row in after.items) > before.order["OrderLastModified"]
    assert after.items[0]["OrderItemText"]


@pytest.mark.parametrize(("instance", "site"), [("emea", "GoatDE"), ("apac", "GoatAU")])
def test_edited_items_change_the_money_and_still_add_up(sandbox: Sandbox, instance: str, site: str) -> None:
    shop = sandbox.shops[instance]
    order_id = shop.place("edited_items", site, 5, "webhook")
    first = shop.database.truth(order_id)
    shop.follow_up(order_id, "edit_items")
    rows, truth = shop.load(order_id), shop.database.truth(order_id)
    assert truth["expected"] == "held_later"
    assert truth["first"]["total_price"] == first["total_price"] != truth["total_price"]
    goods = sum((item["OrderItemTotalPrice"] for item in rows.items), Decimal(0))
    added = Decimal(0) if truth["tax_mode"] == "inclusive" else rows.order["OrderTotalTax"]
    assert goods + rows.order["OrderTotalShipping"] + added == rows.order["OrderTotalPrice"]
    assert rows.order["OrderIsPaid"] is True


@pytest.mark.parametrize("action", ["edit_note", "edit_address"])
def test_other_edits_keep_the_money(sandbox: Sandbox, action: str) -> None:
    shop = sandbox.shops["emea"]
    order_id = shop.place("plain", "GoatUK", 3, "hint")
    before = shop.load(order_id)
    shop.follow_up(order_id, action)
    after = shop.load(order_id)
    money = [name for name in before.order if "Total" in name or "Summary" in name]
    assert [after.order[name] for name in money] == [before.order[name] for name in money]
    assert (after.order["OrderLastModified"] > before.order["OrderLastModified"]) == (action == "edit_note")
    assert (after.addresses[0] != before.addresses[0]) == (action == "edit_address")
    assert "data" not in told(shop)[-1]


def test_flat_rows_are_strings_of_one_row(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    for number in range(12):
        shop.place("plain", "GoatUK", number, "zapier")
    rows = told(shop)
    assert all(isinstance(value, str) for row in rows for value in row.values())
    assert {"OrderID" in row for row in rows} == {True, False}
    order = next(row for row in rows if "OrderID" in row)
    assert order["OrderIsPaid"] in ("True", "False", "")
    assert order["OrderDate"].endswith((" AM", " PM"))
    assert order["OrderTrackingNumber"] == ""


def test_locked_period_failed_and_namesakes(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    locked = shop.load(shop.place("locked_period", "GoatUK", 1, "webhook"))
    assert locked.order["OrderDate"].startswith("2019-")
    assert not locked.order["OrderLastModified"].startswith("2019")
    failed = shop.load(shop.place("failed_payment", "GoatUK", 1, "webhook")).order
    assert failed["OrderIsPaid"] is False
    assert 'name="failed" header="{$PaymentGateway.Result.IsFailed$}" value="1"' in failed["OrderPaymentResult"]
    johns = [shop.load(shop.place("namesakes", "GoatUK", n, "webhook")).customer for n in range(2)]
    assert johns[0]["CustomerLastName"] == johns[1]["CustomerLastName"] == "Smith"
    assert johns[0]["CustomerEmail"] != johns[1]["CustomerEmail"]


def test_every_kind_can_be_placed_and_told(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    for kind, scenario in SCENARIOS.items():
        if scenario.sites in (None, frozenset({"GoatDE"})):
            order_id = shop.place(kind, "GoatDE", 1, "webhook")
            truth = shop.database.truth(order_id)
            assert truth["expected"] == scenario.expected
    assert all("order" in event["data"] for event in told(shop))
    sequences = [event["sequence"] for event in told(shop)]
    assert sequences == sorted(set(sequences))


async def test_webhook_is_signed_and_repeated_until_202(sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.answers = [503, 500, 429]
    shop = sandbox.shops["emea"]
    shop.place("plain", "GoatUK", 1, "webhook")
    sandbox.target.url = receiver.url
    sandbox.senders["emea"].wake()
    await until(lambda: not shop.database.outbox_counts()["pending"])
    assert len(receiver.requests) >= 4
    path, headers, body = receiver.requests[3]
    assert path == "/kentico/emea/events"
    stamp = int(headers["X-Kentico-Signature"].partition(",")[0].removeprefix("t="))
    assert headers["X-Kentico-Signature"] == sign("goat-emea-webhook-secret", stamp, body)
    assert {request[2] for request in receiver.requests[:4]} == {body}
    assert headers["X-Kentico-Delivery-Attempt"] == "4"


async def test_a_refused_event_does_not_stop_the_others(sandbox: Sandbox, receiver: Receiver) -> None:
    shop = sandbox.shops["emea"]
    for number in range(3):
        shop.place("guest", "GoatUK", number, "hint")
    pending = shop.database.outbox_counts()["pending"]
    receiver.answers = [400, 202, 400]
    sandbox.target.url = receiver.url
    sandbox.senders["emea"].wake()
    await until(lambda: not shop.database.outbox_counts()["pending"])
    counts = shop.database.outbox_counts()
    assert (counts["rejected"], counts["sent"]) == (1, pending - 1)


async def test_trade_reaches_done_and_a_second_one_continues(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.target.url = receiver.url
    wanted = {"orders": 120, "seed": "9", "pay_after": 0, "edit_after": 0, "hold_edits": True}
    sandbox.trade.begin(Order.read(wanted, sandbox.shops))
    await until(lambda: sandbox.trade.progress()["done"] or sandbox.trade.error)
    progress = sandbox.trade.progress()
    assert progress["error"] is None
    assert progress["placed"] == 120
    assert progress["held_edits"] > 0
    assert {truth["expected"] for truth in sandbox.orders()} >= {"payable", "suppressed", "refused:unbalanced"}
    assert not any(truth["expected"] == "held_later" for truth in sandbox.orders())
    assert sandbox.trade.release() == progress["held_edits"]
    await until(lambda: sandbox.trade.progress()["done"] and sandbox.trade.progress()["held_edits"] == 0)
    assert any(truth["expected"] == "held_later" for truth in sandbox.orders())
    sandbox.trade.begin(Order.read(wanted | {"orders": 20}, sandbox.shops))
    await until(lambda: sandbox.trade.progress()["done"] or sandbox.trade.error)
    truths = sandbox.orders()
    assert len({truth["order_guid"] for truth in truths}) == len(truths) == 141  # 140 traded, one of 2021
    assert len({(truth["instance"], truth["order_id"]) for truth in truths}) == 141


async def test_some_orders_are_given_back_each_told_whole_by_a_signed_event(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    """Whatever the order's own channel: no table knows of a refund, so a hint would lead nowhere."""
    sandbox.target.url = receiver.url
    wanted = {"orders": 60, "seed": "9", "pay_after": 0, "edit_after": 0, "refunds": 0.2, "master_data": 0}
    sandbox.trade.begin(Order.read({**wanted, "shares": {"webhook": 1, "zapier": 2}}, sandbox.shops))
    await until(lambda: sandbox.trade.progress()["done"] or sandbox.trade.error)
    assert sandbox.trade.progress()["error"] is None
    given = {(t["instance"], t["order_id"]): t for t in sandbox.orders() if t.get("refunds")}
    assert len(given) == sandbox.trade.progress()["refunds"] == 12, "one in five"
    told: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for event in receiver.events:
        if event["eventType"] == "order.refunded":
            told.setdefault((event["instance"], event["objectId"]), []).append(event["data"])
    assert told.keys() == given.keys()
    assert {truth["channel"] for truth in given.values()} == {"webhook", "zapier"}
    for key, events in told.items():
        refunds = given[key]["refunds"]
        assert [data["refund"] for data in events] == refunds
        assert {data["order"]["OrderID"] for data in events} == {key[1]}
        assert Decimal("0") < sum(Decimal(one["amount"]) for one in refunds) <= Decimal(given[key]["total_price"])
        assert (given[key]["expected"], given[key]["paid"], given[key]["edited"]) == ("payable", True, [])
    twice = [truth for truth in given.values() if len(truth["refunds"]) == 2]
    assert 2 <= len(twice) <= 4, "of every third in two times, if no gift card was used"
    assert not any(truth["gift_cards"] for truth in twice)
    shares = {Decimal(t["refunds"][0]["amount"]) == Decimal(t["total_price"]) for t in given.values()}
    assert shares == {True, False}, "some of all, some of a part"


async def test_what_is_not_paid_or_was_free_is_not_given_back(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    for kind in ("never_paid", "free_order", "edited_items", "unbalanced"):
        assert not shop.plan_refund(shop.place(kind, "GoatUK", 1, "webhook"), Timing()), kind
    with pytest.raises(BadControl, match="nothing to give back"):
        shop.follow_up(shop.place("free_order", "GoatUK", 1, "webhook"), "refund")


def test_what_is_given_back_twice_is_never_more_than_was_paid(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    for number in range(8):
        order_id = shop.place("plain", "GoatUK", number, "webhook")
        assert shop.plan_refund(order_id, Timing(edit_after=0.0), twice=True)
        for follow_up_id, planned, action in shop.database.due(shop.now().timestamp()):
            assert planned == order_id
            shop.database.done(follow_up_id)
            shop.follow_up(order_id, action)
        truth = shop.database.truth(order_id)
        amounts = [Decimal(refund["amount"]) for refund in truth["refunds"]]
        assert (len(amounts), truth["edited"]) == (2, [])
        assert 0 < amounts[0] < sum(amounts) <= Decimal(truth["total_price"])


def test_a_gateway_pays_out_each_penny_once_and_tells_of_it(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    pay_out = functools.partial(shop.pay_out, "GoatUK", "CreditCard", "GBP")
    assert pay_out() is None, "nothing is sold yet"
    orders = [shop.place("plain", "GoatUK", number, "webhook") for number in range(12)]
    by_card = [n for n in orders if shop.database.truth(n)["payment_option"] == "CreditCard"]
    assert 1 < len(by_card) < 12, "others were paid otherwise"
    first = pay_out()
    assert first is not None
    assert pay_out() is None, "it is paid out"
    shop.follow_up(by_card[0], "edit_items")
    shop.follow_up(by_card[1], "refund_part")
    second = pay_out()
    assert second is not None
    gross, payouts = Decimal(0), Decimal(0)
    for one in (first["settlement"], second["settlement"]):
        lines = one["lines"]
        gross += sum(Decimal(line["amount"]) for line in lines if line["type"] in ("charge", "refund"))
        kept = sum(Decimal(line.get("fee", "0")) - (line["type"] == "fee") * Decimal(line["amount"]) for line in lines)
        payouts += Decimal(one["payout"]) + kept
    truths = [shop.database.truth(n) for n in by_card]
    given = sum(Decimal(refund["amount"]) for truth in truths for refund in truth.get("refunds", ()))
    assert gross == payouts == sum(Decimal(truth["total_price"]) for truth in truths) - given
    assert {line["orderId"] for line in second["settlement"]["lines"] if "orderId" in line} == {
        str(by_card[0]), str(by_card[1]),
    }  # fmt: skip
    events = [event for event in told(shop) if event["eventType"] == "settlement.paid"]
    assert [event["data"]["settlement"] for event in events] == [first["settlement"], second["settlement"]]
    with pytest.raises(BadControl, match="no gateway behind 'MoneyTransfer'"):
        shop.pay_out("GoatUK", "MoneyTransfer", "GBP")


async def test_restart_keeps_the_shop(tmp_path: Path, receiver: Receiver) -> None:
    first = Sandbox(tmp_path)
    await first.start()
    order_id = first.shops["emea"].place("paid_later", "GoatUK", 1, "webhook")
    before = first.shops["emea"].load(order_id)
    await first.stop()
    second = Sandbox(tmp_path, target=receiver.url)
    await second.start()
    try:
        assert second.shops["emea"].load(order_id) == before
        await until(lambda: receiver.events)
        assert receiver.events[0]["objectId"] == order_id
        assert second.shops["emea"].place("plain", "GoatUK", 1, "webhook") == order_id + 1
    finally:
        await second.stop()
    (tmp_path / "apac.sqlite").write_bytes((tmp_path / "emea.sqlite").read_bytes())
    with pytest.raises(StateMismatch):
        await Sandbox(tmp_path).start()


async def test_kill_9_loses_no_committed_order(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "connectors.kentico.sandbox",
        "--data",
        str(tmp_path),
        "--orders",
        "0",
        "--rate",
        "400",
    ]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        placed = 0
        async with asyncio.timeout(20):
            while placed < 40:
                placed = (await asyncio.to_thread(_get, f"{ready['url']}/_sandbox/trade"))["placed"]
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    again = Sandbox(tmp_path)
    await again.start()
    try:
        truths = again.orders()
        assert len(truths) >= placed
        assert sum(shop.database.outbox_counts()["pending"] for shop in again.shops.values()) >= len(truths)
        for truth in truths:
            rows = again.shops[truth["instance"]].load(truth["order_id"])
            assert len(rows.items) == truth["lines"]
            assert rows.order["OrderInvoiceNumber"] == str(truth["order_id"])
    finally:
        await again.stop()


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310 - our own sandbox
        return json.load(reply)


async def test_pasted_command_arrives_signed(sandbox: Sandbox, receiver: Receiver) -> None:
    assert shutil.which("openssl"), "the command needs openssl"
    assert shutil.which("curl"), "the command needs curl"
    command = curl(sandbox.shops["emea"], "GoatUK", "unicode", receiver.url)
    process = await asyncio.create_subprocess_exec("sh", "-c", command)
    assert await asyncio.wait_for(process.wait(), 20) == 0
    path, headers, body = receiver.requests[0]
    stamp = int(headers["X-Kentico-Signature"].partition(",")[0].removeprefix("t="))
    assert path == "/kentico/emea/events"
    assert headers["X-Kentico-Signature"] == sign("goat-emea-webhook-secret", stamp, body)
    assert json.loads(body)["data"]["order"]["OrderNote"] == "Grüße aus Köln ☕ – «merci»"
    assert sandbox.shops["emea"].database.truth(json.loads(body)["objectId"])["expected"] == "by_hand"


async def test_master_data_changes_are_told(sandbox: Sandbox) -> None:
    shop = sandbox.shops["emea"]
    assert shop.change_customer(seeded(1)) is None
    shop.place("company", "GoatUK", 1, "webhook")
    shop.change_customer(seeded(1))
    shop.change_product(seeded(1))
    customer, product = told(shop)[-2:]
    assert (customer["eventType"], customer["objectType"]) == ("customer.updated", "ecommerce.customer")
    assert customer["data"]["customer"]["CustomerTaxRegistrationID"]
    assert (product["eventType"], product["data"]["sku"]["SKUID"]) == ("product.updated", product["objectId"])
