"""Tax classes of an order's lines: how their names are compared, and what a sender leaves out. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from streams.transform.context import Draft, Line


def fold(name: str) -> str:
    """A class's name for comparison."""
    return name.strip().casefold()


def names_of(line: Line) -> tuple[str, ...]:
    """Both names of a line's class, display name first: OrderTaxSummary and rules go by either."""
    return tuple(fold(name) for name in (line.class_name, line.class_code) if name)


def complete(draft: Draft, lines: Sequence[Line]) -> None:
    """What a sender leaves out: shipping's class (only its id is a column of the option), and rates of a migration."""
    if draft.order["dialect"] == "XBYK" and draft.total_tax and not any(line.rate for line in lines):
        for line in lines:  # orders migrated to Xperience by Kentico have zero rates beside a real tax (kentico.md §1)
            line.rate = None
    shipping = lines[-1] if lines and lines[-1].kind == "shipping" else None
    if shipping is None or (shipping.class_name and shipping.rate is not None):
        return
    twin = _same_class(draft, shipping, lines)
    if twin is not None:
        shipping.class_name, shipping.class_code = twin.class_name, twin.class_code
        shipping.rate = twin.rate if shipping.rate is None else shipping.rate
    elif not shipping.class_name:
        shipping.class_name = draft.store.rules.shipping_tax_class


def _same_class(draft: Draft, shipping: Line, lines: Sequence[Line]) -> Line | None:
    option = draft.order["shipping"]
    class_id = option["ShippingOptionTaxClassID"] if option else None
    wanted = shipping.class_name or (None if class_id is not None else draft.store.rules.shipping_tax_class)
    for line in lines:
        if line.item is None:
            continue
        if class_id is not None and line.item["SKUTaxClassID"] == class_id and line.class_name:
            return line
        if wanted and fold(wanted) in names_of(line):
            return line
    return None
