"""Dead letters: the headers of DESIGN §6. Key and value bytes of the record are never touched.

The ten `__connect.errors.*` headers are those of Kafka Connect's DeadLetterQueueReporter, so that any Connect tool can
read our letters; the `x-*` headers say what a person needs.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

Headers = list[tuple[str, bytes]]


class ErrorClass(StrEnum):
    """Why a record cannot go on, by who has to act."""

    VALIDATION = "validation"  # the order itself is wrong: mend it in Kentico
    MAPPING = "mapping"  # a rule is missing or wrong: mend the rules
    CONFLICT = "conflict"  # Xero holds something else under our number
    HELD = "held"  # waits for a person's decision
    UNCERTAIN = "uncertain"  # Xero's answer is unknown and cannot be read back
    AUTH = "auth"  # the connection to Xero must be renewed
    LOCKED_PERIOD = "locked_period"  # the books are closed at that date
    PLAN = "plan"  # Xero's subscription does not allow it
    BUG = "bug"  # ours


@dataclass(frozen=True)
class Origin:
    """Where the record stands, and which part of k2x gave up."""

    topic: str
    partition: int
    offset: int
    component: str  # "streams", "sink-uk", "reader"
    stage: str  # "validate", "post", …


@dataclass(frozen=True)
class Reason:
    """What happened, in a person's words. `hint` says what to do next."""

    error_class: ErrorClass
    code: str
    message: str
    hint: str
    org: str | None = None
    store: str | None = None
    natural_key: str | None = None
    exception: BaseException | None = None


def letter_headers(
    origin: Origin,
    reason: Reason,
    now: datetime,
    *,
    previous: Iterable[tuple[str, bytes | None]] = (),
    attempt: int = 1,
    traceparent: str | None = None,
) -> Headers:
    """All headers of a dead letter. `previous`: the record's own headers; a first failure's time and the replay count
    are kept from them, as are headers that are not ours."""
    old = {name: value for name, value in previous if value is not None}
    error = reason.exception
    stack = "".join(traceback.format_exception(error)) if error is not None else ""
    ours = {
        "__connect.errors.topic": origin.topic,
        "__connect.errors.partition": str(origin.partition),
        "__connect.errors.offset": str(origin.offset),
        "__connect.errors.connector.name": origin.component,
        "__connect.errors.task.id": "0",
        "__connect.errors.stage": origin.stage,
        "__connect.errors.class.name": origin.component,
        "__connect.errors.exception.class.name": type(error).__qualname__ if error is not None else reason.code,
        "__connect.errors.exception.message": reason.message,
        "__connect.errors.exception.stacktrace": stack[-8000:],
        "x-error-class": str(reason.error_class),
        "x-error-code": reason.code,
        "x-error-hint": reason.hint,
        "x-attempt": str(attempt),
        "x-first-failed-at": text(old, "x-first-failed-at") or now.isoformat(),
        "x-org": reason.org or "",
        "x-store": reason.store or "",
        "x-natural-key": reason.natural_key or "",
        "x-replay-count": text(old, "x-replay-count") or "0",
        "traceparent": traceparent or text(old, "traceparent"),
    }
    kept = [(name, value) for name, value in old.items() if name not in ours]
    return kept + [(name, value.encode()) for name, value in ours.items()]


_BOOKKEEPING = frozenset(
    {
        "x-error-class",
        "x-error-code",
        "x-error-hint",
        "x-attempt",
        "x-first-failed-at",
        "x-org",
        "x-store",
        "x-natural-key",
        "x-replay-count",
    }
)


def without_bookkeeping(headers: Iterable[tuple[str, bytes | None]]) -> Headers:
    """A record's own headers, without what it carries from having been a dead letter once."""
    return [
        (name, value)
        for name, value in headers
        if value is not None and name not in _BOOKKEEPING and not name.startswith("__connect.errors.")
    ]


def text(headers: dict[str, bytes], name: str) -> str:
    """A header as text, empty when it is absent."""
    return headers.get(name, b"").decode("utf-8", "replace")
