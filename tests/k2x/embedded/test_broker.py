"""The life of an embedded broker: started twice on one directory, refused twice at once, and never left behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from k2x.embedded.broker import EmbeddedKafka
from k2x.embedded.datadir import DataDir
from k2x.embedded.errors import AlreadyRunning, BrokerDied, NewerData, PortTaken

pytestmark = pytest.mark.kafka


class Started:
    """`python -m k2x.embedded` on a directory, its address, and the processes that belong to it."""

    def __init__(self, data_dir: Path, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.bootstrap = process.stdout.readline().strip()
        assert re.fullmatch(r"127\.0\.0\.1:\d+", self.bootstrap)
        everyone = processes_on(data_dir)
        [self.java] = [
            pid
            for pid, command in everyone.items()
            if "kafka.Kafka" in command and "java" in command[:200] and "watchdog.py" not in command
        ]
        [self.watchdog] = [pid for pid, command in everyone.items() if "watchdog.py" in command]


def processes_on(data_dir: Path) -> dict[int, str]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it ended meanwhile
            if str(data_dir / "server.properties") in command:
                found[int(entry.name)] = command
    return found


def gone(data_dir: Path, within: float = 15.0) -> bool:
    deadline = time.monotonic() + within
    while processes_on(data_dir):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[], Started]]:
    """Starts the broker in a process of its own; whatever is left at the end is killed by its id."""
    started: list[subprocess.Popen[str]] = []

    def start() -> Started:
        command = [sys.executable, "-m", "k2x.embedded", "--data-dir", str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return Started(tmp_path, process)

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    for pid in processes_on(tmp_path):
        os.kill(pid, signal.SIGKILL)


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    [created] = admin.create_topics([NewTopic(topic, 1, 1)]).values()
    created.result(10)
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error) if error else None)
    assert producer.flush(10) == 0
    assert failures == []


def first_record(bootstrap: str, topic: str) -> bytes | None:
    """Without joining a group, which costs 3 s in a new data directory (Kafka creates its offsets topic)."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    message = consumer.poll(15)
    consumer.close()
    assert message is not None
    assert message.error() is None
    value: bytes | None = message.value()
    return value


def test_second_start_keeps_the_address_and_the_records(tmp_path: Path) -> None:
    said: list[str] = []
    with EmbeddedKafka(tmp_path, log=said.append) as broker:
        first = broker.bootstrap
        assert broker.start() == first, "a second call is harmless"
        produce(first, "orders", b"an order")
        with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}, already runs Kafka at {first}"):
            EmbeddedKafka(tmp_path).start()
    assert gone(tmp_path, within=0.5), "stop() returns when the broker is gone"
    with EmbeddedKafka(tmp_path, log=said.append) as broker:
        assert broker.bootstrap == first
        assert first_record(first, "orders") == b"an order"
    assert said[-1] == f"Kafka 4.1.0 is ready at {first}, data in {tmp_path}"


def test_remembered_ports_that_others_took_are_replaced_and_the_records_kept(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path) as broker:
        first = broker.bootstrap
        produce(first, "orders", b"an order")
    stamp = DataDir(tmp_path).read_stamp()
    assert stamp is not None
    with (
        socket.create_server(("127.0.0.1", stamp.port)),
        socket.create_server(("127.0.0.1", stamp.controller_port)),
        EmbeddedKafka(tmp_path) as broker,
    ):
        assert broker.bootstrap != first
        assert first_record(broker.bootstrap, "orders") == b"an order"


async def _found_dead(broker: EmbeddedKafka) -> None:
    """A process is gone a moment before its exit code is known."""
    for _ in range(200):
        broker.check()
        await asyncio.sleep(0.05)


async def test_async_use_and_a_broker_that_dies(tmp_path: Path) -> None:
    async with EmbeddedKafka(tmp_path) as broker:
        broker.check()
        [java] = [pid for pid, command in processes_on(tmp_path).items() if "watchdog.py" not in command]
        os.kill(java, signal.SIGKILL)
        assert gone(tmp_path)
        with pytest.raises(BrokerDied, match=r"Kafka ended \(exit code \d+\).*last lines"):
            await _found_dead(broker)
    with pytest.raises(RuntimeError, match="not started"):
        _ = broker.bootstrap


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_everything(run: Callable[[], Started], tmp_path: Path, sign: signal.Signals) -> None:
    started = run()
    started.process.send_signal(sign)
    assert started.process.wait(15) == 0
    assert gone(tmp_path, within=0.5)
    assert "shut down completed" in (tmp_path / "kafka.log").read_text(), "a clean stop, not a kill"


def test_nothing_outlives_a_killed_parent_and_the_next_start_waits_for_it(
    run: Callable[[], Started], tmp_path: Path
) -> None:
    started = run()
    produce(started.bootstrap, "orders", b"an order")
    os.kill(started.process.pid, signal.SIGKILL)
    started.process.wait()
    again = run()
    assert not Path(f"/proc/{started.java}").exists()
    assert not Path(f"/proc/{started.watchdog}").exists()
    assert again.bootstrap == started.bootstrap
    assert first_record(again.bootstrap, "orders") == b"an order"
    os.kill(again.process.pid, signal.SIGKILL)
    assert gone(tmp_path)


def test_nothing_outlives_a_killed_watchdog(run: Callable[[], Started], tmp_path: Path) -> None:
    started = run()
    os.kill(started.watchdog, signal.SIGKILL)
    assert started.process.wait(15) == 1, "k2x notices and says so"
    assert gone(tmp_path)


def test_a_broker_that_cannot_start_shows_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(BrokerDied, match=r"(?s)ended at its start \(exit code 1\).*maximum heap size"):
        EmbeddedKafka(tmp_path, heap="1k").start()
    assert gone(tmp_path, within=0.5)


def test_refusals_start_nothing(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with pytest.raises(PortTaken, match="is taken by another program"):
            EmbeddedKafka(tmp_path, port=server.getsockname()[1]).start()
    (tmp_path / "k2x.json").write_text('{"kafka": "99.0"}')
    with pytest.raises(NewerData, match=r"written by Kafka 99\.0"):
        EmbeddedKafka(tmp_path).start()
    assert not (tmp_path / "data").exists()
    assert processes_on(tmp_path) == {}
