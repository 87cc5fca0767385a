"""What became of what was sent, counted from results: of the real ones by `run`, of those on paper by `plan`. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_PLURAL = {
    "invoice": "invoices",
    "payment": "payments",
    "contact": "contacts",
    "item": "items",
    "credit_note": "credit_notes",
    "refund": "refunds",
    "allocation": "allocations",
    "bank_transaction": "bank_transactions",
    "bank_transfer": "bank_transfers",
}
_GOES_ON = frozenset({"WAITING", "PARKED"})
COLLECTED = "collected into daily summaries, which are posted when they close"


@dataclass
class Tally:
    """One organisation. Orders are counted by version, each by its last word; documents by what was done in Xero."""

    orders: Counter[str] = field(default_factory=Counter)  # posted, left_alone, suppressed, refused, held, cancelled
    refunds: Counter[str] = field(default_factory=Counter)  # of orders, each by its last word
    settlements: Counter[str] = field(default_factory=Counter)  # of gateways, each by its last word
    updates: Counter[str] = field(default_factory=Counter)  # of customers and products: the same words
    reasons: dict[str, Counter[str]] = field(default_factory=dict)  # suppressed, refused, held → by code
    written: Counter[str] = field(default_factory=Counter)  # documents sent to Xero
    adopted: Counter[str] = field(default_factory=Counter)  # documents found there
    items: set[str] = field(default_factory=set)  # codes of the items written
    summaries: set[str] = field(default_factory=set)  # numbers of those that orders or refunds were collected into
    unreadable: int = 0
    _open: dict[tuple[str, datetime], str] = field(default_factory=dict)

    def take(self, result: Mapping[str, Any]) -> None:
        """One result of the replay."""
        kind, outcome = str(result["kind"]), str(result["outcome"])
        if kind in _PLURAL and outcome in ("POSTED", "ADOPTED"):
            (self.written if outcome == "POSTED" else self.adopted)[_PLURAL[kind]] += 1
            if kind == "item" and outcome == "POSTED":
                self.items.add(str(result["number"] or result["key"]))
        # The contact of a sale is told of beside its order; a change of its own has none.
        of_order = result["order_id"] is not None
        if kind == "order" or (kind in ("contact", "item") and not of_order):
            self._ended(result, self.orders if of_order else self.updates, _word(outcome))
        elif kind == "order_refund":
            self._ended(result, self.refunds, _word(outcome))
        elif kind == "settlement":
            self._ended(result, self.settlements, _word(outcome))

    @property
    def parked(self) -> int:
        """Records that streams keeps until older parked ones have gone before them."""
        return sum(why.startswith("parked") for why in self._open.values())

    @property
    def collected(self) -> int:
        """Orders and refunds that wait for the close of their summary."""
        return sum(why == COLLECTED for why in self._open.values())

    @property
    def going_on(self) -> Counter[str]:
        """What still waits or is parked, by its message."""
        return Counter(self._open.values())

    def as_json(self) -> dict[str, Any]:
        """For scripts; `plan` and `run` print the same keys."""
        return {
            "orders": self.orders.total(),
            **{word: self.orders[word] for word in ("posted", "left_alone", "cancelled")},
            **{word: self.orders[word] for word in ("suppressed", "refused", "held")},
            "reasons": {word: dict(sorted(codes.items())) for word, codes in sorted(self.reasons.items())},
            "written": {name: self.written[name] for name in _PLURAL.values()},
            "adopted": {name: self.adopted[name] for name in _PLURAL.values()},
            "refunds": dict(sorted(self.refunds.items())),
            "settlements": dict(sorted(self.settlements.items())),
            "updates": dict(sorted(self.updates.items())),
            "going_on": len(self._open),
            "collected": self.collected,
            "summaries": len(self.summaries),
            "unreadable": self.unreadable,
        }

    def _ended(self, result: Mapping[str, Any], counts: Counter[str], word: str) -> None:
        own = result["command_id"] if counts is self.refunds else result["key"]  # an order may have several refunds
        key = (str(own), result["version"])
        if is_collected(result):
            self.summaries.add(str(result["number"]))
            self._open[key] = COLLECTED
            return
        if result["outcome"] in _GOES_ON:
            self._open[key] = f"{word}: {result['message'] or 'no reason given'}"
            return
        self._open.pop(key, None)
        counts[word] += 1
        if counts is self.orders and word in ("suppressed", "refused", "held"):
            code = "/".join(part for part in (result["error_class"], result["error_code"]) if part)
            self.reasons.setdefault(word, Counter())[code or "no code"] += 1


def is_collected(result: Mapping[str, Any]) -> bool:
    """Whether an order, or a refund, lies in its day's summary, by the sink's word; though that has a letter."""
    return bool(result.get("status") == "COLLECTED")


def _word(outcome: str) -> str:
    return {"UNCHANGED": "left_alone", "ADOPTED": "posted"}.get(outcome, outcome.lower())
