"""The lock, and what happens when a jar is damaged, wrong or not to be had. The Maven repository is a local one."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from k2x.embedded.errors import JarSumDiffers, JarsUnavailable, LockUnreadable
from k2x.embedded.jars import KAFKA_VERSION, fetch, read_lock

JAR = b"a jar, as far as sums go"
PATH = Path("org/example/thing/1.0/thing-1.0.jar")
COORDINATE = "org.example:thing:1.0"


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository on 127.0.0.1, configured as a mirror the way jgo's users do; its folder."""
    root = tmp_path / "remote"
    (root / PATH).parent.mkdir(parents=True)
    (root / PATH).write_bytes(JAR)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(root))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    configure(tmp_path, monkeypatch, server.server_port)
    yield root
    server.shutdown()
    server.server_close()


def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    (tmp_path / "jgo.conf").write_text(f"[repositories]\ncentral = http://127.0.0.1:{port}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(tmp_path / "jgo.conf"))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def lock_file(tmp_path: Path, content: bytes = JAR) -> Path:
    path = tmp_path / "jars.lock"
    path.write_text(f"# a comment\n{COORDINATE} {hashlib.sha256(content).hexdigest()}\n")
    return path


def test_committed_lock_names_this_kafka_and_no_host() -> None:
    jars = read_lock()
    assert f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}" in [jar.coordinate for jar in jars]
    assert "org.slf4j:slf4j-simple:1.7.36" in [jar.coordinate for jar in jars]
    assert len({jar.file_name for jar in jars}) == len(jars) > 40


def test_fetches_through_the_configured_mirror_then_needs_it_no_more(maven: Path, tmp_path: Path) -> None:
    said: list[str] = []
    [path] = fetch(lock_file(tmp_path), tmp_path / "cache", said.append)
    assert path.read_bytes() == JAR
    assert said == [f"fetching 1 of 1 jars for {COORDINATE} (needed once per machine)"]
    (maven / PATH).unlink()
    assert fetch(lock_file(tmp_path), tmp_path / "cache", said.append) == [path]
    assert len(said) == 1


def test_damaged_cache_is_mended(maven: Path, tmp_path: Path) -> None:
    [path] = fetch(lock_file(tmp_path), tmp_path / "cache")
    path.write_bytes(b"bits have rotted")
    assert fetch(lock_file(tmp_path), tmp_path / "cache")[0].read_bytes() == JAR


def test_local_maven_repository_is_used_unless_its_copy_is_damaged(maven: Path, tmp_path: Path) -> None:
    local = tmp_path / "m2" / PATH
    local.parent.mkdir(parents=True)
    local.write_bytes(b"damaged")
    assert fetch(lock_file(tmp_path), tmp_path / "one")[0].read_bytes() == JAR
    assert local.read_bytes() == b"damaged", "somebody else's files are left alone"
    local.write_bytes(JAR)
    (maven / PATH).unlink()
    assert fetch(lock_file(tmp_path), tmp_path / "two")[0].read_bytes() == JAR


def test_a_download_with_another_sum_is_refused_and_not_kept(maven: Path, tmp_path: Path) -> None:
    lock = lock_file(tmp_path, b"what the lock means")
    with pytest.raises(JarSumDiffers, match=rf"{COORDINATE}: its SHA-256 is {hashlib.sha256(JAR).hexdigest()}"):
        fetch(lock, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.jar*"))


def test_no_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(tmp_path, monkeypatch, 9)  # the discard port: nobody listens
    with pytest.raises(JarsUnavailable, match=r"cannot be reached .*HTTPS_PROXY.*kafka\.bootstrap"):
        fetch(lock_file(tmp_path), tmp_path / "cache")


def test_jar_that_no_repository_has(maven: Path, tmp_path: Path) -> None:
    (maven / PATH).unlink()
    with pytest.raises(JarsUnavailable, match="no Maven repository offers it"):
        fetch(lock_file(tmp_path), tmp_path / "cache")


@pytest.mark.parametrize("line", ["org.example:thing 00", "org.example:thing:1.0", "../../etc:x:1 " + "0" * 64, ""])
def test_unreadable_lock_names_its_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "jars.lock"
    path.write_text(f"# comment\n{line}\n")
    with pytest.raises(LockUnreadable, match=r"jars\.lock(:2:| names no jar)"):
        read_lock(path)
