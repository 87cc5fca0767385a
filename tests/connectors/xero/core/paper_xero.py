"""A Xero on paper for the core's tests: unique numbers, paying, idempotency keys, commit-then-lose. No HTTP, no clock.

Written from reference/xero.md, not from the sink. The sandbox judges elsewhere; this one is for thousands of runs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from connectors.xero.calls import Answer, Call, Doubt

KEY_LIFE = 360.0  # seconds, from the first call
ZERO = "00000000-0000-0000-0000-000000000000"
HEADERS = {"x-minlimit-remaining": "59", "x-daylimit-remaining": "4000"}


@dataclass
class PaperXero:
    """Books of one organisation. Invoices on `bad_accounts` are refused, on `dropped_accounts` saved without it and
    with a warning; documents of `mumbled` numbers and references are done, with this error beside their id."""

    contacts: dict[str, dict[str, Any]] = field(default_factory=dict)  # by id
    invoices: dict[str, dict[str, Any]] = field(default_factory=dict)  # by id
    credit_notes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by id
    payments: list[dict[str, Any]] = field(default_factory=list)
    allocations: list[dict[str, Any]] = field(default_factory=list)
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    bank_transactions: list[dict[str, Any]] = field(default_factory=list)
    bank_transfers: list[dict[str, Any]] = field(default_factory=list)
    moving: list[dict[str, Any]] = field(default_factory=list)  # what others enter, one before each page that is read
    bad_accounts: set[str] = field(default_factory=set)
    dropped_accounts: set[str] = field(default_factory=set)
    mumbled: dict[str, str] = field(default_factory=dict)
    lock: str = ""  # ISO: the books are closed until then
    keys: dict[str, tuple[float, str, Answer]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    executed: int = 0
    _ids: int = 0

    def do(self, call: Call, now: float) -> Answer:
        """Carry out one request, under its idempotency key."""
        self.calls.append(call)
        print_ = hashlib.sha256(repr((call.method, call.path, call.query, call.body)).encode()).hexdigest()
        if call.writes and call.idempotency_key:
            kept = self.keys.get(call.idempotency_key)
            if kept is not None and now - kept[0] < KEY_LIFE:
                if kept[1] != print_:
                    text = f"Idempotency Key: {call.idempotency_key} is used with a different request."
                    return Answer(400, HEADERS, {"Message": text}, detail=text, token_id="t")
                return kept[2]
        answer = self._execute(call)
        if call.writes and call.idempotency_key:
            self.keys[call.idempotency_key] = (now, print_, answer)
        return answer

    def keep_500(self, call: Call, now: float, execute: bool) -> Answer:
        """A 500 before or after the commit; Xero keeps it under the key either way."""
        if execute and self.keys.get(call.idempotency_key or "") is None:
            self.do(call, now)
        else:
            self.calls.append(call)
        answer = Answer(500, HEADERS, None, Doubt.SERVER_ERROR if call.writes else None, token_id="t")
        if call.writes and call.idempotency_key:
            print_ = hashlib.sha256(repr((call.method, call.path, call.query, call.body)).encode()).hexdigest()
            self.keys[call.idempotency_key] = (now, print_, answer)
        return answer

    def _execute(self, call: Call) -> Answer:
        self.executed += 1
        rows = json.loads(call.body, parse_float=Decimal)[call.path.rsplit("/", 1)[-1]] if call.body else []
        query = dict(call.query)
        match call.method, call.path:
            case "GET", "Contacts" if "IDs" in query:
                ids = query["IDs"].split(",")
                return _ok("Contacts", [self.contacts[i] for i in ids if i in self.contacts])
            case "GET", "Contacts":
                return _ok("Contacts", list(self.contacts.values()))
            case "GET", "Invoices" if "IDs" in query:
                ids = query["IDs"].split(",")
                return _ok("Invoices", [self.show(self.invoices[i]) for i in ids if i in self.invoices])
            case "GET", "Invoices":
                numbers = query["InvoiceNumbers"].split(",")
                return _ok("Invoices", [self.show(i) for i in self.invoices.values() if i["InvoiceNumber"] in numbers])
            case "GET", "CreditNotes":
                wanted = query["where"].removeprefix('Reference=="').removesuffix('"')
                return _ok(
                    "CreditNotes", [self.show(c) for c in self.credit_notes.values() if c["Reference"] == wanted]
                )
            case "GET", path if path.startswith("CreditNotes/"):
                note = self.credit_notes.get(path.split("/")[1])
                return (
                    Answer(404, HEADERS, None, token_id="t") if note is None else _ok("CreditNotes", [self.show(note)])
                )
            case "PUT", path if path.endswith("/Allocations"):
                return _ok("Allocations", [self._allocate(self.credit_notes[path.split("/")[1]], row) for row in rows])
            case "POST", "Invoices":
                return _ok("Invoices", [self._void(row) for row in rows])
            case "GET", "BankTransactions":
                return self._bank_page(query)
            case "GET", "BankTransfers":
                assert set(query) == {"where"}, "transfers are not paged"
                return _ok("BankTransfers", [row for row in self.bank_transfers if _dated(row, query["where"])])
            case "PUT", "BankTransactions":
                return _ok("BankTransactions", [self._bank_transaction(row) for row in rows])
            case "PUT", "BankTransfers":
                return self._bank_transfer(rows)
            case "GET", "Organisation":
                locked = {"PeriodLockDate": f"{self.lock}T00:00:00"} if self.lock else {}
                return _ok("Organisations", [{"OrganisationID": "o", "Name": "Paper", "BaseCurrency": "GBP", **locked}])
            case "GET", path:
                return _ok(path, [])
            case "POST", "Contacts":
                return _ok("Contacts", [self._contact(row) for row in rows])
            case "POST", "Items":
                return _ok("Items", [self._item(row) for row in rows])
            case "PUT", "Invoices":
                if any(row["Contact"]["ContactID"] not in self.contacts for row in rows):
                    return Answer(404, HEADERS, None, token_id="t")
                return _ok("Invoices", [self._invoice(row) for row in rows])
            case "PUT", "CreditNotes":
                if any(row["Contact"]["ContactID"] not in self.contacts for row in rows):
                    return Answer(404, HEADERS, None, token_id="t")
                return _ok("CreditNotes", [self._credit_note(row) for row in rows])
            case "PUT", "Payments":
                return _ok("Payments", [self._payment(row) for row in rows])
        raise AssertionError(f"no {call.method} {call.path}")

    def _contact(self, row: dict[str, Any]) -> dict[str, Any]:
        found = self.contacts.get(row.get("ContactID", "")) or next(
            (
                c
                for c in self.contacts.values()
                if row.get("ContactNumber") and c.get("ContactNumber") == row["ContactNumber"]
            ),
            None,
        )
        if found is not None and found["ContactStatus"] == "ARCHIVED":
            text = "The specified contact details matched an archived contact. Archived contacts cannot be edited."
            return _bad({**row, "ContactID": ZERO}, text, "HasValidationErrors")
        name = row.get("Name")
        active = [c for c in self.contacts.values() if c["ContactStatus"] == "ACTIVE" and c is not found]
        if name and any(c["Name"].casefold() == name.casefold() for c in active):
            text = f"The contact name {name} is already assigned to another contact. The contact name must be unique."
            return _bad({**row, "ContactID": ZERO}, text, "HasValidationErrors")
        if found is None:
            found = {"ContactID": self._id("c"), "ContactStatus": "ACTIVE", "Name": name}
            self.contacts[found["ContactID"]] = found
        persons = row.get("ContactPersons", [])
        found.update({k: v for k, v in row.items() if v is not None})
        found["ContactPersons"] = persons  # those not sent are deleted
        return {**found, "HasValidationErrors": False, "StatusAttributeString": "OK"}

    def _item(self, row: dict[str, Any]) -> dict[str, Any]:
        found = self.items.setdefault(row["Code"], {"ItemID": self._id("item")})
        found.update(row)
        return dict(found)

    def _invoice(self, row: dict[str, Any]) -> dict[str, Any]:
        if self.contacts[row["Contact"]["ContactID"]]["ContactStatus"] == "ARCHIVED":
            text = (
                "The contact with the specified contact details has been archived. The contact must be un-archived "
                "before creating new invoices or credit notes"
            )
            contact = {**row["Contact"], "HasValidationErrors": True, "ValidationErrors": [{"Message": text}]}
            return {**row, "InvoiceID": ZERO, "HasErrors": True, "StatusAttributeString": "ERROR", "Contact": contact}
        taken = [i for i in self.invoices.values() if i["InvoiceNumber"] == row["InvoiceNumber"]]
        if any(i["Type"] == "ACCREC" for i in taken):
            return _bad({**row, "InvoiceID": ZERO}, "Invoice # must be unique.", "HasErrors")
        if row["Date"] <= self.lock:
            return _bad({**row, "InvoiceID": ZERO}, self._locked(), "HasErrors")
        code = row["LineItems"][0]["AccountCode"]
        if code in self.bad_accounts:
            return _bad(
                {**row, "InvoiceID": ZERO}, f"Account code '{code}' is not a valid code for this document.", "HasErrors"
            )
        total, tax = _sums(row)
        made = {**row, "InvoiceID": self._id("i"), "Total": total.quantize(Decimal("0.01")), "TotalTax": tax}
        self.invoices[made["InvoiceID"]] = made
        if code in self.dropped_accounts:
            text = f"Account code '{code}' has been removed as it does not match a recognised account."
            made["LineItems"] = [{**line, "AccountCode": None} for line in row["LineItems"]]
            shown = [{**line, "Warnings": [{"Message": text}]} for line in made["LineItems"]]
            return {**self.show(made), "LineItems": shown, "StatusAttributeString": "WARNING", "HasErrors": False}
        if row["InvoiceNumber"] in self.mumbled:
            return _bad(self.show(made), self.mumbled[row["InvoiceNumber"]], "HasErrors")
        return {**self.show(made), "StatusAttributeString": "OK", "HasErrors": False}

    def _credit_note(self, row: dict[str, Any]) -> dict[str, Any]:
        if any(c["CreditNoteNumber"] == row["CreditNoteNumber"] for c in self.credit_notes.values()):
            return _bad({**row, "CreditNoteID": ZERO}, "Credit Note # must be unique.", "HasErrors")
        if row["Date"] <= self.lock:
            return _bad({**row, "CreditNoteID": ZERO}, self._locked(), "HasErrors")
        if row["LineItems"][0]["AccountCode"] in self.bad_accounts:
            text = f"Account code '{row['LineItems'][0]['AccountCode']}' is not a valid code for this document."
            return _bad({**row, "CreditNoteID": ZERO}, text, "HasErrors")
        total, tax = _sums(row)
        made = {**row, "CreditNoteID": self._id("n"), "Total": total.quantize(Decimal("0.01")), "TotalTax": tax}
        self.credit_notes[made["CreditNoteID"]] = made
        return {**self.show(made), "StatusAttributeString": "OK", "HasErrors": False}

    def _locked(self) -> str:
        return f"The document date cannot be before the period lock date, currently set at {self.lock}"

    def show(self, document: dict[str, Any]) -> dict[str, Any]:
        """An invoice or credit note as a GET shows it."""
        kind, left = ("Invoice", "AmountDue") if "InvoiceID" in document else ("CreditNote", "RemainingCredit")
        id_ = document[f"{kind}ID"]
        mine = [p for p in self.payments if p.get(kind, {}).get(f"{kind}ID") == id_]
        paid = sum((p["Amount"] for p in mine), Decimal(0))
        standing = [a for a in self.allocations if a[kind][f"{kind}ID"] == id_]
        credited = sum((a["Amount"] for a in standing), Decimal(0))
        due = document["Total"] - paid - credited
        status = document["Status"]
        if status == "AUTHORISED" and due == 0:
            status = "PAID"
        lines = [_amounts(line) for line in document["LineItems"]]
        shown = {**document, "LineItems": lines, "Payments": mine, left: due, "Status": status}
        if kind == "CreditNote":
            return {**shown, "Allocations": standing}
        return {**shown, "AmountPaid": paid, "AmountCredited": credited}

    def _void(self, row: dict[str, Any]) -> dict[str, Any]:
        found = self.invoices.get(row["InvoiceID"])
        if found is None or row.get("Status") != "VOIDED" or found["Status"] != "AUTHORISED":
            return _bad(row, "Invoice not of valid status for modification", "HasErrors")
        shown = self.show(found)
        if shown["AmountPaid"] or shown["AmountCredited"]:
            text = "This document cannot be edited as it has a payment or credit note allocated to it."
            return _bad(row, text, "HasErrors")
        found["Status"] = "VOIDED"
        return {**self.show(found), "StatusAttributeString": "OK", "HasErrors": False}

    def _allocate(self, note: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        """The answer shows no id, as the sandbox's."""
        invoice, amount = self.invoices[row["Invoice"]["InvoiceID"]], Decimal(str(row["Amount"]))
        least = min(self.show(note)["RemainingCredit"], self.show(invoice)["AmountDue"])
        if amount > least or invoice["Status"] != "AUTHORISED" or note["Contact"] != invoice["Contact"]:
            return _bad(row, "You cannot allocate more than is left.", "HasErrors")
        own = {"CreditNote": {"CreditNoteID": note["CreditNoteID"]}, "Amount": amount}
        self.allocations.append({**row, **own, "AllocationID": self._id("a")})
        return {**row, "StatusAttributeString": "OK"}

    def _payment(self, row: dict[str, Any]) -> dict[str, Any]:
        if "CreditNote" in row:
            return self._refund(row, self.credit_notes[row["CreditNote"]["CreditNoteID"]])
        invoice = self.invoices.get(row["Invoice"]["InvoiceID"])
        amount = Decimal(str(row["Amount"]))
        if row["Date"] <= self.lock:
            return _bad(row, self._locked(), "HasValidationErrors")
        if invoice is None or invoice["Status"] != "AUTHORISED":
            return _bad(row, "Payments can only be made against Authorised documents", "HasValidationErrors")
        if amount > self.show(invoice)["AmountDue"]:
            text = "Payment amount exceeds the amount outstanding on this document"
            return _bad(row, text, "HasValidationErrors")
        made = {**row, "PaymentID": self._id("p"), "Amount": amount, "Status": "AUTHORISED"}
        self.payments.append(made)
        shown = {k: v for k, v in self.show(invoice).items() if k != "Payments"}
        if row["Reference"] in self.mumbled:
            return _bad({**made, "Invoice": shown}, self.mumbled[row["Reference"]], "HasValidationErrors")
        return {**made, "Invoice": shown, "HasValidationErrors": False}

    def _refund(self, row: dict[str, Any], note: dict[str, Any]) -> dict[str, Any]:
        amount = Decimal(str(row["Amount"]))
        if row["Date"] <= self.lock:
            return _bad(row, self._locked(), "HasValidationErrors")
        if amount > self.show(note)["RemainingCredit"]:
            text = "Payment amount exceeds the amount outstanding on this document"
            return _bad(row, text, "HasValidationErrors")
        made = {**row, "PaymentID": self._id("p"), "Amount": amount, "Status": "AUTHORISED"}
        self.payments.append(made)
        shown = {k: v for k, v in self.show(note).items() if k != "Payments"}
        return {**made, "CreditNote": shown, "HasValidationErrors": False}

    def _bank_page(self, query: dict[str, str]) -> Answer:
        """Only the day is filtered by; pages by id."""
        if self.moving:
            self.bank_transactions.append(self.moving.pop(0))
        found = [row for row in self.bank_transactions if _dated(row, query["where"])]
        found.sort(key=lambda row: str(row["BankTransactionID"]))
        page, size = int(query["page"]), int(query["pageSize"])
        answer = _ok("BankTransactions", found[(page - 1) * size : page * size])
        pages = {"page": page, "pageSize": size, "pageCount": -(-len(found) // size), "itemCount": len(found)}
        return Answer(200, HEADERS, {**answer.body, "pagination": pages}, token_id="t", elapsed=0.2)

    def _bank_transaction(self, row: dict[str, Any]) -> dict[str, Any]:
        code = row["LineItems"][0]["AccountCode"]
        if code in self.bad_accounts:
            text = f"Account code '{code}' is not a valid code for this document."
            return _bad({**row, "BankTransactionID": ZERO}, text, "HasErrors")
        total = sum((Decimal(str(x["UnitAmount"])) for x in row["LineItems"]), Decimal(0)).quantize(Decimal("0.01"))
        made = {**row, "BankTransactionID": self._id("b"), "Total": total, "TotalTax": Decimal("0.00")}
        self.bank_transactions.append(made)
        if row["Reference"].split(" ")[0] in self.mumbled:
            return _bad(dict(made), self.mumbled[row["Reference"].split(" ")[0]], "HasErrors")
        return {**made, "StatusAttributeString": "OK"}

    def _bank_transfer(self, rows: list[dict[str, Any]]) -> Answer:
        assert len(rows) == 1, "of several elements one refused would hide the ids of the others"
        (row,) = rows
        if row["ToBankAccount"]["AccountID"] in self.bad_accounts:
            refused = {**row, "ValidationErrors": [{"Message": "Account could not be found."}]}
            body = {"ErrorNumber": 10, "Type": "ValidationException", "Message": "A validation…", "Elements": [refused]}
            return Answer(400, HEADERS, body, token_id="t")
        made = {**row, "BankTransferID": self._id("t")}
        self.bank_transfers.append(made)
        for side in ("SPEND-TRANSFER", "RECEIVE-TRANSFER"):
            kept = {"Reference": row["Reference"], "Date": row["Date"], "Total": row["Amount"]}
            self.bank_transactions.append({**kept, "BankTransactionID": self._id("b"), "Type": side})
        return _ok("BankTransfers", [made])

    def _id(self, kind: str) -> str:
        self._ids += 1
        return f"{kind}-{self._ids}"


def _dated(row: dict[str, Any], where: str) -> bool:
    year, month, day = where.removeprefix("Date==DateTime(").removesuffix(")").split(",")
    return bool(row["Date"] == f"{year}-{month}-{day}")


def _amounts(line: dict[str, Any]) -> dict[str, Any]:
    """A line with what Xero computes: inclusive, at 20 %."""
    amount = Decimal(str(line["UnitAmount"])) * Decimal(str(line["Quantity"]))
    tax = (amount - amount / Decimal("1.2")).quantize(Decimal("0.01"))
    return {"LineAmount": amount.quantize(Decimal("0.01")), "TaxAmount": tax, **line}


def _sums(row: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """Total and TotalTax: of prices with 20 % in them, or without tax and each line with its TaxAmount."""
    total = sum((Decimal(str(x["UnitAmount"])) * x["Quantity"] for x in row["LineItems"]), Decimal(0))
    if row["LineAmountTypes"] == "Exclusive":
        tax = sum((Decimal(str(x["TaxAmount"])) for x in row["LineItems"]), Decimal(0))
        return total + tax, tax.quantize(Decimal("0.01"))
    return total, (total - total / Decimal("1.2")).quantize(Decimal("0.01"))


def _ok(collection: str, rows: list[dict[str, Any]]) -> Answer:
    body = {
        "Status": "OK",
        "DateTimeUTC": "/Date(1789269364440)/",
        collection: list(reversed(rows)),
    }  # order is unproven
    return Answer(200, HEADERS, body, token_id="t", elapsed=0.2)


def _bad(row: dict[str, Any], text: str, flag: str) -> dict[str, Any]:
    return {**row, flag: True, "StatusAttributeString": "ERROR", "ValidationErrors": [{"Message": text}]}
