"""Contacts: known by the ledger, adopted from the index, or upserted by number; updated only where they differ.

Guarantees: a customer is one contact however many orders come at once; an equal name alone never adopts; what people
have filled in in Xero, contact persons too, is not wiped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from connectors.xero import batch, outcomes
from connectors.xero.core import records
from connectors.xero.core.desk import Desk
from connectors.xero.core.events import IndexedContact
from connectors.xero.core.records import Outcome
from connectors.xero.core.state import Document, Job, Refusal, Step
from connectors.xero.outcomes import Element, Remedy
from schemas.letters import ErrorClass
from schemas.types import Contact

_NAME = 255
_GIVE_UP = 4  # contacts that a merged one is followed through, before a person looks
_MERGED = "merged"  # in `extra`: the ledger's id is the contact that the customer's own was merged into
_PARTS = {"Addresses": "AddressType", "Phones": "PhoneType"}


class Contacts:
    """The flow of contacts, of sales and of CONTACT commands."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.indexed = False  # the contact index is complete: before, nobody is created
        self.tasks: dict[str, Document] = {}  # the write under way, by ledger key
        self.behind: dict[str, list[Job]] = {}  # CONTACT commands that came meanwhile
        self.same_email: dict[str, list[Job]] = {}  # sales of others with his e-mail: they may take his contact over
        self.unindexed: list[Job] = []
        self.forgotten: set[str] = set()
        self.sale_ready: Callable[[Job, str, bool], None] = lambda job, contact_id, chained: None
        self.sale_refused: Callable[[Job, Refusal], None] = lambda job, refusal: None

    # -- a sale's contact ---------------------------------------------------------------------------------------

    def ensure(self, job: Job) -> None:
        """The sale's contact: at once where it is known, else as soon as its write is answered."""
        contact = cast(Contact, job.command["body"]["contact"])  # type: ignore[index,typeddict-item]
        known = self.desk.known_contact(contact["key"])
        if known is not None:
            self.sale_ready(job, known, False)
        elif contact["key"] in self.tasks:
            self.tasks[contact["key"]].jobs.append(job)
        elif not self.indexed:
            self.unindexed.append(job)
        else:
            self._find_or_create(job, contact)

    def index_ready(self) -> None:
        """Every contact of the organisation has been read: those who waited for that go on."""
        self.indexed = True
        waiting, self.unindexed = self.unindexed, []
        for job in waiting:
            if job.command["kind"] == "SALE":
                self.ensure(job)
            else:
                self.update(job)

    def _find_or_create(self, job: Job, contact: Contact) -> None:
        found = None if contact["key"] in self.forgotten else self._indexed(contact)
        before = self._made_now(contact) if found is None else None
        if before is not None:
            self.same_email.setdefault(before, []).append(job)
        elif found is None:
            document = self._document(job, contact)
            self._create(document, contact)
        elif found.number and not self._written_by_another(contact["key"]):
            self._known(contact["key"], contact, found.id, found.number, "ADOPTED", [job])
            self.sale_ready(job, found.id, False)
        else:  # give it our number; its persons have to be read first, or the write would wipe them
            # (or a write of a former owner may still be under way: a later one of ours must not come before it)
            document = self._document(job, contact)
            document.parts = {"ContactID": found.id}
            self.tasks[contact["key"]] = document
            self.desk.lookups[Step.CONTACT].append(document)

    def _written_by_another(self, key: str) -> bool:
        entry = self.desk.entry(key)
        return entry is not None and entry["intention"] is not None

    def _create(self, document: Document, contact: Contact) -> None:
        """A new one. A name that somebody else has is made its own at once: Xero's refusal would cost a call."""
        name = str(document.parts["Name"])
        others = (other for other in self.tasks.values() if other is not document)
        under_way = any(str(other.parts.get("Name", "")).casefold() == name.casefold() for other in others)
        if under_way or self.desk.ledger.name_taken(name, contact["number"]):
            document.parts["Name"] = _own_name(name, contact["number"])
        document.element = batch.json_text(document.parts)
        self.tasks[contact["key"]] = document
        self.desk.ready[Step.CONTACT].append(document)

    def _indexed(self, contact: Contact) -> IndexedContact | None:
        found = self.desk.ledger.contact_by_number(contact["number"])
        if found is None and contact["match_email"] and contact["email"]:
            owners = self.desk.ledger.contacts_by_email(contact["email"])
            found = owners[0] if len(owners) == 1 else None
        return found

    def _made_now(self, contact: Contact) -> str | None:
        """Whose contact is just being made with this e-mail: in a burst as one after the other it is found by it."""
        if not (contact["match_email"] and contact["email"]):
            return None
        email = contact["email"].casefold()
        for key, other in self.tasks.items():
            if "ContactID" not in other.parts and (self._contact(other.jobs[0])["email"] or "").casefold() == email:
                return key
        return None

    def _document(self, job: Job, contact: Contact) -> Document:
        parts = {**json.loads(contact["document"]), "ContactNumber": contact["number"]}
        parts.setdefault("Name", contact["name"])
        version = contact["version"] or job.command["version"]
        entry = self.desk.entry(contact["key"])
        document = Document(
            Step.CONTACT, contact["key"], contact["number"], "", contact["hash"], version, [job], entry, parts=parts
        )
        document.not_before = self.desk.inherited(entry)
        if entry is not None and entry["intention"] is not None:
            document.attempt = entry["intention"]["attempt"] + 1
        return document

    def check(self, job: Job) -> None:
        """Xero will not have this sale's contact: what has become of him there?"""
        contact = cast(Contact, job.command["body"]["contact"])  # type: ignore[index,typeddict-item]
        if contact["key"] in self.tasks:
            self.tasks[contact["key"]].jobs.append(job)
            return
        document = self._document(job, contact)
        document.parts, document.check = {"ContactID": job.contact_id}, True
        self.tasks[contact["key"]] = document
        self.desk.lookups[Step.CONTACT].append(document)

    def _forget(self, key: str) -> None:
        """Xero does not know the id that the ledger or the index has."""
        self.forgotten.add(key)
        entry = self.desk.fresh(key, "contact")
        entry["state"] = "VOIDED"
        self.desk.write(entry)

    # -- CONTACT commands ---------------------------------------------------------------------------------------

    def update(self, job: Job) -> None:
        """A customer's change: nothing where he is not known or nothing differs, else a read and a write."""
        contact = cast(Contact, job.command["body"])
        key, entry = contact["key"], self.desk.entry(contact["key"])
        known = self.desk.known_contact(key)
        if key in self.tasks:
            self.behind.setdefault(key, []).append(job)
            return
        if known is None and contact["only_if_known"]:
            self._left_alone(job, "the customer never bought here")
        elif known is not None and entry is not None and _older(contact, entry["version"]):
            self._left_alone(job, "a newer version of the customer is already in Xero")
        elif known is not None and entry is not None and entry["hash"] == contact["hash"] and not entry["intention"]:
            self._left_alone(job, "nothing changed")
        elif known is not None and entry is not None and _MERGED in entry["extra"]:
            self._left_alone(job, "merged in Xero with another contact, which is left as people made it")
        elif known is None:
            if not self.indexed:
                self.unindexed.append(job)
                return
            self._create(self._document(job, contact), contact)
        else:
            document = self._document(job, contact)
            document.parts["ContactID"] = known
            self.tasks[key] = document
            self.desk.lookups[Step.CONTACT].append(document)

    def _left_alone(self, job: Job, why: str) -> None:
        self.desk.result(job.command, "contact", "UNCHANGED", message=why)
        self.desk.end(job)

    def set_aside(self, document: Document) -> list[Job]:
        """This write waits for long: whose orders and commands that concerns."""
        self._task_over(document.key)
        return document.jobs + self.behind.pop(document.key, [])

    # -- answers ------------------------------------------------------------------------------------------------

    def found(self, document: Document, body: Mapping[str, Any]) -> None:
        """The contact as it is in Xero: write what differs, with its persons, or nothing."""
        contact = self._contact(document.jobs[0])
        contact_id = str(body["ContactID"])
        into = body.get("MergedToContactID")
        if into and document.merged < _GIVE_UP:
            self._follow(document, str(into))
            return
        if body.get("ContactStatus") == "ARCHIVED":
            named = f"Contact {body.get('ContactNumber') or contact['number']} ({contact_id}) is archived in Xero."
            self.refused(document, Refusal(ErrorClass.VALIDATION, "contact_archived", named, outcomes.UNARCHIVE))
            return
        changes = _differing(document.parts, body, contact["number"])
        if body.get("ContactNumber"):
            changes.pop("ContactNumber", None)  # it has a number of its own: adopted as it is
        if not changes:
            outcome: Outcome = "ADOPTED" if document.entry is None else "UNCHANGED"
            self._done(document, contact_id, outcome)
            return
        document.parts = {"ContactID": contact_id, **changes}
        if body.get("ContactPersons"):
            document.parts["ContactPersons"] = body["ContactPersons"]
        document.element = batch.json_text(document.parts)
        document.chained = True
        self.desk.ready[Step.CONTACT].append(document)

    def _follow(self, document: Document, into: str) -> None:
        """Merged in Xero: from now on this customer's orders are the other's, who is left as people made him."""
        self.desk.note(document.jobs, f"contact {document.parts['ContactID']} was merged into {into} in Xero")
        document.merged += 1
        document.parts, document.check = {"ContactID": into}, True
        self.desk.lookups[Step.CONTACT].append(document)

    def absent(self, document: Document) -> None:
        """The id is gone: upsert by number."""
        self._forget(document.key)
        document.check = False
        contact = self._contact(document.jobs[0])
        document.parts = {**json.loads(contact["document"]), "ContactNumber": contact["number"]}
        document.parts.setdefault("Name", contact["name"])
        self._create(document, contact)

    def answered(self, document: Document, element: Element) -> None:
        """One element of POST Contacts."""
        if element.good:
            self._done(document, cast(str, element.id), "POSTED", element.body)
            return
        remedy, refusal = outcomes.judge(element.errors)
        contact = self._contact(document.jobs[0])
        if remedy is Remedy.RENAME and not str(document.parts.get("Name", "")).endswith(f"({contact['number']})"):
            document.parts["Name"] = _own_name(str(document.parts.get("Name") or contact["name"]), contact["number"])
            self._again(document)
        elif remedy is Remedy.DROP_EMAIL and document.parts.pop("EmailAddress", None):
            for job in document.jobs:
                job.command["findings"].append("The e-mail address was left out: Xero calls it invalid.")
            self._again(document)
        elif element.id is not None and document.suspect is None:
            document.suspect = refusal  # an error beside an id: written or not, an upsert may be sent once more
            self._again(document)
        else:
            self.refused(document, refusal)

    def _again(self, document: Document) -> None:
        document.attempt += 1
        document.element = batch.json_text(document.parts)
        document.chained = True
        self.desk.ready[Step.CONTACT].append(document)

    def unknown_id(self, document: Document, refusal: Refusal) -> None:
        """The whole request was refused because of this contact's id."""
        if "ContactID" in document.parts:
            self.absent(document)
        else:
            self.refused(document, refusal)

    def refused(self, document: Document, refusal: Refusal) -> None:
        """Dead letters for every order that needs this contact."""
        entry = self.desk.fresh(document.key, "contact")
        entry["intention"], entry["reason"] = None, refusal.message
        if entry["xero_id"] is None:
            entry["state"] = "REFUSED"
        self.desk.write(entry)
        for job in document.jobs:
            if job.command["kind"] == "SALE":
                self.sale_refused(job, refusal)
            else:
                self.desk.refuse(job, refusal, "contact")
                self.desk.end(job, entry if job.home == document.key else None)
        self._task_over(document.key)
        self._restart(document.key)

    def _done(
        self, document: Document, contact_id: str, outcome: Outcome, body: Mapping[str, Any] | None = None
    ) -> None:
        contact = self._contact(document.jobs[0])
        self.forgotten.discard(document.key)
        self._known(document.key, contact, contact_id, contact["number"], outcome, document.jobs, document)
        if body is not None:
            email, name = body.get("EmailAddress") or contact["email"], str(body.get("Name") or contact["name"])
            self.desk.ledger.learn(IndexedContact(contact_id, contact["number"], name, email, True))
        self._task_over(document.key)
        for job in document.jobs:
            if job.command["kind"] == "SALE":
                self.sale_ready(job, contact_id, outcome == "POSTED")
            else:
                self.desk.end(job, self.desk.fresh(document.key, "contact") if job.parked else None)
        self._restart(document.key)

    def _known(
        self,
        key: str,
        contact: Contact,
        contact_id: str,
        number: str,
        outcome: Outcome,
        jobs: list[Job],
        written: Document | None = None,
    ) -> None:
        entry = self.desk.fresh(key, "contact")
        entry["state"], entry["intention"], entry["reason"] = "POSTED", None, None
        entry["xero_id"], entry["number"] = contact_id, number
        if written is None or not written.check:  # what was only looked at has the details it had
            entry["hash"], entry["version"] = contact["hash"], contact["version"]
        merged = {_MERGED: contact_id} if written is not None and written.merged else {}
        entry["extra"] = records.without(entry, _MERGED) | merged
        self.desk.write(entry)
        why = "Xero has him as he is" if outcome == "UNCHANGED" else None
        self.desk.result(jobs[0].command, "contact", outcome, key=key, xero_id=contact_id, number=number, message=why)

    def _contact(self, job: Job) -> Contact:
        body = job.command["body"]
        return cast(Contact, body["contact"] if job.command["kind"] == "SALE" else body)  # type: ignore[index,typeddict-item]

    def _task_over(self, key: str) -> None:
        self.tasks.pop(key, None)
        for job in self.same_email.pop(key, []):
            self.ensure(job)

    def _restart(self, key: str) -> None:
        for job in self.behind.pop(key, []):
            self.update(job)

    def no_longer(self, document: Document) -> Refusal:
        """What to say when a contact's write never becomes clear."""
        text = f"Whether contact {document.natural} was written cannot be found out."
        return Refusal(ErrorClass.UNCERTAIN, "contact_unclear", text, "Look at the contact in Xero, then redrive.")


def _own_name(name: str, number: str) -> str:
    """`Name (ContactNumber)`, as BOOKKEEPING §5 has it, within Xero's 255 characters."""
    tail = f" ({number})"
    return name[: _NAME - len(tail)] + tail


def _older(contact: Contact, than: Any) -> bool:
    return contact["version"] is not None and than is not None and contact["version"] < than


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any], number: str) -> dict[str, Any]:
    """Our fields that Xero shows otherwise; of addresses and phones, those whose given fields differ."""
    changes: dict[str, Any] = {}
    for name, value in ours.items():
        if name == "ContactID" or value in (None, ""):
            continue
        if name in _PARTS:
            held = {part.get(_PARTS[name]): part for part in theirs.get(name) or []}
            parts = [p for p in value if _part_differs(p, held.get(p.get(_PARTS[name])) or {})]
            if parts:
                changes[name] = parts
        elif name == "Name":
            if theirs.get("Name") not in (value, f"{value} ({number})"):
                changes[name] = value
        elif theirs.get(name) != value:
            changes[name] = value
    if not theirs.get("ContactNumber"):
        changes["ContactNumber"] = number
    return changes


def _part_differs(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    return any(value not in (None, "") and theirs.get(name) != value for name, value in ours.items())
