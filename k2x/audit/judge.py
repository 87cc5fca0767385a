"""Decides what became of every order: pure, from the topics' facts and Xero's own documents.

Lost: came in, and has no end. Doubled: more than one living invoice, or one payment twice. Drifted: Xero differs from
the version posted. Unmatched: one side has what the other has not. Stuck: begun, and nobody goes on with it. What is on
its way is none of these: it stands above what its reader has committed, or came a moment ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from k2x.audit import differences, membership, reissues
from k2x.audit.case import Case
from k2x.audit.documents import Invoice
from k2x.audit.facts import EntrySeen, LetterSeen, OrderSeen
from k2x.audit.finding import Finding
from k2x.audit.refunds import RefundVerdict, judge_refunds
from k2x.audit.shares import Share
from k2x.audit.standpoint import LONG_AGO, Standpoint
from k2x.in_words import moment, plain, span
from schemas.topics import CHANGES, ORDERS, commands

_WORDS = {"SUPPRESSED": "suppressed", "CANCELLED": "suppressed", "WAITING": "waiting", "PARKED": "parked"}


@dataclass(frozen=True)
class Verdict:
    """One order. `state`: posted, suppressed, dead_lettered, waiting, parked, in_flight or lost.

    `kentico`: its total where it is in Xero or must be; `xero`: what Xero has for it, copies included, and without what
    was credited to be issued anew. `claims` and `credit_claims`: ids of the invoices, and of the credit notes of no
    refund, that it explains. `findings` are of the sale; each of its refunds has its own.
    `share`: what it adds to its day's summary, where it is in one.
    """

    key: str
    org: str
    store: str
    state: str
    day: date | None = None
    findings: tuple[Finding, ...] = ()
    invoice: Invoice | None = None
    letter: LetterSeen | None = None
    held: bool = False
    latency_s: float | None = None
    seen: OrderSeen | None = None
    kentico: Decimal = Decimal(0)
    xero: Decimal = Decimal(0)
    currency: str = ""
    claims: frozenset[str] = frozenset()
    credit_claims: frozenset[str] = frozenset()
    refunds: tuple[RefundVerdict, ...] = ()
    share: Share | None = None

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        """With those of its refunds."""
        return (*self.findings, *(finding for refund in self.refunds for finding in refund.findings))

    def found(self, kind: str) -> str:
        """What was found of a kind, refunds included; empty where nothing was."""
        return "; ".join(finding.text for finding in self.all_findings if finding.kind == kind)

    @property
    def doubled(self) -> str:
        return self.found("doubled")

    @property
    def drift(self) -> str:
        return self.found("drifted")


def judge(case: Case, at: Standpoint | None) -> Verdict | None:
    """The order's end and what is wrong with it. `at` None: the shop is at rest, so whatever has no end is lost.

    None: no order, but a hint that has its own end.
    """
    dossier = case.dossier
    # A summary that an order was taken out of is no more than a trace of it.
    entries = [entry for entry in dossier.entries if entry.kind != "member" or entry.state != "VOIDED"]
    known = dossier.orders or dossier.commands or entries
    if not known and (at is None or not dossier.hints or dossier.letters):
        return None
    return _Judgement(case, at).verdict()


class _Judgement:
    """One order under judgement; collects what is off on the way."""

    def __init__(self, case: Case, at: Standpoint | None) -> None:
        self.case = case
        self.at = at
        self._off: list[tuple[str, str, str]] = []

    def verdict(self) -> Verdict:
        case = self.case
        if case.dossier.late:
            return self._made("posted" if case.is_posted else "in_flight")
        if self._missing_in_ledger():
            return self._made("lost")
        if case.in_summary:
            return self._made(self._in_summary())
        if case.is_posted or self._left_by_ledger():
            self._posted()
            return self._made("posted")
        entry = case.entry
        begun = entry is not None and not ("VOIDED" in (entry.state, entry.was) and not entry.xero_id)
        # What stands under the number of an order that the sink never had in hands is nobody's.
        return self._made(self._unposted(), claims=begun)

    def _left_by_ledger(self) -> bool:
        """Xero has it, k2x has made it, and the ledger knows nothing."""
        sold = any(command.kind == "SALE" for command in self.case.dossier.commands)
        return self.case.entry is None and sold and self.case.invoice is not None and self.case.invoice.living

    # -- in a day's summary -------------------------------------------------------------------------------------

    def _in_summary(self) -> str:
        """Collected, or posted with its summary, whose document k2x.audit.daily judges."""
        case, entry = self.case, self.case.entry
        for code, text in membership.of_order(case):
            self._say(code, text)
        if not case.is_posted:
            return "waiting"
        if not case.dossier.orders:
            text = f"{case.dossier.key} was posted in summary {case.posted.number}, and {ORDERS} does not hold it"
            self._say("source_missing", text)
        for code, text in differences.source(entry, case.made_from) if entry is not None else ():
            self._say(code, text)
        self._newer_version()
        return "posted"

    def _missing_in_ledger(self) -> bool:
        """Its summary has counted it, and the ledger has no entry of its own."""
        if self.case.entry is not None or not self.case.memberships:
            return False
        number = self.case.memberships[0].number
        self._say(
            "order_in_no_summary", f"summary {number} counts it, and the ledger has no entry of the order", number
        )
        return True

    # -- posted -------------------------------------------------------------------------------------------------

    def _posted(self) -> None:
        case, mine, key = self.case, self.case.invoice, self.case.dossier.key
        entry = case.entry
        if not case.dossier.orders:
            self._say("source_missing", f"{case.posted.number} was posted for {key}, which {ORDERS} does not hold")
        if entry is None and mine is not None:
            self._say("ledger_missing", f"{mine.number} is in Xero, and the ledger has no entry of it")
        elif entry is None:
            self._say("document_missing", f"the results say that {key} was posted; neither ledger nor Xero has it")
        if mine is None and entry is not None:
            self._say("document_missing", f"{entry.number} was posted (id {entry.xero_id}) and is not in Xero")
        elif mine is not None and not mine.living:
            self._say("voided", f"{mine.number} was posted and is {mine.status} in Xero")
        elif mine is not None:
            self._compare(mine)
        for code, text in membership.of_posted_order(case):
            self._say(code, text)
        for copy in case.copies:
            beside = f" beside {mine.number}" if mine is not None and mine.living else ""
            self._say(
                "duplicate_invoice",
                f"{copy.number or 'an invoice without a number'} ({copy.status}, {plain(copy.total)} {copy.currency}, "
                f"reference {copy.reference!r}) is in Xero{beside} for the same order",
                copy.number,
            )
        self._newer_version()

    def _compare(self, mine: Invoice) -> None:
        case, posted = self.case, self.case.posted
        found = [*differences.invoice(posted, mine)]
        found += differences.payments(posted, mine, case.dossier.payments)
        written = case.entry if case.entry is not None else case.command
        if written is not None:
            found += differences.source(written, case.made_from)
        if case.entry is not None:
            found += differences.unledgered(posted, mine)
        for code, text in found:
            self._say(code, text)

    def _newer_version(self) -> None:
        """A version after the posted one must have a word of its own, or be on its way."""
        latest, entry = self.case.latest, self.case.entry
        if latest is None or entry is None or entry.version is None or latest.version <= entry.version:
            return
        if self.case.only_a_refund(latest):
            return  # no version of the order is anything else
        if self.case.word is None and self.case.letter is None and not self._on_its_way():
            text = f"posted as {entry.number}; the newer version {latest.version.isoformat()} left no trace"
            self._say("version_lost", text)

    # -- not posted ---------------------------------------------------------------------------------------------

    def _unposted(self) -> str:
        entry, word, letter = self.case.entry, self.case.word, self.case.letter
        if entry is not None and entry.state == "VOIDED":
            self._voided(entry)
            return "suppressed"  # deleted in Kentico before it was posted, or undone since, unpaid
        if entry is not None and entry.state == "WAITING":
            if self.at is not None and entry.retry_at is not None and self.at.silent(entry.org, entry.retry_at):
                self._say("waiting_overdue", f"it waits since {moment(entry.updated_at)}: {entry.reason}")
            return "waiting"
        if entry is not None and entry.state in ("INTENDED", "POSTED"):
            return self._open(entry)
        latest = self.case.latest
        if latest is not None and self.case.only_a_refund(latest):
            return "suppressed"  # never paid, so far as anything says
        if word is not None and word.outcome in _WORDS and (letter is None or word.at > letter.at):
            return _WORDS[word.outcome]
        if letter is not None:
            return "dead_lettered"
        if self._on_its_way():
            return "in_flight"
        self._say_lost()
        return "lost"

    def _voided(self, entry: EntrySeen) -> None:
        """Nothing of it is left in Xero."""
        mine = self.case.invoice
        if entry.xero_id and mine is not None and mine.living:
            self._say("void_undone", f"{mine.number} was voided, as it was refunded unpaid, and is {mine.status} now")

    def _open(self, entry: EntrySeen) -> str:
        """Begun and not ended: in the sink's hands, or forgotten by it."""
        at = self.at
        if at is None:
            self._say_lost()
            return "lost"
        own = [e for e in self.case.dossier.entries if e.org == entry.org and not e.refund]
        begun = [(e.intended_at, e.step) for e in own if e.intended_at]
        oldest, step = min(begun, default=(None, ""))
        if oldest is not None and at.now - oldest > max(at.lapse, at.grace):
            text = f"{entry.number}: its {step} was begun {span(at.now - oldest)} ago, and nothing was said since"
            self._say("intention_open", text)
        elif not self._on_its_way():
            self._say("intention_open", f"{entry.number} was begun, and the sink has gone past it without an end")
        return "in_flight"

    def _on_its_way(self) -> bool:
        """Whether somebody is still to handle the newest version. A backlog that nobody works on is a finding."""
        at, case = self.at, self.case
        if at is None:
            return False
        made = [one for one in case.commands if one.org == case.org and one.version >= case.since]
        if made:
            last = max(made, key=lambda command: command.offset)
            if not at.before(last):
                return at.recent(last.at)
            if at.silent(last.org, last.at):
                where, ago = f"{commands(last.org)}:0:{last.offset}", span(at.now - last.at)
                self._say("not_taken", f"its command {where} waits for {ago}, and the sink says nothing")
            return True
        return at.recent(max(self._came, self._reader_heard()))

    @property
    def _came(self) -> datetime:
        if self.case.latest is not None:
            return self.case.latest.received_at
        return max((hint.received_at for hint in self.case.dossier.hints), default=LONG_AGO)

    def _reader_heard(self) -> datetime:
        """When those who are still to read it were last heard of: they may be working on what lies before it."""
        at, latest = self.at, self.case.latest
        if at is None:
            return LONG_AGO
        if latest is None:
            return at.reader_at if self._hint_unread() else LONG_AGO
        return at.workers_at if latest.offset >= at.read.get(latest.partition, 0) else LONG_AGO

    def _hint_unread(self) -> bool:
        hint = next(reversed(self.case.dossier.hints), None)
        return self.at is not None and hint is not None and hint.offset >= self.at.hinted.get(hint.partition, 0)

    def _say_lost(self) -> None:
        at, latest, dossier = self.at, self.case.latest, self.case.dossier
        if latest is None and dossier.hints:
            hint, unread = dossier.hints[-1], self._hint_unread()
            where = f"{CHANGES}:{hint.partition}:{hint.offset}"
            what = "which no reader has read" if unread else "and neither the order nor a dead letter came of it"
            code = "hint_not_read" if unread else "hint_without_order"
            self._say(code, f"a hint of it came {moment(hint.received_at)} ({where}), {what}")
            return
        if any(command.version >= self.case.since for command in self.case.commands):
            last = max(self.case.commands, key=lambda command: command.offset)
            where = f"{commands(last.org)}:0:{last.offset}"
            self._say("no_outcome", f"its command {where} has neither an end in the ledger nor a dead letter")
        elif latest is not None:
            where = f"{ORDERS}:{latest.partition}:{latest.offset}"
            unread = at is not None and latest.offset >= at.read.get(latest.partition, 0)
            code = "not_read" if unread else "no_trace"
            what = "and no worker has read it" if unread else "and left no trace: no result and no dead letter"
            self._say(code, f"it came {moment(latest.received_at)} ({where}), {what}")

    # -- putting it together ------------------------------------------------------------------------------------

    def _say(self, code: str, text: str, number: str | None = None) -> None:
        self._off.append((code, text, self.case.posted.number if number is None else number))

    def _formers(self) -> None:
        """Invoices that were credited and issued anew: whole, and given back."""
        case = self.case
        sales = [command for command in case.commands if command.kind == "SALE"]
        for former in case.formers:
            for code, text in reissues.judge(former, sales, case.dossier.entries, case.dossier.payments):
                self._say(code, text, former.number)

    def _made(self, state: str, *, claims: bool = True) -> Verdict:
        case, mine = self.case, self.case.invoice
        if not case.dossier.late:
            self._formers()
        posted = state == "posted"
        seen = next(iter(case.made_from), case.latest) if posted else case.latest
        explained = case.copies if mine is None or case.in_summary else (mine, *case.copies)
        own = frozenset(i.id for i in explained) if claims else frozenset()
        currency = (seen.currency if seen is not None else None) or (case.command.currency if case.command else "")
        place = (case.org, case.store, case.dossier.key)
        former = {one.invoice.id: one for one in case.formers if one.invoice is not None}
        counted = own | {id_ for id_, one in former.items() if not one.taken_back}
        there = [i.total for i in case.dossier.invoices if i.living and i.id in counted]
        if case.in_summary and posted and mine is not None and mine.living and case.entry is not None:
            there.append(case.entry.total or Decimal(0))
        due = posted or state == "lost" or bool(there)
        return Verdict(
            case.dossier.key,
            case.org,
            case.store,
            state,
            day=case.day,
            findings=tuple(Finding(code, *place, number, text, case.day) for code, text, number in self._off),
            invoice=mine if posted else None,
            letter=case.held if posted else case.letter,
            held=posted and case.held is not None,
            latency_s=case.latency_s,
            seen=seen,
            kentico=seen.total if seen is not None and due else Decimal(0),
            xero=sum(there, Decimal(0)),
            currency=mine.currency if mine is not None else currency,
            claims=own | frozenset(former),
            credit_claims=frozenset(note.id for note in case.credits_of_reissues),
            refunds=judge_refunds(case, self.at),
            share=membership.share_of(case),
        )
