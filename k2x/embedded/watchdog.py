"""Runs one program and never lets it outlive its parent, whatever kills either of them.

A script of its own, with the standard library only, so that it starts in 20 ms and needs 10 MB:
`python -I -S watchdog.py PARENT_PID LOCK_FD LOG_FILE GRACE_SECONDS PROGRAM ARGUMENT...`
- The parent ends, however (kill -9 too): the program gets SIGTERM, and SIGKILL after the grace.
- This script is killed: on Linux the kernel kills the program with it (PR_SET_PDEATHSIG). That cannot be asked of the
  parent itself, because the signal follows the *thread* that started the program, and that may be a pool's.
- LOCK_FD, a locked file, stays open here and in the program, so that the lock lasts until the last of them is gone.
The program's output goes to LOG_FILE, which is turned over once at LOG_LIMIT. Exit code: the program's.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

LOG_LIMIT = 5_000_000  # bytes; two such files hold days of a quiet broker's log
_TICK_S = 0.2  # how soon the parent's death is noticed
_PR_SET_PDEATHSIG = 1


class Log:
    """An append-only file with one predecessor."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - open as long as the process

    def write(self, data: bytes) -> None:
        if self._file.tell() > LOG_LIMIT:
            self._file.close()
            os.replace(self._path, self._path + ".1")
            self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115
        self._file.write(data)


def die_with_watchdog() -> None:
    """Runs in the child before exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    parent, lock_fd, log_path, grace = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
    stop_asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: stop_asked.append(received))
    log = Log(log_path)
    child = subprocess.Popen(
        sys.argv[5:],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(lock_fd,),
        preexec_fn=die_with_watchdog,
    )
    assert child.stdout is not None  # noqa: S101 - Popen was asked for a pipe
    output = child.stdout.fileno()
    os.set_blocking(output, False)
    kill_at: float | None = None
    while child.poll() is None:
        if kill_at is None and (stop_asked or os.getppid() != parent):
            child.terminate()
            kill_at = time.monotonic() + grace
        if kill_at is not None and time.monotonic() > kill_at:
            child.kill()
        select.select([output], [], [], _TICK_S)
        copy(output, log)
    copy(output, log)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def copy(source: int, log: Log) -> None:
    """Whatever can be read now; a full disk loses log lines, never the watch."""
    while True:
        try:
            data = os.read(source, 65536)
        except BlockingIOError:
            return
        if not data:
            time.sleep(_TICK_S)  # the program closed its output: select would spin
            return
        try:
            log.write(data)
        except OSError:
            continue


if __name__ == "__main__":
    sys.exit(main())
