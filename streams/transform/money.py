"""Amounts: rounding half up (away from zero), sharing by largest remainder, exact JSON numbers. Pure, Decimal only."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

import orjson

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)
FOUR = Decimal("0.0001")
SIX = Decimal("0.000001")
XERO_DECIMALS = 2  # totals of a document, in any currency (xero.md §4.3)
# By decimals of a currency; Kentico's CurrencyRoundTo may say more than Xero keeps.
UNITS = (Decimal(1), Decimal("0.1"), Decimal("0.01"))


def rounded(value: Decimal, unit: Decimal) -> Decimal:
    """To whole `unit`s (0.01, 1), half away from zero."""
    return value.quantize(unit, ROUND_HALF_UP)


def shares(amount: Decimal, weights: Sequence[Decimal], unit: Decimal) -> list[Decimal]:
    """`amount` split by `weights` into whole units that sum to it: largest remainder, the earlier one on a tie.

    `amount` is in whole units, weights are not negative and not all zero; a zero weight gets nothing.
    """
    whole = sum(weights, ZERO)
    exact = [amount * weight / whole for weight in weights]
    parts = [one.quantize(unit, ROUND_DOWN) for one in exact]
    left = int((amount - sum(parts, ZERO)) / unit)
    step = unit if left > 0 else -unit
    order = sorted((i for i, w in enumerate(weights) if w), key=lambda i: (-abs(exact[i] - parts[i]), i))
    for i in order[: abs(left)]:
        parts[i] += step
    return parts


def text(value: Decimal) -> str:
    """Shortest exact text: 29.900000000 → 29.9, 1E+2 → 100."""
    written = f"{value:f}"
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return "0" if written == "-0" else written


def number(value: Decimal) -> orjson.Fragment:
    """The same as a JSON number, digit for digit."""
    return orjson.Fragment(text(value))
