"""A webhook that remembers what it was told: Alertmanager's alerts at /alerts, direct messages at /direct,
spans at /v1/traces as an OpenTelemetry collector would."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Ear:
    """Listens on a free port of the loopback interface; `start`, then `stop`."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.direct: list[tuple[float, dict[str, Any]]] = []
        self.spans: list[dict[str, Any]] = []
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/alerts":
                    ear.alerts += [alert for alert in body["alerts"] if alert["status"] == "firing"]
                elif self.path == "/v1/traces":
                    scopes = [scope for resource in body["resourceSpans"] for scope in resource["scopeSpans"]]
                    ear.spans += [span for scope in scopes for span in scope["spans"]]
                else:
                    ear.direct.append((time.monotonic(), body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()

    def fired(self) -> set[tuple[str, str]]:
        """(alert, organisation or process or group) of all that reached us."""
        return {(a["labels"]["alertname"], subject(a["labels"])) for a in list(self.alerts)}


def subject(labels: dict[str, str]) -> str:
    return next((labels[name] for name in ("org", "process", "consumergroup") if name in labels), "")
