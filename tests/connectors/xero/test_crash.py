"""Crash points: an order falls once, at its point, in one process; without one nothing happens."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from connectors.xero import crash
from connectors.xero.crash import Order, crash_point


@pytest.fixture
def falls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, signal.Signals]]:
    """What would have been done to this process."""
    seen: list[tuple[str, signal.Signals]] = []
    monkeypatch.setattr(crash, "_fall", lambda name, number: seen.append((name, number)))
    monkeypatch.delenv("K2X_CRASH_AT", raising=False)
    monkeypatch.delenv("K2X_CRASH_FILE", raising=False)
    return seen


def test_nothing_happens_without_an_order(falls: list[tuple[str, signal.Signals]]) -> None:
    crash_point("before_send", "invoices")
    assert falls == []


def test_an_order_falls_once_at_the_nth_passing_of_its_point_and_is_gone(
    falls: list[tuple[str, signal.Signals]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "order"
    monkeypatch.setenv("K2X_CRASH_FILE", str(file))
    crash_point("after_answer", "payments")
    for signalled in (signal.SIGSTOP, signal.SIGKILL):
        file.write_text(f"after_answer@payments:2 {signalled.name.removeprefix('SIG')}", "utf-8")
        for purpose in ("payments", "invoices"):
            crash_point("after_answer", purpose)
            crash_point("before_send", purpose)
        assert falls == []
        crash_point("after_answer", "payments")
        assert falls == [("after_answer", signalled)]
        crash_point("after_answer", "payments")
        assert len(falls) == 1
        assert not file.exists()
        falls.clear()


def test_an_order_that_names_no_point_is_refused() -> None:
    assert Order.read("at_socket STOP") == Order("at_socket", "", 1, signal.SIGSTOP)
    for wrong in ("after_lunch", "before_send WAIT", "before_send KILL now"):
        with pytest.raises(ValueError, match="is no point"):
            Order.read(wrong)
