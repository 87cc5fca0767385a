"""A gateway's settlement as Xero's documents: the fees out of the clearing account, the rest to the bank. Pure.

What orders and refunds brought into the clearing account (gross) leaves it again: gross = fees + payout, to the cent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

import orjson

from schemas.letters import ErrorClass
from schemas.topics import settlement_key
from schemas.types import Command, Payout, Settlement
from streams.rules.model import FeeBooking, SettlementRule
from streams.rules.reference import Account
from streams.transform import command, xero_math
from streams.transform.context import Store
from streams.transform.dates import local_day
from streams.transform.errors import Refuse, Suppress, invalid, unmapped
from streams.transform.money import ZERO, number, text
from streams.transform.texts import clean, identifier

Cost = Literal["fee", "adjustment", "chargeback"]
_WORDS: Mapping[Cost, str] = {"fee": "Fees", "adjustment": "Adjustments", "chargeback": "Chargebacks"}
_ROOM = 255  # characters of a Reference
_MEND = "Correct the settlement at its sender and send it again."


def make(given: Settlement, store: Store) -> Command:
    """The command for the sink. Its documents are dated to the day of the payout in the zone of the store that the
    settlement names, else of the organisation."""
    who = f"settlement {given['settlement_id']} of {given['gateway']}"
    costs, gross = _costs(given, who)
    fees = sum(costs.values(), ZERO)
    rule, key = _rule(given, store, who)
    clearing = _bank(store, rule.clearing_account, f"{key}.clearing_account", given["currency"], who)
    bank = _bank(store, rule.bank_account, f"{key}.bank_account", given["currency"], who)
    day = _day(given, store, rule, key, who)
    settlement_id = identifier(given["settlement_id"])
    marker = f"{given['instance']}/{given['gateway']}/{settlement_id}"
    reference = f"{marker} {given['gateway']} {clean(given['settlement_id'])}"[:_ROOM]
    total, tax, spent = _transaction(given, store, rule, key, who, costs, clearing, day, reference)
    moved = _transfer(given["payout"], clearing, bank, day, reference)
    if spent is None and moved is None:
        raise Suppress("settlement_empty", f"{who}: nothing was withheld and nothing paid out")
    body: Payout = {
        "settlement_id": settlement_id,
        "gateway": given["gateway"],
        "marker": marker,
        "currency": given["currency"],
        "date": day.isoformat(),
        "payout": f"{given['payout']:.2f}",
        "fees": f"{fees:.2f}",
        "gross": f"{gross:.2f}",
        "money_hash": _hash(given, costs, gross),
        "bank_transaction": spent,
        "transaction_total": f"{total:.2f}",
        "transaction_tax": f"{tax:.2f}",
        "transfer": moved,
        "clearing_account": clearing.id,
        "bank_account": bank.id,
    }
    stem = settlement_key(given["instance"], given["gateway"], settlement_id).decode()
    made = command.envelope(given, store, "SETTLEMENT", stem, body)
    store_name = f"{given['instance']}/{given['site_name']}" if given["site_name"] else None
    return {**made, "store": store_name, "command_id": f"{made['command_id']}/{body['money_hash'][:8]}"}


def _costs(given: Settlement, who: str) -> tuple[dict[Cost, Decimal], Decimal]:
    """What leaves the clearing account besides the payout, by kind; and what orders and refunds brought in."""
    costs: dict[Cost, Decimal] = dict.fromkeys(_WORDS, ZERO)
    gross = ZERO
    for line in given["lines"]:
        costs["fee"] += line["fee"]
        if line["type"] in ("CHARGE", "REFUND"):
            gross += line["amount"]
        else:
            costs[cast(Cost, line["type"].lower())] -= line["amount"]
    left = gross - sum(costs.values(), ZERO)
    if left != given["payout"]:
        raise invalid(
            "settlement_unbalanced",
            f"{who} pays out {given['payout']:.2f} {given['currency']}, but its lines make {left:.2f}: charges less "
            f"refunds {gross:.2f}, fees, adjustments and chargebacks {sum(costs.values(), ZERO):.2f}",
            _MEND,
        )
    return costs, gross


def _rule(given: Settlement, store: Store, who: str) -> tuple[SettlementRule, str]:
    keys = (
        f"{given['instance']}/{given['gateway']}:{given['currency']}",
        f"{given['gateway']}:{given['currency']}",
    )
    found = next((key for key in keys if key in store.settlements), None)
    if found is None:
        raise unmapped(
            "settlement_unmapped",
            f"{who} is in {given['currency']}, and no rule says how it is booked (looked for {' and '.join(keys)}; "
            f"there are {', '.join(store.settlements) or 'none'})",
            f'Add "{keys[1]}" to settlements in the rules of {store.org}.',
        )
    return store.settlements[found], f'settlements."{found}"'


def _bank(store: Store, code: str, rule: str, currency: str, who: str) -> Account:
    """An active bank account in the settlement's currency: Xero moves money between no others (docs/settlements.md)."""
    reference = store.reference
    account = reference.account(code)
    if account is None:
        problem = "does not exist"
    elif account.status != "ACTIVE":
        problem = "is archived"
    elif account.type != "BANK":
        problem = f"is of type {account.type}, not BANK"
    elif (own := account.currency or reference.base_currency) != currency:
        problem = f"is in {own}, the settlement in {currency}"
    else:
        return account
    fitting = {
        one.label
        for one in reference.accounts.values()
        if one.type == "BANK" and one.status == "ACTIVE" and (one.currency or reference.base_currency) == currency
    }
    raise unmapped(
        "settlement_account_unusable",
        f"{who}: account {code} (from {rule}) {problem} in {reference.name}",
        f"Change {rule} in the rules; bank accounts in {currency}: {', '.join(sorted(fitting)) or 'none'}.",
    )


def _zone(given: Settlement, store: Store) -> ZoneInfo:
    return store.zone if given["site_name"] or store.org_zone is None else store.org_zone


def _day(given: Settlement, store: Store, rule: SettlementRule, key: str, who: str) -> date:
    day = local_day(given["paid_at"], _zone(given, store))
    lock, reference = store.lock, store.reference
    if lock is None or day > lock:
        return day
    if rule.locked_period == "first_open_day":
        return lock + timedelta(days=1)
    raise Refuse(
        ErrorClass.LOCKED_PERIOD,
        "locked_period",
        f"{who} was paid on {day}; the books of {reference.name} are closed until {lock}",
        f"Open the period in Xero and redrive, or set {key}.locked_period: first_open_day.",
    )


def _transaction(
    given: Settlement,
    store: Store,
    rule: SettlementRule,
    key: str,
    who: str,
    costs: Mapping[Cost, Decimal],
    clearing: Account,
    day: date,
    reference: str,
) -> tuple[Decimal, Decimal, str | None]:
    """(total, tax in it, document): a SPEND of the costs by kind, a RECEIVE where they are below zero in all."""
    booked = {kind: amount for kind, amount in costs.items() if amount}
    total = sum(booked.values(), ZERO)
    if not booked:
        return ZERO, ZERO, None
    if not total:
        parts = ", ".join(f"{_WORDS[kind].lower()} {amount:.2f}" for kind, amount in booked.items())
        raise invalid(
            "settlement_nets_to_zero",
            f"{who}: {parts} {given['currency']} cancel each other out, and Xero takes no document of nothing",
            "Book these lines in Xero by hand; send the settlement without them.",
        )
    sign = 1 if total > 0 else -1
    lines: list[dict[str, Any]] = []
    tax = ZERO
    for kind, amount in booked.items():
        booking = _booking(store, rule, key, kind, who)
        amount = amount * sign
        percent = store.reference.tax_rates[booking.tax_type].rate
        tax += xero_math.line_tax(amount, percent, True)
        lines.append(
            {
                "Description": f"{_WORDS[kind]} of {given['gateway']}, settlement {clean(given['settlement_id'])}",
                "Quantity": 1,
                "UnitAmount": number(amount),
                "AccountCode": booking.account,
                "TaxType": booking.tax_type,
            }
        )
    document: dict[str, Any] = {
        "Type": "SPEND" if sign > 0 else "RECEIVE",
        "Status": "AUTHORISED",
        "Contact": {"Name": rule.contact},
        "BankAccount": {"AccountID": clearing.id},
        "Date": day.isoformat(),
        "Reference": reference,
        "LineAmountTypes": "Inclusive",
        "LineItems": lines,
    }
    if rule.currency_rate is not None and given["currency"] != store.reference.base_currency:
        document["CurrencyRate"] = number(rule.currency_rate)
    return total * sign, tax, orjson.dumps(document).decode()


def _booking(store: Store, rule: SettlementRule, key: str, kind: Cost, who: str) -> FeeBooking:
    """Account and tax type of a kind of cost, usable together."""
    own: FeeBooking | None = getattr(rule, kind)
    booking, name = (own, kind) if own is not None else (rule.fee, "fee")
    reference = store.reference
    account, rate = reference.account(booking.account), reference.tax_rates.get(booking.tax_type)
    if account is None or account.status != "ACTIVE":
        problem = f"account {booking.account} {'is archived' if account else 'does not exist'}"
    elif rate is None or not rate.active:
        problem = f"TaxType {booking.tax_type} {'is not active' if rate else 'does not exist'}"
    elif account.class_ not in rate.classes:
        problem = f"TaxType {booking.tax_type} cannot be used on account {account.label} of class {account.class_}"
    else:
        return booking
    raise unmapped(
        "settlement_booking_unusable",
        f"{who}: {problem} in {reference.name} (from {key}.{name})",
        f"Change {key}.{name} in the rules.",
    )


def _transfer(payout: Decimal, clearing: Account, bank: Account, day: date, reference: str) -> str | None:
    """From the clearing account to the bank; the other way round where the gateway took money from the bank."""
    if not payout:
        return None
    source, target = (clearing, bank) if payout > 0 else (bank, clearing)
    document = {
        "FromBankAccount": {"AccountID": source.id},
        "ToBankAccount": {"AccountID": target.id},
        "Amount": number(abs(payout)),
        "Date": day.isoformat(),
        "Reference": reference,
    }
    return orjson.dumps(document).decode()


def _hash(given: Settlement, costs: Mapping[Cost, Decimal], gross: Decimal) -> str:
    """Of the money alone: other accounts, another zone or a line described otherwise are the same settlement."""
    parts = [given["currency"], text(given["payout"]), text(gross), *(f"{k}={text(v)}" for k, v in costs.items())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
