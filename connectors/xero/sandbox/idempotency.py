"""Xero's Idempotency-Key: the first answer is kept for six minutes and given again for the same request; another
request is a 400.

Guarantee: within the six minutes one key runs one request once, also when a twin arrives while the first still
runs, and also after a restart (finished answers are stored in the transaction of their books). Errors are kept like
any answer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from connectors.xero.sandbox.errors import IdempotencyMisuse, key_reused, key_too_long

KEEP_SECONDS = 360.0
LONGEST_KEY = 128
METHODS = frozenset({"PUT", "POST", "PATCH"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished reply."""

    status: int
    body: bytes
    content_type: str
    elements: int = 0
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Entry:
    """One key: which request it belongs to, since when (sandbox seconds), and whether its answer is in the store."""

    fingerprint: str
    first: float
    finished: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)


def fingerprint(method: str, url: str, body: bytes) -> str:
    """Method, path with query, and the exact bytes."""
    return hashlib.sha256(b"\n".join((method.encode(), url.encode(), body))).hexdigest()


class Keys:
    """All keys by (scope, key). The scope is the app, or the access token: both are reported, so it is a switch."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}

    def begin(self, scope: str, key: str, print_: str, now: float) -> tuple[Entry, bool]:
        """The key's entry and whether this call is the one to run it. Raises IdempotencyMisuse."""
        if len(key) > LONGEST_KEY:
            raise IdempotencyMisuse(key_too_long(key))
        entry = self._entries.get((scope, key))
        if entry is not None and now - entry.first < KEEP_SECONDS:
            if entry.fingerprint != print_:
                raise IdempotencyMisuse(key_reused(key))
            return entry, False
        entry = self._entries[scope, key] = Entry(print_, now)
        return entry, True

    def finish(self, entry: Entry) -> None:
        """The answer is in the store (it may be large, so it is not kept here too): wake the twins."""
        entry.finished = True
        entry.done.set()

    def forget(self, scope: str, key: str, entry: Entry) -> None:
        """The run broke before it had an answer (the sandbox itself failed): twins go on as new."""
        if self._entries.get((scope, key)) is entry:
            del self._entries[scope, key]
        entry.done.set()

    def restore(self, scope: str, key: str, print_: str, first: float) -> None:
        """A stored entry."""
        entry = self._entries[scope, key] = Entry(print_, first)
        self.finish(entry)

    def expire(self, now: float) -> Iterator[tuple[str, str]]:
        """Drop and name the finished keys whose time is over."""
        for (scope, key), entry in list(self._entries.items()):
            if entry.done.is_set() and now - entry.first >= KEEP_SECONDS:
                del self._entries[scope, key]
                yield scope, key
