"""The order of a take-over, which nothing but itself can show: a wrong one fails only when two owners meet in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from connectors.xero.budget import Limits
from connectors.xero.lane import Client, Clock, LaneRunner
from connectors.xero.log import LaneLog
from connectors.xero.metrics import SinkMetrics
from connectors.xero.settings import SinkSettings
from schemas.codec import Codec
from schemas.ids import CommittedIds


class _Stop(Exception):
    pass


def test_the_fence_comes_first_then_the_ledger_then_the_offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def spy(name: str) -> Any:
        def step(*arguments: object) -> Any:
            seen.append(name)
            if name == "standing":
                raise _Stop

        return step

    for name in ("fence", "restore", "standing"):
        monkeypatch.setattr(LaneLog, name, spy(name))
    settings, codec = SinkSettings(state_dir=tmp_path), Codec(CommittedIds())
    log = LaneLog("uk", {"bootstrap.servers": "127.0.0.1:1"}, settings, codec)

    class Nobody:
        def close(self) -> None:
            seen.append("closed")

    lane = LaneRunner(
        "uk", settings, log, codec, cast(Client, Nobody()), Limits(), Clock(), SinkMetrics(), lambda: None
    )
    lane.start()
    lane._thread.join(30)
    assert seen[:3] == ["fence", "restore", "standing"]
    assert isinstance(lane.failure, _Stop)
