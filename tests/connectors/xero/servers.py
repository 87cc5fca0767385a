"""Servers for tests: a raw one that misbehaves on the wire exactly as told, and the real Xero sandbox as a process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Handler = Callable[[socket.socket, "Received"], None]


@dataclass(frozen=True)
class Received:
    """A request as it came off the wire."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class RawServer:
    """Answers request n with `script[n]` (the last one again and again). Each connection may carry many requests."""

    script: list[Handler]
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    url: str = ""

    @contextmanager
    def running(self) -> Iterator[RawServer]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            yield self

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return  # the test is over
            self.connections += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, peer.makefile("rb") as stream:
            while (line := stream.readline()).strip():
                if not line.endswith(b"HTTP/1.1\r\n"):  # somebody speaks TLS
                    peer.sendall(b"not tls\r\n")
                    return
                headers = dict(_header(raw) for raw in iter(stream.readline, b"\r\n"))
                body = stream.read(int(headers.get("content-length", "0")))
                received = Received(line.decode().strip(), headers, body)
                self.requests.append(received)
                handler = self.script[min(len(self.requests), len(self.script)) - 1]
                try:
                    handler(peer, received)
                except OSError:
                    return  # the client went away, as some tests want


def _header(raw: bytes) -> tuple[str, str]:
    name, _, value = raw.decode().partition(":")
    return name.strip().lower(), value.strip()


def reply(status: int, body: bytes = b"", content_type: str = "application/json", **headers: str) -> Handler:
    """A whole, proper answer."""

    def handle(peer: socket.socket, _: Received) -> None:
        extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        head = f"HTTP/1.1 {status} X\r\n{kind}{extra}Content-Length: {len(body)}\r\n\r\n"
        peer.sendall(head.encode() + body)

    return handle


def raw(data: bytes) -> Handler:
    """These bytes, then the connection is cut."""

    def handle(peer: socket.socket, _: Received) -> None:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_RDWR)

    return handle


def trickle(data: bytes, pause: float) -> Handler:
    """A byte at a time, `pause` seconds apart: no read time-out ever fires."""
    return drip(b"", data, pause)


def drip(head: bytes, data: bytes, pause: float) -> Handler:
    """The head at once, then a byte at a time."""

    def handle(peer: socket.socket, _: Received) -> None:
        peer.sendall(head)
        for byte in data:
            peer.sendall(bytes([byte]))
            threading.Event().wait(pause)

    return handle


def hang(peer: socket.socket, _: Received) -> None:
    """Silence until the client goes away."""
    peer.recv(1)


@dataclass(frozen=True)
class SandboxProcess:
    """A running Xero sandbox."""

    url: str
    api_url: str
    organisations: dict[str, dict[str, str]]


@contextmanager
def sandbox(*arguments: str) -> Iterator[SandboxProcess]:
    """`python -m connectors.xero.sandbox` on a free port, stopped by its pid at the end."""
    command = [sys.executable, "-m", "connectors.xero.sandbox", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line: dict[str, Any] = json.loads(process.stdout.readline())
        yield SandboxProcess(line["url"], line["api_url"], line["organisations"])
    finally:
        process.terminate()
        process.wait(10)
