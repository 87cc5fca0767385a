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
# What happened is not further ahead than a wrong `time_zone` makes it, and not before shops were on the web.
_AHEAD = timedelta(days=1)
_FIRST_YEAR = 2000
# No zone's clock goes back by more; a change further ahead shows later times than `moment` did.
_CLOCK_CHANGE = timedelta(hours=3)


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
        return localised(parsed, zone, observed) if parsed.tzinfo is None else _seen(_utc(parsed), zone, observed)
    microsoft = _MICROSOFT.fullmatch(value)
    if microsoft:
        try:
            return _seen(_EPOCH + timedelta(milliseconds=int(microsoft[1])), zone, observed)
        except OverflowError:
            raise BadValue(f"{value!r} is no time: out of range") from None
    raise BadValue(f"{value[:40]!r} is no ISO 8601 time (2026-11-02T10:15:30.123, with or without offset)")


def _seen(moment: datetime, zone: ZoneInfo, observed: datetime) -> datetime:
    """A time that a server printed with its offset. .NET takes the hour that comes twice for the second one, as the
    column does not say which it was; where that lies ahead of the observation it was the first."""
    if moment <= observed + _SKEW:
        return moment
    try:
        return localised(moment.astimezone(zone).replace(tzinfo=None), zone, observed)
    except OverflowError:
        return moment


def localised(naive: datetime, zone: ZoneInfo, observed: datetime) -> datetime:
    """UTC of a wall clock time in the zone, seen at `observed`."""
    early = naive.replace(tzinfo=zone, fold=0)
    late = naive.replace(tzinfo=zone, fold=1)
    if early.utcoffset() == late.utcoffset():
        return _utc(early)
    first, second = sorted((_utc(early), _utc(late)))
    return second if second <= observed + _SKEW else first


def wall_from(moment: datetime, zone: ZoneInfo) -> str:
    """The earliest wall clock time that the zone shows at `moment` or at any time after it, for a condition in SQL.

    Clocks go back once a year: rows written after that carry earlier times than rows before it.
    """
    offsets = [at.astimezone(zone).utcoffset() or timedelta(0) for at in (moment, moment + _CLOCK_CHANGE)]
    return (moment.astimezone(UTC).replace(tzinfo=None) + min(offsets)).isoformat(timespec="microseconds")


def not_ahead(at: datetime, now: datetime, *, by: timedelta = _AHEAD) -> datetime:
    """The time, which may be long ago. BadValue where it lies ahead: as a version it would outdo every later one."""
    if at > now + by:
        raise BadValue(f"is {at:%Y-%m-%d %H:%M} UTC, more than {by.days} day(s) ahead of now ({now:%Y-%m-%d %H:%M})")
    return at


def plausible(at: datetime, now: datetime, *, by: timedelta = _AHEAD) -> datetime:
    """The time of something that has happened in a web shop. BadValue otherwise."""
    if at.year < _FIRST_YEAR:
        raise BadValue(f"is {at:%Y-%m-%d}, before {_FIRST_YEAR}")
    return not_ahead(at, now, by=by)


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
