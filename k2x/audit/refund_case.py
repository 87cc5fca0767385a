"""What the topics and Xero have about each refund of an order, put together. Pure; decides nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property

from k2x.audit import reissues
from k2x.audit.case import Case
from k2x.audit.differences import Posted
from k2x.audit.documents import CreditNote
from k2x.audit.facts import CommandSeen, EntrySeen, OrderSeen, RefundSeen, ResultSeen
from k2x.audit.shares import Share
from k2x.audit.standpoint import LONG_AGO


class RefundCase:
    """One refund of an order. What its sale is about is the order's `Case`."""

    def __init__(self, case: Case, id_: str, sent_as: Collection[str]) -> None:
        """`sent_as`: its ids in Kentico's events, where these do not fit a number as they are."""
        own, self.case, self.id = case.dossier, case, id_
        self.events = [seen for seen in own.orders if seen.refund is not None and seen.refund.id in sent_as]
        self.commands = [c for c in own.commands if c.kind == "REFUND" and c.refund == id_ and c.org == case.org]
        self.letters = [letter for letter in own.letters if letter.refund in sent_as or letter.refund == id_]
        self.entries = [e for e in own.entries if e.refund == id_ and e.org == case.org]

    @cached_property
    def entry(self) -> EntrySeen | None:
        return next((e for e in self.entries if e.kind in ("credit_note", "order_refund")), None)

    @property
    def in_summary(self) -> bool:
        """It has no credit note of its own: it is, or was, collected into the summary of its day."""
        return self.entry is not None and self.entry.kind == "order_refund"

    @property
    def share(self) -> Share | None:
        """What it adds to that summary."""
        entry = self.entry
        if entry is None or not self.in_summary or not entry.summary:
            return None
        return Share(entry.org, entry.summary, entry.number, entry, self.command, self.case.dossier.late)

    @cached_property
    def kept(self) -> EntrySeen | None:
        """The ledger's entry in which its command waits for its order."""
        return next((e for e in self.entries if e.kind == "next" and e.holds is not None), None)

    @cached_property
    def sale(self) -> EntrySeen | None:
        """The ledger's of the order's invoice, in which its command may wait for Xero."""
        key = f"{self.case.dossier.key}|invoice|0"
        return next((e for e in self.case.dossier.entries if e.ledger_key == key and e.org == self.case.org), None)

    @property
    def waits_with_sale(self) -> bool:
        sale = self.sale
        return sale is not None and sale.state == "WAITING" and sale.holds in {c.offset for c in self.commands}

    @property
    def voided(self) -> bool:
        """By the ledger: the sale was unpaid, so its invoice was voided for this refund; there is no credit note."""
        return self.sale is not None and self.sale.voided_for == self.id

    @property
    def done(self) -> bool:
        """By the ledger: the credit note is in Xero, and all the money is back."""
        return self.entry is not None and (self.entry.state, self.entry.status) == ("POSTED", "PAID")

    @cached_property
    def results(self) -> list[ResultSeen]:
        """About all of it. Several of one version may share a command's id: then the number tells them apart."""
        ids = {command.id for command in self.commands}
        said = [r for r in self.case.dossier.results if r.kind == "order_refund" and r.command_id in ids]
        return [r for r in said if not r.number or r.number.casefold() == self.number.casefold()]

    @cached_property
    def number(self) -> str:
        """The credit note's: chosen once, so the ledger's before any other."""
        if self.entry is not None and self.entry.number:
            return self.entry.number
        if self.case.posted.number:
            return f"CN-{self.case.posted.number}-{self.id}"
        return self.commands[-1].number if self.commands else ""

    @cached_property
    def command(self) -> CommandSeen | None:
        """The one that was made: by the ledger's version; without a ledger the newest. Its Reference is its number."""
        version = self.entry.version if self.entry is not None else None
        same = [c for c in self.commands if c.version == version] or (self.commands if version is None else [])
        return replace(same[-1], number=self.number, reference=self.number) if same else None

    @cached_property
    def posted(self) -> Posted:
        put = [e.total for e in self.entries if e.kind == "allocation" and e.state == "POSTED" and e.total is not None]
        back = [e for e in self.entries if e.kind == "refund"]
        return Posted(self.entry, self.command, back, sum(put, Decimal(0)))

    @cached_property
    def note(self) -> CreditNote | None:
        """Xero's: by the ledger's id, else a living one under its number, else a dead one."""
        own = self.entry.xero_id.casefold() if self.entry is not None else ""
        by_id = next((n for n in self.case.dossier.credits if own and n.id.casefold() == own), None)
        fitting = [n for n in self.case.dossier.credits if n.number.casefold() == self.number.casefold()]
        return by_id if by_id is not None or self.in_summary else max(fitting, key=lambda n: n.living, default=None)

    def is_copy(self, other: CreditNote) -> bool:
        """Another living one of the same refund: its number or its reference, which are the same text."""
        if self.in_summary:
            return False  # its number is its day's
        mine, names = self.note, {other.number.casefold(), other.reference.casefold()}
        if not other.living or (mine is not None and other.id == mine.id):
            return False
        return self.number.casefold() in names or (
            mine is not None and (other.total, other.currency) == (mine.total, mine.currency)
        )

    @property
    def told(self) -> RefundSeen | None:
        """What Kentico says last."""
        newest = max(self.events, key=lambda seen: (seen.version, seen.observed_at), default=None)
        return newest.refund if newest is not None else None

    @property
    def day(self) -> date | None:
        """The credit note's date by the command, else the store's day of the refund."""
        if self.commands:
            return self.commands[-1].date
        return self.case.day_of(self.told.at) if self.told is not None else self.case.day

    @property
    def came(self) -> datetime:
        return max((seen.received_at for seen in self.events), default=LONG_AGO)


def refunds_of(case: Case) -> list[RefundCase]:
    """Every refund of the order that anything speaks of, as they came."""
    own = case.dossier
    told = (one.refund for some in (own.commands, own.entries) for one in some if one.refund)
    known = dict.fromkeys(id_ for id_ in told if not id_.startswith(reissues.MARK))
    sent_as: dict[str, set[str]] = {id_: {id_} for id_ in known}
    for seen in own.orders:
        if seen.refund is not None:
            sent_as.setdefault(_made_of(seen, seen.refund, own.commands, known), set()).add(seen.refund.id)
    for letter in own.letters:
        if letter.refund and not any(letter.refund in ids for ids in sent_as.values()):
            sent_as[letter.refund] = {letter.refund}
    return [RefundCase(case, id_, ids) for id_, ids in sent_as.items()]


def _made_of(seen: OrderSeen, told: RefundSeen, made: Iterable[CommandSeen], known: Collection[str]) -> str:
    """The id that an event's refund has in commands and numbers: a foreign id is shortened there, so that only the
    version tells whose it is, and, of several refunds of one version, the amount."""
    if told.id in known:
        return told.id
    fitting = [one for one in made if one.kind == "REFUND" and one.version == seen.version]
    alike = [one for one in fitting if one.total == told.amount]
    return next((one.refund for one in (*alike, *fitting)), told.id)
