"""Counters of the loop that does the work: a dictionary while counting, Prometheus' families when they are asked for.

An order and its results add up to thirty counts; prometheus_client's own counters lock and cost 2 µs each, which came
to 8 % of streams' time. One thread adds; others may begin a count, and a scrape's thread reads copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class Tally(Collector):
    """One counter with labels. `counts` is by label values, in the order of `labels`; it only grows."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self.counts: dict[tuple[str, ...], float] = {}
        self._family = (name, text, labels)
        registry.register(self)

    def add(self, labels: tuple[str, ...], amount: float = 1.0) -> None:
        counts = self.counts
        counts[labels] = counts.get(labels, 0.0) + amount

    def begin(self, labels: tuple[str, ...]) -> None:
        """Told from now on, so that the first count is seen as a rise from 0."""
        self.counts.setdefault(labels, 0.0)

    def collect(self) -> Iterable[CounterMetricFamily]:
        """As a scrape sees it."""
        name, text, names = self._family
        family = CounterMetricFamily(name, text, labels=names)
        for labels, value in list(self.counts.items()):
            family.add_metric(labels, value)
        yield family
