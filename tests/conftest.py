"""What many tests share: one real Kafka per session, and topic names of their own for each test.

K2X_TEST_KAFKA chooses the broker: unset, the embedded one in a temporary directory; `testcontainers`, Docker's;
`host:port`, an existing cluster.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from uuid import uuid4

import pytest

from k2x import kafka_topics
from k2x.embedded.broker import EmbeddedKafka
from k2x.embedded.config import SERVER
from k2x.embedded.jars import KAFKA_VERSION
from tests import depth

depth.load()

# Files of a minute and more: first, so that no process is left alone with one of them at the end.
_LONG = ("e2e/test_demo", "e2e/test_reconcile", "replay/test_replay", "embedded/test_broker", "xero/test_sink", "e2e/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stable: files keep their order, and tests theirs within a file."""
    ranks = dict(enumerate(_LONG))
    items.sort(key=lambda item: next((rank for rank, name in ranks.items() if name in item.nodeid), len(_LONG)))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a real broker, shared by the session: use `topic_prefix`, and do not stop it.

    The topics that all organisations share are there, with three partitions: else the first test that applies topics
    would decide how many there are, and which test is first differs from run to run.
    """
    for bootstrap in _brokers(tmp_path_factory):
        kafka_topics.apply({"bootstrap.servers": bootstrap}, [], 3, 1)
        yield bootstrap


def _brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    choice = os.environ.get("K2X_TEST_KAFKA", "")
    if choice == "testcontainers":
        yield from _container()
    elif choice:
        yield choice
    else:
        with EmbeddedKafka(tmp_path_factory.mktemp("kafka"), ready_timeout=180.0) as broker:
            yield broker.bootstrap


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A prefix (legal in topic and group names, no dots) that no other test or run has used."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    return f"{name}-{uuid4().hex[:8]}"


def _container() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    with socket.socket() as probe:  # the broker must know its outside port before it starts
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        **SERVER,
        "listeners": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://localhost:{port}",
        "controller.quorum.voters": "1@localhost:9093",
    }
    container = DockerContainer(f"apache/kafka:{KAFKA_VERSION}").with_bind_ports(port, port)
    for key, value in settings.items():
        container.with_env("KAFKA_" + key.upper().replace(".", "_"), str(value))
    with container.waiting_for(LogMessageWaitStrategy("Kafka Server started")) as started:
        yield f"{started.get_container_host_ip()}:{port}"
