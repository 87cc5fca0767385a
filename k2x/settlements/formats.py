"""CSV files of settlements: which column means what, as tables, and rows put together to settlements. Pure.

What a file lacks or has wrong is named by its line; a file with one bad row gives no settlement at all.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Row = Mapping[str, str]
Columns = Mapping[str, tuple[str, ...]]

# What a settlement's line is made of → the columns that may hold it, the first that is there. Names in small letters.
_GENERIC: Columns = {
    "settlementId": ("settlement_id",),
    "currency": ("currency",),
    "paidAt": ("paid_at",),
    "payout": ("payout",),
    "type": ("type",),
    "amount": ("amount",),
    "fee": ("fee",),
    "orderId": ("order_id",),
    "transactionId": ("transaction_id",),
    "description": ("description",),
}
# Stripe, report payout_reconciliation.itemized: one row a balance transaction; metadata columns are chosen by the shop.
_STRIPE: Columns = {
    "settlementId": ("automatic_payout_id",),
    "currency": ("currency",),
    "paidAt": ("automatic_payout_effective_at_utc", "automatic_payout_effective_at"),
    "type": ("reporting_category",),
    "amount": ("gross",),
    "fee": ("fee",),
    "net": ("net",),
    "orderId": ("payment_metadata[order_id]", "payment_metadata[orderid]"),
    "transactionId": ("source_id", "charge_id", "balance_transaction_id"),
    "description": ("description",),
}
# PayPal, Activity download: one row a movement; a withdrawal ends what was paid out by it.
_PAYPAL: Columns = {
    "currency": ("currency",),
    "date": ("date",),
    "time": ("time",),
    "zone": ("timezone", "time zone"),
    "type": ("type", "description"),
    "status": ("status",),
    "amount": ("gross",),
    "fee": ("fee",),
    "net": ("net",),
    "orderId": ("invoice number", "invoice id"),
    "transactionId": ("transaction id",),
}
_OPTIONAL = frozenset({"fee", "orderId", "transactionId", "description", "status"})
# Stripe's reporting categories (docs.stripe.com/reports/reporting-categories); any other is an adjustment.
_STRIPE_TYPES = {
    "charge": "charge",
    "charge_failure": "charge",
    "partial_capture_reversal": "charge",
    "refund": "refund",
    "refund_failure": "refund",
    "dispute": "chargeback",
    "dispute_reversal": "chargeback",
    "fee": "fee",
}
_STRIPE_LEFT_OUT = frozenset({"payout", "payout_reversal"})
# PayPal's words for a movement, by what they contain, the first that fits; any other: by its sign.
_PAYPAL_TYPES = (("chargeback fee", "fee"), ("dispute fee", "fee"), ("chargeback", "chargeback"), ("refund", "refund"),
                 ("reversal", "chargeback"), (" fee", "fee"), ("conversion", "adjustment"))  # fmt: skip
_WITHDRAWAL = "withdrawal"
_AMOUNT = re.compile(r"[+-]?(?:[0-9]{1,12}|[0-9]{1,3}(?:,[0-9]{3}){1,3})(?:\.[0-9]{1,2}0*)?")
_ABBREVIATIONS = {"GMT": "UTC", "UTC": "UTC", "BST": "Europe/London", "CET": "Europe/Berlin", "CEST": "Europe/Berlin",
                  "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles", "EST": "America/New_York",
                  "EDT": "America/New_York", "AEST": "Australia/Sydney", "AEDT": "Australia/Sydney"}  # fmt: skip


@dataclass
class Read:
    """`settlements`: each as `data.settlement` of the webhook, with the line it begins at; `bad`: (line, what)."""

    settlements: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    bad: list[tuple[int, str]] = field(default_factory=list)


def read(text: Iterable[str], form: str, gateway: str, *, day_first: bool = False) -> Read:
    """The settlements of a file. `form`: generic, stripe or paypal; `day_first`: how PayPal's account writes days."""
    rows = csv.DictReader(text)
    names = {(name or "").strip().lower().lstrip("\ufeff"): name for name in rows.fieldnames or ()}
    table: Columns = {"generic": _GENERIC, "stripe": _STRIPE, "paypal": _PAYPAL}[form]
    columns = {key: next((names[one] for one in wanted if one in names), None) for key, wanted in table.items()}
    found = Read()
    for key, column in columns.items():
        if column is None and key not in _OPTIONAL:
            found.bad.append((1, f"there is no column {' or '.join(table[key])}"))
    if found.bad:
        return found
    lines = ((rows.line_num, {k: (row.get(c) or "").strip() if c else "" for k, c in columns.items()}) for row in rows)
    if form == "paypal":
        _by_withdrawal(lines, gateway, found, day_first=day_first)
    else:
        _by_id(lines, form, gateway, found)
    return found


def _by_id(lines: Iterator[tuple[int, Row]], form: str, gateway: str, found: Read) -> None:
    groups: dict[str, tuple[int, dict[str, Any], Decimal]] = {}
    for number, row in lines:
        try:
            if form == "stripe" and (not row["settlementId"] or row["type"] in _STRIPE_LEFT_OUT):
                continue  # not paid out yet, or the payout itself
            line, net = _line(row, form)
            first = number, _head(row, form, gateway), Decimal(0)
            at, whole, sum_ = groups.get(row["settlementId"], first)
            _agree(whole, first[1])
            whole["lines"].append(line)
            groups[row["settlementId"]] = at, whole, sum_ + net
        except ValueError as error:
            found.bad.append((number, str(error)))
    for at, whole, sum_ in groups.values():
        if whole["payout"] is None:
            whole["payout"] = f"{sum_:.2f}"  # a report of whole payouts: what was paid is the sum of its rows
        found.settlements.append((at, whole))


def _head(row: Row, form: str, gateway: str) -> dict[str, Any]:
    paid_at = row["paidAt"].replace(" ", "T")
    if not row["settlementId"]:
        raise ValueError("the settlement's id is missing")
    if len(paid_at) == 10:
        paid_at += "T00:00:00"
    return {
        "settlementId": row["settlementId"],
        "gateway": gateway,
        "currency": row["currency"].upper(),
        "paidAt": f"{paid_at}Z" if form == "stripe" and not paid_at.endswith("Z") else paid_at,
        "payout": f"{_amount(row['payout'], 'payout'):.2f}" if row.get("payout") else None,
        "lines": [],
    }


def _agree(whole: dict[str, Any], row: Mapping[str, Any]) -> None:
    """All rows of a settlement say the same of it; a payout need not be said again."""
    for key in ("currency", "paidAt"):
        if row[key] != whole[key]:
            raise ValueError(f"{key} is {row[key]}, and {whole[key]} in an earlier row of {whole['settlementId']}")
    if whole["payout"] is None:
        whole["payout"] = row["payout"]
    elif row["payout"] is not None and row["payout"] != whole["payout"]:
        raise ValueError(f"payout is {row['payout']}, and {whole['payout']} in an earlier row")


def _line(row: Row, form: str) -> tuple[dict[str, Any], Decimal]:
    amount, fee = _amount(row["amount"], "amount"), _amount(row["fee"] or "0", "fee")
    kind = row["type"].lower()
    if form == "stripe":
        net = _amount(row["net"], "net")
        if net != amount - fee:
            raise ValueError(f"net is {net}, but gross {amount} less fee {fee} is {amount - fee}")
        kind = _STRIPE_TYPES.get(kind, "adjustment")
    return _made(kind, amount, fee, row), amount - fee


def _made(kind: str, amount: Decimal, fee: Decimal, row: Row) -> dict[str, Any]:
    return {
        "type": kind,
        "amount": f"{amount:.2f}",
        "fee": f"{fee:.2f}",
        "orderId": row.get("orderId") or None,
        "transactionId": row.get("transactionId") or None,
        "description": row.get("description") or None,
    }


# -- PayPal -----------------------------------------------------------------------------------------------------------


def _by_withdrawal(lines: Iterator[tuple[int, Row]], gateway: str, found: Read, *, day_first: bool) -> None:
    """Rows in the order of their times; each withdrawal pays out what came since the one before, in its currency."""
    rows: list[tuple[datetime, int, Row]] = []
    for number, row in lines:
        try:
            if row["status"].lower() in ("completed", ""):
                rows.append((_moment(row, day_first), number, row))
        except ValueError as error:
            found.bad.append((number, str(error)))
    since: dict[str, list[dict[str, Any]]] = {}
    sums: dict[str, Decimal] = {}
    for at, number, row in sorted(rows, key=lambda one: (one[0], one[1])):
        currency = row["currency"].upper()
        try:
            amount, fee = _amount(row["amount"], "gross"), -_amount(row["fee"] or "0", "fee")
            net = _amount(row["net"], "net")
            if net != amount - fee:
                raise ValueError(f"net is {net}, but gross {amount} less fee {fee} is {amount - fee}")
            if _WITHDRAWAL not in row["type"].lower():
                since.setdefault(currency, []).append(_made(_paypal_type(row["type"], amount), amount, fee, row))
                sums[currency] = sums.get(currency, Decimal(0)) + net
                continue
            whole, there = since.pop(currency, []), sums.pop(currency, Decimal(0))
            if there != -amount:
                raise ValueError(
                    f"{-amount} {currency} are withdrawn, but the rows since the last withdrawal make {there}: let "
                    "the file begin behind a withdrawal, and withdraw all; or write the file in the generic format"
                )
            if fee:
                whole.append(_made("fee", -fee, Decimal(0), row))
            found.settlements.append(
                (number, {
                    "settlementId": row["transactionId"], "gateway": gateway, "currency": currency,
                    "paidAt": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "payout": f"{net * -1:.2f}",
                    "lines": whole,
                })
            )  # fmt: skip
        except ValueError as error:
            found.bad.append((number, str(error)))


def _paypal_type(words: str, amount: Decimal) -> str:
    known = next((kind for part, kind in _PAYPAL_TYPES if part in words.lower()), None)
    return known or ("charge" if amount > 0 else "adjustment")


def _moment(row: Row, day_first: bool) -> datetime:
    form = "%d/%m/%Y %H:%M:%S" if day_first else "%m/%d/%Y %H:%M:%S"
    text = f"{row['date']} {row['time']}"
    try:
        naive = datetime.strptime(text, form)  # noqa: DTZ007 - its zone has a column of its own
    except ValueError:
        shown = "day/month/year" if day_first else "month/day/year"
        raise ValueError(f"{text!r} is no time written as {shown}: try --day-first, or leave it out") from None
    name = _ABBREVIATIONS.get(row["zone"], row["zone"])
    try:
        return naive.replace(tzinfo=ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"time zone {row['zone']!r} is not known") from None


def _amount(text: str, name: str) -> Decimal:
    """A comma parts thousands and nothing else: `12,50`, read as 1250, would agree with a net that is read so too."""
    written = text.replace("\u2212", "-")
    if not _AMOUNT.fullmatch(written):
        raise ValueError(f"{name}: {text[:40]!r} is no amount like 1234.50 or 1,234.50")
    return Decimal(written.replace(",", ""))
