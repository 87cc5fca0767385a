"""The order's business day and its due date (BOOKKEEPING §2). Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from streams.transform.context import Draft, Store


def dates(draft: Draft) -> None:
    """Date and DueDate; by rule moved out of a closed period."""
    day = local_day(draft.order["order"]["OrderDate"], draft.store.zone)
    moved = open_day(draft.store, day)
    if moved != day:
        draft.findings.append(f"dated {moved} instead of {day}: the books are closed until {draft.store.lock}")
    draft.day, draft.date = day, moved
    draft.due_date = moved + min(timedelta(days=draft.store.rules.due_days), date.max - moved)


def local_day(at: datetime, zone: ZoneInfo) -> date:
    """The day of a time on the zone's wall; at the ends of the calendar (.NET's 0001-01-01) there is none but UTC's."""
    try:
        return at.astimezone(zone).date()
    except OverflowError:
        return at.date()


def open_day(store: Store, day: date) -> date:
    """The day, or the first open one where it is closed and the rule moves dates."""
    if store.lock is not None and day <= store.lock and store.rules.locked_period == "first_open_day":
        return store.lock + timedelta(days=1)
    return day
