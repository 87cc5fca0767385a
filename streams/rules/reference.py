"""An organisation's reference data as the rules need it: frozen, found by dictionary, built from its rows.

Document shapes: connectors/xero/reference.py. Numbers are text there and Decimal here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import orjson

_REVENUE_CLASS = "REVENUE"
_CAN_APPLY = {
    "ASSET": "CanApplyToAssets",
    "EQUITY": "CanApplyToEquity",
    "EXPENSE": "CanApplyToExpenses",
    "LIABILITY": "CanApplyToLiabilities",
    "REVENUE": "CanApplyToRevenue",
}


@dataclass(frozen=True, slots=True)
class Account:
    """`code` is empty for bank accounts without one; `currency` is None where the base currency applies."""

    id: str
    code: str
    name: str
    type: str
    class_: str
    status: str
    tax_type: str
    system: str
    enable_payments: bool
    currency: str | None

    @property
    def takes_payments(self) -> bool:
        return self.type == "BANK" or self.enable_payments

    @property
    def is_revenue(self) -> bool:
        """REVENUE, SALES, OTHERINCOME: Xero's class is one for all three."""
        return self.class_ == _REVENUE_CLASS

    @property
    def label(self) -> str:
        return f"{self.code or self.id} {self.name}"


@dataclass(frozen=True, slots=True)
class TaxRate:
    """`rate` is the effective percent; `classes` the account classes it may be used on."""

    type: str
    name: str
    rate: Decimal
    status: str
    classes: frozenset[str]

    @property
    def active(self) -> bool:
        return self.status == "ACTIVE"


@dataclass(frozen=True, slots=True)
class Item:
    """An item that is sold."""

    code: str
    name: str
    sales_account: str | None
    sales_tax_type: str | None


@dataclass(frozen=True, slots=True)
class OrgReference:
    """`accounts` by code and by id; `tracking` active category → active options; `lock_date`: the later of the two."""

    name: str
    base_currency: str
    country: str
    time_zone: str
    period_lock: date | None
    year_lock: date | None
    accounts: Mapping[str, Account]
    tax_rates: Mapping[str, TaxRate]
    items: Mapping[str, Item]
    currencies: frozenset[str]
    tracking: Mapping[str, frozenset[str]]
    rounding: Account | None

    @property
    def lock_date(self) -> date | None:
        dates = [day for day in (self.period_lock, self.year_lock) if day is not None]
        return max(dates) if dates else None

    def account(self, code: str | None) -> Account | None:
        """By code, else by AccountID."""
        return self.accounts.get(code) if code else None

    def tax_type_names(self) -> str:
        """The active ones that revenue can have, for messages."""
        found = [f"{r.type} {r.rate:f} %" for r in self.tax_rates.values() if r.active and _REVENUE_CLASS in r.classes]
        return ", ".join(found) or "none"


def build(rows: Iterable[tuple[str, str, str | bytes | Mapping[str, Any]]]) -> OrgReference | None:
    """From (kind, code, document) of one organisation's complete snapshot; None if its ORGANISATION row is missing."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for kind, code, document in rows:
        if kind in ("CONTACT", "COMPLETE"):
            continue
        found.setdefault(kind, {})[code] = document if isinstance(document, Mapping) else orjson.loads(document)
    organisation = next(iter(found.get("ORGANISATION", {}).values()), None)
    if organisation is None:
        return None
    accounts: dict[str, Account] = {}
    for row in found.get("ACCOUNT", {}).values():
        account = _account(row)
        accounts[account.id] = account
        # An archived account may carry the code of a living one.
        if account.code and (account.code not in accounts or account.status == "ACTIVE"):
            accounts[account.code] = account
    base = str(organisation["BaseCurrency"])
    return OrgReference(
        name=str(organisation.get("Name") or ""),
        base_currency=base,
        country=str(organisation.get("CountryCode") or ""),
        time_zone=str(organisation.get("Timezone") or ""),
        period_lock=_day(organisation.get("PeriodLockDate")),
        year_lock=_day(organisation.get("EndOfYearLockDate")),
        accounts=accounts,
        tax_rates={rate.type: rate for rate in map(_tax_rate, found.get("TAX_RATE", {}).values())},
        items={
            str(row["Code"]): _item(row) for row in found.get("ITEM", {}).values() if row.get("IsSold") is not False
        },
        currencies=frozenset({base, *(str(row["Code"]) for row in found.get("CURRENCY", {}).values())}),
        tracking={
            str(row["Name"]): frozenset(
                str(option["Name"]) for option in row.get("Options") or () if option.get("Status") in (None, "ACTIVE")
            )
            for row in found.get("TRACKING", {}).values()
            if row.get("Status") in (None, "ACTIVE")
        },
        rounding=next((a for a in accounts.values() if a.system == "ROUNDING" and a.status == "ACTIVE"), None),
    )


def _account(row: Mapping[str, Any]) -> Account:
    return Account(
        id=str(row["AccountID"]),
        code=str(row.get("Code") or ""),
        name=str(row.get("Name") or ""),
        type=str(row.get("Type") or ""),
        class_=str(row.get("Class") or ""),
        status=str(row.get("Status") or "ACTIVE"),
        tax_type=str(row.get("TaxType") or ""),
        system=str(row.get("SystemAccount") or ""),
        enable_payments=bool(row.get("EnablePaymentsToAccount")),
        currency=row.get("CurrencyCode") or None,
    )


def _tax_rate(row: Mapping[str, Any]) -> TaxRate:
    return TaxRate(
        type=str(row["TaxType"]),
        name=str(row.get("Name") or ""),
        rate=Decimal(str(row.get("EffectiveRate") or "0")),
        status=str(row.get("Status") or "ACTIVE"),
        classes=frozenset(class_ for class_, key in _CAN_APPLY.items() if row.get(key)),
    )


def _item(row: Mapping[str, Any]) -> Item:
    return Item(
        code=str(row["Code"]),
        name=str(row.get("Name") or ""),
        sales_account=str(row["SalesAccountCode"]) if row.get("SalesAccountCode") else None,
        sales_tax_type=str(row["SalesTaxType"]) if row.get("SalesTaxType") else None,
    )


def _day(value: Any) -> date | None:
    return date.fromisoformat(str(value)[:10]) if value else None
