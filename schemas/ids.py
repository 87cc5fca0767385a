"""Schema ids without a registry: ids.json, append-only. `python -m schemas.ids` appends what is new.

Each entry keeps the whole schema, so that records written by an older k2x stay readable for ever.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from schemas.errors import UnknownSchema

NAMES = (
    "order",
    "customer",
    "product",
    "change",
    "command",
    "result",
    "ledger",
    "reference",
    "rules",
    "writeback",
    "token",
    "replay",
    "cursor",
    "settlement",
)


@cache
def current(name: str) -> dict[str, Any]:
    """The schema in <name>.avsc."""
    if name not in NAMES:
        raise UnknownSchema(f"there is no schema {name!r}; known: {', '.join(NAMES)}")
    loaded: dict[str, Any] = json.loads(resources.files("schemas").joinpath(f"{name}.avsc").read_text("utf-8"))
    return loaded


class CommittedIds:
    """The registry of a deployment without a registry: the committed file."""

    def __init__(self, entries: list[dict[str, Any]] | None = None) -> None:
        self._entries = _load() if entries is None else entries
        self._by_id = {entry["id"]: entry for entry in self._entries}
        self._newest = {entry["name"]: entry for entry in self._entries}

    def id_of(self, name: str) -> int:
        entry = self._newest.get(name)
        if entry is None or entry["schema"] != current(name):
            raise UnknownSchema(f"{name}.avsc is not the newest entry of ids.json: run python -m schemas.ids")
        return int(entry["id"])

    def schema(self, schema_id: int) -> tuple[str, dict[str, Any]]:
        entry = self._by_id.get(schema_id)
        if entry is None:
            raise UnknownSchema(f"schema id {schema_id} is not in ids.json: the record was written by a newer k2x")
        return entry["name"], entry["schema"]

    def newest(self, name: str) -> dict[str, Any]:
        return current(name)


def appended(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries with one more for each schema that is not the newest of its name. Existing ones never change."""
    newest = {entry["name"]: entry for entry in entries}
    result = list(entries)
    for name in NAMES:
        if name not in newest or newest[name]["schema"] != current(name):
            result.append({"id": len(result) + 1, "name": name, "schema": current(name)})
    return result


def _load() -> list[dict[str, Any]]:
    text = resources.files("schemas").joinpath("ids.json").read_text("utf-8")
    entries: list[dict[str, Any]] = json.loads(text)
    return entries


def main() -> int:
    path = Path(str(resources.files("schemas").joinpath("ids.json")))
    before = json.loads(path.read_text("utf-8")) if path.exists() else []
    after = appended(before)
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in after)
    path.write_text(f"[\n{lines}\n]\n", "utf-8")
    sys.stdout.write(f"{len(after) - len(before)} schema(s) appended, {len(after)} in all\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
