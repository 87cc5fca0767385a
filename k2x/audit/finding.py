"""What can be wrong between topics, ledger and Xero: the table of codes, each with its kind and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

# In the order they are printed: money that is missing comes first.
KINDS = ("lost", "doubled", "drifted", "unmatched", "stuck")

_AGAIN = "send the order again (save it in Kentico, or replay it): nothing is posted twice."
_MEANT = "unless a bookkeeper meant it."
_REFUND_AGAIN = "send the refund again (from its sender, or by replaying the order): none is made twice."

# code → (kind, what to do next). {trace}: the command that tells the order's story; {summary}: that shows the summary;
# {org}: the organisation.
CODES: dict[str, tuple[str, str]] = {
    # came in, and is nowhere
    "no_trace": ("lost", "See {trace}, then " + _AGAIN),
    "not_read": ("lost", "Start the workers (`k2x run streams`, or `k2x up`): it goes on from there."),
    "no_outcome": ("lost", "See {trace}, report it, and " + _AGAIN),
    "version_lost": ("lost", "See {trace}, then " + _AGAIN),
    "hint_not_read": ("lost", "Start the reader (`k2x run reader`, or `k2x up`): it goes on from there."),
    "hint_without_order": ("lost", "Look whether the order exists in Kentico, then " + _AGAIN),
    "refund_lost": ("lost", "See {trace}, then " + _REFUND_AGAIN),
    "refund_not_read": ("lost", "Start the workers (`k2x run streams`, or `k2x up`): it goes on from there."),
    "order_in_no_summary": ("lost", "See {trace}, report it, and " + _AGAIN),
    "summary_unknown": (
        "lost",
        "Report it: nobody closes this summary. `k2x ledger rebuild` collects its orders anew.",
    ),
    "settlement_lost": ("lost", "See {trace}, then send the settlement again: nothing is posted twice."),
    # there more than once
    "order_in_two_summaries": (
        "doubled",
        "Report it; correct it by a credit note in Xero for the summary that is too much: see {summary}.",
    ),
    "order_beside_summary": ("doubled", "Void the order's own invoice in Xero: the day's summary holds it."),
    "duplicate_summary": ("doubled", "Void the copy in Xero; see {summary} for the one that k2x has posted."),
    "duplicate_invoice": ("doubled", "Void the copy in Xero; the order's own invoice is the one that k2x has posted."),
    "former_not_credited": (
        "doubled",
        "Enter the credit note in Xero again, with its payments: the order's newer invoice is its only one.",
    ),
    "payment_doubled": ("doubled", "Delete the second payment in Xero."),
    "overpaid": ("doubled", "Delete the payment that is too much in Xero."),
    "duplicate_credit_note": ("doubled", "Void the copy in Xero, unless the customer was given the money back twice."),
    "refund_doubled": ("doubled", "Delete the second payment of the credit note in Xero, unless it was paid out."),
    "settlement_doubled": ("doubled", "Delete the copy in Xero: the bank's statement shows it once."),
    # in Xero otherwise than it was posted
    "voided": ("drifted", "If the money was kept, enter the invoice in Xero again, under a number of its own."),
    "renumbered": ("drifted", "Give the invoice its number back: with ledger and results lost it is posted again."),
    "amount": ("drifted", "Put the amount back in Xero, and use a credit note for what is to change."),
    "accounts": ("drifted", f"Put the accounts back in Xero, {_MEANT}"),
    "date": ("drifted", f"Put the date back in Xero, {_MEANT}"),
    "contact": ("drifted", "Give the invoice its contact back, unless the two contacts were merged."),
    "reference": ("drifted", "Put the reference back: an order's copies are found by it."),
    "credited": ("drifted", "Take the credit off in Xero, unless the customer was given the money back."),
    "payment_deleted": ("drifted", "Enter the payment in Xero again, with the same reference, unless it was returned."),
    "payment_amount": ("drifted", "Delete the payment in Xero and enter it as it was."),
    "payment_account": ("drifted", "Delete the payment in Xero and enter it on the account that took the money."),
    "payment_foreign": ("drifted", "Delete it in Xero, unless it stands for one that k2x has posted."),
    "not_paid": ("drifted", "See {trace}, and enter what is missing in Xero."),
    "posted_otherwise": ("drifted", "See {trace} and report it: what was posted is not what Kentico said."),
    "credit_note_voided": ("drifted", "If the money was given back, enter the credit note in Xero again."),
    "credit_note_renumbered": ("drifted", "Give the credit note its number back: the refund is found by it."),
    "credit_note_amount": ("drifted", "Put the amount back in Xero: the customer got what the refund says."),
    "credit_note_accounts": ("drifted", f"Put the accounts back in Xero, {_MEANT}"),
    "credit_note_date": ("drifted", f"Put the date back in Xero, {_MEANT}"),
    "credit_note_contact": ("drifted", "Give the credit note its contact back, unless the two contacts were merged."),
    "credit_note_reference": ("drifted", "Put the reference back, which is its number: it is found by it."),
    "credit_note_allocated": ("drifted", "Take the allocation off in Xero: the money was given back in cash."),
    "allocation_deleted": (
        "drifted",
        "Allocate the credit note to its invoice in Xero again, unless that was paid and the money given back.",
    ),
    "void_undone": ("drifted", "Void the invoice in Xero again, unless the order is owed after all."),
    "refund_payment_deleted": (
        "drifted",
        "Enter the money back in Xero again, with the same reference, unless it came back to the shop.",
    ),
    "refund_payment_amount": ("drifted", "Delete the payment of the credit note and enter it as it was."),
    "refund_payment_account": ("drifted", "Delete it and enter it on the account that the money went out of."),
    "refund_payment_foreign": ("drifted", "Delete it in Xero, unless it stands for one that k2x has posted."),
    "refund_unpaid": ("drifted", "See {trace}, and enter in Xero the payment that is missing."),
    "refunded_otherwise": ("drifted", "See {trace} and report it: what was given back is not what Kentico said."),
    "over_refunded": ("drifted", "Correct the credit notes in Xero: together they exceed what was sold."),
    "summary_voided": ("drifted", "Enter the summary in Xero again, under its number: {summary} lists its orders."),
    "summary_amount": ("drifted", "Put the amounts back in Xero, to the sums that {summary} shows."),
    "summary_accounts": ("drifted", f"Put accounts and taxes back in Xero, to the sums of its orders, {_MEANT}"),
    "summary_tenders": ("drifted", "Put the payments back in Xero, each on its account: {summary} shows them."),
    "summary_part": ("drifted", "See {trace} and report it: what the order gave to its summary is not what it is."),
    "settlement_deleted": (
        "drifted",
        "Enter it in Xero again with the same reference: the clearing account is off.",
    ),
    "settlement_amount": ("drifted", "Put it back in Xero as it was posted: the payout is what the bank shows."),
    # one side has it, the other has not
    "summary_members": ("unmatched", "Report it: {summary} lists the orders that are in it."),
    "summary_missing": ("unmatched", "Look whether the organisation or its tenant was changed in k2x.yaml."),
    "summary_without_orders": ("unmatched", "Look whether the ledger's topic was deleted: `k2x topics describe`."),
    "foreign_invoice": (
        "unmatched",
        "Void it in Xero if it is a copy; else give it a number without a store's prefix.",
    ),
    "possible_double": ("unmatched", "Compare both in Xero, and void the copy if it is one."),
    "document_missing": ("unmatched", "Look whether the organisation or its tenant was changed in k2x.yaml."),
    "ledger_missing": (
        "unmatched",
        "Nothing is lost, but a replay would ask Xero first: see {trace} for who took it out.",
    ),
    "source_missing": ("unmatched", "Look whether the source topic was deleted, or expires: `k2x topics describe`."),
    "payment_elsewhere": ("unmatched", "Correct the payment in Xero: its reference names another document."),
    "foreign_credit_note": (
        "unmatched",
        "If the money was given back, let the shop refund it in Kentico as well; else void it in Xero.",
    ),
    "possible_double_refund": ("unmatched", "Compare both in Xero, and void the copy if it is one."),
    "credit_note_missing": ("unmatched", "Look whether the organisation or its tenant was changed in k2x.yaml."),
    "settlement_foreign": ("unmatched", "Look whether a person entered it; give it another reference if it is meant."),
    # begun, and nobody goes on with it
    "intention_open": ("stuck", "Look whether the sink runs (`k2x run sink`): it asks Xero, and goes on by itself."),
    "summary_overdue": ("stuck", "Look whether the sink runs (`k2x run sink`), and what {trace} says of the summary."),
    "waiting_overdue": ("stuck", "Start the sink (`k2x run sink`, or `k2x up`): it goes on by itself."),
    "not_taken": ("stuck", "Start the sink (`k2x run sink`, or `k2x up`); if it runs, its log says why it is refused."),
    "refund_open": ("stuck", "Look whether the sink runs (`k2x run sink`): it asks Xero, and goes on by itself."),
    "settlement_open": ("stuck", "Look whether the sink runs (`k2x run sink`): it asks Xero, and goes on by itself."),
    "refund_overdue": ("stuck", "Start the sink (`k2x run sink`, or `k2x up`): it goes on by itself."),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is off, in one sentence, with its place. `order`: instance|OrderID, empty where none is known."""

    code: str
    org: str
    store: str
    order: str
    number: str
    text: str
    day: date | None = None

    @property
    def kind(self) -> str:
        """One of KINDS."""
        return CODES[self.code][0]

    @property
    def next(self) -> str:
        """What to do."""
        place = self.store if self.store.partition("/")[2] else self.order.partition("|")[0]
        own = self.order.partition("|")[2]
        trace = f"`k2x trace {self.number if '/' in own else f'{place}/{own}'}`"
        return CODES[self.code][1].format(trace=trace, org=self.org, summary=f"`k2x summary show {self.number}`")

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "code": self.code,
            "org": self.org or None,
            "store": self.store or None,
            "order": self.order or None,
            "invoice": self.number or None,
            "day": self.day.isoformat() if self.day else None,
            "text": self.text,
            "next": self.next,
        }
