"""Edited orders on a real Kafka and the sandbox: a store with the rule, and a person's decision for one without."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Producer

from connectors.xero.core.records import former_key, invoice_key
from k2x.dead_letters.archive import gather
from k2x.dead_letters.redrive import plan
from schemas import topics
from schemas.types import Command
from tests.connectors.xero.commands import tender
from tests.connectors.xero.office import CODEC, UNPACED, Office, office_sale, until

pytestmark = pytest.mark.kafka
_RULE, _NONE = 1, 2  # orders of stores with the rule, and without


def _edited(office: Office, order: int, **changes: Any) -> Command:
    return office_sale(office, order, version=9, total="60.00", tax="10.00", **changes)


def _documents(office: Office) -> dict[str, tuple[str, float]]:
    """Number → status and total, of this test's invoices and credit notes."""
    books = office.side_door("books/uk")
    rows = [(i["InvoiceNumber"], i) for i in books["invoices"]]
    rows += [(c["CreditNoteNumber"], c) for c in books["credit_notes"]]
    return {
        number.replace(office.slug, "W"): (row["Status"], row["Total"]) for number, row in rows if office.slug in number
    }


def _redrive(office: Office, decision: str) -> None:
    """As `k2x dlt redrive --decision` does it: the letter's own bytes and headers, and the decision."""
    (step,) = plan(gather(office.kafka, CODEC, [office.slug]), decision, [office.slug])
    assert step.record.topic == topics.commands(office.slug)
    producer = Producer({**office.kafka, "enable.idempotence": True})
    producer.produce(step.record.topic, step.record.value, step.record.key, headers=step.record.headers)
    assert producer.flush(10) == 0


def _whole(order: int) -> dict[str, tuple[str, float]]:
    return {
        f"W-{order}": ("PAID", 120.0),
        f"CN-W-{order}-reissue1": ("PAID", 120.0),
        f"W-{order}-R2": ("PAID", 60.0),
    }


def test_an_edited_order_is_issued_anew_by_rule_and_by_a_persons_decision(office: Office) -> None:
    cards = [tender("20.00", 1), tender("100.00", 2)]
    office.put(office_sale(office, _RULE, payments=cards), office_sale(office, _NONE))
    with office.sink(limits=UNPACED):
        until(lambda: office.outcomes() == ["POSTED", "POSTED"])
        office.put(_edited(office, _RULE, on_other_money="REISSUE"), _edited(office, _NONE))
        until(lambda: len(office.outcomes()) == 4)
        assert sorted(office.outcomes()[2:]) == ["HELD", "POSTED"]
        assert _documents(office) == {**_whole(_RULE), f"W-{_NONE}": ("PAID", 120.0)}
        _redrive(office, "reissue")
        until(lambda: len(office.outcomes()) == 5)
    assert office.outcomes()[-1] == "POSTED"
    assert _documents(office) == {**_whole(_RULE), **_whole(_NONE)}
    ledger = office.ledger()
    for order in (_RULE, _NONE):
        former, entry = ledger[former_key(f"shop|{order}", 1)], ledger[invoice_key(f"shop|{order}")]
        assert (former["status"], entry["status"]) == ("CREDITED", "PAID")
        assert entry["number"] == f"{former['number']}-R2"
    back = [p for p in office.payments(f"CN-{office.slug}-{_RULE}-") if p["Status"] == "AUTHORISED"]
    assert sorted(p["Amount"] for p in back) == [20.0, 100.0]
