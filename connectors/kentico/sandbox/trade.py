"""The trading loop: orders at a rate, then their payments and edits when due. What is planned survives a restart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from connectors.kentico.sandbox.errors import BadControl
from connectors.kentico.sandbox.rows import seeded
from connectors.kentico.sandbox.scenarios import SCENARIOS, SITE_SHARES, schedule, site_for
from connectors.kentico.sandbox.shop import CHANNELS, Shop, Timing

log = structlog.get_logger("kentico.sandbox.trade")

DEFAULT_SHARES: Mapping[str, float] = {"webhook": 0.7, "hint": 0.2, "zapier": 0.1}
"""How orders announce themselves: most by a signed aggregate, and enough by hints that the REST reader has work."""
_TICK = 0.05
"""Seconds between looks at what is due."""


@dataclass(frozen=True)
class Order:
    """What `POST /_sandbox/trade` asks for. `rate`: orders a second, 0 as fast as possible; `orders` 0: without end."""

    orders: int = 30
    rate: float = 0.0
    seed: str = "1"
    mix: Mapping[str, int] | None = None
    shares: Mapping[str, float] = field(default_factory=lambda: DEFAULT_SHARES)
    must_fail: bool = True
    sites: Mapping[tuple[str, str], int] = field(default_factory=lambda: SITE_SHARES)
    timing: Timing = field(default_factory=Timing)
    master_data: float = 0.04  # customer and product changes per order
    refunds: float = 0.0  # the part of the orders of which something is given back, of every third of them twice
    holding: frozenset[tuple[str, str]] = frozenset()  # the stores whose edits wait for a release

    @classmethod
    def read(cls, body: Mapping[str, Any], known_sites: Mapping[str, Shop]) -> Order:
        """From a control request. Raises BadControl naming the key."""
        allowed = {
            "orders", "rate", "seed", "mix", "shares", "must_fail", "sites", "pay_after", "edit_after", "hold_edits",
            "master_data", "refunds",
        }  # fmt: skip
        for name in body:
            if name not in allowed:
                raise BadControl(f"{name!r} is none of {', '.join(sorted(allowed))}")
        mix = body.get("mix")
        for kind in mix or {}:
            if kind not in SCENARIOS:
                raise BadControl(f"mix: no kind {kind!r}; known: {', '.join(SCENARIOS)}")
        shares = body.get("shares") or DEFAULT_SHARES
        if not set(shares) <= set(CHANNELS) or sum(shares.values()) <= 0:
            raise BadControl(f"shares: weights for {', '.join(CHANNELS)}")
        try:
            timing = Timing(
                float(body.get("pay_after", 5.0)),
                float(body.get("edit_after", 8.0)),
                body.get("hold_edits", False) is True,
            )
            held = body.get("hold_edits", False)
            holding = frozenset(_sites(dict.fromkeys(held, 1), known_sites) if isinstance(held, list) and held else ())
            return cls(
                int(body.get("orders", 30)), float(body.get("rate", 0.0)), str(body.get("seed", "1")), mix, shares,
                bool(body.get("must_fail", True)), _sites(body.get("sites"), known_sites), timing,
                float(body.get("master_data", 0.04)), float(body.get("refunds", 0.0)),
                holding,
            )  # fmt: skip
        except (TypeError, ValueError) as error:
            raise BadControl(f"a number is none: {error}") from error


def _sites(given: Mapping[str, int] | None, shops: Mapping[str, Shop]) -> Mapping[tuple[str, str], int]:
    if not given:
        return SITE_SHARES
    sites = {}
    for store, share in given.items():
        instance, _, site = store.partition("/")
        if instance not in shops or site not in shops[instance].catalogue.sites:
            raise BadControl(f"sites: no store {store!r}")
        sites[instance, site] = int(share)
    return sites


class Trade:
    """One trade at a time; follow-ups run all the time, also those of an earlier process."""

    def __init__(self, shops: Mapping[str, Shop]) -> None:
        self.shops = shops
        self.order: Order | None = None
        self.placed = self.refunds = 0
        self.by_kind: dict[str, int] = {}
        self.by_channel: dict[str, int] = {}
        self.error: str | None = None
        self._trading: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look after follow-ups."""
        self._following = asyncio.create_task(self._follow(), name="follow-ups")
        self._following.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Stop trading and following up; what is planned stays planned."""
        for task in (self._trading, self._following):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._trading = self._following = None

    @property
    def running(self) -> bool:
        """Whether orders are still being placed."""
        return self._trading is not None and not self._trading.done()

    def begin(self, order: Order) -> None:
        """Start placing orders. Raises BadControl while another trade runs."""
        if self.running:
            raise BadControl("a trade is running; DELETE /_sandbox/trade ends it")
        self.order, self.placed, self.by_kind, self.by_channel, self.error = order, 0, {}, {}, None
        self.refunds = 0
        self._trading = asyncio.create_task(self._trade(order), name="trade")
        self._trading.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A loop that dies of an error must be seen in the progress, not only in the log."""
        if not task.cancelled() and task.exception() is not None:
            self.error = f"{task.get_name()}: {task.exception()!r}"
            log.error("loop_died", loop=task.get_name(), error=repr(task.exception()))

    async def end(self) -> None:
        """Place no more orders; follow-ups go on."""
        if self._trading is not None:
            self._trading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._trading

    def release(self) -> int:
        """Let held edits happen; returns how many."""
        return sum(shop.database.release() for shop in self.shops.values())

    def progress(self) -> dict[str, Any]:
        """Counts; `done` once everything is placed, followed up (held edits apart) and delivered."""
        waiting = [shop.database.follow_ups() for shop in self.shops.values()]
        outbox = [shop.database.outbox_counts() for shop in self.shops.values()]
        events = {name: sum(counts[name] for counts in outbox) for name in ("pending", "sent", "rejected", "attempts")}
        follow_ups, held = sum(count[0] for count in waiting), sum(count[1] for count in waiting)
        return {
            "running": self.running,
            "requested": self.order.orders if self.order else 0,
            "placed": self.placed,
            "by_kind": dict(sorted(self.by_kind.items())),
            "by_channel": self.by_channel,
            "refunds": self.refunds,
            "follow_ups": follow_ups,
            "held_edits": held,
            "events": events,
            "error": self.error,
            "done": not self.running and self.error is None and not follow_ups and not events["pending"],
        }

    async def _trade(self, order: Order) -> None:
        loop = asyncio.get_running_loop()
        # The next ids are part of the seed: a second trade with the same seed is a new day, not the same one again.
        dice = seeded("trade", order.seed, *(shop.database.peek("ecommerce.order") for shop in self.shops.values()))
        began, batch = loop.time(), order.orders or 300
        while True:
            for kind in schedule(batch, dice, mix=order.mix, must_fail=order.must_fail):
                due = began + self.placed / order.rate if order.rate > 0 else 0.0
                await asyncio.sleep(max(0.0, due - loop.time()))
                instance, site = site_for(kind, dice, order.sites)
                channel = dice.choices(list(order.shares), weights=list(order.shares.values()))[0]
                timing = replace(order.timing, hold_edits=order.timing.hold_edits or (instance, site) in order.holding)
                order_id = self.shops[instance].place(kind, site, order.seed, channel, timing)
                self.placed += 1
                self.by_kind[kind] = self.by_kind.get(kind, 0) + 1
                self.by_channel[channel] = self.by_channel.get(channel, 0) + 1
                if self.refunds + 1 <= order.refunds * self.placed:  # no dice: a small trade is to have some too
                    twice = self.refunds % 3 == 2
                    self.refunds += self.shops[instance].plan_refund(order_id, order.timing, twice=twice)
                if dice.random() < order.master_data:
                    shop = self.shops[instance]
                    change = dice.choice([shop.change_customer, shop.change_product])
                    change(dice)
            if order.orders:
                return

    async def _follow(self) -> None:
        while True:
            for shop in self.shops.values():
                for follow_up_id, order_id, action in shop.database.due(shop.now().timestamp()):
                    with shop.database.transaction():
                        shop.database.done(follow_up_id)
                        shop.follow_up(order_id, action)
            await asyncio.sleep(_TICK)
