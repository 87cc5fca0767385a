"""What benches share: a broker, child processes pinned to a core, their memory, and free ports."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from k2x.embedded import EmbeddedKafka

CORES = sorted(os.sched_getaffinity(0))


@contextlib.contextmanager
def broker() -> Iterator[str]:
    """A fresh embedded Kafka."""
    with tempfile.TemporaryDirectory(prefix="k2x-bench-") as directory, EmbeddedKafka(Path(directory)) as kafka:
        yield kafka.bootstrap


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A child, optionally pinned; samples its resident memory until it ends."""

    def __init__(self, command: list[str], env: Mapping[str, str], log: Path, cores: list[int] | None = None) -> None:
        pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
        with log.open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **env}, preexec_fn=pin)
        self.log = log
        self.peak_mb = 0.0
        self._watch = threading.Thread(target=self._sample, daemon=True)
        self._watch.start()

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        code = self._process.wait()
        self._watch.join()
        return code

    def cpu_seconds(self) -> float:
        """User and system time until now."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._watch.join()

    def _sample(self) -> None:
        while self._process.poll() is None:
            self.peak_mb = max(self.peak_mb, resident_mb(self._process.pid))
            time.sleep(0.1)


def resident_mb(pid: int) -> float:
    """Resident memory now; 0 for a process that is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("utf-8").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_mb() -> float:
    """The most resident memory that this process has had (ru_maxrss would count the parent's before exec)."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def await_http(url: str, seconds: float = 60.0) -> None:
    """Until something answers below 500; TimeoutError otherwise."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2.0).status_code < 500:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing answers at {url}")


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
