"""Errors of the Kentico side.

KenticoError
├── FieldError           terminal   a value in an event or a row does not fit; `path` says which one
│   └── (values raise BadValue, a ValueError; whoever knows the path turns it into a FieldError)
├── Unsigned             terminal   the signature header is missing, malformed, old or wrong
├── RestError
│   ├── RestUnavailable  transient  no answer, a time-out, or 5xx after all attempts: wait and repeat
│   ├── RestDenied       transient  401 or 403: nothing is wrong with the order; a person mends user or permission
│   ├── RestNotFound     terminal   404: the object, the type or the site does not exist
│   ├── RestRefused      terminal   another 4xx: the request itself is not accepted
│   └── RestUnreadable   transient  2xx whose body is no JSON of a known frame (a login page, a cut answer)
├── SweepImplausible     terminal   so many orders are gone that something else must be wrong
├── EnvelopeUnreadable   terminal   a record of a CDC topic is no change event, or no outbox event
├── CursorUnreadable     terminal   how far polling has come cannot be read: going on could leave a gap
└── WriteBackRefused     terminal   a write-back names a column that is not configured, or a Kentico column
"""

from __future__ import annotations


class KenticoError(Exception):
    """Root of what can go wrong between Kentico and the topics."""


class BadValue(ValueError):
    """A value is not what its column holds; the message says what was expected, without the path."""


class FieldError(KenticoError):
    """A field does not fit. `path` is like `[3].data.items[0].OrderItemUnitPrice`, `problem` like `is missing`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class Unsigned(KenticoError):
    """Not proved to come from the sender. `code`, for metrics: missing, malformed, expired, mismatch."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RestError(KenticoError):
    """Root of what Kentico's REST service can do to us; `status` is the HTTP status, None without an answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class RestUnavailable(RestError):
    """No usable answer after all attempts: transient. `retry_after` in seconds, where the service names it."""

    retry_after: float | None = None


class RestDenied(RestError):
    """401 or 403: transient for the order; a person has to mend the user, its permission or the allowed types."""


class RestNotFound(RestError):
    """404: no such object, type or site."""


class RestRefused(RestError):
    """Another 4xx: the same request will not be accepted later either."""


class RestUnreadable(RestError):
    """A 2xx answer that is not the JSON frame it should be."""


class WriteBackRefused(KenticoError):
    """A write-back that must not be done: its column is not configured for the instance."""


class SweepImplausible(KenticoError):
    """More orders are gone than anybody deletes in an hour."""


class CursorUnreadable(KenticoError):
    """A record of k2x.cursors.v1 is of a newer k2x, or no record of ours."""


class EnvelopeUnreadable(KenticoError):
    """A record of a CDC topic is not what Debezium writes there; the message goes on from the topic's name."""
