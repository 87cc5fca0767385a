"""Panels, rows and dashboards as values, and the JSON that Grafana reads (schema version 42). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 42
WIDTH = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Kind = Literal["timeseries", "stat", "table", "bargauge"]
Colour = Literal["green", "yellow", "orange", "red", "blue", "text"]


@dataclass(frozen=True)
class Query:
    """One PromQL expression. `legend`: Grafana's template of a series' name. `may_be_empty`: why the demo has no data
    for it; the check of grafana.check then asks only that its metric is known."""

    expr: str
    legend: str = ""
    may_be_empty: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel. `description` says what is shown and what to do when it looks bad; `steps`: value → colour from there;
    `words`: value → (text, colour), for states."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 7
    steps: tuple[tuple[float, Colour], ...] = ()
    words: Mapping[str, tuple[str, Colour]] = field(default_factory=dict)
    stacked: bool = False
    minimum: float | None = 0
    maximum: float | None = None
    decimals: int | None = None


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of the page, read from a metric's label."""

    name: str
    label: str
    metric: str
    of: str


ORG = Variable("org", "Organisation", "k2x_sink_lane_state", "org")
STORE = Variable("store", "Store", 'k2x_end_to_end_seconds_count{org=~"$org"}', "store")
GROUP = Variable("group", "Consumer group", "kafka_consumergroup_members", "consumergroup")


@dataclass(frozen=True)
class Dashboard:
    """A page. `uid` is for ever: links and bookmarks use it."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = (ORG,)
    refresh: str = "30s"
    since: str = "now-6h"

    def panels(self) -> Iterator[Panel]:
        for row in self.rows:
            yield from row.panels


def dashboard_json(board: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana stores it."""
    return {
        "annotations": {"list": []},
        "description": board.description,
        "editable": False,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": [
            {"asDropdown": True, "icon": "external link", "includeVars": True, "keepTime": True, "tags": ["k2x"],
             "targetBlank": False, "title": "k2x", "tooltip": "", "type": "dashboards", "url": ""},
        ],
        "panels": list(_panels(board)),
        "refresh": board.refresh,
        "schemaVersion": SCHEMA,
        "tags": ["k2x"],
        "templating": {"list": [_datasource(), *(_variable(variable) for variable in board.variables)]},
        "time": {"from": board.since, "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": board.title,
        "uid": board.uid,
        "version": 1,
        "weekStart": "",
    }  # fmt: skip


def _panels(board: Dashboard) -> Iterator[dict[str, Any]]:
    """Rows one below the other; in a row from left to right, wrapped at the page's width."""
    number, y = 0, 0
    for row in board.rows:
        number += 1
        yield {"collapsed": False, "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y}, "id": number, "panels": [],
               "title": row.title, "type": "row"}  # fmt: skip
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            yield _panel(panel, number, {"h": panel.height, "w": panel.width, "x": x, "y": y})
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "color": {"mode": "thresholds" if panel.kind in ("stat", "bargauge") else "palette-classic"},
        "custom": _custom(panel),
        "mappings": _mappings(panel),
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": "green" if panel.steps else "text", "value": None}]
            + [{"color": colour, "value": value} for value, colour in panel.steps],
        },
        "unit": panel.unit,
    }
    if panel.minimum is not None and panel.kind != "table":
        defaults["min"] = panel.minimum
    if panel.maximum is not None:
        defaults["max"] = panel.maximum
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    return {
        "datasource": SOURCE,
        "description": panel.description,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "gridPos": place,
        "id": number,
        "options": _options(panel),
        "targets": [_target(query, chr(ord("A") + i), panel.kind) for i, query in enumerate(panel.queries)],
        "title": panel.title,
        "transformations": _transformations(panel),
        "type": panel.kind,
    }


def _target(query: Query, ref: str, kind: Kind) -> dict[str, Any]:
    instant = kind != "timeseries"
    return {
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "format": "table" if kind == "table" else "time_series",
        "instant": instant,
        "legendFormat": query.legend or "__auto",
        "range": not instant,
        "refId": ref,
    }


def _custom(panel: Panel) -> dict[str, Any]:
    if panel.kind != "timeseries":
        return {"align": "auto", "filterable": True} if panel.kind == "table" else {}
    return {
        "drawStyle": "line",
        "fillOpacity": 25 if panel.stacked else 8,
        "lineWidth": 1,
        "pointSize": 4,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
        "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
    }


def _mappings(panel: Panel) -> list[dict[str, Any]]:
    if not panel.words:
        return []
    options = {
        value: {"color": colour, "index": index, "text": text}
        for index, (value, (text, colour)) in enumerate(panel.words.items())
    }
    return [{"options": options, "type": "value"}]


def _options(panel: Panel) -> dict[str, Any]:
    match panel.kind:
        case "timeseries":
            return {
                "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom",
                           "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }  # fmt: skip
        case "table":
            return {"cellHeight": "sm", "showHeader": True}
        case _:
            reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
            return {"colorMode": "background", "graphMode": "none", "orientation": "auto", "reduceOptions": reduce,
                    "textMode": "auto"}  # fmt: skip


def _transformations(panel: Panel) -> list[dict[str, Any]]:
    if panel.kind != "table":
        return []
    hidden = {"Time": True, "__name__": True, "instance": True, "job": True}
    renamed = {"Value": panel.title}
    if len(panel.queries) > 1:
        renamed = {f"Value #{chr(ord('A') + i)}": query.legend for i, query in enumerate(panel.queries)}
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": hidden, "indexByName": {}, "renameByName": renamed}},
    ]


def _datasource() -> dict[str, Any]:
    return {
        "current": {}, "hide": 0, "includeAll": False, "label": "Data source", "multi": False, "name": "datasource",
        "options": [], "query": "prometheus", "refresh": 1, "regex": "", "skipUrlSync": False, "type": "datasource",
    }  # fmt: skip


def _variable(variable: Variable) -> dict[str, Any]:
    query = f"label_values({variable.metric}, {variable.of})"
    return {
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "datasource": SOURCE,
        "definition": query,
        "hide": 0,
        "includeAll": True,
        "label": variable.label,
        "multi": True,
        "name": variable.name,
        "options": [],
        "query": {"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
        "type": "query",
    }
