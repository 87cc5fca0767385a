"""The shop's tables: Kentico 13's column names and types, as data (source: the K13 install DDL)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

Row = dict[str, Any]
"""One database row: int, bool, float, str, None, Decimal (money), or text in server-local time for datetime2(7)."""

_NAMESPACE = uuid.UUID("6f1d4a0e-8f1c-4b8e-9a55-1c1f5d1a2b10")


class Kind(Enum):
    """What a column holds; decides how it is stored, compared and printed."""

    INT = "i"
    MONEY = "m"
    TEXT = "t"
    BOOL = "b"
    GUID = "g"
    TIME = "d"
    FLOAT = "f"


@dataclass(frozen=True)
class Table:
    """A Kentico class: `name` is the REST type, `table` the inner JSON key to the letter, `plural` the outer one."""

    name: str
    table: str
    plural: str
    columns: Mapping[str, Kind]
    guid: str | None = None
    modified: str | None = None
    site: str | None = None
    code: str | None = None

    @property
    def id(self) -> str:
        """The identity column: always the first."""
        return next(iter(self.columns))


def made(name: str, table: str, plural: str, columns: str, **more: str) -> Table:
    """A table from `Column:kind …`; text needs no kind."""
    kinds = {}
    for item in columns.split():
        column, _, kind = item.partition(":")
        kinds[column] = Kind(kind or "t")
    return Table(name, table, plural, kinds, **more)


_TABLES = (
    made(
        "ecommerce.order",
        "COM_Order",
        "ecommerce_orders",
        "OrderID:i OrderShippingOptionID:i OrderTotalShipping:m OrderTotalPrice:m OrderTotalTax:m OrderDate:d"
        " OrderStatusID:i"
        " OrderCurrencyID:i OrderCustomerID:i OrderCreatedByUserID:i OrderNote OrderSiteID:i OrderPaymentOptionID:i"
        " OrderInvoice OrderInvoiceNumber OrderTrackingNumber OrderCustomData OrderPaymentResult OrderGUID:g"
        " OrderLastModified:d OrderTotalPriceInMainCurrency:m OrderIsPaid:b OrderCulture OrderDiscounts"
        " OrderGrandTotal:m OrderGrandTotalInMainCurrency:m OrderOtherPayments OrderTaxSummary OrderCouponCodes"
        # Custom columns, as an administrator adds them for the write-back and for purchase order numbers.
        " OrderXeroInvoiceNumber OrderXeroInvoiceID OrderXeroStatus OrderPONumber",
        guid="OrderGUID",
        modified="OrderLastModified",
        site="OrderSiteID",
    ),
    made(
        "ecommerce.orderitem",
        "COM_OrderItem",
        "ecommerce_orderitems",
        "OrderItemID:i OrderItemOrderID:i OrderItemSKUID:i OrderItemSKUName OrderItemUnitPrice:m OrderItemUnitCount:i"
        " OrderItemCustomData OrderItemGuid:g OrderItemParentGuid:g OrderItemLastModified:d OrderItemValidTo:d"
        " OrderItemBundleGUID:g OrderItemTotalPriceInMainCurrency:m OrderItemSendNotification:b OrderItemText"
        " OrderItemProductDiscounts OrderItemDiscountSummary OrderItemTotalPrice:m",
        guid="OrderItemGuid",
        modified="OrderItemLastModified",
    ),
    made(
        "ecommerce.orderaddress",
        "COM_OrderAddress",
        "ecommerce_orderaddresses",
        "AddressID:i AddressLine1 AddressLine2 AddressCity AddressZip AddressPhone AddressCountryID:i AddressStateID:i"
        " AddressPersonalName AddressGUID:g AddressLastModified:d AddressOrderID:i AddressType:i",
        guid="AddressGUID",
        modified="AddressLastModified",
    ),
    made(
        "ecommerce.customer",
        "COM_Customer",
        "ecommerce_customers",
        "CustomerID:i CustomerFirstName CustomerLastName CustomerEmail CustomerPhone CustomerFax CustomerCompany"
        " CustomerUserID:i CustomerGUID:g CustomerTaxRegistrationID CustomerOrganizationID CustomerLastModified:d"
        " CustomerSiteID:i CustomerCreated:d",
        guid="CustomerGUID",
        modified="CustomerLastModified",
        site="CustomerSiteID",
    ),
    made(
        "ecommerce.address",
        "COM_Address",
        "ecommerce_addresses",
        "AddressID:i AddressName AddressLine1 AddressLine2 AddressCity AddressZip AddressPhone AddressCustomerID:i"
        " AddressCountryID:i AddressStateID:i AddressPersonalName AddressGUID:g AddressLastModified:d",
        guid="AddressGUID",
        modified="AddressLastModified",
    ),
    made(
        "ecommerce.sku",
        "COM_SKU",
        "ecommerce_skus",
        "SKUID:i SKUNumber SKUName SKUDescription SKUPrice:m SKUEnabled:b SKUDepartmentID:i SKUManufacturerID:i"
        " SKUInternalStatusID:i SKUPublicStatusID:i SKUSupplierID:i SKUAvailableInDays:i SKUGUID:g SKUImagePath"
        " SKUWeight:f"
        " SKUWidth:f SKUDepth:f SKUHeight:f SKUAvailableItems:i SKUSellOnlyAvailable:b SKUCustomData"
        " SKUOptionCategoryID:i"
        " SKUOrder:i SKULastModified:d SKUCreated:d SKUSiteID:i SKUNeedsShipping:b SKUValidUntil:d SKUProductType"
        " SKUMaxItemsInOrder:i SKUValidity SKUValidFor:i SKUMembershipGUID:g SKUBundleInventoryType"
        " SKUMinItemsInOrder:i"
        " SKURetailPrice:m SKUParentSKUID:i SKUShortDescription SKUEproductFilesCount:i SKUBundleItemsCount:i"
        " SKUInStoreFrom:d SKUReorderAt:i SKUTrackInventory SKUTaxClassID:i SKUBrandID:i SKUCollectionID:i",
        guid="SKUGUID",
        modified="SKULastModified",
        site="SKUSiteID",
    ),
    made(
        "ecommerce.orderstatus",
        "COM_OrderStatus",
        "ecommerce_orderstatuses",
        "StatusID:i StatusName StatusDisplayName StatusOrder:i StatusEnabled:b StatusColor StatusGUID:g"
        " StatusLastModified:d"
        " StatusSendNotification:b StatusSiteID:i StatusOrderIsPaid:b",
        guid="StatusGUID",
        modified="StatusLastModified",
        site="StatusSiteID",
        code="StatusName",
    ),
    made(
        "ecommerce.orderstatususer",
        "COM_OrderStatusUser",
        "ecommerce_orderstatususers",
        "OrderStatusUserID:i OrderID:i FromStatusID:i ToStatusID:i ChangedByUserID:i Date:d Note",
    ),
    made(
        "ecommerce.currency",
        "COM_Currency",
        "ecommerce_currencies",
        "CurrencyID:i CurrencyName CurrencyDisplayName CurrencyCode CurrencyRoundTo:i CurrencyEnabled:b"
        " CurrencyFormatString"
        " CurrencyIsMain:b CurrencyGUID:g CurrencyLastModified:d CurrencySiteID:i",
        guid="CurrencyGUID",
        modified="CurrencyLastModified",
        site="CurrencySiteID",
        code="CurrencyName",
    ),
    made(
        "ecommerce.paymentoption",
        "COM_PaymentOption",
        "ecommerce_paymentoptions",
        "PaymentOptionID:i PaymentOptionName PaymentOptionDisplayName PaymentOptionEnabled:b PaymentOptionSiteID:i"
        " PaymentOptionPaymentGateUrl PaymentOptionAssemblyName PaymentOptionClassName"
        " PaymentOptionSucceededOrderStatusID:i PaymentOptionFailedOrderStatusID:i PaymentOptionGUID:g"
        " PaymentOptionLastModified:d PaymentOptionAllowIfNoShipping:b PaymentOptionThumbnailGUID:g"
        " PaymentOptionDescription PaymentOptionAuthorizedOrderStatusID:i",
        guid="PaymentOptionGUID",
        modified="PaymentOptionLastModified",
        site="PaymentOptionSiteID",
        code="PaymentOptionName",
    ),
    made(
        "ecommerce.shippingoption",
        "COM_ShippingOption",
        "ecommerce_shippingoptions",
        "ShippingOptionID:i ShippingOptionName ShippingOptionDisplayName ShippingOptionEnabled:b ShippingOptionSiteID:i"
        " ShippingOptionGUID:g ShippingOptionLastModified:d ShippingOptionThumbnailGUID:g ShippingOptionDescription"
        " ShippingOptionCarrierID:i ShippingOptionCarrierServiceName ShippingOptionTaxClassID:i",
        guid="ShippingOptionGUID",
        modified="ShippingOptionLastModified",
        site="ShippingOptionSiteID",
        code="ShippingOptionName",
    ),
    made(
        "ecommerce.taxclass",
        "COM_TaxClass",
        "ecommerce_taxclasses",
        "TaxClassID:i TaxClassName TaxClassDisplayName TaxClassZeroIfIDSupplied:b TaxClassGUID:g TaxClassLastModified:d"
        " TaxClassSiteID:i",
        guid="TaxClassGUID",
        modified="TaxClassLastModified",
        site="TaxClassSiteID",
        code="TaxClassName",
    ),
    made(
        "ecommerce.taxclasscountry",
        "COM_TaxClassCountry",
        "ecommerce_taxclasscountries",
        "TaxClassCountryID:i TaxClassID:i CountryID:i TaxValue:m",
    ),
    made(
        "ecommerce.taxclassstate",
        "COM_TaxClassState",
        "ecommerce_taxclassstates",
        "TaxClassStateID:i TaxClassID:i StateID:i TaxValue:m",
    ),
    made(
        "ecommerce.department",
        "COM_Department",
        "ecommerce_departments",
        "DepartmentID:i DepartmentName DepartmentDisplayName DepartmentDefaultTaxClassID:i DepartmentGUID:g"
        " DepartmentLastModified:d DepartmentSiteID:i",
        guid="DepartmentGUID",
        modified="DepartmentLastModified",
        site="DepartmentSiteID",
        code="DepartmentName",
    ),
    made(
        "ecommerce.exchangetable",
        "COM_ExchangeTable",
        "ecommerce_exchangetables",
        "ExchangeTableID:i ExchangeTableDisplayName ExchangeTableValidFrom:d ExchangeTableValidTo:d ExchangeTableGUID:g"
        " ExchangeTableLastModified:d ExchangeTableSiteID:i ExchangeTableRateFromGlobalCurrency:m",
        guid="ExchangeTableGUID",
        modified="ExchangeTableLastModified",
        site="ExchangeTableSiteID",
    ),
    made(
        "ecommerce.exchangerate",
        "COM_CurrencyExchangeRate",
        "ecommerce_exchangerates",
        # "ExchagneRateID" is Kentico's own spelling.
        "ExchagneRateID:i ExchangeRateToCurrencyID:i ExchangeRateValue:m ExchangeTableID:i ExchangeRateGUID:g"
        " ExchangeRateLastModified:d",
        guid="ExchangeRateGUID",
        modified="ExchangeRateLastModified",
    ),
    made(
        "cms.site",
        "CMS_Site",
        "cms_sites",
        "SiteID:i SiteName SiteDisplayName SiteDescription SiteStatus SiteDomainName SiteDefaultVisitorCulture"
        " SiteGUID:g"
        " SiteLastModified:d SitePresentationURL",
        guid="SiteGUID",
        modified="SiteLastModified",
        code="SiteName",
    ),
    made(
        "cms.country",
        "cms_country",
        "cms_countries",
        "CountryID:i CountryName CountryDisplayName CountryGUID:g CountryLastModified:d CountryTwoLetterCode"
        " CountryThreeLetterCode",
        guid="CountryGUID",
        modified="CountryLastModified",
        code="CountryName",
    ),
    made(
        "cms.state",
        "CMS_State",
        "cms_states",
        "StateID:i StateDisplayName StateName StateCode CountryID:i StateGUID:g StateLastModified:d",
        guid="StateGUID",
        modified="StateLastModified",
        code="StateName",
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in _TABLES}
"""Every REST type the shop serves, by class name in lower case."""

FORBIDDEN_TYPES = frozenset({"cms.user", "cms.role", "cms.settingskey", "ecommerce.giftcard", "ecommerce.creditevent"})
"""Real Kentico types left out of CMSRESTAllowedObjectTypes: the site settings (tax mode!) are not for the reader."""

ORDER = TABLES["ecommerce.order"]
ITEM = TABLES["ecommerce.orderitem"]
ORDER_ADDRESS = TABLES["ecommerce.orderaddress"]
CUSTOMER = TABLES["ecommerce.customer"]
ADDRESS = TABLES["ecommerce.address"]
SKU = TABLES["ecommerce.sku"]
HISTORY = TABLES["ecommerce.orderstatususer"]


def full_row(table: Table, **values: Any) -> Row:
    """A row with every column of the table; columns not given are NULL. Raises KeyError for a column it lacks."""
    row: Row = dict.fromkeys(table.columns)
    for column, value in values.items():
        if column not in row:
            raise KeyError(f"{table.table} has no column {column}")
        row[column] = value
    return row


def fixed_guid(*parts: object) -> str:
    """The same GUID for the same thing on every machine: lookup rows must not change between runs."""
    return str(uuid.uuid5(_NAMESPACE, "|".join(str(part) for part in parts)))
