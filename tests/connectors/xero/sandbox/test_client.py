"""The real xero-python client works against the sandbox, and can read every shape it answers with."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from xero_python.accounting import AccountingApi
from xero_python.api_client import ApiClient
from xero_python.api_client.configuration import Configuration
from xero_python.api_client.oauth2 import OAuth2Token
from xero_python.exceptions import AccountingBadRequestException, NotFoundException

from connectors.xero.sandbox import Sandbox
from tests.connectors.xero.sandbox.conftest import Caller, invoice, payment


def client(sandbox: Sandbox, token: str) -> AccountingApi:
    """As xero.md §7 says: hidden retries off, one token."""
    configuration = Configuration()
    configuration.oauth2_token = OAuth2Token("id", "secret")
    held = {"access_token": token, "expires_in": 1800, "token_type": "Bearer", "scope": "", "expires_at": 9e9}
    made = ApiClient(configuration, oauth2_token_saver=lambda _: None, oauth2_token_getter=lambda: held)
    made.rest_client.pool_manager.connection_pool_kw["retries"] = False
    return AccountingApi(made, base_url=sandbox.api_url)


async def test_contact_invoice_payment_paid(sandbox: Sandbox, xero: Caller) -> None:
    api, org = client(sandbox, await xero.sign_in()), xero.org.id
    made = await asyncio.to_thread(
        api.create_contacts,
        org,
        contacts={"Contacts": [{"Name": "Ada Lovelace", "ContactNumber": "K1C1", "EmailAddress": "ada@example.com"}]},
        summarize_errors=False,
    )
    contact_id = made.contacts[0].contact_id
    sent = invoice("W-1", contact_id, LineAmountTypes="Inclusive", Reference="4711")
    done = await asyncio.to_thread(
        api.create_invoices, org, invoices={"Invoices": [sent]}, summarize_errors=False, unitdp=4, idempotency_key="k1"
    )
    assert (done.invoices[0].total, done.invoices[0].total_tax, done.invoices[0].status) == (21.0, 3.5, "AUTHORISED")
    paid = await asyncio.to_thread(
        api.create_payments, org, payments={"Payments": [payment("W-1", 21.0)]}, summarize_errors=False
    )
    assert paid.payments[0].payment_type == "ACCRECPAYMENT"
    assert (paid.payments[0].invoice.status, paid.payments[0].invoice.amount_due) == ("PAID", 0.0)
    found = await asyncio.to_thread(api.get_invoices, org, invoice_numbers=["W-1"], page=1)
    assert found.invoices[0].payments[0].amount == 21.0
    assert found.invoices[0].line_items[0].tax_type == "OUTPUT2"
    undone = await asyncio.to_thread(
        api.delete_payment, org, paid.payments[0].payment_id, payment_delete={"Status": "DELETED"}
    )
    assert (undone.payments[0].status, undone.payments[0].invoice.status) == ("DELETED", "AUTHORISED")


async def test_client_reads_reference_data_and_errors(sandbox: Sandbox, xero: Caller) -> None:
    api, org = client(sandbox, await xero.sign_in()), xero.org.id

    def work() -> dict[str, Any]:
        with pytest.raises(NotFoundException):
            api.get_invoice(org, "00000000-0000-0000-0000-00000000000a")
        with pytest.raises(AccountingBadRequestException) as refused:
            api.create_items(org, items={"Items": [{"Name": "no code"}]})
        assert "Code" in refused.value.reason
        return {
            "organisation": api.get_organisations(org).organisations[0],
            "actions": api.get_organisation_actions(org).actions,
            "accounts": api.get_accounts(org, where='SystemAccount=="ROUNDING"').accounts,
            "taxes": api.get_tax_rates(org, where='TaxType=="OUTPUT2"').tax_rates,
            "currencies": api.get_currencies(org).currencies,
            "tracking": api.get_tracking_categories(org).tracking_categories,
            "items": api.update_or_create_items(
                org, items={"Items": [{"Code": "A", "SalesDetails": {"UnitPrice": 1.5}}]}, summarize_errors=False
            ).items,
        }

    got = await asyncio.to_thread(work)
    assert (got["organisation"].base_currency.value, got["organisation"].timezone.value) == ("GBP", "GMTSTANDARDTIME")
    assert got["organisation"].period_lock_date is not None
    assert {one.name: one.status for one in got["actions"]}["UseMulticurrency"] == "ALLOWED"
    assert [one.code for one in got["accounts"]] == ["860"]
    assert [one.effective_rate for one in got["taxes"]] == [20.0]
    assert [one.code.value for one in got["currencies"]] == ["GBP", "USD", "EUR"]
    assert got["tracking"][0].options[0].name == "Web"
    assert got["items"][0].sales_details.unit_price == 1.5


async def test_credit_note_refund_and_allocation_through_the_client(sandbox: Sandbox, xero: Caller) -> None:
    api, org, contact_id = client(sandbox, await xero.sign_in()), xero.org.id, await xero.contact()
    await xero.invoices(invoice("W-1", contact_id), invoice("W-2", contact_id))
    line = {"Description": "Back", "Quantity": 2, "UnitAmount": 10.5, "AccountCode": "200"}
    common = {
        "Type": "ACCRECCREDIT",
        "Contact": {"ContactID": contact_id},
        "Date": "2026-09-16",
        "Status": "AUTHORISED",
    }
    notes = [common | {"CreditNoteNumber": f"CN-{n}", "LineItems": [line]} for n in (1, 2)]

    def work() -> Any:
        made = api.create_credit_notes(org, credit_notes={"CreditNotes": notes}, summarize_errors=False).credit_notes
        assert [float(one.remaining_credit) for one in made] == [25.2, 25.2]
        refund = {
            "CreditNote": {"CreditNoteNumber": "CN-1"},
            "Account": {"Code": "092"},
            "Amount": 25.2,
            "Date": "2026-09-16",
        }
        paid = api.create_payments(org, payments={"Payments": [refund]}, summarize_errors=False).payments[0]
        assert (paid.payment_type, paid.invoice.invoice_number) == ("ARCREDITPAYMENT", "CN-1")
        target = {"Amount": 20, "Date": "2026-09-16", "Invoice": {"InvoiceNumber": "W-1"}}
        allocation = {"Allocations": [target]}
        api.create_credit_note_allocation(org, made[1].credit_note_id, allocations=allocation, summarize_errors=False)
        return [api.get_credit_note(org, one).credit_notes[0] for one in ("CN-1", "CN-2")], api.get_invoice(org, "W-1")

    notes_after, one_invoice = await asyncio.to_thread(work)
    assert [(one.status, float(one.remaining_credit)) for one in notes_after] == [("PAID", 0.0), ("AUTHORISED", 5.2)]
    assert (float(one_invoice.invoices[0].amount_due), float(one_invoice.invoices[0].amount_credited)) == (5.2, 20.0)


async def test_client_reads_the_whole_reference_data_of_every_organisation(sandbox: Sandbox, session: Any) -> None:
    for slug in ("uk", "au", "de"):
        caller = Caller(sandbox, session, slug)
        api, org = client(sandbox, await caller.sign_in()), caller.org.id
        taxes = (await asyncio.to_thread(api.get_tax_rates, org)).tax_rates
        accounts = (await asyncio.to_thread(api.get_accounts, org)).accounts
        known = {one.tax_type for one in taxes}
        assert {one.tax_type for one in accounts} <= known
        assert [one.code for one in accounts if one.system_account == "ROUNDING"] == ["860"]
        clearing = [one for one in accounts if one.type.value == "BANK" and "Clearing" in one.name]
        assert {caller.org.base_currency} <= {one.currency_code.value for one in clearing}
