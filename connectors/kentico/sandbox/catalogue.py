"""The lookup rows of each instance (sites, currencies, tax, statuses, options, SKUs) and the tax rates charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from zoneinfo import ZoneInfo

from connectors.kentico.sandbox.errors import UnknownObject
from connectors.kentico.sandbox.places import country_rows, state_rows
from connectors.kentico.sandbox.products import AWKWARD_KEYS, PRODUCTS
from connectors.kentico.sandbox.schema import SKU, TABLES, Row, fixed_guid, full_row
from connectors.kentico.sandbox.stores import DEPARTMENTS, PAYMENTS, SPECS, STATUSES, SiteSpec, TaxSpec

EPOCH = "2026-01-05T09:00:00.0000000"
"""When the lookup rows were last touched, in server-local time; old enough never to be news."""


@dataclass(frozen=True)
class Sku:
    """A SKU of one site; price in the site's main currency."""

    id: int
    key: str
    number: str | None
    name: str
    price: Decimal
    tax_class: int
    group: str
    kind: str


@dataclass(frozen=True)
class Currency:
    """`value` is COM_CurrencyExchangeRate.ExchangeRateValue: main currency per unit (1 GBP = 1.27 USD is 0.787…)."""

    id: int
    code: str
    main: bool
    value: Decimal
    decimals: int = 2

    def round(self, amount: Decimal) -> Decimal:
        """CMSPriceRounding 0: mathematical, halves away from zero, to CurrencyRoundTo decimals."""
        return amount.quantize(Decimal(1).scaleb(-self.decimals), ROUND_HALF_UP)


@dataclass(frozen=True)
class Shipping:
    """A shipping option; price in main currency, free from `free_from` of goods."""

    id: int
    name: str
    price: Decimal
    tax_class: int
    free_from: Decimal | None = None


@dataclass(frozen=True)
class Site:
    """A store. `inclusive` is the setting CMSIncludeTaxInPrices, which REST does not show."""

    id: int
    name: str
    inclusive: bool
    country: int
    culture: str
    currencies: tuple[Currency, ...]
    skus: Mapping[str, Sku]
    shipping: tuple[Shipping, ...]
    payments: Mapping[str, int]
    statuses: Mapping[str, int]

    @property
    def main(self) -> Currency:
        """The currency that prices are kept in."""
        return self.currencies[0]

    def currency(self, code: str) -> Currency:
        """The site's own row for a code. Raises UnknownObject."""
        for currency in self.currencies:
            if currency.code == code:
                return currency
        raise UnknownObject(f"site {self.name} does not sell in {code}")

    def group(self, *groups: str) -> list[Sku]:
        """The ordinary SKUs of these groups, in id order; the awkward ones are only sold by name."""
        return [sku for sku in self.skus.values() if sku.group in groups and sku.key not in AWKWARD_KEYS]


@dataclass(frozen=True)
class Catalogue:
    """Everything of an instance that does not change while it trades."""

    instance: str
    zone: ZoneInfo
    sites: Mapping[str, Site]
    rows: Mapping[str, list[Row]]
    first_ids: Mapping[str, int]
    _rates: Mapping[tuple[int, str, int], Decimal] = field(repr=False)
    _zero_with_id: frozenset[int] = field(repr=False)

    def site_by_id(self, site_id: int) -> Site:
        """Raises UnknownObject."""
        for site in self.sites.values():
            if site.id == site_id:
                return site
        raise UnknownObject(f"instance {self.instance} has no site {site_id}")

    def rate(self, tax_class: int, country: int | None, state: int | None, has_tax_id: bool) -> Decimal:
        """Percent charged: the state's rate if the class has one, else the country's, else zero."""
        if has_tax_id and tax_class in self._zero_with_id:
            return Decimal(0)
        if state is not None and (tax_class, "state", state) in self._rates:
            return self._rates[tax_class, "state", state]
        return self._rates.get((tax_class, "country", country or 0), Decimal(0))

    def class_name(self, tax_class: int) -> str:
        """TaxClassDisplayName, which is what OrderTaxSummary shows."""
        return str(self.find("ecommerce.taxclass", tax_class)["TaxClassDisplayName"])

    def find(self, type_name: str, row_id: int | None) -> Row:
        """A lookup row by id. Raises UnknownObject."""
        column = TABLES[type_name].id
        for row in self.rows[type_name]:
            if row[column] == row_id:
                return row
        raise UnknownObject(f"instance {self.instance} has no {type_name} {row_id}")

    def tax_class_of(self, sku: Row) -> int | None:
        """SKUTaxClassID, else the department's default."""
        if sku["SKUTaxClassID"] is not None:
            return int(sku["SKUTaxClassID"])
        if sku["SKUDepartmentID"] is None:
            return None
        default = self.find("ecommerce.department", sku["SKUDepartmentID"])["DepartmentDefaultTaxClassID"]
        return None if default is None else int(default)


@cache
def catalogue(instance: str) -> Catalogue:
    """The catalogue of a named instance. Raises UnknownObject."""
    if instance not in SPECS:
        raise UnknownObject(f"no built-in instance {instance}; known: {', '.join(SPECS)}")
    zone, specs, shift = SPECS[instance]
    return _Builder(instance, shift).build(zone, specs)


class _Builder:
    """Gives out ids and collects rows; one per instance, thrown away after building."""

    def __init__(self, instance: str, shift: int) -> None:
        self.instance = instance
        self.shift = shift
        self.rows: dict[str, list[Row]] = {name: [] for name in TABLES}
        self.rates: dict[tuple[int, str, int], Decimal] = {}
        self.zero_with_id: set[int] = set()

    def add(self, type_name: str, /, **values: object) -> int:
        table = TABLES[type_name]
        new_id = self.shift + len(self.rows[type_name]) + 1
        row = full_row(table, **{table.id: new_id, **values})
        if table.guid:
            row[table.guid] = fixed_guid(self.instance, type_name, row[table.id])
        if table.modified:
            row[table.modified] = EPOCH
        self.rows[type_name].append(row)
        return int(row[table.id])

    def build(self, zone: str, specs: tuple[SiteSpec, ...]) -> Catalogue:
        self.rows["cms.country"] = country_rows()
        self.rows["cms.state"] = state_rows()
        statuses = {
            name: self.add(
                "ecommerce.orderstatus", StatusName=name, StatusDisplayName=display, StatusOrder=order,
                StatusEnabled=True,
                StatusColor="#4EAE3F" if paid else "#999999", StatusSendNotification=True, StatusOrderIsPaid=paid,
            )
            for order, (name, display, paid) in enumerate(STATUSES, 1)
        }  # fmt: skip
        payments = {
            name: self.add(
                "ecommerce.paymentoption", PaymentOptionName=name, PaymentOptionDisplayName=display,
                PaymentOptionEnabled=True,
                PaymentOptionSucceededOrderStatusID=statuses["PaymentReceived"], PaymentOptionAllowIfNoShipping=True,
                PaymentOptionFailedOrderStatusID=statuses["PaymentFailed"],
                PaymentOptionAuthorizedOrderStatusID=statuses["PaymentAuthorized"],
            )
            for name, display in PAYMENTS
        }  # fmt: skip
        sites = {spec.name: self._site(spec, statuses, payments) for spec in specs}
        first_ids = dict.fromkeys(TABLES, 1001)  # equal in both instances: an OrderID alone identifies nothing
        return Catalogue(
            self.instance, ZoneInfo(zone), sites, self.rows, first_ids, self.rates, frozenset(self.zero_with_id)
        )

    def _site(self, spec: SiteSpec, statuses: Mapping[str, int], payments: Mapping[str, int]) -> Site:
        domain = f"{spec.name.lower()}.example.com"
        site_id = self.add(
            "cms.site", SiteName=spec.name, SiteDisplayName=spec.display, SiteStatus="RUNNING", SiteDomainName=domain,
            SiteDefaultVisitorCulture=spec.culture, SitePresentationURL=f"https://{domain}",
        )  # fmt: skip
        classes = {item[0]: self._tax_class(site_id, item) for item in spec.classes}
        departments = {
            group: self.add(
                "ecommerce.department", DepartmentName=f"{spec.name}.{name}", DepartmentDisplayName=name,
                DepartmentDefaultTaxClassID=classes[spec.groups[group]], DepartmentSiteID=site_id,
            )
            for name, group in DEPARTMENTS
        }  # fmt: skip
        shipping = tuple(
            Shipping(
                self.add(
                    "ecommerce.shippingoption", ShippingOptionName=name, ShippingOptionDisplayName=display,
                    ShippingOptionEnabled=True, ShippingOptionSiteID=site_id, ShippingOptionCarrierID=1,
                    ShippingOptionCarrierServiceName="Default", ShippingOptionTaxClassID=classes["standard"],
                ),
                name, Decimal(price), classes["standard"], None if free is None else Decimal(free),
            )
            for name, display, price, free in spec.shipping
        )  # fmt: skip
        return Site(
            site_id, spec.name, spec.inclusive, spec.country, spec.culture, self._currencies(spec, site_id),
            self._skus(spec, site_id, classes, departments), shipping, payments, statuses,
        )  # fmt: skip

    def _tax_class(self, site_id: int, item: TaxSpec) -> int:
        _, name, display, countries, states, zero_with_id = item
        class_id = self.add(
            "ecommerce.taxclass", TaxClassName=name, TaxClassDisplayName=display, TaxClassZeroIfIDSupplied=zero_with_id,
            TaxClassSiteID=site_id,
        )  # fmt: skip
        for country, percent in countries.items():
            self.add("ecommerce.taxclasscountry", TaxClassID=class_id, CountryID=country, TaxValue=Decimal(percent))
            self.rates[class_id, "country", country] = Decimal(percent)
        for state, percent in states.items():
            self.add("ecommerce.taxclassstate", TaxClassID=class_id, StateID=state, TaxValue=Decimal(percent))
            self.rates[class_id, "state", state] = Decimal(percent)
        if zero_with_id:
            self.zero_with_id.add(class_id)
        return class_id

    def _currencies(self, spec: SiteSpec, site_id: int) -> tuple[Currency, ...]:
        currencies = []
        table_id = self.add(
            "ecommerce.exchangetable", ExchangeTableDisplayName=f"{spec.name} rates", ExchangeTableSiteID=site_id
        )
        for position, (code, display, form, units) in enumerate(spec.money):
            currency_id = self.add(
                "ecommerce.currency", CurrencyName=code, CurrencyDisplayName=display, CurrencyCode=code,
                CurrencyRoundTo=2,
                CurrencyEnabled=True, CurrencyFormatString=form, CurrencyIsMain=position == 0, CurrencySiteID=site_id,
            )  # fmt: skip
            value = (1 / Decimal(units)).quantize(Decimal("1e-9"))
            if position:
                self.add(
                    "ecommerce.exchangerate", ExchangeRateToCurrencyID=currency_id, ExchangeRateValue=value,
                    ExchangeTableID=table_id,
                )  # fmt: skip
            currencies.append(Currency(currency_id, code, position == 0, value))
        return tuple(currencies)

    def _skus(
        self, spec: SiteSpec, site_id: int, classes: Mapping[str, int], departments: Mapping[str, int]
    ) -> dict[str, Sku]:
        skus: dict[str, Sku] = {}
        # SKUIDs are Kentico's for the first site of an instance; a second site's copies have ids of their own.
        base = 0 if len(self.rows["cms.site"]) == 1 else 1000
        for product in PRODUCTS:
            key = product.key or product.number or ""
            number = (
                product.number if product.number in (None, "BAD-ACCT") else spec.number_prefix + str(product.number)
            )
            department = departments.get(product.group, departments["equipment"])
            tax_class = classes[spec.groups[product.group]]
            price = (product.price * Decimal(spec.factor)).quantize(Decimal("0.01"), ROUND_HALF_UP)
            self.rows[SKU.name].append(
                full_row(
                    SKU, SKUID=base + product.id, SKUNumber=number, SKUName=product.name, SKUPrice=price,
                    SKUDescription=f"<p>{product.name}</p>", SKUEnabled=product.enabled, SKUDepartmentID=department,
                    SKUGUID=fixed_guid(self.instance, SKU.name, base + product.id),
                    SKUAvailableItems=product.stock or 0,
                    SKUSellOnlyAvailable=False, SKULastModified=EPOCH, SKUCreated=EPOCH, SKUSiteID=site_id,
                    SKUNeedsShipping=True,
                    SKUProductType=product.kind, SKUWeight=0.5, SKUInStoreFrom="2020-08-03T09:08:55.0000000",
                    SKUTrackInventory="Disabled" if product.stock is None else "ByProduct",
                    SKUTaxClassID=None if product.by_department else tax_class,
                )
            )  # fmt: skip
            skus[key] = Sku(base + product.id, key, number, product.name, price, tax_class, product.group, product.kind)
        return skus
