"""A person's decision `post`: Xero has been corrected by hand to a held version. It is looked at, then believed.

Guarantees: nothing is written into Xero; a version is taken for the posted one only if Xero holds it, equal and PAID;
an order is taken for voided only if Xero holds its invoice so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from connectors.xero import batch, compare
from connectors.xero.core import answers, records
from connectors.xero.core.desk import Desk
from connectors.xero.core.sales import Sales
from connectors.xero.core.state import Document, Job, Step
from schemas.types import LedgerEntry, Sale

_DELETED = "`--decision post` means that the order is not owed; that stands only when its invoice is voided in Xero"


class Corrections:
    """Of SALE and CANCEL commands whose order is posted."""

    def __init__(self, desk: Desk, sales: Sales) -> None:
        self.desk = desk
        self.sales = sales
        sales.corrected = self.start

    def start(self, job: Job) -> None:
        """Read the posted invoice."""
        entry = self.desk.fresh(job.home, "invoice")
        number, version = str(entry["number"]), job.command["version"]
        self.desk.lookups[Step.CHECK].append(Document(Step.CHECK, job.home, number, "", "", version, [job], entry))

    def seen(self, document: Document, body: Mapping[str, Any]) -> None:
        """As Xero has it."""
        job = document.jobs[0]
        if job.command["kind"] == "CANCEL":
            self._deleted(job, document.natural, body)
            return
        sale = _sale(job)
        found = [*map(str, compare.invoice(sale, None, body)), *_unpaid(sale, body)]
        if found:
            self.sales.hold(
                job, f"`--decision post` means that Xero holds this version, and it does not: {'; '.join(found)}."
            )
        else:
            self._take(job, sale, body)

    def unseen(self, document: Document) -> None:
        """Nothing in Xero has its number."""
        job, why = document.jobs[0], f"{document.natural} is not in Xero."
        if job.command["kind"] == "CANCEL":
            self.sales.hold_deleted(job, f"{_DELETED}: {why}")
        else:
            self.sales.hold(job, f"`--decision post` means that Xero holds this version: {why}")

    def _take(self, job: Job, sale: Sale, body: Mapping[str, Any]) -> None:
        """This version is the posted one, with the payments that stand in Xero for its tenders."""
        entry = self.desk.fresh(job.home, "invoice")
        entry["xero_id"], entry["hash"] = str(body["InvoiceID"]), sale["money_hash"]
        entry["version"], entry["observed_at"] = job.command["version"], job.command["observed_at"]
        entry["total"], entry["total_tax"], entry["currency"] = sale["total"], sale["total_tax"], sale["currency"]
        entry["contact_id"] = str((body.get("Contact") or {}).get("ContactID") or entry["contact_id"])
        if entry["state"] != "WAITING":
            entry["state"] = "POSTED"
        entry["status"], entry["reason"] = "PAID", None
        number = str(entry["number"])
        left = answers.living(body)
        for tender in sale["payments"]:
            marker = batch.marker(number, tender["ordinal"])
            equal = [row for row in left if not compare.payment(Decimal(tender["amount"]), row)]
            own = answers.paid({"Payments": equal}, marker) or equal[0]
            left.remove(own)
            key = records.payment_key(job.command["key"], tender["ordinal"], records.generation(entry))
            payment = self.desk.fresh(key, "payment", tender["ordinal"])
            records.moved(payment, job.command, sale["currency"], tender, marker, own)
            self.desk.write(payment)
        self._say(job, entry, "ADOPTED", "a person has corrected Xero to this version")

    def _deleted(self, job: Job, number: str, body: Mapping[str, Any]) -> None:
        if not compare.gone(body):
            self.sales.hold_deleted(job, f"{_DELETED}: it is {body.get('Status')} there.")
            return
        former, entry = records.voided(
            self.desk.fresh(job.home, "invoice"), job.command, f"{number} was voided in Xero"
        )
        self.desk.write(former)
        self._say(job, entry, "CANCELLED", f"deleted in Kentico, and {number} is voided in Xero")

    def _say(self, job: Job, entry: LedgerEntry, outcome: records.Outcome, why: str) -> None:
        self.desk.result(
            job.command, "order", outcome, xero_id=entry["xero_id"], number=entry["number"], status=entry["status"],
            total=entry["total"], total_tax=entry["total_tax"], currency=entry["currency"], message=why,
            findings=self.desk.told(job),
        )  # fmt: skip
        self.desk.end(job, entry)


def _unpaid(sale: Sale, body: Mapping[str, Any]) -> list[str]:
    """What keeps it from being paid by this version's tenders."""
    if str(body.get("Status")) != "PAID":
        return [f"status: a paid order's is PAID, Xero has {body.get('Status')}"]
    ours = Counter(Decimal(tender["amount"]) for tender in sale["payments"])
    theirs = Counter(Decimal(str(row.get("Amount"))) for row in answers.living(body))
    if ours == theirs:
        return []
    shown = [", ".join(str(amount) for amount in sorted(one.elements())) or "none" for one in (ours, theirs)]
    return [f"payments: the order has {shown[0]}, Xero has {shown[1]}"]


def _sale(job: Job) -> Sale:
    return cast(Sale, job.command["body"])
