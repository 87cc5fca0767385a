"""A lost ledger, decided anew: the command topic says what was wanted, Xero what is there, the results what was said.

Guarantees: nothing here writes into Xero. An order is taken for posted if Xero holds it, equal, under its number, or if
a result of ours says so; it is taken for refused, held or cancelled only if a result says so; every other finished
order waits in the ledger with its command, so none is lost. Records that are not finished keep their turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, cast

from connectors.xero import batch, compare
from connectors.xero.core import answers, records
from connectors.xero.core.events import Letter, Record
from connectors.xero.core.payments import DECIDE
from connectors.xero.core.rebuild_refunds import Credits, RefundRestoration
from connectors.xero.core.rebuild_reissues import ReissueRestoration
from connectors.xero.core.rebuild_settlements import SettlementRestoration
from connectors.xero.core.rebuild_summaries import SummaryRestoration
from connectors.xero.core.said import Said
from connectors.xero.core.state import Job, Refusal, Step
from schemas.letters import ErrorClass
from schemas.types import Command, Contact, Item, LedgerEntry, Result, Sale, Tender

Invoice = Mapping[str, Any]
# What is told in any case. Waiting: Xero does not have it and nobody has said what became of it.
COUNTS = ("invoices", "payments", "contacts", "conflicts", "waiting")


class Ledger(Protocol):
    """The local copy, as far as a rebuild asks it."""

    def get(self, key: str) -> LedgerEntry | None: ...

    def holder(self, kind: str, number: str) -> str | None: ...


class Books(Credits, Protocol):
    """The sales invoices and credit notes of Xero, payments and lines included."""

    def by_number(self, number: str) -> Invoice | None: ...

    def by_id(self, id: str) -> Invoice | None: ...


class Restoration:
    """Fed with the command topic's records in their order; what it writes is taken by `take` and committed."""

    def __init__(
        self,
        org: str,
        ledger: Ledger,
        books: Books,
        finished: int,
        decode: Callable[[bytes], Command],
        now: Callable[[], datetime],
        encode: Callable[[Command], bytes],
    ) -> None:
        self.org, self.ledger, self.books, self.finished = org, ledger, books, finished
        self._decode, self._now = decode, now
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self._entries: dict[str, LedgerEntry] = {}
        self._letters: list[Letter] = []
        self._results: list[Result] = []
        self._refunds = RefundRestoration(org, books, now, self._entry, self._write)
        self._settlements = SettlementRestoration(org, now, self._entry, self._write)
        self._reissues = ReissueRestoration(org, books, now, self._entry, self._write, self._refunds)
        self._summaries = SummaryRestoration(org, books, now, self._entry, self._write, encode)

    def __len__(self) -> int:
        return len(self._entries)

    def take(self) -> tuple[dict[str, LedgerEntry], list[Letter], list[Result]]:
        """What is to be committed next."""
        taken = self._entries, self._letters, self._results
        self._entries, self._letters, self._results = {}, [], []
        return taken

    # -- first: what Xero shows ---------------------------------------------------------------------------------

    def adopt(self, record: Record) -> bool:
        """Restore what is in Xero as the command wants it. True: finished, but Xero alone does not say how."""
        command, finished = record.command, record.offset < self.finished
        if command is None or records.of_summary(command):
            return False  # a summary's own, redriven: its orders say what it is
        match command["kind"]:
            case "SALE":
                return self._adopt_sale(command, finished) and finished
            case "CANCEL":
                return finished and self._undone(records.home(command))
            case "REFUND":
                return finished and self._refunds.adopt(command)
            case "CONTACT" | "SETTLEMENT":
                return finished
            case "ITEM":
                return finished and self._entry(records.home(command)) is None
        return False

    def _adopt_sale(self, command: Command, finished: bool) -> bool:
        sale, entry = cast(Sale, command["body"]), self._entry(records.home(command))
        if entry is None:
            return self._adopt_invoice(command, sale, sale["number"], finished)
        entry = self._reissued(command, sale, entry) if finished else entry
        if _unposted(entry):
            if records.outdated(entry, command["version"]):
                return False
            return self._adopt_invoice(command, sale, str(entry["number"]), finished)
        if entry["state"] != "POSTED" or entry["version"] is None or not finished:
            return False
        newer, paid = command["version"] > entry["version"], entry["status"] == "PAID"
        if newer and paid and entry["hash"] == sale["money_hash"]:
            self._write({**entry, "version": command["version"], "observed_at": command["observed_at"]})
            return False
        return newer or (not paid and command["version"] == entry["version"])

    def _adopt_invoice(self, command: Command, sale: Sale, number: str, finished: bool) -> bool:
        """As `adopt`, of an order of which nothing is known to be in Xero."""
        found = self.books.by_number(number)
        if found is None or compare.invoice(sale, None, found):
            return True
        entry = self._posted(command, found, str(found["InvoiceID"]), number)
        if not (finished and _settled(sale, found)):
            return True  # of a record that is not finished, the lane itself says that it is paid
        self._write({**entry, "status": "PAID"})
        return False

    def _reissued(self, command: Command, sale: Sale, entry: LedgerEntry) -> LedgerEntry:
        """What has become of the posted invoice, if this version was to be issued instead. Of a record that is not
        finished the lane finds that out by itself: Xero takes no number twice."""
        newer = entry["version"] is not None and command["version"] > entry["version"]
        if not (newer and records.paid(entry) and entry["hash"] != sale["money_hash"]):
            return entry
        changed = self._reissues.credited(command, entry)
        self.counts["credited"] += changed is not entry
        return changed

    def _posted(self, command: Command, found: Invoice | None, xero_id: str, number: str) -> LedgerEntry:
        """The entries of an invoice in Xero, of those of its payments that are there, and of its contact."""
        sale, home = cast(Sale, command["body"]), records.home(command)
        entry, before = records.entry(self.org, home, "invoice", self._now()), self._entry(home)
        if before is not None and _unposted(before):
            entry["extra"] = records.settled(before)["extra"]
        entry["state"], entry["status"], entry["xero_id"], entry["number"] = "POSTED", "AUTHORISED", xero_id, number
        entry["hash"], entry["version"] = sale["money_hash"], command["version"]
        entry["observed_at"], entry["attempt"] = command["observed_at"], 1
        entry["total"], entry["total_tax"], entry["currency"] = sale["total"], sale["total_tax"], sale["currency"]
        if found is not None:
            entry["contact_id"] = str((found.get("Contact") or {}).get("ContactID") or "") or None
            self._contact_of(sale["contact"], entry["contact_id"], sale["contact"]["number"])
            for tender in sale["payments"]:
                paid = _payment(found, number, tender)
                if paid is not None:
                    self._payment_posted(command, tender, xero_id, number, paid, records.generation(entry))
        self._write(entry)
        self.counts["invoices"] += 1
        return entry

    def _payment_posted(
        self, command: Command, tender: Tender, invoice_id: str, number: str, paid: Mapping[str, Any], generation: int
    ) -> None:
        key = records.payment_key(command["key"], tender["ordinal"], generation)
        element = batch.payment_element(Step.PAYMENT, tender, invoice_id, batch.reference(number, tender))
        entry = records.entry(self.org, key, "payment", self._now(), tender["ordinal"])
        currency, marker = cast(Sale, command["body"])["currency"], batch.marker(number, tender["ordinal"])
        records.moved(entry, command, currency, tender, marker, paid)
        entry["hash"], entry["attempt"] = batch.digest(element), 1
        self._write(entry)
        self.counts["payments"] += 1

    def _contact_of(self, contact: Contact, xero_id: str | None, number: str) -> None:
        """The contact that an invoice is made out to; of several, that of the latest order."""
        known = self._entry(contact["key"])
        if xero_id is None or (known is not None and known["xero_id"] == xero_id):
            return
        if known is None:
            known = records.entry(self.org, contact["key"], "contact", self._now())
            known["state"], known["number"], known["attempt"] = "POSTED", number, 1
            known["hash"], known["version"] = contact["hash"], contact["version"]
            self.counts["contacts"] += 1
        self._write({**known, "xero_id": xero_id})

    # -- second: what was said ----------------------------------------------------------------------------------

    def decide(self, record: Record, said: Said, contact: Said) -> None:
        """A record that `adopt` left open, with the results about its order (contact, item), and about its contact."""
        command = record.command
        if command is None:
            return
        match command["kind"]:
            case "SALE" | "REFUND" if self._summaries.decide(record, command, said):
                if command["kind"] == "SALE" and contact.id:
                    of = cast(Sale, command["body"])["contact"]
                    self._contact_of(of, contact.id, contact.number or of["number"])
            case "CANCEL" if self._summaries.cancelled(command, said):
                pass
            case "SALE":
                self._decide_sale(record, command, said, contact)
            case "CANCEL" if self._undone(records.home(command)):
                home = records.home(command)
                before = self._entry(home) or records.entry(self.org, home, "invoice", self._now())
                entry = records.settled(before)
                records.deleted(entry, command)
                self._write(entry)
                self.counts["cancelled"] += 1
            case "REFUND":
                self._refunds.decide(record, command, said)
            case "SETTLEMENT":
                counted = self._settlements.decide(record, command, said)
                if counted:
                    self.counts[counted] += 1
            case "CONTACT" if said.of(command["command_id"])[0] in ("POSTED", "ADOPTED"):
                self._contact_written(cast(Contact, command["body"]))
            case "ITEM" if said.posted == command["command_id"] and self._entry(records.home(command)) is None:
                self._item_written(command, cast(Item, command["body"]), said)

    def _decide_sale(self, record: Record, command: Command, said: Said, contact: Said) -> None:
        sale, entry = cast(Sale, command["body"]), self._entry(records.home(command))
        outcome, message = said.of(command["command_id"])
        if entry is not None and _unposted(entry):
            self._issue_anew(record, command, entry, said)
            return
        if entry is not None and entry["state"] == "POSTED":
            self._rest_of(record, command, entry, said)
            return
        if outcome == "UNCHANGED" or (entry is not None and entry["state"] == "VOIDED"):
            return  # left alone for another version
        if contact.id:
            self._contact_of(sale["contact"], contact.id, contact.number or sale["contact"]["number"])
        former = said.posted != command["command_id"] and records.is_reissue(said.number, sale["number"])
        if entry is None and said.id and not former and (outcome == "POSTED" or said.posted == command["command_id"]):
            found = self.books.by_id(said.id)
            self.counts["changed in Xero" if found is not None else "gone from Xero"] += 1
            entry = self._posted(command, found, said.id, said.number or sale["number"])
            self._rest_of(record, command, entry, said)
            return
        found = self.books.by_number(sale["number"])
        if outcome in ("REFUSED", "HELD"):
            if entry is None and said.id is None:  # else: held beside the version that was posted
                self._refused(command, sale, outcome, message, contact)
        elif found is not None and (entry is None or not entry["xero_id"]):
            self._conflict(record, command, sale, found)
        else:
            self._waits(record, command, entry)

    def _issue_anew(self, record: Record, command: Command, entry: LedgerEntry, said: Said) -> None:
        """The former invoice is credited; the next one is not in Xero as this version wants it."""
        outcome, message = said.of(command["command_id"])
        if outcome in ("", "WAITING"):
            self._waits(record, command, entry)
        elif said.id and said.posted == command["command_id"]:
            found = self.books.by_id(said.id)
            self.counts["changed in Xero" if found is not None else "gone from Xero"] += 1
            entry = self._posted(command, found, said.id, str(entry["number"]))
            self._rest_of(record, command, entry, said)
        elif outcome in ("REFUSED", "HELD"):
            state: Any = outcome
            self._write({**entry, "state": state, "reason": message})
            self.counts["refused or held"] += 1

    def _rest_of(self, record: Record, command: Command, entry: LedgerEntry, said: Said) -> None:
        """The invoice is known, of this version or an older one: what was to become of its payments, or of this one?"""
        outcome, message = said.of(command["command_id"])
        same = entry["version"] == command["version"]
        paid = said.settled(entry["number"], first=records.generation(entry) == 1)
        if entry["status"] != "PAID" and paid and not records.crediting(entry):
            entry = {**entry, "status": "PAID"}
            self._write(entry)
        if outcome in ("", "WAITING"):
            if not (same and entry["status"] == "PAID"):
                self._waits(record, command, entry)
        elif outcome in ("REFUSED", "HELD") and same and entry["status"] != "PAID":
            state: Any = outcome
            self._write({**entry, "state": state, "reason": message})
            self.counts["refused or held"] += 1

    def _contact_written(self, contact: Contact) -> None:
        """A customer's update that Xero has: an equal one is not sent again."""
        known = self._entry(contact["key"])
        if known is not None and (
            contact["version"] is None or known["version"] is None or contact["version"] >= known["version"]
        ):
            self._write({**known, "hash": contact["hash"], "version": contact["version"]})

    def _refused(self, command: Command, sale: Sale, outcome: str, message: str, contact: Said) -> None:
        entry = records.entry(self.org, records.home(command), "invoice", self._now())
        state: Any = outcome
        entry["state"], entry["reason"], entry["attempt"] = state, message, 1
        if self._other(sale["number"], entry["key"]) is None:
            entry["number"], entry["contact_id"] = sale["number"], contact.id
        self._write(entry)
        self.counts["refused or held"] += 1

    def _conflict(self, record: Record, command: Command, sale: Sale, found: Invoice) -> None:
        """As the lane would say it that had found the number taken."""
        other = self._other(sale["number"], records.home(command))
        if other is not None:
            code, text = "number_of_other_order", f"Invoice number {sale['number']} belongs to {other} in the ledger."
        else:
            differences = compare.shown(compare.invoice(sale, None, found))
            code, text = (
                "invoice_differs",
                f"Invoice {sale['number']} is in Xero, but not as this order: {differences}.",
            )
        refusal = Refusal(ErrorClass.CONFLICT, code, text, DECIDE)
        self._letters.append(records.letter(self.org, self._job(record, command), refusal, self._now()))
        self._results.append(
            records.result(
                command, "order", "REFUSED", self._now(), error_class=str(refusal.error_class),
                error_code=code, message=text, hint=refusal.hint, number=sale["number"],
            )
        )  # fmt: skip
        if other is None:
            entry = records.entry(self.org, records.home(command), "invoice", self._now())
            entry["state"], entry["reason"], entry["number"] = "HELD", text, sale["number"]
            entry["extra"] = {"found": str(found.get("InvoiceID") or "")}
            self._write(entry)
        self.counts["conflicts"] += 1

    def _waits(self, record: Record, command: Command, entry: LedgerEntry | None) -> None:
        """Neither in Xero nor decided: it was waiting, so it waits. Of several versions the newest does."""
        home, job = records.home(command), self._job(record, command)
        if entry is not None and entry["state"] == "WAITING" and entry["xero_id"]:
            behind = records.entry(self.org, records.next_key(home), "next", self._now())
            behind["version"], behind["observed_at"] = command["version"], command["observed_at"]
            self._write(records.behind(behind, job, "waits behind an earlier version of its order", self._now()))
            return
        if entry is not None and entry["state"] == "WAITING" and entry["command"] is not None:
            if self._decode(entry["command"])["version"] >= command["version"]:
                return
        else:
            self.counts["waiting"] += 1
        entry = entry or records.entry(self.org, home, "invoice", self._now())
        self._write(records.waiting(entry, job, "waited when the ledger was lost", self._now(), 0.0))

    def _item_written(self, command: Command, item: Item, said: Said) -> None:
        entry = records.entry(self.org, item["code"], "item", self._now())
        entry["state"], entry["xero_id"], entry["number"] = "POSTED", said.id, item["code"]
        entry["hash"], entry["version"], entry["attempt"] = item["hash"], item["version"] or command["version"], 1
        self._write(entry)
        self.counts["items"] += 1

    # -- the ledger as it will be -------------------------------------------------------------------------------

    def _entry(self, key: str) -> LedgerEntry | None:
        return self._entries.get(key) or self.ledger.get(key)

    def _undone(self, home: str) -> bool:
        """Nothing of it is in Xero, by the ledger as it will be."""
        entry = self._entry(home)
        if entry is None or _unposted(entry) or records.collected(entry):
            return True
        return entry["state"] == "WAITING" and entry["xero_id"] is None

    def _other(self, number: str, home: str) -> str | None:
        """Another order's key that has this number."""
        for key, entry in self._entries.items():
            if entry["kind"] == "invoice" and (entry["number"] or "").casefold() == number.casefold() and key != home:
                return key
        found = self.ledger.holder("invoice", number)
        return found if found != home else None

    def _write(self, entry: LedgerEntry) -> None:
        entry["updated_at"] = self._now()
        self._entries[entry["key"]] = entry

    def _job(self, record: Record, command: Command) -> Job:
        return Job(command, record.key, record.value, record.headers, None, record.offset, records.home(command))


def _unposted(entry: LedgerEntry) -> bool:
    """An order whose invoice was credited, and of whose next one nothing is known to be in Xero."""
    return records.generation(entry) > 1 and entry["xero_id"] is None and entry["state"] != "VOIDED"


def _settled(sale: Sale, found: Invoice) -> bool:
    """Every tender is there, and nothing is due."""
    due = found.get("AmountDue")
    number = str(found.get("InvoiceNumber") or sale["number"])
    there = all(_payment(found, number, tender) is not None for tender in sale["payments"])
    return there and due is not None and Decimal(str(due)) == 0


def _payment(found: Invoice, number: str, tender: Tender) -> Mapping[str, Any] | None:
    """The living payment with the tender's marker and amount."""
    paid = answers.paid(found, batch.marker(number, tender["ordinal"]))
    return None if paid is None or compare.payment(Decimal(tender["amount"]), paid) else paid
