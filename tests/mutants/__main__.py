"""`make mutants`: does a named test fail for each sabotage of sink and bookkeeping? Exit code 1 where one survives.

Each worker has a copy of the tree of its own in a temporary directory; nothing is changed here. First the named tests
must pass on the unharmed copy: a test that fails anyway proves nothing.
"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from tests.mutants.money import MONEY
from tests.mutants.sabotages import SABOTAGES, Sabotage

ALL = (*SABOTAGES, *MONEY)

_HERE = Path(__file__).parents[2]
_LONGEST = 300.0  # seconds for the named tests of one sabotage: one that never ends is a failed test as well
_FAILED, _PASSED = 1, 0  # pytest's exit codes; any other means that no test could judge


@dataclass(frozen=True)
class Verdict:
    """`end`: killed, SURVIVED or a sentence why nothing could be told."""

    sabotage: Sabotage
    end: str
    seconds: float


class Tree:
    """A copy of the tracked files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=_HERE, capture_output=True, check=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            if (_HERE / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(_HERE / name, root / name)

    def run(self, tests: Iterable[str]) -> int:
        """pytest's exit code; 1 too where it did not end."""
        env = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        env["HYPOTHESIS_PROFILE"] = "verdict"  # that it fails is enough: the smallest example would cost minutes
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
        try:
            done = subprocess.run(command, cwd=self.root, env=env, capture_output=True, timeout=_LONGEST, check=False)
        except subprocess.TimeoutExpired:
            return _FAILED
        return done.returncode

    def judge(self, sabotage: Sabotage) -> Verdict:
        """Apply it, run its tests, take it back."""
        begun, path = time.monotonic(), self.root / sabotage.file
        sound = path.read_text("utf-8")
        if sound.count(sabotage.old) != 1:
            return Verdict(sabotage, f"its text stands {sound.count(sabotage.old)} times in {sabotage.file}", 0.0)
        path.write_text(sound.replace(sabotage.old, sabotage.new), "utf-8")
        try:
            code = self.run(sabotage.tests)
        finally:
            path.write_text(sound, "utf-8")
        ends = {_FAILED: "killed", _PASSED: "SURVIVED"}
        return Verdict(sabotage, ends.get(code, f"pytest ended with {code}"), time.monotonic() - begun)


def hunt(sabotages: Iterable[Sabotage], workers: int, root: Path) -> list[Verdict]:
    """A verdict for each, in the order they came; one line each as they come."""
    work: queue.SimpleQueue[Sabotage] = queue.SimpleQueue()
    wanted = list(sabotages)
    for sabotage in wanted:
        work.put(sabotage)
    found: dict[str, Verdict] = {}

    def hunter(number: int) -> None:
        tree = Tree(root / str(number))
        while not work.empty():
            try:
                sabotage = work.get_nowait()
            except queue.Empty:
                return
            verdict = found[sabotage.name] = tree.judge(sabotage)
            click.echo(f"{verdict.end:9} {verdict.seconds:5.1f} s  {sabotage.name}", err=True)

    threads = [threading.Thread(target=hunter, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[sabotage.name] for sabotage in wanted]


@click.command()
@click.option("--only", multiple=True, help="Only these sabotages, by name.")
@click.option("--workers", default=os.cpu_count() or 1, show_default=True)
def main(only: tuple[str, ...], workers: int) -> None:
    """Sabotage sink and bookkeeping in every named way and see a named test fail.

    Example:  make mutants ARGS="--only quarantine_ignored"
    """
    chosen = [s for s in ALL if not only or s.name in only]
    unknown = set(only) - {s.name for s in ALL}
    if unknown or not chosen:
        raise click.UsageError(f"no such sabotage: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="k2x-mutants-") as name:
        root = Path(name)
        tests = dict.fromkeys(test for s in chosen for test in s.tests)
        if Tree(root / "unharmed").run(tests) != _PASSED:
            raise click.ClickException("the named tests do not pass on the unharmed tree: run them, mend that first")
        verdicts = hunt(chosen, workers, root)
    width = max(len(v.sabotage.name) for v in verdicts)
    for v in verdicts:
        named = ", ".join(test.rsplit("::", 1)[1] for test in v.sabotage.tests)
        click.echo(f"{v.sabotage.name:{width}}  {v.end:8}  {v.seconds:5.1f} s  {named}")
    alive = [v for v in verdicts if v.end != "killed"]
    click.echo(f"{len(verdicts) - len(alive)} of {len(verdicts)} sabotages were noticed")
    sys.exit(1 if alive else 0)


if __name__ == "__main__":
    main()
