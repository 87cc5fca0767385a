"""Xero's JSON, key for key: what each resource looks like in a list, alone, after a write, and refused.

Sources: reference/xero-data.md §3.

Money is computed in Decimal and becomes a JSON number only here; up to 15 digits a double prints exactly the same
digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.chart import CURRENCY_NAMES, Account, Organisation, TaxRate, Tracking
from connectors.xero.sandbox.clock import midnight_ms
from connectors.xero.sandbox.contacts import ADDRESS_TYPES, PHONE_TYPES
from connectors.xero.sandbox.documents import Contact, Item
from connectors.xero.sandbox.errors import ZERO_ID

Json = dict[str, Any]
Form = Literal["list", "one", "write"]


def stamp(ms: int) -> str:
    """A moment."""
    return f"/Date({ms}+0000)/"


def stamp_text(ms: int) -> str:
    """The same, ISO, cut to seconds."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def days(key: str, day: date | None) -> Json:
    """A day and its text twin; nothing when there is none."""
    if day is None:
        return {}
    return {f"{key}String": f"{day.isoformat()}T00:00:00", key: stamp(midnight_ms(day))}


def envelope(id_: str, app_name: str, ms: int, plural: str, rows: list[Any], pagination: Json | None = None) -> Json:
    """The frame round every collection; its DateTimeUTC has no offset, as recorded."""
    frame: Json = {"Id": id_, "Status": "OK", "ProviderName": app_name, "DateTimeUTC": f"/Date({ms})/"}
    if pagination is not None:
        frame["pagination"] = pagination
    frame[plural] = rows
    return frame


def messages(texts: Iterable[str]) -> list[Json]:
    """A ValidationErrors or Warnings array."""
    return [{"Message": one} for one in texts]


# -- contacts


def contact(row: Contact, form: Form, books: Books | None = None) -> Json:
    """A whole contact. GET adds HasAttachments and, where there are any, balances."""
    fields = row.fields
    body: Json = {"ContactID": row.id}
    if row.number:
        body["ContactNumber"] = row.number
    if number := fields.get("AccountNumber"):
        body["AccountNumber"] = number
    body |= {"ContactStatus": row.status, "Name": row.name}
    if row.merged_to:
        body["MergedToContactID"] = row.merged_to
    for key, value in fields.items():
        if key not in {"AccountNumber", "BankAccountDetails"}:
            body[key] = value
    body["BankAccountDetails"] = fields.get("BankAccountDetails", "")
    body["Addresses"] = [_address(kind, row.addresses.get(kind)) for kind in ADDRESS_TYPES]
    body["Phones"] = [_phone(kind, row.phones.get(kind)) for kind in PHONE_TYPES]
    body |= {
        "UpdatedDateUTC": stamp(row.updated),
        "ContactGroups": [],
        "IsSupplier": row.is_supplier,
        "IsCustomer": row.is_customer,
        "SalesTrackingCategories": [],
        "PurchasesTrackingCategories": [],
        "ContactPersons": row.persons,
    }
    if form != "write":
        if books is not None and (balances := _balances(books, row)):
            body["Balances"] = balances
        body["HasAttachments"] = False
    body["HasValidationErrors"] = False
    return body


def _address(kind: str, parts: dict[str, str] | None) -> Json:
    return {"AddressType": kind, "City": "", "Region": "", "PostalCode": "", "Country": ""} | (parts or {})


def _phone(kind: str, parts: dict[str, str] | None) -> Json:
    return {"PhoneType": kind, "PhoneNumber": "", "PhoneAreaCode": "", "PhoneCountryCode": ""} | (parts or {})


def _balances(books: Books, row: Contact) -> Json:
    today = books.clock.today(books.org.zone)
    sums = {True: [Decimal(0), Decimal(0)], False: [Decimal(0), Decimal(0)]}
    for id_ in books.documents_by_contact.get(row.id, ()):
        document = books.invoices.get(id_)
        if document is not None and document.status == "AUTHORISED":
            side = sums[document.is_sales]
            side[0] += document.outstanding
            if document.due_date is not None and document.due_date < today:
                side[1] += document.outstanding
    if not any(sums[True] + sums[False]):
        return {}
    return {
        "AccountsReceivable": {"Outstanding": float(sums[True][0]), "Overdue": float(sums[True][1])},
        "AccountsPayable": {"Outstanding": float(sums[False][0]), "Overdue": float(sums[False][1])},
    }


def contact_brief(row: Contact) -> Json:
    """The contact inside a document of a list."""
    body: Json = {"ContactID": row.id}
    if row.number:
        body["ContactNumber"] = row.number
    return body | {
        "Name": row.name,
        "Addresses": [],
        "Phones": [],
        "ContactGroups": [],
        "ContactPersons": [],
        "HasValidationErrors": False,
    }


# -- reference data


def item(row: Item, form: Form) -> Json:
    """An item; without purchase or sales data the details are {}."""
    body: Json = {"ItemID": row.id, "Code": row.code}
    if form != "write" and row.description:
        body["Description"] = row.description
    if row.purchase_description:
        body["PurchaseDescription"] = row.purchase_description
    body["UpdatedDateUTC"] = f"/Date({row.updated})/" if form == "write" else stamp(row.updated)
    if row.inventory_account:
        body["InventoryAssetAccountCode"] = row.inventory_account
    body |= {
        "PurchaseDetails": _details(row.purchase),
        "SalesDetails": _details(row.sales),
        "Name": row.name,
        "IsTrackedAsInventory": bool(row.inventory_account),
        "IsSold": row.is_sold,
        "IsPurchased": row.is_purchased,
    }
    if form == "write":
        if row.description:
            body["Description"] = row.description
        body["ValidationErrors"] = []
    return body


def _details(details: Json) -> Json:
    return {key: float(value) if isinstance(value, Decimal) else value for key, value in details.items()}


def account(row: Account, ms: int) -> Json:
    """An account; ordinary ones carry an empty SystemAccount."""
    body: Json = {
        "AccountID": row.id,
        "Code": row.code,
        "Name": row.name,
        "Status": row.status,
        "Type": row.type,
        "TaxType": row.tax_type,
        "Class": row.class_,
        "EnablePaymentsToAccount": row.pay,
        "ShowInExpenseClaims": False,
    }
    if row.type == "BANK":
        digits = str(int(row.id.replace("-", "")[:12], 16))[:10]
        body |= {"BankAccountNumber": digits, "BankAccountType": "BANK", "CurrencyCode": row.currency}
    else:
        body |= {"SystemAccount": row.system, "BankAccountType": "NONE"}
    reporting = {"ASSET": "ASS", "LIABILITY": "LIA", "EQUITY": "EQU", "REVENUE": "REV", "EXPENSE": "EXP"}[row.class_]
    return body | {
        "ReportingCode": reporting,
        "ReportingCodeName": row.class_.capitalize(),
        "HasAttachments": False,
        "UpdatedDateUTC": stamp(ms),
        "AddToWatchlist": False,
    }


# OUTPUT2 and INPUT2 are recorded (NZ); the others are the values of the API's enumeration that carry their names.
REPORT_TYPES = {
    "OUTPUT2": "OUTPUT",
    "INPUT2": "INPUT",
    "RROUTPUT": "OUTPUT",
    "RRINPUT": "INPUT",
    "ECZROUTPUT": "ECOUTPUT",
    "ECZROUTPUTSERVICES": "ECOUTPUTSERVICES",
    "ECZRACQUISITIONS": "ECACQUISITIONS",
    "DRCHARGE20": "DRCHARGE",
    "DRCHARGE5": "DRCHARGE",
    "DRCHARGESUPPLY20": "DRCHARGESUPPLY",
    "DRCHARGESUPPLY5": "DRCHARGESUPPLY",
    "CAPEXOUTPUT2": "CAPITALSALESOUTPUT",
    "CAPEXINPUT2": "CAPITALEXPENSESINPUT",
}


def tax_rate(row: TaxRate, tax_name: str) -> Json:
    """A tax rate; own rates (TAX0nn) carry no ReportTaxType, as recorded."""
    body: Json = {"Name": row.name, "TaxType": row.type}
    if not row.type.startswith("TAX0"):
        body["ReportTaxType"] = REPORT_TYPES.get(row.type, row.type)
    percent = float(row.percent)
    return body | {
        "CanApplyToAssets": "A" in row.applies,
        "CanApplyToEquity": "E" in row.applies,
        "CanApplyToExpenses": "X" in row.applies,
        "CanApplyToLiabilities": "L" in row.applies,
        "CanApplyToRevenue": "R" in row.applies,
        "DisplayTaxRate": percent,
        "EffectiveRate": percent,
        "Status": row.status,
        "TaxComponents": [{"Name": tax_name, "Rate": percent, "IsCompound": False, "IsNonRecoverable": False}],
    }


def currency(code: str) -> Json:
    """An enabled currency."""
    return {"Code": code, "Description": CURRENCY_NAMES.get(code, code)}


def tracking(row: Tracking) -> Json:
    """A tracking category with its options."""
    options = [
        {"TrackingOptionID": id_, "Name": name, "Status": "ACTIVE", "HasValidationErrors": False}
        for name, id_ in row.options.items()
    ]
    return {"Name": row.name, "Status": "ACTIVE", "TrackingCategoryID": row.id, "Options": options}


def organisation(org: Organisation, created_ms: int) -> Json:
    """The organisation; an unset lock date is absent."""
    body: Json = {
        "Name": org.name,
        "LegalName": org.name,
        "PaysTax": True,
        "Version": org.version,
        "OrganisationType": "COMPANY",
        "BaseCurrency": org.base_currency,
        "CountryCode": org.country,
        "IsDemoCompany": True,
        "OrganisationStatus": "ACTIVE",
        "TaxNumber": "101-2-303",
        "FinancialYearEndDay": org.year_end[0],
        "FinancialYearEndMonth": org.year_end[1],
        "SalesTaxBasis": "ACCRUALS",
        "SalesTaxPeriod": "3MONTHLY",
        "DefaultSalesTax": "Remember previous",
        "DefaultPurchasesTax": "Remember previous",
    }
    if org.period_lock_date is not None:
        body["PeriodLockDate"] = stamp(midnight_ms(org.period_lock_date))
    if org.end_of_year_lock_date is not None:
        body["EndOfYearLockDate"] = stamp(midnight_ms(org.end_of_year_lock_date))
    return body | {
        "CreatedDateUTC": f"/Date({created_ms})/",
        "OrganisationEntityType": "COMPANY",
        "Timezone": org.timezone,
        "ShortCode": "!" + org.id.replace("-", "")[:5].upper(),
        "OrganisationID": org.id,
        "Edition": "BUSINESS",
        "Class": "DEMO",
        "Addresses": [],
        "Phones": [],
        "ExternalLinks": [],
        "PaymentTerms": {},
    }


def actions(org: Organisation) -> list[Json]:
    """GET /Organisation/Actions."""
    allowed = {
        "UseMulticurrency": len(org.currencies) > 1,
        "CreateApprovedInvoice": True,
        "CreateDraftInvoice": True,
        "CreateCreditNote": True,
        "CreateContact": True,
        "CreateItem": True,
    }
    return [{"Name": name, "Status": "ALLOWED" if yes else "NOT-ALLOWED"} for name, yes in allowed.items()]


# -- refused elements


def refused(plural: str, element: Json, errors: list[str], nested: list[str], *, marked: bool) -> Json:
    """A refused element: the echo of what was sent, the zero id, and the errors (those of the contact inside it).

    `marked` adds StatusAttributeString, which only summarizeErrors=false shows.
    """
    echo: Json = _echo(element)
    body: Json
    if plural == "Contacts":
        body = {"ContactID": echo.pop("ContactID", ZERO_ID)} | echo
        for key in ("Addresses", "Phones", "ContactGroups", "ContactPersons"):
            body.setdefault(key, [])
        body["HasValidationErrors"] = True
    elif plural in {"BankTransactions", "BankTransfers"}:
        body = {f"{plural[:-1]}ID": ZERO_ID, **echo}
    elif plural == "Payments":
        body = echo | {"HasValidationErrors": True}
    elif plural == "Items":
        body = {"ItemID": echo.pop("ItemID", ZERO_ID)} | echo
    elif plural in {"Invoices", "CreditNotes"}:
        body = _refused_document(plural, echo, nested)
    else:
        body = echo
    if marked:
        body["StatusAttributeString"] = "ERROR"
    body["ValidationErrors"] = messages(errors)
    return body


def _refused_document(plural: str, echo: Json, nested: list[str]) -> Json:
    id_key = "InvoiceID" if plural == "Invoices" else "CreditNoteID"
    body: Json = {"Type": echo.pop("Type", None), id_key: echo.pop(id_key, ZERO_ID)}
    for key in ("Payments", "CreditNotes", "Prepayments", "Overpayments", "InvoiceAddresses", "InvoicePaymentServices"):
        body[key] = []
    body |= {"IsDiscounted": False, "HasErrors": True}
    who = echo.pop("Contact", None)
    if isinstance(who, dict):
        for key in ("Addresses", "Phones", "ContactGroups", "ContactPersons"):
            who.setdefault(key, [])
        body["Contact"] = who | {"HasValidationErrors": bool(nested), "ValidationErrors": messages(nested)}
    for key in ("Date", "DueDate"):
        value = echo.pop(key, None)
        if isinstance(value, str) and len(value) >= 10 and value[4:5] == "-":
            body |= days(key, date.fromisoformat(value[:10]))
    return {key: value for key, value in (body | echo).items() if value is not None}


def _echo(value: Any) -> Any:
    """What was sent, numbers as JSON numbers, nulls left out."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _echo(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_echo(one) for one in value]
    return value
