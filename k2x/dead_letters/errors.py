"""Errors of the dead letters' commands.

K2xError
└── DeadLetterError
    ├── NoSuchLetter        an address or order key that no dead letter has
    ├── DecisionImpossible  a decision that nothing here can carry out
    └── RedriveInterrupted  the broker stopped acknowledging; what was sent is said
"""

from __future__ import annotations

from k2x.errors import K2xError


class DeadLetterError(K2xError):
    """Root."""


class NoSuchLetter(DeadLetterError):
    """Nothing stands there."""


class DecisionImpossible(DeadLetterError):
    """The sink of this version does not take the decision."""


class RedriveInterrupted(DeadLetterError):
    """Some letters were not acknowledged; they stay open and can be sent again."""
