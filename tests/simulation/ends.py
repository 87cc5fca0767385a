"""What must be true when nothing goes wrong any more and everything has ended, and after a replay of it all."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import orjson

from connectors.xero.core.lane import Lane
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.documents import Document
from schemas.types import LedgerEntry, Payout, RefundNote, Result, Sale
from tests.connectors.xero.core.world import CODEC
from tests.simulation.judge import FINAL, REISSUE, taken_back
from tests.simulation.office import CODES
from tests.simulation.summaries import is_summary
from tests.simulation.undone import rows_of
from tests.simulation.workload import Order, Record
from tests.simulation.xero import APP, ARCHIVED, Request

if TYPE_CHECKING:
    from tests.simulation.world import World

_GONE = ("VOIDED", "DELETED")
# What versions and deletions of a sound order may lead to.
_OWN_LETTERS = frozenset({"other_money", "not_reissued", "deleted_after_posting"})


class Ends:
    """`quiet` says when to judge; `judge` says all that is wrong as (check, text)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._decoded: dict[bytes, LedgerEntry] = {}
        self._usual = _OWN_LETTERS | (CODES if world.office.at_work else frozenset())  # mended, and redriven

    # -- quiescence ---------------------------------------------------------------------------------------------

    def quiet(self) -> bool:
        """Every record has its outcome, nothing waits, nothing is on its way."""
        if not self.world.calm or self.world.workload.to_come or any(host.process.frozen for host in self.world.hosts):
            return False
        return all(self._org_quiet(org) for org in self.world.weather.orgs)

    def _org_quiet(self, org: str) -> bool:
        owner, log = self.world.group.owners.get(org), self.world.broker.of[org]
        if owner is None or owner.closed or owner.core is None or not owner.process.alive or owner.process.frozen:
            return False
        return (log.committed or 0) == log.end and not any(held(owner.core).values()) and not owner.store.next_waiting()

    def stuck(self) -> str:
        """Why it is not quiet."""
        owners = (self.world.group.owners.get(org) for org in self.world.weather.orgs)
        return "; ".join(str(owner.describe()) if owner is not None else "nobody" for owner in owners)

    # -- judging ------------------------------------------------------------------------------------------------

    def judge(self) -> Iterator[tuple[str, str]]:
        for org in self.world.weather.orgs:
            yield from self._ledger(org)
        for record in self.world.workload.records.values():
            yield from self._record(record)
        for order in self.world.workload.orders.values():
            yield from self._order(order)
            yield from self._refunds(order)
        yield from self._settlements()
        for org in self.world.weather.orgs:
            yield from self._master_data(org)
            yield from self.world.summaries.judge(org)

    def _ledger(self, org: str) -> Iterator[tuple[str, str]]:
        """Nothing is open, and the local copy is the topic's."""
        newest, owner = self._newest(org), self.world.group.owners[org]
        copy = dict(owner.store._db.execute("SELECT key, value FROM ledger"))
        if copy != newest and owner.epoch == self.world.broker.of[org].epoch:  # else a zombie was the last to fence
            yield "nothing left over", f"the local copy of {org} is not the topic's"
        for key, entry in self._entries(newest):
            if entry["command"] and self._waits_for_a_sale(org, key, newest):
                continue
            if entry["kind"] == "contact" and self._only_of_clashes(org, key):
                continue
            if entry["state"] == "COLLECTED" and self.world.summaries.failed(org, entry["number"]):
                continue
            if entry["intention"] or entry["command"] or entry["state"] == "WAITING":
                yield "nothing left over", f"{key} of {org} is {entry['state']}, intention {entry['intention']}"

    def _waits_for_a_sale(self, org: str, key: str, newest: dict[str, bytes]) -> bool:
        """A refund whose order has not been posted."""
        home, _, refund = key.partition("|next|")
        entry = dict(self._entries({home: newest[home]})).get(home) if refund and home in newest else None
        return entry is not None and (entry["xero_id"] is None or entry["status"] != "PAID")

    def _only_of_clashes(self, org: str, customer: str) -> bool:
        """His orders were refused for their numbers, after a restart before it was looked whether Xero has him: his
        next order looks, and sends him again."""
        orders = [o for o in self.world.workload.orders.values() if (o.org, o.customer) == (org, customer)]
        return bool(orders) and all(order.trouble == "number_twice" for order in orders)

    def _newest(self, org: str) -> dict[str, bytes]:
        newest: dict[str, bytes | None] = {}
        for _, key, value, _ in self.world.broker.of[org].ledger:
            newest[key] = value
        return {key: value for key, value in newest.items() if value is not None}

    def _entries(self, newest: dict[str, bytes]) -> Iterator[tuple[str, LedgerEntry]]:
        """Each entry, decoded once."""
        for key, value in newest.items():
            if value not in self._decoded:
                self._decoded[value] = cast(LedgerEntry, CODEC.decode(value))
            yield key, self._decoded[value]

    def _record(self, record: Record) -> Iterator[tuple[str, str]]:
        words = self.world.judge.words.get(record.id, [])
        if record.command["kind"] == "REFUND" and words[-1:] == ["WAITING"]:
            return  # for its sale, or in a summary; `_ledger` knows
        if words[-1:] == ["WAITING"] and self._failed(self.world.workload.orders[record.org, record.command["key"]]):
            return
        if not any(word in FINAL for word in words):
            yield "one end each", f"{record.id} of {record.org} has no end: {words}"

    def _failed(self, order: Order) -> bool:
        """It waits in a summary that has a letter."""
        return self.world.summaries.failed(order.org, self.world.summaries.number_of(order))

    def _order(self, order: Order) -> Iterator[tuple[str, str]]:
        judge = self.world.judge
        told = [r for r in judge.told if (r["org"], r["key"], r["kind"]) == (order.org, order.key, "order")]
        posted = [r for r in told if r["outcome"] == "POSTED"]
        living = self._living(order)
        name = f"order {order.key} of {order.org}"
        if len(living) > 1 and not order.touched:
            yield "once in Xero", f"{name} has {len(living)} invoices"
        if len({r["number"] for r in posted}) < len(posted):
            yield "one end each", f"{name} is POSTED as {[r['number'] for r in posted]}"
        if not order.touched and not self._marred(order):
            yield from self.world.undone.stays(order, told, living)
        summary = self.world.summaries.number_of(order)
        if not posted and self._failed(order):
            return
        if not posted and not any(r["outcome"] in {"HELD", "REFUSED", "CANCELLED"} for r in told):
            yield "nothing lost", f"{name} has neither a document nor a reason: {[r['outcome'] for r in told]}"
        if order.touched or self._marred(order):
            return
        if posted and summary is not None:
            codes = {r["error_code"] for r in told if r["error_code"]} - self._usual
            if living or codes:
                yield "once in Xero", f"{name} is in {summary}, has {len(living)} invoices, letters {codes}"
            return
        if order.trouble == "number_twice":
            if len(living) != bool(posted):
                yield "as ordered", f"{name}: wants another's number, POSTED {len(posted)}, {len(living)} invoices"
        elif order.trouble:
            if posted or not any(r["error_code"] or r["outcome"] == "CANCELLED" for r in told):
                yield (
                    "as ordered",
                    f"{name} is wrong from the start ({order.trouble}) and is {[r['outcome'] for r in told]}",
                )
        elif order.cancelled:
            if len(living) != bool(posted) and not self._over_between(told):
                yield "as ordered", f"{name}: deleted, {len(posted)} times POSTED, {len(living)} invoices"
        else:
            codes = {r["error_code"] for r in told if r["error_code"]} - self._usual
            if "xero_refused" in codes and self.world.counts["fault id_with_error"] > 1:
                return  # Xero said twice that it had not saved what it had saved
            if codes or not posted or len(living) != 1:
                yield "as ordered", f"{name} is sound: POSTED {len(posted)}, {len(living)} invoices, letters {codes}"
            yield from self._newest_money(order, name, living, {str(r["error_code"]) for r in told})
        for document in living if posted else ():
            yield from self._sums(order, document, str(posted[-1]["command_id"]))

    def _over_between(self, told: list[Result]) -> bool:
        """Deleted after its invoice was credited and before it was issued anew."""
        return any(r["outcome"] == "CANCELLED" for r in told)

    def _newest_money(
        self, order: Order, name: str, living: list[Document], codes: set[str]
    ) -> Iterator[tuple[str, str]]:
        """By the rule, what is in Xero is the newest version's money; of a refunded order a person decides."""
        if not self.world.workload.reissues(order.org) or order.day:
            return  # with summaries a person decides
        refunded = any(record.command["kind"] == "REFUND" for record in order.records)
        unpaid = bool(codes & CODES) and self.world.office.at_work  # its payment was refused when a version came
        if codes & {"not_reissued", "other_money"} and not refunded and not unpaid:
            yield "as ordered", f"{name} was not issued anew, though nothing was refunded"
        if codes & {"not_reissued", "other_money"}:
            return
        sales = [record.command for record in order.records if record.command["kind"] == "SALE"]
        newest = max(command["version"] for command in sales)
        wanted = {Decimal(cast(Sale, one["body"])["total"]) for one in sales if one["version"] == newest}
        if any(document.total not in wanted for document in living):
            yield "newest last", f"{name} is in Xero with {[d.total for d in living]}, its newest version is {wanted}"

    def _marred(self, order: Order) -> bool:
        """A too late commit has touched one of its invoices or credit notes."""
        marred, order_of = self.world.judge.marred, self.world.workload.order_of
        numbers = {number for org, number in marred if org == order.org}
        numbers |= {number.removeprefix("CN-").rpartition("-")[0] for number in numbers if number.startswith("CN-")}
        return any(order_of(order.org, number) is order for number in numbers)

    def _refunds(self, order: Order) -> Iterator[tuple[str, str]]:
        """Each refund once or not at all, to the cent, and of a sound order's that fit into it all."""
        judge, books = self.world.judge, self.world.xero.books[order.org]
        refunds: dict[str, list[Record]] = {}
        for record in order.records:
            if record.command["kind"] == "REFUND":
                refunds.setdefault(str(cast(RefundNote, record.command["body"])["refund_id"]), []).append(record)
        sales = [r for one in order.records for r in judge.results.get(one.id, []) if r["kind"] == "order"]
        sold = any(r["outcome"] == "POSTED" for r in sales)
        for refund_id, records in refunds.items():
            name = f"refund {refund_id} of {order.key} of {order.org}"
            told = [r for one in records for r in judge.results.get(one.id, []) if r["kind"] == "order_refund"]
            posted = [r for r in told if r["outcome"] == "POSTED"]
            numbers = [str(r["number"]) for r in posted] or [f"CN-{order.number}-{refund_id}"]
            note = books.by_number(numbers[0], credit=True)
            if len(posted) > 1:
                yield "one end each", f"{name} is POSTED {len(posted)} times"
            if order.touched or self._marred(order):
                continue
            waits = [r["number"] for r in told if r["outcome"] in ("WAITING", "POSTED") and is_summary(r["number"])]
            within = [self.world.summaries.number_of(order), *waits[-1:]]
            if any(self.world.summaries.excused(order.org, one) for one in within):
                continue
            if waits and (posted or self.world.summaries.failed(order.org, waits[-1])):
                continue  # its day's credit note is judged as a whole
            if self._shares_its_number(order):
                continue
            if self.world.undone.judges(order):
                yield from self.world.undone.refund(order, name, records[0], told)
                continue
            if note is not None and note.status not in _GONE and not sold:
                yield "as ordered", f"{name}: a credit note of an order that was not posted"
            if posted:
                yield from self._given_back(name, note, records[0], books)
            elif sold and not order.trouble and not order.cancelled:
                codes = {str(r["error_code"]) for r in told if r["error_code"]} - self._usual
                if "xero_refused" in codes and self.world.counts["fault id_with_error"] > 1:
                    continue
                if self.world.office.at_work and any(r["error_code"] in CODES for r in sales):
                    codes.discard("refund_of_unpaid")  # by its payment, which was refused when the refund came
                    if not codes:
                        continue
                if codes != {"refund_too_large"}:
                    yield "as ordered", f"{name} is sound, and has come to {[r['outcome'] for r in told]} {codes}"

    def _shares_its_number(self, order: Order) -> bool:
        """Another order wants it too, in whatever case: one of them has the invoice and its credit notes."""
        of_org = (one for one in self.world.workload.orders.values() if one.org == order.org)
        return sum(one.number.casefold() == order.number.casefold() for one in of_org) > 1

    def _given_back(self, name: str, note: Document | None, record: Record, books: Books) -> Iterator[tuple[str, str]]:
        body = cast(RefundNote, record.command["body"])
        if note is None or note.status != "PAID" or note.total != Decimal(body["total"]):
            yield "to the cent", f"{name}: Xero has {note and (note.status, note.total)}, not {body['total']} PAID"
            return
        ours = sorted((f"{note.number}/{t['ordinal']}".casefold(), Decimal(t["amount"])) for t in body["payments"])
        theirs = sorted((p.reference.split(" ")[0].casefold(), p.amount) for p in books.payments_of(note))
        if theirs != ours:
            yield "to the cent", f"{name} was given back by {theirs}, not by {ours}"

    def _settlements(self) -> Iterator[tuple[str, str]]:
        """Each once and to the cent: of several under one id the first, the others held; of a wrong one nothing."""
        known: dict[tuple[str, str], list[Record]] = {}
        for record in self.world.workload.records.values():
            if record.command["kind"] == "SETTLEMENT":
                known.setdefault((record.org, record.command["key"]), []).append(record)
        for (org, key), records in known.items():
            told = [r for one in records for r in self.world.judge.results.get(one.id, []) if r["kind"] == "settlement"]
            posted = [r for r in told if r["outcome"] == "POSTED"]
            body = cast(Payout, records[0].command["body"])
            if (org, body["marker"]) in self.world.judge.marred:
                continue
            wrong = ARCHIVED in (body["bank_transaction"] or "")
            if len(posted) != (not wrong):
                yield "as ordered", f"{key} of {org}: POSTED {len(posted)} times: {[r['outcome'] for r in told]}"
            if posted:
                body = cast(Payout, self.world.workload.records[str(posted[0]["command_id"])].command["body"])
            wanted = [] if wrong else _documents(body)
            if (found := self._paid_out(org, body["marker"])) != wanted:
                yield "to the cent", f"{key} of {org}: Xero has {found}, not {wanted}"

    def _paid_out(self, org: str, marker: str) -> list[tuple[str, Decimal]]:
        """What Xero holds of a settlement."""
        books = self.world.xero.books[org]
        spent = [(t.type, t.total) for t in books.bank_transactions.values() if t.reference.startswith(f"{marker} ")]
        moved = [
            (t.from_account, t.amount) for t in books.bank_transfers.values() if t.reference.startswith(f"{marker} ")
        ]
        return sorted(one for one in spent if "TRANSFER" not in one[0]) + sorted(moved)

    def _living(self, order: Order) -> list[Document]:
        """Its invoices in Xero, without those that were taken back to be issued anew."""
        books = self.world.xero.books[order.org]
        found = (books.invoices[id_] for id_ in books.documents_by_reference.get(order.key.split("|")[1], ()))
        ours = (document for document in found if document.app == APP and document.status not in _GONE)
        return [document for document in ours if not taken_back(document, books)]

    def _sums(self, order: Order, document: Document, posted: str) -> Iterator[tuple[str, str]]:
        """To the cent, and paid by the order's own tenders."""
        sale = cast(Sale, self.world.workload.records[posted].command["body"])
        books = self.world.xero.books[order.org]
        ours = sorted((f"{document.number}/{t['ordinal']}".casefold(), Decimal(t["amount"])) for t in sale["payments"])
        theirs = sorted((p.reference.split(" ")[0].casefold(), p.amount) for p in books.payments_of(document))
        if (document.total, document.total_tax) != (Decimal(sale["total"]), Decimal(sale["total_tax"])):
            yield "to the cent", f"{order.key}: Xero has {document.total} and {document.total_tax}, not {sale['total']}"
        if theirs != ours or document.status != "PAID":
            yield "to the cent", f"{order.key} is {document.status} by {theirs}, not by {ours}"

    def _master_data(self, org: str) -> Iterator[tuple[str, str]]:
        """A customer is one contact; what was written last is the newest."""
        books, workload = self.world.xero.books[org], self.world.workload
        whose: dict[str, set[str]] = {}
        for order in workload.orders.values():
            if order.org == org and not order.touched:
                whose.setdefault(order.customer, set()).update(d.contact_id for d in self._living(order))
        mails = [who[0]["email"] for who in workload.customers[org].values()]
        alone = {w[0]["key"] for w in workload.customers[org].values() if mails.count(w[0]["email"]) == 1}
        for customer, ids in whose.items():
            if len(ids) > 1 and customer in alone:  # of two with one e-mail, either may be the other's contact
                yield "one contact each", f"{customer} of {org} has the contacts {sorted(ids)}"
        newest: dict[tuple[str, str], Record] = {}
        shared, entries = self._shared(org), dict(self._entries(self._newest(org)))
        for record in workload.records.values():
            kind = record.command["kind"]
            if (
                record.org == org
                and kind in {"CONTACT", "ITEM"}
                and "POSTED" in self.world.judge.words.get(record.id, [])
            ):
                known = newest.get((kind, record.command["key"]))
                if known is None or known.command["version"] < record.command["version"]:
                    newest[kind, record.command["key"]] = record
        for (kind, key), record in newest.items():
            body = cast(dict[str, Any], record.command["body"])
            ours = orjson.loads(body["document"])
            if kind == "ITEM":
                item = books.find_item(key)
                if "item" in self.world.judge.late_upserts:
                    continue
                if item is None or item.sales["UnitPrice"] != Decimal(str(ours["SalesDetails"]["UnitPrice"])):
                    yield "newest last", f"item {key} of {org} is not as in {record.id}"
                continue
            touched = any(o.touched for o in workload.orders.values() if (o.org, o.customer) == (org, key))
            entry = entries.get(body["key"])  # perhaps of another's contact, if both have one e-mail: `_shared`
            known_as = str(entry["xero_id"]) if entry is not None else ""
            contact = books.contacts.get(known_as) or books.find_contact(body["number"])
            if touched or "contact" in self.world.judge.late_upserts or contact is None or contact.id in shared:
                continue
            newer = self._mails_since(org, key, record)
            if contact.fields.get("EmailAddress") not in newer:
                yield "newest last", f"contact {key} of {org} is not as in {record.id}"

    def _mails_since(self, org: str, key: str, oldest: Record) -> set[str]:
        """What this and later versions of a customer's record want: a later one may have been found done."""
        return {
            cast(dict[str, Any], record.command["body"])["email"]
            for record in self.world.workload.records.values()
            if (record.org, record.command["key"]) == (org, key)
            and record.command["version"] >= oldest.command["version"]
        }

    def _shared(self, org: str) -> set[str]:
        """Contacts that two customers have adopted, because they have one e-mail."""
        ids: dict[str, str] = {}
        for key, entry in self._entries(self._newest(org)):
            if entry["kind"] == "contact" and entry["xero_id"]:
                ids[key] = entry["xero_id"]
        return {id_ for id_ in ids.values() if list(ids.values()).count(id_) > 1}

    # -- replay -------------------------------------------------------------------------------------------------

    def replayed(self, request: Request) -> None:
        """A write while everything is replayed: only for what had not come to a good end."""
        undoes = request.call.purpose in ("voids", "allocations")
        for row in rows_of(request):
            if (
                self.world.undone.settled(request, row)
                if undoes
                else self._settled(request.org, request.call.path, row)
            ):
                self.world.judge.fail("a replay writes nothing", f"{request.call.path} {row}")

    def _settled(self, org: str, path: str, row: dict[str, Any]) -> bool:
        if path in {"Invoices", "Payments", "CreditNotes"}:
            number = row.get("InvoiceNumber") or str(row.get("Reference")).split(" ")[0].rsplit("/", 1)[0]
            if is_summary(number):
                told = (r for of in self.world.summaries.words.values() for r in of if r["number"] == number)
                return any(r["org"] == org and r["outcome"] == "POSTED" for r in told)
            kind = "order_refund" if number.startswith("CN-") else "order"
            if number.startswith("CN-") and REISSUE.fullmatch(number.rpartition("-")[2]):
                kind = "refund" if path == "Payments" else "credit_note"
                number = str(row["Reference"]).split(" ")[0]  # the payment's marker, or the credit note's own number
            told = (r for of in self.world.judge.results.values() for r in of if r["number"] == number)
            made = ("POSTED",) if kind in ("order", "order_refund") else ("POSTED", "ADOPTED")
            return any(r["org"] == org and r["kind"] == kind and r["outcome"] in made for r in told)
        if path in {"BankTransactions", "BankTransfers"}:
            marker = str(row["Reference"]).split(" ")[0]
            told = (r for of in self.world.judge.results.values() for r in of if r["number"] == marker)
            return any(r["org"] == org and r["kind"] == "settlement" and r["outcome"] == "POSTED" for r in told)
        return self._all_well(org)

    def _all_well(self, org: str) -> bool:
        """No customer and no product has anything left to do: nobody was refused or left alone."""
        for record in self.world.workload.records.values():
            if record.org != org or record.command["kind"] not in {"SALE", "CONTACT", "ITEM"}:
                continue
            for result in self.world.judge.results.get(record.id, []):
                if result["outcome"] == "REFUSED" or "never bought" in (result["message"] or ""):
                    return False
                if "does not have this item" in (result["message"] or ""):
                    return False
        return not any(order.touched for order in self.world.workload.orders.values() if order.org == org)


def _documents(body: Payout) -> list[tuple[str, Decimal]]:
    """What a settlement wants in Xero."""
    found = []
    if body["bank_transaction"]:
        found.append((str(orjson.loads(body["bank_transaction"])["Type"]), Decimal(body["transaction_total"])))
    if body["transfer"]:
        transfer = orjson.loads(body["transfer"])
        found.append((str(transfer["FromBankAccount"]["AccountID"]), abs(Decimal(body["payout"]))))
    return found


def held(core: Lane) -> dict[str, int]:
    """What the lane holds in memory: all of it is 0 when there is nothing to do."""
    desk, planner, contacts = core.desk, core.planner, core.contacts
    return {
        "jobs": len(desk.jobs),
        "parked": len(desk.parked),
        "numbers": len(desk.numbers),
        "ended": len(desk.ended),
        "queued": sum(map(len, desk.ready.values())) + sum(map(len, desk.lookups.values())),
        "batches": sum(batch.kind != "reference" for batch in planner.batches.values()),
        "summaries": len(core.summary_work.closing) + len(core.summary_work.settling),
        "contacts": len(contacts.tasks) + len(contacts.behind) + len(contacts.unindexed),
        "unfinished": desk.mark.unfinished,
        "transaction": int(desk.flying is not None) + int(not desk.writing.empty),
    }
