"""Reference data changes as a whole; rules by the version in force."""

from __future__ import annotations

from typing import Any

from schemas.codec import Codec
from schemas.ids import CommittedIds
from streams.reference_copy import ReferenceCopy, Rows
from streams.rules_copy import RulesCopy
from tests.streams import samples

CODEC = Codec(CommittedIds())


class Reference:
    """A copy under test, and what it handed over."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, list[str] | None]] = []
        self.copy = ReferenceCopy(CODEC, ["uk", "de"], self._take)

    def _take(self, org: str, rows: Rows | None) -> None:
        self.seen.append((org, None if rows is None else sorted(code for _, code in rows)))

    def row(self, org: str, kind: str, code: str) -> None:
        value = CODEC.encode("reference", samples.reference(org, kind, code))
        self.copy.apply(f"{org}|{kind}|{code}".encode(), value)

    def gone(self, key: str) -> None:
        self.copy.apply(key.encode(), None)


def test_rows_count_only_from_their_complete_marker_on() -> None:
    reference = Reference()
    reference.row("uk", "ACCOUNT", "200")
    reference.copy.publish()
    assert reference.seen == []
    reference.row("uk", "COMPLETE", "")
    reference.copy.publish()
    reference.row("uk", "ACCOUNT", "260")
    reference.gone("uk|ACCOUNT|200")
    reference.copy.publish()
    assert reference.seen == [("uk", ["200"])]
    reference.row("uk", "COMPLETE", "")
    reference.copy.publish()
    assert reference.seen[1:] == [("uk", ["260"])]


def test_contacts_others_and_unreadable_rows_stay_out() -> None:
    reference = Reference()
    reference.copy.apply(b"uk|CONTACT|c1", b"never decoded")
    reference.row("fr", "ACCOUNT", "200")
    reference.copy.apply(b"uk|ACCOUNT|201", b"\x00\x00")
    reference.copy.apply(b"nonsense", b"x")
    reference.row("uk", "ITEM", "a|b")
    reference.row("uk", "COMPLETE", "")
    reference.copy.publish()
    assert reference.seen == [("uk", ["a|b"])]


def test_withdrawn_marker_makes_the_organisation_wait() -> None:
    reference = Reference()
    reference.row("uk", "ACCOUNT", "200")
    reference.row("uk", "COMPLETE", "")
    reference.copy.publish()
    reference.gone("uk|COMPLETE|")
    reference.copy.publish()
    assert reference.seen == [("uk", ["200"]), ("uk", None)]


def test_start_amid_a_snapshot_keeps_rows_that_compaction_left_only_there() -> None:
    reference = Reference()
    reference.row("uk", "ACCOUNT", "200")
    reference.row("uk", "COMPLETE", "")
    reference.row("uk", "ACCOUNT", "260")  # its older version, before the marker, was compacted away
    reference.copy.publish()
    assert reference.seen == [("uk", ["200", "260"])]


def test_rules_in_force_are_the_latest_and_bad_bytes_change_nothing() -> None:
    seen: list[tuple[str, Any]] = []
    copy = RulesCopy(CODEC, ["uk"], lambda org, rules: seen.append((org, rules and rules["version"])))
    for key, version in (("uk|1", 1), ("uk|latest", 1), ("uk|2", 2), ("uk|latest", 2), ("de|latest", 9)):
        copy.apply(key.encode(), CODEC.encode("rules", samples.rules(key.split("|")[0], version)))
    copy.apply(b"uk|latest", b"\x00bad")
    copy.publish()
    copy.publish()
    assert seen == [("uk", 2)]
    copy.apply(b"uk|latest", None)
    copy.publish()
    assert seen == [("uk", 2), ("uk", None)]
