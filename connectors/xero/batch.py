"""The exact bytes of a call: elements spliced from the commands' own JSON, so that no decimal is read and written anew.

Guarantees: equal documents give equal bytes; the Idempotency-Key names lane, attempt and bytes, so no two different
requests share one, and no attempt after a read-back meets the answer that Xero keeps under an old key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from connectors.xero.calls import Call
from connectors.xero.core.state import UNNUMBERED, Document, Step
from schemas.types import RefundNote, Sale, Tender

# method, collection, purpose. PUT creates only; POST upserts (xero.md §0.4).
WRITES: Mapping[Step, tuple[str, str, str]] = {
    Step.CONTACT: ("POST", "Contacts", "contacts"),
    Step.ITEM: ("POST", "Items", "items"),
    Step.INVOICE: ("PUT", "Invoices", "invoices"),
    Step.PAYMENT: ("PUT", "Payments", "payments"),
    Step.CREDIT_NOTE: ("PUT", "CreditNotes", "credit_notes"),
    Step.REFUND: ("PUT", "Payments", "refunds"),
    Step.BANK_TRANSACTION: ("PUT", "BankTransactions", "bank_transactions"),
    Step.BANK_TRANSFER: ("PUT", "BankTransfers", "bank_transfers"),
    Step.VOID: ("POST", "Invoices", "voids"),
    Step.ALLOCATION: ("PUT", "Allocations", "allocations"),
}
_QUERY = {
    Step.CONTACT: (("summarizeErrors", "false"),),
    Step.PAYMENT: (("summarizeErrors", "false"),),
    Step.REFUND: (("summarizeErrors", "false"),),
    Step.ITEM: (("summarizeErrors", "false"), ("unitdp", "4")),
    Step.INVOICE: (("summarizeErrors", "false"), ("unitdp", "4")),
    Step.CREDIT_NOTE: (("summarizeErrors", "false"), ("unitdp", "4")),
    Step.BANK_TRANSACTION: (("summarizeErrors", "false"), ("unitdp", "4")),
    Step.BANK_TRANSFER: (),
    Step.VOID: (("summarizeErrors", "false"),),
    Step.ALLOCATION: (("summarizeErrors", "false"),),
}
ALONE = (Step.CREDIT_NOTE, Step.REFUND, Step.ALLOCATION, *UNNUMBERED)
"""Steps whose documents are read back one by one."""
ONE_A_CALL = (Step.BANK_TRANSFER, Step.ALLOCATION)
"""Of transfers, which know no summarizeErrors, one refused would hide the ids of those that were made; allocations go
to their credit note's own address."""
DAY_PAGE = 1000
"""Bank transactions of a day that one page holds, Xero's most."""
_REFERENCE_ROOM = 100  # characters: the real limit of Payment.Reference is not documented (xero.md §4.5)


def write_call(step: Step, documents: Sequence[Document], deadline: float, org: str, nonce: str, serial: int) -> Call:
    """One write of up to a batch of documents. `nonce` is the lane's own, `serial` grows with every new attempt."""
    method, path, purpose = WRITES[step]
    body = f'{{"{path}":[{",".join(d.element for d in documents)}]}}'.encode()
    if step is Step.ALLOCATION:
        path = f"CreditNotes/{documents[0].jobs[0].target_id}/{path}"
    key = _key(org, nonce, serial, method, path, body)
    return Call(method, path, _QUERY[step], body, key, deadline=deadline, purpose=purpose)


def lookup_call(step: Step, documents: Sequence[Document], deadline: float) -> Call:
    """The read that decides what became of these documents."""
    if step is Step.CONTACT:
        query = (("IDs", ",".join(str(d.parts["ContactID"]) for d in documents)), ("includeArchived", "true"))
        return Call("GET", "Contacts", query, deadline=deadline, purpose="read_back")
    if step in UNNUMBERED:
        return _day_call(step, documents[0], deadline)
    paged = (("page", "1"), ("pageSize", "100"), ("unitdp", "4"))  # only a paged list shows the lines
    if step is Step.ALLOCATION:
        path = f"CreditNotes/{documents[0].jobs[0].target_id}"
        return Call("GET", path, (("unitdp", "4"),), deadline=deadline, purpose="read_back")
    if step in ALONE:
        # By Reference, which holds the credit note's number: the one filter on its own words that Xero indexes (xero.md
        # §1.7), and a list, so that what is not there is an empty answer and no 404.
        where = f'Reference=="{_quoted(credit_number(documents[0]))}"'
        return Call("GET", "CreditNotes", (("where", where), *paged), deadline=deadline, purpose="read_back")
    if step in (Step.PAYMENT, Step.VOID):
        ids = ",".join(dict.fromkeys(d.jobs[0].target_id or "" for d in documents))
        return Call("GET", "Invoices", (("IDs", ids), *paged), deadline=deadline, purpose="read_back")
    if len(documents) == 1 and "," in documents[0].natural:
        where = f'InvoiceNumber=="{_quoted(documents[0].natural)}"'
        return Call("GET", "Invoices", (("where", where), *paged), deadline=deadline, purpose="read_back")
    numbers = ",".join(d.natural for d in documents)
    return Call("GET", "Invoices", (("InvoiceNumbers", numbers), *paged), deadline=deadline, purpose="read_back")


def _day_call(step: Step, document: Document, deadline: float) -> Call:
    """What Xero has on the document's day. By date, which is indexed, and by nothing else: a filter on Reference has
    been seen to match nothing, without a word (xero.md §1.7). In the order of ids, which no edit changes."""
    year, month, day = str(document.parts["date"]).split("-")
    where = ("where", f"Date==DateTime({year},{month},{day})")
    if step is Step.BANK_TRANSFER:  # not paged
        return Call("GET", "BankTransfers", (where,), deadline=deadline, purpose="read_back")
    page = (("page", str(document.parts.get("page", 1))), ("pageSize", str(DAY_PAGE)), ("unitdp", "4"))
    query = (where, ("order", "BankTransactionID"), *page)
    return Call("GET", "BankTransactions", query, deadline=deadline, purpose="read_back")


def invoice_element(sale: Sale, number: str, contact_id: str) -> str:
    """The command's invoice, number and contact in front. Only the ContactID: more would rewrite the contact."""
    return _spliced({"InvoiceNumber": number, "Contact": {"ContactID": contact_id}}, sale["invoice"])


def credit_element(note: RefundNote, number: str, contact_id: str) -> str:
    """The command's credit note, likewise; its Reference is its number, by which it is read back."""
    head = {"CreditNoteNumber": number, "Reference": number, "Contact": {"ContactID": contact_id}}
    return _spliced(head, note["credit_note"])


def credit_number(document: Document) -> str:
    """The number of a credit note, or of the one that a refund's payment is for."""
    return document.natural if document.step is Step.CREDIT_NOTE else document.natural.rsplit("/", 1)[0]


def _spliced(head: Mapping[str, Any], document: str) -> str:
    rest = document.strip()[1:]
    return orjson.dumps(head).decode()[:-1] + ("," if rest.strip() != "}" else "") + rest


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def payment_element(step: Step, tender: Tender, target_id: str, reference: str) -> str:
    """A tender as a payment of an invoice, or of a credit note; the amount is the command's own text."""
    target = (
        {"Invoice": {"InvoiceID": target_id}} if step is Step.PAYMENT else {"CreditNote": {"CreditNoteID": target_id}}
    )
    account = {"AccountID": tender["account_id"]} if tender["account_id"] else {"Code": tender["account_code"]}
    head = {**target, "Account": account, "Date": tender["date"], "Reference": reference}
    numbers = [f'"Amount":{tender["amount"]}']
    if tender["currency_rate"]:
        numbers.append(f'"CurrencyRate":{tender["currency_rate"]}')
    if tender["bank_amount"]:
        numbers.append(f'"BankAmount":{tender["bank_amount"]}')
    return orjson.dumps(head).decode()[:-1] + "," + ",".join(numbers) + "}"


def void_element(invoice_id: str) -> str:
    """By id, so that nothing but the status is written."""
    return json_text({"InvoiceID": invoice_id, "Status": "VOIDED"})


def allocation_element(amount: str, invoice_id: str, date: str) -> str:
    """Of a credit note, which the call's address names; the amount is decimal text."""
    head = orjson.dumps({"Invoice": {"InvoiceID": invoice_id}, "Date": date}).decode()
    return f'{head[:-1]},"Amount":{amount}}}'


def marker(number: str, ordinal: int) -> str:
    """What a payment is found by: the first token of its Reference."""
    return f"{number}/{ordinal}"


def reference(number: str, tender: Tender) -> str:
    """The whole Reference of a payment."""
    return f"{marker(number, tender['ordinal'])} {tender['reference']}".strip()[:_REFERENCE_ROOM]


def json_text(value: Mapping[str, Any]) -> str:
    """A document that holds no decimals (contacts, items read from JSON text stay text)."""
    return orjson.dumps(value).decode()


def digest(text: str) -> str:
    """A short hash of an element."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _key(org: str, nonce: str, serial: int, method: str, path: str, body: bytes) -> str:
    sha = hashlib.sha256(b"\0".join([org.encode(), method.encode(), path.encode(), body])).hexdigest()
    return f"k2x-{nonce[:24]}-{serial}-{sha[:48]}"
