"""Organisations: who they are, their accounts, tax rates, currencies, tracking, lock dates and the app that may
connect to them.

`Organisation` is plain data: pass your own to `Sandbox(organisations=[...])`, built by hand, by
`organisation(...)`, or from JSON by `organisation_from`. Ids are uuid5 of the slug and the code, so that they are
the same on every machine.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from connectors.xero.sandbox import charts
from connectors.xero.sandbox.errors import SettingRefused

NAMESPACE = uuid.UUID("6d2f4c1e-3d0b-5f7a-9a55-0d1f4b9f6a20")
CLASS_OF_TYPE = {
    **dict.fromkeys(("BANK", "CURRENT", "FIXED", "INVENTORY", "NONCURRENT", "PREPAYMENT"), "ASSET"),
    **dict.fromkeys(("CURRLIAB", "LIABILITY", "TERMLIAB", "PAYG"), "LIABILITY"),
    "EQUITY": "EQUITY",
    **dict.fromkeys(("REVENUE", "SALES", "OTHERINCOME"), "REVENUE"),
    **dict.fromkeys(("DIRECTCOSTS", "EXPENSE", "OVERHEADS", "DEPRECIATN"), "EXPENSE"),
}
LETTER_OF_CLASS = {"ASSET": "A", "EQUITY": "E", "EXPENSE": "X", "LIABILITY": "L", "REVENUE": "R"}
# Accounts that Xero posts to by itself; a document line cannot name them. ROUNDING is not among them.
SYSTEM_NOT_ON_LINES = frozenset(
    [
        "DEBTORS",
        "CREDITORS",
        "BANKCURRENCYGAIN",
        "UNREALISEDCURRENCYGAIN",
        "REALISEDCURRENCYGAIN",
        "UNPAIDEXPCLM",
        "WAGEPAYABLES",
        "RETAINEDEARNINGS",
        "TRACKINGTRANSFERS",
        "HISTORICAL",
        "GST",
    ]
)
CURRENCY_NAMES = {
    "GBP": "British Pound",
    "USD": "United States Dollar",
    "EUR": "Euro",
    "AUD": "Australian Dollar",
    "NZD": "New Zealand Dollar",
    "CAD": "Canadian Dollar",
    "CHF": "Swiss Franc",
    "SEK": "Swedish Krona",
    "JPY": "Japanese Yen",
}
# Foreign units per GBP, used as the "day rate" where a document in a foreign currency carries no CurrencyRate.
PER_POUND = {
    code: Decimal(rate)
    for code, rate in (
        pair.split()
        for pair in [
            "GBP 1",
            "USD 1.27",
            "EUR 1.17",
            "AUD 1.93",
            "NZD 2.11",
            "CAD 1.73",
            "CHF 1.12",
            "SEK 13.3",
            "JPY 190",
            "CZK 29.4",
            "DKK 8.73",
            "NOK 13.6",
            "PLN 5.02",
        ]
    )
}


def stable_id(*parts: str) -> str:
    """The same id for the same parts, everywhere."""
    return str(uuid.uuid5(NAMESPACE, "/".join(parts)))


def demo_client_id(slug: str) -> str:
    """Client id of the organisation's custom connection: 32 capital hex digits, as Xero's are."""
    return stable_id(slug, "client").replace("-", "").upper()


def demo_client_secret(slug: str) -> str:
    """Secret of the demo app: derived, public, and good for nothing but the sandbox."""
    return hashlib.sha256(f"k2x xero sandbox {slug}".encode()).hexdigest()[:48]


@dataclass(slots=True)
class Account:
    """One account of the chart. `currency` is set for BANK accounts only."""

    id: str
    code: str
    name: str
    type: str
    tax_type: str
    system: str = ""
    pay: bool = False
    currency: str | None = None
    status: str = "ACTIVE"

    @property
    def class_(self) -> str:
        """ASSET, EQUITY, EXPENSE, LIABILITY or REVENUE."""
        return CLASS_OF_TYPE[self.type]

    @property
    def takes_payments(self) -> bool:
        """BANK by type, others when enabled."""
        return self.type == "BANK" or self.pay

    @property
    def takes_lines(self) -> bool:
        """Whether a document line may name it."""
        return self.type != "BANK" and self.system not in SYSTEM_NOT_ON_LINES


@dataclass(frozen=True, slots=True)
class TaxRate:
    """`applies` holds the letters of the account classes it may be used on; `percent` is the effective rate."""

    type: str
    name: str
    percent: Decimal
    applies: str
    status: str = "ACTIVE"

    def fits(self, account: Account) -> bool:
        """Usable on the account."""
        return self.status == "ACTIVE" and LETTER_OF_CLASS[account.class_] in self.applies


@dataclass(frozen=True, slots=True)
class Tracking:
    """A tracking category with its options, name to id."""

    id: str
    name: str
    options: dict[str, str]


@dataclass
class Organisation:
    """A Xero organisation.

    `currencies` starts with the base currency; `approve_limit` is the old plans' invoices a month.
    """

    slug: str
    name: str
    version: str
    country: str
    base_currency: str
    timezone: str
    zone: ZoneInfo
    accounts: dict[str, Account]
    tax_rates: dict[str, TaxRate]
    currencies: list[str]
    out_of_scope: str
    tracking: dict[str, Tracking] = field(default_factory=dict)
    period_lock_date: date | None = None
    end_of_year_lock_date: date | None = None
    approve_limit: int | None = None
    client_id: str = ""
    client_secret: str = ""
    tax_name: str = "VAT"
    year_end: tuple[int, int] = (31, 3)
    id: str = ""

    def __post_init__(self) -> None:
        self.id = self.id or stable_id(self.slug)
        self.client_id = self.client_id or demo_client_id(self.slug)
        self.client_secret = self.client_secret or demo_client_secret(self.slug)
        if self.base_currency not in self.currencies:
            self.currencies.insert(0, self.base_currency)
        self.accounts_by_id = {account.id: account for account in self.accounts.values()}

    def add_account(self, account: Account) -> None:
        """Put an account into the chart, or replace the one of its code."""
        self.accounts[account.code] = account
        self.accounts_by_id = {one.id: one for one in self.accounts.values()}

    def account_for_system(self, system: str) -> Account:
        """The account with that SystemAccount."""
        return next(account for account in self.accounts.values() if account.system == system)

    def day_rate(self, currency: str) -> Decimal:
        """Foreign units per unit of base, six decimals; 1 for the base currency and for currencies without a rate
        here.
        """
        if currency == self.base_currency or currency not in PER_POUND or self.base_currency not in PER_POUND:
            return Decimal(1)
        return (PER_POUND[currency] / PER_POUND[self.base_currency]).quantize(Decimal("0.000001"))

    def lock(self) -> tuple[str, date] | None:
        """The later lock date and its name: documents on or before it are refused."""
        dates = [("period", self.period_lock_date), ("end of year", self.end_of_year_lock_date)]
        present = [(which, day) for which, day in dates if day is not None]
        return max(present, key=lambda pair: pair[1]) if present else None


def read_accounts(slug: str, base_currency: str, table: str) -> dict[str, Account]:
    """Parse a table of charts.py."""
    found: dict[str, Account] = {}
    for row in filter(None, map(str.strip, table.splitlines())):
        kind, tax_type, entries = (part.strip() for part in row.split("|", 2))
        for entry in entries.split(";"):
            words = entry.split()
            code, name_words = words[0], [word for word in words[1:] if word[0] not in "!@" and word != "+pay"]
            system = next((word[1:] for word in words if word.startswith("!")), "")
            currency = next((word[1:] for word in words if word.startswith("@")), base_currency)
            found[code] = Account(
                id=stable_id(slug, "account", code),
                code=code,
                name=" ".join(name_words),
                type=kind,
                tax_type=tax_type,
                system=system,
                pay="+pay" in words,
                currency=currency if kind == "BANK" else None,
            )
    return found


def read_taxes(table: str) -> dict[str, TaxRate]:
    """Parse a tax table of charts.py."""
    rows = (tuple(part.strip() for part in row.split("|")) for row in table.strip().splitlines())
    return {kind: TaxRate(kind, name, Decimal(percent), applies) for kind, percent, applies, name in rows}


def read_tracking(slug: str, categories: Mapping[str, Sequence[str]]) -> dict[str, Tracking]:
    """Category name → option names."""
    return {
        name: Tracking(
            stable_id(slug, "tracking", name), name, {one: stable_id(slug, "option", name, one) for one in options}
        )
        for name, options in categories.items()
    }


@dataclass(frozen=True)
class Template:
    """What an edition of Xero brings along."""

    version: str
    country: str
    base_currency: str
    timezone: str
    zone: str
    accounts: str
    taxes: str
    currencies: tuple[str, ...]
    out_of_scope: str
    tax_name: str
    year_end: tuple[int, int]


TEMPLATES = {
    "uk": Template(
        "UK",
        "GB",
        "GBP",
        "GMTSTANDARDTIME",
        "Europe/London",
        charts.UK_ACCOUNTS,
        charts.UK_TAXES,
        ("GBP", "USD", "EUR"),
        "NONE",
        "VAT",
        (31, 3),
    ),
    "au": Template(
        "AU",
        "AU",
        "AUD",
        "AUSEASTERNSTANDARDTIME",
        "Australia/Sydney",
        charts.AU_ACCOUNTS,
        charts.AU_TAXES,
        ("AUD", "NZD"),
        "BASEXCLUDED",
        "GST",
        (30, 6),
    ),
    "de": Template(
        "GLOBAL",
        "DE",
        "EUR",
        "WEUROPESTANDARDTIME",
        "Europe/Berlin",
        charts.GLOBAL_ACCOUNTS,
        charts.GERMAN_TAXES,
        ("EUR",),
        "NONE",
        "USt",
        (31, 12),
    ),
}


def organisation(
    slug: str,
    name: str,
    template: str,
    *,
    currencies: Sequence[str] | None = None,
    period_lock_date: date | None = None,
    end_of_year_lock_date: date | None = None,
    tracking: Mapping[str, Sequence[str]] | None = None,
    client_id: str = "",
    client_secret: str = "",
    approve_limit: int | None = None,
) -> Organisation:
    """An organisation of one of the `TEMPLATES` (uk, au, de), with its own ids and its own custom connection."""
    if template not in TEMPLATES:
        raise SettingRefused(f"organisation {slug!r}: unknown template {template!r}; use one of {sorted(TEMPLATES)}")
    base = TEMPLATES[template]
    return Organisation(
        slug=slug,
        name=name,
        version=base.version,
        country=base.country,
        base_currency=base.base_currency,
        timezone=base.timezone,
        zone=ZoneInfo(base.zone),
        accounts=read_accounts(slug, base.base_currency, base.accounts),
        tax_rates=read_taxes(base.taxes),
        currencies=list(currencies or base.currencies),
        out_of_scope=base.out_of_scope,
        tracking=read_tracking(slug, tracking if tracking is not None else {"Channel": ["Web", "Marketplace", "Shop"]}),
        period_lock_date=period_lock_date,
        end_of_year_lock_date=end_of_year_lock_date,
        approve_limit=approve_limit,
        client_id=client_id,
        client_secret=client_secret,
        tax_name=base.tax_name,
        year_end=base.year_end,
    )


def organisation_from(record: Mapping[str, Any]) -> Organisation:
    """From JSON: the arguments of `organisation`, plus `accounts` and `tax_rates` to add to the template's.

    An account is {code, name, type, tax_type, system, pay, currency, status}; a rate {type, name, percent, applies}.
    """
    known = {"slug", "name", "template", "currencies", "period_lock_date", "end_of_year_lock_date", "tracking"}
    known |= {"client_id", "client_secret", "approve_limit", "accounts", "tax_rates"}
    if unknown := set(record) - known:
        raise SettingRefused(
            f"organisation {record.get('slug')!r}: unknown keys {sorted(unknown)}; known: {sorted(known)}"
        )
    given = {key: value for key, value in record.items() if key not in {"accounts", "tax_rates"}}
    for key in ("period_lock_date", "end_of_year_lock_date"):
        if isinstance(given.get(key), str):
            given[key] = date.fromisoformat(given[key])
    made = organisation(**given)
    for row in record.get("accounts", ()):
        made.add_account(account_from(made, row))
    for row in record.get("tax_rates", ()):
        made.tax_rates[row["type"]] = TaxRate(row["type"], row["name"], Decimal(str(row["percent"])), row["applies"])
    return made


def account_from(org: Organisation, row: Mapping[str, Any]) -> Account:
    """One account from JSON; fields not given are those of the account of that code, if there is one."""
    code = str(row["code"])
    old = org.accounts.get(code)
    kind = str(row.get("type", old.type if old else "REVENUE"))
    if kind not in CLASS_OF_TYPE:
        raise SettingRefused(f"account {code} of {org.slug}: unknown type {kind!r}; use one of {sorted(CLASS_OF_TYPE)}")
    return Account(
        id=old.id if old else stable_id(org.slug, "account", code),
        code=code,
        name=str(row.get("name", old.name if old else code)),
        type=kind,
        tax_type=str(row.get("tax_type", old.tax_type if old else org.out_of_scope)),
        system=str(row.get("system", old.system if old else "")),
        pay=bool(row.get("pay", old.pay if old else False)),
        currency=str(row.get("currency", (old.currency if old else None) or org.base_currency))
        if kind == "BANK"
        else None,
        status=str(row.get("status", old.status if old else "ACTIVE")),
    )


def default_organisations() -> list[Organisation]:
    """The three of the demo: uk (GBP, USD and EUR besides, a period lock date), au (AUD, NZD) and de (EUR, Global
    edition).
    """
    return [
        organisation("uk", "Demo Company (UK)", "uk", period_lock_date=date(2024, 3, 31)),
        organisation("au", "Demo Company (AU)", "au"),
        organisation("de", "Demo Company (Deutschland)", "de"),
    ]
