"""What each process shows: named as Prometheus wants it, of bounded labels, and true to what happened."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

import connectors.kentico.metrics  # noqa: F401 - its metrics are in the default registry
from connectors.xero.budget import Budget, Limits
from connectors.xero.calls import Call
from connectors.xero.core import records
from connectors.xero.core.events import Send, Transact
from connectors.xero.metrics import SinkMetrics
from k2x.audit import last
from k2x.dead_letters.letter import Letter, State
from k2x.watch.lag import Behind, Sample
from k2x.watch.metrics import Seen, WatchCollector, WatchCounters
from schemas.types import Result
from schemas.waits import WAITS, wait_word
from streams.metrics import Metrics
from tests.connectors.xero import commands

ROOT = Path(__file__).parents[3]
AT = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def result(**changes: Any) -> Result:
    made = records.result(commands.sale(7), "order", "POSTED", AT, total="58.70", total_tax="9.78", currency="GBP")
    return cast(Result, {**made, "store": "emea/GoatUK", "version": AT - timedelta(seconds=3), **changes})


def letter(minutes: int, state: State = State.OPEN) -> Letter:
    headers = [("x-org", b"uk"), ("x-error-class", b"mapping")]
    return Letter("kentico.orders.v1-dlt", 0, 1, AT - timedelta(minutes=minutes), b"k", None, headers, "order", {},
                  state=state)  # fmt: skip


def streams_metrics() -> CollectorRegistry:
    metrics = Metrics()
    metrics.result(result())
    metrics.result(result(outcome="WAITING", message="Xero cannot be reached: 503"))
    metrics.event("orders", "command", "uk")
    return metrics.registry


def sink_metrics() -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics = SinkMetrics(registry)
    metrics.opened("uk", Limits())
    metrics.state("uk", "running")
    metrics.budget("uk", Budget(Limits(), 0.0).snapshot(0.0))
    metrics.work("uk", batches=1, orders=2, read_backs=0, waiting=0, now=AT)
    metrics.paused("uk", "day", 30.0)
    metrics.committed("uk", Transact(1, {}, (result(),)), 0.01)
    registry.register(last.LastReconciliation(Path("nowhere")))
    return registry


def watch_metrics() -> CollectorRegistry:
    registry = CollectorRegistry()
    WatchCounters(registry)
    one = Behind("k2x-sink", "xero.commands.uk.v1", 0, 4, 3, 12.0)
    sample = Sample(1000.0, (one,), {("xero.commands.uk.v1", 0): (0, 7)}, {"k2x-sink": 1}, 1)
    registry.register(WatchCollector(Seen(sample, (letter(5), letter(9))), 15.0, clock=lambda: 1010.0))
    return registry


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed here")
@pytest.mark.parametrize("make", [streams_metrics, sink_metrics, watch_metrics, lambda: REGISTRY])
def test_promtool_has_nothing_to_say_about_a_process_s_metrics(make: Any) -> None:
    shown = generate_latest(make())
    done = subprocess.run(["promtool", "check", "metrics"], input=shown, capture_output=True, timeout=60, check=False)
    said = [line for line in done.stderr.decode().splitlines() if not re.match(r"python_", line)]  # the library's own
    assert said == []


def test_a_sample_that_is_old_is_not_shown() -> None:
    seen = Seen(Sample(1000.0, brokers=1))
    fresh, old = (WatchCollector(seen, 15.0, clock=lambda now=now: now) for now in (1059.0, 1061.0))  # type: ignore[misc]
    names = [{metric.name for metric in collector.collect()} for collector in (fresh, old)]
    assert "kafka_brokers" in names[0]
    assert names[1] == {"k2x_lag_sampled_timestamp_seconds"}


def test_letters_are_counted_by_how_they_stand_and_the_oldest_open_one_is_dated() -> None:
    seen = Seen(letters=(letter(5), letter(90), letter(500, State.RESOLVED)))
    value = value_of(WatchCollector(seen, 15.0))
    labels = {"org": "uk", "error_class": "mapping"}
    topic = {"topic": "kentico.orders.v1"}
    assert value("k2x_dead_letters", labels | topic | {"state": "open"}) == 2
    assert value("k2x_dead_letters", labels | topic | {"state": "resolved"}) == 1
    assert value("k2x_dead_letters_oldest_timestamp_seconds", labels) == (AT - timedelta(minutes=90)).timestamp()


def value_of(collector: Collector) -> Any:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry.get_sample_value


def test_results_count_money_by_store_and_currency_and_the_way_from_kentico_to_paid() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.result(result(traceparent=TRACE))
    metrics.result(result(replay_id="r1"))  # counts as money, not as a way: it began months ago
    metrics.result(result(kind="invoice"))
    metrics.result(result(outcome="REFUSED", error_code="account_unknown"))
    value = metrics.registry.get_sample_value
    place = {"org": "uk", "store": "emea/GoatUK", "kind": "order", "currency": "GBP"}
    assert value("k2x_business_documents_total", place) == 2
    assert value("k2x_business_value_total", place) == pytest.approx(float(2 * Decimal("58.70")))
    assert value("k2x_business_tax_total", place) == pytest.approx(float(2 * Decimal("9.78")))
    way = {"org": "uk", "store": "emea/GoatUK"}
    assert value("k2x_end_to_end_seconds_count", way) == 1
    assert value("k2x_end_to_end_seconds_bucket", way | {"le": "2.5"}) == 0
    assert value("k2x_end_to_end_seconds_bucket", way | {"le": "5.0"}) == 1
    refused = {"org": "uk", "kind": "order", "outcome": "REFUSED", "code": "account_unknown"}
    assert value("k2x_results_total", refused) == 1


def test_a_store_s_first_order_counts_because_its_sums_begin_at_nothing() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.selling("uk", ["emea/GoatUK"], ["GBP", "EUR"])
    value = metrics.registry.get_sample_value
    place = {"org": "uk", "store": "emea/GoatUK", "kind": "order"}
    assert [value("k2x_business_value_total", place | {"currency": c}) for c in ("GBP", "EUR", "USD")] == [0, 0, None]


def test_a_label_is_bounded_whatever_the_codes_are() -> None:
    metrics = Metrics(CollectorRegistry())
    for number in range(1000):
        metrics.result(result(outcome="REFUSED", error_code=f"made up {number}"))
    codes = {s.labels["code"] for f in metrics.registry.collect() for s in f.samples if s.name == "k2x_results_total"}
    assert len(codes) == 201
    assert "other" in codes


def test_open_intentions_are_counted_until_their_outcome_is_committed() -> None:
    registry = CollectorRegistry()
    metrics = SinkMetrics(registry)
    metrics.opened("uk", Limits())
    entry = records.entry("uk", "emea|7|invoice|0", "invoice", AT)
    intention = {"step": "invoice", "idempotency_key": "k", "body_sha256": "", "intended_at": AT, "token_id": "",
                 "attempt": 1, "hash": "", "version": AT}  # fmt: skip

    def shown(seconds: float) -> tuple[float | None, float | None]:
        metrics.work("uk", batches=0, orders=0, read_backs=0, waiting=0, now=AT + timedelta(seconds=seconds))
        names = ("k2x_sink_intended_entries", "k2x_sink_oldest_intention_age_seconds")
        return cast(Any, tuple(registry.get_sample_value(name, {"org": "uk"}) for name in names))

    metrics.committed("uk", Transact(1, {entry["key"]: cast(Any, {**entry, "intention": intention})}), 0.1)
    assert shown(40) == (1, 40)
    metrics.committed("uk", Transact(2, {entry["key"]: cast(Any, {**entry, "state": "POSTED"})}), 0.1)
    assert shown(50) == (0, 0)


def test_a_repeat_under_its_own_key_is_counted_and_a_first_send_is_not() -> None:
    registry = CollectorRegistry()
    metrics = SinkMetrics(registry)
    call = Call("PUT", "Invoices", purpose="invoices")
    metrics.sent("uk", Send(1, call, documents=3))
    metrics.sent("uk", Send(1, call, same_token="t", documents=3))
    assert registry.get_sample_value("k2x_xero_repeated_calls_total", {"org": "uk", "purpose": "invoices"}) == 1


def test_every_reason_to_wait_that_the_core_writes_has_its_word() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "connectors" / "xero" / "core").glob("*.py"))
    for begin, word in WAITS:
        assert begin in source, f"{begin!r}: nobody writes it any more"
        assert wait_word(f"{begin}: and so on") == word
    assert wait_word("something else") == wait_word(None) == "other"


def test_the_last_reconciliation_is_shown_and_an_organisation_not_done_keeps_its_own(tmp_path: Path) -> None:
    tally = {"counts": {"orders": 3, "posted": 3, "lost": 1}, "money": [["GBP", "10.00", "9.00"]]}
    known = {"uk": {"at": 5.0, "since": "", "stores": {"emea/GoatUK": tally}}}
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "reconciled.json").write_text(json.dumps(known))
    value = value_of(last.LastReconciliation(tmp_path))
    assert value("k2x_reconcile_timestamp_seconds", {"org": "uk"}) == 5
    place = {"org": "uk", "store": "emea/GoatUK"}
    assert value("k2x_reconcile_findings", place | {"kind": "lost"}) == 1
    assert value("k2x_reconcile_value", place | {"currency": "GBP", "side": "xero"}) == 9
