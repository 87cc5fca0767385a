"""A streams worker that is watched more or less: `python -m tests.bench.observed_worker WAY JSON COLLECTOR`.

WAY: off, metrics, or metrics and tracing; JSON holds StreamsSettings; spans go to the COLLECTOR's address.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from k2x.tracing import OtlpRecorder
from schemas import spans
from streams.metrics import Metrics
from streams.settings import StreamsSettings
from streams.worker import run_worker

WAYS = ("off", "metrics", "metrics and tracing")
_COUNTS = ("event", "letter", "result", "transformed", "parked", "ready", "selling")


@contextlib.contextmanager
def watched(way: str) -> Iterator[None]:
    """Inside, events are counted or not."""
    if way != "off":
        yield
        return
    with patch.multiple(Metrics, **{name: lambda *_, **__: None for name in _COUNTS}):
        yield


def main() -> int:
    way, given, collector = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
    given["data_dir"] = Path(given["data_dir"])
    recorder = OtlpRecorder(collector, "k2x-streams") if "tracing" in way else None
    if recorder is not None:
        recorder.start()
        spans.use(recorder)
    with watched(way):
        run_worker(StreamsSettings(**given))
    if recorder is not None:
        recorder.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
