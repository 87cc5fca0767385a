"""Each agent on a real broker: what goes in, what comes out, and what a fault costs."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import topics
from tests.streams import samples
from tests.streams.desk import Desk, headers

pytestmark = pytest.mark.kafka

UK = topics.commands("uk")
DLT = topics.dead_letter(topics.ORDERS)


def test_guard_costs_one_order_only(shared_desk: Desk) -> None:
    good, boom, after = samples.order(101), samples.order(102), samples.order(103)
    boom["order"]["OrderNote"] = "boom"
    shared_desk.orders([good, boom, after])
    shared_desk.send_bytes(topics.ORDERS, b"emea|104", b"no avro")
    shared_desk.orders([samples.order(105)])

    shared_desk.until(UK, lambda found: {"101", "103", "105"} <= {c["order_id"] for c in found})
    refused = shared_desk.until(topics.RESULTS, lambda found: len(_of(found, "102", "104")) == 2)
    assert {r["error_code"] for r in _of(refused, "102", "104")} == {"unexpected", "undecodable"}
    letters = {message.key(): message for message in shared_desk.read(DLT)}
    bug = headers(letters[b"emea|102"])
    assert bug["x-error-class"] == "bug"
    assert "ZeroDivisionError: a bug in a transform" in bug["__connect.errors.exception.stacktrace"]
    assert bug["__connect.errors.topic"] == shared_desk.prefix + topics.ORDERS
    assert letters[b"emea|104"].value() == b"no avro"
    assert "102" not in {c["order_id"] for c in shared_desk.values(UK)}


def test_command_says_where_it_came_from(shared_desk: Desk) -> None:
    order = samples.order(111) | {"traceparent": "00-1-2-01"}
    shared_desk.send(topics.ORDERS, "order", [("emea|111", order)], **{"x-replay-id": "r1"})
    shared_desk.until(UK, lambda found: any(c["order_id"] == "111" for c in found))
    message = next(m for m in shared_desk.read(UK) if m.key() == b"emea|111")
    command = shared_desk.codec.decode(message.value())
    assert command["source_topic"] == shared_desk.prefix + topics.ORDERS
    source = next(m for m in shared_desk.read(topics.ORDERS) if m.key() == b"emea|111")
    assert (command["source_partition"], command["source_offset"]) == (source.partition(), source.offset())
    assert command["traceparent"] == headers(message)["traceparent"] == "00-1-2-01"
    assert (command["version"], command["replay_id"]) == (order["version"], "r1")


def copied(desk: Desk, source: str, **more: str) -> dict[str, str]:
    """The headers that a replay gives a copy of record 41 of partition 2."""
    own = {"x-replay-id": "r2", "x-source-topic": desk.prefix + source, "x-source-partition": "2"}
    return {**own, "x-source-offset": "41", **more}


def test_a_replays_copy_speaks_of_the_record_it_was_copied_from(shared_desk: Desk) -> None:
    refused = samples.order(117)
    refused["order"]["OrderNote"] = "refuse"
    copies = [("emea|116", samples.order(116)), ("emea|117", refused), ("emea|118", samples.order(118, paid=False))]
    shared_desk.send(topics.REPLAY_OF[topics.ORDERS], "order", copies, **copied(shared_desk, topics.ORDERS))
    found = shared_desk.until(UK, lambda found: any(c["order_id"] == "116" for c in found))
    command = next(c for c in found if c["order_id"] == "116")
    source = shared_desk.prefix + topics.ORDERS
    assert (command["source_topic"], command["source_partition"], command["source_offset"]) == (source, 2, 41)
    assert command["replay_id"] == "r2"
    results = shared_desk.until(topics.RESULTS, lambda found: len(_of(found, "117", "118")) == 2)
    assert {(r["outcome"], r["replay_id"]) for r in _of(results, "117", "118")} == {
        ("REFUSED", "r2"),
        ("SUPPRESSED", "r2"),
    }
    (letter,) = [headers(m) for m in shared_desk.read(DLT) if m.key() == b"emea|117"]
    assert letter["__connect.errors.topic"] == source
    assert (letter["__connect.errors.partition"], letter["__connect.errors.offset"]) == ("2", "41")


def test_a_copied_customer_is_for_one_organisation_only(shared_desk: Desk) -> None:
    """The instance feeds uk and de; the live event would be parked for de."""
    said = copied(shared_desk, topics.CUSTOMERS, **{"x-replay-org": "uk"})
    shared_desk.send(topics.REPLAY_OF[topics.CUSTOMERS], "customer", [("emea|8", samples.customer(8))], **said)
    shared_desk.until(UK, lambda found: any(c["key"] == "emea|customer|8" for c in found))
    assert not [m for m in shared_desk.read(topics.CUSTOMERS_PARKED) if m.key() == b"emea|8"]


def test_the_count_of_redrives_goes_on_with_the_command(shared_desk: Desk) -> None:
    """If the sink refuses the command, its letter counts on: five redrives are five, whoever refused."""
    counted = {"x-replay-count": "3", "x-first-failed-at": "2026-11-02T10:00:00+00:00", "x-error-class": "mapping"}
    shared_desk.send(topics.ORDERS, "order", [("emea|120", samples.order(120))], **counted)
    shared_desk.until(UK, lambda found: any(c["order_id"] == "120" for c in found))
    said = headers(next(m for m in shared_desk.read(UK) if m.key() == b"emea|120"))
    assert said["x-replay-count"] == "3"
    assert said["x-first-failed-at"] == counted["x-first-failed-at"]
    assert "x-error-class" not in said


def test_an_item_to_create_stands_before_the_sale(shared_desk: Desk) -> None:
    order = samples.order(115)
    order["order"]["OrderNote"] = "new item"
    shared_desk.orders([order])
    found = shared_desk.until(UK, lambda found: any(c["order_id"] == "115" for c in found))
    keys = [c["key"] for c in found]
    assert keys.index("NEW-115") + 1 == keys.index("emea|115")


def test_unpaid_refused_and_unknown_store_each_end_somewhere(shared_desk: Desk) -> None:
    refused = samples.order(122)
    refused["order"]["OrderNote"] = "refuse"
    shared_desk.orders([samples.order(121, paid=False), refused, samples.order(123, site="Nowhere")])
    found = shared_desk.until(topics.RESULTS, lambda found: len(_of(found, "121", "122", "123")) == 3)
    by_order = {r["order_id"]: r for r in _of(found, "121", "122", "123")}
    assert (by_order["121"]["outcome"], by_order["121"]["message"]) == ("SUPPRESSED", "the order is not paid")
    assert (by_order["122"]["outcome"], by_order["122"]["error_class"]) == ("REFUSED", "validation")
    assert (by_order["123"]["outcome"], by_order["123"]["error_class"]) == ("REFUSED", "mapping")
    assert "emea/GoatDE, emea/GoatUK" in by_order["123"]["message"]
    letters = {message.key(): headers(message) for message in shared_desk.read(DLT)}
    assert letters[b"emea|122"]["__connect.errors.stage"] == "validate"
    assert letters[b"emea|123"]["x-error-code"] == "unknown_store"


def test_customers_and_products_become_commands(shared_desk: Desk) -> None:
    shared_desk.send(topics.CUSTOMERS, "customer", [("emea|7", samples.customer(7))])
    shared_desk.send(topics.PRODUCTS, "product", [("emea|9", samples.product(9))])
    wanted = {"emea|customer|7", "SKU-9"}
    found = shared_desk.until(UK, lambda found: wanted <= {c["key"] for c in found})
    assert {c["kind"] for c in found if c["key"] in wanted} == {"CONTACT", "ITEM"}
    # the instance feeds de too, which is not ready: nothing is lost, it waits there
    for topic in (topics.CUSTOMERS_PARKED, topics.PRODUCTS_PARKED):
        assert {headers(m)["x-org"] for m in shared_desk.read(topic)} == {"de"}


def test_results_are_written_back_where_rules_say_so(shared_desk: Desk) -> None:
    results = [samples.result(131), samples.result(132, "REFUSED"), samples.result(133, store="emea/Nowhere")]
    shared_desk.send(topics.RESULTS, "result", [(r["key"], r) for r in [*results, samples.result(134)]])
    found = shared_desk.until(topics.WRITEBACK, lambda found: len(found) >= 2)
    assert {w["order_id"]: w["fields"] for w in found} == {
        "131": {"OrderXeroStatus": "PAID"},
        "134": {"OrderXeroStatus": "PAID"},
    }


def _of(results: list[dict[str, Any]], *orders: str) -> list[dict[str, Any]]:
    return [r for r in results if r["order_id"] in orders and r["kind"] == "order"]
