"""What a decision leaves on the topics: ledger entries, results and dead letters, built in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Final, Literal, cast

from connectors.xero.core.events import Letter, Record
from connectors.xero.core.state import Job, Refusal, Step
from schemas.letters import ErrorClass, Origin, Reason, letter_headers
from schemas.topics import commands
from schemas.types import Command, LedgerEntry, RefundNote, Result, Sale, Summary, Tender

_WAS = "was"  # in `extra` of a waiting entry: its document's own state
_SHARE = "refund:"  # in an invoice's, before a refund's id

DECISION = "x-decision"

When = Literal["refunds behind", "refunds once sold"]
"""In an invoice's extra, the refunds that wait for whatever of the order goes on, and those that wait for its sale."""
BEHIND: When = "refunds behind"
ONCE_SOLD: When = "refunds once sold"
_GENERATION = "generation"  # in an invoice's: how often it has been issued, where that is more than once
_NO_OLDER = "no older"  # and the version that it is issued anew for
_CREDITED_BY = "credited by"  # in a former one's
NOTE = "note"
"""In its credit note's until the money is back: what is credited, as JSON, fixed at the first intention."""
CREDITING = "CREDITING"
"""The status of a posted invoice from the intention of its credit note until that is paid back."""
_ALLOCATED = "allocated"  # in an invoice's: what of credit notes stands on it
ALLOCATE, CASH = "allocate", "cash"
"""In a credit note's, of an invoice that was unpaid: how much of it goes onto that, and how much back by each tender
(JSON, by ordinal). Fixed before the first of it is sent."""
_ALONE = "alone"  # and that a request of it alone was answered 404

ORDER, PART, MEMBER, SUMMARY = "order", "order_refund", "member", "summary"
"""Kinds of the ledger's entries about daily summaries: a collected order, a collected refund, that a summary holds it,
and a summary of refunds. A summary of orders is an `invoice`. SUMMARY is also the kind of a whole summary's result."""

COLLECTED: Final = "COLLECTED"
"""The state of what lies in a summary that is not posted yet, and the status in the results about it."""
_NEWER_HELD = "newer held"  # in a collected order's: the code of the letter that a newer version of it has

Outcome = Literal["POSTED", "ADOPTED", "UNCHANGED", "HELD", "REFUSED", "WAITING", "CANCELLED"]


def invoice_key(command_key: str) -> str:
    return f"{command_key}|invoice|0"


def former_key(command_key: str, generation: int) -> str:
    """Where an order's invoice stands that was credited and issued anew, or voided."""
    return f"{command_key}|invoice|{generation}"


def payment_key(command_key: str, ordinal: int, generation: int = 1) -> str:
    return f"{command_key}|payment|{ordinal if generation == 1 else f'{generation}/{ordinal}'}"


def credit_key(command_key: str, refund_id: str) -> str:
    return f"{command_key}|credit_note|{refund_id}"


def refund_key(command_key: str, refund_id: str, ordinal: int) -> str:
    return f"{command_key}|refund|{refund_id}/{ordinal}"


def allocation_key(command_key: str, refund_id: str) -> str:
    return f"{command_key}|allocation|{refund_id}"


def bank_key(command_key: str, step: Step) -> str:
    """Of a settlement's bank transaction, or its bank transfer."""
    return f"{command_key}|{step.value}|0"


def reissued(generation: int) -> str:
    """What the credit note of an invoice that is issued anew has in the place of a refund's id: no refund's has a @."""
    return f"@reissue{generation}"


def generation(of: LedgerEntry | None) -> int:
    """1, or how often the order's invoice has been issued."""
    return int(of["extra"].get(_GENERATION, "1")) if of is not None else 1


def next_number(of: LedgerEntry) -> str:
    """The number that the invoice gets when it is issued anew: W-1, W-1-R2, W-1-R3."""
    own = generation(of)
    return f"{str(of['number']).removesuffix(f'-R{own}')}-R{own + 1}"


def is_reissue(number: str | None, first: str) -> bool:
    """Whether this is the number of an order's invoice that was issued anew."""
    own, _, generation = (number or "").rpartition("-R")
    return own.casefold() == first.casefold() and generation.isdigit()


def reissue_number(of: LedgerEntry) -> str:
    """The number of the credit note by which this invoice is taken back."""
    return f"CN-{of['number']}-reissue{generation(of)}"


def crediting(of: LedgerEntry | None) -> bool:
    """The posted invoice is being credited, to be issued anew."""
    return of is not None and of["status"] == CREDITING


def renewed(of: LedgerEntry, command: Command, credited_by: LedgerEntry) -> tuple[LedgerEntry, LedgerEntry]:
    """The former invoice's entry, and the order's own, of which nothing is in Xero yet: its number is fixed."""
    own = generation(of)
    facts = {_CREDITED_BY: str(credited_by["number"])}
    former: LedgerEntry = {
        **settled(of), "key": former_key(command["key"], own), "ordinal": own, "state": "POSTED",
        "status": "CREDITED", "intention": None, "reason": f"issued anew as {next_number(of)}", "extra": facts,
    }  # fmt: skip
    behind = {str(name): of["extra"][name] for name in (BEHIND, ONCE_SOLD) if name in of["extra"]}
    fresh = entry(of["org"], of["key"], "invoice", of["updated_at"])
    fresh["number"] = next_number(of)
    fresh["extra"] = {**behind, _GENERATION: str(own + 1), _NO_OLDER: command["version"].isoformat()}
    return former, fresh


def voided(of: LedgerEntry, command: Command, reason: str) -> tuple[LedgerEntry, LedgerEntry]:
    """The voided invoice's entry, and the order's own: over, as if it had been deleted before it was posted. The number
    stays the order's."""
    own = generation(of)
    former: LedgerEntry = {
        **settled(of), "key": former_key(command["key"], own), "ordinal": own, "state": "VOIDED", "status": "VOIDED",
        "intention": None, "reason": reason, "extra": {},
    }  # fmt: skip
    over = of.copy()
    over["state"], over["status"], over["xero_id"], over["hash"] = "VOIDED", "VOIDED", None, None
    over["version"], over["observed_at"], over["reason"] = command["version"], command["observed_at"], reason
    return former, over


def outdated(of: LedgerEntry, version: datetime) -> bool:
    """The order is being issued anew for a later version."""
    least = of["extra"].get(_NO_OLDER)
    return least is not None and version < datetime.fromisoformat(least)


def summary_key(command: Command, part: Summary) -> str:
    """Of the day's first summary, or of its first one of refunds; supplements have -2, -3 behind it."""
    site = (command["store"] or "").partition("/")[2]
    letter, currency = ("R" if command["kind"] == "REFUND" else "S"), cast(Sale, command["body"])["currency"]
    return f"{command['instance']}|{site}/{letter}{part['day'].replace('-', '')}-{currency}"


def sales_of_day(refunds: str) -> str:
    """The key of the day's first summary of sales, by that of one of its refunds."""
    site, _, name = refunds.rpartition("/")
    return f"{site}/S{'-'.join(name.removeprefix('R').split('-')[:2])}"


def member_key(summary: str, name: str) -> str:
    """Where it is said that a summary holds an order (`instance|OrderID`) or refund (that and `|refundId`)."""
    return f"{summary}|member|{name}"


def of_summary(command: Command) -> bool:
    """A summary's own command: an order's key has no slash."""
    return command["kind"] in ("SALE", "REFUND") and "/" in command["key"].partition("|")[2]


def collected(of: LedgerEntry) -> bool:
    """Its command lies in a summary that is not posted yet."""
    return of["state"] == COLLECTED


def with_newer_held(of: LedgerEntry, code: str | None) -> LedgerEntry:
    """A collected order's entry, of which a newer version, or a deletion, has a letter of this code; None: no more."""
    extra = without(of, _NEWER_HELD)
    changed: LedgerEntry = {**of, "extra": extra if code is None else {**extra, _NEWER_HELD: code}}
    return changed


def newer_held(of: LedgerEntry) -> tuple[str | None, str | None]:
    """The code of that letter, and what a person reads of it."""
    code = of["extra"].get(_NEWER_HELD)
    return (
        (code, "posted as its summary held it; what came of it since is held: see its letter") if code else (None, None)
    )


def next_key(home: str, refund_id: str = "") -> str:
    """Where a later version waits while an earlier one of the same order does, and each refund behind them."""
    return f"{home}|next|{refund_id}" if refund_id else f"{home}|next"


def share(refund_id: str) -> str:
    """Where an invoice's entry says what a refund has taken of it."""
    return f"{_SHARE}{refund_id}"


def taken_by_others(sale: LedgerEntry, refund_id: str) -> Decimal:
    """What other refunds have taken of an invoice."""
    own = share(refund_id)
    parts = (Decimal(text) for name, text in sale["extra"].items() if name.startswith(_SHARE) and name != own)
    return sum(parts, Decimal(0))


def left(sale: LedgerEntry, note: RefundNote) -> Decimal:
    """What may be given back: the invoice less what other refunds have taken of it; nothing in another currency."""
    if sale["currency"] != note["currency"]:
        return Decimal(0)
    return Decimal(sale["total"] or "0") - taken_by_others(sale, note["refund_id"])


def refunds_wait(of: LedgerEntry) -> bool:
    """Refunds wait behind this sale."""
    return any(next_refunds(of, when) for when in (BEHIND, ONCE_SOLD))


def next_refunds(of: LedgerEntry, when: When) -> list[str]:
    """The ids of refunds that wait behind this invoice, in their order. Ids hold no spaces."""
    return of["extra"].get(when, "").split()


def with_next_refund(of: LedgerEntry, when: When, refund_id: str) -> LedgerEntry:
    """The invoice's entry with this refund behind it."""
    return _with_refunds(of, when, [*(one for one in next_refunds(of, when) if one != refund_id), refund_id])


def without_next_refund(of: LedgerEntry, when: When, refund_id: str) -> LedgerEntry:
    """The invoice's entry once its turn has come."""
    return _with_refunds(of, when, [one for one in next_refunds(of, when) if one != refund_id])


def _with_refunds(of: LedgerEntry, when: When, ids: list[str]) -> LedgerEntry:
    extra = without(of, when)
    changed: LedgerEntry = {**of, "extra": {**extra, when: " ".join(ids)} if ids else extra}
    return changed


def paid(of: LedgerEntry) -> bool:
    """All of a sale, or of a settlement, is done."""
    return standing(of) == "POSTED" and of["status"] == "PAID"


def cancelled(of: LedgerEntry) -> bool:
    """Deleted in Kentico before it was posted."""
    return standing(of) == "VOIDED" and of["xero_id"] is None and of["version"] is not None


def deleted(of: LedgerEntry, command: Command) -> None:
    """Fill the entry of an order that was deleted before it was posted: it is over."""
    of["state"], of["reason"] = "VOIDED", "deleted in Kentico before it was posted"
    of["version"], of["observed_at"] = command["version"], command["observed_at"]


def voided_for(of: LedgerEntry, note: RefundNote) -> LedgerEntry:
    """The entry of an unpaid invoice that was voided as a whole for this refund."""
    changed: LedgerEntry = {**of, "state": "VOIDED", "status": "VOIDED"}
    changed["reason"] = f"voided for refund {note['refund_id']}: it was unpaid"
    changed["extra"] = {**of["extra"], share(note["refund_id"]): note["total"]}
    return changed


def ended_unpaid(of: LedgerEntry) -> bool:
    """Its invoice is in Xero, and what was to be done with it has ended without its being paid."""
    return of["xero_id"] is not None and of["kind"] == "invoice" and standing(of) in ("REFUSED", "HELD")


def undone(of: LedgerEntry) -> bool:
    """Its invoice was voided because the order was refunded before it was paid."""
    return standing(of) == "VOIDED" and of["xero_id"] is not None


def allocated(of: LedgerEntry) -> Decimal:
    """What of this invoice is settled by credit notes."""
    return Decimal(of["extra"].get(_ALLOCATED, "0"))


def with_allocated(of: LedgerEntry, amount: Decimal) -> LedgerEntry:
    """The invoice's entry with so much more of it settled by a credit note."""
    changed: LedgerEntry = {**of, "extra": {**of["extra"], _ALLOCATED: f"{allocated(of) + amount:.2f}"}}
    return changed


def age(command: Command) -> tuple[datetime, datetime]:
    """Of two with one version the later observation wins (DESIGN §2)."""
    return command["version"], command["observed_at"]


def newer(command: Command, than: LedgerEntry) -> bool:
    """Than the version that the ledger has."""
    return age(command) > (than["version"], than["observed_at"])


def told_as(command: Command) -> str:
    """The kind of the result that says what became of the whole command."""
    if of_summary(command):
        return SUMMARY
    return {"REFUND": "order_refund", "SETTLEMENT": "settlement"}.get(command["kind"], "order")


def home(command: Command) -> str:
    """The ledger key of a command's main document: it holds the command while that waits."""
    body: Any = command["body"]
    match command["kind"]:
        case "SALE" | "CANCEL" | "REFUND":
            return invoice_key(command["key"])
        case "CONTACT":
            return str(body["key"])
        case "ITEM":
            return str(body["code"])
        case kind:
            return f"{command['key']}|{kind.lower()}|0"


def entry(org: str, key: str, kind: str, at: datetime, ordinal: int = 0) -> LedgerEntry:
    """An empty entry."""
    return {
        "org": org,
        "key": key,
        "kind": kind,
        "ordinal": ordinal,
        "state": "INTENDED",
        "xero_id": None,
        "number": None,
        "status": None,
        "hash": None,
        "version": None,
        "observed_at": None,
        "total": None,
        "total_tax": None,
        "currency": None,
        "contact_id": None,
        "intention": None,
        "command": None,
        "command_offset": None,
        "reason": None,
        "retry_at": None,
        "attempt": 0,
        "updated_at": at,
        "extra": {},
    }


def waiting(of: LedgerEntry, job: Job, reason: str, at: datetime, wait: float) -> LedgerEntry:
    """The entry with its command: from now on the ledger drives it, and its record is finished. What the document was,
    posted or held or voided, stays known."""
    kept = kept_headers(job) | {_WAS: standing(of)}
    changed: LedgerEntry = {
        **of,
        "state": "WAITING",
        "command": job.value,
        "command_offset": job.origin,
        "reason": reason,
        "retry_at": at + timedelta(seconds=wait),
        "extra": {**of["extra"], **kept},
    }
    return changed


def behind(of: LedgerEntry, job: Job, reason: str, at: datetime) -> LedgerEntry:
    """The entry with a command that comes when its turn has come: the ledger does not drive it by itself."""
    kept = waiting(of, job, reason, at, 0.0)
    kept["state"], kept["retry_at"] = "HELD", None
    return kept


def still_waiting(of: LedgerEntry) -> LedgerEntry:
    """The entry changed while the command that it holds waits outside of memory: the ledger drives it all the same."""
    changed: LedgerEntry = {**of, "state": "WAITING", "extra": {**of["extra"], _WAS: of["state"]}}
    return changed


def standing(of: LedgerEntry) -> str:
    """The document's own state, whether or not a command waits in its entry."""
    return of["extra"].get(_WAS, "INTENDED") if of["state"] == "WAITING" else of["state"]


def alone(of: LedgerEntry) -> LedgerEntry:
    """The entry of an order that leaves memory after a request of it alone was answered 404."""
    changed: LedgerEntry = {**of, "extra": {**of["extra"], _ALONE: "404"}}
    return changed


def was_alone(of: LedgerEntry) -> bool:
    return _ALONE in of["extra"]


def settled(of: LedgerEntry) -> LedgerEntry:
    """The entry without a waiting command."""
    own = (_WAS, _ALONE)
    extra = {name: value for name, value in of["extra"].items() if not name.startswith("h:") and name not in own}
    changed: LedgerEntry = {**of, "command": None, "command_offset": None, "retry_at": None, "extra": extra}
    return changed


def moved(
    of: LedgerEntry, command: Command, currency: str, tender: Tender, marker: str, paid: Mapping[str, Any]
) -> None:
    """Fill the entry of a payment, or of money back, that Xero holds as `paid`. What is needed to give it back the same
    way stands in `extra`. The account is the tender's, unless Xero shows another; within a document it shows none."""
    shown = paid.get("Account") or {}
    account = tender["account_id"] or tender["account_code"]
    if shown and account not in (shown.get("AccountID"), shown.get("Code")):
        account = shown.get("AccountID") or shown.get("Code") or account
    of["state"], of["intention"], of["reason"] = "POSTED", None, None
    of["xero_id"], of["number"] = str(paid["PaymentID"]), marker
    of["status"] = str(paid.get("Status") or "AUTHORISED")
    of["version"], of["observed_at"] = command["version"], command["observed_at"]
    of["total"], of["currency"] = tender["amount"], currency
    facts = {"account": account, "date": tender["date"]}
    for name in ("currency_rate", "bank_amount"):
        if value := tender[name]:
            facts[name] = value
    of["extra"] = {**of["extra"], **facts}


def credited(of: LedgerEntry, command: Command, note: RefundNote, found: Mapping[str, Any]) -> None:
    """Fill the entry of a credit note that Xero holds as `found`; PAID only once its money is back."""
    of["state"], of["status"], of["xero_id"] = "POSTED", "AUTHORISED", str(found["CreditNoteID"])
    of["version"], of["observed_at"] = command["version"], command["observed_at"]
    of["total"], of["total_tax"], of["currency"] = note["total"], note["total_tax"], note["currency"]


def decision(job: Job) -> str:
    """What a person has decided about this one record (`k2x dlt redrive --decision`); empty: nothing."""
    return next((value.decode("utf-8", "replace") for name, value in job.headers if name == DECISION), "")


def put_to_invoice(of: LedgerEntry, command: Command, note: LedgerEntry, amount: Decimal, invoice_id: str) -> None:
    """Fill the entry of an allocation that Xero holds: so much of a credit note, whose entry is `note`."""
    of["state"], of["status"], of["xero_id"], of["number"] = "POSTED", "AUTHORISED", note["xero_id"], note["number"]
    of["version"], of["observed_at"] = command["version"], command["observed_at"]
    of["total"], of["currency"] = f"{amount:.2f}", note["currency"]
    of["extra"] = {**of["extra"], "invoice": invoice_id}


def without(of: LedgerEntry, *names: str) -> dict[str, str]:
    """An entry's extra but for these."""
    return {name: text for name, text in of["extra"].items() if name not in names}


def payments(look: Callable[[str], LedgerEntry | None], command_key: str, sale: LedgerEntry) -> Iterator[LedgerEntry]:
    """The payments of an invoice that are in Xero by the ledger, whose entries `look` gives by key."""
    for ordinal in count(1):
        one = look(payment_key(command_key, ordinal, generation(sale)))
        if one is None:
            return
        if one["state"] == "POSTED":
            yield one


def kept_headers(job: Job) -> dict[str, str]:
    """A record's headers, for the `extra` of the entry that keeps its command."""
    return {f"h:{name}": value.decode("latin-1") for name, value in job.headers}


def headers_of(of: LedgerEntry) -> tuple[tuple[str, bytes], ...]:
    """The record's headers, as they were kept with a waiting command."""
    return tuple((name[2:], text.encode("latin-1")) for name, text in of["extra"].items() if name.startswith("h:"))


def result(command: Command, kind: str, outcome: Outcome, at: datetime, **fields: Any) -> Result:
    """A result of a command; `fields` fill the rest."""
    made: Result = {
        "org": command["org"],
        "instance": command["instance"],
        "store": command["store"],
        "order_id": command["order_id"],
        "kind": kind,
        "ordinal": 0,
        "key": command["key"],
        "outcome": outcome,
        "xero_id": None,
        "number": None,
        "status": None,
        "total": None,
        "total_tax": None,
        "amount_due": None,
        "currency": None,
        "version": command["version"],
        "error_class": None,
        "error_code": None,
        "message": None,
        "hint": None,
        "findings": [],
        "received_at": command["received_at"],
        "at": at,
        "command_id": command["command_id"],
        "traceparent": command["traceparent"],
        "replay_id": command["replay_id"],
    }
    made.update(fields)  # type: ignore[typeddict-item]
    return made


def letter(org: str, job: Job, refusal: Refusal, at: datetime) -> Letter:
    """A dead letter with the record's own bytes."""
    command = job.command
    reason = Reason(
        refusal.error_class,
        refusal.code,
        refusal.message,
        refusal.hint,
        org=org,
        store=command["store"],
        natural_key=job.home,
    )
    origin = Origin(commands(org), 0, job.origin, f"sink-{org}", "post")
    headers = letter_headers(origin, reason, at, previous=job.headers, traceparent=command["traceparent"])
    return Letter(job.key, job.value, headers)


# What a kind's body has and no other's has: a record of a mistaken writer must not end the lane.
_MARKS = {
    "SALE": "invoice",
    "CONTACT": "match_email",
    "ITEM": "code",
    "REFUND": "credit_note",
    "SETTLEMENT": "transfer",
}


def incomplete(command: Command) -> bool:
    """Its body is not its kind's."""
    mark = _MARKS.get(command["kind"])
    return mark is not None and mark not in (command["body"] or {})


def unreadable(org: str, record: Record, at: datetime) -> Letter:
    """A record that is no command."""
    problem = record.problem or "its body is not of its kind"
    reason = Reason(
        ErrorClass.BUG,
        "not_readable",
        f"Offset {record.offset} of {commands(org)} cannot be read as a command: {problem}",
        "Upgrade k2x, or see who else writes to this topic; then `k2x dlt redrive`.",
        org=org,
    )
    origin = Origin(commands(org), 0, record.offset, f"sink-{org}", "decode")
    return Letter(record.key, record.value, letter_headers(origin, reason, at, previous=record.headers))
