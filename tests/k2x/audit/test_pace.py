"""The tools' share of Xero's calls: own minute, own day over several runs, the sink's reserve, and Xero's own word."""

from __future__ import annotations

from pathlib import Path

import pytest

from k2x.audit.pace import Pace, Share, Spent

NOW = 1_800_000_000.0
SHARE = Share(minute=3, day=10, minute_reserve=10, day_reserve=100)


def pace(path: Path | None = None, share: Share = SHARE) -> Pace:
    return Pace(share, Spent(path))


def wait(of: Pace, now: float) -> float:
    found = of.wait(now)
    return 0.0 if found is None else round(found.seconds, 3)


def test_a_minute_has_its_share_wherever_it_begins() -> None:
    own = pace()
    for second in (0, 10, 20):
        assert wait(own, NOW + second) == 0
        own.sent(NOW + second)
    assert wait(own, NOW + 30) == 30
    assert wait(own, NOW + 60) == 0
    own.sent(NOW + 60)
    assert wait(own, NOW + 60) == 10


def test_the_sandbox_s_minute_is_shorter_when_its_clock_runs_fast() -> None:
    own = pace(share=Share(minute=1, speed=60.0))
    own.sent(NOW)
    assert wait(own, NOW) == 1


def test_a_day_has_its_share_over_several_runs(tmp_path: Path) -> None:
    path = tmp_path / "tools" / "uk.json"
    for run in range(5):
        own = pace(path)
        for second in (0, 60):
            assert wait(own, NOW + run * 120 + second) == 0
            own.sent(NOW + run * 120 + second)
    found = pace(path).wait(NOW + 600)
    assert found is not None
    assert found.long
    assert "10 calls of the day" in found.why
    assert wait(pace(path), NOW + 600 + found.seconds) == 0
    assert wait(pace(path), NOW + 600 + found.seconds - 1) > 0


def test_a_file_that_a_crash_has_cut_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "uk.json"
    path.write_text('{"500000": 1', "utf-8")
    own = pace(path)
    own.sent(NOW)
    assert Spent(path).today(NOW) == 1


@pytest.mark.parametrize(
    ("status", "headers", "seconds", "long"),
    [
        (200, {"x-minlimit-remaining": "50", "x-daylimit-remaining": "4000"}, 0, False),
        (200, {"x-minlimit-remaining": "10", "x-daylimit-remaining": "4000"}, 60, False),
        (200, {"x-minlimit-remaining": "50", "x-daylimit-remaining": "100"}, 3600, True),
        (200, {}, 0, False),
        (200, {"x-minlimit-remaining": "many"}, 0, False),
        (429, {"retry-after": "26", "x-rate-limit-problem": "minute"}, 26, False),
        (429, {"retry-after": "66975", "x-rate-limit-problem": "Day"}, 66975, True),
        (429, {"x-rate-limit-problem": "day"}, 3600, True),
        (429, {"x-rate-limit-problem": "concurrent"}, 1, False),
        (429, {"x-rate-limit-problem": "app-minute"}, 20, False),
        (429, {}, 60, False),
    ],
)
def test_what_xero_says_is_kept(status: int, headers: dict[str, str], seconds: float, long: bool) -> None:
    own = pace()
    own.answered(NOW, status, headers)
    found = own.wait(NOW)
    assert (0 if found is None else found.seconds, found is not None and found.long) == (seconds, long)
    assert own.wait(NOW + seconds) is None
