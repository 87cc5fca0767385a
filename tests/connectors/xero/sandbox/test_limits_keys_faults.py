"""Limits, idempotency keys and planned faults: what makes a sink lose or double, and what must not."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from connectors.xero.sandbox import Sandbox
from tests.connectors.xero.sandbox.conftest import Caller, invoice


async def limited(xero: Caller, **limits: int) -> None:
    await xero.sign_in()
    await xero.admin("POST", "settings", {"org": "uk", "limits": limits})


async def test_minute_limit_headers_and_window(xero: Caller) -> None:
    await limited(xero, minute=3, day=100)
    first = await xero.api("GET", "Currencies")
    assert first.headers["X-MinLimit-Remaining"] == "2"
    assert first.headers["X-DayLimit-Remaining"] == "99"
    assert first.headers["X-AppMinLimit-Remaining"] == "9999"
    await xero.api("GET", "Currencies")
    bad = await xero.api("PUT", "Contacts", b"{")
    assert (bad.status, bad.headers["X-MinLimit-Remaining"]) == (400, "0")
    over = await xero.api("GET", "Currencies")
    assert (over.status, over.raw) == (429, b"")
    assert "Content-Type" not in over.headers
    assert over.headers["X-Rate-Limit-Problem"] == "minute"
    assert over.headers["X-DayLimit-Remaining"] == "97"
    wait = int(over.headers["Retry-After"])
    assert 1 <= wait <= 60
    await xero.clock(wait)
    assert (await xero.api("GET", "Currencies")).headers["X-MinLimit-Remaining"] == "2"


async def test_day_limit_names_itself_and_waits_for_the_tenants_own_midnight(xero: Caller) -> None:
    await limited(xero, day=2)
    assert [(await xero.api("GET", "Currencies")).status for _ in range(3)] == [200, 200, 429]
    over = await xero.api("GET", "Currencies")
    assert over.headers["X-Rate-Limit-Problem"] == "day"
    assert 1 <= int(over.headers["Retry-After"]) <= 86_400
    await xero.clock(int(over.headers["Retry-After"]))
    await xero.sign_in()
    assert (await xero.api("GET", "Currencies")).status == 200


async def test_concurrent_and_app_limits_name_no_time(xero: Caller) -> None:
    await limited(xero, concurrent=2)
    await xero.admin("POST", "settings", {"org": "uk", "latency": {"base_ms": 100}})
    await xero.admin("POST", "clock", {"speed": 1})
    got = await asyncio.gather(*(xero.api("GET", "Currencies") for _ in range(5)))
    assert sorted(one.status for one in got) == [200, 200, 429, 429, 429]
    refused = next(one for one in got if one.status == 429)
    assert refused.headers["X-Rate-Limit-Problem"] == "concurrent"
    assert "Retry-After" not in refused.headers
    await xero.admin("POST", "settings", {"app_minute": 1})
    over = await xero.api("GET", "Currencies")
    assert (over.status, over.headers["X-Rate-Limit-Problem"]) == (429, "app-minute")


async def test_rolling_windows_are_an_option(xero: Caller) -> None:
    await xero.admin("POST", "settings", {"rolling": True})
    await limited(xero, minute=2)
    await xero.api("GET", "Currencies")
    await xero.clock(40)
    await xero.api("GET", "Currencies")
    over = await xero.api("GET", "Currencies")
    assert (over.status, over.headers["Retry-After"]) == (429, "20")


async def test_limits_stand_before_keys(xero: Caller) -> None:
    contact_id = await xero.contact()
    await limited(xero, minute=2)
    body = {"Invoices": [invoice("W-1", contact_id)]}
    first = await xero.api("PUT", "Invoices", body, key="k")
    over = await xero.api("PUT", "Invoices", body, key="k")
    assert (first.status, over.status) == (200, 429)


async def test_a_key_replays_for_six_minutes_and_then_forgets(xero: Caller) -> None:
    contact_id = await xero.contact()
    body = {"Invoices": [invoice("W-1", contact_id)]}
    first = await xero.api("PUT", "Invoices?summarizeErrors=false", body, key="k1")
    await xero.clock(359)
    again = await xero.api("PUT", "Invoices?summarizeErrors=false", body, key="k1")
    assert (again.status, again.raw) == (200, first.raw)
    for path, sent in (("Invoices?summarizeErrors=true", body), ("Invoices?summarizeErrors=false", {"Invoices": []})):
        other = await xero.api("PUT", path, sent, key="k1")
        assert (other.status, other.json["Message"]) == (400, "Idempotency Key: k1 is used with a different request.")
    await xero.clock(1)
    late = await xero.api("PUT", "Invoices?summarizeErrors=false", body, key="k1")
    assert late.json["Invoices"][0]["ValidationErrors"] == [{"Message": "Invoice # must be unique."}]
    assert (await xero.api("PUT", "Invoices", body, key="x" * 129)).status == 400
    counts = await xero.admin("GET", "requests?org=uk")
    assert sum(one["replays"] for one in counts["counts"]) == 1


async def test_a_twin_waits_for_the_first_and_errors_are_kept(xero: Caller) -> None:
    contact_id = await xero.contact()
    await xero.admin("POST", "settings", {"latency": {"base_ms": 60}})
    await xero.admin("POST", "clock", {"speed": 1})
    part = {"Invoices": [invoice("W-1", contact_id)]}
    twins = await asyncio.gather(*(xero.api("PUT", "Invoices", part, key="k") for _ in range(3)))
    assert len({one.raw for one in twins}) == 1
    assert twins[0].status == 200
    refused = await xero.api("PUT", "Invoices", part, key="k2")
    await xero.admin("POST", "edit", {"org": "uk", "action": "renumber", "number": "W-1", "to": "W-1-old"})
    assert (await xero.api("PUT", "Invoices", part, key="k2")).raw == refused.raw
    assert refused.status == 400


@pytest.mark.parametrize(("scope", "statuses"), [("app", ["OK", "OK"]), ("token", ["OK", "ERROR"])])
async def test_keys_belong_to_the_app_or_to_the_token(xero: Caller, scope: str, statuses: list[str]) -> None:
    await xero.admin("POST", "settings", {"idempotency_scope": scope})
    body = {"Invoices": [invoice("W-1", await xero.contact())]}
    got = []
    for _ in range(2):
        answer = await xero.api("PUT", "Invoices?summarizeErrors=false", body, key="k")
        got.append(answer.json["Invoices"][0]["StatusAttributeString"])
        await xero.sign_in()
    assert got == statuses


LOST = (aiohttp.ClientError, asyncio.TimeoutError)


@pytest.mark.parametrize(
    ("kind", "committed"),
    [("drop_before", False), ("drop_after", True), ("truncate_after", True), ("stall_after", True)],
)
async def test_a_lost_answer_says_nothing_about_the_books(xero: Caller, kind: str, committed: bool) -> None:
    body = {"Invoices": [invoice("W-1", await xero.contact())]}
    fault = {"kind": kind, "method": "PUT", "path": "Invoices", "seconds": 0.6}
    await xero.admin("POST", "faults", fault)
    xero.session._timeout = aiohttp.ClientTimeout(total=0.3)
    with pytest.raises(LOST):
        await xero.api("PUT", "Invoices", body, key="k")
    xero.session._timeout = aiohttp.ClientTimeout(total=10)
    assert len((await xero.admin("GET", "books/uk"))["invoices"]) == int(committed)
    again = await xero.api("PUT", "Invoices", body, key="k")
    assert again.json["Invoices"][0]["InvoiceNumber"] == "W-1"
    assert len((await xero.admin("GET", "books/uk"))["invoices"]) == 1
    assert (await xero.admin("GET", "faults"))["faults"][0]["fired"] == 1


async def test_a_stalled_call_is_carried_out_though_its_client_has_gone(xero: Caller) -> None:
    body = {"Invoices": [invoice("W-1", await xero.contact())]}
    await xero.admin("POST", "faults", {"kind": "stall_before", "method": "PUT", "path": "Invoices", "seconds": 0.6})
    xero.session._timeout = aiohttp.ClientTimeout(total=0.2)
    with pytest.raises(LOST):
        await xero.api("PUT", "Invoices", body)
    xero.session._timeout = aiohttp.ClientTimeout(total=10)
    assert (await xero.admin("GET", "books/uk"))["invoices"] == []
    for _ in range(100):
        if (await xero.admin("GET", "books/uk"))["invoices"]:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the call was never carried out")


@pytest.mark.parametrize(
    ("kind", "status", "committed", "kept"),
    [
        ("500_before", 500, 0, 500),
        ("500_after", 500, 1, 500),
        ("503", 503, 0, 200),
        ("404_html", 404, 0, 200),
        ("html_200_after", 200, 1, 200),
        ("429", 429, 0, 200),
        ("401", 401, 0, 200),
    ],
)
async def test_wrong_answers(xero: Caller, kind: str, status: int, committed: int, kept: int) -> None:
    body = {"Invoices": [invoice("W-1", await xero.contact())]}
    await xero.admin("POST", "faults", {"kind": kind, "path": "/Invoices", "org": "uk"})
    first = await xero.api("PUT", "Invoices", body, key="k")
    assert first.status == status
    assert len((await xero.admin("GET", "books/uk"))["invoices"]) == committed
    again = await xero.api("PUT", "Invoices", body, key="k")
    assert again.status == kept  # internal errors are kept under the key, even when the work was done
    if kind == "html_200_after":
        assert first.headers["Content-Type"].startswith("text/html")
        assert again.json["Invoices"][0]["Status"] == "AUTHORISED"


async def test_a_plan_counts_requests_and_repeats_its_dice(xero: Caller) -> None:
    await xero.admin("POST", "faults", {"kind": "503", "path": "Currencies", "nth": 2, "times": 2})
    assert [(await xero.api("GET", "Currencies")).status for _ in range(4)] == [200, 503, 503, 200]
    runs = []
    for _ in range(2):
        plan: dict[str, Any] = {"kind": "503", "path": "Currencies", "probability": 0.5, "times": 0}
        await xero.admin("POST", "faults", {"seed": 7, "faults": [plan]})
        runs.append([(await xero.api("GET", "Currencies")).status for _ in range(12)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}
    bad = await xero.send("POST", "/_sandbox/faults", json={"kind": "explode"})
    assert bad.status == 400
    assert "drop_after" in bad.json["error"]


async def test_the_request_log_counts_calls(sandbox: Sandbox, xero: Caller) -> None:
    contact_id = await xero.contact()
    mark = (await xero.admin("GET", "requests"))["last_seq"]
    await xero.invoices(invoice("W-1", contact_id), invoice("W-1", contact_id))
    await xero.api("GET", "Invoices/W-1")
    log = await xero.admin("GET", f"requests?org=uk&after={mark}&limit=5")
    assert [(one["method"], one["route"], one["elements"], one["failed"]) for one in log["counts"]] == [
        ("PUT", "Invoices", 2, 1),
        ("GET", "Invoices/{id}", 1, 0),
    ]
    assert log["total"] == 2
    assert log["recent"][0]["url"] == "/api.xro/2.0/Invoices/W-1"
    assert (await xero.admin("GET", "requests?org=au"))["total"] == 0
