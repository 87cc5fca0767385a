"""The shop's payment gateway pays out: what it took for orders, less what was given back and its fees, once each.

No table of Kentico's knows: only the event tells of it. What was paid out is remembered by order, so an order that is
edited or refunded later is in the next payout with the difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from random import Random
from typing import Any

EVENT, OBJECT = "settlement.paid", "gateway.settlement"
GATEWAYS: Mapping[str, str] = {"CreditCard": "stripe", "PayPal": "paypal"}
"""The payment option of the shop → what the gateway is called."""
_SHARE, _EACH = Decimal("0.014"), Decimal("0.20")  # a usual price list: 1.4 % and 20 pence a charge
_SCREENING = Decimal("0.02")  # a charge, billed as a line of its own
_CENT = Decimal("0.01")


def charged(truth: Mapping[str, Any]) -> Decimal:
    """What the gateway has taken for an order: its total less the gift cards."""
    cards = sum((Decimal(card["amount"]) for card in truth["gift_cards"]), Decimal(0))
    return Decimal(truth["total_price"]) - cards


def payout(
    truths: Iterable[Mapping[str, Any]], before: Iterable[Mapping[str, Any]], number: int, paid_at: str, rng: Random
) -> dict[str, Any] | None:
    """The settlement as the sender tells it, of one store, gateway and currency. `truths`: its paid orders; `before`:
    what was paid out earlier. None where there is nothing new."""
    known: Counter[tuple[str, str]] = Counter()
    for one in before:
        for line in one["lines"]:
            known[line["type"], line.get("orderId", "")] += Decimal(line["amount"])  # type: ignore[assignment]
    lines: list[dict[str, Any]] = []
    currency = ""
    for truth in truths:
        currency, order = truth["currency"], str(truth["order_id"])
        new = charged(truth) - known["charge", order]
        if new:
            fee = (abs(new) * _SHARE + _EACH).quantize(_CENT)
            lines.append(_line("charge", new, fee, order, f"ch_{rng.getrandbits(48):012x}"))
        back = sum((Decimal(refund["amount"]) for refund in truth.get("refunds", ())), Decimal(0))
        if given := min(back, charged(truth)) + known["refund", order]:  # refunds are lines below zero
            lines.append(_line("refund", -given, Decimal(0), order, f"rf_{rng.getrandbits(48):012x}"))
    if not lines:
        return None
    charges = sum(line["type"] == "charge" for line in lines)
    if charges:
        lines.append({"type": "fee", "amount": str(-_SCREENING * charges), "description": "Card screening"})
    total = sum((Decimal(line["amount"]) - Decimal(line.get("fee", "0")) for line in lines), Decimal(0))
    return {
        "settlementId": f"po_{number:04d}_{rng.getrandbits(32):08x}",
        "currency": currency,
        "paidAt": paid_at,
        "payout": str(total),
        "lines": lines,
    }


def fees(told: Mapping[str, Any]) -> Decimal:
    """What the gateway has kept of a settlement."""
    gross = (Decimal(line["amount"]) for line in told["lines"] if line["type"] in ("charge", "refund"))
    return sum(gross, Decimal(0)) - Decimal(told["payout"])


def _line(kind: str, amount: Decimal, fee: Decimal, order: str, transaction: str) -> dict[str, Any]:
    return {"type": kind, "amount": str(amount), "fee": str(fee), "orderId": order, "transactionId": transaction}
