"""Every check of the judge can fail: the sink, or what it left behind, is broken in the way the check is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import pytest

from connectors.xero import batch, reversal
from connectors.xero.budget import Budget, Limits, _Day
from connectors.xero.core import records, unpaid
from connectors.xero.core.contacts import Contacts
from connectors.xero.core.desk import Desk
from connectors.xero.core.events import Letter
from connectors.xero.core.lane import Lane
from connectors.xero.core.payments import Payments
from connectors.xero.core.planner import Planner
from connectors.xero.core.sales import Sales
from connectors.xero.core.state import Batch, Refusal
from connectors.xero.core.troubles import Troubles
from connectors.xero.core.watermark import Watermark
from connectors.xero.sandbox import invoices
from connectors.xero.settings import CoreSettings
from schemas.letters import ErrorClass
from schemas.types import RefundNote, Result
from tests.simulation.judge import Violation
from tests.simulation.run import run
from tests.simulation.test_key_edges import Edge
from tests.simulation.weather import Weather
from tests.simulation.world import World

Patch = Callable[[pytest.MonkeyPatch], None]


def _weather(**changes: Any) -> Weather:
    plain: dict[str, Any] = {"hosts": 1, "orders": 15, "storm": 60.0, "spread": 5.0, "versions": 0.0, "cancels": 0.0}
    return Weather(**{"seed": 7, "profile": "judge", **plain, **changes})


def _first(made: Weather) -> str:
    report = run(made)
    return report.violations[0][0] if report.violations else "nothing"


def test_a_sound_sink_passes() -> None:
    assert _first(_weather()) == "nothing"


@pytest.mark.parametrize("rule", ["HOLD", "VOID", "CREDIT"])
def test_a_sound_sink_of_unpaid_refunds_passes(rule: str) -> None:
    world = World(_UNPAID[rule])
    assert (world.undone.rule("uk"), _first(_UNPAID[rule])) == (rule, "nothing")


def _offset_runs_ahead(patch: pytest.MonkeyPatch) -> None:
    def finished(self: Watermark, offset: int) -> None:
        self._open.discard(offset)
        self.offset = self._end

    patch.setattr(Watermark, "finished", finished)


def _no_intentions(patch: pytest.MonkeyPatch) -> None:
    def intend(self: Planner, batch: Batch) -> None:
        batch.intended_at = self.desk.now.mono
        self._go(batch)

    patch.setattr(Planner, "_intend", intend)


def _no_budget(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Budget, "may_send", lambda self, now, kind: 0.0)
    patch.setattr(Budget, "available", lambda self, now: 50)


def _no_slots(patch: pytest.MonkeyPatch) -> None:
    _no_budget(patch)
    patch.setattr(Planner, "_slots", lambda self: 20)


def _day_without_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_Day, "wait", lambda self, now, kind: (0.0, ""))


def _told_twice(patch: pytest.MonkeyPatch) -> None:
    original = Desk.result

    def result(self: Desk, *parts: Any, **fields: Any) -> None:
        original(self, *parts, **fields)
        original(self, *parts, **fields)

    patch.setattr(Desk, "result", result)


def _letters_changed(patch: pytest.MonkeyPatch) -> None:
    original = records.letter

    def letter(*parts: Any) -> Letter:
        made = original(*parts)
        return Letter(made.key, made.value + b" ", made.headers)

    patch.setattr(records, "letter", letter)


def _never_full(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lane, "_intake", lambda self: None)


def _versions_forgotten(patch: pytest.MonkeyPatch) -> None:
    def start(self: Sales, job: Any) -> None:
        self.desk.claim(job, job.command["body"]["number"])
        self.contacts.ensure(job)

    patch.setattr(Sales, "start", start)


def _credited_otherwise(patch: pytest.MonkeyPatch) -> None:
    note = reversal.note

    def other(*given: Any) -> RefundNote:
        made = note(*given)
        return {**made, "credit_note": made["credit_note"].replace('"OUTPUT2"', '"NONE"')}

    patch.setattr(reversal, "note", other)


def _too_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Payments, "pay", _without_refunds(Payments.pay))


def _without_refunds(pay: Any) -> Any:
    def paying(self: Payments, job: Any, found: Any) -> None:
        if job.note is None:
            pay(self, job, found)
        else:
            job.due = Decimal(0)
            self.settle(job)

    return paying


def _edits_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sales, "_other_money", lambda self, job, sale, finished: self.hold(job))


def _never_indexed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Contacts, "index_ready", lambda self: None)


def _wrong_marker(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(batch, "reference", lambda number, tender: f"W-999/{tender['ordinal']}")


def _refuses(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sales, "contact_ready", lambda self, job, contact_id, chained: self.refused_before(job, _NO))


def _paid_ones_voided(patch: pytest.MonkeyPatch) -> None:
    """And Xero, which would refuse it, lets it happen."""
    patch.setattr(unpaid, "_spent", lambda body: False)
    patch.setattr(invoices, "_status", lambda element, found, findings: element.get("Status", "AUTHORISED"))


def _does(rule: str) -> Patch:
    """Whatever the store's rule for unpaid refunds is."""
    return lambda patch: patch.setattr(unpaid, "_rule", lambda job: rule)


_NO = Refusal(ErrorClass.BUG, "no", "No.", "Try again.")
_SMALL = CoreSettings(batch=1, intake=2, held_in_memory=4)
_ONE = CoreSettings(batch=1)
_UNPAID = {
    rule: _weather(seed=seed, trouble=0.0, unpaid=1.0) for rule, seed in (("HOLD", 5), ("VOID", 13), ("CREDIT", 7))
}
SABOTAGES: dict[str, tuple[str, Patch, Weather]] = {
    "the offset runs ahead": ("offset behind the unfinished", _offset_runs_ahead, _weather(trouble=0.5)),
    "no intentions": ("intention first", _no_intentions, _weather()),
    "no budget": ("minute limit", _no_budget, _weather(orders=60, settings=_ONE, latency=0.05)),
    "no slots": ("five in flight", _no_slots, _weather(settings=_ONE, latency=9.0)),
    "a day without end": (
        "day less the reserve",
        _day_without_end,
        _weather(day=1000, day_used=970, limits=Limits(), settings=_ONE),
    ),
    "told twice": ("one end each", _told_twice, _weather()),
    "letters changed": ("letters keep their bytes", _letters_changed, _weather(trouble=1.0)),
    "never full": ("memory bounded", _never_full, _weather(orders=60, spread=0.0, settings=_SMALL)),
    "versions forgotten": (
        "a replay writes nothing",
        _versions_forgotten,
        _weather(trouble=0.0, versions=0.0, edits=0.0),
    ),
    "never indexed": ("comes to its end", _never_indexed, _weather()),
    "payments of another invoice": ("invoice before payment", _wrong_marker, _weather()),
    "credited otherwise": ("taken back as it was", _credited_otherwise, _weather(edits=1.0)),
    "issued anew before the money is back": ("once in Xero", _too_early, _weather(edits=1.0)),
    "edits held": ("as ordered", _edits_held, _weather(trouble=0.0, refunds=0.0, edits=1.0)),
    "sound orders refused": ("as ordered", _refuses, _weather(trouble=0.0)),
    "an invoice is voided that was paid in part": ("only what is unpaid is voided", _paid_ones_voided, _UNPAID["VOID"]),
    "voided where it is to be credited": ("by the rule", _does("VOID"), _UNPAID["CREDIT"]),
    "voided where a person decides": ("by the rule", _does("VOID"), _UNPAID["HOLD"]),
    "credited where a person decides": ("payment before refund", _does("CREDIT"), _UNPAID["HOLD"]),
    "held where it is to be voided": ("by the rule", _does("HOLD"), _UNPAID["VOID"]),
    "credited where it is to be voided": ("by the rule", _does("CREDIT"), _UNPAID["VOID"]),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_broken_sink_is_caught_by_the_check_for_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check, patch, made = SABOTAGES[name]
    patch(monkeypatch)
    assert _first(made) == check


def test_a_payment_that_is_found_and_sent_again_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Payments, "found", lambda self, document, body, due=None: self.absent(document))
    with pytest.raises(Violation, match="once in Xero"):
        Edge("Payments", 600.0, done=True).run(new_owner=False)


def test_a_call_under_a_key_that_xero_has_forgotten_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Troubles, "over", lambda self, batch, next_try: False)
    with pytest.raises(Violation, match="keys end"):
        Edge("Payments", 600.0, done=True).run(new_owner=False)


# -- what is left behind --------------------------------------------------------------------------------------------


def _total(world: World) -> None:
    next(iter(world.xero.books["uk"].invoices.values())).total += Decimal("0.01")


def _unpaid(world: World) -> None:
    next(d for d in world.xero.books["uk"].invoices.values() if d.payments).payments.pop()


def _doubled(world: World) -> None:
    books = world.xero.books["uk"]
    first, second = list(books.invoices.values())[:2]
    second.reference = first.reference
    books.save_document(second)


def _lost(world: World) -> None:
    order = next(iter(world.workload.orders.values()))
    for record in order.records:
        told, world.judge.results[record.id] = world.judge.results[record.id], []
        world.judge.told = [one for one in world.judge.told if one not in told]


def _unfinished(world: World) -> None:
    world.judge.words[next(iter(world.workload.records))] = ["WAITING"]


def _copy(world: World) -> None:
    world.group.owners["uk"].store._db.execute("DELETE FROM ledger WHERE key LIKE 'shop|1|%'")


def _other_contact(world: World) -> None:
    """Of a customer whose e-mail is his alone."""
    books = world.xero.books["uk"]
    mails = Counter(who[0]["email"] for who in world.workload.customers["uk"].values())
    alone = {who[0]["key"] for who in world.workload.customers["uk"].values() if mails[who[0]["email"]] == 1}
    per: dict[str, list[Any]] = {}
    for order in world.workload.orders.values():
        if order.customer in alone:
            per.setdefault(order.customer, []).extend(world.ends._living(order))
    shared = next(documents for documents in per.values() if len(documents) > 1)
    shared[0].contact_id = next(id_ for id_ in books.contacts if id_ != shared[0].contact_id)


LEFT: dict[str, tuple[str, Callable[[World], None]]] = {
    "another total": ("to the cent", _total),
    "a payment gone": ("to the cent", _unpaid),
    "an order's second invoice": ("once in Xero", _doubled),
    "an order without a word": ("nothing lost", _lost),
    "a record without an end": ("one end each", _unfinished),
    "a local copy that is not the topic's": ("nothing left over", _copy),
    "a customer with two contacts": ("one contact each", _other_contact),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_wrong_at_the_end_is_seen(name: str) -> None:
    check, tamper = LEFT[name]
    world = World(_weather(trouble=0.0))
    world.begin()
    assert world.loop.run(world.ends.quiet, 3600.0)
    assert not list(world.ends.judge())
    tamper(world)
    assert check in [found for found, _ in world.ends.judge()]


def test_an_order_of_a_refused_summary_that_has_not_heard_why_or_heard_it_twice_is_seen() -> None:
    world, number = World(_weather()), "W-S20261120-GBP"
    refused = {"org": "uk", "number": number, "outcome": "REFUSED", "error_code": "tax_type_invalid", "message": "m"}
    world.summaries.words["uk", "shop|web/S20261120-GBP"] = [cast(Result, refused)]
    waits = cast(Result, {**refused, "outcome": "WAITING", "error_code": None, "status": "COLLECTED"})
    heard = cast(Result, {**refused, "status": "COLLECTED"})
    for results, wrong in (([waits], 1), ([waits, heard], 0), ([waits, heard, heard], 1)):
        world.judge.results["shop|1@1"] = results
        assert [check for check, _ in world.summaries.explained()] == ["told why"] * wrong
