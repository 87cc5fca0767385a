"""What each order, or refund, adds to its day's summary, by its own command; and the sums of a summary. Pure.

Memory is that of the sums: a summary's ten thousand orders are added up one by one, and none is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from k2x.audit.facts import AccountSum, CommandSeen, EntrySeen, TenderSeen

ZERO = Decimal(0)


@dataclass(frozen=True)
class Share:
    """One order's, or refund's. `command` None: the ledger's totals are known, and no more. `late`: it moved while Xero
    was read."""

    org: str
    summary: str
    number: str
    entry: EntrySeen
    command: CommandSeen | None
    late: bool = False

    @property
    def total(self) -> Decimal:
        return self.command.total if self.command is not None else self.entry.total or ZERO

    @property
    def tax(self) -> Decimal:
        return self.command.tax if self.command is not None else self.entry.total_tax or ZERO


@dataclass
class Sums:
    """Of a summary's orders. `complete` False: of one of them only the total is known."""

    count: int = 0
    open: int = 0
    total: Decimal = ZERO
    tax: Decimal = ZERO
    posted: Decimal = ZERO
    currency: str = ""
    number: str = ""
    closes_at: datetime | None = None
    complete: bool = True
    late: bool = False
    _lines: dict[tuple[str, str], tuple[Decimal, Decimal]] = field(default_factory=dict)
    _tenders: dict[tuple[str, str], Decimal] = field(default_factory=dict)

    def add(self, share: Share) -> None:
        """One more order or refund."""
        self.count += 1
        self.open += share.entry.state == "COLLECTED"
        self.total += share.total
        self.tax += share.tax
        self.posted += (share.entry.total or ZERO) if share.entry.state != "COLLECTED" else ZERO
        self.currency, self.number = share.entry.currency or self.currency, share.number or self.number
        self.late = self.late or share.late
        part = share.command.part if share.command is not None else None
        if share.command is None or part is None:
            self.complete = False
            return
        self.closes_at = part.closes_at if self.closes_at is None else max(self.closes_at, part.closes_at)
        for line in part.sums:
            net, tax = self._lines.get((line.account, line.tax_type), (ZERO, ZERO))
            self._lines[line.account, line.tax_type] = net + line.amount, tax + line.tax
        for tender in share.command.tenders:
            name = (tender.account, tender.account_id)
            self._tenders[name] = self._tenders.get(name, ZERO) + tender.amount

    @property
    def lines(self) -> list[AccountSum]:
        """Net and tax by account and tax type; what comes to nothing is no line."""
        found = sorted(self._lines.items())
        return [AccountSum(*name, net, 1, tax) for name, (net, tax) in found if net or tax]

    @property
    def tenders(self) -> list[TenderSeen]:
        """What came, or went back, by account."""
        return [TenderSeen(0, code, id_, amount) for (code, id_), amount in sorted(self._tenders.items()) if amount]


def does_not_add_up(command: CommandSeen) -> str:
    """How an order's part of a summary differs from its own document; empty where it does not.

    The part is net, its document may be of either kind: an account's amount there is the net one, or that with tax.
    """
    part = command.part
    if part is None:
        return ""
    total, tax = sum((x.amount + x.tax for x in part.sums), ZERO), sum((x.tax for x in part.sums), ZERO)
    if (total, tax) != (command.total, command.tax):
        return f"its part comes to {total:f}, tax {tax:f}; the order to {command.total:f}, tax {command.tax:f}"
    return _moved(part.sums, command.sums)


def _moved(part: Sequence[AccountSum], own: Sequence[AccountSum]) -> str:
    mine = {(x.account, x.tax_type): x for x in own}
    for line in part:
        other = mine.get((line.account, line.tax_type))
        lines = other.lines if other is not None else 1
        there = other.amount if other is not None else ZERO
        if min(abs(there - line.amount), abs(there - line.amount - line.tax)) > Decimal("0.01") * lines:
            where = " ".join(filter(None, (line.account, line.tax_type)))
            return f"its part on {where} is {line.amount:f} and {line.tax:f} tax; its own lines there come to {there:f}"
    return ""
