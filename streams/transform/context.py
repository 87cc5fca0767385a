"""What the steps of a flow share: the store, compiled once, and the draft of one order's sale, filled step by step."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from schemas.types import Command, Contact, Item, Order, OrderItem, Refund, Tender
from streams.rules.model import SettlementRule, StoreRules
from streams.rules.reference import Account, OrgReference
from streams.transform.money import UNITS, ZERO

LineKind = Literal["item", "shipping", "rounding"]
_MEMO_LIMIT = 20_000  # a shop has some thousand SKUs and a few hundred ways to be taxed; 20,000 take about 5 MB


@dataclass(frozen=True, slots=True)
class Compiled:
    """One step, bound: `name` as the document calls it, `use` the operator."""

    name: str
    use: str
    run: Callable[[Draft], None]
    shows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Store:
    """A store's rules met with its organisation's reference data. Built once for both; nothing in it changes but
    `memo`, which remembers answers of pure look-ups."""

    org: str
    name: str
    instance: str
    site: str
    rules: StoreRules
    rules_version: int
    contact_prefix: str
    reference: OrgReference
    zone: ZoneInfo
    steps: tuple[Compiled, ...]
    lock: dt.date | None
    sku_prefixes: tuple[tuple[str, str], ...]
    class_accounts: Mapping[str, str]
    rules_have_dates: bool
    out_of_scope: str | None
    tracking: tuple[dict[str, str], ...]
    settlements: Mapping[str, SettlementRule] = field(default_factory=dict)  # the organisation's
    org_zone: ZoneInfo | None = None
    memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def key(self) -> str:
        """How rules of this store are found in the file."""
        return f"stores.{self.name}"

    def remember(self, key: Any, value: Any) -> Any:
        """Keep the answer of a pure look-up in `memo`, which is emptied when it grows beyond a large shop's."""
        if len(self.memo) >= _MEMO_LIMIT:
            self.memo.clear()
        self.memo[key] = value
        return value


@dataclass(slots=True)
class Line:
    """An invoice line in the making. Amounts in the order's currency and mode; `net`: after discounts."""

    kind: LineKind
    name: str
    description: str
    quantity: Decimal
    unit_amount: Decimal
    discount: Decimal
    net: Decimal
    item: OrderItem | None = None
    class_name: str | None = None
    class_code: str | None = None
    rate: Decimal | None = None
    item_code: str | None = None
    item_tax_type: str | None = None
    account_code: str = ""
    account: Account | None = None
    account_rule: str = ""
    tax_type: str = ""
    tax_rule: str = ""
    tax: Decimal = ZERO
    tax_amount: Decimal | None = None
    tracking: tuple[dict[str, str], ...] = ()


@dataclass(slots=True)
class Draft:
    """One order on its way. Fields below the line are given by the steps that the operators' table names."""

    order: Order
    store: Store
    now: datetime
    findings: list[str] = field(default_factory=list)
    # ---
    day: dt.date = dt.date.min  # the order's own, which decides its tax; `date` may be moved out of a closed period
    date: dt.date = dt.date.min
    due_date: dt.date = dt.date.min
    currency: str = ""
    decimals: int = 2
    unit: Decimal = UNITS[2]
    rate: Decimal | None = None
    inclusive: bool = False
    lines: list[Line] = field(default_factory=list)
    total: Decimal = ZERO
    total_tax: Decimal = ZERO
    class_taxes: list[tuple[str, Decimal]] = field(default_factory=list)
    number: str = ""
    reference: str = ""
    invoice: str = ""
    contact: Contact | None = None
    payments: list[Tender] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    new_items: list[Item] = field(default_factory=list)
    refund: Refund | None = None
    only_refund: bool = False  # nothing says that the order was ever paid: the sale is not posted for it
    refund_command: Command | None = None
    command: Command | None = None

    @property
    def key(self) -> str:
        """instance|OrderID."""
        return f"{self.order['instance']}|{self.order['order']['OrderID']}"

    @property
    def who(self) -> str:
        """How messages call the order."""
        return f"order {self.order['order']['OrderID']} of {self.store.name}"

    def amount(self, value: Decimal) -> str:
        """An amount for messages."""
        return f"{value:.2f} {self.currency}"
