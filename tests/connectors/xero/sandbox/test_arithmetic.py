"""Vectors recorded from a real organisation (reference/xero-data.md §2), and what follows from the rules."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from connectors.xero.sandbox.arithmetic import line_amount, line_tax, totals, unit


@pytest.mark.parametrize(
    ("amount", "percent", "kind", "tax"),
    [
        ("21.00", "15", "Exclusive", "3.15"),
        ("541.25", "15", "Inclusive", "70.60"),
        ("500.00", "15", "Inclusive", "65.22"),
        ("89.00", "15", "Inclusive", "11.61"),
        ("97.00", "15", "Inclusive", "12.65"),
        ("464.55", "15", "Inclusive", "60.59"),
        ("450.00", "15", "Inclusive", "58.70"),
        ("4.62", "8.25", "Exclusive", "0.38"),
        ("-4.62", "8.25", "Exclusive", "-0.38"),
        ("0.50", "5", "Exclusive", "0.03"),  # 0.025 rounds away from zero
        ("-0.50", "5", "Exclusive", "-0.03"),
        ("100.00", "20", "NoTax", "0.00"),
    ],
)
def test_tax_of_a_line(amount: str, percent: str, kind: str, tax: str) -> None:
    assert line_tax(D(amount), D(percent), kind) == D(tax)  # type: ignore[arg-type]


def test_tax_is_rounded_per_line_and_then_summed() -> None:
    lines = [(D("464.55"), D("60.59")), (D("450.00"), D("58.70"))]
    sums = totals(lines, "Inclusive")
    assert (sums.sub_total, sums.tax, sums.total) == (D("795.26"), D("119.29"), D("914.55"))
    assert totals(lines, "Exclusive").total == D("1033.84")


def test_discounts_and_unit_decimals() -> None:
    assert line_amount(D(3), D("9.99"), D("10")) == D("26.97")
    assert line_amount(D(3), D("9.99"), None, D("1.01")) == D("28.96")
    assert unit(D("0.33335"), 4) == D("0.3334")
    assert unit(D("0.335"), 2) == D("0.34")
