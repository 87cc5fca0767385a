"""What the sink's results say of an order, a contact or an item, folded from first to last: evidence for a rebuild."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from connectors.xero.core.records import COLLECTED
from schemas.types import Result

_KINDS = frozenset({"order", "invoice", "contact", "item", "order_refund", "settlement"})
_PARTS = frozenset({"bank_transaction", "bank_transfer"})  # of a settlement


@dataclass(frozen=True)
class Said:
    """`outcomes`: of each command, its last outcome and the message with it. `posted`: the command whose document is in
    Xero, with its id and number there. `parts`: the ids of a settlement's documents, by kind. `paid`: the number under
    which the order was last said to be PAID."""

    outcomes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)  # of each command, the number told with its last outcome
    posted: str | None = None
    id: str | None = None
    number: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    paid: str | None = None

    def settled(self, number: str | None, *, first: bool) -> bool:
        """An order that was PAID at some version, by its first invoice or by this one."""
        if first and any(outcome == "POSTED" for outcome, _ in self.outcomes.values()):
            return True
        return number is not None and self.paid == number

    def of(self, command_id: str) -> tuple[str, str]:
        """Outcome and message; empty where nothing was said."""
        return self.outcomes.get(command_id, ("", ""))


def heard(said: Said, result: Result) -> Said:
    """One more result about the same thing. Those of the streams and of people are not about a command's outcome."""
    command, outcome = result["command_id"], result["outcome"]
    if result["status"] == COLLECTED:
        outcome = "WAITING"  # whatever became of its summary so far, it lies in it
    if result["kind"] in _PARTS and result["xero_id"]:
        return replace(said, parts={**said.parts, result["kind"]: result["xero_id"]})
    if command is None or result["kind"] not in _KINDS:
        return said
    if outcome in ("POSTED", "ADOPTED") and result["xero_id"]:
        # An order's last word repeats its invoice's id; the invoice's own says by which command it was posted.
        by = said.posted if result["kind"] == "order" and said.posted else command
        said = replace(said, posted=by, id=result["xero_id"], number=result["number"])
    if result["kind"] == "order" and outcome == "POSTED" and result["number"]:
        said = replace(said, paid=result["number"])
    if result["kind"] == "invoice" or (outcome == "UNCHANGED" and command in said.outcomes):
        return said
    numbers = {**said.numbers, command: result["number"]} if result["number"] else said.numbers
    return replace(said, outcomes={**said.outcomes, command: (outcome, result["message"] or "")}, numbers=numbers)
