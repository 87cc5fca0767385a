"""Reads objects of one instance, many at once: every id is answered, or RestError says that the service failed.

A batch that fails though the service answers is halved until the object that spoils it stands alone; that one's answer
is the error, and the others are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from connectors.kentico import metrics
from connectors.kentico.batch import Read, read_customers, read_orders, read_skus
from connectors.kentico.errors import RestUnavailable, RestUnreadable
from connectors.kentico.events import CUSTOMER, ORDER, SKU
from connectors.kentico.lookups import Lookups
from connectors.kentico.rest import TableRest
from connectors.kentico.settings import InstanceSettings

log = structlog.get_logger()


class Reads(Protocol):
    """Whatever reads whole objects."""

    async def read(self, object_type: str, ids: Sequence[int]) -> dict[int, Read | Exception]:
        """Each id with what was found; an id that alone spoils the answer, with its error. An outage is raised."""

    async def site(self, site_id: int) -> str | None:
        """The name of a site, for an order that can be read no more."""


# What the rows come from: where each of these answers, it is an id that spoils the batch.
_TYPES: Mapping[str, tuple[str, ...]] = {
    ORDER: (
        "ecommerce.order",
        "ecommerce.orderitem",
        "ecommerce.orderaddress",
        "ecommerce.orderstatususer",
        "ecommerce.customer",
        "ecommerce.sku",
    ),
    CUSTOMER: ("ecommerce.customer",),
    SKU: ("ecommerce.sku",),
}


class Reading:
    """`await read(ORDER, ids)` for orders, customers or SKUs of one Kentico 13 instance. `types`: what it can read."""

    types: Mapping[str, tuple[str, ...]] = _TYPES

    def __init__(self, rest: TableRest, lookups: Lookups, instance: InstanceSettings) -> None:
        self._rest = rest
        self._lookups = lookups
        self._instance = instance

    async def read(self, object_type: str, ids: Sequence[int]) -> dict[int, Read | Exception]:
        """Each id with what was found; an id that alone spoils the answer, with its error. An outage is raised."""
        await self._lookups.tables((), ())  # a lookup table that cannot be read is no fault of the ids
        before = self._rest.calls - self._lookups.calls
        with metrics.READER_BATCH_SECONDS.labels(self._instance.name).time():
            reads = await self._read_or_halve(object_type, ids)
        if object_type == ORDER:
            requests = self._rest.calls - self._lookups.calls - before
            metrics.READER_BATCH.labels(self._instance.name).observe(len(ids))
            metrics.READER_BATCH_REQUESTS.labels(self._instance.name).observe(requests)
            log.info("reader.batch", instance=self._instance.name, orders=len(ids), requests=requests)
        return reads

    async def site(self, site_id: int) -> str | None:
        """The name of a site, for an order that can be read no more."""
        row = (await self._lookups.tables((), ())).sites.get(site_id)
        return None if row is None else str(row["SiteName"])

    async def _read_or_halve(self, object_type: str, ids: Sequence[int]) -> dict[int, Read | Exception]:
        try:
            return dict(await self._read_once(object_type, ids))
        except (RestUnreadable, RestUnavailable, KeyError, TypeError, ValueError) as error:
            spoiled = not isinstance(error, RestUnavailable) or error.status == 500
            if not spoiled or not await self._rest.probe(self.types[object_type]):
                raise
            if len(ids) == 1:
                return {ids[0]: error}
            log.warning("reader.halving", instance=self._instance.name, objects=len(ids), problem=str(error))
            half = len(ids) // 2
            first = await self._read_or_halve(object_type, ids[:half])
            return first | await self._read_or_halve(object_type, ids[half:])

    async def _read_once(self, object_type: str, ids: Sequence[int]) -> dict[int, Read]:
        if object_type == ORDER:
            return await read_orders(self._rest, self._lookups, self._instance, ids)
        if object_type == CUSTOMER:
            return await read_customers(self._rest, self._lookups, ids)
        return await read_skus(self._rest, self._lookups, ids)


@dataclass(frozen=True)
class TableSource:
    """An instance's tables, its lookups, and what reads whole objects from them."""

    rest: TableRest
    lookups: Lookups
    reading: Reading
