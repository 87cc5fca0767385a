"""The last reconciliation of each organisation: kept in the data directory, and shown to Prometheus."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from k2x.audit.court import Scope
from k2x.audit.finding import KINDS
from k2x.audit.reconcile import Outcome
from k2x.audit.summary import STATES

_FILE = Path("tools") / "reconciled.json"


def remember(outcome: Outcome, scope: Scope, directory: Path) -> None:
    """Keep the result of each organisation that was looked at whole: one store's or one order's says nothing of it."""
    if scope.store is not None or scope.order is not None:
        return
    known = _read(directory / _FILE)
    for org in scope.orgs:
        if org in outcome.not_done:
            continue
        stores = {
            store: {"counts": dict(tally.counts), "money": [(c, str(k), str(x)) for c, k, x in tally.money]}
            for (of, store), tally in outcome.summary.stores()
            if of == org
        }
        clearing = [row for row in outcome.clearing.rows() if row["org"] == org]
        known[org] = {
            "at": outcome.at.timestamp(), "since": str(scope.since or ""), "stores": stores, "clearing": clearing,
        }  # fmt: skip
    path = directory / _FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(known), "utf-8")
    os.replace(fresh, path)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):  # none yet
        return {}
    return found if isinstance(found, dict) else {}


class LastReconciliation(Collector):
    """Reads the file at each scrape: the tool is another process, and has ended."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE

    def collect(self) -> Iterable[Metric]:
        yield from metrics(_read(self._path))


def metrics(known: Mapping[str, Any]) -> Iterator[Metric]:
    """The file's content as gauges."""
    at = GaugeMetricFamily("k2x_reconcile_timestamp_seconds", "When `k2x reconcile` last ended", labels=["org"])
    findings = GaugeMetricFamily(
        "k2x_reconcile_findings", "What it found to be off, by kind", labels=["org", "store", "kind"]
    )
    orders = GaugeMetricFamily("k2x_reconcile_orders", "Orders by their end", labels=["org", "store", "state"])
    value = GaugeMetricFamily(
        "k2x_reconcile_value", "Money of those orders: what Kentico says, and what Xero has",
        labels=["org", "store", "currency", "side"],
    )  # fmt: skip
    clearing = GaugeMetricFamily(
        "k2x_reconcile_clearing", "What gateways have not paid out yet: by our records (topics), and in Xero",
        labels=["org", "account", "side"],
    )  # fmt: skip
    for org, one in known.items():
        at.add_metric([org], one["at"])
        for row in one.get("clearing", ()):
            for side in ("topics", "xero"):
                clearing.add_metric([org, row["account"], side], float(row[side]))
        if not one["stores"]:
            for kind in KINDS:
                findings.add_metric([org, "", kind], 0)
        for store, tally in one["stores"].items():
            for kind in KINDS:
                findings.add_metric([org, store, kind], tally["counts"].get(kind, 0))
            for state in STATES:
                orders.add_metric([org, store, state], tally["counts"].get(state, 0))
            for currency, kentico, xero in tally["money"]:
                value.add_metric([org, store, currency, "kentico"], float(kentico))
                value.add_metric([org, store, currency, "xero"], float(xero))
    yield from (at, findings, orders, value, clearing)
