"""The accountant closes a period or archives an account while orders come, mends it later, and letters are sent again.

What he causes is told by its code; when all is quiet the letters are redriven, and then everything must be posted.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from connectors.xero.core.events import Letter
from connectors.xero.sandbox.books import Books
from tests.simulation.xero import ARCHIVED

if TYPE_CHECKING:
    from tests.simulation.world import World

CODES = frozenset({"locked_period", "account_archived"})
"""Of the letters that he causes."""
_SALES = "200"
_DAYS = (date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 21))
_OFTEN = 0.35


class Office:
    """Draws of its own: most runs are without it, and what they were."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = Random(f"office {world.weather.seed}")
        self.at_work = self.random.random() < _OFTEN
        self.first_open_day = {org: self.random.random() < 0.5 for org in world.weather.orgs}
        self.letters: dict[str, list[Letter]] = {}  # by org: those that he has caused, not sent again yet
        self.again: set[tuple[str, int]] = set()  # org and offset of what was sent again

    def begin(self) -> None:
        """Once or twice in the storm something is closed or archived for a while, at most until it is over."""
        if not self.at_work:
            return
        storm = self.world.weather.storm
        whole = min(storm, max(self.world.weather.spread * 1.5, 300.0))
        for _ in range(self.random.choice((1, 1, 2))):
            org = self.random.choice(self.world.weather.orgs)
            begin = self.random.uniform(0.0, whole)
            end = min(storm, begin + whole * self.random.choice((0.05, 0.3, 1.0)))
            do, undo = self.random.choice(((self._close, self._open), (self._archive, self._restore)))
            self.world.loop.at(begin, partial(self._act, do, org))
            self.world.loop.at(end, partial(self._act, undo, org))

    def busy(self, org: str) -> bool:
        """Something is closed or archived now: nobody else works in these books."""
        books = self.world.xero.books[org]
        return books.org.lock() is not None or books.org.accounts[_SALES].status != "ACTIVE"

    def told(self, org: str, letter: Letter) -> None:
        """A dead letter; of an account that was archived from the start it is not his."""
        headers = dict(letter.headers)
        own = ARCHIVED.encode() not in headers["__connect.errors.exception.message"]
        if self.at_work and own and headers["x-error-code"].decode() in CODES:
            self.letters.setdefault(org, []).append(letter)

    def redrive(self) -> bool:
        """Whoever is on duty sends the letters again, in their order. False: there is none."""
        letters, self.letters = self.letters, {}
        for org, found in letters.items():
            for letter in found:
                self.world.workload.redrive(org, letter)
                self.world.count("redriven")
        return bool(letters)

    def _act(self, do: object, org: str) -> None:
        assert callable(do)
        do(self.world.xero.books[org])
        self.world.say("office", "{} in {}", getattr(do, "__name__", ""), org)

    def _close(self, books: Books) -> None:
        self.world.count("fault period closed")
        books.org.period_lock_date = self.random.choice(_DAYS)

    def _open(self, books: Books) -> None:
        books.org.period_lock_date = None

    def _archive(self, books: Books) -> None:
        self.world.count("fault account archived")
        self._sales(books, "ARCHIVED")

    def _restore(self, books: Books) -> None:
        self._sales(books, "ACTIVE")

    def _sales(self, books: Books, status: str) -> None:
        """The chart is shared by all worlds: this one gets a copy."""
        changed = replace(books.org.accounts[_SALES], status=status)
        books.org.accounts = {**books.org.accounts, _SALES: changed}
        books.org.accounts_by_id = {**books.org.accounts_by_id, changed.id: changed}
