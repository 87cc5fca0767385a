"""`k2x backfill` as a person uses it: a plan before anything is read, a fence against a flood, Ctrl-C and on again."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner

from connectors.kentico.sandbox.history import Past, make
from connectors.kentico.sandbox.server import Sandbox
from k2x import kafka_topics
from k2x.audit.log import read_to_end
from k2x.cli import main
from k2x.shipped import rules_dir
from schemas import topics
from schemas.codec import Codec
from schemas.ids import CommittedIds
from tests.connectors.kentico.rig import until

pytestmark = pytest.mark.kafka

RULES = """
extends: default
organisation: {org}
stores:
  {instance}/GoatUK:
    prefix: UK-
    cutover: 2025-01-01
    accounts: {{default: "200"}}
    shipping_account: "200"
    payments: {{"CreditCard:GBP": "090"}}
    zero_tax: ZERORATEDOUTPUT
  {instance}/GoatDE:
    prefix: DE-
    {fence}
    accounts: {{default: "200"}}
    shipping_account: "200"
    zero_tax: NONE
"""


@dataclass
class Shop:
    """A deployment over the sandbox: names of its own on the shared broker."""

    folder: Path
    instance: str
    org: str
    kafka: str
    batches: int = 10**6  # so many batches' items are answered, the next ones wait

    def fence(self, cutover: str) -> None:
        text = RULES.format(instance=self.instance, org=self.org, fence=f"cutover: {cutover}" if cutover else "")
        (self.folder / "rules.yaml").write_text(text, "utf-8")

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        command = ["-m", "k2x", "backfill", *arguments, "--config", str(self.folder / "k2x.yaml")]
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=pipe, stderr=pipe)

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """In this process, which is quicker; `run` needs one of its own, for its signals."""
        command = ["backfill", *arguments, "--config", str(self.folder / "k2x.yaml")]
        found = await asyncio.to_thread(CliRunner().invoke, main, command)
        return found.exit_code, found.stdout, found.stderr

    def brought(self) -> Counter[int]:
        codec = Codec(CommittedIds())
        found = read_to_end({"bootstrap.servers": self.kafka}, [topics.ORDERS])
        mine = [m for m in found if (m.key() or b"").decode().partition("|")[0] == self.instance]
        return Counter(codec.decode(m.value() or b"")["order"]["OrderID"] for m in mine)


@pytest.fixture
async def shop(kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    server = Sandbox(tmp_path / "shop")
    await server.start()
    past = Past("emea", 560, datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    await make(past, server.shops["emea"])
    name = topic_prefix[-8:]  # nobody else has used it; the rules want it short
    made = Shop(tmp_path, f"i-{name}", f"o-{name}", kafka)
    _hold(server, made)
    (tmp_path / "default.yaml").write_text((rules_dir() / "default.yaml").read_text("utf-8"), "utf-8")
    (tmp_path / "k2x.yaml").write_text(yaml.safe_dump(_deployment(made, server)), "utf-8")
    kafka_topics.apply({"bootstrap.servers": kafka}, [made.org], 2, 1)
    monkeypatch.setenv("SHOP_PASSWORD", server.shops["emea"].credentials.password)
    yield made
    await server.stop()


def _hold(server: Sandbox, shop: Shop) -> None:
    """Answer the items of so many batches as the test lets through."""
    genuine = server.rest._answer

    async def held(request: web.Request, of: Any) -> web.Response:
        if "orderitem" in request.path:
            await until(lambda: shop.batches > 0, 120, every=0.05)
            shop.batches -= 1
        return await genuine(request, of)

    server.rest._answer = held  # type: ignore[method-assign]


def _deployment(shop: Shop, server: Sandbox) -> dict[str, Any]:
    rest = {"url": f"{server.base_url}/emea/rest", "user": "k2x-emea", "password_env": "SHOP_PASSWORD"}
    return {
        "data_dir": str(shop.folder / "data"),
        "kafka": {"bootstrap": shop.kafka},
        "organisations": {shop.org: {"client_id": "0" * 32, "client_secret_env": "NONE", "rules": "rules.yaml"}},
        "instances": {shop.instance: {"time_zone": "Europe/London", "rest": rest}},
        "stores": {f"{shop.instance}/{site}": {"organisation": shop.org} for site in ("GoatUK", "GoatDE")},
    }


async def test_plan_fence_interruption_and_the_rest(shop: Shop) -> None:
    days = ("--instance", shop.instance, "--since", "2024-01-01")
    shop.fence("")
    code, out, err = await shop("plan", *days)
    assert code == 0, err
    assert f"{shop.instance}: 560 orders since 2024-01-01" in out
    assert "before the cut-over on 2025-01-01 stay out" in out
    assert "no cut-over, every paid one is posted" in out
    assert "requests (0.0" in out
    assert "at 10 a second" in out
    assert f"calls to {shop.org}" in out

    code, out, err = await shop("run", *days, "--outstanding", "0")
    assert code == 1
    assert f"{shop.instance}/GoatDE has no cut-over" in err
    assert "--yes" in err
    assert shop.brought() == Counter()

    shop.fence("2025-06-01")
    shop.batches = 2
    process = await shop.start("run", *days, "--outstanding", "0", "--rate", "0", "--json")
    await until(lambda: sum(shop.brought().values()) >= 200 or process.returncode is not None, 120, every=0.3)
    process.send_signal(signal.SIGINT)
    reading = asyncio.create_task(process.communicate())
    while not reading.done():
        await asyncio.wait([reading], timeout=1.0)
        shop.batches += 1
    printed, said = await reading
    stopped = json.loads(printed)
    assert (process.returncode, stopped["finished_at"]) == (1, None), said
    assert sum(shop.brought().values()) == stopped["delivered"] < 560
    assert b"the same command goes on" in said

    shop.batches = 10**6
    code, out, err = await shop("ls")
    assert f"{shop.instance} since 2024-01-01: {stopped['delivered']} of 560 orders, not finished" in out
    process = await shop.start("run", *days, "--outstanding", "0", "--rate", "0", "--json")
    printed, said = await process.communicate()
    done = json.loads(printed)
    assert process.returncode == 0, said
    assert (done["delivered"], done["refused"], done["finished_at"] is not None) == (560, 0, True)
    assert sorted(shop.brought().elements()) == list(range(1001, 1561))


async def test_what_does_not_fit_is_said_in_one_sentence(shop: Shop) -> None:
    shop.fence("2025-06-01")
    code, _, err = await shop("plan", "--instance", "nowhere", "--since", "2024-01-01")
    assert (code, "no instance 'nowhere'" in err) == (1, True)
    code, _, err = await shop("plan", "--instance", shop.instance, "--since", "2024-01-01", "--until", "2023-01-01")
    assert (code, "--until must be after --since" in err) == (2, True)
