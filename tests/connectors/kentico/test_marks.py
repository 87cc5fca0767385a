"""How far a table has been read, and which orders are known: without a shop, with every case of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kentico.known import MOST, KnownOrders
from connectors.kentico.marks import Scan, Table
from connectors.kentico.times import localised, wall_from
from connectors.kentico.watched import ITEMS

LONDON = ZoneInfo("Europe/London")
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(text: str) -> datetime:
    """A time on the wall, without a zone."""
    return at(text).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("moment", "earliest"),
    [
        ("2026-11-02T12:00:00", "2026-11-02T12:00:00.000000"),
        ("2026-07-02T12:00:00.5", "2026-07-02T13:00:00.500000"),
        # An hour before the clocks go back the times that follow begin an hour earlier than this one.
        ("2026-10-25T00:30:00", "2026-10-25T00:30:00.000000"),
        ("2026-10-24T23:59:00", "2026-10-24T23:59:00.000000"),
        ("2026-10-24T21:59:00", "2026-10-24T22:59:00.000000"),
        ("2026-10-25T01:30:00", "2026-10-25T01:30:00.000000"),
        # Before they go forward: no time is lost by beginning at the earlier one.
        ("2026-03-29T00:59:59", "2026-03-29T00:59:59.000000"),
        ("2026-03-29T01:00:00", "2026-03-29T02:00:00.000000"),
    ],
)
def test_the_condition_begins_at_the_earliest_time_that_can_follow(moment: str, earliest: str) -> None:
    assert wall_from(at(moment), LONDON) == earliest


@settings(max_examples=150, deadline=None)
@given(
    zone=st.sampled_from(["Europe/London", "Australia/Sydney", "Australia/Lord_Howe", "America/New_York", "UTC"]),
    begin=st.datetimes(wall("2025-01-01"), wall("2027-12-31")),
    later=st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_no_row_written_after_a_moment_is_outside_its_condition(zone: str, begin: datetime, later: timedelta) -> None:
    since = begin.replace(tzinfo=UTC)
    written = (since + later).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert written.isoformat(timespec="microseconds") >= wall_from(since, ZoneInfo(zone))


def test_both_readings_of_the_hour_that_comes_twice_are_met() -> None:
    """A row of the first 01:30 and one of the second: each is read as what it can be when it is seen."""
    twice = wall("2026-10-25T01:30")
    assert localised(twice, LONDON, at("2026-10-25T00:31:00")) == at("2026-10-25T00:30:00")
    assert localised(twice, LONDON, at("2026-10-25T01:31:00")) == at("2026-10-25T01:30:00")
    # The hour that is left out: a clock that was set late writes it; it is placed, not refused.
    assert localised(wall("2026-03-29T01:30"), LONDON, NOON) in (
        at("2026-03-29T00:30:00"),
        at("2026-03-29T01:30:00"),
    )


def scanned(table: Table, rows: list[tuple[int, datetime | None]], started: datetime = NOON) -> Table:
    table.scan = Scan(started)
    for key, stamp in rows:
        table.done(key, stamp)
    table.met(rows)
    table.finish()
    return table


def test_the_mark_goes_to_the_newest_row_and_never_past_the_servers_clock() -> None:
    table = Table(NOON - timedelta(hours=1))
    scanned(table, [(1, NOON - timedelta(minutes=9)), (2, NOON - timedelta(minutes=10)), (3, None)])
    assert table.through == NOON - timedelta(minutes=9)
    scanned(table, [(4, NOON + timedelta(days=27_000)), (5, NOON + timedelta(seconds=30))], NOON)
    assert table.through == NOON, "a stamp of the far future, or a clock that is ahead, must not carry the mark away"
    scanned(table, [], NOON - timedelta(minutes=20))
    assert table.through == NOON - timedelta(minutes=20), "a clock that was set back takes the mark with it"


def test_in_a_quiet_shop_the_window_moves_on_with_time() -> None:
    """Else a night job's ten thousand rows would be looked at again until the next order."""
    behind = NOON - timedelta(hours=10)  # a zone that is configured wrongly: its stamps still follow each other
    table = scanned(Table(behind - timedelta(hours=1)), [(1, behind)])
    assert table.through == behind
    scanned(table, [(1, behind)], NOON + timedelta(minutes=30))
    assert table.through == behind + timedelta(minutes=30)
    again = Table.read(table.written())
    scanned(again, [], NOON + timedelta(hours=8))
    assert again.through == behind + timedelta(minutes=30), "a process that was away does not know how time passed"


def test_a_row_is_new_until_it_is_done_with_that_very_stamp() -> None:
    table = scanned(Table(NOON), [(7, NOON)])
    assert not table.is_new(7, NOON)
    assert table.is_new(7, NOON + timedelta(microseconds=1))
    assert table.is_new(8, NOON)


def test_rows_that_left_the_window_are_forgotten_and_those_in_it_outlive_a_restart() -> None:
    table = scanned(Table(NOON), [(1, NOON), (2, NOON)])
    table.scan = Scan(NOON)
    assert not table.is_new(2, NOON)
    table.met([(2, NOON)])
    table.finish()
    assert set(table.seen) == {2}
    again = Table.read(table.written())
    assert (again.through, again.scan, again.is_new(2, NOON)) == (table.through, None, False)


def test_a_scan_under_way_goes_on_where_it_was() -> None:
    table = Table(NOON, Scan(NOON + timedelta(minutes=1)))
    table.done(41, "x")
    table.met([(41, NOON + timedelta(seconds=5))])
    again = Table.read(table.written())
    assert again.scan == Scan(NOON + timedelta(minutes=1), 41, NOON + timedelta(seconds=5))
    condition = again.condition(ITEMS, timedelta(minutes=5), LONDON)
    assert condition == "OrderItemLastModified >= '2026-11-02T11:55:00.000000' AND OrderItemID > 41"
    again.finish()
    assert not again.is_new(41, "x"), "what was done before the restart counts as met by the scan"


def test_known_orders_are_counted_listed_and_kept_in_few_bytes() -> None:
    known = KnownOrders(1000)
    for order_id in (900, 1001, 1002, 1004, 1017):
        known.add(order_id, "A" if order_id % 2 else "B")
    assert (known.last, known.count(1001, 1017), known.count(1002, 1016)) == (1017, 4, 2)
    assert list(known.ids(0, 1016)) == [1001, 1002, 1004]
    assert (known.site_of(1002), known.site_of(1017), known.site_of(1003), 900 in known) == ("B", "A", None, False)
    known.discard(1002)
    again = KnownOrders(known.floor, known.packed())
    assert list(again.ids(1001, 1017)) == [1001, 1004, 1017]
    for order_id in range(2000, 102_000):
        known.add(order_id, "A")
    assert sum(map(len, known.packed().values())) < 13_000
    assert known.count(1, 200_000) == 100_003


def test_the_oldest_known_orders_are_let_go() -> None:
    known = KnownOrders(0)
    known.add(5, "A")
    known.add(2 * MOST + 10, "A")
    known.add(2 * MOST + 11, "B")
    assert known.floor > 5
    assert list(known.ids(0, 3 * MOST)) == [2 * MOST + 10, 2 * MOST + 11]


@settings(max_examples=100, deadline=None)
@given(
    floor=st.integers(0, 50),
    added=st.sets(st.integers(1, 300)),
    removed=st.sets(st.integers(1, 300)),
    first=st.integers(0, 310),
    length=st.integers(0, 310),
)
def test_known_orders_are_a_set(floor: int, added: set[int], removed: set[int], first: int, length: int) -> None:
    known = KnownOrders(floor)
    for order_id in added:
        known.add(order_id, f"site{order_id % 3}")
    for order_id in removed:
        known.discard(order_id)
    wanted = sorted(i for i in added - removed if i > floor and first <= i <= first + length)
    assert list(known.ids(first, first + length)) == wanted
    assert known.count(first, first + length) == len(wanted)
