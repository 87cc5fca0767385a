"""What ledger, topics and Xero have about one summary of a day, put together. Pure; decides nothing."""

from __future__ import annotations

import re
from datetime import date
from functools import cached_property

from k2x.audit.differences import Posted
from k2x.audit.documents import Invoice
from k2x.audit.facts import EntrySeen, LetterSeen
from k2x.audit.scratch import Dossier
from k2x.audit.shares import Sums

_KEY = re.compile(r"^(?P<site>.+)/(?P<kind>[SR])(?P<day>\d{8})-(?P<rest>.+)$")


def is_summary(key: str) -> bool:
    """Whether instance|id is a summary's key: an order's id is a number, and a settlement's has no day behind its
    slash."""
    return _KEY.match(key.partition("|")[2]) is not None


class DailyCase:
    """Of sales (…/S20261124-GBP) or of refunds (…/R20261124-GBP). `sums`: those of its members, as they were judged."""

    def __init__(self, org: str, dossier: Dossier, sums: Sums) -> None:
        self.org, self.dossier, self.sums, self.key = org, dossier, sums, dossier.key
        self._parts = _KEY.match(self.key.partition("|")[2])

    @property
    def refunds(self) -> bool:
        return self._parts is not None and self._parts["kind"] == "R"

    @property
    def store(self) -> str:
        site = self._parts["site"] if self._parts is not None else self.key.partition("|")[2]
        return f"{self.key.partition('|')[0]}/{site}"

    @property
    def day(self) -> date | None:
        try:
            return date.fromisoformat(self._parts["day"]) if self._parts is not None else None
        except ValueError:
            return None

    @cached_property
    def entry(self) -> EntrySeen | None:
        """The ledger's word about the summary: open, closed or posted."""
        return self._of(f"{self.key}|invoice|0")

    @cached_property
    def document(self) -> EntrySeen | None:
        """And about its invoice, or its credit note."""
        return self._of(f"{self.key}|credit_note|day") if self.refunds else self.entry

    def _of(self, key: str) -> EntrySeen | None:
        return next((e for e in self.dossier.entries if e.ledger_key == key and e.org == self.org), None)

    @property
    def number(self) -> str:
        named = (self.document, self.entry)
        return next((e.number for e in named if e is not None and e.number), self.sums.number)

    @property
    def id(self) -> str:
        return self.document.xero_id if self.document is not None else ""

    @cached_property
    def posted(self) -> Posted:
        kind = "refund" if self.refunds else "payment"
        return Posted(self.document, None, [e for e in self.dossier.entries if e.kind == kind and e.org == self.org])

    @cached_property
    def theirs(self) -> Invoice | None:
        """Xero's: by the ledger's id, else a living one under its number, else a dead one."""
        all_ = self.dossier.credits if self.refunds else self.dossier.invoices
        by_id = next((one for one in all_ if self.id and one.id.casefold() == self.id.casefold()), None)
        fitting = [one for one in all_ if self.number and one.number.casefold() == self.number.casefold()]
        return by_id or max(fitting, key=lambda one: one.living, default=None)

    @property
    def letter(self) -> LetterSeen | None:
        """The newest dead letter of its own command."""
        return self.dossier.letters[-1] if self.dossier.letters else None

    @property
    def late(self) -> bool:
        """Something about it, or one of its orders, came while Xero was read."""
        return self.dossier.late or self.sums.late
