"""Decides what became of each refund of an order: its credit note and the money back, beside what Kentico said. Pure.

The sale is judged by k2x.audit.judge; a refund never changes the end of its sale. Counted by the refund's own day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from k2x.audit import differences, membership
from k2x.audit.case import DONE, Case
from k2x.audit.documents import CreditNote
from k2x.audit.facts import CommandSeen, EntrySeen, LetterSeen, OrderSeen, ResultSeen
from k2x.audit.finding import Finding
from k2x.audit.refund_case import RefundCase, refunds_of
from k2x.audit.shares import Share, does_not_add_up
from k2x.audit.standpoint import LONG_AGO, Standpoint
from k2x.in_words import moment, plain, span
from schemas.topics import ORDERS, commands

# What became of an order whose event told of a refund became of the refund, where no command of it was made.
_WORDS = {"SUPPRESSED": "suppressed", "CANCELLED": "suppressed", "UNCHANGED": "suppressed", "PARKED": "waiting"}


@dataclass(frozen=True)
class RefundVerdict:
    """One refund. `state`: refunded, suppressed, refused, held, waiting, in_flight or lost.

    `kentico`: what was to be given back, where it was or must be; `xero`: what its credit notes give, copies included.
    `claims`: ids of the credit notes that it explains.
    """

    id: str
    state: str
    number: str
    day: date | None
    findings: tuple[Finding, ...] = ()
    letter: LetterSeen | None = None
    kentico: Decimal = Decimal(0)
    xero: Decimal = Decimal(0)
    currency: str = ""
    claims: frozenset[str] = frozenset()
    share: Share | None = None


def judge_refunds(case: Case, at: Standpoint | None) -> tuple[RefundVerdict, ...]:
    """Each refund's end and what is wrong with it; `at` as k2x.audit.judge has it."""
    cases = refunds_of(case)
    if not cases and not case.dossier.credits:
        return ()
    made = [_Judgement(one, at) for one in cases]
    taken = {one.refund.note.id for one in made if one.refund.note is not None}
    taken |= {note.id for note in case.credits_of_reissues}
    for other in case.dossier.credits:
        if other.id not in taken:
            mine = next((one for one in made if one.refund.is_copy(other)), None)
            if mine is not None:
                mine.copies.append(other)
                taken.add(other.id)
    verdicts = [one.verdict() for one in made]
    if not case.dossier.late:
        verdicts += _foreign(case, [n for n in case.dossier.credits if n.living and n.id not in taken])
        verdicts = _together(case, [one.refund.note for one in made if not one.refund.in_summary], verdicts)
    return tuple(verdicts)


def _foreign(case: Case, notes: Sequence[CreditNote]) -> Iterator[RefundVerdict]:
    """Credit notes that bear the order's name, and that none of its refunds explains."""
    for note in notes:
        shown = f"{note.number or 'a credit note without a number'} ({note.status}, {plain(note.total)} {note.currency}"
        text = f"{shown}, reference {note.reference!r}) is in Xero for this order, and k2x has not posted it"
        finding = Finding("foreign_credit_note", case.org, case.store, case.dossier.key, note.number, text, note.date)
        yield RefundVerdict(
            "", "foreign", note.number, note.date, (finding,),
            xero=note.total, currency=note.currency, claims=frozenset({note.id}),
        )  # fmt: skip


def _together(case: Case, notes: Sequence[CreditNote | None], verdicts: list[RefundVerdict]) -> list[RefundVerdict]:
    """All refunds of the order beside its invoice: told with the last of them."""
    living = [note for note in notes if note is not None and note.living]
    sold = case.entry.total if case.entry is not None else None
    if sold is None and case.invoice is not None:
        sold = case.invoice.total
    total = sum((note.total for note in living), Decimal(0))
    if not living or sold is None or total <= sold:
        return verdicts
    last = max(living, key=lambda note: note.date or date.min)
    text = (
        f"{len(living)} credit note{'s' if len(living) > 1 else ''} of {case.posted.number} give back {plain(total)} "
        f"{last.currency}, and it was posted with {plain(sold)}"
    )
    finding = Finding("over_refunded", case.org, case.store, case.dossier.key, last.number, text, last.date)
    return [replace(one, findings=(*one.findings, finding)) if last.id in one.claims else one for one in verdicts]


class _Judgement:
    """One refund under judgement; collects what is off on the way."""

    def __init__(self, refund: RefundCase, at: Standpoint | None) -> None:
        self.refund, self.case, self.at = refund, refund.case, at
        self.copies: list[CreditNote] = []
        self._off: list[tuple[str, str, str]] = []

    def verdict(self) -> RefundVerdict:
        refund, note = self.refund, self.refund.note
        state = self._state()
        explained = self.copies if note is None or refund.in_summary else [note, *self.copies]
        there = sum((n.total for n in explained if n.living), Decimal(0))
        if refund.in_summary and refund.done and note is not None and note.living and refund.entry is not None:
            there += refund.entry.total or Decimal(0)  # of its day's
        told, command = refund.told, refund.command or (refund.commands[-1] if refund.commands else None)
        amount = told.amount if told is not None else command.total if command is not None else Decimal(0)
        named = [note.currency if note is not None else "", (told.currency if told is not None else None) or ""]
        place = (self.case.org, self.case.store, self.case.dossier.key)
        return RefundVerdict(
            refund.id,
            state,
            refund.number,
            refund.day,
            tuple(Finding(code, *place, number, text, refund.day) for code, text, number in self._off),
            letter=refund.letters[-1] if refund.letters and state in ("refused", "held") else None,
            kentico=amount if (state in ("refunded", "lost") and not refund.voided) or there else Decimal(0),
            xero=there,
            currency=next(filter(None, named), command.currency if command is not None else ""),
            claims=frozenset(n.id for n in explained),
            share=refund.share,
        )

    def _state(self) -> str:
        refund, entry = self.refund, self.refund.entry
        if self.case.dossier.late:
            return "refunded" if refund.done else "in_flight"
        if entry is not None and refund.in_summary:
            return self._in_summary(entry)
        if refund.voided and (refund.note is None or not refund.note.living):
            return "refunded"
        if refund.done or self._left_by_ledger():
            self._refunded()
            return "refunded"
        if entry is not None and entry.state in ("REFUSED", "HELD") and refund.note is not None and entry.xero_id:
            self._compare(refund.note, whole=False)
        if refund.kept is not None or refund.waits_with_sale:
            self._overdue()
            return "waiting"
        if entry is not None and (entry.state in ("INTENDED", "POSTED") or self._begun()):
            return self._open(entry)
        return self._ended() or self._on_its_way() or self._lost()

    def _in_summary(self, entry: EntrySeen) -> str:
        """Collected, or made with its day's credit note, which k2x.audit.daily judges."""
        for code, text in membership.of_refund(entry, self.refund.entries):
            self._say(code, text)
        wrong = does_not_add_up(self.refund.command) if self.refund.command is not None else ""
        if wrong:
            self._say("summary_part", f"in {entry.number}, {wrong}")
        self._said_otherwise(entry)
        return "refunded" if self.refund.done else "waiting"

    def _left_by_ledger(self) -> bool:
        """Made, by Xero or by the results, and the ledger knows nothing."""
        if self.refund.entry is not None or not self.refund.commands:
            return False
        note, made = self.refund.note, any(r.outcome in DONE for r in self.refund.results)
        return made or (note is not None and note.living and not self.refund.letters)

    # -- made ---------------------------------------------------------------------------------------------------

    def _refunded(self) -> None:
        refund, note, entry = self.refund, self.refund.note, self.refund.entry
        if entry is None and note is not None:
            self._say("ledger_missing", f"{note.number} is in Xero, and the ledger has no entry of it")
        if note is None:
            by = f"was posted (id {entry.xero_id})" if entry is not None else "was posted, the results say,"
            self._say("credit_note_missing", f"{refund.number} {by} and is not in Xero")
        elif not note.living:
            self._say("credit_note_voided", f"{note.number} was posted and is {note.status} in Xero")
        else:
            self._compare(note, whole=True)
        for copy in self.copies:
            beside = f" beside {note.number}" if note is not None and note.living else ""
            shown = f"{copy.number or 'a credit note without a number'} ({copy.status}, {plain(copy.total)}"
            text = f"{shown} {copy.currency}, reference {copy.reference!r}) is in Xero{beside} for the same refund"
            self._say("duplicate_credit_note", text, copy.number)
        last = refund.commands[-1] if refund.commands else None
        version = entry.version if entry is not None else None
        if last is not None and version is not None and last.version > version and not self._answered(last):
            text = f"it was made as {refund.number}; its command {_where(last)} of a newer version left no trace"
            self._say("refund_lost", text)

    def _compare(self, note: CreditNote, *, whole: bool) -> None:
        refund = self.refund
        found = [*differences.invoice(refund.posted, note)]
        if whole:
            found += differences.payments(refund.posted, note, self.case.dossier.payments)
            if refund.entry is not None:
                found += differences.unledgered(refund.posted, note)
        for code, text in found:
            self._say(differences.NOTE_CODES.get(code, code), text)
        if refund.entry is not None:
            self._said_otherwise(refund.entry)

    def _said_otherwise(self, entry: EntrySeen) -> None:
        said = [seen.refund for seen in self.refund.events if seen.refund is not None]
        if entry.total is not None and said and all(one.amount != entry.total for one in said):
            amounts = f"with {plain(entry.total)}; Kentico's refund is {plain(said[-1].amount)}"
            text = f"{self.refund.number} was posted {amounts}"
            self._say("refunded_otherwise", text)

    # -- not made -----------------------------------------------------------------------------------------------

    def _begun(self) -> bool:
        return any(e.intended_at is not None for e in self.refund.entries)

    def _open(self, entry: EntrySeen) -> str:
        """Begun and not ended: in the sink's hands, or forgotten by it."""
        at, refund = self.at, self.refund
        if at is None:
            self._say("refund_lost", f"{refund.number} was begun and has no end: the ledger has it {entry.state}")
            return "lost"
        oldest, step = min(((e.intended_at, e.step) for e in refund.entries if e.intended_at), default=(None, ""))
        if oldest is not None and at.now - oldest > max(at.lapse, at.grace):
            text = f"{refund.number}: its {step} was begun {span(at.now - oldest)} ago, and nothing was said since"
            self._say("refund_open", text)
        elif oldest is None and not at.recent(entry.updated_at or LONG_AGO):
            self._say("refund_open", f"{refund.number} was begun, and the sink has gone past it without an end")
        return "in_flight"

    def _overdue(self) -> None:
        """It waits for its sale, or for Xero: nobody is to forget it when these have come."""
        at, sale, kept = self.at, self.refund.sale, self.refund.kept
        if at is None:
            return
        since: datetime | None
        if sale is not None and sale.state == "WAITING":
            since = sale.retry_at
        elif kept is not None and self.case.is_posted:
            since = max(filter(None, (kept.updated_at, sale.updated_at if sale is not None else None)), default=None)
        else:
            return  # for its sale, however long that takes
        if since is not None and at.silent(self.case.org, since):
            self._say("refund_overdue", f"it waits since {moment(since)}, and the sink says nothing")

    def _ended(self) -> str:
        """Its newest word or letter; empty where nothing was said of its newest command or event."""
        refund, last = self.refund, self.refund.commands[-1] if self.refund.commands else None
        since = max((seen.version for seen in refund.events), default=LONG_AGO) if last is None else LONG_AGO
        letters = [letter for letter in refund.letters if letter.version is None or letter.version >= since]
        letter = letters[-1] if letters else None
        word = max(refund.results if last is not None else self._of_events(), key=lambda r: r.at, default=None)
        if last is not None and not self._answered(last):
            return ""
        if word is not None and word.outcome in _WORDS and (letter is None or word.at > letter.at):
            return _WORDS[word.outcome]
        if letter is not None:
            return "held" if letter.error_class == "held" else "refused"
        return {"HELD": "held", "REFUSED": "refused"}.get(word.outcome if word is not None else "", "")

    def _answered(self, command: CommandSeen) -> bool:
        """Whether a result or a letter is about this command. Its waiting is none: the ledger would say so still."""
        if any(r.version == command.version and r.outcome != "WAITING" for r in self.refund.results):
            return True
        return any(letter.version == command.version for letter in self.refund.letters)

    def _of_events(self) -> list[ResultSeen]:
        """What the streams said of the events, where they made no command: of the order, or of the refund alone."""
        versions = {seen.version for seen in self.refund.events}
        said = [r for r in self.case.dossier.results if r.version in versions and r.outcome in _WORDS]
        return [r for r in said if r.outcome != "UNCHANGED" and not (r.kind == "order_refund" and r.command_id)]

    def _on_its_way(self) -> str:
        """in_flight, where somebody is still to handle it."""
        at, refund = self.at, self.refund
        if at is None:
            return ""
        if refund.commands:
            last = max(refund.commands, key=lambda command: command.offset)
            if not at.before(last):
                return "in_flight" if at.recent(last.at) else ""
            if at.silent(last.org, last.at):
                text = f"its command {_where(last)} waits for {span(at.now - last.at)}, and the sink says nothing"
                self._say("not_taken", text)
            return "in_flight"
        heard = at.workers_at if self._unread() is not None else LONG_AGO
        return "in_flight" if at.recent(max(refund.came, heard)) else ""

    def _unread(self) -> OrderSeen | None:
        """The event of it that no worker has read."""
        read = self.at.read if self.at is not None else {}
        return next((seen for seen in self.refund.events if seen.offset >= read.get(seen.partition, 0)), None)

    def _lost(self) -> str:
        refund = self.refund
        name = f"refund {refund.id}"
        if refund.commands:
            last = max(refund.commands, key=lambda command: command.offset)
            self._say("refund_lost", f"{name}: its command {_where(last)} has neither an end nor a dead letter")
        elif refund.events:
            seen = refund.events[-1]
            unread = self.at is not None and self._unread() is not None
            what = "and no worker has read it" if unread else "and neither a credit note nor a dead letter came of it"
            where = f"{ORDERS}:{seen.partition}:{seen.offset}"
            text = f"{name} came {moment(seen.received_at)} ({where}), {what}"
            self._say("refund_not_read" if unread else "refund_lost", text)
        else:
            self._say("refund_lost", f"{name} is in the ledger without an end, and its command is on no topic")
        return "lost"

    def _say(self, code: str, text: str, number: str | None = None) -> None:
        self._off.append((code, text, self.refund.number if number is None else number))


def _where(command: CommandSeen) -> str:
    return f"{commands(command.org)}:0:{command.offset}"
