"""One reconciliation in a process of its own, so that its memory can be told: prints one JSON line."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from k2x.audit.case import Store
from k2x.audit.court import Scope
from k2x.audit.pace import Pace, Share, Spent
from k2x.audit.reconcile import Patience, Reconciliation
from k2x.audit.xero import PAGE, Address, XeroBooks
from schemas.codec import Codec
from schemas.ids import CommittedIds

_FIRST_MS = 1_790_000_000_000
_APART_MS = 10  # changes: a hundred a second


@dataclass(frozen=True)
class _Token:
    value: str = "t"
    id: str = "t"


class _Tokens:
    def token(self) -> _Token:
        return _Token()

    def renew(self, refused: str) -> _Token:
        return _Token()


class StandIn:
    """Xero's lists of a shop whose every order is paid, by the time of change."""

    def __init__(self, orders: int) -> None:
        self._orders = orders

    def __call__(self, request: httpx.Request) -> httpx.Response:
        asked = request.headers.get("If-Modified-Since")
        first = 0
        if asked:
            since = datetime.fromisoformat(asked).replace(tzinfo=UTC).timestamp() * 1000
            first = max(0, -int(-(since - _FIRST_MS) // _APART_MS))
        name = request.url.path.rsplit("/", 1)[1]
        make = {"Invoices": _invoice, "Payments": _payment}[name]
        rows = [make(number) for number in range(first, min(first + PAGE, self._orders))]
        return httpx.Response(200, json={name: rows})


def _at(number: int) -> str:
    return f"/Date({_FIRST_MS + number * _APART_MS}+0000)/"


def _invoice(number: int) -> dict[str, Any]:
    paid = {"PaymentID": f"p-{number}", "Amount": 58.7, "Reference": f"UK-{number}/1 ch_1"}
    line = {"Description": "Boots", "AccountCode": "200", "TaxType": "OUTPUT2", "LineAmount": 58.7}
    return {
        "Type": "ACCREC", "InvoiceID": f"i-{number}", "InvoiceNumber": f"UK-{number}", "Reference": str(number),
        "Status": "PAID", "CurrencyCode": "GBP", "Total": 58.7, "TotalTax": 9.78, "AmountDue": 0, "AmountCredited": 0,
        "Contact": {"ContactID": f"c-{number}"}, "DateString": "2026-11-20T00:00:00", "Payments": [paid],
        "LineItems": [line], "UpdatedDateUTC": _at(number),
    }  # fmt: skip


def _payment(number: int) -> dict[str, Any]:
    return {
        "PaymentID": f"p-{number}", "Amount": 58.7, "Reference": f"UK-{number}/1 ch_1", "Status": "AUTHORISED",
        "Invoice": {"InvoiceID": f"i-{number}"}, "Account": {"Code": "092", "AccountID": ""},
        "UpdatedDateUTC": _at(number),
    }  # fmt: skip


def main(bootstrap: str, orders: int, directory: Path) -> Iterator[str]:
    """Everything that is left to trust is what was produced."""
    marks: dict[str, float] = {}
    began = time.monotonic()

    def say(text: str) -> None:
        if text.startswith("Xero") and "gather_s" not in marks:
            marks["gather_s"] = time.monotonic() - began

    def books(org: str) -> XeroBooks:
        pace = Pace(Share(minute=10**6, day=10**6), Spent(None))
        return XeroBooks(
            Address(org, "http://xero/api"), _Tokens(), pace, transport=httpx.MockTransport(StandIn(orders))
        )

    hour = timedelta(hours=1)
    reconciliation = Reconciliation(
        {"bootstrap.servers": bootstrap},
        Codec(CommittedIds()),
        {"emea/GoatUK": Store("uk", "UK-")},
        books,
        Patience(hour, hour, hour),
        lambda: datetime.now(UTC),
        directory=directory,
        say=say,
    )
    outcome = reconciliation.run(Scope(("uk",)))
    seconds = time.monotonic() - began
    total = outcome.summary.total
    yield json.dumps(
        {
            "seconds": seconds,
            "gather_s": marks["gather_s"],
            "posted": total.counts["posted"],
            "off": total.off,
            "not_done": outcome.not_done,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "disk_mb": outcome.scratch.bytes_on_disk / 1e6,
        }
    )
    outcome.close()


if __name__ == "__main__":
    for line in main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])):
        sys.stdout.write(line + "\n")
