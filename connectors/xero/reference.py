"""What the rest of k2x must know of an organisation, and how it is read: pure planning, no I/O.

Guarantees: a moving contact list is read without skipping anybody; a row is published when it changed, and taken away
only after its whole kind has been read; COMPLETE goes last. Documents (JSON; absent in Xero is null here):

ORGANISATION  Name BaseCurrency CountryCode Timezone (Windows name without spaces) PeriodLockDate EndOfYearLockDate
              (ISO dates) OrganisationID Version; code: OrganisationID
ACCOUNT       AccountID Code Name Type Class Status TaxType SystemAccount EnablePaymentsToAccount CurrencyCode; code:
              Code, else AccountID
TAX_RATE      TaxType Name EffectiveRate (string) Status CanApplyToAssets …Equity …Expenses …Liabilities …Revenue
ITEM          Code Name ItemID IsSold SalesAccountCode SalesTaxType SalesUnitPrice (string)
CURRENCY      Code
TRACKING      Name Status Options [{Name, Status}]; code: Name
CONTACT       ContactID ContactNumber EmailAddress Name ContactStatus
COMPLETE      counts {kind: rows}; code: ""
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import orjson

from connectors.xero.calls import Answer, Call
from connectors.xero.errors import ReferenceUnreadable

Kind = Literal["ORGANISATION", "ACCOUNT", "TAX_RATE", "ITEM", "CURRENCY", "TRACKING", "CONTACT", "COMPLETE"]
Document = dict[str, Any]

PAGE_SIZE = 1000  # the most Xero gives (xero.md §1.7)
_DATE = re.compile(r"^/Date\((-?\d+)([+-]\d{4})?\)/$")
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Row:
    """One row to publish. `json` is its canonical form: equal text, equal row."""

    kind: Kind
    code: str
    document: Document

    @property
    def json(self) -> str:
        return orjson.dumps(self.document, option=orjson.OPT_SORT_KEYS).decode()


@dataclass(frozen=True)
class Changes:
    """What to publish: rows that are new or differ, and (kind, code) that are no more."""

    rows: tuple[Row, ...]
    gone: tuple[tuple[Kind, str], ...]


@dataclass(frozen=True)
class _Source:
    """Where a kind comes from. `every`: seconds between reads, so that a day of refreshing costs about 100 calls."""

    path: str
    collection: str
    row: Callable[[Mapping[str, Any]], Row]
    every: float
    incremental: bool = False
    paged: bool = False
    query: tuple[tuple[str, str], ...] = ()


def calls(since: datetime | None, kinds: Iterable[Kind] | None = None) -> list[Call]:
    """The first calls of a read: everything, or what changed since Xero's own time of the last read (`server_time`).

    Kinds that Xero cannot filter by time are read whole, which also shows what disappeared. Pages follow by `follow`.
    """
    chosen = list(_SOURCES) if kinds is None else [kind for kind in _SOURCES if kind in set(kinds)]
    return [_first(_SOURCES[kind], since) for kind in chosen]


def due(read_at: Mapping[Kind, float], now: float, scale: float = 1.0) -> list[Kind]:
    """The kinds to read again. `read_at` and `now` on one monotonic clock; `scale`: times faster, for the sandbox."""
    return [kind for kind in _SOURCES if now >= due_at(read_at, kind, scale)]


def due_at(read_at: Mapping[Kind, float], kind: Kind, scale: float = 1.0) -> float:
    """When the kind is to be read again."""
    return read_at[kind] + _SOURCES[kind].every / scale if kind in read_at else -math.inf


def next_due(read_at: Mapping[Kind, float], scale: float = 1.0) -> float:
    """When the first kind is to be read again."""
    return min(due_at(read_at, kind, scale) for kind in _SOURCES)


def follow(call: Call, answer: Answer) -> Call | None:
    """The next call of a paged read, None at its end."""
    source = _SOURCES[kind_of(call)]
    rows = _collection(source, answer)
    return turn(call, rows) if source.paged else None


def turn(call: Call, rows: Sequence[Mapping[str, Any]]) -> Call | None:
    """The next call of a list that is read by pages, None at its end.

    Rows come by UpdatedDateUTC; one that changes while we read moves to the end and shifts a neighbour over the edge
    of a page. So the cursor moves and the page stays the first; pages only within one second's rows.
    """
    if len(rows) < int(dict(call.query)["pageSize"]):
        return None
    newest = max(filter(None, (instant(row.get("UpdatedDateUTC")) for row in rows)), default=None)
    cursor = (newest - _SECOND).replace(microsecond=0) if newest else None
    if cursor and (call.if_modified_since is None or since_header(cursor) > call.if_modified_since):
        return replace(call, if_modified_since=since_header(cursor), query=_page(call, 1))
    page = int(dict(call.query)["page"])
    return replace(call, query=_page(call, page + 1))


def digest(call: Call, answer: Answer) -> list[Row]:
    """The rows of one answer. ReferenceUnreadable (transient) if it is not a good one, or not the shape of its kind."""
    source = _SOURCES[kind_of(call)]
    try:
        return [source.row(element) for element in _collection(source, answer)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ReferenceUnreadable(
            f"GET {call.path}: a row lacks what every row has ({error!r}). Read again."
        ) from error


def server_time(answer: Answer) -> datetime | None:
    """Xero's own clock at the answer: the next `since`, whatever our clock says."""
    body = answer.body
    at = instant(body.get("DateTimeUTC")) if isinstance(body, dict) else None
    return at - _SECOND if at else None


def kind_of(call: Call) -> Kind:
    """The kind that a call of this module reads."""
    return next(kind for kind, source in _SOURCES.items() if source.path == call.path)


def whole(call: Call) -> bool:
    """True if the read that began with this call shows all rows of its kind, so that missing ones are gone."""
    return call.if_modified_since is None


def changes(known: Mapping[tuple[Kind, str], str], rows: Iterable[Row], whole_kinds: Iterable[Kind]) -> Changes:
    """Compare with what is published (canonical JSON by kind and code). Later rows of a code win."""
    now = {(row.kind, row.code): row for row in rows}
    read = set(whole_kinds)
    return Changes(
        rows=tuple(row for key, row in now.items() if known.get(key) != row.json),
        gone=tuple(key for key in known if key[0] in read and key not in now),
    )


def complete(counts: Mapping[Kind, int]) -> Row:
    """The marker that ends a snapshot."""
    return Row("COMPLETE", "", {"counts": dict(counts)})


def key(org: str, kind: Kind, code: str) -> bytes:
    """The record key on xero.reference.v1."""
    return f"{org}|{kind}|{code}".encode()


def record(org: str, row: Row, snapshot: str, at: datetime) -> tuple[bytes, Document]:
    """Key and value (schema `reference`) of a row."""
    value = {
        "org": org,
        "kind": row.kind,
        "code": row.code,
        "document": row.json,
        "snapshot": snapshot,
        "updated_at": at,
    }
    return key(org, row.kind, row.code), value


def instant(text: Any) -> datetime | None:
    """Xero's `/Date(ms+0000)/` (or without offset) as an aware UTC time; the offset is only how Xero would show it."""
    match = _DATE.match(text) if isinstance(text, str) else None
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(match[1])) if match else None


def day(text: Any) -> str | None:
    """A date of Xero's, midnight UTC of the day, as an ISO date."""
    at = instant(text)
    if at is None and isinstance(text, str) and text:
        return date.fromisoformat(text[:10]).isoformat()  # "2026-09-14T00:00:00", as newer fields are
    return at.date().isoformat() if at else None


def since_header(at: datetime) -> str:
    """If-Modified-Since as Xero reads it: UTC, to the second, no offset."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")


def _first(source: _Source, since: datetime | None) -> Call:
    query = (*source.query, ("page", "1"), ("pageSize", str(PAGE_SIZE))) if source.paged else source.query
    header = since_header(since) if since is not None and source.incremental else None
    return Call("GET", source.path, query, if_modified_since=header, purpose="reference")


def _page(call: Call, page: int) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(page) if name == "page" else value) for name, value in call.query)


def _collection(source: _Source, answer: Answer) -> list[Mapping[str, Any]]:
    if answer.status == 304:  # nothing modified since
        return []
    rows = answer.body.get(source.collection) if answer.ok and isinstance(answer.body, dict) else None
    if not isinstance(rows, list):
        why = answer.detail or answer.doubt or f"no {source.collection} in it"
        raise ReferenceUnreadable(f"GET {source.path} answered {answer.status}: {why}. It is read again.")
    return rows


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _pick(element: Mapping[str, Any], *names: str) -> Document:
    return {name: element.get(name) for name in names}


def _organisation(element: Mapping[str, Any]) -> Row:
    document = _pick(element, "Name", "BaseCurrency", "CountryCode", "Timezone", "OrganisationID", "Version")
    document["PeriodLockDate"] = day(element.get("PeriodLockDate"))
    document["EndOfYearLockDate"] = day(element.get("EndOfYearLockDate"))
    return Row("ORGANISATION", element["OrganisationID"], document)


def _account(element: Mapping[str, Any]) -> Row:
    names = ("AccountID", "Code", "Name", "Type", "Class", "Status", "TaxType", "CurrencyCode")
    document = _pick(element, *names)
    document["SystemAccount"] = element.get("SystemAccount") or None  # ordinary accounts have "" or no key at all
    document["EnablePaymentsToAccount"] = bool(element.get("EnablePaymentsToAccount"))
    return Row("ACCOUNT", element.get("Code") or element["AccountID"], document)


def _tax_rate(element: Mapping[str, Any]) -> Row:
    document = _pick(element, "TaxType", "Name", "Status")
    document["EffectiveRate"] = _text(element.get("EffectiveRate"))
    for what in ("Assets", "Equity", "Expenses", "Liabilities", "Revenue"):
        document[f"CanApplyTo{what}"] = bool(element.get(f"CanApplyTo{what}"))
    return Row("TAX_RATE", element["TaxType"], document)


def _item(element: Mapping[str, Any]) -> Row:
    sales = element.get("SalesDetails") or {}
    document = _pick(element, "Code", "Name", "ItemID")
    document["IsSold"] = bool(element.get("IsSold"))
    document["SalesAccountCode"] = sales.get("AccountCode")
    document["SalesTaxType"] = sales.get("TaxType")
    document["SalesUnitPrice"] = _text(sales.get("UnitPrice"))
    return Row("ITEM", element["Code"], document)


def _currency(element: Mapping[str, Any]) -> Row:
    return Row("CURRENCY", element["Code"], _pick(element, "Code"))


def _tracking(element: Mapping[str, Any]) -> Row:
    document = _pick(element, "Name", "Status")
    document["Options"] = [_pick(option, "Name", "Status") for option in element.get("Options") or []]
    return Row("TRACKING", element["Name"], document)


def _contact(element: Mapping[str, Any]) -> Row:
    document = _pick(element, "ContactID", "Name", "ContactStatus")
    document["ContactNumber"] = element.get("ContactNumber") or None
    document["EmailAddress"] = element.get("EmailAddress") or None
    return Row("CONTACT", element["ContactID"], document)


_HOUR = 3600.0
# Archived contacts too: else one that is archived later would stay active in the index. Not summaryOnly: whether it
# keeps e-mail and status is not documented, and the index is made of them.
_SOURCES: dict[Kind, _Source] = {
    "ORGANISATION": _Source("Organisation", "Organisations", _organisation, _HOUR),
    "ACCOUNT": _Source("Accounts", "Accounts", _account, _HOUR),
    "TAX_RATE": _Source("TaxRates", "TaxRates", _tax_rate, 6 * _HOUR),
    "CURRENCY": _Source("Currencies", "Currencies", _currency, 6 * _HOUR),
    "ITEM": _Source("Items", "Items", _item, _HOUR, incremental=True, query=(("unitdp", "4"),)),
    "TRACKING": _Source("TrackingCategories", "TrackingCategories", _tracking, 6 * _HOUR),
    "CONTACT": _Source(
        "Contacts", "Contacts", _contact, _HOUR, incremental=True, paged=True, query=(("includeArchived", "true"),)
    ),
}
