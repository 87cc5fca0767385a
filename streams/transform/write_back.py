"""What Kentico's order shall show of a result, in the columns that the store's rules name. Pure."""

from __future__ import annotations

from datetime import datetime

from schemas.types import Result, WriteBack
from streams.transform.context import Store

_SHOWN = frozenset({"POSTED", "ADOPTED", "HELD", "REFUSED", "CANCELLED"})
_OF_ORDER = frozenset({"order", "invoice"})  # payments and contacts follow the invoice
_COLLECTED = "COLLECTED"  # the status in the results of an order whose daily summary is not in Xero yet


def columns(result: Result, store: Store, now: datetime) -> WriteBack | None:
    """The columns to write; None where the rules name none, or the result says nothing new of the order."""
    named = store.rules.write_back.columns()
    voided = result["kind"] == "order_refund" and result["status"] == "VOIDED"  # the order's invoice, not a credit note
    if not named or result["order_id"] is None or (result["kind"] not in _OF_ORDER and not voided):
        return None
    collected = result["status"] == _COLLECTED
    waits = collected and result["outcome"] == "WAITING"
    if result["outcome"] not in _SHOWN and not waits:
        return None
    if "/" in result["order_id"]:  # a daily summary's own: each of its orders has a result of its own
        return None
    good = result["outcome"] in ("POSTED", "ADOPTED")
    # Posted, but of what came of the order since, a person has to decide.
    fine = (good and not result["error_code"]) or waits
    nowhere = collected or (good and result["xero_id"] is None)  # its summary's number names nothing in Xero
    values = {
        "number": None if nowhere else result["number"],
        "invoice_id": result["xero_id"] if good else None,
        "status": result["outcome"] if collected and not waits else result["status"] or result["outcome"],
        "error": "" if fine else f"{result['error_code'] or result['outcome']}: {result['message'] or ''}"[:200],
        "posted_at": result["at"].isoformat() if good else None,
    }
    fields = {column: value for what, column in named.items() if (value := values[what]) is not None}
    if not fields:
        return None
    return {
        "instance": result["instance"],
        "store": result["store"],
        "order_id": result["order_id"],
        "fields": fields,
        "version": result["version"],
        "at": now,
        "traceparent": result["traceparent"],
    }
