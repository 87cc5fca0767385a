"""Errors of the business rules.

RulesError (ValueError)
├── RulesInvalid   a rules file or a published document is wrong: every fault with file, line, key and remedy
└── UnknownStore   a document has no rules for a store
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. `line` 0: not known. `key` is the path of the rule, dots between."""

    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class RulesError(ValueError):
    """Root of what can be wrong with rules."""


class RulesInvalid(RulesError):
    """A document that cannot be used; its text has one line for each fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class UnknownStore(RulesError):
    """A store for which the document has no rules."""
