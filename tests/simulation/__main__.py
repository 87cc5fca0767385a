"""`python -m tests.simulation --seeds 300`: many worlds on all cores. `--seed N -v`: one of them, told step by step."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import timedelta

from tests.simulation.run import Report, simulate

_CHUNK = 20  # seeds that a process takes at once
_FAILURES = 20  # told by a line each; more would tell nothing new


def main(arguments: list[str] | None = None) -> int:
    """0 if every guarantee held in every world."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many (300)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (all cores)")
    parser.add_argument("-v", "--verbose", action="store_true", help="with --seed: the story of the run")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, options.verbose)
    return _many(range(options.first, options.first + options.seeds), max(1, options.workers))


def _one(seed: int, verbose: bool) -> int:
    report = simulate(seed, _tell if verbose else None)
    _table([report], report.took)
    for _, text in report.violations:
        print(f"FAILED  {text}")
    return 1 if report.violations else 0


def _tell(now: float, who: str, text: str) -> None:
    print(f"{timedelta(seconds=round(now, 3))!s:>16} {who:<18} {text}")


def _many(seeds: range, workers: int) -> int:
    began, shown, failed = time.perf_counter(), 0.0, 0
    reports: list[Report] = []
    with ProcessPoolExecutor(workers) as pool:
        chunks = [seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK)]
        for done in as_completed([pool.submit(_chunk, chunk) for chunk in chunks]):
            for report in done.result():
                reports.append(report)
                if report.violations:
                    failed += 1
                    if failed <= _FAILURES:
                        _wipe()
                        print(f"seed {report.seed} ({report.profile}): {report.violations[0][1]}")
                        print(f"    replay: python -m tests.simulation --seed {report.seed} -v", flush=True)
            if sys.stderr.isatty() and time.perf_counter() - shown > 0.5:
                shown = time.perf_counter()
                print(f"\r{len(reports)} of {len(seeds)} seeds, {failed} failed", end="", file=sys.stderr, flush=True)
    _wipe()
    _table(reports, time.perf_counter() - began)
    return 1 if failed else 0


def _wipe() -> None:
    if sys.stderr.isatty():
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)


def _chunk(seeds: range) -> list[Report]:
    return [simulate(seed) for seed in seeds]


def _table(reports: list[Report], took: float) -> None:
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update(report.counts)
    events = sum(report.events for report in reports)
    rows = [
        ("seeds", len(reports)),
        ("failed", sum(bool(report.violations) for report in reports)),
        ("events", events),
        ("events a second", round(events / took) if took else 0),
        ("seconds", round(took, 1)),
        ("simulated days", round(sum(report.simulated for report in reports) / 86_400, 1)),
        *((name, counts[name]) for name in ("calls", "read-backs", "take-overs", "crashes", "zombies", "rebalances")),
        ("reissues", counts["reissues"]),
        ("adopted", sum(count for name, count in counts.items() if name.endswith("ADOPTED"))),
        ("dead letters", counts["dead letters"]),
    ]
    faults = sorted((name.removeprefix("fault "), count) for name, count in counts.items() if name.startswith("fault "))
    for name, value in [*rows, ("faults", sum(count for _, count in faults)), *((f"  {n}", c) for n, c in faults)]:
        print(f"{name:<28}{value:>14,}")


if __name__ == "__main__":
    sys.exit(main())
