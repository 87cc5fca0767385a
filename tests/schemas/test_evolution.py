"""Schema ids are append-only, and every newer schema reads what an older one wrote (BACKWARD)."""

from __future__ import annotations

import json
import random
import subprocess
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.utils import generate_many

from schemas import generate_types
from schemas.errors import UnknownSchema
from schemas.ids import NAMES, CommittedIds, appended, current

HERE = Path(__file__).parents[2]
ENTRIES: list[dict[str, Any]] = json.loads((HERE / "schemas" / "ids.json").read_text("utf-8"))


def test_every_avsc_has_an_id_and_nothing_else_has_a_file() -> None:
    files = {path.stem for path in (HERE / "schemas").glob("*.avsc")}
    assert files == set(NAMES)
    assert appended(ENTRIES) == ENTRIES, "an .avsc changed: run python -m schemas.ids"


def test_ids_count_up_from_one() -> None:
    assert [entry["id"] for entry in ENTRIES] == list(range(1, len(ENTRIES) + 1))


def test_a_changed_schema_is_appended_and_the_old_id_kept() -> None:
    old = [dict(entry) for entry in ENTRIES]
    old[0] = {**old[0], "schema": {**old[0]["schema"], "doc": "as it was"}}
    grown = appended(old)
    assert grown[: len(old)] == old
    assert grown[-1] == {"id": len(old) + 1, "name": old[0]["name"], "schema": current(old[0]["name"])}
    with pytest.raises(UnknownSchema, match=r"schemas\.ids"):
        CommittedIds(old).id_of(old[0]["name"])


def test_committed_ids_never_changed_in_history() -> None:
    """Every version of ids.json that main has had is a beginning of today's. Two branches may have taken one number:
    what counts is what landed, which is the line of first parents."""
    log = subprocess.run(
        ["git", "log", "--first-parent", "--format=%H", "--", "schemas/ids.json"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    for commit in log.stdout.split():
        shown = subprocess.run(
            ["git", "show", f"{commit}:schemas/ids.json"], cwd=HERE, capture_output=True, text=True, check=False
        )
        if shown.returncode == 0:
            then = json.loads(shown.stdout)
            assert ENTRIES[: len(then)] == then, f"ids.json of {commit[:8]} is not a prefix of today's"


@pytest.mark.parametrize("name", NAMES)
def test_newer_schemas_read_what_older_ones_wrote(name: str) -> None:
    versions = [entry["schema"] for entry in ENTRIES if entry["name"] == name]
    random.seed(7)
    for older, newer in pairwise([*versions, versions[-1]]):
        written, read = fastavro.parse_schema(older), fastavro.parse_schema(newer)
        for value in generate_many(json.loads(json.dumps(older)), 5):
            buffer = BytesIO()
            fastavro.schemaless_writer(buffer, written, value)
            buffer.seek(0)
            assert set(fastavro.schemaless_reader(buffer, written, read)) == {f["name"] for f in newer["fields"]}


def test_types_are_what_the_schemas_say() -> None:
    text = (HERE / "schemas" / "types.py").read_text("utf-8")
    formatted = subprocess.run(
        ["ruff", "format", "-", "--config", str(HERE / "pyproject.toml"), "--stdin-filename", "types.py"],
        input=generate_types.render(),
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": str(Path(__import__("sys").executable).parent)},
    )
    assert formatted.stdout == text, "run python -m schemas.generate_types"
