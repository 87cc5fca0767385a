"""Whether an order, or a refund, is in exactly one summary, and in no document of its own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from k2x.audit.case import Case
from k2x.audit.differences import Difference
from k2x.audit.facts import EntrySeen
from k2x.audit.shares import Share, does_not_add_up
from k2x.in_words import plain


def of_order(case: Case) -> Iterator[Difference]:
    """What is off with where a collected order is."""
    entry = case.entry
    if entry is None:
        return
    yield from _places(entry, case.memberships, "the order")
    for other in case.copies:
        yield (
            "order_beside_summary",
            f"{other.number or 'an invoice without a number'} ({other.status}, {plain(other.total)} {other.currency}) "
            f"is in Xero for the order by itself, and summary {entry.number} holds the order as well",
        )
    command = case.command
    wrong = does_not_add_up(command) if command is not None else ""
    if wrong:
        yield "summary_part", f"in {entry.number}, {wrong}"


def of_posted_order(case: Case) -> Iterator[Difference]:
    """The same of an order that was posted by itself: no summary may hold it."""
    for number in sorted({member.number for member in case.memberships}):
        yield (
            "order_beside_summary",
            f"{case.posted.number} was posted for the order by itself, and summary {number} holds it",
        )


def _places(entry: EntrySeen, members: Iterable[EntrySeen], what: str) -> Iterator[Difference]:
    named = {member.summary: member.number for member in members}
    if entry.summary not in named:
        yield "order_in_no_summary", f"the ledger has {what} in summary {entry.number}, which does not count it"
    for summary, number in sorted(named.items()):
        if summary != entry.summary:
            yield "order_in_two_summaries", f"{what} is in summary {entry.number}, and in {number or summary} as well"


def of_refund(entry: EntrySeen, entries: Iterable[EntrySeen]) -> Iterator[Difference]:
    """Likewise of a collected refund; `entries`: the ledger's of this refund."""
    members = [one for one in entries if one.kind == "member" and one.state != "VOIDED"]
    yield from _places(entry, members, "the refund")


def share_of(case: Case) -> Share | None:
    """What it adds to its summary; None where it is in none."""
    entry = case.entry
    if entry is None or not case.in_summary or not entry.summary:
        return None
    return Share(entry.org, entry.summary, entry.number, entry, case.command, case.dossier.late)
