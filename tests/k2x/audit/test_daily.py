"""Daily summaries judged through the scratch: each fault is found by its code, and a day without faults by none."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

import pytest

from k2x.audit import page
from k2x.audit.court import Court, Scope
from k2x.audit.daily import DailyVerdict
from k2x.audit.daily_case import is_summary
from k2x.audit.facts import EntryGone, PartSeen
from k2x.audit.finding import CODES, Finding
from k2x.audit.judge import Verdict
from k2x.audit.reconcile import Outcome
from k2x.audit.scratch import Scratch
from k2x.audit.standpoint import Standpoint
from k2x.audit.summary import Summary
from tests.k2x.audit.days import (
    BACKS,
    BACKS_NUMBER,
    BY_CARD,
    CARD,
    CLOSES,
    FIRST,
    NUMBER,
    PAYMENTS,
    SUMMARY,
    THIRD,
    Day,
    Sold,
    day,
    document,
    given_back,
    home,
    later,
    open_day,
    opened,
    own_invoice,
    paid,
    parts,
    payment_entry,
)
from tests.k2x.audit.files import BACK, DAY, LATER, NEXT_DAY, STORES, TAX, TOTAL, letter

UK = Scope(("uk",))


@dataclass
class Judged:
    """What the court said, added up as a reconciliation does."""

    verdicts: dict[str, Verdict]
    dailies: dict[str, DailyVerdict]
    findings: list[Finding]
    summary: Summary
    scratch: Scratch

    @property
    def codes(self) -> list[str]:
        return sorted(finding.code for finding in self.findings)


def sit(of: Day, at: Standpoint | None = LATER, scope: Scope = UK, late: object = None) -> Judged:
    scratch, summary, findings = Scratch(), Summary(), list[Finding]()
    for fact in of.facts:
        scratch.add(fact, late=fact is late)
    scratch.add_invoices(of.invoices)
    scratch.add_credits(of.credits)
    scratch.add_payments(of.payments)
    court = Court(scratch, STORES, at, scope)
    verdicts = {v.key: v for v in map(court.judge, court.dossiers()) if v is not None}
    for verdict in verdicts.values():
        court.claim(verdict)
        if court.takes(verdict):
            summary.order(verdict)
            findings += verdict.findings
        for refund in court.taken(verdict).refunds:
            summary.refund(verdict, refund)
            findings += refund.findings
    dailies = {}
    for case in court.summaries():
        daily = dailies[case.key] = court.judge_summary(case)
        summary.daily(daily)
        findings += daily.findings
    for finding, stray in court.strays():
        summary.stray(finding, stray)
        findings.append(finding)
    scratch.add_findings(findings)
    return Judged(verdicts, dailies, findings, summary, scratch)


def test_a_posted_day_agrees_and_each_order_is_counted_once() -> None:
    found = sit(day())
    assert found.findings == []
    assert {key: v.state for key, v in found.verdicts.items()} == dict.fromkeys(
        ["emea|1", "emea|2", "emea|3"], "posted"
    )
    (daily,) = found.dailies.values()
    assert (daily.state, daily.orders, daily.total, daily.xero) == ("posted", 3, TOTAL * 3, TOTAL * 3)
    ((place, tally),) = found.summary.days()
    assert place == ("uk", "emea/GoatUK", DAY)
    assert (tally.counts["orders"], tally.counts["posted"], tally.off) == (3, 3, 0)
    assert tally.money == [("GBP", TOTAL * 3, TOTAL * 3)]


def test_what_is_collected_and_not_due_waits_with_its_summarys_name() -> None:
    at = replace(LATER, now=CLOSES - timedelta(minutes=1))
    found = sit(open_day(), at)
    assert found.findings == []
    assert {v.state for v in found.verdicts.values()} == {"waiting"}
    (daily,) = found.dailies.values()
    assert (daily.number, daily.state, daily.orders, daily.closes_at) == (NUMBER, "open", 3, CLOSES)
    assert found.summary.total.money == []


@pytest.mark.parametrize(
    ("hours", "phase", "codes"),
    [(5.9, "open", []), (6.1, "open", ["summary_overdue"]), (5.9, "closed", []), (6.1, "closed", ["summary_overdue"])],
)
def test_a_summary_past_its_close_by_more_than_the_margin_is_stuck(hours: float, phase: str, codes: list[str]) -> None:
    of = open_day().instead(opened(), opened(phase=phase, reason="Xero's day limit is reached"))
    found = sit(of, replace(LATER, now=later(hours)))
    assert found.codes == codes
    assert sit(of, None).codes == [], "a shop at rest has no clock"
    for finding in found.findings:
        assert (finding.kind, finding.order, finding.number) == ("stuck", SUMMARY, NUMBER)
        assert "day limit" in finding.text
        assert f"k2x trace {NUMBER}" in finding.next


def test_a_refused_summary_waits_with_its_letter_and_is_no_finding() -> None:
    refused = opened(phase="closed", state="REFUSED", reason="account 200 is archived")
    of = open_day().instead(opened(), refused)
    of.facts.append(letter(key=SUMMARY, message="account 200 is archived", topic="xero.commands.uk.v1-dlt"))
    found = sit(of, replace(LATER, now=later(48)))
    (daily,) = found.dailies.values()
    assert (found.codes, daily.state, daily.reason) == ([], "refused", "account 200 is archived")


def more(one: Day, *facts: object) -> Day:
    return replace(one, facts=[*one.facts, *facts])


OTHER, OTHER_NUMBER = f"{SUMMARY}-2", f"{NUMBER}-2"
GONE = {"status": "AUTHORISED", "amount_due": CARD, "payments": PAYMENTS[:1]}
BOOKED = document().sums
CENT = Decimal("0.01")
OFF: dict[str, tuple[str, list[str], Callable[[], Day]]] = {
    "voided by hand": ("drifted", ["summary_voided"], lambda: day().xero(document(status="VOIDED"))),
    "gone from Xero": ("unmatched", ["summary_missing"], lambda: day().xero()),
    "edited amount": (
        "drifted",
        ["summary_amount"],
        lambda: day().xero(document(total=TOTAL * 3 - CENT)),
    ),
    "edited tax": ("drifted", ["summary_amount"], lambda: day().xero(document(total_tax=TAX * 3 + CENT))),
    "a line on another account": (
        "drifted",
        ["summary_accounts"],
        lambda: day().xero(document(sums=(BOOKED[0], replace(BOOKED[1], account="260")))),
    ),
    "a cent of net moved between two accounts": (
        "drifted",
        ["summary_accounts"],
        lambda: day().xero(
            document(sums=(replace(BOOKED[0], amount=Decimal("54.99")), replace(BOOKED[1], amount=Decimal("5.01"))))
        ),
    ),
    "a cent of tax moved between two tax types": (
        "drifted",
        ["summary_accounts"],
        lambda: day().xero(
            document(sums=(replace(BOOKED[0], tax=Decimal("10.99")), replace(BOOKED[1], tax=Decimal("1.01"))))
        ),
    ),
    "payment deleted": (
        "drifted",
        ["payment_deleted"],
        lambda: day().xero(document(**GONE), payments=[PAYMENTS[0], replace(PAYMENTS[1], status="DELETED")]),
    ),
    "paid from another account": (
        "drifted",
        ["summary_tenders"],
        lambda: day().xero(document(), payments=[PAYMENTS[0], paid(2, CARD, "090")]),
    ),
    "dated otherwise": ("drifted", ["date"], lambda: day().xero(document(date=NEXT_DAY))),
    "given to another contact": ("drifted", ["contact"], lambda: day().xero(document(contact_id="c-9"))),
    "renumbered": ("drifted", ["renumbered"], lambda: day().xero(document(number="X-1"))),
    "copied in Xero": (
        "doubled",
        ["duplicate_summary"],
        lambda: day().xero(document(), document(id="i-9", number=f"{NUMBER}-COPY", payments=())),
    ),
    "an order's own invoice beside the summary": (
        "doubled",
        ["order_beside_summary"],
        lambda: day().xero(document(), own_invoice()),
    ),
    "an order in two summaries": (
        "doubled",
        ["order_in_two_summaries"],
        lambda: more(day(), FIRST.member(OTHER, OTHER_NUMBER)),
    ),
    "an order that its summary does not count": (
        "lost",
        ["order_in_no_summary"],
        lambda: day().without(FIRST.member()),
    ),
    "an order's entry that is gone from the ledger": (
        "lost",
        ["order_in_no_summary", "summary_amount", "summary_members"],
        lambda: day().without(FIRST.entry()),
    ),
    "an order that was not added up": (
        "drifted",
        ["summary_amount"],
        lambda: (
            day()
            .instead(payment_entry(1, BY_CARD), payment_entry(1, TOTAL * 2 - CARD))
            .xero(
                document(total=TOTAL * 2, total_tax=TAX * 2, payments=(paid(1, TOTAL * 2 - CARD, "092"), PAYMENTS[1])),
                payments=[paid(1, TOTAL * 2 - CARD, "092"), PAYMENTS[1]],
            )
        ),
    ),
    "counted otherwise by itself": ("unmatched", ["summary_members"], lambda: day().instead(home(), home(members=4))),
    "money on an account that no order was paid on": (
        "drifted",
        ["summary_tenders"],
        lambda: day().instead(THIRD.command(), THIRD.command(tenders=FIRST.command().tenders)),
    ),
    "posted for nobody": (
        "unmatched",
        ["summary_members", "summary_without_orders"],
        lambda: Day([home()], [document()], list(PAYMENTS), []),
    ),
    "an open summary that the ledger has forgotten": (
        "lost",
        ["summary_unknown"],
        lambda: open_day().without(opened()),
    ),
    "a posted summary that the ledger has forgotten": ("unmatched", ["ledger_missing"], lambda: day().without(home())),
    "an order's part that is not the order": (
        "drifted",
        ["summary_amount", "summary_part"],
        lambda: (
            day()
            .instead(
                FIRST.command(),
                FIRST.command(total=TOTAL + CENT),
            )
            .instead(FIRST.entry(), FIRST.entry(total=TOTAL))
        ),
    ),
    "a part on an account where the order has nothing": (
        "drifted",
        ["summary_accounts", "summary_part"],
        lambda: day().instead(
            FIRST.command(),
            FIRST.command(part=PartSeen(NUMBER, CLOSES, (replace(parts(1)[0], account="999"),))),
        ),
    ),
    "a summary's number on an invoice of nobody": (
        "unmatched",
        ["foreign_invoice"],
        lambda: day().xero(
            document(), document(id="i-9", number="UK-S20261120-GBP", date=DAY - timedelta(4), payments=())
        ),
    ),
}


@pytest.mark.parametrize("name", OFF)
def test_each_planted_fault_is_found_by_its_code_with_store_and_day(name: str) -> None:
    kind, codes, spoiled = OFF[name]
    found = sit(spoiled())
    if name == "money on an account that no order was paid on":
        assert "summary_tenders" in found.codes
    else:
        assert found.codes == codes
    assert kind in {finding.kind for finding in found.findings}
    for finding in found.findings:
        assert (finding.org, finding.store) == ("uk", "emea/GoatUK")
        assert finding.day is not None
        assert finding.text
        assert finding.next


def test_an_order_posted_by_itself_that_a_summary_holds_too_is_doubled() -> None:
    alone = replace(FIRST.entry(), kind="invoice", number="UK-1", xero_id="i-1", contact_id="c-1", summary="")
    of = day().instead(FIRST.entry(), alone)
    whole = own_invoice(status="PAID", amount_due=Decimal(0), payments=())
    found = sit(replace(of, invoices=[document(), whole]))
    assert "order_beside_summary" in found.codes


def test_a_day_that_was_locked_when_it_closed_has_the_date_that_the_ledger_says() -> None:
    moved = day().instead(home(), home(dated=NEXT_DAY))
    assert not sit(moved.xero(document(date=NEXT_DAY))).codes
    assert sit(moved.xero(document())).codes == ["date"]


def test_edited_money_is_a_difference_of_the_day() -> None:
    found = sit(day().xero(document(total=TOTAL * 3 + 1, payments=PAYMENTS)))
    ((_, tally),) = found.summary.days()
    assert tally.money == [("GBP", TOTAL * 3, TOTAL * 3 + 1)]
    assert tally.counts["drifted"] == 1


def test_a_day_whose_orders_come_to_nothing_needs_no_document() -> None:
    free = {"total": Decimal(0), "total_tax": Decimal(0), "xero_id": ""}
    one = Sold(4)
    command = one.command(total=Decimal(0), tax=Decimal(0), sums=(), tenders=(), part=PartSeen(NUMBER, CLOSES, ()))
    facts = [
        one.seen(total=Decimal(0), tax=Decimal(0)), command, one.entry(**free), one.member(), one.result(),
        home(members=1, **free),
    ]  # fmt: skip
    found = sit(Day(facts, [], [], []))
    assert found.findings == []
    assert found.verdicts["emea|4"].state == "posted"


def test_a_summary_that_lost_all_its_orders_before_it_closed_is_at_rest() -> None:
    facts = [opened(phase="empty", state="VOIDED", members=0), FIRST.member(state="VOIDED")]
    found = sit(Day(facts, [], [], []), replace(LATER, now=later(100)))
    assert found.codes == []
    assert found.dailies[SUMMARY].state == "empty"


def test_a_late_order_goes_to_a_supplement_which_is_a_summary_of_its_own() -> None:
    late = Sold(9)
    of = more(
        day(),
        late.seen(), late.command(), late.collected(number=OTHER_NUMBER, summary=OTHER),
        late.member(OTHER, OTHER_NUMBER, state="COLLECTED"), late.result("WAITING"),
        replace(opened(members=1), key=OTHER, ledger_key=f"{OTHER}|invoice|0", number=OTHER_NUMBER),
    )  # fmt: skip
    found = sit(of)
    assert found.codes == []
    assert {key: (one.state, one.orders) for key, one in found.dailies.items()} == {
        SUMMARY: ("posted", 3),
        OTHER: ("open", 1),
    }
    assert found.dailies[OTHER].day == DAY


def test_what_moves_while_xero_is_read_is_no_finding() -> None:
    of = day().xero()
    assert sit(of, late=of.facts[0]).codes == []
    entry = next(fact for fact in of.facts if fact == FIRST.entry())
    assert sit(of, late=entry).codes == []


def test_a_tombstone_takes_a_member_out() -> None:
    of = day()
    of.facts.append(EntryGone(FIRST.key, FIRST.member().ledger_key, "uk"))
    assert sit(of).codes == ["order_in_no_summary"]


def test_refunds_of_a_day_are_one_credit_note_that_agrees() -> None:
    found = sit(given_back())
    assert found.findings == []
    assert {key: (one.state, one.refunds, one.orders) for key, one in found.dailies.items()} == {
        SUMMARY: ("posted", False, 3),
        BACKS: ("posted", True, 1),
    }
    total = found.summary.total
    assert (total.counts["orders"], total.counts["refunds"], total.counts["refunded"]) == (3, 1, 1)
    assert total.back == [("GBP", BACK, BACK)]


REFUNDS: dict[str, tuple[list[str], Callable[[Day], Day]]] = {
    "voided": (["summary_voided"], lambda of: replace(of, credits=[replace(of.credits[0], status="VOIDED")])),
    "gone": (["summary_missing"], lambda of: replace(of, credits=[])),
    "edited": (["summary_amount"], lambda of: replace(of, credits=[replace(of.credits[0], total=BACK + CENT)])),
    "money back deleted": (
        ["refund_payment_deleted"],
        lambda of: replace(of, credits=[replace(of.credits[0], payments=(), status="AUTHORISED", amount_due=BACK)]),
    ),
    "dated otherwise": (["credit_note_date"], lambda of: replace(of, credits=[replace(of.credits[0], date=DAY)])),
    "copied": (
        ["duplicate_summary"],
        lambda of: replace(
            of, credits=[of.credits[0], replace(of.credits[0], id="cn-9", number=f"{BACKS_NUMBER}-COPY")]
        ),
    ),
    "not counted": (
        ["order_in_no_summary"],
        lambda of: replace(
            of, facts=[f for f in of.facts if getattr(f, "ledger_key", "") != f"{BACKS}|member|emea|1|r1"]
        ),
    ),
}


@pytest.mark.parametrize("name", REFUNDS)
def test_faults_of_a_days_credit_note_are_found_likewise(name: str) -> None:
    codes, spoil = REFUNDS[name]
    found = sit(spoil(given_back()))
    assert found.codes == codes
    assert {finding.store for finding in found.findings} == {"emea/GoatUK"}


def test_a_collected_refund_waits() -> None:
    of = given_back()
    of.facts = [f for f in of.facts if getattr(f, "key", "") != BACKS]
    entry = next(f for f in of.facts if getattr(f, "kind", "") == "order_refund" and hasattr(f, "ledger_key"))
    waiting = replace(entry, state="COLLECTED", xero_id="", status="")
    of = more(
        of.without(entry),
        waiting,
        replace(opened(members=1), key=BACKS, ledger_key=f"{BACKS}|invoice|0", kind="summary"),
    )
    found = sit(replace(of, credits=[]))
    assert found.codes == []
    assert found.summary.total.counts["refunds_waiting"] == 1


def test_one_order_is_judged_with_its_summary_beside_it() -> None:
    found = sit(day(), scope=replace(UK, order="emea|1"))
    assert (found.codes, found.dailies) == ([], {})
    assert found.summary.total.money == [("GBP", TOTAL, TOTAL)]


def test_days_out_of_the_range_are_not_judged_and_their_documents_are_nobodys_finding() -> None:
    found = sit(day().xero(document(status="VOIDED")), scope=replace(UK, since=NEXT_DAY))
    assert (found.codes, found.dailies) == ([], {})


def test_the_page_and_the_json_show_what_waits_and_what_is_off() -> None:
    found = sit(open_day(), replace(LATER, now=later(7)))
    outcome = Outcome(found.summary, found.scratch, LATER.now)
    text = page.page(outcome)
    assert NUMBER in text
    assert "SUMMARY_OVERDUE".lower() in text
    file = io.StringIO()
    page.write_json(outcome, file)
    (shown,) = json.loads(file.getvalue())["summaries"]
    assert (shown["number"], shown["state"], shown["count"], shown["total"]) == (NUMBER, "open", 3, "72.00")


def test_every_code_of_summaries_is_proved_here() -> None:
    proved = {code for _, codes, _ in OFF.values() for code in codes} | {"summary_overdue"}
    assert {code for code in CODES if "summar" in code} <= proved


@pytest.mark.parametrize(
    ("key", "is_one"),
    [
        ("main|Shop/S20261124-GBP", True),
        ("main|Shop/R20261124-GBP-2", True),
        ("main|1042", False),
        ("main|settlement/stripe/po_1", False),
    ],
)
def test_a_summarys_key_is_told_from_an_orders_and_a_settlements(key: str, is_one: bool) -> None:
    assert is_summary(key) is is_one
