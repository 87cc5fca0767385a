"""How a transform ends a flow early.

Stop
├── Suppress   there is nothing to post, and that is right
└── Refuse     a person must mend something; carries the Reason of the dead letter
"""

from __future__ import annotations

from typing import Any

from schemas.letters import ErrorClass, Reason


class Stop(Exception):
    """Root: the flow ends here without a sale."""


class Suppress(Stop):
    """Nothing to post."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Refuse(Stop):
    """Not as it is. `hint`: what to change, the rule's key or Kentico's field."""

    def __init__(self, error_class: ErrorClass, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.code = code
        self.message = message
        self.hint = hint

    def reason(self, **where: Any) -> Reason:
        """The letter's reason; `where`: org, store, natural_key."""
        return Reason(self.error_class, self.code, self.message, self.hint, **where)


def invalid(code: str, message: str, hint: str) -> Refuse:
    """The order itself is wrong."""
    return Refuse(ErrorClass.VALIDATION, code, message, hint)


def unmapped(code: str, message: str, hint: str) -> Refuse:
    """A rule is missing or wrong."""
    return Refuse(ErrorClass.MAPPING, code, message, hint)
