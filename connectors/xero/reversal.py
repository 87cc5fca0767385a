"""The credit note that takes an invoice back exactly as Xero holds it, and whether Xero holds it as the ledger says.

Guarantees: the same accounts, tax types, amounts and taxes, to the cent, or the reason why not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from connectors.xero.core import answers
from connectors.xero.errors import CannotBeTakenBack
from schemas.types import LedgerEntry, RefundNote, Tender

_CENT, _UNIT = Decimal("0.01"), Decimal("0.0001")
_GUID = 36  # characters; an account's Code has at most ten


@dataclass(frozen=True)
class Former:
    """An invoice that is to be taken back: its ledger entry, and what the ledger says of a payment by its ordinal."""

    entry: LedgerEntry
    payment: Callable[[int], LedgerEntry | None]


def note(former: Former, theirs: Mapping[str, Any], refund_id: str, number: str, day: str) -> RefundNote:
    """The credit note and the money back. CannotBeTakenBack where Xero's invoice is not the ledger's, or not whole."""
    _as_posted(former.entry, theirs)
    lines = [_line(former.entry, line) for line in theirs.get("LineItems") or []]
    inclusive = str(theirs.get("LineAmountTypes")) != "Exclusive"
    tax = sum((line.tax for line in lines), Decimal(0))
    total = sum((line.amount for line in lines), Decimal(0)) + (Decimal(0) if inclusive else tax)
    if (total, tax) != (_decimal(theirs.get("Total")), _decimal(theirs.get("TotalTax"))):
        raise CannotBeTakenBack(
            f"its lines in Xero make {total}, tax {tax}, and its sums there are {theirs.get('Total')}, tax "
            f"{theirs.get('TotalTax')}"
        )
    document: dict[str, Any] = {
        "Type": "ACCRECCREDIT",
        "Status": "AUTHORISED",
        "Date": day,
        "CurrencyCode": theirs.get("CurrencyCode") or former.entry["currency"],
    }
    rate = _decimal(theirs.get("CurrencyRate"))
    if rate is not None and rate != 1:
        document["CurrencyRate"] = rate
    document["LineAmountTypes"] = theirs.get("LineAmountTypes") or "Exclusive"
    document["LineItems"] = [line.written for line in lines]
    return {
        "refund_id": refund_id,
        "number": number,
        "credit_note": text(document),
        "currency": str(former.entry["currency"]),
        "date": day,
        "total": f"{total:.2f}",
        "total_tax": f"{tax:.2f}",
        "payments": _money_back(former, theirs, day),
        "summary": None,
    }


def _as_posted(entry: LedgerEntry, theirs: Mapping[str, Any]) -> None:
    pairs = [
        ("id", str(entry["xero_id"]).casefold(), str(theirs.get("InvoiceID")).casefold()),
        ("status", "PAID", str(theirs.get("Status"))),
        ("currency", str(entry["currency"]), str(theirs.get("CurrencyCode") or entry["currency"])),
        ("total", _decimal(entry["total"]), _decimal(theirs.get("Total"))),
        ("tax", _decimal(entry["total_tax"]), _decimal(theirs.get("TotalTax"))),
        ("credited", Decimal(0), _decimal(theirs.get("AmountCredited")) or Decimal(0)),
    ]
    found = [f"{name}: the ledger has {ours}, Xero has {other}" for name, ours, other in pairs if ours != other]
    if found:
        raise CannotBeTakenBack("; ".join(found))


@dataclass(frozen=True)
class _Line:
    written: dict[str, Any]
    amount: Decimal
    tax: Decimal


def _line(entry: LedgerEntry, line: Mapping[str, Any]) -> _Line:
    """Credit notes know no discounts: a net UnitAmount, for one where it would have more than four decimals."""
    amount, tax = _decimal(line.get("LineAmount")), _decimal(line.get("TaxAmount"))
    description = str(line.get("Description") or "")
    if amount is None or tax is None or not line.get("AccountCode"):
        raise CannotBeTakenBack(f"Xero does not show amount, tax and account of its line {description!r}")
    quantity = _decimal(line.get("Quantity")) or Decimal(1)
    unit = _decimal(line.get("UnitAmount"))
    if unit is None or (quantity * unit).quantize(_CENT, ROUND_HALF_UP) != amount:
        unit = (amount / quantity).quantize(_UNIT, ROUND_HALF_UP)
    if (quantity * unit).quantize(_CENT, ROUND_HALF_UP) != amount:
        description = f"{quantity.normalize():f} × {description}"
        quantity, unit = Decimal(1), amount
    written: dict[str, Any] = {
        "Description": description,
        "Quantity": quantity,
        "UnitAmount": unit,
        "AccountCode": line["AccountCode"],
        "TaxType": line.get("TaxType") or "NONE",
        "TaxAmount": tax,
    }
    if line.get("ItemCode"):
        written["ItemCode"] = line["ItemCode"]
    if line.get("Tracking"):
        written["Tracking"] = [{"Name": one["Name"], "Option": one["Option"]} for one in line["Tracking"]]
    return _Line(written, amount, tax)


def _money_back(former: Former, theirs: Mapping[str, Any], day: str) -> list[Tender]:
    """One payment for each that Xero shows, from the account that it went to, and not before it came."""
    number, made = str(former.entry["number"]), list[Tender]()
    for paid in answers.living(theirs):
        made.append(_back(former, number, paid, len(made) + 1, day))
    back = sum((Decimal(one["amount"]) for one in made), Decimal(0))
    if back != _decimal(theirs.get("Total")):
        raise CannotBeTakenBack(f"its payments in Xero make {back} of {theirs.get('Total')}")
    return made


def _back(former: Former, number: str, paid: Mapping[str, Any], ordinal: int, day: str) -> Tender:
    marker = answers.first_token(paid)
    before, _, its_ordinal = marker.rpartition("/")
    known = former.payment(int(its_ordinal)) if its_ordinal.isdigit() else None
    amount = _decimal(paid.get("Amount")) or Decimal(0)
    ours = before.casefold() == number.casefold() and known is not None and known["state"] == "POSTED"
    if known is None or not ours or str(known["xero_id"]).casefold() != str(paid.get("PaymentID")).casefold():
        raise CannotBeTakenBack(f"a payment of {amount} on it ({paid.get('Reference')!r}) is not one that k2x made")
    if _decimal(known["total"]) != amount:
        raise CannotBeTakenBack(f"payment {marker}: the ledger has {known['total']}, Xero has {amount}")
    facts = known["extra"]
    account = facts.get("account", "")
    if not account:
        raise CannotBeTakenBack(f"the account of payment {marker} is not known: it is from before k2x kept it")
    return {
        "ordinal": ordinal,
        "account_code": "" if len(account) == _GUID else account,
        "account_id": account if len(account) == _GUID else "",
        "amount": f"{amount:.2f}",
        "date": max(day, facts.get("date", day)),
        "currency_rate": facts.get("currency_rate"),
        "bank_amount": facts.get("bank_amount"),
        "reference": f"{marker} back",
    }


def text(value: Any) -> str:
    """JSON whose numbers are the decimals' own digits."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(name)}:{text(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))
