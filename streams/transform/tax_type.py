"""Which TaxType a line has (BOOKKEEPING §4): the rule's; the item's or account's of the rate charged; none. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple, cast

from streams.rules.model import TaxRule
from streams.rules.reference import TaxRate
from streams.transform.classes import fold, names_of
from streams.transform.contact import tax_number
from streams.transform.context import Draft, Line
from streams.transform.errors import unmapped
from streams.transform.money import ZERO, text

_BILLING, _SHIPPING = 1, 2  # AddressType


class Buyer(NamedTuple):
    """What rules ask of the buyer: country and state of the address that tax is charged by, and a tax id."""

    country: str | None
    state: str | None
    with_tax_id: bool


def choose(draft: Draft, line: Line) -> tuple[str, str]:
    """(the line's TaxType, the rule that decided it). Refuses naming the class, the rate and both candidates."""
    store = draft.store
    if line.kind == "rounding":
        return _out_of_scope(draft)
    buyer = _buyer(draft)
    day = draft.day if store.rules_have_dates else None
    key = ("tax", line.class_name, line.class_code, line.rate, buyer, day, line.item_tax_type, line.account_code)
    found = store.memo.get(key)
    if found is None:
        found = store.remember(key, _choose(draft, line, buyer))
    return cast(tuple[str, str], found)


def rates_of(draft: Draft, line: Line) -> list[set[Decimal]]:
    """The rates that rules have for the line's class: first those for this buyer and day, then all."""
    buyer = _buyer(draft)
    rules = [rule for rule in draft.store.rules.tax if rule.rate is not None and _same_class(rule, line)]
    here = {rule.rate for rule in rules if rule.rate is not None and _fits(rule, draft, line, rule.rate, buyer)}
    return [here, {rule.rate for rule in rules if rule.rate is not None}]


def _choose(draft: Draft, line: Line, buyer: Buyer) -> tuple[str, str]:
    store, rate = draft.store, line.rate or ZERO
    rates = store.reference.tax_rates
    for number, rule in enumerate(store.rules.tax):
        if not _fits(rule, draft, line, rate, buyer):
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
        return rule.tax_type, f"tax[{number}]"
    if not rate:
        return _zero(draft, line, buyer.country)
    candidates = [("item", line.item_tax_type), ("account", line.account.tax_type if line.account else None)]
    for what, name in candidates:
        of_xero = rates.get(name or "")
        if of_xero is not None and _usable(of_xero, line) and of_xero.rate == rate:
            return of_xero.type, f"the {what}'s default"
    has = [
        f"the {what}'s {name} has {text(rates[name].rate)} %" if name and name in rates else f"the {what} has none"
        for what, name in candidates
    ]
    fitting = [one.type for one in rates.values() if one.rate == rate and _usable(one, line)]
    abroad = f", country: {buyer.country}" if buyer.country and buyer.country != store.reference.country else ""
    raise unmapped(
        "tax_type_missing",
        f"{draft.who}: {line.name}: tax class {line.class_name!r} at {text(rate)} % (country "
        f"{buyer.country or 'unknown'}) fits no TaxType: no rule of the store, {has[0]}, {has[1]}",
        f"Add to {store.key}.tax: {{class: {line.class_name!r}, rate: {text(rate)}{abroad}, tax_type: …}}; of that "
        f"rate {store.reference.name} has {', '.join(fitting) or 'none: create one in Xero first'}.",
    )


def _usable(rate: TaxRate, line: Line) -> bool:
    return rate.active and (line.account is None or line.account.class_ in rate.classes)


def _zero(draft: Draft, line: Line, country: str | None) -> tuple[str, str]:
    """Exempt, zero-rated, export and out of scope all are 0 %: only a person can say which."""
    store = draft.store
    name = store.rules.zero_tax
    of_xero = store.reference.tax_rates.get(name or "")
    if name and (of_xero is None or not of_xero.rate):
        return name, "zero_tax"
    what = f"zero_tax is {name}, which has {text(of_xero.rate)} %" if name and of_xero else "zero_tax is not set"
    none = [one.type for one in store.reference.tax_rates.values() if not one.rate and _usable(one, line)]
    raise unmapped(
        "zero_tax_missing",
        f"{draft.who}: {line.name}: tax class {line.class_name!r} carries no tax (country {country or 'unknown'}), no "
        f"rule says why, and {what}",
        f"Set {store.key}.zero_tax, or add a rule with rate: 0 to {store.key}.tax; of 0 % there are {', '.join(none)}.",
    )


def _out_of_scope(draft: Draft) -> tuple[str, str]:
    found = draft.store.out_of_scope
    if found is None:
        raise unmapped(
            "out_of_scope_missing",
            f"{draft.who} needs a rounding line, and {draft.store.reference.name} has neither NONE nor BASEXCLUDED",
            f"Set {draft.store.key}.out_of_scope_tax to the TaxType of what is no supply.",
        )
    return found, "out_of_scope_tax"


def _same_class(rule: TaxRule, line: Line) -> bool:
    if rule.class_ is None:
        return True
    return fold(rule.class_) in names_of(line)


def _fits(rule: TaxRule, draft: Draft, line: Line, rate: Decimal, buyer: Buyer) -> bool:
    country = buyer.country
    if rule.rate is not None and rule.rate != rate:
        return False
    if rule.with_tax_id is not None and rule.with_tax_id != buyer.with_tax_id:
        return False
    # A country that is not known fits no condition on it: neither `country` nor `not_country`.
    if rule.country and country not in rule.country:
        return False
    if rule.not_country and (country is None or country in rule.not_country):
        return False
    if rule.state is not None and rule.state != buyer.state:
        return False
    if (rule.from_ and draft.day < rule.from_) or (rule.to and draft.day > rule.to):
        return False
    return _same_class(rule, line)


def _buyer(draft: Draft) -> Buyer:
    order = draft.order
    customer = order["customer"]
    with_tax_id = customer is not None and bool(tax_number(customer))
    wanted = _SHIPPING if draft.store.rules.tax_address == "shipping" else _BILLING
    addresses = order["addresses"]
    found = next((address for address in addresses if address["AddressType"] == wanted), None)
    if found is None and addresses:
        found = addresses[0]
    if found is None:
        return Buyer(None, None, with_tax_id)
    return Buyer(found["CountryTwoLetterCode"], found["StateCode"], with_tax_id)
