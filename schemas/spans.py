"""Where the stages leave spans of traces, if anybody takes them: k2x.tracing does where `tracing` is configured.

A span is recorded once it has ended, as a child of whatever the traceparent names; nothing waits for its export.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Span:
    """Times are Unix seconds. `parent`, `links`: traceparents; without a parent it begins a trace of its own. No
    attribute holds a person's data."""

    name: str
    start: float
    end: float
    parent: str | None = None
    links: tuple[str, ...] = ()
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    failed: bool = False


class Recorder(Protocol):
    """Takes spans from any thread, and never blocks."""

    def record(self, span: Span) -> None: ...


_recorder: Recorder | None = None


def use(recorder: Recorder | None) -> None:
    """From now on this process's spans go there; None: nowhere."""
    global _recorder
    _recorder = recorder


def on() -> bool:
    """Whether anybody takes spans: ask before making one."""
    return _recorder is not None


def record(span: Span) -> None:
    """Leave a span."""
    if _recorder is not None:
        _recorder.record(span)
