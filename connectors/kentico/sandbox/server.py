"""The whole sandbox shop in one aiohttp process: REST, control, senders and trading over instances kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from connectors.kentico.sandbox import seed2021
from connectors.kentico.sandbox.catalogue import Catalogue, catalogue
from connectors.kentico.sandbox.control import Control, say_why
from connectors.kentico.sandbox.database import Database
from connectors.kentico.sandbox.errors import UnknownObject
from connectors.kentico.sandbox.render import DateMode
from connectors.kentico.sandbox.rest import RestService
from connectors.kentico.sandbox.sender import Sender, Target
from connectors.kentico.sandbox.shop import Credentials, Shop
from connectors.kentico.sandbox.storeapi import StoreApiService
from connectors.kentico.sandbox.stores import INSTANCES
from connectors.kentico.sandbox.trade import Trade
from connectors.kentico.sandbox.xperience import XperienceService

EXTRA: Mapping[str, Callable[[], Catalogue]] = {seed2021.NAME: seed2021.build}
"""Fixture instances that are only there when asked for."""

DATE_MODES: Mapping[str, DateMode] = {"apac": DateMode.ISO_OFFSET}
"""Which form K13 uses is not settled, so the two instances differ; the rest speak ISO without offset."""


def default_credentials(instance: str) -> Credentials:
    """Known to everybody: only for a shop that listens on the loopback interface."""
    return Credentials(
        f"k2x-{instance}", f"goat-{instance}-password", f"goat-{instance}-webhook-secret", f"goat-{instance}-hint-token"
    )


def system_clock() -> datetime:
    """Now, aware."""
    return datetime.now(UTC)


class Sandbox:
    """`await start()` gives the base URL, `await stop()` ends everything; the state stays in `data_dir`."""

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], datetime] = system_clock,
        credentials: Mapping[str, Credentials] | None = None,
        extra_instances: Sequence[str] = (),
        date_modes: Mapping[str, DateMode] | None = None,
        target: str | None = None,
        full_joins: bool = False,
    ) -> None:
        self.data_dir = data_dir
        self.host, self.port = host, port
        self.clock = clock
        self.credentials = {name: default_credentials(name) for name in (*INSTANCES, *EXTRA)} | dict(credentials or {})
        self.extra_instances = tuple(extra_instances)
        self.date_modes = {**DATE_MODES, **(date_modes or {})}
        self.target = Target(target)
        self.full_joins = full_joins
        self.shops: dict[str, Shop] = {}
        self.senders: dict[str, Sender] = {}
        self.rest = RestService(self.shops)
        self.store_api = StoreApiService(self.shops)
        self.xperience = XperienceService(self.shops)
        self.trade = Trade(self.shops)
        self.control = Control(self.shops, self.senders, self.target, self.rest, self.trade)
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Open the databases, listen, and go on sending what was left. Raises StateMismatch, UnknownObject, OSError."""
        try:
            await self._begin()
        except BaseException:
            await self.stop()
            raise
        return self.base_url

    async def _begin(self) -> None:
        for name in (*INSTANCES, *self.extra_instances):
            self._open(name)
        app = web.Application(middlewares=[say_why], client_max_size=1024**2)
        app.add_routes(self.control.routes())
        app.add_routes(self.rest.routes())
        app.add_routes(self.store_api.routes())
        app.add_routes(self.xperience.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
        await self._runner.setup()
        listening = web.TCPSite(self._runner, self.host, self.port)
        await listening.start()
        self.port = int(self._runner.addresses[0][1])
        for sender in self.senders.values():
            sender.start()
        self.trade.start()

    @property
    def base_url(self) -> str:
        """Where the sandbox listens; REST of an instance is at `<base_url>/<instance>/rest`."""
        return f"http://{self.host}:{self.port}"

    async def stop(self) -> None:
        """Stop trading, sending and listening; close the databases."""
        await self.trade.stop()
        for sender in self.senders.values():
            await sender.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        for shop in self.shops.values():
            shop.database.close()
        self.shops.clear()
        self.senders.clear()

    def orders(self) -> list[dict[str, Any]]:
        """The truth about every order, as `GET /_sandbox/orders` exports it."""
        return self.control.truths()

    def _open(self, name: str) -> None:
        if name not in INSTANCES and name not in EXTRA:
            raise UnknownObject(f"no instance {name!r}; known: {', '.join((*INSTANCES, *EXTRA))}")
        built = catalogue(name) if name in INSTANCES else EXTRA[name]()
        database = Database(self.data_dir / f"{name}.sqlite", built)
        if name == seed2021.NAME:
            seed2021.load(database)
        mode = self.date_modes.get(name, DateMode.ISO)
        shop = Shop(built, database, self.credentials[name], self.clock, mode, self.full_joins)
        sender = Sender(shop, self.target)
        shop.on_event = sender.wake
        self.shops[name], self.senders[name] = shop, sender
