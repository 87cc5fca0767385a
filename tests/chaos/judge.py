"""The checks of a chaos run: pure, from plain data. Each gives violations; none knows anything of the sink's code.

Beside k2x's own reader (k2x.audit) stands a second one that asks only the shop what it sold and Xero what it holds
(tests.chaos.books).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from k2x.audit.judge import Verdict
from tests.chaos.books import DEAD, POSTED, STORES, key_of

MINUTE_S = 60.0


@dataclass(frozen=True)
class Violation:
    """What must not be. `key` is the order's, or a summary's number or a settlement's marker; else ""."""

    check: str
    key: str
    text: str


# -- k2x's own reader ---------------------------------------------------------------------------------------------


def verdicts(found: Sequence[Verdict], expected: Mapping[str, str]) -> list[Violation]:
    """Every order has exactly the end that the shop meant it to have; `expected`: order → the shop's word for it."""
    wrong = []
    by_key = {v.key: v for v in found}
    for key in sorted(expected.keys() - by_key.keys()):
        wrong.append(Violation("lost", key, "the shop has sent it, and it is on no topic"))
    for v in found:
        own = [finding for finding in v.findings if finding.kind != "lost"]  # the order's own loss is told below
        own += [finding for refund in v.refunds for finding in refund.findings]
        wrong += [Violation(finding.kind, v.key, finding.text) for finding in own]
        meant = end_of(expected[v.key]) if v.key in expected else "known to the shop"
        if v.state == "lost":
            wrong.append(Violation("lost", v.key, f"no end; it must be {meant}"))
        elif v.state != meant:
            letter = f" ({v.letter.error_class}/{v.letter.code}: {v.letter.message})" if v.letter else ""
            wrong.append(Violation("wrong end", v.key, f"{v.state}{letter}; it must be {meant}"))
    return wrong


def reconciled(code: int, told: Mapping[str, Any]) -> list[Violation]:
    """`k2x reconcile --json`: its exit code and what it printed. Code 0 with findings would be a fault of its own."""
    found = [
        Violation(f"reconcile {row['kind']}", row["order"] or row["invoice"] or "", row["text"])
        for row in told["findings"]
    ]
    if (code == 0) != (not found):
        found.append(Violation("reconcile", "", f"it ended with code {code} and {len(found)} findings"))
    return found


def end_of(expected: str) -> str:
    """What the shop says of an order when it places it → how k2x must end with it."""
    if expected.startswith("refused:"):
        return "dead_lettered"
    return {"payable": "posted", "held_later": "posted", "suppressed": "suppressed"}[expected]


# -- what the shop is shown -------------------------------------------------------------------------------------------


def write_backs(
    truths: Iterable[Mapping[str, Any]], columns: Mapping[str, str | None], numbers: Mapping[str, str]
) -> list[Violation]:
    """Each posted order of the store that asks for it shows its newest invoice's number in Kentico. `numbers`: by
    order, as Xero has them."""
    wrong = []
    for truth in truths:
        if truth["store"] == "emea/GoatUK" and truth["expected"] in POSTED:
            key = key_of(truth)
            number, shown = numbers.get(key, f"UK-{truth['order_id']}"), columns.get(key)
            if shown != number:
                wrong.append(Violation("write-back", key, f"Kentico shows {shown!r}, must show {number}"))
    return wrong


# -- accepted, so it is on Kafka ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accepted:
    """An event that the receiver answered with 202. `event_id` "" for a flat row, which has none of its own."""

    instance: str
    event_id: str
    object_id: int


def accepted(
    events: Iterable[Accepted], ids: set[tuple[str, str]], hints: Mapping[tuple[str, int], int]
) -> list[Violation]:
    """`ids`: (instance, event id) on Kafka; `hints`: (instance, object id) → unsigned hints on Kafka."""
    wrong, rows = [], Counter[tuple[str, int]]()
    for event in events:
        if not event.event_id:
            rows[event.instance, event.object_id] += 1
        elif (event.instance, event.event_id) not in ids:
            key = f"{event.instance}|{event.object_id}"
            wrong.append(Violation("accepted", key, f"event {event.event_id} was answered 202 and is not on Kafka"))
    for (instance, object_id), count in rows.items():
        if hints.get((instance, object_id), 0) < count:
            text = f"{count} hints were answered 202, {hints.get((instance, object_id), 0)} are on Kafka"
            wrong.append(Violation("accepted", f"{instance}|{object_id}", text))
    return wrong


# -- Xero's limits ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Load:
    """The heaviest moments of an organisation, from Xero's request log."""

    org: str
    calls: int
    minute: int  # the most calls in any 60 seconds
    in_flight: int  # the most at once
    refused: int  # answers 429


def load(org: str, rows: Iterable[Mapping[str, Any]]) -> Load:
    """`rows` of the sandbox's request log; `at` is a call's end, `ms` how long it took. A call that was stalled on
    purpose is not in flight: k2x has given it up by then."""
    ours = [row for row in rows if row["org"] == org]
    taken = [row for row in ours if row["status"] != 429]
    spans = [(row["at"] - row["ms"] / 1000, row["at"]) for row in taken if not row["fault"].startswith("stall")]
    begun = sorted([begin for begin, _ in spans] + [row["at"] for row in taken if row["fault"].startswith("stall")])
    minute = first = 0
    for last, at in enumerate(begun):
        while begun[first] <= at - MINUTE_S:
            first += 1
        minute = max(minute, last - first + 1)
    now = most = 0
    for _, step in sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans]):
        now += step
        most = max(most, now)
    return Load(org, len(ours), minute, most, len(ours) - len(taken))


def limits(loads: Iterable[Load], minute: int = 60, in_flight: int = 5) -> list[Violation]:
    wrong = []
    for one in loads:
        if one.refused:
            wrong.append(Violation("limits", "", f"{one.org}: Xero answered 429 {one.refused} times"))
        if one.minute > minute:
            wrong.append(Violation("limits", "", f"{one.org}: {one.minute} calls within a minute, {minute} allowed"))
        if one.in_flight > in_flight:
            wrong.append(Violation("limits", "", f"{one.org}: {one.in_flight} calls at once, {in_flight} allowed"))
    return wrong


# -- what remains -------------------------------------------------------------------------------------------------


def residual(
    truths: Iterable[Mapping[str, Any]], exports: Mapping[str, Mapping[str, Any]], late: Collection[str]
) -> dict[str, str]:
    """Whose partial payment, or settlement's document, is there twice, one of them made by a frozen sink's call as it
    was woken; `late`: the ids of what such calls made. These are the doublings that guarantees.md says can happen,
    for Xero guards neither by a number: any other is a fault. A settlement is named by both of its names.
    """
    orders = {f"{STORES[truth['store']][1]}{truth['order_id']}": key_of(truth) for truth in truths}
    named: dict[str, str] = {}
    for export in exports.values():
        for row in (*export["invoices"], *export["credit_notes"]):
            number = row.get("InvoiceNumber") or row.get("CreditNoteNumber")
            for marker in _twins(row["Payments"], "PaymentID", late):
                if any(p["Amount"] < row["Total"] for p in row["Payments"] if _marker(p) == marker):
                    text = f"{number} has payment {marker} twice: one by a call that was frozen"
                    named[_order_of(number, orders)] = text
        for rows, id_ in (
            (export["bank_transactions"], "BankTransactionID"),
            (export["bank_transfers"], "BankTransferID"),
        ):
            own = [row for row in rows if row["Status"] not in DEAD and not row.get("Type", "").endswith("-TRANSFER")]
            for marker in _twins(own, id_, late):
                instance, gateway, settlement = marker.split("/")
                text = f"{marker} has a document twice: one by a call that was frozen"
                named |= dict.fromkeys((marker, f"{instance}|settlement/{gateway}/{settlement}"), text)
    return named


def _twins(rows: Iterable[Mapping[str, Any]], id_: str, late: Collection[str]) -> list[str]:
    """Markers that two of them bear, of which exactly one was made late."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        found[_marker(row)].append(row[id_])
    return [name for name, ids in found.items() if len(ids) == 2 and sum(one in late for one in ids) == 1]


def _marker(row: Mapping[str, Any]) -> str:
    return str(row.get("Reference", "")).split(" ")[0]


def _order_of(number: str, orders: Mapping[str, str]) -> str:
    """Whose document it is: UK-7, UK-7-R2 and CN-UK-7-r1 are order 7's; a summary is its own."""
    stem = number.removeprefix("CN-")
    return next((key for own, key in orders.items() if stem == own or stem.startswith(f"{own}-")), number)
