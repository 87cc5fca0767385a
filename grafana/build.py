"""`python -m grafana.build`: writes dashboards/*.json from boards/*.py; with --check it only says what would change."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana.boards import BOARDS
from grafana.panel import dashboard_json

FOLDER = Path(__file__).parent / "dashboards"


def written() -> dict[Path, str]:
    """Every file as it has to be."""
    return {
        FOLDER / f"{board.uid.removeprefix('k2x-')}.json": json.dumps(
            dashboard_json(board), indent=1, sort_keys=True, ensure_ascii=False
        )
        + "\n"
        for board in BOARDS
    }


def drift() -> list[str]:
    """Files that are not what the generator writes, that are missing, or that no board writes any more."""
    wanted = written()
    found = {path: path.read_text("utf-8") for path in FOLDER.glob("*.json")}
    return sorted(path.name for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))


def main(arguments: list[str]) -> int:
    changed = drift()
    if "--check" in arguments:
        for name in changed:
            print(f"{name} is not what grafana/boards says: run `python -m grafana.build`", file=sys.stderr)
        return 1 if changed else 0
    FOLDER.mkdir(exist_ok=True)
    for path, text in written().items():
        path.write_text(text, "utf-8")
    for path in FOLDER.glob("*.json"):
        if path not in written():
            path.unlink()
    print(f"{len(BOARDS)} dashboards, {len(changed)} changed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
