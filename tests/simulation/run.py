"""One seed from its beginning to its judgement."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulation.judge import Violation
from tests.simulation.weather import HOURS, Weather, weather
from tests.simulation.world import World

_PATIENCE = 8 * HOURS  # from the end of the storm until everything must have come to its end
_LOOK, _LESS = 5.0, 1.3  # seconds between looks whether it has, ever less often


@dataclass
class Report:
    """What came of a seed. `violations`: (check, text); empty is good."""

    seed: int
    profile: str
    violations: list[tuple[str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    events: int = 0
    simulated: float = 0.0
    took: float = 0.0


def simulate(seed: int, story: Callable[[float, str, str], None] | None = None) -> Report:
    """Run the seed's weather."""
    return run(weather(seed), story)


def run(made: Weather, story: Callable[[float, str, str], None] | None = None) -> Report:
    """Storm, calm, judgement; then everything is sent again, and judged again."""
    report = Report(made.seed, made.profile)
    began = time.process_time()
    world = World(made, story)
    try:
        world.begin()
        settled = _settle(world, report)
        while settled and not (wrong := list(world.summaries.explained())) and world.office.redrive():
            settled = _settle(world, report)
        if settled:
            report.violations += wrong or world.ends.judge()
        if not report.violations:
            world.judge.replaying = True
            world.workload.send_all_again()
            if _settle(world, report):
                report.violations += world.ends.judge()
    except Violation as violation:
        report.violations.append((violation.check, str(violation)))
    except Exception as error:
        report.violations.append(("no exception", repr(error)))
        if story is not None:
            raise
    report.counts, report.events, report.simulated = world.counts, world.loop.events, world.loop.now
    report.took = time.process_time() - began
    return report


def _settle(world: World, report: Report, patience: float = 0.0) -> bool:
    """Until all is quiet."""
    over, wait = False, _LOOK

    def look() -> None:
        nonlocal over, wait
        over, wait = world.ends.quiet(), wait * _LESS
        if not over:
            world.loop.after(wait, look)

    end = max(world.loop.now, world.weather.storm)
    world.loop.at(end, look)
    patience = patience or _PATIENCE + world.weather.patience
    if world.loop.run(lambda: over, end + patience):
        return True
    report.violations.append(
        ("comes to its end", f"not quiet {patience / 3600:.0f} h after the storm: {world.ends.stuck()}")
    )
    return False
