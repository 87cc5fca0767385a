"""The local copy against a model: a dict for each thing it must know, and the topic as Kafka keeps it.

A life is transactions of ours, transactions of another owner that the copy never saw, take-overs with the file, without
one, with one that is older or another topic's, records loaded twice, and compaction. After each the copy is the topic.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connectors.xero.core.events import IndexedContact, ReferenceRow, Transact
from connectors.xero.core.records import entry
from connectors.xero.ledger import LedgerStore
from schemas.codec import Codec
from schemas.ids import CommittedIds
from schemas.types import LedgerEntry
from tests.connectors.xero.commands import T0
from tests.depth import examples

CODEC = Codec(CommittedIds())
KEYS = [f"shop|{n}|{kind}|0" for n in range(4) for kind in ("invoice", "payment")]
NUMBERS = ["W-1", "W-2", "w-3"]
EMAILS = ["ann@x.uk", "Bob@x.uk"]


@st.composite
def changes(draw: st.DrawFn) -> dict[str, LedgerEntry | None]:
    """What a transaction makes of some keys: a new entry or None, which takes the key out."""
    made: dict[str, LedgerEntry | None] = {}
    for key in draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=4)):
        if draw(st.integers(0, 3)) == 0:
            made[key] = None
            continue
        new = entry("uk", key, key.split("|")[2], T0)
        new["number"] = draw(st.none() | st.sampled_from(NUMBERS))
        new["state"] = draw(st.sampled_from(["POSTED", "WAITING", "HELD", "INTENDED"]))
        new["command"] = draw(st.none() | st.just(b"the command's bytes"))
        waits = draw(st.none() | st.integers(-5, 5))
        new["retry_at"] = None if waits is None else T0 + timedelta(seconds=waits)
        new["attempt"] = draw(st.integers(0, 99))
        made[key] = new
    return made


@st.composite
def contacts(draw: st.DrawFn) -> dict[str, dict[str, Any] | None]:
    """Rows of the contact index: a contact as Xero shows it, or None."""
    rows: dict[str, dict[str, Any] | None] = {}
    for id_ in draw(st.lists(st.sampled_from(["c-1", "c-2", "c-3"]), unique=True, max_size=2)):
        rows[id_] = draw(st.none() | _contact(id_))
    return rows


def _contact(id_: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "ContactID": st.just(id_),
            # An organisation has one contact of a number, so each has numbers of its own here.
            "ContactNumber": st.none() | st.sampled_from([f"{id_}-n", f"{id_}-m"]),
            "EmailAddress": st.none() | st.sampled_from(EMAILS),
            "Name": st.sampled_from(["Ann", "Bob"]),
            "ContactStatus": st.sampled_from(["ACTIVE", "ACTIVE", "ARCHIVED"]),
        }
    )


@dataclass
class Topic:
    """A compacted topic of one partition: what is left of it, and its end."""

    identity: str
    records: list[tuple[int, str, bytes | None]] = field(default_factory=list)
    end: int = 0

    def commit(self, values: dict[str, bytes | None]) -> int | None:
        """A transaction; the offset after its last record. Its marker takes an offset too."""
        for key, value in values.items():
            self.records.append((self.end, key, value))
            self.end += 1
        last = self.end if values else None
        self.end += 1
        return last

    def compact(self) -> None:
        """Of each key the last record stays."""
        last = {key: offset for offset, key, _ in self.records}
        self.records = [record for record in self.records if last[record[1]] == record[0]]

    def after(self, offset: int) -> list[tuple[str, bytes | None]]:
        return [(key, value) for at, key, value in self.records if at >= offset]


def encoded(entries: dict[str, LedgerEntry | None]) -> dict[str, bytes | None]:
    return {key: None if new is None else CODEC.encode("ledger", new) for key, new in entries.items()}


class LedgerMachine(RuleBasedStateMachine):
    """`behind`: the topic has records that the copy has not, as after a crash; only a take-over may follow."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.names = iter(f"cluster topic-{n}" for n in range(1000))
        self.tx = 0
        self.behind = False

    @initialize()
    def begins(self) -> None:
        self.topic = Topic(next(self.names))
        self.ledger: dict[str, LedgerEntry] = {}
        self._forget_local()
        self.store = LedgerStore(self.home / "uk.sqlite3", CODEC)
        self.store.resume_from(self.topic.identity, 0, 0)
        self.store.loaded()
        self.copied, self.known = self.topic.identity, 0  # which topic the copy is of, and up to where

    def _forget_local(self) -> None:
        self.index: dict[str, dict[str, Any]] = {}
        self.learned: dict[str, IndexedContact] = {}
        self.marks: dict[str, str] = {}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.home)

    # -- transactions -------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.behind)
    @rule(entries=changes(), rows=contacts(), mark=st.none() | st.integers(0, 9))
    def commits(self, entries: dict[str, LedgerEntry | None], rows: dict[str, Any], mark: int | None) -> None:
        """A transaction of ours, and the copy hears of it."""
        values = encoded(entries)
        after = self.topic.commit(values)
        self.tx += 1
        reference = tuple(
            ReferenceRow("CONTACT", id_, None if row is None else json.dumps(row), "s", T0) for id_, row in rows.items()
        )
        marks = {} if mark is None else {"since:CONTACT": str(mark)}
        self.store.apply(Transact(self.tx, entries, reference=reference, marks=marks), values, after)
        self._believe(entries)
        self.marks |= marks
        for id_, row in rows.items():
            if row is None:
                self.index.pop(id_, None)
            else:
                self.index[id_] = row
                self.learned.pop(id_, None)
        self.known = after if after is not None else self.known

    @rule(entries=changes())
    def another_owner_commits(self, entries: dict[str, LedgerEntry | None]) -> None:
        """Or we do, and crash before the copy hears of it."""
        self.topic.commit(encoded(entries))
        self._believe(entries)
        self.behind = True

    def _believe(self, entries: dict[str, LedgerEntry | None]) -> None:
        for key, new in entries.items():
            if new is None:
                self.ledger.pop(key, None)
            else:
                self.ledger[key] = new

    @precondition(lambda self: not self.behind)
    @rule(id_=st.sampled_from(["c-1", "c-8"]), email=st.none() | st.sampled_from(EMAILS))
    def learns(self, id_: str, email: str | None) -> None:
        """A contact that has just been written; the index shows it later."""
        contact = IndexedContact(id_, f"{id_}-n", "Zoe", email, True)
        self.store.learn(contact)
        self.learned[id_] = contact

    # -- the topic's own life -----------------------------------------------------------------------------------

    @rule()
    def is_compacted(self) -> None:
        self.topic.compact()

    @rule()
    def is_made_anew(self) -> None:
        """Deleted and created again, or another cluster."""
        self.topic = Topic(next(self.names))
        self.ledger = {}
        self.behind = True

    @precondition(lambda self: self.known > 1)
    @rule(data=st.data())
    def loses_its_end(self, data: st.DataObject) -> None:
        """A broker that was not in sync is elected: it is shorter than the copy."""
        end = data.draw(st.integers(0, self.known - 1))
        kept = [record for record in self.topic.records if record[0] < end]
        self.topic = Topic(self.topic.identity, kept, end)
        self.ledger = {key: new for key, new in self._replayed(kept) if new is not None}
        self.behind = True
        self.takes_over(keep=True)  # more records would hide the loss: nobody could see it then

    def _replayed(self, records: list[tuple[int, str, bytes | None]]) -> Iterator[tuple[str, LedgerEntry | None]]:
        last = {key: value for _, key, value in records}
        for key, value in last.items():
            yield key, None if value is None else CODEC.decode(value)  # type: ignore[misc]

    # -- take-over ----------------------------------------------------------------------------------------------

    @rule(keep=st.booleans())
    def takes_over(self, keep: bool) -> None:
        """With the file or without: what the copy then has is the topic, and a good file costs only the tail."""
        if not keep:
            self.store.close()
            shutil.rmtree(self.home)
        start, good = self._resume(keep)
        if not good:
            self._forget_local()
        self.copied = self.topic.identity
        self._load(start)
        self.behind = False

    @rule()
    def is_cut_short_while_it_reads(self) -> None:
        """A take-over that ends in the middle: the file is as good as it was before."""
        start, _ = self._resume(keep=True)
        records = self.topic.after(start)
        self.store.load(records[: len(records) // 2], start)
        self.store.close()
        self.behind = True

    def _resume(self, keep: bool) -> tuple[int, bool]:
        self.store.close()
        self.store = LedgerStore(self.home / "uk.sqlite3", CODEC)
        good = keep and self.copied == self.topic.identity and self.known <= self.topic.end
        start = self.store.resume_from(self.topic.identity, 0, self.topic.end)
        assert start == (self.known if good else 0)
        return start, good

    @precondition(lambda self: not self.behind)
    @rule(data=st.data())
    def loads_again(self, data: st.DataObject) -> None:
        """Records that it has already: nothing changes."""
        self._load(data.draw(st.integers(0, self.topic.end)))

    def _load(self, start: int) -> None:
        records = self.topic.after(start)
        middle = len(records) // 2
        self.store.load(records[:middle], start)  # a crash here would read all of it again
        self.store.load(records[middle:], self.topic.end)
        self.store.loaded()
        self.known = self.topic.end

    # -- what must be true --------------------------------------------------------------------------------------

    @precondition(lambda self: not self.behind)
    @invariant()
    def it_knows_what_the_topic_knows(self) -> None:
        assert {key: self.store.get(key) for key in KEYS} == {key: self.ledger.get(key) for key in KEYS}
        assert self.store.mark("offset") == str(self.known) or self.known == 0
        assert self.store.mark("since:CONTACT") == self.marks.get("since:CONTACT")

    @precondition(lambda self: not self.behind)
    @invariant()
    def a_number_has_its_holder(self) -> None:
        for number in NUMBERS:
            holders = {
                key
                for key, e in self.ledger.items()
                if e["kind"] == "invoice" and (e["number"] or "").upper() == number.upper()
            }
            found = {self.store.holder("invoice", n) for n in (number.upper(), number.lower())}
            assert found <= holders if holders else found == {None}

    @precondition(lambda self: not self.behind)
    @invariant()
    def it_says_who_waits_and_until_when(self) -> None:
        waiting = sorted(
            (e["retry_at"] or e["updated_at"], key)
            for key, e in self.ledger.items()
            if e["state"] == "WAITING" and e["command"] is not None
        )
        assert self.store.counts()["waiting"] == len(waiting)
        assert self.store.next_waiting() == (waiting[0][0] if waiting else None)
        due = [(at, key) for at, key in waiting if at <= T0]
        seen: list[tuple[Any, str]] = []
        while page := self.store.waiting(T0, seen[-1] if seen else None, 2):
            seen += page
            assert len(page) <= 2
        assert seen == due
        assert all(early < late for early, late in pairwise(seen))

    @precondition(lambda self: not self.behind)
    @invariant()
    def it_finds_contacts_as_the_index_has_them(self) -> None:
        active = [c for c in self.index.values() if c["ContactStatus"] == "ACTIVE"]
        by_number = {c["ContactNumber"]: c["ContactID"] for c in active if c["ContactNumber"]}
        by_number = {c.number: c.id for c in self.learned.values() if c.number} | by_number
        for id_ in ("c-1", "c-2", "c-3", "c-8"):
            for number in (f"{id_}-n", f"{id_}-m"):
                found = self.store.contact_by_number(number.upper())
                assert (found.id if found else None) == by_number.get(number)
        for email in EMAILS:
            owners = {c["ContactID"] for c in active if (c["EmailAddress"] or "").lower() == email.lower()}
            owners |= {c.id for c in self.learned.values() if (c.email or "").lower() == email.lower()}
            assert {c.id for c in self.store.contacts_by_email(email.upper())} == owners
        for name in ("ann", "BOB", "zoe"):
            named = {c["ContactNumber"] or "" for c in active if c["Name"].lower() == name.lower()}
            named |= {c.number or "" for c in self.learned.values() if c.name.lower() == name.lower()}
            assert self.store.name_taken(name, "c-1-n") == bool(named - {"c-1-n"})


LedgerMachine.TestCase.settings = settings(max_examples=examples(40), stateful_step_count=30)
TestLedgerMachine = LedgerMachine.TestCase
