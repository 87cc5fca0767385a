"""The K13 REST service of each instance under `/{instance}/rest`, Basic auth, GET and PUT, with faults on request."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal, InvalidOperation
from email.utils import format_datetime
from random import Random
from typing import Any

from aiohttp import web

from connectors.kentico.sandbox import render
from connectors.kentico.sandbox.errors import BadControl, BadQuery, UnknownObject
from connectors.kentico.sandbox.gateway import Gateway
from connectors.kentico.sandbox.rows import scaled, seeded
from connectors.kentico.sandbox.schema import FORBIDDEN_TYPES, TABLES, Kind, Row, Table
from connectors.kentico.sandbox.shop import Shop
from connectors.kentico.sandbox.where import column, columns, condition, order, time_literal

FAULTS = ("error500", "error503", "unauthorized", "slow", "cut", "cut_body", "broken_json")
JSON_TYPE = "application/json; charset=utf-8"


@dataclass
class Fault:
    """`count` requests (None: until cleared) whose path holds `match` go wrong; `seconds` is for `slow`."""

    kind: str
    instance: str | None = None
    match: str = ""
    count: int | None = None
    seconds: float = 1.0

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Fault:
        """From a control request. Raises BadControl."""
        known = {name: body[name] for name in ("kind", "instance", "match", "count", "seconds") if name in body}
        if known.get("kind") not in FAULTS:
            raise BadControl(f"kind must be one of {', '.join(FAULTS)}")
        return cls(**known)


class RestService:
    """Serves the tables of all shops. Replies without a body on 401, 403 and 404; the reason is in X-Sandbox-Reason."""

    def __init__(self, shops: Mapping[str, Shop]) -> None:
        self.shops = shops
        self.faults: list[Fault] = []
        self.requests: dict[str, int] = {}
        self.gateways: dict[str, Gateway] = {}
        self._dice: Random = seeded("property order")

    def routes(self) -> list[web.RouteDef]:
        """One route for every shape of URL; K13 matches without regard to case."""
        return [
            web.post("/{instance}/oauth/token", self._token),
            web.get("/{instance}/rest", self._service_document),
            web.get("/{instance}/rest/{path:.+}", self._handle),
            web.put("/{instance}/rest/{path:.+}", self._handle),
            web.post("/{instance}/rest/{path:.+}", self._handle),
            web.delete("/{instance}/rest/{path:.+}", self._handle),
        ]

    async def _service_document(self, request: web.Request) -> web.StreamResponse:
        shop = self.shops.get(request.match_info["instance"])
        refusal = _empty(404, "no such instance") if shop is None else self._refuse(request, shop)
        if refusal is not None:
            return refusal
        entries = "".join(
            f'<app:collection href="{name}"><a10:title type="text">{name}</a10:title></app:collection>'
            for name in TABLES
        )
        text = (
            '<app:service xmlns:a10="http://www.w3.org/2005/Atom" xmlns:app="http://www.w3.org/2007/app"><app:workspace>'
            f'<a10:title type="text">Objects</a10:title>{entries}</app:workspace></app:service>'
        )
        return web.Response(text=text, content_type="application/atomsvc+xml")

    async def _token(self, request: web.Request) -> web.StreamResponse:
        gateway = self.gateways.get(request.match_info["instance"])
        if gateway is None or gateway.kind != "oauth2":
            return _empty(404, "no gateway with tokens here")
        return await gateway.token(request)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        shop = self.shops.get(request.match_info["instance"])
        if shop is None:
            return _empty(404, "no such instance")
        fault = self._fault(request, shop)
        early = await self._misbehave(request, fault)
        if early is not None:
            return early
        try:
            response = self._refuse(request, shop) or await self._answer(request, shop)
        except BadQuery as error:
            response = _empty(400, str(error))
        except UnknownObject as error:
            response = _empty(404, str(error))
        # Kentico's own clock, as a web server says it: a reader may go by it.
        response.headers["Date"] = format_datetime(shop.clock().astimezone(UTC), usegmt=True)
        return await self._spoil(request, response, fault)

    def _refuse(self, request: web.Request, shop: Shop) -> web.Response | None:
        """403 without credentials, 401 with wrong ones; a gateway is asked first, and its tokens stand for Basic."""
        gateway = self.gateways.get(shop.name)
        if gateway is not None:
            reason = gateway.refusal(request.headers)
            if reason is not None:
                return _empty(401, reason)
            if gateway.kind == "oauth2":
                return None
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return _empty(403, "no credentials")
        wanted = f"{shop.credentials.user}:{shop.credentials.password}".encode()
        try:
            offered = base64.b64decode(given, validate=True)
        except ValueError:
            offered = b""
        return None if hmac.compare_digest(offered, wanted) else _empty(401, "wrong credentials")

    async def _answer(self, request: web.Request, shop: Shop) -> web.Response:
        type_name, *rest = [part for part in request.match_info["path"].split("/") if part]
        table = TABLES.get(type_name.lower())
        if table is None:
            status = 403 if type_name.lower() in FORBIDDEN_TYPES else 404
            return _empty(status, f"type {type_name}")
        query = {name.lower(): value for name, value in request.query.items()}
        scope, site_id, rest = _scope(shop, rest)
        if rest:
            row = self._find(shop, table, rest[0])
            if request.method == "PUT":
                row = shop.put(table, row[table.id], _changes(table, await request.read()))
            elif request.method != "GET":
                return _empty(403, f"{request.method} is not allowed to this user")
            return self._one(shop, table, row, query)
        if request.method != "GET":
            return _empty(403, f"{request.method} is not allowed to this user")
        self.requests[table.name] = self.requests.get(table.name, 0) + 1
        return self._list(shop, table, scope, site_id, query)

    def _find(self, shop: Shop, table: Table, key: str) -> Row:
        """By id, GUID or, where the class has one, code name."""
        if key.isdigit():
            return shop.database.get(table, int(key))
        for name in (table.guid, table.code):
            found = shop.database.select(table, f"{name} = ?", [key]) if name else []
            if found:
                return found[0]
        raise UnknownObject(f"no {table.name} {key}")

    def _one(self, shop: Shop, table: Table, row: Row, query: Mapping[str, str]) -> web.Response:
        names, zone = columns(table, query.get("columns")), shop.catalogue.zone
        if query.get("format") != "json":
            return _xml(render.one_xml(table, row, names, zone))
        body = render.one_json(table, row, names, zone, shop.date_mode, self._dice)
        return web.Response(body=body, headers={"Content-Type": JSON_TYPE})

    def _list(
        self, shop: Shop, table: Table, scope: str, site_id: int | None, query: Mapping[str, str]
    ) -> web.Response:
        sql, params = condition(table, query.get("where"))
        if table.site is not None and scope == "global":
            sql = f"({sql}) AND {table.site} IS NULL"
        elif table.site is not None and scope == "site":
            # Strictly the site's own: global objects are in /global and /all.
            sql, params = f"({sql}) AND {table.site} = ?", [*params, site_id]
        total = shop.database.count(table, sql, params)
        limit, offset = _page(query)
        topped = query.get("topn") is not None and query.get("maxrecords") is None
        rows = shop.database.select(table, sql, params, order(table, query.get("orderby")), limit, offset)
        if topped:
            total = len(rows)
        names, zone = columns(table, query.get("columns")), shop.catalogue.zone
        if query.get("format") != "json":
            return _xml(render.list_xml(table, rows, names, total, zone))
        body = render.list_json(table, rows, names, total, zone, shop.date_mode, self._dice)
        return web.Response(body=body, headers={"Content-Type": JSON_TYPE})

    # Faults

    def _fault(self, request: web.Request, shop: Shop) -> Fault | None:
        for fault in self.faults:
            if fault.instance in (None, shop.name) and fault.match.lower() in request.path.lower():
                if fault.count is not None:
                    fault.count -= 1
                    if fault.count <= 0:
                        self.faults.remove(fault)
                return fault
        return None

    async def _misbehave(self, request: web.Request, fault: Fault | None) -> web.Response | None:
        """Faults that strike before anything is done."""
        if fault is None:
            return None
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if fault.kind == "cut":
            if request.transport is not None:
                request.transport.abort()
            return _empty(500, "cut")
        statuses = {"error500": 500, "error503": 503, "unauthorized": 401}
        return _empty(statuses[fault.kind], "fault") if fault.kind in statuses else None

    async def _spoil(self, request: web.Request, response: web.Response, fault: Fault | None) -> web.StreamResponse:
        """Faults that strike when the work is done: half a body, as broken JSON or with the connection cut."""
        body = response.body if isinstance(response.body, bytes) else b""
        if fault is None or fault.kind not in ("broken_json", "cut_body"):
            return response
        if fault.kind == "broken_json":
            return web.Response(body=body[: len(body) // 2], headers={"Content-Type": JSON_TYPE})
        stream = web.StreamResponse(headers={"Content-Type": JSON_TYPE, "Content-Length": str(len(body))})
        await stream.prepare(request)
        await stream.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.abort()
        return stream


def _empty(status: int, reason: str) -> web.Response:
    # A header cannot hold line breaks or non-Latin letters, and a condition may.
    return web.Response(status=status, headers={"X-Sandbox-Reason": reason.encode("ascii", "replace").decode()[:200]})


def _xml(body: bytes) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": "application/xml; charset=utf-8"})


def _scope(shop: Shop, rest: list[str]) -> tuple[str, int | None, list[str]]:
    """(scope, site id, what is left of the path). Without a word it is the current site: the instance's first."""
    current = next(iter(shop.catalogue.sites.values())).id
    word = rest[0].lower() if rest else ""
    if word == "site":
        wanted = rest[1].lower() if len(rest) > 1 else ""
        for site in shop.catalogue.sites.values():
            if site.name.lower() == wanted:
                return "site", site.id, rest[2:]
        raise UnknownObject("no such site")
    if word in ("all", "global"):
        return word, None, rest[1:]
    return "site", current, rest[1:] if word == "currentsite" else rest


def _page(query: Mapping[str, str]) -> tuple[int, int]:
    try:
        topn, size, offset = (int(query.get(name, "0") or "0") for name in ("topn", "maxrecords", "offset"))
    except ValueError as error:
        raise BadQuery("topn, offset and maxrecords are whole numbers") from error
    return size or topn or -1, offset if size else 0


def _changes(table: Table, body: bytes) -> dict[str, Any]:
    """A PUT body as typed columns; what the class does not have is ignored, as Kentico ignores it. Raises BadQuery."""
    try:
        given = json.loads(body, parse_float=Decimal)
    except ValueError as error:
        raise BadQuery(f"body is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise BadQuery("body must be one object")
    changes: dict[str, Any] = {}
    for name, value in given.items():
        try:
            real, kind = column(table, name)
        except BadQuery:
            continue
        if real != table.id:
            changes[real] = _typed(kind, value)
    if not changes:
        raise BadQuery("nothing to change")
    return changes


def _typed(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    try:
        if kind is Kind.INT:
            return int(value)
        if kind is Kind.MONEY:
            return scaled(Decimal(str(value)))
        if kind is Kind.BOOL:
            return bool(value)
    except (ValueError, InvalidOperation) as error:
        raise BadQuery(f"{value!r} is no {kind.name.lower()}") from error
    return time_literal(str(value)) if kind is Kind.TIME else str(value)
