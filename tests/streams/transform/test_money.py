"""Amounts and Xero's arithmetic, with the vectors recorded from Xero (reference/xero-data.md §2)."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.transform.money import UNITS, number, rounded, shares, text
from streams.transform.xero_math import line_amount, line_tax, totals
from streams.transform.zones import named, zone_of

D = Decimal
CENTS = st.integers(0, 10_000_00).map(lambda cents: D(cents) / 100)


def test_half_is_rounded_away_from_zero() -> None:
    assert [rounded(D(one), UNITS[2]) for one in ("0.005", "-0.005", "1.004")] == [D("0.01"), D("-0.01"), D("1.00")]
    assert rounded(D("0.5"), UNITS[0]) == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("29.900000000", "29.9"),
        ("100", "100"),
        ("1E+2", "100"),
        ("-0.00", "0"),
        ("0.0001", "0.0001"),
        ("-3.10", "-3.1"),
    ],
)
def test_numbers_as_json(value: str, shown: str) -> None:
    assert text(D(value)) == shown
    assert orjson.dumps(number(D(value))).decode() == shown


def test_shares_by_largest_remainder() -> None:
    assert shares(D("1.00"), [D(1), D(1), D(1)], UNITS[2]) == [D("0.34"), D("0.33"), D("0.33")]
    assert shares(D("0.02"), [D(0), D(1), D(5)], UNITS[2]) == [D(0), D("0.00"), D("0.02")]
    assert shares(D(10), [D(1), D(2)], UNITS[0]) == [D(3), D(7)]


@given(st.lists(CENTS, min_size=1, max_size=12).filter(any), st.integers(0, 100))
def test_shares_sum_and_never_exceed_what_they_are_taken_from(weights: list[Decimal], percent: int) -> None:
    amount = rounded(sum(weights, D(0)) * percent / 100, UNITS[2])
    parts = shares(amount, weights, UNITS[2])
    assert sum(parts) == amount
    assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))


@pytest.mark.parametrize(
    ("amount", "percent", "inclusive", "tax"),
    [
        ("21.00", "15", False, "3.15"),
        ("541.25", "15", True, "70.60"),
        ("500", "15", True, "65.22"),
        ("89", "15", True, "11.61"),
        ("97", "15", True, "12.65"),
        ("464.55", "15", True, "60.59"),
        ("450.00", "15", True, "58.70"),
        ("4.62", "8.25", False, "0.38"),
        ("0.00", "20", True, "0.00"),
    ],
)
def test_tax_as_xero_recorded_it(amount: str, percent: str, inclusive: bool, tax: str) -> None:
    assert line_tax(D(amount), D(percent), inclusive) == D(tax)


def test_documents_as_xero_recorded_them() -> None:
    assert line_amount(D(2), D("10.50"), D(0)) == D("21.00")
    lines = [(D("464.55"), D("60.59")), (D("450.00"), D("58.70"))]
    assert totals(lines, True) == (D("914.55"), D("119.29"))
    assert totals([(D("21.00"), D("3.15"))], False) == (D("24.15"), D("3.15"))


@pytest.mark.parametrize(
    ("xero", "iana"),
    [
        ("GMTSTANDARDTIME", "Europe/London"),
        ("AUSEASTERNSTANDARDTIME", "Australia/Sydney"),
        ("NEWZEALANDSTANDARDTIME", "Pacific/Auckland"),
        ("WEUROPESTANDARDTIME", "Europe/Berlin"),
        ("EASTERNSTANDARDTIME", "America/New_York"),
    ],
)
def test_xeros_time_zones(xero: str, iana: str) -> None:
    assert str(zone_of(xero)) == iana
    assert zone_of("MOONSTANDARDTIME") is None
    assert named("Mars/Base") is None
