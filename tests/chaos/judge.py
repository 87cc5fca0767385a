"""The checks of a chaos run: pure, from plain data. Each gives violations; none knows anything of the sink's code.

Beside k2x's own reader (k2x.audit) stands a second one that asks only the shop what it sold and Xero what it holds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from k2x.audit.judge import Verdict

MINUTE_S = 60.0
# Which organisation and which prefix the demo's rules give to a store, said once more: not read from k2x.
STORES = {"emea/GoatUK": ("uk", "UK-"), "emea/GoatDE": ("de", "DE-"), "apac/GoatAU": ("au", "AU-")}
_DEAD = {"VOIDED", "DELETED"}
_POSTED = {"payable", "held_later"}


@dataclass(frozen=True)
class Violation:
    """What must not be. `key` is the order's, or "" for what is no order's."""

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
    found = [Violation(f"reconcile {row['kind']}", row["order"] or "", row["text"]) for row in told["findings"]]
    if (code == 0) != (not found):
        found.append(Violation("reconcile", "", f"it ended with code {code} and {len(found)} findings"))
    return found


def end_of(expected: str) -> str:
    """What the shop says of an order when it places it → how k2x must end with it."""
    if expected.startswith("refused:"):
        return "dead_lettered"
    return {"payable": "posted", "held_later": "posted", "suppressed": "suppressed"}[expected]


# -- the shop against the books -----------------------------------------------------------------------------------


def books(truths: Iterable[Mapping[str, Any]], exports: Mapping[str, Mapping[str, Any]]) -> list[Violation]:
    """One living invoice for each order that is to be posted, none for any other; paid once, the shop's totals."""
    living: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    payments: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    wrong: list[Violation] = []
    for org, export in exports.items():
        for invoice in export["invoices"]:
            if invoice["Type"] == "ACCREC" and invoice["Status"] not in _DEAD:
                living[org, invoice["InvoiceNumber"]].append(invoice)
        for payment in export["payments"]:
            if payment["Status"] not in _DEAD and "Invoice" in payment:
                payments[payment["Invoice"]["InvoiceID"]].append(payment)
        wrong += _contacts(org, export["contacts"])
    for truth in truths:
        org, prefix = STORES[truth["store"]]
        found = living.pop((org, f"{prefix}{truth['order_id']}"), [])
        wrong += [Violation("books", _key(truth), text) for text in _order(truth, found, payments)]
    for (org, number), found in living.items():
        wrong.append(Violation("books", "", f"{len(found)} living invoices {number} in {org} of no order of the shop"))
    return wrong


def _order(
    truth: Mapping[str, Any], found: Sequence[Mapping[str, Any]], payments: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterable[str]:
    wanted = 1 if truth["expected"] in _POSTED else 0
    if len(found) != wanted:
        yield f"{len(found)} living invoices, must be {wanted} ({truth['expected']})"
        return
    if not found:
        return
    invoice, sums = found[0], truth["first"] or truth
    paid = payments.get(invoice["InvoiceID"], ())
    marks = Counter(payment["Reference"].split(" ")[0] for payment in paid)
    total = sum((Decimal(str(payment["Amount"])) for payment in paid), Decimal(0))
    facts = {
        "status": (invoice["Status"], "PAID"),
        "currency": (invoice["CurrencyCode"], truth["currency"]),
        "total": (Decimal(str(invoice["Total"])), Decimal(sums["total_price"])),
        "tax": (Decimal(str(invoice["TotalTax"])), Decimal(sums["total_tax"])),
        "due": (Decimal(str(invoice["AmountDue"])), Decimal(0)),
        "paid": (total, Decimal(sums["total_price"])),
        "payments twice": (sorted(mark for mark, count in marks.items() if count > 1), []),
    }
    for name, (is_, must) in facts.items():
        if is_ != must:
            yield f"{invoice['InvoiceNumber']}: {name} is {is_}, must be {must}"


def _contacts(org: str, contacts: Iterable[Mapping[str, Any]]) -> Iterable[Violation]:
    numbers = Counter(c["ContactNumber"] for c in contacts if c["ContactStatus"] == "ACTIVE" and "ContactNumber" in c)
    for number, count in numbers.items():
        if count > 1:
            yield Violation("books", "", f"{count} active contacts {number} in {org}")


def write_backs(truths: Iterable[Mapping[str, Any]], columns: Mapping[str, str | None]) -> list[Violation]:
    """Each posted order of the store that asks for it shows its invoice number in Kentico."""
    wrong = []
    for truth in truths:
        if truth["store"] == "emea/GoatUK" and truth["expected"] in _POSTED:
            number, shown = f"UK-{truth['order_id']}", columns.get(_key(truth))
            if shown != number:
                wrong.append(Violation("write-back", _key(truth), f"Kentico shows {shown!r}, must show {number}"))
    return wrong


def _key(truth: Mapping[str, Any]) -> str:
    return f"{truth['instance']}|{truth['order_id']}"


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
    """Orders with a partial payment twice, of which one was made by a frozen sink's call as it was woken; `late`: the
    ids of what such calls made. That is the one doubling that guarantees.md says can happen: any other is a fault.
    """
    orders = {f"{STORES[truth['store']][1]}{truth['order_id']}": _key(truth) for truth in truths}
    named: dict[str, str] = {}
    for export in exports.values():
        invoices = {row["InvoiceID"]: row for row in export["invoices"]}
        twins: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
        for payment in export["payments"]:
            if payment["Status"] not in _DEAD and "Invoice" in payment:
                twins[payment["Invoice"]["InvoiceID"], payment["Reference"]].append(payment)
        for (invoice_id, reference), found in twins.items():
            invoice = invoices.get(invoice_id, {"InvoiceNumber": "", "Total": 0})
            number, ours = invoice["InvoiceNumber"], sum(payment["PaymentID"] in late for payment in found)
            if len(found) == 2 and ours == 1 and found[0]["Amount"] < invoice["Total"] and number in orders:
                named[orders[number]] = f"{number} has payment {reference} twice: one by a call that was frozen"
    return named
