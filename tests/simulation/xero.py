"""Xero: the sandbox's rules of documents, limits and keys, without HTTP and on the simulated clock. It imports nothing
of the sink but the sandbox, which judges it elsewhere too.

An answer leaves after the work is done; limits come before keys; a key's first answer is kept for six minutes, a 500
too; a twin waits for the first; elements may come back in any order.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from random import Random

import orjson

from connectors.xero.calls import Call
from connectors.xero.sandbox import api
from connectors.xero.sandbox.accounting import ServerError, answer_of
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.calls import Call as Asked
from connectors.xero.sandbox.chart import Account, Organisation, organisation, stable_id
from connectors.xero.sandbox.clock import Clock
from connectors.xero.sandbox.errors import HttpError, IdempotencyMisuse
from connectors.xero.sandbox.idempotency import Answer, Keys, fingerprint
from connectors.xero.sandbox.limits import Limits, Meter
from tests.simulation.loop import EPOCH_SECONDS, Loop
from tests.simulation.weather import Weather

APP = "k2x"
TOKEN_LIFE = 1800.0
# Accounts: the gift cards', an archived one, one without payments, one that Xero drops from a line with a warning.
GIFT, ARCHIVED, NO_PAYMENTS, DROPPED = "855", "998", "200", "477"
_DONE_AT = 0.6  # of a request's latency: then the books change
_GATEWAY = {  # nothing was done: status, content type, body
    "503": (503, "text/plain", b"Not available"),
    "404_html": (404, "text/html", b""),
    "502_before": (502, "text/html", b"<html>Bad gateway</html>"),
    "401": (401, "application/json", b'{"Title":"Unauthorized","Status":401,"Detail":"TokenExpired"}'),
    "403": (403, "application/json", b'{"Title":"Forbidden","Status":403,"Detail":"AuthenticationUnsuccessful"}'),
}


@dataclass(slots=True)
class Request:
    """One request on its way. `done_at`: when its work was done; `late`: after any time a sink may reckon with."""

    org: str
    token: str
    token_id: str
    call: Call
    fault: str
    owner: object
    call_id: int
    started: float
    left: float
    slow: float = 0.0  # seconds of latency by fault
    latest: float = 0.0  # until when it may be done without being late
    done_at: float | None = None
    unauthorised: bool = False  # answered 401: no organisation's call, and its repeat is not a new decision

    @property
    def late(self) -> bool:
        return self.done_at is not None and self.done_at > self.latest


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Judge:
    """Who watches: called when a request arrives and when it has changed the books."""

    arrived: Callable[[Request, bool], None] = lambda request, counted: None
    changed: Callable[[Request, Books], None] = lambda request, books: None


@dataclass
class Xero:
    """All organisations of one app."""

    loop: Loop
    weather: Weather
    judge: Judge = field(default_factory=Judge)

    def __post_init__(self) -> None:
        self.random = Random(f"xero {self.weather.seed}")
        clock = Clock(1.0, lambda: EPOCH_SECONDS + self.loop.now, EPOCH_SECONDS, EPOCH_SECONDS)
        self.books = {org: Books(_organisation(org), clock, self._id) for org in self.weather.orgs}
        limits = {org: Limits(60, self.weather.day, 5) for org in self.weather.orgs}
        self.meter = Meter(limits, self.weather.app_minute, rolling=self.weather.rolling)
        for org in self.weather.orgs:  # a window begins anywhere in its length
            for length in (60.0, 86_400.0):
                self.meter.window(APP, org, length).offset = self.random.uniform(0, length)
            for _ in range(self.weather.day_used):
                self.meter.window(APP, org, 86_400.0).take(self.now)
        self.keys = Keys()
        self.tokens: dict[str, float] = {}
        self._kept: dict[tuple[str, str], Answer] = {}
        self._twins: dict[tuple[str, str], list[Callable[[Answer], None]]] = {}

    @property
    def now(self) -> float:
        return EPOCH_SECONDS + self.loop.now

    def grant(self) -> str:
        """A new access token."""
        token = f"token-{len(self.tokens) + 1}"
        self.tokens[token] = self.loop.now + TOKEN_LIFE
        return token

    def kill_tokens(self) -> None:
        """Whoever holds one gets a 401 from now on."""
        self.tokens = dict.fromkeys(self.tokens, 0.0)

    def day_left(self, org: str) -> int:
        return self.meter.limits[org].day - self.meter.window(APP, org, 86_400.0).used(self.now)

    def foreign(self, org: str, calls: int, slots: int, seconds: float) -> int:
        """Another tool of the app makes calls, as many as it may, and holds slots for a while; how many counted."""
        made = 0
        for _ in range(calls):
            if self.meter.enter(APP, org, self.now) is not None:
                break
            made += 1
            hold = seconds if made <= slots else 0.0
            if hold:
                self.loop.after(hold, partial(self.meter.leave, APP, org))
            else:
                self.meter.leave(APP, org)
        return made

    def other_organisations(self, calls: int) -> None:
        """The app's other sinks use up the minute that all of them share."""
        window = self.meter.window(APP, "", 60.0)
        for _ in range(min(calls, self.meter.app_minute - window.used(self.now))):
            window.take(self.now)

    # -- a request ----------------------------------------------------------------------------------------------

    def arrive(self, request: Request, reply: Callable[[Reply], None]) -> None:
        """It is here: limits first, then keys, then the work."""
        request.unauthorised = request.fault == "401" or self.tokens.get(request.token, 0.0) <= self.loop.now
        if request.fault in _GATEWAY:
            status, _, body = _GATEWAY[request.fault]
            self.judge.arrived(request, False)
            reply(Reply(status, {"content-type": _GATEWAY[request.fault][1]}, body))
            return
        if request.unauthorised:
            self.judge.arrived(request, False)
            status, kind, body = _GATEWAY["401"]
            reply(Reply(status, {"content-type": kind}, body))
            return
        refusal = self.meter.enter(APP, request.org, self.now)
        self.judge.arrived(request, refusal is None)
        if refusal is not None:
            headers = self._headers(request.org) | {"x-rate-limit-problem": refusal.problem}
            if refusal.retry_after is not None:
                headers["retry-after"] = str(refusal.retry_after)
            reply(Reply(429, headers, b""))
            return
        self._once(request, partial(self._respond, request, reply))

    def _once(self, request: Request, respond: Callable[[Answer], None]) -> None:
        call = request.call
        if not call.writes or not call.idempotency_key:
            self._work(request, respond, None)
            return
        place = (APP if self.weather.scope == "app" else request.token, call.idempotency_key)
        url = f"{call.path}?{call.query}"
        try:
            entry, fresh = self.keys.begin(*place, fingerprint(call.method, url, call.body or b""), self.now)
        except IdempotencyMisuse as problem:
            respond(answer_of(problem))
            return
        if fresh:
            self._kept.pop(place, None)
            self._twins[place] = []
            self._work(request, respond, place)
        elif entry.finished:
            respond(self._kept[place])
        else:
            self._twins[place].append(respond)

    def _work(self, request: Request, respond: Callable[[Answer], None], place: tuple[str, str] | None) -> None:
        elements = (request.call.body or b"").count(
            b'"ContactNumber"' if request.call.path == "Contacts" else b'"Date"'
        )
        weather = self.weather
        took = (weather.latency + weather.per_element * elements) * self.random.uniform(0.7, 1.5) + request.slow
        self.loop.after(took * _DONE_AT, partial(self._do, request, respond, place, took * (1 - _DONE_AT)))

    def _do(
        self, request: Request, respond: Callable[[Answer], None], place: tuple[str, str] | None, rest: float
    ) -> None:
        """The books change: all of the request at once, as the rules are atomic in each element."""
        books = self.books[request.org]
        fault = request.fault
        answer = Answer(500, orjson.dumps(ServerError), "application/json")
        if fault != "500_before":
            request.done_at = self.loop.now
            done = self._run(request, books)
            answer = answer if fault == "500_after" else done
            if books.changed:
                self.judge.changed(request, books)
                books.changed.clear()
        if place is not None:
            self._kept[place] = answer
            self.keys.finish(self.keys._entries[place])
            for twin in self._twins.pop(place):
                self.loop.after(rest, partial(twin, answer))
        self.loop.after(rest, partial(respond, answer))

    def _run(self, request: Request, books: Books) -> Answer:
        call = request.call
        body, left_out = call.body or b"", None
        dropped = f'"{DROPPED}"'.encode() in body
        if dropped:
            body = body.replace(f'"{DROPPED}"'.encode(), b'"200"')
        if request.fault == "no_id" and call.writes:
            body, left_out = self._without_one(body, call.path.rsplit("/", 1)[-1])
        asked = Asked(books, call.method, dict(call.query), body, APP, APP, call.if_modified_since)
        try:
            nothing = left_out is not None and not body
            answer = (
                asked.reply(call.path.rsplit("/", 1)[-1], [])
                if nothing
                else api.run(api.resolve(call.method, call.path), asked)
            )
        except HttpError as problem:
            answer = answer_of(problem)
        if answer.status != 200 or not call.writes:
            return answer
        if dropped:
            answer = self._account_dropped(request, answer)
        return self._told(request, answer, left_out)

    def _account_dropped(self, request: Request, answer: Answer) -> Answer:
        """The invoices are saved, but without the account that does not fit, and only a warning says so."""
        sent = {row["InvoiceNumber"]: row for row in orjson.loads(request.call.body or b"")["Invoices"]}
        frame = orjson.loads(answer.body)
        for row in frame["Invoices"]:
            ours = sent.get(row.get("InvoiceNumber"), {})
            document = self.books[request.org].invoices.get(row.get("InvoiceID", ""))
            if document is None or not any(line["AccountCode"] == DROPPED for line in ours["LineItems"]):
                continue
            document.lines = [replace(line, account_code="", account_id="") for line in document.lines]
            text = f"Account code '{DROPPED}' has been removed as it does not match a recognised account."
            row["Warnings"], row["StatusAttributeString"] = [{"Message": text}], "WARNING"
        return Answer(answer.status, orjson.dumps(frame), answer.content_type, answer.elements)

    def _without_one(self, body: bytes, plural: str) -> tuple[bytes, dict[str, object]]:
        """One element is not carried out, and nobody says so."""
        rows = orjson.loads(body)[plural]
        left_out = rows.pop(self.random.randrange(len(rows)))
        return (orjson.dumps({plural: rows}) if rows else b""), left_out

    def _told(self, request: Request, answer: Answer, left_out: dict[str, object] | None) -> Answer:
        """What a write's answer says, which is not always all of the truth."""
        fault = request.fault
        if not self.weather.shuffled and fault not in {"element_missing", "id_with_error", "no_id"}:
            return answer
        frame = orjson.loads(answer.body)
        collection = request.call.path.rsplit("/", 1)[-1]
        rows = frame[collection]
        if self.weather.shuffled:
            self.random.shuffle(rows)
        if fault == "element_missing" and rows:
            rows.pop()
        elif fault == "id_with_error" and rows and not rows[0].get("ValidationErrors"):
            rows[0]["ValidationErrors"] = [{"Message": "An error occurred while saving."}]
        elif left_out is not None:
            rows.append({name: value for name, value in left_out.items() if name != f"{collection[:-1]}ID"})
        return Answer(answer.status, orjson.dumps(frame), answer.content_type, answer.elements)

    def _respond(self, request: Request, reply: Callable[[Reply], None], answer: Answer) -> None:
        self.meter.leave(APP, request.org)
        headers = self._headers(request.org) | {"content-type": answer.content_type, **dict(answer.headers)}
        status, body = answer.status, answer.body
        if request.fault == "504_after":
            status, body = 504, b"<html>Gateway time-out</html>"
        elif request.fault == "html_200":
            body, headers["content-type"] = b"<html>Sorry</html>", "text/html"
        elif request.fault == "cut_200":
            body = body[: len(body) // 2]
        reply(Reply(status, headers, body))

    def _headers(self, org: str) -> dict[str, str]:
        return {name.lower(): value for name, value in self.meter.headers(APP, org, self.now).items()}

    def _id(self) -> str:
        text = f"{self.random.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def account_id(code: str) -> str:
    """Of any of the organisations, which have one chart."""
    return _chart().accounts[code].id


@cache
def _chart() -> Organisation:
    made = organisation("uk", "Simulated", "uk")
    for code, status in ((GIFT, "ACTIVE"), (ARCHIVED, "ARCHIVED")):
        kind = "CURRLIAB" if code == GIFT else "REVENUE"
        pay = code == GIFT
        made.add_account(Account(stable_id("uk", code), code, f"Account {code}", kind, "NONE", pay=pay, status=status))
    kept = {code: made.accounts[code] for code in ("200", "092", "090", "404", GIFT, ARCHIVED)}
    made.accounts, made.accounts_by_id = kept, {account.id: account for account in kept.values()}
    made.tax_rates = {kind: made.tax_rates[kind] for kind in ("OUTPUT2", "NONE")}
    return made


def _organisation(org: str) -> Organisation:
    made = copy.copy(_chart())
    made.slug = org
    return made
