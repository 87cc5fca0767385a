"""Numbers, sums, status machine, paid documents, lock dates: what the books allow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.connectors.xero.sandbox.conftest import Caller, invoice, payment, texts

UNIQUE = "Invoice # must be unique."


def line(amount: float, **more: Any) -> dict[str, Any]:
    return {"Description": "x", "Quantity": 1, "UnitAmount": amount, "AccountCode": "200"} | more


async def test_a_number_is_given_once_within_a_batch_and_across_five_at_once(xero: Caller) -> None:
    contact_id = await xero.contact()
    first = await xero.invoices(invoice("W-1", contact_id), invoice("w-1", contact_id))
    assert [one["StatusAttributeString"] for one in first] == ["OK", "ERROR"]
    assert texts(first[1]) == [UNIQUE]
    assert first[1]["InvoiceID"] == "00000000-0000-0000-0000-000000000000"
    await xero.admin("POST", "settings", {"latency": {"base_ms": 40}})
    await xero.admin("POST", "clock", {"speed": 1})
    calls = [xero.invoices(invoice("W-2", contact_id), invoice(f"X-{n}", contact_id)) for n in range(5)]
    rows = [row for answer in await asyncio.gather(*calls) for row in answer]
    assert sorted(row["StatusAttributeString"] for row in rows) == ["ERROR"] * 4 + ["OK"] * 6
    book = await xero.admin("GET", "books/uk")
    assert sorted(one["InvoiceNumber"] for one in book["invoices"]) == ["W-1", "W-2", "X-0", "X-1", "X-2", "X-3", "X-4"]


async def test_put_never_overwrites_post_does_and_a_voided_number_stays_taken(xero: Caller) -> None:
    contact_id = await xero.contact()
    await xero.invoices(invoice("W-1", contact_id))
    changed = await xero.api("POST", "Invoices", {"Invoices": [invoice("W-1", contact_id, line(5))]})
    assert changed.json["Invoices"][0]["Total"] == 6.0
    assert len((await xero.admin("GET", "books/uk"))["invoices"]) == 1
    void = {"InvoiceNumber": "W-1", "Status": "VOIDED"}
    assert (await xero.api("POST", "Invoices", {"Invoices": [void]})).json["Invoices"][0]["Status"] == "VOIDED"
    assert texts((await xero.invoices(invoice("W-1", contact_id)))[0]) == [UNIQUE]
    again = await xero.api("POST", "Invoices?summarizeErrors=false", {"Invoices": [invoice("W-1", contact_id)]})
    assert texts(again.json["Invoices"][0]) == ["Invoice not of valid status for modification"]


@pytest.mark.parametrize(
    ("amounts", "lines", "expected"),
    [
        ("Exclusive", [line(10.5, Quantity=2)], (21.0, 4.2, 25.2)),
        ("Inclusive", [line(21)], (17.5, 3.5, 21.0)),
        ("NoTax", [line(21)], (21.0, 0.0, 21.0)),
        ("Inclusive", [line(1.21, TaxAmount=0.19)], (1.02, 0.19, 1.21)),
        ("Exclusive", [line(0.3333, Quantity=3)], (1.0, 0.2, 1.2)),
        ("Exclusive", [line(10, DiscountRate=12.5)], (8.75, 1.75, 10.5)),
        ("Exclusive", [line(10, DiscountAmount=1.25)], (8.75, 1.75, 10.5)),
        ("Inclusive", [line(10), line(0.01, AccountCode="860", TaxType="NONE")], (8.34, 1.67, 10.01)),
        ("Exclusive", [line(10, TaxType="ZERORATEDOUTPUT")], (10.0, 0.0, 10.0)),
    ],
)
async def test_sums(xero: Caller, amounts: str, lines: list[Any], expected: tuple[float, ...]) -> None:
    made = (await xero.invoices(invoice("W-1", await xero.contact(), *lines, LineAmountTypes=amounts)))[0]
    assert (made["SubTotal"], made["TotalTax"], made["Total"]) == expected


async def test_unit_amounts_have_two_decimals_unless_unitdp_says_four(xero: Caller) -> None:
    contact_id = await xero.contact()
    two = await xero.invoices(invoice("W-2", contact_id, line(0.3333, Quantity=3)), query="summarizeErrors=false")
    assert (two[0]["LineItems"][0]["UnitAmount"], two[0]["SubTotal"]) == (0.33, 0.99)
    await xero.invoices(invoice("W-4", contact_id, line(0.3333, Quantity=3)))
    shown = [(await xero.api("GET", f"Invoices/W-4{q}")).json["Invoices"][0] for q in ("", "?unitdp=4")]
    assert [one["LineItems"][0]["UnitAmount"] for one in shown] == [0.33, 0.3333]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"AccountCode": "999"}, "Account code '999' is not a valid code for this document."),
        ({"AccountCode": "610"}, "Account code '610' is not a valid code for this document."),
        ({"AccountCode": "800"}, "Account code '800' is not a valid code for this document."),
        ({"TaxType": "INPUT2"}, "The TaxType code 'INPUT2' cannot be used with account code '200'."),
        ({"ItemCode": "nope"}, "Item code 'nope' is not valid"),
        ({"LineAmount": 9.99}, "The line total 9.99 does not match the expected line total 10.00"),
        ({"TaxAmount": 11}, "The tax amount cannot exceed the line amount"),
        ({"TaxType": "NONE", "TaxAmount": 1}, "A tax amount cannot be entered for a tax type without tax"),
        (
            {"Tracking": [{"Name": "Channel", "Option": "Moon"}]},
            "The tracking category 'Channel' with option 'Moon' could not be found",
        ),
    ],
)
async def test_lines_are_refused_with_the_reason(xero: Caller, change: dict[str, Any], message: str) -> None:
    got = (await xero.invoices(invoice("W-1", await xero.contact(), line(10) | change)))[0]
    assert message in texts(got)
    assert got["HasErrors"] is True
    assert (await xero.admin("GET", "books/uk"))["invoices"] == []


async def test_an_unknown_account_on_a_draft_is_only_a_warning_and_the_account_is_gone(xero: Caller) -> None:
    draft = invoice("W-1", await xero.contact(), line(10, AccountCode="476"), Status="DRAFT")
    got = (await xero.invoices(draft))[0]
    assert got["StatusAttributeString"] == "WARNING"
    assert got["Warnings"][0]["Message"].startswith("Account code '476' has been removed")
    assert "AccountCode" not in got["LineItems"][0]


async def test_currency_dates_and_plan_limit(xero: Caller) -> None:
    contact_id = await xero.contact()
    await xero.admin("POST", "settings", {"org": "uk", "approve_limit": 1, "period_lock_date": "2026-08-31"})
    got = await xero.invoices(
        invoice("W-1", contact_id, CurrencyCode="SEK"),
        invoice("W-2", contact_id, Date="2026-08-31"),
        invoice("W-3", contact_id, CurrencyCode="USD", CurrencyRate=1.3),
        invoice("W-4", contact_id),
        invoice("W-5", contact_id, Date="2026-10-01"),
    )
    assert texts(got[0]) == ["Organisation is not subscribed to currency SEK"]
    assert texts(got[1]) == ["The document date cannot be before the period lock date, currently set at 31 August 2026"]
    assert got[2]["CurrencyRate"] == 1.3
    assert texts(got[3]) == ["You have reached the limit of invoices you can approve"]
    assert got[4]["StatusAttributeString"] == "OK"


async def test_a_paid_document_keeps_its_money(xero: Caller) -> None:
    contact_id = await xero.contact()
    made = (await xero.invoices(invoice("W-1", contact_id)))[0]
    await xero.pay(payment("W-1", 5.2))
    line_id = made["LineItems"][0]["LineItemID"]

    async def change(**fields: Any) -> Any:
        sent = {"Invoices": [{"InvoiceID": made["InvoiceID"], **fields}]}
        return (await xero.api("POST", "Invoices?summarizeErrors=false", sent)).json["Invoices"][0]

    refused = await change(LineItems=[{"LineItemID": line_id, "Quantity": 3}])
    assert texts(refused) == ["This document cannot be edited as it has a payment or credit note allocated to it."]
    assert texts(await change(Status="VOIDED"))[0].startswith("This document cannot be edited")
    kept = await change(
        Reference="PO 7", LineItems=[{"LineItemID": line_id, "Description": "Tea", "AccountCode": "260"}]
    )
    assert (kept["Reference"], kept["LineItems"][0]["Description"], kept["Total"]) == ("PO 7", "Tea", 25.2)
    assert (kept["AmountDue"], kept["LineItems"][0]["LineItemID"]) == (20.0, line_id)


async def test_update_recreates_lines_and_a_zero_invoice_is_paid_by_itself(xero: Caller) -> None:
    contact_id = await xero.contact()
    made = (await xero.invoices(invoice("W-1", contact_id, line(1), line(2))))[0]
    keep = made["LineItems"][1]["LineItemID"]
    sent = {"Invoices": [{"InvoiceNumber": "W-1", "LineItems": [{"LineItemID": keep}, line(4)]}]}
    got = (await xero.api("POST", "Invoices", sent)).json["Invoices"][0]
    assert [one["LineAmount"] for one in got["LineItems"]] == [2.0, 4.0]
    assert got["LineItems"][0]["LineItemID"] == keep
    free = (await xero.invoices(invoice("W-0", contact_id, line(10, DiscountRate=100))))[0]
    assert (free["Status"], free["Total"], free["TotalDiscount"]) == ("PAID", 0.0, 10.0)


async def test_payments_settle_and_open_again(xero: Caller) -> None:
    contact_id = await xero.contact()
    await xero.invoices(invoice("W-1", contact_id), invoice("D-1", contact_id, Status="DRAFT"))
    got = await xero.pay(
        payment("W-1", 25.21),
        payment("W-1", 10, Reference="W-1/1"),
        payment("W-1", 10, Reference="W-1/1"),  # part payments can be doubled, as at Xero
        payment("W-1", 5.2, Account={"Code": "822"}),
        payment("W-1", 0.01),
        payment("D-1", 1),
        payment("W-9", 1),
        payment("W-1", 1, Account={"Code": "999"}),
        payment("W-1", 0.01, Account={"Code": "200"}),
    )
    exceeds = "Payment amount exceeds the amount outstanding on this document"
    assert [texts(one)[0] if one["HasValidationErrors"] else one["Invoice"]["Status"] for one in got] == [
        exceeds,
        "AUTHORISED",
        "AUTHORISED",
        "PAID",
        exceeds,
        "Payments can only be made against Authorised documents",
        "The document with the supplied id was not found for this endpoint.",
        "Account could not be found.",
        exceeds,
    ]
    assert got[3]["Invoice"]["FullyPaidOnDate"] == "/Date(1789430400000+0000)/"
    back = await xero.api("POST", f"Payments/{got[3]['PaymentID']}", {"Status": "DELETED"})
    assert back.json["Payments"][0]["Invoice"]["AmountDue"] == 5.2
    again = await xero.api("POST", f"Payments/{got[3]['PaymentID']}", {"Status": "DELETED"})
    assert again.status == 400


async def test_payment_currencies(xero: Caller) -> None:
    contact_id = await xero.contact()
    usd = {"CurrencyCode": "USD", "CurrencyRate": 1.25}
    await xero.invoices(*(invoice(f"U-{n}", contact_id, line(100, TaxType="NONE"), **usd) for n in range(4)))
    got = await xero.pay(
        payment("U-0", 100, Account={"Code": "094"}),
        payment("U-1", 100, Account={"Code": "092"}),
        payment("U-2", 100, Account={"Code": "092"}, BankAmount=79.5),
        payment("U-3", 100, Account={"Code": "095"}),
    )
    assert [one.get("BankAmount") for one in got[:3]] == [100.0, 80.0, 79.5]
    assert "currency of the account" in texts(got[3])[0]


async def test_summarised_errors_hide_what_was_written(xero: Caller) -> None:
    contact_id = await xero.contact()
    sent = {"Invoices": [invoice("W-1", contact_id), invoice("W-2", contact_id, line(1, AccountCode="999"))]}
    got = await xero.api("PUT", "Invoices", sent)
    assert (got.status, got.json["ErrorNumber"], got.json["Type"]) == (400, 10, "ValidationException")
    assert [one["InvoiceNumber"] for one in got.json["Elements"]] == ["W-2"]
    assert [one["InvoiceNumber"] for one in (await xero.admin("GET", "books/uk"))["invoices"]] == ["W-1"]


@pytest.mark.parametrize(
    "bad",
    [
        {"Status": "Authorised"},
        {"Date": "14.09.2026"},
        {"Date": "2026-02-30"},
        {"LineItems": [{"Description": "x", "Quantity": "two", "UnitAmount": 1, "AccountCode": "200"}]},
        {"LineItems": {"Description": "x"}},
        {"CurrencyRate": True},
    ],
)
async def test_unreadable_values_end_the_request_before_anything_is_written(xero: Caller, bad: dict[str, Any]) -> None:
    contact_id = await xero.contact()
    good = invoice("W-1", contact_id)
    got = await xero.api(
        "PUT", "Invoices?summarizeErrors=false", {"Invoices": [good, invoice("W-2", contact_id) | bad]}
    )
    assert (got.status, got.json["ErrorNumber"]) == (400, 17)
    assert (await xero.admin("GET", "books/uk"))["invoices"] == []


async def test_unknown_contact_id_is_a_404_for_the_whole_request(xero: Caller) -> None:
    stranger = "11111111-1111-1111-1111-111111111111"
    sent = {"Invoices": [invoice("W-1", await xero.contact()), invoice("W-2", stranger)]}
    got = await xero.api("PUT", "Invoices?summarizeErrors=false", sent)
    assert (got.status, got.raw, got.headers["Content-Type"]) == (404, b"", "text/html; charset=utf-8")
    assert (await xero.admin("GET", "books/uk"))["invoices"] == []


async def test_australian_and_german_tax(sandbox: Any, session: Any) -> None:
    au, de = Caller(sandbox, session, "au"), Caller(sandbox, session, "de")
    gst = (await au.invoices(invoice("A-1", await au.contact(), line(110), LineAmountTypes="Inclusive")))[0]
    assert (gst["TotalTax"], gst["LineItems"][0]["TaxType"], gst["CurrencyCode"]) == (10.0, "OUTPUT", "AUD")
    ust = (
        await de.invoices(
            invoice("D-1", await de.contact(), line(119), line(107, TaxType="TAX002"), LineAmountTypes="Inclusive")
        )
    )[0]
    assert [one["TaxAmount"] for one in ust["LineItems"]] == [19.0, 7.0]
