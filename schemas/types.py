"""What is on the topics, as types: written by `python -m schemas.generate_types`; do not edit."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal, TypedDict


class NamedAmount(TypedDict):
    """One <Item> of a Kentico <Summary>: in the order's currency"""

    name: str
    value: Decimal


class OrderRow(TypedDict):
    OrderID: int
    OrderGUID: str | None
    OrderInvoiceNumber: str | None
    OrderDate: datetime
    OrderLastModified: datetime
    OrderSiteID: int | None
    OrderStatusID: int | None
    OrderCurrencyID: int | None
    OrderCustomerID: int | None
    OrderPaymentOptionID: int | None
    OrderShippingOptionID: int | None
    OrderTotalPrice: Decimal
    OrderTotalShipping: Decimal | None
    OrderTotalTax: Decimal
    OrderGrandTotal: Decimal
    OrderTotalPriceInMainCurrency: Decimal | None
    OrderGrandTotalInMainCurrency: Decimal | None
    OrderIsPaid: bool | None
    OrderCulture: str | None
    OrderNote: str | None
    OrderTrackingNumber: str | None
    OrderDiscounts: list[NamedAmount]
    OrderOtherPayments: list[NamedAmount]
    OrderTaxSummary: list[NamedAmount]
    OrderCouponCodes: list[str]
    custom: dict[str, str]


class OrderItem(TypedDict):
    OrderItemID: int
    OrderItemGuid: str | None
    OrderItemParentGuid: str | None
    OrderItemBundleGUID: str | None
    OrderItemSKUID: int | None
    OrderItemSKUName: str
    OrderItemUnitPrice: Decimal
    OrderItemUnitCount: Decimal
    OrderItemTotalPrice: Decimal
    OrderItemTotalPriceInMainCurrency: Decimal | None
    OrderItemProductDiscounts: list[NamedAmount]
    OrderItemDiscountSummary: list[NamedAmount]
    OrderItemText: str | None
    OrderItemLastModified: datetime | None
    OrderItemTotalTax: Decimal | None
    SKUNumber: str | None
    sku_number_shared: bool
    SKUDepartmentName: str | None
    SKUTaxClassID: int | None
    TaxClassName: str | None
    TaxClassDisplayName: str | None
    TaxRate: Decimal | None
    custom: dict[str, str]


class Address(TypedDict):
    AddressType: int
    AddressPersonalName: str | None
    AddressLine1: str | None
    AddressLine2: str | None
    AddressCity: str | None
    AddressZip: str | None
    AddressPhone: str | None
    AddressCountryID: int | None
    AddressStateID: int | None
    CountryName: str | None
    CountryTwoLetterCode: str | None
    StateName: str | None
    StateCode: str | None
    AddressLastModified: datetime | None


class Customer(TypedDict):
    CustomerID: int
    CustomerGUID: str | None
    CustomerFirstName: str
    CustomerLastName: str
    CustomerEmail: str | None
    CustomerPhone: str | None
    CustomerFax: str | None
    CustomerCompany: str | None
    CustomerTaxRegistrationID: str | None
    CustomerOrganizationID: str | None
    CustomerUserID: int | None
    CustomerSiteID: int | None
    CustomerLastModified: datetime | None
    custom: dict[str, str]


class OrderStatus(TypedDict):
    StatusID: int
    StatusName: str
    StatusDisplayName: str | None
    StatusOrderIsPaid: bool | None


class Currency(TypedDict):
    CurrencyCode: str
    CurrencyRoundTo: int
    CurrencyIsMain: bool | None
    main_currency_code: str | None


class PaymentOption(TypedDict):
    PaymentOptionID: int
    PaymentOptionName: str
    PaymentOptionDisplayName: str | None


class Shipping(TypedDict):
    ShippingOptionID: int | None
    ShippingOptionName: str | None
    ShippingOptionDisplayName: str | None
    ShippingOptionTaxClassID: int | None
    TaxClassName: str | None
    TaxClassDisplayName: str | None
    TaxRate: Decimal | None


class PaymentResult(TypedDict):
    date: datetime | None
    method: str | None
    transaction_id: str | None
    authorization_id: str | None
    completed: bool
    failed: bool
    authorized: bool
    status: str | None
    description: str | None


class StatusChange(TypedDict):
    date: datetime
    from_status: str | None
    to_status: str | None
    to_is_paid: bool | None


class RefundLine(TypedDict):
    OrderItemGUID: str
    quantity: Decimal
    amount: Decimal
    tax: Decimal


class Refund(TypedDict):
    refund_id: str
    refunded_at: datetime
    currency: str | None
    amount: Decimal
    reason: str | None
    lines: list[RefundLine]
    shipping: Decimal | None
    tender: str | None
    transaction_id: str | None


class Order(TypedDict):
    """A whole Kentico order: order, items, addresses, customer, status, currency, payment. Key: instance|OrderID"""

    instance: str
    site_name: str | None
    dialect: Literal["K13", "XBYK"]
    source: Literal["WEBHOOK", "REST", "STOREAPI", "CDC", "HINT", "REPLAY"]
    event_type: str
    event_id: str | None
    sequence: int | None
    version: datetime
    observed_at: datetime
    received_at: datetime
    traceparent: str | None
    deleted: bool
    order: OrderRow
    items: list[OrderItem]
    addresses: list[Address]
    customer: Customer | None
    status: OrderStatus | None
    currency: Currency | None
    payment_option: PaymentOption | None
    shipping: Shipping | None
    payment_result: PaymentResult | None
    status_history: list[StatusChange]
    prices_include_tax: bool | None
    refund: Refund | None


class CustomerChanged(TypedDict):
    """A customer as it is now. Key: instance|CustomerID"""

    instance: str
    site_name: str | None
    dialect: Literal["K13", "XBYK"]
    source: Literal["WEBHOOK", "REST", "STOREAPI", "CDC", "HINT", "REPLAY"]
    event_type: str
    event_id: str | None
    sequence: int | None
    version: datetime
    observed_at: datetime
    received_at: datetime
    traceparent: str | None
    deleted: bool
    customer: Customer
    addresses: list[Address]


class ProductChanged(TypedDict):
    """A product as it is now. Key: instance|SKUID"""

    instance: str
    site_name: str | None
    dialect: Literal["K13", "XBYK"]
    source: Literal["WEBHOOK", "REST", "STOREAPI", "CDC", "HINT", "REPLAY"]
    event_type: str
    event_id: str | None
    sequence: int | None
    version: datetime
    observed_at: datetime
    received_at: datetime
    traceparent: str | None
    deleted: bool
    SKUID: int
    SKUNumber: str | None
    sku_number_shared: bool
    SKUName: str
    SKUShortDescription: str | None
    SKUPrice: Decimal
    SKUEnabled: bool
    SKUProductType: str | None
    SKUParentSKUID: int | None
    SKUSiteID: int | None
    SKUDepartmentName: str | None
    SKUTaxClassID: int | None
    TaxClassName: str | None
    TaxClassDisplayName: str | None
    SKULastModified: datetime | None
    custom: dict[str, str]


class Change(TypedDict):
    """Object N changed: re-read it. Key: instance|object_type|object_id"""

    instance: str
    site_name: str | None
    object_type: str
    object_id: int
    object_guid: str | None
    event_type: str
    source: Literal["WEBHOOK", "REST", "STOREAPI", "CDC", "HINT", "REPLAY"]
    event_id: str | None
    sequence: int | None
    occurred_at: datetime | None
    received_at: datetime
    traceparent: str | None
    site_id: int | None


class Contact(TypedDict):
    key: str
    number: str
    name: str
    email: str | None
    document: str
    match_email: bool
    hash: str
    only_if_known: bool
    version: datetime | None


class Tender(TypedDict):
    ordinal: int
    account_code: str
    account_id: str
    amount: str
    date: str
    currency_rate: str | None
    bank_amount: str | None
    reference: str


class Decision(TypedDict):
    lines: int
    tax_class: str | None
    rate: str
    tax_type: str
    tax_rule: str
    account: str
    account_rule: str


class SummaryLine(TypedDict):
    account: str
    tax_type: str
    tracking: str
    net: str
    tax: str


class Summary(TypedDict):
    """An order's part of its day's summary"""

    number: str
    day: str
    closes_at: datetime
    rate: str | None
    base_total: str | None
    lines: list[SummaryLine]
    orders: int
    first_open_day: bool


class Sale(TypedDict):
    number: str
    invoice: str
    currency: str
    date: str
    total: str
    total_tax: str
    money_hash: str
    contact: Contact
    payments: list[Tender]
    items: list[str]
    decisions: list[Decision]
    on_other_money: Literal["HOLD", "REISSUE"]
    summary: Summary | None


class Item(TypedDict):
    code: str
    document: str
    hash: str
    only_if_known: bool
    version: datetime | None


class RefundNote(TypedDict):
    refund_id: str
    number: str
    credit_note: str
    currency: str
    date: str
    total: str
    total_tax: str
    payments: list[Tender]
    summary: Summary | None


class Payout(TypedDict):
    """A gateway's settlement: fees out of the clearing account, the rest to the bank"""

    settlement_id: str
    gateway: str
    marker: str
    currency: str
    date: str
    payout: str
    fees: str
    gross: str
    money_hash: str
    bank_transaction: str | None
    transaction_total: str
    transaction_tax: str
    transfer: str | None
    clearing_account: str
    bank_account: str


class Command(TypedDict):
    """What Xero shall hold. The documents are JSON text made once, because reading and writing decimals one by one
    costs 300 µs an order"""

    command_id: str
    org: str
    instance: str
    store: str | None
    order_id: str | None
    kind: Literal["SALE", "CONTACT", "ITEM", "REFUND", "CANCEL", "REBUILD", "SETTLEMENT"]
    key: str
    version: datetime
    observed_at: datetime
    received_at: datetime
    rules_version: int
    body: Sale | Contact | Item | RefundNote | Payout | None
    findings: list[str]
    source_topic: str
    source_partition: int
    source_offset: int
    replay_id: str | None
    traceparent: str | None
    on_unpaid: Literal["HOLD", "VOID", "CREDIT"]


class Result(TypedDict):
    """What became of one document, or of an order that made none"""

    org: str | None
    instance: str
    store: str | None
    order_id: str | None
    kind: str
    ordinal: int
    key: str
    outcome: Literal[
        "POSTED", "ADOPTED", "UNCHANGED", "HELD", "REFUSED", "WAITING", "SUPPRESSED", "PARKED", "CANCELLED"
    ]
    xero_id: str | None
    number: str | None
    status: str | None
    total: str | None
    total_tax: str | None
    amount_due: str | None
    currency: str | None
    version: datetime
    error_class: str | None
    error_code: str | None
    message: str | None
    hint: str | None
    findings: list[str]
    received_at: datetime | None
    at: datetime
    command_id: str | None
    traceparent: str | None
    replay_id: str | None


class Intention(TypedDict):
    step: str
    idempotency_key: str
    body_sha256: str
    intended_at: datetime
    token_id: str
    attempt: int
    hash: str
    version: datetime


class LedgerEntry(TypedDict):
    """One document's whole state: last posted and any open intention. Key: the key field"""

    org: str
    key: str
    kind: str
    ordinal: int
    state: Literal["INTENDED", "POSTED", "WAITING", "HELD", "REFUSED", "VOIDED", "COLLECTED"]
    xero_id: str | None
    number: str | None
    status: str | None
    hash: str | None
    version: datetime | None
    observed_at: datetime | None
    total: str | None
    total_tax: str | None
    currency: str | None
    contact_id: str | None
    intention: Intention | None
    command: bytes | None
    command_offset: int | None
    reason: str | None
    retry_at: datetime | None
    attempt: int
    updated_at: datetime
    extra: dict[str, str]


class Reference(TypedDict):
    """One row of an organisation's reference data; COMPLETE ends a snapshot. Key: org|kind|code"""

    org: str
    kind: Literal["ORGANISATION", "ACCOUNT", "TAX_RATE", "ITEM", "CURRENCY", "TRACKING", "CONTACT", "COMPLETE"]
    code: str
    document: str
    snapshot: str
    updated_at: datetime


class RulesVersion(TypedDict):
    """An immutable version of an organisation's business rules. Key: org|version, and org|latest for the one in
    force"""

    org: str
    version: int
    document: str
    sha256: str
    published_at: datetime
    published_by: str


class WriteBack(TypedDict):
    """Write these columns of the Kentico order. Key: instance|OrderID"""

    instance: str
    store: str | None
    order_id: str
    fields: dict[str, str]
    version: datetime
    at: datetime
    traceparent: str | None


class Token(TypedDict):
    """A rotating refresh token, encrypted. Key: app"""

    app: str
    ciphertext: bytes
    expires_at: datetime
    rotated_at: datetime
    generation: int


class Range(TypedDict):
    topic: str
    partition: int
    first: int
    end: int


class Replay(TypedDict):
    """A replay: what was chosen, from where to where, and whether it is over. Key: id. How far it is stands in its
    consumer groups"""

    id: str
    orgs: list[str]
    stores: list[str]
    orders: list[str]
    since: datetime | None
    until: datetime | None
    everything: bool
    ranges: list[Range]
    started_at: datetime
    started_by: str
    finished_at: datetime | None


class Scan(TypedDict):
    """A reading of the table that is under way, by rising identity"""

    started: datetime
    after: int
    newest: datetime | None


class Mark(TypedDict):
    """One table of Kentico: everything up to `through` is on Kafka"""

    through: datetime
    scan: Scan | None
    seen: bytes


class Known(TypedDict):
    """The orders that polling has brought, to notice what is deleted or was missed"""

    floor: int
    sites: dict[str, bytes]


class Backfill(TypedDict):
    """A history that is being brought in, or was"""

    since: str
    until: str | None
    after: int
    last: int
    total: int
    delivered: int
    refused: int
    gone: int
    requests: int
    seconds: float
    began_at: datetime
    finished_at: datetime | None


class Cursor(TypedDict):
    """How far Kentico has been read by polling. Key: instance|poll, instance|known, instance|sku|SKUID,
    instance|backfill"""

    instance: str
    at: datetime
    time_zone: str | None
    marks: dict[str, Mark]
    unfinished: dict[str, datetime]
    known: Known | None
    fresh: dict[str, list[int]]
    digest: bytes | None
    backfill: Backfill | None


class SettlementLine(TypedDict):
    type: Literal["CHARGE", "REFUND", "FEE", "ADJUSTMENT", "CHARGEBACK"]
    amount: Decimal
    fee: Decimal
    order_id: str | None
    transaction_id: str | None
    description: str | None


class Settlement(TypedDict):
    """What a payment gateway has paid out, with what it is made of. Key:
    instance|settlement/<gateway>/<settlementId>"""

    instance: str
    site_name: str | None
    source: Literal["WEBHOOK", "IMPORT"]
    event_id: str | None
    version: datetime
    observed_at: datetime
    received_at: datetime
    traceparent: str | None
    gateway: str
    settlement_id: str
    currency: str
    paid_at: datetime
    payout: Decimal
    lines: list[SettlementLine]
