"""The clock that lapses and deadlines are measured by: never set back, and it goes on while the machine is suspended.

Linux's monotonic clock stands still during a suspend: a laptop or a virtual machine that wakes would take an intention
of an hour ago for a fresh one and send after its successor has read Xero.
"""

from __future__ import annotations

import time

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def elapsed() -> float:
    """Seconds since some moment of this machine's past. Comparable only within one machine and one boot."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
