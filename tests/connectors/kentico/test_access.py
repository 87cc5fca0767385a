"""Shops behind a gateway: the headers it wants, and OAuth 2 client credentials whose token is shared and renewed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from connectors.kentico.access import ClientCredentials
from connectors.kentico.errors import RestDenied, RestUnavailable
from connectors.kentico.rest import KenticoRest
from connectors.kentico.sandbox.gateway import KEY_HEADER, Gateway
from connectors.kentico.sandbox.server import Sandbox
from connectors.kentico.settings import OAuth2Settings, RestSettings
from tests.connectors.kentico.rig import instance

OAUTH2 = OAuth2Settings(
    token_url="https://login.test/token", client_id="k2x", client_secret=SecretStr("s3cret"), scope="orders"
)


class Login:
    """A token server and a service behind it, with a clock that a test sets."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, list[str]]] = []
        self.refused: set[str] = set()
        self.at = 0.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "login.test":
            self.asked.append(parse_qs(request.content.decode()))
            token = {"access_token": f"t{len(self.asked)}", "expires_in": 600, "token_type": "Bearer"}
            return self.answers.pop(0) if self.answers else httpx.Response(200, json=token)
        given = request.headers.get("Authorization", "")
        return httpx.Response(401 if given in self.refused else 200, text=given)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            auth=ClientCredentials(OAUTH2, lambda: self.at),
            transport=httpx.MockTransport(self),
            base_url="https://shop",
        )


async def test_one_token_serves_all_requests_until_a_minute_before_its_end() -> None:
    login = Login()
    async with login.client() as client:
        answers = await asyncio.gather(*(client.get("/") for _ in range(5)))
        assert {answer.text for answer in answers} == {"Bearer t1"}
        login.at = 539.0
        assert (await client.get("/")).text == "Bearer t1"
        login.at = 541.0
        assert (await client.get("/")).text == "Bearer t2"
    assert login.asked[0] == {
        "grant_type": ["client_credentials"],
        "client_id": ["k2x"],
        "client_secret": ["s3cret"],
        "scope": ["orders"],
    }


async def test_a_token_that_is_refused_is_renewed_once() -> None:
    login = Login()
    login.refused = {"Bearer t1", "Bearer t3"}
    async with login.client() as client:
        answers = await asyncio.gather(*(client.get("/") for _ in range(3)))
        assert {(answer.status_code, answer.text) for answer in answers} == {(200, "Bearer t2")}
        login.refused = {"Bearer t2", "Bearer t3"}
        assert (await client.get("/")).status_code == 401
    assert len(login.asked) == 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(503), RestUnavailable),
        (httpx.Response(429), RestUnavailable),
        (httpx.Response(401), RestDenied),
        (httpx.Response(200, text="<html>"), RestDenied),
        (httpx.Response(200, json=["t"]), RestDenied),
        (httpx.Response(200, json={"access_token": ""}), RestDenied),
        (httpx.Response(200, json={"access_token": "t", "expires_in": "soon"}), RestDenied),
    ],
)
async def test_no_token_is_an_error_that_names_the_address_and_the_next_request_asks_anew(
    answer: httpx.Response, error: type[Exception]
) -> None:
    async with Login(answer).client() as client:
        with pytest.raises(error, match=r"https://login\.test/token"):
            await client.get("/")
        assert (await client.get("/")).text == "Bearer t2"


def key(sandbox: Sandbox, gateway: Gateway) -> dict[str, Any]:
    return {"headers": {KEY_HEADER: SecretStr(gateway.key)}}


def oauth2(sandbox: Sandbox, gateway: Gateway) -> dict[str, Any]:
    told = OAuth2Settings(
        token_url=f"{sandbox.base_url}/emea/oauth/token",
        client_id=gateway.client_id,
        client_secret=SecretStr(gateway.client_secret),
    )
    return {"user": None, "password": None, "oauth2": told}


@pytest.mark.parametrize(("kind", "told"), [("key", key), ("oauth2", oauth2)])
async def test_a_shop_is_read_through_its_gateway(
    sandbox: Sandbox, kind: str, told: Callable[[Sandbox, Gateway], dict[str, Any]]
) -> None:
    placed = sandbox.shops["emea"].place("plain", "GoatUK", 1, None)
    gateway = sandbox.rest.gateways["emea"] = Gateway(kind, sandbox.clock)
    plain = instance(sandbox, "emea").rest
    assert plain is not None
    rest = KenticoRest("emea", plain)
    with pytest.raises(RestDenied):
        await rest.rows("ecommerce.order")
    await rest.close()
    rest = KenticoRest("emea", RestSettings(**{**plain.model_dump(), **told(sandbox, gateway)}))
    assert [row["OrderID"] for row in await rest.rows("ecommerce.order")] == [placed]
    await rest.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"user": "k2x"}, "user and password go together"),
        ({"user": "k2x", "password": "p", "oauth2": OAUTH2}, "leave one out"),
        ({"oauth2": OAUTH2, "headers": {"authorization": "x"}}, "leave one out"),
    ],
)
def test_two_ways_to_log_in_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RestSettings(url="http://shop/rest", **given)
