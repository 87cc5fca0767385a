"""Replay on real Kafka with both sandboxes: nothing twice, live orders first, equal books in an empty organisation."""

from __future__ import annotations

import copy
import json
import re
import signal
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from k2x import wiring
from k2x.audit.books_hash import books_hash
from k2x.dead_letters import MOST_REPLAYS
from k2x.embedded import EmbeddedKafka
from k2x.replay.backlog import Backlog
from k2x.replay.errors import AlreadyRunning, NobodyConsumes
from k2x.replay.journal import Lock
from schemas import topics
from tests.k2x.replay.town import STORE, Town

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]
ORDERS = 40
UK = topics.commands("uk")
COPIES = topics.REPLAY_OF[topics.ORDERS]
# What plan and run must agree on, to the last document.
AGREED = (
    "sent",
    "orders",
    "posted",
    "left_alone",
    "cancelled",
    "suppressed",
    "refused",
    "held",
    "reasons",
    "unreadable",
)


def hash_of(books: dict[str, Any]) -> str:
    return books_hash(books["invoices"], books["payments"], books["credit_notes"])


def refunds_of(town: Town) -> set[str]:
    """The ids of the refunds that the shop has told of."""
    told = (town.codec.decode(message.value() or b"")["refund"] for message in town.messages(topics.ORDERS))
    return {refund["refund_id"] for refund in told if refund is not None}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """After a day of trade: every kind of order, payments, edits, deletions, refunds, and orders that had to fail."""
    home = tmp_path_factory.mktemp("town")
    with EmbeddedKafka(home / "kafka", ready_timeout=180.0) as broker:
        made = Town(broker.bootstrap, home)
        try:
            made.open()
            made.trade(ORDERS, "a", refunds=0.12)
            made.pays_out()
            made.settle()
            made.put(*deletions(made))
            made.settle()
            yield made
        finally:
            made.close()


def deletions(town: Town) -> list[dict[str, Any]]:
    """Of an order that was posted and of one that was not."""
    orders = town.orders()
    posted = posted_keys(town)
    keys = [next(key for key in sorted(orders) if (key in posted) == wanted) for wanted in (True, False)]
    return [later(orders[key], deleted=True, event_type="order.deleted") for key in keys]


def posted_keys(town: Town) -> set[str]:
    return {row["key"] for row in town.results(kind="order", outcome="POSTED")}


def later(order: dict[str, Any], seconds: int = 60, **changes: Any) -> dict[str, Any]:
    """A newer version of an order."""
    made: dict[str, Any] = {**copy.deepcopy(order), **changes}
    made["version"] += timedelta(seconds=seconds)
    made["observed_at"] = made["version"]
    return made


def sound(town: Town, number: int) -> dict[str, Any]:
    """A new order that can be posted: one that was, under another number."""
    posted = posted_keys(town)
    mine = (order for key, order in sorted(town.orders().items()) if key in posted and not order["deleted"])
    order = copy.deepcopy(next(mine))
    order["order"]["OrderID"] = number
    return order


def of_uk(found: dict[str, Any], org: str = "uk") -> dict[str, Any]:
    counts: dict[str, Any] = found["organisations"][org]
    return counts


def test_a_replay_of_what_is_posted_writes_nothing_and_the_plan_had_said_so(town: Town) -> None:
    writes = town.writes("uk")
    source = {(m.partition(), m.offset(), m.value()) for m in town.messages(topics.ORDERS)}
    plan = of_uk(town.json("replay", "plan", "--org", "uk"))
    done = town.json("replay", "run", "--org", "uk", "--yes")
    run = of_uk(done)
    assert {name: plan[name] for name in AGREED} == {name: run[name] for name in AGREED}
    assert plan["written"] == run["written"]
    assert set(run["written"].values()) == {0}
    assert (plan["calls"], plan["minutes"]) == (0, 0.0)
    assert run["posted"] == 0
    assert run["left_alone"] >= 20
    assert run["suppressed"] >= 5
    assert run["held"] == 1, "the deletion after posting; the edit was credited and issued anew"
    assert run["sent"] == run["orders"] > ORDERS, "every version is sent, not only the latest"
    assert town.writes("uk") == writes
    assert {(m.partition(), m.offset(), m.value()) for m in town.messages(topics.ORDERS)} == source
    assert town.messages(COPIES) == [], "copies are deleted once they are confirmed"
    (record,) = [json.loads(line) for line in town.k2x("replay", "ls", "--json").stdout.splitlines()]
    assert (record["replay"], record["finished_at"] is not None) == (done["replay"], True)


def test_one_order_is_replayed_with_all_its_versions(town: Town) -> None:
    deleted = next(key for key, order in town.orders().items() if order["deleted"])
    versions = [m for m in town.messages(topics.ORDERS) if m.key() == deleted.encode()]
    plan = of_uk(town.json("replay", "plan", "--order", deleted, "--since", "1d"))
    assert plan["sent"] == len(versions) > 1
    assert of_uk(town.json("replay", "plan", "--order", deleted, "--until", "2020-01-01"))["sent"] == 0
    sent = town.json("replay", "run", "--order", deleted, "--yes", "--no-wait")
    assert (sent["finished"], of_uk(sent)["sent"]) == (False, len(versions))
    text = town.k2x("replay", "plan", "--order", deleted).output
    assert f"uk: {len(versions)} order versions" in text
    assert "to write     nothing\n  calls        none" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say what"),
        (("--org", "nowhere"), "no organisation 'nowhere'; there are uk"),
        (("--store", "emea/Nowhere"), "no store 'emea/Nowhere'"),
        (("--all", "--store", STORE), "use --all with --org"),
        (("--org", "uk", "--since", "1h", "--until", "2h"), "--since must be before --until"),
    ],
)
def test_filters_that_make_no_sense_are_refused_in_a_sentence(
    town: Town, arguments: tuple[str, ...], said: str
) -> None:
    for command in ("plan", "run"):
        done = town.k2x("replay", command, *arguments)
        assert done.exit_code == 2
        assert said in done.output


def test_a_live_order_has_at_most_the_limit_before_it(town: Town) -> None:
    """The sink stands still, so the backlog grows as far as the replay lets it; then a customer buys."""
    limit = 7
    live = sound(town, 900_001)
    with town.frozen("sink"), town.replaying(limit) as replay:
        town.until("the replay has sent what it may", lambda: town.lag("k2x-sink", UK) == limit)
        town.put(live)
        town.until("the live order is a command", lambda: town.lag("k2x-sink", UK) == limit + 1)
        commands = town.messages(UK)
        assert commands[-1].key() == b"emea|900001"
        assert sum(seen.left for seen in replay.seen) > ORDERS // 2, "most of the replay is still to come"
        town.wake("sink")
    assert replay.report is not None
    assert replay.report.complete
    assert town.results(key="emea|900001", kind="order")[0]["outcome"] == "POSTED"
    assert any(line.startswith("invoice UK-900001 | ") and "Status=PAID" in line for line in town.books("uk"))
    assert len(town.messages(UK)) > len(commands) + 20, "the rest came behind the live order"


def test_one_replay_at_a_time(town: Town) -> None:
    lock = Lock(town.kafka)
    lock.take()
    try:
        second = Lock(town.kafka)
        with pytest.raises(AlreadyRunning, match="another replay is running"):
            second.take(wait_s=2.0)
        lock.keep()
    finally:
        lock.release()


def test_the_process_that_is_missing_is_named(town: Town) -> None:
    groups = wiring.consumer_groups()
    for streams, sink, said in (
        (groups.streams, "nobody", "no sink reads xero.commands.uk.v1: start `k2x run sink`"),
        ("nobody", groups.sink, f"no streams worker reads {COPIES}"),
    ):
        with pytest.raises(NobodyConsumes, match=re.escape(said)):
            Backlog(town.kafka, ["uk"], [topics.ORDERS], streams, sink).await_consumers(0.0)


def test_an_organisation_that_has_no_rules_or_reference_data_is_refused(town: Town) -> None:
    """Its orders would only be parked."""
    other = town.write_config("uk-3", town.home / "other.yaml")
    for command in (("plan",), ("run", "--yes")):
        done = town.k2x("replay", *command, "--all", config=other)
        assert done.exit_code == 1
        assert "uk-3 has no rules yet: publish them with `k2x rules apply`" in done.output
    assert town.k2x("rules", "apply", config=other).exit_code == 0
    assert "uk-3 has no complete snapshot" in town.k2x("replay", "plan", "--all", config=other).output


def test_a_worker_that_dies_under_a_replay_is_named_instead_of_waited_for(town: Town) -> None:
    """A dead worker stays a member of its group for a while: the replay begins, and sees that nothing moves. An order
    that was never paid is replayed, so that whoever consumes its copy later has nothing to post."""
    posted = posted_keys(town)
    unpaid = next(row["key"] for row in town.results(kind="order", outcome="SUPPRESSED") if row["key"] not in posted)
    town.stop("streams", signal.SIGKILL)
    done = town.k2x("replay", "run", "--order", unpaid, "--yes")
    assert done.exit_code == 1
    assert f"no streams worker reads {COPIES}" in done.output
    assert "there is no replay 'nonsense'" in town.k2x("replay", "run", "--resume", "nonsense", "--yes").output


# -- rebuilding, and what comes after it ----------------------------------------------------------------------------


def test_an_empty_organisation_gets_the_same_books_and_the_plan_had_said_how(town: Town) -> None:
    """The store is given to another organisation in k2x.yaml, and everything is replayed."""
    first = town.books("uk")
    assert len(first) > 50
    refunds = len(refunds_of(town))
    credited = sum(line.startswith("credit note CN-UK-") for line in first)
    assert credited > refunds >= 3, "of the edited order's first invoice too"
    town.same_lock("uk-2")
    town.moves_to("uk-2")
    plan = of_uk(town.json("replay", "plan", "--all"), "uk-2")
    assert plan["written"]["invoices"] > 15
    assert (plan["written"]["credit_notes"], plan["refunds"]) == (credited, {"posted": refunds})
    assert plan["settlements"] == {"posted": 1}
    assert (plan["written"]["bank_transactions"], plan["written"]["bank_transfers"]) == (1, 1)
    assert plan["refused"] >= 4
    assert 3 <= plan["calls"] <= 25, "an order that is issued anew is looked at, credited and given back as well"
    assert plan["day_calls_left"] > 4000, "as the sink has heard"

    run = of_uk(town.json("replay", "run", "--all", "--yes"), "uk-2")
    assert {name: plan[name] for name in AGREED} == {name: run[name] for name in AGREED}
    for name in ("written", "adopted", "updates", "refunds", "settlements"):
        assert plan[name] == run[name]
    assert town.books("uk-2") == first
    rebuilt, last = town.export("uk-2"), town.export("uk")
    assert hash_of(rebuilt) == hash_of(last)
    for books in (rebuilt, last):
        (fees,) = (row for row in books["bank_transactions"] if row["Type"] == "SPEND")  # not a transfer's two sides
        (payout,) = books["bank_transfers"]
        assert (fees["Total"], payout["Amount"]) == (3.1, 116.9)

    writes = town.writes("uk-2")
    again = of_uk(town.json("replay", "run", "--all", "--yes"), "uk-2")
    assert (again["posted"], again["written"]["invoices"]) == (0, 0)
    assert town.writes("uk-2") == writes
    look = of_uk(town.json("replay", "plan", "--all", "--look"), "uk-2")
    assert (look["invoices_looked_at"], look["calls"]) == (len(rebuilt["invoices"]), 0)
    assert look["credit_notes_looked_at"] == credited


def test_killed_in_the_middle_and_resumed_it_skips_nothing_and_repeats_at_most_one_delivery(town: Town) -> None:
    limit, org = 10, town.org
    commands = topics.commands(org)
    writes = town.writes(org)
    with town.frozen("sink"):
        process = town.begin("replay", "run", "--org", org, "--yes", K2X_REPLAY__OUTSTANDING=str(limit))
        town.until("the replay has sent what it may", lambda: town.lag("k2x-sink", commands) == limit)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    listed = [json.loads(line) for line in town.k2x("replay", "ls", "--json").stdout.splitlines()]
    unfinished = [found["replay"] for found in listed if found["finished_at"] is None][-1]
    refused = town.k2x("replay", "run", "--resume", unfinished, "--org", org, "--yes")
    assert (refused.exit_code, "leave the filters out" in refused.output) == (2, True)

    town.json("replay", "run", "--resume", unfinished, "--yes")
    ended = [(r["key"], r["version"]) for r in town.results(replay_id=unfinished, kind="order")]
    came = [
        (m.key().decode(), town.codec.decode(m.value())["version"])
        for m in town.messages(topics.ORDERS)
        if town.codec.decode(m.value())["site_name"] == "GoatUK"
    ]
    assert set(ended) == set(came)
    assert len(ended) - len(came) in range(limit + 1)
    assert town.writes(org) == writes


def test_an_old_letter_redriven_after_a_newer_version_was_posted_changes_nothing(town: Town) -> None:
    posted = town.results(kind="order", outcome="POSTED", org=town.org)[-1]
    old = later(town.orders()[posted["key"]], seconds=-3600)
    old["order"]["OrderTotalPrice"] += Decimal(1)
    letter = town.letter(old)
    writes, results = town.writes(town.org), len(town.results(key=posted["key"], kind="order"))
    assert town.k2x("dlt", "redrive", letter, "--yes").exit_code == 0
    news = town.until("the old version has its end", lambda: town.results(key=posted["key"], kind="order")[results:])
    assert [r["outcome"] for r in news] in (["UNCHANGED"], ["REFUSED"])
    town.settle()
    assert town.writes(town.org) == writes


def test_five_redrives_are_five_whether_streams_or_the_sink_refuses(town: Town) -> None:
    """The first letter is streams' own. Mended and redriven its command is made, and refused by the sink each time:
    somebody has put another invoice under its number in Xero."""
    order, number = sound(town, 900_002), "UK-900002"
    someone = town.results(kind="invoice", outcome="POSTED", org=town.org)[0]["number"]
    town.edit(org=town.org, action="duplicate_invoice", number=someone, to=number)
    town.letter(order)
    asked = ("--order", "emea|900002")
    for count in range(1, MOST_REPLAYS + 1):
        done = town.k2x("dlt", "redrive", *asked, "--yes")
        assert done.exit_code == 0, done.output
        (letter,) = town.until("it is refused again", lambda count=count: _refused_again(town, asked, count))
        assert letter["origin"] == topics.commands(town.org)
    assert letter["quarantined"]
    sixth = town.k2x("dlt", "redrive", *asked, "--yes")
    assert (sixth.exit_code, "quarantined" in sixth.output) == (1, True)


def test_a_credit_note_of_an_order_issued_anew_is_watched_over(town: Town) -> None:
    """By hand its money back is deleted, then it is voided: `k2x reconcile` names the order and what is off."""
    notes = [note["CreditNoteNumber"] for note in town.export(town.org)["credit_notes"]]
    note = next(number for number in notes if number.endswith("-reissue1"))
    former = note.removeprefix("CN-").removesuffix("-reissue1")
    order, before = f"emea|{former.removeprefix('UK-')}", reconciled(town)
    assert not {found for found in before if found[2] == order}
    town.edit(org=town.org, action="delete_payment", number=note, credit=True)
    assert reconciled(town) - before == {("drifted", "refund_unpaid", order, former)}
    town.edit(org=town.org, action="void", number=note, credit=True)
    assert reconciled(town) - before == {("doubled", "former_not_credited", order, former)}


def reconciled(town: Town) -> set[tuple[str, str, str, str]]:
    """(kind, code, order, invoice) of what `k2x reconcile` finds."""
    done = town.k2x("reconcile", "--json", "--grace", "0", "--org", town.org)
    assert done.exit_code in (0, 1), done.output
    findings = json.loads(done.stdout)["findings"]
    return {(one["kind"], one["code"], one["order"] or "", one["invoice"] or "") for one in findings}


def _refused_again(town: Town, asked: tuple[str, ...], count: int) -> list[dict[str, Any]]:
    listed = town.k2x("dlt", "ls", *asked, "--json").stdout.splitlines()
    return [letter for letter in map(json.loads, listed) if letter["sent_again"] == count]
