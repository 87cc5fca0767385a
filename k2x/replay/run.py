"""Carries a replay out: copies of source records, at most so many outstanding per organisation, until all is finished.

Guarantees: the source topics are only read; an organisation that waits holds up no other; nothing is called finished
before the sink has committed it; one replay runs at a time, and an interrupted one goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from k2x.audit.progress import Groups
from k2x.replay import ready
from k2x.replay.backlog import Backlog, Standing
from k2x.replay.chosen import Sieve
from k2x.replay.course import Course, Surroundings
from k2x.replay.journal import Journal, Lock, Replay
from k2x.replay.results import Results, starts_of
from k2x.replay.source import ranges_of
from k2x.replay.tally import Tally
from k2x.settings import Settings
from schemas.codec import Codec
from schemas.delivery import Deliverer
from schemas.topics import RESULTS

_QUICK_S, _SLOW_S = 0.02, 1.0  # between looks while something moves, and while nothing does
_ITEMS_S = 15.0  # between readings of the reference topic while new items are waited for
_FORGET = 5_000  # copies after which confirmed ones are deleted
_CLOCKS = timedelta(minutes=1)  # by which brokers' and our clocks may differ, for a replay that goes on


@dataclass(frozen=True)
class Seen:
    """One organisation for a progress line. `stage` as a person reads it; `still_s`: how long nothing has moved."""

    org: str
    sent: int
    left: int
    standing: Standing
    stage: str
    waits_for: str
    still_s: float


@dataclass(frozen=True)
class Report:
    """What came of it. `complete`: every result has been seen."""

    replay: Replay
    sent: Mapping[str, int]
    tallies: Mapping[str, Tally]
    seconds: float
    complete: bool


class Runner:
    """One replay in this process. `say` is told how it goes, many times a second."""

    def __init__(
        self,
        replay: Replay,
        settings: Settings,
        kafka: Mapping[str, Any],
        codec: Codec,
        groups: Groups,
        say: Callable[[list[Seen]], None],
    ) -> None:
        self._replay, self._settings, self._kafka, self._codec, self._say = replay, settings, kafka, codec, say
        chosen = replay.chosen
        self._backlog = Backlog(kafka, chosen.orgs, chosen.topics, groups.streams, groups.sink)
        self._journal = Journal(kafka, codec)
        self.begun = False  # it is on record, and can be gone on with
        self._items_read: dict[str, float] = {}
        self._deleted_at = 0

    def run(self, *, resumed: bool, wait: bool = True, rate: float | None = None) -> Report:
        """To its end. NotReady, NobodyConsumes and AlreadyRunning before anything is sent; NobodyConsumes later too,
        and then it can be gone on with."""
        begun, patience = time.monotonic(), self._settings.replay.patience_s
        several = ready.check(self._kafka, self._codec, self._settings, self._replay.chosen.orgs)
        self._backlog.await_consumers(patience)
        with ExitStack() as stack:
            lock = Lock(self._kafka)
            lock.take()
            stack.callback(lock.release)
            results = self._results(resumed)
            stack.callback(results.close)
            if not resumed:
                self._journal.write(self._replay)
            self.begun = True
            deliverer = Deliverer(self._kafka)
            stack.callback(deliverer.close)
            around = Surroundings(
                kafka=self._kafka,
                codec=self._codec,
                delivery=deliverer,
                lanes=self._backlog.lanes,
                limit=self._settings.replay.outstanding,
                several=frozenset(several),
                items_known=lambda org: self._items_known(org, results),
            )
            courses = []
            for org in self._replay.chosen.orgs:
                sieve = Sieve.of(org, self._replay.chosen, self._settings)
                courses.append(Course(org, self._replay, sieve, results.tallies[org], around, wait))
                stack.callback(courses[-1].close)
            self._loop(courses, lock, results, rate)
            complete = False
            while wait:
                complete = results.read_to(self._backlog.ends(RESULTS))
                if not [course for course in courses if course.parked()]:
                    break
                self._loop(courses, lock, results, rate)
            self._over(wait)
            sent = {course.org: course.sent for course in courses}
            return Report(self._replay, sent, results.tallies, time.monotonic() - begun, complete)

    def _loop(self, courses: list[Course], lock: Lock, results: Results, rate: float | None) -> None:
        begun = moved_at = asked_at = time.monotonic()
        pause, before = _QUICK_S, dict[str, tuple[int, int]]()
        while True:
            lock.keep()
            standings = self._backlog.look()
            places = {org: (found.copies, found.command_done) for org, found in standings.items()}
            moved = places != before  # live orders that only pile up are no movement
            for course in courses:
                if not course.over:
                    moved = course.step(standings[course.org], _allowed(rate, begun, courses)) or moved
            results.read()
            moved_at = time.monotonic() if moved else moved_at
            still = time.monotonic() - moved_at
            self._say([_seen(course, standings, results.tallies, still) for course in courses])
            if all(course.over for course in courses):
                return
            if sum(course.sent for course in courses) - self._deleted_at >= _FORGET:
                self._deleted_at = sum(course.sent for course in courses)
                self._backlog.forget_confirmed()
            patience = self._settings.replay.patience_s
            if moved:
                pause = _QUICK_S
            elif still > patience and time.monotonic() - asked_at > patience:
                # Nothing moves: an organisation that pauses is waited for, a process that is gone is said.
                self._backlog.await_consumers(0.0, [c.org for c in courses if not c.over])
                asked_at = time.monotonic()
            before = places
            time.sleep(pause)
            pause = min(_SLOW_S, pause * 1.5)

    def _results(self, resumed: bool) -> Results:
        since = self._replay.started_at - _CLOCKS if resumed else None
        starts = starts_of(ranges_of(self._kafka, [RESULTS], since), at_end=not resumed)
        return Results(self._kafka, self._codec, self._replay.id, self._replay.chosen.orgs, starts)

    def _items_known(self, org: str, results: Results) -> bool:
        """Items that this replay has made are known to streams once the sink has read them back."""
        if time.monotonic() < self._items_read.get(org, 0.0):
            return False
        self._items_read[org] = time.monotonic() + _ITEMS_S
        results.read_to(self._backlog.ends(RESULTS))
        made = results.tallies[org].items
        return not made or made <= ready.known_items(self._kafka, org)

    def _over(self, finished: bool) -> None:
        """On record, and nothing left behind but what is unfinished."""
        self._journal.write(replace(self._replay, finished_at=datetime.now(UTC)))
        if finished:
            self._backlog.forget_confirmed()
        self._backlog.forget_groups(self._replay.group(org) for org in self._replay.chosen.orgs)


def _allowed(rate: float | None, begun: float, courses: list[Course]) -> int:
    if rate is None:
        return 2**31
    return max(0, int((time.monotonic() - begun) * rate) + 1 - sum(course.sent for course in courses))


def _seen(course: Course, standings: Mapping[str, Standing], tallies: Mapping[str, Tally], still_s: float) -> Seen:
    reasons = tallies[course.org].going_on
    why = reasons.most_common(1)[0][0] if reasons else ""
    return Seen(course.org, course.sent, course.left, standings[course.org], str(course.stage), why, still_s)
