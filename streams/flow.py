"""What the agents ask of the pure part: the port between Kafka's side of streams and the bookkeeping.

An agent sees an order become a command, a reason why there is none, or a refusal; how, is the flow's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from schemas.letters import Reason
from schemas.types import Command, CustomerChanged, Order, ProductChanged, Result, RulesVersion, Settlement, WriteBack
from streams.reference_copy import Rows


@dataclass(frozen=True, slots=True)
class Suppressed:
    """There is nothing to post, and that is right."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It cannot be posted until a person mends something; `step` names the step of the flow that says so."""

    reason: Reason
    step: str


Made = Command | tuple[Command, ...] | Suppressed | Refused
"""Several commands are for one topic, in their order: items to create, then the sale."""


class StoreFlow(Protocol):
    """One store's compiled flow. Pure: what differs between two calls is in the arguments."""

    def order(self, order: Order, now: datetime) -> Made: ...

    def contact(self, change: CustomerChanged, now: datetime) -> Made: ...

    def item(self, change: ProductChanged, now: datetime) -> Made: ...

    def settlement(self, given: Settlement, now: datetime) -> Made:
        """By the organisation's rules: the same from each of its stores, but for the day that a store's zone makes."""

    def writeback(self, result: Result, now: datetime) -> WriteBack | None:
        """What Kentico's order shall show of a result; None where the store's rules say nothing."""


class Compiler(Protocol):
    """Makes the flows of an organisation's stores from its reference data and rules in force."""

    def compile(self, org: str, stores: Sequence[str], rows: Rows, rules: RulesVersion) -> Mapping[str, StoreFlow]:
        """A flow for each store. Raises NotUsable if rules and reference data do not fit each other."""
