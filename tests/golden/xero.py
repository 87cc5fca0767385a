"""The Xero sandbox in this process, on its real HTTP port, with one organisation for each case.

Contacts, invoices and payments go out as the sink's own bytes, through the sink's own client; what comes back is Xero's
arithmetic, which shares no module with ours.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from queue import Queue
from typing import Any

import httpx
import orjson

from connectors.xero import batch, reference
from connectors.xero.auth import SCOPES, SETTLEMENT_SCOPES, CustomConnection, Identity, IdentitySettings
from connectors.xero.calls import Call
from connectors.xero.client import ClientSettings, XeroClient
from connectors.xero.core.state import Document, Step
from connectors.xero.sandbox import Clock, Limits, Sandbox, SandboxSettings
from connectors.xero.sandbox.chart import Organisation
from schemas.types import RefundNote, Sale, Tender
from streams.rules.reference import OrgReference, build

START = datetime(2026, 11, 2, 12, 0, tzinfo=UTC).timestamp()
ROOMY = Limits(minute=1_000_000, day=1_000_000, concurrent=5)
TRANSPORT = httpx.HTTPTransport(verify=False)
Body = dict[str, Any]
T0 = datetime(2026, 11, 2, tzinfo=UTC)
SERIALS = itertools.count(1)


@contextmanager
def running(organisations: Sequence[Organisation]) -> Iterator[Sandbox]:
    """The sandbox on a thread of its own (its store belongs to the thread that makes it), its clock frozen."""
    settings, clock = SandboxSettings(limits=ROOMY), Clock(speed=0, anchor=START)
    started: Queue[tuple[Sandbox, asyncio.AbstractEventLoop, asyncio.Event]] = Queue()

    async def serve() -> None:
        async with Sandbox(settings, organisations=organisations, clock=clock) as sandbox:
            stop = asyncio.Event()
            started.put((sandbox, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    sandbox, loop, stop = started.get(timeout=60)
    try:
        yield sandbox
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)


class Books:
    """One organisation's books, over HTTP."""

    def __init__(self, sandbox: Sandbox, slug: str, *, settles: bool = False) -> None:
        org = next(one for one in sandbox.organisations if one.slug == slug)
        identity = Identity(
            IdentitySettings(token_url=f"{sandbox.base_url}/connect/token"),
            org.client_id,
            org.client_secret,
            TRANSPORT,
        )
        scopes = SETTLEMENT_SCOPES if settles else SCOPES
        self._client = XeroClient(ClientSettings(api_url=sandbox.api_url), CustomConnection(identity, scopes))

    def close(self) -> None:
        self._client.close()

    def add_items(self, items: Sequence[Body]) -> None:
        if items:
            self._write(Step.ITEM, list(map(_json, items)))

    def reference(self) -> OrgReference:
        """What the lane owner would publish, read as it reads."""
        rows = []
        for call in reference.calls(None):
            if "Contacts" not in call.path:
                rows += reference.digest(call, self._client.call(call))
        found = build((row.kind, row.code, row.document) for row in rows)
        assert found is not None
        return found

    def contact(self, sale: Sale) -> Body:
        """The contact, made or updated by its number; a name that is taken is repeated with the number."""
        document = orjson.loads(sale["contact"]["document"])
        made = self._write(Step.CONTACT, [_json(document)])[0]
        if any("already assigned" in one["Message"] for one in made.get("ValidationErrors", [])):
            document["Name"] = f"{document['Name']} ({document['ContactNumber']})"
            made = self._write(Step.CONTACT, [_json(document)])[0]
        return _good(made)

    def invoice(self, sale: Sale, contact_id: str) -> Body:
        """The invoice as Xero made it of the command."""
        return _good(self._write(Step.INVOICE, [batch.invoice_element(sale, sale["number"], contact_id)])[0])

    def pay(self, sale: Sale, invoice_id: str) -> list[Body]:
        """Every tender, in one call."""
        return self._settle(Step.PAYMENT, sale["payments"], invoice_id, sale["number"])

    def _settle(self, step: Step, tenders: Sequence[Tender], target_id: str, number: str) -> list[Body]:
        elements = [batch.payment_element(step, one, target_id, batch.reference(number, one)) for one in tenders]
        return [_good(one) for one in self._write(step, elements)] if elements else []

    def credit_note(self, note: RefundNote, contact_id: str) -> Body:
        """A refund's credit note, to the contact of its sale."""
        return _good(self._write(Step.CREDIT_NOTE, [batch.credit_element(note, note["number"], contact_id)])[0])

    def give_back(self, note: RefundNote, credit_note_id: str) -> list[Body]:
        """The money that leaves the tenders' accounts, against the credit note."""
        return self._settle(Step.REFUND, note["payments"], credit_note_id, note["number"])

    def read(self, path: str, id_: str) -> Body:
        """One document, as it is now."""
        answer = self._client.call(Call("GET", f"{path}/{id_}", (("unitdp", "4"),)))
        assert answer.ok, answer
        found: Body = answer.body[path][0]
        return found

    def write(self, step: Step, element: str) -> Body:
        """One element by the sink's own call."""
        document = Document(step, "", "", element, "", T0, [], None)
        answer = self._client.call(batch.write_call(step, [document], 60.0, "golden", "golden", next(SERIALS)))
        assert answer.ok, (answer.status, answer.detail, answer.body)
        return _good(answer.body[batch.WRITES[step][1]][0])

    def _write(self, step: Step, elements: list[str]) -> list[Body]:
        method, path, purpose = batch.WRITES[step]
        query = (("summarizeErrors", "false"), ("unitdp", "4"))
        body = f'{{"{path}":[{",".join(elements)}]}}'.encode()
        answer = self._client.call(Call(method, path, query, body, purpose=purpose))
        assert answer.ok, (answer.status, answer.detail)
        found: list[Body] = answer.body[path]
        return found


def _json(document: Body) -> str:
    return orjson.dumps(document).decode()


def _good(element: Body) -> Body:
    problems = [one["Message"] for one in element.get("ValidationErrors") or ()]
    assert not problems, f"Xero refuses it: {problems}"
    assert not element.get("Warnings"), element["Warnings"]
    return element


def amount(value: Any) -> Decimal:
    """A number of an answer, exact."""
    return Decimal(str(value))
