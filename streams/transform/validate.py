"""What Xero would refuse, found before it is sent (DESIGN §3.5): names field, value, candidates, remedy."""

from __future__ import annotations

from decimal import Decimal

from schemas.letters import ErrorClass
from streams.transform import payment, xero_math
from streams.transform.context import Draft, Line
from streams.transform.errors import Refuse, invalid, unmapped
from streams.transform.lines import unbalanced
from streams.transform.money import ZERO

_LARGEST = Decimal("9999999999.99")  # LineAmount


def currency(draft: Draft) -> None:
    """The organisation has the currency."""
    reference = draft.store.reference
    if draft.currency not in reference.currencies:
        raise Refuse(
            ErrorClass.MAPPING,
            "currency_not_enabled",
            f"{draft.who} is in {draft.currency}; {reference.name} has {', '.join(sorted(reference.currencies))}",
            f"Add {draft.currency} in Xero under Settings, Currencies (a plan with multi-currency), then redrive.",
        )


def accounts(draft: Draft) -> None:
    """Every line's account exists, is active, and is one for revenue."""
    for line in draft.lines:
        account = line.account
        if account is None:
            problem, code = "does not exist", "account_unknown"
        elif account.status != "ACTIVE":
            problem, code = "is archived", "account_archived"
        elif not _takes_sales(line):
            problem, code = f"is of class {account.class_}, which is none for sales", "account_class"
        else:
            continue
        store = draft.store
        every = dict.fromkeys(store.reference.accounts.values())  # they stand there by code and by id
        sales = [one.label for one in every if one.is_revenue and one.status == "ACTIVE"]
        raise unmapped(
            code,
            f"{draft.who}: {line.name}: account {line.account_code} (from {line.account_rule}) {problem} in "
            f"{store.reference.name}",
            f"Change {line.account_rule} under {store.key} in the rules; there are {', '.join(sales) or 'none'}.",
        )


def _takes_sales(line: Line) -> bool:
    account = line.account
    if account is None or account.is_revenue or line.kind == "rounding":
        return True
    # A gift card sold is a debt, not revenue: a liability that a rule names for that SKU or department is meant so.
    named = line.account_rule.startswith(("accounts.sku", "accounts.department"))
    return account.class_ == "LIABILITY" and not account.system and named


def tax_types(draft: Draft) -> None:
    """Every TaxType exists, is active, and may be used on the line's account."""
    reference = draft.store.reference
    for line in draft.lines:
        rate = reference.tax_rates.get(line.tax_type)
        if rate is None or not rate.active:
            problem, code = "does not exist" if rate is None else f"is {rate.status.lower()}", "tax_type_unknown"
        elif line.account is not None and line.account.class_ not in rate.classes:
            problem = f"cannot be used on account {line.account.label} of class {line.account.class_}"
            code = "tax_type_not_usable"
        else:
            continue
        raise unmapped(
            code,
            f"{draft.who}: {line.name}: TaxType {line.tax_type} {problem} in {reference.name}",
            f"Change {draft.store.key}.tax or .zero_tax, or the account; there are {reference.tax_type_names()}.",
        )


def items(draft: Draft) -> None:
    """Item codes exist in Xero, which refuses the whole invoice otherwise."""
    for code in draft.items:
        if code not in draft.store.reference.items:
            raise unmapped(
                "item_unknown",
                f"{draft.who}: item {code} does not exist in {draft.store.reference.name}",
                f"Create it in Xero, or set {draft.store.key}.unknown_item.",
            )


def tracking(draft: Draft) -> None:
    """Tracking categories and options exist."""
    known = draft.store.reference.tracking
    for category, option in {(one["Name"], one["Option"]): None for line in draft.lines for one in line.tracking}:
        if option not in known.get(category, frozenset()):
            options = ", ".join(sorted(known.get(category, ()))) or "no active option"
            what = f"option {option!r} of {category}" if category in known else f"category {category!r}"
            raise unmapped(
                "tracking_unknown",
                f"{draft.who}: tracking {what} does not exist in {draft.store.reference.name} (categories: "
                f"{', '.join(sorted(known)) or 'none'}; {category} has {options})",
                f"Change {draft.store.key}.tracking or fields, or add it in Xero.",
            )


def lock_dates(draft: Draft) -> None:
    """Neither the invoice nor a payment falls into a closed period."""
    open_on(draft, "the invoice", draft.date.isoformat())
    for one in draft.payments:
        open_on(draft, f"payment {one['ordinal']}", one["date"])


def open_on(draft: Draft, what: str, day: str) -> None:
    """Refuses a day in a closed period."""
    lock, reference = draft.store.lock, draft.store.reference
    if lock is None or day > lock.isoformat():
        return
    which = "PeriodLockDate" if lock == reference.period_lock else "EndOfYearLockDate"
    raise Refuse(
        ErrorClass.LOCKED_PERIOD,
        "locked_period",
        f"{draft.who}: {what} is of {day}; the books of {reference.name} are closed until {lock} ({which})",
        f"Open the period in Xero and redrive, or set {draft.store.key}.locked_period: first_open_day.",
    )


def lengths(draft: Draft) -> None:
    """Amounts that Xero cannot hold. Texts were cut when they were made."""
    for line in draft.lines:
        if abs(line.net) > _LARGEST:
            raise invalid(
                "amount_too_large",
                f"{draft.who}: {line.name} is {draft.amount(line.net)}; Xero holds up to {_LARGEST} a line",
                "Correct the order in Kentico.",
            )


def totals(draft: Draft) -> None:
    """Computes what Xero will compute of what is sent: Total and TotalTax must be the order's, to the cent."""
    rates = draft.store.reference.tax_rates
    made = []
    for line in draft.lines:
        amount = xero_math.line_amount(line.quantity, line.unit_amount, line.discount)
        rate = rates.get(line.tax_type)
        percent = rate.rate if rate is not None else ZERO
        sent = line.tax_amount
        made.append((amount, xero_math.line_tax(amount, percent, draft.inclusive) if sent is None else sent))
    total, tax = xero_math.totals(made, draft.inclusive)
    if total != draft.total:
        raise unbalanced(draft, total, inclusive=draft.inclusive)
    if tax != draft.total_tax:
        raise invalid(
            "total_tax_differs",
            f"{draft.who}: Xero would compute {tax} of tax, the order has {draft.amount(draft.total_tax)}",
            "Correct the order's tax in Kentico, or the tax rules.",
        )
    if not payment.paid_in_full(draft) and draft.payments:
        raise invalid(
            "payments_differ",
            f"{draft.who}: the payments do not sum to {draft.amount(draft.total)}",
            "Correct OrderOtherPayments in Kentico.",
        )
