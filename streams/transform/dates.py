"""The order's business day and its due date (BOOKKEEPING §2). Pure."""

from __future__ import annotations

from datetime import date, timedelta

from streams.transform.context import Draft, Store


def dates(draft: Draft) -> None:
    """Date and DueDate; by rule moved out of a closed period."""
    day = draft.order["order"]["OrderDate"].astimezone(draft.store.zone).date()
    moved = open_day(draft.store, day)
    if moved != day:
        draft.findings.append(f"dated {moved} instead of {day}: the books are closed until {draft.store.lock}")
    draft.day, draft.date = day, moved
    draft.due_date = moved + timedelta(days=draft.store.rules.due_days)


def open_day(store: Store, day: date) -> date:
    """The day, or the first open one where it is closed and the rule moves dates."""
    if store.lock is not None and day <= store.lock and store.rules.locked_period == "first_open_day":
        return store.lock + timedelta(days=1)
    return day
