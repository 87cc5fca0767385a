"""One payment for each tender (BOOKKEEPING §6): gift cards in their order, the gateway last. Pure."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from schemas.types import Tender
from streams.rules.reference import Account
from streams.transform import dates, exchange
from streams.transform.classes import fold
from streams.transform.context import Draft
from streams.transform.errors import Refuse, invalid, unmapped
from streams.transform.money import ZERO, rounded, text
from streams.transform.texts import clean

_REFERENCE_LIMIT = 100  # Xero does not document a limit (xero.md §4.5); the marker stands before it


def payments(draft: Draft) -> None:
    """The tenders, which sum to the invoice's total."""
    order = draft.order["order"]
    left = draft.total
    day = _date(draft)
    found: list[Tender] = []
    for card in order["OrderOtherPayments"]:
        amount = rounded(card["value"], draft.unit)
        if not amount:
            continue
        if amount < 0:
            text_ = f"{draft.who}: OrderOtherPayments has {draft.amount(amount)}; a tender cannot be below zero"
            raise invalid("negative_tender", text_, "Correct OrderOtherPayments in Kentico.")
        account = _gift_card_account(draft)
        found.append(tender(draft, found, account, amount, day, clean(card["name"])))
        left -= amount
    _check_rest(draft, left)
    if left:
        result = draft.order["payment_result"]
        transaction = (result["transaction_id"] or result["authorization_id"] or "") if result else ""
        account = _gateway_account(draft, left)
        found.append(tender(draft, found, account, left, day, clean(transaction)))
    draft.payments = found


def _check_rest(draft: Draft, left: Decimal) -> None:
    """What the gateway took must be OrderGrandTotal."""
    grand = draft.order["order"]["OrderGrandTotal"]
    if abs(left - grand) > draft.unit or left < 0:
        gifts = draft.total - left
        raise invalid(
            "grand_total_differs",
            f"{draft.who}: OrderTotalPrice {draft.amount(draft.total)} less gift cards {draft.amount(gifts)} is "
            f"{draft.amount(left)}, but OrderGrandTotal is {draft.amount(grand)}",
            "Correct OrderOtherPayments or OrderGrandTotal in Kentico.",
        )


def tender(draft: Draft, before: list[Tender], account: Account, amount: Decimal, day: date, reference: str) -> Tender:
    rate, bank = _exchange(draft, account, amount, sum((Decimal(one["amount"]) for one in before), ZERO))
    return {
        "ordinal": len(before) + 1,
        "account_code": account.code,
        "account_id": account.id,
        "amount": f"{amount:.2f}",
        "date": day.isoformat(),
        "currency_rate": rate,
        "bank_amount": bank,
        "reference": reference[:_REFERENCE_LIMIT],
    }


def _exchange(draft: Draft, account: Account, amount: Decimal, before: Decimal) -> tuple[str | None, str | None]:
    """(CurrencyRate, BankAmount): the invoice's rate, or the amount in the account's own currency. `before`: what other
    tenders have paid; the bank's amounts sum to the invoice in that currency, so that no cent is a currency gain."""
    base = draft.store.reference.base_currency
    own = account.currency or base
    if own == draft.currency:
        return (None if draft.currency == base or draft.rate is None else text(draft.rate)), None
    if own != base:
        raise unmapped(
            "payment_account_currency",
            f"{draft.who} is paid in {draft.currency}, but its account {account.label} is in {own}",
            f"Name an account in {draft.currency} or {base} in {draft.store.key}.payments or .gift_card_accounts.",
        )
    if draft.rate is None:
        return None, None  # Xero's own rate, as on the invoice
    unit = exchange.unit_of(base)
    bank = rounded((before + amount) / draft.rate, unit) - rounded(before / draft.rate, unit)
    return (None, f"{bank:.2f}") if bank else (text(draft.rate), None)


def _date(draft: Draft) -> date:
    """When it was paid: the result's date, else the first paid status, else when the source saw it."""
    order = draft.order
    result = order["payment_result"]
    at = None
    if result is not None and not result["failed"]:
        at = result["date"]
    if at is None:
        at = next((change["date"] for change in order["status_history"] if change["to_is_paid"]), None)
    day = dates.local_day(at or order["observed_at"], draft.store.zone)
    return max(dates.open_day(draft.store, day), draft.date)


def _gateway_account(draft: Draft, amount: Decimal) -> Account:
    option = draft.order["payment_option"]
    store = draft.store
    if option is None:
        raise unmapped(
            "payment_option_missing",
            f"{draft.who} has {draft.amount(amount)} to pay and no payment option",
            "Set the order's payment option in Kentico.",
        )
    keys = (
        f"{store.name}:{option['PaymentOptionName']}:{draft.currency}",
        f"{option['PaymentOptionName']}:{draft.currency}",
    )
    code = next((store.rules.payments[key] for key in keys if key in store.rules.payments), None)
    if code is None:
        raise unmapped(
            "payment_unmapped",
            f"{draft.who}: no account for payment option {option['PaymentOptionName']!r} in {draft.currency} (looked "
            f"for {' and '.join(keys)}; there are {', '.join(store.rules.payments) or 'none'})",
            f'Add "{keys[1]}" to {store.key}.payments; {_candidates(draft)}.',
        )
    return _payable(draft, code, f'payments."{keys[1]}"')


def _gift_card_account(draft: Draft) -> Account:
    rules = draft.store.rules.gift_card_accounts
    code = rules.get(draft.currency) or rules.get("*")
    if code is None:
        raise unmapped(
            "gift_card_unmapped",
            f"{draft.who} is paid with a gift card in {draft.currency}, and the store has no account for it",
            f"Set {draft.store.key}.gift_card_accounts.{draft.currency} to the gift cards' liability account, payments "
            "enabled.",
        )
    return _payable(draft, code, "gift_card_accounts")


def _payable(draft: Draft, code: str, rule: str) -> Account:
    store = draft.store
    account = store.reference.account(code)
    problem: str | None = None
    if account is None:
        problem = f"does not exist in {store.reference.name}"
    elif account.status != "ACTIVE":
        problem = f"({account.name}) is archived"
    elif not account.takes_payments:
        problem = f"({account.name}) takes no payments: it is no bank account, and payments to it are not enabled"
    if account is None or problem is not None:
        refused: Refuse = unmapped(
            "payment_account_unusable",
            f"{draft.who}: account {code} of the rule {rule} {problem}",
            f"Mend the account in Xero, or name another in {store.key}.{rule}; {_candidates(draft)}.",
        )
        raise refused
    return account


def account_named(draft: Draft, name: str, gift_card: str) -> Account:
    """The account of a means that a refund names: the order's payment option, a gift card of it (or `gift_card`), or
    any payment option of the rules."""
    option, order = draft.order["payment_option"], draft.order["order"]
    wanted = fold(name)
    if option is not None and wanted in (
        fold(option["PaymentOptionName"]),
        fold(option["PaymentOptionDisplayName"] or ""),
    ):
        return _gateway_account(draft, draft.total)
    if wanted == gift_card or any(fold(card["name"]) == wanted for card in order["OrderOtherPayments"]):
        return _gift_card_account(draft)
    rules = draft.store.rules.payments
    for key, code in rules.items():
        means, _, currency = key.rpartition(":")
        if fold(means.rpartition(":")[2]) == wanted and currency == draft.currency:
            return _payable(draft, code, f'payments."{key}"')
    raise unmapped(
        "refund_tender_unknown",
        f"{draft.who}: the refund goes back by {name!r}, which is neither the order's payment option nor one of "
        f"{draft.store.key}.payments in {draft.currency} ({', '.join(rules) or 'none'})",
        f'Add "{name}:{draft.currency}" to {draft.store.key}.payments, or leave the refund\'s tender out.',
    )


def _candidates(draft: Draft) -> str:
    reference = draft.store.reference
    fitting = {
        account.label
        for account in reference.accounts.values()
        if account.takes_payments
        and account.status == "ACTIVE"
        and (account.currency or reference.base_currency) in (draft.currency, reference.base_currency)
    }
    return f"accounts that take payments: {', '.join(sorted(fitting)) or 'none'}"


def paid_in_full(draft: Draft) -> bool:
    """Whether the tenders sum to the total."""
    return sum((Decimal(one["amount"]) for one in draft.payments), ZERO) == draft.total
