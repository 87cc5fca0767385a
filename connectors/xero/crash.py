"""Named points at which a chaos test may end or freeze this process. Without K2X_CRASH_* nothing ever happens.

K2X_CRASH_AT holds an order: `point`, or `point@purpose` (contacts, invoices, payments: what the call writes), with
`:n` for the n-th time, and `STOP` behind it for SIGSTOP instead of SIGKILL. K2X_CRASH_FILE names a file that may hold
one: it is taken away before the blow, so it falls once, in one of the processes that watch the file, and not again
after the restart. at_socket lies between the last look at the clock and the socket.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POINTS = ("before_send", "after_send", "after_answer", "after_ledger", "before_commit", "at_socket")
_AFTER_SEND = 0.05  # seconds: the bytes are out, and no sandbox with latency has answered

_counts: dict[tuple[str, int], int] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Order:
    """When to fall, and how."""

    point: str
    purpose: str = ""  # "" any
    nth: int = 1
    number: signal.Signals = signal.SIGKILL

    @classmethod
    def read(cls, text: str) -> Order:
        """From `point[@purpose][:n] [KILL|STOP]`; ValueError for anything else."""
        where, *how = text.split()
        where, _, nth = where.partition(":")
        point, _, purpose = where.partition("@")
        number = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP}.get(how[0] if how else "KILL")
        if point not in POINTS or number is None or len(how) > 1:
            raise ValueError(f"{text!r} is no point[@purpose][:n] [KILL|STOP] with a point of {', '.join(POINTS)}")
        return cls(point, purpose, int(nth or "1"), number)


def crash_point(name: str, purpose: str = "") -> None:
    """Die or freeze here if the environment says so."""
    fixed, path = os.environ.get("K2X_CRASH_AT"), os.environ.get("K2X_CRASH_FILE")
    if fixed and _due(fixed, 0, name, purpose):
        _fall(name, Order.read(fixed).number)
    if path:
        with suppress(FileNotFoundError):  # none is there, or another process was quicker
            file = Path(path)
            text, written = file.read_text("utf-8"), file.stat().st_mtime_ns
            if _due(text, written, name, purpose):
                file.rename(f"{file}.taken")
                _fall(name, Order.read(text).number)


def _due(text: str, written: int, name: str, purpose: str) -> bool:
    """Whether this is the n-th time that the order's point is passed."""
    order = Order.read(text)
    if order.point != name or order.purpose not in ("", purpose):
        return False
    with _lock:
        _counts[text, written] = count = _counts.get((text, written), 0) + 1
    return count == order.nth


def _fall(name: str, number: signal.Signals) -> None:
    if name == "after_send":
        threading.Timer(_AFTER_SEND, os.kill, (os.getpid(), number)).start()
    else:
        os.kill(os.getpid(), number)
