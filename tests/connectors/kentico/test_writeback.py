"""Write-back of many orders: read together, written one by one; what is wrong with one is no other's trouble."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.kentico.sandbox.rest import Fault
from connectors.kentico.sandbox.schema import ORDER
from connectors.kentico.sandbox.server import Sandbox
from connectors.kentico.settings import WritebackSettings
from connectors.kentico.writeback import WriteBacks
from schemas import topics
from tests.connectors.kentico.conftest import Broker, utc_now
from tests.connectors.kentico.rig import COLUMNS, instance, running, until

pytestmark = pytest.mark.kafka


def placed(sandbox: Sandbox, count: int) -> list[int]:
    shop = sandbox.shops["emea"]
    site = next(iter(shop.catalogue.sites))
    return [shop.place("plain", site, number, None) for number in range(count)]


def wish(order_id: int, **fields: str) -> tuple[str, dict[str, Any]]:
    now = utc_now()
    value = {"instance": "emea", "order_id": str(order_id), "fields": fields, "version": now, "at": now}
    return f"emea|{order_id}", value


def writing(broker: Broker, sandbox: Sandbox, *more: str, **settings: Any) -> WriteBacks:
    known = instance(sandbox, "emea").model_copy(update={"writeback_columns": COLUMNS | set(more)})
    chosen = WritebackSettings(
        instances=(known,), enabled=True, outage_pause_s=0.05, group_id=broker.group("writeback"), **settings
    )
    return WriteBacks(chosen, broker.conf, broker.codec, broker.deliverer(), utc_now)


async def test_many_orders_are_read_in_one_request_and_each_is_written_by_its_own(
    broker: Broker, sandbox: Sandbox
) -> None:
    ids = placed(sandbox, 24)
    shop = sandbox.shops["emea"]
    broker.send("writeback", topics.WRITEBACK, [wish(one, OrderXeroInvoiceID=f"INV-{one}") for one in ids])
    process = writing(broker, sandbox)
    async with running(process.run):
        await until(lambda: all(shop.database.get(ORDER, one)["OrderXeroInvoiceID"] for one in ids), 60, 0.1)
        written = process.lanes["emea"].rest.calls
        broker.send("writeback", topics.WRITEBACK, [wish(one, OrderXeroInvoiceID=f"INV-{one}") for one in ids])
        await until(lambda: broker.committed(broker.group("writeback"), topics.WRITEBACK) == 2 * len(ids), 60, 0.3)
        equal = process.lanes["emea"].rest.calls - written
    assert {one: shop.database.get(ORDER, one)["OrderXeroInvoiceID"] for one in ids} == {n: f"INV-{n}" for n in ids}
    # The records may come from Kafka in a few parts, each of which is a reading.
    assert len(ids) < written <= len(ids) + 10
    assert equal <= 10, "what is there already is seen in the list, and not written again"


async def test_a_column_that_kentico_lacks_is_a_letter_of_its_order_and_the_others_are_written(
    broker: Broker, sandbox: Sandbox
) -> None:
    good, bad, gone = *placed(sandbox, 2), 999_999
    wishes = [wish(bad, OrderXeroNothing="x"), wish(good, OrderXeroStatus="PAID"), wish(gone, OrderXeroStatus="PAID")]
    broker.send("writeback", topics.WRITEBACK, wishes)
    shop = sandbox.shops["emea"]
    async with running(writing(broker, sandbox, "OrderXeroNothing").run):
        await until(lambda: shop.database.get(ORDER, good)["OrderXeroStatus"] == "PAID", 60, 0.1)
        await until(lambda: len(broker.letters(topics.WRITEBACK)) == 2, 60, 0.3)
    letters = {letter["key"]: letter["x-error-code"] for letter in broker.letters(topics.WRITEBACK)}
    assert letters == {f"emea|{bad}": "refused", f"emea|{gone}": "not_found"}


async def test_an_order_that_alone_makes_kentico_fail_holds_up_no_other_and_is_a_letter_after_its_grace(
    broker: Broker, sandbox: Sandbox
) -> None:
    poison, *others = placed(sandbox, 6)
    shop = sandbox.shops["emea"]
    sandbox.rest.faults.append(Fault("error500", "emea", f"ecommerce.order/{poison}"))
    wishes = [wish(one, OrderXeroStatus="PAID") for one in (poison, *others)]
    broker.send("writeback", topics.WRITEBACK, wishes)
    process = writing(broker, sandbox, concurrent=2, grace_s=0.5)
    async with running(process.run):
        await until(lambda: len(broker.letters(topics.WRITEBACK)) == 1, 60, 0.2)
        await until(lambda: all(shop.database.get(ORDER, one)["OrderXeroStatus"] == "PAID" for one in others), 60, 0.1)
        await until(lambda: broker.committed(broker.group("writeback"), topics.WRITEBACK) == 6, 60, 0.3)
    (letter,) = broker.letters(topics.WRITEBACK)
    assert (letter["key"], letter["x-error-code"]) == (f"emea|{poison}", "unwritable")
    assert "event log" in letter["x-error-hint"]


@pytest.mark.parametrize("kind", ["error503", "cut", "unauthorized"])
async def test_an_outage_of_the_service_is_waited_out_and_nothing_is_a_letter(
    broker: Broker, sandbox: Sandbox, kind: str
) -> None:
    ids = placed(sandbox, 3)
    shop = sandbox.shops["emea"]
    sandbox.rest.faults.append(Fault(kind, "emea"))
    broker.send("writeback", topics.WRITEBACK, [wish(one, OrderXeroStatus="PAID") for one in ids])
    process = writing(broker, sandbox, grace_s=0.0)
    async with running(process.run):
        await until(lambda: process.lanes["emea"].rest.calls >= 4, 60, 0.1)
        sandbox.rest.faults.clear()
        await until(lambda: all(shop.database.get(ORDER, one)["OrderXeroStatus"] == "PAID" for one in ids), 60, 0.1)
    assert broker.letters(topics.WRITEBACK) == []
