"""One order's story: what happened, in the order it happened, and how it stands. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from k2x.in_words import span

# What a record about an order may be. Records of one moment stand in the order they follow from each other.
RANK = {
    "hint": 0,
    "event": 1,
    "parked": 2,
    "command": 3,
    "answer": 4,
    "ledger": 5,
    "result": 6,
    "letter": 7,
    "write-back": 8,
    "operator": 9,
    "paid out": 10,
}


@dataclass(frozen=True)
class Happening:
    """One record about the order, or an answer that a result tells of. `what`: a key of RANK. `facts`: for scripts."""

    at: datetime
    what: str
    where: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Story:
    """All of an order, or of a daily summary. `key`: instance|OrderID, or instance|<the summary's>."""

    key: str
    happenings: tuple[Happening, ...]

    @property
    def is_settlement(self) -> bool:
        return "|settlement/" in self.key

    @property
    def is_summary(self) -> bool:
        return "/" in self.key.partition("|")[2] and not self.is_settlement

    @property
    def ending(self) -> str:
        """How the order stands, in one sentence, and each of its refunds in another."""
        return " ".join([self._of_order, *self._of_refunds])

    @property
    def _of_refunds(self) -> list[str]:
        commands = [h for h in self.happenings if h.what == "command" and h.facts.get("refund")]
        results = [h for h in self.happenings if h.what == "result" and h.facts["kind"] == "order_refund"]
        made = []
        for refund in dict.fromkeys(h.facts["refund"] for h in commands):
            ids = {h.facts["command_id"] for h in commands if h.facts["refund"] == refund}
            last = next((h for h in reversed(results) if h.facts["command_id"] in ids), None)
            said = last.text.removeprefix("refund ").rstrip(".") if last is not None else "no result yet"
            made.append(f"Refund {refund}: {said}.")
        return made

    @property
    def _of_order(self) -> str:
        first = next((h.at for h in self.happenings if h.what in ("event", "hint")), None)
        whole = "settlement" if self.is_settlement else "summary" if self.is_summary else "order"
        ends = [h for h in self.happenings if h.what == "result" and h.facts["kind"] == whole]
        if not ends and self.is_summary:
            last_words = [h.text for h in self.happenings if h.what == "ledger" and h.text.startswith("summary ")]
            return (
                f"No result yet; the ledger says: {last_words[-1]}."
                if last_words
                else "The ledger knows nothing of it."
            )
        if not ends:
            return "No result yet: it is on its way, or its process is not running."
        last = max(ends, key=lambda h: (h.facts["version"], h.at))
        took = f", {span(last.at - first)} after it was first heard of" if first else ""
        letters = sum(h.what == "letter" for h in self.happenings)
        tries = max((h.facts.get("attempt", 0) for h in self.happenings if h.what == "ledger"), default=0)
        answers = sum(h.what == "answer" for h in self.happenings)
        notes = [f"{letters} dead letter" + ("s" if letters > 1 else "")] if letters else []
        if answers:
            notes.append(f"{answers} call" + ("s" if answers > 1 else "") + " not simply answered")
        if tries > 1:
            notes.append(f"a document took {tries} attempts")
        done = next((h for h in reversed(ends) if h.facts["outcome"] in ("POSTED", "ADOPTED")), None)
        if done is not None and done is not last:
            notes.append(f"posted before as {done.facts['number']}")
        ending = f"{last.text.rstrip('.')}{took}" + (f" ({'; '.join(notes)})" if notes else "")
        return f"{ending}." if self._of_refunds else ending


def told(happenings: Iterable[Happening]) -> tuple[Happening, ...]:
    """In their order; what comes again is said to come again."""
    ordered = sorted(happenings, key=lambda h: (h.at, RANK[h.what]))
    seen: set[tuple[str, str]] = set()
    made = []
    for one in ordered:
        call = (str(one.facts.get("key", "")), str(one.facts.get("idempotency_key") or ""))
        if one.what == "ledger" and call[1]:
            if call in seen:
                one = replace(one, text=f"{one.text}: the same call once more, under the same key")
            seen.add(call)
        made.append(one)
    return tuple(made)
