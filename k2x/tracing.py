"""Sends spans to an OpenTelemetry collector: OTLP over HTTP as JSON, which every collector takes, without its SDK.

Guarantees: no stage ever waits for it; what a collector does not take in time is dropped and counted.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import orjson
import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter

from schemas.spans import Span
from schemas.traces import parse

log = structlog.get_logger()

_MOST = 4096  # spans that wait; 20 s of a busy worker's
_TOGETHER = 512
_EVERY_S = 1.0
_TIMEOUT_S = 5.0
_JSON = {"Content-Type": "application/json"}
_INTERNAL, _FAILED = 1, 2  # OTLP: SPAN_KIND_INTERNAL, STATUS_CODE_ERROR


class OtlpRecorder:
    """`endpoint`: a collector's base address, such as http://localhost:4318. `start`, then `stop`."""

    def __init__(
        self,
        endpoint: str,
        service: str,
        *,
        registry: CollectorRegistry = REGISTRY,
        dice: random.Random | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = endpoint.rstrip("/") + "/v1/traces"
        self._service = service
        self._dice = dice or random.Random()  # noqa: S311 - ids that must differ, no secrets
        self._waiting: deque[Span] = deque()  # a lock around each span would cost more than the span
        self._http = httpx.Client(timeout=_TIMEOUT_S, transport=transport)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._ends = Counter(
            "k2x_trace_spans", "Spans by what became of them: sent, dropped, refused", ["outcome"], registry=registry
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, once, and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_TIMEOUT_S * 2)
        self._http.close()

    def record(self, span: Span) -> None:
        if len(self._waiting) < _MOST:
            self._waiting.append(span)
        else:
            self._ends.labels("dropped").inc()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self.send()
        self.send()

    def send(self) -> None:
        """Send what waits now."""
        while spans := self._some():
            try:
                body = orjson.dumps(otlp(spans, self._service, self._dice.getrandbits))
                answer = self._http.post(self._url, content=body, headers=_JSON)
                taken, why = answer.status_code < 300, f"it answered {answer.status_code}"
            except httpx.HTTPError as error:
                taken, why = False, type(error).__name__
            self._ends.labels("sent" if taken else "refused").inc(len(spans))
            if not taken:
                log.warning("spans_not_taken", collector=self._url, spans=len(spans), why=why)
                return

    def _some(self) -> list[Span]:
        found: list[Span] = []
        while self._waiting and len(found) < _TOGETHER:
            found.append(self._waiting.popleft())
        return found


def otlp(spans: list[Span], service: str, bits: Callable[[int], int]) -> dict[str, Any]:
    """An ExportTraceServiceRequest in OTLP's JSON. `bits(n)`: n random bits, for ids."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [_attribute("service.name", service)]},
                "scopeSpans": [{"scope": {"name": "k2x"}, "spans": [_span(span, bits) for span in spans]}],
            }
        ]
    }


def _span(span: Span, bits: Callable[[int], int]) -> dict[str, Any]:
    parent = parse(span.parent)
    made: dict[str, Any] = {
        "traceId": parent[0] if parent else f"{bits(128) or 1:032x}",
        "spanId": f"{bits(64) or 1:016x}",
        "name": span.name,
        "kind": _INTERNAL,
        "startTimeUnixNano": str(int(span.start * 1e9)),
        "endTimeUnixNano": str(int(max(span.start, span.end) * 1e9)),
        "attributes": [_attribute(name, value) for name, value in span.attributes.items()],
        "links": [{"traceId": found[0], "spanId": found[1]} for link in span.links if (found := parse(link))],
        "status": {"code": _FAILED} if span.failed else {},
    }
    if parent:
        made["parentSpanId"] = parent[1]
    return made


def _attribute(name: str, value: str | int | float | bool) -> Mapping[str, Any]:
    match value:
        case bool():
            return {"key": name, "value": {"boolValue": value}}
        case int():
            return {"key": name, "value": {"intValue": str(value)}}
        case float():
            return {"key": name, "value": {"doubleValue": value}}
        case _:
            return {"key": name, "value": {"stringValue": value}}
