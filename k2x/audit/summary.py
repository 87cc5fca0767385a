"""The counts of an audit: per organisation, store and day, with the money of both sides by currency. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from k2x.audit.finding import KINDS, Finding
from k2x.audit.judge import Verdict

STATES = ("posted", "suppressed", "dead_lettered", "waiting", "parked", "in_flight", "lost")
COLUMNS = ("orders", *STATES[:-1], "held", *KINDS)


@dataclass
class Tally:
    """Orders by their end, findings by their kind, and money by currency: what Kentico says, and what Xero has."""

    counts: Counter[str] = field(default_factory=Counter)
    kentico: dict[str, Decimal] = field(default_factory=dict)
    xero: dict[str, Decimal] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.counts.update(other.counts)
        for mine, theirs in ((self.kentico, other.kentico), (self.xero, other.xero)):
            for currency, amount in theirs.items():
                mine[currency] = mine.get(currency, Decimal(0)) + amount

    @property
    def off(self) -> int:
        return sum(self.counts[kind] for kind in KINDS)

    @property
    def money(self) -> list[tuple[str, Decimal, Decimal]]:
        """(currency, Kentico's, Xero's)."""
        return [
            (currency, self.kentico.get(currency, Decimal(0)), self.xero.get(currency, Decimal(0)))
            for currency in sorted(self.kentico.keys() | self.xero.keys())
        ]

    def as_json(self) -> dict[str, Any]:
        """Counts, and money as {currency: {kentico, xero}} with decimals as text."""
        money = {c: {"kentico": f"{kentico:.2f}", "xero": f"{xero:.2f}"} for c, kentico, xero in self.money}
        return {**{name: self.counts[name] for name in COLUMNS}, "money": money}


Place = tuple[str, str, date | None]
"""Organisation, store, day."""


@dataclass
class Summary:
    """Everything that was judged, by place."""

    tallies: dict[Place, Tally] = field(default_factory=dict)

    def order(self, verdict: Verdict) -> None:
        """One order and what is off with it."""
        tally = self._at((verdict.org, verdict.store, verdict.day))
        tally.counts["orders"] += 1
        if verdict.state != "lost":  # of these there is a finding
            tally.counts[verdict.state] += 1
        tally.counts["held"] += verdict.held
        self._money(tally, verdict.currency, verdict.kentico, verdict.xero)
        for kind in {finding.kind for finding in verdict.findings}:
            tally.counts[kind] += 1

    def stray(self, finding: Finding, currency: str, amount: Decimal) -> None:
        """A document of Xero's that belongs to no order."""
        tally = self._at((finding.org, finding.store, finding.day))
        tally.counts[finding.kind] += 1
        self._money(tally, currency, Decimal(0), amount)

    def _at(self, place: Place) -> Tally:
        return self.tallies.setdefault(place, Tally())

    @staticmethod
    def _money(tally: Tally, currency: str, kentico: Decimal, xero: Decimal) -> None:
        for side, amount in ((tally.kentico, kentico), (tally.xero, xero)):
            if amount:
                side[currency] = side.get(currency, Decimal(0)) + amount

    # -- sums ---------------------------------------------------------------------------------------------------

    @property
    def total(self) -> Tally:
        return _sum(self.tallies.values())

    def days(self) -> Iterator[tuple[Place, Tally]]:
        """By organisation, store and day; what has no day comes last."""
        yield from sorted(self.tallies.items(), key=lambda item: (*item[0][:2], item[0][2] or date.max))

    def stores(self) -> Iterator[tuple[tuple[str, str], Tally]]:
        for place in sorted({key[:2] for key in self.tallies}):
            yield place, _sum(tally for key, tally in self.tallies.items() if key[:2] == place)


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total
