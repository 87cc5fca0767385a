"""W3C traceparent: the one id that follows an order from the webhook's header to Xero's answer. Pure.

00-<32 hex: trace>-<16 hex: parent span>-<2 hex: flags>
"""

from __future__ import annotations

import re

HEADER = "traceparent"
_SHAPE = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


def parse(traceparent: str | None) -> tuple[str, str, str] | None:
    """(trace, span, flags); None for what is none by the standard."""
    match = _SHAPE.fullmatch(traceparent or "")
    if match is None or match[1] == _NO_TRACE or match[2] == _NO_SPAN:
        return None
    return match[1], match[2], match[3]


def make(trace: str, span: str, flags: str = "01") -> str:
    return f"00-{trace}-{span}-{flags}"


def exemplar(traceparent: str | None) -> dict[str, str] | None:
    """What a latency histogram keeps beside an observation, so that a slow order leads to its trace."""
    found = parse(traceparent)
    return None if found is None else {"trace_id": found[0]}
