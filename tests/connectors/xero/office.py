"""An organisation of its own on the shared broker and in the sandbox: its commands, sinks, and what came of them."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from connectors.xero.auth import CustomConnection, Identity, IdentitySettings
from connectors.xero.budget import Limits
from connectors.xero.client import ClientSettings, XeroClient
from connectors.xero.lane import Clock
from connectors.xero.metrics import SinkMetrics
from connectors.xero.settings import CoreSettings, SinkSettings
from connectors.xero.sink import Sink
from k2x.audit.log import read_to_end
from k2x.kafka_topics import apply
from schemas import topics
from schemas.codec import Codec
from schemas.ids import CommittedIds
from schemas.types import Command
from tests.connectors.xero.commands import sale
from tests.connectors.xero.servers import SandboxProcess

CODEC = Codec(CommittedIds())
_MOVING = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)
PACED = Limits()
UNPACED = Limits(minute=6000, burst=100)  # where the pace is not what is tested: at Xero's it is a call a second
SHORT = CoreSettings(intention_lapse=1.0, deadline=2.0, outage_backoff=0.1, repeat_backoff=0.1)


class Office:
    """A UK organisation of its own on the shared broker: slug, topics, sinks, and what came of it."""

    def __init__(self, kafka: str, sandbox: SandboxProcess, slug: str, home: Path) -> None:
        self.slug, self.home, self.sandbox = slug, home, sandbox
        self.kafka = {"bootstrap.servers": kafka}
        apply(self.kafka, [slug], 1, 1)
        self._producer = Producer({**self.kafka, "enable.idempotence": True})
        self.metrics = CollectorRegistry()  # of the sink that was started last
        self._admin = AdminClient(self.kafka)  # kept: one that is let go never answers

    def put(self, *commands: Command) -> None:
        for command in commands:
            value = CODEC.encode("command", {**command, "org": self.slug})
            self._producer.produce(topics.commands(self.slug), key=command["key"].encode(), value=value)
        assert self._producer.flush(10) == 0

    def client(self, org: str) -> XeroClient:
        if org != self.slug:
            raise KeyError(org)
        found = self.sandbox.organisations["uk"]
        identity = Identity(
            IdentitySettings(token_url=f"{self.sandbox.url}/connect/token"), found["client_id"], found["client_secret"]
        )
        return XeroClient(ClientSettings(api_url=self.sandbox.api_url), CustomConnection(identity))

    @contextmanager
    def sink(
        self,
        name: str = "a",
        client: Callable[[str], Any] | None = None,
        clock: Clock | None = None,
        core: CoreSettings = SHORT,
        limits: Limits = PACED,
        others: tuple[Office, ...] = (),
        **changes: Any,
    ) -> Iterator[Sink]:
        """A running sink process' worth of threads, for this organisation and `others`."""
        settings = SinkSettings(
            state_dir=self.home / name,
            core=core,
            group_id=f"g-{self.slug}",
            session_timeout=6.0,
            reopen=0.2,
            **changes,
        )
        # Only this test's organisations: the broker is shared.
        clients = {office.slug: office.client for office in (self, *others)}
        pattern = f"^xero\\.commands\\.({'|'.join(clients)})\\.v1$"
        metrics = SinkMetrics(registry := CollectorRegistry())
        self.metrics = registry
        sink = Sink(
            settings,
            self.kafka,
            CODEC,
            client or (lambda org: clients[org](org)),
            lambda org: limits,
            clock=clock,
            metrics=metrics,
            pattern=pattern,
        )
        stop, failure = threading.Event(), list[BaseException]()

        def run() -> None:
            try:
                sink.run(stop)
            except BaseException as error:
                failure.append(error)
                raise

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield sink
        finally:
            stop.set()
            thread.join(30)
        assert not failure
        assert not thread.is_alive()

    def results(self) -> list[dict[str, Any]]:
        rows = (CODEC.decode(m.value() or b"") for m in read_to_end(self.kafka, [topics.RESULTS]))
        return [row for row in rows if row["org"] == self.slug]

    def outcomes(self) -> list[str]:
        return [row["outcome"] for row in self.results() if row["kind"] == "order"]

    def ledger(self) -> dict[str, Any]:
        rows = read_to_end(self.kafka, [topics.ledger(self.slug)])
        return {(m.key() or b"").decode(): CODEC.decode(v) for m in rows if (v := m.value()) is not None}

    def letters(self) -> int:
        return sum(1 for _ in read_to_end(self.kafka, [topics.dead_letter(topics.commands(self.slug))]))

    def committed(self) -> int:
        """The group's offset, by a consumer that never joins it; below 0 where there is none, or where nobody can say
        yet: a broker that has just begun still moves its groups."""
        consumer = Consumer({**self.kafka, "group.id": f"g-{self.slug}", "enable.auto.commit": False})
        try:
            return int(consumer.committed([TopicPartition(topics.commands(self.slug), 0)], timeout=30)[0].offset)
        except KafkaException as error:
            if error.args[0].code() not in _MOVING:
                raise
            return -1
        finally:
            consumer.close()

    def calls(self, purpose: str) -> int:
        """Answered calls of the last sink."""
        labels = {"org": self.slug, "purpose": purpose}
        return int(self.metrics.get_sample_value("k2x_xero_call_seconds_count", labels) or 0)

    def make_topic_anew(self, topic: str) -> None:
        """Deleted by mistake, and created again by `k2x topics apply`."""
        self._admin.delete_topics([topic])[topic].result(20)
        until(lambda: topic not in self._admin.list_topics(timeout=10).topics)
        apply(self.kafka, [self.slug], 1, 1)

    def side_door(self, path: str, body: Any = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.sandbox.url}/_sandbox/{path}", data, method=method)  # noqa: S310
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return json.load(answer)

    def invoices(self, prefix: str) -> list[dict[str, Any]]:
        return [i for i in self.side_door("books/uk")["invoices"] if i["InvoiceNumber"].startswith(prefix)]

    def payments(self, prefix: str) -> list[dict[str, Any]]:
        return [p for p in self.side_door("books/uk")["payments"] if p["Reference"].startswith(prefix)]


def until(what: Callable[[], Any], seconds: float = 90.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
    return found


def office_sale(office: Office, order: int, **changes: Any) -> Command:
    """Numbers and customers of this test alone: the sandbox is shared."""
    made = sale(order, number=f"{office.slug}-{order}", **changes)
    who = cast(dict[str, str], made["body"]["contact"])  # type: ignore[index,typeddict-item]
    number = f"{office.slug[-8:]}{who['number']}"
    name = f"{office.slug} {who['name']}"
    who.update(number=number, name=name, document=json.dumps({"ContactNumber": number, "Name": name}))
    return made
