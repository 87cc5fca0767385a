"""What a payment leaves in an order's rows: status, OrderIsPaid, the gateway's result and the history. Pure."""

from __future__ import annotations

from datetime import datetime
from random import Random
from zoneinfo import ZoneInfo

from connectors.kentico.sandbox.catalogue import Site
from connectors.kentico.sandbox.rows import Ids, OrderRows, stamp
from connectors.kentico.sandbox.schema import HISTORY, full_row

_RESULT_ITEM = '<item name="{name}" header="{{$PaymentGateway.Result.{header}$}}" value="{value}" text="{text}" />'
OFFLINE_PAYMENTS = frozenset({"MoneyTransfer", "CashOnDelivery"})
"""Options without a gateway: somebody ticks "paid" by hand and OrderPaymentResult stays NULL."""


def settle(
    rows: OrderRows, outcome: str, site: Site, zone: ZoneInfo, ids: Ids, moment: datetime, rng: Random
) -> OrderRows:
    """The order after `paid`, `failed`, `authorized` or `by_status` (a paid status, but OrderIsPaid stays NULL)."""
    names = {
        "paid": "PaymentReceived",
        "failed": "PaymentFailed",
        "authorized": "PaymentAuthorized",
        "by_status": "Completed",
    }
    status = site.statuses[names[outcome]]
    order = dict(rows.order, OrderStatusID=status, OrderLastModified=stamp(moment, zone))
    order["OrderIsPaid"] = {"paid": True, "failed": False}.get(outcome)
    option = next((name for name, number in site.payments.items() if number == order["OrderPaymentOptionID"]), None)
    if outcome != "by_status" and option is not None and option not in OFFLINE_PAYMENTS:
        order["OrderPaymentResult"] = payment_result(outcome, option, order["OrderPaymentOptionID"], moment, zone, rng)
    changed = full_row(
        HISTORY, OrderStatusUserID=ids.take(HISTORY.name), OrderID=order["OrderID"],
        FromStatusID=rows.order["OrderStatusID"],
        ToStatusID=status, Date=stamp(moment, zone),
    )  # fmt: skip
    return OrderRows(order, rows.items, rows.addresses, rows.customer, [*rows.history, changed])


def payment_result(outcome: str, option: str, option_id: int, moment: datetime, zone: ZoneInfo, rng: Random) -> str:
    """OrderPaymentResult: en-US local time without zone, header macros, no amount and no currency."""
    local = moment.astimezone(zone)
    half = "AM" if local.hour < 12 else "PM"
    shown = f"{local.month}/{local.day}/{local.year} {local.hour % 12 or 12}:{local:%M:%S} {half}"
    flags = {name: str(int(outcome == name)) for name in ("paid", "failed", "authorized")}
    token = f"{rng.getrandbits(64):016X}"
    items = [
        ("date", "Date", shown, ""),
        ("method", "PaymentMethod", str(option_id), option),
        (
            "completed",
            "IsCompleted",
            flags["paid"],
            "{$PaymentGateway.Result.PaymentCompleted$}" if flags["paid"] == "1" else "",
        ),
        ("transactionid", "TransactionID", f"PAY-{token}" if outcome == "paid" else "", ""),
        ("failed", "IsFailed", flags["failed"], ""),
        ("authorized", "IsAuthorized", flags["authorized"], ""),
        ("authorizationid", "AuthorizationID", f"AUTH-{token}" if outcome == "authorized" else "", ""),
        ("description", "Description", "Card declined" if outcome == "failed" else "", ""),
    ]
    inner = "".join(
        _RESULT_ITEM.format(name=name, header=header, value=value, text=text) for name, header, value, text in items
    )
    return f"<result>{inner}</result>"
