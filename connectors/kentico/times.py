"""Kentico's dates as UTC, pure. K13 writes server-local time: the instance's zone decides where no offset is given."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from connectors.kentico.errors import BadValue

_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
# "/Date(1299419802000)/"; an offset, where one is given, is for display: the number is UTC all the same.
_MICROSOFT = re.compile(r"/Date\((-?[0-9]{1,15})(?:[+-][0-9]{4})?\)/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Kentico's clock may run ahead of ours; a time just after our observation still counts as seen.
_SKEW = timedelta(minutes=5)


def moment(value: object, zone: ZoneInfo, observed: datetime) -> datetime:
    """UTC of `2026-11-02T10:15:30.1234567` (zone's), the same with offset or Z, or `/Date(ms)/`. BadValue otherwise.

    Of the two readings of an ambiguous hour the latest that is not after `observed` is taken: a reading an hour too
    late costs a comparison downstream, one an hour too early would hide a change behind an older version.
    """
    if not isinstance(value, str):
        raise BadValue(f"needs an ISO 8601 time as text, not {type(value).__name__}")
    if _ISO.fullmatch(value):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError as error:
            raise BadValue(f"{value!r} is no time: {error}") from None
        return localised(parsed, zone, observed) if parsed.tzinfo is None else _utc(parsed)
    microsoft = _MICROSOFT.fullmatch(value)
    if microsoft:
        try:
            return _EPOCH + timedelta(milliseconds=int(microsoft[1]))
        except OverflowError:
            raise BadValue(f"{value!r} is no time: out of range") from None
    raise BadValue(f"{value[:40]!r} is no ISO 8601 time (2026-11-02T10:15:30.123, with or without offset)")


def localised(naive: datetime, zone: ZoneInfo, observed: datetime) -> datetime:
    """UTC of a wall clock time in the zone, seen at `observed`."""
    early = naive.replace(tzinfo=zone)
    late = naive.replace(tzinfo=zone, fold=1)
    if early.utcoffset() == late.utcoffset():
        return _utc(early)
    first, second = sorted((_utc(early), _utc(late)))
    return second if second <= observed + _SKEW else first


def american(value: str, zone: ZoneInfo, observed: datetime) -> datetime:
    """UTC of `6/9/2021 1:59:03 PM`, as payment results and flat rows have it. BadValue otherwise."""
    for form in ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S"):
        try:
            return localised(datetime.strptime(value.strip(), form), zone, observed)  # noqa: DTZ007 - zone follows
        except ValueError:
            continue
    raise BadValue(f"{value[:40]!r} is no time like 6/9/2021 1:59:03 PM")


def _utc(aware: datetime) -> datetime:
    try:
        return aware.astimezone(UTC)
    except OverflowError:
        raise BadValue("is a time out of range") from None
