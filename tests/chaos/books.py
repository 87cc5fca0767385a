"""The shop against the books: what it has sold, given back and been paid out, beside what Xero holds. Pure.

Asks only the shop and Xero's export. Which store posts how is said here once more: it is not read from k2x.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]
# Which organisation and which prefix the rules give to a store, and what becomes of an order that is edited.
STORES = {"emea/GoatUK": ("uk", "UK-"), "emea/GoatDE": ("de", "DE-"), "apac/GoatAU": ("au", "AU-")}
REISSUED = frozenset({"emea/GoatUK", "emea/GoatDE"})
DAILY = frozenset({"apac/GoatAU"})
CLEARING = "092"  # what the card gateway holds, in each organisation's base currency
DEAD = frozenset({"VOIDED", "DELETED"})
POSTED = frozenset({"payable", "held_later"})
_SUMMARY = re.compile(r"(?:CN-)?(?P<prefix>[A-Z]+-)S\d{8}-(?P<currency>[A-Z]{3})(?:-\d+)?")
_ISSUED = re.compile(r"-R(\d+)$")
_ZERO = Decimal(0)


@dataclass(frozen=True)
class Wrong:
    """What must not be. `key` is the order's, a summary's number or a settlement's marker; "" of nobody's."""

    key: str
    text: str


@dataclass
class Shelf:
    """An organisation's living documents, each taken off once it is explained."""

    org: str
    export: Row
    invoices: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    notes: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    payments: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    bank: list[Row] = field(default_factory=list)

    @classmethod
    def of(cls, org: str, export: Row) -> Shelf:
        made = cls(org, export)
        for row in export["invoices"]:
            if row["Type"] == "ACCREC" and row["Status"] not in DEAD:
                made.invoices[row["InvoiceNumber"]].append(row)
        for row in export["credit_notes"]:
            if row["Type"] == "ACCRECCREDIT" and row["Status"] not in DEAD:
                made.notes[row["CreditNoteNumber"]].append(row)
        for row in export["payments"]:
            if row["Status"] not in DEAD:
                document = row.get("Invoice") or row.get("CreditNote") or {}
                made.payments[document.get("InvoiceID") or document.get("CreditNoteID") or ""].append(row)
        for row in (*export["bank_transactions"], *export["bank_transfers"]):
            if row["Status"] not in DEAD and not row.get("Type", "").endswith("-TRANSFER"):
                made.bank.append(row)
        return made

    def issued(self, number: str) -> list[str]:
        """The numbers of an order's invoices, oldest first: W-1, W-1-R2, W-1-R3."""
        numbers = [number] if self.invoices.get(number) else []
        while self.invoices.get(name := f"{number}-R{len(numbers) + 1}"):
            numbers.append(name)
        return numbers


def newest(truths: Iterable[Row], exports: Mapping[str, Row]) -> dict[str, str]:
    """Order → the number of its newest living invoice; of a store in summary mode, nothing."""
    shelves = {org: Shelf.of(org, export) for org, export in exports.items()}
    found = {}
    for truth in truths:
        org, prefix = STORES[truth["store"]]
        if numbers := shelves[org].issued(f"{prefix}{truth['order_id']}"):
            found[key_of(truth)] = numbers[-1]
    return found


def judge(truths: Sequence[Row], payouts: Sequence[Row], exports: Mapping[str, Row]) -> list[Wrong]:
    """Each sale once, with its money; each refund once; each settlement once; and nothing that nobody explains."""
    shelves = {org: Shelf.of(org, export) for org, export in exports.items()}
    wrong = [Wrong("", text) for shelf in shelves.values() for text in _contacts(shelf)]
    for truth in truths:
        org, prefix = STORES[truth["store"]]
        one = _Order(truth, shelves[org], f"{prefix}{truth['order_id']}")
        texts = one.in_no_document() if truth["store"] in DAILY else one.alone()
        wrong += [Wrong(key_of(truth), text) for text in texts]
    for store in DAILY:
        org, prefix = STORES[store]
        own = [truth for truth in truths if truth["store"] == store and truth["expected"] in POSTED]
        wrong += _summaries(shelves[org], prefix, own)
    for org, shelf in shelves.items():
        paid = [one for one in payouts if STORES[f"{one['instance']}/{one['site']}"][0] == org]
        for one in paid:
            wrong += [Wrong(marker_of(one), text) for text in _settlement(shelf, one)]
        own = [truth for truth in truths if STORES[truth["store"]][0] == org and truth["expected"] in POSTED]
        wrong += [Wrong("", text) for text in _clearing(shelf, own, paid)]
        wrong += [Wrong("", text) for text in _strangers(shelf)]
    return wrong


@dataclass(frozen=True)
class _Order:
    truth: Row
    shelf: Shelf
    number: str

    def in_no_document(self) -> Iterator[str]:
        """Of a store in summary mode."""
        if found := self.shelf.invoices.get(self.number):
            yield f"{len(found)} living invoices of its own, must be 0: it is in its day's summary"

    def alone(self) -> Iterator[str]:
        numbers = self.shelf.issued(self.number)
        wanted = {1 if self.truth["expected"] in POSTED else 0}
        if self.truth["first"] and self.truth["store"] in REISSUED:
            wanted |= {2}  # edited: before it was posted, or after
        there = sum(len(self.shelf.invoices[number]) for number in numbers)
        if len(numbers) not in wanted or there != len(numbers):
            yield f"{there} living invoices, must be {' or '.join(map(str, sorted(wanted)))} ({self.truth['expected']})"
        if len(numbers) not in wanted or not numbers:
            return
        held = self.truth["first"] and self.truth["store"] not in REISSUED
        sums = self.truth["first"] if held else self.truth
        last, total = numbers[-1], Decimal(sums["total_price"])
        invoice = self.shelf.invoices.pop(last)[0]
        yield from self._paid(invoice, last, total, Decimal(sums["total_tax"]))
        for number in numbers[:-1]:
            yield from self._taken_back(number)
        for refund in self.truth.get("refunds", ()):
            yield from self._refund(f"CN-{last}-{refund['refundId']}", Decimal(refund["amount"]))

    def _taken_back(self, number: str) -> Iterator[str]:
        """An invoice that was issued anew: paid as it was first, and all of it given back."""
        former, issued = self.shelf.invoices.pop(number)[0], _ISSUED.search(number)
        first = self.truth["first"]
        yield from self._paid(former, number, Decimal(first["total_price"]), Decimal(first["total_tax"]))
        yield from self._refund(f"CN-{number}-reissue{issued[1] if issued else 1}", Decimal(str(former["Total"])))

    def _paid(self, invoice: Row, number: str, total: Decimal, tax: Decimal) -> Iterator[str]:
        paid = self.shelf.payments.get(invoice["InvoiceID"], ())
        yield from _differ(
            number,
            status=(invoice["Status"], "PAID"),
            currency=(invoice["CurrencyCode"], self.truth["currency"]),
            total=(_money(invoice["Total"]), total),
            tax=(_money(invoice["TotalTax"]), tax),
            due=(_money(invoice["AmountDue"]), _ZERO),
            paid=(_sum(paid, "Amount"), total),
            **{"payments twice": (_twice(paid), [])},
        )

    def _refund(self, number: str, amount: Decimal) -> Iterator[str]:
        found = self.shelf.notes.pop(number, [])
        if len(found) != 1:
            yield f"{len(found)} living credit notes {number}, must be 1"
            return
        yield from _given(self.shelf, found[0], number, self.truth["currency"], amount)


def _given(shelf: Shelf, note: Row, number: str, currency: str, amount: Decimal) -> Iterator[str]:
    """A credit note whose money is back, once."""
    back = shelf.payments.get(note["CreditNoteID"], ())
    yield from _differ(
        number,
        status=(note["Status"], "PAID"),
        currency=(note["CurrencyCode"], currency),
        total=(_money(note["Total"]), amount),
        left=(_money(note["RemainingCredit"]), _ZERO),
        back=(_sum(back, "Amount"), amount),
        **{"payments twice": (_twice(back), [])},
    )


def _summaries(shelf: Shelf, prefix: str, truths: Sequence[Row]) -> Iterator[Wrong]:
    """A store's summaries hold its orders, each once: their number, and their money in each currency."""
    sold: Counter[str] = Counter()
    tax: Counter[str] = Counter()
    back: Counter[str] = Counter()
    for truth in truths:
        sums = truth["first"] or truth  # an edit after the close is held
        sold[truth["currency"]] += Decimal(sums["total_price"])  # type: ignore[assignment]
        tax[truth["currency"]] += Decimal(sums["total_tax"])  # type: ignore[assignment]
        for refund in truth.get("refunds", ()):
            back[truth["currency"]] += Decimal(refund["amount"])  # type: ignore[assignment]
    invoices, notes = _take(shelf.invoices, prefix), _take(shelf.notes, prefix)
    for number, row in invoices:
        paid = shelf.payments.get(row["InvoiceID"], ())
        yield from (
            Wrong(number, text)
            for text in _differ(
                number,
                status=(row["Status"], "PAID"),
                paid=(_sum(paid, "Amount"), _money(row["Total"])),
                **{"payments twice": (_twice(paid), [])},
            )
        )
    for number, row in notes:
        texts = _given(shelf, row, number, row["CurrencyCode"], _money(row["Total"]))
        yield from (Wrong(number, text) for text in texts)
    facts = {
        "sold": (_by_currency(invoices, "Total"), _positive(sold)),
        "tax": (_by_currency(invoices, "TotalTax"), _positive(tax)),
        "given back": (_by_currency(notes, "Total"), _positive(back)),
        "orders": (sum(int(row["Reference"].split(" ")[0]) for _, row in invoices), len(truths)),
    }
    yield from (Wrong("", text) for text in _differ(f"{prefix}'s summaries", **facts))


def _take(shelf: dict[str, list[Row]], prefix: str) -> list[tuple[str, Row]]:
    numbers = [n for n in shelf if (of := _SUMMARY.fullmatch(n)) and of["prefix"] == prefix]
    return [(number, row) for number in numbers for row in shelf.pop(number)]


def _settlement(shelf: Shelf, one: Row) -> Iterator[str]:
    """Its fees and its payout, each once."""
    told, marker = one["settlement"], marker_of(one)
    mine = [row for row in shelf.bank if row["Reference"].split(" ")[0] == marker]
    for row in mine:
        shelf.bank.remove(row)
    payout = Decimal(told["payout"])
    fees = gross_of(told) - payout
    spent = [(row["Type"], _money(row["Total"])) for row in mine if "BankTransactionID" in row]
    moved = [_money(row["Amount"]) for row in mine if "BankTransferID" in row]
    yield from _differ(
        marker,
        fees=(spent, [("SPEND" if fees > 0 else "RECEIVE", abs(fees))] if fees else []),
        payout=(moved, [abs(payout)] if payout else []),
    )


def gross_of(told: Row) -> Decimal:
    """What orders and refunds brought into the clearing account."""
    return sum((Decimal(line["amount"]) for line in told["lines"] if line["type"] in ("charge", "refund")), _ZERO)


def _clearing(shelf: Shelf, truths: Iterable[Row], payouts: Iterable[Row]) -> Iterator[str]:
    """What the card gateway still holds: taken for what was posted, less given back, less paid out."""
    base = shelf.export["organisation"]["currency"]
    held = _ZERO
    for truth in truths:
        if (truth["payment_option"], truth["currency"]) == ("CreditCard", base):
            sums = truth if truth["store"] in REISSUED else truth["first"] or truth
            cards = sum((Decimal(card["amount"]) for card in sums["gift_cards"]), _ZERO)
            taken = Decimal(sums["total_price"]) - cards
            held += taken - sum((min(taken, Decimal(r["amount"])) for r in truth.get("refunds", ())), _ZERO)
    held -= sum((gross_of(one["settlement"]) for one in payouts), _ZERO)
    there = _money(shelf.export["balances"].get(CLEARING, 0))
    yield from _differ(f"{shelf.org}: clearing account {CLEARING}", balance=(there, held))


def _strangers(shelf: Shelf) -> Iterator[str]:
    for what, rows in (("invoices", shelf.invoices), ("credit notes", shelf.notes)):
        for number, found in rows.items():
            if found:
                yield f"{len(found)} living {what} {number} in {shelf.org} of no order of the shop"
    for row in shelf.bank:
        yield f"{row['Reference']!r} in {shelf.org} is a bank document of no settlement of the shop"


def _contacts(shelf: Shelf) -> Iterator[str]:
    living = (c for c in shelf.export["contacts"] if c["ContactStatus"] == "ACTIVE")
    for number, count in Counter(c["ContactNumber"] for c in living if "ContactNumber" in c).items():
        if count > 1:
            yield f"{count} active contacts {number} in {shelf.org}"


def key_of(truth: Row) -> str:
    return f"{truth['instance']}|{truth['order_id']}"


def marker_of(payout: Row) -> str:
    """What begins the Reference of both its documents."""
    told = payout["settlement"]
    return f"{payout['instance']}/{told['gateway']}/{told['settlementId']}"


def _differ(who: str, **facts: tuple[Any, Any]) -> Iterator[str]:
    for name, (is_, must) in facts.items():
        if is_ != must:
            yield f"{who}: {name} is {is_}, must be {must}"


def _money(value: Any) -> Decimal:
    return Decimal(str(value))


def _sum(rows: Iterable[Row], name: str) -> Decimal:
    return sum((_money(row[name]) for row in rows), _ZERO)


def _twice(payments: Iterable[Row]) -> list[str]:
    marks = Counter(payment["Reference"].split(" ")[0] for payment in payments)
    return sorted(mark for mark, count in marks.items() if count > 1)


def _by_currency(rows: Iterable[tuple[str, Row]], name: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for _, row in rows:
        found[row["CurrencyCode"]] = found.get(row["CurrencyCode"], _ZERO) + _money(row[name])
    return {currency: amount for currency, amount in found.items() if amount}


def _positive(found: Mapping[str, Any]) -> dict[str, Decimal]:
    return {currency: amount for currency, amount in found.items() if amount}
