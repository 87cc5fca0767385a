"""Judges every step: what may leave, arrive and be committed. What may be left over at the end is judged in ends.py.

Each check has a name, which a violation carries; docs/simulation.md says what each means.
"""

from __future__ import annotations

import re
from collections import deque
from decimal import Decimal
from typing import TYPE_CHECKING

from connectors.xero.calls import Answer
from connectors.xero.core.events import Letter, Send, Transact
from connectors.xero.core.lane import Lane
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.documents import BankTransaction, BankTransfer, Document, Payment
from schemas.types import Result
from tests.simulation.owner import _POLL, Owner
from tests.simulation.summaries import SUMMARY_KEY, is_summary
from tests.simulation.xero import APP, Request

if TYPE_CHECKING:
    from tests.simulation.world import World

_MINUTE, _HOUR = 60.0, 3600.0
_KEY_LIFE = 360.0  # seconds after which Xero has forgotten an Idempotency-Key (xero.md §1.2)
FINAL = frozenset({"POSTED", "ADOPTED", "UNCHANGED", "HELD", "REFUSED", "CANCELLED"})
_REASONED = FINAL - {"POSTED", "ADOPTED"} | {"WAITING"}
_GONE = ("VOIDED", "DELETED")
REISSUE = re.compile(r"reissue\d+")  # in the place of a refund's id: the credit of an invoice that is issued anew


def taken_back(invoice: Document, books: Books) -> bool:
    """All of it is credited, to be issued anew, and the money is back."""
    begin = f"CN-{invoice.number}-".casefold()
    for note in books.credit_notes.values():
        refund = note.number[len(begin) :] if note.number.casefold().startswith(begin) else ""
        if REISSUE.fullmatch(refund) and note.status == "PAID" and note.total == invoice.total:
            return True
    return False


def _booked(document: Document) -> tuple[object, ...]:
    """What it books, whatever its lines are called."""
    lines = sorted((x.account_code, x.tax_type, x.line_amount, x.tax_amount) for x in document.lines)
    return document.contact_id, document.currency, document.total, document.total_tax, lines


class Violation(AssertionError):
    """A guarantee that did not hold."""

    def __init__(self, check: str, text: str) -> None:
        super().__init__(f"{check}: {text}")
        self.check = check


class _Life:
    """What the judge knows of one owner."""

    def __init__(self) -> None:
        self.decided: deque[float] = deque()  # of the last minute
        self.on_the_way = 0  # decided, and not yet at Xero
        self.seen = False  # has read X-…-Remaining
        self.others_at_header = 0
        self.over_at = float("-inf")  # when it last called although the day's calls were used up


class Judge:
    """Hooks, called by whoever does the thing. A violation is raised where it happens."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.words: dict[str, list[str]] = {}  # by command_id: the outcomes told of a record, in order
        self.results: dict[str, list[Result]] = {}
        self.told: list[Result] = []  # the same of all records, as they came
        self.letters: dict[tuple[str, int], list[Letter]] = {}  # by org and origin
        self.made: dict[str, Request] = {}  # by document id
        self.marred: set[tuple[str, str]] = set()  # org and number: an order that a too late commit has touched
        self.late_upserts = set[str]()  # kinds of which a too late commit may have put back what was newer
        self.replaying = False
        self.rereads: dict[str, int] = {}
        self._markers: dict[tuple[str, str], list[Payment]] = {}
        self._numbers: dict[tuple[str, str], list[Document]] = {}
        self._settled: dict[tuple[str, str, str], list[BankTransaction | BankTransfer]] = {}
        self._submitted: dict[tuple[Owner, int], float] = {}
        self._intended: dict[str, float] = {}
        self._reached: dict[str, float] = {}  # idempotency key → when its first call that Xero took up had left
        self._decided: dict[tuple[Owner, int], float] = {}
        self._lives: dict[Owner, _Life] = {}
        self._checked: dict[str, int] = {}
        self._others: dict[str, int] = {}  # calls to an org by anybody but its newest owner that has read the headers
        self._reader: dict[str, Owner] = {}
        self._windows: dict[str, tuple[int, int, int]] = {}
        self._rolling: dict[str, deque[tuple[float, bool]]] = {}

    def fail(self, check: str, text: str) -> None:
        raise Violation(check, text)

    # -- the owner ----------------------------------------------------------------------------------------------

    def handled(self, owner: Owner, core: Lane) -> None:
        """Memory stays bounded, whatever waits."""
        settings, desk = self.world.weather.settings, core.desk
        if len(desk.jobs) > settings.held_in_memory + _POLL:
            self.fail("memory bounded", f"{owner.name} holds {len(desk.jobs)} orders of {settings.held_in_memory}")
        if desk.mark.unfinished > settings.intake + _POLL:
            self.fail("memory bounded", f"{owner.name} holds {desk.mark.unfinished} records of {settings.intake}")

    def submitted(self, owner: Owner, work: Transact) -> None:
        self._submitted[owner, work.tx] = self.world.loop.now

    def decided(self, owner: Owner, send: Send) -> None:
        """Limits, where the decision is made: the minute's, those in flight, the day's less the reserve."""
        now, life = self.world.loop.now, self._lives.setdefault(owner, _Life())
        self._decided[owner, send.call_id] = now
        life.decided.append(now)
        while life.decided[0] <= now - _MINUTE:
            life.decided.popleft()
        if len(life.decided) > 60:
            self.fail("minute limit", f"{owner.name} makes {len(life.decided)} calls within a minute")
        if owner.flight > 5:
            self.fail("five in flight", f"{owner.name} has {owner.flight} calls in flight")
        if send.call.purpose != "read_back":
            self._day(owner, life, now)
        life.on_the_way += 1

    def _day(self, owner: Owner, life: _Life, now: float) -> None:
        if not life.seen:
            return  # a new owner's probe
        left = self.world.xero.day_left(owner.org) - life.on_the_way
        unknown = self._others.get(owner.org, 0) - life.others_at_header
        if left + unknown > self.world.weather.limits.day_reserve:
            return
        if now - life.over_at < _HOUR - 1:  # once an hour it looks whether the day has begun anew
            self.fail("day less the reserve", f"{owner.name} calls with {left} left of the day")
        life.over_at = now

    def answered(self, owner: Owner, send: Send, answer: Answer) -> None:
        """What the owner now knows of the limits."""
        life = self._lives[owner]
        if self._decided.pop((owner, send.call_id), None) is not None:
            life.on_the_way -= 1  # it has ended without being there
        if "x-daylimit-remaining" in answer.headers:
            life.seen = True
            life.others_at_header = self._others.get(owner.org, 0)
            if self.world.group.owners.get(owner.org) is owner:
                self._reader[owner.org] = owner
        if send.call.purpose == "read_back":
            self.world.count("read-backs")

    def foreign(self, org: str, calls: int) -> None:
        self._others[org] = self._others.get(org, 0) + calls

    def taken_over(self, org: str, position: int) -> None:
        """Records from there on are read again, those too that ended before an earlier one did: they may be told of
        once more."""
        for stored in self.world.broker.of[org].read(position, 1_000_000):
            id_ = self.world.workload.ids.get((org, stored.offset))
            if id_ is not None and id_ in self.words:
                self.rereads[id_] = self.rereads.get(id_, 0) + 1

    # -- the wire -----------------------------------------------------------------------------------------------

    def departed(self, request: Request, send: Send, after_limit: bool) -> None:
        """A write leaves after its intention is on the log and before that lapses. Only a process that froze between
        the last look at the clock and the socket write is later (DESIGN §3.2)."""
        if not send.call.writes:
            return
        intended = self._intended.get(send.call.idempotency_key or "")
        if intended is None:
            self.fail(
                "intention first", f"{send.call.method} {send.call.path} left before its intention was on the log"
            )
        elif request.left > intended + self.world.weather.settings.intention_lapse + 0.001 and not after_limit:
            self.fail("intention first", f"{send.call.path} left {request.left - intended:.1f} s after its intention")
        first = self._reached.get(send.call.idempotency_key or "", request.left)
        if request.left > first + _KEY_LIFE and not after_limit:
            self.fail("keys end", f"{send.call.path} goes again {request.left - first:.0f} s after Xero had its key")
        if self.replaying and not after_limit:
            self.world.ends.replayed(request)

    def arrived(self, request: Request, counted: bool) -> None:
        """As Xero counts: never more than 60 in a window, but for what nobody could know."""
        owner, org = request.owner, request.org
        assert isinstance(owner, Owner)
        life = self._lives[owner]
        if counted and request.call.writes and request.call.idempotency_key:
            self._reached.setdefault(request.call.idempotency_key, request.left)
        if self._decided.pop((owner, request.call_id), None) is not None:
            life.on_the_way -= 1
        if self._reader.get(org) is not owner:
            self._others[org] = self._others.get(org, 0) + 1
        excused = not life.seen or self._reader.get(org) is not owner or request.left - request.started > 1.0
        excused = excused or self.world.loop.now - request.left > 1.0 or request.unauthorised
        count, slack = self._in_window(org, excused)
        if count > 60 + slack:
            self.fail("minute limit", f"{count} calls arrive at {org} within one window of Xero's minute")

    def _in_window(self, org: str, excused: bool) -> tuple[int, int]:
        now = self.world.xero.now
        window = self.world.xero.meter.window(APP, org, _MINUTE)
        if self.world.weather.rolling:
            recent = self._rolling.setdefault(org, deque())
            recent.append((now, excused))
            while recent[0][0] <= now - _MINUTE:
                recent.popleft()
            return len(recent), sum(flag for _, flag in recent)
        window.used(now)
        index, count, slack = self._windows.get(org, (0, 0, 0))
        if index != window.index:
            count = slack = 0
        self._windows[org] = window.index, count + 1, slack + excused
        return count + 1, slack + excused

    # -- Xero ---------------------------------------------------------------------------------------------------

    def changed(self, request: Request, books: Books) -> None:
        """The books have changed by one of our requests: each document once, each payment on its own invoice."""
        for (kind, id_), row in list(books.changed.items()):
            if request.late:
                self.late_upserts.add(kind)
            self.world.undone.changed(request, row, books)
            if id_ in self.made:
                continue
            self.made[id_] = request
            if isinstance(row, Document) and row.is_credit:
                self._credit_note(request.org, row, books)
            elif isinstance(row, Document):
                self._invoice(request.org, row, books)
            elif isinstance(row, Payment):
                self._payment(request, row, books)
            elif isinstance(row, BankTransaction | BankTransfer):
                self._bank(request, kind, row)

    def _invoice(self, org: str, row: Document, books: Books) -> None:
        same = self._numbers.setdefault((org, row.number if is_summary(row.number) else row.reference), [])
        same.append(row)
        living = [one for one in same if one.status not in _GONE and not taken_back(one, books)]
        order = self.world.workload.order_of(org, row.number)
        if len(living) > 1 and not (order is not None and order.touched):
            self.fail("once in Xero", f"order {row.reference} has invoices {[one.number for one in living]}")
        self.world.hands.invoice_made(org, row)

    def _credit_note(self, org: str, row: Document, books: Books) -> None:
        """One of its number, on an invoice that has been paid, and never more in all than that."""
        number, refund = row.number.removeprefix("CN-").rsplit("-", 1)
        whole = REISSUE.fullmatch(refund) is not None
        same = self._numbers.setdefault((org, row.number), [])
        same.append(row)
        if len([one for one in same if one.status not in _GONE]) > 1:
            self.fail("once in Xero", f"refund {refund} of {number} has {len(same)} credit notes")
        invoice = books.by_number(number, credit=False)
        order = self.world.workload.order_of(org, number)
        if is_summary(row.number) or (order is not None and order.touched):
            return  # of a day: what its refunds come to is judged at the end
        held = self.world.summaries.number_of(order) if order is not None else None
        if held is not None:
            invoice = books.by_number(held, credit=False)
            if self.world.summaries.excused(org, held):
                return
        unpaid = invoice is not None and not whole and self.world.undone.may_credit(org, order, invoice)
        if invoice is None or (invoice.status != "PAID" and not unpaid):
            self.fail(
                "payment before refund", f"{row.number}: its invoice is {invoice.status if invoice else 'nowhere'}"
            )
            return
        if not whole and taken_back(invoice, books):
            self._after_a_reissue(row, invoice, books)
            return
        if held is not None:
            return  # never more than the order's: the sink refuses it, and `ends` counts
        beginning = f"CN-{invoice.number}-".casefold()
        mine = [
            one
            for one in books.credit_notes.values()
            if one.number.casefold().startswith(beginning) and one.status not in _GONE
        ]
        if sum((one.total for one in mine), Decimal(0)) > invoice.total:
            self.fail("never more than was posted", f"{[one.total for one in mine]} of {invoice.total} of {number}")
        self.world.counts["reissues"] += whole
        if whole and _booked(row) != _booked(invoice):
            self.fail("taken back as it was", f"{row.number} is {_booked(row)}, its invoice {_booked(invoice)}")

    def _after_a_reissue(self, row: Document, first: Document, books: Books) -> None:
        """Its credit note was refused, which fixes its number, and redriven after the order was issued anew."""
        newer = [d for d in books.invoices.values() if d.number.casefold().startswith(f"{first.number}-R".casefold())]
        newest = [d for d in newer if d.status == "PAID" and not taken_back(d, books)]
        if not newest or row.total > max(d.total for d in newest):
            self.fail("never more than was posted", f"{row.number} is {row.total} of {[d.total for d in newest]}")

    def _payment(self, request: Request, row: Payment, books: Books) -> None:
        marker, invoice = row.reference.split(" ")[0], books.document(row.document_id)
        assert invoice is not None
        if marker.rsplit("/", 1)[0].casefold() != invoice.number.casefold():
            self.fail("invoice before payment", f"payment {marker} is on invoice {invoice.number}")
        same = self._markers.setdefault((request.org, marker), [])
        same.append(row)
        living = [one for one in same if one.status != "DELETED"]
        if request.late:
            self.marred.add((request.org, invoice.number))
        if len(living) > 1 and not any(self.made[one.id].late for one in living):
            self.fail("once in Xero", f"payment {marker} of {invoice.number} is there {len(living)} times")

    def _bank(self, request: Request, kind: str, row: BankTransaction | BankTransfer) -> None:
        """A settlement's fees once, and its payout once; Xero would take any number of them."""
        if isinstance(row, BankTransaction) and row.type.endswith("-TRANSFER"):
            return
        marker = row.reference.split(" ")[0]
        same = self._settled.setdefault((request.org, kind, marker), [])
        same.append(row)
        if request.late:
            self.marred.add((request.org, marker))
        if len(same) > 1 and not any(self.made[one.id].late for one in same):
            self.fail("once in Xero", f"{kind} {marker} of {request.org} is there {len(same)} times")

    # -- the log ------------------------------------------------------------------------------------------------

    def committed(self, owner: Owner, work: Transact) -> None:
        """What is on the log for good: outcomes, letters, intentions, and how far the offset may be."""
        submitted = self._submitted.pop(
            (owner, work.tx), self.world.loop.now
        )  # a take-over's own writes are told to nobody
        for entry in work.entries.values():
            if entry is not None and entry["intention"] is not None:
                self._intended[entry["intention"]["idempotency_key"]] = submitted
        for result in work.results:
            self._word(owner.org, result)
        for letter in work.letters:
            self._letter(owner.org, letter)
        self._offset(owner.org)

    def _word(self, org: str, result: Result) -> None:
        if str(result["command_id"]).startswith(SUMMARY_KEY):
            self.world.summaries.told(org, result)
            self.world.count(f"told {result['kind']} {result['outcome']} of a summary")
            self.world.say(
                org, "{} {}: {} {}", result["outcome"], result["key"], result["kind"], result["message"] or ""
            )
            return
        record = self.world.workload.records[str(result["command_id"])]
        main = result["kind"] in {"order", "order_refund", "settlement"} or record.command["kind"] in {
            "CONTACT",
            "ITEM",
        }
        self.results.setdefault(record.id, []).append(result)
        self.told.append(result)
        self.world.count(f"told {result['kind']} {result['outcome']}")
        self.world.say(org, "{} {}: {} {}", result["outcome"], record.id, result["kind"], result["message"] or "")
        if not main:
            return
        if result["outcome"] in _REASONED and not result["message"]:
            self.fail("one end each", f"{record.id} of {org} is {result['outcome']} without a reason")
        words = self.words.setdefault(record.id, [])
        words.append("WAITING" if result["status"] == "COLLECTED" else result["outcome"])
        finals = sum(word in FINAL for word in words)
        if finals > 1 + self.rereads.get(record.id, 0):
            self.fail("one end each", f"{record.id} of {org} has ended as {words}")

    def _letter(self, org: str, letter: Letter) -> None:
        headers = dict(letter.headers)
        offset = int(headers["__connect.errors.offset"])
        self.world.office.told(org, letter)
        if letter.key is not None and letter.key.decode().startswith(SUMMARY_KEY):  # first it was no record
            self.world.count("dead letters")
            return
        stored = self.world.broker.of[org].at(offset)
        if stored is None or (stored.key, stored.value) != (letter.key, letter.value):
            self.fail("letters keep their bytes", f"letter of offset {offset} of {org} is not that record")
        self.letters.setdefault((org, offset), []).append(letter)
        self.world.count("dead letters")

    def _offset(self, org: str) -> None:
        """Below the committed offset every record has its outcome on the log."""
        log = self.world.broker.of[org]
        index = self._checked.get(org, 0)
        while index < len(log.commands) and log.commands[index].offset < (log.committed or 0):
            stored = log.commands[index]
            id_ = self.world.workload.ids.get((org, stored.offset))
            told = self.words.get(id_) if id_ is not None else self.letters.get((org, stored.offset))
            if not told and (org, stored.offset) not in self.world.office.again:
                self.fail("offset behind the unfinished", f"offset {log.committed} of {org} passed {stored.offset}")
            index += 1
        self._checked[org] = index
        if (log.committed or 0) > log.end:
            self.fail("offset behind the unfinished", f"offset {log.committed} of {org} lies behind the end {log.end}")
