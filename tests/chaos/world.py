"""The deployment that chaos beats: two sinks, two streams workers, one each of the others, a busy Xero with faults.

Two stores post order by order and issue edited orders anew; the third makes one invoice a day, and its day closes
during the run. A card gateway pays out in each organisation.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml

from connectors.kentico.sandbox.scenarios import DEFAULT_MIX
from k2x.demo.world import World
from k2x.errors import K2xError
from tests.chaos.books import DAILY, STORES

SINKS = ("sink-1", "sink-2")
WORKERS = ("streams-1", "streams-2")
NAMES = ("receiver", "reader", *WORKERS, *SINKS, "writeback")
# Xero as on a bad day: of a hundred calls, nine go wrong. "After" kinds have committed before the answer is lost.
# 404_html is left out: two in a row for one document mean to k2x, rightly, that its contact is gone.
FAULT_SHARES: Mapping[str, float] = {
    "drop_before": 0.01,
    "drop_after": 0.015,
    "500_before": 0.01,
    "500_after": 0.015,
    "503": 0.01,
    "html_200_after": 0.01,
    "truncate_after": 0.01,
    "stall_before": 0.005,
    "stall_after": 0.005,
}
MIX: Mapping[str, int] = {**DEFAULT_MIX, "edited_items": 6}  # one in twenty is edited, so that its money is other
_REFUNDS = 0.08
_LATENCY = {"base_ms": 250, "per_element_ms": 4}
# Bounds, not measures: the machine may have five times as much to do as it can.
_PATIENCE_S = 120.0
_START_S = 300.0
_RECONCILE_S = 900.0
_LATE_S = 12 * 3600.0  # the shops' clock is slow by so much: their day has ended for k2x, and goes on for them
_OPEN_S = 45.0  # after the start: the day closes at the next whole minute, with orders in it
_QUIET_S = 4.0  # the pauses between an open day's orders are shorter, all but a few
_CURRENCY = {"uk": "GBP", "de": "EUR", "au": "AUD"}
_FEES = {"uk": "NONE", "de": "NONE", "au": "BASEXCLUDED"}
_REMEMBERED = 2  # deaths: with the next one three, and at five in a minute the supervisor gives a process up


@dataclass(frozen=True)
class Tempo:
    """Production's waits, shortened so that a round ends soon. In seconds; each is a setting of k2x.yaml."""

    session: float = 4.0  # a dead process keeps its partitions so long
    lapse: float = 2.0
    deadline: float = 4.0
    transaction: float = 20.0
    jitter: float = 8.0  # by which calls may be late on a machine whose processes are being killed and started

    @property
    def freeze(self) -> float:
        """Longer than every wait of a frozen process' successor: by then it has taken over and posted."""
        return self.session + self.lapse + self.deadline + 10.0


class ChaosWorld(World):
    """The demo's world, larger, with short waits, crash points and faults; and what can be done to it."""

    def __init__(self, directory: Path, tempo: Tempo, seed: int) -> None:
        super().__init__(directory, NAMES)
        self.ready_s = _START_S
        self.tempo = tempo
        self.seed = seed
        self.order_file = directory / "crash-order"

    def configuration(self, bootstrap: str) -> dict[str, Any]:
        written, tempo = super().configuration(bootstrap), self.tempo
        written["kafka"]["session_timeout_s"] = tempo.session
        written["xero"]["budget"] = {"jitter_s": tempo.jitter}
        written["xero"]["sink"] = {
            "session_timeout_s": tempo.session,
            "intention_lapse_s": tempo.lapse,
            "deadline_s": tempo.deadline,
            "transaction_timeout_s": tempo.transaction,
            "summary_quiet_s": _QUIET_S,
        }
        for org, given in written["organisations"].items():
            given["rules"] = str(self._rules(org, Path(given["rules"])))
        return written

    def _rules(self, org: str, shipped: Path) -> Path:
        """The demo's rules, with all that chaos trades besides."""
        rules = yaml.safe_load(shipped.read_text("utf-8"))
        shutil.copy(shipped.with_name("default.yaml"), self.directory)  # which they extend
        if org == "au":
            rules["stores"]["apac/GoatAU"] |= closing(datetime.now(UTC))
        else:
            rules["defaults"]["on_other_money"] = "reissue"
        fee = {"account": "404", "tax_type": _FEES[org]}
        booking = {"clearing_account": "092", "bank_account": "091", "contact": "Stripe", "fee": fee}
        rules["settlements"] = {f"stripe:{_CURRENCY[org]}": booking}
        path = self.directory / f"{org}.yaml"
        path.write_text(yaml.safe_dump(rules, sort_keys=False, allow_unicode=True), "utf-8")
        return path

    def options(self, name: str) -> list[str]:
        return [*super().options(name), *(["--late", str(_LATE_S)] if name == "kentico" else [])]

    def environment(self, name: str) -> dict[str, str]:
        watched = {"K2X_CRASH_FILE": str(self.order_file)} if name.startswith("sink") else {}
        return super().environment(name) | watched

    # -- Xero and the shops -------------------------------------------------------------------------------------

    async def trouble_xero(self) -> None:
        """Latency, windows that roll (no limit is forgiven at the turn of a minute), and faults."""
        await self.post("xero", "/_sandbox/settings", {"latency": _LATENCY, "rolling": True})
        await self.plan_faults()

    async def plan_faults(self) -> None:
        """The sandbox keeps its books and settings over a restart, but not its faults."""
        stall = self.tempo.deadline + 0.5
        faults = [
            {"kind": kind, "path": "/api.xro/", "times": 0, "probability": share, "seconds": stall}
            for kind, share in FAULT_SHARES.items()
        ]
        token = {"kind": "503", "path": "/connect/token", "times": 0, "probability": 0.1}
        await self.post("xero", "/_sandbox/faults", {"seed": self.seed, "faults": [*faults, token]})

    async def stall_next(self, resource: str, seconds: float) -> None:
        """Let Xero hold the next write of a resource back for so long; returns when one is held."""
        rule = {"kind": "stall_before", "method": "PUT", "path": resource, "times": 1, "seconds": seconds}
        place = len((await self.post("xero", "/_sandbox/faults", rule))["faults"]) - 1
        for _ in range(int(_PATIENCE_S * 10)):
            if (await self.get("xero", "/_sandbox/faults"))["faults"][place]["fired"]:
                return
            await asyncio.sleep(0.1)
        raise TimeoutError(f"no PUT {resource} came to Xero within {_PATIENCE_S:.0f} s")

    async def open_shops(self, rate: float) -> None:
        """Orders without end, until `close_shops`."""
        await self.post("kentico", "/_sandbox/target", {"url": self.url("receiver")})
        wanted = {
            "orders": 0, "rate": rate, "seed": f"chaos {self.seed}", "must_fail": True, "mix": MIX, "refunds": _REFUNDS,
            "edit_after": 6.0, "hold_edits": sorted(DAILY),
        }  # fmt: skip
        await self.post("kentico", "/_sandbox/trade", wanted)

    async def pay_out(self) -> int:
        """The card gateway pays out what is new, in every store; how many settlements came of it."""
        paid = 0
        for store, (org, _) in STORES.items():
            instance, _, site = store.partition("/")
            wanted = {"instance": instance, "site": site, "option": "CreditCard", "currency": _CURRENCY[org]}
            paid += (await self.post("kentico", "/_sandbox/payouts", wanted))["payout"] is not None
        return paid

    async def reconcile(self) -> tuple[int, dict[str, Any]]:
        """`k2x reconcile` as a person would run it, on a Xero that has its good days again: exit code and JSON."""
        async with httpx.AsyncClient(timeout=60.0) as client:
            (await client.delete(self.url("xero") + "/_sandbox/faults")).raise_for_status()
        command = ["-m", "k2x", "reconcile", "--json", "--grace", "0", "--wait"]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(*command, "--config", str(self.directory / "k2x.yaml")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), _RECONCILE_S)
        except TimeoutError:
            process.kill()
            raise
        if not out.strip():
            raise K2xError(f"k2x reconcile ended with code {process.returncode}: {err.decode()[-2000:]}")
        found: dict[str, Any] = json.loads(out)
        return process.returncode or 0, found

    async def close_shops(self) -> None:
        async with httpx.AsyncClient(timeout=60.0) as client:
            (await client.delete(self.url("kentico") + "/_sandbox/trade")).raise_for_status()

    async def placed(self) -> int:
        """Orders that the shops have placed so far."""
        progress = await self.get("kentico", "/_sandbox/trade")
        if progress["error"]:
            raise RuntimeError(f"the shop stopped trading: {progress['error']}")
        return int(progress["placed"])

    # -- blows --------------------------------------------------------------------------------------------------

    def pid(self, name: str) -> int:
        """Of a process that lives; 0 for one that has died and is not started again yet."""
        process = self.supervisor.children[name].process
        return process.pid if process is not None and process.returncode is None else 0

    async def alive(self, name: str) -> int:
        """Its pid, as soon as it has one."""
        await until(lambda: bool(self.pid(name)), f"{name} is started")
        return self.pid(name)

    async def kill(self, name: str) -> None:
        """kill -9; the supervisor starts it again, however often it is we who kill it."""
        pid = await self.alive(name)
        self.forgive(name)
        child = self.supervisor.children[name]
        assert child.process is not None
        os.kill(pid, signal.SIGKILL)
        await child.process.wait()

    def forgive(self, name: str) -> None:
        """Deaths that we cause are no reason to give a process up."""
        del self.supervisor.children[name].deaths[:-_REMEMBERED]

    async def kill_broker(self) -> None:
        """kill -9 of the Java process; then the same broker again, on the same port and data."""
        assert self.broker is not None
        before = self.broker.bootstrap
        (java,) = Path(f"/proc/{self.broker.pid}/task/{self.broker.pid}/children").read_text("utf-8").split()
        os.kill(int(java), signal.SIGKILL)
        await asyncio.to_thread(self.broker.stop)
        after = await asyncio.to_thread(self.broker.start)
        assert after == before, f"the broker moved from {before} to {after}"

    async def kill_xero(self) -> None:
        """kill -9 of the sandbox, and its faults again once it is back."""
        before = self.pid("xero")
        await self.kill("xero")
        await until(lambda: self.pid("xero") not in (0, before), "the Xero sandbox is started")
        await self._answers(self.url("xero") + "/books", "xero")
        await self.plan_faults()

    async def crash(self, order: str) -> str:
        """Give the sinks an order (see connectors/xero/crash.py); the name of the one that has carried it out."""
        before = {name: await self.alive(name) for name in self.sinks()}
        for name in before:
            self.forgive(name)
        draft = self.order_file.with_suffix(".draft")
        draft.write_text(order, "utf-8")
        draft.rename(self.order_file)

        def fallen() -> str:
            return next((name for name, pid in before.items() if self.pid(name) != pid or frozen(pid)), "")

        await until(lambda: not self.order_file.exists() and bool(fallen()), f"a sink passes {order}")
        return fallen()

    def sinks(self) -> list[str]:
        return [name for name in self.supervisor.children if name.startswith("sink")]

    async def busiest_sink(self) -> str:
        """The sink that holds the most organisations, by its own metrics."""
        held: dict[str, int] = {}
        for name in SINKS:
            held[name] = await self._lanes(name)
        return max(held, key=lambda name: held[name])

    async def _lanes(self, name: str) -> int:
        try:
            async with httpx.AsyncClient(timeout=5.0) as client:
                text = (await client.get(f"http://127.0.0.1:{self.ports[f'{name}-metrics']}/metrics")).text
        except httpx.HTTPError:
            return 0
        running = (line for line in text.splitlines() if line.startswith("k2x_sink_lane_state") and "running" in line)
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in running)


def closing(now: datetime) -> dict[str, Any]:
    """Rules of a store whose day ends while the run goes on. Its zone is the one where midnight has just been; the
    shops' clock is slow, so they sell on the day before, which closes with the grace that is left."""
    midnight = now.replace(minute=0, second=0, microsecond=0)
    east = -midnight.hour if midnight.hour <= 12 else 24 - midnight.hour
    grace = int((now - midnight).total_seconds() + _OPEN_S) // 60 + 1
    zone = f"Etc/GMT{-east:+d}" if east else "Etc/UTC"  # POSIX: Etc/GMT+5 lies west
    posting = {"mode": "summary", "from": date(2020, 1, 1), "grace_minutes": grace}
    return {"time_zone": zone, "posting": posting}


def frozen(pid: int) -> bool:
    """Whether a process is stopped by SIGSTOP."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0] == "T"
    except OSError:
        return False


async def until(condition: Any, what: str, seconds: float = _PATIENCE_S) -> None:
    """Wait for a condition; TimeoutError names what did not happen."""
    ends = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > ends:
            raise TimeoutError(f"it did not happen within {seconds:.0f} s that {what}")
        await asyncio.sleep(0.05)


def dice(seed: int, round_name: str) -> random.Random:
    """Each round has its own, so that rounds can be run alone and still do the same."""
    return random.Random(f"{seed} {round_name}")
