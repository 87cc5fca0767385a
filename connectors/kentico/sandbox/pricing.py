"""Kentico's money arithmetic, pure: what a basket costs, tax per class and not per line (kentico.md §4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from connectors.kentico.sandbox.catalogue import Catalogue, Currency, Shipping, Site, Sku

ZERO = Decimal(0)
HUNDRED = Decimal(100)


@dataclass(frozen=True)
class Line:
    """One line of a basket. `option_of`, `bundle_of`: positions of other lines; `price` replaces the SKU's (main)."""

    sku: Sku
    quantity: int = 1
    price: Decimal | None = None
    unit_discount: tuple[str, Decimal] | None = None  # name, percent off each unit
    free_units: tuple[str, int] | None = None  # name, units that cost nothing
    option_of: int | None = None
    bundle_of: int | None = None
    text: str | None = None


@dataclass(frozen=True)
class Basket:
    """What a customer wants and how it will be paid; made by a scenario, turned into rows by `checkout.place`."""

    kind: str
    lines: tuple[Line, ...]
    currency: str
    payment: str | None
    settlement: str = "now"
    wish: str = "any"
    country: int | None = None
    shipping: int | None = 0
    free_shipping: bool = False
    order_discount: tuple[str, Decimal] | None = None  # name, percent off the subtotal
    gift_cards: tuple[tuple[str, Decimal | None], ...] = ()  # name, value in the order's currency; None covers the rest
    coupon: str | None = None
    note: str | None = None
    po_number: str | None = None
    off_by: Decimal = ZERO
    year: int | None = None


@dataclass(frozen=True)
class PricedLine:
    """Prices in the order's currency; `unit_discount` is per unit, `line_discount` for the whole line."""

    line: Line
    unit_price: Decimal
    unit_discount: Decimal
    line_discount: Decimal
    total: Decimal


@dataclass(frozen=True)
class Totals:
    """An order's sums in its currency. Inclusive shops: `total_price` contains `tax`; exclusive: it was added."""

    subtotal: Decimal
    order_discount: Decimal
    shipping: Decimal
    tax: Decimal
    tax_summary: tuple[tuple[str, Decimal], ...]
    total_price: Decimal
    other_payments: tuple[tuple[str, Decimal], ...]
    grand_total: Decimal


@dataclass(frozen=True)
class Priced:
    """A basket with its prices."""

    basket: Basket
    currency: Currency
    shipping: Shipping | None
    lines: tuple[PricedLine, ...]
    totals: Totals


def tax_on(base: Decimal, rate: Decimal, inclusive: bool, currency: Currency) -> Decimal:
    """Tax added to, or contained in, an unrounded base; rate in percent."""
    if inclusive:
        return currency.round(base * rate / (HUNDRED + rate))
    return currency.round(base * rate / HUNDRED)


def total_up(
    lines: Iterable[tuple[int, Decimal]],
    discount: Decimal,
    shipping: tuple[int, Decimal] | None,
    gift_cards: Sequence[tuple[str, Decimal | None]],
    *,
    inclusive: bool,
    currency: Currency,
    rate: Callable[[int], Decimal],
    class_name: Callable[[int], str],
) -> Totals:
    """Sums from (tax class, line total) pairs; items' and shipping's tax of a class are merged by display name."""
    by_class: dict[int, Decimal] = {}
    for tax_class, total in lines:
        by_class[tax_class] = by_class.get(tax_class, ZERO) + total
    subtotal = sum(by_class.values(), ZERO)
    summary: dict[str, Decimal] = {}

    def record(tax_class: int, base: Decimal) -> None:
        tax = tax_on(base, rate(tax_class), inclusive, currency)
        if tax:  # Kentico does not record a zero tax
            summary[class_name(tax_class)] = summary.get(class_name(tax_class), ZERO) + tax

    for tax_class, total in by_class.items():
        record(tax_class, total - (total * discount / subtotal if subtotal else ZERO))
    if shipping is not None:
        record(*shipping)
    tax = sum(summary.values(), ZERO)
    carriage = shipping[1] if shipping else ZERO
    total_price = subtotal - discount + carriage + (ZERO if inclusive else tax)
    left = total_price
    tenders: list[tuple[str, Decimal]] = []
    for name, value in gift_cards:
        used = left if value is None else min(value, left)
        if used > 0:
            tenders.append((name, used))
            left -= used
    return Totals(subtotal, discount, carriage, tax, tuple(summary.items()), total_price, tuple(tenders), left)


def price(
    basket: Basket, site: Site, catalogue: Catalogue, *, state: int | None = None, has_tax_id: bool = False
) -> Priced:
    """Price a basket for a billing address in `basket.country` (default: the site's) and `state`."""
    currency = site.currency(basket.currency)
    lines = tuple(_price_line(line, currency) for line in basket.lines)
    subtotal = sum((line.total for line in lines), ZERO)
    discount = currency.round(subtotal * basket.order_discount[1] / HUNDRED) if basket.order_discount else ZERO
    shipping = None if basket.shipping is None else site.shipping[basket.shipping]
    carriage = None if shipping is None else (shipping.tax_class, _carriage(basket, shipping, subtotal, currency))
    country = basket.country or site.country
    totals = total_up(
        ((line.line.sku.tax_class, line.total) for line in lines),
        discount,
        carriage,
        basket.gift_cards,
        inclusive=site.inclusive,
        currency=currency,
        rate=lambda tax_class: catalogue.rate(tax_class, country, state, has_tax_id),
        class_name=catalogue.class_name,
    )
    return Priced(basket, currency, shipping, lines, totals)


def _price_line(line: Line, currency: Currency) -> PricedLine:
    listed = currency.round((line.sku.price if line.price is None else line.price) / currency.value)
    unit_discount = currency.round(listed * line.unit_discount[1] / HUNDRED) if line.unit_discount else ZERO
    unit = listed - unit_discount
    line_discount = unit * line.free_units[1] if line.free_units else ZERO
    return PricedLine(line, unit, unit_discount, line_discount, unit * line.quantity - line_discount)


def _carriage(basket: Basket, shipping: Shipping, subtotal: Decimal, currency: Currency) -> Decimal:
    free = shipping.free_from is not None and subtotal * currency.value >= shipping.free_from
    return ZERO if free or basket.free_shipping else currency.round(shipping.price / currency.value)
