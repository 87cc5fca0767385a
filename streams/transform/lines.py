"""Order items as invoice lines (BOOKKEEPING §2): options, bundles, shared discounts, shipping, rounding. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from schemas.types import NamedAmount, OrderItem
from streams.transform import classes, xero_math
from streams.transform.context import Draft, Line
from streams.transform.errors import Refuse, invalid
from streams.transform.money import FOUR, ONE, UNITS, XERO_DECIMALS, ZERO, rounded, shares, text
from streams.transform.texts import printable

DESCRIPTION_LIMIT = 4000  # xero.md §4.3
_LINES_SHOWN = 3
_LEAST_ROUNDING = 5  # minor units that are always allowed
_CENT = UNITS[XERO_DECIMALS]
_NO_GUID = "00000000-0000-0000-0000-000000000000"  # StoreApi's null


def lines(draft: Draft) -> None:
    """The lines with their amounts, and whether these contain the tax."""
    billed, notes = _billed(draft)
    totals = [rounded(item["OrderItemTotalPrice"], draft.unit) for item in billed]
    discounts = _order_discounts(draft, totals)
    found = [
        _item_line(draft, item, total, share, notes.get(id(item), ()))
        for item, total, share in zip(billed, totals, discounts, strict=True)
    ]
    shipping = _shipping_line(draft)
    if shipping is not None:
        found.append(shipping)
    classes.complete(draft, found)
    net = sum((line.net for line in found), ZERO)
    draft.inclusive = _inclusive(draft, found, net)
    difference = draft.total - net - (ZERO if draft.inclusive else draft.total_tax)
    if difference and abs(difference) <= allowed_rounding(draft, len(found)):
        found.append(_rounding_line(draft, difference))
    draft.lines = found


def allowed_rounding(draft: Draft, lines_: int) -> Decimal:
    """What a rounding line may carry: 1 minor unit a line, at least 5, at most the rule; without decimals at most 5."""
    limit = draft.store.rules.rounding_limit
    units = min(limit, max(_LEAST_ROUNDING, lines_)) if draft.decimals else min(limit, _LEAST_ROUNDING)
    return units * draft.unit


def _billed(draft: Draft) -> tuple[list[OrderItem], dict[int, list[str]]]:
    """The items that are lines, and for each of them (by identity) what is only named under it."""
    items = draft.order["items"]
    if not any(_parent(item) for item in items):
        return items, {}
    by_guid = {guid: item for item in items if (guid := _guid(item["OrderItemGuid"]))}
    members_are_lines = _members_are_lines(draft)
    billed, children = [], []
    for item in items:
        parent = by_guid.get(_parent(item) or "")
        member = _guid(item["OrderItemBundleGUID"]) is not None
        own = bool(item["OrderItemTotalPrice"] or item["OrderItemUnitPrice"]) and (members_are_lines or not member)
        if parent is None or parent is item or own:
            billed.append(item)
        else:
            children.append(item)
    lines_ = {id(item) for item in billed}
    notes: dict[int, list[str]] = {}
    for item in children:
        above: OrderItem | None = item
        for _ in range(len(items)):  # a member's option belongs under the bundle; GUIDs in a circle end here
            above = by_guid.get(_parent(above) or "") if above is not None else None
            if above is None or id(above) in lines_:
                break
        if above is None or id(above) not in lines_:
            billed.append(item)
        else:
            notes.setdefault(id(above), []).append(_note(item))
    return billed, notes


def _members_are_lines(draft: Draft) -> bool:
    """Whether the prices of bundle members are part of the order's sum (not documented by Kentico: the sum decides)."""
    members = sum((i["OrderItemTotalPrice"] for i in draft.order["items"] if _guid(i["OrderItemBundleGUID"])), ZERO)
    if not members:
        return False
    whole = sum((item["OrderItemTotalPrice"] for item in draft.order["items"]), ZERO)
    row = draft.order["order"]
    rest = _named(row["OrderDiscounts"]) - (row["OrderTotalShipping"] or ZERO)
    mode = _told(draft)

    def miss(goods: Decimal) -> Decimal:
        gap = draft.total - (goods - rest)
        contained, added = abs(gap), abs(gap - draft.total_tax)
        return min(contained, added) if mode is None else contained if mode else added

    return miss(whole) <= miss(whole - members)


def _parent(item: OrderItem) -> str | None:
    return _guid(item["OrderItemBundleGUID"]) or _guid(item["OrderItemParentGuid"])


def _guid(value: str | None) -> str | None:
    return value.lower() if value and value != _NO_GUID else None


def _note(item: OrderItem) -> str:
    count = item["OrderItemUnitCount"]
    many = "" if count == 1 else f"{text(count)} × "
    note = f": {item['OrderItemText']}" if item["OrderItemText"] else ""
    return f"+ {many}{item_name(item)}{note}"


def item_name(item: OrderItem) -> str:
    """The name as it was sold."""
    return item["OrderItemSKUName"] or item["SKUNumber"] or f"SKU {item['OrderItemSKUID']}"


def _order_discounts(draft: Draft, totals: list[Decimal]) -> list[Decimal]:
    """Each item's share of the order's discounts, by price."""
    discount = rounded(_named(draft.order["order"]["OrderDiscounts"]), draft.unit)
    if not discount:
        return [ZERO] * len(totals)
    weights = [max(total, ZERO) for total in totals]
    goods = sum(weights, ZERO)
    if discount < 0 or discount > goods:
        text_ = f"{draft.who}: OrderDiscounts are {draft.amount(discount)} on items of {draft.amount(goods)}"
        raise invalid("discounts_exceed_items", text_, "Correct the order's discounts in Kentico.")
    return shares(discount, weights, draft.unit)


def _named(amounts: list[NamedAmount]) -> Decimal:
    return sum((one["value"] for one in amounts), ZERO) if amounts else ZERO


def _item_line(draft: Draft, item: OrderItem, total: Decimal, share: Decimal, notes: Iterable[str]) -> Line:
    count, price = item["OrderItemUnitCount"], item["OrderItemUnitPrice"]
    net = total - share
    gross = count * price
    name = item_name(item)
    if count <= 0 < total:
        text_ = f"{draft.who}: {text(count)} × {name} cost {draft.amount(total)}"
        raise invalid("item_count", text_, "Correct OrderItemUnitCount or OrderItemTotalPrice in Kentico.")
    off = gross - _named(item["OrderItemDiscountSummary"]) - item["OrderItemTotalPrice"]
    if abs(off) > draft.unit and draft.order["dialect"] == "K13":
        draft.findings.append(
            f"{name}: {text(count)} × {text(price)} less its discounts is not OrderItemTotalPrice {text(total)}, "
            "which is taken"
        )
    whole = gross.quantize(_CENT, ROUND_HALF_UP)
    discount = whole - net
    if discount < 0 or price != price.quantize(FOUR) or xero_math.line_amount(count, price, discount) != net:
        # Xero keeps four decimals of a price: the line's total is kept instead.
        many = name if count == 1 else f"{text(count)} × {name}"
        unit_amount = max(whole, net)
        return _line(draft, item, many, ONE, unit_amount, unit_amount - net, net, notes)
    return _line(draft, item, name, count, price, discount, net, notes)


def _line(
    draft: Draft,
    item: OrderItem,
    name: str,
    count: Decimal,
    price: Decimal,
    discount: Decimal,
    net: Decimal,
    notes: Iterable[str],
) -> Line:
    own = item["OrderItemText"]
    title = f"{name}: {own}" if own else name
    return Line(
        kind="item",
        name=item["SKUNumber"] or name,
        description=_description(draft, "\n".join((title, *notes))),
        quantity=count,
        unit_amount=price,
        discount=discount,
        net=net,
        item=item,
        class_name=item["TaxClassDisplayName"] or item["TaxClassName"],
        class_code=item["TaxClassName"],
        rate=item["TaxRate"],
    )


def _description(draft: Draft, value: str) -> str:
    value = printable(value)
    if len(value) > DESCRIPTION_LIMIT:
        draft.findings.append(f"a description of {len(value)} characters was cut to {DESCRIPTION_LIMIT}")
        value = value[: DESCRIPTION_LIMIT - 1] + "…"
    return value.strip() or "Item"


def _shipping_line(draft: Draft) -> Line | None:
    amount = rounded(draft.order["order"]["OrderTotalShipping"] or ZERO, draft.unit)
    if not amount:
        return None
    option = draft.order["shipping"]
    name = (option and (option["ShippingOptionDisplayName"] or option["ShippingOptionName"])) or "Shipping"
    return Line(
        kind="shipping",
        name="shipping",
        description=_description(draft, name),
        quantity=ONE,
        unit_amount=amount,
        discount=ZERO,
        net=amount,
        class_name=(option["TaxClassDisplayName"] or option["TaxClassName"]) if option else None,
        class_code=option["TaxClassName"] if option else None,
        rate=option["TaxRate"] if option else None,
    )


def _told(draft: Draft) -> bool | None:
    """Whether prices contain the tax, as the rule or the site's setting says; None: they say nothing."""
    rule = draft.store.rules.line_amounts
    return draft.order["prices_include_tax"] if rule == "auto" else rule == "inclusive"


def _inclusive(draft: Draft, found: list[Line], net: Decimal) -> bool:
    """Whether prices contain the tax: the rule, the site's setting, else the reading by which the sums fit better."""
    told = _told(draft)
    if told is not None:
        return told
    contained, added = abs(draft.total - net), abs(draft.total - net - draft.total_tax)
    if min(contained, added) > allowed_rounding(draft, len(found)):
        draft.lines = found
        raise unbalanced(draft, net if contained < added else net + draft.total_tax, inclusive=contained < added)
    return contained < added


def unbalanced(draft: Draft, made: Decimal, *, inclusive: bool) -> Refuse:
    """The lines make another sum than the order's: both sums, and how far a rounding line could have gone."""
    shown = [f"{line.name} {line.net}" for line in draft.lines[:_LINES_SHOWN]]
    if len(draft.lines) > _LINES_SHOWN:
        shown.append(f"{len(draft.lines) - _LINES_SHOWN} more")
    other = made + (draft.total_tax if inclusive else -draft.total_tax)
    mode = "prices with tax" if inclusive else f"and tax {draft.total_tax}"
    hint = "Correct the order's sums in Kentico: its items, OrderDiscounts, OrderTotalShipping, OrderTotalTax."
    if other == draft.total and draft.total_tax:
        without = "do not " if inclusive else ""
        hint = f"The sums fit if prices {without}include tax: check prices_include_tax in k2x.yaml."
    return invalid(
        "unbalanced",
        f"{draft.who}: the lines ({', '.join(shown)}; {mode}) make {draft.amount(made)}, but OrderTotalPrice is "
        f"{draft.amount(draft.total)}; the difference of {draft.amount(draft.total - made)} is more than rounding "
        f"({draft.amount(allowed_rounding(draft, len(draft.lines)))})",
        hint,
    )


def _rounding_line(draft: Draft, difference: Decimal) -> Line:
    return Line("rounding", "rounding", "Rounding", ONE, difference, ZERO, difference, rate=ZERO)
