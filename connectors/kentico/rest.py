"""Kentico 13's REST service, read safely: its frames are taken with all their traps.

Guarantee: a call returns complete rows or raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from connectors.kentico.errors import RestError, RestNotFound, RestUnreadable
from connectors.kentico.http import SAFE, JsonService

Row = dict[str, Any]

# IIS refuses a query string over 2,048 characters by default; this leaves room for the other parameters.
_LONGEST_WHERE = 1_500


class TableRest(JsonService):
    """What Kentico 13's REST service and Xperience's have in common: rows of tables by a condition in SQL.

    Rows are dicts with Kentico's column names; numbers are int or Decimal.
    """

    @property
    def page(self) -> int:
        """Rows of one answer at most."""
        return self._settings.page

    async def rows_in(
        self,
        object_type: str,
        column: str,
        values: Iterable[int | str],
        *,
        columns: Iterable[str] | None = None,
        orderby: str,
    ) -> list[Row]:
        """The rows whose column is one of the values: one request, or more where the condition would be too long."""
        found: list[Row] = []
        for condition in in_conditions(column, values):
            found += await self.rows(object_type, where=condition, columns=columns, orderby=orderby)
        return found

    async def rows(
        self,
        object_type: str,
        *,
        where: str | None = None,
        columns: Iterable[str] | None = None,
        orderby: str | None = None,
    ) -> list[Row]:
        """Every row of a type, in as many pages as it takes; `where` is SQL, `orderby` parts pages."""
        raise NotImplementedError

    async def top(
        self,
        object_type: str,
        most: int,
        *,
        where: str | None = None,
        columns: Iterable[str] | None = None,
        orderby: str | None = None,
    ) -> list[Row]:
        """The first rows in an order, at most one page of them."""
        raise NotImplementedError

    async def count(self, object_type: str, where: str | None = None) -> int:
        """How many objects of a type there are, or how many a condition finds."""
        raise NotImplementedError

    async def row(self, object_type: str, key: int | str, *, columns: Iterable[str] | None = None) -> Row | None:
        """One object by id or GUID; None where there is none."""
        raise NotImplementedError

    async def update(self, object_type: str, key: int, fields: Mapping[str, str]) -> Row:
        """Write some columns of one object and leave the others; its row as Kentico answers it."""
        raise NotImplementedError

    async def probe(self, object_types: Iterable[str]) -> bool:
        """Whether the service answers for each of these types, asked once."""
        try:
            for object_type in object_types:
                await self._look(object_type)
        except RestError:
            return False
        return True

    async def _look(self, object_type: str) -> None:
        """Ask for a row, once. RestError where that fails."""
        raise NotImplementedError


class KenticoRest(TableRest):
    """Kentico 13's: lists are over all sites."""

    async def rows(
        self,
        object_type: str,
        *,
        where: str | None = None,
        columns: Iterable[str] | None = None,
        orderby: str | None = None,
    ) -> list[Row]:
        found: list[Row] = []
        size = self._settings.page
        while True:
            query = {"format": "json", "maxrecords": str(size), "offset": str(len(found))}
            query |= {"where": where} if where else {}
            query |= {"columns": ",".join(columns)} if columns else {}
            query |= {"orderby": orderby} if orderby else {}
            page, total = list_frame(await self._call("GET", object_type, f"{object_type}/all", query))
            found += page
            if not page or len(page) < size or (total is not None and len(found) >= total):
                return found

    async def top(
        self,
        object_type: str,
        most: int,
        *,
        where: str | None = None,
        columns: Iterable[str] | None = None,
        orderby: str | None = None,
    ) -> list[Row]:
        query = {"format": "json", "topn": str(min(most, self.page))}
        query |= {"orderby": orderby} if orderby else {}
        query |= {"where": where} if where else {}
        query |= {"columns": ",".join(columns)} if columns else {}
        return list_frame(await self._call("GET", object_type, f"{object_type}/all", query))[0]

    async def count(self, object_type: str, where: str | None = None) -> int:
        query = {"format": "json", "maxrecords": "1", "offset": "0"} | ({"where": where} if where else {})
        page, total = list_frame(await self._call("GET", object_type, f"{object_type}/all", query))
        return len(page) if total is None else total

    async def row(self, object_type: str, key: int | str, *, columns: Iterable[str] | None = None) -> Row | None:
        query = {"format": "json"} | ({"columns": ",".join(columns)} if columns else {})
        try:
            return object_frame(
                await self._call("GET", object_type, f"{object_type}/{quote(str(key), safe='')}", query)
            )
        except RestNotFound:
            return None

    async def update(self, object_type: str, key: int, fields: Mapping[str, str]) -> Row:
        content = json.dumps(dict(fields)).encode()
        return object_frame(await self._call("PUT", object_type, f"{object_type}/{key}", {"format": "json"}, content))

    async def _look(self, object_type: str) -> None:
        url = self._url(f"{object_type}/all", {"format": "json", "topn": "1"})
        list_frame(await self._attempt("GET", object_type, url, None))


def list_frame(parsed: Any) -> tuple[list[Row], int | None]:
    """(rows, total) of `{"ecommerce_orders":[{"COM_Order":[…]},{"TotalRecords":[{"TotalRecords":"1"}]}]}`.

    Nothing found: the rows' element is missing. TotalRecords is text, and inside itself; where it is absent, None.
    """
    if not isinstance(parsed, dict) or len(parsed) != 1:
        raise RestUnreadable("the answer is no list of Kentico's: one outer name was expected")
    elements = next(iter(parsed.values()))
    if not isinstance(elements, list):
        raise RestUnreadable("the answer is no list of Kentico's: its outer name holds no array")
    rows: list[Row] = []
    total: int | None = None
    for element in elements:
        if not isinstance(element, dict):
            raise RestUnreadable("the answer is no list of Kentico's: an element is no object")
        for name, value in element.items():
            members = value if isinstance(value, list) else [value]
            if not all(isinstance(member, dict) for member in members):
                raise RestUnreadable(f"the answer is no list of Kentico's: {name} holds something else than rows")
            if name == "TotalRecords":
                total = _total(members)
            else:
                rows += members
    return rows, total


def _total(members: list[Row]) -> int | None:
    try:
        return int(members[0]["TotalRecords"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def object_frame(parsed: Any) -> Row:
    """The row of `{"COM_Order":{…}}`."""
    if isinstance(parsed, dict) and len(parsed) == 1:
        row = next(iter(parsed.values()))
        if isinstance(row, list) and len(row) == 1:
            row = row[0]
        if isinstance(row, dict):
            return row
    raise RestUnreadable("the answer is no object of Kentico's: one outer name with one row was expected")


def in_conditions(column: str, values: Iterable[int | str], longest: int = _LONGEST_WHERE) -> list[str]:
    """`column IN (…)` over all values, each condition short enough for a query string."""
    conditions: list[str] = []
    part: list[str] = []
    length = 0
    for value in values:
        if not isinstance(value, int | str):  # a row whose id is null, say: whoever reads finds out which it is
            raise TypeError(f"{column} is compared with {type(value).__name__}")
        literal = str(int(value)) if isinstance(value, int) else "N'" + value.replace("'", "''") + "'"
        encoded = len(quote(literal, safe=SAFE)) + 1
        if part and length + encoded > longest:
            conditions.append(f"{column} IN ({','.join(part)})")
            part, length = [], 0
        part.append(literal)
        length += encoded
    if part:
        conditions.append(f"{column} IN ({','.join(part)})")
    return conditions
