"""Xero's sums in Decimal: lines, discounts, tax per line rounded half up, totals. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

LineAmountTypes = Literal["Exclusive", "Inclusive", "NoTax"]
ZERO = Decimal("0.00")
CENT = Decimal("0.01")
FOUR = Decimal("0.0001")
HUNDRED = Decimal(100)


def money(value: Decimal) -> Decimal:
    """Two decimals, half up (away from zero)."""
    return value.quantize(CENT, ROUND_HALF_UP)


def unit(value: Decimal, places: int) -> Decimal:
    """A unit amount at 2 or 4 decimals (`unitdp`)."""
    return value.quantize(FOUR if places == 4 else CENT, ROUND_HALF_UP)


def quantity(value: Decimal) -> Decimal:
    """Quantities and discount rates have four decimals."""
    return value.quantize(FOUR, ROUND_HALF_UP)


def line_amount(
    count: Decimal, unit_amount: Decimal, discount_rate: Decimal | None = None, discount_amount: Decimal | None = None
) -> Decimal:
    """The line's amount after its discount, two decimals."""
    gross = count * unit_amount
    if discount_rate is not None:
        return money(gross * (HUNDRED - discount_rate) / HUNDRED)
    if discount_amount is not None:
        return money(gross - discount_amount)
    return money(gross)


def line_tax(amount: Decimal, percent: Decimal, amounts: LineAmountTypes) -> Decimal:
    """Tax of one line: added for Exclusive, contained for Inclusive, none for NoTax."""
    if amounts == "NoTax" or not percent:
        return ZERO
    if amounts == "Exclusive":
        return money(amount * percent / HUNDRED)
    return amount - money(amount * HUNDRED / (HUNDRED + percent))


@dataclass(frozen=True, slots=True)
class Totals:
    """`total` = `sub_total` + `tax`, all two decimals."""

    sub_total: Decimal
    tax: Decimal
    total: Decimal


def totals(lines: Iterable[tuple[Decimal, Decimal]], amounts: LineAmountTypes) -> Totals:
    """Sum of (line amount, tax); the line amounts of an Inclusive document contain their tax."""
    amount, tax = ZERO, ZERO
    for one, its_tax in lines:
        amount += one
        tax += its_tax
    if amounts == "Inclusive":
        return Totals(amount - tax, tax, amount)
    return Totals(amount, tax, amount + tax)
