"""Orders that are in Xero unpaid and are refunded or deleted: what the shop sends of them, and whether it ends by the
rule of their organisation."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any, Literal, cast

import orjson

from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.documents import Document
from schemas.types import Command, RefundNote, Result
from tests.connectors.xero.commands import envelope, refund, tender
from tests.simulation.xero import GIFT, Request

if TYPE_CHECKING:
    from tests.simulation.workload import Order, Record
    from tests.simulation.world import World

_GONE = ("VOIDED", "DELETED")
Rule = Literal["HOLD", "VOID", "CREDIT"]
# What a refund of a sound but unpaid order may be refused for: another has taken it; Xero has said what was not so.
_FAIR = {"refund_too_large", "xero_refused"}


class Undone:
    """The shop's part of it, and the judge's. Draws of its own: what else a seed brings is what it was."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.voided: set[str] = set()  # ids

    def rule(self, org: str) -> Rule:
        """Of the organisation's stores. Where the accountant closes periods, what is refused today is paid tomorrow: a
        person decides what a refund meanwhile does."""
        if self.world.office.at_work:
            return "HOLD"
        rules: tuple[Rule, ...] = ("HOLD", "VOID", "VOID", "VOID", "CREDIT", "CREDIT")
        return Random(f"unpaid {self.world.weather.seed} {org}").choice(rules)

    def ruled(self, command: Command) -> Command:
        """A refund or a deletion as its store sends it."""
        if command["kind"] not in ("REFUND", "CANCEL"):
            return command
        return cast(Command, {**command, "on_unpaid": self.rule(command["org"])})

    def takes(self, org: str, number: int) -> bool:
        """Whether this order's payments are refused, and it is refunded."""
        often = 0.0 if self.world.office.at_work else self.world.weather.unpaid
        return self._random(org, number).random() < often

    def _random(self, org: str, number: int) -> Random:
        return Random(f"unpaid {self.world.weather.seed} {org} {number}")

    def commands(self, org: str, number: int, total: str) -> list[Command]:
        """All of it, a part, parts that come to all of it or to more; or it is deleted."""
        random = self._random(org, number)
        random.random()
        whole = Decimal(total)
        part = (whole / random.choice((2, 3, 4))).quantize(Decimal("0.01"))
        kind = random.choice(("whole", "whole", "part", "parts", "too much", "deleted", "both"))
        amounts = {
            "whole": [whole], "part": [part], "parts": [part, whole - part], "too much": [part, whole], "both": [whole],
        }.get(kind, [])  # fmt: skip
        found = [self._refund(org, number, f"u{at}", amount, random) for at, amount in enumerate(amounts)]
        if kind in ("deleted", "both"):
            found.append(envelope("CANCEL", f"shop|{number}", None, org=org, order=str(number), version=9))
        return [one for one in found for _ in range(random.choice((1, 1, 1, 2)))]

    def _refund(self, org: str, number: int, refund_id: str, amount: Decimal, random: Random) -> Command:
        tax = amount - (amount / Decimal("1.2")).quantize(Decimal("0.01"))
        card = (amount / 4).quantize(Decimal("0.01"))
        parts = [tender(str(card), 1, GIFT, "Card"), tender(str(amount - card), 2)]
        payments = parts if random.random() < 0.5 else None
        return refund(number, refund_id, org=org, version=7, total=str(amount), tax=str(tax), payments=payments)

    # -- while it runs --------------------------------------------------------------------------------------------

    def may_credit(self, org: str, order: Order | None, invoice: Document) -> bool:
        """A credit note before its invoice is paid is by the rule, or not."""
        return order is not None and bool(order.trouble) and invoice.status == "AUTHORISED" and self.rule(org) != "HOLD"

    def changed(self, request: Request, row: object, books: Books) -> None:
        """A request of ours has voided an invoice, or allocated a credit note."""
        if not isinstance(row, Document):
            return
        if row.is_credit:
            self._allocated(request, row, books)
        elif row.status == "VOIDED" and row.id not in self.voided:
            self.voided.add(row.id)
            self._late(request, row)
            self.world.count("voids")
            if row.payments or row.allocations or row.paid or row.credited:
                self.world.judge.fail("only what is unpaid is voided", f"{row.number}: {row.paid} of it was paid")
            if self.rule(request.org) != "VOID":
                self.world.judge.fail("by the rule", f"{row.number} was voided, the rule is {self.rule(request.org)}")

    def _allocated(self, request: Request, note: Document, books: Books) -> None:
        for one in note.allocations:
            invoice = books.invoices[one.other_id]
            self._late(request, invoice)
            if not note.number.casefold().startswith(f"CN-{invoice.number}-".casefold()):
                self.world.judge.fail("to the cent", f"{note.number} is allocated to {invoice.number}")
        if len(note.allocations) > 1:
            self.world.judge.fail("once in Xero", f"{note.number} is allocated {len(note.allocations)} times")
        if note.allocations:
            self.world.count("allocations")

    def _late(self, request: Request, invoice: Document) -> None:
        if request.late:
            self.world.judge.marred.add((request.org, invoice.number))

    # -- at the end -----------------------------------------------------------------------------------------------

    def judges(self, order: Order) -> bool:
        """Its refunds end by the rule for what is unpaid."""
        return bool(order.trouble)

    def refund(self, order: Order, name: str, record: Record, told: list[Result]) -> Iterator[tuple[str, str]]:
        """Voided as a whole; or a credit note, all of it allocated or given back; or held by the rule."""
        books = self.world.xero.books[order.org]
        invoice = books.by_number(order.number, credit=False)
        posted = [r for r in told if r["outcome"] == "POSTED"]
        body = cast(RefundNote, record.command["body"])
        note = books.by_number(f"CN-{order.number}-{body['refund_id']}", credit=True)
        living = note is not None and note.status not in _GONE
        if posted and self.rule(order.org) == "HOLD" and (invoice is None or invoice.credited or not invoice.payments):
            yield "by the rule", f"{name} is POSTED, and its sale was never paid"
        elif posted and posted[-1]["status"] == "VOIDED":
            if invoice is None or invoice.status != "VOIDED" or invoice.payments or invoice.allocations or living:
                yield "to the cent", f"{name}: voided, and Xero has {invoice and invoice.status}, credit note: {living}"
        elif posted:
            yield from self._credit(order.org, name, body, note, invoice)
        elif order.unpaid and not order.cancelled and invoice is not None:
            codes = {str(r["error_code"]) for r in told if r["error_code"]}
            fair = {"refund_of_unpaid"} if self.rule(order.org) == "HOLD" else _FAIR
            waits = self.rule(order.org) == "HOLD" and {r["outcome"] for r in told} == {"WAITING"}
            if not codes <= fair or not (codes or waits):
                yield "by the rule", f"{name} has come to {[r['outcome'] for r in told]} {codes}"

    def _credit(
        self, org: str, name: str, body: RefundNote, note: Document | None, invoice: Document | None
    ) -> Iterator[tuple[str, str]]:
        if note is None or invoice is None or note.status != "PAID" or note.total != Decimal(body["total"]):
            yield "to the cent", f"{name}: Xero has {note and (note.status, note.total)}, not {body['total']} PAID"
            return
        onto = sum((one.amount for one in note.allocations if one.other_id == invoice.id), Decimal(0))
        if onto == invoice.total and self.rule(org) == "VOID":
            yield "by the rule", f"{name}: nothing stood on {invoice.number}, and all of it was credited, not voided"
        paid = list(self.world.xero.books[org].payments_of(note))
        back = {p.reference.split(" ")[0].casefold(): p.amount for p in paid}
        most = {f"{note.number}/{t['ordinal']}".casefold(): Decimal(t["amount"]) for t in body["payments"]}
        if onto + sum(back.values(), Decimal(0)) != note.total or len(back) != len(paid):
            yield "to the cent", f"{name}: {onto} allocated, {back} given back"
        if any(amount > most.get(marker, Decimal(0)) for marker, amount in back.items()):
            yield "to the cent", f"{name} was given back by {back}, of {most}"
        if onto and back and invoice.outstanding:
            yield "to the cent", f"{name}: money went back while {invoice.outstanding} of {invoice.number} was due"

    def stays(self, order: Order, told: list[Result], living: list[Document]) -> Iterator[tuple[str, str]]:
        """What was voided is not issued again."""
        of_records = (r for one in order.records for r in self.world.judge.results.get(one.id, []))
        voided = [r for r in of_records if r["kind"] in ("order", "order_refund") and r["status"] == "VOIDED"]
        if voided and living:
            yield "once in Xero", f"{order.key} was voided, and has {[one.number for one in living]}"

    def settled(self, request: Request, row: dict[str, Any]) -> bool:
        """A void or an allocation whose order has come to its good end."""
        books = self.world.xero.books[request.org]
        results = [r for of in self.world.judge.results.values() for r in of if r["org"] == request.org]
        if request.call.path == "Invoices":
            number = books.invoices[row["InvoiceID"]].number
            done = {("order", "CANCELLED"), ("order_refund", "POSTED")}
            return any(
                (r["kind"], r["outcome"]) in done and r["status"] == "VOIDED" and r["number"] == number for r in results
            )
        number = books.credit_notes[request.call.path.split("/")[1]].number
        return any(r["kind"] == "allocation" and r["outcome"] in ("POSTED", "ADOPTED") and r["number"] == number
                   for r in results)  # fmt: skip


def rows_of(request: Request) -> list[dict[str, Any]]:
    """The elements that a write sends."""
    rows: list[dict[str, Any]] = orjson.loads(request.call.body or b"")[collection(request)]
    return rows


def collection(request: Request) -> str:
    """Of a write's elements: allocations go to their credit note's own address."""
    return request.call.path.rsplit("/", 1)[-1]
