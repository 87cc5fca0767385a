"""The rules document's types. Unknown keys are refused; nothing here reads files or the clock."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from streams.rules import check
from streams.rules.errors import UnknownStore
from streams.rules.operators import OPERATORS, Operator
from streams.rules.reference import OrgReference

_SLUG = re.compile(r"^[a-z0-9-]+$")
# No slash and no space (the payment marker is `<number>/<ordinal>`), no comma (read-backs list numbers with commas).
_PREFIX = re.compile(r"^[A-Za-z0-9._-]{0,20}$")
_CURRENCY = re.compile(r"^[A-Z]{3}$")
_SETTLEMENT = re.compile(r"^([a-z0-9-]+/)?[a-z0-9][a-z0-9._-]{0,39}:[A-Z]{3}$")
# Its members since 2020-02-01: `EU` in a rule stands for them. It is no country's code, so it could mean nothing else.
EU = (
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
)  # fmt: skip


def _code(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _zone(value: Any) -> Any:
    if isinstance(value, str):
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is no IANA time zone; use one like Europe/London") from error
    return value


def _countries(value: Any) -> Any:
    listed = [value] if isinstance(value, str) else value
    if isinstance(listed, list | tuple):
        listed = list(dict.fromkeys(code for one in listed for code in (EU if one == "EU" else (one,))))
        for one in listed:
            if not (isinstance(one, str) and len(one) == 2 and one.isalpha() and one.isupper()):
                raise ValueError(f"{one!r}: use a country's two capital letters, like GB")
        return tuple(listed)
    return listed


Code = Annotated[str, BeforeValidator(_code), Field(min_length=1, max_length=50)]
Codes = dict[Annotated[str, BeforeValidator(_code)], Code]
Zone = Annotated[str, BeforeValidator(_zone)]
Countries = Annotated[tuple[str, ...], BeforeValidator(_countries)]
Percent = Annotated[Decimal, Field(ge=0, le=100)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Accounts(Part):
    """Revenue accounts by SKU number (`AB*`: every one that begins so), department, tax class; else default."""

    sku: Codes = {}
    department: Codes = {}
    tax_class: Codes = {}
    default: Code | None = None


class TaxRule(Part):
    """Which TaxType a charge has. Every condition given must hold; the first rule of the list that fits is taken.

    `class`: display or code name of Kentico's tax class. `rate`: percent charged. `country`, `not_country`: of the tax
    address; `EU` stands for all its members. `with_tax_id`: whether the customer has a tax registration id. `from`,
    `to`: days, both included, by the order's own day.
    """

    class_: str | None = Field(None, alias="class")
    rate: Percent | None = None
    country: Countries = ()
    not_country: Countries = ()
    state: str | None = None
    with_tax_id: bool | None = None
    from_: date | None = Field(None, alias="from")
    to: date | None = None
    tax_type: str = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _some_condition(self) -> TaxRule:
        if self.class_ is None and self.rate is None:
            raise ValueError(f"a rule for {self.tax_type} needs `class` or `rate`, else it would take every line")
        if self.from_ and self.to and self.to < self.from_:
            raise ValueError(f"`to` {self.to} is before `from` {self.from_}")
        return self


class FieldRule(Part):
    """A column of Kentico's goes to the Reference, to a tracking category, or under a line's text.

    `from`: a column of the order, custom ones and `OrderCustomData.<key>` too; `item.<column>`, `customer.<column>`.
    `options`: value → option of the category; without it the value is the option. `otherwise`: of any other value, and
    of none. `label`: stands before the value in a text.
    """

    from_: str = Field(alias="from", min_length=1, max_length=200)
    to: Literal["reference", "tracking", "description"]
    category: str | None = None
    options: Annotated[dict[Annotated[str, BeforeValidator(_code)], str], Field(default_factory=dict)]
    otherwise: str | None = None
    label: str | None = None

    @property
    def place(self) -> tuple[Literal["order", "item", "customer"], str]:
        """Whose column it is, and its name."""
        part, _, column = self.from_.partition(".")
        if part == "item":
            return "item", column
        return ("customer", column) if part == "customer" else ("order", self.from_)

    @model_validator(mode="after")
    def _sound(self) -> FieldRule:
        if (self.to == "tracking") != (self.category is not None):
            raise ValueError(f"{self.from_}: `category` goes with `to: tracking`, and only with that")
        if self.to != "tracking" and (self.options or self.otherwise is not None):
            raise ValueError(f"{self.from_}: `options` and `otherwise` are for `to: tracking`")
        if self.to != "description" and self.label is not None:
            raise ValueError(f"{self.from_}: `label` is for `to: description`")
        if self.to == "reference" and self.place[0] == "item":
            raise ValueError(f"{self.from_}: an invoice has one Reference and many items; use `to: description`")
        if not self.place[1]:
            raise ValueError(f"{self.from_!r}: name a column behind the dot")
        return self


class CurrencyRate(Part):
    """Foreign units per unit of base. `order`: from the order's totals; then `table`; else Xero's own rate."""

    source: Literal["order", "table", "xero"] = "order"
    table: dict[str, Annotated[Decimal, Field(gt=0)]] = {}
    within: Decimal | None = Field(
        None, gt=0, description="percent by which the order's own rate may differ from the table's"
    )


class Contacts(Part):
    """Who the invoices are made out to."""

    mode: Literal["per_customer", "one_per_store"] = "per_customer"
    name: str | None = Field(None, max_length=255, description="of the one contact; empty: Web sales <site>")
    match_email: bool = True
    company_name: Literal["with_tax_id", "always", "never"] = "with_tax_id"
    updates: bool = Field(True, description="customers' changes go to the contacts that exist")


class Products(Part):
    """Kentico's products as Xero items. `off`; `known`: update those that exist; `all`: create them too."""

    mode: Literal["off", "known", "all"] = "off"


class Paid(Part):
    """Names of statuses that mean paid, where Kentico has no flag for it (Xperience by Kentico)."""

    statuses: tuple[str, ...] = ()


class Refunds(Part):
    """`statuses`: those that mean that all of the order was given back; a part of it is told by order.refunded.

    `unpaid`: what a refund or deletion does to an invoice that is in Xero unpaid. A person decides; or it is voided,
    where nothing stands on it and all of it was refunded, else credited; or a credit note is allocated to it.
    """

    statuses: tuple[str, ...] = ()
    unpaid: Literal["hold", "void", "credit"] = "hold"


class Posting(Part):
    """One invoice an order, or one a day. `from`: the first day (of the order, in the store's zone) with a summary.

    `grace_minutes`: how long after the store's midnight a day's summary closes.
    """

    mode: Literal["per_order", "summary"] = "per_order"
    from_: date | None = Field(None, alias="from")
    grace_minutes: int = Field(180, ge=0, le=1440)

    @model_validator(mode="after")
    def _since_when(self) -> Posting:
        if self.mode == "summary" and self.from_ is None:
            raise ValueError("`mode: summary` needs `from`, the first day of orders that go into summaries")
        return self


class WriteBack(Part):
    """Custom columns of COM_Order to write; an empty one is not written. All empty: off."""

    number: str | None = None
    invoice_id: str | None = None
    status: str | None = None
    error: str | None = None
    posted_at: str | None = None

    def columns(self) -> dict[str, str]:
        """What → column, without the empty ones."""
        return {name: value for name, value in self.model_dump().items() if value}


class FeeBooking(Part):
    """Where one kind of what a gateway withholds is booked, and with which TaxType; the amounts contain its tax."""

    account: Code
    tax_type: str = Field(min_length=1, max_length=50)


class SettlementRule(Part):
    """How a gateway's payouts in one currency get into the books. `adjustment`, `chargeback`: empty: as `fee`."""

    clearing_account: Code = Field(description="BANK, where its payments arrive (payments of the stores)")
    bank_account: Code = Field(description="BANK, where the payout lands")
    contact: str = Field(min_length=1, max_length=255, description="the gateway's name in Xero")
    fee: FeeBooking
    adjustment: FeeBooking | None = None
    chargeback: FeeBooking | None = None
    currency_rate: Decimal | None = Field(
        None, gt=0, description="foreign units per unit of base; empty: Xero's own of the day"
    )
    locked_period: Literal["refuse", "first_open_day"] = "refuse"


class StoreRules(Part):
    """The rules of one store."""

    prefix: str = ""
    number_from: Literal["OrderID", "OrderInvoiceNumber"] = "OrderID"
    reference_from: str = Field("OrderID", min_length=1, description="a column of the order, custom ones too")
    cutover: date | None = None
    paid: Paid = Paid()
    refunds: Refunds = Refunds()
    time_zone: Zone | None = Field(None, description="empty: the organisation's")
    due_days: int = Field(0, ge=0, le=3650)
    currency: str | None = Field(None, description="of every order, where Kentico has none (Xperience by Kentico)")
    currency_rate: CurrencyRate = CurrencyRate()
    line_amounts: Literal["auto", "inclusive", "exclusive"] = "auto"
    accounts: Accounts = Accounts()
    shipping_account: Code | None = None
    unknown_item: Literal["line_without_item", "create_untracked", "refuse"] = "line_without_item"
    payments: Codes = {}
    gift_card_accounts: Codes = Field({}, description="by currency; `*`: any")
    tax_address: Literal["billing", "shipping"] = "billing"
    tax: tuple[TaxRule, ...] = ()
    shipping_tax_class: str | None = Field(None, description="where the order does not say it")
    zero_tax: str | None = Field(None, description="TaxType of what carries no tax and has no rule")
    out_of_scope_tax: str | None = Field(None, description="TaxType of the rounding line; empty: NONE or BASEXCLUDED")
    rounding_limit: int = Field(50, ge=0, le=50, description="the most minor units that a rounding line may carry")
    contacts: Contacts = Contacts()
    products: Products = Products()
    tracking: dict[str, str] = Field({}, description="category → option, at most two", max_length=2)
    fields: tuple[FieldRule, ...] = Field(
        (), description="columns to Reference, tracking or texts; the first that fits"
    )
    locked_period: Literal["refuse", "first_open_day"] = "refuse"
    on_other_money: Literal["hold", "reissue"] = "hold"
    posting: Posting = Posting()
    write_back: WriteBack = WriteBack()

    @model_validator(mode="after")
    def _two_categories(self) -> StoreRules:
        categories = {*self.tracking, *(rule.category for rule in self.fields if rule.category)}
        if len(categories) > 2:
            raise ValueError(f"tracking and fields name {len(categories)} categories: Xero has two at most")
        return self

    @field_validator("prefix")
    @classmethod
    def _usable_prefix(cls, value: str) -> str:
        if not _PREFIX.match(value):
            raise ValueError(f"{value!r}: use up to 20 letters, digits, dots, dashes and underscores")
        return value

    @field_validator("currency")
    @classmethod
    def _usable_currency(cls, value: str | None) -> str | None:
        if value is not None and not _CURRENCY.match(value):
            raise ValueError(f"{value!r}: use a currency's three capital letters")
        return value

    @field_validator("payments")
    @classmethod
    def _payment_keys(cls, value: dict[str, str]) -> dict[str, str]:
        for key in value:
            option, _, currency = key.rpartition(":")
            if not option or not _CURRENCY.match(currency):
                raise ValueError(f"{key!r}: write PaymentOptionName:CUR, or instance/Site:PaymentOptionName:CUR")
        return value

    @field_validator("gift_card_accounts")
    @classmethod
    def _gift_card_keys(cls, value: dict[str, str]) -> dict[str, str]:
        for key in value:
            if key != "*" and not _CURRENCY.match(key):
                raise ValueError(f"{key!r}: write a currency's three capital letters, or *")
        return value


class InstanceRules(Part):
    """What an organisation's stores of one Kentico installation share."""

    contact_prefix: str | None = Field(None, description="before C<CustomerID>; empty: <instance>-")

    @field_validator("contact_prefix")
    @classmethod
    def _usable(cls, value: str | None) -> str | None:
        if value is not None and not _PREFIX.match(value):
            raise ValueError(f"{value!r}: use up to 20 letters, digits, dots, dashes and underscores")
        return value


class Step(Part):
    """One named step of the workflow; a step that is not enabled is left out."""

    name: str = Field(min_length=1, max_length=80)
    use: str
    with_: dict[str, Any] = Field({}, alias="with")
    enabled: bool = True

    @model_validator(mode="after")
    def _known(self) -> Step:
        operator = OPERATORS.get(self.use)
        if operator is None:
            raise ValueError(f"there is no operator {self.use!r}; there are {', '.join(OPERATORS)}")
        try:
            operator.parameters.model_validate(self.with_)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(("with", *map(str, first["loc"])))
            known = ", ".join(operator.parameters.model_fields) or "none"
            raise ValueError(f"{where}: {first['msg']}; parameters of {self.use}: {known}") from error
        return self

    @property
    def operator(self) -> Operator:
        return OPERATORS[self.use]


class RulesDocument(Part):
    """The rules of one organisation, resolved: each store's are complete, with the defaults already in them."""

    organisation: str
    instances: dict[str, InstanceRules] = {}
    defaults: StoreRules = StoreRules()
    stores: dict[str, StoreRules]
    settlements: dict[str, SettlementRule] = Field({}, description="by gateway:CUR, or instance/gateway:CUR")
    workflow: tuple[Step, ...]

    @field_validator("organisation")
    @classmethod
    def _slug(cls, value: str) -> str:
        if not _SLUG.match(value):
            raise ValueError(f"{value!r}: use lower-case letters, digits and - (the slug of k2x.yaml)")
        return value

    @field_validator("stores")
    @classmethod
    def _store_names(cls, value: dict[str, StoreRules]) -> dict[str, StoreRules]:
        for name in value:
            instance, _, site = name.partition("/")
            if not instance or not site:
                raise ValueError(f"{name!r}: write instance/SiteName, as in k2x.yaml")
        return value

    @field_validator("settlements")
    @classmethod
    def _settlement_keys(cls, value: dict[str, SettlementRule]) -> dict[str, SettlementRule]:
        for key in value:
            if not _SETTLEMENT.match(key):
                raise ValueError(f"{key!r}: write gateway:CUR, or instance/gateway:CUR, the gateway in small letters")
        return value

    def store(self, name: str) -> StoreRules:
        """Rules of `instance/SiteName`. UnknownStore if there are none."""
        found = self.stores.get(name)
        if found is None:
            known = ", ".join(sorted(self.stores)) or "none"
            raise UnknownStore(
                f"the rules of {self.organisation} have no store {name!r} (known: {known}): add stores.{name}"
            )
        return found

    def contact_prefix(self, instance: str) -> str:
        """What stands before the customer's number in a ContactNumber."""
        rules = self.instances.get(instance)
        return f"{instance}-" if rules is None or rules.contact_prefix is None else rules.contact_prefix

    def unknown_in(self, reference: OrgReference) -> list[str]:
        """One sentence for each account, tax type or tracking option that a rule names and Xero cannot use."""
        return [
            *(
                text
                for name, rules in self.stores.items()
                for text in check.unknown(f"stores.{name}", rules, reference)
            ),
            *check.unknown_settlements(self.settlements, reference),
        ]

    def faults(self) -> list[check.Wrong]:
        """What is wrong between the parts: (path, text with remedy). Empty: usable."""
        prefixes = {instance: self.contact_prefix(instance) for instance in {s.partition("/")[0] for s in self.stores}}
        wrong = [*check.prefixes(self.stores), *check.summary_numbers(self.stores)]
        return [*wrong, *check.contact_prefixes(prefixes), *check.workflow(self.workflow)]

    def doubts(self) -> list[str]:
        """What cannot be meant so, though it can be used: a sentence each, with the remedy."""
        return [
            text
            for name, rules in self.stores.items()
            for text in (
                *check.dead_tax_rules(name, rules.tax),
                *check.idle_unpaid(name, rules.refunds.unpaid, self.workflow),
            )
        ]
