"""Under xero-python: a transport that sends frozen bytes once, and that a watchdog can end at a fixed moment.

Guarantees: no retries, no redirects, no re-serialising; the clock is looked at just before the first byte goes to the
socket, and again just before the body does, without which Xero does nothing; at the deadline the socket is shut,
whatever it waits for (headers, a trickle of bytes, a full buffer).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast
from urllib.parse import urlencode

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from xero_python.api_client.oauth2 import OAuth2Token
from xero_python.rest import RESTClientObject

from connectors.xero.crash import crash_point

# A socket idle for longer may be shut by the other side just as we write, which would cost a doubt and a read-back.
_IDLE = 15.0


class Late(Exception):
    """The moment by which the first byte had to leave has passed; nothing was sent."""


class Expired(Exception):
    """The deadline passed before the connection was there; nothing was sent."""


class Exchange:
    """One request under way, known to the thread that makes it and to the watchdog."""

    def __init__(
        self, bearer: str, ends: float, send_by: float, connect: float, clock: Callable[[], float], writes: str
    ) -> None:
        self.bearer = bearer
        self.ends = ends
        self.send_by = send_by
        self.connect = connect
        self.clock = clock
        self.writes = writes  # what it writes, as in Call.purpose; "" for a read
        self.sent = False  # true from just before the first byte
        self.expired = False  # true once the watchdog has shut the socket
        self._sock: Any = None  # the socket itself: a connection forgets it as soon as it reads "Connection: close"
        self._lock = threading.Lock()

    def look(self) -> None:
        """At the clock: Expired or Late where nothing more may leave."""
        now = self.clock()
        if now >= self.ends:
            raise Expired("the deadline passed while connecting: nothing was sent")
        if now >= self.send_by:
            raise Late("too late to send under this intention: nothing was sent, renew it first")

    def begin(self, connection: Any) -> None:
        """Called with a live connection, just before the first byte."""
        self.look()
        with self._lock:
            self._sock = connection.sock
            self.sent = True

    def end(self) -> None:
        """The connection goes back to the pool: from now on it is another exchange's."""
        with self._lock:
            self._sock = None

    def shut(self) -> None:
        """The watchdog's bite."""
        with self._lock:
            self.expired = True
            if self._sock is not None:
                # Not SSLSocket.shutdown, which would drop the cipher under a thread that is still reading or writing.
                with contextlib.suppress(OSError):  # the other side was quicker
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


_current = threading.local()


@contextlib.contextmanager
def exchange(
    bearer: str, ends: float, send_by: float, connect: float, clock: Callable[[], float], writes: str = ""
) -> Iterator[Exchange]:
    """Make an Exchange the one that this thread's requests belong to, under a watchdog, until the block ends."""
    ex = Exchange(bearer, ends, send_by, connect, clock, writes)
    watchdog = threading.Timer(max(0.0, ends - clock()), ex.shut)
    watchdog.daemon = True
    watchdog.start()
    _current.exchange = ex
    try:
        yield ex
    finally:
        watchdog.cancel()
        _current.exchange = None


class Bearer(OAuth2Token):  # type: ignore[misc]
    """xero-python's token, that takes this thread's own: its update_token() would mix up concurrent threads' tokens."""

    def create_auth_settings(self, api_client: Any) -> dict[str, str]:
        value = f"Bearer {_current.exchange.bearer}"
        return {"type": "oauth2", "in": "header", "key": "Authorization", "value": value}


class _Watched:
    """Tells the exchange just before a request goes out. Mixed into urllib3's connections."""

    idle_since = 0.0
    _body: Any = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        connection = cast(Any, self)
        if connection.sock is None:
            connection.connect()  # here, so that a failure to connect is known to have sent nothing
        _current.exchange.begin(self)
        self._body = kwargs.get("body")
        cast(Any, super()).request(*args, **kwargs)

    def send(self, data: Any) -> None:
        """The headers, then the body: a process that was frozen in between sends half a request, which is none."""
        if data is self._body:
            _current.exchange.look()
            if _current.exchange.writes:
                crash_point("at_socket", _current.exchange.writes)
        cast(Any, super()).send(data)


class _Http(_Watched, HTTPConnection):
    pass


class _Https(_Watched, HTTPSConnection):
    pass


class _Fresh:
    """Hands out no connection that has been idle for long. Mixed into urllib3's pools."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = cast(Any, super())._get_conn(timeout)
        if connection.sock is not None and time.monotonic() - connection.idle_since > _IDLE:
            connection.close()
        return connection

    def _put_conn(self, connection: Any) -> None:
        if connection is not None:
            connection.idle_since = time.monotonic()
            if getattr(_current, "exchange", None) is not None:
                _current.exchange.end()
        cast(Any, super())._put_conn(connection)


class _HttpPool(_Fresh, HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(_Fresh, HTTPSConnectionPool):
    ConnectionCls = _Https


class Rest(RESTClientObject):  # type: ignore[misc]
    """xero-python's REST client without its three surprises: json.dumps of the body, retries, and raising."""

    def __init__(self, configuration: Any) -> None:
        super().__init__(configuration)
        self.pool_manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def request(
        self,
        method: str,
        url: str,
        query_params: Any = None,
        headers: Any = None,
        body: bytes | None = None,
        post_params: Any = None,
        _preload_content: bool = False,
        _request_timeout: Any = None,
    ) -> urllib3.BaseHTTPResponse:
        """The raw, unread response, whatever its status."""
        if body is not None and not isinstance(body, bytes):
            raise TypeError("the body must be the frozen bytes of the intention")
        if query_params:
            url += "?" + urlencode(query_params, safe=",")
        ex: Exchange = _current.exchange
        left = max(0.001, ex.ends - ex.clock())
        response: urllib3.BaseHTTPResponse = self.pool_manager.request(
            method,
            url,
            body=body,
            headers=headers,
            timeout=urllib3.Timeout(connect=min(ex.connect, left), read=left),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        return response

    def close(self) -> None:
        self.pool_manager.clear()
