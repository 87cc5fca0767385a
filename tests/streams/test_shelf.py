"""Which parked records are fed already, from offsets alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.shelf import Shelf, Waiting, restored


def test_one_that_waits_holds_the_commit_but_not_the_others() -> None:
    shelf = Shelf("t", 0, frontier=10, scanned=True, waiting={"de": Waiting(3, 2)})
    assert shelf.committed == 3
    assert not shelf.is_fed("de", 3)
    assert shelf.is_fed("uk", 9)
    assert not shelf.is_fed("uk", 10)
    assert shelf.start_for({"uk"}) == 10
    assert shelf.start_for({"de", "uk"}) == 3
    assert shelf.holds("de")
    assert not shelf.holds("uk")


def test_an_unscanned_shelf_may_hold_anybodys() -> None:
    assert Shelf("t", 0, frontier=0).holds("uk")
    shelf = Shelf("t", 0, frontier=5, scanned=True)
    shelf.expect("uk")
    assert shelf.holds("uk")
    shelf.expect("uk")
    assert (shelf.waiting["uk"].first, shelf.committed, shelf.unfed("uk"), shelf.unfed("de")) == (5, 5, 2, 0)


@given(
    st.integers(0, 10**9),
    st.dictionaries(st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True), st.integers(0, 10**9), max_size=200),
)
def test_state_survives_as_commit_metadata_or_costs_repeats_only(frontier: int, waiting: dict[str, int]) -> None:
    shelf = Shelf("t", 1, frontier, True, {org: Waiting(min(first, frontier), 2) for org, first in waiting.items()})
    text = shelf.metadata()
    assert len(text.encode()) <= 4096
    again = restored("t", 1, shelf.committed, text, end=frontier)
    for org in [*waiting, "other"]:
        for offset in (0, shelf.committed, frontier - 1, frontier, frontier + 1):
            if again.is_fed(org, offset):
                assert shelf.is_fed(org, offset)  # never thought to be fed when it was not
            assert not text or again.unfed(org) == shelf.unfed(org)
            if text:
                assert again.is_fed(org, offset) == shelf.is_fed(org, offset)


def test_foreign_metadata_is_done_without() -> None:
    for text in (
        None,
        "",
        "{",
        "[]",
        '{"frontier": "x", "waiting": {}}',
        '{"frontier": 3}',
        '{"frontier": 3, "waiting": {"uk": 1}}',
    ):
        shelf = restored("t", 0, 7, text, end=9)
        assert (shelf.frontier, shelf.waiting, shelf.scanned) == (7, {}, False)
    assert restored("t", 0, 9, None, end=9).scanned
