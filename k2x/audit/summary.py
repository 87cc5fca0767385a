"""The counts of an audit: per organisation, store and day, with the money of both sides by currency. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from k2x.audit.daily import DailyVerdict
from k2x.audit.documents import CreditNote, Invoice
from k2x.audit.finding import KINDS, Finding
from k2x.audit.judge import Verdict
from k2x.audit.refunds import RefundVerdict
from k2x.audit.settlements import STATES as SETTLED
from k2x.audit.settlements import Verdict as SettlementVerdict

STATES = ("posted", "suppressed", "dead_lettered", "waiting", "parked", "in_flight", "lost")
COLUMNS = ("orders", *STATES[:-1], "held", *KINDS)
# Refunds by their end; after all other columns, as these came first.
REFUNDS = ("refunds", "refunded", "refunds_waiting", "refunds_refused")
_OF_REFUND = {"in_flight": "refunds_waiting", "waiting": "refunds_waiting", "refunded": "refunded"}
_OF_REFUND |= {"held": "refunds_refused", "refused": "refunds_refused"}


@dataclass
class Tally:
    """Orders and refunds by their end, findings by their kind, and money by currency: what Kentico says, and what Xero
    has; `back`: given back."""

    counts: Counter[str] = field(default_factory=Counter)
    kentico: dict[str, Decimal] = field(default_factory=dict)
    xero: dict[str, Decimal] = field(default_factory=dict)
    back_kentico: dict[str, Decimal] = field(default_factory=dict)
    back_xero: dict[str, Decimal] = field(default_factory=dict)
    settlements: Counter[str] = field(default_factory=Counter)  # by their end

    def add(self, other: Tally) -> None:
        self.counts.update(other.counts)
        self.settlements.update(other.settlements)
        for mine, theirs in (
            (self.kentico, other.kentico),
            (self.xero, other.xero),
            (self.back_kentico, other.back_kentico),
            (self.back_xero, other.back_xero),
        ):
            for currency, amount in theirs.items():
                mine[currency] = mine.get(currency, Decimal(0)) + amount

    @property
    def off(self) -> int:
        return sum(self.counts[kind] for kind in KINDS)

    @property
    def money(self) -> list[tuple[str, Decimal, Decimal]]:
        """(currency, Kentico's, Xero's) of what was sold."""
        return _both(self.kentico, self.xero)

    @property
    def back(self) -> list[tuple[str, Decimal, Decimal]]:
        """Likewise of what was given back."""
        return _both(self.back_kentico, self.back_xero)

    def as_json(self) -> dict[str, Any]:
        """Counts, and money as {currency: {kentico, xero}} with decimals as text."""
        money, back = (
            {c: {"kentico": f"{kentico:.2f}", "xero": f"{xero:.2f}"} for c, kentico, xero in rows}
            for rows in (self.money, self.back)
        )
        counts = {name: self.counts[name] for name in (*COLUMNS, *REFUNDS)}
        settled = {state: self.settlements[state] for state in SETTLED}
        return {**counts, "settlements": settled, "money": money, "money_back": back}


Place = tuple[str, str, date | None]
"""Organisation, store, day."""


@dataclass
class Summary:
    """Everything that was judged, by place."""

    tallies: dict[Place, Tally] = field(default_factory=dict)
    dailies: list[DailyVerdict] = field(default_factory=list)

    def order(self, verdict: Verdict) -> None:
        """One order and what is off with it."""
        tally = self._at((verdict.org, verdict.store, verdict.day))
        tally.counts["orders"] += 1
        if verdict.state != "lost":  # of these there is a finding
            tally.counts[verdict.state] += 1
        tally.counts["held"] += verdict.held
        _add(tally.kentico, verdict.currency, verdict.kentico)
        _add(tally.xero, verdict.currency, verdict.xero)
        for kind in {finding.kind for finding in verdict.findings}:
            tally.counts[kind] += 1

    def settlement(self, verdict: SettlementVerdict) -> None:
        """A gateway's settlement, on its own day, and what is off with it."""
        tally = self._at((verdict.org, verdict.store, verdict.day))
        if verdict.state:
            tally.settlements[verdict.state] += 1
        for kind in {finding.kind for finding in verdict.findings}:
            tally.counts[kind] += 1

    def refund(self, verdict: Verdict, refund: RefundVerdict) -> None:
        """A refund of an order, on its own day, and what is off with it."""
        tally = self._at((verdict.org, verdict.store, refund.day))
        if refund.id:  # else only Xero knows of it
            tally.counts["refunds"] += 1
        if refund.state in _OF_REFUND:
            tally.counts[_OF_REFUND[refund.state]] += 1
        _add(tally.back_kentico, refund.currency, refund.kentico)
        _add(tally.back_xero, refund.currency, refund.xero)
        for kind in {finding.kind for finding in refund.findings}:
            tally.counts[kind] += 1

    def daily(self, verdict: DailyVerdict) -> None:
        """A day's summary: its orders are counted one by one, and only what Xero has beyond them is money here."""
        tally = self._at((verdict.org, verdict.store, verdict.day))
        self.dailies.append(verdict)
        _add(tally.back_xero if verdict.refunds else tally.xero, verdict.currency, verdict.beyond)
        for kind in {finding.kind for finding in verdict.findings}:
            tally.counts[kind] += 1

    def stray(self, finding: Finding, document: Invoice) -> None:
        """A document of Xero's that belongs to no order."""
        tally = self._at((finding.org, finding.store, finding.day))
        tally.counts[finding.kind] += 1
        _add(tally.back_xero if isinstance(document, CreditNote) else tally.xero, document.currency, document.total)

    def _at(self, place: Place) -> Tally:
        return self.tallies.setdefault(place, Tally())

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


def _add(side: dict[str, Decimal], currency: str, amount: Decimal) -> None:
    if amount:
        side[currency] = side.get(currency, Decimal(0)) + amount


def _both(kentico: dict[str, Decimal], xero: dict[str, Decimal]) -> list[tuple[str, Decimal, Decimal]]:
    return [
        (currency, kentico.get(currency, Decimal(0)), xero.get(currency, Decimal(0)))
        for currency in sorted(kentico.keys() | xero.keys())
    ]


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total
