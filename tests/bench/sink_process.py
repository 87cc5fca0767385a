"""A sink as a process that says how it stands: `python -m tests.bench.sink_process JSON`.

Keys: kafka, state; xero {token_url, api_url, client_id, client_secret}, without which Xero answers nobody. Each second,
and as soon as the lane has taken over, a line of JSON: seconds since the start, those of CPU, whether it has taken
over, the most resident megabytes so far, the records it was fed, megabytes read of each topic.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from connectors.xero.auth import CustomConnection, Identity, IdentitySettings
from connectors.xero.calls import Answer, Call
from connectors.xero.client import ClientSettings, XeroClient
from connectors.xero.lane import Client
from connectors.xero.settings import SinkSettings
from connectors.xero.sink import Sink
from schemas.codec import Codec
from schemas.ids import CommittedIds
from tests.bench.rig import peak_mb


class Away:
    """Xero answers nobody."""

    def call(self, call: Call, *, send_by: float | None = None, same_token: str | None = None) -> Answer:
        return Answer(503)

    def close(self) -> None:
        return None


class Watched(Sink):
    """Counts what the consumer hands over."""

    fed = 0

    def _receive(self, message: Message) -> None:
        self.fed += 1
        super()._receive(message)


def main() -> None:
    given = json.loads(sys.argv[1])
    read: dict[str, Counter[str]] = {}  # by client: megabytes of each topic, as librdkafka counts them

    def statistics(text: str) -> None:
        found = json.loads(text)
        for name, topic in found["topics"].items():
            read.setdefault(found["name"], Counter())[name] = sum(p["rxbytes"] for p in topic["partitions"].values())

    kafka: dict[str, Any] = {"bootstrap.servers": given["kafka"], "statistics.interval.ms": 200, "stats_cb": statistics}
    sink = Watched(
        SinkSettings(state_dir=Path(given["state"])), kafka, Codec(CommittedIds()), lambda org: _client(given)
    )
    stop, began = threading.Event(), time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    thread = threading.Thread(target=sink.run, args=(stop,))
    thread.start()
    said, was_over = 0.0, False
    while thread.is_alive():
        now = time.monotonic() - began
        over = sink.lanes().get("uk") in ("running", "full")
        if now - said >= 1.0 or (over and not was_over):
            said, was_over = now, over
            total = sum((counter for counter in list(read.values())), Counter())
            megabytes = {name: round(size / 1e6, 3) for name, size in total.items()}
            line = {"seconds": now, "cpu_seconds": time.process_time(), "taken_over": over, "peak_mb": peak_mb()}
            line |= {"fed": sink.fed, "read_mb": megabytes}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
        time.sleep(0.01)


def _client(given: dict[str, Any]) -> Client:
    xero = given.get("xero")
    if xero is None:
        return Away()
    identity = Identity(IdentitySettings(token_url=xero["token_url"]), xero["client_id"], xero["client_secret"])
    return XeroClient(ClientSettings(api_url=xero["api_url"]), CustomConnection(identity))


if __name__ == "__main__":
    main()
