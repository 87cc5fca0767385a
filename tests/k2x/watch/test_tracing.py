"""Spans reach an OpenTelemetry collector as OTLP, and no stage waits for it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from connectors.xero.core import records
from connectors.xero.core.events import Transact
from connectors.xero.metrics import SinkMetrics
from k2x.tracing import OtlpRecorder
from schemas import spans, traces
from schemas.spans import Span
from tests.connectors.xero import commands

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
AT = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


class Collector:
    """Takes OTLP, or does not."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.services: set[str] = set()
        self.status = 200

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/traces"
        for resource in json.loads(request.content)["resourceSpans"]:
            self.services |= {a["value"]["stringValue"] for a in resource["resource"]["attributes"]}
            if self.status == 200:
                self.spans += [span for scope in resource["scopeSpans"] for span in scope["spans"]]
        return httpx.Response(self.status)


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def recorder(collector: Collector) -> Iterator[OtlpRecorder]:
    made = OtlpRecorder(
        "http://collector:4318/", "k2x-sink", registry=CollectorRegistry(), dice=random.Random(1),
        transport=httpx.MockTransport(collector.answer),
    )  # fmt: skip
    spans.use(made)
    yield made
    spans.use(None)
    made.stop()


def test_a_span_is_a_child_of_the_sender_s_and_names_its_links(recorder: OtlpRecorder, collector: Collector) -> None:
    attributes = {"k2x.org": "uk", "k2x.documents": 3, "share": 0.5, "first": True}
    spans.record(Span("transform", 10.0, 10.5, TRACEPARENT, (TRACEPARENT, "rubbish"), attributes, failed=True))
    recorder.send()
    [span] = collector.spans
    assert (span["traceId"], span["parentSpanId"]) == (TRACE, PARENT)
    assert len(span["spanId"]) == 16
    assert span["spanId"] != PARENT
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == ("10000000000", "10500000000")
    assert span["links"] == [{"traceId": TRACE, "spanId": PARENT}]
    assert span["status"] == {"code": 2}
    assert {a["key"]: a["value"] for a in span["attributes"]} == {
        "k2x.org": {"stringValue": "uk"}, "k2x.documents": {"intValue": "3"}, "share": {"doubleValue": 0.5},
        "first": {"boolValue": True},
    }  # fmt: skip
    assert collector.services == {"k2x-sink"}


def test_an_order_s_span_goes_from_its_arrival_to_its_outcome(recorder: OtlpRecorder, collector: Collector) -> None:
    result = records.result(
        commands.sale(7), "order", "POSTED", AT, received_at=AT - timedelta(seconds=4), traceparent=TRACEPARENT
    )
    SinkMetrics(CollectorRegistry()).committed("uk", Transact(1, {}, (result,)), 0.01)
    recorder.send()
    [span] = collector.spans
    assert span["traceId"] == TRACE
    assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == 4_000_000_000


def test_a_collector_that_is_full_or_away_costs_spans_and_nothing_else(
    recorder: OtlpRecorder, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.status = 503
    for _ in range(5000):  # more than may wait
        spans.record(Span("s", 1.0, 2.0))
    recorder.send()
    assert collector.spans == []
    registry = recorder._ends
    shown = {s.labels["outcome"]: s.value for f in registry.collect() for s in f.samples if s.name.endswith("_total")}
    assert shown == {"dropped": 5000 - 4096, "refused": 512}


def test_without_a_recorder_nothing_is_made() -> None:
    assert not spans.on()
    spans.record(Span("s", 1.0, 2.0))


@pytest.mark.parametrize(
    "text",
    ["", "rubbish", f"01-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01", None],
)
def test_what_is_no_traceparent_is_none(text: str | None) -> None:
    assert traces.parse(text) is None
    assert traces.exemplar(text) is None
    assert traces.parse(TRACEPARENT) == (TRACE, PARENT, "01")
