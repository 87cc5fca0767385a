"""Kentico's lookup tables in memory: read whole and refreshed; SKUs by need, in batches, and kept a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from connectors.kentico.errors import RestDenied, RestNotFound, RestUnreadable
from connectors.kentico.join import Row, Tables, by_identity, rates
from connectors.kentico.rest import TableRest

log = structlog.get_logger()

# A table that is missing from this mapping's "needed" ones only costs its columns: the tables of taxes, for instance,
# may be left out of the REST user's allowed types by a shop that sends TaxRate itself.
_NEEDED = {
    "sites": ("cms.site", "SiteID"),
    "statuses": ("ecommerce.orderstatus", "StatusID"),
    "currencies": ("ecommerce.currency", "CurrencyID"),
    "payment_options": ("ecommerce.paymentoption", "PaymentOptionID"),
    "shipping_options": ("ecommerce.shippingoption", "ShippingOptionID"),
    "countries": ("cms.country", "CountryID"),
}
_OPTIONAL = {
    "states": ("cms.state", "StateID"),
    "departments": ("ecommerce.department", "DepartmentID"),
    "tax_classes": ("ecommerce.taxclass", "TaxClassID"),
}
_SKU_COLUMNS = ("SKUID", "SKUNumber", "SKUDepartmentID", "SKUTaxClassID")
# A catalogue up to this size is read at the start (a few requests); of a larger one only what orders name.
_PRELOAD_SKUS = 5_000
_SKU_LIFE_S = 1_800.0
# A burst of orders with an id that no table has must not read the tables once per batch.
_FORCED_GAP_S = 30.0


class Lookups:
    """`await tables(orders, sku_ids)` gives tables that are fresh enough for these rows.

    `calls` counts this object's own requests for whole tables; those for SKUs by need are the batch's.
    """

    def __init__(self, rest: TableRest, refresh_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.calls = 0
        self._rest = rest
        self._refresh_s = refresh_s
        self._monotonic = monotonic
        self._tables = Tables()
        self._loaded_at: float | None = None
        self._sku_read_at: dict[int, float] = {}

    async def tables(self, orders: Iterable[Row], sku_ids: Iterable[int]) -> Tables:
        """The tables, read again when they are old or lack what an order points to. RestError where that fails."""
        now = self._monotonic()
        age = None if self._loaded_at is None else now - self._loaded_at
        wanting = age is not None and age >= _FORCED_GAP_S and not all(self._tables.knows(order) for order in orders)
        if age is None or age >= self._refresh_s or wanting:
            try:
                await self._load()
            except (KeyError, TypeError, ValueError, ArithmeticError) as error:
                told = f"{self._rest.instance}: a lookup table has rows of another shape ({error!r})"
                raise RestUnreadable(told) from error
        await self._skus(sku_ids)
        return self._tables

    def forget_sku(self, sku_id: int) -> None:
        """Read this SKU again when it is next needed: it has changed."""
        self._sku_read_at.pop(sku_id, None)

    async def _load(self) -> None:
        before = self._rest.calls
        try:
            found: dict[str, Any] = {}
            for name, (object_type, column) in _NEEDED.items():
                found[name] = by_identity(await self._rest.rows(object_type, orderby=column), column)
            for name, (object_type, column) in _OPTIONAL.items():
                rows = await self._optional(object_type, column)
                found[name] = {} if rows is None else by_identity(rows, column)
            countries = await self._optional("ecommerce.taxclasscountry", "TaxClassCountryID")
            states = await self._optional("ecommerce.taxclassstate", "TaxClassStateID")
            self._tables = Tables(
                **found,
                country_rates=None if countries is None else rates(countries, "CountryID"),
                state_rates={} if states is None else rates(states, "StateID"),
                skus=self._tables.skus,
                shared_numbers=self._tables.shared_numbers,
            )
            if self._loaded_at is None:
                await self._preload_skus()
            self._loaded_at = self._monotonic()
        finally:
            self.calls += self._rest.calls - before
        sizes = {name: len(table) for name, table in found.items()}
        log.info("lookups.loaded", instance=self._rest.instance, skus=len(self._tables.skus), **sizes)

    async def _optional(self, object_type: str, orderby: str) -> list[Row] | None:
        try:
            return await self._rest.rows(object_type, orderby=orderby)
        except (RestDenied, RestNotFound) as error:
            log.warning(
                "lookups.not_allowed", instance=self._rest.instance, object_type=object_type, problem=str(error)
            )
            return None

    async def _preload_skus(self) -> None:
        if await self._rest.count("ecommerce.sku") <= _PRELOAD_SKUS:
            rows = await self._rest.rows("ecommerce.sku", columns=_SKU_COLUMNS, orderby="SKUID")
            self._keep(rows)
            self._mark_shared(rows)

    async def _skus(self, wanted: Iterable[int]) -> None:
        now = self._monotonic()
        ids = sorted({i for i in wanted if now - self._sku_read_at.get(i, -_SKU_LIFE_S) >= _SKU_LIFE_S})
        if not ids:
            return
        rows = await self._rest.rows_in("ecommerce.sku", "SKUID", ids, columns=_SKU_COLUMNS, orderby="SKUID")
        self._keep(rows)
        # A SKU that is gone from the catalogue is asked for again after the same while, not in every batch.
        self._sku_read_at.update(dict.fromkeys(ids, now))
        numbers = sorted({row["SKUNumber"] for row in rows if row.get("SKUNumber")})
        if numbers:
            same = await self._rest.rows_in(
                "ecommerce.sku", "SKUNumber", numbers, columns=("SKUID", "SKUNumber"), orderby="SKUID"
            )
            self._tables.shared_numbers.difference_update(numbers)
            self._mark_shared(same)

    def _keep(self, rows: list[Row]) -> None:
        now = self._monotonic()
        for row in rows:
            self._tables.skus[row["SKUID"]] = row
            self._sku_read_at[row["SKUID"]] = now

    def _mark_shared(self, rows: list[Row]) -> None:
        owners: dict[str, set[int]] = {}
        for row in rows:
            if row.get("SKUNumber"):
                owners.setdefault(row["SKUNumber"], set()).add(row["SKUID"])
        self._tables.shared_numbers.update(number for number, ids in owners.items() if len(ids) > 1)
