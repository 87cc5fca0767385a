"""A store whose day is one invoice: which of a run's orders it has, and what must be true of its summaries at the end.

Written apart from the core: from what was sent, what was told, and what Xero holds. Nothing is read from the ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any, cast

from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.documents import Document
from schemas.types import Command, Result
from tests.connectors.xero.commands import in_summary
from tests.simulation.loop import EPOCH

if TYPE_CHECKING:
    from tests.simulation.workload import Order
    from tests.simulation.world import World

STORE_CONTACT = "W-S-web"
SUMMARY_KEY = "shop|web/"  # what a summary's own key begins with
_GONE = ("VOIDED", "DELETED")
_DAYS = ("2026-11-19", "2026-11-20")


def is_summary(number: str | None) -> bool:
    """Whether it is a summary's number, or its credit note's."""
    return "-S2026" in (number or "")


class Days:
    """When each day of a run closes. Draws of its own: a run without summaries is what it was without this."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = Random(f"summaries {world.weather.seed}")
        self._closes: dict[tuple[str, str], float] = {}

    def takes(self) -> bool:
        """Whether the next order is one of a store with summaries."""
        return self.random.random() < self.world.weather.summaries

    def day(self) -> str:
        return self.random.choice(_DAYS)

    def put(self, command: Command, day: str) -> Command:
        """The command as a store with summaries sends it; now and then the rule was another when it was made."""
        if self.random.random() < 0.05:
            return command
        if command["kind"] == "REFUND" and self.random.random() < 0.7:
            day = "2026-11-21"  # else on the order's own
        spread, storm = self.world.weather.spread, self.world.weather.storm
        fates = (-1e5, 5.0, spread / 2, spread, storm / 2)  # closed long ago, in the midst of it, or after it
        closes = self._closes.setdefault((command["org"], day), self.random.choice(fates))
        moves = self.world.office.first_open_day[command["org"]]
        return in_summary(command, EPOCH + timedelta(seconds=closes), day, first_open_day=moves)


class Summaries:
    """The judge of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.words: dict[tuple[str, str], list[Result]] = {}  # by org and key: what was told of a whole summary
        self.touched: set[tuple[str, str]] = set()  # org and number: what people did to the document
        self.all_touched: set[str] = set()  # orgs in which they did it to the store's contact

    # -- while it runs ------------------------------------------------------------------------------------------

    def told(self, org: str, result: Result) -> None:
        """A result about a summary itself."""
        if result["kind"] == "summary":
            self.words.setdefault((org, result["key"]), []).append(result)

    def touch(self, org: str, number: str) -> None:
        if is_summary(number):
            self.touched.add((org, number))

    def excused(self, org: str, number: str | None) -> bool:
        """Somebody's hands, or a commit that came too late, were at it."""
        marred = (org, number) in self.world.judge.marred
        return org in self.all_touched or (org, number) in self.touched or marred

    # -- at the end ---------------------------------------------------------------------------------------------

    def number_of(self, order: Order) -> str | None:
        """The summary in which an order is, by the last that was told of it."""
        judge = self.world.judge
        told = [r for one in order.records for r in judge.results.get(one.id, []) if r["kind"] == "order"]
        told = [r for r in told if r["outcome"] in ("WAITING", "POSTED", "CANCELLED")]
        # A later word about another version says nothing of where it is; anew after its deletion it is in again.
        told.sort(key=lambda r: (r["outcome"] == "POSTED", r["at"]))
        last = told[-1]["number"] if told else None
        return last if is_summary(last) else None

    def failed(self, org: str, number: str | None) -> bool:
        """The whole summary has a letter that it may have: Xero said twice that it had not saved what it had, or
        people were at it."""
        words = [r for of in self.words.values() for r in of if r["org"] == org and r["number"] == number]
        ends = [r["outcome"] for r in words if r["outcome"] not in ("WAITING", "UNCHANGED")]
        if not ends or ends[-1] not in ("REFUSED", "HELD"):
            return False
        return self.excused(org, number) or self.world.counts["fault id_with_error"] > 1

    def explained(self) -> Iterator[tuple[str, str]]:
        """When all is quiet: each order in a summary that has a letter has heard why, and nobody the same twice."""
        why: dict[tuple[str, str], Result] = {}
        for (org, _), words in self.words.items():
            ends = [r for r in words if r["outcome"] in ("POSTED", "REFUSED", "HELD", "CANCELLED")]
            if ends and ends[-1]["outcome"] in ("REFUSED", "HELD"):
                why[org, str(ends[-1]["number"])] = ends[-1]
        for id_, results in self.world.judge.results.items():
            told = [r for r in results if r["status"] == "COLLECTED"]
            said = [(r["error_code"], r["message"]) for r in told if r["outcome"] != "WAITING"]
            if any(one == other for one, other in pairwise(said)):
                yield "told why", f"{id_} was told twice: {said}"
            last = results[-1]
            letter = why.get((last["org"], str(last["number"]))) if last["status"] == "COLLECTED" else None
            if letter is not None and last["error_code"] != letter["error_code"]:
                yield "told why", f"{id_} is in {last['number']} and was not told {letter['error_code']}: {said}"

    def judge(self, org: str) -> Iterator[tuple[str, str]]:
        """Each summary POSTED once and to the cent, and no document that no summary explains."""
        books = self.world.xero.books[org]
        for kind, credit in (("order", False), ("order_refund", True)):
            members: dict[str, list[Result]] = defaultdict(list)
            for results in self.world.judge.results.values():
                for one in results:
                    posted = (one["org"], one["kind"], one["outcome"]) == (org, kind, "POSTED")
                    if posted and is_summary(one["number"]):
                        members[str(one["number"])].append(one)
            documents = books.credit_notes if credit else books.invoices
            living = [d for d in documents.values() if is_summary(d.number) and d.status not in _GONE]
            numbers = [d.number for d in living]
            if len(numbers) != len(set(numbers)):
                yield "once in Xero", f"{org} has summaries {numbers}"
            for document in living:
                if document.number not in members and not self._letter(org, document.number):
                    yield "nothing left over", f"{document.number} of {org} is in Xero, and no order was told so"
            for number, told in members.items():
                found = next((d for d in living if d.number == number), None)
                yield from self._sums(org, number, told, found, books)
        for (of, key), words in self.words.items():
            posted = sum(r["outcome"] == "POSTED" for r in words)
            if of == org and posted > 1:
                yield "one end each", f"summary {key} of {org} is POSTED {posted} times"

    def _letter(self, org: str, number: str) -> bool:
        words = [r for of in self.words.values() for r in of if r["org"] == org and r["number"] == number]
        return any(r["outcome"] in ("REFUSED", "HELD") for r in words)

    def _sums(
        self, org: str, number: str, told: list[Result], document: Document | None, books: Books
    ) -> Iterator[tuple[str, str]]:
        if self.excused(org, number):
            return
        bodies = [self._body(one) for one in told]
        total = sum((Decimal(body["total"]) for body in bodies), Decimal(0))
        tax = sum((Decimal(body["total_tax"]) for body in bodies), Decimal(0))
        if not total and document is None:
            return
        if document is None or (document.status, document.total, document.total_tax) != ("PAID", total, tax):
            shown = document and (document.status, document.total, document.total_tax)
            wanted = f"its {len(told)} orders come to {total}, tax {tax}"
            yield "to the cent", f"{number} of {org}: Xero has {shown}, {wanted}"
            return
        ours: dict[str, Decimal] = defaultdict(Decimal)
        for body in bodies:
            for tender in body["payments"]:
                ours[tender["account_code"]] += Decimal(tender["amount"])
        theirs: dict[str, Decimal] = defaultdict(Decimal)
        for payment in books.payments_of(document):
            theirs[books.org.accounts_by_id[payment.account_id].code] += payment.amount
        if {k: v for k, v in ours.items() if v} != dict(theirs):
            yield "to the cent", f"{number} of {org} was paid by {dict(theirs)}, its orders by {dict(ours)}"

    def _body(self, result: Result) -> dict[str, Any]:
        return cast(dict[str, Any], self.world.workload.records[str(result["command_id"])].command["body"])


__all__ = ["STORE_CONTACT", "SUMMARY_KEY", "Days", "Summaries", "is_summary"]
