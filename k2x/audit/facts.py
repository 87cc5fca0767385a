"""What the topics say happened, as plain data: orders, hints, commands, results, letters, ledger entries. No I/O.

Each fact is one record, cut down to what k2x.audit.judge needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal


@dataclass(frozen=True)
class RefundSeen:
    """Money given back, as an order's event tells it."""

    id: str
    amount: Decimal
    currency: str | None
    at: datetime


@dataclass(frozen=True)
class OrderSeen:
    """One version of an order as it came in. `readable` False: its bytes are no order, and only its place is known."""

    key: str
    store: str
    order_id: str
    version: datetime
    observed_at: datetime
    received_at: datetime
    currency: str | None
    total: Decimal
    tax: Decimal
    gift_cards: Decimal
    ordered_at: datetime | None = None
    deleted: bool = False
    readable: bool = True
    partition: int = 0
    offset: int = 0
    refund: RefundSeen | None = None


@dataclass(frozen=True)
class HintSeen:
    """A hint that an order changed."""

    key: str
    store: str
    received_at: datetime
    partition: int
    offset: int


@dataclass(frozen=True)
class AccountSum:
    """What a document books on one account under one tax type: the lines' amounts, how many lines, and their tax where
    it is said."""

    account: str
    tax_type: str
    amount: Decimal
    lines: int
    tax: Decimal = Decimal(0)


@dataclass(frozen=True)
class TenderSeen:
    """A payment that a command asks for."""

    ordinal: int
    account: str
    account_id: str
    amount: Decimal
    bank: Decimal | None = None  # in the account's currency, where that is another


@dataclass(frozen=True)
class PartSeen:
    """An order's, or a refund's, part of its day's summary: amounts are net. `number`: the day's first summary."""

    number: str
    closes_at: datetime
    sums: tuple[AccountSum, ...]


@dataclass(frozen=True)
class CommandSeen:
    """One command about an order. What only a sale or a refund has is empty elsewhere. `refund`: the refund's id.
    `part`: in a store that posts a summary a day."""

    key: str
    org: str
    kind: str
    version: datetime
    observed_at: datetime
    offset: int
    at: datetime
    store: str = ""
    number: str = ""
    hash: str = ""
    reference: str = ""
    date: date | None = None
    currency: str = ""
    total: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)
    sums: tuple[AccountSum, ...] = ()
    tenders: tuple[TenderSeen, ...] = ()
    id: str = ""
    refund: str = ""
    part: PartSeen | None = None


@dataclass(frozen=True)
class LetterSeen:
    """One dead letter about an order. `version` None: the value cannot be read, or is a hint. `refund`: the id of the
    refund that its record was about, too."""

    key: str
    version: datetime | None
    org: str
    store: str
    error_class: str
    code: str
    message: str
    hint: str
    topic: str
    partition: int
    offset: int
    at: datetime = datetime(1, 1, 1, tzinfo=UTC)
    refund: str = ""


@dataclass(frozen=True)
class ResultSeen:
    """One result about an order as a whole (kind `order`), the whole of a refund (`order_refund`), or of a day's
    summary (`summary`), whose `key` is then the summary's."""

    key: str
    kind: str
    outcome: str
    org: str
    version: datetime
    at: datetime
    received_at: datetime | None
    message: str
    command_id: str = ""
    number: str = ""


@dataclass(frozen=True)
class EntrySeen:
    """The newest ledger entry of one document. `intended_at` None: no open intention. `was`: of one that is WAITING,
    the document's own state. `holds`: the offset of the command that waits in it.

    `summary`: key of the summary that an order (kind `order`), a refund (`order_refund`) or a member's entry
    (`member`, among its order's entries) is in. `phase`, `members`, `closes_at`, `dated` (its document's date
    where Xero had closed its day): of a summary's own entry. Of an invoice: what of it credit notes have settled, and
    the refund for which it was voided, as it was unpaid."""

    key: str
    ledger_key: str
    org: str
    kind: str
    ordinal: int
    state: str
    xero_id: str = ""
    number: str = ""
    status: str = ""
    hash: str = ""
    version: datetime | None = None
    total: Decimal | None = None
    total_tax: Decimal | None = None
    currency: str = ""
    contact_id: str = ""
    step: str = ""
    intended_at: datetime | None = None
    attempt: int = 0
    retry_at: datetime | None = None
    reason: str = ""
    updated_at: datetime | None = None
    was: str = ""
    holds: int | None = None
    summary: str = ""
    phase: str = ""
    members: int | None = None
    closes_at: datetime | None = None
    dated: date | None = None
    allocated: Decimal | None = None
    voided_for: str = ""

    @property
    def refund(self) -> str:
        """The id of the refund that it is about; empty for all else."""
        parts = self.ledger_key.split("|")
        match self.kind:
            case "credit_note" | "order_refund" | "allocation":
                return "|".join(parts[3:])
            case "member":  # <summary>|member|<instance>|<OrderID>|<id>
                return "|".join(parts[5:])
            case "refund":
                return "|".join(parts[3:]).rpartition("/")[0]
            case "next":  # waits behind the order's invoice: …|invoice|0|next|<id>
                return "|".join(parts[5:])
        return ""


@dataclass(frozen=True)
class EntryGone:
    """A ledger entry that was taken out."""

    key: str
    ledger_key: str
    org: str


Fact = OrderSeen | HintSeen | CommandSeen | LetterSeen | ResultSeen | EntrySeen | EntryGone


def account_sums(lines: Iterable[tuple[str, str, Decimal, Decimal]]) -> tuple[AccountSum, ...]:
    """Lines (account, tax type, amount, tax) as sums, sorted."""
    found: dict[tuple[str, str], tuple[Decimal, int, Decimal]] = {}
    for account, tax_type, amount, tax in lines:
        before, count, taxed = found.get((account, tax_type), (Decimal(0), 0, Decimal(0)))
        found[account, tax_type] = (before + amount, count + 1, taxed + tax)
    return tuple(AccountSum(*name, amount, count, tax) for name, (amount, count, tax) in sorted(found.items()))
