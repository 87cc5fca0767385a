"""A flow whose answer stands in the order's note, so that tests of Kafka's side need no bookkeeping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from schemas.letters import ErrorClass, Reason
from schemas.types import Command, CustomerChanged, Order, ProductChanged, Result, RulesVersion, Settlement, WriteBack
from streams.errors import NotUsable
from streams.flow import Made, Refused, Suppressed
from streams.reference_copy import Rows


class NotedFlow:
    """OrderNote: `boom` raises, `refuse` refuses; `new item` makes two; unpaid: suppressed; all else is a command."""

    def __init__(self, org: str, store: str, rules: RulesVersion, rows: Rows) -> None:
        self._org = org
        self._store = store
        self._rules = rules
        self._accounts = sorted(code for kind, code in rows if kind == "ACCOUNT")

    def order(self, order: Order, now: datetime) -> Made:
        note = order["order"]["OrderNote"]
        number = str(order["order"]["OrderID"])
        if note == "boom":
            raise ZeroDivisionError("a bug in a transform")
        if note == "refuse":
            reason = Reason(ErrorClass.VALIDATION, "no_lines", f"order {number} has no lines", "Mend it in Kentico.")
            return Refused(reason, "validate")
        if not order["order"]["OrderIsPaid"]:
            return Suppressed("unpaid", "the order is not paid")
        sale = self._command(order, "SALE", f"{order['instance']}|{number}", number)
        return (self._command(order, "ITEM", f"NEW-{number}"), sale) if note == "new item" else sale

    def contact(self, change: CustomerChanged, now: datetime) -> Made:
        return self._command(change, "CONTACT", f"{change['instance']}|customer|{change['customer']['CustomerID']}")

    def item(self, change: ProductChanged, now: datetime) -> Made:
        return self._command(change, "ITEM", change["SKUNumber"] or "")

    def settlement(self, given: Settlement, now: datetime) -> Made:
        return self._command(given, "SETTLEMENT", f"{given['instance']}|settlement/{given['settlement_id']}")

    def writeback(self, result: Result, now: datetime) -> WriteBack | None:
        if result["outcome"] != "POSTED" or self._rules["document"] != '{"write_back": true}':
            return None
        return {
            "instance": result["instance"],
            "store": result["store"],
            "order_id": result["order_id"] or "",
            "fields": {"OrderXeroStatus": result["status"] or ""},
            "version": result["version"],
            "at": now,
            "traceparent": result["traceparent"],
        }

    def _command(self, aggregate: Any, kind: str, key: str, order_id: str | None = None) -> Command:
        return cast(
            Command,
            {
                "command_id": f"{key}@{aggregate['version'].isoformat()}",
                "org": self._org,
                "instance": aggregate["instance"],
                "store": self._store,
                "order_id": order_id,
                "kind": kind,
                "key": key,
                "version": aggregate["version"],
                "observed_at": aggregate["observed_at"],
                "received_at": aggregate["received_at"],
                "rules_version": self._rules["version"],
                "body": None,
                "findings": [f"accounts {','.join(self._accounts)}"],
                "replay_id": None,
                "traceparent": aggregate["traceparent"],
            },
        )


class NotedCompiler:
    """Compiles NotedFlows; rules whose document is `bad` are not usable."""

    def compile(self, org: str, stores: Sequence[str], rows: Rows, rules: RulesVersion) -> Mapping[str, NotedFlow]:
        if rules["document"] == "bad":
            raise NotUsable("the document is bad")
        return {store: NotedFlow(org, store, rules, rows) for store in stores}
