"""Every PromQL expression of the dashboards and rules, from the files that Grafana and Prometheus read. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from grafana.boards import BOARDS

GRAFANA = Path(__file__).parents[2] / "grafana"
RULES = GRAFANA / "prometheus" / "rules" / "k2x.yml"
_METRIC = re.compile(r"\b((?:k2x|kafka|process|python)_[a-zA-Z0-9_]+|up|ALERTS)\b")
_LABEL_VALUES = re.compile(r"^label_values\((?P<metric>.+), (?P<label>\w+)\)$")


@dataclass(frozen=True)
class Expression:
    """`where`: dashboard and panel, or the alert; `may_be_empty`: why the demo has no data for it."""

    where: str
    expr: str
    may_be_empty: str = ""


@dataclass(frozen=True)
class Choice:
    """A template variable: the values of a label."""

    name: str
    metric: str
    label: str


def dashboards() -> dict[str, dict[str, Any]]:
    """The committed files, by uid."""
    return {
        found["uid"]: found for found in (json.loads(p.read_text("utf-8")) for p in GRAFANA.glob("dashboards/*.json"))
    }


def of_dashboard(board: Mapping[str, Any]) -> list[Expression]:
    """All of its panels' expressions, rows unfolded."""
    reasons = _reasons()
    return [
        Expression(f"{board['title']} / {panel['title']}", target["expr"], reasons.get(target["expr"], ""))
        for panel in panels(board["panels"])
        for target in panel.get("targets", [])
    ]


def panels(some: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Panels of panels: rows nest."""
    for panel in some:
        if panel["type"] != "row":
            yield panel
        yield from panels(panel.get("panels", []))


def choices(board: Mapping[str, Any]) -> list[Choice]:
    found = []
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            match = _LABEL_VALUES.match(variable["query"]["query"])
            assert match is not None, variable["query"]
            found.append(Choice(variable["name"], match["metric"], match["label"]))
    return found


def alerts() -> list[dict[str, Any]]:
    """All alerting rules."""
    return [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


def metrics_of(expr: str) -> set[str]:
    """Names of metrics in an expression; what stands in quotes or after `by` is no metric of ours."""
    bare = re.sub(r'"[^"]*"', "", expr)
    return set(_METRIC.findall(bare))


def resolved(expr: str, values: Mapping[str, list[str]], *, window: str, span: str) -> str:
    """As Grafana would send it: $__rate_interval, $__range, and the variables with all values chosen."""
    expr = expr.replace("$__rate_interval", window).replace("$__range", span).replace("$__interval", window)

    def put(match: re.Match[str]) -> str:
        chosen = values[match[1] or match[2]]  # KeyError: the dashboard has no such variable
        return "|".join(re.escape(value).replace("\\", "\\\\") for value in chosen)

    return re.sub(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)", put, expr)


def _reasons() -> dict[str, str]:
    return {
        query.expr: query.may_be_empty
        for board in BOARDS
        for panel in board.panels()
        for query in panel.queries
        if query.may_be_empty
    }
