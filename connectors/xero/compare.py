"""Is what Xero holds under our number what we would have written? Equal is success, different shows both sides."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from schemas.types import Payout, RefundNote, Sale

_GONE = frozenset({"VOIDED", "DELETED"})
_OPEN = frozenset({"AUTHORISED", "PAID"})
_LINE = ("Description", "Quantity", "UnitAmount", "AccountCode", "TaxType", "ItemCode")
_NUMBERS = frozenset({"Quantity", "UnitAmount"})


@dataclass(frozen=True)
class Difference:
    """One field that differs, both sides as a person reads them."""

    field: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.field}: the order has {self.ours}, Xero has {self.theirs}"


def invoice(sale: Sale, contact_id: str | None, theirs: Mapping[str, Any]) -> list[Difference]:
    """Contact, currency, totals, tax, lines, reference and status. Empty: it is ours."""
    ours = json.loads(sale["invoice"], parse_float=Decimal)
    return _document(sale, "ACCREC", ours, str(ours.get("Reference") or ""), contact_id, theirs)


def credit_note(note: RefundNote, number: str, contact_id: str | None, theirs: Mapping[str, Any]) -> list[Difference]:
    """The same of a credit note, whose Reference is its number."""
    ours = json.loads(note["credit_note"], parse_float=Decimal)
    return _document(note, "ACCRECCREDIT", ours, number, contact_id, theirs)


def _document(
    sums: Sale | RefundNote,
    kind: str,
    ours: Mapping[str, Any],
    reference: str,
    contact_id: str | None,
    theirs: Mapping[str, Any],
) -> list[Difference]:
    status = str(theirs.get("Status"))
    found: list[Difference] = []
    if status not in _OPEN:
        found.append(Difference("status", "AUTHORISED", status))
    if theirs.get("Type") not in (None, kind):
        found.append(Difference("type", kind, str(theirs.get("Type"))))
    contact = str((theirs.get("Contact") or {}).get("ContactID") or "")
    if contact_id is not None and contact.lower() != contact_id.lower():
        found.append(Difference("contact", contact_id, contact))
    if (theirs.get("CurrencyCode") or sums["currency"]) != sums["currency"]:
        found.append(Difference("currency", sums["currency"], str(theirs.get("CurrencyCode"))))
    found += totals(sums, theirs)
    if str(theirs.get("Reference") or "") != reference:
        found.append(Difference("reference", reference, str(theirs.get("Reference") or "")))
    found += _lines(ours.get("LineItems") or [], theirs.get("LineItems"))
    return found


def totals(ours: Sale | RefundNote, theirs: Mapping[str, Any]) -> list[Difference]:
    """Total and TotalTax to the cent."""
    pairs = (("total", ours["total"], theirs.get("Total")), ("tax", ours["total_tax"], theirs.get("TotalTax")))
    return [
        Difference(name, mine, "nothing" if other is None else str(other))
        for name, mine, other in pairs
        if _number(other) != _number(mine)
    ]


def payment(amount: Decimal, theirs: Mapping[str, Any]) -> list[Difference]:
    """The amount alone: marker and invoice have already matched."""
    other = theirs.get("Amount")
    return [] if _number(other) == amount else [Difference("amount", str(amount), str(other))]


def bank_transaction(payout: Payout, theirs: Mapping[str, Any]) -> list[Difference]:
    """A settlement's fees: which way, on which account, how much, and the tax in it; the marker has matched."""
    ours = json.loads(payout["bank_transaction"] or "{}")
    pairs = [
        ("type", ours.get("Type"), theirs.get("Type")),
        ("account", payout["clearing_account"], _id(theirs, "BankAccount")),
    ]
    numbers = [
        ("total", payout["transaction_total"], theirs.get("Total")),
        ("tax", payout["transaction_tax"], theirs.get("TotalTax")),
    ]
    return _pairs(pairs, numbers)


def bank_transfer(payout: Payout, theirs: Mapping[str, Any]) -> list[Difference]:
    """A settlement's payout: from which account to which, and how much."""
    ours = json.loads(payout["transfer"] or "{}", parse_float=Decimal)
    pairs = [
        (key, _id(ours, name), _id(theirs, name))
        for key, name in (("from", "FromBankAccount"), ("to", "ToBankAccount"))
    ]
    return _pairs(pairs, [("amount", str(ours.get("Amount")), theirs.get("Amount"))])


def _id(row: Mapping[str, Any], name: str) -> str:
    return str((row.get(name) or {}).get("AccountID") or "").lower()


def _pairs(texts: list[tuple[str, Any, Any]], numbers: list[tuple[str, str, Any]]) -> list[Difference]:
    found = [Difference(n, str(a), str(b)) for n, a, b in texts if str(a).lower() != str(b).lower()]
    return found + [
        Difference(n, a, "nothing" if b is None else str(b)) for n, a, b in numbers if _number(b) != _number(a)
    ]


def gone(theirs: Mapping[str, Any]) -> bool:
    """Voided or deleted: its number stays taken (xero.md §4.2)."""
    return str(theirs.get("Status")) in _GONE


def shown(differences: list[Difference]) -> str:
    """Both sides, one sentence each."""
    return "; ".join(map(str, differences))


def _lines(ours: list[Mapping[str, Any]], theirs: Any) -> list[Difference]:
    """Field by field as multisets, so that the order of lines means nothing; only fields that all our lines carry."""
    if not isinstance(theirs, list) or (not theirs and ours):
        return []  # a list without lines: the totals have been compared
    if len(ours) != len(theirs):
        return [Difference("lines", str(len(ours)), str(len(theirs)))]
    for name in _LINE:
        if not all(line.get(name) is not None for line in ours):
            continue
        mine = Counter(_text(name, line.get(name)) for line in ours)
        other = Counter(_text(name, line.get(name)) for line in theirs)
        if mine != other:
            return [Difference(f"lines' {name}", ", ".join(mine - other), ", ".join(other - mine) or "nothing")]
    return []


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in _NUMBERS:
        number = _number(value)
        return str(value) if number is None else f"{number.normalize():f}"
    return " ".join(str(value).split())


def _number(value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None
