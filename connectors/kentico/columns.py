"""Kentico 13's columns as tables: which converter reads each, and which are never carried to Kafka."""

from __future__ import annotations

from typing import Any

from connectors.kentico import xml
from connectors.kentico.errors import BadValue
from connectors.kentico.fields import (
    Columns,
    Moment,
    country,
    currency,
    flag,
    guid,
    identity,
    integer,
    maybe_currency,
    maybe_money,
    maybe_time,
    money,
    name,
    quantity,
    reference,
    text,
    time,
    words,
    yes,
)


def _summary(value: Any, _: Moment) -> Any:
    return xml.summary(value)


ORDER: Columns = {
    "OrderID": identity,
    "OrderGUID": guid,
    "OrderInvoiceNumber": text,
    "OrderDate": time,
    "OrderLastModified": time,
    "OrderSiteID": reference,
    "OrderStatusID": reference,
    "OrderCurrencyID": reference,
    "OrderCustomerID": reference,
    "OrderPaymentOptionID": reference,
    "OrderShippingOptionID": reference,
    "OrderTotalPrice": money,
    "OrderTotalShipping": maybe_money,
    "OrderTotalTax": money,
    "OrderGrandTotal": money,
    "OrderTotalPriceInMainCurrency": maybe_money,
    "OrderGrandTotalInMainCurrency": maybe_money,
    "OrderIsPaid": flag,
    "OrderCulture": text,
    "OrderNote": text,
    "OrderTrackingNumber": text,
    "OrderDiscounts": _summary,
    "OrderOtherPayments": _summary,
    "OrderTaxSummary": _summary,
}
# Read by functions of their own. OrderInvoice is 7 kB of HTML or more, and says nothing that the columns do not.
ORDER_APART = frozenset({"OrderCouponCodes", "OrderPaymentResult", "OrderCustomData", "OrderInvoice"})
# Every column of COM_Order that Kentico itself has.
KENTICO_ORDER = frozenset(ORDER) | ORDER_APART | {"OrderCreatedByUserID"}

ITEM: Columns = {
    "OrderItemID": identity,
    "OrderItemGuid": guid,
    "OrderItemParentGuid": guid,
    "OrderItemBundleGUID": guid,
    "OrderItemSKUID": reference,
    "OrderItemSKUName": words,
    "OrderItemUnitPrice": money,
    "OrderItemUnitCount": quantity,
    "OrderItemTotalPrice": money,
    "OrderItemTotalPriceInMainCurrency": maybe_money,
    "OrderItemProductDiscounts": _summary,
    "OrderItemDiscountSummary": _summary,
    "OrderItemText": text,
    "OrderItemLastModified": maybe_time,
    "OrderItemTotalTax": maybe_money,
    "SKUNumber": text,
    "sku_number_shared": yes,
    "SKUDepartmentName": text,
    "SKUTaxClassID": reference,
    "TaxClassName": text,
    "TaxClassDisplayName": text,
    "TaxRate": maybe_money,
}
ITEM_APART = frozenset({"OrderItemOrderID", "OrderItemCustomData"})

ADDRESS: Columns = {
    "AddressType": integer,
    "AddressPersonalName": text,
    "AddressLine1": text,
    "AddressLine2": text,
    "AddressCity": text,
    "AddressZip": text,
    "AddressPhone": text,
    "AddressCountryID": reference,
    "AddressStateID": reference,
    "CountryName": text,
    "CountryTwoLetterCode": country,
    "StateName": text,
    "StateCode": text,
    "AddressLastModified": maybe_time,
}

CUSTOMER: Columns = {
    "CustomerID": identity,
    "CustomerGUID": guid,
    "CustomerFirstName": words,
    "CustomerLastName": words,
    "CustomerEmail": text,
    "CustomerPhone": text,
    "CustomerFax": text,
    "CustomerCompany": text,
    "CustomerTaxRegistrationID": text,
    "CustomerOrganizationID": text,
    "CustomerUserID": reference,
    "CustomerSiteID": reference,
    "CustomerLastModified": maybe_time,
}
CUSTOMER_APART = frozenset({"CustomerCreated"})

STATUS: Columns = {
    "StatusID": identity,
    "StatusName": name,
    "StatusDisplayName": text,
    "StatusOrderIsPaid": flag,
}


_MOST_DECIMALS = 9


def _decimals(value: Any, moment: Moment) -> int:
    """CurrencyRoundTo is nullable, 2 by default; money has nine decimals."""
    found = 2 if value is None else integer(value, moment)
    if not 0 <= found <= _MOST_DECIMALS:
        raise BadValue(f"{found} is no number of decimals (0 to {_MOST_DECIMALS})")
    return found


CURRENCY: Columns = {
    "CurrencyCode": currency,
    "CurrencyRoundTo": _decimals,
    "CurrencyIsMain": flag,
    "MainCurrencyCode": maybe_currency,
}

PAYMENT_OPTION: Columns = {
    "PaymentOptionID": identity,
    "PaymentOptionName": name,
    "PaymentOptionDisplayName": text,
}

SHIPPING_OPTION: Columns = {
    "ShippingOptionID": reference,
    "ShippingOptionName": text,
    "ShippingOptionDisplayName": text,
    "ShippingOptionTaxClassID": reference,
    "TaxClassName": text,
    "TaxClassDisplayName": text,
    "TaxRate": maybe_money,
}

HISTORY: Columns = {
    "Date": time,
    "FromStatusID": reference,
    "ToStatusID": reference,
    "FromStatusName": text,
    "ToStatusName": text,
    "ToStatusOrderIsPaid": flag,
}

REFUND: Columns = {
    "refundId": name,
    "refundedAt": time,
    "currency": maybe_currency,
    "amount": money,
    "reason": text,
    "shipping": maybe_money,
    "tender": text,
    "transactionId": text,
}
REFUND_LINE: Columns = {"OrderItemGUID": name, "quantity": quantity, "amount": money, "tax": money}

SKU: Columns = {
    "SKUID": identity,
    "SKUNumber": text,
    "sku_number_shared": yes,
    "SKUName": words,
    "SKUShortDescription": text,
    "SKUPrice": money,
    "SKUEnabled": flag,
    "SKUProductType": text,
    "SKUParentSKUID": reference,
    "SKUSiteID": reference,
    "SKUDepartmentName": text,
    "SKUTaxClassID": reference,
    "TaxClassName": text,
    "TaxClassDisplayName": text,
    "SKULastModified": maybe_time,
}
# Stock, shop window and packaging: they change with every sale and no accountant asks for them.
SKU_APART = frozenset(
    {
        "SKUDescription",
        "SKUImagePath",
        "SKUAvailableItems",
        "SKUAvailableInDays",
        "SKUWeight",
        "SKUWidth",
        "SKUDepth",
        "SKUHeight",
        "SKUOrder",
        "SKUCreated",
        "SKUInStoreFrom",
        "SKUReorderAt",
        "SKUTrackInventory",
        "SKUSellOnlyAvailable",
        "SKUNeedsShipping",
        "SKUCustomData",
        "SKUGUID",
        "SKUEproductFilesCount",
        "SKUBundleItemsCount",
    }
)
# Without these an order cannot be booked: a sender that leaves one out sends a hint.
ORDER_ESSENTIAL = (
    "OrderDate",
    "OrderLastModified",
    "OrderTotalPrice",
    "OrderTotalTax",
    "OrderGrandTotal",
    "OrderTotalShipping",
    "OrderIsPaid",
    "OrderTaxSummary",
    "OrderOtherPayments",
    "OrderDiscounts",
    "OrderPaymentResult",
)
# The same of Xperience by Kentico, under the names above.
XBYK_ESSENTIAL = ("OrderDate", "OrderLastModified", "OrderTotalPrice", "OrderTotalTax", "OrderGrandTotal")
