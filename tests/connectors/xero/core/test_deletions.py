"""Orders deleted in Kentico, before and after they are posted, once and twice, and those that come back."""

from __future__ import annotations

from connectors.xero.core.records import invoice_key
from schemas.types import Command
from tests.connectors.xero.commands import envelope, sale
from tests.connectors.xero.core.world import World, books


def _deleted(version: int = 0) -> Command:
    return envelope("CANCEL", "shop|1", None, org="uk", order="1", version=version)


def _world(**fields: object) -> World:
    return World(**fields).start().run(60, until=lambda: False)  # type: ignore[arg-type]


def test_a_deletion_that_comes_twice_is_no_letter() -> None:
    world = _world().put(_deleted(3), _deleted(3), _deleted(1)).run()
    assert world.outcomes() == ["CANCELLED", "UNCHANGED", "UNCHANGED"]
    assert world.entry(invoice_key("shop|1"))["version"] == _deleted(3)["version"]
    assert not world.letters


def test_an_order_that_comes_back_after_its_deletion_is_posted_even_if_its_owner_dies_on_the_way() -> None:
    world = _world()
    world.on_send = lambda send: world.crash() if send.call.path == "Invoices" and world.life == 1 else None
    world.put(_deleted(3), sale(1, version=1), sale(1, version=5)).run()
    assert world.crashes == 1
    assert world.outcomes()[-1] == "POSTED"
    assert not world.letters
    assert books(world) == {"W-1": ("120.00", ["120.00"])}
    assert world.entry(invoice_key("shop|1"))["version"] == sale(1, version=5)["version"]


def test_a_version_older_than_the_deletion_is_left_alone_while_a_newer_one_is_on_its_way() -> None:
    world = _world()
    world.on_send = lambda send: world.crash() if send.call.path == "Invoices" and world.life == 1 else None
    world.put(_deleted(3), sale(1, version=5))
    world.run(60, until=lambda: world.crashes == 1)
    world.offset = 0  # the group's offset is lost
    world.put(sale(1, version=1, total="60.00", tax="10.00")).run()
    assert books(world) == {"W-1": ("120.00", ["120.00"])}
