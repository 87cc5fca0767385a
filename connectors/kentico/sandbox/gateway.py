"""An API gateway before a shop's REST service: wants a key in a header beside Basic, or a bearer token instead."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from connectors.kentico.sandbox.errors import BadControl

KINDS = ("key", "oauth2")
KEY_HEADER = "Ocp-Apim-Subscription-Key"


@dataclass
class Gateway:
    """`kind` key or oauth2. The secrets are known to everybody: only for a shop on the loopback interface."""

    kind: str
    clock: Callable[[], datetime]
    key: str = "goat-gateway-key"
    client_id: str = "k2x"
    client_secret: str = "goat-gateway-secret"  # noqa: S105 - guards nothing
    expires_in: int = 3600
    tokens: dict[str, datetime] = field(default_factory=dict)
    issued: int = 0

    @classmethod
    def read(cls, body: Mapping[str, Any], clock: Callable[[], datetime]) -> Gateway | None:
        """From a control request; None takes the gateway away. Raises BadControl."""
        kind = body.get("kind")
        if kind is None:
            return None
        if kind not in KINDS:
            raise BadControl(f"kind must be one of {', '.join(KINDS)}, or null")
        return cls(kind, clock, expires_in=int(body.get("expires_in", 3600)))

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Why a request is not let through."""
        if self.kind == "key":
            given = headers.get(KEY_HEADER, "")
            return None if hmac.compare_digest(given, self.key) else "gateway key"
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        ends = self.tokens.get(token)
        if scheme.lower() != "bearer" or ends is None:
            return "no bearer token of ours"
        return None if self.clock() < ends else "the token has expired"

    async def token(self, request: web.Request) -> web.Response:
        """`POST /{instance}/oauth/token`, a form of client credentials."""
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            return web.json_response({"error": "invalid_client"}, status=401)
        token = secrets.token_urlsafe(16)
        self.tokens[token] = self.clock() + timedelta(seconds=self.expires_in)
        self.issued += 1
        return web.json_response({"token_type": "Bearer", "access_token": token, "expires_in": self.expires_in})
