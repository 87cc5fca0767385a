"""A refund, or a deletion, of an order whose invoice is in Xero unpaid: by rule that is voided, or credited.

Guarantees: nothing is done before Xero was seen to hold what the ledger says; only an invoice on which nothing stands
is voided, as a whole, and a void is done when Xero shows it; what goes onto the invoice and what back is fixed in the
ledger before the first of it is sent, and together it is the refund, to the cent. What fits no rule a person decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from connectors.xero import batch, compare, outcomes
from connectors.xero.core import answers, records
from connectors.xero.core.desk import Desk
from connectors.xero.core.sales import Sales
from connectors.xero.core.state import Document, Job, Refusal, Step
from connectors.xero.outcomes import Element
from schemas.letters import ErrorClass
from schemas.types import LedgerEntry, RefundNote, Tender

if TYPE_CHECKING:
    from connectors.xero.core.refunds import Refunds

_HINT = (
    "Void {number} in Xero, or credit it there, then `k2x dlt redrive --decision skip`; or let k2x do it: `--decision "
    "void` or `--decision credit`. If the money came, mend the sale first, then `k2x dlt redrive` both."
)


class Unpaid:
    """Of REFUND and CANCEL commands. `start` for what nobody has begun, or where it may still be decided anew."""

    def __init__(self, desk: Desk, refunds: Refunds, sales: Sales) -> None:
        self.desk = desk
        self.refunds = refunds
        self.sales = sales

    def start(self, job: Job) -> None:
        """By rule, or by a person's decision. The invoice is looked at first."""
        sale, rule = self.desk.fresh(job.home, "invoice"), _rule(job)
        if rule == "HOLD":
            self.hold(job)
            return
        if job.command["kind"] == "CANCEL" and rule != "VOID":
            self.hold(job, "Only rule `void` undoes a deleted order's invoice: nothing says what was returned.")
            return
        if job.command["kind"] == "REFUND" and records.left(sale, _note(job)) < Decimal(_note(job)["total"]):
            self.refunds.too_much(job, sale, records.left(sale, _note(job)))
            return
        job.number, job.target_id = str(sale["number"]), sale["xero_id"]
        document = self._document(job, sale, Step.CHECK, "")
        document.not_before = self.desk.inherited(sale)
        self.desk.lookups[Step.CHECK].append(document)

    def _document(self, job: Job, sale: LedgerEntry, step: Step, element: str) -> Document:
        number, version = str(sale["number"]), job.command["version"]
        document = Document(step, job.home, number, element, batch.digest(element), version, [job], sale)
        document.attempt = sale["intention"]["attempt"] + 1 if sale["intention"] is not None else 1
        return document

    # -- what Xero shows ------------------------------------------------------------------------------------------

    def seen(self, document: Document, body: Mapping[str, Any]) -> None:
        """As Xero has the invoice: before anything is sent, or after a void of which nobody knows what became."""
        job, sale = document.jobs[0], self.desk.fresh(document.jobs[0].home, "invoice")
        if sale["intention"] is not None:
            sale["intention"] = None
            self.desk.write(sale)
        if compare.gone(body):
            self._gone(job, sale)
        elif document.suspect is not None:
            self.refused(document, document.suspect)
        elif (why := self._otherwise(job, sale, body)) is not None:
            self.hold(job, why)
        elif _rule(job) == "VOID" and self._whole(job, sale) and not _spent(body):
            element = batch.void_element(str(sale["xero_id"]))
            void = self._document(job, sale, Step.VOID, element)
            void.attempt = document.attempt
            self.desk.ready[Step.VOID].append(void)
        elif job.command["kind"] == "REFUND":
            self._credit(job, sale, body)
        else:
            self.hold(job, "It is not voided: something stands on it.")

    def unseen(self, document: Document) -> None:
        """Nothing in Xero is that invoice."""
        self.hold(document.jobs[0], f"{document.natural} is not in Xero.")

    def _otherwise(self, job: Job, sale: LedgerEntry, body: Mapping[str, Any]) -> str | None:
        """What of it is not as the ledger says."""
        paid = sum((Decimal(str(row.get("Amount"))) for row in answers.living(body)), Decimal(0))
        ours = sum(self._paid(job, sale).values(), Decimal(0))
        pairs = [
            ("id", str(sale["xero_id"]).casefold(), str(body.get("InvoiceID")).casefold()),
            ("status", "PAID" if records.paid(sale) else "AUTHORISED", str(body.get("Status"))),
            ("currency", str(sale["currency"]), str(body.get("CurrencyCode") or sale["currency"])),
            ("total", Decimal(sale["total"] or "0"), Decimal(str(body.get("Total")))),
            ("paid", ours, paid),
            ("credited", records.allocated(sale), Decimal(str(body.get("AmountCredited") or 0))),
        ]
        found = [f"{name}: the ledger has {own}, Xero has {other}" for name, own, other in pairs if own != other]
        return f"{sale['number']} in Xero: {'; '.join(found)}." if found else None

    def _paid(self, job: Job, sale: LedgerEntry) -> dict[str, Decimal]:
        return paid_by_account(self.desk.entry, job.command["key"], sale)

    def _whole(self, job: Job, sale: LedgerEntry) -> bool:
        """All of the sale is undone by this alone."""
        if job.command["kind"] == "CANCEL":
            return not records.taken_by_others(sale, "")
        note = _note(job)
        return records.left(sale, note) == Decimal(note["total"]) == Decimal(sale["total"] or "0")

    # -- void -----------------------------------------------------------------------------------------------------

    def answered(self, document: Document, element: Element) -> None:
        """One element of POST Invoices. What is refused may have been done already."""
        if element.good and compare.gone(element.body):
            job = document.jobs[0]
            self._voided(job, self.desk.fresh(job.home, "invoice"))
            return
        document.suspect = outcomes.judge(element.errors)[1] if element.errors else None
        self.desk.lookups[Step.VOID].append(document)

    def refused(self, document: Document, refusal: Refusal) -> None:
        """Xero does not void it: a person decides what else is to be done."""
        job = document.jobs[0]
        sale = self.desk.fresh(job.home, "invoice")
        if sale["intention"] is not None:
            sale["intention"] = None
            self.desk.write(sale)
        self.hold(job, f"{document.natural} could not be voided. {refusal.message}")

    def _gone(self, job: Job, sale: LedgerEntry) -> None:
        """By us, or by a person."""
        if self._whole(job, sale):
            self._voided(job, sale)
        else:
            self.hold(job, f"{sale['number']} is voided in Xero, and this is a part of it.")

    def _voided(self, job: Job, sale: LedgerEntry) -> None:
        number, sale["intention"] = str(sale["number"]), None
        shown: dict[str, Any] = {"xero_id": sale["xero_id"], "number": number, "status": "VOIDED"}
        shown |= {"total": sale["total"], "total_tax": sale["total_tax"], "currency": sale["currency"]}
        findings = [*job.command["findings"], *self.desk.told(job)]
        if job.command["kind"] == "CANCEL":
            former, sale = records.voided(sale, job.command, f"deleted in Kentico, so {number} was voided")
            self.desk.write(former)
            text = f"deleted in Kentico, and {number} is voided in Xero"
            self.desk.result(job.command, "order", "CANCELLED", **shown, message=text, findings=findings)
        else:
            note = _note(job)
            sale = records.voided_for(sale, note)
            self.desk.result(
                job.command, "order_refund", "POSTED", **shown, message=f"{number} was unpaid, and is voided in Xero",
                findings=findings,
            )  # fmt: skip
        self.desk.end(job, sale)

    def again(self, job: Job, sale: LedgerEntry) -> bool:
        """A refund of an order whose invoice was voided. True: it is the one that this was done for."""
        note = _note(job)
        taken = sale["extra"].get(records.share(note["refund_id"]))
        if taken is None:
            return False
        job.number = str(sale["number"])
        if Decimal(taken) == Decimal(note["total"]) and sale["currency"] == note["currency"]:
            self.desk.result(
                job.command, "order_refund", "UNCHANGED", xero_id=sale["xero_id"], number=sale["number"],
                status="VOIDED", message="the invoice was voided for this refund already",
            )  # fmt: skip
            self.desk.end(job)
        else:
            self.hold(job, f"{sale['number']} was voided for it as {taken} {sale['currency']}.", "refund_differs")
        return True

    # -- credit ---------------------------------------------------------------------------------------------------

    def _credit(self, job: Job, sale: LedgerEntry, body: Mapping[str, Any]) -> None:
        """As much onto the invoice as is due, the rest back by the means that brought it."""
        note = _note(job)
        total, due = Decimal(note["total"]), Decimal(str(body.get("AmountDue")))
        onto = min(total, due)
        parts = shared_out(note["payments"], total - onto, self._paid(job, sale))
        split = [t for t in note["payments"] if t["bank_amount"] and 0 < parts[t["ordinal"]] < Decimal(t["amount"])]
        if split or sum(parts.values(), Decimal(0)) != total - onto:
            self.hold(job, f"{onto} of it would go onto the invoice, and the rest cannot be shared out by itself.")
            return
        own = self.desk.entry(self.refunds.key(job))
        job.number = (own["number"] if own else None) or self.refunds.number(job, sale)
        job.contact_id = str((body.get("Contact") or {}).get("ContactID") or sale["contact_id"])
        entry = self.refunds.credits.entry(job)
        plan = fixed_plan(onto, parts) if onto else {}
        entry["extra"] = records.without(entry, records.ALLOCATE, records.CASH) | plan
        self.desk.write(entry)
        job.target_id = None
        self.go_on(job, sale, self.desk.entry(self.refunds.key(job)))

    def go_on(self, job: Job, sale: LedgerEntry, own: LedgerEntry | None) -> None:
        """With what has been fixed."""
        if own is not None:
            job.note = planned(_note(job), own)
            job.contact_id = job.contact_id or own["contact_id"]
        self.refunds.go_on(job, sale, own)

    def fixed(self, job: Job, own: LedgerEntry | None) -> bool:
        """Something of the credit note's plan is under way or done, so it is not decided anew."""
        if own is None or records.ALLOCATE not in own["extra"]:
            return own is not None and (own["intention"] is not None or own["xero_id"] is not None)
        if own["intention"] is not None:
            return True
        entry = self.desk.entry(records.allocation_key(job.command["key"], _note(job)["refund_id"]))
        return entry is not None and (entry["state"] == "POSTED" or entry["intention"] is not None)

    # -- ends -----------------------------------------------------------------------------------------------------

    def settled(self, job: Job, own: LedgerEntry) -> LedgerEntry | None:
        """The sale's entry once the refund is done, where that leaves nothing due; None: it stays as it is."""
        sale = self.desk.fresh(job.home, "invoice")
        if records.paid(sale) or records.ALLOCATE not in own["extra"]:
            return None
        return sale if nothing_due(sale, self._paid(job, sale), own) else None

    def hold(self, job: Job, why: str = "", code: str = "refund_of_unpaid") -> None:
        """A person decides."""
        if job.command["kind"] == "CANCEL":
            self.sales.hold_deleted(job, why)
            return
        sale = self.desk.fresh(job.home, "invoice")
        text = (
            f"Order {job.command['order_id']} was refunded, but its invoice {sale['number']} is in Xero unpaid: "
            f"{sale['reason'] or sale['status']}. {why}"
        ).strip()
        self.desk.refuse(job, Refusal(ErrorClass.HELD, code, text, _HINT.format(number=sale["number"])))
        self.desk.end(job)


def planned(note: RefundNote, own: LedgerEntry) -> RefundNote:
    """The refund with what goes back by each tender, less what goes onto the invoice."""
    shares = own["extra"].get(records.CASH)
    if shares is None:
        return note
    parts: dict[str, str] = json.loads(shares)
    payments: list[Tender] = [
        {**tender, "amount": parts[str(tender["ordinal"])]}
        for tender in note["payments"]
        if Decimal(parts[str(tender["ordinal"])])
    ]
    return {**note, "payments": payments}


def fixed_plan(onto: Decimal, parts: Mapping[int, Decimal]) -> dict[str, str]:
    """For the credit note's entry: what goes onto the invoice, and back by each tender."""
    shares = json.dumps({str(ordinal): f"{part:.2f}" for ordinal, part in parts.items()})
    return {records.ALLOCATE: f"{onto:.2f}", records.CASH: shares}


def nothing_due(sale: LedgerEntry, paid: Mapping[str, Decimal], own: LedgerEntry) -> bool:
    """Whether payments and credit notes make all of it; then it is PAID, in the ledger as in Xero."""
    if sum(paid.values(), Decimal(0)) + records.allocated(sale) != Decimal(sale["total"] or "0"):
        return False
    sale["state"], sale["status"], sale["reason"] = "POSTED", "PAID", f"settled by {own['number']}"
    return True


def paid_by_account(
    entry: Callable[[str], LedgerEntry | None], command_key: str, sale: LedgerEntry
) -> dict[str, Decimal]:
    """What the ledger says was paid for an invoice."""
    found: dict[str, Decimal] = {}
    for one in records.payments(entry, command_key, sale):
        account = one["extra"].get("account", "")
        found[account] = found.get(account, Decimal(0)) + Decimal(one["total"] or "0")
    return found


def shared_out(tenders: list[Tender], wanted: Decimal, paid: Mapping[str, Decimal]) -> dict[int, Decimal]:
    """How much goes back by each tender: first where money came, then in the refund's own order."""
    parts, there = {tender["ordinal"]: Decimal(0) for tender in tenders}, dict(paid)
    for anywhere in (False, True):
        for tender in tenders:
            account, ordinal = tender["account_id"] or tender["account_code"], tender["ordinal"]
            room = Decimal(tender["amount"]) - parts[ordinal]
            part = min(wanted, room if anywhere else min(room, there.get(account, Decimal(0))))
            parts[ordinal] += part
            there[account] = there.get(account, Decimal(0)) - part
            wanted -= part
    return parts


def _spent(body: Mapping[str, Any]) -> bool:
    """Something stands on the invoice: Xero would not void it."""
    amounts = (Decimal(str(body.get(name) or 0)) for name in ("AmountPaid", "AmountCredited"))
    return any(amounts) or bool(answers.living(body))


def _rule(job: Job) -> str:
    """A person's decision goes before the store's rule."""
    decided = records.decision(job).upper()
    return decided if decided in ("VOID", "CREDIT") else job.command["on_unpaid"]


def _note(job: Job) -> RefundNote:
    return cast(RefundNote, job.command["body"])
