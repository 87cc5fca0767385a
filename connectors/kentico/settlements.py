"""What a payment gateway has paid out, as a sender tells it, to the record of its topic. Pure: a FieldError names the
field. Guarantee: what its lines make is its payout, to the cent, or it is refused with both sides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from connectors.kentico import times
from connectors.kentico.errors import BadValue, FieldError
from connectors.kentico.fields import Columns, Moment, money, name, read, text, time
from connectors.kentico.settings import InstanceSettings
from schemas.types import Settlement, SettlementLine

EVENT, OBJECT = "settlement.paid", "gateway.settlement"
Source = Literal["WEBHOOK", "IMPORT"]
_GATEWAY = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_TYPES = ("CHARGE", "REFUND", "FEE", "ADJUSTMENT", "CHARGEBACK")
_LONGEST_ID = 100
# A gateway reports a payout with the day on which it will be at the bank.
_IN_TRANSIT = timedelta(days=31)
_CENT = Decimal("0.01")


def _gateway(value: Any, moment: Moment) -> str:
    found = name(value, moment)
    if not _GATEWAY.fullmatch(found):
        raise BadValue(f"{found[:60]!r}: use small letters, digits, dots, dashes and underscores, at most 40")
    return found


def _id(value: Any, moment: Moment) -> str:
    found = name(value, moment).strip()
    if not found or len(found) > _LONGEST_ID or not found.isprintable():
        raise BadValue(f"needs a text of 1 to {_LONGEST_ID} printable characters")
    return found


def _currency(value: Any, moment: Moment) -> str:
    found = name(value, moment)
    if not _CURRENCY.fullmatch(found):
        raise BadValue(f"{found[:20]!r}: use a currency's three capital letters")
    return found


def _type(value: Any, moment: Moment) -> str:
    found = name(value, moment).upper()
    if found not in _TYPES:
        raise BadValue(f"{found.lower()[:40]!r} is none of {', '.join(_TYPES).lower()}")
    return found


def _cents(value: Any, moment: Moment) -> Decimal:
    found = money(value, moment)
    if found != found.quantize(_CENT):
        raise BadValue(f"{found:f} has more than two decimals")
    return found


def _fee(value: Any, moment: Moment) -> Decimal:
    return Decimal(0) if value is None or value == "" else _cents(value, moment)


_SETTLEMENT: Columns = {
    "settlementId": _id,
    "gateway": _gateway,
    "currency": _currency,
    "paidAt": time,
    "payout": _cents,
}
_LINE: Columns = {
    "type": _type,
    "amount": _cents,
    "fee": _fee,
    "orderId": text,
    "transactionId": text,
    "description": text,
}


def build(
    data: Mapping[str, Any],
    instance: InstanceSettings,
    path: str,
    observed_at: datetime,
    received_at: datetime,
    *,
    site_name: str | None = None,
    source: Source = "WEBHOOK",
    event_id: str | None = None,
    traceparent: str | None = None,
) -> Settlement:
    """The record of `data.settlement`; `path` stands before every field's name in errors."""

    def moment(value: object) -> datetime:
        return times.plausible(times.moment(value, instance.zone, observed_at), received_at, by=_IN_TRANSIT)

    row = read(data, _SETTLEMENT, path, moment)
    given = data.get("lines")
    if not isinstance(given, list) or not given:
        raise FieldError(f"{path}.lines", "needs an array of at least one line: what the payout is made of")
    lines: list[SettlementLine] = []
    for i, line in enumerate(given):
        found = read(line, _LINE, f"{path}.lines[{i}]", moment)
        lines.append(
            {
                "type": found["type"],
                "amount": found["amount"],
                "fee": found["fee"],
                "order_id": found["orderId"],
                "transaction_id": found["transactionId"],
                "description": found["description"],
            }
        )
    _balanced(row, lines, path)
    return {
        "instance": instance.name,
        "site_name": site_name,
        "source": source,
        "event_id": event_id,
        "version": row["paidAt"],
        "observed_at": observed_at,
        "received_at": received_at,
        "traceparent": traceparent,
        "gateway": row["gateway"],
        "settlement_id": row["settlementId"],
        "currency": row["currency"],
        "paid_at": row["paidAt"],
        "payout": row["payout"],
        "lines": lines,
    }


def key_part(settlement: Settlement) -> str:
    """What stands behind `instance|settlement/` in its record key."""
    return f"{settlement['gateway']}/{settlement['settlement_id']}"


def _balanced(row: Mapping[str, Any], lines: list[SettlementLine], path: str) -> None:
    amounts = sum((line["amount"] for line in lines), Decimal(0))
    fees = sum((line["fee"] for line in lines), Decimal(0))
    if amounts - fees != row["payout"]:
        raise FieldError(
            f"{path}.payout",
            f"is {row['payout']:.2f} {row['currency']}, but the lines' amounts make {amounts:.2f} and their fees "
            f"{fees:.2f}, which is {amounts - fees:.2f}",
        )
