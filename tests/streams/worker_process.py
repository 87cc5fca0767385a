"""A streams worker as a process of its own, for tests that kill it: `python -m tests.streams.worker_process JSON`.

JSON holds StreamsSettings; `noted` false takes the real flow instead of the fake one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from streams.settings import StreamsSettings
from streams.worker import run_worker
from tests.streams.fakes import NotedCompiler


def main() -> int:
    given = json.loads(sys.argv[1])
    given["data_dir"] = Path(given["data_dir"])
    compiler = NotedCompiler() if given.pop("noted", True) else None
    run_worker(StreamsSettings(**given), compiler=compiler)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
