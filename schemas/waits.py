"""Why an order waits, in one word: the beginning of a WAITING result's message → a metric's label. Pure.

Messages are for people and may carry details; a label must be one of a few words.
"""

from __future__ import annotations

OTHER = "other"
# The first that fits holds. tests/k2x/watch holds this table to the messages that the sink's core writes.
WAITS = (
    ("waits behind an earlier version", "earlier_version"),
    ("collected into summary", "collected"),
    ("the calls of the day are used up", "day_limit"),
    ("Xero's call limit", "minute_limit"),
    ("Xero does not let us in", "auth"),
    ("Xero cannot be reached", "offline"),
    ("Xero does not answer", "no_answer"),
    ("Xero answers 404", "not_found"),
    ("Xero's answer was lost", "repeat"),
    ("whether Xero has it is read back", "read_back"),
    ("an earlier call for it", "read_back"),
)


def wait_word(message: str | None) -> str:
    """The label of a message."""
    text = message or ""
    return next((word for begin, word in WAITS if text.startswith(begin)), OTHER)
