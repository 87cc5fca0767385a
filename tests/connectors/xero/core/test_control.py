"""Where a new owner stands, by what it finds: which offset holds, and when the ledger cannot be the whole one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.xero.core.control import Facts, standing

WHOLE = Facts(empty=False, certified="t1", kept=70, group=70, commands="t1", low=0, high=100)
NEW = replace(WHOLE, empty=True, certified=None, kept=None, group=None, high=0)


def test_both_offsets_are_one_in_quiet_times() -> None:
    found = standing(WHOLE)
    assert (found.offset, found.lost, found.certify) == (70, "", False)


@pytest.mark.parametrize(
    ("kept", "group", "offset"),
    [
        (70, None, 70),  # the group's has expired
        (None, 60, 60),  # a ledger from before it held one
        (70, 60, 70),  # somebody set the group back: what is finished stays so
        (70, 80, 80),  # somebody skipped records
        (None, None, 0),
    ],
)
def test_of_two_committed_offsets_the_further_one_holds(kept: int | None, group: int | None, offset: int) -> None:
    assert standing(replace(WHOLE, kept=kept, group=group)).offset == offset


def test_beyond_the_end_of_the_topic_nothing_is_unread() -> None:
    assert standing(replace(WHOLE, high=50)).offset == 50


def test_a_command_topic_made_anew_is_read_from_its_beginning() -> None:
    found = standing(replace(WHOLE, commands="t2", group=None))
    assert (found.offset, found.lost, found.certify) == (0, "", True)
    assert standing(replace(WHOLE, commands="t2", group=500)).offset == 0
    assert standing(replace(WHOLE, commands="t2", group=30)).offset == 30  # a mirrored cluster's own


def test_a_new_organisation_gets_its_certificate() -> None:
    found = standing(NEW)
    assert (found.offset, found.lost, found.certify) == (0, "", True)
    assert not standing(replace(NEW, high=1000)).lost  # its commands came before its first sink


def test_a_ledger_from_before_certificates_gets_one() -> None:
    found = standing(replace(WHOLE, certified=None, kept=None))
    assert (found.offset, found.lost, found.certify) == (70, "", True)


def test_an_empty_ledger_beside_finished_commands_is_lost() -> None:
    found = standing(replace(NEW, group=70, high=100))
    assert "up to offset 70 are finished" in found.lost
    assert not found.certify


def test_a_ledger_made_anew_beneath_a_running_lane_is_lost() -> None:
    found = standing(replace(WHOLE, certified=None))
    assert "made anew" in found.lost
    assert not found.certify
