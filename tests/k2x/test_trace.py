"""`k2x trace` of orders that went the hard way, told from what the real sink left on a real Kafka."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner

from connectors.xero.settings import CoreSettings
from k2x.cli import main
from schemas import topics
from schemas.delivery import Deliverer, Record
from schemas.types import Command
from tests.connectors.xero.commands import refund
from tests.connectors.xero.office import CODEC, Office, office_sale, until
from tests.connectors.xero.servers import SandboxProcess, sandbox
from tests.streams import samples

pytestmark = pytest.mark.kafka
CONFIG = """\
kafka: {{bootstrap: "{bootstrap}"}}
organisations: {{"{slug}": {{client_id: "0", client_secret_env: NONE, rules: uk.yaml}}}}
instances: {{shop: {{time_zone: Europe/London}}}}
stores: {{shop/web: {{organisation: "{slug}"}}}}
"""
# A call is given up after a second, and then the key is as good as forgotten: Xero is asked what became of it.
HASTY = CoreSettings(
    intention_lapse=1.0,
    deadline=1.0,
    same_key_window=0.5,
    moment=0.5,
    retry=1.0,
    repeat_backoff=0.1,
    outage_backoff=0.8,
)


@pytest.fixture(scope="module")
def xero() -> Iterator[SandboxProcess]:
    with sandbox("--minute-limit", "10000") as running:
        yield running


@pytest.fixture
def office(kafka: str, xero: SandboxProcess, topic_prefix: str, tmp_path: Path) -> Iterator[Office]:
    made = Office(kafka, xero, topic_prefix, tmp_path)
    (tmp_path / "k2x.yaml").write_text(CONFIG.format(bootstrap=kafka, slug=topic_prefix), "utf-8")
    yield made
    made.side_door("faults", method="DELETE")


DECISION = {
    "lines": 3, "tax_class": "VAT 20%", "rate": "20", "tax_type": "OUTPUT2", "tax_rule": "tax[2]", "account": "200",
    "account_rule": "accounts.default",
}  # fmt: skip


def number() -> int:
    """An OrderID that nobody else on the shared broker has: its results are found by it."""
    return uuid4().int % 10**9 + 10**9


def run(office: Office, *arguments: str) -> str:
    result = CliRunner().invoke(main, [*arguments, "--config", str(office.home / "k2x.yaml")])
    assert result.exit_code == 0, result.output
    return result.output


def story(office: Office, order: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(office, "trace", f"shop/web/{order}", "--json"))
    return found


def said(told: dict[str, Any], what: str) -> list[str]:
    return [step["text"] for step in told["story"] if step["what"] == what]


NOT_TOLD = dict.fromkeys(("reason", "shipping", "tender", "transaction_id"))


def received(office: Office, order: int, given_back: dict[str, Any] | None = None) -> None:
    """The event that the command was made from."""
    event: Any = samples.order(order, instance="shop", site="web")
    if given_back is not None:
        event["refund"] = {**NOT_TOLD, "refunded_at": event["version"], "currency": "GBP", "lines": [], **given_back}
    delivery = Deliverer(office.kafka)
    delivery.deliver_now([Record(topics.ORDERS, f"shop|{order}".encode(), CODEC.encode("order", event))])
    delivery.close()


def outcome(office: Office, order: int) -> list[str]:
    own = [row for row in office.results() if row["order_id"] == str(order) and row["kind"] == "order"]
    return [row["outcome"] for row in own]


def test_a_lost_answer_is_told_with_its_wait_its_read_back_and_its_adoption(office: Office) -> None:
    order, neighbour = number(), number()
    stalled = {"kind": "stall_after", "method": "PUT", "path": "Invoices", "seconds": 3}
    away = {"kind": "503", "method": "GET", "path": "InvoiceNumbers"}
    office.side_door("faults", {"faults": [stalled, away]})
    received(office, order)
    sale: Command = office_sale(office, order, decisions=[DECISION])
    office.put(sale, office_sale(office, neighbour))
    with office.sink(core=HASTY):
        until(lambda: "POSTED" in outcome(office, order))
        office.put({**sale, "replay_id": "r-1"})
        until(lambda: "UNCHANGED" in outcome(office, order))
    told = story(office, order)
    whats = [step["what"] for step in told["story"]]
    assert whats[:2] == ["event", "command"]
    assert set(whats) == {"event", "command", "answer", "ledger", "result"}
    lost, refused, found = said(told, "answer")
    assert lost.startswith("invoice call of 2: no answer (no whole answer within the deadline); ")
    assert refused.startswith("invoice read-back of 2: Xero answered 503")
    assert found == f"read-back: {office.slug}-{order} is in Xero, and equal"
    results = said(told, "result")
    assert "order WAITING: Xero cannot be reached: 503" in "\n".join(results).replace(f" as {office.slug}-{order}", "")
    adopted = next(text for text in results if text.startswith("invoice ADOPTED"))
    assert "found in Xero and equal: the answer to an earlier call was lost" in adopted
    assert any(text.startswith(f"order POSTED as {office.slug}-{order} PAID, 120.00 GBP") for text in results)
    assert results[-1].startswith(f"order UNCHANGED as {office.slug}-{order} PAID, by replay r-1: ")
    assert said(told, "command")[-1].endswith("made by replay r-1")
    decided = "3 lines of 'VAT 20%' at 20 %: OUTPUT2 by tax[2], account 200 by accounts.default"
    assert decided in said(told, "command")[0]
    assert [step["facts"]["decisions"] for step in told["story"] if step["what"] == "command"] == [[DECISION]] * 2
    ledger = said(told, "ledger")
    assert any("intention to write it (invoice, attempt 1), one of 2 in its call" in text for text in ledger)
    assert any(text.startswith("invoice WAITING") for text in ledger)
    assert len(office.invoices(office.slug)) == 2, "each once"
    assert "not simply answered" in told["ending"]
    assert [step["at"] for step in told["story"]] == sorted(step["at"] for step in told["story"])


def test_a_refund_is_told_under_its_order_and_found_by_its_credit_note(office: Office) -> None:
    """One that is made, and one that would give back more than was sold."""
    order = number()
    received(office, order, {"refund_id": "r1", "amount": Decimal("30.00"), "reason": "too small"})
    name = f"{office.slug}-{order}"
    sale, parts = office_sale(office, order), [("r1", "30.00", "5.00"), ("r2", "120.00", "20.00")]
    gives = [refund(order, id_, org=office.slug, total=total, tax=tax) for id_, total, tax in parts]
    for one in gives:
        note: Any = one["body"]
        one["command_id"] += f"/{note['refund_id']}"
        note["number"] = f"CN-{name}-{note['refund_id']}"
    office.put(sale, *gives)
    with office.sink():
        until(lambda: len([r for r in office.results() if r["kind"] == "order_refund" and ends(r, order)]) == 2)
    told = story(office, order)
    assert "refund r1 of 30.00 GBP (too small)" in said(told, "event")[0]
    made = f"REFUND for {office.slug}, version"
    (first, _) = [text for text in said(told, "command") if text.startswith(made)]
    assert f": refund r1 as CN-{name}-r1, 30.00 GBP, tax 5.00, back 30.00 from 092" in first
    results = said(told, "result")
    for begins in (
        f"credit note POSTED as CN-{name}-r1",
        f"money back 1 POSTED as CN-{name}-r1/1",
        f"refund POSTED as CN-{name}-r1 PAID, 30.00 GBP",
        "refund REFUSED: validation/refund_too_large",
    ):
        assert any(text.startswith(begins) for text in results), begins
    (letter,) = said(told, "letter")
    assert letter.startswith("validation/refund_too_large")
    assert any(text.startswith(f"credit note POSTED CN-{name}-r1 PAID") for text in said(told, "ledger"))
    ending = told["ending"]
    assert ending.startswith(f"order POSTED as {name} PAID, 120.00 GBP")
    assert f". Refund r1: POSTED as CN-{name}-r1 PAID, 30.00 GBP. Refund r2: REFUSED: " in ending
    assert f"Order shop|{order}, first heard of" in run(office, "trace", f"cn-{name}-R1")


def test_an_edited_order_tells_how_it_was_credited_and_issued_anew(office: Office) -> None:
    order = number()
    received(office, order)
    name = f"{office.slug}-{order}"
    money: dict[str, Any] = {"version": 9, "total": "60.00", "tax": "10.00", "on_other_money": "REISSUE"}
    office.put(office_sale(office, order), office_sale(office, order, **money))
    with office.sink():
        until(lambda: outcome(office, order) == ["POSTED", "POSTED"])
    told = story(office, order)
    results = said(told, "result")
    for begins in (
        f"credit note POSTED as CN-{name}-reissue1",
        f"money back 1 POSTED as CN-{name}-reissue1/1",
        f"invoice POSTED as {name}-R2",
        f"order POSTED as {name}-R2 PAID, 60.00 GBP",
    ):
        assert any(text.startswith(begins) for text in results), begins
    assert results[-1].endswith(f"{name} was credited by CN-{name}-reissue1: now {name}-R2")
    assert "not simply answered" not in told["ending"]
    assert any(text.endswith(f"issued anew as {name}-R2") for text in said(told, "ledger"))
    assert told["ending"].startswith(f"order POSTED as {name}-R2 PAID, 60.00 GBP")
    for known_as in (name, f"{name}-R2", f"CN-{name}-reissue1"):
        assert f"Order shop|{order}, first heard of" in run(office, "trace", known_as)


def ends(result: dict[str, Any], order: int) -> bool:
    return bool(result["order_id"] == str(order) and result["outcome"] in ("POSTED", "REFUSED"))


def test_a_refused_order_its_redrive_and_its_posting_are_one_story(office: Office) -> None:
    order = number()
    received(office, order)
    office.put(office_sale(office, order, account="7777"))
    with office.sink():
        until(lambda: outcome(office, order) == ["REFUSED"])
        office.side_door("settings", {"org": "uk", "accounts": [{"code": "7777", "name": "Mended"}]})
        run(office, "dlt", "redrive", f"shop|{order}", "--yes", "--by", "ann")
        until(lambda: "POSTED" in outcome(office, order))
    told = story(office, order)
    (refused,) = [text for text in said(told, "result") if "REFUSED" in text]
    assert "mapping/account_invalid: Xero: Account code '7777' is not a valid code for this document." in refused
    (letter,) = said(told, "letter")
    assert letter.startswith("mapping/account_invalid")
    (redrive,) = said(told, "operator")
    assert "sent again" in redrive
    assert "ann" in redrive
    first, again = said(told, "command")
    assert "sent again" not in first
    assert again.endswith("sent again for the 1. time")
    whats = [step["what"] for step in told["story"]]
    places = [whats.index(what) for what in ("event", "command", "letter", "operator")]
    assert places == sorted(places)
    assert told["ending"].startswith(f"order POSTED as {office.slug}-{order} PAID")
    assert "1 dead letter" in told["ending"]
    page = run(office, "trace", f"{office.slug}-{order}")
    assert f"Order shop|{order}, first heard of" in page
    assert "Account code '7777' is not a valid code" in page
