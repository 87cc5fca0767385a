"""An invoice and its payments in Xero beside what was posted: each difference with both sides. Pure.

A credit note and the money back are compared in the same way.

"What was posted" is the ledger's entry and the command of that version; either may be missing, and then only what the
other one knows is compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

from k2x.audit.documents import CreditNote, Invoice, Payment
from k2x.audit.facts import AccountSum, CommandSeen, EntrySeen, OrderSeen, TenderSeen
from k2x.in_words import moment, plain

_CENT = Decimal("0.01")
Difference = tuple[str, str]
"""A code of k2x.audit.finding, and the sentence."""
# The differences of two documents are told of a credit note under codes of its own: other things are to be done.
NOTE_CODES = {
    "renumbered": "credit_note_renumbered",
    "amount": "credit_note_amount",
    "accounts": "credit_note_accounts",
    "date": "credit_note_date",
    "contact": "credit_note_contact",
    "reference": "credit_note_reference",
    "credited": "credit_note_allocated",
    "payment_deleted": "refund_payment_deleted",
    "payment_amount": "refund_payment_amount",
    "payment_account": "refund_payment_account",
    "payment_foreign": "refund_payment_foreign",
    "payment_doubled": "refund_doubled",
    "overpaid": "refund_doubled",
    "not_paid": "refund_unpaid",
}


@dataclass(frozen=True)
class Posted:
    """One side: what k2x says it has posted. `payments`: the ledger's entries of the order's payments. `credited`: what
    of an invoice is settled by credit notes of ours, or of a credit note put to its invoice, which was unpaid."""

    entry: EntrySeen | None
    command: CommandSeen | None
    payments: Sequence[EntrySeen] = ()
    credited: Decimal = Decimal(0)

    @property
    def number(self) -> str:
        if self.entry is not None and self.entry.number:
            return self.entry.number
        return self.command.number if self.command is not None else ""

    def tenders(self) -> list[tuple[str, TenderSeen]]:
        """(marker, tender) of each payment that must stand in Xero; where credit was allocated, those of the ledger."""
        if self.command is not None and self.credited:
            paid = {one.ordinal: one.total for one in self.payments if one.state == "POSTED" and one.total is not None}
            return [
                (f"{self.number}/{tender.ordinal}", replace(tender, amount=paid[tender.ordinal]))
                for tender in self.command.tenders
                if tender.ordinal in paid
            ]
        if self.command is not None:
            return [(f"{self.number}/{tender.ordinal}", tender) for tender in self.command.tenders]
        return [
            (entry.number, TenderSeen(entry.ordinal, "", "", entry.total))
            for entry in self.payments
            if entry.state == "POSTED" and entry.total is not None
        ]


def invoice(posted: Posted, theirs: Invoice) -> Iterator[Difference]:
    """Number, money, accounts, date, contact and reference. Payments are `payments`'."""
    entry, command = posted.entry, posted.command
    name = theirs.number
    if posted.number and theirs.number.casefold() != posted.number.casefold():
        yield (
            "renumbered",
            f"the {theirs.what} was posted as {posted.number} and is {theirs.number or 'without a number'} now",
        )
    ours = _money(posted)
    if ours is not None and ours != (theirs.total, theirs.total_tax, theirs.currency):
        total, tax, currency = ours
        yield (
            "amount",
            f"{name} was posted with {plain(total)} {currency}, tax {plain(tax)}, and has {plain(theirs.total)} "
            f"{theirs.currency}, tax {plain(theirs.total_tax)} now",
        )
    elif command is not None and command.sums and theirs.sums:
        moved = _moved(command.sums, theirs.sums)
        if moved:
            yield "accounts", f"{name}'s lines were posted on other accounts or tax types: {moved}"
    if command is not None and command.date is not None and theirs.date not in (None, command.date):
        yield "date", f"{name} was posted with the date {command.date} and has {theirs.date} now"
    if entry is not None and entry.contact_id and entry.contact_id.casefold() != theirs.contact_id.casefold():
        yield "contact", f"{name} was posted for contact {entry.contact_id} and belongs to {theirs.contact_id} now"
    if command is not None and command.reference != theirs.reference:
        yield (
            "reference",
            f"{name} was posted with the reference {command.reference!r} and has {theirs.reference!r} now",
        )
    if theirs.credited > posted.credited:
        more = plain(theirs.credited - posted.credited)
        yield "credited", f"{name} has {more} {theirs.currency} credited, which k2x did not do"
    elif theirs.credited < posted.credited and isinstance(theirs, CreditNote):  # of an invoice: it is not paid then
        yield (
            "allocation_deleted",
            f"{plain(posted.credited)} {theirs.currency} of {name} were put to its invoice, and "
            f"{plain(theirs.credited)} are now",
        )


def _money(posted: Posted) -> tuple[Decimal, Decimal, str] | None:
    entry, command = posted.entry, posted.command
    if entry is not None and entry.total is not None and entry.total_tax is not None:
        return entry.total, entry.total_tax, entry.currency
    return (command.total, command.tax, command.currency) if command is not None else None


def _moved(ours: Sequence[AccountSum], theirs: Sequence[AccountSum]) -> str:
    """Accounts whose sums differ by more than a cent a line, both sides; empty where they agree."""
    mine = {(one.account, one.tax_type): one for one in ours}
    other = {(one.account, one.tax_type): one for one in theirs}
    parts = []
    for names in sorted(mine.keys() | other.keys()):
        here, there = mine.get(names), other.get(names)
        before, now = (one.amount if one else Decimal(0) for one in (here, there))
        if (here is None) != (there is None) or abs(before - now) > _CENT * max(
            one.lines for one in (here, there) if one
        ):
            parts.append(f"{' '.join(filter(None, names)) or 'no account'} had {plain(before)} and has {plain(now)}")
    return ", ".join(parts)


def payments(posted: Posted, theirs: Invoice, known: Sequence[Payment]) -> Iterator[Difference]:
    """`known`: what the list of payments says of this invoice's payments and of those with its markers."""
    details = {payment.id.casefold(): payment for payment in known}
    left = list(theirs.payments)
    name, currency = theirs.number, theirs.currency
    found = False
    for marker, tender in posted.tenders():
        mine = [payment for payment in left if payment.marker.casefold() == marker.casefold()]
        left = [payment for payment in left if payment not in mine]
        here = list(_tender(marker, tender, mine, known, details, theirs))
        found = found or bool(here)
        yield from here
    for payment in left:
        found = True
        where = _account(details.get(payment.id.casefold()))
        yield (
            "payment_foreign",
            f"{name} has a payment of {plain(payment.amount)} {currency}{where} that k2x did not post"
            + (f" ({payment.reference!r})" if payment.reference else ""),
        )
    yield from _elsewhere(posted, theirs, known)
    ours = _money(posted)
    most = max(theirs.total, ours[0]) if ours is not None else theirs.total  # a total cut by hand is its own finding
    if theirs.paid + theirs.credited > most:
        yield "overpaid", f"{name} has payments of {plain(theirs.paid)} for a total of {plain(theirs.total)} {currency}"
    elif isinstance(theirs, CreditNote) and theirs.credited < posted.credited:
        return  # told as that
    elif not found and (theirs.amount_due or theirs.status != "PAID"):
        due = f"{plain(theirs.amount_due)} {currency}"
        yield "not_paid", f"{name} was posted as paid and is {theirs.status}, with {due} open"


def _tender(
    marker: str,
    tender: TenderSeen,
    mine: Sequence[Payment],
    known: Sequence[Payment],
    details: dict[str, Payment],
    theirs: Invoice,
) -> Iterator[Difference]:
    amount = f"{plain(tender.amount)} {theirs.currency}"
    if not mine:
        gone = next((p for p in known if p.marker.casefold() == marker.casefold() and not p.living), None)
        when = f", deleted {moment(gone.updated_at)}" if gone is not None and gone.updated_at else ""
        yield "payment_deleted", f"payment {marker} of {amount} is no longer on {theirs.number}{when}"
        return
    if len(mine) > 1:
        amounts = " and ".join(plain(payment.amount) for payment in mine)
        yield "payment_doubled", f"payment {marker} is on {theirs.number} {len(mine)} times: {amounts}, for {amount}"
    payment = mine[0]
    if payment.amount != tender.amount:
        yield "payment_amount", f"payment {marker} was posted with {amount} and has {plain(payment.amount)} now"
    detail = details.get(payment.id.casefold())
    if detail is not None and not _same_account(tender, detail):
        yield (
            "payment_account",
            f"payment {marker} of {amount} was posted on account {tender.account or tender.account_id} and is"
            f"{_account(detail)} now",
        )


def _elsewhere(posted: Posted, theirs: Invoice, known: Sequence[Payment]) -> Iterator[Difference]:
    markers = {marker.casefold() for marker, _ in posted.tenders()}
    for payment in known:
        other = payment.invoice_id.casefold() != theirs.id.casefold()
        if payment.living and other and payment.marker.casefold() in markers:
            amount = f"{plain(payment.amount)} {theirs.currency}"
            text = f"payment {payment.marker} of {amount} is on another {theirs.what} of Xero's"
            yield "payment_elsewhere", f"{text} (id {payment.invoice_id})"


def unledgered(posted: Posted, theirs: Invoice) -> Iterator[Difference]:
    """Payments of ours in Xero that the ledger, which knows the invoice, does not know."""
    known = {entry.number.casefold() for entry in posted.payments if entry.state == "POSTED"}
    for marker, _ in posted.tenders():
        there = any(payment.marker.casefold() == marker.casefold() for payment in theirs.payments)
        if there and marker.casefold() not in known:
            yield "ledger_missing", f"payment {marker} is in Xero, and the ledger has no entry of it"


def _same_account(tender: TenderSeen, payment: Payment) -> bool:
    if tender.account_id and payment.account_id:
        return tender.account_id.casefold() == payment.account_id.casefold()
    return not (tender.account and payment.account) or tender.account == payment.account


def _account(payment: Payment | None) -> str:
    code = (payment.account or payment.account_id) if payment is not None else ""
    return f" on account {code}" if code else ""


def source(entry: EntrySeen | CommandSeen, versions: Sequence[OrderSeen]) -> Iterator[Difference]:
    """Whether what was posted is what a version of the order said. `versions`: those it may have been made from."""
    total = entry.total
    tax = entry.total_tax if isinstance(entry, EntrySeen) else entry.tax
    if total is None or not versions:
        return
    if any(_says(seen, total, tax, entry.currency) for seen in versions):
        return
    seen = versions[-1]
    yield (
        "posted_otherwise",
        f"{entry.number} was posted with {plain(total)} {entry.currency}, tax {plain(tax)}; the order's version "
        f"{seen.version.isoformat()} has {plain(seen.total)} {seen.currency or ''}, tax {plain(seen.tax)}",
    )


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, ROUND_HALF_UP)


def _says(seen: OrderSeen, total: Decimal, tax: Decimal | None, currency: str) -> bool:
    same = _cents(seen.total) == total and (tax is None or _cents(seen.tax) == tax)
    return same and seen.currency in (None, currency)  # Xperience by Kentico names no currency: a rule does
