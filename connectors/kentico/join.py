"""Joins rows read by REST into the shape that a sender would have sent (DESIGN §6). Pure.

What a lookup does not know is left out: the aggregate then says null, and whoever needs the value refuses with a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

Row = dict[str, Any]
ById = Mapping[int, Row]

_BILLING, _SHIPPING = 1, 2  # COM_OrderAddress.AddressType


@dataclass
class Tables:
    """Kentico's lookup tables by identity. Rates are percent, as in TaxValue; None: the tables could not be read."""

    sites: ById = field(default_factory=dict)
    statuses: ById = field(default_factory=dict)
    currencies: ById = field(default_factory=dict)
    payment_options: ById = field(default_factory=dict)
    shipping_options: ById = field(default_factory=dict)
    countries: ById = field(default_factory=dict)
    states: ById = field(default_factory=dict)
    departments: ById = field(default_factory=dict)
    tax_classes: ById = field(default_factory=dict)
    country_rates: Mapping[tuple[int, int], Decimal] | None = None
    state_rates: Mapping[tuple[int, int], Decimal] = field(default_factory=dict)
    skus: dict[int, Row] = field(default_factory=dict)
    shared_numbers: set[str] = field(default_factory=set)

    def knows(self, order: Row) -> bool:
        """Whether every lookup an order points to is there; a new status is not, until the tables are read again."""
        return all(
            order.get(column) is None or order[column] in table
            for column, table in (
                ("OrderSiteID", self.sites),
                ("OrderStatusID", self.statuses),
                ("OrderCurrencyID", self.currencies),
                ("OrderPaymentOptionID", self.payment_options),
                ("OrderShippingOptionID", self.shipping_options),
            )
        )


@dataclass(frozen=True)
class _TaxPlace:
    """Where an order is taxed, and whether its customer gave a tax id."""

    country: int | None
    state: int | None
    has_tax_id: bool


def order_data(
    order: Row,
    items: Sequence[Row],
    addresses: Sequence[Row],
    history: Sequence[Row],
    customer: Row | None,
    tables: Tables,
    tax_address: Literal["billing", "shipping"],
) -> dict[str, Any]:
    """The `data` of an event about this order."""
    place = _tax_place(addresses, customer, tax_address)
    data: dict[str, Any] = {
        "order": order,
        "items": [row | sku_columns(row.get("OrderItemSKUID"), tables, place) for row in items],
        "addresses": [row | _place_columns(row, tables) for row in addresses],
        "customer": customer,
        "status": _found(tables.statuses, order.get("OrderStatusID")),
        "currency": _currency(order, tables),
        "paymentOption": _found(tables.payment_options, order.get("OrderPaymentOptionID")),
        "shippingOption": _shipping(order, tables, place),
        "site": _found(tables.sites, order.get("OrderSiteID")),
        "statusHistory": [row | _status_names(row, tables) for row in history],
    }
    return {name: value for name, value in data.items() if value is not None}


def sku_data(sku: Row, tables: Tables) -> dict[str, Any]:
    """The `data` of an event about this product."""
    data: dict[str, Any] = {"sku": sku | sku_columns(sku.get("SKUID"), tables, None)}
    site = _found(tables.sites, sku.get("SKUSiteID"))
    return data if site is None else data | {"site": site}


def customer_data(customer: Row, tables: Tables) -> dict[str, Any]:
    """The `data` of an event about this customer. Address books have no billing and shipping, so none is joined."""
    site = _found(tables.sites, customer.get("CustomerSiteID"))
    return {"customer": customer} if site is None else {"customer": customer, "site": site}


def sku_columns(sku_id: Any, tables: Tables, place: _TaxPlace | None) -> Row:
    """What an item takes from its SKU as the catalogue is now: number, department, tax class and the rate charged."""
    sku = _found(tables.skus, sku_id)
    if sku is None:
        return {}
    department = _found(tables.departments, sku.get("SKUDepartmentID"))
    class_id = sku.get("SKUTaxClassID") or (department or {}).get("DepartmentDefaultTaxClassID")
    number = sku.get("SKUNumber")
    joined: Row = {
        "SKUNumber": number,
        "sku_number_shared": number in tables.shared_numbers,
        "SKUDepartmentName": (department or {}).get("DepartmentName"),
        "SKUTaxClassID": class_id,
    }
    return joined | _class_columns(class_id, tables, place)


def _class_columns(class_id: Any, tables: Tables, place: _TaxPlace | None) -> Row:
    tax_class = _found(tables.tax_classes, class_id)
    if tax_class is None:
        return {}
    joined = {name: tax_class.get(name) for name in ("TaxClassName", "TaxClassDisplayName")}
    rate = None if place is None else tax_rate(tax_class, tables, place)
    return joined if rate is None else joined | {"TaxRate": rate}


def tax_rate(tax_class: Row, tables: Tables, place: _TaxPlace) -> Decimal | None:
    """Percent that Kentico charges: zero with a tax id where the class says so, else the state's, else the country's.

    A class without a row for the country charges nothing there. None: the country or the tables are not known.
    """
    if place.has_tax_id and tax_class.get("TaxClassZeroIfIDSupplied"):
        return Decimal(0)
    class_id = tax_class["TaxClassID"]
    # If both are given only the state's is used: devnet.kentico.com, E-commerce guide, "Tax classes".
    if place.state is not None and (class_id, place.state) in tables.state_rates:
        return tables.state_rates[class_id, place.state]
    if place.country is None or tables.country_rates is None:
        return None
    return tables.country_rates.get((class_id, place.country), Decimal(0))


def _tax_place(addresses: Sequence[Row], customer: Row | None, tax_address: str) -> _TaxPlace:
    by_type = {row.get("AddressType"): row for row in addresses}
    # An order without shipping is taxed by its billing address, whatever the setting (docs.kentico.com, taxes).
    wanted = (_SHIPPING, _BILLING) if tax_address == "shipping" else (_BILLING,)
    address = next((by_type[kind] for kind in wanted if kind in by_type), {})
    tax_id = (customer or {}).get("CustomerTaxRegistrationID")
    return _TaxPlace(
        address.get("AddressCountryID"), address.get("AddressStateID"), bool(tax_id and str(tax_id).strip())
    )


def _place_columns(address: Row, tables: Tables) -> Row:
    country = _found(tables.countries, address.get("AddressCountryID")) or {}
    state = _found(tables.states, address.get("AddressStateID")) or {}
    return {
        "CountryName": country.get("CountryDisplayName") or country.get("CountryName"),
        "CountryTwoLetterCode": country.get("CountryTwoLetterCode"),
        "StateName": state.get("StateDisplayName") or state.get("StateName"),
        "StateCode": state.get("StateCode"),
    }


def _currency(order: Row, tables: Tables) -> Row | None:
    currency = _found(tables.currencies, order.get("OrderCurrencyID"))
    if currency is None:
        return None
    # Each site has one main currency: within its own currencies, or within the global ones where it uses those.
    main = next(
        (
            row["CurrencyCode"]
            for row in tables.currencies.values()
            if row.get("CurrencyIsMain") and row.get("CurrencySiteID") == currency.get("CurrencySiteID")
        ),
        None,
    )
    return currency | {"MainCurrencyCode": main}


def _shipping(order: Row, tables: Tables, place: _TaxPlace) -> Row | None:
    option = _found(tables.shipping_options, order.get("OrderShippingOptionID"))
    return None if option is None else option | _class_columns(option.get("ShippingOptionTaxClassID"), tables, place)


def _status_names(change: Row, tables: Tables) -> Row:
    before = _found(tables.statuses, change.get("FromStatusID")) or {}
    after = _found(tables.statuses, change.get("ToStatusID")) or {}
    return {
        "FromStatusName": before.get("StatusName"),
        "ToStatusName": after.get("StatusName"),
        "ToStatusOrderIsPaid": after.get("StatusOrderIsPaid"),
    }


def _found(table: Mapping[int, Row], key: Any) -> Row | None:
    return None if key is None else table.get(key)


def by_identity(rows: Iterable[Row], column: str) -> dict[int, Row]:
    """Rows by their identity column."""
    return {row[column]: row for row in rows if isinstance(row.get(column), int)}


def rates(rows: Iterable[Row], place_column: str) -> dict[tuple[int, int], Decimal]:
    """TaxValue by (tax class, place)."""
    return {
        (row["TaxClassID"], row[place_column]): Decimal(row["TaxValue"])
        for row in rows
        if row.get("TaxValue") is not None
    }
