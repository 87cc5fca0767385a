"""Bank transactions and bank transfers of the sandbox: no number keeps one from being there twice."""

from __future__ import annotations

from typing import Any

from tests.connectors.xero.sandbox.conftest import Caller, invoice, payment, texts

SCOPE = "accounting.invoices accounting.payments accounting.contacts accounting.settings.read"


def spend(*amounts: float, **more: Any) -> dict[str, Any]:
    """Fees out of the Stripe clearing account."""
    lines = [
        {"Description": "Fees", "Quantity": 1, "UnitAmount": one, "AccountCode": "404", "TaxType": "NONE"}
        for one in amounts
    ]
    return {
        "Type": "SPEND", "Contact": {"Name": "Stripe"}, "BankAccount": {"Code": "092"}, "Date": "2026-09-15",
        "Reference": "emea/stripe/po_1 fees", "LineAmountTypes": "Inclusive", "LineItems": lines,
    } | more  # fmt: skip


def transfer(amount: float, **more: Any) -> dict[str, Any]:
    return {
        "FromBankAccount": {"Code": "092"}, "ToBankAccount": {"Code": "090"}, "Amount": amount, "Date": "2026-09-15",
        "Reference": "emea/stripe/po_1 payout",
    } | more  # fmt: skip


async def bank(xero: Caller) -> None:
    await xero.sign_in(f"{SCOPE} accounting.banktransactions")


async def written(xero: Caller, resource: str, *given: dict[str, Any]) -> list[Any]:
    got = await xero.api("PUT", f"{resource}?summarizeErrors=false", {resource: list(given)})
    assert got.status == 200, got.raw
    return list(got.json[resource])


async def test_an_order_its_fee_and_its_payout_leave_nothing_on_the_clearing_account(xero: Caller) -> None:
    await bank(xero)
    await xero.invoices(invoice("INV-1", await xero.contact()))  # 21.00 and 20 %
    await xero.pay(payment("INV-1", 25.2))
    (spent,) = await written(xero, "BankTransactions", spend(0.7))
    (moved,) = await written(xero, "BankTransfers", transfer(24.5))
    assert (spent["Total"], spent["TotalTax"], spent["Contact"]["Name"]) == (0.7, 0.0, "Stripe")
    assert (moved["Amount"], moved["FromBankAccount"]["Code"], moved["ToBankAccount"]["Code"]) == (24.5, "092", "090")
    books = await xero.admin("GET", "books/uk")
    assert (books["balances"]["092"], books["balances"]["090"]) == (0.0, 24.5)
    assert b"24.50" in (await xero.send("GET", "/books/uk/bank")).raw


async def test_the_same_twice_is_there_twice(xero: Caller) -> None:
    await bank(xero)
    await written(xero, "BankTransactions", spend(1.0), spend(1.0))
    await written(xero, "BankTransfers", transfer(5.0))
    await written(xero, "BankTransfers", transfer(5.0))
    books = await xero.admin("GET", "books/uk")
    assert [one["Type"] for one in books["bank_transactions"]] == [
        "SPEND",
        "SPEND",
        *["SPEND-TRANSFER", "RECEIVE-TRANSFER"] * 2,
    ]
    assert len(books["bank_transfers"]) == 2


async def test_what_xero_refuses(xero: Caller) -> None:
    await bank(xero)
    refused = await written(
        xero, "BankTransactions", spend(1.0, BankAccount={"Code": "404"}), spend(-1.0), spend(1.0, Contact={}),
        spend(1.0, CurrencyCode="USD"), spend(1.0, -2.0),
    )  # fmt: skip
    assert [texts(one) for one in refused] == [
        ["The bank account must be of type BANK"],
        ["The document total cannot be negative"],
        ["A Contact must be specified"],
        ["The currency of a bank transaction must be that of its bank account"],
        ["The document total cannot be negative"],
    ]
    assert all(set(one["BankTransactionID"]) == {"0", "-"} for one in refused)
    for given, text in (
        (transfer(0.0), "The amount transferred must be greater than zero"),
        (transfer(1.0, ToBankAccount={"Code": "094"}), "You cannot transfer between accounts in different currencies"),
        (transfer(1.0, ToBankAccount={"Code": "092"}), "A transfer must be between two different bank accounts"),
        (transfer(1.0, ToBankAccount={"Code": "404"}), "The bank account must be of type BANK"),
    ):
        got = await xero.api("PUT", "BankTransfers", {"BankTransfers": [given]})
        assert (got.status, texts(got.json["Elements"][0])) == (400, [text])


async def test_dollars_are_spent_at_the_rate_sent(xero: Caller) -> None:
    await bank(xero)
    (spent,) = await written(xero, "BankTransactions", spend(2.0, BankAccount={"Code": "094"}, CurrencyRate=1.25))
    assert (spent["CurrencyCode"], spent["CurrencyRate"], spent["Total"]) == ("USD", 1.25, 2.0)


async def test_a_list_is_filtered_by_date_and_a_filter_on_reference_matches_nothing(xero: Caller) -> None:
    await bank(xero)
    await written(xero, "BankTransactions", spend(1.0), spend(2.0, Date="2026-09-16"), spend(3.0))
    await written(xero, "BankTransfers", transfer(5.0))

    async def found(resource: str, where: str) -> Any:
        return (await xero.api("GET", f"{resource}?where={where}&page=1&pageSize=2&order=BankTransactionID")).json

    paged = await found("BankTransactions", 'Date==DateTime(2026,09,15) AND Type=="SPEND"')
    assert sorted(one["Total"] for one in paged["BankTransactions"]) == [1.0, 3.0]
    assert paged["pagination"]["itemCount"] == 2
    assert (await found("BankTransactions", 'Reference=="emea/stripe/po_1 fees"'))["BankTransactions"] == []
    got = await xero.api("GET", "BankTransfers?where=Date==DateTime(2026,09,15)")
    assert [one["Amount"] for one in got.json["BankTransfers"]] == [5.0]


async def test_without_its_scope_nothing_is_shown(xero: Caller) -> None:
    await xero.sign_in(SCOPE)
    for resource in ("BankTransactions", "BankTransfers"):
        assert (await xero.api("GET", resource)).status == 401


async def test_what_a_person_takes_away_or_enters_again(xero: Caller) -> None:
    await bank(xero)
    (spent,) = await written(xero, "BankTransactions", spend(1.0))
    await written(xero, "BankTransfers", transfer(5.0))
    await xero.admin("POST", "edit", {"org": "uk", "action": "duplicate_bank", "reference": "emea/stripe/po_1"})
    edit = {"org": "uk", "action": "edit_bank", "transfer": True, "reference": "emea/", "amount": "4.00"}
    await xero.admin("POST", "edit", edit)
    await xero.admin("POST", "edit", {"org": "uk", "action": "delete_bank", "id": spent["BankTransactionID"]})
    books = await xero.admin("GET", "books/uk")
    kept = [one["Status"] for one in books["bank_transactions"] if one["Type"] == "SPEND"]
    assert (kept, books["balances"]["092"], books["balances"]["090"]) == (["DELETED", "AUTHORISED"], -5.0, 4.0)
