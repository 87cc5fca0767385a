"""Refunds under the independent reader's judgement: each fault by its code, on its refund, and never on its sale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from k2x.audit.case import Case
from k2x.audit.court import Court, Scope
from k2x.audit.facts import AccountSum
from k2x.audit.finding import CODES, Finding
from k2x.audit.judge import Verdict, judge
from k2x.audit.scratch import Dossier, Scratch, scratch
from k2x.audit.standpoint import Standpoint
from k2x.audit.summary import Summary
from tests.k2x.audit.files import (
    BACK,
    DAY,
    KEY,
    LATER,
    NEXT_DAY,
    NUMBER,
    STORES,
    TOTAL,
    answer,
    back,
    bare,
    command,
    entry,
    file,
    invoice,
    kept,
    letter,
    listed,
    minute,
    note,
    noted,
    open_note,
    refund_letter,
    refunded,
    result,
    returned,
    seen,
    told,
)

TWO = Decimal("2.00")
NOBODY = replace(LATER, read={}, taken={})


def verdict(dossier: Dossier, at: Standpoint | None = LATER) -> Verdict:
    found = judge(Case(dossier, STORES), at)
    assert found is not None
    return found


def codes(dossier: Dossier, at: Standpoint | None = LATER) -> list[str]:
    found = verdict(dossier, at)
    assert not found.findings, "the sale is not to blame"
    return [finding.code for refund in found.refunds for finding in refund.findings]


def states(dossier: Dossier, at: Standpoint | None = LATER) -> list[str]:
    return [refund.state for refund in verdict(dossier, at).refunds]


def test_a_refund_that_agrees_is_counted_beside_its_sale() -> None:
    found = verdict(refunded())
    assert (found.state, found.findings, found.kentico, found.xero) == ("posted", (), TOTAL, TOTAL)
    (refund,) = found.refunds
    assert (refund.id, refund.state, refund.number, refund.day) == ("r1", "refunded", NUMBER, NEXT_DAY)
    assert (refund.kentico, refund.xero, refund.currency, refund.findings) == (BACK, BACK, "GBP", ())
    assert refund.claims == {"cn-7"}
    assert found.latency_s == 2.0, "the sale's, not the refund's"


def copied(**changes: Any) -> Any:
    return open_note(**{"id": "cn-8", "number": f"{NUMBER}-COPY", **changes})


OFF: dict[str, tuple[list[str], dict[str, Any]]] = {
    "voided": (["credit_note_voided"], {"credits": (open_note(status="VOIDED"),)}),
    "renumbered": (["credit_note_renumbered"], {"credits": (note(number="CN-0001"),)}),
    "its amount edited, the payment left": (
        ["credit_note_amount", "refund_unpaid"],
        {"credits": (note(total=Decimal("9.00"), amount_due=Decimal("3.00"), status="AUTHORISED"),)},
    ),
    "its tax edited": (["credit_note_amount"], {"credits": (note(total_tax=TWO),)}),
    "on another account": (
        ["credit_note_accounts"],
        {"credits": (note(sums=(AccountSum("260", "OUTPUT2", BACK, 1),)),)},
    ),
    "dated otherwise": (["credit_note_date"], {"credits": (note(date=DAY + timedelta(days=9)),)}),
    "given to another contact": (["credit_note_contact"], {"credits": (note(contact_id="c-9"),)}),
    "its reference edited": (["credit_note_reference"], {"credits": (note(reference="returned boots"),)}),
    "allocated to an invoice instead": (
        ["refund_payment_deleted", "credit_note_allocated"],
        {"credits": (note(payments=(), credited=BACK),)},
    ),
    "its payment deleted": (
        ["refund_payment_deleted"],
        {"credits": (open_note(),), "payments": (listed(), returned(status="DELETED"))},
    ),
    "its payment changed": (
        ["refund_payment_amount", "refund_payment_foreign"],
        {"credits": (note(payments=(returned(amount=TWO), returned(id="rp-9", amount=Decimal(4), reference=""))),)},
    ),
    "its payment there twice": (
        ["refund_doubled", "refund_payment_amount"],
        {"credits": (note(payments=(returned(amount=Decimal(3)), returned(id="rp-9", amount=Decimal(3)))),)},
    ),
    "its payment from another account": (
        ["refund_payment_account"],
        {"payments": (listed(), returned(account="090", account_id="a-090"))},
    ),
    "nothing given back, and nothing was to be": (
        ["refund_unpaid"],
        {
            "credits": (open_note(),),
            "commands": (command(), command(10, offset=1), back(tenders=())),
            "entries": (entry(), entry("payment", 1), noted()),
        },
    ),
    "its payment on another credit note": (
        ["refund_payment_deleted", "payment_elsewhere"],
        {"credits": (open_note(),), "payments": (listed(), returned(invoice_id="cn-99"))},
    ),
    "copied by hand": (["duplicate_credit_note"], {"credits": (note(), copied())}),
    "copied under a number of its own": (["duplicate_credit_note"], {"credits": (note(), copied(number="CN-9"))}),
    "entered again with the invoice's number for reference": (
        ["duplicate_credit_note"],
        {"credits": (note(), copied(number="CN-9", reference="UK-7"))},
    ),
    "another sum given back by hand": (
        ["foreign_credit_note"],
        {"credits": (note(), copied(number="CN-9", reference="UK-7", total=TWO))},
    ),
    "not in Xero": (["credit_note_missing"], {"credits": (), "payments": (listed(),)}),
    "neither in Xero nor in the ledger": (
        ["credit_note_missing"],
        {"credits": (), "entries": (entry(), entry("payment", 1))},
    ),
    "taken out of the ledger": (["ledger_missing"], {"entries": (entry(), entry("payment", 1))}),
    "made with another amount than Kentico's": (["refunded_otherwise"], {"orders": (seen(), told(amount="5.00"))}),
    "more than was sold": (
        ["credit_note_amount", "refund_unpaid", "over_refunded"],
        {"credits": (note(total=Decimal("25.00"), amount_due=Decimal("19.00"), status="AUTHORISED"),)},
    ),
}


@pytest.mark.parametrize("what", OFF)
def test_a_refund_with_which_something_is_off(what: str) -> None:
    expected, changes = OFF[what]
    found = verdict(refunded(**changes))
    off = [finding for refund in found.refunds for finding in refund.findings]
    assert sorted(finding.code for finding in off) == sorted(expected)
    assert (found.state, found.findings) == ("posted", ()), "the sale is what it was"
    for finding in off:
        assert (finding.org, finding.store, finding.order) == ("uk", "emea/GoatUK", KEY)
        assert finding.number.startswith("CN-")
        assert finding.text
        assert finding.next
        assert finding.day is not None
    assert found.found(off[0].kind)


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("a voided copy", {"credits": (note(), copied(status="VOIDED"))}),
        ("a credit note shown without lines", {"credits": (note(sums=()),)}),
        ("money back whose account is not shown", {"payments": (listed(),)}),
        ("an older letter, mended", {"letters": (refund_letter(9),)}),
        ("the refund told again, and left alone",
         {"orders": (seen(), told(), told(11)), "commands": (command(), command(10), back(), back(11)),
          "results": (result("POSTED"), answer("POSTED"), result("UNCHANGED", 11), answer("UNCHANGED", 11))}),
        ("a refund by status, of which the event names no amount", {"orders": (seen(), seen(10))}),
    ],
)  # fmt: skip
def test_what_is_no_finding(what: str, changes: dict[str, Any]) -> None:
    assert codes(refunded(**changes)) == [], what


def test_two_refunds_of_one_command_id_are_told_apart_by_their_numbers() -> None:
    """Two refunds within one version of the order: the second one has no end."""
    second = back(id_="r2", id="back 10", offset=3)
    both = refunded(
        orders=(seen(), told(), told(10, id_="r2")),
        commands=(command(), command(10, offset=1), back(), second),
        results=(result("POSTED"), result("UNCHANGED", 10), answer("POSTED", number=NUMBER)),
    )
    assert states(both) == ["refunded", "lost"]
    assert codes(both) == ["refund_lost"]


# -- not made -------------------------------------------------------------------------------------------------------

SOLD = {"entries": (entry(), entry("payment", 1)), "credits": (), "payments": (listed(),)}
GIVEN = refunded(results=(result("POSTED"), result("UNCHANGED", 10)), **SOLD)
"""The refund's command is on its topic, and nothing else of it is anywhere."""
WAITS_FOR_XERO = entry(state="WAITING", was="POSTED", holds=2, retry_at=minute(61))
UNTAKEN = replace(LATER, taken={"uk": 2})


def test_a_refund_that_the_sink_has_passed_without_an_end_is_lost_and_its_sale_is_not() -> None:
    found = verdict(GIVEN)
    assert (found.state, found.findings) == ("posted", ())
    (refund,) = found.refunds
    assert (refund.state, [f.code for f in refund.findings]) == ("lost", ["refund_lost"])
    assert (refund.kentico, refund.xero) == (BACK, Decimal(0))


def test_an_event_of_which_no_refund_came_is_lost() -> None:
    told_only = file(orders=(seen(), told()), results=(result("POSTED"), result("UNCHANGED", 10)))
    assert codes(told_only) == ["refund_lost"]
    assert codes(told_only, NOBODY) == ["refund_not_read"]
    just_come = replace(told_only, orders=(seen(), told(58)), results=(result("POSTED"), result("UNCHANGED", 58)))
    assert states(just_come) == ["in_flight"]
    ignored = result("SUPPRESSED", 10, kind="order_refund")
    assert states(replace(told_only, results=(*told_only.results, ignored))) == ["suppressed"], "by a rule"


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        ("refused", {"letters": (refund_letter(),), "results": (*GIVEN.results, answer("REFUSED"))}),
        ("held", {"letters": (refund_letter(10, "held"),), "results": (*GIVEN.results, answer("HELD"))}),
        ("suppressed", {"results": (*GIVEN.results, answer("UNCHANGED"))}),
        ("waiting", {"entries": (*SOLD["entries"], kept()), "results": (*GIVEN.results, answer("WAITING"))}),
        ("waiting", {"entries": (WAITS_FOR_XERO, entry("payment", 1))}),
    ],
)
def test_a_refund_has_an_end_of_its_own_and_its_sale_stays_posted(state: str, changes: dict[str, Any]) -> None:
    found = verdict(replace(GIVEN, **changes))
    assert (found.state, found.held, found.letter, found.findings) == ("posted", False, None, ())
    assert [(refund.state, refund.findings) for refund in found.refunds] == [(state, ())]


def test_a_letter_of_a_refund_does_not_make_an_unposted_sale_a_dead_letter() -> None:
    sale_waits = entry(state="WAITING", status="", xero_id="", version=None, was="INTENDED", holds=0)
    both = refunded(
        letters=(refund_letter(),), entries=(sale_waits,), results=(answer("REFUSED"),), credits=(), invoices=()
    )
    assert (verdict(both).state, states(both)) == ("waiting", ["refused"])


def test_an_event_refused_whole_is_a_letter_of_both() -> None:
    """The streams could make nothing of it: neither the sale nor the refund."""
    refused = bare(orders=(told(),), letters=(letter(10, refund="r1"),))
    assert (verdict(refused).state, states(refused)) == ("dead_lettered", ["refused"])
    held = file(orders=(seen(), told()), letters=(letter(10, "held", refund="r1"),))
    found = verdict(held)
    assert (found.state, found.findings, [r.state for r in found.refunds]) == ("posted", (), ["held"])


def test_a_refund_of_an_order_that_is_not_paid_is_suppressed_with_it() -> None:
    unpaid = bare(orders=(told(),), results=(result("SUPPRESSED", 10),))
    assert (verdict(unpaid).state, states(unpaid)) == ("suppressed", ["suppressed"])


def test_a_refund_before_its_sale_waits_and_the_sale_is_what_it_is() -> None:
    """The ledger keeps it with an entry of the invoice's that says nothing of the sale."""
    placeholder = entry(state="VOIDED", status="", xero_id="", number="", version=None, total=None, holds=None)
    early = bare(
        orders=(told(),), commands=(back(),), entries=(placeholder, kept()),
        results=(answer("WAITING"), result("SUPPRESSED", 10)),
    )  # fmt: skip
    assert (verdict(early).state, states(early), codes(early)) == ("suppressed", ["waiting"], [])
    sold = (command(), command(10), back())
    lost = replace(early, orders=(seen(), told()), commands=sold, results=(answer("WAITING"),))
    assert [f.code for f in verdict(lost).findings] == ["no_outcome"], "the sale's own loss is not hidden by it"


INTENDED = noted(state="INTENDED", status="", xero_id="", version=None, step="credit_note", intended_at=minute(50))

BEING_SENT = replace(INTENDED, intended_at=minute(59))


@pytest.mark.parametrize(
    ("code", "state", "dossier", "at"),
    [
        ("refund_open", "in_flight", replace(GIVEN, entries=(*SOLD["entries"], INTENDED)), LATER),
        ("refund_open", "in_flight", replace(GIVEN, entries=(*SOLD["entries"], noted(status="AUTHORISED"))), LATER),
        ("not_taken", "in_flight", GIVEN, replace(UNTAKEN, now=minute(60 * 27), lanes={})),
        (
            "refund_overdue",
            "waiting",
            replace(GIVEN, entries=(*SOLD["entries"], kept())),
            replace(LATER, now=minute(60 * 28), lanes={"uk": minute(1)}),
        ),
    ],
)
def test_what_nobody_goes_on_with_is_said(code: str, state: str, dossier: Dossier, at: Standpoint) -> None:
    assert (states(dossier, at), codes(dossier, at)) == ([state], [code])


@pytest.mark.parametrize(
    ("what", "dossier", "at"),
    [
        ("its command lies before the sink", GIVEN, UNTAKEN),
        ("its command was taken a moment ago", replace(GIVEN, commands=(command(), back(at=minute(58)))), LATER),
        ("it is being sent", replace(GIVEN, entries=(*SOLD["entries"], BEING_SENT)), LATER),
        ("it was written about while Xero was read", replace(GIVEN, late=True), LATER),
    ],
)  # fmt: skip
def test_a_refund_on_its_way_is_no_finding(what: str, dossier: Dossier, at: Standpoint) -> None:
    assert (states(dossier, at), codes(dossier, at)) == (["in_flight"], []), what


def test_a_refund_refused_half_way_is_compared_and_told_by_its_letter() -> None:
    half = refunded(
        letters=(refund_letter(),),
        results=(result("POSTED"), result("UNCHANGED", 10), answer("REFUSED")),
        entries=(entry(), entry("payment", 1), noted(state="REFUSED", status="AUTHORISED")),
        credits=(open_note(),),
    )
    assert (states(half), codes(half)) == (["refused"], [])
    assert codes(replace(half, credits=(open_note(total_tax=TWO),))) == ["credit_note_amount"]


def test_at_rest_a_refund_without_an_end_is_lost() -> None:
    assert states(GIVEN, None) == ["lost"]
    assert states(replace(GIVEN, entries=(*SOLD["entries"], INTENDED)), None) == ["lost"]
    assert codes(refunded(), None) == []


def test_a_newer_version_that_was_only_a_refund_is_not_a_version_lost() -> None:
    alone = refunded(commands=(command(), back()), results=(result("POSTED"), answer("POSTED")))
    assert (verdict(alone).findings, codes(alone)) == ((), [])
    without = refunded(results=(result("POSTED"), answer("POSTED")))
    assert [f.code for f in verdict(without).findings] == ["version_lost"], "its sale had a command of its own"


def test_a_refund_of_what_nothing_says_was_paid_leaves_the_order_suppressed() -> None:
    """The streams send it on alone, as the sink knows whether the order was posted."""
    early = bare(orders=(told(),), commands=(back(),), entries=(kept(),), results=(answer("WAITING"),))
    assert (verdict(early).state, states(early), codes(early)) == ("suppressed", ["waiting"], [])
    before = replace(early, orders=(seen(), told()))
    assert [f.code for f in verdict(before).findings] == ["no_trace"], "an earlier version must have its own word"
    assert verdict(replace(before, results=(result("SUPPRESSED"), answer("WAITING")))).state == "suppressed"


def test_a_refund_whose_foreign_id_was_shortened_is_the_one_that_was_told() -> None:
    """Two of one version: the amount tells which is which."""
    foreign = "re/1Pq zü" * 9
    mine = refunded(orders=(seen(), told(id_=foreign)))
    assert (states(mine), codes(mine)) == (["refunded"], [])
    two = replace(
        mine,
        orders=(seen(), told(id_=foreign), told(id_=foreign + "2", amount="2.00")),
        commands=(*mine.commands, back(id_="r2", id="second", total=TWO, offset=3)),
    )
    assert states(two) == ["refunded", "lost"]
    (_, lost) = verdict(two).refunds
    assert (lost.id, lost.kentico) == ("r2", TWO)
    refused = file(orders=(seen(), told(id_=foreign)), letters=(letter(10, refund=foreign),))
    assert states(refused) == ["refused"]


# -- beside Xero's documents ----------------------------------------------------------------------------------------


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Scratch]:
    made = scratch(tmp_path)
    yield made
    made.close()


def put(into: Scratch, dossier: Dossier) -> None:
    for facts in (dossier.orders, dossier.commands, dossier.results, dossier.letters, dossier.entries):
        for fact in facts:
            into.add(fact)
    into.add_invoices(dossier.invoices)
    into.add_payments(dossier.payments)
    into.add_credits(dossier.credits)


def sit(of: Scratch, scope: Scope = Scope(("uk",))) -> tuple[Summary, list[Finding]]:  # noqa: B008 - frozen
    court, summary, found = Court(of, STORES, LATER, scope), Summary(), list[Finding]()
    for judged in map(court.judge, court.dossiers()):
        assert judged is not None
        court.claim(judged)
        if court.takes(judged):
            summary.order(judged)
            found += judged.findings
        for refund in court.taken(judged).refunds:
            summary.refund(judged, refund)
            found += refund.findings
    for finding, document in court.strays():
        summary.stray(finding, document)
        found.append(finding)
    return summary, found


def test_each_refund_finds_its_credit_note_and_nothing_is_left(held: Scratch) -> None:
    put(held, refunded())
    summary, found = sit(held)
    assert found == []
    total = summary.total
    assert (total.counts["orders"], total.counts["posted"], total.counts["refunds"], total.counts["refunded"]) == (
        1, 1, 1, 1,
    )  # fmt: skip
    assert (total.money, total.back) == ([("GBP", TOTAL, TOTAL)], [("GBP", BACK, BACK)])


def test_refunds_are_counted_and_chosen_by_their_own_day(held: Scratch) -> None:
    put(held, refunded(credits=(note(reference="edited"),)))
    by_day = {place[2]: tally.counts for place, tally in sit(held)[0].days()}
    assert by_day == {DAY: {"orders": 1, "posted": 1, "held": 0}, NEXT_DAY: {"refunds": 1, "refunded": 1, "drifted": 1}}
    only, found = sit(held, Scope(("uk",), since=NEXT_DAY))
    assert (only.total.counts["orders"], only.total.counts["refunds"]) == (0, 1)
    assert [finding.code for finding in found] == ["credit_note_reference"]
    only, found = sit(held, Scope(("uk",), until=DAY))
    assert (only.total.counts["orders"], only.total.counts["refunds"], found) == (1, 0, [])


def test_a_credit_note_under_our_name_that_no_refund_explains_is_found(held: Scratch) -> None:
    put(held, file(credits=(open_note(id="cn-9", number="CN-UK-9-x", reference=""), open_note(number="CN-AU-1"))))
    summary, found = sit(held)
    assert [(f.code, f.kind, f.store, f.number) for f in found] == [
        ("foreign_credit_note", "unmatched", "emea/GoatUK", "CN-UK-9-x")
    ]
    assert summary.total.back == [("GBP", Decimal(0), BACK)]


def test_a_copy_without_number_and_reference_of_ours_is_a_possible_double(held: Scratch) -> None:
    put(held, refunded(credits=(note(), copied(number="X-1", reference=""))))
    (finding,) = sit(held)[1]
    assert (finding.code, finding.order, finding.number) == ("possible_double_refund", KEY, "X-1")
    assert NUMBER in finding.text


def test_other_credit_notes_of_the_organisation_are_nobodys_business(held: Scratch) -> None:
    put(held, refunded(credits=(note(), copied(number="X-1", reference="", total=TWO))))
    assert sit(held)[1] == []


def test_every_code_of_refunds_is_proved_here() -> None:
    proved = {code for expected, _ in OFF.values() for code in expected}
    proved |= {"refund_lost", "refund_not_read", "refund_open", "refund_overdue", "possible_double_refund"}
    assert {code for code in CODES if "refund" in code or "credit_note" in code} == {
        code for code in proved if "refund" in code or "credit_note" in code
    }
    assert invoice().what == "invoice"
    assert note().what == "credit note"
