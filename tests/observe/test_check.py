"""The check of the dashboards can fail: an expression that is wrong in any way is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import yaml

from tests.observe import expressions
from tests.observe.expressions import Expression, metrics_of, resolved
from tests.observe.faster import faster
from tests.observe.prom import Prom

VALUES = {"org": ["uk", "de-2"], "store": ["emea/GoatUK"]}


def prometheus(answers: Mapping[str, Any]) -> Prom:
    def answer(request: httpx.Request) -> httpx.Response:
        found = answers.get(request.url.params.get("query", ""))
        if found is None:
            return httpx.Response(400, json={"status": "error", "error": "parse error"})
        return httpx.Response(200, json={"status": "success", "data": {"resultType": "vector", "result": found}})

    return Prom("http://prometheus", httpx.MockTransport(answer))


def sample(value: str = "1") -> list[dict[str, Any]]:
    return [{"metric": {}, "value": [0, value]}]


@pytest.mark.parametrize(
    ("expr", "found", "why"),
    [
        ("sum(k2x_known)", None, "does not take it: parse error"),
        ("sum(k2x_misspelt)", sample(), "nobody shows k2x_misspelt"),
        ("sum(k2x_known)", [], "no result"),
        ("sum(k2x_known)", sample("NaN"), "nothing but NaN"),
        ('k2x_known{org=~"$shop"}', sample(), "$shop is not one of the dashboard's"),
    ],
)
def test_what_is_wrong_with_an_expression_is_said(expr: str, found: Any, why: str) -> None:
    answers = {} if found is None else {resolved(expr, VALUES | {"shop": ["x"]}, window="1m", span="1h"): found}
    fault = prometheus(answers).judge(Expression("page / panel", expr), VALUES, {"k2x_known"})
    assert fault is not None
    assert why in str(fault)


def test_an_expression_with_data_is_well_and_one_that_may_be_empty_still_has_to_be_known() -> None:
    prom = prometheus({"sum(k2x_known)": sample(), "sum(k2x_none)": []})
    assert prom.judge(Expression("w", "sum(k2x_known)"), VALUES, {"k2x_known"}) is None
    assert prom.judge(Expression("w", "sum(k2x_none)", "why"), VALUES, {"k2x_none"}) is None
    assert prom.judge(Expression("w", "sum(k2x_none)", "why"), VALUES, {"k2x_known"}) is not None


def test_variables_are_put_in_as_grafana_does() -> None:
    expr = 'rate(k2x_a_total{org=~"$org", store=~"${store:regex}"}[$__rate_interval]) / k2x_b[$__range]'
    made = resolved(expr, VALUES, window="20s", span="5m")
    assert made == 'rate(k2x_a_total{org=~"uk|de\\\\-2", store=~"emea/GoatUK"}[20s]) / k2x_b[5m]'


def test_metrics_are_found_and_labels_are_not() -> None:
    expr = 'sum by (process) (rate(k2x_a_bucket{org="kafka_x"}[5m])) or up == 0 or ALERTS{alertstate="firing"}'
    assert metrics_of(expr) == {"k2x_a_bucket", "up", "ALERTS"}


def test_rules_are_only_made_quicker() -> None:
    text = json.dumps({"groups": [{"name": "g", "rules": [
        {"alert": "A", "expr": "time() - x > 3600 and delta(y[10m] offset 1d) > 100", "for": "5m"}]}]})  # fmt: skip
    [rule] = yaml.safe_load(faster(text, times=20, ages=60))["groups"][0]["rules"]
    assert rule == {"alert": "A", "expr": "time() - x > 60 and delta(y[30s] offset 4320s) > 100", "for": "15s"}


def test_all_alerts_survive_it() -> None:
    quick = yaml.safe_load(faster(expressions.RULES.read_text("utf-8")))
    assert [r["alert"] for g in quick["groups"] for r in g["rules"]] == [r["alert"] for r in expressions.alerts()]
