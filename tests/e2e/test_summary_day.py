"""A day of 300 orders in three stores in summary mode, to the cent and in few calls; and the day a store changes over.

The small form of `make bench ARGS=summary`: real transforms, Kafka, sink, Xero sandbox, and the audit over all of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from confluent_kafka import Producer

from schemas import topics
from schemas.types import Order
from tests.bench.bench_summary import MOST_CALLS
from tests.bench.summary_day import CORE, DAY, SITES, SummaryDay, rules_from, summary_day
from tests.connectors.xero.office import until
from tests.connectors.xero.servers import sandbox

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(300)]
ORDERS = 300
EVE = DAY - timedelta(days=1)
STAMP, EVE_STAMP = f"S{DAY:%Y%m%d}-GBP", f"S{EVE:%Y%m%d}-GBP"
SUMMARIES = {"mode": "summary", "from": str(EVE), "grace_minutes": 0}
_PATIENCE = 240.0  # the machine may be busy


@pytest.fixture(scope="module")
def day(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SummaryDay]:
    """One deployment for both, whose stores post every order by itself at first."""
    slug, home = f"day-{uuid4().hex[:8]}", tmp_path_factory.mktemp("day")
    with (
        sandbox("--minute-limit", "10000") as xero,
        summary_day(kafka, xero, slug, home, {"mode": "per_order"}) as made,
    ):
        yield made


def test_a_store_changes_over_on_a_day_with_neither_gap_nor_overlap(day: SummaryDay) -> None:
    """Orders around the store's midnight (one store counts in New York), one edited after it, one that comes late."""
    zones = {"GoatUK": ZoneInfo("Europe/London"), "GoatTrade": ZoneInfo("America/New_York")}
    midnights = {site: datetime.combine(EVE, time(), zone).astimezone(UTC) for site, zone in zones.items()}
    with day.office.sink("a", core=CORE):
        early = [*around(day, midnights, 1001, -6)]
        day.send(early)
        until(lambda: len(own_invoices(day)) == len(early), _PATIENCE)
        rules_from(day, SUMMARIES)
        late_before, after = [*around(day, midnights, 3001, -2)], [*around(day, midnights, 5001, +1)]
        edited = cast(Order, {**early[0], "version": early[0]["version"] + timedelta(hours=30)})
        edited["observed_at"] = edited["received_at"] = datetime.now(UTC)
        day.send([*late_before, *after])
        day.send([edited], again=True)
        day.await_posted()
        (very_late,) = day.orders(1, first=7001, start=midnights["GoatUK"] + timedelta(hours=9), sites=["GoatUK"])
        day.send([very_late])
        day.await_posted()
    in_xero = [i["InvoiceNumber"] for i in day.books()["invoices"] if i["Status"] == "PAID"]
    alone = {f"{SITES[str(o['site_name'])]}{o['order']['OrderID']}" for o in (*early, *late_before)}
    assert {n for n in in_xero if EVE_STAMP not in n} == alone
    members = [
        (e["number"], int(k.rpartition("|")[2])) for k, e in day.office.ledger().items() if e["kind"] == "member"
    ]
    number_of = {order: number for number, order in members}
    assert len(number_of) == len(members), "no order is in two summaries"
    assert set(number_of.values()) == {n for n in in_xero if EVE_STAMP in n}
    wanted = {o["order"]["OrderID"]: f"{SITES[str(o['site_name'])]}{EVE_STAMP}" for o in (*after, very_late)}
    assert {order: _whole(number, EVE_STAMP) for order, number in number_of.items()} == wanted
    late = number_of[very_late["order"]["OrderID"]]
    assert late not in {number_of[o["order"]["OrderID"]] for o in after}, "a closed summary stays as it is"
    day.to_the_cent()
    report = day.report()
    assert (report["clean"], report["posted"]) == (True, day.wanted), report["findings"][:3]
    _told(day, f"{day.slug}|{very_late['order']['OrderID']}", late)


def test_a_day_of_three_stores_costs_few_calls_is_reconciled_to_the_cent_and_every_fault_in_it_is_found(
    day: SummaryDay,
) -> None:
    rules_from(day, SUMMARIES)
    before = day.calls()
    orders = list(day.orders(ORDERS, first=20_001))
    day.send(orders)
    with day.office.sink("a", core=CORE):
        day.await_posted()
        assert day.calls() - before < MOST_CALLS
        day.send([given_back(order) for order in orders[:6]], again=True)
        until(lambda: len([e for e in day.office.ledger().values() if _is_given_back(e)]) == 6, _PATIENCE)
    day.to_the_cent()
    report = day.report("--since", str(DAY))
    assert (report["clean"], report["orders"], report["posted"]) == (True, ORDERS, ORDERS), report["findings"][:3]
    numbers = {f"{prefix}{STAMP}" for prefix in SITES.values()}
    assert {_whole(one["number"], STAMP) for one in report["summaries"]} == numbers | {
        f"CN-{number}" for number in numbers
    }
    assert sum(one["count"] for one in report["summaries"] if one["of"] == "orders") == ORDERS
    assert (report["refunds"], report["refunded"]) == (6, 6)
    assert report["money_back"] == {"GBP": {"kentico": "9.00", "xero": "9.00"}}
    for money in report["money"].values():
        assert money["kentico"] == money["xero"]
    listed = [json.loads(line) for line in day.k2x("summary", "ls", "--json", "--since", str(DAY)).output.splitlines()]
    assert ({one["state"] for one in listed}, sum(one["count"] for one in listed)) == ({"posted"}, ORDERS + 6)
    for one in listed:
        shown = day.k2x("summary", "show", one["number"], "--json")
        assert (shown.exit_code, len(json.loads(shown.output)["orders"])) == (0, one["count"])
    _planted(day)


def _whole(number: str, stamp: str) -> str:
    """Without its supplement's: a machine that stood still for longer than the quiet time has two for a day."""
    return number.partition(stamp)[0] + stamp


def given_back(order: Order) -> Order:
    """The event that 1.50 of it was given back in the evening of its day."""
    at = datetime.combine(DAY, time(20, 0), UTC)
    refund: Any = {
        "refund_id": "re-1", "refunded_at": at, "currency": "GBP", "amount": Decimal("1.50"), "reason": None,
        "lines": [], "shipping": None, "tender": None, "transaction_id": "re_1",
    }  # fmt: skip
    now = datetime.now(UTC)
    told = {"refund": refund, "event_type": "order.refunded", "version": now, "observed_at": now, "received_at": now}
    return cast(Order, {**order, **told})


def _is_given_back(entry: dict[str, Any]) -> bool:
    return (entry["kind"], entry["state"]) == ("order_refund", "POSTED")


def _planted(day: SummaryDay) -> None:
    """What a hand may do to summaries, and what a ledger may lose, is found by its kind, with store and day."""
    uk, outlet, trade = (f"{prefix}{STAMP}" for prefix in SITES.values())
    day.office.side_door("edit", {"org": "uk", "action": "delete_payment", "number": uk})
    day.office.side_door("edit", {"org": "uk", "action": "duplicate_invoice", "number": outlet})
    day.office.side_door("edit", {"org": "uk", "action": "void", "number": trade})
    member = next(key for key in day.office.ledger() if "|member|" in key and f"GoatUK/{STAMP}|" in key)
    order = "|".join(member.split("|")[3:])
    producer = Producer({**day.office.kafka, "enable.idempotence": True})
    producer.produce(topics.ledger(day.slug), key=member.encode(), value=None)
    assert producer.flush(20) == 0
    report = day.report("--since", str(DAY))
    found = {(finding["kind"], finding["code"], finding["invoice"]) for finding in report["findings"]}
    assert found == {
        ("drifted", "payment_deleted", uk),
        ("doubled", "duplicate_summary", f"{outlet}-COPY"),
        ("drifted", "summary_voided", trade),
        ("lost", "order_in_no_summary", uk),
    }
    assert {finding["order"] for finding in report["findings"] if finding["kind"] == "lost"} == {order}
    assert {finding["day"] for finding in report["findings"]} == {str(DAY)}
    assert {finding["store"] for finding in report["findings"]} == {f"{day.slug}/{site}" for site in SITES}
    assert day.k2x("summary", "show", uk).exit_code == 1


def _told(day: SummaryDay, order: str, number: str) -> None:
    """By `k2x trace`: into which summary it was collected, when that closed, and what Xero answered."""
    told = day.k2x("trace", order).output
    assert f"collected into summary {number}" in told
    assert "its summary: summary POSTED" in told
    assert f"order POSTED as {number}" in told
    summary = day.k2x("trace", f"UK-{EVE_STAMP}").output
    assert f"Summary {day.slug}|GoatUK/{EVE_STAMP}" in summary
    assert "are in it" in summary


def around(day: SummaryDay, midnights: dict[str, datetime], first: int, seconds: int) -> Iterator[Order]:
    """Two orders of each store, that many seconds from its midnight: before it, or from it on."""
    for number, (site, midnight) in enumerate(midnights.items()):
        start, every = midnight + timedelta(seconds=seconds), timedelta(seconds=1 if seconds > 0 else 0.5)
        yield from day.orders(2, first=first + number * 500, start=start, every=every, sites=[site])


def own_invoices(day: SummaryDay) -> list[dict[str, Any]]:
    """PAID invoices of orders by themselves."""
    return [i for i in day.books()["invoices"] if i["Status"] == "PAID" and EVE_STAMP not in i["InvoiceNumber"]]
