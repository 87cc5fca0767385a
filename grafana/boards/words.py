"""What several pages say in the same way: quantiles, states, and reasons why the demo has no data."""

from __future__ import annotations

from grafana.panel import Colour, Query

LANE = {
    "1": ("running", "green"), "2": ("taking over", "blue"), "3": ("paused", "yellow"), "4": ("rebuilding", "blue"),
    "5": ("failed", "red"), "6": ("refused", "red"), "7": ("LEDGER LOST", "red"), "0": ("closed", "text"),
}  # fmt: skip
_NUMBERS = {"running": 1, "taking_over": 2, "paused": 3, "rebuilding": 4, "failed": 5, "refused": 6, "ledger_lost": 7}

NO_POLL = "the demo's shops send webhooks and hints: no instance has `poll`"
NO_CDC = "the demo's shops have no Debezium"
NO_CONFIRM = "the demo tells no other system"
NO_APP = "the demo's organisations are custom connections, which have no refresh token"
NO_FAULT = "nothing of this kind happens in a demo that goes well"
NO_REBUILD = "no ledger is lost in a demo"
NO_REPLAY = "the demo replays nothing"


def lane_words() -> dict[str, tuple[str, Colour]]:
    return {value: (text, colour) for value, (text, colour) in LANE.items()}  # type: ignore[misc]


def lane_state(selector: str) -> str:
    """A lane's state as one number, by LANE; the highest of several sinks' words, for a former owner says `closed`."""
    parts = [f'max by (org) (k2x_sink_lane_state{{{selector}, state="{s}"}} * {n})' for s, n in _NUMBERS.items()]
    return f"max by (org) ({' or '.join(_labelled(part, i) for i, part in enumerate(parts))})"


def _labelled(part: str, index: int) -> str:
    # Unlike labels, or `or` would drop all but the first.
    return f'label_replace({part}, "n", "{index}", "", "")'


def quantiles(histogram: str, selector: str, by: str = "", legend: str = "", empty: str = "") -> tuple[Query, ...]:
    """p50, p95 and p99 of a histogram."""
    labels = f"le, {by}" if by else "le"
    name = f"{legend} " if legend else ""
    return tuple(
        Query(
            f"histogram_quantile(0.{q}, sum by ({labels}) (rate({histogram}_bucket{{{selector}}}[$__rate_interval])))",
            f"{name}p{q}",
            empty,
        )
        for q in (50, 95, 99)
    )


def p95(histogram: str, selector: str, by: str = "", legend: str = "p95", empty: str = "") -> Query:
    labels = f"le, {by}" if by else "le"
    expr = f"histogram_quantile(0.95, sum by ({labels}) (rate({histogram}_bucket{{{selector}}}[$__rate_interval])))"
    return Query(expr, legend, empty)


def rate(counter: str, selector: str, by: str, legend: str, empty: str = "") -> Query:
    braces = f"{{{selector}}}" if selector else ""
    return Query(f"sum by ({by}) (rate({counter}{braces}[$__rate_interval]))", legend, empty)
