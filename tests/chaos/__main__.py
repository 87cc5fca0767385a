"""`make chaos`: kills, freezes and starts again every part of a running k2x, and then counts every order.

make chaos ARGS="--orders 3000 --seed 7"        all rounds, by default
make chaos ARGS=--short                         the most telling rounds, about 200 orders
make chaos ARGS="--rounds broker,at_socket"     these only

Exit code 0: every order has its one right end, by k2x's reader and by the books; 1: a violation, told with its order,
the seed and the directory that was kept.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from k2x.demo.deployment import ORGANISATIONS, TRADING
from k2x.demo.run import Look, look
from k2x.demo.world import drop
from k2x.errors import K2xError
from k2x.logs import configure
from tests.chaos import books, evidence, judge, report
from tests.chaos.judge import Violation
from tests.chaos.pulse import Pulse
from tests.chaos.rounds import ROUNDS, Arena, Outcome, Round, carry_out
from tests.chaos.world import ChaosWorld, Tempo, until

_SETTLE_S = 900.0  # patience for the last order; a bound, not a measure
_SHORT_ORDERS, _FULL_ORDERS = 200, 3000
_SHORT_RATE, _FULL_RATE = 2.5, 4.0
_WRITE_BACK_S = 60.0
_QUIET_S = 6.0  # hints are debounced for 2 s, and a sink looks for due orders every second


@dataclass(frozen=True)
class Plan:
    """What was asked for."""

    orders: int
    rate: float
    seed: int
    rounds: tuple[tuple[Round, int], ...]
    directory: Path
    keep: bool


@dataclass
class Ended:
    """What a run has come to."""

    outcomes: list[Outcome]
    text: str
    violations: list[Violation]


def parse(arguments: Sequence[str] | None = None) -> Plan:
    """The command line. SystemExit for what it does not know."""
    summary, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="make chaos", description=summary, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [one.name for one in ROUNDS]
    parser.add_argument("--orders", type=int, help=f"place at least so many ({_FULL_ORDERS}; short: {_SHORT_ORDERS})")
    parser.add_argument("--rate", type=float, help=f"orders a second ({_FULL_RATE}; short: {_SHORT_RATE})")
    parser.add_argument("--seed", type=int, help="of orders, faults, victims and moments; by default a new one")
    parser.add_argument("--rounds", help=f"of {', '.join(names)}; separated by commas")
    parser.add_argument("--short", action="store_true", help="the most telling rounds, once each")
    parser.add_argument("--data-dir", type=Path, default=Path(".k2x/chaos"), help="kept after a violation")
    parser.add_argument("--keep", action="store_true", help="keep the directory also after a good run")
    given = parser.parse_args(arguments)
    wanted = given.rounds.split(",") if given.rounds else names
    if unknown := sorted(set(wanted) - set(names)):
        parser.error(f"no round {', '.join(unknown)}; there are {', '.join(names)}")
    times = {one.name: (one.short or int(bool(given.rounds))) if given.short else one.times for one in ROUNDS}
    return Plan(
        orders=given.orders or (_SHORT_ORDERS if given.short else _FULL_ORDERS),
        rate=given.rate or (_SHORT_RATE if given.short else _FULL_RATE),
        seed=given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000),
        rounds=tuple((one, times[one.name]) for one in ROUNDS if one.name in wanted and times[one.name]),
        directory=given.data_dir.resolve(),
        keep=given.keep,
    )


class Say:
    """Progress on stderr, with the seconds since the start."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, text: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - self._begun:6.1f} s] {text}\n")
        sys.stderr.flush()


async def run(plan: Plan, say: Say) -> Ended:
    """The whole of it; the world is stopped at the end, whatever happens."""
    world = ChaosWorld(plan.directory, Tempo(), plan.seed)
    outcomes: list[Outcome] = []
    try:
        await world.start(lambda step: say(f"starting {step}"))
        await world.trouble_xero()
        pulse = Pulse(world.kafka_conf)
        pulse.start()
        arena = Arena(world, pulse, ORGANISATIONS)
        failed = ""
        try:
            await world.open_shops(plan.rate)
            for one, times in plan.rounds:
                say(f"round {one.name}: {one.what}, {times} times")
                outcomes.append(await carry_out(arena, one, times, plan.seed))
                await world.pay_out()
            await _sell_the_rest(world, plan, say)
        except TimeoutError as error:
            failed = str(error)
            say(f"the rounds end here: {failed}")
        await world.close_shops()
        await world.pay_out()
        say("the shops are closed; waiting until every order has an end")
        seen = await settled(world, pulse, say)
        pulse.stop()
        return await _judged(world, arena, seen, outcomes, failed, say)
    finally:
        say("stopping")
        await world.stop()


async def _sell_the_rest(world: ChaosWorld, plan: Plan, say: Say) -> None:
    while (placed := await world.placed()) < plan.orders:
        say(f"{placed} of {plan.orders} orders placed")
        await asyncio.sleep(min(10.0, 1.0 + (plan.orders - placed) / plan.rate))
        world.check()


async def settled(world: ChaosWorld, pulse: Pulse, say: Say) -> Look:
    """Wait until every order, refund, edit and settlement has an end, or patience is over. When all is
    posted, what was held until then happens: edits in closed days, the last payouts. Looking costs a reading of
    everything, so first of all until nothing is heard any more."""
    ends, to_pay = time.monotonic() + _SETTLE_S, True
    while True:
        trade = await world.get("kentico", "/_sandbox/trade")
        if (not trade["done"] or time.monotonic() - pulse.heard < _QUIET_S) and time.monotonic() < ends:
            await asyncio.sleep(0.5)
            world.check()
            continue
        seen = await look(world)
        total, under_way = seen.total, len(seen.open_keys()) + seen.unsettled
        say(f"orders {total.orders_in}, paid {total.paid}, held {total.held}; on the way {under_way}")
        if time.monotonic() > ends:
            return seen
        if (trade["held_edits"] or to_pay) and not seen.open_keys(held=False):
            await world.post("kentico", "/_sandbox/release", {})
            await world.pay_out()
            to_pay = False
        elif not under_way:
            return seen
        await asyncio.sleep(_QUIET_S / 2)


async def _judged(world: ChaosWorld, arena: Arena, look: Look, outcomes: list[Outcome], failed: str, say: Say) -> Ended:
    shop, paid = await world.get("kentico", "/_sandbox/orders"), await world.get("kentico", "/_sandbox/payouts")
    truths = [t for t in shop["orders"] if t["channel"] and t["instance"] in TRADING]
    await _await_write_backs(world, truths)
    payouts = paid["payouts"]
    exports, log = evidence.exports(world.url("xero")), evidence.request_log(world.url("xero"))
    events, arrived = evidence.accepted(world.directory), evidence.on_kafka(world.kafka_conf)
    say("k2x reconcile, through Xero's own API")
    code, told = await world.reconcile()
    loads = [judge.load(org, log) for org in ORGANISATIONS]
    found = [Violation("course", "", failed)] if failed else []
    found += [Violation("course", "", f"round {o.name}: no orders came in meanwhile") for o in outcomes if not o.orders]
    found += judge.verdicts(look.verdicts, look.expected)
    found += [Violation(stray.kind, stray.order or stray.number, stray.text) for stray in look.strays]
    found += judge.reconciled(code, told)
    found += [Violation("books", wrong.key, wrong.text) for wrong in books.judge(truths, payouts, exports)]
    found += judge.write_backs(truths, evidence.shown_numbers(world.directory), books.newest(truths, exports))
    found += judge.accepted(events, arrived.ids, arrived.hints)
    found += [Violation("accepted", key, f"refused: {answer}") for key, answer in evidence.refused(world.directory)]
    found += judge.limits(loads)
    remains = judge.residual(truths, exports, {made for call in arena.late for made in call.taken})
    parts = [
        report.table(outcomes, report.slowest_orders(outcomes, arena.pulse.ways)),
        "\n".join(f"  {o.name}: {note}" for o in outcomes for note in o.notes),
        report.account(
            look.total,
            told,
            report.traded(exports),
            arena.pulse.ways,
            loads,
            report.faults_of(log),
            {name: child.restarts for name, child in world.supervisor.children.items()},
            len(events),
        ),
        "\n".join(f"KNOWN TO REMAIN (docs/guarantees.md) {key}: {text}" for key, text in remains.items()),
    ]
    return Ended(outcomes, "\n\n".join(part for part in parts if part), [v for v in found if v.key not in remains])


async def _await_write_backs(world: ChaosWorld, truths: list[dict[str, object]]) -> None:
    """Write-backs follow the results by a moment; what is missing after a minute is told by the judge."""
    numbers = books.newest(truths, evidence.exports(world.url("xero")))
    try:
        await until(
            lambda: not judge.write_backs(truths, evidence.shown_numbers(world.directory), numbers),
            "all is shown",
            _WRITE_BACK_S,
        )
    except TimeoutError:
        return


def main() -> int:
    configure(sys.stderr, level="error")
    plan, say = parse(), Say()
    directory, began = plan.directory, time.monotonic()
    try:
        drop(directory)
        say(f"seed {plan.seed}; data in {directory}")
        ended = asyncio.run(run(plan, say))
    except KeyboardInterrupt:
        sys.stderr.write(f"chaos: stopped; seed {plan.seed}; everything is kept in {directory}\n")
        return 130
    except (K2xError, TimeoutError) as error:
        sys.stderr.write(f"chaos: {error}\nseed {plan.seed}; everything is kept in {directory}\n")
        return 1
    print(f"\n{ended.text}\n")
    print(f"seed {plan.seed}, {time.monotonic() - began:.0f} s")
    if ended.violations:
        print(report.violations(ended.violations, directory))
        return 1
    print("No order lost, none doubled, none drifted.")
    if not plan.keep:
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
