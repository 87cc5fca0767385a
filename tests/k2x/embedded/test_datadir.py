"""Who may use a data directory, and on which ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from k2x.embedded.datadir import DataDir, Stamp, choose_ports, new_cluster_id, version_key
from k2x.embedded.errors import AlreadyRunning, DiskFull, ForeignData, NewerData, PortTaken

STAMP = Stamp("4.1.0", "cluster", 40001, 40002)


@pytest.fixture
def directory(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which a program listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_stamp_is_read_as_written(directory: DataDir) -> None:
    assert directory.read_stamp() is None
    directory.write_stamp(STAMP)
    assert directory.read_stamp() == STAMP


@pytest.mark.parametrize("version", ["4.1.1", "4.10.0", "5.0"])
def test_data_of_a_newer_kafka_is_refused(directory: DataDir, version: str) -> None:
    directory.write_stamp(Stamp(version, "cluster"))
    with pytest.raises(NewerData, match=rf"written by Kafka {version}; this k2x brings 4\.1\.0.*newer k2x"):
        directory.check("4.1.0")


@pytest.mark.parametrize("version", ["4.1.0", "4.0.9", "3.9.0"])
def test_data_of_this_or_an_older_kafka_is_accepted(directory: DataDir, version: str) -> None:
    directory.write_stamp(Stamp(version, "cluster"))
    directory.check("4.1.0")


def test_versions_sort_as_numbers() -> None:
    assert version_key("4.10.0") > version_key("4.9.1") > version_key("4.9.0-rc1")[:2]


def test_data_that_k2x_did_not_write_is_refused(directory: DataDir) -> None:
    directory.data.mkdir()
    (directory.data / "meta.properties").write_text("cluster.id=theirs\n")
    with pytest.raises(ForeignData, match=r"k2x\.json beside it is missing"):
        directory.check("4.1.0")


@pytest.mark.parametrize("text", ["{", "[]", '{"kafka": 4}'])
def test_damaged_stamp_is_refused(directory: DataDir, text: str) -> None:
    (directory.root / "k2x.json").write_text(text)
    with pytest.raises(ForeignData, match="another data directory"):
        directory.check("4.1.0")


def test_full_disk_is_found_before_kafka_finds_it(directory: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100 * 1024**2))
    with pytest.raises(DiskFull, match="100 MiB free, Kafka needs 512 MiB"):
        directory.check("4.1.0")


def test_lock_is_exclusive_and_names_the_owner(directory: DataDir) -> None:
    directory.write_stamp(STAMP)
    descriptor = directory.acquire()
    with pytest.raises(
        AlreadyRunning, match=rf"process {os.getpid()}, already runs Kafka at 127\.0\.0\.1:40001"
    ) as error:
        DataDir(directory.root).acquire()
    assert error.value.pid == os.getpid()
    os.close(descriptor)
    os.close(DataDir(directory.root).acquire())


def test_lock_of_a_dead_owner_is_waited_for(directory: DataDir) -> None:
    """The owner is dead, but its broker still closes its files, as the inherited descriptor shows."""
    script = (
        "import os, subprocess, sys; from pathlib import Path; from k2x.embedded.datadir import DataDir\n"
        "fd = DataDir(Path(sys.argv[1])).acquire()\n"
        "subprocess.Popen(['sleep', '1'], pass_fds=(fd,))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(directory.root)], check=True)
    os.close(directory.acquire())


def test_configured_port_that_is_taken_is_an_error(taken: int) -> None:
    with pytest.raises(PortTaken, match=rf"port {taken} on 127\.0\.0\.1 is taken.*kafka\.port"):
        choose_ports(taken, STAMP)


def test_remembered_ports_are_taken_again_if_free(taken: int) -> None:
    free, _ = choose_ports(None, None)
    port, controller = choose_ports(None, Stamp("4.1.0", "cluster", free, taken))
    assert port == free
    assert controller not in (taken, free, 0)


def test_cluster_ids_are_what_kafka_accepts() -> None:
    ids = {new_cluster_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(len(each) == 22 and not each.startswith("-") for each in ids)
