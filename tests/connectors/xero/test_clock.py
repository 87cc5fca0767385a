"""The sink's clock counts a suspend: shown by the kernel's own two clocks, which differ by exactly that."""

from __future__ import annotations

import time

import pytest

from connectors.xero.client import XeroClient
from connectors.xero.clock import elapsed
from connectors.xero.lane import Clock


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux tells a suspend apart")
def test_lane_and_client_measure_by_the_clock_that_counts_a_suspend(monkeypatch: pytest.MonkeyPatch) -> None:
    suspended = 3600.0
    read = time.clock_gettime
    monkeypatch.setattr(
        time, "clock_gettime", lambda which: read(which) + (suspended if which == time.CLOCK_BOOTTIME else 0.0)
    )
    assert elapsed() - time.monotonic() > suspended - 60
    assert Clock().mono is elapsed
    assert XeroClient.__init__.__defaults__ == (elapsed,)
