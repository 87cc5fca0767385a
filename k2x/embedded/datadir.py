"""The embedded Kafka's data directory: who holds it, which Kafka wrote it, which ports it uses.

Layout: `data/` Kafka's own, `k2x.json` our stamp, `lock` (held while a broker runs, names the owner),
`server.properties` and `kafka.log` (written anew or appended at each start).
Guarantees that two brokers never share a directory, also while an orphan is still closing its files.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from k2x.embedded.config import HOST
from k2x.embedded.errors import AlreadyRunning, DiskFull, ForeignData, NewerData, PortTaken

LEAST_FREE_BYTES = 512 * 1024 * 1024  # a few log segments and their indexes; Kafka stops for good at the first ENOSPC
_ORPHAN_WAIT_S = 20.0  # longer than the watchdog's grace for a broker whose k2x was killed
_STAMP_FORMAT = 1


@dataclass(frozen=True)
class Stamp:
    """What k2x remembers of a data directory. `kafka` is the newest version that ever ran on it."""

    kafka: str
    cluster_id: str
    port: int = 0
    controller_port: int = 0


class DataDir:
    """Paths and stamp of one data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.data = self.root / "data"
        self.log = self.root / "kafka.log"
        self.properties = self.root / "server.properties"
        self._stamp = self.root / "k2x.json"
        self._lock = self.root / "lock"

    @property
    def formatted(self) -> bool:
        return (self.data / "meta.properties").exists()

    def acquire(self) -> int:
        """Locks the directory for this process and returns the locked file's descriptor, to be handed to the broker.

        Raises AlreadyRunning. Waits only for a broker whose k2x is dead and which is therefore being stopped.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + _ORPHAN_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                owner = _owner(descriptor)
                if (owner is None or _lives(owner)) or time.monotonic() > deadline:
                    os.close(descriptor)
                    raise self._already_running(owner) from None
                time.sleep(0.1)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid()}).encode(), 0)
        return descriptor

    def _already_running(self, owner: int | None) -> AlreadyRunning:
        stamp = self.read_stamp()
        where = f" at {HOST}:{stamp.port}" if stamp and stamp.port else ""
        name = f"process {owner}" if owner else "a process that is just starting"
        remedy = f"stop it (kill {owner})" if owner else "wait for it"
        return AlreadyRunning(
            f"{self.root}: another k2x, {name}, already runs Kafka{where} on this data."
            f" {remedy[0].upper()}{remedy[1:]}, or use its broker by kafka.bootstrap, or choose another data directory",
            owner,
        )

    def check(self, kafka_version: str) -> None:
        """Raises NewerData, ForeignData or DiskFull if `kafka_version` must not run here."""
        stamp = self.read_stamp()
        if stamp and version_key(stamp.kafka) > version_key(kafka_version):
            raise NewerData(
                f"{self.root} was written by Kafka {stamp.kafka}; this k2x brings {kafka_version}, which cannot"
                " read it. Start the newer k2x again, or choose another data directory. Nothing was changed"
            )
        if stamp is None and self.data.exists() and any(self.data.iterdir()):
            raise ForeignData(
                f"{self.data} holds files, but {self._stamp.name} beside it is missing: k2x did not write them, or the"
                " stamp was deleted. Choose another data directory, or move these files away"
            )
        free = shutil.disk_usage(self.root).free
        if free < LEAST_FREE_BYTES:
            raise DiskFull(
                f"{self.root}: {free // 1024**2} MiB free, Kafka needs {LEAST_FREE_BYTES // 1024**2} MiB to run safely."
                " Free some space, or choose a data directory on another disk"
            )

    def read_stamp(self) -> Stamp | None:
        """The stamp, or None for a new directory. Raises ForeignData for one that is not ours."""
        try:
            found = json.loads(self._stamp.read_text())
        except FileNotFoundError:
            return None
        except json.JSONDecodeError as error:
            raise ForeignData(
                f"{self._stamp} is not readable JSON ({error}): restore it, or choose another data directory"
            ) from error
        if not isinstance(found, dict) or not isinstance(found.get("kafka"), str):
            raise ForeignData(f"{self._stamp} is not a stamp of k2x: choose another data directory")
        if found.get("format", 0) > _STAMP_FORMAT:
            raise NewerData(f"{self._stamp} was written by a newer k2x: start that one, or choose another directory")
        return Stamp(
            found["kafka"], found.get("cluster_id", ""), int(found.get("port", 0)), int(found.get("controller_port", 0))
        )

    def write_stamp(self, stamp: Stamp) -> None:
        temporary = self._stamp.with_suffix(".tmp")
        temporary.write_text(json.dumps({"format": _STAMP_FORMAT, **asdict(stamp)}, indent=1) + "\n")
        temporary.replace(self._stamp)


def choose_ports(wanted: int | None, stamp: Stamp | None) -> tuple[int, int]:
    """Port for clients and port of the controller: the wanted, else the remembered, else free ones.

    Raises PortTaken only for a port the configuration names: clients were told of it.
    """
    if wanted is not None:
        if not is_free(wanted):
            raise PortTaken(
                f"port {wanted} on {HOST} is taken by another program (`ss -ltnp 'sport = :{wanted}'` names it)."
                " Stop it, or set kafka.port to another port, or leave kafka.port out and k2x chooses a free one"
            )
        port = wanted
    else:
        port = _remembered_or_free(stamp.port if stamp else 0, avoid=0)
    return port, _remembered_or_free(stamp.controller_port if stamp else 0, avoid=port)


def new_cluster_id() -> str:
    """22 characters of URL-safe base64, as Kafka wants them; a leading dash would look like an option."""
    import base64

    while True:
        text = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def version_key(version: str) -> tuple[int, ...]:
    """Sorts `4.10.0` after `4.9.1`; what is not a number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.replace("-", ".").split("."))


def is_free(port: int) -> bool:
    """Whether a server may listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Kafka does: TIME_WAIT is no obstacle
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _remembered_or_free(remembered: int, avoid: int) -> int:
    if remembered and remembered != avoid and is_free(remembered):
        return remembered
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port != avoid:
            return port


def _owner(descriptor: int) -> int | None:
    try:
        return int(json.loads(os.pread(descriptor, 200, 0))["pid"])
    except (ValueError, KeyError, TypeError):
        return None  # the owner has locked, but not yet written


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
