"""The identity endpoints over HTTP: the authorize page, /connect/token, /connect/revocation, /connections."""

from __future__ import annotations

import base64
import binascii
import html
from collections.abc import Mapping
from urllib.parse import unquote, urlencode

import orjson
from aiohttp import web

from connectors.xero.sandbox.errors import IdentityRefused, Unauthorised
from connectors.xero.sandbox.identity import App, Identity

AUTHORIZE_PATHS = ("/connect/authorize", "/identity/connect/authorize")


def json_response(body: object, status: int = 200) -> web.Response:
    """A JSON reply."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


class SignIn:
    """Handlers round an `Identity`."""

    def __init__(self, identity: Identity):
        self.identity = identity

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        pages = [web.get(path, self.authorize_page) for path in AUTHORIZE_PATHS]
        forms = [web.post(path, self.authorize_form) for path in AUTHORIZE_PATHS]
        return [
            *pages,
            *forms,
            web.post("/connect/token", self.token),
            web.post("/connect/revocation", self.revocation),
            web.get("/connections", self.connections),
            web.delete("/connections/{id}", self.disconnect),
        ]

    def _app(self, request: web.Request, form: Mapping[str, str]) -> App:
        header = request.headers.get("Authorization", "")
        if header.lower().startswith("basic "):
            try:
                id_, _, secret = base64.b64decode(header[6:], validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError) as problem:
                raise IdentityRefused("invalid_client") from problem
            return self.identity.authenticate(unquote(id_), unquote(secret))
        return self.identity.authenticate(form.get("client_id", ""), form.get("client_secret", ""))

    async def token(self, request: web.Request) -> web.Response:
        """POST /connect/token: client_credentials, authorization_code, refresh_token."""
        form = {key: str(value) for key, value in (await request.post()).items()}
        grant = form.get("grant_type", "")
        try:
            app = self._app(request, form)
            if grant == "client_credentials":
                return json_response(self.identity.client_credentials(app, form.get("scope", "")))
            if grant == "authorization_code":
                code, uri = form.get("code", ""), form.get("redirect_uri", "")
                return json_response(self.identity.exchange(app, code, uri, form.get("code_verifier", "")))
            if grant == "refresh_token":
                return json_response(self.identity.refresh(app, form.get("refresh_token", "")))
            raise IdentityRefused("unsupported_grant_type")
        except IdentityRefused as problem:
            return json_response({"error": problem.error}, 400)

    async def revocation(self, request: web.Request) -> web.Response:
        """POST /connect/revocation: 200 with an empty body."""
        form = {key: str(value) for key, value in (await request.post()).items()}
        try:
            self.identity.revoke(self._app(request, form), form.get("token", ""))
        except IdentityRefused as problem:
            return json_response({"error": problem.error}, 400)
        return web.Response()

    async def authorize_page(self, request: web.Request) -> web.Response:
        """The consent page: choose organisations, allow or deny."""
        query = request.query
        scope, uri = query.get("scope", ""), query.get("redirect_uri", "")
        try:
            app = self.identity.check_authorize(query.get("client_id", ""), uri, scope)
        except IdentityRefused as problem:
            return web.Response(text=f"Xero sandbox: {problem.error}\n", status=400)
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(key)}" value="{html.escape(value)}">'
            for key, value in query.items()
        )
        boxes = "".join(
            f'<p><label><input type="checkbox" name="org" value="{slug}" checked> {html.escape(org.name)}</label></p>'
            for slug, org in self.identity.orgs.items()
        )
        return web.Response(
            content_type="text/html",
            text=f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Allow access · Xero sandbox</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}}
button{{font:inherit;padding:.4rem 1.2rem}}</style>
<h1>{html.escape(app.name)} wants access</h1><p>Scopes: {html.escape(scope) or "none"}</p>
<form method="post">{hidden}{boxes}
<button name="decision" value="allow">Allow access</button>
<button name="decision" value="deny">Cancel</button></form></html>""",
        )

    async def authorize_form(self, request: web.Request) -> web.Response:
        """The person's decision, as a redirect with a code or an error."""
        form = await request.post()
        uri, state = str(form.get("redirect_uri", "")), str(form.get("state", ""))
        scope, client_id = str(form.get("scope", "")), str(form.get("client_id", ""))
        try:
            self.identity.check_authorize(client_id, uri, scope)
            answer = {"error": "access_denied"}
            if form.get("decision") == "allow":
                orgs = [str(one) for one in form.getall("org", [])] or list(self.identity.orgs)
                answer = {
                    "code": self.identity.authorize(client_id, uri, scope, orgs, str(form.get("code_challenge", ""))),
                    "scope": scope,
                }
        except IdentityRefused as problem:
            return web.Response(text=f"Xero sandbox: {problem.error}\n", status=400)
        if state:
            answer["state"] = state
        return web.Response(status=302, headers={"Location": f"{uri}{'&' if '?' in uri else '?'}{urlencode(answer)}"})

    async def connections(self, request: web.Request) -> web.Response:
        """GET /connections: a bare array."""
        try:
            bearer = self.identity.bearer(request.headers.get("Authorization", ""))
        except Unauthorised as problem:
            return json_response(problem.body, problem.status)
        return json_response(self.identity.connections(bearer, request.query.get("authEventId")))

    async def disconnect(self, request: web.Request) -> web.Response:
        """DELETE /connections/{id}: 204."""
        try:
            bearer = self.identity.bearer(request.headers.get("Authorization", ""))
        except Unauthorised as problem:
            return json_response(problem.body, problem.status)
        return web.Response(status=204 if self.identity.disconnect(bearer, request.match_info["id"]) else 404)
