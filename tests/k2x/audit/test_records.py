"""Records as the processes write them → facts: what is kept, and what is not about an order."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import pytest
from confluent_kafka import Message

from k2x.audit.facts import (
    AccountSum,
    CommandSeen,
    EntryGone,
    EntrySeen,
    Fact,
    HintSeen,
    LetterSeen,
    OrderSeen,
    PartSeen,
    RefundSeen,
    ResultSeen,
    TenderSeen,
)
from k2x.audit.records import FactReader, topics_of
from schemas import topics
from schemas.codec import Codec
from schemas.ids import CommittedIds
from tests.connectors.xero import commands
from tests.connectors.xero.commands import T0, tender
from tests.streams import samples

CODEC = Codec(CommittedIds())
AT = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
CHANGE = {
    "instance": "shop", "site_name": "web", "object_type": "ecommerce.order", "object_id": 7, "object_guid": None,
    "event_type": "order.paid", "source": "HINT", "event_id": None, "sequence": None, "occurred_at": None,
    "received_at": T0, "traceparent": None,
}  # fmt: skip


@dataclass
class Read:
    """A record as librdkafka hands it over."""

    name: str
    of: bytes | None
    body: bytes | None
    place: tuple[int, int] = (2, 17)
    said: list[tuple[str, bytes]] = field(default_factory=list)

    def topic(self) -> str:
        return self.name

    def key(self) -> bytes | None:
        return self.of

    def value(self) -> bytes | None:
        return self.body

    def headers(self) -> list[tuple[str, bytes]]:
        return self.said

    def partition(self) -> int:
        return self.place[0]

    def offset(self) -> int:
        return self.place[1]

    def timestamp(self) -> tuple[int, int]:
        return 1, int(AT.timestamp() * 1000)


@pytest.fixture
def reader() -> FactReader:
    return FactReader(CODEC, ["uk"])


def fact(of: FactReader, read: Read) -> Fact | None:
    return of.fact(cast(Message, read))


def sale(**changes: Any) -> dict[str, Any]:
    made: Any = commands.sale(7, **changes)
    return {**made, "body": ("k2x.xero.Sale", made["body"])}


def test_every_topic_that_is_read_has_a_reader(reader: FactReader) -> None:
    for name in topics_of(["uk"]):
        fact(reader, Read(name, b"shop|7", b"no record of ours"))


def test_an_order_keeps_what_money_needs(reader: FactReader) -> None:
    found = fact(reader, Read(topics.ORDERS, b"emea|7", CODEC.encode("order", samples.order(7))))
    assert isinstance(found, OrderSeen)
    assert (found.key, found.store, found.order_id, found.currency) == ("emea|7", "emea/GoatUK", "7", "GBP")
    assert (found.total, found.tax) == (Decimal("58.70"), Decimal("9.78"))
    assert (found.partition, found.offset, found.readable, found.deleted) == (2, 17, True, False)
    assert reader.reader_at == AT


def test_bytes_that_are_no_order_are_an_order_all_the_same(reader: FactReader) -> None:
    found = fact(reader, Read(topics.ORDERS, b"emea|7", b"\x00junk"))
    assert isinstance(found, OrderSeen)
    assert (found.key, found.readable, found.version) == ("emea|7", False, AT)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [({}, True), ({"event_type": "order.written_back"}, False), ({"object_type": "ecommerce.customer"}, False)],
)
def test_a_hint_about_an_order_counts_and_our_own_mark_does_not(
    reader: FactReader, changes: dict[str, Any], kept: bool
) -> None:
    found = fact(reader, Read(topics.CHANGES, b"shop|ecommerce.order|7", CODEC.encode("change", {**CHANGE, **changes})))
    assert (found == HintSeen("shop|7", "shop/web", T0, 2, 17)) is kept
    assert (found is None) is not kept


def test_a_sale_keeps_what_each_account_and_each_tender_must_get(reader: FactReader) -> None:
    lines = [
        {"Quantity": 3, "UnitAmount": 0.3333, "DiscountAmount": 0.1, "AccountCode": "200", "TaxType": "OUTPUT2"},
        {"Quantity": 1, "UnitAmount": 10, "AccountCode": "200", "TaxType": "OUTPUT2"},
        {"UnitAmount": 5.005, "AccountCode": "210", "TaxType": "ZERO"},
    ]
    invoice = json.dumps({"Reference": "7", "LineItems": lines})
    value = sale(invoice=invoice, payments=[tender("20.00", 1, account="855"), tender("100.00", 2)])
    found = fact(reader, Read(topics.commands("uk"), b"shop|7", CODEC.encode("command", value)))
    assert isinstance(found, CommandSeen)
    assert (found.kind, found.number, found.reference, found.store, found.offset) == (
        "SALE",
        "W-7",
        "7",
        "shop/web",
        17,
    )
    assert found.sums == (
        AccountSum("200", "OUTPUT2", Decimal("10.90"), 2),
        AccountSum("210", "ZERO", Decimal("5.01"), 1),
    )
    assert found.tenders == (
        TenderSeen(1, "855", "", Decimal("20.00")), TenderSeen(2, "092", "", Decimal("100.00")),
    )  # fmt: skip
    assert reader.workers_at == AT


def give_back(**changes: Any) -> dict[str, Any]:
    made: Any = commands.refund(7, **changes)
    return {**made, "body": ("k2x.xero.RefundNote", made["body"])}


def test_a_refund_keeps_what_its_credit_note_must_be(reader: FactReader) -> None:
    found = fact(reader, Read(topics.commands("uk"), b"shop|7", CODEC.encode("command", give_back())))
    assert isinstance(found, CommandSeen)
    assert (found.kind, found.refund, found.number, found.id) == ("REFUND", "r1", "CN-W-7-r1", "shop|7@10")
    assert (found.total, found.tax, str(found.date)) == (Decimal("30.00"), Decimal("5.00"), "2026-11-21")
    assert found.sums == (AccountSum("200", "OUTPUT2", Decimal("30.00"), 1),)
    assert [(tender.ordinal, tender.amount) for tender in found.tenders] == [(1, Decimal("30.00"))]


def test_a_refund_is_known_by_its_event_its_letters_and_its_ledger_entries(reader: FactReader) -> None:
    told: Any = {
        "refund_id": "r1", "refunded_at": T0, "currency": "GBP", "amount": Decimal("30.000000000"), "reason": None,
        "lines": [], "shipping": None, "tender": None, "transaction_id": None,
    }  # fmt: skip
    order = CODEC.encode("order", {**samples.order(7), "refund": told})
    event = fact(reader, Read(topics.ORDERS, b"emea|7", order))
    assert isinstance(event, OrderSeen)
    assert event.refund == RefundSeen("r1", Decimal("30.000000000"), "GBP", T0)
    by_order = fact(reader, Read(topics.dead_letter(topics.ORDERS), b"emea|7", order))
    by_command = Read(topics.dead_letter(topics.commands("uk")), b"shop|7", CODEC.encode("command", give_back()))
    assert [cast(LetterSeen, one).refund for one in (by_order, fact(reader, by_command))] == ["r1", "r1"]
    sold = Read(topics.dead_letter(topics.commands("uk")), b"shop|7", CODEC.encode("command", sale()))
    assert cast(LetterSeen, fact(reader, sold)).refund == ""
    for key, kind, held in (
        ("shop|7|credit_note|a|b", "credit_note", None),
        ("shop|7|refund|a|b/2", "refund", None),
        ("shop|7|invoice|0|next|a|b", "next", 4),
    ):
        value = entry(kind, command=b"x" if held else None, command_offset=held)
        found = cast(EntrySeen, fact(reader, Read(topics.ledger("uk"), key.encode(), CODEC.encode("ledger", value))))
        assert (found.key, found.refund, found.holds) == ("shop|7", "a|b", held)


def test_a_contact_s_command_letter_and_entry_are_not_about_an_order(reader: FactReader) -> None:
    who = commands.contact_command(commands.contact(1))
    value = CODEC.encode("command", {**who, "body": ("k2x.xero.Contact", who["body"])})
    assert fact(reader, Read(topics.commands("uk"), b"shop|C1", value)) is None
    assert fact(reader, Read(topics.dead_letter(topics.commands("uk")), b"shop|C1", value)) is None
    assert fact(reader, Read(topics.ledger("uk"), b"shop|C1", CODEC.encode("ledger", entry("contact")))) is None
    assert fact(reader, Read(topics.ledger("uk"), b"@k2x|ledger", CODEC.encode("ledger", entry("control")))) is None


def entry(kind: str, **changes: Any) -> dict[str, Any]:
    nothing = ("hash", "observed_at", "contact_id", "command", "command_offset", "reason", "retry_at")
    intention = {
        "step": "invoice", "idempotency_key": "k", "body_sha256": "", "intended_at": T0, "token_id": "", "attempt": 3,
        "hash": "", "version": T0,
    }  # fmt: skip
    made = {
        **dict.fromkeys(nothing), "org": "uk", "key": "", "kind": kind, "ordinal": 0, "state": "WAITING",
        "xero_id": "i-7", "number": "W-7", "status": "PAID", "version": T0, "total": "1.10", "total_tax": "0.10",
        "currency": "GBP", "intention": intention, "attempt": 1, "updated_at": T0,
        "extra": {"was": "POSTED", "h:a": "b"},
    }  # fmt: skip
    return {**made, **changes}


def test_an_entry_keeps_its_state_its_open_intention_and_what_it_was(reader: FactReader) -> None:
    found = fact(reader, Read(topics.ledger("uk"), b"shop|7|invoice|0", CODEC.encode("ledger", entry("invoice"))))
    assert isinstance(found, EntrySeen)
    assert (found.key, found.ledger_key, found.org) == ("shop|7", "shop|7|invoice|0", "uk")
    assert (found.state, found.was, found.intended_at, found.attempt, found.step) == (
        "WAITING",
        "POSTED",
        T0,
        3,
        "invoice",
    )
    assert (found.total, found.total_tax) == (Decimal("1.10"), Decimal("0.10"))
    assert reader.lanes == {"uk": AT}
    gone = fact(reader, Read(topics.ledger("uk"), b"shop|7|payment|1", None))
    assert gone == EntryGone("shop|7", "shop|7|payment|1", "uk")


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("order", True),
        ("order_refund", True),
        ("summary", True),
        ("invoice", False),
        ("refund", False),
        ("letter", False),
    ],
)
def test_of_results_only_those_about_the_whole_order_count(reader: FactReader, kind: str, kept: bool) -> None:
    nothing = ("xero_id", "number", "status", "total", "total_tax", "amount_due", "currency", "hint", "traceparent")
    value = {
        **dict.fromkeys((*nothing, "error_class", "error_code", "command_id", "replay_id")), "org": "uk",
        "instance": "shop", "store": "shop/web", "order_id": "7", "kind": kind, "ordinal": 0, "key": "shop|7",
        "outcome": "POSTED", "version": T0, "message": "an order", "findings": [], "received_at": T0, "at": AT,
    }  # fmt: skip
    found = fact(reader, Read(topics.RESULTS, b"shop|7", CODEC.encode("result", value)))
    assert (found == ResultSeen("shop|7", kind, "POSTED", "uk", T0, AT, T0, "an order")) is kept


def test_letters_of_orders_commands_and_hints_name_their_order(reader: FactReader) -> None:
    said = [("x-error-class", b"held"), ("x-error-code", b"other_money"), ("x-org", b"uk"), ("x-store", b"shop/web")]
    by_order = Read(topics.dead_letter(topics.ORDERS), b"emea|7", CODEC.encode("order", samples.order(7)), said=said)
    found = fact(reader, by_order)
    assert isinstance(found, LetterSeen)
    assert (found.key, found.error_class, found.code, found.at) == ("emea|7", "held", "other_money", AT)
    assert found.version == samples.order(7)["version"]
    by_command = Read(topics.dead_letter(topics.commands("uk")), b"shop|7", CODEC.encode("command", sale()), said=said)
    assert cast(LetterSeen, fact(reader, by_command)).version == T0
    by_hint = Read(topics.dead_letter(topics.CHANGES), b"shop|ecommerce.order|7", CODEC.encode("change", CHANGE))
    hinted = cast(LetterSeen, fact(reader, by_hint))
    assert (hinted.key, hinted.version) == ("shop|7", None)


# -- daily summaries ------------------------------------------------------------------------------------------------

SUMMARY = "shop|web/S20261124-GBP"


def test_a_sale_of_a_store_in_summary_mode_keeps_its_part_of_the_day_whatever_the_tracking(reader: FactReader) -> None:
    lines = [
        {"account": "200", "tax_type": "OUTPUT2", "tracking": tracking, "net": net, "tax": tax}
        for tracking, net, tax in (("", "60.00", "12.00"), ("[]", "40.00", "8.00"))
    ]
    part = {
        "number": "W-S20261124-GBP", "day": "2026-11-24", "closes_at": AT, "rate": None, "base_total": None,
        "lines": lines, "orders": 0,
    }  # fmt: skip
    found = fact(reader, Read(topics.commands("uk"), b"shop|7", CODEC.encode("command", sale(summary=part))))
    assert isinstance(found, CommandSeen)
    sums = (AccountSum("200", "OUTPUT2", Decimal("100.00"), 2, Decimal("20.00")),)
    assert found.part == PartSeen("W-S20261124-GBP", AT, sums)
    alone = fact(reader, Read(topics.commands("uk"), b"shop|7", CODEC.encode("command", sale())))
    assert cast(CommandSeen, alone).part is None


@pytest.mark.parametrize(("tail", "refund"), [("", ""), ("|r|1", "r|1")])
def test_that_a_summary_counts_an_order_is_a_fact_about_the_order(reader: FactReader, tail: str, refund: str) -> None:
    key = f"{SUMMARY}|member|shop|7{tail}"
    value = entry("member", state="COLLECTED", extra={})
    found = fact(reader, Read(topics.ledger("uk"), key.encode(), CODEC.encode("ledger", value)))
    assert isinstance(found, EntrySeen)
    assert (found.key, found.summary, found.refund, found.state) == ("shop|7", SUMMARY, refund, "COLLECTED")
    gone = fact(reader, Read(topics.ledger("uk"), key.encode(), None))
    assert gone == EntryGone("shop|7", key, "uk")


def test_an_order_says_in_which_summary_it_is_and_a_summary_how_it_stands(reader: FactReader) -> None:
    own = entry("order", state="COLLECTED", extra={"summary": SUMMARY})
    found = fact(reader, Read(topics.ledger("uk"), b"shop|7|invoice|0", CODEC.encode("ledger", own)))
    assert cast(EntrySeen, found).summary == SUMMARY
    extra = {"phase": "open", "members": "12", "closes_at": AT.isoformat(), "number": "W-S20261124-GBP"}
    value = entry("invoice", extra=extra)
    home = fact(reader, Read(topics.ledger("uk"), f"{SUMMARY}|invoice|0".encode(), CODEC.encode("ledger", value)))
    assert isinstance(home, EntrySeen)
    assert (home.key, home.phase, home.members, home.closes_at) == (SUMMARY, "open", 12, AT)
    back = entry("order_refund", state="COLLECTED", extra={"summary": SUMMARY})
    given = fact(reader, Read(topics.ledger("uk"), b"shop|7|credit_note|r|1", CODEC.encode("ledger", back)))
    assert (cast(EntrySeen, given).refund, cast(EntrySeen, given).summary) == ("r|1", SUMMARY)
