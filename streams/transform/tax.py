"""The tax that was charged, line by line, agreed with Kentico's sums per class (BOOKKEEPING §4). Pure.

Kentico rounds per class and Xero per line: where the sums differ by cents, lines carry a TaxAmount. A wrong rate is
never called rounding: it is refused with both sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import heapify, heappop, heapreplace

from streams.transform import tax_type, xero_math
from streams.transform.classes import fold, names_of
from streams.transform.context import Draft, Line
from streams.transform.errors import Refuse, invalid, unmapped
from streams.transform.money import HUNDRED, ONE, ZERO, rounded, text

_HALF = Decimal("0.5")


@dataclass(slots=True)
class Group:
    """Lines whose tax Kentico gives as one sum. `name`: as in OrderTaxSummary, or the lines' class."""

    name: str
    charged: Decimal
    lines: list[Line] = field(default_factory=list)


def tax(draft: Draft) -> None:
    """Each line's rate, tax, TaxType, and TaxAmount where Xero would compute another."""
    charged = [line for line in draft.lines if line.kind != "rounding"]
    groups = _grouped(draft, charged)
    for group in groups:
        _derive_rates(draft, group)
        _agree(draft, group)
        _spread(draft, group)
    draft.class_taxes = sorted((group.name, group.charged) for group in groups if group.charged)
    for line in draft.lines:
        line.tax_type, line.tax_rule = tax_type.choose(draft, line)


def tolerance(draft: Draft, lines: int) -> Decimal:
    """How far sums may lie apart: half a minor unit for each line, plus one."""
    return draft.unit * (_HALF * lines + ONE)


def _grouped(draft: Draft, lines: Sequence[Line]) -> list[Group]:
    """The lines under the sums of OrderTaxSummary; what it does not name carries no tax (Kentico records no zero)."""
    groups = _summary(draft, len(lines))
    if not groups and draft.total_tax:
        return [Group("tax", draft.total_tax, list(lines))]
    zero: dict[str, Group] = {}
    left: list[Line] = []
    for line in lines:
        group = next((groups[key] for key in names_of(line) if key in groups), None)
        if group is not None:
            group.lines.append(line)
        else:
            left.append(line)
    unclaimed = [group for group in groups.values() if not group.lines]
    for line in left:
        group = _home(draft, line, unclaimed, groups.values())
        if group is None:
            name = line.class_name or "no tax class"
            group = zero.setdefault(name, Group(name, ZERO))
        group.lines.append(line)
    empty = next((group for group in groups.values() if not group.lines), None)
    if empty is not None:
        classes = ", ".join(sorted({line.class_name or "none" for line in lines}))
        raise invalid(
            "tax_class_without_lines",
            f"{draft.who}: OrderTaxSummary has {draft.amount(empty.charged)} of {empty.name!r}, and no line is of that "
            f"class (classes of the lines: {classes})",
            "Was the class renamed? Give it its name of the order back, or correct the order in Kentico.",
        )
    return [*groups.values(), *zero.values()]


def _summary(draft: Draft, lines: int) -> dict[str, Group]:
    """OrderTaxSummary by class, in whole minor units that sum to OrderTotalTax."""
    groups: dict[str, Group] = {}
    for entry in draft.order["order"]["OrderTaxSummary"]:
        if entry["value"]:
            group = groups.setdefault(fold(entry["name"]), Group(entry["name"].strip(), ZERO))
            group.charged += entry["value"]
    if not groups:
        return groups
    for group in groups.values():
        group.charged = rounded(group.charged, draft.unit)
    difference = draft.total_tax - sum((group.charged for group in groups.values()), ZERO)
    if abs(difference) > tolerance(draft, lines):
        sums = " + ".join(f"{group.name} {group.charged}" for group in groups.values())
        raise invalid(
            "tax_summary_disagrees",
            f"{draft.who}: OrderTaxSummary ({sums}) is not OrderTotalTax {draft.amount(draft.total_tax)}",
            "Correct the order's tax in Kentico.",
        )
    if difference:
        max(groups.values(), key=lambda group: group.charged).charged += difference
    return {key: group for key, group in groups.items() if group.charged}


def _home(draft: Draft, line: Line, unclaimed: Sequence[Group], groups: Iterable[Group]) -> Group | None:
    """Where a line belongs whose class the summary does not name: a class that nobody claims (it was renamed), or, for
    a line without a class, the one whose tax its other lines do not explain. None: it carries no tax."""
    if not line.net or line.rate == ZERO:
        return None
    candidates = list(unclaimed) or ([] if line.class_name else list(groups))
    if not candidates:
        return None
    wanted = _exact(draft, line, line.rate) if line.rate is not None else None
    best = max(candidates, key=lambda group: _unexplained(draft, group))
    rest = _unexplained(draft, best)
    if wanted is not None:
        return min(candidates, key=lambda group: abs(_unexplained(draft, group) - wanted))
    return best if rest > _HALF * draft.unit * (len(best.lines) + 1) else None


def _unexplained(draft: Draft, group: Group) -> Decimal:
    known = sum((_exact(draft, line, line.rate) for line in group.lines if line.rate is not None), ZERO)
    return group.charged - known


def _exact(draft: Draft, line: Line, rate: Decimal) -> Decimal:
    return xero_math.exact_tax(line.net, rate, draft.inclusive) if rate else ZERO


def _derive_rates(draft: Draft, group: Group) -> None:
    """The rate of lines that came without: the one by which the class's tax comes out."""
    unknown = [line for line in group.lines if line.rate is None]
    if not unknown:
        return
    rest = _unexplained(draft, group)
    near = tolerance(draft, len(group.lines))

    def miss(rate: Decimal) -> Decimal:
        return abs(sum((_exact(draft, line, rate) for line in unknown), ZERO) - rest)

    if not group.charged:
        found: Decimal | None = ZERO
    else:
        own = {line.rate for line in group.lines if line.rate is not None}
        listed = {rate.rate for rate in draft.store.reference.tax_rates.values() if rate.active}
        known = (own, *tax_type.rates_of(draft, unknown[0]), listed)
        found = next((min(good, key=miss) for rates in known if (good := [r for r in rates if miss(r) <= near])), None)
    if found is None:
        base = sum((line.net for line in unknown), ZERO) - (rest if draft.inclusive else ZERO)
        rate = f"{rounded(rest / base * HUNDRED, draft.unit)} %" if base else "a rate on nothing"
        raise unmapped(
            "tax_rate_unknown",
            f"{draft.who}: class {group.name!r} was charged {draft.amount(group.charged)}, which is about {rate}; "
            f"no rule and no TaxType has such a rate ({draft.store.reference.tax_type_names()})",
            f"Add the rate to {draft.store.key}.tax, or send TaxRate with the items.",
        )
    for line in unknown:
        line.rate = found


def _agree(draft: Draft, group: Group) -> None:
    """What the rates make must be what was charged, but for roundings."""
    made = sum((_exact(draft, line, line.rate or ZERO) for line in group.lines), ZERO)
    if abs(made - group.charged) > tolerance(draft, len(group.lines)):
        raise _disagreement(draft, group, made)
    # A sticker of five pence, whose tax is less than half a unit beside the other classes', stays at its rate.
    too_little = draft.total_tax and not rounded(made, draft.unit)
    if not group.charged and not too_little:
        for line in group.lines:
            line.rate = ZERO  # nothing was charged: not one cent may be declared at another rate


def _disagreement(draft: Draft, group: Group, made: Decimal) -> Refuse:
    parts = ", ".join(f"{line.name} {line.net} at {text(line.rate or ZERO)} %" for line in group.lines)
    mode = "contained in" if draft.inclusive else "on top of"
    return invalid(
        "tax_disagrees",
        f"{draft.who}: class {group.name!r} was charged {draft.amount(group.charged)}, but its lines make "
        f"{draft.amount(rounded(made, draft.unit))} {mode} their prices ({parts})",
        "A rate or class was changed after the order, or prices do (not) include tax: check TaxRate, the tax class, "
        f"and prices_include_tax of {draft.store.name} in k2x.yaml.",
    )


def _spread(draft: Draft, group: Group) -> None:
    """The charged tax in whole minor units per line: Xero's own where its sum is right, else moved by single units to
    where the remainder is largest."""
    own = [xero_math.line_tax(line.net, line.rate or ZERO, draft.inclusive) for line in group.lines]
    parts = [rounded(one, draft.unit) for one in own]
    units = int((group.charged - sum(parts, ZERO)) / draft.unit)
    if units:
        step = draft.unit if units > 0 else -draft.unit
        exact = [_exact(draft, line, line.rate or ZERO) for line in group.lines]
        able = [((parts[i] - exact[i]) * step, i) for i, line in enumerate(group.lines) if line.rate and line.net]
        heapify(able)  # the largest remainder first, the earlier line on a tie
        for _ in range(abs(units)):
            while able and abs(parts[able[0][1]] + step) > abs(group.lines[able[0][1]].net):
                heappop(able)  # no line has more tax than net
            if not able:
                raise _disagreement(draft, group, sum(exact, ZERO))
            i = able[0][1]
            parts[i] += step
            heapreplace(able, ((parts[i] - exact[i]) * step, i))
    for line, part, xero in zip(group.lines, parts, own, strict=True):
        line.tax = part
        line.tax_amount = part if part != xero else None
