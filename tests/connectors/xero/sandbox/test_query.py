"""Reading back: pages, id lists, filters, changed-since; what Xero would not take is refused loudly."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.connectors.xero.sandbox.conftest import Caller, invoice, payment


async def numbers(xero: Caller, query: str, **options: Any) -> list[str]:
    got = await xero.api("GET", f"Invoices?{query}", **options)
    assert got.status == 200, got.raw
    return [one["InvoiceNumber"] for one in got.json["Invoices"]]


async def filled(xero: Caller) -> list[Any]:
    contact_id = await xero.contact()
    drafts = [
        invoice(f"W-{n}", contact_id, Reference=f"R{n % 2}", Status="DRAFT" if n > 5 else "AUTHORISED")
        for n in range(8)
    ]
    return await xero.invoices(*drafts)


async def test_pages(xero: Caller) -> None:
    await filled(xero)
    got = await xero.api("GET", "Invoices?page=2&pageSize=3&order=InvoiceNumber")
    assert got.json["pagination"] == {"page": 2, "pageSize": 3, "pageCount": 3, "itemCount": 8}
    assert [one["InvoiceNumber"] for one in got.json["Invoices"]] == ["W-3", "W-4", "W-5"]
    assert got.json["Invoices"][0]["LineItems"][0]["LineAmount"] == 21.0
    bare = (await xero.api("GET", "Invoices")).json
    assert "pagination" not in bare
    assert bare["Invoices"][0]["LineItems"] == []  # without page= Xero leaves the lines out
    for wrong in ("page=0", "pageSize=1001", "page=x", "order=Moon"):
        assert (await xero.api("GET", f"Invoices?{wrong}")).status == 400


async def test_lists(xero: Caller) -> None:
    made = await filled(xero)
    assert await numbers(xero, "InvoiceNumbers=W-3,W-9,w-1&order=InvoiceNumber") == ["W-1", "W-3"]
    assert await numbers(xero, f"IDs={made[4]['InvoiceID']}") == ["W-4"]
    assert len(await numbers(xero, "Statuses=DRAFT")) == 2
    assert len(await numbers(xero, f"ContactIDs={made[0]['Contact']['ContactID']}")) == 8
    assert await numbers(xero, "searchTerm=w-7") == ["W-7"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ('Reference=="r1" AND Status=="AUTHORISED"', ["W-1", "W-3", "W-5"]),
        ('InvoiceNumber=="W-2"', ["W-2"]),
        ('Type=="ACCREC" && InvoiceNumber == "w-2"', ["W-2"]),
        ("Date>=DateTime(2026,09,15)", []),
        ('Date==DateTime(2026, 9, 14) AND AmountDue>25.1 AND (Status=="DRAFT")', ["W-6", "W-7"]),
        ('Contact.Name=="ADA LOVELACE" AND Reference!="R1" AND Status=="DRAFT"', ["W-6"]),
    ],
)
async def test_where(xero: Caller, where: str, expected: list[str]) -> None:
    await filled(xero)
    assert await numbers(xero, f"page=1&order=InvoiceNumber&where={quote(where)}") == expected


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("Invoices", "Total>5"),
        ("Invoices", 'Status=="DRAFT" OR Status=="PAID"'),
        ("Invoices", "Status="),
        ("Invoices", 'Reference.Contains("x")'),
        ("Invoices", 'AmountDue>"x"'),
        ("CreditNotes", 'CreditNoteNumber=="CN-1"'),
        ("Contacts", 'ContactNumber=="C1"'),
        ("Payments", "Amount==5"),
        ("Payments", 'Reference=="a" OR Reference=="b"'),
    ],
)
async def test_filters_that_xero_does_not_optimise_are_refused(xero: Caller, path: str, where: str) -> None:
    got = await xero.api("GET", f"{path}?where={quote(where)}")
    assert (got.status, got.json["ErrorNumber"], got.json["Type"]) == (400, 16, "QueryParseException")


async def test_payments_by_invoice_and_by_reference(xero: Caller) -> None:
    made = await filled(xero)
    await xero.pay(*(payment(f"W-{n}", 25.2, Reference=f"W-{n}/1") for n in range(4)))

    async def found(where: str) -> list[str]:
        got = await xero.api("GET", f"Payments?page=1&where={quote(where)}")
        assert got.status == 200, got.raw
        return sorted(one["Reference"] for one in got.json["Payments"])

    ids = [one["InvoiceID"] for one in made]
    assert await found('Reference=="W-2/1"') == ["W-2/1"]
    either = f'Invoice.InvoiceID==guid("{ids[1]}") OR Invoice.InvoiceID==guid("{ids[3].upper()}")'
    assert await found(either) == ["W-1/1", "W-3/1"]
    assert await found(f'({either}) AND Status=="AUTHORISED"') == ["W-1/1", "W-3/1"]
    assert await found(f'({either}) AND Status=="DELETED"') == []


async def test_changed_since_and_contacts_filters(xero: Caller) -> None:
    await filled(xero)
    await xero.clock(3600)
    await xero.sign_in()
    await xero.pay(payment("W-2", 25.2))
    since = {"If-Modified-Since": "2026-09-14T10:00:00"}
    assert await numbers(xero, "page=1", headers=since) == ["W-2"]
    assert await numbers(xero, "page=1", headers={"If-Modified-Since": "Mon, 14 Sep 2026 10:00:00 GMT"}) == ["W-2"]
    await xero.contact("Bob", EmailAddress="Bob@example.com")
    where = quote('EmailAddress=="bob@EXAMPLE.com"')
    got = await xero.api("GET", f"Contacts?page=1&where={where}", headers=since)
    assert [one["Name"] for one in got.json["Contacts"]] == ["Bob"]
