"""What the topics say happened, as plain data: orders, hints, commands, results, letters, ledger entries. No I/O.

Each fact is one record, cut down to what k2x.audit.judge needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal


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
    """What a document books on one account under one tax type: the lines' amounts, and how many lines."""

    account: str
    tax_type: str
    amount: Decimal
    lines: int


@dataclass(frozen=True)
class TenderSeen:
    """A payment that a command asks for."""

    ordinal: int
    account: str
    account_id: str
    amount: Decimal


@dataclass(frozen=True)
class CommandSeen:
    """One command about an order. What only a sale has is empty elsewhere."""

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


@dataclass(frozen=True)
class LetterSeen:
    """One dead letter about an order. `version` None: the value cannot be read, or is a hint."""

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


@dataclass(frozen=True)
class ResultSeen:
    """One result about an order as a whole."""

    key: str
    kind: str
    outcome: str
    org: str
    version: datetime
    at: datetime
    received_at: datetime | None
    message: str


@dataclass(frozen=True)
class EntrySeen:
    """The newest ledger entry of one document. `intended_at` None: no open intention. `was`: of one that is WAITING,
    the document's own state."""

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


@dataclass(frozen=True)
class EntryGone:
    """A ledger entry that was taken out."""

    key: str
    ledger_key: str
    org: str


Fact = OrderSeen | HintSeen | CommandSeen | LetterSeen | ResultSeen | EntrySeen | EntryGone


def account_sums(lines: Iterable[tuple[str, str, Decimal]]) -> tuple[AccountSum, ...]:
    """Lines (account, tax type, amount) as sums, sorted."""
    found: dict[tuple[str, str], tuple[Decimal, int]] = {}
    for account, tax_type, amount in lines:
        before, count = found.get((account, tax_type), (Decimal(0), 0))
        found[account, tax_type] = (before + amount, count + 1)
    return tuple(AccountSum(*names, *sums) for names, sums in sorted(found.items()))
