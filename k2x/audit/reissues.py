"""Invoices of an order that were credited as a whole and issued anew: each beside the credit note that took it back.

Told by their numbers in Xero (W-1, CN-W-1-reissue1, W-1-R2) and by the ledger, whichever knows of them. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from k2x.audit import differences
from k2x.audit.differences import Difference, Posted
from k2x.audit.documents import CreditNote, Invoice, Payment
from k2x.audit.facts import CommandSeen, EntrySeen
from k2x.in_words import plain

MARK = "@"  # begins what a reissue's credit note has in the place of a refund's id
_ISSUED = re.compile(r"-R(\d+)$")


@dataclass(frozen=True)
class Former:
    """One invoice that has a successor. `entry`: the ledger's of it; `note`: the credit note that takes it back."""

    number: str
    entry: EntrySeen | None
    invoice: Invoice | None
    note: CreditNote | None

    @property
    def taken_back(self) -> bool:
        """Its money counts no more."""
        return self.note is not None and self.note.living


def note_number(number: str) -> str:
    """The number of the credit note that takes an invoice back."""
    issued = _ISSUED.search(number)
    return f"CN-{number}-reissue{issued[1] if issued else 1}"


def first_number(number: str) -> str:
    """The number under which the order's invoice was issued first."""
    return _ISSUED.sub("", number)


def formers(
    key: str,
    org: str,
    entries: Collection[EntrySeen],
    invoices: Collection[Invoice],
    credits: Collection[CreditNote],
) -> list[Former]:
    """Of an order: what the ledger calls credited, and what Xero shows as taken back beside a successor."""
    own = {e.number.casefold(): e for e in entries if e.org == org and _is_former(e, key)}
    living = [e.xero_id.casefold() for e in entries if e.org == org and e.ledger_key == f"{key}|invoice|0"]
    notes = {note.number.casefold(): note for note in sorted(credits, key=lambda note: note.living)}
    found = []
    for number in {*own, *(i.number.casefold() for i in invoices if note_number(i.number).casefold() in notes)}:
        entry, note = own.get(number), notes.get(note_number(number).casefold())
        by_id = entry.xero_id.casefold() if entry is not None else ""
        fitting = [i for i in invoices if i.id.casefold() == by_id] or [
            i for i in sorted(invoices, key=lambda i: not i.living) if i.number.casefold() == number
        ]
        invoice = fitting[0] if fitting else None
        if invoice is not None and invoice.id.casefold() in living:
            continue  # it is being credited: so far it is the order's own
        name = entry.number if entry is not None else invoice.number if invoice is not None else number
        found.append(Former(name, entry, invoice, note))
    return sorted(found, key=lambda former: former.number)


def _is_former(entry: EntrySeen, key: str) -> bool:
    return entry.ledger_key.startswith(f"{key}|invoice|") and entry.status == "CREDITED"


def judge(
    former: Former, commands: Sequence[CommandSeen], entries: Sequence[EntrySeen], known: Sequence[Payment]
) -> Iterator[Difference]:
    """What is off with it. `commands`: the order's sales; `known`: what the list of payments says."""
    entry, mine, note = former.entry, former.invoice, former.note
    if mine is None:
        yield "document_missing", f"{former.number} was posted, then issued anew, and is not in Xero"
    elif not mine.living:
        yield "voided", f"{former.number} was posted, then credited and issued anew, and is {mine.status} in Xero"
    elif entry is not None:
        command = next((c for c in commands if (c.hash, c.version) == (entry.hash, entry.version)), None)
        posted = Posted(entry, command, payments_of(entry.number, entries))
        yield from differences.invoice(posted, mine)
        yield from differences.payments(posted, mine, known)
    if note is None or not note.living:
        if mine is not None and mine.living:
            state = f"is {note.status}" if note is not None else "is not in Xero"
            yield "former_not_credited", f"{former.number} was issued anew, and its credit note {state}"
        return
    if mine is not None:
        yield from ((differences.NOTE_CODES.get(code, code), text) for code, text in _taken_back(mine, note, known))


def _taken_back(mine: Invoice, note: CreditNote, known: Sequence[Payment]) -> Iterator[Difference]:
    """The credit note must be its invoice, and its money must be back where it came from."""
    if (note.total, note.total_tax, note.currency) != (mine.total, mine.total_tax, mine.currency):
        yield (
            "amount",
            f"{note.number} is {plain(note.total)} {note.currency}, tax {plain(note.total_tax)}, and takes back "
            f"{mine.number} of {plain(mine.total)} {mine.currency}, tax {plain(mine.total_tax)}",
        )
    elif note.sums and mine.sums and _books(note) != _books(mine):
        yield "accounts", f"{note.number}'s lines are on other accounts or tax types than those of {mine.number}"
    if note.contact_id.casefold() != mine.contact_id.casefold():
        yield "contact", f"{note.number} belongs to contact {note.contact_id}, {mine.number} to {mine.contact_id}"
    if note.credited:
        yield "credited", f"{note.number} has {plain(note.credited)} {note.currency} allocated, which k2x did not do"
    if note.amount_due:
        yield "not_paid", f"of {note.number} {plain(note.amount_due)} {note.currency} was not given back"
    came, back = _accounts(mine, known), _accounts(note, known)
    if not note.amount_due and came is not None and back is not None and came != back:
        yield "payment_account", f"{note.number} gave money back by {_shown(back)}; it came by {_shown(came)}"


def _books(document: Invoice) -> list[tuple[str, str, Decimal]]:
    return [(one.account, one.tax_type, one.amount) for one in document.sums]


def _accounts(document: Invoice, known: Sequence[Payment]) -> Counter[tuple[str, Decimal]] | None:
    """Accounts and amounts of its payments; None where the list of payments does not know one."""
    details = {payment.id.casefold(): payment for payment in known}
    found = [details.get(payment.id.casefold()) for payment in document.payments]
    if any(one is None or not (one.account or one.account_id) for one in found):
        return None
    return Counter((one.account or one.account_id, one.amount) for one in found if one is not None)


def _shown(of: Counter[tuple[str, Decimal]]) -> str:
    return ", ".join(f"{plain(amount)} on {account}" for account, amount in sorted(of.elements())) or "nothing"


def payments_of(number: str, entries: Collection[EntrySeen]) -> list[EntrySeen]:
    """The ledger's of this invoice's payments: those of its former ones have numbers of their own."""
    own = number.casefold()
    return [e for e in entries if e.kind == "payment" and e.number.rpartition("/")[0].casefold() == own]
