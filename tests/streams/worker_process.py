"""A streams worker as a process of its own, for tests that kill it: `python -m tests.streams.worker_process JSON`.

JSON holds StreamsSettings; `noted` false takes the real flow instead of the fake one; `bare`: nothing is counted;
`spans_to`: an OpenTelemetry collector that takes spans.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from k2x.tracing import OtlpRecorder
from schemas import spans
from streams.metrics import Metrics
from streams.settings import StreamsSettings
from streams.worker import run_worker
from tests.streams.fakes import NotedCompiler


def main() -> int:
    given = json.loads(sys.argv[1])
    given["data_dir"] = Path(given["data_dir"])
    compiler = NotedCompiler() if given.pop("noted", True) else None
    if given.pop("bare", False):
        count_nothing()
    if endpoint := given.pop("spans_to", ""):
        recorder = OtlpRecorder(endpoint, "k2x-streams")
        recorder.start()
        spans.use(recorder)
    run_worker(StreamsSettings(**given), compiler=compiler)
    return 0


def count_nothing() -> None:
    """For the bench of what counting costs."""
    for kind in (Counter, Histogram, Gauge):
        for name in ("inc", "observe", "set"):
            if hasattr(kind, name):
                setattr(kind, name, lambda *_: None)
    for name in ("event", "letter", "result", "parked", "ready", "selling"):
        setattr(Metrics, name, lambda *_, **__: None)


if __name__ == "__main__":
    raise SystemExit(main())
