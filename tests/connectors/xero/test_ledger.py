"""The local copy: what it answers, what it forgets, and that it equals the topic."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from connectors.xero.core.events import ReferenceRow, Transact
from connectors.xero.core.records import entry
from connectors.xero.ledger import LedgerStore
from schemas.codec import Codec
from schemas.ids import CommittedIds
from schemas.types import LedgerEntry
from tests.connectors.xero.commands import T0

CODEC = Codec(CommittedIds())


def _entry(key: str, number: str | None = None, waits: float | None = None) -> LedgerEntry:
    made = entry("uk", key, "invoice", T0)
    made["number"] = number
    if waits is not None:
        made["state"], made["command"] = "WAITING", b"c"
        made["retry_at"] = T0 + timedelta(seconds=waits)
    return made


def _apply(store: LedgerStore, *entries: LedgerEntry, offset: int | None = None) -> None:
    store.apply(Transact(1, {e["key"]: e for e in entries}), offset=offset)


def test_it_answers_by_key_number_and_time() -> None:
    store = LedgerStore(None, CODEC)
    _apply(store, _entry("a", "W-1"), _entry("b", waits=5), _entry("c", waits=1), _entry("d", waits=99))
    found = store.get("a")
    assert found is not None
    assert found["number"] == "W-1"
    assert store.holder("invoice", "w-1") == "a"
    due = store.waiting(T0 + timedelta(seconds=10), None, 10)
    assert due == [(T0 + timedelta(seconds=1), "c"), (T0 + timedelta(seconds=5), "b")]
    assert store.waiting(T0 + timedelta(seconds=10), due[0], 10) == due[1:]
    assert store.next_waiting() == T0 + timedelta(seconds=1)
    store.apply(Transact(2, {"a": None}))
    assert store.get("a") is None


def test_a_copy_of_the_same_topic_reads_only_the_tail(tmp_path: Path) -> None:
    path = tmp_path / "uk.sqlite3"
    store = LedgerStore(path, CODEC)
    assert store.resume_from("cluster topic", 0, 10) == 0
    store.loaded()
    _apply(store, _entry("a"), offset=8)
    store.close()
    again = LedgerStore(path, CODEC)
    assert again.resume_from("cluster topic", 0, 10) == 8
    assert again.get("a") is not None
    again.close()


def test_a_copy_of_another_or_of_a_shorter_topic_is_thrown_away(tmp_path: Path) -> None:
    for identity, high in (("cluster other", 10), ("cluster topic", 5)):
        path = tmp_path / f"{high}.sqlite3"
        store = LedgerStore(path, CODEC)
        store.resume_from("cluster topic", 0, 10)
        store.loaded()
        _apply(store, _entry("a"), offset=8)
        assert store.resume_from(identity, 0, high) == 0
        store.loaded()
        assert store.get("a") is None
        store.close()


def _bytes(*entries: LedgerEntry) -> list[tuple[str, bytes | None]]:
    return [(e["key"], CODEC.encode("ledger", e)) for e in entries]


@pytest.mark.parametrize("cold", [True, False])
def test_what_is_loaded_is_the_last_word_of_each_key(tmp_path: Path, cold: bool) -> None:
    store = LedgerStore(tmp_path / "uk.sqlite3", CODEC)
    store.resume_from("cluster topic", 0, 10)
    if not cold:
        store.loaded()
    store.load(_bytes(_entry("a", "W-1"), _entry("b", "W-2"), _entry("c", waits=1), _entry("d", waits=2)), 4)
    store.load([*_bytes(_entry("a", "W-9"), _entry("c", "W-3")), ("b", None), ("d", None)], 8)
    store.load([*_bytes(_entry("b", "W-4")), ("e", None), *_bytes(_entry("f"))], 11)
    store.loaded()
    numbers = {key: found["number"] for key in "abcdef" if (found := store.get(key)) is not None}
    assert numbers == {"a": "W-9", "b": "W-4", "c": "W-3", "f": None}
    assert [store.holder("invoice", n) for n in ("w-1", "w-9", "w-2", "w-4")] == [None, "a", None, "b"]
    assert store.next_waiting() is None
    assert store.mark("offset") == "11"
    store.close()


def test_a_cold_start_that_was_cut_short_leaves_nothing_half_read(tmp_path: Path) -> None:
    path = tmp_path / "uk.sqlite3"
    first = LedgerStore(path, CODEC)
    first.resume_from("cluster topic", 0, 10)
    first.load(_bytes(_entry("a")), 5)
    again = LedgerStore(path, CODEC)  # the first one is killed here
    assert again.resume_from("cluster topic", 0, 10) == 0
    again.close()
    assert [file.name for file in tmp_path.iterdir()] == ["uk.sqlite3"]


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "uk.sqlite3"
    path.write_bytes(b"this is no database" * 1000)
    store = LedgerStore(path, CODEC)
    assert store.resume_from("cluster topic", 0, 10) == 0
    store.close()


def test_the_index_knows_active_contacts_by_number_and_email() -> None:
    store = LedgerStore(None, CODEC)

    def row(code: str, number: str, status: str = "ACTIVE") -> ReferenceRow:
        text = (
            f'{{"ContactID":"{code}","ContactNumber":"{number}","EmailAddress":"A@x.uk","Name":"A",'
            f'"ContactStatus":"{status}"}}'
        )
        return ReferenceRow("CONTACT", code, text, "s", T0)

    store.apply(Transact(1, {}, reference=(row("1", "N1"), row("2", "N2", "ARCHIVED"))))
    assert [c.id for c in store.contacts_by_email("a@X.uk")] == ["1"]
    found = store.contact_by_number("n1")
    assert found is not None
    assert found.id == "1"
    assert store.contact_by_number("N2") is None
