"""The list of sabotages cannot rot: each still finds its place, changes something, and names tests that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.__main__ import ALL
from tests.mutants.sabotages import Sabotage

HERE = Path(__file__).parents[2]


@pytest.mark.parametrize("sabotage", ALL, ids=lambda s: s.name)
def test_a_sabotage_finds_its_place_once_and_its_tests(sabotage: Sabotage) -> None:
    source = (HERE / sabotage.file).read_text("utf-8")
    assert source.count(sabotage.old) == 1
    assert sabotage.new != sabotage.old
    compile(source.replace(sabotage.old, sabotage.new), sabotage.file, "exec")
    assert sabotage.tests
    for test in sabotage.tests:
        file, _, name = test.partition("::")
        name, _, case = name.partition("[")
        assert not case or (HERE / "tests" / "golden" / "cases" / f"{case[:-1]}.yaml").is_file(), test
        assert f"def {name}(" in (HERE / file).read_text("utf-8"), test


def test_no_two_sabotages_share_a_name_and_there_are_enough() -> None:
    assert len({s.name for s in ALL}) == len(ALL) >= 14
