"""Tokens: half an hour, scopes, tenants, rotation with its grace, connections."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from connectors.xero.sandbox import Sandbox
from tests.connectors.xero.sandbox.conftest import Caller, basic

REDIRECT = "http://127.0.0.1:9/callback"
SCOPE = "openid offline_access accounting.invoices accounting.settings.read"


class WebApp:
    """The app with the authorization-code flow."""

    def __init__(self, sandbox: Sandbox, xero: Caller):
        self.xero = xero
        self.app = next(app for app in sandbox.world.identity.apps.values() if app.org is None)

    async def token(self, **form: str) -> Any:
        auth = basic(self.app.client_id, self.app.client_secret)
        return await self.xero.send("POST", "/connect/token", data=form, headers=auth)

    async def consent(self, *orgs: str, decision: str = "allow", **more: str) -> dict[str, list[str]]:
        query = {"client_id": self.app.client_id, "redirect_uri": REDIRECT, "scope": SCOPE, "state": "s"} | more
        page = await self.xero.send("GET", "/identity/connect/authorize", params=query)
        assert page.status == 200
        assert b"Demo Company (UK)" in page.raw
        form = [*query.items(), *(("org", one) for one in orgs), ("decision", decision)]
        got = await self.xero.send("POST", "/identity/connect/authorize", data=aiohttp.FormData(form))
        assert got.status == 302
        return parse_qs(urlsplit(got.headers["Location"]).query)

    async def sign_in(self, *orgs: str) -> Any:
        code = (await self.consent(*orgs))["code"][0]
        return (await self.token(grant_type="authorization_code", code=code, redirect_uri=REDIRECT)).json

    async def refresh(self, token: str) -> Any:
        return await self.token(grant_type="refresh_token", refresh_token=token)


@pytest.fixture
def app(sandbox: Sandbox, xero: Caller) -> WebApp:
    return WebApp(sandbox, xero)


async def test_a_token_lives_for_thirty_minutes(xero: Caller) -> None:
    await xero.sign_in()
    await xero.clock(1799)
    assert (await xero.api("GET", "Organisation")).status == 200
    await xero.clock(1)
    old = await xero.api("GET", "Organisation")
    assert (old.status, old.json["Detail"]) == (401, "TokenExpired: token expired at 09/14/2026 10:00:00")
    assert "X-MinLimit-Remaining" not in old.headers
    xero.token += "x"
    assert (await xero.api("GET", "Organisation")).json["Detail"] == "AuthenticationUnsuccessful"


async def test_scopes_and_tenants(xero: Caller, sandbox: Sandbox) -> None:
    await xero.sign_in("accounting.invoices accounting.settings.read")
    assert (await xero.api("GET", "Invoices")).status == 200
    refused = await xero.api("GET", "Contacts")
    assert (refused.status, refused.json["Detail"]) == (401, "AuthorizationUnsuccessful")
    assert refused.headers["WWW-Authenticate"] == "insufficient_scope"
    other = {"xero-tenant-id": sandbox.organisations[1].id}
    wrong = await xero.api("GET", "Invoices", headers=other)
    assert (wrong.status, wrong.json["detail"]) == (403, "AuthenticationUnsuccessful")
    assert (await xero.api("GET", "Nothing")).status == 404
    assert (await xero.api("PUT", "Currencies", {})).status == 401
    await xero.sign_in("accounting.settings")
    assert (await xero.api("PUT", "Currencies", {})).status == 501


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "client_credentials", "scope": "everything"}, "invalid_scope"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "no"}, "invalid_grant"),
    ],
)
async def test_token_errors(xero: Caller, form: dict[str, str], error: str) -> None:
    auth = basic(xero.org.client_id, xero.org.client_secret)
    got = await xero.send("POST", "/connect/token", data=form, headers=auth)
    assert (got.status, got.json) == (400, {"error": error})
    bad = await xero.send("POST", "/connect/token", data=form, headers=basic(xero.org.client_id, "wrong"))
    assert bad.json == {"error": "invalid_client"}


async def test_one_app_reaches_what_the_person_chose(app: WebApp, xero: Caller, sandbox: Sandbox) -> None:
    first = await app.sign_in("uk", "de")
    assert first["expires_in"] == 1800
    assert first["id_token"]
    xero.token = first["access_token"]
    listed = await xero.send("GET", "/connections", headers={"Authorization": f"Bearer {xero.token}"})
    assert [one["tenantName"] for one in listed.json] == ["Demo Company (UK)", "Demo Company (Deutschland)"]
    uk, au, de = (org.id for org in sandbox.organisations)
    statuses = [(await xero.api("GET", "Organisation", headers={"xero-tenant-id": one})).status for one in (uk, au, de)]
    assert statuses == [200, 403, 200]
    assert (await xero.api("GET", "Organisation")).status == 403
    gone = listed.json[0]["id"]
    assert gone != uk
    auth = {"Authorization": f"Bearer {xero.token}"}
    assert (await xero.send("DELETE", f"/connections/{gone}", headers=auth)).status == 204
    assert (await xero.api("GET", "Organisation", headers={"xero-tenant-id": uk})).status == 403


async def test_refresh_tokens_rotate_with_a_grace_for_a_lost_answer(app: WebApp, xero: Caller) -> None:
    first = (await app.sign_in("uk"))["refresh_token"]
    lost = (await app.refresh(first)).json["refresh_token"]
    await xero.clock(1799)
    second = (await app.refresh(first)).json["refresh_token"]  # the answer was lost, the old one works again
    assert (await app.refresh(lost)).json == {"error": "invalid_grant"}
    third = await app.refresh(second)
    assert third.status == 200
    assert (await app.refresh(first)).json == {"error": "invalid_grant"}  # its successor is in use
    await xero.clock(1801)
    assert (await app.refresh(second)).json == {"error": "invalid_grant"}
    await xero.clock(61 * 86_400)
    assert (await app.refresh(third.json["refresh_token"])).json == {"error": "invalid_grant"}


async def test_codes_work_once_with_their_proof_and_revocation_ends_everything(app: WebApp, xero: Caller) -> None:
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    answer = await app.consent("uk", code_challenge=challenge, code_challenge_method="S256")
    assert answer["state"] == ["s"]
    form = {"grant_type": "authorization_code", "code": answer["code"][0], "redirect_uri": REDIRECT}
    assert (await app.token(**form)).json == {"error": "invalid_grant"}
    code = (await app.consent("uk", code_challenge=challenge))["code"][0]
    good = await app.token(**(form | {"code": code, "code_verifier": verifier}))
    assert good.status == 200
    assert (await app.token(**(form | {"code": code, "code_verifier": verifier}))).status == 400
    assert (await app.consent(decision="deny"))["error"] == ["access_denied"]
    auth = basic(app.app.client_id, app.app.client_secret)
    token = {"token": good.json["refresh_token"]}
    assert (await xero.send("POST", "/connect/revocation", data=token, headers=auth)).status == 200
    assert (await app.refresh(token["token"])).json == {"error": "invalid_grant"}
    xero.token = good.json["access_token"]
    assert (await xero.api("GET", "Organisation", headers={"xero-tenant-id": xero.org.id})).status == 401


async def test_a_lost_refresh_answer_is_the_graces_case(app: WebApp, xero: Caller) -> None:
    token = (await app.sign_in("uk"))["refresh_token"]
    await xero.admin("POST", "faults", {"kind": "drop_after", "path": "/connect/token"})
    with pytest.raises(aiohttp.ClientError):
        await app.refresh(token)
    assert (await app.refresh(token)).status == 200
