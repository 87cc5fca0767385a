"""The date of a summary whose day Xero has closed meanwhile: by rule the first open day, else a person opens it.

Guarantees: what is in Xero, or may be, keeps its date, after a restart too; payments go with their document, never
before it. Number and members stay: the number names the orders' day, the date is when the books took it.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, cast

import orjson

from connectors.xero.core import records
from connectors.xero.core.desk import Desk
from connectors.xero.core.state import Job, Refusal
from connectors.xero.core.summary_document import REFUND_ID, dated, how_many
from schemas.letters import ErrorClass
from schemas.types import LedgerEntry, Summary

DATED = "dated"
"""In a summary's extra: the date of its document, where it is not its day."""


def settle_date(desk: Desk, job: Job) -> Refusal | None:
    """Puts the dates of a closed summary's command right; or says why it cannot be sent. Xero is asked all the same
    where a person has sent it again: the copy of its lock date may be an hour old, and the period open by now."""
    part = cast(Summary, cast(Any, job.command["body"])["summary"])
    home, lock = desk.fresh(job.home, "invoice"), _closed_until(desk)
    first_open = (lock + timedelta(days=1)).isoformat() if lock is not None else ""
    begun = _begun(desk, job, home)
    document = home["extra"].get(DATED, "") if begun else ""
    if not begun and part["day"] < first_open:
        if part["first_open_day"]:
            document = first_open
        elif job.parked:
            return _locked(job, part["day"], f"{lock}")
    if home["extra"].get(DATED, "") != document:
        kept = records.without(home, DATED)
        home["extra"] = {**kept, DATED: document} if document else kept
        desk.write(home)
    job.command = dated(job.command, document, first_open if part["first_open_day"] else "")
    if document:
        said = f"dated {document} instead of {part['day']}: the books were closed when it was to be sent"
        job.command = {**job.command, "findings": [said]}
    return None


def _begun(desk: Desk, job: Job, home: LedgerEntry) -> bool:
    """Its document is in Xero, or may be."""
    own = home
    if job.command["kind"] == "REFUND":
        own = desk.fresh(records.credit_key(job.command["key"], REFUND_ID), "credit_note")
    return own["intention"] is not None or own["xero_id"] is not None


def _closed_until(desk: Desk) -> date | None:
    """The later of the organisation's two lock dates, as they were last read."""
    days = [
        date.fromisoformat(str(day))
        for text in desk.ledger.reference("ORGANISATION").values()
        for name in ("PeriodLockDate", "EndOfYearLockDate")
        if (day := orjson.loads(text).get(name))
    ]
    return max(days, default=None)


def _locked(job: Job, day: str, lock: str) -> Refusal:
    what = "credit note" if job.command["kind"] == "REFUND" else "invoice"
    body = cast(Any, job.command["body"])
    text = (
        f"Summary {body['number']} ({how_many(body['summary']['orders'])}) closed after its day was locked: its {what} "
        f"is of {day}, and the books are closed until {lock}."
    )
    hint = (
        "Open the period in Xero, then `k2x dlt redrive`: the one letter sends the whole summary. For days to come, "
        f"{job.command['store']}.locked_period: first_open_day dates such a summary to the first open day."
    )
    return Refusal(ErrorClass.LOCKED_PERIOD, "locked_period", text, hint)
