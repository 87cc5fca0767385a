"""Edited orders under the independent reader's judgement: one order with one sum, and each planted fault found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from k2x.audit.case import Case
from k2x.audit.documents import CreditNote, Invoice
from k2x.audit.facts import AccountSum, TenderSeen
from k2x.audit.judge import Verdict, judge
from k2x.audit.scratch import Dossier, Scratch, scratch
from tests.k2x.audit.files import (
    DAY,
    KEY,
    LATER,
    STORES,
    TAX,
    TOTAL,
    answer,
    back,
    command,
    entry,
    file,
    invoice,
    letter,
    listed,
    minute,
    note,
    noted,
    paid,
    result,
    returned,
    seen,
    told,
)
from tests.k2x.audit.test_refunds import put, sit

HALF, HALF_TAX = Decimal("12.00"), Decimal("2.00")
CREDIT = "CN-UK-7-reissue1"
SUMS = (AccountSum("200", "OUTPUT2", HALF, 1),)
NEW_PAYMENT = listed(id="p-7b", invoice_id="i-7b", reference="UK-7-R2/1 ch_1", amount=HALF)
BACK_AGAIN = returned(id="rp-7b", invoice_id="cn-7b", reference=f"{CREDIT}/1 UK-7/1 back", amount=TOTAL)

FORMER = entry(ledger_key=f"{KEY}|invoice|1", ordinal=1, status="CREDITED")
HOME = entry(
    xero_id="i-7b", number="UK-7-R2", hash="h1", version=minute(5), total=HALF, total_tax=HALF_TAX,
)  # fmt: skip
MONEY = entry(
    "payment", 1, ledger_key=f"{KEY}|payment|2/1", xero_id="p-7b", number="UK-7-R2/1", total=HALF, version=minute(5)
)
CREDITED = noted(
    ledger_key=f"{KEY}|credit_note|@reissue1", xero_id="cn-7b", number=CREDIT, total=TOTAL, total_tax=TAX
)  # fmt: skip
GIVEN = noted("refund", ledger_key=f"{KEY}|refund|@reissue1/1", xero_id="rp-7b", number=f"{CREDIT}/1", total=TOTAL)
EDIT = command(
    5, hash="h1", total=HALF, tax=HALF_TAX, sums=SUMS, tenders=(TenderSeen(1, "092", "", HALF),), offset=1
)  # fmt: skip


def new(**changes: Any) -> Invoice:
    own: dict[str, Any] = {
        "id": "i-7b", "number": "UK-7-R2", "total": HALF, "total_tax": HALF_TAX, "sums": SUMS,
        "payments": (paid(id="p-7b", invoice_id="i-7b", reference="UK-7-R2/1 ch_1", amount=HALF),),
    }  # fmt: skip
    return invoice(**own | changes)


def credit(**changes: Any) -> CreditNote:
    own: dict[str, Any] = {
        "id": "cn-7b", "number": CREDIT, "reference": CREDIT, "total": TOTAL, "total_tax": TAX, "date": DAY,
        "payments": (BACK_AGAIN,), "sums": (AccountSum("200", "OUTPUT2", TOTAL, 2),),
    }  # fmt: skip
    return note(**own | changes)


def edited(**changes: Any) -> Dossier:
    """An order that was posted, edited, credited and issued anew, with which all is well."""
    made = file(
        orders=(seen(), seen(5, "12.00", "2.00")),
        commands=(command(), EDIT),
        results=(result("POSTED"), result("POSTED", 5)),
        entries=(HOME, FORMER, entry("payment", 1), MONEY, CREDITED, GIVEN),
        invoices=(invoice(), new()),
        payments=(listed(), NEW_PAYMENT, BACK_AGAIN),
        credits=(credit(),),
    )
    return replace(made, **changes)


def verdict(dossier: Dossier) -> Verdict:
    found = judge(Case(dossier, STORES), LATER)
    assert found is not None
    return found


def codes(dossier: Dossier) -> list[str]:
    return [finding.code for finding in verdict(dossier).all_findings]


def test_the_credited_invoice_its_credit_note_and_the_new_one_are_one_orders() -> None:
    found = verdict(edited())
    assert (found.state, found.all_findings, found.kentico, found.xero) == ("posted", (), HALF, HALF)
    assert (found.claims, found.credit_claims) == ({"i-7", "i-7b"}, {"cn-7b"})
    assert found.refunds == ()


def test_a_refund_of_the_new_invoice_is_a_refund_and_the_credit_is_none() -> None:
    number = "CN-UK-7-R2-r1"
    refunded = edited(
        orders=(seen(), seen(5, "12.00", "2.00"), told(10, total=Decimal("12.00"), tax=Decimal("2.00"))),
        commands=(command(), EDIT, back()),
        results=(result("POSTED"), result("POSTED", 5), answer("POSTED")),
        entries=(
            HOME, FORMER, entry("payment", 1), MONEY, CREDITED, GIVEN,
            noted(number=number), noted("refund", number=f"{number}/1"),
        ),
        payments=(listed(), NEW_PAYMENT, BACK_AGAIN, returned(reference=f"{number}/1 re_1")),
        credits=(
            credit(), note(number=number, reference=number, payments=(returned(reference=f"{number}/1 re_1"),)),
        ),
    )  # fmt: skip
    found = verdict(refunded)
    assert found.all_findings == ()
    assert [(one.id, one.state) for one in found.refunds] == [("r1", "refunded")]


OFF: dict[str, tuple[list[str], dict[str, Any]]] = {
    "credit note gone": (["former_not_credited"], {"credits": ()}),
    "credit note voided": (["former_not_credited"], {"credits": (credit(status="VOIDED"),)}),
    "credit note of another amount": (["credit_note_amount"], {"credits": (credit(total=HALF),)}),
    "on another account": (["credit_note_accounts"], {"credits": (credit(sums=(AccountSum("260", "", TOTAL, 2),)),)}),
    "of another contact": (["credit_note_contact"], {"credits": (credit(contact_id="c-2"),)}),
    "money not back": (
        ["refund_unpaid"],
        {"credits": (credit(status="AUTHORISED", amount_due=TOTAL, payments=()),), "payments": (listed(), NEW_PAYMENT)},
    ),
    "money back by another account": (
        ["refund_payment_account"],
        {"payments": (listed(), NEW_PAYMENT, replace(BACK_AGAIN, account="855"))},
    ),
    "allocated besides": (["credit_note_allocated"], {"credits": (credit(credited=HALF),)}),
    "former invoice voided": (["voided"], {"invoices": (invoice(status="VOIDED"), new())}),
    "former invoice gone": (["document_missing"], {"invoices": (new(),)}),
    "former invoice changed": (["amount"], {"invoices": (invoice(total=HALF), new())}),
    "new invoice voided": (["voided"], {"invoices": (invoice(), new(status="VOIDED"))}),
    "new invoice gone": (["document_missing"], {"invoices": (invoice(),)}),
    "a third invoice": (["duplicate_invoice"], {"invoices": (invoice(), new(), new(id="i-9", number="UK-7-R3"))}),
}


@pytest.mark.parametrize("what", OFF)
def test_an_edited_order_with_which_something_is_off(what: str) -> None:
    expected, changes = OFF[what]
    found = codes(edited(**changes))
    assert set(expected) <= set(found), found
    if what == "former invoice changed":
        expected = ["amount", "credit_note_amount", "overpaid"]
    assert set(found) <= set(expected), found


def test_without_its_credit_note_the_former_invoices_money_counts_twice() -> None:
    found = verdict(edited(credits=()))
    assert (found.kentico, found.xero) == (HALF, HALF + TOTAL)
    assert found.doubled


def test_with_the_ledger_lost_xeros_numbers_tell_what_was_taken_back() -> None:
    found = verdict(edited(entries=()))
    assert {finding.code for finding in found.findings} <= {"ledger_missing", "renumbered"}, found.findings
    assert "duplicate_invoice" not in codes(edited(entries=()))


def test_half_credited_with_a_letter_it_is_still_the_former_invoices() -> None:
    half = edited(
        results=(result("POSTED"), result("REFUSED", 5)),
        letters=(letter(5, "mapping", topic="xero.commands.uk.v1-dlt"),),
        entries=(
            entry(status="CREDITING"), entry("payment", 1), replace(CREDITED, status="AUTHORISED", state="REFUSED"),
        ),
        invoices=(invoice(),),
        payments=(listed(),),
        credits=(credit(status="AUTHORISED", amount_due=TOTAL, payments=()),),
    )  # fmt: skip
    found = verdict(half)
    assert (found.state, found.findings, found.xero) == ("posted", (), TOTAL)
    assert found.credit_claims == {"cn-7b"}


def test_credited_and_not_yet_issued_anew_it_is_a_letter_and_nothing_of_it_counts() -> None:
    between = edited(
        results=(result("POSTED"), result("REFUSED", 5)),
        letters=(letter(5, "mapping", topic="xero.commands.uk.v1-dlt"),),
        entries=(
            replace(HOME, state="REFUSED", xero_id="", version=None, hash="", status="", total=None, total_tax=None),
            FORMER, entry("payment", 1), CREDITED, GIVEN,
        ),
        invoices=(invoice(),),
    )  # fmt: skip
    found = verdict(between)
    assert (found.state, found.findings, found.xero) == ("dead_lettered", (), 0)
    assert found.claims == {"i-7"}


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Scratch]:
    made = scratch(tmp_path)
    yield made
    made.close()


def test_all_its_documents_are_found_and_none_is_left_over(held: Scratch) -> None:
    put(held, edited())
    summary, found = sit(held)
    assert found == []
    assert summary.total.money == [("GBP", HALF, HALF)]
    assert summary.total.back == []
