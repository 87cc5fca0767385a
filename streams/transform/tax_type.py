"""Which TaxType a line has (BOOKKEEPING §4): the rule's; the item's or account's of the rate charged; none. Pure."""

from __future__ import annotations

from decimal import Decimal

from streams.rules.model import TaxRule
from streams.rules.reference import TaxRate
from streams.transform.classes import fold, names_of
from streams.transform.context import Draft, Line
from streams.transform.errors import unmapped
from streams.transform.money import ZERO, text

_BILLING, _SHIPPING = 1, 2  # AddressType


def choose(draft: Draft, line: Line) -> str:
    """The line's TaxType. Refuses naming the class, the rate and both candidates."""
    store = draft.store
    if line.kind == "rounding":
        return _out_of_scope(draft)
    country, state = _place(draft)
    customer = draft.order["customer"]
    with_id = bool(customer and customer["CustomerTaxRegistrationID"])
    day = draft.date if store.rules_have_dates else None
    key = (
        "tax", line.class_name, line.class_code, line.rate, country, state, with_id, day, line.item_tax_type,
        line.account_code,
    )  # fmt: skip
    found = store.memo.get(key)
    if found is None:
        found = store.remember(key, _choose(draft, line, country, state, with_id))
    return str(found)


def rules_of(draft: Draft, line: Line) -> list[TaxRule]:
    """The rules that speak of the line's class."""
    return [rule for rule in draft.store.rules.tax if _same_class(rule, line)]


def _choose(draft: Draft, line: Line, country: str | None, state: str | None, with_id: bool) -> str:
    store, rate = draft.store, line.rate or ZERO
    rates = store.reference.tax_rates
    for number, rule in enumerate(store.rules.tax):
        if not _fits(rule, draft, line, rate, country, state, with_id):
            continue
        of_xero = rates.get(rule.tax_type)
        if of_xero is not None and of_xero.rate != rate:
            if rule.rate is None:
                continue  # the rule leaves the rate open: it is for this type's rate only
            raise unmapped(
                "tax_rule_wrong_rate",
                f"{draft.who}: {store.key}.tax[{number}] gives {text(rate)} % the TaxType {rule.tax_type}, which has "
                f"{text(of_xero.rate)} % in {store.reference.name}",
                f"Name another tax_type in {store.key}.tax[{number}]; there are {store.reference.tax_type_names()}.",
            )
        return rule.tax_type
    if not rate:
        return _zero(draft, line, country)
    candidates = [("item", line.item_tax_type), ("account", line.account.tax_type if line.account else None)]
    for _, name in candidates:
        of_xero = rates.get(name or "")
        if of_xero is not None and _usable(of_xero, line) and of_xero.rate == rate:
            return of_xero.type
    has = [
        f"the {what}'s {name} has {text(rates[name].rate)} %" if name and name in rates else f"the {what} has none"
        for what, name in candidates
    ]
    fitting = [one.type for one in rates.values() if one.rate == rate and _usable(one, line)]
    raise unmapped(
        "tax_type_missing",
        f"{draft.who}: {line.name}: tax class {line.class_name!r} at {text(rate)} % fits no TaxType: no rule of the "
        f"store, {has[0]}, {has[1]}",
        f"Add to {store.key}.tax: {{class: {line.class_name!r}, rate: {text(rate)}, tax_type: …}}; of that rate "
        f"{store.reference.name} has {', '.join(fitting) or 'none: create one in Xero first'}.",
    )


def _usable(rate: TaxRate, line: Line) -> bool:
    return rate.active and (line.account is None or line.account.class_ in rate.classes)


def _zero(draft: Draft, line: Line, country: str | None) -> str:
    """Exempt, zero-rated, export and out of scope all are 0 %: only a person can say which."""
    store = draft.store
    name = store.rules.zero_tax
    of_xero = store.reference.tax_rates.get(name or "")
    if name and (of_xero is None or not of_xero.rate):
        return name
    what = f"zero_tax is {name}, which has {text(of_xero.rate)} %" if name and of_xero else "zero_tax is not set"
    none = [one.type for one in store.reference.tax_rates.values() if not one.rate and _usable(one, line)]
    raise unmapped(
        "zero_tax_missing",
        f"{draft.who}: {line.name}: tax class {line.class_name!r} carries no tax (country {country or 'unknown'}), no "
        f"rule says why, and {what}",
        f"Set {store.key}.zero_tax, or add a rule with rate: 0 to {store.key}.tax; of 0 % there are {', '.join(none)}.",
    )


def _out_of_scope(draft: Draft) -> str:
    found = draft.store.out_of_scope
    if found is None:
        raise unmapped(
            "out_of_scope_missing",
            f"{draft.who} needs a rounding line, and {draft.store.reference.name} has neither NONE nor BASEXCLUDED",
            f"Set {draft.store.key}.out_of_scope_tax to the TaxType of what is no supply.",
        )
    return found


def _same_class(rule: TaxRule, line: Line) -> bool:
    if rule.class_ is None:
        return True
    return fold(rule.class_) in names_of(line)


def _fits(
    rule: TaxRule, draft: Draft, line: Line, rate: Decimal, country: str | None, state: str | None, with_id: bool
) -> bool:
    if rule.rate is not None and rule.rate != rate:
        return False
    if rule.with_tax_id is not None and rule.with_tax_id != with_id:
        return False
    # A country that is not known fits no condition on it: neither `country` nor `not_country`.
    if rule.country and country not in rule.country:
        return False
    if rule.not_country and (country is None or country in rule.not_country):
        return False
    if rule.state is not None and rule.state != state:
        return False
    if (rule.from_ and draft.date < rule.from_) or (rule.to and draft.date > rule.to):
        return False
    return _same_class(rule, line)


def _place(draft: Draft) -> tuple[str | None, str | None]:
    """Country and state of the address that tax is charged by."""
    wanted = _SHIPPING if draft.store.rules.tax_address == "shipping" else _BILLING
    found = None
    for address in draft.order["addresses"]:
        if address["AddressType"] == wanted:
            return address["CountryTwoLetterCode"], address["StateCode"]
        if found is None:
            found = address
    return (found["CountryTwoLetterCode"], found["StateCode"]) if found else (None, None)
