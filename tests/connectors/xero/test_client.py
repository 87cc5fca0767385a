"""XeroClient over real sockets: what goes out, and what every kind of answer and accident becomes."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest

from connectors.xero.auth import AccessToken
from connectors.xero.calls import Call, Doubt
from connectors.xero.client import ClientSettings, XeroClient, segment
from connectors.xero.errors import AuthRevoked, IdentityUnreachable, XeroError
from tests.connectors.xero.servers import Handler, RawServer, drip, hang, raw, reply, trickle

# Not what json.dumps would write: spacing, an exponent, an escape, a long decimal and non-ASCII must all survive.
BODY = b'{"Invoices" :[{"Total":1.00,"Rate":1e2,"Name":"caf\\u00e9 \xc3\xa9","X":0.12345678901234567890}]}'
OK = reply(200, b'{"Status":"OK","Invoices":[{"Total":24.15,"Count":3}]}', X_MinLimit_Remaining="59")


class FixedTokens:
    """Hands out tokens t1, t2, … ; a new one after each renewal. `error` is raised instead, when set."""

    def __init__(self) -> None:
        self.generation = 1
        self.error: XeroError | None = None

    def token(self) -> AccessToken:
        if self.error:
            raise self.error
        return AccessToken.of(f"t{self.generation}", 1e12)

    def held(self, token_id: str) -> AccessToken | None:
        tokens = [AccessToken.of(f"t{n}", 1e12) for n in (self.generation, self.generation - 1)]
        return next((token for token in tokens if token.id == token_id), None)

    def renew(self, refused: str) -> AccessToken:
        if self.token().id == refused:
            self.generation += 1
        return self.token()


class Bench:
    """A server with a script, a client at it, and its tokens."""

    def __init__(self, server: RawServer, tenant: str | None) -> None:
        self.server = server
        self.tokens = FixedTokens()
        self.client = XeroClient(ClientSettings(f"{server.url}/api.xro/2.0", tenant, connect_timeout=1.0), self.tokens)


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    script: list[Handler] = getattr(request, "param", [OK])
    with RawServer(script).running() as server:
        made = Bench(server, "tenant-1")
        yield made
        made.client.close()


def put(deadline: float = 5.0) -> Call:
    query = (("summarizeErrors", "false"), ("unitdp", "4"))
    return Call("PUT", "Invoices", query, BODY, idempotency_key="key-1", deadline=deadline)


def script(*handlers: Handler) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bench", [list(handlers)], indirect=True)


def test_the_bytes_of_the_call_are_the_bytes_on_the_wire(bench: Bench) -> None:
    answer = bench.client.call(put())
    sent = bench.server.requests[0]
    assert sent.body == BODY
    assert sent.line == "PUT /api.xro/2.0/Invoices?summarizeErrors=false&unitdp=4 HTTP/1.1"
    assert sent.headers["idempotency-key"] == "key-1"
    assert sent.headers["xero-tenant-id"] == "tenant-1"
    assert sent.headers["authorization"] == "Bearer t1"
    assert sent.headers["accept-encoding"] == "gzip"
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["content-length"] == str(len(BODY))
    assert answer.ok
    assert answer.body["Invoices"][0] == {"Total": Decimal("24.15"), "Count": 3}
    assert answer.headers["x-minlimit-remaining"] == "59"
    assert answer.token_id == AccessToken.of("t1", 0).id


def test_a_custom_connection_sends_no_tenant_and_a_read_no_body(bench: Bench) -> None:
    client = XeroClient(ClientSettings(bench.server.url), FixedTokens())
    number = segment("A/1 %é")
    client.call(
        Call(
            "GET", f"CreditNotes/{number}", (("where", 'Reference=="a b,c"'),), if_modified_since="2026-01-02T03:04:05"
        )
    )
    sent = bench.server.requests[0]
    assert "xero-tenant-id" not in sent.headers
    assert "idempotency-key" not in sent.headers
    assert sent.headers["if-modified-since"] == "2026-01-02T03:04:05"
    assert sent.line.startswith("GET /CreditNotes/A%2F1%20%25%C3%A9?where=Reference%3D%3D%22a+b,c%22 ")
    assert sent.body == b""


@script(reply(200, gzip.compress(b'{"Invoices":[]}'), Content_Encoding="gzip"))
def test_gzip_is_read(bench: Bench) -> None:
    assert bench.client.call(put()).body == {"Invoices": []}


def test_connections_are_kept_between_calls(bench: Bench) -> None:
    for _ in range(3):
        assert bench.client.call(put()).ok
    assert bench.server.connections == 1


HTML = b"<html>maintenance</html>"
CUT = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n" + b'{"Invoices":[{'


@pytest.mark.parametrize(
    ("bench", "status", "doubt"),
    [
        ([reply(200, HTML, "text/html")], 200, Doubt.UNREADABLE),
        ([reply(200, b'{"Invoices":[{"Total":1')], 200, Doubt.UNREADABLE),
        ([reply(200, b'{"Total":NaN}')], 200, Doubt.UNREADABLE),
        ([reply(200)], 200, Doubt.UNREADABLE),
        ([reply(200, b'{"Invoices":[]}', Content_Encoding="gzip")], 200, Doubt.UNREADABLE),
        ([raw(CUT)], 0, Doubt.DROPPED),
        ([raw(b"")], 0, Doubt.DROPPED),
        ([raw(b"HTTP/1.1 20")], 0, Doubt.DROPPED),
        ([raw(b"SSH-2.0-nonsense\r\n\r\n")], 0, Doubt.DROPPED),
        ([reply(500, b'{"Type":"InternalError"}')], 500, Doubt.SERVER_ERROR),
        ([reply(502, HTML, "text/html")], 502, Doubt.DROPPED),
        ([reply(504)], 504, Doubt.DROPPED),
        ([reply(503, b"Not available", "text/plain")], 503, None),
        ([reply(400, b'{"ErrorNumber":10,"Type":"ValidationException","Message":"A validation"}')], 400, None),
        ([reply(404, b"", "text/html")], 404, None),
        ([reply(429, b"", "", X_Rate_Limit_Problem="minute", Retry_After="26")], 429, None),
        ([reply(302, b"", "", Location="http://127.0.0.1:9/elsewhere")], 302, None),
    ],
    indirect=["bench"],
)
def test_every_answer_to_a_write_is_told_apart_and_asked_for_once(
    bench: Bench, status: int, doubt: Doubt | None
) -> None:
    answer = bench.client.call(put())
    assert (answer.status, answer.doubt) == (status, doubt)
    assert not answer.ok
    assert len(bench.server.requests) == 1  # no hidden retry: xero-python's default would send a PUT four times


@script(reply(400, b'{"Type":"ValidationException","Message":"M","Elements":[{"Name":"Ann Example"}]}'))
def test_the_detail_names_the_error_and_nobody(bench: Bench) -> None:
    answer = bench.client.call(put())
    assert answer.detail == "ValidationException; M"
    assert answer.body["Elements"][0]["Name"] == "Ann Example"


@script(reply(429, b"", "", X_Rate_Limit_Problem="day", Retry_After="66975"))
def test_a_429_comes_back_at_once_with_its_headers(bench: Bench) -> None:
    began = time.monotonic()
    answer = bench.client.call(put())
    assert time.monotonic() - began < 2
    assert answer.headers["retry-after"] == "66975"
    assert answer.detail == "day"


@script(reply(500, b"{}"))
def test_a_500_on_a_read_is_no_doubt(bench: Bench) -> None:
    answer = bench.client.call(Call("GET", "Accounts"))
    assert (answer.status, answer.doubt) == (500, None)


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n" + b" " * 4000


@pytest.mark.parametrize(
    "bench",
    [
        [hang],
        [trickle(WHOLE, 0.05)],
        [trickle(WHOLE[:30] + b"X" * 4000, 0.05)],
        [drip(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b" " * 4000, 0.05)],
    ],
    ids=["silence", "trickling body", "trickling headers", "trickling without an end"],
    indirect=True,
)
def test_the_deadline_holds_whatever_the_socket_waits_for(bench: Bench) -> None:
    began = time.monotonic()
    answer = bench.client.call(put(deadline=0.6))
    assert 0.5 < time.monotonic() - began < 1.6
    assert (answer.status, answer.doubt) == (0, Doubt.TIMEOUT)


def test_the_deadline_holds_while_the_server_takes_no_bytes() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client = XeroClient(ClientSettings(f"http://127.0.0.1:{listener.getsockname()[1]}"), FixedTokens())
        began = time.monotonic()
        answer = client.call(Call("PUT", "Invoices", body=b"x" * 20_000_000, deadline=0.6))
        assert time.monotonic() - began < 2
        assert answer.doubt is Doubt.TIMEOUT


@script(trickle(WHOLE, 0.05), OK)
def test_a_connection_ended_by_the_watchdog_is_not_used_again(bench: Bench) -> None:
    assert bench.client.call(put(deadline=0.3)).doubt is Doubt.TIMEOUT
    assert bench.client.call(put()).ok
    assert bench.server.connections == 2


def test_nobody_listening_means_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = XeroClient(ClientSettings(f"http://127.0.0.1:{port}"), FixedTokens()).call(put())
    assert (answer.status, answer.doubt) == (0, None)
    assert "not connected" in answer.detail


def test_a_name_that_does_not_resolve_means_nothing_was_sent() -> None:
    answer = XeroClient(ClientSettings("http://xero.invalid"), FixedTokens()).call(put())
    assert (answer.status, answer.doubt) == (0, None)


def test_a_failed_tls_handshake_means_nothing_was_sent(bench: Bench) -> None:
    client = XeroClient(ClientSettings(bench.server.url.replace("http:", "https:")), FixedTokens())
    answer = client.call(put())
    assert (answer.status, answer.doubt) == (0, None)


def test_nothing_leaves_after_send_by(bench: Bench) -> None:
    answer = bench.client.call(put(), send_by=time.monotonic() - 0.001)
    assert (answer.status, answer.doubt) == (0, None)
    assert "renew" in answer.detail
    assert bench.server.requests == []
    assert bench.client.call(put(), send_by=time.monotonic() + 5).ok


class Jumping:
    """A clock that stands at 0 for so many looks, then at `then`: the process was frozen."""

    def __init__(self, looks: int, then: float) -> None:
        self.looks, self.then = looks, then

    def __call__(self) -> float:
        self.looks -= 1
        return 0.0 if self.looks >= 0 else self.then


@pytest.mark.parametrize(("send_by", "then"), [(3.0, 4.0), (None, 10.0)])
def test_a_process_frozen_before_the_body_sends_no_whole_request(
    bench: Bench, send_by: float | None, then: float
) -> None:
    """Frozen before each look at the clock in turn: Xero gets no request, half of one, or the whole in time."""
    seen = set()
    for looks in range(1, 8):
        before = len(bench.server.requests)
        bench.client._clock = Jumping(looks, then)
        answer = bench.client.call(put(), send_by=send_by)
        bench.client.close()  # the server has read to the end of what it was sent
        whole = any(request.body == BODY for request in bench.server.requests[before:])
        seen.add((answer.ok, answer.doubt, whole))
    assert seen == {(False, None, False), (False, Doubt.TIMEOUT, False), (True, None, True)}


@script(reply(401, b'{"Title":"Unauthorized","Status":401,"Detail":"TokenExpired"}'), OK)
def test_a_401_renews_the_token_and_sends_once_more(bench: Bench) -> None:
    answer = bench.client.call(put())
    assert answer.ok
    assert [r.headers["authorization"] for r in bench.server.requests] == ["Bearer t1", "Bearer t2"]
    assert answer.token_id == AccessToken.of("t2", 0).id


@script(reply(401, b'{"Detail":"AuthenticationUnsuccessful"}'))
def test_a_second_401_is_the_answer(bench: Bench) -> None:
    answer = bench.client.call(put())
    assert answer.status == 401
    assert len(bench.server.requests) == 2


@script(reply(401))
def test_a_repeat_keeps_its_token_or_is_not_sent(bench: Bench) -> None:
    first = AccessToken.of("t1", 0).id
    assert bench.client.call(put(), same_token=first).status == 401
    assert len(bench.server.requests) == 1  # a repeat under another token might be executed again
    bench.tokens.generation = 2
    bench.client.call(put(), same_token=first)
    assert bench.server.requests[-1].headers["authorization"] == "Bearer t1"  # still held
    bench.tokens.generation = 3
    answer = bench.client.call(put(), same_token=first)
    assert (answer.status, answer.doubt, len(bench.server.requests)) == (0, None, 2)


def test_what_the_identity_service_does_becomes_an_answer(bench: Bench) -> None:
    bench.tokens.error = IdentityUnreachable("down")
    assert (bench.client.call(put()).status, bench.client.token_id()) == (0, "")
    bench.tokens.error = AuthRevoked("run `k2x xero connect`")
    answer = bench.client.call(put())
    assert (answer.status, answer.doubt, answer.detail) == (401, None, "run `k2x xero connect`")
    assert bench.server.requests == []


def test_clients_of_two_organisations_never_mix_their_tokens_and_tenants() -> None:
    with RawServer([OK]).running() as server:
        clients = []
        for n in range(2):
            tokens = FixedTokens()
            tokens.generation = 10 + n
            clients.append(XeroClient(ClientSettings(server.url, f"tenant-{10 + n}"), tokens))
        threads = [
            threading.Thread(target=lambda c=client: [c.call(put()) for _ in range(20)])
            for client in clients
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seen = {(r.headers["authorization"], r.headers["xero-tenant-id"]) for r in server.requests}
        assert len(server.requests) == 120
        assert seen == {("Bearer t10", "tenant-10"), ("Bearer t11", "tenant-11")}
