"""Golden cases as files: YAML with named presets, generated rows and Kentico's XML written as mappings.

`use: name` takes a mapping of presets.yaml and lays the rest over it, list by list as a whole. `repeat: 500` in a list
makes 500 rows, in which `{n}` is the row's number and `{start: a, step: b}` is a + (n - 1) × b; `from: 11` begins with
that n. In Kentico's XML columns a mapping (or a list of pairs, where a name comes twice) is written as Kentico does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from streams.rules.marks import parse

HERE = Path(__file__).parent
PRESETS: dict[str, Any] = parse((HERE / "presets.yaml").read_text("utf-8"), "presets.yaml").data
_SUMMARIES = (
    "OrderTaxSummary",
    "OrderDiscounts",
    "OrderOtherPayments",
    "OrderItemDiscountSummary",
    "OrderItemProductDiscounts",
)
_KNOWN = frozenset({"shows", "org", "items_in_xero", "store", "instance", "rules", "now", "events", "books"})
_EVENT = frozenset({"event", "data", "expect", "accounts"})


@dataclass(frozen=True)
class Event:
    """One event and what must come of it: `expect` has `invoice` with `lines`, `payments`, …, or `refused`, or
    `suppressed`. `accounts`: by code, the status that Xero's bookkeeper gives them before it, for books/."""

    envelope: Mapping[str, Any]
    data: Mapping[str, Any]
    expect: Mapping[str, Any]
    accounts: Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """One file. `books`: what Xero has in the end, for books/. `org`: as the sandbox's organisation_from takes it;
    `items_in_xero`: as PUT Items takes them."""

    name: str
    shows: str
    org: Mapping[str, Any]
    items_in_xero: list[Mapping[str, Any]]
    store: str
    instance: Mapping[str, Any]
    rules: Mapping[str, Any]
    now: datetime
    events: list[Event]
    books: Mapping[str, Any]


def paths() -> list[Path]:
    return sorted((HERE / "cases").glob("*.yaml"))


def read(path: Path) -> Case:
    """A file's case. A key that means nothing is an error: a misspelt expectation would check nothing."""
    whole = expanded(parse(path.read_text("utf-8"), path.name).data)
    common = {key: whole.pop(key, {}) for key in _EVENT}
    assert set(whole) <= _KNOWN, f"{path.name}: unknown keys {sorted(set(whole) - _KNOWN)}"
    events = []
    for given in whole.get("events") or [{}]:
        assert set(given) <= _EVENT, f"{path.name}: unknown keys of an event {sorted(set(given) - _EVENT)}"
        one = {key: laid(common[key], given.get(key, {})) for key in _EVENT}
        events.append(Event(one["event"], _webhook(one["data"]), one["expect"], one["accounts"]))
    return Case(
        name=path.stem,
        shows=str(whole["shows"]),
        org={**_plain(whole["org"]), "slug": path.stem, "name": f"Golden {path.stem}"},
        items_in_xero=_plain(whole.get("items_in_xero", [])),
        store=str(whole["store"]),
        instance=whole.get("instance", {}),
        rules=whole["rules"],
        now=datetime.fromisoformat(str(whole["now"])),
        events=events,
        books=whole.get("books", {}),
    )


def expanded(value: Any) -> Any:
    """With presets laid under, and repeated rows written out."""
    if isinstance(value, dict):
        own = {key: expanded(one) for key, one in value.items() if key != "use"}
        return laid(expanded(deepcopy(PRESETS[value["use"]])), own) if "use" in value else own
    if isinstance(value, list):
        return [row for one in value for row in _repeated(expanded(one))]
    return value


def laid(base: Any, over: Any) -> Any:
    """`over` on `base`: mappings key by key, anything else as a whole; null too."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: laid(base[key], value) if key in base else value for key, value in over.items()}}
    return over


def _repeated(row: Any) -> Iterator[Any]:
    if not (isinstance(row, dict) and "repeat" in row):
        yield row
        return
    of = {key: value for key, value in row.items() if key not in ("repeat", "from")}
    first = int(row.get("from", 1))
    for n in range(first, first + int(row["repeat"])):
        yield {key: _numbered(value, n) for key, value in of.items()}


def _numbered(value: Any, n: int) -> Any:
    if isinstance(value, str):
        return value.replace("{n}", str(n))
    if isinstance(value, dict) and value.keys() == {"start", "step"}:
        return Decimal(value["start"]) + (n - 1) * Decimal(value["step"])
    return value


def _webhook(data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` as a sender writes it: decimals as text, XML in its columns."""
    made: dict[str, Any] = _texts(data)
    _refer(made)
    rows = [made.get("order") or {}, *(made.get("items") or [])]
    for row in rows:
        for column in _SUMMARIES:
            if isinstance(row.get(column), dict | list):
                row[column] = _summary(row[column])
        if isinstance(row.get("OrderPaymentResult"), dict):
            row["OrderPaymentResult"] = _result(row["OrderPaymentResult"])
    return made


def _refer(made: dict[str, Any]) -> None:
    """The order names the customer and the status that are written beside it, so that a case says each once."""
    order, customer, status = (made.get(name) or {} for name in ("order", "customer", "status"))
    if customer.get("CustomerID") and order.get("OrderCustomerID"):
        order["OrderCustomerID"] = customer["CustomerID"]
    for column, identity in (("OrderStatusID", "StatusID"), ("OrderOrderStatusID", "OrderStatusID")):
        if status.get(identity) and order.get(column):
            order[column] = status[identity]


def _summary(entries: Any) -> str:
    pairs = entries.items() if isinstance(entries, dict) else entries
    rows = "".join(f"<Item><Name>{escape(str(n))}</Name><Value>{v}</Value></Item>" for n, v in pairs)
    return f"<Summary>{rows}</Summary>" if rows else "<Summary />"


def _result(items: Mapping[str, Any]) -> str:
    rows = "".join(f'<item name="{name}" value={quoteattr(str(value))} text="" />' for name, value in items.items())
    return f"<result>{rows}</result>"


def _texts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _texts(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_texts(one) for one in value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date) else value


def _plain(value: Any) -> Any:
    """For JSON: decimals as text, days as ISO."""
    return _texts(value)
