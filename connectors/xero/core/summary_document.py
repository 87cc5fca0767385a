"""What the orders, or refunds, of a closed summary come to as one document (BOOKKEEPING §8). Pure.

Guarantees: the document's total and tax are the sums of its orders', to the cent; the same orders in the same order
give the same bytes. Memory is that of the sums, not of the orders.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, cast

import orjson

from schemas.types import Command, Contact, RefundNote, Sale, Summary, Tender

ZERO = Decimal(0)
REFUND_ID = "day"  # of the one credit note that a summary of refunds has
_SIX = Decimal("0.000001")
_DATES = re.compile(r'"(Date|DueDate)":"(\d{4}-\d\d-\d\d)"')  # of a document as it is made here; texts escape their "


@dataclass(slots=True)
class _Share:
    """What came, or went back, on one account and day."""

    amount: Decimal = ZERO
    bank: Decimal = ZERO
    count: int = 0
    foreign: bool = False  # the account is in the document's currency, which is not the base
    converted: bool = False  # the account is in the base currency


@dataclass(slots=True)
class Sums:
    """Fed with the commands of a summary, one after another, by their ledger keys' order."""

    count: int = 0
    total: Decimal = ZERO
    total_tax: Decimal = ZERO
    base_total: Decimal | None = ZERO  # None: an order's is not known
    rates: set[str | None] = field(default_factory=set)
    contact: Contact | None = None
    version: datetime | None = None
    observed_at: datetime | None = None
    first_open_day: bool = False  # the rule of the order that was seen last
    _lines: dict[tuple[str, str, str], tuple[Decimal, Decimal]] = field(default_factory=dict)
    _tenders: dict[tuple[str, str, str], _Share] = field(default_factory=dict)
    _hash: Any = field(default_factory=hashlib.sha256)

    def add(self, key: str, command: Command) -> None:
        """One more. `key`: the member's in the ledger."""
        body = cast(Sale | RefundNote, command["body"])
        part = cast(Summary, body["summary"])
        self.count += 1
        self.total += Decimal(body["total"])
        self.total_tax += Decimal(body["total_tax"])
        self._rate(part)
        for line in part["lines"]:
            name = (line["account"], line["tax_type"], line["tracking"])
            net, tax = self._lines.get(name, (ZERO, ZERO))
            self._lines[name] = net + Decimal(line["net"]), tax + Decimal(line["tax"])
        for tender in body["payments"]:
            self._tender(tender)
        self.contact = cast(Contact | None, body.get("contact")) or self.contact
        self.version = max(self.version or command["version"], command["version"])
        if self.observed_at is None or command["observed_at"] >= self.observed_at:
            self.first_open_day = part["first_open_day"]
        self.observed_at = max(self.observed_at or command["observed_at"], command["observed_at"])
        self._hash.update(f"{key}|{body['total']}|{body['total_tax']}\n".encode())

    def _rate(self, part: Summary) -> None:
        self.rates.add(part["rate"])
        if part["base_total"] is None or self.base_total is None:
            self.base_total = None
        else:
            self.base_total += Decimal(part["base_total"])

    def _tender(self, tender: Tender) -> None:
        share = self._tenders.setdefault((tender["account_code"], tender["account_id"], tender["date"]), _Share())
        share.count += 1
        share.amount += Decimal(tender["amount"])
        share.bank += Decimal(tender["bank_amount"] or 0)
        share.converted = share.converted or tender["bank_amount"] is not None
        share.foreign = share.foreign or tender["currency_rate"] is not None

    @property
    def members_hash(self) -> str:
        """Of the members, their totals and taxes."""
        return str(self._hash.hexdigest())

    def rate(self) -> str | None:
        """Foreign units per unit of base: that of all orders, else what their totals make; None: Xero's, or no need."""
        if len(self.rates) == 1:
            return next(iter(self.rates))
        if None in self.rates or not self.base_total or not self.total:
            return None
        return _text((self.total / self.base_total).quantize(_SIX, ROUND_HALF_UP))

    def sale(self, of: Command) -> Command:
        """The command of the whole day. `of`: the summary's own as it was opened, with its number and day."""
        opened = cast(Sale, of["body"])
        document = self._document("ACCREC", opened["summary"], opened["currency"])
        summary = cast(Summary, opened["summary"])
        document = {**document, "DueDate": summary["day"], "Reference": how_many(self.count)}
        text = orjson.dumps(document).decode()
        payments = self._payments()
        body: Sale = {
            **opened,
            "invoice": text,
            "total": f"{self.total:.2f}",
            "total_tax": f"{self.total_tax:.2f}",
            "money_hash": _digest(text, payments),
            "contact": cast(Contact, self.contact),
            "payments": payments,
            "summary": self._summary(summary),
        }
        return self._command(of, body)

    def refund(self, of: Command) -> Command:
        """The same of the refunds of a day."""
        opened = cast(RefundNote, of["body"])
        summary = cast(Summary, opened["summary"])
        body: RefundNote = {
            **opened,
            "credit_note": orjson.dumps(self._document("ACCRECCREDIT", summary, opened["currency"])).decode(),
            "total": f"{self.total:.2f}",
            "total_tax": f"{self.total_tax:.2f}",
            "payments": self._payments(),
            "summary": self._summary(summary),
        }
        return self._command(of, body)

    def _command(self, of: Command, body: Sale | RefundNote) -> Command:
        made: Command = {
            **of,
            "version": self.version or of["version"],
            "observed_at": self.observed_at or of["observed_at"],
            "body": body,
        }
        return made

    def _summary(self, opened: Summary) -> Summary:
        return {
            **opened,
            "rate": self.rate(),
            "base_total": None if self.base_total is None else f"{self.base_total:.2f}",
            "lines": [
                {
                    "account": account,
                    "tax_type": tax_type,
                    "tracking": tracking,
                    "net": f"{net:.2f}",
                    "tax": f"{tax:.2f}",
                }
                for (account, tax_type, tracking), (net, tax) in sorted(self._lines.items())
            ],
            "orders": self.count,
            "first_open_day": self.first_open_day,
        }

    def _document(self, kind: str, summary: Summary | None, currency: str) -> dict[str, Any]:
        day = cast(Summary, summary)["day"]
        made: dict[str, Any] = {"Type": kind, "Status": "AUTHORISED", "Date": day, "CurrencyCode": currency}
        rate = self.rate()
        if rate is not None:
            made["CurrencyRate"] = orjson.Fragment(rate)
        made["LineAmountTypes"] = "Exclusive"
        what = "Sales" if kind == "ACCREC" else "Refunds"
        made["LineItems"] = [
            _line(f"{what} of {day}, {tax_type}", account, tax_type, tracking, net, tax)
            for (account, tax_type, tracking), (net, tax) in sorted(self._lines.items())
            if net or tax
        ]
        return made

    def _payments(self) -> list[Tender]:
        """One for each account and day; the ordinals are those of their sorted keys."""
        rate = self.rate()
        made: list[Tender] = []
        for (code, id_, date), share in sorted(self._tenders.items()):
            if not share.amount:
                continue
            converted = share.converted and rate is not None
            made.append(
                {
                    "ordinal": len(made) + 1,
                    "account_code": code,
                    "account_id": id_,
                    "amount": f"{share.amount:.2f}",
                    "date": date,
                    "currency_rate": rate if share.foreign and not converted else None,
                    "bank_amount": f"{share.bank:.2f}" if converted else None,
                    "reference": how_many(share.count),
                }
            )
        return made


def _line(text: str, account: str, tax_type: str, tracking: str, net: Decimal, tax: Decimal) -> dict[str, Any]:
    """Always with its TaxAmount: Xero's own tax on a sum is not the sum of the taxes."""
    made: dict[str, Any] = {
        "Description": text,
        "Quantity": 1,
        "UnitAmount": orjson.Fragment(_text(net)),
        "AccountCode": account,
        "TaxType": tax_type,
        "TaxAmount": orjson.Fragment(_text(tax)),
    }
    if tracking:
        made["Tracking"] = json.loads(tracking)
    return made


def _digest(text: str, payments: list[Tender]) -> str:
    told = "|".join(f"{one['account_code']} {one['account_id']} {one['amount']} {one['date']}" for one in payments)
    return hashlib.sha256(f"{text}\n{told}".encode()).hexdigest()


def how_many(count: int) -> str:
    """In words."""
    return "1 order" if count == 1 else f"{count} orders"


def _text(value: Decimal) -> str:
    written = f"{value:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def dated(command: Command, document: str, payments: str) -> Command:
    """The same with no date of its document, and none of its payments, before these ISO dates (empty: as they are)."""
    body = cast(dict[str, Any], command["body"])
    name = "invoice" if command["kind"] == "SALE" else "credit_note"

    def later(found: re.Match[str]) -> str:
        return f'"{found[1]}":"{max(found[2], document)}"'

    moved = {
        **body,
        name: _DATES.sub(later, body[name]),
        "date": max(body["date"], document),
        "payments": [{**one, "date": max(one["date"], document, payments)} for one in body["payments"]],
    }
    made: Command = {**command, "body": cast(Sale | RefundNote, moved)}
    return made


def opened(command: Command, key: str, number: str) -> Command:
    """The command of a summary that begins with this order: number, day and currency; what it comes to is not known."""
    body = cast(Mapping[str, Any], command["body"])
    summary = {**body["summary"], "number": number, "lines": [], "rate": None, "base_total": None, "orders": 0}
    empty: dict[str, Any] = {**body, "number": number, "date": summary["day"], "total": "0.00", "total_tax": "0.00"}
    empty |= {"payments": [], "summary": summary}
    if command["kind"] == "SALE":
        empty |= {"invoice": "{}", "money_hash": "", "items": [], "decisions": [], "on_other_money": "HOLD"}
    else:
        empty |= {"refund_id": REFUND_ID, "credit_note": "{}"}
    made: Command = {
        **command,
        "command_id": f"{key}@0",
        "order_id": key.partition("|")[2],
        "key": key,
        "body": cast(Sale | RefundNote, empty),
        "findings": [],
        "source_topic": "",
        "source_partition": -1,
        "source_offset": -1,
        "replay_id": None,
        "traceparent": None,
    }
    return made
