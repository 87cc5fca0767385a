"""Draws the panels of the dashboards from a running Prometheus, as PNG, for the docs.

Each is labelled as drawn by this renderer: it is no Grafana, and shows what a panel shows, not how Grafana draws it.
Needs matplotlib, which is no dependency of k2x: `pip install matplotlib` into the environment first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grafana.boards import BOARDS
from grafana.panel import Dashboard, Panel
from tests.observe import expressions
from tests.observe.prom import SPAN, WINDOW, Prom

LABEL = "drawn by k2x's renderer from a real Prometheus, not Grafana"
_BACK_S, _STEP_S = 120.0, 1.0
_SHOWN = 12  # series of a panel
_COLOURS = {"green": "#73bf69", "yellow": "#fade2a", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2",
            "text": "#d8d9da"}  # fmt: skip


def draw(prom: Prom, folder: Path) -> None:
    """One PNG a dashboard, with all of its panels."""
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    pages = expressions.dashboards()
    for board in BOARDS:
        values = prom.values(expressions.choices(pages[board.uid]))
        _page(prom, board, values, folder / f"{board.uid.removeprefix('k2x-')}.png")


def _page(prom: Prom, board: Dashboard, values: Mapping[str, list[str]], path: Path) -> None:
    from matplotlib import pyplot

    panels = list(board.panels())
    rows = math.ceil(len(panels) / 3)
    figure, axes = pyplot.subplots(rows, 3, figsize=(18, 3.1 * rows), facecolor="#111217", squeeze=False)
    figure.suptitle(f"{board.title}   ({LABEL})", color="#d8d9da", fontsize=12)
    for axis, panel in zip(axes.flat, panels, strict=False):
        _panel(prom, axis, panel, values)
    for axis in list(axes.flat)[len(panels) :]:
        axis.axis("off")
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    figure.savefig(path, dpi=60)
    pyplot.close(figure)


def _panel(prom: Prom, axis: Any, panel: Panel, values: Mapping[str, list[str]]) -> None:
    axis.set_facecolor("#181b1f")
    axis.set_title(panel.title, color="#d8d9da", fontsize=9, loc="left")
    axis.tick_params(colors="#8e8e8e", labelsize=7)
    found = [
        (expressions.resolved(query.expr, values, window=WINDOW, span=SPAN), query.legend) for query in panel.queries
    ]
    if panel.kind == "timeseries":
        _lines(prom, axis, found)
    else:
        _numbers(prom, axis, panel, found)


def _lines(prom: Prom, axis: Any, queries: list[tuple[str, str]]) -> None:
    now = time.time()
    shown = 0
    for expr, legend in queries:
        for series in prom.range(expr, now - _BACK_S, now, _STEP_S)[:_SHOWN]:
            points = [(at - now, float(value)) for at, value in series["values"] if value not in ("NaN", "+Inf")]
            if points:
                axis.plot(*zip(*points, strict=True), label=_legend(legend, series["metric"]), linewidth=1)
                shown += 1
    axis.set_xlim(-_BACK_S, 0)
    axis.set_ylim(bottom=0)
    axis.grid(color="#2c3235", linewidth=0.5)
    if shown:
        axis.legend(fontsize=6, facecolor="#181b1f", labelcolor="#d8d9da", edgecolor="#2c3235", loc="upper left")
    else:
        axis.text(0.5, 0.5, "no data", color="#8e8e8e", ha="center", transform=axis.transAxes)


def _numbers(prom: Prom, axis: Any, panel: Panel, queries: list[tuple[str, str]]) -> None:
    axis.axis("off")
    lines = []
    for expr, legend in queries:
        for item in prom.query(expr)[:_SHOWN]:
            value = float(item["value"][1])
            word, colour = panel.words.get(f"{value:.0f}", (_shown(value, panel.unit), _colour(panel, value)))
            lines.append((_legend(legend, item["metric"]), word, _COLOURS[colour]))
    if not lines:
        axis.text(0.5, 0.5, "no data", color="#8e8e8e", ha="center", transform=axis.transAxes)
    size = 22 if len(lines) == 1 else 9
    for number, (name, word, colour) in enumerate(lines):
        height = 0.5 if len(lines) == 1 else 0.92 - number * 0.95 / max(len(lines), 6)
        axis.text(0.02, height, name, color="#d8d9da", fontsize=8, transform=axis.transAxes)
        axis.text(0.98, height, word, color=colour, fontsize=size, ha="right", transform=axis.transAxes)


def _colour(panel: Panel, value: float) -> str:
    reached = [colour for step, colour in panel.steps if value >= step]
    return reached[-1] if reached else "green" if panel.steps else "text"


def _shown(value: float, unit: str) -> str:
    match unit:
        case "percentunit":
            return f"{value:.1%}"
        case "s":
            return f"{value:.2f} s"
        case _:
            return f"{value:,.2f}".rstrip("0").rstrip(".")


def _legend(template: str, labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        template = template.replace(f"{{{{{name}}}}}", value)
    return template
