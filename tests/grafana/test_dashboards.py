"""Dashboards, rules, Alertmanager and runbooks fit each other and the code. Grafana itself is not at hand here."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry

import connectors.confirm.metrics
import connectors.kentico.metrics  # noqa: F401 - their metrics are in the default registry
from connectors.xero.metrics import SinkMetrics
from grafana.build import drift
from k2x.audit import last
from k2x.cli import main
from k2x.settings import Ports
from k2x.watch.lag import Behind, Sample
from k2x.watch.metrics import Seen, WatchCollector, WatchCounters
from k2x.xero_access import AccessCollector
from streams.metrics import Metrics
from tests.observe import expressions

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "grafana"
RULE_TESTS = sorted((GRAFANA / "prometheus" / "tests").glob("*_test.yml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
BOARDS = sorted(expressions.dashboards().items())
ALERTS = expressions.alerts()


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is not installed here (Debian: prometheus-alertmanager)"
    )


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=GRAFANA)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class _Nothing:
    def access_ends(self) -> dict[str, float]:
        return {}

    refresh_ends = access_ends


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Names of every series that k2x's processes may show."""
    registry = CollectorRegistry()
    SinkMetrics(registry)
    WatchCounters(registry)
    sample = Sample(1.0, (Behind("g", "xero.commands.uk.v1", 0, 1, 1, 1.0),), {("t", 0): (0, 1)}, {"g": 1}, 1)
    registry.register(WatchCollector(Seen(sample, ()), 15.0, clock=lambda: 1.0))
    registry.register(last.LastReconciliation(Path("nowhere")))
    registry.register(AccessCollector(_Nothing()))  # type: ignore[arg-type]
    names = {"up", "ALERTS"}
    for one in (registry, REGISTRY, Metrics().registry):
        for family in one.collect():
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
            names |= {family.name + suffix for suffix in suffixes}
    return names


def test_the_committed_files_are_what_the_generator_writes() -> None:
    assert drift() == []


def test_there_are_the_seven_pages() -> None:
    assert [uid for uid, _ in BOARDS] == [
        "k2x-business", "k2x-kafka-lag", "k2x-overview", "k2x-pipeline", "k2x-quality", "k2x-store", "k2x-xero",
    ]  # fmt: skip


@pytest.mark.parametrize(("uid", "board"), BOARDS, ids=[uid for uid, _ in BOARDS])
def test_a_page_is_as_dashboards_are_made(uid: str, board: dict[str, Any]) -> None:
    panels = list(expressions.panels(board["panels"]))
    assert board["editable"] is False
    assert next(v["name"] for v in board["templating"]["list"]) == "datasource"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    assert 0 not in ids
    for panel in panels:
        where = f"{uid} / {panel['title']}"
        assert panel["title"], where
        assert panel["fieldConfig"]["defaults"]["unit"], where
        assert len(panel["description"]) > 50, f"{where}: what is it, and what to do when it looks bad?"
        assert panel["description"].endswith((".", "`")), where
        assert panel["datasource"]["uid"] == "${datasource}", where
        refs = [target["refId"] for target in panel["targets"]]
        assert refs, where
        assert len(refs) == len(set(refs)), where
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", where
            assert target["legendFormat"], where
            for counter in re.findall(r"(\w+_(?:total|bucket))\b", target["expr"]):
                assert re.search(rf"(rate|increase)\({counter}", target["expr"]), f"{where}: {counter} without rate"
            for window in re.findall(r"\brate\([^\[]*\[([^\]]+)\]", target["expr"]):
                assert window == "$__rate_interval", where


@pytest.mark.parametrize(("uid", "board"), BOARDS, ids=[uid for uid, _ in BOARDS])
def test_panels_neither_overlap_nor_leave_the_page(uid: str, board: dict[str, Any]) -> None:
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(p["x"] + p["w"] <= 24 for p in places), uid
    for a, b in combinations(places, 2):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"] or a["y"] + a["h"] <= b["y"]
        assert apart or b["y"] + b["h"] <= a["y"], (uid, a, b)


@pytest.mark.parametrize(("uid", "board"), BOARDS, ids=[uid for uid, _ in BOARDS])
def test_every_metric_of_a_page_is_one_that_k2x_shows(uid: str, board: dict[str, Any], known: set[str]) -> None:
    values = {choice.name: ["x"] for choice in expressions.choices(board)}
    for one in expressions.of_dashboard(board):
        expr = expressions.resolved(one.expr, values, window="5m", span="6h")  # KeyError for an unknown variable
        assert expressions.metrics_of(expr), one
        assert expressions.metrics_of(expr) <= known, one
    for choice in expressions.choices(board):
        assert expressions.metrics_of(choice.metric) <= known, choice


def test_every_metric_of_a_rule_is_one_that_k2x_shows(known: set[str]) -> None:
    for rule in ALERTS:
        assert expressions.metrics_of(rule["expr"]) <= known, rule["alert"]


def test_every_alert_says_who_looks_and_where_to_begin() -> None:
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
        assert rule["for"], rule["alert"]
    assert {path.stem for path in RUNBOOKS.glob("K2x*.md")} == {rule["alert"] for rule in ALERTS}


def test_every_alert_has_unit_tests_that_it_fires_and_that_it_does_not() -> None:
    tests = [test for path in RULE_TESTS for test in yaml.safe_load(path.read_text("utf-8"))["tests"]]
    cases = [(case["alertname"], bool(case["exp_alerts"])) for test in tests for case in test["alert_rule_test"]]
    for rule in ALERTS:
        assert {(rule["alert"], True), (rule["alert"], False)} <= set(cases), rule["alert"]


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("K2x*.md")), ids=lambda path: path.stem)
def test_a_runbook_begins_with_commands_that_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.match(rf"# {path.stem}: .+\n\nType this first:\n\n    \S", text)
    for said in re.findall(r"(?:^    |`)k2x ([^`\n#;|>]+)", text, re.MULTILINE):
        command: click.Command = main
        words = said.split()
        while words and isinstance(command, click.Group):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, said
            command = found
        options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, said
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (path.parent / link).exists(), link


def test_prometheus_reads_every_process_of_the_stack() -> None:
    config = yaml.safe_load((GRAFANA / "prometheus" / "prometheus.yml").read_text("utf-8"))
    targets = {
        one["labels"]["process"]: one["targets"] for one in config["scrape_configs"][0]["static_configs"]
    }  # fmt: skip
    assert targets == {name: [f"{name}:{port}"] for name, port in Ports().metrics.items()}


def test_provisioning_finds_what_compose_mounts() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "k2x.yml").read_text("utf-8"))["providers"][0]
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text("utf-8"))
    mounts = dict(volume.split(":")[:2] for volume in compose["grafana"]["volumes"])
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    for service in ("prometheus", "alertmanager", "grafana"):
        for volume in compose[service]["volumes"]:
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).is_dir(), volume
    home = compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (GRAFANA / "dashboards" / Path(home).name).is_file()


@needs("promtool")
def test_promtool_takes_the_rules_and_their_tests_pass() -> None:
    run("promtool", "check", "rules", "prometheus/rules/k2x.yml")
    assert "FAILED" not in run("promtool", "test", "rules", *(str(path) for path in RULE_TESTS))
    run("promtool", "check", "config", "prometheus/prometheus.yml")


@needs("amtool")
def test_amtool_takes_the_configuration_and_routes_by_organisation_and_severity() -> None:
    config = "alertmanager/alertmanager.yml"
    run("amtool", "check-config", config)

    def receiver(**labels: str) -> list[str]:
        words = [f"{name}={value}" for name, value in labels.items()]
        return run("amtool", "config", "routes", "test", f"--config.file={config}", *words).strip().split(",")

    assert receiver(alertname="K2xDeadLetterOld", org="shop-uk", severity="ticket") == ["bookkeeper-shop-uk"]
    assert receiver(alertname="K2xReconcileNotClean", org="shop-uk", severity="page") == [
        "on-call", "bookkeeper-shop-uk",
    ]  # fmt: skip
    assert receiver(alertname="K2xAuthFailing", org="shop-uk", severity="page") == ["on-call"]
    assert receiver(alertname="K2xDeadLetterOld", org="shop-au", severity="ticket") == ["operators"]
