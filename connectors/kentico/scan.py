"""Reads one table's changes page by page and brings the objects they belong to.

Guarantee: the mark moves past a page only when all of it is on Kafka, and is written after that. A row that does not
say what it is goes to the dead letters; a page that is not what was asked for stops the table, never skips.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from connectors.kentico import metrics
from connectors.kentico.bringing import Bringer
from connectors.kentico.columns import SKU_APART
from connectors.kentico.cursors import Cursors, State
from connectors.kentico.echo import digest
from connectors.kentico.errors import RestUnreadable
from connectors.kentico.events import ORDER, SKU
from connectors.kentico.gathering import Gatherer, Wanted, is_id
from connectors.kentico.marks import Scan, Table, stamped_at
from connectors.kentico.receiver import Delivers
from connectors.kentico.rest import Row, TableRest
from connectors.kentico.settings import InstanceSettings
from connectors.kentico.watched import SKUS, Watched

# Every SKU is met at first, only to know it: a later change of stock alone then shows as such. An empty table has no
# newest row to begin at.
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_LONGEST_COLUMNS = 1_500  # characters; more would not leave room in a query string


class Scanner:
    """`await scan(table, stop)` for each table of an instance. `save` writes the marks."""

    def __init__(
        self,
        instance: InstanceSettings,
        overlap: timedelta,
        rest: TableRest,
        bringer: Bringer,
        gatherer: Gatherer,
        cursors: Cursors,
        deliver: Delivers,
        clock: Callable[[], datetime],
        state: State,
        save: Callable[[], Awaitable[None]],
    ) -> None:
        self._instance = instance
        self._overlap = overlap
        self._rest = rest
        self._bringer = bringer
        self._gatherer = gatherer
        self._cursors = cursors
        self._deliver = deliver
        self._clock = clock
        self._state = state
        self._save = save
        self._sku_columns: tuple[str, ...] | None = None
        self._refused_rows: set[str] = set()

    def server_now(self) -> datetime:
        """Kentico's clock, as far as it is known."""
        return self._rest.server_time() or self._clock()

    async def begin(self, table: Watched, floor: int, stop: asyncio.Event) -> None:
        """Make the table's mark: what is there counts as done, but for orders above `floor`.

        It begins at the newest row, not at any clock of ours: should the instance's time zone be configured wrongly, or
        Kentico's clock be off, its own stamps still follow each other.
        """
        newest = None if table is SKUS else await self._newest(table)
        now = self.server_now()
        mark = Table(min(newest or _LONG_AGO, now))
        if await self._scan(table, mark, stop, floor):
            self._state.tables[table.object_type] = mark

    async def scan(self, table: Watched, stop: asyncio.Event) -> None:
        """Everything that was modified since the table's mark, less the overlap."""
        await self._scan(table, self._state.tables[table.object_type], stop, None)

    async def _scan(self, table: Watched, mark: Table, stop: asyncio.Event, learned: int | None) -> bool:
        """With `learned`, only note what is there, up to that order. Whether the end was reached."""
        columns = await self._columns_of(table)
        saved = mark.through
        while not stop.is_set():
            scan = mark.scan or Scan(self.server_now())
            where = mark.condition(table, self._overlap, self._instance.zone)
            rows = await self._rest.top(
                table.object_type, self._rest.page, where=where, columns=columns, orderby=table.key
            )
            metrics.POLLER_ROWS.labels(self._instance.name, table.object_type).inc(len(rows))
            last = len(rows) < self._rest.page
            good = await self._good(table, rows, scan.after)
            if not last and not good:
                raise RestUnreadable(f"{self._instance.name}: {table.object_type}: a page without one usable row")
            mark.scan = scan
            changed = await self._page(table, mark, good, learned)
            observed = self._clock()
            mark.met([(row[table.key], stamped_at(row, table, self._instance.zone, observed)) for row in good])
            if last:
                mark.finish()
            if learned is None and (changed or not last or abs(mark.through - saved) > self._overlap / 2):
                await self._save()
                saved = mark.through
            if last:
                return True
        return False

    async def _newest(self, table: Watched) -> datetime | None:
        rows = await self._rest.top(table.object_type, 1, columns=table.columns, orderby=f"{table.stamp} DESC")
        return stamped_at(rows[0], table, self._instance.zone, self._clock()) if rows else None

    async def _columns_of(self, table: Watched) -> tuple[str, ...] | None:
        """The columns to ask for; of SKUs those that bookkeeping sees, which a shop's own columns add to."""
        if table is not SKUS:
            return table.columns
        if self._sku_columns is None:
            for row in await self._rest.top(SKUS.object_type, 1, orderby=SKUS.key):
                self._sku_columns = tuple(sorted(name for name in row if name not in SKU_APART))
        columns = self._sku_columns
        return columns if columns and len(",".join(columns)) <= _LONGEST_COLUMNS else None

    async def _good(self, table: Watched, rows: list[Row], after: int) -> list[Row]:
        """The rows that say what they are. The others go to the dead letters, once each."""
        good = []
        for row in rows:
            key = row.get(table.key)
            if isinstance(key, int) and is_id(key) and key <= after:
                raise RestUnreadable(f"{self._instance.name}: {table.object_type}: {table.key} {key} was not asked for")
            if is_id(key) and is_id(row.get(table.owner)):
                good.append(row)
                continue
            told = repr({name: row.get(name) for name in table.columns})[:500]
            if told not in self._refused_rows:
                await self._bringer.refuse_row(table.of, f"{table.object_type}: a row that cannot be placed: {told}")
                self._refused_rows.add(told)
        return good

    async def _page(self, table: Watched, mark: Table, rows: list[Row], learned: int | None) -> bool:
        """Bring what is new of a page; whether anything was."""
        new = [row for row in rows if mark.is_new(row[table.key], row.get(table.stamp))]
        if table is SKUS:
            await self._skus(mark, new, learned is not None)
        elif learned is not None:
            for row in new:
                if table.of != ORDER or row[table.owner] <= learned:
                    mark.done(row[table.key], row.get(table.stamp))
        else:
            wanted: Wanted = {}
            for row in new:
                wanted.setdefault(row[table.owner], []).append((table, row[table.key], row.get(table.stamp)))
            await self._gatherer.bring(table.of, wanted)
        return bool(new)

    async def _skus(self, mark: Table, rows: list[Row], learning: bool) -> None:
        """SKUs whose bookkeeping columns changed; a sale moves stock and stamp only."""
        digests = {row[SKUS.key]: _sku_digest(row) for row in rows}
        changed = {key: found for key, found in digests.items() if self._state.digests.get(key) != found}
        if not learning:
            kinds = self._instance.name, SKUS.object_type
            metrics.POLLER_OBJECTS.labels(*kinds, "stock_only").inc(len(digests) - len(changed))
            await self._gatherer.bring(SKU, {key: [] for key in changed})
        now = self._clock()
        await self._deliver.deliver([self._cursors.sku_record(key, found, now) for key, found in changed.items()])
        self._state.digests |= changed
        for row in rows:
            mark.done(row[SKUS.key], row.get(SKUS.stamp))


def _sku_digest(row: Row) -> bytes:
    """Nulls say nothing: a column that is added to the table later changes no SKU."""
    said = {name: value for name, value in row.items() if value is not None and name not in SKU_APART}
    return digest({"sku": said}, "sku", frozenset({SKUS.stamp}))[:8]
