"""A lost ledger of edited orders: as the lane had written it, or half done, and then the lane goes on with it."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.xero.core.records import CREDITING, credit_key, former_key, next_key, payment_key
from connectors.xero.core.said import Said, heard
from schemas.types import Command
from tests.connectors.xero.commands import GIFT, T0, envelope, refund, sale, tender
from tests.connectors.xero.core.test_rebuild import HOME, Books, Scene, _transact
from tests.connectors.xero.core.test_reissue import WHOLE, _books, _edit, _half_credited
from tests.connectors.xero.core.world import World


def _lost(world: World) -> Scene:
    """All that is left after the ledger: Xero, the commands, and the results."""
    shown = [world.xero.show(one) for one in world.xero.invoices.values()]
    scene = Scene(Books(shown, [world.xero.show(one) for one in world.xero.credit_notes.values()]))
    for result in world.results:
        scene.orders[result["key"]] = heard(scene.orders.get(result["key"], Said()), result)
    return scene


def _restored(world: World) -> Scene:
    scene = _lost(world)
    scene.run(*(command for command, _ in world.log))
    return scene


def _gone_on(world: World, scene: Scene) -> World:
    """A new lane with the restored ledger and the same Xero."""
    world.lane, world.life = None, world.life + 1
    after = World()
    after.xero, after.mono = world.xero, world.mono
    after.store.apply(_transact(scene.ledger))
    return after.start().run(600, until=lambda: False)


def _stripped(entries: dict[str, Any]) -> dict[str, Any]:
    left_out = ("updated_at", "attempt")
    return {key: {n: v for n, v in entry.items() if n not in left_out} for key, entry in entries.items()}


def _sold(*edits: Command) -> World:
    parts = [tender("20.00", 1, GIFT, "Card 7"), tender("100.00", 2)]
    world = World().start().run(60, until=lambda: False).put(sale(1, payments=parts)).run()
    for edit in edits:
        world.put(edit).run()
    return world


@pytest.mark.parametrize(
    "edits", [[_edit()], [_edit(), _edit(version=12, total="30.00", tax="5.00")]], ids=["once", "twice"]
)
def test_finished_reissues_are_as_they_were(edits: list[Command]) -> None:
    world = _sold(*edits)
    scene = _restored(world)
    before = {entry["key"]: entry for entry in world.store.entries()}
    assert _stripped(scene.ledger) == _stripped(before)
    assert not scene.letters
    after = _gone_on(world, scene)
    after.put(*(command for command, _ in world.log)).run()
    assert after.outcomes() == ["UNCHANGED"] * len(world.log)


def test_a_refund_of_the_new_invoice_is_found_as_its_own() -> None:
    world = _sold(_edit()).put(refund(1)).run()
    scene = _restored(world)
    assert scene.ledger[credit_key("shop|1", "r1")]["number"] == "CN-W-1-R2-r1"
    assert scene.ledger[HOME]["extra"]["refund:r1"] == "30.00"


@pytest.mark.parametrize(("path", "nth"), [("Payments", 1), ("Invoices", 1), ("Payments", 2)])
@pytest.mark.parametrize("finished", [True, False], ids=["its record finished", "its record to come"])
def test_a_half_done_reissue_is_gone_on_with_once(path: str, nth: int, finished: bool) -> None:
    world = _sold()
    crashed = world.crash_at(path, done=True, nth=nth)
    world.put(_edit()).run(600, until=lambda: bool(crashed))
    scene = _lost(world)
    scene.finished = 2 if finished else 1
    scene.run(*(command for command, _ in world.log))
    after = _gone_on(world, scene)
    if not finished:
        after.put(_edit())
    after.run(7200)
    assert _books(after) == WHOLE
    assert len(after.xero.payments) == 5
    assert after.entry(HOME)["number"] == "W-1-R2"
    assert not after.letters


def test_a_credit_note_whose_money_is_not_all_back_stays_open_and_its_letter_answers() -> None:
    world, mend = _half_credited()
    scene = _restored(world)
    assert scene.ledger[HOME]["status"] == CREDITING
    assert next_key(HOME) not in scene.ledger
    mend()
    after = _gone_on(world, scene)
    assert after.outcomes() == [], "a person redrives the letter"
    after.put(_edit()).run()
    assert _books(after) == WHOLE


def test_a_refused_new_invoice_stays_refused_and_older_versions_do_not_take_its_number() -> None:
    world = _sold()
    world.xero.bad_accounts.add("299")
    world.put(_edit(account="299"), sale(1)).run()
    scene = _restored(world)
    assert (scene.ledger[HOME]["number"], scene.ledger[HOME]["state"]) == ("W-1-R2", "REFUSED")
    after = _gone_on(world, scene)
    after.put(sale(1), _edit(version=3)).run()
    assert after.outcomes() == ["UNCHANGED", "UNCHANGED"]


def test_a_deletion_between_credit_and_new_invoice_is_remembered() -> None:
    world = _sold()
    world.xero.bad_accounts.add("299")
    cancel = envelope("CANCEL", "shop|1", None, org="uk", order="1", version=20)
    world.put(_edit(account="299")).run().put(cancel).run()
    scene = _restored(world)
    assert (scene.ledger[HOME]["state"], scene.ledger[HOME]["version"]) == ("VOIDED", cancel["version"])


def test_a_credit_note_that_is_not_equal_to_its_invoice_is_not_taken_for_its_reissue() -> None:
    world = _sold(_edit())
    next(iter(world.xero.credit_notes.values()))["Reference"] = "somebody's"
    scene = _restored(world)
    assert former_key("shop|1", 1) not in scene.ledger
    assert payment_key("shop|1", 1, 2) not in scene.ledger
    assert scene.ledger[HOME]["number"] == "W-1"
    assert scene.ledger[HOME]["updated_at"] == T0
