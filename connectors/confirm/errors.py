"""Errors of outgoing confirmations.

ConfirmError
├── TargetUnavailable   transient   no answer, a time-out, 401, 403, 408, 429 or 5xx: wait and repeat
└── TargetRefused       terminal    another 4xx, or a redirection: the same confirmation will not be taken later either
"""

from __future__ import annotations


class ConfirmError(Exception):
    """Root of what a target can do to us."""


class TargetUnavailable(ConfirmError):
    """Not taken now. `retry_after` in seconds, where the target names it; `status` None: no answer."""

    def __init__(self, message: str, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status


class TargetRefused(ConfirmError):
    """Not taken, and not later."""
