"""Commands as the streams make them, for the sandbox's UK organisation: small, valid, and different by number."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from schemas.types import Command, Contact, Item, Payout, RefundNote, Sale, Summary, Tender

T0 = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
STRIPE, GIFT = "092", "855"


def tender(amount: str, ordinal: int = 1, account: str = STRIPE, reference: str = "ch_1") -> Tender:
    return {
        "ordinal": ordinal,
        "account_code": account,
        "account_id": "",
        "amount": amount,
        "date": "2026-11-20",
        "currency_rate": None,
        "bank_amount": None,
        "reference": reference,
    }


def contact(customer: int = 1, name: str | None = None, email: str | None = None, **changes: Any) -> Contact:
    name = name or f"Customer {customer}"
    document = {"ContactNumber": f"WC{customer}", "Name": name}
    if email:
        document["EmailAddress"] = email
    made: Contact = {
        "key": f"shop|C{customer}",
        "number": f"WC{customer}",
        "name": name,
        "email": email,
        "document": json.dumps(document),
        "match_email": True,
        "hash": f"h-{name}-{email}",
        "only_if_known": False,
        "version": None,
    }
    return {**made, **changes}  # type: ignore[typeddict-item]


def sale(
    order: int,
    *,
    customer: int | None = None,
    org: str = "uk",
    version: int = 0,
    total: str = "120.00",
    tax: str = "20.00",
    payments: list[Tender] | None = None,
    who: Contact | None = None,
    account: str = "200",
    received_at: datetime = T0,
    **changes: Any,
) -> Command:
    """An order of one inclusive line at 20 %; `version` in seconds after T0, `changes` to the Sale."""
    who = who or contact(customer or order)
    line = {
        "Description": "Boots",
        "Quantity": 1,
        "UnitAmount": float(total),
        "AccountCode": account,
        "TaxType": "OUTPUT2",
    }
    invoice = {
        "Type": "ACCREC",
        "Status": "AUTHORISED",
        "Reference": str(order),
        "Date": "2026-11-20",
        "DueDate": "2026-11-20",
        "CurrencyCode": "GBP",
        "LineAmountTypes": "Inclusive",
        "LineItems": [line],
    }
    body: Sale = {
        "number": f"W-{order}",
        "invoice": json.dumps(invoice),
        "currency": "GBP",
        "date": "2026-11-20",
        "total": total,
        "total_tax": tax,
        "money_hash": f"m-{total}-{tax}",
        "contact": who,
        "payments": [tender(total)] if payments is None else payments,
        "items": [],
        "decisions": [],
        "on_other_money": "HOLD",
        "summary": None,
    }
    body = {**body, **changes}  # type: ignore[typeddict-item]
    return envelope("SALE", f"shop|{order}", body, org=org, order=str(order), version=version, received_at=received_at)


def refund(
    order: int,
    refund_id: str = "r1",
    *,
    org: str = "uk",
    version: int = 10,
    total: str = "30.00",
    tax: str = "5.00",
    payments: list[Tender] | None = None,
    account: str = "200",
) -> Command:
    """A refund of one inclusive line at 20 %, back to the gateway."""
    line = {"Description": "Boots", "Quantity": 1, "UnitAmount": float(total), "AccountCode": account}
    note = {
        "Type": "ACCRECCREDIT",
        "Status": "AUTHORISED",
        "Date": "2026-11-21",
        "CurrencyCode": "GBP",
        "LineAmountTypes": "Inclusive",
        "LineItems": [{**line, "TaxType": "OUTPUT2"}],
    }
    body: RefundNote = {
        "refund_id": refund_id,
        "number": f"CN-W-{order}-{refund_id}",
        "credit_note": json.dumps(note),
        "currency": "GBP",
        "date": "2026-11-21",
        "total": total,
        "total_tax": tax,
        "payments": [tender(total, reference="re_1")] if payments is None else payments,
        "summary": None,
    }
    return envelope("REFUND", f"shop|{order}", body, org=org, order=str(order), version=version)


def settlement(
    id_: str = "po_1",
    *,
    org: str = "uk",
    version: int = 20,
    payout: str = "96.90",
    fees: str = "3.10",
    date: str = "2026-11-22",
    fee_account: str = "404",
    clearing: str = "acc-092",
    bank: str = "acc-090",
    **changes: Any,
) -> Command:
    """What Stripe pays out of 100.00: fees without tax, the rest to the bank. "0" leaves a document out."""
    marker = f"shop/stripe/{id_}"
    sign = -1 if payout.startswith("-") else 1
    ends = [{"AccountID": clearing}, {"AccountID": bank}][::sign]
    spent = {
        "Type": "RECEIVE" if fees.startswith("-") else "SPEND",
        "Status": "AUTHORISED",
        "Contact": {"Name": "Stripe"},
        "BankAccount": {"AccountID": clearing},
        "Date": date,
        "Reference": f"{marker} stripe {id_}",
        "LineAmountTypes": "Inclusive",
        "LineItems": [
            {
                "Description": "Fees",
                "Quantity": 1,
                "UnitAmount": abs(float(fees)),
                "AccountCode": fee_account,
                "TaxType": "NONE",
            }
        ],
    }
    moved = {
        "FromBankAccount": ends[0],
        "ToBankAccount": ends[1],
        "Amount": abs(float(payout)),
        "Date": date,
        "Reference": f"{marker} stripe {id_}",
    }
    body: Payout = {
        "settlement_id": id_,
        "gateway": "stripe",
        "marker": marker,
        "currency": "GBP",
        "date": date,
        "payout": payout,
        "fees": fees,
        "gross": "100.00",
        "money_hash": f"s-{payout}-{fees}",
        "bank_transaction": json.dumps(spent) if float(fees) else None,
        "transaction_total": fees.removeprefix("-"),
        "transaction_tax": "0.00",
        "transfer": json.dumps(moved) if float(payout) else None,
        "clearing_account": clearing,
        "bank_account": bank,
    }
    body = {**body, **changes}  # type: ignore[typeddict-item]
    return envelope("SETTLEMENT", f"shop|settlement/stripe/{id_}", body, org=org, version=version)


def contact_command(who: Contact, *, org: str = "uk", version: int = 0) -> Command:
    return envelope("CONTACT", who["key"], who, org=org, version=version)


def item_command(code: str, price: str = "9.99", *, org: str = "uk", version: int = 0, known: bool = False) -> Command:
    body: Item = {
        "code": code,
        "document": f'{{"Code": "{code}", "Name": "Thing", "SalesDetails": {{"UnitPrice": {price}}}}}',
        "hash": f"i-{price}",
        "only_if_known": known,
        "version": None,
    }
    return envelope("ITEM", code, body, org=org, version=version)


def envelope(
    kind: Any, key: str, body: Any, *, org: str, order: str | None = None, version: int = 0, received_at: datetime = T0
) -> Command:
    at = T0 + timedelta(seconds=version)
    return {
        "command_id": f"{key}@{version}",
        "org": org,
        "instance": "shop",
        "store": "shop/web",
        "order_id": order,
        "kind": kind,
        "key": key,
        "version": at,
        "observed_at": at,
        "received_at": received_at,
        "rules_version": 1,
        "body": body,
        "findings": [],
        "source_topic": "kentico.orders.v1",
        "source_partition": 0,
        "source_offset": 0,
        "replay_id": None,
        "traceparent": None,
        "on_unpaid": "HOLD",
    }


def in_summary(command: Command, closes_at: datetime, day: str = "2026-11-20", **changes: Any) -> Command:
    """The same sale or refund in its day's summary, to the store's one contact."""
    body: Any = command["body"]
    net = f"{Decimal(body['total']) - Decimal(body['total_tax']):.2f}"
    kind = "CN-" if command["kind"] == "REFUND" else ""
    part: Summary = {
        "number": f"{kind}W-S{day.replace('-', '')}-{body['currency']}",
        "day": day,
        "closes_at": closes_at,
        "rate": None,
        "base_total": None,
        "lines": [{"account": "200", "tax_type": "OUTPUT2", "tracking": "", "net": net, "tax": body["total_tax"]}],
        "orders": 0,
        "first_open_day": False,
    }
    body = {**body, "summary": {**part, **changes}}
    if command["kind"] == "SALE":
        document = json.dumps({"ContactNumber": "W-S-web", "Name": "Web sales web"})
        names = {"key": f"{command['instance']}|S-web", "number": "W-S-web", "document": document}
        body["contact"] = {**contact(0, "Web sales web"), **names, "match_email": False}
    return {**command, "body": body}
