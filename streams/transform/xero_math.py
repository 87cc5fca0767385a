"""What Xero will compute of a document: lines, tax per line, totals; two decimals, half up (xero.md §4.3). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from streams.transform.money import HUNDRED, UNITS, XERO_DECIMALS, ZERO

_CENT = UNITS[XERO_DECIMALS]


def line_amount(quantity: Decimal, unit_amount: Decimal, discount: Decimal) -> Decimal:
    """LineAmount of an invoice's line: round2(quantity × unit − discount)."""
    return (quantity * unit_amount - discount).quantize(_CENT, ROUND_HALF_UP)


def line_tax(amount: Decimal, percent: Decimal, inclusive: bool) -> Decimal:
    """Tax that Xero adds to, or finds in, a line amount. Inclusive: what is left beside the rounded net."""
    if not percent:
        return ZERO
    if inclusive:
        return amount - (amount * HUNDRED / (HUNDRED + percent)).quantize(_CENT, ROUND_HALF_UP)
    return (amount * percent / HUNDRED).quantize(_CENT, ROUND_HALF_UP)


def exact_tax(amount: Decimal, percent: Decimal, inclusive: bool) -> Decimal:
    """The tax before any rounding."""
    return amount * percent / (HUNDRED + percent if inclusive else HUNDRED)


def totals(lines: Iterable[tuple[Decimal, Decimal]], inclusive: bool) -> tuple[Decimal, Decimal]:
    """(Total, TotalTax) of (line amount, tax) pairs."""
    amount = tax = ZERO
    for one, its_tax in lines:
        amount += one
        tax += its_tax
    return (amount if inclusive else amount + tax), tax
