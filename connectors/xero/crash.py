"""Named points at which a chaos test may end or freeze this process. Without K2X_CRASH_AT nothing ever happens.

K2X_CRASH_AT=name or name:n (the n-th time), K2X_CRASH_SIGNAL=KILL (default) or STOP. Points: before_send, after_send,
after_answer, after_ledger, before_commit, at_socket (between the last look at the clock and the socket).
"""

from __future__ import annotations

import os
import signal
import threading

POINTS = ("before_send", "after_send", "after_answer", "after_ledger", "before_commit", "at_socket")
_AFTER_SEND = 0.05  # seconds: the bytes are out, and no sandbox with latency has answered

_counts: dict[str, int] = {}
_lock = threading.Lock()


def crash_point(name: str) -> None:
    """Die here if the environment says so."""
    wanted = os.environ.get("K2X_CRASH_AT")
    if not wanted:
        return
    point, _, nth = wanted.partition(":")
    if point != name:
        return
    with _lock:
        _counts[name] = count = _counts.get(name, 0) + 1
    if count != int(nth or "1"):
        return
    number = signal.SIGSTOP if os.environ.get("K2X_CRASH_SIGNAL") == "STOP" else signal.SIGKILL
    if name == "after_send":
        threading.Timer(_AFTER_SEND, os.kill, (os.getpid(), number)).start()
    else:
        os.kill(os.getpid(), number)
