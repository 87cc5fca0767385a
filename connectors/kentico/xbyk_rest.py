"""Xperience by Kentico's REST service, that of the package Xperience.Community.Rest: other frames than Kentico 13's.

Guarantee: a call returns complete rows or raises. Pages go by identity, so that rows that come or go meanwhile make
none of the others be passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from connectors.kentico.errors import RestNotFound, RestUnreadable
from connectors.kentico.rest import Row, TableRest


class XbykRest(TableRest):
    """One instance's service; Xperience has no sites, so a list is everything."""

    async def rows(
        self,
        object_type: str,
        *,
        where: str | None = None,
        columns: Iterable[str] | None = None,
        orderby: str | None = None,
    ) -> list[Row]:
        """`orderby` is the identity column here."""
        if orderby is None:
            raise ValueError("pages go by an identity column")
        found: list[Row] = []
        last = 0
        while True:
            condition = f"{orderby} > {last}" + (f" AND ({where})" if where else "")
            page = await self.top(object_type, self.page, where=condition, columns=columns, orderby=orderby)
            found += page
            if len(page) < self.page:
                return found
            following = page[-1].get(orderby)
            if type(following) is not int or following <= last:
                raise RestUnreadable(f"{self.instance}: {object_type}: rows that are not by {orderby}")
            last = following

    async def top(
        self,
        object_type: str,
        most: int,
        *,
        where: str | None = None,
        columns: Iterable[str] | None = None,
        orderby: str | None = None,
    ) -> list[Row]:
        query = {"topn": str(min(most, self.page))}
        query |= {"orderby": orderby} if orderby else {}
        query |= {"where": where} if where else {}
        query |= {"columns": ",".join(columns)} if columns else {}
        return objects(await self._call("GET", object_type, f"{object_type}/all", query))[0]

    async def count(self, object_type: str, where: str | None = None) -> int:
        # Only a paged query counts all; page 0 is the first.
        query = {"page": "0", "pagesize": "1"} | ({"where": where} if where else {})
        return objects(await self._call("GET", object_type, f"{object_type}/all", query))[1]

    async def row(self, object_type: str, key: int | str, *, columns: Iterable[str] | None = None) -> Row | None:
        """The whole object, whatever `columns` says: the service takes none here."""
        try:
            found = await self._call("GET", object_type, f"{object_type}/{quote(str(key), safe='')}", {})
        except RestNotFound:
            return None
        return _object(found)

    async def update(self, object_type: str, key: int, fields: Mapping[str, str]) -> Row:
        body = {"ObjectType": object_type, "Id": key, "Fields": dict(fields)}
        return _object(await self._call("PATCH", object_type, "", {}, json.dumps(body).encode()))

    async def _look(self, object_type: str) -> None:
        objects(await self._attempt("GET", object_type, self._url(f"{object_type}/all", {"topn": "1"}), None))


def objects(parsed: Any) -> tuple[list[Row], int]:
    """(rows, total) of `{"totalRecords": 300, "nextUrl": null, "objects": [{…}]}`."""
    if not isinstance(parsed, dict) or not isinstance(parsed.get("objects"), list):
        raise RestUnreadable("the answer is no list of Xperience's: it holds no objects")
    rows, total = parsed["objects"], parsed.get("totalRecords")
    if not all(isinstance(row, dict) for row in rows) or type(total) is not int:
        raise RestUnreadable("the answer is no list of Xperience's: objects or totalRecords are something else")
    return rows, total


def _object(parsed: Any) -> Row:
    if not isinstance(parsed, dict) or not parsed:
        raise RestUnreadable("the answer is no object of Xperience's")
    return parsed
