"""Errors of `k2x replay`.

K2xError
└── ReplayError
    ├── NoSuchReplay      an id that no replay has, or one that is over
    ├── AlreadyRunning    another replay is under way: one at a time keeps the limit per organisation
    ├── NotReady          an organisation has no rules or no reference data, so its orders would only be parked
    └── NobodyConsumes    no process takes what is sent: names the one that is missing
"""

from __future__ import annotations

from k2x.errors import K2xError


class ReplayError(K2xError):
    """Root."""


class NoSuchReplay(ReplayError):
    """Nothing to go on with."""


class AlreadyRunning(ReplayError):
    """One replay at a time."""


class NotReady(ReplayError):
    """The organisation is not known well enough yet."""


class NobodyConsumes(ReplayError):
    """Streams or sink is not running."""
