"""Columns of a shop's own, put where a person looks for them: Reference, tracking option, or a line's text. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.types import OrderItem
from streams.rules.model import FieldRule
from streams.transform.context import Draft, Line
from streams.transform.errors import unmapped
from streams.transform.lines import DESCRIPTION_LIMIT
from streams.transform.texts import line


def apply(draft: Draft) -> None:
    """What the store's rules take from columns, for each line."""
    tracked = [rule for rule in draft.store.rules.fields if rule.to == "tracking"]
    noted = [rule for rule in draft.store.rules.fields if rule.to == "description"]
    first = True
    for one in draft.lines:
        if one.kind == "rounding":
            continue
        one.tracking = _tracking(draft, one, tracked) if tracked else draft.store.tracking
        notes = list(_notes(draft, one, noted, first))
        if notes:
            text = "\n".join([one.description, *notes])
            if len(text) > DESCRIPTION_LIMIT:
                draft.findings.append(f"a line's text was cut to {DESCRIPTION_LIMIT} characters")
            one.description = text[:DESCRIPTION_LIMIT]
        first = False


def reference(draft: Draft) -> tuple[str, str]:
    """(column, value) of the first rule whose column says something, else of `reference_from`."""
    for rule in draft.store.rules.fields:
        if rule.to == "reference":
            value = value_of(draft, rule.place, None)
            if value:
                return rule.from_, value
    column = draft.store.rules.reference_from
    return column, value_of(draft, ("order", column), None)


def value_of(draft: Draft, place: tuple[str, str], item: OrderItem | None) -> str:
    """The column as one line of text; empty where it says nothing, or is of items and there is none."""
    part, column = place
    row: Any = {"order": draft.order["order"], "customer": draft.order["customer"], "item": item}[part]
    if row is None:
        return ""
    value = row["custom"].get(column)
    if value is None and column in row and not isinstance(row[column], list | dict):
        value = row[column]
    return line(str(value)) if value is not None else ""


def _tracking(draft: Draft, of: Line, rules: list[FieldRule]) -> tuple[dict[str, str], ...]:
    """The store's options, and over them those that columns say."""
    found = dict(draft.store.rules.tracking)
    said: set[str] = set()
    for rule in rules:
        category = rule.category or ""
        if category in said:
            continue
        option = _option(draft, rule, value_of(draft, rule.place, of.item))
        if option is not None:
            found[category] = option
            said.add(category)
    return tuple({"Name": name, "Option": option} for name, option in found.items())


def _option(draft: Draft, rule: FieldRule, value: str) -> str | None:
    if not value:
        return rule.otherwise
    known = draft.store.reference.tracking.get(rule.category or "", frozenset())
    option = rule.options.get(value) if rule.options else value
    if option is not None and (option in known or rule.otherwise is None):
        return option  # one that Xero lacks is refused by validate.tracking, with what there is
    if rule.otherwise is not None:
        finding = f"{rule.from_}: {value[:60]!r} has no option of {rule.category}: {rule.otherwise} is taken"
        if finding not in draft.findings:
            draft.findings.append(finding)
        return rule.otherwise
    raise unmapped(
        "field_unmapped",
        f"{draft.who}: {rule.from_} is {value[:60]!r}, and the rule for tracking category {rule.category} has no "
        f"option for it (it has {', '.join(sorted(rule.options))})",
        f"Add it to {draft.store.key}.fields, or give the rule `otherwise`.",
    )


def _notes(draft: Draft, of: Line, rules: list[FieldRule], first: bool) -> Iterator[str]:
    """An item's own column under it; one of the order or the customer under the first line."""
    for rule in rules:
        if rule.place[0] != "item" and not first:
            continue
        value = value_of(draft, rule.place, of.item)
        if value:
            yield f"{rule.label}: {value}" if rule.label else value
