"""A sandbox on a frozen clock, and a plain HTTP caller that knows nothing of the sandbox's inside."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from connectors.xero.sandbox import Clock, Limits, Sandbox, SandboxSettings

START = datetime(2026, 9, 14, 9, 30, tzinfo=UTC).timestamp()
ROOMY = Limits(minute=100_000, day=1_000_000, concurrent=5)
SCOPES = "accounting.invoices accounting.payments accounting.contacts accounting.settings.read"


def frozen() -> Clock:
    """A clock that moves only when told."""
    return Clock(speed=0, anchor=START)


@dataclass
class Reply:
    """An HTTP reply, read."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.raw)


class Caller:
    """Calls the API as one organisation's custom connection."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession, slug: str = "uk"):
        self.sandbox = sandbox
        self.session = session
        self.org = next(org for org in sandbox.organisations if org.slug == slug)
        self.token = ""

    async def send(self, method: str, url: str, **options: Any) -> Reply:
        """A request to any path of the sandbox."""
        async with self.session.request(method, self.sandbox.base_url + url, allow_redirects=False, **options) as got:
            return Reply(got.status, dict(got.headers), await got.read())

    async def sign_in(self, scope: str = SCOPES) -> str:
        """A fresh token by client credentials."""
        auth = basic(self.org.client_id, self.org.client_secret)
        form = {"grant_type": "client_credentials", "scope": scope}
        got = await self.send("POST", "/connect/token", data=form, headers=auth)
        assert got.status == 200, got.raw
        self.token = got.json["access_token"]
        return self.token

    async def api(
        self, method: str, path: str, body: Any = None, *, key: str = "", headers: dict[str, str] | None = None
    ) -> Reply:
        """A request under /api.xro/2.0/; `body` is JSON or bytes."""
        if not self.token:
            await self.sign_in()
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        if key:
            sent["Idempotency-Key"] = key
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return await self.send(method, f"/api.xro/2.0/{path}", data=data, headers=sent)

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        """The side door; asserts success."""
        got = await self.send(method, f"/_sandbox/{path}", json=body)
        assert got.status == 200, got.raw
        return got.json

    async def contact(self, name: str = "Ada Lovelace", **more: Any) -> str:
        """The id of a new contact."""
        got = await self.api("PUT", "Contacts", {"Contacts": [{"Name": name, **more}]})
        assert got.status == 200, got.raw
        return str(got.json["Contacts"][0]["ContactID"])

    async def invoices(self, *given: dict[str, Any], query: str = "summarizeErrors=false&unitdp=4") -> list[Any]:
        """PUT invoices; all elements of the answer."""
        got = await self.api("PUT", f"Invoices?{query}", {"Invoices": list(given)})
        assert got.status == 200, got.raw
        return list(got.json["Invoices"])

    async def pay(self, *given: dict[str, Any]) -> list[Any]:
        """PUT payments; all elements of the answer."""
        got = await self.api("PUT", "Payments?summarizeErrors=false", {"Payments": list(given)})
        assert got.status == 200, got.raw
        return list(got.json["Payments"])

    async def clock(self, seconds: float) -> None:
        """Move the sandbox's time."""
        await self.admin("POST", "clock", {"advance": seconds})


def basic(client_id: str, secret: str) -> dict[str, str]:
    """The header of HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def invoice(number: str, contact_id: str, *lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An authorised sales invoice of 21.00 plus tax, unless lines say otherwise."""
    return {
        "Type": "ACCREC",
        "InvoiceNumber": number,
        "Contact": {"ContactID": contact_id},
        "Date": "2026-09-14",
        "DueDate": "2026-09-14",
        "Status": "AUTHORISED",
        "LineAmountTypes": "Exclusive",
        "LineItems": list(lines)
        or [{"Description": "Coffee", "Quantity": 2, "UnitAmount": 10.5, "AccountCode": "200"}],
    } | more


def payment(number: str, amount: float, **more: Any) -> dict[str, Any]:
    """A payment into the first clearing account."""
    return {
        "Invoice": {"InvoiceNumber": number},
        "Account": {"Code": "092"},
        "Date": "2026-09-15",
        "Amount": amount,
    } | more


def texts(element: dict[str, Any]) -> list[str]:
    """The messages of an element."""
    return [one["Message"] for one in element["ValidationErrors"]]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as made:
        made._retry_connection = False  # else aiohttp repeats a PUT by itself and no drop is ever seen
        yield made


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(SandboxSettings(limits=ROOMY), clock=frozen()) as running:
        yield running


@pytest.fixture
async def xero(sandbox: Sandbox, session: aiohttp.ClientSession) -> Caller:
    return Caller(sandbox, session)
