"""What is wrong between rules: equal prefixes, a workflow that cannot run, accounts that Xero lacks. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from streams.rules.operators import OPERATORS
from streams.rules.reference import OrgReference

if TYPE_CHECKING:
    from streams.rules.model import SettlementRule, Step, StoreRules, TaxRule

_LONGEST_CONTACT_PREFIX = 36  # ContactNumber holds 50, G and 12 hex digits or C and an id stand behind

Wrong = tuple[tuple[str, ...], str]
"""(path of the rule, text with the remedy)"""


def prefixes(stores: Mapping[str, StoreRules]) -> Iterator[Wrong]:
    """Invoice prefixes by which two orders of an organisation could get the same number."""
    for (a, first), (b, second) in combinations(stores.items(), 2):
        path = ("stores", b, "prefix")
        if first.prefix == second.prefix:
            text = f"{second.prefix!r} is the prefix of {a} too: two orders could get one number; give each its own"
            yield path, text
        elif _ambiguous(first, second) or _ambiguous(second, first):
            yield (
                path,
                f"{second.prefix!r} and {first.prefix!r} of {a} are ambiguous: one followed by digits can be "
                "the other; end them with a dash",
            )


def summary_numbers(stores: Mapping[str, StoreRules]) -> Iterator[Wrong]:
    """Numbers of orders that could be taken for a summary's, `<prefix>S<yyyymmdd>-<currency>` or that and `-<n>`."""
    for a, first in stores.items():
        if first.posting.mode != "summary":
            continue
        beginning = f"{first.prefix}S"
        for b, second in stores.items():
            path = ("stores", b, "number_from" if second.number_from != "OrderID" else "prefix")
            if second.number_from == "OrderID":
                clash = re.match(rf"{re.escape(beginning)}\d{{8}}-[A-Z]{{3}}-\d*$", second.prefix) is not None
                remedy = "set another prefix"
            else:  # a number of the shop's own pattern may be anything
                clash = beginning.startswith(second.prefix) or second.prefix.startswith(beginning)
                remedy = f"set number_from: OrderID, or a prefix of {b} that none of {a}'s numbers begins with"
            if clash:
                text = f"an order of {b} could get the number of a daily summary of {a} ({beginning}20261125-GBP)"
                yield path, f"{text}; {remedy}"


def contact_prefixes(by_instance: Mapping[str, str]) -> Iterator[Wrong]:
    """The same for ContactNumbers (prefix, then C, G or S), and ones that leave no room for the customer's number."""
    for instance, prefix in sorted(by_instance.items()):
        if len(prefix) > _LONGEST_CONTACT_PREFIX:
            text = f"{prefix!r} is longer than {_LONGEST_CONTACT_PREFIX} characters: set a shorter one"
            yield ("instances", instance, "contact_prefix"), text
    for (a, first), (b, second) in combinations(sorted(by_instance.items()), 2):
        if first == second or re.match(r"[CGS]", _rest(first, second) or _rest(second, first) or ""):
            text = f"{second!r} is equal to or ambiguous with {first!r} of {a}: two customers could get one number"
            yield ("instances", b, "contact_prefix"), text


def dead_tax_rules(store: str, rules: Sequence[TaxRule]) -> Iterator[str]:
    """Tax rules that can never be reached, because one above takes all that they are for."""
    for j, rule in enumerate(rules):
        i = next((i for i, above in enumerate(rules[:j]) if _covers(above, rule)), None)
        if i is not None:
            yield (
                f"stores.{store}.tax[{j}] ({rule.tax_type}) is never reached: tax[{i}] ({rules[i].tax_type}) takes all "
                f"that it is for. Put tax[{j}] above tax[{i}], or take it out"
            )


def idle_unpaid(store: str, unpaid: str, steps: Sequence[Step]) -> Iterator[str]:
    """A rule for refunds of unpaid invoices that no refund comes to."""
    gate = next((s for s in steps if s.enabled and s.use == "gate.refund"), None)
    then = gate.with_.get("then", "post") if gate is not None else "post"
    if unpaid != "hold" and then != "post":
        yield (
            f"stores.{store}.refunds.unpaid: {unpaid} is for deleted orders only, because the step of gate.refund has "
            f"then: {then}. Set then: post, or refunds.unpaid: hold"
        )


def _covers(above: TaxRule, rule: TaxRule) -> bool:
    """Whatever fits `rule` fits `above`. Without a rate `above` is for its own TaxType's rate only, so it may not."""
    if above.rate is None or above.rate != rule.rate:
        return False
    if above.class_ is not None and (rule.class_ is None or above.class_.casefold() != rule.class_.casefold()):
        return False
    if above.country and not (rule.country and set(rule.country) <= set(above.country)):
        return False
    if above.not_country and not (
        set(above.not_country) <= set(rule.not_country)
        or (rule.country and not set(rule.country) & set(above.not_country))
    ):
        return False
    if above.state not in (None, rule.state) or above.with_tax_id not in (None, rule.with_tax_id):
        return False
    begins = above.from_ is None or (rule.from_ is not None and rule.from_ >= above.from_)
    ends = above.to is None or (rule.to is not None and rule.to <= above.to)
    return begins and ends


def workflow(steps: Sequence[Step]) -> Iterator[Wrong]:
    """Steps in an order in which they cannot run."""
    given: set[str] = set()
    seen: dict[str, str] = {}
    for i, step in enumerate(steps):
        if not step.enabled:
            continue
        path = ("workflow", str(i))
        operator = step.operator
        if (operator.kind == "trigger") != (not seen):
            yield path, f"step {step.name!r}: the trigger must be the first step, and the only one"
        if step.use in seen:
            yield path, f"step {step.name!r}: {step.use} is used by step {seen[step.use]!r} already"
        seen[step.use] = step.name
        for need in sorted(operator.needs - given):
            giver = next(o.name for o in OPERATORS.values() if need in o.gives)
            yield path, f"step {step.name!r} needs {need}, which {giver} gives: put that step before it"
        given |= operator.gives
    posting = next(
        (s for s in steps if s.enabled and s.use == "gate.refund" and s.with_.get("then", "post") == "post"), None
    )
    if posting is not None and "map.refund" not in seen:
        text = f"step {posting.name!r} lets refunds through, and no step map.refund makes their credit notes: add it"
        yield ("workflow",), f"{text} before post.sale, or set then: hold"
    names = [step.name for step in steps]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield ("workflow",), f"two steps are called {name!r}: give each its own name"
    if not seen:
        yield ("workflow",), "has no step: leave it out to take default.yaml's"


def unknown(where: str, rules: StoreRules, reference: OrgReference) -> Iterator[str]:
    """One sentence for each account, tax type or tracking option of a store that Xero cannot use."""
    yield from _unknown_accounts(where, rules, reference)
    types = {f"tax[{i}].tax_type": rule.tax_type for i, rule in enumerate(rules.tax)}
    types |= {"zero_tax": rules.zero_tax or "", "out_of_scope_tax": rules.out_of_scope_tax or ""}
    for key, tax_type in types.items():
        rate = reference.tax_rates.get(tax_type)
        if tax_type and (rate is None or not rate.active):
            has = reference.tax_type_names()
            yield f"{where}.{key}: {reference.name} has no active TaxType {tax_type}; it has {has}"
    for i, rule in enumerate(rules.tax):
        rate = reference.tax_rates.get(rule.tax_type)
        if rate is not None and rule.rate is not None and rate.rate != rule.rate:
            yield f"{where}.tax[{i}]: the rule is for {rule.rate} %, but {rule.tax_type} has {rate.rate} % in Xero"
    options = [(f"tracking.{category}", category, option) for category, option in rules.tracking.items()]
    for i, field in enumerate(rules.fields):
        named = [*field.options.values(), *([field.otherwise] if field.otherwise is not None else [])]
        options += [(f"fields[{i}].{field.category}", field.category or "", option) for option in named]
    for key, category, option in options:
        if option not in reference.tracking.get(category, frozenset()):
            yield f"{where}.{key}: {option}: {reference.name} has no such active category and option"


def _unknown_accounts(where: str, rules: StoreRules, reference: OrgReference) -> Iterator[str]:
    revenue = [("accounts.default", rules.accounts.default), ("shipping_account", rules.shipping_account)]
    for kind in ("sku", "department", "tax_class"):
        revenue += [(f"accounts.{kind}.{key}", code) for key, code in getattr(rules.accounts, kind).items()]
    tenders = [(f"payments.{key}", code) for key, code in rules.payments.items()]
    tenders += [(f"gift_card_accounts.{key}", code) for key, code in rules.gift_card_accounts.items()]
    for key, code in revenue + tenders:
        if code is None:
            continue
        account = reference.account(code)
        if account is None or account.status != "ACTIVE":
            state = "is archived" if account else "does not exist"
            yield f"{where}.{key}: account {code} {state} in {reference.name}; name one that is active"
        elif (key, code) in tenders and not account.takes_payments:
            remedy = "enable payments to it in Xero, or name a bank account"
            yield f"{where}.{key}: {account.label} takes no payments: {remedy}"


def unknown_settlements(rules: Mapping[str, SettlementRule], reference: OrgReference) -> Iterator[str]:
    """The same for the settlements of an organisation's gateways: bank accounts in their currency, and where what they
    withhold is booked."""
    for name, rule in rules.items():
        where, currency = f'settlements."{name}"', name.rpartition(":")[2]
        if currency not in reference.currencies:
            yield f"{where}: {reference.name} has no {currency}: add it in Xero under Settings, Currencies"
        for key in ("clearing_account", "bank_account"):
            problem = _no_bank(reference, getattr(rule, key), currency)
            if problem:
                yield f"{where}.{key}: {problem}"
        if rule.clearing_account == rule.bank_account:
            yield f"{where}: clearing_account and bank_account are both {rule.bank_account}; give the gateway its own"
        for key in ("fee", "adjustment", "chargeback"):
            booking = getattr(rule, key)
            if booking is not None:
                yield from _no_booking(f"{where}.{key}", booking.account, booking.tax_type, reference)


def _no_bank(reference: OrgReference, code: str, currency: str) -> str:
    account = reference.account(code)
    if account is None or account.status != "ACTIVE":
        state = "is archived" if account else "does not exist"
        return f"account {code} {state} in {reference.name}; name one that is active"
    if account.type != "BANK":
        return f"{account.label} is of type {account.type}: Xero pays out between accounts of type BANK only"
    own = account.currency or reference.base_currency
    return "" if own == currency else f"{account.label} is in {own}: name a bank account in {currency}"


def _no_booking(where: str, code: str, tax_type: str, reference: OrgReference) -> Iterator[str]:
    account, rate = reference.account(code), reference.tax_rates.get(tax_type)
    if account is None or account.status != "ACTIVE":
        state = "is archived" if account else "does not exist"
        yield f"{where}.account: account {code} {state} in {reference.name}; name one that is active"
    elif account.type == "BANK":
        yield f"{where}.account: {account.label} is a bank account, which no line can be booked on"
    if rate is None or not rate.active:
        has = ", ".join(r.type for r in reference.tax_rates.values() if r.active) or "none"
        yield f"{where}.tax_type: {reference.name} has no active TaxType {tax_type}; it has {has}"
    elif account is not None and account.class_ not in rate.classes:
        yield f"{where}: TaxType {tax_type} cannot be used on {account.label} of class {account.class_}"


def _rest(a: str, b: str) -> str | None:
    """What `b` has after `a`, if it begins with it."""
    return b[len(a) :] if b.startswith(a) and a != b else None


def _ambiguous(a: StoreRules, b: StoreRules) -> bool:
    rest = _rest(a.prefix, b.prefix)
    return rest is not None and (rest.isdigit() or a.number_from != "OrderID")
