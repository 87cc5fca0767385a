"""Which of its services an instance is read by: tables by REST, of either Kentico, or whole orders by StoreApi."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.kentico.aggregate import Source as Name
from connectors.kentico.events import ORDER
from connectors.kentico.http import JsonService
from connectors.kentico.lookups import Lookups
from connectors.kentico.reading import Reading, Reads, TableSource
from connectors.kentico.rest import KenticoRest, TableRest
from connectors.kentico.settings import InstanceSettings, RestSettings
from connectors.kentico.storeapi import StoreApi, StoreApiReading
from connectors.kentico.xbyk_reading import XbykLookups, XbykReading
from connectors.kentico.xbyk_rest import XbykRest


@dataclass(frozen=True)
class Source:
    """What reads an instance's objects; `readable` are the types it can."""

    reading: Reads
    readable: frozenset[str]
    clients: tuple[JsonService, ...]
    name: Name = "REST"

    async def close(self) -> None:
        for client in self.clients:
            await client.close()


def tables_of(instance: InstanceSettings, settings: RestSettings) -> TableRest:
    """The client of its REST service."""
    if instance.dialect == "XBYK":
        return XbykRest(instance.name, settings)
    return KenticoRest(instance.name, settings)


def table_source(instance: InstanceSettings, settings: RestSettings, refresh_s: float) -> TableSource:
    """Its REST service, with lookups that are read again after `refresh_s`."""
    rest = tables_of(instance, settings)
    if instance.dialect == "XBYK":
        xbyk = XbykLookups(rest, refresh_s)
        return TableSource(rest, xbyk, XbykReading(rest, xbyk, instance))
    lookups = Lookups(rest, refresh_s)
    return TableSource(rest, lookups, Reading(rest, lookups, instance))


def source_of(instance: InstanceSettings, refresh_s: float) -> Source | None:
    """How hints of this instance are followed; None: not at all."""
    tables = None if instance.rest is None else table_source(instance, instance.rest, refresh_s)
    if instance.store_api is None:
        return None if tables is None else Source(tables.reading, frozenset(tables.reading.types), (tables.rest,))
    api = StoreApi(instance.name, instance.store_api)
    if tables is None:
        return Source(StoreApiReading(api, instance), frozenset({ORDER}), (api,), "STOREAPI")
    types = frozenset(tables.reading.types)
    return Source(StoreApiReading(api, instance, tables), types, (api, tables.rest), "STOREAPI")
