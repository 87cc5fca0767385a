"""`make observe`: the demo under a real Prometheus and Alertmanager, with faults planted.

Executes every expression of every dashboard and rule with its variables resolved, and fails on an error, an unknown
metric, or an empty result where the demo makes data. Then waits until the alert of each planted fault has reached a
webhook, and until people were told directly. Every process's metrics go through `promtool check metrics`.

make observe ARGS="--pictures docs/pictures"     also draws the panels (needs matplotlib; labelled as not Grafana's)

Exit code 0: all of it held; 1: what did not, by name.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from connectors.kentico.sandbox.scenarios import DEFAULT_MIX, HELD, MUST_FAIL
from k2x.demo.observe import Observatory
from k2x.demo.world import PROCESSES, World, drop
from k2x.errors import K2xError
from k2x.logs import configure
from tests.observe import expressions
from tests.observe.ear import Ear
from tests.observe.faster import faster
from tests.observe.prom import Fault, Prom

_ORDERS, _RATE = 400, 3.0  # more than the check takes: it ends the shop, not the shop the check
_REFUNDS = 0.2  # of the orders: some in each store within the first minute
_PATIENCE_S = 150.0  # a bound, not a measure: on a machine of its own all is there within 60 s
_TOLD_EVERY_S = 5.0
_HOOK = "OBSERVE_DIRECT_URL"
_LATENCY = "k2x_end_to_end_seconds_bucket"
# What is planted, and the alert that must come of it: (alert, whom it concerns).
EXPECTED = {
    ("K2xDeadLetterShare", "uk"): "orders that must fail",
    ("K2xDeadLetterOld", "uk"): "orders that must fail, and nobody looks",
    ("K2xAuthFailing", "de"): "Xero answers 401 for de",
    ("K2xPaused", "de"): "Xero answers 401 for de",
    ("K2xDayBudgetLow", "au"): "Xero says that few calls of the day are left for au",
    ("K2xReconcileNotClean", "uk"): "an invoice of uk is voided by hand, then `k2x reconcile`",
    ("K2xProcessDown", "reader"): "the reader is stopped",
    ("K2xStalled", "k2x-reader"): "the reader is stopped while hints come",
}
LAST = {("K2xLagAbsent", ""): "the watcher is stopped", ("K2xProcessDown", "watch"): "the watcher is stopped"}


class ObservedWorld(World):
    """The demo's world with quick alerts, and the watcher telling the ear."""

    def __init__(self, directory: Path, ear: Ear) -> None:
        # `confirm` has nobody to tell, but shows its metrics: every one that a page uses has to be known.
        super().__init__(directory, (*PROCESSES, "confirm"), observe=True)
        self.ear = ear
        self.ready_s = 180.0
        self.observatory = Observatory(directory / "observe", scrape_s=1, notify=f"{ear.url}/alerts", rules=faster)

    def configuration(self, bootstrap: str) -> dict[str, Any]:
        notify = {"webhook_url_env": _HOOK, "every_s": _TOLD_EVERY_S}
        return super().configuration(bootstrap) | {
            "watch": {"every_s": 1.0, "notify": notify},
            "tracing": {"otlp_endpoint": self.ear.url},
        }


async def check(directory: Path, pictures: Path | None) -> list[str]:
    """The whole course; what did not hold."""
    say, faults = _Saying(), []
    ear = Ear()
    ear.start()
    os.environ[_HOOK] = f"{ear.url}/direct"
    drop(directory)
    world = ObservedWorld(directory, ear)
    try:
        await world.start(say)
        prom = Prom(world.url("prometheus"))
        await _trade(world)
        say("orders come; the first reconcile")
        looking = asyncio.create_task(_expressions(prom, say))
        await _until(lambda: bool(prom.query('k2x_business_documents_total{kind="order", org="uk"} > 3')), 60)
        await _reconcile(world)
        say("faults are planted")
        await _plant(world)
        await _reconcile(world)
        faults += await looking
        faults += await asyncio.to_thread(_lint, world)
        await world.supervisor.retire("reader")
        if pictures is not None:
            from tests.observe.pictures import draw

            say("pictures")
            await asyncio.to_thread(draw, prom, pictures)
        faults += await _alerts(ear, EXPECTED, say)
        faults += _direct(ear)
        faults += _traces(ear, await asyncio.to_thread(prom.exemplars, _LATENCY, time.time() - 300, time.time()))
        await world.supervisor.retire("watch")
        faults += await _alerts(ear, LAST, say)
        faults += _rules(prom)
    finally:
        say("stopping")
        await world.stop()
        ear.stop()
    return faults


async def _trade(world: World) -> None:
    await world.post("kentico", "/_sandbox/target", {"url": world.url("receiver")})
    # A quarter of the orders cannot be posted: a share over a window of seconds must not be left to chance.
    often = 2 + sum(DEFAULT_MIX.values()) // (3 * len(MUST_FAIL))
    mix = dict(DEFAULT_MIX) | dict.fromkeys((*MUST_FAIL, HELD), often)
    order = {"orders": _ORDERS, "rate": _RATE, "seed": "7", "must_fail": True, "mix": mix, "refunds": _REFUNDS}
    await world.post("kentico", "/_sandbox/trade", order)


async def _plant(world: World) -> None:
    fault = {"kind": "401", "org": "de", "path": "api.xro", "times": 0}
    await world.post("xero", "/_sandbox/faults", {"faults": [fault]})
    await world.post("xero", "/_sandbox/settings", {"org": "au", "limits": {"day": 300}})
    books = await world.get("xero", "/_sandbox/books/uk")
    invoice = next(one for one in books["invoices"] if one["Status"] == "PAID")
    for payment in [p for p in books["payments"] if p["Invoice"]["InvoiceID"] == invoice["InvoiceID"]]:
        if payment["Status"] == "AUTHORISED":
            await _edit(world, {"org": "uk", "action": "delete_payment", "id": payment["PaymentID"]})
    await _edit(world, {"org": "uk", "action": "void", "number": invoice["InvoiceNumber"]})


async def _edit(world: World, order: dict[str, Any]) -> None:
    await world.post("xero", "/_sandbox/edit", order)


async def _reconcile(world: World) -> None:
    """As the nightly timer runs it; code 1 is a finding, and no failure of the run."""
    config = str(world.directory / "k2x.yaml")
    command = [sys.executable, "-m", "k2x", "reconcile", "--config", config, "--grace", "20", "--json"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode not in (0, 1, 3):  # 3: de is kept out, the others are done
        raise K2xError(f"k2x reconcile ended with {done.returncode}: {done.stderr[-500:]}")


async def _expressions(prom: Prom, say: Callable[[str], None]) -> list[str]:
    """Every expression of every dashboard has to hold at one look at least, within patience: some things come early in
    a shop's day, and some late."""
    ends = time.monotonic() + _PATIENCE_S
    boards = expressions.dashboards().values()
    waiting = {(board["uid"], one) for board in boards for one in expressions.of_dashboard(board)}
    count = len(waiting)
    while True:
        names = await asyncio.to_thread(prom.names)
        faults: list[Fault] = []
        for board in boards:
            values = await asyncio.to_thread(prom.values, expressions.choices(board))
            faults += [Fault(board["title"], name, "the variable has no values") for name, v in values.items() if not v]
            for uid, one in [each for each in waiting if each[0] == board["uid"]]:
                fault = await asyncio.to_thread(prom.judge, one, values, names)
                if fault is None:
                    waiting.discard((uid, one))
                else:
                    faults.append(fault)
        for rule in expressions.alerts():
            unknown = expressions.metrics_of(rule["expr"]) - names
            faults += [Fault(rule["alert"], rule["expr"], f"nobody shows {sorted(unknown)}")] if unknown else []
        if not faults or time.monotonic() > ends:
            say(f"{count} expressions of dashboards: {len(faults)} not as they should be")
            return [str(fault) for fault in faults]
        await asyncio.sleep(2.0)


def _lint(world: World) -> list[str]:
    """Every process's metrics through promtool; what is said of the client library's own is not ours."""
    faults = []
    for name in world.processes:
        shown = httpx.get(f"http://127.0.0.1:{world.ports[f'{name}-metrics']}/metrics", timeout=10).content
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=shown, capture_output=True, timeout=30, check=False
        )
        faults += [
            f"{name}: {line}"
            for line in done.stderr.decode().splitlines()
            if not line.startswith(("python_", "process_"))
        ]
    return faults


async def _alerts(ear: Ear, expected: dict[tuple[str, str], str], say: Callable[[str], None]) -> list[str]:
    ends = time.monotonic() + _PATIENCE_S
    while missing := expected.keys() - ear.fired():
        if time.monotonic() > ends:
            break
        await asyncio.sleep(1.0)
    say(f"{len(expected) - len(missing)} of {len(expected)} expected alerts have reached the webhook")
    texts = [
        f"{name} of {whom or 'nobody'} did not reach the webhook ({expected[name, whom]})" for name, whom in missing
    ]
    for alert in ear.alerts:
        runbook = alert["annotations"].get("runbook_url", "")
        if not (Path(__file__).parents[2] / runbook).is_file():
            texts.append(f"{alert['labels']['alertname']}: its runbook {runbook!r} is not there")
    return texts


def _direct(ear: Ear) -> list[str]:
    """People without Prometheus were told of letters and of the stop, and not too often."""
    said = list(ear.direct)
    kinds = {(body["org"], body["class"]) for _, body in said}
    wanted = {("uk", "mapping"): "dead letters of uk", ("de", "waiting:xero"): "the pause of de"}
    faults = [f"nobody was told directly of {what}" for key, what in wanted.items() if key not in kinds]
    last: dict[tuple[str, str], float] = {}
    for at, body in said:
        key = (body["org"], body["class"])
        if key in last and at - last[key] < _TOLD_EVERY_S - 1:
            faults.append(f"{key} was told twice within {at - last[key]:.1f} s")
        last[key] = at
    return faults


def _traces(ear: Ear, exemplars: list[dict[str, Any]]) -> list[str]:
    """One trace leads from the webhook to PAID and to the call that carried it, and a slow order's bucket names it."""
    names: dict[str, set[str]] = {}
    for span in list(ear.spans):
        for trace in (span["traceId"], *(link["traceId"] for link in span["links"])):
            names.setdefault(trace, set()).add(span["name"])
    whole = {trace for trace, found in names.items() if {"receive", "transform", "order", "xero invoices"} <= found}
    named = {one["labels"].get("trace_id") for series in exemplars for one in series["exemplars"]}
    faults = [] if whole else [f"no trace from the webhook to Xero's call: {sorted(set().union(*names.values()))}"]
    return faults + ([] if named & set(names) else ["no exemplar of the latency names a trace"])


def _rules(prom: Prom) -> list[str]:
    """Prometheus evaluates every rule without an error."""
    rules = prom.rules()
    faults = [f"{rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"]
    wanted = {rule["alert"] for rule in expressions.alerts()}
    faults += [f"{name} is not evaluated" for name in wanted - {rule["name"] for rule in rules}]
    return faults


async def _until(there: Callable[[], bool], patience_s: float) -> None:
    ends = time.monotonic() + patience_s
    while not await asyncio.to_thread(there):
        if time.monotonic() > ends:
            raise K2xError(f"nothing came within {patience_s:.0f} s")
        await asyncio.sleep(1.0)


class _Saying:
    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self._begun:5.1f} s] {text}", file=sys.stderr, flush=True)


def main() -> int:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="make observe", description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, default=Path(".k2x/observe"), help="dropped first; kept after a fault")
    parser.add_argument("--pictures", type=Path, help="draw every panel into this folder")
    given = parser.parse_args()
    configure(sys.stderr, level="error")
    if shutil.which("promtool") is None:
        print("make observe needs Debian's packages prometheus and prometheus-alertmanager", file=sys.stderr)
        return 2
    directory = given.data_dir.resolve()
    try:
        faults = asyncio.run(check(directory, given.pictures))
    except K2xError as error:
        print(f"observe: {error}; see {directory}/logs", file=sys.stderr)
        return 1
    for fault in faults:
        print(f"NOT AS IT SHOULD BE  {fault}")
    if not faults:
        drop(directory)
        print("every expression has data, every planted fault has raised its alert, every process's metrics are clean")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
