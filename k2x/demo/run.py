"""The course of a demo: start the world, trade, wait until every order has an end, give an honest account.

The account comes from the independent reader (k2x.audit) over the topics and the sandbox's own books, not from what
the processes say of themselves.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from k2x import wiring
from k2x.audit.court import Court, Scope
from k2x.audit.documents import BankDocument
from k2x.audit.finding import Finding
from k2x.audit.judge import Verdict
from k2x.audit.log import read_to_end
from k2x.audit.records import FactReader, topics_of
from k2x.audit.scratch import Scratch
from k2x.audit.settlements import Verdict as Settled
from k2x.clients import codec
from k2x.demo import outcome
from k2x.demo.books import Books
from k2x.demo.deployment import TRADING
from k2x.demo.world import World
from k2x.errors import K2xError, SandboxFailed

# How long after the last order was placed; the slowest honest wait is a paced Xero minute.
_SETTLE_S = 150.0
_LOOK_EVERY_S = 2.0
# Hints are debounced for 2 s and read in batches: this much silence means that nothing is under way.
_QUIET_LOOKS = 3
_REFUNDS = 0.05  # of the orders: something of them is given back
_PAYOUT = {"instance": "emea", "site": "GoatUK", "option": "CreditCard", "currency": "GBP"}  # rules/uk.yaml books it
_OPEN = frozenset({"lost", "waiting", "parked", "in_flight"})
# A sandbox that dies is back within three seconds (k2x.supervisor); only one that stays away ends the demo.
_AWAY_S = 15.0

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What was asked for on the command line."""

    orders: int = 60
    seed: int = 2026
    rate: float = 12.0
    once: bool = False
    directory: Path = Path(".k2x/demo")
    observe: bool = False


@dataclass
class Look:
    """One look at topics and books. `strays`: documents in Xero that no order explains, and what is off with daily
    summaries and settlements; `records`: on the topics."""

    records: int
    verdicts: list[Verdict]
    strays: list[Finding]
    calls: dict[str, int]
    expected: dict[str, str] = field(default_factory=dict)
    edited: dict[str, Decimal] = field(default_factory=dict)  # what an order came to when it had been edited
    given_back: dict[str, int] = field(default_factory=dict)  # order → how many refunds the shop has told of
    settlements: list[Settled] = field(default_factory=list)
    paid_out: int = 0  # settlements that the shop has told of
    bank: list[BankDocument] = field(default_factory=list)

    @property
    def total(self) -> outcome.Account:
        return outcome.account(self.verdicts, sum(self.calls.values()), self.strays, self.settlements)

    @property
    def unsettled(self) -> int:
        """Settlements the shop has told of that have no end yet."""
        return self.paid_out - sum(bool(one.state) and one.state not in _OPEN for one in self.settlements)

    def open_keys(self, *, held: bool = True) -> set[str]:
        """Orders the shop has sent that have no end yet, or one of whose refunds has none; with `held`, also later
        edits that await their letter, or their new invoice."""
        ended = {v.key for v in self.verdicts if v.state not in _OPEN and not self._unpaid(v) and self._given_back(v)}
        if not held:
            return set(self.expected) - ended
        answered = {v.key for v in self.verdicts if v.held or v.state == "dead_lettered" or self._anew(v)}
        return (set(self.expected) - ended) | (set(self.edited) - answered)

    def _anew(self, verdict: Verdict) -> bool:
        """It was posted as it is now."""
        invoice = verdict.invoice
        return invoice is not None and invoice.total == self.edited.get(verdict.key)

    def _given_back(self, verdict: Verdict) -> bool:
        """All that the shop has told of have an end."""
        ended = sum(refund.state not in _OPEN for refund in verdict.refunds)
        return ended >= self.given_back.get(verdict.key, 0)

    def _unpaid(self, verdict: Verdict) -> bool:
        """Its invoice is in Xero and its payments are still on the way."""
        invoice = verdict.invoice
        return invoice is not None and invoice.status != "PAID" and verdict.letter is None


async def run(plan: Plan, say: Callable[[str], None], show: Callable[[World, Look, str], Any]) -> bool:
    """The whole demo. `say` is given one progress line at a time, `show` the final look. True when nothing is off."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    world = World(plan.directory, observe=plan.observe)
    try:
        look = await _until(stop, _course(world, plan, say))
        if look is None:
            return True
        show(world, look, await _own_order(world))
        if not plan.once:
            await _trade_on(world, stop, say)
        return look.total.clean
    finally:
        say("stopping")
        await world.stop()


async def _own_order(world: World) -> str:
    """A signed command that sends one more order; its body is put into a file, to be read and changed by a person."""
    text: str = await world.get("kentico", "/_sandbox/curl/emea")
    body, _, rest = text.removeprefix("body='").partition("'; ts=")
    path = world.directory / "order.json"
    path.write_text(json.dumps(json.loads(body), indent=1) + "\n", "utf-8")
    rest = rest.replace('printf \'%s.%s\' "$ts" "$body"', f"(printf '%s.' \"$ts\"; cat {path})")
    return "ts=" + rest.replace('--data-binary "$body"', f"--data-binary @{path}").strip()


async def _until(stop: asyncio.Event, course: Any) -> Look | None:
    """The result of `course`, or None when a person stops it first."""
    task = asyncio.create_task(course)
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return None
    stopped.cancel()
    look: Look = task.result()
    return look


async def _course(world: World, plan: Plan, say: Callable[[str], None]) -> Look:
    begun = time.monotonic()
    await world.start(lambda step: say(f"starting {step}"))
    say(f"ready in {time.monotonic() - begun:.0f} s; the shops open")
    await world.post("kentico", "/_sandbox/target", {"url": world.url("receiver")})
    await world.post(
        "kentico",
        "/_sandbox/trade",
        # Edits that must be held come after everything else is posted: an edit before the posting is just the order.
        {
            "orders": plan.orders,
            "rate": plan.rate,
            "seed": str(plan.seed),
            "refunds": _REFUNDS,
            "must_fail": True,
            "hold_edits": True,
        },
    )
    return await settle(world, say, _PAYOUT)


async def settle(world: World, say: Callable[[str], None], *payouts: Mapping[str, str]) -> Look:
    """Look again and again until every order that the shop sent has an end, or patience is over. Once all is sold and
    posted, held edits happen and gateways make their `payouts`."""
    patience_s, to_pay = _SETTLE_S, list(payouts)
    deadline = time.monotonic() + patience_s
    quiet, before = 0, None
    while True:
        trade = await _patiently(world, lambda: world.get("kentico", "/_sandbox/trade"))
        seen = await _patiently(world, lambda: look(world))
        total = seen.total
        say(
            f"orders {total.orders_in}  paid {total.paid}  dead letters {total.dead_lettered}  suppressed "
            f"{total.suppressed}  held {total.held}  on the way {len(seen.open_keys())}  Xero calls {total.xero_calls}"
        )
        trading = not trade["done"]
        if trading:
            deadline = time.monotonic() + patience_s
        now = (total.orders_in, total.posted, total.xero_calls, seen.records)
        quiet, before = (quiet + 1 if now == before and not seen.open_keys() and not seen.unsettled else 0), now
        if trade["error"]:
            raise K2xError(f"the Kentico sandbox stopped trading: {trade['error']}")
        if not trading and not seen.open_keys(held=False) and (trade["held_edits"] or to_pay):
            await _patiently(world, lambda: world.post("kentico", "/_sandbox/release", {}))
            while to_pay:
                await _patiently(world, partial(world.post, "kentico", "/_sandbox/payouts", to_pay.pop()))
            continue
        if not trading and quiet >= _QUIET_LOOKS:
            return seen
        if time.monotonic() > deadline:
            return seen
        world.check()
        await asyncio.sleep(_LOOK_EVERY_S if trading else _LOOK_EVERY_S / 2)


async def _patiently(world: World, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while a sandbox is being started anew. Raises the last SandboxFailed, or what `world.check` finds."""
    deadline = time.monotonic() + _AWAY_S
    while True:
        try:
            return await ask()
        except SandboxFailed:
            world.check()
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_LOOK_EVERY_S / 4)


async def look(world: World) -> Look:
    """Read everything anew."""
    shop = await world.get("kentico", "/_sandbox/orders")
    paid_out = await world.get("kentico", "/_sandbox/payouts")
    return await asyncio.get_running_loop().run_in_executor(None, _look_now, world, shop, paid_out["payouts"])


def _look_now(world: World, shop: Any, paid_out: list[Any]) -> Look:
    settings = world.settings
    orgs = tuple(sorted(settings.organisations))
    books, scratch = Books(world.url("xero")), Scratch()
    reader, records = FactReader(codec(settings), orgs), 0
    for message in read_to_end(world.kafka_conf, topics_of(orgs)):
        records += 1
        fact = reader.fact(message)
        if fact is not None:
            scratch.add(fact)
    for org in orgs:
        invoices, notes, payments = books.documents(org)
        scratch.add_invoices(invoices)
        scratch.add_credits(notes)
        scratch.add_payments(payments)
    court = Court(scratch, wiring.audited_stores(settings), None, Scope(orgs))
    bank = [document for org in orgs for document in books.bank(org)]
    settlements = [v for org in orgs for v in reader.settlements.judge(org, (b for b in bank if b.org == org), None)]
    verdicts = [verdict for verdict in map(court.judge, court.dossiers()) if verdict is not None]
    for verdict in verdicts:
        court.claim(verdict)
    strays = [finding for case in court.summaries() for finding in court.judge_summary(case).findings]
    strays += [finding for finding, _ in court.strays()]
    strays += [finding for one in settlements for finding in one.findings]
    scratch.close()
    # Orders without a channel wait for a person to send them; so does the one order of the seed shop.
    sent = [order for order in shop["orders"] if order["channel"] and order["instance"] in TRADING]
    expected = {f"{order['instance']}|{order['order_id']}": order["expected"] for order in sent}
    edited = {
        f"{order['instance']}|{order['order_id']}": Decimal(order["total_price"])
        for order in sent
        if order["expected"] == "held_later"
    }
    given_back = {f"{order['instance']}|{order['order_id']}": len(order.get("refunds", ())) for order in sent}
    calls = {org: books.calls(org) for org in orgs}
    return Look(records, verdicts, strays, calls, expected, edited, given_back, settlements, len(paid_out), bank)


async def _trade_on(world: World, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    """Keep trading gently until Ctrl-C."""
    gentle = {"orders": 0, "rate": 0.2, "must_fail": True, "refunds": _REFUNDS}
    await world.post("kentico", "/_sandbox/trade", gentle)
    while not stop.is_set():
        total = (await _patiently(world, lambda: look(world))).total
        say(f"trading on; Ctrl-C ends it. orders {total.orders_in}  paid {total.paid}  Xero calls {total.xero_calls}")
        world.check()
        await _sleep_or(stop, 5.0)


async def _sleep_or(stop: asyncio.Event, seconds: float) -> None:
    task = asyncio.create_task(stop.wait())
    await asyncio.wait({task}, timeout=seconds)
    task.cancel()
