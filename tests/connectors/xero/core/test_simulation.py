"""Seeded runs of the real core under every fault at once: each order once in Xero, to the cent, nothing left over."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from functools import partial

import pytest

from connectors.xero.core.events import Send
from connectors.xero.settings import CoreSettings
from tests.connectors.xero.commands import contact, sale, tender
from tests.connectors.xero.core.world import World

ORDERS = 60


def _run(seed: int, **rates: float) -> World:
    world = World(CoreSettings(), seed=seed, **rates)  # type: ignore[arg-type]
    world.start()
    choose = world.random
    spread = choose.choice([0.0, 60.0, 600.0])  # all at once, a busy minute, a quiet quarter of an hour
    for order in range(ORDERS):
        who = contact(choose.randrange(25))
        total = choose.choice(["120.00", "60.00", "12.00"])
        tax = str((Decimal(total) / 6).quantize(Decimal("0.01")))
        half = str(Decimal(total) / 2)
        split = [tender(half, 1, "855"), tender(half, 2)] if choose.random() < 0.4 else None
        command = sale(order, who=who, total=total, tax=tax, payments=split)
        for _ in range(choose.choice([1, 1, 1, 1, 2])):  # some are delivered again
            world.at(spread * choose.random(), partial(world.put, command), None)
    world.run(1200, until=lambda: False)
    world.calm()
    return world.run(7200)


@pytest.mark.parametrize("seed", range(25))
def test_every_order_is_in_xero_once_whatever_happens(seed: int) -> None:
    world = _run(seed, fault_rate=0.15, crash_rate=0.02, abort_rate=0.03)
    numbers = Counter(i["InvoiceNumber"] for i in world.xero.invoices.values())
    assert numbers == Counter(f"W-{n}" for n in range(ORDERS))
    for invoice in world.xero.invoices.values():
        shown = world.xero.show(invoice)
        assert shown["Status"] == "PAID", invoice["InvoiceNumber"]
        assert sum(p["Amount"] for p in shown["Payments"]) == invoice["Total"]
    posted = Counter(r["order_id"] for r in world.results if r["kind"] == "order" and r["outcome"] == "POSTED")
    assert posted == Counter(str(n) for n in range(ORDERS))
    assert not world.letters
    assert len(world.xero.contacts) <= 25
    times = world.sent_at
    assert all(late - early > 60 for early, late in zip(times, times[60 + world.crashes :], strict=False))


def test_a_seed_is_a_run() -> None:
    first, second = (_run(7, fault_rate=0.2, crash_rate=0.1) for _ in range(2))
    assert [s.call.idempotency_key for s in first.sends] == [s.call.idempotency_key for s in second.sends]
    assert first.crashes > 0


def test_an_intention_is_on_the_log_before_its_call() -> None:
    world = World(CoreSettings(), seed=3, fault_rate=0.2, abort_rate=0.1)
    checked = 0

    def check(send: Send) -> None:
        nonlocal checked
        if send.call.writes:
            checked += 1
            assert send.call.idempotency_key in world.intended

    world.on_send = check
    world.start().put(*(sale(n) for n in range(20)))
    world.run(1200, until=lambda: False)
    world.calm()
    world.run(7200)
    assert world.outcomes().count("POSTED") == 20
    assert checked >= 3
