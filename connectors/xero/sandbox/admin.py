"""The judge's side door, /_sandbox/…: export of the books, request log, clock, faults, settings, an accountant's
edits.

No authentication: the sandbox listens on the loopback address. Nothing here counts against limits or appears in the
request log.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import Any

import orjson
from aiohttp import web

from connectors.xero.sandbox import bank, bank_replies, document_replies, edits, replies
from connectors.xero.sandbox.accounting import Latency, World
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.chart import account_from
from connectors.xero.sandbox.errors import SandboxError, SettingRefused
from connectors.xero.sandbox.limits import Limits
from connectors.xero.sandbox.signin import json_response
from connectors.xero.sandbox.store import Batch, body

ORG_KEYS = {"latency", "limits", "period_lock_date", "end_of_year_lock_date", "currencies", "approve_limit", "accounts"}
WORLD_KEYS = {"idempotency_scope", "app_minute", "rolling"}


def export(books: Books) -> dict[str, Any]:
    """Every document of the organisation in the shape of Xero's own single-document replies, money as JSON numbers."""
    by_age = sorted(books.invoices.values(), key=lambda row: row.seq)
    return {
        "organisation": {
            "slug": books.org.slug,
            "id": books.org.id,
            "name": books.org.name,
            "currency": books.org.base_currency,
        },
        "contacts": [replies.contact(row, "list") for row in sorted(books.contacts.values(), key=lambda row: row.seq)],
        "items": [replies.item(row, "list") for row in sorted(books.items.values(), key=lambda row: row.seq)],
        "invoices": [document_replies.invoice(row, books, "list", 4) for row in by_age],
        "payments": [
            document_replies.payment(row, books, "list")
            for row in sorted(books.payments.values(), key=lambda row: row.seq)
        ],
        "credit_notes": [
            document_replies.credit_note(row, books, "list", 4)
            for row in sorted(books.credit_notes.values(), key=lambda row: row.seq)
        ],
        "bank_transactions": [
            bank_replies.transaction(row, books, "list", 4)
            for row in sorted(books.bank_transactions.values(), key=lambda row: row.seq)
        ],
        "bank_transfers": [
            bank_replies.transfer(row, books, "list")
            for row in sorted(books.bank_transfers.values(), key=lambda row: row.seq)
        ],
        "balances": {
            books.org.accounts_by_id[id_].code or id_: float(held) for id_, held in bank.balances(books).items()
        },
    }


class Admin:
    """Handlers of the side door."""

    def __init__(self, world: World):
        self.world = world

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/_sandbox", self.overview),
            web.get("/_sandbox/books/{org}", self.books),
            web.get("/_sandbox/requests", self.requests),
            web.delete("/_sandbox/requests", self.forget_requests),
            web.get("/_sandbox/clock", self.clock),
            web.post("/_sandbox/clock", self.set_clock),
            web.get("/_sandbox/faults", self.faults),
            web.post("/_sandbox/faults", self.add_faults),
            web.delete("/_sandbox/faults", self.clear_faults),
            web.get("/_sandbox/settings", self.settings),
            web.post("/_sandbox/settings", self.set_settings),
            web.post("/_sandbox/edit", self.edit),
        ]

    def of(self, slug: str) -> Books:
        """The books of a slug."""
        if slug not in self.world.books:
            raise SettingRefused(f"no organisation {slug!r}; there are {sorted(self.world.books)}")
        return self.world.books[slug]

    async def overview(self, _: web.Request) -> web.Response:
        """Organisations with the credentials of their demo apps and counts of what they hold."""
        orgs = [
            {
                "slug": slug,
                "name": books.org.name,
                "tenant_id": books.org.id,
                "currency": books.org.base_currency,
                "client_id": books.org.client_id,
                "client_secret": books.org.client_secret,
                "contacts": len(books.contacts),
                "invoices": len(books.invoices),
                "payments": len(books.payments),
                "credit_notes": len(books.credit_notes),
            }
            for slug, books in self.world.books.items()
        ]
        web_apps = [app for app in self.world.identity.apps.values() if app.org is None]
        apps = [{"client_id": app.client_id, "client_secret": app.client_secret, "name": app.name} for app in web_apps]
        return json_response({"organisations": orgs, "web_apps": apps, "now": self.world.clock.now().isoformat()})

    async def books(self, request: web.Request) -> web.Response:
        """The export."""
        return json_response(export(self.of(request.match_info["org"])))

    async def requests(self, request: web.Request) -> web.Response:
        """{counts, total, last_seq, recent}; ?org= narrows, ?after=SEQ counts from there, ?limit= sets how many recent
        rows.
        """
        org, query = request.query.get("org"), request.query
        if org is not None:
            self.of(org)
        after, limit = _int(query.get("after", "0"), "after"), _int(query.get("limit", "0"), "limit")
        counts = self.world.store.counts(org, after)
        return json_response(
            {
                "total": sum(row["calls"] for row in counts),
                "counts": counts,
                "last_seq": self.world.store.last_request(),
                "recent": self.world.store.requests(org, after, limit),
            }
        )

    async def forget_requests(self, _: web.Request) -> web.Response:
        """Empty the log."""
        self.world.store.forget_requests()
        return json_response({"total": 0})

    def _clock(self) -> dict[str, Any]:
        clock = self.world.clock
        return {"now": clock.now().isoformat(), "epoch": clock.time(), "speed": clock.speed}

    async def clock(self, _: web.Request) -> web.Response:
        """{now, epoch, speed}."""
        return json_response(self._clock())

    async def set_clock(self, request: web.Request) -> web.Response:
        """{advance: seconds} or {to: ISO time}, {speed}."""
        order = await _object(request)
        _only(order, {"advance", "to", "speed"}, "clock")
        to = datetime.fromisoformat(order["to"]) if "to" in order else None
        if to is not None and to.tzinfo is None:
            raise SettingRefused("`to` needs an offset, as in 2026-11-01T00:00:00Z")
        self.world.clock.change(advance=float(order.get("advance", 0)), speed=order.get("speed"), to=to)
        self.world.store.commit(Batch(state=[("clock", orjson.dumps(self.world.clock.record()))]))
        return json_response(self._clock())

    async def faults(self, _: web.Request) -> web.Response:
        """The plan."""
        return json_response({"faults": self.world.faults.describe()})

    async def add_faults(self, request: web.Request) -> web.Response:
        """One fault, or {faults: [...], seed}."""
        order = await _object(request)
        if "seed" in order:
            self.world.faults.clear(int(order.pop("seed")))
        for one in order.get("faults", [order] if order else []):
            self.world.faults.add(one)
        return json_response({"faults": self.world.faults.describe()})

    async def clear_faults(self, _: web.Request) -> web.Response:
        """Forget the plan."""
        self.world.faults.clear()
        return json_response({"faults": []})

    def _settings(self) -> dict[str, Any]:
        world = self.world
        return {
            "idempotency_scope": world.key_scope,
            "app_minute": world.meter.app_minute,
            "rolling": world.meter.rolling,
            "organisations": {
                slug: {
                    "latency": asdict(world.latency[slug]),
                    "limits": asdict(world.meter.limits[slug]),
                    "period_lock_date": books.org.period_lock_date,
                    "end_of_year_lock_date": books.org.end_of_year_lock_date,
                    "currencies": books.org.currencies,
                    "approve_limit": books.org.approve_limit,
                }
                for slug, books in world.books.items()
            },
        }

    async def settings(self, _: web.Request) -> web.Response:
        """What is set."""
        return json_response(self._settings())

    async def set_settings(self, request: web.Request) -> web.Response:
        """{org (all when absent), latency, limits, period_lock_date, ..., idempotency_scope, app_minute, rolling};
        kept on disk.
        """
        order = await _object(request)
        self.apply(order)
        log = [*(self.world.store.state("settings") or []), order]
        self.world.store.commit(Batch(state=[("settings", orjson.dumps(log))]))
        return json_response(self._settings())

    def apply(self, order: dict[str, Any]) -> None:
        """One change of settings; checked whole before anything of it is set."""
        _only(order, ORG_KEYS | WORLD_KEYS | {"org"}, "settings")
        slugs = [self.of(order["org"]).org.slug] if "org" in order else list(self.world.books)
        if (scope := order.get("idempotency_scope", "app")) not in {"app", "token"}:
            raise SettingRefused(f"idempotency_scope is app or token, not {scope!r}")
        _only(order.get("latency", {}), {"base_ms", "per_element_ms"}, "latency")
        _only(order.get("limits", {}), {"minute", "day", "concurrent"}, "limits")
        days = {
            key: None if order[key] is None else date.fromisoformat(order[key])
            for key in ("period_lock_date", "end_of_year_lock_date")
            if key in order
        }
        for slug in slugs:
            org = self.world.books[slug].org
            for key, value in days.items():
                setattr(org, key, value)
            if "latency" in order:
                self.world.latency[slug] = Latency(**(asdict(self.world.latency[slug]) | order["latency"]))
            if "limits" in order:
                self.world.meter.limits[slug] = Limits(**(asdict(self.world.meter.limits[slug]) | order["limits"]))
            if "currencies" in order:
                org.currencies = list(dict.fromkeys([org.base_currency, *order["currencies"]]))
            if "approve_limit" in order:
                org.approve_limit = order["approve_limit"]
            for row in order.get("accounts", ()):
                org.add_account(account_from(org, row))
        self.world.key_scope = order.get("idempotency_scope", self.world.key_scope)
        self.world.meter.app_minute = int(order.get("app_minute", self.world.meter.app_minute))
        if "rolling" in order and bool(order["rolling"]) != self.world.meter.rolling:
            self.world.meter.set_rolling(bool(order["rolling"]))

    async def edit(self, request: web.Request) -> web.Response:
        """{org, action, ...}: see edits.py."""
        order = await _object(request)
        books = self.of(str(order.get("org")))
        touched = edits.edit(books, order)
        slug = books.org.slug
        rows = [(slug, kind, id_, body(row)) for (kind, id_), row in books.changed.items()]
        self.world.store.commit(Batch(rows=rows))
        books.changed.clear()
        return json_response({"id": touched})


def _only(order: dict[str, Any], known: set[str], what: str) -> None:
    if unknown := set(order) - known:
        raise SettingRefused(f"unknown {what} keys {sorted(unknown)}; known: {sorted(known)}")


def _int(value: str, name: str) -> int:
    if not value.isdigit():
        raise SettingRefused(f"{name} must be a whole number, not {value!r}")
    return int(value)


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        order = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError as problem:
        raise SettingRefused(f"the body is not JSON: {problem}") from problem
    if not isinstance(order, dict):
        raise SettingRefused("the body must be a JSON object")
    return order


def refusal(problem: SandboxError) -> web.Response:
    """What the side door says to a mistake."""
    return json_response({"error": str(problem)}, 400)
