"""One request to an organisation, and how a batch of elements becomes one answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from connectors.xero.sandbox import query, replies
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.errors import JSON_TYPE, ElementRefused
from connectors.xero.sandbox.idempotency import Answer
from connectors.xero.sandbox.reading import Element


@dataclass
class Call:
    """One request to an organisation."""

    books: Books
    method: str
    query: Mapping[str, str]
    body: bytes
    app: str
    app_name: str
    changed_since: str | None = None
    created_ms: int = 0
    failed: int = 0
    elements: int = 0
    unitdp: int = field(init=False, default=2)

    def __post_init__(self) -> None:
        self.unitdp = 4 if self.query.get("unitdp") == "4" else 2

    def reply(
        self, plural: str, rows: list[Any], pagination: dict[str, int] | None = None, status: int = 200
    ) -> Answer:
        """The envelope round `rows`."""
        self.elements = self.elements or len(rows)
        frame = replies.envelope(self.books.new_id(), self.app_name, self.books.clock.ms(), plural, rows, pagination)
        return Answer(status, orjson.dumps(frame), JSON_TYPE, self.elements)


Handler = Callable[[Call, str], Answer]


@dataclass(frozen=True)
class Good:
    """A written element: its reply and its warnings."""

    reply: dict[str, Any]
    warnings: tuple[str, ...] = ()


def batch(
    call: Call, plural: str, given: list[Element], write: Callable[[Element], Good], *, always_summarise: bool = False
) -> Answer:
    """Run every element: 200 with all of them, or, when errors are summarised, 400 with only the refused ones."""
    summarise = always_summarise or query.truth(call.query, "summarizeErrors", True)
    call.elements = len(given)
    good: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for element in given:
        try:
            done = write(element)
        except ElementRefused as problem:
            row = replies.refused(plural, element, problem.messages, problem.nested, marked=not summarise)
            refused.append(row)
        else:
            row = done.reply
            if not summarise:
                row["StatusAttributeString"] = "WARNING" if done.warnings else "OK"
            if done.warnings:
                row["Warnings"] = replies.messages(done.warnings)
            good.append(row)
        rows.append(row)
    call.failed = len(refused)
    if refused and summarise:
        body = {
            "ErrorNumber": 10,
            "Type": "ValidationException",
            "Message": "A validation exception occurred",
            "Elements": refused,
        }
        return Answer(400, orjson.dumps(body), JSON_TYPE, call.elements)
    return call.reply(plural, rows)
