"""`k2x demo`."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import click

from k2x.demo.observe import PROGRAMS
from k2x.demo.run import Look, Plan, run
from k2x.demo.world import World, drop
from k2x.logs import configure


@click.command()
@click.option("--orders", default=60, show_default=True, type=click.IntRange(1, 100_000), help="Orders to place.")
@click.option("--rate", default=12.0, show_default=True, help="Orders a second while placing them.")
@click.option("--seed", default=2026, show_default=True, help="The same seed places the same orders.")
@click.option("--once", is_flag=True, help="End when every order has an end, instead of trading on.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end (with --once).")
@click.option("--observe", is_flag=True, help="With Prometheus and Alertmanager, which must be on the PATH.")
@click.option("--fresh", is_flag=True, help="Drop what earlier demos left: Kafka's data and both sandboxes.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), default=Path(".k2x/demo"), show_default=True
)
def demo(
    orders: int, rate: float, seed: int, once: bool, as_json: bool, observe: bool, fresh: bool, data_dir: Path
) -> None:
    """Kentico shops, Kafka, k2x and Xero's books on this machine: orders become PAID invoices while you watch.

    Three stores in two Kentico instances sell in five currencies to Xero organisations in the UK, Australia and
    Germany. Some orders must fail, and are shown failing well.

    Example:  k2x demo --once --orders 300
    """
    configure(sys.stderr, level="warning")
    if fresh:
        drop(data_dir)
    say = _Progress(time.monotonic())
    plan = Plan(orders=orders, seed=seed, rate=rate, once=once, directory=data_dir.resolve(), observe=observe)

    def show(world: World, look: Look, curl: str) -> None:
        say.end()
        click.echo(json.dumps(look.total.as_json()) if as_json else _page(world, look, curl))

    clean = asyncio.run(run(plan, say, show))
    say.end()
    raise SystemExit(0 if clean else 1)


def _page(world: World, look: Look, curl: str) -> str:
    from k2x.demo.report import page

    metrics = {
        name.removesuffix("-metrics"): f"http://127.0.0.1:{port}/metrics"
        for name, port in world.ports.items()
        if name.endswith("-metrics")
    }
    if world.observatory is not None:
        metrics |= {name: world.url(name) for name in PROGRAMS}
    return "\n" + page(
        look, books_url=world.url("xero") + "/books", metrics=metrics, curl=curl, logs=str(world.directory / "logs")
    )


class _Progress:
    """One live line on a terminal; a line every so often elsewhere. Always on stderr, so that --json stays clean."""

    def __init__(self, begun: float) -> None:
        self._begun = begun
        self._live = sys.stderr.isatty()
        self._last: Any = None
        self._printed_at = 0.0

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        line = f"[{now - self._begun:5.1f} s] {text}"
        if self._live:
            # A line that wraps cannot be wiped: it must fit whatever the terminal's width is at the moment.
            sys.stderr.write(f"\r\x1b[2K{line[: shutil.get_terminal_size().columns - 1]}")
        elif text != self._last and (now - self._printed_at > 5 or not text.startswith(("orders", "trading"))):
            sys.stderr.write(line + "\n")
            self._printed_at = now
        self._last = text
        sys.stderr.flush()

    def end(self) -> None:
        if self._live and self._last is not None:
            sys.stderr.write("\n")
        self._last = None
