"""The command's envelope: what the sink is told besides the documents. Pure; the agent adds where it was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from schemas.types import (
    Command,
    Contact,
    CustomerChanged,
    Item,
    Order,
    Payout,
    ProductChanged,
    RefundNote,
    Sale,
    Settlement,
)
from streams.transform.context import Draft, Store

_ON_UNPAID: Mapping[str, Literal["HOLD", "VOID", "CREDIT"]] = {"hold": "HOLD", "void": "VOID", "credit": "CREDIT"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def envelope(
    aggregate: Order | CustomerChanged | ProductChanged | Settlement,
    store: Store,
    kind: Literal["SALE", "CONTACT", "ITEM", "REFUND", "CANCEL", "SETTLEMENT"],
    key: str,
    body: Sale | Contact | Item | RefundNote | Payout | None,
    *,
    order_id: str | None = None,
    findings: Sequence[str] = (),
) -> Command:
    """A command for the store's organisation. Its id is `key@version`, the version in microseconds since 1970."""
    version = aggregate["version"]
    return {
        "command_id": f"{key}@{(version - _EPOCH) // _MICROSECOND}",
        "org": store.org,
        "instance": aggregate["instance"],
        "store": store.name if kind in ("SALE", "REFUND", "CANCEL") else None,
        "order_id": order_id,
        "kind": kind,
        "key": key,
        "version": version,
        "observed_at": aggregate["observed_at"],
        "received_at": aggregate["received_at"],
        "rules_version": store.rules_version,
        "body": body,
        "findings": list(findings),
        "source_topic": "",
        "source_partition": -1,
        "source_offset": -1,
        "replay_id": None,
        "traceparent": aggregate["traceparent"],
        "on_unpaid": _ON_UNPAID[store.rules.refunds.unpaid] if kind in ("REFUND", "CANCEL") else "HOLD",
    }


def cancel(draft: Draft) -> Command:
    """The order was deleted in Kentico. Its version is the aggregate's: a deletion is later than what was posted."""
    order_id = str(draft.order["order"]["OrderID"])
    return envelope(draft.order, draft.store, "CANCEL", draft.key, None, order_id=order_id, findings=draft.findings)
