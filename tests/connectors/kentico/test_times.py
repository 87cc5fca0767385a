from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from connectors.kentico.errors import BadValue
from connectors.kentico.times import american, moment

LONDON = ZoneInfo("Europe/London")
SYDNEY = ZoneInfo("Australia/Sydney")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


LATER = at("2030-01-01T00:00:00")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-02T10:15:30.1234567", "2026-11-02T10:15:30.123456"),
        ("2026-07-02T10:15:30", "2026-07-02T09:15:30"),
        ("2026-07-02 10:15:30.5", "2026-07-02T09:15:30.500000"),
        ("2013-03-22T15:17:54.043-04:00", "2013-03-22T19:17:54.043000"),
        ("2020-09-16T13:27:02-0500", "2020-09-16T18:27:02"),
        ("2026-11-02T10:15:30.1234567Z", "2026-11-02T10:15:30.123456"),
        ("/Date(1299419802000)/", "2011-03-06T13:56:42"),
        ("/Date(1299419802123+0200)/", "2011-03-06T13:56:42.123000"),
        ("/Date(-1000)/", "1969-12-31T23:59:59"),
    ],
)
def test_forms_of_k13(text: str, expected: str) -> None:
    assert moment(text, LONDON, LATER) == at(expected)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "2026-11-02",
        "20261102T101530",
        "2026-13-02T10:15:30",
        "6/9/2021 1:59:03 PM",
        "/Date(x)/",
        5,
        None,
        "/Date(999999999999999)/",
    ],
)
def test_other_forms_are_refused(bad: object) -> None:
    with pytest.raises(BadValue):
        moment(bad, LONDON, LATER)


# 25 October 2026, 01:30 happens twice in London: 00:30 and 01:30 UTC.
@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        ("2026-10-25T00:31:00", "2026-10-25T00:30:00"),
        ("2026-10-25T01:31:00", "2026-10-25T01:30:00"),
        # Kentico's clock may run minutes ahead of ours.
        ("2026-10-25T01:27:00", "2026-10-25T01:30:00"),
        # Long after, nobody can tell: the later reading never hides a change behind an older version.
        ("2026-11-25T00:00:00", "2026-10-25T01:30:00"),
    ],
)
def test_ambiguous_hour_is_resolved_by_the_observation(observed: str, expected: str) -> None:
    assert moment("2026-10-25T01:30:00", LONDON, at(observed)) == at(expected)


@pytest.mark.parametrize("printed", ["2026-10-25T01:30:00+00:00", "/Date(1792891800000)/"])
def test_a_server_that_prints_the_second_of_two_equal_hours_is_corrected_where_that_lies_ahead(printed: str) -> None:
    """.NET reads the column's ambiguous hour as standard time, and prints an offset that says so."""
    assert moment(printed, LONDON, at("2026-10-25T00:31:00")) == at("2026-10-25T00:30:00")
    assert moment(printed, LONDON, at("2026-10-25T01:31:00")) == at("2026-10-25T01:30:00")
    assert moment("2027-01-25T01:30:00+00:00", LONDON, LATER) == at("2027-01-25T01:30:00")


def test_hour_that_does_not_exist_is_still_a_time() -> None:
    assert moment("2026-03-29T01:30:00", LONDON, LATER) == at("2026-03-29T01:30:00")


def test_southern_summer_time() -> None:
    assert moment("2026-01-15T10:00:00", SYDNEY, LATER) == at("2026-01-14T23:00:00")


def test_american_text_is_in_the_instances_zone() -> None:
    assert american("6/9/2021 1:59:03 PM", LONDON, LATER) == at("2021-06-09T12:59:03")
    assert american("12/1/2021 12:00:00 AM", LONDON, LATER) == at("2021-12-01T00:00:00")
    with pytest.raises(BadValue):
        american("16/06/2021 13:59:03", LONDON, LATER)
