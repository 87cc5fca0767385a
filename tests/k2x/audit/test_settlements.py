"""Settlements judged: an end for each, in Xero exactly once with its amounts, and what is not paid out yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.xero.core import records
from k2x.audit.documents import BankDocument, Payment
from k2x.audit.facts import CommandSeen, EntrySeen, TenderSeen
from k2x.audit.last import metrics
from k2x.audit.scratch import Dossier
from k2x.audit.settlements import Clearing, Settlements, Verdict, about
from k2x.audit.standpoint import Standpoint
from schemas import topics
from schemas.codec import Codec
from schemas.ids import CommittedIds
from schemas.types import Command
from tests.connectors.xero.commands import settlement

CODEC = Codec(CommittedIds())
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
KEY = "shop|settlement/stripe/po_1"
AT = Standpoint(NOW, timedelta(minutes=10), timedelta(seconds=90), timedelta(hours=1))


class Message:
    """A record as confluent_kafka gives it."""

    def __init__(self, topic: str, key: str, value: bytes, headers: dict[str, str] | None = None) -> None:
        self._topic, self._key, self._value, self._headers = topic, key.encode(), value, headers or {}

    def topic(self) -> str:
        return self._topic

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value

    def headers(self) -> list[tuple[str, bytes]]:
        return [(name, text.encode()) for name, text in self._headers.items()]

    def timestamp(self) -> tuple[int, int]:
        return (0, int(NOW.timestamp() * 1000))


class Shop:
    """What the topics have of one settlement."""

    def __init__(self) -> None:
        self.audit = Settlements(CODEC)

    def came(self, at: datetime = NOW - timedelta(hours=1), *, late: bool = False) -> Shop:
        value: dict[str, Any] = {
            "instance": "shop", "version": at, "observed_at": at, "received_at": at, "gateway": "stripe",
            "settlement_id": "po_1", "currency": "GBP", "paid_at": at, "payout": Decimal("96.90"), "lines": [],
        }  # fmt: skip
        return self._take(topics.SETTLEMENTS, KEY, "settlement", value, late=late)

    def commanded(self, command: Command | None = None) -> Shop:
        made: Any = command or settlement()
        return self._take(topics.commands("uk"), KEY, "command", made)

    def entered(self, kind: str, **changes: Any) -> Shop:
        key = f"{KEY}|{kind}|0"
        made = {**records.entry("uk", key, kind, NOW), "state": "POSTED", "number": "shop/stripe/po_1", **changes}
        return self._take(topics.ledger("uk"), key, "ledger", made)

    def posted(self) -> Shop:
        self.came().commanded().entered("bank_transaction", xero_id="B1").entered("bank_transfer", xero_id="T1")
        return self.entered("settlement", status="PAID", hash="s-96.90-3.10")

    def said(self, outcome: str) -> Shop:
        made: Any = records.result(settlement(), "settlement", outcome, NOW, message="why")  # type: ignore[arg-type]
        return self._take(topics.RESULTS, KEY, "result", made)

    def letter(self, error_class: str) -> Shop:
        value = CODEC.encode("command", settlement())
        headers = {"x-error-class": error_class, "x-org": "uk"}
        message = Message(topics.dead_letter(topics.commands("uk")), KEY, value, headers)
        self.audit.take(message, late=False)  # type: ignore[arg-type]
        return self

    def _take(self, topic: str, key: str, schema: str, value: Any, *, late: bool = False) -> Shop:
        message: Any = Message(topic, key, CODEC.encode(schema, value))
        assert about(message.key())
        self.audit.take(message, late=late)
        return self

    def judged(self, *books: BankDocument, at: Standpoint | None = AT) -> list[Verdict]:
        for file in self.audit.files.values():
            file.org = file.org or "uk"
        return list(self.audit.judge("uk", books, at))


FEES = BankDocument(
    "uk", "b1", "bank_transaction", "SPEND", "shop/stripe/po_1 stripe po_1", "AUTHORISED", Decimal("3.10"), Decimal(0),
    date(2026, 11, 22), "ACC-092",
)  # fmt: skip
PAYOUT = BankDocument(
    "uk", "t1", "bank_transfer", "transfer", "shop/stripe/po_1 stripe po_1", "AUTHORISED", Decimal("96.90"), Decimal(0),
    date(2026, 11, 22), "acc-092", "acc-090",
)  # fmt: skip


def codes(verdicts: list[Verdict]) -> list[str]:
    return [finding.code for verdict in verdicts for finding in verdict.findings]


def test_one_that_is_in_xero_as_it_was_posted_is_clean() -> None:
    (verdict,) = Shop().posted().judged(FEES, PAYOUT)
    assert (verdict.state, verdict.findings, verdict.day) == ("posted", [], date(2026, 11, 22))


def test_xero_s_way_of_writing_an_amount_is_no_difference() -> None:
    """It shows numbers: 3.10 is 3.1 in its answers."""
    (verdict,) = Shop().posted().judged(replace(FEES, total=Decimal("3.1")), replace(PAYOUT, total=Decimal("96.9")))
    assert verdict.findings == []


@pytest.mark.parametrize(
    ("books", "code"),
    [
        ((FEES,), "settlement_deleted"),
        ((replace(FEES, status="DELETED"), PAYOUT), "settlement_deleted"),
        ((FEES, PAYOUT, replace(PAYOUT, id="t2")), "settlement_doubled"),
        ((FEES, replace(FEES, id="b2"), PAYOUT), "settlement_doubled"),
        ((FEES, replace(PAYOUT, total=Decimal("96.00"))), "settlement_amount"),
        ((replace(FEES, tax=Decimal("0.50")), PAYOUT), "settlement_amount"),
        ((replace(FEES, type="RECEIVE"), PAYOUT), "settlement_amount"),
        ((FEES, replace(PAYOUT, to_id="acc-091")), "settlement_amount"),
        ((FEES, replace(PAYOUT, date=date(2026, 11, 23))), "settlement_amount"),
    ],
)
def test_what_was_deleted_doubled_or_edited_by_hand_is_named(books: tuple[BankDocument, ...], code: str) -> None:
    verdicts = Shop().posted().judged(*books)
    assert codes(verdicts) == [code]
    (finding,) = verdicts[0].findings
    assert "settlement stripe/po_1" in finding.text
    assert "shop/settlement/stripe/po_1" in finding.next or "Xero" in finding.next


def test_one_whose_reference_was_changed_is_still_found_by_the_ledgers_id() -> None:
    assert codes(Shop().posted().judged(replace(FEES, reference="my fees"), PAYOUT)) == []


def test_one_that_only_xero_knows_of_is_named_but_not_what_others_enter() -> None:
    strange = replace(FEES, id="b9", reference="shop/stripe/po_9 x")
    others = [replace(FEES, id="b8", reference="Rent"), replace(FEES, id="b7", reference="a/b/c d")]
    verdicts = Shop().posted().judged(FEES, PAYOUT, strange, *others)
    assert codes(verdicts) == ["settlement_foreign"]


@pytest.mark.parametrize(
    ("shop", "state", "found"),
    [
        (Shop().came(), "lost", ["settlement_lost"]),
        (Shop().came(NOW), "in_flight", []),
        (Shop().came(late=True), "in_flight", []),
        (Shop().came().said("PARKED"), "parked", []),
        (Shop().came().said("SUPPRESSED"), "suppressed", []),
        (Shop().came().commanded().said("REFUSED").letter("mapping"), "refused", []),
        (Shop().came().commanded().said("HELD").letter("held"), "held", []),
        (Shop().came().commanded().entered("settlement", state="WAITING"), "waiting", []),
    ],
)  # fmt: skip
def test_each_has_an_end(shop: Shop, state: str, found: list[str]) -> None:
    verdicts = shop.judged()
    assert ([v.state for v in verdicts], codes(verdicts)) == ([state], found)


def test_another_one_held_under_its_id_changes_nothing_of_what_was_posted() -> None:
    other = settlement(payout="95.00", fees="5.00")
    shop = Shop().posted().commanded(other).said("HELD").letter("held")
    (verdict,) = shop.judged(FEES, PAYOUT)
    assert (verdict.state, verdict.findings) == ("posted", [])


def test_an_intention_that_nobody_goes_on_with_is_stuck() -> None:
    intention = {
        "step": "bank_transaction", "idempotency_key": "k", "body_sha256": "s", "intended_at": NOW - timedelta(hours=1),
        "token_id": "", "attempt": 1, "hash": "h", "version": NOW,
    }  # fmt: skip
    shop = Shop().came().commanded().entered("bank_transaction", state="INTENDED", intention=intention)
    assert codes(shop.judged()) == ["settlement_open"]


def test_what_is_not_paid_out_yet_is_named_on_both_sides() -> None:
    """120.00 came in, 20.00 went back, 100.00 were settled: nothing is left, until another order comes."""
    at = NOW

    def sold(key: str, amount: str) -> Dossier:
        tender = TenderSeen(1, "092", "acc-092", Decimal(amount))
        command = CommandSeen(key, "uk", "SALE", at, at, 0, at, tenders=(tender,))
        entry = EntrySeen(key, f"{key}|payment|1", "uk", "payment", 1, "POSTED", total=Decimal(amount))
        return Dossier(key, commands=(command,), entries=(entry,))

    back = TenderSeen(1, "092", "acc-092", Decimal("20.00"))
    refund = CommandSeen("shop|1", "uk", "REFUND", at, at, 1, at, tenders=(back,), refund="r1")
    given = EntrySeen("shop|1", "shop|1|refund|r1/1", "uk", "refund", 1, "POSTED", total=Decimal("20.00"))
    first = sold("shop|1", "120.00")
    clearing = Clearing()
    clearing.order(replace(first, commands=(*first.commands, refund), entries=(*first.entries, given)))
    shop = Shop().posted()
    for file in shop.audit.files.values():
        clearing.settlement(file)
    clearing.payments([Payment("uk", "p1", "i1", "W-1/1", Decimal("120.00"), account="092", account_id="acc-092")], 1)
    clearing.payments([Payment("uk", "p2", "c1", "CN-1/1", Decimal("20.00"), account="092", account_id="acc-092")], -1)
    clearing.bank([FEES, PAYOUT])
    assert clearing.rows() == [{"org": "uk", "account": "092", "topics": "0.00", "xero": "0.00"}]
    clearing.order(sold("shop|2", "50.00"))
    assert clearing.rows() == [{"org": "uk", "account": "092", "topics": "50.00", "xero": "0.00"}]


def test_the_last_reconciliation_shows_what_is_not_paid_out_yet() -> None:
    row = {"org": "uk", "account": "092", "topics": "50.00", "xero": "48.00"}
    known = {"uk": {"at": 1.0, "since": "", "stores": {}, "clearing": [row]}, "de": {"at": 1.0, "stores": {}}}
    (family,) = (one for one in metrics(known) if one.name == "k2x_reconcile_clearing")
    assert {(s.labels["org"], s.labels["account"], s.labels["side"]): s.value for s in family.samples} == {
        ("uk", "092", "topics"): 50.0,
        ("uk", "092", "xero"): 48.0,
    }
