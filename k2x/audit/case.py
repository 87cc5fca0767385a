"""One order's facts put together: its place, its invoice, its newest version's end. Pure; decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from functools import cached_property

from k2x.audit import reissues
from k2x.audit.differences import Posted
from k2x.audit.documents import CreditNote, Invoice
from k2x.audit.facts import CommandSeen, EntrySeen, LetterSeen, OrderSeen, ResultSeen
from k2x.audit.reissues import Former
from k2x.audit.scratch import Dossier
from k2x.audit.standpoint import LONG_AGO
from schemas.topics import CHANGES, ORDERS, dead_letter

DONE = frozenset({"POSTED", "ADOPTED"})


@dataclass(frozen=True)
class Store:
    """Where a store's orders go: the organisation's slug, the store's invoice prefix, and whose days it counts."""

    org: str
    prefix: str
    zone: tzinfo = UTC


class Case:
    """A dossier, read. Of its sale: what is about its refunds only is k2x.audit.refunds'."""

    def __init__(self, dossier: Dossier, stores: Mapping[str, Store]) -> None:
        self.dossier = dossier
        self.commands = [command for command in dossier.commands if command.kind != "REFUND"]
        self.results = [result for result in dossier.results if result.kind == "order"]
        self.latest = self._latest()
        self.store = self._store_name()
        self._route = stores.get(self.store) or Store("", "")

    def _latest(self) -> OrderSeen | None:
        """The newest version that is more than a refund; where there is none, the newest."""
        own = self.dossier.orders
        whole = [version for version in own if not self.only_a_refund(version)]
        return max(whole or own, key=lambda v: (v.readable, v.version, v.observed_at), default=None)

    def _store_name(self) -> str:
        if self.latest is not None and self.latest.store:
            return self.latest.store
        named = [command.store for command in self.dossier.commands if command.store]
        named += [hint.store for hint in self.dossier.hints]
        return named[-1] if named else ""

    # -- the invoice --------------------------------------------------------------------------------------------

    @cached_property
    def entry(self) -> EntrySeen | None:
        """The ledger's word about the invoice, of the store's organisation before any other. One that only keeps the
        refunds which came before the sale is none."""
        found = [e for e in self.dossier.entries if e.ledger_key == f"{self.dossier.key}|invoice|0"]
        found = [e for e in found if e.state != "VOIDED" or e.xero_id or e.version is not None]
        return next((e for e in found if e.org == self._route.org), found[0] if found else None)

    @property
    def org(self) -> str:
        if self.entry is not None:
            return self.entry.org
        return self._route.org or next((c.org for c in self.dossier.commands), "")

    @property
    def in_summary(self) -> bool:
        """It has no invoice of its own: it is, or was, collected into a day's summary."""
        return self.entry is not None and self.entry.kind == "order"

    @cached_property
    def memberships(self) -> list[EntrySeen]:
        """What summaries say of it, but for those that it was taken out of."""
        own = (e for e in self.dossier.entries if e.kind == "member" and not e.refund and e.org == self.org)
        return [e for e in own if e.state != "VOIDED"]

    @cached_property
    def command(self) -> CommandSeen | None:
        """The one that was posted: by the ledger's hash, else its version; without a ledger the newest one."""
        sales = [c for c in self.commands if c.kind == "SALE" and c.org == self.org]
        entry = self.entry
        if entry is None or entry.version is None:
            return sales[-1] if sales else None
        same = [c for c in sales if c.hash == entry.hash]
        return next((c for c in same if c.version == entry.version), same[0] if same else None)

    @cached_property
    def posted(self) -> Posted:
        entries = [e for e in self.dossier.entries if e.kind == "payment" and e.org == self.org]
        if self.formers and self.entry is not None:
            entries = reissues.payments_of(self.entry.number, entries)
        command, mine = self.command, self.invoice
        if self.formers and self.entry is None and command is not None and mine is not None:
            command = replace(command, number=mine.number)  # without a ledger only Xero says how it was issued anew
        credited = self.entry.allocated if self.entry is not None else None
        return Posted(self.entry, command, entries, credited or Decimal(0))

    @cached_property
    def formers(self) -> list[Former]:
        """Invoices of it that were credited and issued anew."""
        own = self.dossier
        return reissues.formers(own.key, self.org, own.entries, own.invoices, own.credits)

    @cached_property
    def numbers(self) -> set[str]:
        """Every invoice number that may be this order's: those it was given, else the one that it would be given."""
        found = {c.number for c in self.commands if c.number}
        found |= {e.number for e in self.dossier.entries if e.kind == "invoice" and e.number}
        if not found and self._route.prefix and self.latest is not None and self.latest.order_id:
            found.add(self._route.prefix + self.latest.order_id)
        return found

    @cached_property
    def references(self) -> set[str]:
        found = {c.reference for c in self.commands if c.reference}
        return found | ({self.latest.order_id} if self.latest is not None and self.latest.order_id else set())

    @cached_property
    def ids(self) -> set[str]:
        """Xero's ids of its invoices, or of its summary, by the ledger."""
        return {e.xero_id for e in self.dossier.entries if e.kind in ("invoice", "order") and e.xero_id}

    @cached_property
    def invoice(self) -> Invoice | None:
        """Xero's: by the ledger's id, else a living one under a number of ours, else a dead one."""
        own = self.entry.xero_id.casefold() if self.entry is not None else ""
        by_id = next((i for i in self.dossier.invoices if own and i.id.casefold() == own), None)
        if by_id is not None or self.in_summary:
            return by_id
        fitting = [i for i in self.dossier.invoices if self._has_our_number(i) and i.id not in self._taken_back]
        return max(fitting, key=lambda i: i.living, default=None)

    @cached_property
    def credits_of_reissues(self) -> list[CreditNote]:
        """Credit notes that take back an invoice of the order, the one too that is being credited."""
        names = {reissues.note_number(i.number).casefold() for i in self.dossier.invoices if self._has_our_number(i)}
        names |= {reissues.note_number(former.number).casefold() for former in self.formers}
        return [note for note in self.dossier.credits if note.number.casefold() in names]

    @cached_property
    def _taken_back(self) -> set[str]:
        return {former.invoice.id for former in self.formers if former.invoice is not None}

    @cached_property
    def copies(self) -> list[Invoice]:
        """Other living invoices of this order: one of its numbers, or its reference and something else in common."""
        return [
            other
            for other in self.dossier.invoices
            if other.living
            and other is not self.invoice
            and other.id not in self._taken_back
            and (self._has_our_number(other) or self._akin(other))
        ]

    def _has_our_number(self, other: Invoice) -> bool:
        return reissues.first_number(other.number).casefold() in {number.casefold() for number in self._first_numbers}

    @cached_property
    def _first_numbers(self) -> set[str]:
        return {reissues.first_number(number) for number in self.numbers}

    def _akin(self, other: Invoice) -> bool:
        mine, prefix = self.invoice, self._route.prefix.casefold()
        if not other.reference or other.reference not in self.references:
            return False
        if prefix and other.number.casefold().startswith(prefix):
            return True
        if mine is None:
            return False
        same_sale = (other.total, other.date, other.currency) == (mine.total, mine.date, mine.currency)
        return same_sale or other.contact_id.casefold() == mine.contact_id.casefold()

    @property
    def day(self) -> date | None:
        """The invoice's date by the command, else the order's day in the store's time zone."""
        dated = next((c.date for c in self.commands if c.date is not None), None)
        if dated is not None:
            return dated
        ordered = self.latest.ordered_at if self.latest is not None else None
        return self.day_of(ordered) if ordered else None

    def day_of(self, at: datetime) -> date:
        """The store's day of a moment."""
        return at.astimezone(self._route.zone).date()

    # -- the newest version -------------------------------------------------------------------------------------

    @property
    def since(self) -> datetime:
        return self.latest.version if self.latest is not None else LONG_AGO

    @cached_property
    def letter(self) -> LetterSeen | None:
        """The newest dead letter about the newest version; a hint's letter counts where no order ever came."""
        if self.latest is None:
            return self.dossier.letters[-1] if self.dossier.letters else None
        own = [one for one in self.dossier.letters if one.topic != dead_letter(CHANGES) and self._of_sale(one)]
        fitting = [one for one in own if one.version is None or one.version >= self.since]
        return fitting[-1] if fitting else None

    @cached_property
    def held(self) -> LetterSeen | None:
        """The newest letter that waits for a decision."""
        letters = [one for one in reversed(self.dossier.letters) if self._of_sale(one)]
        return next((one for one in letters if one.error_class == "held"), None)

    def _of_sale(self, letter: LetterSeen) -> bool:
        """Not of a refund alone: of an event that tells of one, the sale may have gone its way."""
        if not letter.refund:
            return True
        return letter.topic == dead_letter(ORDERS) and not self._sold_at(letter.version)

    def _sold_at(self, version: datetime | None) -> bool:
        return any(command.version == version for command in self.commands)

    def only_a_refund(self, version: OrderSeen) -> bool:
        """Whether nothing came of this version but a refund, which is judged by itself: nothing in it says that the
        order was paid."""
        made = any(c.kind == "REFUND" and c.version == version.version for c in self.dossier.commands)
        return made and not self._sold_at(version.version)

    @cached_property
    def word(self) -> ResultSeen | None:
        """The newest result about the newest version."""
        return max((r for r in self.results if r.version >= self.since), key=lambda r: r.at, default=None)

    @property
    def is_posted(self) -> bool:
        """k2x says so: in the ledger, or, where that knows nothing, in a result. A later version may wait meanwhile."""
        entry = self.entry
        if entry is not None:
            # While it is credited, to be issued anew, the former version is the posted one.
            return entry.status in ("PAID", "CREDITING") and "POSTED" in (entry.state, entry.was)
        return any(result.outcome in DONE for result in self.results)

    @property
    def latency_s(self) -> float | None:
        """From acceptance to PAID."""
        done = [r for r in self.results if r.outcome in DONE and r.received_at is not None]
        return min(((r.at - r.received_at).total_seconds() for r in done if r.received_at is not None), default=None)

    @cached_property
    def made_from(self) -> list[OrderSeen]:
        """The versions that the posted one may have been: of equal version, else all that are orders."""
        own = [v for v in self.dossier.orders if v.readable and not v.deleted]
        stamps = {s.version for s in (self.entry, self.command) if s is not None and s.version is not None}
        return [v for v in own if v.version in stamps] or own
