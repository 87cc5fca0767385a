"""A worker's copy of `xero.reference.v1`: an organisation's rows change as a whole, at its COMPLETE marker. Reads only.

Contacts are the sink's business and stay out: an organisation has ten accounts and a hundred thousand contacts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import cast

import structlog

from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.types import Reference

log = structlog.get_logger("k2x.streams")

RowKey = tuple[str, str]  # (kind, code)
Rows = Mapping[RowKey, Reference]
OnRows = Callable[[str, Rows | None], None]


class _Org:
    """What is known of one organisation."""

    def __init__(self) -> None:
        self.rows: dict[RowKey, Reference] = {}  # of the last complete snapshot
        self.pending: dict[RowKey, Reference | None] = {}  # since then; None: taken away
        self.complete = False
        self.changed = False


class ReferenceCopy:
    """A `streams.compacted.Copy`. `on_rows(org, rows)` gets a new mapping per complete snapshot; None: withdrawn."""

    def __init__(self, codec: Codec, orgs: Collection[str], on_rows: OnRows) -> None:
        self._codec = codec
        self._orgs = {org: _Org() for org in orgs}
        self._on_rows = on_rows
        self._published_once = False

    def apply(self, key: bytes, value: bytes | None) -> None:
        parts = key.decode("utf-8", "replace").split("|", 2)
        if len(parts) != 3 or parts[1] == "CONTACT":
            return
        org, row_key = self._orgs.get(parts[0]), (parts[1], parts[2])
        if org is None:
            return
        if value is None:
            self._remove(org, row_key)
            return
        try:
            row = cast(Reference, self._codec.decode(value))
        except SchemaError as error:
            log.error("reference_row_unreadable", org=parts[0], kind=parts[1], code=parts[2], error=str(error))
            return
        if row["kind"] == "COMPLETE":
            _settle(org)
            org.complete = org.changed = True
        else:
            org.pending[row_key] = row

    def publish(self) -> None:
        if not self._published_once:
            self._published_once = True
            for org in self._orgs.values():
                _fill_holes(org)
        for name, org in self._orgs.items():
            if org.changed:
                org.changed = False
                self._on_rows(name, dict(org.rows) if org.complete else None)

    def _remove(self, org: _Org, row_key: RowKey) -> None:
        if row_key[0] == "COMPLETE":
            org.changed = org.changed or org.complete
            org.complete = False
        else:
            org.pending[row_key] = None


def _settle(org: _Org) -> None:
    for row_key, row in org.pending.items():
        if row is None:
            org.rows.pop(row_key, None)
        else:
            org.rows[row_key] = row
    org.pending.clear()


def _fill_holes(org: _Org) -> None:
    """A snapshot under way at our start has let compaction drop the older versions of the rows it wrote already: take
    those rows at once, else a complete organisation would seem to lack accounts until the snapshot ends."""
    for row_key, row in org.pending.items():
        if org.complete and row is not None and row_key not in org.rows:
            org.rows[row_key] = row
            org.changed = True
