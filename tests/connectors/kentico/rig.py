"""Instances over the sandbox shop, processes of ours inside a test, and waiting for what they do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from prometheus_client import REGISTRY
from pydantic import SecretStr

from connectors.kentico.sandbox.server import Sandbox
from connectors.kentico.settings import InstanceSettings, RestSettings
from tests.connectors.kentico.conftest import Broker

COLUMNS = frozenset({"OrderXeroInvoiceID", "OrderXeroStatus"})


def instance(sandbox: Sandbox, name: str, page: int = 1000, **changes: Any) -> InstanceSettings:
    shop = sandbox.shops[name]
    rest = RestSettings(
        url=f"{sandbox.base_url}/{name}/rest",
        user=shop.credentials.user,
        password=SecretStr(shop.credentials.password),
        attempts=2,
        backoff_s=0.01,
        timeout_s=10,
        page=page,
    )
    return InstanceSettings(
        name=name, time_zone=shop.catalogue.zone.key, rest=rest, writeback_columns=COLUMNS, **changes
    )


@contextlib.asynccontextmanager
async def running(start: Callable[[asyncio.Event], Any]) -> AsyncIterator[None]:
    """A process of ours while the block runs; its failure is the test's."""
    stop = asyncio.Event()
    task = asyncio.create_task(start(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def values(broker: Broker, topic: str, count: int, within: float = 30.0) -> list[dict[str, Any]]:
    return await asyncio.to_thread(broker.values, topic, count, within)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def until(reached: Callable[[], bool], within: float = 20.0, every: float = 0.02) -> None:
    """Look again and again, as no event of the process says it."""
    deadline = asyncio.get_running_loop().time() + within
    while not reached():
        assert asyncio.get_running_loop().time() < deadline, "not reached in time"
        await asyncio.sleep(every)
