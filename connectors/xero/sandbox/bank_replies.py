"""Bank transactions and bank transfers as Xero shows them. Source: Xero's own pages of the two resources."""

from __future__ import annotations

from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.document_replies import line
from connectors.xero.sandbox.documents import BankTransaction, BankTransfer
from connectors.xero.sandbox.replies import Form, Json, contact, contact_brief, days, stamp, stamp_text


def transaction(row: BankTransaction, books: Books, form: Form, unitdp: int, *, lines: bool = True) -> Json:
    """Money spent or received; `lines` False: as a list without pages shows it."""
    account = books.org.accounts_by_id[row.account_id]
    body: Json = {
        "BankTransactionID": row.id,
        "BankAccount": {"AccountID": account.id, "Code": account.code, "Name": account.name},
        "Type": row.type,
        "Reference": row.reference,
        "IsReconciled": row.is_reconciled,
        "HasAttachments": False,
    }
    if row.contact_id:
        who = books.contacts[row.contact_id]
        body["Contact"] = contact_brief(who) if form == "list" else contact(who, "write")
    body |= days("Date", row.date)
    body |= {
        "Status": row.status,
        "LineAmountTypes": row.line_amount_types,
        "LineItems": [line(one, books, form, unitdp) for one in row.lines] if lines else [],
        "SubTotal": float(row.sub_total),
        "TotalTax": float(row.total_tax),
        "Total": float(row.total),
        "UpdatedDateUTC": stamp(row.updated),
        "CurrencyCode": row.currency,
    }
    if row.currency != books.org.base_currency:
        body["CurrencyRate"] = float(row.currency_rate)
    return body


def transfer(row: BankTransfer, books: Books, form: Form) -> Json:
    """A transfer; a list names its accounts without their codes."""
    accounts = books.org.accounts_by_id
    body: Json = {
        "BankTransferID": row.id,
        "CreatedDateUTCString": stamp_text(row.updated),
        "CreatedDateUTC": stamp(row.updated),
        **days("Date", row.date),
        "Amount": float(row.amount),
        "FromBankTransactionID": row.from_transaction,
        "ToBankTransactionID": row.to_transaction,
        "FromIsReconciled": False,
        "ToIsReconciled": False,
        "Reference": row.reference,
        "HasAttachments": False,
        "Status": row.status,
    }
    for key, id_ in (("FromBankAccount", row.from_account), ("ToBankAccount", row.to_account)):
        account = accounts[id_]
        code: Json = {} if form == "list" else {"Code": account.code}
        body[key] = {"AccountID": id_, **code, "Name": account.name}
    if form != "list":
        body["CurrencyRate"] = float(row.currency_rate)
    return body
