"""What the check asks a Prometheus, and what it says of each expression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.observe.expressions import Choice, Expression, metrics_of, resolved

WINDOW, SPAN = "20s", "5m"  # $__rate_interval and $__range: the demo is minutes old, and scraped every second


@dataclass(frozen=True)
class Fault:
    """One expression that is not as it should be."""

    where: str
    expr: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}\n    {' '.join(self.expr.split())}"


class Prom:
    """One Prometheus, by its HTTP API."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=20.0, transport=transport)

    def query(self, expr: str) -> list[dict[str, Any]]:
        """An instant vector. ValueError with Prometheus' own words where it does not take the expression."""
        answer = self._http.get("/api/v1/query", params={"query": expr})
        body = answer.json()
        if body.get("status") != "success":
            raise ValueError(str(body.get("error", answer.text)))
        data = body["data"]
        return [{"metric": {}, "value": data["result"]}] if data["resultType"] == "scalar" else list(data["result"])

    def range(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        params: dict[str, Any] = {"query": expr, "start": start, "end": end, "step": step}
        body = self._http.get("/api/v1/query_range", params=params).json()
        if body.get("status") != "success":
            raise ValueError(str(body.get("error")))
        return list(body["data"]["result"])

    def names(self) -> set[str]:
        """Every metric that is known: with series now, or announced by a target without any yet."""
        with_series = self._http.get("/api/v1/label/__name__/values").json()["data"]
        found = set(with_series)
        for name, said in self._http.get("/api/v1/metadata").json()["data"].items():
            # OpenMetrics announces a counter without its _total, and a histogram without its parts.
            kind = said[0]["type"]
            found |= {name, f"{name}_total"} if kind == "counter" else {name}
            found |= {f"{name}_{part}" for part in ("bucket", "count", "sum")} if kind == "histogram" else set()
        return found

    def values(self, choices: Iterable[Choice], chosen: Mapping[str, list[str]] | None = None) -> dict[str, list[str]]:
        """The variables' values, each narrowed by those before it."""
        found: dict[str, list[str]] = dict(chosen or {})
        for choice in choices:
            selector = resolved(choice.metric, found, window=WINDOW, span=SPAN)
            answer = self._http.get(f"/api/v1/label/{choice.label}/values", params={"match[]": selector}).json()
            found[choice.name] = sorted(answer.get("data", []))
        return found

    def rules(self) -> list[dict[str, Any]]:
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def exemplars(self, expr: str, start: float, end: float) -> list[dict[str, Any]]:
        params: dict[str, Any] = {"query": expr, "start": start, "end": end}
        return list(self._http.get("/api/v1/query_exemplars", params=params).json()["data"])

    def judge(self, one: Expression, values: Mapping[str, list[str]], names: set[str]) -> Fault | None:
        """What is wrong with an expression; None where it is well."""
        try:
            expr = resolved(one.expr, values, window=WINDOW, span=SPAN)
            found = self.query(expr)
        except KeyError as error:
            return Fault(one.where, one.expr, f"the variable ${error.args[0]} is not one of the dashboard's")
        except ValueError as error:
            return Fault(one.where, one.expr, f"Prometheus does not take it: {error}")
        unknown = metrics_of(expr) - names
        if unknown:
            return Fault(one.where, expr, f"nobody shows {', '.join(sorted(unknown))}")
        if not found and not one.may_be_empty:
            return Fault(one.where, expr, "no result, though the demo makes data")
        if found and all(item["value"][1] == "NaN" for item in found) and not one.may_be_empty:
            return Fault(one.where, expr, "nothing but NaN, though the demo makes data")
        return None
