"""A result of the sink or of streams as the event that another system is told. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.confirm.settings import Target, What
from schemas.types import Result

_WHAT: Mapping[str, What] = {"POSTED": "posted", "ADOPTED": "posted", "REFUSED": "refused", "HELD": "held"}
# Contacts and items are means to an end; `letter` is k2x's own note of a redrive.
_TOLD = frozenset({"order", "invoice", "payment", "order_refund", "credit_note", "refund", "summary"})


def what_of(result: Result, target: Target) -> What | None:
    """What the target is to be told of it; None: nothing."""
    what = _WHAT.get(result["outcome"]) if result["kind"] in _TOLD else None
    if what is None or what not in target.events or result["order_id"] is None:
        return None
    if target.stores and result["store"] not in target.stores:
        return None
    return what


def event_id(topic: str, partition: int, offset: int) -> str:
    """The same each time the same result is told: a receiver knows a repeat by it."""
    return f"{topic}-{partition}-{offset}"


def event(result: Result, what: What, identity: str) -> dict[str, Any]:
    """The event, JSON-ready; amounts are text."""
    told: dict[str, Any] = {
        "specVersion": 1,
        "eventId": identity,
        "eventType": f"{result['kind']}.{what}",
        "occurredAt": result["at"].isoformat(),
        "instance": result["instance"],
        "store": result["store"],
        "organisation": result["org"],
        "orderId": result["order_id"],
        "document": {
            "kind": result["kind"],
            "ordinal": result["ordinal"],
            "number": result["number"],
            "xeroId": result["xero_id"],
            "status": result["status"],
            "total": result["total"],
            "totalTax": result["total_tax"],
            "amountDue": result["amount_due"],
            "currency": result["currency"],
        },
        "findings": result["findings"],
    }
    if what != "posted":
        error = {"class": "error_class", "code": "error_code", "message": "message", "hint": "hint"}
        told["error"] = {name: result[field] for name, field in error.items()}  # type: ignore[literal-required]
    return told
