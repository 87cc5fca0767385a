"""The short form of `make simulate`: some seeds in the default suite, and that a seed is a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.run import simulate

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", range(40))
def test_every_guarantee_holds_in_a_seeded_world(seed: int) -> None:
    report = simulate(seed)
    assert not report.violations, f"{report.violations[0][1]}: python -m tests.simulation --seed {seed} -v"


def test_a_seed_and_a_commit_determine_a_run() -> None:
    """Told step by step in two processes whose hashes differ."""
    told = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "4", "-v"],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hashes},
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout.split("\nseeds ")[0]
        for hashes in ("1", "2")
    ]  # fmt: skip
    assert told[0] == told[1]
    assert len(told[0].splitlines()) > 300
