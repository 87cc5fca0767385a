"""Refunds of sales that were unpaid, under the independent reader's judgement: voided, or put to their invoice."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from k2x.audit.case import Case
from k2x.audit.facts import EntrySeen
from k2x.audit.judge import Verdict, judge
from k2x.audit.scratch import Dossier
from tests.k2x.audit.files import (
    BACK,
    KEY,
    LATER,
    NUMBER,
    STORES,
    TOTAL,
    answer,
    back,
    command,
    entry,
    file,
    letter,
    note,
    noted,
    result,
    seen,
    told,
    unpaid,
)

NONE = Decimal(0)
PROVED = {"allocation_deleted", "void_undone"}


def verdict(dossier: Dossier) -> Verdict:
    found = judge(Case(dossier, STORES), LATER)
    assert found is not None
    return found


def codes(dossier: Dossier) -> list[str]:
    found = verdict(dossier)
    return [finding.code for finding in found.all_findings]


def undone(amount: str, **changes: Any) -> Dossier:
    """An order whose payment Xero refused, and that was refunded then."""
    made = file(
        orders=(seen(), told(amount=amount)),
        commands=(command(), command(10, offset=1), back(total=Decimal(amount))),
        results=(result("REFUSED"), result("REFUSED", 10), answer("POSTED")),
        letters=(letter(10),),
        payments=(),
    )
    return replace(made, **changes)


VOIDED = undone(
    "24.00",
    entries=(entry(state="VOIDED", status="VOIDED", voided_for="r1"), entry("payment", 1, state="REFUSED", xero_id="")),
    invoices=(unpaid(status="VOIDED"),),
)


def put(amount: Decimal) -> EntrySeen:
    made = noted("refund", total=amount, number=NUMBER)
    return replace(made, kind="allocation", ledger_key=f"{KEY}|allocation|r1", ordinal=0)


REFUSED = (entry("payment", 1, state="REFUSED", xero_id=""),)
PART = undone(
    "6.00",
    entries=(entry(state="REFUSED", status="AUTHORISED", allocated=BACK), *REFUSED, noted(), put(BACK)),
    invoices=(unpaid(amount_due=TOTAL - BACK, credited=BACK),),
    credits=(note(payments=(), credited=BACK),),
)
WHOLE = undone(
    "24.00",
    commands=(command(), command(10, offset=1), back(total=TOTAL, tax=Decimal(4), sums=())),
    entries=(entry(allocated=TOTAL), *REFUSED, noted(total=TOTAL, total_tax=Decimal(4)), put(TOTAL)),
    invoices=(unpaid(status="PAID", amount_due=NONE, credited=TOTAL),),
    credits=(note(total=TOTAL, total_tax=Decimal(4), payments=(), credited=TOTAL),),
)


def test_a_voided_sale_and_its_refund_come_to_nothing_on_both_sides() -> None:
    found = verdict(VOIDED)
    assert (found.state, found.all_findings, found.kentico, found.xero) == ("suppressed", (), NONE, NONE)
    (refund,) = found.refunds
    assert (refund.state, refund.kentico, refund.xero) == ("refunded", NONE, NONE)


def test_a_voided_sale_that_lives_again_is_found() -> None:
    assert codes(replace(VOIDED, invoices=(unpaid(),))) == ["void_undone"]


def test_a_part_that_is_put_to_its_invoice_is_expected_there() -> None:
    found = verdict(PART)
    assert (found.state, found.all_findings) == ("dead_lettered", ())
    assert [(r.state, r.kentico, r.xero) for r in found.refunds] == [("refunded", BACK, BACK)]


def test_a_sale_that_is_settled_by_its_credit_note_is_posted_and_agrees() -> None:
    found = verdict(WHOLE)
    assert (found.state, found.all_findings) == ("posted", ())
    assert (found.kentico, found.xero) == (TOTAL, TOTAL)
    assert [(r.state, r.kentico, r.xero) for r in found.refunds] == [("refunded", TOTAL, TOTAL)]


def test_an_allocation_that_a_person_has_deleted_is_found() -> None:
    gone = {"payments": (), "credited": NONE, "status": "AUTHORISED"}
    assert codes(replace(PART, credits=(note(**gone, amount_due=BACK),))) == ["allocation_deleted"]
    open_again = (unpaid(),)
    credits = (note(**gone, total=TOTAL, total_tax=Decimal(4), amount_due=TOTAL),)
    assert sorted(codes(replace(WHOLE, invoices=open_again, credits=credits))) == ["allocation_deleted", "not_paid"]


def test_more_than_was_put_there_is_found() -> None:
    more = replace(WHOLE, invoices=(unpaid(status="PAID", amount_due=NONE, credited=TOTAL + 1),))
    assert sorted(codes(more)) == ["credited", "overpaid"]
