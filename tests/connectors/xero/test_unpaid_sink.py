"""Refunds of unpaid orders on a real Kafka and the sandbox: by rule a void, or a credit whose answer was lost."""

from __future__ import annotations

from typing import Any, cast

import pytest

from connectors.xero.core.records import allocation_key, credit_key, invoice_key
from schemas.types import Command
from tests.connectors.xero.commands import GIFT, refund, tender
from tests.connectors.xero.office import SHORT, UNPACED, Office, office_sale, until

pytestmark = pytest.mark.kafka
_VOIDED, _CREDITED, _IN_PART = 1, 2, 3
_TAKES_NOTHING = "200"  # an account of sales: Xero knows it, and refuses payments to it
_WHOLE = {"total": "120.00", "tax": "20.00"}


def _back(order: int, rule: str, **changes: Any) -> Command:
    return cast(Command, {**refund(order, **{**_WHOLE, **changes}), "on_unpaid": rule})


def _books(office: Office) -> dict[str, tuple[str, float, list[float], list[float]]]:
    """Number → status, what is due or left of it, what is allocated, what was paid; of this test's documents."""
    books = office.side_door("books/uk")
    rows = [(i["InvoiceNumber"], i["AmountDue"], i) for i in books["invoices"]]
    rows += [(c["CreditNoteNumber"], c["RemainingCredit"], c) for c in books["credit_notes"]]
    paid: dict[str, list[float]] = {}
    for one in books["payments"]:
        paid.setdefault(one["Reference"].split("/")[0], []).append(one["Amount"])
    return {
        number.replace(office.slug, "W"): (
            row["Status"],
            left,
            [one["Amount"] for one in row.get("Allocations", [])],
            paid.get(number, []),
        )
        for number, left, row in rows
        if office.slug in number
    }


def test_by_rule_one_is_voided_and_others_credited_and_a_lost_answer_leaves_one_allocation(office: Office) -> None:
    """The answer is lost when there is no time left to send it again under its key, so the allocation is looked for."""
    card = [tender("30.00", 1, GIFT, "Card"), tender("90.00", 2, _TAKES_NOTHING)]
    whole = [tender("120.00", 1, _TAKES_NOTHING)]
    office.put(*(office_sale(office, order, payments=whole) for order in (_VOIDED, _CREDITED)))
    office.put(office_sale(office, _IN_PART, payments=card))
    core = SHORT.model_copy(update={"same_key_window": 0.01})
    with office.sink(core=core, limits=UNPACED):
        until(lambda: office.outcomes() == ["REFUSED"] * 3)
        office.side_door("faults", {"kind": "drop_after", "method": "PUT", "path": "Allocations"})
        back = [tender("90.00", 1), tender("30.00", 2, GIFT, "Card")]
        office.put(_back(_VOIDED, "VOID"), _back(_CREDITED, "CREDIT"), _back(_IN_PART, "CREDIT", payments=back))
        until(lambda: office.committed() == 6)
    told = [(r["kind"], r["outcome"]) for r in office.results()]
    assert told.count(("order_refund", "POSTED")) == 3
    assert sorted(word for kind, word in told if kind == "allocation") == ["ADOPTED", "POSTED"]
    assert _books(office) == {
        "W-1": ("VOIDED", 120.0, [], []),
        "W-2": ("PAID", 0.0, [], []),
        "CN-W-2-r1": ("PAID", 0.0, [120.0], []),
        "W-3": ("PAID", 0.0, [], [30.0]),
        "CN-W-3-r1": ("PAID", 0.0, [90.0], [30.0]),
    }
    ledger = office.ledger()
    states = {order: ledger[invoice_key(f"shop|{order}")]["status"] for order in (_VOIDED, _CREDITED, _IN_PART)}
    assert states == {_VOIDED: "VOIDED", _CREDITED: "PAID", _IN_PART: "PAID"}
    assert [ledger[allocation_key(f"shop|{order}", "r1")]["total"] for order in (_CREDITED, _IN_PART)] == [
        "120.00",
        "90.00",
    ]
    assert credit_key(f"shop|{_VOIDED}", "r1") not in ledger
    assert office.letters() == 3  # of the sales
