"""Orders → commands: `kentico.orders.v1` to `xero.commands.<org>.v1`.

Guarantee: each order version ends as a command, a SUPPRESSED result, a REFUSED one with its dead letter, or parked.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import cast

from schemas import spans
from schemas.delivery import Record
from schemas.topics import order_key
from schemas.types import Order
from streams.aggregates import Aggregates
from streams.flow import Refused, Suppressed
from streams.outputs import Source, Subject
from streams.stores import Route


class Orders(Aggregates):
    agent = "orders"
    kind = "order"

    def handle(self, source: Source, now: datetime) -> list[Record]:
        order = cast(Order, self._decode(source))
        route = self._stores.route(order["instance"], order["site_name"])
        if route is None:
            return self._unknown(source, _subject(order, None), order["site_name"], now)
        why = self._waits(source, route)
        if why:
            return self._park(source, _subject(order, route), route.org, why, now)
        return self._flow(source, order, route, now)

    def again(self, source: Source, org: str, now: datetime) -> list[Record]:
        order = cast(Order, self._decode(source))
        route = self._stores.route(order["instance"], order["site_name"])
        if route is None:
            return self._unknown(source, _subject(order, None), order["site_name"], now)
        if route.flow is None:  # its store was given to another organisation, which is not ready
            return self._park(source, _subject(order, route), route.org, route.waits_for, now)
        return self._flow(source, order, route, now)

    def _flow(self, source: Source, order: Order, route: Route, now: datetime) -> list[Record]:
        if route.flow is None:
            raise RuntimeError(f"{route.store} has no flow, and nothing to wait for")
        started = time.perf_counter()
        made = route.flow.order(order, now)
        took = time.perf_counter() - started
        self._metrics.transformed(took)
        if spans.on():
            ended = time.time()
            of = {"k2x.store": route.store, "k2x.org": route.org, "k2x.order_id": str(order["order"]["OrderID"])}
            of["k2x.outcome"] = "suppressed" if isinstance(made, Suppressed) else "command"
            failed = isinstance(made, Refused)
            spans.record(spans.Span("transform", ended - took, ended, order["traceparent"], (), of, failed))
        if isinstance(made, Suppressed | Refused):
            return self._records(source, _subject(order, route), made, now)
        self._metrics.event(self.agent, "command", route.org)  # the usual way, so without building a subject
        commands = made if isinstance(made, tuple) else (made,)
        return [self._outputs.command(command, source) for command in commands]


def _subject(order: Order, route: Route | None) -> Subject:
    order_id = str(order["order"]["OrderID"])
    currency = order["currency"]
    return Subject(
        instance=order["instance"],
        kind="order",
        key=order_key(order["instance"], order_id).decode(),
        version=order["version"],
        org=route.org if route else None,
        store=route.store if route else None,
        order_id=order_id,
        currency=currency["CurrencyCode"] if currency else None,
        received_at=order["received_at"],
        traceparent=order["traceparent"],
    )
