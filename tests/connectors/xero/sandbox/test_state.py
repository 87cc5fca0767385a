"""State on disk: a restart and a kill -9 lose nothing that was answered. The pages and an accountant's edits."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.xero.sandbox import Limits, Sandbox, SandboxSettings, default_organisations, organisation_from
from connectors.xero.sandbox.errors import SettingRefused, StateUnreadable
from tests.connectors.xero.sandbox.conftest import ROOMY, Caller, frozen, invoice, payment


async def test_a_restart_continues_where_it_stopped(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    settings = SandboxSettings(state=tmp_path, limits=ROOMY)
    clock = frozen()
    async with Sandbox(settings, clock=clock) as first:
        xero = Caller(first, session)
        contact_id = await xero.contact("Ada", ContactNumber="C1")
        body = {"Invoices": [invoice("W-1", contact_id, Reference="R"), invoice("W-2", contact_id)]}
        sent = await xero.api("PUT", "Invoices?unitdp=4", body, key="k")
        await xero.pay(payment("W-1", 25.2, Reference="W-1/1"))
        await xero.admin("POST", "settings", {"org": "uk", "limits": {"day": 500}, "period_lock_date": "2026-01-31"})
        await xero.clock(100)
        before = await xero.admin("GET", "books/uk")
        calls = (await xero.admin("GET", "requests"))["total"]
        token = xero.token
    async with Sandbox(settings, clock=frozen()) as second:
        again = Caller(second, session)
        again.token = token
        assert await again.admin("GET", "books/uk") == before
        assert (await again.admin("GET", "requests"))["total"] == calls
        assert (await again.admin("GET", "settings"))["organisations"]["uk"]["period_lock_date"] == "2026-01-31"
        replay = await again.api("PUT", "Invoices?unitdp=4", body, key="k")
        assert replay.raw == sent.raw
        assert replay.headers["X-DayLimit-Remaining"] == str(500 - 4)
        taken = await again.invoices(invoice("W-2", contact_id))
        assert taken[0]["StatusAttributeString"] == "ERROR"
        found = await again.api("GET", "Payments?where=Reference%3D%3D%22W-1/1%22")
        assert found.json["Payments"][0]["Amount"] == 25.2
        assert second.clock.time() == clock.time()


@pytest.mark.parametrize("rolling", [False, True])
async def test_a_restart_does_not_forget_the_minute(
    tmp_path: Path, session: aiohttp.ClientSession, rolling: bool
) -> None:
    settings = SandboxSettings(state=tmp_path, limits=Limits(minute=3), rolling=rolling)
    async with Sandbox(settings, clock=frozen()) as first:
        for _ in range(2):
            await Caller(first, session).api("GET", "Organisation")
    async with Sandbox(settings, clock=frozen()) as second:
        xero = Caller(second, session)
        assert (await xero.api("GET", "Organisation")).headers["X-MinLimit-Remaining"] == "0"
        assert (await xero.api("GET", "Organisation")).status == 429
        await xero.clock(61)
        assert (await xero.api("GET", "Organisation")).headers["X-MinLimit-Remaining"] == "2"


async def start(state: Path) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connectors.xero.sandbox", "--port", "0", "--state", str(state),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    return process, json.loads(await asyncio.wait_for(process.stdout.readline(), 30))


async def test_kill_9_keeps_every_answered_batch_whole(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    process, ready = await start(tmp_path)
    answered: list[str] = []

    async def shop() -> None:
        stand_in = Sandbox()  # only for its organisations and ids; the calls go to the process
        stand_in.base_url = ready["url"]
        xero = Caller(stand_in, session)
        contact_id = await xero.contact()
        for batch in range(2000):
            sent = [invoice(f"B{batch}-{n}", contact_id) for n in range(5)]
            answered.extend(one["InvoiceNumber"] for one in await xero.invoices(*sent))
            if len(answered) == 30:  # while the next batches are on their way
                asyncio.get_running_loop().call_later(0.005, process.send_signal, signal.SIGKILL)

    with pytest.raises(aiohttp.ClientError):
        await shop()
    await process.wait()
    process, ready = await start(tmp_path)
    try:
        async with session.get(ready["url"] + "/_sandbox/books/uk") as got:
            numbers = [one["InvoiceNumber"] for one in (await got.json())["invoices"]]
        assert set(answered) <= set(numbers)
        assert len(numbers) % 5 == 0
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "xero-sandbox.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 50)
    with pytest.raises(StateUnreadable, match="--state"):
        Sandbox(SandboxSettings(state=tmp_path))


async def test_organisations_can_be_added(session: aiohttp.ClientSession) -> None:
    extra = organisation_from(
        {
            "slug": "bulk",
            "name": "Bulk Ltd",
            "template": "uk",
            "currencies": ["GBP", "SEK"],
            "accounts": [{"code": "099", "name": "Swish", "type": "BANK", "currency": "SEK"}],
            "tax_rates": [{"type": "TAX001", "name": "Moms 25%", "percent": 25, "applies": "AELR"}],
        }
    )
    async with Sandbox(organisations=[*default_organisations(), extra], clock=frozen()) as sandbox:
        bulk = Caller(sandbox, session, "bulk")
        line = {"Description": "x", "Quantity": 1, "UnitAmount": 125, "AccountCode": "200", "TaxType": "TAX001"}
        sent = invoice("S-1", await bulk.contact(), line, CurrencyCode="SEK", LineAmountTypes="Inclusive")
        made = (await bulk.invoices(sent))[0]
        assert (made["TotalTax"], made["CurrencyCode"]) == (25.0, "SEK")
        paid = await bulk.pay(payment("S-1", 125, Account={"Code": "099"}))
        assert paid[0]["Invoice"]["Status"] == "PAID"
    with pytest.raises(SettingRefused, match="template"):
        organisation_from({"slug": "x", "name": "x", "template": "moon"})
    with pytest.raises(SettingRefused, match="loopback"):
        Sandbox(SandboxSettings(host="0.0.0.0"))


async def test_an_accountants_edits(xero: Caller) -> None:
    contact_id = await xero.contact()
    await xero.invoices(invoice("W-1", contact_id), invoice("W-2", contact_id))
    await xero.pay(payment("W-1", 25.2), payment("W-2", 25.2))

    async def edit(action: str, **more: Any) -> None:
        await xero.admin("POST", "edit", {"org": "uk", "action": action, **more})

    await edit("delete_payment", number="W-1")
    await edit("edit_amount", number="W-1", unit_amount="11.00")
    await edit("duplicate_invoice", number="W-1")
    await edit("void", number="W-2")
    await edit("archive_contact", id=contact_id)
    book = await xero.admin("GET", "books/uk")
    assert {one["InvoiceNumber"]: (one["Status"], one["Total"], one["AmountPaid"]) for one in book["invoices"]} == {
        "W-1": ("AUTHORISED", 26.4, 0.0),
        "W-2": ("VOIDED", 25.2, 0.0),
        "W-1-COPY": ("AUTHORISED", 26.4, 0.0),
    }
    assert [one["Status"] for one in book["payments"]] == ["DELETED", "DELETED"]
    assert book["contacts"][0]["ContactStatus"] == "ARCHIVED"
    other = await xero.contact("Grace Hopper")
    await edit("merge_contact", id=contact_id, into=other)
    book = await xero.admin("GET", "books/uk")
    assert {one["Contact"]["ContactID"] for one in book["invoices"]} == {other}
    shown = await xero.api("GET", f"Contacts?IDs={contact_id}&includeArchived=true")
    assert shown.json["Contacts"][0]["MergedToContactID"] == other
    bad = await xero.send("POST", "/_sandbox/edit", json={"org": "uk", "action": "void", "number": "W-9"})
    assert (bad.status, bad.json["error"]) == (400, "no invoice 'W-9' in uk")


async def test_the_books_can_be_looked_at(xero: Caller) -> None:
    contact_id = await xero.contact("<b>Ada</b>".replace("<b>", "").replace("</b>", " & Co"))
    await xero.invoices(invoice("W/1", contact_id, Reference="<script>"))
    await xero.pay(payment("W/1", 25.2, Reference="W/1/1"))
    home = (await xero.send("GET", "/books")).raw.decode()
    assert "Demo Company (UK)" in home
    listing = (await xero.send("GET", "/books/uk?q=ada")).raw.decode()
    assert "/books/uk/invoices/W%2F1" in listing
    assert "&lt;script&gt;" in listing
    assert "<script>" not in listing
    page = (await xero.send("GET", "/books/uk/invoices/W%2F1")).raw.decode()
    assert "Ada &amp; Co" in page
    assert "OUTPUT2 20%" in page
    assert "25.20" in page
    for path in ("payments", "contacts", "credit-notes"):
        assert (await xero.send("GET", f"/books/uk/{path}")).status == 200
    assert (await xero.send("GET", "/books/mars")).status == 404
