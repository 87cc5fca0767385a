"""A refund as a credit note and the money back (BOOKKEEPING §7), at what was charged, tax as it was charged. Pure.

What was refunded before is the sink's to know: it refuses what exceeds the invoice less earlier refunds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from schemas.types import Order, Refund, RefundLine, RefundNote, Tender
from streams.transform import command, dates, payment, summary, validate, xero_math
from streams.transform.context import Draft, Line
from streams.transform.errors import invalid, unmapped
from streams.transform.money import FOUR, ONE, ZERO, number, rounded, shares, text
from streams.transform.texts import clean, identifier

STATUS = "status"
"""The id of a refund that only a status tells of (DESIGN §6): the whole order."""
_GIFT_CARD = "giftcard"
_HALF = Decimal("0.5")
_MEND = "Correct the refund at its sender and send it again."


@dataclass(slots=True)
class Part:
    """A line of the credit note. `net` in the invoice's mode, `tax` what is given back of the tax."""

    of: Line
    description: str
    net: Decimal
    tax: Decimal
    quantity: Decimal = ONE


def of(order: Order, statuses: Sequence[str]) -> Refund | None:
    """The order's refund: as it was sent, or all of it where its status says so."""
    if order["refund"] is not None:
        return order["refund"]
    status = order["status"]["StatusName"] if order["status"] else None
    if status is None or status not in statuses:
        return None
    moved = [change["date"] for change in order["status_history"] if change["to_status"] == status]
    return {
        "refund_id": STATUS,
        "refunded_at": moved[-1] if moved else order["observed_at"],
        "currency": None,
        "amount": Decimal(0),  # all of it; known when the order's total is
        "reason": None,
        "lines": [],
        "shipping": None,
        "tender": None,
        "transaction_id": None,
    }


def refund(draft: Draft) -> None:
    """The command for the sink, if the order has a refund."""
    given = draft.refund
    if given is None:
        return
    whole = given["refund_id"] == STATUS
    amount = draft.total if whole else _amount(draft, given)
    if not amount:
        draft.findings.append("nothing was paid for the order, so nothing is given back")
        return
    if given["lines"] or given["shipping"]:
        parts = list(_named(draft, given, amount))
    elif amount == draft.total:
        parts = [_again(line) for line in draft.lines]
    else:
        parts = _spread(draft, given, amount)
    day = _day(draft, given)
    lines = [_line(draft, part) for part in parts]
    tax = sum((part.tax for part in parts), ZERO)
    refund_id = identifier(given["refund_id"])
    body: RefundNote = {
        "refund_id": refund_id,
        "number": f"CN-{draft.number}-{refund_id}",
        "credit_note": orjson.dumps(_document(draft, day, lines)).decode(),
        "currency": draft.currency,
        "date": day.isoformat(),
        "total": f"{amount:.2f}",
        "total_tax": f"{tax:.2f}",
        "payments": _back(draft, given, amount, day),
        "summary": summary.of_refund(draft, day, _nets(draft, parts), amount, tax),
    }
    order_id = str(draft.order["order"]["OrderID"])
    made = command.envelope(draft.order, draft.store, "REFUND", draft.key, body, order_id=order_id)
    draft.refund_command = {**made, "command_id": f"{made['command_id']}/{refund_id}"}


def _nets(draft: Draft, parts: Sequence[Part]) -> Iterator[tuple[Line, Decimal, Decimal]]:
    """Line, net without the tax, tax."""
    for part in parts:
        yield part.of, part.net - part.tax if draft.inclusive else part.net, part.tax


def _amount(draft: Draft, given: Refund) -> Decimal:
    amount = rounded(given["amount"], draft.unit)
    who = f"{draft.who}: refund {given['refund_id']}"
    if given["currency"] not in (None, draft.currency):
        raise invalid("refund_currency", f"{who} is in {given['currency']}, the order in {draft.currency}", _MEND)
    if amount != given["amount"] or amount <= 0:
        text_ = f"{who} is {text(given['amount'])} {draft.currency}: no amount in whole {draft.unit} above zero"
        raise invalid("refund_amount", text_, _MEND)
    if amount > draft.total:
        text_ = f"{who} is {draft.amount(amount)}, the whole order was {draft.amount(draft.total)}"
        raise invalid("refund_exceeds_order", text_, _MEND)
    return amount


# -- lines ----------------------------------------------------------------------------------------------------------


def _again(line: Line) -> Part:
    """All of a line."""
    return Part(line, line.description, line.net, line.tax, line.quantity)


def _named(draft: Draft, given: Refund, amount: Decimal) -> Iterator[Part]:
    """The lines that the refund names, and shipping. Their amounts contain the tax, or not: the sum says."""
    shipping = given["shipping"] or ZERO
    named = sum((line["amount"] for line in given["lines"]), ZERO) + shipping
    tax = sum((line["tax"] for line in given["lines"]), ZERO)
    if amount not in (named, named + tax):
        raise invalid(
            "refund_unbalanced",
            f"{draft.who}: refund {given['refund_id']} is {draft.amount(amount)}, but its lines and shipping make "
            f"{draft.amount(named)}, with their tax {draft.amount(named + tax)}",
            _MEND,
        )
    for line in given["lines"]:
        yield _part(draft, given, line, line["amount"] + (line["tax"] if amount != named else ZERO))
    if shipping:
        of_shipping = next((line for line in draft.lines if line.kind == "shipping"), None)
        if of_shipping is None:
            text_ = f"{draft.who}: refund {given['refund_id']} gives shipping back, and the order had none"
            raise invalid("refund_line_unknown", text_, _MEND)
        yield _gross(draft, of_shipping, shipping, of_shipping.description)


def _part(draft: Draft, given: Refund, line: RefundLine, gross: Decimal) -> Part:
    guid = line["OrderItemGUID"].lower()
    sold = next((one for one in draft.lines if one.item and (one.item["OrderItemGuid"] or "").lower() == guid), None)
    who = f"{draft.who}: refund {given['refund_id']}"
    if sold is None:
        names = ", ".join(f"{one.name} {one.item['OrderItemGuid']}" for one in draft.lines if one.item)
        text_ = f"{who} names the item {line['OrderItemGUID']}, which is no line of the order ({names})"
        raise invalid("refund_line_unknown", text_, _MEND)
    most = sold.net + (ZERO if draft.inclusive else sold.tax)
    if gross > most or (line["quantity"] > sold.quantity and sold.quantity != ONE):
        text_ = (
            f"{who} gives {draft.amount(gross)} back for {text(line['quantity'])} × {sold.name}, of which "
            f"{text(sold.quantity)} were sold for {draft.amount(most)}"
        )
        raise invalid("refund_line_too_large", text_, _MEND)
    net = gross if draft.inclusive else gross - line["tax"]
    exact = xero_math.exact_tax(net, sold.rate or ZERO, draft.inclusive)
    if abs(exact - line["tax"]) > draft.unit * (_HALF + ONE):
        text_ = (
            f"{who}: {sold.name} was charged {text(sold.rate or ZERO)} %, so {draft.amount(gross)} contain about "
            f"{draft.amount(rounded(exact, draft.unit))} of tax, not {draft.amount(line['tax'])}"
        )
        raise invalid("refund_tax_disagrees", text_, _MEND)
    return Part(sold, sold.description, net, line["tax"], line["quantity"])


def _gross(draft: Draft, line: Line, gross: Decimal, description: str) -> Part:
    """A part by its amount with tax, at the line's rate."""
    tax = rounded(xero_math.exact_tax(gross, line.rate or ZERO, True), draft.unit)
    return Part(line, description, gross if draft.inclusive else gross - tax, tax)


def _spread(draft: Draft, given: Refund, amount: Decimal) -> list[Part]:
    """An amount that names no lines: over the accounts and tax types of the sale, by what was charged on each."""
    groups: dict[tuple[Any, ...], tuple[Line, Decimal]] = {}
    for line in draft.lines:
        gross = line.net + (ZERO if draft.inclusive else line.tax)
        if line.kind == "rounding" or gross <= 0:
            continue
        key = (line.account_code, line.tax_type, line.rate, str(line.tracking))
        first, before = groups.get(key, (line, ZERO))
        groups[key] = (first, before + gross)
    what = clean(given["reason"]) or "Refund"
    title = f"{what} (part of order {draft.order['order']['OrderID']})"
    parts = shares(amount, [gross for _, gross in groups.values()], draft.unit)
    return [_gross(draft, line, part, title) for (line, _), part in zip(groups.values(), parts, strict=True) if part]


def _line(draft: Draft, part: Part) -> dict[str, Any]:
    """Credit notes know no discounts: a net UnitAmount, for one where it would have more than four decimals."""
    of_, quantity = part.of, part.quantity
    unit = part.net / quantity if quantity > 0 else part.net
    description = part.description
    if quantity <= 0 or unit != unit.quantize(FOUR) or xero_math.line_amount(quantity, unit, ZERO) != part.net:
        if quantity not in (ZERO, ONE):
            description = f"{text(quantity)} × {description}"
        quantity, unit = ONE, part.net
    written: dict[str, Any] = {
        "Description": description,
        "Quantity": number(quantity),
        "UnitAmount": number(unit),
        "AccountCode": of_.account_code,
        "TaxType": of_.tax_type,
    }
    rate = draft.store.reference.tax_rates.get(of_.tax_type)
    if xero_math.line_tax(part.net, rate.rate if rate is not None else ZERO, draft.inclusive) != part.tax:
        written["TaxAmount"] = number(part.tax)
    if of_.item_code and part.quantity == of_.quantity:
        written["ItemCode"] = of_.item_code
    if of_.tracking and of_.kind != "rounding":
        written["Tracking"] = list(of_.tracking)
    return written


def _document(draft: Draft, day: date, lines: list[dict[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "Type": "ACCRECCREDIT",
        "Status": "AUTHORISED",
        "Date": day.isoformat(),
        "CurrencyCode": draft.currency,
    }
    if draft.rate is not None:
        document["CurrencyRate"] = number(draft.rate)
    document["LineAmountTypes"] = "Inclusive" if draft.inclusive else "Exclusive"
    document["LineItems"] = lines
    return document


# -- the money ------------------------------------------------------------------------------------------------------


def _back(draft: Draft, given: Refund, amount: Decimal, day: date) -> list[Tender]:
    """By the means that the refund names, else as it was paid: the gateway's share first, then the gift cards'."""
    reference = clean(given["transaction_id"])
    cards = {clean(card["name"]) for card in draft.order["order"]["OrderOtherPayments"]}
    found: list[Tender] = []
    if given["tender"]:
        account = payment.account_named(draft, given["tender"], _GIFT_CARD)
        return [payment.tender(draft, found, account, amount, day, reference)]
    left = amount
    for paid in draft.payments if amount == draft.total else draft.payments[::-1]:
        part = min(left, Decimal(paid["amount"]))
        if part > 0:
            source = draft.store.reference.account(paid["account_id"] or paid["account_code"])
            if source is None:
                text_ = f"{draft.who}: account {paid['account_code']}, which took the payment, is gone"
                raise unmapped("refund_account_unknown", text_, "Restore the account in Xero.")
            own = paid["reference"] if paid["reference"] in cards else reference or paid["reference"]
            found.append(payment.tender(draft, found, source, part, day, own))
            left -= part
    return found


def _day(draft: Draft, given: Refund) -> date:
    day = dates.open_day(draft.store, dates.local_day(given["refunded_at"], draft.store.zone))
    day = max(day, draft.date)
    validate.open_on(draft, "the refund", day.isoformat())
    return day


def was_paid(order: Order, paid_statuses: Sequence[str]) -> bool:
    """Something says that the order was paid before its status became another one."""
    result = order["payment_result"]
    if result is not None and result["completed"] and not result["failed"]:
        return True
    return any(c["to_is_paid"] or c["to_status"] in paid_statuses for c in order["status_history"])
