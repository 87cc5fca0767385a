"""Kafka as the sink meets it: a command topic, a compacted ledger, one fenced producer an organisation, a group offset.

A transaction is whole or not at all; who has been fenced commits nothing; offsets have gaps, as commit markers make
them; compaction takes away what a newer record replaces, and in time the tombstones too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from connectors.xero.core.events import Letter, Transact
from schemas import topics
from schemas.types import Result
from tests.simulation.loop import Loop

_GAP = 0.1  # of the records: something else stands before them
_KAFKAS_OWN = "86400000"  # delete.retention.ms where a topic does not say


@dataclass(frozen=True, slots=True)
class Stored:
    """A record of the command topic."""

    offset: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(slots=True)
class OrgLog:
    """One organisation's topics."""

    org: str
    commands: list[Stored] = field(default_factory=list)
    end: int = 0
    committed: int | None = None  # the group's offset
    ledger: list[tuple[int, str, bytes | None, float]] = field(default_factory=list)  # offset, key, value, when
    ledger_end: int = 0
    epoch: int = 0
    results: list[Result] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    def read(self, position: int, most: int) -> list[Stored]:
        """Records from `position` on."""
        first = bisect_left(self.commands, position, key=lambda stored: stored.offset)
        return self.commands[first : first + most]

    def at(self, offset: int) -> Stored | None:
        found = self.read(offset, 1)
        return found[0] if found and found[0].offset == offset else None


class Broker:
    """All organisations'."""

    def __init__(self, loop: Loop, orgs: tuple[str, ...], random: Random) -> None:
        self.loop = loop
        self.random = random
        self.of = {org: OrgLog(org) for org in orgs}

    def put(self, org: str, key: bytes | None, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> Stored:
        """One more command."""
        log = self.of[org]
        log.end += self.random.random() < _GAP
        stored = Stored(log.end, key, value, headers)
        log.commands.append(stored)
        log.end += 1
        return stored

    def fence(self, org: str) -> int:
        """init_transactions: the new epoch. Whatever an older one has open is aborted."""
        self.of[org].epoch += 1
        return self.of[org].epoch

    def commit(self, org: str, epoch: int, work: Transact, values: Mapping[str, bytes | None]) -> int | None:
        """The ledger's offset after the entries; None for who has been fenced."""
        log = self.of[org]
        if epoch != log.epoch:
            return None
        for key, value in values.items():
            log.ledger.append((log.ledger_end, key, value, self.loop.now))
            log.ledger_end += 1
        log.ledger_end += 1  # the commit marker
        log.results += work.results
        log.letters += work.letters
        if work.offset is not None:
            log.committed = work.offset
        return log.ledger_end

    def ledger_from(self, org: str, offset: int) -> list[tuple[str, bytes | None]]:
        """What a reader gets from there on."""
        return [(key, value) for at, key, value, _ in self.of[org].ledger if at >= offset]

    def start(self, org: str) -> int:
        """The committed offset, or the beginning where the group has none."""
        return self.of[org].committed or 0

    def compact(self, org: str) -> None:
        """The cleaner comes by. Readers find less, and the same."""
        log = self.of[org]
        newest = {key: at for at, key, _, _ in log.ledger}
        config = next(t.config for t in topics.all_topics([org]) if t.name == topics.ledger(org))
        gone = self.loop.now - float(config.get("delete.retention.ms", _KAFKAS_OWN)) / 1000
        log.ledger = [
            (at, key, value, when)
            for at, key, value, when in log.ledger
            if newest[key] == at and not (value is None and when < gone)
        ]
