"""From an answer to its documents: which element is whose. Order is unproven at Xero, so numbers and markers decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from connectors.xero import batch as bodies
from connectors.xero.core.state import MONEY, UNNUMBERED, Document, Step
from connectors.xero.outcomes import Element, read

ID = {
    Step.CONTACT: "ContactID",
    Step.ITEM: "ItemID",
    Step.INVOICE: "InvoiceID",
    Step.PAYMENT: "PaymentID",
    Step.CREDIT_NOTE: "CreditNoteID",
    Step.REFUND: "PaymentID",
    Step.BANK_TRANSACTION: "BankTransactionID",
    Step.BANK_TRANSFER: "BankTransferID",
    Step.VOID: "InvoiceID",
    Step.ALLOCATION: "AllocationID",
}
# Where a read-back shows what has become of a document: collection, number or id, what is left.
_LISTED = {
    Step.INVOICE: ("Invoices", "InvoiceNumber"),
    Step.CHECK: ("Invoices", "InvoiceNumber"),
    Step.CREDIT_NOTE: ("CreditNotes", "CreditNoteNumber"),
}
_PAID = {
    Step.PAYMENT: ("Invoices", "InvoiceID", "AmountDue"),
    Step.REFUND: ("CreditNotes", "CreditNoteID", "RemainingCredit"),
}
_NUMBER = {
    Step.INVOICE: "InvoiceNumber",
    Step.ITEM: "Code",
    Step.CREDIT_NOTE: "CreditNoteNumber",
    Step.VOID: "InvoiceID",
}


def written(step: Step, documents: Sequence[Document], body: Any) -> Iterator[tuple[Document, Element | None]]:
    """Each document with its element of a write's answer; None where the answer has none for it, or one that says
    neither that it is there nor why not (xero.md §1.6)."""
    rows = elements(body, bodies.WRITES[step][1])
    if step in bodies.ONE_A_CALL:
        rows = rows or elements(body, "Elements")  # of a 400, which lists what is refused
        rows = [{"Reference": documents[0].natural, **row} for row in rows]  # one was sent, and it is this one
    if step is Step.ALLOCATION:  # one was sent; that its answer shows an id is not documented
        yield documents[0], read(rows[0], ID[step]) if rows else None
        return
    index: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        for name in _names(step, row):
            index.setdefault(name, []).append(row)
    for document in documents:
        found = next((index[name] for name in _wanted(document) if name in index), [])
        chosen = _choose(step, found)
        element = read(chosen, ID[step]) if chosen is not None else None
        yield document, element if element is not None and (element.id or element.errors) else None


def elements(body: Any, collection: str) -> list[Mapping[str, Any]]:
    """The collection of an envelope, [] where there is none."""
    rows = body.get(collection) if isinstance(body, Mapping) else None
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def numbered(documents: Sequence[Document], body: Any) -> Iterator[tuple[Document, Mapping[str, Any] | None]]:
    """Each invoice or credit note with the one that Xero has under its number: a living one before a voided one."""
    sales, number = _LISTED[documents[0].step]
    rows = [row for row in elements(body, sales) if row.get("Type") in (None, "ACCREC", "ACCRECCREDIT")]
    rows.sort(key=lambda row: row.get("Status") in ("VOIDED", "DELETED"))
    index: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        index.setdefault(_fold(row.get(number)), row)
    for document in documents:
        yield document, index.get(document.natural.casefold())


def payments(
    documents: Sequence[Document], body: Any
) -> Iterator[tuple[Document, Mapping[str, Any] | None, Decimal | None]]:
    """Each payment with the living one on its document that has its marker, and what the document still has due."""
    collection, id_, left = _PAID[documents[0].step]
    rows = {_fold(row.get(id_)): row for row in elements(body, collection)}
    for document in documents:
        target = rows.get(_fold(document.jobs[0].target_id))
        due = None if target is None or target.get(left) is None else Decimal(str(target[left]))
        yield document, paid(target, document.natural), due


def paid(document: Mapping[str, Any] | None, marker: str) -> Mapping[str, Any] | None:
    """The living payment of an invoice or a credit note that has this marker."""
    return next((row for row in living(document) if _marker(row) == marker.casefold()), None)


def living(document: Any) -> list[Mapping[str, Any]]:
    """The payments of an invoice or a credit note that nobody has deleted."""
    return [row for row in elements(document, "Payments") if row.get("Status") != "DELETED"]


def allocated(document: Document, body: Any, invoice_id: str) -> list[Mapping[str, Any]] | None:
    """What of a credit note is allocated to this invoice; None where it is not shown."""
    rows = {_fold(row.get("CreditNoteID")): row for row in elements(body, "CreditNotes")}
    note = rows.get(_fold(document.jobs[0].target_id))
    if note is None or not isinstance(note.get("Allocations"), list):
        return None
    return allocations(note, invoice_id)


def allocations(note: Any, invoice_id: str) -> list[Mapping[str, Any]]:
    """Of a credit note as Xero shows it, to this invoice."""
    wanted = _fold(invoice_id)
    return [x for x in elements(note, "Allocations") if _fold((x.get("Invoice") or {}).get("InvoiceID")) == wanted]


def by_id(documents: Sequence[Document], body: Any) -> Iterator[tuple[Document, Mapping[str, Any] | None]]:
    """Each with the invoice of its job's target."""
    rows = {_fold(row.get("InvoiceID")): row for row in elements(body, "Invoices")}
    for document in documents:
        yield document, rows.get(_fold(document.jobs[0].target_id))


def contacts(documents: Sequence[Document], body: Any) -> Iterator[tuple[Document, Mapping[str, Any] | None]]:
    """Each contact with Xero's, by its id."""
    rows = {_fold(row.get("ContactID")): row for row in elements(body, "Contacts")}
    for document in documents:
        yield document, rows.get(_fold(document.parts.get("ContactID")))


def _fold(value: Any) -> str:
    return str(value or "").casefold()


def first_token(row: Mapping[str, Any]) -> str:
    """The marker of a Reference, as it is written."""
    return str(row.get("Reference") or "").split(" ", 1)[0]


class DayLook:
    """One more page of a document's day, kept in the document: `found` living ones with its marker, `more` pages to
    come, `whole`: no page was cut or moved while the others were read. A look that was not whole begins anew."""

    def __init__(self, document: Document, body: Any) -> None:
        parts, step = document.parts, document.step
        rows = elements(body, bodies.WRITES[step][1])
        seen: set[str] = parts.setdefault("seen", set())
        seen |= {str(row.get(ID[step])) for row in rows}
        listed = isinstance(body, Mapping) and isinstance(body.get(bodies.WRITES[step][1]), list)
        self.found = [row for row in rows if first_token(row) == document.natural and _ours(row)]
        pages = body.get("pagination") if isinstance(body, Mapping) else None
        count = pages.get("itemCount") if isinstance(pages, Mapping) else None
        page = int(parts.get("page", 1))
        if step is Step.BANK_TRANSFER:
            self.more, self.whole = False, listed
        elif isinstance(count, int):
            self.more = bool(rows) and len(seen) < count
            self.whole = listed and not self.more and len(seen) == count == parts.setdefault("count", count)
        else:
            self.more = len(rows) >= bodies.DAY_PAGE
            self.whole = listed and not self.more
        parts["page"] = page + 1
        if self.found or not self.more:
            for name in ("page", "seen", "count"):
                parts.pop(name, None)


def _ours(row: Mapping[str, Any]) -> bool:
    """Living, and not the side of a transfer, which is listed among the bank transactions."""
    return row.get("Status") != "DELETED" and not str(row.get("Type") or "").endswith("-TRANSFER")


def _marker(row: Mapping[str, Any]) -> str:
    return first_token(row).casefold()


def _names(step: Step, row: Mapping[str, Any]) -> list[str]:
    """What an element of a write's answer can be recognised by."""
    if step in MONEY:
        return [_marker(row)]
    if step in UNNUMBERED:
        return [first_token(row)]
    if step is Step.CONTACT:
        keys = ("ContactNumber", "ContactID", "Name")
        return [f"{key}:{_fold(row[key])}" for key in keys if row.get(key)]
    return [_fold(row.get(_NUMBER[step]))]


def _wanted(document: Document) -> list[str]:
    if document.step is Step.CONTACT:
        names = [f"ContactNumber:{document.natural.casefold()}"]
        names += [f"{key}:{_fold(document.parts[key])}" for key in ("ContactID", "Name") if document.parts.get(key)]
        return names
    if document.step is Step.VOID:
        return [_fold(document.jobs[0].target_id)]
    return [document.natural if document.step in UNNUMBERED else document.natural.casefold()]


def _choose(step: Step, rows: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Of several elements for one document the good one: whatever else was said, it is there."""
    good: Callable[[Mapping[str, Any]], bool] = lambda row: read(row, ID[step]).good  # noqa: E731
    return next(filter(good, rows), rows[0] if rows else None)
