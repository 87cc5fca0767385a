"""A call to Xero and its answer: what the lane decides and what the client carries out.

`Unclear` answers are those after which nobody knows whether Xero has committed (xero.md §2): a time-out, a dropped
connection, a 500 on a write, a 2xx that cannot be read. They are never a failure, only a question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Doubt(StrEnum):
    """Why an answer is unclear."""

    TIMEOUT = "timeout"  # our total deadline passed
    DROPPED = "dropped"  # the connection broke after the first byte had gone out
    SERVER_ERROR = "server_error"  # 500: cached by Xero under the key, committed or not
    UNREADABLE = "unreadable"  # 2xx with HTML, cut JSON, or without our elements


@dataclass(frozen=True)
class Call:
    """One request. `body` are the exact bytes, frozen before the first is sent; `deadline` is the total, in seconds."""

    method: str  # GET, PUT, POST
    path: str  # "Invoices", "Contacts/…"
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    idempotency_key: str | None = None
    if_modified_since: str | None = None
    deadline: float = 60.0
    purpose: str = ""  # the metric's label: invoices, payments, read_back, reference, …

    @property
    def writes(self) -> bool:
        return self.method in {"PUT", "POST", "DELETE"}


@dataclass(frozen=True)
class Answer:
    """What came back. `body` is parsed JSON with Decimal numbers, None where there was none; header names lower case.

    status 0 with doubt None: the connection was never made, so nothing was committed (transient).
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    doubt: Doubt | None = None
    detail: str = ""  # a short text for logs and messages, without personal data
    token_id: str = ""  # of the access token used: Xero may scope a key by token
    elapsed: float = 0.0  # seconds

    @property
    def ok(self) -> bool:
        return self.doubt is None and 200 <= self.status < 300
