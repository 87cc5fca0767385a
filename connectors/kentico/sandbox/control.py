"""The `/_sandbox` interface: trading, faults, the receiver's address, every order's truth, a command to send one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from connectors.kentico.sandbox.errors import BadControl, UnknownObject
from connectors.kentico.sandbox.gateway import KEY_HEADER, Gateway
from connectors.kentico.sandbox.history import Past, make
from connectors.kentico.sandbox.pages import orders_page
from connectors.kentico.sandbox.render import DateMode
from connectors.kentico.sandbox.rest import Fault, RestService
from connectors.kentico.sandbox.scenarios import SCENARIOS
from connectors.kentico.sandbox.schema import ORDER
from connectors.kentico.sandbox.sender import Sender, Target
from connectors.kentico.sandbox.shop import Shop
from connectors.kentico.sandbox.trade import Order, Trade

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def say_why(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Control errors in words; the REST service answers for itself."""
    try:
        return await handler(request)
    except BadControl as error:
        return web.json_response({"error": str(error)}, status=400)
    except UnknownObject as error:
        return web.json_response({"error": str(error)}, status=404)


class Control:
    """Handlers over the running sandbox; nothing here is part of Kentico."""

    def __init__(
        self, shops: Mapping[str, Shop], senders: Mapping[str, Sender], target: Target, rest: RestService, trade: Trade
    ) -> None:
        self.shops, self.senders, self.target, self.rest, self.trade = shops, senders, target, rest, trade

    def routes(self) -> list[web.RouteDef]:
        """All control routes, and the page at the root."""
        return [
            web.get("/", self._page),
            web.get("/_sandbox/info", self._info),
            web.get("/_sandbox/orders", self._orders),
            web.post("/_sandbox/orders/{instance}/{order_id}", self._act),
            web.get("/_sandbox/trade", self._progress),
            web.post("/_sandbox/trade", self._begin),
            web.delete("/_sandbox/trade", self._end),
            web.get("/_sandbox/payouts", self._payouts),
            web.post("/_sandbox/payouts", self._pay_out),
            web.post("/_sandbox/history", self._history),
            web.post("/_sandbox/release", self._release),
            web.post("/_sandbox/target", self._target),
            web.get("/_sandbox/faults", self._faults),
            web.post("/_sandbox/faults", self._add_fault),
            web.delete("/_sandbox/faults", self._clear_faults),
            web.post("/_sandbox/dates", self._dates),
            web.post("/_sandbox/gateway", self._gateway),
            web.get("/_sandbox/curl/{instance}", self._curl),
        ]

    def truths(self) -> list[dict[str, Any]]:
        """What is expected of every order, all instances."""
        return [truth for shop in self.shops.values() for truth in shop.database.truths()]

    def _shop(self, request: web.Request) -> Shop:
        name = request.match_info["instance"]
        if name not in self.shops:
            raise UnknownObject(f"no instance {name!r}; known: {', '.join(self.shops)}")
        return self.shops[name]

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=orders_page(self.truths(), self.trade.progress()), content_type="text/html")

    async def _info(self, request: web.Request) -> web.Response:
        instances = {
            name: {
                "rest": f"/{name}/rest", "time_zone": shop.catalogue.zone.key, "sites": list(shop.catalogue.sites),
                "dates": shop.date_mode.value, "user": shop.credentials.user,
                "last_answer": self.senders[name].last_answer,
                "orders": shop.database.count(ORDER),
            }
            for name, shop in self.shops.items()
        }  # fmt: skip
        return web.json_response(
            {"instances": instances, "target": self.target.url, "rest_requests": self.rest.requests}
        )

    async def _orders(self, request: web.Request) -> web.Response:
        truths = self.truths()
        for name in ("instance", "site", "kind", "expected"):
            if name in request.query:
                truths = [truth for truth in truths if truth[name] == request.query[name]]
        return web.json_response({"orders": truths, "count": len(truths)})

    async def _act(self, request: web.Request) -> web.Response:
        """{"action": "pay" | "edit_note" | …, "channel": null}: do something to one order now."""
        shop, body = self._shop(request), await _body(request)
        if not request.match_info["order_id"].isdigit():
            raise BadControl("the order's id is a number")
        order_id = int(request.match_info["order_id"])
        shop.follow_up(order_id, str(body.get("action")), body.get("channel"))
        return web.json_response(shop.database.truth(order_id))

    async def _progress(self, request: web.Request) -> web.Response:
        return web.json_response(self.trade.progress())

    async def _begin(self, request: web.Request) -> web.Response:
        self.trade.begin(Order.read(await _body(request), self.shops))
        return web.json_response(self.trade.progress(), status=202)

    async def _end(self, request: web.Request) -> web.Response:
        await self.trade.end()
        return web.json_response(self.trade.progress())

    async def _payouts(self, request: web.Request) -> web.Response:
        return web.json_response({"payouts": [one for shop in self.shops.values() for one in shop.database.payouts()]})

    async def _pay_out(self, request: web.Request) -> web.Response:
        """{"instance", "site", "option": "CreditCard", "currency"}: the gateway pays out what is new."""
        body = await _body(request)
        name = str(body.get("instance"))
        if name not in self.shops:
            raise BadControl(f"instance must be one of {', '.join(self.shops)}")
        wanted = (str(body.get("site")), str(body.get("option", "CreditCard")), str(body.get("currency")))
        return web.json_response({"payout": self.shops[name].pay_out(*wanted)})

    async def _history(self, request: web.Request) -> web.Response:
        """{"instance", "orders", "since", "until", "seed"}: orders of the past, put in at once; answers when done."""
        past = Past.read(await _body(request), self.shops)
        first, last = await make(past, self.shops[past.instance])
        return web.json_response({"orders": past.orders, "first_order": first, "last_order": last})

    async def _release(self, request: web.Request) -> web.Response:
        return web.json_response({"released": self.trade.release()})

    async def _target(self, request: web.Request) -> web.Response:
        body = await _body(request)
        url = body.get("url")
        if url is not None and not str(url).startswith(("http://", "https://")):
            raise BadControl("url must be the receiver's base address, such as http://127.0.0.1:8080, or null")
        self.target.url = url
        self.target.batch = max(1, min(500, int(body.get("batch", self.target.batch))))
        for sender in self.senders.values():
            sender.wake()
        return web.json_response({"url": self.target.url, "batch": self.target.batch})

    async def _faults(self, request: web.Request) -> web.Response:
        return web.json_response({"faults": [vars(fault) for fault in self.rest.faults]})

    async def _add_fault(self, request: web.Request) -> web.Response:
        self.rest.faults.append(Fault.read(await _body(request)))
        return await self._faults(request)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self.rest.faults.clear()
        return await self._faults(request)

    async def _dates(self, request: web.Request) -> web.Response:
        """{"instance", "mode"}: how an instance prints dates from now on."""
        body = await _body(request)
        modes = [mode.value for mode in DateMode]
        if body.get("instance") not in self.shops or body.get("mode") not in modes:
            raise BadControl(f"instance must be one of {', '.join(self.shops)} and mode one of {', '.join(modes)}")
        self.shops[body["instance"]].date_mode = DateMode(body["mode"])
        return web.json_response({"instance": body["instance"], "mode": body["mode"]})

    async def _gateway(self, request: web.Request) -> web.Response:
        """{"instance", "kind": "key" | "oauth2" | null, "expires_in"}: what stands before an instance's REST."""
        body = await _body(request)
        name = str(body.get("instance"))
        if name not in self.shops:
            raise BadControl(f"instance must be one of {', '.join(self.shops)}")
        gateway = Gateway.read(body, self.shops[name].clock)
        if gateway is None:
            self.rest.gateways.pop(name, None)
            return web.json_response({"instance": name, "kind": None})
        self.rest.gateways[name] = gateway
        return web.json_response(
            {
                "instance": name,
                "kind": gateway.kind,
                "key_header": KEY_HEADER,
                "key": gateway.key,
                "token_url": f"/{name}/oauth/token",
                "client_id": gateway.client_id,
                "client_secret": gateway.client_secret,
            }
        )

    async def _curl(self, request: web.Request) -> web.Response:
        shop = self._shop(request)
        kind = request.query.get("kind", "plain")
        site = request.query.get("site", next(iter(shop.catalogue.sites)))
        if kind not in SCENARIOS:
            raise BadControl(f"no kind {kind!r}; known: {', '.join(SCENARIOS)}")
        url = request.query.get("url") or self.target.url or "http://127.0.0.1:8080"
        return web.Response(text=curl(shop, site, kind, url))


def curl(shop: Shop, site: str, kind: str, url: str) -> str:
    """A shell command that sends a new order; it is in the shop, but no event tells of it unless a person does."""
    order_id = shop.place(kind, site, "curl", None)
    rows = shop.load(order_id)
    event = shop.envelope("order.paid", ORDER, rows.order, rows.order["OrderSiteID"], shop.order_data(rows))
    # ASCII JSON without an apostrophe needs no care inside single quotes, whatever the terminal.
    body = json.dumps(event).replace("'", "\\u0027")
    secret = shop.credentials.webhook_secret.replace("'", "'\\''")
    return (
        f"body='{body}'; ts=$(date +%s);"
        f" sig=$(printf '%s.%s' \"$ts\" \"$body\" | openssl dgst -sha256 -hmac '{secret}' | sed 's/^.* //');"
        f" curl -sS -X POST '{url.rstrip('/')}/kentico/{shop.name}/events' -H 'Content-Type: application/json'"
        f" -H \"X-Kentico-Signature: t=$ts,v1=$sig\" -H 'X-Kentico-Event-Id: {event['eventId']}'"
        ' --data-binary "$body"\n'
    )


async def _body(request: web.Request) -> dict[str, Any]:
    text = await request.text()
    if not text:
        return {}
    try:
        body = json.loads(text)
    except ValueError as error:
        raise BadControl(f"body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadControl("body must be one JSON object")
    return body
