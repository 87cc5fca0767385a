"""`make bench`: runs every tests/bench/bench_*.py, prints a table, appends the figures to results.csv.

`ARGS="streams receiver"` runs those only; `--short` is a short form for CI; `--no-save` leaves the CSV alone.
Each module has `run(short: bool) -> list[Row]`; a Row is (metric, value, unit, conditions).
"""

from __future__ import annotations

import csv
import importlib
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results.csv"
FIELDS = ("date", "commit", "bench", "metric", "value", "unit", "conditions")
Row = tuple[str, float, str, str]


def main(arguments: list[str]) -> int:
    flags = {a for a in arguments if a.startswith("--")}
    wanted = [a for a in arguments if not a.startswith("--")]
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        sys.stderr.write(f"no such bench: {', '.join(unknown)}; there are {', '.join(names)}\n")
        return 2
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=False
    )
    rows: list[tuple[str, ...]] = []
    for name in wanted or names:
        module = importlib.import_module(f"tests.bench.bench_{name}")
        for metric, value, unit, conditions in module.run(short="--short" in flags):
            today = datetime.now(UTC).date().isoformat()
            rows.append((today, commit.stdout.strip(), name, metric, f"{value:.4g}", unit, conditions))
            sys.stdout.write(f"{name:12} {metric:44} {value:12,.3f} {unit:14} {conditions}\n")
            sys.stdout.flush()
    if "--no-save" not in flags and "--short" not in flags:
        save(rows)
    return 0


def save(rows: list[tuple[str, ...]]) -> None:
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(FIELDS)
        writer.writerows(rows)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
