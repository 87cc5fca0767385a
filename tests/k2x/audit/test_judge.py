"""The independent reader's judgement, finding by finding: each by its code, and the shop at work by none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from k2x.audit.case import Case, Store
from k2x.audit.facts import AccountSum, TenderSeen
from k2x.audit.finding import CODES, KINDS
from k2x.audit.judge import Verdict, judge
from k2x.audit.scratch import Dossier
from k2x.audit.standpoint import Standpoint
from schemas.topics import CHANGES, dead_letter
from tests.k2x.audit.files import (
    DAY,
    KEY,
    LATER,
    STORES,
    TOTAL,
    bare,
    command,
    copy,
    entry,
    file,
    hint,
    invoice,
    letter,
    listed,
    minute,
    paid,
    result,
    seen,
    unpaid,
)
from tests.k2x.audit.test_unpaid import PROVED as UNPAID

HALF = Decimal("12.00")


def verdict(dossier: Dossier, at: Standpoint | None = LATER, **stores: Store) -> Verdict:
    found = judge(Case(dossier, stores or STORES), at)
    assert found is not None
    return found


def codes(dossier: Dossier, at: Standpoint | None = LATER) -> list[str]:
    return [finding.code for finding in verdict(dossier, at).findings]


def test_a_paid_invoice_that_agrees_is_posted_and_clean() -> None:
    found = verdict(file())
    assert (found.state, found.findings, found.latency_s, found.day) == ("posted", (), 2.0, DAY)
    assert (found.kentico, found.xero, found.currency, found.claims) == (TOTAL, TOTAL, "GBP", {"i-7"})


def booked(account: str, amount: str = "24.00", tax_type: str = "OUTPUT2", lines: int = 2) -> AccountSum:
    return AccountSum(account, tax_type, Decimal(amount), lines)


BESIDE = {
    "former_not_credited",
    "over_refunded",
    "duplicate_credit_note",
    "foreign_credit_note",
    "possible_double_refund",
}
"""With those that begin with refund and credit_note, these are proved in test_refunds.py."""

# -- drifted, doubled, unmatched ------------------------------------------------------------------------------------

TWO_TENDERS = (TenderSeen(1, "855", "", HALF), TenderSeen(2, "092", "", HALF))
OFF: dict[str, tuple[list[str], dict[str, Any]]] = {
    "voided by hand": (["voided"], {"invoices": (unpaid(status="VOIDED"),)}),
    "voided, and its reference is on a copy": (
        ["voided", "duplicate_invoice"],
        {"invoices": (unpaid(status="VOIDED"), copy())},
    ),
    "renumbered": (["renumbered"], {"invoices": (invoice(number="X-1"),)}),
    "total edited": (
        ["amount", "payment_amount"],
        {"invoices": (invoice(total=Decimal("24.01"), payments=(paid(amount=Decimal("24.01")),)),)},
    ),
    "tax edited": (["amount"], {"invoices": (invoice(total_tax=Decimal("4.01")),)}),
    "currency changed": (["amount"], {"invoices": (invoice(currency="EUR"),)}),
    "a line on another account": (["accounts"], {"invoices": (invoice(sums=(booked("260"),)),)}),
    "a line with another tax type": (["accounts"], {"invoices": (invoice(sums=(booked("200", tax_type="NONE"),)),)}),
    "money moved between two accounts": (
        ["accounts"],
        {
            "commands": (command(sums=(booked("200", "12"), booked("210", "12"))),),
            "invoices": (invoice(sums=(booked("200", "7"), booked("210", "17"))),),
        },
    ),
    "dated otherwise": (["date"], {"invoices": (invoice(date=DAY + timedelta(days=40)),)}),
    "given to another contact": (["contact"], {"invoices": (invoice(contact_id="c-2"),)}),
    "reference edited": (["reference"], {"invoices": (invoice(reference="PO 8"),)}),
    "credited by hand": (
        ["payment_deleted", "credited"],
        {"invoices": (invoice(credited=TOTAL, payments=()),)},
    ),
    "payment deleted": (["payment_deleted"], {"invoices": (unpaid(),), "payments": (listed(status="DELETED"),)}),
    "payment entered again by hand": (
        ["payment_deleted", "payment_foreign"],
        {"invoices": (invoice(payments=(paid(id="p-9", reference="by hand"),)),)},
    ),
    "payment of another amount": (
        ["payment_amount", "payment_foreign"],
        {"invoices": (invoice(payments=(paid(amount=HALF), paid(id="p-9", amount=HALF, reference="")),),)},
    ),
    "paid from another account": (["payment_account"], {"payments": (listed(account="090", account_id="a-090"),)}),
    "a gift card's payment there twice, and no room for the gateway's": (
        ["payment_doubled", "payment_deleted"],
        {
            "commands": (command(tenders=TWO_TENDERS),),
            "entries": (entry(), entry("payment", 1, total=HALF), entry("payment", 2, total=HALF)),
            "invoices": (invoice(payments=(paid(amount=HALF), paid(id="p-8", amount=HALF))),),
            "payments": (),
        },
    ),
    "paid more than its total": (
        ["payment_foreign", "overpaid"],
        {"invoices": (invoice(payments=(paid(), paid(id="p-9", reference="again"))),)},
    ),
    "never paid, though nothing is missing": (
        ["not_paid"],
        {"commands": (command(tenders=()),), "entries": (entry(),), "invoices": (unpaid(),), "payments": ()},
    ),
    "a copy under our prefix": (["duplicate_invoice"], {"invoices": (invoice(), copy())}),
    "a copy under a number of its own, same reference and contact": (
        ["duplicate_invoice"],
        {"invoices": (invoice(), copy(number="INV-1", total=HALF))},
    ),
    "its payment on another invoice": (
        ["payment_deleted", "payment_elsewhere"],
        {"invoices": (unpaid(),), "payments": (listed(invoice_id="i-99"),)},
    ),
    "not in Xero": (["document_missing"], {"invoices": (), "payments": ()}),
    "neither in Xero nor in the ledger": (["document_missing"], {"invoices": (), "payments": (), "entries": ()}),
    "taken out of the ledger": (["ledger_missing"], {"entries": ()}),
    "its payment taken out of the ledger": (["ledger_missing"], {"entries": (entry(),)}),
    "not in the source topic": (["source_missing"], {"orders": ()}),
    "posted otherwise than Kentico said": (["posted_otherwise"], {"orders": (seen(total="23.00"),)}),
}  # fmt: skip


@pytest.mark.parametrize("what", OFF)
def test_a_posted_order_with_which_something_is_off(what: str) -> None:
    expected, changes = OFF[what]
    found = verdict(file(**changes))
    off = [finding.code for finding in found.findings]
    assert found.state == "posted"
    assert sorted(off) == sorted(expected)
    for finding in found.findings:
        assert (finding.org, finding.store, finding.order, finding.day) == ("uk", "emea/GoatUK", KEY, DAY)
        assert finding.text
        assert finding.next


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("a voided copy", {"invoices": (invoice(), copy(status="VOIDED"))}),
        ("another sale with the same reference",
         {"invoices": (invoice(), copy(number="AU-7", contact_id="c-2", total=HALF))}),
        ("a copy without a reference, which is looked for among the strays",
         {"invoices": (invoice(), copy(number="X", reference=""))}),
        ("a cent on one of two lines of an account", {"invoices": (invoice(sums=(booked("200", "24.01"),)),)}),
        ("an invoice shown without lines", {"invoices": (invoice(sums=()),)}),
        ("a payment whose account is not shown", {"payments": ()}),
        ("an order whose currency a rule names", {"orders": (seen(currency=None),)}),
        ("a total that Kentico keeps with nine decimals", {"orders": (seen(total="24.001000000"),)}),
        ("a later version with the same money, which the ledger has taken over",
         {"orders": (seen(), seen(1)), "entries": (entry(version=minute(1)), entry("payment", 1))}),
        ("a letter about an older version", {"letters": (letter(-1),)}),
    ],
)  # fmt: skip
def test_what_is_no_finding(what: str, changes: dict[str, Any]) -> None:
    assert codes(file(**changes)) == [], what


def test_the_version_that_was_posted_is_what_counts() -> None:
    """An edit that Xero took over silently is drift, even though the newer version agrees with it."""
    edited = invoice(
        total=Decimal("30.00"), total_tax=Decimal("5.00"), payments=(paid(amount=Decimal("30.00")),)
    )  # fmt: skip
    held = letter(1, "held")
    off = file(orders=(seen(0), seen(1, "30.00", "5.00")), letters=(held,), invoices=(edited,))
    assert codes(off) == ["amount", "payment_amount"]
    assert verdict(off).held


def test_a_later_version_that_waits_for_a_decision_is_held_beside_the_posted_one() -> None:
    found = verdict(file(orders=(seen(0), seen(1, "30.00", "5.00")), letters=(letter(1, "held"),)))
    assert (found.state, found.held, found.findings, found.letter) == ("posted", True, (), letter(1, "held"))
    assert found.kentico == TOTAL


def test_a_newer_version_without_any_word_is_lost_though_the_older_one_is_posted() -> None:
    both = file(orders=(seen(0), seen(1, "30.00", "5.00")))
    assert codes(both) == ["version_lost"]
    assert codes(replace(both, results=(*both.results, result("UNCHANGED", 1)))) == []
    assert codes(replace(both, letters=(letter(1),))) == []
    still_to_come = replace(both, commands=(*both.commands, command(1, hash="h1", offset=100)))
    assert codes(still_to_come) == []


# -- not posted -----------------------------------------------------------------------------------------------------


def test_silence_is_lost() -> None:
    found = verdict(bare())
    assert (found.state, [f.code for f in found.findings]) == ("lost", ["no_trace"])
    assert (found.kentico, found.xero) == (TOTAL, Decimal(0))


@pytest.mark.parametrize("outcome", ["SUPPRESSED", "WAITING", "PARKED"])
def test_a_word_about_the_newest_version_counts(outcome: str) -> None:
    found = verdict(bare(results=(result(outcome),)))
    assert (found.state, found.findings) == (outcome.lower(), ())


def test_a_word_about_an_older_version_does_not() -> None:
    both = bare(orders=(seen(0), seen(1)))
    assert codes(replace(both, results=(result("SUPPRESSED", 0),))) == ["no_trace"]
    assert codes(replace(both, letters=(letter(0),))) == ["no_trace"]
    assert verdict(replace(both, letters=(letter(1),))).state == "dead_lettered"


def test_a_command_that_the_sink_has_passed_without_an_end_is_lost() -> None:
    assert codes(bare(commands=(command(),))) == ["no_outcome"]


def test_an_order_of_a_store_nobody_knows_is_lost_unless_a_letter_says_so() -> None:
    stranger = bare(orders=(seen(store="emea/Nowhere"),))
    assert codes(stranger) == ["no_trace"]
    assert verdict(replace(stranger, letters=(letter(),))).state == "dead_lettered"


def test_a_refused_order_whose_invoice_stands_unpaid_is_a_dead_letter_and_no_drift() -> None:
    refused = file(
        results=(result("REFUSED"),),
        letters=(letter(),),
        entries=(entry(state="REFUSED", status="AUTHORISED"), entry("payment", 1, state="REFUSED")),
        invoices=(unpaid(),),
    )
    found = verdict(refused)
    assert (found.state, found.findings, found.claims) == ("dead_lettered", (), {"i-7"})


def test_an_order_deleted_before_it_was_posted_is_suppressed() -> None:
    gone = entry(state="VOIDED", xero_id="", status="")
    assert verdict(bare(entries=(gone,), results=(result("CANCELLED"),))).state == "suppressed"
    replayed = (result("CANCELLED"), result("UNCHANGED", at=minute(30)))
    assert verdict(bare(entries=(gone,), results=replayed)).state == "suppressed"


def test_of_a_letter_and_a_word_about_one_version_the_later_one_counts() -> None:
    refused, mended = letter(at=minute(5)), result("SUPPRESSED", at=minute(6))
    assert verdict(bare(letters=(refused,), results=(mended,))).state == "suppressed"
    assert verdict(bare(letters=(refused,), results=(result("SUPPRESSED"),))).state == "dead_lettered"
    assert verdict(bare(letters=(refused,), results=(result("REFUSED", at=minute(6)),))).state == "dead_lettered"


def test_a_hint_ends_as_an_order_or_as_a_letter() -> None:
    hinted = Dossier(KEY, hints=(hint(),))
    assert codes(hinted) == ["hint_without_order"]
    assert judge(Case(replace(hinted, letters=(letter(None, topic=dead_letter(CHANGES)),)), STORES), LATER) is None
    assert judge(Case(hinted, STORES), None) is None
    assert codes(replace(file(), hints=(hint(),))) == []
    assert codes(bare(hints=(hint(),), letters=(letter(None, topic=dead_letter(CHANGES)),))) == ["no_trace"]


# -- on its way, or stuck -------------------------------------------------------------------------------------------

INTENDED = entry(state="INTENDED", status="", xero_id="", version=None, step="invoice", intended_at=minute(59))
NOBODY = replace(LATER, read={}, hinted={}, taken={})


@pytest.mark.parametrize(
    ("what", "dossier", "at"),
    [
        ("it has just come", bare(orders=(seen(58),)), NOBODY),
        ("it has just been read", bare(orders=(seen(58),)), LATER),
        ("the workers are busy with what lies before it", bare(), replace(NOBODY, workers_at=minute(59))),
        ("the reader is busy", Dossier(KEY, hints=(hint(),)), replace(NOBODY, reader_at=minute(59))),
        ("its command lies before the sink", bare(commands=(command(),)), NOBODY),
        ("its command was taken a moment ago", bare(commands=(command(at=minute(58)),)), LATER),
        ("it was written about while Xero was read", bare(late=True), LATER),
        ("its invoice is being sent", bare(commands=(command(),), entries=(INTENDED,)), NOBODY),
    ],
)
def test_an_order_on_its_way_is_no_finding(what: str, dossier: Dossier, at: Standpoint) -> None:
    found = verdict(dossier, at)
    assert (found.state, found.findings) == ("in_flight", ()), what


def test_a_posted_order_that_is_written_about_meanwhile_is_not_judged() -> None:
    found = verdict(file(late=True, invoices=(unpaid(),)))
    assert (found.state, found.findings, found.claims) == ("posted", (), {"i-7"})


@pytest.mark.parametrize(
    ("code", "state", "dossier", "at"),
    [
        ("not_read", "lost", bare(), NOBODY),
        ("hint_not_read", "lost", Dossier(KEY, hints=(hint(),)), NOBODY),
        ("not_taken", "in_flight", bare(commands=(command(),)), replace(NOBODY, now=minute(60 * 27), lanes={})),
        (
            "intention_open",
            "in_flight",
            bare(commands=(command(),), entries=(replace(INTENDED, intended_at=minute(50)),)),
            NOBODY,
        ),
        ("intention_open", "in_flight", bare(commands=(command(),), entries=(INTENDED,)), LATER),
        (
            "waiting_overdue",
            "waiting",
            bare(entries=(entry(state="WAITING", status="", xero_id="", version=None, retry_at=minute(1)),)),
            replace(LATER, now=minute(60 * 28), lanes={"uk": minute(0)}),
        ),
    ],
)
def test_what_nobody_goes_on_with_is_said(code: str, state: str, dossier: Dossier, at: Standpoint) -> None:
    found = verdict(dossier, at)
    assert (found.state, [finding.code for finding in found.findings]) == (state, [code])


def test_a_waiting_order_of_a_lane_that_speaks_is_just_waiting() -> None:
    waits = entry(state="WAITING", status="", xero_id="", version=None, retry_at=minute(1))
    assert codes(bare(entries=(waits,)), replace(LATER, now=minute(60 * 28), lanes={"uk": minute(60 * 27)})) == []


def test_a_posted_order_with_a_later_version_waiting_is_posted() -> None:
    waits = entry(state="WAITING", was="POSTED", retry_at=minute(61))
    both = file(orders=(seen(), seen(1)), entries=(waits, entry("payment", 1)), results=(result("WAITING", 1),))
    assert (verdict(both).state, codes(both)) == ("posted", [])


def test_at_rest_whatever_has_no_end_is_lost() -> None:
    """The demo's view: nothing is on its way any more."""
    assert verdict(bare(orders=(seen(58),)), None).state == "lost"
    assert verdict(bare(commands=(command(),), entries=(INTENDED,)), None).state == "lost"
    assert codes(file(), None) == []


def test_every_code_is_of_a_kind_says_what_to_do_and_is_proved_here_or_among_the_strays() -> None:
    assert {kind for kind, _ in CODES.values()} == set(KINDS)
    proved = {code for expected, _ in OFF.values() for code in expected}
    proved |= {"no_trace", "not_read", "no_outcome", "version_lost", "hint_not_read", "hint_without_order"}
    proved |= {"intention_open", "waiting_overdue", "not_taken"}
    of_refunds = {code for code in CODES if code.startswith(("refund", "credit_note")) or code in BESIDE}
    of_refunds |= {code for code in CODES if "summar" in code}  # test_daily.py
    of_refunds |= {code for code in CODES if code.startswith("settlement_")}  # test_settlements.py
    of_refunds |= UNPAID
    assert set(CODES) - proved - of_refunds == {"foreign_invoice", "possible_double"}, "test_court.py has these"
