"""Guidance by volume: what counts, from when it is said, and that it names the remedy."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import aiohttp
from prometheus_client import CollectorRegistry

from connectors.xero import volume
from connectors.xero.calls import Answer, Call
from connectors.xero.core.events import Transact
from connectors.xero.core.records import Outcome, result
from connectors.xero.ledger import LedgerStore
from connectors.xero.metrics import SinkMetrics
from connectors.xero.sandbox import Sandbox, SandboxSettings
from connectors.xero.volume import Volume
from schemas.codec import Codec
from schemas.ids import CommittedIds
from tests.connectors.xero.commands import sale
from tests.connectors.xero.sandbox.conftest import Caller, frozen, invoice

CODEC = Codec(CommittedIds())
DAY = datetime(2026, 11, 2, 23, 59, tzinfo=UTC)


def test_nothing_is_said_of_a_thousand_invoices_and_calls_that_suffice() -> None:
    assert volume.advice(Volume(1000, False)) == {}


def test_more_invoices_or_too_few_calls_name_the_number_and_summary_mode() -> None:
    said = volume.advice(Volume(12_345, True))
    assert set(said) == {"month", "day"}
    assert said["month"].startswith("12,345 sales invoices in the last 30 days; Xero is made for about 1,000 a month.")
    assert all("summary mode" in text for text in said.values())


def test_the_metric_shows_the_count_and_which_limit_is_passed() -> None:
    metrics = SinkMetrics(registry := CollectorRegistry())
    metrics.volume("uk", Volume(1001, False))
    assert registry.get_sample_value("k2x_xero_sales_invoices_30d", {"org": "uk"}) == 1001
    for reason, passed in (("month", 1), ("day", 0)):
        assert registry.get_sample_value("k2x_xero_volume_exceeded", {"org": "uk", "reason": reason}) == passed


def posted(at: datetime, outcome: Outcome = "POSTED", kind: str = "invoice") -> Transact:
    return Transact(1, {}, results=(result(sale(1), kind, outcome, at),))


def test_the_copy_counts_posted_invoices_by_day_and_forgets_old_days(tmp_path: Path) -> None:
    store = LedgerStore(tmp_path / "uk.sqlite3", CODEC)
    for done in (posted(DAY), posted(DAY), posted(DAY, "ADOPTED"), posted(DAY, kind="payment")):
        store.apply(done)
    store.apply(posted(DAY - timedelta(days=29)))
    assert store.posted_since(DAY.date()) == 2
    assert store.posted_since(DAY.date() - timedelta(days=30)) == 3
    store.apply(posted(DAY + timedelta(days=20)))
    assert store.posted_since(date(2026, 1, 1)) == 3  # the day 49 days before is gone
    store.resume_from("another topic", 0, 0)
    store.loaded()
    assert store.posted_since(date(2026, 1, 1)) == 3  # what was posted was posted, whatever the ledger's copy is of
    store.close()


async def test_xero_counts_the_sales_invoices_of_thirty_days_whoever_made_them() -> None:
    async with Sandbox(SandboxSettings(), clock=frozen()) as sandbox, aiohttp.ClientSession() as session:
        xero = Caller(sandbox, session)
        contact = await xero.contact()
        await xero.invoices(
            invoice("A-1", contact, Date="2026-09-14"),
            invoice("A-2", contact, Date="2026-08-15"),
            invoice("A-3", contact, Date="2026-08-14"),
            invoice("A-4", contact, Status="DRAFT"),
            invoice("B-1", contact, Type="ACCPAY"),
        )
        assert volume.counted(await answer(xero, volume.count_call(date(2026, 9, 14)))) == 2
    assert volume.counted(Answer(500)) is None
    assert volume.counted(Answer(200, body={"Invoices": []})) is None


async def answer(xero: Caller, call: Call) -> Answer:
    query = "&".join(f"{name}={value}" for name, value in call.query)
    got = await xero.api(call.method, f"{call.path}?{query}")
    return Answer(got.status, body=json.loads(got.raw))
